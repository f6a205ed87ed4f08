//! The whole way of a document, and who may open and close it.

use chartmesh_core::{
    audit::Kind as Audited,
    flows::Wanted,
    ports::{Journal, Rpc},
    records::{Batch, RecordKind, Scope, Target},
    types::{Code, Purpose, Span, Timestamp, limits::LIST_DEFAULT},
    wire,
};

use chartmesh_tests::{Frame, Kind};

use crate::scenario::*;

#[tokio::test(start_paused = true)]
async fn a_document_is_located_denied_granted_fetched_and_lost_again() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);

    let ledger = locate(urgent).await;
    assert_eq!(answer(&ledger, world.hospital.member()).term(), "no-match");
    assert!(ledger.complete());
    let handle = handle(&ledger, clinic);
    assert_eq!(
        code(fetch(urgent, handle, document).await),
        Some(Code::Denied)
    );

    let consent = grant(clinic, rosa, urgent).await;
    let until = Timestamp(u64::MAX);
    let wanted = Wanted::default();
    let (entries, complete) = urgent
        .list(&clinician(), handle, Purpose::Treat, &wanted, until)
        .await
        .unwrap();
    assert!(complete && entries.len() == 2 && entries.len() <= LIST_DEFAULT as usize);
    assert!(entries[0].on_demand, "the record bundle stands first");
    assert_eq!(entries[1].id, document);
    assert_eq!(fetch(urgent, handle, document).await.unwrap(), TEXT);

    let disclosed = audited(clinic, Audited::Disclosed).await;
    let received = audited(urgent, Audited::Received).await;
    let (there, here) = (&disclosed[0], received.last().unwrap());
    assert_eq!(disclosed.len(), 1);
    assert!(there.disclosure.is_some());
    assert_eq!(there.disclosure, here.disclosure);
    assert_eq!(there.receipt, here.receipt);
    assert_eq!(there.consent, Some(consent));
    let lines = clinic.accounting(rosa).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].recipient, urgent.member());
    assert_eq!(lines[0].purpose, Purpose::Treat);
    assert!(lines[0].description.contains("text/plain"));
    assert_eq!(Some(lines[0].disclosure), here.disclosure);

    clinic.revoke(&clinician(), consent).await.unwrap();
    assert_eq!(
        code(fetch(urgent, handle, document).await),
        Some(Code::Denied)
    );
    assert_eq!(audited(clinic, Audited::Disclosed).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_record_bundle_holds_every_resource_and_can_be_imported() {
    let Scene { world, rosa, .. } = three().await;
    grant(&world.clinic, rosa, &world.urgent).await;
    let handle = located(&world.urgent, &world.clinic).await;
    let summary = world.clinic.patient(rosa).unwrap().summary;

    let bytes = fetch(&world.urgent, handle, summary).await.unwrap();
    let again = fetch(&world.urgent, handle, summary).await.unwrap();

    assert_eq!(bytes, again, "one snapshot serves until the record changes");
    let bundle: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let types: Vec<&str> = bundle["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["resource"]["resourceType"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["Patient", "Observation", "Observation"]);
}

#[tokio::test(start_paused = true)]
async fn the_subject_comes_from_the_holders_record() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let sam = add(clinic, sam_bundle()).await;
    let of_sam = attach(clinic, sam, b"about Sam").await;
    // Consent for both, so that only the handle can be what decides.
    grant(clinic, rosa, urgent).await;
    grant(clinic, sam, urgent).await;
    let handle = located(urgent, clinic).await;

    assert_eq!(fetch(urgent, handle, document).await.unwrap(), TEXT);
    world.net.rewind();
    assert_eq!(
        code(fetch(urgent, handle, of_sam).await),
        Some(Code::HandleUnknown)
    );
    let summary = clinic.patient(sam).unwrap().summary;
    assert_eq!(
        code(fetch(urgent, handle, summary).await),
        Some(Code::HandleUnknown)
    );
    let beyond_the_head = |frame: &Frame| matches!(frame.kind, Kind::Leaves | Kind::Chunk(_));
    assert!(!world.net.tape().iter().any(beyond_the_head));
}

#[tokio::test(start_paused = true)]
async fn only_staff_of_the_holder_grant_and_revoke() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let handle = located(urgent, clinic).await;
    let wish = statement(rosa, urgent.member(), &[Purpose::Treat]);

    // The asker's own staff have no such patient, and no peer message says it for them.
    assert_eq!(
        code(urgent.state_consent(&clinician(), wish).await),
        Some(Code::PatientUnknown)
    );
    let consent = grant(clinic, rosa, &world.hospital).await;
    let stated = clinic.consents(rosa).unwrap();
    let mut forged = stated[0].clone();
    forged.target = Target::Any;
    let forged = wire::encode_consent(&forged);
    for rpc in Rpc::ALL {
        let told = clinic
            .serve(urgent.node_key(), rpc, forged.clone().into())
            .await;
        assert!(told.is_err());
    }
    assert_eq!(clinic.consents(rosa).unwrap().len(), 1);
    assert_eq!(
        code(fetch(urgent, handle, document).await),
        Some(Code::Denied)
    );
    assert_eq!(
        code(urgent.revoke(&clinician(), consent).await),
        Some(Code::ConsentUnknown)
    );

    let own = grant(clinic, rosa, urgent).await;
    assert!(fetch(urgent, handle, document).await.is_ok());
    clinic.revoke(&clinician(), own).await.unwrap();
    assert_eq!(
        code(fetch(urgent, handle, document).await),
        Some(Code::Denied)
    );
    assert_eq!(
        code(clinic.revoke(&clinician(), own).await),
        Some(Code::ConsentUnknown)
    );
}

#[tokio::test(start_paused = true)]
async fn a_backdated_grant_does_not_outlive_a_revocation() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let handle = located(urgent, clinic).await;
    let consent = grant(clinic, rosa, urgent).await;
    assert!(fetch(urgent, handle, document).await.is_ok());
    let granted = clinic.consents(rosa).unwrap().remove(0);
    clinic.revoke(&clinician(), consent).await.unwrap();

    // The same grant again, claimed to hold since long ago: replayed into the journal itself.
    let mut late = granted.clone();
    late.from = granted.from.minus(Span::days(365));
    for replayed in [granted, late] {
        let mut batch = Batch::default();
        let body = wire::encode_consent(&replayed);
        batch.push(RecordKind::Consent, Scope::Patient(rosa), body);
        assert!(clinic.world().commit(batch).await.is_ok());
        assert_eq!(
            code(fetch(urgent, handle, document).await),
            Some(Code::Denied)
        );
    }

    grant(clinic, rosa, urgent).await;
    assert!(fetch(urgent, handle, document).await.is_ok());
}
