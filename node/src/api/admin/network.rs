//! Membership commands.

use std::time::Duration;

use chartmesh_core::{
    membership::{Founding, Rules, Template, Ticket},
    types::{Code, Span, limits::TICKET_LIFE},
};
use chartmesh_proto::admin::{
    ApproveReply, InviteReply, JoinLine, JoinReply, MemberLine, MembersReply, NetworkFoundRequest,
    NetworkReply, RequestsReply, Rule, RulesReply,
};
use tonic::Status;

use super::{Admin, error::usage};

/// How long `approve` waits for the applicant to collect its credential.
const DELIVERY: Duration = Duration::from_secs(5);
/// How long `join` waits for the inviter's first answer, and how long with `--wait`.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_secs(3600);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How often an inviter that has not decided is asked: it counts what strangers ask.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl Admin {
    pub(super) async fn found(&self, request: NetworkFoundRequest) -> Result<NetworkReply, Status> {
        let (daemon, actor) = self.acting()?;
        if !request.authority.is_empty() || request.threshold > 1 {
            return Err(usage(
                Code::Usage,
                "several authorities need co-signing, which a later version brings",
            ));
        }
        let mut notes = Vec::new();
        let (template, rules) = policy(&request, &mut notes)?;
        notes.push(
            "one authority signs alone: whoever holds this node's authority key admits members"
                .to_owned(),
        );
        let founding = Founding {
            name: request.name,
            template,
            rules,
            authorities: Vec::new(),
            threshold: 1,
            test: request.test,
        };
        let node = daemon.node.clone();
        let network = self
            .spawned(async move { node.found(&actor, founding).await })
            .await?;
        self.network_started(&daemon).await?;
        Ok(NetworkReply {
            network: network.id.to_string(),
            name: network.charter.name,
            policy: network.charter.template.name().to_owned(),
            member: daemon.node.member().to_string(),
            notes,
        })
    }

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
        Ok(RequestsReply { requests })
    }

    pub(super) async fn approve(&self, id: String) -> Result<ApproveReply, Status> {
        let (daemon, actor) = self.acting()?;
        let node = daemon.node.clone();
        let credential = self
            .spawned(async move { node.approve(&actor, id.trim()).await })
            .await?;
        daemon.membership_changed();
        let member = credential.member;
        let collected = async {
            while !daemon.node.delivered(member) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let delivered = tokio::select! {
            biased;
            () = collected => true,
            () = tokio::time::sleep(DELIVERY) => false,
            () = daemon.shutdown().cancelled() => false,
        };
        Ok(ApproveReply {
            member: member.to_string(),
            node: credential.node_key.to_string(),
            organization: credential.organization.name,
            delivered,
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
                    status: if view.active { "active" } else { "expired" }.to_owned(),
                    expires: view.credential.valid_until.to_string(),
                    phone: organization.phone,
                    hours: organization.hours,
                    member: view.credential.member.to_string(),
                    self_: view.credential.member == own,
                    address: organization.address,
                }
            })
            .collect();
        Ok(MembersReply { members })
    }

    async fn network_started(
        &self,
        daemon: &std::sync::Arc<crate::daemon::Daemon>,
    ) -> Result<(), Status> {
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

/// The template and rules a founder chose.
fn policy(
    request: &NetworkFoundRequest,
    notes: &mut Vec<String>,
) -> Result<(Template, Rules), Status> {
    if !request.rules.is_empty() {
        let pairs = rule_pairs(&request.rules)?;
        return Rules::from_pairs(&pairs).map_err(|error| {
            super::error::status(
                tonic::Code::InvalidArgument,
                Code::RulesMalformed,
                error.to_string(),
            )
        });
    }
    let template = match request.policy.as_str() {
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
