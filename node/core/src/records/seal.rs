//! The primitives that sealing at rest stands on, and nothing that decides when to use them.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::crypto::SecretKey;

/// Bytes of an XChaCha20-Poly1305 nonce (draft-irtf-cfrg-xchacha-03, section 2.3).
pub(super) const NONCE_BYTES: usize = 24;
/// Bytes that sealing adds (RFC 8439, section 2.8).
pub(super) const TAG_BYTES: usize = 16;

/// Derives a key for one use (HKDF-SHA256, RFC 5869, without salt).
pub(super) fn derive(key: &SecretKey, usage: &[u8]) -> SecretKey {
    let mut out = SecretKey::default();
    Hkdf::<Sha256>::new(None, key.as_slice())
        .expand(usage, out.as_mut_slice())
        .expect("32 bytes are far below the limit of HKDF-SHA256");
    out
}

/// Seals with XChaCha20-Poly1305.
pub(super) fn seal(
    key: &SecretKey,
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    plain: &[u8],
) -> Vec<u8> {
    XChaCha20Poly1305::new((&**key).into())
        .encrypt(
            nonce.into(),
            Payload {
                msg: plain,
                aad: associated,
            },
        )
        .expect("no caller seals the 256 GiB at which XChaCha20 ends")
}

/// Opens what [`seal`] made; none where any input differs.
pub(super) fn open(
    key: &SecretKey,
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    XChaCha20Poly1305::new((&**key).into())
        .decrypt(
            nonce.into(),
            Payload {
                msg: sealed,
                aad: associated,
            },
        )
        .ok()
}

/// HMAC-SHA256 (RFC 2104) of the parts one after the other.
pub(super) fn mac(key: &SecretKey, parts: &[&[u8]]) -> [u8; 32] {
    authenticator(key, parts).finalize().into_bytes().into()
}

/// Whether [`mac`] gives that tag, in constant time.
pub(super) fn mac_holds(key: &SecretKey, parts: &[&[u8]], tag: &[u8]) -> bool {
    authenticator(key, parts).verify_slice(tag).is_ok()
}

fn authenticator(key: &SecretKey, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut hmac =
        Hmac::<Sha256>::new_from_slice(key.as_slice()).expect("HMAC takes a key of any length");
    for part in parts {
        hmac.update(part);
    }
    hmac
}

/// SHA-256 of the parts one after the other.
pub(super) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
