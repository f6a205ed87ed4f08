//! Key sets: what may be sealed to a member, and which key signs its audit log.

use bytes::Bytes;

use super::{
    Credential, HpkeKey, KeySet, StatementError, Subject,
    statement::{check_signer, check_time},
};
use crate::{
    crypto::{Envelope, SUITE_XWING, SealingKey, check_public_key},
    types::{
        NetworkId, Timestamp,
        limits::{CLOCK_WINDOW, KEY_SET_KEYS_MAX, KEY_SET_LIFE},
    },
};

impl HpkeKey {
    /// An entry for a public X-Wing key.
    ///
    /// # Errors
    /// [`StatementError::Key`] where the bytes are no such key.
    pub fn xwing(public: Bytes) -> Result<Self, StatementError> {
        let key = SealingKey::parse(&public).map_err(|_| StatementError::Key)?;
        Ok(Self {
            id: key.id(),
            suite: SUITE_XWING,
            public,
        })
    }

    fn check(&self) -> Result<(), StatementError> {
        if self.suite != SUITE_XWING {
            return Err(StatementError::Suite { suite: self.suite });
        }
        let key = SealingKey::parse(&self.public).map_err(|_| StatementError::Key)?;
        if key.id() != self.id {
            return Err(StatementError::Key);
        }
        Ok(())
    }
}

impl KeySet {
    /// What a member's node key signs. It begins one clock window early, as a credential does.
    ///
    /// # Errors
    /// [`StatementError`] where it would not be accepted by [`verify_key_set`].
    pub fn issue(
        subject: Subject,
        sequence: u64,
        keys: Vec<HpkeKey>,
        audit_key: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, StatementError> {
        let valid_from = now.minus(CLOCK_WINDOW);
        let set = Self {
            member: subject.member,
            sequence,
            keys,
            audit_key,
            valid_from,
            valid_until: valid_from.plus(KEY_SET_LIFE),
        };
        set.check(subject)?;
        Ok(set)
    }

    /// Whether it is valid at a time.
    ///
    /// # Errors
    /// [`StatementError::NotYet`] or [`StatementError::Expired`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), StatementError> {
        check_time(self.valid_from, self.valid_until, now)
    }

    fn check(&self, subject: Subject) -> Result<(), StatementError> {
        if self.member != subject.member {
            return Err(StatementError::Member);
        }
        if self.sequence == 0 {
            return Err(StatementError::Sequence);
        }
        let life = self.valid_until.since(self.valid_from);
        if life.0 == 0 || life > KEY_SET_LIFE {
            return Err(StatementError::Life);
        }
        if self.keys.is_empty() || self.keys.len() > KEY_SET_KEYS_MAX {
            return Err(StatementError::Key);
        }
        for (index, key) in self.keys.iter().enumerate() {
            key.check()?;
            if self.keys[..index].iter().any(|other| other.id == key.id) {
                return Err(StatementError::Key);
            }
        }
        // A node key that also signed the audit log could be made to sign one as the other.
        if self.audit_key == subject.node_key.0 {
            return Err(StatementError::Key);
        }
        check_public_key(self.audit_key).map_err(|_| StatementError::Key)
    }
}

/// Verifies the key set of the member that a credential names, at a time.
///
/// # Errors
/// [`StatementError`].
pub fn verify_key_set(
    envelope: &Envelope,
    network: &NetworkId,
    credential: &Credential,
    now: Timestamp,
) -> Result<KeySet, StatementError> {
    verify_key_set_of(envelope, network, credential.subject(), now)
}

/// Verifies the key set of an applicant, who has no credential yet.
///
/// # Errors
/// [`StatementError`].
pub fn verify_key_set_of(
    envelope: &Envelope,
    network: &NetworkId,
    subject: Subject,
    now: Timestamp,
) -> Result<KeySet, StatementError> {
    let set = verify_key_set_at_any_time(envelope, network, subject)?;
    set.check_time(now)?;
    Ok(set)
}

/// Verifies everything of a key set but whether its time has come or is over.
pub(super) fn verify_key_set_at_any_time(
    envelope: &Envelope,
    network: &NetworkId,
    subject: Subject,
) -> Result<KeySet, StatementError> {
    let signed = envelope.verify::<KeySet>(network)?;
    check_signer(signed.signers(), subject)?;
    signed.value().check(subject)?;
    Ok(signed.into_value())
}
