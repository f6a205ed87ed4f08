//! Bodies of journal records ⇄ what they say. They are read back only by the node that sealed them, so
//! their canonical form is not demanded; lengths and terms are.

use chartmesh_proto::store;
use zeroize::Zeroize as _;

use super::field::{
    Term, Wire, WireError, array, decode, encode, optional, optional_array, optional_bytes,
    optional_time, required,
};
use crate::{
    crypto::{Envelope, SecretKey},
    membership::{JoinRecord, JoinState, Known},
    records::{
        Document, HandleReceived, HandleRecord, PatientRecord, ResourceRecord, RevokeRecord,
        TicketIssued,
    },
    types::{ConsentId, DocumentId, Handle, MemberId, PatientId, Purpose, Timestamp},
};

/// Largest number of a discoverability (`store.proto`).
const DISCOVERABILITY_MAX: u32 = 3;

macro_rules! stored {
    ($($what:literal $type:ty => $encode:ident $decode:ident;)*) => {
        $(
            #[doc = concat!("The journal body of ", $what, ".")]
            pub fn $encode(value: &$type) -> Vec<u8> {
                encode(value)
            }

            #[doc = concat!("Reads the journal body of ", $what, ".")]
            ///
            /// # Errors
            /// [`WireError`] where the bytes are no such body.
            pub fn $decode(bytes: &[u8]) -> Result<$type, WireError> {
                decode(bytes)
            }
        )*
    };
}

stored!(
    "a ticket issued here" TicketIssued => encode_ticket_issued decode_ticket_issued;
    "a join request and how it stands" JoinRecord => encode_join decode_join;
    "a patient" PatientRecord => encode_patient decode_patient;
    "a FHIR resource" ResourceRecord => encode_resource decode_resource;
    "a document" Document => encode_document decode_document;
    "a revocation" RevokeRecord => encode_revoke decode_revoke;
    "a handle given" HandleRecord => encode_handle decode_handle;
    "a handle received" HandleReceived => encode_handle_received decode_handle_received;
);

/// The journal body of a charter this node follows.
pub fn encode_charter(charter: &Envelope) -> Vec<u8> {
    prost::Message::encode_to_vec(&store::CharterRecord {
        charter: Some(charter.to_proto()),
    })
}

/// Reads the journal body of a charter.
///
/// # Errors
/// [`WireError`] where the bytes are no such body.
pub fn decode_charter(bytes: &[u8]) -> Result<Envelope, WireError> {
    let record: store::CharterRecord = read(bytes)?;
    required(record.charter)
}

/// The journal body of what is known of a member, this node included.
pub fn encode_member(known: &Known) -> Vec<u8> {
    prost::Message::encode_to_vec(&store::MemberRecord {
        known: Some(known.to_proto()),
    })
}

/// Reads the journal body of a member.
///
/// # Errors
/// [`WireError`] where the bytes are no such body.
pub fn decode_member(bytes: &[u8]) -> Result<Known, WireError> {
    let record: store::MemberRecord = read(bytes)?;
    required(record.known)
}

/// The journal body of a revocation list.
pub fn encode_revocations(list: &Envelope) -> Vec<u8> {
    prost::Message::encode_to_vec(&store::RevocationsRecord {
        list: Some(list.to_proto()),
    })
}

/// Reads the journal body of a revocation list.
///
/// # Errors
/// [`WireError`] where the bytes are no such body.
pub fn decode_revocations(bytes: &[u8]) -> Result<Envelope, WireError> {
    let record: store::RevocationsRecord = read(bytes)?;
    required(record.list)
}

/// The journal body of a heartbeat.
pub fn encode_heartbeat(heartbeat: &Envelope) -> Vec<u8> {
    prost::Message::encode_to_vec(&store::HeartbeatRecord {
        heartbeat: Some(heartbeat.to_proto()),
    })
}

/// Reads the journal body of a heartbeat.
///
/// # Errors
/// [`WireError`] where the bytes are no such body.
pub fn decode_heartbeat(bytes: &[u8]) -> Result<Envelope, WireError> {
    let record: store::HeartbeatRecord = read(bytes)?;
    required(record.heartbeat)
}

/// The journal body of a checkpoint of this node's audit log.
pub fn encode_checkpoint(note: &str) -> Vec<u8> {
    prost::Message::encode_to_vec(&store::CheckpointRecord {
        note: note.to_owned(),
    })
}

/// Reads the journal body of a checkpoint.
///
/// # Errors
/// [`WireError`] where the bytes are no such body.
pub fn decode_checkpoint(bytes: &[u8]) -> Result<String, WireError> {
    let record: store::CheckpointRecord = read(bytes)?;
    Ok(record.note)
}

/// The journal body of *this node asked to join*: the ticket's text.
pub fn encode_join_asked(ticket: &str) -> Vec<u8> {
    prost::Message::encode_to_vec(&store::JoinAsked {
        ticket: ticket.to_owned(),
    })
}

/// Reads the journal body of *this node asked to join*.
///
/// # Errors
/// [`WireError`] where the bytes are no such body.
pub fn decode_join_asked(bytes: &[u8]) -> Result<String, WireError> {
    let record: store::JoinAsked = read(bytes)?;
    Ok(record.ticket)
}

fn read<P: prost::Message + Default>(bytes: &[u8]) -> Result<P, WireError> {
    P::decode(bytes).map_err(|_| WireError::Encoding)
}

impl Wire for TicketIssued {
    type Proto = store::TicketIssued;

    fn to_proto(&self) -> store::TicketIssued {
        store::TicketIssued {
            key: self.key.to_vec(),
            expiry_ms: self.expiry.0,
        }
    }

    fn from_proto(mut proto: store::TicketIssued) -> Result<Self, WireError> {
        let key = array(&proto.key).map(SecretKey::new);
        proto.key.zeroize();
        Ok(Self {
            key: key?,
            expiry: Timestamp(proto.expiry_ms),
        })
    }
}

impl Wire for JoinRecord {
    type Proto = store::JoinRecord;

    fn to_proto(&self) -> store::JoinRecord {
        store::JoinRecord {
            ticket: self.ticket.to_vec(),
            request: Some(self.request.to_proto()),
            state: self.state.number(),
            credential: self.credential.as_ref().map(Wire::to_proto),
            reused_ms: self.reused.map_or(0, |at| at.0),
        }
    }

    fn from_proto(proto: store::JoinRecord) -> Result<Self, WireError> {
        Ok(Self {
            ticket: array(&proto.ticket)?,
            request: required(proto.request)?,
            state: JoinState::term(proto.state)?,
            credential: optional(proto.credential)?,
            reused: optional_time(proto.reused_ms),
        })
    }
}

impl Wire for PatientRecord {
    type Proto = store::PatientRecord;

    fn to_proto(&self) -> store::PatientRecord {
        store::PatientRecord {
            patient: self.patient.0.to_vec(),
            resource: self.resource.to_vec(),
            source: self.source.clone(),
            summary: self.summary.0.to_vec(),
            discoverability: self.discoverability,
            local_id: self.local_id.clone(),
        }
    }

    fn from_proto(proto: store::PatientRecord) -> Result<Self, WireError> {
        if proto.discoverability > DISCOVERABILITY_MAX {
            return Err(WireError::Term);
        }
        Ok(Self {
            patient: PatientId(array(&proto.patient)?),
            resource: proto.resource.into(),
            source: proto.source,
            summary: DocumentId(array(&proto.summary)?),
            discoverability: proto.discoverability,
            local_id: proto.local_id,
        })
    }
}

impl Wire for ResourceRecord {
    type Proto = store::ResourceRecord;

    fn to_proto(&self) -> store::ResourceRecord {
        store::ResourceRecord {
            patient: optional_bytes(self.patient.map(|patient| patient.0)),
            id: self.id.to_vec(),
            r#type: self.resource_type.clone(),
            local_id: self.local_id.clone(),
            source: self.source.clone(),
            content: self.content.to_vec(),
            resource: self.resource.to_vec(),
            replaces: self.replaces,
        }
    }

    fn from_proto(proto: store::ResourceRecord) -> Result<Self, WireError> {
        Ok(Self {
            patient: optional_array(&proto.patient)?.map(PatientId),
            id: array(&proto.id)?,
            resource_type: proto.r#type,
            local_id: proto.local_id,
            source: proto.source,
            content: array(&proto.content)?,
            resource: proto.resource.into(),
            replaces: proto.replaces,
        })
    }
}

impl Wire for Document {
    type Proto = store::DocumentRecord;

    fn to_proto(&self) -> store::DocumentRecord {
        let (snapshot_of, expires) = self.snapshot.unwrap_or_default();
        store::DocumentRecord {
            patient: self.patient.0.to_vec(),
            document: self.id.0.to_vec(),
            manifest: Some(self.manifest.to_proto()),
            wrapped_key: self.wrapped_key.clone(),
            title: self.title.clone(),
            status: self.status.clone(),
            date_ms: self.date.0,
            author_organization: self.author_organization.clone(),
            content: self.content.to_vec(),
            snapshot_of,
            expires_ms: expires.0,
        }
    }

    fn from_proto(proto: store::DocumentRecord) -> Result<Self, WireError> {
        let expires = optional_time(proto.expires_ms);
        if expires.is_none() && proto.snapshot_of != 0 {
            return Err(WireError::Contradiction);
        }
        Ok(Self {
            patient: PatientId(array(&proto.patient)?),
            id: DocumentId(array(&proto.document)?),
            manifest: required(proto.manifest)?,
            wrapped_key: proto.wrapped_key,
            title: proto.title,
            status: proto.status,
            date: Timestamp(proto.date_ms),
            author_organization: proto.author_organization,
            content: array(&proto.content)?,
            snapshot: expires.map(|expires| (proto.snapshot_of, expires)),
        })
    }
}

impl Wire for RevokeRecord {
    type Proto = store::RevokeRecord;

    fn to_proto(&self) -> store::RevokeRecord {
        store::RevokeRecord {
            consent: self.consent.0.to_vec(),
            patient: self.patient.0.to_vec(),
            recorded_by: self.recorded_by.clone(),
        }
    }

    fn from_proto(proto: store::RevokeRecord) -> Result<Self, WireError> {
        Ok(Self {
            consent: ConsentId(array(&proto.consent)?),
            patient: PatientId(array(&proto.patient)?),
            recorded_by: proto.recorded_by,
        })
    }
}

impl Wire for HandleRecord {
    type Proto = store::HandleRecord;

    fn to_proto(&self) -> store::HandleRecord {
        store::HandleRecord {
            handle: self.handle.0.to_vec(),
            asker: self.asker.0.to_vec(),
            patient: self.patient.0.to_vec(),
            purpose: self.purpose.number(),
            query_hash: self.query_hash.to_vec(),
            until_ms: self.until.0,
        }
    }

    fn from_proto(proto: store::HandleRecord) -> Result<Self, WireError> {
        Ok(Self {
            handle: Handle(array(&proto.handle)?),
            asker: MemberId(array(&proto.asker)?),
            patient: PatientId(array(&proto.patient)?),
            purpose: Purpose::term(proto.purpose)?,
            query_hash: array(&proto.query_hash)?,
            until: Timestamp(proto.until_ms),
        })
    }
}

impl Wire for HandleReceived {
    type Proto = store::HandleReceived;

    fn to_proto(&self) -> store::HandleReceived {
        store::HandleReceived {
            handle: self.handle.0.to_vec(),
            holder: self.holder.0.to_vec(),
            patient: optional_bytes(self.patient.map(|patient| patient.0)),
            until_ms: self.until.0,
        }
    }

    fn from_proto(proto: store::HandleReceived) -> Result<Self, WireError> {
        Ok(Self {
            handle: Handle(array(&proto.handle)?),
            holder: MemberId(array(&proto.holder)?),
            patient: optional_array(&proto.patient)?.map(PatientId),
            until: Timestamp(proto.until_ms),
        })
    }
}
