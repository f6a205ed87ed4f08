//! The story of one patient, told by real daemons on loopback.
//!
//! It drives the product through the `chartmesh` binary and files alone, as an administrator
//! would, so that it tests the command line too. People, places and records are ours, and marked
//! as test data. It leaves nothing behind, also where a step fails.

mod actor;
mod asking;
mod chart;
mod consenting;
mod founding;
mod people;
mod places;
mod proof;
mod seen;
mod stage;
mod steps;
mod story;

pub(crate) use story::run;
