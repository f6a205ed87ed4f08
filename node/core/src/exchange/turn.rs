//! A patient's turn: who holds it decides, records and releases, or revokes.

use std::{collections::BTreeMap, sync::Arc};

use futures::lock::{Mutex, OwnedMutexGuard};

use crate::types::PatientId;

/// One patient's turn, to be waited for.
#[derive(Clone)]
pub struct Turn {
    patient: PatientId,
    lock: Arc<Mutex<()>>,
}

impl Turn {
    /// Waits for the turn. Cancel-safe; the turn ends when the guard is dropped.
    pub async fn take(self) -> TurnGuard {
        TurnGuard {
            patient: self.patient,
            _guard: self.lock.lock_owned().await,
        }
    }
}

/// The turn of one patient, held: the only lock that may live across an await.
pub struct TurnGuard {
    patient: PatientId,
    _guard: OwnedMutexGuard<()>,
}

impl TurnGuard {
    /// Whose turn it is.
    pub fn patient(&self) -> PatientId {
        self.patient
    }
}

/// The turns of all patients whose turn somebody holds or waits for.
#[derive(Default)]
pub struct Turns {
    locks: BTreeMap<PatientId, Arc<Mutex<()>>>,
}

impl Turns {
    /// The turn of one patient.
    pub fn of(&mut self, patient: PatientId) -> Turn {
        self.locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Turn {
            patient,
            lock: self.locks.entry(patient).or_default().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_turn_is_held_by_one_at_a_time_and_each_patient_has_its_own() {
        let mut turns = Turns::default();
        let (rosa, sam) = (PatientId([1; 16]), PatientId([2; 16]));
        let held = turns.of(rosa).take().now_or_never();

        assert!(held.is_some());
        assert!(turns.of(rosa).take().now_or_never().is_none());
        assert!(turns.of(sam).take().now_or_never().is_some());
        drop(held);
        assert!(turns.of(rosa).take().now_or_never().is_some());
        assert!(turns.locks.len() <= 1, "turns nobody wants are forgotten");
    }
}
