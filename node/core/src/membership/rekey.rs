//! A member goes over to another node key: both keys say so.

use super::{StatementError, Subject};
use crate::{
    crypto::{Envelope, SigningKey},
    types::{MemberId, NetworkId, NodeKey},
};

/// Says that a member goes over from one node key to another; signed by both. It is necessary for a
/// routine change and never sufficient: authorities sign the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeKeyChange {
    /// The network.
    pub network: NetworkId,
    /// Who.
    pub member: MemberId,
    /// The key in its credential.
    pub old_key: NodeKey,
    /// The key that is to follow.
    pub new_key: NodeKey,
}

/// Why a member is given another credential.
pub enum Reissue {
    /// It goes over to another node key, which the old one has signed: a signed [`NodeKeyChange`].
    Change(Envelope),
    /// It lost its node key, and asked to join as the member that it was.
    Loss,
    /// It keeps its node key: its credential ends, or was signed by authorities that count no longer.
    Renewal,
}

impl NodeKeyChange {
    /// The statement, signed by both keys.
    pub fn signed(
        network: NetworkId,
        member: MemberId,
        old: &SigningKey,
        new: &SigningKey,
    ) -> Envelope {
        let change = Self {
            network,
            member,
            old_key: NodeKey(old.public()),
            new_key: NodeKey(new.public()),
        };
        let mut envelope = old.sign(&network, &change);
        envelope.add_signature::<Self>(new, &network);
        envelope
    }

    /// Verifies the change of the member and key that a credential names.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn verify(
        envelope: &Envelope,
        network: &NetworkId,
        held: Subject,
    ) -> Result<Self, StatementError> {
        if envelope.signatures.len() != 2 {
            return Err(StatementError::Signer);
        }
        let signed = envelope.verify::<Self>(network)?;
        let change = signed.value();
        if change.network != *network {
            return Err(StatementError::Network);
        }
        if change.member != held.member {
            return Err(StatementError::Member);
        }
        // Two distinct keys signed, so that both are named only where both that are named signed.
        let named = [change.old_key.0, change.new_key.0];
        let both = signed.signers().iter().all(|key| named.contains(key));
        if change.old_key != held.node_key || !both {
            return Err(StatementError::Signer);
        }
        Ok(signed.into_value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::fixture::{Network, key, sign_by, subject};

    #[test]
    fn a_change_of_key_is_signed_by_both_and_for_the_key_in_the_credential() {
        let network = Network::new();
        let held = subject(1);
        let good = NodeKeyChange::signed(network.id, held.member, &key(1), &key(2));
        let verified = |change: &Envelope, held| {
            NodeKeyChange::verify(change, &network.id, held).map(|change| change.new_key)
        };
        assert_eq!(verified(&good, held), Ok(NodeKey(key(2).public())));

        let mut three = good.clone();
        three.add_signature::<NodeKeyChange>(&key(3), &network.id);
        assert_eq!(verified(&three, held), Err(StatementError::Signer));
        // Where both keys are one there would be room for a stranger.
        let mut same = NodeKeyChange::signed(network.id, held.member, &key(1), &key(1));
        same.signatures.truncate(1);
        same.add_signature::<NodeKeyChange>(&key(3), &network.id);
        assert_eq!(verified(&same, held), Err(StatementError::Signer));
        let misnamed = NodeKeyChange {
            network: NetworkId([1; 32]),
            member: held.member,
            old_key: held.node_key,
            new_key: subject(2).node_key,
        };
        let misnamed = sign_by(&misnamed, &network.id, &[key(1), key(2)]);
        assert_eq!(verified(&misnamed, held), Err(StatementError::Network));
        let mut one = good.clone();
        one.signatures.truncate(1);
        assert_eq!(verified(&one, held), Err(StatementError::Signer));
        let mut other = one;
        other.add_signature::<NodeKeyChange>(&key(3), &network.id);
        assert_eq!(verified(&other, held), Err(StatementError::Signer));
        assert_eq!(verified(&good, subject(3)), Err(StatementError::Member));
        let stale = NodeKeyChange::signed(network.id, held.member, &key(4), &key(2));
        assert_eq!(verified(&stale, held), Err(StatementError::Signer));
    }
}
