//! What counts no longer: node keys that members went by before, credentials of older charters.

use std::collections::BTreeSet;

use super::{Member, Members};
use crate::membership::Chain;
use crate::types::{MemberId, NodeKey, limits::MEMBERS_MAX};

impl Members {
    /// The member that went by a node key before it went over to another.
    pub fn by_retired_key(&self, node_key: &NodeKey) -> Option<&Member> {
        self.members.get(self.retired.get(node_key)?)
    }

    /// Looks again whose credentials count, under other versions of the charter.
    pub fn recount(&mut self, chain: &Chain) {
        for member in self.members.values_mut() {
            let signers = member.known.credential.claimed_signers();
            member.counts = chain.check_quorum(&signers).is_ok();
        }
    }

    /// Throws members out, for good, whether they are known or not.
    pub fn revoke(&mut self, revoked: &BTreeSet<MemberId>) {
        for member in revoked {
            self.revoked.insert(*member);
            if let Some(known) = self.members.get_mut(member) {
                known.revoked = true;
            }
        }
    }

    pub(super) fn retire(&mut self, node_key: NodeKey, member: MemberId) {
        if self.retired.len() < MEMBERS_MAX {
            self.retired.insert(node_key, member);
        }
    }
}
