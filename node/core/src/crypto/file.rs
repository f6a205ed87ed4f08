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
use zeroize::Zeroizing;

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
    let mut bytes = Vec::with_capacity(sealed_len(plain.len() as u64) as usize);
    let mut sealer = FileSealer::new(content_key, nonce);
    sealer.push(plain, &mut bytes);
    let sealed = sealer.finish(&mut bytes);
    SealedFile {
        root: tree::root(&sealed.leaves),
        commitment: sealed.commitment,
        leaves: sealed.leaves,
        bytes: bytes.into(),
    }
}

/// Seals a document as it comes, whatever its length turns out to be.
pub struct FileSealer {
    keys: FileKeys,
    nonce: [u8; 16],
    leaves: Vec<[u8; 32]>,
    plain_len: u64,
    /// Content of the chunk that is not sealed yet: only the next byte tells that it is not the last.
    held: Zeroizing<Vec<u8>>,
}

/// What is known of a file once all of it is sealed.
pub struct SealedWhole {
    /// Leaf hash of the header and of each chunk.
    pub leaves: Vec<[u8; 32]>,
    /// Its commitment to the content key.
    pub commitment: [u8; 32],
    /// Bytes of the document.
    pub size: u64,
}

impl FileSealer {
    /// Starts a file; key and nonce as for [`seal_file`].
    pub fn new(content_key: &SecretKey, nonce: &[u8; 16]) -> Self {
        Self {
            keys: FileKeys::new(content_key, nonce),
            nonce: *nonce,
            leaves: Vec::new(),
            plain_len: 0,
            held: Zeroizing::new(Vec::with_capacity(CHUNK_BYTES)),
        }
    }

    /// Takes the next bytes of the document and appends what is sealed by them to the file.
    pub fn push(&mut self, mut plain: &[u8], file: &mut Vec<u8>) {
        self.plain_len += plain.len() as u64;
        while !plain.is_empty() {
            if self.held.len() == CHUNK_BYTES {
                self.seal_held(Place::Before, file);
            }
            let (taken, rest) = plain.split_at(plain.len().min(CHUNK_BYTES - self.held.len()));
            self.held.extend_from_slice(taken);
            plain = rest;
        }
    }

    /// Pads the document and appends the rest of the file.
    pub fn finish(mut self, file: &mut Vec<u8>) -> SealedWhole {
        let size = self.plain_len;
        let mut padding = padded_len(size) - size;
        while padding > 0 {
            if self.held.len() == CHUNK_BYTES {
                self.seal_held(Place::Before, file);
            }
            let filled = padding.min((CHUNK_BYTES - self.held.len()) as u64);
            let len = self.held.len() + filled as usize;
            self.held.resize(len, 0);
            padding -= filled;
        }
        self.seal_held(Place::Last, file);
        SealedWhole {
            leaves: self.leaves,
            commitment: *self.keys.commitment,
            size,
        }
    }

    fn seal_held(&mut self, place: Place, file: &mut Vec<u8>) {
        if self.leaves.is_empty() {
            let start = file.len();
            file.extend_from_slice(&MAGIC);
            file.extend_from_slice(&self.nonce);
            file.extend_from_slice(&self.keys.commitment[..]);
            self.leaves.push(tree::leaf_hash(&file[start..]));
        }
        let index = self.leaves.len() as u64 - 1;
        let start = file.len();
        file.extend_from_slice(&self.held);
        let tag = self
            .keys
            .cipher
            .encrypt_inout_detached(
                &chunk_nonce(index, place).into(),
                b"",
                (&mut file[start..]).into(),
            )
            .expect("a chunk is shorter than the 256 GiB of the cipher");
        file.extend_from_slice(&tag);
        self.leaves.push(tree::leaf_hash(&file[start..]));
        self.held.clear();
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
    let mut opener = FileOpener::new(content_key, header, len_bytes, size)?;
    let mut plain = Vec::with_capacity(payload.len());
    for sealed in payload.chunks(SEALED_CHUNK_BYTES) {
        plain.extend_from_slice(&opener.open(sealed)?);
    }
    Ok(plain)
}

/// Opens a document file chunk by chunk. What a chunk held is worth showing only when the last one
/// has opened too: a file may be cut or changed behind it.
pub struct FileOpener {
    keys: FileKeys,
    chunks: u64,
    next: u64,
    size: u64,
}

impl FileOpener {
    /// Starts with the header of a file of `sealed_size` bytes that holds a document of `size` bytes.
    ///
    /// # Errors
    /// [`FileError`], of the header, the commitment, or two sizes that do not belong together.
    pub fn new(
        content_key: &SecretKey,
        header: &[u8; HEADER_BYTES],
        sealed_size: u64,
        size: u64,
    ) -> Result<Self, FileError> {
        if header[..8] != MAGIC {
            return Err(FileError::Header);
        }
        let len_bytes = sealed_size;
        let chunks = chunk_count(len_bytes).ok_or(FileError::Length { len_bytes })? - 1;
        let keys = FileKeys::new(content_key, &header[NONCE]);
        if !bool::from(keys.commitment[..].ct_eq(&header[COMMITMENT])) {
            return Err(FileError::Commitment);
        }
        if sealed_len(size) != sealed_size {
            return Err(FileError::Padding { size });
        }
        Ok(Self {
            keys,
            chunks,
            next: 0,
            size,
        })
    }

    /// Opens the next chunk behind the header and returns what it holds of the document.
    ///
    /// # Errors
    /// [`FileError::Chunk`] or [`FileError::Padding`].
    pub fn open(&mut self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let index = self.next;
        let damaged = FileError::Chunk { index: index + 1 };
        let (content, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(damaged)?;
        let mut plain = Zeroizing::new(content.to_vec());
        self.keys
            .cipher
            .decrypt_inout_detached(
                &chunk_nonce(index, Place::of(index, self.chunks)).into(),
                b"",
                (&mut plain[..]).into(),
                tag.into(),
            )
            .map_err(|_| damaged)?;
        self.next += 1;
        let before = index * CHUNK_BYTES as u64;
        let kept = self.size.saturating_sub(before).min(plain.len() as u64) as usize;
        if plain[kept..].iter().any(|byte| *byte != 0) {
            return Err(FileError::Padding { size: self.size });
        }
        plain.truncate(kept);
        Ok(plain)
    }

    /// Whether the last chunk has opened.
    pub fn is_done(&self) -> bool {
        self.next == self.chunks
    }
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
    let end = start.saturating_add(SEALED_CHUNK_BYTES as u64);
    Some(start..end.min(sealed_size))
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

/// Where a chunk stands in its file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Last,
}

impl Place {
    fn of(index: u64, chunks: u64) -> Self {
        if index + 1 == chunks {
            Self::Last
        } else {
            Self::Before
        }
    }
}

/// Eleven bytes of counter and the mark of the last chunk (c2sp.org/age, payload).
fn chunk_nonce(index: u64, place: Place) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&index.to_be_bytes());
    nonce[11] = u8::from(place == Place::Last);
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE_OF_TEST: [u8; 16] = [5; 16];

    fn key() -> SecretKey {
        SecretKey::new([7; 32])
    }

    fn document(size: usize) -> Vec<u8> {
        (0..size).map(|index| (index % 251) as u8).collect()
    }

    fn seal(size: usize) -> SealedFile {
        seal_file(&key(), &NONCE_OF_TEST, &document(size))
    }

    /// Sealed as a file is, with padding the sealer chose.
    fn seal_unpadded(padded: &[u8]) -> Vec<u8> {
        let keys = FileKeys::new(&key(), &NONCE_OF_TEST);
        let mut bytes = [&MAGIC[..], &NONCE_OF_TEST, &keys.commitment[..]].concat();
        let chunks = payload_chunks(padded.len() as u64);
        for (index, chunk) in (0..).zip(padded.chunks(CHUNK_BYTES)) {
            let mut sealed = chunk.to_vec();
            keys.cipher
                .encrypt_in_place(
                    &chunk_nonce(index, Place::of(index, chunks)).into(),
                    b"",
                    &mut sealed,
                )
                .unwrap();
            bytes.extend(sealed);
        }
        bytes
    }

    #[test]
    fn a_document_of_any_size_comes_back() {
        let chunk = CHUNK_BYTES;
        for size in [
            0,
            1,
            2,
            9,
            1_000,
            chunk - 1,
            chunk,
            chunk + 1,
            2 * chunk,
            200_000,
        ] {
            let file = seal(size);

            assert_eq!(
                open_file(&key(), &file.bytes, size as u64),
                Ok(document(size))
            );
            assert_eq!(file.bytes.len() as u64, sealed_len(size as u64));
            assert_eq!(leaf_hashes(&file.bytes), Ok(file.leaves.clone()));
            assert_eq!(tree::root(&file.leaves), file.root);
            assert_eq!(file.bytes[COMMITMENT], file.commitment);
        }
    }

    #[test]
    fn a_document_that_comes_in_pieces_is_sealed_as_a_whole_one_is() {
        // The padding of the last goes over the end of a chunk.
        for size in [0, 200_000, (4 << 20) + 1] {
            let (plain, whole) = (document(size), seal(size));
            for len in [1_000, CHUNK_BYTES - 1, CHUNK_BYTES + 1] {
                let mut sealer = FileSealer::new(&key(), &NONCE_OF_TEST);
                let mut bytes = Vec::new();
                for piece in plain.chunks(len) {
                    sealer.push(piece, &mut bytes);
                }
                let sealed = sealer.finish(&mut bytes);

                assert!(bytes == whole.bytes, "{size} in {len}");
                assert_eq!(sealed.leaves, whole.leaves);
                assert_eq!(sealed.size, size as u64);
            }
            let opened = open_file(&key(), &whole.bytes, size as u64);
            assert!(opened == Ok(plain), "{size}");
        }
    }

    #[test]
    fn a_file_is_done_with_its_last_chunk_and_not_before() {
        let size = CHUNK_BYTES + 1;
        let file = seal(size);
        let (header, payload) = file.bytes.split_first_chunk().unwrap();
        let len = file.bytes.len() as u64;
        let mut opener = FileOpener::new(&key(), header, len, size as u64).unwrap();

        let done: Vec<bool> = payload
            .chunks(SEALED_CHUNK_BYTES)
            .map(|chunk| {
                opener.open(chunk).unwrap();
                opener.is_done()
            })
            .collect();

        assert_eq!(done, [false, true]);
    }

    #[test]
    fn the_chunks_of_a_file_are_its_leaves_and_cover_it() {
        for size in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 300_000] {
            let file = seal(size);
            let len = file.bytes.len() as u64;
            let count = chunk_count(len).unwrap();
            let mut covered = 0;

            for index in 0..count {
                let range = chunk_range(len, index).unwrap();
                let bytes = &file.bytes[range.start as usize..range.end as usize];
                assert_eq!(range.start, covered);
                assert_eq!(tree::leaf_hash(bytes), file.leaves[index as usize]);
                covered = range.end;
            }

            assert_eq!(covered, len);
            assert_eq!(count, file.leaves.len() as u64);
            assert_eq!(chunk_range(len, count), None);
        }
    }

    #[test]
    fn lengths_no_file_has_have_no_chunks() {
        let one_full = (HEADER_BYTES + SEALED_CHUNK_BYTES) as u64;
        assert_eq!(chunk_count(72), Some(2));
        assert_eq!(chunk_count(one_full), Some(2));
        assert_eq!(chunk_count(one_full + 17), Some(3));

        for len_bytes in [0, 55, 56, 71, one_full + 1, one_full + 16] {
            let bytes = vec![0; len_bytes as usize];
            assert_eq!(chunk_count(len_bytes), None);
            assert_eq!(chunk_range(len_bytes, 0), None);
            assert_eq!(leaf_hashes(&bytes), Err(FileError::Length { len_bytes }));
        }
    }

    #[test]
    fn the_last_chunk_of_the_longest_file_there_could_be_ends_with_it() {
        for size in [u64::MAX - 0xff, u64::MAX - 1, u64::MAX] {
            let Some(count) = chunk_count(size) else {
                continue;
            };

            let last = chunk_range(size, count - 1);

            assert_eq!(last.map(|range| range.end), Some(size), "{size}");
            assert_eq!(chunk_range(size, count), None);
        }
        assert!(chunk_count(u64::MAX - 0xff).is_some());
    }

    #[test]
    fn one_changed_bit_anywhere_is_refused() {
        let file = seal(40).bytes;
        assert!(open_file(&key(), &file, 40).is_ok());

        for bit in 0..file.len() * 8 {
            let mut changed = file.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            let expected = match bit / 8 {
                0..8 => FileError::Header,
                8..56 => FileError::Commitment,
                _ => FileError::Chunk { index: 1 },
            };
            assert_eq!(open_file(&key(), &changed, 40), Err(expected));
        }
    }

    #[test]
    fn another_key_is_refused_by_the_commitment_alone() {
        let file = seal(40).bytes;
        assert!(open_file(&key(), &file, 40).is_ok());

        let refused = open_file(&SecretKey::new([8; 32]), &file, 40);

        assert_eq!(refused, Err(FileError::Commitment));
    }

    #[test]
    fn a_truncated_or_extended_or_reordered_file_is_refused() {
        // Four full chunks: a Padmé length at a chunk's border.
        let size = (4 * CHUNK_BYTES) as u64;
        let file = seal(4 * CHUNK_BYTES).bytes;
        assert!(open_file(&key(), &file, size).is_ok());
        let chunk = |index: usize| {
            let start = HEADER_BYTES + index * SEALED_CHUNK_BYTES;
            &file[start..start + SEALED_CHUNK_BYTES]
        };
        let header = &file[..HEADER_BYTES];

        let two = [header, chunk(0), chunk(1)].concat();
        let swapped = [header, chunk(1), chunk(0), chunk(2), chunk(3)].concat();
        let repeated = [header, chunk(0), chunk(1), chunk(1), chunk(3)].concat();
        let last_first = [header, chunk(3), chunk(1), chunk(2), chunk(0)].concat();
        let five = [&file[..], chunk(3)].concat();
        let byte_more = [&file[..], &[0]].concat();
        let empty_chunk = [&file[..], &[0; 16]].concat();

        // The sizes whose file has that length: a matching size must not help.
        let opened = |bytes: &[u8], size: usize| open_file(&key(), bytes, size as u64);
        assert_eq!(
            opened(&two, 2 * CHUNK_BYTES),
            Err(FileError::Chunk { index: 2 })
        );
        assert_eq!(
            opened(&two, 4 * CHUNK_BYTES),
            Err(FileError::Padding { size })
        );
        assert_eq!(
            opened(&swapped, 4 * CHUNK_BYTES),
            Err(FileError::Chunk { index: 1 })
        );
        assert_eq!(
            opened(&repeated, 4 * CHUNK_BYTES),
            Err(FileError::Chunk { index: 3 })
        );
        assert_eq!(
            opened(&last_first, 4 * CHUNK_BYTES),
            Err(FileError::Chunk { index: 1 })
        );
        assert_eq!(
            opened(&five, 5 * CHUNK_BYTES),
            Err(FileError::Chunk { index: 4 })
        );
        for longer in [byte_more, empty_chunk] {
            let len_bytes = longer.len() as u64;
            assert_eq!(
                opened(&longer, 4 * CHUNK_BYTES),
                Err(FileError::Length { len_bytes })
            );
        }
    }

    #[test]
    fn padding_that_is_not_zero_or_not_padme_is_refused() {
        // 33 bytes are padded to 36.
        let padded = [&document(33)[..], &[0; 3]].concat();
        assert_eq!(
            open_file(&key(), &seal_unpadded(&padded), 33),
            Ok(document(33))
        );

        let mut hidden_byte = padded.clone();
        hidden_byte[35] = 1;
        let too_much = [&padded[..], &[0]].concat();

        let refused = Err(FileError::Padding { size: 33 });
        assert_eq!(open_file(&key(), &seal_unpadded(&hidden_byte), 33), refused);
        assert_eq!(open_file(&key(), &seal_unpadded(&too_much), 33), refused);
        assert_eq!(
            open_file(&key(), &seal_unpadded(&document(33)), 33),
            refused
        );
        for size in [0, 32, 37, u64::MAX] {
            assert_eq!(
                open_file(&key(), &seal_unpadded(&padded), size),
                Err(FileError::Padding { size })
            );
        }
    }

    #[test]
    fn padding_is_that_of_the_published_algorithm() {
        // Computed by hand from algorithm 1: E = floor(log2 L), S = floor(log2 E) + 1.
        for (len, padded) in [
            (0, 0),
            (1, 1),
            (2, 2),
            (8, 8),
            (9, 10),
            (33, 36),
            (100, 104),
            (1_000, 1_024),
            (65_537, 67_584),
            (3_000_000, 3_014_656),
        ] {
            assert_eq!(padded_len(len), padded, "{len}");
        }
        for len in 1..5_000 {
            let padded = padded_len(len);
            assert!(padded >= len && (padded - len) * 100 <= len * 12);
            assert_eq!(padded_len(padded), padded);
        }
        assert_eq!(padded_len(u64::MAX), u64::MAX);
        assert_eq!(sealed_len(u64::MAX), u64::MAX);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(32))]

        #[test]
        fn no_bytes_and_no_size_open_or_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
            size in proptest::num::u64::ANY,
        ) {
            let with_header = [&seal(0).bytes[..HEADER_BYTES], &bytes].concat();

            proptest::prop_assert!(open_file(&key(), &bytes, size).is_err());
            proptest::prop_assert!(open_file(&key(), &with_header, size).is_err());
        }

        #[test]
        fn every_length_has_a_file_of_the_length_foretold(size in 0..200_000_usize) {
            let file = seal_file(&key(), &NONCE_OF_TEST, &vec![1; size]).bytes;

            proptest::prop_assert_eq!(file.len() as u64, sealed_len(size as u64));
            proptest::prop_assert!(chunk_count(file.len() as u64).is_some());
        }
    }
}
