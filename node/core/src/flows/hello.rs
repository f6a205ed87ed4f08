//! The first call both ways: who are you, by which keys, and what must my next message carry?

mod twin;

use bytes::Bytes;

use super::{
    call::AskError,
    error::FlowError,
    node::Node,
    state::{MemberWrite, Network, State, addresses_of},
};
use crate::{
    crypto::{Envelope, Signed},
    membership::{self, Credential, Known, Member, MembershipError, Offered, Status},
    ports::{CallError, Rpc, World},
    records::{Batch, Matter, RecordKind, Scope},
    session::{Peer, SessionError, check_head},
    types::{
        Code, MemberId, NodeKey, PeerCode, Span, Timestamp,
        limits::{CALL_TIME_MAX, MEMBER_WRITTEN_EVERY},
    },
    wire::{self, Head, Hello},
};

/// Protocol version that this node speaks.
const VERSION: u32 = 1;
const HELLO_LIFE: Span = Span::seconds(60);

/// Why a Hello is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum HelloError {
    /// Something in it does not hold.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What it proves cannot be remembered.
    #[error("what a Hello proves cannot be stored")]
    Store,
}

impl<W: World> Node<W> {
    /// Says Hello to a member and takes its keys and challenge from the answer.
    pub(super) async fn hello(&self, to: MemberId) -> Result<(), AskError> {
        let node = self
            .state()
            .members
            .get(&to)
            .filter(|member| member.status(self.now()) == Status::Active)
            .map(|member| member.node_key())
            .ok_or(AskError::Call(CallError::Unreachable))?;
        let member = self.hello_node(node).await?;
        if member == to {
            Ok(())
        } else {
            Err(AskError::Forged)
        }
    }

    /// Says Hello to whoever holds a node key, member known or not. One that is silent for
    /// [`CALL_TIME_MAX`] is as one that cannot be reached.
    pub(super) async fn hello_node(&self, node: NodeKey) -> Result<MemberId, AskError> {
        let hello = self
            .own_hello(MemberId([0; 16]), None)
            .ok_or(AskError::Call(CallError::Unreachable))?;
        let question = hello.hash();
        let calling = self
            .world
            .call(node, Rpc::Hello, wire::encode_envelope(&hello));
        let answer = self
            .until(self.now().plus(CALL_TIME_MAX), calling)
            .await
            .unwrap_or(Err(CallError::Unreachable))
            .map_err(|error| match error {
                CallError::Refused(code) => AskError::Refused(code),
                CallError::Unreachable | CallError::Lost | CallError::Incompatible => {
                    AskError::Call(error)
                }
            });
        if answer == Err(AskError::Refused(PeerCode::Superseded)) {
            self.told_superseded(node).await;
        }
        let answer = answer?;
        let envelope = wire::decode_envelope(&answer).map_err(|_| AskError::Forged)?;
        let (peer, hello) = match self.believe_hello(node, &envelope).await {
            Ok(believed) => believed,
            Err(HelloError::Session(SessionError::ClockSkew { .. })) => {
                return Err(AskError::Refused(PeerCode::ClockSkew));
            }
            Err(HelloError::Session(error @ SessionError::Superseded { .. })) => {
                return Err(AskError::Refused(self.refused(node, error).await));
            }
            Err(HelloError::Session(_)) => return Err(AskError::Forged),
            Err(HelloError::Store) => return Err(AskError::Refused(PeerCode::Unavailable)),
        };
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
            Err(HelloError::Session(error)) => return Err(self.refused(from, error).await),
            Err(HelloError::Store) => return Err(PeerCode::Unavailable),
        };
        let answer = self
            .own_hello(peer.member, Some(envelope.hash()))
            .ok_or(PeerCode::Unavailable)?;
        Ok(wire::encode_envelope(&answer))
    }

    /// The head of a message that is signed and not sealed.
    pub(super) fn hello_head(&self, to: MemberId, answers: Option<[u8; 32]>) -> Option<Head> {
        let now = self.now();
        let state = self.state();
        Some(Head {
            member: self.member(),
            key: self.node_key(),
            network: state.network.as_ref()?.id,
            audience: to,
            challenge: None,
            sent_at: now,
            expiry: now.plus(HELLO_LIFE),
            answers,
            next_challenge: answers.map(|_| state.sessions.challenge_for(to, now)),
        })
    }

    fn own_hello(&self, to: MemberId, answers: Option<[u8; 32]>) -> Option<Envelope> {
        let head = self.hello_head(to, answers)?;
        let state = self.state();
        let network = state.network.as_ref()?;
        let credential = state
            .members
            .get(&self.member())?
            .known()
            .credential
            .clone();
        let hello = Hello {
            head,
            version: VERSION,
            credential,
            key_set: state.key_set.clone()?,
            charter_version: network.charter.version,
            charter_hash: network.envelope.hash(),
            revocations: state
                .trust
                .revocations
                .head()
                .map_or(0, |head| head.version),
            node_record: state.node_record.clone(),
        };
        Some(self.identity().node.sign(&network.id, &hello))
    }

    /// Checks a Hello and takes over what it proves: the member, its keys, its challenge for us.
    ///
    /// A Hello is not bound to a challenge of ours, so a replay of one can only repeat statements
    /// that are signed and carry rising sequences, and a challenge that its sender then refuses.
    /// Anybody who can connect may send one, so its signatures are checked outside the state.
    async fn believe_hello(
        &self,
        from: NodeKey,
        envelope: &Envelope,
    ) -> Result<(Peer, Signed<Hello>), HelloError> {
        let node = from;
        // Whoever was thrown out makes us neither check a signature nor ask for a charter.
        let refusal = self.state().refusal(from);
        if matches!(refusal, SessionError::Revoked { .. }) {
            return Err(refusal.into());
        }
        self.catch_up_with(from, envelope).await;
        let now = self.now();
        let network = self
            .network()
            .map_err(|_| SessionError::NotMember { node })?;
        let (member, hello) = {
            let (envelope, network) = (envelope.clone(), network.clone());
            self.world
                .run(move || verify_hello(&envelope, from, &network, now))
                .await?
        };
        let value = hello.value();
        let to_us = value.head.audience == self.member() || value.head.audience.0 == [0; 16];
        if !to_us {
            return Err(SessionError::Audience { member }.into());
        }
        self.need_latest_copy(member, value, now)?;
        let known = Known {
            credential: value.credential.clone(),
            key_set: Some(value.key_set.clone()),
            node_record: value.node_record.clone(),
        };
        self.take_over(&known).await.map_err(|error| match error {
            FlowError::Store(_) => HelloError::Store,
            FlowError::Membership(MembershipError::Revoked { member }) => {
                SessionError::Revoked { member }.into()
            }
            _ => SessionError::NotMember { node }.into(),
        })?;
        let mut state = self.state();
        // A credential that was superseded proves nothing: the member goes by another key by then.
        let peer = state
            .peer(from, now)
            .filter(|peer| peer.member == member)
            .ok_or(state.refusal(from))?;
        if let Some(challenge) = value.head.next_challenge {
            state.challenges.insert(member, challenge);
        }
        state.members.saw(&member, now);
        Ok((peer, hello))
    }

    /// Asks a member for the charters it goes by where a Hello of its names one that is not known here:
    /// without them its credential, or ours, may seem to be nobody's.
    async fn catch_up_with(&self, from: NodeKey, envelope: &Envelope) {
        let Ok(claimed) = envelope.claims::<Hello>() else {
            return;
        };
        let hash = claimed.charter_hash;
        let (unknown, id) = {
            let state = self.state();
            let Some(network) = &state.network else {
                return;
            };
            let known = network
                .chain
                .version(claimed.charter_version)
                .is_some_and(|link| link.hash == hash)
                || state
                    .charters_seen
                    .iter()
                    .any(|seen| seen.link.hash == hash)
                || state.charters_refused.contains(&hash);
            let member = state.members.by_node_key(&from).is_some();
            (!known && member, network.id)
        };
        if !unknown {
            return;
        }
        // Only the node itself makes us ask it.
        let signed = envelope.clone();
        let verified = self
            .world
            .run(move || signed.verify_by::<Hello>(&from.0, &id).is_ok())
            .await;
        if verified {
            // Whoever cannot be asked is believed as far as what is known here goes.
            let version = claimed.charter_version;
            let _as_far_as_it_goes = self.pull_charters_up_to(from, version).await;
        }
    }

    /// Takes over what is known of a member, where it holds and is newer. Written to the journal
    /// where a restart should remember it: a new credential, or new addresses, the latter no more
    /// often than once in [`MEMBER_WRITTEN_EVERY`].
    ///
    /// # Errors
    /// [`FlowError::Membership`] or [`FlowError::Store`]; then nothing has changed.
    pub(super) async fn take_over(&self, known: &Known) -> Result<Offered, FlowError> {
        let claimed = known.claimed()?;
        // Two statements of one member that come at once are compared with each other too.
        let turn = self.turn(Matter::Member(claimed.member)).await;
        let now = self.now();
        let (network, part, before) = {
            let state = self.state();
            let Some(network) = state.network.clone() else {
                return Ok(Offered::Older);
            };
            let held = state.members.get(&claimed.member);
            let before = held.map(Member::incarnation).unwrap_or_default();
            (network, state.members.concerning(known)?, before)
        };
        let offer = known.clone();
        let (offered, after) = self
            .world
            .run(move || part.consider(&offer, &network.id, &network.chain, now))
            .await?;
        self.need_settled_charter(&after)?;
        let due = after
            .credential
            .claims::<Credential>()
            .ok()
            .is_some_and(|credential| self.state().owes_member(&credential, &after, now));
        if due {
            let mut batch = Batch::within(&turn);
            batch.push(
                RecordKind::Member,
                Scope::Store,
                wire::encode_member(&after),
            );
            // What is durable is applied by the fold; before that the state knows nothing of it.
            self.commit(batch).await?;
        } else {
            // Key sets change with every start of a peer, so they are kept in memory only.
            let mut state = self.state();
            if let Some(network) = state.network.clone() {
                state.members.restore(&after, &network.id, &network.chain)?;
            }
        }
        self.state().renew(claimed.member, before);
        self.learn(&after);
        Ok(offered)
    }

    /// While two charters of one number wait for a decision nobody becomes a member and nobody's
    /// credential changes; those that are known are served.
    fn need_settled_charter(&self, after: &Known) -> Result<(), FlowError> {
        let state = self.state();
        let member = after.credential.claims::<Credential>().ok();
        let held = member.and_then(|credential| state.members.get(&credential.member));
        let same = held.is_some_and(|held| held.known().credential.body == after.credential.body);
        if state.is_forked() && !same {
            return Err(FlowError::State {
                code: Code::CharterFork,
            });
        }
        Ok(())
    }

    /// Tells the transport where a member says it can be reached.
    fn learn(&self, known: &Known) {
        let Ok(credential) = known.credential.claims::<Credential>() else {
            return;
        };
        let addresses = self
            .state()
            .members
            .get(&credential.member)
            .map(addresses_of);
        if let Some(addresses) = addresses
            && credential.node_key != self.node_key()
        {
            self.world.learn(credential.node_key, &addresses);
        }
    }
}

impl State {
    /// Whether what is known of a member is to be written, and notes that it is being written, or
    /// that it still has to be.
    fn owes_member(&mut self, credential: &Credential, after: &Known, now: Timestamp) -> bool {
        let held = self.members.get(&credential.member);
        let renewed = held.is_none_or(|held| held.known().credential.body != after.credential.body);
        let moved = held.is_some_and(|held| {
            held.known().node_record != after.node_record
                && Some(addresses_of(held)) != claimed_addresses(after)
        });
        let before = self.member_writes.get(&credential.member).copied();
        let owed = renewed || moved || before.is_some_and(|write| write.owed);
        let waited = before.is_none_or(|write| now.since(write.at) >= MEMBER_WRITTEN_EVERY);
        // A restart must not take the copy before it for the node again.
        let raised =
            held.is_some_and(|held| twin::claimed(after.node_record.as_ref()) > held.incarnation());
        let due = renewed || raised || owed && waited;
        if due {
            let written = MemberWrite {
                at: now,
                owed: false,
            };
            self.member_writes.insert(credential.member, written);
        } else if let Some(write) = self.member_writes.get_mut(&credential.member) {
            write.owed = owed;
        }
        due
    }
}

/// The addresses in what is known of a member; what is known was verified.
fn claimed_addresses(known: &Known) -> Option<Vec<Vec<u8>>> {
    let record = known.node_record.as_ref()?;
    let record = record.claims::<membership::NodeRecord>().ok()?;
    Some(record.addresses.iter().map(|a| a.to_vec()).collect())
}

/// Verifies what needs no state: the signatures of a Hello and of the credential in it, and its head.
fn verify_hello(
    envelope: &Envelope,
    from: NodeKey,
    network: &Network,
    now: Timestamp,
) -> Result<(MemberId, Signed<Hello>), SessionError> {
    let node = from;
    let hello = envelope
        .verify_by::<Hello>(&from.0, &network.id)
        .map_err(|_| SessionError::Signature { node })?;
    let value = hello.value();
    if value.version < VERSION {
        return Err(SessionError::Version { node });
    }
    if value.version > VERSION {
        return Err(SessionError::Signature { node });
    }
    let credential =
        membership::verify_credential(&value.credential, &network.id, &network.chain, now)
            .map_err(|_| unbelieved(value, network, node))?;
    if credential.node_key != from {
        return Err(SessionError::NotMember { node });
    }
    let peer = Peer {
        member: credential.member,
        node_key: from,
        organization: credential.organization,
    };
    let window = network.charter.rules.clock_window;
    check_head(&value.head, now, window, &network.id, &peer)?;
    Ok((peer.member, hello))
}

/// Why a credential is not believed: perhaps for want of a charter.
fn unbelieved(hello: &Hello, network: &Network, node: NodeKey) -> SessionError {
    let known = network.chain.version(hello.charter_version);
    if known.is_some_and(|link| link.hash == hello.charter_hash) {
        SessionError::NotMember { node }
    } else {
        SessionError::Charter {
            member: hello.head.member,
        }
    }
}
