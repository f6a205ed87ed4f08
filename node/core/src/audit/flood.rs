//! Refusals by the thousand: the first of a day whole, the rest as a number (`protocol.md` 6).

use std::collections::BTreeMap;

use crate::types::{Code, MemberId, Span, Timestamp, UserId, limits};

const DAY: Span = Span::days(1);

/// Which refusals count as alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FloodKey {
    /// Who was refused; none where no member could be told.
    pub member: Option<MemberId>,
    /// Which user there; none where the message was not even read, or where one member names more users
    /// than are told apart.
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
        let Some(key) = self.place(key) else {
            self.beyond = self.beyond.saturating_add(1);
            return Heed::Counted;
        };
        let tally = self.tallies.entry(key).or_default();
        if tally.seen < limits::DENIALS_WHOLE_MAX {
            tally.seen += 1;
            return Heed::Whole;
        }
        tally.unwritten = tally.unwritten.saturating_add(1);
        Heed::Counted
    }

    /// The tally a refusal goes to; none where there is no room.
    ///
    /// The user is what the peer says it is: a member that names a fresh one each time must not get a
    /// whole entry each time, nor crowd out the others.
    fn place(&self, key: FloodKey) -> Option<FloodKey> {
        if self.tallies.contains_key(&key) {
            return Some(key);
        }
        let first = FloodKey {
            member: key.member,
            user: None,
            code: Code::ALL[0],
        };
        let of_member = self
            .tallies
            .range(first..)
            .take_while(|(other, _)| other.member == key.member)
            .take(limits::FLOOD_KEYS_PER_MEMBER_MAX)
            .count();
        let key = if of_member < limits::FLOOD_KEYS_PER_MEMBER_MAX {
            key
        } else {
            FloodKey { user: None, ..key }
        };
        let room = self.tallies.len() < limits::FLOOD_KEYS_MAX;
        (room || self.tallies.contains_key(&key)).then_some(key)
    }

    /// Whether nothing was counted since the last draining.
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
