//! Relays (circuit relay v2): what this node carries for others, and who carries for it.
//!
//! A relay is a member whose node record says so. It sees who talks to whom, when and how much; what
//! it carries is Noise from one end to the other, and the core's seals inside that.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::Duration,
};

use chartmesh_core::{crypto::sha256, types::limits};
use libp2p::{PeerId, core::transport::ListenerId, relay};
use tokio::time::Instant;

/// Pause after a relay failed us; it doubles up to [`limits::RECONNECT_MAX`].
const REST_MIN: Duration = Duration::from_secs(1);

/// What a node that relays lets others use. Who is no member never gets as far as this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RelayLimits {
    reservations: usize,
    reservations_per_peer: usize,
    reservation_life: Duration,
    circuits: usize,
    circuits_per_peer: usize,
    circuit_life: Duration,
    circuit_bytes: u64,
    asks: u32,
    ask_every: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            reservations: limits::RELAY_RESERVATIONS_MAX,
            reservations_per_peer: limits::RELAY_RESERVATIONS_PER_PEER_MAX,
            reservation_life: Duration::from_millis(limits::RELAY_RESERVATION_LIFE.0),
            circuits: limits::RELAY_CIRCUITS_MAX,
            circuits_per_peer: limits::RELAY_CIRCUITS_PER_PEER_MAX,
            circuit_life: Duration::from_millis(limits::RELAY_CIRCUIT_LIFE.0),
            circuit_bytes: limits::RELAY_CIRCUIT_BYTES_MAX,
            asks: limits::RELAY_ASKS_MAX,
            ask_every: Duration::from_millis(limits::RELAY_ASK_EVERY.0),
        }
    }
}

/// The relay of a node that agreed to be one.
pub(super) fn relaying(own: PeerId, limits: RelayLimits) -> relay::Behaviour {
    let asks = NonZeroU32::new(limits.asks).unwrap_or(NonZeroU32::MIN);
    let config = relay::Config {
        max_reservations: limits.reservations,
        // One beyond the number given is let in by the library, here and below.
        max_reservations_per_peer: limits.reservations_per_peer.saturating_sub(1),
        reservation_duration: limits.reservation_life,
        reservation_rate_limiters: Vec::new(),
        max_circuits: limits.circuits,
        max_circuits_per_peer: limits.circuits_per_peer.saturating_sub(1),
        max_circuit_duration: limits.circuit_life,
        max_circuit_bytes: limits.circuit_bytes,
        circuit_src_rate_limiters: Vec::new(),
    }
    .reservation_rate_per_peer(asks, limits.ask_every)
    .circuit_src_per_peer(asks, limits.ask_every);
    let mut relay = relay::Behaviour::new(own, config);
    relay.set_status(Some(relay::Status::Enable));
    relay
}

/// How the wish to be relayed by a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Asked,
    Granted,
}

#[derive(Clone, Copy)]
struct Held {
    listener: ListenerId,
    relay: PeerId,
    standing: Standing,
}

/// Where this node is relayed, and where it asks next.
pub(super) struct Reservations {
    own: PeerId,
    /// The only ones to ask, where the configuration names any.
    named: BTreeSet<PeerId>,
    held: Vec<Held>,
    resting: BTreeMap<PeerId, (Instant, u32)>,
}

impl Reservations {
    /// None yet; the configuration may name whom to ask.
    pub(super) fn new(own: PeerId, named: BTreeSet<PeerId>) -> Self {
        Self {
            own,
            named,
            held: Vec::new(),
            resting: BTreeMap::new(),
        }
    }

    /// Whom to ask at a time: those that relay, in an order of this node's own, so that the load
    /// spreads; none that failed a moment ago.
    pub(super) fn due(&self, relays: &BTreeSet<PeerId>, now: Instant) -> Vec<PeerId> {
        let missing = limits::RELAYS_PER_NODE_MAX.saturating_sub(self.held.len());
        let mut open: Vec<PeerId> = relays
            .iter()
            .filter(|relay| **relay != self.own)
            .filter(|relay| self.named.is_empty() || self.named.contains(relay))
            .filter(|relay| self.held.iter().all(|held| held.relay != **relay))
            .filter(|relay| {
                self.resting
                    .get(relay)
                    .is_none_or(|(until, _)| *until <= now)
            })
            .copied()
            .collect();
        open.sort_by_cached_key(|relay| sha256(&[&self.own.to_bytes(), &relay.to_bytes()]));
        open.truncate(missing);
        open
    }

    /// A relay was asked.
    pub(super) fn asked(&mut self, listener: ListenerId, relay: PeerId) {
        self.held.push(Held {
            listener,
            relay,
            standing: Standing::Asked,
        });
    }

    /// A relay could not even be asked.
    pub(super) fn failed(&mut self, relay: PeerId, now: Instant) {
        let failures = self
            .resting
            .get(&relay)
            .map_or(0, |(_, failures)| *failures);
        let most = Duration::from_millis(limits::RECONNECT_MAX.0);
        let pause = REST_MIN.saturating_mul(1 << failures.min(10)).min(most);
        let rest = (now + pause, failures.saturating_add(1));
        self.resting.insert(relay, rest);
        // Who relays no more is not remembered for ever.
        if self.resting.len() > limits::MEMBERS_MAX {
            self.resting.retain(|_, (until, _)| *until > now);
        }
    }

    /// A relay granted what was asked; tells whether that is news.
    pub(super) fn granted(&mut self, relay: PeerId) -> bool {
        self.resting.remove(&relay);
        let mut asked = self.held.iter_mut();
        let asked = asked.find(|held| held.relay == relay && held.standing == Standing::Asked);
        asked
            .map(|held| held.standing = Standing::Granted)
            .is_some()
    }

    /// A reservation ended or was refused; gives the relay, and none where the listener is no
    /// reservation.
    pub(super) fn ended(&mut self, listener: ListenerId, now: Instant) -> Option<PeerId> {
        let at = self
            .held
            .iter()
            .position(|held| held.listener == listener)?;
        let relay = self.held.remove(at).relay;
        self.failed(relay, now);
        Some(relay)
    }

    /// Whether a listener is a reservation.
    pub(super) fn holds(&self, listener: ListenerId) -> bool {
        self.held.iter().any(|held| held.listener == listener)
    }

    /// By whom this node is relayed.
    pub(super) fn relays(&self) -> BTreeSet<PeerId> {
        let granted = self.held.iter();
        granted
            .filter(|held| held.standing == Standing::Granted)
            .map(|held| held.relay)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        pin::Pin,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::{Context, Poll, ready},
    };

    use chartmesh_core::types::NodeKey;
    use futures::{AsyncRead, AsyncWrite, StreamExt as _};
    use libp2p::{
        Multiaddr, Swarm, Transport as _,
        core::{transport::MemoryTransport, upgrade},
        identity,
        multiaddr::Protocol,
        noise, ping,
        swarm::{self, NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
        yamux,
    };

    use super::{
        super::{
            Directory, Found, address::node_key, cut::Cuts, guard::Guards,
            members_only::MembersOnly, meter::Meters, transport::secured,
        },
        *,
    };

    /// Everybody but one is a member.
    struct AllBut(PeerId);

    impl Directory for AllBut {
        fn is_known(&self, node: NodeKey) -> bool {
            Some(node) != node_key(self.0)
        }

        fn own_record(&self) -> Option<Vec<u8>> {
            None
        }

        fn read_record(&self, _: NodeKey, _: &[u8]) -> Option<Found> {
            None
        }
    }

    #[derive(NetworkBehaviour)]
    struct Member {
        circuits: relay::client::Behaviour,
        ping: ping::Behaviour,
    }

    fn key(seed: u8) -> identity::Keypair {
        identity::Keypair::ed25519_from_bytes([seed; 32]).expect("a key")
    }

    fn swarm_config() -> swarm::Config {
        swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(60))
    }

    /// A member that pings without pause.
    fn member(seed: u8) -> Swarm<Member> {
        let key = key(seed);
        let own = key.public().to_peer_id();
        let (through, circuits) = relay::client::new(own);
        let transport = through
            .or_transport(MemoryTransport::default())
            .upgrade(upgrade::Version::V1)
            .authenticate(noise::Config::new(&key).expect("noise"))
            .multiplex(yamux::Config::default())
            .boxed();
        let often = ping::Config::new().with_interval(Duration::from_millis(5));
        let behaviour = Member {
            circuits,
            ping: ping::Behaviour::new(often),
        };
        Swarm::new(transport, behaviour, own, swarm_config())
    }

    /// What comes out of a circuit, one bit of it changed whenever that is wanted: to either end a relay
    /// that changes what it carries looks like this.
    struct Tampered<T> {
        io: T,
        wanted: Arc<AtomicBool>,
    }

    impl<T: AsyncRead + Unpin> AsyncRead for Tampered<T> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
            if read > 0 && self.wanted.swap(false, Ordering::SeqCst) {
                buffer[read - 1] ^= 1;
            }
            Poll::Ready(Ok(read))
        }
    }

    impl<T: AsyncWrite + Unpin> AsyncWrite for Tampered<T> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.io).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_flush(cx)
        }

        fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_close(cx)
        }
    }

    /// A member whose circuits are secured as a node's are, over a relay that may change bits.
    fn member_of_a_liar(seed: u8, wanted: &Arc<AtomicBool>) -> Swarm<Member> {
        let key = key(seed);
        let own = key.public().to_peer_id();
        let (through, circuits) = relay::client::new(own);
        let wanted = wanted.clone();
        let through = through.map(move |io, _| Tampered {
            io,
            wanted: wanted.clone(),
        });
        let guards = Guards {
            meters: Meters::new(Arc::new(AllBut(nobody()))),
            cuts: Cuts::default(),
        };
        let near = MemoryTransport::default()
            .upgrade(upgrade::Version::V1)
            .authenticate(noise::Config::new(&key).expect("noise"))
            .multiplex(yamux::Config::default())
            .boxed();
        let transport = secured(through, &key, guards)
            .expect("a transport")
            .or_transport(near)
            .map(|either, _| either.into_inner())
            .boxed();
        let often = ping::Config::new().with_interval(Duration::from_millis(5));
        let behaviour = Member {
            circuits,
            ping: ping::Behaviour::new(often),
        };
        Swarm::new(transport, behaviour, own, swarm_config())
    }

    /// A relay that runs until the test ends; gives its address.
    async fn relay(limits: RelayLimits, stranger: PeerId) -> Multiaddr {
        let key = key(100);
        let own = key.public().to_peer_id();
        let transport = MemoryTransport::default()
            .upgrade(upgrade::Version::V1)
            .authenticate(noise::Config::new(&key).expect("noise"))
            .multiplex(yamux::Config::default())
            .boxed();
        let behaviour = MembersOnly::new(relaying(own, limits), Arc::new(AllBut(stranger)));
        let mut swarm = Swarm::new(transport, behaviour, own, swarm_config());
        swarm
            .listen_on("/memory/0".parse().expect("an address"))
            .expect("listening");
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        swarm.add_external_address(address.clone());
        tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        address.with(Protocol::P2p(own)).with(Protocol::P2pCircuit)
    }

    fn nobody() -> PeerId {
        key(99).public().to_peer_id()
    }

    async fn reserves(swarm: &mut Swarm<Member>, through: &Multiaddr) -> bool {
        swarm.listen_on(through.clone()).expect("a relay is asked");
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { .. } => return true,
                SwarmEvent::ListenerClosed { .. } => return false,
                _ => {}
            }
        }
    }

    /// A member that is relayed and answers until the test ends.
    async fn reserved(seed: u8, through: &Multiaddr) -> PeerId {
        let mut swarm = member(seed);
        assert!(reserves(&mut swarm, through).await);
        let peer = *swarm.local_peer_id();
        tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        peer
    }

    async fn reaches(swarm: &mut Swarm<Member>, peer: PeerId, through: &Multiaddr) -> bool {
        let dial = DialOpts::peer_id(peer)
            .addresses(vec![through.clone()])
            .build();
        swarm.dial(dial).expect("dialling");
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { peer_id, .. } if peer_id == peer => {
                    return true;
                }
                SwarmEvent::OutgoingConnectionError {
                    peer_id: Some(at), ..
                } if at == peer => return false,
                _ => {}
            }
        }
    }

    /// Pings that get through before the connection ends, and no more than are asked for.
    async fn pings(swarm: &mut Swarm<Member>, peer: PeerId, most: usize) -> usize {
        let mut count = 0;
        while count < most {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(MemberEvent::Ping(event)) if event.peer == peer => {
                    count += usize::from(event.result.is_ok());
                }
                SwarmEvent::ConnectionClosed { peer_id, .. } if peer_id == peer => break,
                _ => {}
            }
        }
        count
    }

    #[test]
    fn the_limits_of_a_relay_are_those_of_the_table() {
        let set = RelayLimits::default();
        let span = |span: chartmesh_core::types::Span| Duration::from_millis(span.0);

        assert_eq!(set.reservations, limits::RELAY_RESERVATIONS_MAX);
        assert_eq!(
            set.reservations_per_peer,
            limits::RELAY_RESERVATIONS_PER_PEER_MAX
        );
        assert_eq!(set.reservation_life, span(limits::RELAY_RESERVATION_LIFE));
        assert_eq!(set.circuits, limits::RELAY_CIRCUITS_MAX);
        assert_eq!(set.circuits_per_peer, limits::RELAY_CIRCUITS_PER_PEER_MAX);
        assert_eq!(set.circuit_life, span(limits::RELAY_CIRCUIT_LIFE));
        assert_eq!(set.circuit_bytes, limits::RELAY_CIRCUIT_BYTES_MAX);
        assert_eq!(set.asks, limits::RELAY_ASKS_MAX);
        assert_eq!(set.ask_every, span(limits::RELAY_ASK_EVERY));
    }

    #[tokio::test]
    async fn a_relay_relays_for_members_only() {
        let stranger = key(7).public().to_peer_id();
        let through = relay(RelayLimits::default(), stranger).await;
        let peer = reserved(1, &through).await;
        assert!(reaches(&mut member(2), peer, &through).await);

        let mut stranger = member(7);

        assert!(!reserves(&mut stranger, &through).await);
        assert!(!reaches(&mut member(7), peer, &through).await);
    }

    #[tokio::test]
    async fn a_relay_that_is_full_takes_nobody_more() {
        let limits = RelayLimits {
            reservations: 2,
            ..RelayLimits::default()
        };
        let through = relay(limits, nobody()).await;
        reserved(1, &through).await;
        reserved(2, &through).await;

        assert!(!reserves(&mut member(3), &through).await);
    }

    #[tokio::test]
    async fn a_relay_carries_so_many_connections_in_all_and_of_one_member() {
        for (circuits, circuits_per_peer, others) in [(2, 8, false), (8, 2, true)] {
            let limits = RelayLimits {
                circuits,
                circuits_per_peer,
                ..RelayLimits::default()
            };
            let through = relay(limits, nobody()).await;
            let mut far = Vec::new();
            for seed in 1..=3 {
                far.push(reserved(seed, &through).await);
            }
            let mut near = member(9);
            assert!(reaches(&mut near, far[0], &through).await);
            assert!(reaches(&mut near, far[1], &through).await);

            assert!(!reaches(&mut near, far[2], &through).await);
            assert_eq!(reaches(&mut member(8), far[2], &through).await, others);
        }
    }

    #[tokio::test]
    async fn a_relayed_connection_ends_with_its_bytes() {
        const ENOUGH: usize = 500;
        for (circuit_bytes, lives) in [(64 << 10, false), (64 << 20, true)] {
            let limits = RelayLimits {
                circuit_bytes,
                ..RelayLimits::default()
            };
            let through = relay(limits, nobody()).await;
            let peer = reserved(1, &through).await;
            let mut near = member(2);
            assert!(reaches(&mut near, peer, &through).await);

            let got_through = pings(&mut near, peer, ENOUGH).await;

            assert_eq!(got_through == ENOUGH, lives, "{got_through}");
        }
    }

    #[tokio::test]
    async fn a_relayed_connection_ends_with_its_time() {
        let limits = RelayLimits {
            circuit_life: Duration::from_secs(1),
            ..RelayLimits::default()
        };
        let through = relay(limits, nobody()).await;
        let peer = reserved(1, &through).await;
        let mut near = member(2);
        assert!(reaches(&mut near, peer, &through).await);
        let began = Instant::now();

        pings(&mut near, peer, usize::MAX).await;

        assert!(began.elapsed() >= limits.circuit_life / 2);
    }

    /// A ping is random bytes that come back, compared; before and after the lie they do.
    #[tokio::test]
    async fn a_bit_that_a_relay_changes_ends_the_relayed_connection() {
        let through = relay(RelayLimits::default(), nobody()).await;
        let peer = reserved(1, &through).await;
        let wanted = Arc::new(AtomicBool::new(false));
        let mut dialler = member_of_a_liar(2, &wanted);
        for _ in 0..2 {
            assert!(reaches(&mut dialler, peer, &through).await);
            assert_eq!(pings(&mut dialler, peer, 20).await, 20);

            wanted.store(true, Ordering::SeqCst);
            let after = pings(&mut dialler, peer, 1_000).await;

            assert!(after < 1_000 && !wanted.load(Ordering::SeqCst), "{after}");
        }
        assert!(reaches(&mut dialler, peer, &through).await);
        assert_eq!(pings(&mut dialler, peer, 20).await, 20);
    }

    #[tokio::test]
    async fn who_asks_a_relay_too_often_must_wait() {
        let limits = RelayLimits {
            asks: 2,
            ..RelayLimits::default()
        };
        let through = relay(limits, nobody()).await;
        let peer = reserved(1, &through).await;
        for _ in 0..2 {
            assert!(reaches(&mut member(2), peer, &through).await);
        }

        assert!(!reaches(&mut member(2), peer, &through).await);
        assert!(reaches(&mut member(3), peer, &through).await);
    }

    fn peers(count: usize) -> BTreeSet<PeerId> {
        (0..count).map(|_| PeerId::random()).collect()
    }

    #[test]
    fn a_node_is_relayed_by_relays_per_node_max_and_asks_another_when_one_fails() {
        let relays = peers(5);
        let now = Instant::now();
        let mut reservations = Reservations::new(PeerId::random(), BTreeSet::new());
        let first = reservations.due(&relays, now);
        assert_eq!(first.len(), limits::RELAYS_PER_NODE_MAX);
        let listeners: Vec<ListenerId> = first.iter().map(|_| ListenerId::next()).collect();
        for (listener, relay) in listeners.iter().zip(&first) {
            reservations.asked(*listener, *relay);
            assert!(reservations.granted(*relay) && !reservations.granted(*relay));
        }
        assert!(reservations.due(&relays, now).is_empty());
        assert_eq!(reservations.relays(), first.iter().copied().collect());

        assert_eq!(reservations.ended(listeners[0], now), Some(first[0]));

        assert_eq!(reservations.ended(listeners[0], now), None);
        let next = reservations.due(&relays, now);
        assert_eq!(next.len(), 1);
        assert!(!first.contains(&next[0]));
    }

    #[test]
    fn a_relay_that_fails_is_asked_ever_more_rarely_and_at_last_every_reconnect_max() {
        let relays = peers(1);
        let relay = *relays.first().expect("a relay");
        let mut reservations = Reservations::new(PeerId::random(), BTreeSet::new());
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            reservations.failed(relay, now);
            let (until, _) = reservations.resting[&relay];
            assert!(reservations.due(&relays, now).is_empty());
            assert_eq!(reservations.due(&relays, until), [relay]);
            pauses.push(until - now);
            now = until;
        }

        assert_eq!(pauses[0], REST_MIN);
        assert!(pauses.is_sorted());
        let most = Duration::from_millis(limits::RECONNECT_MAX.0);
        assert_eq!(pauses.last(), Some(&most));
    }

    #[test]
    fn only_the_named_are_asked_and_never_oneself() {
        let own = PeerId::random();
        let mut relays = peers(3);
        let named = *relays.first().expect("a relay");
        relays.insert(own);
        let now = Instant::now();

        let any = Reservations::new(own, BTreeSet::new());
        let chosen = Reservations::new(own, BTreeSet::from([named, PeerId::random()]));

        assert!(!any.due(&BTreeSet::from([own]), now).contains(&own));
        assert_eq!(chosen.due(&relays, now), [named]);
    }

    #[test]
    fn nodes_spread_over_the_relays_there_are() {
        let relays = peers(8);
        let now = Instant::now();
        let mut asked: BTreeMap<PeerId, usize> = BTreeMap::new();
        for _ in 0..200 {
            let node = Reservations::new(PeerId::random(), BTreeSet::new());
            for relay in node.due(&relays, now) {
                *asked.entry(relay).or_default() += 1;
            }
        }

        assert_eq!(asked.len(), relays.len());
        assert!(asked.values().all(|count| *count < 100), "{asked:?}");
    }
}
