//! Consent at the holder: recorded, revoked in the patient's turn, explained.

use super::{
    error::FlowError,
    node::{Actor, Node, push_audit},
};
use crate::{
    audit,
    policy::{self, Ask, Asker, Explanation, Facts, InForce},
    ports::World,
    records::{
        Batch, Class, Consent, ConsentForm, Evidence, Matter, Provision, RecordKind, RevokeRecord,
        Scope, Target,
    },
    session::Peer,
    types::{Code, ConsentId, PatientId, Purpose, Role, Timestamp},
    wire,
};

/// What is to be recorded.
pub struct Statement {
    /// Whose records.
    pub patient: PatientId,
    /// Which way.
    pub provision: Provision,
    /// Which command.
    pub form: ConsentForm,
    /// Whom it is about.
    pub target: Target,
    /// What for.
    pub purposes: Vec<Purpose>,
    /// `patient`, or the relation of who spoke; empty where staff state it.
    pub by: String,
    /// The signed form.
    pub evidence: Option<Evidence>,
    /// Who heard it, where there is no form.
    pub witness: Option<String>,
    /// Claimed start.
    pub from: Option<Timestamp>,
    /// End.
    pub until: Option<Timestamp>,
    /// A denial even under break-glass.
    pub even_emergency: bool,
}

/// A recorded consent and what it led to.
pub struct Stated {
    /// The consent.
    pub consent: Consent,
    /// What is in force for its target.
    pub now: InForce,
}

impl<W: World> Node<W> {
    /// Records a consent as stored truth.
    ///
    /// # Errors
    /// [`Code::NoNetwork`], [`Code::PatientUnknown`], [`Code::PurposeUnknown`] where none is named,
    /// [`Code::Usage`] where the period ends before it begins, [`FlowError::Store`].
    pub async fn state_consent(
        &self,
        actor: &Actor,
        statement: Statement,
    ) -> Result<Stated, FlowError> {
        let network = self.network()?;
        let patient = statement.patient;
        self.patient_key(patient)?;
        if statement.purposes.is_empty() && statement.form == ConsentForm::Provision {
            return Err(FlowError::Usage {
                code: Code::PurposeUnknown,
            });
        }
        let now = self.now();
        let from = statement.from.unwrap_or(now);
        if statement.until.is_some_and(|until| until <= from) {
            return Err(FlowError::Usage { code: Code::Usage });
        }
        let class = Class::at_holder(
            &statement.by,
            statement.evidence.as_ref(),
            statement.witness.as_deref(),
        );
        let consent = Consent {
            id: ConsentId(self.random()),
            patient,
            provision: statement.provision,
            form: statement.form,
            target: statement.target,
            purposes: statement.purposes,
            class,
            by: statement.by,
            from,
            until: statement.until,
            evidence: statement.evidence,
            witness: statement.witness,
            recorded_by: actor.name.clone(),
            even_emergency: statement.even_emergency,
            policy: network.charter.template.policy_uri().to_owned(),
            position: 0,
            recorded_at: now,
            revoked: None,
        };
        let turn = self.turn(Matter::Patient(patient)).await;
        let mut batch = Batch::within(&turn);
        batch.push(
            RecordKind::Consent,
            Scope::Patient(patient),
            wire::encode_consent(&consent),
        );
        push_audit(
            &mut batch,
            &audit::Entry {
                patient: Some(patient),
                consent: Some(consent.id),
                actor: actor.name.clone(),
                role: Some(actor.role),
                ..audit::Entry::new(audit::Kind::ConsentRecorded)
            },
        );
        let recorded = self.commit(batch).await?;
        let consent = Consent {
            position: recorded.records().first().map_or(0, |r| r.position),
            ..consent
        };
        let purpose = consent.purposes.first().copied().unwrap_or(Purpose::Treat);
        let now = self.in_force(patient, &consent.target, purpose)?;
        Ok(Stated { consent, now })
    }

    /// Revokes a consent. When this returns, no content key leaves under it any more.
    ///
    /// # Errors
    /// [`Code::ConsentUnknown`] where it is unknown or revoked before; [`FlowError::Store`], then
    /// nothing has changed.
    pub async fn revoke(
        &self,
        actor: &Actor,
        consent: ConsentId,
    ) -> Result<(InForce, u64), FlowError> {
        let unknown = || FlowError::NotFound {
            code: Code::ConsentUnknown,
        };
        let patient = {
            let state = self.state();
            state.consent_of.get(&consent).copied()
        };
        let patient = patient.ok_or_else(unknown)?;
        let turn = self.turn(Matter::Patient(patient)).await;
        let (target, purpose) = {
            let state = self.state();
            state
                .consents
                .get(&patient)
                .and_then(|consents| consents.find(consent))
                .filter(|consent| consent.revoked.is_none())
                .map(|consent| {
                    let purpose = consent.purposes.first().copied();
                    (consent.target.clone(), purpose.unwrap_or(Purpose::Treat))
                })
                .ok_or_else(unknown)?
        };
        let mut batch = Batch::within(&turn);
        batch.push(
            RecordKind::Revoke,
            Scope::Patient(patient),
            wire::encode_revoke(&RevokeRecord {
                consent,
                patient,
                recorded_by: actor.name.clone(),
            }),
        );
        push_audit(
            &mut batch,
            &audit::Entry {
                patient: Some(patient),
                consent: Some(consent),
                actor: actor.name.clone(),
                role: Some(actor.role),
                ..audit::Entry::new(audit::Kind::ConsentRevoked)
            },
        );
        let recorded = self.commit(batch).await?;
        let position = recorded.records().first().map_or(0, |r| r.position);
        Ok((self.in_force(patient, &target, purpose)?, position))
    }

    /// What is in force for a target at present.
    ///
    /// # Errors
    /// [`Code::NoNetwork`].
    pub fn in_force(
        &self,
        patient: PatientId,
        target: &Target,
        purpose: Purpose,
    ) -> Result<InForce, FlowError> {
        let known = self.target_member(target);
        self.with_facts(patient, |facts, now| {
            policy::now_in_force(target, purpose, known.as_ref().map(Asker::from), facts, now)
        })
    }

    /// Explains the decision about a member that asks as a clinician.
    ///
    /// # Errors
    /// [`Code::NoNetwork`], [`Code::MemberUnknown`], [`Code::PatientUnknown`].
    pub fn explain(
        &self,
        patient: PatientId,
        target: &Target,
        purpose: Purpose,
    ) -> Result<Explanation, FlowError> {
        self.patient_key(patient)?;
        let peer = self.target_member(target).ok_or(FlowError::NotFound {
            code: Code::MemberUnknown,
        })?;
        self.with_facts(patient, |facts, now| {
            let ask = Ask {
                asker: Asker::from(&peer),
                purpose,
                role: Role::Clinician,
                now,
            };
            policy::explain(&ask, facts)
        })
    }

    /// All consents on file for a patient, in journal order.
    ///
    /// # Errors
    /// [`Code::PatientUnknown`].
    pub fn consents(&self, patient: PatientId) -> Result<Vec<Consent>, FlowError> {
        self.patient_key(patient)?;
        Ok(self.state().consents_of(patient).to_vec())
    }

    /// Whose consent it is.
    ///
    /// # Errors
    /// [`Code::ConsentUnknown`].
    pub fn patient_of(&self, consent: ConsentId) -> Result<PatientId, FlowError> {
        let state = self.state();
        state
            .consent_of
            .get(&consent)
            .copied()
            .ok_or(FlowError::NotFound {
                code: Code::ConsentUnknown,
            })
    }

    /// How this patient may be discovered by members.
    pub fn discoverability_of(&self, patient: PatientId) -> policy::Discoverability {
        self.state()
            .patients
            .get(&patient)
            .and_then(|patient| patient.discoverability)
            .unwrap_or(self.discoverability)
    }

    /// The one member a target names, where it names one.
    pub fn target_member(&self, target: &Target) -> Option<Peer> {
        let state = self.state();
        let mut named = state.members.iter().filter(|member| {
            let credential = member.credential();
            target.matches(
                credential.member,
                credential.node_key,
                &credential.organization.name,
                credential.organization.kind,
            )
        });
        match (named.next(), named.next()) {
            (Some(only), None) => Some(super::state::peer_of(only)),
            _ => None,
        }
    }

    fn with_facts<T>(
        &self,
        patient: PatientId,
        decide: impl FnOnce(&Facts<'_>, Timestamp) -> T,
    ) -> Result<T, FlowError> {
        let network = self.network()?;
        let own = self.own_peer();
        let now = self.now();
        let state = self.state();
        let template = network.charter.template;
        let facts = self.facts(&state, &own.organization, template, patient);
        Ok(decide(&facts, now))
    }
}
