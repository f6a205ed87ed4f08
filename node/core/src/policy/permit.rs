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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::fixtures::{
            HARBOR, NOW, ROSA, denial_of, facts, harbor, organization, paper, permit_of,
        },
        records::{Class, Consent},
        types::Kind,
    };

    fn request() -> Authenticated<()> {
        Authenticated::for_test(harbor(), ())
    }

    #[test]
    fn a_permit_says_who_may_read_what_and_why() {
        let holder = organization("St. Brigid", Kind::Hospital);
        let consents = [permit_of(4, Class::Patient)];
        let document = Some(DocumentId([6; 16]));

        let permit = permit(
            &request(),
            Purpose::Treat,
            Role::Clinician,
            document,
            &facts(&holder, &consents),
            NOW,
        )
        .expect("a consent permits it");

        assert_eq!(permit.patient(), ROSA);
        assert_eq!(permit.document(), document);
        assert_eq!(permit.to(), HARBOR);
        assert_eq!(permit.purpose(), Purpose::Treat);
        assert_eq!(permit.consent(), Some(consents[0].id));
        assert_eq!(permit.recorded_by(), Some("amy"));
        assert_eq!(permit.rule(), Rule::ConsentPermits);
        assert!(permit.obligations().is_empty());
    }

    #[test]
    fn each_refusal_differs_from_the_permit_by_one_fact() {
        let holder = organization("St. Brigid", Kind::Hospital);
        let grant = [permit_of(4, Class::Patient)];
        let denied = [grant[0].clone(), denial_of(5, Class::Stated)];
        let asked = |purpose, role, consents: &[Consent]| {
            permit(
                &request(),
                purpose,
                role,
                None,
                &facts(&holder, consents),
                NOW,
            )
            .map(|permit| permit.rule())
        };
        let clinician = Role::Clinician;
        assert_eq!(
            asked(Purpose::Treat, clinician, &grant),
            Ok(Rule::ConsentPermits)
        );

        assert_eq!(
            asked(Purpose::Btg, clinician, &grant),
            Err(Denial::NoSession)
        );
        assert_eq!(
            asked(Purpose::Treat, Role::Admin, &grant),
            Err(Denial::Role { role: Role::Admin })
        );
        assert_eq!(
            asked(Purpose::Hresch, clinician, &grant),
            Err(Denial::Default {
                rule: Rule::PurposeNeedsConsent
            })
        );
        assert_eq!(
            asked(Purpose::Treat, clinician, &denied),
            Err(Denial::Consent {
                consent: denied[1].id,
                rule: Rule::ConsentDenies
            })
        );
        assert_eq!(
            asked(Purpose::Treat, clinician, &[]),
            Err(Denial::Default {
                rule: Rule::PolicyDenies
            })
        );
    }

    #[test]
    fn part_2_data_leaves_with_its_notice_and_the_consent() {
        let mut holder = organization("Hope", Kind::SubstanceUse);
        holder.part2 = true;
        let mut consent = permit_of(4, Class::Patient);
        consent.evidence = Some(paper());
        let consents = [consent];

        let permit = permit(
            &request(),
            Purpose::Treat,
            Role::Clinician,
            None,
            &facts(&holder, &consents),
            NOW,
        )
        .expect("the signed form permits it");

        let numbers: Vec<u32> = permit.obligations().iter().map(|it| it.number()).collect();
        assert_eq!(numbers, [1, 2]);
    }
}
