//! What patients say about their records, and take back.

use chartmesh_core::{
    flows::Statement,
    records::{Class, ConsentForm, Evidence, Provision, Target},
    types::{Code, ConsentId, PatientId, Purpose, Role, Span},
};

use crate::{
    act::user,
    doer::{Doer, word},
    history::Act,
};

/// What is said about a patient's records.
pub(crate) struct Consenting {
    pub(crate) act: Act,
    pub(crate) patient: PatientId,
    pub(crate) target: Target,
    pub(crate) purpose: Purpose,
    /// Whose word it is.
    pub(crate) word: u32,
    /// From when to when.
    pub(crate) when: u32,
}

impl Doer {
    pub(crate) async fn consent(self, wish: Consenting) {
        let statement = self.statement(&wish);
        let clone = self.statement(&wish);
        let stated = self
            .node
            .state_consent(&user(&self.label, Role::FrontDesk), statement)
            .await;
        let begins_late = clone
            .until
            .zip(clone.from)
            .is_some_and(|(until, from)| until <= from);
        let nothing_named = clone.purposes.is_empty() && clone.form == ConsentForm::Provision;
        self.note_local("consent", word(&stated), |holder, position| {
            let known = holder.people.get(&wish.patient);
            let known = known.is_some_and(|person| person.face_at(position).is_some());
            if !holder.in_network {
                Code::NoNetwork.text()
            } else if !known {
                Code::PatientUnknown.text()
            } else if nothing_named {
                Code::PurposeUnknown.text()
            } else if begins_late {
                Code::Usage.text()
            } else {
                "OK"
            }
        });
        let Ok(stated) = stated else {
            return;
        };
        let is_so = {
            let shared = self.shared();
            let holder = &shared.model.holders[self.index];
            let class = match wish.word % 3 {
                0 => Class::Stated,
                _ => Class::Patient,
            };
            holder.consent(stated.consent.id).is_some_and(|said| {
                let kept = &said.consent;
                kept.patient == wish.patient
                    && kept.provision == clone.provision
                    && kept.form == clone.form
                    && kept.target == clone.target
                    && kept.purposes == clone.purposes
                    && kept.class == class
                    && kept.until == clone.until
                    && kept.even_emergency == clone.even_emergency
                    && kept.position == stated.consent.position
            })
        };
        if !is_so {
            self.shared().breaks(format!(
                "{}: a consent that is not so in the journal",
                self.label
            ));
        }
    }

    fn statement(&self, wish: &Consenting) -> Statement {
        let now = self.begun.clocks[self.index];
        let provision = match wish.act {
            Act::Deny | Act::OptOut => Provision::Deny,
            _ => Provision::Permit,
        };
        let form = match wish.act {
            Act::OptOut => ConsentForm::OptOut,
            Act::OptIn => ConsentForm::OptIn,
            _ => ConsentForm::Provision,
        };
        let is_odd = wish.act == Act::OddConsent;
        let evidence = Evidence {
            sha256: [6; 32],
            content_type: "application/pdf".to_owned(),
            size: 1_000,
        };
        let (from, until) = match wish.when % 10 {
            _ if is_odd && wish.when % 2 == 0 => (Some(now), Some(now)),
            0 => (None, Some(now.plus(Span::minutes(10)))),
            1 => (
                Some(now.plus(Span::minutes(5))),
                Some(now.plus(Span::hours(1))),
            ),
            2 => (Some(now.minus(Span::days(30))), None),
            _ => (None, None),
        };
        Statement {
            patient: wish.patient,
            provision,
            form,
            target: if form == ConsentForm::Provision {
                wish.target.clone()
            } else {
                Target::Any
            },
            purposes: match form {
                ConsentForm::Provision if !is_odd || wish.when % 2 == 0 => vec![wish.purpose],
                ConsentForm::Provision | ConsentForm::OptOut | ConsentForm::OptIn => Vec::new(),
            },
            by: if wish.word % 3 == 0 {
                String::new()
            } else {
                "patient".to_owned()
            },
            evidence: (wish.word % 3 == 1).then_some(evidence),
            witness: (wish.word % 3 == 2).then(|| "bea".to_owned()),
            from,
            until,
            even_emergency: provision == Provision::Deny && wish.word % 5 == 0,
        }
    }

    pub(crate) async fn revoke_late(mut self, consent: ConsentId, late_ms: u64) {
        tokio::time::sleep(std::time::Duration::from_millis(late_ms)).await;
        self.begin();
        self.revoke(consent).await;
    }

    pub(crate) async fn revoke(self, consent: ConsentId) {
        let revoked = self
            .node
            .revoke(&user(&self.label, Role::FrontDesk), consent)
            .await;
        self.note_local("revoke", word(&revoked), |holder, position| {
            let live = holder.consent(consent).is_some_and(|said| {
                said.consent.position <= position
                    && said.revoked.is_none_or(|revoked| revoked > position)
            });
            if live {
                "OK"
            } else {
                Code::ConsentUnknown.text()
            }
        });
        if revoked.is_ok() {
            let is_so = {
                let shared = self.shared();
                let said = shared.model.holders[self.index].consent(consent);
                said.is_some_and(|said| said.revoked.is_some())
            };
            if !is_so {
                self.shared().breaks(format!(
                    "{}: a revocation that is not in the journal",
                    self.label
                ));
            }
        }
    }
}
