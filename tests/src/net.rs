//! The network of a test: links with latency that it can cut one way, and every byte in its hands.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use chartmesh_core::{
    flows::Node,
    ports::{CallError, FetchPart, Rpc},
    records::{Opened, Record},
    types::{NodeKey, PeerCode, Timestamp},
};
use futures::{Stream, StreamExt, stream, stream::BoxStream};
use tokio::{
    sync::watch,
    task::JoinError,
    time::{Instant, sleep},
};

use crate::world::SimWorld;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asker to holder.
    Question,
    /// Holder to asker.
    Answer,
    /// A refusal outside the seal, holder to asker.
    Refusal(PeerCode),
    /// First part of a fetch.
    Head,
    /// Leaf hashes.
    Leaves,
    /// A chunk of ciphertext.
    Chunk(u64),
}

/// What crosses a link.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// Who sent it.
    pub from: NodeKey,
    /// Who gets it.
    pub to: NodeKey,
    /// Of which call.
    pub rpc: Rpc,
    /// Which part of it.
    pub kind: Kind,
    /// What it holds.
    pub bytes: Bytes,
    /// When it was sent, in milliseconds of the test.
    pub at_ms: u64,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives, altered or not.
    Deliver,
    /// The connection breaks.
    Break,
    /// It never arrives, and nobody is told.
    Lose,
    /// It arrives so many milliseconds later than others, so that what was sent after it comes first.
    Delay(u64),
    /// A question arrives, and once more so many milliseconds later; anything else only once.
    Twice(u64),
}

/// What the one in the middle does with each frame.
pub type Middle = Box<dyn FnMut(&mut Frame) -> Fate + Send>;

/// What a test may see happen, in the order in which it happens.
pub enum Seen<'a> {
    /// A frame left, as it was before anybody in the middle touched it.
    Sent(&'a Frame),
    /// A question is handed to the flow that answers it.
    Arrived(&'a Frame),
    /// A commit returns, and its records take effect.
    Committed {
        /// Whose.
        node: NodeKey,
        /// What that node's clock shows.
        clock: Timestamp,
        /// The records.
        records: &'a [Record],
        /// Whether the disk would have all of them after a power cut.
        durable: bool,
    },
    /// A node was started over its disk, and this is what it read there.
    Opened {
        /// Which.
        node: NodeKey,
        /// Every record of its journal.
        records: &'a [Record],
        /// What opening found; none where the store was made.
        opened: Option<Opened>,
    },
    /// A flow that answers a peer panicked.
    Panicked {
        /// Whose.
        node: NodeKey,
    },
}

/// Who is told what happens. It must not call the network.
pub type Watcher = Box<dyn FnMut(Seen<'_>) + Send>;

#[derive(Default)]
struct Links {
    nodes: BTreeMap<NodeKey, Weak<Node<SimWorld>>>,
    cut: BTreeSet<(NodeKey, NodeKey)>,
    ended: BTreeMap<(NodeKey, NodeKey), watch::Sender<u64>>,
    tape: Vec<Frame>,
    trace: Vec<(u64, &'static str)>,
    middle: Option<Middle>,
    watcher: Option<Watcher>,
}

/// All links of one test.
pub struct SimNet {
    links: Mutex<Links>,
    latency_ms: AtomicU64,
    started: Instant,
}

/// What the clock of every node shows when a test starts: 2027-01-15.
pub const START_MS: u64 = 1_800_000_000_000;

impl SimNet {
    /// A network on which every frame takes so long.
    pub fn new(latency_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            links: Mutex::default(),
            latency_ms: AtomicU64::new(latency_ms),
            started: Instant::now(),
        })
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links
            .lock()
            .expect("no test panics while it holds the links")
    }

    /// Milliseconds since the test began.
    pub fn elapsed_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Connects a node, in place of an earlier run of it.
    pub fn attach(&self, node: &Arc<Node<SimWorld>>) {
        self.links()
            .nodes
            .insert(node.node_key(), Arc::downgrade(node));
    }

    /// Takes a node off the network: nobody reaches it.
    pub fn detach(&self, node: NodeKey) {
        self.links().nodes.remove(&node);
    }

    /// Holds back every frame from one node to another until [`Self::heal`].
    pub fn cut(&self, from: NodeKey, to: NodeKey) {
        self.links().cut.insert((from, to));
    }

    /// Ends what is under way between two nodes; what they begin afterwards passes.
    pub(crate) fn hang_up(&self, one: NodeKey, other: NodeKey) {
        for ends in [(one, other), (other, one)] {
            self.ended(ends).send_modify(|times| *times += 1);
        }
    }

    fn ended(&self, ends: (NodeKey, NodeKey)) -> watch::Sender<u64> {
        let mut links = self.links();
        let sender = links.ended.entry(ends);
        sender.or_insert_with(|| watch::Sender::new(0)).clone()
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        self.links().cut.clear();
    }

    /// Puts somebody between all nodes, or nobody.
    pub fn between(&self, middle: Option<Middle>) {
        self.links().middle = middle;
    }

    /// Lets somebody see everything, or nobody.
    pub fn watch(&self, watcher: Option<Watcher>) {
        self.links().watcher = watcher;
    }

    pub(crate) fn tell(&self, seen: Seen<'_>) {
        let Some(mut watcher) = self.links().watcher.take() else {
            return;
        };
        watcher(seen);
        self.links().watcher.get_or_insert(watcher);
    }

    /// How long a frame takes from here on.
    pub fn set_latency(&self, latency_ms: u64) {
        self.latency_ms.store(latency_ms, Ordering::Relaxed);
    }

    /// Every frame so far, as it was sent.
    pub fn tape(&self) -> Vec<Frame> {
        self.links().tape.clone()
    }

    /// Forgets tape and trace.
    pub fn rewind(&self) {
        let mut links = self.links();
        links.tape.clear();
        links.trace.clear();
    }

    /// Notes that something happened, in order.
    pub fn note(&self, what: &'static str) {
        let at = self.elapsed_ms();
        self.links().trace.push((at, what));
    }

    /// What was noted, in order.
    pub fn trace(&self) -> Vec<&'static str> {
        self.links().trace.iter().map(|(_, what)| *what).collect()
    }

    fn send(&self, frame: &mut Frame) -> Fate {
        self.tell(Seen::Sent(frame));
        let mut links = self.links();
        if links.watcher.is_none() {
            links.tape.push(frame.clone());
        }
        let middle = links.middle.take();
        drop(links);
        let Some(mut middle) = middle else {
            return Fate::Deliver;
        };
        let fate = middle(frame);
        self.links().middle.get_or_insert(middle);
        fate
    }

    async fn cross(&self, from: NodeKey, to: NodeKey) {
        sleep(Duration::from_millis(
            self.latency_ms.load(Ordering::Relaxed),
        ))
        .await;
        while self.links().cut.contains(&(from, to)) {
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn running(&self, node: NodeKey) -> Result<Arc<Node<SimWorld>>, CallError> {
        self.links()
            .nodes
            .get(&node)
            .and_then(Weak::upgrade)
            .filter(|node| node.world().is_on())
            .ok_or(CallError::Unreachable)
    }

    fn frame(&self, ends: (NodeKey, NodeKey), rpc: Rpc, kind: Kind, bytes: Bytes) -> Frame {
        Frame {
            from: ends.0,
            to: ends.1,
            rpc,
            kind,
            bytes,
            at_ms: self.elapsed_ms(),
        }
    }

    async fn question(
        &self,
        from: NodeKey,
        to: NodeKey,
        rpc: Rpc,
        body: Bytes,
    ) -> Result<(Arc<Node<SimWorld>>, Bytes), CallError> {
        let mut frame = self.frame((from, to), rpc, Kind::Question, body);
        let fate = self.send(&mut frame);
        self.arrive(fate, from, to).await?;
        let node = self.running(frame.to)?;
        self.tell(Seen::Arrived(&frame));
        if let Fate::Twice(later_ms) = fate {
            let (node, again) = (node.clone(), frame.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(later_ms)).await;
                let net = node.world().net();
                // What comes of it goes to nobody: the asker has one answer a question.
                let _unheard = net.serve(&node, again).await;
            });
        }
        Ok((node, frame.bytes))
    }

    /// Waits until a frame that was sent is there.
    async fn arrive(&self, fate: Fate, from: NodeKey, to: NodeKey) -> Result<(), CallError> {
        match fate {
            Fate::Deliver | Fate::Twice(_) => {}
            Fate::Break => return Err(CallError::Unreachable),
            Fate::Lose => std::future::pending().await,
            Fate::Delay(ms) => sleep(Duration::from_millis(ms)).await,
        }
        self.cross(from, to).await;
        Ok(())
    }

    /// Hands a captured question to a node once more, as whoever holds its bytes might.
    ///
    /// # Errors
    /// As for any question.
    pub async fn repeat(self: &Arc<Self>, captured: Frame) -> Result<Bytes, CallError> {
        let node = self.running(captured.to)?;
        self.serve(&node, captured).await
    }

    /// Lets a node answer a question, on a task of its own as in the daemon. Its answer is seen.
    async fn serve(
        self: &Arc<Self>,
        node: &Arc<Node<SimWorld>>,
        question: Frame,
    ) -> Result<Bytes, CallError> {
        let (from, to, rpc) = (question.from, question.to, question.rpc);
        let mut off = node.world().off();
        let (net, node) = (self.clone(), node.clone());
        let serving = tokio::spawn(async move {
            if rpc == Rpc::Fetch {
                return net.serve_parts(&node, question).await;
            }
            let answer = node.serve(from, rpc, question.bytes).await;
            let (kind, bytes) = match answer {
                Ok(bytes) => (Kind::Answer, bytes),
                Err(code) => (Kind::Refusal(code), Bytes::new()),
            };
            let frame = net.frame((to, from), rpc, kind, bytes);
            net.tell(Seen::Sent(&frame));
            match frame.kind {
                Kind::Refusal(code) => Err(CallError::Refused(code)),
                _ => Ok(frame.bytes),
            }
        });
        tokio::select! {
            biased;
            served = serving => self.unless_panicked(to, served)?,
            _ = off.wait_for(|off| *off) => Err(CallError::Unreachable),
        }
    }

    /// All parts of a fetch, the head returned.
    async fn serve_parts(
        &self,
        node: &Arc<Node<SimWorld>>,
        question: Frame,
    ) -> Result<Bytes, CallError> {
        let ends = (question.to, question.from);
        let parts = node
            .clone()
            .serve_fetch(question.from, question.bytes)
            .await;
        let mut parts = parts.map_err(CallError::Refused)?.boxed();
        let mut first = None;
        while let Some(part) = parts.next().await {
            let (kind, bytes) = named(part.map_err(CallError::Refused)?);
            let frame = self.frame(ends, Rpc::Fetch, kind, bytes);
            self.tell(Seen::Sent(&frame));
            first.get_or_insert(frame.bytes);
        }
        first.ok_or(CallError::Unreachable)
    }

    fn unless_panicked<T>(
        &self,
        node: NodeKey,
        served: Result<T, JoinError>,
    ) -> Result<T, CallError> {
        served.map_err(|error| {
            if error.is_panic() {
                self.tell(Seen::Panicked { node });
            }
            CallError::Unreachable
        })
    }

    /// Carries a call and its answer. The holder's flow is spawned, as in the daemon.
    pub(crate) async fn call(
        self: &Arc<Self>,
        from: NodeKey,
        to: NodeKey,
        rpc: Rpc,
        body: Bytes,
    ) -> Result<Bytes, CallError> {
        let (node, body) = self.question(from, to, rpc, body).await?;
        let mut off = node.world().off();
        let net = self.clone();
        let serving = tokio::spawn(async move {
            let answer = node.serve(from, rpc, body).await;
            let (kind, bytes) = match answer {
                Ok(bytes) => (Kind::Answer, bytes),
                Err(code) => (Kind::Refusal(code), Bytes::new()),
            };
            let mut frame = net.frame((to, from), rpc, kind, bytes);
            if rpc == Rpc::Release && kind == Kind::Answer {
                net.note(release_note(frame.bytes.len()));
            }
            let fate = net.send(&mut frame);
            (fate, frame)
        });
        let (fate, frame) = tokio::select! {
            biased;
            served = serving => self.unless_panicked(to, served)?,
            // The question had left: whoever asked cannot tell what became of it.
            _ = off.wait_for(|off| *off) => return Err(CallError::Lost),
        };
        self.arrive(fate, to, from)
            .await
            .map_err(|_| CallError::Lost)?;
        match frame.kind {
            Kind::Refusal(code) => Err(CallError::Refused(code)),
            _ => Ok(frame.bytes),
        }
    }

    /// Opens a fetch; each part crosses the link on its own.
    pub(crate) async fn open(
        self: &Arc<Self>,
        from: NodeKey,
        to: NodeKey,
        body: Bytes,
    ) -> Result<SimParts, CallError> {
        let (node, body) = self.question(from, to, Rpc::Fetch, body).await?;
        let mut off = node.world().off();
        let holder = node.clone();
        let opening = tokio::spawn(async move { holder.serve_fetch(from, body).await });
        let opened = tokio::select! {
            biased;
            opened = opening => self.unless_panicked(to, opened)?,
            _ = off.wait_for(|off| *off) => return Err(CallError::Lost),
        };
        let parts = opened.map_err(CallError::Refused)?.boxed();
        let net = self.clone();
        let ended = self.ended((to, from)).subscribe();
        let carried = stream::unfold(Some((parts, node)), move |state| {
            let (net, mut ended) = (net.clone(), ended.clone());
            async move {
                let (mut parts, node) = state?;
                let mut off = node.world().off();
                let part = tokio::select! {
                    biased;
                    _ = ended.changed() => return Some((Err(CallError::Lost), None)),
                    part = parts.next() => part?,
                    _ = off.wait_for(|off| *off) => return Some((Err(CallError::Lost), None)),
                };
                let part = match part {
                    Ok(part) => net.carry((to, from), part).await,
                    Err(code) => Err(CallError::Refused(code)),
                };
                let next = part.is_ok().then_some((parts, node));
                Some((part, next))
            }
        });
        Ok(SimParts(carried.boxed()))
    }

    async fn carry(
        &self,
        ends: (NodeKey, NodeKey),
        part: FetchPart,
    ) -> Result<FetchPart, CallError> {
        let (kind, bytes) = named(part);
        let mut frame = self.frame(ends, Rpc::Fetch, kind, bytes);
        let fate = self.send(&mut frame);
        self.arrive(fate, ends.0, ends.1).await?;
        Ok(match frame.kind {
            Kind::Leaves => FetchPart::Leaves(frame.bytes),
            Kind::Chunk(index) => FetchPart::Chunk {
                index,
                data: frame.bytes,
            },
            _ => FetchPart::Head(frame.bytes),
        })
    }
}

fn named(part: FetchPart) -> (Kind, Bytes) {
    match part {
        FetchPart::Head(bytes) => (Kind::Head, bytes),
        FetchPart::Leaves(bytes) => (Kind::Leaves, bytes),
        FetchPart::Chunk { index, data } => (Kind::Chunk(index), data),
    }
}

/// An answer with a key is longer than a refusal, which has no statement and no key in it.
fn release_note(len_bytes: usize) -> &'static str {
    if len_bytes > RELEASE_REFUSED_MAX_BYTES {
        "key left"
    } else {
        "release refused"
    }
}

/// More than a sealed refusal and less than a sealed release; `the sweep` checks both sides of it.
pub const RELEASE_REFUSED_MAX_BYTES: usize = 450;

/// Parts of a fetch as they arrive.
pub struct SimParts(BoxStream<'static, Result<FetchPart, CallError>>);

impl Stream for SimParts {
    type Item = Result<FetchPart, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}
