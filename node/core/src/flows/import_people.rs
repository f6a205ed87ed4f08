//! Whose an import is: people of the input, met earlier in the same import, or known here.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    error::FlowError,
    import::source_of,
    node::{Actor, Node, push_audit},
    state::State,
};
use crate::{
    audit,
    crypto::{self, SecretKey},
    formats::{self, PatientInput, ResourceInput, Subject},
    matching,
    ports::World,
    records::{Batch, Demographics, Identifier, KeyId, PatientRecord, RecordKind, Scope},
    types::{Code, DocumentId, PatientId},
    wire,
};

/// Two people on one id or number: a human must look.
const PATIENT_CONFLICT: FlowError = FlowError::Usage {
    code: Code::PatientConflict,
};

const SUBJECT_UNKNOWN: FlowError = FlowError::Usage {
    code: Code::SubjectUnknown,
};

/// People of an import whom the node's state does not show: those of the batch being put together, and in a
/// dry run all so far.
#[derive(Default)]
pub struct Met {
    people: BTreeMap<PatientId, Person>,
    by_source: BTreeMap<(String, String), PatientId>,
    found_by: BTreeMap<Vec<u8>, BTreeSet<PatientId>>,
    /// What was there before each change of the line under way.
    before: Vec<(PatientId, Option<Person>)>,
}

/// A person as far as an import must know one.
#[derive(Clone)]
struct Person {
    key: SecretKey,
    is_new: bool,
    /// The resource in canonical form, hashed.
    content: [u8; 32],
    demographics: Demographics,
    sources: BTreeSet<(String, String)>,
    summary: DocumentId,
    discoverability: u32,
}

impl Met {
    /// Begins a line, which [`Self::undo`] takes back.
    pub(super) fn begin(&mut self) {
        self.before.clear();
    }

    /// Forgets everybody met since the line began.
    pub(super) fn undo(&mut self) {
        while let Some((id, before)) = self.before.pop() {
            self.replace(id, before);
        }
    }

    fn meet(&mut self, id: PatientId, person: Person) {
        let before = self.replace(id, Some(person));
        self.before.push((id, before));
    }

    fn replace(&mut self, id: PatientId, person: Option<Person>) -> Option<Person> {
        let before = self.people.remove(&id);
        if let Some(before) = &before {
            for source in &before.sources {
                self.by_source.remove(source);
            }
            for key in matching::blocking_keys(&before.demographics) {
                if let Some(found) = self.found_by.get_mut(&key) {
                    found.remove(&id);
                }
            }
        }
        if let Some(person) = person {
            for source in &person.sources {
                self.by_source.insert(source.clone(), id);
            }
            for key in matching::blocking_keys(&person.demographics) {
                self.found_by.entry(key).or_default().insert(id);
            }
            self.people.insert(id, person);
        }
        before
    }
}

/// A patient of an input, settled.
pub(super) struct Planned {
    pub(super) id: PatientId,
    pub(super) key: SecretKey,
    /// The record to be written, and whether the patient is new; none where nothing changed.
    pub(super) record: Option<(Vec<u8>, bool)>,
}

/// A patient that an input names by identifier, or by source and id.
struct Known {
    id: PatientId,
    /// Whether the demographics say that it is the same person; one that is not may be met once more
    /// with the very content it came with.
    is_same: bool,
    /// Whether it is known under this source and id.
    by_source: bool,
}

impl<W: World> Node<W> {
    /// Settles who the people of a line are and whom its resources are about.
    pub(super) async fn settle(
        &self,
        people: &[PatientInput],
        resources: Vec<ResourceInput>,
        met: &mut Met,
    ) -> Result<
        (
            Vec<Planned>,
            Vec<(Option<PatientId>, SecretKey, ResourceInput)>,
        ),
        FlowError,
    > {
        let mut patients = Vec::with_capacity(people.len());
        for person in people {
            patients.push(self.plan_patient(person, met).await?);
        }
        let store_key = self.store_key()?;
        let mut keyed = Vec::with_capacity(resources.len());
        for resource in resources {
            let subject = self.subject(&resource.subject, &patients, met)?;
            keyed.push(match subject {
                Some((id, key)) => (Some(id), key, resource),
                None => (None, store_key.clone(), resource),
            });
        }
        Ok((patients, keyed))
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
        met: &mut Met,
    ) -> Result<Planned, FlowError> {
        let source = (
            source_of(input.url.as_ref()).to_owned(),
            input.local_id.clone(),
        );
        let content = crypto::sha256(&[&formats::canonical(&input.json)?]);
        let Some(known) = known(&self.state(), met, &source, &input.demographics)? else {
            let person = Person {
                key: SecretKey::new(self.random()),
                is_new: true,
                content,
                demographics: input.demographics.clone(),
                sources: BTreeSet::from([source]),
                summary: DocumentId(self.random()),
                discoverability: 0,
            };
            let id = PatientId(self.random());
            let planned = planned(id, &person, input);
            met.meet(id, person);
            return Ok(planned);
        };
        let mut person = self.person(known.id, met).await?;
        let same_content = person.content == content;
        if same_content && known.by_source {
            return Ok(Planned {
                id: known.id,
                key: person.key,
                record: None,
            });
        }
        if !known.is_same && !same_content {
            return Err(PATIENT_CONFLICT);
        }
        person.is_new = false;
        person.content = content;
        person.demographics = input.demographics.clone();
        person.sources.insert(source);
        let planned = planned(known.id, &person, input);
        met.meet(known.id, person);
        Ok(planned)
    }

    /// Somebody met in this import, or known here.
    async fn person(&self, id: PatientId, met: &Met) -> Result<Person, FlowError> {
        if let Some(person) = met.people.get(&id) {
            return Ok(person.clone());
        }
        let key = self.patient_key(id)?;
        let unknown = FlowError::NotFound {
            code: Code::PatientUnknown,
        };
        let (place, demographics) = {
            let state = self.state();
            let patient = state.patients.get(&id).ok_or(unknown)?;
            (patient.place, patient.demographics.clone())
        };
        let stored = self.world.records(vec![place]).await?;
        let body = stored.into_iter().next().and_then(|record| record.body);
        let stored = body
            .and_then(|body| wire::decode_patient(&body).ok())
            .ok_or(FlowError::State {
                code: Code::Integrity,
            })?;
        Ok(Person {
            key,
            is_new: false,
            content: crypto::sha256(&[&formats::canonical(&stored.resource)?]),
            demographics,
            sources: BTreeSet::from([(stored.source, stored.local_id)]),
            summary: stored.summary,
            discoverability: stored.discoverability,
        })
    }

    /// Whose a resource is: of the input, or known.
    fn subject(
        &self,
        subject: &Subject,
        patients: &[Planned],
        met: &Met,
    ) -> Result<Option<(PatientId, SecretKey)>, FlowError> {
        let id = match subject {
            Subject::Directory => return Ok(None),
            Subject::Patient(index) => {
                let patient = patients.get(*index).ok_or(SUBJECT_UNKNOWN)?;
                return Ok(Some((patient.id, patient.key.clone())));
            }
            Subject::Reference { local_id, url } => {
                let source = (source_of(url.as_ref()).to_owned(), local_id.clone());
                by_source(&self.state(), met, &source)
            }
            Subject::Identifier(identifier) => {
                let found = by_identifier(&self.state(), met, identifier);
                // A number of several people says of none whose this is.
                (found.len() == 1).then(|| found.first().copied()).flatten()
            }
        };
        let id = id.ok_or(SUBJECT_UNKNOWN)?;
        let key = match met.people.get(&id) {
            Some(person) => person.key.clone(),
            None => self.patient_key(id)?,
        };
        Ok(Some((id, key)))
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
        let registration = self.registration().await;
        let planned = self.plan_patient(patient, &mut Met::default()).await?;
        let id = planned.id;
        if let Some((record, is_new)) = planned.record {
            let mut batch = Batch::within(&registration);
            if is_new {
                batch.keys.push((id.into(), planned.key));
            }
            batch.push(RecordKind::Patient, Scope::Patient(id), record);
            push_audit(
                &mut batch,
                &audit::Entry {
                    patient: Some(id),
                    actor: actor.name.clone(),
                    role: Some(actor.role),
                    ..audit::Entry::new(audit::Kind::PatientAdded)
                },
            );
            self.commit(batch).await?;
        }
        Ok(id)
    }
}

/// The record of a person who is new or changed.
fn planned(id: PatientId, person: &Person, input: &PatientInput) -> Planned {
    let record = wire::encode_patient(&PatientRecord {
        patient: id,
        resource: input.json.clone(),
        source: source_of(input.url.as_ref()).to_owned(),
        local_id: input.local_id.clone(),
        summary: person.summary,
        discoverability: person.discoverability,
    });
    Planned {
        id,
        key: person.key.clone(),
        record: Some((record, person.is_new)),
    }
}

fn known(
    state: &State,
    met: &Met,
    source: &(String, String),
    demographics: &Demographics,
) -> Result<Option<Known>, FlowError> {
    let identifiers = demographics.identifiers.iter();
    let found: BTreeSet<PatientId> = identifiers
        .flat_map(|identifier| by_identifier(state, met, identifier))
        .collect();
    let by_source = by_source(state, met, source);
    let mut named = found.iter().copied().chain(by_source);
    let Some(id) = named.next() else {
        return Ok(None);
    };
    if named.any(|other| other != id) {
        return Err(PATIENT_CONFLICT);
    }
    let met = met.people.get(&id).map(|person| &person.demographics);
    let stored = || Some(&state.patients.get(&id)?.demographics);
    let Some(one) = met.or_else(stored) else {
        return Ok(None);
    };
    Ok(Some(Known {
        id,
        is_same: if found.is_empty() {
            matching::same_by_id(one, demographics)
        } else {
            matching::same_by_identifier(one, demographics)
        },
        by_source: by_source.is_some(),
    }))
}

fn by_source(state: &State, met: &Met, source: &(String, String)) -> Option<PatientId> {
    let met = met.by_source.get(source);
    met.or_else(|| state.by_source.get(source)).copied()
}

fn by_identifier(state: &State, met: &Met, identifier: &Identifier) -> BTreeSet<PatientId> {
    let probe = Demographics {
        identifiers: vec![identifier.clone()],
        ..Demographics::default()
    };
    let mut found = BTreeSet::new();
    for key in matching::blocking_keys(&probe) {
        found.extend(met.found_by.get(&key).into_iter().flatten());
        found.extend(state.found_by.get(&key).into_iter().flatten());
    }
    found
}
