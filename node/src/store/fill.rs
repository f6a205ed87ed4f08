//! Fills an index from the journal at start.

use chartmesh_core::{
    ports::Row,
    records::{Head, Log, Record, StoreError},
};

use super::{
    DirDisk, RowsOf,
    watch::{self, Index},
};

/// Rows gathered before they are put in place.
const FILL_ROWS: usize = 2_000;

/// Puts the rows of records that the index has not seen into it.
pub(super) struct Fill<'a> {
    index: &'a Index,
    rows: RowsOf,
    applied: u64,
    waiting: Vec<Row>,
    outcome: Result<(), StoreError>,
}

impl<'a> Fill<'a> {
    /// Starts behind a position.
    pub(super) fn new(index: &'a Index, rows: RowsOf, applied: u64) -> Self {
        Self {
            index,
            rows,
            applied,
            waiting: Vec::new(),
            outcome: Ok(()),
        }
    }

    /// Takes the next record.
    pub(super) fn record(&mut self, record: &Record) {
        if record.position <= self.applied || self.outcome.is_err() {
            return;
        }
        self.waiting.extend((self.rows)(record));
        if self.waiting.len() >= FILL_ROWS {
            // The mark stays: these rows are put in place once more if the start is cut short.
            self.outcome = self.index.apply(std::mem::take(&mut self.waiting), None);
        }
    }

    /// With a good journal the index has then reached its head; otherwise it claims nothing more.
    pub(super) fn finish(self, head: Head, good: bool) -> Result<(), StoreError> {
        self.outcome?;
        if head.position <= self.applied {
            return Ok(());
        }
        self.index.apply(self.waiting, good.then_some(head))
    }
}

/// An index in memory, filled from the whole journal.
pub(super) fn in_memory(
    log: &Log<DirDisk>,
    rows: RowsOf,
    genesis: Head,
) -> Result<Index, StoreError> {
    let index = watch::in_memory(&log.keys().rows(), genesis)?;
    let mut fill = Fill::new(&index, rows, 0);
    log.verify(&mut |record| fill.record(record))?;
    fill.finish(log.head(), true)?;
    Ok(index)
}
