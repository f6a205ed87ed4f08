//! The organisation that runs a node, and the statements that make it a member.

use bytes::Bytes;

use super::{MembershipError, StatementError};
use crate::{
    crypto::{Envelope, SignatureError},
    types::{Incarnation, Kind, MemberId, NetworkId, NodeKey, Span, Timestamp},
};

/// An organisation that runs a node. Public among members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Name.
    pub name: String,
    /// Kind of provider.
    pub kind: Kind,
    /// National Provider Identifier, 10 digits, or empty.
    pub npi: String,
    /// OID, or empty.
    pub oid: String,
    /// Postal address.
    pub address: String,
    /// Whom to write to.
    pub contact: String,
    /// Telephone for clinicians.
    pub phone: String,
    /// Opening hours in words.
    pub hours: String,
    /// State, two letters in the US.
    pub state: String,
    /// A substance-use program under 42 CFR Part 2.
    pub part2: bool,
    /// Test data only.
    pub test: bool,
}

/// Which template the charter follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// Deny by default.
    OptIn,
    /// Permit treatment by default.
    UsTreatment,
}

/// The rules a charter fixes (`policy.md` 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Version of this set of fields; 1.
    pub version: u32,
    /// How far clocks may be apart.
    pub clock_window: Span,
    /// Most members a question goes to directly.
    pub direct_max: u32,
    /// How long a handle is valid.
    pub handle_life: Span,
    /// Years that evidence of consent is kept.
    pub keep_evidence_years: u32,
    /// Years that audit is kept.
    pub keep_audit_years: u32,
    /// Years that Part 2 lists are kept.
    pub keep_part2_years: u32,
    /// Within which a break-glass use is reviewed.
    pub review: Span,
    /// Before a change takes effect.
    pub notice: Span,
    /// Locate questions an asker may put to one holder a day.
    pub locate_per_day: u32,
    /// SHA-256 of the participation agreement; none where there is none.
    pub agreement_sha256: Option<[u8; 32]>,
    /// Its address.
    pub agreement_url: String,
    /// How long a node goes on disclosing without hearing that its revocation list is the newest.
    pub max_staleness: Span,
}

/// A network's charter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    /// 0 for the genesis.
    pub version: u64,
    /// The network's name.
    pub name: String,
    /// Network id; none in the genesis.
    pub network: Option<NetworkId>,
    /// SHA-256 of the version before; none in the genesis.
    pub previous: Option<[u8; 32]>,
    /// Ed25519 keys of the authorities, ascending.
    pub authorities: Vec<[u8; 32]>,
    /// How many must sign; more than half.
    pub threshold: u32,
    /// Template.
    pub template: Template,
    /// Rules.
    pub rules: Rules,
    /// Test data only.
    pub test: bool,
    /// When it was made.
    pub issued_at: Timestamp,
    /// Keys that may only replace the authorities.
    pub recovery_keys: Vec<[u8; 32]>,
    /// Lowest suite for sealing; 0x647A.
    pub minimum_suite: u32,
    /// Makes two networks of one name differ.
    pub nonce: [u8; 16],
    /// Ed25519 keys that may sign heartbeats and revocations and nothing else, ascending.
    pub status_keys: Vec<[u8; 32]>,
    /// How many of them must sign; more than half, 0 where there are none.
    pub status_threshold: u32,
    /// Credentials that only authorities of an older version signed count no longer.
    pub counts_from: u64,
}

/// Binds a member id to an organisation and a node key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The network.
    pub network: NetworkId,
    /// The member.
    pub member: MemberId,
    /// Its node key.
    pub node_key: NodeKey,
    /// Its organisation.
    pub organization: Organization,
    /// From when.
    pub valid_from: Timestamp,
    /// Until when.
    pub valid_until: Timestamp,
    /// Rises with each new credential of the member.
    pub sequence: u64,
}

/// A public sealing key of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HpkeKey {
    /// First 8 bytes of SHA-256(public).
    pub id: [u8; 8],
    /// HPKE KEM id.
    pub suite: u32,
    /// The public key, 1,216 bytes.
    pub public: Bytes,
}

/// A member's sealing keys and audit key, signed by its node key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// The member.
    pub member: MemberId,
    /// Rises with each new set.
    pub sequence: u64,
    /// Newest first.
    pub keys: Vec<HpkeKey>,
    /// Ed25519 key that signs audit checkpoints.
    pub audit_key: [u8; 32],
    /// From when.
    pub valid_from: Timestamp,
    /// Until when; at most [`crate::types::limits::KEY_SET_LIFE`] later.
    pub valid_until: Timestamp,
}

/// Where a member can be reached, signed by its node key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// The member.
    pub member: MemberId,
    /// Multiaddresses in binary form.
    pub addresses: Vec<Bytes>,
    /// Rises with each new record.
    pub sequence: u64,
    /// Until when.
    pub expiry: Timestamp,
    /// What else the node does: numbers of `capability`; unknown ones say nothing.
    pub capabilities: Vec<u32>,
    /// Which copy of the node.
    pub incarnation: Incarnation,
}

/// What is known of one member, as signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Known {
    /// Signed by the charter's authorities.
    pub credential: Envelope,
    /// Signed by the member's node key.
    pub key_set: Option<Envelope>,
    /// Signed by the member's node key.
    pub node_record: Option<Envelope>,
}

impl Known {
    /// What its credential claims, of whomever it is.
    ///
    /// # Errors
    /// [`MembershipError::Statement`] where it cannot be read.
    pub fn claimed(&self) -> Result<Credential, MembershipError> {
        let claimed = self.credential.claims::<Credential>();
        Ok(claimed.map_err(|error| StatementError::from(SignatureError::from(error)))?)
    }
}

/// An applicant asks to join; repeated, it asks how the request stands.
#[derive(Clone)]
pub struct JoinRequest {
    /// Names the ticket without its secret.
    pub ticket: [u8; 32],
    /// HMAC-SHA-256 under the ticket key over the inviter's node key and the body with this
    /// field all zero.
    pub mac: [u8; 32],
    /// The applicant's node key.
    pub node_key: NodeKey,
    /// The member id it drew.
    pub member: MemberId,
    /// Its key set.
    pub key_set: Envelope,
    /// Its organisation.
    pub organization: Organization,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// Where it can be reached.
    pub node_record: Option<Envelope>,
}

/// How a join request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinState {
    /// Waits for the authorities.
    Pending,
    /// Admitted.
    Approved,
    /// Refused.
    Refused,
}

/// The inviter's answer.
#[derive(Clone)]
pub struct JoinAnswer {
    /// How it stands.
    pub state: JoinState,
    /// HMAC-SHA-256 under the ticket key over the request's hash and the body with this field
    /// all zero.
    pub mac: [u8; 32],
    /// Once approved.
    pub credential: Option<Envelope>,
    /// Once approved.
    pub charter: Option<Envelope>,
    /// Once approved: members the newcomer can start from.
    pub peers: Vec<Known>,
    /// The inviter's node key.
    pub node_key: NodeKey,
    /// Once approved: the charter's versions after the genesis, ascending.
    pub later_charters: Vec<Envelope>,
    /// Once approved: the newest revocation list, where there is one.
    pub revocations: Option<Envelope>,
    /// Once approved: the newest heartbeat.
    pub heartbeat: Option<Envelope>,
}

/// A ticket was used, or a join was decided: what the journal keeps of it.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinRecord {
    /// Names the ticket without its secret.
    pub ticket: [u8; 32],
    /// The signed request.
    pub request: Envelope,
    /// How it stands.
    pub state: JoinState,
    /// Once approved.
    pub credential: Option<Envelope>,
    /// When somebody else first asked with the same ticket.
    pub reused: Option<Timestamp>,
}

impl JoinRecord {
    /// Whether a request is by the node and member that asked first; its signature is not looked at.
    pub fn is_of_same_applicant(&self, request: &Envelope) -> bool {
        let subject = |request: &Envelope| Some(request.claims::<JoinRequest>().ok()?.subject());
        subject(&self.request).is_some_and(|first| subject(request) == Some(first))
    }
}
