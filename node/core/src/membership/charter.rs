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
        let mut authorities = founding.authorities;
        authorities.sort_unstable();
        let charter = Self {
            version: 0,
            name: founding.name,
            network: None,
            previous: None,
            authorities,
            threshold: founding.threshold,
            template: founding.template,
            rules: founding.rules,
            test: founding.test,
            issued_at: now,
            recovery_keys: Vec::new(),
            minimum_suite: SUITE_XWING,
            nonce,
        };
        charter.check_genesis()?;
        Ok(charter)
    }

    /// How many of the signers are authorities.
    pub fn authorities_among(&self, signers: &[[u8; 32]]) -> usize {
        let signers: BTreeSet<_> = signers.iter().collect();
        self.authorities
            .iter()
            .filter(|key| signers.contains(key))
            .count()
    }

    /// Whether enough authorities are among the signers.
    pub fn is_quorum(&self, signers: &[[u8; 32]]) -> bool {
        self.authorities_among(signers) >= self.threshold as usize
    }

    fn check_genesis(&self) -> Result<(), CharterError> {
        if self.version != 0 || self.network.is_some() || self.previous.is_some() {
            return Err(CharterError::NotGenesis);
        }
        if !is_plain_text(&self.name) || self.name.chars().count() > limits::NAME_CHARS_MAX {
            return Err(CharterError::Name);
        }
        let count = self.authorities.len();
        if count == 0 || count > limits::SIGNATURES_MAX {
            return Err(CharterError::Authorities { count });
        }
        check_keys(&self.authorities)?;
        check_keys(&self.recovery_keys)?;
        let threshold = self.threshold;
        // More than half, so that any two quorums share a signer.
        if threshold as usize * 2 <= count || threshold as usize > count {
            return Err(CharterError::Threshold { threshold, count });
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
