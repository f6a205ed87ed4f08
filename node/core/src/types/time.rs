//! Points and lengths of time. Only a [`crate::ports::Clock`] makes the present.

use std::fmt;

use time::{Date, Month, OffsetDateTime, format_description::well_known::Rfc3339};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub u64);

impl Span {
    /// A span of so many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * 1_000)
    }

    /// A span of so many minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// A span of so many hours.
    pub const fn hours(hours: u64) -> Self {
        Self::minutes(hours * 60)
    }

    /// A span of so many days.
    pub const fn days(days: u64) -> Self {
        Self::hours(days * 24)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

impl Timestamp {
    /// The time `span` later, or the end of time.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The time `span` earlier, or 1970.
    #[must_use]
    pub fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// How far apart two times are, whichever is first.
    pub fn distance(self, other: Self) -> Span {
        Span(self.0.abs_diff(other.0))
    }

    /// How long after `earlier` this is; nothing where it is before.
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// `YYYY-MM-DD` in UTC.
    pub fn date(self) -> String {
        self.to_string().chars().take(10).collect()
    }

    /// Reads an ISO date (its start in UTC) or an RFC 3339 date-time.
    pub fn parse(text: &str) -> Option<Self> {
        let full = if text.len() == 10 {
            format!("{text}T00:00:00Z")
        } else {
            text.to_owned()
        };
        let at = OffsetDateTime::parse(&full, &Rfc3339).ok()?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000)
            .ok()
            .map(Self)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }
}

/// Whether a text is `YYYY-MM-DD` and a day of the calendar, in whatever century.
pub fn is_date(text: &str) -> bool {
    calendar_date(text).is_some()
}

fn calendar_date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |part: &str| -> Option<u16> {
        let all_digits = part.bytes().all(|byte| byte.is_ascii_digit());
        all_digits.then(|| part.parse().ok()).flatten()
    };
    let year = number(text.get(0..4)?)?;
    let month = u8::try_from(number(text.get(5..7)?)?).ok()?;
    let day = u8::try_from(number(text.get(8..10)?)?).ok()?;
    Date::from_calendar_date(i32::from(year), Month::try_from(month).ok()?, day).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_day_of_the_calendar() {
        for date in ["1937-02-13", "2024-02-29", "0001-01-01"] {
            assert!(is_date(date), "{date}");
        }
        for text in [
            "",
            "2026-02-31",
            "2023-02-29",
            "2026-00-10",
            "2026-13-01",
            "2026-1-1",
            "2026-01-01T00:00:00Z",
            "+026-01-01",
            "2026/01/01",
            "2026-0é-1",
        ] {
            assert!(!is_date(text), "{text}");
        }
    }

    #[test]
    fn a_time_reads_back_as_it_was_written() {
        let at = Timestamp(1_795_000_123_456);

        assert_eq!(Timestamp::parse(&at.to_string()), Some(at));
        assert_eq!(Timestamp::parse("1970-01-02"), Some(Timestamp(86_400_000)));
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!(Timestamp::parse("1969-12-31"), None);
    }
}
