//! Keys under keys, and a key from a passphrase (`storage.md` 9, 11).

use argon2::{Algorithm, Argon2, Params, Version};
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

    /// Memory in KiB.
    pub fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub fn passes(&self) -> u32 {
        self.passes
    }

    /// Lanes.
    pub fn lanes(&self) -> u32 {
        self.lanes
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
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut *key)
        .map_err(|_| WrapError::Cost)?;
    Ok(key)
}
