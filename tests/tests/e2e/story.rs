//! The main job, end to end, by the command line only.

use std::fs;

use serde_json::Value;

use crate::{
    node::{Node, text},
    people::{ROSA, TOMAS, words},
    world::{Network, line_of, lines, patient},
};

/// Strangers form a network, find a patient's records, read one document with her consent, and both
/// ends can show it afterwards.
///
/// The hard case is that the order matters at every step: nothing before consent, everything after
/// it, nothing after its revocation.
#[test]
fn strangers_share_one_consented_document_and_account_for_it() {
    let network = Network::new("opt-in");
    let Network {
        clinic,
        hospital,
        harbor,
        world,
    } = &network;
    for node in [clinic, hospital, harbor] {
        let members = node.ok(&["network", "members"]);
        let active = lines(&members["members"]).filter(|member| member["status"] == "active");
        assert_eq!(active.count(), 3, "{members}");
    }
    import(hospital, &world.file("rosa.json", &ROSA.bundle()));
    import(clinic, &world.file("tomas.json", &TOMAS.bundle()));

    let ledger = harbor.ok(&words(&ROSA.question()));

    assert_eq!(ledger["complete"], true, "{ledger}");
    assert_eq!(line_of(&ledger, hospital)["answer"], "match");
    assert_eq!(line_of(&ledger, hospital)["grade"], "certain");
    assert_eq!(line_of(&ledger, clinic)["answer"], "no-match");
    assert_eq!(lines(&ledger["nodes"]).count(), 2, "no line for ourselves");
    let handle = text(&line_of(&ledger, hospital)["handle"]);
    let list = ["documents", "--handle", &handle, "--purpose", "TREAT"];
    assert_eq!(harbor.run(&list).expect(3).code(), "DENIED");

    let rosa = patient(hospital, ROSA.family);
    let granted = hospital.ok(&[
        "consent",
        "grant",
        "--patient",
        &rosa,
        "--to",
        &harbor.id,
        "--purpose",
        "TREAT",
        "--by",
        "patient",
    ]);
    let documents = harbor.ok(&list);
    let record = lines(&documents["documents"])
        .find(|document| document["on_demand"] == true)
        .expect("the record itself is offered");
    let out = world.out("record.json");
    let fetched = harbor.ok(&[
        "fetch",
        "--handle",
        &handle,
        "--document",
        &text(&record["id"]),
        "--purpose",
        "TREAT",
        "--out",
        &out,
    ]);

    assert_eq!(fetched["verified"], true);
    assert_eq!(fetched["source"], hospital.id.as_str());
    let bundle: Value =
        serde_json::from_slice(&fs::read(&out).expect("written")).expect("a bundle");
    assert_eq!(bundle["resourceType"], "Bundle");
    let kinds: Vec<&Value> = lines(&bundle["entry"])
        .map(|entry| &entry["resource"]["resourceType"])
        .collect();
    for kind in ["Patient", "AllergyIntolerance", "Condition"] {
        assert!(
            kinds.iter().any(|found| *found == kind),
            "{kind} in {kinds:?}"
        );
    }

    let consent = text(&granted["consent"]);
    let revoked = hospital.ok(&["consent", "revoke", &consent]);
    assert_eq!(revoked["now"]["decision"], "deny");
    assert_eq!(harbor.run(&list).expect(3).code(), "DENIED");
    accounted(hospital, harbor, &rosa, &text(&fetched["disclosure"]));
    for node in [clinic, hospital, harbor] {
        assert_eq!(node.ok(&["audit", "verify"])["verified"], true);
    }
}

/// 45 CFR 164.528(b)(2): date, name and address of who received it, description, purpose.
fn accounted(holder: &Node, asker: &Node, patient: &str, disclosure: &str) {
    let accounting = holder.ok(&["audit", "accounting", "--patient", patient]);
    let entry = lines(&accounting["disclosures"])
        .find(|entry| entry["disclosure"] == disclosure)
        .expect("the disclosure is accounted for");
    assert_eq!(
        entry["recipient"]["organization"],
        asker.organization.as_str()
    );
    assert_eq!(entry["recipient"]["node"], asker.id.as_str());
    assert_eq!(entry["purpose"], "TREAT");
    for field in [
        &entry["date"],
        &entry["description"],
        &entry["recipient"]["address"],
    ] {
        assert!(!text(field).is_empty(), "{entry}");
    }

    let own = asker.ok(&["audit", "list"]);
    let joined = lines(&own["entries"]).any(|entry| entry["disclosure"] == disclosure);
    assert!(joined, "the other end has its entry too");
}

/// Imports one file that must be taken whole.
pub(crate) fn import(node: &Node, file: &str) {
    let report = node.ok(&["import", file]);
    assert_eq!(report["imported"], 1, "{report}");
    assert_eq!(report["patients"], 1, "{report}");
}
