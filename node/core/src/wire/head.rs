//! Head, Hello and Refused: who speaks to whom, when.

use chartmesh_proto::body as proto;

use super::{
    Head, Hello, Refused,
    field::{
        Term, Wire, WireError, array, message, optional, optional_array, optional_bytes, required,
    },
};
use crate::types::{MemberId, NetworkId, NodeKey, PeerCode, Timestamp};

impl Wire for Head {
    type Proto = proto::Head;

    fn to_proto(&self) -> proto::Head {
        proto::Head {
            member: self.member.0.to_vec(),
            key: self.key.0.to_vec(),
            network: self.network.0.to_vec(),
            audience: self.audience.0.to_vec(),
            challenge: optional_bytes(self.challenge),
            sent_at_ms: self.sent_at.0,
            expiry_ms: self.expiry.0,
            answers: optional_bytes(self.answers),
            next_challenge: optional_bytes(self.next_challenge),
        }
    }

    fn from_proto(proto: proto::Head) -> Result<Self, WireError> {
        Ok(Self {
            member: MemberId(array(&proto.member)?),
            key: NodeKey(array(&proto.key)?),
            network: NetworkId(array(&proto.network)?),
            audience: MemberId(array(&proto.audience)?),
            challenge: optional_array(&proto.challenge)?,
            sent_at: Timestamp(proto.sent_at_ms),
            expiry: Timestamp(proto.expiry_ms),
            answers: optional_array(&proto.answers)?,
            next_challenge: optional_array(&proto.next_challenge)?,
        })
    }
}

message!(Hello, "hello");

impl Wire for Hello {
    type Proto = proto::Hello;

    fn to_proto(&self) -> proto::Hello {
        proto::Hello {
            head: Some(self.head.to_proto()),
            version: self.version,
            credential: Some(self.credential.to_proto()),
            key_set: Some(self.key_set.to_proto()),
            charter_version: self.charter_version,
            charter_hash: self.charter_hash.to_vec(),
            revocations: (self.revocations != 0).then(|| proto::ListHead {
                version: self.revocations,
                hash: Vec::new(),
                issued_at_ms: 0,
            }),
            node_record: self.node_record.as_ref().map(Wire::to_proto),
        }
    }

    fn from_proto(proto: proto::Hello) -> Result<Self, WireError> {
        Ok(Self {
            head: required(proto.head)?,
            version: proto.version,
            credential: required(proto.credential)?,
            key_set: required(proto.key_set)?,
            charter_version: proto.charter_version,
            charter_hash: array(&proto.charter_hash)?,
            revocations: proto.revocations.map_or(0, |list| list.version),
            node_record: optional(proto.node_record)?,
        })
    }
}

message!(Refused, "refused");

impl Wire for Refused {
    type Proto = proto::Refused;

    fn to_proto(&self) -> proto::Refused {
        proto::Refused {
            head: Some(self.head.to_proto()),
            code: self.code.number(),
            now_ms: self.now.0,
        }
    }

    fn from_proto(proto: proto::Refused) -> Result<Self, WireError> {
        Ok(Self {
            head: required(proto.head)?,
            code: PeerCode::term(proto.code)?,
            now: Timestamp(proto.now_ms),
        })
    }
}
