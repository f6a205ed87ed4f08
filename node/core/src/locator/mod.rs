//! Record location: the holder's handles and the asker's ledger (`locator.md`).
//!
//! Until the blinded stage exists every member the charter allows is asked directly with sealed
//! demographics, and the ledger says so.

mod handle;
mod ledger;

pub use handle::{Handles, Issued};
pub use ledger::{Answer, Ledger, Line, Revealed};
