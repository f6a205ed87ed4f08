//! What an input holds: one patient with resources, a collection of patients with theirs, resources of
//! the directory, or one resource.
//!
//! An input about one patient is taken whole or refused whole: a resource that names anybody else, in
//! any element, refuses it, because a record that holds another person's data harms both. A collection
//! may be about many; each of its resources is about one.

use std::collections::BTreeMap;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{
    bundle_writer::is_uuid,
    fhir_attachment::{self, Attachment},
    fhir_patient::read_demographics,
    fhir_reference::{Head, Literal, is_http, is_id},
    fhir_subject::{People, Subjects},
    fhir_types::{Belonging, belonging},
    fhir_value,
    json::{self, canonical, check},
    report::{At, FormatError, Issue},
};
use crate::{
    records::{Demographics, Identifier},
    types::{
        Code,
        limits::{BUNDLE_ENTRIES_MAX, RESOURCE_MAX_BYTES},
    },
};

/// What an input holds, ready to be stored.
#[derive(Clone, Default)]
pub struct Plan {
    /// Patients: none or one, of a collection any number.
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
    /// The address it had at a FHIR server, where the input tells.
    pub url: Option<String>,
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

/// Reads an input: a bundle of type `transaction`, `batch` or `document` about one patient or none, one of
/// type `collection` about any number, or a single resource.
///
/// # Errors
/// [`FormatError`]; the input is then refused whole.
pub fn read(input: &Bytes) -> Result<Plan, FormatError> {
    check(input)?;
    let text = json::text(input)?.trim();
    let at = At::default();
    let root: Object<'_> = parse(text, at)?;
    let is_bundle = root
        .get("resourceType")
        .is_some_and(|name| name.get() == "\"Bundle\"");
    if is_bundle {
        let people = kind(&root)?;
        return plan(split(input, &root)?, people);
    }
    let entry = Entry::new(input.slice_ref(text.as_bytes()), None, at)?;
    plan(vec![entry], People::One)
}

/// The members of a JSON object, each as the bytes it came as.
type Object<'a> = BTreeMap<String, &'a RawValue>;

fn parse<'a, T: Deserialize<'a>>(json: &'a str, at: At) -> Result<T, FormatError> {
    serde_json::from_str(json).map_err(|_| fhir_value::wrong_type(at))
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

fn split(input: &Bytes, bundle: &Object<'_>) -> Result<Vec<Entry>, FormatError> {
    let entries: Vec<Object<'_>> = match bundle.get("entry") {
        Some(entries) => parse(entries.get(), At::default())?,
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
            Some(url) => parse(url.get(), at)?,
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

fn kind(bundle: &Object<'_>) -> Result<People, FormatError> {
    let kind: Option<String> = match bundle.get("type") {
        Some(kind) => parse(kind.get(), At::default())?,
        None => None,
    };
    let what = match kind.as_deref() {
        Some("transaction" | "batch" | "document") => return Ok(People::One),
        Some("collection") => return Ok(People::Each),
        Some("searchset" | "history") => "the answer to a search",
        Some("transaction-response" | "batch-response") => "the answer to a transaction",
        Some("message") => "a message",
        Some(_) => "a bundle of unknown type",
        None => "a bundle without type",
    };
    Err(FormatError::Format { what })
}

/// What asks for anything but storing is no import.
fn method(entry: &Object<'_>, at: At) -> Result<(), FormatError> {
    let Some(request) = entry.get("request") else {
        return Ok(());
    };
    let request: Object<'_> = parse(request.get(), at)?;
    match request.get("method").map(|method| method.get()) {
        Some("\"POST\"" | "\"PUT\"") => Ok(()),
        Some(_) | None => Err(FormatError::Malformed {
            what: "its request is neither POST nor PUT",
            at,
        }),
    }
}

fn plan(entries: Vec<Entry>, people: People) -> Result<Plan, FormatError> {
    let mut plan = Plan::default();
    let entries = distinct(entries, &mut plan.issues)?;
    for entry in &entries {
        if entry.belonging != Belonging::Patient {
            continue;
        }
        if people == People::One && !plan.patients.is_empty() {
            return Err(FormatError::Foreign { at: entry.at });
        }
        plan.patients.push(PatientInput {
            local_id: entry.local_id.clone(),
            url: entry.url().map(str::to_owned),
            json: entry.json.clone(),
            demographics: read_demographics(&entry.json, entry.at, &mut plan.issues)?,
        });
    }
    let subjects = Subjects::new(&entries, &plan.patients, people)?;
    for (index, entry) in entries.iter().enumerate() {
        let Some(subject) = subjects.subject(index)? else {
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
            url: entry.url().map(str::to_owned),
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
                issues.push(Issue::new(
                    Code::FhirMalformed,
                    "a resource that stands here twice",
                    entry.at,
                ));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    const PERSON: &str = include_str!("../../tests/fixtures/person_with_document.json");

    fn read_text(text: &str) -> Result<Plan, FormatError> {
        read(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn code(text: &str) -> Option<Code> {
        read_text(text).err().map(|error| error.code())
    }

    /// A transaction of entries with a full URL and a resource each.
    fn bundle(entries: &[(&str, &str)]) -> String {
        let entries: Vec<String> = entries
            .iter()
            .map(|(url, resource)| {
                let url = if url.is_empty() {
                    String::new()
                } else {
                    format!(r#""fullUrl":"{url}","#)
                };
                format!(r#"{{{url}"resource":{resource},"request":{{"method":"POST"}}}}"#)
            })
            .collect();
        let entries = entries.join(",");
        format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{entries}]}}"#)
    }

    fn patient(id: &str) -> String {
        format!(
            r#"{{"resourceType":"Patient","id":"{id}","identifier":[{{"system":"urn:x","value":"{id}"}}]}}"#
        )
    }

    fn observation(elements: &str) -> String {
        format!(r#"{{"resourceType":"Observation","id":"o"{elements}}}"#)
    }

    fn about(reference: &str) -> String {
        observation(&format!(r#","subject":{{"reference":"{reference}"}}"#))
    }

    #[test]
    fn a_person_comes_in_with_resources_and_files() {
        let plan = read_text(PERSON).expect("the fixture");

        let person = &plan.patients[0];
        assert_eq!(person.demographics.display_name(), "María Eugenia O'Brien");
        assert_eq!(person.demographics.identifiers.len(), 1);
        let kinds: Vec<&str> = plan
            .resources
            .iter()
            .map(|input| &*input.resource_type)
            .collect();
        assert_eq!(
            kinds,
            ["Practitioner", "Observation", "DocumentReference", "Binary"]
        );
        assert!(plan.resources[0].subject == Subject::Directory);
        let mut rest = plan.resources[1..].iter();
        assert!(rest.all(|input| input.subject == Subject::Patient(0)));
        assert_eq!(
            plan.resources[3].local_id,
            "0a6c2f4e-1111-4a51-8a11-5b8a3c1d0005"
        );
        assert!(plan.resources[1].json.starts_with(b"{\n"));
        assert!(String::from_utf8_lossy(&plan.resources[1].json).contains("163.40"));
        assert_eq!(plan.issues.len(), 1);
    }

    #[test]
    fn a_document_reference_describes_its_files() {
        let plan = read_text(PERSON).expect("the fixture");

        let files = &plan.resources[2].attachments;
        assert_eq!(files.len(), 2);
        assert_eq!(&*files[0].bytes, b"Hello World");
        assert_eq!(files[0].coding.code, "18842-5");
        assert_eq!(
            (&*files[0].title, &*files[1].title),
            ("Discharge summary", "The scan")
        );
        assert_eq!(
            (&*files[0].author, &*files[0].author_organization),
            ("Ada Okafor", "Elm Clinic")
        );
        assert_eq!(
            (&*files[0].status, &*files[1].content_type),
            ("superseded", "image/png")
        );
        assert_eq!(files[0].labels, ["HTEST", "R"]);
        assert_eq!(files[0].date, Timestamp::parse("2026-10-02T07:30:00Z"));
        assert_eq!(files[0].period.0, Timestamp::parse("2026-09-28"));
        assert_eq!(files[0].format, "urn:ihe:iti:xds:2017:mimeTypeSufficient");
    }

    #[test]
    fn an_input_cut_anywhere_is_refused_as_json() {
        assert_eq!(code(PERSON), None);
        for part in 0..50 {
            let mut end = PERSON.len() * part / 50;
            while !PERSON.is_char_boundary(end) {
                end += 1;
            }
            assert_eq!(code(&PERSON[..end]), Some(Code::JsonMalformed), "{part}/50");
        }
    }

    #[test]
    fn a_second_patient_refuses_the_input() {
        let one = patient("1");

        assert_eq!(code(&bundle(&[("urn:uuid:a", &one)])), None);
        let two = bundle(&[("urn:uuid:a", &one), ("urn:uuid:b", &patient("2"))]);
        assert_eq!(code(&two), Some(Code::SubjectForeign));
    }

    /// A collection of entries with a full URL and a resource each.
    fn collection(entries: &[(&str, &str)]) -> String {
        bundle(entries).replacen("transaction", "collection", 1)
    }

    #[test]
    fn a_collection_is_about_many_and_each_resource_about_one() {
        let (one, two) = (patient("1"), patient("2"));
        let second = about("Patient/2").replace("\"o\"", "\"p\"");
        let known = about("Patient/77").replace("\"o\"", "\"k\"");
        let entries: &[(&str, &str)] = &[
            ("urn:uuid:a", &one),
            ("", &about("urn:uuid:a")),
            ("", &second),
            ("", &known),
            ("urn:uuid:b", &two),
        ];

        let plan = read_text(&collection(entries)).expect("a collection");

        assert_eq!(plan.patients.len(), 2);
        let subjects: Vec<&Subject> = plan.resources.iter().map(|input| &input.subject).collect();
        assert!(*subjects[0] == Subject::Patient(0) && *subjects[1] == Subject::Patient(1));
        assert!(matches!(subjects[2], Subject::Reference { local_id, .. } if local_id == "77"));
        assert_eq!(code(&bundle(entries)), Some(Code::SubjectForeign));
        let two_named = observation(
            r#","subject":{"reference":"Patient/1"},"performer":[{"reference":"Patient/2"}]"#,
        );
        let crossed = collection(&[("", &one), ("", &two), ("", &two_named)]);
        assert_eq!(code(&crossed), Some(Code::SubjectForeign));
    }

    /// In a collection a resource that names no patient goes with what it points to.
    ///
    /// The hard case is a Binary, which only the resource that attaches it gives to somebody.
    #[test]
    fn in_a_collection_what_names_no_patient_goes_with_what_it_is_tied_to() {
        let binary =
            r#"{"resourceType":"Binary","id":"b","contentType":"text/plain","data":"SGk="}"#;
        let provenance = r#"{"resourceType":"Provenance","id":"v","target":[{"reference":"DocumentReference/d"}]}"#;
        let attaching = |patient: &str, id: &str| {
            format!(
                r#"{{"resourceType":"DocumentReference","id":"{id}","subject":{{"reference":"Patient/{patient}"}},"content":[{{"attachment":{{"url":"Binary/b"}}}}]}}"#
            )
        };
        let (one, two) = (patient("1"), patient("2"));
        let own = attaching("2", "d");

        let plan = read_text(&collection(&[
            ("", &one),
            ("", &two),
            ("", binary),
            ("", provenance),
            ("", &own),
        ]))
        .expect("a collection");

        assert!(
            plan.resources
                .iter()
                .all(|input| input.subject == Subject::Patient(1))
        );
        assert_eq!(&*plan.resources[2].attachments[0].bytes, b"Hi");
        let lost = collection(&[("", &one), ("", &two), ("", binary)]);
        assert_eq!(code(&lost), Some(Code::SubjectUnknown));
        let alone = collection(&[("", &one), ("", binary)]);
        assert_eq!(code(&alone), None);
        let other = attaching("1", "e");
        let shared = collection(&[
            ("", &one),
            ("", &two),
            ("", binary),
            ("", &own),
            ("", &other),
        ]);
        assert_eq!(code(&shared), Some(Code::SubjectForeign));
    }

    #[test]
    fn a_number_of_two_people_of_a_collection_is_nobodys() {
        let with_number = |id: &str| {
            format!(
                r#"{{"resourceType":"Patient","id":"{id}","identifier":[{{"system":"urn:x","value":"9"}}]}}"#
            )
        };
        let about = about("Patient?identifier=urn:x|9");
        let one = collection(&[("", &with_number("1")), ("", &patient("2")), ("", &about)]);
        let both = collection(&[
            ("", &with_number("1")),
            ("", &with_number("2")),
            ("", &about),
        ]);

        let subject = |text: &str| read_text(text).expect("read").resources[0].subject.clone();

        assert!(subject(&one) == Subject::Patient(0));
        assert!(matches!(subject(&both), Subject::Identifier(_)));
    }

    #[test]
    fn a_resource_of_the_patient_is_known_by_every_kind_of_reference() {
        let by = |url: &str, reference: &str| {
            let bundle = bundle(&[(url, &patient("1")), ("", &about(reference))]);
            let plan = read_text(&bundle);
            plan.is_ok_and(|plan| plan.resources[0].subject == Subject::Patient(0))
        };

        assert!(by("urn:uuid:AB", "urn:uuid:ab"));
        assert!(by("urn:uuid:a", "Patient/1"));
        assert!(by("", "Patient/1/_history/3"));
        assert!(by(
            "http://h/fhir/Patient/1",
            "http://h/fhir/Patient/1/_history/2"
        ));
        assert!(by("http://h/fhir/Patient/1", "Patient/1"));
        assert!(by("urn:uuid:a", "Patient?identifier=urn%3Ax|1"));
    }

    #[test]
    fn a_resource_of_somebody_else_refuses_the_input() {
        let with = |resource: &str| {
            code(&bundle(&[
                ("http://h/fhir/Patient/1", &patient("1")),
                ("http://h/fhir/Observation/o", resource),
            ]))
        };
        let own = r#","subject":{"reference":"Patient/1"}"#;

        assert_eq!(with(&observation(own)), None);
        for resource in [
            about("Patient/2"),
            about("http://other/fhir/Patient/1"),
            about("Patient?identifier=urn:x|2"),
            observation(r#","subject":{"identifier":{"system":"urn:x","value":"2"}}"#),
            observation(&format!(r#"{own},"focus":[{{"reference":"Patient/2"}}]"#)),
            observation(&format!(
                r#"{own},"performer":[{{"reference":"Patient/2"}}]"#
            )),
            observation(&format!(
                r#"{own},"performer":[{{"reference":["Patient/2"]}}]"#
            )),
            observation(&format!(
                r#"{own},"extension":[{{"url":"x","valueReference":{{"reference":"http://h/fhir/Patient/2"}}}}]"#
            )),
            observation(&format!(
                r##"{own},"contained":[{{"resourceType":"RelatedPerson","id":"r","patient":{{"reference":"Patient/2"}}}}]"##
            )),
        ] {
            assert_eq!(with(&resource), Some(Code::SubjectForeign), "{resource}");
        }
    }

    #[test]
    fn a_reference_that_hides_a_patient_is_refused() {
        let with = |reference: &str| {
            let own = r#","subject":{"reference":"Patient/1"},"performer":[{"reference":"#;
            let other = observation(&format!("{own}\"{reference}\"}}]"));
            code(&bundle(&[("urn:uuid:a", &patient("1")), ("", &other)]))
        };

        assert_eq!(with("Practitioner/2"), None);
        for reference in [
            "Patient%2F2",
            "./Patient/2",
            "patient/2",
            "Patient/2/",
            "Patient//2",
            "/Patient/2",
            "Patient?name=x",
            "Patient/2 ",
            "x/Patient/2",
        ] {
            assert_eq!(with(reference), Some(Code::FhirMalformed), "{reference}");
        }
    }

    #[test]
    fn two_patients_known_by_reference_alone_refuse_the_input() {
        let second = r#"{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/2"}}"#;
        let same = second.replace("Patient/2", "Patient/1");

        let plan = read_text(&bundle(&[("", &about("Patient/1")), ("", &same)]));
        let expected = Subject::Reference {
            local_id: "1".to_owned(),
            url: None,
        };
        assert!(
            plan.is_ok_and(|plan| plan.resources.iter().all(|input| input.subject == expected))
        );
        let two = bundle(&[("", &about("Patient/1")), ("", second)]);
        assert_eq!(code(&two), Some(Code::SubjectForeign));
    }

    #[test]
    fn a_clinical_resource_without_patient_is_refused() {
        assert_eq!(code(&about("Patient/1")), None);
        for resource in [
            observation(""),
            observation(r#","subject":{"display":"somebody"}"#),
            about("urn:uuid:nowhere"),
            about("#p"),
            about("Group/1"),
            about("Device/1"),
            r#"{"resourceType":"Binary","id":"b"}"#.to_owned(),
        ] {
            assert_eq!(code(&resource), Some(Code::SubjectUnknown), "{resource}");
        }
        let beside = bundle(&[("urn:uuid:a", &patient("1")), ("", &observation(""))]);
        assert_eq!(code(&beside), Some(Code::SubjectUnknown));
    }

    #[test]
    fn a_contained_patient_is_known_by_identifier_and_loops_lead_nowhere() {
        let contained = |inner: &str| {
            observation(&format!(
                r##","subject":{{"reference":"#p"}},"contained":[{{"resourceType":"Patient","id":"p"{inner}}}]"##
            ))
        };
        let identified = contained(r#","identifier":[{"system":"urn:x","value":"1"}]"#);

        let alone = read_text(&identified).expect("identified");
        assert!(
            matches!(&alone.resources[0].subject, Subject::Identifier(identifier) if identifier.value == "1")
        );
        let with = |id: &str| code(&bundle(&[("urn:uuid:a", &patient(id)), ("", &identified)]));
        assert_eq!(with("1"), None);
        assert_eq!(with("2"), Some(Code::SubjectForeign));
        let looped = contained(r##","link":[{"other":{"reference":"#p"}}]"##);
        assert_eq!(code(&looped), Some(Code::SubjectUnknown));
    }

    #[test]
    fn what_a_bundle_may_not_hold_is_refused() {
        let base = bundle(&[("", &patient("1"))]);

        assert_eq!(code(&base), None);
        for (from, to, expected) in [
            ("\"transaction\"", "\"message\"", Code::FormatUnknown),
            ("\"transaction\"", "\"searchset\"", Code::FormatUnknown),
            ("\"transaction\"", "7", Code::FhirMalformed),
            ("\"POST\"", "\"DELETE\"", Code::FhirMalformed),
            ("\"POST\"", "\"PATCH\"", Code::FhirMalformed),
            ("{\"method\":\"POST\"}", "[]", Code::FhirMalformed),
            ("\"Patient\"", "\"Patents\"", Code::FhirType),
            ("\"Patient\"", "\"Parameters\"", Code::FhirType),
            ("\"Patient\"", "\"Bundle\"", Code::FhirType),
            ("\"Patient\"", "5", Code::FhirMalformed),
            ("\"id\":\"1\"", "\"id\":\"a b\"", Code::FhirMalformed),
            ("\"resource\":", "\"resources\":", Code::FhirMalformed),
            ("\"entry\":[", "\"entry\":[[],", Code::FhirMalformed),
        ] {
            assert_eq!(code(&base.replacen(from, to, 1)), Some(expected), "{to}");
        }
        for input in [
            "[]",
            "7",
            "\"Patient\"",
            "null",
            "{}",
            r#"{"a":{"resourceType":"Patient"}}"#,
        ] {
            assert_eq!(code(input), Some(Code::FhirMalformed), "{input}");
        }
    }

    #[test]
    fn one_address_or_id_for_two_resources_is_refused() {
        let (one, other) = (
            about("Patient/1"),
            about("Patient/1").replace("\"o\"", "\"p\""),
        );

        assert_eq!(
            code(&bundle(&[("urn:uuid:a", &one), ("urn:uuid:b", &other)])),
            None
        );
        let address = bundle(&[("urn:uuid:a", &one), ("urn:uuid:a", &other)]);
        assert_eq!(code(&address), Some(Code::FhirMalformed));
        let changed = one.replace("\"id\"", "\"status\":\"final\",\"id\"");
        let id = bundle(&[("urn:uuid:a", &one), ("urn:uuid:b", &changed)]);
        assert_eq!(code(&id), Some(Code::FhirMalformed));
        let twice = read_text(&bundle(&[("", &one), ("", &one)])).expect("the same twice");
        assert_eq!((twice.resources.len(), twice.issues.len()), (1, 1));
    }

    #[test]
    fn a_resource_without_id_has_the_same_id_each_time() {
        let one = r#"{"resourceType":"Organization","name":"Elm"}"#;
        let id = |text: &str| {
            read_text(text).expect("a resource").resources[0]
                .local_id
                .clone()
        };

        assert_eq!(
            id(one),
            id(r#"{ "name" : "Elm", "resourceType":"Organization"}"#)
        );
        assert_ne!(id(one), id(&one.replace("Elm", "Oak")));
        assert_eq!(id(&bundle(&[("http://h/Organization/7", one)])), "7");
        assert!(is_id(&id(one)));
    }

    #[test]
    fn too_many_entries_are_refused() {
        let entries = |count: usize| {
            let entry = r#"{"resource":{"resourceType":"Location","id":"1"}}"#;
            let entries = vec![entry; count].join(",");
            format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{entries}]}}"#)
        };

        assert_eq!(code(&entries(BUNDLE_ENTRIES_MAX)), None);
        assert_eq!(
            code(&entries(BUNDLE_ENTRIES_MAX + 1)),
            Some(Code::JsonLimit)
        );
    }

    #[test]
    fn a_resource_that_is_too_large_is_refused() {
        let location = |chars: usize| {
            format!(
                r#"{{"resourceType":"Location","id":"1","name":"{}"}}"#,
                "x".repeat(chars)
            )
        };
        let frame = location(0).len();

        assert_eq!(code(&location(RESOURCE_MAX_BYTES - frame)), None);
        assert_eq!(
            code(&location(RESOURCE_MAX_BYTES - frame + 1)),
            Some(Code::JsonLimit)
        );
    }

    #[test]
    fn a_directory_resource_about_a_patient_belongs_to_the_patient() {
        let device = |elements: &str| format!(r#"{{"resourceType":"Device","id":"d"{elements}}}"#);
        let subject = |text: &str| {
            let mut plan = read_text(text).expect("a device");
            plan.resources.remove(0).subject
        };

        assert!(subject(&device("")) == Subject::Directory);
        let own = device(r#","patient":{"reference":"Patient/1"}"#);
        assert!(matches!(subject(&own), Subject::Reference { .. }));
        let beside = bundle(&[("urn:uuid:a", &patient("1")), ("", &device(""))]);
        assert!(subject(&beside) == Subject::Patient(0));
        let linked = patient("1").replace(
            "\"id\"",
            r#""link":[{"other":{"reference":"Patient/2"}}],"id""#,
        );
        assert_eq!(code(&linked), None);
    }

    #[test]
    fn no_error_tells_anything_of_the_input() {
        let canary = "Zqxvja";
        for input in [
            format!(r#"{{"resourceType":"{canary}"}}"#),
            format!(r#"{{"resourceType":"Patient","birthDate":"{canary}"}}"#),
            format!(r#"{{"resourceType":"Patient","id":"{canary}!"}}"#),
            about(&format!("Patient%2F{canary}")),
            bundle(&[
                ("", &about("Patient/1")),
                ("", &about(canary).replace("\"o\"", "\"p\"")),
            ]),
            format!(r#"{{"{canary}":1,"{canary}":2}}"#),
        ] {
            let error = read_text(&input).err().expect("refused");
            assert!(!format!("{error} {error:?}").contains(canary));
        }
    }
}
