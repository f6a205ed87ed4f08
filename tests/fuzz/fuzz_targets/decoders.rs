//! One program for all targets: `CHARTMESH_FUZZ_TARGET` names the one that runs, so that one build serves all.

#![no_main]
#![allow(
    dead_code,
    reason = "tests of hand-made inputs use more of these files"
)]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[path = "../src/asker.rs"]
mod asker;
#[path = "../src/engine.rs"]
mod engine;
#[path = "../src/import.rs"]
mod import;
#[path = "../src/node_targets.rs"]
mod node_targets;
#[path = "../src/store.rs"]
mod store;
#[path = "../src/targets.rs"]
mod targets;
#[path = "../src/words.rs"]
mod words;

static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted =
        std::env::var("CHARTMESH_FUZZ_TARGET").expect("CHARTMESH_FUZZ_TARGET names a target");
    targets::TARGETS
        .iter()
        .chain(store::TARGETS)
        .chain(engine::TARGETS)
        .chain(asker::TARGETS)
        .chain(import::TARGETS)
        .chain(node_targets::TARGETS)
        .chain(words::TARGETS)
        .find(|(name, _)| *name == wanted)
        .map(|(_, run)| *run)
        .expect("a target of that name")
});

// What a target makes once and keeps is not the first input's time.
fuzz_target!(init: RUN(&[]), |data: &[u8]| RUN(data));
