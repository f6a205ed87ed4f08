//! Credentials: signed by the charter's authorities, for one member.

use super::{Charter, Credential, Organization, StatementError, Subject, statement::check_time};
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

    /// Whether it is valid at a time.
    ///
    /// # Errors
    /// [`StatementError::NotYet`] or [`StatementError::Expired`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), StatementError> {
        check_time(self.valid_from, self.valid_until, now)
    }

    fn check(&self, network: &NetworkId) -> Result<(), StatementError> {
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

/// Verifies a credential under the charter's authorities, at a time.
///
/// # Errors
/// [`StatementError`].
pub fn verify_credential(
    envelope: &Envelope,
    network: &NetworkId,
    charter: &Charter,
    now: Timestamp,
) -> Result<Credential, StatementError> {
    let credential = verify_credential_at_any_time(envelope, network, charter)?;
    credential.check_time(now)?;
    Ok(credential)
}

/// Verifies everything of a credential but whether its time has come or is over.
pub(super) fn verify_credential_at_any_time(
    envelope: &Envelope,
    network: &NetworkId,
    charter: &Charter,
) -> Result<Credential, StatementError> {
    let signed = envelope.verify::<Credential>(network)?;
    if !charter.is_quorum(signed.signers()) {
        return Err(StatementError::Quorum {
            signed: charter.authorities_among(signed.signers()),
            threshold: charter.threshold,
        });
    }
    signed.value().check(network)?;
    Ok(signed.into_value())
}
