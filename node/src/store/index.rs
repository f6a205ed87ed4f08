//! The sealed index: rows by key, each bound to its place, all bound to a position of the journal.
//!
//! Beside the rows lies one of the index's own, `applied`: the journal head up to which the rows are
//! complete, how many there are, and the sum of their fingerprints. It changes with the rows in one
//! step. At start the sum is taken anew over what is there, so that a row that was dropped, or put
//! back to an older value, is found although it opens.
//!
//! Rows wait in memory, where readers find them, until [`WAITING_MAX_ROWS`] have gathered or a barrier is
//! asked for. What waited when the process ended is in the journal, behind what `applied` says.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use chartmesh_core::{
    ports::{Row, Table},
    records::{Head, Record, RowSeal, StoreError},
    types::limits::INDEX_VALUE_MAX_BYTES,
};

use super::{
    engine::{Engine, EngineError, Write},
    journal::system_rng,
};

/// The rows that a record puts into the index; what the core knows and this module does not.
pub type RowsOf = fn(&Record) -> Vec<Row>;

/// Key of the index's own row in [`Table::Meta`].
const APPLIED: &[u8] = b"applied";

/// Rows that may wait before the engine takes them: each transaction of sled costs more than the rows in it.
const WAITING_MAX_ROWS: usize = 2_000;

/// What the row `applied` says.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark {
    head: Head,
    rows: u64,
    sum: [u64; 4],
}

/// Rows by table and key, the latest of each: its revision and its value.
type Rows = BTreeMap<(Table, Vec<u8>), (u64, Vec<u8>)>;

/// What the engine has not taken yet.
struct Waiting {
    rows: Rows,
    /// The journal head up to which every row is in the engine or here.
    reached: Head,
}

/// Rows over an engine.
pub struct SealedIndex<E> {
    engine: E,
    seal: RowSeal,
    /// What the engine holds; whoever changes the engine keeps it locked meanwhile.
    mark: Mutex<Mark>,
    waiting: RwLock<Waiting>,
    broken: AtomicBool,
}

impl<E: Engine> SealedIndex<E> {
    /// Takes over an engine: reads and opens every row, and compares them with what `applied` says.
    ///
    /// `alive` is called row by row, for a watchdog.
    ///
    /// # Errors
    /// [`StoreError::Integrity`] where rows differ from what was written, [`StoreError::FormatTooNew`],
    /// [`StoreError::Failed`].
    pub fn open(
        engine: E,
        seal: RowSeal,
        genesis: Head,
        alive: &dyn Fn(),
    ) -> Result<Self, StoreError> {
        let mut seen = Mark {
            head: genesis,
            rows: 0,
            sum: [0; 4],
        };
        let mut applied = None;
        for table in Table::ALL {
            for pair in engine.scan(table, &[]) {
                alive();
                let (key, value) = pair.map_err(told)?;
                let (revision, plain) = seal.open(table.name(), &key, &value)?;
                if table == Table::Meta && key == APPLIED {
                    applied = Some(Mark::decode(revision, &plain)?);
                    continue;
                }
                seen.rows += 1;
                seen.sum = plus(seen.sum, seal.fingerprint(table.name(), &key, revision));
            }
        }
        let mark = applied.unwrap_or(seen);
        if (mark.rows, mark.sum) != (seen.rows, seen.sum) || (applied.is_none() && seen.rows > 0) {
            return Err(StoreError::Integrity { position: 0 });
        }
        Ok(Self {
            engine,
            seal,
            mark: Mutex::new(mark),
            waiting: RwLock::new(Waiting {
                rows: Rows::new(),
                reached: mark.head,
            }),
            broken: AtomicBool::new(false),
        })
    }

    /// The journal head up to which every row is here.
    pub fn applied(&self) -> Head {
        let waiting = self.waiting.read();
        waiting.unwrap_or_else(PoisonError::into_inner).reached
    }

    /// Puts rows in place; `reached` is the head up to which all rows are here afterwards.
    ///
    /// A failure breaks the index until the store is opened anew: rows and journal may disagree.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Full`], [`StoreError::TooLarge`],
    /// [`StoreError::Integrity`] where a row that is replaced does not open.
    pub fn apply(&self, rows: Vec<Row>, reached: Option<Head>) -> Result<(), StoreError> {
        if self.is_broken() {
            return Err(StoreError::Failed);
        }
        self.wait(rows, reached)
            .and_then(|count| {
                if count < WAITING_MAX_ROWS {
                    return Ok(());
                }
                self.put_waiting()
            })
            .inspect_err(|_| self.give_up())
    }

    /// Returns when everything applied is on the disk.
    ///
    /// A failure to put waiting rows in place breaks the index, as in [`Self::apply`].
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Full`], [`StoreError::Integrity`] where a row that is
    /// replaced does not open.
    pub fn barrier(&self) -> Result<(), StoreError> {
        if self.is_broken() {
            return Err(StoreError::Failed);
        }
        self.put_waiting().inspect_err(|_| self.give_up())?;
        let done = catch_unwind(AssertUnwindSafe(|| self.engine.barrier().map_err(told)));
        done.unwrap_or(Err(StoreError::Failed))
    }

    /// Refuses everything until the store is opened anew.
    pub fn give_up(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// Whether rows and journal may disagree.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Rows by their keys, in the order asked.
    ///
    /// # Errors
    /// [`StoreError::Integrity`] where one is not what was written, [`StoreError::Failed`].
    pub fn get(&self, table: Table, keys: &[Vec<u8>]) -> Result<Vec<Option<Row>>, StoreError> {
        self.read(|| {
            let row = |key: &Vec<u8>| {
                // Looked at first: a row leaves here only once the engine has it.
                if let Some(row) = self.waiting_row(table, key) {
                    return Ok(Some(row));
                }
                let value = self.engine.get(table, key).map_err(told)?;
                value
                    .map(|value| self.open_row(table, key.clone(), &value))
                    .transpose()
            };
            keys.iter().map(row).collect()
        })
    }

    /// The rows of a table whose key starts with a prefix, in key order.
    ///
    /// # Errors
    /// [`StoreError::Integrity`] where one is not what was written, [`StoreError::Failed`].
    pub fn rows(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        self.read(|| {
            // In this order, for the reason given in `get`.
            let waiting = self.waiting_rows(table, prefix);
            let mut found = BTreeMap::new();
            for pair in self.engine.scan(table, prefix) {
                let (key, value) = pair.map_err(told)?;
                if table == Table::Meta && key == APPLIED {
                    continue;
                }
                let row = self.open_row(table, key.clone(), &value)?;
                found.insert(key, row);
            }
            for row in waiting {
                // The engine may have taken this row, and a later one, since it was seen waiting.
                let later = found.get(&row.key);
                if later.is_none_or(|later| later.revision < row.revision) {
                    found.insert(row.key.clone(), row);
                }
            }
            Ok(found.into_values().collect())
        })
    }

    fn waiting_row(&self, table: Table, key: &[u8]) -> Option<Row> {
        let waiting = self.waiting.read().unwrap_or_else(PoisonError::into_inner);
        let place = (table, key.to_vec());
        let (revision, value) = waiting.rows.get(&place)?.clone();
        Some(Row {
            table,
            key: place.1,
            value,
            revision,
        })
    }

    fn waiting_rows(&self, table: Table, prefix: &[u8]) -> Vec<Row> {
        let waiting = self.waiting.read().unwrap_or_else(PoisonError::into_inner);
        let from = waiting.rows.range((table, prefix.to_vec())..);
        from.take_while(|((of, key), _)| *of == table && key.starts_with(prefix))
            .map(|((_, key), (revision, value))| Row {
                table,
                key: key.clone(),
                value: value.clone(),
                revision: *revision,
            })
            .collect()
    }

    fn read<T>(&self, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.is_broken() {
            return Err(StoreError::Failed);
        }
        catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(StoreError::Failed))
    }

    fn open_row(&self, table: Table, key: Vec<u8>, value: &[u8]) -> Result<Row, StoreError> {
        let (revision, value) = self.seal.open(table.name(), &key, value)?;
        Ok(Row {
            table,
            key,
            value,
            revision,
        })
    }

    /// Lets rows wait, and says how many do.
    fn wait(&self, rows: Vec<Row>, reached: Option<Head>) -> Result<usize, StoreError> {
        for row in &rows {
            if row.value.len() > INDEX_VALUE_MAX_BYTES {
                return Err(StoreError::TooLarge);
            }
            if row.table == Table::Meta && row.key == APPLIED {
                return Err(StoreError::Integrity {
                    position: row.revision,
                });
            }
        }
        let mut waiting = self.waiting.write().unwrap_or_else(PoisonError::into_inner);
        // Of two rows for one key the later counts.
        let rows = rows.into_iter();
        let rows = rows.map(|row| ((row.table, row.key), (row.revision, row.value)));
        waiting.rows.extend(rows);
        waiting.reached = reached.unwrap_or(waiting.reached);
        Ok(waiting.rows.len())
    }

    /// Gives the engine what waits. The engine is foreign code that is known to panic on damaged files.
    fn put_waiting(&self) -> Result<(), StoreError> {
        let put = catch_unwind(AssertUnwindSafe(|| self.put()));
        put.unwrap_or(Err(StoreError::Failed))
    }

    fn put(&self) -> Result<(), StoreError> {
        let mut held = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        let mut mark = *held;
        let mut rng = system_rng();
        let (rows, reached) = {
            let waiting = self.waiting.read().unwrap_or_else(PoisonError::into_inner);
            (waiting.rows.clone(), waiting.reached)
        };
        if rows.is_empty() && reached == mark.head {
            return Ok(());
        }
        let mut writes = Vec::with_capacity(rows.len() + 1);
        for ((table, key), (revision, value)) in &rows {
            let name = table.name();
            if let Some(before) = self.engine.get(*table, key).map_err(told)? {
                let (old, _) = self.seal.open(name, key, &before)?;
                mark.sum = minus(mark.sum, self.seal.fingerprint(name, key, old));
                mark.rows -= 1;
            }
            mark.sum = plus(mark.sum, self.seal.fingerprint(name, key, *revision));
            mark.rows += 1;
            writes.push(Write {
                table: *table,
                value: self.seal.seal(name, key, *revision, value, &mut rng),
                key: key.clone(),
            });
        }
        mark.head = reached;
        let revision = mark.head.position;
        writes.push(Write {
            table: Table::Meta,
            key: APPLIED.to_vec(),
            value: self.seal.seal(
                Table::Meta.name(),
                APPLIED,
                revision,
                &mark.encode(),
                &mut rng,
            ),
        });
        self.engine.apply(writes).map_err(told)?;
        *held = mark;
        let mut waiting = self.waiting.write().unwrap_or_else(PoisonError::into_inner);
        // What came meanwhile goes on waiting.
        waiting
            .rows
            .retain(|place, (revision, _)| rows.get(place).is_none_or(|(put, _)| put != revision));
        Ok(())
    }
}

impl Mark {
    /// u64be position | chain 32 | u64be rows | sum 32.
    fn encode(self) -> Vec<u8> {
        let mut bytes = self.head.position.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.head.chain);
        bytes.extend_from_slice(&self.rows.to_be_bytes());
        for limb in self.sum {
            bytes.extend_from_slice(&limb.to_be_bytes());
        }
        bytes
    }

    fn decode(revision: u64, bytes: &[u8]) -> Result<Self, StoreError> {
        let flaw = StoreError::Integrity { position: revision };
        let (position, rest) = bytes.split_first_chunk::<8>().ok_or(flaw)?;
        let (chain, rest) = rest.split_first_chunk::<32>().ok_or(flaw)?;
        let (rows, rest) = rest.split_first_chunk::<8>().ok_or(flaw)?;
        let sum: [u8; 32] = rest.try_into().map_err(|_| flaw)?;
        Ok(Self {
            head: Head {
                position: u64::from_be_bytes(*position),
                chain: *chain,
            },
            rows: u64::from_be_bytes(*rows),
            sum: limbs(sum),
        })
    }
}

fn limbs(bytes: [u8; 32]) -> [u64; 4] {
    let (chunks, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|limb| u64::from_be_bytes(chunks[limb]))
}

/// Sums limb by limb: each fingerprint is as good as random, so four small sums are one large one.
fn plus(sum: [u64; 4], fingerprint: [u8; 32]) -> [u64; 4] {
    let added = limbs(fingerprint);
    std::array::from_fn(|limb| sum[limb].wrapping_add(added[limb]))
}

fn minus(sum: [u64; 4], fingerprint: [u8; 32]) -> [u64; 4] {
    let taken = limbs(fingerprint);
    std::array::from_fn(|limb| sum[limb].wrapping_sub(taken[limb]))
}

fn told(error: EngineError) -> StoreError {
    match error {
        EngineError::Full => StoreError::Full,
        EngineError::Busy | EngineError::Failed => StoreError::Failed,
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use chartmesh_core::{
        crypto::SecretKey,
        records::{KeyId, Keyring, Log},
    };
    use data_encoding::HEXLOWER;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::store::{DirDisk, MemoryEngine};

    const GENESIS: Head = Head {
        position: 0,
        chain: [0; 32],
    };

    #[test]
    fn rows_read_back_with_their_revision_and_the_head_they_reach() {
        let (engine, seal) = engine();
        let index = open(&engine, &seal).unwrap();

        index
            .apply(
                vec![row(b"a1", b"one", 1), row(b"a2", b"two", 2)],
                Some(head(2)),
            )
            .unwrap();
        index
            .apply(vec![row(b"a1", b"three", 3)], Some(head(3)))
            .unwrap();
        index.barrier().unwrap();

        let again = open(&engine, &seal).unwrap();
        assert!(again.applied() == head(3));
        let rows = again.rows(Table::Patient, b"a").unwrap();
        assert!(rows == [row(b"a1", b"three", 3), row(b"a2", b"two", 2)]);
        let got = again
            .get(Table::Patient, &[b"a2".to_vec(), b"x".to_vec()])
            .unwrap();
        assert!(got == [Some(row(b"a2", b"two", 2)), None]);
        assert!(again.rows(Table::Meta, b"").unwrap().is_empty());
    }

    #[test]
    fn swapped_rows_do_not_open() {
        let (engine, seal) = engine();
        let index = open(&engine, &seal).unwrap();
        index
            .apply(
                vec![row(b"a", b"one", 1), row(b"b", b"two", 1)],
                Some(head(1)),
            )
            .unwrap();
        index.barrier().unwrap();
        assert!(index.get(Table::Patient, &[b"a".to_vec()]).is_ok());

        let [a, b] = [b"a", b"b"].map(|key| engine.get(Table::Patient, key).unwrap().unwrap());
        put(&engine, b"a", b);
        put(&engine, b"b", a);

        let flaw = Some(StoreError::Integrity { position: 1 });
        assert_eq!(index.get(Table::Patient, &[b"a".to_vec()]).err(), flaw);
        assert_eq!(index.rows(Table::Patient, b"").err(), flaw);
        assert_eq!(open(&engine, &seal).err(), flaw);
    }

    #[test]
    fn an_older_row_and_a_missing_mark_are_found_at_start() {
        let (engine, seal) = engine();
        let index = open(&engine, &seal).unwrap();
        index
            .apply(vec![row(b"a", b"one", 1)], Some(head(1)))
            .unwrap();
        index.barrier().unwrap();
        let older = engine.get(Table::Patient, b"a").unwrap().unwrap();
        index
            .apply(vec![row(b"a", b"two", 2)], Some(head(2)))
            .unwrap();
        index.barrier().unwrap();
        let newer = engine.get(Table::Patient, b"a").unwrap().unwrap();
        assert!(open(&engine, &seal).is_ok());

        put(&engine, b"a", older);
        let flaw = Some(StoreError::Integrity { position: 0 });
        assert_eq!(open(&engine, &seal).err(), flaw);

        put(&engine, b"a", newer.clone());
        assert!(open(&engine, &seal).is_ok());
        let unmarked: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        put(&unmarked, b"a", newer);
        assert_eq!(open(&unmarked, &seal).err(), flaw);
    }

    #[test]
    fn a_value_has_its_limit() {
        let (engine, seal) = engine();
        let index = open(&engine, &seal).unwrap();
        let fits = vec![0; INDEX_VALUE_MAX_BYTES];
        let large = vec![0; INDEX_VALUE_MAX_BYTES + 1];

        assert!(index.apply(vec![row(b"a", &fits, 1)], None).is_ok());
        assert_eq!(
            index.apply(vec![row(b"a", &large, 1)], None),
            Err(StoreError::TooLarge)
        );
        assert!(index.is_broken());
        assert_eq!(
            index.rows(Table::Patient, b"").err(),
            Some(StoreError::Failed)
        );
    }

    /// The hard case: a row of which the engine has an older one.
    #[test]
    fn rows_that_wait_are_read_as_those_that_the_engine_has() {
        let (engine, seal) = engine();
        let index = open(&engine, &seal).unwrap();
        let rows = vec![row(b"a1", b"one", 1), row(b"a3", b"three", 1)];
        index.apply(rows, Some(head(1))).unwrap();
        index.barrier().unwrap();
        let rows = vec![row(b"a2", b"two", 2), row(b"a3", b"later", 2)];
        index.apply(rows, Some(head(2))).unwrap();
        index
            .apply(vec![row(b"b", b"b", 3)], Some(head(3)))
            .unwrap();
        let keys = [b"a2".to_vec(), b"a3".to_vec(), b"a4".to_vec()];
        let read = || {
            let got = index.get(Table::Patient, &keys).unwrap();
            (index.rows(Table::Patient, b"a").unwrap(), got)
        };

        let waiting = read();
        let (unwritten, reached) = (engine.get(Table::Patient, b"a2"), index.applied());
        index.barrier().unwrap();
        let written = read();

        assert_eq!(unwritten, Ok(None));
        assert!(reached == head(3) && index.applied() == head(3));
        let later = row(b"a3", b"later", 2);
        let expected = [row(b"a1", b"one", 1), row(b"a2", b"two", 2), later.clone()];
        assert!(waiting.0 == expected && written.0 == expected);
        let expected = [Some(row(b"a2", b"two", 2)), Some(later), None];
        assert!(waiting.1 == expected && written.1 == expected);
    }

    #[test]
    fn what_waited_when_the_process_ended_is_behind_what_the_index_claims() {
        let (engine, seal) = engine();
        let index = open(&engine, &seal).unwrap();
        index
            .apply(vec![row(b"a", b"one", 1)], Some(head(1)))
            .unwrap();
        index.barrier().unwrap();
        index
            .apply(vec![row(b"b", b"two", 2)], Some(head(2)))
            .unwrap();
        assert!(index.applied() == head(2));
        drop(index);

        let again = open(&engine, &seal).unwrap();

        assert!(again.applied() == head(1));
        assert!(again.rows(Table::Patient, b"").unwrap() == [row(b"a", b"one", 1)]);
    }

    #[test]
    fn waiting_max_rows_are_written_without_a_barrier() {
        let (engine, seal) = engine();
        let index = open(&engine, &seal).unwrap();
        let rows = |from: usize, till: usize| -> Vec<Row> {
            let keys = (from..till).map(|number| number.to_be_bytes());
            keys.map(|key| row(&key, b"value", 1)).collect()
        };
        let written = || engine.scan(Table::Patient, b"").count();

        index
            .apply(rows(1, WAITING_MAX_ROWS), Some(head(1)))
            .unwrap();
        let before = written();
        index
            .apply(rows(WAITING_MAX_ROWS, WAITING_MAX_ROWS + 1), Some(head(2)))
            .unwrap();

        assert_eq!((before, written()), (0, WAITING_MAX_ROWS));
        assert!(open(&engine, &seal).unwrap().applied() == head(2));
    }

    #[test]
    fn an_engine_that_takes_nothing_breaks_the_index_at_the_barrier() {
        struct Full(MemoryEngine);
        impl Engine for Full {
            fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
                self.0.get(table, key)
            }
            fn scan<'a>(
                &'a self,
                table: Table,
                prefix: &[u8],
            ) -> Box<dyn Iterator<Item = Result<crate::store::engine::Pair, EngineError>> + 'a>
            {
                self.0.scan(table, prefix)
            }
            fn apply(&self, _: Vec<Write>) -> Result<(), EngineError> {
                Err(EngineError::Full)
            }
            fn barrier(&self) -> Result<(), EngineError> {
                Ok(())
            }
        }
        let engine: Arc<dyn Engine> = Arc::new(Full(MemoryEngine::default()));
        let index = open(&engine, &engine_seal()).unwrap();
        assert_eq!(index.barrier(), Ok(()));

        let waits = index.apply(vec![row(b"a", b"one", 1)], Some(head(1)));
        let refused = index.barrier();

        assert_eq!((waits, refused), (Ok(()), Err(StoreError::Full)));
        assert!(index.is_broken());
        let read = index.get(Table::Patient, &[b"a".to_vec()]);
        assert_eq!(read.err(), Some(StoreError::Failed));
    }

    /// `CHARTMESH_WRITE_VECTORS=1` writes the file where it does not exist yet.
    #[test]
    fn an_index_has_the_bytes_of_its_vector_and_reads_back() {
        let mut rng = ChaCha20Rng::from_seed([0x5e; 32]);
        let folder = tempfile::tempdir().unwrap();
        let kek = SecretKey::new([0x3e; 32]);
        let disk = DirDisk::new(folder.path());
        let log = Log::create(disk, &kek, [0x57; 16], &mut rng).unwrap();
        let (seal, genesis) = (log.keys().rows(), log.head());
        let mut mark = Mark {
            head: head(2),
            rows: 0,
            sum: [0; 4],
        };
        let mut shown = Vec::new();
        let mut sealed = |table: Table, key: &[u8], revision, value: &[u8]| {
            let bytes = seal.seal(table.name(), key, revision, value, &mut rng);
            shown.push(serde_json::json!({
                "table": table.name(),
                "key": HEXLOWER.encode(key),
                "revision": revision,
                "value": HEXLOWER.encode(value),
                "bytes": HEXLOWER.encode(&bytes),
            }));
        };
        for (key, revision, value) in [(b"a", 1, b"one"), (b"b", 2, b"two")] {
            let fingerprint = seal.fingerprint(Table::Patient.name(), key, revision);
            mark.sum = plus(mark.sum, fingerprint);
            mark.rows += 1;
            sealed(Table::Patient, key, revision, value);
        }
        sealed(Table::Meta, APPLIED, 2, &mark.encode());
        let kept = golden(&serde_json::json!({
            "store_key": HEXLOWER.encode(&log.key(KeyId::STORE).unwrap()[..]),
            "store_id": HEXLOWER.encode(&log.store_id()),
            "rows": shown,
        }));

        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        for row in kept["rows"].as_array().unwrap() {
            let bytes = |name: &str| {
                let text = row[name].as_str().unwrap().as_bytes();
                HEXLOWER.decode(text).unwrap()
            };
            let table = Table::ALL
                .into_iter()
                .find(|table| row["table"] == table.name());
            let write = Write {
                table: table.unwrap(),
                key: bytes("key"),
                value: bytes("bytes"),
            };
            engine.apply(vec![write]).unwrap();
        }
        let index = SealedIndex::open(engine, seal, genesis, &|| {}).unwrap();

        assert!(index.applied() == head(2));
        let rows = index.rows(Table::Patient, b"").unwrap();
        assert!(rows == [row(b"a", b"one", 1), row(b"b", b"two", 2)]);
    }

    fn golden(vector: &serde_json::Value) -> serde_json::Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/store-index.json");
        let text = serde_json::to_string_pretty(vector).unwrap() + "\n";
        if !path.exists() && std::env::var_os("CHARTMESH_WRITE_VECTORS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(
            kept == text,
            "the golden bytes are\n{kept}\nand ours\n{text}"
        );
        serde_json::from_str(&kept).unwrap()
    }

    fn engine() -> (Arc<dyn Engine>, RowSeal) {
        (Arc::new(MemoryEngine::default()), engine_seal())
    }

    fn engine_seal() -> RowSeal {
        let folder = tempfile::tempdir().unwrap();
        let kek = SecretKey::new([1; 32]);
        let disk = DirDisk::new(folder.path());
        Log::create(disk.another(), &kek, [2; 16], &mut system_rng()).unwrap();
        Keyring::load(&disk, &kek).unwrap().rows()
    }

    fn open(
        engine: &Arc<dyn Engine>,
        seal: &RowSeal,
    ) -> Result<SealedIndex<Arc<dyn Engine>>, StoreError> {
        SealedIndex::open(Arc::clone(engine), seal.clone(), GENESIS, &|| {})
    }

    fn put(engine: &Arc<dyn Engine>, key: &[u8], value: Vec<u8>) {
        let write = Write {
            table: Table::Patient,
            key: key.to_vec(),
            value,
        };
        engine.apply(vec![write]).unwrap();
    }

    fn row(key: &[u8], value: &[u8], revision: u64) -> Row {
        Row {
            table: Table::Patient,
            key: key.to_vec(),
            value: value.to_vec(),
            revision,
        }
    }

    fn head(position: u64) -> Head {
        Head {
            position,
            chain: [7; 32],
        }
    }
}
