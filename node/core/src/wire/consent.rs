//! The journal body of a consent. Its position and time are the record's own, and a revocation is a
//! record of its own, so neither stands in the body.

use chartmesh_proto::store;

use super::field::{
    WireError, array, numbers, optional_array, optional_bytes, optional_time, terms,
};
use crate::{
    records::{Class, Consent, ConsentForm, Evidence, Provision},
    types::{ConsentId, PatientId, Purpose, Timestamp},
};

/// The journal body of a consent.
pub fn encode_consent(consent: &Consent) -> Vec<u8> {
    let evidence = consent.evidence.as_ref();
    let record = store::ConsentRecord {
        consent: consent.id.0.to_vec(),
        patient: consent.patient.0.to_vec(),
        permit: match consent.provision {
            Provision::Permit => true,
            Provision::Deny => false,
        },
        target: consent.target.to_string(),
        purpose: numbers(&consent.purposes),
        class: consent.class.number(),
        by: consent.by.clone(),
        from_ms: consent.from.0,
        until_ms: consent.until.unwrap_or_default().0,
        form_sha256: optional_bytes(evidence.map(|form| form.sha256)),
        form_type: evidence.map_or_else(String::new, |form| form.content_type.clone()),
        form_size: evidence.map_or(0, |form| form.size),
        witness: consent.witness.clone().unwrap_or_default(),
        recorded_by: consent.recorded_by.clone(),
        even_emergency: consent.even_emergency,
        form: consent.form.number(),
        policy: consent.policy.clone(),
    };
    prost::Message::encode_to_vec(&record)
}

/// Reads the journal body of a consent, recorded at this position and time and not revoked yet.
///
/// # Errors
/// [`WireError`] where the bytes are no such body.
pub fn decode_consent(
    bytes: &[u8],
    position: u64,
    recorded_at: Timestamp,
) -> Result<Consent, WireError> {
    let record =
        <store::ConsentRecord as prost::Message>::decode(bytes).map_err(|_| WireError::Encoding)?;
    let sha256 = optional_array(&record.form_sha256)?;
    if sha256.is_none() && (record.form_size != 0 || !record.form_type.is_empty()) {
        return Err(WireError::Contradiction);
    }
    Ok(Consent {
        id: ConsentId(array(&record.consent)?),
        patient: PatientId(array(&record.patient)?),
        provision: if record.permit {
            Provision::Permit
        } else {
            Provision::Deny
        },
        form: ConsentForm::from_number(record.form).ok_or(WireError::Term)?,
        target: record.target.parse().map_err(|_| WireError::Text)?,
        purposes: terms(&record.purpose, Purpose::ALL.len())?,
        class: Class::from_number(record.class).ok_or(WireError::Term)?,
        by: record.by,
        from: Timestamp(record.from_ms),
        until: optional_time(record.until_ms),
        evidence: sha256.map(|sha256| Evidence {
            sha256,
            content_type: record.form_type,
            size: record.form_size,
        }),
        witness: (!record.witness.is_empty()).then_some(record.witness),
        recorded_by: record.recorded_by,
        even_emergency: record.even_emergency,
        policy: record.policy,
        position,
        recorded_at,
        revoked: None,
    })
}
