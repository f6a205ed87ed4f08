//! What a step saw, and reading JSON that a step depends on.

use serde_json::Value;

use crate::exit::{Exit, Failure};

/// What a step found true, in words, and what later steps need of it.
pub(super) struct Seen<T> {
    /// For the reader.
    pub(super) saw: String,
    /// For the next steps.
    pub(super) value: T,
}

impl<T> Seen<T> {
    /// Both.
    pub(super) fn new(saw: impl Into<String>, value: T) -> Self {
        Self {
            saw: saw.into(),
            value,
        }
    }
}

/// What a step saw was not what it promised.
pub(super) fn unlike(saw: impl Into<String>) -> Failure {
    Failure::new(Exit::Bug, "STEP_FAILED", saw, "")
}

/// Ends the step with these words unless the fact holds.
macro_rules! ensure {
    ($fact:expr, $saw:expr) => {
        if !$fact {
            return Err($crate::demo::seen::unlike($saw));
        }
    };
}
pub(super) use ensure;

/// A text field.
///
/// # Errors
/// It is not there.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, Failure> {
    value
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| unlike(format!("the reply has no text field {name}")))
}

/// A count.
///
/// # Errors
/// It is not there.
pub(super) fn count(value: &Value, name: &str) -> Result<u64, Failure> {
    value
        .get(name)
        .and_then(Value::as_u64)
        .ok_or_else(|| unlike(format!("the reply has no count {name}")))
}

/// A list.
///
/// # Errors
/// It is not there.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], Failure> {
    value
        .get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .ok_or_else(|| unlike(format!("the reply has no list {name}")))
}
