//! Who may connect: the share of nodes that are no members, and of one host, is small; and nobody but
//! members is dialled.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use chartmesh_core::types::limits;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};

use super::directory::{Directory, knows};

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// As many handshakes of this host are under way as one host may have.
    #[error("too many handshakes of one host")]
    HandshakesOfHost,
    /// Nodes that are no members hold as many connections as they may.
    #[error("too many connections of nodes that are no members")]
    Strangers,
    /// Such nodes hold as many connections from this host as one host may.
    #[error("too many connections of nodes that are no members from one host")]
    StrangersOfHost,
    /// The node is no member, so there is nothing to ask it.
    #[error("not a member, so not dialled")]
    NotDialled,
}

/// A machine or a site, as far as its address tells: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Host(u64);

impl Host {
    /// The host at the other end; none where the address names none.
    fn of(address: &Multiaddr) -> Option<Self> {
        let ip = match address.iter().next()? {
            Protocol::Ip4(ip) => IpAddr::V4(ip),
            Protocol::Ip6(ip) => ip.to_canonical(),
            _ => return None,
        };
        Some(match ip {
            IpAddr::V4(ip) => Self(u64::from(u32::from(ip))),
            // No global IPv6 address begins with zeros, so the two kinds never meet.
            IpAddr::V6(ip) => Self(u64::try_from(u128::from(ip) >> 64).unwrap_or(u64::MAX)),
        })
    }
}

struct Stranger {
    peer: PeerId,
    host: Option<Host>,
}

/// The behaviour.
pub(super) struct Gate {
    directory: Arc<dyn Directory>,
    pending: BTreeMap<ConnectionId, Host>,
    strangers: BTreeMap<ConnectionId, Stranger>,
}

impl Gate {
    pub(super) fn new(directory: Arc<dyn Directory>) -> Self {
        Self {
            directory,
            pending: BTreeMap::new(),
            strangers: BTreeMap::new(),
        }
    }

    fn admit(&mut self, peer: PeerId, remote: &Multiaddr) -> Result<(), Refusal> {
        if knows(&*self.directory, peer) {
            return Ok(());
        }
        let host = Host::of(remote);
        match self.full(host) {
            None => Ok(()),
            Some(_) => {
                // Who was let in meanwhile counts no more.
                let directory = self.directory.clone();
                self.strangers
                    .retain(|_, stranger| !knows(&*directory, stranger.peer));
                self.full(host).map_or(Ok(()), Err)
            }
        }
    }

    fn full(&self, host: Option<Host>) -> Option<Refusal> {
        if self.strangers.len() >= limits::STRANGER_CONNECTIONS_MAX {
            return Some(Refusal::Strangers);
        }
        let host = host?;
        let strangers = self.strangers.values();
        let of_host = strangers.filter(|stranger| stranger.host == Some(host));
        (of_host.count() >= limits::STRANGER_CONNECTIONS_PER_HOST_MAX)
            .then_some(Refusal::StrangersOfHost)
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(host) = Host::of(remote) else {
            return Ok(());
        };
        let of_host = self.pending.values().filter(|pending| **pending == host);
        if of_host.count() >= limits::CONNECTIONS_PENDING_PER_HOST_MAX {
            return Err(ConnectionDenied::new(Refusal::HandshakesOfHost));
        }
        self.pending.insert(id, host);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending.remove(&id);
        self.admit(peer, remote).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        match peer {
            Some(peer) if !knows(&*self.directory, peer) => {
                Err(ConnectionDenied::new(Refusal::NotDialled))
            }
            Some(_) | None => Ok(Vec::new()),
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                self.pending.remove(&event.connection_id);
                if event.endpoint.is_listener() && !knows(&*self.directory, event.peer_id) {
                    let stranger = Stranger {
                        peer: event.peer_id,
                        host: Host::of(event.endpoint.get_remote_address()),
                    };
                    self.strangers.insert(event.connection_id, stranger);
                }
            }
            FromSwarm::ConnectionClosed(event) => {
                self.strangers.remove(&event.connection_id);
            }
            FromSwarm::ListenFailure(event) => {
                self.pending.remove(&event.connection_id);
            }
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

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use chartmesh_core::types::NodeKey;
    use libp2p::{
        core::{ConnectedPoint, Endpoint},
        identity,
        swarm::behaviour::{ConnectionClosed, ConnectionEstablished},
    };

    use super::{super::directory::Found, *};

    /// To whom everybody is a stranger, until everybody is a member.
    #[derive(Default)]
    struct Opening(AtomicBool);

    impl Directory for Opening {
        fn is_known(&self, _: NodeKey) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        fn own_record(&self) -> Option<Vec<u8>> {
            None
        }

        fn read_record(&self, _: NodeKey, _: &[u8]) -> Option<Found> {
            None
        }
    }

    fn stranger() -> PeerId {
        identity::Keypair::generate_ed25519().public().to_peer_id()
    }

    fn from(host: usize) -> Multiaddr {
        let ip = std::net::Ipv4Addr::from(0xc000_0200 + u32::try_from(host).expect("a number"));
        Multiaddr::from(ip).with(Protocol::Tcp(7420))
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    fn connects(gate: &mut Gate, number: usize, remote: &Multiaddr) -> Result<(), Refusal> {
        let (peer, here) = (stranger(), Multiaddr::empty());
        let admitted = gate.handle_established_inbound_connection(id(number), peer, &here, remote);
        admitted.map(drop).map_err(|denied| {
            let refusal = denied.downcast::<Refusal>();
            refusal.expect("a refusal of the gate")
        })?;
        gate.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: id(number),
            endpoint: &endpoint(remote),
            failed_addresses: &[],
            other_established: 0,
        }));
        Ok(())
    }

    fn endpoint(remote: &Multiaddr) -> ConnectedPoint {
        ConnectedPoint::Listener {
            local_addr: Multiaddr::empty(),
            send_back_addr: remote.clone(),
        }
    }

    #[test]
    fn strangers_have_stranger_connections_max_until_they_are_members() {
        let directory = Arc::new(Opening::default());
        let mut gate = Gate::new(directory.clone());
        for number in 0..limits::STRANGER_CONNECTIONS_MAX {
            assert_eq!(connects(&mut gate, number, &from(number)), Ok(()));
        }

        let beyond = connects(&mut gate, 9_000, &from(9_000));

        assert_eq!(beyond, Err(Refusal::Strangers));
        directory.0.store(true, Ordering::Relaxed);
        assert_eq!(connects(&mut gate, 9_001, &from(9_001)), Ok(()));
        directory.0.store(false, Ordering::Relaxed);
        gate.strangers.pop_first();
        assert_eq!(connects(&mut gate, 9_002, &from(9_002)), Ok(()));
    }

    #[test]
    fn strangers_of_one_host_have_stranger_connections_per_host_max() {
        let mut gate = Gate::new(Arc::new(Opening::default()));
        for number in 0..limits::STRANGER_CONNECTIONS_PER_HOST_MAX {
            assert_eq!(connects(&mut gate, number, &from(1)), Ok(()));
        }

        assert_eq!(
            connects(&mut gate, 900, &from(1)),
            Err(Refusal::StrangersOfHost)
        );

        assert_eq!(connects(&mut gate, 901, &from(2)), Ok(()));
        gate.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id: stranger(),
            connection_id: id(0),
            endpoint: &endpoint(&from(1)),
            cause: None,
            remaining_established: 0,
        }));
        assert_eq!(connects(&mut gate, 902, &from(1)), Ok(()));
    }

    #[test]
    fn one_host_has_connections_pending_per_host_max_and_the_others_theirs() {
        let mut gate = Gate::new(Arc::new(Opening::default()));
        let here = Multiaddr::empty();
        let mut begins = |number, host| {
            let pending = gate.handle_pending_inbound_connection(id(number), &here, &from(host));
            pending.map_err(|denied| denied.downcast::<Refusal>().ok())
        };
        for number in 0..limits::CONNECTIONS_PENDING_PER_HOST_MAX {
            assert!(begins(number, 1).is_ok());
        }

        let beyond = begins(900, 1).err().flatten();

        assert_eq!(beyond, Some(Refusal::HandshakesOfHost));
        assert!(begins(901, 2).is_ok());
        gate.pending.remove(&id(0));
        assert!(
            gate.handle_pending_inbound_connection(id(902), &here, &from(1))
                .is_ok()
        );
    }

    #[test]
    fn an_ipv6_site_is_one_host() {
        let host = |text: &str| Host::of(&text.parse().expect("an address"));

        assert_eq!(
            host("/ip6/2001:db8:1:2::1/tcp/1"),
            host("/ip6/2001:db8:1:2:ffff::9/udp/2/quic-v1")
        );
        assert_ne!(
            host("/ip6/2001:db8:1:2::1/tcp/1"),
            host("/ip6/2001:db8:1:3::1/tcp/1")
        );
        assert_eq!(
            host("/ip6/::ffff:192.0.2.1/tcp/1"),
            host("/ip4/192.0.2.1/tcp/1")
        );
        assert!(host("/memory/1").is_none());
    }

    #[test]
    fn nobody_but_members_is_dialled() {
        let directory = Arc::new(Opening::default());
        let mut gate = Gate::new(directory.clone());
        let mut dials =
            |peer| gate.handle_pending_outbound_connection(id(1), peer, &[], Endpoint::Dialer);
        directory.0.store(true, Ordering::Relaxed);
        assert!(dials(Some(stranger())).is_ok());

        directory.0.store(false, Ordering::Relaxed);
        let refused = dials(Some(stranger())).err();

        let refused = refused.and_then(|denied| denied.downcast::<Refusal>().ok());
        assert_eq!(refused, Some(Refusal::NotDialled));
    }
}
