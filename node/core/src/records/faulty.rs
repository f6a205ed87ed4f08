//! A disk for tests: it forgets what was not synced, and fails when told to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use rand_core::Rng;

use super::{Disk, StoreError};

/// What goes wrong at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No space, and nothing was written.
    Full,
    /// No space after part of the bytes.
    FullShort,
    /// An error of the device; what a sync had to make durable is gone.
    Failed,
    /// An error of the device after part of the bytes.
    FailedShort,
}

impl Fault {
    pub(super) const ALL: [Self; 4] =
        [Self::Full, Self::FullShort, Self::Failed, Self::FailedShort];

    fn error(self) -> StoreError {
        match self {
            Self::Full | Self::FullShort => StoreError::Full,
            Self::Failed | Self::FailedShort => StoreError::Failed,
        }
    }

    fn part(self, len: usize) -> usize {
        match self {
            Self::Full | Self::Failed => 0,
            Self::FullShort | Self::FailedShort => len / 2,
        }
    }
}

#[derive(Clone, Default)]
struct File {
    bytes: Vec<u8>,
    durable: usize,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, File>,
    calls: u64,
    syncs: u64,
    fault: Option<(u64, Fault)>,
}

/// Files in memory; clones are handles of the same disk.
#[derive(Clone, Default)]
pub(super) struct FaultDisk(Arc<Mutex<State>>);

impl FaultDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Fails the n-th writing call from here on, counted from 0.
    pub(super) fn fail(&self, call: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.calls + call, fault));
    }

    /// Writing calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.state().calls
    }

    pub(super) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        self.state().files[name].bytes.clone()
    }

    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let file = state.files.get_mut(name).unwrap();
        change(&mut file.bytes);
        file.durable = file.bytes.len();
    }

    /// The same bytes on another disk, all of them durable and nothing failing.
    pub(super) fn copy(&self) -> Self {
        self.after_cut(|file| file.bytes.clone())
    }

    /// What is left when the power goes: of what was not synced any part from its start.
    pub(super) fn cut(&self, rng: &mut impl Rng) -> Self {
        self.after_cut(|file| {
            let pending = file.bytes.len() - file.durable;
            let kept = rng.next_u32() as usize % (pending + 1);
            file.bytes[..file.durable + kept].to_vec()
        })
    }

    fn after_cut(&self, mut left: impl FnMut(&File) -> Vec<u8>) -> Self {
        let files = self
            .state()
            .files
            .iter()
            .map(|(name, file)| {
                let bytes = left(file);
                let durable = bytes.len();
                (name.clone(), File { bytes, durable })
            })
            .collect();
        Self(Arc::new(Mutex::new(State {
            files,
            ..State::default()
        })))
    }
}

impl State {
    fn fault(&mut self) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        self.fault
            .filter(|(at, _)| *at == call)
            .map(|(_, fault)| fault)
    }
}

impl Disk for FaultDisk {
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut state = self.state();
        let fault = state.fault();
        let file = state.files.entry(name.to_owned()).or_default();
        let part = fault.map_or(bytes.len(), |fault| fault.part(bytes.len()));
        file.bytes.extend_from_slice(&bytes[..part]);
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }

    fn sync(&mut self, name: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        let fault = state.fault();
        state.syncs += 1;
        let file = state.files.entry(name.to_owned()).or_default();
        if fault.is_some() {
            file.bytes.truncate(file.durable);
            return Err(StoreError::Failed);
        }
        file.durable = file.bytes.len();
        Ok(())
    }

    fn read(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let state = self.state();
        let bytes = &state.files.get(name).ok_or(StoreError::Missing)?.bytes;
        let start = usize::try_from(offset).unwrap().min(bytes.len());
        let end = start.saturating_add(len).min(bytes.len());
        Ok(bytes[start..end].to_vec())
    }

    fn len(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let state = self.state();
        Ok(state.files.get(name).map(|file| file.bytes.len() as u64))
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(fault) = state.fault() {
            return Err(fault.error());
        }
        let file = File {
            bytes: bytes.to_vec(),
            durable: bytes.len(),
        };
        state.files.insert(name.to_owned(), file);
        Ok(())
    }

    fn set_aside(&mut self, name: &str, from: u64, aside: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(fault) = state.fault() {
            return Err(fault.error());
        }
        let file = state.files.get_mut(name).ok_or(StoreError::Missing)?;
        let kept = file.bytes.split_off(usize::try_from(from).unwrap());
        file.durable = file.bytes.len();
        let file = File {
            durable: kept.len(),
            bytes: kept,
        };
        state.files.insert(aside.to_owned(), file);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(fault) = state.fault() {
            return Err(fault.error());
        }
        state.files.remove(name);
        Ok(())
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let state = self.state();
        let names = state.files.keys().filter(|name| name.starts_with(prefix));
        Ok(names.cloned().collect())
    }
}
