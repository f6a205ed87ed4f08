//! Why a flow did not do what it was asked for, in terms an operator can act on.

use crate::{
    formats::FormatError,
    membership::{MembershipError, StatementError},
    records::StoreError,
    types::{Code, NodeKey, PeerCode},
};

/// Why a use case ended without its effect, in words. Safe to log; [`Self::code`] is stable.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The request's words are off: a value that cannot be read.
    #[error("{}", code.sentence())]
    Usage {
        /// Which.
        code: Code,
    },
    /// What was named is not here.
    #[error("{}", code.sentence())]
    NotFound {
        /// Which.
        code: Code,
    },
    /// The node's state forbids it.
    #[error("{}", code.sentence())]
    State {
        /// Which.
        code: Code,
    },
    /// Policy denies it, here or at the other node.
    #[error("{}", code.sentence())]
    Denied {
        /// Which.
        code: Code,
    },
    /// The other node cannot be reached.
    #[error("node {node} cannot be reached")]
    Unreachable {
        /// Which.
        node: NodeKey,
    },
    /// The deadline passed.
    #[error("node {node} did not answer before the deadline")]
    Deadline {
        /// Which.
        node: NodeKey,
    },
    /// The other node refused.
    #[error("node {node} refused: {}", code.sentence())]
    Peer {
        /// Which.
        node: NodeKey,
        /// What it said.
        code: PeerCode,
    },
    /// What the other node sent does not hold.
    #[error("what node {node} sent does not hold: {}", code.sentence())]
    Forged {
        /// Which.
        node: NodeKey,
        /// What is wrong with it.
        code: Code,
    },
    /// The input cannot be imported.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A membership statement does not hold.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// The store cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FlowError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Usage { code }
            | Self::NotFound { code }
            | Self::State { code }
            | Self::Denied { code }
            | Self::Forged { code, .. } => *code,
            Self::Unreachable { .. } => Code::PeerUnreachable,
            Self::Deadline { .. } => Code::Deadline,
            Self::Peer { code, .. } => match code {
                PeerCode::HandleUnknown => Code::HandleUnknown,
                PeerCode::Denied => Code::Denied,
                PeerCode::ClockSkew => Code::ClockSkew,
                PeerCode::TrustStale => Code::TrustStale,
                PeerCode::VersionTooOld => Code::VersionTooOld,
                PeerCode::Superseded => Code::Superseded,
                PeerCode::Malformed
                | PeerCode::Unauthenticated
                | PeerCode::NotMember
                | PeerCode::Stale
                | PeerCode::OverBudget
                | PeerCode::Unavailable => Code::PeerRefused,
            },
            Self::Format(error) => error.code(),
            Self::Membership(MembershipError::Statement(StatementError::Quorum { .. })) => {
                Code::QuorumRequired
            }
            Self::Membership(_) => Code::Signature,
            Self::Store(error) => error.code(),
        }
    }
}
