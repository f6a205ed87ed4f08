//! Making a backup of a store that is in use.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    About, BackupError, BackupHeader,
    format::{CHUNK_BYTES, Keys, Part, Place},
};
use crate::{
    crypto::{BackupLock, SecretKey, chunk_count, chunk_range, tree},
    records::{
        Disk, Head, Keyring, Record, StoreError,
        frame::{self, FILE_HEADER_BYTES},
        replay::Replay,
        scan::{Flaw, Scan},
    },
    types::{DocumentId, FileId, MemberId, Timestamp},
};

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// A document file, as the journal names it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NamedFile {
    /// Its name.
    pub file: FileId,
    /// Of which document.
    pub document: DocumentId,
    /// Bytes of it.
    pub sealed_size: u64,
    /// RFC 9162 tree over header and chunks.
    pub root: [u8; 32],
    /// Until when it is kept, where it can be made anew.
    pub until: Option<Timestamp>,
}

/// Says which file a record names, if it names one.
pub type Naming = fn(&Record) -> Result<Option<NamedFile>, StoreError>;

/// Reads part of a document file; fewer bytes where it ends.
pub type ReadFile<'a> = &'a dyn Fn(FileId, u64, usize) -> Result<Vec<u8>, StoreError>;

/// What a backup is made of.
pub struct Taking<'a, D> {
    /// The store.
    pub disk: &'a D,
    /// Its keys.
    pub keyring: &'a Keyring,
    /// The document files.
    pub read_file: ReadFile<'a>,
    /// Which a record names.
    pub naming: Naming,
    /// Up to where; on the disk already.
    pub until: Head,
    /// Whose store it is.
    pub member: MemberId,
    /// The body of the `identity` file.
    pub identity: &'a [u8],
    /// `config.toml`.
    pub config: &'a [u8],
    /// When it is.
    pub now: Timestamp,
}

/// What went into a backup.
#[derive(Clone, PartialEq, Eq)]
pub struct Taken {
    /// What it is of.
    pub about: About,
    /// Its key, to read it back by.
    pub key: SecretKey,
    /// How many document files.
    pub files: u64,
    /// Documents whose file is missing or damaged, and so not in it.
    pub absent: Vec<DocumentId>,
}

impl<D: Disk> Taking<'_, D> {
    /// Writes a backup to `sink`, piece by piece. Takes memory for the names of the documents and for
    /// little else. A journal that does not hold is not backed up; a document that does not hold is
    /// left out and told.
    ///
    /// # Errors
    /// [`StoreError::Integrity`] where the journal was changed; what disk and sink say.
    pub fn write(
        &self,
        lock: &BackupLock,
        rng: &mut impl CryptoRng,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<Taken, BackupError> {
        let walked = self.walk()?;
        let flaw = |_| StoreError::Integrity { position: 0 };
        let start = BackupHeader::begin(lock.id());
        let header = |enc: &[u8]| [&start[..], enc].concat();
        let (header, key) = lock.close(rng, header).map_err(flaw)?;
        sink(&header)?;
        let mut writer = Writer {
            keys: Keys::of(&key),
            index: 0,
            waiting: Zeroizing::new(Vec::with_capacity(CHUNK_BYTES)),
            sink,
        };
        let about = About {
            store: self.keyring.store_id(),
            member: self.member,
            head: self.until,
            recorded: walked.recorded,
            made: self.now,
        };
        let keyring = self.keyring.rewrapped(&writer.keys.keyring, rng);
        writer.part(Part::About, &about.to_bytes())?;
        writer.part(Part::Keyring, &keyring.to_bytes())?;
        let identity = keyring.sealed(Part::IDENTITY, self.identity, rng);
        writer.part(Part::Identity, &identity)?;
        writer.part(Part::Config, self.config)?;
        for (first, len_bytes) in &walked.journal {
            let name = frame::file_name(*first);
            let read = |offset, len| self.disk.read(&name, offset, len);
            writer.copy(Part::Journal(*first), *len_bytes, &read)?;
        }
        let mut absent = BTreeMap::new();
        let mut files = 0;
        for named in walked.files.values() {
            match self.file(named, &mut writer)? {
                Held::Whole => files += 1,
                Held::Over => {}
                Held::Damaged => {
                    absent.insert(named.file, named.document);
                }
            }
        }
        for file in absent.keys() {
            writer.part(Part::Absent(*file), b"")?;
        }
        writer.finish()?;
        Ok(Taken {
            about,
            key,
            files,
            absent: absent.into_values().collect(),
        })
    }

    /// Reads the journal up to the position: how long each file is there, and which documents it names.
    fn walk(&self) -> Result<Walked, BackupError> {
        let store_id = self.keyring.store_id();
        let mut scan = Scan::new(self.disk, &store_id)?;
        let mut replay = Replay::new(self.keyring, &store_id, Some(self.until));
        let mut walked = Walked {
            journal: BTreeMap::from([(1, FILE_HEADER_BYTES as u64)]),
            files: BTreeMap::new(),
            recorded: Timestamp(0),
        };
        while scan.head().position < self.until.position {
            let position = scan.head().position + 1;
            let flaw = StoreError::Integrity { position };
            let frame = match scan.next() {
                Ok(Some(frame)) => frame,
                Ok(None) | Err(Flaw::Torn { .. }) => return Err(flaw.into()),
                Err(Flaw::Store(error)) => return Err(error.into()),
            };
            for record in replay.frame(&frame)? {
                if let Some(named) = (self.naming)(&record)? {
                    walked.files.insert(named.file, named);
                }
            }
            let (file, offset) = scan.place();
            walked.journal.insert(file, offset);
        }
        if scan.head() != self.until {
            let position = self.until.position;
            return Err(StoreError::Integrity { position }.into());
        }
        walked.recorded = replay.time;
        Ok(walked)
    }

    fn file(&self, named: &NamedFile, writer: &mut Writer<'_>) -> Result<Held, BackupError> {
        let part = Part::File(named.file);
        let read = |offset, len| (self.read_file)(named.file, offset, len);
        if let Some(until) = named.until {
            // It may be removed at any moment, so it is in memory before the first byte is written.
            let len = usize::try_from(named.sealed_size).map_err(|_| BackupError::Contents)?;
            let whole = if self.now < until {
                read(0, len)
            } else {
                Ok(Vec::new())
            };
            let whole = whole.unwrap_or_default();
            let piece = |offset: u64, len: usize| {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let bytes = whole.get(from..from.saturating_add(len));
                bytes.map(<[u8]>::to_vec).ok_or(StoreError::Missing)
            };
            if check_file(named, &piece).is_err() {
                return Ok(Held::Over);
            }
            writer.part(part, &whole)?;
            return Ok(Held::Whole);
        }
        // Nothing changes the file of a document once a record names it.
        if check_file(named, &read).is_err() {
            return Ok(Held::Damaged);
        }
        writer.copy(part, named.sealed_size, &read)?;
        Ok(Held::Whole)
    }
}

/// Compares a document file with what the journal says of it.
///
/// # Errors
/// [`StoreError::Integrity`], or what reading says.
pub fn check_file(
    named: &NamedFile,
    read: &dyn Fn(u64, usize) -> Result<Vec<u8>, StoreError>,
) -> Result<(), StoreError> {
    let changed = StoreError::Integrity { position: 0 };
    let chunks = chunk_count(named.sealed_size).ok_or(changed)?;
    let mut leaves = Vec::new();
    for index in 0..chunks {
        let range = chunk_range(named.sealed_size, index).ok_or(changed)?;
        let len = usize::try_from(range.end - range.start).map_err(|_| changed)?;
        leaves.push(tree::leaf_hash(&read(range.start, len)?));
    }
    if tree::root(&leaves) == named.root {
        Ok(())
    } else {
        Err(changed)
    }
}

enum Held {
    Whole,
    /// A snapshot that nobody needs, or that is gone.
    Over,
    Damaged,
}

struct Walked {
    /// First position and bytes.
    journal: BTreeMap<u64, u64>,
    files: BTreeMap<FileId, NamedFile>,
    recorded: Timestamp,
}

struct Writer<'a> {
    keys: Keys,
    index: u64,
    waiting: Zeroizing<Vec<u8>>,
    sink: &'a mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
}

impl Writer<'_> {
    fn part(&mut self, part: Part, bytes: &[u8]) -> Result<(), StoreError> {
        self.content(&part.head(bytes.len() as u64))?;
        self.content(bytes)
    }

    fn copy(
        &mut self,
        part: Part,
        len_bytes: u64,
        read: &dyn Fn(u64, usize) -> Result<Vec<u8>, StoreError>,
    ) -> Result<(), StoreError> {
        self.content(&part.head(len_bytes))?;
        let mut offset = 0;
        while offset < len_bytes {
            let step = (len_bytes - offset).min(COPY_BYTES as u64);
            let bytes = read(offset, step as usize)?;
            if bytes.len() as u64 != step {
                return Err(StoreError::Missing);
            }
            self.content(&bytes)?;
            offset += step;
        }
        Ok(())
    }

    fn content(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        while !bytes.is_empty() {
            // The last chunk is known to be it when nothing comes behind, so a full one waits.
            if self.waiting.len() == CHUNK_BYTES {
                self.chunk(Place::Within)?;
            }
            let room = (CHUNK_BYTES - self.waiting.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.waiting.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), StoreError> {
        self.chunk(Place::Last)
    }

    fn chunk(&mut self, place: Place) -> Result<(), StoreError> {
        let sealed = self.keys.seal(self.index, place, &self.waiting);
        (self.sink)(&sealed)?;
        self.index += 1;
        self.waiting.clear();
        Ok(())
    }
}
