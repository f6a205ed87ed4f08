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
