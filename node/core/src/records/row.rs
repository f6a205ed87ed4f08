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
