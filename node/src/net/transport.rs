//! What carries connections: TCP with Noise and Yamux, and QUIC. Either proves the node key of the
//! other end, and either is guarded.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use chartmesh_core::types::{NodeKey, limits};
use futures::{StreamExt, future::Either, io::BufReader};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        ConnectedPoint, Endpoint,
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, ListenerId, PortUse},
        upgrade,
    },
    dns, identity,
    multiaddr::Protocol,
    noise, quic, relay, tcp, yamux,
};

use super::{
    Directory, Found, NetError, Proxy,
    cut::Cuts,
    guard::{GuardedMuxer, GuardedUpgrade, Guards},
    meter::Meters,
    proxy::{ListenOnly, Outbound},
};

/// Bytes read of a socket at once, where they are there: a whole message of Noise. Noise itself asks for 8 KiB.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// A connection: whose, and its streams.
pub(super) type Muxed = (PeerId, StreamMuxerBox);

/// The transport of a node.
///
/// # Errors
///
/// [`NetError::Key`] where the key cannot be used.
pub(super) fn build(
    key: &identity::Keypair,
    guards: &Guards,
    proxy: Option<&Proxy>,
    circuits: relay::client::Transport,
) -> Result<Boxed<Muxed>, NetError> {
    // A relay's address is for the swarm to dial, names and all.
    let circuits = secured(circuits, key, guards.clone())?;
    Ok(expecting(either(circuits, sockets(key, guards, proxy)?)))
}

/// Somebody else than was dialled answered at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another node answers at this address")]
struct ElseError;

/// Fails the dial of an address at which somebody else answers, and of no other address.
///
/// The swarm looks only at the first address that answers, and private addresses are the same in many
/// places: somebody else behind one would hide the right node behind another.
fn expecting(transport: Boxed<Muxed>) -> Boxed<Muxed> {
    let checked = transport.and_then(|(peer, muxer), end| {
        let wanted = match end {
            ConnectedPoint::Dialer { address, .. } => match address.iter().last() {
                Some(Protocol::P2p(wanted)) => Some(wanted),
                _ => None,
            },
            ConnectedPoint::Listener { .. } => None,
        };
        let same = wanted.is_none_or(|wanted| wanted == peer);
        std::future::ready(if same {
            Ok((peer, muxer))
        } else {
            Err(ElseError)
        })
    });
    checked.boxed()
}

fn sockets(
    key: &identity::Keypair,
    guards: &Guards,
    proxy: Option<&Proxy>,
) -> Result<Boxed<Muxed>, NetError> {
    if let Some(proxy) = proxy {
        // Names are the proxy's to resolve, and nothing but TCP goes through it.
        let stream = Outbound::new(tcp(), proxy.clone());
        let stream = secured(stream, key, guards.clone())?;
        let datagram = ListenOnly(datagram(key, guards.clone()));
        return Ok(either(datagram.boxed(), stream));
    }
    let sockets = || -> Result<Boxed<Muxed>, NetError> {
        let stream = secured(tcp(), key, guards.clone())?;
        Ok(either(datagram(key, guards.clone()), stream))
    };
    Ok(match dns::tokio::Transport::system(sockets()?) {
        Ok(resolving) => resolving.boxed(),
        // A node without a resolver still serves its own users and peers known by number.
        Err(error) => {
            tracing::warn!(%error, "no name resolver: only numeric addresses are dialled");
            sockets()?
        }
    })
}

fn either(one: Boxed<Muxed>, other: Boxed<Muxed>) -> Boxed<Muxed> {
    let both = one.or_transport(other).map(|either, _| match either {
        Either::Left(muxed) | Either::Right(muxed) => muxed,
    });
    both.boxed()
}

fn tcp() -> tcp::tokio::Transport {
    tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
}

/// Noise and Yamux over any byte stream.
///
/// # Errors
///
/// [`NetError::Key`] where the key cannot be used.
pub(super) fn secured<T>(
    sockets: T,
    key: &identity::Keypair,
    guards: Guards,
) -> Result<Boxed<Muxed>, NetError>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(limits::MUXED_STREAMS_MAX);
    let noise = noise::Config::new(key).map_err(|_| NetError::Key)?;
    Ok(sockets
        .map(|socket, _| BufReader::with_capacity(READ_AHEAD_BYTES, socket))
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise)
        .multiplex_ext(move |peer, _| GuardedUpgrade::new(muxer, guards, *peer))
        .timeout(Duration::from_millis(limits::CONNECT_MAX.0))
        .boxed())
}

fn datagram(key: &identity::Keypair, guards: Guards) -> Boxed<Muxed> {
    let mut config = quic::Config::new(key);
    config.handshake_timeout = Duration::from_millis(limits::CONNECT_MAX.0);
    config.max_concurrent_stream_limit =
        u32::try_from(limits::MUXED_STREAMS_MAX).unwrap_or(u32::MAX);
    config.max_stream_data = limits::QUIC_STREAM_WINDOW_BYTES;
    config.max_connection_data = limits::QUIC_CONNECTION_WINDOW_BYTES;
    quic::tokio::Transport::new(config)
        .map(move |(peer, connection), _| {
            let guarded = GuardedMuxer::new(connection, &guards, peer);
            (peer, StreamMuxerBox::new(guarded))
        })
        .boxed()
}

/// Makes one handshake with itself: the first of a process takes about a hundred milliseconds, which a
/// patient's question should not wait for. A failure costs that time later and nothing else.
pub async fn warm_up() {
    let most = Duration::from_millis(limits::CONNECT_MAX.0);
    if tokio::time::timeout(most, handshake()).await != Ok(Some(())) {
        tracing::debug!("the first handshake of this process is yet to come");
    }
}

async fn handshake() -> Option<()> {
    let guards = Guards {
        meters: Meters::new(Arc::new(Nobody)),
        cuts: Cuts::default(),
    };
    let end = || datagram(&identity::Keypair::generate_ed25519(), guards.clone());
    let (mut near, mut far) = (end(), end());
    let here = Multiaddr::from(Ipv4Addr::LOCALHOST)
        .with(Protocol::Udp(0))
        .with(Protocol::QuicV1);
    far.listen_on(ListenerId::next(), here).ok()?;
    let at = far.next().await?.into_new_address()?;
    let options = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let dialling = near.dial(at, options).ok()?;
    let accepting = async {
        let (upgrade, _) = far.next().await?.into_incoming()?;
        upgrade.await.ok()
    };
    let dialled = async {
        // The endpoint makes progress only while the transport is looked at.
        tokio::select! {
            dialled = dialling => dialled.ok(),
            _ = near.next() => None,
        }
    };
    let (dialled, accepted) = tokio::join!(dialled, accepting);
    dialled.and(accepted).map(drop)
}

/// Knows nobody; a handshake with oneself asks nothing.
struct Nobody;

impl Directory for Nobody {
    fn is_known(&self, _: NodeKey) -> bool {
        false
    }

    fn own_record(&self) -> Option<Vec<u8>> {
        None
    }

    fn read_record(&self, _: NodeKey, _: &[u8]) -> Option<Found> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        task::{Context, Poll},
    };

    use futures::{AsyncReadExt, AsyncWriteExt};
    use libp2p::core::muxing::{StreamMuxerExt, SubstreamBox};

    use super::{super::directory::tests::Everybody, *};

    /// A connection of ours with somebody, over loopback: their end and ours.
    async fn connected(
        theirs: Boxed<Muxed>,
        ours: Boxed<Muxed>,
        listen: &str,
    ) -> [StreamMuxerBox; 2] {
        let (mut theirs, mut ours) = (theirs, ours);
        let listen = listen.parse().expect("an address");
        ours.listen_on(ListenerId::next(), listen)
            .expect("a listener");
        let at = ours.next().await.and_then(|event| event.into_new_address());
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let dialling = theirs
            .dial(at.expect("an address"), options)
            .expect("a dial");
        let accepting = async {
            let (upgrade, _) = ours
                .next()
                .await
                .and_then(|event| event.into_incoming())
                .expect("a dial");
            upgrade.await.expect("a connection").1
        };
        let driven = async {
            tokio::select! {
                dialled = dialling => dialled.expect("a connection").1,
                _ = theirs.next() => panic!("the dialler listens nowhere"),
            }
        };
        let ends = tokio::join!(driven, accepting);
        tokio::spawn(async move { while theirs.next().await.is_some() {} });
        tokio::spawn(async move { while ours.next().await.is_some() {} });
        [ends.0, ends.1]
    }

    fn guards() -> Guards {
        Guards {
            meters: Meters::new(Arc::new(Everybody)),
            cuts: Cuts::default(),
        }
    }

    fn key() -> identity::Keypair {
        identity::Keypair::generate_ed25519()
    }

    async fn inbound(muxer: &mut StreamMuxerBox) -> Option<SubstreamBox> {
        poll_fn(|cx| {
            if let Poll::Ready(stream) = muxer.poll_inbound_unpin(cx) {
                return Poll::Ready(stream.ok());
            }
            ended(muxer, cx)
        })
        .await
    }

    async fn outbound(muxer: &mut StreamMuxerBox) -> Option<SubstreamBox> {
        poll_fn(|cx| {
            if let Poll::Ready(stream) = muxer.poll_outbound_unpin(cx) {
                return Poll::Ready(stream.ok());
            }
            ended(muxer, cx)
        })
        .await
    }

    fn ended<T>(muxer: &mut StreamMuxerBox, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match muxer.poll_unpin(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(None),
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        }
    }

    /// Streams somebody with laxer limits opens, and how many of them live.
    async fn living(mut theirs: StreamMuxerBox, mut ours: StreamMuxerBox, wanted: usize) -> usize {
        tokio::spawn(async move {
            while let Some(mut stream) = inbound(&mut ours).await {
                tokio::spawn(async move {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).await.is_ok() {
                        let _echoed = stream.write_all(&byte).await;
                        let _flushed = stream.flush().await;
                    }
                });
            }
        });
        let mut streams = Vec::new();
        for _ in 0..wanted {
            let opened = outbound(&mut theirs);
            match tokio::time::timeout(Duration::from_millis(500), opened).await {
                Ok(Some(stream)) => streams.push(stream),
                Ok(None) | Err(_) => break,
            }
        }
        let driving = tokio::spawn(async move {
            while std::future::poll_fn(|cx| theirs.poll_unpin(cx))
                .await
                .is_ok()
            {}
        });
        let mut living = 0;
        for stream in &mut streams {
            let mut byte = [0];
            let answered = async {
                stream.write_all(b"?").await?;
                stream.flush().await?;
                stream.read_exact(&mut byte).await
            };
            let answered = tokio::time::timeout(Duration::from_secs(2), answered).await;
            living += usize::from(matches!(answered, Ok(Ok(()))));
        }
        driving.abort();
        living
    }

    #[tokio::test]
    async fn a_connection_carries_muxed_streams_max_streams_and_no_more() {
        let wanted = limits::MUXED_STREAMS_MAX;
        let lax = |key: &identity::Keypair| {
            tcp::tokio::Transport::default()
                .upgrade(upgrade::Version::V1)
                .authenticate(noise::Config::new(key).expect("noise"))
                .multiplex(yamux::Config::default())
                .boxed()
        };
        let stream = |key: &identity::Keypair| {
            super::secured(super::tcp(), key, guards()).expect("a transport")
        };
        let tcp = connected(lax(&key()), stream(&key()), "/ip4/127.0.0.1/tcp/0").await;
        let quic = connected(
            datagram(&key(), guards()),
            datagram(&key(), guards()),
            "/ip4/127.0.0.1/udp/0/quic-v1",
        )
        .await;
        for [theirs, ours] in [tcp, quic] {
            let living = living(theirs, ours, wanted + 8).await;

            assert_eq!(living, wanted);
        }
    }

    /// Nobody reads: what the other end may send is bounded by a stream's window, and by the connection's.
    #[tokio::test]
    async fn what_nobody_reads_ends_at_quic_stream_window_bytes_and_quic_connection_window_bytes() {
        let [mut theirs, mut ours] = connected(
            datagram(&key(), guards()),
            datagram(&key(), guards()),
            "/ip4/127.0.0.1/udp/0/quic-v1",
        )
        .await;
        tokio::spawn(async move {
            let mut unread = Vec::new();
            while let Some(stream) = inbound(&mut ours).await {
                unread.push(stream);
            }
        });
        let mut sent = Vec::new();
        for _ in 0..4 {
            let mut stream = outbound(&mut theirs).await.expect("a stream");
            let mut bytes = 0;
            let mut last = usize::MAX;
            while last != bytes {
                last = bytes;
                let sending = async {
                    while let Ok(more) = stream.write(&[0; 64 << 10]).await {
                        bytes += more;
                    }
                };
                let _pending = tokio::time::timeout(Duration::from_millis(300), sending).await;
            }
            sent.push((bytes, stream));
        }

        let of_stream = limits::QUIC_STREAM_WINDOW_BYTES as usize;
        let of_connection = limits::QUIC_CONNECTION_WINDOW_BYTES as usize;
        let total: usize = sent.iter().map(|(bytes, _)| bytes).sum();
        assert!(sent.iter().all(|(bytes, _)| *bytes <= of_stream));
        assert_eq!(sent[0].0, of_stream);
        assert_eq!(total, of_connection);
    }

    #[tokio::test]
    async fn a_warm_up_is_a_handshake() {
        assert_eq!(handshake().await, Some(()));
    }
}
