//! Who is the same person: normalise, compare, grade. Pure, exact only in this version.
//!
//! Nothing here reads a store or knows an asker; it must never say more of a record than what was sent
//! already says, and a record that is only similar leaves no trace in any answer.

mod attribute;
mod compare;
mod grade;
mod keys;
mod normalise;

pub use attribute::{Agreement, Attribute, Grade};
pub use compare::{compare, same_by_id, same_by_identifier};
pub use grade::{Verdict, missing, verdict};
pub use keys::blocking_keys;
pub use normalise::searchable;
