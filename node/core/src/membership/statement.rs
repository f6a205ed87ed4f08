//! What all statements about a member have in common: why they are not believed, and their time.

use super::OrganizationError;
use crate::{
    crypto::SignatureError,
    types::{MemberId, NodeKey, Timestamp},
};

/// Why a credential, a key set or a node record is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// A signature does not hold, or the body is not canonical.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Fewer authorities signed a credential than the charter asks for.
    #[error("{signed} authorities signed, {threshold} must")]
    Quorum {
        /// Authorities that signed.
        signed: usize,
        /// How many must.
        threshold: u32,
    },
    /// Not signed by the member's node key alone.
    #[error("not signed by the node key of the member")]
    Signer,
    /// Of another network.
    #[error("of another network")]
    Network,
    /// About another member.
    #[error("about another member")]
    Member,
    /// Its time has not come.
    #[error("valid from {valid_from} only")]
    NotYet {
        /// From when it is valid.
        valid_from: Timestamp,
    },
    /// Its time is over.
    #[error("expired at {valid_until}")]
    Expired {
        /// When it ended.
        valid_until: Timestamp,
    },
    /// It would live longer than allowed, or ends before it begins.
    #[error("its life is longer than allowed, or negative")]
    Life,
    /// Its sequence is 0.
    #[error("its sequence is 0")]
    Sequence,
    /// A key is weak, malformed, repeated, or does not have the id it claims.
    #[error("a key is not acceptable")]
    Key,
    /// A suite this program does not have.
    #[error("suite {suite:#06x} is not supported")]
    Suite {
        /// The suite named.
        suite: u32,
    },
    /// The organisation cannot be admitted.
    #[error(transparent)]
    Organization(#[from] OrganizationError),
}

/// The member and key that a statement must be about and from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The member.
    pub member: MemberId,
    /// Its node key.
    pub node_key: NodeKey,
}

/// Whether a time lies within a validity. No grace: whoever issues allows for clocks that differ.
pub(super) fn check_time(
    valid_from: Timestamp,
    valid_until: Timestamp,
    now: Timestamp,
) -> Result<(), StatementError> {
    if now < valid_from {
        return Err(StatementError::NotYet { valid_from });
    }
    if now >= valid_until {
        return Err(StatementError::Expired { valid_until });
    }
    Ok(())
}

/// A statement of a member is signed by its node key and by nobody else.
pub(super) fn check_signer(signers: &[[u8; 32]], subject: Subject) -> Result<(), StatementError> {
    if signers != [subject.node_key.0] {
        return Err(StatementError::Signer);
    }
    Ok(())
}
