//! The pure half of a chartmesh node: decisions as plain functions, flows as `async fn` over ports.
//!
//! A request travels one way, and each stage makes a type that only it can make, so that skipping a
//! stage does not compile: [`crypto::Signed`] → [`session::Authenticated`] → [`policy::Permit`] →
//! ciphertext → [`exchange::Release`]. Nothing here names a runtime, a socket, a file, a clock or an
//! ambient source of randomness; `Cargo.toml` and `clippy.toml` are the proof.
//!
//! Modules stand in order: each may use those above it and none below (checked by `tests/tidy`).

#![deny(missing_docs, clippy::missing_errors_doc)]

pub mod types;

pub mod crypto;

pub mod records;

pub mod membership;

pub mod matching;

pub mod formats;

pub mod wire;

pub mod session;

pub mod policy;

pub mod audit;

pub mod locator;

pub mod exchange;

pub mod ports;

pub mod flows;

#[cfg(any(test, feature = "sample"))]
pub mod sample;
