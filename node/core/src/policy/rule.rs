//! The rules a decision can name. Numbers go into signed statements and the audit log: append only.

use crate::types::words;

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $text:literal;)*) => {
        words!(
            /// Why a decision came out as it did.
            #[repr(u32)]
            Rule {
                /// One sentence for a person.
                text;
                $($(#[$doc])* $variant = $number => $text,)*
            }
        );
    };
}

rules!(
    /// A consent permits.
    ConsentPermits = 1, "a consent on file permits this recipient for this purpose";
    /// An opt-in permits.
    OptInPermits = 2, "the patient opted in to treatment by any member";
    /// The template permits.
    PolicyPermits = 3, "the network's policy permits treatment where nothing is said against it";
    /// A consent denies.
    ConsentDenies = 10, "a consent on file denies this recipient for this purpose";
    /// An opt-out denies.
    OptOutDenies = 11, "the patient opted out";
    /// The template denies.
    PolicyDenies = 12, "the network's policy denies where no consent permits";
    /// No default covers the purpose.
    PurposeNeedsConsent = 13, "this purpose needs a consent that names it";
    /// The holder's records are restricted.
    RestrictedNeedsConsent = 14, "records of this kind of holder need the patient's consent";
    /// 42 CFR 2.31 wants a written form.
    Part2NeedsForm = 15, "records under 42 CFR Part 2 need a consent with the signed form";
    /// The patient's record is not open.
    NotOpen = 16, "this patient's record is open only to whom the patient's own consent names";
    /// Break-glass without a session.
    BreakGlassNeedsSession = 20, "break-glass needs a session";
    /// The asker's kind may not assert the purpose.
    KindMayNotAssert = 21, "this kind of organisation may not ask for treatment";
    /// The user's role may not assert the purpose.
    RoleMayNotAssert = 22, "this role may not ask for this purpose";
    /// A denial that a later permit of the same or a higher class overturned.
    DenialLifted = 30, "a later permit of the same or a higher class lifted this denial";
    /// A permit too early or too weak against a denial.
    PermitOutweighed = 31, "this permit is earlier, or of a lower class, than a denial";
    /// A permit that has not what a restricted holder asks for.
    PermitInsufficient = 32, "this permit lacks the patient's own word or signed form that such records need";
);

impl Rule {
    /// The number it is signed and stored as.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Reads the number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|rule| rule.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_are_distinct_and_read_back_and_zero_is_none() {
        let numbers: BTreeSet<u32> = Rule::ALL.iter().map(|rule| rule.number()).collect();

        assert_eq!(numbers.len(), Rule::ALL.len());
        for rule in Rule::ALL.iter().copied() {
            assert_eq!(Rule::from_number(rule.number()), Some(rule));
            assert!(!rule.text().ends_with('.'));
        }
        assert_eq!(Rule::from_number(0), None);
    }
}
