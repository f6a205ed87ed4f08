//! How this node and others find a way to each other where one cannot dial the other: relays, hole
//! punching (DCUtR), and finding out whether that is needed (AutoNAT).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chartmesh_core::types::NodeKey;
use libp2p::{
    Multiaddr, PeerId, Swarm, autonat, dcutr, identify,
    multiaddr::Protocol,
    relay,
    swarm::{
        FromSwarm, NetworkBehaviour, NewExternalAddrCandidate, SwarmEvent,
        behaviour::toggle::Toggle,
    },
};
use rand::SeedableRng as _;
use tokio::time::Instant;

use super::{
    Directory, NetError, Proxy,
    address::{advertised, ip_of, is_public, node_key, peer_id, relay_of, through},
    dial::Book,
    members_only::MembersOnly,
    nat::Nat,
    observed::Observed,
    probe::{Asking, Probing},
    relay::{RelayLimits, Reservations, relaying},
    swarm::{Behaviour, BehaviourEvent},
};
use crate::config::{self, Inbound};

/// How often an address is tried that was not yet.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// How often missing reservations are looked for.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the operator says of how this node reaches others and is reached, as it is used.
#[derive(Clone, Debug)]
pub struct ReachConfig {
    /// What every connection goes out through.
    pub proxy: Option<Proxy>,
    /// Whether this node relays for other members.
    pub relay: bool,
    /// The only members to be relayed by, where any are named.
    pub relays: Vec<NodeKey>,
    /// Multiaddresses at which others reach this node beside those it listens on.
    pub announce: Vec<String>,
    /// Whether others can dial this node.
    pub inbound: Inbound,
}

impl ReachConfig {
    /// Reads what the configuration says.
    ///
    /// # Errors
    ///
    /// [`NetError::Proxy`], [`NetError::Relay`]; [`NetError::Address`] for what cannot be announced.
    pub fn read(config: &config::ReachConfig) -> Result<Self, NetError> {
        let proxy = config.proxy.0.as_deref().map(Proxy::new).transpose()?;
        let proxy = match (proxy, &config.proxy_credentials.0) {
            (Some(proxy), Some(path)) => Some(proxy.with_credentials_in(path)?),
            (proxy, _) => proxy,
        };
        let relays = config.relays.0.iter();
        let relays = relays.map(|text| text.parse().map_err(|_| NetError::Relay));
        Ok(Self {
            proxy,
            relay: config.relay.0,
            relays: relays.collect::<Result<_, _>>()?,
            announce: config.announce.0.clone(),
            inbound: config.inbound.0,
        })
    }
}

impl Default for ReachConfig {
    fn default() -> Self {
        Self {
            proxy: None,
            relay: false,
            relays: Vec::new(),
            announce: Vec::new(),
            inbound: Inbound::Auto,
        }
    }
}

/// The behaviours; all of them for members only.
#[derive(NetworkBehaviour)]
pub(super) struct Ways {
    relay: Toggle<MembersOnly<relay::Behaviour>>,
    circuits: MembersOnly<relay::client::Behaviour>,
    prober: MembersOnly<Probing<autonat::v2::client::Behaviour>>,
    probed: MembersOnly<Probing<autonat::v2::server::Behaviour>>,
    punch: MembersOnly<dcutr::Behaviour>,
}

impl Ways {
    /// The behaviours of a node, and the transport through relays that belongs to them.
    pub(super) fn new(
        own: PeerId,
        config: &ReachConfig,
        directory: &Arc<dyn Directory>,
    ) -> (Self, relay::client::Transport) {
        let (transport, circuits) = relay::client::new(own);
        let relay = config.relay.then(|| {
            let relay = relaying(own, RelayLimits::default());
            MembersOnly::new(relay, directory.clone())
        });
        let asking = match config.inbound {
            Inbound::Auto => Asking::Ask,
            Inbound::Open | Inbound::Closed => Asking::Know,
        };
        let probing = autonat::v2::client::Config::default().with_probe_interval(PROBE_EVERY);
        let chance = || rand::rngs::StdRng::from_rng(&mut rand::rng());
        let client = autonat::v2::client::Behaviour::new(chance(), probing);
        let server = autonat::v2::server::Behaviour::new(chance());
        let ways = Self {
            relay: relay.into(),
            circuits: MembersOnly::new(circuits, directory.clone()),
            prober: MembersOnly::new(Probing::new(client, asking), directory.clone()),
            probed: MembersOnly::new(Probing::new(server, Asking::Know), directory.clone()),
            punch: MembersOnly::new(dcutr::Behaviour::new(own), directory.clone()),
        };
        (ways, transport)
    }
}

/// Where a running node stands.
pub(super) struct Reach {
    nat: Nat,
    reservations: Reservations,
    announced: Vec<Multiaddr>,
    relays_for_others: bool,
}

/// Whether others must be told anew where this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Moved {
    Elsewhere,
    Nowhere,
}

impl Reach {
    /// # Errors
    ///
    /// [`NetError::Address`] where an announced address is none.
    pub(super) fn new(own: PeerId, config: &ReachConfig) -> Result<Self, NetError> {
        let announced = config.announce.iter();
        let announced = announced
            .map(|text| text.parse().map_err(|_| NetError::Address))
            .collect::<Result<_, _>>()?;
        let named = config.relays.iter().copied().filter_map(peer_id).collect();
        Ok(Self {
            nat: Nat::new(config.inbound),
            reservations: Reservations::new(own, named),
            announced,
            relays_for_others: config.relay,
        })
    }

    /// Tells who is relayed where to find this node: what the operator announces, else what it listens
    /// on, public addresses before others.
    pub(super) fn begin(&self, swarm: &mut Swarm<Behaviour>, observed: &Observed, book: &Book) {
        if self.relays_for_others {
            let listening = observed.listening();
            let public = |address: &Multiaddr| ip_of(address).is_some_and(is_public);
            let public: Vec<Multiaddr> = listening.iter().filter(|a| public(a)).cloned().collect();
            let mut known = [&self.announced, &public, &listening].into_iter();
            let told = known.find(|addresses| !addresses.is_empty());
            for address in told.into_iter().flatten() {
                swarm.add_external_address(address.clone());
            }
        }
        self.publish(observed, book);
    }

    /// Asks for the reservations that are missing.
    pub(super) fn look(&mut self, swarm: &mut Swarm<Behaviour>, book: &Book) {
        if !self.nat.is_closed() {
            return;
        }
        let now = Instant::now();
        for relay in self.reservations.due(&book.relays(), now) {
            let Some(at) = book.direct(relay) else {
                self.reservations.failed(relay, now);
                continue;
            };
            let at = at.with(Protocol::P2p(relay)).with(Protocol::P2pCircuit);
            match swarm.listen_on(at) {
                Ok(listener) => self.reservations.asked(listener, relay),
                Err(error) => {
                    tracing::warn!(peer = %relay, %error, "a relay cannot be asked");
                    self.reservations.failed(relay, now);
                }
            }
        }
    }

    /// Takes notice of what happened.
    pub(super) fn settle(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        event: &SwarmEvent<BehaviourEvent>,
    ) -> Moved {
        let now = Instant::now();
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Ways(event)) => return self.settle_way(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                info,
                ..
            })) => seen_at(swarm, &info.observed_addr),
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                let granted = self.reservations.relays();
                if let Some(relay) = self.reservations.ended(*listener_id, now) {
                    tracing::info!(peer = %relay, "no longer relayed by this member");
                    return if granted.contains(&relay) {
                        Moved::Elsewhere
                    } else {
                        Moved::Nowhere
                    };
                }
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                let address = endpoint.get_remote_address();
                let took = self.nat.connected(*peer_id, *connection_id, address, now);
                if let Some(took) = took {
                    tracing::info!(peer = %peer_id, punch_ms = took.as_millis(), "direct, after relayed");
                }
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                ..
            } => self.nat.disconnected(*peer_id, *connection_id),
            _ => {}
        }
        Moved::Nowhere
    }

    fn settle_way(&mut self, event: &WaysEvent) -> Moved {
        let news = match event {
            WaysEvent::Prober(tried) => {
                let reached = tried.result.is_ok();
                let news = self.nat.tried(&tried.tested_addr, reached);
                let address = &tried.tested_addr;
                if reached {
                    tracing::info!(%address, peer = %tried.server, "others can dial this address");
                } else {
                    tracing::info!(%address, peer = %tried.server, "others cannot dial this address");
                }
                news
            }
            WaysEvent::Circuits(relay::client::Event::ReservationReqAccepted {
                relay_peer_id,
                ..
            }) => {
                let news = self.reservations.granted(*relay_peer_id);
                if news {
                    tracing::info!(peer = %relay_peer_id, "relayed by this member");
                }
                news
            }
            WaysEvent::Circuits(
                relay::client::Event::OutboundCircuitEstablished { .. }
                | relay::client::Event::InboundCircuitEstablished { .. },
            )
            | WaysEvent::Probed(_) => false,
            WaysEvent::Relay(event) => {
                told_as_relay(event);
                false
            }
            WaysEvent::Punch(event) => {
                if let Err(error) = &event.result {
                    let peer = event.remote_peer_id;
                    tracing::info!(%peer, %error, "no way but through the relay");
                }
                false
            }
        };
        if news {
            Moved::Elsewhere
        } else {
            Moved::Nowhere
        }
    }

    /// Whether a listener that ended was a reservation.
    pub(super) fn is_reservation(&self, listener: libp2p::core::transport::ListenerId) -> bool {
        self.reservations.holds(listener)
    }

    /// Puts where this node is where others of this process find it.
    pub(super) fn publish(&self, observed: &Observed, book: &Book) {
        let relays = self.reservations.relays();
        let mut addresses: Vec<Multiaddr> = relays.iter().copied().map(through).collect();
        addresses.extend(self.announced.iter().cloned());
        addresses.extend(self.nat.open().cloned());
        for listening in advertised(observed.listening()) {
            if !addresses.contains(&listening) {
                addresses.push(listening);
            }
        }
        let relays = relays.into_iter().filter_map(node_key).collect();
        observed.moved(addresses, self.nat.reached(relays));
        // Behind an address translator, relays must see the port that others are to aim at.
        book.reuse_ports(!self.nat.is_open());
    }
}

/// Lets the hole punch know the very port that another saw. `identify` tells it the port listened on
/// where the two differ, which an address translator that hands out ports of its own makes useless.
fn seen_at(swarm: &mut Swarm<Behaviour>, address: &Multiaddr) {
    if ip_of(address).is_some() && relay_of(address).is_none() {
        let candidate = NewExternalAddrCandidate { addr: address };
        let punch = swarm.behaviour_mut().ways.punch.inner();
        punch.on_swarm_event(FromSwarm::NewExternalAddrCandidate(candidate));
    }
}

fn told_as_relay(event: &relay::Event) {
    match event {
        relay::Event::ReservationReqAccepted {
            src_peer_id,
            renewed: false,
        } => tracing::info!(peer = %src_peer_id, "relaying for this member"),
        relay::Event::ReservationReqDenied { src_peer_id, .. } => {
            tracing::warn!(peer = %src_peer_id, "not relaying for this member: a limit is reached");
        }
        relay::Event::CircuitReqDenied {
            src_peer_id,
            dst_peer_id,
            ..
        } => tracing::info!(from = %src_peer_id, to = %dst_peer_id, "a circuit was refused"),
        relay::Event::CircuitReqAccepted {
            src_peer_id,
            dst_peer_id,
        } => tracing::debug!(from = %src_peer_id, to = %dst_peer_id, "a circuit began"),
        relay::Event::CircuitClosed {
            src_peer_id,
            dst_peer_id,
            ..
        } => tracing::debug!(from = %src_peer_id, to = %dst_peer_id, "a circuit ended"),
        _ => {}
    }
}

/// The relays among the members, as the swarm names them.
pub(super) fn relays_of(nodes: &[NodeKey]) -> BTreeSet<PeerId> {
    nodes.iter().copied().filter_map(peer_id).collect()
}
