//! The holder's answer to *who holds records for this patient?* It tells nothing by size or time.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{
    call::Question,
    error::FlowError,
    node::{Node, push_audit},
    state::State,
};
use crate::{
    audit::{self, FloodKey, Heed},
    matching::{self, Verdict},
    policy::{self, Ask, Asker, Existence, Facts, Reason},
    ports::{Stage, World},
    records::{Batch, Demographics, HandleRecord, Name, RecordKind, Scope},
    session::Authenticated,
    types::{
        Code, Handle, MemberId, NodeKey, PatientId, PeerCode, Purpose, QueryId, Span, Timestamp,
        limits::{HANDLE_VALID, LOCATE_TICK},
    },
    wire::{self, LocateAnswer, LocateRequest, Match, Outcome},
};

/// What a holder found, before it is told.
struct Finding {
    outcome: Outcome,
    matches: Vec<Match>,
    requested: Vec<matching::Attribute>,
    /// Whom the question is about here, whether the asker is told or not.
    patient: Option<PatientId>,
    /// Why the patient is shown or concealed.
    reason: Option<Reason>,
    code: Option<Code>,
}

impl Finding {
    fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            matches: Vec::new(),
            requested: Vec::new(),
            patient: None,
            reason: None,
            code: None,
        }
    }

    fn refused(peer: PeerCode, code: Code) -> Self {
        Self {
            code: Some(code),
            ..Self::of(Outcome::Refused(peer))
        }
    }

    fn more_needed(requested: Vec<matching::Attribute>) -> Self {
        Self {
            requested,
            ..Self::of(Outcome::MoreNeeded)
        }
    }
}

impl<W: World> Node<W> {
    /// Answers a locate question. Every answer of an admitted question has one size and leaves at a
    /// tick, after exactly one commit, whatever was found (`protocol.md` 7).
    pub(super) async fn serve_locate(&self, from: NodeKey, body: &[u8]) -> Result<Bytes, PeerCode> {
        let arrived = self.now();
        let (question, request) = match self.receive::<LocateRequest>(from, body).await {
            Ok(received) => received,
            Err(answer) => return answer,
        };
        let handle = Handle(self.random());
        let finding = self.find(&request, handle);
        let recorded = self.record_finding(&request, handle, &finding).await;
        let finding = match recorded {
            Ok(()) => finding,
            Err(_) => Finding::refused(PeerCode::Unavailable, Code::StorageFailed),
        };
        self.leave(&question, arrived, finding).await
    }

    /// Lets the answer out a whole number of ticks after the question came, so that neither what was
    /// found nor how long its commit took shows, whatever moment the asker chose.
    async fn leave(
        &self,
        question: &Question,
        arrived: Timestamp,
        finding: Finding,
    ) -> Result<Bytes, PeerCode> {
        let answer = self.answer(question, 0, |head| LocateAnswer {
            head,
            outcome: finding.outcome,
            matches: finding.matches,
            requested: finding.requested,
        });
        let ticks = self.now().since(arrived).0 / LOCATE_TICK.0 + 1;
        let leaves = arrived.plus(Span(ticks * LOCATE_TICK.0));
        self.world.sleep_until(leaves).await;
        Ok(answer)
    }

    fn find(&self, request: &Authenticated<LocateRequest>, handle: Handle) -> Finding {
        let _step = self.world.step(Stage::Policy);
        let now = self.now();
        let body = request.body();
        let own = self.own_peer();
        let mut state = self.state();
        let Some(network) = state.network.clone() else {
            return Finding::refused(PeerCode::Unavailable, Code::NoNetwork);
        };
        let ask = Ask {
            asker: Asker::from(request.peer()),
            purpose: body.purpose,
            role: body.role,
            now,
        };
        // Every question counts, also one that is refused.
        let within = within_budget(
            &mut state,
            request.peer().member,
            network.charter.rules.locate_per_day,
            now,
        );
        if body.purpose != Purpose::Btg && state.is_stale(now) {
            return Finding::refused(PeerCode::TrustStale, Code::TrustStale);
        }
        if let Err(denial) = policy::may_ask(&ask) {
            return Finding::refused(denial.peer_code(), denial.code());
        }
        if !within {
            return Finding::refused(PeerCode::OverBudget, Code::OverBudget);
        }
        let missing = matching::missing(&body.demographics);
        if !missing.is_empty() {
            return Finding::more_needed(missing);
        }
        let template = network.charter.template;
        let facts = |id| self.facts(&state, &own.organization, template, id);
        look_up(&state, &ask, &body.demographics, handle, facts)
    }

    async fn record_finding(
        &self,
        request: &Authenticated<LocateRequest>,
        handle: Handle,
        finding: &Finding,
    ) -> Result<(), FlowError> {
        let body = request.body();
        let now = self.now();
        let member = request.peer().member;
        // The same at both ends, so that their entries can be joined.
        let query_hash = query_hash(body.query);
        if let (Outcome::Refused(_), Some(code)) = (finding.outcome, finding.code) {
            // Refused before any look-up, so whether it is written tells nothing.
            let key = FloodKey {
                member: Some(member),
                user: Some(body.user),
                code,
            };
            if self.state().flood.heed(key, now) == Heed::Counted {
                return Ok(());
            }
        }
        let mut batch = Batch::default();
        if let (Outcome::Match, Some(patient)) = (finding.outcome, finding.patient) {
            let life = self
                .network()
                .map_or(HANDLE_VALID, |network| network.charter.rules.handle_life)
                .min(HANDLE_VALID);
            batch.push(
                RecordKind::Handle,
                Scope::Patient(patient),
                wire::encode_handle(&HandleRecord {
                    handle,
                    asker: member,
                    patient,
                    purpose: body.purpose,
                    query_hash,
                    until: now.plus(life),
                }),
            );
        }
        push_audit(
            &mut batch,
            &audit::Entry {
                member: Some(member),
                patient: finding.patient,
                consent: finding.reason.as_ref().and_then(|reason| reason.consent),
                rule: finding.reason.as_ref().map(|reason| reason.rule),
                purpose: Some(body.purpose),
                user: Some(body.user),
                role: Some(body.role),
                code: finding.code,
                query_hash: Some(query_hash),
                description: told(finding.outcome).to_owned(),
                ..audit::Entry::new(audit::Kind::Located)
            },
        );
        self.commit(batch).await?;
        Ok(())
    }
}

/// What the records say to a question that may be asked.
fn look_up<'a>(
    state: &State,
    ask: &Ask<'_>,
    sent: &Demographics,
    handle: Handle,
    facts: impl Fn(PatientId) -> Facts<'a>,
) -> Finding {
    let reason = |id| policy::decide(ask, &facts(id)).reason().clone();
    let revealed = |id| matches!(policy::existence(ask, &facts(id)), Existence::Revealed);
    let all = candidates(state, sent, |_| true);
    let shown_to_asker = candidates(state, sent, revealed);
    // Both verdicts are always made: the work tells nothing, and our own people see in the log
    // whom a question was about that the asker may not know of.
    let about = match matching::verdict(sent, &all) {
        Verdict::Match { id, .. } => Some(id),
        Verdict::None | Verdict::MoreNeeded(_) => None,
    };
    let concealed = |finding: Finding| Finding {
        patient: about,
        reason: about.map(reason),
        code: about.map(|_| Code::Concealed),
        ..finding
    };
    match matching::verdict(sent, &shown_to_asker) {
        Verdict::None => concealed(Finding::of(Outcome::None)),
        Verdict::MoreNeeded(requested) => concealed(Finding::more_needed(requested)),
        Verdict::Match {
            id,
            grade,
            score_permille,
            mirror,
        } => {
            let shown = state.patients.get(&id).map(|p| shown(&p.demographics));
            Finding {
                matches: vec![Match {
                    handle,
                    grade,
                    score_permille,
                    mirror,
                    demographics: shown.filter(|_| grade == matching::Grade::Certain),
                }],
                patient: Some(id),
                reason: Some(reason(id)),
                ..Finding::of(Outcome::Match)
            }
        }
    }
}

/// What both ends write of one question.
pub(super) fn query_hash(query: QueryId) -> [u8; 32] {
    crate::crypto::sha256(&[&query.0])
}

/// An outcome in the log of the holder.
fn told(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::None => "answered: no match",
        Outcome::Match => "answered: match",
        Outcome::Matches => "answered: several matches",
        Outcome::MoreNeeded => "answered: more needed",
        Outcome::Refused(_) => "answered: refused",
    }
}

/// Candidates of a question among those that may be considered.
pub(super) fn candidates<'a>(
    state: &'a State,
    sent: &Demographics,
    may_consider: impl Fn(PatientId) -> bool,
) -> Vec<(PatientId, &'a Demographics)> {
    let found: BTreeSet<PatientId> = matching::blocking_keys(sent)
        .iter()
        .filter_map(|key| state.found_by.get(key))
        .flatten()
        .copied()
        .filter(|id| may_consider(*id))
        .collect();
    found
        .into_iter()
        .filter_map(|id| Some((id, &state.patients.get(&id)?.demographics)))
        .collect()
}

/// What a certain match shows: family and given name, birth date, sex (`policy.md` 5).
fn shown(demographics: &Demographics) -> Demographics {
    Demographics {
        names: demographics
            .names
            .first()
            .map(|name| Name {
                family: name.family.clone(),
                given: name.given.first().cloned().into_iter().collect(),
            })
            .into_iter()
            .collect(),
        birth_date: demographics.birth_date.clone(),
        sex: demographics.sex,
        ..Demographics::default()
    }
}

/// Counts a question against the asker's day.
fn within_budget(state: &mut State, asker: MemberId, per_day: u32, now: Timestamp) -> bool {
    let today = now.0 / Span::days(1).0;
    let (day, spent) = state.budget.entry(asker).or_insert((today, 0));
    if *day != today {
        (*day, *spent) = (today, 0);
    }
    *spent = spent.saturating_add(1);
    *spent <= per_day
}
