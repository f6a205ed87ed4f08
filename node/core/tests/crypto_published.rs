//! What the published vectors say of the functions this crate gives away, and of the primitives below
//! them where a function of ours cannot take a vector's inputs.
//!
//! | vectors | pass through | those that cannot, and why |
//! |---|---|---|
//! | Wycheproof Ed25519 | `verify_signature` (`crypto_vectors.rs`) | signatures of another length: the type has 64 bytes |
//! | Wycheproof XChaCha20-Poly1305 | `row::seal`, `row::open` | nonces of another length: the type has 24 bytes |
//! | Wycheproof HMAC-SHA-256, RFC 4231 | `keyed_hash`, `keyed_hash_matches` | shortened tags match as a beginning only |
//! | Wycheproof ChaCha20-Poly1305 | the cipher (`crypto_vectors.rs`) | our messages and files make nonce and associated data themselves; what they make is computed here a second time |
//! | Wycheproof HKDF-SHA-256 | the function (`crypto_vectors.rs`) | `derive` takes a text for a label and 32 bytes of key, no vector has both; computed here a second time |
//! | Wycheproof X25519 | the KEM of the HPKE crate | X-Wing never gives the bare secret away |
//! | RFC 9180 | the HPKE crate, base mode | our suite is another; its own vector passes in `crypto::sealed` |
//! | RFC 6962 subtrees | `verify_inclusion`, `verify_consistency` | those that do not begin at leaf 0: no message of ours has one |
//! | Wycheproof AES-GCM | nothing | we have no AES |

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and the published vectors lie outside the repository"
)]

mod shared;

use std::fs;

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use chartmesh_core::{
    crypto::{
        HEADER_BYTES, OpeningKey, OuterHeader, SUITE_XWING, SealContext, SealingKey, SecretKey,
        accept_session, begin_session, derive, keyed_hash, keyed_hash_matches, row, seal_file,
        tree::{self, Hash, verify_consistency, verify_inclusion},
    },
    types::{MemberId, NetworkId, limits::CHUNK_BYTES},
};
use data_encoding::{BASE64, HEXLOWER};
use hkdf::Hkdf;
use hpke::{Deserializable, Kem, OpModeR, Serializable, aead, kdf::HkdfSha256, kem};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::Value;
use sha2::Sha256;

use crate::shared::{optional, shared_cases, shared_json};

#[test]
fn xchacha20_poly1305_agrees_with_wycheproof_through_rows() {
    let Some(vectors) = optional_json("crypto/wycheproof/xchacha20_poly1305_test.json") else {
        return;
    };
    let (mut valid, mut invalid) = (0, 0);

    for case in cases(&vectors) {
        let Ok(nonce) = <[u8; 24]>::try_from(unhex(&case["iv"])) else {
            assert_eq!(case["result"], "invalid", "{case}");
            continue;
        };
        let key = SecretKey::new(unhex(&case["key"]).try_into().unwrap());
        let (aad, plain) = (unhex(&case["aad"]), unhex(&case["msg"]));
        let sealed = [unhex(&case["ct"]), unhex(&case["tag"])].concat();

        let opened = row::open(&key, &nonce, &aad, &sealed);

        if case["result"] == "valid" {
            valid += 1;
            assert_eq!(opened, Ok(plain.clone()), "{case}");
            assert_eq!(row::seal(&key, &nonce, &aad, &plain), sealed, "{case}");
        } else {
            invalid += 1;
            assert_eq!(opened, Err(row::RowError::Integrity), "{case}");
        }
    }

    assert!(valid > 150 && invalid > 10, "{valid} and {invalid}");
}

#[test]
fn hmac_sha256_agrees_with_wycheproof() {
    let Some(vectors) = optional_json("crypto/wycheproof/hmac_sha256_test.json") else {
        return;
    };
    let (mut valid, mut invalid) = (0, 0);

    for group in list(&vectors["testGroups"]) {
        for case in list(&group["tests"]) {
            let (key, tag) = (unhex(&case["key"]), unhex(&case["tag"]));
            let message = unhex(&case["msg"]);
            let agrees = keyed_hash(&key, &[&message]).starts_with(&tag);
            assert_eq!(agrees, case["result"] == "valid", "{case}");
            let whole = tag.len() == 32;
            let matches = keyed_hash_matches(&key, &[&message], &tag);
            assert_eq!(matches, agrees && whole, "{case}");
            if agrees { valid += 1 } else { invalid += 1 }
        }
    }

    assert!(valid > 30 && invalid > 50, "{valid} and {invalid}");
}

#[test]
fn a_keyed_hash_agrees_with_every_case_of_rfc_4231() {
    // RFC 4231, 4.2 to 4.8; the fifth shows 128 bits only.
    let long_key = [0xAA; 131];
    let counted: Vec<u8> = (1..=25).collect();
    let cases: [(&[u8], &[u8], &str); 7] = [
        (
            &[0x0B; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            &[0xAA; 20],
            &[0xDD; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            &counted,
            &[0xCD; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            &[0x0C; 20],
            b"Test With Truncation",
            "a3b6167473100ee06e0c796c2955552b",
        ),
        (
            &long_key,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            &long_key,
            b"This is a test using a larger than block-size key and a larger than block-size data. \
              The key needs to be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ];

    for (key, message, expected) in cases {
        let hash = HEXLOWER.encode(&keyed_hash(key, &[message]));
        assert!(hash.starts_with(expected), "{hash}");
    }
}

#[test]
fn a_row_is_xchacha20_poly1305_computed_from_its_parts() {
    // draft-irtf-cfrg-xchacha-03, 2.2.1.
    let key: [u8; 32] = std::array::from_fn(|at| at as u8);
    let nonce = HEXLOWER
        .decode(b"000000090000004a0000000031415927")
        .unwrap();
    assert_eq!(
        HEXLOWER.encode(&hchacha20(&key, &nonce)),
        "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    );
    let mut dice = ChaCha20Rng::from_seed([1; 32]);

    for len in 0..300 {
        let (mut key, mut nonce, mut aad) = ([0; 32], [0; 24], vec![0; len % 17]);
        let mut plain = vec![0; len];
        for bytes in [&mut key[..], &mut nonce, &mut aad, &mut plain] {
            dice.fill_bytes(bytes);
        }
        let subkey = hchacha20(&key, &nonce[..16]);
        let mut inner = [0; 12];
        inner[4..].copy_from_slice(&nonce[16..]);
        let expected = cipher(&subkey, inner, &aad, &plain);

        let sealed = row::seal(&SecretKey::new(key), &nonce, &aad, &plain);

        assert_eq!(sealed, expected);
    }
}

#[test]
fn session_messages_are_what_the_specification_makes_of_their_parts() {
    let opening = OpeningKey::from_bytes(&SecretKey::new([3; 32]));
    let sealing = SealingKey::parse(&opening.public()).unwrap();
    let context = SealContext {
        network: NetworkId([0x11; 32]),
        recipient: MemberId([0x22; 16]),
        key_id: opening.id(),
    };
    let (enc, asker) = begin_session(&mut ChaCha20Rng::from_seed([4; 32]), &sealing, &context);
    // `proto/README.md`, Sealed.
    let info = [
        b"\x10chartmesh/1/seal\x13chartmesh/1/session".as_slice(),
        &[0x11; 32],
        &[0x22; 16],
        &opening.id(),
    ]
    .concat();
    let private = <kem::XWing as Kem>::PrivateKey::from_bytes(&opening.to_bytes()[..]).unwrap();
    let encapped = <kem::XWing as Kem>::EncappedKey::from_bytes(&enc).unwrap();
    let exporter = hpke::setup_receiver::<aead::ChaCha20Poly1305, HkdfSha256, kem::XWing>(
        &OpModeR::Base,
        &private,
        &encapped,
        &info,
    )
    .unwrap();
    let exported = |label: &[u8]| {
        let mut key = [0; 32];
        exporter.export(label, &mut key).unwrap();
        key
    };
    let to = exported(b"chartmesh/1/session/to");
    let from = exported(b"chartmesh/1/session/from");
    let holder = accept_session(&opening, &enc, &context).unwrap();
    let mut dice = ChaCha20Rng::from_seed([5; 32]);

    for round in 0..64_usize {
        let (session, counter, part) = ([round as u8; 16], dice.next_u64(), dice.next_u32());
        let first = round.is_multiple_of(2);
        let header = OuterHeader {
            suite: SUITE_XWING,
            key_id: opening.id(),
            session,
            counter,
            enc: if first {
                enc.clone()
            } else {
                bytes::Bytes::new()
            },
        };
        let mut plain = vec![0; round];
        dice.fill_bytes(&mut plain);
        let nonce = |part: u32| -> [u8; 12] {
            let bytes = [&part.to_be_bytes()[..], &counter.to_be_bytes()].concat();
            bytes.try_into().unwrap()
        };

        let question = asker.seal_question(&header, &plain).unwrap();
        let answer = holder.seal_answer(&header, part, &plain).unwrap();

        assert_eq!(
            question,
            cipher(&to, nonce(0), &associated(1, &header), &plain)
        );
        assert_eq!(
            answer,
            cipher(&from, nonce(part), &associated(2, &header), &plain)
        );
    }
}

/// `proto/README.md`, Sealed: a byte for the direction, and the outer header.
fn associated(direction: u8, header: &OuterHeader) -> Vec<u8> {
    [
        &[direction][..],
        &header.suite.to_be_bytes(),
        &header.key_id,
        &header.session,
        &header.counter.to_be_bytes(),
        &(header.enc.len() as u16).to_be_bytes(),
        &header.enc,
    ]
    .concat()
}

#[test]
fn a_document_file_is_what_the_specification_makes_of_its_parts() {
    let (key, nonce) = ([6; 32], [7; 16]);
    let plain: Vec<u8> = (0..3 * CHUNK_BYTES).map(|at| (at % 251) as u8).collect();
    let hkdf = Hkdf::<Sha256>::new(Some(&nonce), &key);
    let mut payload_key = [0; 32];
    hkdf.expand(b"payload", &mut payload_key).unwrap();
    let mut commitment = [0; 32];
    hkdf.expand(b"chartmesh/1/commit", &mut commitment).unwrap();

    let file = seal_file(&SecretKey::new(key), &nonce, &plain);

    assert_eq!(file.bytes[..8], *b"CMDOC\0\0\x01");
    assert_eq!(file.bytes[8..24], nonce);
    assert_eq!(file.bytes[24..HEADER_BYTES], commitment);
    for (index, chunk) in plain.chunks(CHUNK_BYTES).enumerate() {
        let mut counter = [0; 12];
        counter[10] = index as u8;
        counter[11] = u8::from(index == 2);
        let from = HEADER_BYTES + index * (CHUNK_BYTES + 16);
        let sealed = &file.bytes[from..from + CHUNK_BYTES + 16];
        assert_eq!(sealed, cipher(&payload_key, counter, b"", chunk), "{index}");
        assert_eq!(file.leaves[index + 1], tree::leaf_hash(sealed));
    }
    assert_eq!(
        file.bytes.len(),
        HEADER_BYTES + 3 * (CHUNK_BYTES + 16),
        "three chunks have a Padmé length"
    );
}

#[test]
fn a_derived_key_is_hkdf_without_salt() {
    let mut dice = ChaCha20Rng::from_seed([8; 32]);
    for label in ["", "chartmesh/1/test", "ö"] {
        let mut key = [0; 32];
        dice.fill_bytes(&mut key);
        let mut expected = [0; 32];
        Hkdf::<Sha256>::new(Some(&[0; 32]), &key)
            .expand(label.as_bytes(), &mut expected)
            .unwrap();

        assert_eq!(derive(&SecretKey::new(key), label)[..], expected);
    }
    let Some(vectors) = shared_json("crypto/wycheproof/hkdf_sha256_test.json") else {
        return;
    };
    let fitting = cases(&vectors).filter(|case| {
        let unsalted = unhex(&case["salt"]).iter().all(|byte| *byte == 0);
        let label = String::from_utf8(unhex(&case["info"])).is_ok();
        unsalted && label && unhex(&case["ikm"]).len() == 32 && case["size"] == 32
    });
    assert_eq!(fitting.count(), 0, "one could pass through `derive`");
}

#[test]
fn x25519_agrees_with_wycheproof_below_the_kem() {
    type X25519 = kem::X25519HkdfSha256;
    let Some(vectors) = shared_json("crypto/wycheproof/x25519_test.json") else {
        return;
    };
    let (mut agreed, mut refused) = (0, 0);

    for case in cases(&vectors) {
        let public = unhex(&case["public"]);
        let private = <X25519 as Kem>::PrivateKey::from_bytes(&unhex(&case["private"])).unwrap();
        let encapped = <X25519 as Kem>::EncappedKey::from_bytes(&public).unwrap();
        let own = X25519::sk_to_pk(&private).to_bytes();

        let secret = X25519::decap(&private, None, &encapped);

        let shared = unhex(&case["shared"]);
        if shared == [0; 32] {
            // RFC 9180, 7.1.4: a secret of zeros is an error.
            refused += 1;
            assert!(secret.is_err(), "{case}");
        } else {
            agreed += 1;
            let expected = dhkem_secret(&shared, &[&public[..], &own].concat());
            assert_eq!(secret.unwrap().0[..], expected, "{case}");
        }
    }

    assert!(agreed > 450 && refused > 10, "{agreed} and {refused}");
}

#[test]
fn the_hpke_crate_agrees_with_rfc_9180_in_base_mode() {
    type X25519 = kem::X25519HkdfSha256;
    let Some(vectors) = shared_json("crypto/rfc9180-hpke-x25519-hkdfsha256.json") else {
        return;
    };
    let mut opened = 0;

    // Of the four ciphers ours alone is compiled in.
    let ours = |vector: &&Value| vector["mode"] == 0 && vector["aead_id"] == 3;
    for vector in list(&vectors).iter().filter(ours) {
        let private = <X25519 as Kem>::PrivateKey::from_bytes(&unhex(&vector["skRm"])).unwrap();
        let enc = <X25519 as Kem>::EncappedKey::from_bytes(&unhex(&vector["enc"])).unwrap();
        let mut context = hpke::setup_receiver::<aead::ChaCha20Poly1305, HkdfSha256, X25519>(
            &OpModeR::Base,
            &private,
            &enc,
            &unhex(&vector["info"]),
        )
        .unwrap();
        for message in list(&vector["encryptions"]) {
            let (ct, aad) = (unhex(&message["ct"]), unhex(&message["aad"]));
            assert_eq!(context.open(&ct, &aad).unwrap(), unhex(&message["pt"]));
            opened += 1;
        }
    }

    assert!(opened > 3, "{opened}");
}

#[test]
fn subtree_proofs_that_begin_at_the_first_leaf_agree_with_published_cases() {
    let (Some(inclusion), Some(consistency)) = (
        shared_cases("crypto/merkle-rfc6962/subtreeinclusion"),
        shared_cases("crypto/merkle-rfc6962/subtreeconsistency"),
    ) else {
        return;
    };
    let whole = |case: &&Value| case["start"].as_u64() == Some(0);
    let (mut leaves, mut sizes) = (0, 0);

    for case in inclusion.iter().filter(whole) {
        leaves += 1;
        assert_eq!(included(case), case["wantErr"] != true, "{case}");
    }
    for case in consistency.iter().filter(whole) {
        sizes += 1;
        // Of an empty tree we prove nothing, and take no proof.
        let holds = case["wantErr"] != true && case["end"] != 0;
        assert_eq!(consistent(case), holds, "{case}");
    }

    assert!(leaves > 50 && sizes > 50, "{leaves} and {sizes}");
}

fn included(case: &Value) -> bool {
    let (Some(leaf), Some(root)) = (hash(&case["leafHash"]), hash(&case["root"])) else {
        return false; // Our type holds 32 bytes and no others.
    };
    let (Some(index), Some(size)) = (case["leafIdx"].as_u64(), case["end"].as_u64()) else {
        return false;
    };
    proof(&case["proof"])
        .is_some_and(|proof| verify_inclusion(&leaf, index, size, &proof, &root).is_ok())
}

fn consistent(case: &Value) -> bool {
    let root = |value: &Value| {
        hash(value).unwrap_or_else(|| tree::leaf_hash(value.to_string().as_bytes()))
    };
    let (Some(end), Some(size)) = (case["end"].as_u64(), case["size"].as_u64()) else {
        return false;
    };
    let (earlier, later) = (root(&case["root1"]), root(&case["root2"]));
    proof(&case["proof"])
        .is_some_and(|proof| verify_consistency(end, &earlier, size, &later, &proof).is_ok())
}

/// ChaCha20-Poly1305, which `crypto_vectors.rs` compares with Wycheproof.
fn cipher(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], msg: &[u8]) -> Vec<u8> {
    ChaCha20Poly1305::new(key.into())
        .encrypt(&nonce.into(), Payload { msg, aad })
        .unwrap()
}

/// HChaCha20 (draft-irtf-cfrg-xchacha-03, 2.2).
fn hchacha20(key: &[u8; 32], nonce: &[u8]) -> [u8; 32] {
    let words = [b"expand 32-byte k".as_slice(), key, nonce].concat();
    let mut state: Vec<u32> = words
        .chunks(4)
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect();
    for _ in 0..10 {
        for at in 0..4 {
            quarter(&mut state, [at, at + 4, at + 8, at + 12]);
        }
        for at in 0..4 {
            let diagonal = |row: usize| row * 4 + (at + row) % 4;
            quarter(&mut state, [at, diagonal(1), diagonal(2), diagonal(3)]);
        }
    }
    let kept = state[..4].iter().chain(&state[12..]);
    let bytes: Vec<u8> = kept.flat_map(|word| word.to_le_bytes()).collect();
    bytes.try_into().unwrap()
}

fn quarter(state: &mut [u32], [a, b, c, d]: [usize; 4]) {
    for (at, from, turned, bits) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
        state[at] = state[at].wrapping_add(state[from]);
        state[turned] = (state[turned] ^ state[at]).rotate_left(bits);
    }
}

/// ExtractAndExpand of RFC 9180, 4.1, for DHKEM(X25519, HKDF-SHA256).
fn dhkem_secret(shared: &[u8], context: &[u8]) -> Vec<u8> {
    const SUITE: &[u8] = b"HPKE-v1KEM\x00\x20";
    let labeled = [SUITE, b"eae_prk", shared].concat();
    let info = [b"\x00\x20", SUITE, b"shared_secret", context].concat();
    let mut secret = vec![0; 32];
    Hkdf::<Sha256>::new(None, &labeled)
        .expand(&info, &mut secret)
        .unwrap();
    secret
}

fn unhex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn cases(vectors: &Value) -> impl Iterator<Item = &Value> {
    list(&vectors["testGroups"])
        .iter()
        .flat_map(|group| list(&group["tests"]))
}

fn hash(value: &Value) -> Option<Hash> {
    let bytes = BASE64.decode(value.as_str()?.as_bytes()).ok()?;
    bytes.try_into().ok()
}

fn proof(value: &Value) -> Option<Vec<Hash>> {
    match value {
        Value::Null => Some(Vec::new()),
        hashes => list(hashes).iter().map(hash).collect(),
    }
}

fn optional_json(path: &str) -> Option<Value> {
    let text = fs::read_to_string(optional(path)?).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}
