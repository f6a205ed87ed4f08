//! Which members a node stays connected to: few in a large network, so that nobody holds a connection
//! to everybody, and enough that news reaches all.

use std::collections::BTreeSet;

use chartmesh_core::types::limits;
use libp2p::PeerId;

/// The members to stay connected to.
///
/// Up to [`limits::NEIGHBOURS_MAX`] all of them. Beyond, the members stand on a ring in the order of
/// their identities, and each keeps those at 1, 2, 4, 8, … places to either side, and then its nearest.
/// Whoever knows the same members chooses alike, so a wish to stay connected is mutual; the ring
/// connects everybody, and the longer steps keep the way between any two short.
pub(super) fn neighbours(own: PeerId, others: &BTreeSet<PeerId>) -> BTreeSet<PeerId> {
    if others.len() <= limits::NEIGHBOURS_MAX {
        return others.clone();
    }
    let ring: Vec<PeerId> = others.iter().copied().collect();
    let place = ring.partition_point(|peer| *peer < own);
    let len = ring.len();
    // This node itself is not in the list, so the first to the right stands at its own place.
    let right = |step: usize| ring[(place + step - 1) % len];
    let left = |step: usize| ring[(place + len - step % len) % len];
    let doubling = std::iter::successors(Some(1_usize), |step| step.checked_mul(2));
    let steps = doubling.take_while(|step| *step <= len / 2).chain(1..=len);
    let mut chosen = BTreeSet::new();
    for step in steps {
        for peer in [right(step), left(step)] {
            if chosen.len() >= limits::NEIGHBOURS_MAX {
                return chosen;
            }
            chosen.insert(peer);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: usize) -> BTreeSet<PeerId> {
        (0..count).map(|_| PeerId::random()).collect()
    }

    fn of(own: PeerId, all: &BTreeSet<PeerId>) -> BTreeSet<PeerId> {
        let mut others = all.clone();
        others.remove(&own);
        neighbours(own, &others)
    }

    #[test]
    fn a_small_network_is_kept_whole_and_a_large_one_up_to_neighbours_max() {
        for count in [1, 2, 3, limits::NEIGHBOURS_MAX + 1] {
            let all = members(count);
            assert!(all.iter().all(|own| of(*own, &all).len() == count - 1));
        }
        for count in [limits::NEIGHBOURS_MAX + 2, 100, 1_000] {
            let all = members(count);
            for own in all.iter().take(50) {
                let kept = of(*own, &all);
                assert_eq!(kept.len(), limits::NEIGHBOURS_MAX);
                assert!(!kept.contains(own));
            }
        }
    }

    #[test]
    fn everybody_is_reached_in_a_few_steps_even_where_many_are_away() {
        let all = members(1_000);
        let away: BTreeSet<PeerId> = all.iter().copied().step_by(4).collect();
        let first = all.iter().find(|peer| !away.contains(*peer));
        let mut reached = BTreeSet::from([*first.expect("a member")]);
        let mut edge = reached.clone();
        let mut steps = 0;

        while !edge.is_empty() {
            edge = edge.iter().flat_map(|own| of(*own, &all)).collect();
            edge.retain(|peer| !away.contains(peer) && reached.insert(*peer));
            steps += 1;
        }

        assert_eq!(reached.len(), 750);
        assert!(steps <= 12, "{steps}");
    }

    #[test]
    fn the_wish_to_stay_connected_is_mutual() {
        let all = members(500);
        let (mut mutual, mut wishes) = (0, 0);
        for own in &all {
            for peer in of(*own, &all) {
                wishes += 1;
                mutual += usize::from(of(peer, &all).contains(own));
            }
        }
        assert_eq!(mutual, wishes);
    }
}
