//! The fold: how each kind of record changes the state, and which index rows it makes.

use bytes::Bytes;

use super::{
    audit::checkpoint_slot,
    standing,
    state::{AuditPlace, Join, KeptCheckpoint, Patient, Received, State},
};
use crate::{
    audit::{Checkpoint, Kind},
    formats,
    locator::Issued,
    matching,
    membership::{self, JoinRecord, JoinState},
    policy::Discoverability,
    ports::{Row, Table},
    records::{Place, Record, RecordKind, Scope},
    types::PatientId,
    wire::{self, WireError},
};

/// Applies one record.
#[expect(clippy::too_many_lines, reason = "one arm a kind of record")]
pub(super) fn apply(state: &mut State, record: &Record) -> Result<(), WireError> {
    if record.kind == RecordKind::Audit {
        state.tree.push(record.leaf);
    }
    let Some(body) = &record.body else {
        // Erased with its key: the leaf and the position stay, the content is gone.
        if record.kind == RecordKind::Audit {
            state.audit.push(AuditPlace {
                position: record.position,
                place: record.place,
                patient: None,
                is_padding: false,
            });
        }
        return Ok(());
    };
    match record.kind {
        RecordKind::Charter => standing::charter(state, record, body),
        RecordKind::CharterSeen => standing::charter_seen(state, record, body),
        RecordKind::CharterAdopted => standing::charter_adopted(state, record, body),
        RecordKind::Proposal => standing::proposal(state, record, body),
        RecordKind::Member => standing::member(state, body),
        RecordKind::TicketIssued => {
            let ticket = wire::decode_ticket_issued(body)?;
            state
                .tickets
                .insert(membership::ticket_name(&ticket.key), ticket);
            Ok(())
        }
        RecordKind::Join => apply_join(state, record, body),
        RecordKind::JoinAsked => {
            // An empty ticket says that the one before was refused.
            state.join_asked = Some(wire::decode_join_asked(body)?).filter(|text| !text.is_empty());
            Ok(())
        }
        RecordKind::Patient => apply_patient(state, record, body),
        RecordKind::Resource => apply_resource(state, record, body),
        RecordKind::Document => apply_document(state, record, body),
        RecordKind::Consent => {
            let consent = wire::decode_consent(body, record.position, record.time)?;
            state.consent_of.insert(consent.id, consent.patient);
            // A second consent of one id changes nothing: what is revoked stays revoked.
            let _filing = state
                .consents
                .entry(consent.patient)
                .or_default()
                .file(consent);
            Ok(())
        }
        RecordKind::Revoke => {
            let revoke = wire::decode_revoke(body)?;
            state.consents.entry(revoke.patient).or_default().revoke(
                revoke.consent,
                record.position,
                record.time,
            );
            Ok(())
        }
        RecordKind::Audit => {
            let entry = wire::decode_audit(body)?;
            state.audit.push(AuditPlace {
                position: record.position,
                place: record.place,
                patient: entry.patient,
                is_padding: Kind::from_number(entry.kind) == Some(Kind::Padding),
            });
            Ok(())
        }
        RecordKind::Checkpoint => apply_checkpoint(state, record, body),
        RecordKind::Handle => {
            let handle = wire::decode_handle(body)?;
            state.handles.issue(
                handle.handle,
                Issued {
                    asker: handle.asker,
                    patient: handle.patient,
                    purpose: handle.purpose,
                    query_hash: handle.query_hash,
                    until: handle.until,
                },
            );
            Ok(())
        }
        RecordKind::Revocations => standing::revocations(state, body),
        RecordKind::Heartbeat => standing::heartbeat(state, body),
        RecordKind::HandleReceived => {
            let handle = wire::decode_handle_received(body)?;
            // Now and then, so that reading a long journal does not look at each of them each time.
            if state.received.len().is_power_of_two() {
                state
                    .received
                    .retain(|_, received| record.time < received.until);
            }
            state.received.insert(
                handle.handle,
                Received {
                    patient: handle.patient,
                    holder: handle.holder,
                    until: handle.until,
                },
            );
            Ok(())
        }
    }
}

/// A checkpoint is true of the log before it, or the log is not the one that was signed.
fn apply_checkpoint(state: &mut State, record: &Record, body: &Bytes) -> Result<(), WireError> {
    let note = wire::decode_checkpoint(body)?;
    let (size, root) = Checkpoint::claims(&note).map_err(|_| WireError::Encoding)?;
    if state.tree.root_at(size) != Some(root) {
        return Err(WireError::Contradiction);
    }
    state.checkpoint_slot = Some(checkpoint_slot(record.time));
    state.checkpoints.push(record.place);
    state.checkpoint = Some(KeptCheckpoint {
        size,
        note: note.into(),
    });
    Ok(())
}

fn apply_join(state: &mut State, record: &Record, body: &Bytes) -> Result<(), WireError> {
    let join = wire::decode_join(body)?;
    if let Some(reused) = join.reused {
        // Says of a request that is held that its ticket was used again, and nothing else.
        if let Some(held) = state.joins.get_mut(&join.ticket) {
            held.record.reused.get_or_insert(reused);
        }
        return Ok(());
    }
    let before = state.joins.get(&join.ticket);
    // Two first questions of one ticket may have been judged at once. The one written first counts:
    // the other neither undoes a decision nor gives the ticket to somebody else.
    let is_pending = join.state == JoinState::Pending;
    let asks_again = is_pending
        && before.is_some_and(|before| {
            before.record.state == JoinState::Pending
                && before.record.is_of_same_applicant(&join.request)
        });
    if is_pending && before.is_some() && !asks_again {
        return Ok(());
    }
    let received = before.map_or(record.time, |before| before.received);
    let reused = before.and_then(|before| before.record.reused);
    let keys_changed = before.map_or(0, |before| before.keys_changed) + u32::from(asks_again);
    let ticket = join.ticket;
    state.joins.insert(
        ticket,
        Join {
            record: JoinRecord { reused, ..join },
            received,
            delivered: false,
            keys_changed,
        },
    );
    standing::admit_waiting(state, &ticket);
    Ok(())
}

fn apply_patient(state: &mut State, record: &Record, body: &Bytes) -> Result<(), WireError> {
    let stored = wire::decode_patient(body)?;
    let demographics = formats::demographics(&stored.resource).map_err(|_| WireError::Encoding)?;
    let resources = state
        .patients
        .get(&stored.patient)
        .map_or(0, |p| p.resources);
    if let Some(before) = state.patients.get(&stored.patient) {
        for key in matching::blocking_keys(&before.demographics) {
            if let Some(found) = state.found_by.get_mut(&key) {
                found.remove(&stored.patient);
            }
        }
    }
    for key in matching::blocking_keys(&demographics) {
        state
            .found_by
            .entry(key)
            .or_default()
            .insert(stored.patient);
    }
    state.by_source.insert(
        (stored.source.clone(), stored.local_id.clone()),
        stored.patient,
    );
    state.patients.insert(
        stored.patient,
        Patient {
            id: stored.patient,
            demographics,
            source: stored.source,
            local_id: stored.local_id,
            place: record.place,
            summary: stored.summary,
            discoverability: Discoverability::from_number(stored.discoverability),
            resources,
            revision: record.position,
            changed: record.time,
        },
    );
    Ok(())
}

fn apply_resource(state: &mut State, record: &Record, body: &Bytes) -> Result<(), WireError> {
    let stored = wire::decode_resource(body)?;
    let new = u64::from(!stored.replaces);
    match stored.patient {
        Some(patient) => {
            let patient = state
                .patients
                .get_mut(&patient)
                .ok_or(WireError::Contradiction)?;
            patient.resources += new;
            patient.revision = record.position;
            patient.changed = record.time;
        }
        None => state.directory += new,
    }
    Ok(())
}

fn apply_document(state: &mut State, record: &Record, body: &Bytes) -> Result<(), WireError> {
    let document = wire::decode_document(body)?;
    if document.snapshot.is_some() {
        super::snapshot::make_room(state, record.time);
    }
    state
        .documents
        .entry(document.patient)
        .or_default()
        .insert(document.id, document);
    Ok(())
}

/// The index rows of a record: for resources, where each lies (bodies stay in the journal).
///
/// # Errors
/// [`WireError`] where the body cannot be read.
#[expect(clippy::too_many_lines, reason = "one arm a kind of record")]
pub fn rows(record: &Record) -> Result<Vec<Row>, WireError> {
    let Some(body) = &record.body else {
        return Ok(Vec::new());
    };
    let row = |table, key: &[u8], value: Vec<u8>| Row {
        table,
        key: key.to_vec(),
        value,
        revision: record.position,
    };
    Ok(match record.kind {
        RecordKind::Resource => {
            let stored = wire::decode_resource(body)?;
            let locator = Locator {
                place: record.place,
                content: stored.content,
                resource_type: stored.resource_type,
            };
            vec![row(
                Table::Resource,
                &resource_key(stored.patient, stored.id),
                locator.encode(),
            )]
        }
        RecordKind::Patient => {
            let Scope::Patient(patient) = record.scope else {
                return Err(WireError::Contradiction);
            };
            vec![row(Table::Patient, &patient.0, encode_place(record.place))]
        }
        RecordKind::Document => {
            let document = wire::decode_document(body)?;
            let key = [document.patient.0, document.id.0].concat();
            vec![row(Table::Document, &key, encode_place(record.place))]
        }
        RecordKind::Consent => {
            let consent = wire::decode_consent(body, record.position, record.time)?;
            let key = [consent.patient.0, consent.id.0].concat();
            vec![row(Table::Consent, &key, encode_place(record.place))]
        }
        RecordKind::Handle => {
            let handle = wire::decode_handle(body)?;
            vec![row(
                Table::Handle,
                &handle.handle.0,
                encode_place(record.place),
            )]
        }
        RecordKind::Member => {
            let known = wire::decode_member(body)?;
            let credential = known
                .credential
                .claims::<membership::Credential>()
                .map_err(|_| WireError::Contradiction)?;
            vec![row(
                Table::Member,
                &credential.member.0,
                encode_place(record.place),
            )]
        }
        RecordKind::Audit => {
            let entry = wire::decode_audit(body)?;
            entry.disclosure.map_or_else(Vec::new, |disclosure| {
                vec![row(
                    Table::Disclosure,
                    &disclosure.0,
                    encode_place(record.place),
                )]
            })
        }
        RecordKind::Charter
        | RecordKind::CharterSeen
        | RecordKind::CharterAdopted
        | RecordKind::Proposal
        | RecordKind::TicketIssued
        | RecordKind::Join
        | RecordKind::JoinAsked
        | RecordKind::Revoke
        | RecordKind::HandleReceived
        | RecordKind::Revocations
        | RecordKind::Heartbeat
        | RecordKind::Checkpoint => Vec::new(),
    })
}

/// Key of a resource's row: the patient, then the keyed hash that is its id. Directory resources
/// stand under sixteen zero bytes.
pub(super) fn resource_key(patient: Option<PatientId>, id: [u8; 16]) -> Vec<u8> {
    [patient.map_or([0; 16], |patient| patient.0), id].concat()
}

/// What the index knows of a resource.
pub(super) struct Locator {
    /// Where its record lies.
    pub(super) place: Place,
    /// Keyed hash of its content.
    pub(super) content: [u8; 32],
    /// Its type.
    pub(super) resource_type: String,
}

impl Locator {
    fn encode(&self) -> Vec<u8> {
        let mut out = encode_place(self.place);
        out.extend_from_slice(&self.content);
        out.extend_from_slice(self.resource_type.as_bytes());
        out
    }

    /// Reads a row of [`Table::Resource`].
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let (place, rest) = value.split_first_chunk::<20>()?;
        let (content, resource_type) = rest.split_first_chunk::<32>()?;
        Some(Self {
            place: decode_place(place),
            content: *content,
            resource_type: String::from_utf8(resource_type.to_vec()).ok()?,
        })
    }
}

fn encode_place(place: Place) -> Vec<u8> {
    let mut out = Vec::with_capacity(20);
    out.extend_from_slice(&place.file.to_be_bytes());
    out.extend_from_slice(&place.offset.to_be_bytes());
    out.extend_from_slice(&place.len.to_be_bytes());
    out
}

fn decode_place(bytes: &[u8; 20]) -> Place {
    let word = |from: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[from..from + 8]);
        u64::from_be_bytes(word)
    };
    let mut len = [0; 4];
    len.copy_from_slice(&bytes[16..]);
    Place {
        file: word(0),
        offset: word(8),
        len: u32::from_be_bytes(len),
    }
}
