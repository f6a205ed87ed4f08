//! Values that must not be written anywhere in the clear.

use std::fs;

use serde_json::{Value, json};

use crate::{
    damage::files,
    node::{Node, text},
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
/// The hard case is what goes wrong: refused inputs and denied requests, whose error texts are the
/// likeliest place for a value to slip through.
#[test]
fn nothing_of_a_patient_is_written_in_the_clear() {
    let mut network = Network::new("opt-in");
    // Inputs and outputs of the command line are the user's own files and lie outside the nodes.
    live_through_everything(&network);

    let Network {
        clinic,
        hospital,
        harbor,
        ..
    } = &mut network;
    for node in [clinic, hospital, harbor] {
        node.stop();
        search(node);
    }
}

fn live_through_everything(network: &Network) {
    let Network {
        clinic,
        hospital,
        harbor,
        world,
    } = network;
    let good = bundle();
    hospital.ok(&["import", &world.file("in.json", &good)]);
    hospital
        .run(&["import", &world.file("cut.json", &good[..good.len() / 2])])
        .expect(6);
    let doubled = format!(
        "{{\"resourceType\":\"Patient\",\"{0}\":\"{0}\",\"{0}\":1}}",
        canary(10)
    );
    hospital
        .run(&["import", &world.file("doubled.json", doubled.as_bytes())])
        .expect(6);
    let odd = json!({ "resourceType": canary(11), "id": canary(12), "text": canary(13) });
    hospital
        .run(&[
            "import",
            &world.file("odd.json", odd.to_string().as_bytes()),
        ])
        .expect(6);

    let subject = patient(hospital, &canary(2));
    let mut scan = pdf(300_000);
    scan.extend_from_slice(canary(14).as_bytes());
    let file = world.file("scan.pdf", &scan);
    hospital.ok(&[
        "document",
        "add",
        "--patient",
        &subject,
        "--type",
        "18842-5",
        &file,
    ]);

    let identifier = format!("{MRN}={}", canary(1));
    let (family, given) = (canary(2), canary(3));
    let question = [
        "locate",
        "--family",
        &family,
        "--given",
        &given,
        "--birth-date",
        "1941-07-19",
        "--sex",
        "F",
        "--identifier",
        &identifier,
        "--purpose",
        "TREAT",
    ];
    let ledger = harbor.run(&question).json;
    clinic.run(&question);
    let handle = text(&line_of(&ledger, hospital)["handle"]);
    let list = ["documents", "--handle", &handle, "--purpose", "TREAT"];
    harbor.run(&list).expect(3);
    let grant = hospital.ok(&[
        "consent",
        "grant",
        "--patient",
        &subject,
        "--to",
        &harbor.id,
        "--purpose",
        "TREAT",
    ]);
    let documents = harbor.ok(&list);
    for (n, document) in lines(&documents["documents"]).enumerate() {
        fetch(harbor, &handle, document, &world.out(&format!("out{n}")));
    }
    hospital.ok(&["consent", "revoke", &text(&grant["consent"])]);
    harbor.run(&list).expect(3);
    hospital.run(&[
        "consent",
        "grant",
        "--patient",
        &canary(15),
        "--to",
        "any",
        "--purpose",
        "TREAT",
    ]);
    hospital.run(&["patient", "show", &canary(16)]);
    hospital.ok(&["audit", "accounting", "--patient", &subject]);
}

fn fetch(node: &Node, handle: &str, document: &Value, out: &str) {
    let id = text(&document["id"]);
    node.ok(&[
        "fetch",
        "--handle",
        handle,
        "--document",
        &id,
        "--purpose",
        "TREAT",
        "--out",
        out,
    ]);
}

/// Looks for every canary, in any case, in everything a node keeps and said.
fn search(node: &Node) {
    let mut places: Vec<(String, Vec<u8>)> = files(&node.dir)
        .into_iter()
        .map(|path| {
            let mut bytes = fs::read(&path).expect("the file is there");
            // Its name is searched with it.
            bytes.extend_from_slice(path.as_os_str().as_encoded_bytes());
            (path.display().to_string(), bytes)
        })
        .collect();
    assert!(places.len() > 3, "there is something to search");
    places.push(("standard error".to_owned(), node.said().into_bytes()));
    let stem = canary(0)[..3].to_ascii_lowercase();
    for (place, mut bytes) in places {
        bytes.make_ascii_lowercase();
        // Every canary has the same three letters in front, so most places end here.
        let starts = bytes
            .windows(stem.len())
            .enumerate()
            .filter(|(_, window)| *window == stem.as_bytes());
        for (at, _) in starts {
            let found = (0..CANARIES).find(|n| {
                let canary = canary(*n).to_ascii_lowercase();
                bytes[at..].starts_with(canary.as_bytes())
            });
            assert!(
                found.is_none(),
                "{}: canary {found:?} in {place}",
                node.organization
            );
        }
    }
}

#[test]
fn every_canary_is_another_word() {
    let all: std::collections::BTreeSet<String> = (0..CANARIES).map(canary).collect();

    assert_eq!(all.len(), CANARIES);
}
