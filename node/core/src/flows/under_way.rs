//! Releases under way: a revocation returns only when no key can leave any more to whom it names.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    task::{Poll, Waker},
};

use super::{node::Node, state::Fold};
use crate::{ports::World, types::MemberId};

/// How many releases are under way to each member, and who waits for their end.
#[derive(Default)]
pub(super) struct UnderWay {
    releases: BTreeMap<MemberId, usize>,
    wakers: Vec<Waker>,
}

/// One release under way; it ends when this is dropped.
pub(super) struct Leaving {
    fold: Fold,
    asker: MemberId,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut state = self.fold.lock();
        let under_way = &mut state.under_way;
        if let Some(releases) = under_way.releases.get_mut(&self.asker) {
            *releases -= 1;
            if *releases == 0 {
                under_way.releases.remove(&self.asker);
            }
        }
        for waker in under_way.wakers.drain(..) {
            waker.wake();
        }
    }
}

impl<W: World> Node<W> {
    /// Says that a release to a member begins. What is decided after this sees a revocation, or the
    /// revocation waits for it.
    pub(super) fn leaving(&self, asker: MemberId) -> Leaving {
        let mut state = self.state();
        *state.under_way.releases.entry(asker).or_default() += 1;
        Leaving {
            fold: self.fold.clone(),
            asker,
        }
    }

    /// Waits until no release to a member is under way.
    pub(super) async fn left(&self, asker: MemberId) {
        poll_fn(|cx| {
            let under_way = &mut self.state().under_way;
            if !under_way.releases.contains_key(&asker) {
                return Poll::Ready(());
            }
            under_way.wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
