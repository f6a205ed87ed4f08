//! The inviter's side: what an applicant with a ticket is told.

use bytes::Bytes;

use super::{
    error::FlowError,
    node::{Node, push_audit},
    state::{Join, State},
};
use crate::{
    audit::{self, FloodKey, Heed},
    crypto::{Envelope, SecretKey, Signed},
    membership::{self, JoinAnswer, JoinError, JoinRecord, JoinRequest, JoinState},
    ports::World,
    records::{Batch, RecordKind, Scope, TurnGuard},
    session::SessionError,
    types::{
        Code, MemberId, NodeKey, PeerCode, Timestamp,
        limits::{JOIN_KEYS_CHANGED_MAX, JOIN_REQUESTS_MAX},
    },
    wire,
};

/// Why an applicant is refused: what the log says, and who it said it was.
struct JoinRefusal {
    code: Code,
    member: Option<MemberId>,
}

impl JoinRefusal {
    fn of(code: Code) -> Self {
        Self { code, member: None }
    }

    /// What the applicant is told: coarser, so that probing teaches nothing of tickets.
    fn peer_code(&self) -> PeerCode {
        match self.code {
            Code::MessageMalformed => PeerCode::Malformed,
            Code::ClockSkew => PeerCode::ClockSkew,
            Code::Usage => PeerCode::OverBudget,
            Code::StorageFailed => PeerCode::Unavailable,
            _ => PeerCode::Denied,
        }
    }
}

impl<W: World> Node<W> {
    /// Answers an applicant: pending, approved with its credential, or refused.
    ///
    /// # Errors
    /// What the applicant is told; a forged, foreign, expired or used ticket is `DENIED`.
    pub async fn serve_join(&self, from: NodeKey, body: &[u8]) -> Result<Bytes, PeerCode> {
        let network = self.network_id().ok_or(PeerCode::Unavailable)?;
        let judged = match wire::decode_envelope(body) {
            Ok(envelope) => self
                .judge_join(from, &envelope)
                .await
                .map(|join| (join, envelope.hash())),
            Err(_) => Err(JoinRefusal::of(Code::MessageMalformed)),
        };
        let (join, request) = match judged {
            Ok(judged) => judged,
            Err(refusal) => {
                self.record_join_refusal(&refusal).await;
                return Err(refusal.peer_code());
            }
        };
        let answer = self.join_answer(&join, request);
        Ok(wire::encode_envelope(
            &self.identity().node.sign(&network, &answer),
        ))
    }

    async fn judge_join(&self, from: NodeKey, envelope: &Envelope) -> Result<Join, JoinRefusal> {
        let now = self.now();
        let claimed = envelope
            .claims::<JoinRequest>()
            .map_err(|_| JoinRefusal::of(Code::MessageMalformed))?;
        let refused = |code| JoinRefusal {
            code,
            member: Some(claimed.member),
        };
        let network = self.network().map_err(|_| refused(Code::StorageFailed))?;
        // A ticket is found before anything is verified: without one nobody makes us check signatures.
        let ticket = self.state().tickets.get(&claimed.ticket).cloned();
        let ticket = ticket.ok_or(refused(Code::TicketRefused))?;
        let (request, key, inviter) = (envelope.clone(), ticket.key.clone(), self.node_key());
        let verified = self
            .world
            .run(move || {
                let (id, charter) = (&network.id, &network.charter);
                membership::verify_join_request(&request, id, charter, &key, inviter, now)
            })
            .await;
        let request = verified.map_err(|error| match error {
            JoinError::ClockSkew { .. } => refused(Code::ClockSkew),
            _ => refused(Code::TicketRefused),
        })?;
        if request.value().node_key != from {
            return Err(refused(Code::TicketRefused));
        }
        if self.state().threw_out(from, claimed.member) {
            return Err(refused(Code::KeyRevoked));
        }
        // Two applicants with one ticket must not both find it unused.
        let registration = self.registration().await;
        let (before, waiting) = {
            let state = self.state();
            let waiting = state.joins.values();
            let waiting = waiting.filter(|join| state.awaits(&join.record, now));
            (state.joins.get(&claimed.ticket).cloned(), waiting.count())
        };
        if let Some(before) = before {
            let again = self.asked_before(before, &request, ticket.expiry, &registration);
            return again.await.map_err(refused);
        }
        if now >= ticket.expiry {
            return Err(refused(Code::TicketExpired));
        }
        if waiting >= JOIN_REQUESTS_MAX {
            return Err(refused(Code::Usage));
        }
        let record = JoinRecord {
            ticket: claimed.ticket,
            request: request.envelope().clone(),
            state: JoinState::Pending,
            credential: None,
            reused: None,
        };
        let mut batch = Batch::within(&registration);
        batch.push(RecordKind::Join, Scope::Store, wire::encode_join(&record));
        // The ticket is marked used before it is answered.
        self.commit(batch)
            .await
            .map_err(|_| refused(Code::StorageFailed))?;
        Ok(Join {
            record,
            received: now,
            delivered: false,
            keys_changed: 0,
        })
    }

    /// A ticket that was used before: by the same applicant, who asks again, or by somebody else.
    async fn asked_before(
        &self,
        before: Join,
        request: &Signed<JoinRequest>,
        expiry: Timestamp,
        registration: &TurnGuard,
    ) -> Result<Join, Code> {
        let asked = request.value();
        if !before.record.is_of_same_applicant(request.envelope()) {
            let recorded = self.record_reuse(&before, asked.member, registration).await;
            return Err(recorded.map_or(Code::StorageFailed, |()| Code::TicketUsed));
        }
        if before.record.state != JoinState::Pending {
            return Ok(before);
        }
        if self.now() >= expiry {
            return Err(Code::TicketExpired);
        }
        let first = before.record.request.claims::<JoinRequest>();
        if first.is_ok_and(|first| first.id() == asked.id()) {
            return Ok(before);
        }
        self.record_other_keys(before, request.envelope(), registration)
            .await
    }

    /// Its sealing keys have changed while it waits: both ends must show the same six words.
    async fn record_other_keys(
        &self,
        before: Join,
        request: &Envelope,
        registration: &TurnGuard,
    ) -> Result<Join, Code> {
        if before.keys_changed >= JOIN_KEYS_CHANGED_MAX {
            return Err(Code::Usage);
        }
        let record = JoinRecord {
            request: request.clone(),
            // With a time it would say that the ticket was used again, and nothing else.
            reused: None,
            ..before.record.clone()
        };
        let mut batch = Batch::within(registration);
        batch.push(RecordKind::Join, Scope::Store, wire::encode_join(&record));
        self.commit(batch).await.map_err(|_| Code::StorageFailed)?;
        Ok(Join { record, ..before })
    }

    /// A ticket is for one: a second use says that it was stolen, or the first was no friend. Recorded
    /// once a ticket, so that nobody fills the journal with it.
    async fn record_reuse(
        &self,
        before: &Join,
        by: MemberId,
        registration: &TurnGuard,
    ) -> Result<(), FlowError> {
        if before.record.reused.is_some() {
            return Ok(());
        }
        let mut batch = Batch::within(registration);
        let record = JoinRecord {
            reused: Some(self.now()),
            ..before.record.clone()
        };
        batch.push(RecordKind::Join, Scope::Store, wire::encode_join(&record));
        push_audit(
            &mut batch,
            &audit::Entry {
                member: Some(by),
                code: Some(Code::TicketUsed),
                ..audit::Entry::new(audit::Kind::TicketReused)
            },
        );
        self.commit(batch).await?;
        Ok(())
    }

    /// Tickets that were used a second time: the first user's request, how it stands, and when.
    pub fn reused_tickets(&self) -> Vec<(JoinRequest, JoinState, Timestamp)> {
        let state = self.state();
        let reused = state.joins.values().filter_map(|join| {
            let request = join.record.request.claims::<JoinRequest>().ok()?;
            Some((request, join.record.state, join.record.reused?))
        });
        reused.collect()
    }

    /// Counted like every refusal of a stranger: the first of a day whole, the rest as a number.
    async fn record_join_refusal(&self, refusal: &JoinRefusal) {
        let now = self.now();
        let key = FloodKey {
            // The member is what the applicant says it is, so it has no count of its own.
            member: None,
            user: None,
            code: refusal.code,
        };
        if self.state().flood.heed(key, now) == Heed::Counted {
            return;
        }
        let mut batch = Batch::default();
        push_audit(
            &mut batch,
            &audit::Entry {
                member: refusal.member,
                code: Some(refusal.code),
                count: 1,
                ..audit::Entry::new(audit::Kind::JoinRefused)
            },
        );
        // A store that cannot take the entry changes nothing of the refusal.
        let _refused_either_way = self.commit(batch).await;
    }

    fn join_answer(&self, join: &Join, request: [u8; 32]) -> JoinAnswer {
        let mut state = self.state();
        let approved = join.record.state == JoinState::Approved;
        let own = state
            .members
            .get(&self.member())
            .map(|member| member.known().clone());
        let answer = JoinAnswer {
            state: join.record.state,
            mac: [0; 32],
            credential: join.record.credential.clone(),
            charter: state
                .network
                .as_ref()
                .filter(|_| approved)
                .and_then(|network| network.chain.version(0))
                .map(|genesis| genesis.envelope.clone()),
            peers: if approved {
                own.into_iter().collect()
            } else {
                Vec::new()
            },
            node_key: self.node_key(),
            later_charters: state
                .network
                .as_ref()
                .filter(|_| approved)
                .map(|network| network.chain.after(0).cloned().collect())
                .unwrap_or_default(),
            revocations: state
                .trust
                .revocations
                .envelope()
                .filter(|_| approved)
                .cloned(),
            heartbeat: state.trust.heartbeat().filter(|_| approved).cloned(),
        };
        if approved && let Some(join) = state.joins.get_mut(&join.record.ticket) {
            join.delivered = true;
        }
        let key = state
            .tickets
            .get(&join.record.ticket)
            .map_or_else(SecretKey::default, |ticket| ticket.key.clone());
        answer.proved(&key, &request)
    }
}

impl State {
    /// Whether an applicant is a member that was thrown out: by its id, or by the key it connects with.
    fn threw_out(&self, from: NodeKey, member: MemberId) -> bool {
        self.trust.revocations.names(&member)
            || matches!(self.refusal(from), SessionError::Revoked { .. })
    }

    /// Whether a request to join waits for a decision: it lapses with its ticket.
    pub(super) fn awaits(&self, join: &JoinRecord, now: Timestamp) -> bool {
        join.state == JoinState::Pending
            && self
                .tickets
                .get(&join.ticket)
                .is_some_and(|ticket| now < ticket.expiry)
    }
}
