//! The engine sled, and what it takes to keep a promise on it.
//!
//! Its `flush` does not sync what it wrote (`storage.md`, spacejam/sled#1452), so a barrier syncs every
//! file of the directory itself. Values stay under the size from which it would write blobs.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use ::sled::{
    Config, Db, Mode, Tree,
    transaction::{TransactionError, Transactional as _},
};
use chartmesh_core::ports::Table;

use super::{
    dir,
    engine::{Engine, EngineError, Pair, Write},
};

/// The journal is in memory as state already; the index needs little.
const CACHE_BYTES: u64 = 16 << 20;
const FLUSH_EVERY_MS: u64 = 2_000;

/// An open sled database with the eight tables.
pub(super) struct SledEngine {
    folder: PathBuf,
    trees: Vec<Tree>,
    /// Last, so that it is closed after its trees.
    db: Db,
}

impl SledEngine {
    /// Opens or makes the database in a folder.
    pub(super) fn open(folder: &Path) -> Result<Self, EngineError> {
        let db = Config::new()
            .path(folder)
            .mode(Mode::LowSpace)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .open()
            .map_err(|error| told(&error))?;
        let trees = Table::ALL
            .into_iter()
            .map(|table| db.open_tree(table.name()).map_err(|error| told(&error)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            folder: folder.to_owned(),
            trees,
            db,
        })
    }

    fn tree(&self, table: Table) -> &Tree {
        &self.trees[number(table)]
    }
}

impl Engine for SledEngine {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let value = self.tree(table).get(key).map_err(|error| told(&error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan<'a>(
        &'a self,
        table: Table,
        prefix: &[u8],
    ) -> Box<dyn Iterator<Item = Result<Pair, EngineError>> + 'a> {
        Box::new(self.tree(table).scan_prefix(prefix).map(|pair| {
            pair.map(|(key, value)| (key.to_vec(), value.to_vec()))
                .map_err(|error| told(&error))
        }))
    }

    fn apply(&self, writes: Vec<Write>) -> Result<(), EngineError> {
        let applied = self.trees[..].transaction(|trees| {
            for write in &writes {
                trees[number(write.table)].insert(write.key.as_slice(), write.value.as_slice())?;
            }
            Ok::<(), ::sled::transaction::ConflictableTransactionError<()>>(())
        });
        match applied {
            Ok(()) => Ok(()),
            Err(TransactionError::Storage(error)) => Err(told(&error)),
            Err(TransactionError::Abort(())) => Err(EngineError::Failed),
        }
    }

    fn barrier(&self) -> Result<(), EngineError> {
        self.db.flush().map_err(|error| told(&error))?;
        sync_files(&self.folder).map_err(|error| told(&error.into()))
    }
}

/// Files first, then the folder that names them.
fn sync_files(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_files(&entry.path())?;
        } else {
            match File::open(entry.path()) {
                Ok(file) => file.sync_all()?,
                // Snapshots come and go.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    dir::sync_folder(folder)
}

fn number(table: Table) -> usize {
    match table {
        Table::Meta => 0,
        Table::Member => 1,
        Table::Patient => 2,
        Table::Resource => 3,
        Table::Document => 4,
        Table::Consent => 5,
        Table::Handle => 6,
        Table::Disclosure => 7,
    }
}

fn told(error: &::sled::Error) -> EngineError {
    match error {
        ::sled::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            EngineError::Full
        }
        // `flock` of the file `db` is taken; sled keeps the text of the error and not its kind.
        ::sled::Error::Io(error)
            if error.kind() == std::io::ErrorKind::WouldBlock
                || error.to_string().contains("WouldBlock") =>
        {
            EngineError::Busy
        }
        ::sled::Error::CollectionNotFound(_)
        | ::sled::Error::Unsupported(_)
        | ::sled::Error::ReportableBug(_)
        | ::sled::Error::Io(_)
        | ::sled::Error::Corruption { .. } => EngineError::Failed,
    }
}
