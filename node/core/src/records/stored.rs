//! What the journal's records say, one type a kind; their bytes are made in [`crate::wire`].

use bytes::Bytes;

use crate::{
    crypto::SecretKey,
    types::{
        ConsentId, DisclosureId, DocumentId, Handle, MemberId, PatientId, Purpose, Role, Timestamp,
        UserId,
    },
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
    /// The id it has there.
    pub local_id: String,
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
    /// Whether an earlier record of the same id is replaced.
    pub replaces: bool,
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

/// An entry of the audit log in its stored terms; [`crate::audit`] gives them their meaning.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AuditFields {
    /// Number of the kind.
    pub kind: u32,
    /// The other member.
    pub member: Option<MemberId>,
    /// About whom.
    pub patient: Option<PatientId>,
    /// About which document.
    pub document: Option<DocumentId>,
    /// By which consent.
    pub consent: Option<ConsentId>,
    /// What joins the two entries of a disclosure.
    pub disclosure: Option<DisclosureId>,
    /// SHA-256(salt | manifest hash).
    pub receipt: Option<[u8; 32]>,
    /// Purpose of use.
    pub purpose: Option<Purpose>,
    /// Pseudonym of the user at the asking node.
    pub user: Option<UserId>,
    /// What that user is there.
    pub role: Option<Role>,
    /// Own user.
    pub actor: String,
    /// Stable code of what came of it; empty for success.
    pub code: String,
    /// Number of the decision rule; 0 for none.
    pub rule: u32,
    /// Hash of the locate question.
    pub query_hash: Option<[u8; 32]>,
    /// The counterparty's leaf.
    pub peer_leaf: Option<[u8; 32]>,
    /// How many like it were counted.
    pub count: u64,
    /// What was disclosed, in terms of type and code.
    pub description: String,
    /// What the counterparty's log promised, as signed; empty for nothing.
    pub promise: String,
}
