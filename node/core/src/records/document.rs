//! Documents: what a sealed file is, what is said of it, and what is signed when it is disclosed.

use crate::types::{ConsentId, DisclosureId, DocumentId, FileId, MemberId, PatientId, Timestamp};

/// A code of a terminology.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coding {
    /// URI of the system.
    pub system: String,
    /// The code.
    pub code: String,
    /// What it is called.
    pub display: String,
}

impl Coding {
    /// URI of LOINC.
    pub const LOINC: &'static str = "http://loinc.org";
}

/// What a sealed document file is; made once, signed by the holder's node key.
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The holder.
    pub member: MemberId,
    /// Random name of the file.
    pub file: FileId,
    /// RFC 9162 tree over header and ciphertext chunks.
    pub root: [u8; 32],
    /// Bytes of the file.
    pub sealed_size: u64,
    /// Bytes of the document.
    pub size: u64,
    /// Commitment to the content key.
    pub commitment: [u8; 32],
    /// SHA-256 of the document.
    pub plain_sha256: [u8; 32],
    /// LOINC type.
    pub coding: Coding,
    /// Format code, where known.
    pub format: String,
    /// MIME type.
    pub content_type: String,
    /// Who wrote it.
    pub author: String,
    /// Start of the period it covers; 1970 where unknown.
    pub from: Timestamp,
    /// End of the period it covers.
    pub until: Timestamp,
    /// Security labels.
    pub labels: Vec<String>,
    /// Rises with each manifest of the holder.
    pub sequence: u64,
    /// When it was made.
    pub issued_at: Timestamp,
}

/// A document file of this node.
#[derive(Clone)]
pub struct Document {
    /// Whose.
    pub patient: PatientId,
    /// Its id.
    pub id: DocumentId,
    /// What the file is, as signed.
    pub manifest: crate::crypto::Envelope,
    /// The content key under the patient's key.
    pub wrapped_key: Vec<u8>,
    /// Title.
    pub title: String,
    /// FHIR DocumentReference.status.
    pub status: String,
    /// When it was made.
    pub date: Timestamp,
    /// For which organisation.
    pub author_organization: String,
    /// HMAC of the plaintext under the patient's key, for *same content once*.
    pub content: [u8; 32],
    /// A snapshot of the on-demand bundle: the journal position it shows, and when it may go.
    pub snapshot: Option<(u64, Timestamp)>,
}

/// A disclosure, as the holder signs it (the wire's `Release` statement).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// Who disclosed.
    pub holder: MemberId,
    /// To whom.
    pub asker: MemberId,
    /// Joins the two audit entries.
    pub disclosure: DisclosureId,
    /// SHA-256(salt | manifest hash): never a plaintext hash.
    pub receipt: [u8; 32],
    /// 32 random bytes.
    pub salt: [u8; 32],
    /// The consent it rests on; none where a default of the charter permits.
    pub consent: Option<ConsentId>,
    /// Number of the decision rule.
    pub rule: u32,
    /// Obligations: 1 the notice of 42 CFR 2.32, 2 the copy of the consent.
    pub obligations: Vec<u32>,
    /// Hash of the locate question the handle came from.
    pub query_hash: [u8; 32],
    /// Leaf of the holder's audit entry.
    pub audit_leaf: [u8; 32],
    /// Its index in the holder's log.
    pub audit_index: u64,
    /// When.
    pub issued_at: Timestamp,
}
