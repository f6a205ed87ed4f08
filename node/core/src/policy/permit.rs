//! The permit: what reading a document takes, made only here.

use crate::{
    session::Authenticated,
    types::{ConsentId, DocumentId, MemberId, PatientId, Purpose, Role, Timestamp},
};

use super::{Ask, Asker, Decision, Denial, Facts, Rule, decide, may_ask};

/// What the receiver must do with what it is given; its number is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Obligation {
    /// Show the notice that forbids redisclosure (42 CFR 2.32).
    Part2Notice = 1,
    /// Keep the copy of the consent, or its explanation, that goes along (42 CFR 2.32(b)).
    ConsentCopy = 2,
}

impl Obligation {
    /// The number it is signed as.
    pub fn number(self) -> u32 {
        self as u32
    }
}

/// Permission for one member to read a patient's record, or one document of it, for one purpose.
///
/// Only [`permit`] makes one; its fields are private, so no other stage can:
///
/// ```
/// fn show(permit: &chartmesh_core::policy::Permit) -> chartmesh_core::types::MemberId {
///     permit.to()
/// }
/// ```
///
/// ```compile_fail,E0451
/// fn forge(permit: chartmesh_core::policy::Permit) -> chartmesh_core::policy::Permit {
///     chartmesh_core::policy::Permit { document: None, ..permit }
/// }
/// ```
pub struct Permit {
    patient: PatientId,
    document: Option<DocumentId>,
    to: MemberId,
    purpose: Purpose,
    consent: Option<ConsentId>,
    recorded_by: Option<String>,
    rule: Rule,
    obligations: Vec<Obligation>,
}

impl Permit {
    /// Whose record, from the holder's own files.
    pub fn patient(&self) -> PatientId {
        self.patient
    }

    /// Which document; none for the list of them.
    pub fn document(&self) -> Option<DocumentId> {
        self.document
    }

    /// Who may read.
    pub fn to(&self) -> MemberId {
        self.to
    }

    /// What for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The consent it rests on; none where the network's policy permits.
    pub fn consent(&self) -> Option<ConsentId> {
        self.consent
    }

    /// The staff user who recorded that consent.
    pub fn recorded_by(&self) -> Option<&str> {
        self.recorded_by.as_deref()
    }

    /// The rule that decided.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// What the receiver must do with it.
    pub fn obligations(&self) -> &[Obligation] {
        &self.obligations
    }
}

/// Decides an authenticated request and gives the permit, or says why not.
///
/// The patient is the one of `facts`, never one the asker names.
///
/// # Errors
/// Every [`Denial`].
pub fn permit<T>(
    request: &Authenticated<T>,
    purpose: Purpose,
    role: Role,
    document: Option<DocumentId>,
    facts: &Facts<'_>,
    now: Timestamp,
) -> Result<Permit, Denial> {
    let peer = request.peer();
    let ask = Ask {
        asker: Asker::from(peer),
        purpose,
        role,
        now,
    };
    may_ask(&ask)?;
    let reason = match decide(&ask, facts) {
        Decision::Permit(reason) => reason,
        Decision::Deny(reason) => {
            let rule = reason.rule;
            return Err(match reason.consent {
                Some(consent) => Denial::Consent { consent, rule },
                None => Denial::Default { rule },
            });
        }
    };
    let obligations = if facts.part2() {
        vec![Obligation::Part2Notice, Obligation::ConsentCopy]
    } else {
        Vec::new()
    };
    Ok(Permit {
        patient: facts.patient,
        document,
        to: peer.member,
        purpose,
        consent: reason.consent,
        recorded_by: reason.recorded_by,
        rule: reason.rule,
        obligations,
    })
}
