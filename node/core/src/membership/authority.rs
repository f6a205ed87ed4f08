//! Who holds an authority key: what a founder is offered, and what other authorities are shown.

use super::{Organization, OrganizationError, Subject, words::key_words};
use crate::{
    crypto::{Envelope, SignatureError, SigningKey, check_public_key},
    types::{MemberId, NetworkId, NodeKey},
};

/// An offer is made before there is a network.
const NO_NETWORK: NetworkId = NetworkId([0; 32]);

/// Why an offer or a claim is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// A signature does not hold, or the body is not canonical.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Not signed by exactly the keys it names.
    #[error("not signed by the keys it names")]
    Signer,
    /// It names another node.
    #[error("the claim is another node's")]
    Node,
    /// The organisation cannot be admitted.
    #[error(transparent)]
    Organization(#[from] OrganizationError),
}

/// Says which node holds an authority key; signed by that key alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityClaim {
    /// The network.
    pub network: NetworkId,
    /// Whose node.
    pub member: MemberId,
    /// Its node key.
    pub node_key: NodeKey,
}

impl AuthorityClaim {
    /// Verifies a claim for a node and returns the authority key; whether the charter names that key
    /// is not asked.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn verify(
        claim: &Envelope,
        network: &NetworkId,
        subject: Subject,
    ) -> Result<[u8; 32], AuthorityError> {
        let [(key, _)] = claim.signatures.as_slice() else {
            return Err(AuthorityError::Signer);
        };
        let signed = claim.verify_by::<Self>(key, network)?;
        let value = signed.value();
        let same = value.network == *network
            && value.member == subject.member
            && value.node_key == subject.node_key;
        if !same {
            return Err(AuthorityError::Node);
        }
        Ok(*key)
    }
}

/// What a node offers to somebody who founds a network or changes its authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityOffer {
    /// Signs charters, credentials and revocations.
    pub authority_key: [u8; 32],
    /// Signs heartbeats and revocations.
    pub status_key: [u8; 32],
    /// Its member id.
    pub member: MemberId,
    /// Its node key.
    pub node_key: NodeKey,
    /// Who runs it.
    pub organization: Organization,
}

impl AuthorityOffer {
    /// Signs the offer with every key it names, so that nobody offers a key that is not theirs.
    pub fn signed(
        &self,
        authority: &SigningKey,
        status: &SigningKey,
        node: &SigningKey,
    ) -> Envelope {
        let mut envelope = authority.sign(&NO_NETWORK, self);
        envelope.add_signature::<Self>(status, &NO_NETWORK);
        envelope.add_signature::<Self>(node, &NO_NETWORK);
        envelope
    }

    /// Verifies an offer: every key it names signed it, and nobody else.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn verify(envelope: &Envelope) -> Result<Self, AuthorityError> {
        if envelope.signatures.len() != 3 {
            return Err(AuthorityError::Signer);
        }
        let signed = envelope.verify::<Self>(&NO_NETWORK)?;
        let offer = signed.value();
        let named = [offer.authority_key, offer.status_key, offer.node_key.0];
        if !named.iter().all(|key| signed.signers().contains(key)) {
            return Err(AuthorityError::Signer);
        }
        for key in named {
            check_public_key(key)?;
        }
        offer.organization.check()?;
        Ok(signed.into_value())
    }

    /// Whom a credential for it is about.
    pub fn subject(&self) -> Subject {
        Subject {
            member: self.member,
            node_key: self.node_key,
        }
    }

    /// Six words for the authority key, to be compared by telephone.
    pub fn words(&self) -> String {
        key_words(&self.authority_key)
    }
}
