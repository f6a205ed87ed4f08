//! What identifies a person, as sent or as stored. Never printed: there is no `Debug` of values.

use crate::types::Sex;

/// A name: family and given names.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Family name; a single legal name stands here.
    pub family: String,
    /// Given names, first to last.
    pub given: Vec<String>,
}

/// An identifier within a system.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier {
    /// URI of the system.
    pub system: String,
    /// The value.
    pub value: String,
}

/// A postal address.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Street lines.
    pub line: Vec<String>,
    /// City.
    pub city: String,
    /// State or region.
    pub state: String,
    /// Postal code.
    pub postal_code: String,
    /// Country.
    pub country: String,
}

/// Everything that may identify a person in a question or in a record.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Demographics {
    /// Names; the first is the one shown.
    pub names: Vec<Name>,
    /// `YYYY-MM-DD`; a partial date is left out.
    pub birth_date: Option<String>,
    /// Administrative sex, where known.
    pub sex: Option<Sex>,
    /// Identifiers.
    pub identifiers: Vec<Identifier>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Telephone numbers as written.
    pub phones: Vec<String>,
    /// E-mail addresses as written.
    pub emails: Vec<String>,
}

impl Demographics {
    /// Given names then family, as one string.
    pub fn display_name(&self) -> String {
        let Some(name) = self.names.first() else {
            return String::new();
        };
        let mut parts = name.given.clone();
        parts.push(name.family.clone());
        parts.retain(|part| !part.is_empty());
        parts.join(" ")
    }
}
