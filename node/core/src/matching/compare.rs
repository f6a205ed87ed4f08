//! A question beside a record, attribute by attribute.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Agreement, Attribute,
    normalise::{self, Place},
};
use crate::{records::Demographics, types::Sex};

/// Compares each attribute that was sent, in the order of [`Attribute::ALL`].
///
/// Several values of one attribute: one that agrees is enough, so a maiden name in a record counts.
/// Identifiers are stricter: two different values within one system contradict, whatever agrees in
/// another. The first given name must agree; further ones only where both have them, an initial
/// standing for the name it begins. Values that say nothing (`unknown`, 000-00-0000) count as not sent.
pub fn compare(sent: &Demographics, record: &Demographics) -> Vec<(Attribute, Agreement)> {
    Attribute::ALL
        .iter()
        .filter_map(|attribute| Some((*attribute, agreement(*attribute, sent, record)?)))
        .collect()
}

/// Whether two records that share an identifier are plainly two people: family *and* birth date differ.
pub fn conflicts(one: &Demographics, other: &Demographics) -> bool {
    let differs = |attribute| agreement(attribute, one, other) == Some(Agreement::Differs);
    differs(Attribute::Family) && differs(Attribute::BirthDate)
}

/// Whether an attribute was sent with a value that says something.
pub(super) fn is_sent(attribute: Attribute, sent: &Demographics) -> bool {
    agreement(attribute, sent, &Demographics::default()).is_some()
}

fn agreement(
    attribute: Attribute,
    sent: &Demographics,
    record: &Demographics,
) -> Option<Agreement> {
    match attribute {
        Attribute::Family => any_equal(&families(sent), &families(record)),
        Attribute::Given => given(&givens(sent), &givens(record)),
        Attribute::BirthDate => any_equal(&birth_dates(sent), &birth_dates(record)),
        Attribute::Sex => any_equal(&sexes(sent), &sexes(record)),
        Attribute::Identifier => identifiers(&by_system(sent), &by_system(record)),
        Attribute::Address => addresses(&places(sent), &places(record)),
        Attribute::Phone => any_equal(&phones(sent), &phones(record)),
        Attribute::Email => any_equal(&emails(sent), &emails(record)),
    }
}

fn families(person: &Demographics) -> Vec<String> {
    let names = person.names.iter();
    names
        .filter_map(|name| normalise::name(&name.family))
        .collect()
}

fn givens(person: &Demographics) -> Vec<Vec<String>> {
    let names = person
        .names
        .iter()
        .map(|name| normalise::given(&name.given));
    names.filter(|given| !given.is_empty()).collect()
}

fn birth_dates(person: &Demographics) -> Vec<String> {
    let date = person.birth_date.iter();
    date.filter_map(|date| normalise::birth_date(date))
        .collect()
}

fn sexes(person: &Demographics) -> Vec<Sex> {
    let sex = person.sex.into_iter();
    sex.filter(|sex| *sex != Sex::Unknown).collect()
}

fn phones(person: &Demographics) -> Vec<String> {
    let phones = person.phones.iter();
    phones.filter_map(|phone| normalise::phone(phone)).collect()
}

fn emails(person: &Demographics) -> Vec<String> {
    let emails = person.emails.iter();
    emails.filter_map(|email| normalise::email(email)).collect()
}

fn places(person: &Demographics) -> Vec<Place> {
    let addresses = person.addresses.iter();
    addresses.filter_map(normalise::address).collect()
}

fn by_system(person: &Demographics) -> BTreeMap<String, BTreeSet<String>> {
    let mut systems: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (system, value) in person.identifiers.iter().filter_map(normalise::identifier) {
        systems.entry(system).or_default().insert(value);
    }
    systems
}

fn any_equal<T: PartialEq>(sent: &[T], record: &[T]) -> Option<Agreement> {
    let verdict = match (sent.is_empty(), record.is_empty()) {
        (true, _) => return None,
        (false, true) => Agreement::Absent,
        (false, false) if sent.iter().any(|value| record.contains(value)) => Agreement::Agrees,
        (false, false) => Agreement::Differs,
    };
    Some(verdict)
}

fn given(sent: &[Vec<String>], record: &[Vec<String>]) -> Option<Agreement> {
    if sent.is_empty() {
        return None;
    }
    if record.is_empty() {
        return Some(Agreement::Absent);
    }
    let agrees = sent
        .iter()
        .any(|sent| record.iter().any(|record| given_names_agree(sent, record)));
    Some(if agrees {
        Agreement::Agrees
    } else {
        Agreement::Differs
    })
}

fn given_names_agree(one: &[String], other: &[String]) -> bool {
    let Some(((first, further), (other_first, other_further))) =
        one.split_first().zip(other.split_first())
    else {
        return false;
    };
    first == other_first
        && further.iter().zip(other_further).all(|(name, other)| {
            name == other || is_initial(name, other) || is_initial(other, name)
        })
}

fn is_initial(initial: &str, name: &str) -> bool {
    initial.chars().count() == 1 && name.starts_with(initial)
}

fn identifiers(
    sent: &BTreeMap<String, BTreeSet<String>>,
    record: &BTreeMap<String, BTreeSet<String>>,
) -> Option<Agreement> {
    if sent.is_empty() {
        return None;
    }
    let mut result = Agreement::Absent;
    for (system, values) in sent {
        let Some(known) = record.get(system) else {
            continue;
        };
        if values.is_disjoint(known) {
            return Some(Agreement::Differs);
        }
        result = Agreement::Agrees;
    }
    Some(result)
}

fn addresses(sent: &[Place], record: &[Place]) -> Option<Agreement> {
    if sent.is_empty() {
        return None;
    }
    let mut result = Agreement::Absent;
    for (sent, record) in sent
        .iter()
        .flat_map(|sent| record.iter().map(move |record| (sent, record)))
    {
        match place(sent, record) {
            Agreement::Agrees => return Some(Agreement::Agrees),
            Agreement::Close | Agreement::Differs => result = Agreement::Differs,
            Agreement::Absent => {}
        }
    }
    Some(result)
}

fn place(one: &Place, other: &Place) -> Agreement {
    let differs = |one: &str, other: &str| !one.is_empty() && !other.is_empty() && one != other;
    let postal_code_known = !one.postal_code.is_empty() && !other.postal_code.is_empty();
    if differs(&one.line, &other.line) || differs(&one.postal_code, &other.postal_code) {
        return Agreement::Differs;
    }
    if !postal_code_known && (differs(&one.city, &other.city) || differs(&one.state, &other.state))
    {
        return Agreement::Differs;
    }
    let same_city = !one.city.is_empty() && one.city == other.city;
    if one.is_whole() && other.is_whole() && (postal_code_known || same_city) {
        Agreement::Agrees
    } else {
        Agreement::Absent
    }
}
