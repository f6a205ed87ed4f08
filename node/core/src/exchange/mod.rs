//! Document exchange: the asker's receiver, the holder's release, the patient's turn between them.

mod receive;
mod release;
mod turn;

pub use receive::{Checking, Opening, Receive, ReceiveError, Received};
pub use release::Release;
pub use turn::{Turn, TurnGuard, Turns};
