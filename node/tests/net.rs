//! Real nodes on loopback: what travels between them, and what survives when one of them does not.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use chartmesh_core::{
    crypto::SecretKey,
    ports::{CallError, FetchPart, Rpc},
    types::{NetworkId, NodeKey, PeerCode, limits},
};
use chartmesh_node::{
    api::peer::{PeerService, serve},
    net::{
        Carrier, Directory, Found, Net, NetConfig, NetError, NetEvent, PeerCalls, ReachConfig,
        address_bytes,
    },
};
use chartmesh_proto::{body::Signed, peer::Sealed};
use futures::{Stream, StreamExt, stream::BoxStream};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

const NETWORK: NetworkId = NetworkId([7; 32]);
const CHUNK: usize = 256 << 10;
/// Generous: a machine under load must not fail a test.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers what the ciphertext of a message asks for.
#[derive(Default)]
struct Fake {
    callers: Mutex<Vec<(NodeKey, Rpc)>>,
    gate: Option<Arc<Semaphore>>,
    finished: Arc<AtomicUsize>,
}

impl PeerService for Fake {
    fn is_member(&self, _: NodeKey) -> bool {
        true
    }

    fn metrics(&self) -> Arc<chartmesh_node::metrics::Metrics> {
        Arc::default()
    }

    async fn call(&self, from: NodeKey, rpc: Rpc, body: Bytes) -> Result<Bytes, PeerCode> {
        self.callers.lock().expect("a list").push((from, rpc));
        if matches!(rpc, Rpc::Hello | Rpc::Join) {
            return Ok(body);
        }
        let question = Sealed::decode(body.clone()).expect("a sealed message");
        let text = String::from_utf8_lossy(&question.ciphertext).into_owned();
        if text == "panic" {
            panic!("as asked");
        }
        if text == "wait" {
            let gate = self.gate.clone().expect("a gate");
            let _pass = gate.acquire().await.expect("an open gate");
            self.finished.fetch_add(1, Ordering::SeqCst);
        }
        match text.strip_prefix("refuse ").map(PeerCode::parse) {
            Some(code) => Err(code.expect("a code")),
            None => Ok(body),
        }
    }

    async fn fetch(
        &self,
        _: NodeKey,
        body: Bytes,
    ) -> Result<BoxStream<'static, Result<FetchPart, PeerCode>>, PeerCode> {
        let question = Sealed::decode(body.clone()).expect("a sealed message");
        let chunks = question.counter;
        let refuses = question.ciphertext == b"refuse";
        if refuses {
            return Err(PeerCode::Denied);
        }
        let panics = question.ciphertext == b"panic";
        let parts = (0..chunks).map(move |index| {
            assert!(!panics || index < 2, "as asked");
            let data = vec![u8::try_from(index % 251).expect("a byte"); CHUNK];
            Ok(FetchPart::Chunk {
                index,
                data: data.into(),
            })
        });
        let head = futures::stream::once(async move { Ok(FetchPart::Head(body)) });
        Ok(head.chain(futures::stream::iter(parts)).boxed())
    }
}

/// To whom everybody is a member.
struct Everybody;

impl Directory for Everybody {
    fn is_known(&self, _: NodeKey) -> bool {
        true
    }

    fn own_record(&self) -> Option<Vec<u8>> {
        None
    }

    fn read_record(&self, _: NodeKey, _: &[u8]) -> Option<Found> {
        None
    }
}

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

struct Node {
    key: NodeKey,
    net: Net,
    fake: Arc<Fake>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Node {
    async fn start(seed: u8) -> Self {
        Self::at(seed, &[TCP]).await
    }

    async fn at(seed: u8, listen: &[&str]) -> Self {
        let listen = listen.iter().map(|text| (*text).to_owned()).collect();
        Self::with(seed, NETWORK, listen, Fake::default()).await
    }

    async fn with(seed: u8, network: NetworkId, listen: Vec<String>, fake: Fake) -> Self {
        let (net, incoming) = Net::start(config(seed, network, listen))
            .await
            .expect("a network");
        let (fake, stop) = (Arc::new(fake), CancellationToken::new());
        let serving = serve(fake.clone(), incoming, stop.clone());
        let server = tokio::spawn(async move { serving.await.expect("a server") });
        Self {
            key: net.node(),
            net,
            fake,
            stop,
            server,
        }
    }

    fn addresses(&self) -> Vec<Vec<u8>> {
        self.net.told_addresses()
    }

    /// Calls that know where the other node is.
    fn to(&self, other: &Node) -> PeerCalls {
        let calls = self.net.calls();
        calls.learn(other.key, &other.addresses());
        calls
    }

    async fn stop(self) {
        self.stop.cancel();
        self.net.stop().await;
        self.server.await.expect("an orderly end");
    }
}

fn config(seed: u8, network: NetworkId, listen: Vec<String>) -> NetConfig {
    NetConfig {
        seed: SecretKey::new([seed; 32]),
        network,
        listen,
        directory: Arc::new(Everybody),
        reach: ReachConfig::default(),
    }
}

/// The key of a node that runs nowhere.
async fn absent(seed: u8) -> NodeKey {
    let (net, _) = Net::start(config(seed, NETWORK, Vec::new()))
        .await
        .expect("a network");
    net.stop().await;
    net.node()
}

fn sealed(text: &str) -> Bytes {
    sealed_bytes(text.as_bytes().to_vec())
}

fn sealed_bytes(ciphertext: Vec<u8>) -> Bytes {
    let message = Sealed {
        suite: 1,
        ciphertext,
        ..Sealed::default()
    };
    message.encode_to_vec().into()
}

fn fetch(chunks: u64, text: &str) -> Bytes {
    let message = Sealed {
        counter: chunks,
        ciphertext: text.as_bytes().to_vec(),
        ..Sealed::default()
    };
    message.encode_to_vec().into()
}

/// Reads a fetch to its end and gives the number of chunk bytes.
async fn drain(calls: &PeerCalls, to: NodeKey, chunks: u64) -> Result<usize, CallError> {
    let mut parts = calls.open(to, fetch(chunks, "")).await?;
    let (mut expected, mut bytes) = (0, 0);
    while let Some(part) = parts.next().await {
        match part? {
            FetchPart::Head(_) => assert_eq!(bytes, 0),
            FetchPart::Leaves(_) => panic!("no leaves were sent"),
            FetchPart::Chunk { index, data } => {
                assert_eq!(index, expected);
                let fill = u8::try_from(index % 251).expect("a byte");
                assert!(data.iter().all(|byte| *byte == fill));
                expected += 1;
                bytes += data.len();
            }
        }
    }
    Ok(bytes)
}

/// Calls until an answer comes; the deadline is the test's, the pauses are the network's own.
async fn eventually(calls: &PeerCalls, to: NodeKey) -> Duration {
    let start = Instant::now();
    loop {
        match calls.call(to, Rpc::Members, sealed("again")).await {
            Ok(_) => return start.elapsed(),
            Err(error) => assert!(start.elapsed() < PATIENCE, "still {error}"),
        }
        tokio::task::yield_now().await;
    }
}

async fn event(
    events: &mut tokio::sync::broadcast::Receiver<NetEvent>,
    wanted: NetEvent,
) -> Duration {
    let start = Instant::now();
    let seen = async { while events.recv().await.expect("an event") != wanted {} };
    tokio::time::timeout(PATIENCE, seen)
        .await
        .expect("the event in time");
    start.elapsed()
}

#[tokio::test]
async fn every_call_reaches_the_service_with_the_proven_caller() {
    for listen in [TCP, QUIC] {
        let (asker, holder) = (Node::at(1, &[listen]).await, Node::at(2, &[listen]).await);
        let calls = asker.to(&holder);
        let signed: Bytes = Signed::default().encode_to_vec().into();

        for rpc in [Rpc::Hello, Rpc::Join, Rpc::Charters] {
            assert_eq!(
                calls.call(holder.key, rpc, signed.clone()).await,
                Ok(signed.clone())
            );
        }
        for rpc in [
            Rpc::Members,
            Rpc::Locate,
            Rpc::List,
            Rpc::Release,
            Rpc::Propose,
        ] {
            let body = sealed("hello");
            assert_eq!(calls.call(holder.key, rpc, body.clone()).await, Ok(body));
        }

        let seen = holder.fake.callers.lock().expect("a list").clone();
        assert!(seen.iter().all(|(from, _)| *from == asker.key));
        let rpcs: Vec<Rpc> = seen.iter().map(|(_, rpc)| *rpc).collect();
        assert_eq!(
            rpcs,
            [
                Rpc::Hello,
                Rpc::Join,
                Rpc::Charters,
                Rpc::Members,
                Rpc::Locate,
                Rpc::List,
                Rpc::Release,
                Rpc::Propose
            ]
        );
    }
}

#[tokio::test]
async fn a_fetch_brings_eight_mebibytes_in_order() {
    for listen in [TCP, QUIC] {
        let (asker, holder) = (Node::at(1, &[listen]).await, Node::at(2, &[listen]).await);
        let calls = asker.to(&holder);

        let bytes = drain(&calls, holder.key, 32).await;

        assert_eq!(bytes, Ok(8 << 20));
        let refused = calls.open(holder.key, fetch(32, "refuse")).await;
        assert_eq!(refused.err(), Some(CallError::Refused(PeerCode::Denied)));
    }
}

#[tokio::test]
async fn every_peer_code_survives_the_trip() {
    let (asker, holder) = (Node::start(1).await, Node::start(2).await);
    let calls = asker.to(&holder);

    for code in PeerCode::ALL {
        let question = sealed(&format!("refuse {code}"));
        let answer = calls.call(holder.key, Rpc::Locate, question).await;

        assert_eq!(answer, Err(CallError::Refused(*code)));
    }
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_and_the_connection_lives() {
    for listen in [TCP, QUIC] {
        let (asker, holder) = (Node::at(1, &[listen]).await, Node::at(2, &[listen]).await);
        let calls = asker.to(&holder);
        let mut events = asker.net.events();
        let most = limits::PEER_MESSAGE_MAX_BYTES - 64;
        let fits = calls
            .call(holder.key, Rpc::List, sealed_bytes(vec![1; most]))
            .await;
        assert!(fits.is_ok());

        let beyond = calls
            .call(holder.key, Rpc::List, sealed_bytes(vec![1; most + 65]))
            .await;

        assert_eq!(beyond, Err(CallError::Refused(PeerCode::Malformed)));
        assert!(
            calls
                .call(holder.key, Rpc::List, sealed("on"))
                .await
                .is_ok()
        );
        event(&mut events, NetEvent::Connected(holder.key)).await;
        assert!(events.try_recv().is_err(), "one connection, never closed");
    }
}

#[tokio::test]
async fn a_body_that_is_no_message_is_not_sent() {
    let (asker, holder) = (Node::start(1).await, Node::start(2).await);
    let calls = asker.to(&holder);
    let malformed = Err(CallError::Refused(PeerCode::Malformed));
    assert!(calls.call(holder.key, Rpc::List, sealed("")).await.is_ok());

    let nonsense = Bytes::from_static(b"\xff\xff\xff");

    assert_eq!(
        calls.call(holder.key, Rpc::List, nonsense.clone()).await,
        malformed
    );
    assert_eq!(
        calls.call(holder.key, Rpc::Fetch, sealed("")).await,
        malformed
    );
    assert_eq!(
        calls.open(holder.key, nonsense).await.err(),
        Some(CallError::Refused(PeerCode::Malformed))
    );
    assert_eq!(holder.fake.callers.lock().expect("a list").len(), 1);
}

/// The hard case: the channel, the connection and the keeper all hold something of the dead node.
#[tokio::test]
async fn a_restarted_node_is_found_again_without_help() {
    for listen in [TCP, QUIC] {
        let (asker, holder) = (Node::at(1, &[listen]).await, Node::at(2, &[listen]).await);
        let holder_key = holder.key;
        let calls = asker.to(&holder);
        let mut events = asker.net.events();
        asker.net.keep(vec![(holder.key, holder.addresses())]);
        event(&mut events, NetEvent::Connected(holder.key)).await;
        assert!(
            calls
                .call(holder.key, Rpc::Locate, sealed(""))
                .await
                .is_ok()
        );
        let bound = holder.net.bound();

        holder.stop().await;
        event(&mut events, NetEvent::Disconnected(holder_key)).await;
        let gone = calls.call(holder_key, Rpc::Locate, sealed("")).await;
        let again = Node::with(2, NETWORK, bound.clone(), Fake::default()).await;
        let took = event(&mut events, NetEvent::Connected(holder_key)).await;

        assert_eq!(gone, Err(CallError::Unreachable));
        assert!(took < PATIENCE);
        assert_eq!(again.net.bound(), bound);
        assert!(
            calls
                .call(holder_key, Rpc::Locate, sealed(""))
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn a_restarted_node_is_found_again_on_demand() {
    for listen in [TCP, QUIC] {
        let (asker, holder) = (Node::at(1, &[listen]).await, Node::at(2, &[listen]).await);
        let holder_key = holder.key;
        let calls = asker.to(&holder);
        assert!(
            calls
                .call(holder.key, Rpc::Locate, sealed(""))
                .await
                .is_ok()
        );
        let bound = holder.net.bound();

        holder.stop().await;
        let _again = Node::with(2, NETWORK, bound, Fake::default()).await;

        assert!(eventually(&calls, holder_key).await < PATIENCE);
    }
}

#[tokio::test]
async fn a_node_with_another_key_at_the_address_is_not_accepted() {
    for listen in [TCP, QUIC] {
        let (asker, holder) = (Node::at(1, &[listen]).await, Node::at(2, &[listen]).await);
        let impostor = Node::at(3, &[listen]).await;
        let calls = asker.to(&holder);
        assert!(
            calls
                .call(holder.key, Rpc::Locate, sealed(""))
                .await
                .is_ok()
        );
        asker.net.disconnect(holder.key);

        calls.learn(holder.key, &impostor.addresses());
        let answer = calls.call(holder.key, Rpc::Locate, sealed("")).await;

        assert_eq!(answer, Err(CallError::Unreachable));
        assert!(impostor.fake.callers.lock().expect("a list").is_empty());
    }
}

#[tokio::test]
async fn a_node_of_another_network_is_incompatible() {
    let (asker, holder) = (Node::start(1).await, Node::start(2).await);
    let listen = vec![TCP.into()];
    let stranger = Node::with(3, NetworkId([8; 32]), listen, Fake::default()).await;
    let calls = asker.to(&holder);
    calls.learn(stranger.key, &stranger.addresses());
    assert!(
        calls
            .call(holder.key, Rpc::Locate, sealed(""))
            .await
            .is_ok()
    );

    let answer = calls.call(stranger.key, Rpc::Locate, sealed("")).await;

    assert_eq!(answer, Err(CallError::Incompatible));
}

#[tokio::test]
async fn nobody_at_the_address_is_told_within_the_time_to_connect() {
    let (asker, holder) = (Node::start(1).await, Node::start(2).await);
    let calls = asker.to(&holder);
    assert!(
        calls
            .call(holder.key, Rpc::Locate, sealed(""))
            .await
            .is_ok()
    );
    // The system accepts for it, and nobody ever answers.
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = mute.local_addr().expect("its address").port();
    let nowhere = address_bytes(&format!("/ip4/127.0.0.1/tcp/{port}")).expect("an address");
    let (silent, unheard) = (absent(9).await, absent(10).await);
    calls.learn(silent, &[nowhere]);

    let start = Instant::now();
    let mut askers = JoinSet::new();
    for _ in 0..16 {
        let calls = calls.clone();
        askers.spawn(async move { calls.call(silent, Rpc::Locate, sealed("")).await });
    }
    let answers = askers.join_all().await;
    let unknown = calls.call(unheard, Rpc::Locate, sealed("")).await;
    let own = calls.call(asker.key, Rpc::Locate, sealed("")).await;

    assert!(
        answers
            .iter()
            .all(|answer| *answer == Err(CallError::Unreachable))
    );
    assert_eq!(unknown, Err(CallError::Unreachable));
    assert_eq!(own, Err(CallError::Unreachable));
    let most = Duration::from_millis(limits::CONNECT_MAX.0);
    assert!(start.elapsed() < most + Duration::from_secs(3));
}

/// rust-libp2p#5410: streams over Yamux were seen to deadlock; this is the probe of `spike.md` 1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_fetches_both_ways_at_once_all_end() {
    for listen in [TCP, QUIC] {
        let (one, other) = (Node::at(1, &[listen]).await, Node::at(2, &[listen]).await);
        let (there, back) = (one.to(&other), other.to(&one));
        let mut fetches = JoinSet::new();
        for _ in 0..12 {
            let (there, back, keys) = (there.clone(), back.clone(), (one.key, other.key));
            fetches.spawn(async move { drain(&there, keys.1, 32).await });
            fetches.spawn(async move { drain(&back, keys.0, 32).await });
        }

        let ended = tokio::time::timeout(PATIENCE, fetches.join_all()).await;

        let bytes = ended.expect("no deadlock");
        assert_eq!(bytes.len(), 24);
        assert!(bytes.iter().all(|bytes| *bytes == Ok(8 << 20)));
    }
}

#[tokio::test]
async fn a_handler_that_panics_ends_nothing_but_its_call() {
    for listen in [TCP, QUIC] {
        let (asker, holder) = (Node::at(1, &[listen]).await, Node::at(2, &[listen]).await);
        let calls = asker.to(&holder);
        let mut parts = calls
            .open(holder.key, fetch(8, "panic"))
            .await
            .expect("parts");

        for rpc in [Rpc::Members, Rpc::List, Rpc::Release] {
            let answer = calls.call(holder.key, rpc, sealed("panic")).await;
            assert_eq!(answer, Err(CallError::Refused(PeerCode::Unavailable)));
        }
        let answer = calls.call(holder.key, Rpc::Locate, sealed("panic")).await;
        let mut last = None;
        while let Some(part) = parts.next().await {
            last = part.err();
        }

        let unavailable = CallError::Refused(PeerCode::Unavailable);
        assert_eq!(answer, Err(unavailable));
        assert_eq!(last, Some(unavailable));
        assert!(
            calls
                .call(holder.key, Rpc::Locate, sealed(""))
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn work_goes_on_when_its_caller_goes_away() {
    let gate = Arc::new(Semaphore::new(0));
    let (asker, holder) = (Node::start(1).await, gated(2, &gate).await);
    let calls = asker.to(&holder);

    abandon(&calls, &holder, 1).await;
    gate.add_permits(Semaphore::MAX_PERMITS);

    reached(|| holder.fake.finished.load(Ordering::SeqCst), 1).await;
}

#[tokio::test]
async fn abandoned_calls_count_against_their_caller_until_they_end() {
    let gate = Arc::new(Semaphore::new(0));
    let (asker, holder) = (Node::start(1).await, gated(2, &gate).await);
    let other = Node::start(3).await;
    let calls = asker.to(&holder);
    let burst = usize::try_from(limits::CALLS_PER_CONNECTION_MAX).expect("a small number");
    for _ in 0..limits::CALLS_PER_PEER_MAX / burst {
        abandon(&calls, &holder, burst).await;
    }

    let beyond = calls.call(holder.key, Rpc::Locate, sealed("")).await;
    let foreign = other
        .to(&holder)
        .call(holder.key, Rpc::Locate, sealed(""))
        .await;

    assert_eq!(beyond, Err(CallError::Refused(PeerCode::OverBudget)));
    assert!(foreign.is_ok());
    gate.add_permits(Semaphore::MAX_PERMITS);
    reached(
        || holder.fake.finished.load(Ordering::SeqCst),
        limits::CALLS_PER_PEER_MAX,
    )
    .await;
    assert!(
        calls
            .call(holder.key, Rpc::Locate, sealed(""))
            .await
            .is_ok()
    );
}

async fn gated(seed: u8, gate: &Arc<Semaphore>) -> Node {
    let fake = Fake {
        gate: Some(gate.clone()),
        ..Fake::default()
    };
    let listen = vec![TCP.into()];
    Node::with(seed, NETWORK, listen, fake).await
}

/// Starts calls that wait at the gate, and drops them once the holder works on all.
async fn abandon(calls: &PeerCalls, holder: &Node, count: usize) {
    let count_calls = || holder.fake.callers.lock().expect("a list").len();
    let wanted = count_calls() + count;
    let mut waiting = JoinSet::new();
    for _ in 0..count {
        let (calls, to) = (calls.clone(), holder.key);
        waiting.spawn(async move { calls.call(to, Rpc::Locate, sealed("wait")).await });
    }
    reached(count_calls, wanted).await;
    waiting.shutdown().await;
}

async fn reached(count: impl Fn() -> usize, wanted: usize) {
    let start = Instant::now();
    while count() < wanted {
        assert!(start.elapsed() < PATIENCE, "{} of {wanted}", count());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_node_that_is_disconnected_is_not_dialled() {
    for listen in [TCP, QUIC] {
        let (asker, holder) = (Node::at(1, &[listen]).await, Node::at(2, &[listen]).await);
        let calls = asker.to(&holder);
        let mut events = asker.net.events();
        asker.net.keep(vec![(holder.key, holder.addresses())]);
        event(&mut events, NetEvent::Connected(holder.key)).await;
        assert!(
            calls
                .call(holder.key, Rpc::Locate, sealed(""))
                .await
                .is_ok()
        );

        asker.net.disconnect(holder.key);
        event(&mut events, NetEvent::Disconnected(holder.key)).await;
        let answer = calls.call(holder.key, Rpc::Locate, sealed("")).await;

        assert_eq!(answer, Err(CallError::Unreachable));
        assert!(asker.net.connections().is_empty());
    }
}

/// The peer takes nothing any more, so an orderly end would wait for it for ever.
#[tokio::test]
async fn a_node_that_takes_nothing_is_cut_off_within_two_seconds() {
    let (asker, holder) = (Node::start(1).await, Node::start(2).await);
    let port = holder.net.bound()[0].rsplit('/').next().map(str::to_owned);
    let to = format!("127.0.0.1:{}", port.expect("a port"));
    let (through, freeze) = proxy(to).await;
    let address = address_bytes(&format!("/ip4/127.0.0.1/tcp/{through}")).expect("an address");
    let calls = asker.net.calls();
    calls.learn(holder.key, &[address]);
    let mut parts = calls
        .open(holder.key, fetch(4_096, ""))
        .await
        .expect("parts");
    assert!(parts.next().await.is_some());
    freeze.cancel();
    assert_eq!(holder.net.connections().len(), 1);

    let start = Instant::now();
    holder.net.disconnect(asker.key);
    while !holder.net.connections().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(2));
        tokio::task::yield_now().await;
    }

    assert!(holder.net.connections().is_empty());
}

/// A way to an address that carries nothing more once it is told so, and stays open.
async fn proxy(to: String) -> (u16, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let freeze = CancellationToken::new();
    let frozen = freeze.clone();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (to, frozen) = (to.clone(), frozen.clone());
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.expect("the node behind");
                tokio::select! {
                    ended = tokio::io::copy_bidirectional(&mut near, &mut far) => drop(ended),
                    () = frozen.cancelled() => std::future::pending::<()>().await,
                }
            });
        }
    });
    (port, freeze)
}

/// Both dial at once, so that two connections may stand.
#[tokio::test]
async fn nodes_that_keep_each_other_call_each_other() {
    for listen in [TCP, QUIC] {
        let (one, other) = (Node::at(1, &[listen]).await, Node::at(2, &[listen]).await);
        let (mut here, mut there) = (one.net.events(), other.net.events());
        one.net.keep(vec![(other.key, other.addresses())]);
        other.net.keep(vec![(one.key, one.addresses())]);
        event(&mut here, NetEvent::Connected(other.key)).await;
        event(&mut there, NetEvent::Connected(one.key)).await;

        let (calls, back) = (one.net.calls(), other.net.calls());
        let bytes = tokio::join!(drain(&calls, other.key, 4), drain(&back, one.key, 4));

        assert_eq!(bytes, (Ok(4 * CHUNK), Ok(4 * CHUNK)));
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_on_does_not_stop_the_others() {
    // TEST-NET-1 (RFC 5737) is nobody's own address.
    let foreign = "/ip4/192.0.2.1/tcp/7420".to_owned();
    let both = vec![foreign.clone(), TCP.to_owned()];

    let node = Node::with(4, NETWORK, both, Fake::default()).await;
    let none = Net::start(config(5, NETWORK, vec![foreign.clone()])).await;

    assert_eq!(node.net.bound()[0], foreign);
    assert_eq!(node.net.listen_addresses().len(), 1);
    assert!(matches!(none.err(), Some(NetError::Listen(_))));
}

#[tokio::test]
async fn connections_tell_node_address_and_carrier() {
    for (listen, carrier) in [(TCP, Carrier::Tcp), (QUIC, Carrier::Quic)] {
        let (asker, holder) = (Node::start(1).await, Node::at(2, &[listen]).await);
        let calls = asker.to(&holder);
        assert!(
            calls
                .call(holder.key, Rpc::Locate, sealed(""))
                .await
                .is_ok()
        );

        let connections = asker.net.connections();

        let [connection] = &connections[..] else {
            panic!("{} connections", connections.len());
        };
        assert_eq!(connection.node, holder.key);
        assert!(!connection.relayed);
        assert_eq!(connection.carriers, [carrier]);
        let [address] = &connection.addresses[..] else {
            panic!("one address");
        };
        assert!(address.starts_with(&holder.net.listen_addresses()[0]));
    }
}

/// Both addresses are dialled; one connection is kept.
#[tokio::test]
async fn a_node_that_listens_twice_is_connected_once() {
    let (asker, holder) = (Node::start(1).await, Node::at(2, &[TCP, QUIC]).await);
    assert_eq!(holder.addresses().len(), 2);
    let calls = asker.to(&holder);

    for _ in 0..8 {
        let answer = calls.call(holder.key, Rpc::Locate, sealed("")).await;
        assert!(answer.is_ok());
    }

    let connections = asker.net.connections();
    assert_eq!(connections.len(), 1);
    assert_eq!(connections[0].carriers.len(), 1);
}

/// A firewall that drops UDP, or TCP, leaves the other.
#[tokio::test]
async fn an_address_that_does_not_answer_leaves_the_other() {
    let asker = Node::start(1).await;
    for (seed, dead) in [
        (2, "/ip4/127.0.0.1/tcp/9"),
        (3, "/ip4/127.0.0.1/udp/9/quic-v1"),
    ] {
        let holder = Node::at(seed, &[TCP, QUIC]).await;
        let calls = asker.net.calls();
        let quic = dead.contains("tcp");
        let mut addresses = vec![address_bytes(dead).expect("an address")];
        let alive = holder.net.bound().into_iter();
        let alive = alive.filter(|text| text.contains("quic") == quic);
        addresses.extend(alive.map(|text| address_bytes(&text).expect("an address")));
        calls.learn(holder.key, &addresses);

        let answer = calls.call(holder.key, Rpc::Locate, sealed("")).await;

        assert!(answer.is_ok());
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    for listen in [TCP, QUIC] {
        let holder = Node::at(2, &[listen]).await;
        let taken = holder.net.bound();
        let port = taken[0]
            .split('/')
            .nth(4)
            .and_then(|port| port.parse().ok());
        let free = Net::start(config(3, NETWORK, vec![listen.into()])).await;
        assert!(free.is_ok());

        let refused = Net::start(config(3, NETWORK, taken)).await.err();

        assert!(matches!(refused, Some(NetError::PortTaken { port: told }) if Some(told) == port));
    }
}

#[tokio::test]
async fn only_tcp_and_quic_addresses_are_listened_on() {
    for (text, malformed) in [
        ("nonsense", true),
        ("/ip4/127.0.0.1/udp/0", false),
        ("/ip4/127.0.0.1/tcp/0/ws", false),
    ] {
        let refused = Net::start(config(3, NETWORK, vec![text.into()]))
            .await
            .err();

        match refused {
            Some(NetError::Address) => assert!(malformed),
            Some(NetError::Unsupported) => assert!(!malformed),
            _ => panic!("{text} was not refused"),
        }
    }
}

#[tokio::test]
async fn every_interface_is_listened_on_with_one_port() {
    let listen = vec!["/ip4/0.0.0.0/tcp/0".to_owned()];
    let node = Node::with(4, NETWORK, listen, Fake::default()).await;

    let bound = node.net.bound();
    let port = bound[0].strip_prefix("/ip4/0.0.0.0/tcp/").expect("a port");

    assert_ne!(port, "0");
    let loopback = format!("/ip4/127.0.0.1/tcp/{port}");
    assert!(node.net.listen_addresses().contains(&loopback));
}

#[tokio::test]
async fn silent_connections_beyond_the_limit_are_closed_at_once() {
    let (asker, holder) = (Node::start(1).await, Node::start(2).await);
    let port = holder.net.bound()[0].rsplit('/').next().map(str::to_owned);
    let address = format!("127.0.0.1:{}", port.expect("a port"));
    let calls = asker.to(&holder);
    assert!(
        calls
            .call(holder.key, Rpc::Locate, sealed(""))
            .await
            .is_ok()
    );

    let start = Instant::now();
    let most = usize::try_from(limits::CONNECTIONS_PENDING_MAX).expect("a small number");
    let mut silent = JoinSet::new();
    for _ in 0..most + 16 {
        let mut socket = TcpStream::connect(&address).await.expect("a connection");
        silent.spawn(async move { while socket.read_u8().await.is_ok() {} });
    }
    for _ in 0..16 {
        silent
            .join_next()
            .await
            .expect("a socket")
            .expect("its end");
    }

    // Those within the limit end with the time to connect, and not before.
    assert!(start.elapsed() < Duration::from_millis(limits::CONNECT_MAX.0));
    assert!(
        calls
            .call(holder.key, Rpc::Locate, sealed(""))
            .await
            .is_ok()
    );
}

/// What reaches the port without a handshake reaches no parser behind it.
///
/// The hard case is bytes that are right one layer further in: a whole HTTP/2 request for the service.
#[tokio::test]
async fn no_bytes_without_a_handshake_reach_the_service() {
    let (asker, holder) = (Node::start(1).await, Node::start(2).await);
    let port = holder.net.bound()[0].rsplit('/').next().map(str::to_owned);
    let address = format!("127.0.0.1:{}", port.expect("a port"));
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".as_slice();
    let message = sealed("").to_vec();
    let selected = |protocol: &str, rest: &[u8]| {
        let line = |text: &str| [&[text.len() as u8 + 1], text.as_bytes(), b"\n"].concat();
        [&line("/multistream/1.0.0"), &line(protocol), rest].concat()
    };
    let attempts = [
        preface.to_vec(),
        [preface, &message].concat(),
        message.clone(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"<!DOCTYPE x [<!ENTITY y SYSTEM \"file:///etc/passwd\">]><x>&y;</x>".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\x0bMSH|^~\\&|A|B\r\x1c\r".to_vec(),
        selected("/plaintext/2.0.0", preface),
        selected("/noise", preface),
        selected("/noise", &[0xFF; 4_096]),
        selected("/chartmesh/0707070707070707/grpc/1", preface),
        vec![0; 65_536],
    ];

    let mut tried = JoinSet::new();
    for bytes in attempts {
        let address = address.clone();
        tried.spawn(async move {
            let mut socket = TcpStream::connect(&address).await.expect("a connection");
            // It may be closed before all is written, or half-way through its own greeting.
            let _either = socket.write_all(&bytes).await;
            let mut told = Vec::new();
            let _either = socket.read_to_end(&mut told).await;
            told
        });
    }
    while let Some(told) = tokio::time::timeout(PATIENCE, tried.join_next())
        .await
        .expect("each is closed")
    {
        let told = told.expect("a task that only reads");
        assert!(told.len() < 1_024, "{} bytes for nobody", told.len());
    }

    assert!(holder.fake.callers.lock().expect("a list").is_empty());
    let calls = asker.to(&holder);
    let honest = calls.call(holder.key, Rpc::Locate, sealed(""));
    assert!(honest.await.is_ok());
    assert_eq!(holder.fake.callers.lock().expect("a list").len(), 1);
}

/// What a man in the middle does to the bytes on their way, and how often it did.
#[derive(Default)]
struct Flips {
    wanted: Mutex<Option<Flip>>,
    done: AtomicUsize,
}

/// One bit of what is carried next.
#[derive(Clone, Copy)]
struct Flip {
    way: Way,
    at: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToHolder,
    ToAsker,
}

/// Where in a piece of what is carried: its length in front, its first ciphertext, its last tag.
#[derive(Clone, Copy, Debug)]
enum Place {
    First,
    Third,
    Middle,
    Last,
}

impl Flips {
    fn want(&self, way: Way, at: Place) {
        *self.wanted.lock().expect("a flip") = Some(Flip { way, at });
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    fn pass(&self, way: Way, bytes: &mut [u8]) {
        let mut wanted = self.wanted.lock().expect("a flip");
        let Some(flip) = wanted.filter(|flip| flip.way == way && bytes.len() > 2) else {
            return;
        };
        *wanted = None;
        let at = match flip.at {
            Place::First => 0,
            Place::Third => 2,
            Place::Middle => bytes.len() / 2,
            Place::Last => bytes.len() - 1,
        };
        bytes[at] ^= 1;
        self.done.fetch_add(1, Ordering::SeqCst);
    }
}

/// A way to an address on which single bits change when somebody wants it.
async fn man_in_the_middle(to: String, flips: Arc<Flips>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&to).await.expect("the node behind");
            let ((near_from, near_to), (far_from, far_to)) = (near.into_split(), far.into_split());
            tokio::spawn(carry(near_from, far_to, Way::ToHolder, flips.clone()));
            tokio::spawn(carry(far_from, near_to, Way::ToAsker, flips.clone()));
        }
    });
    port
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way, flips: Arc<Flips>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        flips.pass(way, &mut buffer[..len]);
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}

/// Row 83. Every byte of a chunk is compared where it arrives, and a call that meets a changed bit ends by
/// name; the next one finds the holder again.
#[tokio::test]
async fn a_bit_changed_on_the_way_ends_the_connection_and_no_wrong_byte_arrives() {
    const CHUNKS: u64 = 16;
    let whole = CHUNKS as usize * CHUNK;
    let (asker, holder) = (Node::start(1).await, Node::start(2).await);
    let port = holder.net.bound()[0].rsplit('/').next().map(str::to_owned);
    let to = format!("127.0.0.1:{}", port.expect("a port"));
    let flips = Arc::new(Flips::default());
    let through = man_in_the_middle(to, flips.clone()).await;
    let address = address_bytes(&format!("/ip4/127.0.0.1/tcp/{through}")).expect("an address");
    let calls = asker.net.calls();
    calls.learn(holder.key, &[address]);
    let mut events = asker.net.events();
    assert_eq!(drain(&calls, holder.key, CHUNKS).await, Ok(whole));

    let mut changed = 0;
    for way in [Way::ToHolder, Way::ToAsker] {
        for at in [Place::First, Place::Third, Place::Middle, Place::Last] {
            let mut parts = calls
                .open(holder.key, fetch(CHUNKS, ""))
                .await
                .expect("an honest beginning");
            assert!(matches!(parts.next().await, Some(Ok(FetchPart::Head(_)))));
            flips.want(way, at);

            let under_way = rest(&mut parts).await;
            let next = calls.call(holder.key, Rpc::Members, sealed("next")).await;

            changed += 1;
            assert_eq!(flips.done(), changed, "{way:?} {at:?}");
            let ended = under_way.err().or(next.err());
            assert!(ended.is_some(), "{way:?} {at:?}: nobody noticed");
            event(&mut events, NetEvent::Disconnected(holder.key)).await;
            eventually(&calls, holder.key).await;
            assert_eq!(drain(&calls, holder.key, CHUNKS).await, Ok(whole));
        }
    }
}

/// Reads what is left of a fetch; what arrives must be right.
async fn rest(
    parts: &mut (impl Stream<Item = Result<FetchPart, CallError>> + Unpin),
) -> Result<(), CallError> {
    while let Some(part) = parts.next().await {
        let FetchPart::Chunk { index, data } = part? else {
            panic!("a head comes once, and no leaves were sent");
        };
        let fill = u8::try_from(index % 251).expect("a byte");
        assert!(data.len() == CHUNK && data.iter().all(|byte| *byte == fill));
    }
    Ok(())
}
