//! Metrics: reads the gauges of a running daemon, and serves the page where the configuration says.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    daemon::Daemon,
    metrics::{Gauges, MetricsServer, ServeError},
};

/// Serves metrics until the daemon stops, where the configuration names an address.
///
/// # Errors
/// [`ServeError`].
pub async fn serve_metrics(daemon: &Arc<Daemon>) -> Result<(), ServeError> {
    let Some(address) = daemon.config.metrics.0 else {
        return Ok(());
    };
    let server = MetricsServer::bind(address).await?;
    let metrics = daemon.node.world().metrics();
    // Set once: a daemon starts once.
    let at = *metrics.address.get_or_init(|| server.address());
    tracing::info!(address = %at, "metrics are served");
    let stop = daemon.shutdown().clone();
    let source = daemon.clone();
    let text = move || {
        let daemon = source.clone();
        async move {
            let gauges = gauges(&daemon).await?;
            daemon.node.world().metrics().text(&gauges).ok()
        }
    };
    daemon.tasks().spawn(server.serve(text, stop));
    Ok(())
}

/// The state of a daemon at this moment; none where the disk cannot be read.
async fn gauges(daemon: &Daemon) -> Option<Gauges> {
    let world = daemon.node.world();
    let stats = world.store().stats().await.ok()?;
    let disk = disk_use(daemon.folder.clone()).await.ok()?;
    let counts = daemon.node.counts();
    let now = daemon.now();
    let own = daemon.node.member();
    let views = daemon.node.member_views();
    let credential = views.iter().find(|view| view.credential.member == own);
    let seconds = |ms: u64| ms / 1_000;
    Some(Gauges {
        well: super::admin::health(daemon) == "ok",
        peers_connected: daemon.net().map_or(0, |net| net.connections().len()) as u64,
        members: counts.members,
        patients: counts.patients,
        resources: counts.resources,
        documents: counts.documents,
        audit_entries: counts.audit_entries,
        journal_position: stats.position,
        journal_bytes: stats.journal_bytes,
        journal_syncs: stats.syncs,
        journal_waiting: stats.waiting,
        work_waiting: world.work_waiting() as u64,
        disk_used_bytes: disk.used_bytes,
        disk_live_bytes: disk.live_bytes,
        disk_free_bytes: stats.free_bytes,
        up_seconds: seconds(now.since(daemon.started.0).0),
        trust_seconds: daemon.node.trust().map(|trust| seconds(trust.age.0)),
        credential_seconds: credential
            .map(|view| seconds(view.credential.valid_until.since(now).0)),
    })
}

/// What a node's directory takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DiskUse {
    /// Bytes of everything.
    pub(super) used_bytes: u64,
    /// Bytes of journal and documents, which nothing else could replace.
    pub(super) live_bytes: u64,
}

/// Adds up a node's directory.
///
/// # Errors
/// It cannot be read.
pub(super) async fn disk_use(folder: PathBuf) -> io::Result<DiskUse> {
    let added = tokio::task::spawn_blocking(move || {
        let live = |name: &str| bytes_of(&folder.join(name));
        Ok(DiskUse {
            used_bytes: bytes_of(&folder)?,
            live_bytes: live("journal")? + live("files")?,
        })
    });
    added.await.map_err(io::Error::other)?
}

/// Bytes of all files below a folder; none where it is not there, or goes meanwhile.
fn bytes_of(folder: &Path) -> io::Result<u64> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut sum = 0;
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sum += bytes_of(&entry.path())?;
        } else if let Ok(found) = entry.metadata() {
            sum += found.len();
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn live_is_what_nothing_else_could_replace() {
        let room = tempfile::tempdir().unwrap();
        for (name, len) in [("journal/1", 10), ("files/00/a", 20), ("index/db", 40)] {
            let path = room.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![0; len]).unwrap();
        }

        let used = disk_use(room.path().to_owned()).await.unwrap();

        assert_eq!((used.used_bytes, used.live_bytes), (70, 30));
        let none = disk_use(room.path().join("absent")).await.unwrap();
        assert_eq!(none, DiskUse::default());
    }
}
