//! Golden vectors are append-only: a released format stays readable, or it was never golden.

use std::{path::Path, process::Command};

use crate::tree::Finding;

const FOLDER: &str = "tests/vectors";

/// Compares every vector with the commit that added it.
pub(crate) fn check_tree(root: &Path) -> Vec<Finding> {
    let Some(history) = git(
        root,
        &[
            "log",
            "--no-renames",
            "--diff-filter=A",
            "--format=:%H",
            "--name-only",
            "--",
            FOLDER,
        ],
    ) else {
        println!("skipped: not in a git checkout");
        return Vec::new();
    };
    let mut found = Vec::new();
    for (path, commit) in added(&String::from_utf8_lossy(&history)) {
        // The page that explains them is no vector.
        if path.ends_with(".md") {
            continue;
        }
        let then = git(root, &["show", &format!("{commit}:{path}")]);
        let present = std::fs::read(root.join(&path)).ok();
        found.extend(check(&path, then.as_deref(), present.as_deref()));
    }
    found
}

fn check(path: &str, then: Option<&[u8]>, present: Option<&[u8]>) -> Option<Finding> {
    match (then, present) {
        (Some(then), Some(present)) if then == present => None,
        (Some(_), Some(_)) => Some(Finding::new(
            path,
            "a golden vector was changed; add another",
        )),
        (_, None) => Some(Finding::new(path, "a golden vector was removed")),
        (None, Some(_)) => Some(Finding::new(path, "git does not know what was added")),
    }
}

/// Path and oldest commit of each file that a log of additions names.
fn added(log: &str) -> Vec<(String, String)> {
    let mut commit = "";
    let mut found: Vec<(String, String)> = Vec::new();
    for line in log.lines().filter(|line| !line.is_empty()) {
        if let Some(hash) = line.strip_prefix(':') {
            commit = hash;
        } else if let Some(known) = found.iter_mut().find(|(path, _)| path == line) {
            commit.clone_into(&mut known.1);
        } else {
            found.push((line.to_owned(), commit.to_owned()));
        }
    }
    found
}

fn git(root: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .ok()?;
    output.status.success().then_some(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_or_removed_vector_is_found() {
        let path = "tests/vectors/a.bin";

        assert!(check(path, Some(b"a"), Some(b"a")).is_none());
        assert!(check(path, Some(b"a"), Some(b"b")).is_some());
        assert!(check(path, Some(b"a"), None).is_some());
    }

    #[test]
    fn the_oldest_commit_of_a_vector_counts() {
        let log = ":new\n\ntests/vectors/a\n:old\n\ntests/vectors/a\ntests/vectors/b\n";

        let found = added(log);

        assert_eq!(found[0], ("tests/vectors/a".to_owned(), "old".to_owned()));
        assert_eq!(found[1], ("tests/vectors/b".to_owned(), "old".to_owned()));
    }
}
