//! From a directory to a node: make one, or open the one that is there.

mod checkpoints;

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use chartmesh_core::{
    crypto::{OpeningKey, SecretKey, SigningKey},
    flows::{self, Fold, Identity, Node},
    membership::{Organization, StoredIdentity},
    ports::Row,
    records::{KeyId, Keyring, Record, StoreError},
    types::{Code, Incarnation, MemberId, Span, Timestamp},
    wire,
};
use zeroize::Zeroizing;

use crate::{
    config::{Config, ConfigError, ConfigFile, FILE},
    store::{DirDisk, OpenError, Store, StoreOpened, key},
    time::system_time,
    world::RealWorld,
};

pub use checkpoints::complete as complete_checkpoints;

/// The sealed file that says who the node is.
pub(crate) const IDENTITY: &str = "identity";
/// Stands in a directory into which a backup is being written.
pub(crate) const RESTORING: &str = "restoring";
/// The parameters of a passphrase; where it exists there is no key file.
const PASSPHRASE: &str = "passphrase";
/// How far the clock may be behind the last record before peers are refused (`decisions.md` 1).
const CLOCK_BEHIND_MAX: Span = Span::minutes(5);
/// Says which last record's time was accepted although the clock is behind it.
const CLOCK_ACCEPTED: &str = "clock-accepted";

/// Why a directory cannot be made or opened as a node.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BootError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be made or opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store is sealed with a passphrase and none was given.
    #[error("this store is sealed with a passphrase, and none was given")]
    Passphrase,
    /// The identity cannot be read.
    #[error("the identity of the node cannot be read")]
    Identity,
    /// A restore was cut short.
    #[error("a backup was being restored into this directory, and was not finished")]
    Unfinished,
    /// A file cannot be written.
    #[error("a file of the node cannot be written: {0}")]
    File(std::io::ErrorKind),
}

impl BootError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Config(_) => Code::ConfigMalformed,
            Self::Store(error) => error.code(),
            Self::Passphrase => Code::KeyRefused,
            Self::Identity => Code::Integrity,
            Self::Unfinished => Code::RestoreUnfinished,
            Self::File(_) => Code::StorageFailed,
        }
    }
}

/// What `init` is told.
pub struct Making {
    /// Who runs the node.
    pub organization: Organization,
    /// Multiaddresses to listen on; empty for the default.
    pub listen: Vec<String>,
    /// Passphrase for the store; none for a key file.
    pub passphrase: Option<Zeroizing<String>>,
    /// Where the key file goes; none for `key` in the directory.
    pub key_file: Option<PathBuf>,
    /// Which member the node is to be again, after a loss; none for a new one.
    pub member: Option<MemberId>,
}

/// What `init` made.
pub struct Made {
    /// The node key as text.
    pub node: String,
    /// The member id.
    pub member: MemberId,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// An open node, not on any network yet.
pub struct Booted {
    /// The node.
    pub node: Arc<Node<RealWorld>>,
    /// Who it is, to be stored again when a key is rotated.
    pub identity: StoredIdentity,
    /// What opening the store found.
    pub opened: StoreOpened,
    /// The configuration.
    pub config: Config,
    /// Set where the system's clock is behind the last record.
    pub clock_behind: Option<Span>,
    /// Time of the last record.
    pub last: Timestamp,
    /// When it was opened.
    pub started: Timestamp,
}

/// Makes a node in a directory. The identity is written last: a making that was cut before it is
/// taken up again, with the same key.
///
/// # Errors
/// [`BootError`]; where the directory holds a node already nothing is touched.
pub async fn make(folder: &Path, making: Making) -> Result<Made, BootError> {
    need_whole(folder)?;
    let cut = folder.join("keyring").exists() && !folder.join(IDENTITY).exists();
    if !cut && (folder.join("keyring").exists() || folder.join(FILE).exists()) {
        return Err(OpenError::AlreadyInitialised.into());
    }
    Store::prepare(folder)?;
    let mut warnings = Vec::new();
    let kek = first_key(
        folder,
        making.passphrase.as_deref(),
        making.key_file.as_deref(),
        &mut warnings,
    )?;
    if !cut {
        Store::create(folder, &kek, rand::random())?;
    }
    let file = ConfigFile {
        listen: (!making.listen.is_empty()).then(|| making.listen.clone()),
        key_file: making.key_file.clone(),
        ..ConfigFile::default()
    };
    let text = toml::to_string(&file).map_err(|_| BootError::Identity)?;
    write_file(&folder.join(FILE), text)?;

    let identity = draw(making.organization, making.member);
    let (store, opened) = Store::open(folder, &kek, rows, &mut |_| {})?;
    if opened.journal.head.position > 0 {
        // A node that lost its identity has records; it is not to become another node.
        store.close().await.map_err(OpenError::from)?;
        return Err(OpenError::AlreadyInitialised.into());
    }
    let sealed = store
        .replace_sealed(IDENTITY, wire::encode_identity(&identity))
        .await;
    sealed.map_err(OpenError::from)?;
    store.close().await.map_err(OpenError::from)?;
    let node = SigningKey::from_seed(&identity.node_seed).public();
    Ok(Made {
        node: chartmesh_core::types::NodeKey(node).to_string(),
        member: identity.member,
        warnings,
    })
}

/// The key-encryption key of a store that is being made; one that a making before it drew is taken up.
pub(crate) fn first_key(
    folder: &Path,
    passphrase: Option<&String>,
    key_file: Option<&Path>,
    warnings: &mut Vec<String>,
) -> Result<SecretKey, OpenError> {
    let mut rng = rand_core::UnwrapErr(rand::rngs::SysRng);
    let parameters = folder.join(PASSPHRASE);
    match passphrase {
        Some(passphrase) if parameters.exists() => {
            key::read_passphrase(&parameters, passphrase.as_bytes())
        }
        Some(passphrase) => key::create_passphrase(&parameters, passphrase.as_bytes(), &mut rng),
        None => {
            if key_file.is_none() {
                warnings.push(
                    "the store's key lies in a file beside the data: it protects nothing from whoever \
                     takes the disk; use --passphrase or --key-file on another disk for real patients"
                        .to_owned(),
                );
            }
            let path = key_file.map_or_else(|| folder.join("key"), Path::to_owned);
            if path.exists() {
                key::read_file(&path)
            } else {
                key::create_file(&path, &mut rng)
            }
        }
    }
}

fn draw(organization: Organization, member: Option<MemberId>) -> StoredIdentity {
    let secret = || SecretKey::new(rand::random());
    let mut identity = StoredIdentity {
        member: member.unwrap_or_else(|| MemberId(rand::random())),
        node_seed: secret(),
        audit_seed: secret(),
        authority_seed: secret(),
        organization,
        opening: Vec::new(),
        next_node_seed: None,
        incarnation: Incarnation::default(),
    };
    identity.rotate(secret(), system_time());
    identity
}

/// Opens the node of a directory. Blocks for as long as it takes to read the journal.
///
/// # Errors
/// [`BootError`].
pub async fn open(
    folder: &Path,
    passphrase: Option<Zeroizing<String>>,
) -> Result<Booted, BootError> {
    need_whole(folder)?;
    if !folder.join("keyring").exists() {
        return Err(OpenError::NotInitialised.into());
    }
    let config = Config::load(folder)?;
    let kek = if folder.join(PASSPHRASE).exists() {
        let passphrase = passphrase.ok_or(BootError::Passphrase)?;
        key::read_passphrase(&folder.join(PASSPHRASE), passphrase.as_bytes())?
    } else {
        key::read_file(&config.key_file.0)?
    };
    // Who the node is comes first: what the journal says is folded as it is read, never held whole.
    let member = member_of(folder, &kek)?;
    let fold = Fold::new(member, SecretKey::new(rand::random()));
    let mut last = Timestamp(0);
    let (store, opened) = Store::open(folder, &kek, rows, &mut |record| {
        last = record.time;
        fold.apply(&record);
    })?;
    let (started, clock_behind) = begin(folder, last, system_time());
    let mut identity = read_identity(&store, started).await?;
    if identity.take_next_key(fold.node_key_of(member)) {
        store_identity(&store, &identity).await?;
        tracing::info!("the node goes by the new node key that its credential names");
    }
    let keyring = store.keyring();
    let keys: Vec<(KeyId, SecretKey)> = keyring
        .ids()
        .into_iter()
        .chain([KeyId::STORE])
        .filter_map(|id| Some((id, keyring.key(id)?)))
        .collect();
    fold.add_keys(keys);
    if let Some(problem) = opened.problem() {
        fold.halt(problem);
    }
    let follower = fold.clone();
    let followed = store.follow(move |recorded| {
        follower.add_keys(recorded.keys().iter().cloned());
        for record in recorded.records() {
            follower.apply(record);
        }
    });
    followed.map_err(OpenError::from)?;
    let world = RealWorld::new(store, started);
    let node = Node::new(identity_of(&identity), fold, world);
    node.install_opening_keys(opening_keys(&identity));
    checkpoints::reconcile(folder, &node).await;
    Ok(Booted {
        node: Arc::new(node),
        identity,
        opened,
        config,
        clock_behind,
        last,
        started,
    })
}

/// Refuses a directory that holds a part of a backup only.
fn need_whole(folder: &Path) -> Result<(), BootError> {
    if folder.join(RESTORING).exists() {
        return Err(BootError::Unfinished);
    }
    Ok(())
}

fn member_of(folder: &Path, kek: &SecretKey) -> Result<MemberId, BootError> {
    let disk = DirDisk::new(folder);
    let keyring = Keyring::load(&disk, kek).map_err(OpenError::from)?;
    let sealed = keyring.read_sealed(&disk, IDENTITY);
    let bytes = sealed.map_err(OpenError::from)?;
    let identity = wire::decode_identity(&bytes).map_err(|_| BootError::Identity)?;
    Ok(identity.member)
}

async fn read_identity(store: &Store, now: Timestamp) -> Result<StoredIdentity, BootError> {
    let read = store.read_sealed(IDENTITY).await;
    let bytes = read.map_err(|error| match error {
        StoreError::Missing => BootError::Identity,
        other => BootError::Store(other.into()),
    })?;
    let mut identity = wire::decode_identity(&bytes).map_err(|_| BootError::Identity)?;
    rotate_if_due(store, &mut identity, now).await?;
    Ok(identity)
}

/// Draws a new opening key where one is due, and stores it before anybody is told of it; destroys
/// those whose time is over.
///
/// # Errors
/// [`BootError::Store`] where it cannot be stored; the old key then stays in use.
pub async fn rotate_if_due(
    store: &Store,
    identity: &mut StoredIdentity,
    now: Timestamp,
) -> Result<bool, BootError> {
    let mut rotated = identity.clone();
    let expired = rotated.expire(now);
    let due = rotated.rotation_due(now);
    if due {
        rotated.rotate(SecretKey::new(rand::random()), now);
    }
    if !due && !expired {
        return Ok(false);
    }
    let stored = store
        .replace_sealed(IDENTITY, wire::encode_identity(&rotated))
        .await;
    match stored {
        Ok(()) => {
            *identity = rotated;
            Ok(true)
        }
        // A store that takes no writes still serves its own people with the keys it has.
        Err(StoreError::ReadOnly) => Ok(false),
        Err(error) => Err(BootError::Store(error.into())),
    }
}

/// Stores who the node is.
///
/// # Errors
/// [`BootError::Store`].
pub async fn store_identity(store: &Store, identity: &StoredIdentity) -> Result<(), BootError> {
    let sealed = store
        .replace_sealed(IDENTITY, wire::encode_identity(identity))
        .await;
    Ok(sealed.map_err(OpenError::from)?)
}

/// The keys that open what is sealed to the node, newest first.
pub fn opening_keys(identity: &StoredIdentity) -> Vec<OpeningKey> {
    identity
        .opening
        .iter()
        .map(|key| OpeningKey::from_bytes(&key.private))
        .collect()
}

fn identity_of(stored: &StoredIdentity) -> Identity {
    Identity {
        member: stored.member,
        node: SigningKey::from_seed(&stored.node_seed),
        audit: SigningKey::from_seed(&stored.audit_seed),
        authority: SigningKey::from_seed(&stored.authority_seed),
        organization: stored.organization.clone(),
        incarnation: stored.incarnation,
    }
}

pub(crate) fn rows(record: &Record) -> Vec<Row> {
    // A record that cannot be read is reported by the fold; it has no rows to give.
    flows::rows(record).unwrap_or_default()
}

/// When the node's time begins, and how far the system's clock is behind the last record where
/// nobody accepted that.
///
/// Where it was accepted the last record's time is what is wrong, and the system's clock counts:
/// peers compare with it. Later records still bear at least the last one's time, until it is past.
fn begin(folder: &Path, last: Timestamp, system: Timestamp) -> (Timestamp, Option<Span>) {
    let behind = last.since(system);
    if behind <= CLOCK_BEHIND_MAX {
        return (system.max(last), None);
    }
    let accepted = std::fs::read_to_string(folder.join(CLOCK_ACCEPTED)).ok();
    let accepted = accepted.and_then(|text| text.trim().parse::<u64>().ok());
    if accepted == Some(last.0) {
        return (system, None);
    }
    (last, Some(behind))
}

/// Accepts that the clock is behind the last record (`doctor --accept-clock`).
///
/// # Errors
/// [`BootError::File`].
pub fn accept_clock(folder: &Path, last: Timestamp) -> Result<(), BootError> {
    write_file(&folder.join(CLOCK_ACCEPTED), format!("{}\n", last.0))
}

/// Puts a small file that only the owner may read in place, durably: after a cut there is the whole
/// old one or the whole new one.
///
/// # Errors
/// [`BootError::File`].
pub fn write_file(path: &Path, text: String) -> Result<(), BootError> {
    let written = || {
        let beside = path.with_extension("part");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        path.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    written().map_err(|error: std::io::Error| BootError::File(error.kind()))
}

#[cfg(test)]
pub(crate) use tests::making;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use chartmesh_core::types::Kind;

    use super::*;

    pub(crate) fn making() -> Making {
        Making {
            organization: Organization {
                name: "Cedar Clinic".to_owned(),
                kind: Kind::Clinic,
                npi: String::new(),
                oid: String::new(),
                address: "1 Elm St".to_owned(),
                contact: String::new(),
                phone: String::new(),
                hours: String::new(),
                state: "MA".to_owned(),
                part2: false,
                test: true,
            },
            listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
            passphrase: None,
            key_file: None,
            member: None,
        }
    }

    #[tokio::test]
    async fn a_making_cut_before_the_identity_is_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("clinic");
        make(&node, making()).await.unwrap();
        std::fs::remove_file(node.join(IDENTITY)).unwrap();
        assert!(open(&node, None).await.is_err());

        let made = make(&node, making()).await.unwrap();

        let booted = open(&node, None).await.unwrap();
        assert_eq!(booted.node.member().to_string(), made.member.to_string());
        booted.node.world().store().close().await.unwrap();
        let again = make(&node, making()).await.err().map(|error| error.code());
        assert_eq!(again, Some(Code::AlreadyInitialised));
    }

    #[tokio::test]
    async fn a_node_with_records_that_lost_its_identity_does_not_become_another() {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("clinic");
        make(&node, making()).await.unwrap();
        let booted = open(&node, None).await.unwrap();
        let store = booted.node.world().store();
        let mut batch = chartmesh_core::records::Batch::default();
        let scope = chartmesh_core::records::Scope::Store;
        batch.push(
            chartmesh_core::records::RecordKind::JoinAsked,
            scope,
            wire::encode_join_asked(""),
        );
        store.commit_at(booted.started, batch).await.unwrap();
        store.close().await.unwrap();
        drop(booted);
        std::fs::remove_file(node.join(IDENTITY)).unwrap();

        let again = make(&node, making()).await.err().map(|error| error.code());

        assert_eq!(again, Some(Code::AlreadyInitialised));
        assert!(!node.join(IDENTITY).exists());
    }

    #[test]
    fn a_file_of_the_node_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        write_file(&path, "one".to_owned()).unwrap();
        write_file(&path, "two".to_owned()).unwrap();

        let rights = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(rights & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_private_key_whose_time_is_over_is_gone_from_the_store() {
        use chartmesh_core::types::limits::KEY_SET_LIFE;

        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("clinic");
        make(&node, making()).await.unwrap();
        let booted = open(&node, None).await.unwrap();
        let (store, mut identity) = (booted.node.world().store(), booted.identity);
        let (old, drawn) = (
            identity.opening[0].private.clone(),
            identity.opening[0].created,
        );
        let lies_there = async || {
            let plain = store.read_sealed(IDENTITY).await.unwrap();
            plain.windows(old.len()).any(|bytes| bytes == &old[..])
        };
        let next = drawn.plus(Span(KEY_SET_LIFE.0 / 2));
        assert!(rotate_if_due(store, &mut identity, next).await.unwrap());
        let end = next.plus(KEY_SET_LIFE).plus(Span::hours(24));
        rotate_if_due(store, &mut identity, end.minus(Span(1)))
            .await
            .unwrap();
        assert!(lies_there().await, "a message under way may need it");

        assert!(rotate_if_due(store, &mut identity, end).await.unwrap());

        assert!(!lies_there().await);
        let kept = identity.opening.iter();
        assert!(kept.map(|key| &key.private).all(|key| *key != old));
        store.close().await.unwrap();
        drop(booted.node);
        let again = open(&node, None).await.unwrap();
        let kept = again.identity.opening.iter();
        assert!(kept.map(|key| &key.private).all(|key| *key != old));
    }

    #[test]
    fn an_accepted_clock_is_the_nodes_clock() {
        let folder = tempfile::tempdir().unwrap();
        let last = Timestamp(1_800_000_000_000);
        let near = last.minus(Span::minutes(5));
        assert_eq!(begin(folder.path(), last, near), (last, None));
        let system = last.minus(Span::days(1));
        let behind = Some(Span::days(1));
        assert_eq!(begin(folder.path(), last, system), (last, behind));

        accept_clock(folder.path(), last).unwrap();

        assert_eq!(begin(folder.path(), last, system), (system, None));
        let later = last.plus(Span(1));
        assert_eq!(begin(folder.path(), later, system).0, later);
    }
}
