//! Tickets and credentials, each bad one beside a good one.

use bytes::Bytes;
use chartmesh_core::{
    audit::Kind as Audited,
    crypto::{OpeningKey, SecretKey},
    flows::FlowError,
    membership::{
        JoinAnswer, JoinRecord, JoinRequest, JoinState, RevocationList, Rules, Subject, Template,
        Ticket,
    },
    ports::{CallError, Clock as _, Journal as _, Rpc},
    records::{Batch, RecordKind, Scope},
    types::{
        Code, Kind, MemberId, PeerCode, Span,
        limits::{
            DENIALS_WHOLE_MAX, JOIN_KEYS_CHANGED_MAX, JOIN_REQUESTS_MAX, TICKET_LIFE, TICKETS_MAX,
        },
    },
    wire,
};
use chartmesh_tests::{Fate, Frame, Kind as FrameKind, SimDisk, SimNet, SimNode};

use crate::scenario::*;

fn applicant(world: &World, seed: u8) -> SimNode {
    let start = start(seed, &format!("Applicant {seed}"), Kind::Clinic);
    SimNode::start(&world.net, &SimDisk::default(), start)
}

async fn polled(applicant: &SimNode, ticket: &Ticket) -> Option<Code> {
    applicant.join(&admin(), ticket).await.unwrap();
    code(applicant.poll_join().await)
}

#[tokio::test(start_paused = true)]
async fn a_forged_used_or_foreign_ticket_is_refused() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let good = ticket(clinic).await;
    assert_eq!(polled(&applicant(&world, 10), &good).await, None);

    let mut forged = ticket(clinic).await;
    forged.secret[0] ^= 1;
    let refused = Some(Code::TicketRefused);
    assert_eq!(polled(&applicant(&world, 11), &forged).await, refused);
    assert_eq!(polled(&applicant(&world, 12), &good).await, refused, "used");

    let other = SimNode::start(
        &world.net,
        &SimDisk::default(),
        start(40, "Elsewhere", Kind::Clinic),
    );
    let rules = Rules::of(Template::OptIn);
    other.found(&admin(), founding(rules)).await.unwrap();
    let mut foreign = ticket(&other).await;
    assert_eq!(polled(&applicant(&world, 13), &foreign).await, None);
    foreign.inviter = clinic.node_key();
    assert_eq!(polled(&applicant(&world, 14), &foreign).await, refused);
    let mut renamed = ticket(&other).await;
    renamed.inviter = clinic.node_key();
    renamed.network = good.network;
    assert_eq!(polled(&applicant(&world, 15), &renamed).await, refused);
    assert_eq!(clinic.join_requests().len(), 1);
    assert_eq!(
        join_refusals(clinic).await,
        [
            Code::TicketRefused,
            Code::TicketUsed,
            Code::TicketRefused,
            Code::TicketRefused
        ]
    );
    assert!(refusals(clinic).await.is_empty());
}

async fn join_refusals(node: &SimNode) -> Vec<Code> {
    let entries = audited(node, Audited::JoinRefused).await;
    entries.iter().filter_map(|entry| entry.code).collect()
}

/// Two applicants hold one ticket and ask at the same moment.
#[tokio::test(start_paused = true)]
async fn one_ticket_lets_in_one_of_two_who_ask_at_once() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    clinic.world().set_fsync(50);
    let ticket = ticket(clinic).await;
    let (one, other) = (applicant(&world, 10), applicant(&world, 11));
    one.join(&admin(), &ticket).await.unwrap();
    other.join(&admin(), &ticket).await.unwrap();

    let (first, second) = tokio::join!(one.poll_join(), other.poll_join());

    let mut told = [code(first), code(second)];
    told.sort();
    assert_eq!(told, [None, Some(Code::TicketRefused)]);
    assert_eq!(join_refusals(clinic).await, [Code::TicketUsed]);
}

#[tokio::test(start_paused = true)]
async fn one_request_approved_twice_at_once_is_admitted_once() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    clinic.world().set_fsync(50);
    let ticket = ticket(clinic).await;
    let new = applicant(&world, 10);
    new.join(&admin(), &ticket).await.unwrap();
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Pending);
    let words = new.own_words(&ticket);

    let actor = admin();
    let (first, second) = tokio::join!(
        clinic.approve(&actor, &words),
        clinic.approve(&actor, &words)
    );

    assert!(first.is_ok());
    assert_eq!(code(second), Some(Code::RequestUnknown));
    let (first, second) = tokio::join!(new.poll_join(), new.poll_join());
    assert_eq!(first.unwrap(), JoinState::Approved);
    assert_eq!(second.unwrap(), JoinState::Approved);
    assert_eq!(audited(&new, Audited::Joined).await.len(), 1);
    new.greet(clinic.node_key()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_ticket_gives_way_to_another_or_to_a_network_of_ones_own() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let mut forged = ticket(clinic).await;
    forged.secret[0] ^= 1;
    let rules = || Rules::of(Template::OptIn);
    let new = applicant(&world, 10);
    new.join(&admin(), &ticket(clinic).await).await.unwrap();
    let in_the_way = new.found(&admin(), founding(rules())).await;
    assert_eq!(code(in_the_way), Some(Code::AlreadyInNetwork));

    assert_eq!(polled(&new, &forged).await, Some(Code::TicketRefused));
    assert!(new.pending_ticket().is_none());
    let new = new.restarted();
    assert!(new.pending_ticket().is_none());
    assert_eq!(polled(&new, &ticket(clinic).await).await, None);

    assert_eq!(polled(&new, &forged).await, Some(Code::TicketRefused));
    new.found(&admin(), founding(rules())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_lapse_with_their_tickets_and_make_room() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let mut first = None;
    for seed in 0..JOIN_REQUESTS_MAX {
        let ticket = clinic.invite(&admin(), Span::minutes(30)).await.unwrap();
        let new = applicant(&world, 100 + u8::try_from(seed).unwrap());
        assert_eq!(polled(&new, &ticket).await, None);
        first = first.or(Some(new));
    }
    let first = first.unwrap();
    let words = first.own_words(&first.pending_ticket().unwrap());
    let late = applicant(&world, 99);
    let full = polled(&late, &ticket(clinic).await).await;
    assert_eq!(full, Some(Code::PeerRefused));

    pass(Span::minutes(31).0).await;

    assert!(clinic.join_requests().is_empty());
    let approved = clinic.approve(&admin(), &words).await;
    assert_eq!(code(approved), Some(Code::RequestUnknown));
    assert_eq!(late.poll_join().await.unwrap(), JoinState::Pending);
    let rules = Rules::of(Template::OptIn);
    first.found(&admin(), founding(rules)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_expired_ticket_is_refused_here_and_there() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let short = clinic.invite(&admin(), Span::minutes(3)).await.unwrap();
    let in_time = applicant(&world, 10);
    in_time.join(&admin(), &short).await.unwrap();
    let late = applicant(&world, 11);
    let short_too = clinic.invite(&admin(), Span::minutes(3)).await.unwrap();
    late.join(&admin(), &short_too).await.unwrap();
    assert_eq!(in_time.poll_join().await.unwrap(), JoinState::Pending);

    pass(Span::minutes(4).0).await;

    assert_eq!(code(late.poll_join().await), Some(Code::TicketRefused));
    let later = applicant(&world, 12);
    assert_eq!(
        code(later.join(&admin(), &short).await),
        Some(Code::TicketExpired)
    );
    // A request that nobody decided on lapses with its ticket.
    assert_eq!(code(in_time.poll_join().await), Some(Code::TicketRefused));
    let expired = Code::TicketExpired;
    assert_eq!(join_refusals(clinic).await, [expired, expired]);
}

#[tokio::test(start_paused = true)]
async fn an_applicant_has_one_id_over_all_requests_and_the_approval_survives_a_restart() {
    let Scene { world, .. } = three().await;
    let (clinic, ticket) = (&world.clinic, ticket(&world.clinic).await);
    let new = applicant(&world, 10);
    new.join(&admin(), &ticket).await.unwrap();
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Pending);
    let words = new.own_words(&ticket);
    pass(90_000).await;
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Pending);
    assert_eq!(new.own_words(&ticket), words);
    assert_eq!(clinic.join_requests().len(), 1);

    assert_eq!(
        code(clinic.approve(&admin(), "no_such_words").await),
        Some(Code::RequestUnknown)
    );
    assert_eq!(
        code(world.hospital.approve(&admin(), &words).await),
        Some(Code::NotAuthority)
    );
    clinic.approve(&admin(), &words).await.unwrap();
    let clinic = clinic.restarted();
    let new = new.restarted();
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Approved);
    new.greet(clinic.node_key()).await.unwrap();

    let ledger = locate(&new).await;
    assert_eq!(answer(&ledger, clinic.member()).term(), "match");
    assert_eq!(
        code(new.join(&admin(), &ticket).await),
        Some(Code::AlreadyInNetwork)
    );
}

/// Sealing keys last half a week, tickets a whole one.
#[tokio::test(start_paused = true)]
async fn an_applicant_whose_keys_change_while_it_waits_is_still_known_by_its_words() {
    let Scene { world, .. } = three().await;
    let (clinic, ticket) = (&world.clinic, ticket(&world.clinic).await);
    let new = applicant(&world, 10);
    assert_eq!(polled(&new, &ticket).await, None);
    let first = new.own_words(&ticket);
    let shown = |clinic: &SimNode| clinic.join_requests()[0].0.clone();
    assert_eq!(shown(clinic), first);
    let changes_keys = |number: u32| {
        let key = SecretKey::new([number as u8; 32]);
        new.install_opening_keys(vec![OpeningKey::from_bytes(&key)]);
    };

    for number in 1..=JOIN_KEYS_CHANGED_MAX {
        changes_keys(number);
        assert_eq!(new.poll_join().await.unwrap(), JoinState::Pending);
        assert_eq!(shown(clinic), new.own_words(&ticket));
        // The same keys again are nothing to write down.
        assert_eq!(new.poll_join().await.unwrap(), JoinState::Pending);
    }

    assert_ne!(shown(clinic), first);
    let outdated = clinic.approve(&admin(), &first).await;
    assert_eq!(code(outdated), Some(Code::RequestUnknown));
    let clinic = clinic.restarted();
    let words = new.own_words(&ticket);
    changes_keys(JOIN_KEYS_CHANGED_MAX + 1);
    assert_eq!(code(new.poll_join().await), Some(Code::PeerRefused));
    assert_eq!(shown(&clinic), words);
    changes_keys(JOIN_KEYS_CHANGED_MAX);
    clinic.approve(&admin(), &words).await.unwrap();
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Approved);
    changes_keys(1);
    new.greet(clinic.node_key()).await.unwrap();
    assert!(clinic.reused_tickets().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_member_of_another_network_is_a_stranger() {
    let Scene { world, .. } = three().await;
    assert!(world.urgent.greet(world.clinic.node_key()).await.is_ok());
    let other = SimNode::start(
        &world.net,
        &SimDisk::default(),
        start(40, "Elsewhere", Kind::Clinic),
    );
    let rules = Rules::of(Template::OptIn);
    other.found(&admin(), founding(rules)).await.unwrap();

    let told = other.greet(world.clinic.node_key()).await;

    assert_eq!(
        told,
        Err(CallError::Refused(PeerCode::Unauthenticated)),
        "its signatures are of another network"
    );
    assert_eq!(refusals(&world.clinic).await, [Code::Signature]);
}

#[tokio::test(start_paused = true)]
async fn a_node_has_tickets_max_outstanding() {
    let net = SimNet::new(20);
    let clinic = SimNode::start(&net, &SimDisk::default(), start(1, "Clinic", Kind::Clinic));
    let rules = Rules::of(Template::OptIn);
    clinic.found(&admin(), founding(rules)).await.unwrap();
    // All at one moment.
    clinic.world().set_fsync(0);
    for _ in 0..TICKETS_MAX {
        ticket(&clinic).await;
    }

    let beyond = clinic.invite(&admin(), TICKET_LIFE).await;
    assert_eq!(beyond.err().map(|error| error.code()), Some(Code::Usage));
    pass(TICKET_LIFE.0 - 1).await;
    let beyond = clinic.invite(&admin(), TICKET_LIFE).await;
    assert_eq!(code(beyond), Some(Code::Usage));
    pass(1).await;
    assert!(clinic.invite(&admin(), TICKET_LIFE).await.is_ok());
}

/// Hard case: a thief that says it is the very member that asked first.
#[tokio::test(start_paused = true)]
async fn a_ticket_that_is_used_again_serves_its_first_user_and_is_reported_once() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let ticket = ticket(clinic).await;
    let first = applicant(&world, 10);
    assert_eq!(polled(&first, &ticket).await, None);
    assert_eq!(code(first.poll_join().await), None, "it may ask again");
    assert!(clinic.reused_tickets().is_empty());
    let thief = applicant(&world, 11);
    let start = start(12, "Applicant 10", Kind::Clinic);
    let twin = SimNode::start_as(&world.net, &SimDisk::default(), start, first.member());

    for other in [&thief, &twin] {
        let refused = Some(Code::TicketRefused);
        assert_eq!(polled(other, &ticket).await, refused);
    }

    let used = Code::TicketUsed;
    assert_eq!(join_refusals(clinic).await, [used, used]);
    let entries = audited(clinic, Audited::TicketReused).await;
    assert_eq!(entries.len(), 1);
    let entry = (entries[0].member, entries[0].code);
    assert_eq!(entry, (Some(thief.member()), Some(used)));
    let clinic = clinic.restarted();
    let reused = clinic.reused_tickets();
    assert_eq!(reused.len(), 1);
    assert_eq!(reused[0].0.subject(), subject_of(&first));
    assert_eq!(reused[0].1, JoinState::Pending);
    let words = first.own_words(&ticket);
    clinic.approve(&admin(), &words).await.unwrap();
    assert_eq!(first.poll_join().await.unwrap(), JoinState::Approved);
    assert_eq!(clinic.reused_tickets()[0].1, JoinState::Approved);
}

fn subject_of(node: &SimNode) -> Subject {
    Subject {
        member: node.member(),
        node_key: node.node_key(),
    }
}

/// The question of an applicant, as it went over the wire last.
fn asked(world: &World, applicant: &SimNode) -> Frame {
    let mut tape = world.net.tape();
    tape.retain(|frame| {
        frame.rpc == Rpc::Join
            && frame.kind == FrameKind::Question
            && frame.from == applicant.node_key()
    });
    tape.pop().unwrap()
}

/// A journal of before requests were judged in turn may hold two first ones of one ticket.
#[tokio::test(start_paused = true)]
async fn a_second_first_request_of_a_ticket_neither_takes_it_nor_undoes_a_decision() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let ticket = ticket(clinic).await;
    let (first, second) = (applicant(&world, 10), applicant(&world, 11));
    assert_eq!(polled(&first, &ticket).await, None);
    let refused = polled(&second, &ticket).await;
    assert_eq!(refused, Some(Code::TicketRefused));
    let record = async |applicant: &SimNode| {
        let request = wire::decode_envelope(&asked(&world, applicant).bytes).unwrap();
        let record = JoinRecord {
            ticket: ticket.name(),
            request,
            state: JoinState::Pending,
            credential: None,
            reused: None,
        };
        let mut batch = Batch::default();
        let body = wire::encode_join(&record);
        batch.push(RecordKind::Join, Scope::Store, body);
        assert!(clinic.world().commit(batch).await.is_ok());
    };

    record(&second).await;
    let waiting = clinic.join_requests();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].1.member, first.member());
    clinic.approve(&admin(), &waiting[0].0).await.unwrap();
    record(&first).await;

    assert!(clinic.join_requests().is_empty());
    assert_eq!(first.poll_join().await.unwrap(), JoinState::Approved);
}

fn told(outcome: Result<JoinState, FlowError>) -> Option<PeerCode> {
    match outcome {
        Err(FlowError::Peer { code, .. }) => Some(code),
        Ok(_) | Err(_) => None,
    }
}

/// Why an applicant is not heard is told as far as it can do something about it.
#[tokio::test(start_paused = true)]
async fn an_applicant_is_told_of_its_clock_its_bytes_and_a_full_disk_and_of_nothing_else() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let (new, other) = (applicant(&world, 10), applicant(&world, 11));
    let ticket_of_new = ticket(clinic).await;
    new.join(&admin(), &ticket_of_new).await.unwrap();
    clinic.disk().fill(true);
    assert_eq!(told(new.poll_join().await), Some(PeerCode::Unavailable));
    clinic.disk().fill(false);
    let ahead = applicant(&world, 12);
    ahead.world().set_clock_offset(Span::minutes(6).0 as i64);
    ahead.join(&admin(), &ticket(clinic).await).await.unwrap();
    assert_eq!(told(ahead.poll_join().await), Some(PeerCode::ClockSkew));
    let question = asked(&world, &new);
    let heard = async |from: &SimNode, bytes: Bytes| {
        let told = clinic.serve(from.node_key(), Rpc::Join, bytes).await;
        told.err()
    };
    let mut torn = question.bytes.to_vec();
    torn.pop();

    assert_eq!(heard(&new, torn.into()).await, Some(PeerCode::Malformed));
    let request = wire::decode_envelope(&question.bytes).unwrap();
    let no_request = new
        .identity()
        .node
        .sign_bytes::<JoinRequest>(&ticket_of_new.network, request.body.slice(..9));
    let no_request = wire::encode_envelope(&no_request);
    assert_eq!(heard(&new, no_request).await, Some(PeerCode::Malformed));
    let as_other = heard(&other, question.bytes.clone()).await;
    assert_eq!(as_other, Some(PeerCode::Denied));

    assert!(clinic.join_requests().is_empty());
    assert_eq!(
        join_refusals(clinic).await,
        [
            Code::ClockSkew,
            Code::MessageMalformed,
            Code::MessageMalformed,
            Code::TicketRefused
        ]
    );
    assert_eq!(heard(&new, question.bytes).await, None);
    assert_eq!(clinic.join_requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn refused_applicants_are_written_as_a_few_entries() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let forged = ticket(clinic).await;
    let forged = Ticket {
        secret: [9; 16].into(),
        ..forged
    };
    let new = applicant(&world, 10);

    for _ in 0..3 * DENIALS_WHOLE_MAX {
        assert_eq!(polled(&new, &forged).await, Some(Code::TicketRefused));
    }

    let written = join_refusals(clinic).await.len();
    assert_eq!(written, DENIALS_WHOLE_MAX as usize);
    let own = audited(&new, Audited::JoinRefused).await;
    assert_eq!(own.last().unwrap().code, Some(Code::TicketRefused));
}

#[tokio::test(start_paused = true)]
async fn a_ticket_ends_at_its_end_and_not_a_moment_before() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    world.net.set_latency(0);
    let node = |seed| applicant(&world, seed);
    let (waits, late, first, last) = (node(10), node(11), node(12), node(13));
    clinic.world().set_fsync(0);
    let own = clinic.invite(&admin(), Span::minutes(3)).await.unwrap();
    let other = clinic.invite(&admin(), Span::minutes(3)).await.unwrap();
    assert_eq!(own.expiry, other.expiry);
    assert_eq!(polled(&waits, &own).await, None);
    for applicant in [&waits, &late, &first, &last] {
        applicant.world().set_fsync(0);
    }
    late.join(&admin(), &other).await.unwrap();
    let rest = own.expiry.since(clinic.world().now());
    let rules = || Rules::of(Template::OptIn);

    pass(rest.0 - 1).await;
    assert_eq!(clinic.join_requests().len(), 1);
    assert_eq!(code(first.join(&admin(), &other).await), None);
    let in_the_way = first.found(&admin(), founding(rules())).await;
    assert_eq!(code(in_the_way), Some(Code::AlreadyInNetwork));
    assert_eq!(code(waits.poll_join().await), None);
    pass(1).await;

    assert!(clinic.join_requests().is_empty());
    let expired = Code::TicketExpired;
    let joined = last.join(&admin(), &other).await;
    assert_eq!(code(joined), Some(expired));
    assert!(first.found(&admin(), founding(rules())).await.is_ok());
    for applicant in [&waits, &late] {
        let told = code(applicant.poll_join().await);
        assert_eq!(told, Some(Code::TicketRefused));
    }
    assert_eq!(join_refusals(clinic).await, [expired, expired]);
}

#[tokio::test(start_paused = true)]
async fn an_admitted_node_knows_its_inviter_and_has_collected_its_credential_once_it_asked() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let (one, other) = (applicant(&world, 10), applicant(&world, 11));
    for new in [&one, &other] {
        let ticket = ticket(clinic).await;
        assert_eq!(polled(new, &ticket).await, None);
        assert_eq!(new.world().learned(), [clinic.node_key()]);
        let words = new.own_words(&ticket);
        clinic.approve(&admin(), &words).await.unwrap();
        assert!(!clinic.delivered(new.member()));
    }
    pass(60_000).await;

    assert_eq!(one.poll_join().await.unwrap(), JoinState::Approved);

    assert!(clinic.delivered(one.member()) && !clinic.delivered(other.member()));
    assert!(one.is_member(clinic.node_key()));
    assert!(one.pending_ticket().is_none());
    // As fresh as its inviter, from the first moment.
    let confirmed = |node: &SimNode| node.trust().unwrap().confirmed;
    clinic.beat().await.unwrap();
    assert_eq!(confirmed(&one), confirmed(clinic));
    let clinic = clinic.restarted();
    assert!(!clinic.delivered(one.member()), "not since its start");
    one.greet(clinic.node_key()).await.unwrap();
    assert!(clinic.delivered(one.member()));
    assert!(!clinic.delivered(other.member()));
}

/// What the inviter answers, changed and signed anew, as an inviter that lies might.
fn answers(
    world: &World,
    ticket: &Ticket,
    mut change: impl FnMut(&mut JoinAnswer) + Send + 'static,
) {
    let (node, network, key) = (world.clinic.shared(), ticket.network, ticket.key());
    let mut request = [0; 32];
    world.net.between(Some(Box::new(move |frame: &mut Frame| {
        if frame.rpc == Rpc::Join {
            let envelope = wire::decode_envelope(&frame.bytes).unwrap();
            if frame.kind == FrameKind::Question {
                request = envelope.hash();
            } else if let Ok(mut answer) = envelope.claims::<JoinAnswer>() {
                change(&mut answer);
                let answer = answer.proved(&key, &request);
                let signed = node.identity().node.sign(&network, &answer);
                frame.bytes = wire::encode_envelope(&signed);
            }
        }
        Fate::Deliver
    })));
}

/// Whoever joins must not begin by trusting what its inviter made up.
#[tokio::test(start_paused = true)]
async fn an_approval_with_a_list_that_nobody_signed_makes_no_member() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital) = (&world.clinic, &world.hospital);
    let network = clinic.current_network().unwrap().id;
    let list = RevocationList {
        network,
        version: 1,
        previous: None,
        issued_at: clinic.world().now(),
        members: vec![MemberId([7; 16])],
    };
    let by_stranger = hospital.identity().authority.sign(&network, &list);
    let new = applicant(&world, 10);
    let ticket = ticket(clinic).await;
    assert_eq!(polled(&new, &ticket).await, None);
    let words = new.own_words(&ticket);
    clinic.approve(&admin(), &words).await.unwrap();

    answers(&world, &ticket, move |answer| {
        answer.revocations = Some(by_stranger.clone());
    });
    assert_eq!(code(new.poll_join().await), Some(Code::Signature));
    assert!(new.current_network().is_none() && new.pending_ticket().is_some());
    answers(&world, &ticket, |_| ());

    assert_eq!(new.poll_join().await.unwrap(), JoinState::Approved);
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_for_good_forgets_that_ticket_and_no_other() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let (refused, good) = (ticket(clinic).await, ticket(clinic).await);
    let new = applicant(&world, 10);
    assert_eq!(polled(&new, &refused).await, None);
    answers(&world, &refused, |answer| answer.state = JoinState::Refused);
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Refused);
    assert!(new.pending_ticket().is_none());
    new.join(&admin(), &refused).await.unwrap();
    let polling = {
        let new = new.shared();
        tokio::spawn(async move { new.poll_join().await.map(drop) })
    };
    pass(5).await;

    // Another ticket takes its place while the inviter is asked.
    new.join(&admin(), &good).await.unwrap();
    assert!(!polling.is_finished() && polling.await.unwrap().is_ok());

    let pending = new.pending_ticket().map(|ticket| ticket.name());
    assert_eq!(pending, Some(good.name()));
    world.net.between(None);
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Pending);
}
