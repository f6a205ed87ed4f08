//! Sealed document files under random names, and the part files of fetches under way.

use bytes::Bytes;
use chartmesh_core::{
    records::{Disk as _, StoreError},
    types::FileId,
};
use data_encoding::HEXLOWER;

use super::DirDisk;

/// Adds to a sealed file.
pub(super) fn append(disk: &DirDisk, file: FileId, bytes: &[u8]) -> Result<(), StoreError> {
    disk.another().append(&file_name(file), bytes)
}

/// Makes a sealed file durable, its name too.
pub(super) fn sync(disk: &DirDisk, file: FileId) -> Result<(), StoreError> {
    disk.sync_whole(&file_name(file))
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

/// Length of a part file.
pub(super) fn part_len(disk: &DirDisk, part: [u8; 32]) -> Result<Option<u64>, StoreError> {
    disk.len(&part_name(part))
}

/// Reads part of a part file; fewer bytes where it ends.
pub(super) fn read_part(
    disk: &DirDisk,
    part: [u8; 32],
    offset: u64,
    len: usize,
) -> Result<Bytes, StoreError> {
    disk.read(&part_name(part), offset, len).map(Bytes::from)
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
