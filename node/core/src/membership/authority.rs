//! Who holds an authority key: what a founder is offered, and what other authorities are shown.

use super::{Organization, OrganizationError, Subject, words::key_words};
use crate::{
    crypto::{Envelope, SignatureError, SigningKey},
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
        // Three distinct keys signed, so that all of them are named only where each that is named signed.
        let named = [offer.authority_key, offer.status_key, offer.node_key.0];
        if !signed.signers().iter().all(|key| named.contains(key)) {
            return Err(AuthorityError::Signer);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::Body,
        membership::{
            OrganizationError,
            fixture::{key, organization, sign_by, subject},
        },
    };

    const NETWORK: NetworkId = NetworkId([7; 32]);
    const OTHER: NetworkId = NetworkId([8; 32]);

    #[test]
    fn a_claim_is_of_one_key_for_one_node_of_one_network() {
        let good = AuthorityClaim {
            network: NETWORK,
            member: subject(1).member,
            node_key: subject(1).node_key,
        };
        let verify = |claim: &AuthorityClaim, network: &NetworkId, signers: &[SigningKey]| {
            AuthorityClaim::verify(&sign_by(claim, network, signers), &NETWORK, subject(1))
        };
        let by_one = [key(101)];
        assert_eq!(verify(&good, &NETWORK, &by_one), Ok(key(101).public()));

        for change in [
            (|claim| claim.network = OTHER) as fn(&mut AuthorityClaim),
            |claim| claim.member = subject(2).member,
            |claim| claim.node_key = subject(2).node_key,
        ] {
            let mut claim = good.clone();
            change(&mut claim);
            assert_eq!(verify(&claim, &NETWORK, &by_one), Err(AuthorityError::Node));
        }
        let forged = Err(AuthorityError::Signature(SignatureError::Forged));
        assert_eq!(verify(&good, &OTHER, &by_one), forged);
        for signers in [&[][..], &[key(101), key(102)]] {
            let refused = verify(&good, &NETWORK, signers);
            assert_eq!(refused, Err(AuthorityError::Signer));
        }
    }

    fn offer() -> AuthorityOffer {
        AuthorityOffer {
            authority_key: key(101).public(),
            status_key: key(111).public(),
            member: subject(1).member,
            node_key: subject(1).node_key,
            organization: organization(),
        }
    }

    #[test]
    fn an_offer_is_signed_by_every_key_it_names_and_by_nobody_else() {
        let good = offer();
        let signed = good.signed(&key(101), &key(111), &key(1));
        assert_eq!(AuthorityOffer::verify(&signed), Ok(good.clone()));
        let verify = |offer: &AuthorityOffer, seeds: &[u8]| {
            let signers: Vec<_> = seeds.iter().map(|seed| key(*seed)).collect();
            AuthorityOffer::verify(&sign_by(offer, &NO_NETWORK, &signers)).err()
        };
        assert_eq!(verify(&good, &[1, 101, 111]), None, "in any order");

        let signer = Some(AuthorityError::Signer);
        for seeds in [
            &[101, 111][..],
            &[101, 111, 1, 50],
            &[50, 111, 1],
            &[101, 50, 1],
            &[101, 111, 50],
        ] {
            assert_eq!(verify(&good, seeds), signer, "{seeds:?}");
        }
        // Two of its keys are one: there would be room for a stranger.
        let one_key = AuthorityOffer {
            status_key: good.authority_key,
            ..good
        };
        assert_eq!(verify(&one_key, &[101, 1, 50]), signer);
        let repeated = AuthorityError::Signature(SignatureError::Repeated);
        assert_eq!(verify(&one_key, &[101, 101, 1]), Some(repeated));
    }

    #[test]
    fn an_offer_changed_after_it_was_signed_or_of_nobody_who_can_be_admitted_is_refused() {
        let good = offer();
        let mut signed = good.signed(&key(101), &key(111), &key(1));
        assert!(AuthorityOffer::verify(&signed).is_ok());

        let mut bad = good;
        bad.organization.npi = "1234567890".to_owned();
        signed.body = bad.encode().into();
        let forged = AuthorityError::Signature(SignatureError::Forged);
        assert_eq!(AuthorityOffer::verify(&signed), Err(forged));
        let signed = bad.signed(&key(101), &key(111), &key(1));
        let npi = AuthorityError::Organization(OrganizationError::Npi);
        assert_eq!(AuthorityOffer::verify(&signed), Err(npi));
    }

    #[test]
    fn an_offer_is_compared_by_the_words_of_its_authority_key() {
        assert_eq!(offer().words(), key_words(&key(101).public()));
        assert_ne!(offer().words(), key_words(&key(111).public()));
    }
}
