//! What a peer can make a node do by Hello and by its list of members.

use std::time::Duration;

use bytes::Bytes;
use chartmesh_core::{
    crypto::{Envelope, OpeningKey, SecretKey, SigningKey},
    flows::Wanted,
    membership::{Credential, HpkeKey, KeySet, Known, Subject, capability},
    ports::{CallError, Clock, Journal as _, Rpc},
    records::{Batch, Disk, RecordKind, Scope},
    types::{
        Code, Handle, Kind, MemberId, NetworkId, NodeKey, PeerCode, Purpose, Timestamp,
        limits::{
            CALL_TIME_MAX, CHALLENGE_SLOT, MEMBER_WRITTEN_EVERY, MEMBERS_PAGE_MAX,
            NODE_ADDRESSES_MAX,
        },
    },
    wire::{self, Head, Hello, MembersAnswer, Refused, TrustAnswer},
};
use chartmesh_tests::{Fate, Frame, Kind as FrameKind, SimDisk, SimNode, world::opening_seed};
use tokio::time::timeout;

use crate::{handle::plant, liar::Liar, scenario::*};

/// A member that takes a call and never answers holds nobody up for longer than a call may take.
#[tokio::test(start_paused = true)]
async fn a_silent_member_is_given_up() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital) = (&world.clinic, &world.hospital);
    let most = Duration::from_millis(CALL_TIME_MAX.0 + 1_000);
    assert!(clinic.greet(hospital.node_key()).await.is_ok());

    world.net.cut(hospital.node_key(), clinic.node_key());

    let greeted = timeout(most, clinic.greet(hospital.node_key())).await;
    assert_eq!(greeted, Ok(Err(CallError::Unreachable)));
    let listed = timeout(most, clinic.sync_members(hospital.member())).await;
    assert_eq!(listed, Ok(Err(PeerCode::Unavailable)));
    world.net.heal();
    assert!(clinic.greet(hospital.node_key()).await.is_ok());
}

fn address_of(knower: &SimNode, member: &SimNode) -> Vec<u8> {
    let views = knower.member_views();
    let view = views
        .iter()
        .find(|view| view.credential.member == member.member())
        .unwrap();
    view.addresses[0].clone()
}

/// A member that says another address in every Hello.
#[tokio::test(start_paused = true)]
async fn a_member_that_moves_all_the_time_is_written_once_in_member_written_every() {
    let Scene { world, .. } = three().await;
    let (mut clinic, hospital) = (world.clinic, &world.hospital);
    let moved = async |clinic: &SimNode, to: u8| {
        hospital.set_addresses(vec![vec![4, 10, 0, 0, to]]);
        hospital.greet(clinic.node_key()).await.unwrap();
        assert_eq!(address_of(clinic, hospital), [4, 10, 0, 0, to]);
    };
    pass(MEMBER_WRITTEN_EVERY.0).await;
    moved(&clinic, 1).await;
    moved(&clinic, 2).await;
    moved(&clinic, 3).await;

    clinic = clinic.restarted();
    assert_eq!(address_of(&clinic, hospital), [4, 10, 0, 0, 1]);

    moved(&clinic, 4).await;
    moved(&clinic, 5).await;
    pass(MEMBER_WRITTEN_EVERY.0).await;
    hospital.greet(clinic.node_key()).await.unwrap();
    clinic = clinic.restarted();
    assert_eq!(address_of(&clinic, hospital), [4, 10, 0, 0, 5]);
}

/// The credential of a member that was never admitted, or of one that was.
fn credential_of(authority: &SimNode, member: &SimNode, sequence: u64) -> Credential {
    let subject = Subject {
        member: member.member(),
        node_key: member.node_key(),
    };
    let network = authority.current_network().unwrap().id;
    let organization = member.identity().organization.clone();
    let now = authority.world().now();
    Credential::issue(network, subject, organization, sequence, now).unwrap()
}

fn bare(credential: Envelope) -> Known {
    Known {
        credential,
        key_set: None,
        node_record: None,
    }
}

/// A member whose list of members is forged, altered, old or another network's.
#[tokio::test(start_paused = true)]
async fn what_a_member_lies_about_others_is_passed_over() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let liar = Liar::at(&world.net, hospital, 2);
    let new = SimNode::start(
        &world.net,
        &SimDisk::default(),
        start(10, "Newcomer", Kind::Clinic),
    );
    let network = clinic.current_network().unwrap().id;
    let (authority, stranger) = (&clinic.identity().authority, &hospital.identity().authority);
    let credential = credential_of(clinic, &new, 1);
    let truth = bare(authority.sign(&network, &credential));
    let mut altered = truth.clone();
    let mut renamed = credential.clone();
    renamed.organization.name = "Somebody else".to_owned();
    altered.credential.body = stranger.sign(&network, &renamed).body;
    let mut elsewhere = credential.clone();
    elsewhere.network = NetworkId([9; 32]);
    let mut with_foreign_keys = truth.clone();
    with_foreign_keys.key_set = hospital_key_set(hospital);
    let lies = [
        bare(stranger.sign(&network, &credential)),
        altered,
        bare(authority.sign(&NetworkId([9; 32]), &credential)),
        bare(authority.sign(&network, &elsewhere)),
        with_foreign_keys,
    ];

    for (number, lie) in lies.into_iter().enumerate() {
        liar.says(Rpc::Members, move |answer: &mut MembersAnswer| {
            answer.known = vec![lie.clone()];
            answer.more = false;
        });
        let heard = urgent.sync_members(hospital.member()).await;
        assert_eq!(heard, Ok(0), "lie {number}");
        assert!(!urgent.is_member(new.node_key()), "lie {number}");
    }

    let known = truth.clone();
    liar.says(Rpc::Members, move |answer: &mut MembersAnswer| {
        answer.known = vec![known.clone()];
        answer.more = false;
    });
    assert_eq!(urgent.sync_members(hospital.member()).await, Ok(1));
    assert!(urgent.is_member(new.node_key()));
    // A newer credential, and then the older one again.
    let newer = bare(authority.sign(&network, &credential_of(clinic, &new, 2)));
    for (known, news) in [(newer, 1), (truth, 0)] {
        liar.says(Rpc::Members, move |answer: &mut MembersAnswer| {
            answer.known = vec![known.clone()];
            answer.more = false;
        });
        assert_eq!(urgent.sync_members(hospital.member()).await, Ok(news));
    }
    let views = urgent.member_views();
    let view = views
        .iter()
        .find(|view| view.credential.member == new.member());
    assert_eq!(view.map(|view| view.credential.sequence), Some(2));
}

/// The key set of another member, which says nothing of a newcomer.
fn hospital_key_set(hospital: &SimNode) -> Option<Envelope> {
    let network = hospital.current_network().unwrap().id;
    let public = OpeningKey::from_bytes(&opening_seed(2)).public();
    let subject = Subject {
        member: hospital.member(),
        node_key: hospital.node_key(),
    };
    let set = KeySet::issue(
        subject,
        1,
        vec![HpkeKey::xwing(public).unwrap()],
        hospital.identity().audit.public(),
        hospital.world().now(),
    );
    Some(hospital.identity().node.sign(&network, &set.unwrap()))
}

/// Says Hello for a member, with one thing in it changed.
async fn hello_with(
    world: &World,
    from: &SimNode,
    to: &SimNode,
    mut change: impl FnMut(&mut Hello) + Send + 'static,
) -> Result<(), CallError> {
    let (node, network) = (from.shared(), from.current_network().unwrap().id);
    world.net.between(Some(Box::new(move |frame: &mut Frame| {
        let says_hello = frame.rpc == Rpc::Hello
            && frame.kind == FrameKind::Question
            && frame.from == node.node_key();
        if says_hello {
            let envelope = wire::decode_envelope(&frame.bytes).unwrap();
            let mut hello = envelope.claims::<Hello>().unwrap();
            change(&mut hello);
            frame.bytes = wire::encode_envelope(&node.identity().node.sign(&network, &hello));
        }
        Fate::Deliver
    })));
    from.greet(to.node_key()).await.map(drop)
}

/// Hard case: the same credential under a charter that is known, which is then simply no member's.
#[tokio::test(start_paused = true)]
async fn a_hello_that_rests_on_a_charter_nobody_knows_is_refused_by_that_name() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let network = clinic.current_network().unwrap().id;
    let stranger = &urgent.identity().authority;
    let claimed = stranger.sign(&network, &credential_of(clinic, urgent, 2));
    // What is changed below is signed anew, so that only the change can be what is wrong.
    let _answers_another_question = hello_with(&world, urgent, clinic, |_| ()).await;
    assert!(refusals(clinic).await.is_empty());

    for (charter, expected) in [
        (None, Code::NotMember),
        (Some([9; 32]), Code::CharterMismatch),
    ] {
        let (before, claimed) = (refusals(clinic).await.len(), claimed.clone());
        let told = hello_with(&world, urgent, clinic, move |hello| {
            hello.credential = claimed.clone();
            hello.charter_hash = charter.unwrap_or(hello.charter_hash);
        });
        assert!(told.await.is_err());
        assert_eq!(refusals(clinic).await[before..], [expected]);
    }
}

/// A member that went on to another key, and whoever still has the old one.
#[tokio::test(start_paused = true)]
async fn a_hello_with_a_superseded_credential_is_refused() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    urgent.greet(hospital.node_key()).await.unwrap();
    assert!(hospital.is_member(urgent.node_key()));
    let mut newer = credential_of(clinic, urgent, 2);
    newer.node_key = NodeKey(SigningKey::from_seed(&SecretKey::new([77; 32])).public());
    let network = clinic.current_network().unwrap().id;
    let known = bare(clinic.identity().authority.sign(&network, &newer));
    let hospital = &hospital.restarted();
    let teller = Liar::at(&world.net, clinic, 1);
    teller.says(Rpc::Members, move |answer: &mut MembersAnswer| {
        answer.known.push(known.clone());
    });
    assert_eq!(hospital.sync_members(clinic.member()).await, Ok(1));
    world.net.between(None);

    let told = urgent.greet(hospital.node_key()).await;

    assert_eq!(told.err(), Some(CallError::Refused(PeerCode::NotMember)));
    assert_eq!(refusals(hospital).await, [Code::KeyRevoked]);
    assert!(!hospital.is_member(urgent.node_key()));
}

/// Puts something else in the place of each answer to a Hello.
fn hello_answered(world: &World, bytes: Bytes) {
    world.net.between(Some(Box::new(move |frame: &mut Frame| {
        if frame.rpc == Rpc::Hello && frame.kind == FrameKind::Answer {
            frame.bytes = bytes.clone();
        }
        Fate::Deliver
    })));
}

/// Hard case: the answer is the right member's, and as fresh as can be.
#[tokio::test(start_paused = true)]
async fn an_answer_to_another_hello_or_to_another_member_is_not_believed() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let answered = async |asker: &SimNode| {
        asker.greet(clinic.node_key()).await.unwrap();
        let tape = world.net.tape().into_iter();
        let mut answers = tape.filter(|frame| {
            frame.rpc == Rpc::Hello
                && frame.kind == FrameKind::Answer
                && frame.to == asker.node_key()
        });
        answers.next_back().unwrap().bytes
    };
    let unauthenticated = Err(CallError::Refused(PeerCode::Unauthenticated));

    for earlier in [answered(urgent).await, answered(hospital).await] {
        hello_answered(&world, earlier);
        assert_eq!(urgent.greet(clinic.node_key()).await, unauthenticated);
    }

    world.net.between(None);
    assert!(urgent.greet(clinic.node_key()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_told_where_a_full_disk_cannot_remember_it() {
    let Scene { world, .. } = three().await;
    let hospital = &world.hospital;
    let new = SimNode::start(
        &world.net,
        &SimDisk::default(),
        start(10, "Newcomer", Kind::Clinic),
    );
    admit(&world.clinic, &new).await;
    hospital.disk().fill(true);

    let told = new.greet(hospital.node_key()).await;

    assert_eq!(told, Err(CallError::Refused(PeerCode::Unavailable)));
    assert!(!hospital.is_member(new.node_key()));
    hospital.disk().fill(false);
    assert!(new.greet(hospital.node_key()).await.is_ok());
    assert!(hospital.is_member(new.node_key()));
}

#[tokio::test(start_paused = true)]
async fn the_transport_learns_where_members_are_and_the_node_what_they_do() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital) = (&world.clinic, &world.hospital);
    let view = || {
        let views = clinic.member_views().into_iter();
        let mut views = views.filter(|view| view.credential.member == hospital.member());
        views.next().unwrap()
    };
    hospital.greet(clinic.node_key()).await.unwrap();
    clinic.world().learned();
    assert!(!view().relays);

    let many = (0..=NODE_ADDRESSES_MAX as u8).map(|last| vec![4, 10, 0, 0, last]);
    hospital.set_addresses(many.collect());
    hospital.greet(clinic.node_key()).await.unwrap();
    assert_eq!(clinic.world().learned(), [hospital.node_key()]);
    assert_eq!(view().addresses.len(), NODE_ADDRESSES_MAX);
    hospital.set_capabilities(vec![capability::RELAY]);
    hospital.greet(clinic.node_key()).await.unwrap();
    assert!(view().relays);

    let new = SimNode::start(
        &world.net,
        &SimDisk::default(),
        start(10, "Newcomer", Kind::Clinic),
    );
    let ticket = ticket(clinic).await;
    new.join(&admin(), &ticket).await.unwrap();
    assert!(new.poll_join().await.is_ok());
    clinic.world().learned();
    let words = new.own_words(&ticket);
    clinic.approve(&admin(), &words).await.unwrap();
    assert_eq!(clinic.world().learned(), [new.node_key()]);
}

/// Hard case: a call that needs no Hello, since both have met.
#[tokio::test(start_paused = true)]
async fn a_member_is_seen_when_it_asks_when_it_answers_and_when_it_says_hello() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let seen = |knower: &SimNode, member: &SimNode| {
        let views = knower.member_views().into_iter();
        let mut views = views.filter(|view| view.credential.member == member.member());
        views.next().unwrap().last_seen
    };
    urgent.sync_members(clinic.member()).await.unwrap();

    for says_hello in [false, true] {
        pass(1_000).await;
        let before = Some(clinic.world().now());
        world.net.rewind();
        if says_hello {
            urgent.greet(clinic.node_key()).await.unwrap();
        } else {
            urgent.sync_members(clinic.member()).await.unwrap();
        }
        let tape = world.net.tape();
        assert_eq!(tape.iter().any(|frame| frame.rpc == Rpc::Hello), says_hello);
        assert!(seen(clinic, urgent) >= before);
        assert!(seen(urgent, clinic) >= before);
    }
}

/// Hard case: the session is the right one, so that the seal opens.
#[tokio::test(start_paused = true)]
async fn an_answer_that_names_another_member_key_asker_or_question_is_not_believed() {
    let Scene { world, .. } = three().await;
    let (hospital, urgent) = (&world.hospital, &world.urgent);
    let liar = Liar::at(&world.net, hospital, 2);
    type Lie = fn(&mut Head);
    let lies: [(Lie, bool); 6] = [
        (|_| (), true),
        (|head| head.member = MemberId([9; 16]), false),
        (|head| head.key = NodeKey([9; 32]), false),
        (|head| head.audience = MemberId([9; 16]), false),
        (|head| head.answers = Some([9; 32]), false),
        (|_| (), true),
    ];

    for (lie, holds) in lies {
        liar.says(Rpc::Trust, move |answer: &mut TrustAnswer| {
            lie(&mut answer.head);
        });
        let told = urgent.exchange_trust(hospital.member()).await;
        assert_eq!(told.is_ok(), holds);
    }
    liar.says_in(Some([9; 16]), Rpc::Trust, |_: &mut TrustAnswer| ());
    let told = urgent.exchange_trust(hospital.member()).await;
    assert_eq!(told.err(), Some(PeerCode::Unavailable));
    // A refusal is an answer too.
    let unknown = Handle([9; 20]);
    plant(urgent, unknown, hospital.member()).await;
    let listed = async || {
        let (wanted, until) = (Wanted::default(), Timestamp(u64::MAX));
        let listed = urgent
            .list(&clinician(), unknown, Purpose::Treat, &wanted, until)
            .await;
        code(listed)
    };
    liar.says(Rpc::List, |_: &mut Refused| ());
    assert_eq!(listed().await, Some(Code::HandleUnknown));
    liar.says(Rpc::List, |refused: &mut Refused| {
        refused.head.answers = Some([9; 32]);
    });
    assert_eq!(listed().await, Some(Code::Signature));
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_and_again_is_never_late_and_greets_a_member_that_came_back() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    for _ in 0..8 {
        pass(CHALLENGE_SLOT.0 / 2).await;
        urgent.sync_members(clinic.member()).await.unwrap();
    }
    assert!(refusals(clinic).await.is_empty());

    clinic.crash(0);
    let told = urgent.sync_members(clinic.member()).await;
    assert_eq!(told, Err(PeerCode::Unavailable));
    let clinic = clinic.restarted();
    let told = urgent.sync_members(clinic.member()).await;

    assert!(told.is_ok());
    assert!(
        refusals(&clinic).await.is_empty(),
        "it is not asked blindly"
    );
}

/// More members than one answer holds, and one that gives the same page for ever.
#[tokio::test(start_paused = true)]
async fn a_list_of_members_is_asked_for_page_by_page_to_its_end() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let network = clinic.current_network().unwrap().id;
    let known = |number: u64| {
        let mut id = [1; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let seed = [number.to_be_bytes(); 4].concat().try_into().unwrap();
        let key = SigningKey::from_seed(&SecretKey::new(seed));
        let subject = Subject {
            member: MemberId(id),
            node_key: NodeKey(key.public()),
        };
        let mut organization = urgent.identity().organization.clone();
        organization.name = format!("Organisation {number}");
        let now = clinic.world().now();
        let credential = Credential::issue(network, subject, organization, 1, now).unwrap();
        bare(clinic.identity().authority.sign(&network, &credential))
    };
    let more = 2 * MEMBERS_PAGE_MAX as u64;
    let mut batch = Batch::default();
    for number in 0..more {
        let body = wire::encode_member(&known(number));
        batch.push(RecordKind::Member, Scope::Store, body);
    }
    assert!(clinic.world().commit(batch).await.is_ok());
    let asked = |of: &SimNode| {
        let tape = world.net.tape().into_iter();
        let asked = tape.filter(|frame| {
            frame.rpc == Rpc::Members
                && frame.kind == FrameKind::Question
                && frame.to == of.node_key()
        });
        asked.count()
    };
    world.net.rewind();

    let heard = urgent.sync_members(clinic.member()).await;

    assert_eq!(heard, Ok(more as usize));
    assert_eq!(asked(clinic), 3);
    let liar = Liar::at(&world.net, hospital, 2);
    let same = known(more + 1);
    liar.says(Rpc::Members, move |answer: &mut MembersAnswer| {
        answer.known = vec![same.clone()];
        answer.more = true;
    });
    assert_eq!(urgent.sync_members(hospital.member()).await, Ok(1));
    assert_eq!(asked(hospital), 2);
}

/// Hard case: a disk so slow that the time is over between two members.
#[tokio::test(start_paused = true)]
async fn taking_over_a_list_of_members_ends_after_call_time_max() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let network = clinic.current_network().unwrap().id;
    let all: Vec<Known> = (20..25)
        .map(|seed| {
            let start = start(seed, &format!("Organisation {seed}"), Kind::Clinic);
            let new = SimNode::start(&world.net, &SimDisk::default(), start);
            let credential = credential_of(clinic, &new, 1);
            bare(clinic.identity().authority.sign(&network, &credential))
        })
        .collect();
    let liar = Liar::at(&world.net, hospital, 2);
    liar.says(Rpc::Members, move |answer: &mut MembersAnswer| {
        answer.known = all.clone();
        answer.more = false;
    });
    world.net.set_latency(0);
    urgent.greet(hospital.node_key()).await.unwrap();
    urgent.world().set_fsync(CALL_TIME_MAX.0 / 2);

    let heard = urgent.sync_members(hospital.member()).await;

    assert_eq!(heard, Ok(2));
    urgent.world().set_fsync(3);
    assert_eq!(urgent.sync_members(hospital.member()).await, Ok(3));
}

/// Two members tell of the same third at once, while the disk is slow.
#[tokio::test(start_paused = true)]
async fn what_two_members_say_of_a_third_at_once_is_written_once() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let network = clinic.current_network().unwrap().id;
    let told = |seed: u8| {
        let start = start(seed, &format!("Organisation {seed}"), Kind::Clinic);
        let new = SimNode::start(&world.net, &SimDisk::default(), start);
        let credential = credential_of(clinic, &new, 1);
        bare(clinic.identity().authority.sign(&network, &credential))
    };
    let liar = Liar::at(&world.net, hospital, 2);
    let journal_bytes = || {
        let len = urgent.disk().len("journal/00000000000000000001").unwrap();
        len.unwrap()
    };
    let heard = async |of_clinic: Known, of_hospital: Known| {
        let mut batch = Batch::default();
        let body = wire::encode_member(&of_clinic);
        batch.push(RecordKind::Member, Scope::Store, body);
        assert!(clinic.world().commit(batch).await.is_ok());
        liar.says(Rpc::Members, move |answer: &mut MembersAnswer| {
            answer.known = vec![of_hospital.clone()];
            answer.more = false;
        });
        let before = journal_bytes();
        let (one, two) = futures::join!(
            urgent.sync_members(clinic.member()),
            urgent.sync_members(hospital.member()),
        );
        (one.unwrap() + two.unwrap(), journal_bytes() - before)
    };
    urgent.world().set_fsync(50);
    let (different, two_records) = heard(told(20), told(21)).await;

    let same = told(22);
    let (once, one_record) = heard(same.clone(), same).await;

    assert_eq!((different, once), (2, 1));
    assert_eq!(one_record * 2, two_records);
}
