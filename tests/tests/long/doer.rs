//! One command of one user: what is asked of the product, and what the model makes of the answer.

use std::{
    collections::BTreeSet,
    sync::{Arc, MutexGuard},
};

use chartmesh_core::{
    audit::Kind as Audited,
    flows::{FlowError, Node},
    ports::Rpc,
    records::Target,
    types::{DocumentId, Handle, PatientId, Purpose, Role},
};
use chartmesh_tests::{Frame, SimNet, world::SimWorld};

use crate::{
    model::Holder,
    people::Face,
    shared::{Mark, Shared, Sharing},
    verdict::Asking,
};

/// A sealed refusal is shorter than this, and everything else that is sealed is longer.
const REFUSED_MAX_BYTES: usize = 450;

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

    pub(crate) fn both_settled(&self, other: usize) -> bool {
        let shared = self.shared();
        shared.is_settled(self.index, &self.begun)
            && shared.is_settled(other, &self.begun)
            && shared.are_in_step(self.index, other, &self.begun)
    }

    pub(crate) fn knows(&self, other: usize) -> bool {
        let shared = self.shared();
        let other = shared.model.holders[other].member;
        let holder = &shared.model.holders[self.index];
        holder.knows(other, self.begun.positions[self.index])
    }

    /// Whether another node knew this one as a member when the command began.
    pub(crate) fn is_known_to(&self, other: usize) -> bool {
        let shared = self.shared();
        let own = shared.model.holders[self.index].member;
        shared.model.holders[other].knows(own, self.begun.positions[other])
    }

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

/// The face of a patient of a holder, at present.
pub(crate) fn face_of(shared: &Shared, holder: usize, patient: PatientId) -> Option<Face> {
    let person = shared.model.holders[holder].people.get(&patient)?;
    person.face_at(u64::MAX).cloned()
}
