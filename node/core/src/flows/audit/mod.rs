//! The own audit log: read it, sign checkpoints of it, prove what it says.

mod log;
mod promise;
mod proof;

pub use log::{FilesVerified, Shown};
pub use proof::Enclosed;
