//! A bounded number of permits for each key, counted for as long as any permit or holder lives.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use tokio::sync::Semaphore;

/// One semaphore a key.
///
/// The table holds weak references: permits and connection handlers keep a semaphore alive, so a peer
/// that reconnects while old permits are out finds the same semaphore and cannot double its share,
/// and nothing is left of a peer once its last permit is back.
pub(crate) struct Slots<K> {
    capacity: usize,
    table: BTreeMap<K, Weak<Semaphore>>,
    sweep_at: usize,
}

/// Below this many entries dead ones are not worth looking for.
const SWEEP_MIN: usize = 32;

impl<K: Ord> Slots<K> {
    /// An empty table that gives each key so many permits.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            table: BTreeMap::new(),
            sweep_at: SWEEP_MIN,
        }
    }

    /// The semaphore of a key.
    pub(crate) fn of(&mut self, key: K) -> Arc<Semaphore> {
        if let Some(slots) = self.table.get(&key).and_then(Weak::upgrade) {
            return slots;
        }
        if self.table.len() >= self.sweep_at {
            self.table.retain(|_, slots| slots.strong_count() > 0);
            self.sweep_at = SWEEP_MIN.max(self.table.len() * 2);
        }
        let slots = Arc::new(Semaphore::new(self.capacity));
        self.table.insert(key, Arc::downgrade(&slots));
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_that_are_out_survive_their_holder() {
        let mut slots = Slots::new(2);
        let first = slots.of(1);
        let permit = first.clone().try_acquire_owned();
        assert!(permit.is_ok());

        drop(first);

        assert_eq!(slots.of(1).available_permits(), 1);
        drop(permit);
        assert_eq!(slots.of(1).available_permits(), 2);
    }

    #[test]
    fn keys_without_permits_leave_nothing_behind() {
        let mut slots = Slots::new(1);
        for key in 0..10_000 {
            slots.of(key);
        }

        assert!(slots.table.len() <= 2 * SWEEP_MIN);
    }
}
