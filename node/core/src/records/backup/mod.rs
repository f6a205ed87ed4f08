//! Backups: one file with everything that brings a node back (ADR 0016).
//!
//! A backup is made while the node runs, of the journal up to a position and of what it names up to
//! there. Reading one is two steps: [`Backup::open`] finds every byte as it was written, and
//! [`Backup::check`] that what was written is a store. Nothing here writes to the store.

mod error;
mod format;
mod read;
mod take;
#[cfg(test)]
mod tests;

pub use error::BackupError;
pub use format::{About, BackupHeader, HEADER_BYTES as BACKUP_HEADER_BYTES};
pub use read::{Backup, BackupSource, Contents};
pub use take::{NamedFile, Naming, ReadFile, Taken, Taking, check_file};
