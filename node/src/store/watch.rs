//! Opens the index under a watchdog: damaged files make sled spin for ever, panic, or complain.
//!
//! Whatever it is, the folder is put aside under another name and an empty index takes its place,
//! to be filled from the journal. Nothing is deleted.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use chartmesh_core::records::{Head, RowSeal, StoreError};

use super::{
    dir,
    engine::{Engine, EngineError},
    index::SealedIndex,
    memory::MemoryEngine,
    sled::SledEngine,
};

/// Longest time without a sign of life (`reliability.md` G4: no hang over 10 s).
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(8);
/// Attempts while an earlier handle of this process is being closed by the engine's threads.
const BUSY_TRIES: u32 = 40;
const BUSY_WAIT: Duration = Duration::from_millis(50);

/// An index over whichever engine it has.
pub(super) type Index = SealedIndex<Arc<dyn Engine>>;

/// What became of the index at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexState {
    /// It was as it was left.
    Kept,
    /// There was none.
    Made,
    /// It was put aside as `index.bad-<n>` and is filled anew.
    Replaced {
        /// The number in its name.
        aside: u32,
    },
    /// None can be had on this disk; it is in memory only.
    InMemory,
}

/// Why a watched job brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// No sign of life for too long; its thread is left behind.
    Silent,
    /// It panicked, or no thread was to be had.
    Panicked,
}

/// Runs a job on a thread of its own and gives it up when it shows no life for `silence_max`.
pub(super) fn watched<T: Send + 'static>(
    silence_max: Duration,
    job: impl FnOnce(&dyn Fn()) -> T + Send + 'static,
) -> Result<T, Stopped> {
    let beats = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = mpsc::sync_channel(1);
    let counted = Arc::clone(&beats);
    thread::Builder::new()
        .name("index-open".to_owned())
        .spawn(move || {
            let value = job(&|| {
                counted.fetch_add(1, Ordering::Relaxed);
            });
            // Nobody listens any more where the watchdog gave up.
            let _given_up = sender.send(value);
        })
        .map_err(|_| Stopped::Panicked)?;
    let mut seen = 0;
    loop {
        match receiver.recv_timeout(silence_max) {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Disconnected) => return Err(Stopped::Panicked),
            Err(RecvTimeoutError::Timeout) => {
                let now = beats.load(Ordering::Relaxed);
                if now == seen {
                    return Err(Stopped::Silent);
                }
                seen = now;
            }
        }
    }
}

/// Opens the index of a node's directory, or puts it aside and begins an empty one.
///
/// # Errors
/// [`StoreError::FormatTooNew`]; such an index is no damage and stays where it is.
pub(super) fn open_index(
    root: &Path,
    seal: &RowSeal,
    genesis: Head,
    silence_max: Duration,
) -> Result<(Index, IndexState), StoreError> {
    let folder = root.join("index");
    let there = folder.exists();
    let opened = attempt(&folder, seal, genesis, silence_max);
    if let Ok(index) = opened {
        let state = if there {
            IndexState::Kept
        } else {
            IndexState::Made
        };
        return Ok((index, state));
    }
    if let Err(error @ StoreError::FormatTooNew { .. }) = opened {
        return Err(error);
    }
    let replaced = put_aside(root, &folder).and_then(|aside| {
        let index = attempt(&folder, seal, genesis, silence_max)?;
        Ok((index, IndexState::Replaced { aside }))
    });
    match replaced {
        Ok(replaced) => Ok(replaced),
        Err(_) => Ok((in_memory(seal, genesis)?, IndexState::InMemory)),
    }
}

/// An empty index that touches no disk.
pub(super) fn in_memory(seal: &RowSeal, genesis: Head) -> Result<Index, StoreError> {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
    SealedIndex::open(engine, seal.clone(), genesis, &|| {})
}

fn attempt(
    folder: &Path,
    seal: &RowSeal,
    genesis: Head,
    silence_max: Duration,
) -> Result<Index, StoreError> {
    let (folder, seal) = (folder.to_owned(), seal.clone());
    let opened = watched(silence_max, move |alive| {
        let engine: Arc<dyn Engine> = Arc::new(open_sled(&folder, alive)?);
        SealedIndex::open(engine, seal, genesis, alive)
    });
    opened.unwrap_or(Err(StoreError::Failed))
}

fn open_sled(folder: &PathBuf, alive: &dyn Fn()) -> Result<SledEngine, StoreError> {
    if !folder.exists() {
        let made = DirBuilder::new().mode(0o700).create(folder);
        made.map_err(|error| dir::store_error(&error))?;
    }
    let mut tries = 0;
    loop {
        match SledEngine::open(folder) {
            Ok(engine) => return Ok(engine),
            Err(EngineError::Busy) if tries < BUSY_TRIES => {
                tries += 1;
                alive();
                thread::sleep(BUSY_WAIT);
            }
            Err(EngineError::Full) => return Err(StoreError::Full),
            Err(EngineError::Busy | EngineError::Failed) => return Err(StoreError::Failed),
        }
    }
}

fn put_aside(root: &Path, folder: &Path) -> Result<u32, StoreError> {
    let number = (1..=u32::MAX)
        .find(|number| !root.join(format!("index.bad-{number}")).exists())
        .ok_or(StoreError::Failed)?;
    fs::rename(folder, root.join(format!("index.bad-{number}")))
        .and_then(|()| dir::sync_folder(root))
        .map_err(|error| dir::store_error(&error))?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn a_job_that_hangs_is_given_up_and_one_that_lives_is_not() {
        let (release, held) = mpsc::channel::<()>();

        let hung = watched(SHORT, move |_| held.recv().is_ok());
        let slow = watched(Duration::from_secs(60), |alive| {
            alive();
            7
        });

        assert_eq!(hung, Err(Stopped::Silent));
        assert_eq!(slow, Ok(7));
        drop(release);
    }

    #[test]
    fn a_sign_of_life_buys_time() {
        let silence_max = Duration::from_millis(200);

        let lived = watched(silence_max, move |alive| {
            let start = std::time::Instant::now();
            while start.elapsed() < 3 * silence_max {
                alive();
            }
        });

        assert_eq!(lived, Ok(()));
    }

    #[test]
    fn a_job_that_panics_is_no_panic_here() {
        let stopped = watched(SHORT, |_| {
            std::panic::resume_unwind(Box::new("as sled does"));
        });

        assert_eq!(stopped, Err::<(), _>(Stopped::Panicked));
    }
}
