//! One question and its answer over a session: what every sealed call has in common, both ends.

use bytes::Bytes;

use super::{
    node::{Node, push_audit},
    state::peer_of,
};
use crate::{
    audit::{self, FloodKey, Heed},
    crypto::{self, Envelope, OuterHeader, SealContext, SealingKey, SessionKeys, Signed},
    membership::{Member, Status},
    ports::{CallError, Rng, Rpc, Stage, World},
    records::Batch,
    session::{Authenticated, Outbound, Peer, SessionError},
    types::{MemberId, NodeKey, PeerCode, Span, Timestamp},
    wire::{self, Head, Message, Refused, Sealed},
};

/// How long a message lives; well under the limit, so that a slow link may use some of it.
const MESSAGE_LIFE: Span = Span::seconds(60);

/// Why a question brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("refused: {0}")]
    Refused(PeerCode),
    #[error("the answer does not hold")]
    Forged,
}

/// A question on its way: what the answer must name and be opened with.
pub(super) struct Asked {
    pub(super) peer: Peer,
    pub(super) question: [u8; 32],
    session: [u8; 16],
    challenge: Option<[u8; 16]>,
    keys: SessionKeys,
}

/// A question that was opened: from an active member, sealed to this node. Not yet admitted.
pub(super) struct Question {
    pub(super) peer: Peer,
    envelope: Envelope,
    header: OuterHeader,
    keys: SessionKeys,
}

impl<W: World> Node<W> {
    /// Asks a member and returns the verified answer with the hash of the question.
    ///
    /// A peer that has forgotten us (restart, another slot) says *stale*; then we say Hello and ask
    /// once more.
    pub(super) async fn ask<Q: Message, A: Message + Send>(
        &self,
        to: MemberId,
        rpc: Rpc,
        build: impl Fn(Head) -> Q + Send + Sync,
    ) -> Result<(A, [u8; 32]), AskError> {
        let mut outcome = Err(AskError::Call(CallError::Unreachable));
        let mut delivered = false;
        for _ in 0..2 {
            let (bytes, asked) = match self.question(to, &build).await {
                Ok(question) => question,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            };
            outcome = match self.world.call(asked.peer.node_key, rpc, bytes).await {
                Ok(bytes) => self
                    .open_answer(&asked, 0, &bytes)
                    .map(|answer| (answer.into_value(), asked.question)),
                Err(error) => Err(self.call_failed(&asked, error)),
            };
            if !matches!(outcome, Err(AskError::Refused(PeerCode::Stale))) {
                break;
            }
            delivered = true;
            self.forget_session(&asked);
        }
        match outcome {
            // The first try arrived, whatever became of the second.
            Err(AskError::Call(CallError::Unreachable)) if delivered => {
                Err(AskError::Call(CallError::Lost))
            }
            outcome => outcome,
        }
    }

    /// Seals a question to a member, saying Hello first where its challenge is not known or its key
    /// set has run out.
    pub(super) async fn question<Q: Message>(
        &self,
        to: MemberId,
        build: &(impl Fn(Head) -> Q + Send + Sync),
    ) -> Result<(Bytes, Asked), AskError> {
        let now = self.now();
        let known = {
            let state = self.state();
            let member = state.members.get(&to);
            state.challenges.contains_key(&to)
                && member.is_some_and(|member| member.key_set(now).is_some())
        };
        if !known {
            self.hello(to).await?;
        }
        let (peer, header, keys, head) = self.outbound(to)?;
        let (network, challenge) = (head.network, head.challenge);
        let envelope = self.identity().node.sign(&network, &build(head));
        let question = envelope.hash();
        let ciphertext = keys
            .seal_question(&header, &wire::encode_envelope(&envelope))
            .map_err(|_| AskError::Forged)?;
        let session = header.session;
        let bytes = wire::encode_sealed(&Sealed { header, ciphertext });
        Ok((
            bytes,
            Asked {
                peer,
                question,
                session,
                challenge,
                keys,
            },
        ))
    }

    /// Opens an answer: sealed in the question's session, signed by the member that was asked, made
    /// for us, naming the question.
    pub(super) fn open_answer<A: Message>(
        &self,
        asked: &Asked,
        part: u32,
        bytes: &[u8],
    ) -> Result<Signed<A>, AskError> {
        let sealed = wire::decode_sealed(bytes).map_err(|_| AskError::Forged)?;
        if sealed.header.session != asked.session {
            return Err(AskError::Forged);
        }
        let plain = asked
            .keys
            .open_answer(&sealed.header, part, &sealed.ciphertext)
            .map_err(|_| AskError::Forged)?;
        let envelope = wire::decode_envelope(&plain).map_err(|_| AskError::Forged)?;
        let network = self.network_id().ok_or(AskError::Forged)?;
        let signer = &asked.peer.node_key.0;
        let answer = envelope.verify_by::<A>(signer, &network);
        let refused = answer
            .is_err()
            .then(|| envelope.verify_by::<Refused>(signer, &network).ok())
            .flatten();
        if let Some(refused) = refused {
            self.check_answer(asked, &refused)?;
            return Err(AskError::Refused(refused.value().code));
        }
        let answer = answer.map_err(|_| AskError::Forged)?;
        self.check_answer(asked, &answer)?;
        Ok(answer)
    }

    fn check_answer<A: Message>(&self, asked: &Asked, answer: &Signed<A>) -> Result<(), AskError> {
        let head = answer.value().head();
        let right = head.key == asked.peer.node_key
            && head.member == asked.peer.member
            && head.audience == self.member()
            && head.answers == Some(asked.question);
        if !right {
            return Err(AskError::Forged);
        }
        let now = self.now();
        let mut state = self.state();
        if let Some(outbound) = state.outbound.get_mut(&asked.peer.member) {
            outbound.answered(asked.session);
        }
        if let Some(challenge) = head.next_challenge {
            state.challenges.insert(asked.peer.member, challenge);
        }
        state.members.saw(&asked.peer.member, now);
        Ok(())
    }

    pub(super) fn call_failed(&self, asked: &Asked, error: CallError) -> AskError {
        match error {
            CallError::Refused(code) => AskError::Refused(code),
            CallError::Unreachable | CallError::Lost => {
                // It may come back as another run, which knows neither session nor challenge.
                self.forget_session(asked);
                AskError::Call(error)
            }
            CallError::Incompatible => AskError::Call(error),
        }
    }

    /// Forgets what a question went by that was not answered, and nothing newer: another question may
    /// have said Hello in the meantime, and a third be under way with what that brought.
    pub(super) fn forget_session(&self, asked: &Asked) {
        let member = asked.peer.member;
        let mut state = self.state();
        if state
            .outbound
            .get(&member)
            .is_some_and(|outbound| outbound.is(asked.session))
        {
            state.outbound.remove(&member);
        }
        if state.challenges.get(&member).copied() == asked.challenge {
            state.challenges.remove(&member);
        }
    }

    fn outbound(&self, to: MemberId) -> Result<(Peer, OuterHeader, SessionKeys, Head), AskError> {
        let now = self.now();
        let nobody = AskError::Call(CallError::Unreachable);
        let (network, peer, key, usable) = {
            let state = self.state();
            let network = state.network.as_ref().ok_or(nobody)?.id;
            // Whoever was thrown out, or whose credential is over, is told nothing.
            let member = state
                .members
                .get(&to)
                .filter(|member| member.status(now) == Status::Active)
                .ok_or(nobody)?;
            let keys = member.key_set(now).map(|set| &set.keys);
            let key = keys.and_then(|keys| keys.first()).ok_or(nobody)?.clone();
            let outbound = state.outbound.get(&to);
            let usable = outbound.is_some_and(|outbound| outbound.usable(now));
            (network, peer_of(member), key, usable)
        };
        if !usable {
            // The encapsulation takes a quarter of a millisecond, so not under the mutex. Two questions
            // at once may both make one; the later stays.
            let context = SealContext {
                network,
                recipient: to,
                key_id: key.id,
            };
            let sealing = SealingKey::parse(&key.public).map_err(|_| AskError::Forged)?;
            let begun = crypto::begin_session(&mut Rng(&self.world), &sealing, &context);
            let outbound = Outbound::new(key.id, self.random(), begun, now);
            self.state().outbound.insert(to, outbound);
        }
        let mut state = self.state();
        let challenge = state.challenges.get(&to).copied();
        let next_challenge = Some(state.sessions.challenge_for(to, now));
        let Some(outbound) = state.outbound.get_mut(&to) else {
            return Err(AskError::Call(CallError::Unreachable));
        };
        let (header, keys) = outbound.take_counter();
        let head = Head {
            member: self.member(),
            key: self.node_key(),
            network,
            audience: to,
            challenge,
            sent_at: now,
            expiry: now.plus(MESSAGE_LIFE),
            answers: None,
            next_challenge,
        };
        Ok((peer, header, keys, head))
    }

    // ---------------------------------------------------------------- the other end

    /// Opens and admits a question. What is refused is recorded, and the error is what to answer: sealed
    /// where the message opened, a bare code where it did not.
    pub(super) async fn receive<T: Message>(
        &self,
        from: NodeKey,
        bytes: &[u8],
    ) -> Result<(Question, Authenticated<T>), Result<Bytes, PeerCode>> {
        let question = match self.open_question(from, bytes).await {
            Ok(question) => question,
            Err(error) => return Err(Err(self.refused(from, error).await)),
        };
        match self.admit::<T>(&question) {
            Ok(request) => Ok((question, request)),
            Err(error) => {
                let code = self.refused(from, error).await;
                Err(Ok(self.refuse(&question, 0, code)))
            }
        }
    }

    /// Opens a question: the connection's key must be an active member's before any parsing or
    /// decapsulation is done for it.
    async fn open_question(&self, from: NodeKey, bytes: &[u8]) -> Result<Question, SessionError> {
        let _step = self.world.step(Stage::Wire);
        let now = self.now();
        let (peer, network) = {
            let state = self.state();
            let network = state.network.as_ref().map(|network| network.id);
            state
                .peer(from, now)
                .zip(network)
                .ok_or(state.refusal(from))?
        };
        let malformed = SessionError::Malformed { node: from };
        let sealed = wire::decode_sealed(bytes).map_err(|_| malformed)?;
        let header = sealed.header;
        let known = self.state().sessions.keys(from, header.session, now);
        let (keys, new) = match known {
            Some(keys) => (keys, false),
            None => (self.accept(from, &header, network).await?, true),
        };
        let plain = keys
            .open_question(&header, &sealed.ciphertext)
            .map_err(|_| SessionError::Seal { node: from })?;
        let envelope = wire::decode_envelope(&plain).map_err(|_| malformed)?;
        {
            let mut state = self.state();
            if new {
                // Only what opened may take one of the peer's few places.
                state
                    .sessions
                    .begin(from, header.session, keys.clone(), now);
            }
            state
                .sessions
                .take_counter(&peer, header.session, header.counter)?;
        }
        Ok(Question {
            peer,
            envelope,
            header,
            keys,
        })
    }

    async fn accept(
        &self,
        from: NodeKey,
        header: &OuterHeader,
        network: crate::types::NetworkId,
    ) -> Result<SessionKeys, SessionError> {
        let stale = SessionError::Stale { node: from };
        let may_begin = self
            .state()
            .sessions
            .may_begin(from, header.session, self.now());
        if header.enc.is_empty() || !may_begin {
            return Err(stale);
        }
        let opening = self
            .state()
            .opening
            .iter()
            .find(|key| key.id() == header.key_id)
            .cloned()
            .ok_or(stale)?;
        let context = SealContext {
            network,
            recipient: self.member(),
            key_id: header.key_id,
        };
        let enc = header.enc.clone();
        self.world
            .run(move || crypto::accept_session(&opening, &enc, &context))
            .await
            .map_err(|_| SessionError::Seal { node: from })
    }

    /// Admits an opened question as a message of one type.
    fn admit<T: Message>(&self, question: &Question) -> Result<Authenticated<T>, SessionError> {
        let _step = self.world.step(Stage::Session);
        let node = question.peer.node_key;
        let now = self.now();
        let mut state = self.state();
        let Some(network) = state.network.as_ref().map(|network| network.id) else {
            return Err(SessionError::NotMember { node });
        };
        // The peer may have been expelled or expired since its question was opened.
        let still = state
            .members
            .by_node_key(&node)
            .is_some_and(|member| member.status(now) == Status::Active);
        if !still {
            return Err(state.refusal(node));
        }
        let message = question
            .envelope
            .verify_by::<T>(&node.0, &network)
            .map_err(|error| match error {
                crypto::SignatureError::Malformed(_)
                | crypto::SignatureError::NotCanonical { .. } => SessionError::Malformed { node },
                _ => SessionError::Signature { node },
            })?;
        let window = state.clock_window();
        state.members.saw(&question.peer.member, now);
        state
            .sessions
            .admit(now, window, &network, question.peer.clone(), message)
    }

    /// Seals an answer to a question.
    pub(super) fn answer<A: Message>(
        &self,
        question: &Question,
        part: u32,
        build: impl FnOnce(Head) -> A,
    ) -> Bytes {
        let head = self.answer_head(question.peer.member, question.envelope.hash());
        let envelope = self
            .identity()
            .node
            .sign(&head.network.clone(), &build(head));
        let header = OuterHeader {
            enc: Bytes::new(),
            ..question.header.clone()
        };
        let ciphertext = question
            .keys
            .seal_answer(&header, part, &wire::encode_envelope(&envelope))
            .expect("the question opened under this very suite");
        wire::encode_sealed(&Sealed { header, ciphertext })
    }

    /// A sealed refusal: the same size whatever the code.
    pub(super) fn refuse(&self, question: &Question, part: u32, code: PeerCode) -> Bytes {
        let now = self.now();
        self.answer(question, part, |head| Refused { head, code, now })
    }

    pub(super) fn answer_head(&self, to: MemberId, question: [u8; 32]) -> Head {
        let now = self.now();
        let state = self.state();
        Head {
            member: self.member(),
            key: self.node_key(),
            network: state
                .network
                .as_ref()
                .map_or(crate::types::NetworkId([0; 32]), |network| network.id),
            audience: to,
            challenge: None,
            sent_at: now,
            expiry: now.plus(MESSAGE_LIFE),
            answers: Some(question),
            next_challenge: Some(state.sessions.challenge_for(to, now)),
        }
    }

    /// Records that a peer's message was refused, within what one peer may make us write, and
    /// returns what it is told. A store that cannot record it changes nothing of the refusal.
    pub(super) async fn refused(&self, from: NodeKey, error: SessionError) -> PeerCode {
        let code = error.code();
        let now = self.now();
        let member = {
            let state = self.state();
            state.members.by_node_key(&from).map(Member::id)
        };
        let heed = self.state().flood.heed(
            FloodKey {
                // All who are no members share one count: they can make as many keys as they like.
                member,
                user: None,
                code,
            },
            now,
        );
        if heed == Heed::Whole {
            let mut batch = Batch::default();
            push_audit(
                &mut batch,
                &audit::Entry {
                    member,
                    code: Some(code),
                    count: 1,
                    ..audit::Entry::new(audit::Kind::RefusedMessage)
                },
            );
            // A store that cannot take the entry changes nothing of the refusal.
            let _refused_either_way = self.commit(batch).await;
        }
        error.peer_code()
    }
}

/// Milliseconds from one time to another, as the ledger shows them.
pub(super) fn elapsed(from: Timestamp, to: Timestamp) -> Span {
    to.since(from)
}
