//! Bounds on how members find out, by dialling one another back (AutoNAT v2), whether they can be
//! dialled.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    task::{Context, Poll},
};

use chartmesh_core::types::limits;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
    },
};

use super::address::{ip_of, is_public, relay_of};

/// Why a member is not dialled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a member is dialled back at the host it is connected from, and nowhere else")]
pub(super) struct ElsewhereError;

/// Whether this node asks to be dialled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// At each public address others see it at.
    Ask,
    /// It knows already.
    Know,
}

/// Wraps either side of AutoNAT.
///
/// The asking side is given few candidates, public ones only: whoever is connected may invent any
/// number. The answering side dials a member back only at the host it is connected from: it tells
/// what came of it, and would otherwise try doors of this node's own building for strangers to it.
pub(super) struct Probing<B> {
    inner: B,
    asking: Asking,
    candidates: BTreeSet<Multiaddr>,
    dialling: BTreeSet<ConnectionId>,
    hosts: BTreeMap<ConnectionId, (PeerId, IpAddr)>,
}

impl<B> Probing<B> {
    pub(super) fn new(inner: B, asking: Asking) -> Self {
        Self {
            inner,
            asking,
            candidates: BTreeSet::new(),
            dialling: BTreeSet::new(),
            hosts: BTreeMap::new(),
        }
    }

    fn is_worth_trying(&mut self, candidate: &Multiaddr) -> bool {
        let public = ip_of(candidate).is_some_and(is_public) && relay_of(candidate).is_none();
        if self.asking == Asking::Know || !public {
            return false;
        }
        if self.candidates.len() < limits::ADDRESS_CANDIDATES_MAX {
            self.candidates.insert(candidate.clone());
        }
        self.candidates.contains(candidate)
    }

    fn is_at_home(&self, peer: Option<PeerId>, addresses: &[Multiaddr]) -> bool {
        addresses.iter().all(|address| {
            let ip = ip_of(address);
            let mut homes = self.hosts.values();
            homes.any(|(of, home)| Some(*of) == peer && Some(*home) == ip)
        })
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Probing<B> {
    type ConnectionHandler = B::ConnectionHandler;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.dialling.remove(&id) && !self.is_at_home(peer, addresses) {
            return Err(ConnectionDenied::new(ElsewhereError));
        }
        self.inner
            .handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_outbound_connection(id, peer, address, role, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::NewExternalAddrCandidate(candidate)
                if !self.is_worth_trying(candidate.addr) =>
            {
                return;
            }
            FromSwarm::ConnectionEstablished(established) => {
                if let Some(ip) = ip_of(established.endpoint.get_remote_address()) {
                    let host = (established.peer_id, ip);
                    self.hosts.insert(established.connection_id, host);
                }
            }
            FromSwarm::ConnectionClosed(closed) => {
                self.hosts.remove(&closed.connection_id);
            }
            _ => {}
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner
            .on_connection_handler_event(peer, connection, event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let polled = self.inner.poll(cx);
        if let Poll::Ready(ToSwarm::Dial { opts }) = &polled {
            // The swarm asks about this dial before it does anything else.
            self.dialling.insert(opts.connection_id());
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use libp2p::{
        autonat::v2,
        core::ConnectedPoint,
        swarm::{NewExternalAddrCandidate, behaviour::ConnectionEstablished, dummy},
    };

    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    fn connected(probing: &mut Probing<dummy::Behaviour>, peer: PeerId, from: &str) {
        let endpoint = ConnectedPoint::Listener {
            local_addr: address("/ip4/203.0.113.10/tcp/443"),
            send_back_addr: address(from),
        };
        probing.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: ConnectionId::new_unchecked(1),
            endpoint: &endpoint,
            failed_addresses: &[],
            other_established: 0,
        }));
    }

    #[test]
    fn a_member_is_dialled_back_only_where_it_is_connected_from() {
        let (peer, other) = (PeerId::random(), PeerId::random());
        let mut probing = Probing::new(dummy::Behaviour, Asking::Know);
        connected(&mut probing, peer, "/ip4/203.0.113.7/tcp/50000");
        let mut dial_back = |to: PeerId, at: &str| {
            let id = ConnectionId::new_unchecked(2);
            probing.dialling.insert(id);
            let at = [address(at)];
            probing
                .handle_pending_outbound_connection(id, Some(to), &at, Endpoint::Dialer)
                .is_ok()
        };

        assert!(dial_back(peer, "/ip4/203.0.113.7/tcp/443"));
        assert!(!dial_back(peer, "/ip4/10.0.0.1/tcp/22"));
        assert!(!dial_back(peer, "/dns4/printer.hospital.example/tcp/631"));
        assert!(!dial_back(other, "/ip4/203.0.113.7/tcp/443"));
    }

    #[test]
    fn dials_of_others_are_none_of_its_business() {
        let mut probing = Probing::new(dummy::Behaviour, Asking::Know);
        let at = [address("/ip4/10.0.0.1/tcp/7420")];

        let dialled = probing.handle_pending_outbound_connection(
            ConnectionId::new_unchecked(3),
            Some(PeerId::random()),
            &at,
            Endpoint::Dialer,
        );

        assert!(dialled.is_ok());
    }

    #[test]
    fn few_candidates_are_tried_and_public_ones_only() {
        let mut probing = Probing::new(v2::client::Behaviour::default(), Asking::Ask);
        assert!(probing.is_worth_trying(&address("/ip4/203.0.113.7/tcp/1")));
        for private in [
            "/ip4/10.0.0.1/tcp/1",
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/100.64.0.1/tcp/1",
            "/ip6/fd00::1/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/dns4/clinic.example/tcp/1",
        ] {
            assert!(!probing.is_worth_trying(&address(private)), "{private}");
        }

        for port in 1..1_000 {
            let addr = address(&format!("/ip4/203.0.113.7/tcp/{port}"));
            let candidate = NewExternalAddrCandidate { addr: &addr };
            probing.on_swarm_event(FromSwarm::NewExternalAddrCandidate(candidate));
        }

        assert_eq!(probing.candidates.len(), limits::ADDRESS_CANDIDATES_MAX);
        let mut silent = Probing::new(v2::client::Behaviour::default(), Asking::Know);
        assert!(!silent.is_worth_trying(&address("/ip4/203.0.113.7/tcp/1")));
    }
}
