//! Who speaks, freshly, once. Synchronous; time and chance come in as arguments.

mod authenticated;

pub use authenticated::{Authenticated, Peer};
