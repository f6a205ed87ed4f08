//! Backups, the recovery sheet, and the way back.

use std::{io::ErrorKind, path::PathBuf};

use chartmesh_core::{
    crypto::{BackupLock, RecoverySecret},
    flows::{MemberView, file_named_by},
    records::{BackupError, StoreError},
    types::Code,
};
use chartmesh_proto::admin::{
    BackupReply, BackupRequest, Check, RecoverySheetReply, RestoreReply, RestoreRequest,
};
use data_encoding::HEXLOWER;
use tonic::{Code as GrpcCode, Status};
use zeroize::Zeroizing;

use super::{
    Admin,
    checks::check,
    error::{advised, flow, status, usage},
    internal,
};
use crate::{
    boot::IDENTITY,
    config::FILE,
    daemon::Daemon,
    restore::{self, LOCK, RestoreError, RestoredNote, Restoring},
    store::{BackUp, BackedUp, BackupFailure, SavedAt},
};

impl Admin {
    pub(super) async fn backup(&self, request: BackupRequest) -> Result<BackupReply, Status> {
        let at = place(&request)?;
        let daemon = self.daemon()?;
        let lock = lock(&daemon).await?.ok_or_else(|| {
            let code = Code::NoRecoverySheet;
            status(
                GrpcCode::FailedPrecondition,
                code,
                code.sentence().to_string(),
            )
        })?;
        let config = match std::fs::read(daemon.folder.join(FILE)) {
            Ok(config) => config,
            // A node may do with what is built in.
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(_) => return Err(refused(BackupError::from(StoreError::Failed).into())),
        };
        let sheet = HEXLOWER.encode(&lock.id());
        let asked = BackUp {
            at,
            member: daemon.node.member(),
            lock,
            identity: IDENTITY,
            config,
            naming: file_named_by,
            now: daemon.now(),
        };
        let made = self.tasks.spawn(async move {
            let _one_at_a_time = daemon.saving.lock().await;
            daemon.node.world().store().back_up(asked).await
        });
        let made = made.await.map_err(|_| internal())?.map_err(refused)?;
        for absent in &made.absent {
            tracing::warn!(
                record = made.position,
                "document {absent} is not in the backup: its file is damaged or missing"
            );
        }
        Ok(told(&made, sheet))
    }

    pub(super) async fn recovery_sheet(&self) -> Result<RecoverySheetReply, Status> {
        let daemon = self.daemon()?;
        let before = lock(&daemon).await?;
        let mut rng = rand_core::UnwrapErr(rand::rngs::SysRng);
        let secret = RecoverySecret::draw(&mut rng);
        let lock = secret.lock();
        let store = daemon.node.world().store();
        let stored = store.replace_sealed(LOCK, lock.to_bytes()).await;
        stored.map_err(|error| flow(error.into()))?;
        tracing::info!("backups from now on belong to another recovery sheet");
        Ok(RecoverySheetReply {
            secret: secret.to_text().to_string(),
            sheet: HEXLOWER.encode(&lock.id()),
            node: daemon.node.node_key().to_string(),
            member: daemon.node.member().to_string(),
            organization: daemon.node.identity().organization.name.clone(),
            made: daemon.now().to_string(),
            replaces: before.map(|before| HEXLOWER.encode(&before.id())),
        })
    }

    pub(super) async fn restore(&self, request: RestoreRequest) -> Result<RestoreReply, Status> {
        let secret = Zeroizing::new(request.secret);
        let passphrase = Zeroizing::new(request.passphrase);
        let restoring = Restoring {
            file: absolute(&request.file)?,
            secret,
            passphrase: (!passphrase.is_empty()).then_some(passphrase),
            key_file: (!request.key_file.is_empty()).then(|| PathBuf::from(request.key_file)),
        };
        if self.boot_error().is_none() {
            return Err(not_restored(&RestoreError::NotEmpty));
        }
        let restored = restore::restore(&self.folder(), restoring).await;
        let restored = restored.map_err(|error| not_restored(&error))?;
        let about = restored.about;
        Ok(RestoreReply {
            node: restored.node,
            member: restored.identity.member.to_string(),
            organization: restored.identity.organization.name.clone(),
            position: about.head.position,
            recorded: (about.head.position > 0).then(|| about.recorded.to_string()),
            made: about.made.to_string(),
            documents: restored.files,
            absent: restored.absent.iter().map(ToString::to_string).collect(),
            incarnation: restored.identity.incarnation.0,
            verified: true,
            warnings: restored.warnings,
        })
    }
}

/// What `doctor` says of it.
pub(super) async fn checks(daemon: &Daemon) -> Vec<Check> {
    let sheet = match lock(daemon).await {
        Ok(Some(lock)) => {
            let said = format!(
                "sheet {} opens the next backup",
                HEXLOWER.encode(&lock.id())
            );
            check("recovery-sheet", "ok", said, "")
        }
        Ok(None) => check(
            "recovery-sheet",
            "warn",
            "none was made, so no backup can be",
            "chartmesh recovery-sheet, and keep what it prints away from this machine",
        ),
        Err(_) => check(
            "recovery-sheet",
            "bad",
            "what closes backups cannot be read",
            "chartmesh recovery-sheet makes another; older backups keep theirs",
        ),
    };
    let restored = RestoredNote::waits(&daemon.folder).then(|| {
        let said = match RestoredNote::of(&daemon.folder) {
            Some(note) => format!(
                "from a backup of {}: record {} of {} was the last",
                note.made, note.position, note.recorded
            ),
            None => "from a backup, and which one can be read no more".to_owned(),
        };
        check(
            "restored",
            "bad",
            format!("{said}; until somebody says that this is known, the node speaks to nobody"),
            "record again what came after it, revoked consents first; then chartmesh doctor --accept-restore",
        )
    });
    let checks = std::iter::once(sheet).chain(restored);
    checks.chain(copies(daemon)).collect()
}

/// Alarms of a node that runs twice.
fn copies(daemon: &Daemon) -> Vec<Check> {
    let views = daemon.node.member_views();
    let organization = |of: &dyn Fn(&MemberView) -> bool| {
        let view = views.iter().find(|view| of(view));
        view.map_or("a member", |view| {
            view.credential.organization.name.as_str()
        })
    };
    let told = daemon.node.superseded_by().map(|(by, at)| {
        let name = organization(&|view| view.credential.node_key == by);
        check(
            "superseded",
            "bad",
            format!("{name} said at {at} that a later copy of this node is known"),
            "stop this daemon: if the node was restored elsewhere, this copy must never run again; if not, speak to that member",
        )
    });
    let twins = daemon.node.twins().into_iter().map(|(member, at)| {
        let name = organization(&|view| view.credential.member == member);
        check(
            "twin",
            "warn",
            format!("an earlier copy of the node of {name} spoke at {at} and was refused"),
            "telephone them: a node that was restored and its forgotten copy both run",
        )
    });
    told.into_iter().chain(twins).collect()
}

async fn lock(daemon: &Daemon) -> Result<Option<BackupLock>, Status> {
    match daemon.node.world().store().read_sealed(LOCK).await {
        Ok(bytes) => {
            let flaw = StoreError::Integrity { position: 0 };
            let lock = BackupLock::from_bytes(&bytes).map_err(|_| flow(flaw.into()))?;
            Ok(Some(lock))
        }
        Err(StoreError::Missing) => Ok(None),
        Err(error) => Err(flow(error.into())),
    }
}

fn place(request: &BackupRequest) -> Result<SavedAt, Status> {
    match (request.file.is_empty(), request.folder.is_empty()) {
        (false, true) => Ok(SavedAt::File(absolute(&request.file)?)),
        (true, false) if request.keep > 0 => Ok(SavedAt::Folder(
            absolute(&request.folder)?,
            request.keep as usize,
        )),
        _ => Err(usage(
            Code::Usage,
            "name a file, or a folder and how many to keep",
        )),
    }
}

fn absolute(path: &str) -> Result<PathBuf, Status> {
    let path = PathBuf::from(path);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(usage(Code::Usage, "the path is not absolute"))
}

fn told(made: &BackedUp, sheet: String) -> BackupReply {
    BackupReply {
        file: made.file.display().to_string(),
        bytes: made.len_bytes,
        sha256: HEXLOWER.encode(&made.sha256),
        position: made.position,
        recorded: (made.position > 0).then(|| made.recorded.to_string()),
        made: made.made.to_string(),
        documents: made.files,
        verified: true,
        sheet,
        absent: made.absent.iter().map(ToString::to_string).collect(),
        removed: made
            .removed
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
    }
}

fn refused(error: BackupFailure) -> Status {
    let (code, message) = (error.code(), error.to_string());
    match error {
        BackupFailure::Ended => internal(),
        BackupFailure::Target(_) => advised(
            GrpcCode::ResourceExhausted,
            code,
            message,
            "the folder must be there and writable for the account of the daemon, with room; earlier backups are as they were",
        ),
        BackupFailure::Backup(_) => status(GrpcCode::DataLoss, code, message),
    }
}

fn not_restored(error: &RestoreError) -> Status {
    let code = error.code();
    let grpc = match code {
        Code::StorageFull => GrpcCode::ResourceExhausted,
        _ => GrpcCode::FailedPrecondition,
    };
    match error {
        RestoreError::File(_) => advised(
            grpc,
            code,
            error.to_string(),
            "name the file of a backup that this account may read",
        ),
        _ => status(grpc, code, error.to_string()),
    }
}
