//! Other nodes over libp2p: TCP, Noise, Yamux, and gRPC on the streams of one protocol.
//!
//! The only folder that names libp2p. It knows who is at the other end of a connection and nothing
//! of what is said there: membership, sealing and every decision live in the core. A peer's identity
//! is its Ed25519 key, proven by Noise; addresses are hints.

mod address;
mod call;
mod dial;
mod error;
mod handle;
mod incoming;
mod opener;
mod slots;
mod status;
mod streams;
mod swarm;

pub use address::{address_bytes, address_text};
pub use call::{Parts, PeerCalls};
pub use error::NetError;
pub use handle::{ConnectionInfo, Net, NetConfig, NetEvent};
pub use incoming::{Caller, Incoming, PeerStream};
pub use status::{CODE_TRAILER, status_of};

pub(crate) use slots::Slots;
