//! Writing a backup out into a directory that has no store yet.

use std::{fs::File, path::Path};

use chartmesh_core::{
    crypto::SecretKey,
    records::{Backup, BackupSource, Contents, Disk, NamedFile, StoreError, check_file},
};
use zeroize::Zeroizing;

use super::{DirDisk, OpenError, files, journal::system_rng, lock::Lock};

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Writes the store that a checked backup holds, under a key of its own, and the sealed files given. All
/// of it is durable when this returns; the keyring is last, since with it the store exists.
///
/// # Errors
/// [`OpenError`]; what was written by then stays.
pub(crate) fn write_out<S: BackupSource>(
    folder: &Path,
    kek: &SecretKey,
    backup: &Backup<S>,
    contents: &Contents,
    sealed: &[(&str, Zeroizing<Vec<u8>>)],
) -> Result<(), OpenError> {
    let _lock = Lock::take(folder)?;
    let mut disk = DirDisk::new(folder);
    for (name, len_bytes) in backup.journal() {
        copy(&disk, &name, len_bytes, &|offset, len| {
            backup.read(&name, offset, len)
        })?;
    }
    for named in &contents.files {
        let read = |offset, len| backup.read_file(named.file, offset, len);
        copy(
            &disk,
            &files::file_name(named.file),
            named.sealed_size,
            &read,
        )?;
    }
    let keyring = contents.keyring.rewrapped(kek, &mut system_rng());
    for (name, plain) in sealed {
        keyring.replace_sealed(&mut disk, name, plain, &mut system_rng())?;
    }
    // One sync of the file system, since there may be a million files.
    rustix::fs::syncfs(File::open(folder)?).map_err(std::io::Error::from)?;
    keyring.put(&mut disk)?;
    Ok(())
}

/// Compares every document file in a directory with what the journal says of it.
///
/// # Errors
/// [`StoreError`] of the first that does not hold.
pub(crate) fn check_files(folder: &Path, named: &[NamedFile]) -> Result<(), StoreError> {
    let disk = DirDisk::new(folder);
    for file in named {
        let read = |offset, len| files::read(&disk, file.file, offset, len).map(Vec::from);
        check_file(file, &read)?;
    }
    Ok(())
}

fn copy(
    disk: &DirDisk,
    name: &str,
    len_bytes: u64,
    read: &dyn Fn(u64, usize) -> Result<Vec<u8>, StoreError>,
) -> Result<(), StoreError> {
    // A handle of its own keeps the file open no longer than it is written to.
    let mut disk = disk.another();
    let mut offset = 0;
    while offset < len_bytes {
        let step = (len_bytes - offset).min(COPY_BYTES as u64);
        let bytes = read(offset, step as usize)?;
        if bytes.is_empty() {
            return Err(StoreError::Missing);
        }
        disk.append(name, &bytes)?;
        offset += bytes.len() as u64;
    }
    Ok(())
}
