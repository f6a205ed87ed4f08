//! The messages nodes exchange, as parsed values. None of them has a `Debug`: most carry demographics.

use bytes::Bytes;

use crate::{
    crypto::{Envelope, SecretKey},
    matching::{Agreement, Attribute, Grade},
    membership::{Known, ListHead, Proposal},
    records::{Coding, Demographics},
    types::{
        DisclosureId, DocumentId, Handle, MemberId, NetworkId, NodeKey, PeerCode, Purpose, QueryId,
        Role, Timestamp, UserId,
    },
};

/// Who speaks to whom, when; part of every message.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    /// The sender; all zero before it has a credential.
    pub member: MemberId,
    /// The sender's node key.
    pub key: NodeKey,
    /// The network.
    pub network: NetworkId,
    /// The receiver; all zero in `Hello`, where the sender may not know it.
    pub audience: MemberId,
    /// The receiver's challenge; none in `Hello`.
    pub challenge: Option<[u8; 16]>,
    /// When it was sent, by the sender's clock.
    pub sent_at: Timestamp,
    /// When it dies, by the sender's clock.
    pub expiry: Timestamp,
    /// SHA-256 of the question's body; answers only.
    pub answers: Option<[u8; 32]>,
    /// The sender's challenge for the receiver's next message.
    pub next_challenge: Option<[u8; 16]>,
}

/// A message: a signed body that begins with a [`Head`].
pub trait Message: crate::crypto::Body {
    /// The head.
    fn head(&self) -> &Head;
}

/// First call both ways; its answer is a `Hello` too.
#[derive(Clone)]
pub struct Hello {
    /// Who speaks.
    pub head: Head,
    /// Protocol version; 1.
    pub version: u32,
    /// The sender's credential.
    pub credential: Envelope,
    /// The sender's key set.
    pub key_set: Envelope,
    /// Version and hash of the charter the sender follows.
    pub charter_version: u64,
    /// SHA-256 of that charter's body.
    pub charter_hash: [u8; 32],
    /// Version of the newest revocation list the sender knows; 0 for none.
    pub revocations: u64,
    /// Where the sender can be reached.
    pub node_record: Option<Envelope>,
}

/// Who else is there?
#[derive(Clone)]
pub struct MembersRequest {
    /// Who asks.
    pub head: Head,
    /// Go on behind this member.
    pub after: Option<MemberId>,
}

/// What the sender knows of other members, in order of member id.
#[derive(Clone)]
pub struct MembersAnswer {
    /// Who answers.
    pub head: Head,
    /// Credential, key set and node record of each.
    pub known: Vec<Known>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// A proposal for another authority; without one it only asks who the receiver is.
#[derive(Clone)]
pub struct Propose {
    /// Who proposes.
    pub head: Head,
    /// The sender's claim to an authority key.
    pub claim: Envelope,
    /// What is proposed, with the signatures the sender has.
    pub proposal: Option<Proposal>,
}

/// The same proposal with the signatures of both.
#[derive(Clone)]
pub struct ProposeAnswer {
    /// Who answers.
    pub head: Head,
    /// The receiver's claim to an authority key.
    pub claim: Envelope,
    /// What the receiver holds of the proposal; none where it is settled or unknown to it.
    pub proposal: Option<Proposal>,
}

/// Which versions of the charter are there? Signed by a node key.
#[derive(Clone)]
pub struct CharterRequest {
    /// Who asks.
    pub head: Head,
    /// Versions above this one.
    pub after: u64,
}

/// Versions of the charter, ascending; each proves itself.
#[derive(Clone)]
pub struct CharterAnswer {
    /// Who answers.
    pub head: Head,
    /// As signed.
    pub charters: Vec<Envelope>,
    /// The newest credential of the asker that the receiver knows.
    pub credential: Option<Envelope>,
}

/// What does the receiver know of who was revoked?
#[derive(Clone)]
pub struct TrustRequest {
    /// Who asks.
    pub head: Head,
    /// The sender's newest revocation list; none where it knows none.
    pub list: Option<ListHead>,
    /// When the sender's newest heartbeat was signed.
    pub heartbeat_at: Option<Timestamp>,
    /// Changes with what the sender knows of the members.
    pub members: u64,
    /// The sender has news: ask it in turn.
    pub tell: bool,
    /// A heartbeat that others are asked to sign as well.
    pub beat: Option<Envelope>,
}

/// What the receiver knows, and what of it is newer.
#[derive(Clone)]
pub struct TrustAnswer {
    /// Who answers.
    pub head: Head,
    /// The answerer's newest revocation list; none where it knows none.
    pub list: Option<ListHead>,
    /// When the answerer's newest heartbeat was signed.
    pub heartbeat_at: Option<Timestamp>,
    /// Changes with what the answerer knows of the members.
    pub members: u64,
    /// The list, where the asker lacks it.
    pub revocations: Option<Envelope>,
    /// The heartbeat, where the asker's is older.
    pub heartbeat: Option<Envelope>,
    /// The heartbeat that was to be signed, with the answerer's signature alone.
    pub beat: Option<Envelope>,
}

/// Do you hold records for this patient?
#[derive(Clone)]
pub struct LocateRequest {
    /// Who asks.
    pub head: Head,
    /// The same at every member asked.
    pub query: QueryId,
    /// Why.
    pub purpose: Purpose,
    /// Which user, by pseudonym.
    pub user: UserId,
    /// What that user is there.
    pub role: Role,
    /// Whom.
    pub demographics: Demographics,
    /// Milliseconds the asker still waits.
    pub deadline_ms: u32,
    /// 0, or 1 after more-needed.
    pub round: u32,
}

/// What a holder answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody, or nobody this asker may know of.
    None,
    /// One.
    Match,
    /// Several.
    Matches,
    /// More attributes are needed.
    MoreNeeded,
    /// Refused before any look-up.
    Refused(PeerCode),
}

/// The answer, padded to one size by its encoding.
#[derive(Clone)]
pub struct LocateAnswer {
    /// Who answers.
    pub head: Head,
    /// What.
    pub outcome: Outcome,
    /// At most [`crate::types::limits::MATCHES_MAX`].
    pub matches: Vec<Match>,
    /// With [`Outcome::MoreNeeded`]: which.
    pub requested: Vec<Attribute>,
}

/// One patient of the holder.
#[derive(Clone)]
pub struct Match {
    /// For further questions.
    pub handle: Handle,
    /// How sure the holder is.
    pub grade: Grade,
    /// Thousandths.
    pub score_permille: u32,
    /// Each attribute sent, compared.
    pub mirror: Vec<(Attribute, Agreement)>,
    /// Where certain: first name, birth date, sex.
    pub demographics: Option<Demographics>,
}

/// Which documents may I see?
#[derive(Clone)]
pub struct ListRequest {
    /// Who asks.
    pub head: Head,
    /// Of whom.
    pub handle: Handle,
    /// Why.
    pub purpose: Purpose,
    /// Which user.
    pub user: UserId,
    /// What that user is there.
    pub role: Role,
    /// LOINC codes; empty for all.
    pub types: Vec<String>,
    /// Not before this ISO date.
    pub since: Option<String>,
    /// Not after this ISO date.
    pub until: Option<String>,
    /// At most so many; at most [`crate::types::limits::LIST_MAX`].
    pub limit: u32,
}

/// What the asker may see, newest first, summaries first.
#[derive(Clone)]
pub struct ListAnswer {
    /// Who answers.
    pub head: Head,
    /// The documents.
    pub entries: Vec<DocumentEntry>,
    /// Whether that is all this asker may see of what was asked.
    pub complete: bool,
    /// Leaf of the holder's audit entry.
    pub leaf: [u8; 32],
}

/// What may be known of a document before it is fetched.
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentEntry {
    /// Its id at the holder.
    pub id: DocumentId,
    /// LOINC type.
    pub coding: Coding,
    /// Title.
    pub title: String,
    /// FHIR DocumentReference.status.
    pub status: String,
    /// When it was made.
    pub date: Timestamp,
    /// Who wrote it.
    pub author: String,
    /// For which organisation.
    pub author_organization: String,
    /// MIME type.
    pub content_type: String,
    /// Format code, where known.
    pub format: String,
    /// Made when it is fetched.
    pub on_demand: bool,
    /// Bytes; none on demand.
    pub size: Option<u64>,
    /// SHA-256; none on demand.
    pub sha256: Option<[u8; 32]>,
    /// Security labels.
    pub labels: Vec<String>,
}

/// Ciphertext of one document, please.
#[derive(Clone)]
pub struct FetchRequest {
    /// Who asks.
    pub head: Head,
    /// Of whom.
    pub handle: Handle,
    /// Which.
    pub document: DocumentId,
    /// Why.
    pub purpose: Purpose,
    /// Which user.
    pub user: UserId,
    /// What that user is there.
    pub role: Role,
    /// Root of a part file and the first chunk it lacks.
    pub resume: Option<([u8; 32], u64)>,
}

/// First part of a fetch.
#[derive(Clone)]
pub struct FetchHead {
    /// Who answers.
    pub head: Head,
    /// The holder's signed manifest of the file.
    pub manifest: Envelope,
    /// What joins the two audit entries.
    pub disclosure: DisclosureId,
    /// Chunks of the file, its header included.
    pub chunks: u64,
    /// First chunk that follows.
    pub from_chunk: u64,
    /// SHA-256("chartmesh/1/subject" | handle), first 16 bytes.
    pub subject: [u8; 16],
}

/// Every byte is here and the root agrees: may I have the key?
#[derive(Clone)]
pub struct ReleaseRequest {
    /// Who asks.
    pub head: Head,
    /// Of whom.
    pub handle: Handle,
    /// Which.
    pub document: DocumentId,
    /// From the fetch's head.
    pub disclosure: DisclosureId,
    /// SHA-256 of the manifest's body.
    pub manifest_hash: [u8; 32],
    /// Root of what arrived.
    pub root: [u8; 32],
    /// Why.
    pub purpose: Purpose,
    /// Which user.
    pub user: UserId,
    /// What that user is there.
    pub role: Role,
}

/// The key, and the holder's signed statement of the disclosure.
#[derive(Clone)]
pub struct ReleaseAnswer {
    /// Who answers.
    pub head: Head,
    /// Opens exactly one file.
    pub content_key: SecretKey,
    /// A signed [`crate::records::Disclosure`].
    pub release: Envelope,
    /// What the log promises of its entry, as a signed note; empty from a node that promises nothing.
    pub promise: String,
}

/// Refused, told inside the seal.
#[derive(Clone)]
pub struct Refused {
    /// Who answers.
    pub head: Head,
    /// Why, coarsely.
    pub code: PeerCode,
    /// The responder's clock.
    pub now: Timestamp,
}

/// A sealed message as it crosses the wire.
#[derive(Clone)]
pub struct Sealed {
    /// Suite, key, session, counter and encapsulated key; authenticated with the ciphertext.
    pub header: crate::crypto::OuterHeader,
    /// The sealed [`Envelope`].
    pub ciphertext: Bytes,
}
