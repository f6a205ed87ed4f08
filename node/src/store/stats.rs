//! What a store tells of itself.

/// Figures for `status` and `doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of all journal files.
    pub journal_bytes: u64,
    /// Bytes of all sealed document files.
    pub files_bytes: u64,
    /// The last record on the disk.
    pub position: u64,
    /// The last record that the index follows.
    pub indexed: u64,
    /// Whether the index stopped following.
    pub is_index_broken: bool,
    /// Syncs of the journal since start.
    pub syncs: u64,
    /// Batches that wait for the journal.
    pub waiting: u64,
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Bytes that are never written.
    pub reserve_bytes: u64,
    /// Files put aside after a torn write.
    pub aside: u64,
}
