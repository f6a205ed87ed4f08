//! Ed25519 keys (RFC 8032), strictly: one public key has one form, and one signature one reading.

use std::fmt;

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use rand_core::CryptoRng;

use super::{Body, Envelope, SecretKey, SignatureError, signed::signed_bytes};
use crate::types::NetworkId;

/// An Ed25519 private key: a node's, an authority's, or an audit log's. Wipes itself.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a seed (RFC 8032, 5.1.5).
    pub fn from_seed(seed: &SecretKey) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = SecretKey::default();
        rng.fill_bytes(&mut *seed);
        Self::from_seed(&seed)
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
