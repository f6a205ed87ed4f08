//! A node that was restored from a backup, and the copy of it that somebody forgot.

use chartmesh_core::{
    audit::Kind as Audited,
    ports::{CallError, Clock},
    records::Disk,
    types::{Code, PeerCode},
};
use chartmesh_tests::{SimDisk, SimNode};

use crate::scenario::*;

/// What a restore makes of a backup of a node as it is.
fn restored(node: &SimNode) -> SimNode {
    let mut disk = SimDisk::default();
    for (name, bytes) in node.disk().files() {
        disk.replace(&name, &bytes).unwrap();
    }
    let incarnation = node.identity().incarnation.next(node.world().now());
    node.restored_on(&disk, incarnation)
}

const SUPERSEDED: CallError = CallError::Refused(PeerCode::Superseded);

/// Both copies run, with the same keys. Hard cases: the forgotten one goes on in a session that it began
/// before, and answers where a member's connection still leads to it; and the member starts anew.
#[tokio::test(start_paused = true)]
async fn a_forgotten_copy_is_refused_once_the_restored_one_was_heard_and_both_ends_are_told() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (twin, urgent) = (&world.clinic, &world.urgent);
    grant(twin, rosa, urgent).await;
    let handle = located(urgent, twin).await;
    assert!(fetch(urgent, handle, document).await.is_ok());
    assert!(twin.greet(urgent.node_key()).await.is_ok());
    assert!(twin.sync_members(urgent.member()).await.is_ok());

    let back = restored(twin);
    assert!(
        twin.sync_members(urgent.member()).await.is_ok(),
        "not heard yet"
    );
    back.greet(urgent.node_key()).await.unwrap();

    // In its old session, by a new Hello, and again.
    let synced = twin.sync_members(urgent.member()).await;
    assert_eq!(synced, Err(PeerCode::Superseded));
    assert_eq!(twin.greet(urgent.node_key()).await, Err(SUPERSEDED));
    assert_eq!(refusals(urgent).await.last(), Some(&Code::Superseded));
    assert_eq!(urgent.twins()[0].0, twin.member());
    assert_eq!(twin.superseded_by().unwrap().0, urgent.node_key());
    let told = audited(twin, Audited::Denied).await;
    assert_eq!(told.last().unwrap().code, Some(Code::Superseded));
    assert!(back.superseded_by().is_none() && twin.twins().is_empty());
    // Where it answers in the place of the restored one nothing of it is believed.
    world.net.attach(&twin.shared());
    assert!(fetch(urgent, handle, document).await.is_err());
    assert_eq!(urgent.greet(twin.node_key()).await, Err(SUPERSEDED));
    world.net.attach(&back.shared());
    assert_eq!(fetch(urgent, handle, document).await.unwrap(), TEXT);
    assert!(back.sync_members(urgent.member()).await.is_ok());

    let urgent = urgent.restarted();
    assert_eq!(twin.greet(urgent.node_key()).await, Err(SUPERSEDED));
    assert!(back.greet(urgent.node_key()).await.is_ok());
}

/// Who has not heard the restored copy itself hears of it from another member.
#[tokio::test(start_paused = true)]
async fn that_a_node_was_restored_travels_among_the_others() {
    let Scene { world, .. } = three().await;
    let (twin, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let back = restored(twin);
    back.greet(urgent.node_key()).await.unwrap();
    assert!(twin.greet(hospital.node_key()).await.is_ok());

    hospital.sync_members(urgent.member()).await.unwrap();

    assert_eq!(twin.greet(hospital.node_key()).await, Err(SUPERSEDED));
    assert!(back.greet(hospital.node_key()).await.is_ok());
}

/// Restored twice from one backup: the later restore counts, though the other signed its statements later.
#[tokio::test(start_paused = true)]
async fn of_two_restored_copies_the_higher_is_heeded_whatever_the_sequences_say() {
    let Scene { world, .. } = three().await;
    let urgent = &world.urgent;
    let first = restored(&world.clinic);
    pass(1_000).await;
    let second = restored(&world.clinic);
    assert!(first.identity().incarnation < second.identity().incarnation);
    first.greet(urgent.node_key()).await.unwrap();
    pass(60_000).await;
    let later = first.greet(urgent.node_key()).await;
    assert!(later.is_ok(), "with later sequences than the other has");

    second.greet(urgent.node_key()).await.unwrap();

    assert_eq!(first.greet(urgent.node_key()).await, Err(SUPERSEDED));
    assert!(second.sync_members(urgent.member()).await.is_ok());
}
