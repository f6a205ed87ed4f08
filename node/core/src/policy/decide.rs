//! The decision: who said what, and what was said last by whoever may say it (`policy.md` 4).

use std::collections::BTreeSet;

use crate::{
    membership::Template,
    records::{Class, Consent, ConsentForm, ConsentStatus, Provision},
    types::{ConsentId, Purpose},
};

use super::{Ask, Denial, Discoverability, Facts, Rule, consent_covers, may_ask};

/// What a decision names: the rule, and the consent and its user where one decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule.
    pub rule: Rule,
    /// The consent; none where policy alone decides.
    pub consent: Option<ConsentId>,
    /// The staff user who recorded that consent.
    pub recorded_by: Option<String>,
}

impl Reason {
    pub(super) fn policy(rule: Rule) -> Self {
        Self {
            rule,
            consent: None,
            recorded_by: None,
        }
    }

    pub(super) fn consent(rule: Rule, consent: &Consent) -> Self {
        Self {
            rule,
            consent: Some(consent.id),
            recorded_by: Some(consent.recorded_by.clone()),
        }
    }
}

/// What was decided, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Permitted.
    Permit(Reason),
    /// Denied.
    Deny(Reason),
}

impl Decision {
    /// Whether it permits.
    pub fn permits(&self) -> bool {
        matches!(self, Self::Permit(_))
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        match self {
            Self::Permit(reason) | Self::Deny(reason) => reason,
        }
    }

    /// `permit` or `deny`.
    pub fn text(&self) -> &'static str {
        match self {
            Self::Permit(_) => "permit",
            Self::Deny(_) => "deny",
        }
    }
}

impl From<Denial> for Decision {
    fn from(denial: Denial) -> Self {
        Self::Deny(Reason::policy(denial.rule()))
    }
}

/// Decides whether an asker may read a patient's record.
pub fn decide(ask: &Ask<'_>, facts: &Facts<'_>) -> Decision {
    if let Err(denial) = may_ask(ask) {
        return denial.into();
    }
    let weighed = weigh(ask, facts);
    if let Some(denial) = weighed.standing.last() {
        return Decision::Deny(Reason::consent(spoken(denial), denial));
    }
    if let Some(permit) = weighed.permits.last() {
        return Decision::Permit(Reason::consent(spoken(permit), permit));
    }
    by_default(ask, facts)
}

/// The rule by which a consent speaks.
pub(super) fn spoken(consent: &Consent) -> Rule {
    match (consent.provision, consent.form) {
        (Provision::Permit, ConsentForm::OptIn) => Rule::OptInPermits,
        (Provision::Permit, ConsentForm::OptOut | ConsentForm::Provision) => Rule::ConsentPermits,
        (Provision::Deny, ConsentForm::OptOut) => Rule::OptOutDenies,
        (Provision::Deny, ConsentForm::OptIn | ConsentForm::Provision) => Rule::ConsentDenies,
    }
}

/// The consents in force that are about this question, by journal position, and how they stand.
pub(super) struct Weighed<'a> {
    /// Denials that no permit lifted.
    pub(super) standing: Vec<&'a Consent>,
    /// Denials that a permit lifted.
    pub(super) lifted: Vec<&'a Consent>,
    /// Permits that have all that records of this holder ask for.
    pub(super) permits: Vec<&'a Consent>,
    /// Permits that have not.
    pub(super) insufficient: Vec<&'a Consent>,
}

pub(super) fn weigh<'a>(ask: &Ask<'_>, facts: &Facts<'a>) -> Weighed<'a> {
    let mut relevant = in_force(ask, facts);
    relevant.sort_by_key(|consent| consent.position);
    let (permits, denials): (Vec<_>, Vec<_>) = relevant
        .into_iter()
        .partition(|consent| consent.provision == Provision::Permit);
    let (permits, insufficient): (Vec<_>, Vec<_>) = permits
        .into_iter()
        .partition(|permit| suffices(permit, facts));
    let (lifted, standing) = denials.into_iter().partition(|denial| {
        permits
            .iter()
            .any(|permit| permit.position > denial.position && permit.class >= denial.class)
    });
    Weighed {
        standing,
        lifted,
        permits,
        insufficient,
    }
}

fn in_force<'a>(ask: &Ask<'_>, facts: &Facts<'a>) -> Vec<&'a Consent> {
    // By id, not by entry: a grant filed a second time must not outlive its revocation.
    let revoked: BTreeSet<ConsentId> = facts
        .consents
        .iter()
        .filter(|consent| consent.revoked.is_some())
        .map(|consent| consent.id)
        .collect();
    let asker = &ask.asker;
    facts
        .consents
        .iter()
        .filter(|consent| consent.patient == facts.patient)
        .filter(|consent| !revoked.contains(&consent.id))
        .filter(|consent| consent.status(ask.now) == ConsentStatus::Active)
        .filter(|consent| consent_covers(consent, ask.purpose))
        .filter(|consent| {
            consent.target.matches(
                asker.member,
                asker.node_key,
                &asker.organization.name,
                asker.organization.kind,
            )
        })
        .collect()
}

/// Whether a permit has what records of this holder, or this patient's wish, ask for.
///
/// A hidden patient needs the patient's own word (`policy.md` 2); a Part 2 program needs the written
/// form (42 CFR 2.31(a)).
fn suffices(permit: &Consent, facts: &Facts<'_>) -> bool {
    let own_word =
        facts.discoverability != Discoverability::Hidden || permit.class == Class::Patient;
    let written = !facts.part2() || permit.evidence.is_some();
    own_word && written
}

fn by_default(ask: &Ask<'_>, facts: &Facts<'_>) -> Decision {
    let treatment = matches!(ask.purpose, Purpose::Treat | Purpose::Etreat);
    let deny = |rule| Decision::Deny(Reason::policy(rule));
    if facts.part2() {
        return deny(Rule::Part2NeedsForm);
    }
    if facts.restricted() {
        return deny(Rule::RestrictedNeedsConsent);
    }
    if facts.discoverability != Discoverability::Open {
        return deny(Rule::NotOpen);
    }
    if !treatment {
        return deny(Rule::PurposeNeedsConsent);
    }
    match facts.template {
        Template::OptIn => deny(Rule::PolicyDenies),
        Template::UsTreatment => Decision::Permit(Reason::policy(Rule::PolicyPermits)),
    }
}
