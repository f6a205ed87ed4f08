//! Library of the node daemon.

pub mod store;
