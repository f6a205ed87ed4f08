//! Readers of single words: durations, dates, sexes, pairs.

/// Nobody waits longer for who holds records; the contract's default is 10 s.
const DEADLINE_MAX_MS: u64 = 10 * 60_000;

/// A duration with its unit, in milliseconds.
pub(super) fn duration_ms(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("not a duration; write for example 10s, 5m, 72h or 7d".to_owned()),
    };
    let count: u64 = count
        .parse()
        .map_err(|_| "not a duration; write for example 10s, 5m, 72h or 7d".to_owned())?;
    match count.checked_mul(factor) {
        Some(0) => Err("a duration of nothing".to_owned()),
        Some(ms) => Ok(ms),
        None => Err("too long".to_owned()),
    }
}

/// An ISO date: a day, a month or a year.
pub(super) fn date(text: &str) -> Result<String, String> {
    let shape = || "not an ISO date; write for example 1950-03-04".to_owned();
    let parts: Vec<&str> = text.split('-').collect();
    let widths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let digits = parts
        .iter()
        .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !digits || !matches!(widths.as_slice(), [4] | [4, 2] | [4, 2, 2]) {
        return Err(shape());
    }
    let number = |at: usize| parts.get(at).and_then(|part| part.parse::<u16>().ok());
    let (year, month, day) = (number(0), number(1).unwrap_or(1), number(2).unwrap_or(1));
    let month = u8::try_from(month)
        .ok()
        .and_then(|month| time::Month::try_from(month).ok())
        .ok_or_else(shape)?;
    let day = u8::try_from(day).map_err(|_| shape())?;
    time::Date::from_calendar_date(i32::from(year.ok_or_else(shape)?), month, day)
        .map_err(|_| "no such day in the calendar".to_owned())?;
    Ok(text.to_owned())
}

/// An ISO date, or a date with a time and an offset.
pub(super) fn date_or_time(text: &str) -> Result<String, String> {
    match text.split_once('T') {
        None => date(text),
        Some((day, _)) if day.len() == 10 => {
            date(day)?;
            let format = &time::format_description::well_known::Rfc3339;
            time::OffsetDateTime::parse(text, format).map_err(|_| {
                "not an ISO time; write for example 2026-11-22T08:00:00Z".to_owned()
            })?;
            Ok(text.to_owned())
        }
        Some(_) => Err("not an ISO time; write for example 2026-11-22T08:00:00Z".to_owned()),
    }
}

/// A sex as its FHIR code; one letter will do.
pub(super) fn sex(text: &str) -> Result<String, String> {
    match text.to_ascii_lowercase().as_str() {
        "m" | "male" => Ok("male".to_owned()),
        "f" | "female" => Ok("female".to_owned()),
        "o" | "other" => Ok("other".to_owned()),
        "u" | "unknown" => Ok("unknown".to_owned()),
        _ => Err("one of male, female, other, unknown, or M, F, O, U".to_owned()),
    }
}

/// A state as its two letters (USPS Publication 28, appendix B); none is as good.
pub(super) fn state(text: &str) -> Result<String, String> {
    let two_letters = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if text.is_empty() || two_letters {
        return Ok(text.to_ascii_uppercase());
    }
    Err("two letters, such as OH".to_owned())
}

/// A purpose of use in any case; the daemon knows which there are.
pub(super) fn purpose(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(
            "a purpose of use is missing; write for example TREAT or TREAT,ETREAT".to_owned(),
        );
    }
    Ok(text.to_ascii_uppercase())
}

/// How long a question may wait for answers, in milliseconds.
pub(super) fn deadline_ms(text: &str) -> Result<u64, String> {
    match duration_ms(text)? {
        ms if ms > DEADLINE_MAX_MS => Err("longer than 10 minutes".to_owned()),
        ms => Ok(ms),
    }
}

/// SYSTEM=VALUE; a system may itself hold no `=`.
pub(super) fn identifier(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((system, value)) if !system.is_empty() && !value.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err("write SYSTEM=VALUE".to_owned()),
    }
}

/// A LOINC code: digits, a hyphen, one check digit.
pub(super) fn loinc(text: &str) -> Result<String, String> {
    match text.split_once('-') {
        Some((number, check))
            if (1..=7).contains(&number.len())
                && check.len() == 1
                && number
                    .bytes()
                    .chain(check.bytes())
                    .all(|byte| byte.is_ascii_digit()) =>
        {
            Ok(text.to_owned())
        }
        Some(_) | None => Err("not a LOINC code; write for example 18842-5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(duration_ms("10s"), Ok(10_000));
        assert_eq!(duration_ms("72h"), Ok(259_200_000));
        assert_eq!(duration_ms("7d"), Ok(604_800_000));
        assert_eq!(duration_ms("250ms"), Ok(250));

        for bad in ["10", "s", "-1s", "0s", "1.5h", "10 s", "99999999999999999d"] {
            assert!(duration_ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nobody_waits_longer_than_ten_minutes() {
        assert_eq!(deadline_ms("10m"), Ok(600_000));
        assert!(deadline_ms("601s").is_err());
        assert!(deadline_ms("10h").is_err());
    }

    #[test]
    fn a_state_has_two_letters() {
        assert_eq!(state("oh").as_deref(), Ok("OH"));
        assert_eq!(state("").as_deref(), Ok(""));
        for bad in ["Illinois", "O", "O1"] {
            assert!(state(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_purpose_is_read_in_any_case() {
        assert_eq!(purpose("treat").as_deref(), Ok("TREAT"));
        assert_eq!(purpose("ETREAT").as_deref(), Ok("ETREAT"));
        assert!(purpose(" ").is_err());
    }

    #[test]
    fn a_date_stands_in_the_calendar() {
        assert_eq!(date("1950-03-04").as_deref(), Ok("1950-03-04"));
        assert_eq!(date("1950-03").as_deref(), Ok("1950-03"));
        assert_eq!(date("1950").as_deref(), Ok("1950"));

        for bad in [
            "1950-02-30",
            "1950-13-01",
            "04.03.1950",
            "1950-3-4",
            "",
            "19500304",
        ] {
            assert!(date(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_carries_its_offset() {
        assert!(date_or_time("2026-11-22").is_ok());
        assert!(date_or_time("2026-11-22T08:00:00Z").is_ok());

        for bad in ["2026-11-22T08:00:00", "2026-11-22T25:00:00Z", "T08:00:00Z"] {
            assert!(date_or_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_letter_names_a_sex() {
        assert_eq!(sex("F").as_deref(), Ok("female"));
        assert_eq!(sex("Other").as_deref(), Ok("other"));
        assert!(sex("X").is_err());
    }

    #[test]
    fn an_identifier_has_two_halves() {
        assert!(identifier("http://hl7.org/fhir/sid/us-ssn=999-00-1111").is_ok());
        assert!(identifier("999-00-1111").is_err());
        assert!(identifier("=1").is_err());
    }

    #[test]
    fn a_loinc_code_has_its_check_digit() {
        assert!(loinc("18842-5").is_ok());
        assert!(loinc("18842").is_err());
        assert!(loinc("18842-55").is_err());
        assert!(loinc("-5").is_err());
    }
}
