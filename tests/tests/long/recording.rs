//! Records of own patients: what a user puts in, and what of it must then be in the journal.

use std::collections::BTreeSet;

use chartmesh_core::{
    audit::Kind as Audited,
    flows::{Description, Mode, in_memory},
    types::{Code, PatientId},
};

use crate::{
    act::admin,
    doer::{Doer, word},
    model::Holder,
    people::{self, Input},
};

impl Doer {
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
