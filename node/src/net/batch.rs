//! Fewer and larger reads and writes on a connection: each costs a call to the system and a wake-up of the
//! other end, whatever it carries.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};

/// Bytes read ahead at first: what most messages fit into.
const AHEAD_MIN_BYTES: usize = 8 << 10;
/// Bytes read ahead at most, of a connection that is busy.
const AHEAD_MAX_BYTES: usize = 128 << 10;

/// Reads ahead: as much as there is, up to a bound that doubles whenever it is met.
pub(super) struct ReadAhead<T> {
    io: T,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<T> ReadAhead<T> {
    pub(super) fn new(io: T) -> Self {
        Self {
            io,
            buffer: Vec::new(),
            start: 0,
            end: 0,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ReadAhead<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.start == this.end {
            let was_met = this.end == this.buffer.len();
            if was_met && this.buffer.len() < AHEAD_MAX_BYTES {
                this.buffer = vec![0; (2 * this.buffer.len()).max(AHEAD_MIN_BYTES)];
            }
            (this.start, this.end) = (0, 0);
            this.end = ready!(Pin::new(&mut this.io).poll_read(cx, &mut this.buffer))?;
        }
        let here = &this.buffer[this.start..this.end];
        let count = here.len().min(out.len());
        out[..count].copy_from_slice(&here[..count]);
        this.start += count;
        Poll::Ready(Ok(count))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ReadAhead<T> {
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

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

/// Sends what was written only once its owner looks for something to read, or once the layer below has as
/// much as it gathers.
///
/// For an owner that writes and reads in one task and asks for a flush after every frame, as Yamux does: it
/// looks for something to read whenever it has nothing more to write, and before it waits.
pub(super) struct Gathered<T> {
    io: T,
    is_owed: bool,
}

impl<T> Gathered<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io, is_owed: false }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.is_owed {
            // Where it must wait, it wakes this very task.
            this.is_owed = Pin::new(&mut this.io).poll_flush(cx)?.is_pending();
        }
        Pin::new(&mut this.io).poll_read(cx, out)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gathered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_owed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        Pin::new(&mut this.io).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt, AsyncWriteExt, FutureExt as _};

    use super::*;

    /// Reads give what there is; flushes are counted.
    #[derive(Default)]
    struct Socket {
        there: Vec<u8>,
        reads: usize,
        written: usize,
        flushes: usize,
    }

    impl AsyncRead for Socket {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            out: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let count = self.there.len().min(out.len());
            if count == 0 {
                return Poll::Pending;
            }
            self.reads += 1;
            let rest = self.there.split_off(count);
            out[..count].copy_from_slice(&std::mem::replace(&mut self.there, rest));
            Poll::Ready(Ok(count))
        }
    }

    impl AsyncWrite for Socket {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.written += bytes.len();
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_flush(cx)
        }
    }

    #[tokio::test]
    async fn what_is_read_ahead_comes_in_order_and_in_few_reads() {
        let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
        let mut ahead = ReadAhead::new(Socket {
            there: sent.clone(),
            ..Socket::default()
        });

        let mut got = Vec::new();
        let mut small = [0; 700];
        while got.len() < sent.len() {
            let count = ahead.read(&mut small).await.expect("bytes");
            got.extend_from_slice(&small[..count]);
        }

        assert!(got == sent);
        assert!(ahead.io.reads <= 13, "{} reads", ahead.io.reads);
        assert!(ahead.buffer.len() == AHEAD_MAX_BYTES);
        assert!(ahead.read(&mut small).now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_connection_that_carries_little_reads_ahead_little() {
        let mut ahead = ReadAhead::new(Socket::default());
        let mut message = [0; 900];

        for _ in 0..100 {
            ahead.io.there = vec![7; message.len()];
            ahead.read_exact(&mut message).await.expect("a message");
        }

        assert_eq!(ahead.buffer.len(), AHEAD_MIN_BYTES);
        assert_eq!(ahead.io.reads, 100);
    }

    #[tokio::test]
    async fn what_was_written_leaves_before_anybody_waits_for_an_answer() {
        let mut gathered = Gathered::new(Socket::default());

        for _ in 0..5 {
            gathered.write_all(b"frame").await.expect("written");
            gathered.flush().await.expect("promised");
        }
        let before = gathered.io.flushes;
        let mut answer = [0; 8];
        let waits = gathered.read(&mut answer).now_or_never();
        let after = gathered.io.flushes;
        let _waits = gathered.read(&mut answer).now_or_never();

        assert!(waits.is_none());
        assert_eq!((before, after, gathered.io.flushes), (0, 1, 1));
        gathered.close().await.expect("closed");
        assert!(gathered.io.flushes > after);
    }
}
