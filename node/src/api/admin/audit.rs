//! The audit log: for administrators, for the patient, for the law, and its proof.

use std::collections::BTreeMap;

use chartmesh_core::{
    audit::{self, Checkpoint},
    flows::{Enclosed, Shown},
    records::StoreError,
    types::{DocumentId, MemberId, PatientId},
};
use chartmesh_proto::admin::{
    AccountingReply, AuditExportReply, AuditExportRequest, AuditKeyReply, AuditListReply,
    AuditListRequest, AuditPromiseReply, AuditProveReply, AuditProveRequest, AuditView, Check,
    CheckpointReply, DisclosureView, Recipient, VerifyReply,
};
use data_encoding::HEXLOWER;
use tonic::Status;

use super::{Admin, error::flow, exchange::members, text};
use crate::{daemon::Daemon, store::Leaves};

/// Events in one reply, each well under 4 KiB.
const EVENTS_MAX: usize = 500;

/// What members are called: (node, organisation, address).
type Names = BTreeMap<MemberId, (String, String, String)>;

fn names(daemon: &Daemon) -> Names {
    daemon
        .node
        .member_views()
        .into_iter()
        .map(|view| {
            let known = view.credential;
            let organization = known.organization;
            let called = (
                known.node_key.to_string(),
                organization.name,
                organization.address,
            );
            (known.member, called)
        })
        .collect()
}

impl Admin {
    pub(super) async fn audit_list(
        &self,
        request: AuditListRequest,
    ) -> Result<AuditListReply, Status> {
        let daemon = self.daemon()?;
        let limit = match request.limit {
            0 => usize::MAX,
            limit => limit as usize,
        };
        let shown = daemon
            .node
            .audit_entries(request.after, limit)
            .await
            .map_err(flow)?;
        Ok(listed(&daemon, shown))
    }

    pub(super) async fn access(&self, patient: &str) -> Result<AuditListReply, Status> {
        let daemon = self.daemon()?;
        let patient: PatientId = text::id(patient)?;
        let shown = daemon.node.access(patient).await.map_err(flow)?;
        Ok(listed(&daemon, shown))
    }

    pub(super) async fn accounting(&self, patient: &str) -> Result<AccountingReply, Status> {
        let daemon = self.daemon()?;
        let patient: PatientId = text::id(patient)?;
        let lines = daemon.node.accounting(patient).await.map_err(flow)?;
        let names = names(&daemon);
        let disclosures = lines
            .into_iter()
            .map(|line| {
                let (node, organization, address) = names
                    .get(&line.recipient)
                    .cloned()
                    .unwrap_or_else(|| (String::new(), line.recipient.to_string(), String::new()));
                DisclosureView {
                    date: line.at.to_string(),
                    recipient: Some(Recipient {
                        organization,
                        node,
                        address,
                    }),
                    purpose: line.purpose.to_string(),
                    description: line.description,
                    accountable: line.accountable,
                    basis: line.basis.to_string(),
                    disclosure: line.disclosure.to_string(),
                    document: line.document.map_or_else(String::new, |id| id.to_string()),
                }
            })
            .collect();
        let now = daemon.now();
        let identity = daemon.node.identity();
        let known = daemon.node.patient(patient).map_err(flow)?;
        let shown = text::demographics(&known.demographics);
        Ok(AccountingReply {
            disclosures,
            made: now.to_string(),
            since: audit::reaches_back_to(now).to_string(),
            organization: identity.organization.name.clone(),
            address: identity.organization.address.clone(),
            phone: identity.organization.phone.clone(),
            patient: format!("{} {}", shown.given, shown.family)
                .trim()
                .to_owned(),
            birth_date: shown.birth_date,
        })
    }

    /// As many events as one reply holds, or as were asked for where that is less.
    pub(super) async fn audit_export(
        &self,
        request: AuditExportRequest,
    ) -> Result<AuditExportReply, Status> {
        let limit = match request.limit as usize {
            0 => EVENTS_MAX,
            limit => limit.min(EVENTS_MAX),
        };
        let node = &self.daemon()?.node;
        let exported = node.audit_events(request.from, limit).await.map_err(flow)?;
        Ok(AuditExportReply {
            events: exported.events,
            next: exported.next,
        })
    }

    /// Reads journal, leaf file and document files anew and compares them with each other and with the
    /// state.
    pub(super) async fn verify(&self) -> Result<VerifyReply, Status> {
        let daemon = self.daemon()?;
        let verified = daemon.node.world().store().verify().await;
        let verified = verified.map_err(|error| flow(error.into()))?;
        let mut problems = Vec::new();
        if let Some(position) = verified.journal.first_bad {
            problems.push(format!(
                "the journal was changed at or behind record {position}"
            ));
        }
        match verified.leaves {
            Leaves::Agree => {}
            Leaves::Differ { index } => {
                problems.push(format!("leaf {index} of audit/leaves was changed"));
            }
            Leaves::Beyond { .. } => {
                problems.push("the journal lacks entries that audit/leaves still has".to_owned());
            }
        }
        let mut tree = chartmesh_core::crypto::Tree::default();
        for leaf in &verified.journal.leaves {
            tree.push(*leaf);
        }
        let files = daemon.node.verify_files().await;
        let (entries, root) = daemon.node.audit_head();
        // Entries may have been added since the journal was read; what was read must agree.
        let agrees =
            tree.len() > entries || daemon.node.audit_root_at(tree.len()) == Some(tree.root());
        if problems.is_empty() && !agrees {
            problems.push("the journal was changed since this node read it".to_owned());
        }
        problems.extend(files.damaged.iter().map(damage));
        Ok(VerifyReply {
            verified: problems.is_empty(),
            entries,
            root: HEXLOWER.encode(&root),
            records: verified.journal.records,
            problems,
            files: files.files,
        })
    }

    pub(super) fn checkpoint(&self) -> Result<CheckpointReply, Status> {
        let checkpoint = self.daemon()?.node.checkpoint().map_err(flow)?;
        Ok(CheckpointReply { checkpoint })
    }

    pub(super) async fn prove(
        &self,
        request: AuditProveRequest,
    ) -> Result<AuditProveReply, Status> {
        let node = &self.daemon()?.node;
        if request.from > 0 {
            let proof = node.prove_growth(request.from).map_err(flow)?;
            return Ok(AuditProveReply {
                size: size_of(&proof.checkpoint),
                proof: proof.text(),
                leaf: String::new(),
            });
        }
        let enclosed = if request.without_record {
            Enclosed::Nothing
        } else {
            Enclosed::Record
        };
        let proved = node.prove(request.entry, enclosed).await.map_err(flow)?;
        Ok(AuditProveReply {
            size: size_of(&proved.checkpoint),
            leaf: HEXLOWER.encode(&node.audit_leaf(request.entry).unwrap_or_default()),
            proof: proved.text(),
        })
    }

    pub(super) async fn promised(&self, entry: u64) -> Result<AuditPromiseReply, Status> {
        let daemon = self.daemon()?;
        let (member, promise) = daemon.node.promised(entry).await.map_err(flow)?;
        let named = names(&daemon).remove(&member);
        let (node, organization, _) =
            named.unwrap_or_else(|| (String::new(), member.to_string(), String::new()));
        Ok(AuditPromiseReply {
            promise,
            node,
            organization,
        })
    }

    pub(super) fn audit_key(&self, of: &str) -> Result<AuditKeyReply, Status> {
        let daemon = self.daemon()?;
        let of = match of {
            "" => None,
            of => members(&daemon, &[of.to_owned()])?.pop(),
        };
        let key = daemon.node.audit_key(of).map_err(flow)?;
        Ok(AuditKeyReply { key })
    }
}

/// How many entries a checkpoint of this node covers.
fn size_of(checkpoint: &str) -> u64 {
    Checkpoint::claims(checkpoint).map_or(0, |(size, _)| size)
}

/// What is wrong with the file of a document.
fn damage((document, error): &(DocumentId, StoreError)) -> String {
    match error {
        StoreError::Missing => format!("the file of document {document} is gone"),
        StoreError::Integrity { .. } => {
            format!("the file of document {document} is not what was stored")
        }
        error => format!("the file of document {document} cannot be read: {error}"),
    }
}

/// The check of `doctor` that reads every document file.
pub(super) async fn files_check(daemon: &Daemon) -> Check {
    let files = daemon.node.verify_files().await;
    let (status, detail, hint) = if files.damaged.is_empty() {
        ("ok", format!("{} files hold", files.files), "")
    } else {
        let found: Vec<String> = files.damaged.iter().map(damage).collect();
        (
            "bad",
            found.join("; "),
            "keep the directory as it is; restore a backup beside it",
        )
    };
    Check {
        name: "documents".to_owned(),
        status: status.to_owned(),
        detail,
        hint: hint.to_owned(),
    }
}

fn listed(daemon: &Daemon, shown: Vec<Shown>) -> AuditListReply {
    let names = names(daemon);
    let entries = shown.into_iter().map(|shown| view(&names, shown)).collect();
    AuditListReply { entries }
}

fn view(names: &Names, shown: Shown) -> AuditView {
    let entry = shown.logged.entry;
    let member = entry.member.map(|id| {
        names.get(&id).map_or_else(
            || (String::new(), id.to_string()),
            |(node, organization, _)| (node.clone(), organization.clone()),
        )
    });
    let user = text::non_empty(entry.actor).or(entry.user.map(|user| user.to_string()));
    AuditView {
        index: shown.logged.index,
        at: shown.logged.at.to_string(),
        kind: entry.kind.text().to_owned(),
        node: member.as_ref().map(|(node, _)| node.clone()),
        organization: member.map(|(_, organization)| organization),
        patient: entry.patient.map(|id| id.to_string()),
        document: entry.document.map(|id| id.to_string()),
        consent: entry.consent.map(|id| id.to_string()),
        purpose: entry.purpose.map(|purpose| purpose.to_string()),
        user,
        code: entry.code.map(|code| code.to_string()),
        rule: entry.rule.map(|rule| rule.text().to_owned()),
        disclosure: entry.disclosure.map(|id| id.to_string()),
        description: text::non_empty(entry.description),
        count: entry.count,
        leaf: HEXLOWER.encode(&shown.leaf),
    }
}
