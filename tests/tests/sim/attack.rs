//! What a member with its own key in hand can send, and what the others make of it.

use bytes::Bytes;
use chartmesh_core::{
    audit::Kind as Audited,
    crypto::{
        self, Body, Envelope, OpeningKey, OuterHeader, SUITE_XWING, SealContext, SealingKey,
        SecretKey, SessionKeys, SigningKey, accept_session, begin_session,
    },
    membership::{Heartbeat, KeySet, ListHead, NodeRecord},
    ports::{Clock, FetchPart, Rpc},
    records::{Disclosure, Manifest},
    types::{
        Code, DisclosureId, DocumentId, Handle, MemberId, NetworkId, NodeKey, PeerCode, Purpose,
        QueryId, Role, Span, Timestamp, UserId,
        limits::{CHUNK_BYTES, CLOCK_WINDOW, DENIALS_WHOLE_MAX, LEAVES_PER_PART, MESSAGE_LIFE_MAX},
    },
    wire::{
        self, FetchHead, FetchRequest, Head, Hello, ListRequest, LocateRequest, MembersRequest,
        Message, Refused, ReleaseAnswer, ReleaseRequest, Sealed, TrustAnswer, TrustRequest,
    },
};
use chartmesh_tests::{Fate, Frame, Kind, SimDisk, SimNode, world::opening_seed};
use futures::StreamExt as _;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::{revoke::listen, scenario::*};

/// A member that speaks the protocol by hand, with the keys of one that runs.
struct ByHand<'a> {
    as_node: &'a SimNode,
    to: &'a SimNode,
    own_hello: Hello,
    network: NetworkId,
    challenge: [u8; 16],
    session: [u8; 16],
    keys: SessionKeys,
    enc: Bytes,
    key_id: [u8; 8],
    counter: u64,
}

impl<'a> ByHand<'a> {
    /// Says Hello to the clinic and begins a session.
    async fn begin(world: &'a World, as_node: &'a SimNode) -> Self {
        let to = &world.clinic;
        let network = as_node.current_network().unwrap().id;
        let sealing =
            SealingKey::parse(&OpeningKey::from_bytes(&opening_seed(CLINIC_SEED)).public())
                .unwrap();
        let context = SealContext {
            network,
            recipient: to.member(),
            key_id: sealing.id(),
        };
        let dice = &mut ChaCha20Rng::from_seed([0xA7; 32]);
        let (enc, keys) = begin_session(dice, &sealing, &context);
        let mut by_hand = Self {
            as_node,
            to,
            own_hello: last_hello(world, as_node),
            network,
            challenge: [0; 16],
            session: [0xA7; 16],
            keys,
            enc,
            key_id: sealing.id(),
            counter: 0,
        };
        by_hand.challenge = by_hand.greeted().await;
        by_hand
    }

    async fn greeted(&self) -> [u8; 16] {
        let answer = self.hello(|_| ()).await.unwrap();
        let answer = wire::decode_envelope(&answer).unwrap();
        let answer = answer.verify::<Hello>(&self.network).unwrap();
        answer.value().head.next_challenge.unwrap()
    }

    /// The Hello that the node itself would send, changed and signed again.
    async fn hello(&self, change: impl FnOnce(&mut Hello)) -> Result<Bytes, PeerCode> {
        let mut hello = self.own_hello.clone();
        hello.head.sent_at = self.to.world().now();
        hello.head.expiry = hello.head.sent_at.plus(Span::seconds(60));
        hello.head.audience = MemberId([0; 16]);
        hello.head.answers = None;
        hello.head.next_challenge = None;
        change(&mut hello);
        let bytes = wire::encode_envelope(&self.sign(&hello));
        self.to
            .serve(self.as_node.node_key(), Rpc::Hello, bytes)
            .await
    }

    fn sign<T: Body>(&self, body: &T) -> Envelope {
        self.as_node.identity().node.sign(&self.network, body)
    }

    fn head(&self) -> Head {
        let now = self.to.world().now();
        Head {
            member: self.as_node.member(),
            key: self.as_node.node_key(),
            network: self.network,
            audience: self.to.member(),
            challenge: Some(self.challenge),
            sent_at: now,
            expiry: now.plus(Span::seconds(60)),
            answers: None,
            next_challenge: None,
        }
    }

    fn header(&mut self) -> OuterHeader {
        self.counter += 1;
        OuterHeader {
            suite: SUITE_XWING,
            key_id: self.key_id,
            session: self.session,
            counter: self.counter,
            enc: self.enc.clone(),
        }
    }

    fn sealed(&mut self, envelope: &Envelope) -> Sealed {
        let header = self.header();
        let plain = wire::encode_envelope(envelope);
        let ciphertext = self.keys.seal_question(&header, &plain).unwrap();
        Sealed { header, ciphertext }
    }

    /// What the other says to a signed message: nothing against it, or why not.
    async fn send(&mut self, rpc: Rpc, envelope: &Envelope) -> Result<(), PeerCode> {
        self.answered(rpc, envelope).await.map(drop)
    }

    /// What the other answers to a signed message, of a fetch the head.
    async fn answered(&mut self, rpc: Rpc, envelope: &Envelope) -> Result<Envelope, PeerCode> {
        let sealed = self.sealed(envelope);
        let header = OuterHeader {
            enc: Bytes::new(),
            ..sealed.header.clone()
        };
        let bytes = wire::encode_sealed(&sealed);
        let from = self.as_node.node_key();
        let answer = if rpc == Rpc::Fetch {
            let parts = self.to.shared().serve_fetch(from, bytes).await?;
            match Box::pin(parts).next().await {
                Some(Ok(FetchPart::Head(head))) => head,
                _ => panic!("a fetch begins with its head"),
            }
        } else {
            self.to.serve(from, rpc, bytes).await?
        };
        let answer = wire::decode_sealed(&answer).unwrap();
        let plain = self
            .keys
            .open_answer(&header, 0, &answer.ciphertext)
            .unwrap();
        let answer = wire::decode_envelope(&plain).unwrap();
        match answer.verify::<Refused>(&self.network) {
            Ok(refused) => Err(refused.value().code),
            Err(_) => Ok(answer),
        }
    }

    async fn ask<T: Message>(&mut self, rpc: Rpc, body: &T) -> Result<(), PeerCode> {
        let envelope = self.sign(body);
        self.send(rpc, &envelope).await
    }

    async fn told<Q: Message, A: Message>(&mut self, rpc: Rpc, body: &Q) -> Result<A, PeerCode> {
        let envelope = self.sign(body);
        let answer = self.answered(rpc, &envelope).await?;
        Ok(answer.claims::<A>().unwrap())
    }

    fn members(&self) -> MembersRequest {
        MembersRequest {
            head: self.head(),
            after: None,
        }
    }

    fn locate(&self) -> LocateRequest {
        LocateRequest {
            head: self.head(),
            query: QueryId([1; 16]),
            purpose: Purpose::Treat,
            user: UserId([2; 16]),
            role: Role::Clinician,
            demographics: rosa(),
            deadline_ms: 9_000,
            round: 0,
        }
    }

    fn list(&self, handle: Handle) -> ListRequest {
        ListRequest {
            head: self.head(),
            handle,
            purpose: Purpose::Treat,
            user: UserId([2; 16]),
            role: Role::Clinician,
            types: Vec::new(),
            since: None,
            until: None,
            limit: 20,
        }
    }

    fn fetch(&self, handle: Handle, document: DocumentId) -> FetchRequest {
        FetchRequest {
            head: self.head(),
            handle,
            document,
            purpose: Purpose::Treat,
            user: UserId([2; 16]),
            role: Role::Clinician,
            resume: None,
        }
    }

    fn trust(&self) -> TrustRequest {
        TrustRequest {
            head: self.head(),
            list: None,
            heartbeat_at: None,
            members: 0,
            tell: false,
            beat: None,
        }
    }

    fn release(&self, handle: Handle, document: DocumentId) -> ReleaseRequest {
        ReleaseRequest {
            head: self.head(),
            handle,
            document,
            disclosure: DisclosureId([3; 16]),
            manifest_hash: [4; 32],
            root: [5; 32],
            purpose: Purpose::Treat,
            user: UserId([2; 16]),
            role: Role::Clinician,
        }
    }
}

/// What the clinic's keys are made of.
const CLINIC_SEED: u8 = 1;

/// The Hello that a node said last.
fn last_hello(world: &World, node: &SimNode) -> Hello {
    let mut tape = world.net.tape();
    tape.retain(|frame| {
        frame.from == node.node_key() && frame.rpc == Rpc::Hello && frame.kind == Kind::Question
    });
    let last = wire::decode_envelope(&tape.pop().unwrap().bytes).unwrap();
    last.claims::<Hello>().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_message_made_for_another_is_worth_nothing_whoever_seals_it() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let mut own = ByHand::begin(&world, urgent).await;
    let asked = own.members();
    assert_eq!(own.ask(Rpc::Members, &asked).await, Ok(()));

    // What the hospital received from the urgent care, sealed anew by the hospital.
    let received = own.sign(&own.members());
    let mut nosy = ByHand::begin(&world, hospital).await;
    let as_own = nosy.send(Rpc::Members, &received).await;
    // Signed by its sender, and made for the hospital or another network or by another member.
    let mut elsewhere = own.members();
    elsewhere.head.audience = hospital.member();
    let mut other_network = own.members();
    other_network.head.network = NetworkId([9; 32]);
    let mut other_member = own.members();
    other_member.head.member = hospital.member();
    let mut other_key = own.members();
    other_key.head.key = hospital.node_key();

    let unauthenticated = Err(PeerCode::Unauthenticated);
    assert_eq!(as_own, unauthenticated);
    for wrong in [elsewhere, other_network, other_member, other_key] {
        assert_eq!(own.ask(Rpc::Members, &wrong).await, unauthenticated);
    }
    let told = refusals(clinic).await;
    let expected = [
        Code::Signature,
        Code::WrongRecipient,
        Code::WrongRecipient,
        Code::Signature,
        Code::Signature,
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn a_question_sent_as_another_call_is_refused() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let mut member = ByHand::begin(&world, &world.urgent).await;
    let (handle, document) = (Handle([7; 20]), DocumentId([8; 16]));
    let asked = member.locate();
    assert_eq!(member.ask(Rpc::Locate, &asked).await, Ok(()));
    let questions = [
        (Rpc::Members, member.sign(&member.members())),
        (Rpc::Locate, member.sign(&member.locate())),
        (Rpc::List, member.sign(&member.list(handle))),
        (Rpc::Fetch, member.sign(&member.fetch(handle, document))),
        (Rpc::Release, member.sign(&member.release(handle, document))),
    ];

    for (rpc, _) in &questions {
        for (own, question) in &questions {
            if own == rpc || *rpc == Rpc::Fetch {
                continue;
            }
            let told = member.send(*rpc, question).await;
            assert_eq!(told, Err(PeerCode::Unauthenticated), "{own:?} as {rpc:?}");
        }
    }
    let told = refusals(clinic).await;
    assert!(told.iter().all(|code| *code == Code::Signature));
    assert_eq!(told.len(), 16);
}

#[tokio::test(start_paused = true)]
async fn another_suite_or_version_is_never_agreed_upon() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let mut member = ByHand::begin(&world, &world.urgent).await;
    assert!(member.hello(|_| ()).await.is_ok());
    let asked = member.members();
    assert_eq!(member.ask(Rpc::Members, &asked).await, Ok(()));

    let later = PeerCode::Unauthenticated;
    for (version, code) in [(0, PeerCode::VersionTooOld), (2, later), (u32::MAX, later)] {
        let told = member.hello(|hello| hello.version = version).await;
        assert_eq!(told.err(), Some(code), "{version}");
    }
    // X25519 of RFC 9180, nothing at all, and ML-KEM alone; as the session stands and in a new one.
    for suite in [0x20, 0, 0x42, u32::MAX] {
        for session in [member.session, [suite as u8; 16]] {
            let envelope = member.sign(&member.members());
            let mut sealed = member.sealed(&envelope);
            sealed.header.suite = suite;
            sealed.header.session = session;
            let bytes = wire::encode_sealed(&sealed);
            let told = clinic
                .serve(world.urgent.node_key(), Rpc::Members, bytes)
                .await;
            assert_eq!(told.err(), Some(PeerCode::Unauthenticated), "{suite:#x}");
        }
    }
    let asked = member.members();
    assert_eq!(member.ask(Rpc::Members, &asked).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn no_changed_byte_of_a_sealed_question_is_answered() {
    let Scene { world, .. } = three().await;
    let (clinic, from) = (&world.clinic, world.urgent.node_key());
    let mut member = ByHand::begin(&world, &world.urgent).await;
    let asked = member.members();
    assert_eq!(member.ask(Rpc::Members, &asked).await, Ok(()));
    let envelope = member.sign(&member.members());
    let bytes = wire::encode_sealed(&member.sealed(&envelope));

    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << (at % 8);
        let told = clinic.serve(from, Rpc::Members, changed.into()).await;
        let refused = [
            PeerCode::Malformed,
            PeerCode::Unauthenticated,
            PeerCode::Stale,
        ];
        assert!(told.is_err_and(|code| refused.contains(&code)), "{at}");
    }
    // What was refused took neither the counter nor the session.
    let told = clinic.serve(from, Rpc::Members, bytes.clone()).await;
    assert!(told.is_ok());
    let told = clinic.serve(from, Rpc::Members, bytes).await;
    assert_eq!(told.err(), Some(PeerCode::Unauthenticated));
}

#[tokio::test(start_paused = true)]
async fn a_clock_is_borne_four_minutes_and_refused_six_minutes_off() {
    let minute = 60_000;
    assert_eq!(CLOCK_WINDOW, Span(5 * minute));
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let mut member = ByHand::begin(&world, &world.urgent).await;

    for (minutes, expected) in [
        (0, Ok(())),
        (4, Ok(())),
        (-4, Ok(())),
        (6, Err(PeerCode::ClockSkew)),
        (-6, Err(PeerCode::ClockSkew)),
    ] {
        let mut asked = member.members();
        let sent_at = clinic
            .world()
            .now()
            .0
            .saturating_add_signed(minutes * 60_000);
        asked.head.sent_at = Timestamp(sent_at);
        asked.head.expiry = Timestamp(sent_at + minute);
        let told = member.ask(Rpc::Members, &asked).await;
        assert_eq!(told, expected, "{minutes}");
        let hello = member
            .hello(|hello| {
                (hello.head.sent_at, hello.head.expiry) = (asked.head.sent_at, asked.head.expiry)
            })
            .await;
        assert_eq!(hello.map(|_| ()), expected, "{minutes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_expired_stays_expired_when_the_clock_goes_back_a_day() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let handle = located(urgent, clinic).await;
    let mut permit = statement(rosa, urgent.member(), &[Purpose::Treat]);
    permit.until = Some(clinic.world().now().plus(Span::hours(1)));
    clinic.state_consent(&clinician(), permit).await.unwrap();
    assert!(fetch(urgent, handle, document).await.is_ok());

    pass(Span::hours(2).0).await;
    let expired = fetch(urgent, handle, document).await;
    let day_back = -(Span::hours(24).0 as i64);
    clinic.world().set_clock_offset(day_back);
    urgent.world().set_clock_offset(day_back);
    let after_the_jump = fetch(urgent, handle, document).await;

    assert_eq!(code(expired), Some(Code::Denied));
    assert_eq!(code(after_the_jump), Some(Code::Denied));
}

/// The ends of 31, 32, 63 and 64 bits.
const EDGES: [u64; 8] = [
    0,
    1,
    (1 << 31) - 1,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

#[tokio::test(start_paused = true)]
async fn numbers_at_their_limits_from_a_member_are_refused_or_answered_and_harm_nobody() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    let mut member = ByHand::begin(&world, urgent).await;
    let mut lives = 0;

    for edge in EDGES {
        let short = edge as u32;
        for change in [
            (|head, edge| head.sent_at = Timestamp(edge)) as fn(&mut Head, u64),
            |head, edge| head.expiry = Timestamp(edge),
        ] {
            let mut asked = member.members();
            change(&mut asked.head, edge);
            assert!(member.ask(Rpc::Members, &asked).await.is_err(), "{edge}");
        }
        let long_ago_or_never = member
            .hello(|hello| hello.head.sent_at = Timestamp(edge))
            .await;
        assert!(long_ago_or_never.is_err(), "{edge}");
        // A charter counts by its hash, not by the number a Hello gives it.
        let _either = member.hello(|hello| hello.charter_version = edge).await;
        // Unread so far, hence borne.
        let _either = member.hello(|hello| hello.revocations = edge).await;
        let mut locate = member.locate();
        (locate.deadline_ms, locate.round) = (short, 0);
        // Answered or over budget, in time.
        let told = member.ask(Rpc::Locate, &locate).await;
        assert!(!matches!(told, Err(PeerCode::Unavailable)), "{edge}");
        let mut list = member.list(handle);
        list.limit = short;
        let told = member.ask(Rpc::List, &list).await;
        lives += usize::from(told.is_ok());
        let mut fetch = member.fetch(handle, document);
        fetch.resume = Some(([5; 32], edge));
        let _either = member.ask(Rpc::Fetch, &fetch).await;
    }

    assert!(lives > 1, "a list with a limit that may be is answered");
    assert_eq!(
        super::scenario::fetch(urgent, handle, document)
            .await
            .unwrap(),
        TEXT
    );
}

#[tokio::test(start_paused = true)]
async fn statements_with_numbers_at_their_limits_do_not_lock_their_member_out() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let member = ByHand::begin(&world, urgent).await;

    for edge in EDGES {
        for change in [
            (|set, edge| set.sequence = edge) as fn(&mut KeySet, u64),
            |set, edge| set.valid_from = Timestamp(edge),
            |set, edge| set.valid_until = Timestamp(edge),
        ] {
            // The last sequence there is would forbid every later key set of this very member.
            if edge == u64::MAX {
                continue;
            }
            let told = member
                .hello(|hello| {
                    let mut set = hello.key_set.claims::<KeySet>().unwrap();
                    change(&mut set, edge);
                    hello.key_set = member.sign(&set);
                })
                .await;
            // Either is right: what a member says of its own keys harms that member only.
            let _either = told;
        }
        let told = member
            .hello(|hello| {
                let record = hello.node_record.as_ref().unwrap();
                let mut record = record.claims::<NodeRecord>().unwrap();
                (record.sequence, record.expiry) = (edge, Timestamp(edge));
                hello.node_record = Some(member.sign(&record));
            })
            .await;
        let _either = told;
    }

    let ledger = locate(&world.hospital).await;
    assert_eq!(answer(&ledger, clinic.member()).term(), "match");
}

#[tokio::test(start_paused = true)]
async fn a_node_record_signed_by_another_key_than_it_names_is_refused() {
    let Scene { world, .. } = three().await;
    let (urgent, hospital) = (&world.urgent, &world.hospital);
    let member = ByHand::begin(&world, urgent).await;
    assert!(member.hello(|_| ()).await.is_ok());
    let network = member.network;
    let stranger = SigningKey::from_seed(&SecretKey::new([0x99; 32]));

    for (signer, of) in [
        (&hospital.identity().node, urgent.member()),
        (&stranger, urgent.member()),
        (&urgent.identity().node, hospital.member()),
    ] {
        let told = member
            .hello(|hello| {
                let record = hello.node_record.as_ref().unwrap();
                let mut record = record.claims::<NodeRecord>().unwrap();
                record.member = of;
                record.sequence += 1;
                hello.node_record = Some(signer.sign(&network, &record));
            })
            .await;
        assert_eq!(told.err(), Some(PeerCode::NotMember));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_would_live_too_long_is_refused() {
    let Scene { world, .. } = three().await;
    let mut member = ByHand::begin(&world, &world.urgent).await;

    for (life, expected) in [
        (MESSAGE_LIFE_MAX, Ok(())),
        (Span(MESSAGE_LIFE_MAX.0 + 1), Err(PeerCode::Unauthenticated)),
        (Span(u64::MAX), Err(PeerCode::Unauthenticated)),
    ] {
        let mut asked = member.members();
        asked.head.expiry = asked.head.sent_at.plus(life);
        assert_eq!(member.ask(Rpc::Members, &asked).await, expected);
    }
}

/// What a holder writes into a manifest.
type Lie = fn(&mut Manifest);

/// Sits at the clinic with all its keys and sends another manifest than the file has, signed by itself
/// or by another.
fn liar(
    world: &World,
    lie: Lie,
    signer: &SigningKey,
) -> impl FnMut(&mut Frame) -> Fate + Send + use<> {
    let opening = OpeningKey::from_bytes(&opening_seed(CLINIC_SEED));
    let network = world.clinic.current_network().unwrap().id;
    let (node, signer) = (world.clinic.shared(), signer.clone());
    let mut sessions: Vec<([u8; 16], SessionKeys)> = Vec::new();
    move |frame: &mut Frame| {
        let sealed = wire::decode_sealed(&frame.bytes);
        match (frame.kind, sealed) {
            (Kind::Question, Ok(sealed)) if frame.to == node.node_key() => {
                let context = SealContext {
                    network,
                    recipient: node.member(),
                    key_id: sealed.header.key_id,
                };
                if let Ok(keys) = accept_session(&opening, &sealed.header.enc, &context) {
                    sessions.push((sealed.header.session, keys));
                }
            }
            (Kind::Head, Ok(Sealed { header, ciphertext })) => {
                let known = sessions.iter().find(|(id, _)| *id == header.session);
                let keys = &known.unwrap().1;
                let plain = keys.open_answer(&header, 0, &ciphertext).unwrap();
                let envelope = wire::decode_envelope(&plain).unwrap();
                let mut head = envelope.claims::<wire::FetchHead>().unwrap();
                let mut manifest = head.manifest.claims::<Manifest>().unwrap();
                lie(&mut manifest);
                head.manifest = signer.sign(&network, &manifest);
                let envelope = node.identity().node.sign(&network, &head);
                let plain = wire::encode_envelope(&envelope);
                let ciphertext = keys.seal_answer(&header, 0, &plain).unwrap();
                frame.bytes = wire::encode_sealed(&Sealed { header, ciphertext });
            }
            _ => {}
        }
        Fate::Deliver
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_lies_in_its_manifest_is_caught_before_anything_is_shown() {
    let lies: [(Lie, Option<Code>); 8] = [
        (|_| (), None),
        (
            |manifest| manifest.member = MemberId([9; 16]),
            Some(Code::Signature),
        ),
        (|manifest| manifest.root[0] ^= 1, Some(Code::Integrity)),
        // The chunks agree; the release names a manifest that no store has (`receive_attacks.rs` goes on).
        (
            |manifest| manifest.plain_sha256[0] ^= 1,
            Some(Code::HandleUnknown),
        ),
        (|manifest| manifest.size += 1, Some(Code::HandleUnknown)),
        (
            |manifest| manifest.sealed_size += 1,
            Some(Code::HandleUnknown),
        ),
        (
            |manifest| manifest.sealed_size = u64::MAX,
            Some(Code::TooLarge),
        ),
        (|manifest| manifest.size = u64::MAX, Some(Code::Signature)),
    ];
    let (mut told, mut expected) = (Vec::new(), Vec::new());
    for (lie, code_expected) in lies {
        let scene = three().await;
        let (world, document) = (&scene.world, scene.document);
        grant(&world.clinic, scene.rosa, &world.urgent).await;
        // A run of its own, so that the liar sees how its session begins.
        let urgent = world.urgent.restarted();
        let own = world.clinic.identity().node.clone();
        world.net.between(Some(Box::new(liar(world, lie, &own))));
        let handle = located(&urgent, &world.clinic).await;

        told.push(code(fetch(&urgent, handle, document).await));

        expected.push(code_expected);
        world.net.between(None);
        assert!(fetch(&urgent, handle, document).await.is_ok());
    }
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_another_signed_is_not_believed() {
    for (by_holder, expected) in [(true, None), (false, Some(Code::Signature))] {
        let scene = three().await;
        let world = &scene.world;
        grant(&world.clinic, scene.rosa, &world.urgent).await;
        let urgent = world.urgent.restarted();
        let signer = if by_holder {
            world.clinic.identity().node.clone()
        } else {
            world.hospital.identity().node.clone()
        };
        world
            .net
            .between(Some(Box::new(liar(world, |_| (), &signer))));
        let handle = located(&urgent, &world.clinic).await;

        let told = code(fetch(&urgent, handle, scene.document).await);

        assert_eq!(told, expected);
    }
}

/// What a node has written, in bytes.
fn written(node: &SimNode) -> usize {
    node.disk().files().values().map(Vec::len).sum()
}

/// A million messages that are refused.
///
/// The hard case is that they come from keys without end, and from a member in each of the ways in which
/// a message can be wrong: each is a line that somebody may later want to read.
#[tokio::test(start_paused = true)]
async fn a_million_refused_messages_write_less_than_ten_mebibytes() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let before = written(clinic);
    let first = clinic
        .serve(
            world.urgent.node_key(),
            Rpc::Locate,
            Bytes::from_static(b"x"),
        )
        .await;
    assert_eq!(first.err(), Some(PeerCode::Malformed));
    assert!(written(clinic) > before, "the first of them is written");

    for number in 0..1_000_000_u32 {
        let mut stranger = [0xEE; 32];
        stranger[..4].copy_from_slice(&number.to_be_bytes());
        let from = match number % 2 {
            0 => NodeKey(stranger),
            _ => world.urgent.node_key(),
        };
        let bytes = Bytes::copy_from_slice(&number.to_be_bytes());
        let told = clinic.serve(from, Rpc::Locate, bytes).await;
        assert!(told.is_err());
    }
    clinic.write_counted().await.unwrap();

    let grown = written(clinic) - before;
    assert!(grown < 10 << 20, "{grown} bytes");
    let entries = audited(clinic, Audited::RefusedMessage).await;
    assert!(entries.len() <= 4 * DENIALS_WHOLE_MAX as usize);
    let counted: u64 = entries.iter().map(|entry| entry.count).sum();
    assert_eq!(counted, 1_000_001, "and none is lost from the count");
}

/// Nothing that a node without a credential sends is taken apart.
///
/// The hard case is bytes that would be well formed: what is told must not depend on them.
#[tokio::test(start_paused = true)]
async fn no_body_of_a_stranger_is_parsed() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let mut member = ByHand::begin(&world, urgent).await;
    let envelope = member.sign(&member.members());
    let well_formed = wire::encode_sealed(&member.sealed(&envelope));
    let malformed = Bytes::from_static(b"<!DOCTYPE x [<!ENTITY y SYSTEM \"file:///etc/passwd\">]>");
    let stranger = NodeKey([0x77; 32]);

    for rpc in [Rpc::Members, Rpc::Locate, Rpc::List, Rpc::Release] {
        let by_member = clinic.serve(urgent.node_key(), rpc, malformed.clone());
        assert_eq!(by_member.await.err(), Some(PeerCode::Malformed));
        for body in [&malformed, &well_formed, &Bytes::new()] {
            let told = clinic.serve(stranger, rpc, body.clone()).await;
            assert_eq!(told.err(), Some(PeerCode::NotMember), "{rpc:?}");
        }
    }
    let by_member = clinic
        .shared()
        .serve_fetch(urgent.node_key(), malformed.clone());
    assert_eq!(by_member.await.err(), Some(PeerCode::Malformed));
    for body in [malformed, well_formed.clone(), Bytes::new()] {
        let told = clinic.shared().serve_fetch(stranger, body).await;
        assert_eq!(told.err(), Some(PeerCode::NotMember));
    }
    // The question was good all along, and is answered to whom it is from.
    let told = clinic
        .serve(urgent.node_key(), Rpc::Members, well_formed)
        .await;
    assert!(told.is_ok());
}

/// Hard case: lists of one version that are not the same, of which either may be the later.
#[tokio::test(start_paused = true)]
async fn a_node_gives_what_is_newer_and_asks_who_has_news_and_may_know_more() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let mut member = ByHand::begin(&world, urgent).await;
    listen(clinic);
    pass(1_000).await;
    let known = TrustAnswer {
        list: None,
        ..member.told(Rpc::Trust, &member.trust()).await.unwrap()
    };
    let some = ListHead {
        version: 1,
        hash: [9; 32],
        issued_at: clinic.world().now(),
    };
    for (list, expected) in [(None, false), (Some(some), true)] {
        world.net.rewind();
        let says = TrustRequest {
            list,
            heartbeat_at: known.heartbeat_at,
            members: known.members,
            tell: true,
            ..member.trust()
        };
        let _told: TrustAnswer = member.told(Rpc::Trust, &says).await.unwrap();
        pass(1_000).await;
        assert_eq!(asks_about_trust(&world.net, clinic, urgent), expected);
    }
    let new = SimNode::start(
        &world.net,
        &SimDisk::default(),
        start(10, "Newcomer", chartmesh_core::types::Kind::Clinic),
    );
    admit(clinic, &new).await;
    for member in [&new, hospital] {
        let revoked = clinic
            .revoke_member(&admin(), member.member(), "left")
            .await;
        revoked.unwrap();
    }
    pass(1_000).await;
    let own: TrustAnswer = member.told(Rpc::Trust, &member.trust()).await.unwrap();
    let (head, beat, mark) = (own.list.unwrap(), own.heartbeat_at.unwrap(), own.members);
    assert_eq!(head.version, 2);
    let version = |version| Some(ListHead { version, ..head });
    let other = Some(ListHead {
        hash: [9; 32],
        ..head
    });
    let (same, now) = (Some(head), Some(beat));
    let (earlier, later) = (Some(beat.minus(Span(1))), Some(beat.plus(Span(1))));
    // Told, what it is given of list and heartbeat, and whether it is asked in turn.
    let cases = [
        ((same, now, mark), (false, false), false),
        ((None, now, mark), (true, false), false),
        ((version(1), now, mark), (true, false), false),
        ((version(3), now, mark), (false, false), true),
        ((other, now, mark), (true, false), true),
        ((same, None, mark), (false, true), false),
        ((same, earlier, mark), (false, true), false),
        ((same, later, mark), (false, false), true),
        ((same, now, mark ^ 1), (false, false), true),
    ];
    for (number, (says, given, asked)) in cases.into_iter().enumerate() {
        for tell in [false, true] {
            world.net.rewind();
            let request = TrustRequest {
                list: says.0,
                heartbeat_at: says.1,
                members: says.2,
                tell,
                ..member.trust()
            };
            let told: TrustAnswer = member.told(Rpc::Trust, &request).await.unwrap();
            pass(1_000).await;
            let gave = (told.revocations.is_some(), told.heartbeat.is_some());
            assert_eq!(gave, given, "{number}");
            assert_eq!(
                asks_about_trust(&world.net, clinic, urgent),
                asked && tell,
                "{number}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_key_signs_what_its_node_would_say_itself_and_nothing_else() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let mut member = ByHand::begin(&world, urgent).await;
    let network = clinic.current_network().unwrap();
    let window = network.charter.rules.clock_window;
    let other = ListHead {
        version: 1,
        hash: [9; 32],
        issued_at: clinic.world().now(),
    };
    let now = clinic.world().now();
    for (list, at, signs) in [
        (None, now, true),
        (None, now.plus(window), true),
        (None, now.minus(window), true),
        (None, now.plus(window).plus(Span(1)), false),
        (None, now.minus(window).minus(Span(1)), false),
        (Some(other), now, false),
    ] {
        let beat = Heartbeat::of(network.id, list, at);
        let request = TrustRequest {
            beat: Some(member.sign(&beat)),
            ..member.trust()
        };

        let told: TrustAnswer = member.told(Rpc::Trust, &request).await.unwrap();

        let signed = told.beat.map(|beat| beat.claimed_signers());
        let expected = signs.then(|| vec![clinic.identity().status().public()]);
        assert_eq!(signed, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_no_message_is_refused_as_malformed_whoever_signed_it() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let mut member = ByHand::begin(&world, &world.urgent).await;
    let whole = member.sign(&member.members());
    assert_eq!(member.send(Rpc::Members, &whole).await, Ok(()));
    let node = &world.urgent.identity().node;
    let torn = whole.body.slice(..whole.body.len() / 2);
    // A field twice: read alike, and not the one encoding.
    let twice = [&whole.body[..], &whole.body[..]].concat();

    for body in [torn, twice.into()] {
        let signed = node.sign_bytes::<MembersRequest>(&member.network, body);
        let told = member.send(Rpc::Members, &signed).await;
        assert_eq!(told, Err(PeerCode::Malformed));
    }

    let malformed = Code::MessageMalformed;
    assert_eq!(refusals(clinic).await, [malformed, malformed]);
}

/// Hard case: the name in the message, too, is that of the other member.
#[tokio::test(start_paused = true)]
async fn a_hello_by_the_credential_of_another_or_for_another_is_refused() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    hospital.greet(clinic.node_key()).await.unwrap();
    let theirs = last_hello(&world, hospital);
    let member = ByHand::begin(&world, urgent).await;
    assert!(member.hello(|_| ()).await.is_ok());

    let (credential, other) = (theirs.credential, hospital.member());
    let borrowed = member.hello(|hello| {
        hello.credential = credential;
        hello.head.member = other;
    });
    assert_eq!(borrowed.await.err(), Some(PeerCode::NotMember));
    let elsewhere = member.hello(|hello| hello.head.audience = other).await;
    assert_eq!(elsewhere.err(), Some(PeerCode::Unauthenticated));

    let told = refusals(clinic).await;
    assert_eq!(told, [Code::NotMember, Code::WrongRecipient]);
}

/// Hard case: it was a member when its question was begun to be opened.
#[tokio::test(start_paused = true)]
async fn a_question_that_is_opened_while_its_member_is_thrown_out_is_not_answered() {
    for thrown_out in [false, true] {
        let Scene { world, .. } = three().await;
        let (clinic, urgent) = (&world.clinic, &world.urgent);
        let mut member = ByHand::begin(&world, urgent).await;
        let asked = member.members();
        clinic.world().set_job(50);

        let revoking = async {
            pass(20).await;
            if thrown_out {
                let revoked = clinic
                    .revoke_member(&admin(), urgent.member(), "left")
                    .await;
                revoked.unwrap();
            }
        };
        let (told, ()) = tokio::join!(member.ask(Rpc::Members, &asked), revoking);

        let expected = if thrown_out {
            (Err(PeerCode::NotMember), vec![Code::KeyRevoked])
        } else {
            (Ok(()), Vec::new())
        };
        assert_eq!((told, refusals(clinic).await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_goes_on_from_a_chunk_of_the_very_file_and_else_from_the_start() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    let mut member = ByHand::begin(&world, urgent).await;
    let whole = member.fetch(handle, document);
    let whole: FetchHead = member.told(Rpc::Fetch, &whole).await.unwrap();
    assert_eq!(whole.from_chunk, 0);
    let (root, chunks) = (
        whole.manifest.claims::<Manifest>().unwrap().root,
        whole.chunks,
    );

    for (resume, from_chunk) in [
        ((root, 1), 1),
        ((root, chunks), chunks),
        ((root, chunks + 1), 0),
        (([9; 32], 1), 0),
    ] {
        let request = FetchRequest {
            resume: Some(resume),
            ..member.fetch(handle, document)
        };
        let head: FetchHead = member.told(Rpc::Fetch, &request).await.unwrap();
        assert_eq!(head.from_chunk, from_chunk);
    }
}

/// Hard case: a member that holds a handle, a consent and a name for what another fetched.
#[tokio::test(start_paused = true)]
async fn a_key_leaves_once_to_who_fetched_for_what_was_fetched_as_it_was_fetched() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let summary = clinic.patient(rosa).unwrap().summary;
    let mut handles = Vec::new();
    for asker in [urgent, hospital] {
        grant(clinic, rosa, asker).await;
        handles.push(located(asker, clinic).await);
    }
    let mut own = ByHand::begin(&world, urgent).await;
    let mut other = ByHand::begin(&world, hospital).await;

    for (fetched, another) in [(document, summary), (summary, document)] {
        let asked = own.fetch(handles[0], fetched);
        let head: FetchHead = own.told(Rpc::Fetch, &asked).await.unwrap();
        let root = head.manifest.claims::<Manifest>().unwrap().root;
        let release = |by: &ByHand<'_>, handle, document| ReleaseRequest {
            disclosure: head.disclosure,
            manifest_hash: head.manifest.hash(),
            root,
            ..by.release(handle, document)
        };
        let before = audited(clinic, Audited::Disclosed).await.len();
        let unknown = Err(PeerCode::HandleUnknown);
        let taken = release(&other, handles[1], fetched);
        assert_eq!(other.ask(Rpc::Release, &taken).await, unknown);
        let renamed = release(&own, handles[0], another);
        assert_eq!(own.ask(Rpc::Release, &renamed).await, unknown);
        let altered = ReleaseRequest {
            manifest_hash: [9; 32],
            ..release(&own, handles[0], fetched)
        };
        assert_eq!(own.ask(Rpc::Release, &altered).await, unknown);
        let other_bytes = ReleaseRequest {
            root: [9; 32],
            ..release(&own, handles[0], fetched)
        };
        let told = own.ask(Rpc::Release, &other_bytes).await;
        assert_eq!(told, Err(PeerCode::Malformed));
        let denied = audited(clinic, Audited::Denied).await;
        assert_eq!(denied.last().unwrap().code, Some(Code::Integrity));
        assert_eq!(audited(clinic, Audited::Disclosed).await.len(), before);

        let asked = release(&own, handles[0], fetched);
        let answer: ReleaseAnswer = own.told(Rpc::Release, &asked).await.unwrap();

        let statement = answer.release.claims::<Disclosure>().unwrap();
        let logged = clinic
            .audit_entries(statement.audit_index, 1)
            .await
            .unwrap();
        assert_eq!(logged[0].leaf, statement.audit_leaf);
        assert_eq!(logged[0].logged.entry.disclosure, Some(head.disclosure));
        let again = release(&own, handles[0], fetched);
        assert_eq!(own.ask(Rpc::Release, &again).await, unknown, "once");
    }
}

/// Hard case: the question was admitted, and waits behind somebody else about the same patient.
#[tokio::test(start_paused = true)]
async fn no_key_leaves_to_who_was_thrown_out_while_its_release_waited_for_its_turn() {
    for thrown_out in [false, true] {
        let Scene {
            world,
            rosa,
            document,
        } = three().await;
        let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
        grant(clinic, rosa, urgent).await;
        let handle = located(urgent, clinic).await;
        let mut member = ByHand::begin(&world, urgent).await;
        let asked = member.fetch(handle, document);
        let head: FetchHead = member.told(Rpc::Fetch, &asked).await.unwrap();
        let asked = ReleaseRequest {
            disclosure: head.disclosure,
            manifest_hash: head.manifest.hash(),
            root: head.manifest.claims::<Manifest>().unwrap().root,
            ..member.release(handle, document)
        };
        clinic.world().set_fsync(500);

        let revoking = async {
            if thrown_out {
                let revoked = clinic
                    .revoke_member(&admin(), urgent.member(), "left")
                    .await;
                revoked.unwrap();
            }
        };
        let granting = async {
            pass(10).await;
            grant(clinic, rosa, hospital).await;
        };
        let releasing = async {
            pass(20).await;
            member.ask(Rpc::Release, &asked).await
        };
        let ((), (), told) = tokio::join!(revoking, granting, releasing);

        let disclosed = audited(clinic, Audited::Disclosed).await.len();
        let denied = audited(clinic, Audited::Denied).await;
        if thrown_out {
            assert_eq!((told, disclosed), (Err(PeerCode::NotMember), 0));
            assert_eq!(denied.last().unwrap().code, Some(Code::KeyRevoked));
        } else {
            assert_eq!((told, disclosed, denied.len()), (Ok(()), 1, 0));
        }
    }
}

/// The only document of these tests that is so large that its leaves do not fit one part.
#[tokio::test(start_paused = true)]
async fn the_leaves_of_a_large_file_come_in_parts_and_its_chunks_after_them() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    let len = (LEAVES_PER_PART + 2) * CHUNK_BYTES;
    let document = attach(clinic, rosa, &vec![7; len]).await;
    let chunks = crypto::chunk_count(crypto::sealed_len(len as u64)).unwrap() as usize;
    let mut member = ByHand::begin(&world, urgent).await;
    let request = member.sign(&member.fetch(handle, document));
    let bytes = wire::encode_sealed(&member.sealed(&request));

    let parts = clinic.shared().serve_fetch(urgent.node_key(), bytes).await;
    let parts: Vec<_> = Box::pin(parts.ok().unwrap()).take(4).collect().await;

    assert!(matches!(&parts[0], Ok(FetchPart::Head(_))));
    let first = LEAVES_PER_PART * 32;
    assert!(matches!(&parts[1], Ok(FetchPart::Leaves(leaves)) if leaves.len() == first));
    let rest = chunks * 32 - first;
    assert!(matches!(&parts[2], Ok(FetchPart::Leaves(leaves)) if leaves.len() == rest));
    assert!(matches!(&parts[3], Ok(FetchPart::Chunk { index: 0, .. })));
}
