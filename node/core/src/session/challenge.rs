//! Freshness without a disk write (`protocol.md` 3).

use std::collections::BTreeMap;

use subtle::ConstantTimeEq;

use crate::{
    crypto::{SecretKey, keyed_hash},
    types::{Incarnation, MemberId, Timestamp, limits::CHALLENGE_SLOT},
};

/// Makes and checks this run's challenges. A restart draws a new secret, so that everything
/// captured before it is refused.
pub struct Challenges {
    boot: SecretKey,
    /// Members whose node was restored while this run knew them.
    incarnations: BTreeMap<MemberId, Incarnation>,
}

impl Challenges {
    /// Starts with a secret drawn at start.
    pub fn new(boot: SecretKey) -> Self {
        Self {
            boot,
            incarnations: BTreeMap::new(),
        }
    }

    /// Makes what an earlier copy of a member's node was given worth nothing.
    pub fn renew(&mut self, peer: MemberId, incarnation: Incarnation) {
        self.incarnations.insert(peer, incarnation);
    }

    /// What `peer` must put into its messages at this time.
    pub fn current(&self, peer: MemberId, now: Timestamp) -> [u8; 16] {
        self.at(peer, now.0 / CHALLENGE_SLOT.0)
    }

    /// Whether a challenge was given to `peer` in this slot or the one before.
    pub fn holds(&self, peer: MemberId, challenge: [u8; 16], now: Timestamp) -> bool {
        let slot = now.0 / CHALLENGE_SLOT.0;
        let current = self.at(peer, slot).ct_eq(&challenge);
        let before = self.at(peer, slot.saturating_sub(1)).ct_eq(&challenge);
        (current | before).into()
    }

    fn at(&self, peer: MemberId, slot: u64) -> [u8; 16] {
        let incarnation = self.incarnations.get(&peer).map_or(0, |known| known.0);
        let parts: [&[u8]; 3] = [&peer.0, &slot.to_be_bytes(), &incarnation.to_be_bytes()];
        let mac = keyed_hash(&self.boot[..], &parts);
        let mut challenge = [0; 16];
        challenge.copy_from_slice(&mac[..16]);
        challenge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_good_in_its_slot_and_the_next_for_its_peer_and_run_only() {
        let run = Challenges::new(SecretKey::new([1; 32]));
        let other_run = Challenges::new(SecretKey::new([2; 32]));
        let (peer, stranger) = (MemberId([3; 16]), MemberId([4; 16]));
        let now = Timestamp(1_800_000_000_000);
        let given = run.current(peer, now);

        assert!(run.holds(peer, given, now));
        assert!(run.holds(peer, given, now.plus(CHALLENGE_SLOT)));
        assert!(!run.holds(peer, given, now.plus(CHALLENGE_SLOT).plus(CHALLENGE_SLOT)));
        assert!(!run.holds(stranger, given, now));
        assert!(!other_run.holds(peer, given, now));
    }
}
