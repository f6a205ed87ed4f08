//! What an input holds: one patient with resources, or resources of the directory, or one resource.
//!
//! An input about one patient is taken whole or refused whole: a resource that names anybody else, in
//! any element, refuses it, because a record that holds another person's data harms both.

use std::collections::BTreeMap;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{
    bundle_writer::is_uuid,
    fhir_attachment::{self, Attachment},
    fhir_patient::read_demographics,
    fhir_reference::{Head, Literal, is_http, is_id},
    fhir_subject::Subjects,
    fhir_types::{Belonging, belonging},
    fhir_value,
    json::{self, canonical, check},
    report::{At, FormatError, Issue},
};
use crate::{
    records::{Demographics, Identifier},
    types::limits::{BUNDLE_ENTRIES_MAX, RESOURCE_MAX_BYTES},
};

/// What an input holds, ready to be stored.
#[derive(Clone, Default)]
pub struct Plan {
    /// Patients; none or one in this version.
    pub patients: Vec<PatientInput>,
    /// Everything else, in the order of the input.
    pub resources: Vec<ResourceInput>,
    /// What was left out.
    pub issues: Vec<Issue>,
}

/// A patient of an input.
#[derive(Clone)]
pub struct PatientInput {
    /// The id within its source.
    pub local_id: String,
    /// The address it had at a FHIR server, where the input tells.
    pub url: Option<String>,
    /// The resource, byte for byte.
    pub json: Bytes,
    /// What identifies the person, identifiers included.
    pub demographics: Demographics,
}

/// A resource of an input.
#[derive(Clone)]
pub struct ResourceInput {
    /// Whom it is about.
    pub subject: Subject,
    /// FHIR resource type.
    pub resource_type: String,
    /// The id within its source, or one made of its content.
    pub local_id: String,
    /// The resource, byte for byte.
    pub json: Bytes,
    /// Files inside it.
    pub attachments: Vec<Attachment>,
}

/// Whom a resource is about.
#[derive(Clone, PartialEq, Eq)]
pub enum Subject {
    /// A patient of the same input: its index in [`Plan::patients`].
    Patient(usize),
    /// A patient known by id.
    Reference {
        /// The id within its source.
        local_id: String,
        /// Its address, where the reference was absolute: then the same id elsewhere is somebody else.
        url: Option<String>,
    },
    /// A patient known by identifier.
    Identifier(Identifier),
    /// Nobody: organisations, practitioners, places.
    Directory,
}

/// Reads an input: a bundle of type `transaction`, `batch` or `document` about one patient or none, or a
/// single resource.
///
/// # Errors
/// [`FormatError`]; the input is then refused whole.
pub fn read(input: &Bytes) -> Result<Plan, FormatError> {
    check(input)?;
    let text = json::text(input)?.trim();
    let head = Head::read(text.as_bytes(), At::default())?;
    let entries = if head.resource_type == "Bundle" {
        split(input, text)?
    } else {
        let json = input.slice_ref(text.as_bytes());
        vec![Entry::new(json, None, At::default())?]
    };
    plan(entries)
}

/// A resource of the input and what was read of it.
pub(super) struct Entry {
    pub(super) at: At,
    pub(super) full_url: Option<String>,
    pub(super) head: Head,
    pub(super) belonging: Belonging,
    pub(super) local_id: String,
    pub(super) json: Bytes,
}

impl Entry {
    fn new(json: Bytes, full_url: Option<String>, at: At) -> Result<Self, FormatError> {
        if json.len() > RESOURCE_MAX_BYTES {
            return Err(FormatError::Limit {
                what: "size of a resource",
                at,
            });
        }
        let head = Head::read(&json, at)?;
        let belonging = match belonging(&head.resource_type) {
            None | Some(Belonging::Refused) => return Err(FormatError::Type { at }),
            Some(belonging) => belonging,
        };
        let local_id = local_id(&json, &head, full_url.as_deref(), at)?;
        Ok(Self {
            at,
            full_url,
            head,
            belonging,
            local_id,
            json,
        })
    }

    /// Its address, where the input gives one that is a server's.
    pub(super) fn url(&self) -> Option<&str> {
        self.full_url.as_deref().filter(|url| is_http(url))
    }
}

/// The resource's id, else what its full URL names, else 16 bytes of the hash of its content: the same
/// resource gets the same id each time.
fn local_id(
    json: &[u8],
    head: &Head,
    full_url: Option<&str>,
    at: At,
) -> Result<String, FormatError> {
    match &head.id {
        Some(id) if is_id(id) => return Ok(id.clone()),
        Some(_) => {
            return Err(FormatError::Malformed {
                what: "its id is none",
                at,
            });
        }
        None => {}
    }
    match full_url.map(Literal::parse) {
        Some(Literal::Absolute { id, .. }) => return Ok(id),
        Some(Literal::Urn(urn)) => {
            let uuid = urn.get("urn:uuid:".len()..).unwrap_or_default();
            if is_uuid(uuid) {
                return Ok(uuid.to_ascii_lowercase());
            }
        }
        _ => {}
    }
    let digest = Sha256::digest(canonical(json)?);
    Ok(format!("c{}", HEXLOWER.encode(&digest[..16])))
}

fn split(input: &Bytes, text: &str) -> Result<Vec<Entry>, FormatError> {
    let wrong = |at| move |_| fhir_value::wrong_type(at);
    let bundle: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(wrong(At::default()))?;
    kind(&bundle)?;
    let entries: Vec<BTreeMap<String, &RawValue>> = match bundle.get("entry") {
        Some(entries) => serde_json::from_str(entries.get()).map_err(wrong(At::default()))?,
        None => Vec::new(),
    };
    if entries.len() > BUNDLE_ENTRIES_MAX {
        return Err(FormatError::Limit {
            what: "entries of a bundle",
            at: At::default(),
        });
    }
    let mut read = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let at = At::entry(index);
        method(entry, at)?;
        let full_url: Option<String> = match entry.get("fullUrl") {
            Some(url) => serde_json::from_str(url.get()).map_err(wrong(at))?,
            None => None,
        };
        let Some(resource) = entry.get("resource") else {
            return Err(FormatError::Malformed {
                what: "it has no resource",
                at,
            });
        };
        let json = input.slice_ref(resource.get().as_bytes());
        read.push(Entry::new(json, full_url, at)?);
    }
    Ok(read)
}

fn kind(bundle: &BTreeMap<String, &RawValue>) -> Result<(), FormatError> {
    let kind: Option<String> = match bundle.get("type") {
        Some(kind) => {
            serde_json::from_str(kind.get()).map_err(|_| fhir_value::wrong_type(At::default()))?
        }
        None => None,
    };
    let what = match kind.as_deref() {
        Some("transaction" | "batch" | "document") => return Ok(()),
        Some("collection") => "a bundle of type collection",
        Some("searchset" | "history") => "the answer to a search",
        Some("transaction-response" | "batch-response") => "the answer to a transaction",
        Some("message") => "a message",
        Some(_) => "a bundle of unknown type",
        None => "a bundle without type",
    };
    Err(FormatError::Format { what })
}

/// What asks for anything but storing is no import.
fn method(entry: &BTreeMap<String, &RawValue>, at: At) -> Result<(), FormatError> {
    let Some(request) = entry.get("request") else {
        return Ok(());
    };
    let request: BTreeMap<String, &RawValue> =
        serde_json::from_str(request.get()).map_err(|_| fhir_value::wrong_type(at))?;
    match request.get("method").map(|method| method.get()) {
        Some("\"POST\"" | "\"PUT\"") => Ok(()),
        Some(_) | None => Err(FormatError::Malformed {
            what: "its request is neither POST nor PUT",
            at,
        }),
    }
}

fn plan(entries: Vec<Entry>) -> Result<Plan, FormatError> {
    let mut plan = Plan::default();
    let entries = distinct(entries, &mut plan.issues)?;
    let mut patients = entries
        .iter()
        .filter(|entry| entry.belonging == Belonging::Patient);
    if let Some(entry) = patients.next() {
        plan.patients.push(PatientInput {
            local_id: entry.local_id.clone(),
            url: entry.url().map(str::to_owned),
            json: entry.json.clone(),
            demographics: read_demographics(&entry.json, entry.at, &mut plan.issues)?,
        });
    }
    if let Some(second) = patients.next() {
        return Err(FormatError::Foreign { at: second.at });
    }
    let subjects = Subjects::new(&entries, plan.patients.first())?;
    for entry in &entries {
        let Some(subject) = subjects.subject(entry)? else {
            continue;
        };
        let attachments = if fhir_attachment::carries_files(&entry.head.resource_type) {
            let resource = fhir_value::parse(&entry.json, entry.at)?;
            fhir_attachment::attachments(&resource, &subjects, entry.at, &mut plan.issues)?
        } else {
            Vec::new()
        };
        plan.resources.push(ResourceInput {
            subject,
            resource_type: entry.head.resource_type.clone(),
            local_id: entry.local_id.clone(),
            json: entry.json.clone(),
            attachments,
        });
    }
    Ok(plan)
}

/// Each resource once: the same type and id with other content refuses the input.
fn distinct(entries: Vec<Entry>, issues: &mut Vec<Issue>) -> Result<Vec<Entry>, FormatError> {
    let mut seen: BTreeMap<(String, String), Bytes> = BTreeMap::new();
    let mut distinct = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = (entry.head.resource_type.clone(), entry.local_id.clone());
        match seen.get(&name) {
            None => {
                seen.insert(name, entry.json.clone());
                distinct.push(entry);
            }
            Some(before) if canonical(before)? == canonical(&entry.json)? => {
                issues.push(Issue::new("a resource that stands here twice", entry.at));
            }
            Some(_) => {
                return Err(FormatError::Malformed {
                    what: "another entry has its type and id",
                    at: entry.at,
                });
            }
        }
    }
    Ok(distinct)
}
