//! Who may ask, who may know, who may read: decisions from facts, and the one maker of [`Permit`].
//!
//! Everything is a plain function of its arguments. Nothing here looks anything up, and nothing here
//! may: facts come in, a decision goes out (`policy.md` 2 and 4).

mod decide;
mod error;
mod existence;
mod explain;
mod facts;
mod fhir;
mod fhir_read;
#[cfg(test)]
mod fixtures;
mod permit;
mod purpose;
mod rule;

pub use decide::{Decision, Reason, decide};
pub use error::Denial;
pub use existence::{Existence, existence};
pub use explain::{Because, Explanation, InForce, explain, in_force, now_in_force};
pub use facts::{Ask, Asker, Discoverability, Facts, implicit_policy};
pub use fhir::consent_to_fhir;
pub use fhir_read::{ConsentMalformed, Statement, consent_from_fhir};
pub use permit::{Obligation, Permit, permit};
pub use purpose::{consent_covers, covers, may_ask};
pub use rule::Rule;
