//! The disk as bytes, and what can go wrong with it.

use crate::types::Code;

/// Why something could not be stored or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The free space is below the reserve; reading goes on.
    #[error("the store is full")]
    Full,
    /// A write or sync failed; nothing is written until the node is restarted.
    #[error("the disk failed")]
    Failed,
    /// Bytes differ from what was written.
    #[error("stored bytes differ from what was written")]
    Integrity {
        /// Journal position, file offset or row, whichever is known; 0 where none is.
        position: u64,
    },
    /// Nothing is stored under that name.
    #[error("nothing is stored there")]
    Missing,
    /// The key does not open the store, or was erased.
    #[error("the key does not open this")]
    Key,
    /// The format is newer than this program.
    #[error("format {found} is newer than this program knows")]
    FormatTooNew {
        /// What the file says.
        found: u16,
    },
    /// A batch passes a limit.
    #[error("the batch is too large")]
    TooLarge,
    /// The store takes no more writes: it stops, or an earlier write failed.
    #[error("the store takes no writes")]
    ReadOnly,
}

impl StoreError {
    /// The stable code for our own people.
    pub fn code(self) -> Code {
        match self {
            Self::Full => Code::StorageFull,
            Self::Failed | Self::ReadOnly => Code::StorageFailed,
            Self::Integrity { .. } | Self::Missing => Code::Integrity,
            Self::Key => Code::KeyRefused,
            Self::FormatTooNew { .. } => Code::FormatTooNew,
            Self::TooLarge => Code::TooLarge,
        }
    }
}

/// Named byte files under one directory; what both worlds implement and nothing more.
///
/// `append` and `write_at` may be lost until `sync` of the same name returns; `replace` is durable and
/// all or nothing when it returns. Names use `/` and lower-case ASCII; folders are made as needed.
/// After an error of `sync` the caller must not trust any earlier unsynced `append` of that name.
pub trait Disk {
    /// Adds bytes at the end of a file, making it where it is missing.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Failed`]; the file may then have any part of the bytes.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Makes everything appended to a file durable (`fdatasync`, and the directory for a new file).
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn sync(&mut self, name: &str) -> Result<(), StoreError>;

    /// Reads `len` bytes at `offset`; fewer where the file ends.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Failed`].
    fn read(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, StoreError>;

    /// Length of a file in bytes, or none where it is missing.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn len(&self, name: &str) -> Result<Option<u64>, StoreError>;

    /// Puts a file in place whole: temporary file, fsync, rename, fsync of the directory.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Failed`]; the file before, if any, is then untouched.
    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Cuts a file at a length, durably; what is cut off is first kept under `aside`.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Full`] or [`StoreError::Failed`].
    fn set_aside(&mut self, name: &str, from: u64, aside: &str) -> Result<(), StoreError>;

    /// Removes a file; none there is no error.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn remove(&mut self, name: &str) -> Result<(), StoreError>;

    /// Names that start with a prefix, sorted.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
}
