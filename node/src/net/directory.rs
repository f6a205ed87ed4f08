//! What the network asks the node: who belongs, and whether a node record holds.

use chartmesh_core::types::NodeKey;
use libp2p::PeerId;

use super::address::node_key;

/// The node's knowledge of others, asked at the moment it matters and never remembered.
pub trait Directory: Send + Sync + 'static {
    /// Whether a node is an active member, or the one this node asks to be let in.
    fn is_known(&self, node: NodeKey) -> bool;

    /// This node's own record as signed; none before it is a member.
    fn own_record(&self) -> Option<Vec<u8>>;

    /// Where a member says it is; none where the record is not that member's, or does not hold.
    fn read_record(&self, node: NodeKey, record: &[u8]) -> Option<Found>;
}

/// What a node record that holds says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Rises with each record of a member: which copy of its node, and the sequence of that.
    pub sequence: (u64, u64),
    /// Binary multiaddresses.
    pub addresses: Vec<Vec<u8>>,
}

/// Whether a directory knows a libp2p identity.
pub(super) fn knows(directory: &dyn Directory, peer: PeerId) -> bool {
    node_key(peer).is_some_and(|node| directory.is_known(node))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// To whom everybody is a member.
    pub(in crate::net) struct Everybody;

    impl Directory for Everybody {
        fn is_known(&self, _: NodeKey) -> bool {
            true
        }

        fn own_record(&self) -> Option<Vec<u8>> {
            None
        }

        fn read_record(&self, _: NodeKey, _: &[u8]) -> Option<Found> {
            None
        }
    }
    /// To whom nobody is a member.
    pub(in crate::net) struct Nobody;

    impl Directory for Nobody {
        fn is_known(&self, _: NodeKey) -> bool {
            false
        }

        fn own_record(&self) -> Option<Vec<u8>> {
            None
        }

        fn read_record(&self, _: NodeKey, _: &[u8]) -> Option<Found> {
            None
        }
    }
}
