//! Document exchange: the asker's receiver, the holder's release, the patient's turn between them.

mod leaves;
mod receive;
mod release;
mod turn;

pub use leaves::Leaves;
pub use receive::{Opening, Receive, ReceiveError, Received};
pub use release::Release;
pub use turn::{Turn, TurnGuard, Turns};
