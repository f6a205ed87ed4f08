//! A machine whose clock is wrong.

use std::process::Command;

use crate::{
    node::{Node, PATIENCE, text},
    people::{ROSA, words},
    story::import,
    world::{Network, line_of, lines},
};

/// A node an hour off neither asks nor answers, by name of the fault, and comes back once it is set right.
///
/// The hard case is that its own log is then ahead of its clock: a person must accept that.
#[test]
fn a_clock_off_by_an_hour_is_refused_both_ways() {
    let Some(hour_ahead) = ahead("+1h") else {
        return;
    };
    let mut network = Network::new("us-treatment");
    for (node, name) in [(&network.hospital, "a.json"), (&network.harbor, "b.json")] {
        import(node, &network.world.file(name, &ROSA.bundle()));
    }
    assert_eq!(answer(&network.harbor, &network.hospital).0, "match");
    assert_eq!(answer(&network.hospital, &network.harbor).0, "match");

    network.harbor.stop();
    network.harbor.start_within(hour_ahead);

    for (asker, other) in [
        (&network.harbor, &network.hospital),
        (&network.hospital, &network.harbor),
    ] {
        let skew = ("refused".to_owned(), "CLOCK_SKEW".to_owned());
        asker.wait("the clock is refused", PATIENCE, || {
            answer(asker, other) == skew
        });
    }
    network.harbor.ok(&["patient", "list"]);

    network.harbor.stop();
    network.harbor.start();
    let harbor = &network.harbor;
    assert_eq!(harbor.ok(&["status"])["health"], "clock-behind");
    let clock = |checks: &serde_json::Value| {
        let clock = lines(&checks["checks"]).find(|check| check["name"] == "clock");
        text(&clock.expect("doctor looks at the clock")["status"])
    };
    assert_eq!(clock(&harbor.run(&["doctor"]).json), "bad");
    assert_eq!(
        clock(&harbor.run(&["doctor", "--accept-clock"]).json),
        "warn"
    );
    network.harbor.stop();
    network.harbor.start();
    for (asker, other) in [
        (&network.harbor, &network.hospital),
        (&network.hospital, &network.harbor),
    ] {
        asker.wait("they are together again", PATIENCE, || {
            answer(asker, other).0 == "match"
        });
    }
}

/// What the other says to a question about Rosa, and with which code.
fn answer(asker: &Node, other: &Node) -> (String, String) {
    let ledger = asker.run(&words(&ROSA.question())).json;
    let line = line_of(&ledger, other);
    (
        text(&line["answer"]),
        line["code"].as_str().unwrap_or_default().to_owned(),
    )
}

/// What makes a program's clock fast: libfaketime, where its own program says it is.
pub(crate) fn ahead(by: &str) -> Option<Vec<(&'static str, String)>> {
    let found = Command::new("faketime")
        .args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"])
        .output();
    let library = found.ok().filter(|output| output.status.success());
    let Some(library) = library.and_then(|output| String::from_utf8(output.stdout).ok()) else {
        println!("skipped: faketime is not installed");
        assert!(
            std::env::var_os("CHARTMESH_DEMAND_FAKETIME").is_none(),
            "faketime is demanded"
        );
        return None;
    };
    Some(vec![
        ("LD_PRELOAD", library.trim().to_owned()),
        ("FAKETIME", by.to_owned()),
        // Deadlines and the runtime's timers are no matter of the wall's clock.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}
