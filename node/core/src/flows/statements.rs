//! What a node says of itself: its key set and its node record, signed anew as they grow old.

use std::sync::Arc;

use bytes::Bytes;

use super::node::Node;
use crate::{
    crypto::{Envelope, OpeningKey, SUITE_XWING},
    membership::{HpkeKey, KeySet, Known, NodeRecord, capability},
    ports::World,
    types::{
        NetworkId, Span, Timestamp,
        limits::{KEY_SET_LIFE, NODE_ADDRESSES_MAX, NODE_RECORD_LIFE},
    },
};

impl<W: World> Node<W> {
    /// Signs this run's key set and node record anew. Called at start, when addresses change and
    /// before the key set grows old; sequences are times, so they rise.
    pub fn refresh_statements(&self) {
        let now = self.now();
        let mut state = self.state();
        let Some(network) = state.network.as_ref().map(|network| network.id) else {
            return;
        };
        let sequence = state.next_sequence(now);
        let key_set = self.own_key_set(&state.opening, &network, (now, sequence));
        let own = self.identity().authority.public();
        let is_authority = state
            .network
            .as_ref()
            .is_some_and(|network| network.charter.authorities.contains(&own));
        let mut capabilities = state.capabilities.clone();
        capabilities.extend(is_authority.then_some(capability::AUTHORITY));
        let record = NodeRecord {
            member: self.member(),
            addresses: state.addresses.iter().cloned().map(Bytes::from).collect(),
            sequence,
            expiry: now.plus(NODE_RECORD_LIFE),
            capabilities,
            incarnation: self.identity().incarnation,
        };
        state.key_set = Some(key_set);
        state.node_record = Some(self.identity().node.sign(&network, &record));
        let own = state.members.get(&self.member()).map(|member| Known {
            credential: member.known().credential.clone(),
            key_set: state.key_set.clone(),
            node_record: state.node_record.clone(),
        });
        if let (Some(own), Some(network)) = (own, state.network.clone()) {
            // Our own statements hold by construction; a credential that ran out is what `doctor` shows.
            let _expired = state.members.offer(&own, &network.id, &network.chain, now);
        }
    }

    pub(super) fn own_key_set(
        &self,
        opening: &[Arc<OpeningKey>],
        network: &NetworkId,
        (now, sequence): (Timestamp, u64),
    ) -> Envelope {
        let set = KeySet {
            member: self.member(),
            sequence,
            keys: opening
                .iter()
                .take(1)
                .map(|key| HpkeKey {
                    id: key.id(),
                    suite: SUITE_XWING,
                    public: key.public(),
                })
                .collect(),
            audit_key: self.identity().audit.public(),
            valid_from: now.minus(Span::minutes(10)),
            valid_until: now.minus(Span::minutes(10)).plus(KEY_SET_LIFE),
        };
        self.identity().node.sign(network, &set)
    }

    /// Installs the keys that open what is sealed to this node, newest first.
    pub fn install_opening_keys(&self, keys: Vec<OpeningKey>) {
        self.state().opening = keys.into_iter().map(Arc::new).collect();
        self.refresh_statements();
    }

    /// Says where this node can be reached (binary multiaddresses).
    pub fn set_addresses(&self, mut addresses: Vec<Vec<u8>>) {
        addresses.truncate(NODE_ADDRESSES_MAX);
        self.state().addresses = addresses;
        self.refresh_statements();
    }

    /// Says what this node does for other members.
    pub fn set_capabilities(&self, capabilities: Vec<u32>) {
        self.state().capabilities = capabilities;
        self.refresh_statements();
    }
}
