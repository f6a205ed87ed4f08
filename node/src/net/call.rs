//! The calling half of gRPC: encoded bytes in, encoded bytes out. The generated client stays in here.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use chartmesh_core::{
    ports::{CallError, FetchPart, Rpc},
    types::{NodeKey, PeerCode, limits},
};
use chartmesh_proto::{
    body::Signed,
    peer::{Chunk, Part, Sealed, part, peer_client::PeerClient},
};
use futures::{Stream, StreamExt};
use hyper_util::rt::TokioIo;
use libp2p::PeerId;
use prost::Message;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::{compat::FuturesAsyncReadCompatExt, sync::CancellationToken};
use tonic::{
    Response, Status,
    transport::{Channel, Endpoint},
};

use super::{
    address::peer_id,
    dial::Book,
    handle::readable,
    opener::{OpenError, Opener},
    status::{call_error, is_transport_failure},
    swarm::Order,
};

/// HTTP/2 receive windows of a stream and of a connection, and the largest frame: measured for bulk
/// answers over long fat links (`spike.md` 1).
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const FRAME_MAX_BYTES: u32 = 256 << 10;

/// Calls other nodes; cheap to clone. One HTTP/2 connection a node, opened at the first call and again
/// after it broke.
#[derive(Clone)]
pub struct PeerCalls {
    own: PeerId,
    opener: Opener,
    book: Book,
    orders: mpsc::Sender<Order>,
    found: Arc<Mutex<BTreeMap<NodeKey, Instant>>>,
    channels: Arc<Mutex<BTreeMap<NodeKey, Slot>>>,
}

/// A channel and which attempt made it, so that a late failure does not take down its successor.
#[derive(Clone)]
struct Slot {
    generation: u64,
    channel: Channel,
    used: Instant,
}

impl PeerCalls {
    pub(super) fn new(
        own: PeerId,
        opener: Opener,
        book: Book,
        orders: mpsc::Sender<Order>,
    ) -> Self {
        Self {
            own,
            opener,
            book,
            orders,
            found: Arc::default(),
            channels: Arc::default(),
        }
    }

    /// Calls a node; `body` is an encoded `Signed` for Hello and Join and an encoded `Sealed`
    /// otherwise, and so is the answer. Connecting takes at most [`limits::CONNECT_MAX`]; the answer
    /// itself has no bound here but the connection's life. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`CallError`]; a body that is no such message is refused as [`PeerCode::Malformed`] unsent.
    pub async fn call(&self, to: NodeKey, rpc: Rpc, body: Bytes) -> Result<Bytes, CallError> {
        match rpc {
            Rpc::Hello | Rpc::Join | Rpc::Charters => {
                let signed: Signed = decode(body)?;
                let (mut client, slot) = self.client(to).await?;
                let answer = match rpc {
                    Rpc::Hello => client.hello(signed).await,
                    Rpc::Charters => client.charters(signed).await,
                    _ => client.join(signed).await,
                };
                self.finish(to, &slot, answer).map(|signed| encode(&signed))
            }
            Rpc::Members | Rpc::Locate | Rpc::List | Rpc::Release | Rpc::Propose | Rpc::Trust => {
                let sealed: Sealed = decode(body)?;
                let (mut client, slot) = self.client(to).await?;
                let answer = match rpc {
                    Rpc::Members => client.members(sealed).await,
                    Rpc::Propose => client.propose(sealed).await,
                    Rpc::Locate => client.locate(sealed).await,
                    Rpc::List => client.list(sealed).await,
                    Rpc::Trust => client.trust(sealed).await,
                    _ => client.release(sealed).await,
                };
                self.finish(to, &slot, answer).map(|sealed| encode(&sealed))
            }
            // A stream of parts is opened, not called.
            Rpc::Fetch => Err(CallError::Refused(PeerCode::Malformed)),
        }
    }

    /// Opens a fetch; `body` is an encoded `Sealed`. Cancel-safe; dropping the parts ends the fetch.
    ///
    /// # Errors
    ///
    /// As [`Self::call`].
    pub async fn open(&self, to: NodeKey, body: Bytes) -> Result<Parts, CallError> {
        let sealed: Sealed = decode(body)?;
        let (mut client, slot) = self.client(to).await?;
        let answer = client.fetch(sealed).await;
        self.finish(to, &slot, answer).map(Parts)
    }

    /// Remembers where a node may be reached (binary multiaddresses), in place of what was known.
    pub fn learn(&self, node: NodeKey, addresses: &[Vec<u8>]) {
        if let Some(peer) = peer_id(node) {
            self.book.learn(peer, readable(peer, addresses));
        }
    }

    /// Drops the channel to a node.
    pub(super) fn hang_up(&self, node: NodeKey) {
        self.lock().remove(&node);
    }

    /// A client over a connection that stands at this moment. Waiting for the connection here, and not
    /// inside the channel, lets callers of a dead node fail together rather than one after another.
    async fn client(&self, to: NodeKey) -> Result<(PeerClient<Channel>, Slot), CallError> {
        let peer = peer_id(to).ok_or(CallError::Unreachable)?;
        if peer == self.own {
            return Err(CallError::Unreachable);
        }
        self.connect(to, peer).await?;
        let slot = {
            let mut channels = self.lock();
            match channels.get_mut(&to) {
                Some(slot) => {
                    slot.used = Instant::now();
                    slot.clone()
                }
                None => {
                    let slot = self.dial(peer);
                    channels.insert(to, slot.clone());
                    slot
                }
            }
        };
        let client = PeerClient::new(slot.channel.clone())
            .max_decoding_message_size(limits::PEER_MESSAGE_MAX_BYTES);
        Ok((client, slot))
    }

    /// Waits until a connection stands; where none of the known addresses answers, the other members
    /// are asked where the node is.
    async fn connect(&self, to: NodeKey, peer: PeerId) -> Result<(), OpenError> {
        let first = bounded(|| self.opener.connect(peer)).await;
        if first != Err(OpenError::Unreachable) || !self.find(to, peer).await {
            return first;
        }
        bounded(|| self.opener.connect(peer)).await
    }

    /// Looks for a node among the members, not too often; tells whether that brought anything to try.
    async fn find(&self, node: NodeKey, peer: PeerId) -> bool {
        if !self.may_look_for(node, Instant::now()) {
            return false;
        }
        let (answer, found) = oneshot::channel();
        if self.orders.try_send(Order::Find(node, answer)).is_err() {
            return false;
        }
        let most = Duration::from_millis(limits::FIND_MAX.0);
        let Ok(Ok(Some(found))) = tokio::time::timeout(most, found).await else {
            return false;
        };
        let addresses = readable(peer, &found.addresses);
        if addresses.is_empty() || addresses == self.book.addresses(peer) {
            return false;
        }
        tracing::info!(%node, "found by other members");
        self.book.learn(peer, addresses);
        true
    }

    fn may_look_for(&self, node: NodeKey, now: Instant) -> bool {
        let again = Duration::from_millis(limits::FIND_AGAIN.0);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.retain(|_, at| now.duration_since(*at) < again);
        if found.contains_key(&node) || found.len() >= limits::MEMBERS_MAX {
            return false;
        }
        found.insert(node, now);
        true
    }

    /// Lets go of channels that nobody used for a while, so that connections which are not kept fall
    /// idle. Calls under way go on.
    pub(super) async fn sweep(self, stop: CancellationToken) {
        let idle = Duration::from_millis(limits::CHANNEL_IDLE_MAX.0);
        let mut round = tokio::time::interval(idle / 2);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = round.tick() => {}
            }
            self.let_go(Instant::now());
        }
    }

    fn let_go(&self, now: Instant) {
        let idle = Duration::from_millis(limits::CHANNEL_IDLE_MAX.0);
        self.lock()
            .retain(|_, slot| now.duration_since(slot.used) < idle);
    }

    fn dial(&self, peer: PeerId) -> Slot {
        use std::sync::atomic::{AtomicU64, Ordering};
        static GENERATION: AtomicU64 = AtomicU64::new(0);

        let opener = self.opener.clone();
        let connector = tower::service_fn(move |_| {
            let opener = opener.clone();
            async move {
                let stream = bounded(|| opener.open(peer)).await?;
                Ok::<_, OpenError>(TokioIo::new(stream.compat()))
            }
        });
        // The host is never resolved: the connector ignores it.
        let channel = Endpoint::from_static("http://peer.invalid")
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_MAX_BYTES)
            .connect_with_connector_lazy(connector);
        Slot {
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            channel,
            used: Instant::now(),
        }
    }

    fn finish<T>(
        &self,
        to: NodeKey,
        slot: &Slot,
        answer: Result<Response<T>, Status>,
    ) -> Result<T, CallError> {
        let status = match answer {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => status,
        };
        if is_transport_failure(&status) {
            tracing::debug!(node = %to, code = ?status.code(), "channel dropped");
            let mut channels = self.lock();
            if channels
                .get(&to)
                .is_some_and(|kept| kept.generation == slot.generation)
            {
                channels.remove(&to);
            }
        }
        Err(call_error(&status))
    }

    /// A map of channels is consistent after every step, so a panic elsewhere cannot spoil it.
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeKey, Slot>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives an open its deadline, and one more try where the connection it was sent over had just ended.
async fn bounded<T, F>(open: impl Fn() -> F) -> Result<T, OpenError>
where
    F: Future<Output = Result<T, OpenError>>,
{
    let tries = async {
        match open().await {
            Err(OpenError::Closed) => open().await,
            first => first,
        }
    };
    tokio::time::timeout(Duration::from_millis(limits::CONNECT_MAX.0), tries)
        .await
        .unwrap_or(Err(OpenError::Unreachable))
}

fn decode<M: Message + Default>(body: Bytes) -> Result<M, CallError> {
    M::decode(body).map_err(|_| CallError::Refused(PeerCode::Malformed))
}

fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// The parts of a fetch as they arrive.
pub struct Parts(tonic::Streaming<Part>);

impl Stream for Parts {
    type Item = Result<FetchPart, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.0.poll_next_unpin(cx));
        Poll::Ready(next.map(|part| match part {
            Ok(part) => read(part),
            Err(status) => Err(call_error(&status)),
        }))
    }
}

fn read(part: Part) -> Result<FetchPart, CallError> {
    match part.part {
        Some(part::Part::Head(sealed)) => Ok(FetchPart::Head(encode(&sealed))),
        Some(part::Part::Leaves(leaves)) => Ok(FetchPart::Leaves(leaves.into())),
        Some(part::Part::Chunk(Chunk { index, data })) => Ok(FetchPart::Chunk { index, data }),
        None => Err(CallError::Refused(PeerCode::Malformed)),
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity;

    use super::{
        super::{links::Linked, streams::StreamLimits},
        *,
    };

    struct Calls {
        calls: PeerCalls,
        asks: mpsc::Receiver<super::super::opener::Ask>,
        orders: mpsc::Receiver<Order>,
        node: NodeKey,
    }

    fn calls() -> Calls {
        let own = PeerId::random();
        let (opener, asks) = Opener::new(StreamLimits::default(), Linked::default());
        let (orders, asked) = mpsc::channel(8);
        let peer = identity::Keypair::generate_ed25519().public().to_peer_id();
        Calls {
            calls: PeerCalls::new(own, opener, Book::new(own), orders),
            asks,
            orders: asked,
            node: super::super::address::node_key(peer).expect("a node"),
        }
    }

    #[tokio::test]
    async fn a_channel_that_nobody_uses_is_let_go_after_channel_idle_max() {
        let Calls { calls, node, .. } = calls();
        let idle = Duration::from_millis(limits::CHANNEL_IDLE_MAX.0);
        let slot = calls.dial(PeerId::random());
        let used = slot.used;
        calls.lock().insert(node, slot);

        calls.let_go(used + idle.mul_f64(0.9));
        assert_eq!(calls.lock().len(), 1);
        calls.let_go(used + idle);

        assert!(calls.lock().is_empty());
    }

    #[tokio::test]
    async fn members_that_know_nothing_cost_find_max() {
        let Calls {
            calls,
            mut asks,
            mut orders,
            node,
        } = calls();
        tokio::spawn(async move {
            while let Some(ask) = asks.recv().await {
                ask.reply.refuse(OpenError::Unreachable);
            }
        });
        let peer = peer_id(node).expect("a peer");
        let most = Duration::from_millis(limits::FIND_MAX.0);

        let start = Instant::now();
        let unheard = calls.connect(node, peer).await;
        let took = start.elapsed();
        let again = calls.connect(node, peer).await;

        assert_eq!(unheard, Err(OpenError::Unreachable));
        assert!(took >= most && took < most * 3, "{took:?}");
        assert_eq!(again, Err(OpenError::Unreachable));
        assert!(orders.try_recv().is_ok());
        assert!(orders.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_node_is_looked_for_again_after_find_again() {
        let Calls { calls, node, .. } = calls();
        let (now, again) = (Instant::now(), Duration::from_millis(limits::FIND_AGAIN.0));
        assert!(calls.may_look_for(node, now));

        assert!(!calls.may_look_for(node, now + again / 2));

        assert!(calls.may_look_for(NodeKey([3; 32]), now));
        assert!(calls.may_look_for(node, now + again));
    }
}
