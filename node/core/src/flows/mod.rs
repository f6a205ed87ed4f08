//! The use cases, written once, run by the daemon and by the simulation.
//!
//! A flow holds the order of effects. It names no runtime, socket, file or clock, spawns nothing, and
//! changes state by committing batches alone; one that commits is spawned by its adapter and awaited.

mod apply;
mod audit;
mod call;
mod charter;
mod consent;
mod cosign;
mod decide;
mod document;
mod error;
mod fetch;
mod found;
mod hello;
mod import;
mod import_people;
mod join;
mod kept;
mod list;
mod locate;
mod members;
mod network;
mod news;
mod node;
mod propose;
mod reissue;
mod revoke;
mod serve;
mod serve_fetch;
mod serve_join;
mod serve_locate;
mod snapshot;
mod standing;
mod state;
mod statements;
mod trust;
mod view;

pub use apply::rows;
pub use audit::{Enclosed, Exported, FilesVerified, Shown};
pub use charter::{CharterBy, CharterInForce, DisputedCharter};
pub use consent::{Stated, Statement};
pub use cosign::ProposalView;
pub use document::{Added, Description, file_named_by, in_memory};
pub use error::FlowError;
pub use fetch::{Fetch, Fetched, Recipient, Told};
pub use found::FoundingFile;
pub use import::{Imported, LinesImported, Mode};
pub use import_people::Met;
pub use list::Wanted;
pub use locate::Search;
pub use network::{Approval, MemberView};
pub use node::{Actor, Identity, Node};
pub use revoke::Revoked;
pub use state::{Fold, Network, Patient};
pub use trust::TrustView;
pub use view::Counts;
