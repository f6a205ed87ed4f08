//! Founding with several authorities, signing with them, changing the charter.

use std::sync::Arc;

use chartmesh_core::{
    crypto::{SecretKey, SigningKey},
    flows::ProposalView,
    membership::{
        Amendment, AuthorityOffer, Founding, Line, Proposal, Reissue, key_words, majority,
    },
    types::{Code, MemberId, NodeKey, ProposalId},
    wire,
};
use chartmesh_proto::admin::{
    AmendRequest, ApproveReply, AuthorityReply, Check, CosignRequest, NetworkFoundRequest,
    NetworkReply, ProposalField, ProposalLine, ProposalsReply, RecoveryKeyReply, ReissueRequest,
    RekeyReply, RulesReply,
};
use data_encoding::HEXLOWER;
use tonic::Status;
use zeroize::Zeroizing;

use super::{Admin, checks::check, error::usage, network::policy};
use crate::daemon::Daemon;

impl Admin {
    pub(super) async fn found(&self, request: NetworkFoundRequest) -> Result<NetworkReply, Status> {
        let (daemon, actor) = self.acting()?;
        if !request.charter.is_empty() {
            let proposals = parse_file(&request.charter)?;
            let node = daemon.node.clone();
            self.spawned(async move { node.found_by_file(&actor, &proposals).await })
                .await?;
            self.network_started(&daemon).await?;
            return founded(&daemon, Vec::new());
        }
        let mut notes = Vec::new();
        let (template, rules) = policy(&request.policy, &request.rules, &mut notes)?;
        let offers = offers(&request.authority)?;
        let recovery = keys(&request.recovery)?;
        let count = offers.len() + 1;
        let founding = Founding {
            name: request.name,
            template,
            rules,
            authorities: Vec::new(),
            threshold: if request.threshold == 0 {
                majority(count)
            } else {
                request.threshold
            },
            test: request.test,
        };
        let file = daemon
            .node
            .propose_founding(founding.clone(), &offers, recovery)
            .map_err(super::error::flow)?;
        if file.views.iter().all(|view| view.complete) {
            notes.push(
                "one authority signs alone: whoever holds this node's authority key admits members"
                    .to_owned(),
            );
            let node = daemon.node.clone();
            let proposals = file.proposals;
            self.spawned(async move { node.found_by_file(&actor, &proposals).await })
                .await?;
            self.network_started(&daemon).await?;
            return founded(&daemon, notes);
        }
        notes.push(
            "nothing is founded yet: let the other authorities sign the file with chartmesh network \
             cosign FILE --out FILE, then found the network with chartmesh network found --charter \
             FILE at each of them"
                .to_owned(),
        );
        Ok(NetworkReply {
            network: network_of(&file.proposals),
            name: founding.name,
            policy: founding.template.name().to_owned(),
            member: daemon.node.member().to_string(),
            notes,
            founded: false,
            file: wire::proposals_text(&file.proposals),
            proposals: file.views.iter().map(line).collect(),
        })
    }

    pub(super) fn authority(&self) -> Result<AuthorityReply, Status> {
        let daemon = self.daemon()?;
        let offer = daemon.node.own_offer();
        Ok(AuthorityReply {
            authority: wire::authority_text(&daemon.node.signed_offer()),
            words: offer.words(),
            key: HEXLOWER.encode(&offer.authority_key),
            status_key: HEXLOWER.encode(&offer.status_key),
        })
    }

    pub(super) fn proposals(&self) -> Result<ProposalsReply, Status> {
        let daemon = self.daemon()?;
        Ok(ProposalsReply {
            proposals: daemon.node.proposals().iter().map(line).collect(),
            file: String::new(),
        })
    }

    pub(super) async fn cosign(&self, request: CosignRequest) -> Result<ProposalsReply, Status> {
        let (daemon, actor) = self.acting()?;
        let node = daemon.node.clone();
        if !request.file.is_empty() {
            let proposals = parse_file(&request.file)?;
            if request.show {
                let views = node.read_file(&proposals).map_err(super::error::flow)?;
                return Ok(reply(&views));
            }
            let file = self
                .spawned(async move { node.cosign_file(&actor, proposals).await })
                .await?;
            for view in &file.views {
                daemon.spread(view.id).await;
            }
            daemon.membership_changed();
            return Ok(reply(&file.views));
        }
        let id: ProposalId = request
            .id
            .trim()
            .parse()
            .map_err(|_| usage(Code::ProposalUnknown, "this is no id of a proposal"))?;
        if request.show {
            let views = node.proposals().into_iter();
            let views: Vec<ProposalView> = views.filter(|view| view.id == id).collect();
            if views.is_empty() {
                return Err(super::error::status(
                    tonic::Code::NotFound,
                    Code::ProposalUnknown,
                    Code::ProposalUnknown.sentence().to_string(),
                ));
            }
            return Ok(reply(&views));
        }
        let view = self
            .spawned(async move { node.cosign(&actor, id).await })
            .await?;
        daemon.spread(id).await;
        daemon.membership_changed();
        Ok(reply(&[view]))
    }

    pub(super) async fn amend(&self, request: AmendRequest) -> Result<ProposalsReply, Status> {
        let (daemon, actor) = self.acting()?;
        let mut notes = Vec::new();
        let changes_rules = !request.policy.is_empty() || !request.rules.is_empty();
        let rules = changes_rules
            .then(|| policy(&request.policy, &request.rules, &mut notes))
            .transpose()?;
        let offers = offers(&request.authority)?;
        let amendment = Amendment {
            rules,
            add: offers
                .iter()
                .map(|offer| (offer.authority_key, offer.status_key))
                .collect(),
            remove: keys(&request.remove)?,
            threshold: (request.threshold > 0).then_some(request.threshold),
            counts_from: request.counts_from,
        };
        let recovery = recovery_keys(request.recovery_seed)?;
        let node = daemon.node.clone();
        let view = self
            .spawned(async move {
                if recovery.is_empty() {
                    node.amend(&actor, &amendment).await
                } else {
                    node.recover(&actor, &amendment, &recovery).await
                }
            })
            .await?;
        daemon.spread(view.id).await;
        daemon.membership_changed();
        Ok(reply(&[view]))
    }

    pub(super) async fn reissue(&self, request: ReissueRequest) -> Result<ApproveReply, Status> {
        let (daemon, actor) = self.acting()?;
        let member: MemberId = request
            .member
            .trim()
            .parse()
            .map_err(|_| usage(Code::MemberUnknown, "this is no member id"))?;
        let reissue = match (request.change.as_str(), request.renew) {
            ("", true) => Reissue::Renewal,
            ("", false) => Reissue::Loss,
            (_, true) => return Err(usage(Code::Usage, "a renewal keeps the node key")),
            (change, false) => Reissue::Change(wire::parse_node_key(change).map_err(|_| {
                usage(
                    Code::ProposalRefused,
                    "the file holds no change of node key",
                )
            })?),
        };
        let node = daemon.node.clone();
        let approval = self
            .spawned(async move { node.reissue(&actor, member, &reissue).await })
            .await?;
        self.approved(&daemon, approval).await
    }

    pub(super) async fn rekey(&self) -> Result<RekeyReply, Status> {
        let (daemon, _) = self.acting()?;
        let next = daemon
            .next_node_key()
            .await
            .map_err(super::node::boot_status)?;
        let change = daemon
            .node
            .change_node_key(&next)
            .map_err(super::error::flow)?;
        Ok(RekeyReply {
            node: NodeKey(next.public()).to_string(),
            change: wire::node_key_text(&change),
        })
    }

    pub(super) async fn adopt(&self, hash: &str) -> Result<RulesReply, Status> {
        let (daemon, actor) = self.acting()?;
        let hash = key(hash)?;
        let node = daemon.node.clone();
        let changes = self
            .spawned(async move { node.adopt(&actor, hash).await })
            .await?;
        daemon.membership_changed();
        Ok(RulesReply {
            changes: changes.iter().map(field).collect(),
            ..self.rules()?
        })
    }
}

/// A fresh recovery key; nothing of it stays here.
pub(super) fn recovery_key() -> RecoveryKeyReply {
    let seed = SecretKey::new(rand::random());
    let key = SigningKey::from_seed(&seed).public();
    RecoveryKeyReply {
        key: HEXLOWER.encode(&key),
        words: key_words(&key),
        seed: HEXLOWER.encode(&seed[..]),
    }
}

/// What `doctor` says of disputed charters and replaced keys.
pub(super) fn checks(daemon: &Daemon) -> Vec<Check> {
    let mut checks = Vec::new();
    for disputed in daemon.node.disputed_charters() {
        let charter = HEXLOWER.encode(&disputed.hash);
        checks.push(match disputed.takes_effect {
            Some(at) => check(
                "charter",
                "warn",
                format!("recovery keys replace the authorities at {at} by charter {charter}"),
                "if the authorities have their keys, let them sign another version: chartmesh network amend",
            ),
            None => check(
                "charter",
                "bad",
                format!("version {} is also {charter} (CHARTER_FORK)", disputed.version),
                "see chartmesh network rules, speak to the authorities, then chartmesh network adopt",
            ),
        });
    }
    let waiting = daemon.node.proposals_to_sign().len();
    if waiting > 0 {
        checks.push(check(
            "proposals",
            "warn",
            format!("{waiting} wait for the signature of this authority"),
            "see what they say with chartmesh network cosign, then sign, or leave them to lapse",
        ));
    }
    checks.extend(node_key(daemon));
    checks
}

/// Whether the member goes by the node key of this node, or is about to go by another.
fn node_key(daemon: &Daemon) -> Option<Check> {
    if daemon.node.is_superseded() {
        return Some(check(
            "node-key",
            "bad",
            "the credential of this member names a node key that this node does not have",
            "no member answers this node; if nobody asked for another key, somebody else is this member by now",
        ));
    }
    daemon.awaited_node_key().map(|next| {
        check(
            "node-key",
            "warn",
            format!("no credential names {next} yet, which is to follow the node key"),
            "let an authority run chartmesh network reissue MEMBER --change FILE with what network rekey printed",
        )
    })
}

fn founded(daemon: &Arc<Daemon>, notes: Vec<String>) -> Result<NetworkReply, Status> {
    let network = daemon
        .node
        .current_network()
        .ok_or_else(super::no_network)?;
    Ok(NetworkReply {
        network: network.id.to_string(),
        name: network.charter.name,
        policy: network.charter.template.name().to_owned(),
        member: daemon.node.member().to_string(),
        notes,
        founded: true,
        file: String::new(),
        proposals: Vec::new(),
    })
}

fn network_of(proposals: &[Proposal]) -> String {
    let genesis = proposals.first();
    genesis.map_or_else(String::new, |genesis| {
        chartmesh_core::membership::network_id(&genesis.signed).to_string()
    })
}

fn reply(views: &[ProposalView]) -> ProposalsReply {
    let proposals: Vec<Proposal> = views.iter().map(|view| view.proposal.clone()).collect();
    ProposalsReply {
        proposals: views.iter().map(line).collect(),
        file: wire::proposals_text(&proposals),
    }
}

/// A proposal as the command line prints it.
pub(super) fn line(view: &ProposalView) -> ProposalLine {
    ProposalLine {
        id: view.id.to_string(),
        kind: view.kind.text().to_owned(),
        state: if view.complete { "complete" } else { "waiting" }.to_owned(),
        signed: u32::try_from(view.signed).unwrap_or(u32::MAX),
        needed: view.threshold,
        missing: view
            .missing
            .iter()
            .map(|key| HEXLOWER.encode(key))
            .collect(),
        signed_here: view.signed_here,
        since: view.since.map(|since| since.to_string()),
        says: view.lines.iter().map(field).collect(),
    }
}

/// One thing that is said of a proposal or charter.
pub(super) fn field(line: &Line) -> ProposalField {
    ProposalField {
        name: line.name.clone(),
        value: line.value.clone(),
    }
}

fn parse_file(text: &str) -> Result<Vec<Proposal>, Status> {
    wire::parse_proposals(text).map_err(|_| {
        usage(
            Code::ProposalRefused,
            "the file holds no proposals of this version",
        )
    })
}

fn offers(texts: &[String]) -> Result<Vec<AuthorityOffer>, Status> {
    let offer = |text: &String| {
        let envelope = wire::parse_authority(text).ok()?;
        AuthorityOffer::verify(&envelope).ok()
    };
    let read = texts.iter().map(|text| {
        offer(text).ok_or_else(|| {
            usage(
                Code::Usage,
                "an authority file is not what chartmesh network authority printed",
            )
        })
    });
    read.collect()
}

fn keys(texts: &[String]) -> Result<Vec<[u8; 32]>, Status> {
    texts.iter().map(|text| key(text)).collect()
}

fn key(text: &str) -> Result<[u8; 32], Status> {
    let bytes = HEXLOWER.decode(text.trim().as_bytes()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| usage(Code::Usage, "a key or hash is 64 lower-case hex digits"))
}

fn recovery_keys(seeds: Vec<String>) -> Result<Vec<SigningKey>, Status> {
    let read = seeds.into_iter().map(|seed| {
        let seed = Zeroizing::new(seed);
        key(&seed).map(|bytes| SigningKey::from_seed(&SecretKey::new(bytes)))
    });
    read.collect()
}
