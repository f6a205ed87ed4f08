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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Identifier, Name};

    #[test]
    fn each_name_and_each_identifier_is_a_key() {
        let name = |family: &str| Name {
            family: family.to_owned(),
            given: Vec::new(),
        };
        let identifier = Identifier {
            system: "urn:x".to_owned(),
            value: "4 2".to_owned(),
        };
        let mut person = Demographics {
            names: vec![name("Ruiz"), name("DELGADO"), name("ruiz"), name("")],
            birth_date: Some("1979-03-04".to_owned()),
            identifiers: vec![identifier],
            ..Demographics::default()
        };

        assert_eq!(
            blocking_keys(&person),
            [
                b"\x011979-03-04\0delgado".to_vec(),
                b"\x011979-03-04\0ruiz".to_vec(),
                b"\x02urn:x\x0042".to_vec(),
            ]
        );
        person.birth_date = Some("1979".to_owned());
        assert_eq!(blocking_keys(&person), [b"\x02urn:x\x0042".to_vec()]);
    }
}
