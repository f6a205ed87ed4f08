//! A member is thrown out while it reads.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{
    node::{Node, PATIENCE, text},
    outage::part_bytes,
    people::{ROSA, pdf, words},
    story::import,
    world::{Network, line_of, lines, patient},
};

/// How long what is under way with a revoked member may go on (`protocol.md` 1).
const END_MAX: Duration = Duration::from_secs(2);

/// The hard case is a holder that did not revoke the member itself, and is in the middle of sending.
#[test]
fn a_revoked_member_loses_its_stream_within_two_seconds_and_is_refused_from_then_on() {
    let network = Network::new("us-treatment");
    let (authority, holder, asker) = (&network.clinic, &network.hospital, &network.harbor);
    let scan = pdf(96 << 20);
    import(holder, &network.world.file("rosa.json", &ROSA.bundle()));
    let rosa = patient(holder, ROSA.family);
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
    let document = text(&holder.ok(&add)["document"]);
    let ledger = asker.ok(&words(&ROSA.question()));
    let handle = text(&line_of(&ledger, holder)["handle"]);
    let out = network.world.out("out.pdf");
    let fetch = [
        "fetch",
        "--handle",
        &handle,
        "--document",
        &document,
        "--purpose",
        "TREAT",
        "--out",
        &out,
    ];
    let under_way = asker.spawn(&fetch);
    let parts = asker.dir.join("parts");
    asker.wait("some of it has arrived", PATIENCE, || {
        part_bytes(&parts) > 1 << 20
    });

    let revoke = ["network", "revoke", &asker.id, "--reason", "laptop stolen"];
    let revoked = authority.ok(&revoke);
    let began = Instant::now();
    let cut = asker.finish(&fetch, under_way);
    let ended = began.elapsed();

    println!("the stream ended {ended:?} after the revocation had returned");
    assert_ne!(cut.exit, 0, "the fetch was faster than the revocation");
    assert!(ended < END_MAX, "{ended:?}");
    assert!(fs::metadata(&out).is_err(), "half a document is none");
    assert_eq!(revoked["status"], "revoked");
    assert_eq!(revoked["version"], 1);
    assert_eq!(revoked["organization"], asker.organization.as_str());
    for node in [authority, holder] {
        node.wait("it is shown as revoked", END_MAX, || {
            status(node, asker) == "revoked"
        });
    }
    // It may connect as a stranger, and is told no more than that it is none of them.
    let again = asker.run(&fetch);
    assert_ne!(again.exit, 0, "{}", again.json);
    let ledger = asker.run(&words(&ROSA.question())).json;
    for node in [authority, holder] {
        let answer = text(&line_of(&ledger, node)["answer"]);
        assert!(
            ["refused", "unreachable"].contains(&answer.as_str()),
            "{ledger}"
        );
    }
    for node in [authority, holder] {
        node.wait("the refusal is on record", PATIENCE, || {
            asker.run(&words(&ROSA.question()));
            codes(node).iter().any(|code| code == "KEY_REVOKED")
        });
    }
    let reasons = authority.ok(&["audit", "list"]);
    let kept = lines(&reasons["entries"]).any(|entry| {
        entry["kind"] == "member-revoked" && entry.to_string().contains("laptop stolen")
    });
    assert!(kept, "{reasons}");
    let twice = authority.run(&revoke);
    assert_eq!(twice.expect(6).code(), "KEY_REVOKED");
    let trust = &holder.ok(&["status"])["trust"];
    assert_eq!(
        (&trust["list_version"], &trust["revoked"]),
        (&1.into(), &1.into())
    );
    assert_eq!(trust["stale"], false);
}

fn status(knower: &Node, member: &Node) -> String {
    let members = knower.ok(&["network", "members"]);
    let mut known = lines(&members["members"]);
    let line = known.find(|line| line["node"] == member.id.as_str());
    text(&line.expect("a line for it")["status"])
}

fn codes(node: &Node) -> Vec<String> {
    let audit = node.ok(&["audit", "list"]);
    lines(&audit["entries"])
        .filter_map(|entry| entry["code"].as_str().map(str::to_owned))
        .collect()
}
