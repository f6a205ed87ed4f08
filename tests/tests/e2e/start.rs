//! How a node starts, what stops it from starting, and what works without a daemon.

use std::fs;

use crate::{
    node::text,
    people::{ROSA, pdf},
    story::import,
    world::{World, lines, patient},
};

/// The exit codes of `chartmeshd` that a service manager tells apart.
const REFUSED: i32 = 6;
const UNAVAILABLE: i32 = 75;

#[test]
fn a_directory_in_use_refuses_a_second_daemon() {
    let world = World::new();
    let mut first = world.node("clinic", "Maple Family Clinic", "clinic");
    first.start();
    let mut second = first.second_daemon();

    assert_eq!(second.start_in_vain(), UNAVAILABLE);
    assert!(
        second.said().contains("DATA_DIR_LOCKED"),
        "{}",
        second.said()
    );

    first.ok(&["status"]);
    first.stop();
    second.start();
    second.stop();
}

#[test]
fn a_taken_port_refuses_the_second_node() {
    let world = World::new();
    let mut first = world.node("clinic", "Maple Family Clinic", "clinic");
    first.start();
    first.ok(&["network", "found", "--name", "First", "--test"]);
    let listen = text(
        lines(&first.ok(&["status"])["listen"])
            .next()
            .expect("it listens"),
    );
    let address = listen.split("/p2p/").next().expect("an address");
    let mut second = world.node_at("hospital", "St. Brigid Hospital", address);
    second.ok(&["network", "found", "--name", "Second", "--test"]);

    assert_eq!(second.start_in_vain(), UNAVAILABLE);
    assert!(second.said().contains("PORT_TAKEN"), "{}", second.said());

    first.stop();
    second.start();
}

#[test]
fn an_unknown_key_in_the_configuration_is_refused() {
    let world = World::new();
    let mut node = world.node("clinic", "Maple Family Clinic", "clinic");
    node.start();
    node.stop();
    let path = node.dir.join("config.toml");
    let good = fs::read_to_string(&path).expect("init wrote it");

    fs::write(&path, format!("lisssten = []\n{good}")).expect("written");

    assert_eq!(node.start_in_vain(), REFUSED);
    assert!(node.said().contains("CONFIG_MALFORMED"), "{}", node.said());
    fs::write(&path, good).expect("written");
    node.start();
}

/// Before any network exists the daemon runs and says so.
#[test]
fn a_node_without_a_network_says_how_it_is() {
    let world = World::new();
    let mut node = world.node("clinic", "Maple Family Clinic", "clinic");
    node.start();

    let alone = node.ok(&["status"]);

    assert_eq!(alone["health"], "not-in-a-network", "{alone}");
    assert!(alone["network"].is_null(), "{alone}");
    assert_eq!(alone["node"], node.id.as_str());
    assert_eq!(lines(&node.ok(&["peers"])["peers"]).count(), 0);
    node.ok(&["network", "found", "--name", "First", "--test"]);
    let founded = node.ok(&["status"]);
    assert_eq!(founded["health"], "ok", "{founded}");
    assert_eq!(founded["members"], 1, "{founded}");
}

/// What works alone starts the daemon for one command; everything else says that none runs.
#[test]
fn commands_that_can_work_alone_need_no_daemon() {
    let world = World::new();
    let mut node = world.node("clinic", "Maple Family Clinic", "clinic");

    node.ok(&["network", "found", "--name", "Alone", "--test"]);
    assert_eq!(node.ok(&["audit", "verify"])["verified"], true);
    assert_ne!(node.run(&["doctor"]).exit, 7, "doctor works alone");

    let file = world.file("rosa.json", &ROSA.bundle());
    for command in [
        &["status"][..],
        &["peers"],
        &["network", "members"],
        &["patient", "list"],
        &["import", &file],
        &["audit", "list"],
    ] {
        node.run(command).expect(7);
    }
    node.start();
    import(&node, &file);
}

#[test]
fn a_node_without_peers_serves_its_own_people() {
    let world = World::new();
    let mut node = world.node("clinic", "Maple Family Clinic", "clinic");
    node.start();

    import(&node, &world.file("rosa.json", &ROSA.bundle()));
    let rosa = patient(&node, ROSA.family);
    let file = world.file("scan.pdf", &pdf(100_000));
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
    node.start();

    let shown = node.ok(&["patient", "show", &rosa]);
    assert_eq!(lines(&shown["documents"]).count(), 1, "{shown}");
    assert_eq!(node.ok(&["audit", "verify"])["verified"], true);
}
