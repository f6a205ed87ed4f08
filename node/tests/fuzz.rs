//! Bad inputs: the committed corpus of the fuzz targets that need this crate (`tests/fuzz`), replayed without a fuzzer,
//! and hand-made ones, each with the code that refuses it.

#[path = "../../tests/fuzz/src/node_targets.rs"]
mod node_targets;
#[path = "fuzz/refused.rs"]
mod refused;

use std::{collections::BTreeSet, fs, path::Path, time::Instant};

use chartmesh_proto::admin::admin_server::SERVICE_NAME;

#[test]
fn every_decoder_of_the_daemon_bears_its_committed_corpus() {
    for (name, run) in node_targets::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fuzz/corpus")
            .join(name);
        // What a target makes once and keeps is not the input's time.
        run(&[]);
        let mut replayed = 0;
        for entry in fs::read_dir(folder).expect("a target has a corpus") {
            let path = entry.expect("the folder can be read").path();
            let bytes = fs::read(&path).expect("the file can be read");
            let began = Instant::now();
            run(&bytes);
            assert!(began.elapsed().as_secs() < 1, "{}", path.display());
            replayed += 1;
        }
        assert!(replayed > 0, "{name} has no corpus");
    }
}

#[test]
fn every_call_of_the_admin_service_is_fuzzed() {
    let text = include_str!("../../proto/chartmesh/v1/admin.proto");
    let calls = text.lines().filter_map(|line| {
        let call = line.trim().strip_prefix("rpc ")?;
        Some(call.split('(').next().unwrap_or_default())
    });
    let described: BTreeSet<&str> = calls.collect();

    let fuzzed: BTreeSet<&str> = node_targets::CALLS.iter().copied().collect();

    assert_eq!(SERVICE_NAME, "chartmesh.admin.v1.Admin");
    assert!(described.len() > 40);
    assert_eq!(fuzzed, described);
}
