//! How an operation is carried out: its numbers chosen among what there is, its flow on a task.

use chartmesh_core::{
    flows::{Actor, Mode},
    records::Target,
    types::{DocumentId, Handle, MemberId, PatientId, Purpose, Role, Span, UserId},
};

use crate::{
    consenting::Consenting,
    doer::{Doer, Using, face_of},
    history::{Act, Operation},
    people::{Input, PEOPLE, SLIPS},
    quorum::involved,
    run::Run,
    verdict::Asking,
    watch::{PURPOSES, ROLES},
};

/// An administrator; the name says which command of the history it is.
pub(crate) fn admin(label: &str) -> Actor {
    Actor {
        user: UserId([8; 16]),
        name: label.to_owned(),
        role: Role::Admin,
    }
}

/// A user at the point of care.
pub(crate) fn user(label: &str, role: Role) -> Actor {
    Actor {
        user: UserId([7; 16]),
        name: label.to_owned(),
        role,
    }
}

/// How long some nodes wait before they ask to join.
const LATE_MS: u64 = 12 * 60_000;

pub(crate) fn pick<T: Clone>(from: &[T], number: u32) -> Option<T> {
    from.get(number as usize % from.len().max(1)).cloned()
}

impl Run {
    /// Carries out one operation, or nothing where there is nothing it could be about.
    pub(crate) async fn act(&mut self, index: usize, operation: Operation) {
        let label = format!("op{index}");
        let [one, two, three, four, five, six] = operation.numbers;
        let nodes = self.slots.len() as u32;
        let node = (one % nodes) as usize;
        match operation.act {
            Act::Admit => self.admit(label, one),
            Act::BadTicket => self.bad_ticket(label, one, two),
            Act::Import | Act::OddImport | Act::AddPatient => {
                self.import(label, operation.act, node, [two, three, four, five]);
            }
            Act::AddDocument => self.add_document(label, node, [two, three, four]),
            Act::Grant | Act::Deny | Act::OptOut | Act::OptIn | Act::OddConsent => {
                self.consent(label, operation.act, node, [two, three, four, five, six]);
            }
            Act::Revoke => self.revoke(label, node, two),
            Act::Locate => self.locate(label, node, [two, three, four, five, six]),
            Act::List => self.list(label, self.reader(one, five), [two, three, four]),
            Act::Fetch => self.fetch(label, self.reader(one, six), [two, three, four, five]),
            Act::Visit => self.visit(label, node, [two, three, four]),
            Act::Race => self.race(label, [one, two, three, four]),
            Act::Spoil => self.spoil(label, operation),
            Act::JoinTrouble => self.join_trouble(label, one, two),
            Act::Burst => self.burst(label, node, [two, three]),
            Act::Gossip => self.gossip(label, node),
            Act::Expel => self.expel(label, [one, two, three, four]),
            Act::Amend => self.amend(label, one, two),
            Act::Charters => self.charters(label, node, two),
            Act::Night | Act::Week => {}
            Act::Fork => self.fork(label, [two, three, four]),
            Act::Adopt => self.adopt(label, node),
            Act::Recover => self.recover(label, [two, three]),
            Act::Cosign => self.cosign(label, two),
            Act::Rekey => self.rekey(label, node, [two, three, four]),
            Act::Members | Act::Greet => self.meet(label, operation.act, node, two),
            Act::Refresh | Act::Look | Act::Count => {
                self.housekeep(label, operation.act, node, two);
            }
            Act::Replay | Act::ReplayElsewhere => self.replay(label, operation.act, [two, three]),
            Act::ForeignHandle => self.foreign_handle(label, node, [two, three]),
            Act::ForeignDocument => {
                self.foreign_document(label, self.reader(one, six), [two, three])
            }
            Act::WrongBytes => self.wrong_bytes(label, self.reader(one, six), [two, three, four]),
            act => {
                self.fault(act, node, [two, three, four, five, six]);
                if matches!(act, Act::DiskFails | Act::DiskFull) {
                    self.follow(label, node, [four, five, six]);
                }
            }
        }
    }

    pub(crate) fn doer(&self, node: usize, label: &str) -> Option<Doer> {
        let sharing = self.sharing.clone();
        let begun = self.mark();
        let running = self.shared().nodes[node].clone()?;
        Some(Doer {
            sharing,
            node: running,
            index: node,
            label: label.to_owned(),
            begun,
        })
    }

    /// What a user does on a disk that has just gone bad.
    fn follow(&mut self, label: String, node: usize, [what, who, how]: [u32; 3]) {
        match what % 10 {
            0 | 1 => self.admit(label, who),
            2 => self.bad_ticket(label, who, how),
            3 => self.import(label, Act::AddPatient, node, [who, how, 0, 0]),
            4 => self.revoke(label, node, who),
            5 => self.consent(label, Act::Grant, node, [who, how, 0, 0, 9]),
            6 => self.add_document(label, node, [who, how, 1]),
            7 => self.fetch(label, node, [who, how, 1, 0]),
            8 => self.visit(label, node, [who, how, 1]),
            _ => self.import(label, Act::Import, node, [who, how, 1, 0]),
        }
    }

    fn admit(&mut self, label: String, number: u32) {
        // A third of the nodes come late, when things go wrong already.
        let early = self.shared().elapsed_ms() < LATE_MS;
        let known = if early {
            self.slots.len() * 2 / 3
        } else {
            self.slots.len()
        };
        let outside: Vec<usize> = {
            let shared = self.shared();
            let holders = shared.model.holders.iter().enumerate();
            holders
                .filter(|(index, holder)| *index < known && !holder.in_network)
                .map(|(index, _)| index)
                .collect()
        };
        let Some(applicant) = pick(&outside, number) else {
            return;
        };
        let authority = self.authority(number);
        let (Some(doer), Some(founder)) =
            (self.doer(applicant, &label), self.doer(authority, &label))
        else {
            return;
        };
        let others = self.cosigners(authority, &label, number);
        let nodes = involved(&[applicant, authority], &others);
        self.launch(&nodes, label, doer.admit(founder, others));
    }

    fn bad_ticket(&mut self, label: String, number: u32, how: u32) {
        let applicant = (number as usize) % self.slots.len();
        let authority = self.authority(how);
        let (Some(doer), Some(founder)) =
            (self.doer(applicant, &label), self.doer(authority, &label))
        else {
            return;
        };
        self.launch(
            &[applicant, authority],
            label,
            doer.bad_ticket(founder, how),
        );
    }

    pub(crate) fn import(&mut self, label: String, act: Act, node: usize, numbers: [u32; 4]) {
        let [who, what, how, letter] = numbers;
        let person = who as usize % PEOPLE;
        let Some(doer) = self.doer(node, &label) else {
            return;
        };
        if act == Act::AddPatient {
            self.launch(&[node], label, doer.add_patient(person));
            return;
        }
        let odd = [
            Input::Conflict,
            Input::Unknown,
            Input::Foreign,
            Input::Broken,
            Input::Double,
            Input::Odd,
        ];
        let input = if act == Act::OddImport {
            odd[what as usize % odd.len()]
        } else {
            Input::Record {
                findings: what % 5,
                wording: how % 3,
                letter: (letter % 3 == 0).then_some(letter % 7),
            }
        };
        let mode = if how % 11 == 0 {
            Mode::DryRun
        } else {
            Mode::Store
        };
        // The person whose number somebody else has by now.
        let then = self.doer(node, &label);
        let then = then.filter(|_| input == Input::Conflict && how % 2 == 0);
        self.launch(&[node], label, async move {
            doer.import(person, input, mode).await;
            if let Some(then) = then {
                then.add_patient(person).await;
            }
        });
    }

    /// Somebody of a node, by a number.
    fn patient(&self, node: usize, number: u32) -> Option<PatientId> {
        let shared = self.shared();
        let people: Vec<PatientId> = shared.model.holders[node].people.keys().copied().collect();
        pick(&people, number)
    }

    fn add_document(&mut self, label: String, node: usize, [who, what, size]: [u32; 3]) {
        let patient = self.patient(node, who).unwrap_or(PatientId([1; 16]));
        let Some(doer) = self.doer(node, &label) else {
            return;
        };
        let mut bytes = format!("paper {} of {label}", what % 40).into_bytes();
        if size % 6 == 0 {
            bytes.resize(bytes.len() + (size / 7 % 200_000) as usize, b'.');
        }
        self.launch(&[node], label, doer.add_document(patient, bytes));
    }

    fn consent(&mut self, label: String, act: Act, node: usize, numbers: [u32; 5]) {
        let [who, whom, what, word, when] = numbers;
        let unknown = act == Act::OddConsent && who % 3 == 0;
        let patient = self.patient(node, who).filter(|_| !unknown);
        let other = whom as usize % self.slots.len();
        let target = {
            let shared = self.shared();
            let holder = &shared.model.holders[other];
            match whom / 64 % 8 {
                0..=3 => Target::Member(holder.member),
                4 => Target::Node(holder.key()),
                5 => Target::Organization(holder.organization.name.clone()),
                6 => Target::Kind(holder.organization.kind),
                _ => Target::Any,
            }
        };
        let Some(doer) = self.doer(node, &label) else {
            return;
        };
        let wish = Consenting {
            act,
            patient: patient.unwrap_or(PatientId([1; 16])),
            target,
            purpose: PURPOSES[what as usize % PURPOSES.len()],
            word,
            when,
        };
        let asked = (act == Act::OptOut).then_some(patient).flatten();
        let asked = asked.and_then(|patient| self.asked_about(&label, (node, other), patient));
        // Where either has no power the command is over.
        let nodes = if asked.is_some() {
            vec![node, other]
        } else {
            vec![node]
        };
        self.launch(&nodes, label, async move {
            doer.consent(wish).await;
            if let Some((asker, face, asking, only)) = asked {
                let wait = Span::seconds(10);
                asker.locate_alone(face, asking, wait, only).await;
            }
        });
    }

    /// A question about somebody who has just opted out, for a purpose that is not open to everybody.
    fn asked_about(
        &self,
        label: &str,
        (node, other): (usize, usize),
        patient: PatientId,
    ) -> Option<(Doer, crate::people::Face, Asking, Vec<MemberId>)> {
        let asking = Asking {
            asker: other,
            purpose: Purpose::Hpaymt,
            role: Role::Clinician,
        };
        let face = face_of(&self.shared(), node, patient)?;
        let asker = self.doer(other, &format!("{label}q"))?;
        let only = vec![self.member(node)];
        (other != node).then_some((asker, face, asking, only))
    }

    fn revoke(&mut self, label: String, node: usize, number: u32) {
        let chosen = {
            let shared = self.shared();
            let said = &shared.model.holders[node].said;
            let live: Vec<_> = said
                .iter()
                .filter(|said| said.revoked.is_none())
                .map(|said| said.consent.id)
                .collect();
            let all: Vec<_> = said.iter().map(|said| said.consent.id).collect();
            if number % 7 == 0 {
                pick(&all, number / 7)
            } else {
                pick(&live, number / 7)
            }
        };
        let chosen = chosen.unwrap_or(chartmesh_core::types::ConsentId([1; 16]));
        if let Some(doer) = self.doer(node, &label) {
            self.launch(&[node], label, doer.revoke(chosen));
        }
    }

    fn locate(&mut self, label: String, node: usize, numbers: [u32; 5]) {
        let [who, slip, purpose, role, how] = numbers;
        let Some(doer) = self.doer(node, &label) else {
            return;
        };
        let asking = Asking {
            asker: node,
            purpose: PURPOSES[purpose as usize % PURPOSES.len()],
            role: ROLES[role as usize % ROLES.len()],
        };
        let face =
            crate::people::question(who as usize % PEOPLE, SLIPS[slip as usize % SLIPS.len()]);
        let deadline = if how % 9 == 0 {
            Span(150)
        } else {
            Span::seconds(10)
        };
        let only = if how % 5 == 0 {
            vec![self.member(how as usize / 5 % self.slots.len())]
        } else {
            Vec::new()
        };
        self.launch(
            &[node],
            label,
            doer.locate_alone(face, asking, deadline, only),
        );
    }

    /// A node that was given a handle, or now and then any.
    pub(crate) fn reader(&self, number: u32, how: u32) -> usize {
        let shared = self.shared();
        let holders = shared.model.holders.iter().enumerate();
        let given: Vec<usize> = holders
            .filter(|(_, holder)| !holder.got.is_empty())
            .map(|(index, _)| index)
            .collect();
        match pick(&given, number) {
            Some(reader) if how % 12 != 0 => reader,
            _ => number as usize % self.slots.len(),
        }
    }

    /// A handle that a node was given, the latest more often.
    pub(crate) fn handle(&self, node: usize, number: u32) -> Option<Handle> {
        let shared = self.shared();
        let got = &shared.model.holders[node].got;
        let recent = got.len().saturating_sub(6);
        let from = if number % 4 == 0 { 0 } else { recent };
        got.get(from..)
            .and_then(|got| got.get(number as usize / 4 % got.len().max(1)))
            .map(|(handle, _)| *handle)
    }

    /// What a handle is about, by what its holder says, and its documents.
    pub(crate) fn papers(&self, handle: Handle) -> Option<(usize, PatientId, Vec<DocumentId>)> {
        let shared = self.shared();
        let mut holders = shared.model.holders.iter().enumerate();
        holders.find_map(|(index, holder)| {
            let given = holder.given.get(&handle)?;
            let person = holder.people.get(&given.patient)?;
            let mut papers = person.papers_at(u64::MAX);
            papers.push(person.summary);
            Some((index, given.patient, papers))
        })
    }

    pub(crate) fn using(&self, node: usize, purpose: u32, role: u32) -> Using {
        let asking = Asking {
            asker: node,
            purpose: if purpose % 3 == 0 {
                PURPOSES[purpose as usize / 3 % PURPOSES.len()]
            } else {
                Purpose::Treat
            },
            role: ROLES[role as usize % ROLES.len()],
        };
        Using {
            asking,
            handle: Handle([3; 20]),
            document: DocumentId([4; 16]),
        }
    }

    pub(crate) fn list(&mut self, label: String, node: usize, [which, purpose, role]: [u32; 3]) {
        let Some(doer) = self.doer(node, &label) else {
            return;
        };
        let using = self.using(node, purpose, role);
        let handle = self.handle(node, which).unwrap_or(using.handle);
        self.launch(&[node], label, doer.list_alone(Using { handle, ..using }));
    }

    pub(crate) fn fetch(&mut self, label: String, node: usize, numbers: [u32; 4]) {
        let [which, what, purpose, role] = numbers;
        let Some(doer) = self.doer(node, &label) else {
            return;
        };
        let mut using = self.using(node, purpose, role);
        if let Some(handle) = self.handle(node, which) {
            using.handle = handle;
            let papers = self
                .papers(handle)
                .map(|(_, _, papers)| papers)
                .unwrap_or_default();
            using.document = pick(&papers, what).unwrap_or(using.document);
        }
        self.launch(&[node], label, doer.fetch_alone(using));
    }

    pub(crate) fn visit(&mut self, label: String, node: usize, [whose, who, what]: [u32; 3]) {
        let holder = whose as usize % self.slots.len();
        let (Some(doer), Some(there)) = (self.doer(node, &label), self.doer(holder, &label)) else {
            return;
        };
        let Some(patient) = self.patient(holder, who) else {
            return;
        };
        if holder != node {
            self.launch(&[node, holder], label, doer.visit(there, patient, what));
        }
    }

    pub(crate) fn meet(&mut self, label: String, act: Act, node: usize, with: u32) {
        // Half of the news is asked of the authority, which has it first.
        let is_authority = act == Act::Members && with % 2 == 0;
        let other = if is_authority {
            self.authority(with / 2)
        } else {
            with as usize % self.slots.len()
        };
        let Some(doer) = self.doer(node, &label).filter(|_| other != node) else {
            return;
        };
        let (member, key) = (self.member(other), self.slots[other].node.node_key());
        if act == Act::Greet {
            self.launch(&[node], label, doer.greet(other, key));
        } else {
            self.launch(&[node], label, doer.members(other, member));
        }
    }

    fn housekeep(&mut self, label: String, act: Act, node: usize, number: u32) {
        let Some(doer) = self.doer(node, &label) else {
            return;
        };
        match act {
            Act::Refresh => {
                let address = vec![4, 127, 0, (number % 4) as u8, node as u8];
                doer.node.set_addresses(vec![address]);
                self.shared().cell("refresh", "OK");
            }
            Act::Count => self.launch(&[node], label, doer.count()),
            _ => {
                let patient = self.patient(node, number).unwrap_or(PatientId([1; 16]));
                let other = number as usize % self.slots.len();
                self.launch(&[node], label, doer.look(patient, other));
            }
        }
    }
}
