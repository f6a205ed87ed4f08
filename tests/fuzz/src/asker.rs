//! A running node that asks, and a member that answers with what the input says: as it stands, or signed and
//! sealed as the real one would.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use chartmesh_core::{
    crypto::{Envelope, OpeningKey, SealContext, SessionKeys, SigningKey, accept_session},
    flows::{Fetch, Search, Wanted, in_memory},
    locator::Answer,
    ports::{Clock, Rpc},
    records::{Demographics, Identifier, Name},
    types::{
        DocumentId, Handle, MemberId, NetworkId, Purpose, Role,
        limits::{FIND_MAX, LOCATE_DEADLINE},
    },
    wire::{
        self, CharterAnswer, FetchHead, Head, Hello, ListAnswer, LocateAnswer, MembersAnswer,
        ProposeAnswer, Refused, ReleaseAnswer, Sealed, TrustAnswer,
    },
};
use chartmesh_tests::{Fate, Frame, Kind, SimNet, SimNode, world::opening_seed};
use tokio::runtime::Runtime;

use crate::{
    engine::{HOLDER_SEED, Headed, actor, headed, network, runtime},
    targets::Run,
};

/// The targets of this file.
pub(crate) const TARGETS: &[Run] = &[("answer", answer), ("record", record)];

/// Inputs after which the nodes are made anew, since each leaves a trace in their state.
const INPUTS_MAX: u32 = 100;

thread_local! {
    static ASKER: RefCell<Option<Asker>> = const { RefCell::new(None) };
}

/// What the holder answers with, once: how many parts before it are honest, how much of it is put right, and
/// the bytes.
type Script = Arc<Mutex<Option<(u8, u8, Vec<u8>)>>>;

struct Asker {
    runtime: Runtime,
    holder: SimNode,
    node: SimNode,
    script: Script,
    handle: Handle,
    document: DocumentId,
    used: u32,
}

/// The first byte chooses the question and which part of the answer, the second how much of that part is put
/// right.
fn answer(data: &[u8]) {
    let [first, how, rest @ ..] = data else {
        return;
    };
    with_asker(|asker| {
        let said = (first >> 3, *how, rest.to_vec());
        *asker.script.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
        asker.ask(*first);
    });
}

/// A node record that somebody hands on, as it came from Kademlia: as it stands, or signed anew by the
/// member it is about.
fn record(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    with_asker(|asker| {
        let about = asker.holder.node_key();
        let signer = &asker.holder.identity().node;
        let own = asker.holder.own_node_record().expect("a member has one");
        let network = asker.network();
        let bytes = match how % 3 {
            0 => Bytes::copy_from_slice(rest),
            1 => {
                type Record = chartmesh_core::membership::NodeRecord;
                let envelope = signer.sign_bytes::<Record>(&network, rest.to_vec());
                wire::encode_envelope(&envelope)
            }
            _ => {
                let mut changed = own.to_vec();
                for (at, byte) in rest.iter().enumerate().take(changed.len()) {
                    changed[at] ^= byte;
                }
                changed.into()
            }
        };
        if let Some(read) = asker.node.read_node_record(about, &bytes) {
            assert!(
                read.member == asker.holder.member(),
                "a record is its member's own"
            );
        }
        let stranger = asker.node.read_node_record(asker.node.node_key(), &bytes);
        assert!(stranger.is_none(), "a record is nobody else's");
    });
}

fn with_asker(run: impl FnOnce(&mut Asker)) {
    ASKER.with_borrow_mut(|slot| {
        if slot.as_ref().is_some_and(|asker| asker.used >= INPUTS_MAX) {
            *slot = None;
        }
        let asker = slot.get_or_insert_with(Asker::start);
        asker.used += 1;
        run(asker);
    });
}

impl Asker {
    fn start() -> Self {
        let runtime = runtime();
        let (net, holder, node) = runtime.block_on(network());
        let script = Script::default();
        let (handle, document) = runtime.block_on(found(&holder, &node));
        net.between(Some(middle(&net, &holder, script.clone())));
        Self {
            runtime,
            holder,
            node,
            script,
            handle,
            document,
            used: 0,
        }
    }

    fn network(&self) -> NetworkId {
        self.holder.current_network().expect("it was founded").id
    }

    fn ask(&self, which: u8) {
        let (node, holder) = (&self.node, self.holder.member());
        let user = actor(Role::Clinician);
        self.runtime.block_on(async {
            match which % 8 {
                0 => drop(node.sync_members(holder).await),
                1 => drop(node.locate(&user, &search()).await),
                2 => {
                    let until = node.world().now().plus(FIND_MAX);
                    let wanted = Wanted::default();
                    let told = node.list(&user, self.handle, Purpose::Treat, &wanted, until);
                    drop(told.await);
                }
                3 => {
                    let fetch = Fetch {
                        handle: self.handle,
                        document: self.document,
                        purpose: Purpose::Treat,
                    };
                    let mut bytes = Vec::new();
                    let told = (
                        &(|_, _| ()) as &(dyn Fn(u64, u64) + Send + Sync),
                        &(|| true) as &(dyn Fn() -> bool + Send + Sync),
                    );
                    drop(node.fetch(&user, fetch, told, &mut bytes).await);
                }
                4 => drop(node.exchange_proposals(holder).await),
                5 => drop(node.exchange_trust(holder).await),
                6 => drop(node.pull_charters(self.holder.node_key()).await),
                _ => drop(node.greet(self.holder.node_key()).await),
            }
        });
    }
}

/// What the asker learnt honestly: a handle of the patient, and a document.
async fn found(holder: &SimNode, asker: &SimNode) -> (Handle, DocumentId) {
    let user = actor(Role::Clinician);
    let patient = holder.patients("").first().expect("a patient").id;
    let bytes = Bytes::from_static(b"Allergy: penicillin, severe.");
    let added = holder
        .add_document(&user, patient, in_memory(bytes), Default::default())
        .await
        .expect("a document");
    let ledger = asker.locate(&user, &search()).await.expect("it is asked");
    let mut lines = ledger.lines.iter();
    let handle = lines.find_map(|line| match &line.answer {
        Answer::Match(found) => Some(found.handle),
        _ => None,
    });
    (handle.expect("a match"), added.document)
}

fn search() -> Search {
    Search {
        demographics: Demographics {
            names: vec![Name {
                family: "Portillo".to_owned(),
                given: vec!["Rosalinda".to_owned()],
            }],
            birth_date: Some("1937-02-13".to_owned()),
            identifiers: vec![Identifier {
                system: "urn:oid:1.2.3".to_owned(),
                value: "77".to_owned(),
            }],
            ..Demographics::default()
        },
        patient: None,
        purpose: Purpose::Treat,
        deadline: LOCATE_DEADLINE,
        only: Vec::new(),
    }
}

headed!(
    MembersAnswer,
    LocateAnswer,
    ListAnswer,
    FetchHead,
    ReleaseAnswer,
    ProposeAnswer,
    CharterAnswer,
    TrustAnswer,
    Refused
);

/// Somebody who sits at the holder with all its keys.
struct Middle {
    opening: OpeningKey,
    signing: SigningKey,
    network: NetworkId,
    recipient: MemberId,
    sessions: Vec<([u8; 16], SessionKeys)>,
}

fn middle(net: &Arc<SimNet>, holder: &SimNode, script: Script) -> chartmesh_tests::net::Middle {
    let own = holder.node_key();
    let mut middle = Middle {
        opening: OpeningKey::from_bytes(&opening_seed(HOLDER_SEED)),
        signing: holder.identity().node.clone(),
        network: holder.current_network().expect("it was founded").id,
        recipient: holder.member(),
        sessions: Vec::new(),
    };
    net.rewind();
    Box::new(move |frame: &mut Frame| {
        if frame.kind == Kind::Question && frame.to == own {
            middle.listen(&frame.bytes);
        } else if frame.from == own {
            let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
            match script.take() {
                Some((0, how, bytes)) => middle.say(frame, how, bytes),
                Some((later, how, bytes)) => *script = Some((later - 1, how, bytes)),
                None => {}
            }
        }
        Fate::Deliver
    })
}

impl Middle {
    fn listen(&mut self, bytes: &Bytes) {
        let Ok(sealed) = wire::decode_sealed(bytes) else {
            return;
        };
        let context = SealContext {
            network: self.network,
            recipient: self.recipient,
            key_id: sealed.header.key_id,
        };
        if let Ok(keys) = accept_session(&self.opening, &sealed.header.enc, &context) {
            self.sessions.push((sealed.header.session, keys));
        }
    }

    fn say(&self, frame: &mut Frame, how: u8, bytes: Vec<u8>) {
        let signed = matches!(frame.kind, Kind::Answer | Kind::Head);
        if how.is_multiple_of(4) || !signed {
            frame.bytes = bytes.into();
            return;
        }
        if matches!(frame.rpc, Rpc::Hello | Rpc::Charters) {
            let honest = wire::decode_envelope(&frame.bytes).ok();
            let said = self.signed_as(frame.rpc, how, bytes, honest.as_ref());
            frame.bytes = said.into();
            return;
        }
        let Ok(sealed) = wire::decode_sealed(&frame.bytes) else {
            return;
        };
        let mut known = self.sessions.iter().rev();
        let Some((_, keys)) = known.find(|(id, _)| *id == sealed.header.session) else {
            return;
        };
        let honest = keys.open_answer(&sealed.header, 0, &sealed.ciphertext);
        let honest = honest
            .ok()
            .and_then(|plain| wire::decode_envelope(&plain).ok());
        let plain = self.signed_as(frame.rpc, how, bytes, honest.as_ref());
        if let Ok(ciphertext) = keys.seal_answer(&sealed.header, 0, &plain) {
            let header = sealed.header;
            frame.bytes = wire::encode_sealed(&Sealed { header, ciphertext });
        }
    }

    fn signed_as(&self, rpc: Rpc, how: u8, bytes: Vec<u8>, honest: Option<&Envelope>) -> Vec<u8> {
        if how & 0x80 != 0 {
            return self.signed::<Refused>(how, bytes, honest);
        }
        match rpc {
            Rpc::Members => self.signed::<MembersAnswer>(how, bytes, honest),
            Rpc::Locate => self.signed::<LocateAnswer>(how, bytes, honest),
            Rpc::List => self.signed::<ListAnswer>(how, bytes, honest),
            Rpc::Fetch => self.signed::<FetchHead>(how, bytes, honest),
            Rpc::Release => self.signed::<ReleaseAnswer>(how, bytes, honest),
            Rpc::Propose => self.signed::<ProposeAnswer>(how, bytes, honest),
            Rpc::Charters => self.signed::<CharterAnswer>(how, bytes, honest),
            Rpc::Trust => self.signed::<TrustAnswer>(how, bytes, honest),
            Rpc::Hello => self.signed::<Hello>(how, bytes, honest),
            Rpc::Join => bytes,
        }
    }

    /// 1: the bytes as they stand; 2: signed; 3: with the honest answer's head, then signed.
    fn signed<A: Headed>(&self, how: u8, bytes: Vec<u8>, honest: Option<&Envelope>) -> Vec<u8> {
        if how % 4 == 1 {
            return bytes;
        }
        let mut body = bytes;
        if how % 4 == 3
            && let Ok(mut value) = A::decode(&body)
            && let Some(head) = honest.and_then(head_of::<A>)
        {
            *value.head_mut() = head;
            body = value.encode();
        }
        let envelope = self.signing.sign_bytes::<A>(&self.network, body);
        wire::encode_envelope(&envelope).to_vec()
    }
}

/// The head of an answer: of the type that was asked for, or of a refusal.
fn head_of<A: Headed>(envelope: &Envelope) -> Option<Head> {
    let mut answer = envelope.claims::<A>();
    if let Ok(answer) = &mut answer {
        return Some(answer.head_mut().clone());
    }
    let mut refused = envelope.claims::<Refused>().ok()?;
    Some(refused.head_mut().clone())
}
