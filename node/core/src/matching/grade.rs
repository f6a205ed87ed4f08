//! When two are the same person, and what to ask where that is open.

use std::collections::BTreeMap;

use super::{
    Agreement, Attribute, Grade,
    compare::{compare, is_sent, is_single_named},
};
use crate::records::Demographics;

/// Minimum identity of a question for treatment (`policy.md` 1).
const MINIMUM: [Attribute; 3] = [Attribute::Family, Attribute::Given, Attribute::BirthDate];

/// What a holder asks for besides, whoever the candidates are. A fixed list: a choice made by what
/// separates two candidates would tell about both.
const FURTHER: [Attribute; 3] = [Attribute::Address, Attribute::Identifier, Attribute::Phone];

/// Attributes that single a person out among people of one name and birth date.
const STRONG: [Attribute; 2] = [Attribute::Identifier, Attribute::Address];

/// What a holder may answer to a question.
#[derive(Clone, PartialEq, Eq)]
pub enum Verdict<Id> {
    /// Nobody here for certain.
    None,
    /// Not enough was sent to tell; these would help.
    MoreNeeded(Vec<Attribute>),
    /// One person.
    Match {
        /// Who.
        id: Id,
        /// How sure.
        grade: Grade,
        /// The score in thousandths.
        score_permille: u32,
        /// Each attribute sent, compared.
        mirror: Vec<(Attribute, Agreement)>,
    },
}

/// What a question lacks before it may be answered at all; empty where it suffices.
///
/// Depends on the question alone, so it tells nothing about any record. A single name may be a whole
/// legal name, so that it lacks no given name here; [`verdict`] asks for one where it is nobody's.
pub fn missing(sent: &Demographics) -> Vec<Attribute> {
    let is_single = is_single_named(sent);
    lacking(sent, |attribute| {
        let is_needed = !is_single || attribute != Attribute::Given;
        is_needed && !is_sent(attribute, sent)
    })
}

fn lacking(sent: &Demographics, is_missing: impl Fn(Attribute) -> bool) -> Vec<Attribute> {
    let minimum = MINIMUM.into_iter();
    let mut lacking: Vec<Attribute> = minimum.filter(|one| is_missing(*one)).collect();
    if !lacking.is_empty() {
        lacking.extend(STRONG.into_iter().filter(|one| !is_sent(*one, sent)));
        lacking.sort();
    }
    lacking
}

/// Decides a question over the candidates that an index found; order and repetition do not matter.
///
/// A candidate qualifies where family, given and birth date agree and either nothing that was sent
/// differs, or sex and an identifier agree (people move), or sex and address agree (people change their
/// telephone). A different value of an identifier always disqualifies. One that qualifies is a certain
/// match; where several do, the one with an identifier or address that all others contradict;
/// otherwise more is needed. Whoever does not qualify has no influence on the answer.
///
/// A question with a single name is about those whose record has a single name; where none of them
/// qualifies, the given name is asked for, whoever else is on record.
pub fn verdict<Id: Copy + Ord>(
    sent: &Demographics,
    candidates: &[(Id, &Demographics)],
) -> Verdict<Id> {
    let missing = missing(sent);
    if !missing.is_empty() {
        return Verdict::MoreNeeded(missing);
    }
    let qualified: BTreeMap<Id, Mirror> = candidates
        .iter()
        .filter(|(_, record)| is_single_named(sent) == is_single_named(record))
        .map(|(id, record)| (*id, Mirror(compare(sent, record))))
        .filter(|(_, mirror)| mirror.qualifies())
        .collect();
    let mut winners = qualified.iter().filter(|(id, mirror)| {
        let mut others = qualified.iter().filter(|(other, _)| other != id);
        others.all(|(_, other)| mirror.beats(other))
    });
    match (winners.next(), qualified.is_empty()) {
        (Some((id, mirror)), _) => Verdict::Match {
            id: *id,
            grade: Grade::Certain,
            score_permille: mirror.score_permille(),
            mirror: mirror.0.clone(),
        },
        (None, true) if is_single_named(sent) => {
            Verdict::MoreNeeded(lacking(sent, |attribute| !is_sent(attribute, sent)))
        }
        (None, true) => Verdict::None,
        (None, false) => Verdict::MoreNeeded(further(sent)),
    }
}

fn further(sent: &Demographics) -> Vec<Attribute> {
    let unsent: Vec<Attribute> = FURTHER
        .into_iter()
        .filter(|attribute| !is_sent(*attribute, sent))
        .collect();
    if unsent.is_empty() {
        return FURTHER.to_vec();
    }
    unsent
}

struct Mirror(Vec<(Attribute, Agreement)>);

impl Mirror {
    fn is(&self, attribute: Attribute, agreement: Agreement) -> bool {
        self.0.contains(&(attribute, agreement))
    }

    fn agrees(&self, attribute: Attribute) -> bool {
        self.is(attribute, Agreement::Agrees)
    }

    fn qualifies(&self) -> bool {
        // A given name that was not sent is none: the question has a single name, and so has the record.
        let is_sent = |attribute: &Attribute| self.0.iter().any(|(sent, _)| sent == attribute);
        let mut minimum = MINIMUM.into_iter().filter(is_sent);
        if !minimum.all(|attribute| self.agrees(attribute)) {
            return false;
        }
        if self.is(Attribute::Identifier, Agreement::Differs) {
            return false;
        }
        let nothing_differs = self.0.iter().all(|(_, agreement)| match agreement {
            Agreement::Agrees | Agreement::Absent => true,
            Agreement::Close | Agreement::Differs => false,
        });
        let singled_out = STRONG.into_iter().any(|attribute| self.agrees(attribute));
        nothing_differs || (self.agrees(Attribute::Sex) && singled_out)
    }

    /// Whether this one has a strong agreement that the other contradicts, and the other has none that
    /// this one lacks.
    fn beats(&self, other: &Self) -> bool {
        let contradicted = STRONG
            .into_iter()
            .any(|attribute| self.agrees(attribute) && other.is(attribute, Agreement::Differs));
        let surpassed = STRONG
            .into_iter()
            .any(|attribute| other.agrees(attribute) && !self.agrees(attribute));
        contradicted && !surpassed
    }

    /// Never below 990, since only a certain match is returned and certain means at least 0.99
    /// (`policy.md` 5); above it in the order of the score table of HL7 Identity Matching 2.0: with an
    /// identifier 1000, with address or e-mail 997, with telephone 995. By rule, not by calibration.
    fn score_permille(&self) -> u32 {
        if self.agrees(Attribute::Identifier) {
            1_000
        } else if self.agrees(Attribute::Address) || self.agrees(Attribute::Email) {
            997
        } else if self.agrees(Attribute::Phone) {
            995
        } else {
            990
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        matching::blocking_keys,
        records::{Address, Identifier, Name},
        types::Sex,
    };

    fn maria() -> Demographics {
        Demographics {
            names: vec![name("Delgado", "María")],
            birth_date: Some("1979-03-04".to_owned()),
            sex: Some(Sex::Female),
            identifiers: vec![identifier("42")],
            addresses: vec![address("12 Elm Street")],
            phones: vec!["(555) 010-4477".to_owned()],
            emails: Vec::new(),
        }
    }

    fn name(family: &str, given: &str) -> Name {
        Name {
            family: family.to_owned(),
            given: vec![given.to_owned()],
        }
    }

    fn identifier(value: &str) -> Identifier {
        Identifier {
            system: "urn:x".to_owned(),
            value: value.to_owned(),
        }
    }

    fn address(line: &str) -> Address {
        Address {
            line: vec![line.to_owned()],
            postal_code: "01109".to_owned(),
            ..Address::default()
        }
    }

    /// Names and birth date, and no more.
    fn minimum() -> Demographics {
        Demographics {
            names: vec![name("DELGADO", "Maria")],
            birth_date: Some("1979-03-04".to_owned()),
            ..Demographics::default()
        }
    }

    fn ask(sent: &Demographics, records: &[Demographics]) -> Verdict<usize> {
        let candidates: Vec<_> = records.iter().enumerate().collect();
        verdict(sent, &candidates)
    }

    fn matched(verdict: &Verdict<usize>) -> Option<usize> {
        match verdict {
            Verdict::Match { id, .. } => Some(*id),
            Verdict::None | Verdict::MoreNeeded(_) => None,
        }
    }

    fn asked(verdict: Verdict<usize>) -> Vec<Attribute> {
        match verdict {
            Verdict::MoreNeeded(attributes) => attributes,
            Verdict::None | Verdict::Match { .. } => Vec::new(),
        }
    }

    #[test]
    fn names_and_birth_date_of_one_person_alone_are_a_match() {
        let verdict = ask(&minimum(), &[maria()]);

        let Verdict::Match {
            id,
            grade,
            score_permille,
            mirror,
        } = verdict
        else {
            panic!("no match");
        };
        assert_eq!((id, grade, score_permille), (0, Grade::Certain, 990));
        assert_eq!(
            mirror,
            MINIMUM.map(|attribute| (attribute, Agreement::Agrees))
        );
    }

    #[test]
    fn a_question_below_the_minimum_is_answered_without_a_look_at_any_record() {
        let expected = vec![
            Attribute::BirthDate,
            Attribute::Identifier,
            Attribute::Address,
        ];
        let dateless = Demographics {
            birth_date: None,
            ..minimum()
        };

        assert!(missing(&minimum()).is_empty());
        assert_eq!(missing(&dateless), expected);
        assert_eq!(asked(ask(&dateless, &[maria()])), expected);
        assert_eq!(asked(ask(&dateless, &[])), expected);
        let junk = Demographics {
            names: vec![name("unknown", "Maria")],
            ..minimum()
        };
        assert!(missing(&junk).contains(&Attribute::Family));
    }

    #[test]
    fn a_single_name_finds_those_who_have_no_other() {
        let single = |family: &str| Demographics {
            names: vec![Name {
                family: family.to_owned(),
                given: Vec::new(),
            }],
            ..minimum()
        };
        let suharti = Demographics {
            names: single("Suharti").names,
            ..maria()
        };
        let given_needed = vec![Attribute::Given, Attribute::Identifier, Attribute::Address];

        assert!(missing(&single("Suharti")).is_empty());
        let records = [maria(), suharti.clone()];
        assert_eq!(matched(&ask(&single("SUHARTI"), &records)), Some(1));
        // Whoever has a given name is not found without it, and leaves no trace.
        assert_eq!(asked(ask(&single("Delgado"), &records)), given_needed);
        assert_eq!(asked(ask(&single("Delgado"), &[])), given_needed);
        let more = Demographics {
            names: vec![name("Suharti", "Maria")],
            ..suharti
        };
        assert!(ask(&more, &records) == Verdict::None);
    }

    #[test]
    fn somebody_of_a_similar_name_leaves_no_trace() {
        let near = Demographics {
            names: vec![name("Delgado-Ruiz", "María")],
            ..maria()
        };
        let sent = Demographics {
            sex: Some(Sex::Female),
            ..minimum()
        };

        assert!(ask(&sent, std::slice::from_ref(&near)) == Verdict::None);
        assert!(ask(&sent, &[]) == Verdict::None);
        let with = ask(&sent, &[maria(), near]);
        assert!(with == ask(&sent, &[maria()]));
        assert_eq!(matched(&with), Some(0));
    }

    #[test]
    fn a_maiden_name_on_record_is_a_name() {
        let mut record = maria();
        record.names.insert(0, name("O'Brien", "Maria"));

        assert_eq!(matched(&ask(&minimum(), &[record])), Some(0));
    }

    #[test]
    fn twins_of_one_name_are_never_told_apart_by_guessing() {
        let mut twin = maria();
        twin.identifiers = vec![identifier("43")];
        twin.addresses = vec![address("9 Oak Road")];
        let both = [maria(), twin];

        let further = vec![Attribute::Address, Attribute::Identifier, Attribute::Phone];
        assert_eq!(asked(ask(&minimum(), &both)), further);
        let by_number = Demographics {
            identifiers: vec![identifier("4-3")],
            ..minimum()
        };
        assert_eq!(matched(&ask(&by_number, &both)), Some(1));
        let by_address = Demographics {
            addresses: vec![address("12 elm st")],
            ..minimum()
        };
        assert_eq!(matched(&ask(&by_address, &both)), Some(0));
    }

    #[test]
    fn twins_of_one_name_are_told_apart_by_sex() {
        let twin = Demographics {
            sex: Some(Sex::Male),
            ..maria()
        };
        let sent = |sex| Demographics {
            sex: Some(sex),
            ..minimum()
        };

        assert_eq!(
            matched(&ask(&sent(Sex::Male), &[maria(), twin.clone()])),
            Some(1)
        );
        assert!(!asked(ask(&sent(Sex::Unknown), &[maria(), twin])).is_empty());
    }

    #[test]
    fn a_twin_without_address_on_record_leaves_the_question_open() {
        let twin = Demographics {
            addresses: Vec::new(),
            identifiers: Vec::new(),
            ..maria()
        };
        let sent = Demographics {
            addresses: vec![address("12 Elm St")],
            sex: Some(Sex::Female),
            ..minimum()
        };

        assert_eq!(matched(&ask(&sent, &[maria()])), Some(0));
        let open = ask(&sent, &[maria(), twin]);
        assert_eq!(asked(open), [Attribute::Identifier, Attribute::Phone]);
    }

    #[test]
    fn an_identifier_and_an_address_that_point_to_two_people_settle_nothing() {
        let moved = Demographics {
            addresses: vec![address("9 Oak Road")],
            ..maria()
        };
        let other = Demographics {
            identifiers: Vec::new(),
            ..maria()
        };
        let sent = maria();

        assert_eq!(matched(&ask(&sent, std::slice::from_ref(&moved))), Some(0));
        assert_eq!(matched(&ask(&sent, std::slice::from_ref(&other))), Some(0));
        assert!(!asked(ask(&sent, &[moved, other])).is_empty());
    }

    #[test]
    fn one_attribute_that_differs_is_nobody_unless_a_strong_one_agrees() {
        let sent = Demographics {
            phones: vec!["555-020-9999".to_owned()],
            sex: Some(Sex::Female),
            ..minimum()
        };
        let with_address = Demographics {
            addresses: vec![address("12 Elm Street")],
            ..sent.clone()
        };

        assert!(ask(&sent, &[maria()]) == Verdict::None);
        assert_eq!(matched(&ask(&with_address, &[maria()])), Some(0));
    }

    #[test]
    fn an_identifier_that_differs_is_always_another_person() {
        let sent = Demographics {
            identifiers: vec![identifier("43")],
            ..maria()
        };

        assert_eq!(matched(&ask(&maria(), &[maria()])), Some(0));
        assert!(ask(&sent, &[maria()]) == Verdict::None);
    }

    #[test]
    fn what_the_record_lacks_neither_helps_nor_harms() {
        let record = Demographics {
            sex: None,
            phones: Vec::new(),
            ..minimum()
        };
        let sent = maria();

        let Verdict::Match {
            score_permille,
            mirror,
            ..
        } = ask(&sent, &[record])
        else {
            panic!("no match");
        };
        assert_eq!(score_permille, 990);
        assert!(mirror.contains(&(Attribute::Phone, Agreement::Absent)));
    }

    #[test]
    fn the_score_is_that_of_the_best_row() {
        let score = |change: &dyn Fn(&mut Demographics)| {
            let mut sent = minimum();
            change(&mut sent);
            match ask(&sent, &[maria()]) {
                Verdict::Match { score_permille, .. } => score_permille,
                Verdict::None | Verdict::MoreNeeded(_) => 0,
            }
        };

        assert_eq!(score(&|_| {}), 990);
        assert_eq!(score(&|sent| sent.phones = maria().phones), 995);
        assert_eq!(score(&|sent| sent.addresses = maria().addresses), 997);
        assert_eq!(score(&|sent| sent.identifiers = maria().identifiers), 1_000);
    }

    #[test]
    fn one_record_found_twice_is_one_person() {
        let record = maria();

        let verdict = verdict(&minimum(), &[(7, &record), (7, &record)]);

        assert_eq!(matched(&verdict), Some(7));
    }

    /// Family, given and birth date; sex, identifier, street, telephone.
    type Facts = ([&'static str; 3], Option<Sex>, [Option<&'static str>; 3]);

    fn facts() -> impl Strategy<Value = Facts> {
        let pick = |values: &'static [&'static str]| prop::sample::select(values);
        (
            [
                pick(&["Delgado", "Ruiz"]),
                pick(&["Ana", "Eva"]),
                pick(&["1979-03-04", "1979-03-05"]),
            ],
            prop::option::of(prop::sample::select(&[Sex::Female, Sex::Male][..])),
            [
                prop::option::of(pick(&["41", "42"])),
                prop::option::of(pick(&["1 Elm St", "2 Elm St"])),
                prop::option::of(pick(&["5550104477", "5550104478"])),
            ],
        )
    }

    fn person(facts: &Facts) -> Demographics {
        let ([family, given, date], sex, [number, line, phone]) = *facts;
        Demographics {
            names: vec![name(family, given)],
            birth_date: Some(date.to_owned()),
            sex,
            identifiers: number.map(identifier).into_iter().collect(),
            addresses: line.map(address).into_iter().collect(),
            phones: phone.map(str::to_owned).into_iter().collect(),
            emails: Vec::new(),
        }
    }

    proptest! {
        #[test]
        fn agreement_is_the_same_from_both_sides(one in facts(), other in facts()) {
            let (one, other) = (person(&one), person(&other));
            for (attribute, agreement) in compare(&one, &other) {
                let reverse = compare(&other, &one);
                let back = reverse.iter().find(|(name, _)| *name == attribute);
                match back {
                    Some((_, back)) => prop_assert_eq!(*back, agreement),
                    None => prop_assert_eq!(agreement, Agreement::Absent),
                }
            }
        }

        #[test]
        fn a_match_has_the_name_and_birth_date_that_were_sent(
            sent in facts(), records in prop::collection::vec(facts(), 0..6)
        ) {
            let sent = person(&sent);
            let records: Vec<Demographics> = records.iter().map(person).collect();
            if let Some(id) = matched(&ask(&sent, &records)) {
                let record = &records[id];
                prop_assert!(record.birth_date == sent.birth_date);
                prop_assert!(record.names == sent.names);
                prop_assert!(blocking_keys(record).contains(&blocking_keys(&sent)[0]));
            }
        }

        #[test]
        fn who_does_not_qualify_alone_changes_no_answer(
            sent in facts(), records in prop::collection::vec(facts(), 0..6)
        ) {
            let sent = person(&sent);
            let records: Vec<Demographics> = records.iter().map(person).collect();
            let alone = |record: &Demographics| ask(&sent, std::slice::from_ref(record));
            let some: Vec<_> = records
                .iter()
                .enumerate()
                .filter(|(_, record)| alone(record) != Verdict::None)
                .collect();

            prop_assert!(verdict(&sent, &some) == ask(&sent, &records));
        }
    }
}
