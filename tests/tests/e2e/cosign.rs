//! Real daemons: three authorities found a network by files, and two of them admit a member.

use crate::{
    node::{Node, PATIENCE, text},
    world::{World, active, invite, join, lines},
};

fn path(node: &Node, name: &str) -> String {
    let folder = node.dir.parent().expect("nodes lie in a scratch directory");
    folder.join(name).to_string_lossy().into_owned()
}

/// Three nodes that founded a network by files, two of three signing, and run; told beside that are more
/// words of `network found`.
pub(crate) fn three_trees(world: &World, policy: &str, more: &[&str]) -> [Node; 3] {
    let mut oak = world.node("oak", "Oak Clinic", "clinic");
    let mut elm = world.node("elm", "Elm Hospital", "hospital");
    let mut ash = world.node("ash", "Ash Laboratory", "lab");
    let file = path(&oak, "founding.proposal");
    for (node, name) in [(&elm, "elm.authority"), (&ash, "ash.authority")] {
        let offered = text(&node.ok(&["network", "authority"])["authority"]);
        std::fs::write(path(node, name), offered).expect("the scratch directory can be written");
    }

    // By files, and without a daemon anywhere.
    let (second, third) = (path(&elm, "elm.authority"), path(&ash, "ash.authority"));
    let found = [
        "network",
        "found",
        "--name",
        "Three Trees",
        "--policy",
        policy,
        "--test",
        "--authority",
        &second,
        &third,
        "--threshold",
        "2",
        "--out",
        &file,
    ];
    let begun = oak.ok(&[&found[..], more].concat());
    assert_eq!(begun["founded"], false);
    let alone = oak.run(&["network", "found", "--charter", &file]);
    assert_eq!(alone.code(), "QUORUM_REQUIRED");
    let shown = elm.ok(&["network", "cosign", &file, "--show"]);
    assert!(lines(&shown["proposals"]).all(|line| line["signed"] == 1));
    let signed = elm.ok(&["network", "cosign", &file, "--out", &file]);
    assert!(lines(&signed["proposals"]).all(|line| line["state"] == "complete"));
    let founded = oak.ok(&["network", "found", "--charter", &file]);
    assert_eq!(founded["network"], begun["network"]);
    for node in [&mut oak, &mut elm, &mut ash] {
        node.start();
    }
    for node in [&elm, &ash] {
        join(node, &invite(&oak)).expect(0);
        node.wait("is a member by its founding credential", PATIENCE, || {
            active(node) == 3
        });
    }
    [oak, elm, ash]
}

/// Admits a newcomer over the network: one authority signs, the applicant waits, the other signs.
pub(crate) fn admit_by_two(one: &Node, other: &Node, newcomer: &Node) {
    let asked = join(newcomer, &invite(one)).expect(0).json;
    let words = text(&asked["id"]);
    one.wait("the request arrives", PATIENCE, || {
        let requests = one.ok(&["network", "requests"]);
        lines(&requests["requests"]).any(|request| request["id"] == words.as_str())
    });
    let approved = one.ok(&["network", "approve", &words]);
    assert_eq!(approved["state"], "waiting");
    let id = text(&approved["proposal"]["id"]);
    other.wait("the proposal arrives", PATIENCE, || {
        let waiting = other.ok(&["network", "cosign"]);
        lines(&waiting["proposals"]).any(|line| line["id"] == id.as_str())
    });
    assert!(active(newcomer) == 0);
    assert_eq!(asked_to_sign(other), [id.as_str()]);
    assert!(asked_to_sign(one).is_empty(), "it has signed");
    let signed = other.ok(&["network", "cosign", &id]);
    assert_eq!(signed["proposals"][0]["state"], "complete");
    assert!(asked_to_sign(other).is_empty());
    newcomer.wait("is a member", PATIENCE, || active(newcomer) > 0);
}

/// What `status` says waits for the signature of this node.
fn asked_to_sign(node: &Node) -> Vec<String> {
    let status = node.ok(&["status"]);
    let said = node.run_in_words(&["status"]);
    let waiting: Vec<String> = lines(&status["proposals"])
        .map(|line| text(&line["id"]))
        .collect();
    let shown = said.stdout.contains("SIGNATURE ASKED");
    assert_eq!(shown, !waiting.is_empty(), "{}", said.stdout);
    waiting
}

/// Nobody's key alone founds, admits or changes anything.
#[test]
fn two_of_three_authorities_found_a_network_by_files_and_admit_a_member_over_it() {
    let world = World::new();
    let [oak, elm, ash] = three_trees(&world, "opt-in", &[]);
    let mut newcomer = world.node("new", "Fir Pharmacy", "pharmacy");
    newcomer.start();
    admit_by_two(&oak, &elm, &newcomer);
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
