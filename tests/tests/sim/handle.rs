//! Handles: bound to asker and purpose, and worth nothing by themselves.

use chartmesh_core::{
    ports::{Clock, Journal},
    records::{Batch, HandleReceived, HandleRecord, RecordKind, Scope},
    types::{
        Code, Handle, MemberId, Purpose, Timestamp,
        limits::{HANDLE_VALID, HANDLES_PER_ASKER_MAX},
    },
    wire,
};
use chartmesh_tests::SimNode;

use crate::scenario::*;

/// Puts a handle into an asker's journal, as if its holder had given it.
pub(crate) async fn plant(asker: &SimNode, handle: Handle, holder: MemberId) {
    let mut batch = Batch::default();
    let received = HandleReceived {
        handle,
        holder,
        patient: None,
        until: Timestamp(u64::MAX),
    };
    let body = wire::encode_handle_received(&received);
    batch.push(RecordKind::HandleReceived, Scope::Store, body);
    assert!(asker.world().commit(batch).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_handle_serves_its_asker_and_its_purpose_only() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    grant(clinic, rosa, urgent).await;
    // A consent of its own, so that only the handle can be what stops it.
    grant(clinic, rosa, hospital).await;
    let handle = located(urgent, clinic).await;
    assert!(fetch(urgent, handle, document).await.is_ok());

    plant(hospital, handle, clinic.member()).await;
    let borrowed = code(fetch(hospital, handle, document).await);
    assert_eq!(borrowed, Some(Code::HandleUnknown));
    let own = located(hospital, clinic).await;
    assert!(fetch(hospital, own, document).await.is_ok());
    let covered = fetch_for(urgent, handle, document, Purpose::Etreat).await;
    assert!(covered.is_ok(), "treatment covers emergency treatment");
    let other = fetch_for(urgent, handle, document, Purpose::Hoperat).await;
    assert_eq!(code(other), Some(Code::Denied));
    let said = statement(rosa, urgent.member(), &[Purpose::Hoperat]);
    clinic.state_consent(&clinician(), said).await.unwrap();
    let other = fetch_for(urgent, handle, document, Purpose::Hoperat).await;
    assert_eq!(code(other), Some(Code::HandleUnknown), "asked for another");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_an_expired_and_an_evicted_handle_are_one_answer() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let unknown = Handle([9; 20]);
    plant(urgent, unknown, clinic.member()).await;
    assert_eq!(
        code(fetch(urgent, unknown, document).await),
        Some(Code::HandleUnknown)
    );

    let expired = located(urgent, clinic).await;
    assert!(fetch(urgent, expired, document).await.is_ok());
    pass(HANDLE_VALID.0).await;
    plant(urgent, expired, clinic.member()).await;
    assert_eq!(
        code(fetch(urgent, expired, document).await),
        Some(Code::HandleUnknown)
    );

    let evicted = located(urgent, clinic).await;
    assert!(fetch(urgent, evicted, document).await.is_ok());
    let mut batch = Batch::default();
    for number in 0..HANDLES_PER_ASKER_MAX as u32 {
        let mut handle = [1; 20];
        handle[..4].copy_from_slice(&number.to_be_bytes());
        let record = HandleRecord {
            handle: Handle(handle),
            asker: urgent.member(),
            patient: rosa,
            purpose: Purpose::Treat,
            query_hash: [0; 32],
            until: clinic.world().now().plus(HANDLE_VALID),
        };
        let body = wire::encode_handle(&record);
        batch.push(RecordKind::Handle, Scope::Patient(rosa), body);
    }
    assert!(clinic.world().commit(batch).await.is_ok());
    assert_eq!(
        code(fetch(urgent, evicted, document).await),
        Some(Code::HandleUnknown)
    );
}

#[tokio::test(start_paused = true)]
async fn a_handle_survives_a_restart_of_both_ends() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    grant(&world.clinic, rosa, &world.urgent).await;
    let handle = located(&world.urgent, &world.clinic).await;

    let _clinic = world.clinic.restarted();
    let urgent = world.urgent.restarted();

    assert_eq!(fetch(&urgent, handle, document).await.unwrap(), TEXT);
}
