//! Sealing at rest: one value, one random 24-byte nonce (XChaCha20-Poly1305).

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};

use super::SecretKey;

/// A sealed value does not open: another key, another place, or changed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The tag does not hold.
    #[error("a sealed value does not open where it was found")]
    Integrity,
}

/// Bytes a sealed value is longer than its content.
pub const OVERHEAD_BYTES: usize = 16;

/// Seals a value. The nonce is 24 random bytes, drawn for this call and stored beside the value.
pub fn seal(key: &SecretKey, nonce: &[u8; 24], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    XChaCha20Poly1305::new((&**key).into())
        .encrypt(nonce.into(), Payload { msg: plain, aad })
        .expect("a value is shorter than the 256 GiB of the cipher")
}

/// Opens a value.
///
/// # Errors
/// [`RowError::Integrity`] where key, nonce, associated data or ciphertext are not those of the
/// sealing.
pub fn open(
    key: &SecretKey,
    nonce: &[u8; 24],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, RowError> {
    XChaCha20Poly1305::new((&**key).into())
        .decrypt(nonce.into(), Payload { msg: sealed, aad })
        .map_err(|_| RowError::Integrity)
}

/// Where a row of the index stands: a value moved elsewhere, or older than the index says, does not
/// open (`storage.md` 4).
#[derive(Clone, Copy)]
pub struct RowAad<'a> {
    /// 16 random bytes made by `init`.
    pub store: &'a [u8; 16],
    /// Name of the table.
    pub table: &'static str,
    /// Key of the row.
    pub key: &'a [u8],
    /// Version of the value's format.
    pub format: u16,
    /// Position of the journal record that wrote it.
    pub revision: u64,
}

impl RowAad<'_> {
    /// Its bytes; every part of variable length has its length in front.
    ///
    /// # Panics
    /// Where the table's name has over 255 bytes or the key over 65,535.
    pub fn to_bytes(&self) -> Vec<u8> {
        let table_len = u8::try_from(self.table.len()).expect("table names are short constants");
        let key_len = u16::try_from(self.key.len()).expect("row keys are ids");
        let mut bytes = Vec::with_capacity(29 + self.table.len() + self.key.len());
        bytes.extend_from_slice(self.store);
        bytes.push(table_len);
        bytes.extend_from_slice(self.table.as_bytes());
        bytes.extend_from_slice(&key_len.to_be_bytes());
        bytes.extend_from_slice(self.key);
        bytes.extend_from_slice(&self.format.to_be_bytes());
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 24] = [5; 24];

    #[test]
    fn a_value_opens_where_it_was_sealed_and_nowhere_else() {
        let sealed = seal(&key(), &NONCE, &aad().to_bytes(), b"value");
        let open_at = |aad: RowAad<'_>| open(&key(), &NONCE, &aad.to_bytes(), &sealed);
        assert_eq!(open_at(aad()), Ok(b"value".to_vec()));

        let elsewhere = [
            RowAad {
                store: &[2; 16],
                ..aad()
            },
            RowAad {
                table: "consens",
                ..aad()
            },
            RowAad {
                key: b"kez",
                ..aad()
            },
            RowAad { format: 2, ..aad() },
            RowAad {
                revision: 6,
                ..aad()
            },
        ];
        for place in elsewhere {
            assert_eq!(open_at(place), Err(RowError::Integrity));
        }
    }

    #[test]
    fn the_same_bytes_divided_another_way_are_another_place() {
        let place = RowAad {
            key: b"\0\x01x",
            ..aad()
        };
        let divided = RowAad {
            table: "consent\0\x03",
            key: b"x",
            ..aad()
        };
        let sealed = seal(&key(), &NONCE, &place.to_bytes(), b"value");
        assert!(open(&key(), &NONCE, &place.to_bytes(), &sealed).is_ok());

        let refused = open(&key(), &NONCE, &divided.to_bytes(), &sealed);

        assert_eq!(refused, Err(RowError::Integrity));
    }

    #[test]
    fn one_changed_bit_is_an_integrity_error() {
        let aad = aad().to_bytes();
        let sealed = seal(&key(), &NONCE, &aad, b"value");
        assert!(open(&key(), &NONCE, &aad, &sealed).is_ok());

        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                open(&key(), &NONCE, &aad, &changed),
                Err(RowError::Integrity)
            );
        }
        let other_key = SecretKey::new([8; 32]);
        assert!(open(&other_key, &NONCE, &aad, &sealed).is_err());
        assert!(open(&key(), &[6; 24], &aad, &sealed).is_err());
        assert!(open(&key(), &NONCE, &aad, &sealed[1..]).is_err());
        assert!(open(&key(), &NONCE, &aad, b"").is_err());
    }

    #[test]
    fn an_empty_value_is_a_value() {
        let sealed = seal(&key(), &NONCE, b"", b"");

        assert_eq!(sealed.len(), OVERHEAD_BYTES);
        assert_eq!(open(&key(), &NONCE, b"", &sealed), Ok(Vec::new()));
    }

    fn key() -> SecretKey {
        SecretKey::new([7; 32])
    }

    fn aad() -> RowAad<'static> {
        RowAad {
            store: &[1; 16],
            table: "consent",
            key: b"key",
            format: 1,
            revision: 5,
        }
    }
}
