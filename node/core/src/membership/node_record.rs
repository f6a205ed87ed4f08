//! Node records: where a member can be reached.

use bytes::Bytes;

use super::{Credential, NodeRecord, StatementError, Subject, statement::check_signer};
use crate::{
    crypto::Envelope,
    types::{
        NetworkId, Timestamp,
        limits::{CLOCK_WINDOW, NODE_RECORD_LIFE},
    },
};

impl NodeRecord {
    /// What a member's node key signs.
    pub fn issue(subject: Subject, sequence: u64, addresses: Vec<Bytes>, now: Timestamp) -> Self {
        Self {
            member: subject.member,
            addresses,
            sequence,
            expiry: now.plus(NODE_RECORD_LIFE),
            capabilities: Vec::new(),
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
    let signed = envelope.verify::<NodeRecord>(network)?;
    check_signer(signed.signers(), subject)?;
    let record = signed.value();
    if record.member != subject.member {
        return Err(StatementError::Member);
    }
    if record.sequence == 0 {
        return Err(StatementError::Sequence);
    }
    Ok(signed.into_value())
}
