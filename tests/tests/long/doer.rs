//! One command of one user: what is asked of the product, and what the model makes of the answer.

use std::{
    collections::BTreeSet,
    sync::{Arc, MutexGuard},
};

use chartmesh_core::{
    audit::Kind as Audited,
    flows::{Description, FlowError, Mode, Node, Statement, in_memory},
    membership::{Founding, JoinState, Rules, Template, Ticket},
    ports::Rpc,
    records::{Class, ConsentForm, Evidence, Provision, Target},
    types::{
        Code, ConsentId, DocumentId, Handle, MemberId, NetworkId, NodeKey, PatientId, Purpose,
        Role, Span, limits::TICKET_LIFE,
    },
};
use chartmesh_tests::{Frame, SimNet, world::SimWorld};

use crate::{
    act::{admin, user},
    history::Act,
    model::Holder,
    people::{self, Face, Input},
    shared::{Mark, Shared, Sharing},
    verdict::Asking,
};

/// A sealed refusal is shorter than this, and everything else that is sealed is longer.
const REFUSED_MAX_BYTES: usize = 450;

/// What is said about a patient's records.
pub(crate) struct Consenting {
    pub(crate) act: Act,
    pub(crate) patient: PatientId,
    pub(crate) target: Target,
    pub(crate) purpose: Purpose,
    /// Whose word it is.
    pub(crate) word: u32,
    /// From when to when.
    pub(crate) when: u32,
}

/// What is wanted by a handle.
#[derive(Clone, Copy)]
pub(crate) struct Using {
    pub(crate) asking: Asking,
    pub(crate) handle: Handle,
    pub(crate) document: DocumentId,
}

/// A user of a node, during one command.
pub(crate) struct Doer {
    pub(crate) sharing: Sharing,
    pub(crate) node: Arc<Node<SimWorld>>,
    pub(crate) index: usize,
    pub(crate) label: String,
    pub(crate) begun: Mark,
}

/// The outcome of a flow in one word.
pub(crate) fn word<T>(outcome: &Result<T, FlowError>) -> &'static str {
    match outcome {
        Ok(_) => "OK",
        Err(error) => error.code().text(),
    }
}

impl Doer {
    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.sharing.lock().expect("nobody panics while sharing")
    }

    /// A step of the command begins here.
    pub(crate) fn begin(&mut self) {
        let mark = self.shared().mark();
        self.begun = mark;
    }

    /// Notes an outcome. Where nothing went wrong it must be among those the model foresees.
    pub(crate) fn note(&self, flow: &str, outcome: &str, foreseen: Option<&BTreeSet<&str>>) {
        let mut shared = self.shared();
        shared.cell(flow, outcome);
        shared.trace(&[self.label.as_bytes(), flow.as_bytes(), outcome.as_bytes()]);
        let Some(foreseen) = foreseen else {
            return;
        };
        shared.counts.foreseen += 1;
        if !foreseen.contains(outcome) {
            let (label, index) = (&self.label, self.index);
            shared.breaks(format!(
                "{label}: {flow} of node {index} says {outcome}, foreseen is {foreseen:?}"
            ));
        }
    }

    /// Whether this node had no trouble of its own since the command began.
    fn is_well(&self) -> bool {
        self.shared().is_well(self.index, &self.begun)
    }

    /// Notes the outcome of a flow that needs nobody else, foreseen at each state it may have seen.
    pub(crate) fn note_local(
        &self,
        flow: &str,
        outcome: &str,
        foresee: impl Fn(&Holder, u64) -> &'static str,
    ) {
        let foreseen: BTreeSet<&str> = {
            let shared = self.shared();
            let holder = &shared.model.holders[self.index];
            let states = self.begun.positions[self.index]..=holder.position();
            states.map(|position| foresee(holder, position)).collect()
        };
        self.note(flow, outcome, self.is_well().then_some(&foreseen));
    }

    // ---------------------------------------------------------------- membership

    pub(crate) async fn admit(mut self, founder: Self) {
        let ticket = match self.node.pending_ticket() {
            Some(ticket) => ticket,
            None => {
                let invited = founder.node.invite(&admin(&self.label), TICKET_LIFE).await;
                founder.note("invite", word(&invited), None);
                let Ok(ticket) = invited else {
                    return;
                };
                self.shared().tickets.push(ticket.clone());
                let joined = self.node.join(&admin(&self.label), &ticket).await;
                self.note("join", word(&joined), None);
                ticket
            }
        };
        for _ in 0..2 {
            self.begin();
            let polled = self.node.poll_join().await;
            let outcome = polled.as_ref().map_or_else(
                |error| error.code().text(),
                |state| match state {
                    JoinState::Pending => "PENDING",
                    JoinState::Approved => "OK",
                    JoinState::Refused => "REFUSED",
                },
            );
            self.note("poll", outcome, None);
            match polled {
                Ok(JoinState::Approved) => break,
                Ok(JoinState::Pending) => {
                    let words = self.node.own_words(&ticket);
                    let approved = founder.node.approve(&admin(&self.label), &words).await;
                    founder.note("approve", word(&approved), None);
                }
                Ok(JoinState::Refused) | Err(_) => return,
            }
        }
        // What the daemon does on connecting.
        let _greeted = self.node.greet(ticket.inviter).await;
        let _told = self.node.sync_members(founder.node.member()).await;
    }

    pub(crate) async fn bad_ticket(self, founder: Self, how: u32) {
        let used = {
            let shared = self.shared();
            let tickets = &shared.tickets;
            tickets
                .get(how as usize / 8 % tickets.len().max(1))
                .cloned()
        };
        let life = match how % 8 {
            0 => Span(1),
            5 => Span::seconds(2),
            _ => TICKET_LIFE,
        };
        let Ok(good) = founder.node.invite(&admin(&self.label), life).await else {
            return;
        };
        let ticket = match how % 8 {
            0 | 5 => good,
            1 | 2 => Ticket {
                secret: [9; 16].into(),
                ..good
            },
            3 => Ticket {
                network: NetworkId([7; 32]),
                ..good
            },
            4 => Ticket {
                inviter: NodeKey([7; 32]),
                ..good
            },
            _ => used.unwrap_or(good),
        };
        tokio::time::sleep(std::time::Duration::from_millis(u64::from(how % 2))).await;
        let joined = self.node.join(&admin(&self.label), &ticket).await;
        self.note("join", word(&joined), None);
        if how % 8 == 5 {
            // It is over when the inviter first sees it.
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        }
        let polled = self.node.poll_join().await;
        self.note(
            "poll",
            if let Ok(JoinState::Pending) = polled {
                "PENDING"
            } else {
                word(&polled)
            },
            None,
        );
        self.out_of_place(founder, how).await;
    }

    /// What is asked where it is not one's turn.
    async fn out_of_place(self, founder: Self, how: u32) {
        let stray = self.node.invite(&admin(&self.label), TICKET_LIFE).await;
        self.note("invite", word(&stray), None);
        let founding = Founding {
            name: "Another".to_owned(),
            template: Template::OptIn,
            rules: Rules::of(Template::OptIn),
            authorities: Vec::new(),
            threshold: 1,
            test: true,
        };
        let is_member = self.shared().model.holders[self.index].in_network;
        if is_member {
            let founded = self.node.found(&admin(&self.label), founding).await;
            self.note("found", word(&founded), None);
        }
        let somebody = if how % 3 == 0 {
            &self.node
        } else {
            &founder.node
        };
        let words = "not six words of anybody";
        let approved = somebody.approve(&admin(&self.label), words).await;
        self.note("approve", word(&approved), None);
    }

    pub(crate) async fn greet(self, other: usize, key: NodeKey) {
        let greeted = self.node.greet(key).await;
        let outcome = match &greeted {
            Ok(_) => "OK",
            Err(chartmesh_core::ports::CallError::Refused(code)) => code.text(),
            Err(_) => "PEER_UNREACHABLE",
        };
        let is_settled = self.both_settled(other);
        self.note(
            "greet",
            outcome,
            is_settled.then_some(&BTreeSet::from(["OK"])),
        );
        if let Ok(member) = greeted
            && self.shared().model.index_of(member) != Some(other)
        {
            self.shared()
                .breaks("a greeting by somebody else than was greeted".to_owned());
        }
    }

    pub(crate) async fn members(self, other: usize, member: MemberId) {
        // What the daemon does each minute: an authority confirms the list, everybody asks for news.
        let _beaten = self.node.beat().await;
        let trusted = self.node.exchange_trust(member).await;
        let outcome = trusted.as_ref().map_or_else(|code| code.text(), |_| "OK");
        self.note("trust", outcome, None);
        let synced = self.node.sync_members(member).await;
        let outcome = synced.as_ref().map_or_else(|code| code.text(), |_| "OK");
        let foreseen = BTreeSet::from(["OK"]);
        let is_settled = self.both_settled(other) && self.knows(other);
        self.note("members", outcome, is_settled.then_some(&foreseen));
    }

    pub(crate) fn both_settled(&self, other: usize) -> bool {
        let shared = self.shared();
        shared.is_settled(self.index, &self.begun) && shared.is_settled(other, &self.begun)
    }

    pub(crate) fn knows(&self, other: usize) -> bool {
        let shared = self.shared();
        let other = shared.model.holders[other].member;
        let holder = &shared.model.holders[self.index];
        let known = holder.members.get(&other);
        known.is_some_and(|(since, ..)| *since <= self.begun.positions[self.index])
    }

    /// Whether another node knew this one as a member when the command began.
    pub(crate) fn is_known_to(&self, other: usize) -> bool {
        let shared = self.shared();
        let own = shared.model.holders[self.index].member;
        let known = shared.model.holders[other].members.get(&own);
        known.is_some_and(|(since, ..)| *since <= self.begun.positions[other])
    }

    // ---------------------------------------------------------------- records

    pub(crate) async fn import(self, person: usize, input: Input, mode: Mode) {
        let bytes = people::input(person, input);
        let imported = self
            .node
            .import(&admin(&self.label), bytes.into(), mode)
            .await;
        self.note_local("import", word(&imported), |holder, position| match input {
            Input::Record { .. } => conflict(holder, position, person, false),
            Input::Conflict => conflict(holder, position, person, true),
            Input::Unknown => Code::SubjectUnknown.text(),
            Input::Foreign => Code::SubjectForeign.text(),
            Input::Broken => Code::JsonMalformed.text(),
            Input::Double => Code::JsonDuplicateKey.text(),
            Input::Odd => Code::FhirType.text(),
        });
        let Ok(report) = imported else {
            return;
        };
        let problem = {
            let shared = self.shared();
            let holder = &shared.model.holders[self.index];
            let states = self.begun.positions[self.index]..=holder.position();
            let told = (
                report.patients,
                report.resources,
                report.documents,
                report.unchanged,
            );
            let foreseen: BTreeSet<_> = states
                .map(|position| expected(holder, position, person, input))
                .collect();
            let written = holder.by_actor(Audited::Imported, &self.label);
            let is_new = told.1 + told.2 > 0 && mode == Mode::Store;
            if is_new != written.is_some() {
                Some(format!("an import of {told:?} that is not so in the log"))
            } else if !foreseen.contains(&told) {
                Some(format!("an import of {told:?}, foreseen is {foreseen:?}"))
            } else {
                written.and_then(|written| missing(holder, written.position, person, input))
            }
        };
        if let Some(problem) = problem {
            self.shared().breaks(format!("{}: {problem}", self.label));
        }
    }

    pub(crate) async fn add_patient(self, person: usize) {
        let json = people::person(person)
            .fhir(&people::local_id(person))
            .to_string();
        let added = self
            .node
            .add_patient(&admin(&self.label), json.into_bytes().into())
            .await;
        self.note_local("patient", word(&added), |holder, position| {
            conflict(holder, position, person, false)
        });
        if let Ok(id) = added {
            let is_there = self.shared().model.holders[self.index]
                .people
                .contains_key(&id);
            if !is_there {
                self.shared().breaks(format!(
                    "{}: a patient that is not in the journal",
                    self.label
                ));
            }
        }
    }

    pub(crate) async fn add_document(self, patient: PatientId, bytes: Vec<u8>) {
        let description = Description {
            title: "Letter".to_owned(),
            content_type: "text/plain".to_owned(),
            ..Description::default()
        };
        let input = in_memory(bytes.clone());
        let added = self
            .node
            .add_document(&admin(&self.label), patient, input, description)
            .await;
        self.note_local("document", word(&added), |holder, _| {
            match holder.people.get(&patient) {
                Some(_) => "OK",
                None => Code::PatientUnknown.text(),
            }
        });
        let Ok(added) = added else {
            return;
        };
        let mut shared = self.shared();
        let holder = &shared.model.holders[self.index];
        let sha256 = chartmesh_core::crypto::sha256(&[&bytes]);
        let paper = holder
            .people
            .get(&patient)
            .and_then(|person| person.papers.get(&added.document));
        let is_right = paper.is_some_and(|paper| paper.sha256 == sha256);
        let member = holder.member;
        shared.letters.insert((member, added.document), bytes);
        if !is_right {
            let label = &self.label;
            shared.breaks(format!("{label}: a document that is not so in the journal"));
        }
    }

    // ---------------------------------------------------------------- consent

    pub(crate) async fn consent(self, wish: Consenting) {
        let statement = self.statement(&wish);
        let clone = self.statement(&wish);
        let stated = self
            .node
            .state_consent(&user(&self.label, Role::FrontDesk), statement)
            .await;
        let begins_late = clone
            .until
            .zip(clone.from)
            .is_some_and(|(until, from)| until <= from);
        let nothing_named = clone.purposes.is_empty() && clone.form == ConsentForm::Provision;
        self.note_local("consent", word(&stated), |holder, position| {
            let known = holder.people.get(&wish.patient);
            let known = known.is_some_and(|person| person.face_at(position).is_some());
            if !holder.in_network {
                Code::NoNetwork.text()
            } else if !known {
                Code::PatientUnknown.text()
            } else if nothing_named {
                Code::PurposeUnknown.text()
            } else if begins_late {
                Code::Usage.text()
            } else {
                "OK"
            }
        });
        let Ok(stated) = stated else {
            return;
        };
        let is_so = {
            let shared = self.shared();
            let holder = &shared.model.holders[self.index];
            let class = match wish.word % 3 {
                0 => Class::Stated,
                _ => Class::Patient,
            };
            holder.consent(stated.consent.id).is_some_and(|said| {
                let kept = &said.consent;
                kept.patient == wish.patient
                    && kept.provision == clone.provision
                    && kept.form == clone.form
                    && kept.target == clone.target
                    && kept.purposes == clone.purposes
                    && kept.class == class
                    && kept.until == clone.until
                    && kept.even_emergency == clone.even_emergency
                    && kept.position == stated.consent.position
            })
        };
        if !is_so {
            self.shared().breaks(format!(
                "{}: a consent that is not so in the journal",
                self.label
            ));
        }
    }

    fn statement(&self, wish: &Consenting) -> Statement {
        let now = self.begun.clocks[self.index];
        let provision = match wish.act {
            Act::Deny | Act::OptOut => Provision::Deny,
            _ => Provision::Permit,
        };
        let form = match wish.act {
            Act::OptOut => ConsentForm::OptOut,
            Act::OptIn => ConsentForm::OptIn,
            _ => ConsentForm::Provision,
        };
        let is_odd = wish.act == Act::OddConsent;
        let evidence = Evidence {
            sha256: [6; 32],
            content_type: "application/pdf".to_owned(),
            size: 1_000,
        };
        let (from, until) = match wish.when % 10 {
            _ if is_odd && wish.when % 2 == 0 => (Some(now), Some(now)),
            0 => (None, Some(now.plus(Span::minutes(10)))),
            1 => (
                Some(now.plus(Span::minutes(5))),
                Some(now.plus(Span::hours(1))),
            ),
            2 => (Some(now.minus(Span::days(30))), None),
            _ => (None, None),
        };
        Statement {
            patient: wish.patient,
            provision,
            form,
            target: if form == ConsentForm::Provision {
                wish.target.clone()
            } else {
                Target::Any
            },
            purposes: match form {
                ConsentForm::Provision if !is_odd || wish.when % 2 == 0 => vec![wish.purpose],
                ConsentForm::Provision | ConsentForm::OptOut | ConsentForm::OptIn => Vec::new(),
            },
            by: if wish.word % 3 == 0 {
                String::new()
            } else {
                "patient".to_owned()
            },
            evidence: (wish.word % 3 == 1).then_some(evidence),
            witness: (wish.word % 3 == 2).then(|| "bea".to_owned()),
            from,
            until,
            even_emergency: provision == Provision::Deny && wish.word % 5 == 0,
        }
    }

    pub(crate) async fn revoke_late(mut self, consent: ConsentId, late_ms: u64) {
        tokio::time::sleep(std::time::Duration::from_millis(late_ms)).await;
        self.begin();
        self.revoke(consent).await;
    }

    pub(crate) async fn revoke(self, consent: ConsentId) {
        let revoked = self
            .node
            .revoke(&user(&self.label, Role::FrontDesk), consent)
            .await;
        self.note_local("revoke", word(&revoked), |holder, position| {
            let live = holder.consent(consent).is_some_and(|said| {
                said.consent.position <= position
                    && said.revoked.is_none_or(|revoked| revoked > position)
            });
            if live {
                "OK"
            } else {
                Code::ConsentUnknown.text()
            }
        });
        if revoked.is_ok() {
            let is_so = {
                let shared = self.shared();
                let said = shared.model.holders[self.index].consent(consent);
                said.is_some_and(|said| said.revoked.is_some())
            };
            if !is_so {
                self.shared().breaks(format!(
                    "{}: a revocation that is not in the journal",
                    self.label
                ));
            }
        }
    }

    // ---------------------------------------------------------------- the rest

    pub(crate) async fn count(self) {
        let counted = self.node.write_counted().await;
        self.note_local("count", word(&counted), |_, _| "OK");
    }

    pub(crate) async fn replay(&self, net: &Arc<SimNet>, frame: Frame) {
        let rpc = format!("replay {:?}", frame.rpc).to_lowercase();
        let is_open = matches!(frame.rpc, Rpc::Hello | Rpc::Join | Rpc::Charters);
        let told = net.repeat(frame).await;
        let outcome = match &told {
            // It repeats what is signed anyway, and its answer is for whoever signed it.
            Ok(_) if is_open => "OK",
            Ok(bytes) if bytes.len() > REFUSED_MAX_BYTES => {
                self.shared()
                    .breaks(format!("{}: a {rpc} was answered", self.label));
                "OK"
            }
            Ok(_) => "SEALED",
            Err(chartmesh_core::ports::CallError::Refused(code)) => code.text(),
            Err(_) => "PEER_UNREACHABLE",
        };
        self.note(&rpc, outcome, None);
    }

    /// What own people are shown agrees with the journal.
    pub(crate) async fn look(self, patient: PatientId, other: usize) {
        let accounting = self.node.accounting(patient).await;
        let access = self.node.access(patient).await;
        let target = Target::Member(self.shared().model.holders[other].member);
        let explained = self.node.explain(patient, &target, Purpose::Treat);
        self.note("accounting", word(&accounting), None);
        self.note("explain", word(&explained), None);
        let mut shared = self.shared();
        let holder = &shared.model.holders[self.index];
        let about = |kind: Option<Audited>| {
            let log = holder
                .log
                .iter()
                .filter(|written| written.entry.patient == Some(patient));
            log.filter(|written| kind.is_none_or(|kind| kind == written.entry.kind))
                .count()
        };
        let mut wrong = Vec::new();
        if accounting.is_ok_and(|lines| lines.len() > about(Some(Audited::Disclosed))) {
            wrong.push("accounting");
        }
        if access.is_ok_and(|shown| shown.len() > about(None)) {
            wrong.push("access history");
        }
        let patients = self.node.patients("").len();
        if patients != holder.people.len() {
            wrong.push("list of patients");
        }
        let said = holder
            .said
            .iter()
            .filter(|said| said.consent.patient == patient)
            .count();
        if self
            .node
            .consents(patient)
            .is_ok_and(|consents| consents.len() != said)
        {
            wrong.push("list of consents");
        }
        if let Ok(explained) = explained
            && holder.in_network
        {
            let asking = Asking {
                asker: other,
                purpose: Purpose::Treat,
                role: Role::Clinician,
            };
            let when = crate::verdict::When {
                position: holder.position(),
                clock: chartmesh_core::ports::Clock::now(self.node.world()),
            };
            let verdict = shared.model.verdict(holder, patient, asking, when);
            let permits = matches!(verdict, crate::verdict::Verdict::Permit(_));
            if explained.decision.permits() != permits {
                wrong.push("explanation");
            }
        }
        for what in wrong {
            let label = &self.label;
            shared.breaks(format!("{label}: the {what} differs from the journal"));
        }
    }
}

/// Whether an input about a person meets another person under the same id or number.
fn conflict(holder: &Holder, position: u64, person: usize, nemo: bool) -> &'static str {
    let own = people::person(person);
    for known in holder.people.values() {
        let Some(face) = known.face_at(position) else {
            continue;
        };
        let same_number = face.number.is_some() && face.number == own.number;
        let same_id = known.local_id == people::local_id(person);
        if same_number || same_id {
            let is_nemo = face.given == "Nemo";
            return if is_nemo == nemo {
                "OK"
            } else {
                Code::PatientConflict.text()
            };
        }
    }
    "OK"
}

fn known(holder: &Holder, position: u64, person: usize) -> Option<&crate::model::Person> {
    let local_id = people::local_id(person);
    let mut people = holder.people.values();
    people.find(|known| known.local_id == local_id && known.face_at(position).is_some())
}

/// Patients, resources and documents that an input adds to a state, and what is there already.
fn expected(holder: &Holder, position: u64, person: usize, input: Input) -> (u64, u64, u64, u64) {
    let (findings, wording, letter) = match input {
        Input::Record {
            findings,
            wording,
            letter,
        } => (findings, wording, letter),
        _ => (0, 0, None),
    };
    let known = known(holder, position, person);
    let mut told = (0, 0, 0, 0);
    match known {
        None => (told.0, told.1) = (1, 1),
        Some(_) => told.3 = 1,
    }
    let there = known
        .map(|known| known.findings_at(position))
        .unwrap_or_default();
    for number in 0..findings {
        let id = format!("Observation/o{number}");
        if there.get(&id) == Some(&people::wording(number, wording)) {
            told.3 += 1;
        } else {
            told.1 += 1;
        }
    }
    if let Some(number) = letter {
        if there.contains_key(&format!("DocumentReference/d{number}")) {
            told.3 += 1;
        } else {
            told.1 += 1;
        }
        let sha256 = chartmesh_core::crypto::sha256(&[&people::letter(person, number)]);
        let is_there = known.is_some_and(|known| {
            let mut papers = known.papers.values();
            papers.any(|paper| {
                paper.sha256 == sha256 && paper.since <= position && !paper.is_snapshot
            })
        });
        if is_there {
            told.3 += 1;
        } else {
            told.2 += 1;
        }
    }
    told
}

/// What of an acknowledged input is not in the journal.
fn missing(holder: &Holder, position: u64, person: usize, input: Input) -> Option<String> {
    let Input::Record {
        findings, wording, ..
    } = input
    else {
        return None;
    };
    let Some(known) = known(holder, position, person) else {
        return Some("an imported person is not in the journal".to_owned());
    };
    if known.face_at(position) != Some(&people::person(person)) {
        return Some("an imported person is somebody else in the journal".to_owned());
    }
    let there = known.findings_at(position);
    let is_there = |number: u32| {
        let id = format!("Observation/o{number}");
        there.get(&id) == Some(&people::wording(number, wording))
    };
    (!(0..findings).all(is_there)).then(|| "an imported finding is not in the journal".to_owned())
}

/// The face of a patient of a holder, at present.
pub(crate) fn face_of(shared: &Shared, holder: usize, patient: PatientId) -> Option<Face> {
    let person = shared.model.holders[holder].people.get(&patient)?;
    person.face_at(u64::MAX).cloned()
}
