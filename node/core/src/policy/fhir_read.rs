//! The reading half of [`super::fhir`]: whole or not at all.

use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde_json::{Map, Value};

use super::fhir::{
    ACT_REASON, PARTICIPATION, SCOPE, TARGET, break_glass_exception, patient_reference,
};
use crate::{
    records::{Coding, ConsentForm, Evidence, Provision, Target},
    types::{ConsentId, PatientId, Purpose, Timestamp},
};

/// The resource is no consent that this node can keep whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{element} is missing, repeated, or says what this node cannot keep")]
pub struct ConsentMalformed {
    /// Which element.
    pub element: &'static str,
}

fn malformed<T>(element: &'static str) -> Result<T, ConsentMalformed> {
    Err(ConsentMalformed { element })
}

/// What a FHIR Consent states; whether to believe it is the reader's own affair.
#[derive(Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its id.
    pub id: ConsentId,
    /// Whose records it is about.
    pub patient: PatientId,
    /// Which way it goes.
    pub provision: Provision,
    /// Opt-out where it denies everything, else a provision.
    pub form: ConsentForm,
    /// Whom it is about.
    pub target: Target,
    /// What for.
    pub purposes: Vec<Purpose>,
    /// Who gave it; empty where it does not say.
    pub by: String,
    /// Start; 1970 where it has none.
    pub from: Timestamp,
    /// End, exclusive.
    pub until: Option<Timestamp>,
    /// When it was given.
    pub given_at: Timestamp,
    /// The signed form.
    pub evidence: Option<Evidence>,
    /// A denial that holds under break-glass.
    pub even_emergency: bool,
    /// URI of the policy.
    pub policy: String,
}

/// Reads a consent in the form that [`super::consent_to_fhir`] writes.
///
/// # Errors
/// Names the first element that is missing, unknown, or would be lost: nobody is asked to believe a
/// consent of which half was read.
pub fn consent_from_fhir(resource: &Value) -> Result<Statement, ConsentMalformed> {
    let fields = object(resource, "Consent")?;
    known(fields, &TOP, "Consent")?;
    if text(field(fields, "resourceType")) != Some("Consent") {
        return malformed("resourceType");
    }
    let Some(id) = text(field(fields, "id")).and_then(|id| read_id(id, ConsentId::PREFIX)) else {
        return malformed("id");
    };
    if text(field(fields, "status")) != Some("active") {
        return malformed("status");
    }
    code(field(fields, "scope"), SCOPE, "patient-privacy", "scope")?;
    let category = only(field(fields, "category"), "category")?;
    code(category, Coding::LOINC, "59284-0", "category")?;
    let patient = read_patient(field(fields, "patient"), "patient")?;
    let Some(given_at) = text(field(fields, "dateTime")).and_then(Timestamp::parse) else {
        return malformed("dateTime");
    };
    let policy = only(field(fields, "policy"), "policy")?;
    let policy = object(policy, "policy")?;
    known(policy, &["uri"], "policy")?;
    let Some(policy) = text(field(policy, "uri")) else {
        return malformed("policy.uri");
    };
    let read = read_provision(field(fields, "provision"))?;
    Ok(Statement {
        id: ConsentId(id),
        patient,
        provision: read.provision,
        form: read.form,
        target: read.target,
        purposes: read.purposes,
        by: read_speaker(fields, patient)?,
        from: read.from,
        until: read.until,
        given_at,
        evidence: read_evidence(fields)?,
        even_emergency: read.even_emergency,
        policy: policy.to_owned(),
    })
}

const TOP: [&str; 15] = [
    "resourceType",
    "id",
    "meta",
    "text",
    "contained",
    "status",
    "scope",
    "category",
    "patient",
    "dateTime",
    "performer",
    "organization",
    "sourceReference",
    "policy",
    "provision",
];

const NULL: Value = Value::Null;

fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a Value {
    fields.get(name).unwrap_or(&NULL)
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn object<'a>(
    value: &'a Value,
    element: &'static str,
) -> Result<&'a Map<String, Value>, ConsentMalformed> {
    value.as_object().ok_or(ConsentMalformed { element })
}

fn only<'a>(value: &'a Value, element: &'static str) -> Result<&'a Value, ConsentMalformed> {
    match value.as_array().map(Vec::as_slice) {
        Some([one]) => Ok(one),
        _ => malformed(element),
    }
}

fn known(
    fields: &Map<String, Value>,
    names: &[&str],
    element: &'static str,
) -> Result<(), ConsentMalformed> {
    if fields.keys().all(|key| names.contains(&key.as_str())) {
        Ok(())
    } else {
        malformed(element)
    }
}

fn code(
    concept: &Value,
    system: &str,
    expected: &str,
    element: &'static str,
) -> Result<(), ConsentMalformed> {
    let coding = only(field(object(concept, element)?, "coding"), element)?;
    let coding = object(coding, element)?;
    let agrees = text(field(coding, "system")) == Some(system)
        && text(field(coding, "code")) == Some(expected);
    if agrees { Ok(()) } else { malformed(element) }
}

fn read_id(id: &str, prefix: &str) -> Option<[u8; 16]> {
    let rest = id
        .strip_prefix(prefix.trim_end_matches('_'))?
        .strip_prefix('-')?;
    let upper = rest.to_ascii_uppercase();
    let bytes = BASE32_NOPAD.decode(upper.as_bytes()).ok()?;
    bytes.try_into().ok()
}

fn read_patient(reference: &Value, element: &'static str) -> Result<PatientId, ConsentMalformed> {
    text(field(object(reference, element)?, "reference"))
        .and_then(|reference| reference.strip_prefix("Patient/"))
        .and_then(|id| read_id(id, PatientId::PREFIX))
        .map(PatientId)
        .ok_or(ConsentMalformed { element })
}

fn contained<'a>(
    fields: &'a Map<String, Value>,
    id: &str,
    kind: &str,
) -> Option<&'a Map<String, Value>> {
    field(fields, "contained")
        .as_array()?
        .iter()
        .filter_map(Value::as_object)
        .find(|resource| {
            text(field(resource, "id")) == Some(id)
                && text(field(resource, "resourceType")) == Some(kind)
        })
}

fn read_speaker(
    fields: &Map<String, Value>,
    patient: PatientId,
) -> Result<String, ConsentMalformed> {
    let performer = field(fields, "performer");
    if performer.is_null() {
        return Ok(String::new());
    }
    let performer = only(performer, "performer")?;
    let reference = text(field(object(performer, "performer")?, "reference"));
    if reference == Some(patient_reference(patient).as_str()) {
        return Ok("patient".to_owned());
    }
    let relation = reference
        .and_then(|reference| reference.strip_prefix('#'))
        .and_then(|id| contained(fields, id, "RelatedPerson"))
        .and_then(|person| only(field(person, "relationship"), "performer").ok())
        .and_then(|relation| relation.get("text"))
        .and_then(text);
    let Some(relation) = relation else {
        return malformed("performer");
    };
    Ok(relation.to_owned())
}

fn read_evidence(fields: &Map<String, Value>) -> Result<Option<Evidence>, ConsentMalformed> {
    let element = "sourceReference";
    let source = field(fields, element);
    if source.is_null() {
        return Ok(None);
    }
    let evidence = text(field(object(source, element)?, "reference"))
        .and_then(|reference| reference.strip_prefix('#'))
        .and_then(|id| contained(fields, id, "DocumentReference"))
        .and_then(|document| {
            let uri = text(document.get("masterIdentifier")?.get("value")?)?;
            let hash = uri.strip_prefix("ni:///sha-256;")?;
            let attachment = only(document.get("content")?, element)
                .ok()?
                .get("attachment")?;
            Some(Evidence {
                sha256: BASE64URL_NOPAD
                    .decode(hash.as_bytes())
                    .ok()?
                    .try_into()
                    .ok()?,
                content_type: text(attachment.get("contentType")?)?.to_owned(),
                size: attachment.get("size")?.as_u64()?,
            })
        });
    match evidence {
        Some(evidence) => Ok(Some(evidence)),
        None => malformed(element),
    }
}

struct ReadProvision {
    provision: Provision,
    form: ConsentForm,
    target: Target,
    purposes: Vec<Purpose>,
    from: Timestamp,
    until: Option<Timestamp>,
    even_emergency: bool,
}

fn read_provision(value: &Value) -> Result<ReadProvision, ConsentMalformed> {
    let fields = object(value, "provision")?;
    let names = ["type", "period", "actor", "purpose", "provision"];
    known(fields, &names, "provision")?;
    let provision = match text(field(fields, "type")) {
        Some("permit") => Provision::Permit,
        Some("deny") => Provision::Deny,
        _ => return malformed("provision.type"),
    };
    let purposes = read_purposes(field(fields, "purpose"))?;
    let nested = field(fields, "provision");
    let excepted = match nested {
        Value::Null => false,
        nested if only(nested, "provision.provision")? == &break_glass_exception() => true,
        _ => return malformed("provision.provision"),
    };
    let (form, even_emergency) = match (provision, purposes.is_empty()) {
        (Provision::Deny, true) => (ConsentForm::OptOut, !excepted),
        (Provision::Permit | Provision::Deny, false) if !excepted => {
            (ConsentForm::Provision, false)
        }
        // A permit for every purpose would take in break-glass, which goes by name only.
        (Provision::Permit, true) => return malformed("provision.purpose"),
        (Provision::Permit | Provision::Deny, false) => return malformed("provision.provision"),
    };
    let (from, until) = read_period(field(fields, "period"))?;
    Ok(ReadProvision {
        provision,
        form,
        target: read_target(field(fields, "actor"))?,
        purposes,
        from,
        until,
        even_emergency,
    })
}

fn read_purposes(value: &Value) -> Result<Vec<Purpose>, ConsentMalformed> {
    let element = "provision.purpose";
    if value.is_null() {
        return Ok(Vec::new());
    }
    let Some(codings) = value.as_array().filter(|codings| !codings.is_empty()) else {
        return malformed(element);
    };
    codings
        .iter()
        .map(|coding| {
            let coding = object(coding, element)?;
            known(coding, &["id", "system", "code", "display"], element)?;
            if text(field(coding, "system")) != Some(ACT_REASON) {
                return malformed(element);
            }
            text(field(coding, "code"))
                .and_then(|code| Purpose::from_str(code).ok())
                .ok_or(ConsentMalformed { element })
        })
        .collect()
}

fn read_target(value: &Value) -> Result<Target, ConsentMalformed> {
    let element = "provision.actor";
    if value.is_null() {
        return Ok(Target::Any);
    }
    let actor = object(only(value, element)?, element)?;
    known(actor, &["id", "role", "reference"], element)?;
    code(field(actor, "role"), PARTICIPATION, "IRCP", element)?;
    let identifier = field(actor, "reference")
        .get("identifier")
        .ok_or(ConsentMalformed { element })?;
    let identifier = object(identifier, element)?;
    if text(field(identifier, "system")) != Some(TARGET) {
        return malformed(element);
    }
    text(field(identifier, "value"))
        .and_then(|target| target.parse().ok())
        .ok_or(ConsentMalformed { element })
}

fn read_period(value: &Value) -> Result<(Timestamp, Option<Timestamp>), ConsentMalformed> {
    let element = "provision.period";
    if value.is_null() {
        return Ok((Timestamp(0), None));
    }
    let fields = object(value, element)?;
    known(fields, &["start", "end"], element)?;
    let from = match field(fields, "start") {
        Value::Null => Timestamp(0),
        start => text(start)
            .and_then(Timestamp::parse)
            .ok_or(ConsentMalformed { element })?,
    };
    let until = match field(fields, "end") {
        Value::Null => None,
        end => Some(
            text(end)
                .and_then(after)
                .ok_or(ConsentMalformed { element })?,
        ),
    };
    Ok((from, until))
}

/// The first moment that a FHIR date or date-time no longer takes in.
fn after(text: &str) -> Option<Timestamp> {
    let at = Timestamp::parse(text)?;
    let len_ms = if text.len() == "2026-11-22".len() {
        86_400_000
    } else if text.contains('.') {
        1
    } else {
        1_000
    };
    Some(Timestamp(at.0.saturating_add(len_ms)))
}
