//! A disk as byte arrays in memory, which forgets at a crash what was not synced.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use chartmesh_core::records::{Disk, StoreError};

/// What goes wrong at a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full; nothing of this write is kept.
    Full,
    /// The disk reports a failure; what was not synced before is lost later on.
    Failed,
    /// The power goes before the write has any effect.
    CrashBefore,
    /// The power goes when the write has had its effect and before anybody hears of it.
    CrashAfter,
}

#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    unsynced: Vec<u8>,
}

impl File {
    fn bytes(&self) -> Vec<u8> {
        [&self.durable[..], &self.unsynced].concat()
    }
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, File>,
    writes: u64,
    fault: Option<(u64, Fault)>,
    always_full: bool,
    off: bool,
}

/// The disk of one node; clones are the same disk, and it outlives every node that used it.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds a disk")
    }

    /// How many writes (append, sync, replace, set aside, remove) there were.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// Lets the n-th write from here on go wrong; 0 is the next one.
    pub fn fail_write(&self, nth: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.writes + nth, fault));
    }

    /// Lets every write that takes space say that there is none, or ends that.
    pub fn fill(&self, full: bool) {
        self.state().always_full = full;
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Cuts the power: of each file all that was synced stays, and of the rest `keep` bytes.
    pub fn crash(&self, keep: usize) {
        let mut state = self.state();
        state.crash(keep);
    }

    /// Turns the power on again.
    pub fn revive(&self) {
        let mut state = self.state();
        state.off = false;
        state.fault = None;
    }

    /// How many bytes of a file would survive a power cut.
    pub fn durable_len(&self, name: &str) -> u64 {
        let state = self.state();
        state
            .files
            .get(name)
            .map_or(0, |file| file.durable.len() as u64)
    }

    /// Puts other bytes in a file's place, as its owner or a thief might. No write is counted.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(file) = self.state().files.get_mut(name) {
            change(&mut file.durable);
        }
    }

    /// Everything that would survive, for canary tests and for damage.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let whole = |(name, file): (&String, &File)| (name.clone(), file.bytes());
        state.files.iter().map(whole).collect()
    }
}

impl State {
    fn crash(&mut self, keep: usize) {
        for file in self.files.values_mut() {
            let kept = keep.min(file.unsynced.len());
            let torn: Vec<u8> = file.unsynced.drain(..).take(kept).collect();
            file.durable.extend(torn);
        }
        self.off = true;
    }

    /// Counts a write and runs it, or the fault that was planned for it.
    fn write(
        &mut self,
        takes_space: bool,
        effect: impl FnOnce(&mut Self),
    ) -> Result<(), StoreError> {
        if self.off {
            return Err(StoreError::Failed);
        }
        let number = self.writes;
        self.writes += 1;
        if self.always_full && takes_space {
            return Err(StoreError::Full);
        }
        let fault = self.fault.take_if(|(planned, _)| *planned == number);
        match fault.map(|(_, fault)| fault) {
            None => {
                effect(self);
                Ok(())
            }
            Some(Fault::Full) => Err(StoreError::Full),
            Some(Fault::Failed) => Err(StoreError::Failed),
            Some(Fault::CrashBefore) => {
                self.crash(0);
                Err(StoreError::Failed)
            }
            Some(Fault::CrashAfter) => {
                effect(self);
                self.crash(0);
                Err(StoreError::Failed)
            }
        }
    }
}

impl Disk for SimDisk {
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.state().write(true, |state| {
            let file = state.files.entry(name.to_owned()).or_default();
            file.unsynced.extend_from_slice(bytes);
        })
    }

    fn sync(&mut self, name: &str) -> Result<(), StoreError> {
        self.state().write(false, |state| {
            if let Some(file) = state.files.get_mut(name) {
                let unsynced = std::mem::take(&mut file.unsynced);
                file.durable.extend(unsynced);
            }
        })
    }

    fn read(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let state = self.state();
        if state.off {
            return Err(StoreError::Failed);
        }
        let bytes = state.files.get(name).ok_or(StoreError::Missing)?.bytes();
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let until = from.saturating_add(len).min(bytes.len());
        Ok(bytes[from..until].to_vec())
    }

    fn len(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let state = self.state();
        let len = |file: &File| (file.durable.len() + file.unsynced.len()) as u64;
        Ok(state.files.get(name).map(len))
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.state().write(true, |state| {
            let file = File {
                durable: bytes.to_vec(),
                unsynced: Vec::new(),
            };
            state.files.insert(name.to_owned(), file);
        })
    }

    fn set_aside(&mut self, name: &str, from: u64, aside: &str) -> Result<(), StoreError> {
        self.state().write(true, |state| {
            let Some(file) = state.files.get_mut(name) else {
                return;
            };
            let mut whole = file.bytes();
            let cut = whole.split_off((from as usize).min(whole.len()));
            *file = File {
                durable: whole,
                unsynced: Vec::new(),
            };
            let aside_file = File {
                durable: cut,
                unsynced: Vec::new(),
            };
            state.files.insert(aside.to_owned(), aside_file);
        })
    }

    fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        self.state().write(false, |state| {
            state.files.remove(name);
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let state = self.state();
        let named = state.files.keys().filter(|name| name.starts_with(prefix));
        Ok(named.cloned().collect())
    }
}
