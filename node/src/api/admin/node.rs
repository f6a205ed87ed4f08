//! The node itself: making it, its state, its checks.

use std::path::{Path, PathBuf};

use chartmesh_core::{
    membership::Organization,
    types::{Code, Kind},
};
use chartmesh_proto::admin::{
    Check, ConfigReply, ConfigValue, DoctorReply, DoctorRequest, InitReply, InitRequest, PeerLine,
    PeersReply, StatusReply,
};
use tonic::Status;
use zeroize::Zeroizing;

use super::{
    Admin,
    checks::{check, checks, directory},
    error::{status, usage},
};
use crate::{
    boot::{self, BootError, Making},
    daemon::Daemon,
    net::address_text,
    restore::RestoredNote,
};

impl Admin {
    pub(super) async fn init(&self, request: InitRequest) -> Result<InitReply, Status> {
        let folder = self.folder();
        if std::fs::metadata(&folder).is_ok_and(|found| !found.is_dir()) {
            return Err(usage(
                Code::Usage,
                "--node names a file; a node needs a directory",
            ));
        }
        let kind: Kind = request
            .kind
            .parse()
            .map_err(|_| usage(Code::Usage, "the kind of organisation is not known"))?;
        for address in &request.listen {
            crate::net::address_bytes(address)
                .map_err(|_| usage(Code::Usage, "an address to listen on is no multiaddress"))?;
        }
        let two_letters =
            request.state.len() == 2 && request.state.bytes().all(|byte| byte.is_ascii_uppercase());
        if !(request.state.is_empty() || two_letters) {
            return Err(usage(
                Code::Usage,
                "the state is not two letters such as OH",
            ));
        }
        let again = (!request.member.is_empty())
            .then(|| request.member.trim().parse())
            .transpose()
            .map_err(|_| usage(Code::Usage, "this is no member id"))?;
        let organization = Organization {
            name: request.name,
            kind,
            npi: request.npi,
            oid: String::new(),
            address: request.address,
            contact: request.contact,
            phone: request.phone,
            hours: request.hours,
            state: request.state,
            part2: request.part2,
            test: request.test,
        };
        organization.check().map_err(|error| {
            status(
                tonic::Code::InvalidArgument,
                Code::OrganizationMalformed,
                error.to_string(),
            )
        })?;
        let passphrase = Zeroizing::new(request.passphrase);
        let making = Making {
            organization,
            listen: request.listen,
            passphrase: (!passphrase.is_empty()).then_some(passphrase),
            key_file: (!request.key_file.is_empty()).then(|| PathBuf::from(request.key_file)),
            member: again,
        };
        let made = boot::make(&folder, making).await.map_err(boot_status)?;
        Ok(InitReply {
            node: made.node,
            member: made.member.to_string(),
            warnings: made.warnings,
        })
    }

    pub(super) async fn status(&self) -> Result<StatusReply, Status> {
        let daemon = self.daemon()?;
        let counts = daemon.node.counts();
        let stats = daemon.node.world().store().stats().await;
        let stats = stats.map_err(|error| super::error::flow(error.into()))?;
        let network = daemon.node.current_network();
        let organization = &daemon.node.identity().organization;
        Ok(StatusReply {
            node: daemon.node.node_key().to_string(),
            member: daemon.node.member().to_string(),
            organization: organization.name.clone(),
            kind: organization.kind.to_string(),
            network: network.as_ref().map(|network| network.id.to_string()),
            network_name: network.as_ref().map(|n| n.charter.name.clone()),
            test: organization.test || network.as_ref().is_some_and(|n| n.charter.test),
            health: health(&daemon).to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: daemon
                .net()
                .map_or_else(Vec::new, |net| net.listen_addresses()),
            peers_connected: daemon.net().map_or(0, |net| {
                u32::try_from(net.connections().len()).unwrap_or(u32::MAX)
            }),
            members: u32::try_from(counts.members).unwrap_or(u32::MAX),
            patients: counts.patients,
            resources: counts.resources,
            documents: counts.documents,
            journal_bytes: stats.journal_bytes,
            journal_position: stats.position,
            audit_entries: counts.audit_entries,
            started: daemon.started.0.to_string(),
            metrics: daemon
                .node
                .world()
                .metrics()
                .address
                .get()
                .map(ToString::to_string),
            start_ms: u64::try_from(daemon.started.1.as_millis()).unwrap_or(u64::MAX),
            trust: daemon.node.trust().as_ref().map(super::trust::shown),
            disputed: super::network::disputed(&daemon),
            proposals: daemon
                .node
                .proposals_to_sign()
                .iter()
                .map(super::cosign::line)
                .collect(),
            charter: super::network::charter(&daemon),
            next_node: daemon.awaited_node_key().map(|next| next.to_string()),
        })
    }

    pub(super) fn peers(&self) -> Result<PeersReply, Status> {
        let daemon = self.daemon()?;
        let connections = daemon.net().map_or_else(Vec::new, |net| net.connections());
        let own = daemon.node.member();
        let peers = daemon
            .node
            .member_views()
            .into_iter()
            .filter(|view| view.credential.member != own)
            .map(|view| {
                let node = view.credential.node_key;
                let connection = connections.iter().find(|known| known.node == node);
                PeerLine {
                    node: node.to_string(),
                    organization: view.credential.organization.name,
                    connected: connection.is_some(),
                    rtt_ms: connection.and_then(|known| known.rtt_ms),
                    path: match connection {
                        None => "none",
                        Some(known) if known.relayed => "relayed",
                        Some(_) => "direct",
                    }
                    .to_owned(),
                    last_seen: view.last_seen.map(|at| at.to_string()),
                    member: view.credential.member.to_string(),
                    addresses: view
                        .addresses
                        .iter()
                        .filter_map(|address| address_text(address).ok())
                        .collect(),
                    transport: connection
                        .and_then(|known| known.carriers.last())
                        .map_or("", |carrier| carrier.text())
                        .to_owned(),
                }
            })
            .collect();
        Ok(PeersReply { peers })
    }

    pub(super) fn config(&self) -> Result<ConfigReply, Status> {
        let daemon = self.daemon()?;
        let values = daemon
            .config
            .values()
            .into_iter()
            .map(|(key, value, origin)| ConfigValue {
                key: key.to_owned(),
                value,
                origin: origin.text().to_owned(),
            })
            .collect();
        Ok(ConfigReply { values })
    }

    pub(super) async fn doctor(&self, request: DoctorRequest) -> Result<DoctorReply, Status> {
        if request.repair {
            return Err(usage(Code::Usage, "repair comes with a later version"));
        }
        let checks = match self.daemon() {
            Ok(daemon) => {
                if request.accept_clock {
                    boot::accept_clock(&daemon.folder, daemon.last).map_err(boot_status)?;
                }
                if request.accept_restore {
                    RestoredNote::accept(&daemon.folder).map_err(boot_status)?;
                    self.network_started(&daemon).await?;
                }
                checks(&daemon, request.accept_clock).await?
            }
            Err(_) => self.unopened_checks(),
        };
        Ok(DoctorReply {
            healthy: checks.iter().all(|check| check.status != "bad"),
            checks,
        })
    }

    /// What can be said of a directory whose node does not open.
    fn unopened_checks(&self) -> Vec<Check> {
        let folder = self.folder();
        let mut checks = vec![directory(&folder)];
        if let Some(error) = self.boot_error() {
            let name = match error.code() {
                Code::DataDirLocked => "lock",
                Code::KeyRefused | Code::Permissions => "key-file",
                Code::ConfigMalformed => "config",
                Code::StorageFull => "free-space",
                _ => "journal",
            };
            checks.push(check(
                name,
                "bad",
                error.to_string(),
                &remedy(error, &folder),
            ));
        }
        checks
    }
}

/// What mends a node that does not open.
fn remedy(error: &BootError, folder: &Path) -> String {
    let folder = folder.display();
    match error {
        BootError::Passphrase => "give --passphrase-fd N".to_owned(),
        BootError::Config(_) => format!("correct {folder}/config.toml"),
        _ => match error.code() {
            Code::Permissions => format!("chmod 700 {folder} && chmod 600 {folder}/key"),
            Code::NotInitialised => "make a node there with chartmesh init".to_owned(),
            Code::DataDirLocked => "stop the other process, or ask it".to_owned(),
            Code::KeyRefused => {
                "give the key file or passphrase this node was made with".to_owned()
            }
            Code::StorageFull => "free space on the disk".to_owned(),
            _ => "keep the directory as it is; restore a backup beside it".to_owned(),
        },
    }
}

/// In one word, whether the node does all it should.
pub(in crate::api) fn health(daemon: &Daemon) -> &'static str {
    if daemon.node.fold().problem().is_some() {
        "read-only"
    } else if daemon.clock_behind.is_some() {
        "clock-behind"
    } else if RestoredNote::waits(&daemon.folder) {
        "restored"
    } else if let Some(trust) = daemon.node.trust() {
        match trust {
            _ if trust.own => "revoked",
            _ if daemon.node.is_superseded() => "superseded",
            _ if trust.stale => "trust-stale",
            _ => "ok",
        }
    } else if daemon.node.pending_ticket().is_some() {
        "join-pending"
    } else {
        "not-in-a-network"
    }
}

pub(super) fn boot_status(error: BootError) -> Status {
    let grpc = match error.code() {
        Code::StorageFull => tonic::Code::ResourceExhausted,
        _ => tonic::Code::FailedPrecondition,
    };
    status(grpc, error.code(), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OpenError;

    #[test]
    fn what_keeps_a_node_closed_comes_with_the_command_that_opens_it() {
        let folder = Path::new("/n");
        let wide = BootError::Store(OpenError::Permissions {
            mode: 0o644,
            allowed: 0o600,
        });
        assert!(remedy(&wide, folder).contains("chmod 600 /n/key"));
        assert!(remedy(&BootError::Passphrase, folder).contains("--passphrase-fd"));
    }
}
