//! Why a store could not be made or opened.

use chartmesh_core::{records::StoreError, types::Code};

/// Why a store could not be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The directory holds no store.
    #[error("there is no node in this directory")]
    NotInitialised,
    /// The directory holds a store already.
    #[error("there is a node in this directory already")]
    AlreadyInitialised,
    /// Another process uses the directory.
    #[error("another process uses this directory")]
    Locked,
    /// Group or others may read what only the owner may.
    #[error("rights {mode:o} are wider than {allowed:o}")]
    Permissions {
        /// What the file or directory has.
        mode: u32,
        /// The widest that is accepted.
        allowed: u32,
    },
    /// The key file or its parameters cannot be read, or are no key.
    #[error("the key cannot be read")]
    KeyUnreadable,
    /// The system refused a file, a lock or a thread.
    #[error("the system refused: {0}")]
    System(std::io::ErrorKind),
    /// What the store itself says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    /// The stable code for our own people.
    pub fn code(self) -> Code {
        match self {
            Self::NotInitialised => Code::NotInitialised,
            Self::AlreadyInitialised => Code::AlreadyInitialised,
            Self::Locked => Code::DataDirLocked,
            Self::Permissions { .. } => Code::Permissions,
            Self::KeyUnreadable => Code::KeyRefused,
            Self::System(_) => Code::StorageFailed,
            Self::Store(error) => error.code(),
        }
    }
}

impl From<std::io::Error> for OpenError {
    fn from(error: std::io::Error) -> Self {
        match super::dir::store_error(&error) {
            StoreError::Full => Self::Store(StoreError::Full),
            _ => Self::System(error.kind()),
        }
    }
}
