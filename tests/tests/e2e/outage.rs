//! Nodes die at the worst moment.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{
    node::{Node, PATIENCE, text},
    people::{ROSA, TOMAS, pdf, words},
    story::import,
    world::{Network, fetch_words, line_of, lines, patient},
};

const DEADLINE: Duration = Duration::from_secs(3);

/// A holder that is killed is a line in the ledger, in time, and comes back without help.
///
/// The hard case is that the other member truthfully has no match: the answer must be *incomplete*,
/// never *no record*.
#[test]
fn a_dead_node_is_no_missing_record() {
    let mut network = Network::new("us-treatment");
    import(
        &network.hospital,
        &network.world.file("rosa.json", &ROSA.bundle()),
    );
    let mut question = ROSA.question();
    question.extend(["--deadline".to_owned(), format!("{}s", DEADLINE.as_secs())]);
    let whole = network.harbor.ok(&words(&question));
    assert_eq!(whole["complete"], true, "{whole}");

    network.hospital.kill();
    let began = Instant::now();
    let partial = network.harbor.run(&words(&question)).expect(5).json;

    assert!(began.elapsed() < 2 * DEADLINE, "{:?}", began.elapsed());
    assert_eq!(partial["complete"], false, "{partial}");
    let answer = text(&line_of(&partial, &network.hospital)["answer"]);
    assert!(
        ["unreachable", "timed-out"].contains(&answer.as_str()),
        "{answer}"
    );
    assert_eq!(line_of(&partial, &network.clinic)["answer"], "no-match");
    let contact = &line_of(&partial, &network.hospital)["contact"];
    assert_eq!(contact["phone"], "+1 217 555 0100", "whom to call");

    let stranger = network.harbor.run(&words(&TOMAS.question())).expect(5).json;
    assert_eq!(
        stranger["complete"], false,
        "nobody knows, rather than no match"
    );

    network.hospital.start();
    let harbor = &network.harbor;
    harbor.wait("the holder is found again", PATIENCE, || {
        let ledger = harbor.run(&words(&question)).json;
        line_of(&ledger, &network.hospital)["answer"] == "match"
    });
}

/// A transfer that a kill cut off goes on where it was, and counts once.
///
/// The hard case is that ciphertext was already sent when the holder died: only the key makes it a disclosure.
#[test]
fn a_fetch_cut_off_by_a_kill_resumes_as_one_disclosure() {
    let mut network = Network::new("us-treatment");
    let scan = pdf(64 << 20);
    import(
        &network.hospital,
        &network.world.file("rosa.json", &ROSA.bundle()),
    );
    let rosa = patient(&network.hospital, ROSA.family);
    let file = network.world.file("scan.pdf", &scan);
    let added = network.hospital.ok(&[
        "document",
        "add",
        "--patient",
        &rosa,
        "--type",
        "18842-5",
        &file,
    ]);
    let ledger = network.harbor.ok(&words(&ROSA.question()));
    let handle = text(&line_of(&ledger, &network.hospital)["handle"]);
    let document = text(&added["document"]);
    let out = network.world.out("out.pdf");
    let fetch = fetch_words(&handle, &document, &out);

    let under_way = network.harbor.spawn(&fetch);
    let parts = network.harbor.dir.join("parts");
    network.harbor.wait("some of it has arrived", PATIENCE, || {
        part_bytes(&parts) > 1 << 20
    });
    network.hospital.kill();
    let cut = network.harbor.finish(&fetch, under_way);

    assert_ne!(cut.exit, 0, "the fetch was faster than the kill");
    assert!(fs::metadata(&out).is_err(), "half a document is none");

    let kept = part_bytes(&parts);
    assert!(kept > 1 << 20, "what arrived is kept: {kept}");
    network.hospital.start();
    let harbor = &network.harbor;
    harbor.wait("the holder is back", PATIENCE, || {
        is_connected(harbor, &network.hospital)
    });
    harbor.ok(&fetch);

    assert!(fs::read(&out).expect("written") == scan, "the same bytes");
    let accounting = network
        .hospital
        .ok(&["audit", "accounting", "--patient", &rosa]);
    let disclosed = lines(&accounting["disclosures"])
        .filter(|entry| entry["document"] == document.as_str())
        .count();
    assert_eq!(disclosed, 1, "{accounting}");
    assert_eq!(part_bytes(&parts), 0, "no part is left behind");
}

/// A holder that is told to stop does, whoever has ceased to read what it sends.
#[test]
fn a_holder_stops_in_time_although_its_reader_reads_no_more() {
    /// What the daemon gives work under way, and as much again for a busy machine.
    const STOP_MAX: Duration = Duration::from_secs(14);

    let mut network = Network::new("us-treatment");
    let scan = pdf(96 << 20);
    import(
        &network.hospital,
        &network.world.file("rosa.json", &ROSA.bundle()),
    );
    let rosa = patient(&network.hospital, ROSA.family);
    let file = network.world.file("scan.pdf", &scan);
    let add = [
        "document",
        "add",
        "--patient",
        &rosa,
        "--type",
        "18842-5",
        &file,
    ];
    let document = text(&network.hospital.ok(&add)["document"]);
    let ledger = network.harbor.ok(&words(&ROSA.question()));
    let handle = text(&line_of(&ledger, &network.hospital)["handle"]);
    let out = network.world.out("out.pdf");
    let fetch = fetch_words(&handle, &document, &out);
    let under_way = network.harbor.spawn(&fetch);
    let parts = network.harbor.dir.join("parts");
    network.harbor.wait("some of it has arrived", PATIENCE, || {
        part_bytes(&parts) > 1 << 20
    });
    network.harbor.freeze();

    let began = Instant::now();
    network.hospital.stop();
    let took = began.elapsed();

    network.harbor.thaw();
    let cut = network.harbor.finish(&fetch, under_way);
    println!("stopped in {took:?}");
    assert!(took < STOP_MAX, "{took:?}");
    assert_ne!(cut.exit, 0, "the fetch was faster than the stop");
}

/// Whether a node has a connection to another.
pub(crate) fn is_connected(node: &Node, other: &Node) -> bool {
    let peers = node.run(&["peers"]).json;
    lines(&peers["peers"])
        .any(|peer| peer["node"] == other.id.as_str() && peer["connected"] == true)
}

/// What lies in the folder of half transfers, in bytes.
pub(crate) fn part_bytes(parts: &std::path::Path) -> u64 {
    let Ok(entries) = fs::read_dir(parts) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|found| found.len())
        .sum()
}
