//! Ends everything that runs over the connections of one peer, at once: closing a connection in order
//! waits for what is still to be sent, and a peer that reads nothing would make that for ever.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use libp2p::PeerId;

/// Below this many entries dead ones are not worth looking for.
const SWEEP_MIN: usize = 32;

/// The connections that can be cut.
#[derive(Clone, Default)]
pub(super) struct Cuts(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    peers: BTreeMap<PeerId, Vec<Weak<State>>>,
    sweep_at: usize,
}

/// One connection's end of it.
#[derive(Clone)]
pub(super) struct Cut(Arc<State>);

#[derive(Default)]
struct State {
    is_cut: AtomicBool,
    task: AtomicWaker,
}

impl Cuts {
    /// What a connection of a peer is to look at whenever it does something.
    pub(super) fn of(&self, peer: PeerId) -> Cut {
        let state = Arc::new(State::default());
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.peers.len() >= table.sweep_at {
            table.peers.retain(|_, all| {
                all.retain(|state| state.strong_count() > 0);
                !all.is_empty()
            });
            table.sweep_at = SWEEP_MIN.max(table.peers.len() * 2);
        }
        let all = table.peers.entry(peer).or_default();
        all.retain(|state| state.strong_count() > 0);
        all.push(Arc::downgrade(&state));
        Cut(state)
    }

    /// Cuts every connection of a peer.
    pub(super) fn cut(&self, peer: PeerId) {
        let all = {
            let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            table.peers.remove(&peer).unwrap_or_default()
        };
        for state in all.iter().filter_map(Weak::upgrade) {
            state.is_cut.store(true, Ordering::Release);
            state.task.wake();
        }
    }
}

impl Cut {
    /// Does something unless the connection was cut; where that has to wait, a cut ends the waiting.
    pub(super) fn or<T, E: From<io::Error>>(
        &self,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut Context<'_>) -> Poll<Result<T, E>>,
    ) -> Poll<Result<T, E>> {
        if self.0.is_cut.load(Ordering::Acquire) {
            return Poll::Ready(Err(ended().into()));
        }
        let done = act(cx);
        if done.is_pending() {
            self.0.task.register(cx.waker());
            // A cut between the look and the registration woke nobody.
            if self.0.is_cut.load(Ordering::Acquire) {
                return Poll::Ready(Err(ended().into()));
            }
        }
        done
    }
}

fn ended() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}
