//! The swarm: built from the node's key and network, owned by one task.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chartmesh_core::{
    crypto::SecretKey,
    types::{NetworkId, NodeKey, limits},
};
use futures::{FutureExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, Transport, connection_limits,
    core::{transport::ListenerId, upgrade},
    dns, identify, identity, memory_connection_limits,
    multiaddr::Protocol,
    noise, ping,
    swarm::{self, ConnectionId, NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    ConnectionInfo, NetError, NetEvent,
    address::node_key,
    dial::{Book, Keeper},
    opener::Opener,
    streams::{Inbound, StreamLimits, Streams},
};

/// What `identify` says this node speaks.
const PROTOCOL: &str = "/chartmesh/1";
/// What `identify` says this node runs: no version, which would tell an attacker what to try.
const AGENT: &str = "chartmesh";
/// Streams of one connection whose protocol is being agreed on.
const NEGOTIATING_MAX: usize = 32;
/// Streams of one Yamux connection: calls both ways, `identify` and `ping`.
const YAMUX_STREAMS_MAX: usize = 128;
/// A connection without streams is closed after this; a channel between members keeps one open.
const IDLE: Duration = Duration::from_secs(60);
/// How often a connection is tried, and how long an answer may take. libp2p forgives the first failure
/// and tries once more on a stream of its own (10 s), so a peer whose machine vanished is noticed within
/// 25 s, which leaves time to find it again within a minute.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Share of the machine's memory at which connections are refused.
const MEMORY_SHARE_MAX: f64 = 0.9;
/// Share of the connections that may come from outside, so that outsiders cannot keep this node from
/// dialling.
const INCOMING_MAX: u32 = limits::CONNECTIONS_MAX / 4 * 3;

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    // First, so that a connection refused by a limit costs the others nothing.
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    keeper: Keeper,
    streams: Streams,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// What others may know of the swarm while it runs.
#[derive(Default)]
pub(super) struct Observed(Mutex<State>);

#[derive(Default)]
struct State {
    listening: Vec<(ListenerId, Multiaddr)>,
    connections: BTreeMap<ConnectionId, Connection>,
}

struct Connection {
    node: NodeKey,
    address: Multiaddr,
    relayed: bool,
    rtt: Option<Duration>,
}

impl Observed {
    /// Every concrete address listened on.
    pub(super) fn listening(&self) -> Vec<Multiaddr> {
        let state = self.lock();
        let addresses = state.listening.iter();
        addresses.map(|(_, address)| address.clone()).collect()
    }

    /// Stops counting a connection that is of no use any more.
    fn give_up(&self, connection: ConnectionId) -> Option<NetEvent> {
        self.lock().lose(connection)
    }

    fn port(&self, listener: ListenerId) -> Option<u16> {
        let state = self.lock();
        let mut own = state.listening.iter().filter(|(id, _)| *id == listener);
        own.find_map(|(_, address)| Some(socket(address)?.port()))
    }

    /// One entry for each connected node.
    pub(super) fn connections(&self) -> Vec<ConnectionInfo> {
        let mut nodes: BTreeMap<NodeKey, ConnectionInfo> = BTreeMap::new();
        for connection in self.lock().connections.values() {
            let info = nodes
                .entry(connection.node)
                .or_insert_with(|| ConnectionInfo {
                    node: connection.node,
                    rtt_ms: None,
                    relayed: true,
                    addresses: Vec::new(),
                });
            let rtt_ms = connection.rtt.map(|rtt| rtt.as_secs_f64() * 1_000.0);
            info.rtt_ms = match (info.rtt_ms, rtt_ms) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            info.relayed &= connection.relayed;
            info.addresses.push(connection.address.to_string());
        }
        nodes.into_values().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn gain(&mut self, id: ConnectionId, connection: Connection) -> Option<NetEvent> {
        let node = connection.node;
        let first = !self.holds(node);
        self.connections.insert(id, connection);
        first.then_some(NetEvent::Connected(node))
    }

    fn lose(&mut self, id: ConnectionId) -> Option<NetEvent> {
        let node = self.connections.remove(&id)?.node;
        (!self.holds(node)).then_some(NetEvent::Disconnected(node))
    }

    fn holds(&self, node: NodeKey) -> bool {
        self.connections.values().any(|known| known.node == node)
    }
}

/// A swarm that is not running yet, and the ways to it.
pub(super) struct Built {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) opener: Opener,
    pub(super) accepted: mpsc::Receiver<Inbound>,
    pub(super) book: Book,
}

/// Builds the swarm of a node in a network.
///
/// # Errors
///
/// [`NetError::Key`] where the seed gives no transport key.
pub(super) fn build(seed: &SecretKey, network: NetworkId) -> Result<Built, NetError> {
    // The callee wipes the bytes it is given.
    let mut bytes = **seed;
    let secret =
        identity::ed25519::SecretKey::try_from_bytes(&mut bytes).map_err(|_| NetError::Key)?;
    let key: identity::Keypair = identity::ed25519::Keypair::from(secret).into();
    let own = key.public().to_peer_id();
    let protocol = format!("/chartmesh/{}/grpc/1", network.short());
    let protocol = StreamProtocol::try_from_owned(protocol).map_err(|_| NetError::Key)?;
    let (streams, opener, accepted) = Streams::new(protocol, StreamLimits::default());
    let book = Book::new(own);
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(connection_limits()),
        memory: memory_connection_limits::Behaviour::with_max_percentage(MEMORY_SHARE_MAX),
        keeper: Keeper::new(book.clone()),
        streams,
        identify: identify::Behaviour::new(
            identify::Config::new(PROTOCOL.to_owned(), key.public())
                .with_agent_version(AGENT.to_owned())
                .with_hide_listen_addrs(true)
                .with_cache_size(0),
        ),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(PING_INTERVAL)
                .with_timeout(PING_TIMEOUT),
        ),
    };
    let config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE)
        .with_max_negotiating_inbound_streams(NEGOTIATING_MAX);
    Ok(Built {
        swarm: Swarm::new(transport(&key)?, behaviour, own, config),
        opener,
        accepted,
        book,
    })
}

fn connection_limits() -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_established(Some(limits::CONNECTIONS_MAX))
        .with_max_established_incoming(Some(INCOMING_MAX))
        .with_max_established_per_peer(Some(limits::CONNECTIONS_PER_PEER_MAX))
        .with_max_pending_incoming(Some(limits::CONNECTIONS_PENDING_MAX))
}

type Muxed = (PeerId, libp2p::core::muxing::StreamMuxerBox);

fn transport(key: &identity::Keypair) -> Result<libp2p::core::transport::Boxed<Muxed>, NetError> {
    let sockets = || tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let stream = match dns::tokio::Transport::system(sockets()) {
        Ok(resolving) => resolving.boxed(),
        // A node without a resolver still serves its own users and peers known by number.
        Err(error) => {
            tracing::warn!(%error, "no name resolver: only numeric addresses are dialled");
            sockets().boxed()
        }
    };
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(YAMUX_STREAMS_MAX);
    let noise = noise::Config::new(key).map_err(|_| NetError::Key)?;
    Ok(stream
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise)
        .multiplex(muxer)
        .timeout(Duration::from_millis(limits::CONNECT_MAX.0))
        .boxed())
}

/// Listens on every address it can and says which port each got, in the order asked; an address that
/// cannot be listened on stays as it was asked.
///
/// # Errors
///
/// [`NetError::PortTaken`], and [`NetError::Listen`] where no address can be listened on.
pub(super) async fn listen(
    swarm: &mut Swarm<Behaviour>,
    observed: &Observed,
    wanted: &[Multiaddr],
) -> Result<Vec<Multiaddr>, NetError> {
    for address in wanted {
        probe(address)?;
    }
    let mut listeners = Vec::new();
    let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in wanted {
        match swarm.listen_on(address.clone()) {
            Ok(listener) => listeners.push((Some(listener), address)),
            Err(error) => {
                tracing::warn!(%address, %error, "cannot listen on this address");
                refused = io::Error::other(error);
                listeners.push((None, address));
            }
        }
    }
    let deadline = tokio::time::sleep(Duration::from_millis(limits::CONNECT_MAX.0));
    tokio::pin!(deadline);
    while listeners
        .iter()
        .filter_map(|(id, _)| *id)
        .any(|id| observed.port(id).is_none())
    {
        tokio::select! {
            event = swarm.select_next_some() => {
                if let SwarmEvent::ListenerClosed { listener_id, .. } = &event {
                    let ended = listeners.iter_mut().find(|(id, _)| *id == Some(*listener_id));
                    ended.into_iter().for_each(|(id, _)| *id = None);
                }
                observe(observed, &event);
            }
            () = &mut deadline => return Err(NetError::Silent),
        }
    }
    // The addresses of further interfaces are ready by now.
    while let Some(event) = swarm.select_next_some().now_or_never() {
        observe(observed, &event);
    }
    if !wanted.is_empty() && listeners.iter().all(|(id, _)| id.is_none()) {
        return Err(NetError::Listen(refused));
    }
    Ok(listeners
        .into_iter()
        .map(|(id, address)| match id.and_then(|id| observed.port(id)) {
            Some(port) => with_port(address, port),
            None => address.clone(),
        })
        .collect())
}

/// Whether the port is free. libp2p listens with `SO_REUSEPORT`, under which a second process of the
/// same user would silently share the port.
fn probe(address: &Multiaddr) -> Result<(), NetError> {
    let socket = socket(address).ok_or(NetError::Unsupported)?;
    match TcpListener::bind(socket) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(NetError::PortTaken {
            port: socket.port(),
        }),
        // Whatever else is wrong with it is told when it is listened on.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match (parts.next()?, parts.next()) {
        (Protocol::Tcp(port), None) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

fn with_port(address: &Multiaddr, port: u16) -> Multiaddr {
    address
        .iter()
        .map(|part| match part {
            Protocol::Tcp(_) => Protocol::Tcp(port),
            other => other,
        })
        .collect()
}

/// Runs the swarm until it is told to stop; dropping it closes every connection and listener.
pub(super) async fn run(
    mut swarm: Swarm<Behaviour>,
    observed: Arc<Observed>,
    events: broadcast::Sender<NetEvent>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            event = swarm.select_next_some() => settle(&mut swarm, &observed, &events, &event),
        }
    }
}

fn settle(
    swarm: &mut Swarm<Behaviour>,
    observed: &Observed,
    events: &broadcast::Sender<NetEvent>,
    event: &SwarmEvent<BehaviourEvent>,
) {
    tell(events, observe(observed, event));
    match event {
        SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
            connection,
            peer,
            result: Err(ping::Failure::Timeout | ping::Failure::Other { .. }),
        })) => {
            tracing::info!(%peer, "connection given up: the peer does not answer");
            // Closing waits for what is still to be sent, which may be for ever: whoever needs the
            // peer must not wait for that.
            swarm.behaviour_mut().keeper.give_up(*peer, *connection);
            swarm.behaviour_mut().streams.give_up(*peer, *connection);
            tell(events, observed.give_up(*connection));
            swarm.close_connection(*connection);
        }
        SwarmEvent::OutgoingConnectionError {
            peer_id: Some(peer),
            error,
            ..
        } => tracing::debug!(%peer, %error, "not connected"),
        SwarmEvent::ListenerError { error, .. } => {
            tracing::warn!(%error, "a connection could not be accepted");
        }
        SwarmEvent::ListenerClosed {
            reason: Err(error), ..
        } => tracing::error!(%error, "a listener ended"),
        _ => {}
    }
}

fn tell(events: &broadcast::Sender<NetEvent>, event: Option<NetEvent>) {
    if let Some(event) = event {
        // Nobody may be listening.
        let _ = events.send(event);
    }
}

/// Notes what happened, and says whether a node was thereby gained or lost.
fn observe(observed: &Observed, event: &SwarmEvent<BehaviourEvent>) -> Option<NetEvent> {
    let mut state = observed.lock();
    match event {
        SwarmEvent::NewListenAddr {
            listener_id,
            address,
        } => {
            let known = (*listener_id, address.clone());
            if !state.listening.contains(&known) {
                state.listening.push(known);
            }
        }
        SwarmEvent::ExpiredListenAddr {
            listener_id,
            address,
        } => {
            state
                .listening
                .retain(|(id, known)| (id, known) != (listener_id, address));
        }
        SwarmEvent::ListenerClosed { listener_id, .. } => {
            state.listening.retain(|(id, _)| id != listener_id);
        }
        SwarmEvent::ConnectionEstablished {
            peer_id,
            connection_id,
            endpoint,
            ..
        } => {
            let connection = Connection {
                node: node_key(*peer_id)?,
                address: endpoint.get_remote_address().clone(),
                relayed: endpoint.is_relayed(),
                rtt: None,
            };
            return state.gain(*connection_id, connection);
        }
        SwarmEvent::ConnectionClosed { connection_id, .. } => return state.lose(*connection_id),
        SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
            connection,
            result: Ok(rtt),
            ..
        })) => {
            if let Some(connection) = state.connections.get_mut(connection) {
                connection.rtt = Some(*rtt);
            }
        }
        _ => {}
    }
    None
}

#[cfg(test)]
mod tests {
    use libp2p::{
        core::{ConnectedPoint, Endpoint, transport::PortUse},
        swarm::{FromSwarm, behaviour::ConnectionEstablished},
    };
    use tokio::{io::copy_bidirectional, net::TcpStream, sync::watch};

    use super::*;

    const NETWORK: NetworkId = NetworkId([7; 32]);

    /// Forwards connections to a port, until it freezes those it has: they stay open and carry nothing.
    async fn proxy(to: u16) -> (u16, watch::Sender<u32>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let (freeze, frozen) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut frozen = frozen.clone();
                frozen.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", to))
                        .await
                        .expect("the node behind");
                    tokio::select! {
                        ended = copy_bidirectional(&mut near, &mut far) => drop(ended),
                        _ = frozen.changed() => std::future::pending::<()>().await,
                    }
                });
            }
        });
        (port, freeze)
    }

    #[tokio::test]
    async fn a_peer_that_falls_silent_is_given_up_and_found_again() {
        let mut holder = build(&SecretKey::new([2; 32]), NETWORK).expect("a swarm");
        let peer = *holder.swarm.local_peer_id();
        let node = node_key(peer).expect("a node");
        let here = ["/ip4/127.0.0.1/tcp/0".parse().expect("an address")];
        let bound = listen(&mut holder.swarm, &Observed::default(), &here)
            .await
            .expect("a listener");
        let (port, freeze) = proxy(socket(&bound[0]).expect("a socket").port()).await;
        let (events, mut seen) = broadcast::channel(8);
        let stop = CancellationToken::new();
        let unheard = broadcast::channel(1).0;
        tokio::spawn(run(holder.swarm, Arc::default(), unheard, stop.clone()));
        let observed = Observed::default();
        let mut asker = build(&SecretKey::new([1; 32]), NETWORK).expect("a swarm");
        let through = format!("/ip4/127.0.0.1/tcp/{port}")
            .parse()
            .expect("an address");
        asker.book.keep(vec![(peer, vec![through])]);
        let connection = connected(&mut asker.swarm, &observed, &events).await;
        assert_eq!(seen.try_recv(), Ok(NetEvent::Connected(node)));

        freeze.send_modify(|times| *times += 1);
        let silence = SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
            peer,
            connection,
            result: Err(ping::Failure::Timeout),
        }));
        settle(&mut asker.swarm, &observed, &events, &silence);

        assert_eq!(seen.try_recv(), Ok(NetEvent::Disconnected(node)));
        assert!(observed.connections().is_empty());
        let again = connected(&mut asker.swarm, &observed, &events).await;
        assert_ne!(again, connection);
        assert_eq!(seen.try_recv(), Ok(NetEvent::Connected(node)));
        stop.cancel();
    }

    async fn connected(
        swarm: &mut Swarm<Behaviour>,
        observed: &Observed,
        events: &broadcast::Sender<NetEvent>,
    ) -> ConnectionId {
        let established = async {
            loop {
                let event = swarm.select_next_some().await;
                settle(swarm, observed, events, &event);
                if let SwarmEvent::ConnectionEstablished { connection_id, .. } = event {
                    return connection_id;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), established)
            .await
            .expect("a connection in time")
    }

    /// A limits behaviour, and how many connections it was told of.
    struct Gate(connection_limits::Behaviour, usize);

    impl Gate {
        fn new() -> Self {
            Self(connection_limits::Behaviour::new(connection_limits()), 0)
        }

        fn admits(&mut self, peer: PeerId, endpoint: &ConnectedPoint) -> bool {
            self.1 += 1;
            let id = ConnectionId::new_unchecked(self.1);
            let here = Multiaddr::empty();
            let admitted = match endpoint {
                ConnectedPoint::Listener { .. } => self
                    .0
                    .handle_established_inbound_connection(id, peer, &here, &here)
                    .is_ok(),
                ConnectedPoint::Dialer { .. } => self
                    .0
                    .handle_established_outbound_connection(
                        id,
                        peer,
                        &here,
                        Endpoint::Dialer,
                        PortUse::New,
                    )
                    .is_ok(),
            };
            if admitted {
                self.0
                    .on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                        peer_id: peer,
                        connection_id: id,
                        endpoint,
                        failed_addresses: &[],
                        other_established: 0,
                    }));
            }
            admitted
        }
    }

    fn incoming() -> ConnectedPoint {
        ConnectedPoint::Listener {
            local_addr: Multiaddr::empty(),
            send_back_addr: Multiaddr::empty(),
        }
    }

    fn outgoing() -> ConnectedPoint {
        ConnectedPoint::Dialer {
            address: Multiaddr::empty(),
            role_override: Endpoint::Dialer,
            port_use: PortUse::New,
        }
    }

    #[test]
    fn outsiders_cannot_take_the_connections_this_node_dials() {
        let mut gate = Gate::new();
        for _ in 0..INCOMING_MAX {
            assert!(gate.admits(PeerId::random(), &incoming()));
        }

        assert!(!gate.admits(PeerId::random(), &incoming()));
        for _ in INCOMING_MAX..limits::CONNECTIONS_MAX {
            assert!(gate.admits(PeerId::random(), &outgoing()));
        }
        assert!(!gate.admits(PeerId::random(), &outgoing()));
    }

    #[test]
    fn one_peer_has_few_connections() {
        let mut gate = Gate::new();
        let peer = PeerId::random();
        for _ in 0..limits::CONNECTIONS_PER_PEER_MAX {
            assert!(gate.admits(peer, &incoming()));
        }

        assert!(!gate.admits(peer, &incoming()));
        assert!(!gate.admits(peer, &outgoing()));
        assert!(gate.admits(PeerId::random(), &incoming()));
    }

    #[test]
    fn the_port_that_was_taken_is_written_back() {
        let asked: Multiaddr = "/ip6/::/tcp/0".parse().expect("an address");

        assert_eq!(with_port(&asked, 7420).to_string(), "/ip6/::/tcp/7420");
    }
}
