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
    check_signer(&envelope.claimed_signers(), subject)?;
    let signed = envelope.verify::<KeySet>(network)?;
    signed.value().check(subject)?;
    Ok(signed.into_value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::SignatureError,
        membership::fixture::{NOW, Network, key, sign_by},
        types::{MemberId, Span},
    };

    #[test]
    fn a_key_set_is_signed_by_the_members_node_key_alone() {
        let network = Network::new();
        let credential = network.credential(1, 1);
        let set = network.key_set(1, 1);
        let verified = |signed| verify_key_set(&signed, &network.id, &credential, NOW);
        assert_eq!(verified(key(1).sign(&network.id, &set)), Ok(set.clone()));

        assert_eq!(
            verified(key(2).sign(&network.id, &set)),
            Err(StatementError::Signer)
        );
        assert_eq!(
            verified(sign_by(&set, &network.id, &[key(1), key(2)])),
            Err(StatementError::Signer)
        );
        assert_eq!(
            verified(key(1).sign(&NetworkId([1; 32]), &set)),
            Err(StatementError::Signature(SignatureError::Forged))
        );
    }

    #[test]
    fn a_key_set_lives_seven_days_and_no_longer() {
        let network = Network::new();
        let credential = network.credential(1, 1);
        let set = network.key_set(1, 1);
        let signed = key(1).sign(&network.id, &set);
        let error = |now| verify_key_set(&signed, &network.id, &credential, now).err();
        let (valid_from, valid_until) = (set.valid_from, set.valid_until);
        assert_eq!(valid_until.since(valid_from), KEY_SET_LIFE);
        assert_eq!(error(valid_from), None);

        let early = error(valid_from.minus(Span(1)));
        assert_eq!(early, Some(StatementError::NotYet { valid_from }));
        assert_eq!(
            error(valid_until),
            Some(StatementError::Expired { valid_until })
        );
    }

    #[test]
    fn a_key_set_with_one_field_off_is_refused_although_it_is_signed() {
        let network = Network::new();
        let credential = network.credential(1, 1);
        let error = |change: fn(&mut KeySet)| {
            let mut set = network.key_set(1, 1);
            change(&mut set);
            let signed = key(1).sign(&network.id, &set);
            verify_key_set(&signed, &network.id, &credential, NOW).err()
        };
        assert_eq!(error(|_| ()), None);

        assert_eq!(
            error(|s| s.member = MemberId([2; 16])),
            Some(StatementError::Member)
        );
        assert_eq!(error(|s| s.sequence = 0), Some(StatementError::Sequence));
        assert_eq!(
            error(|s| s.valid_until = s.valid_until.plus(Span(1))),
            Some(StatementError::Life)
        );
        assert_eq!(error(|s| s.keys.clear()), Some(StatementError::Key));
        assert_eq!(
            error(|s| s.keys.push(s.keys[0].clone())),
            Some(StatementError::Key)
        );
        assert_eq!(error(|s| s.keys[0].id = [0; 8]), Some(StatementError::Key));
        assert_eq!(
            error(|s| s.keys[0].suite = 0x20),
            Some(StatementError::Suite { suite: 0x20 })
        );
        assert_eq!(
            error(|s| s.keys[0].public.truncate(1_215)),
            Some(StatementError::Key)
        );
        assert_eq!(error(|s| s.audit_key = [0; 32]), Some(StatementError::Key));
        assert_eq!(
            error(|s| s.audit_key = key(1).public()),
            Some(StatementError::Key)
        );
    }

    #[test]
    fn a_key_set_holds_four_keys_at_most() {
        let network = Network::new();
        let subject = network.credential(1, 1).subject();
        let keys = |count: usize| -> Vec<HpkeKey> {
            let sets = (0..count as u8).map(|number| network.key_set(number, 1));
            sets.map(|set| set.keys[0].clone()).collect()
        };
        let issue = |count| KeySet::issue(subject, 1, keys(count), key(99).public(), NOW);
        assert!(issue(KEY_SET_KEYS_MAX).is_ok());

        assert_eq!(issue(KEY_SET_KEYS_MAX + 1), Err(StatementError::Key));
    }
}
