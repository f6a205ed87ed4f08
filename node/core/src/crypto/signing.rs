//! Ed25519 keys (RFC 8032), strictly: one public key has one form, and one signature one reading.

use std::fmt;

use ed25519_dalek::{Signature, Signer, VerifyingKey};

use super::{Body, Envelope, SecretKey, SignatureError, signed::signed_bytes};
use crate::types::NetworkId;

/// An Ed25519 private key: a node's, an authority's, or an audit log's. Wipes itself.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a seed (RFC 8032, 5.1.5).
    pub fn from_seed(seed: &SecretKey) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed, to be stored sealed.
    pub fn seed(&self) -> SecretKey {
        SecretKey::new(self.0.to_bytes())
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Encodes and signs a body for one network.
    pub fn sign<T: Body>(&self, network: &NetworkId, body: &T) -> Envelope {
        self.sign_bytes::<T>(network, body.encode())
    }

    /// Signs bytes that are already encoded, such as those an authority has seen rendered.
    ///
    /// # Panics
    /// Where `body` has 4 GiB or more.
    pub fn sign_bytes<T: Body>(
        &self,
        network: &NetworkId,
        body: impl Into<bytes::Bytes>,
    ) -> Envelope {
        let mut envelope = Envelope {
            body: body.into(),
            signatures: Vec::with_capacity(1),
        };
        envelope.add_signature::<T>(self, network);
        envelope
    }

    /// Signs bytes as they are. The caller answers for their being readable as nothing else, so
    /// this stays inside the crate.
    pub(crate) fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    pub(super) fn sign_body<T: Body>(&self, network: &NetworkId, body: &[u8]) -> [u8; 64] {
        self.sign_raw(&signed_bytes::<T>(network, body))
    }
}

impl Clone for SigningKey {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Whether a public key may be enrolled: a point of large order in its only canonical form
/// (`protocol.md` 3; RFC 8032, 5.1.3).
///
/// # Errors
/// [`SignatureError::Key`] otherwise.
pub fn check_public_key(public: [u8; 32]) -> Result<(), SignatureError> {
    strict_key(&public).map(|_| ())
}

/// Verifies one signature over exactly these bytes, with a key that may be enrolled.
///
/// # Errors
/// [`SignatureError::Key`] for a key that may not, [`SignatureError::Forged`] for a signature that
/// does not hold or has a second form.
pub fn verify_signature(
    public: &[u8; 32],
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), SignatureError> {
    strict_key(public)?
        .verify_strict(message, &Signature::from_bytes(signature))
        .map_err(|_| SignatureError::Forged)
}

fn strict_key(public: &[u8; 32]) -> Result<VerifyingKey, SignatureError> {
    let key = VerifyingKey::from_bytes(public).map_err(|_| SignatureError::Key)?;
    // Decoding reduces y modulo p and keeps the bytes it was given; only the point itself shows
    // whether they were the canonical ones.
    if key.is_weak() || key.to_edwards().compress().to_bytes() != *public {
        return Err(SignatureError::Key);
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every point of small order in its canonical form (order 1, 2, 4, 4, 8, 8, 8, 8).
    const SMALL_ORDER: [&str; 8] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];

    #[test]
    fn a_seed_gives_the_key_and_signature_of_rfc_8032() {
        // RFC 8032, 7.1, test 2.
        let seed = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let public = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let key = SigningKey::from_seed(&SecretKey::new(seed));

        let signature = key.sign_raw(&[0x72]);

        assert_eq!(key.public(), public);
        assert_eq!(*key.seed(), seed);
        assert!(hex(&signature).starts_with("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8f"));
        assert_eq!(verify_signature(&public, &[0x72], &signature), Ok(()));
        assert_eq!(
            verify_signature(&public, &[0x73], &signature),
            Err(SignatureError::Forged)
        );
    }

    #[test]
    fn a_key_of_small_order_is_not_enrolled() {
        let honest = SigningKey::from_seed(&SecretKey::new([7; 32])).public();
        assert_eq!(check_public_key(honest), Ok(()));

        for point in SMALL_ORDER {
            assert_eq!(check_public_key(bytes(point)), Err(SignatureError::Key));
            // The y coordinate plus the prime, where that fits in 255 bits, is the same point.
            let mut second_form = bytes(point);
            if second_form[1..31] == [0; 30] {
                let low = second_form[0];
                second_form = [0xFF; 32];
                second_form[0] = 0xED + low;
                second_form[31] = 0x7F;
                assert_eq!(check_public_key(second_form), Err(SignatureError::Key));
            }
        }
    }

    #[test]
    fn a_key_in_a_second_form_is_not_enrolled() {
        let mut tried = 0;

        for y in 2..=18 {
            let mut canonical = [0; 32];
            canonical[0] = y;
            if check_public_key(canonical).is_err() {
                continue; // No point of the curve has this y.
            }
            let mut second_form = [0xFF; 32];
            second_form[0] = 0xED + y;
            second_form[31] = 0x7F;
            tried += 1;
            assert!(VerifyingKey::from_bytes(&second_form).is_ok());
            assert_eq!(check_public_key(second_form), Err(SignatureError::Key));
        }

        assert!(tried > 3);
    }

    #[test]
    fn a_signing_key_shows_nothing_of_itself() {
        let key = SigningKey::from_seed(&SecretKey::new([7; 32]));

        assert_eq!(format!("{key:?}"), "SigningKey(..)");
    }

    fn bytes(hex: &str) -> [u8; 32] {
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        bytes.try_into().unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(bytes)
    }
}
