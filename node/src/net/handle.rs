//! The network as the rest of the daemon holds it.

use std::{sync::Arc, time::Duration};

use chartmesh_core::{
    crypto::SecretKey,
    types::{NetworkId, NodeKey, limits},
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{broadcast, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    ConnectionInfo, Directory, Incoming, NetError, PeerCalls, Reached,
    address::{dialable, node_key, peer_id},
    cut::Cuts,
    dial::Book,
    listen::{listen, probe},
    observed::Observed,
    reach::{ReachConfig, relays_of},
    swarm::{self, Built, Identity, Order, Runner},
};

/// Events kept for a slow listener; older ones are lost to it.
const EVENTS_MAX: usize = 256;

/// How long a port may take to be free again, and how often that is looked at.
const PORT_FREE_MAX: Duration = Duration::from_secs(3);
const PORT_LOOK: Duration = Duration::from_millis(10);

/// What a node needs to speak in a network.
pub struct NetConfig {
    /// Seed of the node key.
    pub seed: SecretKey,
    /// Which network.
    pub network: NetworkId,
    /// Multiaddresses to listen on; port 0 takes a free one.
    pub listen: Vec<String>,
    /// Whom the node knows.
    pub directory: Arc<dyn Directory>,
    /// How it reaches others and is reached.
    pub reach: ReachConfig,
}

/// A change of whom this node is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// The first connection to a node stands.
    Connected(NodeKey),
    /// The last connection to a node ended.
    Disconnected(NodeKey),
    /// This node is to be reached elsewhere than before.
    Moved,
}

/// A running network; cheap to clone. It runs until [`Self::stop`].
#[derive(Clone)]
pub struct Net {
    own: NodeKey,
    calls: PeerCalls,
    book: Book,
    cuts: Cuts,
    orders: mpsc::Sender<Order>,
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
        let identity = Identity::new(&config.seed, config.network, config.directory, config.reach)?;
        let Built {
            mut swarm,
            opener,
            accepted,
            book,
            cuts,
            finder,
            reach,
        } = swarm::build(&identity)?;
        let observed = Arc::new(Observed::default());
        let bound = listen(&mut swarm, &observed, &wanted).await?;
        let peer = *swarm.local_peer_id();
        let own = node_key(peer).ok_or(NetError::Key)?;
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (orders, asked) = mpsc::channel(limits::LOOK_UPS_MAX);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let calls = PeerCalls::new(peer, opener, book.clone(), orders.clone());
        reach.publish(&observed, &book);
        let runner = Runner {
            swarm,
            own,
            finder,
            reach,
            book: book.clone(),
            calls: calls.clone(),
            orders: asked,
            observed: observed.clone(),
            events: events.clone(),
        };
        let span = tracing::info_span!("net", node = %peer);
        tasks.spawn(runner.run(stop.clone()).instrument(span));
        tasks.spawn(calls.clone().sweep(stop.clone()));
        tasks.close();
        let net = Self {
            own,
            calls,
            book,
            cuts,
            orders,
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

    /// The addresses others are told, in binary, best first.
    pub fn told_addresses(&self) -> Vec<Vec<u8>> {
        self.observed.told().iter().map(Multiaddr::to_vec).collect()
    }

    /// How others get to this node.
    pub fn reached(&self) -> Reached {
        self.observed.reached()
    }

    /// Replaces the members that relay.
    pub fn set_relays(&self, relays: &[NodeKey]) {
        self.book.set_relays(relays_of(relays));
    }

    /// Puts this node's own record where other members find it.
    pub fn publish(&self) {
        // Where as many orders wait as may, the hourly publication makes up for it.
        let _ = self.orders.try_send(Order::Publish);
    }

    /// Replaces the members, each with its binary multiaddresses, and stays connected to as many as
    /// one keeps; the others are dialled when they are called. One that is a member no more loses
    /// everything that runs with it.
    pub fn keep(&self, members: Vec<(NodeKey, Vec<Vec<u8>>)>) {
        let peers = members
            .into_iter()
            .filter_map(|(node, addresses)| {
                let peer = peer_id(node)?;
                Some((peer, readable(peer, &addresses)))
            })
            .collect();
        for peer in self.book.keep(peers) {
            if let Some(node) = node_key(peer) {
                self.disconnect(node);
            }
        }
    }

    /// Whether this node stays connected to another.
    pub fn keeps(&self, node: NodeKey) -> bool {
        peer_id(node).is_some_and(|peer| self.book.keeps(peer))
    }

    /// Ends every call, stream and connection with a node at once, both ways, and dials it no more.
    pub fn disconnect(&self, node: NodeKey) {
        self.calls.hang_up(node);
        if let Some(peer) = peer_id(node) {
            self.book.forget(peer);
            self.cuts.cut(peer);
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
        // QUIC keeps its socket until its last words had time to arrive.
        let freed = async {
            while self.bound.iter().any(|address| probe(address).is_err()) {
                tokio::time::sleep(PORT_LOOK).await;
            }
        };
        if tokio::time::timeout(PORT_FREE_MAX, freed).await.is_err() {
            tracing::warn!("a port that was listened on is still taken");
        }
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
