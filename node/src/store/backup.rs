//! Backups as files: written beside their place, read back, and only then put in place.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use chartmesh_core::{
    crypto::{BackupLock, sha256},
    records::{Backup, BackupError, BackupSource, Disk as _, Naming, StoreError, Taking},
    types::{Code, DocumentId, MemberId, Timestamp},
};
use rustix::fs::{Advice, fadvise};

use super::{Store, dir, files, handle::Inner, journal::system_rng};

/// How the name of a backup in a folder of backups ends.
const SUFFIX: &str = ".cmbackup";

/// Why a backup is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupFailure {
    /// What is to be saved, or what was written, does not hold.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Where it is to be saved cannot be written.
    #[error("the backup cannot be written there: {0}")]
    Target(ErrorKind),
    /// It ended unexpectedly.
    #[error("the backup ended unexpectedly")]
    Ended,
}

impl BackupFailure {
    /// The stable code.
    pub fn code(self) -> Code {
        match self {
            Self::Backup(error) => error.code(),
            Self::Target(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => Code::StorageFull,
            Self::Target(_) => Code::StorageFailed,
            Self::Ended => Code::Internal,
        }
    }
}

impl From<io::Error> for BackupFailure {
    fn from(error: io::Error) -> Self {
        Self::Target(error.kind())
    }
}

/// Where a backup goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SavedAt {
    /// Into a file, in the place of an earlier one.
    File(PathBuf),
    /// Into a folder, under a name of its own; the oldest of this store beyond so many go.
    Folder(PathBuf, usize),
}

/// A backup to be made.
pub struct BackUp {
    /// Where it goes.
    pub at: SavedAt,
    /// Whose store it is.
    pub member: MemberId,
    /// Closes it.
    pub lock: BackupLock,
    /// Name of the sealed file that says who the node is.
    pub identity: &'static str,
    /// The configuration's text.
    pub config: Vec<u8>,
    /// Which file a record names.
    pub naming: Naming,
    /// When it is.
    pub now: Timestamp,
}

/// A backup that was made, read back, and put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// Where it is.
    pub file: PathBuf,
    /// Bytes of it.
    pub len_bytes: u64,
    /// SHA-256 of it.
    pub sha256: [u8; 32],
    /// The last record in it.
    pub position: u64,
    /// When that was written.
    pub recorded: Timestamp,
    /// When the backup was made.
    pub made: Timestamp,
    /// Document files in it.
    pub files: u64,
    /// Documents that are not in it because their file is damaged or missing.
    pub absent: Vec<DocumentId>,
    /// Names of older backups that were removed.
    pub removed: Vec<PathBuf>,
}

impl Store {
    /// Makes a backup of what is acknowledged by now, while the store goes on.
    ///
    /// # Errors
    /// [`BackupFailure`]; whatever was in place before is then untouched.
    pub async fn back_up(&self, asked: BackUp) -> Result<BackedUp, BackupFailure> {
        let inner = self.inner.clone();
        let done = tokio::task::spawn_blocking(move || make(&inner, &asked)).await;
        done.unwrap_or(Err(BackupFailure::Ended))
    }
}

/// A backup on a disk.
pub struct BackupFile(File);

impl BackupFile {
    /// Opens one.
    ///
    /// # Errors
    /// It is not there, or may not be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(ErrorKind::IsADirectory.into());
        }
        Ok(Self(file))
    }
}

impl BackupSource for BackupFile {
    fn len_bytes(&self) -> Result<u64, StoreError> {
        let metadata = self.0.metadata().map_err(|_| StoreError::Failed)?;
        Ok(metadata.len())
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.0.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(StoreError::Failed),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

fn make(inner: &Inner, asked: &BackUp) -> Result<BackedUp, BackupFailure> {
    let until = inner.journal.shared.head();
    let tag = tag(&inner.keyring.store_id());
    let file = match &asked.at {
        SavedAt::File(file) => file.clone(),
        SavedAt::Folder(folder, _) => folder.join(name(&tag, asked.now, until.position)),
    };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    demand_room(inner, &folder)?;
    let identity = inner.keyring.read_sealed(&inner.disk, asked.identity);
    let taking = Taking {
        disk: &inner.disk,
        keyring: &inner.keyring,
        read_file: &|file, offset, len| files::read(&inner.disk, file, offset, len).map(Vec::from),
        naming: asked.naming,
        until,
        member: asked.member,
        identity: &identity.map_err(BackupError::from)?,
        config: &asked.config,
        now: asked.now,
    };
    let beside = beside(&file)?;
    let made = write(&taking, &asked.lock, &beside).and_then(|mut made| {
        fs::rename(&beside, &file)?;
        dir::sync_folder(&folder)?;
        made.file = file;
        Ok(made)
    });
    let mut made = match made {
        Ok(made) => made,
        Err(error) => {
            // The next backup of that name takes its place; the first error is the one to tell.
            let _leftover = fs::remove_file(&beside);
            return Err(error);
        }
    };
    // An older backup may have what this one misses.
    if let (SavedAt::Folder(folder, keep), true) = (&asked.at, made.absent.is_empty()) {
        made.removed = prune(folder, &tag, &made.file, *keep)?;
    }
    Ok(made)
}

/// A backup on the store's own file system leaves it the space that it is to have.
fn demand_room(inner: &Inner, folder: &Path) -> Result<(), BackupFailure> {
    let same = fs::metadata(folder)?.dev() == fs::metadata(inner.disk.root())?.dev();
    if !same {
        return Ok(());
    }
    let mut needed = inner.held.bytes();
    for name in inner.disk.list("journal/").map_err(BackupError::from)? {
        needed += inner
            .disk
            .len(&name)
            .map_err(BackupError::from)?
            .unwrap_or(0);
    }
    let space = inner.disk.space().map_err(BackupError::from)?;
    if space.free_bytes.saturating_sub(needed) < space.reserve_bytes {
        return Err(BackupError::from(StoreError::Full).into());
    }
    Ok(())
}

/// Writes a backup beside its place and reads it back from the disk.
fn write(
    taking: &Taking<'_, super::DirDisk>,
    lock: &BackupLock,
    beside: &Path,
) -> Result<BackedUp, BackupFailure> {
    // One that was cut short before is nobody's.
    match fs::remove_file(beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)?;
    let mut failed = None;
    let taken = taking.write(lock, &mut system_rng(), &mut |bytes| {
        file.write_all(bytes).map_err(|error| {
            let told = dir::store_error(&error);
            failed = Some(error);
            told
        })
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let taken = taken?;
    file.sync_all()?;
    // What is read back is to come from the disk where the system can be told so.
    let _in_memory_is_as_good = fadvise(&file, 0, None, Advice::DontNeed);
    drop(file);

    let backup = Backup::open(BackupFile::open(beside)?, |_| Ok(taken.key.clone()))?;
    let contents = backup.check(taking.naming)?;
    let whole = backup.about() == taken.about
        && contents.files.len() as u64 == taken.files
        && contents.absent.len() == taken.absent.len();
    if !whole {
        return Err(BackupError::Contents.into());
    }
    Ok(BackedUp {
        file: PathBuf::new(),
        len_bytes: backup.len_bytes(),
        sha256: backup.sha256(),
        position: taken.about.head.position,
        recorded: taken.about.recorded,
        made: taken.about.made,
        files: taken.files,
        absent: taken.absent,
        removed: Vec::new(),
    })
}

/// Removes the oldest backups of a store beyond so many, and never the one that was just made.
fn prune(folder: &Path, tag: &str, made: &Path, keep: usize) -> io::Result<Vec<PathBuf>> {
    let mut older = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| is_name(tag, name)) && path != made {
            older.push(path);
        }
    }
    // The names begin with the time.
    older.sort();
    older.reverse();
    let gone = older.split_off(older.len().min(keep.saturating_sub(1)));
    for path in &gone {
        fs::remove_file(path)?;
    }
    if !gone.is_empty() {
        dir::sync_folder(folder)?;
    }
    Ok(gone)
}

/// Tells the backups of one store from those of others in the same folder, and says nothing else.
fn tag(store_id: &[u8; 16]) -> String {
    let hash = sha256(&[b"chartmesh/1/backup-name", store_id]);
    data_encoding::HEXLOWER.encode(&hash[..4])
}

fn name(tag: &str, now: Timestamp, position: u64) -> String {
    let at = now.to_string();
    let seconds = at.split('.').next().unwrap_or_default();
    let digits: String = seconds.chars().filter(|c| !"-:".contains(*c)).collect();
    format!("chartmesh-{tag}-{digits}Z-{position:020}{SUFFIX}")
}

fn is_name(tag: &str, name: &str) -> bool {
    let middle = name
        .strip_prefix("chartmesh-")
        .and_then(|rest| rest.strip_prefix(tag))
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.strip_suffix(SUFFIX));
    middle.is_some_and(|middle| {
        middle.len() == "20261123T065000Z-".len() + 20
            && middle
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b"TZ-".contains(&byte))
    })
}

fn beside(file: &Path) -> Result<PathBuf, BackupFailure> {
    let name = file
        .file_name()
        .ok_or(BackupFailure::Target(ErrorKind::InvalidInput))?;
    if file.is_dir() {
        return Err(BackupFailure::Target(ErrorKind::IsADirectory));
    }
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".part");
    Ok(file.with_file_name(hidden))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chartmesh_core::{
        crypto::{RecoverySecret, SecretKey},
        records::{Batch, RecordKind, Scope},
    };
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    struct Town {
        folder: tempfile::TempDir,
        store: Store,
        secret: RecoverySecret,
    }

    impl Town {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let node = folder.path().join("node");
            let kek = SecretKey::new([1; 32]);
            Store::create(&node, &kek, [2; 16]).unwrap();
            let (store, _) = Store::open(&node, &kek, |_| Vec::new(), &mut |_| {}).unwrap();
            let identity = zeroize::Zeroizing::new(b"seeds".to_vec());
            store.replace_sealed("identity", identity).await.unwrap();
            let secret = RecoverySecret::draw(&mut ChaCha20Rng::seed_from_u64(1));
            Self {
                folder,
                store,
                secret,
            }
        }

        async fn write(&self) {
            let mut batch = Batch::default();
            batch.push(RecordKind::Resource, Scope::Store, vec![1; 500]);
            self.store.commit_at(NOW, batch).await.unwrap();
        }

        fn asked(&self, at: SavedAt, now: Timestamp) -> BackUp {
            BackUp {
                at,
                member: MemberId([3; 16]),
                lock: self.secret.lock(),
                identity: "identity",
                config: Vec::new(),
                naming: |_| Ok(None),
                now,
            }
        }

        async fn save(&self, at: SavedAt) -> Result<BackedUp, BackupFailure> {
            self.store.back_up(self.asked(at, NOW)).await
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn opens(&self, path: &Path) -> Option<u64> {
            let file = BackupFile::open(path).unwrap();
            let backup = Backup::open(file, |header| header.key(&self.secret)).ok()?;
            backup.check(|_| Ok(None)).ok()?;
            Some(backup.about().head.position)
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_backup_is_of_a_position_while_records_are_written() {
        let town = std::sync::Arc::new(Town::new().await);
        town.write().await;
        let writing = tokio::spawn({
            let town = town.clone();
            async move {
                for _ in 0..200 {
                    town.write().await;
                }
            }
        });
        let mut last = 0;
        let file = town.path("one");
        while !writing.is_finished() {
            let made = town.save(SavedAt::File(file.clone())).await.unwrap();

            assert_eq!(town.opens(&file), Some(made.position));
            assert!(made.position >= last.max(1));
            assert_eq!(made.len_bytes, fs::metadata(&file).unwrap().len());
            last = made.position;
            tokio::time::timeout(Duration::ZERO, std::future::pending::<()>())
                .await
                .ok();
        }
        writing.await.unwrap();
    }

    /// The hard case is the old file: whatever happens to the one that is being made, it stays.
    #[tokio::test]
    async fn a_backup_that_fails_or_is_cut_leaves_the_earlier_one() {
        let town = Town::new().await;
        let backups = town.path("backups");
        fs::create_dir(&backups).unwrap();
        let file = backups.join("one");
        town.write().await;
        assert_eq!(
            town.save(SavedAt::File(file.clone()))
                .await
                .unwrap()
                .position,
            1
        );
        let before = fs::read(&file).unwrap();
        // What a power cut leaves of a backup that was being written.
        fs::write(backups.join(".one.part"), &before[..1_000]).unwrap();

        town.write().await;
        assert_eq!(
            town.save(SavedAt::File(file.clone()))
                .await
                .unwrap()
                .position,
            2
        );
        assert_eq!(names(&backups), ["one"]);
        let kept = fs::read(&file).unwrap();
        let journal = town.path("node/journal/00000000000000000001");
        let mut bytes = fs::read(&journal).unwrap();
        bytes[300] ^= 1;
        fs::write(&journal, bytes).unwrap();
        let refused = town.save(SavedAt::File(file.clone())).await.err();

        assert_eq!(refused.map(BackupFailure::code), Some(Code::Integrity));
        assert_eq!(names(&backups), ["one"]);
        assert!(fs::read(&file).unwrap() == kept);
        assert_eq!(town.opens(&file), Some(2));
    }

    #[tokio::test]
    async fn the_oldest_go_once_the_newest_is_there_and_only_those_of_this_store() {
        let town = Town::new().await;
        let backups = town.path("backups");
        fs::create_dir(&backups).unwrap();
        let others = [
            "chartmesh-00000000-20200101T000000Z-00000000000000000001.cmbackup",
            "notes",
        ];
        for other in others {
            fs::write(backups.join(other), b"x").unwrap();
        }
        let mut made = Vec::new();
        for minute in [0, 1, 2] {
            town.write().await;
            let asked = town.asked(
                SavedAt::Folder(backups.clone(), 2),
                Timestamp(NOW.0 + 60_000 * minute),
            );
            made.push(town.store.back_up(asked).await.unwrap());
        }

        assert_eq!(made[2].removed, [made[0].file.clone()]);
        assert_eq!(names(&backups).len(), 4);
        assert_eq!(town.opens(&made[1].file), Some(2));
        assert_eq!(town.opens(&made[2].file), Some(3));
        // A clock that was set back makes a name that sorts before all.
        let asked = town.asked(SavedAt::Folder(backups.clone(), 1), Timestamp(1_000));
        let last = town.store.back_up(asked).await.unwrap();
        assert_eq!(last.removed.len(), 2);
        assert_eq!(town.opens(&last.file), Some(3));
    }

    #[tokio::test]
    async fn where_it_cannot_be_written_it_is_said() {
        let town = Town::new().await;
        assert!(town.save(SavedAt::File(town.path("good"))).await.is_ok());

        let nowhere = town.save(SavedAt::File(town.path("none/one"))).await.err();
        let folder = town.save(SavedAt::File(town.path("node"))).await.err();

        assert_eq!(nowhere, Some(BackupFailure::Target(ErrorKind::NotFound)));
        assert_eq!(folder, Some(BackupFailure::Target(ErrorKind::IsADirectory)));
    }
}
