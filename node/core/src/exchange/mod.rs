//! Document exchange: the asker's receiver and the holder's release.

mod leaves;
mod receive;
mod release;

pub use leaves::Leaves;
pub use receive::{Opening, Receive, ReceiveError, Received};
pub use release::Release;
