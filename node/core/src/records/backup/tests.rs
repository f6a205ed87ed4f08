//! Backups of small stores, whole and as somebody changed them.

use std::{collections::BTreeMap, sync::LazyLock};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::{format::SEALED_CHUNK_BYTES, *};
use crate::{
    crypto::{RecoverySecret, SecretKey, seal_file},
    records::{
        Batch, Disk as _, Head, Log, Record, RecordKind, Scope, StoreError, faulty::FaultDisk,
    },
    types::{DocumentId, FileId, MemberId, PatientId, Timestamp},
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// A store with documents, and what a backup of it is made by.
struct Town {
    log: Log<FaultDisk>,
    files: BTreeMap<FileId, Vec<u8>>,
    rng: ChaCha20Rng,
    secret: RecoverySecret,
}

impl Town {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let store = [seed as u8; 16];
        let log = Log::create(FaultDisk::default(), &kek(), store, &mut rng).unwrap();
        Self {
            log,
            files: BTreeMap::new(),
            secret: RecoverySecret::draw(&mut rng),
            rng,
        }
    }

    /// A document of so many bytes, of which a journal record of another patient each tells.
    fn add(&mut self, number: u8, len: usize, until: Option<Timestamp>) {
        let file = FileId([number; 16]);
        let sealed = seal_file(
            &SecretKey::new([number; 32]),
            &[number; 16],
            &vec![number; len],
        );
        let patient = PatientId([number; 16]);
        let mut body = vec![number];
        body.extend_from_slice(&(sealed.bytes.len() as u64).to_be_bytes());
        body.extend_from_slice(&sealed.root);
        body.extend_from_slice(&until.map_or(0, |until| until.0).to_be_bytes());
        let mut batch = Batch::default();
        batch
            .keys
            .push((patient.into(), SecretKey::new([number; 32])));
        batch.push(RecordKind::Document, Scope::Patient(patient), body);
        batch.push(RecordKind::Audit, Scope::Store, vec![number; 20]);
        self.files.insert(file, sealed.bytes.to_vec());
        let pending = self.log.append(NOW, vec![batch], &mut self.rng).unwrap();
        self.log.sync(pending).unwrap();
    }

    fn back_up(&mut self) -> (Vec<u8>, Taken) {
        self.back_up_to(self.log.head()).unwrap()
    }

    fn back_up_to(&mut self, until: Head) -> Result<(Vec<u8>, Taken), BackupError> {
        let files = self.files.clone();
        let read_file = move |file: FileId, offset: u64, len: usize| {
            let bytes = files.get(&file).ok_or(StoreError::Missing)?;
            let from = (offset as usize).min(bytes.len());
            Ok(bytes[from..(from + len).min(bytes.len())].to_vec())
        };
        let mut bytes = Vec::new();
        let taking = Taking {
            disk: self.log.disk(),
            keyring: &self.log.keys(),
            read_file: &read_file,
            naming,
            until,
            member: MemberId([7; 16]),
            identity: b"seeds",
            config: b"listen = []\n",
            now: NOW,
        };
        let lock = self.secret.lock();
        let taken = taking.write(&lock, &mut self.rng, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok((bytes, taken))
    }

    fn read(&self, bytes: &[u8]) -> Result<Read, BackupError> {
        let backup = Backup::open(bytes.to_vec(), |header| header.key(&self.secret))?;
        let contents = backup.check(naming)?;
        Ok((backup, contents))
    }
}

type Read = (Backup<Vec<u8>>, Contents);

impl BackupSource for Vec<u8> {
    fn len_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.len() as u64)
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let from = (offset as usize).min(Vec::len(self));
        Ok(self[from..(from + len).min(Vec::len(self))].to_vec())
    }
}

fn kek() -> SecretKey {
    SecretKey::new([3; 32])
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of a `Naming`")]
fn naming(record: &Record) -> Result<Option<NamedFile>, StoreError> {
    let (RecordKind::Document, Some(body)) = (record.kind, &record.body) else {
        return Ok(None);
    };
    let number = |from: usize| u64::from_be_bytes(body[from..from + 8].try_into().unwrap());
    Ok(Some(NamedFile {
        file: FileId([body[0]; 16]),
        document: DocumentId([body[0]; 16]),
        sealed_size: number(1),
        root: body[9..41].try_into().unwrap(),
        until: (number(41) > 0).then_some(Timestamp(number(41))),
    }))
}

static SMALL: LazyLock<(RecoverySecret, Vec<u8>, Taken)> = LazyLock::new(|| {
    let mut town = Town::new(1);
    town.add(1, 100, None);
    let (bytes, taken) = town.back_up();
    (town.secret, bytes, taken)
});

fn small(bytes: Vec<u8>) -> Result<(), BackupError> {
    let backup = Backup::open(bytes, |header| header.key(&SMALL.0))?;
    backup.check(naming).map(|_| ())
}

#[test]
fn a_backup_is_the_store_as_it_was_at_its_position() {
    let mut town = Town::new(2);
    town.add(1, 200_000, None);
    town.add(2, 0, None);
    let until = town.log.head();
    town.add(3, 10, None);

    let (bytes, taken) = town.back_up_to(until).unwrap();
    let (backup, contents) = town.read(&bytes).unwrap();

    assert_eq!((taken.files, taken.absent.len()), (2, 0));
    assert_eq!(backup.about(), taken.about);
    assert_eq!((backup.about().head, backup.about().recorded), (until, NOW));
    assert_eq!(backup.sha256(), crate::crypto::sha256(&[&bytes]));
    assert_eq!(&contents.identity[..], b"seeds");
    assert_eq!(contents.config, b"listen = []\n");
    for named in &contents.files {
        let len = named.sealed_size as usize;
        let read = backup.read_file(named.file, 0, len).unwrap();
        assert!(read == town.files[&named.file]);
    }
    // Written out under another key it opens as a store, and is that store.
    let mut disk = FaultDisk::default();
    let other = SecretKey::new([5; 32]);
    contents
        .keyring
        .rewrapped(&other, &mut town.rng)
        .put(&mut disk)
        .unwrap();
    for (name, len) in backup.journal() {
        let bytes = backup.read(&name, 0, len as usize).unwrap();
        disk.replace(&name, &bytes).unwrap();
    }
    let mut seen = 0;
    let (log, opened) = Log::open(disk, &other, Some(until), &mut |record| {
        assert!(record.body.is_some());
        seen = record.position;
    })
    .unwrap();
    assert_eq!(
        (opened.head, opened.problem, seen),
        (until, None, until.position)
    );
    assert_eq!(log.store_id(), town.log.store_id());
}

#[test]
fn a_store_without_records_is_backed_up_too() {
    let mut town = Town::new(3);

    let (bytes, _) = town.back_up();

    let (backup, contents) = town.read(&bytes).unwrap();
    assert_eq!(backup.about().head.position, 0);
    assert!(contents.files.is_empty());
}

#[test]
fn every_flipped_bit_is_found() {
    assert_eq!(small(SMALL.1.clone()), Ok(()));
    // Each bit of the header costs a decapsulation, so some of them are tried.
    let header = (0..HEADER * 8).step_by(61).chain(0..16 * 8);
    let behind = (HEADER * 8..SMALL.1.len() * 8).step_by(3);
    for bit in header.chain(behind) {
        let mut bytes = SMALL.1.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);

        let key = |header: &BackupHeader| match bit / 8 {
            0..HEADER => header.key(&SMALL.0),
            _ => Ok(SMALL.2.key.clone()),
        };
        let refused = Backup::open(bytes, key).map(|_| ()).unwrap_err();

        let expected = match bit / 8 {
            0..7 => matches!(refused, BackupError::NoBackup),
            7 => matches!(refused, BackupError::NoBackup | BackupError::TooNew { .. }),
            8..16 => refused == BackupError::OtherSheet,
            _ => matches!(refused, BackupError::Altered { .. }),
        };
        assert!(expected, "bit {bit}: {refused}");
    }
}

const HEADER: usize = BACKUP_HEADER_BYTES;

#[test]
fn a_backup_that_was_cut_anywhere_or_is_longer_is_found() {
    let mut town = Town::new(4);
    town.add(1, 300_000, None);
    let (bytes, _) = town.back_up();
    assert!(town.read(&bytes).is_ok());
    let refused = |bytes: &[u8]| town.read(bytes).err();

    let chunks = (0..5).flat_map(|n| {
        let at = HEADER + n * SEALED_CHUNK_BYTES;
        [at - 1, at, at + 1, at + 16, at + 17]
    });
    for len in chunks.filter(|len| *len < bytes.len()) {
        let found = refused(&bytes[..len]);
        assert!(
            matches!(found, Some(BackupError::Altered { .. })),
            "{len}: {found:?}"
        );
    }
    assert_eq!(refused(&bytes[..7]), Some(BackupError::NoBackup));
    assert_eq!(refused(b""), Some(BackupError::NoBackup));
    let longer = [&bytes[..], b"x"].concat();
    assert!(matches!(
        refused(&longer),
        Some(BackupError::Altered { .. })
    ));
    for len in (0..SMALL.1.len()).step_by(7) {
        assert!(small(SMALL.1[..len].to_vec()).is_err(), "{len}");
    }
}

#[test]
fn a_chunk_in_another_place_or_of_another_backup_is_found() {
    let mut town = Town::new(5);
    town.add(1, 300_000, None);
    let (bytes, _) = town.back_up();
    let (again, _) = town.back_up();
    assert!(town.read(&bytes).is_ok() && town.read(&again).is_ok());
    let chunk = |n: usize| HEADER + n * SEALED_CHUNK_BYTES..HEADER + (n + 1) * SEALED_CHUNK_BYTES;
    let refused = |bytes: &[u8], offset: usize| {
        let offset = offset as u64;
        assert_eq!(
            town.read(bytes).err(),
            Some(BackupError::Altered { offset })
        );
    };

    let mut swapped = bytes.clone();
    swapped[chunk(1)].copy_from_slice(&bytes[chunk(2)]);
    swapped[chunk(2)].copy_from_slice(&bytes[chunk(1)]);
    refused(&swapped, chunk(1).start);
    let mut without = bytes.clone();
    without.drain(chunk(1));
    refused(&without, chunk(1).start);
    let mut foreign = bytes.clone();
    foreign[chunk(0)].copy_from_slice(&again[chunk(0)]);
    refused(&foreign, chunk(0).start);
    let crossed = [&bytes[..HEADER], &again[HEADER..]].concat();
    refused(&crossed, HEADER);
}

#[test]
fn another_sheet_opens_nothing() {
    let mut town = Town::new(6);
    let (bytes, _) = town.back_up();
    assert!(town.read(&bytes).is_ok());

    town.secret = Town::new(7).secret;

    assert_eq!(town.read(&bytes).err(), Some(BackupError::OtherSheet));
}

#[test]
fn a_damaged_document_is_left_out_and_told_and_the_rest_is_saved() {
    let mut town = Town::new(8);
    town.add(1, 100, None);
    town.add(2, 100, None);
    town.add(3, 100, None);
    town.files.get_mut(&FileId([2; 16])).unwrap()[70] ^= 1;
    town.files.remove(&FileId([3; 16]));

    let (bytes, taken) = town.back_up();

    assert_eq!(taken.absent, [2, 3].map(|n| DocumentId([n; 16])));
    let (_, contents) = town.read(&bytes).unwrap();
    assert_eq!((contents.files.len(), contents.absent.len()), (1, 2));
}

#[test]
fn a_snapshot_that_is_gone_or_over_is_not_missed() {
    let mut town = Town::new(9);
    let later = Timestamp(NOW.0 + 1);
    town.add(1, 100, Some(later));
    town.add(2, 100, Some(later));
    town.add(3, 100, Some(NOW));
    town.files.remove(&FileId([2; 16]));

    let (bytes, taken) = town.back_up();

    assert_eq!((taken.files, taken.absent.len()), (1, 0));
    assert_eq!(town.read(&bytes).unwrap().1.files.len(), 1);
}

#[test]
fn a_changed_journal_is_not_backed_up() {
    let mut town = Town::new(10);
    town.add(1, 100, None);
    assert!(town.back_up_to(town.log.head()).is_ok());
    let name = "journal/00000000000000000001";

    town.log.disk().change(name, |bytes| bytes[200] ^= 1);

    let refused = town.back_up_to(town.log.head()).err();
    assert!(matches!(
        refused,
        Some(BackupError::Store(StoreError::Integrity { .. }))
    ));
}
