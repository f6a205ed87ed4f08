//! The page that specifies the protocol keeps up with the code: every message, field, term, domain string
//! and limit that a peer can meet stands there, with its number or value.

use std::collections::BTreeMap;

use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use syn::{BinOp, Expr, Item, Lit};

use crate::{
    rust,
    tree::{File, Finding},
};

pub(crate) const PAGE: &str = "proto/README.md";

/// What peers say to each other; the other packages never leave the node.
const PACKAGES: [&str; 2] = ["chartmesh.body.v1", "chartmesh.peer.v1"];

/// Limits that no peer meets: of inputs, of the disk, of queues inside a node.
const LOCAL_LIMITS: &[&str] = &[
    "METRICS_CONNECTIONS_MAX",
    "METRICS_HEADERS_MAX_BYTES",
    "METRICS_TIME_MAX",
    "ADDRESS_CANDIDATES_MAX",
    "ADMIN_PART_MAX_BYTES",
    "BUNDLE_ENTRIES_MAX",
    "COMMIT_MAX_BYTES",
    "COMMIT_MAX_RECORDS",
    "DENIALS_WHOLE_MAX",
    "FETCH_MEMORY_MAX_BYTES",
    "FETCH_STEP_CHUNKS",
    "FIND_AGAIN",
    "FIND_MAX",
    "FLOOD_KEYS_MAX",
    "FLOOD_KEYS_PER_MEMBER_MAX",
    "HEARTBEAT_EVERY",
    "INDEX_VALUE_MAX_BYTES",
    "INPUT_ISSUES_MAX",
    "INPUT_MAX_BYTES",
    "JOURNAL_FILE_MAX_BYTES",
    "JOURNAL_QUEUE_MAX",
    "JSON_DEPTH_MAX",
    "JSON_KEYS_MAX",
    "JSON_NUMBER_CHARS_MAX",
    "LEAVES_REMEMBERED_MAX",
    "LINES_PER_COMMIT_BYTES",
    "LINES_PER_COMMIT_MAX",
    "LINE_MAX_BYTES",
    "LOOK_UPS_MAX",
    "MEMBER_WRITTEN_EVERY",
    "NEIGHBOURS_MAX",
    "NEWS_PAUSE",
    "NEWS_TIME_MAX",
    "OPENS_PER_PEER_MAX",
    "OPEN_QUEUE_MAX",
    "PROXY_ANSWER_MAX",
    "QUIC_CONNECTION_WINDOW_BYTES",
    "QUIC_STREAM_WINDOW_BYTES",
    "REASON_CHARS_MAX",
    "RECONNECT_MAX",
    "RELAYS_PER_NODE_MAX",
    "RESOURCE_MAX_BYTES",
    "SEND_STEP_CHUNKS",
    "SNAPSHOTS_MAX",
    "STREAM_QUEUE_MAX",
    "TICKETS_MAX",
    "TOLD_MAX",
    "TOLD_ON_MAX",
    "WORK_QUEUE_MAX",
];

/// Every message with exactly its fields, every term with its number, every call by name.
pub(crate) fn check_descriptors(page: &str, set: &FileDescriptorSet) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in &set.file {
        if !PACKAGES.contains(&file.package()) {
            continue;
        }
        for message in &file.message_type {
            found.extend(check_message(page, message));
        }
        for terms in &file.enum_type {
            let start = format!("| `{}`", terms.name());
            let row = page.lines().find(|line| line.starts_with(&start));
            for term in terms.value.iter().filter(|term| term.number() != 0) {
                let wanted = format!("{} `{}`", term.number(), term.name());
                if !row.is_some_and(|row| row.contains(&wanted)) {
                    found.push(owed(format!(
                        "section 17 lacks {wanted} in the row of `{}`",
                        terms.name()
                    )));
                }
            }
        }
        let calls = file.service.iter().flat_map(|service| &service.method);
        for call in calls {
            if !section(page, "## 2.").contains(&format!("`{}`", call.name())) {
                found.push(owed(format!("section 2 lacks the call `{}`", call.name())));
            }
        }
    }
    found
}

fn check_message(page: &str, message: &DescriptorProto) -> Vec<Finding> {
    let name = message.name();
    let part = section(page, &format!("### `{name}`"));
    if part.is_empty() {
        let what = format!("section 18 lacks `{name}`: a heading \"### `{name}`\" and its fields");
        return vec![owed(what)];
    }
    let rows: BTreeMap<&str, &str> = part
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .filter_map(|line| Some((line.split('`').nth(1)?, line)))
        .collect();
    let mut found = Vec::new();
    for field in &message.field {
        let start = row_of(field);
        if !rows
            .get(field.name())
            .is_some_and(|row| row.starts_with(&start))
        {
            found.push(owed(format!("`{name}` lacks a row \"{start} meaning |\"")));
        }
    }
    let known = |row: &&&str| message.field.iter().any(|field| field.name() == **row);
    for row in rows.keys().filter(|row| !known(row)) {
        found.push(owed(format!("`{name}` has no field `{row}`")));
    }
    found
}

fn row_of(field: &FieldDescriptorProto) -> String {
    let repeated = if field.label() == Label::Repeated {
        "repeated "
    } else {
        ""
    };
    let kind = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().rsplit('.').next().unwrap_or_default(),
        Type::Bytes => "bytes",
        Type::String => "string",
        Type::Bool => "bool",
        Type::Uint32 => "uint32",
        Type::Uint64 => "uint64",
        _ => "a type that no other message has",
    };
    format!(
        "| {} | `{}` | {repeated}{kind} |",
        field.number(),
        field.name()
    )
}

/// What stands under a heading, up to the next of its rank or above.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = if page.starts_with(heading) {
        Some(0)
    } else {
        page.find(&format!("\n{heading}")).map(|at| at + 1)
    };
    let Some(start) = start else { return "" };
    let behind = start + heading.len();
    let ends = if heading.starts_with("### ") {
        &["\n### ", "\n## "][..]
    } else {
        &["\n## "]
    };
    let end = ends
        .iter()
        .filter_map(|end| page[behind..].find(end))
        .min()
        .map_or(page.len(), |at| behind + at);
    &page[start..end]
}

/// Every label of the protocol that the core's code holds.
pub(crate) fn check_labels(page: &str, file: &File) -> Vec<Finding> {
    labels(&file.path, code_of(&file.text))
        .into_iter()
        .filter(|label| !page.contains(&format!("`{label}`")))
        .map(|label| {
            Finding::new(
                &file.path,
                format!("{PAGE} lacks the label `{label}` (section 5)"),
            )
        })
        .collect()
}

fn labels(path: &str, code: &str) -> Vec<String> {
    let quoted = |start: &str| -> Vec<String> {
        let starts = code.match_indices(start);
        let rests = starts.map(|(at, _)| &code[at + start.len()..]);
        rests
            .filter_map(|rest| rest.split('"').next())
            .map(str::to_owned)
            .collect()
    };
    let mut found: Vec<String> = quoted("\"chartmesh/1/")
        .into_iter()
        .map(|rest| format!("chartmesh/1/{rest}"))
        .collect();
    found.extend(
        quoted("\"chartmesh-sig")
            .into_iter()
            .map(|rest| format!("chartmesh-sig{rest}")),
    );
    if path.contains("/wire/") {
        for start in ["body!(", "message!("] {
            for (at, _) in code.match_indices(start) {
                let domain = code[at..].split('"').nth(1);
                // The macros' own definitions name no domain.
                let given = domain.filter(|_| !code[at + start.len()..].starts_with('$'));
                found.extend(given.map(|domain| format!("chartmesh/1/{domain}")));
            }
        }
    }
    // What the macros put in front of each.
    found.retain(|label| label != "chartmesh/1/");
    found
}

fn code_of(text: &str) -> &str {
    let tests = text.find(concat!("#[cfg", "(test)]"));
    &text[..tests.unwrap_or(text.len())]
}

/// Every limit stands on the page with its value, or is named above as no peer's business.
pub(crate) fn check_limits(page: &str, limits: &str) -> Vec<Finding> {
    let values = values(limits);
    let table = section(page, "## 16.");
    let mut found = Vec::new();
    for (name, value) in &values {
        let start = format!("| `{name}` | ");
        let row = table.lines().find_map(|line| line.strip_prefix(&start));
        let told = row.and_then(|row| row.split(" |").next()).map(read);
        match told {
            _ if LOCAL_LIMITS.contains(&name.as_str()) => {}
            Some(told) if told == Some(*value) => {}
            Some(_) => found.push(owed(format!("section 16 has another value of `{name}`: {value:?}"))),
            None => found.push(owed(format!(
                "section 16 lacks \"{start}{value:?} | of what |\"; a limit that no peer meets goes into LOCAL_LIMITS of tests/tests/tidy/spec.rs"
            ))),
        }
    }
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    for name in rows.filter_map(|row| row.split('`').nth(1)) {
        if !values.contains_key(name) {
            found.push(owed(format!("there is no limit `{name}`")));
        }
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Number(u64),
    Millis(u64),
}

impl Value {
    fn number(self) -> u64 {
        match self {
            Self::Number(number) | Self::Millis(number) => number,
        }
    }
}

fn values(limits: &str) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for item in rust::parse("limits.rs", limits).items {
        if let Item::Const(item) = item {
            let name = item.ident.to_string();
            let value = value(&item.expr, &values).unwrap_or_else(|| {
                panic!("the value of {name} is written in a way this rule cannot read")
            });
            values.insert(name, value);
        }
    }
    values
}

fn value(expr: &Expr, known: &BTreeMap<String, Value>) -> Option<Value> {
    match expr {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) => number.base10_parse().ok().map(Value::Number),
            _ => None,
        },
        Expr::Paren(inner) => value(&inner.expr, known),
        Expr::Cast(cast) => value(&cast.expr, known),
        Expr::Path(path) => known
            .get(&path.path.segments.last()?.ident.to_string())
            .copied(),
        Expr::Field(field) => value(&field.base, known).map(|value| Value::Number(value.number())),
        Expr::Binary(binary) => {
            let (left, right) = (value(&binary.left, known)?, value(&binary.right, known)?);
            let (left, right) = (left.number(), right.number());
            Some(Value::Number(match binary.op {
                BinOp::Shl(_) => left << right,
                BinOp::Sub(_) => left - right,
                BinOp::Add(_) => left + right,
                BinOp::Mul(_) => left * right,
                BinOp::Div(_) => left / right,
                _ => return None,
            }))
        }
        Expr::Call(call) => {
            let Expr::Path(path) = &*call.func else {
                return None;
            };
            let unit = match path.path.segments.last()?.ident.to_string().as_str() {
                "Span" => 1,
                "seconds" => 1_000,
                "minutes" => 60_000,
                "hours" => 3_600_000,
                "days" => 86_400_000,
                _ => return None,
            };
            let count = value(call.args.first()?, known)?.number();
            Some(Value::Millis(count * unit))
        }
        _ => None,
    }
}

/// A value as the page has it: `1,024`, or `5 min`.
fn read(text: &str) -> Option<Value> {
    let (digits, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number: u64 = digits.replace(',', "").parse().ok()?;
    Some(match unit {
        "" => Value::Number(number),
        "ms" => Value::Millis(number),
        "s" => Value::Millis(number * 1_000),
        "min" => Value::Millis(number * 60_000),
        "h" => Value::Millis(number * 3_600_000),
        "d" => Value::Millis(number * 86_400_000),
        _ => return None,
    })
}

fn owed(what: String) -> Finding {
    Finding::new(PAGE, what)
}

#[cfg(test)]
mod tests {
    use prost_types::{EnumDescriptorProto, EnumValueDescriptorProto, FileDescriptorProto};

    use super::*;

    const GOOD: &str = "# P\n\n## 17. Vocabularies\n\n| `Sex` (FHIR) | 1 `SEX_FEMALE` |\n\n### `Head`\n\n| n | field | type | meaning |\n|---|---|---|---|\n| 1 | `member` | bytes | who |\n| 2 | `sex` | repeated Sex | |\n\n### `Tail`\n";

    fn set() -> FileDescriptorSet {
        let field = |name: &str, number, kind: Type, label: Label| FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            r#type: Some(kind.into()),
            label: Some(label.into()),
            type_name: Some(".chartmesh.body.v1.Sex".to_owned()),
            ..FieldDescriptorProto::default()
        };
        let term = |name: &str, number| EnumValueDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            ..EnumValueDescriptorProto::default()
        };
        FileDescriptorSet {
            file: vec![FileDescriptorProto {
                package: Some("chartmesh.body.v1".to_owned()),
                message_type: vec![DescriptorProto {
                    name: Some("Head".to_owned()),
                    field: vec![
                        field("member", 1, Type::Bytes, Label::Optional),
                        field("sex", 2, Type::Enum, Label::Repeated),
                    ],
                    ..DescriptorProto::default()
                }],
                enum_type: vec![EnumDescriptorProto {
                    name: Some("Sex".to_owned()),
                    value: vec![term("SEX_UNSPECIFIED", 0), term("SEX_FEMALE", 1)],
                    ..EnumDescriptorProto::default()
                }],
                ..FileDescriptorProto::default()
            }],
        }
    }

    #[test]
    fn a_field_that_is_missing_renumbered_retyped_or_gone_is_found() {
        assert!(check_descriptors(GOOD, &set()).is_empty());

        for (from, to) in [
            ("| 1 | `member`", "| 3 | `member`"),
            ("| 1 | `member` | bytes | who |\n", ""),
            ("repeated Sex", "Sex"),
            ("| 1 | `member`", "| 3 | `more` | bytes | |\n| 1 | `member`"),
            ("### `Head`", "### `Other`"),
            ("1 `SEX_FEMALE`", "2 `SEX_FEMALE`"),
            ("| `Sex` (FHIR)", "| `Sort`"),
        ] {
            let page = GOOD.replace(from, to);
            assert_eq!(check_descriptors(&page, &set()).len(), 1, "{from} -> {to}");
        }
    }

    #[test]
    fn a_label_that_the_page_lacks_is_found() {
        let file = File::new(
            "node/core/src/wire/a.rs",
            "body!(A, \"a\"); hash(b\"chartmesh/1/b\\0\");\n#[cfg(test)]\nmod t { const X: &str = \"chartmesh/1/c\"; }",
        );
        let page = "`chartmesh/1/a` `chartmesh/1/b\\0`";

        assert!(check_labels(page, &file).is_empty());
        assert_eq!(check_labels("`chartmesh/1/a`", &file).len(), 1);
        assert_eq!(check_labels("", &file).len(), 2);
    }

    #[test]
    fn a_limit_that_the_page_lacks_or_has_otherwise_is_found() {
        let limits = "pub const A: usize = 1 << 10;\npub const B: Span = Span::minutes(2);\npub const C: u32 = A as u32 - 24;\npub const WORK_QUEUE_MAX: usize = 1;";
        let page =
            "## 16. Limits\n\n| `A` | 1,024 | x |\n| `B` | 120 s | x |\n| `C` | 1,000 | x |\n";
        assert!(check_limits(page, limits).is_empty());

        for (from, to) in [
            ("1,024", "1,025"),
            ("120 s", "120"),
            ("| `C` | 1,000 | x |\n", ""),
        ] {
            assert_eq!(
                check_limits(&page.replace(from, to), limits).len(),
                1,
                "{from}"
            );
        }
        let gone = page.to_owned() + "| `D` | 1 | x |\n";
        assert_eq!(check_limits(&gone, limits).len(), 1);
    }
}
