//! The store: real files, sled, threads. It carries out what the core's journal decides.
//!
//! The journal is the truth, the index a fold of it that may be thrown away at any time. Nothing here
//! knows what a record means, and nothing here tells the core what it would rather hear: what is not
//! on the disk is not acknowledged, and what was changed is an error.

mod backup;
mod dir;
mod engine;
mod error;
mod files;
mod fill;
mod handle;
mod index;
mod journal;
pub mod key;
mod leaves;
mod lock;
mod memory;
mod restore;
mod sled;
mod stats;
mod watch;

#[cfg(test)]
mod suite;

pub use backup::{BackUp, BackedUp, BackupFailure, BackupFile, SavedAt};
pub use dir::DirDisk;
pub use engine::{Engine, EngineError, Pair, Write};
pub use error::OpenError;
pub use files::bytes_beside;
pub use handle::{Store, StoreOpened, StoreVerified};
pub use index::{RowsOf, SealedIndex};
pub use leaves::Leaves;
pub use memory::MemoryEngine;
pub(crate) use restore::{check_files, write_out};
pub use stats::Stats;
pub use watch::IndexState;
