//! The use cases, written once, run by the daemon and by the simulation.
//!
//! A flow holds the order of effects: admit, decide, read, record, release. It names no runtime,
//! socket, file or clock, spawns nothing, and changes state in one way only: it commits a batch of
//! records, and the journal applies them. A flow that commits must be spawned by its adapter and
//! awaited, never run inside a handler's own future.

mod apply;
mod audit_log;
mod call;
mod consent;
mod decide;
mod document;
mod error;
mod fetch;
mod hello;
mod import;
mod import_people;
mod join;
mod kept;
mod list;
mod locate;
mod members;
mod network;
mod node;
mod serve;
mod serve_fetch;
mod serve_join;
mod serve_locate;
mod snapshot;
mod state;
mod statements;
mod view;

pub use apply::rows;
pub use audit_log::{FilesVerified, Shown};
pub use consent::{Stated, Statement};
pub use document::{Added, Description, in_memory};
pub use error::FlowError;
pub use fetch::{Fetch, Fetched, Recipient, Told};
pub use import::{Imported, LinesImported, Mode};
pub use import_people::Met;
pub use list::Wanted;
pub use locate::Search;
pub use network::MemberView;
pub use node::{Actor, Identity, Node};
pub use state::{Fold, Network, Patient};
pub use view::Counts;
