//! The keys of the store and of its patients, wrapped, in one small file that is rewritten whole.
//!
//! `CMKEYS\0\1` | store id 16 | u32be count | entries (key id 16 | nonce 24 | wrapped key 48) | tag 32.
//! Each key is wrapped on its own; the tag (HMAC-SHA256 under another key) covers the whole file, so
//! that an entry taken out, put back or moved is noticed. Entry zero is the store's own key.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    Disk, KeyId, StoreError,
    frame::{Fields, NONCE_BYTES},
    row::RowSeal,
};
use crate::crypto::{
    SecretKey, WrapContext, derive, keyed_hash, keyed_hash_matches, row, unwrap_key, wrap_key,
};

/// Name of the file.
const NAME: &str = "keyring";
const MAGIC: &[u8; 7] = b"CMKEYS\0";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8 + 16 + 4;
const WRAPPED_BYTES: usize = NONCE_BYTES + 32 + row::OVERHEAD_BYTES;
const ENTRY_BYTES: usize = 16 + WRAPPED_BYTES;
const MAC_BYTES: usize = 32;

const SEALED_MAGIC: &[u8; 8] = b"CMSEAL\0\x01";

#[derive(Clone)]
struct Entry {
    key: SecretKey,
    /// Nonce and ciphertext, as they lie.
    wrapped: Vec<u8>,
}

/// The keys of an open store; clones share them.
///
/// Whoever holds this can read everything that was not erased.
#[derive(Clone)]
pub struct Keyring {
    store_id: [u8; 16],
    wrapping: SecretKey,
    tagging: SecretKey,
    sealing: SecretKey,
    entries: Arc<RwLock<BTreeMap<KeyId, Entry>>>,
}

impl Keyring {
    /// Reads the keyring of a store.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none, [`StoreError::Key`] where the key-encryption key
    /// opens nothing in it, [`StoreError::Integrity`] where it was changed,
    /// [`StoreError::FormatTooNew`].
    pub fn load<D: Disk>(disk: &D, kek: &SecretKey) -> Result<Self, StoreError> {
        let len = disk.len(NAME)?.ok_or(StoreError::Missing)?;
        let bytes = disk.read(NAME, 0, usize::try_from(len).unwrap_or(usize::MAX))?;
        let flaw = StoreError::Integrity { position: 0 };
        let Some((version, _)) = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first) else {
            return Err(flaw);
        };
        if *version > VERSION {
            return Err(StoreError::FormatTooNew {
                found: u16::from(*version),
            });
        }
        if bytes.len() < HEADER_BYTES + ENTRY_BYTES + MAC_BYTES {
            return Err(flaw);
        }
        let (content, tag) = bytes.split_at(bytes.len() - MAC_BYTES);
        let mut fields = Fields(&content[8..]);
        let (Some(store_id), Some(count)) = (fields.take(), fields.take()) else {
            return Err(flaw);
        };
        let keyring = Self::empty(store_id, kek);
        let wrapped = fields.0;
        if !keyed_hash_matches(&keyring.tagging[..], &[content], tag) {
            // Any entry that opens shows that the key is right and the file is not.
            let opens = wrapped
                .chunks_exact(ENTRY_BYTES)
                .any(|entry| keyring.unwrap_entry(entry).is_some());
            return Err(if opens { flaw } else { StoreError::Key });
        }
        if wrapped.len() != u32::from_be_bytes(count) as usize * ENTRY_BYTES {
            return Err(flaw);
        }
        let entries = wrapped
            .chunks_exact(ENTRY_BYTES)
            .map(|entry| keyring.unwrap_entry(entry).ok_or(flaw))
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        if !entries.contains_key(&KeyId::STORE) {
            return Err(flaw);
        }
        *keyring
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner) = entries;
        Ok(keyring)
    }

    /// Makes the keyring of a store that has none, with a store key of its own.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] where there is one already; what the disk says.
    pub(super) fn create<D: Disk>(
        disk: &mut D,
        kek: &SecretKey,
        store_id: [u8; 16],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, StoreError> {
        if Self::exists(disk)? {
            return Err(StoreError::ReadOnly);
        }
        let keyring = Self::empty(store_id, kek);
        let mut key = SecretKey::default();
        rng.fill_bytes(key.as_mut_slice());
        keyring.add(disk, &[(KeyId::STORE, key)], rng)?;
        Ok(keyring)
    }

    /// Whether a store was made here.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn exists<D: Disk>(disk: &D) -> Result<bool, StoreError> {
        Ok(disk.len(NAME)?.is_some())
    }

    /// The random id of the store.
    pub fn store_id(&self) -> [u8; 16] {
        self.store_id
    }

    /// A key; none where it was erased or never was.
    pub fn key(&self, id: KeyId) -> Option<SecretKey> {
        self.read().get(&id).map(|entry| entry.key.clone())
    }

    /// Ids of all keys, the store's first.
    pub fn ids(&self) -> Vec<KeyId> {
        self.read().keys().copied().collect()
    }

    /// What seals the rows of the index.
    pub fn rows(&self) -> RowSeal {
        let store = self
            .key(KeyId::STORE)
            .expect("no keyring is made or loaded without the store's own key");
        RowSeal::new(self.store_id, &store)
    }

    /// Whether keys may be added: none stands here already with another value.
    ///
    /// # Errors
    /// [`StoreError::Key`]; a patient's records would be lost with the key that seals them.
    pub(super) fn check(&self, keys: &[(KeyId, SecretKey)]) -> Result<(), StoreError> {
        let entries = self.read();
        let clash = keys
            .iter()
            .any(|(id, key)| entries.get(id).is_some_and(|entry| entry.key != *key));
        if clash {
            return Err(StoreError::Key);
        }
        Ok(())
    }

    /// Adds keys, durably.
    ///
    /// # Errors
    /// [`StoreError::Key`] where one is there with another value; what the disk says. Nothing is
    /// added then.
    pub(super) fn add<D: Disk>(
        &self,
        disk: &mut D,
        keys: &[(KeyId, SecretKey)],
        rng: &mut impl CryptoRng,
    ) -> Result<(), StoreError> {
        self.check(keys)?;
        let mut entries = self.read().clone();
        let before = entries.len();
        for (id, key) in keys {
            match entries.get(id) {
                None => {
                    let entry = self.wrap_entry(*id, key, rng);
                    entries.insert(*id, entry);
                }
                Some(entry) if entry.key != *key => return Err(StoreError::Key),
                Some(_) => {}
            }
        }
        if entries.len() == before {
            return Ok(());
        }
        disk.replace(NAME, &self.encode(&entries))?;
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
        Ok(())
    }

    /// Reads a small file that was sealed under the key-encryption key.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Integrity`], [`StoreError::FormatTooNew`], or what the
    /// disk says.
    pub fn read_sealed<D: Disk>(
        &self,
        disk: &D,
        name: &str,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let len = disk.len(name)?.ok_or(StoreError::Missing)?;
        let bytes = disk.read(name, 0, usize::try_from(len).unwrap_or(usize::MAX))?;
        let flaw = StoreError::Integrity { position: 0 };
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(flaw)?;
        if magic[..7] == SEALED_MAGIC[..7] && magic[7] > SEALED_MAGIC[7] {
            return Err(StoreError::FormatTooNew {
                found: u16::from(magic[7]),
            });
        }
        let (nonce, sealed) = rest.split_first_chunk().ok_or(flaw)?;
        if magic != SEALED_MAGIC {
            return Err(flaw);
        }
        let plain = row::open(&self.sealing, nonce, &self.file_binding(name), sealed);
        plain.map(Zeroizing::new).map_err(|_| flaw)
    }

    /// Seals a small file under the key-encryption key and puts it in place whole.
    ///
    /// # Errors
    /// What the disk says; the file before, if any, is then untouched.
    pub fn replace_sealed<D: Disk>(
        &self,
        disk: &mut D,
        name: &str,
        plain: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(), StoreError> {
        disk.replace(name, &self.sealed(name, plain, rng))
    }

    /// The bytes of a small file sealed under the key-encryption key.
    pub fn sealed(&self, name: &str, plain: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let sealed = row::seal(&self.sealing, &nonce, &self.file_binding(name), plain);
        [&SEALED_MAGIC[..], &nonce, &sealed].concat()
    }

    /// The same keys under another key-encryption key, of no disk yet.
    #[must_use]
    pub fn rewrapped(&self, kek: &SecretKey, rng: &mut impl CryptoRng) -> Self {
        let other = Self::empty(self.store_id, kek);
        let mut entries = BTreeMap::new();
        for (id, entry) in &*self.read() {
            entries.insert(*id, other.wrap_entry(*id, &entry.key, rng));
        }
        Self {
            entries: Arc::new(RwLock::new(entries)),
            ..other
        }
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode(&self.read())
    }

    /// Puts the file where there is none, durably.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] where there is one; what the disk says.
    pub fn put<D: Disk>(&self, disk: &mut D) -> Result<(), StoreError> {
        if Self::exists(disk)? {
            return Err(StoreError::ReadOnly);
        }
        disk.replace(NAME, &self.to_bytes())
    }

    fn empty(store_id: [u8; 16], kek: &SecretKey) -> Self {
        Self {
            store_id,
            wrapping: derive(kek, "chartmesh/1/keyring-wrap"),
            tagging: derive(kek, "chartmesh/1/keyring-tag"),
            sealing: derive(kek, "chartmesh/1/sealed-file"),
            entries: Arc::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<KeyId, Entry>> {
        // The map is only ever swapped whole, so a panic elsewhere leaves it as it was.
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn encode(&self, entries: &BTreeMap<KeyId, Entry>) -> Vec<u8> {
        let count = u32::try_from(entries.len())
            .expect("memory ends long before four thousand million keys");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + entries.len() * ENTRY_BYTES + MAC_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.store_id);
        bytes.extend_from_slice(&count.to_be_bytes());
        for (id, entry) in entries {
            bytes.extend_from_slice(&id.0);
            bytes.extend_from_slice(&entry.wrapped);
        }
        let tag = keyed_hash(&self.tagging[..], &[&bytes]);
        bytes.extend_from_slice(&tag);
        bytes
    }

    fn wrap_entry(&self, id: KeyId, key: &SecretKey, rng: &mut impl CryptoRng) -> Entry {
        Entry {
            key: key.clone(),
            wrapped: wrap_key(rng, &self.wrapping, &self.context(id), key),
        }
    }

    fn unwrap_entry(&self, bytes: &[u8]) -> Option<(KeyId, Entry)> {
        let (id, wrapped) = bytes.split_first_chunk()?;
        let id = KeyId(*id);
        let entry = Entry {
            key: unwrap_key(&self.wrapping, &self.context(id), wrapped).ok()?,
            wrapped: wrapped.to_vec(),
        };
        Some((id, entry))
    }

    fn context(&self, id: KeyId) -> WrapContext {
        WrapContext {
            store: self.store_id,
            key_id: id.0,
        }
    }

    fn file_binding(&self, name: &str) -> Vec<u8> {
        [&SEALED_MAGIC[..], &self.store_id, name.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::records::faulty::{Fault, FaultDisk};

    #[test]
    fn keys_read_back_under_the_same_key_only() {
        let (disk, keyring, _) = ring();

        let loaded = Keyring::load(&disk, &kek()).unwrap();

        assert_eq!(loaded.ids(), keyring.ids());
        assert!(loaded.key(KeyId([2; 16])) == Some(SecretKey::new([12; 32])));
        assert_eq!(loaded.store_id(), [9; 16]);
        let refused = Keyring::load(&disk, &SecretKey::new([4; 32])).err();
        assert_eq!(refused, Some(StoreError::Key));
    }

    #[test]
    fn an_entry_taken_out_or_put_back_is_noticed() {
        let (mut disk, keyring, mut rng) = ring();
        let whole = disk.bytes(NAME);
        assert!(Keyring::load(&disk, &kek()).is_ok());
        let entry = HEADER_BYTES + ENTRY_BYTES..HEADER_BYTES + 2 * ENTRY_BYTES;

        disk.change(NAME, |bytes| {
            bytes.drain(entry.clone());
            bytes[HEADER_BYTES - 1] -= 1;
        });
        let taken = Keyring::load(&disk, &kek()).err();
        disk.change(NAME, |bytes| *bytes = whole.clone());
        keyring
            .add(
                &mut disk,
                &[(KeyId([7; 16]), SecretKey::new([7; 32]))],
                &mut rng,
            )
            .unwrap();
        disk.change(NAME, |bytes| {
            let end = bytes.len() - MAC_BYTES;
            bytes.splice(end..end, whole[entry].to_vec());
            bytes[HEADER_BYTES - 1] += 1;
        });
        let put_back = Keyring::load(&disk, &kek()).err();

        let flaw = Some(StoreError::Integrity { position: 0 });
        assert_eq!((taken, put_back), (flaw, flaw));
    }

    #[test]
    fn every_flipped_bit_of_the_file_is_found() {
        let (disk, _, _) = ring();
        let whole = disk.bytes(NAME);
        for bit in 0..whole.len() * 8 {
            let disk = disk.copy();
            disk.change(NAME, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));

            assert!(Keyring::load(&disk, &kek()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_key_that_could_not_be_written_is_not_there() {
        let (mut disk, keyring, mut rng) = ring();
        let key = [(KeyId([7; 16]), SecretKey::new([7; 32]))];
        disk.fail(0, Fault::Failed);

        let refused = keyring.add(&mut disk, &key, &mut rng);

        assert_eq!(refused, Err(StoreError::Failed));
        assert!(keyring.key(KeyId([7; 16])).is_none());
        assert!(keyring.add(&mut disk, &key, &mut rng).is_ok());
        assert!(keyring.key(KeyId([7; 16])).is_some());
    }

    #[test]
    fn a_sealed_file_opens_under_its_own_name_only() {
        let (mut disk, keyring, mut rng) = ring();
        keyring
            .replace_sealed(&mut disk, "identity", b"signing key", &mut rng)
            .unwrap();
        keyring
            .replace_sealed(&mut disk, "other", b"", &mut rng)
            .unwrap();

        let read = keyring.read_sealed(&disk, "identity").unwrap();
        assert_eq!(read.as_slice(), b"signing key");

        let moved = disk.bytes("identity");
        disk.change("other", |bytes| *bytes = moved);
        let flaw = Err(StoreError::Integrity { position: 0 });
        assert_eq!(keyring.read_sealed(&disk, "other"), flaw);
        disk.change("identity", |bytes| bytes[40] ^= 1);
        assert_eq!(keyring.read_sealed(&disk, "identity"), flaw);
        disk.change("identity", |bytes| bytes[7] = 9);
        let newer = Err(StoreError::FormatTooNew { found: 9 });
        assert_eq!(keyring.read_sealed(&disk, "identity"), newer);
    }

    fn kek() -> SecretKey {
        SecretKey::new([3; 32])
    }

    /// The store's key and two patients'.
    fn ring() -> (FaultDisk, Keyring, ChaCha20Rng) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut disk = FaultDisk::default();
        let keyring = Keyring::create(&mut disk, &kek(), [9; 16], &mut rng).unwrap();
        let keys = [1, 2].map(|id| (KeyId([id; 16]), SecretKey::new([id + 10; 32])));
        keyring.add(&mut disk, &keys, &mut rng).unwrap();
        (disk, keyring, rng)
    }
}
