//! The own log's checkpoints, every ten minutes and only then, and what is proved under the newest.

use super::super::{
    error::FlowError,
    node::{Node, push_audit},
};
use crate::{
    audit::{Checkpoint, ConsistencyProof, Entry, InclusionProof, JournalHead, Kind},
    crypto::tree,
    membership::KeySet,
    ports::World,
    records::{Batch, Head, RecordKind, Scope, StoreError},
    types::{Code, MemberId, NetworkId, Span, Timestamp},
    wire,
};

/// Which ten minutes of the clock a time is in; there is at most one checkpoint of each.
pub(in crate::flows) fn checkpoint_slot(at: Timestamp) -> u64 {
    at.0 / EVERY.0
}

/// How often a checkpoint is made. Sizes that followed each disclosure would tell when one was made.
const EVERY: Span = Span::minutes(10);
/// What the size of every checkpoint is a multiple of.
const MULTIPLE: u64 = 64;

/// Whether a proof encloses the sealed record of its entry, whose head names the patient by this
/// node's own id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enclosed {
    /// It does.
    Record,
    /// It does not: whoever verifies it holds the leaf.
    Nothing,
}

impl<W: World> Node<W> {
    /// Signs and keeps a checkpoint where the last one is of an earlier ten minutes of the clock; says
    /// whether it did. Nothing is signed where nothing was logged since.
    ///
    /// # Errors
    /// [`Code::NoNetwork`], [`FlowError::Store`].
    pub async fn keep_checkpoint(&self) -> Result<bool, FlowError> {
        let network = self.network()?.id;
        let slot = checkpoint_slot(self.now());
        let (before, entries, covered) = {
            let mut state = self.state();
            let before = state.checkpoint_slot.replace(slot);
            let covered = state.checkpoint.as_ref().map(|kept| kept.size);
            (before, state.audit.len() as u64, covered)
        };
        if before == Some(slot) || covered == Some(entries) {
            return Ok(false);
        }
        let kept = self.keep_checkpoint_of(network, entries).await;
        if kept.is_err() {
            self.state().checkpoint_slot = before;
        }
        kept.map(|()| true)
    }

    async fn keep_checkpoint_of(&self, network: NetworkId, entries: u64) -> Result<(), FlowError> {
        // What others log meanwhile takes the place of padding, and only makes the log longer.
        let size = entries.next_multiple_of(MULTIPLE);
        if size > entries {
            let mut batch = Batch::default();
            for _ in entries..size {
                push_audit(&mut batch, &Entry::new(Kind::Padding));
            }
            self.commit(batch).await?;
        }
        let Head { position, chain } = self.world.head().await;
        let root = self.audit_root_at(size).ok_or(FlowError::State {
            code: Code::Integrity,
        })?;
        let checkpoint = Checkpoint {
            network,
            member: self.member(),
            size,
            root,
            journal: Some(JournalHead { position, chain }),
        };
        let note = checkpoint.sign(&self.identity().audit);
        let mut batch = Batch::default();
        batch.push(
            RecordKind::Checkpoint,
            Scope::Store,
            wire::encode_checkpoint(&note),
        );
        self.commit(batch).await?;
        Ok(())
    }

    /// The newest checkpoint of the log, as signed (c2sp.org/tlog-checkpoint).
    ///
    /// # Errors
    /// [`Code::CheckpointPending`] where none was made yet.
    pub fn checkpoint(&self) -> Result<String, FlowError> {
        let (_, note) = self.covered()?;
        Ok(note)
    }

    fn covered(&self) -> Result<(u64, String), FlowError> {
        let kept = self.state().checkpoint.clone();
        let kept = kept.ok_or(FlowError::NotFound {
            code: Code::CheckpointPending,
        })?;
        Ok((kept.size, kept.note.to_string()))
    }

    /// Proves that an entry stands in the log, under the newest checkpoint.
    ///
    /// # Errors
    /// [`Code::EntryUnknown`], [`Code::CheckpointPending`], [`FlowError::Store`].
    pub async fn prove(&self, index: u64, enclosed: Enclosed) -> Result<InclusionProof, FlowError> {
        let unknown = FlowError::NotFound {
            code: Code::EntryUnknown,
        };
        let at = usize::try_from(index).ok();
        let place = at.and_then(|at| self.state().audit.get(at).copied());
        let place = place.ok_or(unknown)?;
        let (size, checkpoint) = self.covered()?;
        let (leaf, path) = {
            let state = self.state();
            (
                state.tree.leaf(index),
                state.tree.inclusion_proof(index, size),
            )
        };
        let path = path.ok_or(FlowError::NotFound {
            code: Code::CheckpointPending,
        })?;
        let record = match enclosed {
            Enclosed::Nothing => None,
            Enclosed::Record => {
                let bytes = self.world.record_bytes(place.place).await?;
                if leaf != Some(tree::leaf_hash(&bytes)) {
                    let position = place.position;
                    return Err(StoreError::Integrity { position }.into());
                }
                Some(bytes.to_vec())
            }
        };
        Ok(InclusionProof {
            record,
            index,
            path,
            checkpoint,
        })
    }

    /// Proves that the log only grew since it had `earlier` entries, up to the newest checkpoint.
    ///
    /// # Errors
    /// [`Code::EntryUnknown`] where it never had, or nothing, [`Code::CheckpointPending`].
    pub fn prove_growth(&self, earlier: u64) -> Result<ConsistencyProof, FlowError> {
        let (size, checkpoint) = self.covered()?;
        let path = self.state().tree.consistency_proof(earlier, size);
        let path = path.ok_or(FlowError::NotFound {
            code: Code::EntryUnknown,
        })?;
        Ok(ConsistencyProof {
            earlier,
            path,
            checkpoint,
        })
    }

    /// The line by which others verify checkpoints of a member's log; of this node where none is named.
    ///
    /// # Errors
    /// [`Code::NoNetwork`], [`Code::MemberUnknown`] where no key set of the member is known.
    pub fn audit_key(&self, of: Option<MemberId>) -> Result<String, FlowError> {
        let network = self.network()?.id;
        let member = of.unwrap_or_else(|| self.member());
        let public = if member == self.member() {
            self.identity().audit.public()
        } else {
            self.audit_key_of(member).ok_or(FlowError::NotFound {
                code: Code::MemberUnknown,
            })?
        };
        Ok(Checkpoint::verifier_key(&network, &member, &public))
    }

    pub(super) fn audit_key_of(&self, member: MemberId) -> Option<[u8; 32]> {
        let state = self.state();
        // Also of a set that ran out: what its key signed stays signed.
        let known = state.members.get(&member)?.known().key_set.as_ref()?;
        Some(known.claims::<KeySet>().ok()?.audit_key)
    }
}
