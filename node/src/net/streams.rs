//! A libp2p behaviour that opens and accepts streams of one protocol, with bounds and without silent
//! drops.
//!
//! Admission, limits and the choice of connection live here; what travels on a stream does not.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::PollSender;

use super::Slots;

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

/// Why a stream could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenError {
    /// No address is known, or none answers as this peer.
    #[error("no connection to the node, and none could be made")]
    Unreachable,
    /// The peer is connected and does not know the protocol.
    #[error("the node does not speak this network's protocol")]
    Foreign,
    /// As many requests as may wait for this peer do so already.
    #[error("too many streams are being opened")]
    Busy,
    /// The connection ended meanwhile, or the network has stopped.
    #[error("the connection closed")]
    Closed,
}

/// Opens streams; cheap to clone.
#[derive(Clone)]
pub(super) struct Opener {
    asks: mpsc::Sender<Ask>,
    waiting: Arc<Mutex<Slots<PeerId>>>,
    opening: Arc<Mutex<Slots<PeerId>>>,
}

/// A stream a peer opened; it counts against the peer until the slot is dropped.
pub(super) struct Inbound {
    pub(super) peer: PeerId,
    pub(super) stream: Stream,
    pub(super) slot: OwnedSemaphorePermit,
}

struct Ask {
    peer: PeerId,
    reply: Reply,
}

enum Reply {
    Connected(oneshot::Sender<Result<(), OpenError>>),
    Opened(StreamReply),
}

impl Reply {
    fn refuse(self, error: OpenError) {
        // A caller that has gone away needs no answer.
        let _ = match self {
            Self::Connected(answer) => answer.send(Err(error)).is_ok(),
            Self::Opened(reply) => reply.answer.send(Err(error)).is_ok(),
        };
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Connected(answer) => answer.is_closed(),
            Self::Opened(reply) => reply.answer.is_closed(),
        }
    }
}

/// Where an opened stream goes. It travels with the request, so that opens pipeline; if the connection
/// dies on the way it is dropped, and the caller sees [`OpenError::Closed`].
#[derive(Debug)]
pub(super) struct StreamReply {
    answer: oneshot::Sender<Result<Stream, OpenError>>,
    _opening: OwnedSemaphorePermit,
}

impl Opener {
    /// Waits until a connection to the peer stands, dialling if there is none. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`OpenError::Unreachable`], [`OpenError::Busy`], and [`OpenError::Closed`] once stopped.
    pub(super) async fn connect(&self, peer: PeerId) -> Result<(), OpenError> {
        let _waiting = Self::admit(&self.waiting, peer)?;
        let (answer, connected) = oneshot::channel();
        self.ask(peer, Reply::Connected(answer)).await?;
        connected.await.map_err(|_| OpenError::Closed)?
    }

    /// Opens a stream over the best connection, dialling if there is none. Cancel-safe.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub(super) async fn open(&self, peer: PeerId) -> Result<Stream, OpenError> {
        let _waiting = Self::admit(&self.waiting, peer)?;
        let opening = lock(&self.opening).of(peer);
        let opening = opening
            .acquire_owned()
            .await
            .map_err(|_| OpenError::Closed)?;
        let (answer, opened) = oneshot::channel();
        let reply = StreamReply {
            answer,
            _opening: opening,
        };
        self.ask(peer, Reply::Opened(reply)).await?;
        opened.await.map_err(|_| OpenError::Closed)?
    }

    fn admit(
        waiting: &Mutex<Slots<PeerId>>,
        peer: PeerId,
    ) -> Result<OwnedSemaphorePermit, OpenError> {
        lock(waiting)
            .of(peer)
            .try_acquire_owned()
            .map_err(|_| OpenError::Busy)
    }

    async fn ask(&self, peer: PeerId, reply: Reply) -> Result<(), OpenError> {
        self.asks
            .send(Ask { peer, reply })
            .await
            .map_err(|_| OpenError::Closed)
    }
}

/// A table of semaphores is consistent after every step, so a panic elsewhere cannot spoil it.
fn lock(slots: &Mutex<Slots<PeerId>>) -> std::sync::MutexGuard<'_, Slots<PeerId>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy)]
struct Connection {
    id: ConnectionId,
    path: Path,
}

/// Better paths first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Path {
    Direct,
    Relayed,
}

/// Direct before relayed, then the youngest; connections stand in the order they were made.
fn best(connections: &[Connection]) -> Option<ConnectionId> {
    connections
        .iter()
        .rev()
        .min_by_key(|connection| connection.path)
        .map(|connection| connection.id)
}

/// The behaviour.
pub(super) struct Streams {
    protocol: StreamProtocol,
    limits: StreamLimits,
    inbound: mpsc::Sender<Inbound>,
    asks: mpsc::Receiver<Ask>,
    connections: BTreeMap<PeerId, Vec<Connection>>,
    slots: Slots<PeerId>,
    dialling: BTreeMap<PeerId, Vec<Reply>>,
    events: VecDeque<ToSwarm<Infallible, StreamReply>>,
}

impl Streams {
    /// The behaviour, the way out and the way in.
    pub(super) fn new(
        protocol: StreamProtocol,
        limits: StreamLimits,
    ) -> (Self, Opener, mpsc::Receiver<Inbound>) {
        let (inbound, accepted) = mpsc::channel(limits.inbound_queue);
        let (asks, asked) = mpsc::channel(limits.waiting);
        let streams = Self {
            protocol,
            limits,
            inbound,
            asks: asked,
            connections: BTreeMap::new(),
            slots: Slots::new(limits.inbound_per_peer),
            dialling: BTreeMap::new(),
            events: VecDeque::new(),
        };
        let opener = Opener {
            asks,
            waiting: Arc::new(Mutex::new(Slots::new(limits.waiting))),
            opening: Arc::new(Mutex::new(Slots::new(limits.opening_per_peer))),
        };
        (streams, opener, accepted)
    }

    fn handler(&mut self, peer: PeerId) -> Handler {
        Handler {
            peer,
            protocol: self.protocol.clone(),
            negotiation: self.limits.negotiation,
            slots: self.slots.of(peer),
            inbound: PollSender::new(self.inbound.clone()),
            accepted: VecDeque::new(),
            opening: VecDeque::new(),
        }
    }

    fn answer(&mut self, peer: PeerId, reply: Reply) {
        let connection = self.connections.get(&peer).and_then(|all| best(all));
        match (connection, reply) {
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
            opts: DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .allocate_new_port()
                .build(),
        });
    }

    fn established(&mut self, event: &ConnectionEstablished<'_>) {
        let path = if event.endpoint.is_relayed() {
            Path::Relayed
        } else {
            Path::Direct
        };
        let connection = Connection {
            id: event.connection_id,
            path,
        };
        self.connections
            .entry(event.peer_id)
            .or_default()
            .push(connection);
        for reply in self.dialling.remove(&event.peer_id).unwrap_or_default() {
            self.answer(event.peer_id, reply);
        }
    }

    fn closed(&mut self, event: &ConnectionClosed<'_>) {
        let Some(all) = self.connections.get_mut(&event.peer_id) else {
            return;
        };
        all.retain(|connection| connection.id != event.connection_id);
        if all.is_empty() {
            self.connections.remove(&event.peer_id);
        }
    }

    fn dial_failed(&mut self, peer: PeerId, error: &DialError) {
        // Somebody else's dial to this peer goes on and will be told of.
        if matches!(error, DialError::DialPeerConditionFalse(_))
            || self.connections.contains_key(&peer)
        {
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
            FromSwarm::ConnectionClosed(event) => self.closed(&event),
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
    slots: Arc<Semaphore>,
    inbound: PollSender<Inbound>,
    accepted: VecDeque<Inbound>,
    opening: VecDeque<StreamReply>,
}

impl Handler {
    fn accept(&mut self, stream: Stream) {
        match self.slots.clone().try_acquire_owned() {
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
