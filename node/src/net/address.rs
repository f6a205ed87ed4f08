//! Addresses and identities: our types on one side, libp2p's on the other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chartmesh_core::types::{NodeKey, limits};
use libp2p::{Multiaddr, PeerId, identity, multiaddr::Protocol};

use super::NetError;

/// Longest binary address that is read: a DNS name of 253 octets (RFC 1035, section 2.3.4), a port and
/// a peer id fit.
const ADDRESS_MAX_BYTES: usize = 384;

/// The binary form of a multiaddress in text.
///
/// # Errors
///
/// [`NetError::Address`] where the text is no multiaddress.
pub fn address_bytes(text: &str) -> Result<Vec<u8>, NetError> {
    let address: Multiaddr = text.parse().map_err(|_| NetError::Address)?;
    Ok(address.to_vec())
}

/// The text form of a binary multiaddress.
///
/// # Errors
///
/// [`NetError::Address`] where the bytes are no multiaddress.
pub fn address_text(bytes: &[u8]) -> Result<String, NetError> {
    Ok(read(bytes)?.to_string())
}

fn read(bytes: &[u8]) -> Result<Multiaddr, NetError> {
    if bytes.len() > ADDRESS_MAX_BYTES {
        return Err(NetError::Address);
    }
    let address = Multiaddr::try_from(bytes.to_vec()).map_err(|_| NetError::Address)?;
    // A host's name may hold anything in binary form, a slash among it: as a text it would be another address.
    match address.to_string().parse::<Multiaddr>() {
        Ok(again) if again == address => Ok(address),
        Ok(_) | Err(_) => Err(NetError::Address),
    }
}

/// An address at which `peer` can be dialled over TCP or QUIC, without the peer's id at its end; or the
/// member it is relayed by, of whom only the name counts: where the relay is, it says itself.
pub(super) fn dialable(peer: PeerId, bytes: &[u8]) -> Result<Multiaddr, NetError> {
    let mut address = read(bytes)?;
    if let Some(Protocol::P2p(named)) = address.iter().last() {
        if named != peer {
            return Err(NetError::Address);
        }
        address.pop();
    }
    if address.iter().any(|part| part == Protocol::P2pCircuit) {
        let relay = relay_of(&address).ok_or(NetError::Unsupported)?;
        let circuits = address.iter().filter(|part| *part == Protocol::P2pCircuit);
        let whole = circuits.count() == 1 && address.iter().last() == Some(Protocol::P2pCircuit);
        return (whole && relay != peer)
            .then(|| through(relay))
            .ok_or(NetError::Unsupported);
    }
    let mut parts = address.iter();
    let host = matches!(
        parts.next(),
        Some(
            Protocol::Ip4(_)
                | Protocol::Ip6(_)
                | Protocol::Dns(_)
                | Protocol::Dns4(_)
                | Protocol::Dns6(_)
        )
    );
    let port = match parts.next() {
        Some(Protocol::Tcp(1..)) => true,
        Some(Protocol::Udp(1..)) => parts.next() == Some(Protocol::QuicV1),
        _ => false,
    };
    if !host || !port || parts.next().is_some() {
        return Err(NetError::Unsupported);
    }
    Ok(address)
}

/// The relay of an address that leads through one.
pub(super) fn relay_of(address: &Multiaddr) -> Option<PeerId> {
    let mut parts = address.iter();
    let named = parts.find_map(|part| match part {
        Protocol::P2p(relay) => Some(relay),
        _ => None,
    });
    (parts.next() == Some(Protocol::P2pCircuit))
        .then_some(named)
        .flatten()
}

/// The address of whoever is relayed by a member.
pub(super) fn through(relay: PeerId) -> Multiaddr {
    Multiaddr::empty()
        .with(Protocol::P2p(relay))
        .with(Protocol::P2pCircuit)
}

/// The number of the host at a direct address.
pub(super) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    if address.iter().any(|part| part == Protocol::P2pCircuit) {
        return None;
    }
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(ip.to_canonical()),
        _ => None,
    }
}

/// Whether a number is one that hosts elsewhere can use: none of a private network (RFC 1918, RFC 4193,
/// RFC 6598), of a link, or of this machine.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let shared = first == 100 && second & 0xc0 == 64;
            let own = ip.is_private() || ip.is_link_local() || ip.is_loopback();
            !(own || shared || ip.is_multicast() || ip == Ipv4Addr::BROADCAST || first == 0)
        }
        IpAddr::V6(ip) => {
            let own = ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback();
            !(own || ip.is_multicast() || ip == Ipv6Addr::UNSPECIFIED)
        }
    }
}

/// The addresses among those listened on that others are told: as many as a node may have, and loopback
/// last, which helps nobody but another node of the same machine.
pub(super) fn advertised(mut listening: Vec<Multiaddr>) -> Vec<Multiaddr> {
    listening.sort_by_key(is_loopback);
    listening.truncate(limits::NODE_ADDRESSES_MAX);
    listening
}

fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

/// The libp2p identity of a node; none where the bytes are no Ed25519 key.
pub(super) fn peer_id(node: NodeKey) -> Option<PeerId> {
    let key = identity::ed25519::PublicKey::try_from_bytes(&node.0).ok()?;
    Some(identity::PublicKey::from(key).to_peer_id())
}

/// The node key in a libp2p identity; none where it holds another kind of key.
pub(super) fn node_key(peer: PeerId) -> Option<NodeKey> {
    let key = identity::PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
    Some(NodeKey(key.try_into_ed25519().ok()?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> PeerId {
        identity::Keypair::generate_ed25519().public().to_peer_id()
    }

    #[test]
    fn an_address_reads_back_and_noise_is_refused() {
        let bytes = address_bytes("/ip4/192.0.2.7/tcp/7420").expect("an address");

        assert_eq!(
            address_text(&bytes).expect("its text"),
            "/ip4/192.0.2.7/tcp/7420"
        );
        assert!(matches!(
            address_bytes("192.0.2.7:7420"),
            Err(NetError::Address)
        ));
        assert!(matches!(address_text(&[0xff; 9]), Err(NetError::Address)));
    }

    #[test]
    fn an_address_whose_text_is_another_address_is_refused() {
        let named = |name: &str| {
            let mut bytes = vec![0x36, u8::try_from(name.len()).expect("a short name")];
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&[6, 0x1c, 0xfc]);
            bytes
        };
        let good = address_text(&named("a.example")).expect("an address");
        assert_eq!(good, "/dns4/a.example/tcp/7420");

        for name in ["a/tcp/22", "a/dns4/b"] {
            let bytes = named(name);
            assert!(matches!(address_text(&bytes), Err(NetError::Address)));
            assert!(matches!(dialable(peer(), &bytes), Err(NetError::Address)));
        }
    }

    #[test]
    fn an_address_of_another_peer_is_not_dialled() {
        let (one, other) = (peer(), peer());
        let plain = address_bytes("/dns4/clinic.example/tcp/7420").expect("an address");
        let named =
            address_bytes(&format!("/dns4/clinic.example/tcp/7420/p2p/{one}")).expect("an address");

        let dialled = dialable(one, &named).expect("its own address");

        assert_eq!(dialled.to_vec(), plain);
        assert!(matches!(dialable(other, &named), Err(NetError::Address)));
    }

    #[test]
    fn only_tcp_and_quic_are_dialled() {
        let peer = peer();
        for dialled in [
            "/ip4/192.0.2.7/udp/7420/quic-v1",
            "/ip6/2001:db8::1/tcp/7420",
        ] {
            let bytes = address_bytes(dialled).expect("an address");
            assert!(dialable(peer, &bytes).is_ok(), "{dialled}");
        }
        for refused in [
            "/ip4/192.0.2.7/udp/7420",
            "/ip4/192.0.2.7/udp/0/quic-v1",
            "/ip4/192.0.2.7/udp/7420/quic",
            "/ip4/192.0.2.7",
            "/ip4/192.0.2.7/tcp/0",
            "/ip4/192.0.2.7/tcp/80/ws",
            "/unix/tmp",
        ] {
            let bytes = address_bytes(refused).expect("an address");
            assert!(dialable(peer, &bytes).is_err(), "{refused}");
        }
    }

    #[test]
    fn of_a_relayed_address_the_name_of_the_relay_is_kept() {
        let (peer, relay) = (peer(), peer());
        let read = |text: &str| {
            let bytes = address_bytes(text).expect("an address");
            dialable(peer, &bytes).ok()
        };
        let wanted = Some(through(relay));

        assert_eq!(read(&format!("/p2p/{relay}/p2p-circuit")), wanted);
        let far = format!("/ip4/10.0.0.1/tcp/22/p2p/{relay}/p2p-circuit/p2p/{peer}");
        assert_eq!(read(&far), wanted);
        assert_eq!(relay_of(&through(relay)), Some(relay));
        for refused in [
            format!("/p2p/{peer}/p2p-circuit"),
            "/ip4/192.0.2.7/tcp/7420/p2p-circuit".to_owned(),
            format!("/p2p/{relay}/p2p-circuit/p2p/{relay}"),
            format!("/p2p/{relay}/p2p-circuit/ip4/10.0.0.1/tcp/22"),
            format!("/p2p/{relay}/p2p-circuit/p2p/{relay}/p2p-circuit"),
        ] {
            assert_eq!(read(&refused), None, "{refused}");
        }
        let direct: Multiaddr = "/ip4/192.0.2.7/tcp/7420".parse().expect("an address");
        assert_eq!(relay_of(&direct), None);
    }

    #[test]
    fn others_are_told_node_addresses_max_with_loopback_last() {
        let listening = (0..limits::NODE_ADDRESSES_MAX as u16).flat_map(|port| {
            ["127.0.0.1", "192.0.2.7"].map(|ip| {
                let text = format!("/ip4/{ip}/tcp/{}", 7420 + port);
                text.parse().expect("an address")
            })
        });

        let told = advertised(listening.collect());

        assert_eq!(told.len(), limits::NODE_ADDRESSES_MAX);
        assert!(!told.iter().any(is_loopback));
        let local: Multiaddr = "/ip6/::1/tcp/7420".parse().expect("an address");
        assert_eq!(advertised(vec![local.clone()]), [local]);
    }

    #[test]
    fn a_node_and_its_peer_id_name_each_other() {
        let peer = peer();
        let node = node_key(peer).expect("an Ed25519 key");

        assert_eq!(peer_id(node), Some(peer));
        assert_eq!(node.to_string(), peer.to_string());
    }
}
