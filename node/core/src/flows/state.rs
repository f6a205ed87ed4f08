//! All state that decisions need: one struct behind one short mutex, never held across an await.
//!
//! The durable part is a fold of the journal: [`super::apply`] is the only code that changes it, at
//! start over the replay and afterwards over every commit, in journal order.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use super::{news::News, revoke::UnderWay};
use crate::{
    audit::FloodCounter,
    crypto::{Envelope, OpeningKey, SecretKey, Tree},
    exchange::Leaves,
    locator::Handles,
    membership::{
        Chain, Charter, JoinRecord, Link, Member, Members, Proposal, Standing, Status, Trust,
    },
    policy::{Discoverability, Permit},
    records::{
        Consent, Consents, Demographics, Document, KeyId, Place, Record, StoreError, TicketIssued,
        Turns,
    },
    session::{Outbound, Peer, SessionError, Sessions},
    types::{
        ConsentId, DisclosureId, DocumentId, Handle, MemberId, NetworkId, NodeKey, PatientId,
        ProposalId, Span, Timestamp,
        limits::{CLOCK_WINDOW, RELEASE_WAIT_MAX, RELEASES_PENDING_MAX, RELEASES_PER_ASKER_MAX},
    },
    wire::ReleaseRequest,
};

/// The network this node belongs to.
#[derive(Clone)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// Its charter.
    pub charter: Charter,
    /// The charter as signed.
    pub envelope: Envelope,
    /// Every version of it.
    pub chain: Arc<Chain>,
}

impl Network {
    /// The network of a chain of charters.
    pub fn of(chain: Chain) -> Self {
        let link = chain.in_force().clone();
        Self {
            id: link.network,
            charter: link.charter.clone(),
            envelope: link.envelope.clone(),
            chain: Arc::new(chain),
        }
    }
}

/// A valid charter that is not in force.
#[derive(Clone)]
pub(super) struct SeenCharter {
    /// The charter.
    pub link: Link,
    /// One side of a fork, or a recovery that waits.
    pub standing: Standing,
    /// Since when this node knows it.
    pub first_seen: Timestamp,
}

/// What authorities are asked to sign.
#[derive(Clone)]
pub(super) struct Waiting {
    /// As it stands.
    pub proposal: Proposal,
    /// Since when this node knows it.
    pub since: Timestamp,
}

/// A patient of this node.
#[derive(Clone)]
pub struct Patient {
    /// Its id.
    pub id: PatientId,
    /// What identifies the person.
    pub demographics: Demographics,
    /// Where the record was imported from.
    pub source: String,
    /// The id it has there.
    pub local_id: String,
    /// Where the FHIR Patient lies in the journal.
    pub place: Place,
    /// Id of the on-demand bundle.
    pub summary: DocumentId,
    /// Set for this patient; none for the default of the node's kind.
    pub discoverability: Option<Discoverability>,
    /// FHIR resources besides the Patient.
    pub resources: u64,
    /// Journal position of the last change to what a bundle shows.
    pub revision: u64,
    /// When that was.
    pub changed: Timestamp,
}

/// Where an entry of the audit log lies, and what it is found by.
#[derive(Clone, Copy)]
pub(super) struct AuditPlace {
    /// Journal position.
    pub position: u64,
    /// Where.
    pub place: Place,
    /// About whom.
    pub patient: Option<PatientId>,
    /// Whether it says nothing and only fills the log up.
    pub is_padding: bool,
}

/// The newest checkpoint of the own log.
#[derive(Clone)]
pub(super) struct KeptCheckpoint {
    /// Leaves it covers.
    pub size: u64,
    /// As signed.
    pub note: Arc<str>,
}

/// A fetch that was answered and whose release may be asked for.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    /// By whom.
    pub asker: MemberId,
    /// Which document or snapshot.
    pub document: DocumentId,
    /// Since when.
    pub since: Timestamp,
}

/// A handle another node gave us.
#[derive(Clone, Copy)]
pub(super) struct Received {
    /// Own patient it is about, where there is one.
    pub(super) patient: Option<PatientId>,
    /// Who gave it.
    pub holder: MemberId,
    /// Until when.
    pub until: Timestamp,
}

/// A join request that came in, as it stands.
#[derive(Clone)]
pub(super) struct Join {
    /// The record.
    pub record: JoinRecord,
    /// When it came.
    pub received: Timestamp,
    /// Whether the applicant has collected its credential since this start.
    pub delivered: bool,
    /// How often it has asked with other keys since.
    pub keys_changed: u32,
}

/// When a member was last written to the journal, and whether it has changed since.
#[derive(Clone, Copy)]
pub(super) struct MemberWrite {
    /// When.
    pub at: Timestamp,
    /// Something is known that is not written.
    pub owed: bool,
}

/// Everything a decision may look at.
pub(super) struct State {
    // ---- the fold of the journal
    pub(super) position: u64,
    pub(super) network: Option<Network>,
    pub(super) members: Members,
    pub(super) trust: Trust,
    pub(super) tickets: BTreeMap<[u8; 32], TicketIssued>,
    pub(super) joins: BTreeMap<[u8; 32], Join>,
    pub(super) join_asked: Option<String>,
    pub(super) proposals: BTreeMap<ProposalId, Waiting>,
    pub(super) settled: VecDeque<Proposal>,
    pub(super) charters_seen: Vec<SeenCharter>,
    pub(super) charters_refused: BTreeSet<[u8; 32]>,
    pub(super) charter_adopted: Option<[u8; 32]>,
    pub(super) charter_since: Timestamp,
    pub(super) patients: BTreeMap<PatientId, Patient>,
    pub(super) found_by: BTreeMap<Vec<u8>, BTreeSet<PatientId>>,
    pub(super) by_source: BTreeMap<(String, String), PatientId>,
    pub(super) keys: BTreeMap<KeyId, SecretKey>,
    pub(super) directory: u64,
    pub(super) documents: BTreeMap<PatientId, BTreeMap<DocumentId, Document>>,
    pub(super) consents: BTreeMap<PatientId, Consents>,
    pub(super) consent_of: BTreeMap<ConsentId, PatientId>,
    pub(super) handles: Handles,
    pub(super) received: BTreeMap<Handle, Received>,
    pub(super) tree: Tree,
    pub(super) audit: Vec<AuditPlace>,
    pub(super) checkpoint: Option<KeptCheckpoint>,
    pub(super) checkpoints: Vec<Place>,
    // ---- what a restart forgets
    pub(super) sessions: Sessions,
    pub(super) outbound: BTreeMap<MemberId, Outbound>,
    pub(super) challenges: BTreeMap<MemberId, [u8; 16]>,
    pub(super) opening: Vec<Arc<OpeningKey>>,
    pub(super) key_set: Option<Envelope>,
    pub(super) node_record: Option<Envelope>,
    pub(super) sequence: u64,
    pub(super) addresses: Vec<Vec<u8>>,
    pub(super) capabilities: Vec<u32>,
    pub(super) turns: Turns,
    pub(super) flood: FloodCounter,
    pub(super) checkpoint_slot: Option<u64>,
    pub(super) pending: BTreeMap<DisclosureId, Pending>,
    pub(super) fetching: BTreeSet<[u8; 32]>,
    pub(super) leaves: Leaves,
    pub(super) budget: BTreeMap<MemberId, (u64, u32)>,
    pub(super) member_writes: BTreeMap<MemberId, MemberWrite>,
    pub(super) authority_of: BTreeMap<MemberId, [u8; 32]>,
    pub(super) news: News,
    pub(super) under_way: UnderWay,
    pub(super) problem: Option<StoreError>,
    pub(super) superseded: Option<(NodeKey, Timestamp)>,
    pub(super) twins: BTreeMap<MemberId, Timestamp>,
}

impl State {
    /// The charter's clock window, or the default before there is a charter.
    pub(super) fn clock_window(&self) -> Span {
        self.network
            .as_ref()
            .map_or(CLOCK_WINDOW, |network| network.charter.rules.clock_window)
    }

    /// The sequence of the next statement about ourselves: a time, and above every one before, since
    /// two statements of one sequence make us a liar.
    pub(super) fn next_sequence(&mut self, now: Timestamp) -> u64 {
        self.sequence = now.0.max(self.sequence + 1);
        self.sequence
    }

    /// Why a node that is no active member is refused.
    pub(super) fn refusal(&self, node: NodeKey) -> SessionError {
        match self.members.by_node_key(&node).map(Member::id) {
            Some(member) if self.trust.revocations.names(&member) => {
                SessionError::Revoked { member }
            }
            Some(_) => SessionError::NotMember { node },
            None => match self.members.by_retired_key(&node).map(Member::id) {
                Some(member) => SessionError::Revoked { member },
                None => SessionError::NotMember { node },
            },
        }
    }

    /// Whether this node can tell no longer who was revoked.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.network
            .as_ref()
            .is_some_and(|network| self.trust.is_stale(&network.chain, now))
    }

    /// The active member behind a node key.
    pub(super) fn peer(&self, node: NodeKey, now: Timestamp) -> Option<Peer> {
        let member = self.members.by_node_key(&node)?;
        (member.status(now) == Status::Active).then(|| peer_of(member))
    }

    /// A patient's consents in journal order.
    pub(super) fn consents_of(&self, patient: PatientId) -> &[Consent] {
        self.consents.get(&patient).map_or(&[], Consents::as_slice)
    }

    /// Remembers that a fetch was answered, so that its release can be asked for once.
    pub(super) fn expect_release(&mut self, disclosure: DisclosureId, pending: Pending) {
        let now = pending.since;
        self.pending
            .retain(|_, kept| now.since(kept.since) < RELEASE_WAIT_MAX);
        let of_asker = |kept: &Pending| kept.asker == pending.asker;
        let own = self.pending.values().filter(|kept| of_asker(kept)).count();
        if own >= RELEASES_PER_ASKER_MAX || self.pending.len() >= RELEASES_PENDING_MAX {
            // An asker with many open fetches loses its own oldest, not somebody else's.
            let oldest = self
                .pending
                .iter()
                .filter(|(_, kept)| own == 0 || of_asker(kept))
                .min_by_key(|(_, kept)| kept.since)
                .map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.pending.remove(&oldest);
            }
        }
        self.pending.insert(disclosure, pending);
    }

    /// The document a release names: one that was just fetched by this asker, of the permitted
    /// patient, with exactly this manifest.
    pub(super) fn released_document(
        &self,
        permit: &Permit,
        request: &ReleaseRequest,
    ) -> Option<Document> {
        let pending = self.pending.get(&request.disclosure)?;
        if pending.asker != permit.to() {
            return None;
        }
        let document = self
            .documents
            .get(&permit.patient())?
            .get(&pending.document)?;
        let named = document.id == request.document
            || self
                .patients
                .get(&permit.patient())
                .is_some_and(|patient| patient.summary == request.document)
                && document.snapshot.is_some();
        (named && document.manifest.hash() == request.manifest_hash).then(|| document.clone())
    }

    /// Index in the audit log of the entry at a journal position.
    pub(super) fn audit_index(&self, position: u64) -> Option<u64> {
        self.audit
            .binary_search_by_key(&position, |entry| entry.position)
            .ok()
            .map(|index| index as u64)
    }
}

/// Where a member said it can be reached (binary multiaddresses).
pub(super) fn addresses_of(member: &Member) -> Vec<Vec<u8>> {
    member.node_record().map_or_else(Vec::new, |record| {
        record.addresses.iter().map(|a| a.to_vec()).collect()
    })
}

/// A member as session and policy see it.
pub(super) fn peer_of(member: &Member) -> Peer {
    let credential = member.credential();
    Peer {
        member: credential.member,
        node_key: credential.node_key,
        organization: credential.organization.clone(),
    }
}

/// The state shared between a node's flows and the journal that feeds it.
#[derive(Clone)]
pub struct Fold(Arc<Mutex<State>>);

impl Fold {
    /// An empty state for a node; `boot` is drawn at each start.
    pub fn new(me: MemberId, boot: SecretKey) -> Self {
        Self(Arc::new(Mutex::new(State {
            position: 0,
            network: None,
            members: Members::default(),
            trust: Trust::default(),
            tickets: BTreeMap::new(),
            joins: BTreeMap::new(),
            join_asked: None,
            proposals: BTreeMap::new(),
            settled: VecDeque::new(),
            charters_seen: Vec::new(),
            charters_refused: BTreeSet::new(),
            charter_adopted: None,
            charter_since: Timestamp(0),
            patients: BTreeMap::new(),
            found_by: BTreeMap::new(),
            by_source: BTreeMap::new(),
            keys: BTreeMap::new(),
            directory: 0,
            documents: BTreeMap::new(),
            consents: BTreeMap::new(),
            consent_of: BTreeMap::new(),
            handles: Handles::default(),
            received: BTreeMap::new(),
            tree: Tree::default(),
            audit: Vec::new(),
            checkpoint: None,
            checkpoints: Vec::new(),
            sessions: Sessions::new(me, boot),
            outbound: BTreeMap::new(),
            challenges: BTreeMap::new(),
            opening: Vec::new(),
            key_set: None,
            node_record: None,
            sequence: 0,
            addresses: Vec::new(),
            capabilities: Vec::new(),
            turns: Turns::default(),
            flood: FloodCounter::default(),
            checkpoint_slot: None,
            pending: BTreeMap::new(),
            fetching: BTreeSet::new(),
            leaves: Leaves::default(),
            budget: BTreeMap::new(),
            member_writes: BTreeMap::new(),
            authority_of: BTreeMap::new(),
            news: News::default(),
            under_way: UnderWay::default(),
            problem: None,
            superseded: None,
            twins: BTreeMap::new(),
        })))
    }

    /// Adds keys of the keyring: at start all of them, later those of a batch.
    pub fn add_keys(&self, keys: impl IntoIterator<Item = (KeyId, SecretKey)>) {
        self.lock().keys.extend(keys);
    }

    /// Applies one record that is on the disk. Records come in journal order, each once.
    pub fn apply(&self, record: &Record) {
        let mut state = self.lock();
        if record.position <= state.position {
            return;
        }
        state.position = record.position;
        if super::apply::apply(&mut state, record).is_err() {
            state.problem = Some(StoreError::Integrity {
                position: record.position,
            });
        }
    }

    /// Says that the store cannot be trusted or written: peers get `UNAVAILABLE` from here on.
    pub fn halt(&self, problem: StoreError) {
        self.lock().problem = Some(problem);
    }

    /// What is wrong with the store, if anything.
    pub fn problem(&self) -> Option<StoreError> {
        self.lock().problem
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock can only come from a defect; what was applied is still whole,
        // since every change is one record.
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{Entry, Kind},
        records::{HandleReceived, RecordKind, Scope},
        wire,
    };

    fn numbered(number: u64) -> DisclosureId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        DisclosureId(id)
    }

    fn pending(asker: u8, since: u64) -> Pending {
        Pending {
            asker: MemberId([asker; 16]),
            document: DocumentId([2; 16]),
            since: Timestamp(since),
        }
    }

    #[test]
    fn a_fetch_waits_release_wait_max_for_its_release() {
        let fold = Fold::new(MemberId([9; 16]), SecretKey::default());
        let mut state = fold.lock();
        state.expect_release(numbered(0), pending(1, 0));
        state.expect_release(numbered(1), pending(1, 1));
        assert_eq!(state.pending.len(), 2);

        state.expect_release(numbered(2), pending(1, RELEASE_WAIT_MAX.0));

        assert!(!state.pending.contains_key(&numbered(0)), "waited too long");
        assert!(state.pending.contains_key(&numbered(1)));
    }

    #[test]
    fn an_asker_beyond_releases_per_asker_max_loses_its_own_oldest_fetch() {
        let fold = Fold::new(MemberId([9; 16]), SecretKey::default());
        let mut state = fold.lock();
        state.expect_release(numbered(0), pending(1, 1));
        for number in 1..=RELEASES_PER_ASKER_MAX as u64 {
            state.expect_release(numbered(number), pending(2, number + 1));
        }
        assert_eq!(state.pending.len(), RELEASES_PER_ASKER_MAX + 1);

        state.expect_release(numbered(999), pending(2, 999));

        assert_eq!(state.pending.len(), RELEASES_PER_ASKER_MAX + 1);
        assert!(state.pending.contains_key(&numbered(0)), "somebody else's");
        assert!(!state.pending.contains_key(&numbered(1)));
    }

    #[test]
    fn all_askers_together_have_releases_pending_max_fetches_open() {
        let fold = Fold::new(MemberId([9; 16]), SecretKey::default());
        let mut state = fold.lock();
        for number in 0..RELEASES_PENDING_MAX as u64 {
            let asker = (number / RELEASES_PER_ASKER_MAX as u64) as u8;
            state.expect_release(numbered(number), pending(asker, number));
        }
        assert_eq!(state.pending.len(), RELEASES_PENDING_MAX);

        state.expect_release(numbered(u64::MAX), pending(200, 9_999));

        assert_eq!(state.pending.len(), RELEASES_PENDING_MAX);
        assert!(!state.pending.contains_key(&numbered(0)), "the oldest goes");
    }

    fn record(position: u64, kind: RecordKind, body: Option<Vec<u8>>) -> Record {
        Record {
            position,
            time: Timestamp(position),
            kind,
            scope: Scope::Store,
            leaf: [position as u8; 32],
            place: Place {
                file: 0,
                offset: position,
                len: 1,
            },
            body: body.map(Into::into),
        }
    }

    fn entry() -> Option<Vec<u8>> {
        Some(wire::encode_audit(&(&Entry::new(Kind::Imported)).into()))
    }

    fn fold() -> Fold {
        Fold::new(MemberId([9; 16]), SecretKey::default())
    }

    #[test]
    fn a_record_is_applied_once_whatever_is_said_again() {
        let fold = fold();
        for position in [1, 2, 2, 1, 3, 3] {
            fold.apply(&record(position, RecordKind::Audit, entry()));
        }

        let state = fold.lock();
        assert_eq!(
            (state.position, state.tree.len(), state.audit.len()),
            (3, 3, 3)
        );
    }

    #[test]
    fn an_entry_whose_key_was_erased_keeps_its_place_and_is_about_nobody() {
        let fold = fold();
        fold.apply(&record(1, RecordKind::Audit, entry()));

        fold.apply(&record(2, RecordKind::Audit, None));
        fold.apply(&record(3, RecordKind::Consent, None));

        let state = fold.lock();
        assert_eq!((state.tree.len(), state.audit.len()), (2, 2));
        assert_eq!(state.audit_index(2), Some(1));
        assert_eq!(state.audit_index(3), None);
        assert!(state.audit[1].patient.is_none());
        assert_eq!(state.problem, None);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_a_problem_that_names_it() {
        let fold = fold();
        fold.apply(&record(1, RecordKind::Audit, entry()));
        assert_eq!(fold.problem(), None);

        fold.apply(&record(2, RecordKind::Audit, Some(vec![0xFF])));

        assert_eq!(fold.problem(), Some(StoreError::Integrity { position: 2 }));
    }

    #[test]
    fn a_handle_that_was_given_is_forgotten_at_its_end() {
        for (next, held) in [(4, 2), (5, 1)] {
            let fold = fold();
            for (position, id) in [(1, 1), (next, 2)] {
                let received = HandleReceived {
                    handle: Handle([id; 20]),
                    holder: MemberId([2; 16]),
                    patient: None,
                    until: Timestamp(u64::from(id) * 5),
                };
                let body = wire::encode_handle_received(&received);
                fold.apply(&record(position, RecordKind::HandleReceived, Some(body)));
            }

            assert_eq!(fold.lock().received.len(), held, "{next}");
        }
    }
}
