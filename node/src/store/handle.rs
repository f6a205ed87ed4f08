//! An open store, as the rest of the daemon holds it.

use std::{
    fs::{self, DirBuilder},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
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
    types::{FileId, Timestamp},
};
use zeroize::Zeroizing;

use super::{
    DirDisk, IndexState, Leaves, OpenError, RowsOf, dir, files,
    fill::{self, Fill},
    journal::{JournalHandle, system_rng},
    key::demand_rights,
    leaves::Comparison,
    lock::Lock,
    stats::Stats,
    watch::{self, Index, SILENCE_MAX},
};

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

/// An open store; clones share it.
#[derive(Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) journal: JournalHandle,
    pub(super) keyring: Keyring,
    pub(super) held: files::Held,
    parts: files::Parts,
    pub(super) disk: DirDisk,
    index: Arc<Index>,
    /// After everything that touches the directory.
    _lock: Arc<Lock>,
}

impl Store {
    /// The folder with the sealed document files, in the directory of a node.
    pub const DOCUMENTS: &str = files::FOLDER;

    /// Makes a directory that only its owner may enter, or narrows an empty one to that.
    ///
    /// # Errors
    /// [`OpenError::Permissions`] where a directory with something in it is open to others; what the
    /// system says.
    pub fn prepare(folder: &Path) -> Result<(), OpenError> {
        DirBuilder::new()
            .mode(DIRECTORY_RIGHTS)
            .recursive(true)
            .create(folder)?;
        if fs::read_dir(folder)?.next().is_none() {
            fs::set_permissions(folder, fs::Permissions::from_mode(DIRECTORY_RIGHTS))?;
        }
        demand_rights(&fs::metadata(folder)?, DIRECTORY_RIGHTS)
    }

    /// Makes a store in a directory, after [`Self::prepare`].
    ///
    /// # Errors
    /// [`OpenError::AlreadyInitialised`], [`OpenError::Permissions`], [`OpenError::Locked`], or what
    /// system and disk say.
    pub fn create(folder: &Path, kek: &SecretKey, store_id: [u8; 16]) -> Result<(), OpenError> {
        Self::prepare(folder)?;
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
        // The log's own, which learns the keys of patients that come later.
        let keyring = log.keys();
        let filled = fill.finish(opened.head, opened.problem.is_none());
        let (index, state) = match filled {
            Ok(()) => (index, state),
            Err(_) => (fill::in_memory(&log, rows, genesis)?, IndexState::InMemory),
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
        let held = files::Held::added_up(&disk)?;
        let parts = files::Parts::listed(&disk)?;
        let store = Self {
            inner: Arc::new(Inner {
                journal,
                keyring,
                held,
                parts,
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

    /// Says who is told of every commit, in journal order, before it is acknowledged. Once only.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] where somebody is told already.
    pub fn follow(
        &self,
        follower: impl Fn(&Recorded) + Send + Sync + 'static,
    ) -> Result<(), StoreError> {
        let shared = &self.inner.journal.shared;
        shared
            .follower
            .set(Box::new(follower))
            .map_err(|_| StoreError::ReadOnly)
    }

    /// See [`chartmesh_core::ports::Journal::commit`]. The records bear the given time, or that of the
    /// last record before them where it is later.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Failed`], [`StoreError::TooLarge`], [`StoreError::Key`],
    /// [`StoreError::ReadOnly`].
    pub async fn commit_at(&self, at: Timestamp, batch: Batch) -> Result<Recorded, StoreError> {
        self.inner.journal.commit(at, batch).await
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

    /// See [`chartmesh_core::ports::Records::record_bytes`].
    ///
    /// # Errors
    /// [`StoreError::Integrity`], [`StoreError::Missing`], [`StoreError::Failed`].
    pub async fn record_bytes(&self, place: Place) -> Result<Bytes, StoreError> {
        self.blocking(move |inner| records::read_record_bytes(&inner.disk, place))
            .await
    }

    /// See [`chartmesh_core::ports::Records::append_file`].
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Failed`].
    pub async fn append_file(&self, file: FileId, bytes: Bytes) -> Result<(), StoreError> {
        self.blocking(move |inner| {
            inner.noting(files::append(&inner.disk, &inner.held, file, &bytes))
        })
        .await
    }

    /// See [`chartmesh_core::ports::Records::sync_file`].
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Failed`].
    pub async fn sync_file(&self, file: FileId) -> Result<(), StoreError> {
        self.blocking(move |inner| inner.noting(files::sync(&inner.disk, file)))
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
        if let Some(bytes) = files::read_at_hand(&self.inner.disk, file, offset, len) {
            return Ok(bytes);
        }
        self.blocking(move |inner| files::read(&inner.disk, file, offset, len))
            .await
    }

    /// See [`chartmesh_core::ports::Records::remove_file`].
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn remove_file(&self, file: FileId) -> Result<(), StoreError> {
        self.blocking(move |inner| files::remove(&inner.disk, &inner.held, file))
            .await
    }

    /// See [`chartmesh_core::ports::Records::append_part`].
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Failed`].
    pub async fn append_part(&self, part: [u8; 32], bytes: Bytes) -> Result<(), StoreError> {
        self.blocking(move |inner| files::append_part(&inner.disk, &inner.parts, part, &bytes))
            .await
    }

    /// See [`chartmesh_core::ports::Records::part_len`].
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn part_len(&self, part: [u8; 32]) -> Result<Option<u64>, StoreError> {
        if !self.inner.parts.has(part) {
            return Ok(None);
        }
        self.blocking(move |inner| files::part_len(&inner.disk, part))
            .await
    }

    /// See [`chartmesh_core::ports::Records::read_part`].
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Failed`].
    pub async fn read_part(
        &self,
        part: [u8; 32],
        offset: u64,
        len: usize,
    ) -> Result<Bytes, StoreError> {
        self.blocking(move |inner| files::read_part(&inner.disk, part, offset, len))
            .await
    }

    /// See [`chartmesh_core::ports::Records::remove_part`].
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn remove_part(&self, part: [u8; 32]) -> Result<(), StoreError> {
        if !self.inner.parts.has(part) {
            return Ok(());
        }
        self.blocking(move |inner| files::remove_part(&inner.disk, &inner.parts, part))
            .await
    }

    /// The last record on the disk.
    pub fn head(&self) -> Head {
        self.inner.journal.shared.head()
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
                indexed: inner.index.applied().position,
                is_index_broken: inner.index.is_broken(),
                position: inner.journal.shared.head().position,
                syncs: inner.journal.shared.syncs.load(Ordering::Relaxed),
                waiting: inner.journal.waiting(),
                files_bytes: inner.held.bytes(),
                free_bytes: space.free_bytes,
                reserve_bytes: space.reserve_bytes,
                aside: inner.disk.list("aside/")?.len() as u64,
            })
        })
        .await
    }

    /// Finishes every commit that waits, makes index and leaves durable, and takes no more writes.
    ///
    /// The directory is free for others when the last clone is dropped. Without this call the thread
    /// does the same on its own a moment after that.
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use chartmesh_core::{
        records::{Scope, Tail},
        types::PatientId,
    };
    use data_encoding::HEXLOWER;

    use super::*;

    impl Store {
        async fn commit(&self, batch: Batch) -> Result<Recorded, StoreError> {
            self.commit_at(Timestamp(1), batch).await
        }
    }

    const FILE: &str = "journal/00000000000000000001";

    #[tokio::test]
    async fn what_was_committed_is_there_after_a_stop_and_a_start() {
        let node = Node::new();
        let (store, opened) = node.open().unwrap();
        assert_eq!(opened.index, IndexState::Made);
        store.commit(batch(&["one", "two"])).await.unwrap();
        let recorded = store.commit(batch(&["three"])).await.unwrap();
        assert_eq!(recorded.records()[0].position, 3);
        store.close().await.unwrap();
        let refused = store.commit(batch(&["four"])).await;
        assert_eq!(refused.err(), Some(StoreError::ReadOnly));
        drop(store);

        let mut replayed = Vec::new();
        let (store, opened) = node
            .open_with(rows_of, &mut |record| replayed.push(record))
            .unwrap();

        assert_eq!(opened.index, IndexState::Kept);
        assert_eq!((opened.problem(), opened.journal.tail), (None, Tail::Clean));
        assert_eq!(replayed.len(), 3);
        assert_eq!(values(&store).await, ["one", "two", "three"]);
        let places = vec![replayed[2].place, replayed[0].place];
        let records = store.records(places).await.unwrap();
        assert_eq!(records[0].body.as_deref(), Some(&b"three"[..]));
        assert_eq!(records[1].body.as_deref(), Some(&b"one"[..]));
        assert_eq!(store.stats().await.unwrap().position, 3);
    }

    #[tokio::test]
    async fn commits_that_wait_together_share_syncs() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();

        let commits = (0..64).map(|_| store.commit(batch(&["body"])));
        let recorded = futures::future::try_join_all(commits).await.unwrap();

        let positions: std::collections::BTreeSet<_> = recorded
            .iter()
            .map(|recorded| recorded.records()[0].position)
            .collect();
        assert_eq!(positions.len(), 64);
        assert!(store.stats().await.unwrap().syncs < 64);
    }

    #[tokio::test]
    async fn every_commit_is_told_in_journal_order_before_it_is_acknowledged() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let follower = Arc::clone(&told);
        let follow = move |recorded: &Recorded| {
            let positions = recorded.records().iter().map(|record| record.position);
            follower.lock().unwrap().extend(positions);
        };
        store.follow(follow.clone()).unwrap();
        assert_eq!(store.follow(follow), Err(StoreError::ReadOnly));

        let commits = (0..64).map(|_| async {
            let recorded = store.commit(batch(&["one", "two"])).await.unwrap();
            let last = recorded.records()[1].position;
            assert!(told.lock().unwrap().contains(&last), "record {last}");
        });
        futures::future::join_all(commits).await;

        let told = told.lock().unwrap().clone();
        assert_eq!(told, (1..=128).collect::<Vec<u64>>());
        assert!(store.stats().await.unwrap().syncs < 64);
    }

    #[tokio::test]
    async fn a_follower_that_panics_ends_the_writing_and_takes_no_record_back() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        let panics = |_: &Recorded| std::panic::resume_unwind(Box::new("a defect"));
        store.follow(panics).unwrap();

        let recorded = store.commit(batch(&["one"])).await;
        let refused = store.commit(batch(&["two"])).await;

        assert!(recorded.is_ok());
        assert_eq!(refused.err(), Some(StoreError::ReadOnly));
    }

    /// The readers once had a keyring of their own, as it was at the start.
    #[tokio::test]
    async fn a_record_of_a_patient_that_came_after_the_start_is_read_by_its_place() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        let patient = PatientId([7; 16]);
        let mut batch = Batch::default();
        batch.keys.push((patient.into(), SecretKey::new([8; 32])));
        batch.push(RecordKind::Patient, Scope::Patient(patient), "a name");

        let recorded = store.commit(batch).await.unwrap();
        let place = recorded.records()[0].place;
        let read = store.records(vec![place]).await.unwrap();

        assert_eq!(read[0].body.as_deref(), Some(&b"a name"[..]));
        assert!(store.keyring().key(patient.into()).is_some());
    }

    /// The store of the vectors: what another program wrote by the book is this program's store.
    #[tokio::test]
    async fn a_store_of_the_vectors_is_opened_and_its_leaf_file_is_that_of_the_vectors() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/vectors/store-leaves.json")).unwrap();
        let bytes = |name: &str| {
            let text = golden[name].as_str().unwrap().as_bytes();
            HEXLOWER.decode(text).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        Store::prepare(folder.path()).unwrap();
        let mut disk = DirDisk::new(folder.path());
        disk.replace(FILE, &bytes("journal")).unwrap();
        disk.replace("keyring", &bytes("keyring")).unwrap();
        let kek = SecretKey::new(bytes("key_encryption_key").try_into().unwrap());

        let mut bodies = Vec::new();
        let (store, opened) = Store::open(folder.path(), &kek, rows_of, &mut |record| {
            bodies.push(record.body.unwrap());
        })
        .unwrap();
        store.rest().await.unwrap();

        assert_eq!((opened.problem(), opened.leaves), (None, Leaves::Agree));
        assert_eq!(bodies.len(), 5);
        let leaves = disk.read("audit/leaves", 0, 1_000).unwrap();
        assert!(leaves == bytes("bytes"));
    }

    #[tokio::test]
    async fn a_lost_or_damaged_index_is_made_anew_and_nothing_is_deleted() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        store.commit(batch(&["one", "two"])).await.unwrap();
        node.stop(store).await;

        fs::rename(node.path("index"), node.path("elsewhere")).unwrap();
        let (store, opened) = node.open().unwrap();
        assert_eq!(opened.index, IndexState::Made);
        assert_eq!(values(&store).await, ["one", "two"]);
        node.stop(store).await;

        fs::write(node.path("index/conf"), b"no configuration of sled").unwrap();
        let (store, opened) = node.open().unwrap();
        assert_eq!(opened.index, IndexState::Replaced { aside: 1 });
        assert_eq!(opened.problem(), None);
        assert_eq!(values(&store).await, ["one", "two"]);
        assert!(node.path("index.bad-1/db").exists());
    }

    /// sled meets damage with a panic, an endless loop, an error, or silent forgetting.
    #[tokio::test]
    async fn a_damaged_index_is_read_rightly_or_made_anew() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        for _ in 0..5 {
            store.commit(batch(&["body"; 100])).await.unwrap();
        }
        let rows = all_rows(&store).await;
        node.stop(store).await;
        let good = fs::read(node.path("index/db")).unwrap();
        let used = good.iter().rposition(|byte| *byte != 0).unwrap();

        for round in 0..12 {
            let at = used * (2 * round + 1) / 24;
            let mut bytes = good.clone();
            match round % 3 {
                0 => bytes[at] ^= 1,
                1 => bytes[at..(at + 4_096).min(used)].fill(0),
                _ => bytes.truncate(at),
            }
            // The folder as it was at the clean stop, but for the damage.
            if node.path("index").exists() {
                fs::rename(node.path("index"), node.path(&format!("before-{round}"))).unwrap();
            }
            fs::create_dir(node.path("index")).unwrap();
            let conf = node.path("before-0/conf");
            fs::copy(conf, node.path("index/conf")).unwrap();
            fs::write(node.path("index/db"), bytes).unwrap();

            let (store, opened) = node.open().unwrap();

            assert_eq!(opened.problem(), None, "round {round}");
            assert!(all_rows(&store).await == rows, "round {round}");
            node.stop(store).await;
        }
    }

    #[tokio::test]
    async fn an_index_that_is_behind_is_brought_up() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        store.commit(batch(&["one"])).await.unwrap();
        node.stop(store).await;
        copy_folder(&node.path("index"), &node.path("older"));
        let (store, _) = node.open().unwrap();
        store.commit(batch(&["two", "three"])).await.unwrap();
        node.stop(store).await;
        fs::rename(node.path("index"), node.path("newer")).unwrap();
        fs::rename(node.path("older"), node.path("index")).unwrap();

        let (store, opened) = node.open().unwrap();

        assert_eq!(opened.index, IndexState::Kept);
        assert_eq!(values(&store).await, ["one", "two", "three"]);
    }

    /// Rows wait in memory for a moment of rest; this one never comes.
    #[tokio::test]
    async fn rows_that_waited_when_the_process_was_killed_come_from_the_journal() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        store.commit(batch(&["one"])).await.unwrap();
        store.rest().await.unwrap();
        store.commit(batch(&["two", "three"])).await.unwrap();
        assert_eq!(values(&store).await, ["one", "two", "three"]);
        let killed = Node::new();
        fs::remove_dir_all(killed.path("journal")).unwrap();
        for name in ["journal", "index"] {
            copy_folder(&node.path(name), &killed.path(name));
        }
        fs::copy(node.path("keyring"), killed.path("keyring")).unwrap();

        let (store, opened) = killed.open().unwrap();

        assert_eq!((opened.index, opened.problem()), (IndexState::Kept, None));
        assert_eq!(values(&store).await, ["one", "two", "three"]);
        assert_eq!(store.stats().await.unwrap().indexed, 3);
    }

    #[tokio::test]
    async fn a_journal_shorter_than_its_index_is_read_only() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        store.commit(batch(&["one"])).await.unwrap();
        let end = fs::metadata(node.path(FILE)).unwrap().len();
        store.commit(batch(&["two"])).await.unwrap();
        node.stop(store).await;
        let (store, opened) = node.open().unwrap();
        assert_eq!(opened.problem(), None);
        node.stop(store).await;

        let file = fs::OpenOptions::new()
            .write(true)
            .open(node.path(FILE))
            .unwrap();
        file.set_len(end).unwrap();
        let (store, opened) = node.open().unwrap();

        let flaw = StoreError::Integrity { position: 2 };
        assert_eq!(opened.problem(), Some(flaw));
        let refused = store.commit(batch(&["three"])).await;
        assert_eq!(refused.err(), Some(StoreError::ReadOnly));
        assert!(store.rows(Table::Resource, Vec::new()).await.is_ok());
    }

    #[tokio::test]
    async fn a_changed_byte_is_found_by_verification_while_the_node_runs() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        store.commit(batch(&["one"])).await.unwrap();
        store.commit(audit()).await.unwrap();
        store.rest().await.unwrap();
        let good = store.verify().await.unwrap();
        assert_eq!((good.journal.first_bad, good.leaves), (None, Leaves::Agree));
        assert_eq!(good.journal.leaves.len(), 1);

        flip(&node.path("audit/leaves"), 3);
        let leaf = store.verify().await.unwrap();
        flip(&node.path(FILE), 100);
        let journal = store.verify().await.unwrap();

        assert_eq!(leaf.leaves, Leaves::Differ { index: 0 });
        assert_eq!(journal.journal.first_bad, Some(1));
    }

    #[tokio::test]
    async fn the_leaf_file_may_be_behind_but_neither_differ_nor_be_ahead() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        for _ in 0..3 {
            store.commit(audit()).await.unwrap();
        }
        node.stop(store).await;
        let leaves = node.path("audit/leaves");
        let whole = fs::read(&leaves).unwrap();
        assert_eq!(whole.len(), 96);

        for short in [0, 31, 64, 70] {
            fs::write(&leaves, &whole[..short]).unwrap();
            let (store, opened) = node.open().unwrap();
            assert_eq!(opened.leaves, Leaves::Agree);
            store.rest().await.unwrap();
            node.stop(store).await;
            assert!(fs::read(&leaves).unwrap() == whole, "{short} bytes");
        }

        flip(&leaves, 40);
        let (store, opened) = node.open().unwrap();
        assert_eq!(opened.leaves, Leaves::Differ { index: 1 });
        assert!(opened.problem().is_some());
        node.stop(store).await;

        fs::write(&leaves, [&whole[..], &[0; 32]].concat()).unwrap();
        let (store, opened) = node.open().unwrap();
        assert_eq!(opened.leaves, Leaves::Beyond { records: 3 });
        let refused = store.commit(audit()).await;
        assert_eq!(refused.err(), Some(StoreError::ReadOnly));
    }

    #[tokio::test]
    async fn a_directory_has_one_owner_and_is_free_after_it() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();

        assert_eq!(node.open().err(), Some(OpenError::Locked));

        node.stop(store).await;
        assert!(node.open().is_ok());
    }

    #[tokio::test]
    async fn a_full_disk_is_read_and_not_written() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        store.commit(batch(&["one"])).await.unwrap();
        store
            .append_file(FileId([1; 16]), Bytes::from_static(b"sealed"))
            .await
            .unwrap();
        node.stop(store).await;

        let disk = DirDisk::new(node.folder.path()).with_reserve_bytes(u64::MAX);
        let (store, _) = Store::open_on(disk, &node.kek, rows_of, &mut |_| {}).unwrap();

        let refused = store.commit(batch(&["two"])).await;
        assert_eq!(refused.err(), Some(StoreError::Full));
        let refused = store.append_file(FileId([2; 16]), Bytes::new()).await;
        assert_eq!(refused, Err(StoreError::Full));
        assert_eq!(values(&store).await, ["one"]);
        assert!(store.read_file(FileId([1; 16]), 0, 9).await.is_ok());
    }

    #[tokio::test]
    async fn an_index_that_cannot_follow_serves_nobody_and_the_record_stays() {
        let node = Node::new();
        let panics = |_: &Record| -> Vec<Row> { std::panic::resume_unwind(Box::new("a defect")) };
        let (store, _) = node.open_with(panics, &mut |_| {}).unwrap();

        let recorded = store.commit(batch(&["one"])).await;
        let refused = store.commit(batch(&["two"])).await;

        assert!(recorded.is_ok());
        assert_eq!(refused.err(), Some(StoreError::ReadOnly));
        let rows = store.rows(Table::Resource, Vec::new()).await;
        assert_eq!(rows.err(), Some(StoreError::Failed));
        node.stop(store).await;
        let (store, _) = node.open().unwrap();
        assert_eq!(values(&store).await, ["one"]);
    }

    #[tokio::test]
    async fn files_and_parts_are_kept_under_their_names() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        let (file, part) = (FileId([0xab; 16]), [0xcd; 32]);

        store
            .append_file(file, Bytes::from_static(b"sea"))
            .await
            .unwrap();
        store
            .append_file(file, Bytes::from_static(b"led"))
            .await
            .unwrap();
        store.sync_file(file).await.unwrap();
        store
            .append_part(part, Bytes::from_static(b"one"))
            .await
            .unwrap();
        store
            .append_part(part, Bytes::from_static(b"two"))
            .await
            .unwrap();

        assert!(node.path(&format!("files/ab/{}", "ab".repeat(16))).exists());
        assert_eq!(store.read_file(file, 2, 3).await.unwrap(), "ale");
        assert_eq!(store.read_part(part, 2, 9).await.unwrap(), "etwo");
        assert_eq!(store.part_len(part).await, Ok(Some(6)));
        store.remove_file(file).await.unwrap();
        store.remove_part(part).await.unwrap();
        assert_eq!(
            store.read_file(file, 0, 1).await.err(),
            Some(StoreError::Missing)
        );
        assert_eq!(store.part_len(part).await, Ok(None));
        assert_eq!(store.remove_part(part).await, Ok(()));
    }

    #[tokio::test]
    async fn a_part_of_an_earlier_run_is_known_and_can_be_removed() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        let (part, other) = ([0xcd; 32], [0xef; 32]);
        let bytes = || Bytes::from_static(b"one");
        store.append_part(part, bytes()).await.unwrap();
        node.stop(store).await;

        let (store, _) = node.open().unwrap();

        assert_eq!(store.part_len(part).await, Ok(Some(3)));
        assert_eq!(store.part_len(other).await, Ok(None));
        store.remove_part(part).await.unwrap();
        assert_eq!(store.part_len(part).await, Ok(None));
        let names = DirDisk::new(node.folder.path()).list("parts/").unwrap();
        assert!(names.is_empty());
        store.append_part(part, bytes()).await.unwrap();
        assert_eq!(store.part_len(part).await, Ok(Some(3)));
    }

    #[tokio::test]
    async fn the_identity_is_sealed() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        let secret = Zeroizing::new(b"a signing key".to_vec());

        store
            .replace_sealed("identity", secret.clone())
            .await
            .unwrap();

        assert!(store.read_sealed("identity").await.unwrap() == secret);
        let bytes = fs::read(node.path("identity")).unwrap();
        assert!(
            !bytes
                .windows(secret.len())
                .any(|window| window == &**secret)
        );
    }

    #[tokio::test]
    async fn a_directory_is_refused_for_each_of_its_flaws() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        node.stop(store).await;

        let again = Store::create(node.folder.path(), &node.kek, [1; 16]);
        assert_eq!(again.err(), Some(OpenError::AlreadyInitialised));
        let other = SecretKey::new([9; 32]);
        let refused = Store::open(node.folder.path(), &other, rows_of, &mut |_| {});
        assert_eq!(refused.err(), Some(OpenError::Store(StoreError::Key)));
        let empty = Store::open(&node.path("none"), &node.kek, rows_of, &mut |_| {});
        assert_eq!(empty.err(), Some(OpenError::NotInitialised));
        let wide = fs::Permissions::from_mode(0o750);
        fs::set_permissions(node.folder.path(), wide).unwrap();
        let refused = node.open().err();
        let (mode, allowed) = (0o750, 0o700);
        assert_eq!(refused, Some(OpenError::Permissions { mode, allowed }));
    }

    #[tokio::test]
    async fn no_body_is_readable_in_any_file() {
        let node = Node::new();
        let (store, _) = node.open().unwrap();
        let canary = "canary-7f3a".repeat(20);
        store.commit(batch(&[&canary])).await.unwrap();
        node.stop(store).await;

        for name in DirDisk::new(node.folder.path()).list("").unwrap() {
            let bytes = fs::read(node.path(&name)).unwrap();
            assert!(
                !bytes.windows(11).any(|window| window == b"canary-7f3a"),
                "{name}"
            );
        }
    }

    struct Node {
        folder: tempfile::TempDir,
        kek: SecretKey,
    }

    impl Node {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let kek = SecretKey::new([3; 32]);
            Store::create(folder.path(), &kek, [4; 16]).unwrap();
            Self { folder, kek }
        }

        fn open(&self) -> Result<(Store, StoreOpened), OpenError> {
            self.open_with(rows_of, &mut |_| {})
        }

        fn open_with(
            &self,
            rows: RowsOf,
            on_record: &mut dyn FnMut(Record),
        ) -> Result<(Store, StoreOpened), OpenError> {
            Store::open(self.folder.path(), &self.kek, rows, on_record)
        }

        async fn stop(&self, store: Store) {
            // What became of the index is for the next start to say.
            let _closed = store.close().await;
            drop(store);
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.folder.path().join(name)
        }
    }

    /// A row for each resource, keyed by its position.
    fn rows_of(record: &Record) -> Vec<Row> {
        if record.kind != RecordKind::Resource {
            return Vec::new();
        }
        vec![Row {
            table: Table::Resource,
            key: record.position.to_be_bytes().to_vec(),
            value: record.body.clone().unwrap_or_default().to_vec(),
            revision: record.position,
        }]
    }

    async fn all_rows(store: &Store) -> Vec<Row> {
        store.rows(Table::Resource, Vec::new()).await.unwrap()
    }

    async fn values(store: &Store) -> Vec<String> {
        all_rows(store)
            .await
            .into_iter()
            .map(|row| String::from_utf8(row.value).unwrap())
            .collect()
    }

    fn batch(bodies: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for body in bodies {
            batch.push(RecordKind::Resource, Scope::Store, body.as_bytes().to_vec());
        }
        batch
    }

    fn audit() -> Batch {
        let mut batch = Batch::default();
        batch.push(RecordKind::Audit, Scope::Store, "entry");
        batch
    }

    fn flip(path: &Path, at: usize) {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    fn copy_folder(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                copy_folder(&entry.path(), &to.join(entry.file_name()));
            } else {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }
}
