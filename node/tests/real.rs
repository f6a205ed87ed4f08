//! Whole nodes in one process: real directories, real sockets on loopback, the same flows as the
//! simulation, and no command line.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chartmesh_core::{
    crypto::SecretKey,
    flows::{
        Actor, Description, Fetch, FlowError, Imported, Mode, Node as Flows, Search, Statement,
        Told, Wanted, in_memory,
    },
    locator::{Answer, Line},
    membership::{Founding, JoinState, Organization, Rules, Template},
    records::{
        Batch, Coding, ConsentForm, Demographics, Log, Name, Provision, RecordKind, Scope,
        StoreError, Target, TicketIssued,
    },
    types::{
        Code, ConsentId, DocumentId, Handle, Kind, PatientId, PeerCode, Purpose, Role, Sex, Span,
        Timestamp, UserId,
        limits::{LOCATE_DEADLINE, TICKET_LIFE},
    },
    wire::{self, DocumentEntry},
};
use chartmesh_node::{
    api::admin::Admin,
    boot::{self, BootError, Making},
    daemon::{Daemon, Reach},
    store::{DirDisk, key},
    world::{RealWorld, system_time},
};
use chartmesh_proto::admin::{
    ConsentRequest, DoctorRequest, Empty, ExplainRequest, admin_server::Admin as _,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tonic::Request;
use zeroize::Zeroizing;

/// Generous: a machine under load must not fail a test.
const PATIENCE: Duration = Duration::from_secs(60);
/// Several chunks of a document file, the last one cut.
const REPORT_BYTES: usize = 700_001;
const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// A clinic reads a hospital's report only while the patient's consent stands, and a third member
/// that the consent does not name reads nothing at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_consented_document_arrives_whole_and_none_after_the_revocation() {
    for listen in [TCP, QUIC] {
        a_consented_document_arrives_over(listen).await;
    }
}

async fn a_consented_document_arrives_over(listen: &str) {
    let (hospital, clinic) = network_over(&[listen]).await;
    let pharmacy = Node::made_at("Pharmacy C", Kind::Pharmacy, &[listen]).await;
    pharmacy.joins(&hospital).await;
    let (patient, report) = hospital.has_a_patient_with_a_report().await;

    let handle = clinic.locates(&hospital).await;
    assert_eq!(clinic.reports(handle).await.err(), Some(Code::Denied));

    let consent = hospital.grants(patient, &clinic).await;
    let entries = clinic.reports(handle).await.expect("a list");
    assert_eq!(entries.len(), 1);
    let fetched = clinic.fetches(handle, &entries[0]).await;
    assert!(fetched.expect("a document") == report);
    let other = pharmacy.locates(&hospital).await;
    assert_eq!(pharmacy.reports(other).await.err(), Some(Code::Denied));

    let actor = actor();
    let revoked = hospital.flows().revoke(&actor, consent).await;
    assert!(revoked.is_ok());
    let refused = clinic.fetches(handle, &entries[0]).await;
    assert_eq!(refused.err(), Some(Code::Denied));
    assert_eq!(clinic.reports(handle).await.err(), Some(Code::Denied));
    let accounting = hospital.flows().accounting(patient).await;
    assert_eq!(accounting.expect("an accounting").len(), 1);
    for node in [hospital, clinic, pharmacy] {
        node.stop().await;
    }
}

/// A restart forgets nothing: members, records, consents, the handle that was given, the audit log.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_started_anew_from_its_directory_is_the_same_node() {
    let (hospital, clinic) = network().await;
    let (patient, report) = hospital.has_a_patient_with_a_report().await;
    let consent = hospital.grants(patient, &clinic).await;
    let handle = clinic.locates(&hospital).await;
    let entries = clinic.reports(handle).await.expect("a list");
    let before = (hospital.remembers(patient), hospital.leaves().await);

    let hospital = hospital.restarted().await;
    let clinic = clinic.restarted().await;

    assert!(hospital.remembers(patient) == before.0);
    // A checkpoint that is due is kept at the start, with its padding.
    assert!(hospital.leaves().await.starts_with(&before.1));
    let consents = hospital.flows().consents(patient).expect("the patient");
    assert_eq!((consents.len(), consents[0].id), (1, consent));
    let fetched = clinic.fetches(handle, &entries[0]).await;
    assert!(fetched.expect("a document") == report);
    let again = hospital.imports().await.expect("an import");
    assert_eq!((again.patients, again.resources), (0, 0));
    hospital.stop().await;
    clinic.stop().await;
}

/// Members know a node by its addresses: one port that somebody took meanwhile does not cost the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_port_was_taken_meanwhile_keeps_its_other_one() {
    let node = Node::made("Hospital A", Kind::Hospital).await;
    assert!(node.flows().found(&actor(), founding()).await.is_ok());
    node.daemon.start_network().await.expect("a network");
    let before = node.listens();
    let port = |text: &str| text.split('/').nth(4).and_then(|port| port.parse().ok());

    let stopped = node.stop().await;
    let datagram: u16 = port(&before[1]).expect("a port");
    let held = std::net::UdpSocket::bind(("127.0.0.1", datagram)).expect("a free port");
    let node = stopped.started().await;

    let after = node.listens();
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    drop(held);
    node.stop().await;
}

/// One changed byte of the journal: its own people read on, nobody else is answered, nothing is
/// written.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_journal_was_changed_serves_its_own_people_only() {
    let (hospital, clinic) = network().await;
    let (patient, _) = hospital.has_a_patient_with_a_report().await;
    hospital.grants(patient, &clinic).await;
    clinic.locates(&hospital).await;
    let hospital = hospital.restarted().await;
    assert_eq!(hospital.health().await, ("ok".to_owned(), true));
    let invited = hospital.flows().invite(&actor(), TICKET_LIFE).await;
    assert!(invited.is_ok());

    let stopped = hospital.stop().await;
    let journal = stopped.path("journal/00000000000000000001");
    let mut bytes = fs::read(&journal).expect("a journal");
    let end = bytes.len() - 40;
    bytes[end] ^= 1;
    fs::write(&journal, bytes).expect("a changed journal");
    let hospital = stopped.started().await;

    let problem = hospital.daemon.opened.problem();
    assert!(matches!(problem, Some(StoreError::Integrity { .. })));
    assert_eq!(hospital.health().await, ("read-only".to_owned(), false));
    assert_eq!(hospital.flows().patients("").len(), 1);
    let refused = hospital.flows().invite(&actor(), TICKET_LIFE).await.err();
    assert_eq!(refused.map(|error| error.code()), Some(Code::Integrity));
    let line = clinic.line_of(&hospital).await;
    assert!(
        matches!(line.answer, Answer::Refused(PeerCode::Unavailable)),
        "{}",
        line.answer.term()
    );
    hospital.stop().await;
    clinic.stop().await;
}

/// Hard case: journal, index and leaves agree; only what was signed of them says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_checkpoints_are_of_another_log_serves_its_own_people_only() {
    let node = Node::made("Hospital A", Kind::Hospital).await;
    assert!(node.flows().found(&actor(), founding()).await.is_ok());
    assert!(node.flows().keep_checkpoint().await.expect("a checkpoint"));
    let note = node.flows().checkpoint().expect("a checkpoint");
    let mut stopped = node.restarted().await.stop().await;
    let file = stopped.path("audit/checkpoints");
    let whole = fs::read_to_string(&file).expect("checkpoints");
    assert!(whole.starts_with(&format!("{note}\n")));

    fs::remove_file(&file).expect("removed");
    stopped = stopped.started().await.stop().await;
    let again = fs::read_to_string(&file).expect("checkpoints");
    assert!(again.starts_with(&whole), "made anew from the journal");
    fs::write(&file, &again[..again.len() - 7]).expect("cut");
    stopped = stopped.started().await.stop().await;
    let again = fs::read_to_string(&file).expect("checkpoints");
    assert!(again.starts_with(&whole), "what a crash left is completed");

    let root = again.find("\n64\n").expect("a size") + 4;
    let other = if &again[root..=root] == "A" { "B" } else { "A" };
    let changed = [&again[..root], other, &again[root + 1..]].concat();
    let more = format!("{again}{note}\n");
    for (text, holds) in [(&again, true), (&changed, false), (&more, false)] {
        fs::write(&file, text).expect("written");
        let node = stopped.started().await;
        assert_eq!(node.flows().fold().problem().is_none(), holds);
        let invited = node.flows().invite(&actor(), TICKET_LIFE).await;
        assert_eq!(invited.is_ok(), holds);
        stopped = node.stop().await;
        let left = fs::read_to_string(&file).expect("checkpoints");
        assert!(left.starts_with(text), "left as it was");
    }
}

/// One changed byte, or a missing file, of a stored document: both checks name the document.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_document_file_is_named_by_verify_and_doctor() {
    let hospital = Node::made("Hospital A", Kind::Hospital).await;
    let (patient, _) = hospital.has_a_patient_with_a_report().await;
    let document = hospital.flows().documents(patient)[0].0.id.to_string();
    assert_eq!(hospital.files().await, (Vec::new(), true));

    let file = hospital.only_document_file();
    let mut bytes = fs::read(&file).expect("a document file");
    bytes[REPORT_BYTES / 2] ^= 1;
    fs::write(&file, &bytes).expect("a changed file");
    let (changed, healthy) = hospital.files().await;
    assert_eq!((changed.len(), healthy), (1, false));
    assert!(changed[0].contains(&document), "{}", changed[0]);

    bytes[REPORT_BYTES / 2] ^= 1;
    fs::write(&file, &bytes).expect("a mended file");
    assert_eq!(hospital.files().await, (Vec::new(), true));
    fs::remove_file(&file).expect("a lost file");
    let (lost, healthy) = hospital.files().await;
    assert_eq!((lost.len(), healthy), (1, false));
    assert!(lost[0].contains(&document), "{}", lost[0]);
    hospital.stop().await;
}

/// `explain` takes one member by each of its names, and a document only where it is the patient's;
/// a consent for nobody says that it binds nobody.
#[tokio::test(flavor = "multi_thread")]
async fn consent_commands_know_members_and_documents_by_their_names() {
    let (hospital, clinic) = network().await;
    let (patient, _) = hospital.has_a_patient_with_a_report().await;
    let admin = Admin::new(hospital.daemon.clone(), "tester".to_owned());
    let explain = async |to: String, document: String| {
        let request = ExplainRequest {
            patient: patient.to_string(),
            to,
            purpose: "TREAT".to_owned(),
            document,
        };
        let explained = admin.consent_explain(Request::new(request)).await;
        explained.map(|_| ()).map_err(|status| status.code())
    };
    let member = clinic.flows().member().to_string();
    for to in [
        clinic.flows().node_key().to_string(),
        member.clone(),
        format!("member:{member}"),
        "org:Clinic B".to_owned(),
        "Clinic B".to_owned(),
    ] {
        assert_eq!(explain(to.clone(), String::new()).await, Ok(()), "{to}");
    }
    let wide = explain("any".to_owned(), String::new()).await;
    assert_eq!(wide, Err(tonic::Code::InvalidArgument));

    let known = hospital.flows().documents(patient)[0].0.id.to_string();
    assert_eq!(explain(member.clone(), known).await, Ok(()));
    for unknown in ["doc_x".to_owned(), DocumentId([9; 16]).to_string()] {
        let refused = explain(member.clone(), unknown).await;
        assert_eq!(refused, Err(tonic::Code::NotFound));
    }

    let grant = async |to: &str| {
        let request = ConsentRequest {
            patient: patient.to_string(),
            to: to.to_owned(),
            purpose: vec!["TREAT".to_owned()],
            ..ConsentRequest::default()
        };
        let granted = admin.consent_grant(Request::new(request)).await;
        granted.expect("a consent").into_inner().notes
    };
    assert_eq!(grant("org:Clinic B").await, Vec::<String>::new());
    assert_eq!(grant("any").await, Vec::<String>::new());
    assert_eq!(grant("org:Clinic X").await.len(), 1);
    for node in [hospital, clinic] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_passphrase_opens_nothing() {
    let stopped = Stopped::made("Clinic B", Kind::Clinic, Some("correct horse")).await;
    let opened = stopped.opens_with(Some("correct horse")).await;
    assert_eq!(opened, Ok(()));

    for passphrase in [Some("correct horsf"), Some(""), None] {
        let refused = stopped.opens_with(passphrase).await;

        assert_eq!(refused, Err(Code::KeyRefused), "{passphrase:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_file_opens_nothing() {
    let stopped = Stopped::made("Clinic B", Kind::Clinic, None).await;
    let key = stopped.path("key");
    let good = fs::read_to_string(&key).expect("a key file");
    assert_eq!(stopped.opens_with(None).await, Ok(()));

    let other = "0".repeat(64);
    for text in [other.as_str(), "", "no key"] {
        fs::write(&key, text).expect("another key file");
        assert_eq!(stopped.opens_with(None).await, Err(Code::KeyRefused));
    }
    fs::remove_file(&key).expect("no key file");
    assert_eq!(stopped.opens_with(None).await, Err(Code::KeyRefused));
    assert_eq!(good.trim().len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_daemon_and_one_node() {
    let node = Node::made("Clinic B", Kind::Clinic).await;

    let second = boot::open(node.folder.path(), None).await.err();
    assert_eq!(second.map(|error| error.code()), Some(Code::DataDirLocked));
    let again = boot::make(node.folder.path(), making("Other", Kind::Clinic, None)).await;
    let code = again.err().map(|error| error.code());
    assert_eq!(code, Some(Code::AlreadyInitialised));

    let stopped = node.stop().await;
    assert_eq!(stopped.opens_with(None).await, Ok(()));
    let empty = tempfile::tempdir().expect("a directory");
    let none = boot::open(empty.path(), None).await.err();
    assert_eq!(none.map(|error| error.code()), Some(Code::NotInitialised));
}

/// An applicant asks again and again, and two of its first questions may be judged at once: the one
/// that is written later must not undo what was decided between them.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_written_twice_stays_decided() {
    let (hospital, clinic) = network().await;
    assert!(hospital.flows().join_requests().is_empty());
    let stopped = hospital.stop().await;

    stopped.has_one_more(system_time(), RecordKind::Join, Bytes::new());
    let hospital = stopped.started().await;

    assert_eq!(hospital.daemon.opened.problem(), None);
    assert!(hospital.flows().join_requests().is_empty());
    hospital.stop().await;
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_behind_the_last_record_keeps_a_node_off_the_network_until_it_is_accepted() {
    let (hospital, clinic) = network().await;
    assert!(hospital.daemon.net().is_some());
    let stopped = hospital.stop().await;
    let last = system_time().plus(Span::hours(1));
    stopped.was_written_at(last);

    let hospital = stopped.started().await;
    assert!(hospital.daemon.clock_behind > Some(Span::minutes(59)));
    assert!(hospital.daemon.net().is_none());
    assert!(hospital.daemon.now() >= last);

    let stopped = hospital.stop().await;
    boot::accept_clock(stopped.folder.path(), last).expect("a note");
    let hospital = stopped.started().await;
    assert_eq!(hospital.daemon.clock_behind, None);
    assert!(hospital.daemon.net().is_some());
    hospital.stop().await;
    clinic.stop().await;
}

/// A node that runs.
struct Node {
    folder: tempfile::TempDir,
    daemon: Arc<Daemon>,
}

/// A node's directory while nobody uses it.
struct Stopped {
    folder: tempfile::TempDir,
}

/// A hospital that founded a network, and a clinic that it admitted.
async fn network() -> (Node, Node) {
    network_over(&[TCP, QUIC]).await
}

async fn network_over(listen: &[&str]) -> (Node, Node) {
    let hospital = Node::made_at("Hospital A", Kind::Hospital, listen).await;
    let founded = hospital.flows().found(&actor(), founding()).await;
    assert!(founded.is_ok());
    let started = hospital.daemon.start_network().await;
    started.expect("a network");
    let clinic = Node::made_at("Clinic B", Kind::Clinic, listen).await;
    clinic.joins(&hospital).await;
    (hospital, clinic)
}

impl Stopped {
    async fn made(name: &str, kind: Kind, passphrase: Option<&str>) -> Self {
        Self::made_as(making(name, kind, passphrase)).await
    }

    async fn made_as(making: Making) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let made = boot::make(folder.path(), making).await;
        assert!(made.is_ok());
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds a record as a node with another clock would have.
    fn was_written_at(&self, time: Timestamp) {
        let ticket = wire::encode_ticket_issued(&TicketIssued {
            key: SecretKey::new([1; 32]),
            expiry: time,
        });
        self.has_one_more(time, RecordKind::TicketIssued, ticket.into());
    }

    /// Adds a record to the journal behind the node's back; the first of that kind where `body` is
    /// empty.
    fn has_one_more(&self, time: Timestamp, kind: RecordKind, mut body: Bytes) {
        let kek = key::read_file(&self.path("key")).expect("a key");
        let disk = DirDisk::new(self.folder.path());
        let opened = Log::open(disk, &kek, None, &mut |record| {
            if record.kind == kind && body.is_empty() {
                body = record.body.unwrap_or_default();
            }
        });
        let (mut log, _) = opened.expect("a journal");
        let mut batch = Batch::default();
        batch.push(kind, Scope::Store, body);
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        let pending = log.append(time, vec![batch], &mut rng);
        let synced = pending.and_then(|pending| log.sync(pending));
        assert!(synced.is_ok());
    }

    async fn booted(&self) -> Result<boot::Booted, BootError> {
        boot::open(self.folder.path(), None).await
    }

    /// Opens the directory and leaves it again.
    async fn opens_with(&self, passphrase: Option<&str>) -> Result<(), Code> {
        let passphrase = passphrase.map(|text| Zeroizing::new(text.to_owned()));
        let booted = boot::open(self.folder.path(), passphrase)
            .await
            .map_err(|error| error.code())?;
        let closed = booted.node.world().store().close().await;
        closed.expect("a closed store");
        Ok(())
    }

    async fn started(self) -> Node {
        let booted = self.booted().await.expect("a node");
        let daemon = Daemon::new(
            self.folder.path(),
            booted,
            Reach::Network(chartmesh_node::api::serve_peers),
            Instant::now(),
        );
        daemon.start_network().await.expect("a network");
        Node {
            folder: self.folder,
            daemon,
        }
    }
}

impl Node {
    async fn made(name: &str, kind: Kind) -> Self {
        Stopped::made(name, kind, None).await.started().await
    }

    async fn made_at(name: &str, kind: Kind, listen: &[&str]) -> Self {
        let making = making_at(name, kind, None, listen);
        Stopped::made_as(making).await.started().await
    }

    fn flows(&self) -> &Arc<Flows<RealWorld>> {
        &self.daemon.node
    }

    /// Where it listens, TCP first.
    fn listens(&self) -> Vec<String> {
        self.daemon.net().expect("a network").bound()
    }

    async fn stop(self) -> Stopped {
        self.daemon.stop().await;
        Stopped {
            folder: self.folder,
        }
    }

    async fn restarted(self) -> Self {
        self.stop().await.started().await
    }

    /// Asks with a ticket of the inviter, is approved, and collects what it was given.
    async fn joins(&self, inviter: &Node) {
        let ticket = inviter.flows().invite(&actor(), TICKET_LIFE).await;
        let ticket = ticket.expect("a ticket");
        let asked = self.flows().join(&actor(), &ticket).await;
        asked.expect("a request");
        self.daemon.start_network().await.expect("a network");
        self.polls_until(JoinState::Pending).await;
        let words = self.flows().own_words(&ticket);
        let approved = inviter.flows().approve(&actor(), &words).await;
        assert!(approved.is_ok());
        inviter.daemon.membership_changed();
        self.polls_until(JoinState::Approved).await;
        self.daemon.membership_changed();
    }

    async fn polls_until(&self, state: JoinState) {
        let mut last = None;
        let polling = async {
            // The daemon polls as well, and may have had the answer.
            while self.flows().current_network().is_none() {
                let polled = self.flows().poll_join().await;
                if matches!(polled, Ok(found) if found == state) {
                    return;
                }
                last = Some(polled.map_err(|error| error.code()));
                tokio::task::yield_now().await;
            }
        };
        let polled = tokio::time::timeout(PATIENCE, polling).await;
        assert!(polled.is_ok(), "no {state:?} but {last:?}");
    }

    /// Imports a patient and adds a report; the bytes come back.
    async fn has_a_patient_with_a_report(&self) -> (PatientId, Bytes) {
        let imported = self.imports().await.expect("an import");
        assert_eq!((imported.patients, imported.resources), (1, 2));
        let patient = self.flows().patients("")[0].id;
        let report: Bytes = (0..REPORT_BYTES).map(|at| (at % 251) as u8).collect();
        let description = Description {
            coding: Coding {
                system: Coding::LOINC.to_owned(),
                code: "18842-5".to_owned(),
                display: String::new(),
            },
            title: "Discharge summary".to_owned(),
            content_type: "application/pdf".to_owned(),
            ..Description::default()
        };
        let added = self
            .flows()
            .add_document(&actor(), patient, in_memory(report.clone()), description)
            .await;
        assert!(added.is_ok());
        (patient, report)
    }

    async fn imports(&self) -> Result<Imported, Code> {
        let input = Bytes::from_static(BUNDLE.as_bytes());
        let imported = self.flows().import(&actor(), input, Mode::Store).await;
        imported.map_err(|error| error.code())
    }

    async fn grants(&self, patient: PatientId, to: &Node) -> ConsentId {
        let statement = Statement {
            patient,
            provision: Provision::Permit,
            form: ConsentForm::Provision,
            target: Target::Member(to.flows().member()),
            purposes: vec![Purpose::Treat],
            by: "patient".to_owned(),
            evidence: None,
            witness: Some("a nurse".to_owned()),
            from: None,
            until: None,
            even_emergency: false,
        };
        let stated = self.flows().state_consent(&actor(), statement).await;
        stated.expect("a consent").consent.id
    }

    /// What the ledger of a question says of a holder.
    async fn line_of(&self, holder: &Node) -> Line {
        let search = Search {
            demographics: demographics(),
            patient: None,
            purpose: Purpose::Treat,
            deadline: LOCATE_DEADLINE,
            only: Vec::new(),
        };
        let asking = async {
            loop {
                let ledger = self.flows().locate(&actor(), &search).await;
                let ledger = ledger.expect("a ledger");
                let member = holder.flows().member();
                let line = ledger.lines.iter().find(|line| line.member == member);
                let line = line.expect("a line for the holder").clone();
                // A node that was started anew is found again a moment later.
                if !matches!(line.answer, Answer::Unreachable | Answer::TimedOut) {
                    return line;
                }
            }
        };
        let line = tokio::time::timeout(PATIENCE, asking).await;
        line.expect("a holder that answers")
    }

    async fn locates(&self, holder: &Node) -> Handle {
        let line = self.line_of(holder).await;
        match line.answer {
            Answer::Match(found) => found.handle,
            other => panic!("no match but {}", other.term()),
        }
    }

    /// What a holder lists of stored documents.
    async fn reports(&self, handle: Handle) -> Result<Vec<DocumentEntry>, Code> {
        let until = self.daemon.now().plus(Span::seconds(10));
        let wanted = Wanted::default();
        let listed = self
            .flows()
            .list(&actor(), handle, Purpose::Treat, &wanted, until)
            .await;
        let (mut entries, complete) = listed.map_err(|error| error.code())?;
        assert!(complete);
        entries.retain(|entry| !entry.on_demand);
        Ok(entries)
    }

    async fn fetches(&self, handle: Handle, entry: &DocumentEntry) -> Result<Vec<u8>, Code> {
        let fetch = Fetch {
            handle,
            document: entry.id,
            purpose: Purpose::Treat,
        };
        let fetching = async {
            loop {
                let mut bytes = Vec::new();
                let told: Told<'_> = (&|_, _| {}, &|| true);
                match self.flows().fetch(&actor(), fetch, told, &mut bytes).await {
                    Ok(_) => return Ok(bytes),
                    // A node that was started anew is found again a moment later.
                    Err(FlowError::Unreachable { .. }) => {}
                    Err(error) => return Err(error.code()),
                }
            }
        };
        let fetched = tokio::time::timeout(PATIENCE, fetching).await;
        fetched.expect("a holder that answers")
    }

    /// What must be the same after a restart.
    fn remembers(&self, patient: PatientId) -> impl PartialEq + use<> {
        let flows = self.flows();
        let counts = flows.counts();
        let known = flows.patient(patient).expect("the patient");
        let network = flows.current_network().expect("a network");
        let members = flows.member_views().into_iter();
        let documents = flows.documents(patient).into_iter();
        (
            (counts.patients, counts.resources, counts.documents),
            flows.node_key(),
            (known.demographics, network.id, network.envelope.hash()),
            members
                .map(|view| (view.credential.member, view.status))
                .collect::<Vec<_>>(),
            documents
                .map(|(document, manifest)| (document.id, manifest.plain_sha256))
                .collect::<Vec<_>>(),
        )
    }

    /// The audit log, entry by entry.
    async fn leaves(&self) -> Vec<[u8; 32]> {
        let entries = self.flows().audit_entries(0, usize::MAX).await;
        let entries = entries.expect("the log").into_iter();
        entries.map(|shown| shown.leaf).collect()
    }

    /// The problems `audit verify` finds, and whether `doctor` finds the documents well.
    async fn files(&self) -> (Vec<String>, bool) {
        let admin = Admin::new(self.daemon.clone(), "tester".to_owned());
        let verified = admin.audit_verify(Request::new(Empty {})).await;
        let verified = verified.expect("a report").into_inner();
        assert_eq!(verified.verified, verified.problems.is_empty());
        assert_eq!(verified.files, 1);
        let checked = admin.doctor(Request::new(DoctorRequest::default())).await;
        let checked = checked.expect("a report").into_inner().checks;
        let check = checked.iter().find(|check| check.name == "documents");
        (
            verified.problems,
            check.is_some_and(|check| check.status == "ok"),
        )
    }

    /// The one sealed file of the only document.
    fn only_document_file(&self) -> PathBuf {
        let mut folders: Vec<PathBuf> = vec![self.folder.path().join("files")];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        assert_eq!(files.len(), 1);
        files.remove(0)
    }

    /// What `status` says, and whether `doctor` finds it healthy.
    async fn health(&self) -> (String, bool) {
        let admin = Admin::new(self.daemon.clone(), "tester".to_owned());
        let status = admin.status(Request::new(Empty {})).await;
        let checked = admin.doctor(Request::new(DoctorRequest::default())).await;
        let checked = checked.expect("a report").into_inner();
        // The rest of what it checks depends on the machine.
        let journal = checked.checks.iter().find(|check| check.name == "journal");
        let journal = journal.expect("a check of the journal");
        (
            status.expect("a status").into_inner().health,
            journal.status == "ok",
        )
    }
}

fn making(name: &str, kind: Kind, passphrase: Option<&str>) -> Making {
    making_at(name, kind, passphrase, &[TCP, QUIC])
}

fn making_at(name: &str, kind: Kind, passphrase: Option<&str>, listen: &[&str]) -> Making {
    Making {
        organization: Organization {
            name: name.to_owned(),
            kind,
            npi: String::new(),
            oid: String::new(),
            address: String::new(),
            contact: String::new(),
            phone: String::new(),
            hours: String::new(),
            state: String::new(),
            part2: false,
            test: true,
        },
        listen: listen.iter().map(|text| (*text).to_owned()).collect(),
        passphrase: passphrase.map(|text| Zeroizing::new(text.to_owned())),
        key_file: None,
        member: None,
    }
}

fn founding() -> Founding {
    Founding {
        name: "Test network".to_owned(),
        template: Template::OptIn,
        rules: Rules::of(Template::OptIn),
        authorities: Vec::new(),
        threshold: 1,
        test: true,
    }
}

fn actor() -> Actor {
    Actor {
        user: UserId([0x77; 16]),
        name: "tester".to_owned(),
        role: Role::Clinician,
    }
}

fn demographics() -> Demographics {
    Demographics {
        names: vec![Name {
            family: "Vega".to_owned(),
            given: vec!["Rosa".to_owned()],
        }],
        birth_date: Some("1950-03-04".to_owned()),
        sex: Some(Sex::Female),
        ..Demographics::default()
    }
}

const BUNDLE: &str = r#"{
  "resourceType": "Bundle", "type": "transaction", "entry": [
    { "fullUrl": "urn:uuid:5b1c8a52-9e0b-4a8c-9d5a-000000000001",
      "resource": { "resourceType": "Patient", "id": "p1",
        "name": [ { "family": "Vega", "given": [ "Rosa" ] } ],
        "gender": "female", "birthDate": "1950-03-04" },
      "request": { "method": "POST", "url": "Patient" } },
    { "fullUrl": "urn:uuid:5b1c8a52-9e0b-4a8c-9d5a-000000000002",
      "resource": { "resourceType": "Observation", "id": "o1", "status": "final",
        "code": { "coding": [ { "system": "http://loinc.org", "code": "8302-2" } ] },
        "subject": { "reference": "urn:uuid:5b1c8a52-9e0b-4a8c-9d5a-000000000001" },
        "valueQuantity": { "value": 163, "unit": "cm" } },
      "request": { "method": "POST", "url": "Observation" } }
  ]
}"#;
