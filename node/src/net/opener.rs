//! The way to ask the stream behaviour for a stream, bounded for each peer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::{PeerId, Stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{Slots, links::Linked, streams::StreamLimits};

/// Why a stream could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenError {
    /// No address is known, or none answers as this peer.
    #[error("no connection to the node, and none could be made")]
    Unreachable,
    /// The peer is connected and does not know the protocol.
    #[error("the node does not speak this network's protocol")]
    Foreign,
    /// As many requests as may wait for this peer do so already.
    #[error("too many streams are being opened")]
    Busy,
    /// The connection ended meanwhile, or the network has stopped.
    #[error("the connection closed")]
    Closed,
}

/// Opens streams; cheap to clone.
#[derive(Clone)]
pub(super) struct Opener {
    asks: mpsc::Sender<Ask>,
    linked: Linked,
    waiting: Arc<Mutex<Slots<PeerId>>>,
    opening: Arc<Mutex<Slots<PeerId>>>,
}

/// What the behaviour is asked for.
pub(super) struct Ask {
    pub(super) peer: PeerId,
    pub(super) reply: Reply,
}

/// Where its answer goes.
pub(super) enum Reply {
    /// Whether a connection stands.
    Connected(oneshot::Sender<Result<(), OpenError>>),
    /// A stream.
    Opened(StreamReply),
}

impl Reply {
    pub(super) fn refuse(self, error: OpenError) {
        // A caller that has gone away needs no answer.
        let _ = match self {
            Self::Connected(answer) => answer.send(Err(error)).is_ok(),
            Self::Opened(reply) => reply.answer.send(Err(error)).is_ok(),
        };
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Connected(answer) => answer.is_closed(),
            Self::Opened(reply) => reply.answer.is_closed(),
        }
    }
}

/// Where an opened stream goes. It travels with the request, so that opens pipeline; if the connection
/// dies on the way it is dropped, and the caller sees [`OpenError::Closed`].
#[derive(Debug)]
pub(super) struct StreamReply {
    pub(super) answer: oneshot::Sender<Result<Stream, OpenError>>,
    _opening: OwnedSemaphorePermit,
}

impl Opener {
    /// An opener, and what it asks of the swarm whose connections are `linked`.
    pub(super) fn new(limits: StreamLimits, linked: Linked) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(limits.waiting);
        let opener = Self {
            asks,
            linked,
            waiting: Arc::new(Mutex::new(Slots::new(limits.waiting))),
            opening: Arc::new(Mutex::new(Slots::new(limits.opening_per_peer))),
        };
        (opener, asked)
    }

    /// Waits until a connection to the peer stands, dialling if there is none. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`OpenError::Unreachable`], [`OpenError::Busy`], and [`OpenError::Closed`] once stopped.
    pub(super) async fn connect(&self, peer: PeerId) -> Result<(), OpenError> {
        if self.linked.has(peer) {
            return Ok(());
        }
        let _waiting = Self::admit(&self.waiting, peer)?;
        let (answer, connected) = oneshot::channel();
        self.ask(peer, Reply::Connected(answer)).await?;
        connected.await.map_err(|_| OpenError::Closed)?
    }

    /// Opens a stream over the best connection, dialling if there is none. Cancel-safe.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub(super) async fn open(&self, peer: PeerId) -> Result<Stream, OpenError> {
        let _waiting = Self::admit(&self.waiting, peer)?;
        let opening = lock(&self.opening).of(peer);
        let opening = opening
            .acquire_owned()
            .await
            .map_err(|_| OpenError::Closed)?;
        let (answer, opened) = oneshot::channel();
        let reply = StreamReply {
            answer,
            _opening: opening,
        };
        self.ask(peer, Reply::Opened(reply)).await?;
        opened.await.map_err(|_| OpenError::Closed)?
    }

    fn admit(
        waiting: &Mutex<Slots<PeerId>>,
        peer: PeerId,
    ) -> Result<OwnedSemaphorePermit, OpenError> {
        lock(waiting)
            .of(peer)
            .try_acquire_owned()
            .map_err(|_| OpenError::Busy)
    }

    async fn ask(&self, peer: PeerId, reply: Reply) -> Result<(), OpenError> {
        self.asks
            .send(Ask { peer, reply })
            .await
            .map_err(|_| OpenError::Closed)
    }
}

/// A table of semaphores is consistent after every step, so a panic elsewhere cannot spoil it.
fn lock(slots: &Mutex<Slots<PeerId>>) -> MutexGuard<'_, Slots<PeerId>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}
