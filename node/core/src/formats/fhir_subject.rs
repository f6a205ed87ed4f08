//! Whom each resource of one input is about, and that it is one person throughout where it must be.

use std::collections::BTreeMap;

use super::{
    bundle_writer::is_uuid,
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

/// How many people an input may be about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum People {
    /// One at most: a transaction, batch or document, or a single resource.
    One,
    /// Any number, each resource about one of them: a collection.
    Each,
}

/// The subjects of an input, and the way from references to them.
pub(super) struct Subjects<'a> {
    entries: &'a [Entry],
    by_url: BTreeMap<String, usize>,
    by_name: BTreeMap<(&'a str, &'a str), usize>,
    patients: &'a [PatientInput],
    /// The patient each entry is, by entry.
    patient_of: BTreeMap<usize, usize>,
    by_local_id: BTreeMap<&'a str, Vec<usize>>,
    by_identifier: BTreeMap<&'a Identifier, Vec<usize>>,
    /// Whom each entry is about by its own words, by entry.
    own: Vec<Option<Subject>>,
    /// Whom what names neither patient nor resource is about, if anybody.
    one: Option<Subject>,
}

impl<'a> Subjects<'a> {
    /// Follows every reference of every entry.
    ///
    /// # Errors
    /// [`FormatError::Foreign`] where two of one resource, or of an input about one person, lead to
    /// different patients.
    pub(super) fn new(
        entries: &'a [Entry],
        patients: &'a [PatientInput],
        people: People,
    ) -> Result<Self, FormatError> {
        let mut subjects = Self {
            entries,
            by_url: BTreeMap::new(),
            by_name: BTreeMap::new(),
            patients,
            patient_of: BTreeMap::new(),
            by_local_id: BTreeMap::new(),
            by_identifier: BTreeMap::new(),
            own: Vec::with_capacity(entries.len()),
            one: (patients.len() == 1).then_some(Subject::Patient(0)),
        };
        subjects.index()?;
        for (index, entry) in entries.iter().enumerate() {
            let mut own = subjects
                .patient_of
                .get(&index)
                .copied()
                .map(Subject::Patient);
            if people == People::One {
                own = own.or_else(|| subjects.one.clone());
            }
            for subject in subjects.all(entry)? {
                match &own {
                    None => own = Some(subject),
                    Some(own) if *own == subject => {}
                    Some(_) => return Err(FormatError::Foreign { at: entry.at }),
                }
            }
            if people == People::One && subjects.one.is_none() {
                subjects.one.clone_from(&own);
            }
            subjects.own.push(own);
        }
        subjects.give_to_the_attached()?;
        Ok(subjects)
    }

    fn index(&mut self) -> Result<(), FormatError> {
        for (index, entry) in self.entries.iter().enumerate() {
            let name = (entry.head.resource_type.as_str(), entry.local_id.as_str());
            self.by_name.insert(name, index);
            if entry.belonging == Belonging::Patient {
                self.patient_of.insert(index, self.patient_of.len());
            }
            let Some(url) = &entry.full_url else {
                continue;
            };
            if self.by_url.insert(address(url), index).is_some() {
                return Err(FormatError::Malformed {
                    what: "another entry has its full URL",
                    at: entry.at,
                });
            }
        }
        for (index, patient) in self.patients.iter().enumerate() {
            let same_id = self.by_local_id.entry(&patient.local_id);
            same_id.or_default().push(index);
            for identifier in &patient.demographics.identifiers {
                let holders = self.by_identifier.entry(identifier).or_default();
                if holders.last() != Some(&index) {
                    holders.push(index);
                }
            }
        }
        Ok(())
    }

    /// A Binary says of itself whom it is about only by the resource that attaches it.
    fn give_to_the_attached(&mut self) -> Result<(), FormatError> {
        for (index, entry) in self.entries.iter().enumerate() {
            let Some(subject) = self.own[index].clone() else {
                continue;
            };
            for url in &entry.head.attached {
                let Some(binary) = self.binary(url) else {
                    continue;
                };
                match &self.own[binary] {
                    None => self.own[binary] = Some(subject.clone()),
                    Some(before) if *before == subject => {}
                    Some(_) => {
                        return Err(FormatError::Foreign {
                            at: self.entries[binary].at,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Whom an entry is about; none for the patient itself.
    ///
    /// # Errors
    /// [`FormatError::SubjectUnknown`], [`FormatError::SubjectKind`] or [`FormatError::Foreign`].
    pub(super) fn subject(&self, index: usize) -> Result<Option<Subject>, FormatError> {
        let entry = &self.entries[index];
        let at = entry.at;
        let unknown = FormatError::SubjectUnknown { at };
        let subject = match entry.belonging {
            Belonging::Patient => return Ok(None),
            Belonging::Subject(element) => self.named(entry, element)?,
            Belonging::Bundle => self.around(index)?.ok_or(unknown)?,
            Belonging::Either => self.around(index)?.unwrap_or(Subject::Directory),
            Belonging::Directory => {
                let own = self.all(entry)?.into_iter().next();
                own.unwrap_or(Subject::Directory)
            }
            Belonging::Refused => return Err(FormatError::Type { at }),
        };
        Ok(Some(subject))
    }

    /// Whom an entry is about by its own words, by what it refers to, or by the input about one person.
    fn around(&self, index: usize) -> Result<Option<Subject>, FormatError> {
        if let Some(own) = &self.own[index] {
            return Ok(Some(own.clone()));
        }
        let entry = &self.entries[index];
        let mut found: Option<&Subject> = None;
        for (_, reference) in &entry.head.references {
            let Some(subject) = self.target(reference).and_then(|to| self.own[to].as_ref()) else {
                continue;
            };
            match found {
                None => found = Some(subject),
                Some(before) if before == subject => {}
                Some(_) => return Err(FormatError::Foreign { at: entry.at }),
            }
        }
        Ok(found.or(self.one.as_ref()).cloned())
    }

    /// The entry that a reference or address leads to.
    fn target(&self, reference: &str) -> Option<usize> {
        match Literal::parse(reference) {
            Literal::Urn(url) | Literal::Absolute { url, .. } => {
                self.by_url.get(&address(&url)).copied()
            }
            Literal::Relative { resource_type, id } => {
                let name = (resource_type.as_str(), id.as_str());
                self.by_name.get(&name).copied()
            }
            Literal::Contained(_)
            | Literal::Conditional { .. }
            | Literal::Other
            | Literal::Unclear => None,
        }
    }

    fn binary(&self, url: &str) -> Option<usize> {
        let index = self.target(url)?;
        (self.entries[index].head.resource_type == "Binary").then_some(index)
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
            // Bulk data of some systems keeps, between files, the addresses of a bundle.
            Target::Nothing => match uuid(reference) {
                Some(local_id) => Ok(Subject::Reference {
                    local_id,
                    url: None,
                }),
                None => Err(unknown),
            },
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
        match self.patient_of.get(&index) {
            Some(patient) => Target::Patient(Subject::Patient(*patient)),
            None => Target::Another,
        }
    }

    /// `Patient/id`: under the base of the entry that says it, where it has one (R4,
    /// `bundle.html#references`), else by id.
    fn relative(&self, id: String, from: &Entry) -> Subject {
        let url = from
            .url()
            .and_then(base)
            .map(|base| format!("{base}/Patient/{id}"));
        let same_id = self.by_local_id.get(id.as_str());
        let found =
            same_id
                .into_iter()
                .flatten()
                .find(|index| match (&url, &self.patients[**index].url) {
                    (Some(url), Some(patient)) => url == patient,
                    (Some(_) | None, None) | (None, Some(_)) => true,
                });
        match found {
            Some(index) => Subject::Patient(*index),
            None => Subject::Reference { local_id: id, url },
        }
    }

    /// The patient who has one of these identifiers.
    fn identified(&self, identifiers: &[Identifier]) -> Option<Subject> {
        let first = identifiers.first()?;
        let holders = identifiers
            .iter()
            .find_map(|identifier| self.by_identifier.get(identifier));
        Some(match holders.map(Vec::as_slice) {
            Some([only]) => Subject::Patient(*only),
            // A number of several people says of none whose this is.
            Some(_) | None => Subject::Identifier(first.clone()),
        })
    }
}

impl Binaries for Subjects<'_> {
    fn find(&self, url: &str) -> Option<&[u8]> {
        Some(&self.entries[self.binary(url)?].json)
    }
}

/// The UUID of `urn:uuid:..`, lower case.
fn uuid(reference: &str) -> Option<String> {
    let plain = reference.to_ascii_lowercase();
    let uuid = plain.strip_prefix("urn:uuid:")?;
    is_uuid(uuid).then(|| uuid.to_owned())
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
