//! An entry as FHIR R4 `AuditEvent`, after the patterns of IHE BALP 1.1 where the entry has what they ask for.
//!
//! A profile is claimed only where every element it requires is there: no raw query is kept, so no entry
//! claims *Query*; a decision that no consent made is no *AuthZconsent* (`conformance.md`, Audit).

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use super::{Entry, Kind, Logged};
use crate::{
    membership::Organization,
    types::{Code, ConsentId, DocumentId, MemberId, NodeKey, PatientId},
};

/// A member as an event names it; of one that was never met only the id is known.
#[derive(Clone, Copy)]
pub struct Party<'a> {
    /// Its id.
    pub member: MemberId,
    /// Its node and organisation.
    pub known: Option<(NodeKey, &'a Organization)>,
}

/// What an entry does not say itself.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Whose log it is.
    pub own: Party<'a>,
    /// The other member of the entry.
    pub other: Option<Party<'a>>,
    /// Who gave the consent that decided: *patient* or a relation; empty where staff stated it.
    pub consented_by: Option<&'a str>,
}

const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const LIFECYCLE: &str = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle";
const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const ROLE_CLASS: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleClass";
const SECURITY_ROLE: &str = "http://terminology.hl7.org/CodeSystem/extra-security-role-type";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const OBJECT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const RESOURCE_TYPES: &str = "http://hl7.org/fhir/resource-types";
const SOURCE_TYPE: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";
const SNOMED: &str = "http://snomed.info/sct";
const AUTHZ: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType";
const PROFILES: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit";
const NPI: &str = "http://hl7.org/fhir/sid/us-npi";
/// System of [`Kind::text`]; ours alone.
const KIND: &str = "urn:chartmesh:audit-kind";

/// What an event is of, by its kind.
struct Shape {
    event: &'static str,
    display: &'static str,
    action: &'static str,
    subtype: Value,
    profile: Option<String>,
}

impl Shape {
    fn new(event: &'static str, display: &'static str, action: &'static str, kind: Kind) -> Self {
        Self {
            event,
            display,
            action,
            subtype: json!([{ "system": KIND, "code": kind.text() }]),
            profile: None,
        }
    }
}

/// Writes an entry; none for one that only fills the log up.
pub fn audit_event(logged: &Logged, leaf: &[u8; 32], around: &Surroundings<'_>) -> Option<Value> {
    let entry = &logged.entry;
    let shape = shape(entry, around)?;
    let mut event = json!({
        "resourceType": "AuditEvent",
        "id": format!("entry-{}", logged.index),
        "type": { "system": DICOM, "code": shape.event, "display": shape.display },
        "subtype": shape.subtype,
        "action": shape.action,
        "recorded": logged.at.to_string(),
        "outcome": if entry.code.is_some() { "8" } else { "0" },
        "agent": agents(entry, around),
        "source": {
            "site": around.own.known.map_or_else(String::new, |(_, known)| known.name.clone()),
            "observer": who(&around.own),
            "type": [{ "system": SOURCE_TYPE, "code": "4", "display": "Application Server" }],
        },
        "entity": entities(entry, leaf),
    });
    if let Some(code) = entry.code {
        event["outcomeDesc"] = json!(outcome(entry, code));
    }
    if let Some(purpose) = entry.purpose {
        event["purposeOfEvent"] =
            json!([{ "coding": [{ "system": ACT_REASON, "code": purpose.code() }] }]);
    }
    if let Some(profile) = shape.profile {
        event["meta"] = json!({ "profile": [profile] });
    }
    if around.own.known.is_some_and(|(_, known)| known.test) {
        event["meta"]["security"] = json!([{ "system": ACT_REASON, "code": "HTEST" }]);
    }
    Some(event)
}

fn outcome(entry: &Entry, code: Code) -> String {
    match entry.rule {
        Some(rule) => format!("{code}: {}", rule.text()),
        None => format!("{code}: {}", code.sentence()),
    }
}

fn shape(entry: &Entry, around: &Surroundings<'_>) -> Option<Shape> {
    let named = |event, display, action| Some(Shape::new(event, display, action, entry.kind));
    match entry.kind {
        Kind::Padding => None,
        Kind::Disclosed => Some(disclosure("110106", "Export", "R", "Source", entry, around)),
        Kind::Received if entry.disclosure.is_some() => {
            let end = "Recipient";
            Some(disclosure("110107", "Import", "C", end, entry, around))
        }
        Kind::Denied => Some(decision(entry, around)),
        Kind::Located | Kind::LocateAsked | Kind::Listed | Kind::ListAsked => {
            named("110112", "Query", "E")
        }
        Kind::Received | Kind::Fetched | Kind::Viewed => named("110110", "Patient Record", "R"),
        Kind::Imported => named("110107", "Import", "C"),
        Kind::PatientAdded | Kind::DocumentAdded | Kind::ConsentRecorded => {
            named("110110", "Patient Record", "C")
        }
        Kind::ConsentRevoked => named("110110", "Patient Record", "U"),
        Kind::Erased => named("110110", "Patient Record", "D"),
        Kind::Verified => named("110101", "Audit Log Used", "R"),
        Kind::Started | Kind::Stopped => named("110100", "Application Activity", "E"),
        Kind::RefusedMessage
        | Kind::MemberAdmitted
        | Kind::NetworkFounded
        | Kind::Joined
        | Kind::TicketIssued
        | Kind::JoinRefused
        | Kind::JoinAsked
        | Kind::ProposalSigned
        | Kind::CharterChanged
        | Kind::CharterSeen
        | Kind::CharterAdopted
        | Kind::MemberRevoked
        | Kind::TrustConflict
        | Kind::TicketReused => named("110113", "Security Alert", "E"),
    }
}

/// A disclosure, at the end that this log is of.
fn disclosure(
    event: &'static str,
    display: &'static str,
    action: &'static str,
    end: &str,
    entry: &Entry,
    around: &Surroundings<'_>,
) -> Shape {
    let reachable = |party: Option<Party<'_>>| party.is_some_and(|party| party.known.is_some());
    let complete = entry.patient.is_some()
        && entry.document.is_some()
        && reachable(Some(around.own))
        && reachable(around.other);
    Shape {
        subtype: json!([
            { "system": LIFECYCLE, "code": "disclose", "display": "Disclose Record Lifecycle Event" },
            { "system": KIND, "code": entry.kind.text() },
        ]),
        profile: complete.then(|| format!("{PROFILES}.PrivacyDisclosure.{end}")),
        ..Shape::new(event, display, action, entry.kind)
    }
}

/// A decision against a request.
fn decision(entry: &Entry, around: &Surroundings<'_>) -> Shape {
    let by_consent = entry.consent.is_some();
    let code = if by_consent {
        "AuthZ-Consent"
    } else {
        "AuthZ-Role"
    };
    let complete = by_consent
        && entry.patient.is_some()
        && entry.user.is_some()
        && entry.actor.is_empty()
        && around.other.is_some_and(|other| other.known.is_some());
    Shape {
        subtype: json!([{ "system": AUTHZ, "code": code }]),
        profile: complete.then(|| format!("{PROFILES}.AuthZconsent")),
        ..Shape::new("110113", "Security Alert", "E", entry.kind)
    }
}

// ---------------------------------------------------------------- agents

fn agents(entry: &Entry, around: &Surroundings<'_>) -> Vec<Value> {
    let own = around.own;
    let mut agents = match (entry.kind, around.other) {
        (Kind::Disclosed | Kind::Listed | Kind::Fetched, Some(other)) => {
            transfer(&own, &other, entry.kind == Kind::Disclosed)
        }
        (Kind::Received | Kind::ListAsked, Some(other)) => {
            transfer(&other, &own, entry.kind == Kind::Received)
        }
        (Kind::Located, Some(other)) => transfer(&other, &own, false),
        (Kind::LocateAsked, Some(other)) => transfer(&own, &other, false),
        (Kind::Denied, Some(other)) if entry.actor.is_empty() => vec![
            machine((DICOM, "110150", "Application"), &other),
            plain(
                (ROLE_CLASS, "PROV", "healthcare provider"),
                organization(&other),
            ),
            plain(
                (SECURITY_ROLE, "authserver", "authorization server"),
                who(&own),
            ),
        ],
        (Kind::Denied, Some(other)) => vec![
            machine((DICOM, "110150", "Application"), &own),
            plain(
                (SECURITY_ROLE, "authserver", "authorization server"),
                who(&other),
            ),
        ],
        (_, Some(other)) => vec![
            machine((DICOM, "110150", "Application"), &own),
            plain(
                (ROLE_CLASS, "PROV", "healthcare provider"),
                organization(&other),
            ),
        ],
        (_, None) => vec![machine((DICOM, "110150", "Application"), &own)],
    };
    if entry.kind == Kind::Disclosed
        && let Some(who) = authorizer(entry, around)
    {
        agents.push(plain((SNOMED, "429577009", "Patient Advocate"), who));
    }
    agents.extend(user(entry, around));
    agents
}

/// From whom data went to whom; who keeps the record releases it.
fn transfer(from: &Party<'_>, to: &Party<'_>, releases: bool) -> Vec<Value> {
    let mut agents = vec![
        machine((DICOM, "110153", "Source Role ID"), from),
        machine((DICOM, "110152", "Destination Role ID"), to),
    ];
    if releases {
        let custodian = (SNOMED, "159541003", "Record keeping/library clerk");
        agents.push(plain(custodian, organization(from)));
    }
    agents
}

/// The person who asked, by the pseudonym or, in this node's own log, the account.
fn user(entry: &Entry, around: &Surroundings<'_>) -> Option<Value> {
    let acts_here = !entry.actor.is_empty();
    let mut who = json!({});
    if let Some(user) = entry.user {
        who["identifier"] = json!({ "system": "urn:chartmesh:user", "value": user.to_string() });
    }
    if acts_here {
        who["display"] = json!(entry.actor);
    } else if entry.user.is_none() {
        return None;
    } else if let Some(organization) = around.other.and_then(|other| other.known) {
        who["display"] = json!(format!("a user of {}", organization.1.name));
    }
    let mut agent = plain((PARTICIPATION, "IRCP", "information recipient"), who);
    agent["requestor"] = json!(true);
    if let Some(role) = entry.role {
        agent["role"] =
            json!([{ "coding": [{ "system": "urn:chartmesh:role", "code": role.code() }] }]);
    }
    if let Some(purpose) = entry.purpose {
        agent["purposeOfUse"] =
            json!([{ "coding": [{ "system": ACT_REASON, "code": purpose.code() }] }]);
    }
    Some(agent)
}

/// Who spoke for the patient; nobody where no consent decided or staff stated it.
fn authorizer(entry: &Entry, around: &Surroundings<'_>) -> Option<Value> {
    let patient = entry.patient?;
    match around.consented_by? {
        "" => None,
        "patient" => Some(json!({ "reference": patient_reference(patient) })),
        relation => Some(json!({ "display": format!("{relation} of the patient") })),
    }
}

type Coded = (&'static str, &'static str, &'static str);

fn plain((system, code, display): Coded, who: Value) -> Value {
    json!({
        "type": { "coding": [{ "system": system, "code": code, "display": display }] },
        "who": who,
        "requestor": false,
    })
}

/// A node as it is on the network.
fn machine(coded: Coded, party: &Party<'_>) -> Value {
    let mut agent = plain(coded, who(party));
    if let Some((node, _)) = party.known {
        agent["network"] = json!({ "address": format!("p2p:{node}"), "type": "5" });
    }
    agent
}

fn who(party: &Party<'_>) -> Value {
    let mut who = json!({
        "type": "Device",
        "identifier": { "system": "urn:chartmesh:member", "value": party.member.to_string() },
    });
    if let Some((_, organization)) = party.known {
        who["display"] = json!(organization.name);
    }
    who
}

fn organization(party: &Party<'_>) -> Value {
    let Some((_, known)) = party.known else {
        return who(party);
    };
    let mut reference = json!({ "type": "Organization", "display": known.name });
    if !known.npi.is_empty() {
        reference["identifier"] = json!({ "system": NPI, "value": known.npi });
    }
    reference
}

// ---------------------------------------------------------------- entities

fn entities(entry: &Entry, leaf: &[u8; 32]) -> Vec<Value> {
    let mut entities = Vec::new();
    if let Some(patient) = entry.patient {
        entities.push(json!({
            "type": { "system": ENTITY_TYPE, "code": "1", "display": "Person" },
            "role": { "system": OBJECT_ROLE, "code": "1", "display": "Patient" },
            "what": { "reference": patient_reference(patient) },
        }));
    }
    if let Some(consent) = entry.consent {
        entities.push(json!({
            "type": { "system": RESOURCE_TYPES, "code": "Consent" },
            "what": { "reference": format!("Consent/{}", fhir_id(ConsentId::PREFIX, &consent.0)) },
        }));
    }
    // AuthZconsent allows of no other entity.
    if entry.kind == Kind::Denied && entry.consent.is_some() {
        return entities;
    }
    let mut record = json!({
        "type": { "system": ENTITY_TYPE, "code": "2", "display": "System Object" },
        "detail": details(entry, leaf),
    });
    if let Some(document) = entry.document {
        let id = fhir_id(DocumentId::PREFIX, &document.0);
        record["role"] = json!({ "system": OBJECT_ROLE, "code": "3", "display": "Report" });
        record["what"] = json!({ "reference": format!("DocumentReference/{id}") });
    }
    if !entry.description.is_empty() {
        record["description"] = json!(entry.description);
    }
    entities.push(record);
    entities
}

/// What joins the event with the log and with the other end's.
fn details(entry: &Entry, leaf: &[u8; 32]) -> Vec<Value> {
    let hex = |hash: &[u8; 32]| HEXLOWER.encode(hash);
    let said = [
        ("leaf", Some(hex(leaf))),
        ("disclosure", entry.disclosure.map(|id| id.to_string())),
        ("query", entry.query_hash.as_ref().map(hex)),
        ("counterparty-leaf", entry.peer_leaf.as_ref().map(hex)),
        ("rule", entry.rule.map(|rule| rule.text().to_owned())),
        ("count", (entry.count > 0).then(|| entry.count.to_string())),
    ];
    said.into_iter()
        .filter_map(|(name, value)| Some(json!({ "type": name, "valueString": value? })))
        .collect()
}

fn patient_reference(patient: PatientId) -> String {
    format!("Patient/{}", fhir_id(PatientId::PREFIX, &patient.0))
}

/// FHIR ids have no underscore (FHIR R4, Datatypes, id).
fn fhir_id(prefix: &str, bytes: &[u8]) -> String {
    let prefix = prefix.trim_end_matches('_');
    let id = BASE32_NOPAD.encode(bytes).to_ascii_lowercase();
    format!("{prefix}-{id}")
}
