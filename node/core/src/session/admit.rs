//! The holder's end: sessions with peers, and what admits a message.

use std::collections::BTreeMap;

use super::{Authenticated, Challenges, Peer, SessionError, window::Window};
use crate::{
    crypto::{SecretKey, SessionKeys, Signed},
    types::{
        Incarnation, MemberId, NetworkId, NodeKey, Span, Timestamp,
        limits::{CHALLENGE_SLOT, MESSAGE_LIFE_MAX, SESSIONS_ENDED_MAX, SESSIONS_PER_PEER_MAX},
    },
    wire::{Head, Message},
};

/// A session a peer began.
struct Inbound {
    keys: SessionKeys,
    window: Window,
    begun: Timestamp,
}

/// How long a session lives: as long as its challenge.
const SESSION_LIFE: Span = Span(2 * CHALLENGE_SLOT.0);

/// Sessions of one peer.
#[derive(Default)]
struct OfPeer {
    live: BTreeMap<[u8; 16], Inbound>,
    /// Sessions that gave way to younger ones and whose messages may still be good: begun again they
    /// would answer once more under the same keys and counters.
    ended: BTreeMap<[u8; 16], Timestamp>,
}

/// Sessions of all peers, by the key the transport proved.
pub struct Sessions {
    me: MemberId,
    challenges: Challenges,
    inbound: BTreeMap<NodeKey, OfPeer>,
}

impl Sessions {
    /// None yet; `boot` is drawn at start.
    pub fn new(me: MemberId, boot: SecretKey) -> Self {
        Self {
            me,
            challenges: Challenges::new(boot),
            inbound: BTreeMap::new(),
        }
    }

    /// What a peer must put into its next message.
    pub fn challenge_for(&self, peer: MemberId, now: Timestamp) -> [u8; 16] {
        self.challenges.current(peer, now)
    }

    /// The keys of a session that is known and still lives.
    pub fn keys(&self, node: NodeKey, session: [u8; 16], now: Timestamp) -> Option<SessionKeys> {
        let inbound = self.inbound.get(&node)?.live.get(&session)?;
        (now.since(inbound.begun) < SESSION_LIFE).then(|| inbound.keys.clone())
    }

    /// Whether a session may be begun: it has not ended, and the peer has not begun too many.
    pub fn may_begin(&self, node: NodeKey, session: [u8; 16], now: Timestamp) -> bool {
        let Some(of_peer) = self.inbound.get(&node) else {
            return true;
        };
        let lately = |ended: &Timestamp| now.since(*ended) < SESSION_LIFE;
        let ended = of_peer.ended.values().filter(|ended| lately(ended)).count();
        ended < SESSIONS_ENDED_MAX && !of_peer.ended.get(&session).is_some_and(lately)
    }

    /// Ends every session of a node that is heeded no more.
    pub fn end(&mut self, node: &NodeKey) {
        self.inbound.remove(node);
    }

    /// Ends every session of an earlier copy of a member's node, and makes its challenges worth nothing.
    pub fn renew(&mut self, node: &NodeKey, member: MemberId, incarnation: Incarnation) {
        self.end(node);
        self.challenges.renew(member, incarnation);
    }

    /// Remembers a session whose first message opened; the oldest of the peer ends where it holds
    /// as many as it may. A session that is known keeps its window, whatever is offered.
    pub fn begin(&mut self, node: NodeKey, session: [u8; 16], keys: SessionKeys, now: Timestamp) {
        let of_peer = self.inbound.entry(node).or_default();
        of_peer
            .live
            .retain(|_, inbound| now.since(inbound.begun) < SESSION_LIFE);
        of_peer
            .ended
            .retain(|_, ended| now.since(*ended) < SESSION_LIFE);
        if of_peer.live.contains_key(&session) {
            return;
        }
        while of_peer.live.len() >= SESSIONS_PER_PEER_MAX {
            let oldest = of_peer
                .live
                .iter()
                .min_by_key(|(_, inbound)| inbound.begun)
                .map(|(id, _)| *id);
            let Some(oldest) = oldest else { break };
            of_peer.live.remove(&oldest);
            of_peer.ended.insert(oldest, now);
        }
        of_peer.live.insert(
            session,
            Inbound {
                keys,
                window: Window::new(),
                begun: now,
            },
        );
    }

    /// Takes the counter of a message that opened: once. Whatever comes of the message, its answer is
    /// then the only one sealed under that counter.
    ///
    /// # Errors
    /// [`SessionError::Replayed`], or [`SessionError::Stale`] where the session is not known.
    pub fn take_counter(
        &mut self,
        peer: &Peer,
        session: [u8; 16],
        counter: u64,
    ) -> Result<(), SessionError> {
        let node = peer.node_key;
        let inbound = self
            .inbound
            .get_mut(&node)
            .and_then(|of_peer| of_peer.live.get_mut(&session))
            .ok_or(SessionError::Stale { node })?;
        if inbound.window.take(counter) {
            Ok(())
        } else {
            Err(SessionError::Replayed {
                member: peer.member,
            })
        }
    }

    /// Admits a message whose counter was taken: from the member whose key the transport proved, made
    /// for this node and this run, fresh.
    ///
    /// # Errors
    /// One variant of [`SessionError`] for each check, in the order of the checks.
    pub fn admit<T: Message>(
        &self,
        now: Timestamp,
        window: Span,
        network: &NetworkId,
        peer: Peer,
        message: Signed<T>,
    ) -> Result<Authenticated<T>, SessionError> {
        let node = peer.node_key;
        if message.signers() != [node.0] {
            return Err(SessionError::Signature { node });
        }
        let head = message.value().head();
        check_head(head, now, window, network, &peer)?;
        if head.audience != self.me {
            return Err(SessionError::Audience {
                member: peer.member,
            });
        }
        let fresh = head
            .challenge
            .is_some_and(|challenge| self.challenges.holds(peer.member, challenge, now));
        if !fresh {
            return Err(SessionError::Stale { node });
        }
        Ok(Authenticated::new(peer, message.into_value()))
    }
}

/// Checks what does not depend on the session: who, which network, when.
///
/// # Errors
/// [`SessionError::Signature`], [`SessionError::Audience`], [`SessionError::ClockSkew`] or
/// [`SessionError::Expired`].
pub fn check_head(
    head: &Head,
    now: Timestamp,
    window: Span,
    network: &NetworkId,
    peer: &Peer,
) -> Result<(), SessionError> {
    let member = peer.member;
    if head.key != peer.node_key || head.member != member {
        return Err(SessionError::Signature {
            node: peer.node_key,
        });
    }
    if head.network != *network {
        return Err(SessionError::Audience { member });
    }
    let skew = head.sent_at.distance(now);
    if skew > window {
        return Err(SessionError::ClockSkew { member, skew });
    }
    let too_long = head.expiry.since(head.sent_at) > MESSAGE_LIFE_MAX;
    // The sender's clock may be off by up to the window, so expiry is judged with that allowance: which
    // no message outlives that was sent within the window and does not expire before it was sent.
    if too_long || head.expiry < head.sent_at {
        return Err(SessionError::Expired { member });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::{Envelope, OpeningKey, SealContext, SealingKey, SigningKey, begin_session},
        membership::Organization,
        types::Kind,
        wire::CharterRequest,
    };
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn peer() -> Peer {
        Peer {
            member: MemberId([2; 16]),
            node_key: NodeKey([3; 32]),
            organization: Organization {
                name: "Cedar Clinic".to_owned(),
                kind: Kind::Clinic,
                npi: String::new(),
                oid: String::new(),
                address: String::new(),
                contact: String::new(),
                phone: String::new(),
                hours: String::new(),
                state: String::new(),
                part2: false,
                test: true,
            },
        }
    }

    fn keys() -> SessionKeys {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let opening = OpeningKey::from_bytes(&SecretKey::new([1; 32]));
        let context = SealContext {
            network: NetworkId([1; 32]),
            recipient: MemberId([1; 16]),
            key_id: opening.id(),
        };
        let sealing = SealingKey::parse(&opening.public()).unwrap();
        begin_session(&mut rng, &sealing, &context).1
    }

    fn head(peer: &Peer, sent_at: Timestamp) -> Head {
        Head {
            member: peer.member,
            key: peer.node_key,
            network: NetworkId([1; 32]),
            audience: MemberId([1; 16]),
            challenge: None,
            sent_at,
            expiry: sent_at,
            answers: None,
            next_challenge: None,
        }
    }

    fn numbered(number: usize) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        id
    }

    #[test]
    fn a_session_that_gave_way_is_not_begun_again_and_sessions_ended_max_are_remembered() {
        let mut sessions = Sessions::new(MemberId([1; 16]), SecretKey::default());
        let (node, keys) = (peer().node_key, keys());
        for number in 0..SESSIONS_PER_PEER_MAX {
            sessions.begin(
                node,
                numbered(number),
                keys.clone(),
                Timestamp(NOW.0 + number as u64),
            );
        }
        assert!(sessions.may_begin(node, numbered(0), NOW));
        assert!(sessions.keys(node, numbered(0), NOW).is_some());

        let last = SESSIONS_PER_PEER_MAX + SESSIONS_ENDED_MAX - 1;
        for number in SESSIONS_PER_PEER_MAX..last {
            assert!(sessions.may_begin(node, numbered(number), NOW));
            sessions.begin(
                node,
                numbered(number),
                keys.clone(),
                Timestamp(NOW.0 + number as u64),
            );
        }

        assert!(sessions.keys(node, numbered(0), NOW).is_none(), "gave way");
        assert!(!sessions.may_begin(node, numbered(0), NOW));
        assert!(sessions.may_begin(node, numbered(last), NOW));
        sessions.begin(node, numbered(last), keys, Timestamp(NOW.0 + last as u64));
        assert!(
            !sessions.may_begin(node, numbered(last + 1), NOW),
            "too many"
        );
        let later = NOW.plus(SESSION_LIFE).plus(SESSION_LIFE);
        assert!(sessions.may_begin(node, numbered(0), later));
    }

    #[test]
    fn a_session_lives_as_long_as_its_challenge_and_may_then_be_begun_anew() {
        let mut sessions = Sessions::new(MemberId([1; 16]), SecretKey::default());
        let (peer, id) = (peer(), numbered(0));
        let node = peer.node_key;
        let over = NOW.plus(SESSION_LIFE);
        sessions.begin(node, id, keys(), NOW);

        assert!(sessions.keys(node, id, Timestamp(over.0 - 1)).is_some());
        assert!(sessions.keys(node, id, over).is_none());

        assert!(sessions.take_counter(&peer, id, 7).is_ok());
        sessions.begin(node, id, keys(), Timestamp(over.0 - 1));
        let replayed = Err(SessionError::Replayed {
            member: peer.member,
        });
        assert_eq!(sessions.take_counter(&peer, id, 7), replayed, "known");

        sessions.begin(node, id, keys(), over);
        assert!(sessions.keys(node, id, over).is_some());
        assert!(sessions.take_counter(&peer, id, 7).is_ok(), "begun anew");
    }

    #[test]
    fn a_session_that_gave_way_is_forgotten_once_nothing_sent_in_it_can_be_good() {
        let mut sessions = Sessions::new(MemberId([1; 16]), SecretKey::default());
        let (node, keys) = (peer().node_key, keys());
        for number in 0..=SESSIONS_PER_PEER_MAX {
            sessions.begin(node, numbered(number), keys.clone(), NOW);
        }
        let over = NOW.plus(SESSION_LIFE);
        let ended = |sessions: &Sessions| {
            let of_peer = &sessions.inbound[&node];
            (0..=SESSIONS_PER_PEER_MAX)
                .map(numbered)
                .find(|id| of_peer.ended.contains_key(id))
        };
        let gone = ended(&sessions).expect("one gave way");

        assert!(!sessions.may_begin(node, gone, Timestamp(over.0 - 1)));
        assert!(sessions.may_begin(node, gone, over));
        sessions.begin(node, numbered(99), keys, over);
        assert_eq!(ended(&sessions), None);
    }

    #[test]
    fn a_node_that_is_heeded_no_more_has_no_session_left_and_others_keep_theirs() {
        let mut sessions = Sessions::new(MemberId([1; 16]), SecretKey::default());
        let (node, other) = (peer().node_key, NodeKey([4; 32]));
        for key in [node, other] {
            sessions.begin(key, numbered(0), keys(), NOW);
        }

        sessions.end(&node);

        assert!(sessions.keys(node, numbered(0), NOW).is_none());
        assert!(sessions.keys(other, numbered(0), NOW).is_some());
        let stale = Err(SessionError::Stale { node });
        assert_eq!(sessions.take_counter(&peer(), numbered(0), 0), stale);
    }

    #[test]
    fn a_message_that_another_key_signed_is_not_admitted() {
        let signer = SigningKey::from_seed(&SecretKey::new([2; 32]));
        let (network, me) = (NetworkId([1; 32]), MemberId([1; 16]));
        let sessions = Sessions::new(me, SecretKey::default());
        let peer = Peer {
            node_key: NodeKey(signer.public()),
            ..peer()
        };
        let question = CharterRequest {
            head: Head {
                key: peer.node_key,
                challenge: Some(sessions.challenge_for(peer.member, NOW)),
                ..head(&peer, NOW)
            },
            after: 0,
        };
        let admit = |envelope: &Envelope| {
            let message = envelope.verify::<CharterRequest>(&network).unwrap();
            let admitted = sessions.admit(NOW, Span::minutes(5), &network, peer.clone(), message);
            admitted.map(|_| ())
        };
        let mut envelope = signer.sign(&network, &question);
        assert_eq!(admit(&envelope), Ok(()));

        let second = SigningKey::from_seed(&SecretKey::new([3; 32]));
        envelope.add_signature::<CharterRequest>(&second, &network);

        let node = peer.node_key;
        assert_eq!(admit(&envelope), Err(SessionError::Signature { node }));
        let alone = second.sign(&network, &question);
        assert_eq!(admit(&alone), Err(SessionError::Signature { node }));
    }

    #[test]
    fn a_message_lives_message_life_max_and_not_longer() {
        let (peer, network) = (peer(), NetworkId([1; 32]));
        let window = Span::minutes(5);
        let member = peer.member;
        let check = |expiry, now| {
            let head = Head {
                expiry,
                ..head(&peer, NOW)
            };
            check_head(&head, now, window, &network, &peer)
        };
        let lives = |life: u64| Timestamp(NOW.0 + life);
        let at = |offset: u64| (NOW.plus(Span(offset)), Timestamp(NOW.0 - offset));

        let expired = Err(SessionError::Expired { member });
        assert_eq!(check(lives(MESSAGE_LIFE_MAX.0), NOW), Ok(()));
        assert_eq!(check(lives(MESSAGE_LIFE_MAX.0 + 1), NOW), expired);
        assert_eq!(check(lives(0), NOW), Ok(()));
        assert_eq!(check(Timestamp(NOW.0 - 1), NOW), expired);

        let (late, early) = at(window.0);
        assert_eq!(check(lives(0), late), Ok(()));
        assert_eq!(check(lives(0), early), Ok(()));
        let skew = Span(window.0 + 1);
        let skewed = Err(SessionError::ClockSkew { member, skew });
        let (late, early) = at(skew.0);
        assert_eq!(check(lives(MESSAGE_LIFE_MAX.0), late), skewed);
        assert_eq!(check(lives(MESSAGE_LIFE_MAX.0), early), skewed);
    }
}
