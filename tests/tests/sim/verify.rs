//! What the node that keeps records can prove of them: its files, its log, and whose they are.

use chartmesh_core::{
    flows::FilesVerified,
    membership::{Rules, Template},
    ports::{Clock as _, Journal as _, Records as _},
    records::{Batch, Document, Manifest, RecordKind, Scope, StoreError, Target},
    types::{
        Code, DocumentId, FileId, Kind, PatientId, Purpose, Span,
        limits::{CHUNK_BYTES, SNAPSHOT_LIFE, SNAPSHOTS_MAX},
    },
    wire,
};
use chartmesh_tests::{Fault, SimNode};

use crate::scenario::*;

fn file_of(holder: &SimNode, patient: PatientId, document: DocumentId) -> FileId {
    let documents = holder.documents(patient).into_iter();
    let mut of_id = documents.filter(|(known, _)| known.id == document);
    of_id.next().unwrap().1.file
}

fn named(file: FileId) -> String {
    let hex: String = file.0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("files/{hex}")
}

const INTEGRITY: StoreError = StoreError::Integrity { position: 0 };

/// Hard case: damage in the last of several chunks, which nobody has asked for.
#[tokio::test(start_paused = true)]
async fn a_stored_file_that_was_changed_cut_or_lost_is_named_and_the_others_hold() {
    let Scene { world, rosa, .. } = three().await;
    let clinic = &world.clinic;
    let mut documents = Vec::new();
    let sam = add(clinic, sam_bundle()).await;
    for number in 0..6 {
        let text = vec![number; 2 * CHUNK_BYTES + 10];
        let of = [rosa, sam][usize::from(number % 2)];
        documents.push(attach(clinic, of, &text).await);
    }
    let whole = clinic.verify_files().await;
    let files = documents.len() as u64 + 1;
    let damaged = Vec::new();
    assert_eq!(whole, FilesVerified { files, damaged });

    let file = |index: usize| file_of(clinic, [rosa, sam][index % 2], documents[index]);
    let name = |index: usize| named(file(index));
    clinic.disk().tamper(&name(0), |bytes| {
        *bytes.last_mut().unwrap() ^= 1;
    });
    clinic.disk().tamper(&name(2), |bytes| bytes[0] ^= 1);
    clinic.disk().tamper(&name(3), |bytes| {
        bytes.pop();
    });
    clinic.world().remove_file(file(5)).await.unwrap();
    let found = clinic.verify_files().await;

    let mut damaged = vec![
        (documents[0], INTEGRITY),
        (documents[2], INTEGRITY),
        (documents[3], INTEGRITY),
        (documents[5], StoreError::Missing),
    ];
    damaged.sort_by_key(|(document, _)| *document);
    assert_eq!(found, FilesVerified { files, damaged });
}

/// One that is lost is made anew when it is asked for; nobody is told of damage.
#[tokio::test(start_paused = true)]
async fn a_snapshot_is_verified_while_it_serves_and_no_longer() {
    let world = network(Kind::Clinic, Rules::of(Template::OptIn)).await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let rosa = add(clinic, rosa_bundle()).await;
    grant(clinic, rosa, urgent).await;
    let summary = clinic.patient(rosa).unwrap().summary;
    world.net.set_latency(0);
    clinic.world().set_fsync(0);
    let handle = located(urgent, clinic).await;
    assert_eq!(clinic.verify_files().await.files, 0);
    let made = clinic.world().now();
    fetch(urgent, handle, summary).await.unwrap();
    let ends = made.plus(SNAPSHOT_LIFE);
    let snapshot = files(clinic).remove(0);
    let verified = clinic.verify_files().await;
    assert_eq!((verified.files, verified.damaged.len()), (1, 0));

    clinic.disk().tamper(&snapshot, |bytes| bytes[0] ^= 1);
    let until = |time| async move {
        pass(ends.since(clinic.world().now()).0 - time).await;
        clinic.verify_files().await
    };
    let last = until(1).await;
    assert_eq!((last.files, last.damaged[0].1), (1, INTEGRITY));
    let over = until(0).await;
    assert_eq!((over.files, over.damaged.len()), (0, 0));

    let handle = located(urgent, clinic).await;
    assert!(fetch(urgent, handle, summary).await.is_ok());
    for name in files(clinic) {
        let mut id = [0; 16];
        for (byte, digits) in id.iter_mut().zip(name.as_bytes()[6..].chunks(2)) {
            let digits = std::str::from_utf8(digits).unwrap();
            *byte = u8::from_str_radix(digits, 16).unwrap();
        }
        clinic.world().remove_file(FileId(id)).await.unwrap();
    }
    let lost = clinic.verify_files().await;
    assert_eq!((lost.files, lost.damaged.len()), (0, 0));
}

fn files(node: &SimNode) -> Vec<String> {
    let files = node.disk().files().into_keys();
    files.filter(|name| name.starts_with("files/")).collect()
}

/// Its last moment is the one before its end. Room is made before the next is written.
#[tokio::test(start_paused = true)]
async fn a_snapshot_gives_way_to_another_at_the_very_end_of_its_life() {
    for (before_ms, serves) in [(1, true), (0, false)] {
        let Scene { world, rosa, .. } = three().await;
        let (clinic, urgent) = (&world.clinic, &world.urgent);
        grant(clinic, rosa, urgent).await;
        let summary = clinic.patient(rosa).unwrap().summary;
        let stored = files(clinic);
        let handle = located(urgent, clinic).await;
        let asked = clinic.world().now();
        fetch(urgent, handle, summary).await.unwrap();
        let first = files(clinic);
        pass(SNAPSHOT_LIFE.0 - Span::minutes(1).0).await;
        let handle = located(urgent, clinic).await;
        let rest = asked.plus(SNAPSHOT_LIFE).since(clinic.world().now());
        pass(rest.0 - before_ms).await;
        clinic.disk().fail_write(1, Fault::Full);

        let got = fetch(urgent, handle, summary).await;

        if serves {
            assert_eq!(files(clinic), first);
            continue;
        }
        assert!(got.is_err());
        assert_eq!(files(clinic), stored);
        assert!(fetch(urgent, handle, summary).await.is_ok());
        assert_eq!(files(clinic).len(), first.len());
    }
}

#[tokio::test(start_paused = true)]
async fn the_file_of_the_oldest_of_more_than_snapshots_max_goes() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    let network = clinic.current_network().unwrap().id;
    let (document, manifest) = clinic.documents(rosa).remove(0);
    let ends = clinic.world().now().plus(SNAPSHOT_LIFE);
    let mut batch = Batch::default();
    for number in 0..SNAPSHOTS_MAX as u64 {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(1 + number).to_be_bytes());
        let manifest = Manifest {
            file: FileId(id),
            ..manifest.clone()
        };
        let snapshot = Document {
            id: DocumentId(id),
            manifest: clinic.identity().node.sign(&network, &manifest),
            snapshot: Some((0, ends.plus(Span(number)))),
            ..document.clone()
        };
        let body = wire::encode_document(&snapshot);
        batch.push(RecordKind::Document, Scope::Patient(rosa), body);
    }
    assert!(clinic.world().commit(batch).await.is_ok());
    let stored = files(clinic);
    for number in [1, 2] {
        let mut id = [0; 16];
        id[7] = number;
        let written = clinic.world().append_file(FileId(id), "old".into()).await;
        assert!(written.is_ok());
    }

    let summary = clinic.patient(rosa).unwrap().summary;
    assert!(fetch(urgent, handle, summary).await.is_ok());

    let now = files(clinic);
    let mut second = [0; 16];
    second[7] = 2;
    assert!(now.contains(&named(FileId(second))));
    assert_eq!(
        now.len(),
        stored.len() + 2,
        "the second, and the one asked for"
    );
}

#[tokio::test(start_paused = true)]
async fn of_a_patient_that_nobody_knows_nothing_is_told() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let target = Target::Member(urgent.member());
    let told = async |patient| {
        [
            code(clinic.access(patient).await),
            code(clinic.accounting(patient).await),
            code(clinic.explain(patient, &target, Purpose::Treat)),
            code(clinic.consents(patient)),
        ]
    };
    assert_eq!(told(rosa).await, [None; 4]);

    let unknown = Some(Code::PatientUnknown);
    assert_eq!(told(PatientId([9; 16])).await, [unknown; 4]);
    // The id of what belongs to nobody is no patient's.
    assert_eq!(told(PatientId([0; 16])).await, [unknown; 4]);
}
