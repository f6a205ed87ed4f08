//! Refusals by the thousand: the first of a day whole, the rest as a number (`protocol.md` 6).

use std::collections::BTreeMap;

use crate::types::{Code, MemberId, Span, Timestamp, UserId, limits};

const DAY: Span = Span::days(1);

/// Which refusals count as alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FloodKey {
    /// Who was refused.
    pub member: MemberId,
    /// Which user there; none where the message was not even read.
    pub user: Option<UserId>,
    /// Why.
    pub code: Code,
}

/// What to do with a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heed {
    /// Write it whole.
    Whole,
    /// It is counted; [`FloodCounter::drain`] says how often.
    Counted,
}

/// Refusals of one sort that were counted and not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Which; none for those of whom there were too many sorts to tell apart.
    pub key: Option<FloodKey>,
    /// How many.
    pub count: u64,
}

#[derive(Default)]
struct Tally {
    seen: u32,
    unwritten: u64,
}

/// Counts refusals, and bounds what a hostile peer can make this node write or remember.
#[derive(Default)]
pub struct FloodCounter {
    day: u64,
    tallies: BTreeMap<FloodKey, Tally>,
    beyond: u64,
}

impl FloodCounter {
    /// Takes note of a refusal and says whether to write it whole.
    ///
    /// The counts of a day that has ended wait for [`FloodCounter::drain`]; draining at least once a
    /// day keeps them apart.
    pub fn heed(&mut self, key: FloodKey, now: Timestamp) -> Heed {
        let day = now.0 / DAY.0;
        if day != self.day {
            self.day = day;
            self.tallies.retain(|_, tally| tally.unwritten > 0);
            for tally in self.tallies.values_mut() {
                tally.seen = 0;
            }
        }
        let room = self.tallies.len() < limits::FLOOD_KEYS_MAX;
        if !room && !self.tallies.contains_key(&key) {
            self.beyond = self.beyond.saturating_add(1);
            return Heed::Counted;
        }
        let tally = self.tallies.entry(key).or_default();
        if tally.seen < limits::DENIALS_WHOLE_MAX {
            tally.seen += 1;
            return Heed::Whole;
        }
        tally.unwritten = tally.unwritten.saturating_add(1);
        Heed::Counted
    }

    /// Whether anything was counted since the last draining.
    pub fn is_drained(&self) -> bool {
        self.beyond == 0 && self.tallies.values().all(|tally| tally.unwritten == 0)
    }

    /// What was counted since the last draining, to be written as one entry each.
    pub fn drain(&mut self) -> Vec<Counted> {
        let mut counted: Vec<Counted> = self
            .tallies
            .iter_mut()
            .filter(|(_, tally)| tally.unwritten > 0)
            .map(|(key, tally)| Counted {
                key: Some(*key),
                count: std::mem::take(&mut tally.unwritten),
            })
            .collect();
        let beyond = std::mem::take(&mut self.beyond);
        if beyond > 0 {
            counted.push(Counted {
                key: None,
                count: beyond,
            });
        }
        counted
    }
}
