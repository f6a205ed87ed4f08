//! Floods and malformed bytes against a real daemon: it goes on answering honest members in time, holds
//! no more memory than it may, and recovers (`threats.md` 1; rows 28, 31 to 35 of 2).
//!
//! Each lasts a few seconds here. `CHARTMESH_LONG=3600 cargo test --package chartmesh-node --features floods
//! --test floods` runs each for so many seconds, with more of everything.

mod frame;
mod http2;
mod quic;
mod raw;
mod town;

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use chartmesh_core::types::limits;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt, stream};
use hyper_util::rt::TokioIo;
use libp2p::{core::muxing::SubstreamBox, identity::Keypair};
use tokio::{sync::Mutex, task::JoinSet};
use tokio_util::compat::FuturesAsyncReadCompatExt;
use tonic::{
    body::Body,
    codegen::{Service, http},
    transport::Endpoint,
};
use tower::ServiceExt;

use crate::{
    raw::{Ears, Poured, closes, dial, muxed, pour, unframed},
    town::{CALL_MAX, HONEST, HOSTILE, PATIENCE, Town, count, lasts, other_host},
};

/// Gives the pieces of a flood, by their number.
type Piece<'a> = dyn Fn(u64) -> Vec<u8> + Sync + 'a;

/// One flood at a time, so that the figures are those of one flood.
static ALONE: Mutex<()> = Mutex::const_new(());

fn say(what: &str, seen: &impl std::fmt::Debug) {
    println!("{what}: {seen:?}");
}

/// CVE-2026-32314 and CVE-2026-31814: frames that made Yamux panic, each after a real handshake; and
/// frames that cost their sender nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn yamux_frames_that_panicked_once_close_their_connection_and_nothing_else() {
    let _alone = ALONE.lock().await;
    let town = Town::found("").await;
    let too_long = [frame::yamux(0, 1, 1, 262_145), vec![0; 262_145]].concat();
    let overflow = [
        frame::yamux(1, 1, 1, 0xffff_0000),
        frame::yamux(1, 0, 1, 0xffff_0000),
    ]
    .concat();
    let (ours, unknown) = (frame::yamux(0, 1, 2, 0), vec![9; 12]);
    let malformed = async {
        let malformed = [
            ("a first frame of 262145 bytes", &too_long),
            ("a credit of 0xffff0000", &overflow),
            ("a stream of the other side", &ours),
            ("an unknown version", &unknown),
        ];
        let closing = malformed.map(async |(name, bytes)| {
            let mut io = unframed(HOSTILE, town.tcp, &town.rogue).await.expect(name);
            // The daemon may close before all is written.
            let _sent = io.write_all(bytes).await;
            let _flushed = io.flush().await;
            assert!(closes(&mut io, PATIENCE).await, "{name}");
        });
        futures::future::join_all(closing).await.len()
    };
    town.survives("malformed yamux frames", malformed).await;
    let again = |frame: Vec<u8>| move |_| frame.repeat(512);
    let pings = again(frame::yamux(2, 1, 0, 7));
    let credits = again(frame::yamux(1, 0, 999, 1));
    let ends = again(frame::yamux(0, 4, 999, 0));
    // Streams without end, none of which is ever used.
    let streams = |number: u64| {
        let begin = |number| frame::yamux(1, 1, frame::stream(number), 0);
        (number * 512..(number + 1) * 512).flat_map(begin).collect()
    };
    let pieces: [(&str, &Piece<'_>); 4] = [
        ("yamux pings", &pings),
        ("yamux credits of unknown streams", &credits),
        ("yamux ends of unknown streams", &ends),
        ("yamux streams", &streams),
    ];
    for (name, piece) in pieces {
        let flood = repeated(async |left| {
            let io = unframed(HOSTILE, town.tcp, &town.rogue).await.ok()?;
            Some(pour(io, left, Ears::Open { owed: 0 }, piece).await)
        });
        let (connections, poured) = town.survives(name, flood).await;
        assert!(connections > 0 && poured.pieces > 0, "{name}");
    }
}

/// Begins a flood anew for as long as floods last, since the daemon ends what goes too far. Gives how
/// often it began, and all of it in one.
async fn repeated(mut once: impl AsyncFnMut(Duration) -> Option<Poured>) -> (u64, Poured) {
    let (end, mut times, mut all) = (Instant::now() + lasts(), 0, Poured::default());
    while Instant::now() < end {
        let left = end.saturating_duration_since(Instant::now());
        let Some(poured) = once(left).await else {
            // Refused; trying on without a pause would starve the honest caller in this process.
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        times += 1;
        all.pieces += poured.pieces;
        all.read_bytes += poured.read_bytes;
        all.ended |= poured.ended;
    }
    (times, all)
}

/// Connections that say nothing, from one host, while honest nodes come from another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_connections_keep_nobody_out() {
    let _alone = ALONE.lock().await;
    let town = Town::found("").await;
    let many = count(400, 2_000);
    let flood = async {
        let mut open = Vec::new();
        for number in 0..many {
            let Ok(mut stream) = dial(HOSTILE, town.tcp).await else {
                continue;
            };
            if number % 2 == 0 {
                // Half a greeting, and never the rest.
                use tokio::io::AsyncWriteExt as _;
                let _refused = stream.write_all(b"\x13/multistream").await;
            }
            open.push(stream);
        }
        let let_in = town.connects().await;
        (open.len(), let_in)
    };

    let (open, let_in) = town.survives("half-open connections", flood).await;

    assert!(open > limits::CONNECTIONS_PENDING_PER_HOST_MAX, "{open}");
    assert!(let_in < CALL_MAX, "{let_in:?}");
}

/// More dials than the process may have open files, for a while: it goes on accepting once they are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_without_descriptors_left_accepts_again() {
    let _alone = ALONE.lock().await;
    // Fewer than a node of three members and as many handshakes as may be under way need.
    let town = Town::found("ulimit -n 96;").await;
    let flood = async {
        let (end, mut dialled) = (Instant::now() + lasts(), 0);
        while Instant::now() < end {
            let mut open = JoinSet::new();
            for number in 0..1_000 {
                // Many hosts, so that no bound of one host helps.
                open.spawn(dial(other_host(number), town.tcp));
            }
            let open: Vec<_> = open.join_all().await;
            dialled += open.iter().flatten().count();
            // As long as a handshake may take, or until the flood is over.
            let left = end.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.min(Duration::from_secs(5))).await;
        }
        dialled
    };
    let start = Instant::now();

    let dialled = town.survives("dials beyond the descriptors", flood).await;

    let recovered = start.elapsed().saturating_sub(lasts());
    say(
        "from the first dial to recovery, less the flood",
        &recovered,
    );
    assert!(dialled > 256, "{dialled}");
    assert!(recovered < Duration::from_secs(5), "{recovered:?}");
    let said = town.said();
    assert!(said.contains("Too many open files"), "{said}");
    assert!(!said.contains("a listener ended"), "{said}");
}

/// Strangers with a key each, from many hosts: they take the connections that strangers may have, and
/// none of a member's; once they are gone a stranger is let in again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sybils_round_one_node_take_no_connection_of_a_member() {
    let _alone = ALONE.lock().await;
    let town = Town::found("").await;
    let wanted = limits::STRANGER_CONNECTIONS_MAX + 64;
    let enters = async |number: usize| {
        let stranger = Keypair::generate_ed25519();
        let strange = muxed(other_host(number), town.tcp, &stranger).await.ok()?;
        // Who is refused is told so after the handshake.
        let identify = strange.open("/ipfs/id/1.0.0").await.ok()?;
        Some((strange, identify))
    };
    let flood = async {
        let entering = stream::iter(0..wanted).map(enters).buffer_unordered(16);
        let inside: Vec<_> = entering.filter_map(std::future::ready).collect().await;
        let let_in = town.connects().await;
        tokio::time::sleep(lasts()).await;
        (inside.len(), let_in)
    };

    let (inside, let_in) = town.survives("sybils", flood).await;

    assert!(inside >= 200, "{inside}");
    assert!(inside <= limits::STRANGER_CONNECTIONS_MAX, "{inside}");
    assert!(let_in < CALL_MAX, "{let_in:?}");
    assert!(enters(0).await.is_some());
}

/// Messages longer than they may be, or compressed: a status, and no memory for what was announced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_long_is_told_so_before_it_is_read() {
    let _alone = ALONE.lock().await;
    let town = Town::found("").await;
    let before = town.memory("VmRSS:");
    let muxed = muxed(HOSTILE, town.tcp, &town.rogue)
        .await
        .expect("a connection");
    let mut stream = Some(muxed.open(&town.protocol()).await.expect("a stream"));
    let connector = tower::service_fn(move |_| {
        let stream = stream
            .take()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        async move { stream.map(|stream| TokioIo::new(stream.compat())) }
    });
    let mut channel = Endpoint::from_static("http://peer.invalid")
        .connect_with_connector(connector)
        .await
        .expect("a channel");
    let mut ask = async |prefix: [u8; 5], body: usize| {
        let mut bytes = String::from_utf8(prefix.to_vec()).expect("bytes below 128");
        bytes.push_str(&"a".repeat(body));
        let request = http::Request::post("http://peer.invalid/chartmesh.peer.v1.Peer/Members")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::new(bytes))
            .expect("a request");
        let answer = channel
            .ready()
            .await
            .expect("a channel")
            .call(request)
            .await;
        let answer = answer.expect("an answer");
        let status = answer.headers().get("grpc-status").expect("a status");
        status.to_str().expect("a number").to_owned()
    };
    // An empty message is read, and refused for what it says: it is sealed by nobody.
    let read = ask([0; 5], 0).await;

    let four_mebibytes = ask([0, 0, 0x40, 0, 1], (4 << 20) + 1).await;
    let two_gibibytes = ask([0, 0x7f, 0x7f, 0x7f, 0x7f], 64 << 10).await;
    let compressed = ask([1, 0, 0, 0, 5], 5).await;

    assert_eq!(read, "3");
    // OUT_OF_RANGE is what tonic says of a length, INTERNAL of a compression nobody agreed on.
    assert_eq!(four_mebibytes, "11");
    assert_eq!(two_gibibytes, "11");
    assert_eq!(compressed, "13");
    let after = town.memory("VmRSS:");
    say(
        "oversized messages, memory before and after",
        &(before, after),
    );
    assert!(after < before + (32 << 10), "{before} to {after} KiB");
    assert!(town.call().await);
}

/// A node that is no member: a bare list of protocols, one stream, 4 KiB a second, silent streams.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_a_bare_list_one_stream_and_four_kibibytes_a_second() {
    let _alone = ALONE.lock().await;
    let town = Town::found("").await;
    let kad = format!("/chartmesh/{}/kad/1", town.network.short());
    let member = muxed(HONEST, town.tcp, &town.rogue)
        .await
        .expect("a connection");
    assert!(member.open(&kad).await.is_ok());

    let stranger = Keypair::generate_ed25519();
    let strange = muxed(HOSTILE, town.tcp, &stranger)
        .await
        .expect("a connection");
    assert!(strange.open(&kad).await.is_err());
    let mut identify = strange.open("/ipfs/id/1.0.0").await.expect("identify");
    let mut told = Vec::new();
    identify.read_to_end(&mut told).await.expect("its answer");
    let told = String::from_utf8_lossy(&told);
    assert!(
        told.contains("/grpc/1") && !told.contains("/kad/1"),
        "{told}"
    );

    let one = strange.open(&town.protocol()).await.expect("a stream");
    let mut other = strange.open(&town.protocol()).await.expect("a stream");
    assert!(closes(&mut other, PATIENCE).await);

    drop((one, strange));

    let strange = muxed(HOSTILE, town.tcp, &Keypair::generate_ed25519())
        .await
        .expect("a connection");
    let echo = strange.open("/ipfs/ping/1.0.0").await.expect("a stream");
    let seconds = 5;
    let echoed = echoes(echo, Duration::from_secs(seconds)).await;
    let (burst, rate) = (
        limits::STRANGER_BURST_BYTES,
        limits::STRANGER_BYTES_PER_SECOND_MAX,
    );
    say("bytes echoed to a stranger in 5 s", &echoed);
    assert!(echoed > burst / 2 && echoed < burst + rate * (seconds + 2));
    drop(strange);

    // As many streams as may be under negotiation say nothing: they time out, and the next is served.
    let silent = muxed(HONEST, town.tcp, &town.rogue)
        .await
        .expect("a connection");
    let mut held = Vec::new();
    for _ in 0..limits::STREAMS_NEGOTIATING_MAX {
        let mut stream = silent.silent().await.expect("a stream");
        stream.write_all(&[0x13]).await.expect("half a greeting");
        stream.flush().await.expect("half a greeting");
        held.push(stream);
    }
    let start = Instant::now();
    assert!(silent.open(&town.protocol()).await.is_ok());
    let waited = start.elapsed();
    say("a stream beside as many silent ones as may be", &waited);
    assert!(waited < PATIENCE, "{waited:?}");
    assert!(town.call().await);
}

/// Everything it asks is signed, sealed and its right to ask; only that it never pauses, with more at a time
/// than one connection carries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_asks_without_a_pause_is_over_budget_and_keeps_nobody_waiting() {
    const AT_A_TIME: usize = 96;
    let _alone = ALONE.lock().await;
    let town = Town::found("").await;
    let flooder = town.rogue_runs().await;
    let asker = flooder.asker();
    let first = flooder.run(async move { asker.locate().await }).await;
    assert_eq!(first, "no-match");
    let asker = flooder.asker();
    let asking = flooder.run(async move {
        let answered = AtomicUsize::new(0);
        let over = AtomicUsize::new(0);
        let until = Instant::now() + lasts();
        let ask = async |number: usize| {
            while Instant::now() < until {
                let holds = match number % 3 {
                    0 => asker.call().await,
                    1 => asker.greet().await,
                    _ => {
                        let said = asker.locate().await;
                        over.fetch_add(usize::from(said == "over-budget"), Ordering::Relaxed);
                        said == "no-match"
                    }
                };
                answered.fetch_add(usize::from(holds), Ordering::Relaxed);
                // A call that fails at once, since its queue is full, must not keep the queue full.
                tokio::task::yield_now().await;
            }
        };
        futures::future::join_all((0..AT_A_TIME).map(ask)).await;
        asker.stop().await;
        (answered.into_inner(), over.into_inner())
    });

    let (answered, over) = town.survives("valid calls of a member", asking).await;

    assert!(answered > AT_A_TIME, "{answered}");
    assert!(over > 0, "{over}");
}

/// How many bytes come back in a time, of as many as the other side takes.
async fn echoes(io: SubstreamBox, lasts: Duration) -> u64 {
    let (mut reader, mut writer) = io.split();
    let writing = tokio::spawn(async move {
        while writer.write_all(&[7; 32]).await.is_ok() && writer.flush().await.is_ok() {}
    });
    let mut echoed = 0;
    let reading = async {
        let mut bytes = [0; 32];
        while reader.read_exact(&mut bytes).await.is_ok() {
            echoed += 32;
        }
    };
    let _over = tokio::time::timeout(lasts, reading).await;
    writing.abort();
    echoed
}

/// Who keeps the TLS secrets of a daemon's connections reads them all.
#[test]
fn a_daemon_that_would_write_down_its_tls_secrets_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let starts = |secrets: Option<&std::ffi::OsStr>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_chartmeshd"));
        command.arg("--node").arg(folder.path().join("none"));
        if let Some(path) = secrets {
            command.env("SSLKEYLOGFILE", path);
        }
        let said = command.output().expect("a process");
        String::from_utf8_lossy(&said.stderr).into_owned()
    };
    assert!(starts(None).contains("NOT_INITIALISED"));

    let refused = starts(Some(folder.path().join("secrets").as_os_str()));

    assert!(refused.contains("SSLKEYLOGFILE"), "{refused}");
    assert!(!refused.contains("NOT_INITIALISED"), "{refused}");
}
