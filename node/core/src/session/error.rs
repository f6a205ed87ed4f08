//! Why a message was not admitted.

use crate::types::{Code, MemberId, NodeKey, PeerCode, Span};

/// Why the session refused a message. Safe to log; what the peer is told is coarser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The bytes are no message of this type in canonical form.
    #[error("node {node} sent no well-formed message")]
    Malformed {
        /// Who sent it.
        node: NodeKey,
    },
    /// The seal does not open.
    #[error("node {node} sent a seal that does not open")]
    Seal {
        /// Who sent it.
        node: NodeKey,
    },
    /// The signature does not hold, or another key signed.
    #[error("node {node} sent a signature that does not hold")]
    Signature {
        /// Who sent it.
        node: NodeKey,
    },
    /// The sender speaks an older version of the protocol than this program still does.
    #[error("node {node} speaks an old version of the protocol")]
    Version {
        /// Who sent it.
        node: NodeKey,
    },
    /// The sender is no active member.
    #[error("node {node} is no active member")]
    NotMember {
        /// Who sent it.
        node: NodeKey,
    },
    /// The sender was a member and was revoked, or goes by another node key by now.
    #[error("member {member} was revoked, or its key replaced")]
    Revoked {
        /// Who sent it.
        member: MemberId,
    },
    /// A later copy of the sender's node is known.
    #[error("member {member} speaks from a copy of its node that was superseded")]
    Superseded {
        /// Who sent it.
        member: MemberId,
    },
    /// The message was made for somebody else or for another network.
    #[error("member {member} sent a message made for somebody else")]
    Audience {
        /// Who sent it.
        member: MemberId,
    },
    /// The challenge is of an earlier run or slot, or the session is unknown.
    #[error("node {node} speaks to an earlier run or session")]
    Stale {
        /// Who sent it.
        node: NodeKey,
    },
    /// The clocks are too far apart.
    #[error("the clock of member {member} is {skew} away")]
    ClockSkew {
        /// Whose clock.
        member: MemberId,
        /// How far.
        skew: Span,
    },
    /// The message is past its expiry, or would live too long.
    #[error("member {member} sent a message outside its life")]
    Expired {
        /// Who sent it.
        member: MemberId,
    },
    /// The member goes by another charter.
    #[error("member {member} goes by another charter")]
    Charter {
        /// Who sent it.
        member: MemberId,
    },
    /// The member holds no authority key of the charter.
    #[error("member {member} holds no authority key")]
    NotAuthority {
        /// Who sent it.
        member: MemberId,
    },
    /// The counter was seen, or is older than the window.
    #[error("member {member} replayed a message")]
    Replayed {
        /// Who sent it.
        member: MemberId,
    },
}

impl SessionError {
    /// What the peer is told, so that probing teaches nothing.
    pub fn peer_code(&self) -> PeerCode {
        match self {
            Self::Malformed { .. } => PeerCode::Malformed,
            Self::Seal { .. }
            | Self::Signature { .. }
            | Self::Audience { .. }
            | Self::Charter { .. }
            | Self::Expired { .. }
            | Self::Replayed { .. } => PeerCode::Unauthenticated,
            Self::NotMember { .. } | Self::Revoked { .. } => PeerCode::NotMember,
            Self::Superseded { .. } => PeerCode::Superseded,
            Self::NotAuthority { .. } => PeerCode::Denied,
            Self::Version { .. } => PeerCode::VersionTooOld,
            Self::Stale { .. } => PeerCode::Stale,
            Self::ClockSkew { .. } => PeerCode::ClockSkew,
        }
    }

    /// What the audit log and our own people are told.
    pub fn code(&self) -> Code {
        match self {
            Self::Malformed { .. } => Code::MessageMalformed,
            Self::Seal { .. } => Code::Unauthenticated,
            Self::Signature { .. } => Code::Signature,
            Self::Version { .. } => Code::VersionTooOld,
            Self::NotMember { .. } => Code::NotMember,
            Self::NotAuthority { .. } => Code::NotAuthority,
            Self::Revoked { .. } => Code::KeyRevoked,
            Self::Superseded { .. } => Code::Superseded,
            Self::Audience { .. } => Code::WrongRecipient,
            Self::Stale { .. } => Code::Stale,
            Self::ClockSkew { .. } => Code::ClockSkew,
            Self::Expired { .. } => Code::Expired,
            Self::Charter { .. } => Code::CharterMismatch,
            Self::Replayed { .. } => Code::Replayed,
        }
    }
}
