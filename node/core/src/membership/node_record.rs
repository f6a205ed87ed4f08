//! Node records: where a member can be reached.

use bytes::Bytes;

use super::{Credential, NodeRecord, StatementError, Subject, statement::check_signer};
use crate::{
    crypto::Envelope,
    types::{
        Incarnation, NetworkId, Timestamp,
        limits::{CLOCK_WINDOW, NODE_RECORD_LIFE},
    },
};

/// What a node may say in its record that it does besides.
pub mod capability {
    /// It holds an authority key of the charter; a hint, proved by an
    /// [`AuthorityClaim`](crate::membership::AuthorityClaim).
    pub const AUTHORITY: u32 = 16;
    /// It relays for members that cannot be dialled.
    pub const RELAY: u32 = 1;
}

impl NodeRecord {
    /// Whether the node says that it does this.
    pub fn can(&self, capability: u32) -> bool {
        self.capabilities.contains(&capability)
    }

    /// What a member's node key signs.
    pub fn issue(subject: Subject, sequence: u64, addresses: Vec<Bytes>, now: Timestamp) -> Self {
        Self {
            member: subject.member,
            addresses,
            sequence,
            expiry: now.plus(NODE_RECORD_LIFE),
            capabilities: Vec::new(),
            incarnation: Incarnation::default(),
        }
    }

    /// Whether it is valid at a time. A clock that is ahead within its window does not make a record
    /// live too long.
    ///
    /// # Errors
    /// [`StatementError::Expired`] or [`StatementError::Life`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), StatementError> {
        if now >= self.expiry {
            return Err(StatementError::Expired {
                valid_until: self.expiry,
            });
        }
        if self.expiry > now.plus(NODE_RECORD_LIFE).plus(CLOCK_WINDOW) {
            return Err(StatementError::Life);
        }
        Ok(())
    }
}

/// Verifies the node record of the member that a credential names, at a time.
///
/// # Errors
/// [`StatementError`].
pub fn verify_node_record(
    envelope: &Envelope,
    network: &NetworkId,
    credential: &Credential,
    now: Timestamp,
) -> Result<NodeRecord, StatementError> {
    verify_node_record_of(envelope, network, credential.subject(), now)
}

/// Verifies the node record of an applicant, who has no credential yet.
///
/// # Errors
/// [`StatementError`].
pub fn verify_node_record_of(
    envelope: &Envelope,
    network: &NetworkId,
    subject: Subject,
    now: Timestamp,
) -> Result<NodeRecord, StatementError> {
    let record = verify_node_record_at_any_time(envelope, network, subject)?;
    record.check_time(now)?;
    Ok(record)
}

/// Verifies everything of a node record but whether its time is over.
pub(super) fn verify_node_record_at_any_time(
    envelope: &Envelope,
    network: &NetworkId,
    subject: Subject,
) -> Result<NodeRecord, StatementError> {
    check_signer(&envelope.claimed_signers(), subject)?;
    let signed = envelope.verify::<NodeRecord>(network)?;
    let record = signed.value();
    if record.member != subject.member {
        return Err(StatementError::Member);
    }
    if record.sequence == 0 {
        return Err(StatementError::Sequence);
    }
    Ok(signed.into_value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        membership::fixture::{NOW, Network, key},
        types::{MemberId, Span},
    };

    #[test]
    fn a_capability_is_what_the_record_says_and_an_unknown_one_is_none() {
        let mut record = Network::new().node_record(1, 1);
        assert!(!record.can(capability::RELAY));

        record.capabilities = vec![7];
        assert!(!record.can(capability::RELAY));
        record.capabilities = vec![7, capability::RELAY];
        assert!(record.can(capability::RELAY));
    }

    #[test]
    fn a_node_record_is_its_members_own_and_dies_in_time() {
        let network = Network::new();
        let credential = network.credential(1, 1);
        let record = network.node_record(1, 1);
        let verified = |record: &NodeRecord, now| {
            let signed = key(1).sign(&network.id, record);
            verify_node_record(&signed, &network.id, &credential, now).err()
        };
        assert_eq!(record.expiry.since(NOW), NODE_RECORD_LIFE);
        assert_eq!(verified(&record, NOW), None);
        assert_eq!(verified(&record, record.expiry.minus(Span(1))), None);

        let valid_until = record.expiry;
        let late = verified(&record, valid_until);
        assert_eq!(late, Some(StatementError::Expired { valid_until }));
        let mut other = record.clone();
        other.member = MemberId([2; 16]);
        assert_eq!(verified(&other, NOW), Some(StatementError::Member));
        other = record.clone();
        other.sequence = 0;
        assert_eq!(verified(&other, NOW), Some(StatementError::Sequence));
        other = record.clone();
        other.expiry = other.expiry.plus(CLOCK_WINDOW);
        assert_eq!(verified(&other, NOW), None);
        other.expiry = other.expiry.plus(Span(1));
        assert_eq!(verified(&other, NOW), Some(StatementError::Life));
        let signed = key(2).sign(&network.id, &record);
        let error = verify_node_record(&signed, &network.id, &credential, NOW);
        assert_eq!(error, Err(StatementError::Signer));
    }
}
