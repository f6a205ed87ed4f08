//! The genesis charter: what names a network and says whose word counts in it (`protocol.md` 1).

use std::collections::BTreeSet;

use super::{Charter, Rules, RulesError, Template, check::is_plain_text};
use crate::{
    crypto::{Envelope, SUITE_XWING, SignatureError, check_public_key, sha256},
    types::{NetworkId, Timestamp, limits},
};

/// Why a charter founds no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CharterError {
    /// It is not version 0, or names a network or a version before it.
    #[error("the charter is no genesis")]
    NotGenesis,
    /// The name is empty, too long, or has control characters.
    #[error("the name of the network cannot be used")]
    Name,
    /// There is no authority, or there are too many.
    #[error("the charter has {count} authorities")]
    Authorities {
        /// How many.
        count: usize,
    },
    /// The authorities or the recovery keys are not distinct and ascending.
    #[error("the keys of the charter are not distinct and ascending")]
    Order,
    /// A key is weak, or not in canonical form.
    #[error("a key of the charter is not acceptable")]
    Key,
    /// Two quorums could have no authority in common, or no quorum exists.
    #[error("{threshold} of {count} authorities is no quorum: more than half must sign")]
    Threshold {
        /// How many must sign.
        threshold: u32,
        /// Of how many.
        count: usize,
    },
    /// Fewer authorities signed than must.
    #[error("{signed} authorities signed, {threshold} must")]
    Quorum {
        /// Authorities that signed.
        signed: usize,
        /// How many must.
        threshold: u32,
    },
    /// The lowest suite is not one this program has.
    #[error("suite {suite:#06x} is not supported")]
    Suite {
        /// The suite named.
        suite: u32,
    },
    /// A rule cannot be used.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// A signature does not hold, or the body is not canonical.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// What the founder of a network decides.
#[derive(Clone, PartialEq, Eq)]
pub struct Founding {
    /// The network's name.
    pub name: String,
    /// Template.
    pub template: Template,
    /// Rules; [`Rules::of`] has the template's own.
    pub rules: Rules,
    /// Keys of the authorities, in any order.
    pub authorities: Vec<[u8; 32]>,
    /// How many must sign.
    pub threshold: u32,
    /// Test data only.
    pub test: bool,
}

/// Keys of a charter besides its authorities'.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// Keys that may sign heartbeats and revocations, in any order.
    pub status: Vec<[u8; 32]>,
    /// How many of them must sign.
    pub status_threshold: u32,
    /// Keys that may replace the authorities, in any order.
    pub recovery: Vec<[u8; 32]>,
}

/// What the next version of a charter changes; everything else stays.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Amendment {
    /// Another template and other rules.
    pub rules: Option<(Template, Rules)>,
    /// Authority and status keys that come.
    pub add: Vec<([u8; 32], [u8; 32])>,
    /// Authority or status keys that go.
    pub remove: Vec<[u8; 32]>,
    /// How many authorities must sign from then on; none for the fewest that are more than half.
    pub threshold: Option<u32>,
    /// From which version on signatures on credentials count.
    pub counts_from: Option<u64>,
}

impl Charter {
    /// The charter that founds a network, to be signed under [`genesis_id`] by its authorities.
    ///
    /// # Errors
    /// [`CharterError`] where it would not be accepted by [`verify_genesis`].
    pub fn genesis(
        founding: Founding,
        now: Timestamp,
        nonce: [u8; 16],
    ) -> Result<Self, CharterError> {
        Self::genesis_with(founding, Keys::default(), now, nonce)
    }

    /// As [`Self::genesis`], with status and recovery keys.
    ///
    /// # Errors
    /// As [`Self::genesis`].
    pub fn genesis_with(
        founding: Founding,
        keys: Keys,
        now: Timestamp,
        nonce: [u8; 16],
    ) -> Result<Self, CharterError> {
        let charter = Self {
            version: 0,
            name: founding.name,
            network: None,
            previous: None,
            authorities: ascending(founding.authorities),
            threshold: founding.threshold,
            template: founding.template,
            rules: founding.rules,
            test: founding.test,
            issued_at: now,
            recovery_keys: ascending(keys.recovery),
            minimum_suite: SUITE_XWING,
            nonce,
            status_keys: ascending(keys.status),
            status_threshold: keys.status_threshold,
            counts_from: 0,
        };
        charter.check_genesis()?;
        Ok(charter)
    }

    /// How many of the signers are authorities.
    pub fn authorities_among(&self, signers: &[[u8; 32]]) -> usize {
        among(&self.authorities, signers)
    }

    /// Whether enough authorities are among the signers.
    pub fn is_quorum(&self, signers: &[[u8; 32]]) -> bool {
        self.authorities_among(signers) >= self.threshold as usize
    }

    pub(super) fn check_genesis(&self) -> Result<(), CharterError> {
        if self.version != 0
            || self.network.is_some()
            || self.previous.is_some()
            || self.counts_from != 0
        {
            return Err(CharterError::NotGenesis);
        }
        self.check_terms()
    }

    /// What every version must keep to, whatever came before it.
    pub(super) fn check_terms(&self) -> Result<(), CharterError> {
        if !is_plain_text(&self.name) || self.name.chars().count() > limits::NAME_CHARS_MAX {
            return Err(CharterError::Name);
        }
        let count = self.authorities.len();
        if count == 0 || count > limits::SIGNATURES_MAX {
            return Err(CharterError::Authorities { count });
        }
        check_keys(&self.authorities)?;
        check_keys(&self.recovery_keys)?;
        check_keys(&self.status_keys)?;
        // Who may replace the authorities is none of them.
        if among(&self.authorities, &self.recovery_keys) > 0 {
            return Err(CharterError::Key);
        }
        check_threshold(self.threshold, count)?;
        if !self.status_keys.is_empty() || self.status_threshold != 0 {
            check_threshold(self.status_threshold, self.status_keys.len())?;
        }
        if self.minimum_suite != SUITE_XWING {
            return Err(CharterError::Suite {
                suite: self.minimum_suite,
            });
        }
        self.rules.check()?;
        Ok(())
    }
}

/// The fewest of so many that are more than half.
pub fn majority(count: usize) -> u32 {
    u32::try_from(count / 2 + 1).unwrap_or(u32::MAX)
}

/// How many of the signers are among the keys.
pub(super) fn among(keys: &[[u8; 32]], signers: &[[u8; 32]]) -> usize {
    let signers: BTreeSet<_> = signers.iter().collect();
    keys.iter().filter(|key| signers.contains(key)).count()
}

pub(super) fn ascending(mut keys: Vec<[u8; 32]>) -> Vec<[u8; 32]> {
    keys.sort_unstable();
    keys
}

fn check_threshold(threshold: u32, count: usize) -> Result<(), CharterError> {
    // More than half, so that any two quorums share a signer.
    if threshold as usize * 2 <= count || threshold as usize > count {
        return Err(CharterError::Threshold { threshold, count });
    }
    Ok(())
}

fn check_keys(keys: &[[u8; 32]]) -> Result<(), CharterError> {
    if !keys.is_sorted_by(|earlier, later| earlier < later) {
        return Err(CharterError::Order);
    }
    for key in keys {
        check_public_key(*key).map_err(|_| CharterError::Key)?;
    }
    Ok(())
}

/// The network a genesis charter founds: the SHA-256 of its body.
pub fn genesis_id(body: &[u8]) -> NetworkId {
    NetworkId(sha256(&[body]))
}

/// The network that the body of a genesis charter founds; nothing is verified.
pub fn network_id(genesis: &Envelope) -> NetworkId {
    NetworkId(genesis.hash())
}

/// Verifies a genesis charter under the network that its own body names.
///
/// # Errors
/// [`CharterError`] where it founds no network, or too few of its authorities signed.
pub fn verify_genesis(genesis: &Envelope) -> Result<(NetworkId, Charter), CharterError> {
    let network = network_id(genesis);
    let signed = genesis.verify::<Charter>(&network)?;
    let charter = signed.value();
    charter.check_genesis()?;
    if !charter.is_quorum(signed.signers()) {
        return Err(CharterError::Quorum {
            signed: charter.authorities_among(signed.signers()),
            threshold: charter.threshold,
        });
    }
    Ok((network, signed.into_value()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::SigningKey,
        membership::fixture::{NOW, founding, key, sign_by, sign_genesis},
    };

    fn three() -> [SigningKey; 3] {
        [key(1), key(2), key(3)]
    }

    fn genesis(founding: Founding) -> Result<Charter, CharterError> {
        Charter::genesis(founding, NOW, [7; 16])
    }

    #[test]
    fn a_charter_signed_by_enough_authorities_founds_the_network_of_its_hash() {
        let charter = genesis(founding(&three(), 2)).unwrap();
        let signed = sign_genesis(&charter, &three()[..2]);

        let (network, read) = verify_genesis(&signed).unwrap();

        assert_eq!(network, NetworkId(sha256(&[&signed.body])));
        assert_eq!(read, charter);
        assert!(read.authorities.is_sorted());
    }

    #[test]
    fn one_signature_fewer_or_a_strangers_founds_nothing() {
        let charter = genesis(founding(&three(), 2)).unwrap();
        assert!(verify_genesis(&sign_genesis(&charter, &three()[1..])).is_ok());

        let too_few = Err(CharterError::Quorum {
            signed: 1,
            threshold: 2,
        });
        assert_eq!(
            verify_genesis(&sign_genesis(&charter, &three()[1..2])),
            too_few
        );
        let with_stranger = sign_genesis(&charter, &[key(1), key(50), key(51)]);
        assert_eq!(verify_genesis(&with_stranger), too_few);
        let twice = sign_genesis(&charter, &[key(1), key(1)]);
        assert_eq!(
            verify_genesis(&twice),
            Err(CharterError::Signature(SignatureError::Repeated))
        );
    }

    #[test]
    fn a_charter_signed_under_another_network_founds_nothing() {
        let charter = genesis(founding(&three(), 2)).unwrap();
        assert!(verify_genesis(&sign_genesis(&charter, &three())).is_ok());

        let foreign = sign_by(&charter, &NetworkId([1; 32]), &three());

        assert_eq!(
            verify_genesis(&foreign),
            Err(CharterError::Signature(SignatureError::Forged))
        );
    }

    #[test]
    fn a_charter_altered_after_signing_founds_nothing() {
        let charter = genesis(founding(&three(), 2)).unwrap();
        let mut signed = sign_genesis(&charter, &three());
        assert!(verify_genesis(&signed).is_ok());

        let mut other = charter;
        other.test = false;
        signed.body = crate::crypto::Body::encode(&other).into();

        assert!(matches!(
            verify_genesis(&signed),
            Err(CharterError::Signature(SignatureError::Forged))
        ));
    }

    #[test]
    fn half_of_the_authorities_are_no_quorum() {
        for (threshold, count, accepted) in [
            (1, 1, true),
            (2, 2, true),
            (2, 3, true),
            (3, 5, true),
            (0, 1, false),
            (1, 2, false),
            (1, 3, false),
            (2, 4, false),
            (4, 3, false),
        ] {
            let authorities: Vec<_> = (1..=count).map(key).collect();
            let result = genesis(founding(&authorities, threshold));
            let count = usize::from(count);
            let error = Some(CharterError::Threshold { threshold, count });
            assert_eq!(result.err(), error.filter(|_| !accepted));
        }
    }

    #[test]
    fn authorities_must_be_there_distinct_ascending_and_strong() {
        let good = founding(&three(), 2);
        assert!(genesis(good.clone()).is_ok());

        let mut none = good.clone();
        none.authorities.clear();
        assert_eq!(genesis(none), Err(CharterError::Authorities { count: 0 }));
        let mut twice = good.clone();
        twice.authorities[1] = twice.authorities[0];
        assert_eq!(genesis(twice), Err(CharterError::Order));
        // The neutral element, a point of small order.
        let mut weak = good.clone();
        weak.authorities[0] = [0; 32];
        weak.authorities[0][0] = 1;
        assert_eq!(genesis(weak), Err(CharterError::Key));
        let mut reversed = genesis(good).unwrap();
        reversed.authorities.reverse();
        let signed = sign_genesis(&reversed, &three());
        assert_eq!(verify_genesis(&signed), Err(CharterError::Order));
    }

    #[test]
    fn more_authorities_than_signatures_are_allowed_are_refused() {
        let most: Vec<_> = (0..=64).map(key).collect();
        assert!(genesis(founding(&most[..limits::SIGNATURES_MAX], 33)).is_ok());

        let more = genesis(founding(&most, 33));

        assert_eq!(more, Err(CharterError::Authorities { count: 65 }));
    }

    #[test]
    fn a_name_suite_version_or_rule_that_cannot_be_used_is_refused() {
        let good = genesis(founding(&three(), 2)).unwrap();
        let error = |change: fn(&mut Charter)| {
            let mut charter = good.clone();
            change(&mut charter);
            verify_genesis(&sign_genesis(&charter, &three())).err()
        };
        assert_eq!(error(|_| ()), None);

        assert_eq!(error(|c| c.name = "n".repeat(limits::NAME_CHARS_MAX)), None);
        assert_eq!(error(|c| c.name.clear()), Some(CharterError::Name));
        assert_eq!(
            error(|c| c.name = "n".repeat(limits::NAME_CHARS_MAX + 1)),
            Some(CharterError::Name)
        );
        assert_eq!(error(|c| c.version = 1), Some(CharterError::NotGenesis));
        assert_eq!(
            error(|c| c.previous = Some([1; 32])),
            Some(CharterError::NotGenesis)
        );
        assert_eq!(
            error(|c| c.network = Some(NetworkId([1; 32]))),
            Some(CharterError::NotGenesis)
        );
        assert_eq!(
            error(|c| c.minimum_suite = 0x20),
            Some(CharterError::Suite { suite: 0x20 })
        );
        assert!(matches!(
            error(|c| c.rules.direct_max = 51),
            Some(CharterError::Rules(RulesError::Range {
                field: "direct_max",
                ..
            }))
        ));
    }

    #[test]
    fn status_and_recovery_keys_are_distinct_ascending_and_strong() {
        let good = genesis(founding(&three(), 2)).unwrap();
        let pair = ascending(vec![key(11).public(), key(12).public()]);
        let weak = [[0; 31].as_slice(), &[0x80]].concat();
        let weak: [u8; 32] = weak.try_into().unwrap();
        for put in [
            (|charter, keys| charter.recovery_keys = keys) as fn(&mut Charter, Vec<[u8; 32]>),
            |charter, keys| {
                charter.status_keys = keys;
                charter.status_threshold = 2;
            },
        ] {
            let error = |keys: &[[u8; 32]]| {
                let mut charter = good.clone();
                put(&mut charter, keys.to_vec());
                charter.check_genesis().err()
            };
            assert_eq!(error(&pair), None);

            assert_eq!(error(&[pair[1], pair[0]]), Some(CharterError::Order));
            assert_eq!(error(&[pair[0], pair[0]]), Some(CharterError::Order));
            assert_eq!(
                error(&ascending(vec![pair[0], weak])),
                Some(CharterError::Key)
            );
        }
    }

    #[test]
    fn more_than_half_of_the_status_keys_must_sign_and_nobody_where_there_are_none() {
        let good = genesis(founding(&three(), 2)).unwrap();
        for (threshold, count, accepted) in [
            (0, 0, true),
            (1, 1, true),
            (2, 3, true),
            (3, 3, true),
            (1, 0, false),
            (0, 1, false),
            (1, 2, false),
            (4, 3, false),
        ] {
            let charter = Charter {
                status_keys: ascending((11..11 + count).map(|seed| key(seed).public()).collect()),
                status_threshold: threshold,
                ..good.clone()
            };
            let count = usize::from(count);
            let error = Some(CharterError::Threshold { threshold, count });
            let checked = charter.check_genesis().err();
            assert_eq!(checked, error.filter(|_| !accepted));
        }
    }
}
