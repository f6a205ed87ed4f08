//! All checkpoints that this node signed, for a file that can be read without its keys.

use super::super::node::Node;
use crate::{audit::Checkpoint, ports::World, records::StoreError, wire};

/// Checkpoints that are read in one step.
const PER_READ: usize = 256;

impl<W: World> Node<W> {
    /// How many checkpoints the journal has.
    pub fn checkpoints(&self) -> usize {
        self.state().checkpoints.len()
    }

    /// Some checkpoints from a number on, as signed, oldest first.
    ///
    /// # Errors
    /// What the journal says; [`StoreError::Integrity`].
    pub async fn checkpoints_from(&self, number: usize) -> Result<Vec<String>, StoreError> {
        let places = {
            let state = self.state();
            let wanted = state.checkpoints.iter().skip(number);
            wanted.take(PER_READ).copied().collect()
        };
        let records = self.world.records(places).await?;
        let notes = records.iter().map(|record| {
            let note = record
                .body
                .as_ref()
                .map(|body| wire::decode_checkpoint(body));
            note.and_then(Result::ok).ok_or(StoreError::Integrity {
                position: record.position,
            })
        });
        notes.collect()
    }

    /// Whether the log is the one that all of these checkpoints are of, oldest first; the newest must bear
    /// the log's signature. More of them than the journal has are of another.
    pub fn bears_out(&self, notes: &[&str]) -> bool {
        let Some(newest) = notes.last() else {
            return true;
        };
        let Some(network) = self.network_id() else {
            return false;
        };
        let state = self.state();
        let is_true = |note: &&str| {
            let claims = Checkpoint::claims(note);
            claims.is_ok_and(|(size, root)| state.tree.root_at(size) == Some(root))
        };
        let key = self.identity().audit.public();
        notes.len() <= state.checkpoints.len()
            && notes.iter().all(is_true)
            && Checkpoint::verify(newest, &network, &self.member(), &key).is_ok()
    }
}
