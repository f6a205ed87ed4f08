//! The audit log: what is written, what a patient is shown of it, what the law wants counted, and
//! what is proved of it: checkpoints, promises and proofs.
//!
//! Entries hold ids and terms only. Nothing here writes: an entry becomes true in the journal.

mod accounting;
mod checkpoint;
mod entry;
mod fhir;
mod flood;
mod promise;
mod proof;

pub use accounting::{AccountingLine, Basis, access, accounting, is_accountable, reaches_back_to};
pub use checkpoint::{Checkpoint, CheckpointError, JournalHead};
pub use entry::{Entry, Kind, Logged, description};
pub use fhir::{Party, Surroundings, audit_event};
pub use flood::{Counted, FloodCounter, FloodKey, Heed};
pub use promise::Promise;
pub use proof::{AuditProofError, ConsistencyProof, InclusionProof};
