//! The inviter's side: what an applicant with a ticket is told.

use bytes::Bytes;

use super::{
    node::{Node, push_audit},
    state::{Join, State},
};
use crate::{
    audit::{self, FloodKey, Heed},
    crypto::{Envelope, SecretKey, SignatureError},
    membership::{self, JoinAnswer, JoinError, JoinRecord, JoinRequest, JoinState},
    ports::World,
    records::{Batch, RecordKind, Scope},
    types::{Code, MemberId, NodeKey, PeerCode, Timestamp, limits::JOIN_REQUESTS_MAX},
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
            &self.identity.node.sign(&network, &answer),
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
            JoinError::Signature(SignatureError::Malformed(_)) => refused(Code::MessageMalformed),
            _ => refused(Code::TicketRefused),
        })?;
        if request.value().node_key != from {
            return Err(refused(Code::TicketRefused));
        }
        // Two applicants with one ticket must not both find it unused.
        let _registration = self.registration().await;
        let (before, waiting) = {
            let state = self.state();
            let waiting = state.joins.values();
            let waiting = waiting.filter(|join| state.awaits(&join.record, now));
            (state.joins.get(&claimed.ticket).cloned(), waiting.count())
        };
        if let Some(before) = before {
            let first = before.record.request.claims::<JoinRequest>();
            let same =
                first.is_ok_and(|first| first.node_key == from && first.member == claimed.member);
            let lapsed = before.record.state == JoinState::Pending && now >= ticket.expiry;
            return match (same, lapsed) {
                (false, _) => Err(refused(Code::TicketUsed)),
                (true, true) => Err(refused(Code::TicketExpired)),
                (true, false) => Ok(before),
            };
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
        };
        let mut batch = Batch::default();
        batch.push(RecordKind::Join, Scope::Store, wire::encode_join(&record));
        // The ticket is marked used before it is answered.
        self.commit(batch)
            .await
            .map_err(|_| refused(Code::StorageFailed))?;
        Ok(Join {
            record,
            received: now,
            delivered: false,
        })
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
    /// Whether a request to join waits for a decision: it lapses with its ticket.
    pub(super) fn awaits(&self, join: &JoinRecord, now: Timestamp) -> bool {
        join.state == JoinState::Pending
            && self
                .tickets
                .get(&join.ticket)
                .is_some_and(|ticket| now < ticket.expiry)
    }
}
