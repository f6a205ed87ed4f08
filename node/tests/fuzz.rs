//! The committed corpus of the fuzz targets that need this crate (`tests/fuzz`), replayed without a fuzzer.

#[path = "../../tests/fuzz/src/node_targets.rs"]
mod node_targets;

use std::{fs, path::Path, time::Instant};

#[test]
fn every_decoder_of_the_daemon_bears_its_committed_corpus() {
    for (name, run) in node_targets::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fuzz/corpus")
            .join(name);
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
