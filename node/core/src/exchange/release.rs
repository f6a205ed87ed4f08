//! The last stage: what it takes for a content key to leave.

use crate::{
    crypto::SecretKey,
    policy::Permit,
    records::{Matter, Record, RecordKind, Recorded, Scope},
};

/// A decision that still stands and is on the disk, made in the patient's turn.
///
/// ```compile_fail
/// use chartmesh_core::{crypto::SecretKey, exchange::Release};
/// // No permit, no record, no turn: there is no other way to make one.
/// fn skip(key: SecretKey) -> Release {
///     Release { key }
/// }
/// ```
///
/// ```
/// use chartmesh_core::{crypto::SecretKey, exchange::Release};
/// // Whoever holds one holds a decision that is on the disk.
/// fn hand_out(release: Release) -> SecretKey {
///     release.into_key()
/// }
/// ```
pub struct Release {
    permit: Permit,
    key: SecretKey,
    leaf: [u8; 32],
    position: u64,
}

impl Release {
    /// Joins a permit with its record; none where it was not decided in the patient's turn, or what was
    /// recorded last is no audit entry of the patient.
    pub(crate) fn new(permit: Permit, recorded: &Recorded, key: SecretKey) -> Option<Self> {
        let Record {
            leaf,
            position,
            kind,
            scope,
            ..
        } = recorded.records().last()?;
        let patient = permit.patient();
        let in_turn = recorded.is_within(Matter::Patient(patient));
        let audited = *kind == RecordKind::Audit && *scope == Scope::Patient(patient);
        (in_turn && audited).then_some(Self {
            permit,
            key,
            leaf: *leaf,
            position: *position,
        })
    }

    /// The decision it rests on.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Leaf of the audit entry.
    pub fn leaf(&self) -> [u8; 32] {
        self.leaf
    }

    /// Journal position of the audit entry.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The one way to a content key that leaves.
    pub fn into_key(self) -> SecretKey {
        self.key
    }
}
