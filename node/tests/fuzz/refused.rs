//! What the node's own people ask, with one fact changed: refused by the code that stands beside it, and the journal is
//! as it was. With that fact repaired the call is carried out.

use std::{collections::BTreeMap, fs, path::Path};

use chartmesh_core::{
    membership::Ticket,
    types::{
        DocumentId, Handle, MemberId, NetworkId, NodeKey, PatientId, Timestamp,
        limits::{DEMOGRAPHIC_CHARS_MAX, DEMOGRAPHICS_MAX},
    },
};
use chartmesh_node::config::Config;
use chartmesh_proto::admin;
use prost::Message;

use crate::node_targets::{Desk, framed};

/// What is wrong, how it comes to be, and the code.
type Row<M> = (&'static str, fn(&mut M), &'static str);

/// Makes one call with each fact changed, then as it was.
fn refused<M: Message + Clone>(desk: &Desk, call: &str, good: &M, rows: &[Row<M>]) {
    let mut wrong = Vec::new();
    for (what, change, code) in rows {
        let mut bad = good.clone();
        change(&mut bad);
        let before = state(desk);

        let (told, _) = desk.call(call, framed(&[&bad.encode_to_vec()]));

        if told.as_deref() != Some(*code) {
            wrong.push(format!("{call}: {what}: {told:?} and not {code}"));
        }
        assert!(
            state(desk) == before,
            "{call}: {what}: the state is another"
        );
    }
    let (told, _) = desk.call(call, framed(&[&good.encode_to_vec()]));
    if told.is_some() {
        wrong.push(format!("{call}: as it was: {told:?}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every file that the node keeps but sled's, which are a fold of the journal.
fn state(desk: &Desk) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![desk.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the node's folder") {
            let path = entry.expect("the node's folder").path();
            if path.is_dir() && !path.ends_with("index") {
                folders.push(path);
            } else if path.is_file() {
                let bytes = fs::read(&path).expect("a file of the node");
                found.insert(path.display().to_string(), bytes);
            }
        }
    }
    assert!(found.keys().any(|name| name.contains("journal")));
    found
}

/// A patient of the node.
fn patient(desk: &Desk) -> String {
    let person = br#"{"resourceType":"Patient","id":"p","name":[{"family":"Vega"}],"birthDate":"1950-03-04"}"#;
    let add = admin::PatientAddRequest {
        resource: person.to_vec(),
    };
    let (code, answer) = desk.call("PatientAdd", framed(&[&add.encode_to_vec()]));
    assert_eq!(code, None, "a patient is added");
    admin::PatientSummary::decode(answer).expect("a patient").id
}

/// Consents.
#[rustfmt::skip]
const CONSENTS: &[Row<admin::ConsentRequest>] = &[
    ("no patient", |asked| asked.patient.clear(), "PATIENT_UNKNOWN"),
    ("another patient", |asked| asked.patient = PatientId([9; 16]).to_string(), "PATIENT_UNKNOWN"),
    ("a patient by name", |asked| asked.patient = "Vega".to_owned(), "PATIENT_UNKNOWN"),
    ("a document for a patient", |asked| asked.patient = DocumentId([9; 16]).to_string(), "PATIENT_UNKNOWN"),
    ("a patient cut short", |asked| { asked.patient.pop(); }, "PATIENT_UNKNOWN"),
    ("a patient in capitals within", |asked| asked.patient.push('A'), "PATIENT_UNKNOWN"),
    ("no purpose", |asked| asked.purpose.clear(), "PURPOSE_UNKNOWN"),
    ("an empty purpose", |asked| asked.purpose[1].clear(), "PURPOSE_UNKNOWN"),
    ("a purpose nobody knows", |asked| asked.purpose[1] = "CURIOSITY".to_owned(), "PURPOSE_UNKNOWN"),
    ("a purpose in words", |asked| asked.purpose[0] = "treatment please".to_owned(), "PURPOSE_UNKNOWN"),
    ("two purposes in one", |asked| asked.purpose[0] = "TREAT ETREAT".to_owned(), "PURPOSE_UNKNOWN"),
    ("to nobody", |asked| asked.to.clear(), "MEMBER_UNKNOWN"),
    ("to nobody of that name", |asked| asked.to = "Elsewhere".to_owned(), "MEMBER_UNKNOWN"),
    ("to a kind nobody knows", |asked| asked.to = "kind:circus".to_owned(), "MEMBER_UNKNOWN"),
    ("to a member that is no id", |asked| asked.to = "member:x".to_owned(), "MEMBER_UNKNOWN"),
    ("from a day that does not exist", |asked| asked.from = "2026-02-30".to_owned(), "USAGE"),
    ("from a day in words", |asked| asked.from = "today".to_owned(), "USAGE"),
    ("from a month", |asked| asked.from = "2026-01".to_owned(), "USAGE"),
    ("until a day that does not exist", |asked| asked.until = "2099-13-01".to_owned(), "USAGE"),
    ("until a number", |asked| asked.until = "4070908800".to_owned(), "USAGE"),
    ("until before it begins", |asked| asked.until = "2025-12-30".to_owned(), "USAGE"),
];

/// Opting out and in.
#[rustfmt::skip]
const OPTS: &[Row<admin::OptRequest>] = &[
    ("no patient", |asked| asked.patient.clear(), "PATIENT_UNKNOWN"),
    ("another patient", |asked| asked.patient = PatientId([9; 16]).to_string(), "PATIENT_UNKNOWN"),
];

/// What is shown of a patient.
#[rustfmt::skip]
const SHOWN: &[Row<admin::PatientShowRequest>] = &[
    ("no patient", |asked| asked.patient.clear(), "PATIENT_UNKNOWN"),
    ("another patient", |asked| asked.patient = PatientId([9; 16]).to_string(), "PATIENT_UNKNOWN"),
    ("a document for a patient", |asked| asked.patient = DocumentId([9; 16]).to_string(), "PATIENT_UNKNOWN"),
];

/// Looking for a patient elsewhere.
#[rustfmt::skip]
const LOCATES: &[Row<admin::LocateRequest>] = &[
    ("no purpose", |asked| asked.purpose.clear(), "PURPOSE_UNKNOWN"),
    ("a purpose nobody knows", |asked| asked.purpose = "SNOOP".to_owned(), "PURPOSE_UNKNOWN"),
    ("a birth date that does not exist", |asked| asked.birth_date = "1950-02-30".to_owned(), "USAGE"),
    ("a birth date with points", |asked| asked.birth_date = "04.03.1950".to_owned(), "USAGE"),
    ("a year for a birth date", |asked| asked.birth_date = "1950".to_owned(), "USAGE"),
    ("a sex nobody knows", |asked| asked.sex = "x".to_owned(), "USAGE"),
    ("an identifier without system", |asked| asked.identifier[0] = "4711".to_owned(), "USAGE"),
    ("a name that is too long", |asked| asked.family = "a".repeat(DEMOGRAPHIC_CHARS_MAX + 1), "USAGE"),
    ("too many given names", |asked| asked.given = vec!["Ana".to_owned(); DEMOGRAPHICS_MAX + 1], "USAGE"),
    ("too many identifiers", |asked| asked.identifier = vec!["a=b".to_owned(); DEMOGRAPHICS_MAX + 1], "USAGE"),
    ("a patient nobody knows", |asked| asked.patient = PatientId([9; 16]).to_string(), "PATIENT_UNKNOWN"),
    ("a patient that is no id", |asked| asked.patient = "pat_x".to_owned(), "PATIENT_UNKNOWN"),
    ("a resource that is no JSON", |asked| asked.resource = b"{".to_vec(), "JSON_MALFORMED"),
    ("a resource that is no patient", |asked| asked.resource = br#"{"resourceType":"Group"}"#.to_vec(), "FHIR_MALFORMED"),
    ("a resource with a key twice", |asked| asked.resource = br#"{"resourceType":"Patient","id":"a","id":"b"}"#.to_vec(), "JSON_DUPLICATE_KEY"),
    ("members nobody knows", |asked| asked.only = vec![MemberId([9; 16]).to_string()], "MEMBER_UNKNOWN"),
    ("members by name", |asked| asked.only = vec!["Elsewhere".to_owned()], "MEMBER_UNKNOWN"),
    ("a session of break-glass", |asked| asked.break_glass = "bg_1".to_owned(), "NO_SESSION"),
];

/// Asking for the documents of somebody; every handle is unknown here.
#[rustfmt::skip]
const DOCUMENTS: &[Row<admin::DocumentsRequest>] = &[
    ("a handle nobody gave", |_| (), "HANDLE_UNKNOWN"),
    ("no handle", |asked| asked.handle.clear(), "HANDLE_UNKNOWN"),
    ("a patient for a handle", |asked| asked.handle = PatientId([9; 16]).to_string(), "HANDLE_UNKNOWN"),
    ("no purpose", |asked| asked.purpose.clear(), "PURPOSE_UNKNOWN"),
    ("a session of break-glass", |asked| asked.break_glass = "bg_1".to_owned(), "NO_SESSION"),
];

/// Asking for a document.
#[rustfmt::skip]
const FETCHES: &[Row<admin::FetchRequest>] = &[
    ("no handle", |asked| asked.handle.clear(), "HANDLE_UNKNOWN"),
    ("no document", |asked| asked.document.clear(), "DOCUMENT_UNKNOWN"),
    ("a patient for a document", |asked| asked.document = PatientId([9; 16]).to_string(), "DOCUMENT_UNKNOWN"),
    ("no purpose", |asked| asked.purpose.clear(), "PURPOSE_UNKNOWN"),
    ("a session of break-glass", |asked| asked.break_glass = "bg_1".to_owned(), "NO_SESSION"),
];

/// Foundings and their rules.
#[rustfmt::skip]
const FOUNDINGS: &[Row<admin::NetworkFoundRequest>] = &[
    ("a policy nobody knows", |asked| asked.policy = "opt-out".to_owned(), "RULES_MALFORMED"),
    ("rules that are no TOML", |asked| asked.rules = "clock_window_min".to_owned(), "RULES_MALFORMED"),
    ("a rule nobody knows", |asked| asked.rules = "clock = 5\n".to_owned(), "RULES_MALFORMED"),
    ("a rule twice", |asked| asked.rules = "direct_max = 5\ndirect_max = 6\n".to_owned(), "RULES_MALFORMED"),
    ("a rule that is a list", |asked| asked.rules = "direct_max = [5]\n".to_owned(), "RULES_MALFORMED"),
    ("a rule in a table", |asked| asked.rules = "[rules]\ndirect_max = 5\n".to_owned(), "RULES_MALFORMED"),
    ("a rule that is a fraction", |asked| asked.rules = "direct_max = 5.5\n".to_owned(), "RULES_MALFORMED"),
    ("a rule below nothing", |asked| asked.rules = "direct_max = -1\n".to_owned(), "RULES_MALFORMED"),
    ("a rule that is a date", |asked| asked.rules = "notice_days = 2026-01-01\n".to_owned(), "RULES_MALFORMED"),
    ("a rule in words", |asked| asked.rules = "notice_days = \"many\"\n".to_owned(), "RULES_MALFORMED"),
    ("a template nobody knows", |asked| asked.rules = "template = \"opt-out\"\n".to_owned(), "RULES_MALFORMED"),
    ("a hash without address", |asked| asked.rules = format!("agreement_sha256 = \"{}\"\n", "0".repeat(64)), "RULES_MALFORMED"),
    ("an address without hash", |asked| asked.rules = "agreement_url = \"https://a.example\"\n".to_owned(), "RULES_MALFORMED"),
    ("a hash that is too short", |asked| { asked.rules = format!( "agreement_sha256 = \"{}\"\nagreement_url = \"https://a.example\"\n", "0".repeat(62) ) }, "RULES_MALFORMED"),
    ("an address with a space", |asked| { asked.rules = format!( "agreement_sha256 = \"{}\"\nagreement_url = \"https://a .example\"\n", "0".repeat(64) ) }, "RULES_MALFORMED"),
    ("no clock window", |asked| asked.rules = "clock_window_min = 0\n".to_owned(), "RULES_MALFORMED"),
    ("a clock window of two hours", |asked| asked.rules = "clock_window_min = 120\n".to_owned(), "RULES_MALFORMED"),
    ("nobody asked directly", |asked| asked.rules = "direct_max = 0\n".to_owned(), "RULES_MALFORMED"),
    ("handles for no time", |asked| asked.rules = "handle_hours = 0\n".to_owned(), "RULES_MALFORMED"),
    ("handles for eight days", |asked| asked.rules = "handle_hours = 192\n".to_owned(), "RULES_MALFORMED"),
    ("evidence kept for no time", |asked| asked.rules = "keep_evidence_years = 0\n".to_owned(), "RULES_MALFORMED"),
    ("an audit log kept for no time", |asked| asked.rules = "keep_audit_years = 0\n".to_owned(), "RULES_MALFORMED"),
    ("an audit log kept for two centuries", |asked| asked.rules = "keep_audit_years = 200\n".to_owned(), "RULES_MALFORMED"),
    ("recipients kept for no time", |asked| asked.rules = "keep_part2_years = 0\n".to_owned(), "RULES_MALFORMED"),
    ("a review at once", |asked| asked.rules = "review_hours = 0\n".to_owned(), "RULES_MALFORMED"),
    ("two years of notice", |asked| asked.rules = "notice_days = 730\n".to_owned(), "RULES_MALFORMED"),
    ("no questions a day", |asked| asked.rules = "locate_per_day = 0\n".to_owned(), "RULES_MALFORMED"),
    ("trust that is never fresh", |asked| asked.rules = "max_staleness_hours = 0\n".to_owned(), "RULES_MALFORMED"),
    ("trust that stays fresh for two months", |asked| asked.rules = "max_staleness_hours = 1440\n".to_owned(), "RULES_MALFORMED"),
];

#[test]
fn bad_consents_are_refused_by_their_code_and_change_nothing() {
    let desk = Desk::founded();
    let good = admin::ConsentRequest {
        patient: patient(&desk),
        to: "kind:hospital".to_owned(),
        purpose: vec!["TREAT".to_owned(), "HOPERAT".to_owned()],
        by: "patient".to_owned(),
        form: b"signed".to_vec(),
        form_type: "application/pdf".to_owned(),
        verbal_witness: String::new(),
        from: "2026-01-01".to_owned(),
        until: "2099-01-01".to_owned(),
    };
    refused(&desk, "ConsentGrant", &good, CONSENTS);
    refused(&desk, "ConsentDeny", &good, CONSENTS);

    let opt = admin::OptRequest {
        patient: good.patient.clone(),
        ..admin::OptRequest::default()
    };
    refused(&desk, "ConsentOptOut", &opt, OPTS);
    refused(&desk, "ConsentOptIn", &opt, OPTS);

    let shown = admin::PatientShowRequest {
        patient: good.patient.clone(),
    };
    for call in [
        "PatientShow",
        "ConsentList",
        "AuditAccess",
        "AuditAccounting",
    ] {
        refused(&desk, call, &shown, SHOWN);
    }
}

#[test]
fn bad_questions_of_users_are_refused_by_their_code_and_change_nothing() {
    let desk = Desk::founded();
    let good = admin::LocateRequest {
        family: "Vega".to_owned(),
        given: vec!["Ana".to_owned()],
        birth_date: "1950-03-04".to_owned(),
        sex: "female".to_owned(),
        identifier: vec!["urn:oid:1.2.3=4711".to_owned()],
        purpose: "TREAT".to_owned(),
        deadline_ms: 50,
        ..admin::LocateRequest::default()
    };
    refused(&desk, "Locate", &good, LOCATES);

    let unknown = |told: Option<String>, code: &str, what: &str| {
        assert_eq!(told.as_deref(), Some(code), "{what}")
    };
    let ask = |call: &str, message: Vec<u8>| {
        let before = state(&desk);
        let (told, _) = desk.call(call, framed(&[&message]));
        assert!(state(&desk) == before, "{call}: the state is another");
        told
    };
    let documents = admin::DocumentsRequest {
        handle: Handle([9; 20]).to_string(),
        purpose: "TREAT".to_owned(),
        ..admin::DocumentsRequest::default()
    };
    for (what, change, code) in DOCUMENTS {
        let mut bad = documents.clone();
        change(&mut bad);
        unknown(ask("Documents", bad.encode_to_vec()), code, what);
    }
    let fetch = admin::FetchRequest {
        handle: Handle([9; 20]).to_string(),
        document: DocumentId([9; 16]).to_string(),
        purpose: "TREAT".to_owned(),
        ..admin::FetchRequest::default()
    };
    for (what, change, code) in FETCHES {
        let mut bad = fetch.clone();
        change(&mut bad);
        unknown(ask("Fetch", bad.encode_to_vec()), code, what);
    }
}

#[test]
fn bad_rules_and_foundings_are_refused_by_their_code_and_change_nothing() {
    let desk = Desk::open();
    let good = admin::NetworkFoundRequest {
        name: "Front Range".to_owned(),
        policy: "opt-in".to_owned(),
        threshold: 1,
        test: true,
        ..admin::NetworkFoundRequest::default()
    };
    refused(&desk, "NetworkFound", &good, FOUNDINGS);
}

#[test]
fn a_bad_ticket_is_refused_by_its_code_and_changes_nothing() {
    let desk = Desk::open();
    let ticket = |expiry: u64| Ticket {
        network: NetworkId([1; 32]),
        inviter: NodeKey([2; 32]),
        addresses: Vec::new(),
        expiry: Timestamp(expiry),
        secret: [3; 16].into(),
    };
    let good = ticket(u64::MAX >> 16)
        .to_text()
        .expect("a ticket")
        .to_string();
    let mut bad = vec![
        (String::new(), "TICKET_MALFORMED"),
        ("chartmesh1".to_owned(), "TICKET_MALFORMED"),
        (
            good.replacen("chartmesh1", "chartmesh2", 1),
            "TICKET_MALFORMED",
        ),
        (good.replacen("chartmesh1", "", 1), "TICKET_MALFORMED"),
        (format!("{good}a"), "TICKET_MALFORMED"),
        (format!("{good}{good}"), "TICKET_MALFORMED"),
        (
            good.replacen("chartmesh1", "chartmesh1 ", 1),
            "TICKET_MALFORMED",
        ),
        (
            ticket(1).to_text().expect("a ticket").to_string(),
            "TICKET_EXPIRED",
        ),
        (
            ticket(0).to_text().expect("a ticket").to_string(),
            "TICKET_EXPIRED",
        ),
    ];
    for at in (10..good.len()).step_by(7) {
        bad.push((good[..at].to_owned(), "TICKET_MALFORMED"));
        let other = if good.as_bytes()[at] == b'a' {
            "b"
        } else {
            "a"
        };
        let mut altered = good.clone();
        altered.replace_range(at..=at, other);
        bad.push((altered, "TICKET_MALFORMED"));
    }
    for (text, code) in bad {
        let join = admin::JoinNetworkRequest {
            ticket: text.clone(),
            wait: false,
        };
        let before = state(&desk);

        let (told, _) = desk.call("NetworkJoin", framed(&[&join.encode_to_vec()]));

        assert_eq!(told.as_deref(), Some(code), "{text}");
        assert!(state(&desk) == before, "{text}: the state is another");
    }
    let join = admin::JoinNetworkRequest {
        ticket: good,
        wait: false,
    };
    let before = state(&desk);
    let _nobody_answers = desk.call("NetworkJoin", framed(&[&join.encode_to_vec()]));
    assert!(state(&desk) != before, "the good ticket is asked with");
}

#[test]
fn parts_of_an_import_out_of_order_are_refused() {
    use admin::import_part::Part;
    let desk = Desk::founded();
    let start = || Part::Start(admin::ImportStart::default());
    let data = || Part::Data(br#"{"resourceType":"Patient","id":"q"}"#.to_vec());
    let end = || Part::End(true);
    let take = |parts: Vec<Part>| {
        let parts = parts.into_iter();
        let parts: Vec<Vec<u8>> = parts
            .map(|part| admin::ImportPart { part: Some(part) }.encode_to_vec())
            .collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        desk.call("Import", framed(&parts)).0
    };
    for bad in [
        vec![data()],
        vec![end()],
        vec![start()],
        vec![start(), data()],
        vec![start(), start()],
        vec![start(), data(), start()],
        vec![start(), data(), end(), end()],
        vec![start(), data(), end(), data()],
    ] {
        assert_eq!(take(bad).as_deref(), Some("USAGE"));
    }

    assert_eq!(take(vec![start(), data(), end()]), None);
}

/// A configuration that holds, and what its last line must not be.
#[rustfmt::skip]
const CONFIGURATION: &[(&str, &[&str])] = &[
    ("listen = [\"/ip4/127.0.0.1/tcp/0\"]", &["listen = \"/ip4/127.0.0.1/tcp/0\"", "listen = [7420]", "listen = {}", "listen = true"]),
    ("key_file = \"k\"", &["key_file = 1", "key_file = []", "key_file = true"]),
    ("metrics = \"127.0.0.1:9000\"", &["metrics = 9000", "metrics = \"9000\"", "metrics = \"localhost\"", "metrics = \"127.0.0.1:99999\""]),
    ("[reach]\ninbound = \"closed\"", &["[reach]\ninbound = \"shut\"", "[reach]\ninbound = true", "[reach]\ninbound = 1", "[reach]\ninbound = \"\"", "[reach]\ninbound = \"CLOSED\""]),
    ("[reach]\nrelay = true", &["[reach]\nrelay = \"yes\"", "[reach]\nrelay = 1", "[reach]\nrelay = []", "[reach]\nrelais = true", "relay = true"]),
    ("[reach]\nrelays = []", &["[reach]\nrelays = \"12D3KooX\"", "[reach]\nrelays = [1]"]),
    ("[reach]\nannounce = []", &["[reach]\nannounce = \"/ip4/192.0.2.7/tcp/1\"", "[reach]\nannounce = [[]]"]),
    ("", &["unknown = 1", "listen", "= 1", "[", "key_file = \"a\"\nkey_file = \"b\"", "listen = tru", "\u{0}", "[relay]", "[[reach]]", "a.b = 1"]),
];

#[test]
fn a_configuration_with_one_bad_line_is_refused() {
    let folder = Path::new("node");
    for (good, lines) in CONFIGURATION {
        assert!(Config::read(folder, good, None).is_ok(), "{good}");
        for bad in *lines {
            assert!(Config::read(folder, bad, None).is_err(), "{bad}");
        }
    }
}
