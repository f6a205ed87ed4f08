//! What is proved of what was disclosed: checkpoints of the audit log.

mod checkpoint;

pub use checkpoint::{Checkpoint, CheckpointError, JournalHead};
