//! Thin wrappers that make misuse hard: signatures, seals, rows, document files, trees.

mod file;
mod hash;
mod recovery;
pub mod row;
mod sealed;
mod signed;
mod signing;
pub mod tree;
mod wrap;

pub use file::{
    FileError, FileOpener, FileSealer, HEADER_BYTES, SealedFile, SealedWhole, chunk_count,
    chunk_range, leaf_hashes, open_file, padded_len, seal_file, sealed_len,
};
pub use hash::{
    KeyedHash, Sha256, derive, keyed_hash, keyed_hash_matches, receipt, sha256, subject_of,
};
pub use recovery::{BACKUP_ENC_BYTES, BackupLock, RecoveryError, RecoverySecret};
pub use row::{RowAad, RowError};
pub use sealed::{
    ENCAPSULATED_BYTES, OpeningKey, OuterHeader, SEALING_KEY_BYTES, SUITE_XWING, SealContext,
    SealError, SealingKey, SessionKeys, accept_session, begin_session,
};
pub use signed::{Body, Envelope, MalformedBody, SignatureError, Signed};
pub use signing::{SigningKey, check_public_key, verify_signature};
pub use tree::Tree;
pub use wrap::{Argon2Cost, WrapContext, WrapError, key_from_passphrase, unwrap_key, wrap_key};

/// A 32-byte secret key that wipes itself.
pub type SecretKey = zeroize::Zeroizing<[u8; 32]>;
