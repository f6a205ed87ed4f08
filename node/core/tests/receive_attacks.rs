//! What a holder can do to a document it sends, when it lies in every part it makes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chartmesh_core::{
    crypto::{
        Body, SealedFile, SecretKey, Sha256, SigningKey, chunk_count, chunk_range, open_file,
        receipt, seal_file, sha256, subject_of,
    },
    exchange::{Receive, ReceiveError},
    records::{Coding, Disclosure, Manifest},
    types::{DisclosureId, FileId, Handle, MemberId, NetworkId, NodeKey, Timestamp},
    wire::{FetchHead, Head},
};

const NETWORK: NetworkId = NetworkId([1; 32]);
const HOLDER: MemberId = MemberId([2; 16]);
const ASKER: MemberId = MemberId([3; 16]);
const HANDLE: Handle = Handle([4; 20]);
const DISCLOSURE: DisclosureId = DisclosureId([5; 16]);
const SALT: [u8; 32] = [6; 32];

fn key() -> SecretKey {
    SecretKey::new([7; 32])
}

/// Everything a holder sends for one fetch.
struct Sent {
    head: FetchHead,
    manifest: Manifest,
    leaves: Vec<[u8; 32]>,
    chunks: Vec<(u64, Vec<u8>)>,
    key: SecretKey,
    statement: Disclosure,
}

fn manifest_of(file: &SealedFile, plain: &[u8]) -> Manifest {
    Manifest {
        member: HOLDER,
        file: FileId([8; 16]),
        root: file.root,
        sealed_size: file.bytes.len() as u64,
        size: plain.len() as u64,
        commitment: file.commitment,
        plain_sha256: sha256(&[plain]),
        coding: Coding {
            system: Coding::LOINC.to_owned(),
            code: "34133-9".to_owned(),
            display: String::new(),
        },
        format: String::new(),
        content_type: "text/plain".to_owned(),
        author: String::new(),
        from: Timestamp(1),
        until: Timestamp(2),
        labels: Vec::new(),
        sequence: 1,
        issued_at: Timestamp(3),
    }
}

/// The honest answer: a document of three chunks.
fn honest() -> (Sent, Vec<u8>) {
    let plain: Vec<u8> = (0..180_000).map(|at| (at % 251) as u8).collect();
    let file = seal_file(&key(), &[9; 16], &plain);
    let manifest = manifest_of(&file, &plain);
    let len = file.bytes.len() as u64;
    let count = chunk_count(len).unwrap();
    let chunk = |index| {
        let range = chunk_range(len, index).unwrap();
        let bytes = file.bytes[range.start as usize..range.end as usize].to_vec();
        (index, bytes)
    };
    let head = Head {
        member: HOLDER,
        key: NodeKey([0; 32]),
        network: NETWORK,
        audience: ASKER,
        challenge: None,
        sent_at: Timestamp(4),
        expiry: Timestamp(5),
        answers: None,
        next_challenge: None,
    };
    let statement = Disclosure {
        holder: HOLDER,
        asker: ASKER,
        disclosure: DISCLOSURE,
        receipt: receipt(&SALT, &sha256(&[&manifest.encode()])),
        salt: SALT,
        consent: None,
        rule: 1,
        obligations: Vec::new(),
        query_hash: [0; 32],
        audit_leaf: [0; 32],
        audit_index: 0,
        issued_at: Timestamp(6),
    };
    let sent = Sent {
        head: FetchHead {
            head,
            manifest: signer().sign(&NETWORK, &manifest),
            disclosure: DISCLOSURE,
            chunks: count,
            from_chunk: 0,
            subject: subject_of(&HANDLE),
        },
        leaves: file.leaves.clone(),
        chunks: (0..count).map(chunk).collect(),
        manifest,
        key: key(),
        statement,
    };
    (sent, plain)
}

fn signer() -> SigningKey {
    SigningKey::from_seed(&SecretKey::new([10; 32]))
}

/// Receives as the flow does; the manifest is signed as it stands, and the receipt made for it.
fn receive(sent: Sent) -> Result<Vec<u8>, ReceiveError> {
    let envelope = signer().sign(&NETWORK, &sent.manifest);
    let manifest = envelope.verify::<Manifest>(&NETWORK).unwrap();
    let mut receive = Receive::begin(HOLDER, HANDLE, &sent.head, manifest, 0)?;
    for part in sent.leaves.chunks(2) {
        receive.handle_leaves(&part.concat())?;
    }
    for (index, data) in &sent.chunks {
        receive.handle_chunk(*index, data)?;
    }
    let opening = receive.finish(ASKER, sent.key.clone(), (sent.statement, String::new()))?;
    let mut chunks = sent.chunks.iter().map(|(_, data)| data);
    let mut opener = opening.open(chunks.next().unwrap())?;
    let mut opened = Sha256::default();
    for chunk in chunks {
        let plain = opener.open(chunk).map_err(|_| ReceiveError::Integrity)?;
        opened.update(&plain);
    }
    opening.confirm(opened)?;
    let whole: Vec<u8> = sent.chunks.into_iter().flat_map(|(_, data)| data).collect();
    Ok(open_file(&sent.key, &whole, sent.manifest.size).unwrap())
}

/// As [`receive`], with a receipt that fits the manifest that was changed.
fn receive_with_receipt(mut sent: Sent) -> Result<Vec<u8>, ReceiveError> {
    sent.statement.receipt = receipt(&SALT, &sha256(&[&sent.manifest.encode()]));
    receive(sent)
}

fn lied(lie: impl FnOnce(&mut Sent)) -> Sent {
    let (mut sent, _) = honest();
    lie(&mut sent);
    sent
}

#[test]
fn every_lie_of_a_holder_ends_before_anything_is_shown() {
    let (sent, plain) = honest();
    assert_eq!(receive(sent).unwrap(), plain);

    let refused = |expected, sent| assert_eq!(receive_with_receipt(sent).err(), Some(expected));
    use ReceiveError::{Foreign, Integrity, Subject, TooLarge};
    refused(Subject, lied(|sent| sent.head.subject[0] ^= 1));
    refused(Foreign, lied(|sent| sent.manifest.member = ASKER));
    refused(Foreign, lied(|sent| sent.head.chunks += 1));
    refused(Foreign, lied(|sent| sent.head.from_chunk = u64::MAX));
    refused(TooLarge, lied(|sent| sent.manifest.sealed_size = u64::MAX));
    refused(Integrity, lied(|sent| sent.manifest.root[0] ^= 1));
    refused(Integrity, lied(|sent| sent.leaves[2][0] ^= 1));
    refused(Integrity, lied(|sent| sent.leaves.swap(1, 2)));
    refused(Integrity, lied(|sent| sent.manifest.plain_sha256[0] ^= 1));
    refused(Integrity, lied(|sent| sent.manifest.size -= 1));
    refused(Integrity, lied(|sent| sent.key[0] ^= 1));
}

#[test]
fn every_changed_chunk_is_refused_on_arrival() {
    for index in 0..honest().0.chunks.len() {
        for change in [
            (|bytes| bytes[0] ^= 1) as fn(&mut Vec<u8>),
            |bytes| *bytes.last_mut().unwrap() ^= 0x80,
            |bytes| bytes.push(0),
            |bytes| {
                bytes.pop();
            },
            Vec::clear,
        ] {
            let told = receive(lied(|sent| change(&mut sent.chunks[index].1)));
            assert_eq!(told.err(), Some(ReceiveError::Integrity), "chunk {index}");
        }
    }
    for change in [
        (|sent| sent.chunks.swap(1, 2)) as fn(&mut Sent),
        |sent| {
            sent.chunks.remove(1);
        },
        |sent| {
            let again = sent.chunks[1].clone();
            sent.chunks.insert(1, again);
        },
        |sent| sent.chunks.push((99, vec![0; 16])),
        |sent| sent.chunks.push((u64::MAX, Vec::new())),
        |sent| {
            sent.chunks.pop();
        },
    ] {
        assert!(receive(lied(change)).is_err());
    }
}

#[test]
fn a_statement_about_another_disclosure_shows_nothing() {
    for change in [
        (|sent| sent.statement.holder = ASKER) as fn(&mut Sent),
        |sent| sent.statement.asker = HOLDER,
        |sent| sent.statement.disclosure = DisclosureId([99; 16]),
        |sent| sent.statement.salt[0] ^= 1,
        |sent| sent.statement.receipt[0] ^= 1,
    ] {
        let told = receive(lied(change));
        assert_eq!(told.err(), Some(ReceiveError::Foreign));
    }
}
