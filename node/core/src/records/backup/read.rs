//! Reading a backup: all of it is found to be what was written before any of it is believed.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use zeroize::Zeroizing;

use super::{
    About, BackupError, BackupHeader, NamedFile, Naming, check_file,
    format::{CHUNK_BYTES, HEADER_BYTES, Keys, PART_HEAD_BYTES, Part, Place, SEALED_CHUNK_BYTES},
};
use crate::{
    crypto::{SecretKey, Sha256, row::OVERHEAD_BYTES},
    records::{Disk, Keyring, StoreError, frame, verify},
    types::FileId,
};

/// The bytes of a backup, wherever they lie.
pub trait BackupSource {
    /// How many.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn len_bytes(&self) -> Result<u64, StoreError>;

    /// Reads some; fewer where it ends.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError>;
}

/// A backup every byte of which is as it was written. As a [`Disk`] it is the store that it was made of,
/// but for the document files, and nobody writes to it.
pub struct Backup<S> {
    source: S,
    keys: Keys,
    about: About,
    parts: BTreeMap<Part, Span>,
    len_bytes: u64,
    sha256: [u8; 32],
    held: Mutex<Option<Held>>,
}

/// A chunk that was opened, and its number.
type Held = (u64, Zeroizing<Vec<u8>>);

/// Where a part lies in the content.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    len_bytes: u64,
}

/// What a backup brings back.
pub struct Contents {
    /// Its keys, under the backup's own.
    pub keyring: Keyring,
    /// The body of the `identity` file.
    pub identity: Zeroizing<Vec<u8>>,
    /// `config.toml`.
    pub config: Vec<u8>,
    /// The document files in it.
    pub files: Vec<NamedFile>,
    /// The documents whose file was damaged or missing already.
    pub absent: Vec<NamedFile>,
}

impl<S: BackupSource> Backup<S> {
    /// Reads all of a backup and finds each byte as it was written, by a key that its header gives.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn open(
        source: S,
        key: impl FnOnce(&BackupHeader) -> Result<SecretKey, BackupError>,
    ) -> Result<Self, BackupError> {
        let len_bytes = source.len_bytes()?;
        let head = source.read(0, HEADER_BYTES)?;
        let header = BackupHeader::read(&head)?;
        let mut hash = Sha256::default();
        hash.update(&head);
        let mut backup = Self {
            source,
            keys: Keys::of(&key(&header)?),
            about: About::read(&[0; About::LEN]).ok_or(BackupError::Contents)?,
            parts: BTreeMap::new(),
            len_bytes,
            sha256: [0; 32],
            held: Mutex::default(),
        };
        let mut parts = Parts::default();
        for index in 0..backup.chunks()? {
            let sealed = backup.sealed(index)?;
            hash.update(&sealed);
            parts.content(&backup.opened(index, &sealed)?)?;
        }
        backup.parts = parts.finish()?;
        backup.sha256 = hash.finish();
        let about = backup.whole(Part::About)?;
        backup.about = About::read(&about).ok_or(BackupError::Contents)?;
        Ok(backup)
    }

    /// What it is of.
    pub fn about(&self) -> About {
        self.about
    }

    /// Bytes of it.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// SHA-256 of it.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// Finds that it brings a node back: the journal replays to the position that it is of, and every
    /// document file that it names is there and holds.
    ///
    /// # Errors
    /// [`BackupError::Contents`] where it does not; what the source says.
    pub fn check(&self, naming: Naming) -> Result<Contents, BackupError> {
        let keyring = Keyring::load(self, &self.keys.keyring).map_err(contents)?;
        let identity = keyring
            .read_sealed(self, Part::IDENTITY)
            .map_err(contents)?;
        let mut named = BTreeMap::new();
        let mut unnamed = None;
        let until = self.about.head;
        let verified = verify(self, &keyring, until, &mut |record| match naming(record) {
            Ok(Some(file)) => {
                named.insert(file.file, file);
            }
            Ok(None) => {}
            Err(error) => unnamed = Some(error),
        });
        let verified = verified.map_err(contents)?;
        let whole = verified.first_bad.is_none()
            && unnamed.is_none()
            && (verified.records, verified.chain) == (until.position, until.chain)
            && keyring.store_id() == self.about.store;
        if !whole {
            return Err(BackupError::Contents);
        }
        let (mut files, mut absent) = (Vec::new(), Vec::new());
        for file in named.values() {
            if self.parts.contains_key(&Part::Absent(file.file)) {
                absent.push(*file);
            } else if self.parts.contains_key(&Part::File(file.file)) {
                let read = |offset, len| self.read_file(file.file, offset, len);
                check_file(file, &read).map_err(contents)?;
                files.push(*file);
            } else if file.until.is_none() {
                return Err(BackupError::Contents);
            }
        }
        let held = self.parts.keys();
        let held = held.filter(|part| matches!(part, Part::File(_) | Part::Absent(_)));
        if held.count() != files.len() + absent.len() {
            return Err(BackupError::Contents);
        }
        Ok(Contents {
            keyring,
            identity,
            config: self.whole(Part::Config)?,
            files,
            absent,
        })
    }

    /// Names of the journal files in it, with their lengths.
    pub fn journal(&self) -> Vec<(String, u64)> {
        let files = self.parts.iter().filter_map(|(part, span)| match part {
            Part::Journal(first) => Some((frame::file_name(*first), span.len_bytes)),
            _ => None,
        });
        files.collect()
    }

    /// Reads part of a document file.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; what the source says.
    pub fn read_file(&self, file: FileId, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        self.read_part(Part::File(file), offset, len)
    }

    fn whole(&self, part: Part) -> Result<Vec<u8>, BackupError> {
        let span = self.parts.get(&part).ok_or(BackupError::Contents)?;
        let len = usize::try_from(span.len_bytes).map_err(|_| BackupError::Contents)?;
        Ok(self.read_part(part, 0, len)?)
    }

    fn read_part(&self, part: Part, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let span = self.parts.get(&part).ok_or(StoreError::Missing)?;
        let mut left = span.len_bytes.saturating_sub(offset).min(len as u64) as usize;
        let mut at = span.start + offset;
        let mut bytes = Vec::with_capacity(left);
        while left > 0 {
            let (index, from) = (at / CHUNK_BYTES as u64, (at % CHUNK_BYTES as u64) as usize);
            let held = self.hold(index)?;
            let chunk = held
                .as_ref()
                .map(|(_, chunk)| &chunk[from.min(chunk.len())..]);
            let chunk = chunk
                .filter(|chunk| !chunk.is_empty())
                .ok_or(StoreError::Missing)?;
            let step = chunk.len().min(left);
            bytes.extend_from_slice(&chunk[..step]);
            at += step as u64;
            left -= step;
        }
        Ok(bytes)
    }

    /// Opens a chunk and keeps it at hand, since the next question is about the same or the next.
    fn hold(&self, index: u64) -> Result<MutexGuard<'_, Option<Held>>, StoreError> {
        // What is held is whole whenever it is there, so a panic elsewhere cannot spoil it.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|(number, _)| *number != index) {
            // It opened once: whoever changed it since then did so while it was read.
            let changed = StoreError::Integrity { position: index };
            let opened = self
                .sealed(index)
                .and_then(|sealed| self.opened(index, &sealed))
                .map_err(|_| changed)?;
            *held = Some((index, opened));
        }
        Ok(held)
    }

    fn chunks(&self) -> Result<u64, BackupError> {
        let sealed = self.len_bytes.saturating_sub(HEADER_BYTES as u64);
        let rest = sealed % SEALED_CHUNK_BYTES as u64;
        if sealed == 0 || (1..=OVERHEAD_BYTES as u64).contains(&rest) {
            let offset = self.len_bytes - rest;
            return Err(BackupError::Altered { offset });
        }
        Ok(sealed.div_ceil(SEALED_CHUNK_BYTES as u64))
    }

    fn offset(index: u64) -> u64 {
        HEADER_BYTES as u64 + index * SEALED_CHUNK_BYTES as u64
    }

    fn sealed(&self, index: u64) -> Result<Vec<u8>, BackupError> {
        Ok(self.source.read(Self::offset(index), SEALED_CHUNK_BYTES)?)
    }

    fn opened(&self, index: u64, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BackupError> {
        let last = index + 1 == self.chunks()?;
        let place = if last { Place::Last } else { Place::Within };
        let opened = self.keys.open(index, place, sealed).map(Zeroizing::new);
        opened.ok_or(BackupError::Altered {
            offset: Self::offset(index),
        })
    }

    fn named(name: &str) -> Option<Part> {
        match name {
            Part::KEYRING => Some(Part::Keyring),
            Part::IDENTITY => Some(Part::Identity),
            _ => frame::file_first(name).map(Part::Journal),
        }
    }
}

/// A store inside that does not hold is a backup that was made wrong; a source that fails is none.
fn contents(error: StoreError) -> BackupError {
    match error {
        StoreError::Failed => BackupError::Store(error),
        StoreError::FormatTooNew { .. } => BackupError::Store(error),
        _ => BackupError::Contents,
    }
}

/// Takes the content apart as it comes.
#[derive(Default)]
struct Parts {
    found: BTreeMap<Part, Span>,
    head: Vec<u8>,
    at: u64,
    left: u64,
}

impl Parts {
    fn content(&mut self, mut bytes: &[u8]) -> Result<(), BackupError> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let step = self.left.min(bytes.len() as u64) as usize;
                self.left -= step as u64;
                self.at += step as u64;
                bytes = &bytes[step..];
                continue;
            }
            let step = (PART_HEAD_BYTES - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..step]);
            self.at += step as u64;
            bytes = &bytes[step..];
            if self.head.len() == PART_HEAD_BYTES {
                self.begin()?;
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), BackupError> {
        let (part, len_bytes) = Part::read(&self.head).ok_or(BackupError::Contents)?;
        let last = self.found.last_key_value().map(|(last, _)| *last);
        if last.is_some_and(|last| last >= part) {
            return Err(BackupError::Contents);
        }
        let start = self.at;
        start.checked_add(len_bytes).ok_or(BackupError::Contents)?;
        self.found.insert(part, Span { start, len_bytes });
        self.head.clear();
        self.left = len_bytes;
        Ok(())
    }

    fn finish(self) -> Result<BTreeMap<Part, Span>, BackupError> {
        if self.left > 0 || !self.head.is_empty() {
            return Err(BackupError::Contents);
        }
        Ok(self.found)
    }
}

impl<S: BackupSource> Disk for Backup<S> {
    fn append(&mut self, _: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn sync(&mut self, _: &str) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn read(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        self.read_part(Self::named(name).ok_or(StoreError::Missing)?, offset, len)
    }

    fn len(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let span = Self::named(name).and_then(|part| self.parts.get(&part));
        Ok(span.map(|span| span.len_bytes))
    }

    fn replace(&mut self, _: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn set_aside(&mut self, _: &str, _: u64, _: &str) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn remove(&mut self, _: &str) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let names = self.journal().into_iter().map(|(name, _)| name);
        Ok(names.filter(|name| name.starts_with(prefix)).collect())
    }
}
