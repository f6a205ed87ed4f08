//! What was acknowledged is there after the power went, and nothing else is.

use chartmesh_core::{
    audit::Kind as Audited,
    flows::{Description, in_memory},
    records::Tail,
    types::{Code, Purpose},
};
use chartmesh_tests::Fault;

use crate::scenario::*;

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_there_after_a_crash_and_nothing_else() {
    for keep in [0, 1, 17, 60, 200, usize::MAX] {
        let Scene {
            world,
            rosa,
            document,
        } = three().await;
        let (clinic, urgent) = (&world.clinic, &world.urgent);
        let revoked = grant(clinic, rosa, &world.hospital).await;
        clinic.revoke(&clinician(), revoked).await.unwrap();
        let granted = grant(clinic, rosa, urgent).await;
        let handle = located(urgent, clinic).await;
        let before = (clinic.counts(), clinic.audit_head());
        // On its way to the disk and not yet there.
        let pending = {
            let clinic = clinic.shared();
            tokio::spawn(async move {
                let body = in_memory(&b"never acknowledged"[..]);
                let description = Description::default();
                clinic
                    .add_document(&clinician(), rosa, body, description)
                    .await
                    .map(|added| added.document)
            })
        };
        pass(1).await;

        clinic.crash(keep);
        let clinic = clinic.restarted();

        assert!(!pending.is_finished(), "nobody was told");
        let opened = clinic.opened.unwrap();
        assert_eq!(opened.problem, None);
        if keep == usize::MAX {
            assert_eq!(opened.tail, Tail::Clean);
            assert_eq!(clinic.counts().documents, before.0.documents + 1);
        } else {
            let torn = matches!(opened.tail, Tail::SetAside { .. });
            assert_eq!(torn, keep > 0);
            assert_eq!(clinic.counts(), before.0);
            assert_eq!(clinic.audit_head(), before.1);
        }
        let consents = clinic.consents(rosa).unwrap();
        assert_eq!(consents.len(), 2);
        assert!(consents[0].id == revoked && consents[0].revoked.is_some());
        assert!(consents[1].id == granted && consents[1].revoked.is_none());
        assert_eq!(fetch(urgent, handle, document).await.unwrap(), TEXT);
        let of_hospital = located(&world.hospital, &clinic).await;
        assert_eq!(
            code(fetch(&world.hospital, of_hospital, document).await),
            Some(Code::Denied)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_power_may_go_at_any_write_of_an_import() {
    let (mut stored, mut lost) = (0, 0);
    for write in 0..5 {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let world = three().await.world;
            let clinic = &world.clinic;
            let before = clinic.counts();
            clinic.disk().fail_write(write, fault);
            let importing = {
                let clinic = clinic.shared();
                let mode = chartmesh_core::flows::Mode::Store;
                tokio::spawn(
                    async move { clinic.import(&admin(), sam_bundle().into(), mode).await },
                )
            };
            pass(100).await;
            let told = importing.is_finished();

            let clinic = clinic.restarted();

            assert_eq!(clinic.opened.unwrap().problem, None);
            let after = clinic.counts();
            let all =
                after.patients == before.patients + 1 && after.resources == before.resources + 3;
            assert!(all || after == before, "whole or not at all");
            assert!(all || !told, "what was acknowledged is there");
            stored += usize::from(all);
            lost += usize::from(!all);
            // The same input again makes it whole and adds nothing twice.
            let mode = chartmesh_core::flows::Mode::Store;
            clinic
                .import(&admin(), sam_bundle().into(), mode)
                .await
                .unwrap();
            assert_eq!(clinic.counts().patients, before.patients + 1);
        }
    }
    assert!(stored > 1 && lost > 1, "{stored} {lost}");
}

#[tokio::test(start_paused = true)]
async fn members_handles_and_budget_of_nobody_depend_on_a_clean_stop() {
    let Scene { world, .. } = three().await;
    let handle = located(&world.urgent, &world.clinic).await;
    let members = world.urgent.member_views().len();
    assert_eq!(members, 3);

    let urgent = world.urgent.restarted();

    assert_eq!(urgent.member_views().len(), members);
    let told = fetch_for(
        &urgent,
        handle,
        chartmesh_core::types::DocumentId([1; 16]),
        Purpose::Treat,
    )
    .await;
    assert_eq!(code(told), Some(Code::Denied), "the handle is known");
    assert_eq!(audited(&urgent, Audited::LocateAsked).await.len(), 1);
}
