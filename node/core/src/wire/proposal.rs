//! Proposals, what authorities say of themselves, and the exchange of both and of charters.

use chartmesh_proto::{body as proto, store};
use data_encoding::BASE64URL_NOPAD;
use prost::Message as _;

use super::{
    CharterAnswer, CharterRequest, Propose, ProposeAnswer, WireError,
    envelope::{decode_envelope, encode_envelope},
    field::{Term, Wire, array, body, list, message, optional, required},
};
use crate::{
    crypto::Envelope,
    membership::{AuthorityClaim, AuthorityOffer, NodeKeyChange, Proposal, ProposalKind},
    types::{MemberId, NetworkId, NodeKey, limits},
};

/// What a file of proposals starts with, version included.
const PROPOSALS: &str = "chartmesh-proposal-1:";
/// What an offer of an authority starts with.
const AUTHORITY: &str = "chartmesh-authority-1:";

/// What a change of node key starts with.
const NODE_KEY: &str = "chartmesh-node-key-1:";

impl Wire for Proposal {
    type Proto = proto::Proposal;

    fn to_proto(&self) -> proto::Proposal {
        proto::Proposal {
            kind: self.kind.number(),
            signed: Some(self.signed.to_proto()),
        }
    }

    fn from_proto(proto: proto::Proposal) -> Result<Self, WireError> {
        Ok(Self {
            kind: ProposalKind::term(proto.kind)?,
            signed: required(proto.signed)?,
        })
    }
}

body!(AuthorityClaim, "authority-claim");

impl Wire for AuthorityClaim {
    type Proto = proto::AuthorityClaim;

    fn to_proto(&self) -> proto::AuthorityClaim {
        proto::AuthorityClaim {
            network: self.network.0.to_vec(),
            member: self.member.0.to_vec(),
            node_key: self.node_key.0.to_vec(),
        }
    }

    fn from_proto(proto: proto::AuthorityClaim) -> Result<Self, WireError> {
        Ok(Self {
            network: NetworkId(array(&proto.network)?),
            member: MemberId(array(&proto.member)?),
            node_key: NodeKey(array(&proto.node_key)?),
        })
    }
}

body!(AuthorityOffer, "authority-offer");

impl Wire for AuthorityOffer {
    type Proto = proto::AuthorityOffer;

    fn to_proto(&self) -> proto::AuthorityOffer {
        proto::AuthorityOffer {
            authority_key: self.authority_key.to_vec(),
            status_key: self.status_key.to_vec(),
            member: self.member.0.to_vec(),
            node_key: self.node_key.0.to_vec(),
            organization: Some(self.organization.to_proto()),
        }
    }

    fn from_proto(proto: proto::AuthorityOffer) -> Result<Self, WireError> {
        Ok(Self {
            authority_key: array(&proto.authority_key)?,
            status_key: array(&proto.status_key)?,
            member: MemberId(array(&proto.member)?),
            node_key: NodeKey(array(&proto.node_key)?),
            organization: required(proto.organization)?,
        })
    }
}

body!(NodeKeyChange, "node-key-change");

impl Wire for NodeKeyChange {
    type Proto = proto::NodeKeyChange;

    fn to_proto(&self) -> proto::NodeKeyChange {
        proto::NodeKeyChange {
            network: self.network.0.to_vec(),
            member: self.member.0.to_vec(),
            old_key: self.old_key.0.to_vec(),
            new_key: self.new_key.0.to_vec(),
        }
    }

    fn from_proto(proto: proto::NodeKeyChange) -> Result<Self, WireError> {
        Ok(Self {
            network: NetworkId(array(&proto.network)?),
            member: MemberId(array(&proto.member)?),
            old_key: NodeKey(array(&proto.old_key)?),
            new_key: NodeKey(array(&proto.new_key)?),
        })
    }
}

message!(Propose, "propose");

impl Wire for Propose {
    type Proto = proto::Propose;

    fn to_proto(&self) -> proto::Propose {
        proto::Propose {
            head: Some(self.head.to_proto()),
            claim: Some(self.claim.to_proto()),
            proposal: self.proposal.as_ref().map(Wire::to_proto),
        }
    }

    fn from_proto(proto: proto::Propose) -> Result<Self, WireError> {
        Ok(Self {
            head: required(proto.head)?,
            claim: required(proto.claim)?,
            proposal: optional(proto.proposal)?,
        })
    }
}

message!(ProposeAnswer, "propose-answer");

impl Wire for ProposeAnswer {
    type Proto = proto::ProposeAnswer;

    fn to_proto(&self) -> proto::ProposeAnswer {
        proto::ProposeAnswer {
            head: Some(self.head.to_proto()),
            claim: Some(self.claim.to_proto()),
            proposal: self.proposal.as_ref().map(Wire::to_proto),
        }
    }

    fn from_proto(proto: proto::ProposeAnswer) -> Result<Self, WireError> {
        Ok(Self {
            head: required(proto.head)?,
            claim: required(proto.claim)?,
            proposal: optional(proto.proposal)?,
        })
    }
}

message!(CharterRequest, "charters");

impl Wire for CharterRequest {
    type Proto = proto::CharterRequest;

    fn to_proto(&self) -> proto::CharterRequest {
        proto::CharterRequest {
            head: Some(self.head.to_proto()),
            after: self.after,
        }
    }

    fn from_proto(proto: proto::CharterRequest) -> Result<Self, WireError> {
        Ok(Self {
            head: required(proto.head)?,
            after: proto.after,
        })
    }
}

message!(CharterAnswer, "charters-answer");

impl Wire for CharterAnswer {
    type Proto = proto::CharterAnswer;

    fn to_proto(&self) -> proto::CharterAnswer {
        proto::CharterAnswer {
            head: Some(self.head.to_proto()),
            charter: self.charters.iter().map(Wire::to_proto).collect(),
            credential: self.credential.as_ref().map(Wire::to_proto),
        }
    }

    fn from_proto(proto: proto::CharterAnswer) -> Result<Self, WireError> {
        Ok(Self {
            head: required(proto.head)?,
            charters: list(proto.charter, limits::CHARTERS_MAX)?,
            credential: optional(proto.credential)?,
        })
    }
}

/// Proposals as the text of a file.
pub fn proposals_text(proposals: &[Proposal]) -> String {
    let file = proto::ProposalFile {
        proposal: proposals.iter().map(Wire::to_proto).collect(),
    };
    format!(
        "{PROPOSALS}{}",
        BASE64URL_NOPAD.encode(&file.encode_to_vec())
    )
}

/// Reads the text of a file of proposals.
///
/// # Errors
/// [`WireError`] where it is none.
pub fn parse_proposals(text: &str) -> Result<Vec<Proposal>, WireError> {
    let bytes = armored(text, PROPOSALS)?;
    let file = proto::ProposalFile::decode(&bytes[..]).map_err(|_| WireError::Encoding)?;
    list(file.proposal, limits::PROPOSAL_FILE_MAX)
}

/// A signed offer as text.
pub fn authority_text(offer: &Envelope) -> String {
    format!(
        "{AUTHORITY}{}",
        BASE64URL_NOPAD.encode(&encode_envelope(offer))
    )
}

/// Reads the text of a signed offer.
///
/// # Errors
/// [`WireError`] where it is none.
pub fn parse_authority(text: &str) -> Result<Envelope, WireError> {
    decode_envelope(&armored(text, AUTHORITY)?)
}

/// A signed change of node key as text.
pub fn node_key_text(change: &Envelope) -> String {
    format!(
        "{NODE_KEY}{}",
        BASE64URL_NOPAD.encode(&encode_envelope(change))
    )
}

/// Reads the text of a signed change of node key.
///
/// # Errors
/// [`WireError`] where it is none.
pub fn parse_node_key(text: &str) -> Result<Envelope, WireError> {
    decode_envelope(&armored(text, NODE_KEY)?)
}

fn armored(text: &str, prefix: &str) -> Result<Vec<u8>, WireError> {
    let rest = text
        .trim()
        .strip_prefix(prefix)
        .ok_or(WireError::Encoding)?;
    // Mail programs break long lines.
    let whole: String = rest.split_whitespace().collect();
    BASE64URL_NOPAD
        .decode(whole.as_bytes())
        .map_err(|_| WireError::Encoding)
}

/// The journal body of a proposal as it stands.
pub fn encode_proposal(proposal: &Proposal) -> Vec<u8> {
    store::ProposalRecord {
        proposal: Some(proposal.to_proto()),
    }
    .encode_to_vec()
}

/// Reads the journal body of a proposal.
///
/// # Errors
/// [`WireError`] where the bytes are no such body.
pub fn decode_proposal(bytes: &[u8]) -> Result<Proposal, WireError> {
    let record = store::ProposalRecord::decode(bytes).map_err(|_| WireError::Encoding)?;
    required(record.proposal)
}

/// The journal body of a valid charter that is not in force.
pub fn encode_charter_seen(charter: &Envelope) -> Vec<u8> {
    store::CharterSeen {
        charter: Some(charter.to_proto()),
    }
    .encode_to_vec()
}

/// Reads the journal body of a valid charter that is not in force.
///
/// # Errors
/// [`WireError`] where the bytes are no such body.
pub fn decode_charter_seen(bytes: &[u8]) -> Result<Envelope, WireError> {
    let record = store::CharterSeen::decode(bytes).map_err(|_| WireError::Encoding)?;
    required(record.charter)
}

/// The journal body of an administrator's decision for a charter.
pub fn encode_charter_adopted(hash: &[u8; 32]) -> Vec<u8> {
    store::CharterAdopted {
        hash: hash.to_vec(),
    }
    .encode_to_vec()
}

/// Reads the journal body of an administrator's decision for a charter.
///
/// # Errors
/// [`WireError`] where the bytes are no such body.
pub fn decode_charter_adopted(bytes: &[u8]) -> Result<[u8; 32], WireError> {
    let record = store::CharterAdopted::decode(bytes).map_err(|_| WireError::Encoding)?;
    array(&record.hash)
}
