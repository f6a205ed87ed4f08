//! The rules of disclosure a second time, written from `policy.md` and read one after the other.

use chartmesh_core::{
    membership::Template,
    records::{Class, Consent, ConsentForm, Provision, Target},
    types::{ConsentId, Kind, PatientId, Purpose, Role, Timestamp},
};

use crate::{
    model::{Given, Holder, Model},
    people::{Face, Guess, guess},
    trust::Standing,
};

/// Who asks, what for, as what.
#[derive(Clone, Copy)]
pub(crate) struct Asking {
    /// Which node.
    pub(crate) asker: usize,
    pub(crate) purpose: Purpose,
    pub(crate) role: Role,
}

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody may ask like this.
    Never,
    /// Permitted, by a consent or by the network's default.
    Permit(Option<ConsentId>),
    /// Denied, by a consent or by the network's default.
    Deny(Option<ConsentId>),
}

/// A moment at a holder: the records up to a position, and a time of its clock.
#[derive(Clone, Copy)]
pub(crate) struct When {
    pub(crate) position: u64,
    pub(crate) clock: Timestamp,
}

impl Model {
    /// Whether such a question may be put at all.
    pub(crate) fn may_ask(&self, asking: Asking) -> bool {
        let kind = self.holders[asking.asker].organization.kind;
        match asking.purpose {
            Purpose::Btg => false,
            Purpose::Treat | Purpose::Etreat => {
                let outsiders = [Kind::PublicHealth, Kind::School, Kind::Payer, Kind::Gateway];
                !outsiders.contains(&kind) && asking.role == Role::Clinician
            }
            _ => true,
        }
    }

    /// Whether somebody may read a patient's record.
    pub(crate) fn verdict(
        &self,
        holder: &Holder,
        patient: PatientId,
        asking: Asking,
        when: When,
    ) -> Verdict {
        if !self.may_ask(asking) {
            return Verdict::Never;
        }
        let part2 = holder.organization.part2;
        let restricted = part2
            || holder.organization.kind == Kind::SubstanceUse
            || holder.organization.kind == Kind::BehavioralHealth;
        let mut counting: Vec<&Consent> = Vec::new();
        for said in &holder.said {
            let consent = &said.consent;
            let is_revoked = said.revoked.is_some_and(|revoked| revoked <= when.position);
            if consent.patient == patient
                && consent.position <= when.position
                && !is_revoked
                && is_in_time(consent, when.clock)
                && is_about(consent, asking.purpose)
                && self.is_meant(consent, asking.asker, holder, when)
            {
                counting.push(consent);
            }
        }
        // Records of such holders open to the patient's own word only, at a Part 2 program in writing.
        let suffices = |consent: &&&Consent| {
            (!restricted || consent.class == Class::Patient)
                && (!part2 || consent.evidence.is_some())
        };
        let is_permit = |consent: &&&Consent| consent.provision == Provision::Permit;
        let permits: Vec<&&Consent> = counting.iter().filter(is_permit).filter(suffices).collect();
        let mut standing = None;
        for denial in counting
            .iter()
            .filter(|consent| consent.provision == Provision::Deny)
        {
            let mut is_lifted = false;
            for permit in &permits {
                if permit.position > denial.position && permit.class >= denial.class {
                    is_lifted = true;
                }
            }
            if !is_lifted {
                standing = Some(denial.id);
            }
        }
        if standing.is_some() {
            return Verdict::Deny(standing);
        }
        if let Some(last) = permits.last() {
            return Verdict::Permit(Some(last.id));
        }
        let treatment = asking.purpose == Purpose::Treat || asking.purpose == Purpose::Etreat;
        if self.template == Template::UsTreatment && treatment && !restricted {
            return Verdict::Permit(None);
        }
        Verdict::Deny(None)
    }

    fn is_meant(&self, consent: &Consent, asker: usize, holder: &Holder, when: When) -> bool {
        let asker = &self.holders[asker];
        match &consent.target {
            Target::Member(member) => *member == asker.member,
            Target::Node(node) => holder.key_of(asker.member, when.position) == Some(*node),
            Target::Organization(name) => *name == asker.organization.name,
            Target::Kind(kind) => *kind == asker.organization.kind,
            Target::Any => true,
        }
    }

    /// Whether somebody may learn that a patient is known.
    pub(crate) fn may_know(
        &self,
        holder: &Holder,
        patient: PatientId,
        asking: Asking,
        when: When,
    ) -> bool {
        let hidden = holder.organization.part2
            || holder.organization.kind == Kind::SubstanceUse
            || holder.organization.kind == Kind::BehavioralHealth;
        let treatment = asking.purpose == Purpose::Treat || asking.purpose == Purpose::Etreat;
        if !self.may_ask(asking) {
            return false;
        }
        if !hidden && treatment {
            return true;
        }
        matches!(
            self.verdict(holder, patient, asking, when),
            Verdict::Permit(_)
        )
    }

    /// What a holder says to a question about a person.
    pub(crate) fn answer(
        &self,
        holder: &Holder,
        asked: &Face,
        asking: Asking,
        when: When,
    ) -> Guess<PatientId> {
        let mut faces = Vec::new();
        for (id, person) in &holder.people {
            if let Some(face) = person.face_at(when.position)
                && self.may_know(holder, *id, asking, when)
            {
                faces.push((*id, face.clone()));
            }
        }
        guess(asked, &faces)
    }

    /// What a holder says to who wants to use a handle: a permit, a denial, or nothing about the handle.
    pub(crate) fn use_of(
        &self,
        holder: &Holder,
        given: Option<&Given>,
        asking: Asking,
        when: When,
    ) -> Use {
        match self.standing(holder, asking, when) {
            Standing::Out => return Use::Out,
            Standing::Stale => return Use::Stale,
            Standing::Good => {}
        }
        let asker = self.holders[asking.asker].member;
        let Some(given) = given.filter(|given| {
            given.asker == asker && given.since <= when.position && when.clock < given.until
        }) else {
            return Use::Unknown;
        };
        match self.verdict(holder, given.patient, asking, when) {
            Verdict::Permit(_) if covers(given.purpose, asking.purpose) => Use::Permitted,
            Verdict::Permit(_) => Use::Unknown,
            Verdict::Never | Verdict::Deny(_) => {
                let known = Asking {
                    purpose: given.purpose,
                    ..asking
                };
                if self.may_know(holder, given.patient, known, when) {
                    Use::Denied
                } else {
                    Use::Unknown
                }
            }
        }
    }
}

/// What comes of using a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    Permitted,
    Denied,
    /// The asker is no member any more.
    Out,
    /// Nobody has confirmed for too long who was thrown out.
    Stale,
    /// As if there were no such handle.
    Unknown,
}

fn is_in_time(consent: &Consent, clock: Timestamp) -> bool {
    let has_begun = match consent.provision {
        // Never before it was recorded, whatever start is claimed.
        Provision::Permit => clock >= consent.from && clock >= consent.recorded_at,
        Provision::Deny => consent.from <= consent.recorded_at || clock >= consent.from,
    };
    let is_over = consent.until.is_some_and(|until| clock >= until);
    has_begun && !is_over
}

fn is_about(consent: &Consent, asked: Purpose) -> bool {
    let despite = consent.provision == Provision::Deny && consent.even_emergency;
    if despite && asked == Purpose::Btg {
        return true;
    }
    match consent.form {
        ConsentForm::OptOut => asked != Purpose::Btg,
        ConsentForm::OptIn => asked == Purpose::Treat || asked == Purpose::Etreat,
        ConsentForm::Provision => {
            let mut named = consent.purposes.iter();
            named.any(|named| covers(*named, asked))
        }
    }
}

/// `policy.md` 4, rule 1: treatment covers emergency treatment, payment covers coverage; neither covers
/// breaking the glass.
pub(crate) fn covers(named: Purpose, asked: Purpose) -> bool {
    if named == asked {
        return true;
    }
    match named {
        Purpose::Treat => asked == Purpose::Etreat,
        Purpose::Hpaymt => asked == Purpose::Coverage || asked == Purpose::Covauth,
        _ => false,
    }
}
