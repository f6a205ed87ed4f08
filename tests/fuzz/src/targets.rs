//! Decoders of bytes and texts. Each target panics where a property does not hold, and returns otherwise.
//!
//! The same functions are called by `cargo fuzz` and, over the committed corpus, by an ordinary test.

use std::{collections::BTreeSet, str::FromStr};

use bytes::Bytes;
use chartmesh_core::{
    audit::Checkpoint,
    crypto::{
        Body, HEADER_BYTES, OpeningKey, SealContext, SecretKey, Sha256, SigningKey, accept_session,
        chunk_count, chunk_range, leaf_hashes, open_file, padded_len, receipt, seal_file,
        sealed_len, sha256, subject_of, tree,
    },
    exchange::Receive,
    formats, matching,
    membership::{
        AuthorityClaim, AuthorityOffer, Charter, Credential, Heartbeat, JoinAnswer, JoinRequest,
        KeySet, NodeKeyChange, NodeRecord, Organization, RevocationList, Rules, Template, Ticket,
        verify_genesis,
    },
    policy,
    records::{Coding, Demographics, Disclosure, Manifest, Target as ConsentTarget},
    types::{
        ConsentId, DisclosureId, DocumentId, FileId, Handle, Kind, MemberId, NetworkId, NodeKey,
        PatientId, Purpose, Role, Sex, Timestamp, UserId, limits,
    },
    wire::{
        self, CharterAnswer, CharterRequest, FetchHead, FetchRequest, Head, Hello, ListAnswer,
        ListRequest, LocateAnswer, LocateRequest, MembersAnswer, MembersRequest, Propose,
        ProposeAnswer, Refused, ReleaseAnswer, ReleaseRequest, TrustAnswer, TrustRequest,
    },
};

/// What a target is called, and what it does with an input.
pub(crate) type Run = (&'static str, fn(&[u8]));

/// The targets of this file.
pub(crate) const TARGETS: &[Run] = &[
    ("body", body),
    ("envelope", envelope),
    ("sealed", sealed),
    ("ticket", ticket),
    ("proposal", proposal),
    ("stored", stored),
    ("fhir", fhir),
    ("json", json),
    ("patient", patient),
    ("consent", consent),
    ("document", document),
    ("receive", receive),
    ("note", note),
    ("text", text),
    ("rules", rules),
    ("matching", matches),
];

const NETWORK: NetworkId = NetworkId([0xA1; 32]);
const MEMBER: MemberId = MemberId([0x11; 16]);
const OTHER: MemberId = MemberId([0x22; 16]);
const HANDLE: Handle = Handle([4; 20]);

fn signer() -> SigningKey {
    SigningKey::from_seed(&SecretKey::new([0x5E; 32]))
}

/// The domain of a type that can be signed, and what reads it.
type Signed = (&'static str, fn(&[u8]));

fn read_body<T: Body>(bytes: &[u8]) {
    let Ok(value) = T::decode(bytes) else { return };
    let written = value.encode();
    let again = T::decode(&written).map(|value| value.encode());
    assert!(
        again.is_ok_and(|again| again == written),
        "what is written reads back"
    );
    // Whoever signs bytes that are not canonical is refused; both ways are tried, one is enough.
    let envelope = signer().sign_bytes::<T>(&NETWORK, bytes.to_vec());
    let verified = envelope.verify::<T>(&NETWORK).is_ok();
    assert_eq!(verified, written == bytes, "canonical, and nothing else");
}

macro_rules! signed {
    ($($type:ty),* $(,)?) => { &[$((<$type>::DOMAIN, read_body::<$type>)),*] };
}

/// Every type that can be signed; a test compares their domains with those of the source.
pub(crate) const SIGNED: &[Signed] = signed![
    Organization,
    Charter,
    Credential,
    KeySet,
    NodeRecord,
    JoinRequest,
    JoinAnswer,
    Hello,
    MembersRequest,
    MembersAnswer,
    LocateRequest,
    LocateAnswer,
    ListRequest,
    ListAnswer,
    FetchRequest,
    FetchHead,
    Manifest,
    ReleaseRequest,
    ReleaseAnswer,
    Disclosure,
    Refused,
    AuthorityClaim,
    AuthorityOffer,
    Propose,
    ProposeAnswer,
    CharterRequest,
    CharterAnswer,
    RevocationList,
    Heartbeat,
    TrustRequest,
    TrustAnswer,
    NodeKeyChange,
];

/// The first byte chooses the type.
fn body(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let (_, read) = SIGNED[usize::from(*first) % SIGNED.len()];
    read(rest);
}

fn envelope(data: &[u8]) {
    let Ok(envelope) = wire::decode_envelope(data) else {
        return;
    };
    assert!(wire::encode_envelope(&envelope) == data, "one encoding");
    if envelope.signatures.len() < 3
        && let Ok((network, charter)) = verify_genesis(&envelope)
    {
        // A network is named by its first charter, and that charter by nothing else.
        assert!(network.0 == envelope.hash() && charter.version == 0);
    }
}

fn sealed(data: &[u8]) {
    let Ok(sealed) = wire::decode_sealed(data) else {
        return;
    };
    assert!(wire::encode_sealed(&sealed) == data, "one encoding");
    let key = OpeningKey::from_bytes(&SecretKey::new([3; 32]));
    let context = SealContext {
        network: NETWORK,
        recipient: MEMBER,
        key_id: sealed.header.key_id,
    };
    if let Ok(keys) = accept_session(&key, &sealed.header.enc, &context) {
        // Nobody has these keys, so nothing opens.
        assert!(
            keys.open_question(&sealed.header, &sealed.ciphertext)
                .is_err()
        );
        assert!(
            keys.open_answer(&sealed.header, 0, &sealed.ciphertext)
                .is_err()
        );
    }
}

fn ticket(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(ticket) = Ticket::from_str(text) else {
        return;
    };
    let written = ticket.to_text().expect("it was read within its limits");
    assert!(*written == text.trim().to_ascii_lowercase(), "one form");
}

/// The files by which authorities sign far from each other.
fn proposal(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(proposals) = wire::parse_proposals(&text) {
        let written = wire::proposals_text(&proposals);
        let again = wire::parse_proposals(&written);
        assert!(again.is_ok_and(|again| wire::proposals_text(&again) == written));
    }
    if let Ok(offer) = wire::parse_authority(&text) {
        let written = wire::authority_text(&offer);
        assert!(wire::parse_authority(&written).is_ok_and(|again| again == offer));
    }
    if let Ok(change) = wire::parse_node_key(&text) {
        let written = wire::node_key_text(&change);
        assert!(wire::parse_node_key(&written).is_ok_and(|again| again == change));
    }
}

/// The first byte chooses the record's body.
fn stored(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    macro_rules! again {
        ($decode:path, $encode:path) => {{
            if let Ok(value) = $decode(bytes) {
                let written = $encode(&value);
                let value = $decode(&written).expect("what is written reads back");
                assert!($encode(&value) == written, "one encoding");
            }
        }};
    }
    let now = Timestamp(1_800_000_000_000);
    match first % 19 {
        0 => again!(wire::decode_charter, wire::encode_charter),
        1 => again!(wire::decode_member, wire::encode_member),
        2 => again!(wire::decode_ticket_issued, wire::encode_ticket_issued),
        3 => again!(wire::decode_join, wire::encode_join),
        4 => again!(wire::decode_join_asked, wire::encode_join_asked),
        5 => again!(wire::decode_patient, wire::encode_patient),
        6 => again!(wire::decode_resource, wire::encode_resource),
        7 => again!(wire::decode_document, wire::encode_document),
        8 => again!(wire::decode_revoke, wire::encode_revoke),
        9 => again!(wire::decode_handle, wire::encode_handle),
        10 => again!(wire::decode_handle_received, wire::encode_handle_received),
        11 => again!(wire::decode_audit, wire::encode_audit),
        12 => again!(wire::decode_identity, wire::encode_identity),
        14 => again!(wire::decode_proposal, wire::encode_proposal),
        15 => again!(wire::decode_charter_seen, wire::encode_charter_seen),
        16 => again!(wire::decode_charter_adopted, wire::encode_charter_adopted),
        17 => again!(wire::decode_revocations, wire::encode_revocations),
        18 => again!(wire::decode_heartbeat, wire::encode_heartbeat),
        _ => {
            if let Ok(consent) = wire::decode_consent(bytes, 7, now) {
                let written = wire::encode_consent(&consent);
                assert!(wire::decode_consent(&written, 7, now).is_ok());
            }
        }
    }
}

fn fhir(data: &[u8]) {
    let input = Bytes::copy_from_slice(data);
    let Ok(plan) = formats::read(&input) else {
        return;
    };
    assert!(
        formats::check(data).is_ok(),
        "what is read is JSON within its limits"
    );
    for person in &plan.patients {
        // An index never leads outside the input.
        assert!(formats::demographics(&person.json).is_ok());
    }
    let people = plan.patients.len();
    for resource in &plan.resources {
        if let formats::Subject::Patient(index) = resource.subject {
            assert!(index < people);
        }
        assert!(formats::check(&resource.json).is_ok());
    }
}

fn json(data: &[u8]) {
    let checked = formats::check(data);
    let Ok(canonical) = formats::canonical(data) else {
        return;
    };
    assert!(checked.is_ok());
    let again = formats::canonical(&canonical);
    assert!(
        again.is_ok_and(|again| again == canonical),
        "a canonical form is its own"
    );
    assert!(serde_json::from_slice::<serde_json::Value>(&canonical).is_ok());
}

fn patient(data: &[u8]) {
    let Ok(person) = formats::demographics(data) else {
        return;
    };
    let written = formats::write_demographics(&person);
    let again = formats::demographics(&written);
    assert!(
        again.is_ok_and(|again| again == person),
        "demographics read back"
    );
    for key in matching::blocking_keys(&person) {
        assert!(key.len() < limits::INDEX_VALUE_MAX_BYTES);
    }
}

fn consent(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) else {
        return;
    };
    let Ok(statement) = policy::consent_from_fhir(&value) else {
        return;
    };
    assert!(statement.target.to_string().parse() == Ok(statement.target.clone()));
}

/// The first eight bytes are the size that is claimed, the rest is the file.
fn document(data: &[u8]) {
    let Some((size, file)) = data.split_first_chunk::<8>() else {
        return;
    };
    let size = u64::from_le_bytes(*size);
    let key = SecretKey::new([6; 32]);
    let len = file.len() as u64;
    assert_eq!(leaf_hashes(file).is_ok(), chunk_count(len).is_some());
    if let Ok(plain) = open_file(&key, file, size) {
        assert_eq!(plain.len() as u64, size);
        let nonce = file[8..24].try_into().expect("a header has one");
        assert!(seal_file(&key, nonce, &plain).bytes == file, "one encoding");
    }
    for claimed in [size, len] {
        assert!(padded_len(claimed) >= claimed && sealed_len(claimed) >= HEADER_BYTES as u64);
        if let Some(count) = chunk_count(claimed) {
            let last = chunk_range(claimed, count - 1).expect("the last is there");
            assert_eq!(last.end, claimed);
            assert!(chunk_range(claimed, count).is_none());
        }
    }
}

/// A holder that sends leaves, chunks and a key as the input says, against a manifest that is honest
/// or not.
fn receive(data: &[u8]) {
    let plain = [0x42; 300];
    let key = SecretKey::new([7; 32]);
    let file = seal_file(&key, &[9; 16], &plain);
    let mut input = Input(data);
    let mut manifest = manifest_of(&file.root, file.bytes.len() as u64, &plain);
    let honest = input.byte() & 1 == 0;
    if !honest {
        manifest.sealed_size = input.number();
        manifest.size = input.number();
        manifest.root[0] ^= input.byte();
        manifest.plain_sha256[0] ^= input.byte();
    }
    let count = chunk_count(manifest.sealed_size).unwrap_or(0);
    let head = FetchHead {
        head: head(),
        manifest: signer().sign(&NETWORK, &manifest),
        disclosure: DisclosureId([5; 16]),
        chunks: if honest { count } else { input.number() },
        from_chunk: if honest { 0 } else { input.number() },
        subject: subject_of(&HANDLE),
    };
    let Ok(manifest) = head.manifest.verify::<Manifest>(&NETWORK) else {
        return;
    };
    let hash = manifest.hash();
    let Ok(mut receive) = Receive::begin(MEMBER, HANDLE, &head, manifest, 0) else {
        return;
    };
    let mut kept: Vec<Bytes> = Vec::new();
    while !input.0.is_empty() {
        let told = match input.byte() % 4 {
            0 => receive.handle_leaves(&file.leaves.concat()),
            1 => receive.handle_leaves(input.slice()),
            choice => {
                let (index, bytes) = if choice == 2 {
                    let index = u64::from(input.byte() % 3);
                    let range = chunk_range(file.bytes.len() as u64, index).unwrap_or(0..0);
                    let bytes = file.bytes.slice(range.start as usize..range.end as usize);
                    (index, bytes)
                } else {
                    (input.number(), Bytes::copy_from_slice(input.slice()))
                };
                let told = receive.handle_chunk(index, &bytes);
                if told.is_ok() {
                    kept.push(bytes);
                }
                told
            }
        };
        if told.is_err() {
            return;
        }
    }
    let statement = Disclosure {
        holder: MEMBER,
        asker: OTHER,
        disclosure: DisclosureId([5; 16]),
        receipt: receipt(&[6; 32], &hash),
        salt: [6; 32],
        consent: None,
        rule: 1,
        obligations: Vec::new(),
        query_hash: [0; 32],
        audit_leaf: [0; 32],
        audit_index: 0,
        issued_at: Timestamp(6),
    };
    let said = (statement, String::new());
    let Ok(opening) = receive.finish(OTHER, key.clone(), said) else {
        return;
    };
    let Ok(mut opener) = opening.open(&kept[0]) else {
        return;
    };
    let mut opened = Sha256::default();
    let all = kept[1..].iter().all(|chunk| {
        opener.open(chunk).is_ok_and(|plain| {
            opened.update(&plain);
            true
        })
    });
    if all && opener.is_done() && opening.confirm(opened).is_ok() {
        let size = opening.received().manifest.size;
        let shown = open_file(&key, &kept.concat(), size);
        assert!(
            shown.is_ok_and(|shown| shown == plain),
            "only what the source sealed is shown"
        );
    }
}

fn manifest_of(root: &[u8; 32], sealed_size: u64, plain: &[u8]) -> Manifest {
    Manifest {
        member: MEMBER,
        file: FileId([8; 16]),
        root: *root,
        sealed_size,
        size: plain.len() as u64,
        commitment: [0; 32],
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

fn head() -> Head {
    Head {
        member: MEMBER,
        key: NodeKey([0; 32]),
        network: NETWORK,
        audience: OTHER,
        challenge: None,
        sent_at: Timestamp(4),
        expiry: Timestamp(5),
        answers: None,
        next_challenge: None,
    }
}

/// A signed note, and a proof of the log it is of.
fn note(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let key = signer();
    if let Ok(checkpoint) = Checkpoint::verify(&text, &NETWORK, &MEMBER, &key.public()) {
        let again = checkpoint.sign(&key);
        assert!(Checkpoint::verify(&again, &NETWORK, &MEMBER, &key.public()).is_ok());
    }
    let mut input = Input(data);
    let (index, size) = (input.number(), input.number());
    let mut hashes = Vec::new();
    while let Some((hash, rest)) = input.0.split_first_chunk::<32>() {
        hashes.push(*hash);
        input.0 = rest;
    }
    let root = tree::root(&hashes);
    let leaf = hashes.first().copied().unwrap_or([0; 32]);
    let included = tree::verify_inclusion(&leaf, index, size, &hashes, &root);
    assert!(included.is_err() || index < size);
    // A tree begins with itself, and with nothing else of its size.
    let consistent = tree::verify_consistency(index, &leaf, size, &root, &hashes);
    assert!(consistent.is_err() || index <= size);
}

/// Ids, terms and targets, as people and files name them.
fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    macro_rules! reads_back {
        ($($type:ty),*) => {
            $(if let Ok(value) = text.parse::<$type>() {
                assert!(value.to_string().parse::<$type>().is_ok_and(|again| again == value));
            })*
        };
    }
    reads_back!(
        MemberId,
        PatientId,
        DocumentId,
        ConsentId,
        DisclosureId,
        UserId,
        FileId,
        NodeKey,
        Handle,
        ConsentTarget,
        Purpose,
        Role,
        Sex,
        Kind,
        Template
    );
    if let Some(time) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
    }
    let once = matching::searchable(text);
    assert_eq!(matching::searchable(&once), once, "normal is normal");
}

/// Lines `name = value` of a rules file.
fn rules(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pairs: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    if let Ok((template, rules)) = Rules::from_pairs(&pairs) {
        assert!(rules.check().is_ok());
        assert!(!rules.lines(template).is_empty());
    }
}

/// Two people, one sent and one on record.
fn matches(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n').map(str::to_owned);
    let mut person = || {
        let mut next = || lines.next().unwrap_or_default();
        Demographics {
            names: vec![chartmesh_core::records::Name {
                family: next(),
                given: vec![next(), next()],
            }],
            birth_date: Some(next()),
            sex: next().parse().ok(),
            identifiers: vec![chartmesh_core::records::Identifier {
                system: next(),
                value: next(),
            }],
            addresses: vec![chartmesh_core::records::Address {
                line: vec![next()],
                city: next(),
                state: next(),
                postal_code: next(),
                country: String::new(),
            }],
            phones: vec![next()],
            emails: vec![next()],
        }
    };
    let (sent, record) = (person(), person());
    let there = matching::compare(&sent, &record);
    assert_eq!(
        matching::compare(&sent, &record),
        there,
        "the same each time"
    );
    let attributes: BTreeSet<_> = there
        .iter()
        .map(|(attribute, _)| *attribute as u8)
        .collect();
    assert_eq!(attributes.len(), there.len(), "each attribute once");
    matching::missing(&sent);
    let _either = (
        matching::same_by_id(&sent, &record),
        matching::same_by_identifier(&sent, &record),
    );
    let read = wire::bounded_demographics(&sent);
    assert!(matching::blocking_keys(&read).len() < 1_000);
}

/// Takes numbers and slices from an input; nothing is left of an empty one.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.slice_of(1).first().copied().unwrap_or(0)
    }

    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let taken = self.slice_of(8);
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes)
    }

    /// As many bytes as the next byte says.
    fn slice(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        self.slice_of(len)
    }

    fn slice_of(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
