//! Other nodes over libp2p: TCP with Noise and Yamux, QUIC, and gRPC on the streams of one protocol.
//!
//! The only folder that names libp2p. It knows who is at the other end of a connection and nothing
//! of what is said there: membership, sealing and every decision live in the core. A peer's identity
//! is its Ed25519 key, proven by Noise or TLS; addresses are hints.

mod address;
mod call;
mod cut;
mod dial;
mod directory;
mod error;
mod gate;
mod gathered;
mod guard;
mod handle;
mod incoming;
mod kademlia;
mod keep_alive;
mod links;
mod listen;
mod members_only;
mod meter;
mod nat;
mod neighbours;
mod observed;
mod opener;
mod probe;
mod proxy;
mod reach;
mod relay;
mod slots;
mod status;
mod streams;
mod swarm;
mod transport;

pub use address::{address_bytes, address_text};
pub use call::{Parts, PeerCalls};
pub use directory::{Directory, Found};
pub use error::NetError;
pub use handle::{Net, NetConfig, NetEvent};
pub use incoming::{Caller, Incoming, PeerStream};
pub use listen::{give_up, sticky};
pub use nat::Reached;
pub use observed::{Carrier, ConnectionInfo};
pub use proxy::{Proxy, ProxyConfigError, ProxyError};
pub use reach::ReachConfig;
pub use status::{CODE_TRAILER, status_of};
pub use transport::warm_up;

pub(crate) use slots::Slots;
