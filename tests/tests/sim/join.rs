//! Tickets and credentials, each bad one beside a good one.

use chartmesh_core::{
    membership::{JoinState, Rules, Template},
    ports::CallError,
    types::{
        Code, Kind, PeerCode, Span,
        limits::{TICKET_LIFE, TICKETS_MAX},
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
    assert_eq!(refusals(clinic).await.len(), 4);
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
    // Who asked in time goes on asking how the request stands.
    assert_eq!(in_time.poll_join().await.unwrap(), JoinState::Pending);
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
