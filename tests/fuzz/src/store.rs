//! What lies on the disk of a node, changed by somebody who has the disk and not the keys.

use std::{collections::BTreeMap, sync::LazyLock};

use chartmesh_core::{
    crypto::{RecoverySecret, SecretKey},
    records::{
        BACKUP_HEADER_BYTES, Backup, BackupError, BackupSource, Batch, Disk, Keyring, Log,
        RecordKind, Scope, StoreError, Taking, verify,
    },
    types::{MemberId, PatientId, Timestamp},
};
use chartmesh_tests::SimDisk;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::targets::Run;

/// The targets of this file.
pub(crate) const TARGETS: &[Run] = &[
    ("journal", journal),
    ("keyring", keyring),
    ("backup", backup),
];

/// A store of four commits, as its files and as what replaying them gives.
struct Template {
    files: BTreeMap<String, Vec<u8>>,
    bodies: Vec<Option<Vec<u8>>>,
}

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let disk = SimDisk::default();
    let mut dice = ChaCha20Rng::from_seed([1; 32]);
    let mut log = Log::create(disk.clone(), &kek(), [2; 16], &mut dice).expect("an empty disk");
    for number in 1..5_u8 {
        let mut batch = Batch::default();
        let patient = Scope::Patient(PatientId([number; 16]));
        batch
            .keys
            .push((patient.key_id(), SecretKey::new([number; 32])));
        batch.push(RecordKind::Resource, patient, vec![number; 40]);
        batch.push(RecordKind::Audit, Scope::Store, vec![number; 30]);
        let now = Timestamp(1_800_000_000_000 + u64::from(number));
        let pending = log
            .append(now, vec![batch], &mut dice)
            .expect("it takes a batch");
        log.sync(pending).expect("the disk works");
    }
    let mut bodies = Vec::new();
    Log::open(disk.clone(), &kek(), None, &mut |record| {
        bodies.push(record.body.map(|body| body.to_vec()));
    })
    .expect("the store that was made");
    Template {
        files: disk.files(),
        bodies,
    }
});

fn kek() -> SecretKey {
    SecretKey::new([9; 32])
}

/// The file as the input changes it: a first byte under 128 takes the rest as the whole file, and others
/// are places and what is done there.
fn changed(file: &[u8], data: &[u8]) -> Vec<u8> {
    let Some((first, rest)) = data.split_first() else {
        return file.to_vec();
    };
    if *first < 128 {
        return rest.to_vec();
    }
    let mut bytes = file.to_vec();
    for change in rest.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let at = at % (bytes.len() + 1);
        match change[2] % 5 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, change[3]),
            2 if at < bytes.len() => bytes[at] ^= change[3],
            3 if at < bytes.len() => {
                bytes.remove(at);
            }
            _ => {
                let until = (at + usize::from(change[3])).min(bytes.len());
                let again = bytes[at..until].to_vec();
                bytes.extend(again);
            }
        }
    }
    bytes
}

fn disk_with(name: &str, bytes: &[u8]) -> SimDisk {
    let mut disk = SimDisk::default();
    for (known, content) in &TEMPLATE.files {
        let content = if known == name { bytes } else { content };
        disk.replace(known, content).expect("a disk in memory");
    }
    disk
}

fn journal(data: &[u8]) {
    let name = TEMPLATE
        .files
        .keys()
        .find(|name| name.starts_with("journal/"))
        .expect("a store has a journal");
    let disk = disk_with(name, &changed(&TEMPLATE.files[name], data));
    let mut bodies = Vec::new();
    let opened = Log::open(disk.clone(), &kek(), None, &mut |record| {
        bodies.push(record.body.map(|body| body.to_vec()));
    });
    assert!(
        TEMPLATE.bodies.starts_with(&bodies),
        "what is replayed was written, in its order"
    );
    let Ok((log, opened)) = opened else { return };
    assert_eq!(
        opened.problem.is_none(),
        log.is_writable(),
        "a changed journal is not written to"
    );
    let verified = verify(&disk, &log.keys(), log.head(), &mut |_| ());
    assert!(verified.is_ok(), "what was replayed can be read again");
}

fn keyring(data: &[u8]) {
    let whole = &TEMPLATE.files["keyring"];
    let bytes = changed(whole, data);
    let disk = disk_with("keyring", &bytes);
    let told = Keyring::load(&disk, &kek());
    match told {
        Ok(_) => assert!(
            bytes == *whole,
            "nothing but the file that was written opens"
        ),
        Err(error) => assert!(matches!(
            error,
            StoreError::Integrity { .. } | StoreError::Key | StoreError::FormatTooNew { .. }
        )),
    }
    let stranger = Keyring::load(&disk, &SecretKey::new([8; 32]));
    assert!(stranger.is_err(), "another key opens nothing");
}

/// A backup of the store, its secret and its key.
struct Saved {
    secret: RecoverySecret,
    key: SecretKey,
    bytes: Vec<u8>,
}

static SAVED: LazyLock<Saved> = LazyLock::new(|| {
    let disk = disk_with("", b"");
    let keyring = Keyring::load(&disk, &kek()).expect("the store that was made");
    let (log, _) = Log::open(disk.clone(), &kek(), None, &mut |_| ()).expect("that store");
    let mut dice = ChaCha20Rng::from_seed([3; 32]);
    let secret = RecoverySecret::draw(&mut dice);
    let mut bytes = Vec::new();
    let taking = Taking {
        disk: &disk,
        keyring: &keyring,
        read_file: &|_, _, _| Err(StoreError::Missing),
        naming: |_| Ok(None),
        until: log.head(),
        member: MemberId([4; 16]),
        identity: b"seeds",
        config: b"",
        now: Timestamp(1_800_000_000_100),
    };
    let taken = taking.write(&secret.lock(), &mut dice, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    Saved {
        key: taken.expect("a whole store").key,
        secret,
        bytes,
    }
});

struct Bytes(Vec<u8>);

impl BackupSource for Bytes {
    fn len_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.0.len() as u64)
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let from = usize::try_from(offset).map_or(self.0.len(), |from| from.min(self.0.len()));
        let until = from.saturating_add(len).min(self.0.len());
        Ok(self.0[from..until].to_vec())
    }
}

/// A backup as somebody changed it; and the same bytes typed as a recovery secret.
fn backup(data: &[u8]) {
    let saved = &*SAVED;
    let bytes = changed(&saved.bytes, data);
    let whole = bytes == saved.bytes;
    let same_header = bytes.get(..BACKUP_HEADER_BYTES) == saved.bytes.get(..BACKUP_HEADER_BYTES);
    let opened = Backup::open(Bytes(bytes), |header| {
        // A decapsulation takes longer than all the rest.
        if same_header {
            Ok(saved.key.clone())
        } else {
            header.key(&saved.secret)
        }
    });
    match opened {
        Ok(backup) => {
            assert!(whole, "nothing but the file that was written opens");
            assert!(backup.check(|_| Ok(None)).is_ok(), "and it is a store");
        }
        Err(error) => {
            assert!(!whole);
            assert!(!matches!(
                error,
                BackupError::Contents | BackupError::Store(_)
            ));
        }
    }
    let typed = String::from_utf8_lossy(data);
    if let Ok(secret) = RecoverySecret::parse(&typed) {
        let again = RecoverySecret::parse(&secret.to_text());
        assert!(again.is_ok_and(|again| again.lock().id() == secret.lock().id()));
    }
}
