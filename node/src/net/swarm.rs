//! The swarm: built from the node's key and network, owned by one task.

use std::{sync::Arc, time::Duration};

use chartmesh_core::{
    crypto::SecretKey,
    types::{NetworkId, NodeKey, limits},
};
use futures::StreamExt;
use libp2p::{
    PeerId, StreamProtocol, Swarm, connection_limits,
    core::transport::Boxed,
    identify, identity, memory_connection_limits, ping,
    swarm::{self, NetworkBehaviour, SwarmEvent},
};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    NetError, NetEvent, PeerCalls,
    address::node_key,
    cut::Cuts,
    dial::{Book, Keeper},
    directory::Directory,
    gate::Gate,
    guard::Guards,
    kademlia::{self, Finder, Kad, PUBLISH_AGAIN, PUBLISH_EVERY},
    members_only::MembersOnly,
    meter::Meters,
    observed::Observed,
    opener::Opener,
    reach::{LOOK_EVERY, Moved, Reach, ReachConfig, Ways},
    streams::{Inbound, StreamLimits, Streams},
    transport,
};

/// What `identify` says this node speaks.
const PROTOCOL: &str = "/chartmesh/1";
/// What `identify` says this node runs: no version, which would tell an attacker what to try.
const AGENT: &str = "chartmesh";
/// A connection without streams that nobody wants to keep is closed after this.
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
    gate: Gate,
    pub(super) keeper: Keeper,
    streams: Streams,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    kad: MembersOnly<Kad>,
    // Last, since it cannot bear that another refuses a connection it has counted.
    pub(super) ways: Ways,
}

/// A swarm that is not running yet, and the ways to it.
pub(super) struct Built {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) opener: Opener,
    pub(super) accepted: mpsc::Receiver<Inbound>,
    pub(super) book: Book,
    pub(super) cuts: Cuts,
    pub(super) finder: Finder,
    pub(super) reach: Reach,
}

/// Who a node is, where, and whom it knows.
pub(super) struct Identity {
    pub(super) key: identity::Keypair,
    pub(super) network: NetworkId,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) reach: ReachConfig,
}

impl Identity {
    /// The identity that grows from a seed.
    ///
    /// # Errors
    ///
    /// [`NetError::Key`] where the seed gives no transport key.
    pub(super) fn new(
        seed: &SecretKey,
        network: NetworkId,
        directory: Arc<dyn Directory>,
        reach: ReachConfig,
    ) -> Result<Self, NetError> {
        // The callee wipes the bytes it is given.
        let mut bytes = **seed;
        let secret =
            identity::ed25519::SecretKey::try_from_bytes(&mut bytes).map_err(|_| NetError::Key)?;
        Ok(Self {
            key: identity::ed25519::Keypair::from(secret).into(),
            network,
            directory,
            reach,
        })
    }

    fn peer(&self) -> PeerId {
        self.key.public().to_peer_id()
    }
}

/// Builds the swarm of a node in a network.
///
/// # Errors
///
/// [`NetError::Key`] where the key cannot be used; [`NetError::Address`] where an announced address is
/// none.
pub(super) fn build(identity: &Identity) -> Result<Built, NetError> {
    let guards = Guards {
        meters: Meters::new(identity.directory.clone()),
        cuts: Cuts::default(),
    };
    let (ways, circuits) = Ways::new(identity.peer(), &identity.reach, &identity.directory);
    let proxy = identity.reach.proxy.as_ref();
    let transport = transport::build(&identity.key, &guards, proxy, circuits)?;
    assemble(identity, guards.cuts, transport, ways)
}

fn assemble(
    identity: &Identity,
    cuts: Cuts,
    transport: Boxed<transport::Muxed>,
    ways: Ways,
) -> Result<Built, NetError> {
    let own = identity.peer();
    let protocol = format!("/chartmesh/{}/grpc/1", identity.network.short());
    let protocol = StreamProtocol::try_from_owned(protocol).map_err(|_| NetError::Key)?;
    let directory = &identity.directory;
    let (streams, opener, accepted) =
        Streams::new(own, protocol, StreamLimits::default(), directory.clone());
    let book = Book::new(own);
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(connection_limits()),
        memory: memory_connection_limits::Behaviour::with_max_percentage(MEMORY_SHARE_MAX),
        gate: Gate::new(directory.clone()),
        keeper: Keeper::new(book.clone()),
        streams,
        identify: identify(&identity.key),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(PING_INTERVAL)
                .with_timeout(PING_TIMEOUT),
        ),
        kad: kademlia::behaviour(own, identity.network, directory.clone())?,
        ways,
    };
    let config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE)
        .with_max_negotiating_inbound_streams(limits::STREAMS_NEGOTIATING_MAX);
    Ok(Built {
        swarm: Swarm::new(transport, behaviour, own, config),
        opener,
        accepted,
        book,
        cuts,
        finder: Finder::new(directory.clone()),
        reach: Reach::new(own, &identity.reach)?,
    })
}

fn identify(key: &identity::Keypair) -> identify::Behaviour {
    identify::Behaviour::new(
        identify::Config::new(PROTOCOL.to_owned(), key.public())
            .with_agent_version(AGENT.to_owned())
            .with_hide_listen_addrs(true)
            .with_cache_size(0),
    )
}

fn connection_limits() -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_established(Some(limits::CONNECTIONS_MAX))
        .with_max_established_incoming(Some(INCOMING_MAX))
        .with_max_established_per_peer(Some(limits::CONNECTIONS_PER_PEER_MAX))
        .with_max_pending_incoming(Some(limits::CONNECTIONS_PENDING_MAX))
}

/// What the running swarm is asked for.
pub(super) enum Order {
    /// Where is this member?
    Find(NodeKey, kademlia::Answer),
    /// Put this node's own record where others find it.
    Publish,
}

/// A running swarm and what belongs to it.
pub(super) struct Runner {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) own: NodeKey,
    pub(super) finder: Finder,
    pub(super) reach: Reach,
    pub(super) book: Book,
    pub(super) calls: PeerCalls,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) observed: Arc<Observed>,
    pub(super) events: broadcast::Sender<NetEvent>,
}

impl Runner {
    /// Runs the swarm until it is told to stop; dropping it closes every connection and listener.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.book.changes();
        changes.mark_changed();
        let mut publish = tokio::time::interval(PUBLISH_EVERY);
        let mut again = tokio::time::interval(PUBLISH_AGAIN);
        let mut look = tokio::time::interval(LOOK_EVERY);
        self.reach
            .begin(&mut self.swarm, &self.observed, &self.book);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // The book holds the other end, so this never ends.
                _ = changes.changed() => self.take_over_members(),
                _ = publish.tick() => self.publish(),
                _ = again.tick() => if self.finder.is_owed() { self.publish() },
                _ = look.tick() => self.reach.look(&mut self.swarm, &self.book),
                Some(order) = self.orders.recv() => self.follow(order),
                event = self.swarm.select_next_some() => self.settle(event),
            }
        }
    }

    pub(super) fn kad(&mut self) -> (&mut Finder, &mut Kad) {
        let kad = self.swarm.behaviour_mut().kad.inner();
        (&mut self.finder, kad)
    }

    pub(super) fn take_over_members(&mut self) {
        let members = self.book.members();
        let (finder, kad) = self.kad();
        let was_alone = kad.kbuckets().next().is_none();
        finder.replace(kad, &members);
        if was_alone {
            self.publish();
        }
    }

    pub(super) fn publish(&mut self) {
        let own = self.own;
        let (finder, kad) = self.kad();
        if kad.kbuckets().next().is_some() {
            finder.publish(kad, own);
        }
    }

    fn follow(&mut self, order: Order) {
        let (finder, kad) = self.kad();
        match order {
            Order::Find(node, answer) => finder.find(kad, node, answer),
            Order::Publish => self.publish(),
        }
    }

    pub(super) fn settle(&mut self, event: SwarmEvent<BehaviourEvent>) {
        self.tell(observe(&self.observed, &event));
        let is_reservation = matches!(&event, SwarmEvent::ListenerClosed { listener_id, .. }
            if self.reach.is_reservation(*listener_id));
        self.reach_settled(&event);
        match event {
            // Relays come and go.
            SwarmEvent::ListenerClosed { .. } if is_reservation => {}
            SwarmEvent::Behaviour(BehaviourEvent::Kad(event)) => {
                let (finder, kad) = self.kad();
                finder.on_event(kad, event);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                connection,
                peer,
                result: Err(ping::Failure::Timeout | ping::Failure::Other { .. }),
            })) => {
                tracing::info!(%peer, "connection given up: the peer does not answer");
                // Closing waits for what is still to be sent, which may be for ever: whoever needs the
                // peer must not wait for that.
                let behaviour = self.swarm.behaviour_mut();
                behaviour.keeper.give_up(peer, connection);
                behaviour.streams.give_up(peer, connection);
                self.tell(self.observed.lose(connection));
                self.swarm.close_connection(connection);
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                num_established,
                ..
            } if num_established.get() > 1 => {
                // The next call goes over the better connection, and the other falls idle.
                if let Some(node) = node_key(peer_id) {
                    self.calls.hang_up(node);
                }
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => tracing::debug!(%peer, %error, "not connected"),
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "a connection was not taken");
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a connection could not be accepted");
            }
            SwarmEvent::ListenerClosed {
                reason: Err(error), ..
            } => tracing::error!(%error, "a listener ended"),
            _ => {}
        }
    }

    fn reach_settled(&mut self, event: &SwarmEvent<BehaviourEvent>) {
        match self.reach.settle(&mut self.swarm, event) {
            Moved::Nowhere => {}
            Moved::Elsewhere => {
                self.reach.publish(&self.observed, &self.book);
                self.tell(Some(NetEvent::Moved));
            }
        }
    }

    fn tell(&self, event: Option<NetEvent>) {
        if let Some(event) = event {
            // Nobody may be listening.
            let _ = self.events.send(event);
        }
    }
}

/// Notes what happened, and says whether a node was thereby gained or lost.
pub(super) fn observe(observed: &Observed, event: &SwarmEvent<BehaviourEvent>) -> Option<NetEvent> {
    match event {
        SwarmEvent::NewListenAddr {
            listener_id,
            address,
        } => observed.listens(*listener_id, address),
        SwarmEvent::ExpiredListenAddr {
            listener_id,
            address,
        } => observed.listens_no_more(*listener_id, Some(address)),
        SwarmEvent::ListenerClosed { listener_id, .. } => {
            observed.listens_no_more(*listener_id, None);
        }
        SwarmEvent::ConnectionEstablished {
            peer_id,
            connection_id,
            endpoint,
            ..
        } => return observed.gain(*connection_id, *peer_id, endpoint),
        SwarmEvent::ConnectionClosed { connection_id, .. } => return observed.lose(*connection_id),
        SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
            connection,
            result: Ok(rtt),
            ..
        })) => observed.measured(*connection, *rtt),
        _ => {}
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use libp2p::{
        Multiaddr, Transport,
        core::{ConnectedPoint, Endpoint, transport::PortUse},
        swarm::{ConnectionId, FromSwarm, behaviour::ConnectionEstablished, dial_opts::DialOpts},
    };
    use tokio::{io::copy_bidirectional, net::TcpStream, sync::watch};

    use super::{
        super::{
            directory::tests::Everybody,
            listen::{Socket, listen, socket},
        },
        *,
    };

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

    /// A node on memory transport; it listens, and knows whom its directory knows.
    pub(in crate::net) async fn in_memory(identity: &Identity) -> (Runner, Multiaddr) {
        let guards = Guards {
            meters: Meters::new(identity.directory.clone()),
            cuts: Cuts::default(),
        };
        let (ways, circuits) = Ways::new(identity.peer(), &identity.reach, &identity.directory);
        let memory = libp2p::core::transport::MemoryTransport::default().or_transport(circuits);
        let transport = transport::secured(memory, &identity.key, guards.clone());
        let built = assemble(identity, guards.cuts, transport.expect("a transport"), ways);
        let mut runner = runner(built.expect("a swarm"));
        let anywhere = "/memory/0".parse().expect("an address");
        runner.swarm.listen_on(anywhere).expect("a listener");
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = runner.swarm.select_next_some().await
            {
                return (runner, address);
            }
        }
    }

    fn built(seed: u8) -> Built {
        let seed = SecretKey::new([seed; 32]);
        let identity = Identity::new(&seed, NETWORK, Arc::new(Everybody), ReachConfig::default())
            .expect("an identity");
        build(&identity).expect("a swarm")
    }

    /// A swarm ready to run.
    pub(in crate::net) fn runner(built: Built) -> Runner {
        let peer = *built.swarm.local_peer_id();
        let (orders, asked) = mpsc::channel(1);
        Runner {
            swarm: built.swarm,
            own: node_key(peer).expect("a node"),
            finder: built.finder,
            reach: built.reach,
            book: built.book.clone(),
            calls: PeerCalls::new(peer, built.opener, built.book, orders),
            orders: asked,
            observed: Arc::default(),
            events: broadcast::channel(8).0,
        }
    }

    #[tokio::test]
    async fn a_peer_that_falls_silent_is_given_up_and_found_again() {
        let mut holder = built(2);
        let peer = *holder.swarm.local_peer_id();
        let node = node_key(peer).expect("a node");
        let here = ["/ip4/127.0.0.1/tcp/0".parse().expect("an address")];
        let bound = listen(&mut holder.swarm, &Observed::default(), &here)
            .await
            .expect("a listener");
        let Some(Socket::Stream(at)) = socket(&bound[0]) else {
            panic!("a socket");
        };
        let (port, freeze) = proxy(at.port()).await;
        let stop = CancellationToken::new();
        tokio::spawn(runner(holder).run(stop.clone()));
        let mut asker = runner(built(1));
        let mut seen = asker.events.subscribe();
        let through = format!("/ip4/127.0.0.1/tcp/{port}")
            .parse()
            .expect("an address");
        asker.book.keep(vec![(peer, vec![through])]);
        let connection = connected(&mut asker).await;
        assert_eq!(seen.try_recv(), Ok(NetEvent::Connected(node)));

        freeze.send_modify(|times| *times += 1);
        asker.settle(SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
            peer,
            connection,
            result: Err(ping::Failure::Timeout),
        })));

        assert_eq!(seen.try_recv(), Ok(NetEvent::Disconnected(node)));
        assert!(asker.observed.connections().is_empty());
        let again = connected(&mut asker).await;
        assert_ne!(again, connection);
        assert_eq!(seen.try_recv(), Ok(NetEvent::Connected(node)));
        stop.cancel();
    }

    /// The hard case is that the wrong one answers first.
    #[tokio::test]
    async fn somebody_else_at_one_address_does_not_hide_the_right_node_at_another() {
        let (mut right, mut wrong) = (built(2), built(3));
        let peer = *right.swarm.local_peer_id();
        let here = ["/ip4/127.0.0.1/tcp/0".parse().expect("an address")];
        let mut bound = Vec::new();
        for node in [&mut right, &mut wrong] {
            let observed = Observed::default();
            bound.extend(listen(&mut node.swarm, &observed, &here).await);
        }
        let [right_at, wrong_at] = [&bound[0][0], &bound[1][0]];
        let Some(Socket::Stream(at)) = socket(right_at) else {
            panic!("a socket");
        };
        let (answered, mut wait) = watch::channel(false);
        let slow = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a listener");
        let port = slow.local_addr().expect("its address").port();
        tokio::spawn(async move {
            let (mut near, _) = slow.accept().await.expect("a connection");
            wait.changed().await.expect("the wrong one answers");
            let mut far = TcpStream::connect(at).await.expect("the right one");
            drop(copy_bidirectional(&mut near, &mut far).await);
        });
        let stop = CancellationToken::new();
        tokio::spawn(runner(right).run(stop.clone()));
        tokio::spawn(async move {
            loop {
                // It is hung up on at once, perhaps before it has counted the connection.
                if let SwarmEvent::ConnectionEstablished { .. }
                | SwarmEvent::IncomingConnectionError { .. } =
                    wrong.swarm.select_next_some().await
                {
                    answered.send_replace(true);
                }
            }
        });
        let mut asker = runner(built(1));
        let slow = format!("/ip4/127.0.0.1/tcp/{port}");
        let addresses = vec![wrong_at.clone(), slow.parse().expect("an address")];

        let dial = DialOpts::peer_id(peer).addresses(addresses).build();
        asker.swarm.dial(dial).expect("dialling");

        let found = async {
            loop {
                match asker.swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { peer_id, .. } => return Ok(peer_id),
                    SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error),
                    _ => {}
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(60), found).await;
        assert_eq!(found.expect("in time").expect("connected"), peer);
        stop.cancel();
    }

    async fn connected(runner: &mut Runner) -> ConnectionId {
        let established = async {
            loop {
                let event = runner.swarm.select_next_some().await;
                let connection = match &event {
                    SwarmEvent::ConnectionEstablished { connection_id, .. } => Some(*connection_id),
                    _ => None,
                };
                runner.settle(event);
                if let Some(connection) = connection {
                    return connection;
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
}
