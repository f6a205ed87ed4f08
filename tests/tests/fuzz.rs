//! The committed corpus of every fuzz target (`tests/fuzz`), replayed without a fuzzer.
//!
//! `CHARTMESH_WRITE_CORPUS=1 cargo test -p chartmesh-tests --test fuzz` writes seeds that are missing.

#[path = "../fuzz/src/engine.rs"]
mod engine;
#[path = "../fuzz/src/store.rs"]
mod store;
#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use chartmesh_core::{
    crypto::{Body, SecretKey, seal_file},
    membership::Organization,
    policy,
    types::Timestamp,
    wire,
};
use data_encoding::HEXLOWER;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What one input may take; `run.sh` asks the same of an optimised build.
const TIME_MAX: Duration = Duration::from_secs(1);

fn all() -> impl Iterator<Item = &'static targets::Run> {
    targets::TARGETS
        .iter()
        .chain(store::TARGETS)
        .chain(engine::TARGETS)
}

#[test]
fn every_decoder_bears_its_committed_corpus() {
    for (name, run) in all() {
        // What a target makes once and keeps is not the input's time.
        run(&[]);
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for (path, bytes) in inputs {
            let began = Instant::now();
            run(&bytes);
            assert!(began.elapsed() < TIME_MAX, "{}", path.display());
        }
    }
}

/// Inputs of each target made here; a fuzzer that sees which code it reaches makes better ones.
const MUTATIONS: usize = 500;

#[test]
fn every_decoder_bears_mutations_of_its_corpus() {
    let wanted = std::env::var("CHARTMESH_FUZZ_RUNS");
    let runs = wanted.map_or(MUTATIONS, |text| text.parse().expect("a number of inputs"));
    let only = std::env::var("CHARTMESH_FUZZ_TARGET").ok();
    for (name, run) in all().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)) {
        run(&[]);
        let inputs: Vec<Vec<u8>> = corpus(name).into_iter().map(|(_, bytes)| bytes).collect();
        let seed = Sha256::digest(name.as_bytes()).into();
        let mut dice = ChaCha20Rng::from_seed(seed);
        let (mut slowest, all_began) = (Duration::ZERO, Instant::now());
        for number in 0..runs {
            let input = mutated(&mut dice, &inputs);
            let began = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&input)));
            slowest = slowest.max(began.elapsed());
            if outcome.is_err() || began.elapsed() > TIME_MAX {
                panic!("{name}, input {number}: {}", HEXLOWER.encode(&input));
            }
        }
        println!(
            "{name}: {runs} inputs in {:?}, slowest {slowest:?}",
            all_began.elapsed()
        );
    }
}

/// One of the inputs, changed in a few places.
fn mutated(dice: &mut ChaCha20Rng, inputs: &[Vec<u8>]) -> Vec<u8> {
    const EDGES: [u8; 8] = [0, 1, 0x7F, 0x80, 0xFF, b'"', b'{', b'\n'];
    let mut below = |end: usize| dice.next_u32() as usize % end.max(1);
    let mut bytes = inputs[below(inputs.len())].clone();
    for _ in 0..=below(6) {
        let (at, end) = (below(bytes.len() + 1), below(16));
        match below(8) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << below(8),
            2 if at < bytes.len() => bytes[at] = EDGES[below(EDGES.len())],
            3 => bytes.insert(at, EDGES[below(EDGES.len())]),
            4 => bytes.truncate(at),
            5 => {
                let until = (at + end).min(bytes.len());
                bytes.drain(at..until);
            }
            6 => {
                let until = (at + end).min(bytes.len());
                let again = bytes[at..until].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let other = &inputs[below(inputs.len())];
                let from = below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes.truncate(64 << 10);
    bytes
}

#[test]
fn every_signed_type_is_fuzzed() {
    let fuzzed: BTreeSet<&str> = targets::SIGNED.iter().map(|(domain, _)| *domain).collect();
    let known: BTreeSet<String> = vectors()
        .into_iter()
        .filter_map(|(_, vector)| Some(vector["domain"].as_str()?.to_owned()))
        .filter(|domain| !domain.contains("/test-"))
        .collect();

    assert!(known.len() > 20);
    let forgotten: Vec<&String> = known
        .iter()
        .filter(|domain| !fuzzed.contains(domain.as_str()))
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

#[test]
fn every_seed_is_part_of_the_corpus() {
    let write = std::env::var_os("CHARTMESH_WRITE_CORPUS").is_some();
    for (name, seeds) in seeds() {
        assert!(all().any(|(known, _)| *known == name), "{name}");
        for seed in seeds {
            let hash = HEXLOWER.encode(&Sha256::digest(&seed)[..10]);
            let path = folder(name).join(format!("seed-{hash}"));
            if write && !path.exists() {
                fs::create_dir_all(folder(name)).expect("the corpus can be written");
                fs::write(&path, &seed).expect("the corpus can be written");
            }
            assert!(
                path.exists(),
                "{name} lacks a seed; see the head of this file"
            );
        }
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name)
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder(name)) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut inputs: Vec<_> = paths
        .map(|path| (path.clone(), fs::read(path).expect("the file can be read")))
        .collect();
    inputs.sort();
    inputs
}

/// Every golden vector of the wire, by its name.
fn vectors() -> Vec<(String, Value)> {
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

fn unhex(value: &Value) -> Option<Vec<u8>> {
    HEXLOWER.decode(value.as_str()?.as_bytes()).ok()
}

/// What each target starts from.
fn seeds() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
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
];
