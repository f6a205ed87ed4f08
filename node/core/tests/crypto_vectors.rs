//! Golden bytes of every format of `crypto` and `audit::checkpoint`, and published vectors.
//!
//! A golden file changes only together with a version in the format it shows.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and the published vectors lie outside the repository"
)]

mod shared;

use bytes::Bytes;
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use chartmesh_core::{
    audit::{Checkpoint, JournalHead},
    crypto::{
        Argon2Cost, Body, MalformedBody, OpeningKey, OuterHeader, RowAad, SUITE_XWING, SealContext,
        SealingKey, SecretKey, SignatureError, SigningKey, WrapContext, accept_session,
        begin_session, check_public_key, derive, key_from_passphrase, keyed_hash, open_file,
        receipt, row, seal_file, sha256, subject_of,
        tree::{self, Hash, verify_consistency, verify_inclusion},
        unwrap_key, verify_signature, wrap_key,
    },
    types::{Handle, MemberId, NetworkId},
};
use data_encoding::{BASE64, HEXLOWER};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::{Value, json};

use crate::shared::{shared_cases, shared_json};

const NETWORK: NetworkId = NetworkId([0x11; 32]);
const MEMBER: MemberId = MemberId([0x22; 16]);

struct Text(String);

impl Body for Text {
    const DOMAIN: &'static str = "chartmesh/1/test-text";

    fn encode(&self) -> Vec<u8> {
        self.0.clone().into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Self, MalformedBody> {
        String::from_utf8(bytes.to_vec())
            .map(Self)
            .map_err(|_| MalformedBody {
                domain: Self::DOMAIN,
            })
    }
}

#[test]
fn a_signed_body_has_its_golden_bytes() {
    let keys = [1, 2].map(|seed| SigningKey::from_seed(&SecretKey::new([seed; 32])));

    let mut envelope = keys[0].sign(&NETWORK, &Text("patient agrees".to_owned()));
    envelope.add_signature::<Text>(&keys[1], &NETWORK);

    let signatures: Vec<Value> = keys
        .iter()
        .zip(&envelope.signatures)
        .map(|(key, (public, value))| {
            json!({"seed": hex(&key.seed()[..]), "public": hex(public), "value": hex(value)})
        })
        .collect();
    assert_golden(
        include_str!("../../../tests/vectors/crypto-signed.json"),
        &json!({
            "domain": Text::DOMAIN,
            "network": hex(&NETWORK.0),
            "body": hex(&envelope.body),
            "hash": hex(&envelope.hash()),
            "signatures": signatures,
        }),
    );
    assert!(envelope.verify::<Text>(&NETWORK).is_ok());
}

#[test]
fn a_session_has_its_golden_bytes() {
    let opening = OpeningKey::from_bytes(&SecretKey::new([3; 32]));
    let sealing = SealingKey::parse(&opening.public()).unwrap();
    let context = SealContext {
        network: NETWORK,
        recipient: MEMBER,
        key_id: opening.id(),
    };
    let (enc, asker) = begin_session(&mut ChaCha20Rng::from_seed([4; 32]), &sealing, &context);
    let first = OuterHeader {
        suite: SUITE_XWING,
        key_id: opening.id(),
        session: [0x55; 16],
        counter: 0,
        enc: enc.clone(),
    };
    let later = OuterHeader {
        counter: 0x0102_0304,
        enc: Bytes::new(),
        ..first.clone()
    };
    let holder = accept_session(&opening, &enc, &context).unwrap();

    let question = asker.seal_question(&first, b"question").unwrap();
    let part = holder.seal_answer(&later, 7, b"part seven").unwrap();

    assert_golden(
        include_str!("../../../tests/vectors/crypto-session.json"),
        &json!({
            "opening_key": hex(&opening.to_bytes()[..]),
            "public": hex(&opening.public()),
            "key_id": hex(&opening.id()),
            "network": hex(&NETWORK.0),
            "recipient": hex(&MEMBER.0),
            "session": hex(&first.session),
            "enc": hex(&enc),
            "question": {"counter": 0, "plain": hex(b"question"), "ciphertext": hex(&question)},
            "answer_without_enc": {
                "counter": 0x0102_0304, "part": 7, "plain": hex(b"part seven"), "ciphertext": hex(&part),
            },
        }),
    );
    assert_eq!(
        holder.open_question(&first, &question).unwrap(),
        b"question"
    );
    assert_eq!(asker.open_answer(&later, 7, &part).unwrap(), b"part seven");
}

#[test]
fn a_document_file_has_its_golden_bytes() {
    let key = SecretKey::new([6; 32]);
    let files = [0, 1, 33, 65_536, 65_537, 200_000].map(|size: usize| {
        let plain: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let file = seal_file(&key, &[7; 16], &plain);
        assert_eq!(open_file(&key, &file.bytes, size as u64), Ok(plain));
        let mut entry = json!({
            "size": size,
            "sealed_size": file.bytes.len(),
            "commitment": hex(&file.commitment),
            "leaves": file.leaves.iter().map(|leaf| hex(leaf)).collect::<Vec<_>>(),
            "root": hex(&file.root),
            "sha256": hex(&sha256(&[&file.bytes])),
        });
        if size < 100 {
            entry["file"] = json!(hex(&file.bytes));
        }
        entry
    });

    assert_golden(
        include_str!("../../../tests/vectors/crypto-file.json"),
        &json!({
            "content_key": hex(&key[..]),
            "nonce": hex(&[7; 16]),
            "plain": "byte i is i mod 251",
            "files": files,
        }),
    );
}

#[test]
fn rows_and_keys_have_their_golden_bytes() {
    let key = SecretKey::new([8; 32]);
    let (store, key_id, nonce, salt) = ([9; 16], [10; 16], [11; 24], [12; 16]);
    let aad = RowAad {
        store: &store,
        table: "consent",
        key: b"row key",
        format: 1,
        revision: 77,
    }
    .to_bytes();
    let context = WrapContext { store, key_id };
    let inner = SecretKey::new([13; 32]);

    let sealed = row::seal(&key, &nonce, &aad, b"value");
    let wrapped = wrap_key(
        &mut ChaCha20Rng::from_seed([14; 32]),
        &key,
        &context,
        &inner,
    );
    let of_passphrase = key_from_passphrase(b"correct horse", &salt, Argon2Cost::DEFAULT).unwrap();

    assert_golden(
        include_str!("../../../tests/vectors/crypto-row.json"),
        &json!({
            "key": hex(&key[..]),
            "row": {
                "store": hex(&store), "table": "consent", "row_key": hex(b"row key"),
                "format": 1, "revision": 77, "aad": hex(&aad), "nonce": hex(&nonce),
                "plain": hex(b"value"), "ciphertext": hex(&sealed),
            },
            "wrap": {
                "store": hex(&store), "key_id": hex(&key_id), "inner": hex(&inner[..]),
                "wrapped": hex(&wrapped),
            },
            "passphrase": {
                "passphrase": "correct horse", "salt": hex(&salt), "memory_kib": 19_456,
                "passes": 2, "lanes": 1, "key": hex(&of_passphrase[..]),
            },
            "derive": {"label": "chartmesh/1/test", "key": hex(&derive(&key, "chartmesh/1/test")[..])},
            "keyed_hash": {"content": hex(b"content"), "hash": hex(&keyed_hash(&key[..], &[b"content"]))},
            "subject": {"handle": hex(&[15; 20]), "subject": hex(&subject_of(&Handle([15; 20])))},
            "receipt": {
                "salt": hex(&[16; 32]), "manifest_hash": hex(&[17; 32]),
                "receipt": hex(&receipt(&[16; 32], &[17; 32])),
            },
        }),
    );
    assert_eq!(
        row::open(&key, &nonce, &aad, &sealed),
        Ok(b"value".to_vec())
    );
    assert_eq!(unwrap_key(&key, &context, &wrapped), Ok(inner));
}

#[test]
fn a_checkpoint_has_its_golden_text() {
    let key = SigningKey::from_seed(&SecretKey::new([18; 32]));
    let notes = [
        None,
        Some(JournalHead {
            position: 4_711,
            chain: [19; 32],
        }),
    ]
    .map(|journal| {
        let checkpoint = Checkpoint {
            network: NETWORK,
            member: MEMBER,
            size: 640,
            root: [20; 32],
            journal,
        };
        let note = checkpoint.sign(&key);
        assert_eq!(
            Checkpoint::verify(&note, &NETWORK, &MEMBER, &key.public()),
            Ok(checkpoint)
        );
        note
    });

    assert_golden(
        include_str!("../../../tests/vectors/crypto-checkpoint.json"),
        &json!({
            "seed": hex(&key.seed()[..]),
            "public": hex(&key.public()),
            "network": hex(&NETWORK.0),
            "member": hex(&MEMBER.0),
            "size": 640,
            "root": hex(&[20; 32]),
            "journal": {"position": 4_711, "chain": hex(&[19; 32])},
            "note": notes[0],
            "note_with_journal": notes[1],
        }),
    );
}

#[test]
fn ed25519_agrees_with_wycheproof() {
    let Some(vectors) = shared_json("crypto/wycheproof/ed25519_test.json") else {
        return;
    };
    let (mut valid, mut invalid) = (0, 0);

    for group in list(&vectors["testGroups"]) {
        let public: [u8; 32] = unhex(&group["publicKey"]["pk"]).try_into().unwrap();
        assert_eq!(check_public_key(public), Ok(()));
        for case in list(&group["tests"]) {
            // A signature of another length does not even parse as one.
            let result = <[u8; 64]>::try_from(unhex(&case["sig"]))
                .map_err(|_| SignatureError::Forged)
                .and_then(|signature| verify_signature(&public, &unhex(&case["msg"]), &signature));
            if case["result"] == "valid" {
                valid += 1;
                assert_eq!(result, Ok(()), "{case}");
            } else {
                invalid += 1;
                assert_eq!(result, Err(SignatureError::Forged), "{case}");
            }
        }
    }

    assert!(valid > 80 && invalid > 50);
}

#[test]
fn chacha20_poly1305_agrees_with_wycheproof() {
    let Some(vectors) = shared_json("crypto/wycheproof/chacha20_poly1305_test.json") else {
        return;
    };
    let (mut valid, mut invalid) = (0, 0);

    for case in list(&vectors["testGroups"])
        .iter()
        .flat_map(|group| list(&group["tests"]))
    {
        let Ok(nonce) = <[u8; 12]>::try_from(unhex(&case["iv"])) else {
            // Our nonces are arrays of 12 bytes, so another length does not compile.
            assert_eq!(case["result"], "invalid");
            continue;
        };
        let key: [u8; 32] = unhex(&case["key"]).try_into().unwrap();
        let cipher = ChaCha20Poly1305::new(&key.into());
        let (aad, plain) = (unhex(&case["aad"]), unhex(&case["msg"]));
        let sealed = [unhex(&case["ct"]), unhex(&case["tag"])].concat();
        let payload = |msg| Payload { msg, aad: &aad };

        let opened = cipher.decrypt(&nonce.into(), payload(&sealed));

        if case["result"] == "valid" {
            valid += 1;
            assert_eq!(opened.unwrap(), plain);
            assert_eq!(
                cipher.encrypt(&nonce.into(), payload(&plain)).unwrap(),
                sealed
            );
        } else {
            invalid += 1;
            assert!(opened.is_err(), "{case}");
        }
    }

    assert!(valid > 200 && invalid > 10);
}

#[test]
fn hkdf_agrees_with_wycheproof() {
    let Some(vectors) = shared_json("crypto/wycheproof/hkdf_sha256_test.json") else {
        return;
    };
    let (mut valid, mut invalid) = (0, 0);

    for case in list(&vectors["testGroups"])
        .iter()
        .flat_map(|group| list(&group["tests"]))
    {
        let mut out = vec![0; case["size"].as_u64().unwrap() as usize];
        let hkdf =
            hkdf::Hkdf::<sha2::Sha256>::new(Some(&unhex(&case["salt"])), &unhex(&case["ikm"]));

        let expanded = hkdf.expand(&unhex(&case["info"]), &mut out);

        if case["result"] == "valid" {
            valid += 1;
            assert!(expanded.is_ok());
            assert_eq!(out, unhex(&case["okm"]), "{case}");
        } else {
            invalid += 1;
            assert!(expanded.is_err(), "{case}");
        }
    }

    assert!(valid > 70 && invalid > 0);
}

#[test]
fn inclusion_proofs_agree_with_published_cases() {
    let Some(cases) = shared_cases("crypto/merkle-rfc6962/inclusion") else {
        return;
    };

    for case in &cases {
        assert_eq!(included(case), case["wantErr"] != true, "{case}");
    }

    assert_eq!(cases.len(), 98);
}

#[test]
fn consistency_proofs_agree_with_published_cases() {
    let Some(cases) = shared_cases("crypto/merkle-rfc6962/consistency") else {
        return;
    };

    for case in &cases {
        assert_eq!(consistent(case), case["wantErr"] != true, "{case}");
    }

    assert_eq!(cases.len(), 98);
}

fn included(case: &Value) -> bool {
    let (Some(leaf), Some(root)) = (hash(&case["leafHash"]), hash(&case["root"])) else {
        return false; // Our type holds 32 bytes and no others.
    };
    let (index, size) = (&case["leafIdx"], &case["treeSize"]);
    proof(&case["proof"]).is_some_and(|proof| {
        let (index, size) = (index.as_u64().unwrap(), size.as_u64().unwrap());
        verify_inclusion(&leaf, index, size, &proof, &root).is_ok()
    })
}

fn consistent(case: &Value) -> bool {
    // Some cases write a word for a root where only equality matters; its hash stands for it.
    let root = |value: &Value| {
        hash(value).unwrap_or_else(|| tree::leaf_hash(value.to_string().as_bytes()))
    };
    let (earlier, size) = (&case["size1"], &case["size2"]);
    proof(&case["proof"]).is_some_and(|proof| {
        verify_consistency(
            earlier.as_u64().unwrap(),
            &root(&case["root1"]),
            size.as_u64().unwrap(),
            &root(&case["root2"]),
            &proof,
        )
        .is_ok()
    })
}

fn assert_golden(golden: &str, actual: &Value) {
    let actual = serde_json::to_string_pretty(actual).unwrap() + "\n";
    assert!(
        golden == actual,
        "the golden bytes are\n{golden}\nand ours\n{actual}"
    );
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn unhex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn hash(value: &Value) -> Option<Hash> {
    BASE64
        .decode(value.as_str()?.as_bytes())
        .ok()?
        .try_into()
        .ok()
}

fn proof(value: &Value) -> Option<Vec<Hash>> {
    match value {
        Value::Null => Some(Vec::new()),
        hashes => list(hashes).iter().map(hash).collect(),
    }
}
