//! What a message becomes once it is known who sent it, to whom, when, and that it is new.

use crate::{
    membership::Organization,
    types::{MemberId, NodeKey},
};

/// An active member, as its credential describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub member: MemberId,
    /// The key that signed and that the transport proved.
    pub node_key: NodeKey,
    /// The organisation its credential names.
    pub organization: Organization,
}

/// A body from an active member, addressed to this run of this node, fresh, seen for the first time.
///
/// Only [`crate::session`] makes one.
pub struct Authenticated<T> {
    peer: Peer,
    body: T,
}

impl<T> Authenticated<T> {
    pub(super) fn new(peer: Peer, body: T) -> Self {
        Self { peer, body }
    }

    /// Skips admission, for tests of what comes after it.
    #[cfg(test)]
    pub(crate) fn for_test(peer: Peer, body: T) -> Self {
        Self::new(peer, body)
    }

    /// Who sent it.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What it says.
    pub fn body(&self) -> &T {
        &self.body
    }
}
