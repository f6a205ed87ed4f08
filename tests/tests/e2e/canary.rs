//! Values that must not be written anywhere in the clear.

use std::{collections::BTreeMap, fs};

use data_encoding::{BASE64, HEXLOWER};
use serde_json::json;

use crate::{
    damage::files,
    metrics,
    node::{Node, PATIENCE, text},
    outage::{is_connected, part_bytes},
    people::{MRN, pdf},
    world::{Network, line_of, lines, patient},
};

const CANARIES: usize = 200;

/// A word that occurs nowhere by chance and survives every normalisation of names.
fn canary(n: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz";
    let letter = |at: usize| char::from(LETTERS[at % LETTERS.len()]);
    let body: String = [n / 20, n, n * 7 + 3, n * 3 + 1]
        .into_iter()
        .map(letter)
        .collect();
    format!("Qzx{body}vaq")
}

/// A person made of canaries: 9 in demographics, the rest in what is written about them.
fn bundle() -> Vec<u8> {
    let subject = "urn:uuid:7d1f0f52-8f2e-4a5e-9f0e-00000000c0de";
    let mut entries = vec![json!({
        "fullUrl": subject, "request": { "method": "POST", "url": "Patient" },
        "resource": {
            "resourceType": "Patient", "id": canary(0),
            "identifier": [{ "system": MRN, "value": canary(1) }],
            "name": [{ "family": canary(2), "given": [canary(3), canary(4)] }],
            "gender": "female", "birthDate": "1941-07-19",
            "telecom": [{ "system": "email", "value": format!("{}@example.org", canary(5)) }],
            "address": [{ "line": [canary(6)], "city": canary(7), "state": "IL", "postalCode": canary(8) }]
        }
    })];
    for n in 9..CANARIES {
        entries.push(json!({
            "fullUrl": format!("urn:uuid:7d1f0f52-8f2e-4a5e-9f0e-{n:012x}"),
            "request": { "method": "POST", "url": "Condition" },
            "resource": {
                "resourceType": "Condition", "id": format!("c{n}"),
                "subject": { "reference": subject }, "code": { "text": canary(n) }
            }
        }));
    }
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries })
        .to_string()
        .into_bytes()
}

/// Everything that happens to a record leaves nothing of the patient in files, names, logs or errors.
///
/// The hard case is what goes wrong: refused inputs, mistyped commands, denied requests and a transfer cut
/// off in the middle, whose error texts and leftovers are the likeliest place for a value to slip through.
#[test]
fn nothing_of_a_patient_is_written_in_the_clear() {
    let mut network = Network::new("opt-in");
    // The most talkative log there is.
    for node in network.nodes() {
        node.stop();
        metrics::switch_on(node);
        node.start_within(vec![("CHARTMESH_LOG", "trace".to_owned())]);
    }
    let needles = Needles::new();

    // Inputs and outputs of the command line are the user's own files and lie outside the nodes.
    live_through_everything(&mut network, &needles);

    // What was asked before the hospital was started anew is not counted any more.
    let page = metrics::scraped(&network.hospital);
    for method in ["list", "fetch", "release"] {
        let answered = format!(
            "chartmesh_peer_calls_total{{method=\"{method}\",outcome=\"answered\",standing=\"member\"}}"
        );
        assert!(
            metrics::figure(&page, &answered) > Some(0.0),
            "{method}: {page}"
        );
    }
    assert!(metrics::figure(&page, "chartmesh_journal_syncs_total") > Some(0.0));

    for node in network.nodes() {
        let page = metrics::scraped(node);
        assert_eq!(needles.first_in(page.as_bytes()), None, "{page}");
        node.stop();
        search(node, &needles);
    }
}

fn live_through_everything(network: &mut Network, needles: &Needles) {
    import_good_and_bad(network);
    let subject = patient(&network.hospital, &canary(2));
    let mut scan = pdf(24 << 20);
    for n in 0..CANARIES {
        let at = n * (scan.len() / CANARIES);
        scan[at..at + 10].copy_from_slice(canary(n).as_bytes());
    }
    let file = network.world.file("scan.pdf", &scan);
    let added = network.hospital.ok(&[
        "document",
        "add",
        "--patient",
        &subject,
        "--type",
        "18842-5",
        &file,
    ]);
    let handle = ask(network);
    let list = ["documents", "--handle", &handle, "--purpose", "TREAT"];
    network.harbor.run(&list).expect(3);
    let harbor_id = network.harbor.id.clone();
    let grant = network.hospital.ok(&[
        "consent",
        "grant",
        "--patient",
        &subject,
        "--to",
        &harbor_id,
        "--purpose",
        "TREAT",
    ]);
    let out = network.world.out("scan.out");
    let document = text(&added["document"]);
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
    cut_off(network, &fetch, needles);
    for found in lines(&network.harbor.ok(&list)["documents"]) {
        let out = network.world.out(&format!("{}.out", text(&found["id"])));
        let id = text(&found["id"]);
        network.harbor.ok(&[
            "fetch",
            "--handle",
            &handle,
            "--document",
            &id,
            "--purpose",
            "TREAT",
            "--out",
            &out,
        ]);
        let came = needles.first_in(&fs::read(&out).expect("written"));
        assert!(
            came.is_some(),
            "what may be seen is full of canaries, and they are found"
        );
    }
    network
        .hospital
        .ok(&["consent", "revoke", &text(&grant["consent"])]);
    network.harbor.run(&list).expect(3);
    network.harbor.run(&fetch).expect(3);
    network
        .hospital
        .ok(&["audit", "accounting", "--patient", &subject]);
    network
        .hospital
        .ok(&["audit", "access", "--patient", &subject]);
    network
        .hospital
        .ok(&["consent", "opt-out", "--patient", &subject]);
    mistype(network);
}

fn import_good_and_bad(network: &Network) {
    let Network {
        hospital, world, ..
    } = network;
    let good = bundle();
    hospital.ok(&["import", &world.file("in.json", &good)]);
    let person = json!({
        "resourceType": "Patient", "id": canary(20), "gender": "male", "birthDate": "1990-01-02",
        "name": [{ "family": canary(21), "given": [canary(22)] }]
    });
    hospital
        .run_with_input(&["patient", "add", "-"], person.to_string().as_bytes())
        .expect(0);
    let conflict = json!({
        "resourceType": "Patient", "id": canary(20), "gender": "female", "birthDate": "1950-12-31",
        "name": [{ "family": canary(23), "given": [canary(24)] }]
    });
    let doubled = format!(
        "{{\"resourceType\":\"Patient\",\"{0}\":\"{0}\",\"{0}\":1}}",
        canary(10)
    );
    let bad = [
        good[..good.len() / 2].to_vec(),
        doubled.into_bytes(),
        conflict.to_string().into_bytes(),
        json!({ "resourceType": canary(11), "id": canary(12), "text": canary(13) }).to_string().into_bytes(),
        json!({ "resourceType": "Patient", "birthDate": canary(14), "gender": canary(15) }).to_string().into_bytes(),
        json!({ "resourceType": "Condition", "subject": { "reference": format!("Patient/{}", canary(16)) } }).to_string().into_bytes(),
        canary(17).into_bytes(),
    ];
    for (n, bytes) in bad.iter().enumerate() {
        hospital
            .run(&["import", &world.file(&format!("bad{n}.json"), bytes)])
            .expect(6);
        assert_ne!(
            hospital
                .run_with_input(&["patient", "add", "-"], bytes)
                .exit,
            0
        );
    }
}

/// Asks for the patient at every node, and for a few who are nowhere; the holder's handle.
fn ask(network: &Network) -> String {
    let Network {
        clinic,
        hospital,
        harbor,
        ..
    } = network;
    let identifier = format!("{MRN}={}", canary(1));
    let (family, given, other) = (canary(2), canary(3), canary(25));
    let question = |family: &str, node: &Node| {
        node.run(&[
            "locate",
            "--family",
            family,
            "--given",
            &given,
            "--birth-date",
            "1941-07-19",
            "--sex",
            "F",
            "--identifier",
            &identifier,
            "--line",
            &other,
            "--city",
            &other,
            "--email",
            &other,
            "--phone",
            &other,
            "--purpose",
            "TREAT",
        ])
    };
    question(&family, clinic);
    question(&other, harbor);
    let ledger = question(&family, harbor).expect(0).json;
    text(&line_of(&ledger, hospital)["handle"])
}

/// Kills the holder in the midst of a transfer, looks at what is left at both ends, and lets it go on.
fn cut_off(network: &mut Network, fetch: &[&str], needles: &Needles) {
    let under_way = network.harbor.spawn(fetch);
    let parts = network.harbor.dir.join("parts");
    network.harbor.wait("some of it has arrived", PATIENCE, || {
        part_bytes(&parts) > 1 << 20
    });
    network.hospital.kill();
    let cut = network.harbor.finish(fetch, under_way);
    assert_ne!(cut.exit, 0, "the fetch was faster than the kill");
    assert!(
        part_bytes(&parts) > 1 << 20,
        "a part is there to be searched"
    );
    search(&network.harbor, needles);
    search(&network.hospital, needles);
    network
        .hospital
        .start_within(vec![("CHARTMESH_LOG", "trace".to_owned())]);
    let (harbor, hospital) = (&network.harbor, &network.hospital);
    harbor.wait("the holder is back", PATIENCE, || {
        is_connected(harbor, hospital)
    });
}

/// Commands that a person in a hurry gets wrong.
fn mistype(network: &Network) {
    let hospital = &network.hospital;
    let word = canary(30);
    let subject = format!("pat_{word}");
    for command in [
        &[
            "locate",
            "--family",
            "A",
            "--birth-date",
            &word,
            "--purpose",
            "TREAT",
        ][..],
        &[
            "locate",
            "--family",
            "A",
            "--sex",
            &word,
            "--purpose",
            "TREAT",
        ],
        &[
            "locate",
            "--family",
            "A",
            "--identifier",
            &word,
            "--purpose",
            "TREAT",
        ],
        &["locate", "--family", "A", &word, "--purpose", "TREAT"],
        &["locate", "--family", "A", "--purpose", &word],
        &[
            "locate",
            "--family",
            "A",
            "--purpose",
            "TREAT",
            "--only",
            &word,
        ],
        &["locate", "--patient", &subject, "--purpose", "TREAT"],
        &["patient", "show", &word],
        &["patient", "show", &subject],
        &["patient", &word],
        &["documents", "--handle", &word, "--purpose", "TREAT"],
        &[
            "consent",
            "grant",
            "--patient",
            &subject,
            "--to",
            "any",
            "--purpose",
            "TREAT",
        ],
        &[
            "consent",
            "grant",
            "--patient",
            &word,
            "--to",
            &word,
            "--purpose",
            &word,
        ],
        &["consent", "revoke", &word],
        &["consent", "list", "--patient", &subject],
        &["audit", "access", "--patient", &word],
        &["audit", "accounting", "--patient", &subject],
        &[
            "document",
            "add",
            "--patient",
            &subject,
            "--type",
            &word,
            "/dev/null",
        ],
        &["network", "approve", &word],
    ] {
        for ran in [hospital.run(command), hospital.run_in_words(command)] {
            assert_ne!(ran.exit, 0, "{command:?}");
            assert!(!ran.stderr.is_empty(), "{command:?}");
        }
    }
}

/// Every canary as text in any case, as hex, as a list of numbers, and as base64.
struct Needles {
    by_start: BTreeMap<[u8; START], Vec<(usize, Vec<u8>)>>,
    /// Whether a form may begin with these two bytes; most places end here.
    may_start: Vec<bool>,
}

/// Bytes of a form that are looked up at once.
const START: usize = 8;

impl Needles {
    fn new() -> Self {
        let mut needles = Self {
            by_start: BTreeMap::new(),
            may_start: vec![false; 1 << 16],
        };
        for n in 0..CANARIES {
            let word = canary(n);
            let lower = word.to_ascii_lowercase();
            for text in [word.as_str(), &lower] {
                let numbers: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
                let hex = HEXLOWER.encode(text.as_bytes());
                needles.add(n, text.to_owned());
                needles.add(n, hex.to_ascii_uppercase());
                needles.add(n, hex);
                needles.add(n, numbers.join(", "));
                needles.add(n, numbers.join(","));
                for before in 0..3 {
                    // Only characters that are made of the word alone, whatever stands around it.
                    let encoded = BASE64.encode(format!("{}{text}", &"aaa"[..before]).as_bytes());
                    let (from, until) = ((before * 8).div_ceil(6), (before + text.len()) * 8 / 6);
                    needles.add(n, encoded[from..until].to_owned());
                }
            }
            needles.add(n, word.to_ascii_uppercase());
        }
        needles
    }

    fn add(&mut self, n: usize, form: String) {
        let form = form.into_bytes();
        let start: [u8; START] = form[..START].try_into().expect("forms are longer");
        self.may_start[pair(&form)] = true;
        self.by_start.entry(start).or_default().push((n, form));
    }

    /// The canary that stands first in some bytes.
    fn first_in(&self, bytes: &[u8]) -> Option<usize> {
        bytes.windows(START).enumerate().find_map(|(at, window)| {
            if !self.may_start[pair(window)] {
                return None;
            }
            let forms = self.by_start.get(window)?;
            let found = forms.iter().find(|(_, form)| bytes[at..].starts_with(form));
            found.map(|(n, _)| *n)
        })
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// Looks for every canary in everything a node keeps and said.
#[track_caller]
fn search(node: &Node, needles: &Needles) {
    let kept = files(&node.dir);
    let place = |part: &str| {
        kept.iter()
            .any(|path| path.starts_with(node.dir.join(part)))
    };
    assert!(
        ["journal", "index", "identity"]
            .iter()
            .all(|part| place(part)),
        "{kept:?}"
    );
    for path in &kept {
        let bytes = fs::read(path).expect("the file is there");
        let name = path.as_os_str().as_encoded_bytes();
        for (what, found) in [
            ("", needles.first_in(&bytes)),
            ("the name of ", needles.first_in(name)),
        ] {
            assert!(
                found.is_none(),
                "{}: canary {found:?} in {what}{}",
                node.organization,
                path.display()
            );
        }
    }
    let said = node.said();
    if let Some(n) = needles.first_in(said.as_bytes()) {
        let line = said
            .lines()
            .find(|line| needles.first_in(line.as_bytes()).is_some());
        panic!(
            "{}: canary {n} on standard error: {line:?}",
            node.organization
        );
    }
}

/// The search is not blind: each form in which a value could slip through is seen in the middle of others.
#[test]
fn every_form_of_a_canary_is_found() {
    let needles = Needles::new();
    let word = canary(7);
    let numbers = format!("{:?}", word.as_bytes());
    let encoded = |before: &str| BASE64.encode(format!("{before}{word} and more").as_bytes());
    let forms = [
        word.to_ascii_lowercase(),
        word.to_ascii_uppercase(),
        HEXLOWER.encode(word.as_bytes()),
        numbers,
        encoded(""),
        encoded("x"),
        encoded("yz"),
    ];

    for form in &forms {
        let around = format!("...{form}...");
        assert_eq!(needles.first_in(around.as_bytes()), Some(7), "{form}");
    }
    assert_eq!(needles.first_in(b"Qzxbbbbvak and what else there is"), None);
}

#[test]
fn every_canary_is_another_word() {
    let all: std::collections::BTreeSet<String> = (0..CANARIES).map(canary).collect();

    assert_eq!(all.len(), CANARIES);
}
