//! The journal's thread: takes every batch that waits, writes once, syncs once, answers all.
//!
//! The index follows each commit in memory; it and the leaf file are written and made durable at leisure,
//! for both can be had from the journal again.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use chartmesh_core::{
    crypto::SecretKey,
    records::{Batch, Disk, Head, KeyId, Log, Record, RecordKind, Recorded, StoreError},
    types::{
        Timestamp,
        limits::{COMMIT_MAX_RECORDS, JOURNAL_QUEUE_MAX},
    },
};
use rand::rngs::SysRng;
use rand_core::{CryptoRng, UnwrapErr};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{index::RowsOf, leaves::LeafFile, lock::Lock, watch::Index};

/// Bytes of batches that share one sync; a larger batch goes alone.
const GROUP_MAX_BYTES: usize = 16 << 20;
/// Records after which index and leaves are made durable, even without a pause.
const REST_RECORDS: u64 = 4_096;
/// The pause after which they are.
const REST_AFTER: Duration = Duration::from_secs(1);

/// The operating system's generator: no state of this process to repeat after a fork or a restored
/// snapshot.
pub(super) fn system_rng() -> impl CryptoRng {
    // Without randomness nothing may be sealed, and Linux has it from the start of the machine.
    UnwrapErr(SysRng)
}

/// What takes a commit that is on the disk into the state of the node.
pub(super) type Follower = Box<dyn Fn(&Recorded) + Send + Sync>;

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

enum Command {
    Commit {
        at: Timestamp,
        batch: Batch,
        answer: Answer<Recorded>,
        _permit: OwnedSemaphorePermit,
    },
    Seal {
        name: &'static str,
        plain: zeroize::Zeroizing<Vec<u8>>,
        answer: Answer<()>,
    },
    Rest {
        answer: Answer<()>,
    },
    Stop {
        answer: Answer<()>,
    },
}

/// What the thread tells without being asked.
pub(super) struct Shared {
    head: Mutex<Head>,
    /// Set by whoever sees the disk fail; the thread then refuses all writes.
    pub(super) failed: AtomicBool,
    /// How many times the journal was synced.
    pub(super) syncs: AtomicU64,
    /// Who is told of every commit, in journal order, before it is acknowledged.
    pub(super) follower: OnceLock<Follower>,
}

impl Shared {
    /// The last record on the disk.
    pub(super) fn head(&self) -> Head {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends to the journal's thread.
pub(super) struct JournalHandle {
    sender: Sender<Command>,
    places: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
    pub(super) shared: Arc<Shared>,
}

impl JournalHandle {
    /// Starts the thread.
    pub(super) fn start<D: Disk + Send + 'static>(
        log: Log<D>,
        index: Arc<Index>,
        leaves: LeafFile,
        rows: RowsOf,
        lock: Arc<Lock>,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let shared = Arc::new(Shared {
            head: Mutex::new(log.head()),
            failed: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            follower: OnceLock::new(),
        });
        let writer = Writer {
            log,
            index,
            leaves,
            rows,
            shared: Arc::clone(&shared),
            unrested: 0,
            _lock: lock,
        };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(Self {
            sender,
            places: Arc::new(Semaphore::new(JOURNAL_QUEUE_MAX)),
            thread: Mutex::new(Some(thread)),
            shared,
        })
    }

    /// Batches that wait or are being written.
    pub(super) fn waiting(&self) -> u64 {
        JOURNAL_QUEUE_MAX.saturating_sub(self.places.available_permits()) as u64
    }

    /// Commits a batch of a given time.
    pub(super) async fn commit(&self, at: Timestamp, batch: Batch) -> Result<Recorded, StoreError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let permit = place.map_err(|_| StoreError::ReadOnly)?;
        self.ask(|answer| Command::Commit {
            at,
            batch,
            answer,
            _permit: permit,
        })
        .await
    }

    /// Seals a small file and puts it in place.
    pub(super) async fn seal(
        &self,
        name: &'static str,
        plain: zeroize::Zeroizing<Vec<u8>>,
    ) -> Result<(), StoreError> {
        self.ask(|answer| Command::Seal {
            name,
            plain,
            answer,
        })
        .await
    }

    /// Makes index and leaves durable.
    pub(super) async fn rest(&self) -> Result<(), StoreError> {
        self.ask(|answer| Command::Rest { answer }).await
    }

    /// Finishes what waits, makes everything durable, and ends the thread.
    pub(super) async fn stop(&self) -> Result<(), StoreError> {
        self.places.close();
        let stopped = self.ask(|answer| Command::Stop { answer }).await;
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                return Err(StoreError::Failed);
            }
        }
        stopped
    }

    /// A thread that is gone takes nothing; one that goes meanwhile leaves the outcome unknown.
    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.sender
            .send(command(answer))
            .map_err(|_| StoreError::ReadOnly)?;
        answered.await.unwrap_or(Err(StoreError::Failed))
    }
}

struct Writer<D> {
    log: Log<D>,
    index: Arc<Index>,
    leaves: LeafFile,
    rows: RowsOf,
    shared: Arc<Shared>,
    /// Records since index and leaves were last made durable.
    unrested: u64,
    /// The directory is this process's until its last write is done.
    _lock: Arc<Lock>,
}

/// Batches that share a sync, and who waits for each.
#[derive(Default)]
struct Group {
    /// The latest time of a batch.
    at: Timestamp,
    batches: Vec<Batch>,
    answers: Vec<Answer<Recorded>>,
    keys: BTreeSet<KeyId>,
    len_bytes: usize,
    records: usize,
}

impl Group {
    fn has_room(&self, batch: &Batch, len_bytes: usize) -> bool {
        self.batches.is_empty()
            || (self.len_bytes + len_bytes <= GROUP_MAX_BYTES
                && self.records + batch.drafts.len() <= COMMIT_MAX_RECORDS
                && !batch.keys.iter().any(|(id, _)| self.keys.contains(id)))
    }

    fn add(&mut self, at: Timestamp, batch: Batch, answer: Answer<Recorded>, len_bytes: usize) {
        self.at = self.at.max(at);
        self.len_bytes += len_bytes;
        self.records += batch.drafts.len();
        self.keys
            .extend(batch.keys.iter().map(|(id, _): &(KeyId, SecretKey)| *id));
        self.batches.push(batch);
        self.answers.push(answer);
    }
}

impl<D: Disk> Writer<D> {
    fn run(mut self, receiver: &Receiver<Command>) {
        let mut carried = None;
        loop {
            let command = match carried.take() {
                Some(command) => command,
                None => match self.wait(receiver) {
                    Some(command) => command,
                    None => break,
                },
            };
            if self.shared.failed.load(Ordering::Acquire) {
                self.log.refuse_writes();
            }
            match command {
                Command::Commit { .. } => carried = self.gather(command, receiver),
                Command::Seal {
                    name,
                    plain,
                    answer,
                } => {
                    let sealed = self.log.replace_sealed(name, &plain, &mut system_rng());
                    told(answer, sealed);
                }
                Command::Rest { answer } => {
                    let rested = self.rest();
                    told(answer, rested);
                }
                Command::Stop { answer } => {
                    let rested = self.rest();
                    told(answer, rested);
                    return;
                }
            }
        }
        self.rest_and_report();
    }

    /// The next command; none when nobody can send one any more.
    fn wait(&mut self, receiver: &Receiver<Command>) -> Option<Command> {
        if self.unrested >= REST_RECORDS {
            self.rest_and_report();
        }
        if self.unrested == 0 {
            return receiver.recv().ok();
        }
        match receiver.recv_timeout(REST_AFTER) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                self.rest_and_report();
                receiver.recv().ok()
            }
        }
    }

    /// Commits a batch and all that wait behind it; returns the command that did not fit.
    fn gather(&mut self, first: Command, receiver: &Receiver<Command>) -> Option<Command> {
        let mut group = Group::default();
        let mut permits = Vec::new();
        let mut next = Some(first);
        let left = loop {
            let command = match next.take() {
                Some(command) => command,
                None => match receiver.try_recv() {
                    Ok(command) => command,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break None,
                },
            };
            let Command::Commit {
                at,
                batch,
                answer,
                _permit: permit,
            } = command
            else {
                break Some(command);
            };
            match self.log.check(&batch) {
                Err(error) => told(answer, Err(error)),
                Ok(len_bytes) if group.has_room(&batch, len_bytes) => {
                    group.add(at, batch, answer, len_bytes);
                    permits.push(permit);
                }
                Ok(_) => {
                    break Some(Command::Commit {
                        at,
                        batch,
                        answer,
                        _permit: permit,
                    });
                }
            }
        };
        if !group.batches.is_empty() {
            self.commit(group);
        }
        left
    }

    fn commit(&mut self, group: Group) {
        let written = self
            .log
            .append(group.at, group.batches, &mut system_rng())
            .and_then(|pending| self.log.sync(pending));
        let recorded = match written {
            Ok(recorded) => recorded,
            Err(error) => {
                tracing::error!(%error, "a commit failed");
                for answer in group.answers {
                    told(answer, Err(error));
                }
                return;
            }
        };
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        *self
            .shared
            .head
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = self.log.head();
        self.follow(&recorded);
        for (answer, recorded) in group.answers.into_iter().zip(recorded) {
            told(answer, Ok(recorded));
        }
    }

    /// Brings index and leaves up to what is on the disk.
    ///
    /// A failure here takes nothing back: the records are durable, and say so. But the index may
    /// disagree with them, so it serves nobody, and nothing more is written until it was made anew.
    fn follow(&mut self, recorded: &[Recorded]) {
        let records = || recorded.iter().flat_map(Recorded::records);
        for record in records() {
            self.unrested += 1;
            if record.kind == RecordKind::Audit {
                self.leaves.push(record.leaf);
            }
        }
        let rows = catch_unwind(AssertUnwindSafe(|| {
            records()
                .flat_map(|record: &Record| (self.rows)(record))
                .collect()
        }));
        let applied = match rows {
            Ok(rows) => self.index.apply(rows, Some(self.log.head())),
            Err(_) => Err(StoreError::Failed),
        };
        if let Err(error) = applied {
            tracing::error!(%error, "the index does not follow the journal");
            self.index.give_up();
            self.log.refuse_writes();
        }
        let Some(follower) = self.shared.follower.get() else {
            return;
        };
        for recorded in recorded {
            let told = catch_unwind(AssertUnwindSafe(|| follower(recorded)));
            if told.is_err() {
                tracing::error!("the state does not follow the journal");
                self.log.refuse_writes();
            }
        }
    }

    fn rest(&mut self) -> Result<(), StoreError> {
        self.unrested = 0;
        let leaves = self.leaves.write();
        let index = self.index.barrier();
        if self.index.is_broken() {
            self.log.refuse_writes();
        }
        index.and(leaves)
    }

    fn rest_and_report(&mut self) {
        if let Err(error) = self.rest() {
            tracing::warn!(%error, "index or leaf file are behind the journal until the next start");
        }
    }
}

/// Answers; whoever asked may have gone away, which changes nothing.
fn told<T>(answer: Answer<T>, value: Result<T, StoreError>) {
    let _asker_gone = answer.send(value);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::SyncSender;

    use chartmesh_core::records::Scope;

    use super::*;
    use crate::store::{DirDisk, leaves::Comparison, watch};

    #[tokio::test]
    async fn after_a_failed_sync_nothing_is_acknowledged() {
        let (_folder, handle, gate) = journal();
        gate.pass.send(Ok(())).unwrap();
        assert!(handle.commit(Timestamp(1), batch()).await.is_ok());

        gate.pass.send(Err(StoreError::Failed)).unwrap();
        let failed = handle.commit(Timestamp(1), batch()).await;
        let after = handle.commit(Timestamp(1), batch()).await;

        assert_eq!(failed.err(), Some(StoreError::Failed));
        assert_eq!(after.err(), Some(StoreError::ReadOnly));
        assert_eq!(handle.shared.head().position, 1);
    }

    #[tokio::test]
    async fn the_queue_has_its_limit() {
        let (_folder, handle, gate) = journal();
        let handle = Arc::new(handle);
        let commit = |_| {
            let handle = Arc::clone(&handle);
            tokio::spawn(async move { handle.commit(Timestamp(1), batch()).await.is_ok() })
        };
        // One is in its sync and cannot leave it; the others take every place that is left.
        let mut waiting: Vec<_> = (0..1).map(commit).collect();
        let gate = tokio::task::spawn_blocking(move || {
            gate.entered.recv().unwrap();
            gate
        });
        let gate = gate.await.unwrap();
        waiting.extend((1..JOURNAL_QUEUE_MAX).map(commit));
        while handle.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }

        let late = handle.commit(Timestamp(1), batch());
        let mut late = std::pin::pin!(late);
        assert!(futures::poll!(&mut late).is_pending());
        gate.pass.send(Ok(())).unwrap();
        gate.pass.send(Ok(())).unwrap();
        drop(gate);

        for commit in waiting {
            assert!(commit.await.unwrap());
        }
        assert!(late.await.is_ok());
    }

    #[tokio::test]
    async fn a_thread_that_panics_refuses_and_poisons_nothing() {
        let (_folder, handle, gate) = journal();
        gate.pass.send(Ok(())).unwrap();
        assert!(handle.commit(Timestamp(1), batch()).await.is_ok());
        // Before a panic the gate closes: see `GateDisk`.
        gate.pass.send(Err(StoreError::Missing)).unwrap();

        let failed = handle.commit(Timestamp(1), batch()).await;
        while !handle
            .thread
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .is_finished()
        {
            tokio::task::yield_now().await;
        }
        let after = handle.commit(Timestamp(1), batch()).await;

        assert_eq!(failed.err(), Some(StoreError::Failed));
        assert_eq!(after.err(), Some(StoreError::ReadOnly));
        assert_eq!(handle.stop().await.err(), Some(StoreError::Failed));
    }

    /// Real files whose syncs wait for the test, and end as it says.
    struct GateDisk {
        disk: DirDisk,
        entered: SyncSender<()>,
        passes: Receiver<Result<(), StoreError>>,
    }

    struct Gate {
        entered: Receiver<()>,
        pass: SyncSender<Result<(), StoreError>>,
    }

    impl Disk for GateDisk {
        fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
            self.disk.append(name, bytes)
        }

        fn sync(&mut self, name: &str) -> Result<(), StoreError> {
            // A gate that is gone stands open.
            let _open = self.entered.try_send(());
            match self.passes.recv() {
                Ok(Err(StoreError::Missing)) => std::panic::resume_unwind(Box::new("told to")),
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) | Err(_) => self.disk.sync(name),
            }
        }

        fn read(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
            self.disk.read(name, offset, len)
        }

        fn len(&self, name: &str) -> Result<Option<u64>, StoreError> {
            self.disk.len(name)
        }

        fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
            self.disk.replace(name, bytes)
        }

        fn set_aside(&mut self, name: &str, from: u64, aside: &str) -> Result<(), StoreError> {
            self.disk.set_aside(name, from, aside)
        }

        fn remove(&mut self, name: &str) -> Result<(), StoreError> {
            self.disk.remove(name)
        }

        fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
            self.disk.list(prefix)
        }
    }

    fn journal() -> (tempfile::TempDir, JournalHandle, Gate) {
        let folder = tempfile::tempdir().unwrap();
        let disk = DirDisk::new(folder.path());
        let (entered, has_entered) = mpsc::sync_channel(1);
        let (pass, passes) = mpsc::sync_channel(16);
        let gated = GateDisk {
            disk: disk.another(),
            entered,
            passes,
        };
        let kek = SecretKey::new([1; 32]);
        let log = Log::create(gated, &kek, [2; 16], &mut system_rng()).unwrap();
        let index = watch::in_memory(&log.keys().rows(), log.head()).unwrap();
        let (_, leaves) = Comparison::new(disk).unwrap().finish();
        let lock = Arc::new(Lock::take(folder.path()).unwrap());
        let handle =
            JournalHandle::start(log, Arc::new(index), leaves, |_| Vec::new(), lock).unwrap();
        let gate = Gate {
            entered: has_entered,
            pass,
        };
        (folder, handle, gate)
    }

    fn batch() -> Batch {
        let mut batch = Batch::default();
        batch.push(RecordKind::Resource, Scope::Store, "body");
        batch
    }
}
