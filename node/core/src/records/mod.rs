//! What a node keeps: the journal and its records, patients, documents, consents.

mod disk;
mod journal;
mod patient;

pub use disk::{Disk, StoreError};
pub use journal::{Batch, Draft, KeyId, Place, Record, RecordKind, Recorded, Scope, SecretKey};
pub use patient::{Address, Demographics, Identifier, Name};
