//! One body, the keys that signed it, and what it takes to believe them (`protocol.md` 3).

use bytes::Bytes;

/// The bytes are no body of this type, or not in canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {domain} body in canonical form")]
pub struct MalformedBody {
    /// Domain constant of the type that was expected.
    pub domain: &'static str,
}

/// A value that can be signed. Its domain constant belongs to the receiving type and never comes
/// from the wire, so that a signature over one type is worth nothing for another.
pub trait Body: Sized {
    /// `chartmesh/1/...`; a new field means a new constant.
    const DOMAIN: &'static str;

    /// The canonical bytes.
    fn encode(&self) -> Vec<u8>;

    /// Reads bytes; need not check that they are canonical.
    ///
    /// # Errors
    /// [`MalformedBody`] where a field is missing or out of range.
    fn decode(bytes: &[u8]) -> Result<Self, MalformedBody>;
}

/// A body and signatures over it, not yet verified: what crosses the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The exact bytes that were signed.
    pub body: Bytes,
    /// Ed25519 public key and signature, each.
    pub signatures: Vec<([u8; 32], [u8; 64])>,
}
