//! What an index needs of a key-value engine, and nothing more.

use std::sync::Arc;

use chartmesh_core::ports::Table;

/// Why an engine did not do what it was asked; the index is then rebuilt, so it need say no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The disk is full.
    #[error("the engine found no space")]
    Full,
    /// Another handle of this process holds the files.
    #[error("the engine's files are in use")]
    Busy,
    /// The engine failed, or found its files damaged.
    #[error("the engine failed")]
    Failed,
}

/// One value to put in place.
#[derive(Clone, PartialEq, Eq)]
pub struct Write {
    /// Which table.
    pub table: Table,
    /// Its key.
    pub key: Vec<u8>,
    /// Its sealed value.
    pub value: Vec<u8>,
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Eight tables of bytes, ordered by key.
pub trait Engine: Send + Sync + 'static {
    /// The value of a key.
    ///
    /// # Errors
    /// [`EngineError`].
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// All pairs whose key starts with a prefix, in key order, one after the other.
    ///
    /// # Errors
    /// [`EngineError`], as an item; nothing follows it.
    fn scan<'a>(
        &'a self,
        table: Table,
        prefix: &[u8],
    ) -> Box<dyn Iterator<Item = Result<Pair, EngineError>> + 'a>;

    /// Puts values in place, over all tables at once: readers, and whoever opens the files after a
    /// crash, see all of them or none.
    ///
    /// # Errors
    /// [`EngineError`].
    fn apply(&self, writes: Vec<Write>) -> Result<(), EngineError>;

    /// Returns when everything applied before is on the disk.
    ///
    /// # Errors
    /// [`EngineError`].
    fn barrier(&self) -> Result<(), EngineError>;
}

impl Engine for Arc<dyn Engine> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        (**self).get(table, key)
    }

    fn scan<'a>(
        &'a self,
        table: Table,
        prefix: &[u8],
    ) -> Box<dyn Iterator<Item = Result<Pair, EngineError>> + 'a> {
        (**self).scan(table, prefix)
    }

    fn apply(&self, writes: Vec<Write>) -> Result<(), EngineError> {
        (**self).apply(writes)
    }

    fn barrier(&self) -> Result<(), EngineError> {
        (**self).barrier()
    }
}
