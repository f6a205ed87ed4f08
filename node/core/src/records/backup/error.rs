//! Why a backup cannot be made or read.

use crate::{records::StoreError, types::Code};

/// Why a backup cannot be made or read. Nothing was written anywhere but into the backup itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// The file does not begin as a backup does.
    #[error("this file is no backup")]
    NoBackup,
    /// The format is newer than this program.
    #[error("backup format {found} is newer than this program knows")]
    TooNew {
        /// What the file says.
        found: u8,
    },
    /// It was made for another recovery sheet.
    #[error("this backup belongs to another recovery sheet")]
    OtherSheet,
    /// Bytes are missing, or are not those that were written.
    #[error("the backup was altered or is not whole, at or behind byte {offset}")]
    Altered {
        /// Where it stops being what was written.
        offset: u64,
    },
    /// It is what was written, and yet no store.
    #[error("the backup does not hold what brings a node back")]
    Contents,
    /// What the store, or the disk under either, says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::NoBackup | Self::Contents => Code::BackupMalformed,
            Self::TooNew { .. } => Code::FormatTooNew,
            Self::OtherSheet => Code::RecoverySheet,
            Self::Altered { .. } => Code::BackupAltered,
            Self::Store(error) => error.code(),
        }
    }
}
