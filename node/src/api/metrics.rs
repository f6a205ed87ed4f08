//! Metrics: reads the gauges of a running daemon, and serves the page where the configuration says.

use std::{io, path::PathBuf, sync::Arc};

use crate::{
    daemon::Daemon,
    metrics::{Gauges, MetricsServer, ServeError},
    store::{Stats, Store, bytes_beside},
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
    let disk = disk_use(daemon.folder.clone(), stats).await.ok()?;
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

/// Adds up a node's directory. Of documents there may be a million: the store has counted those.
///
/// # Errors
/// It cannot be read.
pub(super) async fn disk_use(folder: PathBuf, stats: Stats) -> io::Result<DiskUse> {
    let added = tokio::task::spawn_blocking(move || {
        let others = bytes_beside(&folder, Store::DOCUMENTS)?;
        Ok(DiskUse {
            used_bytes: others + stats.files_bytes,
            live_bytes: stats.journal_bytes + stats.files_bytes,
        })
    });
    added.await.map_err(io::Error::other)?
}
