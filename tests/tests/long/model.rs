//! What each node must know, folded from its journal, slowly and obviously.
//!
//! The model reads the same records as the product and shares its types and its encodings; it shares
//! none of its decisions. Everything carries the journal position at which it became true, so that any
//! moment can be judged afterwards.

use std::collections::BTreeMap;

use bytes::Bytes;
use chartmesh_core::{
    audit::{Entry, Kind as Audited},
    membership::{Credential, NodeRecord, Organization, Template},
    records::{Consent, Manifest, Record, RecordKind},
    types::{
        ConsentId, DisclosureId, DocumentId, Handle, MemberId, NodeKey, PatientId, Purpose,
        Timestamp,
    },
    wire,
};

use crate::{charters::Charters, keys::Named, people::Face, trust::Trusted};

/// A document of somebody.
pub(crate) struct Paper {
    pub(crate) since: u64,
    pub(crate) sha256: [u8; 32],
    pub(crate) is_snapshot: bool,
}

/// A patient of a node.
pub(crate) struct Person {
    /// What identified the person from a position on.
    pub(crate) faces: Vec<(u64, Face)>,
    pub(crate) local_id: String,
    pub(crate) summary: DocumentId,
    /// Wordings of each finding from a position on.
    pub(crate) findings: BTreeMap<String, Vec<(u64, String)>>,
    pub(crate) papers: BTreeMap<DocumentId, Paper>,
}

impl Person {
    pub(crate) fn face_at(&self, position: u64) -> Option<&Face> {
        let mut known = self.faces.iter().rev();
        known
            .find(|(since, _)| *since <= position)
            .map(|(_, face)| face)
    }

    /// Every finding and its wording.
    pub(crate) fn findings_at(&self, position: u64) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for (id, wordings) in &self.findings {
            for (since, wording) in wordings {
                if *since <= position {
                    found.insert(id.clone(), wording.clone());
                }
            }
        }
        found
    }

    pub(crate) fn papers_at(&self, position: u64) -> Vec<DocumentId> {
        let stored = self.papers.iter();
        let stored = stored.filter(|(_, paper)| paper.since <= position && !paper.is_snapshot);
        stored.map(|(id, _)| *id).collect()
    }
}

/// A consent, and when it was taken back.
pub(crate) struct Said {
    pub(crate) consent: Consent,
    pub(crate) revoked: Option<u64>,
}

/// A handle a node gave.
#[derive(Clone, Copy)]
pub(crate) struct Given {
    pub(crate) since: u64,
    pub(crate) asker: MemberId,
    pub(crate) patient: PatientId,
    pub(crate) purpose: Purpose,
    pub(crate) query_hash: [u8; 32],
    pub(crate) until: Timestamp,
}

/// A handle a node was given.
#[derive(Clone, Copy)]
pub(crate) struct Got {
    pub(crate) since: u64,
    pub(crate) holder: MemberId,
    pub(crate) until: Timestamp,
}

/// An entry of the audit log.
pub(crate) struct Written {
    pub(crate) position: u64,
    /// First position of the commit that it is part of.
    pub(crate) commit: u64,
    pub(crate) leaf: [u8; 32],
    pub(crate) entry: Entry,
}

/// When a commit was seen.
pub(crate) struct Moment {
    pub(crate) position: u64,
    pub(crate) at_ms: u64,
}

/// One node.
pub(crate) struct Holder {
    /// Every node key that it may ever go by, in their order.
    pub(crate) keys: Vec<NodeKey>,
    /// Which of them it goes by.
    pub(crate) key_number: usize,
    /// The key by which it signs as an authority, where a charter names it.
    pub(crate) authority: [u8; 32],
    pub(crate) member: MemberId,
    pub(crate) organization: Organization,
    /// Leaf hash of every record.
    pub(crate) leaves: Vec<[u8; 32]>,
    pub(crate) moments: Vec<Moment>,
    pub(crate) in_network: bool,
    pub(crate) people: BTreeMap<PatientId, Person>,
    pub(crate) said: Vec<Said>,
    pub(crate) given: BTreeMap<Handle, Given>,
    pub(crate) got: Vec<(Handle, Got)>,
    /// What credentials say of each member, the newest last.
    pub(crate) members: BTreeMap<MemberId, Vec<Named>>,
    pub(crate) log: Vec<Written>,
    /// Disclosures whose key has not been seen to leave.
    pub(crate) unsent: Vec<(MemberId, DisclosureId, u64)>,
    pub(crate) last_time: Timestamp,
    /// Sequence of the newest node record of each member.
    pub(crate) sequences: BTreeMap<MemberId, u64>,
    /// An older node record, list or charter took the place of a newer one.
    pub(crate) is_turned_back: bool,
    /// What it knows of the network.
    pub(crate) trusted: Trusted,
    pub(crate) charters: Charters,
    /// A fault of the model itself, to show that a difference is found.
    pub(crate) overlooks_revocations: bool,
}

impl Holder {
    pub(crate) fn new(
        keys: Vec<NodeKey>,
        authority: [u8; 32],
        member: MemberId,
        organization: Organization,
    ) -> Self {
        Self {
            keys,
            key_number: 0,
            authority,
            member,
            organization,
            leaves: Vec::new(),
            moments: Vec::new(),
            in_network: false,
            people: BTreeMap::new(),
            said: Vec::new(),
            given: BTreeMap::new(),
            got: Vec::new(),
            members: BTreeMap::new(),
            log: Vec::new(),
            unsent: Vec::new(),
            last_time: Timestamp(0),
            sequences: BTreeMap::new(),
            is_turned_back: false,
            trusted: Trusted::default(),
            charters: Charters::default(),
            overlooks_revocations: false,
        }
    }

    /// Position of the last record.
    pub(crate) fn position(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// Position of the last record at a time of the test.
    pub(crate) fn position_at(&self, at_ms: u64) -> u64 {
        let before = self
            .moments
            .iter()
            .rev()
            .find(|moment| moment.at_ms < at_ms);
        before.map_or(0, |moment| moment.position)
    }

    /// Takes in what was committed. Says what does not add up.
    pub(crate) fn take(&mut self, records: &[Record], at_ms: u64) -> Result<(), String> {
        let commit = records.first().map_or(0, |record| record.position);
        for record in records {
            if record.position != self.position() + 1 {
                let (found, due) = (record.position, self.position() + 1);
                return Err(format!("record {found} follows where {due} is due"));
            }
            if record.time < self.last_time {
                return Err(format!(
                    "record {} is older than the one before",
                    record.position
                ));
            }
            self.last_time = record.time;
            self.leaves.push(record.leaf);
            self.fold(record, commit, at_ms)
                .ok_or(format!("record {} cannot be read", record.position))?;
        }
        let position = self.position();
        self.moments.push(Moment { position, at_ms });
        Ok(())
    }

    fn fold(&mut self, record: &Record, commit: u64, at_ms: u64) -> Option<()> {
        let body = record.body.as_ref()?;
        let position = record.position;
        match record.kind {
            RecordKind::Charter => {
                self.in_network = true;
                self.take_charter(record, body, (commit, at_ms))?;
            }
            RecordKind::CharterSeen => self.take_seen(record, body, at_ms)?,
            RecordKind::CharterAdopted => self.take_adopted(record, body, at_ms)?,
            RecordKind::Revocations => self.take_list(body, position, at_ms)?,
            RecordKind::Heartbeat => self.take_beat(body, position, at_ms)?,
            RecordKind::Member => self.meet(body, position, at_ms)?,
            RecordKind::Patient | RecordKind::Resource | RecordKind::Document => {
                self.fold_person(record.kind, body, position)?;
            }
            RecordKind::Consent => {
                let consent = wire::decode_consent(body, position, record.time).ok()?;
                self.said.push(Said {
                    consent,
                    revoked: None,
                });
            }
            RecordKind::Revoke if self.overlooks_revocations => {}
            RecordKind::Revoke => {
                let revoke = wire::decode_revoke(body).ok()?;
                for said in &mut self.said {
                    if said.consent.id == revoke.consent && said.revoked.is_none() {
                        said.revoked = Some(position);
                    }
                }
            }
            RecordKind::Handle => {
                let handle = wire::decode_handle(body).ok()?;
                let given = Given {
                    since: position,
                    asker: handle.asker,
                    patient: handle.patient,
                    purpose: handle.purpose,
                    query_hash: handle.query_hash,
                    until: handle.until,
                };
                self.given.insert(handle.handle, given);
            }
            RecordKind::HandleReceived => {
                let handle = wire::decode_handle_received(body).ok()?;
                let got = Got {
                    since: position,
                    holder: handle.holder,
                    until: handle.until,
                };
                self.got.push((handle.handle, got));
            }
            RecordKind::Audit => self.write(record, commit)?,
            RecordKind::TicketIssued
            | RecordKind::Join
            | RecordKind::JoinAsked
            | RecordKind::Proposal
            | RecordKind::Checkpoint => {}
        }
        Some(())
    }

    fn fold_person(&mut self, kind: RecordKind, body: &Bytes, position: u64) -> Option<()> {
        match kind {
            RecordKind::Patient => {
                let stored = wire::decode_patient(body).ok()?;
                let person = self.people.entry(stored.patient).or_insert_with(|| Person {
                    faces: Vec::new(),
                    local_id: stored.local_id.clone(),
                    summary: stored.summary,
                    findings: BTreeMap::new(),
                    papers: BTreeMap::new(),
                });
                person.faces.push((position, Face::read(&stored.resource)));
            }
            RecordKind::Resource => {
                let stored = wire::decode_resource(body).ok()?;
                let value: serde_json::Value = serde_json::from_slice(&stored.resource).ok()?;
                let person = self.people.get_mut(&stored.patient?)?;
                let id = format!("{}/{}", stored.resource_type, stored.local_id);
                let text = value["code"]["text"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                person
                    .findings
                    .entry(id)
                    .or_default()
                    .push((position, text));
            }
            RecordKind::Document => {
                let document = wire::decode_document(body).ok()?;
                let manifest = document.manifest.claims::<Manifest>().ok()?;
                let paper = Paper {
                    since: position,
                    sha256: manifest.plain_sha256,
                    is_snapshot: document.snapshot.is_some(),
                };
                let person = self.people.get_mut(&document.patient)?;
                person.papers.insert(document.id, paper);
            }
            _ => {}
        }
        Some(())
    }

    fn meet(&mut self, body: &[u8], position: u64, at_ms: u64) -> Option<()> {
        let known = wire::decode_member(body).ok()?;
        let credential = known.credential.claims::<Credential>().ok()?;
        self.take_credential(&known.credential, &credential, (position, at_ms));
        if let Some(signed) = &known.node_record {
            let sequence = signed.claims::<NodeRecord>().ok()?.sequence;
            let newest = self.sequences.entry(credential.member).or_insert(0);
            if sequence < *newest {
                self.is_turned_back = true;
            }
            *newest = sequence;
        }
        Some(())
    }

    fn write(&mut self, record: &Record, commit: u64) -> Option<()> {
        let fields = wire::decode_audit(record.body.as_ref()?).ok()?;
        let entry = Entry::from_fields(fields)?;
        if entry.kind == Audited::Disclosed {
            self.unsent
                .push((entry.member?, entry.disclosure?, record.position));
        }
        self.log.push(Written {
            position: record.position,
            commit,
            leaf: record.leaf,
            entry,
        });
        Some(())
    }

    pub(crate) fn entries(&self, kind: Audited) -> impl Iterator<Item = &Written> {
        self.log
            .iter()
            .filter(move |written| written.entry.kind == kind)
    }

    /// The entry that an own user's command left, by the name the command was given under.
    pub(crate) fn by_actor(&self, kind: Audited, actor: &str) -> Option<&Written> {
        self.entries(kind)
            .find(|written| written.entry.actor == actor)
    }

    pub(crate) fn consent(&self, id: ConsentId) -> Option<&Said> {
        self.said.iter().find(|said| said.consent.id == id)
    }
}

/// The whole network.
pub(crate) struct Model {
    pub(crate) template: Template,
    pub(crate) holders: Vec<Holder>,
}

impl Model {
    pub(crate) fn index(&self, key: NodeKey) -> usize {
        self.index_by_key(key)
            .expect("only nodes of the test speak")
    }

    pub(crate) fn index_by_key(&self, key: NodeKey) -> Option<usize> {
        let mut holders = self.holders.iter();
        holders.position(|holder| holder.keys.contains(&key))
    }

    pub(crate) fn index_of(&self, member: MemberId) -> Option<usize> {
        self.holders
            .iter()
            .position(|holder| holder.member == member)
    }
}
