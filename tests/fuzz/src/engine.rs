//! A running node, and a member that sends it what the input says: as it stands, or signed and sealed as
//! the real one would, so that the input reaches what stands behind the seal.

use std::{cell::RefCell, sync::Arc};

use bytes::Bytes;
use chartmesh_core::{
    crypto::{
        Body, OpeningKey, OuterHeader, SUITE_XWING, SealContext, SealingKey, SessionKeys,
        begin_session,
    },
    flows::{Actor, Mode},
    membership::{Founding, JoinState, KeySet, NodeRecord, Rules, Template},
    ports::{Clock, FetchPart, Rpc},
    types::{
        Kind, MemberId, NetworkId, NodeKey, PeerCode, Role, Span, Timestamp, UserId,
        limits::TICKET_LIFE,
    },
    wire::{
        self, CharterRequest, FetchRequest, Head, Hello, ListRequest, LocateRequest,
        MembersRequest, Propose, ReleaseRequest, Sealed, TrustRequest,
    },
};
use chartmesh_tests::{SimDisk, SimNet, SimNode, Start, organization, world::opening_seed};
use futures::StreamExt;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::runtime::{Builder, Runtime};

use crate::targets::Run;

/// The targets of this file.
pub(crate) const TARGETS: &[Run] = &[("peer", peer), ("question", question)];

/// Inputs after which the node is made anew, since each leaves a trace in its state.
const INPUTS_MAX: u32 = 200;

pub(crate) const HOLDER_SEED: u8 = 1;

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

pub(crate) struct Engine {
    pub(crate) net: Arc<SimNet>,
    pub(crate) runtime: Runtime,
    pub(crate) holder: SimNode,
    pub(crate) asker: SimNode,
    own_hello: Hello,
    pub(crate) network: NetworkId,
    pub(crate) keys: SessionKeys,
    pub(crate) header: OuterHeader,
    challenge: [u8; 16],
    used: u32,
}

/// Any bytes as any call, from a member and from a stranger.
fn peer(data: &[u8]) {
    with_engine(|engine| {
        let Some((first, rest)) = data.split_first() else {
            return;
        };
        let from = match first & 0x80 {
            0 => engine.asker.node_key(),
            _ => NodeKey([*first; 32]),
        };
        let rpc = Rpc::ALL[usize::from(*first) % Rpc::ALL.len()];
        let _either = engine.send(from, rpc, Bytes::copy_from_slice(rest));
    });
}

/// The first byte chooses the question, the second how much of it is put right.
fn question(data: &[u8]) {
    with_engine(|engine| {
        let [first, how, rest @ ..] = data else {
            return;
        };
        let right = how & 1 == 0;
        match first % 10 {
            0 => engine.ask::<MembersRequest>(Rpc::Members, rest, right),
            1 => engine.ask::<LocateRequest>(Rpc::Locate, rest, right),
            2 => engine.ask::<ListRequest>(Rpc::List, rest, right),
            3 => engine.ask::<FetchRequest>(Rpc::Fetch, rest, right),
            4 => engine.ask::<ReleaseRequest>(Rpc::Release, rest, right),
            5 => engine.greet(rest, right),
            6 => engine.ask::<Propose>(Rpc::Propose, rest, right),
            7 => engine.ask::<CharterRequest>(Rpc::Charters, rest, right),
            8 => engine.ask::<TrustRequest>(Rpc::Trust, rest, right),
            _ => engine.sealed(rest, Rpc::ALL[usize::from(*how) % Rpc::ALL.len()]),
        }
    });
}

fn with_engine(run: impl FnOnce(&mut Engine)) {
    ENGINE.with_borrow_mut(|slot| {
        if slot
            .as_ref()
            .is_some_and(|engine| engine.used >= INPUTS_MAX)
        {
            *slot = None;
        }
        let engine = slot.get_or_insert_with(Engine::start);
        engine.used += 1;
        run(engine);
    });
}

/// A question that has a head which can be put right.
pub(crate) trait Headed: Body {
    fn head_mut(&mut self) -> &mut Head;
}

macro_rules! headed {
    ($($type:ty),*) => {
        $(impl crate::engine::Headed for $type {
            fn head_mut(&mut self) -> &mut Head {
                &mut self.head
            }
        })*
    };
}
pub(crate) use headed;

headed!(
    MembersRequest,
    LocateRequest,
    ListRequest,
    FetchRequest,
    ReleaseRequest,
    Propose,
    CharterRequest,
    TrustRequest,
    Hello
);

impl Engine {
    pub(crate) fn start() -> Self {
        let runtime = runtime();
        let (net, holder, asker) = runtime.block_on(network());
        let own_hello = last_hello(&net, asker.node_key());
        let network = holder.current_network().expect("it was founded").id;
        let key = OpeningKey::from_bytes(&opening_seed(HOLDER_SEED));
        let sealing = SealingKey::parse(&key.public()).expect("its own key");
        let context = SealContext {
            network,
            recipient: holder.member(),
            key_id: key.id(),
        };
        let dice = &mut ChaCha20Rng::from_seed([0xA7; 32]);
        let (enc, keys) = begin_session(dice, &sealing, &context);
        let header = OuterHeader {
            suite: SUITE_XWING,
            key_id: key.id(),
            session: [0xA7; 16],
            counter: 0,
            enc,
        };
        let mut engine = Self {
            net,
            runtime,
            holder,
            asker,
            own_hello,
            network,
            keys,
            header,
            challenge: [0; 16],
            used: 0,
        };
        engine.challenge = engine.greeted();
        engine
    }

    /// The challenge that the holder gives in its answer to a Hello.
    fn greeted(&self) -> [u8; 16] {
        let mut hello = self.own_hello.clone();
        self.put_right(&mut hello.head);
        hello.head.audience = MemberId([0; 16]);
        hello.head.challenge = None;
        let signed = self.asker.identity().node.sign(&self.network, &hello);
        let answer = self
            .runtime
            .block_on(self.holder.serve(
                self.asker.node_key(),
                Rpc::Hello,
                wire::encode_envelope(&signed),
            ))
            .expect("a Hello is answered");
        let answer = wire::decode_envelope(&answer).expect("an answer");
        let answer = answer.claims::<Hello>().expect("a Hello");
        answer.head.next_challenge.expect("with a challenge")
    }

    pub(crate) fn put_right(&self, head: &mut Head) {
        let now = self.holder.world().now();
        *head = Head {
            member: self.asker.member(),
            key: self.asker.node_key(),
            network: self.network,
            audience: self.holder.member(),
            challenge: Some(self.challenge),
            sent_at: now,
            expiry: now.plus(Span::seconds(60)),
            answers: None,
            next_challenge: None,
        };
    }

    /// What the holder answers; of a fetch, its first part.
    pub(crate) fn send(&self, from: NodeKey, rpc: Rpc, bytes: Bytes) -> Result<Bytes, PeerCode> {
        self.runtime.block_on(async {
            if rpc != Rpc::Fetch {
                return self.holder.serve(from, rpc, bytes).await;
            }
            let parts = self.holder.shared().serve_fetch(from, bytes).await?;
            let first = std::pin::pin!(parts).next().await;
            match first.unwrap_or(Err(PeerCode::Unavailable))? {
                FetchPart::Head(bytes) | FetchPart::Leaves(bytes) => Ok(bytes),
                FetchPart::Chunk { data, .. } => Ok(data),
            }
        })
    }

    /// Signs and seals a question: as it stands, or with a head that holds.
    fn ask<T: Headed>(&mut self, rpc: Rpc, bytes: &[u8], right: bool) {
        let mut body = bytes.to_vec();
        if right && let Ok(mut value) = T::decode(bytes) {
            self.put_right(value.head_mut());
            body = value.encode();
        }
        let envelope = self
            .asker
            .identity()
            .node
            .sign_bytes::<T>(&self.network, body);
        self.sealed(&wire::encode_envelope(&envelope), rpc);
    }

    /// Seals bytes as the next question of the session.
    fn sealed(&mut self, plain: &[u8], rpc: Rpc) {
        self.header.counter += 1;
        let header = self.header.clone();
        let Ok(ciphertext) = self.keys.seal_question(&header, plain) else {
            return;
        };
        let bytes = wire::encode_sealed(&Sealed { header, ciphertext });
        let _either = self.send(self.asker.node_key(), rpc, bytes);
    }

    fn greet(&self, bytes: &[u8], right: bool) {
        let mut body = bytes.to_vec();
        if right && let Ok(mut hello) = Hello::decode(bytes) {
            self.put_right(&mut hello.head);
            hello.head.challenge = None;
            hello.credential = self.own_hello.credential.clone();
            hello.charter_version = self.own_hello.charter_version;
            hello.charter_hash = self.own_hello.charter_hash;
            // Signed anew by the member that they are about, so that they are read.
            let node = &self.asker.identity().node;
            hello.key_set = node.sign_bytes::<KeySet>(&self.network, hello.key_set.body);
            let record = hello.node_record.take();
            hello.node_record =
                record.map(|record| node.sign_bytes::<NodeRecord>(&self.network, record.body));
            body = hello.encode();
        }
        let node = &self.asker.identity().node;
        let envelope = node.sign_bytes::<Hello>(&self.network, body);
        let from = self.asker.node_key();
        let _either = self.send(from, Rpc::Hello, wire::encode_envelope(&envelope));
    }
}

/// The Hello that a node said last.
fn last_hello(net: &SimNet, node: NodeKey) -> Hello {
    let mut tape = net.tape();
    tape.retain(|frame| frame.from == node && frame.rpc == Rpc::Hello);
    let frame = tape.pop().expect("it greeted");
    let envelope = wire::decode_envelope(&frame.bytes).expect("its own");
    envelope.claims::<Hello>().expect("its own")
}

/// A runtime whose time passes only where everybody waits.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread")
}

/// A holder with one patient, and a member that may ask it.
pub(crate) async fn network() -> (Arc<SimNet>, SimNode, SimNode) {
    let net = SimNet::new(1);
    let holder = SimNode::start(&net, &SimDisk::default(), start(HOLDER_SEED, "Holder"));
    let asker = SimNode::start(&net, &SimDisk::default(), start(2, "Asker"));
    let founding = Founding {
        name: "Fuzz".to_owned(),
        template: Template::UsTreatment,
        rules: Rules::of(Template::UsTreatment),
        authorities: Vec::new(),
        threshold: 1,
        test: true,
    };
    let admin = actor(Role::Admin);
    holder.found(&admin, founding).await.expect("a network");
    let ticket = holder.invite(&admin, TICKET_LIFE).await.expect("a ticket");
    asker.join(&admin, &ticket).await.expect("it asks");
    let told = asker.poll_join().await;
    assert!(matches!(told, Ok(JoinState::Pending)));
    let words = asker.own_words(&ticket);
    holder.approve(&admin, &words).await.expect("approved");
    let told = asker.poll_join().await;
    assert!(matches!(told, Ok(JoinState::Approved)));
    asker.greet(holder.node_key()).await.expect("greeted");
    let person = r#"{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:oid:1.2.3","value":"77"}],"name":[{"family":"Portillo","given":["Rosalinda"]}],"gender":"female","birthDate":"1937-02-13","address":[{"line":["9 Elm Street"],"city":"Denver","postalCode":"80014"}]}"#;
    holder
        .import(&admin, Bytes::from_static(person.as_bytes()), Mode::Store)
        .await
        .expect("a patient");
    (net, holder, asker)
}

pub(crate) fn actor(role: Role) -> Actor {
    Actor {
        user: UserId([8; 16]),
        name: "fuzz".to_owned(),
        role,
    }
}

fn start(seed: u8, name: &str) -> Start {
    Start {
        seed,
        boot: 1,
        salt: 0,
        not_before: Timestamp(0),
        organization: organization(name, Kind::Clinic),
        clock_offset_ms: 0,
    }
}
