//! An open store, as the rest of the daemon holds it.

use std::{
    fs::{self, DirBuilder},
    io::ErrorKind,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use chartmesh_core::{
    crypto::SecretKey,
    ports::{Row, Table},
    records::{
        self, Batch, Disk as _, Head, Keyring, Log, Opened, Place, Record, RecordKind, Recorded,
        StoreError, Verified,
    },
    types::FileId,
};
use zeroize::Zeroizing;

use super::{
    DirDisk, IndexState, Leaves, OpenError, RowsOf, dir, files,
    journal::{JournalHandle, system_rng},
    key::demand_rights,
    leaves::Comparison,
    lock::Lock,
    watch::{self, Index, SILENCE_MAX},
};

/// Rows gathered before they are put into an index that is being filled.
const FILL_ROWS: usize = 2_000;
const DIRECTORY_RIGHTS: u32 = 0o700;

/// What opening a store found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOpened {
    /// The journal.
    pub journal: Opened,
    /// The index.
    pub index: IndexState,
    /// The leaf file.
    pub leaves: Leaves,
}

impl StoreOpened {
    /// Why the node may not answer peers, where it may not.
    pub fn problem(&self) -> Option<StoreError> {
        match self.leaves {
            Leaves::Agree => self.journal.problem,
            Leaves::Differ { .. } | Leaves::Beyond { .. } => {
                let position = self.journal.head.position;
                Some(
                    self.journal
                        .problem
                        .unwrap_or(StoreError::Integrity { position }),
                )
            }
        }
    }
}

/// What reading everything anew found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreVerified {
    /// The journal.
    pub journal: Verified,
    /// The leaf file.
    pub leaves: Leaves,
}

/// Figures for `status` and `doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of all journal files.
    pub journal_bytes: u64,
    /// The last record on the disk.
    pub position: u64,
    /// Syncs of the journal since start.
    pub syncs: u64,
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Bytes that are never written.
    pub reserve_bytes: u64,
    /// Files put aside after a torn write.
    pub aside: u64,
}

/// An open store; clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    journal: JournalHandle,
    keyring: Keyring,
    disk: DirDisk,
    index: Arc<Index>,
    /// After everything that touches the directory.
    _lock: Arc<Lock>,
}

impl Store {
    /// Makes a store in a directory, which is made where it is missing.
    ///
    /// # Errors
    /// [`OpenError::AlreadyInitialised`], [`OpenError::Permissions`], [`OpenError::Locked`], or what
    /// system and disk say.
    pub fn create(folder: &Path, kek: &SecretKey, store_id: [u8; 16]) -> Result<(), OpenError> {
        let mut builder = DirBuilder::new();
        match builder
            .mode(DIRECTORY_RIGHTS)
            .recursive(true)
            .create(folder)
        {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        demand_rights(&fs::metadata(folder)?, DIRECTORY_RIGHTS)?;
        let _lock = Lock::take(folder)?;
        let disk = DirDisk::new(folder);
        if Keyring::exists(&disk)? {
            return Err(OpenError::AlreadyInitialised);
        }
        Log::create(disk, kek, store_id, &mut system_rng())?;
        dir::sync_folder(folder)?;
        Ok(())
    }

    /// Opens the store of a directory; `on_record` sees every good record in order.
    ///
    /// Blocks for as long as it takes to read the journal. Where [`StoreOpened::problem`] says
    /// something, what is good was replayed; if it is the journal's, every commit is refused.
    ///
    /// # Errors
    /// [`OpenError::NotInitialised`], [`OpenError::Permissions`], [`OpenError::Locked`],
    /// [`StoreError::Key`], [`StoreError::FormatTooNew`], a changed keyring as
    /// [`StoreError::Integrity`], or what system and disk say.
    pub fn open(
        folder: &Path,
        kek: &SecretKey,
        rows: RowsOf,
        on_record: &mut dyn FnMut(Record),
    ) -> Result<(Self, StoreOpened), OpenError> {
        Self::open_on(DirDisk::new(folder), kek, rows, on_record)
    }

    /// Opens the store of a directory whose reserve is not the usual one.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(
        disk: DirDisk,
        kek: &SecretKey,
        rows: RowsOf,
        on_record: &mut dyn FnMut(Record),
    ) -> Result<(Self, StoreOpened), OpenError> {
        let folder = disk.root();
        match fs::metadata(folder) {
            Ok(metadata) => demand_rights(&metadata, DIRECTORY_RIGHTS)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(OpenError::NotInitialised);
            }
            Err(error) => return Err(error.into()),
        }
        if !Keyring::exists(&disk)? {
            return Err(OpenError::NotInitialised);
        }
        let lock = Arc::new(Lock::take(folder)?);
        let keyring = Keyring::load(&disk, kek)?;
        let genesis = Head::genesis(&keyring.store_id());
        let (index, state) = watch::open_index(folder, &keyring.rows(), genesis, SILENCE_MAX)?;
        let applied = index.applied();

        let mut fill = Fill::new(&index, rows, applied.position);
        let mut comparison = Comparison::new(disk.another())?;
        let mut unread = None;
        let (mut log, opened) = Log::open(disk.another(), kek, Some(applied), &mut |record| {
            fill.record(&record);
            if record.kind == RecordKind::Audit {
                let compared = comparison.leaf(record.leaf);
                unread = unread.or(compared.err());
            }
            on_record(record);
        })?;
        if let Some(error) = unread {
            return Err(error.into());
        }
        let filled = fill.finish(opened.head, opened.problem.is_none());
        let (index, state) = match filled {
            Ok(()) => (index, state),
            Err(_) => (fill_memory(&log, rows, genesis)?, IndexState::InMemory),
        };
        let (leaves, leaf_file) = comparison.finish();
        if matches!(leaves, Leaves::Beyond { .. }) {
            // Records that were acknowledged are gone from the journal; their positions stay free.
            log.refuse_writes();
        }
        let index = Arc::new(index);
        let store_opened = StoreOpened {
            journal: opened,
            index: state,
            leaves,
        };
        let journal =
            JournalHandle::start(log, Arc::clone(&index), leaf_file, rows, Arc::clone(&lock))?;
        let store = Self {
            inner: Arc::new(Inner {
                journal,
                keyring,
                disk,
                index,
                _lock: lock,
            }),
        };
        Ok((store, store_opened))
    }

    /// The keys of the store and its patients.
    pub fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }

    /// See [`chartmesh_core::ports::Journal::commit`].
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Failed`], [`StoreError::TooLarge`], [`StoreError::Key`],
    /// [`StoreError::ReadOnly`].
    pub async fn commit(&self, batch: Batch) -> Result<Recorded, StoreError> {
        self.inner.journal.commit(batch).await
    }

    /// See [`chartmesh_core::ports::Records::rows`].
    ///
    /// # Errors
    /// [`StoreError::Integrity`], [`StoreError::Failed`].
    pub async fn rows(&self, table: Table, prefix: Vec<u8>) -> Result<Vec<Row>, StoreError> {
        self.blocking(move |inner| inner.index.rows(table, &prefix))
            .await
    }

    /// See [`chartmesh_core::ports::Records::get`].
    ///
    /// # Errors
    /// [`StoreError::Integrity`], [`StoreError::Failed`].
    pub async fn get(
        &self,
        table: Table,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<Option<Row>>, StoreError> {
        self.blocking(move |inner| inner.index.get(table, &keys))
            .await
    }

    /// See [`chartmesh_core::ports::Records::records`].
    ///
    /// # Errors
    /// [`StoreError::Integrity`], [`StoreError::Missing`], [`StoreError::Failed`].
    pub async fn records(&self, places: Vec<Place>) -> Result<Vec<Record>, StoreError> {
        self.blocking(move |inner| {
            let read = |place| records::read_record(&inner.disk, &inner.keyring, place);
            places.into_iter().map(read).collect()
        })
        .await
    }

    /// See [`chartmesh_core::ports::Records::put_file`].
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Failed`].
    pub async fn put_file(&self, file: FileId, bytes: Bytes) -> Result<(), StoreError> {
        self.blocking(move |inner| inner.noting(files::put(&inner.disk, file, &bytes)))
            .await
    }

    /// See [`chartmesh_core::ports::Records::read_file`].
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Failed`].
    pub async fn read_file(
        &self,
        file: FileId,
        offset: u64,
        len: usize,
    ) -> Result<Bytes, StoreError> {
        self.blocking(move |inner| files::read(&inner.disk, file, offset, len))
            .await
    }

    /// See [`chartmesh_core::ports::Records::remove_file`].
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn remove_file(&self, file: FileId) -> Result<(), StoreError> {
        self.blocking(move |inner| files::remove(&inner.disk, file))
            .await
    }

    /// See [`chartmesh_core::ports::Records::append_part`].
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Failed`].
    pub async fn append_part(&self, part: [u8; 32], bytes: Bytes) -> Result<(), StoreError> {
        self.blocking(move |inner| files::append_part(&inner.disk, part, &bytes))
            .await
    }

    /// See [`chartmesh_core::ports::Records::read_part`].
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn read_part(&self, part: [u8; 32]) -> Result<Option<Bytes>, StoreError> {
        self.blocking(move |inner| files::read_part(&inner.disk, part))
            .await
    }

    /// See [`chartmesh_core::ports::Records::remove_part`].
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn remove_part(&self, part: [u8; 32]) -> Result<(), StoreError> {
        self.blocking(move |inner| files::remove_part(&inner.disk, part))
            .await
    }

    /// Reads a small file sealed under the key-encryption key, such as `identity`.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Integrity`], [`StoreError::FormatTooNew`],
    /// [`StoreError::Failed`].
    pub async fn read_sealed(&self, name: &'static str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.blocking(move |inner| inner.keyring.read_sealed(&inner.disk, name))
            .await
    }

    /// Seals a small file and puts it in place, durably, all or nothing.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Failed`], [`StoreError::ReadOnly`].
    pub async fn replace_sealed(
        &self,
        name: &'static str,
        plain: Zeroizing<Vec<u8>>,
    ) -> Result<(), StoreError> {
        self.inner.journal.seal(name, plain).await
    }

    /// Reads the whole journal and the leaf file anew, up to the last acknowledged record.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; changed bytes are a finding, not an error.
    pub async fn verify(&self) -> Result<StoreVerified, StoreError> {
        self.blocking(|inner| {
            // The leaf file is measured first: what it gains meanwhile is no surplus.
            let mut comparison = Comparison::new(inner.disk.another())?;
            let until = inner.journal.shared.head();
            let journal = records::verify(&inner.disk, &inner.keyring, until, &mut |_| {})?;
            for leaf in &journal.leaves {
                comparison.leaf(*leaf)?;
            }
            let (leaves, _) = comparison.finish();
            Ok(StoreVerified { journal, leaves })
        })
        .await
    }

    /// Makes index and leaf file durable; they are behind the journal otherwise, which costs nothing
    /// but time at the next start.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Full`].
    pub async fn rest(&self) -> Result<(), StoreError> {
        self.inner.journal.rest().await
    }

    /// Figures for `status` and `doctor`.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        self.blocking(|inner| {
            let mut journal_bytes = 0;
            for name in inner.disk.list("journal/")? {
                journal_bytes += inner.disk.len(&name)?.unwrap_or(0);
            }
            let space = inner.disk.space()?;
            Ok(Stats {
                journal_bytes,
                position: inner.journal.shared.head().position,
                syncs: inner.journal.shared.syncs.load(Ordering::Relaxed),
                free_bytes: space.free_bytes,
                reserve_bytes: space.reserve_bytes,
                aside: inner.disk.list("aside/")?.len() as u64,
            })
        })
        .await
    }

    /// Finishes every commit that waits, makes index and leaves durable, and takes no more writes.
    ///
    /// The directory is free for others when the last clone is dropped.
    ///
    /// # Errors
    /// [`StoreError::Failed`] where index or leaves could not be made durable; the journal is.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.inner.journal.stop().await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || read(&inner)).await;
        done.unwrap_or(Err(StoreError::Failed))
    }
}

impl Inner {
    /// A disk that failed under a document fails the journal too: nothing is acknowledged after it.
    fn noting(&self, written: Result<(), StoreError>) -> Result<(), StoreError> {
        if written == Err(StoreError::Failed) {
            self.journal.shared.failed.store(true, Ordering::Release);
        }
        written
    }
}

/// Puts the rows of records that the index has not seen into it.
struct Fill<'a> {
    index: &'a Index,
    rows: RowsOf,
    applied: u64,
    waiting: Vec<Row>,
    outcome: Result<(), StoreError>,
}

impl<'a> Fill<'a> {
    fn new(index: &'a Index, rows: RowsOf, applied: u64) -> Self {
        Self {
            index,
            rows,
            applied,
            waiting: Vec::new(),
            outcome: Ok(()),
        }
    }

    fn record(&mut self, record: &Record) {
        if record.position <= self.applied || self.outcome.is_err() {
            return;
        }
        self.waiting.extend((self.rows)(record));
        if self.waiting.len() >= FILL_ROWS {
            // The mark stays: these rows are put in place once more if the start is cut short.
            self.outcome = self.index.apply(std::mem::take(&mut self.waiting), None);
        }
    }

    /// With a good journal the index has then reached its head; otherwise it claims nothing more.
    fn finish(self, head: Head, good: bool) -> Result<(), StoreError> {
        self.outcome?;
        if head.position <= self.applied {
            return Ok(());
        }
        self.index.apply(self.waiting, good.then_some(head))
    }
}

fn fill_memory(log: &Log<DirDisk>, rows: RowsOf, genesis: Head) -> Result<Index, StoreError> {
    let index = watch::in_memory(&log.keys().rows(), genesis)?;
    let mut fill = Fill::new(&index, rows, 0);
    log.verify(&mut |record| fill.record(record))?;
    fill.finish(log.head(), true)?;
    Ok(index)
}
