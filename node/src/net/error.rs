//! Why the network could not be started.

use std::io;

use super::ProxyConfigError;

/// Why the node cannot listen or read an address.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The text or the bytes are no multiaddress.
    #[error("not a multiaddress")]
    Address,
    /// An address to listen on is not of the form `/ip…/tcp/…` or `/ip…/udp/…/quic-v1`.
    #[error(
        "an address to listen on is no ip address with a tcp port, or with a udp port for quic-v1"
    )]
    Unsupported,
    /// Another process listens on the port.
    #[error("port {port} is taken")]
    PortTaken {
        /// Which port.
        port: u16,
    },
    /// None of the addresses can be listened on.
    #[error("cannot listen on any address: {0}")]
    Listen(#[source] io::Error),
    /// The system told no address in time.
    #[error("no listen address was reported in time")]
    Silent,
    /// The configured proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyConfigError),
    /// A member to be relayed by is named by something else than its node id.
    #[error("a relay is named by its node id")]
    Relay,
    /// The seed gives no usable transport key.
    #[error("the node key cannot be used")]
    Key,
}
