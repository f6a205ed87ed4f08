//! gRPC for peers: takes the transport off, hands bytes to the node, puts it on again.
//!
//! It decides nothing. Whom a call is from is what Noise proved; whether that node is a member, the
//! core finds out.

use std::{
    collections::BTreeMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use chartmesh_core::{
    ports::{FetchPart, Rpc, Stage},
    types::{NodeKey, PeerCode, limits},
};
use chartmesh_proto::{
    body::Signed,
    peer::{
        Chunk, Part, Sealed, part,
        peer_server::{Peer, PeerServer},
    },
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, transport::Server};
use tracing::Instrument as _;

use crate::{
    metrics::{Limit, Metrics, Outcome, Standing, Step},
    net::{Caller, Incoming, Slots, status_of},
};

/// HTTP/2 receive windows of a stream and of a connection: questions are small.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Largest frame of an answer (`spike.md` 1).
const FRAME_MAX_BYTES: u32 = 256 << 10;
/// Bytes of the headers of one call.
const HEADERS_MAX_BYTES: u32 = 16 << 10;
/// How often a silent HTTP/2 connection is tried, and how long the answer may take.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Over how long the calls of a node that is no member are counted.
const MINUTE: Duration = Duration::from_secs(60);
/// How long calls under way may take once the server is told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// What answers peers. Bodies are encoded `Signed` for Hello and Join, encoded `Sealed` otherwise, and
/// so are the answers.
pub trait PeerService: Send + Sync + 'static {
    /// Whether a node is an active member; the others share little of this node's time.
    fn is_member(&self, node: NodeKey) -> bool;

    /// Where calls are counted.
    fn metrics(&self) -> Arc<Metrics>;

    /// Answers a call. Runs to its end even if the caller goes away.
    fn call(
        &self,
        from: NodeKey,
        rpc: Rpc,
        body: Bytes,
    ) -> impl Future<Output = Result<Bytes, PeerCode>> + Send;

    /// Opens a fetch. The parts are read as fast as the peer takes them, and dropped when it goes away.
    fn fetch(
        &self,
        from: NodeKey,
        body: Bytes,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<FetchPart, PeerCode>>, PeerCode>> + Send;
}

/// Serves peers until `shutdown`, or until the network stops; calls accepted by then are finished.
///
/// # Errors
///
/// What the server could not go on from.
pub async fn serve<S: PeerService>(
    service: Arc<S>,
    incoming: Incoming,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let tasks = TaskTracker::new();
    let api = PeerApi {
        metrics: service.metrics(),
        service,
        tasks: tasks.clone(),
        slots: Arc::new(Mutex::new(Slots::new(limits::CALLS_PER_PEER_MAX))),
        strangers: Arc::default(),
        call_time: Duration::from_millis(limits::CALL_TIME_MAX.0),
    };
    let peer = PeerServer::new(api)
        .max_decoding_message_size(limits::PEER_MESSAGE_MAX_BYTES)
        .max_encoding_message_size(limits::PEER_MESSAGE_MAX_BYTES);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<PeerServer<PeerApi<S>>>().await;
    let server = Server::builder()
        .max_concurrent_streams(limits::CALLS_PER_CONNECTION_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_MAX_BYTES)
        .http2_max_header_list_size(HEADERS_MAX_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_service(health)
        .add_service(peer)
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_MAX).await;
    };
    let served = tokio::select! {
        served = server => served,
        // A peer that does not let go of its connection must not keep this node from stopping.
        () = drained => Ok(()),
    };
    tasks.close();
    // Time to drain is over once; a network that ended by itself gives the calls theirs.
    if tokio::time::timeout(DRAIN_MAX, tasks.wait()).await.is_err() {
        tracing::error!(calls = tasks.len(), "calls did not end and are cut short");
    }
    served
}

struct PeerApi<S> {
    service: Arc<S>,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    slots: Arc<Mutex<Slots<NodeKey>>>,
    strangers: Arc<Mutex<Strangers>>,
    call_time: Duration,
}

/// What nodes that are no members may make this node do: few calls at a time, and few a minute.
struct Strangers {
    slots: Slots<NodeKey>,
    minute: Instant,
    calls: BTreeMap<NodeKey, u32>,
}

impl Default for Strangers {
    fn default() -> Self {
        Self {
            slots: Slots::new(limits::STRANGER_CALLS_MAX),
            minute: Instant::now(),
            calls: BTreeMap::new(),
        }
    }
}

impl Strangers {
    /// A place for one call; none where the node's share is spent.
    fn admit(&mut self, node: NodeKey, now: Instant) -> Option<OwnedSemaphorePermit> {
        if now.duration_since(self.minute) >= MINUTE {
            self.minute = now;
            // Keys are free, so what is remembered of them ends with the minute.
            self.calls.clear();
        }
        let slot = self.slots.of(node).try_acquire_owned().ok()?;
        let calls = self.calls.entry(node).or_default();
        *calls = calls.saturating_add(1);
        (*calls <= limits::STRANGER_CALLS_PER_MINUTE_MAX).then_some(slot)
    }
}

/// Every count is consistent after each step, so a panic elsewhere cannot spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: PeerService> PeerApi<S> {
    /// A place for one call of a node, in what it may have worked on at a time.
    fn place(&self, from: NodeKey, standing: Standing) -> Option<OwnedSemaphorePermit> {
        let (place, limit) = match standing {
            Standing::Member => {
                let place = lock(&self.slots).of(from).try_acquire_owned().ok();
                (place, Limit::MemberCalls)
            }
            Standing::Stranger => {
                let place = lock(&self.strangers).admit(from, Instant::now());
                (place, Limit::StrangerCalls)
            }
        };
        if place.is_none() {
            self.metrics.served.limited(limit);
        }
        place
    }

    fn standing(&self, from: NodeKey) -> Standing {
        if self.service.is_member(from) {
            Standing::Member
        } else {
            Standing::Stranger
        }
    }

    /// Runs a piece of work in a task of its own: it is not cut short when the caller goes away, and
    /// its panic ends nothing but itself.
    async fn spawned<T, F>(&self, from: NodeKey, rpc: Rpc, work: F) -> Result<T, PeerCode>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PeerCode>> + Send + 'static,
    {
        let since = std::time::Instant::now();
        let standing = self.standing(from);
        let ended = match self.place(from, standing) {
            Some(slot) => self.placed(from, rpc, slot, work).await,
            None => Err(PeerCode::OverBudget),
        };
        let outcome = Outcome::from(ended.as_ref().err().copied());
        self.metrics.served.ended(rpc, standing, outcome, since);
        ended
    }

    async fn placed<T, F>(
        &self,
        from: NodeKey,
        rpc: Rpc,
        slot: OwnedSemaphorePermit,
        work: F,
    ) -> Result<T, PeerCode>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PeerCode>> + Send + 'static,
    {
        let span = tracing::debug_span!("call", rpc = rpc.name(), node = %from);
        let metrics = self.metrics.clone();
        let task = async move {
            let _slot = slot;
            let _step = Step::begin(&metrics, Stage::Net);
            work.await
        };
        let task = self.tasks.spawn(task.instrument(span));
        match tokio::time::timeout(self.call_time, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                tracing::error!(node = %from, "a call ended in a panic");
                Err(PeerCode::Unavailable)
            }
            Err(_) => {
                tracing::warn!(node = %from, "a call took too long");
                self.metrics.served.limited(Limit::CallTime);
                Err(PeerCode::Unavailable)
            }
        }
    }

    async fn answer<Q, A>(&self, rpc: Rpc, request: Request<Q>) -> Result<Response<A>, Status>
    where
        Q: Message,
        A: Message + Default,
    {
        let (from, body) = take(request)?;
        let service = self.service.clone();
        let work = async move { service.call(from, rpc, body).await };
        let bytes = self.spawned(from, rpc, work).await.map_err(status_of)?;
        let answer = A::decode(bytes).map_err(|_| {
            tracing::error!(?rpc, "an answer is no message");
            status_of(PeerCode::Unavailable)
        })?;
        Ok(Response::new(answer))
    }
}

#[tonic::async_trait]
impl<S: PeerService> Peer for PeerApi<S> {
    type FetchStream = BoxStream<'static, Result<Part, Status>>;

    async fn hello(&self, request: Request<Signed>) -> Result<Response<Signed>, Status> {
        self.answer(Rpc::Hello, request).await
    }

    async fn join(&self, request: Request<Signed>) -> Result<Response<Signed>, Status> {
        self.answer(Rpc::Join, request).await
    }

    async fn members(&self, request: Request<Sealed>) -> Result<Response<Sealed>, Status> {
        self.answer(Rpc::Members, request).await
    }

    async fn locate(&self, request: Request<Sealed>) -> Result<Response<Sealed>, Status> {
        self.answer(Rpc::Locate, request).await
    }

    async fn list(&self, request: Request<Sealed>) -> Result<Response<Sealed>, Status> {
        self.answer(Rpc::List, request).await
    }

    async fn release(&self, request: Request<Sealed>) -> Result<Response<Sealed>, Status> {
        self.answer(Rpc::Release, request).await
    }

    async fn propose(&self, request: Request<Sealed>) -> Result<Response<Sealed>, Status> {
        self.answer(Rpc::Propose, request).await
    }

    async fn charters(&self, request: Request<Signed>) -> Result<Response<Signed>, Status> {
        self.answer(Rpc::Charters, request).await
    }

    async fn trust(&self, request: Request<Sealed>) -> Result<Response<Sealed>, Status> {
        self.answer(Rpc::Trust, request).await
    }

    async fn fetch(&self, request: Request<Sealed>) -> Result<Response<Self::FetchStream>, Status> {
        let (from, body) = take(request)?;
        let service = self.service.clone();
        let work = async move { service.fetch(from, body).await };
        let parts = self.spawned(from, Rpc::Fetch, work).await;
        let parts = parts.map_err(status_of)?;
        Ok(Response::new(guarded(from, parts, self.call_time)))
    }
}

/// Parts as they go on the wire; a panic or a stall while making one ends the fetch with a code.
fn guarded(
    from: NodeKey,
    parts: BoxStream<'static, Result<FetchPart, PeerCode>>,
    part_time: Duration,
) -> BoxStream<'static, Result<Part, Status>> {
    let parts = AssertUnwindSafe(parts).catch_unwind();
    tokio_stream::StreamExt::timeout(parts, part_time)
        .map(move |part| match part {
            Ok(Ok(part)) => part.and_then(write).map_err(status_of),
            Ok(Err(_)) => {
                tracing::error!(node = %from, "a fetch ended in a panic");
                Err(status_of(PeerCode::Unavailable))
            }
            Err(_) => Err(status_of(PeerCode::Unavailable)),
        })
        .boxed()
}

fn write(part: FetchPart) -> Result<Part, PeerCode> {
    let part = match part {
        FetchPart::Head(bytes) => {
            let sealed = Sealed::decode(bytes).map_err(|_| {
                tracing::error!("the head of a fetch is no sealed message");
                PeerCode::Unavailable
            })?;
            part::Part::Head(sealed)
        }
        FetchPart::Leaves(leaves) => part::Part::Leaves(leaves.into()),
        FetchPart::Chunk { index, data } => part::Part::Chunk(Chunk { index, data }),
    };
    Ok(Part { part: Some(part) })
}

fn take<Q: Message>(request: Request<Q>) -> Result<(NodeKey, Bytes), Status> {
    let Some(Caller(from)) = request.extensions().get().copied() else {
        tracing::error!("a call without a caller");
        return Err(status_of(PeerCode::Unavailable));
    };
    Ok((from, request.into_inner().encode_to_vec().into()))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    struct Idle;

    impl PeerService for Idle {
        fn is_member(&self, _: NodeKey) -> bool {
            true
        }

        fn metrics(&self) -> Arc<Metrics> {
            Arc::default()
        }

        async fn call(&self, _: NodeKey, _: Rpc, _: Bytes) -> Result<Bytes, PeerCode> {
            pending().await
        }

        async fn fetch(
            &self,
            _: NodeKey,
            _: Bytes,
        ) -> Result<BoxStream<'static, Result<FetchPart, PeerCode>>, PeerCode> {
            pending().await
        }
    }

    const FROM: NodeKey = NodeKey([1; 32]);

    fn api(call_time: Duration) -> PeerApi<Idle> {
        PeerApi {
            service: Arc::new(Idle),
            metrics: Arc::default(),
            tasks: TaskTracker::new(),
            slots: Arc::new(Mutex::new(Slots::new(1))),
            strangers: Arc::default(),
            call_time,
        }
    }

    #[test]
    fn a_stranger_has_stranger_calls_max_at_a_time_and_stranger_calls_per_minute_max() {
        let mut strangers = Strangers::default();
        let now = Instant::now();
        let held: Vec<_> = (0..limits::STRANGER_CALLS_MAX)
            .map(|_| strangers.admit(FROM, now).expect("a place"))
            .collect();

        assert!(strangers.admit(FROM, now).is_none());
        assert!(strangers.admit(NodeKey([2; 32]), now).is_some());
        drop(held);
        for _ in limits::STRANGER_CALLS_MAX as u32..limits::STRANGER_CALLS_PER_MINUTE_MAX {
            assert!(strangers.admit(FROM, now).is_some());
        }
        assert!(strangers.admit(FROM, now).is_none());
        assert!(strangers.admit(FROM, now + MINUTE).is_some());
    }

    #[tokio::test]
    async fn a_mutex_that_a_panic_poisoned_stops_nobody() {
        let most = Duration::from_millis(limits::CALL_TIME_MAX.0);
        let api = Arc::new(api(most));
        assert_eq!(
            api.spawned(FROM, Rpc::Members, async { Ok(1) }).await,
            Ok(1)
        );
        let poisoned = api.clone();
        let panicked = std::thread::spawn(move || {
            let _held = (poisoned.slots.lock(), poisoned.strangers.lock());
            panic!("as asked");
        });
        assert!(panicked.join().is_err());
        assert!(api.slots.is_poisoned() && api.strangers.is_poisoned());

        assert_eq!(
            api.spawned(FROM, Rpc::Members, async { Ok(2) }).await,
            Ok(2)
        );
        assert!(lock(&api.strangers).admit(FROM, Instant::now()).is_some());
    }

    #[tokio::test]
    async fn a_call_that_never_ends_is_answered_all_the_same() {
        let most = Duration::from_millis(limits::CALL_TIME_MAX.0);
        let in_time = api(most).spawned(FROM, Rpc::Hello, async { Ok(1) }).await;
        assert_eq!(in_time, Ok(1));

        let late = api(Duration::ZERO)
            .spawned(FROM, Rpc::Hello, pending::<Result<u8, _>>())
            .await;

        assert_eq!(late, Err(PeerCode::Unavailable));
    }

    #[tokio::test]
    async fn a_fetch_that_stalls_ends_with_a_code() {
        let chunk = || {
            Ok(FetchPart::Chunk {
                index: 0,
                data: Bytes::new(),
            })
        };
        let most = Duration::from_millis(limits::CALL_TIME_MAX.0);
        let flowing = futures::stream::iter([chunk()]).boxed();
        assert!(
            guarded(FROM, flowing, most)
                .all(async |part| part.is_ok())
                .await
        );

        let stalling = futures::stream::pending().boxed();
        let part = guarded(FROM, stalling, Duration::from_millis(1))
            .next()
            .await;

        let status = part.expect("an end").map(drop).expect_err("a refusal");
        assert_eq!(status.message(), PeerCode::Unavailable.text());
    }
}
