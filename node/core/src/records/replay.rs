//! Reads what the journal has: one record by its place, or everything anew.

use bytes::Bytes;

use super::{
    Disk, Keyring, Place, Record, RecordKind, StoreError,
    frame::{self, Head, RawRecord},
    scan::{Flaw, Frame, Scan},
};
use crate::types::Timestamp;

/// What reading everything anew found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records hold, from the first.
    pub records: u64,
    /// Chain after the last of them.
    pub chain: [u8; 32],
    /// Leaf hashes of the records of kind [`RecordKind::Audit`], in order.
    pub leaves: Vec<[u8; 32]>,
    /// The position from which nothing can be vouched for.
    pub first_bad: Option<u64>,
}

/// Reads one record by its place, from any handle of the same disk.
///
/// # Errors
/// [`StoreError::Integrity`] where other bytes lie there; what the disk says.
pub fn read_record<D: Disk>(
    disk: &D,
    keyring: &Keyring,
    place: Place,
) -> Result<Record, StoreError> {
    let flaw = StoreError::Integrity {
        position: place.offset,
    };
    let bytes = disk.read(
        &frame::file_name(place.file),
        place.offset,
        place.len as usize,
    )?;
    let raw = RawRecord::read(&bytes)
        .filter(|raw| raw.bytes.len() == place.len as usize)
        .ok_or(flaw)?;
    let key = keyring.key(raw.scope.key_id());
    raw.open(&keyring.store_id(), key.as_ref(), place.file, place.offset)
}

/// Reads one record by its place, sealed as it lies: what its leaf hash is of.
///
/// # Errors
/// [`StoreError::Integrity`] where no record of that length lies there; what the disk says.
pub fn read_record_bytes<D: Disk>(disk: &D, place: Place) -> Result<Bytes, StoreError> {
    let name = frame::file_name(place.file);
    let bytes = disk.read(&name, place.offset, place.len as usize)?;
    let is_whole = RawRecord::read(&bytes).is_some_and(|raw| raw.bytes.len() == bytes.len());
    if !is_whole || bytes.len() != place.len as usize {
        return Err(StoreError::Integrity {
            position: place.offset,
        });
    }
    Ok(bytes.into())
}

/// Reads the journal anew up to a head that is known to be on the disk, opens every record whose key
/// is there, and compares. `on_record` sees each good one.
///
/// # Errors
/// [`StoreError::Failed`], [`StoreError::FormatTooNew`]; changed bytes are a finding, not an error.
pub fn verify<D: Disk>(
    disk: &D,
    keyring: &Keyring,
    until: Head,
    on_record: &mut dyn FnMut(&Record),
) -> Result<Verified, StoreError> {
    let store_id = keyring.store_id();
    let mut scan = Scan::new(disk, &store_id)?;
    let mut replay = Replay::new(keyring, &store_id, Some(until));
    let mut head = scan.head();
    let mut leaves = Vec::new();
    let mut first_bad = None;
    while head.position < until.position {
        let step = scan.next().and_then(|frame| {
            let Some(frame) = frame else {
                return Err(Flaw::Store(StoreError::Integrity {
                    position: head.position + 1,
                }));
            };
            Ok(replay.frame(&frame)?)
        });
        match step {
            Ok(records) => {
                let audit = records
                    .iter()
                    .filter(|record| record.kind == RecordKind::Audit);
                leaves.extend(audit.map(|record| record.leaf));
                head = scan.head();
                records.iter().for_each(&mut *on_record);
            }
            Err(Flaw::Store(StoreError::Integrity { position })) => {
                first_bad = Some(position);
                break;
            }
            Err(Flaw::Torn { .. }) => {
                first_bad = Some(head.position + 1);
                break;
            }
            Err(Flaw::Store(error)) => return Err(error),
        }
    }
    Ok(Verified {
        records: head.position,
        chain: head.chain,
        leaves,
        first_bad,
    })
}

/// Opens the records of frames whose chain holds.
pub(super) struct Replay<'a> {
    keyring: &'a Keyring,
    store_id: &'a [u8; 16],
    applied: Option<Head>,
    /// Time of the last record.
    pub(super) time: Timestamp,
    /// Records whose key is gone.
    pub(super) unreadable: u64,
}

impl<'a> Replay<'a> {
    /// Starts before the first record; where `applied` is reached, the chain must be its chain.
    pub(super) fn new(keyring: &'a Keyring, store_id: &'a [u8; 16], applied: Option<Head>) -> Self {
        Self {
            keyring,
            store_id,
            applied,
            time: Timestamp(0),
            unreadable: 0,
        }
    }

    /// All records of a frame, or none: a commit is applied whole.
    pub(super) fn frame(&mut self, frame: &Frame) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::with_capacity(frame.records.len());
        let mut time = self.time;
        for (head, place) in &frame.records {
            let flaw = StoreError::Integrity {
                position: head.position,
            };
            let raw = frame.record(*place).ok_or(flaw)?;
            let other = self
                .applied
                .is_some_and(|applied| applied.position == head.position && applied != *head);
            if other || raw.time < time {
                return Err(flaw);
            }
            time = raw.time;
            let key = self.keyring.key(raw.scope.key_id());
            records.push(raw.open(self.store_id, key.as_ref(), place.file, place.offset)?);
        }
        self.time = time;
        self.unreadable += records
            .iter()
            .filter(|record| record.body.is_none())
            .count() as u64;
        Ok(records)
    }
}
