//! The asker's side: every member the charter allows is asked at once, and each gets a truthful line.

use futures::{StreamExt, stream::FuturesUnordered};

use super::{
    call::{AskError, elapsed},
    error::FlowError,
    node::{Actor, Node, push_audit},
    serve_locate::{candidates, query_hash},
};
use crate::{
    audit,
    locator::{Answer, Ledger, Line, Revealed},
    matching::{self, Verdict},
    membership::Status,
    policy::{self, Ask, Asker},
    ports::{CallError, Rpc, World},
    records::{Batch, Demographics, HandleReceived, RecordKind, Scope},
    types::{
        MemberId, PatientId, PeerCode, Purpose, QueryId, Span, Timestamp,
        limits::{DIRECT_MAX, HANDLE_VALID},
    },
    wire::{self, LocateAnswer, LocateRequest, Outcome},
};

/// What the asker wants to know.
pub struct Search {
    /// Whom.
    pub demographics: Demographics,
    /// Own patient it is about, where there is one.
    pub patient: Option<PatientId>,
    /// Why.
    pub purpose: Purpose,
    /// In all.
    pub deadline: Span,
    /// Only these members; empty for all.
    pub only: Vec<MemberId>,
}

impl<W: World> Node<W> {
    /// Asks every member the charter allows, at once, and gives each a truthful line by the
    /// deadline. A slow or dead node costs nothing but its own line.
    ///
    /// # Errors
    /// [`crate::types::Code::NoNetwork`]; [`FlowError::Denied`] where this user may not ask for the purpose; or
    /// [`FlowError::Store`]: nothing is asked that cannot be recorded.
    pub async fn locate(&self, actor: &Actor, search: &Search) -> Result<Ledger, FlowError> {
        let network = self.network()?;
        let begun = self.now();
        let until = begun.plus(search.deadline);
        let own = self.own_peer();
        policy::may_ask(&Ask {
            asker: Asker::from(&own),
            purpose: search.purpose,
            role: actor.role,
            now: begun,
        })
        .map_err(|denial| FlowError::Denied {
            code: denial.code(),
        })?;
        let (chosen, mut lines) = self.choose(search, network.charter.rules.direct_max);
        let query = QueryId(self.random());
        self.record_question(actor, search, query, chosen.len() as u64)
            .await?;
        let mut asked: FuturesUnordered<_> = chosen
            .into_iter()
            .map(|member| self.ask_one(actor, search, query, member, until))
            .collect();
        while let Some(line) = asked.next().await {
            lines.push(line);
        }
        lines.sort_by_key(|line| line.member);
        self.record_matches(search, &lines).await?;
        Ok(Ledger {
            lines,
            elapsed: elapsed(begun, self.now()),
        })
    }

    /// Splits the members into those to ask and lines for those left out.
    fn choose(&self, search: &Search, direct_max: u32) -> (Vec<MemberId>, Vec<Line>) {
        let now = self.now();
        let limit = DIRECT_MAX.min(direct_max as usize);
        let state = self.state();
        let (mut chosen, mut lines) = (Vec::new(), Vec::new());
        for member in state.members.iter() {
            let id = member.credential().member;
            // Who was thrown out leaves no gap in the answer.
            if id == self.member() || member.status(now) == Status::Revoked {
                continue;
            }
            let excluded = !search.only.is_empty() && !search.only.contains(&id);
            let active = member.status(now) == Status::Active;
            if !excluded && active && chosen.len() < limit {
                chosen.push(id);
            } else {
                lines.push(Line {
                    member: id,
                    answer: Answer::NotAsked,
                    revealed: Revealed::Nothing,
                    excluded,
                    elapsed: Span(0),
                });
            }
        }
        (chosen, lines)
    }

    async fn ask_one(
        &self,
        actor: &Actor,
        search: &Search,
        query: QueryId,
        member: MemberId,
        until: Timestamp,
    ) -> Line {
        let begun = self.now();
        let deadline_ms = u32::try_from(until.since(begun).0).unwrap_or(u32::MAX);
        // What a record holds beyond the limits of a message is left out, not refused by every holder.
        let demographics = wire::bounded_demographics(&search.demographics);
        let asking = self.ask::<_, LocateAnswer>(member, Rpc::Locate, |head| LocateRequest {
            head,
            query,
            purpose: search.purpose,
            user: actor.user,
            role: actor.role,
            demographics: demographics.clone(),
            deadline_ms,
            round: 0,
        });
        let reply = self.until(until, asking).await;
        let (answer, revealed) = match reply {
            // Sealed demographics may have arrived: the ledger never claims less than that.
            None => (Answer::TimedOut, Revealed::Demographics),
            Some(Ok((answer, _))) => (line_answer(answer), Revealed::Demographics),
            Some(Err(AskError::Refused(code))) => (refusal(code), Revealed::Demographics),
            Some(Err(AskError::Forged)) => (
                Answer::Refused(PeerCode::Unauthenticated),
                Revealed::Demographics,
            ),
            Some(Err(AskError::Call(CallError::Unreachable))) => {
                (Answer::Unreachable, Revealed::Nothing)
            }
            // The line broke after the question had left: it may have been read.
            Some(Err(AskError::Call(CallError::Lost))) => {
                (Answer::Unreachable, Revealed::Demographics)
            }
            Some(Err(AskError::Call(CallError::Incompatible))) => {
                (Answer::Incompatible, Revealed::Nothing)
            }
            Some(Err(AskError::Call(CallError::Refused(code)))) => {
                (refusal(code), Revealed::Demographics)
            }
        };
        Line {
            member,
            answer,
            revealed,
            excluded: false,
            elapsed: elapsed(begun, self.now()),
        }
    }

    async fn record_question(
        &self,
        actor: &Actor,
        search: &Search,
        query: QueryId,
        members: u64,
    ) -> Result<(), FlowError> {
        let mut batch = Batch::default();
        push_audit(
            &mut batch,
            &audit::Entry {
                patient: search.patient,
                purpose: Some(search.purpose),
                user: Some(actor.user),
                role: Some(actor.role),
                actor: actor.name.clone(),
                query_hash: Some(query_hash(query)),
                count: members,
                ..audit::Entry::new(audit::Kind::LocateAsked)
            },
        );
        self.commit(batch).await?;
        Ok(())
    }

    async fn record_matches(&self, search: &Search, lines: &[Line]) -> Result<(), FlowError> {
        let until = self.now().plus(HANDLE_VALID);
        let mut batch = Batch::default();
        for line in lines {
            let matches = match &line.answer {
                Answer::Match(found) => std::slice::from_ref(found),
                Answer::Matches(found) => found,
                _ => &[],
            };
            for found in matches {
                batch.push(
                    RecordKind::HandleReceived,
                    Scope::Store,
                    wire::encode_handle_received(&HandleReceived {
                        handle: found.handle,
                        holder: line.member,
                        patient: search.patient,
                        until,
                    }),
                );
            }
        }
        if batch.drafts.is_empty() {
            return Ok(());
        }
        self.commit(batch).await?;
        Ok(())
    }

    /// Own patients whom a search would certainly match: the ledger's `local`.
    pub fn local_matches(&self, demographics: &Demographics) -> Vec<PatientId> {
        let state = self.state();
        let candidates = candidates(&state, demographics, |_| true);
        match matching::verdict(demographics, &candidates) {
            Verdict::Match { id, .. } => vec![id],
            Verdict::None | Verdict::MoreNeeded(_) => Vec::new(),
        }
    }
}

fn line_answer(answer: LocateAnswer) -> Answer {
    let mut matches = answer.matches;
    match answer.outcome {
        Outcome::None => Answer::NoMatch,
        Outcome::Match | Outcome::Matches => match (matches.pop(), matches.is_empty()) {
            (Some(only), true) => Answer::Match(only),
            (Some(last), false) => {
                matches.push(last);
                Answer::Matches(matches)
            }
            (None, _) => Answer::Refused(PeerCode::Malformed),
        },
        Outcome::MoreNeeded => Answer::MoreNeeded(answer.requested),
        Outcome::Refused(code) => refusal(code),
    }
}

fn refusal(code: PeerCode) -> Answer {
    match code {
        PeerCode::OverBudget => Answer::OverBudget,
        PeerCode::Malformed
        | PeerCode::Unauthenticated
        | PeerCode::NotMember
        | PeerCode::Stale
        | PeerCode::Denied
        | PeerCode::HandleUnknown
        | PeerCode::Unavailable
        | PeerCode::ClockSkew
        | PeerCode::TrustStale
        | PeerCode::VersionTooOld
        | PeerCode::Superseded => Answer::Refused(code),
    }
}
