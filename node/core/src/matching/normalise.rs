//! One form for each value, so that equal means the same; values that stand for *nothing known* vanish.
//!
//! Every function returns none for a value that says nothing, and so treats it as not sent.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::{
    records::{Address, Identifier},
    types::is_date,
};

/// URI of the US social security number in FHIR (`http://hl7.org/fhir/R4/identifier-registry.html`).
const US_SSN: &str = "http://hl7.org/fhir/sid/us-ssn";

/// Words that registration desks type where nothing is known, already in normal form.
const JUNK_WORDS: &[&str] = &[
    "unknown",
    "unk",
    "none",
    "na",
    "nil",
    "notknown",
    "notavailable",
    "notprovided",
    "unspecified",
    "noname",
];

/// Dates that registration systems put where nothing is known.
const JUNK_DATES: &[&str] = &[
    "1800-01-01",
    "1850-01-01",
    "1900-01-01",
    "1901-01-01",
    "1111-11-11",
    "9999-12-31",
];

/// Social security numbers that were printed in advertising or stand for none
/// (`https://www.ssa.gov/history/ssn/misused.html`).
const JUNK_SSN: &[&str] = &["078051120", "219099999", "123456789"];

/// A word as a search compares it: no marks, case, punctuation or space.
pub fn searchable(text: &str) -> String {
    fold(text)
}

/// A part of a name: no marks, case, punctuation or space. `María` is `MARIA`, `O'Brien` is `obrien`.
pub(super) fn name(text: &str) -> Option<String> {
    let folded = fold(text);
    (!folded.is_empty() && !JUNK_WORDS.contains(&folded.as_str())).then_some(folded)
}

/// Given names as single names: `Mary Ann` is two.
pub(super) fn given(names: &[String]) -> Vec<String> {
    names
        .iter()
        .flat_map(|text| text.split_whitespace())
        .filter_map(name)
        .collect()
}

/// A whole and real calendar date.
pub(super) fn birth_date(text: &str) -> Option<String> {
    let text = text.trim();
    if !is_date(text) || JUNK_DATES.contains(&text) {
        return None;
    }
    Some(text.to_owned())
}

/// The last ten digits of a telephone number; none under seven, or where all are one digit.
pub(super) fn phone(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.len() < 7 || one_character(&digits) {
        return None;
    }
    Some(digits[digits.len().saturating_sub(10)..].to_owned())
}

/// An e-mail address in lower case.
pub(super) fn email(text: &str) -> Option<String> {
    let lower = text.trim().to_lowercase();
    let (user, host) = lower.split_once('@')?;
    (!user.is_empty() && !host.is_empty()).then_some(lower)
}

/// System and value of an identifier: the value in upper case without spaces and dashes.
pub(super) fn identifier(identifier: &Identifier) -> Option<(String, String)> {
    let system = identifier.system.trim().trim_end_matches('/').to_owned();
    let value: String = identifier
        .value
        .chars()
        .filter(|letter| {
            !letter.is_whitespace() && !matches!(letter, '-' | '\u{2010}'..='\u{2015}')
        })
        .flat_map(char::to_uppercase)
        .collect();
    let junk = system.is_empty()
        || fold(&value).is_empty()
        || JUNK_WORDS.contains(&fold(&value).as_str())
        || (value.len() >= 5 && one_character(&value))
        || (system == US_SSN && JUNK_SSN.contains(&value.as_str()));
    (!junk).then_some((system, value))
}

/// A postal address in the parts that are compared; empty where a part says nothing.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Street lines as one, abbreviated as the US Postal Service does.
    pub(super) line: String,
    /// First five characters of the postal code.
    pub(super) postal_code: String,
    /// City.
    pub(super) city: String,
    /// State.
    pub(super) state: String,
}

impl Place {
    /// Whether it names a house: a line, and a postal code or city. Less may contradict, never prove:
    /// a postal code alone has no weight (conformance.md, *Matching*).
    pub(super) fn is_whole(&self) -> bool {
        let town = !self.postal_code.is_empty() || !self.city.is_empty();
        town && !self.line.is_empty()
    }
}

/// The parts of an address that are compared; none where it says nothing.
pub(super) fn address(address: &Address) -> Option<Place> {
    let place = Place {
        line: street(&address.line.join(" ")),
        postal_code: fold(&address.postal_code).chars().take(5).collect(),
        city: name(&address.city).unwrap_or_default(),
        state: name(&address.state).unwrap_or_default(),
    };
    let empty = place.line.is_empty() && place.postal_code.is_empty() && place.city.is_empty();
    (!empty).then_some(place)
}

fn street(line: &str) -> String {
    let spaced: String = line.replace('#', " # ");
    let mut words: Vec<String> = spaced
        .split(|letter: char| letter.is_whitespace() || matches!(letter, ',' | ';' | '/'))
        .map(|word| {
            if word == "#" {
                "#".to_owned()
            } else {
                fold(word)
            }
        })
        .filter(|word| !word.is_empty())
        .map(|word| abbreviation(&word).map_or(word, str::to_owned))
        .collect();
    // `Apt #4` names the unit twice.
    words.dedup_by(|word, before| word == "apt" && before == "apt");
    let joined = words.join(" ");
    if JUNK_WORDS.contains(&joined.replace(' ', "").as_str()) {
        return String::new();
    }
    joined
}

/// USPS Publication 28, appendix C (street suffixes and secondary units) and section 233 (directions).
fn abbreviation(word: &str) -> Option<&'static str> {
    Some(match word {
        "street" | "str" => "st",
        "avenue" | "av" | "aven" => "ave",
        "road" => "rd",
        "drive" | "drv" => "dr",
        "lane" => "ln",
        "boulevard" | "boul" => "blvd",
        "court" => "ct",
        "place" => "pl",
        "square" => "sq",
        "terrace" => "ter",
        "circle" => "cir",
        "parkway" => "pkwy",
        "highway" => "hwy",
        "trail" => "trl",
        "apartment" | "#" | "unit" | "number" => "apt",
        "suite" => "ste",
        "floor" => "fl",
        "building" => "bldg",
        "north" => "n",
        "south" => "s",
        "east" => "e",
        "west" => "w",
        "northeast" => "ne",
        "northwest" => "nw",
        "southeast" => "se",
        "southwest" => "sw",
        _ => return None,
    })
}

/// Compatibility decomposition, no Latin, Greek or Cyrillic marks, lower case, letters and digits only.
///
/// Marks of other scripts stay: in Devanagari or Thai they are vowels, and without them different names
/// become one.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.nfkd().filter(|letter| !is_diacritic(*letter)) {
        for letter in letter
            .to_lowercase()
            .filter(|letter| !is_diacritic(*letter))
        {
            match letter {
                'ß' => folded.push_str("ss"),
                'æ' => folded.push_str("ae"),
                'œ' => folded.push_str("oe"),
                'þ' => folded.push_str("th"),
                'ø' => folded.push('o'),
                'ł' => folded.push('l'),
                'đ' | 'ð' => folded.push('d'),
                'ı' => folded.push('i'),
                'ς' => folded.push('σ'),
                letter if letter.is_alphanumeric() || is_combining_mark(letter) => {
                    folded.push(letter);
                }
                _ => {}
            }
        }
    }
    folded
}

/// Blocks of combining marks for Latin, Greek and Cyrillic (Unicode 16, chapter 7.9).
fn is_diacritic(letter: char) -> bool {
    matches!(letter,
        '\u{0300}'..='\u{036f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

fn one_character(text: &str) -> bool {
    let mut letters = text.chars();
    let first = letters.next();
    letters.all(|letter| Some(letter) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_however_it_is_written() {
        for (one, other) in [
            ("María", "MARIA"),
            ("O'Brien", "obrien"),
            ("O’Brien", "Obrien"),
            ("Delgado-Ruiz", "Delgado Ruiz"),
            ("Groß", "GROSS"),
            ("Ångström", "angstrom"),
            ("Łukasz", "lukasz"),
            ("Nguyễn", "Nguyen"),
            ("İsmail", "ismail"),
            ("ﬁona", "Fiona"),
            ("Σωκράτης", "ΣΩΚΡΑΤΗΣ"),
        ] {
            assert_eq!(name(one), name(other), "{one}");
        }
        assert_ne!(name("कमल"), name("कमला"));
        assert_ne!(name("Delgado"), name("Delgado-Ruiz"));
        assert_eq!(name("Null"), Some("null".to_owned()));
        for junk in ["", " ", "-", "UNKNOWN", "N/A", "not known", "..."] {
            assert_eq!(name(junk), None, "{junk}");
        }
    }

    #[test]
    fn only_a_real_date_is_a_birth_date() {
        assert_eq!(birth_date(" 2024-02-29"), Some("2024-02-29".to_owned()));
        for junk in [
            "2023-02-29",
            "1979-3-4",
            "1979-03",
            "19790304",
            "1900-01-01",
            "1979-13-01",
            "+979-03-04",
            "1979-0é-4",
        ] {
            assert_eq!(birth_date(junk), None, "{junk}");
        }
    }

    #[test]
    fn a_telephone_number_is_its_last_ten_digits() {
        assert_eq!(phone("+1 (555) 010-4477"), phone("555.010.4477"));
        assert_eq!(phone("010-4477"), Some("0104477".to_owned()));
        for junk in ["", "911", "000-000-0000", "none"] {
            assert_eq!(phone(junk), None, "{junk}");
        }
    }

    #[test]
    fn an_email_address_has_two_sides() {
        assert_eq!(
            email(" Ana@Example.ORG"),
            Some("ana@example.org".to_owned())
        );
        for junk in ["", "none", "@", "a@"] {
            assert_eq!(email(junk), None, "{junk}");
        }
    }

    #[test]
    fn numbers_that_stand_for_none_are_no_identifiers() {
        let read = |system: &str, value: &str| {
            let (system, value) = (system.to_owned(), value.to_owned());
            identifier(&Identifier { system, value }).map(|(_, value)| value)
        };

        assert_eq!(read(US_SSN, "999-12-3456"), Some("999123456".to_owned()));
        assert_eq!(read("urn:x", "123456789"), Some("123456789".to_owned()));
        for junk in [
            "000-00-0000",
            "999-99-9999",
            "123-45-6789",
            "none",
            "",
            "--",
            "N/A",
        ] {
            assert_eq!(read(US_SSN, junk), None, "{junk}");
        }
    }
}
