//! What the journal's records say, one type a kind; their bytes are made in [`crate::wire`].

use bytes::Bytes;

use crate::{
    crypto::SecretKey,
    types::{ConsentId, DocumentId, Handle, MemberId, PatientId, Purpose, Timestamp},
};

/// A patient of this node.
#[derive(Clone, PartialEq, Eq)]
pub struct PatientRecord {
    /// Whose key seals it.
    pub patient: PatientId,
    /// FHIR Patient, verbatim.
    pub resource: Bytes,
    /// Where it came from.
    pub source: String,
    /// Id of the on-demand record bundle.
    pub summary: DocumentId,
    /// 0 for the default of the node's kind, 1 open, 2 consented, 3 hidden (`policy.md` 2).
    pub discoverability: u32,
}

/// A FHIR resource, verbatim.
#[derive(Clone, PartialEq, Eq)]
pub struct ResourceRecord {
    /// Whose; none for directory resources without a subject.
    pub patient: Option<PatientId>,
    /// Its id here.
    pub id: [u8; 16],
    /// FHIR resource type.
    pub resource_type: String,
    /// The id it has at its source.
    pub local_id: String,
    /// Where it came from.
    pub source: String,
    /// HMAC-SHA-256 of the canonical content under the patient's key.
    pub content: [u8; 32],
    /// The resource.
    pub resource: Bytes,
}

/// A ticket this node issued.
#[derive(Clone)]
pub struct TicketIssued {
    /// Proves the ticket, made from its secret.
    pub key: SecretKey,
    /// Until when.
    pub expiry: Timestamp,
}

/// A consent was revoked.
#[derive(Clone, PartialEq, Eq)]
pub struct RevokeRecord {
    /// Which.
    pub consent: ConsentId,
    /// Whose.
    pub patient: PatientId,
    /// The user who recorded it.
    pub recorded_by: String,
}

/// A handle was given to an asker.
#[derive(Clone, PartialEq, Eq)]
pub struct HandleRecord {
    /// The handle.
    pub handle: Handle,
    /// To whom.
    pub asker: MemberId,
    /// For which patient.
    pub patient: PatientId,
    /// For what.
    pub purpose: Purpose,
    /// SHA-256 of the question's body.
    pub query_hash: [u8; 32],
    /// Until when.
    pub until: Timestamp,
}

/// A handle this node was given.
#[derive(Clone, PartialEq, Eq)]
pub struct HandleReceived {
    /// The handle.
    pub handle: Handle,
    /// By whom.
    pub holder: MemberId,
    /// Own patient the question was about; none where it was asked by demographics.
    pub patient: Option<PatientId>,
    /// Until when.
    pub until: Timestamp,
}
