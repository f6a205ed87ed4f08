//! The admin service: what the node's own people say to it over a Unix socket.

mod audit;
mod backup;
mod checks;
mod consent;
mod cosign;
mod error;
mod exchange;
mod import;
mod import_report;
mod network;
mod node;
mod records;
mod service;
mod sniff;
mod socket;
mod text;
mod trust;

pub use service::Admin;
pub use socket::{Listener, listen, serve_one};

pub(super) use node::health;
use service::{internal, no_network};
