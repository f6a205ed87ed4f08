//! `audit/leaves`: the leaf hash of every audit record, one after the other, for proofs.
//!
//! Derived from the journal and written at leisure, so it may be short of it. It may never differ
//! from it, or have more: the file is then left as it is, for whoever investigates.

use chartmesh_core::records::{Disk, StoreError};

use super::DirDisk;

const NAME: &str = "audit/leaves";
const LEAF_BYTES: usize = 32;
/// Leaves read at a time.
const CHUNK_LEAVES: usize = 4_096;

/// How the file stands to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// As far as it goes it is what the journal says.
    Agree,
    /// It differs from this leaf on, counted from 0.
    Differ {
        /// Which leaf.
        index: u64,
    },
    /// It has leaves of records that the journal does not have.
    Beyond {
        /// How many the journal has.
        records: u64,
    },
}

/// Compares the file with the leaves of the journal, as they come by.
pub(super) struct Comparison {
    disk: DirDisk,
    file_bytes: u64,
    seen: u64,
    chunk: Vec<u8>,
    chunk_start: u64,
    missing: Vec<[u8; LEAF_BYTES]>,
    differs: Option<u64>,
}

impl Comparison {
    /// Starts before the first leaf.
    pub(super) fn new(disk: DirDisk) -> Result<Self, StoreError> {
        Ok(Self {
            file_bytes: disk.len(NAME)?.unwrap_or(0),
            disk,
            seen: 0,
            chunk: Vec::new(),
            chunk_start: 0,
            missing: Vec::new(),
            differs: None,
        })
    }

    /// Takes the next leaf of the journal.
    pub(super) fn leaf(&mut self, leaf: [u8; LEAF_BYTES]) -> Result<(), StoreError> {
        let index = self.seen;
        self.seen += 1;
        let offset = index * LEAF_BYTES as u64;
        if offset + LEAF_BYTES as u64 > self.file_bytes {
            self.missing.push(leaf);
            return Ok(());
        }
        let at = match usize::try_from(offset - self.chunk_start) {
            Ok(at) if at + LEAF_BYTES <= self.chunk.len() => at,
            _ => {
                self.chunk = self.disk.read(NAME, offset, CHUNK_LEAVES * LEAF_BYTES)?;
                self.chunk_start = offset;
                0
            }
        };
        if self.differs.is_none() && self.chunk.get(at..at + LEAF_BYTES) != Some(&leaf[..]) {
            self.differs = Some(index);
        }
        Ok(())
    }

    /// The outcome, when the journal has no more.
    pub(super) fn finish(self) -> (Leaves, LeafFile) {
        let leaves = match self.differs {
            Some(index) => Leaves::Differ { index },
            None if self.file_bytes / LEAF_BYTES as u64 > self.seen => {
                Leaves::Beyond { records: self.seen }
            }
            None => Leaves::Agree,
        };
        let whole = self.file_bytes - self.file_bytes % LEAF_BYTES as u64;
        let file = LeafFile {
            disk: self.disk,
            waiting: self.missing,
            cut_at: (whole < self.file_bytes).then_some(whole),
            kept_up: leaves == Leaves::Agree,
        };
        (leaves, file)
    }
}

/// Keeps the file up with the journal.
pub(super) struct LeafFile {
    disk: DirDisk,
    waiting: Vec<[u8; LEAF_BYTES]>,
    /// Where part of a leaf begins that a crash left at the end.
    cut_at: Option<u64>,
    kept_up: bool,
}

impl LeafFile {
    /// Takes a leaf, in memory.
    pub(super) fn push(&mut self, leaf: [u8; LEAF_BYTES]) {
        if self.kept_up {
            self.waiting.push(leaf);
        }
    }

    /// Writes what waits, durably. After an error the file is left alone until the next start.
    pub(super) fn write(&mut self) -> Result<(), StoreError> {
        if !self.kept_up || self.waiting.is_empty() {
            return Ok(());
        }
        let written = self.try_write();
        match written {
            Ok(()) => self.waiting.clear(),
            Err(_) => {
                self.kept_up = false;
                self.waiting = Vec::new();
            }
        }
        written
    }

    fn try_write(&mut self) -> Result<(), StoreError> {
        if let Some(whole) = self.cut_at.take() {
            let kept = self.disk.list("aside/")?.len();
            self.disk
                .set_aside(NAME, whole, &format!("aside/leaves-{whole}-{kept}"))?;
        }
        self.disk.append(NAME, self.waiting.as_flattened())?;
        self.disk.sync(NAME)
    }
}
