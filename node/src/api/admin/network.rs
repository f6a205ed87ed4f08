//! Membership commands.

use std::{sync::Arc, time::Duration};

use chartmesh_core::{
    flows::{Approval, CharterBy},
    membership::{Rules, Standing, Template, Ticket, key_words},
    types::{Code, Span, limits::TICKET_LIFE},
    wire,
};
use chartmesh_proto::admin::{
    ApproveReply, CharterLine, DisputedLine, InviteReply, JoinLine, JoinReply, KeyLine, MemberLine,
    MembersReply, RequestsReply, Rule, RulesReply,
};
use data_encoding::HEXLOWER;
use tonic::Status;

use super::{Admin, cosign, error::usage};
use crate::daemon::Daemon;

/// How long `approve` waits for the applicant to collect its credential.
const DELIVERY: Duration = Duration::from_secs(5);
/// How long `join` waits for the inviter's first answer, and how long with `--wait`.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_secs(3600);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How often an inviter that has not decided is asked: it counts what strangers ask.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl Admin {
    pub(super) fn rules(&self) -> Result<RulesReply, Status> {
        let daemon = self.daemon()?;
        let network = daemon
            .node
            .current_network()
            .ok_or_else(super::no_network)?;
        let charter = &network.charter;
        let lines = charter.rules.lines(charter.template);
        Ok(RulesReply {
            network: network.id.to_string(),
            name: charter.name.clone(),
            policy: charter.template.name().to_owned(),
            test: charter.test,
            version: charter.version,
            rules: lines
                .into_iter()
                .map(|line| Rule {
                    name: line.name.to_owned(),
                    value: line.value,
                    meaning: line.meaning.to_owned(),
                })
                .collect(),
            charter: HEXLOWER.encode(&network.envelope.hash()),
            threshold: charter.threshold,
            authorities: key_lines(&charter.authorities),
            recovery: key_lines(&charter.recovery_keys),
            disputed: disputed(&daemon),
            changes: Vec::new(),
        })
    }

    pub(super) async fn invite(&self, valid_ms: u64) -> Result<InviteReply, Status> {
        let (daemon, actor) = self.acting()?;
        let valid = if valid_ms == 0 {
            TICKET_LIFE
        } else {
            Span(valid_ms.min(TICKET_LIFE.0))
        };
        let node = daemon.node.clone();
        let ticket = self
            .spawned(async move { node.invite(&actor, valid).await })
            .await?;
        let text = ticket.to_text().map_err(|_| {
            usage(
                Code::Usage,
                "this node listens on more addresses than a ticket carries",
            )
        })?;
        Ok(InviteReply {
            ticket: text.to_string(),
            expires: ticket.expiry.to_string(),
        })
    }

    pub(super) async fn join(&self, ticket: &str, wait: bool) -> Result<JoinReply, Status> {
        let (daemon, actor) = self.acting()?;
        let ticket: Ticket = ticket
            .trim()
            .parse()
            .map_err(|_| usage(Code::TicketMalformed, "the ticket cannot be read"))?;
        let node = daemon.node.clone();
        let asked = ticket.clone();
        self.spawned(async move { node.join(&actor, &asked).await })
            .await?;
        self.network_started(&daemon).await?;
        let limit = if wait { WAIT } else { FIRST_ANSWER };
        let state = self.ask_to_join(&daemon, limit, wait).await?;
        daemon.membership_changed();
        Ok(JoinReply {
            id: daemon.node.own_words(&ticket),
            state: state.to_owned(),
            network: daemon.node.current_network().map(|n| n.id.to_string()),
            inviter: ticket.inviter.to_string(),
        })
    }

    /// Asks until the inviter has answered once, or until it has decided. A ticket that is refused
    /// is told at once; an inviter that is away is asked again by the daemon.
    async fn ask_to_join(
        &self,
        daemon: &crate::daemon::Daemon,
        limit: Duration,
        until_decided: bool,
    ) -> Result<&'static str, Status> {
        let asking = async {
            loop {
                let node = daemon.node.clone();
                if node.current_network().is_some() {
                    return Ok("approved");
                }
                let answer = self.spawned(async move { node.poll_join().await }).await;
                match answer {
                    Ok(chartmesh_core::membership::JoinState::Approved) => return Ok("approved"),
                    Ok(chartmesh_core::membership::JoinState::Refused) => return Ok("refused"),
                    Ok(chartmesh_core::membership::JoinState::Pending) if !until_decided => {
                        return Ok("pending");
                    }
                    Err(status) if status.code() != tonic::Code::DeadlineExceeded => {
                        return Err(status);
                    }
                    Ok(chartmesh_core::membership::JoinState::Pending) => {
                        tokio::time::sleep(ASK_AGAIN).await;
                    }
                    Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
                }
            }
        };
        tokio::select! {
            biased;
            state = asking => state,
            () = tokio::time::sleep(limit) => Ok("pending"),
            () = daemon.shutdown().cancelled() => Ok("pending"),
        }
    }

    pub(super) fn requests(&self) -> Result<RequestsReply, Status> {
        let daemon = self.daemon()?;
        let requests = daemon
            .node
            .join_requests()
            .into_iter()
            .map(|(id, request, received)| JoinLine {
                id,
                node: request.node_key.to_string(),
                organization: request.organization.name,
                kind: request.organization.kind.to_string(),
                npi: request.organization.npi,
                address: request.organization.address,
                received: received.to_string(),
            })
            .collect();
        let alarms = super::trust::ticket_alarms(&daemon);
        Ok(RequestsReply { requests, alarms })
    }

    pub(super) async fn approve(&self, id: String) -> Result<ApproveReply, Status> {
        let (daemon, actor) = self.acting()?;
        let node = daemon.node.clone();
        let approval = self
            .spawned(async move { node.approve(&actor, id.trim()).await })
            .await?;
        self.approved(&daemon, approval).await
    }

    /// What became of an approval: other authorities are shown it, or the applicant collects its
    /// credential.
    pub(super) async fn approved(
        &self,
        daemon: &Arc<Daemon>,
        approval: Approval,
    ) -> Result<ApproveReply, Status> {
        let credential = approval.credential;
        daemon.spread(approval.view.id).await;
        daemon.membership_changed();
        let member = credential.member;
        let node_key = credential.node_key;
        let admitted = || {
            let state = daemon.node.member_views().into_iter();
            state
                .map(|view| view.credential)
                .any(|held| held.member == member && held.node_key == node_key)
        };
        let collected = async {
            while !daemon.node.delivered(member) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let delivered = if admitted() {
            tokio::select! {
                biased;
                () = collected => true,
                () = tokio::time::sleep(DELIVERY) => false,
                () = daemon.shutdown().cancelled() => false,
            }
        } else {
            false
        };
        let state = if admitted() { "approved" } else { "waiting" };
        Ok(ApproveReply {
            member: member.to_string(),
            node: node_key.to_string(),
            organization: credential.organization.name,
            delivered,
            state: state.to_owned(),
            file: wire::proposals_text(std::slice::from_ref(&approval.view.proposal)),
            proposal: Some(cosign::line(&approval.view)),
        })
    }

    pub(super) fn members(&self) -> Result<MembersReply, Status> {
        let daemon = self.daemon()?;
        let own = daemon.node.member();
        let members = daemon
            .node
            .member_views()
            .into_iter()
            .map(|view| {
                let organization = view.credential.organization;
                MemberLine {
                    node: view.credential.node_key.to_string(),
                    organization: organization.name,
                    kind: organization.kind.to_string(),
                    status: super::trust::standing(view.status).to_owned(),
                    expires: view.credential.valid_until.to_string(),
                    phone: organization.phone,
                    hours: organization.hours,
                    member: view.credential.member.to_string(),
                    self_: view.credential.member == own,
                    address: organization.address,
                }
            })
            .collect();
        Ok(MembersReply {
            members,
            disputed: disputed(&daemon),
        })
    }

    pub(super) async fn network_started(&self, daemon: &Arc<Daemon>) -> Result<(), Status> {
        daemon.start_network().await.map_err(|error| {
            super::error::status(
                tonic::Code::FailedPrecondition,
                match error {
                    crate::net::NetError::PortTaken { .. } => Code::PortTaken,
                    _ => Code::ConfigMalformed,
                },
                error.to_string(),
            )
        })
    }
}

/// Keys as people compare them.
pub(super) fn key_lines(keys: &[[u8; 32]]) -> Vec<KeyLine> {
    keys.iter()
        .map(|key| KeyLine {
            words: key_words(key),
            key: HEXLOWER.encode(key),
        })
        .collect()
}

/// Valid charters that are not in force.
pub(super) fn disputed(daemon: &Daemon) -> Vec<DisputedLine> {
    let lines = daemon.node.disputed_charters().into_iter();
    lines
        .map(|disputed| DisputedLine {
            charter: HEXLOWER.encode(&disputed.hash),
            version: disputed.version,
            state: if disputed.standing == Standing::Recovery {
                "recovery"
            } else {
                "fork"
            }
            .to_owned(),
            first_seen: disputed.first_seen.to_string(),
            takes_effect: disputed.takes_effect.map(|at| at.to_string()),
            in_force: disputed.rival.map(|hash| HEXLOWER.encode(&hash)),
            changes: disputed.changes.iter().map(cosign::field).collect(),
        })
        .collect()
}

/// The charter in force, and how it came to be.
pub(super) fn charter(daemon: &Daemon) -> Option<CharterLine> {
    let charter = daemon.node.charter_in_force()?;
    let by = match charter.by {
        CharterBy::Founding => "founding",
        CharterBy::Authorities => "authorities",
        CharterBy::Recovery => "recovery",
        CharterBy::Adoption => "adoption",
    };
    Some(CharterLine {
        version: charter.version,
        charter: HEXLOWER.encode(&charter.hash),
        since: charter.since.to_string(),
        by: by.to_owned(),
    })
}

/// The template and rules that were chosen.
pub(super) fn policy(
    policy: &str,
    rules: &str,
    notes: &mut Vec<String>,
) -> Result<(Template, Rules), Status> {
    if !rules.is_empty() {
        let pairs = rule_pairs(rules)?;
        return Rules::from_pairs(&pairs).map_err(|error| {
            super::error::status(
                tonic::Code::InvalidArgument,
                Code::RulesMalformed,
                error.to_string(),
            )
        });
    }
    let template = match policy {
        "" => {
            notes.push(
                "policy opt-in was chosen: nothing is disclosed without a consent; the other \
                 template is us-treatment"
                    .to_owned(),
            );
            Template::OptIn
        }
        "opt-in" => Template::OptIn,
        "us-treatment" => Template::UsTreatment,
        _ => {
            return Err(usage(
                Code::RulesMalformed,
                "the policy is neither opt-in, us-treatment nor a file",
            ));
        }
    };
    Ok((template, Rules::of(template)))
}

/// A rules file: TOML with one value a key.
fn rule_pairs(text: &str) -> Result<Vec<(String, String)>, Status> {
    let malformed = || {
        usage(
            Code::RulesMalformed,
            "the rules file is no TOML of plain values",
        )
    };
    let table: toml::Table = toml::from_str(text).map_err(|_| malformed())?;
    table
        .into_iter()
        .map(|(key, value)| match value {
            toml::Value::String(value) => Ok((key, value)),
            toml::Value::Integer(value) => Ok((key, value.to_string())),
            toml::Value::Boolean(value) => Ok((key, value.to_string())),
            _ => Err(malformed()),
        })
        .collect()
}
