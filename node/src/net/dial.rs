//! The address book and the keeper: whom to stay connected to, and when to dial again.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use chartmesh_core::types::limits;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, DialError, DialFailure, FromSwarm,
        NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        dial_opts::{DialOpts, PeerCondition},
        dummy,
    },
};
use tokio::time::{Instant, Sleep};

/// Pause after the first failure; it doubles up to [`limits::RECONNECT_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(250);

/// A peer that stayed connected this long starts again with the shortest pause; one that hangs up at
/// once does not make this node dial in a loop.
const STEADY: Duration = Duration::from_secs(10);

/// Addresses of nodes and the wish to stay connected, shared between callers and the swarm.
#[derive(Clone)]
pub(super) struct Book(Arc<Mutex<Entries>>);

struct Entries {
    own: PeerId,
    addresses: BTreeMap<PeerId, Vec<Multiaddr>>,
    kept: BTreeMap<PeerId, Kept>,
    due: BTreeSet<(Instant, PeerId)>,
    connected: BTreeMap<PeerId, Connected>,
    closing: BTreeSet<PeerId>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy)]
struct Kept {
    failures: u32,
    /// When to dial next; none while connected or dialling.
    at: Option<Instant>,
}

struct Connected {
    since: Instant,
    by: BTreeSet<ConnectionId>,
}

impl Book {
    /// An empty book of the node with this identity.
    pub(super) fn new(own: PeerId) -> Self {
        Self(Arc::new(Mutex::new(Entries {
            own,
            addresses: BTreeMap::new(),
            kept: BTreeMap::new(),
            due: BTreeSet::new(),
            connected: BTreeMap::new(),
            closing: BTreeSet::new(),
            waker: None,
        })))
    }

    /// Remembers where a peer may be reached; the addresses replace those known before.
    pub(super) fn learn(&self, peer: PeerId, addresses: Vec<Multiaddr>) {
        self.lock().learn(peer, addresses);
    }

    /// Replaces the set of peers to stay connected to.
    pub(super) fn keep(&self, peers: Vec<(PeerId, Vec<Multiaddr>)>) {
        let mut entries = self.lock();
        let wanted: BTreeSet<PeerId> = peers.iter().map(|(peer, _)| *peer).collect();
        let dropped: Vec<PeerId> = entries
            .kept
            .keys()
            .filter(|peer| !wanted.contains(peer))
            .copied()
            .collect();
        for peer in dropped {
            entries.release(peer);
        }
        for (peer, addresses) in peers {
            entries.keep(peer);
            entries.learn(peer, addresses);
        }
        entries.wake();
    }

    /// Forgets a peer's addresses, stops keeping it, and closes its connections.
    pub(super) fn forget(&self, peer: PeerId) {
        let mut entries = self.lock();
        entries.release(peer);
        entries.addresses.remove(&peer);
        // Whether or not it is connected: a dial under way is aborted with it.
        entries.closing.insert(peer);
        entries.wake();
    }

    /// Every entry is consistent after each step, so a panic elsewhere cannot spoil the book.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn learn(&mut self, peer: PeerId, mut addresses: Vec<Multiaddr>) {
        let full = self.addresses.len() >= limits::MEMBERS_MAX;
        if peer == self.own || (full && !self.addresses.contains_key(&peer)) {
            return;
        }
        addresses.truncate(limits::ADDRESSES_PER_NODE_MAX);
        if addresses.is_empty() || self.addresses.get(&peer) == Some(&addresses) {
            return;
        }
        self.addresses.insert(peer, addresses);
        // A new address may be the one that answers, however often the old ones did not.
        if self.kept.get(&peer).is_some_and(|kept| kept.at.is_some()) {
            self.schedule(peer, 0, Instant::now());
        }
        self.wake();
    }

    fn keep(&mut self, peer: PeerId) {
        let full = self.kept.len() >= limits::MEMBERS_MAX;
        if peer == self.own || full || self.kept.contains_key(&peer) {
            return;
        }
        let kept = Kept {
            failures: 0,
            at: None,
        };
        self.kept.insert(peer, kept);
        if !self.connected.contains_key(&peer) {
            self.schedule(peer, 0, Instant::now());
        }
    }

    fn release(&mut self, peer: PeerId) {
        if let Some(at) = self.kept.remove(&peer).and_then(|kept| kept.at) {
            self.due.remove(&(at, peer));
        }
    }

    fn schedule(&mut self, peer: PeerId, failures: u32, at: Instant) {
        let Some(kept) = self.kept.get_mut(&peer) else {
            return;
        };
        if let Some(before) = kept.at.replace(at) {
            self.due.remove(&(before, peer));
        }
        kept.failures = failures;
        self.due.insert((at, peer));
    }

    fn unschedule(&mut self, peer: PeerId) {
        if let Some(at) = self.kept.get_mut(&peer).and_then(|kept| kept.at.take()) {
            self.due.remove(&(at, peer));
        }
    }

    fn established(&mut self, peer: PeerId, connection: ConnectionId) {
        let connected = self.connected.entry(peer).or_insert_with(|| Connected {
            since: Instant::now(),
            by: BTreeSet::new(),
        });
        connected.by.insert(connection);
        self.unschedule(peer);
    }

    fn ended(&mut self, peer: PeerId, connection: ConnectionId) {
        let Some(connected) = self.connected.get_mut(&peer) else {
            return;
        };
        connected.by.remove(&connection);
        if !connected.by.is_empty() {
            return;
        }
        let steady = connected.since.elapsed() >= STEADY;
        self.connected.remove(&peer);
        let Some(kept) = self.kept.get(&peer) else {
            return;
        };
        let failures = if steady { 0 } else { kept.failures + 1 };
        self.schedule(peer, failures, Instant::now() + pause(failures));
    }

    fn failed(&mut self, peer: PeerId) {
        if self.connected.contains_key(&peer) {
            return;
        }
        if let Some(kept) = self.kept.get(&peer) {
            let failures = kept.failures.saturating_add(1);
            self.schedule(peer, failures, Instant::now() + pause(failures));
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// How long to wait before the next dial: doubling, bounded, and drawn from its upper half so that
/// nodes cut off together do not come back together.
fn pause(failures: u32) -> Duration {
    let most = Duration::from_millis(limits::RECONNECT_MAX.0);
    let full = BACKOFF_MIN.saturating_mul(1 << failures.min(16)).min(most);
    full.mul_f64(rand::random_range(0.5..=1.0))
}

/// The behaviour that knows addresses and dials the peers that are kept.
pub(super) struct Keeper {
    book: Book,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Keeper {
    /// A keeper that works from this book.
    pub(super) fn new(book: Book) -> Self {
        Self { book, timer: None }
    }

    /// Counts on a connection no more.
    pub(super) fn give_up(&mut self, peer: PeerId, connection: ConnectionId) {
        self.book.lock().ended(peer, connection);
    }
}

impl NetworkBehaviour for Keeper {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let entries = self.book.lock();
        Ok(peer
            .and_then(|peer| entries.addresses.get(&peer))
            .cloned()
            .unwrap_or_default())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let mut entries = self.book.lock();
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                entries.established(event.peer_id, event.connection_id);
            }
            FromSwarm::ConnectionClosed(event) => {
                entries.ended(event.peer_id, event.connection_id);
            }
            FromSwarm::DialFailure(DialFailure {
                peer_id: Some(peer),
                error,
                ..
            }) if !matches!(error, DialError::DialPeerConditionFalse(_)) => entries.failed(peer),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let mut entries = self.book.lock();
        if let Some(peer_id) = entries.closing.pop_first() {
            return Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::All,
            });
        }
        loop {
            entries.waker = Some(cx.waker().clone());
            let Some((at, peer)) = entries.due.first().copied() else {
                self.timer = None;
                return Poll::Pending;
            };
            if at <= Instant::now() {
                entries.unschedule(peer);
                return Poll::Ready(ToSwarm::Dial {
                    // A connection that was given up may still count as one to the swarm.
                    opts: DialOpts::peer_id(peer)
                        .condition(PeerCondition::NotDialing)
                        .allocate_new_port()
                        .build(),
                });
            }
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if timer.deadline() != at {
                timer.as_mut().reset(at);
            }
            std::task::ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity;

    use super::*;

    fn peer() -> PeerId {
        identity::Keypair::generate_ed25519().public().to_peer_id()
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}")
            .parse()
            .expect("an address")
    }

    fn known(book: &Book, peer: PeerId) -> Option<Vec<Multiaddr>> {
        book.lock().addresses.get(&peer).cloned()
    }

    #[test]
    fn the_pause_grows_and_stays_bounded() {
        for failures in 0..200 {
            let pause = pause(failures);

            assert!(pause >= BACKOFF_MIN / 2);
            assert!(pause <= Duration::from_millis(limits::RECONNECT_MAX.0));
        }
        assert!(pause(0) <= BACKOFF_MIN);
        assert!(pause(50) >= Duration::from_millis(limits::RECONNECT_MAX.0 / 2));
    }

    #[test]
    fn a_node_has_no_more_addresses_than_are_tried() {
        let (book, peer) = (Book::new(peer()), peer());
        let most = u16::try_from(limits::ADDRESSES_PER_NODE_MAX).expect("a small number");

        book.learn(peer, (1..=most + 5).map(address).collect());

        assert_eq!(
            known(&book, peer).map(|all| all.len()),
            Some(limits::ADDRESSES_PER_NODE_MAX)
        );
    }

    #[test]
    fn the_newest_addresses_replace_the_old_and_none_replace_nothing() {
        let (book, peer) = (Book::new(peer()), peer());
        book.learn(peer, vec![address(1)]);

        book.learn(peer, vec![address(2)]);
        book.learn(peer, Vec::new());

        assert_eq!(known(&book, peer), Some(vec![address(2)]));
    }

    #[test]
    fn the_book_holds_as_many_nodes_as_a_network_may_have() {
        let book = Book::new(peer());
        let first = peer();
        book.learn(first, vec![address(1)]);
        for _ in 1..limits::MEMBERS_MAX {
            book.learn(PeerId::random(), vec![address(1)]);
        }

        let beyond = peer();
        book.learn(beyond, vec![address(1)]);
        book.learn(first, vec![address(2)]);

        assert_eq!(known(&book, beyond), None);
        assert_eq!(known(&book, first), Some(vec![address(2)]));
    }

    #[tokio::test]
    async fn a_node_does_not_keep_a_connection_to_itself() {
        let (own, other) = (peer(), peer());
        let book = Book::new(own);

        book.keep(vec![(own, vec![address(1)]), (other, vec![address(2)])]);

        let entries = book.lock();
        assert!(entries.kept.contains_key(&other));
        assert!(!entries.kept.contains_key(&own));
        assert!(!entries.addresses.contains_key(&own));
    }

    #[tokio::test]
    async fn a_peer_that_hangs_up_at_once_is_dialled_ever_more_rarely() {
        let (book, peer) = (Book::new(peer()), peer());
        book.keep(vec![(peer, vec![address(1)])]);
        let mut entries = book.lock();

        let connection = ConnectionId::new_unchecked(1);
        for _ in 0..10 {
            entries.established(peer, connection);
            entries.ended(peer, connection);
        }
        let flighty = entries.kept[&peer].failures;
        entries.established(peer, connection);
        let connected = entries.connected.get_mut(&peer).expect("a connection");
        connected.since = Instant::now().checked_sub(STEADY).expect("a past");
        entries.ended(peer, connection);

        assert_eq!(flighty, 10);
        assert_eq!(entries.kept[&peer].failures, 0);
    }

    #[tokio::test]
    async fn a_peer_is_dialled_again_once_its_last_connection_ended() {
        let (book, peer) = (Book::new(peer()), peer());
        book.keep(vec![(peer, vec![address(1)])]);
        let (one, other) = (
            ConnectionId::new_unchecked(1),
            ConnectionId::new_unchecked(2),
        );
        book.lock().established(peer, one);
        book.lock().established(peer, other);

        book.lock().ended(peer, one);
        assert!(book.lock().due.is_empty());
        book.lock().ended(peer, other);
        assert_eq!(book.lock().due.len(), 1);
        book.lock().ended(peer, other);

        assert_eq!(book.lock().kept[&peer].failures, 1);
    }

    #[tokio::test]
    async fn a_peer_no_longer_kept_is_no_longer_due() {
        let (book, one, other) = (Book::new(peer()), peer(), peer());
        book.keep(vec![(one, vec![address(1)]), (other, vec![address(2)])]);
        assert_eq!(book.lock().due.len(), 2);

        book.keep(vec![(other, vec![address(2)])]);
        book.forget(other);

        assert!(book.lock().due.is_empty());
        assert!(book.lock().kept.is_empty());
    }

    #[tokio::test]
    async fn a_new_address_is_tried_at_once() {
        let (book, peer) = (Book::new(peer()), peer());
        book.keep(vec![(peer, vec![address(1)])]);
        for _ in 0..9 {
            book.lock().failed(peer);
        }
        let later = book.lock().due.first().map(|(at, _)| *at);

        book.learn(peer, vec![address(2)]);

        let due = book.lock().due.first().map(|(at, _)| *at);
        assert!(due < later && due <= Some(Instant::now()));
    }
}
