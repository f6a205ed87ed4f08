//! Where the swarm listens: the addresses asked for, each with the port it got.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};

use chartmesh_core::types::limits;
use futures::{FutureExt, StreamExt};
use libp2p::{
    Multiaddr, Swarm, core::transport::ListenerId, multiaddr::Protocol, swarm::SwarmEvent,
};

use super::{
    NetError,
    address::address_bytes,
    observed::Observed,
    swarm::{Behaviour, observe},
};

/// Listens on every address it can and says which port each got, in the order asked; an address that
/// cannot be listened on stays as it was asked.
///
/// # Errors
///
/// [`NetError::PortTaken`], and [`NetError::Listen`] where no address can be listened on.
pub(super) async fn listen(
    swarm: &mut Swarm<Behaviour>,
    observed: &Observed,
    wanted: &[Multiaddr],
) -> Result<Vec<Multiaddr>, NetError> {
    for address in wanted {
        probe(address)?;
    }
    let mut listeners = Vec::new();
    let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in wanted {
        match swarm.listen_on(address.clone()) {
            Ok(listener) => listeners.push((Some(listener), address)),
            Err(error) => {
                tracing::warn!(%address, %error, "cannot listen on this address");
                refused = io::Error::other(error);
                listeners.push((None, address));
            }
        }
    }
    let deadline = tokio::time::sleep(Duration::from_millis(limits::CONNECT_MAX.0));
    tokio::pin!(deadline);
    while listeners
        .iter()
        .filter_map(|(id, _)| *id)
        .any(|id| port(observed, id).is_none())
    {
        tokio::select! {
            event = swarm.select_next_some() => {
                if let SwarmEvent::ListenerClosed { listener_id, .. } = &event {
                    let ended = listeners.iter_mut().find(|(id, _)| *id == Some(*listener_id));
                    ended.into_iter().for_each(|(id, _)| *id = None);
                }
                observe(observed, &event);
            }
            () = &mut deadline => return Err(NetError::Silent),
        }
    }
    // The addresses of further interfaces are ready by now.
    while let Some(event) = swarm.select_next_some().now_or_never() {
        observe(observed, &event);
    }
    if !wanted.is_empty() && listeners.iter().all(|(id, _)| id.is_none()) {
        return Err(NetError::Listen(refused));
    }
    Ok(listeners
        .into_iter()
        .map(|(id, address)| match id.and_then(|id| port(observed, id)) {
            Some(port) => with_port(address, port),
            None => address.clone(),
        })
        .collect())
}

fn port(observed: &Observed, listener: ListenerId) -> Option<u16> {
    let own = observed.listening_by(listener);
    own.iter().find_map(|address| match socket(address)? {
        Socket::Stream(at) | Socket::Datagram(at) => Some(at.port()),
    })
}

/// Whether the port is free. libp2p listens on TCP with `SO_REUSEPORT`, under which a second process of
/// the same user would silently share the port.
///
/// # Errors
///
/// [`NetError::PortTaken`], and [`NetError::Unsupported`] where this is no address to listen on.
pub(super) fn probe(address: &Multiaddr) -> Result<(), NetError> {
    let (bound, at) = match socket(address).ok_or(NetError::Unsupported)? {
        Socket::Stream(at) => (TcpListener::bind(at).map(drop), at),
        Socket::Datagram(at) => (UdpSocket::bind(at).map(drop), at),
    };
    match bound {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(NetError::PortTaken { port: at.port() })
        }
        // Whatever else is wrong with it is told when it is listened on.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What an address to listen on asks the system for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    /// TCP.
    Stream(SocketAddr),
    /// UDP, for QUIC.
    Datagram(SocketAddr),
}

/// The socket of an address of the form `/ip…/tcp/…` or `/ip…/udp/…/quic-v1`.
pub(super) fn socket(address: &Multiaddr) -> Option<Socket> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match (parts.next()?, parts.next(), parts.next()) {
        (Protocol::Tcp(port), None, None) => Some(Socket::Stream(SocketAddr::new(ip, port))),
        (Protocol::Udp(port), Some(Protocol::QuicV1), None) => {
            Some(Socket::Datagram(SocketAddr::new(ip, port)))
        }
        _ => None,
    }
}

fn with_port(address: &Multiaddr, port: u16) -> Multiaddr {
    address
        .iter()
        .map(|part| match part {
            Protocol::Tcp(_) => Protocol::Tcp(port),
            Protocol::Udp(_) => Protocol::Udp(port),
            other => other,
        })
        .collect()
}

/// The addresses to listen on, with the port each got before where it asked for any.
pub fn sticky(wanted: &[String], before: &str) -> Vec<String> {
    wanted
        .iter()
        .map(|asked| {
            before
                .lines()
                .filter_map(|line| line.split_once(' '))
                .find(|(then, got)| then == asked && address_bytes(got).is_ok())
                .map_or_else(|| asked.clone(), |(_, got)| got.to_owned())
        })
        .collect()
}

/// Asks for any port again where a remembered one turned out to be taken; tells whether one was. The
/// others stay: members know this node by them, and firewalls may.
pub fn give_up(asked: &mut [String], wanted: &[String], taken: u16) -> bool {
    let mut given_up = false;
    for (asked, wanted) in asked.iter_mut().zip(wanted) {
        let at = asked.parse().ok().and_then(|address| socket(&address));
        let is_taken = at.is_some_and(|at| match at {
            Socket::Stream(at) | Socket::Datagram(at) => at.port() == taken,
        });
        if is_taken && asked != wanted {
            asked.clone_from(wanted);
            given_up = true;
        }
    }
    given_up
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_that_was_taken_is_written_back() {
        for (asked, got) in [
            ("/ip6/::/tcp/0", "/ip6/::/tcp/7420"),
            (
                "/ip4/0.0.0.0/udp/0/quic-v1",
                "/ip4/0.0.0.0/udp/7420/quic-v1",
            ),
        ] {
            let asked: Multiaddr = asked.parse().expect("an address");

            assert_eq!(with_port(&asked, 7420).to_string(), got);
        }
    }

    #[test]
    fn tcp_and_quic_are_listened_on_and_nothing_else() {
        for (text, known) in [
            ("/ip4/127.0.0.1/tcp/0", true),
            ("/ip6/::1/udp/0/quic-v1", true),
            ("/ip4/127.0.0.1/udp/0", false),
            ("/ip4/127.0.0.1/udp/0/quic", false),
            ("/ip4/127.0.0.1/tcp/0/ws", false),
            ("/dns4/clinic.example/tcp/1", false),
        ] {
            let address: Multiaddr = text.parse().expect("an address");

            assert_eq!(socket(&address).is_some(), known, "{text}");
        }
    }

    #[test]
    fn a_port_that_was_taken_is_asked_for_again_and_nothing_else_is() {
        let any = "/ip4/127.0.0.1/tcp/0".to_owned();
        let before = "/ip4/127.0.0.1/tcp/0 /ip4/127.0.0.1/tcp/41000\n";

        assert_eq!(
            sticky(std::slice::from_ref(&any), before),
            ["/ip4/127.0.0.1/tcp/41000"]
        );
        assert_eq!(sticky(std::slice::from_ref(&any), ""), [any.as_str()]);
        let garbage = "/ip4/127.0.0.1/tcp/0 nonsense\n";
        assert_eq!(sticky(std::slice::from_ref(&any), garbage), [any.as_str()]);
    }

    #[test]
    fn of_remembered_ports_the_taken_one_is_given_up_and_one_that_was_configured_never() {
        let asked = |ports: [&str; 2]| {
            let [stream, datagram] = ports;
            [
                format!("/ip4/127.0.0.1/tcp/{stream}"),
                format!("/ip4/127.0.0.1/udp/{datagram}/quic-v1"),
            ]
        };
        let wanted = asked(["7420", "0"]);
        let mut sticky = asked(["7420", "41000"]);

        assert!(!give_up(&mut sticky, &wanted, 7_420));
        assert!(give_up(&mut sticky, &wanted, 41_000));

        assert_eq!(sticky, wanted);
        assert!(!give_up(&mut sticky, &wanted, 41_000));
    }
}
