//! The address book and the keeper: whom to stay connected to, and when to dial again.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use chartmesh_core::types::limits;
use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, DialError, DialFailure, FromSwarm,
        NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::{
    sync::watch,
    time::{Instant, Sleep},
};

use super::{
    address::relay_of,
    keep_alive::{KeepAlive, Wanted},
    links::Links,
    neighbours::neighbours,
};

/// Pause after the first failure; it doubles up to [`limits::RECONNECT_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(250);

/// A peer that stayed connected this long starts again with the shortest pause; one that hangs up at
/// once does not make this node dial in a loop.
const STEADY: Duration = Duration::from_secs(10);

/// Addresses of nodes and the wish to stay connected, shared between callers and the swarm.
#[derive(Clone)]
pub(super) struct Book {
    entries: Arc<Mutex<Entries>>,
    changes: watch::Sender<u64>,
}

struct Entries {
    own: PeerId,
    addresses: BTreeMap<PeerId, Vec<Multiaddr>>,
    members: BTreeSet<PeerId>,
    relays: BTreeSet<PeerId>,
    reuses_ports: bool,
    kept: BTreeMap<PeerId, Kept>,
    due: BTreeSet<(Instant, PeerId)>,
    since: BTreeMap<PeerId, Instant>,
    links: Links,
    wanted: BTreeMap<ConnectionId, Wanted>,
    closing: BTreeSet<PeerId>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy)]
struct Kept {
    failures: u32,
    /// When to dial next; none while connected or dialling.
    at: Option<Instant>,
}

impl Book {
    /// An empty book of the node with this identity.
    pub(super) fn new(own: PeerId) -> Self {
        Self {
            entries: Arc::new(Mutex::new(Entries {
                own,
                addresses: BTreeMap::new(),
                members: BTreeSet::new(),
                relays: BTreeSet::new(),
                reuses_ports: false,
                kept: BTreeMap::new(),
                due: BTreeSet::new(),
                since: BTreeMap::new(),
                links: Links::new(own),
                wanted: BTreeMap::new(),
                closing: BTreeSet::new(),
                waker: None,
            })),
            changes: watch::Sender::new(0),
        }
    }

    /// Remembers where a peer may be reached; the addresses replace those known before.
    pub(super) fn learn(&self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let changed = self.lock().learn(peer, addresses);
        if changed {
            self.changed();
        }
    }

    /// Where a peer may be reached.
    pub(super) fn addresses(&self, peer: PeerId) -> Vec<Multiaddr> {
        self.lock()
            .addresses
            .get(&peer)
            .cloned()
            .unwrap_or_default()
    }

    /// Replaces the members, and chooses among them the peers to stay connected to. Gives those who are
    /// members no more.
    pub(super) fn keep(&self, members: Vec<(PeerId, Vec<Multiaddr>)>) -> Vec<PeerId> {
        let mut entries = self.lock();
        let own = entries.own;
        let room = members.into_iter().take(limits::MEMBERS_MAX);
        let members: BTreeMap<PeerId, Vec<Multiaddr>> =
            room.filter(|(peer, _)| *peer != own).collect();
        let peers: BTreeSet<PeerId> = members.keys().copied().collect();
        let left = entries.members.difference(&peers).copied().collect();
        let chosen = neighbours(own, &peers);
        let before: Vec<PeerId> = entries.kept.keys().copied().collect();
        for peer in before.iter().filter(|peer| !chosen.contains(peer)) {
            entries.release(*peer);
        }
        for peer in &chosen {
            entries.keep(*peer);
        }
        let mut changed = entries.members != peers;
        entries.members = peers;
        for (peer, addresses) in members {
            changed |= entries.learn(peer, addresses);
        }
        entries.wake();
        drop(entries);
        if changed {
            self.changed();
        }
        left
    }

    /// Replaces the members that relay.
    pub(super) fn set_relays(&self, relays: BTreeSet<PeerId>) {
        self.lock().relays = relays;
    }

    /// The members that relay.
    pub(super) fn relays(&self) -> BTreeSet<PeerId> {
        let entries = self.lock();
        entries
            .relays
            .intersection(&entries.members)
            .copied()
            .collect()
    }

    /// An address of a peer that leads to it directly; TCP before QUIC, which fewer firewalls pass.
    pub(super) fn direct(&self, peer: PeerId) -> Option<Multiaddr> {
        self.lock().direct(peer)
    }

    /// Whether relays are dialled from the port that is listened on.
    pub(super) fn reuse_ports(&self, reuse: bool) {
        self.lock().reuses_ports = reuse;
    }

    /// Forgets a peer's addresses, stops keeping it, and closes its connections.
    pub(super) fn forget(&self, peer: PeerId) {
        let mut entries = self.lock();
        entries.release(peer);
        entries.addresses.remove(&peer);
        entries.members.remove(&peer);
        // Whether or not it is connected: a dial under way is aborted with it.
        entries.closing.insert(peer);
        entries.wake();
        drop(entries);
        self.changed();
    }

    /// Whether this node stays connected to a peer.
    pub(super) fn keeps(&self, peer: PeerId) -> bool {
        self.lock().kept.contains_key(&peer)
    }

    /// The members and where each may be reached.
    pub(super) fn members(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let entries = self.lock();
        let members = entries.members.iter();
        members
            .filter_map(|peer| Some((*peer, entries.addresses.get(peer)?.clone())))
            .collect()
    }

    /// Tells whenever members or their addresses change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes
            .send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Every entry is consistent after each step, so a panic elsewhere cannot spoil the book.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Tells whether that was anything new.
    fn learn(&mut self, peer: PeerId, mut addresses: Vec<Multiaddr>) -> bool {
        let full = self.addresses.len() >= limits::MEMBERS_MAX;
        if peer == self.own || (full && !self.addresses.contains_key(&peer)) {
            return false;
        }
        addresses.truncate(limits::ADDRESSES_PER_NODE_MAX);
        if addresses.is_empty() || self.addresses.get(&peer) == Some(&addresses) {
            return false;
        }
        self.addresses.insert(peer, addresses);
        // A new address may be the one that answers, however often the old ones did not.
        if self.kept.get(&peer).is_some_and(|kept| kept.at.is_some()) {
            self.schedule(peer, 0, Instant::now());
        }
        self.wake();
        true
    }

    fn direct(&self, peer: PeerId) -> Option<Multiaddr> {
        let addresses = self.addresses.get(&peer)?.iter();
        addresses
            .filter(|address| relay_of(address).is_none())
            .min_by_key(|address| !address.iter().any(|part| matches!(part, Protocol::Tcp(_))))
            .cloned()
    }

    /// Where a peer is dialled. The ways through relays come first, since only so many addresses are
    /// tried at a time and those behind somebody's address translator are slow to fail.
    fn ways(&self, peer: PeerId) -> Vec<Multiaddr> {
        let known = self.addresses.get(&peer).into_iter().flatten();
        let (relayed, mut direct): (Vec<_>, Vec<_>) = known
            .cloned()
            .partition(|address| relay_of(address).is_some());
        let mut ways: Vec<Multiaddr> = relayed
            .iter()
            .filter_map(relay_of)
            .filter(|relay| *relay != self.own && self.members.contains(relay))
            .filter_map(|relay| {
                let at = self.direct(relay)?;
                let through = at.with(Protocol::P2p(relay)).with(Protocol::P2pCircuit);
                Some(through.with(Protocol::P2p(peer)))
            })
            .take(limits::RELAYS_PER_NODE_MAX)
            .collect();
        ways.append(&mut direct);
        ways
    }

    fn keep(&mut self, peer: PeerId) {
        if self.kept.contains_key(&peer) {
            return;
        }
        let kept = Kept {
            failures: 0,
            at: None,
        };
        self.kept.insert(peer, kept);
        if !self.links.has(peer) {
            self.schedule(peer, 0, Instant::now());
        }
        self.want(peer);
    }

    fn release(&mut self, peer: PeerId) {
        if let Some(at) = self.kept.remove(&peer).and_then(|kept| kept.at) {
            self.due.remove(&(at, peer));
        }
        self.want(peer);
    }

    /// Lets the best connection to a kept peer live, and every other end once it is idle.
    fn want(&self, peer: PeerId) {
        let best = self.links.best(peer);
        let is_kept = self.kept.contains_key(&peer);
        for link in self.links.of(peer) {
            if let Some(wanted) = self.wanted.get(&link.id) {
                wanted.set(is_kept && Some(link.id) == best);
            }
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

    fn established(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        if !self.links.has(peer) {
            self.since.insert(peer, Instant::now());
        }
        self.links.add(peer, connection, endpoint);
        self.unschedule(peer);
        self.want(peer);
    }

    fn ended(&mut self, peer: PeerId, connection: ConnectionId) {
        self.wanted.remove(&connection);
        let was_last = self.links.remove(peer, connection);
        self.want(peer);
        if !was_last {
            return;
        }
        let since = self.since.remove(&peer);
        let Some(kept) = self.kept.get(&peer) else {
            return;
        };
        let steady = since.is_some_and(|since| since.elapsed() >= STEADY);
        let failures = if steady {
            0
        } else {
            kept.failures.saturating_add(1)
        };
        self.schedule(peer, failures, Instant::now() + pause(failures));
    }

    fn failed(&mut self, peer: PeerId) {
        if self.links.has(peer) {
            return;
        }
        if let Some(kept) = self.kept.get(&peer) {
            let failures = kept.failures.saturating_add(1);
            self.schedule(peer, failures, Instant::now() + pause(failures));
        }
    }

    fn keep_alive(&mut self, connection: ConnectionId) -> KeepAlive {
        KeepAlive(self.wanted.entry(connection).or_default().clone())
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
    type ConnectionHandler = KeepAlive;
    type ToSwarm = std::convert::Infallible;

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let entries = self.book.lock();
        Ok(peer.map_or_else(Vec::new, |peer| entries.ways(peer)))
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.book.lock().keep_alive(id))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.book.lock().keep_alive(id))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let mut entries = self.book.lock();
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                entries.established(event.peer_id, event.connection_id, event.endpoint);
            }
            FromSwarm::ConnectionClosed(event) => {
                entries.ended(event.peer_id, event.connection_id);
            }
            FromSwarm::DialFailure(DialFailure {
                peer_id,
                error,
                connection_id,
            }) => {
                entries.wanted.remove(&connection_id);
                if let Some(peer) = peer_id
                    && !matches!(error, DialError::DialPeerConditionFalse(_))
                {
                    entries.failed(peer);
                }
            }
            FromSwarm::ListenFailure(event) => {
                entries.wanted.remove(&event.connection_id);
            }
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
                // A connection that was given up may still count as one to the swarm.
                let dial = DialOpts::peer_id(peer).condition(PeerCondition::NotDialing);
                // Two nodes that dial each other from the ports they listen on would meet half-way
                // and both speak first; a relay never dials whom it relays for.
                let dial = if entries.reuses_ports && entries.relays.contains(&peer) {
                    dial
                } else {
                    dial.allocate_new_port()
                };
                return Poll::Ready(ToSwarm::Dial { opts: dial.build() });
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

    use super::{super::address, *};

    fn peer() -> PeerId {
        identity::Keypair::generate_ed25519().public().to_peer_id()
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}")
            .parse()
            .expect("an address")
    }

    fn dialled() -> ConnectedPoint {
        ConnectedPoint::Dialer {
            address: address(1),
            role_override: Endpoint::Dialer,
            port_use: PortUse::New,
        }
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
            entries.established(peer, connection, &dialled());
            entries.ended(peer, connection);
        }
        let flighty = entries.kept[&peer].failures;
        entries.established(peer, connection, &dialled());
        let past = Instant::now().checked_sub(STEADY).expect("a past");
        entries.since.insert(peer, past);
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
        book.lock().established(peer, one, &dialled());
        book.lock().established(peer, other, &dialled());

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
    async fn who_is_relayed_is_dialled_through_members_where_they_say_they_are() {
        let (own, peer, relay) = (peer(), peer(), peer());
        let book = Book::new(own);
        let circuit = |relay| address::through(relay);
        let own_list = vec![
            circuit(relay),
            circuit(PeerId::random()),
            circuit(own),
            address(1),
        ];
        let quic: Multiaddr = "/ip4/192.0.2.9/udp/443/quic-v1"
            .parse()
            .expect("an address");
        book.keep(vec![(peer, own_list), (relay, vec![quic, address(443)])]);

        let ways = book.lock().ways(peer);

        let through = address(443)
            .with(Protocol::P2p(relay))
            .with(Protocol::P2pCircuit)
            .with(Protocol::P2p(peer));
        assert_eq!(ways, [through, address(1)]);
        assert_eq!(book.direct(peer), Some(address(1)));
    }

    #[tokio::test]
    async fn only_a_member_is_a_relay() {
        let (member, stranger) = (peer(), peer());
        let book = Book::new(peer());
        book.keep(vec![(member, vec![address(1)])]);

        book.set_relays(BTreeSet::from([member, stranger]));

        assert_eq!(book.relays(), BTreeSet::from([member]));
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
