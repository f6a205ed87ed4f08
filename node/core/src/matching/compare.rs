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

/// Whether two records of one id at one source are one person: family, given and birth date agree.
///
/// A source that is not named is any system: its `Patient/1` may be anybody.
pub fn same_by_id(one: &Demographics, other: &Demographics) -> bool {
    let agrees = |attribute| agreement(attribute, one, other) == Some(Agreement::Agrees);
    let given = agrees(Attribute::Given) || (is_single_named(one) && is_single_named(other));
    given && agrees(Attribute::Family) && agrees(Attribute::BirthDate)
}

/// Whether two records that share an identifier are one person: given and one of family and birth date
/// agree, and neither of these stands on one side only.
///
/// People marry, and dates are corrected. A family shares a subscriber's number, and twins a birth date:
/// hence the given name.
pub fn same_by_identifier(one: &Demographics, other: &Demographics) -> bool {
    if is_single_named(one) && is_single_named(other) {
        return same_by_id(one, other);
    }
    let both = |attribute| {
        (
            agreement(attribute, one, other),
            agreement(attribute, other, one),
        )
    };
    let one_sided = |attribute| {
        let (there, back) = both(attribute);
        there == Some(Agreement::Absent) || back == Some(Agreement::Absent)
    };
    let agrees = |attribute| both(attribute).0 == Some(Agreement::Agrees);
    let known = [Attribute::Family, Attribute::BirthDate];
    agrees(Attribute::Given) && !known.into_iter().any(one_sided) && known.into_iter().any(agrees)
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

/// Whether a person has family names only: a single legal name stands there (`conformance.md` D3), and
/// nothing is left out of it.
pub(super) fn is_single_named(person: &Demographics) -> bool {
    !families(person).is_empty() && givens(person).is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Address, Identifier, Name};

    fn named(given: &[&str]) -> Demographics {
        Demographics {
            names: vec![Name {
                family: "Ruiz".to_owned(),
                given: given.iter().map(|name| (*name).to_owned()).collect(),
            }],
            ..Demographics::default()
        }
    }

    fn living(line: &str, postal_code: &str, city: &str) -> Demographics {
        Demographics {
            addresses: vec![Address {
                line: vec![line.to_owned()],
                postal_code: postal_code.to_owned(),
                city: city.to_owned(),
                ..Address::default()
            }],
            ..Demographics::default()
        }
    }

    fn numbered(identifiers: &[(&str, &str)]) -> Demographics {
        let identifiers = identifiers.iter().map(|(system, value)| Identifier {
            system: (*system).to_owned(),
            value: (*value).to_owned(),
        });
        Demographics {
            identifiers: identifiers.collect(),
            ..Demographics::default()
        }
    }

    #[test]
    fn the_first_given_name_decides_and_further_ones_where_both_have_them() {
        let compare =
            |one: &[&str], other: &[&str]| agreement(Attribute::Given, &named(one), &named(other));

        for (one, other) in [
            (vec!["Ana"], vec!["ANA", "Eva"]),
            (vec!["Ana Eva"], vec!["Ana", "Eva"]),
            (vec!["Ana", "E."], vec!["Ana", "Eva"]),
        ] {
            assert_eq!(
                compare(&one, &other),
                Some(Agreement::Agrees),
                "{one:?} {other:?}"
            );
        }
        for (one, other) in [
            (vec!["Eva"], vec!["Ana", "Eva"]),
            (vec!["Ana", "Ida"], vec!["Ana", "Eva"]),
            (vec!["A."], vec!["Ana"]),
            (vec!["Anna"], vec!["Ana"]),
        ] {
            assert_eq!(
                compare(&one, &other),
                Some(Agreement::Differs),
                "{one:?} {other:?}"
            );
        }
    }

    #[test]
    fn an_address_needs_a_line_and_a_town_to_agree() {
        let elm = living("12 North Elm Street, Apt. #4", "01109-1234", "Springfield");
        let compare = |other: &Demographics| agreement(Attribute::Address, other, &elm);

        assert_eq!(
            compare(&living("12 n elm st unit 4", "01109", "")),
            Some(Agreement::Agrees)
        );
        assert_eq!(
            compare(&living("12 N Elm St", "01109", "")),
            Some(Agreement::Differs)
        );
        assert_eq!(
            compare(&living("12 N Elm St Apt # 4", "", "springfield")),
            Some(Agreement::Agrees)
        );
        assert_eq!(compare(&living("", "01109", "")), Some(Agreement::Absent));
        assert_eq!(compare(&living("", "02134", "")), Some(Agreement::Differs));
        assert_eq!(
            compare(&living("13 N Elm St", "01109", "")),
            Some(Agreement::Differs)
        );
        assert_eq!(compare(&living("unknown", "", "")), None);
    }

    #[test]
    fn identifiers_are_compared_within_their_system() {
        let record = numbered(&[("urn:a", "12-34"), ("urn:b", "X1"), ("urn:b", "X2")]);
        let compare =
            |sent: &[(&str, &str)]| agreement(Attribute::Identifier, &numbered(sent), &record);

        assert_eq!(compare(&[("urn:a/", " 1234 ")]), Some(Agreement::Agrees));
        assert_eq!(compare(&[("urn:b", "x2")]), Some(Agreement::Agrees));
        assert_eq!(compare(&[("urn:c", "1234")]), Some(Agreement::Absent));
        assert_eq!(
            compare(&[("urn:a", "1234"), ("urn:b", "X3")]),
            Some(Agreement::Differs)
        );
        assert_eq!(
            compare(&[("http://hl7.org/fhir/sid/us-ssn", "000-00-0000")]),
            None
        );
        assert_eq!(compare(&[("", "1234")]), None);
    }

    fn person(given: &str, family: &str, date: &str) -> Demographics {
        let mut person = named(&[given]);
        person.names[0].family = family.to_owned();
        if given.is_empty() {
            person.names[0].given.clear();
        }
        person.birth_date = (!date.is_empty()).then(|| date.to_owned());
        person
    }

    #[test]
    fn one_id_is_one_person_only_where_names_and_birth_date_agree() {
        let ana = person("Ana", "Ruiz", "1979-03-04");

        assert!(same_by_id(&ana, &person("ANA", "Ruiz", "1979-03-04")));
        for other in [
            person("Eva", "Ruiz", "1979-03-04"),
            person("Ana", "Moss", "1979-03-04"),
            person("Ana", "Ruiz", "1980-03-04"),
            person("Ana", "Ruiz", ""),
            person("", "Ruiz", "1979-03-04"),
            Demographics::default(),
        ] {
            assert!(!same_by_id(&ana, &other));
            assert!(!same_by_id(&other, &ana));
        }
        let dateless = person("Ana", "Ruiz", "");
        assert!(!same_by_id(&dateless, &dateless.clone()));
    }

    #[test]
    fn one_identifier_is_one_person_only_where_the_given_name_agrees() {
        let ana = person("Ana", "Ruiz", "1979-03-04");

        for other in [
            person("Ana", "Ruiz", "1979-03-04"),
            person("Ana", "Moss", "1979-03-04"),
            person("Ana", "Ruiz", "1980-03-04"),
        ] {
            assert!(same_by_identifier(&ana, &other));
        }
        for other in [
            person("Luis", "Ruiz", "1979-03-04"),
            person("Ana", "Moss", "1980-03-04"),
            person("Ana", "Ruiz", ""),
            person("Ana", "", "1979-03-04"),
            person("", "Ruiz", "1979-03-04"),
            Demographics::default(),
        ] {
            assert!(!same_by_identifier(&ana, &other));
            assert!(!same_by_identifier(&other, &ana));
        }
    }

    #[test]
    fn people_of_one_name_are_the_same_where_name_and_birth_date_agree() {
        let suharti = person("", "Suharti", "1979-03-04");

        let again = person("", "SUHARTI", "1979-03-04");
        assert!(is_single_named(&suharti));
        assert!(same_by_id(&suharti, &again) && same_by_identifier(&suharti, &again));
        for other in [
            person("Suharti", "Ruiz", "1979-03-04"),
            person("Ana", "Suharti", "1979-03-04"),
            person("", "Suharti", "1980-03-04"),
            person("", "Suharti", ""),
            person("", "Moss", "1979-03-04"),
        ] {
            assert!(!same_by_id(&suharti, &other) && !same_by_identifier(&suharti, &other));
        }
        assert!(!is_single_named(&person("Ana", "", "1979-03-04")));
        assert!(!is_single_named(&Demographics::default()));
    }
}
