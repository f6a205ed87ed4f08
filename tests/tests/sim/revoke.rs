//! A member is thrown out: refused by the next request, ended in what is under way, and not back.

use std::time::Duration;

use chartmesh_core::{
    audit::Kind as Audited,
    flows::{Fetch, Told},
    locator::Answer,
    membership::{JoinState, Status},
    ports::{CallError, Clock, Rpc},
    types::{
        Code, Kind, MemberId, PeerCode, Purpose,
        limits::{CHUNK_BYTES, NEWS_PAUSE, NEWS_TIME_MAX, REASON_CHARS_MAX},
    },
    wire::{self, Hello},
};
use chartmesh_tests::{Kind as FrameKind, SimDisk, SimNode};

use crate::scenario::*;

const REASON: &str = "laptop stolen";

async fn throw_out(authority: &SimNode, member: &SimNode) {
    let revoked = authority
        .revoke_member(&admin(), member.member(), REASON)
        .await
        .unwrap();
    assert_eq!(revoked.node, member.node_key());
}

/// Runs the loops by which the daemon tells and asks for news.
pub(crate) fn listen(node: &SimNode) {
    let (telling, asking) = (node.shared(), node.shared());
    tokio::spawn(async move {
        loop {
            telling.tell_news().await;
        }
    });
    tokio::spawn(async move {
        loop {
            asking.ask_for_news().await;
        }
    });
}

fn status(knower: &SimNode, member: &SimNode) -> Option<Status> {
    let views = knower.member_views().into_iter();
    let mut views = views.filter(|view| view.credential.member == member.member());
    views.next().map(|view| view.status)
}

fn refused(ledger: &chartmesh_core::locator::Ledger, holder: &SimNode) -> bool {
    matches!(
        answer(ledger, holder.member()),
        Answer::Refused(PeerCode::NotMember)
    )
}

/// Hard case: the members that did not revoke it themselves, and a question captured before.
#[tokio::test(start_paused = true)]
async fn a_revoked_member_is_refused_by_the_next_request_everywhere() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let ledger = locate(urgent).await;
    assert!(!refused(&ledger, clinic) && !refused(&ledger, hospital));
    let mut captured = world.net.tape();
    captured.retain(|frame| frame.rpc == Rpc::Locate && frame.kind == FrameKind::Question);

    throw_out(clinic, urgent).await;
    let ledger = locate(urgent).await;
    assert!(refused(&ledger, clinic));
    assert!(!refused(&ledger, hospital), "it has not heard of it yet");
    hospital.exchange_trust(clinic.member()).await.unwrap();
    let ledger = locate(urgent).await;

    assert!(refused(&ledger, clinic) && refused(&ledger, hospital));
    for node in [clinic, hospital] {
        assert_eq!(status(node, urgent), Some(Status::Revoked));
        assert!(!node.is_member(urgent.node_key()));
        let before = refusals(node).await;
        for frame in captured.iter().filter(|frame| frame.to == node.node_key()) {
            let told = node
                .serve(frame.from, Rpc::Locate, frame.bytes.clone())
                .await;
            assert_eq!(told.err(), Some(PeerCode::NotMember));
        }
        let told = urgent.greet(node.node_key()).await;
        assert_eq!(told, Err(CallError::Refused(PeerCode::NotMember)));
        let after = refusals(node).await;
        assert!(after.len() > before.len() + 1);
        assert!(
            after[before.len()..]
                .iter()
                .all(|code| *code == Code::KeyRevoked)
        );
    }
    // The others go on with each other, without a gap in their answers.
    let ledger = locate(hospital).await;
    assert_eq!(answer(&ledger, clinic.member()).term(), "match");
    assert!(ledger.complete());
    assert!(
        ledger
            .lines
            .iter()
            .all(|line| line.member != urgent.member())
    );
}

#[tokio::test(start_paused = true)]
async fn only_an_authority_revokes_once_with_a_reason_that_its_log_keeps() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let revoke = async |node: &SimNode, member: MemberId, reason: &str| {
        code(node.revoke_member(&admin(), member, reason).await)
    };
    let long = "x".repeat(REASON_CHARS_MAX + 1);
    for (node, member, reason, expected) in [
        (hospital, urgent.member(), REASON, Code::NotAuthority),
        (clinic, MemberId([9; 16]), REASON, Code::MemberUnknown),
        (clinic, clinic.member(), REASON, Code::MemberUnknown),
        (clinic, urgent.member(), " ", Code::Usage),
        (clinic, urgent.member(), &long, Code::Usage),
    ] {
        assert_eq!(revoke(node, member, reason).await, Some(expected));
    }
    assert_eq!(status(clinic, urgent), Some(Status::Active));

    assert_eq!(revoke(clinic, urgent.member(), &long[1..]).await, None);

    let again = revoke(clinic, urgent.member(), REASON).await;
    assert_eq!(again, Some(Code::KeyRevoked));
    let entries = audited(clinic, Audited::MemberRevoked).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].member, Some(urgent.member()));
    assert_eq!(entries[0].actor, "root");
    assert_eq!(entries[0].description, long[1..]);
    hospital.exchange_trust(clinic.member()).await.unwrap();
    let heard = audited(hospital, Audited::MemberRevoked).await;
    assert_eq!(heard[0].member, Some(urgent.member()));
    assert!(heard[0].actor.is_empty() && heard[0].description.is_empty());
}

/// Hard case: a holder that is told by somebody else while it streams.
#[tokio::test(start_paused = true)]
async fn a_fetch_under_way_ends_within_two_seconds() {
    let big: Vec<u8> = (0..200 * CHUNK_BYTES).map(|n| (n * 7) as u8).collect();
    let Scene { world, rosa, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let sam = hospital.patients("okafor")[0].id;
    for (holder, patient) in [(clinic, rosa), (hospital, sam)] {
        let document = attach(holder, patient, &big).await;
        grant(holder, patient, urgent).await;
        let mut wanted = search(chartmesh_core::types::Purpose::Treat);
        if patient == sam {
            wanted.demographics = demographics("Sam", "Okafor", "1988-11-30", "MRN-88-2");
        }
        let found = urgent.locate(&clinician(), &wanted).await.unwrap();
        let handle = handle(&found, holder);
        assert!(fetch(urgent, handle, document).await.is_ok());
        // One part a link's latency: the whole takes four seconds more than what came before.
        let fetching = {
            let urgent = urgent.shared();
            tokio::spawn(async move {
                let wanted = chartmesh_core::flows::Fetch {
                    handle,
                    document,
                    purpose: chartmesh_core::types::Purpose::Treat,
                };
                let (mut bytes, told): (Vec<u8>, Told<'_>) = (Vec::new(), (&|_, _| (), &|| true));
                urgent
                    .fetch(&clinician(), wanted, told, &mut bytes)
                    .await
                    .map(drop)
            })
        };
        pass(1_000).await;
        assert!(!fetching.is_finished());

        if patient == rosa {
            throw_out(clinic, urgent).await;
        } else {
            hospital.exchange_trust(clinic.member()).await.unwrap();
        }

        let ended = tokio::time::timeout(Duration::from_secs(2), fetching).await;
        assert!(ended.expect("in time").unwrap().is_err());
        assert_eq!(world.net.trace(), ["key left"], "of the fetch before");
        world.net.rewind();
        // The second holder hears of it only in its own turn.
        if patient == rosa {
            let told = urgent.greet(hospital.node_key()).await;
            assert!(told.is_ok());
        }
    }
}

/// Hard case: the revocation arrives while the release is being written to the disk.
#[tokio::test(start_paused = true)]
async fn no_key_leaves_to_a_member_once_its_revocation_has_returned() {
    let (mut fetched, mut refused) = (0, 0);
    for moment_ms in (0..300).step_by(3) {
        let Scene {
            world,
            rosa,
            document,
        } = three().await;
        let (clinic, urgent, net) = (&world.clinic, &world.urgent, &world.net);
        grant(clinic, rosa, urgent).await;
        let handle = located(urgent, clinic).await;
        clinic.world().set_fsync(1 + moment_ms % 11);
        net.rewind();
        let revoking = {
            let (clinic, net, member) = (clinic.shared(), net.clone(), urgent.member());
            tokio::spawn(async move {
                pass(moment_ms).await;
                let revoked = clinic.revoke_member(&admin(), member, REASON).await;
                net.note("revoke returned");
                revoked.unwrap();
            })
        };

        let got = fetch(urgent, handle, document).await;
        revoking.await.unwrap();

        let trace = net.trace();
        let key = trace.iter().position(|what| *what == "key left");
        let returned = trace.iter().position(|what| *what == "revoke returned");
        assert!(key.is_none() || key < returned, "{moment_ms}");
        fetched += usize::from(got.is_ok());
        refused += usize::from(got.is_err());
    }
    assert!(fetched > 10 && refused > 10, "{fetched} {refused}");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_member_does_not_come_back() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    throw_out(clinic, urgent).await;

    // Its statements, handed on by a member that has not heard of it.
    let known = clinic.sync_members(hospital.member()).await;
    assert_eq!(known, Ok(0));
    assert_eq!(status(clinic, urgent), Some(Status::Revoked));
    // A new ticket, in the hands of the same node.
    let clinic = clinic.restarted();
    assert_eq!(status(&clinic, urgent), Some(Status::Revoked));
    let fresh = start(10, "Newcomer", Kind::Clinic);
    let fresh = SimNode::start(&world.net, &SimDisk::default(), fresh);
    admit(&clinic, &fresh).await;
    let disk = SimDisk::default();
    let again = SimNode::start(&world.net, &disk, start(3, "Urgent care", Kind::UrgentCare));
    assert_eq!(again.member(), urgent.member());
    again.join(&admin(), &ticket(&clinic).await).await.unwrap();
    let told = code(again.poll_join().await);
    assert_eq!(told, Some(Code::TicketRefused));
    let refusals = audited(&clinic, Audited::JoinRefused).await;
    assert_eq!(
        refusals.last().and_then(|entry| entry.code),
        Some(Code::KeyRevoked)
    );
    // A newcomer knows at once whom not to trust.
    assert_eq!(fresh.trust().map(|trust| trust.version), Some(1));
    let told = again.greet(fresh.node_key()).await;
    assert!(told.is_err());
    assert!(!fresh.is_member(urgent.node_key()));
}

#[tokio::test(start_paused = true)]
async fn an_applicant_that_waits_is_refused_once_its_member_is_revoked() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let applicant = |seed| {
        let start = start(seed, "Applicant", Kind::Clinic);
        SimNode::start(&world.net, &SimDisk::default(), start)
    };
    let (one, other) = (applicant(10), applicant(11));
    for new in [&one, &other] {
        let ticket = ticket(clinic).await;
        new.join(&admin(), &ticket).await.unwrap();
        assert_eq!(new.poll_join().await.unwrap(), JoinState::Pending);
        clinic
            .approve(&admin(), &new.own_words(&ticket))
            .await
            .unwrap();
    }

    // Approved, and thrown out before it collected its credential.
    throw_out(clinic, &one).await;

    assert_eq!(code(one.poll_join().await), Some(Code::TicketRefused));
    assert_eq!(other.poll_join().await.unwrap(), JoinState::Approved);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_holder_is_not_asked_any_more() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let sam = hospital.patients("okafor")[0].id;
    let theirs = attach(hospital, sam, TEXT).await;
    grant(hospital, sam, clinic).await;
    let mut wanted = search(chartmesh_core::types::Purpose::Treat);
    wanted.demographics = demographics("Sam", "Okafor", "1988-11-30", "MRN-88-2");
    let found = clinic.locate(&clinician(), &wanted).await.unwrap();
    let handle = handle(&found, hospital);
    assert!(fetch(clinic, handle, theirs).await.is_ok());
    world.net.rewind();

    throw_out(clinic, hospital).await;
    let told = code(fetch(clinic, handle, theirs).await);

    assert_eq!(told, Some(Code::KeyRevoked));
    let to_it = |frame: &chartmesh_tests::Frame| frame.to == hospital.node_key();
    assert!(!world.net.tape().iter().any(to_it), "nothing is sent to it");
    let own = located(urgent, clinic).await;
    assert!(fetch(urgent, own, document).await.is_ok());
}

/// The one that decided tells everybody; who cannot be reached hears it from others.
#[tokio::test(start_paused = true)]
async fn everybody_hears_of_a_revocation_at_once() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let new = SimNode::start(
        &world.net,
        &SimDisk::default(),
        start(10, "Newcomer", Kind::Clinic),
    );
    admit(clinic, &new).await;
    for node in [hospital, urgent, &new] {
        for other in [clinic, hospital, urgent, &new] {
            if node.member() != other.member() {
                node.sync_members(other.member()).await.unwrap();
            }
        }
    }
    for node in [clinic, hospital, urgent, &new] {
        listen(node);
    }
    pass(1_000).await;
    world.net.cut(clinic.node_key(), hospital.node_key());
    assert_eq!(status(hospital, urgent), Some(Status::Active));

    throw_out(clinic, urgent).await;
    pass(1_000).await;

    assert_eq!(status(&new, urgent), Some(Status::Revoked));
    assert_eq!(
        status(hospital, urgent),
        Some(Status::Revoked),
        "from another"
    );
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_known_to_all_at_once() {
    let Scene { world, .. } = three().await;
    for node in [&world.clinic, &world.hospital, &world.urgent] {
        listen(node);
    }
    let new = SimNode::start(
        &world.net,
        &SimDisk::default(),
        start(10, "Newcomer", Kind::Clinic),
    );
    assert_eq!(status(&world.hospital, &new), None);

    admit(&world.clinic, &new).await;
    pass(1_000).await;

    assert_eq!(status(&world.hospital, &new), Some(Status::Active));
}

/// Hard case: one of those to be told is silent.
#[tokio::test(start_paused = true)]
async fn telling_takes_news_time_max_at_most_and_asking_rests_for_news_pause() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    // What joining brought.
    clinic.tell_news().await;
    world.net.cut(clinic.node_key(), hospital.node_key());
    throw_out(clinic, hospital).await;
    let new = SimNode::start(
        &world.net,
        &SimDisk::default(),
        start(10, "Newcomer", Kind::Clinic),
    );
    admit(clinic, &new).await;
    world.net.cut(clinic.node_key(), new.node_key());

    let began = clinic.world().now();
    clinic.tell_news().await;
    let told = clinic.world().now().since(began);
    assert!(told >= NEWS_TIME_MAX, "the newcomer is silent: {told}");
    assert!(told.0 < NEWS_TIME_MAX.0 + 1_000, "{told}");

    let began = urgent.world().now();
    urgent.ask_for_news().await;
    let rested = urgent.world().now().since(began);
    assert!(rested >= NEWS_PAUSE, "{rested}");
    assert_eq!(status(urgent, hospital), Some(Status::Revoked));
}

/// Hard case: the asker that only hears of it, from the one that decided.
#[tokio::test(start_paused = true)]
async fn a_fetch_from_a_holder_that_is_thrown_out_ends_at_once() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let sam = hospital.patients("okafor")[0].id;
    let document = attach(hospital, sam, &vec![7; 200 * CHUNK_BYTES]).await;
    let mut wanted = search(Purpose::Treat);
    wanted.demographics = demographics("Sam", "Okafor", "1988-11-30", "MRN-88-2");
    let mut fetching = Vec::new();
    for asker in [clinic, urgent] {
        grant(hospital, sam, asker).await;
        let found = asker.locate(&clinician(), &wanted).await.unwrap();
        let fetch = Fetch {
            handle: handle(&found, hospital),
            document,
            purpose: Purpose::Treat,
        };
        let asker = asker.shared();
        fetching.push(tokio::spawn(async move {
            let (mut bytes, told): (Vec<u8>, Told<'_>) = (Vec::new(), (&|_, _| (), &|| true));
            let got = asker.fetch(&clinician(), fetch, told, &mut bytes).await;
            code(got)
        }));
    }
    pass(1_000).await;
    assert!(fetching.iter().all(|fetching| !fetching.is_finished()));

    throw_out(clinic, hospital).await;
    pass(100).await;
    assert!(fetching[0].is_finished() && !fetching[1].is_finished());
    urgent.exchange_trust(clinic.member()).await.unwrap();
    pass(100).await;

    for ended in fetching {
        assert!(ended.is_finished());
        assert_eq!(ended.await.unwrap(), Some(Code::PeerUnreachable));
    }
}

/// The organisation keeps its name and its id, and buys another machine.
#[tokio::test(start_paused = true)]
async fn a_member_that_was_thrown_out_does_not_come_back_by_another_key() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let asks = async |seed: u8| {
        let start = start(seed, "Urgent care", Kind::UrgentCare);
        let new = SimNode::start_as(&world.net, &SimDisk::default(), start, urgent.member());
        new.join(&admin(), &ticket(clinic).await).await.unwrap();
        code(new.poll_join().await)
    };
    assert_eq!(asks(10).await, None, "it may ask to be issued another key");

    throw_out(clinic, urgent).await;

    assert_eq!(asks(11).await, Some(Code::TicketRefused));
    let refused = audited(clinic, Audited::JoinRefused).await;
    assert_eq!(refused.last().unwrap().code, Some(Code::KeyRevoked));
}

/// Hard case: a node that knows from the list alone that there was such a member.
#[tokio::test(start_paused = true)]
async fn who_was_thrown_out_is_refused_by_that_name_and_makes_nobody_ask_it() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let elsewhere = async |node: &SimNode| {
        let network = urgent.current_network().unwrap().id;
        let (from, identity) = (urgent.node_key(), urgent.identity());
        let tape = world.net.tape().into_iter();
        let mut said = tape.filter(|frame| {
            frame.from == from && frame.rpc == Rpc::Hello && frame.kind == FrameKind::Question
        });
        let said = wire::decode_envelope(&said.next_back().unwrap().bytes).unwrap();
        let mut hello = said.claims::<Hello>().unwrap();
        hello.charter_hash = [9; 32];
        world.net.rewind();
        let bytes = wire::encode_envelope(&identity.node.sign(&network, &hello));
        let told = node.serve(from, Rpc::Hello, bytes).await;
        let tape = world.net.tape();
        let asked = tape.iter().any(|frame| frame.rpc == Rpc::Charters);
        (told.err(), asked)
    };
    urgent.greet(clinic.node_key()).await.unwrap();
    let (_, asked) = elsewhere(clinic).await;
    assert!(asked, "a member is asked for the charter it goes by");
    urgent.greet(clinic.node_key()).await.unwrap();

    throw_out(clinic, urgent).await;
    let told = elsewhere(clinic).await;
    assert_eq!(told, (Some(PeerCode::NotMember), false));
    assert_eq!(refusals(clinic).await.last(), Some(&Code::KeyRevoked));

    let fresh = SimNode::start(
        &world.net,
        &SimDisk::default(),
        start(10, "Newcomer", Kind::Clinic),
    );
    admit(clinic, &fresh).await;
    let told = urgent.greet(fresh.node_key()).await;
    assert_eq!(told, Err(CallError::Refused(PeerCode::NotMember)));
    assert_eq!(refusals(&fresh).await, [Code::KeyRevoked]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_one_authority_signs_comes_with_a_heartbeat_about_it() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    pass(60_000).await;

    throw_out(clinic, urgent).await;
    let at = clinic.world().now();
    pass(60_000).await;
    clinic.beat().await.unwrap();
    hospital.exchange_trust(clinic.member()).await.unwrap();

    // One is enough, so that none is due.
    for node in [clinic, hospital] {
        let trust = node.trust().unwrap();
        assert_eq!(trust.version, 1);
        assert!(trust.confirmed <= at);
    }
}
