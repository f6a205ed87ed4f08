//! A town of invented people and their histories, for demonstrations, simulations and benchmarks.
//!
//! Everybody here is invented: names, streets and stories are lists written for this project (CC0), put
//! together by a seed. The same seed makes the same bytes, whatever the day. Every resource carries the
//! tag HTEST. Nothing here says anything about how often anything occurs among real people.

mod chance;
mod fhir;
mod history;
mod illness;
mod names;
mod note;
mod people;
mod places;
mod registration;
mod town;
mod visits;

pub use places::{PLACES, Place};
pub use town::{File, Town};
