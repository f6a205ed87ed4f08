//! Consent commands.

use std::time::Instant;

use chartmesh_core::{
    crypto::sha256,
    flows::{FlowError, Statement},
    policy::{self, Decision},
    records::{Consent, ConsentForm, Evidence, Provision, Target},
    types::{Code, ConsentId, DocumentId, MemberId, PatientId, Purpose, Timestamp},
};
use chartmesh_proto::admin::{
    Because, ConsentListReply, ConsentReply, ConsentRequest, ConsentView, ExplainReply,
    ExplainRequest, InForce, InForceReply, OptRequest,
};
use tonic::Status;

use super::{
    Admin,
    error::{flow, usage},
    text,
};
use crate::daemon::Daemon;

impl Admin {
    pub(super) async fn consent(
        &self,
        provision: Provision,
        request: ConsentRequest,
    ) -> Result<ConsentReply, Status> {
        let daemon = self.daemon()?;
        let purposes = request
            .purpose
            .iter()
            .map(|purpose| text::purpose(purpose))
            .collect::<Result<Vec<Purpose>, _>>()?;
        let evidence = (!request.form.is_empty()).then(|| Evidence {
            sha256: sha256(&[&request.form]),
            content_type: request.form_type.clone(),
            size: request.form.len() as u64,
        });
        // A signed form is the patient's own unless somebody else is named.
        let by = if request.by.is_empty() && evidence.is_some() {
            "patient".to_owned()
        } else {
            request.by
        };
        let statement = Statement {
            patient: text::id(&request.patient)?,
            provision,
            form: ConsentForm::Provision,
            target: target(&daemon, &request.to)?,
            purposes,
            by,
            evidence,
            witness: text::non_empty(request.verbal_witness),
            from: text::time(&request.from)?,
            until: text::end(&request.until)?,
            even_emergency: false,
        };
        period(statement.from, statement.until, daemon.now())?;
        self.state(statement).await
    }

    async fn state(&self, statement: Statement) -> Result<ConsentReply, Status> {
        let (daemon, actor) = self.acting()?;
        let node = daemon.node.clone();
        let notes = notes(&daemon, &statement.target);
        let stated = self
            .spawned(async move { node.state_consent(&actor, statement).await })
            .await?;
        Ok(ConsentReply {
            consent: stated.consent.id.to_string(),
            version: stated.consent.position,
            profile: stated.consent.profile().text().to_owned(),
            class: stated.consent.class.number(),
            now: Some(in_force(stated.now)),
            notes,
        })
    }

    pub(super) async fn opt(
        &self,
        form: ConsentForm,
        request: OptRequest,
    ) -> Result<InForceReply, Status> {
        let begun = Instant::now();
        let (provision, purposes) = match form {
            ConsentForm::OptOut => (Provision::Deny, Vec::new()),
            ConsentForm::OptIn | ConsentForm::Provision => {
                (Provision::Permit, vec![Purpose::Treat])
            }
        };
        let statement = Statement {
            patient: text::id(&request.patient)?,
            provision,
            form,
            target: Target::Any,
            purposes,
            by: String::new(),
            evidence: None,
            witness: None,
            from: None,
            until: None,
            even_emergency: request.even_emergency,
        };
        let reply = self.state(statement).await?;
        Ok(InForceReply {
            now: reply.now,
            version: reply.version,
            elapsed_ms: elapsed_ms(begun),
            consent: reply.consent,
        })
    }

    pub(super) async fn revoke(&self, consent: &str) -> Result<InForceReply, Status> {
        let begun = Instant::now();
        let (daemon, actor) = self.acting()?;
        let consent: ConsentId = text::id(consent)?;
        let node = daemon.node.clone();
        let (now, version) = self
            .spawned(async move { node.revoke(&actor, consent).await })
            .await?;
        Ok(InForceReply {
            now: Some(in_force(now)),
            version,
            elapsed_ms: elapsed_ms(begun),
            consent: consent.to_string(),
        })
    }

    pub(super) fn consents(&self, patient: &str) -> Result<ConsentListReply, Status> {
        let daemon = self.daemon()?;
        let patient: PatientId = text::id(patient)?;
        let now = daemon.now();
        let consents = daemon
            .node
            .consents(patient)
            .map_err(flow)?
            .into_iter()
            .map(|consent| view(&consent, now))
            .collect();
        Ok(ConsentListReply { consents })
    }

    pub(super) fn explain(&self, request: &ExplainRequest) -> Result<ExplainReply, Status> {
        let daemon = self.daemon()?;
        let purpose = text::purpose(&request.purpose)?;
        let patient = text::id(&request.patient)?;
        let about = daemon.node.patient(patient).map_err(flow)?;
        if !request.document.is_empty() {
            let document: DocumentId = text::id(&request.document)?;
            let stored = daemon.node.documents(patient);
            if about.summary != document && !stored.iter().any(|(kept, _)| kept.id == document) {
                return Err(flow(FlowError::NotFound {
                    code: Code::DocumentUnknown,
                }));
            }
        }
        let target = target(&daemon, &request.to)?;
        if matches!(target, Target::Any | Target::Kind(_)) {
            return Err(usage(
                Code::Usage,
                "explain is about one member: its node id, member id or name",
            ));
        }
        let explanation = daemon
            .node
            .explain(patient, &target, purpose)
            .map_err(flow)?;
        Ok(ExplainReply {
            decision: explanation.decision.text().to_owned(),
            because: explanation
                .because
                .into_iter()
                .map(|because| Because {
                    consent: because.consent.map(|id| id.to_string()),
                    rule: because.rule.text().to_owned(),
                    user: because.user,
                })
                .collect(),
            // Labels are filtered once the labeller exists; until then a decision is about all.
            filtered: Vec::new(),
            policy: explanation.policy.to_owned(),
            text: explanation.text,
        })
    }
}

/// Whom a consent is about: a prefixed target, a bare node or member id, or the exact name of one
/// member.
fn target(daemon: &Daemon, text: &str) -> Result<Target, Status> {
    if let Ok(target) = text.parse::<Target>() {
        return Ok(target);
    }
    if let Ok(member) = text.parse::<MemberId>() {
        return Ok(Target::Member(member));
    }
    let mut named = daemon
        .node
        .member_views()
        .into_iter()
        .filter(|view| view.credential.organization.name == text);
    match (named.next(), named.next()) {
        (Some(only), None) => Ok(Target::Member(only.credential.member)),
        (Some(_), Some(_)) => Err(usage(
            Code::MemberUnknown,
            "several members have that name; use member:ID",
        )),
        (None, _) => Err(usage(
            Code::MemberUnknown,
            "this names nobody: give a node id, member:ID, org:NAME, kind:K, any, or a member's name",
        )),
    }
}

/// What whoever records a consent should know of its target.
fn notes(daemon: &Daemon, target: &Target) -> Vec<String> {
    let own = daemon.node.member();
    let matched = daemon.node.member_views().iter().any(|view| {
        let known = &view.credential;
        let organization = &known.organization;
        known.member != own
            && target.matches(
                known.member,
                known.node_key,
                &organization.name,
                organization.kind,
            )
    });
    if matched || *target == Target::Any {
        return Vec::new();
    }
    vec![format!(
        "no other member matches {target} today: this binds nobody until one does; see chartmesh network members"
    )]
}

/// A period must have an end that is still to come and lies behind its start.
fn period(from: Option<Timestamp>, until: Option<Timestamp>, now: Timestamp) -> Result<(), Status> {
    match until {
        Some(until) if until <= now => Err(usage(
            Code::Usage,
            "the consent would end before today: --until is in the past",
        )),
        Some(until) if from.is_some_and(|from| until <= from) => Err(usage(
            Code::Usage,
            "the consent would end before it begins: --until is not after --from",
        )),
        Some(_) | None => Ok(()),
    }
}

fn elapsed_ms(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn in_force(now: policy::InForce) -> InForce {
    InForce {
        decision: match now.decision {
            Decision::Permit(_) => "permit",
            Decision::Deny(_) => "deny",
        }
        .to_owned(),
        policy: now.policy.to_owned(),
        because: now.because,
    }
}

fn view(consent: &Consent, now: Timestamp) -> ConsentView {
    ConsentView {
        consent: consent.id.to_string(),
        version: consent.position,
        decision: match (consent.form, consent.provision) {
            (ConsentForm::OptOut, _) => "opt-out",
            (ConsentForm::OptIn, _) => "opt-in",
            (ConsentForm::Provision, Provision::Permit) => "permit",
            (ConsentForm::Provision, Provision::Deny) => "deny",
        }
        .to_owned(),
        to: consent.target.to_string(),
        purpose: consent.purposes.iter().map(|p| p.to_string()).collect(),
        class: consent.class.number(),
        by: consent.by.clone(),
        profile: consent.profile().text().to_owned(),
        recorded: consent.recorded_at.to_string(),
        recorded_by: consent.recorded_by.clone(),
        from: Some(consent.from.to_string()),
        until: consent.until.map(|until| until.to_string()),
        status: consent.status(now).text().to_owned(),
        revoked: consent.revoked.map(|(_, at)| at.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_that_can_never_hold_says_which_of_its_ends_is_wrong() {
        let day = |text: &str| Timestamp::parse(text);
        let now = day("2026-11-22").unwrap();
        let said = |from: &str, until: &str| {
            period(day(from), day(until), now)
                .err()
                .map(|status| status.message().to_owned())
        };
        assert_eq!(said("", ""), None);
        assert_eq!(said("2026-01-01", "2027-01-01"), None);
        assert_eq!(said("2030-01-01", "2031-01-01"), None);

        assert!(said("", "2020-01-01").is_some_and(|text| text.contains("in the past")));
        assert!(
            said("2030-01-01", "2029-01-01").is_some_and(|text| text.contains("not after --from"))
        );
    }
}
