//! The order of effects: audit entry, key, revocation, whatever the moment.

use chartmesh_core::{
    audit::Kind as Audited,
    types::{Code, limits::SNAPSHOT_LIFE},
};
use chartmesh_tests::Fault;

use crate::scenario::*;

/// Hard case: the revocation arrives while the release is being written to the disk.
#[tokio::test(start_paused = true)]
async fn no_key_leaves_after_a_revocation_has_returned() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent, net) = (&world.clinic, &world.urgent, &world.net);
    let handle = located(urgent, clinic).await;
    let (mut fetched, mut refused, mut at_release) = (0, 0, 0);

    for moment_ms in 0..400 {
        let consent = grant(clinic, rosa, urgent).await;
        clinic.world().set_fsync(1 + moment_ms % 11);
        net.rewind();
        let revoking = {
            let (clinic, net) = (clinic.shared(), net.clone());
            tokio::spawn(async move {
                pass(moment_ms / 2).await;
                clinic.revoke(&clinician(), consent).await.unwrap();
                net.note("revoke returned");
            })
        };

        let got = fetch(urgent, handle, document).await;
        revoking.await.unwrap();

        let trace = net.trace();
        match got {
            Ok(bytes) => {
                assert_eq!(bytes, TEXT);
                assert_eq!(trace, ["key left", "revoke returned"], "{moment_ms}");
                fetched += 1;
            }
            Err(error) => {
                assert_eq!(error.code(), Code::Denied);
                assert!(!trace.contains(&"key left"), "{moment_ms}");
                at_release += usize::from(trace.contains(&"release refused"));
                refused += 1;
            }
        }
    }

    println!("{fetched} fetched, {refused} refused, {at_release} of them at the release");
    assert!(fetched > 50 && refused > 50, "both sides of the race");
    assert!(at_release > 5, "the decision is made again for the key");
}

/// The power goes at each write of the holder during a fetch.
#[tokio::test(start_paused = true)]
async fn no_key_leaves_before_its_entry_is_durable() {
    let (mut with_key, mut without) = (0, 0);
    for write in 0..7 {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let Scene {
                world,
                rosa,
                document,
            } = three().await;
            let (clinic, urgent) = (&world.clinic, &world.urgent);
            grant(clinic, rosa, urgent).await;
            let handle = located(urgent, clinic).await;
            clinic.disk().fail_write(write, fault);

            let got = fetch(urgent, handle, document).await;

            let key_left = world.net.trace().contains(&"key left");
            let clinic = clinic.restarted();
            let disclosed = audited(&clinic, Audited::Disclosed).await;
            assert!(!key_left || disclosed.len() == 1, "{write} {fault:?}");
            assert_eq!(got.is_ok(), key_left);
            with_key += usize::from(key_left);
            without += usize::from(!key_left);
        }
    }
    assert!(with_key >= 2 && without >= 4, "{with_key} {without}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_disk_is_full_or_broken_lets_no_key_out() {
    for (write, fault, halted) in [
        (0, Fault::Full, false),
        (2, Fault::Full, false),
        (1, Fault::Failed, true),
        (3, Fault::Failed, true),
    ] {
        let Scene {
            world,
            rosa,
            document,
        } = three().await;
        let (clinic, urgent) = (&world.clinic, &world.urgent);
        grant(clinic, rosa, urgent).await;
        let handle = located(urgent, clinic).await;
        clinic.disk().fail_write(write, fault);

        let told = code(fetch(urgent, handle, document).await);

        assert_eq!(told, Some(Code::PeerRefused), "{write} {fault:?}");
        assert!(!world.net.trace().contains(&"key left"));
        let again = fetch(urgent, handle, document).await;
        assert_eq!(again.is_ok(), !halted, "a full disk may have space again");
        assert_eq!(clinic.fold().problem().is_some(), halted);
        if halted {
            let clinic = clinic.restarted();
            assert!(audited(&clinic, Audited::Disclosed).await.is_empty());
            assert!(fetch(urgent, handle, document).await.is_ok());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_asker_whose_disk_is_full_is_handed_no_document() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    let before = urgent.disk().writes();
    assert!(fetch(urgent, handle, document).await.is_ok());
    let writes = urgent.disk().writes() - before;

    for write in 0..writes {
        urgent.disk().fail_write(write, Fault::Full);
        let told = fetch(urgent, handle, document).await;
        assert!(told.is_err(), "write {write} of {writes}");
        // What is left of the try must not stand in the way of the next.
        if !urgent.world().is_on() || urgent.fold().problem().is_some() {
            break;
        }
        assert!(fetch(urgent, handle, document).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_serves_for_a_day_and_then_its_file_goes() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let summary = clinic.patient(rosa).unwrap().summary;
    let files = || {
        let files = clinic.disk().files();
        files
            .keys()
            .filter(|name| name.starts_with("files/"))
            .count()
    };
    let stored = files();
    let handle = located(urgent, clinic).await;
    assert!(fetch(urgent, handle, summary).await.is_ok());
    assert!(fetch(urgent, handle, summary).await.is_ok());
    assert_eq!(files(), stored + 1);

    pass(SNAPSHOT_LIFE.0 + 1).await;
    let handle = located(urgent, clinic).await;
    assert!(fetch(urgent, handle, summary).await.is_ok());

    assert_eq!(files(), stored + 1);
}
