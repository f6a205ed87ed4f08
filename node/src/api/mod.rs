//! What the node serves: to peers over libp2p streams, to its own people over a Unix socket.
//! Handlers decide nothing; they turn a request into the call of a flow and its outcome into a status.

pub mod admin;
mod door;
pub(crate) mod metrics;
pub mod peer;

pub use door::serve_peers;
pub use metrics::serve_metrics;
