//! What a purpose covers, and who may assert it (`policy.md` 4, rule 1; `policy.md` 1).

use crate::{
    records::{Consent, ConsentForm, Provision},
    types::{Kind, Purpose, Role},
};

use super::{Ask, Denial};

/// Whether a permit or denial that names one purpose is about another.
///
/// By this table, not by the tree of v3-ActReason, where break-glass stands under treatment. What
/// PATRQT covers needs a person on file as such, so by name alone it covers itself only.
pub fn covers(named: Purpose, asked: Purpose) -> bool {
    match named {
        Purpose::Treat => matches!(asked, Purpose::Treat | Purpose::Etreat),
        Purpose::Hpaymt => {
            matches!(
                asked,
                Purpose::Hpaymt | Purpose::Coverage | Purpose::Covauth
            )
        }
        Purpose::Etreat
        | Purpose::Btg
        | Purpose::Hoperat
        | Purpose::Patrqt
        | Purpose::Famrqt
        | Purpose::Pwatrny
        | Purpose::Supnwk
        | Purpose::Hresch
        | Purpose::Pubhlth
        | Purpose::Coverage
        | Purpose::Covauth => named == asked,
    }
}

/// Whether a consent is about a purpose.
pub fn consent_covers(consent: &Consent, asked: Purpose) -> bool {
    // Only a denial can reach into break-glass unnamed.
    let emergency =
        consent.provision == Provision::Deny && consent.even_emergency && asked == Purpose::Btg;
    let named = match consent.form {
        ConsentForm::OptOut => asked != Purpose::Btg,
        ConsentForm::OptIn => covers(Purpose::Treat, asked),
        ConsentForm::Provision => consent.purposes.iter().any(|named| covers(*named, asked)),
    };
    named || emergency
}

/// Whether this asker may put such a question at all, whoever the patient is.
///
/// Decided before any look-up, from asker, purpose, role and policy alone, so that the answer says
/// nothing about any record (`protocol.md` 7). Both templates have the same rule (`policy.md` 1).
///
/// # Errors
/// [`Denial::NoSession`], [`Denial::Kind`] or [`Denial::Role`].
pub fn may_ask(ask: &Ask<'_>) -> Result<(), Denial> {
    match ask.purpose {
        Purpose::Btg => Err(Denial::NoSession),
        Purpose::Treat | Purpose::Etreat => {
            let kind = ask.asker.organization.kind;
            if !treats(kind) {
                return Err(Denial::Kind { kind });
            }
            if ask.role != Role::Clinician {
                return Err(Denial::Role { role: ask.role });
            }
            Ok(())
        }
        Purpose::Hpaymt
        | Purpose::Hoperat
        | Purpose::Patrqt
        | Purpose::Famrqt
        | Purpose::Pwatrny
        | Purpose::Supnwk
        | Purpose::Hresch
        | Purpose::Pubhlth
        | Purpose::Coverage
        | Purpose::Covauth => Ok(()),
    }
}

/// Whether organisations of this kind treat patients.
fn treats(kind: Kind) -> bool {
    match kind {
        Kind::Clinic
        | Kind::Hospital
        | Kind::UrgentCare
        | Kind::Lab
        | Kind::Pharmacy
        | Kind::Telemedicine
        | Kind::BehavioralHealth
        | Kind::SubstanceUse
        | Kind::Imaging
        | Kind::Dental
        | Kind::HomeHealth
        | Kind::LongTermCare
        | Kind::Ambulance => true,
        Kind::PublicHealth | Kind::School | Kind::Payer | Kind::Gateway => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::fixtures::{ask, denial_of, harbor, opt_out, permit_of},
        records::Class,
        types::{Code, PeerCode},
    };

    #[test]
    fn a_purpose_covers_itself_and_three_more_pairs() {
        let mut pairs = Vec::new();
        for named in Purpose::ALL.iter().copied() {
            assert!(covers(named, named));
            for asked in Purpose::ALL.iter().copied() {
                if named != asked && covers(named, asked) {
                    pairs.push((named, asked));
                }
            }
        }

        assert_eq!(
            pairs,
            [
                (Purpose::Treat, Purpose::Etreat),
                (Purpose::Hpaymt, Purpose::Coverage),
                (Purpose::Hpaymt, Purpose::Covauth),
            ]
        );
    }

    #[test]
    fn only_a_denial_that_says_so_reaches_into_break_glass() {
        let mut out = opt_out(4, Class::Stated);
        let mut denial = denial_of(4, Class::Stated);
        let mut permit = permit_of(4, Class::Stated);
        assert!(!consent_covers(&out, Purpose::Btg));
        assert!(!consent_covers(&denial, Purpose::Btg));

        out.even_emergency = true;
        denial.even_emergency = true;
        permit.even_emergency = true;

        assert!(consent_covers(&out, Purpose::Btg));
        assert!(consent_covers(&denial, Purpose::Btg));
        assert!(!consent_covers(&permit, Purpose::Btg));
    }

    #[test]
    fn treatment_is_asked_for_by_clinicians_of_those_who_treat() {
        let asked = |kind, role, purpose| {
            let mut peer = harbor();
            peer.organization.kind = kind;
            may_ask(&Ask {
                role,
                ..ask(&peer, purpose)
            })
        };

        for purpose in [Purpose::Treat, Purpose::Etreat] {
            for kind in Kind::ALL.iter().copied() {
                let never = [Kind::Payer, Kind::PublicHealth, Kind::School, Kind::Gateway];
                let expected = if never.contains(&kind) {
                    Err(Denial::Kind { kind })
                } else {
                    Ok(())
                };
                assert_eq!(asked(kind, Role::Clinician, purpose), expected);
            }
            for role in Role::ALL.iter().copied() {
                let expected = if role == Role::Clinician {
                    Ok(())
                } else {
                    Err(Denial::Role { role })
                };
                assert_eq!(asked(Kind::Clinic, role, purpose), expected);
            }
        }
    }

    #[test]
    fn break_glass_is_refused_and_every_other_purpose_may_be_asked() {
        let peer = harbor();

        for purpose in Purpose::ALL.iter().copied() {
            let expected = if purpose == Purpose::Btg {
                Err(Denial::NoSession)
            } else {
                Ok(())
            };
            assert_eq!(may_ask(&ask(&peer, purpose)), expected);
        }
    }

    #[test]
    fn a_peer_sees_one_code_whatever_the_reason_and_our_people_see_which() {
        let kind = Denial::Kind { kind: Kind::Payer };
        let role = Denial::Role { role: Role::Admin };
        let rule = super::super::Rule::PolicyDenies;
        let denials = [
            (Denial::NoSession, Code::NoSession),
            (kind, Code::RoleForbidden),
            (role, Code::RoleForbidden),
            (Denial::Default { rule }, Code::Denied),
        ];

        for (denial, code) in denials {
            assert_eq!(denial.peer_code(), PeerCode::Denied);
            assert_eq!(denial.code(), code);
        }
    }
}
