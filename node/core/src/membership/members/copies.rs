//! Which of two statements of a member is newer, and which of two copies of its node.

use std::cmp::Ordering;

use super::{Member, MembershipError};
use crate::{crypto::Envelope, membership::NodeRecord, types::Incarnation};

impl Member {
    /// Which copy of its node spoke last, of those that were heeded.
    pub fn incarnation(&self) -> Incarnation {
        self.node_record
            .as_ref()
            .map_or(Incarnation::default(), |record| record.incarnation)
    }

    /// How the incarnation that is offered compares with the one that is held; a record that is not
    /// offered, or not held, is of the first.
    pub(super) fn compared(&self, offered: Option<&Envelope>) -> Ordering {
        let claimed = offered.and_then(|record| record.claims::<NodeRecord>().ok());
        match (claimed, self.incarnation()) {
            (Some(claimed), held) => claimed.incarnation.cmp(&held),
            (None, _) => Ordering::Equal,
        }
    }

    pub(super) fn forget_key_set(&mut self) {
        self.key_set = None;
        self.known.key_set = None;
    }

    pub(super) fn is_newer(
        &self,
        sequence: u64,
        held: Option<u64>,
        body_differs: bool,
    ) -> Result<bool, MembershipError> {
        match held {
            None => Ok(true),
            Some(held) if sequence == held && body_differs => {
                Err(MembershipError::Conflict { member: self.id() })
            }
            Some(held) => Ok(sequence > held),
        }
    }
}
