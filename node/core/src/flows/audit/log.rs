//! Reading the audit log: for administrators, for the patient, for the law; and whether the files its
//! disclosures are about are still what was stored.

use super::super::{error::FlowError, node::Node, state::AuditPlace};
use crate::{
    audit::{self, AccountingLine, Entry, Kind, Logged},
    crypto,
    ports::World,
    records::{Document, Manifest, StoreError},
    types::{Code, DocumentId, PatientId},
    wire,
};

/// What reading every stored document file anew found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesVerified {
    /// Files that were read.
    pub files: u64,
    /// Documents whose file does not hold, and why, in order of their ids.
    pub damaged: Vec<(DocumentId, StoreError)>,
}

/// An entry as it is shown.
pub struct Shown {
    /// Index, time and entry; the content is gone where its key was erased.
    pub logged: Logged,
    /// Its leaf hash.
    pub leaf: [u8; 32],
}

impl<W: World> Node<W> {
    /// Entries from an index on, but for those that only fill the log up.
    ///
    /// # Errors
    /// [`FlowError::Store`].
    pub async fn audit_entries(&self, from: u64, limit: usize) -> Result<Vec<Shown>, FlowError> {
        let chosen = {
            let state = self.state();
            state
                .audit
                .iter()
                .enumerate()
                .skip(usize::try_from(from).unwrap_or(usize::MAX))
                .filter(|(_, place)| !place.is_padding)
                .take(limit)
                .map(|(index, place)| (index as u64, *place))
                .collect()
        };
        self.shown(chosen).await
    }

    /// Everything that concerns one patient.
    ///
    /// # Errors
    /// [`Code::PatientUnknown`], [`FlowError::Store`].
    pub async fn access(&self, patient: PatientId) -> Result<Vec<Shown>, FlowError> {
        self.patient_key(patient)?;
        let chosen = {
            let state = self.state();
            state
                .audit
                .iter()
                .enumerate()
                .filter(|(_, place)| place.patient == Some(patient))
                .map(|(index, place)| (index as u64, *place))
                .collect()
        };
        self.shown(chosen).await
    }

    /// The accounting of disclosures of 45 CFR 164.528 for one patient.
    ///
    /// # Errors
    /// [`Code::PatientUnknown`], [`FlowError::Store`].
    pub async fn accounting(&self, patient: PatientId) -> Result<Vec<AccountingLine>, FlowError> {
        let shown = self.access(patient).await?;
        let logged: Vec<Logged> = shown.into_iter().map(|shown| shown.logged).collect();
        Ok(audit::accounting(&logged, patient, self.now()))
    }

    async fn shown(&self, chosen: Vec<(u64, AuditPlace)>) -> Result<Vec<Shown>, FlowError> {
        let places = chosen.iter().map(|(_, place)| place.place).collect();
        let records = self.world.records(places).await?;
        let mut shown = Vec::with_capacity(records.len());
        for ((index, _), record) in chosen.into_iter().zip(records) {
            let entry = match &record.body {
                None => Entry::new(Kind::Erased),
                Some(body) => wire::decode_audit(body)
                    .ok()
                    .and_then(Entry::from_fields)
                    .ok_or(FlowError::State {
                        code: Code::Integrity,
                    })?,
            };
            shown.push(Shown {
                leaf: record.leaf,
                logged: Logged {
                    index,
                    at: record.time,
                    entry,
                },
            });
        }
        Ok(shown)
    }

    /// Reads every stored document file, chunk by chunk, and compares its root with what the journal
    /// says of it.
    pub async fn verify_files(&self) -> FilesVerified {
        let now = self.now();
        let mut documents: Vec<Document> = {
            let state = self.state();
            let all = state.documents.values().flat_map(|of| of.values());
            all.filter(|document| document.snapshot.is_none_or(|(_, until)| now < until))
                .cloned()
                .collect()
        };
        documents.sort_by_key(|document| document.id);
        let mut verified = FilesVerified::default();
        for document in documents {
            match self.verify_file(&document).await {
                Ok(()) => verified.files += 1,
                // A snapshot is made anew when it is asked for; its time may have passed meanwhile.
                Err(StoreError::Missing) if document.snapshot.is_some() => {}
                Err(error) => {
                    verified.files += 1;
                    verified.damaged.push((document.id, error));
                }
            }
        }
        verified
    }

    async fn verify_file(&self, document: &Document) -> Result<(), StoreError> {
        let changed = StoreError::Integrity { position: 0 };
        let manifest = document
            .manifest
            .claims::<Manifest>()
            .map_err(|_| changed)?;
        let chunks = crypto::chunk_count(manifest.sealed_size).ok_or(changed)?;
        let mut leaves = Vec::new();
        for index in 0..chunks {
            let range = crypto::chunk_range(manifest.sealed_size, index).ok_or(changed)?;
            let len = usize::try_from(range.end - range.start).map_err(|_| changed)?;
            let data = self
                .world
                .read_file(manifest.file, range.start, len)
                .await?;
            leaves.push(self.world.run(move || crypto::tree::leaf_hash(&data)).await);
        }
        if crypto::tree::root(&leaves) == manifest.root {
            Ok(())
        } else {
            Err(changed)
        }
    }

    /// Size and root of the log as the state has it.
    pub fn audit_head(&self) -> (u64, [u8; 32]) {
        let state = self.state();
        (state.tree.len(), state.tree.root())
    }

    /// Leaf hash of one entry.
    pub fn audit_leaf(&self, index: u64) -> Option<[u8; 32]> {
        self.state().tree.leaf(index)
    }

    /// Root of the log as it was at an earlier size.
    pub fn audit_root_at(&self, size: u64) -> Option<[u8; 32]> {
        self.state().tree.root_at(size)
    }
}
