//! Import: an input becomes patients, resources and documents, whole or not at all.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    apply::{Locator, resource_key},
    document::{Description, content_hash, file_of, in_memory},
    error::FlowError,
    import_people::{Met, Planned},
    node::{Actor, Node, push_audit},
};
use crate::{
    audit,
    crypto::{self, SecretKey},
    formats::{self, Attachment, FormatError, Issue, Plan, ResourceInput},
    ports::{Table, World},
    records::{Batch, RecordKind, ResourceRecord, Scope},
    types::{DocumentId, FileId, PatientId},
    wire,
};

/// Where comes from what has no address in its input: one source, since a folder does not say which
/// system wrote it.
const SOURCE: &str = "import";

/// The source of a resource: its address where the input has one, so that `Patient/1` on another
/// server is another person and `Observation/1` another finding.
pub(super) fn source_of(url: Option<&String>) -> &str {
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

/// What became of lines.
#[derive(Debug, Default)]
pub struct LinesImported {
    /// Of all lines that came in, without their issues.
    pub imported: Imported,
    /// What should be looked at, with the index of the line.
    pub issues: Vec<(usize, Issue)>,
    /// Lines that were refused: their index, and why.
    pub refused: Vec<(usize, FlowError)>,
}

/// A resource, whose it is, and the key that names its content.
type Keyed = (Option<PatientId>, SecretKey, ResourceInput);

/// A batch being put together.
#[derive(Default)]
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
    ///
    /// [`Code::SubjectUnknown`]: crate::types::Code::SubjectUnknown
    /// [`Code::PatientConflict`]: crate::types::Code::PatientConflict
    pub async fn import(
        &self,
        actor: &Actor,
        input: Bytes,
        mode: Mode,
    ) -> Result<Imported, FlowError> {
        self.import_among(actor, input, mode, &mut Met::default())
            .await
    }

    /// Imports one of several inputs: in a dry run those before it count as stored.
    ///
    /// # Errors
    /// As [`Self::import`].
    pub async fn import_among(
        &self,
        actor: &Actor,
        input: Bytes,
        mode: Mode,
        met: &mut Met,
    ) -> Result<Imported, FlowError> {
        let mut lines = self.import_lines(actor, vec![input], mode, met).await?;
        match lines.refused.pop() {
            Some((_, error)) => Err(error),
            None => Ok(Imported {
                issues: lines.issues.into_iter().map(|(_, issue)| issue).collect(),
                ..lines.imported
            }),
        }
    }

    /// Imports lines, each of them whole or not at all, in one commit.
    ///
    /// # Errors
    /// [`FlowError::Store`]; nothing is stored then. A line that is refused stops no other.
    pub async fn import_lines(
        &self,
        actor: &Actor,
        lines: Vec<Bytes>,
        mode: Mode,
        met: &mut Met,
    ) -> Result<LinesImported, FlowError> {
        let plans = self
            .world
            .run(move || lines.iter().map(formats::read).collect::<Vec<_>>())
            .await;
        let registration = self.registration().await;
        let mut work = Work {
            batch: Batch::within(&registration),
            ..Work::default()
        };
        let planned = self.plan_lines(plans, mode, met, &mut work).await;
        if mode == Mode::Store {
            // What is committed is in the node's state; what is not must not be taken for known.
            *met = Met::default();
        }
        let mut lines = match planned {
            Ok(lines) => lines,
            Err(error) => {
                self.discard(&work.files).await;
                return Err(error);
            }
        };
        if mode == Mode::Store {
            self.commit_import(actor, &mut work).await?;
        }
        lines.imported = work.report;
        Ok(lines)
    }

    async fn plan_lines(
        &self,
        plans: Vec<Result<Plan, FormatError>>,
        mode: Mode,
        met: &mut Met,
        work: &mut Work,
    ) -> Result<LinesImported, FlowError> {
        let mut lines = LinesImported::default();
        let mut resources = Vec::new();
        for (index, plan) in plans.into_iter().enumerate() {
            let planned = match plan {
                Ok(plan) => self.plan_line(plan, met, work).await,
                Err(error) => Err(error.into()),
            };
            match planned {
                Ok((keyed, issues)) => {
                    resources.extend(keyed);
                    let issues = issues.into_iter().map(|issue| (index, issue));
                    lines.issues.extend(issues);
                }
                Err(error @ FlowError::Store(_)) => return Err(error),
                Err(error) => lines.refused.push((index, error)),
            }
        }
        self.plan_resources(resources, mode, work).await?;
        Ok(lines)
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

    /// Settles whom everything of one line is about, and only then takes it into the batch.
    async fn plan_line(
        &self,
        plan: Plan,
        met: &mut Met,
        work: &mut Work,
    ) -> Result<(Vec<Keyed>, Vec<Issue>), FlowError> {
        met.begin();
        let settled = self.settle(&plan.patients, plan.resources, met).await;
        let (patients, keyed) = match settled {
            Ok(settled) => settled,
            Err(error) => {
                met.undo();
                return Err(error);
            }
        };
        for patient in patients {
            work.take(patient);
        }
        Ok((keyed, plan.issues))
    }

    async fn plan_resources(
        &self,
        resources: Vec<Keyed>,
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
}

impl Work {
    fn take(&mut self, patient: Planned) {
        let Some((record, is_new)) = patient.record else {
            self.report.unchanged += 1;
            return;
        };
        if is_new {
            self.report.patients += 1;
            self.batch.keys.push((patient.id.into(), patient.key));
        }
        self.report.resources += 1;
        self.batch
            .push(RecordKind::Patient, Scope::Patient(patient.id), record);
    }
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
