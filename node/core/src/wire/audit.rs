//! The journal body of an audit entry.

use chartmesh_proto::store;

use super::field::{Term, WireError, optional_array, optional_bytes};
use crate::{
    records::AuditFields,
    types::{ConsentId, DisclosureId, DocumentId, MemberId, PatientId, Purpose, Role, UserId},
};

/// The journal body of an audit entry.
pub fn encode_audit(entry: &AuditFields) -> Vec<u8> {
    let record = store::AuditRecord {
        kind: entry.kind,
        member: optional_bytes(entry.member.map(|id| id.0)),
        patient: optional_bytes(entry.patient.map(|id| id.0)),
        document: optional_bytes(entry.document.map(|id| id.0)),
        consent: optional_bytes(entry.consent.map(|id| id.0)),
        disclosure: optional_bytes(entry.disclosure.map(|id| id.0)),
        receipt: optional_bytes(entry.receipt),
        purpose: entry.purpose.map_or(0, Term::number),
        user: optional_bytes(entry.user.map(|id| id.0)),
        role: entry.role.map_or(0, Term::number),
        actor: entry.actor.clone(),
        code: entry.code.clone(),
        rule: entry.rule,
        query_hash: optional_bytes(entry.query_hash),
        peer_leaf: optional_bytes(entry.peer_leaf),
        count: entry.count,
        description: entry.description.clone(),
        promise: entry.promise.clone(),
    };
    prost::Message::encode_to_vec(&record)
}

/// Reads the journal body of an audit entry.
///
/// # Errors
/// [`WireError`] where the bytes are no such body.
pub fn decode_audit(bytes: &[u8]) -> Result<AuditFields, WireError> {
    let record =
        <store::AuditRecord as prost::Message>::decode(bytes).map_err(|_| WireError::Encoding)?;
    Ok(AuditFields {
        kind: record.kind,
        member: optional_array(&record.member)?.map(MemberId),
        patient: optional_array(&record.patient)?.map(PatientId),
        document: optional_array(&record.document)?.map(DocumentId),
        consent: optional_array(&record.consent)?.map(ConsentId),
        disclosure: optional_array(&record.disclosure)?.map(DisclosureId),
        receipt: optional_array(&record.receipt)?,
        purpose: optional_term::<Purpose>(record.purpose)?,
        user: optional_array(&record.user)?.map(UserId),
        role: optional_term::<Role>(record.role)?,
        actor: record.actor,
        code: record.code,
        rule: record.rule,
        query_hash: optional_array(&record.query_hash)?,
        peer_leaf: optional_array(&record.peer_leaf)?,
        count: record.count,
        description: record.description,
        promise: record.promise,
    })
}

fn optional_term<T: Term>(number: i32) -> Result<Option<T>, WireError> {
    if number == 0 {
        return Ok(None);
    }
    T::term(number).map(Some)
}
