//! A disk that is full.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    node::{Node, text},
    people::{ROSA, TOMAS, pdf},
    story::import,
    world::{World, lines, patient},
};

/// A full disk refuses writing with a code, loses nothing acknowledged, starts, reads, and recovers.
///
/// The hard case is the start: a node that could not start on a full disk could not be looked at either.
#[test]
fn a_full_disk_refuses_writing_and_goes_on_reading() {
    let world = World::new();
    let Some(_disk) = SmallDisk::mount(world.path("small")) else {
        println!("skipped: a tmpfs cannot be mounted here, only root may");
        return;
    };
    let mut node = world.node("small/clinic", "Maple Family Clinic", "clinic");
    node.start();
    import(&node, &world.file("rosa.json", &ROSA.bundle()));
    let rosa = patient(&node, ROSA.family);
    let mut acknowledged = Vec::new();
    let refused = loop {
        // Each of them other bytes, since the same are stored once.
        let file = world.file("scan.pdf", &pdf((1 << 20) + acknowledged.len()));
        let added = node.run(&add(&rosa, &file));
        if added.exit != 0 {
            break added;
        }
        acknowledged.push(text(&added.json["sha256"]));
        assert!(acknowledged.len() < 32, "more than the disk holds");
    };

    assert_eq!(refused.expect(6).code(), "STORAGE_FULL");
    assert!(acknowledged.len() > 3, "{}", acknowledged.len());
    fs::write(world.path("small/ballast"), pdf(24 << 20)).expect_err("the disk ends before");
    for _ in 0..3 {
        let file = world.file("tomas.json", &TOMAS.bundle());
        assert_eq!(
            node.run(&["import", &file]).expect(6).code(),
            "STORAGE_FULL"
        );
        let file = world.file("late.pdf", &pdf(500_000));
        assert_eq!(
            node.run(&add(&rosa, &file)).expect(6).code(),
            "STORAGE_FULL"
        );
        all_there(&node, &rosa, &acknowledged);
        node.stop();
        node.start();
        all_there(&node, &rosa, &acknowledged);
        assert_eq!(node.ok(&["audit", "verify"])["verified"], true);
    }
    node.kill();
    node.start();
    all_there(&node, &rosa, &acknowledged);

    fs::remove_file(world.path("small/ballast")).expect("removed");
    let file = world.file("small.pdf", &pdf(100_000));
    acknowledged.push(text(&node.ok(&add(&rosa, &file))["sha256"]));
    import(&node, &world.file("tomas.json", &TOMAS.bundle()));
    all_there(&node, &rosa, &acknowledged);
}

fn add<'a>(patient: &'a str, file: &'a str) -> [&'a str; 7] {
    [
        "document",
        "add",
        "--patient",
        patient,
        "--type",
        "18842-5",
        file,
    ]
}

/// Exactly what was acknowledged is there.
#[track_caller]
fn all_there(node: &Node, patient: &str, acknowledged: &[String]) {
    let shown = node.ok(&["patient", "show", patient]);
    let mut stored: Vec<String> = lines(&shown["documents"])
        .map(|document| text(&document["sha256"]))
        .collect();
    let mut expected = acknowledged.to_vec();
    stored.sort();
    expected.sort();
    assert_eq!(stored, expected);
}

/// A file system of 24 MiB in memory; only root can have one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir(&at).expect("the folder is made");
        run("mount", &["-t", "tmpfs", "-o", "size=24m", "tmpfs"], &at).then_some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], &self.0);
    }
}

fn run(program: &str, arguments: &[&str], at: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(at).output();
    output.is_ok_and(|output| output.status.success())
}
