//! Charter, credential, key set, node record, join and the exchange of members.

use chartmesh_proto::body as proto;

use super::{
    MembersAnswer, MembersRequest,
    field::{
        Term, Wire, WireError, array, body, bounded_list, code, list, message, optional,
        optional_array, optional_bytes, required, text, units,
    },
};
use crate::{
    membership::{
        Charter, Credential, HpkeKey, JoinAnswer, JoinRequest, JoinState, KeySet, Known,
        NodeRecord, Organization, Rules, Template,
    },
    types::{Incarnation, Kind, MemberId, NetworkId, NodeKey, Span, Timestamp, limits},
};

const MINUTE: u64 = Span::minutes(1).0;
const HOUR: u64 = Span::hours(1).0;
const DAY: u64 = Span::days(1).0;
/// The staleness that is written as nothing: charters older than the rule have it.
const DEFAULT_STALENESS_HOURS: u32 = 72;
const _: () = assert!(DEFAULT_STALENESS_HOURS as u64 * HOUR == limits::MAX_STALENESS.0);

body!(Organization, "organization");

impl Wire for Organization {
    type Proto = proto::Organization;

    fn to_proto(&self) -> proto::Organization {
        proto::Organization {
            name: self.name.clone(),
            kind: self.kind.number(),
            npi: self.npi.clone(),
            oid: self.oid.clone(),
            address: self.address.clone(),
            contact: self.contact.clone(),
            phone: self.phone.clone(),
            hours: self.hours.clone(),
            state: self.state.clone(),
            part2: self.part2,
            test: self.test,
        }
    }

    fn from_proto(proto: proto::Organization) -> Result<Self, WireError> {
        Ok(Self {
            name: text(proto.name)?,
            kind: Kind::term(proto.kind)?,
            npi: code(proto.npi)?,
            oid: code(proto.oid)?,
            address: text(proto.address)?,
            contact: text(proto.contact)?,
            phone: text(proto.phone)?,
            hours: text(proto.hours)?,
            state: code(proto.state)?,
            part2: proto.part2,
            test: proto.test,
        })
    }
}

impl Wire for Rules {
    type Proto = proto::Rules;

    fn to_proto(&self) -> proto::Rules {
        proto::Rules {
            version: self.version,
            clock_window_min: units(self.clock_window.0, MINUTE),
            direct_max: self.direct_max,
            handle_hours: units(self.handle_life.0, HOUR),
            keep_evidence_years: self.keep_evidence_years,
            keep_audit_years: self.keep_audit_years,
            keep_part2_years: self.keep_part2_years,
            review_hours: units(self.review.0, HOUR),
            notice_days: units(self.notice.0, DAY),
            locate_per_day: self.locate_per_day,
            agreement_sha256: optional_bytes(self.agreement_sha256),
            agreement_url: self.agreement_url.clone(),
            max_staleness_hours: match units(self.max_staleness.0, HOUR) {
                DEFAULT_STALENESS_HOURS => 0,
                hours => hours,
            },
        }
    }

    fn from_proto(proto: proto::Rules) -> Result<Self, WireError> {
        Ok(Self {
            version: proto.version,
            clock_window: Span::minutes(proto.clock_window_min.into()),
            direct_max: proto.direct_max,
            handle_life: Span::hours(proto.handle_hours.into()),
            keep_evidence_years: proto.keep_evidence_years,
            keep_audit_years: proto.keep_audit_years,
            keep_part2_years: proto.keep_part2_years,
            review: Span::hours(proto.review_hours.into()),
            notice: Span::days(proto.notice_days.into()),
            locate_per_day: proto.locate_per_day,
            agreement_sha256: optional_array(&proto.agreement_sha256)?,
            agreement_url: code(proto.agreement_url)?,
            max_staleness: Span::hours(match proto.max_staleness_hours {
                0 => DEFAULT_STALENESS_HOURS.into(),
                hours => hours.into(),
            }),
        })
    }
}

body!(Charter, "charter");

impl Wire for Charter {
    type Proto = proto::Charter;

    fn to_proto(&self) -> proto::Charter {
        proto::Charter {
            version: self.version,
            name: self.name.clone(),
            network: optional_bytes(self.network.map(|network| network.0)),
            previous: optional_bytes(self.previous),
            authority: self.authorities.iter().map(|key| key.to_vec()).collect(),
            threshold: self.threshold,
            template: self.template.number(),
            rules: Some(self.rules.to_proto()),
            test: self.test,
            issued_at_ms: self.issued_at.0,
            recovery_key: self.recovery_keys.iter().map(|key| key.to_vec()).collect(),
            minimum_suite: self.minimum_suite,
            nonce: self.nonce.to_vec(),
            status_key: self.status_keys.iter().map(|key| key.to_vec()).collect(),
            status_threshold: self.status_threshold,
            counts_from: self.counts_from,
        }
    }

    fn from_proto(proto: proto::Charter) -> Result<Self, WireError> {
        Ok(Self {
            version: proto.version,
            name: code(proto.name)?,
            network: optional_array(&proto.network)?.map(NetworkId),
            previous: optional_array(&proto.previous)?,
            authorities: keys(&proto.authority)?,
            threshold: proto.threshold,
            template: Template::term(proto.template)?,
            rules: required(proto.rules)?,
            test: proto.test,
            issued_at: Timestamp(proto.issued_at_ms),
            recovery_keys: keys(&proto.recovery_key)?,
            minimum_suite: proto.minimum_suite,
            nonce: array(&proto.nonce)?,
            status_keys: keys(&proto.status_key)?,
            status_threshold: proto.status_threshold,
            counts_from: proto.counts_from,
        })
    }
}

fn keys(keys: &[Vec<u8>]) -> Result<Vec<[u8; 32]>, WireError> {
    bounded_list(keys, limits::SIGNATURES_MAX)?;
    keys.iter().map(|key| array(key)).collect()
}

body!(Credential, "credential");

impl Wire for Credential {
    type Proto = proto::Credential;

    fn to_proto(&self) -> proto::Credential {
        proto::Credential {
            network: self.network.0.to_vec(),
            member: self.member.0.to_vec(),
            node_key: self.node_key.0.to_vec(),
            organization: Some(self.organization.to_proto()),
            valid_from_ms: self.valid_from.0,
            valid_until_ms: self.valid_until.0,
            sequence: self.sequence,
        }
    }

    fn from_proto(proto: proto::Credential) -> Result<Self, WireError> {
        Ok(Self {
            network: NetworkId(array(&proto.network)?),
            member: MemberId(array(&proto.member)?),
            node_key: NodeKey(array(&proto.node_key)?),
            organization: required(proto.organization)?,
            valid_from: Timestamp(proto.valid_from_ms),
            valid_until: Timestamp(proto.valid_until_ms),
            sequence: proto.sequence,
        })
    }
}

impl Wire for HpkeKey {
    type Proto = proto::HpkeKey;

    fn to_proto(&self) -> proto::HpkeKey {
        proto::HpkeKey {
            id: self.id.to_vec(),
            suite: self.suite,
            public: self.public.to_vec(),
        }
    }

    fn from_proto(proto: proto::HpkeKey) -> Result<Self, WireError> {
        bounded_list(&proto.public, limits::HPKE_PUBLIC_BYTES_MAX)?;
        Ok(Self {
            id: array(&proto.id)?,
            suite: proto.suite,
            public: proto.public.into(),
        })
    }
}

body!(KeySet, "key-set");

impl Wire for KeySet {
    type Proto = proto::KeySet;

    fn to_proto(&self) -> proto::KeySet {
        proto::KeySet {
            member: self.member.0.to_vec(),
            sequence: self.sequence,
            key: self.keys.iter().map(Wire::to_proto).collect(),
            audit_key: self.audit_key.to_vec(),
            valid_from_ms: self.valid_from.0,
            valid_until_ms: self.valid_until.0,
        }
    }

    fn from_proto(proto: proto::KeySet) -> Result<Self, WireError> {
        Ok(Self {
            member: MemberId(array(&proto.member)?),
            sequence: proto.sequence,
            keys: list(proto.key, limits::KEY_SET_KEYS_MAX)?,
            audit_key: array(&proto.audit_key)?,
            valid_from: Timestamp(proto.valid_from_ms),
            valid_until: Timestamp(proto.valid_until_ms),
        })
    }
}

body!(NodeRecord, "node-record");

impl Wire for NodeRecord {
    type Proto = proto::NodeRecord;

    fn to_proto(&self) -> proto::NodeRecord {
        proto::NodeRecord {
            member: self.member.0.to_vec(),
            address: self.addresses.iter().map(|one| one.to_vec()).collect(),
            sequence: self.sequence,
            expiry_ms: self.expiry.0,
            capability: self.capabilities.clone(),
            incarnation: self.incarnation.0,
        }
    }

    fn from_proto(proto: proto::NodeRecord) -> Result<Self, WireError> {
        bounded_list(&proto.address, limits::NODE_ADDRESSES_MAX)?;
        bounded_list(&proto.capability, limits::CODES_MAX)?;
        for address in &proto.address {
            bounded_list(address, limits::NODE_ADDRESS_BYTES_MAX)?;
        }
        Ok(Self {
            member: MemberId(array(&proto.member)?),
            addresses: proto.address.into_iter().map(Into::into).collect(),
            sequence: proto.sequence,
            expiry: Timestamp(proto.expiry_ms),
            capabilities: proto.capability,
            incarnation: Incarnation(proto.incarnation),
        })
    }
}

impl Wire for Known {
    type Proto = proto::Known;

    fn to_proto(&self) -> proto::Known {
        proto::Known {
            credential: Some(self.credential.to_proto()),
            key_set: self.key_set.as_ref().map(Wire::to_proto),
            node_record: self.node_record.as_ref().map(Wire::to_proto),
        }
    }

    fn from_proto(proto: proto::Known) -> Result<Self, WireError> {
        Ok(Self {
            credential: required(proto.credential)?,
            key_set: optional(proto.key_set)?,
            node_record: optional(proto.node_record)?,
        })
    }
}

body!(JoinRequest, "join");

impl Wire for JoinRequest {
    type Proto = proto::JoinRequest;

    fn to_proto(&self) -> proto::JoinRequest {
        proto::JoinRequest {
            ticket: self.ticket.to_vec(),
            mac: self.mac.to_vec(),
            node_key: self.node_key.0.to_vec(),
            member: self.member.0.to_vec(),
            key_set: Some(self.key_set.to_proto()),
            organization: Some(self.organization.to_proto()),
            sent_at_ms: self.sent_at.0,
            node_record: self.node_record.as_ref().map(Wire::to_proto),
        }
    }

    fn from_proto(proto: proto::JoinRequest) -> Result<Self, WireError> {
        Ok(Self {
            ticket: array(&proto.ticket)?,
            mac: array(&proto.mac)?,
            node_key: NodeKey(array(&proto.node_key)?),
            member: MemberId(array(&proto.member)?),
            key_set: required(proto.key_set)?,
            organization: required(proto.organization)?,
            sent_at: Timestamp(proto.sent_at_ms),
            node_record: optional(proto.node_record)?,
        })
    }
}

body!(JoinAnswer, "join-answer");

impl Wire for JoinAnswer {
    type Proto = proto::JoinAnswer;

    fn to_proto(&self) -> proto::JoinAnswer {
        proto::JoinAnswer {
            state: self.state.number(),
            mac: self.mac.to_vec(),
            credential: self.credential.as_ref().map(Wire::to_proto),
            charter: self.charter.as_ref().map(Wire::to_proto),
            peer: self.peers.iter().map(Wire::to_proto).collect(),
            node_key: self.node_key.0.to_vec(),
            later_charter: self.later_charters.iter().map(Wire::to_proto).collect(),
            revocations: self.revocations.as_ref().map(Wire::to_proto),
            heartbeat: self.heartbeat.as_ref().map(Wire::to_proto),
        }
    }

    fn from_proto(proto: proto::JoinAnswer) -> Result<Self, WireError> {
        let answer = Self {
            state: JoinState::term(proto.state)?,
            mac: array(&proto.mac)?,
            credential: optional(proto.credential)?,
            charter: optional(proto.charter)?,
            peers: list(proto.peer, limits::MEMBERS_PAGE_MAX)?,
            node_key: NodeKey(array(&proto.node_key)?),
            later_charters: list(proto.later_charter, limits::CHARTERS_MAX)?,
            revocations: optional(proto.revocations)?,
            heartbeat: optional(proto.heartbeat)?,
        };
        let whole = answer.credential.is_some() && answer.charter.is_some();
        let bare = answer.credential.is_none()
            && answer.charter.is_none()
            && answer.revocations.is_none()
            && answer.heartbeat.is_none();
        let agrees = match answer.state {
            JoinState::Approved => whole,
            JoinState::Pending | JoinState::Refused => {
                bare && answer.peers.is_empty() && answer.later_charters.is_empty()
            }
        };
        if !agrees {
            return Err(WireError::Contradiction);
        }
        Ok(answer)
    }
}

message!(MembersRequest, "members");

impl Wire for MembersRequest {
    type Proto = proto::MembersRequest;

    fn to_proto(&self) -> proto::MembersRequest {
        proto::MembersRequest {
            head: Some(self.head.to_proto()),
            after: optional_bytes(self.after.map(|member| member.0)),
        }
    }

    fn from_proto(proto: proto::MembersRequest) -> Result<Self, WireError> {
        Ok(Self {
            head: required(proto.head)?,
            after: optional_array(&proto.after)?.map(MemberId),
        })
    }
}

message!(MembersAnswer, "members-answer");

impl Wire for MembersAnswer {
    type Proto = proto::MembersAnswer;

    fn to_proto(&self) -> proto::MembersAnswer {
        proto::MembersAnswer {
            head: Some(self.head.to_proto()),
            known: self.known.iter().map(Wire::to_proto).collect(),
            more: self.more,
        }
    }

    fn from_proto(proto: proto::MembersAnswer) -> Result<Self, WireError> {
        Ok(Self {
            head: required(proto.head)?,
            known: list(proto.known, limits::MEMBERS_PAGE_MAX)?,
            more: proto.more,
        })
    }
}
