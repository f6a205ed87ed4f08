//! What every engine must do, run over each.

use std::sync::Arc;

use chartmesh_core::ports::Table;

use super::{
    engine::{Engine, Write},
    memory::MemoryEngine,
    sled::SledEngine,
};

fn over_each(check: impl Fn(&dyn Engine)) {
    let folder = tempfile::tempdir().unwrap();
    let engines: [Arc<dyn Engine>; 2] = [
        Arc::new(MemoryEngine::default()),
        Arc::new(SledEngine::open(&folder.path().join("index")).unwrap()),
    ];
    for engine in engines {
        check(&*engine);
    }
}

fn write(table: Table, key: &[u8], value: &[u8]) -> Write {
    Write {
        table,
        key: key.to_vec(),
        value: value.to_vec(),
    }
}

fn keys(engine: &dyn Engine, table: Table, prefix: &[u8]) -> Vec<Vec<u8>> {
    let pairs = engine.scan(table, prefix);
    pairs.map(|pair| pair.unwrap().0).collect()
}

#[test]
fn a_value_reads_back_from_its_own_table_only() {
    over_each(|engine| {
        for (number, table) in Table::ALL.into_iter().enumerate() {
            engine
                .apply(vec![write(table, b"key", &[number as u8])])
                .unwrap();
        }

        for (number, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(engine.get(table, b"key"), Ok(Some(vec![number as u8])));
            assert_eq!(engine.get(table, b"other"), Ok(None));
        }
    });
}

#[test]
fn a_later_value_takes_the_place_of_an_earlier_one() {
    over_each(|engine| {
        engine
            .apply(vec![write(Table::Patient, b"key", b"one")])
            .unwrap();
        engine
            .apply(vec![write(Table::Patient, b"key", b"two")])
            .unwrap();

        assert_eq!(
            engine.get(Table::Patient, b"key"),
            Ok(Some(b"two".to_vec()))
        );
        assert_eq!(keys(engine, Table::Patient, b"").len(), 1);
    });
}

#[test]
fn a_scan_gives_the_keys_of_its_prefix_in_order() {
    over_each(|engine| {
        let keys_in = [&b"b2"[..], b"a", b"b1", b"c", b"b", b"b\xff"];
        let writes = keys_in.map(|key| write(Table::Resource, key, b"value"));
        engine.apply(writes.to_vec()).unwrap();

        let found = keys(engine, Table::Resource, b"b");

        assert_eq!(found, [&b"b"[..], b"b1", b"b2", b"b\xff"]);
        assert!(keys(engine, Table::Consent, b"").is_empty());
        assert_eq!(keys(engine, Table::Resource, b"").len(), keys_in.len());
    });
}

#[test]
fn a_batch_over_many_tables_is_there_after_a_barrier_and_a_new_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("index");
    let engine = SledEngine::open(&folder).unwrap();
    let writes = Table::ALL.map(|table| write(table, b"key", table.name().as_bytes()));
    engine.apply(writes.to_vec()).unwrap();
    engine.barrier().unwrap();
    drop(engine);

    let engine = SledEngine::open(&folder).unwrap();

    for table in Table::ALL {
        let value = table.name().as_bytes().to_vec();
        assert_eq!(engine.get(table, b"key"), Ok(Some(value)));
    }
}
