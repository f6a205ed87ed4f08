//! Freshness of trust: heartbeats, staleness, partitions, and members that lie about all of it.

use chartmesh_core::{
    audit::Kind as Audited,
    locator::Answer,
    membership::{Heartbeat, RevocationList, Status},
    ports::{Clock, Rpc},
    types::{
        Code, MemberId, PeerCode, Purpose, Span,
        limits::{DENIALS_WHOLE_MAX, HEARTBEAT_EVERY, MAX_STALENESS},
    },
    wire::TrustAnswer,
};
use chartmesh_tests::SimNode;

use crate::{liar::Liar, revoke::listen, scenario::*};

fn stale(node: &SimNode) -> bool {
    node.trust().unwrap().stale
}

fn version(node: &SimNode) -> u64 {
    node.trust().unwrap().version
}

async fn throw_out(authority: &SimNode, member: MemberId) {
    let revoked = authority.revoke_member(&admin(), member, "lost").await;
    revoked.unwrap();
}

fn told(ledger: &chartmesh_core::locator::Ledger, holder: &SimNode) -> Option<PeerCode> {
    match answer(ledger, holder.member()) {
        Answer::Refused(code) => Some(*code),
        _ => None,
    }
}

/// Hard case: a release that was fetched for while trust was fresh.
#[tokio::test(start_paused = true)]
async fn past_max_staleness_a_node_discloses_nothing_and_says_so() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    pass(MAX_STALENESS.0 - 60_000).await;
    let handle = located(urgent, clinic).await;
    assert!(fetch(urgent, handle, document).await.is_ok());
    assert!(!stale(clinic));

    pass(120_000).await;

    assert!(stale(clinic));
    let stale_code = Some(Code::TrustStale);
    assert_eq!(code(fetch(urgent, handle, document).await), stale_code);
    let until = clinic.world().now().plus(Span::seconds(10));
    let wanted = chartmesh_core::flows::Wanted::default();
    let listed = urgent
        .list(&clinician(), handle, Purpose::Treat, &wanted, until)
        .await;
    assert_eq!(code(listed), stale_code);
    let ledger = locate(urgent).await;
    assert_eq!(told(&ledger, clinic), Some(PeerCode::TrustStale));
    let denied = audited(clinic, Audited::Denied).await;
    assert!(denied.iter().any(|entry| entry.code == stale_code));
    // Its own people notice nothing.
    assert_eq!(clinic.patients("portillo").len(), 1);
    add(clinic, sam_bundle()).await;
    clinic
        .locate(&clinician(), &search(Purpose::Treat))
        .await
        .unwrap();
    // Who may sign does, and all is well again; the others hear it.
    clinic.beat().await.unwrap();
    assert!(!stale(clinic) && stale(urgent));
    urgent.exchange_trust(clinic.member()).await.unwrap();
    assert!(!stale(urgent));
    assert!(fetch(urgent, handle, document).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn breaking_the_glass_is_not_stopped_by_stale_trust() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let asked = async || {
        let ledger = world
            .urgent
            .locate(&clinician(), &search(Purpose::Btg))
            .await;
        ledger.map(|ledger| told(&ledger, clinic))
    };
    let fresh = asked().await.map_err(|error| error.code());

    pass(MAX_STALENESS.0 + 60_000).await;

    assert!(stale(clinic));
    // There are no sessions for it yet: whatever it is told, it is not that.
    let late = asked().await.map_err(|error| error.code());
    assert_eq!(late, fresh);
    assert_ne!(late, Ok(Some(PeerCode::TrustStale)));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_every_heartbeat_every_and_reach_all() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let confirmed = |node: &SimNode| node.trust().unwrap().confirmed;
    let mut seen = std::collections::BTreeSet::new();

    for _ in 0..48 * 60 {
        pass(60_000).await;
        clinic.beat().await.unwrap();
        urgent.beat().await.unwrap();
        urgent.exchange_trust(clinic.member()).await.unwrap();
        seen.insert(confirmed(clinic));
        assert_eq!(confirmed(urgent), confirmed(clinic));
        let age = clinic.world().now().since(confirmed(clinic));
        assert!(age.0 <= HEARTBEAT_EVERY.0 + 60_000);
    }

    // The first is the founder's.
    assert_eq!(seen.len() as u64, 1 + Span::hours(48).0 / HEARTBEAT_EVERY.0);
    let urgent = urgent.restarted();
    assert_eq!(confirmed(&urgent), confirmed(clinic), "kept in the journal");
}

/// A node cut off for longer than it may be, while others were thrown out.
#[tokio::test(start_paused = true)]
async fn a_partition_heals_to_the_highest_list() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let mut thrown = Vec::new();
    for seed in 10..13 {
        let new = SimNode::start(
            &world.net,
            &chartmesh_tests::SimDisk::default(),
            start(seed, "Newcomer", chartmesh_core::types::Kind::Clinic),
        );
        admit(clinic, &new).await;
        thrown.push(new);
    }
    for node in [hospital, urgent] {
        node.sync_members(clinic.member()).await.unwrap();
    }
    throw_out(clinic, thrown[0].member()).await;
    for node in [hospital, urgent] {
        node.exchange_trust(clinic.member()).await.unwrap();
        assert_eq!(version(node), 1);
    }
    let cut = |from: &SimNode, to: &SimNode| world.net.cut(from.node_key(), to.node_key());
    for other in [clinic, urgent] {
        cut(hospital, other);
        cut(other, hospital);
    }

    throw_out(clinic, thrown[1].member()).await;
    urgent.exchange_trust(clinic.member()).await.unwrap();
    throw_out(clinic, thrown[2].member()).await;
    pass(MAX_STALENESS.0 + 1).await;
    clinic.beat().await.unwrap();

    assert!(stale(hospital) && !stale(clinic));
    assert_eq!(
        (version(clinic), version(urgent), version(hospital)),
        (3, 2, 1)
    );
    assert!(hospital.is_member(thrown[2].node_key()), "it cannot know");
    world.net.heal();
    // First from one that is behind itself, then from one that is not.
    hospital.exchange_trust(urgent.member()).await.unwrap();
    assert_eq!(version(hospital), 2);
    urgent.exchange_trust(clinic.member()).await.unwrap();
    hospital.exchange_trust(urgent.member()).await.unwrap();
    assert_eq!((version(urgent), version(hospital)), (3, 3));
    assert!(!stale(hospital) && !hospital.is_member(thrown[2].node_key()));
    let hospital = hospital.restarted();
    assert_eq!(version(&hospital), 3);
    assert!(!hospital.trust().unwrap().conflict);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_does_not_make_trust_fresh_again() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    pass(MAX_STALENESS.0 - 60_000).await;
    let handle = located(urgent, clinic).await;
    assert!(fetch(urgent, handle, document).await.is_ok());
    pass(120_000).await;
    let told = code(fetch(urgent, handle, document).await);
    assert_eq!(told, Some(Code::TrustStale));

    clinic.world().set_clock_offset(-(Span::days(1).0 as i64));

    assert!(stale(clinic));
    let told = code(fetch(urgent, handle, document).await);
    assert_eq!(told, Some(Code::TrustStale));
}

/// A member that gives old, forged, foreign and contradicting lists and heartbeats.
#[tokio::test(start_paused = true)]
async fn a_member_that_lies_about_who_was_revoked_changes_nothing() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let liar = Liar::at(&world.net, hospital, 2);
    let network = clinic.current_network().unwrap().id;
    let now = clinic.world().now();
    let honest = RevocationList {
        network,
        version: 1,
        previous: None,
        issued_at: now,
        members: vec![MemberId([7; 16])],
    };
    let authority = &clinic.identity().authority;
    let stranger = &hospital.identity().authority;
    let elsewhere = chartmesh_core::types::NetworkId([9; 32]);
    let mut foreign = honest.clone();
    foreign.network = elsewhere;
    let mut altered = authority.sign(&network, &honest);
    altered.body = stranger.sign(&network, &foreign).body;
    let ahead = RevocationList {
        issued_at: now.plus(Span::days(1)),
        ..honest.clone()
    };
    let lies = [
        (stranger.sign(&network, &honest), Code::Signature),
        (authority.sign(&elsewhere, &honest), Code::Signature),
        (authority.sign(&network, &foreign), Code::WrongRecipient),
        (altered, Code::Signature),
        (authority.sign(&network, &ahead), Code::ClockSkew),
    ];
    for (lie, expected) in lies {
        let before = refusals(urgent).await.len();
        liar.says(Rpc::Trust, move |answer: &mut TrustAnswer| {
            answer.revocations = Some(lie.clone());
        });
        let told = urgent.exchange_trust(hospital.member()).await;
        assert_eq!(told, Err(PeerCode::Unavailable), "{expected}");
        assert_eq!(refusals(urgent).await[before..], [expected]);
        assert_eq!(version(urgent), 0);
    }
    // A heartbeat of the future, which would keep trust fresh for ever, and one by a stranger.
    let status = &clinic.identity().status();
    for (signer, ahead, expected) in [
        (status, Span::days(300), Code::ClockSkew),
        (stranger, Span(0), Code::Signature),
    ] {
        let before = refusals(urgent).await.len();
        let confirmed = urgent.trust().unwrap().confirmed;
        let lie = signer.sign(&network, &Heartbeat::of(network, None, now.plus(ahead)));
        liar.says(Rpc::Trust, move |answer: &mut TrustAnswer| {
            answer.heartbeat = Some(lie.clone());
        });
        let told = urgent.exchange_trust(hospital.member()).await;
        assert_eq!(told, Err(PeerCode::Unavailable));
        assert_eq!(refusals(urgent).await[before..], [expected]);
        assert_eq!(urgent.trust().unwrap().confirmed, confirmed);
    }
    // The same from a member that tells the truth.
    let truth = authority.sign(&network, &honest);
    liar.says(Rpc::Trust, move |answer: &mut TrustAnswer| {
        answer.revocations = Some(truth.clone());
    });
    assert!(urgent.exchange_trust(hospital.member()).await.is_ok());
    assert_eq!(version(urgent), 1);
}

#[tokio::test(start_paused = true)]
async fn an_older_list_fed_by_a_member_frees_nobody() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    throw_out(clinic, urgent.member()).await;
    hospital.exchange_trust(clinic.member()).await.unwrap();
    let network = clinic.current_network().unwrap().id;
    let older = RevocationList {
        network,
        version: 1,
        previous: None,
        issued_at: clinic.world().now(),
        members: vec![MemberId([7; 16])],
    };
    throw_out_again(clinic, &world).await;
    hospital.exchange_trust(clinic.member()).await.unwrap();
    assert_eq!(version(hospital), 2);
    let old = clinic.identity().authority.sign(&network, &older);
    let hospital = &hospital.restarted();
    let liar = Liar::at(&world.net, clinic, 1);
    liar.says(Rpc::Trust, move |answer: &mut TrustAnswer| {
        answer.revocations = Some(old.clone());
    });

    hospital.exchange_trust(clinic.member()).await.unwrap();

    assert_eq!(version(hospital), 2);
    assert!(!hospital.is_member(urgent.node_key()));
    assert!(!hospital.trust().unwrap().conflict);
}

async fn throw_out_again(clinic: &SimNode, world: &World) {
    let new = SimNode::start(
        &world.net,
        &chartmesh_tests::SimDisk::default(),
        start(10, "Newcomer", chartmesh_core::types::Kind::Clinic),
    );
    admit(clinic, &new).await;
    throw_out(clinic, new.member()).await;
}

/// An authority that signs two lists of one version, each shown to somebody else.
#[tokio::test(start_paused = true)]
async fn two_lists_of_one_version_are_an_alarm_and_both_are_kept() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let (one, other) = (MemberId([7; 16]), hospital.member());
    let urgent = &urgent.restarted();
    let liar = Liar::at(&world.net, clinic, 1);
    let network = clinic.current_network().unwrap().id;
    let list = |member| RevocationList {
        network,
        version: 1,
        previous: None,
        issued_at: clinic.world().now(),
        members: vec![member],
    };
    let authority = &clinic.identity().authority;
    let first = authority.sign(&network, &list(one));
    let second = authority.sign(&network, &list(other));
    let say = async |list: &chartmesh_core::crypto::Envelope| {
        let list = list.clone();
        liar.says(Rpc::Trust, move |answer: &mut TrustAnswer| {
            answer.revocations = Some(list.clone());
        });
        urgent.exchange_trust(clinic.member()).await.unwrap();
    };
    say(&first).await;
    assert!(!urgent.trust().unwrap().conflict);
    assert!(urgent.is_member(hospital.node_key()));

    say(&second).await;
    say(&second).await;

    let conflicts = audited(urgent, Audited::TrustConflict).await;
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].code, Some(Code::TrustConflict));
    assert!(urgent.trust().unwrap().conflict);
    assert!(!urgent.is_member(hospital.node_key()), "both are heeded");
    let urgent = urgent.restarted();
    assert!(urgent.trust().unwrap().conflict, "both are kept");
    assert!(!urgent.is_member(hospital.node_key()));
    let views = urgent.member_views();
    let view = views.iter().find(|view| view.credential.member == other);
    assert_eq!(view.map(|view| view.status), Some(Status::Revoked));
}

/// Hard case: what is known of the members is the same everywhere, so that nobody has to list them.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_reaches_everybody_at_once_and_brings_nothing_else_along() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    for one in [clinic, hospital, urgent] {
        for other in [clinic, hospital, urgent] {
            if one.member() != other.member() {
                one.sync_members(other.member()).await.unwrap();
            }
        }
    }
    for node in [clinic, hospital, urgent] {
        listen(node);
    }
    pass(HEARTBEAT_EVERY.0).await;
    let before = clinic.trust().unwrap().confirmed;
    world.net.rewind();

    clinic.beat().await.unwrap();
    pass(1_000).await;

    for node in [clinic, hospital, urgent] {
        assert!(node.trust().unwrap().confirmed > before);
    }
    let tape = world.net.tape();
    let listed = tape.iter().filter(|frame| frame.rpc == Rpc::Members);
    assert_eq!(listed.count(), 0);
}

/// Hard case: the member is honest every other time, so that its lies are not all there is.
#[tokio::test(start_paused = true)]
async fn the_lies_of_one_member_are_written_as_a_few_entries() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let liar = Liar::at(&world.net, hospital, 2);
    let network = clinic.current_network().unwrap().id;
    let now = clinic.world().now();
    let beat = Heartbeat::of(network, None, now);
    let forged = hospital.identity().authority.sign(&network, &beat);
    let honest = clinic.trust().unwrap().confirmed;
    let mut lies = false;
    liar.says(Rpc::Trust, move |answer: &mut TrustAnswer| {
        lies = !lies;
        answer.heartbeat = lies.then(|| forged.clone());
    });

    for _ in 0..3 * DENIALS_WHOLE_MAX {
        let told = urgent.exchange_trust(hospital.member()).await;
        assert_eq!(told.err(), Some(PeerCode::Unavailable));
        let told = urgent.exchange_trust(hospital.member()).await;
        assert!(told.is_ok());
    }

    let written = refusals(urgent).await;
    assert_eq!(written, vec![Code::Signature; DENIALS_WHOLE_MAX as usize]);
    assert_eq!(urgent.trust().unwrap().confirmed, honest);
}

/// Hard case: an answer that holds, and says nothing that is not known.
#[tokio::test(start_paused = true)]
async fn what_is_known_already_is_neither_written_nor_told_on() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let liar = Liar::at(&world.net, hospital, 2);
    let network = clinic.current_network().unwrap().id;
    let beat = |at| {
        let beat = Heartbeat::of(network, None, at);
        clinic.identity().status().sign(&network, &beat)
    };
    pass(60_000).await;
    listen(urgent);
    let says = async |at| {
        let beat = beat(at);
        liar.says(Rpc::Trust, move |answer: &mut TrustAnswer| {
            answer.heartbeat = Some(beat.clone());
        });
        let before = urgent.disk().writes();
        world.net.rewind();
        assert!(urgent.exchange_trust(hospital.member()).await.is_ok());
        pass(1_000).await;
        let tape = world.net.tape();
        let told = tape.iter().any(|frame| {
            frame.rpc == Rpc::Trust
                && frame.from == urgent.node_key()
                && frame.to == clinic.node_key()
        });
        (urgent.disk().writes() > before, told)
    };
    let at = clinic.world().now();
    assert_eq!(says(at).await, (true, true));

    assert_eq!(says(at).await, (false, false));
    assert_eq!(says(at.minus(Span(1))).await, (false, false));
}
