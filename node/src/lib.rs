//! The adapters of a chartmesh node: what lets the core meet disk, network and people.
//!
//! They decide nothing: each implements a port of [`chartmesh_core::ports`] or turns a request into
//! the call of a flow.

pub mod config;

pub mod telemetry;

pub mod harden;

pub mod metrics;

pub mod store;

pub mod net;

pub mod time;

pub mod world;

pub mod boot;

pub mod restore;

pub mod daemon;

pub mod api;

pub mod once;
