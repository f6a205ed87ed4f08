//! Which documents may this asker see? Metadata leaves only after its audit entry is durable.

use std::iter;

use bytes::Bytes;

use super::{
    call::AskError,
    decide::Claim,
    error::FlowError,
    node::{Actor, Node, push_audit},
    state::Patient,
};
use crate::{
    audit,
    crypto::Signed,
    ports::{CallError, Rpc, World},
    records::{Batch, Coding, Document, Manifest},
    types::{
        Code, Handle, MemberId, NodeKey, PatientId, PeerCode, Purpose, Timestamp,
        limits::{LIST_DEFAULT, LIST_MAX, LIST_MAX_BYTES},
    },
    wire::{DocumentEntry, ListAnswer, ListRequest},
};

/// MIME type of FHIR JSON (FHIR R4, 3.1.0.1.10).
pub(super) const FHIR_JSON: &str = "application/fhir+json";

/// Which documents the asker is interested in.
#[derive(Clone, Default)]
pub struct Wanted {
    /// LOINC codes; empty for all.
    pub types: Vec<String>,
    /// Not before this ISO date.
    pub since: Option<String>,
    /// Not after this ISO date.
    pub until: Option<String>,
    /// At most so many; 0 for the default.
    pub limit: u32,
}

/// Type of the on-demand record bundle: LOINC 11503-0, medical records.
pub(super) fn record_coding() -> Coding {
    Coding {
        system: Coding::LOINC.to_owned(),
        code: "11503-0".to_owned(),
        display: "Medical records".to_owned(),
    }
}

impl<W: World> Node<W> {
    pub(super) async fn serve_list(&self, from: NodeKey, body: &[u8]) -> Result<Bytes, PeerCode> {
        let (question, request) = match self.receive::<ListRequest>(from, body).await {
            Ok(received) => received,
            Err(answer) => return answer,
        };
        let body = request.body();
        let claim = Claim {
            handle: body.handle,
            document: None,
            purpose: body.purpose,
            user: body.user,
            role: body.role,
        };
        let (issued, permit) = match self.decide(&request, &claim) {
            Ok(decided) => decided,
            Err(refusal) => return Ok(self.deny(&question, &request, &claim, &refusal).await),
        };
        let (entries, complete) = self.entries(&permit, body);
        let mut batch = Batch::default();
        push_audit(
            &mut batch,
            &audit::Entry {
                user: Some(body.user),
                role: Some(body.role),
                query_hash: Some(issued.query_hash),
                count: entries.len() as u64,
                ..audit::Entry::permitted(audit::Kind::Listed, &permit)
            },
        );
        let leaf = match self.commit(batch).await {
            Ok(recorded) => recorded.records().last().map(|record| record.leaf),
            Err(_) => None,
        };
        let Some(leaf) = leaf else {
            return Ok(self.refuse(&question, 0, PeerCode::Unavailable));
        };
        Ok(self.answer(&question, 0, |head| ListAnswer {
            head,
            entries,
            complete,
            leaf,
        }))
    }

    /// The documents of a permitted patient, summaries first, then newest first.
    fn entries(
        &self,
        permit: &crate::policy::Permit,
        request: &ListRequest,
    ) -> (Vec<DocumentEntry>, bool) {
        let own = self.own_peer();
        let mut entries = {
            let state = self.state();
            let Some(patient) = state.patients.get(&permit.patient()) else {
                return (Vec::new(), true);
            };
            let stored = state.documents.get(&patient.id);
            let stored = stored
                .into_iter()
                .flat_map(|documents| documents.values())
                .filter(|document| document.snapshot.is_none())
                .filter_map(stored_entry);
            let record = on_demand(patient, &own.organization.name);
            iter::once(record).chain(stored).collect::<Vec<_>>()
        };
        entries.retain(|entry| wanted(entry, request));
        entries.sort_by(|a, b| {
            summary_rank(a)
                .cmp(&summary_rank(b))
                .then(b.date.cmp(&a.date))
                .then(a.id.cmp(&b.id))
        });
        let limit = if request.limit == 0 {
            LIST_DEFAULT
        } else {
            request.limit.min(LIST_MAX)
        } as usize;
        let fitting = fitting(&entries).min(limit);
        let complete = entries.len() <= fitting;
        entries.truncate(fitting);
        (entries, complete)
    }

    /// Asks a holder which documents it may show us.
    ///
    /// # Errors
    /// [`Code::HandleUnknown`], [`FlowError::Denied`], [`FlowError::Unreachable`],
    /// [`FlowError::Deadline`], [`FlowError::Forged`].
    pub async fn list(
        &self,
        actor: &Actor,
        handle: Handle,
        purpose: Purpose,
        wanted: &Wanted,
        until: Timestamp,
    ) -> Result<(Vec<DocumentEntry>, bool), FlowError> {
        let holder = self.holder_of(handle)?;
        let asking = self.ask::<_, ListAnswer>(holder, Rpc::List, |head| ListRequest {
            head,
            handle,
            purpose,
            user: actor.user,
            role: actor.role,
            types: wanted.types.clone(),
            since: wanted.since.clone(),
            until: wanted.until.clone(),
            limit: wanted.limit,
        });
        let reply = self.until(until, asking).await;
        let outcome = self.reply(holder, reply).map(|(answer, _)| answer);
        let mut batch = Batch::default();
        push_audit(
            &mut batch,
            &audit::Entry {
                member: Some(holder),
                patient: self.about(handle),
                purpose: Some(purpose),
                user: Some(actor.user),
                role: Some(actor.role),
                actor: actor.name.clone(),
                code: outcome.as_ref().err().map(FlowError::code),
                peer_leaf: outcome.as_ref().ok().map(|answer| answer.leaf),
                count: outcome
                    .as_ref()
                    .map_or(0, |answer| answer.entries.len() as u64),
                ..audit::Entry::new(audit::Kind::ListAsked)
            },
        );
        self.commit(batch).await?;
        let answer = outcome?;
        Ok((answer.entries, answer.complete))
    }

    /// Which member gave us a handle that is still valid.
    pub(super) fn holder_of(&self, handle: Handle) -> Result<MemberId, FlowError> {
        let now = self.now();
        let state = self.state();
        let received = state.received.get(&handle);
        let holder = received
            .filter(|received| now < received.until)
            .map(|received| received.holder)
            .ok_or(FlowError::NotFound {
                code: Code::HandleUnknown,
            })?;
        if state.trust.revocations.names(&holder) {
            return Err(FlowError::State {
                code: Code::KeyRevoked,
            });
        }
        Ok(holder)
    }

    /// Own patient that a handle we were given is about, where there is one.
    pub(super) fn about(&self, handle: Handle) -> Option<PatientId> {
        self.state().received.get(&handle)?.patient
    }

    /// Turns what came of a question into what our own user is told.
    pub(super) fn reply<T>(
        &self,
        holder: MemberId,
        reply: Option<Result<T, AskError>>,
    ) -> Result<T, FlowError> {
        let node = self
            .state()
            .members
            .get(&holder)
            .map_or(NodeKey([0; 32]), |member| member.credential().node_key);
        match reply {
            None => Err(FlowError::Deadline { node }),
            Some(Ok(value)) => Ok(value),
            Some(Err(AskError::Refused(code) | AskError::Call(CallError::Refused(code)))) => {
                Err(match code {
                    PeerCode::Denied => FlowError::Denied { code: Code::Denied },
                    PeerCode::HandleUnknown => FlowError::NotFound {
                        code: Code::HandleUnknown,
                    },
                    PeerCode::Malformed
                    | PeerCode::Unauthenticated
                    | PeerCode::NotMember
                    | PeerCode::Stale
                    | PeerCode::OverBudget
                    | PeerCode::Unavailable
                    | PeerCode::ClockSkew
                    | PeerCode::TrustStale
                    | PeerCode::VersionTooOld
                    | PeerCode::Superseded => FlowError::Peer { node, code },
                })
            }
            Some(Err(AskError::Call(
                CallError::Unreachable | CallError::Lost | CallError::Incompatible,
            ))) => Err(FlowError::Unreachable { node }),
            Some(Err(AskError::Forged)) => Err(FlowError::Forged {
                node,
                code: Code::Signature,
            }),
        }
    }
}

/// Types that summarise, by LOINC code (conformance of IPS, C-CDA and discharge documents): patient
/// summary, summary of episode (CCD), discharge summary, transfer summary.
const SUMMARIES: [&str; 4] = ["60591-5", "34133-9", "18842-5", "18761-7"];

/// Summaries stand first: the whole record, then documents of a summarising type, then the rest.
fn summary_rank(entry: &DocumentEntry) -> u8 {
    if entry.on_demand {
        0
    } else if SUMMARIES.contains(&entry.coding.code.as_str()) {
        1
    } else {
        2
    }
}

fn on_demand(patient: &Patient, organization: &str) -> DocumentEntry {
    DocumentEntry {
        id: patient.summary,
        coding: record_coding(),
        title: "Patient record".to_owned(),
        status: "current".to_owned(),
        date: patient.changed,
        author: String::new(),
        author_organization: organization.to_owned(),
        content_type: FHIR_JSON.to_owned(),
        format: "urn:hl7-org:fhir:r4:Bundle".to_owned(),
        on_demand: true,
        size: None,
        sha256: None,
        labels: Vec::new(),
    }
}

/// How many of the first entries one message holds.
fn fitting(entries: &[DocumentEntry]) -> usize {
    let mut len_bytes = 0;
    let fits = |entry: &&DocumentEntry| {
        // The key and the length in front of each.
        len_bytes += entry.checked_len().unwrap_or(LIST_MAX_BYTES) + 8;
        len_bytes <= LIST_MAX_BYTES
    };
    entries.iter().take_while(fits).count()
}

fn stored_entry(document: &Document) -> Option<DocumentEntry> {
    let manifest = document.manifest.claims::<Manifest>().ok()?;
    let entry = entry_of(document, manifest);
    // One that came in before it was checked must not take the list with it.
    entry.checked_len().is_ok().then_some(entry)
}

/// What a list says of a stored document.
pub(super) fn entry_of(document: &Document, manifest: Manifest) -> DocumentEntry {
    DocumentEntry {
        id: document.id,
        coding: manifest.coding,
        title: document.title.clone(),
        status: document.status.clone(),
        date: document.date,
        author: manifest.author,
        author_organization: document.author_organization.clone(),
        content_type: manifest.content_type,
        format: manifest.format,
        on_demand: false,
        size: Some(manifest.size),
        sha256: Some(manifest.plain_sha256),
        labels: manifest.labels,
    }
}

fn wanted(entry: &DocumentEntry, request: &ListRequest) -> bool {
    let date = entry.date.date();
    let typed = request.types.is_empty() || request.types.contains(&entry.coding.code);
    let late = request
        .since
        .as_ref()
        .is_none_or(|since| date.as_str() >= since.as_str());
    // A bound that is a whole day includes that day.
    let early = request
        .until
        .as_ref()
        .is_none_or(|until| date.as_str() <= until.as_str());
    typed && late && early
}

/// What a manifest says, once its holder's signature holds.
pub(super) fn verified_manifest(
    envelope: &crate::crypto::Envelope,
    network: &crate::types::NetworkId,
    holder: NodeKey,
) -> Option<Signed<Manifest>> {
    envelope.verify_by(&holder.0, network).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{DocumentId, limits::TEXT_CHARS_MAX};

    fn entry(title: usize) -> DocumentEntry {
        DocumentEntry {
            id: DocumentId([1; 16]),
            coding: record_coding(),
            title: "x".repeat(title),
            status: "current".to_owned(),
            date: Timestamp(1),
            author: "x".repeat(TEXT_CHARS_MAX),
            author_organization: "x".repeat(TEXT_CHARS_MAX),
            content_type: FHIR_JSON.to_owned(),
            format: String::new(),
            on_demand: false,
            size: Some(1),
            sha256: Some([0; 32]),
            labels: Vec::new(),
        }
    }

    /// What an entry takes of a list, as one more in front of it shows.
    fn len_bytes(entry: &DocumentEntry) -> usize {
        entry.checked_len().unwrap() + 8
    }

    #[test]
    fn a_list_may_have_list_max_bytes_and_not_one_more() {
        let mut entries = Vec::new();
        let mut rest = LIST_MAX_BYTES;
        while rest > 2 * len_bytes(&entry(TEXT_CHARS_MAX)) {
            entries.push(entry(TEXT_CHARS_MAX));
            rest -= len_bytes(&entry(TEXT_CHARS_MAX));
        }
        let half = |title: &usize| 2 * len_bytes(&entry(*title)) <= rest;
        let title = (1..=TEXT_CHARS_MAX).rev().find(half).unwrap();
        entries.push(entry(title));
        rest -= len_bytes(&entry(title));
        let last = (1..=TEXT_CHARS_MAX).find(|title| len_bytes(&entry(*title)) == rest);
        let last = last.unwrap();

        entries.push(entry(last));
        assert_eq!(fitting(&entries), entries.len());
        let whole = entries.len();
        entries[whole - 1] = entry(last + 1);

        assert_eq!(fitting(&entries), whole - 1);
    }
}
