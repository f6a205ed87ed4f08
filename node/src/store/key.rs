//! The key-encryption key: from a key file, or from a passphrase.
//!
//! A key file beside the data protects nothing from whoever takes the disk (`storage.md` 11).

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use chartmesh_core::crypto::{Argon2Cost, SecretKey, key_from_passphrase};
use data_encoding::HEXLOWER;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{OpenError, dir};

/// Widest rights of a file that holds a key.
const ALLOWED: u32 = 0o600;
/// Longest key or parameter file that is read.
const FILE_MAX_BYTES: u64 = 4 << 10;
/// Second recommended option of RFC 9106, section 4: 64 MiB, three passes, four lanes.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// How a passphrase becomes a key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    algorithm: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
}

/// Draws a key and writes it to a file that must not exist yet.
///
/// # Errors
/// [`OpenError::AlreadyInitialised`] where the file exists; what the system says.
pub fn create_file(path: &Path, rng: &mut impl CryptoRng) -> Result<SecretKey, OpenError> {
    let mut key = SecretKey::default();
    rng.fill_bytes(key.as_mut_slice());
    let mut text = Zeroizing::new(HEXLOWER.encode(key.as_slice()));
    text.push('\n');
    create(path, text.as_bytes())?;
    Ok(key)
}

/// Reads a key file: 64 hex digits, rights at most 0600.
///
/// # Errors
/// [`OpenError::Permissions`], [`OpenError::KeyUnreadable`].
pub fn read_file(path: &Path) -> Result<SecretKey, OpenError> {
    parse_file(&read(path)?)
}

/// Reads the text of a key file.
///
/// # Errors
/// [`OpenError::KeyUnreadable`].
pub fn parse_file(text: &[u8]) -> Result<SecretKey, OpenError> {
    let mut key = SecretKey::default();
    let digits = text.trim_ascii_end();
    if digits.len() != 2 * key.len() || HEXLOWER.decode_mut(digits, key.as_mut_slice()).is_err() {
        return Err(OpenError::KeyUnreadable);
    }
    Ok(key)
}

/// Draws a salt, writes it with the parameters to a file that must not exist yet, and derives the key.
///
/// # Errors
/// [`OpenError::AlreadyInitialised`] where the file exists; what the system says.
pub fn create_passphrase(
    parameters: &Path,
    passphrase: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<SecretKey, OpenError> {
    let mut salt = [0; 16];
    rng.fill_bytes(&mut salt);
    let chosen = Parameters {
        algorithm: "argon2id".to_owned(),
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        lanes: LANES,
        salt: HEXLOWER.encode(&salt),
    };
    let key = derive(chosen.check()?, passphrase)?;
    let text = toml::to_string(&chosen).map_err(|_| OpenError::KeyUnreadable)?;
    create(parameters, text.as_bytes())?;
    Ok(key)
}

/// Derives the key of a passphrase from the parameters that [`create_passphrase`] wrote.
///
/// Whether the passphrase is right shows when the keyring is opened.
///
/// # Errors
/// [`OpenError::Permissions`], [`OpenError::KeyUnreadable`].
pub fn read_passphrase(parameters: &Path, passphrase: &[u8]) -> Result<SecretKey, OpenError> {
    derive(parse_parameters(&read(parameters)?)?, passphrase)
}

/// Reads the text of the parameters of a passphrase: the salt, and a cost within its bounds.
///
/// # Errors
/// [`OpenError::KeyUnreadable`].
pub fn parse_parameters(text: &[u8]) -> Result<([u8; 16], Argon2Cost), OpenError> {
    let text = std::str::from_utf8(text).map_err(|_| OpenError::KeyUnreadable)?;
    let chosen: Parameters = toml::from_str(text).map_err(|_| OpenError::KeyUnreadable)?;
    chosen.check()
}

impl Parameters {
    fn check(&self) -> Result<([u8; 16], Argon2Cost), OpenError> {
        if self.algorithm != "argon2id" {
            return Err(OpenError::KeyUnreadable);
        }
        let mut salt = [0; 16];
        let digits = self.salt.as_bytes();
        if digits.len() != 2 * salt.len() || HEXLOWER.decode_mut(digits, &mut salt).is_err() {
            return Err(OpenError::KeyUnreadable);
        }
        let cost = Argon2Cost::new(self.memory_kib, self.passes, self.lanes);
        Ok((salt, cost.map_err(|_| OpenError::KeyUnreadable)?))
    }
}

fn derive((salt, cost): ([u8; 16], Argon2Cost), passphrase: &[u8]) -> Result<SecretKey, OpenError> {
    key_from_passphrase(passphrase, &salt, cost).map_err(|_| OpenError::KeyUnreadable)
}

fn create(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(ALLOWED)
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(OpenError::AlreadyInitialised);
        }
        Err(error) => return Err(error.into()),
    };
    file.write_all(bytes)?;
    file.sync_all()?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    dir::sync_folder(folder.unwrap_or(Path::new(".")))?;
    Ok(())
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let file = File::open(path).map_err(|_| OpenError::KeyUnreadable)?;
    demand_rights(&file.metadata()?, ALLOWED)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_MAX_BYTES as usize));
    file.take(FILE_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Refuses a file or directory that others than its owner may use.
pub(super) fn demand_rights(metadata: &fs::Metadata, allowed: u32) -> Result<(), OpenError> {
    let mode = metadata.mode() & 0o777;
    if mode & !allowed != 0 {
        return Err(OpenError::Permissions { mode, allowed });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::store::journal::system_rng;

    #[test]
    fn a_key_file_reads_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");

        let key = create_file(&path, &mut system_rng()).unwrap();

        assert!(read_file(&path).unwrap() == key);
        let again = create_file(&path, &mut system_rng()).err();
        assert_eq!(again, Some(OpenError::AlreadyInitialised));
        assert!(read_file(&path).unwrap() == key);
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create_file(&path, &mut system_rng()).unwrap();
        assert!(read_file(&path).is_ok());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();

        assert_eq!(
            read_file(&path).err(),
            Some(OpenError::Permissions {
                mode: 0o640,
                allowed: ALLOWED
            })
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let good = "0".repeat(64);
        for (text, fine) in [(good.as_str(), true), (&good[1..], false), ("xyz", false)] {
            let path = folder.path().join(format!("key{}", text.len()));
            create(&path, text.as_bytes()).unwrap();

            assert_eq!(read_file(&path).is_ok(), fine);
        }
        let missing = read_file(&folder.path().join("none")).err();
        assert_eq!(missing, Some(OpenError::KeyUnreadable));
    }

    /// `CHARTMESH_WRITE_VECTORS=1` writes the file where it does not exist yet.
    #[test]
    fn key_file_and_passphrase_have_the_bytes_of_their_vectors_and_read_back() {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/store-key.json");
        let folder = tempfile::tempdir().unwrap();
        let [key, parameters] = ["key", "passphrase"].map(|name| folder.path().join(name));
        let mut rng = ChaCha20Rng::from_seed([0x5e; 32]);
        let made = create_file(&key, &mut rng).unwrap();
        let derived = create_passphrase(&parameters, b"correct horse", &mut rng).unwrap();
        let vector = serde_json::json!({
            "seed": HEXLOWER.encode(&[0x5e; 32]),
            "key": HEXLOWER.encode(&made[..]),
            "key_file": fs::read_to_string(&key).unwrap(),
            "passphrase": "correct horse",
            "passphrase_file": fs::read_to_string(&parameters).unwrap(),
            "passphrase_key": HEXLOWER.encode(&derived[..]),
        });
        let text = serde_json::to_string_pretty(&vector).unwrap() + "\n";
        if !vectors.exists() && std::env::var_os("CHARTMESH_WRITE_VECTORS").is_some() {
            fs::write(&vectors, &text).unwrap();
        }

        let kept = fs::read_to_string(&vectors).unwrap();
        assert!(
            kept == text,
            "the golden bytes are\n{kept}\nand ours\n{text}"
        );
        let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
        for (path, name) in [(&key, "key_file"), (&parameters, "passphrase_file")] {
            fs::write(path, kept[name].as_str().unwrap()).unwrap();
        }
        let read = read_file(&key).unwrap();
        assert_eq!(kept["key"], HEXLOWER.encode(&read[..]));
        let read = read_passphrase(&parameters, b"correct horse").unwrap();
        assert_eq!(kept["passphrase_key"], HEXLOWER.encode(&read[..]));
    }

    #[test]
    fn a_passphrase_gives_the_same_key_with_the_same_parameters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");

        let key = create_passphrase(&path, b"correct horse", &mut system_rng()).unwrap();

        assert!(read_passphrase(&path, b"correct horse").unwrap() == key);
        assert!(read_passphrase(&path, b"correct horsf").unwrap() != key);
        let text = fs::read_to_string(&path).unwrap();
        let changes = [
            ("65536", "99999999"),
            ("65536", "8"),
            ("argon2id", "argon2i"),
        ];
        for (good, bad) in changes {
            assert!(text.contains(good));
            fs::write(&path, text.replace(good, bad)).unwrap();
            let refused = read_passphrase(&path, b"correct horse").err();
            assert_eq!(refused, Some(OpenError::KeyUnreadable), "{bad}");
        }
    }
}
