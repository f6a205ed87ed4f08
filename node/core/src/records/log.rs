//! The journal of a store: one writer, group commit, replay.
//!
//! The log is the only truth; whatever else is on the disk is a fold of it. It writes through
//! [`Disk`] alone, so that the simulated disk forgets what the real one would. After any failed
//! write or sync nobody knows what is on the disk, so the log takes no more until it is opened
//! anew and has read what is there.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    Batch, Disk, KeyId, Keyring, Place, Record, RecordKind, Recorded, StoreError,
    frame::{self, FILE_HEADER_BYTES, FrameWriter, Head, RawRecord},
    scan::{Flaw, Scan},
};
use crate::{
    crypto::SecretKey,
    types::{
        Timestamp,
        limits::{COMMIT_MAX_BYTES, COMMIT_MAX_RECORDS, JOURNAL_FILE_MAX_BYTES},
    },
};

/// What lay behind the last whole commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Clean,
    /// Part of a commit that was never acknowledged; it is kept under `aside/`.
    SetAside {
        /// How many bytes.
        bytes: u64,
    },
}

/// What opening a log found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The last good record.
    pub head: Head,
    /// What lay behind it.
    pub tail: Tail,
    /// Records whose key is gone.
    pub unreadable: u64,
    /// Why the log takes no writes, where it takes none.
    pub problem: Option<StoreError>,
}

/// What reading everything anew found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records hold, from the first.
    pub records: u64,
    /// Chain after the last of them.
    pub chain: [u8; 32],
    /// Leaf hashes of the records of kind [`RecordKind::Audit`], in order.
    pub leaves: Vec<[u8; 32]>,
    /// The position from which nothing can be vouched for.
    pub first_bad: Option<u64>,
}

/// Batches that were written and not yet synced; worth nothing until [`Log::sync`].
#[must_use = "nothing is durable before `Log::sync`"]
pub struct Pending {
    batches: Vec<(Vec<Record>, Vec<(KeyId, SecretKey)>)>,
    after: Head,
    time: Timestamp,
    file_len: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    Taken,
    Refused,
}

/// An open journal.
pub struct Log<D> {
    disk: D,
    keyring: Keyring,
    head: Head,
    time: Timestamp,
    file: u64,
    file_len: u64,
    file_max_bytes: u64,
    writes: Writes,
}

impl<D: Disk> Log<D> {
    /// Makes a store where there is none. The keyring comes last: with it, the store exists.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] where a store exists; what the disk says.
    pub fn create(
        mut disk: D,
        kek: &SecretKey,
        store_id: [u8; 16],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, StoreError> {
        if Keyring::exists(&disk)? {
            return Err(StoreError::ReadOnly);
        }
        let head = Head::genesis(&store_id);
        disk.replace(&frame::file_name(1), &frame::file_header(&store_id, head))?;
        let keyring = Keyring::create(&mut disk, kek, store_id, rng)?;
        Ok(Self {
            disk,
            keyring,
            head,
            time: Timestamp(0),
            file: 1,
            file_len: FILE_HEADER_BYTES as u64,
            file_max_bytes: JOURNAL_FILE_MAX_BYTES,
            writes: Writes::Taken,
        })
    }

    /// Opens a store and replays it: `on_record` sees every record of every good commit, in order.
    ///
    /// `applied` is the furthest head that something durable besides the journal has seen: up to
    /// there nothing can be a torn tail. Where bytes were changed the good part is replayed, the log
    /// takes no writes, and [`Opened::problem`] says why.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Key`], [`StoreError::FormatTooNew`],
    /// [`StoreError::Failed`], and [`StoreError::Integrity`] where the keyring was changed.
    pub fn open(
        disk: D,
        kek: &SecretKey,
        applied: Option<Head>,
        on_record: &mut dyn FnMut(Record),
    ) -> Result<(Self, Opened), StoreError> {
        let keyring = Keyring::load(&disk, kek)?;
        let store_id = keyring.store_id();
        let mut scan = Scan::new(&disk, &store_id)?;
        let mut replay = Replay {
            keyring: &keyring,
            store_id: &store_id,
            applied,
            time: Timestamp(0),
            unreadable: 0,
        };
        let mut head = scan.head();
        let mut torn = None;
        let mut problem = None;
        loop {
            match scan.next() {
                Ok(Some(frame)) => match replay.frame(&frame) {
                    Ok(records) => {
                        head = scan.head();
                        records.into_iter().for_each(&mut *on_record);
                    }
                    Err(error) => problem = Some(error),
                },
                Ok(None) => break,
                Err(Flaw::Torn {
                    file,
                    offset,
                    len_bytes,
                }) => {
                    torn = Some((file, offset, len_bytes));
                    break;
                }
                Err(Flaw::Store(error)) => problem = Some(error),
            }
            match problem {
                None => {}
                Some(StoreError::Integrity { .. }) => break,
                Some(error) => return Err(error),
            }
        }
        let (file, file_len) = scan.place();
        let (time, unreadable) = (replay.time, replay.unreadable);
        if problem.is_none() && applied.is_some_and(|applied| applied.position > head.position) {
            problem = Some(StoreError::Integrity {
                position: head.position + 1,
            });
        }
        let mut log = Self {
            disk,
            keyring,
            head,
            time,
            file,
            file_len,
            file_max_bytes: JOURNAL_FILE_MAX_BYTES,
            writes: Writes::Taken,
        };
        let mut tail = Tail::Clean;
        if let (None, Some((file, offset, bytes))) = (problem, torn) {
            match log.set_aside(file, offset) {
                Ok(()) => tail = Tail::SetAside { bytes },
                Err(error) => problem = Some(error),
            }
        }
        if problem.is_some() {
            log.writes = Writes::Refused;
        }
        let opened = Opened {
            head,
            tail,
            unreadable,
            problem,
        };
        Ok((log, opened))
    }

    /// Whether a batch could be committed, and how many bytes it takes. Writes nothing.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`]; [`StoreError::Key`] where a record's key is missing or a key is
    /// there already with another value; [`StoreError::ReadOnly`].
    pub fn check(&self, batch: &Batch) -> Result<usize, StoreError> {
        if self.writes == Writes::Refused {
            return Err(StoreError::ReadOnly);
        }
        let len_bytes: usize = batch.drafts.iter().map(frame::record_bytes).sum();
        if batch.drafts.len() > COMMIT_MAX_RECORDS || len_bytes > COMMIT_MAX_BYTES {
            return Err(StoreError::TooLarge);
        }
        self.keyring.check(&batch.keys)?;
        let mut before = None;
        for id in batch.drafts.iter().map(|draft| draft.scope.key_id()) {
            if before == Some(id) {
                continue;
            }
            let known = batch.keys.iter().any(|(new, _)| *new == id);
            if !known && self.keyring.key(id).is_none() {
                return Err(StoreError::Key);
            }
            before = Some(id);
        }
        Ok(len_bytes)
    }

    /// Writes batches one after the other as one commit: all are on the disk after the next
    /// [`Self::sync`], or none is.
    ///
    /// Keys that the batches bring are in the keyring, durably, before the first byte of the journal
    /// is written. Where the disk was full before anything was written, the log goes on.
    ///
    /// # Errors
    /// What [`Self::check`] says of any of them, [`StoreError::TooLarge`] for all together,
    /// [`StoreError::Full`], [`StoreError::Failed`].
    pub fn append(
        &mut self,
        now: Timestamp,
        batches: Vec<Batch>,
        rng: &mut impl CryptoRng,
    ) -> Result<Pending, StoreError> {
        let mut len_bytes = 0;
        for batch in &batches {
            len_bytes += self.check(batch)?;
        }
        let count: usize = batches.iter().map(|batch| batch.drafts.len()).sum();
        if count > COMMIT_MAX_RECORDS || len_bytes > COMMIT_MAX_BYTES {
            return Err(StoreError::TooLarge);
        }
        let keys: Vec<_> = batches
            .iter()
            .flat_map(|batch| batch.keys.clone())
            .collect();
        if let Err(error) = self.keyring.add(&mut self.disk, &keys, rng) {
            return Err(self.refuse_unless_full(error));
        }
        if count > 0 && self.file_len >= self.file_max_bytes {
            self.begin_file()?;
        }
        let time = self.time.max(now);
        let store_id = self.keyring.store_id();
        let mut frame = FrameWriter::new(&store_id, self.head, time, self.file, self.file_len);
        let mut written = Vec::with_capacity(batches.len());
        for batch in batches {
            let mut records = Vec::with_capacity(batch.drafts.len());
            let mut held: Option<(KeyId, SecretKey)> = None;
            for draft in &batch.drafts {
                let id = draft.scope.key_id();
                let key = match held.take().filter(|(held, _)| *held == id) {
                    Some((_, key)) => key,
                    None => self.keyring.key(id).ok_or(StoreError::Key)?,
                };
                records.push(frame.push(draft, &key, rng));
                held = Some((id, key));
            }
            written.push((records, batch.keys));
        }
        let (bytes, after) = frame.finish();
        let mut file_len = self.file_len;
        if count > 0 {
            let name = frame::file_name(self.file);
            if let Err(error) = self.disk.append(&name, &bytes) {
                let untouched = self.disk.len(&name) == Ok(Some(self.file_len));
                if error != StoreError::Full || !untouched {
                    self.writes = Writes::Refused;
                }
                return Err(error);
            }
            file_len += bytes.len() as u64;
        }
        // Until the sync has returned there is a write of which nobody knows.
        self.writes = Writes::Refused;
        Ok(Pending {
            batches: written,
            after,
            time,
            file_len,
        })
    }

    /// Makes what was appended durable; the one place where [`Recorded`] is made.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; the log then takes no more writes.
    pub fn sync(&mut self, pending: Pending) -> Result<Vec<Recorded>, StoreError> {
        if pending.after.position > self.head.position {
            self.disk.sync(&frame::file_name(self.file))?;
        }
        self.head = pending.after;
        self.time = pending.time;
        self.file_len = pending.file_len;
        self.writes = Writes::Taken;
        Ok(pending
            .batches
            .into_iter()
            .map(|(records, keys)| Recorded::new(records, keys))
            .collect())
    }

    /// Takes no more writes until the store is opened anew.
    pub fn refuse_writes(&mut self) {
        self.writes = Writes::Refused;
    }

    /// Whether the log takes writes.
    pub fn is_writable(&self) -> bool {
        self.writes == Writes::Taken
    }

    /// The last record that is on the disk.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The random id of the store.
    pub fn store_id(&self) -> [u8; 16] {
        self.keyring.store_id()
    }

    /// One key; none where it was erased or never was.
    pub fn key(&self, id: KeyId) -> Option<SecretKey> {
        self.keyring.key(id)
    }

    /// The keyring, shared with this log.
    pub fn keys(&self) -> Keyring {
        self.keyring.clone()
    }

    /// The disk below.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// Reads one record by its place.
    ///
    /// # Errors
    /// [`StoreError::Integrity`] where other bytes lie there; what the disk says.
    pub fn record(&self, place: Place) -> Result<Record, StoreError> {
        read_record(&self.disk, &self.keyring, place)
    }

    /// Reads everything anew; see [`verify`].
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::FormatTooNew`].
    pub fn verify(&self, on_record: &mut dyn FnMut(&Record)) -> Result<Verified, StoreError> {
        verify(&self.disk, &self.keyring, self.head, on_record)
    }

    /// Reads a small file that was sealed under the key-encryption key.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Integrity`], [`StoreError::FormatTooNew`], or what the
    /// disk says.
    pub fn read_sealed(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.keyring.read_sealed(&self.disk, name)
    }

    /// Seals a small file under the key-encryption key and puts it in place whole.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], or what the disk says; the file before, if any, is then untouched.
    pub fn replace_sealed(
        &mut self,
        name: &str,
        plain: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(), StoreError> {
        if self.writes == Writes::Refused {
            return Err(StoreError::ReadOnly);
        }
        let keyring = self.keyring.clone();
        keyring
            .replace_sealed(&mut self.disk, name, plain, rng)
            .map_err(|error| self.refuse_unless_full(error))
    }

    fn begin_file(&mut self) -> Result<(), StoreError> {
        let first = self.head.position + 1;
        let header = frame::file_header(&self.keyring.store_id(), self.head);
        if let Err(error) = self.disk.replace(&frame::file_name(first), &header) {
            return Err(self.refuse_unless_full(error));
        }
        self.file = first;
        self.file_len = FILE_HEADER_BYTES as u64;
        Ok(())
    }

    /// `Disk::replace` changes nothing where the disk is full, so the log may go on.
    fn refuse_unless_full(&mut self, error: StoreError) -> StoreError {
        if error != StoreError::Full {
            self.writes = Writes::Refused;
        }
        error
    }

    fn set_aside(&mut self, file: u64, offset: u64) -> Result<(), StoreError> {
        let kept = self.disk.list("aside/")?.len();
        self.disk.set_aside(
            &frame::file_name(file),
            offset,
            &format!("aside/journal-{file:020}-{offset}-{kept}"),
        )
    }
}

/// Reads one record by its place, from any handle of the same disk.
///
/// # Errors
/// [`StoreError::Integrity`] where other bytes lie there; what the disk says.
pub fn read_record<D: Disk>(
    disk: &D,
    keyring: &Keyring,
    place: Place,
) -> Result<Record, StoreError> {
    let flaw = StoreError::Integrity {
        position: place.offset,
    };
    let bytes = disk.read(
        &frame::file_name(place.file),
        place.offset,
        place.len as usize,
    )?;
    let raw = RawRecord::read(&bytes)
        .filter(|raw| raw.bytes.len() == place.len as usize)
        .ok_or(flaw)?;
    let key = keyring.key(raw.scope.key_id());
    raw.open(&keyring.store_id(), key.as_ref(), place.file, place.offset)
}

/// Reads the journal anew up to a head that is known to be on the disk, opens every record whose key
/// is there, and compares. `on_record` sees each good one.
///
/// # Errors
/// [`StoreError::Failed`], [`StoreError::FormatTooNew`]; changed bytes are a finding, not an error.
pub fn verify<D: Disk>(
    disk: &D,
    keyring: &Keyring,
    until: Head,
    on_record: &mut dyn FnMut(&Record),
) -> Result<Verified, StoreError> {
    let store_id = keyring.store_id();
    let mut scan = Scan::new(disk, &store_id)?;
    let mut replay = Replay {
        keyring,
        store_id: &store_id,
        applied: Some(until),
        time: Timestamp(0),
        unreadable: 0,
    };
    let mut head = scan.head();
    let mut leaves = Vec::new();
    let mut first_bad = None;
    while head.position < until.position {
        let step = scan.next().and_then(|frame| {
            let Some(frame) = frame else {
                return Err(Flaw::Store(StoreError::Integrity {
                    position: head.position + 1,
                }));
            };
            Ok(replay.frame(&frame)?)
        });
        match step {
            Ok(records) => {
                let audit = records
                    .iter()
                    .filter(|record| record.kind == RecordKind::Audit);
                leaves.extend(audit.map(|record| record.leaf));
                head = scan.head();
                records.iter().for_each(&mut *on_record);
            }
            Err(Flaw::Store(StoreError::Integrity { position })) => {
                first_bad = Some(position);
                break;
            }
            Err(Flaw::Torn { .. }) => {
                first_bad = Some(head.position + 1);
                break;
            }
            Err(Flaw::Store(error)) => return Err(error),
        }
    }
    Ok(Verified {
        records: head.position,
        chain: head.chain,
        leaves,
        first_bad,
    })
}

/// Opens the records of frames whose chain holds.
struct Replay<'a> {
    keyring: &'a Keyring,
    store_id: &'a [u8; 16],
    applied: Option<Head>,
    time: Timestamp,
    unreadable: u64,
}

impl Replay<'_> {
    /// All records of a frame, or none: a commit is applied whole.
    fn frame(&mut self, frame: &super::scan::Frame) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::with_capacity(frame.records.len());
        let mut time = self.time;
        for (head, place) in &frame.records {
            let flaw = StoreError::Integrity {
                position: head.position,
            };
            let raw = frame.record(*place).ok_or(flaw)?;
            let other = self
                .applied
                .is_some_and(|applied| applied.position == head.position && applied != *head);
            if other || raw.time < time {
                return Err(flaw);
            }
            time = raw.time;
            let key = self.keyring.key(raw.scope.key_id());
            records.push(raw.open(self.store_id, key.as_ref(), place.file, place.offset)?);
        }
        self.time = time;
        self.unreadable += records
            .iter()
            .filter(|record| record.body.is_none())
            .count() as u64;
        Ok(records)
    }
}
