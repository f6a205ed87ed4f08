//! What a resource is, and everything it refers to, found in one pass over its bytes.

use std::collections::BTreeMap;

use super::{
    json::{self, Event, Scanner},
    report::{At, FormatError},
};
use crate::records::Identifier;

/// What must be known of every resource.
#[derive(Default)]
pub(super) struct Head {
    pub(super) resource_type: String,
    pub(super) id: Option<String>,
    /// Every element named `reference` with the path to it, contained resources included.
    pub(super) references: Vec<(String, String)>,
    /// Logical references of top-level elements (`subject.identifier`).
    pub(super) identifiers: BTreeMap<String, Identifier>,
    /// Addresses of attachments.
    pub(super) attached: Vec<String>,
}

impl Head {
    /// Reads a resource.
    pub(super) fn read(resource: &[u8], at: At) -> Result<Self, FormatError> {
        let mut scanner = Scanner::new(json::text(resource)?);
        let mut head = Self::default();
        let mut typed = false;
        // One name a level of nesting: the key of an object, nothing for an array.
        let mut path: Vec<String> = Vec::new();
        let mut key = String::new();
        while let Some(event) = scanner.next()? {
            match event {
                Event::ObjectStart | Event::ArrayStart => path.push(std::mem::take(&mut key)),
                Event::ObjectEnd | Event::ArrayEnd => {
                    path.pop();
                    key.clear();
                }
                Event::Key(name) => key = name.into_owned(),
                Event::Text(text) => {
                    typed |= path.len() == 1 && key == "resourceType";
                    head.note(&path, &key, &text);
                }
                Event::Number(_) | Event::Word(_) => {}
            }
        }
        if !typed {
            return Err(FormatError::Malformed {
                what: "it has no resource type",
                at,
            });
        }
        Ok(head)
    }

    fn note(&mut self, path: &[String], key: &str, text: &str) {
        match (path, key) {
            ([_], "resourceType") => text.clone_into(&mut self.resource_type),
            ([_], "id") => self.id = Some(text.to_owned()),
            (_, "reference") => self.references.push((joined(path), text.to_owned())),
            // No reference by R4, but a lenient reader would follow it.
            ([.., element], "") if element == "reference" => {
                self.references.push((joined(path), text.to_owned()));
            }
            ([.., _], "url") if is_attachment(path) => self.attached.push(text.to_owned()),
            ([_, element, inner], "system" | "value") if inner == "identifier" => {
                let identifier = self.identifiers.entry(element.clone()).or_default();
                let field = match key {
                    "system" => &mut identifier.system,
                    _ => &mut identifier.value,
                };
                text.clone_into(field);
            }
            _ => {}
        }
    }

    /// What a top-level element refers to by reference.
    pub(super) fn reference(&self, element: &str) -> Option<&str> {
        let found = self.references.iter().find(|(path, _)| path == element);
        found.map(|(_, text)| text.as_str())
    }

    /// What a top-level element refers to by system and value.
    pub(super) fn identifier(&self, element: &str) -> Option<&Identifier> {
        let identifier = self.identifiers.get(element)?;
        (!identifier.system.is_empty() && !identifier.value.is_empty()).then_some(identifier)
    }
}

/// Whether an object is the attachment of a `DocumentReference`, `DiagnosticReport` or `Media`.
fn is_attachment(path: &[String]) -> bool {
    let element = path.iter().rev().find(|name| !name.is_empty());
    element.is_some_and(|name| matches!(&**name, "attachment" | "presentedForm" | "content"))
}

fn joined(path: &[String]) -> String {
    let named: Vec<&str> = path
        .iter()
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .collect();
    named.join(".")
}

/// The text of a reference, taken apart (R4, `references.html#literal`).
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Literal {
    /// `#id`.
    Contained(String),
    /// `urn:uuid:..` or another URN.
    Urn(String),
    /// `Type/id`.
    Relative { resource_type: String, id: String },
    /// `http(s)://base/Type/id`, without version.
    Absolute {
        url: String,
        resource_type: String,
        id: String,
    },
    /// `Type?identifier=system|value`.
    Conditional {
        resource_type: String,
        identifier: Identifier,
    },
    /// Something else that cannot be a patient.
    Other,
    /// Something that looks like a patient and is not written as a reference is.
    Unclear,
}

impl Literal {
    pub(super) fn parse(text: &str) -> Self {
        if let Some(id) = text.strip_prefix('#') {
            return Self::Contained(id.to_owned());
        }
        if text
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("urn:"))
        {
            return Self::Urn(text.to_owned());
        }
        let (text, _fragment) = text.split_once('#').unwrap_or((text, ""));
        if let Some((target, query)) = text.split_once('?') {
            return Self::conditional(target, query);
        }
        let text = text.split_once("/_history/").map_or(text, |(text, _)| text);
        let mut segments = text.rsplit('/');
        let (Some(id), Some(resource_type)) = (segments.next(), segments.next()) else {
            return Self::other(text);
        };
        if is_id(id) && is_type(resource_type) {
            let (id, resource_type) = (id.to_owned(), resource_type.to_owned());
            if is_http(text) {
                return Self::Absolute {
                    url: text.to_owned(),
                    resource_type,
                    id,
                };
            }
            if segments.next().is_none() {
                return Self::Relative { resource_type, id };
            }
        }
        Self::other(text)
    }

    fn conditional(target: &str, query: &str) -> Self {
        let resource_type = target.rsplit('/').next().unwrap_or(target);
        let token = query.strip_prefix("identifier=").map(unescape);
        let identifier = token.as_deref().and_then(|token| token.split_once('|'));
        match identifier {
            Some((system, value)) if is_type(resource_type) && !query.contains('&') => {
                Self::Conditional {
                    resource_type: resource_type.to_owned(),
                    identifier: Identifier {
                        system: system.to_owned(),
                        value: value.to_owned(),
                    },
                }
            }
            _ => Self::other(target),
        }
    }

    fn other(text: &str) -> Self {
        let plain = unescape(text).to_ascii_lowercase();
        let patient = plain
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .any(|word| word == "patient");
        if patient { Self::Unclear } else { Self::Other }
    }
}

pub(super) fn is_http(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// An id (R4, `datatypes.html#id`), and `_`, which many systems use.
pub(super) fn is_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_type(text: &str) -> bool {
    let starts_upper = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_uppercase());
    starts_upper && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Undoes percent-encoding; what is no valid encoding stays.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digit = |index: usize| {
            let byte = bytes.get(index)?;
            char::from(*byte).to_digit(16)
        };
        let escaped = digit(at + 1).zip(digit(at + 2));
        match escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(escaped) if *byte == b'%' => {
                plain.push(escaped);
                at += 3;
            }
            _ => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
