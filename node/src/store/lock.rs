//! One process a directory.

use std::{fs::File, fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path};

use rustix::fs::{FlockOperation, flock};

use super::OpenError;

/// Holds the directory until it is dropped.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the directory.
    ///
    /// The kernel drops the lock with the process, however it ends.
    pub(super) fn take(folder: &Path) -> Result<Self, OpenError> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked),
            Err(errno) => Err(std::io::Error::from(errno).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();

        let first = Lock::take(folder.path()).unwrap();

        assert_eq!(Lock::take(folder.path()).err(), Some(OpenError::Locked));
        drop(first);
        assert!(Lock::take(folder.path()).is_ok());
    }
}
