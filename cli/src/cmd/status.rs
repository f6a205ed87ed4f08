//! `status`, `peers` and `config show`.

use chartmesh_proto::admin::{ConfigReply, Empty, PeersReply, StatusReply};

use crate::{
    args::ConfigCommand,
    connect::Node,
    exit::Failure,
    print::Screen,
    text::{self, Table},
};

/// Shows health, synchronisation, storage, versions.
///
/// # Errors
/// No daemon answers.
pub(crate) async fn status(node: &Node, screen: &Screen) -> Result<(), Failure> {
    let reply = node
        .call(async |mut admin| Ok(admin.status(Empty {}).await?.into_inner()))
        .await?;
    screen.reply(&reply, status_table)
}

/// Shows every member's connection.
///
/// # Errors
/// No daemon answers.
pub(crate) async fn peers(node: &Node, screen: &Screen) -> Result<(), Failure> {
    let reply = node
        .call(async |mut admin| Ok(admin.peers(Empty {}).await?.into_inner()))
        .await?;
    screen.reply(&reply, peers_table)
}

/// Shows the configuration in force.
///
/// # Errors
/// No daemon answers.
pub(crate) async fn config(
    command: &ConfigCommand,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    let ConfigCommand::Show { origin } = command;
    let reply = node
        .call(async |mut admin| Ok(admin.config_show(Empty {}).await?.into_inner()))
        .await?;
    screen.reply(&reply, |reply: &ConfigReply| {
        if *origin {
            let mut table = Table::new(["KEY", "VALUE", "ORIGIN"]);
            for line in &reply.values {
                table.row([&line.key, &line.value, &line.origin]);
            }
            table.or("no values")
        } else {
            let mut table = Table::new(["KEY", "VALUE"]);
            for line in &reply.values {
                table.row([&line.key, &line.value]);
            }
            table.or("no values")
        }
    })
}

fn status_table(reply: &StatusReply) -> String {
    let network = match (&reply.network_name, &reply.network) {
        (Some(name), Some(id)) => format!("{name} ({id})"),
        (None, Some(id)) => id.clone(),
        (Some(_) | None, None) => String::new(),
    };
    let test = if reply.test { "TEST\n" } else { "" };
    let body = text::lines([
        ("health", reply.health.as_str()),
        ("organization", reply.organization.as_str()),
        ("kind", reply.kind.as_str()),
        ("network", &network),
        ("member", reply.member.as_str()),
        ("node", reply.node.as_str()),
        ("version", reply.version.as_str()),
        ("listens on", &reply.listen.join(" ")),
        (
            "peers",
            &format!(
                "{} connected, {} members",
                reply.peers_connected, reply.members
            ),
        ),
        ("patients", &reply.patients.to_string()),
        ("resources", &reply.resources.to_string()),
        ("documents", &reply.documents.to_string()),
        (
            "journal",
            &format!(
                "{}, position {}",
                text::bytes(reply.journal_bytes),
                reply.journal_position
            ),
        ),
        ("audit entries", &reply.audit_entries.to_string()),
        (
            "started",
            &format!("{}, in {} ms", text::date(&reply.started), reply.start_ms),
        ),
    ]);
    format!("{test}{body}")
}

fn peers_table(reply: &PeersReply) -> String {
    let mut table = Table::new([
        "ORGANIZATION",
        "CONNECTED",
        "RTT",
        "PATH",
        "LAST SEEN",
        "NODE",
    ]);
    for line in &reply.peers {
        table.row([
            &line.organization,
            if line.connected { "yes" } else { "no" },
            &line
                .rtt_ms
                .map_or_else(String::new, |rtt| format!("{rtt:.1} ms")),
            &line.path,
            &text::maybe_date(line.last_seen.as_ref()),
            &line.node,
        ]);
    }
    table.or("no other members")
}
