//! Whether others can dial this node.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chartmesh_core::types::{NodeKey, limits};
use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};
use tokio::time::Instant;

use super::address::relay_of;
use crate::config::Inbound;

/// How others get to this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Nobody could say yet.
    Unknown,
    /// They dial it.
    Directly,
    /// They go through these members.
    Relayed(Vec<NodeKey>),
    /// They cannot: it is not dialled, and no member relays for it.
    Nohow,
}

/// What is known of it.
pub(super) struct Nat {
    inbound: Inbound,
    /// Addresses at which a member dialled this node back.
    open: BTreeSet<Multiaddr>,
    failed: bool,
    /// When each connection through a relay began, until a direct one stands beside it.
    relayed: BTreeMap<PeerId, (ConnectionId, Instant)>,
}

impl Nat {
    pub(super) fn new(inbound: Inbound) -> Self {
        Self {
            inbound,
            open: BTreeSet::new(),
            failed: false,
            relayed: BTreeMap::new(),
        }
    }

    /// A member dialled this node back at an address, or could not; tells whether that is news.
    pub(super) fn tried(&mut self, address: &Multiaddr, reached: bool) -> bool {
        let before = (self.is_closed(), self.open.len());
        if !reached {
            self.failed = true;
            self.open.remove(address);
        } else if self.open.len() < limits::ADDRESS_CANDIDATES_MAX {
            self.open.insert(address.clone());
        }
        before != (self.is_closed(), self.open.len())
    }

    /// Where members dialled this node back.
    pub(super) fn open(&self) -> impl Iterator<Item = &Multiaddr> {
        self.open.iter()
    }

    /// Whether others certainly cannot dial this node, so that it needs a relay.
    pub(super) fn is_closed(&self) -> bool {
        match self.inbound {
            Inbound::Open => false,
            Inbound::Closed => true,
            Inbound::Auto => self.failed && self.open.is_empty(),
        }
    }

    /// Whether others certainly can.
    pub(super) fn is_open(&self) -> bool {
        match self.inbound {
            Inbound::Open => true,
            Inbound::Closed => false,
            Inbound::Auto => !self.open.is_empty(),
        }
    }

    /// How others get to this node, given who relays for it.
    pub(super) fn reached(&self, relays: Vec<NodeKey>) -> Reached {
        if self.is_open() {
            Reached::Directly
        } else if !relays.is_empty() {
            Reached::Relayed(relays)
        } else if self.is_closed() {
            Reached::Nohow
        } else {
            Reached::Unknown
        }
    }

    /// A connection stands; gives how long it took to get from a relayed one to a direct one.
    pub(super) fn connected(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        address: &Multiaddr,
        now: Instant,
    ) -> Option<Duration> {
        if relay_of(address).is_some() || is_circuit(address) {
            self.relayed.entry(peer).or_insert((id, now));
            return None;
        }
        let (_, since) = self.relayed.remove(&peer)?;
        Some(now.duration_since(since))
    }

    /// A connection ended.
    pub(super) fn disconnected(&mut self, peer: PeerId, id: ConnectionId) {
        if self
            .relayed
            .get(&peer)
            .is_some_and(|(known, _)| *known == id)
        {
            self.relayed.remove(&peer);
        }
    }
}

/// The far end of a connection that came in through a relay has no address but its name.
fn is_circuit(address: &Multiaddr) -> bool {
    let mut parts = address.iter();
    matches!(parts.next(), Some(libp2p::multiaddr::Protocol::P2p(_))) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Multiaddr {
        let text = format!("/ip4/203.0.113.7/tcp/{port}");
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_that_is_reached_is_enough_and_none_that_is_means_closed() {
        let mut nat = Nat::new(Inbound::Auto);
        assert_eq!(nat.reached(Vec::new()), Reached::Unknown);

        assert!(nat.tried(&address(1), false));
        assert!(!nat.tried(&address(2), false));
        assert_eq!(nat.reached(Vec::new()), Reached::Nohow);
        let relay = NodeKey([7; 32]);
        assert_eq!(nat.reached(vec![relay]), Reached::Relayed(vec![relay]));

        assert!(nat.tried(&address(3), true));
        assert!(!nat.is_closed() && nat.is_open());
        assert_eq!(nat.reached(vec![relay]), Reached::Directly);
        assert!(nat.tried(&address(3), false));
        assert!(nat.is_closed());
    }

    #[test]
    fn what_the_configuration_says_is_not_found_out() {
        for (inbound, open) in [(Inbound::Open, true), (Inbound::Closed, false)] {
            let mut nat = Nat::new(inbound);
            nat.tried(&address(1), !open);

            assert_eq!((nat.is_open(), nat.is_closed()), (open, !open));
        }
    }

    #[test]
    fn no_more_addresses_are_believed_than_are_tried() {
        let mut nat = Nat::new(Inbound::Auto);
        for port in 1..500 {
            nat.tried(&address(port), true);
        }

        assert_eq!(nat.open().count(), limits::ADDRESS_CANDIDATES_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_to_a_direct_connection_counts_from_the_relayed_one() {
        let (mut nat, peer) = (Nat::new(Inbound::Closed), PeerId::random());
        let id = ConnectionId::new_unchecked;
        let relay = PeerId::random();
        let through = address(1)
            .with(libp2p::multiaddr::Protocol::P2p(relay))
            .with(libp2p::multiaddr::Protocol::P2pCircuit);
        let now = Instant::now();
        assert_eq!(nat.connected(peer, id(1), &address(2), now), None);

        assert_eq!(nat.connected(peer, id(2), &through, now), None);
        let later = now + Duration::from_millis(300);
        let took = nat.connected(peer, id(3), &address(2), later);
        assert_eq!(took, Some(Duration::from_millis(300)));
        assert_eq!(nat.connected(peer, id(4), &address(2), later), None);

        let incoming: Multiaddr = format!("/p2p/{peer}").parse().expect("an address");
        nat.connected(peer, id(5), &incoming, later);
        nat.disconnected(peer, id(5));
        assert_eq!(nat.connected(peer, id(6), &address(2), later), None);
    }
}
