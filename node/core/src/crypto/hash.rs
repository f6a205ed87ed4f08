//! Hashes, each with a name for what it is used for.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Digest;
use subtle::ConstantTimeEq;

use super::SecretKey;
use crate::types::Handle;

/// SHA-256 over the parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::default();
    for part in parts {
        hash.update(part);
    }
    hash.finish()
}

/// SHA-256 over what comes bit by bit.
#[derive(Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash over everything taken.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// HMAC-SHA256 (RFC 2104) over the parts, one after the other; the caller sees to it that they
/// cannot be divided another way.
pub fn keyed_hash(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = KeyedHash::new(key);
    for part in parts {
        hash.update(part);
    }
    hash.finish()
}

/// HMAC-SHA256 (RFC 2104) over what comes bit by bit.
pub struct KeyedHash(Hmac<sha2::Sha256>);

impl KeyedHash {
    /// Starts under a key.
    pub fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash over everything taken.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }
}

/// Whether [`keyed_hash`] gives these bytes; takes the same time wherever they differ.
pub fn keyed_hash_matches(key: &[u8], parts: &[&[u8]], expected: &[u8]) -> bool {
    keyed_hash(key, parts)[..].ct_eq(expected).into()
}

/// A key for one use, from a key for many (HKDF-SHA256, RFC 5869, without salt).
pub fn derive(key: &SecretKey, label: &str) -> SecretKey {
    expand(&Hkdf::new(None, &key[..]), label.as_bytes())
}

/// The first 32 bytes of an HKDF.
pub(super) fn expand(hkdf: &Hkdf<sha2::Sha256>, info: &[u8]) -> SecretKey {
    let mut out = SecretKey::default();
    hkdf.expand(info, &mut *out)
        .expect("HKDF gives up to 255 blocks of 32 bytes");
    out
}

/// The pseudonym of a patient towards whoever holds the handle: what a fetch names as its subject.
pub fn subject_of(handle: &Handle) -> [u8; 16] {
    let hash = sha256(&[b"chartmesh/1/subject", handle.as_bytes()]);
    *hash.first_chunk().expect("16 bytes of 32")
}

/// What an audit entry or a release says of a document: worth nothing without the salt
/// (`protocol.md` 5).
pub fn receipt(salt: &[u8; 32], manifest_hash: &[u8; 32]) -> [u8; 32] {
    sha256(&[salt, manifest_hash])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyed_hash_is_the_hmac_of_rfc_4231() {
        // RFC 4231, 4.3, test case 2.
        let expected = data_encoding::HEXLOWER
            .decode(b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
            .unwrap();

        let hash = keyed_hash(b"Jefe", &[b"what do ya want ", b"for nothing?"]);

        assert_eq!(hash[..], expected[..]);
    }

    #[test]
    fn a_keyed_hash_matches_itself_only() {
        let hash = keyed_hash(b"key", &[b"content"]);
        assert!(keyed_hash_matches(b"key", &[b"content"], &hash));

        assert!(!keyed_hash_matches(b"kez", &[b"content"], &hash));
        assert!(!keyed_hash_matches(b"key", &[b"contents"], &hash));
        assert!(!keyed_hash_matches(b"key", &[b"content"], &hash[..31]));
        assert!(!keyed_hash_matches(b"key", &[b"content"], b""));
    }

    #[test]
    fn keys_for_two_uses_differ() {
        let key = SecretKey::new([7; 32]);

        assert_eq!(derive(&key, "one"), derive(&key, "one"));
        assert_ne!(derive(&key, "one"), derive(&key, "two"));
        assert_ne!(derive(&key, "one"), derive(&SecretKey::new([8; 32]), "one"));
    }

    #[test]
    fn a_subject_and_a_receipt_are_hashes_of_what_they_name() {
        let handle = Handle([3; 20]);
        let subject = sha256(&[b"chartmesh/1/subject\x03\x03\x03\x03\x03", &[3; 15]]);

        assert_eq!(subject_of(&handle)[..], subject[..16]);
        assert_ne!(subject_of(&handle), subject_of(&Handle([4; 20])));
        assert_eq!(receipt(&[1; 32], &[2; 32]), sha256(&[&[1; 32], &[2; 32]]));
        assert_ne!(receipt(&[1; 32], &[2; 32]), receipt(&[2; 32], &[1; 32]));
    }
}
