//! Fewer and larger writes on a connection: each costs a call to the system and a wake-up of the other end,
//! whatever it carries.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};

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

    /// Has nothing to read; flushes are counted.
    #[derive(Default)]
    struct Socket {
        flushes: usize,
    }

    impl AsyncRead for Socket {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Socket {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
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
