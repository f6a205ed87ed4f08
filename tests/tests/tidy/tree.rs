//! The files of the repository, read once.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A file with its path from the root and its text.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// For the tests of rules.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }
}

/// A broken rule.
pub(crate) struct Finding {
    path: String,
    what: String,
}

impl Finding {
    pub(crate) fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// Fails with every finding, one a line.
pub(crate) fn report(found: Vec<Finding>) {
    let lines: Vec<String> = found.iter().map(Finding::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} findings:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

/// Every text file that belongs to the repository.
pub(crate) struct Tree {
    root: PathBuf,
    files: Vec<File>,
    // Files that are no UTF-8 text, such as golden vectors, exist too.
    paths: Vec<String>,
}

impl Tree {
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the crate of the tests lies in the workspace")
            .to_owned();
        let mut paths = tracked(&root).unwrap_or_else(|| {
            let mut found = Vec::new();
            walk(&root, &root, &mut found);
            found
        });
        paths.sort();
        let files = paths
            .iter()
            .filter_map(|path| {
                let text = fs::read_to_string(root.join(path)).ok()?;
                Some(File {
                    path: path.clone(),
                    text,
                })
            })
            .collect();
        Self { root, files, paths }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.path.ends_with(".rs"))
    }

    pub(crate) fn rust_under(&self, folder: &str) -> impl Iterator<Item = &File> {
        self.rust()
            .filter(move |file| Path::new(&file.path).starts_with(folder))
    }

    /// Every file, text or not.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// The text of a file that must be there.
    pub(crate) fn text(&self, path: &str) -> &str {
        let Some(file) = self.files().find(|file| file.path == path) else {
            panic!("{path} is missing");
        };
        &file.text
    }

    /// Whether a file or folder exists.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.paths
            .iter()
            .any(|known| Path::new(known).starts_with(path))
    }
}

/// What git knows or would add; none outside a checkout.
fn tracked(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<String> = text
        .lines()
        .filter(|path| root.join(path).is_file())
        .map(str::to_owned)
        .collect();
    (!paths.is_empty()).then_some(paths)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                walk(root, &path, found);
            }
        } else if let Some(path) = path.strip_prefix(root).ok().and_then(Path::to_str) {
            found.push(path.to_owned());
        }
    }
}
