//! Peers that speak raw bytes: libp2p's handshake is real, what follows is whatever the test likes.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
    time::Duration,
};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{
    core::{
        muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox},
        upgrade::OutboundConnectionUpgrade,
    },
    identity::Keypair,
    noise, yamux,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use crate::town::RECOVERED;

/// A connection whose other end was proven, before anything is multiplexed.
pub(crate) type Secured = noise::Output<Compat<TcpStream>>;

/// Connects from one of the machine's own addresses.
pub(crate) async fn dial(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// Noise with a node key.
pub(crate) async fn secured(stream: TcpStream, key: &Keypair) -> io::Result<Secured> {
    let mut io = stream.compat();
    agree(&mut io, "/noise").await?;
    let noise = noise::Config::new(key).map_err(io::Error::other)?;
    let (_, io) = noise
        .upgrade_outbound(io, "/noise")
        .await
        .map_err(io::Error::other)?;
    Ok(io)
}

/// Noise, and the promise to speak Yamux.
pub(crate) async fn unframed(from: IpAddr, to: SocketAddr, key: &Keypair) -> io::Result<Secured> {
    let mut io = secured(dial(from, to).await?, key).await?;
    agree(&mut io, "/yamux/1.0.0").await?;
    Ok(io)
}

/// Agrees on a protocol as its dialler.
pub(crate) async fn agree(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    protocol: &str,
) -> io::Result<()> {
    for wanted in ["/multistream/1.0.0", protocol] {
        let line = format!("{wanted}\n");
        let len = u8::try_from(line.len()).map_err(io::Error::other)?;
        assert!(len < 128, "a longer length takes two bytes");
        io.write_all(&[&[len], line.as_bytes()].concat()).await?;
        io.flush().await?;
        let mut told = [0];
        io.read_exact(&mut told).await?;
        let mut answer = vec![0; usize::from(told[0])];
        io.read_exact(&mut answer).await?;
        if answer != line.as_bytes() {
            return Err(io::ErrorKind::Unsupported.into());
        }
    }
    Ok(())
}

/// A Yamux connection whose streams can be opened one after another; it runs until it is dropped.
pub(crate) struct Muxed {
    asks: tokio::sync::mpsc::Sender<tokio::sync::oneshot::Sender<io::Result<SubstreamBox>>>,
    running: tokio::task::JoinHandle<()>,
}

impl Drop for Muxed {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Connects as a node with this key.
pub(crate) async fn muxed(from: IpAddr, to: SocketAddr, key: &Keypair) -> io::Result<Muxed> {
    let io = unframed(from, to, key).await?;
    let muxer = yamux::Config::default()
        .upgrade_outbound(io, "/yamux/1.0.0")
        .await?;
    let mut muxer = StreamMuxerBox::new(muxer);
    let (asks, mut asked) =
        tokio::sync::mpsc::channel::<tokio::sync::oneshot::Sender<io::Result<SubstreamBox>>>(8);
    let running = tokio::spawn(async move {
        let mut waiting = None;
        poll_fn(|cx| {
            loop {
                match muxer.poll_inbound_unpin(cx) {
                    Poll::Ready(Ok(stream)) => {
                        // A connection whose pings nobody answers is given up, and the flood with it.
                        tokio::spawn(pong(stream));
                        continue;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
                match muxer.poll_unpin(cx) {
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(_)) | Poll::Pending => {}
                }
                if waiting.is_none() {
                    match asked.poll_recv(cx) {
                        Poll::Ready(Some(answer)) => waiting = Some(answer),
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                match muxer.poll_outbound_unpin(cx) {
                    Poll::Ready(opened) => {
                        if let Some(answer) = waiting.take() {
                            let _gone = answer.send(opened);
                        }
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    });
    Ok(Muxed { asks, running })
}

/// Answers pings, and knows no other protocol.
async fn pong(mut stream: SubstreamBox) -> io::Result<()> {
    loop {
        let mut len = [0];
        stream.read_exact(&mut len).await?;
        let mut line = vec![0; usize::from(len[0])];
        stream.read_exact(&mut line).await?;
        let answer = match &line[..] {
            b"/multistream/1.0.0\n" | b"/ipfs/ping/1.0.0\n" => &line[..],
            _ => b"na\n",
        };
        let len = u8::try_from(answer.len()).map_err(io::Error::other)?;
        stream.write_all(&[&[len], answer].concat()).await?;
        stream.flush().await?;
        if line == b"/ipfs/ping/1.0.0\n" {
            break;
        }
    }
    loop {
        let mut bytes = [0; 32];
        stream.read_exact(&mut bytes).await?;
        stream.write_all(&bytes).await?;
        stream.flush().await?;
    }
}

impl Muxed {
    /// Opens a stream and says nothing on it.
    pub(crate) async fn silent(&self) -> io::Result<SubstreamBox> {
        let (answer, opened) = tokio::sync::oneshot::channel();
        let ended = || io::Error::from(io::ErrorKind::ConnectionReset);
        self.asks.send(answer).await.map_err(|_| ended())?;
        opened.await.map_err(|_| ended())?
    }

    /// Opens a stream of a protocol.
    pub(crate) async fn open(&self, protocol: &str) -> io::Result<SubstreamBox> {
        let mut stream = self.silent().await?;
        agree(&mut stream, protocol).await?;
        Ok(stream)
    }
}

/// What became of a flood on one stream or connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Poured {
    pub(crate) pieces: u64,
    pub(crate) read_bytes: u64,
    pub(crate) ended: bool,
}

/// Whether a flood reads what comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ears {
    /// All of it; and at its end it waits for so many bytes a piece, or the other side's end.
    Open { owed: u64 },
    /// Nothing.
    Deaf,
}

/// Writes one piece after another until the other side has ended it or the time is over.
pub(crate) async fn pour<S>(
    io: S,
    lasts: Duration,
    ears: Ears,
    mut piece: impl FnMut(u64) -> Vec<u8>,
) -> Poured
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut reader, mut writer) = io.split();
    let (mut pieces, mut ended) = (0, false);
    let read = AtomicU64::new(0);
    let listening = async {
        if ears == Ears::Deaf {
            std::future::pending::<()>().await;
        }
        let mut bytes = vec![0; 16 << 10];
        while let Ok(len @ 1..) = reader.read(&mut bytes).await {
            read.fetch_add(len as u64, Ordering::Relaxed);
        }
    };
    tokio::pin!(listening);
    let writing = async {
        while writer.write_all(&piece(pieces)).await.is_ok() && writer.flush().await.is_ok() {
            pieces += 1;
        }
    };
    tokio::select! {
        () = writing => ended = true,
        () = &mut listening => ended = true,
        () = tokio::time::sleep(lasts) => {}
    }
    if let (Ears::Open { owed }, false) = (ears, ended) {
        let paid = async {
            while read.load(Ordering::Relaxed) < owed * pieces {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = &mut listening => ended = true,
            () = paid => {}
            () = tokio::time::sleep(RECOVERED) => panic!("neither answered nor ended: {read:?}"),
        }
    }
    Poured {
        pieces,
        read_bytes: read.load(Ordering::Relaxed),
        ended,
    }
}

/// Whether the other side closes a connection, within a time.
pub(crate) async fn closes<S: AsyncRead + Unpin>(io: &mut S, within: Duration) -> bool {
    let mut bytes = vec![0; 4 << 10];
    let closing = async { while matches!(Pin::new(&mut *io).read(&mut bytes).await, Ok(1..)) {} };
    tokio::time::timeout(within, closing).await.is_ok()
}
