//! Typed looks into a parsed resource: a missing element is none, one of the wrong type an error.

use serde_json::Value;

use super::report::{At, FormatError};
use crate::types::Timestamp;

/// Parses a resource that [`super::check`] has passed.
pub(super) fn parse(json: &[u8], at: At) -> Result<Value, FormatError> {
    let value: Value = super::json::text(json).and_then(|text| {
        serde_json::from_str(text).map_err(|_| FormatError::Malformed {
            what: "it cannot be read",
            at,
        })
    })?;
    if !value.is_object() {
        return Err(wrong_type(at));
    }
    Ok(value)
}

/// The text of an element.
pub(super) fn text<'a>(
    value: &'a Value,
    name: &str,
    at: At,
) -> Result<Option<&'a str>, FormatError> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong_type(at)),
    }
}

/// The texts of a repeated element; null holds the place of an extension and is left out.
pub(super) fn texts<'a>(value: &'a Value, name: &str, at: At) -> Result<Vec<&'a str>, FormatError> {
    let items = match value.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(wrong_type(at)),
    };
    items
        .iter()
        .filter(|item| !item.is_null())
        .map(|item| item.as_str().ok_or(wrong_type(at)))
        .collect()
}

/// The object of an element.
pub(super) fn object<'a>(
    value: &'a Value,
    name: &str,
    at: At,
) -> Result<Option<&'a Value>, FormatError> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(item @ Value::Object(_)) => Ok(Some(item)),
        Some(_) => Err(wrong_type(at)),
    }
}

/// The objects of a repeated element.
pub(super) fn objects<'a>(
    value: &'a Value,
    name: &str,
    at: At,
) -> Result<Vec<&'a Value>, FormatError> {
    let items = match value.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(wrong_type(at)),
    };
    if !items.iter().all(Value::is_object) {
        return Err(wrong_type(at));
    }
    Ok(items.iter().collect())
}

/// A FHIR date, dateTime or instant; a partial one is its start, in UTC.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    match text.len() {
        4 => Timestamp::parse(&format!("{text}-01-01")),
        7 => Timestamp::parse(&format!("{text}-01")),
        _ => Timestamp::parse(text),
    }
}

pub(super) fn wrong_type(at: At) -> FormatError {
    FormatError::Malformed {
        what: "an element has the wrong type",
        at,
    }
}
