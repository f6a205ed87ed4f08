//! An engine that keeps everything in memory: for tests, and for a disk too full for an index.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use chartmesh_core::ports::Table;

use super::engine::{Engine, EngineError, Pair, Write};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Tables in memory.
#[derive(Default)]
pub struct MemoryEngine {
    tables: RwLock<BTreeMap<Table, Rows>>,
}

impl Engine for MemoryEngine {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        Ok(tables.get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan<'a>(
        &'a self,
        table: Table,
        prefix: &[u8],
    ) -> Box<dyn Iterator<Item = Result<Pair, EngineError>> + 'a> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let found: Vec<_> = tables
            .get(&table)
            .into_iter()
            .flat_map(|rows| rows.range(prefix.to_vec()..))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| Ok((key.clone(), value.clone())))
            .collect();
        Box::new(found.into_iter())
    }

    fn apply(&self, writes: Vec<Write>) -> Result<(), EngineError> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for write in writes {
            let rows = tables.entry(write.table).or_default();
            rows.insert(write.key, write.value);
        }
        Ok(())
    }

    fn barrier(&self) -> Result<(), EngineError> {
        Ok(())
    }
}
