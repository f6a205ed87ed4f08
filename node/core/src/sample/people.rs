//! Households: who lives together, who is whose child, and who was called otherwise before.

use time::{Date, Duration, Month};

use super::{
    chance::Chance,
    names::{self, Given},
};

/// The day the town's records end. Fixed, so that a seed makes the same bytes on any day.
pub(super) const TODAY: Date = match Date::from_calendar_date(2026, Month::November, 15) {
    Ok(date) => date,
    Err(_) => Date::MIN,
};

/// Administrative sex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sex {
    Female,
    Male,
}

/// Where somebody lives.
#[derive(Clone)]
pub(super) struct Home {
    pub(super) number: i64,
    pub(super) street: &'static str,
    pub(super) city: &'static str,
    pub(super) zip: &'static str,
    pub(super) phone: String,
}

/// Somebody of the town.
#[derive(Clone)]
pub(super) struct Person {
    pub(super) number: u64,
    pub(super) sex: Sex,
    pub(super) given: &'static Given,
    pub(super) middle: Option<&'static str>,
    pub(super) family: String,
    /// The family name until a day.
    pub(super) before: Option<(String, Date)>,
    pub(super) suffix: Option<&'static str>,
    pub(super) born: Date,
    pub(super) died: Option<Date>,
    pub(super) home: Home,
    /// Where they lived until a day.
    pub(super) home_before: Option<(Home, Date)>,
    pub(super) email: Option<String>,
    pub(super) spanish: bool,
    /// Days on which she gave birth.
    pub(super) births: Vec<Date>,
    /// One of two born the same day to the same mother.
    pub(super) twin: bool,
}

impl Person {
    /// Whole years on a day.
    pub(super) fn age(&self, on: Date) -> i64 {
        let years = i64::from(on.year() - self.born.year());
        let birthday_comes =
            (on.month() as u8, on.day()) < (self.born.month() as u8, self.born.day());
        years - i64::from(birthday_comes)
    }

    /// The last day anything can be written of them.
    pub(super) fn last_day(&self) -> Date {
        self.died.unwrap_or(TODAY)
    }

    /// The family name on a day.
    pub(super) fn family_on(&self, day: Date) -> &str {
        match &self.before {
            Some((family, until)) if day < *until => family,
            Some(_) | None => &self.family,
        }
    }
}

/// The people of one household, without their numbers.
pub(super) fn household(chance: &mut Chance) -> Vec<Person> {
    let family = (*chance.pick(names::FAMILIES)).to_owned();
    let home = home(chance);
    let age = chance.between(20, 92);
    let has_partner = chance.happens(if age < 28 { 350 } else { 620 });
    let sex = if chance.happens(500) {
        Sex::Female
    } else {
        Sex::Male
    };
    let mut first = adult(chance, sex, age, family, &home);
    if !has_partner {
        return vec![first];
    }
    let same_sex = chance.happens(40);
    let other = if same_sex { sex } else { opposite(sex) };
    let partner_age = (age + chance.between(-6, 6)).max(19);
    let partner_family = (*chance.pick(names::FAMILIES)).to_owned();
    let mut partner = adult(chance, other, partner_age, partner_family, &home);
    marry(chance, &mut first, &mut partner);
    let mut people = vec![first, partner];
    children(chance, &mut people);
    people
}

fn home(chance: &mut Chance) -> Home {
    let (city, zip) = *chance.pick(names::CITIES);
    Home {
        number: chance.between(1, 999),
        street: chance.pick::<&'static str>(names::STREETS),
        city,
        zip,
        // 555-01xx is set aside for fiction; the area code keeps enough of them apart.
        phone: format!("+1 {}5 555 01{}", chance.between(20, 98), chance.digits(2)),
    }
}

fn adult(chance: &mut Chance, sex: Sex, age: i64, family: String, home: &Home) -> Person {
    let mut person = somebody(chance, sex, family, home);
    let days = age * 365 + chance.between(0, 364) + age / 4;
    person.born = TODAY - Duration::days(days);
    if age > 70 && chance.happens(120) {
        person.died = Some(TODAY - Duration::days(chance.between(20, 900)));
    }
    if chance.happens(250) {
        let until = TODAY - Duration::days(chance.between(90, 2_500));
        person.home_before = Some((self::home(chance), until));
    }
    person
}

fn somebody(chance: &mut Chance, sex: Sex, family: String, home: &Home) -> Person {
    let from = match sex {
        Sex::Female => names::WOMEN,
        Sex::Male => names::MEN,
    };
    let given = chance.pick(from);
    let middle = chance.pick(from).name;
    let email = format!(
        "{}.{}{}@mail.example",
        letters(given.name),
        letters(&family),
        chance.digits(2)
    );
    Person {
        number: 0,
        sex,
        given,
        middle: (chance.happens(600) && middle != given.name).then_some(middle),
        before: None,
        suffix: None,
        born: TODAY,
        died: None,
        home: home.clone(),
        home_before: None,
        email: chance.happens(450).then_some(email),
        spanish: chance.happens(if family.is_ascii() { 40 } else { 300 }),
        births: Vec::new(),
        twin: false,
        family,
    }
}

/// The plain letters of a name, lower case.
fn letters(name: &str) -> String {
    let plain = name.chars().filter(char::is_ascii_alphabetic);
    plain.collect::<String>().to_ascii_lowercase()
}

fn opposite(sex: Sex) -> Sex {
    match sex {
        Sex::Female => Sex::Male,
        Sex::Male => Sex::Female,
    }
}

/// Some take the other's name, some put both together, some keep theirs.
fn marry(chance: &mut Chance, first: &mut Person, partner: &mut Person) {
    let (keeps, changes) = if partner.sex == Sex::Female {
        (first, partner)
    } else {
        (partner, first)
    };
    let grown = keeps.born.max(changes.born) + Duration::days(20 * 365);
    let days = (TODAY - grown).whole_days().max(1);
    let wedding = TODAY - Duration::days(chance.between(1, days));
    let before = changes.family.clone();
    match chance.between(0, 9) {
        0..=5 => changes.family.clone_from(&keeps.family),
        6..=7 => changes.family = format!("{}-{}", changes.family, keeps.family),
        _ => return,
    }
    if changes.family != before {
        changes.before = Some((before, wedding));
    }
}

fn children(chance: &mut Chance, people: &mut Vec<Person>) {
    let Some(mother) = people.iter().position(|person| person.sex == Sex::Female) else {
        return;
    };
    let father = people.iter().position(|person| person.sex == Sex::Male);
    let family = match father {
        Some(father) => people[father].family.clone(),
        None => people[mother].family.clone(),
    };
    let mut age = chance.between(20, 32);
    for _ in 0..chance.between(0, 3) {
        let days = age * 365 + chance.between(0, 364);
        let born = people[mother].born + Duration::days(days);
        // Grown children live elsewhere.
        let lives_here = born < TODAY && born > TODAY - Duration::days(21 * 365);
        age += chance.between(2, 5);
        let alive = born <= people[mother].last_day();
        if !lives_here || !alive || age > 44 {
            continue;
        }
        people[mother].births.push(born);
        let twins = chance.happens(35);
        let sex = if chance.happens(500) {
            Sex::Female
        } else {
            Sex::Male
        };
        let mut child = somebody(chance, sex, family.clone(), &people[mother].home);
        child.born = born;
        child.email = None;
        child.twin = twins;
        if twins {
            let mut twin = somebody(chance, sex, family.clone(), &people[mother].home);
            // Parents like twins to sound alike; they do not call both the same.
            while twin.given.name == child.given.name {
                twin.given = chance.pick(if sex == Sex::Female {
                    names::WOMEN
                } else {
                    names::MEN
                });
            }
            twin.born = born;
            twin.email = None;
            twin.twin = true;
            people.push(twin);
        } else if let Some(father) = father
            && sex == Sex::Male
            && people[father].suffix.is_none()
            && chance.happens(120)
        {
            child.given = people[father].given;
            child.middle = people[father].middle;
            child.suffix = Some("Jr.");
            people[father].suffix = Some("Sr.");
        }
        people.push(child);
    }
}
