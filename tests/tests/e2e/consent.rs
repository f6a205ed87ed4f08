//! Consent opens and closes a document.

use std::{fs, os::unix::fs::PermissionsExt};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::{
    node::text,
    people::{ROSA, pdf, words},
    story::import,
    world::{Network, line_of, patient},
};

/// A large document is read byte by byte while consent stands, and not at all before and after.
///
/// The hard case is the first request after the revocation: the handle, the document's id and the
/// connection are all as they were.
#[test]
fn a_large_document_is_readable_exactly_while_consent_stands() {
    let network = Network::new("opt-in");
    let Network {
        hospital,
        harbor,
        world,
        ..
    } = &network;
    let scan = pdf(3 << 20);
    import(hospital, &world.file("rosa.json", &ROSA.bundle()));
    let rosa = patient(hospital, ROSA.family);
    let file = world.file("scan.pdf", &scan);
    let added = hospital.ok(&[
        "document",
        "add",
        "--patient",
        &rosa,
        "--type",
        "18842-5",
        &file,
    ]);
    let digest = HEXLOWER.encode(&Sha256::digest(&scan));
    assert_eq!(added["sha256"], digest.as_str());
    let ledger = harbor.ok(&words(&ROSA.question()));
    let handle = text(&line_of(&ledger, hospital)["handle"]);
    let document = text(&added["document"]);
    let out = world.out("out.pdf");
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

    assert_eq!(harbor.run(&fetch).expect(3).code(), "DENIED");
    assert!(fs::metadata(&out).is_err(), "nothing is written");

    let grant = hospital.ok(&[
        "consent",
        "grant",
        "--patient",
        &rosa,
        "--to",
        "org:Harbor Urgent Care",
        "--purpose",
        "TREAT",
    ]);
    let fetched = harbor.ok(&fetch);

    assert_eq!(fetched["sha256"], digest.as_str());
    assert_eq!(fetched["bytes"], scan.len());
    assert_eq!(fetched["verified"], true);
    assert!(fs::read(&out).expect("written") == scan, "the same bytes");
    let mode = fs::metadata(&out).expect("written").permissions().mode();
    assert_eq!(mode & 0o077, 0, "for its owner only");

    fs::remove_file(&out).expect("removed");
    hospital.ok(&["consent", "revoke", &text(&grant["consent"])]);

    assert_eq!(harbor.run(&fetch).expect(3).code(), "DENIED");
    assert!(fs::metadata(&out).is_err(), "nothing is written");
}
