//! Who was thrown out, and since when that is known to be all: exchanged on connect, every minute, and
//! at once when it changes (`protocol.md` 1).

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{
    call::AskError,
    error::FlowError,
    news::{Audience, Exchanged},
    node::{Node, push_audit},
    state::{Network, State},
};
use crate::{
    audit::{self, FloodKey, Heed},
    crypto::Envelope,
    membership::{HeartbeatError, HeartbeatOffered, ListOffered, RevocationError, Status, Trust},
    ports::{Rpc, World},
    records::{Batch, RecordKind, Scope},
    types::{Code, MemberId, NodeKey, PeerCode, Span, Timestamp, limits::CALL_TIME_MAX},
    wire::{self, Head, TrustAnswer, TrustRequest},
};

/// Revocations of one list that get an audit entry each; more share one.
const ENTRIES_MAX: usize = 64;

/// How fresh this node's trust is, as an administrator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustView {
    /// Whether nothing may be disclosed.
    pub stale: bool,
    /// When the newest known list was last known to be the newest.
    pub confirmed: Timestamp,
    /// How long ago.
    pub age: Span,
    /// How long ago it may be.
    pub max_age: Span,
    /// Version of the list; 0 for none.
    pub version: u64,
    /// How many were thrown out.
    pub revoked: usize,
    /// Two lists contradict each other.
    pub conflict: bool,
    /// This node itself was thrown out.
    pub own: bool,
}

/// What was offered, once it was judged.
struct Judged {
    list: Option<ListOffered>,
    beats: bool,
    newly: BTreeSet<MemberId>,
}

/// Why what was offered does not hold, as the log has it.
pub(super) struct Lie(Code);

impl From<RevocationError> for Lie {
    fn from(error: RevocationError) -> Self {
        Self(match error {
            RevocationError::Signature(_) | RevocationError::Quorum(_) => Code::Signature,
            RevocationError::Network => Code::WrongRecipient,
            RevocationError::NotYet { .. } => Code::ClockSkew,
            RevocationError::Version { .. }
            | RevocationError::Order
            | RevocationError::Count { .. } => Code::MessageMalformed,
        })
    }
}

impl From<HeartbeatError> for Lie {
    fn from(error: HeartbeatError) -> Self {
        Self(match error {
            HeartbeatError::Signature(_) | HeartbeatError::Quorum { .. } => Code::Signature,
            HeartbeatError::Network => Code::WrongRecipient,
            HeartbeatError::NotYet { .. } => Code::ClockSkew,
            HeartbeatError::List { .. } => Code::Stale,
        })
    }
}

impl<W: World> Node<W> {
    /// Takes over what a member knows of who was revoked, where it holds and is newer.
    ///
    /// # Errors
    /// What the member said, or `UNAVAILABLE` where it said nothing that holds.
    pub async fn exchange_trust(&self, with: MemberId) -> Result<Exchanged, PeerCode> {
        let asking = self.ask::<_, TrustAnswer>(with, Rpc::Trust, |head| self.trust_request(head));
        let answer = match self.until(self.now().plus(CALL_TIME_MAX), asking).await {
            Some(Ok((answer, _))) => answer,
            Some(Err(AskError::Refused(code))) => return Err(code),
            Some(Err(AskError::Call(_) | AskError::Forged)) | None => {
                return Err(PeerCode::Unavailable);
            }
        };
        let (list, heartbeat) = (answer.revocations.as_ref(), answer.heartbeat.as_ref());
        if list.is_some() || heartbeat.is_some() {
            self.take_trust(with, list, heartbeat)
                .await
                .map_err(|_| PeerCode::Unavailable)?;
        }
        let alike = self.state().members_mark(self.now()) == answer.members;
        Ok(if alike {
            Exchanged::Alike
        } else {
            Exchanged::Unlike
        })
    }

    pub(super) fn trust_request(&self, head: Head) -> TrustRequest {
        let now = self.now();
        let state = self.state();
        TrustRequest {
            head,
            list: state.trust.revocations.head(),
            heartbeat_at: state.trust.beat_at(),
            members: state.members_mark(now),
            tell: false,
            beat: None,
        }
    }

    pub(super) async fn serve_trust(&self, from: NodeKey, body: &[u8]) -> Result<Bytes, PeerCode> {
        let (question, request) = match self.receive::<TrustRequest>(from, body).await {
            Ok(received) => received,
            Err(answer) => return answer,
        };
        let theirs = request.body();
        let now = self.now();
        let (list, heartbeat_at, members, revocations, heartbeat) = {
            let mut state = self.state();
            if theirs.tell && state.lacks(theirs, now) {
                state.news.heard_of(request.peer().member);
            }
            let trust = &state.trust;
            let (own, held) = (trust.revocations.head(), theirs.list);
            let newer = own.is_some_and(|own| {
                held.is_none_or(|held| {
                    held.version < own.version
                        || held.version == own.version && held.hash != own.hash
                })
            });
            let list = trust.revocations.envelope().filter(|_| newer).cloned();
            let beats = trust.beat_at() > theirs.heartbeat_at;
            let heartbeat = trust.heartbeat().filter(|_| beats).cloned();
            let members = state.members_mark(now);
            (own, trust.beat_at(), members, list, heartbeat)
        };
        let beat = theirs.beat.as_ref().and_then(|beat| self.cobeat(beat));
        Ok(self.answer(&question, 0, |head| TrustAnswer {
            head,
            list,
            heartbeat_at,
            members,
            revocations,
            heartbeat,
            beat,
        }))
    }

    /// Takes over a list and a heartbeat that a member gave, where they hold and are newer. What does
    /// not hold is recorded, and changes nothing.
    async fn take_trust(
        &self,
        from: MemberId,
        list: Option<&Envelope>,
        heartbeat: Option<&Envelope>,
    ) -> Result<(), FlowError> {
        let registration = self.registration().await;
        let network = self.network()?;
        let now = self.now();
        let trust = self.state().trust.clone();
        let offered = (list.cloned(), heartbeat.cloned());
        let judged = {
            let network = network.clone();
            self.world
                .run(move || {
                    judge(
                        trust,
                        (offered.0.as_ref(), offered.1.as_ref()),
                        &network,
                        now,
                    )
                })
                .await
        };
        let judged = match judged {
            Ok(judged) => judged,
            Err(Lie(code)) => {
                self.record_lie(from, code).await;
                return Err(FlowError::State { code });
            }
        };
        let mut batch = Batch::within(&registration);
        let takes = matches!(
            judged.list,
            Some(ListOffered::Newer | ListOffered::Fork | ListOffered::Rival)
        );
        if let Some(list) = list.filter(|_| takes) {
            push_list(&mut batch, list);
            push_revoked(&mut batch, &judged.newly);
        }
        if matches!(judged.list, Some(ListOffered::Fork | ListOffered::Rival)) {
            push_audit(
                &mut batch,
                &audit::Entry {
                    member: Some(from),
                    code: Some(Code::TrustConflict),
                    ..audit::Entry::new(audit::Kind::TrustConflict)
                },
            );
        }
        if let Some(heartbeat) = heartbeat.filter(|_| judged.beats) {
            push_heartbeat(&mut batch, heartbeat);
        }
        if batch.drafts.is_empty() {
            return Ok(());
        }
        self.commit(batch).await?;
        for member in &judged.newly {
            self.expel(*member);
        }
        self.state().news.tell(Audience::Few);
        Ok(())
    }

    /// Ends everything with a member that was thrown out; its next request is refused in any case.
    pub(super) fn expel(&self, member: MemberId) {
        let node = self.state().end_sessions(member);
        if let Some(node) = node.filter(|node| *node != self.node_key()) {
            self.world.forget(node);
        }
    }

    /// A member offered what does not hold: recorded, within what one member may make us write.
    async fn record_lie(&self, member: MemberId, code: Code) {
        let key = FloodKey {
            member: Some(member),
            user: None,
            code,
        };
        if self.state().flood.heed(key, self.now()) == Heed::Counted {
            return;
        }
        let mut batch = Batch::default();
        push_audit(
            &mut batch,
            &audit::Entry {
                member: Some(member),
                code: Some(code),
                count: 1,
                ..audit::Entry::new(audit::Kind::RefusedMessage)
            },
        );
        // A store that cannot take the entry changes nothing of the refusal.
        let _refused_either_way = self.commit(batch).await;
    }

    /// How fresh this node's trust is; none without a network.
    pub fn trust(&self) -> Option<TrustView> {
        let now = self.now();
        let state = self.state();
        let chain = &state.network.as_ref()?.chain;
        let trust = &state.trust;
        Some(TrustView {
            stale: trust.is_stale(chain, now),
            confirmed: trust.confirmed(chain, now),
            age: trust.age(chain, now),
            max_age: chain.in_force().charter.rules.max_staleness,
            version: trust.revocations.head().map_or(0, |head| head.version),
            revoked: trust.revocations.members().len(),
            conflict: trust.revocations.rival().is_some(),
            own: trust.revocations.names(&self.member()),
        })
    }
}

impl State {
    /// Destroys the keys of all sessions with a member; whatever else is held of it serves nobody any
    /// more. Returns its node key.
    fn end_sessions(&mut self, member: MemberId) -> Option<NodeKey> {
        let node = self.members.get(&member).map(|known| known.node_key());
        self.outbound.remove(&member);
        if let Some(node) = node {
            self.sessions.end(&node);
        }
        node
    }

    /// A number that changes with what is known of the active members. It is a hint and no proof.
    fn members_mark(&self, now: Timestamp) -> u64 {
        self.members
            .iter()
            .filter(|member| member.status(now) == Status::Active)
            .map(|member| {
                let record = member.node_record().map_or(0, |record| record.sequence);
                // Apart, so that one that rises does not hide one that falls.
                let credential = member
                    .credential()
                    .sequence
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15);
                credential.wrapping_add(record)
            })
            .fold(0, u64::wrapping_add)
    }

    /// Whether a member may know something that this node does not.
    fn lacks(&self, theirs: &TrustRequest, now: Timestamp) -> bool {
        let own = self.trust.revocations.head();
        let list = match (theirs.list, own) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(theirs), Some(own)) => {
                theirs.version > own.version
                    || theirs.version == own.version && theirs.hash != own.hash
            }
        };
        list || theirs.heartbeat_at > self.trust.beat_at()
            || theirs.members != self.members_mark(now)
    }
}

/// Judges a list and then a heartbeat about it.
fn judge(
    mut trust: Trust,
    offered: (Option<&Envelope>, Option<&Envelope>),
    network: &Network,
    now: Timestamp,
) -> Result<Judged, Lie> {
    let (id, chain) = (&network.id, &*network.chain);
    let before = trust.revocations.members().clone();
    let list = match offered.0 {
        Some(list) => {
            let verdict = trust.revocations.consider(list, id, chain, now)?;
            trust.revocations.restore(list, id, chain)?;
            Some(verdict)
        }
        None => None,
    };
    let beats = match offered.1 {
        Some(heartbeat) => match trust.consider(heartbeat, id, chain, now) {
            Ok(HeartbeatOffered::Newer) => true,
            Ok(HeartbeatOffered::Older) => false,
            // What is said of another list than ours is of no use, and no lie: both may have changed
            // between question and answer.
            Err(HeartbeatError::List { .. }) => false,
            Err(error) => return Err(error.into()),
        },
        None => false,
    };
    let after = trust.revocations.members();
    Ok(Judged {
        list,
        beats,
        newly: after.difference(&before).copied().collect(),
    })
}

/// What an inviter brings a newcomer of list and heartbeat, as records: what does not hold refuses the
/// whole approval, so that nobody begins by trusting a member that was thrown out.
pub(super) fn push_brought(
    batch: &mut Batch,
    network: &Network,
    brought: (Option<&Envelope>, Option<&Envelope>),
    now: Timestamp,
) -> Result<(), Lie> {
    let (list, heartbeat) = brought;
    judge(Trust::default(), (list, None), network, now)?;
    if let Some(list) = list {
        push_list(batch, list);
    }
    // A heartbeat of keys that have gone says nothing; the next exchange brings a better one.
    let judged = judge(Trust::default(), brought, network, now);
    if let Some(heartbeat) = heartbeat.filter(|_| judged.is_ok_and(|judged| judged.beats)) {
        push_heartbeat(batch, heartbeat);
    }
    Ok(())
}

pub(super) fn push_list(batch: &mut Batch, list: &Envelope) {
    batch.push(
        RecordKind::Revocations,
        Scope::Store,
        wire::encode_revocations(list),
    );
}

pub(super) fn push_heartbeat(batch: &mut Batch, heartbeat: &Envelope) {
    batch.push(
        RecordKind::Heartbeat,
        Scope::Store,
        wire::encode_heartbeat(heartbeat),
    );
}

/// One entry for each that was thrown out, and one for those beyond.
pub(super) fn push_revoked(batch: &mut Batch, newly: &BTreeSet<MemberId>) {
    for member in newly.iter().take(ENTRIES_MAX) {
        push_audit(
            batch,
            &audit::Entry {
                member: Some(*member),
                ..audit::Entry::new(audit::Kind::MemberRevoked)
            },
        );
    }
    if let Some(rest) = newly
        .len()
        .checked_sub(ENTRIES_MAX)
        .filter(|rest| *rest > 0)
    {
        push_audit(
            batch,
            &audit::Entry {
                count: rest as u64,
                ..audit::Entry::new(audit::Kind::MemberRevoked)
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::{
        crypto::{OpeningKey, SealContext, SealingKey, SecretKey, begin_session},
        flows::Fold,
        membership::fixture,
        session::Outbound,
    };

    #[test]
    fn of_a_member_that_is_thrown_out_no_session_key_is_kept_and_of_others_all() {
        let network = fixture::Network::new();
        let fold = Fold::new(MemberId([9; 16]), SecretKey::default());
        let mut state = fold.lock();
        let opening = OpeningKey::from_bytes(&SecretKey::new([1; 32]));
        let context = SealContext {
            network: network.id,
            recipient: MemberId([9; 16]),
            key_id: opening.id(),
        };
        let sealing = SealingKey::parse(&opening.public()).unwrap();
        let mut dice = ChaCha20Rng::seed_from_u64(1);
        let now = fixture::NOW;
        let members = [1, 2].map(|number| {
            let (known, subject) = (network.known(number), fixture::subject(number));
            let restored = state.members.restore(&known, &network.id, &network.chain);
            assert!(restored.is_ok());
            let begun = begin_session(&mut dice, &sealing, &context);
            let node = subject.node_key;
            state.sessions.begin(node, [7; 16], begun.1.clone(), now);
            let outbound = Outbound::new(opening.id(), [7; 16], begun, now);
            state.outbound.insert(subject.member, outbound);
            subject
        });

        let ended = state.end_sessions(members[0].member);

        assert_eq!(ended, Some(members[0].node_key));
        for (subject, kept) in members.into_iter().zip([false, true]) {
            let inbound = state.sessions.keys(subject.node_key, [7; 16], now);
            assert_eq!(inbound.is_some(), kept);
            assert_eq!(state.outbound.contains_key(&subject.member), kept);
        }
    }

    #[test]
    fn entries_max_that_were_thrown_out_at_once_are_named_and_the_rest_counted() {
        for (thrown_out, entries, rest) in [
            (1, 1, None),
            (ENTRIES_MAX, ENTRIES_MAX, None),
            (ENTRIES_MAX + 3, ENTRIES_MAX + 1, Some(3)),
        ] {
            let members = (0..thrown_out as u8).map(|number| MemberId([number; 16]));
            let mut batch = Batch::default();

            push_revoked(&mut batch, &members.collect());

            assert_eq!(batch.drafts.len(), entries);
            let last = wire::decode_audit(&batch.drafts[entries - 1].body).unwrap();
            let last = audit::Entry::from_fields(last).unwrap();
            assert_eq!(last.member.is_none(), rest.is_some());
            assert_eq!(last.count, rest.unwrap_or(0));
        }
    }
}
