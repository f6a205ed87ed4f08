//! Library of the node daemon.

pub mod net;

pub mod api;
