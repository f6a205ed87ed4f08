//! Text for people: escaping, dates, sizes. What a peer or a record says reaches a
//! terminal only through [`escape`].

use std::fmt::Write as _;

pub(crate) use crate::table::Table;

/// Whether a character can move a cursor, colour a terminal, or turn the direction of reading.
pub(crate) fn is_hazardous(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061C}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
        )
}

/// The text with every hazardous character written as `\u{..}`.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hazardous(character) {
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    safe
}

/// The text as a cell that no spreadsheet takes for a formula: what would start one stands behind an
/// apostrophe. A telephone number starts like one and is none.
pub(crate) fn inert(text: &str) -> String {
    let is_number = |rest: &str| {
        rest.chars()
            .all(|character| character.is_ascii_digit() || " ()-./".contains(character))
    };
    match text.chars().next() {
        Some('=' | '@' | '\t' | '\r') => format!("'{text}"),
        Some('+' | '-') if !is_number(&text[1..]) => format!("'{text}"),
        Some(_) | None => text.to_owned(),
    }
}

/// An ISO date or time as tables show it: `04 Mar 1950`, `04 Mar 1950 14:03:09 UTC`. Other text is
/// only escaped.
pub(crate) fn date(iso: &str) -> String {
    read_date(iso).unwrap_or_else(|| escape(iso))
}

/// As [`date()`], where there may be none.
pub(crate) fn maybe_date(iso: Option<&String>) -> String {
    iso.map_or_else(|| NONE.to_owned(), |iso| date(iso))
}

/// What stands where there is nothing.
pub(crate) const NONE: &str = "-";

/// The text, or [`NONE`].
pub(crate) fn or_none(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}

fn read_date(iso: &str) -> Option<String> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    if !iso.is_ascii() || iso.len() < 7 {
        return None;
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (year, month) = (iso.get(..4)?, iso.get(5..7)?);
    if !digits(year) || iso.get(4..5)? != "-" {
        return None;
    }
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    let Some(day) = iso.get(8..10) else {
        return (iso.len() == 7).then(|| format!("{month} {year}"));
    };
    if !digits(day) || iso.get(7..8)? != "-" {
        return None;
    }
    match iso.get(10..11) {
        None => Some(format!("{day} {month} {year}")),
        Some("T") if iso.ends_with('Z') => {
            let clock = iso.get(11..19).filter(|clock| {
                clock
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b':')
            })?;
            Some(format!("{day} {month} {year} {clock} UTC"))
        }
        Some(_) => None,
    }
}

/// A size with a unit that people read.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = count.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A count with its noun: `1 node`, `2 nodes`.
pub(crate) fn count(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Names and values, one a line. Every value is escaped.
pub(crate) fn lines<'a>(pairs: impl AsRef<[(&'a str, &'a str)]>) -> String {
    let pairs = pairs.as_ref();
    let width = pairs
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (name, value) in pairs {
        let value = escape(or_none(value));
        let _ = writeln!(text, "{name:<width$}  {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_start_a_formula_stands_behind_an_apostrophe() {
        for formula in [
            "=1+1",
            "@SUM(A1)",
            "+cmd|' /C calc'!A0",
            "-2+3+cmd|x",
            "\t=1",
            "\r=1",
        ] {
            assert_eq!(inert(formula), format!("'{formula}"));
        }
        for value in [
            "",
            "-",
            "Rosa",
            "+1 (303) 555-0100",
            "-12",
            "con_a",
            "a=b",
            "4+4",
        ] {
            assert_eq!(inert(value), value);
        }
    }

    #[test]
    fn nothing_that_moves_a_cursor_or_turns_reading_reaches_a_terminal() {
        let hostile = "Rosa\u{1b}[2J\r\n\u{202e}odagleD\u{9b}1m\u{2066}\u{feff}";

        let safe = escape(hostile);

        assert_eq!(
            safe,
            "Rosa\\u{1b}[2J\\u{d}\\u{a}\\u{202e}odagleD\\u{9b}1m\\u{2066}\\u{feff}"
        );
        assert_eq!(escape("Ñandú O’Brien 王"), "Ñandú O’Brien 王");
    }

    #[test]
    fn dates_read_as_people_write_them() {
        assert_eq!(date("1950-03-04"), "04 Mar 1950");
        assert_eq!(date("1950-03"), "Mar 1950");
        assert_eq!(date("1950"), "1950");
        assert_eq!(date("2026-11-22T08:09:10.123Z"), "22 Nov 2026 08:09:10 UTC");
    }

    #[test]
    fn what_is_no_date_is_shown_as_it_came() {
        for text in [
            "1950-13-04",
            "1950-00-01",
            "19x0-03-04",
            "1950-03-04T1",
            "soon",
        ] {
            assert_eq!(date(text), text);
        }
        assert_eq!(date("1950-03-04\u{1b}"), "1950-03-04\\u{1b}");
    }

    #[test]
    fn sizes_carry_their_unit() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 20), "3.0 MiB");
        assert_eq!(bytes(u64::MAX).split(' ').next_back(), Some("TiB"));
    }
}
