//! A libp2p behaviour that opens and accepts streams of one protocol, with bounds and without silent
//! drops.
//!
//! Admission, limits and the choice of connection live here; what travels on a stream does not.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use chartmesh_core::types::limits;
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, transport::PortUse, upgrade::ReadyUpgrade},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, DialError,
        DialFailure, FromSwarm, NetworkBehaviour, NotifyHandler, StreamUpgradeError,
        SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        behaviour::{ConnectionClosed, ConnectionEstablished},
        dial_opts::{DialOpts, PeerCondition},
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::PollSender;

use super::{
    Slots,
    directory::{Directory, knows},
    links::Links,
    opener::{Ask, OpenError, Opener, Reply, StreamReply},
};

/// Bounds of one node's streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamLimits {
    /// Inbound streams one peer may hold open over all its connections.
    pub(super) inbound_per_peer: usize,
    /// Accepted streams waiting for the server.
    pub(super) inbound_queue: usize,
    /// Requests that wait for one peer, and for the swarm.
    pub(super) waiting: usize,
    /// Streams being opened to one peer at a time.
    pub(super) opening_per_peer: usize,
    /// How long the peer may take to agree on the protocol.
    pub(super) negotiation: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            inbound_per_peer: limits::STREAMS_PER_PEER_MAX,
            inbound_queue: limits::STREAM_QUEUE_MAX,
            waiting: limits::OPEN_QUEUE_MAX,
            opening_per_peer: limits::OPENS_PER_PEER_MAX,
            negotiation: Duration::from_millis(limits::CONNECT_MAX.0),
        }
    }
}

/// A stream a peer opened; it counts against the peer until the slot is dropped.
pub(super) struct Inbound {
    pub(super) peer: PeerId,
    pub(super) stream: Stream,
    pub(super) slot: OwnedSemaphorePermit,
}

/// The behaviour.
pub(super) struct Streams {
    protocol: StreamProtocol,
    limits: StreamLimits,
    inbound: mpsc::Sender<Inbound>,
    asks: mpsc::Receiver<Ask>,
    directory: Arc<dyn Directory>,
    links: Links,
    slots: Slots<PeerId>,
    strangers: Slots<PeerId>,
    dialling: BTreeMap<PeerId, Vec<Reply>>,
    events: VecDeque<ToSwarm<Infallible, StreamReply>>,
}

impl Streams {
    /// The behaviour, the way out and the way in.
    pub(super) fn new(
        own: PeerId,
        protocol: StreamProtocol,
        limits: StreamLimits,
        directory: Arc<dyn Directory>,
    ) -> (Self, Opener, mpsc::Receiver<Inbound>) {
        let (inbound, accepted) = mpsc::channel(limits.inbound_queue);
        let links = Links::new(own);
        let (opener, asks) = Opener::new(limits, links.linked());
        let streams = Self {
            protocol,
            limits,
            inbound,
            asks,
            directory,
            links,
            slots: Slots::new(limits.inbound_per_peer),
            strangers: Slots::new(limits::STRANGER_STREAMS_MAX),
            dialling: BTreeMap::new(),
            events: VecDeque::new(),
        };
        (streams, opener, accepted)
    }

    fn handler(&mut self, peer: PeerId) -> Handler {
        Handler {
            peer,
            protocol: self.protocol.clone(),
            negotiation: self.limits.negotiation,
            directory: self.directory.clone(),
            slots: self.slots.of(peer),
            stranger: self.strangers.of(peer),
            inbound: PollSender::new(self.inbound.clone()),
            accepted: VecDeque::new(),
            opening: VecDeque::new(),
        }
    }

    fn answer(&mut self, peer: PeerId, reply: Reply) {
        match (self.links.best(peer), reply) {
            // The opener bounds requests for a peer, so the queue of the connection never fills and
            // the swarm never waits for it.
            (Some(connection), Reply::Opened(reply)) => {
                self.events.push_back(ToSwarm::NotifyHandler {
                    peer_id: peer,
                    handler: NotifyHandler::One(connection),
                    event: reply,
                });
            }
            (Some(_), Reply::Connected(answer)) => {
                // A caller that has gone away needs no answer.
                let _ = answer.send(Ok(()));
            }
            (None, reply) => self.dial(peer, reply),
        }
    }

    fn dial(&mut self, peer: PeerId, reply: Reply) {
        let waiting = self.dialling.entry(peer).or_default();
        waiting.retain(|reply| !reply.is_closed());
        waiting.push(reply);
        self.events.push_back(ToSwarm::Dial {
            // A connection that was given up may still count as one to the swarm.
            opts: DialOpts::peer_id(peer)
                .condition(PeerCondition::NotDialing)
                .allocate_new_port()
                .build(),
        });
    }

    fn established(&mut self, event: &ConnectionEstablished<'_>) {
        self.links
            .add(event.peer_id, event.connection_id, event.endpoint);
        for reply in self.dialling.remove(&event.peer_id).unwrap_or_default() {
            self.answer(event.peer_id, reply);
        }
    }

    /// Opens no more streams over a connection.
    pub(super) fn give_up(&mut self, peer: PeerId, id: ConnectionId) {
        self.links.remove(peer, id);
    }

    fn dial_failed(&mut self, peer: PeerId, error: &DialError) {
        // Somebody else's dial to this peer goes on and will be told of.
        if matches!(error, DialError::DialPeerConditionFalse(_)) || self.links.has(peer) {
            return;
        }
        for reply in self.dialling.remove(&peer).unwrap_or_default() {
            reply.refuse(OpenError::Unreachable);
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.established(&event),
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id,
                ..
            }) => self.give_up(peer_id, connection_id),
            FromSwarm::DialFailure(DialFailure {
                peer_id: Some(peer),
                error,
                ..
            }) => self.dial_failed(peer, error),
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
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            match self.asks.poll_recv(cx) {
                Poll::Ready(Some(Ask { peer, reply })) if !reply.is_closed() => {
                    self.answer(peer, reply);
                }
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// One connection's end of [`Streams`].
pub(super) struct Handler {
    peer: PeerId,
    protocol: StreamProtocol,
    negotiation: Duration,
    directory: Arc<dyn Directory>,
    slots: Arc<Semaphore>,
    stranger: Arc<Semaphore>,
    inbound: PollSender<Inbound>,
    accepted: VecDeque<Inbound>,
    opening: VecDeque<StreamReply>,
}

impl Handler {
    fn accept(&mut self, stream: Stream) {
        let slots = if knows(&*self.directory, self.peer) {
            &self.slots
        } else {
            &self.stranger
        };
        match slots.clone().try_acquire_owned() {
            Ok(slot) => self.accepted.push_back(Inbound {
                peer: self.peer,
                stream,
                slot,
            }),
            // Dropping the stream resets it; the peer's other streams go on.
            Err(_) => {
                tracing::warn!(peer = %self.peer, "stream reset: the peer holds as many as it may");
            }
        }
    }

    /// Hands accepted streams to the server as it has room for them. `accepted` holds at most
    /// `inbound_per_peer` streams, since each carries a slot.
    fn hand_over(&mut self, cx: &mut Context<'_>) {
        while !self.accepted.is_empty() {
            match self.inbound.poll_reserve(cx) {
                Poll::Ready(Ok(())) => {
                    let Some(next) = self.accepted.pop_front() else {
                        return;
                    };
                    if self.inbound.send_item(next).is_err() {
                        self.accepted.clear();
                    }
                }
                // The server has gone; what it would have served is reset.
                Poll::Ready(Err(_)) => self.accepted.clear(),
                Poll::Pending => return,
            }
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = StreamReply;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = StreamReply;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
            .with_timeout(self.negotiation)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<
        ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>,
    > {
        self.hand_over(cx);
        while let Some(reply) = self.opening.pop_front() {
            if reply.answer.is_closed() {
                continue;
            }
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), reply)
                    .with_timeout(self.negotiation),
            });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, reply: StreamReply) {
        self.opening.push_back(reply);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), StreamReply>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: stream,
                ..
            }) => self.accept(stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: reply,
            }) => {
                // A stream nobody waits for is reset by dropping it.
                let _ = reply.answer.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: reply, error }) => {
                let error = match error {
                    StreamUpgradeError::NegotiationFailed => OpenError::Foreign,
                    StreamUpgradeError::Timeout | StreamUpgradeError::Io(_) => OpenError::Closed,
                    StreamUpgradeError::Apply(never) => match never {},
                };
                let _ = reply.answer.send(Err(error));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
    use libp2p::{
        Swarm, Transport,
        core::{transport::MemoryTransport, upgrade},
        identity, noise,
        swarm::{self, SwarmEvent},
        yamux,
    };
    use tokio::{sync::oneshot, task::JoinSet};

    use super::{
        super::directory::tests::{Everybody, Nobody},
        *,
    };

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/chartmesh/test/grpc/1");

    /// A node with a running swarm; it ends when dropped.
    struct Node {
        peer: PeerId,
        address: Multiaddr,
        opener: Opener,
        accepted: mpsc::Receiver<Inbound>,
        orders: mpsc::Sender<Order>,
    }

    enum Order {
        Connect(Multiaddr, oneshot::Sender<()>),
        Disconnect(PeerId, oneshot::Sender<()>),
    }

    impl Node {
        async fn start(protocol: StreamProtocol, limits: StreamLimits) -> Self {
            Self::known_by(protocol, limits, Arc::new(Everybody)).await
        }

        async fn known_by(
            protocol: StreamProtocol,
            limits: StreamLimits,
            directory: Arc<dyn Directory>,
        ) -> Self {
            let key = identity::Keypair::generate_ed25519();
            let peer = key.public().to_peer_id();
            let (streams, opener, accepted) = Streams::new(peer, protocol, limits, directory);
            let transport = MemoryTransport::default()
                .upgrade(upgrade::Version::V1)
                .authenticate(noise::Config::new(&key).expect("noise"))
                .multiplex(yamux::Config::default())
                .boxed();
            let config = swarm::Config::with_tokio_executor()
                .with_idle_connection_timeout(Duration::from_secs(60));
            let mut swarm = Swarm::new(transport, streams, peer, config);
            swarm
                .listen_on("/memory/0".parse().expect("an address"))
                .expect("listening");
            let address = loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    break address;
                }
            };
            let (orders, todo) = mpsc::channel(8);
            tokio::spawn(run(swarm, todo));
            Self {
                peer,
                address,
                opener,
                accepted,
                orders,
            }
        }

        async fn connect(&self, other: &Node) {
            let (done, connected) = oneshot::channel();
            let order = Order::Connect(other.address.clone(), done);
            self.orders.send(order).await.expect("the swarm runs");
            connected.await.expect("a connection");
        }

        async fn disconnect(&self, other: &Node) {
            let (done, disconnected) = oneshot::channel();
            let order = Order::Disconnect(other.peer, done);
            self.orders.send(order).await.expect("the swarm runs");
            disconnected.await.expect("the end of a connection");
        }
    }

    async fn run(mut swarm: Swarm<Streams>, mut todo: mpsc::Receiver<Order>) {
        let mut connecting = Vec::new();
        let mut closing = Vec::new();
        loop {
            tokio::select! {
                order = todo.recv() => match order {
                    Some(Order::Connect(address, done)) => {
                        swarm.dial(address).expect("a dial");
                        connecting.push(done);
                    }
                    Some(Order::Disconnect(peer, done)) => {
                        swarm.disconnect_peer_id(peer).expect("a connection");
                        closing.push(done);
                    }
                    None => return,
                },
                event = swarm.select_next_some() => match event {
                    SwarmEvent::ConnectionEstablished { .. } => {
                        connecting.drain(..).for_each(|done| done.send(()).expect("a waiting test"));
                    }
                    SwarmEvent::ConnectionClosed { num_established: 0, .. } => {
                        closing.drain(..).for_each(|done| done.send(()).expect("a waiting test"));
                    }
                    _ => {}
                },
            }
        }
    }

    /// A behaviour that no swarm runs.
    fn unconnected() -> (Streams, Opener, mpsc::Receiver<Inbound>) {
        let limits = StreamLimits::default();
        Streams::new(PeerId::random(), PROTOCOL, limits, Arc::new(Everybody))
    }

    async fn pair(limits: StreamLimits) -> (Node, Node) {
        let asker = Node::start(PROTOCOL, limits).await;
        let holder = Node::start(PROTOCOL, limits).await;
        asker.connect(&holder).await;
        (asker, holder)
    }

    async fn lives(stream: &mut Stream) -> bool {
        let mut byte = [0];
        let answered = async {
            stream.write_all(b"?").await?;
            stream.flush().await?;
            stream.read_exact(&mut byte).await
        };
        tokio::time::timeout(Duration::from_secs(20), answered)
            .await
            .expect("an answer or a reset")
            .is_ok()
    }

    /// Answers every byte on every accepted stream, and keeps each stream until its end.
    fn echo(mut accepted: mpsc::Receiver<Inbound>) {
        tokio::spawn(async move {
            while let Some(mut inbound) = accepted.recv().await {
                tokio::spawn(async move {
                    let mut byte = [0];
                    while inbound.stream.read_exact(&mut byte).await.is_ok() {
                        if inbound.stream.write_all(&byte).await.is_err()
                            || inbound.stream.flush().await.is_err()
                        {
                            break;
                        }
                    }
                    drop(inbound.slot);
                });
            }
        });
    }

    #[tokio::test]
    async fn two_hundred_opens_at_once_lose_none() {
        let limits = StreamLimits {
            inbound_per_peer: 200,
            waiting: 200,
            ..StreamLimits::default()
        };
        let (asker, holder) = pair(limits).await;
        echo(holder.accepted);

        let mut opens = JoinSet::new();
        for _ in 0..200 {
            let opener = asker.opener.clone();
            opens.spawn(async move {
                let mut stream = opener.open(holder.peer).await.expect("a stream");
                assert!(lives(&mut stream).await);
                stream
            });
        }
        let opened = opens.join_all().await;

        assert_eq!(opened.len(), 200);
    }

    #[tokio::test]
    async fn streams_that_the_server_has_no_room_for_wait() {
        let wanted = limits::STREAM_QUEUE_MAX + 16;
        let limits = StreamLimits {
            inbound_per_peer: wanted,
            waiting: wanted,
            ..StreamLimits::default()
        };
        let (asker, mut holder) = pair(limits).await;
        let mut streams = Vec::new();
        for _ in 0..wanted {
            streams.push(asker.opener.open(holder.peer).await.expect("a stream"));
        }

        let mut accepted = Vec::new();
        for _ in 0..wanted {
            accepted.push(holder.accepted.recv().await.expect("a stream"));
        }

        assert_eq!(accepted.len(), streams.len());
    }

    #[tokio::test]
    async fn a_stream_beyond_the_share_of_a_peer_is_reset_and_the_others_go_on() {
        let (asker, holder) = pair(StreamLimits::default()).await;
        let other = Node::start(PROTOCOL, StreamLimits::default()).await;
        other.connect(&holder).await;
        echo(holder.accepted);
        let mut streams = Vec::new();
        for _ in 0..limits::STREAMS_PER_PEER_MAX {
            let mut stream = asker.opener.open(holder.peer).await.expect("a stream");
            assert!(lives(&mut stream).await);
            streams.push(stream);
        }

        let mut beyond = asker.opener.open(holder.peer).await.expect("a stream");

        assert!(!lives(&mut beyond).await);
        for stream in &mut streams {
            assert!(lives(stream).await);
        }
        let mut foreign = other.opener.open(holder.peer).await.expect("a stream");
        assert!(lives(&mut foreign).await);
    }

    #[tokio::test]
    async fn a_stranger_has_stranger_streams_max() {
        let limits = StreamLimits::default();
        let asker = Node::start(PROTOCOL, limits).await;
        let holder = Node::known_by(PROTOCOL, limits, Arc::new(Nobody)).await;
        asker.connect(&holder).await;
        echo(holder.accepted);
        let mut streams = Vec::new();
        for _ in 0..limits::STRANGER_STREAMS_MAX {
            let mut stream = asker.opener.open(holder.peer).await.expect("a stream");
            assert!(lives(&mut stream).await);
            streams.push(stream);
        }

        let mut beyond = asker.opener.open(holder.peer).await.expect("a stream");

        assert!(!lives(&mut beyond).await);
        assert!(lives(&mut streams[0]).await);
    }

    #[tokio::test]
    async fn reconnecting_does_not_double_the_share_of_a_peer() {
        let (asker, mut holder) = pair(StreamLimits::default()).await;
        let mut lingering = Vec::new();
        let mut streams = Vec::new();
        for _ in 0..limits::STREAMS_PER_PEER_MAX {
            streams.push(asker.opener.open(holder.peer).await.expect("a stream"));
            lingering.push(holder.accepted.recv().await.expect("a stream"));
        }
        asker.disconnect(&holder).await;
        asker.connect(&holder).await;

        let mut beyond = asker.opener.open(holder.peer).await.expect("a stream");
        assert!(!lives(&mut beyond).await);

        drop(lingering);
        echo(holder.accepted);
        let mut within = asker.opener.open(holder.peer).await.expect("a stream");
        assert!(lives(&mut within).await);
    }

    #[tokio::test]
    async fn opening_to_nobody_is_unreachable() {
        let (asker, holder) = pair(StreamLimits::default()).await;
        let nobody = identity::Keypair::generate_ed25519().public().to_peer_id();
        assert!(asker.opener.open(holder.peer).await.is_ok());
        assert_eq!(asker.opener.connect(holder.peer).await, Ok(()));

        let opened = asker.opener.open(nobody).await;
        let connected = asker.opener.connect(nobody).await;

        assert_eq!(opened.err(), Some(OpenError::Unreachable));
        assert_eq!(connected, Err(OpenError::Unreachable));
    }

    #[tokio::test]
    async fn a_node_of_another_protocol_is_foreign() {
        let (asker, holder) = pair(StreamLimits::default()).await;
        let other = StreamProtocol::new("/chartmesh/other/grpc/1");
        let stranger = Node::start(other, StreamLimits::default()).await;
        asker.connect(&stranger).await;
        assert!(asker.opener.open(holder.peer).await.is_ok());

        let opened = asker.opener.open(stranger.peer).await;

        assert_eq!(opened.err(), Some(OpenError::Foreign));
    }

    #[tokio::test]
    async fn more_requests_than_may_wait_for_a_peer_are_told_so() {
        let (opener, peer, _asks) = {
            let (streams, opener, _) = unconnected();
            let peer = identity::Keypair::generate_ed25519().public().to_peer_id();
            (opener, peer, streams)
        };
        let mut waiting = Vec::new();
        for _ in 0..limits::OPEN_QUEUE_MAX {
            let mut open = Box::pin(opener.open(peer));
            assert!(futures::poll!(&mut open).is_pending());
            waiting.push(open);
        }

        assert_eq!(opener.open(peer).await.err(), Some(OpenError::Busy));

        waiting.pop();
        let mut open = Box::pin(opener.open(peer));
        assert!(futures::poll!(&mut open).is_pending());
    }

    #[tokio::test]
    async fn the_swarm_is_asked_for_a_few_streams_of_a_peer_at_a_time() {
        let (mut streams, opener, _accepted) = unconnected();
        let peer = identity::Keypair::generate_ed25519().public().to_peer_id();
        let mut waiting = Vec::new();
        for _ in 0..limits::OPEN_QUEUE_MAX {
            let mut open = Box::pin(opener.open(peer));
            assert!(futures::poll!(&mut open).is_pending());
            waiting.push(open);
        }

        let mut asked = 0;
        while streams.asks.try_recv().is_ok() {
            asked += 1;
        }

        // Each request is dropped as it is taken, but the next in line must run to take its place.
        assert_eq!(asked, limits::OPENS_PER_PEER_MAX);
    }

    #[tokio::test]
    async fn a_stopped_swarm_is_an_error_and_no_wait() {
        let (streams, opener, _accepted) = unconnected();
        let peer = identity::Keypair::generate_ed25519().public().to_peer_id();

        drop(streams);

        assert_eq!(opener.open(peer).await.err(), Some(OpenError::Closed));
    }
}
