//! What a test needs of an organisation and does not care about.

use chartmesh_core::{membership::Organization, types::Kind};

/// An invented organisation.
pub fn organization(name: &str, kind: Kind) -> Organization {
    Organization {
        name: name.to_owned(),
        kind,
        npi: String::new(),
        oid: String::new(),
        address: "1 Main Street".to_owned(),
        contact: String::new(),
        phone: String::new(),
        hours: String::new(),
        state: "CO".to_owned(),
        part2: false,
        test: true,
    }
}
