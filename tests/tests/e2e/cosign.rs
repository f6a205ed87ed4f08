//! Real daemons: three authorities found a network by files, and two of them admit a member.

use crate::{
    node::{Node, PATIENCE, text},
    world::{World, invite, join, lines},
};

fn path(node: &Node, name: &str) -> String {
    let folder = node.dir.parent().expect("nodes lie in a scratch directory");
    folder.join(name).to_string_lossy().into_owned()
}

fn active(node: &Node) -> usize {
    let members = node.run(&["network", "members"]);
    lines(&members.json["members"])
        .filter(|member| member["status"] == "active")
        .count()
}

/// Nobody's key alone founds, admits or changes anything.
#[test]
fn two_of_three_authorities_found_a_network_by_files_and_admit_a_member_over_it() {
    let world = World::new();
    let mut oak = world.node("oak", "Oak Clinic", "clinic");
    let mut elm = world.node("elm", "Elm Hospital", "hospital");
    let mut ash = world.node("ash", "Ash Laboratory", "lab");
    let mut newcomer = world.node("new", "Fir Pharmacy", "pharmacy");
    let file = path(&oak, "founding.proposal");
    for (node, name) in [(&elm, "elm.authority"), (&ash, "ash.authority")] {
        let offered = text(&node.ok(&["network", "authority"])["authority"]);
        std::fs::write(path(node, name), offered).expect("the scratch directory can be written");
    }

    // By files, and without a daemon anywhere.
    let (second, third) = (path(&elm, "elm.authority"), path(&ash, "ash.authority"));
    let begun = oak.ok(&[
        "network",
        "found",
        "--name",
        "Three Trees",
        "--policy",
        "opt-in",
        "--test",
        "--authority",
        &second,
        &third,
        "--threshold",
        "2",
        "--out",
        &file,
    ]);
    assert_eq!(begun["founded"], false);
    let alone = oak.run(&["network", "found", "--charter", &file]);
    assert_eq!(alone.code(), "QUORUM_REQUIRED");
    let shown = elm.ok(&["network", "cosign", &file, "--show"]);
    assert!(lines(&shown["proposals"]).all(|line| line["signed"] == 1));
    let signed = elm.ok(&["network", "cosign", &file, "--out", &file]);
    assert!(lines(&signed["proposals"]).all(|line| line["state"] == "complete"));
    let founded = oak.ok(&["network", "found", "--charter", &file]);
    assert_eq!(founded["network"], begun["network"]);
    for node in [&mut oak, &mut elm, &mut ash, &mut newcomer] {
        node.start();
    }
    for node in [&elm, &ash] {
        join(node, &invite(&oak)).expect(0);
        node.wait("is a member by its founding credential", PATIENCE, || {
            active(node) == 3
        });
    }

    // Over the network: one signs, the applicant waits, the other signs.
    let asked = join(&newcomer, &invite(&oak)).expect(0).json;
    let words = text(&asked["id"]);
    oak.wait("the request arrives", PATIENCE, || {
        let requests = oak.ok(&["network", "requests"]);
        lines(&requests["requests"]).any(|request| request["id"] == words.as_str())
    });
    let approved = oak.ok(&["network", "approve", &words]);
    assert_eq!(approved["state"], "waiting");
    let id = text(&approved["proposal"]["id"]);
    elm.wait("the proposal arrives", PATIENCE, || {
        let waiting = elm.ok(&["network", "cosign"]);
        lines(&waiting["proposals"]).any(|line| line["id"] == id.as_str())
    });
    assert!(active(&newcomer) == 0);
    let signed = elm.ok(&["network", "cosign", &id]);
    assert_eq!(signed["proposals"][0]["state"], "complete");
    newcomer.wait("is a member", PATIENCE, || active(&newcomer) > 0);
    for node in [&oak, &elm, &ash] {
        node.wait("knows the newcomer", PATIENCE, || active(node) == 4);
    }

    // A charter of two reaches all, also the one that signed nothing.
    let amended = ash.ok(&["network", "amend", "--policy", "us-treatment"]);
    let id = text(&amended["proposals"][0]["id"]);
    oak.wait("the charter is proposed", PATIENCE, || {
        oak.run(&["network", "cosign", &id]).exit == 0
    });
    for node in [&oak, &elm, &ash, &newcomer] {
        node.wait("goes by the new charter", PATIENCE, || {
            let rules = node.ok(&["network", "rules"]);
            rules["version"] == 1 && rules["policy"] == "us-treatment"
        });
    }
}
