//! The user's files: what is in a folder, and a file in pieces.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use tokio::io::AsyncReadExt;

use crate::exit::Failure;

/// Pieces read ahead of the daemon.
pub(super) const PARTS_AHEAD: usize = 4;
/// Size of a piece, in bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Suffixes of known formats, lower case.
const SUFFIXES: [&str; 3] = ["json", "ndjson", "jsonl"];
/// Suffixes of files with one resource a line.
const LINES: [&str; 2] = ["ndjson", "jsonl"];
/// How much of a file is looked at to learn what it begins with, in bytes.
const BEGINNING_BYTES: u64 = 64 << 10;

/// What a path on the command line leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// To be sent.
    File(PathBuf),
    /// In a folder, without the suffix of a known format.
    Skipped(PathBuf),
    /// Cannot be read, and why.
    Unreadable(PathBuf, String),
}

/// Everything the paths lead to: paths in their order, folders sorted and with all below them.
pub(super) fn walk(paths: &[PathBuf]) -> Vec<Input> {
    let mut found = Vec::new();
    for path in paths {
        match fs::metadata(path) {
            Ok(kind) if kind.is_dir() => folder(path, &mut found),
            Ok(_) => found.push(Input::File(path.clone())),
            Err(error) => found.push(unreadable(path, &error)),
        }
    }
    found
}

fn folder(path: &Path, found: &mut Vec<Input>) {
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return found.push(unreadable(path, &error)),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => folder(&path, found),
            // A link to a folder could lead round in a circle; metadata follows a link to a file.
            Ok(_) if is_known(&path) && fs::metadata(&path).is_ok_and(|kind| kind.is_file()) => {
                found.push(Input::File(path));
            }
            Ok(_) => found.push(Input::Skipped(path)),
            Err(error) => found.push(unreadable(&path, &error)),
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Input {
    Input::Unreadable(path.to_owned(), error.to_string())
}

fn is_known(path: &Path) -> bool {
    has_suffix(path, &SUFFIXES)
}

fn has_suffix(path: &Path, suffixes: &[&str]) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    suffix.is_some_and(|suffix| {
        suffixes
            .iter()
            .any(|known| suffix.eq_ignore_ascii_case(known))
    })
}

/// Whether a file of lines begins with a Patient: sent first, so that the lines of other files find whom
/// they are about.
pub(super) fn is_patients(path: &Path) -> bool {
    if !has_suffix(path, &LINES) {
        return false;
    }
    let mut beginning = Vec::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(BEGINNING_BYTES).read_to_end(&mut beginning));
    // A file that cannot be read is told where it is sent.
    read.is_ok() && first_line_is_patient(&beginning)
}

fn first_line_is_patient(whole: &[u8]) -> bool {
    let beginning = whole.strip_prefix(b"\xef\xbb\xbf");
    let beginning = beginning.unwrap_or(whole);
    let mut lines = beginning.split(|byte| *byte == b'\n');
    let line = lines.find(|line| !line.trim_ascii().is_empty());
    let mut packed = line.unwrap_or_default().to_vec();
    packed.retain(|byte| !byte.is_ascii_whitespace());
    let name = b"\"resourceType\":\"Patient\"";
    packed.windows(name.len()).any(|window| window == name)
}

/// A file's size in bytes.
///
/// # Errors
/// It cannot be read, or is a folder.
pub(super) fn size(path: &Path) -> Result<u64, Failure> {
    let found = fs::metadata(path).map_err(|error| Failure::file("read", path, &error))?;
    if found.is_dir() {
        let error = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(Failure::file("read", path, &error));
    }
    Ok(found.len())
}

/// A file in pieces of at most 1 MiB.
pub(super) struct Pieces {
    path: PathBuf,
    file: tokio::fs::File,
}

impl Pieces {
    /// Opens the file.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn open(path: &Path) -> Result<Self, Failure> {
        let file = tokio::fs::File::open(path)
            .await
            .map_err(|error| Failure::file("read", path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut piece = Vec::new();
        let limit = u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
        (&mut self.file)
            .take(limit)
            .read_to_end(&mut piece)
            .await
            .map_err(|error| Failure::file("read", &self.path, &error))?;
        Ok((!piece.is_empty()).then_some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_walked_in_order_and_unknown_files_are_skipped() {
        let room = tempfile::tempdir().expect("a folder");
        let at = |name: &str| room.path().join(name);
        fs::create_dir(at("b")).expect("a folder");
        for name in [
            "c.json",
            "a.JSON",
            "b/x.json",
            "b/y.ndjson",
            "b/z.jsonl",
            "b/notes.txt",
            "README",
        ] {
            fs::write(at(name), "{}").expect("written");
        }
        std::os::unix::fs::symlink(room.path(), at("b/loop.json")).expect("a link");

        let found = walk(&[room.path().to_owned()]);

        assert_eq!(
            found,
            [
                Input::Skipped(at("README")),
                Input::File(at("a.JSON")),
                Input::Skipped(at("b/loop.json")),
                Input::Skipped(at("b/notes.txt")),
                Input::File(at("b/x.json")),
                Input::File(at("b/y.ndjson")),
                Input::File(at("b/z.jsonl")),
                Input::File(at("c.json")),
            ]
        );
    }

    #[test]
    fn files_of_patients_are_told_by_their_first_line() {
        for (first, expected) in [
            (
                "\u{feff}\n{\"id\":\"1\", \"resourceType\" : \"Patient\"}\n{",
                true,
            ),
            (
                "{\"resourceType\":\"Observation\"}\n{\"resourceType\":\"Patient\"}",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(first_line_is_patient(first.as_bytes()), expected, "{first}");
        }
    }

    #[test]
    fn a_named_file_is_sent_whatever_its_suffix() {
        let room = tempfile::tempdir().expect("a folder");
        let named = room.path().join("patient.txt");
        let missing = room.path().join("missing.json");
        fs::write(&named, "{}").expect("written");

        let found = walk(&[named.clone(), missing.clone()]);

        assert_eq!(found.first(), Some(&Input::File(named)));
        assert!(matches!(&found[1], Input::Unreadable(path, _) if *path == missing));
    }

    #[tokio::test]
    async fn a_file_comes_in_pieces_of_a_mebibyte() {
        let room = tempfile::tempdir().expect("a folder");
        let path = room.path().join("large");
        fs::write(&path, vec![7; PIECE_BYTES + 3]).expect("written");

        let mut pieces = Pieces::open(&path).await.expect("opened");
        let mut sizes = Vec::new();
        while let Some(piece) = pieces.next().await.expect("read") {
            sizes.push(piece.len());
        }

        assert_eq!(sizes, [PIECE_BYTES, 3]);
        assert_eq!(size(&path).ok(), Some(PIECE_BYTES as u64 + 3));
        assert!(size(room.path()).is_err());
    }
}
