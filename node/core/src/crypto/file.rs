//! Document files: sealed once, checked chunk by chunk, opened with the key that goes last
//! (`protocol.md` 5).
//!
//! A file is a header and the payload format of c2sp.org/age. The tree over it has the header as
//! its first leaf and each ciphertext chunk as one more.

use std::ops::Range;

use bytes::Bytes;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{SecretKey, hash::expand, tree};
use crate::types::limits::CHUNK_BYTES;

/// `CMDOC`, a zero byte and the version of the format.
const MAGIC: [u8; 8] = *b"CMDOC\0\0\x01";
const NONCE: Range<usize> = 8..24;
const COMMITMENT: Range<usize> = 24..56;
/// Bytes of the header: magic, nonce, commitment to the content key.
pub const HEADER_BYTES: usize = 56;
const TAG_BYTES: usize = 16;
const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

/// Why a document file is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// No document file, or one of another version.
    #[error("not a document file of version 1")]
    Header,
    /// No document file can have this many bytes.
    #[error("a document file of {len_bytes} bytes")]
    Length {
        /// Bytes found.
        len_bytes: u64,
    },
    /// The content key is another file's.
    #[error("the content key is not the one this file commits to")]
    Commitment,
    /// A chunk was changed, moved, or is the last one without being marked so.
    #[error("chunk {index} does not open")]
    Chunk {
        /// Its number; the header is 0.
        index: u64,
    },
    /// The content is not that many bytes with the padding of their number.
    #[error("the padding is not that of a document of {size} bytes")]
    Padding {
        /// The size asked for.
        size: u64,
    },
}

/// A document as it is stored and as it travels.
#[derive(Clone)]
pub struct SealedFile {
    /// The file.
    pub bytes: Bytes,
    /// Root of the tree over it.
    pub root: [u8; 32],
    /// Its commitment to the content key.
    pub commitment: [u8; 32],
    /// Leaf hash of the header and of each chunk.
    pub leaves: Vec<[u8; 32]>,
}

/// Seals a document. The content key is 32 random bytes for this document alone, a retry takes a
/// new one; the nonce is 16 random bytes.
pub fn seal_file(content_key: &SecretKey, nonce: &[u8; 16], plain: &[u8]) -> SealedFile {
    let keys = FileKeys::new(content_key, nonce);
    let padded = padded_len(plain.len() as u64);
    let mut bytes = Vec::with_capacity(sealed_len(plain.len() as u64) as usize);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(nonce);
    bytes.extend_from_slice(&keys.commitment[..]);
    let chunks = payload_chunks(padded);
    for index in 0..chunks {
        let start = bytes.len();
        let from = (index as usize) * CHUNK_BYTES;
        let till = (from + CHUNK_BYTES).min(padded as usize);
        bytes.extend_from_slice(&plain[from.min(plain.len())..till.min(plain.len())]);
        bytes.resize(start + till - from, 0);
        let tag = keys
            .cipher
            .encrypt_inout_detached(
                &chunk_nonce(index, chunks).into(),
                b"",
                (&mut bytes[start..]).into(),
            )
            .expect("a chunk is shorter than the 256 GiB of the cipher");
        bytes.extend_from_slice(&tag);
    }
    let leaves: Vec<[u8; 32]> = leaves_of(&bytes).collect();
    SealedFile {
        root: tree::root(&leaves),
        commitment: *keys.commitment,
        leaves,
        bytes: bytes.into(),
    }
}

/// Opens a document of `size` bytes. Commitment first, then every chunk with its place and the mark
/// of the last, then the padding.
///
/// # Errors
/// [`FileError`]; nothing of a file that fails anywhere is returned.
pub fn open_file(content_key: &SecretKey, bytes: &[u8], size: u64) -> Result<Vec<u8>, FileError> {
    let len_bytes = bytes.len() as u64;
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(FileError::Length { len_bytes });
    };
    if header[..8] != MAGIC {
        return Err(FileError::Header);
    }
    let chunks = chunk_count(len_bytes).ok_or(FileError::Length { len_bytes })? - 1;
    let keys = FileKeys::new(content_key, &header[NONCE]);
    if !bool::from(keys.commitment[..].ct_eq(&header[COMMITMENT])) {
        return Err(FileError::Commitment);
    }
    if sealed_len(size) != len_bytes {
        return Err(FileError::Padding { size });
    }
    let mut plain = Vec::with_capacity(payload.len());
    for (index, sealed) in (0..).zip(payload.chunks(SEALED_CHUNK_BYTES)) {
        let damaged = FileError::Chunk { index: index + 1 };
        let (content, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(damaged)?;
        let start = plain.len();
        plain.extend_from_slice(content);
        keys.cipher
            .decrypt_inout_detached(
                &chunk_nonce(index, chunks).into(),
                b"",
                (&mut plain[start..]).into(),
                tag.into(),
            )
            .map_err(|_| damaged)?;
    }
    let size_bytes = usize::try_from(size).map_err(|_| FileError::Padding { size })?;
    let padding = plain.get(size_bytes..).ok_or(FileError::Padding { size })?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(FileError::Padding { size });
    }
    plain.truncate(size_bytes);
    Ok(plain)
}

/// The leaf hashes of a whole file; the header is leaf 0.
///
/// # Errors
/// [`FileError::Length`] where no file can be that long.
pub fn leaf_hashes(bytes: &[u8]) -> Result<Vec<[u8; 32]>, FileError> {
    let len_bytes = bytes.len() as u64;
    chunk_count(len_bytes).ok_or(FileError::Length { len_bytes })?;
    Ok(leaves_of(bytes).collect())
}

fn leaves_of(bytes: &[u8]) -> impl Iterator<Item = [u8; 32]> {
    let (header, payload) = bytes.split_at(HEADER_BYTES);
    std::iter::once(header)
        .chain(payload.chunks(SEALED_CHUNK_BYTES))
        .map(tree::leaf_hash)
}

/// How many chunks a file of `sealed_size` bytes has: the header is chunk 0, each ciphertext chunk
/// one more. None where no file can be that long.
pub fn chunk_count(sealed_size: u64) -> Option<u64> {
    let payload = sealed_size.checked_sub(HEADER_BYTES as u64)?;
    let full = payload / SEALED_CHUNK_BYTES as u64;
    let rest = payload % SEALED_CHUNK_BYTES as u64;
    match (full, rest) {
        (0, rest) if rest < TAG_BYTES as u64 => None,
        // Only an empty document has an empty chunk (c2sp.org/age, payload).
        (1.., 1..=16) => None,
        (full, 0) => Some(1 + full),
        (full, _) => Some(2 + full),
    }
}

/// Where chunk `index` lies in a file of `sealed_size` bytes.
pub fn chunk_range(sealed_size: u64, index: u64) -> Option<Range<u64>> {
    if index >= chunk_count(sealed_size)? {
        return None;
    }
    let header = HEADER_BYTES as u64;
    if index == 0 {
        return Some(0..header);
    }
    let start = header + (index - 1) * SEALED_CHUNK_BYTES as u64;
    Some(start..(start + SEALED_CHUNK_BYTES as u64).min(sealed_size))
}

/// Length of a document after Padmé padding, which hides all but the first bits of it at a cost of
/// at most 12 % (Nikitin et al., *Reducing Metadata Leakage from Encrypted Files and Communication
/// with PURBs*, 2019, algorithm 1). The greatest number where the sum does not fit.
pub fn padded_len(len: u64) -> u64 {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    let mask = (1_u64 << (exponent - kept_bits)) - 1;
    len.checked_add(mask).map_or(u64::MAX, |sum| sum & !mask)
}

/// Length of the file of a document of `size` bytes; the greatest number where that does not fit.
pub fn sealed_len(size: u64) -> u64 {
    let padded = padded_len(size);
    padded
        .saturating_add(payload_chunks(padded) * TAG_BYTES as u64)
        .saturating_add(HEADER_BYTES as u64)
}

fn payload_chunks(padded: u64) -> u64 {
    padded.div_ceil(CHUNK_BYTES as u64).max(1)
}

struct FileKeys {
    commitment: SecretKey,
    cipher: ChaCha20Poly1305,
}

impl FileKeys {
    fn new(content_key: &SecretKey, nonce: &[u8]) -> Self {
        let hkdf = Hkdf::<Sha256>::new(Some(nonce), &content_key[..]);
        let payload_key = expand(&hkdf, b"payload");
        Self {
            commitment: expand(&hkdf, b"chartmesh/1/commit"),
            cipher: ChaCha20Poly1305::new((&*payload_key).into()),
        }
    }
}

/// Eleven bytes of counter and the mark of the last chunk (c2sp.org/age, payload).
fn chunk_nonce(index: u64, chunks: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&index.to_be_bytes());
    nonce[11] = u8::from(index + 1 == chunks);
    nonce
}
