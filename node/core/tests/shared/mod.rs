//! Published vectors in the shared data, or under `$CHARTMESH_SHARED`; a test says where they are missing.

use std::{fs, path::PathBuf};

use serde_json::Value;

fn shared(path: &str) -> Option<PathBuf> {
    let found = optional(path);
    let demanded = std::env::var_os("CHARTMESH_DEMAND_SHARED").is_some();
    assert!(found.is_some() || !demanded, "shared data missing: {path}");
    found
}

/// What the shared data may lack: not every collection of it has this file.
pub(crate) fn optional(path: &str) -> Option<PathBuf> {
    let found = std::env::var_os("CHARTMESH_SHARED")
        .map(PathBuf::from)
        .into_iter()
        .chain(
            PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .ancestors()
                .map(|folder| folder.join("shared")),
        )
        .map(|folder| folder.join("data").join(path))
        .find(|path| path.exists());
    if found.is_none() {
        println!("skipped: {path} is missing");
    }
    found
}

pub(crate) fn shared_json(path: &str) -> Option<Value> {
    let text = fs::read_to_string(shared(path)?).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

pub(crate) fn shared_cases(path: &str) -> Option<Vec<Value>> {
    let mut folders = vec![shared(path)?];
    let mut cases = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(path).unwrap();
                cases.push(serde_json::from_str(&text).unwrap());
            }
        }
    }
    Some(cases)
}
