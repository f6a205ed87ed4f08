//! Audit entries as FHIR `AuditEvent`, held against the profiles of IHE BALP 1.1 and against IHE's examples.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and the published examples lie outside the repository"
)]

use std::collections::BTreeSet;

use chartmesh_core::{
    audit::{Entry, Kind, Logged, Party, Surroundings, audit_event},
    membership::Organization,
    policy::Rule,
    types::{
        Code, ConsentId, DisclosureId, DocumentId, Kind as Provider, MemberId, NodeKey, PatientId,
        Purpose, Role, Timestamp, UserId,
    },
};
use serde_json::Value;

#[expect(dead_code, reason = "some tests read whole folders")]
mod shared;

const BALP: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";

fn organization(name: &str) -> Organization {
    Organization {
        name: name.to_owned(),
        kind: Provider::Clinic,
        npi: "1234567893".to_owned(),
        oid: String::new(),
        address: "1 Main Street".to_owned(),
        contact: String::new(),
        phone: String::new(),
        hours: String::new(),
        state: String::new(),
        part2: false,
        test: true,
    }
}

/// An entry of each kind, with everything such an entry can say.
fn entry(kind: Kind) -> Entry {
    Entry {
        member: Some(MemberId([2; 16])),
        patient: Some(PatientId([3; 16])),
        document: Some(DocumentId([4; 16])),
        consent: Some(ConsentId([5; 16])),
        disclosure: Some(DisclosureId([6; 16])),
        purpose: Some(Purpose::Treat),
        user: Some(UserId([7; 16])),
        role: Some(Role::Clinician),
        rule: Some(Rule::ConsentPermits),
        description: "discharge summary (LOINC 18842-5, application/pdf)".to_owned(),
        ..Entry::new(kind)
    }
}

fn event(entry: Entry) -> Option<Value> {
    let (own, other) = (organization("Clinic"), organization("Hospital"));
    let around = Surroundings {
        own: Party {
            member: MemberId([1; 16]),
            known: Some((NodeKey([8; 32]), &own)),
        },
        other: entry.member.map(|member| Party {
            member,
            known: Some((NodeKey([9; 32]), &other)),
        }),
        consented_by: Some("patient"),
    };
    let logged = Logged {
        index: 41,
        at: Timestamp(1_800_000_000_000),
        entry,
    };
    audit_event(&logged, &[10; 32], &around)
}

fn denied() -> Entry {
    Entry {
        code: Some(Code::Denied),
        rule: Some(Rule::ConsentDenies),
        ..entry(Kind::Denied)
    }
}

fn profile(event: &Value) -> Option<&str> {
    event["meta"]["profile"][0].as_str()
}

fn agents<'a>(event: &'a Value, code: &str) -> Vec<&'a Value> {
    let agents = event["agent"].as_array().unwrap().iter();
    let of_type = agents.filter(|agent| agent["type"]["coding"][0]["code"] == code);
    of_type.collect()
}

fn entities<'a>(event: &'a Value, code: &str) -> Vec<&'a Value> {
    let entities = event["entity"].as_array().unwrap().iter();
    entities
        .filter(|entity| entity["type"]["code"] == code)
        .collect()
}

/// What FHIR R4 demands of any `AuditEvent`.
fn assert_well_formed(event: &Value) {
    assert_eq!(event["resourceType"], "AuditEvent");
    for required in ["type", "recorded", "outcome", "action"] {
        assert!(!event[required].is_null(), "{required}: {event}");
    }
    assert!(event["source"]["observer"].is_object());
    let agents = event["agent"].as_array().unwrap();
    assert!(!agents.is_empty());
    for agent in agents {
        assert!(agent["requestor"].is_boolean() && agent["who"].is_object());
        let network = &agent["network"];
        assert!(network.is_null() || network["address"].as_str().unwrap().starts_with("p2p:"));
    }
    let id = event["id"].as_str().unwrap();
    assert!(id.len() <= 64 && !id.contains('_'));
}

#[test]
fn every_kind_of_entry_is_an_audit_event_but_padding() {
    for kind in Kind::ALL.iter().copied() {
        let Some(event) = event(entry(kind)) else {
            assert_eq!(kind, Kind::Padding);
            continue;
        };

        assert_well_formed(&event);
        assert_eq!(event["meta"]["security"][0]["code"], "HTEST");
        let bare = self::event(Entry::new(kind)).unwrap();
        assert_well_formed(&bare);
        assert_eq!(profile(&bare), None, "{}", kind.text());
    }
}

/// The elements are those of IHE.BasicAudit.PrivacyDisclosure.Source and .Recipient, BALP 1.1.4.
#[test]
fn a_disclosure_has_what_the_profile_asks_for_at_either_end() {
    let ends = [
        (Kind::Disclosed, "Source", "110106", "R", "110153"),
        (Kind::Received, "Recipient", "110107", "C", "110152"),
    ];
    for (kind, end, code, action, own) in ends {
        let event = event(entry(kind)).unwrap();

        let claimed = format!("{BALP}PrivacyDisclosure.{end}");
        assert_eq!(profile(&event), Some(claimed.as_str()));
        assert_eq!(
            (&event["type"]["code"], &event["action"]),
            (&code.into(), &action.into())
        );
        assert_eq!(event["subtype"][0]["code"], "disclose");
        assert_eq!(event["outcome"], "0");
        assert_eq!(event["purposeOfEvent"][0]["coding"][0]["code"], "TREAT");
        for role in ["110153", "110152"] {
            let [agent] = agents(&event, role)[..] else {
                panic!("one agent of {role}");
            };
            assert_eq!(agent["network"]["type"], "5");
        }
        assert_eq!(agents(&event, own)[0]["who"], event["source"]["observer"]);
        assert_eq!(agents(&event, "159541003").len(), 1);
        let authorizers = agents(&event, "429577009").len();
        assert_eq!(authorizers, usize::from(kind == Kind::Disclosed));
        let [patient] = entities(&event, "1")[..] else {
            panic!("one patient");
        };
        assert_eq!(patient["role"]["code"], "1");
        assert!(
            patient["what"]["reference"]
                .as_str()
                .unwrap()
                .starts_with("Patient/pat-")
        );
        assert!(event["entity"].as_array().unwrap().len() >= 2);
    }
}

/// The elements are those of IHE.BasicAudit.AuthZconsent: closed entities, four agents.
#[test]
fn a_decision_by_consent_is_an_authzconsent_and_one_by_default_policy_is_not() {
    let event = event(denied()).unwrap();
    assert_eq!(
        profile(&event),
        Some(format!("{BALP}AuthZconsent").as_str())
    );
    assert_eq!(event["subtype"].as_array().unwrap().len(), 1);
    assert_eq!(event["subtype"][0]["code"], "AuthZ-Consent");
    assert_eq!(
        (&event["outcome"], &event["action"]),
        (&"8".into(), &"E".into())
    );
    assert!(event["outcomeDesc"].as_str().unwrap().contains("denies"));
    for role in ["110150", "IRCP", "PROV", "authserver"] {
        assert_eq!(agents(&event, role).len(), 1, "{role}");
    }
    assert_eq!(
        agents(&event, "authserver")[0]["who"],
        event["source"]["observer"]
    );
    assert_eq!(agents(&event, "IRCP")[0]["requestor"], true);
    assert_eq!(event["entity"].as_array().unwrap().len(), 2);
    assert_eq!(entities(&event, "Consent").len(), 1);

    let by_policy = self::event(Entry {
        consent: None,
        rule: Some(Rule::PolicyDenies),
        ..denied()
    });
    let by_policy = by_policy.unwrap();
    assert_eq!(profile(&by_policy), None);
    assert_eq!(by_policy["subtype"][0]["code"], "AuthZ-Role");
}

#[test]
fn no_profile_is_claimed_where_something_it_asks_for_is_not_known() {
    for incomplete in [
        Entry {
            patient: None,
            ..entry(Kind::Received)
        },
        Entry {
            document: None,
            ..entry(Kind::Disclosed)
        },
        Entry {
            member: None,
            ..entry(Kind::Disclosed)
        },
        Entry {
            user: None,
            ..denied()
        },
    ] {
        assert_eq!(profile(&event(incomplete).unwrap()), None);
    }
    let failed = Entry {
        disclosure: None,
        code: Some(Code::Integrity),
        ..entry(Kind::Received)
    };
    let failed = event(failed).unwrap();
    assert_eq!((profile(&failed), &failed["outcome"]), (None, &"8".into()));
}

/// Every element that IHE's own example of the profile has, ours has too; what is theirs alone is named.
#[test]
fn our_events_have_the_elements_of_ihes_examples() {
    let examples = [
        ("auditPrivacyDisclosure-source2", entry(Kind::Disclosed)),
        ("auditAuthZconsent", denied()),
    ];
    for (name, entry) in examples {
        let path = format!("fhir/ihe-basicaudit/AuditEvent-ex-{name}.json");
        let Some(example) = shared::shared_json(&path) else {
            return;
        };
        let ours = event(entry).unwrap();

        assert_eq!(ours["meta"]["profile"], example["meta"]["profile"]);
        for (key, value) in example.as_object().unwrap() {
            assert!(key == "text" || !ours[key].is_null(), "{name}: {key}");
            if key == "type" || key == "action" {
                assert_eq!(ours[key]["code"], value["code"], "{name}");
            }
        }
        assert_eq!(
            ours["subtype"][0],
            pick(&ours["subtype"][0], &example["subtype"][0])
        );
        let types = |event: &Value, list: &str| -> BTreeSet<String> {
            let of = |one: &Value| {
                let kind = &one["type"];
                let coding = kind.get("coding").map_or(kind, |coding| &coding[0]);
                format!("{}|{}", coding["system"], coding["code"])
            };
            event[list].as_array().unwrap().iter().map(of).collect()
        };
        for list in ["agent", "entity"] {
            let (theirs, ours) = (types(&example, list), types(&ours, list));
            assert!(ours.is_superset(&theirs), "{name}: {theirs:?} and {ours:?}");
        }
    }
}

/// Ours with the system and code of theirs.
fn pick(ours: &Value, theirs: &Value) -> Value {
    let mut picked = ours.clone();
    picked["system"] = theirs["system"].clone();
    picked["code"] = theirs["code"].clone();
    picked
}
