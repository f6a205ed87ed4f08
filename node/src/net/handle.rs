//! The network as the rest of the daemon holds it.

use std::sync::Arc;

use chartmesh_core::{
    crypto::SecretKey,
    types::{NetworkId, NodeKey},
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    Incoming, NetError, PeerCalls,
    address::{dialable, node_key, peer_id},
    dial::Book,
    swarm::{self, Built, Observed},
};

/// Events kept for a slow listener; older ones are lost to it.
const EVENTS_MAX: usize = 256;

/// What a node needs to speak in a network.
pub struct NetConfig {
    /// Seed of the node key.
    pub seed: SecretKey,
    /// Which network.
    pub network: NetworkId,
    /// Multiaddresses to listen on; port 0 takes a free one.
    pub listen: Vec<String>,
}

/// A change of whom this node is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// The first connection to a node stands.
    Connected(NodeKey),
    /// The last connection to a node ended.
    Disconnected(NodeKey),
}

/// What is known of the connections to one node.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionInfo {
    /// Which node.
    pub node: NodeKey,
    /// Round trip in milliseconds, once measured.
    pub rtt_ms: Option<f64>,
    /// Whether every connection goes through a relay.
    pub relayed: bool,
    /// The other ends, as text.
    pub addresses: Vec<String>,
}

/// A running network; cheap to clone. It runs until [`Self::stop`].
#[derive(Clone)]
pub struct Net {
    own: NodeKey,
    calls: PeerCalls,
    book: Book,
    observed: Arc<Observed>,
    bound: Arc<[Multiaddr]>,
    events: broadcast::Sender<NetEvent>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Net {
    /// Listens and starts the task that owns the swarm. Not cancel-safe: a port may stay bound until
    /// the future is dropped.
    ///
    /// # Errors
    ///
    /// [`NetError`] where an address or the key cannot be used or a port is taken.
    pub async fn start(config: NetConfig) -> Result<(Self, Incoming), NetError> {
        let wanted = config
            .listen
            .iter()
            .map(|text| text.parse().map_err(|_| NetError::Address))
            .collect::<Result<Vec<Multiaddr>, _>>()?;
        let Built {
            mut swarm,
            opener,
            accepted,
            book,
        } = swarm::build(&config.seed, config.network)?;
        let observed = Arc::new(Observed::default());
        let bound = swarm::listen(&mut swarm, &observed, &wanted).await?;
        let peer = *swarm.local_peer_id();
        let own = node_key(peer).ok_or(NetError::Key)?;
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let run = swarm::run(swarm, observed.clone(), events.clone(), stop.clone());
        tasks.spawn(run.instrument(tracing::info_span!("net", node = %peer)));
        tasks.close();
        let net = Self {
            own,
            calls: PeerCalls::new(peer, opener, book.clone()),
            book,
            observed,
            bound: bound.into(),
            events,
            tasks,
            stop,
        };
        Ok((net, Incoming(accepted)))
    }

    /// This node.
    pub fn node(&self) -> NodeKey {
        self.own
    }

    /// The calling half.
    pub fn calls(&self) -> PeerCalls {
        self.calls.clone()
    }

    /// What was asked to be listened on, each with the port it got: what to ask for after a restart.
    pub fn bound(&self) -> Vec<String> {
        self.bound.iter().map(Multiaddr::to_string).collect()
    }

    /// Every concrete address listened on, loopback included, as text.
    pub fn listen_addresses(&self) -> Vec<String> {
        let addresses = self.observed.listening();
        addresses.iter().map(Multiaddr::to_string).collect()
    }

    /// Every concrete address listened on, loopback included, in binary.
    pub fn listen_addresses_binary(&self) -> Vec<Vec<u8>> {
        let addresses = self.observed.listening();
        addresses.iter().map(Multiaddr::to_vec).collect()
    }

    /// Replaces the set of nodes to stay connected to, each with its binary multiaddresses. A node that
    /// is no longer in the set keeps its connection until it idles.
    pub fn keep(&self, members: Vec<(NodeKey, Vec<Vec<u8>>)>) {
        let peers = members
            .into_iter()
            .filter_map(|(node, addresses)| {
                let peer = peer_id(node)?;
                Some((peer, readable(peer, &addresses)))
            })
            .collect();
        self.book.keep(peers);
    }

    /// Drops the channel to a node, closes its connections and dials it no more.
    pub fn forget(&self, node: NodeKey) {
        self.calls.hang_up(node);
        if let Some(peer) = peer_id(node) {
            self.book.forget(peer);
        }
    }

    /// Whom this node is connected to.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.observed.connections()
    }

    /// Changes of whom this node is connected to, from this moment on. A listener that lags is told
    /// that it missed some, and should look at [`Self::connections`].
    pub fn events(&self) -> broadcast::Receiver<NetEvent> {
        self.events.subscribe()
    }

    /// Ends every connection and waits until the ports are free. Calls under way fail; stop the server
    /// first to finish what was accepted.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// The addresses among those given at which this peer can be dialled. What cannot be read is left out:
/// a member of a later version may list transports this one does not know.
pub(super) fn readable(peer: PeerId, addresses: &[Vec<u8>]) -> Vec<Multiaddr> {
    addresses
        .iter()
        .filter_map(|bytes| dialable(peer, bytes).ok())
        .collect()
}
