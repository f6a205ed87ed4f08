//! A node is lost with its disk, and comes back from a file and a sheet of paper.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use crate::{
    node::{Node, PATIENCE, text},
    people::{ROSA, pdf, words},
    rekey::checks,
    story::import,
    world::{World, admit, fetch_words, lines, patient},
};

/// A hospital in the network of a clinic, with a patient and a scan of so many bytes.
fn hospital_with_a_scan(world: &World, scan: &str) -> (Node, Node) {
    let mut clinic = world.node("clinic", "Maple Family Clinic", "clinic");
    let mut hospital = world.node("hospital", "St. Brigid Hospital", "hospital");
    clinic.start();
    hospital.start();
    clinic.ok(&[
        "network",
        "found",
        "--name",
        "Springfield",
        "--policy",
        "us-treatment",
        "--test",
    ]);
    admit(&clinic, &hospital);
    import(&hospital, &world.file("rosa.json", &ROSA.bundle()));
    let rosa = patient(&hospital, ROSA.family);
    hospital.ok(&[
        "document",
        "add",
        "--patient",
        &rosa,
        "--type",
        "18842-5",
        scan,
    ]);
    (clinic, hospital)
}

/// Draws a sheet and writes its secret where its owner alone may read it.
fn sheet(node: &Node, world: &World, name: &str) -> String {
    let secret = text(&node.ok(&["recovery-sheet"])["secret"]);
    let file = world.file(name, format!("{secret}\n").as_bytes());
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
    file
}

/// The scan of the only patient, as another member gets it.
fn fetched(asker: &Node, holder: &Node, out: &str) -> Option<Vec<u8>> {
    let ledger = asker.run(&words(&ROSA.question())).json;
    let line = lines(&ledger["nodes"]).find(|line| line["node"] == holder.id.as_str())?;
    let handle = line["handle"].as_str()?.to_owned();
    let list = asker.run(&["documents", "--handle", &handle, "--purpose", "TREAT"]);
    let scan = lines(&list.json["documents"]).find(|document| document["on_demand"] == false)?;
    let fetched = asker.run(&fetch_words(&handle, &text(&scan["id"]), out));
    (fetched.exit == 0).then(|| fs::read(out).expect("written"))
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

/// Saved under load, destroyed, brought back elsewhere: a peer fetches the same bytes.
///
/// The hard case is everything that looks like the backup and is not: nothing of it is written.
#[test]
fn a_node_that_lost_its_disk_comes_back_from_a_file_and_a_sheet() {
    let world = World::new();
    let scan = pdf(300_000);
    let (clinic, mut hospital) = hospital_with_a_scan(&world, &world.file("scan.pdf", &scan));
    let file = world.out("hospital.cmbackup");
    assert_eq!(
        hospital.run(&["backup", &file]).expect(6).code(),
        "NO_RECOVERY_SHEET"
    );
    let other_sheet = sheet(&hospital, &world, "first-sheet");
    let sheet = sheet(&hospital, &world, "sheet");
    let town = world.out("town");
    hospital.ok(&["sample", "--patients", "20", "--out", &town]);
    let load = ["import", &town];
    let importing = hospital.spawn(&load);
    let before = hospital.ok(&["status"])["journal_position"].as_u64();

    let saved = hospital.ok(&["backup", &file]);

    let position = saved["position"].as_u64();
    hospital.finish(&load, importing);
    let after = hospital.ok(&["status"])["journal_position"].as_u64();
    assert!(
        before <= position && position <= after,
        "{before:?} {saved} {after:?}"
    );
    assert_eq!(saved["verified"], true);
    let bytes = fs::read(&file).expect("the backup is there");
    assert_eq!(saved["bytes"], bytes.len());
    for word in ["Delgado", "Brigid", "journal/"] {
        let found = bytes
            .windows(word.len())
            .any(|window| window == word.as_bytes());
        assert!(!found, "{word}");
    }
    let members = hospital.ok(&["network", "members"])["members"].clone();
    hospital.kill();
    // Somebody will find it.
    let lost = world.path("lost");
    fs::rename(&hospital.dir, &lost).expect("the disk is lost");

    let mut back = hospital.again_in(world.path("another-machine"));
    let restore = |file: &str, sheet: &str| back.run(&["restore", file, "--sheet", sheet]);
    let mut altered = bytes.clone();
    altered[bytes.len() / 2] ^= 1;
    let half = world.file("half", &bytes[..bytes.len() / 2]);
    for (file, sheet, code) in [
        (&world.file("altered", &altered), &sheet, "BACKUP_ALTERED"),
        (&half, &sheet, "BACKUP_ALTERED"),
        (
            &world.file("text", b"no backup"),
            &sheet,
            "BACKUP_MALFORMED",
        ),
        (&file, &other_sheet, "RECOVERY_SHEET"),
        (&file, &file, "PERMISSIONS"),
    ] {
        fs::set_permissions(file, Permissions::from_mode(0o644)).expect("ours");
        assert_eq!(restore(file, sheet).expect(6).code(), code);
        assert_eq!(names(&back.dir), Vec::<String>::new(), "{code}");
    }
    let restored = restore(&file, &sheet).expect(0).json;
    assert_eq!(restored["position"], saved["position"]);
    assert_eq!(restored["recorded"], saved["recorded"]);
    assert_eq!(restored["node"], hospital.id.as_str());
    assert_eq!(restore(&file, &sheet).expect(6).code(), "NOT_EMPTY");

    back.start();
    assert_eq!(
        back.ok(&["network", "members"])["members"]
            .as_array()
            .map(Vec::len),
        members.as_array().map(Vec::len)
    );
    assert_eq!(back.ok(&["audit", "verify"])["verified"], true);
    // What was revoked after the backup is not revoked here: nobody is served before somebody says that this is known.
    assert_eq!(back.ok(&["status"])["health"], "restored");
    assert_eq!(checks(&back, "restored"), ["bad"]);
    let out = world.out("fetched.pdf");
    let listens = |node: &Node| lines(&node.ok(&["status"])["listen"]).count();
    assert!(listens(&clinic) > 0 && listens(&back) == 0);
    assert!(fetched(&clinic, &back, &out).is_none());
    let accepted = back.run(&["doctor", "--accept-restore"]).json;
    assert!(lines(&accepted["checks"]).all(|check| check["name"] != "restored"));
    assert!(listens(&back) > 0);
    let mut same = None;
    clinic.wait("fetches the scan", PATIENCE, || {
        same = fetched(&clinic, &back, &out);
        same.is_some()
    });
    assert!(same == Some(scan), "the bytes are the same");
    // The sheet that brought it back closes the next backup too.
    assert_eq!(back.ok(&["backup", &file])["sheet"], saved["sheet"]);

    let mut forgotten = hospital.again_in(lost);
    forgotten.start();
    forgotten.wait("is told to stop", PATIENCE, || {
        checks(&forgotten, "superseded") == ["bad"]
    });
    assert_eq!(checks(&clinic, "twin"), ["warn"]);
    assert!(checks(&back, "superseded").is_empty());
}
