//! What a peer can make a node do by Hello and by its list of members.

use std::time::Duration;

use chartmesh_core::{
    crypto::{Envelope, OpeningKey, SecretKey, SigningKey},
    membership::{Credential, HpkeKey, KeySet, Known, Subject},
    ports::{CallError, Clock, Rpc},
    types::{
        Code, Kind, NetworkId, NodeKey, PeerCode,
        limits::{CALL_TIME_MAX, MEMBER_WRITTEN_EVERY},
    },
    wire::{self, Hello, MembersAnswer},
};
use chartmesh_tests::{Fate, Frame, Kind as FrameKind, SimDisk, SimNode, world::opening_seed};
use tokio::time::timeout;

use crate::{liar::Liar, scenario::*};

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
