//! Whether an asker may learn that a patient has a record here: a decision of its own.

use crate::types::Purpose;

use super::{Ask, Decision, Discoverability, Facts, decide, may_ask};

/// What an asker may learn of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// That it exists.
    Revealed,
    /// Nothing: the answer is that of an empty store, byte for byte.
    Concealed,
}

/// Decides whether this asker may learn, for this purpose, that the record exists (`policy.md` 2).
pub fn existence(ask: &Ask<'_>, facts: &Facts<'_>) -> Existence {
    if may_ask(ask).is_err() {
        return Existence::Concealed;
    }
    // At a Part 2 program existence itself is protected (42 CFR 2.13(c)), whatever was set.
    let open = facts.discoverability == Discoverability::Open && !facts.part2();
    let treatment = matches!(ask.purpose, Purpose::Treat | Purpose::Etreat);
    if open && treatment {
        return Existence::Revealed;
    }
    match decide(ask, facts) {
        Decision::Permit(_) => Existence::Revealed,
        Decision::Deny(_) => Existence::Concealed,
    }
}
