//! Bad inputs: the committed corpus of every fuzz target (`tests/fuzz`), replayed without a fuzzer, and hand-made ones,
//! each with the code that refuses it.
//!
//! `CHARTMESH_WRITE_CORPUS=1 cargo test -p chartmesh-tests --test fuzz` writes seeds that are missing.

#[path = "../fuzz/src/asker.rs"]
mod asker;
#[path = "../fuzz/src/engine.rs"]
mod engine;
#[path = "../fuzz/src/import.rs"]
mod import;
#[path = "fuzz/refused/mod.rs"]
mod refused;
#[path = "fuzz/seeds.rs"]
mod seeds;
#[path = "../fuzz/src/store.rs"]
mod store;
#[path = "../fuzz/src/targets.rs"]
mod targets;
#[path = "../fuzz/src/words.rs"]
mod words;

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// What one input may take; `run.sh` asks the same of an optimised build.
const TIME_MAX: Duration = Duration::from_secs(1);

fn all() -> impl Iterator<Item = &'static targets::Run> {
    targets::TARGETS
        .iter()
        .chain(store::TARGETS)
        .chain(engine::TARGETS)
        .chain(asker::TARGETS)
        .chain(import::TARGETS)
        .chain(words::TARGETS)
}

/// Targets that need the daemon's crate, which replays them (`node/tests/fuzz.rs`).
const OF_THE_DAEMON: [&str; 5] = ["address", "admin", "config", "files", "proxy"];

#[test]
fn every_decoder_bears_its_committed_corpus() {
    for (name, run) in all() {
        // What a target makes once and keeps is not the input's time.
        run(&[]);
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for (path, bytes) in inputs {
            let began = Instant::now();
            run(&bytes);
            assert!(began.elapsed() < TIME_MAX, "{}", path.display());
        }
    }
}

/// Inputs of each target made here; a fuzzer that sees which code it reaches makes better ones.
const MUTATIONS: usize = 500;

#[test]
fn every_decoder_bears_mutations_of_its_corpus() {
    let wanted = std::env::var("CHARTMESH_FUZZ_RUNS");
    let runs = wanted.map_or(MUTATIONS, |text| text.parse().expect("a number of inputs"));
    let only = std::env::var("CHARTMESH_FUZZ_TARGET").ok();
    for (name, run) in all().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)) {
        run(&[]);
        let inputs: Vec<Vec<u8>> = corpus(name).into_iter().map(|(_, bytes)| bytes).collect();
        let seed = Sha256::digest(name.as_bytes()).into();
        let mut dice = ChaCha20Rng::from_seed(seed);
        let (mut slowest, all_began) = (Duration::ZERO, Instant::now());
        for number in 0..runs {
            let input = mutated(&mut dice, &inputs);
            let began = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&input)));
            slowest = slowest.max(began.elapsed());
            if outcome.is_err() || began.elapsed() > TIME_MAX {
                panic!("{name}, input {number}: {}", HEXLOWER.encode(&input));
            }
        }
        println!(
            "{name}: {runs} inputs in {:?}, slowest {slowest:?}",
            all_began.elapsed()
        );
    }
}

/// One of the inputs, changed in a few places.
fn mutated(dice: &mut ChaCha20Rng, inputs: &[Vec<u8>]) -> Vec<u8> {
    const EDGES: [u8; 8] = [0, 1, 0x7F, 0x80, 0xFF, b'"', b'{', b'\n'];
    let mut below = |end: usize| dice.next_u32() as usize % end.max(1);
    let mut bytes = inputs[below(inputs.len())].clone();
    for _ in 0..=below(6) {
        let (at, end) = (below(bytes.len() + 1), below(16));
        match below(8) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << below(8),
            2 if at < bytes.len() => bytes[at] = EDGES[below(EDGES.len())],
            3 => bytes.insert(at, EDGES[below(EDGES.len())]),
            4 => bytes.truncate(at),
            5 => {
                let until = (at + end).min(bytes.len());
                bytes.drain(at..until);
            }
            6 => {
                let until = (at + end).min(bytes.len());
                let again = bytes[at..until].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let other = &inputs[below(inputs.len())];
                let from = below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes.truncate(64 << 10);
    bytes
}

#[test]
fn every_signed_type_is_fuzzed() {
    let fuzzed: BTreeSet<&str> = targets::SIGNED.iter().map(|(domain, _)| *domain).collect();
    let known: BTreeSet<String> = seeds::vectors()
        .into_iter()
        .filter_map(|(_, vector)| Some(vector["domain"].as_str()?.to_owned()))
        .filter(|domain| !domain.contains("/test-"))
        .collect();

    assert!(known.len() > 20);
    let forgotten: Vec<&String> = known
        .iter()
        .filter(|domain| !fuzzed.contains(domain.as_str()))
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

#[test]
fn every_seed_is_part_of_the_corpus() {
    let write = std::env::var_os("CHARTMESH_WRITE_CORPUS").is_some();
    for (name, seeds) in seeds::seeds() {
        let known = all().any(|(known, _)| *known == name);
        assert!(known || OF_THE_DAEMON.contains(&name), "{name}");
        for seed in seeds {
            let hash = HEXLOWER.encode(&Sha256::digest(&seed)[..10]);
            let path = folder(name).join(format!("seed-{hash}"));
            if write && !path.exists() {
                fs::create_dir_all(folder(name)).expect("the corpus can be written");
                fs::write(&path, &seed).expect("the corpus can be written");
            }
            assert!(
                path.exists(),
                "{name} lacks a seed; see the head of this file"
            );
        }
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name)
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder(name)) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut inputs: Vec<_> = paths
        .map(|path| (path.clone(), fs::read(path).expect("the file can be read")))
        .collect();
    inputs.sort();
    inputs
}
