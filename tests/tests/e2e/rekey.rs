//! Real daemons: a member changes its node key while it runs.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    node::{Node, PATIENCE, text},
    people::{ROSA, words},
    story::import,
    world::{Network, fetch_words, line_of, lines},
};

/// A member is found and read from by its new node key as it was by its old one, and never stops running.
///
/// The hard case is who has the old key, with everything else the node had: it knows every member and
/// where they are, and is answered by none.
#[test]
fn a_member_goes_over_to_a_new_node_key_and_whoever_has_the_old_one_is_refused() {
    let mut network = Network::new("us-treatment");
    import(
        &network.hospital,
        &network.world.file("rosa.json", &ROSA.bundle()),
    );
    network.hospital.stop();
    let stolen = network.world.path("stolen");
    copy(&network.hospital.dir, &stolen);
    let mut thief = network.hospital.again_in(stolen);
    network.hospital.start();
    let Network {
        clinic,
        hospital,
        harbor,
        world,
    } = &mut network;
    harbor.wait("the old key is answered", PATIENCE, || {
        answer(harbor, hospital) == "match" && answer(hospital, harbor) == "no-match"
    });

    let drawn = hospital.ok(&["network", "rekey"]);

    let next = text(&drawn["node"]);
    let status = hospital.ok(&["status"]);
    assert_eq!(status["next_node"], next.as_str());
    assert_eq!(status["node"], hospital.id.as_str(), "nobody has signed");
    let said = hospital.run_in_words(&["status"]).stdout;
    assert!(
        said.contains("NODE KEY") && said.contains("reissue"),
        "{said}"
    );
    assert_eq!(checks(hospital, "node-key"), ["warn"]);
    let change = world.file("hospital.key-change", text(&drawn["change"]).as_bytes());
    let member = text(&status["member"]);
    let reissued = clinic.ok(&["network", "reissue", &member, "--change", &change]);
    assert_eq!(reissued["state"], "approved", "{reissued}");
    hospital.wait("goes by the new key", PATIENCE, || {
        let status = hospital.ok(&["status"]);
        status["node"] == next.as_str() && status["next_node"].is_null()
    });
    hospital.id = next;
    harbor.wait("located by the new key", PATIENCE, || {
        answer(harbor, hospital) == "match"
    });
    fetched(harbor, hospital, &world.out("record.json"));
    assert_eq!(answer(hospital, harbor), "no-match", "and it asks by it");
    assert!(
        !hospital
            .run_in_words(&["status"])
            .stdout
            .contains("NODE KEY")
    );

    thief.start();
    thief.wait("it is told", PATIENCE, || {
        thief.ok(&["status"])["health"] == "superseded"
    });
    assert_eq!(checks(&thief, "node-key"), ["bad"]);
    for holder in [&*clinic, &*harbor] {
        let said = answer(&thief, holder);
        assert!(
            ["refused", "unreachable"].contains(&said.as_str()),
            "{said}"
        );
    }
    assert_eq!(
        answer(harbor, hospital),
        "match",
        "nobody takes the thief for it"
    );
    // What it took survives a restart, and is good for another year.
    let renewed = clinic.ok(&["network", "reissue", &member, "--renew"]);
    assert_eq!(renewed["state"], "approved", "{renewed}");
    let both = [
        "network", "reissue", &member, "--renew", "--change", &change,
    ];
    clinic.run(&both).expect(2);
    hospital.stop();
    hospital.start();
    assert_eq!(hospital.ok(&["status"])["node"], hospital.id.as_str());
}

/// What a member says of Rosa.
fn answer(asker: &Node, holder: &Node) -> String {
    let ledger = asker.run(&words(&ROSA.question())).json;
    let line = lines(&ledger["nodes"]).find(|line| line["node"] == holder.id.as_str());
    line.map_or_else(String::new, |line| text(&line["answer"]))
}

/// Reads Rosa's record from its holder.
pub(crate) fn fetched(asker: &Node, holder: &Node, out: &str) -> Value {
    let ledger = asker.ok(&words(&ROSA.question()));
    let handle = text(&line_of(&ledger, holder)["handle"]);
    let documents = asker.ok(&["documents", "--handle", &handle, "--purpose", "TREAT"]);
    let record = lines(&documents["documents"])
        .find(|document| document["on_demand"] == true)
        .expect("the record itself is offered");
    let document = text(&record["id"]);
    let fetched = asker.ok(&fetch_words(&handle, &document, out));
    assert_eq!(fetched["verified"], true);
    assert_eq!(fetched["source"], holder.id.as_str());
    fetched
}

/// What `doctor` says of one thing, in each of its lines about it.
pub(crate) fn checks(node: &Node, name: &str) -> Vec<String> {
    let doctor = node.run(&["doctor"]).json;
    let checks = lines(&doctor["checks"]).filter(|check| check["name"] == name);
    checks.map(|check| text(&check["status"])).collect()
}

/// Everything in a directory, as whoever takes the machine has it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("the scratch directory can be written");
    let mode = fs::metadata(from).expect("it is there").permissions();
    fs::set_permissions(to, mode).expect("it is ours");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("it can be read");
        let (kind, to) = (entry.file_type(), to.join(entry.file_name()));
        let kind = kind.expect("it has a kind");
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            fs::copy(entry.path(), to).expect("it is copied");
        }
    }
}
