//! What stands between a connection and its socket: the meter of strangers, and the cut.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId,
    core::{
        muxing::{StreamMuxer, StreamMuxerEvent},
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
    },
};

use super::{
    cut::{Cut, Cuts},
    gathered::Gathered,
    meter::{Meter, Meters, Way},
};

/// Guards every connection of a node.
#[derive(Clone)]
pub(super) struct Guards {
    pub(super) meters: Meters,
    pub(super) cuts: Cuts,
}

/// Bytes under guard.
pub(super) struct GuardedIo<T> {
    io: T,
    meter: Meter,
    cut: Option<Cut>,
}

impl<T: AsyncRead + Unpin> AsyncRead for GuardedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, meter, cut } = &mut *self;
        or_cut(cut.as_ref(), cx, |cx| {
            ready!(meter.poll_ready(Way::Read, cx));
            let read = ready!(Pin::new(io).poll_read(cx, buffer))?;
            meter.spend(Way::Read, read);
            Poll::Ready(Ok(read))
        })
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for GuardedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, meter, cut } = &mut *self;
        or_cut(cut.as_ref(), cx, |cx| {
            ready!(meter.poll_ready(Way::Write, cx));
            let written = ready!(Pin::new(io).poll_write(cx, bytes))?;
            meter.spend(Way::Write, written);
            Poll::Ready(Ok(written))
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, cut, .. } = &mut *self;
        or_cut(cut.as_ref(), cx, |cx| Pin::new(io).poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, cut, .. } = &mut *self;
        or_cut(cut.as_ref(), cx, |cx| Pin::new(io).poll_close(cx))
    }
}

fn or_cut<T>(
    cut: Option<&Cut>,
    cx: &mut Context<'_>,
    act: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
) -> Poll<io::Result<T>> {
    match cut {
        Some(cut) => cut.or(cx, act),
        None => act(cx),
    }
}

/// A multiplexer over guarded bytes.
#[derive(Clone)]
pub(super) struct GuardedUpgrade<U> {
    upgrade: U,
    guards: Guards,
    peer: PeerId,
}

impl<U> GuardedUpgrade<U> {
    pub(super) fn new(upgrade: U, guards: Guards, peer: PeerId) -> Self {
        Self {
            upgrade,
            guards,
            peer,
        }
    }

    fn guarded<C>(&self, io: C) -> Gathered<GuardedIo<C>> {
        Gathered::new(GuardedIo {
            io,
            meter: self.guards.meters.of(self.peer),
            cut: Some(self.guards.cuts.of(self.peer)),
        })
    }
}

impl<U: UpgradeInfo> UpgradeInfo for GuardedUpgrade<U> {
    type Info = U::Info;
    type InfoIter = U::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.upgrade.protocol_info()
    }
}

impl<C, U: InboundConnectionUpgrade<Gathered<GuardedIo<C>>>> InboundConnectionUpgrade<C>
    for GuardedUpgrade<U>
{
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_inbound(self, io: C, info: Self::Info) -> Self::Future {
        let io = self.guarded(io);
        self.upgrade.upgrade_inbound(io, info)
    }
}

impl<C, U: OutboundConnectionUpgrade<Gathered<GuardedIo<C>>>> OutboundConnectionUpgrade<C>
    for GuardedUpgrade<U>
{
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_outbound(self, io: C, info: Self::Info) -> Self::Future {
        let io = self.guarded(io);
        self.upgrade.upgrade_outbound(io, info)
    }
}

/// A connection whose streams are metered one by one, where its bytes cannot be.
pub(super) struct GuardedMuxer<M> {
    muxer: M,
    meters: Meters,
    cut: Cut,
    peer: PeerId,
}

impl<M: StreamMuxer> GuardedMuxer<M> {
    pub(super) fn new(muxer: M, guards: &Guards, peer: PeerId) -> Self {
        Self {
            muxer,
            meters: guards.meters.clone(),
            cut: guards.cuts.of(peer),
            peer,
        }
    }

    fn guarded(&self, stream: M::Substream) -> GuardedIo<M::Substream> {
        GuardedIo {
            io: stream,
            meter: self.meters.of(self.peer),
            // A stream ends with its connection.
            cut: None,
        }
    }
}

impl<M: StreamMuxer<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin> StreamMuxer
    for GuardedMuxer<M>
where
    M::Substream: Unpin,
{
    type Substream = GuardedIo<M::Substream>;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream =
            ready!(Pin::new(&mut self.muxer).poll_inbound(cx)).map_err(io::Error::other)?;
        Poll::Ready(Ok(self.guarded(stream)))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream =
            ready!(Pin::new(&mut self.muxer).poll_outbound(cx)).map_err(io::Error::other)?;
        Poll::Ready(Ok(self.guarded(stream)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let Self { muxer, cut, .. } = &mut *self;
        cut.or(cx, |cx| {
            Pin::new(muxer).poll_close(cx).map_err(io::Error::other)
        })
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        let Self { muxer, cut, .. } = &mut *self;
        cut.or(cx, |cx| Pin::new(muxer).poll(cx).map_err(io::Error::other))
    }
}
