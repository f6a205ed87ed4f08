//! What others may know of the swarm while it runs.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chartmesh_core::types::NodeKey;
use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, transport::ListenerId},
    multiaddr::Protocol,
    swarm::ConnectionId,
};

use super::{
    NetEvent,
    address::{node_key, relay_of},
    nat::Reached,
};

/// How a connection travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// TCP with Noise and Yamux.
    Tcp,
    /// QUIC.
    Quic,
}

impl Carrier {
    /// The word for it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }

    fn of(address: &Multiaddr) -> Self {
        let quic = address.iter().any(|part| part == Protocol::QuicV1);
        if quic { Self::Quic } else { Self::Tcp }
    }
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
    /// What carries each connection, in the order they were made, direct ones first.
    pub carriers: Vec<Carrier>,
    /// The other ends, as text.
    pub addresses: Vec<String>,
}

/// Connections and listeners, shared between the swarm and its users.
#[derive(Default)]
pub(super) struct Observed(Mutex<State>);

#[derive(Default)]
struct State {
    listening: Vec<(ListenerId, Multiaddr)>,
    told: Vec<Multiaddr>,
    reached: Option<Reached>,
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

    /// The addresses of one listener.
    pub(super) fn listening_by(&self, listener: ListenerId) -> Vec<Multiaddr> {
        let state = self.lock();
        let own = state.listening.iter().filter(|(id, _)| *id == listener);
        own.map(|(_, address)| address.clone()).collect()
    }

    /// Where others are told this node is.
    pub(super) fn told(&self) -> Vec<Multiaddr> {
        self.lock().told.clone()
    }

    /// How others get to this node.
    pub(super) fn reached(&self) -> Reached {
        self.lock().reached.clone().unwrap_or(Reached::Unknown)
    }

    pub(super) fn moved(&self, told: Vec<Multiaddr>, reached: Reached) {
        let mut state = self.lock();
        state.told = told;
        state.reached = Some(reached);
    }

    pub(super) fn listens(&self, listener: ListenerId, address: &Multiaddr) {
        // What others are told of relays is not what the relay says.
        if relay_of(address).is_some() {
            return;
        }
        let known = (listener, address.clone());
        let mut state = self.lock();
        if !state.listening.contains(&known) {
            state.listening.push(known);
        }
    }

    pub(super) fn listens_no_more(&self, listener: ListenerId, address: Option<&Multiaddr>) {
        self.lock().listening.retain(|(id, known)| {
            *id != listener || address.is_some_and(|address| address != known)
        });
    }

    /// Counts a connection; tells where it is the first to its node.
    pub(super) fn gain(
        &self,
        id: ConnectionId,
        peer: PeerId,
        endpoint: &ConnectedPoint,
    ) -> Option<NetEvent> {
        let connection = Connection {
            node: node_key(peer)?,
            address: endpoint.get_remote_address().clone(),
            relayed: endpoint.is_relayed(),
            rtt: None,
        };
        let node = connection.node;
        let mut state = self.lock();
        let first = !state.holds(node);
        state.connections.insert(id, connection);
        first.then_some(NetEvent::Connected(node))
    }

    /// Counts a connection no more; tells where it was the last to its node.
    pub(super) fn lose(&self, id: ConnectionId) -> Option<NetEvent> {
        let mut state = self.lock();
        let node = state.connections.remove(&id)?.node;
        (!state.holds(node)).then_some(NetEvent::Disconnected(node))
    }

    pub(super) fn measured(&self, id: ConnectionId, rtt: Duration) {
        if let Some(connection) = self.lock().connections.get_mut(&id) {
            connection.rtt = Some(rtt);
        }
    }

    /// One entry for each connected node.
    pub(super) fn connections(&self) -> Vec<ConnectionInfo> {
        let mut nodes: BTreeMap<NodeKey, ConnectionInfo> = BTreeMap::new();
        let state = self.lock();
        let mut connections: Vec<&Connection> = state.connections.values().collect();
        // What goes directly is what is used, so its time is the time of the path.
        connections.sort_by_key(|connection| connection.relayed);
        for connection in connections {
            let info = nodes
                .entry(connection.node)
                .or_insert_with(|| ConnectionInfo {
                    node: connection.node,
                    rtt_ms: None,
                    relayed: true,
                    carriers: Vec::new(),
                    addresses: Vec::new(),
                });
            info.addresses.push(connection.address.to_string());
            info.carriers.push(Carrier::of(&connection.address));
            if connection.relayed && !info.relayed {
                continue;
            }
            let rtt_ms = connection.rtt.map(|rtt| rtt.as_secs_f64() * 1_000.0);
            info.rtt_ms = match (info.rtt_ms, rtt_ms) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            info.relayed &= connection.relayed;
        }
        nodes.into_values().collect()
    }

    /// Every entry is consistent after each step, so a panic elsewhere cannot spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn holds(&self, node: NodeKey) -> bool {
        self.connections.values().any(|known| known.node == node)
    }
}
