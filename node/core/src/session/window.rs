//! Which counters of a session were seen: a sliding window of 1,024 (RFC 4303 appendix A2 in idea).

use crate::types::limits::{SESSION_MESSAGES_MAX, WINDOW_BITS};

const WORDS: usize = (WINDOW_BITS / 64) as usize;

/// Counters seen, the newest and the 1,023 before it.
pub(super) struct Window {
    /// One above the highest counter seen.
    next: u64,
    seen: [u64; WORDS],
}

impl Window {
    /// Nothing seen.
    pub(super) fn new() -> Self {
        Self {
            next: 0,
            seen: [0; WORDS],
        }
    }

    /// Takes a counter once. Refuses one that was seen, that is older than the window, or that is
    /// beyond what one session may count.
    pub(super) fn take(&mut self, counter: u64) -> bool {
        if counter >= SESSION_MESSAGES_MAX || counter + WINDOW_BITS < self.next {
            return false;
        }
        if counter >= self.next {
            let gap = (counter - self.next).min(WINDOW_BITS - 1);
            for old in (counter - gap)..=counter {
                self.clear(old);
            }
            self.next = counter + 1;
        }
        let (word, bit) = Self::place(counter);
        let new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        new
    }

    fn clear(&mut self, counter: u64) {
        let (word, bit) = Self::place(counter);
        self.seen[word] &= !bit;
    }

    fn place(counter: u64) -> (usize, u64) {
        let slot = counter % WINDOW_BITS;
        ((slot / 64) as usize, 1 << (slot % 64))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_counter_is_taken_once_and_not_once_the_window_has_moved_on() {
        let mut window = Window::new();

        assert!(window.take(0));
        assert!(!window.take(0));
        assert!(window.take(WINDOW_BITS));
        assert!(window.take(1));
        assert!(window.take(WINDOW_BITS + 1));
        assert!(!window.take(0), "left of the window");
        assert!(!window.take(1), "seen, at the edge");
        assert!(window.take(SESSION_MESSAGES_MAX - 1));
        assert!(!window.take(SESSION_MESSAGES_MAX), "beyond one session");
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set_of_everything_seen(
            counters in prop::collection::vec(0_u64..5_000, 1..400),
        ) {
            let mut window = Window::new();
            let mut seen = BTreeSet::new();
            let mut highest = None;
            for counter in counters {
                let old = highest.is_some_and(|h: u64| counter + WINDOW_BITS <= h);
                let expected = !old && seen.insert(counter);
                prop_assert_eq!(window.take(counter), expected);
                if !old {
                    highest = Some(highest.map_or(counter, |h| h.max(counter)));
                }
            }
        }
    }
}
