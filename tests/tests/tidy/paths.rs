//! Paths that documents name exist, and no file names a place on one machine.

use crate::tree::{File, Finding};

const TOP_LEVEL: &[&str] = &[".ci", ".config", "cli", "config", "node", "proto", "tests"];

/// Checks every back-ticked path that begins with a top-level folder.
pub(crate) fn check_mentions(file: &File, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for path in mentions(&file.text) {
        if !exists(path) {
            found.push(Finding::new(&file.path, format!("`{path}` does not exist")));
        }
    }
    found
}

fn mentions(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in text.lines() {
        // Odd pieces of a line stand between back-ticks.
        for span in line.split('`').skip(1).step_by(2) {
            let Some((top, rest)) = span.split_once('/') else {
                continue;
            };
            let pattern = rest.contains(['*', '{', '<', '$', ' ', '…', '‖']);
            if TOP_LEVEL.contains(&top) && !pattern {
                found.push(span);
            }
        }
    }
    found
}

/// Checks that a file names nobody's home and no place where only one machine has something.
pub(crate) fn check_machine(file: &File) -> Vec<Finding> {
    let places = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
        concat!("C:", "\\Users"),
    ];
    let mut found = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        let named = places.iter().any(|place| {
            line.match_indices(place).any(|(from, _)| {
                // A folder of that name inside a path of ours is no root.
                !line[..from].ends_with(|c: char| c.is_alphanumeric() || "._-)}".contains(c))
            })
        });
        if named {
            found.push(Finding::new(
                format!("{}:{}", file.path, at + 1),
                format!("names a place on one machine: {}", line.trim()),
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_does_not_exist_is_found() {
        let findings = |text: &str| {
            check_mentions(&File::new("README.md", text), |path| {
                ["node/src", "config/config.toml"].contains(&path)
            })
            .len()
        };

        assert_eq!(
            findings("See `node/src`, `config/config.toml` and `text/plain`."),
            0
        );
        assert_eq!(findings("See `node/src/*.rs` and `files/<hex>`."), 0);
        assert_eq!(findings("See `node/lost.rs`."), 1);
    }

    #[test]
    fn a_place_on_one_machine_is_found() {
        let findings = |text: String| check_machine(&File::new("a.md", &text)).len();

        assert_eq!(findings("/usr/local/bin, node/work/, ~/x".to_owned()), 0);
        assert_eq!(findings(format!("cd {}me/anna/chartmesh", "/ho")), 1);
        assert_eq!(findings(format!("\"{}rk/shared\"", "/wo")), 1);
    }
}
