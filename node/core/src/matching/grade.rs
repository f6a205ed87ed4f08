//! When two are the same person, and what to ask where that is open.

use std::collections::BTreeMap;

use super::{
    Agreement, Attribute, Grade,
    compare::{compare, is_sent},
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
/// Depends on the question alone, so it tells nothing about any record.
pub fn missing(sent: &Demographics) -> Vec<Attribute> {
    let is_missing = |attribute: &Attribute| !is_sent(*attribute, sent);
    let mut lacking: Vec<Attribute> = MINIMUM.into_iter().filter(is_missing).collect();
    if !lacking.is_empty() {
        lacking.extend(STRONG.into_iter().filter(is_missing));
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
pub fn verdict<Id: Copy + Ord>(
    sent: &Demographics,
    candidates: &[(Id, &Demographics)],
) -> Verdict<Id> {
    let lacking = missing(sent);
    if !lacking.is_empty() {
        return Verdict::MoreNeeded(lacking);
    }
    let qualified: BTreeMap<Id, Mirror> = candidates
        .iter()
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
        if !MINIMUM.into_iter().all(|attribute| self.agrees(attribute)) {
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

    /// The best row of the score table of HL7 Identity Matching 2.0 (`conformance.md` D3) that agrees:
    /// name and birth date with identifier 990, with address or e-mail 800, with telephone 700, else 600.
    fn score_permille(&self) -> u32 {
        if self.agrees(Attribute::Identifier) {
            990
        } else if self.agrees(Attribute::Address) || self.agrees(Attribute::Email) {
            800
        } else if self.agrees(Attribute::Phone) {
            700
        } else {
            600
        }
    }
}
