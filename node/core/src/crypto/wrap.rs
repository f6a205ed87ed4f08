//! Keys under keys, and a key from a passphrase (`storage.md` 9, 11).

use argon2::{Algorithm, Argon2, Block, Params, Version};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{SecretKey, row};

/// Why a key is not had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// Another length than a wrapped key has.
    #[error("a wrapped key of {len_bytes} bytes")]
    Length {
        /// Bytes found.
        len_bytes: usize,
    },
    /// The wrapping key, the store or the key's id is another, or the bytes were changed.
    #[error("a wrapped key does not open")]
    Integrity,
    /// Argon2 parameters beyond what this program is ready to spend, or too weak to accept.
    #[error("the parameters of the passphrase are out of bounds")]
    Cost,
}

/// Which key is wrapped, where.
#[derive(Clone, Copy)]
pub struct WrapContext {
    /// 16 random bytes made by `init`.
    pub store: [u8; 16],
    /// Id of the key inside.
    pub key_id: [u8; 16],
}

const NONCE_BYTES: usize = 24;
const WRAPPED_BYTES: usize = NONCE_BYTES + 32 + row::OVERHEAD_BYTES;

/// Wraps a key: nonce and ciphertext, 72 bytes.
pub fn wrap_key(
    rng: &mut impl CryptoRng,
    wrapping: &SecretKey,
    context: &WrapContext,
    key: &SecretKey,
) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    let sealed = row::seal(wrapping, &nonce, &context.to_bytes(), &key[..]);
    [&nonce[..], &sealed].concat()
}

/// Unwraps a key.
///
/// # Errors
/// [`WrapError::Length`], [`WrapError::Integrity`].
pub fn unwrap_key(
    wrapping: &SecretKey,
    context: &WrapContext,
    wrapped: &[u8],
) -> Result<SecretKey, WrapError> {
    let length = WrapError::Length {
        len_bytes: wrapped.len(),
    };
    if wrapped.len() != WRAPPED_BYTES {
        return Err(length);
    }
    let (nonce, sealed) = wrapped.split_first_chunk().ok_or(length)?;
    let plain = row::open(wrapping, nonce, &context.to_bytes(), sealed)
        .map(Zeroizing::new)
        .map_err(|_| WrapError::Integrity)?;
    let key: &[u8; 32] = plain[..].try_into().map_err(|_| length)?;
    Ok(SecretKey::new(*key))
}

impl WrapContext {
    fn to_bytes(self) -> Vec<u8> {
        [b"chartmesh/1/wrap".as_slice(), &self.store, &self.key_id].concat()
    }
}

/// What deriving a key from a passphrase costs; stands beside the salt on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Argon2Cost {
    /// 19 MiB, two passes, one lane: OWASP Password Storage Cheat Sheet, Argon2id.
    pub const DEFAULT: Self = Self {
        memory_kib: 19 << 10,
        passes: 2,
        lanes: 1,
    };

    /// Parameters as read from the disk, where a changed byte must neither exhaust the machine nor
    /// make the passphrase cheap to guess.
    ///
    /// # Errors
    /// [`WrapError::Cost`] below [`Self::DEFAULT`] in memory or passes, or above 1 GiB, 16 passes
    /// or 4 lanes.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, WrapError> {
        let least = Self::DEFAULT;
        let within = (least.memory_kib..=1 << 20).contains(&memory_kib)
            && (least.passes..=16).contains(&passes)
            && (least.lanes..=4).contains(&lanes);
        if !within {
            return Err(WrapError::Cost);
        }
        Ok(Self {
            memory_kib,
            passes,
            lanes,
        })
    }
}

impl Default for Argon2Cost {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The key of a passphrase (Argon2id version 1.3, RFC 9106). Takes tens of milliseconds or more.
///
/// # Errors
/// [`WrapError::Cost`] where Argon2 refuses the parameters or the passphrase's length.
pub fn key_from_passphrase(
    passphrase: &[u8],
    salt: &[u8; 16],
    cost: Argon2Cost,
) -> Result<SecretKey, WrapError> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| WrapError::Cost)?;
    let mut key = SecretKey::default();
    let mut memory = Zeroizing::new(vec![Block::default(); params.block_count()]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(passphrase, salt, &mut *key, &mut memory[..])
        .map_err(|_| WrapError::Cost)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    const CONTEXT: WrapContext = WrapContext {
        store: [1; 16],
        key_id: [2; 16],
    };

    #[test]
    fn a_wrapped_key_opens_in_its_place_only() {
        let wrapping = SecretKey::new([3; 32]);
        let key = SecretKey::new([4; 32]);
        let wrapped = wrap_key(&mut rng(), &wrapping, &CONTEXT, &key);
        assert_eq!(unwrap_key(&wrapping, &CONTEXT, &wrapped), Ok(key.clone()));

        let other_store = WrapContext {
            store: [9; 16],
            ..CONTEXT
        };
        let other_key = WrapContext {
            key_id: [9; 16],
            ..CONTEXT
        };
        for refused in [
            unwrap_key(&wrapping, &other_store, &wrapped),
            unwrap_key(&wrapping, &other_key, &wrapped),
            unwrap_key(&key, &CONTEXT, &wrapped),
        ] {
            assert_eq!(refused.err(), Some(WrapError::Integrity));
        }
        for bit in 0..wrapped.len() * 8 {
            let mut changed = wrapped.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                unwrap_key(&wrapping, &CONTEXT, &changed).err(),
                Some(WrapError::Integrity)
            );
        }
    }

    #[test]
    fn a_wrapped_key_of_another_length_is_refused() {
        let wrapping = SecretKey::new([3; 32]);
        let wrapped = wrap_key(&mut rng(), &wrapping, &CONTEXT, &wrapping);
        assert!(unwrap_key(&wrapping, &CONTEXT, &wrapped).is_ok());

        let longer = [&wrapped[..], &[0]].concat();

        for bytes in [&wrapped[..71], &longer, b""] {
            assert_eq!(
                unwrap_key(&wrapping, &CONTEXT, bytes).err(),
                Some(WrapError::Length {
                    len_bytes: bytes.len()
                })
            );
        }
    }

    #[test]
    fn wrapping_twice_never_takes_one_nonce_twice() {
        let wrapping = SecretKey::new([3; 32]);
        let mut rng = rng();

        let nonces: std::collections::BTreeSet<Vec<u8>> = (0..1_000)
            .map(|_| wrap_key(&mut rng, &wrapping, &CONTEXT, &wrapping)[..24].to_vec())
            .collect();

        assert_eq!(nonces.len(), 1_000);
    }

    #[test]
    fn a_passphrase_gives_one_key_for_each_salt_and_cost() {
        let key = |passphrase: &[u8], salt, cost| {
            key_from_passphrase(passphrase, &[salt; 16], cost).unwrap()
        };
        let dearer = Argon2Cost::new(19 << 10, 3, 1).unwrap();
        let base = key(b"correct horse", 1, Argon2Cost::DEFAULT);

        assert_eq!(base, key(b"correct horse", 1, Argon2Cost::default()));
        assert_ne!(base, key(b"correct horsf", 1, Argon2Cost::DEFAULT));
        assert_ne!(base, key(b"correct horse", 2, Argon2Cost::DEFAULT));
        assert_ne!(base, key(b"correct horse", 1, dearer));
    }

    #[test]
    fn a_cost_out_of_bounds_is_refused() {
        assert_eq!(Argon2Cost::new(19 << 10, 2, 1), Ok(Argon2Cost::DEFAULT));
        assert!(Argon2Cost::new(1 << 20, 16, 4).is_ok());

        for (memory_kib, passes, lanes) in [
            ((19 << 10) - 1, 2, 1),
            ((1 << 20) + 1, 2, 1),
            (19 << 10, 1, 1),
            (19 << 10, 17, 1),
            (19 << 10, 2, 0),
            (19 << 10, 2, 5),
            (u32::MAX, u32::MAX, u32::MAX),
        ] {
            assert_eq!(
                Argon2Cost::new(memory_kib, passes, lanes),
                Err(WrapError::Cost)
            );
        }
    }

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([7; 32])
    }
}
