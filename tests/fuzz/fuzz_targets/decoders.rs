//! One program for all targets: `CHARTMESH_FUZZ_TARGET` names the one that runs, so that one build serves all.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[path = "../src/engine.rs"]
mod engine;
#[cfg(feature = "node")]
#[path = "../src/node_targets.rs"]
mod node_targets;
#[cfg(not(feature = "node"))]
mod node_targets {
    pub(crate) const TARGETS: &[crate::targets::Run] = &[];
}
#[path = "../src/store.rs"]
mod store;
#[path = "../src/targets.rs"]
mod targets;

static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted =
        std::env::var("CHARTMESH_FUZZ_TARGET").expect("CHARTMESH_FUZZ_TARGET names a target");
    targets::TARGETS
        .iter()
        .chain(store::TARGETS)
        .chain(engine::TARGETS)
        .chain(node_targets::TARGETS)
        .find(|(name, _)| *name == wanted)
        .map(|(_, run)| *run)
        .expect("a target of that name")
});

fuzz_target!(|data: &[u8]| RUN(data));
