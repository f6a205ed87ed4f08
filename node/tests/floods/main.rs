//! Floods and malformed bytes against a real daemon: it goes on answering honest members in time, holds
//! no more memory than it may, and recovers (`threats.md` 1; rows 28, 31 to 35 of 2).
//!
//! Each lasts a few seconds here. `CHARTMESH_LONG=3600 cargo test --package chartmesh-node --test floods`
//! runs each for so many seconds, with more of everything.

mod raw;
mod town;

use std::{
    io,
    time::{Duration, Instant},
};

use futures::{AsyncReadExt, AsyncWriteExt};
use hyper_util::rt::TokioIo;
use libp2p::{core::muxing::SubstreamBox, identity::Keypair};
use tokio::{net::UdpSocket, sync::Mutex, task::JoinSet};
use tokio_util::compat::FuturesAsyncReadCompatExt;
use tonic::{
    body::Body,
    codegen::{Service, http},
    transport::Endpoint,
};
use tower::ServiceExt;

use crate::{
    raw::{closes, dial, muxed, pour, unframed},
    town::{CALL_MAX, HONEST, HOSTILE, PATIENCE, Town, count, lasts},
};

/// Gives the pieces of a flood, by their number.
type Piece<'a> = dyn Fn(u64) -> Vec<u8> + Sync + 'a;

/// One flood at a time, so that the figures are those of one flood.
static ALONE: Mutex<()> = Mutex::const_new(());

/// How soon a node is itself again once a flood is over.
const RECOVERED: Duration = Duration::from_secs(10);

fn say(what: &str, seen: &impl std::fmt::Debug) {
    println!("{what}: {seen:?}");
}

mod frame {
    //! Frames of Yamux and of HTTP/2 (RFC 9113, section 4.1).

    pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RESET: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const CONTINUATION: u8 = 9;
    pub(crate) const END_HEADERS: u8 = 4;

    /// A Yamux header: kind, flags, stream, and a length or a credit.
    pub(crate) fn yamux(kind: u8, flags: u16, stream: u32, len: u32) -> Vec<u8> {
        let mut bytes = vec![0, kind];
        bytes.extend(flags.to_be_bytes());
        bytes.extend(stream.to_be_bytes());
        bytes.extend(len.to_be_bytes());
        bytes
    }

    /// An HTTP/2 frame.
    pub(crate) fn http(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).expect("a small payload");
        let mut bytes = len.to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// The headers of a gRPC call, in the plainest HPACK (RFC 7541): a method, a scheme, a path.
    pub(crate) fn call() -> Vec<u8> {
        let mut bytes = vec![0x83, 0x86];
        for (name, value) in [
            (":path", "/chartmesh.peer.v1.Peer/Members"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ] {
            bytes.push(0);
            for text in [name, value] {
                bytes.push(u8::try_from(text.len()).expect("a short text"));
                bytes.extend(text.as_bytes());
            }
        }
        bytes
    }

    /// Streams of a client have odd numbers.
    pub(crate) fn stream(number: u64) -> u32 {
        u32::try_from(number).map_or(1, |number| (number % (1 << 30)) * 2 + 1)
    }
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
    let attacks = async {
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
        futures::future::join_all(closing).await;
        let mut sent = Vec::new();
        for kind in [
            frame::yamux(2, 1, 0, 7),
            frame::yamux(1, 0, 999, 1),
            frame::yamux(0, 4, 999, 0),
        ] {
            let io = unframed(HOSTILE, town.tcp, &town.rogue)
                .await
                .expect("a connection");
            let many = kind.repeat(512);
            sent.push(pour(io, lasts(), |_| many.clone()).await * 512);
        }
        sent
    };

    let (sent, figures) = town.during(attacks).await;

    say(
        "yamux pings, credits and ends of unknown streams",
        &(sent, &figures),
    );
    assert!(town.connects().await < RECOVERED);
}

/// Rapid reset, CONTINUATION, empty DATA, PING and SETTINGS (RUSTSEC-2023-0034, 2024-0003, 2024-0332,
/// 2026-0258), each on a stream of a member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_floods_of_a_member_do_not_keep_the_others_waiting() {
    let _alone = ALONE.lock().await;
    let town = Town::found("").await;
    let call = frame::call();
    let rapid_reset = |number: u64| {
        let begin = |number| {
            let stream = frame::stream(number);
            [
                frame::http(frame::HEADERS, frame::END_HEADERS, stream, &call),
                frame::http(frame::RESET, 0, stream, &8_u32.to_be_bytes()),
            ]
            .concat()
        };
        (number * 16..(number + 1) * 16).flat_map(begin).collect()
    };
    let continuation = |number: u64| match number {
        0 => frame::http(frame::HEADERS, 0, 1, &call),
        _ => {
            // A header of 8 KiB under a new name, and no end of headers ever.
            let value = [0x7f, 0x81, 0x3f, 0].map(|_| b'a');
            let name = format!("x-{:013}", number);
            let mut header = vec![0, 15];
            header.extend(name.as_bytes());
            header.extend([0x7f, 0x81, 0x3f]);
            header.extend(value.repeat(2_048));
            frame::http(frame::CONTINUATION, 0, 1, &header)
        }
    };
    let empty_data = |number: u64| match number {
        0 => frame::http(frame::HEADERS, frame::END_HEADERS, 1, &call),
        _ => frame::http(frame::DATA, 0, 1, &[]).repeat(256),
    };
    let ping = |_: u64| frame::http(frame::PING, 0, 0, &[7; 8]).repeat(256);
    let settings = |_: u64| frame::http(frame::SETTINGS, 0, 0, &[]).repeat(256);
    let pieces: [(&str, &Piece<'_>); 5] = [
        ("rapid reset", &rapid_reset),
        ("continuation", &continuation),
        ("empty data", &empty_data),
        ("ping", &ping),
        ("settings", &settings),
    ];

    for (name, piece) in pieces {
        let flood = async {
            let (end, mut pieces, mut connections) = (Instant::now() + lasts(), 0, 0);
            // The daemon ends what goes too far; the flood then begins anew.
            while Instant::now() < end {
                let Ok(muxed) = muxed(HOSTILE, town.tcp, &town.rogue).await else {
                    continue;
                };
                let Ok(mut stream) = muxed.open(&town.protocol()).await else {
                    continue;
                };
                let begin = [frame::PREFACE, &frame::http(frame::SETTINGS, 0, 0, &[])].concat();
                if stream.write_all(&begin).await.is_ok() {
                    let left = end.saturating_duration_since(Instant::now());
                    pieces += pour(stream, left, piece).await;
                    connections += 1;
                }
            }
            (pieces, connections)
        };

        let (sent, figures) = town.during(flood).await;

        say(name, &(sent, &figures));
    }
    assert!(town.connects().await < RECOVERED);
}

/// Datagrams that look like the beginning of QUIC and are garbage (CVE-2026-31812, RUSTSEC-2023-0063).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quic_datagrams_of_garbage_cost_nobody_anything() {
    let _alone = ALONE.lock().await;
    let town = Town::found("").await;
    let before = town.memory("VmRSS:");
    let flood = async {
        let socket = UdpSocket::bind((HOSTILE, 0)).await.expect("a socket");
        let (end, mut sent) = (Instant::now() + lasts(), 0_u64);
        while Instant::now() < end {
            for _ in 0..64 {
                let mut datagram = vec![0; 1_200];
                rand::fill(&mut datagram[..]);
                let first = match sent % 4 {
                    // Initial, 0-RTT and Handshake of version 1, with ids of 8 bytes and no token.
                    0..=2 => 0xc0 | u8::try_from(sent % 4).unwrap_or(0) << 4,
                    // A short header.
                    _ => 0x40,
                };
                datagram[..6].copy_from_slice(&[first, 0, 0, 0, 1, 8]);
                datagram[14] = 8;
                datagram[23..26].copy_from_slice(&[0, 0x44, 0x9e]);
                // A full buffer of the system loses it, as a network would.
                let _lost = socket.send_to(&datagram, town.quic).await;
                sent += 1;
            }
            tokio::task::yield_now().await;
        }
        sent
    };

    let (sent, figures) = town.during(flood).await;

    let after = town.memory("VmRSS:");
    say("quic datagrams", &(sent, &figures, before, after));
    assert!(after < before + (64 << 10), "{before} to {after} KiB");
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

    let ((open, let_in), figures) = town.during(flood).await;

    say("half-open connections", &(open, let_in, &figures));
    assert!(let_in < CALL_MAX, "{let_in:?}");
}

/// More dials than the process may have open files: it goes on accepting once they are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_without_descriptors_left_accepts_again() {
    let _alone = ALONE.lock().await;
    let town = Town::found("ulimit -n 256;").await;
    let flood = async {
        let mut open = JoinSet::new();
        for number in 0..1_000_u16 {
            // Many hosts, so that no bound of one host helps.
            let host =
                std::net::Ipv4Addr::new(127, 0, 1, u8::try_from(number % 250).unwrap_or(0) + 1);
            let to = town.tcp;
            open.spawn(async move { dial(host.into(), to).await });
        }
        open.join_all().await
    };

    let (open, figures) = town.during(flood).await;
    let open: Vec<_> = open.into_iter().filter_map(Result::ok).collect();
    let dialled = open.len();
    drop(open);
    let recovered = town.connects().await;

    say(
        "dials of a process with 256 descriptors",
        &(dialled, recovered, &figures),
    );
    assert!(dialled > 256, "{dialled}");
    assert!(recovered < Duration::from_secs(5), "{recovered:?}");
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
    use chartmesh_core::types::limits;
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
    let starts = |secrets: Option<&str>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_chartmeshd"));
        command.arg("--node").arg(folder.path().join("none"));
        if let Some(path) = secrets {
            command.env("SSLKEYLOGFILE", path);
        }
        let said = command.output().expect("a process");
        String::from_utf8_lossy(&said.stderr).into_owned()
    };
    assert!(starts(None).contains("NOT_INITIALISED"));

    let refused = starts(Some("/tmp/secrets"));

    assert!(refused.contains("SSLKEYLOGFILE"), "{refused}");
    assert!(!refused.contains("NOT_INITIALISED"), "{refused}");
}
