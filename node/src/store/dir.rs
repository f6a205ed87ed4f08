//! The port `Disk` over real files under one directory that only its owner may enter.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, IoSliceMut, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use chartmesh_core::records::{Disk, StoreError};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::{ReadWriteFlags, preadv2},
};

/// The reserve is this part of the file system (`decisions.md` 28) ...
const RESERVE_DIVISOR: u64 = 50;
/// ... and at most this.
const RESERVE_MAX_BYTES: u64 = 256 << 20;
/// Bytes copied at a time when a tail is set aside.
const COPY_BYTES: usize = 1 << 20;

/// Free space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Bytes that are never written.
    pub reserve_bytes: u64,
}

/// Files under one directory; the writing half of the store owns the one through which it appends.
pub struct DirDisk {
    root: Arc<Path>,
    reserve_bytes: Option<u64>,
    appending: BTreeMap<String, Appending>,
}

struct Appending {
    file: File,
    /// The file's name is not on the disk before its folder is synced.
    unnamed: bool,
}

impl DirDisk {
    /// Uses a directory that exists.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into().into(),
            reserve_bytes: None,
            appending: BTreeMap::new(),
        }
    }

    /// Keeps another reserve than the file system's size would give.
    #[must_use]
    pub fn with_reserve_bytes(mut self, reserve_bytes: u64) -> Self {
        self.reserve_bytes = Some(reserve_bytes);
        self
    }

    /// Another handle of the same directory.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            root: Arc::clone(&self.root),
            reserve_bytes: self.reserve_bytes,
            appending: BTreeMap::new(),
        }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How much space is left.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn space(&self) -> Result<Space, StoreError> {
        let system = rustix::fs::statvfs(&*self.root).map_err(|_| StoreError::Failed)?;
        let share = system.f_blocks.saturating_mul(system.f_frsize) / RESERVE_DIVISOR;
        Ok(Space {
            free_bytes: system.f_bavail.saturating_mul(system.f_frsize),
            reserve_bytes: self
                .reserve_bytes
                .unwrap_or_else(|| share.min(RESERVE_MAX_BYTES)),
        })
    }

    /// Makes a file durable whoever appended to it, and its name with it.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Failed`].
    pub fn sync_whole(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name)?;
        let synced = File::open(&path).and_then(|file| {
            file.sync_all()?;
            sync_folder(folder_of(&path))
        });
        synced.map_err(told)
    }

    /// Reads part of a file where the system has all of it in memory; never waits for the disk.
    pub(super) fn read_at_hand(&self, name: &str, offset: u64, len: usize) -> Option<Vec<u8>> {
        let path = self.path(name).ok()?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat2(CWD, &path, flags, Mode::empty(), ResolveFlags::CACHED).ok()?;
        let mut bytes = vec![0; len];
        let into = &mut [IoSliceMut::new(&mut bytes)];
        let filled = preadv2(&file, into, offset, ReadWriteFlags::NOWAIT).ok()?;
        (filled == len).then_some(bytes)
    }

    fn demand_space(&self, len: usize) -> Result<(), StoreError> {
        let space = self.space()?;
        if space.free_bytes.saturating_sub(len as u64) < space.reserve_bytes {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    /// Where a name lies. Names come from this program; one that could leave the directory, or meet
    /// a temporary file, is a defect and gets nowhere.
    fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let fine = name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
                })
        });
        if !fine {
            return Err(StoreError::Failed);
        }
        Ok(self.root.join(name))
    }

    fn begin(&self, path: &Path) -> io::Result<Appending> {
        let mut options = OpenOptions::new();
        options.append(true).mode(0o600);
        match options.open(path) {
            Ok(file) => Ok(Appending {
                file,
                unnamed: false,
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make_folder(path)?;
                Ok(Appending {
                    file: options.create_new(true).open(path)?,
                    unnamed: true,
                })
            }
            Err(error) => Err(error),
        }
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let folder = folder_of(path);
        if folder.is_dir() || !folder.starts_with(&self.root) {
            return Ok(());
        }
        self.make_folder(folder)?;
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => sync_folder(folder_of(folder)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn put(&self, path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        self.make_folder(path)?;
        let temporary = temporary_of(path);
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| {
                fill(&mut file)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, path));
        if let Err(error) = written {
            // A leftover is overwritten by the next attempt; the first error is the one to tell.
            let _leftover = fs::remove_file(&temporary);
            return Err(error);
        }
        sync_folder(folder_of(path))
    }
}

impl Disk for DirDisk {
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.demand_space(bytes.len())?;
        let path = self.path(name)?;
        let mut target = match self.appending.remove(name) {
            Some(target) => target,
            None => self.begin(&path).map_err(told)?,
        };
        target.file.write_all(bytes).map_err(told)?;
        self.appending.insert(name.to_owned(), target);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name)?;
        let mut target = match self.appending.remove(name) {
            Some(target) => target,
            None => self.begin(&path).map_err(told)?,
        };
        target.file.sync_data().map_err(told)?;
        if target.unnamed {
            sync_folder(folder_of(&path)).map_err(told)?;
            target.unnamed = false;
        }
        self.appending.insert(name.to_owned(), target);
        Ok(())
    }

    fn read(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let file = File::open(self.path(name)?).map_err(told)?;
        let size = file.metadata().map_err(told)?.len();
        let len = size.saturating_sub(offset).min(len as u64);
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| StoreError::Failed)?];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(told(error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn len(&self, name: &str) -> Result<Option<u64>, StoreError> {
        match fs::metadata(self.path(name)?) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(told(error)),
        }
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.demand_space(bytes.len())?;
        let path = self.path(name)?;
        self.appending.remove(name);
        self.put(&path, |file| file.write_all(bytes)).map_err(told)
    }

    fn set_aside(&mut self, name: &str, from: u64, aside: &str) -> Result<(), StoreError> {
        let (path, kept) = (self.path(name)?, self.path(aside)?);
        self.appending.remove(name);
        // What is kept may use the reserve: a full disk must not stand between a node and its start.
        let source = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(told)?;
        self.put(&kept, |file| copy_from(&source, from, file))
            .map_err(told)?;
        source.set_len(from).map_err(told)?;
        source.sync_all().map_err(told)?;
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name)?;
        self.appending.remove(name);
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(folder_of(&path)).map_err(told),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(told(error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        let start = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut folders = vec![start.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(self.root.join(&folder)) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(told(error)),
            };
            for entry in entries {
                let entry = entry.map_err(told)?;
                // A name that is not UTF-8, or hidden, was not made by this program's `path`.
                let Some(name) = entry.file_name().to_str().map(ToOwned::to_owned) else {
                    continue;
                };
                if name.starts_with('.') {
                    continue;
                }
                let name = if folder.is_empty() {
                    name
                } else {
                    format!("{folder}/{name}")
                };
                if entry.file_type().map_err(told)?.is_dir() {
                    folders.push(name);
                } else if name.starts_with(prefix) {
                    names.push(name);
                }
            }
        }
        names.sort();
        Ok(names)
    }
}

/// What an error of the system means to the store.
pub(super) fn store_error(error: &io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            StoreError::Full
        }
        ErrorKind::NotFound => StoreError::Missing,
        _ => StoreError::Failed,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "handed to `map_err`")]
fn told(error: io::Error) -> StoreError {
    store_error(&error)
}

/// Makes names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    path.with_file_name(name)
}

fn copy_from(source: &File, from: u64, target: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = from;
    loop {
        let count = source.read_at(&mut buffer, offset)?;
        if count == 0 {
            return Ok(());
        }
        target.write_all(&buffer[..count])?;
        offset += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_was_written_reads_back_and_only_the_owner_may_read_it() {
        let (folder, mut disk) = disk();

        disk.append("journal/one", b"abc").unwrap();
        disk.append("journal/one", b"def").unwrap();
        disk.sync("journal/one").unwrap();
        disk.replace("keyring", b"ring").unwrap();

        assert_eq!(disk.read("journal/one", 2, 3), Ok(b"cde".to_vec()));
        assert_eq!(disk.read("journal/one", 5, 100), Ok(b"f".to_vec()));
        assert_eq!(disk.read("journal/one", 50, 1), Ok(Vec::new()));
        assert_eq!(disk.read("two", 0, 1), Err(StoreError::Missing));
        assert_eq!(disk.len("journal/one"), Ok(Some(6)));
        assert_eq!(disk.len("two"), Ok(None));
        assert_eq!(disk.list("").unwrap(), ["journal/one", "keyring"]);
        assert_eq!(disk.list("journal/").unwrap(), ["journal/one"]);
        let mode = |name: &str| {
            let metadata = fs::metadata(folder.path().join(name)).unwrap();
            metadata.permissions().mode() & 0o777
        };
        assert_eq!(
            [mode("journal"), mode("journal/one"), mode("keyring")],
            [0o700, 0o600, 0o600]
        );
    }

    #[test]
    fn a_tail_is_kept_elsewhere() {
        let (_folder, mut disk) = disk();
        disk.append("journal/one", b"abcdef").unwrap();

        disk.set_aside("journal/one", 4, "aside/one").unwrap();
        disk.append("journal/one", b"gh").unwrap();

        assert_eq!(disk.read("journal/one", 0, 100), Ok(b"abcdgh".to_vec()));
        assert_eq!(disk.read("aside/one", 0, 100), Ok(b"ef".to_vec()));
    }

    #[test]
    fn no_name_leaves_the_directory() {
        let (_folder, mut disk) = disk();
        assert_eq!(disk.replace("files/ab/cd", b""), Ok(()));

        for name in [
            "../x",
            "a/../../x",
            "/etc/x",
            "a//x",
            "",
            ".hidden",
            "A",
            "a\0b",
        ] {
            assert_eq!(disk.replace(name, b""), Err(StoreError::Failed), "{name}");
            assert_eq!(disk.append(name, b""), Err(StoreError::Failed), "{name}");
        }
    }

    #[test]
    fn below_the_reserve_nothing_is_begun_and_reading_goes_on() {
        let (folder, mut disk) = disk();
        disk.replace("keyring", b"ring").unwrap();
        let mut full = DirDisk::new(folder.path()).with_reserve_bytes(u64::MAX);

        assert_eq!(full.append("journal/one", b"x"), Err(StoreError::Full));
        assert_eq!(full.replace("keyring", b"x"), Err(StoreError::Full));

        assert_eq!(full.read("keyring", 0, 10), Ok(b"ring".to_vec()));
        assert_eq!(full.len("journal/one"), Ok(None));
        assert!(disk.space().unwrap().reserve_bytes <= RESERVE_MAX_BYTES);
    }

    fn disk() -> (tempfile::TempDir, DirDisk) {
        let folder = tempfile::tempdir().unwrap();
        let disk = DirDisk::new(folder.path());
        (folder, disk)
    }
}
