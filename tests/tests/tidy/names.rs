//! Which library may be named where, and what the core may not name at all.

use crate::{
    rust,
    tree::{File, Finding},
};

/// Libraries by the start of their name, and the places that may name them.
const PLACES: &[(&str, &[&str])] = &[
    ("sled", &["node/src/store/sled.rs"]),
    ("libp2p", &["node/src/net/", "node/tests/floods/"]),
    (
        "tonic",
        &[
            "node/src/net/",
            "node/src/api/",
            "cli/",
            "proto/",
            "node/tests/",
            "tests/peers/",
        ],
    ),
];

/// Crates that would bring the world into the core.
const BANNED_IN_CORE: &[&str] = &[
    "async-std",
    "chartmesh-node",
    "getrandom",
    "hyper",
    "libp2p",
    "mio",
    "notify",
    "rand",
    "redb",
    "reqwest",
    "rustix",
    "sled",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-util",
    "tonic",
    "tower",
    "tracing",
    "tracing-subscriber",
];

/// Parts of `std` that are the world.
const BANNED_STD: &[&[&str]] = &[
    &["std", "env"],
    &["std", "fs"],
    &["std", "io", "stdin"],
    &["std", "net"],
    &["std", "os"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
];

/// Checks that a file names no library that belongs elsewhere.
pub(crate) fn check(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    for (library, places) in PLACES {
        if places.iter().any(|place| file.path.starts_with(place)) {
            continue;
        }
        let named = rust::named(&file.path, &file.text);
        let misplaced = named.iter().find(|named| {
            let first = &named.segments[0];
            named.segments.len() > 1
                && (first == library || first.starts_with(&format!("{library}_")))
        });
        if let Some(named) = misplaced {
            found.push(Finding::new(
                &file.path,
                format!("`{}` belongs into {}", named.text(), places.join(", ")),
            ));
        }
    }
    found
}

/// Checks the dependencies of the core.
pub(crate) fn check_core_manifest(manifest: &str) -> Vec<Finding> {
    let path = "node/core/Cargo.toml";
    let table: toml::Table = match manifest.parse() {
        Ok(table) => table,
        Err(error) => return vec![Finding::new(path, error.to_string())],
    };
    let Some(dependencies) = table.get("dependencies").and_then(toml::Value::as_table) else {
        return vec![Finding::new(path, "has no dependencies")];
    };
    dependencies
        .keys()
        .filter(|name| BANNED_IN_CORE.contains(&name.as_str()))
        .map(|name| {
            Finding::new(
                path,
                format!("`{name}` would bring the world into the core"),
            )
        })
        .collect()
}

/// Checks that a file of the core names nothing of the world outside its tests.
pub(crate) fn check_core_source(file: &File) -> Vec<Finding> {
    rust::named(&file.path, &file.text)
        .iter()
        .filter(|named| !named.test)
        .filter(|named| {
            BANNED_STD.iter().any(|banned| {
                named.segments.len() >= banned.len()
                    && banned.iter().zip(&named.segments).all(|(a, b)| a == b)
            })
        })
        .map(|named| {
            Finding::new(
                &file.path,
                format!("`{}` comes in through ports", named.text()),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&File::new(path, text)).len()
    }

    #[test]
    fn a_library_outside_its_place_is_found() {
        assert_eq!(findings("node/src/store/sled.rs", "use sled::Db;"), 0);
        assert_eq!(
            findings("node/src/store/mod.rs", "mod sled; use self::sled::Index;"),
            0
        );
        assert_eq!(findings("node/src/store/mod.rs", "use sled::Db;"), 1);
        assert_eq!(
            findings("node/src/world.rs", "fn f(x: libp2p::PeerId) {}"),
            1
        );
        assert_eq!(
            findings("node/src/world.rs", "use tonic_health::server;"),
            1
        );
        assert_eq!(findings("cli/src/connect.rs", "use tonic::Status;"), 0);
    }

    #[test]
    fn a_runtime_in_the_core_is_found() {
        let good = "[dependencies]\nbytes = \"1\"\n[dev-dependencies]\ntokio = \"1\"";
        let bad = "[dependencies]\ntokio = \"1\"\nsled = { workspace = true }";

        assert_eq!(check_core_manifest(good).len(), 0);
        assert_eq!(check_core_manifest(bad).len(), 2);
    }

    #[test]
    fn the_world_in_the_core_is_found_outside_its_tests() {
        let findings = |text: &str| {
            check_core_source(&File::new("node/core/src/policy/decide.rs", text)).len()
        };

        assert_eq!(findings("use std::fmt; use std::time::Duration;"), 0);
        assert_eq!(findings("#[cfg(test)] mod tests { use std::fs; }"), 0);
        assert_eq!(findings("use std::fs;"), 1);
        assert_eq!(findings("fn f() { std::time::Instant::now(); }"), 1);
    }
}
