//! The bytes of a journal file: its header, its commit frames, their records, the chain.
//!
//! A record's seal binds the store, its position, time, kind, scope and key, but not the chain before
//! it: so a record can be opened by its place alone, which is how a resource is read. Order and
//! completeness are the chain's part, which is verified whenever the file is read from its start.

use bytes::Bytes;
use rand_core::CryptoRng;

use super::{Draft, KeyId, Place, Record, RecordKind, Scope, StoreError};
use crate::{
    crypto::{
        SecretKey,
        row::{self, OVERHEAD_BYTES},
        sha256,
        tree::leaf_hash,
    },
    types::{PatientId, Timestamp, limits::COMMIT_MAX_BYTES},
};

/// Magic 8 | store id 16 | first position 8 | chain 32.
pub(super) const FILE_HEADER_BYTES: usize = 64;
/// Magic 4 | length of the records 4 | count 4.
pub(super) const FRAME_HEAD_BYTES: usize = 12;
/// Bytes of an XChaCha20-Poly1305 nonce (draft-irtf-cfrg-xchacha-03, section 2.3).
pub(super) const NONCE_BYTES: usize = 24;
/// Bytes of a chain value.
pub(super) const CHAIN_BYTES: usize = 32;
/// What starts a commit frame: `CMFR`.
pub(super) const FRAME_MAGIC: u32 = 0x434D_4652;

const FILE_MAGIC: &[u8; 7] = b"CMJRNL\0";
const FILE_VERSION: u8 = 1;
const CHAIN_DOMAIN: &[u8] = b"chartmesh/1/journal\0";
/// Position 8 | time 8 | kind 1 | scope 1 | key id 16: what the seal binds besides the store.
const BOUND_BYTES: usize = 34;
/// What is bound | nonce 24 | length of the ciphertext 4.
const RECORD_HEAD_BYTES: usize = BOUND_BYTES + NONCE_BYTES + 4;

/// A point of the journal: the record last seen and the chain over all up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Position of the last record; 0 before the first.
    pub position: u64,
    /// Chain value after it.
    pub chain: [u8; 32],
}

impl Head {
    /// The head of a store without records.
    pub fn genesis(store_id: &[u8; 16]) -> Self {
        Self {
            position: 0,
            chain: sha256(&[CHAIN_DOMAIN, store_id]),
        }
    }

    /// The head after one more record.
    pub(super) fn after(self, record: &[u8]) -> Self {
        Self {
            position: self.position + 1,
            chain: sha256(&[CHAIN_DOMAIN, &self.chain, record]),
        }
    }
}

/// Name of the journal file that starts with a position.
pub(super) fn file_name(first: u64) -> String {
    format!("journal/{first:020}")
}

/// Reads a name back; none for anything else that lies in the folder.
pub(super) fn file_first(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("journal/")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// The header of a file whose records follow `before`.
pub(super) fn file_header(store_id: &[u8; 16], before: Head) -> Vec<u8> {
    [
        &FILE_MAGIC[..],
        &[FILE_VERSION],
        store_id,
        &(before.position + 1).to_be_bytes(),
        &before.chain,
    ]
    .concat()
}

/// Checks that a file starts as [`file_header`] would start it.
pub(super) fn check_file_header(
    bytes: &[u8],
    store_id: &[u8; 16],
    before: Head,
) -> Result<(), StoreError> {
    let flaw = StoreError::Integrity {
        position: before.position + 1,
    };
    let Some(version) = bytes.strip_prefix(FILE_MAGIC).and_then(<[u8]>::first) else {
        return Err(flaw);
    };
    if *version > FILE_VERSION {
        return Err(StoreError::FormatTooNew {
            found: u16::from(*version),
        });
    }
    if bytes != file_header(store_id, before) {
        return Err(flaw);
    }
    Ok(())
}

/// The first bytes of a commit frame.
#[derive(Clone, Copy)]
pub(super) struct FrameHead {
    /// Bytes of all records together.
    pub(super) len_bytes: usize,
    /// How many records.
    pub(super) count: usize,
}

impl FrameHead {
    /// Reads a head; none where it is none, or claims more than a commit may have.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let magic = u32::from_be_bytes(fields.take()?);
        let len_bytes = u32::from_be_bytes(fields.take()?) as usize;
        let count = u32::from_be_bytes(fields.take()?) as usize;
        (magic == FRAME_MAGIC && len_bytes <= COMMIT_MAX_BYTES).then_some(Self { len_bytes, count })
    }

    /// Bytes of the whole frame.
    pub(super) fn frame_bytes(self) -> usize {
        FRAME_HEAD_BYTES + self.len_bytes + CHAIN_BYTES
    }
}

/// Builds a commit frame record by record.
pub(super) struct FrameWriter<'a> {
    store_id: &'a [u8; 16],
    time: Timestamp,
    file: u64,
    offset: u64,
    bytes: Vec<u8>,
    count: u32,
    head: Head,
}

impl<'a> FrameWriter<'a> {
    /// A frame that will lie at `offset` of a file and follow `before`.
    pub(super) fn new(
        store_id: &'a [u8; 16],
        before: Head,
        time: Timestamp,
        file: u64,
        offset: u64,
    ) -> Self {
        Self {
            store_id,
            time,
            file,
            offset,
            bytes: vec![0; FRAME_HEAD_BYTES],
            count: 0,
            head: before,
        }
    }

    /// Seals a draft under its key and adds it.
    pub(super) fn push(
        &mut self,
        draft: &Draft,
        key: &SecretKey,
        rng: &mut impl CryptoRng,
    ) -> Record {
        let start = self.bytes.len();
        let position = self.head.position + 1;
        let scope = match draft.scope {
            Scope::Store => 0,
            Scope::Patient(_) => 1,
        };
        self.bytes.extend_from_slice(&position.to_be_bytes());
        self.bytes.extend_from_slice(&self.time.0.to_be_bytes());
        self.bytes.extend_from_slice(&[draft.kind as u8, scope]);
        self.bytes.extend_from_slice(&draft.scope.key_id().0);
        let associated = [&self.store_id[..], &self.bytes[start..]].concat();
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let sealed = row::seal(key, &nonce, &associated, &draft.body);
        self.bytes.extend_from_slice(&nonce);
        self.bytes.extend_from_slice(&length(sealed.len()));
        self.bytes.extend_from_slice(&sealed);

        let record = &self.bytes[start..];
        self.head = self.head.after(record);
        self.count += 1;
        Record {
            position,
            time: self.time,
            kind: draft.kind,
            scope: draft.scope,
            leaf: leaf_hash(record),
            place: Place {
                file: self.file,
                offset: self.offset + start as u64,
                len: u32::from_be_bytes(length(record.len())),
            },
            body: Some(draft.body.clone()),
        }
    }

    /// The whole frame and the head after it.
    pub(super) fn finish(mut self) -> (Vec<u8>, Head) {
        let len = length(self.bytes.len() - FRAME_HEAD_BYTES);
        self.bytes[..4].copy_from_slice(&FRAME_MAGIC.to_be_bytes());
        self.bytes[4..8].copy_from_slice(&len);
        self.bytes[8..FRAME_HEAD_BYTES].copy_from_slice(&self.count.to_be_bytes());
        self.bytes.extend_from_slice(&self.head.chain);
        (self.bytes, self.head)
    }
}

/// How many bytes of a frame a draft takes.
pub(super) fn record_bytes(draft: &Draft) -> usize {
    RECORD_HEAD_BYTES + draft.body.len() + OVERHEAD_BYTES
}

fn length(len_bytes: usize) -> [u8; 4] {
    u32::try_from(len_bytes)
        .expect("callers hold every commit under COMMIT_MAX_BYTES, far below 4 GiB")
        .to_be_bytes()
}

/// A record as it lies, before it is opened.
#[derive(Clone, Copy)]
pub(super) struct RawRecord<'a> {
    /// All of it.
    pub(super) bytes: &'a [u8],
    /// Its number.
    pub(super) position: u64,
    /// When it was committed.
    pub(super) time: Timestamp,
    /// What it is about.
    pub(super) kind: RecordKind,
    /// Whose key seals it.
    pub(super) scope: Scope,
    nonce: [u8; NONCE_BYTES],
    sealed: &'a [u8],
}

impl<'a> RawRecord<'a> {
    /// Reads the record that `bytes` start with; none where they are too few or no record.
    ///
    /// A kind of which this version knows nothing is no record: a new kind raises the version of
    /// the file.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let position = u64::from_be_bytes(fields.take()?);
        let time = Timestamp(u64::from_be_bytes(fields.take()?));
        let [kind, scope] = fields.take()?;
        let key_id = KeyId(fields.take()?);
        let nonce = fields.take()?;
        let len_bytes = u32::from_be_bytes(fields.take()?) as usize;
        let scope = match (scope, key_id) {
            (0, KeyId::STORE) => Scope::Store,
            (1, KeyId(patient)) if key_id != KeyId::STORE => Scope::Patient(PatientId(patient)),
            _ => return None,
        };
        let sealed = fields.0.get(..len_bytes)?;
        Some(Self {
            bytes: &bytes[..RECORD_HEAD_BYTES + len_bytes],
            position,
            time,
            kind: RecordKind::from_number(kind)?,
            scope,
            nonce,
            sealed,
        })
    }

    /// Opens it; the body is missing where the key is.
    ///
    /// # Errors
    /// [`StoreError::Integrity`] where the seal does not hold.
    pub(super) fn open(
        self,
        store_id: &[u8; 16],
        key: Option<&SecretKey>,
        file: u64,
        offset: u64,
    ) -> Result<Record, StoreError> {
        let body = match key {
            None => None,
            Some(key) => {
                let associated = [&store_id[..], &self.bytes[..BOUND_BYTES]].concat();
                let plain = row::open(key, &self.nonce, &associated, self.sealed);
                Some(Bytes::from(plain.map_err(|_| StoreError::Integrity {
                    position: self.position,
                })?))
            }
        };
        Ok(Record {
            position: self.position,
            time: self.time,
            kind: self.kind,
            scope: self.scope,
            leaf: self.leaf(),
            place: Place {
                file,
                offset,
                len: u32::from_be_bytes(length(self.bytes.len())),
            },
            body,
        })
    }

    /// Its leaf hash.
    pub(super) fn leaf(self) -> [u8; 32] {
        leaf_hash(self.bytes)
    }
}

/// Reads fields of fixed length from the front.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}
