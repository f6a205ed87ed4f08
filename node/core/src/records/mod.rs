//! What a node keeps: the journal and its records, patients, documents, consents.

mod consent;
mod disk;
mod document;
mod journal;
mod patient;
mod stored;

pub use consent::{
    Class, Consent, ConsentForm, ConsentStatus, Consents, Evidence, Filing, ParseTargetError,
    Profile, Provision, Target,
};
pub use disk::{Disk, StoreError};
pub use document::{Coding, Disclosure, Document, Manifest};
pub use journal::{Batch, Draft, KeyId, Place, Record, RecordKind, Recorded, Scope};
pub use patient::{Address, Demographics, Identifier, Name};
pub use stored::{
    HandleReceived, HandleRecord, PatientRecord, ResourceRecord, RevokeRecord, TicketIssued,
};
