//! Tickets and credentials, each bad one beside a good one.

use chartmesh_core::{
    audit::Kind as Audited,
    membership::{JoinState, Rules, Template},
    ports::CallError,
    types::{
        Code, Kind, PeerCode, Span,
        limits::{JOIN_REQUESTS_MAX, TICKET_LIFE, TICKETS_MAX},
    },
};
use chartmesh_tests::{SimDisk, SimNet, SimNode};

use crate::scenario::*;

fn applicant(world: &World, seed: u8) -> SimNode {
    let start = start(seed, &format!("Applicant {seed}"), Kind::Clinic);
    SimNode::start(&world.net, &SimDisk::default(), start)
}

async fn polled(applicant: &SimNode, ticket: &chartmesh_core::membership::Ticket) -> Option<Code> {
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
    for _ in 0..TICKETS_MAX {
        ticket(&clinic).await;
    }

    let beyond = clinic.invite(&admin(), TICKET_LIFE).await;
    assert_eq!(beyond.err().map(|error| error.code()), Some(Code::Usage));
    pass(TICKET_LIFE.0).await;
    assert!(clinic.invite(&admin(), TICKET_LIFE).await.is_ok());
}
