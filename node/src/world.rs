//! The real ports: the system's clock and dice, files and sled, libp2p with tonic.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use chartmesh_core::{
    flows::Node,
    ports::{
        CallError, Clock, Dice, FetchPart, Journal, Peers, Records, Row, Rpc, Stage, Table, Watch,
        Work,
    },
    records::{Batch, Head, Place, Record, Recorded, StoreError},
    types::{FileId, NodeKey, Timestamp, limits::WORK_QUEUE_MAX},
};
use futures::{Stream, StreamExt};
use tokio::sync::Semaphore;

use crate::{
    metrics::{Metrics, Outcome, Step},
    net::{Directory, Found, Net, Parts, PeerCalls},
    store::Store,
    time::SteadyClock,
};

pub use crate::time::system_time;

/// Jobs of CPU-heavy work that run at a time.
const WORKERS: usize = 2;

/// The world of a daemon.
pub struct RealWorld {
    store: Store,
    net: Mutex<Option<Net>>,
    clock: SteadyClock,
    pool: Pool,
    metrics: Arc<Metrics>,
}

/// The pool of CPU-heavy work.
struct Pool {
    workers: Semaphore,
    waiting: Semaphore,
}

impl Pool {
    fn new() -> Self {
        Self {
            workers: Semaphore::new(WORKERS),
            waiting: Semaphore::new(WORK_QUEUE_MAX),
        }
    }

    async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        // Neither semaphore is ever closed, so both waits end with a place.
        let _place = self.waiting.acquire().await;
        let _worker = self.workers.acquire().await;
        match tokio::task::spawn_blocking(job).await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going down; whoever waits here is dropped with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl RealWorld {
    /// A world over an open store, without a network yet, whose time begins at `start`.
    pub fn new(store: Store, start: Timestamp) -> Self {
        Self {
            store,
            net: Mutex::new(None),
            clock: SteadyClock::new(start),
            pool: Pool::new(),
            metrics: Arc::default(),
        }
    }

    /// What is counted of this node.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Jobs of CPU-heavy work that wait or run.
    pub fn work_waiting(&self) -> usize {
        WORK_QUEUE_MAX.saturating_sub(self.pool.waiting.available_permits())
    }

    /// Gives the world its network, in place of one that was left.
    pub fn connect(&self, net: Net) {
        *self.net.lock().unwrap_or_else(PoisonError::into_inner) = Some(net);
    }

    fn net(&self) -> Option<Net> {
        let net = self.net.lock().unwrap_or_else(PoisonError::into_inner);
        net.clone()
    }

    fn calls(&self) -> Option<PeerCalls> {
        self.net().map(|net| net.calls())
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl Clock for RealWorld {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep(Duration::from_millis(at.since(self.now()).0)).await;
    }
}

impl Dice for RealWorld {
    fn fill(&self, out: &mut [u8]) {
        rand::fill(out);
    }
}

/// The parts of a fetch; none where there is no network.
pub struct RealParts(Option<Parts>);

impl Stream for RealParts {
    type Item = Result<FetchPart, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Some(parts) => parts.poll_next_unpin(cx),
            None => Poll::Ready(None),
        }
    }
}

impl Peers for RealWorld {
    type Parts = RealParts;

    async fn call(&self, to: NodeKey, rpc: Rpc, body: Bytes) -> Result<Bytes, CallError> {
        let since = Instant::now();
        let answer = match self.calls() {
            Some(calls) => calls.call(to, rpc, body).await,
            None => Err(CallError::Unreachable),
        };
        self.metrics.asked.ended(rpc, outcome(&answer), since);
        answer
    }

    async fn open(&self, to: NodeKey, body: Bytes) -> Result<RealParts, CallError> {
        let since = Instant::now();
        let parts = match self.calls() {
            Some(calls) => calls.open(to, body).await,
            None => Err(CallError::Unreachable),
        };
        let asked = &self.metrics.asked;
        asked.ended(Rpc::Fetch, outcome(&parts), since);
        parts.map(|parts| RealParts(Some(parts)))
    }

    fn learn(&self, node: NodeKey, addresses: &[Vec<u8>]) {
        if let Some(calls) = self.calls() {
            calls.learn(node, addresses);
        }
    }

    fn forget(&self, node: NodeKey) {
        if let Some(net) = self.net() {
            net.disconnect(node);
        }
    }
}

fn outcome<T>(answer: &Result<T, CallError>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Answered,
        Err(error) => Outcome::from(*error),
    }
}

impl Watch for RealWorld {
    type Step = Step;

    fn step(&self, stage: Stage) -> Step {
        Step::begin(&self.metrics, stage)
    }
}

impl Records for RealWorld {
    async fn rows(&self, table: Table, prefix: Vec<u8>) -> Result<Vec<Row>, StoreError> {
        let _step = self.step(Stage::Store);
        self.store.rows(table, prefix).await
    }

    async fn get(&self, table: Table, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Row>>, StoreError> {
        let _step = self.step(Stage::Store);
        self.store.get(table, keys).await
    }

    async fn records(&self, places: Vec<Place>) -> Result<Vec<Record>, StoreError> {
        let _step = self.step(Stage::Store);
        self.store.records(places).await
    }

    async fn record_bytes(&self, place: Place) -> Result<Bytes, StoreError> {
        let _step = self.step(Stage::Store);
        self.store.record_bytes(place).await
    }

    async fn append_file(&self, file: FileId, bytes: Bytes) -> Result<(), StoreError> {
        let _step = self.step(Stage::Store);
        self.store.append_file(file, bytes).await
    }

    async fn sync_file(&self, file: FileId) -> Result<(), StoreError> {
        let _step = self.step(Stage::Store);
        self.store.sync_file(file).await
    }

    async fn read_file(&self, file: FileId, offset: u64, len: usize) -> Result<Bytes, StoreError> {
        let _step = self.step(Stage::Store);
        self.store.read_file(file, offset, len).await
    }

    async fn remove_file(&self, file: FileId) -> Result<(), StoreError> {
        self.store.remove_file(file).await
    }

    async fn append_part(&self, part: [u8; 32], bytes: Bytes) -> Result<(), StoreError> {
        self.store.append_part(part, bytes).await
    }

    async fn part_len(&self, part: [u8; 32]) -> Result<Option<u64>, StoreError> {
        self.store.part_len(part).await
    }

    async fn read_part(
        &self,
        part: [u8; 32],
        offset: u64,
        len: usize,
    ) -> Result<Bytes, StoreError> {
        self.store.read_part(part, offset, len).await
    }

    async fn remove_part(&self, part: [u8; 32]) -> Result<(), StoreError> {
        self.store.remove_part(part).await
    }
}

impl Journal for RealWorld {
    async fn commit(&self, batch: Batch) -> Result<Recorded, StoreError> {
        let _step = self.step(Stage::Journal);
        // One clock: what a decision compares with the time of a record is the time it was stamped by.
        self.store.commit_at(self.now(), batch).await
    }

    async fn head(&self) -> Head {
        self.store.head()
    }
}

impl Directory for Node<RealWorld> {
    fn is_known(&self, node: NodeKey) -> bool {
        self.is_member(node)
            || self
                .pending_ticket()
                .is_some_and(|ticket| ticket.inviter == node)
    }

    fn own_record(&self) -> Option<Vec<u8>> {
        self.own_node_record().map(Vec::from)
    }

    fn read_record(&self, node: NodeKey, record: &[u8]) -> Option<Found> {
        let record = self.read_node_record(node, record)?;
        Some(Found {
            sequence: (record.incarnation.0, record.sequence),
            addresses: record.addresses.iter().map(|a| a.to_vec()).collect(),
        })
    }
}

impl Work for RealWorld {
    async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let _step = self.step(Stage::Work);
        self.pool.run(job).await
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::mpsc};

    use super::*;

    #[tokio::test]
    async fn work_queue_max_jobs_wait_in_the_pool_and_the_others_before_it() {
        let pool = Pool::new();
        let mut busy = Vec::new();
        let mut gates = Vec::new();
        for _ in 0..WORK_QUEUE_MAX {
            let (gate, opened) = mpsc::channel::<()>();
            let mut job = Box::pin(pool.run(move || opened.recv().is_ok()));
            assert!(futures::poll!(&mut job).is_pending());
            busy.push(job);
            gates.push(gate);
        }
        assert_eq!(pool.waiting.available_permits(), 0);

        let mut beyond = pin!(pool.run(|| 7));

        assert!(futures::poll!(&mut beyond).is_pending());
        drop(gates);
        futures::future::join_all(busy).await;
        assert_eq!(beyond.await, 7);
    }
}
