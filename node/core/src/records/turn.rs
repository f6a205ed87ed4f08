//! Turns: who holds one decides, records and releases, or revokes, and nobody else does meanwhile.

use std::{collections::BTreeMap, sync::Arc};

use futures::lock::{Mutex, OwnedMutexGuard};

use crate::types::{DocumentId, MemberId, PatientId};

/// What is done by one flow at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Matter {
    /// Whatever decides by all that is known here: who is registered, who belongs to the network.
    Registration,
    /// One patient: a release, a grant, a revocation.
    Patient(PatientId),
    /// The snapshot that is made of one patient's record.
    Snapshot(DocumentId),
    /// What another member says of itself.
    Member(MemberId),
}

/// One matter's turn, to be waited for.
#[derive(Clone)]
pub struct Turn {
    matter: Matter,
    lock: Arc<Mutex<()>>,
}

impl Turn {
    /// Waits for the turn. Cancel-safe.
    pub async fn take(self) -> TurnGuard {
        TurnGuard {
            matter: self.matter,
            _guard: Arc::new(self.lock.lock_owned().await),
        }
    }
}

/// The turn of one matter, held: the only lock that may live across an await.
///
/// It ends when all copies are dropped. A batch has one ([`super::Batch::within`]), so that a flow
/// which is dropped in the middle of its commit hands the turn on only after its records took effect.
#[derive(Clone)]
pub struct TurnGuard {
    matter: Matter,
    _guard: Arc<OwnedMutexGuard<()>>,
}

impl TurnGuard {
    /// Whose turn it is.
    pub fn matter(&self) -> Matter {
        self.matter
    }
}

/// The turns of all matters that somebody holds or waits for.
#[derive(Default)]
pub struct Turns {
    locks: BTreeMap<Matter, Arc<Mutex<()>>>,
}

impl Turns {
    /// The turn of one matter.
    pub fn of(&mut self, matter: Matter) -> Turn {
        self.locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Turn {
            matter,
            lock: self.locks.entry(matter).or_default().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_turn_is_held_by_one_at_a_time_and_each_matter_has_its_own() {
        let mut turns = Turns::default();
        let rosa = Matter::Patient(PatientId([1; 16]));
        let held = turns.of(rosa).take().now_or_never();

        assert!(held.is_some());
        assert!(turns.of(rosa).take().now_or_never().is_none());
        for other in [
            Matter::Patient(PatientId([2; 16])),
            Matter::Member(MemberId([1; 16])),
            Matter::Registration,
        ] {
            assert!(turns.of(other).take().now_or_never().is_some());
        }
        let copy = held.clone();
        drop(held);
        assert!(turns.of(rosa).take().now_or_never().is_none());
        drop(copy);
        assert!(turns.of(rosa).take().now_or_never().is_some());
        assert!(turns.locks.len() <= 1, "turns nobody wants are forgotten");
    }
}
