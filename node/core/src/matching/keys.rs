//! Keys under which an index in memory finds the candidates of a question.

use std::collections::BTreeSet;

use super::normalise;
use crate::records::Demographics;

/// Family name with birth date.
const NAME_AND_DATE: u8 = 1;
/// System with value.
const IDENTIFIER: u8 = 2;

/// The keys of a person, sorted, each once: family name with birth date for every name, and every
/// identifier.
///
/// Two people for whom [`super::verdict`] can say *match* share the first kind; two who share an
/// identifier share the second. Keys hold demographics in the clear: they stay in memory.
pub fn blocking_keys(person: &Demographics) -> Vec<Vec<u8>> {
    let mut keys = BTreeSet::new();
    let date = person.birth_date.as_deref().and_then(normalise::birth_date);
    if let Some(date) = date {
        let families = person.names.iter();
        keys.extend(
            families
                .filter_map(|name| normalise::name(&name.family))
                .map(|family| key(NAME_AND_DATE, &date, &family)),
        );
    }
    let identifiers = person.identifiers.iter().filter_map(normalise::identifier);
    keys.extend(identifiers.map(|(system, value)| key(IDENTIFIER, &system, &value)));
    keys.into_iter().collect()
}

fn key(kind: u8, first: &str, second: &str) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(first.as_bytes());
    key.push(0);
    key.extend_from_slice(second.as_bytes());
    key
}
