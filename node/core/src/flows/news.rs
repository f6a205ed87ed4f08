//! News: what this node must tell others at once, and whom it must ask because they said they have some.
//!
//! Nobody is believed for what they tell: who is told asks back, and judges what it is given.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    task::{Poll, Waker},
};

use futures::{StreamExt, stream};

use super::node::Node;
use crate::{
    membership::{Member, Status},
    ports::{Rpc, World},
    types::{
        MemberId, NodeKey,
        limits::{NEWS_PAUSE, NEWS_TIME_MAX, TOLD_MAX, TOLD_ON_MAX},
    },
    wire::{TrustAnswer, TrustRequest},
};

/// Members told, or asked, at a time.
const AT_A_TIME: usize = 64;

/// Who is told at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Audience {
    /// A few, of what this node heard.
    Few,
    /// All, of what this node decided.
    All,
}

impl Audience {
    fn size(self) -> usize {
        match self {
            Self::Few => TOLD_ON_MAX,
            Self::All => TOLD_MAX,
        }
    }
}

/// What waits to be told, and who waits to be asked.
#[derive(Default)]
pub(super) struct News {
    audience: Option<Audience>,
    bearers: BTreeSet<MemberId>,
    wakers: Vec<Waker>,
}

impl News {
    /// Says that this node has news for others.
    pub(super) fn tell(&mut self, audience: Audience) {
        self.audience = self.audience.max(Some(audience));
        self.wake();
    }

    /// Says that a member has news for this node.
    pub(super) fn heard_of(&mut self, bearer: MemberId) {
        self.bearers.insert(bearer);
        self.wake();
    }

    fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    fn wait<T>(&mut self, waker: &Waker) -> Poll<T> {
        if !self.wakers.iter().any(|known| known.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
        Poll::Pending
    }
}

impl<W: World> Node<W> {
    /// Waits until this node has news for others and tells them. Called again and again, in a task of
    /// its own; one that does not answer holds nobody else up for longer than [`NEWS_TIME_MAX`].
    pub async fn tell_news(&self) {
        let audience = poll_fn(|cx| {
            let news = &mut self.state().news;
            match news.audience.take() {
                Some(audience) => Poll::Ready(audience),
                None => news.wait(cx.waker()),
            }
        })
        .await;
        let listeners = {
            let now = self.now();
            let state = self.state();
            let active = state.members.iter();
            let active = active.filter(|member| member.status(now) == Status::Active);
            circle(active.map(|member| member.id()), self.member(), audience)
        };
        stream::iter(listeners)
            .map(|member| self.tell(member))
            .buffer_unordered(AT_A_TIME)
            .collect::<()>()
            .await;
    }

    /// Waits until a member says that it has news and asks it. Called again and again, in a task of
    /// its own.
    pub async fn ask_for_news(&self) {
        let bearers = poll_fn(|cx| {
            let news = &mut self.state().news;
            if news.bearers.is_empty() {
                return news.wait(cx.waker());
            }
            Poll::Ready(std::mem::take(&mut news.bearers))
        })
        .await;
        stream::iter(bearers)
            .map(|bearer| self.hear(bearer))
            .buffer_unordered(AT_A_TIME)
            .collect::<()>()
            .await;
        // Whoever says without end that it has news is asked no more often than this.
        self.world.sleep_until(self.now().plus(NEWS_PAUSE)).await;
    }

    async fn tell(&self, member: MemberId) {
        let telling = self.ask::<_, TrustAnswer>(member, Rpc::Trust, |head| TrustRequest {
            tell: true,
            ..self.trust_request(head)
        });
        // One that does not hear it now hears it from another, or within a minute.
        let _heard = self.until(self.now().plus(NEWS_TIME_MAX), telling).await;
    }

    fn node_key_of(&self, member: MemberId) -> Option<NodeKey> {
        let state = self.state();
        state.members.get(&member).map(Member::node_key)
    }

    async fn hear(&self, bearer: MemberId) {
        let asking = async {
            if self.exchange_trust(bearer).await == Ok(Exchanged::Unlike) {
                // What it cannot say now it says at the next round.
                let _asked_again = self.sync_members(bearer).await;
            }
            // A charter that waits, or is disputed, stands in no Hello.
            if let Some(node) = self.node_key_of(bearer) {
                let _as_far_as_it_goes = self.pull_charters(node).await;
            }
        };
        let _in_time = self.until(self.now().plus(NEWS_TIME_MAX), asking).await;
    }
}

/// How a member's view of the members compares after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchanged {
    /// Both know the same of the members.
    Alike,
    /// They do not: what the other knows should be asked for.
    Unlike,
}

/// Those behind a member in a circle of all, the nearest first: each node tells others than its
/// neighbour does, so that together they miss nobody.
fn circle(all: impl Iterator<Item = MemberId>, own: MemberId, audience: Audience) -> Vec<MemberId> {
    let (mut behind, before): (Vec<_>, Vec<_>) =
        all.filter(|id| *id != own).partition(|id| *id > own);
    behind.extend(before);
    behind.truncate(audience.size());
    behind
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> MemberId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        MemberId(id)
    }

    #[test]
    fn told_max_hear_what_was_decided_and_told_on_max_what_was_heard() {
        let all = || (0..1_000).map(id);

        assert_eq!(circle(all(), id(5), Audience::All).len(), TOLD_MAX);
        let few = circle(all(), id(997), Audience::Few);

        assert_eq!(few.len(), TOLD_ON_MAX);
        let wrapped = [998, 999, 0, 1, 2, 3, 4, 5].map(id);
        assert_eq!(few, wrapped);
    }

    #[test]
    fn in_a_small_network_everybody_else_hears_it_once() {
        let told = circle((0..4).map(id), id(2), Audience::Few);

        assert_eq!(told, [3, 0, 1].map(id));
    }
}
