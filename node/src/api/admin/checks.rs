//! What `doctor` looks at: one line a check, with what to do.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use chartmesh_core::{
    flows::MemberView,
    membership::Status as Standing,
    records::StoreError,
    types::{NodeKey, Span, Timestamp},
};
use chartmesh_proto::admin::Check;
use tonic::Status;

use crate::{
    api::metrics::{DiskUse, disk_use},
    config::FILE,
    daemon::Daemon,
    harden::granted,
    net::{Net, Reached},
    store::{IndexState, Leaves, Stats},
};

/// How long before a credential ends it is to be renewed.
const RENEW_BEFORE: Span = Span::days(30);
/// Below this, what can be made anew is not worth a word, in bytes.
const GROWTH_MIN_BYTES: u64 = 1 << 30;
/// How many times what is needed a directory may take.
const GROWTH_MAX: u64 = 3;

pub(super) fn check(name: &str, state: &str, detail: impl Into<String>, hint: &str) -> Check {
    Check {
        name: name.to_owned(),
        status: state.to_owned(),
        detail: detail.into(),
        hint: if state == "ok" {
            String::new()
        } else {
            hint.to_owned()
        },
    }
}

/// Every check of an open node.
pub(super) async fn checks(daemon: &Arc<Daemon>, accepted: bool) -> Result<Vec<Check>, Status> {
    let stats = daemon.node.world().store().stats().await;
    let stats = stats.map_err(|error| super::error::flow(error.into()))?;
    let disk = disk_use(daemon.folder.clone(), stats).await.ok();
    let mut checks = vec![
        check("version", "ok", versions(), ""),
        directory(&daemon.folder),
        config(daemon),
        check("lock", "ok", "this process holds the directory", ""),
        key_file(daemon),
        free_space(&stats),
        growth(disk),
        journal(daemon, stats.journal_bytes, stats.position).await,
        super::audit::files_check(daemon).await,
        index(daemon, &stats),
        memory(),
        clock(daemon, accepted),
    ];
    if stats.aside > 0 {
        checks.push(check(
            "torn-tail",
            "warn",
            format!(
                "{} unacknowledged writes were put aside after a crash",
                stats.aside
            ),
            "nothing acknowledged was lost; the files lie in aside/ until you delete them",
        ));
    }
    checks.extend(super::backup::checks(daemon).await);
    checks.extend(of_the_network(daemon));
    checks.extend(super::cosign::checks(daemon));
    checks.extend(super::trust::checks(daemon));
    Ok(checks)
}

fn versions() -> String {
    format!("chartmeshd {}", env!("CARGO_PKG_VERSION"))
}

fn config(daemon: &Daemon) -> Check {
    let values = daemon.config.values();
    let from_file = values.iter().filter(|(.., origin)| origin.text() == FILE);
    let said = format!(
        "{} of {} values from {FILE}, the rest built in",
        from_file.count(),
        values.len()
    );
    check("config", "ok", said, "")
}

fn free_space(stats: &Stats) -> Check {
    if stats.free_bytes == 0 {
        let left = format!(
            "only the reserve of {} MiB is left",
            stats.reserve_bytes >> 20
        );
        let hint = "free space on the disk; nothing is written until then";
        return check("free-space", "bad", left, hint);
    }
    let room = format!("{} MiB may still be written", stats.free_bytes >> 20);
    check("free-space", "ok", room, "")
}

fn growth(disk: Option<DiskUse>) -> Check {
    let Some(DiskUse {
        used_bytes,
        live_bytes,
    }) = disk
    else {
        let hint = "see that every file in the directory belongs to the node's account";
        return check(
            "disk-growth",
            "bad",
            "the directory cannot be added up",
            hint,
        );
    };
    let said = format!(
        "{} MiB, of which journal and documents are {} MiB",
        used_bytes >> 20,
        live_bytes >> 20
    );
    let grown = used_bytes > GROWTH_MIN_BYTES && used_bytes / GROWTH_MAX > live_bytes;
    if grown {
        let hint =
            "stop the daemon and delete index/: it is made anew from the journal at the start";
        return check("disk-growth", "warn", said, hint);
    }
    check("disk-growth", "ok", said, "")
}

fn clock(daemon: &Daemon, accepted: bool) -> Check {
    match daemon.clock_behind {
        Some(behind) if !accepted => check(
            "clock",
            "bad",
            format!("the clock is {behind} behind the last record"),
            "set the clock, or accept it with doctor --accept-clock and restart",
        ),
        Some(_) => check("clock", "warn", "accepted", "restart the daemon"),
        None => check("clock", "ok", "not behind the last record", ""),
    }
}

/// How others get to this node.
fn reached(daemon: &Daemon, net: &Net) -> Check {
    let organization = |node: &NodeKey| {
        let views = daemon.node.member_views();
        let view = views
            .into_iter()
            .find(|view| view.credential.node_key == *node);
        view.map_or_else(
            || node.to_string(),
            |view| view.credential.organization.name,
        )
    };
    match net.reached() {
        Reached::Directly => check("reachable", "ok", "others dial this node", ""),
        Reached::Relayed(relays) => {
            let names: Vec<String> = relays.iter().map(organization).collect();
            let by = format!("through {}", names.join(" and "));
            check("reachable", "ok", by, "")
        }
        Reached::Unknown => check(
            "reachable",
            "ok",
            "no member has tried to dial this node from outside",
            "",
        ),
        Reached::Nohow => check(
            "reachable",
            "warn",
            "others cannot dial this node, and no member relays for it",
            "ask a member with a public address to set relay = true under [reach], or forward a port",
        ),
    }
}

/// Checks that only a node of a network has; one line where it has none.
fn of_the_network(daemon: &Daemon) -> Vec<Check> {
    let Some(network) = daemon.node.current_network() else {
        let hint = "found one with network found, or join one with a ticket: network join";
        return vec![check(
            "network",
            "warn",
            "this node belongs to no network",
            hint,
        )];
    };
    let charter = &network.charter;
    let authorities = charter.authorities.len();
    let mut checks = vec![check(
        "charter",
        "ok",
        format!(
            "{}, {} of {authorities} authorities sign",
            charter.name, charter.threshold
        ),
        "",
    )];
    if charter.threshold == 1 {
        checks.push(check(
            "authorities",
            "warn",
            "one authority signs alone",
            "whoever holds that key admits members; name more with chartmesh network amend --authority",
        ));
    }
    let views = daemon.node.member_views();
    let own = daemon.node.member();
    let mine = views.iter().find(|view| view.credential.member == own);
    checks.push(credential(mine, daemon.now()));
    checks.push(listens(daemon));
    checks.push(reaches(daemon, &views));
    checks.extend(daemon.net().map(|net| reached(daemon, &net)));
    checks.push(check(
        "witnesses",
        "warn",
        "no other node keeps the head of this node's audit log",
        "keep what audit checkpoint prints somewhere else, and compare it with audit verify",
    ));
    checks
}

fn credential(mine: Option<&MemberView>, now: Timestamp) -> Check {
    let hint = "let an authority run chartmesh network reissue MEMBER --renew for this member";
    let Some(mine) = mine else {
        return check(
            "credential",
            "bad",
            "this node is no member of its network",
            hint,
        );
    };
    let until = mine.credential.valid_until;
    let said = format!("valid until {until}");
    match mine.status {
        Standing::Active => {}
        Standing::Expired => return check("credential", "bad", format!("expired: {said}"), hint),
        Standing::Revoked => return check("credential", "bad", "revoked", hint),
    }
    if until.since(now) < RENEW_BEFORE {
        return check("credential", "warn", said, hint);
    }
    check("credential", "ok", said, "")
}

fn listens(daemon: &Daemon) -> Check {
    let Some(net) = daemon.net() else {
        let hint = "start chartmeshd; if it runs, see the check of the clock";
        return check(
            "listen",
            "warn",
            "the network does not run in this process",
            hint,
        );
    };
    let addresses = net.listen_addresses();
    let hint = "set listen in config.toml to an address that others reach, and restart";
    if addresses.is_empty() {
        return check("listen", "bad", "at no address", hint);
    }
    let said = addresses.join(" ");
    let is_near = |address: &String| address.contains("/127.") || address.contains("/ip6/::1/");
    if addresses.iter().all(is_near) {
        return check("listen", "warn", format!("{said}: this machine only"), hint);
    }
    check("listen", "ok", said, "")
}

fn reaches(daemon: &Daemon, views: &[MemberView]) -> Check {
    let own = daemon.node.member();
    let others = views
        .iter()
        .filter(|view| view.status == Standing::Active && view.credential.member != own);
    let (others, connected) = (
        others.count(),
        daemon.net().map_or(0, |net| net.connections().len()),
    );
    let said = format!("{connected} connected, {others} other active members");
    if others > 0 && connected == 0 {
        let hint =
            "see that a firewall lets the port of listen through; peers tells of each member";
        return check("peers", "warn", said, hint);
    }
    check("peers", "ok", said, "")
}

pub(super) fn directory(folder: &Path) -> Check {
    match std::fs::metadata(folder) {
        Ok(metadata) if !metadata.is_dir() => check(
            "directory",
            "bad",
            "this is a file and no directory",
            "name the node's directory with --node",
        ),
        Ok(metadata) if metadata.permissions().mode() & 0o077 == 0 => {
            check("directory", "ok", "only its owner may enter", "")
        }
        Ok(_) => check(
            "directory",
            "bad",
            "others may enter the node's directory",
            &format!("chmod 700 {}", folder.display()),
        ),
        Err(error) => check(
            "directory",
            "bad",
            format!("the directory cannot be read: {}", error.kind()),
            "name the node's directory with --node",
        ),
    }
}

fn key_file(daemon: &Daemon) -> Check {
    if daemon.folder.join("passphrase").exists() {
        return check("key-file", "ok", "sealed with a passphrase", "");
    }
    if daemon.config.key_file.0.starts_with(&daemon.folder) {
        return check(
            "key-file",
            "warn",
            "the key lies beside the data",
            "whoever takes the disk has both; keep the key elsewhere for real patients",
        );
    }
    check("key-file", "ok", "the key lies outside the directory", "")
}

async fn journal(daemon: &Daemon, bytes: u64, position: u64) -> Check {
    let verified = daemon.node.world().store().verify().await;
    let bad = match verified {
        Ok(verified) => match (verified.journal.first_bad, verified.leaves) {
            // What is there holds; what the index or a checkpoint knows of may be gone.
            (None, Leaves::Agree) => match daemon.node.fold().problem() {
                Some(StoreError::Integrity { position }) => {
                    Some(format!("cut or changed at or behind record {position}"))
                }
                Some(_) | None => None,
            },
            (Some(position), _) => Some(format!("changed at or behind record {position}")),
            (None, _) => Some("audit/leaves and journal disagree".to_owned()),
        },
        Err(error) => Some(error.to_string()),
    };
    match bad {
        Some(detail) => check(
            "journal",
            "bad",
            detail,
            "keep the directory as it is; restore a backup beside it",
        ),
        None => check(
            "journal",
            "ok",
            format!("{position} records in {} MiB hold", bytes >> 20),
            "",
        ),
    }
}

fn memory() -> Check {
    match granted() {
        Some(hardened) if hardened.no_dump && hardened.no_swap => {
            check("memory", "ok", "neither dumped nor swapped", "")
        }
        Some(hardened) if hardened.no_dump => check(
            "memory",
            "warn",
            "may be swapped: locked memory is limited",
            "lift the limit (LimitMEMLOCK=infinity), or encrypt or switch off swap",
        ),
        Some(_) | None => check(
            "memory",
            "warn",
            "may be dumped",
            "run the daemon where prctl and rlimits are allowed",
        ),
    }
}

fn index(daemon: &Daemon, stats: &Stats) -> Check {
    let head = format!("at record {} of {}", stats.indexed, stats.position);
    if stats.is_index_broken {
        let hint = "restart the daemon: the index is made anew from the journal";
        return check("index", "bad", head, hint);
    }
    match daemon.opened.index {
        IndexState::Kept | IndexState::Made => check("index", "ok", head, ""),
        IndexState::Replaced { .. } => check(
            "index",
            "warn",
            format!("{head}; it was damaged and made anew from the journal"),
            "watch the disk",
        ),
        IndexState::InMemory => check(
            "index",
            "warn",
            format!("{head}; it cannot be kept on this disk and is held in memory"),
            "check the disk",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_directory_of_a_node() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let room = tempfile::tempdir().unwrap();
        std::fs::set_permissions(room.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(directory(room.path()).status, "ok");

        let found = directory(file.path());

        assert_eq!(found.status, "bad");
        assert!(found.detail.contains("file"), "{}", found.detail);
    }

    #[test]
    fn a_directory_that_outgrew_its_records_is_told() {
        let disk = |used_bytes, live_bytes| {
            growth(Some(DiskUse {
                used_bytes,
                live_bytes,
            }))
        };

        assert_eq!(disk(4 << 30, 2 << 30).status, "ok");
        assert_eq!(disk(4 << 20, 1).status, "ok");
        assert_eq!(disk(8 << 30, 2 << 30).status, "warn");
        assert_eq!(growth(None).status, "bad");
    }
}
