//! What the desk of a provider wrote down about somebody: mostly right, in its own way.

use time::{Date, Duration};

use super::{
    chance::Chance,
    people::{Home, Person},
};

/// A person as one provider has them.
pub(super) struct Registration {
    pub(super) family: String,
    pub(super) given: Vec<String>,
    pub(super) suffix: Option<String>,
    pub(super) family_before: Option<String>,
    pub(super) born: Date,
    pub(super) line: Option<String>,
    pub(super) home: Home,
    pub(super) phone: Option<String>,
    pub(super) email: Option<String>,
    /// Whether given name and birth date are as they are on the insurance card.
    pub(super) is_as_on_card: bool,
}

/// Writes somebody down as a desk did on a day.
pub(super) fn register(person: &Person, on: Date, chance: &mut Chance) -> Registration {
    let (given, is_full_name) = given(person, chance);
    let (born, is_true_date) = born(person.born, chance);
    let home = match &person.home_before {
        Some((home, until)) if on < *until => home.clone(),
        Some(_) | None => person.home.clone(),
    };
    let knows_before = chance.happens(400);
    let before = person.before.as_ref().filter(|(_, until)| on >= *until);
    Registration {
        family: family(person.family_on(on), chance),
        given,
        suffix: person.suffix.filter(|_| chance.happens(700)).map(|suffix| {
            let plain = suffix.trim_end_matches('.');
            if chance.happens(400) { plain } else { suffix }.to_owned()
        }),
        family_before: before
            .filter(|_| knows_before)
            .map(|(name, _)| name.clone()),
        born,
        line: chance.happens(950).then(|| line(&home, chance)),
        phone: chance.happens(850).then(|| phone(&home.phone, chance)),
        home,
        email: person.email.clone().filter(|_| chance.happens(600)),
        is_as_on_card: is_full_name && is_true_date,
    }
}

/// Given names, and whether the first is the whole and right one.
fn given(person: &Person, chance: &mut Chance) -> (Vec<String>, bool) {
    let name = person.given.name;
    let short = person.given.short;
    let (first, is_full) = if !short.is_empty() && chance.happens(120) {
        ((*chance.pick(short)).to_owned(), false)
    } else if chance.happens(25) {
        (slip(name, chance), false)
    } else {
        (plain_sometimes(name, chance), true)
    };
    let mut given = vec![first];
    if let Some(middle) = person.middle {
        match chance.between(0, 9) {
            0..=4 => given.push(middle.to_owned()),
            5..=7 => given.extend(middle.chars().next().map(|letter| format!("{letter}."))),
            _ => {}
        }
    }
    (given, is_full)
}

fn family(name: &str, chance: &mut Chance) -> String {
    if chance.happens(20) {
        return slip(name, chance);
    }
    let name = plain_sometimes(name, chance);
    match chance.between(0, 99) {
        0..=14 if name.contains('-') => name.replace('-', " "),
        0..=14 if name.contains('\'') => name.replace('\'', ""),
        15..=20 => name.to_uppercase(),
        _ => name,
    }
}

/// Without its marks, where the desk's keyboard has none.
fn plain_sometimes(name: &str, chance: &mut Chance) -> String {
    if !chance.happens(350) {
        return name.to_owned();
    }
    let plain = |letter| match letter {
        'á' => 'a',
        'é' => 'e',
        'í' => 'i',
        'ó' | 'ö' => 'o',
        'ú' => 'u',
        'ñ' => 'n',
        other => other,
    };
    name.chars().map(plain).collect()
}

/// One slip of the finger: two letters swapped, or one left out.
fn slip(name: &str, chance: &mut Chance) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    if letters.len() < 4 {
        return name.to_owned();
    }
    let last = i64::try_from(letters.len()).unwrap_or(4) - 2;
    let at = usize::try_from(chance.between(1, last)).unwrap_or(1);
    if chance.happens(500) {
        letters.swap(at, at + 1);
    } else {
        letters.remove(at);
    }
    letters.into_iter().collect()
}

/// The birth date, and whether it is the true one.
fn born(date: Date, chance: &mut Chance) -> (Date, bool) {
    let wrong = match chance.between(0, 199) {
        0 => date.replace_year(date.year() - 1).ok(),
        1 => Some(date + Duration::days(1)),
        2 => time::Month::try_from(date.day()).ok().and_then(|month| {
            Date::from_calendar_date(date.year(), month, date.month() as u8).ok()
        }),
        _ => None,
    };
    match wrong {
        Some(wrong) if wrong != date && wrong <= super::people::TODAY => (wrong, false),
        Some(_) | None => (date, true),
    }
}

fn line(home: &Home, chance: &mut Chance) -> String {
    let mut street = home.street.to_owned();
    if chance.happens(400) {
        for (long, short) in [
            ("Street", "St"),
            ("Avenue", "Ave"),
            ("Road", "Rd"),
            ("Lane", "Ln"),
            ("Drive", "Dr"),
            ("Court", "Ct"),
        ] {
            street = street.replace(long, short);
        }
    }
    format!("{} {street}", home.number)
}

/// The same number as different desks type it.
fn phone(number: &str, chance: &mut Chance) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.strip_prefix('1').unwrap_or(&digits);
    match (chance.between(0, 3), digits.len()) {
        (0, 10) => format!("({}) {}-{}", &digits[..3], &digits[3..6], &digits[6..]),
        (1, 10) => format!("{}-{}-{}", &digits[..3], &digits[3..6], &digits[6..]),
        (2, _) => digits.to_owned(),
        _ => number.to_owned(),
    }
}
