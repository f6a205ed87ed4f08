//! Records of the journal, before and after they are on the disk.

use super::{Matter, TurnGuard};
use crate::{
    crypto::SecretKey,
    types::{PatientId, Timestamp},
};
use bytes::Bytes;

/// Which key of the keyring seals a record: all zero the store's own, else a patient's (its id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 16]);

impl KeyId {
    /// The store's own key.
    pub const STORE: Self = Self([0; 16]);
}

impl From<PatientId> for KeyId {
    fn from(patient: PatientId) -> Self {
        Self(patient.0)
    }
}

/// Whose key seals a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The store's.
    Store,
    /// One patient's; erasing that key erases the content.
    Patient(PatientId),
}

impl Scope {
    /// The key that seals it.
    pub fn key_id(self) -> KeyId {
        match self {
            Self::Store => KeyId::STORE,
            Self::Patient(patient) => patient.into(),
        }
    }
}

/// What a record is about; its number is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// A charter this node follows.
    Charter = 1,
    /// What is known of a member, this node included.
    Member = 2,
    /// A ticket was issued here.
    TicketIssued = 3,
    /// A join request came in, or was decided.
    Join = 4,
    /// This node asked to join.
    JoinAsked = 5,
    /// A patient.
    Patient = 6,
    /// A FHIR resource.
    Resource = 7,
    /// A document file, or a snapshot.
    Document = 8,
    /// A consent: grant, deny, opt-out, opt-in.
    Consent = 9,
    /// A consent was revoked.
    Revoke = 10,
    /// An entry of the audit log.
    Audit = 11,
    /// A handle was given to an asker.
    Handle = 12,
    /// A handle was received from a holder.
    HandleReceived = 13,
    /// What authorities are asked to sign, as it stands.
    Proposal = 14,
    /// A valid charter that is not in force.
    CharterSeen = 15,
    /// An administrator decided for a charter.
    CharterAdopted = 16,
    /// A revocation list this node goes by, or its rival.
    Revocations = 17,
    /// A heartbeat.
    Heartbeat = 18,
    /// A checkpoint of this node's audit log.
    Checkpoint = 30,
}

impl RecordKind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::Charter,
        Self::Member,
        Self::TicketIssued,
        Self::Join,
        Self::JoinAsked,
        Self::Patient,
        Self::Resource,
        Self::Document,
        Self::Consent,
        Self::Revoke,
        Self::Audit,
        Self::Handle,
        Self::HandleReceived,
        Self::Proposal,
        Self::CharterSeen,
        Self::CharterAdopted,
        Self::Revocations,
        Self::Heartbeat,
        Self::Checkpoint,
    ];

    /// Reads the number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// A record before it is written.
#[derive(Clone)]
pub struct Draft {
    /// What it is about.
    pub kind: RecordKind,
    /// Whose key seals it.
    pub scope: Scope,
    /// Encoded body (`chartmesh.store.v1`).
    pub body: Bytes,
}

/// Records that become true together: effects and their audit entries.
#[derive(Clone, Default)]
pub struct Batch {
    /// In the order in which they are applied.
    pub drafts: Vec<Draft>,
    /// Keys of new patients; in the keyring, durably, before the records that they seal.
    pub keys: Vec<(KeyId, SecretKey)>,
    pub(super) turns: Vec<TurnGuard>,
}

impl Batch {
    /// A batch that was decided on in a turn, which does not end before the batch has taken effect.
    pub fn within(turn: &TurnGuard) -> Self {
        Self {
            turns: vec![turn.clone()],
            ..Self::default()
        }
    }

    /// As [`Self::within`], in another turn too.
    pub fn also_within(&mut self, turn: &TurnGuard) {
        self.turns.push(turn.clone());
    }

    /// Adds a record.
    pub fn push(&mut self, kind: RecordKind, scope: Scope, body: impl Into<Bytes>) {
        self.drafts.push(Draft {
            kind,
            scope,
            body: body.into(),
        });
    }
}

/// Where a record lies in its journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// First position of the journal file, which names it.
    pub file: u64,
    /// Bytes from the start of the file to the record.
    pub offset: u64,
    /// Length of the whole record in bytes.
    pub len: u32,
}

/// A record that is on the disk.
#[derive(Clone)]
pub struct Record {
    /// Its number, counted from 1 over the node's life.
    pub position: u64,
    /// When it was committed.
    pub time: Timestamp,
    /// What it is about.
    pub kind: RecordKind,
    /// Whose key seals it.
    pub scope: Scope,
    /// RFC 9162 leaf hash of the record as it lies: SHA-256(0x00 | record).
    pub leaf: [u8; 32],
    /// Where it lies.
    pub place: Place,
    /// The opened body; none where its key was erased.
    pub body: Option<Bytes>,
}

/// Proof that a batch is on the disk; only the journal of this crate makes one, after its sync.
pub struct Recorded {
    records: Vec<Record>,
    keys: Vec<(KeyId, SecretKey)>,
    turns: Vec<TurnGuard>,
}

impl Recorded {
    /// Made by [`super::Log::sync`] and by nothing else.
    pub(super) fn new(
        records: Vec<Record>,
        keys: Vec<(KeyId, SecretKey)>,
        turns: Vec<TurnGuard>,
    ) -> Self {
        Self {
            records,
            keys,
            turns,
        }
    }

    /// Whether it was decided on in the turn of a matter, which lasts at least as long as this.
    pub fn is_within(&self, matter: Matter) -> bool {
        self.turns.iter().any(|turn| turn.matter() == matter)
    }

    /// The records in order, for [`crate::flows`] to apply.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Keys that came with the batch.
    pub fn keys(&self) -> &[(KeyId, SecretKey)] {
        &self.keys
    }
}
