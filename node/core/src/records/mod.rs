//! What a node keeps: the journal and its records, patients, documents, consents.

mod backup;
mod consent;
mod disk;
mod document;
#[cfg(test)]
mod faulty;
mod frame;
mod journal;
mod keyring;
mod log;
mod patient;
mod replay;
mod row;
mod scan;
mod stored;
mod turn;

pub use backup::{
    About, BACKUP_HEADER_BYTES, Backup, BackupError, BackupHeader, BackupSource, Contents,
    NamedFile, Naming, ReadFile, Taken, Taking, check_file,
};
pub use consent::{
    Class, Consent, ConsentForm, ConsentStatus, Consents, Evidence, Filing, ParseTargetError,
    Profile, Provision, Target,
};
pub use disk::{Disk, StoreError};
pub use document::{Coding, Disclosure, Document, Manifest};
pub use frame::Head;
pub use journal::{Batch, Draft, KeyId, Place, Record, RecordKind, Recorded, Scope};
pub use keyring::Keyring;
pub use log::{Log, Opened, Pending, Tail};
pub use patient::{Address, Demographics, Identifier, Name};
pub use replay::{Verified, read_record, read_record_bytes, verify};
pub use row::RowSeal;
pub use stored::{
    AuditFields, HandleReceived, HandleRecord, PatientRecord, ResourceRecord, RevokeRecord,
    TicketIssued,
};
pub use turn::{Matter, Turn, TurnGuard, Turns};
