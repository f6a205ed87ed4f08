//! One byte is changed behind the program's back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    node::{Node, text},
    people::{ROSA, pdf, words},
    story::import,
    world::{Network, World, fetch_words, line_of, patient},
};

/// A node with a patient and a document, whose daemon is stopped.
fn stopped_node(world: &World) -> Node {
    let mut node = world.node("clinic", "Maple Family Clinic", "clinic");
    node.start();
    node.ok(&["network", "found", "--name", "Alone", "--test"]);
    import(&node, &world.file("rosa.json", &ROSA.bundle()));
    let rosa = patient(&node, ROSA.family);
    let file = world.file("scan.pdf", &pdf(200_000));
    node.ok(&[
        "document",
        "add",
        "--patient",
        &rosa,
        "--type",
        "18842-5",
        &file,
    ]);
    node.stop();
    node
}

/// A changed byte in the middle of the journal is found, by the stopped node and by the running one.
///
/// The hard case is that the node's own people must still be able to read what is left.
#[test]
fn a_changed_byte_in_the_journal_is_found_and_own_people_are_served() {
    let world = World::new();
    let mut node = stopped_node(&world);
    assert_eq!(node.ok(&["audit", "verify"])["verified"], true);

    flip_a_byte(&only_file(&node.dir.join("journal")));

    assert_eq!(
        node.run(&["audit", "verify"]).expect(6).json["verified"],
        false
    );
    node.start();
    assert_eq!(node.ok(&["status"])["health"], "read-only");
    node.ok(&["patient", "list"]);
    node.run(&["audit", "verify"]).expect(6);
    let file = world.file("again.json", &ROSA.bundle());
    assert_ne!(
        node.run(&["import", &file]).exit,
        0,
        "nothing more is written"
    );
}

/// A changed byte in the derived leaves of the audit log is found.
#[test]
fn a_changed_byte_in_the_audit_leaves_is_found() {
    let world = World::new();
    let node = stopped_node(&world);
    assert_eq!(node.ok(&["audit", "verify"])["verified"], true);

    flip_a_byte(&node.dir.join("audit/leaves"));

    assert_eq!(
        node.run(&["audit", "verify"]).expect(6).json["verified"],
        false
    );
}

/// A changed byte in a sealed document stops its fetch, and nothing of it is written.
#[test]
fn a_changed_byte_in_a_document_stops_its_fetch() {
    let network = Network::new("us-treatment");
    let Network {
        hospital,
        harbor,
        world,
        ..
    } = &network;
    import(hospital, &world.file("rosa.json", &ROSA.bundle()));
    let rosa = patient(hospital, ROSA.family);
    let scan = pdf(200_000);
    let file = world.file("scan.pdf", &scan);
    let added = hospital.ok(&[
        "document",
        "add",
        "--patient",
        &rosa,
        "--type",
        "18842-5",
        &file,
    ]);
    let ledger = harbor.ok(&words(&ROSA.question()));
    let handle = text(&line_of(&ledger, hospital)["handle"]);
    let document = text(&added["document"]);
    let fetch_to = |out: &str| harbor.run(&fetch_words(&handle, &document, out));
    let whole = world.out("whole.pdf");
    fetch_to(&whole).expect(0);
    assert!(fs::read(&whole).expect("written") == scan);

    flip_a_byte(&largest_file(&hospital.dir.join("files")));

    let out = world.out("out.pdf");
    let refused = fetch_to(&out);
    assert_ne!(refused.exit, 0);
    assert!(!refused.code().is_empty(), "{}", refused.stderr);
    assert!(fs::metadata(&out).is_err(), "nothing is written");
}

fn flip_a_byte(path: &Path) {
    let mut bytes = fs::read(path).expect("the file is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("the file is written");
}

fn only_file(folder: &Path) -> PathBuf {
    let found = files(folder);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

fn largest_file(folder: &Path) -> PathBuf {
    files(folder)
        .into_iter()
        .max_by_key(|path| fs::metadata(path).map_or(0, |found| found.len()))
        .expect("a file is there")
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there").flatten() {
        let kind = entry.file_type().expect("the entry is there");
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}
