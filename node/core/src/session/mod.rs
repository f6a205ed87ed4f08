//! Who speaks, freshly, once. Synchronous; time and chance come in as arguments.
//!
//! A message becomes [`Authenticated`] here and nowhere else. This module sends nothing and stores
//! nothing on disk: a restart refuses everything captured before it, because the challenge changes.

mod admit;
mod authenticated;
mod challenge;
mod error;
mod outbound;
mod window;

pub use admit::{Sessions, check_head};
pub use authenticated::{Authenticated, Peer};
pub use challenge::Challenges;
pub use error::SessionError;
pub use outbound::Outbound;
