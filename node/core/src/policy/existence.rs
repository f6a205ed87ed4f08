//! Whether an asker may learn that a patient has a record here: a decision of its own.

use crate::types::Purpose;

use super::{Ask, Decision, Discoverability, Facts, decide, may_ask};

/// What an asker may learn of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// That it exists.
    Revealed,
    /// Nothing: the answer is that of an empty store, byte for byte.
    Concealed,
}

/// Decides whether this asker may learn, for this purpose, that the record exists (`policy.md` 2).
pub fn existence(ask: &Ask<'_>, facts: &Facts<'_>) -> Existence {
    if may_ask(ask).is_err() {
        return Existence::Concealed;
    }
    // At a Part 2 program existence itself is protected (42 CFR 2.13(c)), whatever was set.
    let open = facts.discoverability == Discoverability::Open && !facts.part2();
    let treatment = matches!(ask.purpose, Purpose::Treat | Purpose::Etreat);
    if open && treatment {
        return Existence::Revealed;
    }
    match decide(ask, facts) {
        Decision::Permit(_) => Existence::Revealed,
        Decision::Deny(_) => Existence::Concealed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::fixtures::{ask, denial_of, facts, harbor, organization, permit_of},
        records::{Class, Consent},
        types::{Kind, Role},
    };

    fn seen(discoverability: Discoverability, purpose: Purpose, consents: &[Consent]) -> bool {
        let (peer, holder) = (harbor(), organization("St. Brigid", Kind::Hospital));
        let facts = Facts {
            discoverability,
            ..facts(&holder, consents)
        };
        existence(&ask(&peer, purpose), &facts) == Existence::Revealed
    }

    #[test]
    fn an_open_patient_is_known_for_treatment_even_where_content_is_denied() {
        let denied = [denial_of(4, Class::Patient)];

        assert!(seen(Discoverability::Open, Purpose::Treat, &[]));
        assert!(seen(Discoverability::Open, Purpose::Etreat, &denied));
        assert!(!seen(Discoverability::Open, Purpose::Hpaymt, &[]));
        assert!(!seen(Discoverability::Open, Purpose::Btg, &[]));
    }

    #[test]
    fn a_consented_patient_is_known_to_whom_a_consent_permits() {
        let grant = [permit_of(4, Class::Stated)];
        let denied = [permit_of(4, Class::Stated), denial_of(5, Class::Stated)];

        assert!(seen(Discoverability::Consented, Purpose::Treat, &grant));
        assert!(!seen(Discoverability::Consented, Purpose::Treat, &denied));
        assert!(!seen(Discoverability::Consented, Purpose::Treat, &[]));
        assert!(!seen(Discoverability::Consented, Purpose::Hpaymt, &grant));
    }

    #[test]
    fn a_hidden_patient_is_known_only_by_its_own_word() {
        let own = [permit_of(4, Class::Patient)];
        let stated = [permit_of(4, Class::Stated)];

        assert!(seen(Discoverability::Hidden, Purpose::Treat, &own));
        assert!(!seen(Discoverability::Hidden, Purpose::Treat, &stated));
        assert!(!seen(Discoverability::Hidden, Purpose::Treat, &[]));
    }

    #[test]
    fn an_asker_who_may_not_ask_learns_nothing() {
        let (mut peer, holder) = (harbor(), organization("St. Brigid", Kind::Hospital));
        let facts = facts(&holder, &[]);
        let front_desk = Ask {
            role: Role::FrontDesk,
            ..ask(&peer, Purpose::Treat)
        };
        assert_eq!(existence(&front_desk, &facts), Existence::Concealed);
        assert_eq!(
            existence(&ask(&peer, Purpose::Treat), &facts),
            Existence::Revealed
        );

        peer.organization.kind = Kind::Payer;

        assert_eq!(
            existence(&ask(&peer, Purpose::Treat), &facts),
            Existence::Concealed
        );
    }

    #[test]
    fn a_part_2_program_is_never_open_whatever_was_set() {
        let (peer, mut holder) = (harbor(), organization("Hope", Kind::SubstanceUse));
        let asked = ask(&peer, Purpose::Treat);
        assert_eq!(existence(&asked, &facts(&holder, &[])), Existence::Revealed);

        holder.part2 = true;

        assert_eq!(
            existence(&asked, &facts(&holder, &[])),
            Existence::Concealed
        );
        assert_eq!(
            Discoverability::default_for(Kind::SubstanceUse, false),
            Discoverability::Hidden
        );
        assert_eq!(
            Discoverability::default_for(Kind::BehavioralHealth, false),
            Discoverability::Hidden
        );
        assert_eq!(
            Discoverability::default_for(Kind::Hospital, true),
            Discoverability::Hidden
        );
        assert_eq!(
            Discoverability::default_for(Kind::Hospital, false),
            Discoverability::Open
        );
    }
}
