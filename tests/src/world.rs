//! One node's world: the ports over a test's clock, dice, network and disk.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chartmesh_core::{
    crypto::{OpeningKey, SecretKey, SigningKey, sha256},
    flows::{self, Fold, Identity, Node},
    membership::Organization,
    ports::{CallError, Clock, Dice, Journal, Peers, Records, Row, Rpc, Stage, Table, Watch, Work},
    records::{
        Batch, Disk, Head, Keyring, Log, Opened, Place, Record, Recorded, StoreError, read_record,
        read_record_bytes,
    },
    types::{FileId, Incarnation, MemberId, NodeKey, Timestamp},
};
use futures::future::BoxFuture;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use tokio::{
    sync::{Mutex as TurnMutex, watch},
    time::sleep,
};

use crate::{
    disk::SimDisk,
    net::{START_MS, Seen, SimNet, SimParts},
};

/// What every other thread of the daemon would hold: the journal, the index, the clock.
struct Store {
    node: NodeKey,
    log: TurnMutex<Log<SimDisk>>,
    disk: SimDisk,
    keys: Keyring,
    index: Mutex<BTreeMap<(Table, Vec<u8>), Row>>,
    fold: Fold,
    net: Arc<SimNet>,
    dice: Mutex<ChaCha20Rng>,
    clock_offset_ms: AtomicI64,
    reading: Mutex<Reading>,
    fsync_ms: AtomicU64,
    job_ms: AtomicU64,
    learned: Mutex<Vec<NodeKey>>,
    off: watch::Sender<bool>,
    reads: Mutex<Vec<usize>>,
}

/// What a clock last said, and when that was.
#[derive(Clone, Copy)]
struct Reading {
    elapsed_ms: u64,
    at_ms: u64,
}

/// The ports of one node.
pub struct SimWorld {
    key: NodeKey,
    store: Arc<Store>,
}

impl SimWorld {
    /// Whether the node runs.
    pub fn is_on(&self) -> bool {
        !*self.store.off.borrow()
    }

    /// Tells when the node goes off.
    pub(crate) fn off(&self) -> watch::Receiver<bool> {
        self.store.off.subscribe()
    }

    /// Moves this node's clock away from the others'.
    pub fn set_clock_offset(&self, offset_ms: i64) {
        self.store
            .clock_offset_ms
            .store(offset_ms, Ordering::Relaxed);
    }

    /// How long a sync takes from here on.
    pub fn set_fsync(&self, fsync_ms: u64) {
        self.store.fsync_ms.store(fsync_ms, Ordering::Relaxed);
    }

    /// How long work on another thread takes from here on.
    pub fn set_job(&self, job_ms: u64) {
        self.store.job_ms.store(job_ms, Ordering::Relaxed);
    }

    /// Whose addresses the transport was told since this was last asked.
    pub fn learned(&self) -> Vec<NodeKey> {
        let mut learned = self.store.learned.lock().expect("no holder panics");
        std::mem::take(&mut *learned)
    }

    /// How many bytes of sealed files were read, read by read, since this was last asked.
    pub fn reads(&self) -> Vec<usize> {
        let mut reads = self.store.reads.lock().expect("no holder panics");
        std::mem::take(&mut *reads)
    }

    pub(crate) fn net(&self) -> Arc<SimNet> {
        self.store.net.clone()
    }

    /// A node that has lost its power does nothing any more, not even fail.
    async fn need_power(&self) {
        self.store.stand_still_without_power().await;
    }

    fn disk(&self) -> SimDisk {
        self.store.disk.clone()
    }
}

impl Store {
    /// Never earlier than read before, and never slower than real time, as the daemon's.
    fn now(&self) -> Timestamp {
        let offset = self.clock_offset_ms.load(Ordering::Relaxed);
        let elapsed_ms = self.net.elapsed_ms();
        let shown = (START_MS + elapsed_ms).saturating_add_signed(offset);
        let mut reading = self.reading.lock().expect("reading never panics");
        let goes_on = reading.at_ms + elapsed_ms.saturating_sub(reading.elapsed_ms);
        let at_ms = shown.max(goes_on);
        *reading = Reading { elapsed_ms, at_ms };
        Timestamp(at_ms)
    }

    fn dice(&self) -> ChaCha20Rng {
        let mut dice = self.dice.lock().expect("filling never panics");
        ChaCha20Rng::from_rng(&mut *dice)
    }

    fn index(&self, record: &Record) {
        let rows = flows::rows(record).expect("this node wrote the record");
        let mut index = self.index.lock().expect("inserting never panics");
        for row in rows {
            index.insert((row.table, row.key.clone()), row);
        }
    }

    async fn commit(self: Arc<Self>, batch: Batch) -> Result<Recorded, StoreError> {
        let mut log = self.log.lock().await;
        self.stand_still_without_power().await;
        let outcome = self.write(&mut log, batch).await;
        self.stand_still_without_power().await;
        if let Err(error) = outcome
            && !log.is_writable()
        {
            self.fold.halt(error);
        }
        outcome
    }

    async fn stand_still_without_power(&self) {
        if self.disk.is_off() {
            self.off.send_replace(true);
        }
        if *self.off.borrow() {
            std::future::pending::<()>().await;
        }
    }

    fn is_durable(&self, record: &Record) -> bool {
        let Place { file, offset, len } = record.place;
        let end = offset + u64::from(len);
        self.disk.durable_len(&format!("journal/{file:020}")) >= end
    }

    async fn write(&self, log: &mut Log<SimDisk>, batch: Batch) -> Result<Recorded, StoreError> {
        let mut dice = self.dice();
        let pending = log.append(self.now(), vec![batch], &mut dice)?;
        sleep(Duration::from_millis(self.fsync_ms.load(Ordering::Relaxed))).await;
        // The disk may have its power back by now, under the next run.
        self.stand_still_without_power().await;
        let recorded = log.sync(pending)?.pop().ok_or(StoreError::Failed)?;
        self.net.tell(Seen::Committed {
            node: self.node,
            clock: self.now(),
            records: recorded.records(),
            durable: recorded
                .records()
                .iter()
                .all(|record| self.is_durable(record)),
        });
        self.fold.add_keys(recorded.keys().iter().cloned());
        for record in recorded.records() {
            self.index(record);
            self.fold.apply(record);
        }
        Ok(recorded)
    }
}

impl Clock for SimWorld {
    fn now(&self) -> Timestamp {
        self.store.now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        sleep(Duration::from_millis(at.since(self.now()).0)).await;
    }
}

impl Dice for SimWorld {
    fn fill(&self, out: &mut [u8]) {
        let mut dice = self.store.dice.lock().expect("filling never panics");
        dice.fill_bytes(out);
    }
}

impl Peers for SimWorld {
    type Parts = SimParts;

    // Named, because a node that serves a call may call in turn, and a future cannot hold its own type.
    #[expect(refining_impl_trait, reason = "no caller sees it")]
    fn call(&self, to: NodeKey, rpc: Rpc, body: Bytes) -> BoxFuture<'_, Result<Bytes, CallError>> {
        Box::pin(async move {
            self.need_power().await;
            self.store.net.call(self.key, to, rpc, body).await
        })
    }

    async fn open(&self, to: NodeKey, body: Bytes) -> Result<SimParts, CallError> {
        self.need_power().await;
        self.store.net.open(self.key, to, body).await
    }

    fn learn(&self, node: NodeKey, _addresses: &[Vec<u8>]) {
        let mut learned = self.store.learned.lock().expect("no holder panics");
        learned.push(node);
    }

    fn forget(&self, node: NodeKey) {
        self.store.net.hang_up(self.key, node);
    }
}

impl Records for SimWorld {
    async fn rows(&self, table: Table, prefix: Vec<u8>) -> Result<Vec<Row>, StoreError> {
        let index = self.store.index.lock().expect("reading never panics");
        let from = (table, prefix.clone());
        let rows = index.range(from..).map(|(_, row)| row);
        let within = rows.take_while(|row| row.table == table && row.key.starts_with(&prefix));
        Ok(within.cloned().collect())
    }

    async fn get(&self, table: Table, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Row>>, StoreError> {
        let index = self.store.index.lock().expect("reading never panics");
        let get = |key| index.get(&(table, key)).cloned();
        Ok(keys.into_iter().map(get).collect())
    }

    async fn records(&self, places: Vec<Place>) -> Result<Vec<Record>, StoreError> {
        let read = |place| read_record(&self.store.disk, &self.store.keys, place);
        places.into_iter().map(read).collect()
    }

    async fn record_bytes(&self, place: Place) -> Result<Bytes, StoreError> {
        read_record_bytes(&self.store.disk, place)
    }

    async fn append_file(&self, file: FileId, bytes: Bytes) -> Result<(), StoreError> {
        let appended = self.disk().append(&named("files", &file.0), &bytes);
        self.need_power().await;
        appended
    }

    async fn sync_file(&self, file: FileId) -> Result<(), StoreError> {
        let synced = self.disk().sync(&named("files", &file.0));
        self.need_power().await;
        synced
    }

    async fn read_file(&self, file: FileId, offset: u64, len: usize) -> Result<Bytes, StoreError> {
        let bytes = self
            .store
            .disk
            .read(&named("files", &file.0), offset, len)?;
        let mut reads = self.store.reads.lock().expect("no holder panics");
        reads.push(bytes.len());
        Ok(bytes.into())
    }

    async fn remove_file(&self, file: FileId) -> Result<(), StoreError> {
        self.disk().remove(&named("files", &file.0))
    }

    async fn append_part(&self, part: [u8; 32], bytes: Bytes) -> Result<(), StoreError> {
        self.disk().append(&named("parts", &part), &bytes)
    }

    async fn part_len(&self, part: [u8; 32]) -> Result<Option<u64>, StoreError> {
        self.store.disk.len(&named("parts", &part))
    }

    async fn read_part(
        &self,
        part: [u8; 32],
        offset: u64,
        len: usize,
    ) -> Result<Bytes, StoreError> {
        let bytes = self.store.disk.read(&named("parts", &part), offset, len)?;
        Ok(bytes.into())
    }

    async fn remove_part(&self, part: [u8; 32]) -> Result<(), StoreError> {
        self.disk().remove(&named("parts", &part))
    }
}

fn named(folder: &str, id: &[u8]) -> String {
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{folder}/{hex}")
}

impl Journal for SimWorld {
    async fn commit(&self, batch: Batch) -> Result<Recorded, StoreError> {
        self.need_power().await;
        // On a task of its own, like the daemon's thread: a caller that goes away ends no commit.
        let committing = tokio::spawn(self.store.clone().commit(batch));
        committing.await.map_err(|_| StoreError::Failed)?
    }

    async fn head(&self) -> Head {
        self.store.log.lock().await.head()
    }
}

impl Work for SimWorld {
    async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let job_ms = self.store.job_ms.load(Ordering::Relaxed);
        if job_ms > 0 {
            sleep(Duration::from_millis(job_ms)).await;
        }
        job()
    }
}

impl Watch for SimWorld {
    type Step = ();

    fn step(&self, _stage: Stage) {}
}

/// What a run of a node starts with.
#[derive(Clone)]
pub struct Start {
    /// Makes its keys and its dice.
    pub seed: u8,
    /// Which run it is: draws the boot secret.
    pub boot: u16,
    /// Makes other keys and dice of the same seed; 0 in tests that do not care.
    pub salt: u64,
    /// The clock begins no earlier: what the daemon reads off its last record.
    pub not_before: Timestamp,
    /// Who runs it.
    pub organization: Organization,
    /// How far its clock is off.
    pub clock_offset_ms: i64,
}

/// A running node; dropping it takes it off the network.
pub struct SimNode {
    node: Arc<Node<SimWorld>>,
    /// What opening its journal found.
    pub opened: Option<Opened>,
    net: Arc<SimNet>,
    disk: SimDisk,
    start: Start,
    /// Which of its node keys it goes by: 0 is the first.
    key_number: u8,
}

impl Deref for SimNode {
    type Target = Node<SimWorld>;

    fn deref(&self) -> &Node<SimWorld> {
        &self.node
    }
}

impl SimNode {
    /// Starts a node as the daemon does: open the journal, replay it, install the keys.
    pub fn start(net: &Arc<SimNet>, disk: &SimDisk, start: Start) -> Self {
        let member = MemberId(halved(&secret(start.seed, start.salt, "member")));
        Self::start_as(net, disk, start, member)
    }

    /// Starts a node with keys of its own as a member there was before.
    pub fn start_as(net: &Arc<SimNet>, disk: &SimDisk, start: Start, member: MemberId) -> Self {
        Self::start_by(net, disk, start, (member, 0, Incarnation::default()))
    }

    /// A copy of the node that was restored from a backup of its store; it takes its place on the network,
    /// and the copy before goes on.
    #[must_use]
    pub fn restored_on(&self, disk: &SimDisk, incarnation: Incarnation) -> Self {
        let start = Start {
            boot: self.start.boot + 1_000,
            ..self.start.clone()
        };
        let by = (self.node.member(), self.key_number, incarnation);
        Self::start_by(&self.net, disk, start, by)
    }

    /// Starts a node that went by one of its node keys, and goes over to the next where its journal says
    /// that a credential names it.
    fn start_by(
        net: &Arc<SimNet>,
        disk: &SimDisk,
        start: Start,
        (member, key_before, incarnation): (MemberId, u8, Incarnation),
    ) -> Self {
        let secret = |what: &str| secret(start.seed, start.salt, what);
        let drawn = |what: &str| {
            let run = [&start.salt.to_be_bytes()[..], &start.boot.to_be_bytes()].concat();
            sha256(&[what.as_bytes(), &[start.seed], &run])
        };
        let boot = SecretKey::new(drawn("boot"));
        let mut dice = ChaCha20Rng::from_seed(drawn("dice"));
        let fold = Fold::new(member, boot);
        let mut replayed = Vec::new();
        let exists = Keyring::exists(disk).expect("a disk that is on");
        let (log, opened) = if exists {
            let applied = &mut |record| replayed.push(record);
            let (log, opened) = Log::open(disk.clone(), &secret("kek"), None, applied)
                .expect("a store that can be opened");
            (log, Some(opened))
        } else {
            let store = halved(&secret("store"));
            let log = Log::create(disk.clone(), &secret("kek"), store, &mut dice)
                .expect("an empty disk takes a store");
            (log, None)
        };
        let keys = log.keys();
        let all = keys.ids().into_iter();
        fold.add_keys(all.filter_map(|id| Some((id, keys.key(id)?))));
        if let Some(problem) = opened.and_then(|opened| opened.problem) {
            fold.halt(problem);
        }
        for record in &replayed {
            fold.apply(record);
        }
        let next = node_signing_key(&start, key_before + 1);
        let is_granted = fold.node_key_of(member) == Some(NodeKey(next.public()));
        let key_number = key_before + u8::from(is_granted);
        let identity = Identity {
            member,
            node: node_signing_key(&start, key_number),
            audit: SigningKey::from_seed(&secret("audit")),
            authority: SigningKey::from_seed(&secret("authority")),
            organization: start.organization.clone(),
            incarnation,
        };
        net.tell(Seen::Opened {
            node: identity.node_key(),
            records: &replayed,
            opened,
        });
        let store = Arc::new(Store {
            node: identity.node_key(),
            log: TurnMutex::new(log),
            disk: disk.clone(),
            keys,
            index: Mutex::default(),
            fold: fold.clone(),
            net: net.clone(),
            dice: Mutex::new(dice),
            clock_offset_ms: AtomicI64::new(start.clock_offset_ms),
            reading: Mutex::new(Reading {
                elapsed_ms: net.elapsed_ms(),
                at_ms: start.not_before.0,
            }),
            fsync_ms: AtomicU64::new(3),
            job_ms: AtomicU64::new(0),
            learned: Mutex::default(),
            off: watch::channel(false).0,
            reads: Mutex::default(),
        });
        for record in &replayed {
            store.index(record);
        }
        let world = SimWorld {
            key: identity.node_key(),
            store,
        };
        let node = Arc::new(Node::new(identity, fold, world));
        // Whoever restores draws an opening key that the copy before does not have, and keeps the older.
        let restored = (incarnation.0 > 0).then(|| format!("opening {}", incarnation.0));
        let opening = restored.iter().map(String::as_str).chain(["opening"]);
        let opening = opening.map(|what| OpeningKey::from_bytes(&secret(what)));
        node.install_opening_keys(opening.collect());
        node.set_addresses(vec![vec![4, 127, 0, 0, start.seed]]);
        net.attach(&node);
        Self {
            node,
            opened,
            net: net.clone(),
            disk: disk.clone(),
            start,
            key_number,
        }
    }

    /// The node key that follows the one it goes by.
    pub fn next_node_key(&self) -> SigningKey {
        node_signing_key(&self.start, self.key_number + 1)
    }

    /// One of the node keys that it may ever go by, in their order.
    pub fn numbered_node_key(&self, number: u8) -> NodeKey {
        NodeKey(node_signing_key(&self.start, number).public())
    }

    /// The node itself, to be moved into a task.
    pub fn shared(&self) -> Arc<Node<SimWorld>> {
        self.node.clone()
    }

    /// Its disk.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Takes the node off the network and its power away; of what was not synced `keep` bytes stay.
    pub fn crash(&self, keep: usize) {
        self.net.detach(self.node.node_key());
        self.disk.crash(keep);
        self.node.world().store.off.send_replace(true);
    }

    /// The next run of a node over the same disk.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let start = Start {
            boot: self.start.boot + 1,
            ..self.start.clone()
        };
        self.restarted_as(start)
    }

    /// The next run over the same disk, with a clock that is off.
    #[must_use]
    pub fn restarted_with_clock(&self, clock_offset_ms: i64) -> Self {
        let start = Start {
            boot: self.start.boot + 1,
            clock_offset_ms,
            ..self.start.clone()
        };
        self.restarted_as(start)
    }

    /// The next run over the same disk, by a clock that is off and begins no earlier than a time.
    #[must_use]
    pub fn restarted_at(&self, clock_offset_ms: i64, not_before: Timestamp) -> Self {
        let start = Start {
            boot: self.start.boot + 1,
            clock_offset_ms,
            not_before,
            ..self.start.clone()
        };
        self.restarted_as(start)
    }

    fn restarted_as(&self, start: Start) -> Self {
        if self.node.world().is_on() {
            self.crash(0);
        }
        self.disk.revive();
        let incarnation = self.node.identity().incarnation;
        let by = (self.node.member(), self.key_number, incarnation);
        Self::start_by(&self.net, &self.disk, start, by)
    }
}

fn node_signing_key(start: &Start, number: u8) -> SigningKey {
    let what = match number {
        0 => "node".to_owned(),
        number => format!("node {number}"),
    };
    SigningKey::from_seed(&secret(start.seed, start.salt, &what))
}

/// What the opening key of a node is made of, for a test that plays the node itself.
pub fn opening_seed(seed: u8) -> SecretKey {
    secret(seed, 0, "opening")
}

fn secret(seed: u8, salt: u64, what: &str) -> SecretKey {
    SecretKey::new(sha256(&[what.as_bytes(), &[seed], &salt.to_be_bytes()]))
}

fn halved(secret: &SecretKey) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&secret[..16]);
    half
}
