//! Floods of QUIC: garbage, and handshakes that are begun and left.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    net::SocketAddr,
    task::Poll,
    time::{Duration, Instant},
};

use chartmesh_core::types::limits;
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        Endpoint,
        muxing::{StreamMuxerBox, StreamMuxerExt},
        transport::{Boxed, DialOpts, PortUse},
    },
    identity::Keypair,
    quic,
};
use tokio::net::UdpSocket;

use crate::{
    ALONE,
    raw::agree,
    say,
    town::{HONEST, HOSTILE, Town, count, lasts},
};

/// A dial from a port of its own.
const NEW: DialOpts = DialOpts {
    role: Endpoint::Dialer,
    port_use: PortUse::New,
};

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

    town.survives("quic datagrams", flood).await;

    let after = town.memory("VmRSS:");
    say("memory before and after", &(before, after));
    assert!(after < before + (64 << 10), "{before} to {after} KiB");
}

/// Handshakes that begin as they should and are left at that, from one host: what the daemon keeps of
/// them is bounded, and others are let in over TCP and over QUIC.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quic_handshakes_that_are_abandoned_keep_nobody_out() {
    let _alone = ALONE.lock().await;
    let town = Town::found("").await;
    let greetings = greetings(count(512, 2_048)).await;
    let before = town.memory("VmRSS:");
    let flood = async { tokio::join!(abandon(&greetings, town.quic), newcomers(&town)) };

    let (sent, newcomers) = town.survives("abandoned quic handshakes", flood).await;

    let after = town.memory("VmRSS:");
    say(
        "handshakes, memory before and after",
        &(greetings.len(), before, after),
    );
    assert!(sent > greetings.len(), "{sent}");
    // Datagrams get lost in a flood, and the first are said again after a second.
    let most = Duration::from_millis(limits::CONNECT_MAX.0);
    assert!(newcomers < most, "{newcomers:?}");
    // A handshake that was refused is remembered for seconds, as QUIC wants it.
    let most = before + 128 * u64::try_from(greetings.len()).expect("a number");
    assert!(after < most, "{before} to {after} KiB");
}

/// What diallers say first, each under an id of its own.
async fn greetings(wanted: usize) -> Vec<Vec<u8>> {
    let heard = UdpSocket::bind((HONEST, 0)).await.expect("a socket");
    let at = heard.local_addr().expect("an address").port();
    let at = format!("/ip4/{HONEST}/udp/{at}/quic-v1");
    let at: Multiaddr = at.parse().expect("an address");
    let mut dialler = dialler(&Keypair::generate_ed25519());
    let (mut datagram, mut greetings) = ([0; 2_048], BTreeMap::new());
    while greetings.len() < wanted {
        let dial = dialler.dial(at.clone(), NEW).expect("an address of QUIC");
        let first = async {
            loop {
                let len = heard.recv(&mut datagram).await.expect("a datagram");
                // The id its sender chose for the other end stands behind flags and version.
                let id = datagram[6..6 + usize::from(datagram[5]).min(20)].to_vec();
                if greetings.insert(id, datagram[..len].to_vec()).is_none() {
                    break;
                }
            }
        };
        tokio::select! {
            () = first => {}
            dialled = dial => panic!("nobody answers: {:?}", dialled.is_ok()),
        }
    }
    greetings.into_values().collect()
}

/// Greets for as long as floods last, over and over, and answers nothing: whenever the daemon has given
/// up a handshake, the same greeting begins another. Gives how many greetings were sent.
async fn abandon(greetings: &[Vec<u8>], to: SocketAddr) -> usize {
    let socket = UdpSocket::bind((HOSTILE, 0)).await.expect("a socket");
    let end = Instant::now() + lasts();
    let mut sent = 0;
    for some in greetings.chunks(32).cycle() {
        if Instant::now() >= end {
            break;
        }
        for greeting in some {
            // A full buffer of the system loses it, as a network would.
            let _lost = socket.send_to(greeting, to).await;
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    sent
}

/// The longest that a member waits to be connected over QUIC, for as long as floods last.
async fn newcomers(town: &Town) -> Duration {
    let (end, mut longest) = (Instant::now() + lasts(), Duration::ZERO);
    let at = format!("/ip4/{HONEST}/udp/{}/quic-v1", town.quic.port());
    let at: Multiaddr = at.parse().expect("an address");
    while Instant::now() < end {
        let start = Instant::now();
        let mut dialler = dialler(&town.rogue);
        let mut dial = dialler.dial(at.clone(), NEW).expect("an address of QUIC");
        let dialled = async {
            loop {
                tokio::select! {
                    dialled = &mut dial => break dialled,
                    _ = dialler.next() => {}
                }
            }
        };
        let (_, mut muxer) = dialled.await.expect("a connection");
        // Who is refused is told so after the handshake: a stream shows that it is in.
        let opened = poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = muxer.poll_unpin(cx) {
                return Poll::Ready(Err(error));
            }
            muxer.poll_outbound_unpin(cx)
        });
        let mut stream = opened.await.expect("a stream");
        let driving = poll_fn(|cx| {
            while let Poll::Ready(event) = muxer.poll_unpin(cx) {
                if event.is_err() {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        });
        tokio::select! {
            agreed = agree(&mut stream, "/ipfs/ping/1.0.0") => agreed.expect("an answer"),
            () = driving => panic!("the connection was ended"),
        }
        longest = longest.max(start.elapsed());
    }
    longest
}

fn dialler(key: &Keypair) -> Boxed<(PeerId, StreamMuxerBox)> {
    quic::tokio::Transport::new(quic::Config::new(key))
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .boxed()
}
