//! The first call both ways: who are you, by which keys, and what must my next message carry?

use bytes::Bytes;

use super::{call::AskError, error::FlowError, node::Node, state::addresses_of};
use crate::{
    crypto::{Envelope, Signed},
    membership::{self, Known, Offered},
    ports::{CallError, Rpc, World},
    records::{Batch, RecordKind, Scope},
    session::{Peer, SessionError, check_head},
    types::{MemberId, NodeKey, PeerCode, Span},
    wire::{self, Head, Hello},
};

/// Protocol version that this node speaks.
const VERSION: u32 = 1;
const HELLO_LIFE: Span = Span::seconds(60);

impl<W: World> Node<W> {
    /// Says Hello to a member and takes its keys and challenge from the answer.
    pub(super) async fn hello(&self, to: MemberId) -> Result<(), AskError> {
        let node = self
            .state()
            .members
            .get(&to)
            .map(|member| member.node_key())
            .ok_or(AskError::Call(CallError::Unreachable))?;
        let member = self.hello_node(node).await?;
        if member == to {
            Ok(())
        } else {
            Err(AskError::Forged)
        }
    }

    /// Says Hello to whoever holds a node key, member known or not.
    pub(super) async fn hello_node(&self, node: NodeKey) -> Result<MemberId, AskError> {
        let hello = self
            .own_hello(MemberId([0; 16]), None)
            .ok_or(AskError::Call(CallError::Unreachable))?;
        let question = hello.hash();
        let answer = self
            .world
            .call(node, Rpc::Hello, wire::encode_envelope(&hello))
            .await
            .map_err(|error| match error {
                CallError::Refused(code) => AskError::Refused(code),
                CallError::Unreachable | CallError::Lost | CallError::Incompatible => {
                    AskError::Call(error)
                }
            })?;
        let envelope = wire::decode_envelope(&answer).map_err(|_| AskError::Forged)?;
        let (peer, hello) =
            self.believe_hello(node, &envelope)
                .await
                .map_err(|error| match error {
                    SessionError::ClockSkew { .. } => AskError::Refused(PeerCode::ClockSkew),
                    _ => AskError::Forged,
                })?;
        let head = &hello.value().head;
        if head.answers != Some(question) || head.audience != self.member() {
            return Err(AskError::Forged);
        }
        Ok(peer.member)
    }

    /// Answers a Hello with ours.
    ///
    /// # Errors
    /// What the peer is told.
    pub async fn serve_hello(&self, from: NodeKey, body: &[u8]) -> Result<Bytes, PeerCode> {
        let Ok(envelope) = wire::decode_envelope(body) else {
            return Err(self
                .refused(from, SessionError::Malformed { node: from })
                .await);
        };
        let peer = match self.believe_hello(from, &envelope).await {
            Ok((peer, _)) => peer,
            Err(error) => return Err(self.refused(from, error).await),
        };
        let answer = self
            .own_hello(peer.member, Some(envelope.hash()))
            .ok_or(PeerCode::Unavailable)?;
        Ok(wire::encode_envelope(&answer))
    }

    fn own_hello(&self, to: MemberId, answers: Option<[u8; 32]>) -> Option<Envelope> {
        let now = self.now();
        let state = self.state();
        let network = state.network.as_ref()?;
        let credential = state
            .members
            .get(&self.member())?
            .known()
            .credential
            .clone();
        let head = Head {
            member: self.member(),
            key: self.node_key(),
            network: network.id,
            audience: to,
            challenge: None,
            sent_at: now,
            expiry: now.plus(HELLO_LIFE),
            answers,
            next_challenge: answers.map(|_| state.sessions.challenge_for(to, now)),
        };
        let hello = Hello {
            head,
            version: VERSION,
            credential,
            key_set: state.key_set.clone()?,
            charter_version: network.charter.version,
            charter_hash: network.envelope.hash(),
            revocations: 0,
            node_record: state.node_record.clone(),
        };
        Some(self.identity.node.sign(&network.id, &hello))
    }

    /// Checks a Hello and takes over what it proves: the member, its keys, its challenge for us.
    ///
    /// A Hello is not bound to a challenge of ours, so a replay of one can only repeat statements
    /// that are signed and carry rising sequences, and a challenge that its sender then refuses.
    async fn believe_hello(
        &self,
        from: NodeKey,
        envelope: &Envelope,
    ) -> Result<(Peer, Signed<Hello>), SessionError> {
        let node = from;
        let now = self.now();
        let (known, hello, peer) = {
            let state = self.state();
            let network = state
                .network
                .as_ref()
                .ok_or(SessionError::NotMember { node })?;
            let hello = envelope
                .verify::<Hello>(&network.id)
                .map_err(|_| SessionError::Signature { node })?;
            if hello.signers() != [from.0] || hello.value().version != VERSION {
                return Err(SessionError::Signature { node });
            }
            let value = hello.value();
            let credential = membership::verify_credential(
                &value.credential,
                &network.id,
                &network.charter,
                now,
            )
            .map_err(|_| SessionError::NotMember { node })?;
            if credential.node_key != from {
                return Err(SessionError::NotMember { node });
            }
            let peer = Peer {
                member: credential.member,
                node_key: from,
                organization: credential.organization.clone(),
            };
            check_head(
                &value.head,
                now,
                network.charter.rules.clock_window,
                &network.id,
                &peer,
            )?;
            let to_us = value.head.audience == self.member() || value.head.audience.0 == [0; 16];
            if !to_us {
                return Err(SessionError::Audience {
                    member: peer.member,
                });
            }
            let known = Known {
                credential: value.credential.clone(),
                key_set: Some(value.key_set.clone()),
                node_record: value.node_record.clone(),
            };
            (known, hello, peer)
        };
        self.take_over(&known)
            .await
            .map_err(|_| SessionError::NotMember { node })?;
        let mut state = self.state();
        if let Some(challenge) = hello.value().head.next_challenge {
            state.challenges.insert(peer.member, challenge);
        }
        state.members.saw(&peer.member, now);
        Ok((peer, hello))
    }

    /// Takes over what is known of a member, where it holds and is newer. Written to the journal
    /// where a restart should remember it: a new credential or new addresses.
    ///
    /// # Errors
    /// [`FlowError::Membership`] or [`FlowError::Store`].
    pub(super) async fn take_over(&self, known: &Known) -> Result<Offered, FlowError> {
        let now = self.now();
        let (offered, after, remember, peer) = {
            let mut state = self.state();
            let Some(network) = state.network.clone() else {
                return Ok(Offered::Older);
            };
            let (offered, after) =
                state
                    .members
                    .consider(known, &network.id, &network.charter, now)?;
            let claimed = after.credential.claims::<membership::Credential>().ok();
            let describe =
                |member: &membership::Member| (member.credential().sequence, addresses_of(member));
            let id = claimed.map(|credential| credential.member);
            let before = id.and_then(|id| state.members.get(&id)).map(describe);
            // Key sets change with every start of a peer, so they are kept in memory only.
            state
                .members
                .restore(&after, &network.id, &network.charter)?;
            let member = id.and_then(|id| state.members.get(&id));
            let peer = member.map(|member| (member.node_key(), addresses_of(member)));
            (offered, after, before != member.map(describe), peer)
        };
        if let Some((node, addresses)) = peer
            && node != self.node_key()
        {
            self.world.learn(node, &addresses);
        }
        if remember {
            let mut batch = Batch::default();
            batch.push(
                RecordKind::Member,
                Scope::Store,
                wire::encode_member(&after),
            );
            self.commit(batch).await?;
        }
        Ok(offered)
    }
}
