//! Sample configurations parse.

use crate::tree::{File, Finding};

/// What a node reads from its configuration; `node` refuses every other key.
const KEYS: &[&str] = &["admin_socket", "listen", "log", "reach"];

/// Checks one file, where it is a sample.
pub(crate) fn check(file: &File) -> Vec<Finding> {
    if !file.path.starts_with("config/") || !file.path.ends_with(".toml") {
        return Vec::new();
    }
    match file.text.parse::<toml::Table>() {
        Ok(table) => table
            .keys()
            .filter(|key| !KEYS.contains(&key.as_str()))
            .map(|key| Finding::new(&file.path, format!("`{key}` is no key of a node")))
            .collect(),
        Err(error) => vec![Finding::new(&file.path, error.to_string())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_that_no_node_would_read_is_found() {
        let findings = |text: &str| check(&File::new("config/config.toml", text)).len();

        assert_eq!(findings("listen = []\nlog = \"info\""), 0);
        assert_eq!(findings("listen = ["), 1);
        assert_eq!(findings("port = 1"), 1);
    }
}
