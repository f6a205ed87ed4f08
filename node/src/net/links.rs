//! The connections to each peer, and which of them is used.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use libp2p::{PeerId, core::ConnectedPoint, swarm::ConnectionId};
use tokio::time::Instant;

/// Connections that both ends began within this of each other are one meeting of two dials.
const SIMULTANEOUS: Duration = Duration::from_secs(3);

/// One connection.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) id: ConnectionId,
    path: Path,
    dialler: PeerId,
    since: Instant,
}

/// Better paths first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Path {
    Direct,
    Relayed,
}

/// Who has a connection, for whoever need not ask the swarm then; clones share it.
#[derive(Clone, Default)]
pub(super) struct Linked(Arc<Mutex<BTreeSet<PeerId>>>);

impl Linked {
    /// Whether a peer has a connection at this moment.
    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.lock().contains(&peer)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<PeerId>> {
        // A set is consistent after every step, so a panic elsewhere cannot spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connections to each peer, in the order they were made.
pub(super) struct Links {
    own: PeerId,
    peers: BTreeMap<PeerId, Vec<Link>>,
    linked: Linked,
}

impl Links {
    pub(super) fn new(own: PeerId) -> Self {
        Self {
            own,
            peers: BTreeMap::new(),
            linked: Linked::default(),
        }
    }

    pub(super) fn linked(&self) -> Linked {
        self.linked.clone()
    }

    pub(super) fn add(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let link = Link {
            id,
            path: if endpoint.is_relayed() {
                Path::Relayed
            } else {
                Path::Direct
            },
            dialler: if endpoint.is_dialer() { self.own } else { peer },
            since: Instant::now(),
        };
        self.peers.entry(peer).or_default().push(link);
        self.linked.lock().insert(peer);
    }

    /// Forgets a connection; tells whether it was the peer's last.
    pub(super) fn remove(&mut self, peer: PeerId, id: ConnectionId) -> bool {
        let Some(links) = self.peers.get_mut(&peer) else {
            return false;
        };
        let before = links.len();
        links.retain(|link| link.id != id);
        let is_last = links.is_empty() && before > 0;
        if links.is_empty() {
            self.peers.remove(&peer);
            self.linked.lock().remove(&peer);
        }
        is_last
    }

    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.peers.contains_key(&peer)
    }

    /// Every connection of a peer.
    pub(super) fn of(&self, peer: PeerId) -> &[Link] {
        self.peers.get(&peer).map_or(&[], Vec::as_slice)
    }

    /// The connection that is used; the others end once they are idle.
    ///
    /// Both ends choose the same: direct before relayed, of two dials that met the one of the smaller
    /// identity, and else the youngest, since whoever dials anew holds the older for dead.
    pub(super) fn best(&self, peer: PeerId) -> Option<ConnectionId> {
        let links = self.of(peer).iter().copied();
        links.reduce(better).map(|link| link.id)
    }
}

fn better(older: Link, younger: Link) -> Link {
    if older.path != younger.path {
        return if older.path < younger.path {
            older
        } else {
            younger
        };
    }
    let met = older.dialler != younger.dialler
        && younger.since.duration_since(older.since) < SIMULTANEOUS;
    if met && older.dialler < younger.dialler {
        older
    } else {
        younger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: usize, path: Path, dialler: PeerId, after: Duration) -> Link {
        Link {
            id: ConnectionId::new_unchecked(number),
            path,
            dialler,
            since: Instant::now() + after,
        }
    }

    fn best(own: PeerId, peer: PeerId, links: &[Link]) -> Option<ConnectionId> {
        let mut table = Links::new(own);
        table.peers.insert(peer, links.to_vec());
        table.best(peer)
    }

    #[tokio::test]
    async fn the_best_connection_is_direct_and_then_young() {
        let (own, peer) = (PeerId::random(), PeerId::random());
        let later = SIMULTANEOUS * 2;
        let old = link(1, Path::Direct, own, Duration::ZERO);
        let young = link(2, Path::Direct, peer, later);
        let relayed = link(3, Path::Relayed, own, later * 2);

        assert_eq!(best(own, peer, &[old, young, relayed]), Some(young.id));
        assert_eq!(best(own, peer, &[old, relayed]), Some(old.id));
        assert_eq!(best(own, peer, &[relayed]), Some(relayed.id));
        assert_eq!(best(own, peer, &[]), None);
    }

    /// The hard case: the ends see the two connections in different order.
    #[tokio::test]
    async fn of_two_dials_that_meet_both_ends_keep_the_same() {
        let (one, other) = (PeerId::random(), PeerId::random());
        let soon = SIMULTANEOUS / 3;
        for (first, second) in [(one, other), (other, one)] {
            let early = link(1, Path::Direct, first, Duration::ZERO);
            let late = link(2, Path::Direct, second, soon);
            let wanted = if first < second { early.id } else { late.id };

            assert_eq!(best(one, other, &[early, late]), Some(wanted));
            let swapped = [
                Link {
                    since: early.since,
                    ..late
                },
                Link {
                    since: late.since,
                    ..early
                },
            ];
            assert_eq!(best(other, one, &swapped), Some(wanted));
        }
        let early = link(1, Path::Direct, one, Duration::ZERO);
        let late = link(2, Path::Direct, one, soon);
        assert_eq!(best(one, other, &[early, late]), Some(late.id));
    }

    #[test]
    fn who_is_linked_is_who_has_a_connection() {
        let (own, peer) = (PeerId::random(), PeerId::random());
        let endpoint = ConnectedPoint::Listener {
            local_addr: libp2p::Multiaddr::empty(),
            send_back_addr: libp2p::Multiaddr::empty(),
        };
        let [one, other] = [1, 2].map(ConnectionId::new_unchecked);
        let mut links = Links::new(own);
        let linked = links.linked();
        assert!(!linked.has(peer));

        links.add(peer, one, &endpoint);
        links.add(peer, other, &endpoint);
        links.remove(peer, one);
        assert!(linked.has(peer) && links.has(peer));
        links.remove(peer, other);

        assert!(!linked.has(peer) && !links.has(peer));
    }
}
