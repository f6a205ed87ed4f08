//! Sealed document files under random names, and the part files of fetches under way.

use std::{
    collections::BTreeSet,
    io,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use chartmesh_core::{
    records::{Disk as _, StoreError},
    types::FileId,
};
use data_encoding::HEXLOWER;

use super::DirDisk;

/// Where the sealed files lie.
pub(super) const FOLDER: &str = "files";
/// Where the part files lie.
const PARTS: &str = "parts";
/// Most that is read in place: to copy more keeps others waiting longer than another thread takes to wake.
const AT_HAND_MAX_BYTES: usize = 512 << 10;

/// Bytes of all sealed files, added up once and kept as files come and go: there may be a million.
pub(super) struct Held(AtomicU64);

impl Held {
    /// Adds up what is there.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub(super) fn added_up(disk: &DirDisk) -> Result<Self, StoreError> {
        let bytes = bytes_of(&disk.root().join(FOLDER)).map_err(|_| StoreError::Failed)?;
        Ok(Self(AtomicU64::new(bytes)))
    }

    /// The sum.
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Does something to a file and counts what it did, also where it failed in the middle.
    fn counting(
        &self,
        disk: &DirDisk,
        name: &str,
        change: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let len = || Ok::<u64, StoreError>(disk.len(name)?.unwrap_or(0));
        let before = len()?;
        let outcome = change();
        let after = len()?;
        self.0
            .fetch_add(after.saturating_sub(before), Ordering::Relaxed);
        self.0
            .fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
        outcome
    }
}

/// Adds to a sealed file.
pub(super) fn append(
    disk: &DirDisk,
    held: &Held,
    file: FileId,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let name = file_name(file);
    held.counting(disk, &name, || disk.another().append(&name, bytes))
}

/// Makes a sealed file durable, its name too.
pub(super) fn sync(disk: &DirDisk, file: FileId) -> Result<(), StoreError> {
    disk.sync_whole(&file_name(file))
}

/// Reads part of a sealed file; fewer bytes where it ends.
pub(super) fn read(
    disk: &DirDisk,
    file: FileId,
    offset: u64,
    len: usize,
) -> Result<Bytes, StoreError> {
    disk.read(&file_name(file), offset, len).map(Bytes::from)
}

/// Reads part of a sealed file that is in memory, whole, or not at all; never waits for the disk.
pub(super) fn read_at_hand(disk: &DirDisk, file: FileId, offset: u64, len: usize) -> Option<Bytes> {
    let read = || disk.read_at_hand(&file_name(file), offset, len);
    (len <= AT_HAND_MAX_BYTES).then(read)?.map(Bytes::from)
}

/// Removes a sealed file.
pub(super) fn remove(disk: &DirDisk, held: &Held, file: FileId) -> Result<(), StoreError> {
    let name = file_name(file);
    held.counting(disk, &name, || disk.another().remove(&name))
}

/// Which part files may be there, so that the disk is not asked about the others. A name is here before
/// its file is.
pub(super) struct Parts(Mutex<BTreeSet<[u8; 32]>>);

impl Parts {
    /// Lists what is there.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub(super) fn listed(disk: &DirDisk) -> Result<Self, StoreError> {
        let names = disk.list(&format!("{PARTS}/"))?;
        let part = |name: &String| {
            let (_, hex) = name.rsplit_once('/')?;
            HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
        };
        Ok(Self(Mutex::new(names.iter().filter_map(part).collect())))
    }

    /// Whether a part file may be there.
    pub(super) fn has(&self, part: [u8; 32]) -> bool {
        self.lock().contains(&part)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<[u8; 32]>> {
        // A set is consistent after every step, so a panic elsewhere cannot spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds to a part file.
pub(super) fn append_part(
    disk: &DirDisk,
    parts: &Parts,
    part: [u8; 32],
    bytes: &[u8],
) -> Result<(), StoreError> {
    parts.lock().insert(part);
    disk.another().append(&part_name(part), bytes)
}

/// Length of a part file.
pub(super) fn part_len(disk: &DirDisk, part: [u8; 32]) -> Result<Option<u64>, StoreError> {
    disk.len(&part_name(part))
}

/// Reads part of a part file; fewer bytes where it ends.
pub(super) fn read_part(
    disk: &DirDisk,
    part: [u8; 32],
    offset: u64,
    len: usize,
) -> Result<Bytes, StoreError> {
    disk.read(&part_name(part), offset, len).map(Bytes::from)
}

/// Removes a part file.
pub(super) fn remove_part(disk: &DirDisk, parts: &Parts, part: [u8; 32]) -> Result<(), StoreError> {
    // Before the file is: one that is begun meanwhile stays known.
    parts.lock().remove(&part);
    let removed = disk.another().remove(&part_name(part));
    if removed.is_err() {
        parts.lock().insert(part);
    }
    removed
}

/// Where a sealed file lies.
pub(super) fn file_name(file: FileId) -> String {
    let name = HEXLOWER.encode(file.as_bytes());
    format!("{FOLDER}/{}/{name}", &name[..2])
}

fn part_name(part: [u8; 32]) -> String {
    format!("{PARTS}/{}", HEXLOWER.encode(&part))
}

/// Bytes of all files below a folder, but for one of the folders in it.
///
/// # Errors
/// It cannot be read.
pub fn bytes_beside(folder: &Path, left_out: &str) -> io::Result<u64> {
    added_up(folder, Some(left_out))
}

/// Bytes of all files below a folder; none where it is not there, or goes meanwhile.
fn bytes_of(folder: &Path) -> io::Result<u64> {
    added_up(folder, None)
}

fn added_up(folder: &Path, left_out: Option<&str>) -> io::Result<u64> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut sum = 0;
    for entry in entries {
        let entry = entry?;
        if left_out.is_some_and(|name| entry.file_name() == name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            sum += bytes_of(&entry.path())?;
        } else if let Ok(found) = entry.metadata() {
            sum += found.len();
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_what_a_walk_adds_up_as_files_come_and_go() {
        let room = tempfile::tempdir().unwrap();
        let disk = DirDisk::new(room.path());
        let held = Held::added_up(&disk).unwrap();
        let walked = || bytes_of(&room.path().join(FOLDER)).unwrap();
        assert_eq!((held.bytes(), walked()), (0, 0));
        let [one, other] = [1, 2].map(|seed| FileId([seed; 16]));

        append(&disk, &held, one, &[0; 700]).unwrap();
        append(&disk, &held, one, &[0; 50]).unwrap();
        append(&disk, &held, other, &[0; 9]).unwrap();
        assert_eq!((held.bytes(), walked()), (759, 759));
        remove(&disk, &held, one).unwrap();
        assert_eq!((held.bytes(), walked()), (9, 9));
        let _gone = remove(&disk, &held, one);
        assert_eq!((held.bytes(), walked()), (9, 9));
        let full = DirDisk::new(room.path()).with_reserve_bytes(u64::MAX);
        assert!(append(&full, &held, other, &[0; 10]).is_err());

        assert_eq!((held.bytes(), walked()), (9, 9));
        let again = Held::added_up(&disk).unwrap();
        assert_eq!(again.bytes(), 9, "a restart adds up the same");
        std::fs::write(room.path().join("config.toml"), [0; 4]).unwrap();
        assert_eq!(bytes_beside(room.path(), FOLDER).unwrap(), 4);
    }

    #[test]
    fn what_is_read_at_hand_is_what_is_read_and_nothing_less() {
        let room = tempfile::tempdir().unwrap();
        let disk = DirDisk::new(room.path());
        let held = Held::added_up(&disk).unwrap();
        let file = FileId([7; 16]);
        let bytes: Vec<u8> = (0..=AT_HAND_MAX_BYTES).map(|number| number as u8).collect();
        append(&disk, &held, file, &bytes).unwrap();
        let at_hand = |offset, len| read_at_hand(&disk, file, offset, len);

        // Some file systems never read in place; then all of it is read by another thread.
        if let Some(found) = at_hand(3, 70_000) {
            assert!(found == read(&disk, file, 3, 70_000).unwrap());
        }

        assert!(at_hand(2, AT_HAND_MAX_BYTES).is_none(), "beyond the end");
        assert!(at_hand(0, bytes.len()).is_none(), "too much to copy");
        let missing = read_at_hand(&disk, FileId([8; 16]), 0, 1);
        assert!(missing.is_none());
    }
}
