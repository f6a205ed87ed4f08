//! From a backup and a recovery sheet to a node.
//!
//! Nothing is written before all of the backup is found whole. What is then written bears a mark until
//! it was opened and read again, so that half of a node is never taken for one.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use chartmesh_core::{
    crypto::{RecoveryError, RecoverySecret, SecretKey, SigningKey},
    flows::file_named_by,
    membership::StoredIdentity,
    records::{About, Backup, BackupError, Contents},
    types::{Code, DocumentId, NodeKey, Timestamp},
    wire,
};
use zeroize::Zeroizing;

use crate::{
    boot::{self, BootError, IDENTITY, RESTORING},
    config::{ConfigFile, FILE},
    store::{BackupFile, OpenError, Store, check_files, write_out},
    time::system_time,
};

/// The sealed file with the lock that closes backups.
pub(crate) const LOCK: &str = "recovery";
/// Says from which backup a node came back; where it is, the node speaks to no other.
const RESTORED: &str = "restored";
/// What a restore may leave behind when it is cut short.
const OWN: [&str; 14] = [
    "aside",
    "audit",
    FILE,
    "files",
    IDENTITY,
    "index",
    "journal",
    "key",
    "keyring",
    "lock",
    "parts",
    "passphrase",
    LOCK,
    RESTORED,
];

/// Why a node is not brought back.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RestoreError {
    /// The directory holds something.
    #[error("the directory is not empty")]
    NotEmpty,
    /// The recovery secret was mistyped.
    #[error(transparent)]
    Secret(#[from] RecoveryError),
    /// The file of the backup cannot be read.
    #[error("the backup cannot be read: {0}")]
    File(ErrorKind),
    /// The backup is refused.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// What was written does not read back.
    #[error("what was written is not what the backup holds")]
    Differs,
    /// The directory cannot be written or opened.
    #[error(transparent)]
    Boot(#[from] BootError),
}

impl RestoreError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::NotEmpty => Code::NotEmpty,
            Self::Secret(_) => Code::RecoverySheet,
            Self::File(_) => Code::BackupMalformed,
            Self::Backup(error) => error.code(),
            Self::Differs => Code::Integrity,
            Self::Boot(error) => error.code(),
        }
    }
}

/// What `restore` is told.
pub struct Restoring {
    /// The backup.
    pub file: PathBuf,
    /// What was typed of the recovery sheet.
    pub secret: Zeroizing<String>,
    /// Passphrase for the store; none for a key file.
    pub passphrase: Option<Zeroizing<String>>,
    /// Where the key file goes; none for `key` in the directory.
    pub key_file: Option<PathBuf>,
}

/// A node that came back.
pub struct Restored {
    /// The node key as text.
    pub node: String,
    /// Who it is; with a higher incarnation than before.
    pub identity: StoredIdentity,
    /// What the backup was of.
    pub about: About,
    /// How many document files.
    pub files: u64,
    /// Documents that were damaged or missing when the backup was made.
    pub absent: Vec<DocumentId>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// Brings a node back into an empty directory.
///
/// # Errors
/// [`RestoreError`]. Where the backup is refused the directory is as it was; where writing fails, what
/// was written is removed again.
pub async fn restore(folder: &Path, restoring: Restoring) -> Result<Restored, RestoreError> {
    let leftover = demand_empty(folder)?;
    let secret = RecoverySecret::parse(&restoring.secret)?;
    let file = BackupFile::open(&restoring.file).map_err(|e| RestoreError::File(e.kind()))?;
    let backup = Backup::open(file, |header| header.key(&secret))?;
    let contents = backup.check(file_named_by)?;
    let mut identity =
        wire::decode_identity(&contents.identity).map_err(|_| BackupError::Contents)?;
    if identity.member != backup.about().member {
        return Err(BackupError::Contents.into());
    }
    // Before the first byte is written: this copy of the node is another than every one before it.
    identity.reincarnate(SecretKey::new(rand::random()), system_time());
    let config = configuration(&contents, restoring.key_file.as_deref())?;

    if leftover {
        clear(folder);
    }
    let writing = Writing {
        folder,
        backup: &backup,
        contents: &contents,
    };
    let mut warnings = Vec::new();
    let written = async {
        let kek = writing.key(&restoring, config, &mut warnings)?;
        writing.write(&kek, &identity, &secret)?;
        writing.verify(&kek).await?;
        writing.finish()
    };
    if let Err(error) = written.await {
        clear(folder);
        return Err(error);
    }
    let node = SigningKey::from_seed(&identity.node_seed).public();
    Ok(Restored {
        node: NodeKey(node).to_string(),
        about: backup.about(),
        files: contents.files.len() as u64,
        absent: contents.absent.iter().map(|named| named.document).collect(),
        identity,
        warnings,
    })
}

/// A backup that was found whole, and where it goes.
struct Writing<'a> {
    folder: &'a Path,
    backup: &'a Backup<BackupFile>,
    contents: &'a Contents,
}

impl Writing<'_> {
    /// Marks the directory, and makes the key under which the store will lie in it.
    fn key(
        &self,
        restoring: &Restoring,
        config: String,
        warnings: &mut Vec<String>,
    ) -> Result<SecretKey, RestoreError> {
        Store::prepare(self.folder).map_err(BootError::from)?;
        boot::write_file(&self.folder.join(RESTORING), String::new())?;
        boot::write_file(&self.folder.join(FILE), config)?;
        let passphrase = restoring.passphrase.as_deref();
        let key_file = restoring.key_file.as_deref();
        let kek = boot::first_key(self.folder, passphrase, key_file, warnings);
        Ok(kek.map_err(BootError::from)?)
    }

    fn write(
        &self,
        kek: &SecretKey,
        identity: &StoredIdentity,
        secret: &RecoverySecret,
    ) -> Result<(), RestoreError> {
        let sealed = [
            (IDENTITY, wire::encode_identity(identity)),
            (LOCK, secret.lock().to_bytes()),
        ];
        write_out(self.folder, kek, self.backup, self.contents, &sealed)
            .map_err(|error| RestoreError::Boot(error.into()))
    }

    /// Opens what was written as the daemon will, and reads every document file again.
    async fn verify(&self, kek: &SecretKey) -> Result<(), RestoreError> {
        let opened = Store::open(self.folder, kek, boot::rows, &mut |_| {});
        let (store, opened) = opened.map_err(BootError::from)?;
        store
            .close()
            .await
            .map_err(OpenError::from)
            .map_err(BootError::from)?;
        let same = opened.problem().is_none() && opened.journal.head == self.backup.about().head;
        if !same || check_files(self.folder, &self.contents.files).is_err() {
            return Err(RestoreError::Differs);
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), RestoreError> {
        let note = RestoredNote {
            position: self.backup.about().head.position,
            recorded: self.backup.about().recorded,
            made: self.backup.about().made,
        };
        boot::write_file(&self.folder.join(RESTORED), note.to_text())?;
        let unmarked = fs::remove_file(self.folder.join(RESTORING))
            .and_then(|()| File::open(self.folder)?.sync_all());
        unmarked.map_err(|error| BootError::File(error.kind()).into())
    }
}

/// From where a node came back, as its directory says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoredNote {
    /// The last record of the backup.
    pub position: u64,
    /// When that was written.
    pub recorded: Timestamp,
    /// When the backup was made.
    pub made: Timestamp,
}

impl RestoredNote {
    /// Reads the note of a directory; none where there is none that can be read.
    pub fn of(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join(RESTORED)).ok()?;
        let mut numbers = text.split_whitespace().map(|word| word.parse().ok());
        Some(Self {
            position: numbers.next()??,
            recorded: Timestamp(numbers.next()??),
            made: Timestamp(numbers.next()??),
        })
    }

    /// Whether the node there was restored and nobody has said yet that what was lost is known. A note
    /// that cannot be read is one.
    pub fn waits(folder: &Path) -> bool {
        folder.join(RESTORED).try_exists().unwrap_or(true)
    }

    /// Takes the note away: somebody knows what was lost, and the node may speak to others again.
    ///
    /// # Errors
    /// [`BootError::File`].
    pub fn accept(folder: &Path) -> Result<(), BootError> {
        let gone = match fs::remove_file(folder.join(RESTORED)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            removed => removed.and_then(|()| File::open(folder)?.sync_all()),
        };
        gone.map_err(|error| BootError::File(error.kind()))
    }

    fn to_text(self) -> String {
        format!("{} {} {}\n", self.position, self.recorded.0, self.made.0)
    }
}

/// Whether there is a part of a restore that was cut short; an error where there is anything else.
fn demand_empty(folder: &Path) -> Result<bool, RestoreError> {
    let failed = |error: std::io::Error| BootError::File(error.kind());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error).into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(failed)?.file_name());
    }
    let leftover = names.iter().any(|name| name == RESTORING);
    let own = |name: &std::ffi::OsString| {
        name == RESTORING || OWN.iter().any(|known| name == known) || is_temporary(name)
    };
    if names.is_empty() || leftover && names.iter().all(own) {
        return Ok(leftover);
    }
    Err(RestoreError::NotEmpty)
}

fn is_temporary(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') && name.ends_with(".tmp") || name.ends_with(".part")
}

/// Takes away what a restore wrote, the mark last. What stays keeps the mark beside it.
fn clear(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut cleared = true;
    for entry in entries.flatten() {
        if entry.file_name() == RESTORING {
            continue;
        }
        let path = entry.path();
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        cleared &= removed.is_ok();
    }
    if cleared {
        // A mark that stays is taken for what it is by the next restore.
        let _stays = fs::remove_file(folder.join(RESTORING));
    }
}

/// The configuration of the backup, with the key file that is named for this machine.
fn configuration(contents: &Contents, key_file: Option<&Path>) -> Result<String, RestoreError> {
    let text = std::str::from_utf8(&contents.config).map_err(|_| BackupError::Contents)?;
    let mut file: ConfigFile = toml::from_str(text).map_err(|_| BackupError::Contents)?;
    if file.key_file.as_deref() == key_file {
        return Ok(text.to_owned());
    }
    file.key_file = key_file.map(Path::to_owned);
    Ok(toml::to_string(&file).map_err(|_| BackupError::Contents)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        boot::making,
        store::{BackUp, SavedAt},
    };

    /// A backup of a node that was just made, and what opens it.
    struct Saved {
        folder: tempfile::TempDir,
        secret: RecoverySecret,
        node: String,
    }

    impl Saved {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join("node");
            let made = boot::make(&place, making()).await.unwrap();
            let booted = boot::open(&place, None).await.unwrap();
            let mut rng = rand_core::UnwrapErr(rand::rngs::SysRng);
            let secret = RecoverySecret::draw(&mut rng);
            let asked = BackUp {
                at: SavedAt::File(folder.path().join("backup")),
                member: made.member,
                lock: secret.lock(),
                identity: IDENTITY,
                config: fs::read(place.join(FILE)).unwrap(),
                naming: file_named_by,
                now: system_time(),
            };
            booted.node.world().store().back_up(asked).await.unwrap();
            Self {
                folder,
                secret,
                node: made.node,
            }
        }

        fn place(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        async fn restore(&self, name: &str) -> Result<Restored, Code> {
            let restoring = Restoring {
                file: self.place("backup"),
                secret: self.secret.to_text(),
                passphrase: None,
                key_file: None,
            };
            let restored = restore(&self.place(name), restoring).await;
            restored.map_err(|error| error.code())
        }
    }

    #[tokio::test]
    async fn a_restored_node_opens_as_the_same_member_with_a_higher_incarnation() {
        let saved = Saved::new().await;

        let restored = saved.restore("back").await.unwrap();

        assert_eq!(restored.node, saved.node);
        let place = saved.place("back");
        let booted = boot::open(&place, None).await.unwrap();
        assert_eq!(booted.node.node_key().to_string(), saved.node);
        assert!(booted.identity.incarnation.0 > 0);
        assert_eq!(
            booted.node.identity().incarnation,
            booted.identity.incarnation
        );
        assert_eq!(RestoredNote::of(&place).map(|note| note.position), Some(0));
        assert!(!place.join(RESTORING).exists());
    }

    /// Hard case: a note that was damaged must not let the node speak.
    #[tokio::test]
    async fn a_restored_node_waits_until_somebody_accepts_it_whatever_the_note_says() {
        let saved = Saved::new().await;
        assert!(!RestoredNote::waits(&saved.place("node")));
        saved.restore("back").await.unwrap();
        let place = saved.place("back");
        assert!(RestoredNote::waits(&place));

        fs::write(place.join(RESTORED), "?").unwrap();

        assert!(RestoredNote::of(&place).is_none());
        assert!(RestoredNote::waits(&place));
        for _ in 0..2 {
            RestoredNote::accept(&place).unwrap();
            assert!(!RestoredNote::waits(&place));
        }
    }

    /// The hard case is what a power cut leaves: neither the daemon nor `init` takes it for a node.
    #[tokio::test]
    async fn a_restore_that_was_cut_is_no_node_and_begins_anew() {
        let saved = Saved::new().await;
        saved.restore("back").await.unwrap();
        let place = saved.place("back");
        assert!(boot::open(&place, None).await.is_ok());

        fs::write(place.join(RESTORING), "").unwrap();
        fs::remove_dir_all(place.join("journal")).unwrap();

        let opened = boot::open(&place, None)
            .await
            .err()
            .map(|error| error.code());
        assert_eq!(opened, Some(Code::RestoreUnfinished));
        let made = boot::make(&place, making())
            .await
            .err()
            .map(|error| error.code());
        assert_eq!(made, Some(Code::RestoreUnfinished));
        saved.restore("back").await.unwrap();
        assert!(boot::open(&place, None).await.is_ok());
    }

    #[tokio::test]
    async fn what_lies_in_the_directory_is_never_taken_away() {
        let saved = Saved::new().await;
        fs::create_dir(saved.place("empty")).unwrap();
        assert!(saved.restore("empty").await.is_ok());

        for (name, mark) in [("other", None), ("marked", Some(RESTORING))] {
            let place = saved.place(name);
            fs::create_dir(&place).unwrap();
            for file in ["notes"].into_iter().chain(mark) {
                fs::write(place.join(file), "x").unwrap();
            }
            let before = fs::read_dir(&place).unwrap().count();

            assert_eq!(saved.restore(name).await.err(), Some(Code::NotEmpty));
            assert_eq!(fs::read_dir(&place).unwrap().count(), before);
        }
        assert_eq!(saved.restore("node").await.err(), Some(Code::NotEmpty));
    }

    #[tokio::test]
    async fn an_altered_backup_writes_nothing() {
        let saved = Saved::new().await;
        assert!(saved.restore("good").await.is_ok());
        let mut bytes = fs::read(saved.place("backup")).unwrap();
        let at = bytes.len() - 20;
        bytes[at] ^= 1;
        fs::write(saved.place("backup"), bytes).unwrap();

        let refused = saved.restore("back").await.err();

        assert_eq!(refused, Some(Code::BackupAltered));
        assert!(!saved.place("back").exists());
    }
}
