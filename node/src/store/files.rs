//! Sealed document files under random names, and the part files of fetches under way.

use bytes::Bytes;
use chartmesh_core::{
    records::{Disk as _, StoreError},
    types::FileId,
};
use data_encoding::HEXLOWER;

use super::DirDisk;

/// Stores a sealed file durably.
pub(super) fn put(disk: &DirDisk, file: FileId, bytes: &[u8]) -> Result<(), StoreError> {
    disk.another().replace(&file_name(file), bytes)
}

/// Reads part of a sealed file; fewer bytes where it ends.
pub(super) fn read(
    disk: &DirDisk,
    file: FileId,
    offset: u64,
    len: usize,
) -> Result<Bytes, StoreError> {
    disk.read(&file_name(file), offset, len).map(Bytes::from)
}

/// Removes a sealed file.
pub(super) fn remove(disk: &DirDisk, file: FileId) -> Result<(), StoreError> {
    disk.another().remove(&file_name(file))
}

/// Adds to a part file.
pub(super) fn append_part(disk: &DirDisk, part: [u8; 32], bytes: &[u8]) -> Result<(), StoreError> {
    disk.another().append(&part_name(part), bytes)
}

/// Reads a whole part file.
pub(super) fn read_part(disk: &DirDisk, part: [u8; 32]) -> Result<Option<Bytes>, StoreError> {
    let name = part_name(part);
    let Some(len) = disk.len(&name)? else {
        return Ok(None);
    };
    let len = usize::try_from(len).map_err(|_| StoreError::TooLarge)?;
    disk.read(&name, 0, len)
        .map(|bytes| Some(Bytes::from(bytes)))
}

/// Removes a part file.
pub(super) fn remove_part(disk: &DirDisk, part: [u8; 32]) -> Result<(), StoreError> {
    disk.another().remove(&part_name(part))
}

fn file_name(file: FileId) -> String {
    let name = HEXLOWER.encode(file.as_bytes());
    format!("files/{}/{name}", &name[..2])
}

fn part_name(part: [u8; 32]) -> String {
    format!("parts/{}", HEXLOWER.encode(&part))
}
