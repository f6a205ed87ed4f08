//! What a peer can make a node do by Hello and by its list of members.

use std::time::Duration;

use chartmesh_core::{
    ports::CallError,
    types::{
        PeerCode,
        limits::{CALL_TIME_MAX, MEMBER_WRITTEN_EVERY},
    },
};
use chartmesh_tests::SimNode;
use tokio::time::timeout;

use crate::scenario::*;

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
