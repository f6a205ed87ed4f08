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
    types::{NodeKey, PeerCode},
};
use futures::{Stream, StreamExt, stream, stream::BoxStream};
use tokio::{
    sync::watch,
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
}

/// What the one in the middle does with each frame.
pub type Middle = Box<dyn FnMut(&mut Frame) -> Fate + Send>;

#[derive(Default)]
struct Links {
    nodes: BTreeMap<NodeKey, Weak<Node<SimWorld>>>,
    cut: BTreeSet<(NodeKey, NodeKey)>,
    ended: BTreeMap<(NodeKey, NodeKey), watch::Sender<u64>>,
    tape: Vec<Frame>,
    trace: Vec<(u64, &'static str)>,
    middle: Option<Middle>,
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

    pub(crate) fn instant(&self, elapsed_ms: u64) -> Instant {
        self.started + Duration::from_millis(elapsed_ms)
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
        let mut links = self.links();
        links.tape.push(frame.clone());
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
        if self.send(&mut frame) == Fate::Break {
            return Err(CallError::Unreachable);
        }
        self.cross(from, to).await;
        Ok((self.running(frame.to)?, frame.bytes))
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
            served = serving => served.map_err(|_| CallError::Unreachable)?,
            _ = off.wait_for(|off| *off) => return Err(CallError::Unreachable),
        };
        self.cross(to, from).await;
        match (fate, frame.kind) {
            (Fate::Break, _) => Err(CallError::Unreachable),
            (Fate::Deliver, Kind::Refusal(code)) => Err(CallError::Refused(code)),
            (Fate::Deliver, _) => Ok(frame.bytes),
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
            opened = opening => opened.map_err(|_| CallError::Unreachable)?,
            _ = off.wait_for(|off| *off) => return Err(CallError::Unreachable),
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
                    _ = off.wait_for(|off| *off) => return Some((Err(CallError::Unreachable), None)),
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
        let (kind, bytes) = match part {
            FetchPart::Head(bytes) => (Kind::Head, bytes),
            FetchPart::Leaves(bytes) => (Kind::Leaves, bytes),
            FetchPart::Chunk { index, data } => (Kind::Chunk(index), data),
        };
        let mut frame = self.frame(ends, Rpc::Fetch, kind, bytes);
        let fate = self.send(&mut frame);
        self.cross(ends.0, ends.1).await;
        if fate == Fate::Break {
            return Err(CallError::Unreachable);
        }
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

/// An answer with a key is longer than a refusal, which has no statement and no key in it.
fn release_note(len_bytes: usize) -> &'static str {
    if len_bytes > RELEASE_REFUSED_MAX_BYTES {
        "key left"
    } else {
        "release refused"
    }
}

/// More than a sealed refusal and less than a sealed release; `the sweep` checks both sides of it.
const RELEASE_REFUSED_MAX_BYTES: usize = 450;

/// Parts of a fetch as they arrive.
pub struct SimParts(BoxStream<'static, Result<FetchPart, CallError>>);

impl Stream for SimParts {
    type Item = Result<FetchPart, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}
