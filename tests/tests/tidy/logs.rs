//! Logs carry ids, codes, counts and times, and nothing of a patient (`decisions.md` 14).

use crate::tree::{File, Finding};

/// Macros that write a log line.
const MACROS: &[&str] = &["error!(", "warn!(", "info!(", "debug!(", "trace!("];

/// Macros that open a span: their name stands first, their fields behind it.
const SPANS: &[&str] = &[
    "error_span!(",
    "warn_span!(",
    "info_span!(",
    "debug_span!(",
    "trace_span!(",
];

/// Fields a log line may have: each is an id of a node or member, a stable code, an error whose type
/// carries no payload, an address of a node, a count or a time.
const FIELDS: &[&str] = &[
    "address",
    "calls",
    "code",
    "error",
    "from",
    "last_good_record",
    "member",
    "news",
    "node",
    "peer",
    "port",
    "problem",
    "punch_ms",
    "record",
    "rpc",
    "stage",
    "start_ms",
    "tasks",
    "to",
    "uid",
];

/// Checks one file of the daemon.
pub(crate) fn check(file: &File) -> Vec<Finding> {
    if !file.path.starts_with("node/src/") {
        return Vec::new();
    }
    let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for part in code.split("tracing::").skip(1) {
        let line = MACROS.iter().find_map(|name| part.strip_prefix(name));
        let span = SPANS.iter().find_map(|name| part.strip_prefix(name));
        let named = match (line, span) {
            (Some(line), _) => fields(line),
            (None, Some(span)) => fields(behind_name(span)),
            (None, None) => continue,
        };
        for field in named {
            if !FIELDS.contains(&field.as_str()) {
                found.push(Finding::new(
                    &file.path,
                    format!("a log line has the field `{field}`, which is on no list"),
                ));
            }
        }
    }
    found
}

/// The fields of a span, up to the end of its macro.
fn behind_name(call: &str) -> &str {
    let fields = call.split('"').nth(2).unwrap_or_default();
    let end = fields.find(");").or(fields.find("),"));
    &fields[..end.unwrap_or(fields.len())]
}

/// Names of the fields before the text of a log macro.
fn fields(call: &str) -> Vec<String> {
    let head = call.split('"').next().unwrap_or_default();
    let mut depth = 0_i32;
    let mut names = vec![String::new()];
    for letter in head.chars() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            _ if depth == 0 => names.last_mut().expect("never empty").push(letter),
            _ => {}
        }
    }
    let named = names.iter().map(|name| {
        let name = name.split('=').next().unwrap_or_default();
        name.trim().trim_start_matches(['%', '?']).to_owned()
    });
    named.filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_could_name_a_patient_is_found() {
        let findings = |text: &str| check(&File::new("node/src/x.rs", text)).len();

        assert_eq!(
            findings(r#"tracing::warn!(%node, code = %e.code(a, b), "gone, at last");"#),
            0
        );
        assert_eq!(findings(r#"tracing::info!("ready");"#), 0);
        let span =
            |field: &str| format!(r#"tracing::debug_span!("call", rpc = x.name(), {field});"#);
        assert_eq!(findings(&span("%node")), 0);
        assert_eq!(findings(&span("family = %f")), 1);
        assert_eq!(
            findings(r#"tracing::warn!(%node, name = %family, "gone");"#),
            1
        );
        assert_eq!(findings(r#"tracing::debug!(?request, "came");"#), 1);
    }
}
