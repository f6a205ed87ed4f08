//! Snapshots of the on-demand bundle: one for a patient and a state of the record, kept for a while.

use std::collections::BTreeMap;

use super::{
    document::{Description, file_of, in_memory},
    error::FlowError,
    list::{FHIR_JSON, record_coding},
    node::Node,
    state::State,
};
use crate::{
    ports::World,
    records::{Batch, Document, Matter, RecordKind, Scope},
    types::{
        DocumentId, FileId, PatientId, Timestamp,
        limits::{RELEASE_WAIT_MAX, SNAPSHOT_LIFE, SNAPSHOTS_MAX},
    },
    wire,
};

impl<W: World> Node<W> {
    /// The patient's record as a FHIR `Bundle`, stored as a snapshot so that resume, hash and both
    /// audit entries name the same bytes. One snapshot serves until the record changes.
    ///
    /// # Errors
    /// [`FlowError::NotFound`], [`FlowError::Store`].
    pub(super) async fn snapshot(&self, patient: PatientId) -> Result<Document, FlowError> {
        let summary = self.patient(patient)?.summary;
        // A turn of its own: two fetches make one snapshot, and neither waits for an import nor keeps a revocation waiting.
        let making = self.turn(Matter::Snapshot(summary)).await;
        let now = self.now();
        let known = self.patient(patient)?;
        let (have, over) = {
            let state = self.state();
            let have = serving(&state, patient, known.revision, now);
            (have, files_of(&over(&state, now)))
        };
        if let Some(have) = have {
            return Ok(have);
        }
        for file in over {
            self.world.remove_file(file).await?;
        }
        let bytes = self.record_bundle(&known).await?;
        let key = self.patient_key(patient)?;
        let description = Description {
            coding: record_coding(),
            title: "Patient record".to_owned(),
            content_type: FHIR_JSON.to_owned(),
            format: "urn:hl7-org:fhir:r4:Bundle".to_owned(),
            date: Some(known.changed),
            ..Description::default()
        };
        let shows = Some((known.revision, now.plus(SNAPSHOT_LIFE)));
        let document = self
            .seal_document(patient, &key, in_memory(bytes), description, shows)
            .await?;
        let before = kept(&self.state());
        let mut batch = Batch::within(&making);
        batch.push(
            RecordKind::Document,
            Scope::Patient(patient),
            wire::encode_document(&document),
        );
        self.commit_files(batch, &[file_of(&document)?]).await?;
        let gone = {
            let state = self.state();
            let gone = before.iter().filter(|made| !is_kept(&state, made));
            files_of(&gone.cloned().collect::<Vec<_>>())
        };
        self.discard(&gone).await;
        Ok(document)
    }
}

fn snapshots(state: &State) -> impl Iterator<Item = (&Document, u64, Timestamp)> {
    let documents = state.documents.values().flat_map(BTreeMap::values);
    documents.filter_map(|document| {
        let (revision, until) = document.snapshot?;
        Some((document, revision, until))
    })
}

fn kept(state: &State) -> Vec<Document> {
    snapshots(state)
        .map(|(document, ..)| document.clone())
        .collect()
}

fn is_kept(state: &State, document: &Document) -> bool {
    let documents = state.documents.get(&document.patient);
    documents.is_some_and(|documents| documents.contains_key(&document.id))
}

fn files_of(documents: &[Document]) -> Vec<FileId> {
    let files = documents
        .iter()
        .filter_map(|document| file_of(document).ok());
    files.collect()
}

fn serving(state: &State, patient: PatientId, revision: u64, now: Timestamp) -> Option<Document> {
    snapshots(state)
        .find(|(document, shown, until)| {
            document.patient == patient && *shown == revision && now < *until
        })
        .map(|(document, ..)| document.clone())
}

/// Snapshots that nobody will be given any more: over, or of an earlier state of the record and past
/// the time in which their release may be asked for.
fn over(state: &State, now: Timestamp) -> Vec<Document> {
    let is_over = |document: &Document, revision: u64, until: Timestamp| {
        let patient = state.patients.get(&document.patient);
        let is_current = patient.is_some_and(|patient| patient.revision == revision);
        // Made `SNAPSHOT_LIFE` before its end.
        let released = now.plus(SNAPSHOT_LIFE) >= until.plus(RELEASE_WAIT_MAX);
        now >= until || (!is_current && released)
    };
    snapshots(state)
        .filter(|(document, revision, until)| is_over(document, *revision, *until))
        .map(|(document, ..)| document.clone())
        .collect()
}

/// Makes room for a snapshot that is recorded at a time: what is over goes, and of the rest the oldest
/// beyond [`SNAPSHOTS_MAX`]. Depends on the journal alone, so that every replay forgets the same ones;
/// who makes the snapshot removes their files.
pub(super) fn make_room(state: &mut State, now: Timestamp) {
    for document in over(state, now) {
        forget(state, document.patient, document.id);
    }
    let mut ages: Vec<(Timestamp, PatientId, DocumentId)> = snapshots(state)
        .map(|(document, _, until)| (until, document.patient, document.id))
        .collect();
    ages.sort();
    let beyond = (ages.len() + 1).saturating_sub(SNAPSHOTS_MAX);
    for (_, patient, document) in ages.into_iter().take(beyond) {
        forget(state, patient, document);
    }
}

fn forget(state: &mut State, patient: PatientId, document: DocumentId) {
    if let Some(documents) = state.documents.get_mut(&patient) {
        documents.remove(&document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::{Envelope, SecretKey},
        flows::Fold,
        records::{Place, Record},
        types::MemberId,
    };

    fn snapshot(number: u16, until: Timestamp) -> Document {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        Document {
            patient: PatientId(id),
            id: DocumentId(id),
            manifest: Envelope {
                body: Vec::new().into(),
                signatures: Vec::new(),
            },
            wrapped_key: Vec::new(),
            title: String::new(),
            status: String::new(),
            date: Timestamp(0),
            author_organization: String::new(),
            content: [0; 32],
            snapshot: Some((7, until)),
        }
    }

    fn hold(state: &mut State, document: Document) {
        let documents = state.documents.entry(document.patient).or_default();
        documents.insert(document.id, document);
    }

    fn numbers(state: &State) -> Vec<u16> {
        let number = |document: &Document| u16::from_be_bytes([document.id.0[0], document.id.0[1]]);
        snapshots(state)
            .map(|(document, ..)| number(document))
            .collect()
    }

    #[test]
    fn the_oldest_of_more_than_snapshots_max_goes() {
        let fold = Fold::new(MemberId([9; 16]), SecretKey::default());
        let mut state = fold.lock();
        let max = u16::try_from(SNAPSHOTS_MAX).unwrap();
        for number in 0..max - 1 {
            // The later its number, the older it is.
            let until = Timestamp(1 + u64::from(max - number)).plus(SNAPSHOT_LIFE);
            hold(&mut state, snapshot(number, until));
        }
        make_room(&mut state, Timestamp(0));
        assert_eq!(numbers(&state).len(), SNAPSHOTS_MAX - 1);

        hold(&mut state, snapshot(max, Timestamp(1).plus(SNAPSHOT_LIFE)));
        make_room(&mut state, Timestamp(0));

        assert_eq!(numbers(&state).len(), SNAPSHOTS_MAX - 1);
        assert!(!numbers(&state).contains(&max));
    }

    #[test]
    fn what_is_over_goes_and_what_may_be_released_stays() {
        let fold = Fold::new(MemberId([9; 16]), SecretKey::default());
        let mut state = fold.lock();
        let now = Timestamp(0).plus(SNAPSHOT_LIFE).plus(SNAPSHOT_LIFE);
        let made = |ago: u64| Timestamp(now.0 - ago).plus(SNAPSHOT_LIFE);
        // None is of the present state of its patient.
        hold(&mut state, snapshot(1, made(RELEASE_WAIT_MAX.0 - 1)));
        hold(&mut state, snapshot(2, made(RELEASE_WAIT_MAX.0)));
        hold(&mut state, snapshot(3, now));

        make_room(&mut state, now);

        assert_eq!(numbers(&state), [1]);
    }

    #[test]
    fn a_snapshot_that_is_recorded_makes_room_for_itself() {
        let fold = Fold::new(MemberId([9; 16]), SecretKey::default());
        let record = |position: u64, document: &Document| Record {
            position,
            time: Timestamp(position),
            kind: RecordKind::Document,
            scope: Scope::Store,
            leaf: [0; 32],
            place: Place {
                file: 0,
                offset: position,
                len: 1,
            },
            body: Some(wire::encode_document(document).into()),
        };
        fold.apply(&record(1, &snapshot(1, Timestamp(9))));
        let stored = Document {
            snapshot: None,
            ..snapshot(2, Timestamp(0))
        };
        fold.apply(&record(10, &stored));
        assert_eq!(numbers(&fold.lock()), [1]);

        fold.apply(&record(11, &snapshot(3, Timestamp(99))));

        assert_eq!(fold.problem(), None);
        assert_eq!(numbers(&fold.lock()), [3]);
    }
}
