//! What each target starts from: the golden vectors, and small inputs made by our own code or written here.

use std::{collections::BTreeMap, fs, path::Path};

use chartmesh_core::{
    crypto::{Body, SecretKey, seal_file},
    membership::Organization,
    policy,
    types::{DocumentId, Handle, PatientId, Timestamp},
    wire,
};
use chartmesh_proto::admin;
use data_encoding::HEXLOWER;
use prost::Message;
use serde_json::Value;

use crate::targets;

/// Every golden vector of the wire, by its name.
pub(crate) fn vectors() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("vectors are there") {
        let path = entry.expect("the folder can be read").path();
        let text = fs::read_to_string(path).expect("a vector is text");
        if let Ok(Value::Object(vectors)) = serde_json::from_str(&text) {
            found.extend(vectors);
        }
    }
    found
}

pub(crate) fn unhex(value: &Value) -> Option<Vec<u8>> {
    HEXLOWER.decode(value.as_str()?.as_bytes()).ok()
}

/// What each target starts from.
pub(crate) fn seeds() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut seeds: BTreeMap<&'static str, Vec<Vec<u8>>> = BTreeMap::new();
    let mut add = |name: &'static str, seed: Vec<u8>| seeds.entry(name).or_default().push(seed);
    let vectors = vectors();
    let vector = |name: &str| {
        let found = vectors.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    for (index, (domain, _)) in targets::SIGNED.iter().enumerate() {
        let bodies = vectors
            .iter()
            .filter(|(_, value)| value["domain"] == *domain);
        for body in bodies.filter_map(|(_, value)| unhex(&value["body"])) {
            add("body", [&[index as u8][..], &body].concat());
        }
    }
    for (call, name) in [
        "MembersRequest",
        "LocateRequest",
        "ListRequest",
        "FetchRequest",
        "ReleaseRequest",
        "Hello",
        "Propose",
        "CharterRequest",
        "TrustRequest",
    ]
    .into_iter()
    .enumerate()
    {
        let body = unhex(&vector(name)["body"]).unwrap_or_default();
        add("question", [&[call as u8, 0][..], &body].concat());
        add("question", [&[call as u8, 1][..], &body].concat());
    }
    let (signed, outer) = (unhex(&vector("Signed")), unhex(&vector("Sealed")));
    for bytes in [&signed, &outer].into_iter().flatten() {
        for call in 0..10 {
            add("peer", [&[call][..], bytes].concat());
        }
    }
    add(
        "question",
        [&[9, 2][..], &signed.clone().unwrap_or_default()].concat(),
    );
    add("envelope", signed.unwrap_or_default());
    add("sealed", outer.unwrap_or_default());
    add("ticket", text_of(&vector("ticket")));
    let texts = vectors.iter().map(|(_, value)| text_of(value));
    for text in texts.filter(|text| text.starts_with(b"chartmesh-")) {
        add("proposal", text);
    }
    for (index, name) in STORED.iter().enumerate() {
        let bodies = vectors.iter().filter(|(known, _)| known == name);
        for body in bodies.filter_map(|(_, value)| unhex(value)) {
            add("stored", [&[index as u8][..], &body].concat());
        }
    }
    let consent = unhex(&vector("ConsentRecord"))
        .and_then(|bytes| wire::decode_consent(&bytes, 7, Timestamp(1_800_000_000_000)).ok());
    let holder =
        unhex(&vector("Organization")["body"]).and_then(|bytes| Organization::decode(&bytes).ok());
    if let (Some(consent), Some(holder)) = (consent, holder) {
        let value = policy::consent_to_fhir(&consent, &holder);
        add("consent", value.to_string().into_bytes());
    }
    for size in [0, 1, 40, 300] {
        let file = seal_file(&SecretKey::new([6; 32]), &[7; 16], &vec![b'x'; size]);
        add(
            "document",
            [&(size as u64).to_le_bytes()[..], &file.bytes].concat(),
        );
    }
    for note in ["note", "note_with_journal"] {
        add("note", text_of(&vector(note)));
    }
    for (name, seed) in answered(&vector) {
        add(name, seed);
    }
    for words in WORDS {
        add("words", words.replace(' ', "\n").into_bytes());
    }
    for (call, messages) in asked() {
        let mut seed = vec![call];
        for message in messages {
            seed.extend_from_slice(&(message.len() as u16).to_le_bytes());
            seed.extend_from_slice(&message);
        }
        add("admin", seed);
    }
    for (name, texts) in TEXTS {
        for text in *texts {
            add(name, text.as_bytes().to_vec());
        }
    }
    for (name, bytes) in BYTES {
        for seed in *bytes {
            add(name, seed.to_vec());
        }
    }
    seeds
}

/// Answers of a holder, and node records that are handed on.
fn answered(vector: &impl Fn(&str) -> Value) -> Vec<(&'static str, Vec<u8>)> {
    let body = |name: &str| unhex(&vector(name)["body"]).unwrap_or_default();
    let refused = body("Refused");
    let mut seeds = Vec::new();
    for (call, name) in [
        "MembersAnswer",
        "LocateAnswer",
        "ListAnswer",
        "FetchHead",
        "ProposeAnswer",
        "TrustAnswer",
        "CharterAnswer",
        "Hello",
    ]
    .into_iter()
    .enumerate()
    {
        for how in [0, 2, 3] {
            seeds.push(("answer", [&[call as u8, how][..], &body(name)].concat()));
        }
        seeds.push(("answer", [&[call as u8, 0x83][..], &refused].concat()));
    }
    let release = body("ReleaseAnswer");
    for (part, how, body) in [(1, 0, &[7; 64][..]), (2, 0, &[7; 80]), (3, 3, &release)] {
        seeds.push(("answer", [&[3 | part << 3, how][..], body].concat()));
    }
    for how in 0..3 {
        seeds.push(("record", [&[how][..], &body("NodeRecord")].concat()));
    }
    seeds
}

fn text_of(value: &Value) -> Vec<u8> {
    value.as_str().unwrap_or_default().as_bytes().to_vec()
}

/// Bodies of the journal, in the order of the target `stored`.
const STORED: [&str; 19] = [
    "CharterRecord",
    "MemberRecord",
    "TicketIssued",
    "JoinRecord",
    "JoinAsked",
    "PatientRecord",
    "ResourceRecord",
    "DocumentRecord",
    "RevokeRecord",
    "HandleRecord",
    "HandleReceived",
    "AuditRecord",
    "Identity",
    "ConsentRecord",
    "ProposalRecord",
    "CharterSeen",
    "CharterAdopted",
    "RevocationsRecord",
    "HeartbeatRecord",
];

const PERSON: &str = r#"{"resourceType":"Patient","id":"p","identifier":[{"use":"official","system":"urn:oid:1.2.3","value":"77","type":{"coding":[{"code":"MR"}]}}],"name":[{"use":"official","family":"Portillo","given":["Rosa","Maria"]},{"use":"maiden","family":"Vega"}],"gender":"female","birthDate":"1937-02-13","telecom":[{"system":"phone","value":"+1 555 0100"},{"system":"email","value":"r@x.org"}],"address":[{"line":["9 Elm Street"],"city":"Denver","state":"CO","postalCode":"80014","country":"US"}]}"#;

const TEXTS: &[(&str, &[&str])] = &[
    (
        "import",
        &[
            r#"0{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","id":"q","name":[{"family":"A"}],"birthDate":"1950-01-02"},"request":{"method":"POST","url":"Patient"}},{"fullUrl":"urn:uuid:2","resource":{"resourceType":"Observation","id":"o","status":"final","code":{"text":"w"},"subject":{"reference":"urn:uuid:1"}},"request":{"method":"POST","url":"Observation"}}]}"#,
            r#"0{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","id":"r","name":[{"family":"B"}]}},{"resource":{"resourceType":"Patient","id":"s","name":[{"family":"C"}]}},{"resource":{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/s"}}}]}"#,
            r#"0{"resourceType":"Observation","id":"o","status":"final","code":{"text":"w"},"subject":{"reference":"Patient/p"}}"#,
            r#"0{"resourceType":"DocumentReference","id":"d","status":"current","subject":{"reference":"Patient/p"},"content":[{"attachment":{"contentType":"text/plain","data":"aGVsbG8="}}]}"#,
            "1{\"resourceType\":\"Patient\",\"id\":\"t\"}\n{\"resourceType\":\"Condition\",\"id\":\"c\",\"subject\":{\"reference\":\"Patient/t\"}}\n{\n",
        ],
    ),
    (
        "lines",
        &[
            "\u{3}\u{feff}{\"resourceType\":\"Patient\",\"id\":\"t\"}\r\n\n{\"resourceType\":\"Organization\",\"id\":\"o\"}",
            "\u{1}{}\n{}",
            "\u{7} \n x",
        ],
    ),
    (
        "files",
        &[
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
            "algorithm = \"argon2id\"\nmemory_kib = 65536\npasses = 3\nlanes = 4\nsalt = \"00112233445566778899aabbccddeeff\"\n",
            "/ip4/0.0.0.0/tcp/0 /ip4/0.0.0.0/tcp/7420\n/ip4/127.0.0.1/udp/0/quic-v1 /ip4/127.0.0.1/udp/7420/quic-v1\n",
        ],
    ),
    (
        "proxy",
        &[
            "http://127.0.0.1:3128\nHTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n",
            "http://[::1]:3128/ clinic:s3cret\nHTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno",
            "http://proxy.example:1 a:\nHTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "https://u:p@proxy:1/x?y\n",
        ],
    ),
    (
        "fhir",
        &[
            PERSON,
            r#"{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","id":"p","name":[{"family":"A"}]},"request":{"method":"POST","url":"Patient"}},{"fullUrl":"urn:uuid:2","resource":{"resourceType":"Observation","id":"o","status":"final","code":{"text":"w"},"subject":{"reference":"urn:uuid:1"}},"request":{"method":"POST","url":"Observation"}}]}"#,
            r#"{"resourceType":"Bundle","type":"document","entry":[{"resource":{"resourceType":"Composition","id":"c","subject":{"reference":"Patient/p"}}},{"resource":{"resourceType":"Patient","id":"p"}},{"resource":{"resourceType":"DocumentReference","id":"d","status":"current","subject":{"reference":"Patient/p"},"content":[{"attachment":{"contentType":"text/plain","data":"aGVsbG8=","title":"t","size":5,"hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00="}}]}}]}"#,
            r##"{"resourceType":"Condition","id":"c","contained":[{"resourceType":"Patient","id":"x","identifier":[{"system":"s","value":"v"}]}],"subject":{"reference":"#x"}}"##,
            "\u{feff}{\"resourceType\":\"Organization\",\"id\":\"o\",\"name\":\"N\"}",
        ],
    ),
    (
        "json",
        &[
            r#"{"b":[1,-0,1.50,1e3,2E-7,true,false,null,"\u00e4\ud83d\ude00\n\/"],"a":{"":{}}}"#,
            "[[[[[[[[]]]]]]]]",
            " \"x\" ",
            r#"{"a":1,"a":2}"#,
            "1e400",
            r#""\ud800""#,
        ],
    ),
    ("patient", &[PERSON, r#"{"resourceType":"Patient"}"#]),
    (
        "text",
        &[
            "any",
            "member:mem_aaaaaaaaaaaaaaaaaaaaaaaaaa",
            "kind:clinic",
            "org:Cedar Clinic",
            "TREAT",
            "clinician",
            "female",
            "opt-in",
            "2027-01-15T08:00:00Z",
            "2027-01-15T08:00:00.123+02:00",
            "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
            "Núñez O'Brien-Smith \u{1e9e}",
        ],
    ),
    (
        "rules",
        &[
            "template = us-treatment\nclock_window_min = 5\nlocate_per_day = 100\n",
            "agreement_sha256 = 00\nagreement_url = https://x\ndirect_max=50\nhandle_hours=12",
        ],
    ),
    (
        "matching",
        &[
            "Portillo\nRosa\nMaria\n1937-02-13\nfemale\nurn:oid:1\n77\n9 Elm St\nDenver\nCO\n80014\n+1 555 0100\nr@x.org\nPortillo\nRosa\n\n1937-02-13\nfemale\nurn:oid:1\n77\n9 Elm Street\nDenver\nCO\n80014\n5550100\nR@X.org",
            "Núñez\nAna\n\n1980-02-29\nmale\n\n\n\n\n\n\n\n\nNunez\nAnna\n\n1980-02-28\nmale",
        ],
    ),
];

const BYTES: &[(&str, &[&[u8]])] = &[
    (
        "receive",
        &[
            &[0, 0, 2, 0, 2, 1],
            &[0, 0, 2, 1, 2, 0],
            &[0, 1, 32, 9, 9, 9, 3, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4],
            &[
                1, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1,
            ],
        ],
    ),
    (
        "journal",
        &[
            &[],
            &[0x80],
            &[0x80, 40, 0, 2, 1],
            &[0x80, 200, 0, 0, 0],
            &[0x80, 0, 0, 4, 255],
            &[0, b'C', b'M'],
        ],
    ),
    (
        "keyring",
        &[
            &[],
            &[0x80],
            &[0x80, 30, 0, 2, 1],
            &[0x80, 100, 0, 0, 0],
            b"\0CMKEYS\0\x02",
        ],
    ),
    (
        "backup",
        &[
            &[],
            &[0x80],
            &[0x80, 9, 0, 2, 1],
            &[0x80, 100, 0, 2, 1],
            &[0x80, 0x70, 4, 2, 1],
            &[0x80, 0, 6, 0, 0],
            &[0x80, 0, 0, 4, 255],
            b"\0CMBKUP\0\x02",
            b"2N7Q8-00000-o1il0-ZZZZZ-AAAAA-BBBBB-CCCCC-DDDDD",
        ],
    ),
];

/// Commands as people write them.
const WORDS: &[&str] = &[
    "demo --nodes 5 --keep /tmp/x --pace slow",
    "--node /d init --name Maple --kind clinic --npi 1234567893 --state OH --part2 --listen /ip4/127.0.0.1/tcp/0",
    "init --name M --kind hospital --passphrase-fd 3 --member mem_a",
    "network found --name N --policy us-treatment --authority a b --threshold 2 --recovery 00 --out f",
    "network invite --valid 72h",
    "network join - --wait",
    "network approve a_b_c_d_e_f",
    "network revoke 12D3KooX --reason stolen",
    "network cosign f --out g --show",
    "network amend --policy r --remove 00 --threshold 2 --counts-from 1 --out f",
    "network recover --key r --authority a --remove 00",
    "network reissue mem_a --change f",
    "status --output json --quiet",
    "import a b --format fhir --dry-run",
    "sample --patients 10 --seed 7 --out town",
    "patient search Delgado",
    "document add --patient pat_a --type 18842-5 file.pdf",
    "locate --family F --given G H --birth-date 1950-03-04 --sex F --identifier urn:x=1 --phone 5 --email e --line l --city c --state OH --postal-code 1 --purpose TREAT --deadline 250ms --break-glass b",
    "documents --handle h --purpose TREAT,ETREAT --type 18842-5 --since 2020-01 --until 2021-01-01 --limit 20",
    "fetch --handle h --document d --purpose TREAT --out f --view",
    "consent grant --patient p --to any --purpose TREAT ETREAT --by patient --form f --from 2026-01-01T08:00:00Z --until 2027-01-01",
    "consent deny --patient p --to kind:payer --purpose HPAYMT --verbal-witness u",
    "consent opt-out --patient p --even-emergency",
    "audit list",
    "doctor --repair --accept-clock",
    "config show --origin",
];

/// Calls of the admin service by their place in `CALLS`, and the messages of each.
fn asked() -> Vec<(u8, Vec<Vec<u8>>)> {
    let handle = || Handle([1; 20]).to_string();
    let (parts, document) = streamed();
    let consent = admin::ConsentRequest {
        patient: PatientId([1; 16]).to_string(),
        to: "kind:hospital".to_owned(),
        purpose: vec!["TREAT".to_owned()],
        from: "2026-01-01".to_owned(),
        ..admin::ConsentRequest::default()
    };
    let locate = admin::LocateRequest {
        family: "Portillo".to_owned(),
        given: vec!["Rosa".to_owned()],
        birth_date: "1937-02-13".to_owned(),
        sex: "female".to_owned(),
        identifier: vec!["urn:oid:1.2.3=77".to_owned()],
        purpose: "TREAT".to_owned(),
        deadline_ms: 100,
        ..admin::LocateRequest::default()
    };
    let documents = admin::DocumentsRequest {
        handle: handle(),
        purpose: "TREAT".to_owned(),
        since: "2020-01-01".to_owned(),
        limit: 5,
        ..admin::DocumentsRequest::default()
    };
    let fetch = admin::FetchRequest {
        handle: handle(),
        document: DocumentId([1; 16]).to_string(),
        purpose: "TREAT".to_owned(),
        ..admin::FetchRequest::default()
    };
    let found = admin::NetworkFoundRequest {
        name: "N".to_owned(),
        policy: "opt-in".to_owned(),
        rules: "clock_window_min = 5\n".to_owned(),
        threshold: 1,
        test: true,
        ..admin::NetworkFoundRequest::default()
    };
    let amend = admin::AmendRequest {
        rules: "locate_per_day = 100\n".to_owned(),
        threshold: 1,
        counts_from: Some(1),
        ..admin::AmendRequest::default()
    };
    let shown = admin::PatientShowRequest {
        patient: PatientId([1; 16]).to_string(),
    }
    .encode_to_vec();
    let whole = |call, message: Vec<u8>| (call, vec![message]);
    let mut asked: Vec<_> = (0..48).map(|call| whole(call, Vec::new())).collect();
    asked.extend([
        whole(4, found.encode_to_vec()),
        whole(6, admin::InviteRequest { valid_ms: 1_000 }.encode_to_vec()),
        whole(15, amend.encode_to_vec()),
        (20, parts),
        whole(22, shown.clone()),
        whole(
            23,
            admin::PatientAddRequest {
                resource: PERSON.as_bytes().to_vec(),
            }
            .encode_to_vec(),
        ),
        (24, document),
        whole(25, locate.encode_to_vec()),
        whole(26, documents.encode_to_vec()),
        whole(27, fetch.encode_to_vec()),
        whole(28, consent.encode_to_vec()),
        whole(33, shown),
        whole(
            44,
            admin::BackupRequest {
                file: "none/such".to_owned(),
                ..admin::BackupRequest::default()
            }
            .encode_to_vec(),
        ),
        whole(
            46,
            admin::RestoreRequest {
                file: "/none/such".to_owned(),
                secret: "AAAAA-BBBBB".to_owned(),
                ..admin::RestoreRequest::default()
            }
            .encode_to_vec(),
        ),
    ]);
    asked.extend(about_the_log());
    asked
}

/// What is asked of the audit log, besides nothing.
fn about_the_log() -> Vec<(u8, Vec<Vec<u8>>)> {
    let whole = |call, message: Vec<u8>| (call, vec![message]);
    vec![
        whole(
            40,
            admin::AuditProveRequest {
                entry: 1,
                ..admin::AuditProveRequest::default()
            }
            .encode_to_vec(),
        ),
        whole(
            40,
            admin::AuditProveRequest {
                from: 64,
                ..admin::AuditProveRequest::default()
            }
            .encode_to_vec(),
        ),
        whole(41, admin::AuditPromiseRequest { entry: 1 }.encode_to_vec()),
        whole(
            47,
            admin::AuditExportRequest { from: 1, limit: 2 }.encode_to_vec(),
        ),
    ]
}

/// The parts of an import, and of a document.
fn streamed() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let start = admin::import_part::Part::Start(admin::ImportStart {
        name: "town.ndjson".to_owned(),
        ..admin::ImportStart::default()
    });
    let data =
        admin::import_part::Part::Data(b"{\"resourceType\":\"Patient\",\"id\":\"t\"}\n".to_vec());
    let parts = [start, data, admin::import_part::Part::End(true)]
        .map(|part| admin::ImportPart { part: Some(part) }.encode_to_vec());
    let document = [
        admin::document_part::Part::Start(admin::DocumentStart {
            patient: PatientId([1; 16]).to_string(),
            r#type: "18842-5".to_owned(),
            content_type: "text/plain".to_owned(),
            title: "Discharge".to_owned(),
            size_bytes: 5,
            ..admin::DocumentStart::default()
        }),
        admin::document_part::Part::Data(b"hello".to_vec()),
    ]
    .map(|part| admin::DocumentPart { part: Some(part) }.encode_to_vec());
    (parts.to_vec(), document.to_vec())
}
