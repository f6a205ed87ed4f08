//! A file that a command was told to write.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::{ask, exit::Failure, print::Screen};

/// A file that appears whole, mode 0600, or not at all.
pub(crate) struct OutFile {
    path: PathBuf,
    temporary: NamedTempFile,
}

impl OutFile {
    /// Begins it; a file of that name is there until it is kept.
    ///
    /// # Errors
    /// The folder cannot be written, or the user does not want the file replaced.
    pub(crate) fn new(path: PathBuf, screen: &Screen) -> Result<Self, Failure> {
        if path.is_dir() {
            return Err(Failure::usage(
                format!("{} is a folder", path.display()),
                "name a file in it",
            ));
        }
        if path.exists() {
            let question = format!("{} exists. Replace it?", path.display());
            ask::confirm(screen, "", &question)?;
        }
        let temporary = tempfile::Builder::new()
            .prefix(".chartmesh-")
            .tempfile_in(folder(&path))
            .map_err(|error| Failure::file("written", &path, &error))?;
        Ok(Self { path, temporary })
    }

    /// Adds to it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.temporary
            .write_all(data)
            .map_err(|error| Failure::file("written", &self.path, &error))
    }

    /// Puts it in its place, durably.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn keep(self) -> Result<(), Failure> {
        let path = self.path;
        let done = self
            .temporary
            .as_file()
            .sync_all()
            .and_then(|()| self.temporary.persist(&path).map_err(|error| error.error))
            .and_then(|_| File::open(folder(&path)))
            .and_then(|folder| folder.sync_all());
        done.map_err(|error| Failure::file("written", &path, &error))
    }
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}
