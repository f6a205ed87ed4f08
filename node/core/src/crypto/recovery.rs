//! The recovery secret: 20 bytes on paper that open the backups of one node.
//!
//! The node keeps only the lock that is made of the secret: it can close a backup, and says so to
//! whoever opens it, but cannot open one again. Who takes the node and all its keys therefore opens
//! no backup that lies elsewhere, and whoever wants to make one that restores needs the lock.

use bytes::Bytes;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    ENCAPSULATED_BYTES, OpeningKey, SEALING_KEY_BYTES, SealError, SealingKey, SecretKey,
    hash::keyed_hash,
    sealed::{export_from, export_to},
};

/// Bytes of the secret.
const SECRET_BYTES: usize = 20;
/// Groups on the sheet.
const GROUPS: usize = 8;
/// Symbols of a group that carry the secret; one more checks them.
const DATA_SYMBOLS: usize = 4;
/// Crockford's base32: no letter that is read as a digit (crockford.com/base32.html).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const INFO: &[u8] = b"chartmesh/1/backup";

/// Why a recovery secret cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// There are more or fewer groups.
    #[error("the recovery secret has {found} groups of five characters, not 8")]
    Groups {
        /// How many.
        found: usize,
    },
    /// A group was not typed as it is printed.
    #[error("group {group} of the recovery secret was not typed as it is printed")]
    Group {
        /// Which, counted from 1.
        group: usize,
    },
}

/// What is printed on the recovery sheet. Wipes itself.
#[derive(Clone)]
pub struct RecoverySecret(Zeroizing<[u8; SECRET_BYTES]>);

impl RecoverySecret {
    /// Draws one.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        rng.fill_bytes(&mut bytes[..]);
        Self(bytes)
    }

    /// Eight groups of five characters, the last of each a check.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(GROUPS * (DATA_SYMBOLS + 2)));
        for (index, group) in self.groups().iter().enumerate() {
            if index > 0 {
                text.push('-');
            }
            let check = check_symbol(index, group);
            for symbol in group.iter().chain([&check]) {
                text.push(char::from(ALPHABET[usize::from(*symbol)]));
            }
        }
        text
    }

    /// Reads what a person typed: blanks and hyphens anywhere, any case, O for 0, I and L for 1.
    ///
    /// # Errors
    /// [`RecoveryError`], which names the group that is wrong.
    pub fn parse(text: &str) -> Result<Self, RecoveryError> {
        let typed = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
        let symbols: Zeroizing<Vec<Option<u8>>> = Zeroizing::new(typed.map(symbol_of).collect());
        let size = DATA_SYMBOLS + 1;
        if symbols.len() != GROUPS * size {
            let found = symbols.len().div_ceil(size);
            return Err(RecoveryError::Groups { found });
        }
        let mut bits = Zeroizing::new(Vec::with_capacity(GROUPS * DATA_SYMBOLS));
        for (index, group) in symbols.chunks_exact(size).enumerate() {
            let wrong = RecoveryError::Group { group: index + 1 };
            let mut data = Zeroizing::new([0; DATA_SYMBOLS]);
            for (place, symbol) in data.iter_mut().zip(group) {
                *place = symbol.ok_or(wrong)?;
            }
            if group[DATA_SYMBOLS] != Some(check_symbol(index, &data)) {
                return Err(wrong);
            }
            bits.extend_from_slice(&data[..]);
        }
        let mut secret = Self(Zeroizing::new([0; SECRET_BYTES]));
        // Eight symbols of five bits are five bytes.
        for (bytes, symbols) in secret.0.chunks_exact_mut(5).zip(bits.chunks_exact(8)) {
            let word = symbols
                .iter()
                .fold(0_u64, |word, s| word << 5 | u64::from(*s));
            bytes.copy_from_slice(&word.to_be_bytes()[3..]);
        }
        Ok(secret)
    }

    /// What the node keeps of it.
    pub fn lock(&self) -> BackupLock {
        let opening = self.opening();
        BackupLock {
            public: opening.public(),
            tagging: self.derived(b"chartmesh/1/recovery-tag"),
        }
    }

    /// The key of a backup, from what stands in its header.
    ///
    /// That there is one proves nothing yet: to another secret, or an altered header, belongs a key
    /// that opens nothing.
    ///
    /// # Errors
    /// [`SealError::Encapsulated`] where the header holds no encapsulated key.
    pub fn backup_key(&self, enc: &[u8], header: &[u8]) -> Result<SecretKey, SealError> {
        let shared = export_from(&self.opening(), enc, INFO)?;
        Ok(mixed(&self.lock().tagging, &shared, header))
    }

    fn opening(&self) -> OpeningKey {
        OpeningKey::from_bytes(&self.derived(b"chartmesh/1/recovery-key"))
    }

    fn derived(&self, label: &[u8]) -> SecretKey {
        SecretKey::new(keyed_hash(&self.0[..], &[label]))
    }

    fn groups(&self) -> Zeroizing<Vec<[u8; DATA_SYMBOLS]>> {
        let mut groups = Zeroizing::new(Vec::with_capacity(GROUPS));
        for bytes in self.0.chunks_exact(5) {
            let word = bytes
                .iter()
                .fold(0_u64, |word, b| word << 8 | u64::from(*b));
            let symbol = |at: usize| (word >> (35 - 5 * at)) as u8 & 31;
            groups.extend([0, 4].map(|from| std::array::from_fn(|at| symbol(from + at))));
        }
        groups
    }
}

/// Closes backups to one recovery secret; kept by the node, sealed. Wipes itself.
#[derive(Clone)]
pub struct BackupLock {
    public: Bytes,
    /// Without it nobody makes a backup that opens, though the other half be known.
    tagging: SecretKey,
}

impl BackupLock {
    /// Bytes of a lock as it is stored.
    pub const LEN: usize = SEALING_KEY_BYTES + 32;

    /// Names the lock, and the sheet that belongs to it.
    pub fn id(&self) -> [u8; 8] {
        let hash = super::sha256(&[b"chartmesh/1/recovery-id", &self.public]);
        *hash.first_chunk().expect("8 bytes of 32")
    }

    /// Draws the key of one backup; what opens it again goes into its header. `header` makes the
    /// header of that, and the key is bound to all of it.
    ///
    /// # Errors
    /// [`SealError::Key`] where the lock is none.
    pub fn close(
        &self,
        rng: &mut impl CryptoRng,
        header: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<(Vec<u8>, SecretKey), SealError> {
        let sealing = SealingKey::parse(&self.public)?;
        let (enc, shared) = export_to(rng, &sealing, INFO);
        let header = header(&enc);
        let key = mixed(&self.tagging, &shared, &header);
        Ok((header, key))
    }

    /// The bytes, to be stored sealed.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&self.public[..], &self.tagging[..]].concat())
    }

    /// Reads a stored lock.
    ///
    /// # Errors
    /// [`SealError::Key`] where it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let (public, tagging) = bytes
            .split_at_checked(SEALING_KEY_BYTES)
            .ok_or(SealError::Key)?;
        SealingKey::parse(public)?;
        Ok(Self {
            public: Bytes::copy_from_slice(public),
            tagging: SecretKey::new(tagging.try_into().map_err(|_| SealError::Key)?),
        })
    }
}

/// Bytes of what opens a backup, in its header.
pub const BACKUP_ENC_BYTES: usize = ENCAPSULATED_BYTES;

fn mixed(tagging: &SecretKey, shared: &SecretKey, header: &[u8]) -> SecretKey {
    let parts: [&[u8]; 3] = [b"chartmesh/1/backup-key", &shared[..], header];
    SecretKey::new(keyed_hash(&tagging[..], &parts))
}

fn symbol_of(typed: char) -> Option<u8> {
    let typed = match typed.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let found = ALPHABET
        .iter()
        .position(|known| char::from(*known) == typed);
    found.and_then(|at| u8::try_from(at).ok())
}

/// A weighted sum over the field of 32 elements. The weights differ and are not zero, so that one wrong
/// symbol, two that changed places and a group in another's place are always found.
fn check_symbol(index: usize, group: &[u8; DATA_SYMBOLS]) -> u8 {
    let weighted = group
        .iter()
        .zip(1..)
        .map(|(symbol, weight)| times(*symbol, weight));
    let place = u8::try_from(index).unwrap_or(u8::MAX) & 31;
    weighted.fold(times(place, 9), |sum, term| sum ^ term)
}

/// Multiplies modulo x⁵ + x² + 1.
fn times(a: u8, b: u8) -> u8 {
    let mut product = 0_u16;
    for bit in 0..5 {
        if b >> bit & 1 == 1 {
            product ^= u16::from(a) << bit;
        }
    }
    for bit in (5..10).rev() {
        if product >> bit & 1 == 1 {
            product ^= 0b10_0101 << (bit - 5);
        }
    }
    (product & 31) as u8
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    fn secret(seed: u64) -> RecoverySecret {
        RecoverySecret::draw(&mut ChaCha20Rng::seed_from_u64(seed))
    }

    #[test]
    fn what_is_printed_is_read_however_it_is_typed() {
        let text = secret(1).to_text();
        assert_eq!(text.len(), 8 * 5 + 7);

        for typed in [
            text.to_string(),
            text.to_lowercase(),
            text.replace('-', " "),
            text.replace('-', "").replace('0', "o").replace('1', "l"),
        ] {
            let read = RecoverySecret::parse(&typed).unwrap();
            assert!(*read.0 == *secret(1).0, "{typed}");
        }
    }

    #[test]
    fn a_typing_error_is_found_and_its_group_named() {
        let text = secret(2).to_text();
        assert!(RecoverySecret::parse(&text).is_ok());
        let symbols: Vec<char> = text.chars().filter(|c| *c != '-').collect();
        let refused = |typed: Vec<char>| {
            let typed: String = typed.into_iter().collect();
            RecoverySecret::parse(&typed).err()
        };

        for at in 0..symbols.len() {
            let group = RecoveryError::Group { group: at / 5 + 1 };
            for other in ALPHABET
                .iter()
                .map(|byte| char::from(*byte))
                .chain(['U', '!'])
            {
                let mut typed = symbols.clone();
                typed[at] = other;
                let expected = (other != symbols[at]).then_some(group);
                assert_eq!(refused(typed), expected, "{at} {other}");
            }
            let mut typed = symbols.clone();
            let neighbour = if at % 5 == 3 {
                at
            } else {
                (at / 5 * 5) + (at % 5 + 1) % 5
            };
            typed.swap(at, neighbour);
            if at % 5 < 3 && typed != symbols {
                assert_eq!(refused(typed), Some(group), "{at}");
            }
        }
        let mut swapped = symbols.clone();
        swapped.rotate_left(5);
        assert!(refused(swapped).is_some());
        let fewer = symbols[..39].to_vec();
        assert_eq!(refused(fewer), Some(RecoveryError::Groups { found: 8 }));
        assert!(refused([symbols, vec!['0']].concat()).is_some());
    }

    #[test]
    fn only_the_secret_opens_what_its_lock_closed() {
        let lock = BackupLock::from_bytes(&secret(3).lock().to_bytes()).unwrap();
        let mut enc = Vec::new();
        let header = |drawn: &[u8]| {
            enc = drawn.to_vec();
            [b"head", drawn].concat()
        };
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let (header, key) = lock.close(&mut rng, header).unwrap();

        let opened = |secret: &RecoverySecret, header: &[u8]| {
            secret.backup_key(&enc, header).unwrap() == key
        };

        assert!(opened(&secret(3), &header));
        assert!(!opened(&secret(4), &header));
        assert!(!opened(&secret(3), b"tail"));
        assert!(lock.id() != secret(4).lock().id());
        assert!(BackupLock::from_bytes(&lock.to_bytes()[1..]).is_err());
    }
}
