//! What this node's own people may see of its records.

use super::apply::Locator;
use super::{error::FlowError, node::Node, state::Patient};
use crate::{
    formats, matching,
    ports::{Table, World},
    records::{Document, Manifest},
    types::{Code, PatientId},
};
use std::collections::BTreeMap;

/// Counts of what a node holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Patients.
    pub patients: u64,
    /// FHIR resources, patients and directory included.
    pub resources: u64,
    /// Documents, snapshots not counted.
    pub documents: u64,
    /// Members of the network, this node included.
    pub members: u64,
    /// Entries of the audit log.
    pub audit_entries: u64,
    /// Position of the last record applied.
    pub position: u64,
}

impl<W: World> Node<W> {
    /// Every patient whose name, birth date or identifier holds each word of a text; all for none.
    /// In order of name.
    pub fn patients(&self, text: &str) -> Vec<Patient> {
        let words: Vec<String> = text.split_whitespace().map(matching::searchable).collect();
        let state = self.state();
        let mut found: Vec<Patient> = state
            .patients
            .values()
            .filter(|patient| {
                let demographics = &patient.demographics;
                let mut fields: Vec<String> = demographics
                    .names
                    .iter()
                    .flat_map(|name| name.given.iter().chain([&name.family]))
                    .map(|part| matching::searchable(part))
                    .collect();
                fields.extend(demographics.birth_date.as_deref().map(matching::searchable));
                fields.extend(
                    demographics
                        .identifiers
                        .iter()
                        .map(|identifier| matching::searchable(&identifier.value)),
                );
                words
                    .iter()
                    .all(|word| fields.iter().any(|field| field.contains(word)))
            })
            .cloned()
            .collect();
        found.sort_by_cached_key(|patient| (patient.demographics.display_name(), patient.id));
        found
    }

    /// One patient.
    ///
    /// # Errors
    /// [`Code::PatientUnknown`].
    pub fn patient(&self, id: PatientId) -> Result<Patient, FlowError> {
        self.state()
            .patients
            .get(&id)
            .cloned()
            .ok_or(FlowError::NotFound {
                code: Code::PatientUnknown,
            })
    }

    /// How many resources of each type a patient has.
    ///
    /// # Errors
    /// [`FlowError::Store`].
    pub async fn resource_types(&self, id: PatientId) -> Result<BTreeMap<String, u64>, FlowError> {
        let rows = self.world.rows(Table::Resource, id.0.to_vec()).await?;
        let mut types = BTreeMap::new();
        for row in rows {
            let locator = Locator::decode(&row.value).ok_or(FlowError::State {
                code: Code::Integrity,
            })?;
            *types.entry(locator.resource_type).or_insert(0) += 1;
        }
        Ok(types)
    }

    /// The stored documents of a patient with what their manifests say, newest first.
    pub fn documents(&self, id: PatientId) -> Vec<(Document, Manifest)> {
        let state = self.state();
        let mut documents: Vec<(Document, Manifest)> = state
            .documents
            .get(&id)
            .into_iter()
            .flat_map(|documents| documents.values())
            .filter(|document| document.snapshot.is_none())
            .filter_map(|document| Some((document.clone(), document.manifest.claims().ok()?)))
            .collect();
        documents.sort_by(|(a, _), (b, _)| b.date.cmp(&a.date).then(a.id.cmp(&b.id)));
        documents
    }

    /// What identifies the person in a FHIR Patient.
    ///
    /// # Errors
    /// [`FlowError::Format`].
    pub fn read_demographics(
        &self,
        patient: &[u8],
    ) -> Result<crate::records::Demographics, FlowError> {
        formats::check(patient)?;
        Ok(formats::demographics(patient)?)
    }

    /// Counts of what this node holds.
    pub fn counts(&self) -> Counts {
        let state = self.state();
        let resources: u64 = state.patients.values().map(|p| p.resources + 1).sum();
        Counts {
            patients: state.patients.len() as u64,
            resources: resources + state.directory,
            documents: state
                .documents
                .values()
                .flat_map(|documents| documents.values())
                .filter(|document| document.snapshot.is_none())
                .count() as u64,
            members: state.members.len() as u64,
            audit_entries: state.audit.len() as u64,
            position: state.position,
        }
    }
}
