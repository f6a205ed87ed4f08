//! Revocation list, heartbeat, and the exchange of both.

use chartmesh_proto::body as proto;

use super::{
    TrustAnswer, TrustRequest,
    field::{
        Wire, WireError, array, body, bounded_list, message, optional, optional_array,
        optional_bytes, optional_time, required,
    },
};
use crate::{
    membership::{Heartbeat, ListHead, RevocationList},
    types::{MemberId, NetworkId, Timestamp, limits::REVOKED_MAX},
};

body!(RevocationList, "revocation-list");

impl Wire for RevocationList {
    type Proto = proto::RevocationList;

    fn to_proto(&self) -> proto::RevocationList {
        proto::RevocationList {
            network: self.network.0.to_vec(),
            version: self.version,
            previous: optional_bytes(self.previous),
            issued_at_ms: self.issued_at.0,
            member: self.members.iter().map(|id| id.0.to_vec()).collect(),
        }
    }

    fn from_proto(proto: proto::RevocationList) -> Result<Self, WireError> {
        bounded_list(&proto.member, REVOKED_MAX)?;
        let members = proto.member.iter().map(|id| array(id).map(MemberId));
        Ok(Self {
            network: NetworkId(array(&proto.network)?),
            version: proto.version,
            previous: optional_array(&proto.previous)?,
            issued_at: Timestamp(proto.issued_at_ms),
            members: members.collect::<Result<_, _>>()?,
        })
    }
}

body!(Heartbeat, "heartbeat");

impl Wire for Heartbeat {
    type Proto = proto::Heartbeat;

    fn to_proto(&self) -> proto::Heartbeat {
        proto::Heartbeat {
            network: self.network.0.to_vec(),
            version: self.version,
            hash: self.hash.to_vec(),
            at_ms: self.at.0,
        }
    }

    fn from_proto(proto: proto::Heartbeat) -> Result<Self, WireError> {
        Ok(Self {
            network: NetworkId(array(&proto.network)?),
            version: proto.version,
            hash: array(&proto.hash)?,
            at: Timestamp(proto.at_ms),
        })
    }
}

impl Wire for ListHead {
    type Proto = proto::ListHead;

    fn to_proto(&self) -> proto::ListHead {
        proto::ListHead {
            version: self.version,
            hash: self.hash.to_vec(),
            issued_at_ms: self.issued_at.0,
        }
    }

    fn from_proto(proto: proto::ListHead) -> Result<Self, WireError> {
        Ok(Self {
            version: proto.version,
            hash: array(&proto.hash)?,
            issued_at: Timestamp(proto.issued_at_ms),
        })
    }
}

message!(TrustRequest, "trust");

impl Wire for TrustRequest {
    type Proto = proto::TrustRequest;

    fn to_proto(&self) -> proto::TrustRequest {
        proto::TrustRequest {
            head: Some(self.head.to_proto()),
            list: self.list.as_ref().map(Wire::to_proto),
            heartbeat_at_ms: self.heartbeat_at.map_or(0, |at| at.0),
            members: self.members,
            tell: self.tell,
            beat: self.beat.as_ref().map(Wire::to_proto),
        }
    }

    fn from_proto(proto: proto::TrustRequest) -> Result<Self, WireError> {
        Ok(Self {
            head: required(proto.head)?,
            list: optional(proto.list)?,
            heartbeat_at: optional_time(proto.heartbeat_at_ms),
            members: proto.members,
            tell: proto.tell,
            beat: optional(proto.beat)?,
        })
    }
}

message!(TrustAnswer, "trust-answer");

impl Wire for TrustAnswer {
    type Proto = proto::TrustAnswer;

    fn to_proto(&self) -> proto::TrustAnswer {
        proto::TrustAnswer {
            head: Some(self.head.to_proto()),
            list: self.list.as_ref().map(Wire::to_proto),
            heartbeat_at_ms: self.heartbeat_at.map_or(0, |at| at.0),
            members: self.members,
            revocations: self.revocations.as_ref().map(Wire::to_proto),
            heartbeat: self.heartbeat.as_ref().map(Wire::to_proto),
            beat: self.beat.as_ref().map(Wire::to_proto),
        }
    }

    fn from_proto(proto: proto::TrustAnswer) -> Result<Self, WireError> {
        Ok(Self {
            head: required(proto.head)?,
            list: optional(proto.list)?,
            heartbeat_at: optional_time(proto.heartbeat_at_ms),
            members: proto.members,
            revocations: optional(proto.revocations)?,
            heartbeat: optional(proto.heartbeat)?,
            beat: optional(proto.beat)?,
        })
    }
}
