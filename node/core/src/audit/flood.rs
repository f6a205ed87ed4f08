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

#[cfg(test)]
mod tests {
    use super::*;

    const MORNING: Timestamp = Timestamp(10 * 86_400_000);

    fn key(member: u64, user: u64) -> FloodKey {
        let id = |number: u64| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            bytes
        };
        FloodKey {
            member: Some(MemberId(id(member))),
            user: Some(UserId(id(user))),
            code: Code::Denied,
        }
    }

    fn whole(counter: &mut FloodCounter, key: FloodKey, times: u32, now: Timestamp) -> usize {
        (0..times)
            .filter(|_| counter.heed(key, now) == Heed::Whole)
            .count()
    }

    #[test]
    fn the_first_of_a_day_are_whole_and_the_rest_a_number() {
        let mut counter = FloodCounter::default();
        let limit = limits::DENIALS_WHOLE_MAX;

        let written = whole(&mut counter, key(1, 1), limit + 1_000, MORNING);

        assert_eq!(written, limit as usize);
        assert!(!counter.is_drained());
        assert_eq!(
            counter.drain(),
            [Counted {
                key: Some(key(1, 1)),
                count: 1_000
            }]
        );
        assert!(counter.is_drained());
        assert!(counter.drain().is_empty());
    }

    #[test]
    fn another_user_code_or_day_is_whole_again_and_nothing_counted_is_lost() {
        let mut counter = FloodCounter::default();
        let limit = limits::DENIALS_WHOLE_MAX;
        whole(&mut counter, key(1, 1), limit + 5, MORNING);
        let other_code = FloodKey {
            code: Code::RoleForbidden,
            ..key(1, 1)
        };

        assert_eq!(counter.heed(key(1, 1), MORNING), Heed::Counted);
        assert_eq!(counter.heed(key(1, 2), MORNING), Heed::Whole);
        assert_eq!(counter.heed(other_code, MORNING), Heed::Whole);
        let next = MORNING.plus(DAY);
        assert_eq!(counter.heed(key(1, 1), next), Heed::Whole);
        assert_eq!(counter.drain()[0].count, 6);
    }

    #[test]
    fn one_peer_with_ever_new_users_is_folded_and_others_are_still_told_apart() {
        let mut counter = FloodCounter::default();
        let users = 10 * limits::FLOOD_KEYS_PER_MEMBER_MAX as u64;
        let per_member = limits::FLOOD_KEYS_PER_MEMBER_MAX + limits::DENIALS_WHOLE_MAX as usize;

        let written = (0..users)
            .filter(|user| counter.heed(key(1, *user), MORNING) == Heed::Whole)
            .count();

        assert_eq!(written, per_member);
        assert_eq!(counter.heed(key(2, 1), MORNING), Heed::Whole);
        let counted = counter.drain();
        assert_eq!(counted.len(), 1);
        assert_eq!(counted[0].key.and_then(|key| key.user), None);
        assert_eq!(counted[0].count, users - per_member as u64);
    }

    #[test]
    fn beyond_all_room_there_is_one_number_and_no_more_memory() {
        let mut counter = FloodCounter::default();
        let room = limits::FLOOD_KEYS_MAX as u64;
        for member in 0..room {
            assert_eq!(counter.heed(key(member, 1), MORNING), Heed::Whole);
        }

        assert_eq!(counter.heed(key(room, 1), MORNING), Heed::Counted);
        assert_eq!(counter.heed(key(room + 1, 1), MORNING), Heed::Counted);

        assert_eq!(counter.tallies.len() as u64, room);
        assert_eq!(
            counter.drain(),
            [Counted {
                key: None,
                count: 2
            }]
        );
        let next = MORNING.plus(DAY);
        assert_eq!(counter.heed(key(room, 1), next), Heed::Whole);
    }
}
