//! Captured, repeated, delayed and misdirected questions.

use chartmesh_core::{
    audit::Kind as Audited,
    locator::Answer,
    ports::Rpc,
    types::{
        Code, NodeKey, PeerCode, Span,
        limits::{SESSIONS_PER_PEER_MAX, WINDOW_BITS},
    },
};
use chartmesh_tests::{Fate, Frame, Kind, SimNode};

use crate::scenario::*;

fn questions(world: &World, to: &SimNode, rpc: Rpc) -> Vec<Frame> {
    let mut tape = world.net.tape();
    tape.retain(|frame| {
        frame.to == to.node_key() && frame.rpc == rpc && frame.kind == Kind::Question
    });
    tape
}

fn first_question(world: &World, to: &SimNode, from: &SimNode) -> Frame {
    let mut asked = questions(world, to, Rpc::Members);
    asked.retain(|frame| frame.from == from.node_key());
    asked.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_captured_question_is_worth_nothing_now_or_after_a_restart() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let handle = located(urgent, clinic).await;
    let captured = questions(&world, clinic, Rpc::Locate).pop().unwrap();
    let replay = |node: &SimNode| {
        let (node, captured) = (node.shared(), captured.clone());
        async move { node.serve(captured.from, Rpc::Locate, captured.bytes).await }
    };

    // Not inside the seal: the answer that was given is the only one under its counter.
    let again = replay(clinic).await;
    assert_eq!(again.err(), Some(PeerCode::Unauthenticated));
    assert_eq!(refusals(clinic).await, [Code::Replayed]);
    let elsewhere = replay(&world.hospital).await;
    assert_eq!(elsewhere.err(), Some(PeerCode::Stale));
    assert_eq!(refusals(&world.hospital).await, [Code::Stale]);
    // The first question of a session carries what opens it, and names its sender inside.
    let first = first_question(&world, clinic, urgent);
    let as_another = clinic
        .serve(world.hospital.node_key(), Rpc::Members, first.bytes.clone())
        .await;
    assert!(as_another.is_ok(), "a sealed refusal");
    let as_stranger = clinic
        .serve(NodeKey([9; 32]), Rpc::Locate, captured.bytes.clone())
        .await;
    assert_eq!(as_stranger.err(), Some(PeerCode::NotMember));
    let as_other_call = clinic
        .serve(captured.from, Rpc::List, captured.bytes.clone())
        .await;
    assert_eq!(as_other_call.err(), Some(PeerCode::Unauthenticated));
    let now_refused = [
        Code::Replayed,
        Code::Signature,
        Code::NotMember,
        Code::Replayed,
    ];
    assert_eq!(refusals(clinic).await, now_refused);

    let clinic = clinic.restarted();
    assert_eq!(replay(&clinic).await.err(), Some(PeerCode::Stale));
    let with_key = clinic.serve(first.from, Rpc::Members, first.bytes).await;
    assert!(with_key.is_ok(), "it opens, and is refused inside");
    assert_eq!(refusals(&clinic).await[4..], [Code::Stale, Code::Stale]);
    assert_eq!(audited(&clinic, Audited::Located).await.len(), 1);
    // An honest asker is told Stale, says Hello and goes on, and its handle is still good.
    let ledger = locate(urgent).await;
    assert_eq!(answer(&ledger, clinic.member()).term(), "match");
    let rosa = clinic.patients("portillo")[0].id;
    grant(&clinic, rosa, urgent).await;
    let document = clinic.documents(rosa)[0].0.id;
    assert_eq!(fetch(urgent, handle, document).await.unwrap(), TEXT);
}

#[tokio::test(start_paused = true)]
async fn a_question_held_back_beyond_the_window_is_refused() {
    for (others, expected) in [
        (WINDOW_BITS - 2, vec![]),
        (WINDOW_BITS + 1, vec![Code::Replayed]),
    ] {
        let Scene { world, .. } = three().await;
        let (clinic, urgent) = (&world.clinic, &world.urgent);
        urgent.sync_members(clinic.member()).await.unwrap();
        let handle = located(urgent, clinic).await;
        world.net.set_latency(0);
        // Silence, not an error: the asker goes on in the same session.
        world.net.cut(urgent.node_key(), clinic.node_key());
        let wanted = chartmesh_core::flows::Wanted::default();
        let purpose = chartmesh_core::types::Purpose::Treat;
        let until = chartmesh_core::ports::Clock::now(urgent.world()).plus(Span::seconds(1));
        let listed = urgent
            .list(&clinician(), handle, purpose, &wanted, until)
            .await;
        assert!(listed.is_err());
        let held = questions(&world, clinic, Rpc::List).pop().unwrap();
        world.net.heal();
        for _ in 0..others {
            urgent.sync_members(clinic.member()).await.unwrap();
        }

        let told = clinic.serve(held.from, Rpc::List, held.bytes).await;

        let refused = told.err();
        assert_eq!(refused.is_some(), !expected.is_empty());
        assert_eq!(refusals(clinic).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_has_sessions_per_peer_max_places_and_loses_its_oldest() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let mut urgent = world.urgent.restarted();
    locate(&urgent).await;
    locate(&urgent).await;
    // Answered before, so it no longer carries what makes a session anew.
    let captured = questions(&world, clinic, Rpc::Locate).pop().unwrap();
    // The first of the session does, and must not make it anew either.
    let mut first = questions(&world, clinic, Rpc::Locate);
    first.retain(|frame| frame.from == captured.from);
    let first = first[first.len() - 2].clone();
    assert!(first.bytes.len() > captured.bytes.len() + 1_000);

    for session in 1..=SESSIONS_PER_PEER_MAX {
        let told = clinic
            .serve(captured.from, Rpc::Locate, captured.bytes.clone())
            .await;
        let known = Some(PeerCode::Unauthenticated);
        assert_eq!(told.err(), known, "session {session} is known");
        assert_eq!(refusals(clinic).await.len(), session);
        urgent = urgent.restarted();
        let ledger = locate(&urgent).await;
        assert_eq!(answer(&ledger, clinic.member()).term(), "match");
    }

    let told = clinic
        .serve(captured.from, Rpc::Locate, captured.bytes.clone())
        .await;
    assert_eq!(told.err(), Some(PeerCode::Stale));
    let told = clinic
        .serve(first.from, Rpc::Locate, first.bytes.clone())
        .await;
    assert_eq!(
        told.err(),
        Some(PeerCode::Stale),
        "ended, and not begun again"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_another_question_is_not_believed() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    locate(urgent).await;
    let ledger = locate(urgent).await;
    assert_eq!(answer(&ledger, clinic.member()).term(), "match");
    let holder = clinic.node_key();
    let of_holder = move |frame: &Frame| {
        frame.from == holder && frame.rpc == Rpc::Locate && frame.kind == Kind::Answer
    };
    let tape = world.net.tape();
    let earlier = tape.iter().rfind(|frame| of_holder(frame)).unwrap().clone();
    world.net.between(Some(Box::new(move |frame: &mut Frame| {
        if of_holder(frame) {
            frame.bytes = earlier.bytes.clone();
        }
        Fate::Deliver
    })));

    let ledger = locate(urgent).await;

    let told = answer(&ledger, clinic.member());
    assert!(matches!(told, Answer::Refused(PeerCode::Unauthenticated)));
    world.net.between(None);
    let ledger = locate(urgent).await;
    assert_eq!(answer(&ledger, clinic.member()).term(), "match");
}
