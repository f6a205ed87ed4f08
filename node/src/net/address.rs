//! Addresses and identities: our types on one side, libp2p's on the other.

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
    Multiaddr::try_from(bytes.to_vec()).map_err(|_| NetError::Address)
}

/// An address at which `peer` can be dialled over TCP or QUIC, without the peer's id at its end.
pub(super) fn dialable(peer: PeerId, bytes: &[u8]) -> Result<Multiaddr, NetError> {
    let mut address = read(bytes)?;
    if let Some(Protocol::P2p(named)) = address.iter().last() {
        if named != peer {
            return Err(NetError::Address);
        }
        address.pop();
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
