//! `status`, `peers` and `config show`.

use chartmesh_proto::admin::{CharterLine, ConfigReply, Empty, PeersReply, StatusReply};

use super::cosign;
use crate::{
    args::ConfigCommand,
    connect::{Admin, Node},
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
    let (reply, banner) = node
        .call(async |mut admin| {
            let reply = admin.peers(Empty {}).await?.into_inner();
            Ok((reply, banner(&mut admin, screen).await?))
        })
        .await?;
    screen.reply(&reply, |reply| format!("{banner}{}", peers_table(reply)))
}

/// What stands above a table of a network whose charter marks it as one for test data.
pub(super) const TEST: &str = "TEST network\n";

/// [`TEST`] or nothing; asked for only where a table is printed.
///
/// # Errors
/// As the daemon says.
pub(super) async fn banner(admin: &mut Admin, screen: &Screen) -> Result<&'static str, Failure> {
    if screen.is_json() {
        return Ok("");
    }
    let status = admin.status(Empty {}).await?.into_inner();
    Ok(if status.test { TEST } else { "" })
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

/// The one word of the JSON view as a sentence; words of a later daemon stand as they are.
fn health(word: &str) -> &str {
    match word {
        "read-only" => {
            "READ-ONLY: stored bytes were changed; nothing is written and no peer is answered; run chartmesh audit verify"
        }
        "clock-behind" => {
            "CLOCK BEHIND: the clock is behind the last record, so the network is off; run chartmesh doctor"
        }
        "restored" => {
            "RESTORED: from a backup, and nobody has said that what came after it is known; the network is off; run chartmesh doctor"
        }
        "trust-stale" => {
            "TRUST STALE: nobody confirmed lately who was revoked, so nothing is disclosed; run chartmesh doctor"
        }
        "revoked" => "REVOKED: this node was thrown out of the network; no member answers it",
        "superseded" => {
            "SUPERSEDED: this member has another node key, which this node does not have; no member answers it"
        }
        "join-pending" => "waits to be admitted to a network",
        "not-in-a-network" => "well, and in no network yet",
        word => word,
    }
}

fn status_table(reply: &StatusReply) -> String {
    let network = match (&reply.network_name, &reply.network) {
        (Some(name), Some(id)) => format!("{name} ({id})"),
        (None, Some(id)) => id.clone(),
        (Some(_) | None, None) => String::new(),
    };
    let test = if reply.test { TEST } else { "" };
    let alarms = alarms(reply);
    let charter = reply.charter.as_ref().map_or_else(String::new, charter);
    let body = text::lines([
        ("health", health(&reply.health)),
        ("organization", reply.organization.as_str()),
        ("kind", reply.kind.as_str()),
        ("network", &network),
        ("charter", &charter),
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
        ("metrics", reply.metrics.as_deref().unwrap_or("off")),
        (
            "started",
            &format!("{}, in {} ms", text::date(&reply.started), reply.start_ms),
        ),
    ]);
    format!("{test}{alarms}{body}")
}

/// What stands above everything else until somebody has seen to it.
fn alarms(reply: &StatusReply) -> String {
    let mut alarms = cosign::disputed(&reply.disputed);
    for proposal in &reply.proposals {
        let said = format!(
            "SIGNATURE ASKED: {} {}, {} of {} signed; see chartmesh network cosign\n",
            text::escape(&proposal.kind),
            text::escape(&proposal.id),
            proposal.signed,
            proposal.needed
        );
        alarms.push_str(&said);
    }
    if let Some(next) = &reply.next_node {
        let said = format!(
            "NODE KEY: {} is to follow once an authority has run chartmesh network reissue\n",
            text::escape(next)
        );
        alarms.push_str(&said);
    }
    alarms
}

fn charter(line: &CharterLine) -> String {
    let how = match line.by.as_str() {
        "founding" => "of the founding",
        "authorities" => "signed by the authorities",
        "recovery" => "RECOVERED: recovery keys replaced the authorities",
        "adoption" => "ADOPTED here, against another of its number",
        other => other,
    };
    format!(
        "version {}, {how}, since {}",
        line.version,
        text::date(&line.since)
    )
}

fn peers_table(reply: &PeersReply) -> String {
    let mut table = Table::new([
        "ORGANIZATION",
        "CONNECTED",
        "RTT",
        "PATH",
        "TRANSPORT",
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
            &line.transport,
            &text::maybe_date(line.last_seen.as_ref()),
            &line.node,
        ]);
    }
    table.or("no other members")
}

#[cfg(test)]
mod tests {
    use chartmesh_proto::admin::{DisputedLine, ProposalLine};

    use super::*;

    #[test]
    fn what_somebody_must_see_to_stands_above_everything_else() {
        let quiet = StatusReply::default();
        assert!(status_table(&quiet).starts_with("health"));
        let forked = StatusReply {
            disputed: vec![DisputedLine {
                charter: "ab".to_owned(),
                version: 1,
                in_force: Some("cd".to_owned()),
                ..DisputedLine::default()
            }],
            ..StatusReply::default()
        };
        let asked = StatusReply {
            proposals: vec![ProposalLine {
                id: "pro_x".to_owned(),
                kind: "charter".to_owned(),
                needed: 2,
                signed: 1,
                ..ProposalLine::default()
            }],
            ..StatusReply::default()
        };
        let rekeyed = StatusReply {
            next_node: Some("12D3".to_owned()),
            ..StatusReply::default()
        };

        let said = [&forked, &asked, &rekeyed].map(status_table);

        let first = said.each_ref().map(|said| said.lines().next());
        let [fork, proposal, key] = first.map(Option::unwrap_or_default);
        assert!(
            fork.contains("CHARTER_FORK") && fork.contains("network adopt"),
            "{fork}"
        );
        assert!(
            proposal.contains("charter pro_x, 1 of 2 signed"),
            "{proposal}"
        );
        assert!(
            key.contains("12D3") && key.contains("network reissue"),
            "{key}"
        );
    }

    #[test]
    fn a_read_only_node_says_so_in_words_and_what_to_do() {
        let table = |health: &str| {
            status_table(&StatusReply {
                health: health.to_owned(),
                ..StatusReply::default()
            })
        };
        assert!(!table("ok").contains("audit verify"));

        let said = table("read-only");

        assert!(said.contains("READ-ONLY"), "{said}");
        assert!(said.contains("chartmesh audit verify"), "{said}");
    }
}
