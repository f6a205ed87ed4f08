//! The own audit log: read it, sign checkpoints of it, prove what it says.

mod export;
mod kept;
mod log;
mod promise;
mod proof;

pub use export::Exported;
pub use log::{FilesVerified, Shown};
pub use proof::Enclosed;
pub(super) use proof::checkpoint_slot;
