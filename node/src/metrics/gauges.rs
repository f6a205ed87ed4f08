//! Figures that are read when somebody looks.

use std::fmt::Debug;

use prometheus_client::{
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

/// The state of the node at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Whether the node does all it should: in a network, clock right, store writable.
    pub well: bool,
    /// Members connected.
    pub peers_connected: u64,
    /// Members of the network, this one included.
    pub members: u64,
    /// Patients here.
    pub patients: u64,
    /// Resources here.
    pub resources: u64,
    /// Documents here.
    pub documents: u64,
    /// Entries of the audit log.
    pub audit_entries: u64,
    /// The last record of the journal.
    pub journal_position: u64,
    /// Bytes of all journal files.
    pub journal_bytes: u64,
    /// Syncs of the journal since start.
    pub journal_syncs: u64,
    /// Batches that wait for the journal.
    pub journal_waiting: u64,
    /// Jobs of CPU-heavy work that wait or run.
    pub work_waiting: u64,
    /// Bytes of everything in the directory.
    pub disk_used_bytes: u64,
    /// Bytes of it that journal and documents need; the rest can be made anew or thrown away.
    pub disk_live_bytes: u64,
    /// Bytes that may still be written.
    pub disk_free_bytes: u64,
    /// Seconds since the daemon started.
    pub up_seconds: u64,
    /// Seconds that the credential is still valid; none outside a network.
    pub credential_seconds: Option<u64>,
    /// Seconds since the newest revocation list was last known to be the newest; none outside a network.
    pub trust_seconds: Option<u64>,
}

impl Gauges {
    /// Adds every figure to a registry.
    #[expect(clippy::too_many_lines, reason = "a table of gauges")]
    pub(super) fn register(&self, registry: &mut Registry) {
        let gauges = [
            (
                "well",
                "1 where the node does all it should",
                u64::from(self.well),
            ),
            ("peers_connected", "Members connected", self.peers_connected),
            ("members", "Members of the network", self.members),
            ("patients", "Patients here", self.patients),
            ("resources", "Resources here", self.resources),
            ("documents", "Documents here", self.documents),
            (
                "audit_entries",
                "Entries of the audit log",
                self.audit_entries,
            ),
            (
                "journal_position",
                "The last record of the journal",
                self.journal_position,
            ),
            (
                "journal_bytes",
                "Bytes of all journal files",
                self.journal_bytes,
            ),
            (
                "journal_waiting",
                "Batches that wait for the journal",
                self.journal_waiting,
            ),
            (
                "work_waiting",
                "Jobs of CPU-heavy work that wait or run",
                self.work_waiting,
            ),
            (
                "disk_used_bytes",
                "Bytes of everything in the directory",
                self.disk_used_bytes,
            ),
            (
                "disk_live_bytes",
                "Bytes of it that journal and documents need",
                self.disk_live_bytes,
            ),
            (
                "disk_free_bytes",
                "Bytes that may still be written",
                self.disk_free_bytes,
            ),
            (
                "up_seconds",
                "Seconds since the daemon started",
                self.up_seconds,
            ),
        ];
        for (name, help, value) in gauges {
            registry.register(name, help, ConstGauge::new(as_gauge(value)));
        }
        if let Some(seconds) = self.credential_seconds {
            let help = "Seconds that the credential is still valid";
            registry.register(
                "credential_seconds",
                help,
                ConstGauge::new(as_gauge(seconds)),
            );
        }
        if let Some(seconds) = self.trust_seconds {
            let help = "Seconds since the newest revocation list was last confirmed as the newest";
            registry.register(
                "trust_age_seconds",
                help,
                ConstGauge::new(as_gauge(seconds)),
            );
        }
        let syncs = ConstCounter::new(self.journal_syncs);
        registry.register("journal_syncs", "Syncs of the journal since start", syncs);
    }
}

fn as_gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
