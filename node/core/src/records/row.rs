//! Rows of the index at rest: u16be format | u64be revision | nonce 24 | ciphertext.
//!
//! The seal binds store, table, key, format and revision, so a value that was changed, or moved to
//! another row, does not open. An older value of the same row opens; that it is older shows in the
//! sum of the fingerprints of all rows, which the index keeps beside the position it has reached.

use rand_core::CryptoRng;

use super::{
    StoreError,
    frame::Fields,
    seal::{self, NONCE_BYTES},
};
use crate::crypto::SecretKey;

const FORMAT: u16 = 1;

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
            sealing: seal::derive(store_key, b"chartmesh/1/index-row"),
            marking: seal::derive(store_key, b"chartmesh/1/index-mark"),
        }
    }

    /// Seals a value for one row at one revision.
    pub fn seal(
        &self,
        table: &str,
        key: &[u8],
        revision: u64,
        value: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let binding = self.binding(table, key, revision);
        let sealed = seal::seal(&self.sealing, &nonce, &binding, value);
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
        table: &str,
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
        if format != FORMAT {
            return Err(flaw);
        }
        let binding = self.binding(table, key, revision);
        let plain = seal::open(&self.sealing, &nonce, &binding, fields.0);
        Ok((
            revision,
            plain.ok_or(StoreError::Integrity { position: revision })?,
        ))
    }

    /// A keyed hash of what a row is and when it was written; nobody without the key can make one.
    pub fn fingerprint(&self, table: &str, key: &[u8], revision: u64) -> [u8; 32] {
        seal::mac(&self.marking, &[&self.binding(table, key, revision)])
    }

    fn binding(&self, table: &str, key: &[u8], revision: u64) -> Vec<u8> {
        // No table name has a zero byte, and the key is the only other part without a fixed length.
        [
            &self.store_id[..],
            table.as_bytes(),
            &[0],
            &FORMAT.to_be_bytes(),
            &revision.to_be_bytes(),
            key,
        ]
        .concat()
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
