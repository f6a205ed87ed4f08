//! `network`.

use std::path::{Path, PathBuf};

use chartmesh_proto::admin::{
    AdoptRequest, ApproveReply, ApproveRequest, Empty, InviteReply, InviteRequest,
    JoinNetworkRequest, JoinReply, MembersReply, NetworkFoundRequest, NetworkReply, ProposalField,
    ReissueRequest, RekeyReply, RequestsReply, RevokeMemberReply, RevokeMemberRequest, RulesReply,
};

use crate::{
    args::{FoundArgs, InviteArgs, JoinArgs, NetworkCommand, PassphraseFd, RevokeMemberArgs},
    ask,
    connect::Node,
    exit::Failure,
    print::Screen,
    text::{self, Table},
};

use super::{cosign, status};

/// Largest file of rules, authority key or ticket, in bytes.
const SMALL_MAX_BYTES: u64 = 64 * 1024;
/// Largest file of proposals.
const PROPOSAL_MAX_BYTES: u64 = 2 * 1024 * 1024;

/// Runs one of the network's commands.
///
/// # Errors
/// As the daemon says.
pub(crate) async fn run(
    command: NetworkCommand,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    match command {
        NetworkCommand::Found(args) => found(args, node, screen).await,
        NetworkCommand::Rules => {
            let reply = node
                .call(async |mut admin| Ok(admin.network_rules(Empty {}).await?.into_inner()))
                .await?;
            screen.reply(&reply, rules_table)
        }
        NetworkCommand::Invite(args) => invite(args, node, screen).await,
        NetworkCommand::Join(args) => join(args, node, screen).await,
        NetworkCommand::Requests => {
            let reply = node
                .call(async |mut admin| Ok(admin.network_requests(Empty {}).await?.into_inner()))
                .await?;
            screen.reply(&reply, requests_table)
        }
        NetworkCommand::Approve { id } => {
            let reply = node
                .call(async |mut admin| {
                    Ok(admin
                        .network_approve(ApproveRequest { id })
                        .await?
                        .into_inner())
                })
                .await?;
            screen.reply(&reply, approve_table)
        }
        NetworkCommand::Members => {
            let (reply, banner) = node
                .call(async |mut admin| {
                    let reply = admin.network_members(Empty {}).await?.into_inner();
                    Ok((reply, status::banner(&mut admin, screen).await?))
                })
                .await?;
            screen.reply(&reply, |reply| {
                format!(
                    "{banner}{}{}",
                    cosign::disputed(&reply.disputed),
                    members_table(reply)
                )
            })
        }
        NetworkCommand::Revoke(args) => revoke(args, node, screen).await,
        NetworkCommand::Authority(passphrase) => cosign::authority(passphrase, node, screen).await,
        NetworkCommand::Cosign(args) => cosign::cosign(args, node, screen).await,
        NetworkCommand::Amend(args) => cosign::amend(args, node, screen).await,
        NetworkCommand::Recover(args) => cosign::recover(args, node, screen).await,
        NetworkCommand::RecoveryKey(args) => cosign::recovery_key(args, node, screen).await,
        NetworkCommand::Reissue(args) => {
            let change = args.change.as_deref().map(small_text).transpose()?;
            let request = ReissueRequest {
                member: args.member,
                change: change.unwrap_or_default(),
                renew: args.renew,
            };
            let reply = node
                .call(async |mut admin| Ok(admin.network_reissue(request).await?.into_inner()))
                .await?;
            screen.reply(&reply, approve_table)
        }
        NetworkCommand::Rekey => {
            let reply = node
                .call(async |mut admin| Ok(admin.network_rekey(Empty {}).await?.into_inner()))
                .await?;
            screen.note(
                "let an authority run chartmesh network reissue MEMBER --change FILE with this; once enough have \
                 signed, this node goes over to the new key by itself; until then status shows it as NODE KEY",
            );
            screen.reply(&reply, |reply: &RekeyReply| {
                format!("{}\n", text::escape(&reply.change))
            })
        }
        NetworkCommand::Adopt {
            charter,
            passphrase,
        } => adopt(charter, passphrase, node, screen).await,
    }
}

async fn adopt(
    charter: String,
    passphrase: PassphraseFd,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    let reply = node
        .call_alone(passphrase, async |mut admin| {
            let rules = admin.network_rules(Empty {}).await?.into_inner();
            let chosen = rules.disputed.iter().find(|line| line.charter == charter);
            let facts = chosen.map_or_else(
                || "the charter in force stays\n".to_owned(),
                |line| changes_table(&line.changes),
            );
            ask::confirm(screen, &facts, "Go by this charter and never by the other?")?;
            let request = AdoptRequest { charter };
            Ok(admin.network_adopt(request).await?.into_inner())
        })
        .await?;
    screen.reply(&reply, |reply: &RulesReply| {
        let changed = if reply.changes.is_empty() {
            "nothing changed here: the charter in force stays, and the other is refused\n"
                .to_owned()
        } else {
            format!("changed here:\n{}", changes_table(&reply.changes))
        };
        format!("{changed}\n{}", rules_table(reply))
    })
}

/// What one charter changes against another.
fn changes_table(changes: &[ProposalField]) -> String {
    let rows: Vec<(&str, &str)> = changes
        .iter()
        .map(|change| (change.name.as_str(), change.value.as_str()))
        .collect();
    text::lines(rows)
}

async fn found(args: FoundArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let (policy, rules) = chosen_policy(args.policy.as_deref())?;
    let charter = args.charter.as_deref().map(proposal_text).transpose()?;
    let request = NetworkFoundRequest {
        name: args.name,
        policy,
        rules,
        authority: texts(&args.authority)?,
        threshold: args.threshold,
        test: args.test,
        recovery: args.recovery,
        charter: charter.unwrap_or_default(),
    };
    let reply = node
        .call_alone(args.passphrase, async |mut admin| {
            Ok(admin.network_found(request).await?.into_inner())
        })
        .await?;
    for note in &reply.notes {
        screen.note(note);
    }
    if let Some(out) = args.out.as_deref().filter(|_| !reply.founded) {
        cosign::write_file(out, &reply.file)?;
    }
    screen.reply(&reply, |reply: &NetworkReply| {
        let head = text::lines([
            ("network", reply.network.as_str()),
            ("name", reply.name.as_str()),
            ("policy", reply.policy.as_str()),
            ("member", reply.member.as_str()),
        ]);
        if reply.founded {
            return head;
        }
        let file = if args.out.is_some() { "" } else { &reply.file };
        format!("{head}\n{}{file}\n", cosign::table(&reply.proposals))
    })
}

/// The template by its name, or the rules of a file.
pub(super) fn chosen_policy(policy: Option<&str>) -> Result<(String, String), Failure> {
    Ok(match policy {
        None => (String::new(), String::new()),
        Some(name @ ("us-treatment" | "opt-in")) => (name.to_owned(), String::new()),
        Some(path) => (String::new(), small_text(Path::new(path))?),
    })
}

/// Small files as text.
pub(super) fn texts(paths: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let read = |path: &PathBuf| Ok(small_text(path)?.trim().to_owned());
    paths.iter().map(read).collect()
}

/// A file of proposals.
pub(super) fn proposal_text(path: &Path) -> Result<String, Failure> {
    text_of(path, PROPOSAL_MAX_BYTES)
}

async fn invite(args: InviteArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = InviteRequest {
        valid_ms: args.valid.unwrap_or(0),
    };
    let reply = node
        .call(async |mut admin| Ok(admin.network_invite(request).await?.into_inner()))
        .await?;
    screen.reply(&reply, |reply: &InviteReply| {
        format!(
            "{}\nuntil {}\n",
            text::escape(&reply.ticket),
            text::date(&reply.expires)
        )
    })
}

async fn join(args: JoinArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let ticket = if args.ticket == "-" {
        let text = small_text(&PathBuf::from("-"))?;
        // What `invite` prints as a table has the ticket on its first line.
        text.lines().next().unwrap_or_default().trim().to_owned()
    } else {
        args.ticket
    };
    if ticket.is_empty() {
        return Err(Failure::usage(
            "the ticket is empty",
            "give what network invite printed",
        ));
    }
    let request = JoinNetworkRequest {
        ticket,
        wait: args.wait,
    };
    let reply = node
        .call(async |mut admin| Ok(admin.network_join(request).await?.into_inner()))
        .await?;
    if reply.state == "pending" {
        screen.note("read the six words of the request to the inviting organisation by telephone");
    }
    screen.reply(&reply, |reply: &JoinReply| {
        text::lines([
            ("request", reply.id.as_str()),
            ("state", reply.state.as_str()),
            ("network", reply.network.as_deref().unwrap_or_default()),
            ("inviter", reply.inviter.as_str()),
        ])
    })
}

async fn revoke(args: RevokeMemberArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let facts = text::lines([
        ("member", args.node.as_str()),
        ("reason", &args.reason),
        (
            "effect",
            "refused by every member from the next request on, for good",
        ),
    ]);
    ask::confirm(screen, &facts, "Throw this member out?")?;
    let request = RevokeMemberRequest {
        node: args.node,
        reason: args.reason,
    };
    let reply = node
        .call(async |mut admin| Ok(admin.network_revoke(request).await?.into_inner()))
        .await?;
    screen.reply(&reply, |reply: &RevokeMemberReply| {
        text::lines([
            ("organization", reply.organization.as_str()),
            ("member", reply.member.as_str()),
            ("node", reply.node.as_str()),
            ("status", reply.status.as_str()),
            ("list version", &reply.version.to_string()),
            ("proposal", reply.proposal.as_deref().unwrap_or_default()),
        ])
    })
}

pub(super) fn small_text(path: &Path) -> Result<String, Failure> {
    text_of(path, SMALL_MAX_BYTES)
}

fn text_of(path: &Path, max_bytes: u64) -> Result<String, Failure> {
    String::from_utf8(ask::read_input(path, max_bytes)?)
        .map_err(|_| Failure::usage(format!("{} is not text", path.display()), "check the file"))
}

fn rules_table(reply: &RulesReply) -> String {
    let mut table = Table::new(["RULE", "VALUE", "MEANING"]);
    for rule in &reply.rules {
        table.row([&rule.name, &rule.value, &rule.meaning]);
    }
    let head = text::lines([
        ("network", reply.network.as_str()),
        ("name", reply.name.as_str()),
        ("policy", reply.policy.as_str()),
        ("version", &reply.version.to_string()),
        ("charter", reply.charter.as_str()),
        (
            "authorities",
            &format!("{} of {} sign", reply.threshold, reply.authorities.len()),
        ),
    ]);
    let test = if reply.test { status::TEST } else { "" };
    let mut keys = Table::new(["KEY", "WORDS", "FOR"]);
    for key in &reply.authorities {
        keys.row([&key.key, &key.words, "authority"]);
    }
    for key in &reply.recovery {
        keys.row([&key.key, &key.words, "recovery"]);
    }
    let mut disputed = cosign::disputed(&reply.disputed);
    for line in &reply.disputed {
        let changes = changes_table(&line.changes);
        disputed.push_str(&format!(
            "by {} would change:\n{changes}\n",
            text::escape(&line.charter)
        ));
    }
    format!(
        "{test}{disputed}{head}\n{}\n{}",
        keys.or("no keys"),
        table.or("no rules")
    )
}

fn requests_table(reply: &RequestsReply) -> String {
    let mut table = Table::new([
        "REQUEST",
        "ORGANIZATION",
        "KIND",
        "NPI",
        "ADDRESS",
        "RECEIVED",
        "NODE",
    ]);
    for line in &reply.requests {
        table.row([
            &line.id,
            &line.organization,
            &line.kind,
            &line.npi,
            &line.address,
            &text::date(&line.received),
            &line.node,
        ]);
    }
    let mut alarms = Table::new(["TICKET USED TWICE BY", "STATE", "SINCE", "NODE"]);
    for line in &reply.alarms {
        alarms.row([
            &line.organization,
            &line.state,
            &text::date(&line.reused),
            &line.node,
        ]);
    }
    let waiting = table.or("no requests wait");
    if reply.alarms.is_empty() {
        return waiting;
    }
    format!("{waiting}\n{}", alarms.or(""))
}

fn approve_table(reply: &ApproveReply) -> String {
    if reply.state == "waiting" {
        let proposal = cosign::table(reply.proposal.as_slice());
        return format!(
            "{proposal}other authorities must sign: chartmesh network cosign, at each of them\n"
        );
    }
    text::lines([
        ("organization", reply.organization.as_str()),
        ("member", reply.member.as_str()),
        ("node", reply.node.as_str()),
        (
            "credential",
            if reply.delivered {
                "delivered"
            } else {
                "waits to be collected"
            },
        ),
    ])
}

fn members_table(reply: &MembersReply) -> String {
    let mut table = Table::new([
        "ORGANIZATION",
        "KIND",
        "STATUS",
        "EXPIRES",
        "PHONE",
        "HOURS",
        "MEMBER",
        "NODE",
    ]);
    for line in &reply.members {
        table.row([
            &line.organization,
            &line.kind,
            &line.status,
            &text::date(&line.expires),
            &line.phone,
            &line.hours,
            &line.member,
            &line.node,
        ]);
    }
    table.or("no members")
}
