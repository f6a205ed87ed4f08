//! The journal of a store: one writer, group commit, replay.
//!
//! The log is the only truth; whatever else is on the disk is a fold of it. It writes through
//! [`Disk`] alone, so that the simulated disk forgets what the real one would. After any failed
//! write or sync nobody knows what is on the disk, so the log takes no more until it is opened
//! anew and has read what is there.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    Batch, Disk, KeyId, Keyring, Place, Record, Recorded, StoreError, TurnGuard,
    frame::{self, FILE_HEADER_BYTES, FrameWriter, Head},
    replay::{Replay, Verified, read_record, verify},
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

/// Batches that were written and not yet synced; worth nothing until [`Log::sync`].
#[must_use = "nothing is durable before `Log::sync`"]
pub struct Pending {
    batches: Vec<Written>,
    after: Head,
    time: Timestamp,
    file_len: u64,
}

struct Written {
    records: Vec<Record>,
    keys: Vec<(KeyId, SecretKey)>,
    turns: Vec<TurnGuard>,
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
        let mut replay = Replay::new(&keyring, &store_id, applied);
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
            written.push(Written {
                records,
                keys: batch.keys,
                turns: batch.turns,
            });
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
            // Whatever the disk says, the bytes may be on it: only a failure leaves that open.
            self.disk
                .sync(&frame::file_name(self.file))
                .map_err(|_| StoreError::Failed)?;
        }
        self.head = pending.after;
        self.time = pending.time;
        self.file_len = pending.file_len;
        self.writes = Writes::Taken;
        Ok(pending
            .batches
            .into_iter()
            .map(|written| Recorded::new(written.records, written.keys, written.turns))
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng as _, SeedableRng as _};

    use super::*;
    use crate::{
        records::{
            RecordKind, Scope,
            faulty::{Fault, FaultDisk},
        },
        types::PatientId,
    };

    const STORE: [u8; 16] = [9; 16];
    const FILE: &str = "journal/00000000000000000001";
    const PATIENT: PatientId = PatientId([5; 16]);

    #[test]
    fn what_was_committed_is_replayed_in_order() {
        let mut rng = rng(1);
        let mut log = store(&mut rng);
        let mut batch = batch(&["one", "two"]);
        batch.keys.push((PATIENT.into(), SecretKey::new([8; 32])));
        batch.push(RecordKind::Patient, Scope::Patient(PATIENT), "three");

        let recorded = commit(&mut log, 50, vec![batch], &mut rng).unwrap();
        commit(&mut log, 40, vec![self::batch(&["four"])], &mut rng).unwrap();

        let (replayed, opened) = open(log.disk(), Some(log.head()));
        assert_eq!(bodies(&replayed), ["one", "two", "three", "four"]);
        assert_eq!(positions(&replayed), [1, 2, 3, 4]);
        assert_eq!(replayed[2].scope, Scope::Patient(PATIENT));
        assert_eq!(replayed[3].time, Timestamp(50));
        assert_eq!(recorded[0].records()[2].leaf, replayed[2].leaf);
        assert_eq!(recorded[0].records()[2].place, replayed[2].place);
        assert_eq!(opened.head, log.head());
        assert_eq!((opened.tail, opened.problem), (Tail::Clean, None));
    }

    #[test]
    fn a_record_is_read_by_its_place_and_by_no_other() {
        let mut rng = rng(2);
        let mut log = store(&mut rng);
        let recorded = commit(&mut log, 1, vec![batch(&["one", "two"])], &mut rng).unwrap();
        let place = recorded[0].records()[1].place;

        assert_eq!(bodies(&[log.record(place).unwrap()]), ["two"]);

        let beside = Place {
            offset: place.offset - 1,
            ..place
        };
        assert!(matches!(
            log.record(beside).err(),
            Some(StoreError::Integrity { .. })
        ));
        let longer = Place {
            len: place.len + 1,
            ..place
        };
        assert!(matches!(
            log.record(longer).err(),
            Some(StoreError::Integrity { .. })
        ));
    }

    #[test]
    fn batches_that_wait_together_share_one_sync() {
        let mut rng = rng(3);
        let mut log = store(&mut rng);
        let before = log.disk().syncs();

        let batches = vec![batch(&["one"]), batch(&["two", "three"]), batch(&["four"])];
        let recorded = commit(&mut log, 1, batches, &mut rng).unwrap();

        assert_eq!(log.disk().syncs(), before + 1);
        let counts: Vec<_> = recorded.iter().map(|one| one.records().len()).collect();
        assert_eq!(counts, [1, 2, 1]);
    }

    /// No acknowledged record is lost however the power goes, and no commit is there in part.
    #[test]
    fn a_power_cut_loses_nothing_that_was_acknowledged() {
        for seed in 0..200 {
            let mut rng = rng(seed);
            let mut log = store(&mut rng);
            let mut acknowledged = 0;
            let mut written = vec![0];
            for round in 0..1 + rng.next_u32() % 6 {
                let size = 1 + rng.next_u32() as usize % 4;
                let big = "x".repeat(rng.next_u32() as usize % 3_000);
                let bodies: Vec<_> = (0..size).map(|_| big.as_str()).collect();
                let pending = log
                    .append(Timestamp(u64::from(round)), vec![batch(&bodies)], &mut rng)
                    .unwrap();
                written.push(written.last().unwrap() + size as u64);
                if rng.next_u32().is_multiple_of(5) {
                    break;
                }
                acknowledged += log.sync(pending).unwrap()[0].records().len() as u64;
            }

            let left = log.disk().cut(&mut rng);
            let (records, opened) = open(&left, None);

            assert_eq!(opened.problem, None, "seed {seed}");
            assert!(opened.head.position >= acknowledged, "seed {seed}");
            assert!(written.contains(&opened.head.position), "seed {seed}");
            assert_eq!(records.len() as u64, opened.head.position, "seed {seed}");
            let (mut again, _) = Log::open(left, &kek(), None, &mut |_| {}).unwrap();
            commit(&mut again, 1, vec![batch(&["after"])], &mut rng).unwrap();
            let (records, opened) = open(again.disk(), Some(again.head()));
            assert_eq!(bodies(&records).last().unwrap(), "after", "seed {seed}");
            assert_eq!(opened.tail, Tail::Clean, "seed {seed}");
        }
    }

    /// At each writing call of a session something fails: nothing is acknowledged after the error,
    /// and what was acknowledged before it is there.
    #[test]
    fn a_fault_at_any_call_loses_nothing_and_acknowledges_nothing_more() {
        let calls = session(&FaultDisk::default()).calls;
        for fault in Fault::ALL {
            for call in 0..calls {
                let disk = FaultDisk::default();
                disk.fail(call, fault);

                let outcome = session(&disk);

                assert!(outcome.error.is_some(), "{fault:?} at {call}");
                if !Keyring::exists(&disk).unwrap() {
                    assert_eq!(outcome.acknowledged, 0);
                    continue;
                }
                for left in [disk.copy(), disk.cut(&mut rng(call))] {
                    let (records, opened) = open(&left, None);
                    assert_eq!(opened.problem, None, "{fault:?} at {call}");
                    assert_eq!(opened.unreadable, 0, "{fault:?} at {call}");
                    assert!(
                        records.len() as u64 >= outcome.acknowledged,
                        "{fault:?} at {call}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_full_disk_refuses_a_commit_and_takes_the_next_when_there_is_space() {
        let mut rng = rng(4);
        let mut log = store(&mut rng);
        log.disk().fail(0, Fault::Full);

        let refused = commit(&mut log, 1, vec![batch(&["one"])], &mut rng);

        assert_eq!(refused.err(), Some(StoreError::Full));
        assert!(commit(&mut log, 1, vec![batch(&["one"])], &mut rng).is_ok());
        log.disk().fail(1, Fault::Failed);
        let refused = commit(&mut log, 1, vec![batch(&["two"])], &mut rng);
        assert_eq!(refused.err(), Some(StoreError::Failed));
        let refused = commit(&mut log, 1, vec![batch(&["two"])], &mut rng);
        assert_eq!(refused.err(), Some(StoreError::ReadOnly));
    }

    #[test]
    fn a_torn_tail_is_set_aside_and_kept() {
        let (log, start) = two_commits();
        let whole = log.disk().bytes(FILE);

        for end in start + 1..whole.len() {
            let disk = log.disk().copy();
            disk.change(FILE, |bytes| bytes.truncate(end));

            let (records, opened) = open(&disk, None);

            let torn = (end - start) as u64;
            assert_eq!(opened.tail, Tail::SetAside { bytes: torn }, "cut at {end}");
            assert_eq!((records.len(), opened.problem), (2, None), "cut at {end}");
            assert_eq!(disk.bytes(FILE), whole[..start]);
            let aside = disk.list("aside/").unwrap();
            assert_eq!(disk.bytes(&aside[0]), whole[start..end]);
        }
    }

    #[test]
    fn below_what_the_index_has_seen_there_is_no_torn_tail() {
        let (log, start) = two_commits();
        let disk = log.disk().copy();
        disk.change(FILE, |bytes| bytes.truncate(start + 40));

        assert_eq!(open(&disk.copy(), None).1.problem, None);
        let (records, opened) = open(&disk, Some(log.head()));

        assert_eq!(opened.problem, Some(StoreError::Integrity { position: 3 }));
        assert_eq!(records.len(), 2);
        disk.change(FILE, |bytes| bytes.truncate(start));
        let (_, opened) = open(&disk, Some(log.head()));
        assert_eq!(opened.problem, Some(StoreError::Integrity { position: 3 }));
    }

    #[test]
    fn a_frame_whose_sectors_were_not_all_written_is_a_torn_tail() {
        let mut rng = rng(6);
        let mut log = store(&mut rng);
        commit(&mut log, 1, vec![batch(&["first"])], &mut rng).unwrap();
        let start = log.disk().bytes(FILE).len();
        let big = "x".repeat(4_000);
        commit(&mut log, 1, vec![batch(&[&big])], &mut rng).unwrap();
        let disk = log.disk().copy();
        disk.change(FILE, |bytes| bytes[2_048..2_560].fill(0));

        let (records, opened) = open(&disk, None);

        assert_eq!(records.len(), 1);
        let torn = (log.disk().bytes(FILE).len() - start) as u64;
        assert_eq!(opened.tail, Tail::SetAside { bytes: torn });
    }

    #[test]
    fn a_zeroed_sector_with_a_commit_behind_it_is_no_torn_tail() {
        let mut rng = rng(14);
        let mut log = store(&mut rng);
        let big = "x".repeat(4_000);
        commit(&mut log, 1, vec![batch(&[&big])], &mut rng).unwrap();
        let torn = log.disk().copy();
        torn.change(FILE, |bytes| bytes[2_048..2_560].fill(0));
        assert!(matches!(open(&torn, None).1.tail, Tail::SetAside { .. }));

        commit(&mut log, 1, vec![batch(&["two"])], &mut rng).unwrap();
        let disk = log.disk().copy();
        disk.change(FILE, |bytes| bytes[2_048..2_560].fill(0));
        let (_, opened) = open(&disk, None);

        assert_eq!(opened.problem, Some(StoreError::Integrity { position: 1 }));
        assert!(disk.list("aside/").unwrap().is_empty());
    }

    #[test]
    fn another_history_of_the_same_length_is_found() {
        let mut rng = rng(15);
        let empty = store(&mut rng).disk().copy();
        let history = |body: &str| {
            let (mut log, _) = Log::open(empty.copy(), &kek(), None, &mut |_| {}).unwrap();
            commit(&mut log, 1, vec![batch(&[body])], &mut self::rng(16)).unwrap();
            log
        };
        let (ours, other) = (history("one"), history("two"));

        assert_eq!(open(ours.disk(), Some(ours.head())).1.problem, None);
        let (_, opened) = open(other.disk(), Some(ours.head()));

        assert_eq!(opened.problem, Some(StoreError::Integrity { position: 1 }));
    }

    /// The chain has no key, so whoever can write can also chain anew; the seal then says so.
    #[test]
    fn a_changed_record_under_a_new_chain_is_found() {
        let mut rng = rng(17);
        let mut log = store(&mut rng);
        let recorded = commit(&mut log, 1, vec![batch(&["one"])], &mut rng).unwrap();
        let place = recorded[0].records()[0].place;
        let start = usize::try_from(place.offset).unwrap();
        let end = start + place.len as usize;
        let rechained = |at: usize| {
            let disk = log.disk().copy();
            disk.change(FILE, |bytes| {
                bytes[at] ^= 1;
                let head = Head::genesis(&STORE).after(&bytes[start..end]);
                bytes[end..].copy_from_slice(&head.chain);
            });
            open(&disk, None).1.problem
        };

        for at in (start + 8..start + 18)
            .chain(start + 34..start + 58)
            .chain(end - 19..end)
        {
            assert_eq!(
                rechained(at),
                Some(StoreError::Integrity { position: 1 }),
                "byte {at}"
            );
        }
    }

    /// Every bit of a whole journal: what was acknowledged is never taken for a torn tail.
    #[test]
    fn a_flipped_bit_anywhere_is_found() {
        let (log, _) = two_commits();
        let whole = log.disk().bytes(FILE);
        assert_eq!(open(&log.disk().copy(), None).1.problem, None);

        for bit in 0..whole.len() * 8 {
            let disk = log.disk().copy();
            disk.change(FILE, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));

            match Log::open(disk.clone(), &kek(), None, &mut |_| {}) {
                Ok((mut log, opened)) => {
                    assert!(
                        matches!(opened.problem, Some(StoreError::Integrity { .. })),
                        "bit {bit}"
                    );
                    let refused = commit(&mut log, 1, vec![batch(&["more"])], &mut rng(0));
                    assert_eq!(refused.err(), Some(StoreError::ReadOnly));
                }
                Err(error) => assert!(
                    matches!(error, StoreError::FormatTooNew { .. }) && bit / 8 == 7,
                    "bit {bit}"
                ),
            }
            assert_eq!(disk.bytes(FILE).len(), whole.len(), "bit {bit}");
        }
    }

    #[test]
    fn verification_names_the_first_bad_record_and_collects_the_audit_leaves() {
        let mut rng = rng(7);
        let mut log = store(&mut rng);
        let mut batch = batch(&["one"]);
        batch.push(RecordKind::Audit, Scope::Store, "entry");
        let recorded = commit(&mut log, 1, vec![batch], &mut rng).unwrap();
        let leaf = recorded[0].records()[1].leaf;
        commit(&mut log, 1, vec![self::batch(&["three"])], &mut rng).unwrap();

        let good = log.verify(&mut |_| {}).unwrap();
        let end = log.disk().bytes(FILE).len();
        log.disk().change(FILE, |bytes| bytes[end - 40] ^= 1);
        let bad = log.verify(&mut |_| {}).unwrap();

        assert_eq!((good.records, good.first_bad), (3, None));
        assert_eq!(good.chain, log.head().chain);
        assert_eq!(good.leaves, [leaf]);
        assert_eq!((bad.records, bad.first_bad), (2, Some(3)));
        log.disk().change(FILE, |bytes| bytes.truncate(end - 1));
        assert_eq!(log.verify(&mut |_| {}).unwrap().first_bad, Some(3));
    }

    #[test]
    fn records_of_another_order_or_store_are_found() {
        let mut rng = rng(8);
        let mut log = store(&mut rng);
        let recorded = commit(&mut log, 1, vec![batch(&["aaa", "bbb"])], &mut rng).unwrap();
        let [first, second] = [0, 1].map(|at| recorded[0].records()[at].place);
        let range = |place: Place| {
            let start = usize::try_from(place.offset).unwrap();
            start..start + place.len as usize
        };
        let disk = log.disk().copy();
        disk.change(FILE, |bytes| {
            let moved = bytes[range(first)].to_vec();
            bytes.copy_within(range(second), range(first).start);
            bytes[range(second)].copy_from_slice(&moved);
        });

        let (records, opened) = open(&disk, None);

        assert_eq!(opened.problem, Some(StoreError::Integrity { position: 1 }));
        assert!(records.is_empty());
        let other = Log::create(FaultDisk::default(), &kek(), [1; 16], &mut rng).unwrap();
        let disk = log.disk().copy();
        disk.change(FILE, |bytes| *bytes = other.disk().bytes(FILE));
        let (_, opened) = open(&disk, None);
        assert_eq!(opened.problem, Some(StoreError::Integrity { position: 1 }));
    }

    #[test]
    fn a_journal_goes_on_in_another_file() {
        let mut rng = rng(9);
        let mut log = store(&mut rng);
        assert_eq!(log.file_max_bytes, JOURNAL_FILE_MAX_BYTES);
        log.file_max_bytes = 200;
        for body in ["one", "two", "three", "four"] {
            commit(&mut log, 1, vec![batch(&[body])], &mut rng).unwrap();
        }

        let (records, opened) = open(log.disk(), Some(log.head()));

        assert!(log.disk().list("journal/").unwrap().len() > 1);
        assert_eq!(bodies(&records), ["one", "two", "three", "four"]);
        assert_eq!(opened.problem, None);
        assert_eq!(bodies(&[log.record(records[3].place).unwrap()]), ["four"]);
        let first_end = log.disk().bytes(FILE).len() - 1;
        log.disk().change(FILE, |bytes| bytes.truncate(first_end));
        assert!(open(log.disk(), None).1.problem.is_some());
    }

    #[test]
    fn a_commit_has_its_limits() {
        let mut rng = rng(10);
        let log = store(&mut rng);
        let many = |count| batch(&vec![""; count]);
        let large = |len_bytes: usize| {
            let overhead = frame::record_bytes(&batch(&[""]).drafts[0]);
            let mut batch = Batch::default();
            let body = Bytes::from(vec![0; len_bytes - overhead]);
            batch.push(RecordKind::Resource, Scope::Store, body);
            batch
        };

        assert!(log.check(&many(COMMIT_MAX_RECORDS)).is_ok());
        assert_eq!(
            log.check(&many(COMMIT_MAX_RECORDS + 1)),
            Err(StoreError::TooLarge)
        );
        assert_eq!(log.check(&large(COMMIT_MAX_BYTES)), Ok(COMMIT_MAX_BYTES));
        assert_eq!(
            log.check(&large(COMMIT_MAX_BYTES + 1)),
            Err(StoreError::TooLarge)
        );
    }

    #[test]
    fn a_record_needs_its_key_and_a_key_stays_as_it_is() {
        let mut rng = rng(11);
        let mut log = store(&mut rng);
        let of_patient = |key: Option<u8>| {
            let mut batch = Batch::default();
            batch.push(RecordKind::Patient, Scope::Patient(PATIENT), "body");
            batch
                .keys
                .extend(key.map(|key| (PATIENT.into(), SecretKey::new([key; 32]))));
            batch
        };

        assert_eq!(log.check(&of_patient(None)), Err(StoreError::Key));
        commit(&mut log, 1, vec![of_patient(Some(1))], &mut rng).unwrap();
        assert!(commit(&mut log, 1, vec![of_patient(None)], &mut rng).is_ok());
        assert!(commit(&mut log, 1, vec![of_patient(Some(1))], &mut rng).is_ok());
        assert_eq!(log.check(&of_patient(Some(2))), Err(StoreError::Key));
    }

    #[test]
    fn a_newer_format_is_refused_whole() {
        let (log, _) = two_commits();
        assert_eq!(open(&log.disk().copy(), None).1.problem, None);
        for name in [FILE, "keyring"] {
            let disk = log.disk().copy();
            disk.change(name, |bytes| bytes[7] = 2);

            let refused = Log::open(disk, &kek(), None, &mut |_| {});

            assert_eq!(refused.err(), Some(StoreError::FormatTooNew { found: 2 }));
        }
    }

    struct Outcome {
        acknowledged: u64,
        calls: u64,
        error: Option<StoreError>,
    }

    /// Creates a store and writes; goes on asking after errors, as a daemon's users would.
    fn session(disk: &FaultDisk) -> Outcome {
        let mut rng = rng(12);
        let mut outcome = Outcome {
            acknowledged: 0,
            calls: 0,
            error: None,
        };
        match Log::create(disk.clone(), &kek(), STORE, &mut rng) {
            Err(error) => outcome.error = Some(error),
            Ok(mut log) => {
                log.file_max_bytes = 500;
                for round in 0..6 {
                    let mut batch = batch(&["resource", "entry"]);
                    let patient = PatientId([round + 1; 16]);
                    batch
                        .keys
                        .push((patient.into(), SecretKey::new([round; 32])));
                    batch.push(RecordKind::Patient, Scope::Patient(patient), "name");
                    match commit(&mut log, u64::from(round), vec![batch], &mut rng) {
                        Ok(recorded) => {
                            assert_eq!(outcome.error, None, "acknowledged after an error");
                            outcome.acknowledged += recorded[0].records().len() as u64;
                        }
                        // A replace that finds no space has changed nothing.
                        Err(StoreError::Full) if log.is_writable() => {
                            return Outcome {
                                error: Some(StoreError::Full),
                                ..outcome
                            };
                        }
                        Err(error) => outcome.error = outcome.error.or(Some(error)),
                    }
                }
            }
        }
        outcome.calls = disk.calls();
        outcome
    }

    /// Three records in two commits, and where the second starts.
    fn two_commits() -> (Log<FaultDisk>, usize) {
        let mut rng = rng(13);
        let mut log = store(&mut rng);
        commit(&mut log, 1, vec![batch(&["one", "two"])], &mut rng).unwrap();
        let start = log.disk().bytes(FILE).len();
        commit(&mut log, 1, vec![batch(&["three"])], &mut rng).unwrap();
        (log, start)
    }

    fn rng(seed: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(seed)
    }

    fn kek() -> SecretKey {
        SecretKey::new([3; 32])
    }

    fn store(rng: &mut ChaCha20Rng) -> Log<FaultDisk> {
        Log::create(FaultDisk::default(), &kek(), STORE, rng).unwrap()
    }

    fn batch(bodies: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for body in bodies {
            batch.push(RecordKind::Resource, Scope::Store, body.as_bytes().to_vec());
        }
        batch
    }

    fn commit(
        log: &mut Log<FaultDisk>,
        now: u64,
        batches: Vec<Batch>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Vec<Recorded>, StoreError> {
        let pending = log.append(Timestamp(now), batches, rng)?;
        log.sync(pending)
    }

    fn open(disk: &FaultDisk, applied: Option<Head>) -> (Vec<Record>, Opened) {
        let mut records = Vec::new();
        let (_, opened) = Log::open(disk.clone(), &kek(), applied, &mut |record| {
            records.push(record);
        })
        .unwrap();
        (records, opened)
    }

    fn bodies(records: &[Record]) -> Vec<String> {
        let text =
            |record: &Record| String::from_utf8(record.body.clone().unwrap().into()).unwrap();
        records.iter().map(text).collect()
    }

    fn positions(records: &[Record]) -> Vec<u64> {
        records.iter().map(|record| record.position).collect()
    }
}
