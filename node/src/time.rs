//! The node's clock: one that only goes forward, goes on in sleep, and follows the system's calmly.
//!
//! Decisions and the times of records both come from here. Between two readings it advances by
//! `CLOCK_BOOTTIME`, which nobody sets and which counts the time a machine is suspended. Where the
//! system's clock is ahead (NTP has corrected a clock that was slow) it follows at twice the speed of
//! real time, and by no more than a minute a reading: a clinic's machine that booted ten minutes slow
//! is right again ten minutes later, while a system clock that jumps a day ahead for some seconds
//! moves this one by those seconds. It never goes back and never slows down, so that nothing expired
//! is revived: a node that got ahead stays ahead, peers tell it `CLOCK_SKEW`, and a restart with
//! `doctor --accept-clock` mends it.

use std::{
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use chartmesh_core::types::{Span, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// What one reading may follow of a correction.
const FOLLOW_MAX: Span = Span::minutes(1);

/// The system's idea of the present.
pub fn system_time() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Time since the machine booted, sleep included.
fn since_boot() -> Span {
    let read = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(read.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(read.tv_nsec).unwrap_or_default();
    Span(
        seconds
            .saturating_mul(1_000)
            .saturating_add(nanos / 1_000_000),
    )
}

/// A clock as the module describes it.
pub struct SteadyClock(Mutex<Reading>);

impl SteadyClock {
    /// Begins at a time.
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(Reading {
            at: start,
            boot: since_boot(),
        }))
    }

    /// The present, never earlier than read before.
    pub fn now(&self) -> Timestamp {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *reading = reading.next(since_boot(), system_time());
        reading.at
    }
}

/// What the clock last said, and when that was since boot.
#[derive(Clone, Copy)]
struct Reading {
    at: Timestamp,
    boot: Span,
}

impl Reading {
    fn next(self, boot: Span, system: Timestamp) -> Self {
        let elapsed = Span(boot.0.saturating_sub(self.boot.0));
        let plain = self.at.plus(elapsed);
        let most = plain.plus(elapsed.min(FOLLOW_MAX));
        Self {
            at: system.clamp(plain, most),
            boot: boot.max(self.boot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_800_000_000_000);

    fn reading() -> Reading {
        Reading {
            at: START,
            boot: Span(0),
        }
    }

    /// Reads every second, with the system's clock so far ahead of the true time.
    fn read_for(mut reading: Reading, seconds: u64, ahead: Span) -> Reading {
        let from = reading.boot.0;
        for second in 1..=seconds {
            let boot = Span(from + 1_000 * second);
            reading = reading.next(boot, START.plus(boot).plus(ahead));
        }
        reading
    }

    #[test]
    fn a_clock_that_was_slow_is_right_again_after_as_long_as_it_was_slow() {
        let ten = Span::minutes(10);

        let half = read_for(reading(), 300, ten);
        assert_eq!(half.at, START.plus(ten));
        let whole = read_for(half, 300, ten);

        assert_eq!(whole.at, START.plus(Span::minutes(20)), "caught up");
        let later = read_for(whole, 60, ten);
        assert_eq!(later.at, START.plus(Span::minutes(21)), "and no further");
    }

    #[test]
    fn a_jump_of_a_day_that_lasts_ten_seconds_moves_it_by_ten_seconds() {
        let jumped = read_for(reading(), 10, Span::days(1));
        let after = read_for(jumped, 60, Span(0));

        assert_eq!(after.at, START.plus(Span::seconds(80)));
        let unread = reading().next(Span::hours(8), START.plus(Span::days(2)));
        assert_eq!(unread.at, START.plus(Span::hours(8)).plus(FOLLOW_MAX));
    }

    #[test]
    fn it_goes_on_in_sleep_and_never_back() {
        let slept = reading().next(Span::hours(8), START.plus(Span::hours(8)));
        assert_eq!(slept.at, START.plus(Span::hours(8)));

        let set_back = slept.next(Span(slept.boot.0 + 5), Timestamp(0));
        assert_eq!(set_back.at, slept.at.plus(Span(5)));
        assert_eq!(set_back.next(Span(0), Timestamp(0)).at, set_back.at);
    }

    #[test]
    fn time_since_boot_advances() {
        let before = since_boot();
        assert!(before.0 > 0 && since_boot() >= before);
    }
}
