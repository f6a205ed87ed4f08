//! Import: an input becomes patients, resources and documents, whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    apply::{Locator, resource_key},
    document::{Description, content_hash, file_of, in_memory},
    error::FlowError,
    node::{Actor, Node, push_audit},
    state::State,
};
use crate::{
    audit,
    crypto::{self, SecretKey},
    formats::{self, Attachment, Issue, PatientInput, Plan, ResourceInput, Subject},
    matching,
    ports::{Table, World},
    records::{
        Batch, Demographics, Identifier, KeyId, PatientRecord, Place, RecordKind, ResourceRecord,
        Scope,
    },
    types::{Code, DocumentId, FileId, PatientId},
    wire,
};

/// Where comes from what has no address in its input: one source, since a folder does not say which
/// system wrote it.
const SOURCE: &str = "import";

/// The source of a resource: its address where the input has one, so that `Patient/1` on another
/// server is another person and `Observation/1` another finding.
fn source_of(url: Option<&String>) -> &str {
    url.map_or(SOURCE, String::as_str)
}

/// Whether an input is stored or only judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Stored.
    Store,
    /// Judged; nothing is written.
    DryRun,
}

/// What became of one input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Patients that are new.
    pub patients: u64,
    /// Resources that are new or changed, the patients among them.
    pub resources: u64,
    /// Documents that are new.
    pub documents: u64,
    /// Resources and documents that were there already.
    pub unchanged: u64,
    /// What should be looked at.
    pub issues: Vec<Issue>,
}

/// A batch being put together.
struct Work {
    batch: Batch,
    files: Vec<FileId>,
    report: Imported,
    /// Resources of this very input, so that one that stands in it twice is stored once.
    seen: BTreeMap<Vec<u8>, [u8; 32]>,
    documents: BTreeMap<(PatientId, [u8; 32]), DocumentId>,
}

impl<W: World> Node<W> {
    /// Imports one input. The same input again adds nothing.
    ///
    /// # Errors
    /// [`FlowError::Format`] where the input is refused; [`Code::SubjectUnknown`],
    /// [`Code::PatientConflict`]; [`FlowError::Store`]. Nothing of a refused input is stored.
    pub async fn import(
        &self,
        actor: &Actor,
        input: Bytes,
        mode: Mode,
    ) -> Result<Imported, FlowError> {
        let plan = self.world.run(move || formats::read(&input)).await?;
        let _registration = self.registration().await;
        let mut work = Work {
            batch: Batch::default(),
            files: Vec::new(),
            report: Imported {
                issues: plan.issues.clone(),
                ..Imported::default()
            },
            seen: BTreeMap::new(),
            documents: BTreeMap::new(),
        };
        if let Err(error) = self.plan(plan, mode, &mut work).await {
            self.discard(&work.files).await;
            return Err(error);
        }
        if mode == Mode::Store {
            self.commit_import(actor, &mut work).await?;
        }
        Ok(work.report)
    }

    async fn commit_import(&self, actor: &Actor, work: &mut Work) -> Result<(), FlowError> {
        if work.batch.drafts.is_empty() {
            return Ok(());
        }
        push_audit(
            &mut work.batch,
            &audit::Entry {
                actor: actor.name.clone(),
                role: Some(actor.role),
                count: work.report.resources,
                ..audit::Entry::new(audit::Kind::Imported)
            },
        );
        self.commit_files(std::mem::take(&mut work.batch), &work.files)
            .await?;
        Ok(())
    }

    async fn plan(&self, plan: Plan, mode: Mode, work: &mut Work) -> Result<(), FlowError> {
        let mut patients = Vec::with_capacity(plan.patients.len());
        for patient in &plan.patients {
            patients.push(self.plan_patient(patient, work).await?);
        }
        let store_key = self.store_key()?;
        let mut keyed = Vec::with_capacity(plan.resources.len());
        for resource in plan.resources {
            let subject = self.subject(&resource.subject, &patients)?;
            let key = match subject {
                Some((_, ref key)) => key.clone(),
                None => store_key.clone(),
            };
            keyed.push((subject.map(|(id, _)| id), key, resource));
        }
        self.plan_resources(keyed, mode, work).await
    }

    /// The key of directory resources, which belong to nobody.
    fn store_key(&self) -> Result<SecretKey, FlowError> {
        let state = self.state();
        let key = state.keys.get(&KeyId::STORE).ok_or(FlowError::State {
            code: Code::KeyRefused,
        })?;
        Ok(crypto::derive(key, "chartmesh/1/directory"))
    }

    async fn plan_patient(
        &self,
        input: &PatientInput,
        work: &mut Work,
    ) -> Result<(PatientId, SecretKey), FlowError> {
        let source = source_of(input.url.as_ref());
        let Some(known) = known(&self.state(), source, input)? else {
            return Ok(self.new_patient(input, work));
        };
        let key = self.patient_key(known.id)?;
        let stored = self.world.records(vec![known.place]).await?;
        let body = stored.into_iter().next().and_then(|record| record.body);
        let stored = body
            .and_then(|body| wire::decode_patient(&body).ok())
            .ok_or(FlowError::State {
                code: Code::Integrity,
            })?;
        let same_content =
            formats::canonical(&stored.resource)? == formats::canonical(&input.json)?;
        if same_content && known.by_source {
            work.report.unchanged += 1;
            return Ok((known.id, key));
        }
        if !known.is_same && !same_content {
            return Err(PATIENT_CONFLICT);
        }
        work.report.resources += 1;
        work.batch.push(
            RecordKind::Patient,
            Scope::Patient(known.id),
            wire::encode_patient(&PatientRecord {
                patient: known.id,
                resource: input.json.clone(),
                source: source.to_owned(),
                local_id: input.local_id.clone(),
                summary: stored.summary,
                discoverability: stored.discoverability,
            }),
        );
        Ok((known.id, key))
    }

    fn new_patient(&self, input: &PatientInput, work: &mut Work) -> (PatientId, SecretKey) {
        let id = PatientId(self.random());
        let key = SecretKey::new(self.random());
        work.batch.keys.push((id.into(), key.clone()));
        work.batch.push(
            RecordKind::Patient,
            Scope::Patient(id),
            wire::encode_patient(&PatientRecord {
                patient: id,
                resource: input.json.clone(),
                source: source_of(input.url.as_ref()).to_owned(),
                local_id: input.local_id.clone(),
                summary: DocumentId(self.random()),
                discoverability: 0,
            }),
        );
        work.report.patients += 1;
        work.report.resources += 1;
        (id, key)
    }

    /// Whose a resource is: of the input, or known here.
    fn subject(
        &self,
        subject: &Subject,
        patients: &[(PatientId, SecretKey)],
    ) -> Result<Option<(PatientId, SecretKey)>, FlowError> {
        let unknown = FlowError::Usage {
            code: Code::SubjectUnknown,
        };
        let id = match subject {
            Subject::Directory => return Ok(None),
            Subject::Patient(index) => {
                return patients.get(*index).cloned().map(Some).ok_or(unknown);
            }
            Subject::Reference { local_id, url } => self
                .state()
                .by_source
                .get(&(source_of(url.as_ref()).to_owned(), local_id.clone()))
                .copied(),
            Subject::Identifier(identifier) => {
                match &by_identifier(&self.state(), identifier)[..] {
                    [only] => Some(*only),
                    // A number of several people says of none whose this is.
                    _ => None,
                }
            }
        };
        let id = id.ok_or(unknown)?;
        Ok(Some((id, self.patient_key(id)?)))
    }

    async fn plan_resources(
        &self,
        resources: Vec<(Option<PatientId>, SecretKey, ResourceInput)>,
        mode: Mode,
        work: &mut Work,
    ) -> Result<(), FlowError> {
        let hashed = self
            .world
            .run(move || {
                resources
                    .into_iter()
                    .map(|(patient, key, input)| {
                        let canonical = formats::canonical(&input.json)?;
                        let content = content_hash(&key, &canonical);
                        let mut id = resource_id(&key, &input);
                        if patient.is_none() {
                            // Inputs about different people name one organisation in different words.
                            // Each wording is kept once: were the last to replace the others, a folder
                            // imported again would write them all anew.
                            id.copy_from_slice(&content[..16]);
                        }
                        Ok((patient, key, input, id, content))
                    })
                    .collect::<Result<Vec<_>, formats::FormatError>>()
            })
            .await?;
        let keys: Vec<Vec<u8>> = hashed
            .iter()
            .map(|(patient, _, _, id, _)| resource_key(*patient, *id))
            .collect();
        let rows = self.world.get(Table::Resource, keys.clone()).await?;
        for (((patient, key, input, id, content), row), row_key) in
            hashed.into_iter().zip(rows).zip(keys)
        {
            let before = match work.seen.get(&row_key) {
                Some(content) => Some(*content),
                None => row
                    .and_then(|row| Locator::decode(&row.value))
                    .map(|locator| locator.content),
            };
            if let Some(patient) = patient {
                self.plan_attachments(patient, &key, &input.attachments, mode, work)
                    .await?;
            }
            if before == Some(content) {
                work.report.unchanged += 1;
                continue;
            }
            work.seen.insert(row_key, content);
            work.report.resources += 1;
            work.batch.push(
                RecordKind::Resource,
                patient.map_or(Scope::Store, Scope::Patient),
                wire::encode_resource(&ResourceRecord {
                    patient,
                    id,
                    resource_type: input.resource_type,
                    local_id: input.local_id,
                    source: source_of(input.url.as_ref()).to_owned(),
                    content,
                    resource: input.json,
                    replaces: before.is_some(),
                }),
            );
        }
        Ok(())
    }

    async fn plan_attachments(
        &self,
        patient: PatientId,
        key: &SecretKey,
        attachments: &[Attachment],
        mode: Mode,
        work: &mut Work,
    ) -> Result<(), FlowError> {
        for attachment in attachments {
            let content = content_hash(key, &attachment.bytes);
            let here = work.documents.contains_key(&(patient, content))
                || self.same_content(patient, key, &attachment.bytes).is_some();
            if here {
                work.report.unchanged += 1;
                continue;
            }
            work.report.documents += 1;
            if mode == Mode::DryRun {
                work.documents
                    .insert((patient, content), DocumentId([0; 16]));
                continue;
            }
            let document = self
                .seal_document(
                    patient,
                    key,
                    in_memory(attachment.bytes.clone()),
                    described(attachment),
                    None,
                )
                .await?;
            work.files.push(file_of(&document)?);
            work.documents.insert((patient, content), document.id);
            work.batch.push(
                RecordKind::Document,
                Scope::Patient(patient),
                wire::encode_document(&document),
            );
        }
        Ok(())
    }

    /// Adds one patient from a FHIR Patient, or finds the one it already is.
    ///
    /// # Errors
    /// [`FlowError::Format`], [`Code::PatientConflict`], [`Code::FhirType`] where it is no Patient.
    pub async fn add_patient(&self, actor: &Actor, json: Bytes) -> Result<PatientId, FlowError> {
        let plan = formats::read(&json)?;
        let [patient] = &plan.patients[..] else {
            return Err(FlowError::Usage {
                code: Code::FhirType,
            });
        };
        if !plan.resources.is_empty() {
            return Err(FlowError::Usage {
                code: Code::FhirType,
            });
        }
        let _registration = self.registration().await;
        let mut work = Work {
            batch: Batch::default(),
            files: Vec::new(),
            report: Imported::default(),
            seen: BTreeMap::new(),
            documents: BTreeMap::new(),
        };
        let (id, _) = self.plan_patient(patient, &mut work).await?;
        if !work.batch.drafts.is_empty() {
            push_audit(
                &mut work.batch,
                &audit::Entry {
                    patient: Some(id),
                    actor: actor.name.clone(),
                    role: Some(actor.role),
                    ..audit::Entry::new(audit::Kind::PatientAdded)
                },
            );
            self.commit(work.batch).await?;
        }
        Ok(id)
    }
}

/// Two people on one id or number: a human must look.
const PATIENT_CONFLICT: FlowError = FlowError::Usage {
    code: Code::PatientConflict,
};

/// A patient that an input names by identifier, or by source and id.
struct Known {
    id: PatientId,
    place: Place,
    /// Whether the demographics say that it is the same person; one that is not may be met once more
    /// with the very content it came with.
    is_same: bool,
    /// Whether it is known under this source and id.
    by_source: bool,
}

fn known(state: &State, source: &str, input: &PatientInput) -> Result<Option<Known>, FlowError> {
    let identifiers = input.demographics.identifiers.iter();
    let found: BTreeSet<PatientId> = identifiers
        .flat_map(|identifier| by_identifier(state, identifier))
        .collect();
    let by_source = state
        .by_source
        .get(&(source.to_owned(), input.local_id.clone()))
        .copied();
    let mut named = found.iter().copied().chain(by_source);
    let Some(id) = named.next() else {
        return Ok(None);
    };
    if named.any(|other| other != id) {
        return Err(PATIENT_CONFLICT);
    }
    let Some(patient) = state.patients.get(&id) else {
        return Ok(None);
    };
    let (one, other) = (&patient.demographics, &input.demographics);
    Ok(Some(Known {
        id,
        place: patient.place,
        is_same: if found.is_empty() {
            matching::same_by_id(one, other)
        } else {
            matching::same_by_identifier(one, other)
        },
        by_source: by_source.is_some(),
    }))
}

fn by_identifier(state: &State, identifier: &Identifier) -> Vec<PatientId> {
    let probe = Demographics {
        identifiers: vec![identifier.clone()],
        ..Demographics::default()
    };
    matching::blocking_keys(&probe)
        .iter()
        .filter_map(|key| state.found_by.get(key))
        .flatten()
        .copied()
        .collect()
}

/// A resource's id here: a keyed hash of what names it at its source, so that a row key says nothing
/// and a resource that comes again finds its row.
fn resource_id(key: &SecretKey, input: &ResourceInput) -> [u8; 16] {
    let hash = crypto::keyed_hash(
        &key[..],
        &[
            b"chartmesh/1/resource\0",
            input.resource_type.as_bytes(),
            b"/",
            source_of(input.url.as_ref()).as_bytes(),
            b"/",
            input.local_id.as_bytes(),
        ],
    );
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id
}

fn described(attachment: &Attachment) -> Description {
    Description {
        coding: attachment.coding.clone(),
        title: attachment.title.clone(),
        content_type: attachment.content_type.clone(),
        format: attachment.format.clone(),
        status: attachment.status.clone(),
        date: attachment.date,
        author: attachment.author.clone(),
        author_organization: attachment.author_organization.clone(),
        period: attachment.period,
        labels: attachment.labels.clone(),
    }
}
