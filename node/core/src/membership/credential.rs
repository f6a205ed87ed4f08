//! Credentials: signed by the charter's authorities, for one member.

use super::{Chain, Credential, Organization, StatementError, Subject, statement::check_time};
use crate::{
    crypto::{Envelope, check_public_key},
    types::{
        NetworkId, Timestamp,
        limits::{CLOCK_WINDOW, CREDENTIAL_LIFE},
    },
};

impl Credential {
    /// What authorities sign for a member. It begins one clock window early, so that a member whose
    /// clock is behind within that window may use it at once; nobody who verifies gives grace.
    ///
    /// # Errors
    /// [`StatementError`] where it would not be accepted by [`verify_credential`].
    pub fn issue(
        network: NetworkId,
        subject: Subject,
        organization: Organization,
        sequence: u64,
        now: Timestamp,
    ) -> Result<Self, StatementError> {
        let valid_from = now.minus(CLOCK_WINDOW);
        let credential = Self {
            network,
            member: subject.member,
            node_key: subject.node_key,
            organization,
            valid_from,
            valid_until: valid_from.plus(CREDENTIAL_LIFE),
            sequence,
        };
        credential.check(&network)?;
        Ok(credential)
    }

    /// Whom it is about.
    pub fn subject(&self) -> Subject {
        Subject {
            member: self.member,
            node_key: self.node_key,
        }
    }

    /// Whether both give the same member the same, whenever each was drawn up.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let drawn_up_with = Self {
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            ..other.clone()
        };
        *self == drawn_up_with
    }

    /// Whether it is valid at a time.
    ///
    /// # Errors
    /// [`StatementError::NotYet`] or [`StatementError::Expired`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), StatementError> {
        check_time(self.valid_from, self.valid_until, now)
    }

    pub(super) fn check(&self, network: &NetworkId) -> Result<(), StatementError> {
        if self.network != *network {
            return Err(StatementError::Network);
        }
        if self.sequence == 0 {
            return Err(StatementError::Sequence);
        }
        if self.member.0 == [0; 16] {
            return Err(StatementError::Member);
        }
        check_public_key(self.node_key.0).map_err(|_| StatementError::Key)?;
        let life = self.valid_until.since(self.valid_from);
        if life.0 == 0 || life > CREDENTIAL_LIFE {
            return Err(StatementError::Life);
        }
        self.organization.check()?;
        Ok(())
    }
}

/// Verifies a credential under the authorities of the charters that count, at a time.
///
/// # Errors
/// [`StatementError`].
pub fn verify_credential(
    envelope: &Envelope,
    network: &NetworkId,
    chain: &Chain,
    now: Timestamp,
) -> Result<Credential, StatementError> {
    let credential = verify_credential_at_any_time(envelope, network, chain)?;
    credential.check_time(now)?;
    Ok(credential)
}

/// Verifies everything of a credential but whether its time has come or is over.
pub(super) fn verify_credential_at_any_time(
    envelope: &Envelope,
    network: &NetworkId,
    chain: &Chain,
) -> Result<Credential, StatementError> {
    // Who signed is looked at before any signature is: whoever offers a credential must not make us
    // check signatures that count for nothing.
    chain.check_quorum(&envelope.claimed_signers())?;
    let signed = envelope.verify::<Credential>(network)?;
    signed.value().check(network)?;
    Ok(signed.into_value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::SignatureError,
        membership::{
            OrganizationError,
            fixture::{NOW, Network, key, sign_by},
        },
        types::{MemberId, NodeKey, Span},
    };

    #[test]
    fn a_credential_signed_by_enough_authorities_is_believed() {
        let network = Network::new();
        let credential = network.credential(1, 1);
        for signers in [
            &network.authorities[..2],
            &network.authorities[1..],
            &network.authorities,
        ] {
            let signed = sign_by(&credential, &network.id, signers);
            let verified = verify_credential(&signed, &network.id, &network.chain, NOW);
            assert_eq!(verified, Ok(credential.clone()));
        }

        for signers in [vec![key(101)], vec![key(101), key(1)], vec![key(1), key(2)]] {
            let signed = sign_by(&credential, &network.id, &signers);
            let error = verify_credential(&signed, &network.id, &network.chain, NOW);
            assert!(matches!(
                error,
                Err(StatementError::Quorum { threshold: 2, .. })
            ));
        }
    }

    #[test]
    fn a_signer_who_is_no_authority_refuses_a_credential_before_any_signature_is_checked() {
        let network = Network::new();
        let credential = network.credential(1, 1);
        let mut signed = network.sign(&credential);
        let verified = verify_credential(&signed, &network.id, &network.chain, NOW);
        assert!(verified.is_ok());

        // It would be forged, had anybody looked.
        signed.signatures.push((key(1).public(), [0; 64]));

        let error = verify_credential(&signed, &network.id, &network.chain, NOW);
        let signed = 2;
        let threshold = 2;
        assert_eq!(error, Err(StatementError::Quorum { signed, threshold }));
    }

    #[test]
    fn a_credential_counts_from_its_first_to_before_its_last_millisecond() {
        let network = Network::new();
        let credential = network.credential(1, 1);
        let signed = network.sign(&credential);
        let verified = |now| verify_credential(&signed, &network.id, &network.chain, now).err();
        let (valid_from, valid_until) = (credential.valid_from, credential.valid_until);
        assert_eq!(valid_until.since(valid_from), CREDENTIAL_LIFE);
        assert_eq!(verified(valid_from), None);
        assert_eq!(verified(valid_until.minus(Span(1))), None);

        let early = verified(valid_from.minus(Span(1)));
        assert_eq!(early, Some(StatementError::NotYet { valid_from }));
        let late = verified(valid_until);
        assert_eq!(late, Some(StatementError::Expired { valid_until }));
    }

    #[test]
    fn a_credential_of_another_network_is_refused() {
        let network = Network::new();
        let credential = network.credential(1, 1);
        let own = verify_credential(&network.sign(&credential), &network.id, &network.chain, NOW);
        assert!(own.is_ok());

        // Signed for the other network, and signed here although it names the other one.
        let other = NetworkId([1; 32]);
        let foreign = sign_by(&credential, &other, &network.authorities);
        let error = verify_credential(&foreign, &network.id, &network.chain, NOW);
        assert_eq!(
            error,
            Err(StatementError::Signature(SignatureError::Forged))
        );
        let misnamed = Credential {
            network: other,
            ..credential
        };
        let error = verify_credential(&network.sign(&misnamed), &network.id, &network.chain, NOW);
        assert_eq!(error, Err(StatementError::Network));
    }

    #[test]
    fn a_credential_with_one_field_off_is_refused_although_authorities_signed_it() {
        let network = Network::new();
        let error = |change: fn(&mut Credential)| {
            let mut credential = network.credential(1, 1);
            change(&mut credential);
            let signed = network.sign(&credential);
            verify_credential(&signed, &network.id, &network.chain, NOW).err()
        };
        assert_eq!(error(|_| ()), None);

        assert_eq!(error(|c| c.sequence = 0), Some(StatementError::Sequence));
        assert_eq!(
            error(|c| c.member = MemberId([0; 16])),
            Some(StatementError::Member)
        );
        assert_eq!(
            error(|c| c.node_key = NodeKey([0; 32])),
            Some(StatementError::Key)
        );
        assert_eq!(
            error(|c| c.valid_until = c.valid_until.plus(Span(1))),
            Some(StatementError::Life)
        );
        assert_eq!(
            error(|c| c.valid_until = c.valid_from),
            Some(StatementError::Life)
        );
        assert_eq!(
            error(|c| c.organization.npi = "1234567890".to_owned()),
            Some(StatementError::Organization(OrganizationError::Npi))
        );
    }

    #[test]
    fn a_credential_that_nobody_would_believe_is_not_issued() {
        let network = Network::new();
        let issue = |member, sequence| {
            let subject = Subject {
                member: MemberId([member; 16]),
                ..network.credential(1, 1).subject()
            };
            let whose = network.credential(1, 1).organization;
            Credential::issue(network.id, subject, whose, sequence, NOW).err()
        };
        assert_eq!(issue(1, 1), None);

        assert_eq!(issue(1, 0), Some(StatementError::Sequence));
        assert_eq!(issue(0, 1), Some(StatementError::Member));
    }
}
