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
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
