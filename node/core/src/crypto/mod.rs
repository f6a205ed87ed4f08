//! Thin wrappers that make misuse hard: signatures, seals, rows, document files, trees.

mod signed;

pub use signed::{Body, Envelope, MalformedBody};

/// A 32-byte secret key that wipes itself.
pub type SecretKey = zeroize::Zeroizing<[u8; 32]>;

/// The outer header of a sealed message; authenticated together with its ciphertext.
#[derive(Clone, PartialEq, Eq)]
pub struct OuterHeader {
    /// HPKE KEM id; 0x647A is X-Wing.
    pub suite: u32,
    /// Which key of the receiver's key set.
    pub key_id: [u8; 8],
    /// Drawn by the asker.
    pub session: [u8; 16],
    /// Counts the messages of the session.
    pub counter: u64,
    /// HPKE encapsulated key until the first answer of the session is in; then empty.
    pub enc: bytes::Bytes,
}
