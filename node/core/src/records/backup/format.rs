//! The bytes of a backup: a header, then chunks, then nothing.
//!
//! Header: `CMBKUP\0\1` | id of the sheet 8 | encapsulated key 1120. Chunks: 64 KiB of the content, the
//! last one shorter, each sealed (XChaCha20-Poly1305) under a key that is drawn for this file and bound
//! to its whole header; the nonce is 15 zero bytes | 1 for the last chunk | its number u64be. The
//! content: parts, each kind 1 | id 16 | length u64be | bytes, in the order of [`Part`].

use crate::{
    crypto::{
        BACKUP_ENC_BYTES, RecoverySecret, SecretKey, derive,
        row::{self, OVERHEAD_BYTES},
    },
    records::{
        Head,
        frame::{Fields, NONCE_BYTES},
    },
    types::{FileId, MemberId, Timestamp},
};

use super::BackupError;

const MAGIC: &[u8; 7] = b"CMBKUP\0";
const VERSION: u8 = 1;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 8 + 8 + BACKUP_ENC_BYTES;
/// Bytes of content in a chunk.
pub(super) const CHUNK_BYTES: usize = 64 << 10;
/// Bytes of a chunk as it lies.
pub(super) const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + OVERHEAD_BYTES;
/// Kind, id, length.
pub(super) const PART_HEAD_BYTES: usize = 1 + 16 + 8;

/// What a backup begins with, in the clear.
#[derive(Clone)]
pub struct BackupHeader {
    sheet: [u8; 8],
    bytes: [u8; HEADER_BYTES],
}

impl BackupHeader {
    /// Reads the first bytes of a file.
    ///
    /// # Errors
    /// [`BackupError::NoBackup`], [`BackupError::TooNew`], [`BackupError::Altered`] where it ends in it.
    pub fn read(bytes: &[u8]) -> Result<Self, BackupError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(BackupError::NoBackup)?;
        match rest.first() {
            Some(&VERSION) => {}
            Some(&found) if found > VERSION => return Err(BackupError::TooNew { found }),
            Some(_) | None => return Err(BackupError::NoBackup),
        }
        let offset = bytes.len() as u64;
        let bytes: &[u8; HEADER_BYTES] =
            bytes.first_chunk().ok_or(BackupError::Altered { offset })?;
        let mut sheet = [0; 8];
        sheet.copy_from_slice(&bytes[8..16]);
        Ok(Self {
            sheet,
            bytes: *bytes,
        })
    }

    /// The bytes before the encapsulated key.
    pub(super) fn begin(sheet: [u8; 8]) -> Vec<u8> {
        [&MAGIC[..], &[VERSION], &sheet].concat()
    }

    /// Names the recovery sheet that opens it.
    pub fn sheet(&self) -> [u8; 8] {
        self.sheet
    }

    /// The key of the backup.
    ///
    /// # Errors
    /// [`BackupError::OtherSheet`], or [`BackupError::Altered`] where no key can be had of the header.
    pub fn key(&self, secret: &RecoverySecret) -> Result<SecretKey, BackupError> {
        if secret.lock().id() != self.sheet {
            return Err(BackupError::OtherSheet);
        }
        secret
            .backup_key(&self.bytes[16..], &self.bytes)
            .map_err(|_| BackupError::Altered { offset: 16 })
    }
}

/// What the key of a backup is used for.
pub(super) struct Keys {
    chunks: SecretKey,
    /// Stands for the key-encryption key in the keyring inside.
    pub(super) keyring: SecretKey,
}

impl Keys {
    pub(super) fn of(key: &SecretKey) -> Self {
        Self {
            chunks: derive(key, "chartmesh/1/backup-chunks"),
            keyring: derive(key, "chartmesh/1/backup-keyring"),
        }
    }

    pub(super) fn seal(&self, index: u64, place: Place, plain: &[u8]) -> Vec<u8> {
        row::seal(&self.chunks, &nonce(index, place), b"", plain)
    }

    pub(super) fn open(&self, index: u64, place: Place, sealed: &[u8]) -> Option<Vec<u8>> {
        row::open(&self.chunks, &nonce(index, place), b"", sealed).ok()
    }
}

/// Whether a chunk is the last one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Within,
    Last,
}

/// Numbers serve as nonces, since a key seals one backup only.
fn nonce(index: u64, place: Place) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[15] = u8::from(place == Place::Last);
    nonce[16..].copy_from_slice(&index.to_be_bytes());
    nonce
}

/// A part of the content. Parts stand in this order, each once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// [`About`].
    About,
    /// The keyring, under the backup's own key.
    Keyring,
    /// Who the node is, sealed as in the store but under the backup's own key.
    Identity,
    /// `config.toml`.
    Config,
    /// A journal file, by its first position.
    Journal(u64),
    /// A document file.
    File(FileId),
    /// A document file that was damaged or missing when the backup was made.
    Absent(FileId),
}

impl Part {
    /// Name of the file that [`Self::Keyring`] is in a store.
    pub(super) const KEYRING: &str = "keyring";
    /// Name of the file that [`Self::Identity`] is in a store.
    pub(super) const IDENTITY: &str = "identity";

    pub(super) fn head(self, len_bytes: u64) -> Vec<u8> {
        let mut id = [0; 16];
        let kind = match self {
            Self::About => 1,
            Self::Keyring => 2,
            Self::Identity => 3,
            Self::Config => 4,
            Self::Journal(first) => {
                id[8..].copy_from_slice(&first.to_be_bytes());
                5
            }
            Self::File(file) => {
                id = file.0;
                6
            }
            Self::Absent(file) => {
                id = file.0;
                7
            }
        };
        [&[kind][..], &id, &len_bytes.to_be_bytes()].concat()
    }

    /// Reads what [`Self::head`] wrote; none for anything else.
    pub(super) fn read(head: &[u8]) -> Option<(Self, u64)> {
        let mut fields = Fields(head);
        let [kind] = fields.take()?;
        let id: [u8; 16] = fields.take()?;
        let len_bytes = u64::from_be_bytes(fields.take()?);
        let part = match kind {
            1 => Self::About,
            2 => Self::Keyring,
            3 => Self::Identity,
            4 => Self::Config,
            5 => Self::Journal(u64::from_be_bytes(*id.last_chunk()?)),
            6 => Self::File(FileId(id)),
            7 => Self::Absent(FileId(id)),
            _ => return None,
        };
        (part.head(len_bytes) == head).then_some((part, len_bytes))
    }
}

/// What a backup is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Random id of the store.
    pub store: [u8; 16],
    /// Whose.
    pub member: MemberId,
    /// The last record in it.
    pub head: Head,
    /// When that was written; 0 where there is none.
    pub recorded: Timestamp,
    /// When the backup was made.
    pub made: Timestamp,
}

impl About {
    pub(super) const LEN: usize = 16 + 16 + 8 + 32 + 8 + 8;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        [
            &self.store[..],
            &self.member.0,
            &self.head.position.to_be_bytes(),
            &self.head.chain,
            &self.recorded.0.to_be_bytes(),
            &self.made.0.to_be_bytes(),
        ]
        .concat()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let about = Self {
            store: fields.take()?,
            member: MemberId(fields.take()?),
            head: Head {
                position: u64::from_be_bytes(fields.take()?),
                chain: fields.take()?,
            },
            recorded: Timestamp(u64::from_be_bytes(fields.take()?)),
            made: Timestamp(u64::from_be_bytes(fields.take()?)),
        };
        fields.0.is_empty().then_some(about)
    }
}
