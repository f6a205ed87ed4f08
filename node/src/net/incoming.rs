//! Streams that peers opened, as tonic wants them.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use chartmesh_core::types::NodeKey;
use futures::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, mpsc},
};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};
use tonic::transport::server::Connected;

use super::{address::node_key, streams::Inbound};

/// Who is at the other end, as Noise proved it; tonic puts it into the extensions of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller(pub NodeKey);

/// One stream a peer opened; it counts against the peer until it is dropped.
pub struct PeerStream {
    io: Compat<libp2p::Stream>,
    caller: Caller,
    _slot: OwnedSemaphorePermit,
}

/// The streams that peers open; ends when the network stops, and never yields an error.
pub struct Incoming(pub(super) mpsc::Receiver<Inbound>);

impl Stream for Incoming {
    type Item = Result<PeerStream, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(inbound) = std::task::ready!(self.0.poll_recv(cx)) else {
                return Poll::Ready(None);
            };
            let Some(node) = node_key(inbound.peer) else {
                tracing::debug!(peer = %inbound.peer, "stream of a peer without an Ed25519 key");
                continue;
            };
            return Poll::Ready(Some(Ok(PeerStream {
                io: inbound.stream.compat(),
                caller: Caller(node),
                _slot: inbound.slot,
            })));
        }
    }
}

impl Connected for PeerStream {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
