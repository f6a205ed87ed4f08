//! Rows of the index at rest: u16be format | u64be revision | nonce 24 | ciphertext.
//!
//! The seal binds store, table, key, format and revision, so a value that was changed, or moved to
//! another row, does not open. An older value of the same row opens; that it is older shows in the
//! sum of the fingerprints of all rows, which the index keeps beside the position it has reached.

use rand_core::CryptoRng;

use super::{
    StoreError,
    frame::{Fields, NONCE_BYTES},
};
use crate::crypto::{RowAad, SecretKey, derive, keyed_hash, row};

const FORMAT: u16 = 1;
/// Longest key that a row can be bound to; a damaged index may show any.
const KEY_MAX_BYTES: usize = u16::MAX as usize;

/// Seals and opens rows of one store.
#[derive(Clone)]
pub struct RowSeal {
    store_id: [u8; 16],
    sealing: SecretKey,
    marking: SecretKey,
}

impl RowSeal {
    pub(super) fn new(store_id: [u8; 16], store_key: &SecretKey) -> Self {
        Self {
            store_id,
            sealing: derive(store_key, "chartmesh/1/index-row"),
            marking: derive(store_key, "chartmesh/1/index-mark"),
        }
    }

    /// Seals a value for one row at one revision.
    ///
    /// # Panics
    /// Where the key has over 65,535 bytes.
    pub fn seal(
        &self,
        table: &'static str,
        key: &[u8],
        revision: u64,
        value: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let binding = self.binding(table, key, revision);
        let sealed = row::seal(&self.sealing, &nonce, &binding, value);
        [
            &FORMAT.to_be_bytes()[..],
            &revision.to_be_bytes(),
            &nonce,
            &sealed,
        ]
        .concat()
    }

    /// Opens the value of a row and tells its revision.
    ///
    /// # Errors
    /// [`StoreError::Integrity`] where it is not what was sealed for this row,
    /// [`StoreError::FormatTooNew`].
    pub fn open(
        &self,
        table: &'static str,
        key: &[u8],
        bytes: &[u8],
    ) -> Result<(u64, Vec<u8>), StoreError> {
        let mut fields = Fields(bytes);
        let flaw = StoreError::Integrity { position: 0 };
        let (Some(format), Some(revision), Some(nonce)) =
            (fields.take(), fields.take(), fields.take())
        else {
            return Err(flaw);
        };
        let (format, revision) = (u16::from_be_bytes(format), u64::from_be_bytes(revision));
        if format > FORMAT {
            return Err(StoreError::FormatTooNew { found: format });
        }
        if format != FORMAT || key.len() > KEY_MAX_BYTES {
            return Err(flaw);
        }
        let binding = self.binding(table, key, revision);
        let plain = row::open(&self.sealing, &nonce, &binding, fields.0)
            .map_err(|_| StoreError::Integrity { position: revision })?;
        Ok((revision, plain))
    }

    /// A keyed hash of what a row is and when it was written; nobody without the key can make one.
    ///
    /// # Panics
    /// Where the key has over 65,535 bytes.
    pub fn fingerprint(&self, table: &'static str, key: &[u8], revision: u64) -> [u8; 32] {
        keyed_hash(&self.marking[..], &[&self.binding(table, key, revision)])
    }

    fn binding(&self, table: &'static str, key: &[u8], revision: u64) -> Vec<u8> {
        let place = RowAad {
            store: &self.store_id,
            table,
            key,
            format: FORMAT,
            revision,
        };
        place.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn a_row_opens_in_its_own_place_only() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let seal = RowSeal::new([1; 16], &SecretKey::new([2; 32]));
        let sealed = seal.seal("patient", b"key", 7, b"value", &mut rng);

        assert_eq!(
            seal.open("patient", b"key", &sealed),
            Ok((7, b"value".to_vec()))
        );

        let flaw = Err(StoreError::Integrity { position: 7 });
        assert_eq!(seal.open("consent", b"key", &sealed), flaw);
        assert_eq!(seal.open("patient", b"kez", &sealed), flaw);
        let other = RowSeal::new([9; 16], &SecretKey::new([2; 32]));
        assert_eq!(other.open("patient", b"key", &sealed), flaw);
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(seal.open("patient", b"key", &changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_fingerprint_tells_revisions_apart() {
        let seal = RowSeal::new([1; 16], &SecretKey::new([2; 32]));
        let mark = |revision| seal.fingerprint("patient", b"key", revision);

        assert_eq!(mark(1), mark(1));
        assert_ne!(mark(1), mark(2));
    }
}
