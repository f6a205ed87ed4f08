//! Long silences, statements that run out, two things at once, and lengths at the edge.

use std::sync::Arc;

use chartmesh_core::{
    flows::{FlowError, Mode, Wanted},
    membership::{JoinState, Rules, Template},
    ports::Clock,
    types::{
        Kind, PeerCode, Purpose, Span,
        limits::{
            CHALLENGE_SLOT, CHUNK_BYTES, JOIN_REQUESTS_MAX, KEY_SET_LIFE, LIST_MAX,
            NODE_RECORD_LIFE,
        },
    },
};
use chartmesh_tests::{SimDisk, SimNode};

use crate::scenario::*;

#[tokio::test(start_paused = true)]
async fn a_long_silence_costs_a_hello_and_nothing_else() {
    for silence in [Span(0), CHALLENGE_SLOT, Span::hours(1), NODE_RECORD_LIFE] {
        let Scene { world, .. } = three().await;
        let (clinic, urgent) = (&world.clinic, &world.urgent);
        locate(urgent).await;
        pass(silence.0).await;

        let ledger = locate(urgent).await;

        assert_eq!(answer(&ledger, clinic.member()).term(), "match");
        assert!(ledger.complete(), "{silence}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_set_that_ran_out_is_asked_for_anew() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    locate(urgent).await;
    pass(KEY_SET_LIFE.0 + 1).await;
    // What the daemon does before its own grows old.
    clinic.beat().await.unwrap();
    for node in [clinic, hospital, urgent] {
        node.refresh_statements();
    }
    for node in [hospital, urgent] {
        node.exchange_trust(clinic.member()).await.unwrap();
    }

    let ledger = locate(urgent).await;

    assert_eq!(answer(&ledger, clinic.member()).term(), "match");
    assert!(ledger.complete());
}

#[tokio::test(start_paused = true)]
async fn the_same_bundle_twice_at_once_is_stored_once() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let before = clinic.counts();
    let importing = || {
        let clinic = clinic.shared();
        tokio::spawn(async move {
            let input = sam_bundle().into();
            clinic.import(&admin(), input, Mode::Store).await.unwrap()
        })
    };

    let (first, second) = (importing(), importing());
    let (first, second) = (first.await.unwrap(), second.await.unwrap());

    assert_eq!((first.resources, second.resources), (3, 0));
    assert_eq!(clinic.counts().patients, before.patients + 1);
}

#[tokio::test(start_paused = true)]
async fn two_fetches_of_one_document_at_once_both_arrive() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;

    let both = futures::future::join(
        fetch(urgent, handle, document),
        fetch(urgent, handle, document),
    );
    let (first, second) = both.await;

    assert_eq!(first.unwrap(), TEXT);
    assert_eq!(second.unwrap(), TEXT);
    let lines = clinic.accounting(rosa).await.unwrap();
    assert_eq!(lines.len(), 2, "two keys left");
}

#[tokio::test(start_paused = true)]
async fn documents_of_every_length_around_a_chunk_arrive_whole() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    for len in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1] {
        let bytes = vec![0x5A; len];
        let document = attach(clinic, rosa, &bytes).await;

        assert_eq!(fetch(urgent, handle, document).await.unwrap(), bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_was_cut_short_says_so() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    for (limit, entries, complete) in [(0, 2, true), (1, 1, false), (LIST_MAX, 2, true)] {
        let wanted = Wanted {
            limit,
            ..Wanted::default()
        };
        let until = urgent.world().now().plus(Span::seconds(9));

        let listed = urgent
            .list(&clinician(), handle, Purpose::Treat, &wanted, until)
            .await
            .unwrap();

        assert_eq!((listed.0.len(), listed.1), (entries, complete));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_keeps_join_requests_max_waiting() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let mut waiting: Vec<Arc<SimNode>> = Vec::new();
    for number in 0..=JOIN_REQUESTS_MAX {
        let start = start(100 + number as u8, "Applicant", Kind::Clinic);
        let applicant = SimNode::start(&world.net, &SimDisk::default(), start);
        let ticket = ticket(clinic).await;
        applicant.join(&admin(), &ticket).await.unwrap();
        let told = applicant.poll_join().await;
        if number < JOIN_REQUESTS_MAX {
            assert_eq!(told.unwrap(), JoinState::Pending);
        } else {
            assert!(matches!(
                told,
                Err(FlowError::Peer {
                    code: PeerCode::OverBudget,
                    ..
                })
            ));
        }
        waiting.push(Arc::new(applicant));
    }
    let words = clinic.join_requests()[0].0.clone();
    clinic.approve(&admin(), &words).await.unwrap();
    let last = waiting.pop().unwrap();
    assert_eq!(last.poll_join().await.unwrap(), JoinState::Pending);
}

#[tokio::test(start_paused = true)]
async fn a_charter_that_allows_one_direct_question_gets_one() {
    let rules = Rules {
        direct_max: 1,
        ..Rules::of(Template::OptIn)
    };
    let Scene { world, .. } = three_with(rules).await;

    let ledger = locate(&world.urgent).await;

    let mut terms: Vec<&str> = ledger.lines.iter().map(|line| line.answer.term()).collect();
    terms.sort_unstable();
    assert_eq!(terms.iter().filter(|term| **term == "not-asked").count(), 1);
    assert!(!ledger.complete());
}
