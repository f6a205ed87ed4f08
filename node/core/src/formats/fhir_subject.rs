//! Whom each resource of one input is about, and that it is the same person throughout.

use std::collections::BTreeMap;

use super::{
    fhir_attachment::Binaries,
    fhir_bundle::{Entry, PatientInput, Subject},
    fhir_reference::{Literal, is_http},
    fhir_types::Belonging,
    fhir_value::{self, objects, text},
    report::{At, FormatError},
};
use crate::records::Identifier;

/// What a reference leads to.
enum Target {
    Patient(Subject),
    Contained(String),
    /// A resource that is no patient.
    Another,
    /// An address within the input that no entry has.
    Nothing,
}

/// The one subject of an input, and the way from references to it.
pub(super) struct Subjects<'a> {
    entries: &'a [Entry],
    by_url: BTreeMap<String, usize>,
    patient: Option<&'a PatientInput>,
    /// Whom the input is about, if anybody.
    one: Option<Subject>,
}

impl<'a> Subjects<'a> {
    /// Follows every reference of every entry.
    ///
    /// # Errors
    /// [`FormatError::Foreign`] where two lead to different patients.
    pub(super) fn new(
        entries: &'a [Entry],
        patient: Option<&'a PatientInput>,
    ) -> Result<Self, FormatError> {
        let mut subjects = Self {
            entries,
            by_url: BTreeMap::new(),
            patient,
            one: patient.map(|_| Subject::Patient(0)),
        };
        for (index, entry) in entries.iter().enumerate() {
            let Some(url) = &entry.full_url else {
                continue;
            };
            if subjects.by_url.insert(address(url), index).is_some() {
                return Err(FormatError::Malformed {
                    what: "another entry has its full URL",
                    at: entry.at,
                });
            }
        }
        for entry in entries {
            for subject in subjects.all(entry)? {
                match &subjects.one {
                    None => subjects.one = Some(subject),
                    Some(one) if *one == subject => {}
                    Some(_) => return Err(FormatError::Foreign { at: entry.at }),
                }
            }
        }
        Ok(subjects)
    }

    /// Whom an entry is about; none for the patient itself.
    ///
    /// # Errors
    /// [`FormatError::SubjectUnknown`] or [`FormatError::SubjectKind`].
    pub(super) fn subject(&self, entry: &Entry) -> Result<Option<Subject>, FormatError> {
        let at = entry.at;
        let unknown = FormatError::SubjectUnknown { at };
        let subject = match entry.belonging {
            Belonging::Patient => return Ok(None),
            Belonging::Subject(element) => self.named(entry, element)?,
            Belonging::Bundle => self.one.clone().ok_or(unknown)?,
            Belonging::Either => self.one.clone().unwrap_or(Subject::Directory),
            Belonging::Directory => {
                let own = self.all(entry)?.into_iter().next();
                own.unwrap_or(Subject::Directory)
            }
            Belonging::Refused => return Err(FormatError::Type { at }),
        };
        Ok(Some(subject))
    }

    /// The patient whom the element of an entry names.
    fn named(&self, entry: &Entry, element: &str) -> Result<Subject, FormatError> {
        let at = entry.at;
        let unknown = FormatError::SubjectUnknown { at };
        let Some(reference) = entry.head.reference(element) else {
            let identifier = entry.head.identifier(element).ok_or(unknown)?;
            return self
                .identified(std::slice::from_ref(identifier))
                .ok_or(unknown);
        };
        match self.follow(reference, entry)? {
            Target::Patient(subject) => Ok(subject),
            Target::Contained(id) => {
                let identifiers = contained_patient(entry, &id)?;
                self.identified(&identifiers).ok_or(unknown)
            }
            Target::Another => Err(FormatError::SubjectKind { at }),
            Target::Nothing => Err(unknown),
        }
    }

    /// Every patient an entry refers to in any element.
    fn all(&self, entry: &Entry) -> Result<Vec<Subject>, FormatError> {
        let mut found = Vec::new();
        for (path, reference) in &entry.head.references {
            // R4 Patient.link is another record of the same person, not another person.
            if entry.belonging == Belonging::Patient && path == "link.other" {
                continue;
            }
            if let Target::Patient(subject) = self.follow(reference, entry)? {
                found.push(subject);
            }
        }
        if let Belonging::Subject(element) = entry.belonging {
            match self.named(entry, element) {
                Ok(subject) => found.push(subject),
                // Told by `subject`, once all of the input was seen to be about one patient.
                Err(FormatError::SubjectUnknown { .. } | FormatError::SubjectKind { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn follow(&self, reference: &str, from: &Entry) -> Result<Target, FormatError> {
        Ok(match Literal::parse(reference) {
            Literal::Contained(id) => Target::Contained(id),
            Literal::Urn(urn) => match self.by_url.get(&address(&urn)) {
                Some(index) => self.entry(*index),
                None => Target::Nothing,
            },
            Literal::Absolute {
                url,
                resource_type,
                id,
            } => match self.by_url.get(&address(&url)) {
                Some(index) => self.entry(*index),
                None if resource_type == "Patient" => Target::Patient(Subject::Reference {
                    local_id: id,
                    url: Some(url),
                }),
                None => Target::Another,
            },
            Literal::Relative { resource_type, id } if resource_type == "Patient" => {
                Target::Patient(self.relative(id, from))
            }
            Literal::Conditional {
                resource_type,
                identifier,
            } if resource_type == "Patient" => {
                let identifier = std::slice::from_ref(&identifier);
                self.identified(identifier)
                    .map_or(Target::Nothing, Target::Patient)
            }
            Literal::Relative { .. } | Literal::Conditional { .. } | Literal::Other => {
                Target::Another
            }
            Literal::Unclear => {
                return Err(FormatError::Malformed {
                    what: "a reference to a patient cannot be read",
                    at: from.at,
                });
            }
        })
    }

    fn entry(&self, index: usize) -> Target {
        match self.entries.get(index).map(|entry| entry.belonging) {
            Some(Belonging::Patient) => Target::Patient(Subject::Patient(0)),
            Some(_) => Target::Another,
            None => Target::Nothing,
        }
    }

    /// `Patient/id`: under the base of the entry that says it, where it has one (R4,
    /// `bundle.html#references`), else by id.
    fn relative(&self, id: String, from: &Entry) -> Subject {
        let url = from
            .url()
            .and_then(base)
            .map(|base| format!("{base}/Patient/{id}"));
        let Some(patient) = self.patient else {
            return Subject::Reference { local_id: id, url };
        };
        let same = match (&url, &patient.url) {
            (Some(url), Some(patient)) => url == patient,
            (Some(_) | None, None) | (None, Some(_)) => patient.local_id == id,
        };
        if same {
            Subject::Patient(0)
        } else {
            Subject::Reference { local_id: id, url }
        }
    }

    /// The patient who has one of these identifiers.
    fn identified(&self, identifiers: &[Identifier]) -> Option<Subject> {
        let first = identifiers.first()?;
        let own = self.patient.is_some_and(|patient| {
            let known = &patient.demographics.identifiers;
            identifiers
                .iter()
                .any(|identifier| known.contains(identifier))
        });
        Some(if own {
            Subject::Patient(0)
        } else {
            Subject::Identifier(first.clone())
        })
    }
}

impl Binaries for Subjects<'_> {
    fn find(&self, url: &str) -> Option<&[u8]> {
        let entry = match Literal::parse(url) {
            Literal::Urn(url) | Literal::Absolute { url, .. } => {
                self.entries.get(*self.by_url.get(&address(&url))?)?
            }
            Literal::Relative { resource_type, id } if resource_type == "Binary" => self
                .entries
                .iter()
                .find(|entry| entry.head.resource_type == resource_type && entry.local_id == id)?,
            Literal::Contained(_)
            | Literal::Relative { .. }
            | Literal::Conditional { .. }
            | Literal::Other
            | Literal::Unclear => return None,
        };
        (entry.head.resource_type == "Binary").then_some(&*entry.json)
    }
}

/// A URL as it is looked up: the letters of a URN mean the same in either case (RFC 8141, section 3).
fn address(url: &str) -> String {
    if is_http(url) {
        url.to_owned()
    } else {
        url.to_ascii_lowercase()
    }
}

/// `http://base` of `http://base/Type/id`.
fn base(url: &str) -> Option<&str> {
    match Literal::parse(url) {
        Literal::Absolute {
            resource_type, id, ..
        } => url.strip_suffix(&format!("/{resource_type}/{id}")),
        _ => None,
    }
}

/// Identifiers of a contained Patient. One step only: nothing it contains or refers to is followed.
fn contained_patient(entry: &Entry, id: &str) -> Result<Vec<Identifier>, FormatError> {
    let at: At = entry.at;
    let resource = fhir_value::parse(&entry.json, at)?;
    for contained in objects(&resource, "contained", at)? {
        if text(contained, "id", at)? != Some(id) {
            continue;
        }
        if text(contained, "resourceType", at)? != Some("Patient") {
            return Err(FormatError::SubjectKind { at });
        }
        let mut identifiers = Vec::new();
        for identifier in objects(contained, "identifier", at)? {
            let part = |name| text(identifier, name, at).map(Option::unwrap_or_default);
            let (system, value) = (part("system")?.to_owned(), part("value")?.to_owned());
            if !system.is_empty() && !value.is_empty() {
                identifiers.push(Identifier { system, value });
            }
        }
        return Ok(identifiers);
    }
    Ok(Vec::new())
}
