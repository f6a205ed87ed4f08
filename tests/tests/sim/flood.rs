//! What one peer can make a node write.

use chartmesh_core::{
    audit::Kind as Audited,
    ports::Rpc,
    types::{Code, PeerCode, limits::DENIALS_WHOLE_MAX},
};

use crate::scenario::*;

#[tokio::test(start_paused = true)]
async fn a_flood_of_denials_is_written_as_a_few_entries_and_a_count() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let handle = located(urgent, clinic).await;
    for _ in 0..100 {
        let told = fetch(urgent, handle, document).await;
        assert_eq!(code(told), Some(Code::Denied));
    }

    let denied = audited(clinic, Audited::Denied).await;
    assert_eq!(denied.len(), DENIALS_WHOLE_MAX as usize);
    assert!(denied.iter().all(|entry| entry.patient == Some(rosa)));
    clinic.write_counted().await.unwrap();
    clinic.write_counted().await.unwrap();
    let entries = clinic.audit_entries(0, usize::MAX).await.unwrap();
    let counted: Vec<u64> = entries
        .iter()
        .map(|shown| &shown.logged.entry)
        .filter(|entry| entry.count > 1 && entry.code == Some(Code::Denied))
        .map(|entry| entry.count)
        .collect();
    assert_eq!(counted, [100 - u64::from(DENIALS_WHOLE_MAX)]);
    grant(clinic, rosa, urgent).await;
    assert!(fetch(urgent, handle, document).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn strangers_share_one_count_whatever_keys_they_make() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let before = clinic.audit_head().0;
    for stranger in 0..200_u8 {
        let told = clinic
            .serve(
                chartmesh_core::types::NodeKey([stranger; 32]),
                Rpc::Locate,
                vec![stranger; 90].into(),
            )
            .await;
        assert_eq!(told.err(), Some(PeerCode::NotMember));
    }

    let written = clinic.audit_head().0 - before;
    assert_eq!(written, u64::from(DENIALS_WHOLE_MAX));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_was_counted_nothing_is_written_and_nobody_is_asked_without_news() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let before = clinic.disk().writes();

    clinic.write_counted().await.unwrap();
    let most = std::time::Duration::from_secs(60);
    let asked = tokio::time::timeout(most, clinic.ask_for_news()).await;

    assert!(asked.is_err(), "it waits for as long as there is none");
    assert_eq!(clinic.disk().writes(), before);
}
