//! The bytes of every file and value that a store keeps, and that they read back.
//!
//! `CHARTMESH_WRITE_VECTORS=1 cargo test -p chartmesh-core --test store_vectors` writes the files that do
//! not exist yet. A file that exists is never written: a changed format is another file.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and the vectors are files"
)]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use chartmesh_core::{
    crypto::{RecoverySecret, SecretKey, row, sha256, tree::leaf_hash},
    membership::{Organization, StoredIdentity, StoredOpeningKey},
    records::{
        Backup, BackupSource, Batch, Disk, Head, KeyId, Keyring, Log, Record, RecordKind, Recorded,
        Scope, StoreError, Tail, Taking, read_record,
    },
    types::{Incarnation, Kind, MemberId, PatientId, Timestamp},
    wire,
};
use data_encoding::HEXLOWER;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde_json::{Value, json};

const SEED: [u8; 32] = [0x5e; 32];
const STORE: [u8; 16] = [0x57; 16];
const PATIENT: PatientId = PatientId([0x9a; 16]);
const JOURNAL: &str = "journal/00000000000000000001";
const TIMES_MS: [u64; 2] = [1_760_000_000_000, 1_760_000_001_234];
/// Bytes of the header of a journal file, and of the head of a commit frame.
const HEADERS: [usize; 2] = [64, 12];
/// Bytes of a record before its ciphertext; of these, what its seal binds besides the store.
const RECORD_HEAD: [usize; 2] = [62, 34];

#[test]
fn a_journal_of_two_commits_has_the_bytes_of_its_vector_and_reads_back() {
    let (disk, log, recorded) = store();
    let written: Vec<&Record> = recorded.iter().flat_map(Recorded::records).collect();
    let vector = golden(
        "store-journal.json",
        &json!({
            "key_encryption_key": hex(&kek()[..]),
            "store_id": hex(&STORE),
            "seed": hex(&SEED),
            "name": JOURNAL,
            "records": written.iter().copied().map(shown).collect::<Vec<_>>(),
            "chain": hex(&log.head().chain),
            "bytes": hex(&disk.bytes(JOURNAL)),
        }),
    );

    let kept = MemoryDisk::default();
    kept.put(JOURNAL, unhex(&vector["bytes"]));
    kept.put("keyring", disk.bytes("keyring"));
    let mut replayed = Vec::new();
    let (again, opened) = Log::open(kept.clone(), &kek(), Some(log.head()), &mut |record| {
        replayed.push(record);
    })
    .unwrap();

    assert_eq!((opened.tail, opened.problem), (Tail::Clean, None));
    assert_eq!(hex(&again.head().chain), vector["chain"]);
    let replayed: Vec<Value> = replayed.iter().map(shown).collect();
    assert_eq!(vector["records"], Value::from(replayed));
    for record in written {
        let read = read_record(&kept, &again.keys(), record.place).unwrap();
        assert_eq!(shown(&read), shown(record));
    }
}

struct Whole(Vec<u8>);

impl BackupSource for Whole {
    fn len_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.0.len() as u64)
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let from = (offset as usize).min(self.0.len());
        Ok(self.0[from..(from + len).min(self.0.len())].to_vec())
    }
}

#[test]
fn a_backup_has_the_bytes_of_its_vector_and_opens_by_what_is_typed() {
    let (disk, log, _) = store();
    let mut rng = ChaCha20Rng::from_seed(SEED);
    let secret = RecoverySecret::draw(&mut rng);
    let mut bytes = Vec::new();
    let taking = Taking {
        disk: &disk,
        keyring: &log.keys(),
        read_file: &|_, _, _| Err(StoreError::Missing),
        naming: |_| Ok(None),
        until: log.head(),
        member: MemberId([0x11; 16]),
        identity: b"identity",
        config: b"log = \"info\"\n",
        now: Timestamp(TIMES_MS[1]),
    };
    let taken = taking.write(&secret.lock(), &mut rng, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    let vector = golden(
        "store-backup.json",
        &json!({
            "seed": hex(&SEED),
            "secret": secret.to_text().as_str(),
            "sheet": hex(&secret.lock().id()),
            "key": hex(&taken.unwrap().key[..]),
            "bytes": hex(&bytes),
        }),
    );

    let typed = RecoverySecret::parse(vector["secret"].as_str().unwrap()).unwrap();
    let kept = Whole(unhex(&vector["bytes"]));
    let backup = Backup::open(kept, |header| header.key(&typed)).unwrap();
    let contents = backup.check(|_| Ok(None)).unwrap();

    assert_eq!(backup.about().head, log.head());
    assert_eq!(&contents.identity[..], b"identity");
    assert_eq!(contents.config, b"log = \"info\"\n");
}

/// The same file by hand, as another program would read it.
#[test]
fn a_journal_is_what_its_description_says() {
    let (disk, log, recorded) = store();
    let file = disk.bytes(JOURNAL);
    let domain = b"chartmesh/1/journal\0";
    let genesis = sha256(&[domain, &STORE]);
    assert_eq!(Head::genesis(&STORE).chain, genesis);
    let header = [
        b"CMJRNL\0\x01".as_slice(),
        &STORE,
        &1_u64.to_be_bytes(),
        &genesis,
    ]
    .concat();
    assert_eq!(file[..HEADERS[0]], header);

    let (mut at, mut chain) = (HEADERS[0], genesis);
    for commit in &recorded {
        let records = commit.records();
        let len: usize = records.iter().map(|record| record.place.len as usize).sum();
        let [len, count] = [len, records.len()].map(|number| u32::try_from(number).unwrap());
        let head = [b"CMFR".as_slice(), &len.to_be_bytes(), &count.to_be_bytes()].concat();
        assert_eq!(file[at..at + HEADERS[1]], head);
        at += HEADERS[1];
        for record in records {
            let bytes = &file[at..at + record.place.len as usize];
            let bound = [
                &record.position.to_be_bytes()[..],
                &record.time.0.to_be_bytes(),
                &[record.kind as u8, u8::from(record.scope != Scope::Store)],
                &record.scope.key_id().0,
            ]
            .concat();
            assert_eq!(bytes[..RECORD_HEAD[1]], bound);
            let key = log.key(record.scope.key_id()).unwrap();
            let nonce = bytes[RECORD_HEAD[1]..][..24].try_into().unwrap();
            let aad = [&STORE[..], &bound].concat();
            let plain = row::open(&key, nonce, &aad, &bytes[RECORD_HEAD[0]..]).unwrap();
            assert_eq!(record.body.as_ref().unwrap()[..], plain);
            assert_eq!(record.leaf, leaf_hash(bytes));
            chain = sha256(&[domain, &chain, bytes]);
            at += bytes.len();
        }
        assert_eq!(file[at..at + chain.len()], chain);
        at += chain.len();
    }
    assert_eq!(at, file.len());
}

#[test]
fn a_keyring_has_the_bytes_of_its_vector_and_reads_back() {
    let (disk, log, _) = store();
    let shown = |keyring: &Keyring| -> Vec<Value> {
        let key = |id: KeyId| json!({"id": hex(&id.0), "key": hex(&keyring.key(id).unwrap()[..])});
        keyring.ids().into_iter().map(key).collect()
    };
    let vector = golden(
        "store-keyring.json",
        &json!({
            "key_encryption_key": hex(&kek()[..]),
            "store_id": hex(&STORE),
            "seed": hex(&SEED),
            "keys": shown(&log.keys()),
            "bytes": hex(&disk.bytes("keyring")),
        }),
    );

    let kept = MemoryDisk::default();
    kept.put("keyring", unhex(&vector["bytes"]));
    let keyring = Keyring::load(&kept, &kek()).unwrap();

    assert_eq!(keyring.store_id(), STORE);
    assert_eq!(vector["keys"], Value::from(shown(&keyring)));
}

#[test]
fn an_identity_has_the_bytes_of_its_vector_and_reads_back_sealed_and_open() {
    let (mut disk, log, _) = store();
    let plain = wire::encode_identity(&identity());
    let keyring = log.keys();
    let mut rng = ChaCha20Rng::from_seed(SEED);
    keyring
        .replace_sealed(&mut disk, "identity", &plain, &mut rng)
        .unwrap();
    let vector = golden(
        "store-identity.json",
        &json!({
            "key_encryption_key": hex(&kek()[..]),
            "store_id": hex(&STORE),
            "seed": hex(&SEED),
            "name": "identity",
            "body": hex(&plain),
            "sealed": hex(&disk.bytes("identity")),
        }),
    );

    disk.put("identity", unhex(&vector["sealed"]));
    let opened = keyring.read_sealed(&disk, "identity").unwrap();
    let read = wire::decode_identity(&unhex(&vector["body"])).unwrap();

    assert_eq!(hex(&opened), vector["body"]);
    assert!(wire::encode_identity(&read) == plain);
    assert_eq!(read.member, identity().member);
}

#[test]
fn a_row_of_the_index_has_the_bytes_of_its_vector_and_reads_back() {
    let (_, log, _) = store();
    let rows = log.keys().rows();
    let mut rng = ChaCha20Rng::from_seed(SEED);
    let sealed = rows.seal("patient", &PATIENT.0, 3, b"a value", &mut rng);
    let vector = golden(
        "store-index-row.json",
        &json!({
            "store_key": hex(&log.key(KeyId::STORE).unwrap()[..]),
            "store_id": hex(&STORE),
            "seed": hex(&SEED),
            "table": "patient",
            "key": hex(&PATIENT.0),
            "revision": 3,
            "value": hex(b"a value"),
            "fingerprint": hex(&rows.fingerprint("patient", &PATIENT.0, 3)),
            "bytes": hex(&sealed),
        }),
    );

    let opened = rows.open("patient", &PATIENT.0, &unhex(&vector["bytes"]));

    assert_eq!(opened, Ok((3, b"a value".to_vec())));
}

#[test]
fn the_leaves_of_the_audit_log_have_the_bytes_of_their_vector() {
    let (disk, log, _) = store();
    let verified = log.verify(&mut |_| {}).unwrap();
    let vector = golden(
        "store-leaves.json",
        &json!({
            "name": "audit/leaves",
            "journal": hex(&disk.bytes(JOURNAL)),
            "keyring": hex(&disk.bytes("keyring")),
            "key_encryption_key": hex(&kek()[..]),
            "bytes": hex(verified.leaves.as_flattened()),
        }),
    );

    let kept = MemoryDisk::default();
    kept.put(JOURNAL, unhex(&vector["journal"]));
    kept.put("keyring", unhex(&vector["keyring"]));
    let (again, _) = Log::open(kept, &kek(), None, &mut |_| {}).unwrap();

    let leaves = again.verify(&mut |_| {}).unwrap().leaves;
    assert_eq!(hex(leaves.as_flattened()), vector["bytes"]);
    assert_eq!(leaves.len(), 2);
}

/// A store with two commits, and what they recorded.
fn store() -> (MemoryDisk, Log<MemoryDisk>, Vec<Recorded>) {
    let mut rng = ChaCha20Rng::from_seed(SEED);
    let disk = MemoryDisk::default();
    let mut log = Log::create(disk.clone(), &kek(), STORE, &mut rng).unwrap();
    let mut first = Batch::default();
    first.push(RecordKind::Charter, Scope::Store, "a charter");
    first
        .keys
        .push((PATIENT.into(), SecretKey::new([0xc4; 32])));
    first.push(RecordKind::Patient, Scope::Patient(PATIENT), "a patient");
    first.push(RecordKind::Audit, Scope::Store, "an audit entry");
    let mut second = Batch::default();
    second.push(RecordKind::Resource, Scope::Patient(PATIENT), "");
    second.push(RecordKind::Audit, Scope::Store, "another audit entry");
    let recorded = [first, second]
        .into_iter()
        .zip(TIMES_MS)
        .flat_map(|(batch, time)| {
            let pending = log.append(Timestamp(time), vec![batch], &mut rng).unwrap();
            log.sync(pending).unwrap()
        })
        .collect();
    (disk, log, recorded)
}

fn kek() -> SecretKey {
    SecretKey::new([0x3e; 32])
}

fn identity() -> StoredIdentity {
    StoredIdentity {
        member: MemberId([0x11; 16]),
        node_seed: SecretKey::new([0x22; 32]),
        audit_seed: SecretKey::new([0x33; 32]),
        authority_seed: SecretKey::new([0x44; 32]),
        organization: Organization {
            name: "Hospital A".to_owned(),
            kind: Kind::Hospital,
            npi: "1234567893".to_owned(),
            oid: "2.16.840.1.113883.19.5".to_owned(),
            address: "1 Main Street".to_owned(),
            contact: "privacy@example.org".to_owned(),
            phone: "+1 555 0100".to_owned(),
            hours: "always".to_owned(),
            state: "MA".to_owned(),
            part2: false,
            test: true,
        },
        opening: [(0x55, TIMES_MS[1]), (0x66, TIMES_MS[0])]
            .map(|(byte, created)| StoredOpeningKey {
                private: SecretKey::new([byte; 32]),
                created: Timestamp(created),
            })
            .to_vec(),
        next_node_seed: None,
        incarnation: Incarnation::default(),
    }
}

fn shown(record: &Record) -> Value {
    json!({
        "position": record.position,
        "time_ms": record.time.0,
        "kind": record.kind as u8,
        "key_id": hex(&record.scope.key_id().0),
        "offset": record.place.offset,
        "len": record.place.len,
        "body": hex(record.body.as_ref().unwrap()),
        "leaf": hex(&record.leaf),
    })
}

/// Compares with the file, which it writes where that is wished for, and returns what the file says.
fn golden(file: &str, vector: &Value) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors")
        .join(file);
    let text = serde_json::to_string_pretty(vector).unwrap() + "\n";
    if !path.exists() && std::env::var_os("CHARTMESH_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(
        kept == text,
        "the golden bytes are\n{kept}\nand ours\n{text}"
    );
    serde_json::from_str(&kept).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn unhex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

/// Files in memory; clones are handles of the same disk.
#[derive(Clone, Default)]
struct MemoryDisk(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl MemoryDisk {
    fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.lock().unwrap()[name].clone()
    }

    fn put(&self, name: &str, bytes: Vec<u8>) {
        self.0.lock().unwrap().insert(name.to_owned(), bytes);
    }
}

impl Disk for MemoryDisk {
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut files = self.0.lock().unwrap();
        files.entry(name.to_owned()).or_default().extend(bytes);
        Ok(())
    }

    fn sync(&mut self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let files = self.0.lock().unwrap();
        let file = files.get(name).ok_or(StoreError::Missing)?;
        let start = usize::try_from(offset).unwrap().min(file.len());
        Ok(file[start..start.saturating_add(len).min(file.len())].to_vec())
    }

    fn len(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let files = self.0.lock().unwrap();
        Ok(files.get(name).map(|file| file.len() as u64))
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.put(name, bytes.to_vec());
        Ok(())
    }

    fn set_aside(&mut self, _: &str, _: u64, _: &str) -> Result<(), StoreError> {
        unreachable!("no vector has a torn tail")
    }

    fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let files = self.0.lock().unwrap();
        Ok(files
            .keys()
            .filter(|name| name.starts_with(prefix))
            .cloned()
            .collect())
    }
}
