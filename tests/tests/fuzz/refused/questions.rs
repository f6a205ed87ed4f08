//! Questions of a member that are refused, each for one fact of its head, its signature or its seal.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chartmesh_core::{
    audit::Kind as Audited,
    crypto::Envelope,
    ports::Rpc,
    records::RecordKind,
    types::{
        Code, MemberId, NetworkId, NodeKey, PeerCode, Span,
        limits::{CLOCK_WINDOW, MESSAGE_LIFE_MAX},
    },
    wire::{
        self, FetchRequest, Head, ListRequest, LocateRequest, MembersRequest, Propose, Refused,
        ReleaseRequest, Sealed, TrustRequest,
    },
};
use chartmesh_tests::Seen;
use sha2::{Digest, Sha256};

use super::Wrong;
use crate::{
    engine::{Engine, Headed},
    seeds::{unhex, vectors},
};

/// What is wrong with a head, how it comes to be, and the code that the holder writes down.
type HeadRow = (&'static str, fn(&mut Head), Code);

const HEADS: &[HeadRow] = &[
    (
        "made for nobody",
        |head| head.audience = MemberId([0; 16]),
        Code::WrongRecipient,
    ),
    (
        "made for the asker itself",
        |head| head.audience = head.member,
        Code::WrongRecipient,
    ),
    (
        "made for another network",
        |head| head.network = NetworkId([9; 32]),
        Code::WrongRecipient,
    ),
    (
        "of another member",
        |head| head.member = head.audience,
        Code::Signature,
    ),
    (
        "of another key",
        |head| head.key = NodeKey([9; 32]),
        Code::Signature,
    ),
    (
        "without challenge",
        |head| head.challenge = None,
        Code::Stale,
    ),
    (
        "with a challenge of nobody",
        |head| head.challenge = Some([9; 16]),
        Code::Stale,
    ),
    (
        "sent too long ago",
        |head| {
            head.sent_at.0 -= CLOCK_WINDOW.0 + 1;
            head.expiry.0 -= CLOCK_WINDOW.0 + 1;
        },
        Code::ClockSkew,
    ),
    (
        "sent in the future",
        |head| {
            head.sent_at.0 += CLOCK_WINDOW.0 + 1_000;
            head.expiry.0 += CLOCK_WINDOW.0 + 1_000;
        },
        Code::ClockSkew,
    ),
    (
        "sent at the beginning of time",
        |head| head.sent_at.0 = 0,
        Code::ClockSkew,
    ),
    (
        "sent at the end of time",
        |head| {
            head.sent_at.0 = u64::MAX;
            head.expiry.0 = u64::MAX;
        },
        Code::ClockSkew,
    ),
    (
        "that lives too long",
        |head| head.expiry = head.sent_at.plus(Span(MESSAGE_LIFE_MAX.0 + 1)),
        Code::Expired,
    ),
    (
        "that lives for ever",
        |head| head.expiry.0 = u64::MAX,
        Code::Expired,
    ),
    (
        "that ends before it begins",
        |head| head.expiry.0 = head.sent_at.0 - 1,
        Code::Expired,
    ),
];

/// What is wrong with a body, a signature or an envelope.
type PlainRow = (&'static str, fn(&Plain<'_>) -> Bytes, Code);

/// A question that holds, in its parts.
struct Plain<'a> {
    engine: &'a Engine,
    envelope: Envelope,
    sign: fn(&Engine, Vec<u8>) -> Envelope,
}

impl Plain<'_> {
    fn signed(&self, change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let mut body = self.envelope.body.to_vec();
        change(&mut body);
        wire::encode_envelope(&(self.sign)(self.engine, body))
    }

    fn altered(&self, change: impl FnOnce(&mut Envelope)) -> Bytes {
        let mut envelope = self.envelope.clone();
        change(&mut envelope);
        wire::encode_envelope(&envelope)
    }
}

const PLAINS: &[PlainRow] = &[
    (
        "an empty body",
        |plain| plain.signed(Vec::clear),
        Code::MessageMalformed,
    ),
    (
        "a body that is cut off",
        |plain| plain.signed(|body| body.truncate(body.len() - 1)),
        Code::MessageMalformed,
    ),
    (
        "a field that nobody knows",
        |plain| plain.signed(|body| body.extend([0xF8, 0x3F, 1])),
        Code::MessageMalformed,
    ),
    (
        "a field that is zero",
        |plain| plain.signed(|body| body.extend([0xF8, 0x3F, 0])),
        Code::MessageMalformed,
    ),
    (
        "a byte behind the end",
        |plain| plain.signed(|body| body.push(0)),
        Code::MessageMalformed,
    ),
    (
        "a head that stands twice",
        |plain| plain.signed(|body| body.extend_from_slice(&body.clone())),
        Code::MessageMalformed,
    ),
    (
        "a tag in more bytes than it needs",
        |plain| {
            plain.signed(|body| {
                body[0] |= 0x80;
                body.insert(1, 0);
            })
        },
        Code::MessageMalformed,
    ),
    (
        "a body of noise",
        |plain| plain.signed(|body| body.fill(0xFF)),
        Code::MessageMalformed,
    ),
    (
        "a body changed behind its signature",
        |plain| {
            plain.altered(|envelope| {
                let mut body = envelope.body.to_vec();
                body[10] ^= 1;
                envelope.body = body.into();
            })
        },
        Code::Signature,
    ),
    (
        "a signature with one bit changed",
        |plain| plain.altered(|envelope| envelope.signatures[0].1[0] ^= 1),
        Code::Signature,
    ),
    (
        "a signature of zeros",
        |plain| plain.altered(|envelope| envelope.signatures[0].1 = [0; 64]),
        Code::Signature,
    ),
    (
        "another signer's name",
        |plain| plain.altered(|envelope| envelope.signatures[0].0[0] ^= 1),
        Code::Signature,
    ),
    (
        "no signature",
        |plain| plain.altered(|envelope| envelope.signatures.clear()),
        Code::Signature,
    ),
    (
        "signed for another network",
        |plain| {
            let node = &plain.engine.asker.identity().node;
            let body = plain.envelope.body.to_vec();
            let envelope = node.sign_bytes::<MembersRequest>(&NetworkId([9; 32]), body);
            wire::encode_envelope(&envelope)
        },
        Code::Signature,
    ),
    (
        "signed as a refusal",
        |plain| {
            let node = &plain.engine.asker.identity().node;
            let body = plain.envelope.body.to_vec();
            wire::encode_envelope(&node.sign_bytes::<Refused>(&plain.engine.network, body))
        },
        Code::Signature,
    ),
    (
        "signed by the one who is asked",
        |plain| {
            let node = &plain.engine.holder.identity().node;
            let body = plain.envelope.body.to_vec();
            wire::encode_envelope(&node.sign_bytes::<MembersRequest>(&plain.engine.network, body))
        },
        Code::Signature,
    ),
    ("nothing within the seal", |_| Bytes::new(), Code::Signature),
    (
        "noise within the seal",
        |_| Bytes::from_static(&[0xFF; 90]),
        Code::MessageMalformed,
    ),
    (
        "an envelope that is cut off",
        |plain| {
            let bytes = plain.altered(|_| ());
            bytes.slice(..bytes.len() - 1)
        },
        Code::MessageMalformed,
    ),
];

/// What is wrong with a seal; it is made of a sealed question that holds.
type SealRow = (&'static str, fn(&mut Sealed), Code);

const SEALS: &[SealRow] = &[
    (
        "a ciphertext with one bit changed",
        |sealed| flip(&mut sealed.ciphertext, 0),
        Code::Unauthenticated,
    ),
    (
        "a tag with one bit changed",
        |sealed| {
            let last = sealed.ciphertext.len() - 1;
            flip(&mut sealed.ciphertext, last);
        },
        Code::Unauthenticated,
    ),
    (
        "a ciphertext that is cut off",
        |sealed| {
            sealed.ciphertext.truncate(sealed.ciphertext.len() - 1);
        },
        Code::Unauthenticated,
    ),
    (
        "another counter",
        |sealed| sealed.header.counter += 1,
        Code::Unauthenticated,
    ),
    (
        "the last counter there is",
        |sealed| sealed.header.counter = u64::MAX,
        Code::Unauthenticated,
    ),
    (
        "another key's name",
        |sealed| {
            sealed.header.session[0] ^= 1;
            sealed.header.key_id[0] ^= 1;
        },
        Code::Stale,
    ),
    (
        "a session that nobody began",
        |sealed| {
            sealed.header.session[0] ^= 1;
            sealed.header.enc = Bytes::new();
        },
        Code::Stale,
    ),
    (
        "a session begun with another key",
        |sealed| {
            sealed.header.session[0] ^= 1;
            flip(&mut sealed.header.enc, 0);
        },
        Code::Unauthenticated,
    ),
    (
        "a session begun with half a key",
        |sealed| {
            sealed.header.session[0] ^= 1;
            sealed.header.enc.truncate(16);
        },
        Code::MessageMalformed,
    ),
    (
        "another suite",
        |sealed| {
            sealed.header.session[0] ^= 1;
            sealed.header.suite += 1;
        },
        Code::Unauthenticated,
    ),
];

fn flip(bytes: &mut Bytes, at: usize) {
    let mut changed = bytes.to_vec();
    changed[at] ^= 1;
    *bytes = changed.into();
}

#[test]
fn a_bad_question_of_each_sort_is_refused_by_its_code_and_changes_nothing() {
    let mut cases = 0;
    cases += refused::<MembersRequest>(Rpc::Members, "MembersRequest");
    cases += refused::<LocateRequest>(Rpc::Locate, "LocateRequest");
    cases += refused::<ListRequest>(Rpc::List, "ListRequest");
    cases += refused::<FetchRequest>(Rpc::Fetch, "FetchRequest");
    cases += refused::<ReleaseRequest>(Rpc::Release, "ReleaseRequest");
    cases += refused::<Propose>(Rpc::Propose, "Propose");
    cases += refused::<TrustRequest>(Rpc::Trust, "TrustRequest");
    assert_eq!(cases, 7 * (HEADS.len() + PLAINS.len() + SEALS.len() + 2));
}

/// Asks a holder in every bad way; how many there were.
fn refused<T: Headed>(rpc: Rpc, name: &str) -> usize {
    let mut bench = Bench::<T>::new(rpc, name);
    for (what, change, code) in HEADS {
        bench.check(what, *code, |bench| {
            let plain = bench.question(change);
            bench.seal(&plain)
        });
    }
    for (what, make, code) in PLAINS {
        bench.check(what, *code, |bench| {
            let plain = bench.question(&|_| ());
            let envelope = wire::decode_envelope(&plain).expect("its own");
            let sign = |engine: &Engine, body| {
                let node = &engine.asker.identity().node;
                node.sign_bytes::<T>(&engine.network, body)
            };
            let engine = &bench.engine;
            let bad = make(&Plain {
                engine,
                envelope,
                sign,
            });
            bench.seal(&bad)
        });
    }
    for (what, change, code) in SEALS {
        bench.check(what, *code, |bench| {
            let plain = bench.question(&|_| ());
            let mut sealed = bench.seal(&plain);
            change(&mut sealed);
            sealed
        });
    }
    bench.check("not sealed", Code::MessageMalformed, |bench| {
        // The bytes of the envelope where those of the seal belong.
        let plain = bench.question(&|_| ());
        bench.raw = Some(plain);
        bench.seal(&[])
    });
    bench.check("the same once more", Code::Replayed, |bench| {
        let plain = bench.question(&|_| ());
        let sealed = bench.seal(&plain);
        let bytes = wire::encode_sealed(&sealed);
        assert!(is_admitted(&bench.told(bytes)), "once it is answered");
        sealed
    });
    HEADS.len() + PLAINS.len() + SEALS.len() + 2
}

/// A holder, a member that asks it one sort of question, and what the holder writes.
struct Bench<T> {
    engine: Engine,
    rpc: Rpc,
    body: Vec<u8>,
    raw: Option<Bytes>,
    written: Arc<Mutex<Vec<RecordKind>>>,
    wrong: Wrong,
    sort: std::marker::PhantomData<T>,
}

impl<T: Headed> Bench<T> {
    fn new(rpc: Rpc, name: &str) -> Self {
        let vectors = vectors();
        let mut vectors = vectors.into_iter();
        let (_, vector) = vectors.find(|(known, _)| known == name).expect("a vector");
        let written = Arc::<Mutex<Vec<RecordKind>>>::default();
        let engine = Engine::start();
        let (own, seen) = (engine.holder.node_key(), written.clone());
        engine.net.watch(Some(Box::new(move |event| {
            if let Seen::Committed { node, records, .. } = event
                && node == own
            {
                let kinds = records.iter().map(|record| record.kind);
                seen.lock().expect("no watcher panics").extend(kinds);
            }
        })));
        Self {
            engine,
            rpc,
            body: unhex(&vector["body"]).expect("a body"),
            raw: None,
            written,
            wrong: Wrong::default(),
            sort: std::marker::PhantomData,
        }
    }

    /// A signed question that holds but for what is changed in its head.
    fn question(&self, change: &dyn Fn(&mut Head)) -> Bytes {
        let mut value = T::decode(&self.body).expect("a vector");
        self.engine.put_right(value.head_mut());
        change(value.head_mut());
        let node = &self.engine.asker.identity().node;
        wire::encode_envelope(&node.sign(&self.engine.network, &value))
    }

    fn seal(&mut self, plain: &[u8]) -> Sealed {
        let header = &mut self.engine.header;
        header.counter += 1;
        let header = header.clone();
        let ciphertext = self.engine.keys.seal_question(&header, plain);
        let ciphertext = ciphertext.expect("a counter that was not used");
        Sealed { header, ciphertext }
    }

    /// What the asker is told: an answer, or why not.
    fn told(&self, bytes: Bytes) -> Result<(), PeerCode> {
        let from = self.engine.asker.node_key();
        let answer = self.engine.send(from, self.rpc, bytes)?;
        let sealed = wire::decode_sealed(&answer).expect("a sealed answer");
        let plain = self
            .engine
            .keys
            .open_answer(&sealed.header, 0, &sealed.ciphertext);
        let envelope = wire::decode_envelope(&plain.expect("sealed to us")).expect("signed");
        match envelope.verify::<Refused>(&self.engine.network) {
            Ok(refused) => Err(refused.value().code),
            Err(_) => Ok(()),
        }
    }

    fn check(&mut self, what: &str, code: Code, make: impl Fn(&mut Self) -> Sealed) {
        let what = format!("{what}, {}", self.rpc.name());
        let good = self.question(&|_| ());
        let good = wire::encode_sealed(&self.seal(&good));
        let repaired = self.told(good);
        assert!(
            is_admitted(&repaired),
            "{what}: repaired it is {repaired:?}"
        );

        let sealed = make(self);
        let bytes = self
            .raw
            .take()
            .unwrap_or_else(|| wire::encode_sealed(&sealed));
        let people = self.state();
        self.written.lock().expect("no watcher panics").clear();
        let told = self.told(bytes);

        self.wrong.check(&what, &Err(peer_code(code)), &told);
        let written = std::mem::take(&mut *self.written.lock().expect("no watcher panics"));
        self.wrong.check(&what, &vec![RecordKind::Audit], &written);
        self.wrong.check(&what, &Some(code), &self.last_refusal());
        assert!(self.state() == people, "{what}: the state is another");
    }

    fn last_refusal(&self) -> Option<Code> {
        let shown = self.engine.holder.audit_entries(0, usize::MAX);
        let shown = self.engine.runtime.block_on(shown).expect("the log");
        let mut entries = shown.into_iter().map(|shown| shown.logged.entry).rev();
        entries
            .find(|entry| entry.kind == Audited::RefusedMessage)?
            .code
    }

    /// What the node knows and keeps beside its log: patients, members, charter, keys, files.
    fn state(&self) -> [u8; 32] {
        let holder = &self.engine.holder;
        let mut hash = Sha256::new();
        for patient in holder.patients("") {
            hash.update(patient.id.0);
        }
        for member in holder.member_views() {
            hash.update(member.credential.member.0);
        }
        hash.update(
            holder
                .current_network()
                .map_or(0, |network| network.charter.version)
                .to_be_bytes(),
        );
        for (name, bytes) in holder.disk().files() {
            if !name.starts_with("journal/") {
                hash.update(name.as_bytes());
                hash.update(bytes);
            }
        }
        hash.finalize().into()
    }
}

/// Whether a question was taken up, if only to be denied.
fn is_admitted(told: &Result<(), PeerCode>) -> bool {
    !matches!(
        told,
        Err(PeerCode::Malformed
            | PeerCode::Unauthenticated
            | PeerCode::Stale
            | PeerCode::ClockSkew)
    )
}

fn peer_code(code: Code) -> PeerCode {
    match code {
        Code::MessageMalformed => PeerCode::Malformed,
        Code::Stale => PeerCode::Stale,
        Code::ClockSkew => PeerCode::ClockSkew,
        _ => PeerCode::Unauthenticated,
    }
}
