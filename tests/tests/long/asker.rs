//! The asker's commands: locate, list, fetch, and all three in a visit; and what a liar tries.

use std::collections::BTreeSet;

use chartmesh_core::{
    flows::{Fetch, Search, Statement, Told, Wanted},
    locator::{Answer, Ledger, Line},
    ports::Clock,
    records::{ConsentForm, Provision, Target},
    types::{Code, Handle, MemberId, PatientId, Purpose, Role, Span},
};

use crate::{
    act::user,
    doer::{Doer, Using, face_of, word},
    model::Person,
    people::{Face, Guess},
    shared::{Question, Shared},
    trust::Standing,
    verdict::{Asking, Use},
};

/// How much longer than its deadline a command may take, journal and slow link included.
const GRACE_MS: u64 = 3_000;

impl Doer {
    pub(crate) async fn locate_alone(
        mut self,
        face: Face,
        asking: Asking,
        deadline: Span,
        only: Vec<MemberId>,
    ) {
        let _found = self.locate(face, asking, deadline, only).await;
    }

    /// Asks, and judges every line of the ledger.
    async fn locate(
        &mut self,
        face: Face,
        asking: Asking,
        deadline: Span,
        only: Vec<MemberId>,
    ) -> Option<Ledger> {
        self.begin();
        let question = Question {
            face: face.clone(),
            asking,
        };
        self.shared()
            .meant
            .insert(self.label.clone(), question.clone());
        let search = Search {
            demographics: face.demographics(),
            patient: None,
            purpose: asking.purpose,
            deadline,
            only: only.clone(),
        };
        let located = self
            .node
            .locate(&user(&self.label, asking.role), &search)
            .await;
        let foreseen = {
            let shared = self.shared();
            let may_ask = if shared.model.may_ask(asking) {
                "OK"
            } else if asking.purpose == Purpose::Btg {
                Code::NoSession.text()
            } else {
                Code::RoleForbidden.text()
            };
            let holder = &shared.model.holders[self.index];
            let first = if holder.in_network {
                may_ask
            } else {
                Code::NoNetwork.text()
            };
            BTreeSet::from([first])
        };
        let is_well = self.shared().is_well(self.index, &self.begun);
        let joined = self.shared().model.holders[self.index].in_network;
        let joined_before = self.begun.positions[self.index] > 0;
        let exact = is_well && (joined == self.was_joined() || !joined_before);
        self.note("locate", word(&located), exact.then_some(&foreseen));
        let ledger = located.ok()?;
        for line in &ledger.lines {
            self.judge_line(line, &question, deadline, &only);
        }
        self.judge_time("locate", deadline);
        Some(ledger)
    }

    fn was_joined(&self) -> bool {
        let shared = self.shared();
        let holder = &shared.model.holders[self.index];
        holder.knows(holder.member, self.begun.positions[self.index])
    }

    /// A slow or dead node costs nothing but its own line.
    fn judge_time(&self, flow: &str, deadline: Span) {
        let shared = self.shared();
        let took = shared.elapsed_ms() - self.begun.at_ms;
        let is_well = shared.is_well(self.index, &self.begun);
        drop(shared);
        if is_well && took > deadline.0 + GRACE_MS {
            let label = &self.label;
            self.shared().breaks(format!(
                "{label}: a {flow} of {} ms took {took} ms",
                deadline.0
            ));
        }
    }

    fn judge_line(&self, line: &Line, question: &Question, deadline: Span, only: &[MemberId]) {
        let Some(holder) = self.shared().model.index_of(line.member) else {
            self.shared()
                .breaks(format!("{}: a line of a stranger", self.label));
            return;
        };
        let is_settled = self.both_settled(holder)
            && self.knows(holder)
            && deadline >= Span::seconds(10)
            && (only.is_empty() || only.contains(&line.member));
        let foreseen: BTreeSet<&str> = {
            let shared = self.shared();
            let spent = shared
                .locates
                .get(&(self.index, holder))
                .copied()
                .unwrap_or(0);
            let there = &shared.model.holders[holder];
            let mut foreseen: BTreeSet<&str> = shared
                .moments(holder, &self.begun)
                .into_iter()
                .map(|when| {
                    let standing = shared.model.standing(there, question.asking, when);
                    if standing != Standing::Good {
                        return "refused";
                    }
                    let guess = shared
                        .model
                        .answer(there, &question.face, question.asking, when);
                    match guess {
                        Guess::Nobody => "no-match",
                        Guess::MoreNeeded => "more-needed",
                        Guess::One(_) => "match",
                    }
                })
                .collect();
            if spent >= there.locates_per_day() {
                foreseen.insert("over-budget");
            }
            foreseen
        };
        self.note("line", line.answer.term(), is_settled.then_some(&foreseen));
        if let Answer::Refused(code) = &line.answer {
            self.shared().cell("line refused", code.text());
        }
        if let Answer::Match(found) = &line.answer {
            let problem = {
                let shared = self.shared();
                let given = shared.model.holders[holder].given.get(&found.handle);
                let face = given.and_then(|given| face_of(&shared, holder, given.patient));
                let shown = found.demographics.as_ref();
                let own = shared.model.holders[self.index].member;
                match (given, face, shown) {
                    (Some(given), Some(face), Some(shown)) => {
                        let is_right = given.asker == own
                            && shown.names[0].family == face.family
                            && shown.names[0].given == [face.given.clone()]
                            && shown.birth_date == face.birth;
                        (!is_right).then_some("a match that shows somebody else")
                    }
                    _ => Some("a match that its holder did not give"),
                }
            };
            if let Some(problem) = problem {
                self.shared().breaks(format!("{}: {problem}", self.label));
            }
        }
    }

    pub(crate) async fn list_alone(mut self, using: Using) {
        self.list(using).await;
    }

    pub(crate) async fn list(&mut self, using: Using) {
        self.begin();
        let deadline = Span::seconds(10);
        let until = self.node.world().now().plus(deadline);
        let actor = user(&self.label, using.asking.role);
        let (handle, purpose) = (using.handle, using.asking.purpose);
        let wanted = Wanted {
            limit: 500,
            ..Wanted::default()
        };
        let listed = self
            .node
            .list(&actor, handle, purpose, &wanted, until)
            .await;
        let foreseen = self.foresee(using, |_, _| "OK");
        self.note("list", word(&listed), foreseen.as_ref());
        self.judge_time("list", deadline);
        let Ok((entries, complete)) = listed else {
            return;
        };
        let problem = {
            let shared = self.shared();
            let told: BTreeSet<_> = entries.iter().map(|entry| entry.id).collect();
            let fits = |person: &Person, position: u64| {
                let mut there: BTreeSet<_> = person.papers_at(position).into_iter().collect();
                there.insert(person.summary);
                there == told
            };
            let is_right = self.holds_somewhere(&shared, using, fits);
            let is_whole = told.len() == entries.len() && complete;
            (!is_right || !is_whole).then_some("a list that was never so, or not for this asker")
        };
        if let Some(problem) = problem {
            self.shared().breaks(format!("{}: {problem}", self.label));
        }
    }

    /// Whether something is true of the patient of a handle at a state in which its use is permitted.
    fn holds_somewhere(
        &self,
        shared: &Shared,
        using: Using,
        holds: impl Fn(&Person, u64) -> bool,
    ) -> bool {
        let mut holders = shared.model.holders.iter().enumerate();
        let found = holders.find_map(|(index, holder)| {
            let given = holder.given.get(&using.handle)?;
            Some((index, holder, given, holder.people.get(&given.patient)?))
        });
        let Some((index, holder, given, person)) = found else {
            return false;
        };
        let moments = shared.moments(index, &self.begun);
        moments.into_iter().any(|when| {
            let used = shared.model.use_of(holder, Some(given), using.asking, when);
            used == Use::Permitted && holds(person, when.position)
        })
    }

    /// What the model foresees of using a handle, where nothing went wrong between the two ends.
    fn foresee(
        &self,
        using: Using,
        permitted: impl Fn(&Person, u64) -> &'static str,
    ) -> Option<BTreeSet<&'static str>> {
        let shared = self.shared();
        let unknown = Code::HandleUnknown.text();
        let own = &shared.model.holders[self.index];
        let got = own
            .got
            .iter()
            .rev()
            .find(|(handle, _)| *handle == using.handle);
        let Some((_, got)) = got else {
            return shared
                .is_well(self.index, &self.begun)
                .then(|| BTreeSet::from([unknown]));
        };
        let holder = shared.model.index_of(got.holder)?;
        let is_settled = shared.is_settled(self.index, &self.begun)
            && shared.is_settled(holder, &self.begun)
            && shared.are_in_step(self.index, holder, &self.begun)
            && !shared.liars.contains(&self.index)
            && !shared.wrong.contains(&holder);
        if !is_settled {
            return None;
        }
        let there = &shared.model.holders[holder];
        let given = there.given.get(&using.handle);
        let mut foreseen = BTreeSet::new();
        for when in shared.moments(holder, &self.begun) {
            foreseen.insert(
                match shared.model.use_of(there, given, using.asking, when) {
                    Use::Denied => Code::Denied.text(),
                    Use::Out => Code::PeerRefused.text(),
                    Use::Stale => Code::TrustStale.text(),
                    Use::Unknown => unknown,
                    Use::Permitted => {
                        let person = given.and_then(|given| there.people.get(&given.patient));
                        person.map_or(unknown, |person| permitted(person, when.position))
                    }
                },
            );
        }
        // By whatever its clock or its journal showed: what was over once is forgotten, also where its
        // operator has set the clock back.
        let clock = self.node.world().now();
        let ends = [self.begun.clocks[self.index], clock, own.last_time];
        if ends.iter().any(|now| *now >= got.until) {
            foreseen.insert(unknown);
        }
        Some(foreseen)
    }

    pub(crate) async fn fetch_alone(mut self, using: Using) {
        self.fetch(using).await;
    }

    pub(crate) async fn fetch(&mut self, using: Using) -> &'static str {
        self.begin();
        let fetch = Fetch {
            handle: using.handle,
            document: using.document,
            purpose: using.asking.purpose,
        };
        let actor = user(&self.label, using.asking.role);
        let mut bytes = Vec::new();
        let told: Told<'_> = (&|_, _| (), &|| true);
        let fetched = self.node.fetch(&actor, fetch, told, &mut bytes).await;
        let outcome = word(&fetched);
        let foreseen = self.foresee(using, |person, position| {
            let stored = person.papers.get(&using.document);
            let stored = stored.is_some_and(|paper| paper.since <= position && !paper.is_snapshot);
            if stored || person.summary == using.document {
                "OK"
            } else {
                Code::HandleUnknown.text()
            }
        });
        self.note("fetch", outcome, foreseen.as_ref());
        if let Ok(fetched) = fetched {
            let is_right = {
                let shared = self.shared();
                let letter = shared.letters.get(&(fetched.holder, using.document));
                let as_given = letter.is_none_or(|letter| *letter == bytes);
                as_given
                    && self.holds_somewhere(&shared, using, |person, position| {
                        shows(person, position, using, &bytes)
                    })
            };
            if !is_right {
                self.shared()
                    .breaks(format!("{}: a fetch of what it must not be", self.label));
            }
        }
        outcome
    }

    /// Asks about a patient of another node, is granted access there, and reads.
    pub(crate) async fn visit(mut self, mut there: Self, patient: PatientId, number: u32) {
        let Some(face) = face_of(&self.shared(), there.index, patient) else {
            return;
        };
        // A handle for a payment is worth nothing to a clerk who wants to treat.
        let pays = number % 16 == 2;
        let purpose = if pays {
            Purpose::Hpaymt
        } else {
            Purpose::Treat
        };
        let asking = Asking {
            asker: self.index,
            purpose,
            role: Role::Clinician,
        };
        there
            .grant(patient, self.node.member(), purpose, number % 4 == 0)
            .await;
        let only = vec![there.node.member()];
        let ledger = self.locate(face, asking, Span::seconds(10), only).await;
        let handle = ledger.and_then(|ledger| handle_of(&ledger, there.node.member()));
        let Some(handle) = handle else {
            return;
        };
        let document = {
            let shared = self.shared();
            let person = shared.model.holders[there.index].people.get(&patient);
            let mut papers = person
                .map(|person| person.papers_at(u64::MAX))
                .unwrap_or_default();
            papers.extend(person.map(|person| person.summary));
            papers.get(number as usize % papers.len().max(1)).copied()
        };
        let Some(document) = document else {
            return;
        };
        let using = Using {
            asking,
            handle,
            document,
        };
        self.list(using).await;
        if pays {
            let asking = Asking {
                purpose: Purpose::Treat,
                role: Role::FrontDesk,
                ..asking
            };
            self.list(Using { asking, ..using }).await;
        }
        let outcome = self.fetch(using).await;
        self.shared().reached.insert(self.label.clone(), outcome);
    }

    async fn grant(&mut self, patient: PatientId, to: MemberId, purpose: Purpose, denies: bool) {
        let statement = Statement {
            patient,
            provision: if denies {
                Provision::Deny
            } else {
                Provision::Permit
            },
            form: ConsentForm::Provision,
            target: Target::Member(to),
            purposes: vec![purpose],
            by: "patient".to_owned(),
            evidence: Some(chartmesh_core::records::Evidence {
                sha256: [5; 32],
                content_type: "application/pdf".to_owned(),
                size: 900,
            }),
            witness: None,
            from: None,
            until: None,
            even_emergency: false,
        };
        let actor = user(&self.label, Role::FrontDesk);
        let stated = self.node.state_consent(&actor, statement).await;
        self.note("consent", word(&stated), None);
    }
}

/// The handle a member gave in a ledger.
pub(crate) fn handle_of(ledger: &Ledger, member: MemberId) -> Option<Handle> {
    let line = ledger.lines.iter().find(|line| line.member == member)?;
    match &line.answer {
        Answer::Match(found) => Some(found.handle),
        _ => None,
    }
}

/// Whether bytes are what a document of a person was at a state.
fn shows(person: &Person, position: u64, using: Using, bytes: &[u8]) -> bool {
    if person.summary != using.document {
        let sha256 = chartmesh_core::crypto::sha256(&[bytes]);
        let paper = person.papers.get(&using.document);
        return paper.is_some_and(|paper| paper.since <= position && paper.sha256 == sha256);
    }
    let Ok(bundle) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return false;
    };
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let Some((patient, rest)) = entries.split_first() else {
        return false;
    };
    let face = Face::read(patient["resource"].to_string().as_bytes());
    let findings = rest.iter().map(|entry| {
        let resource = &entry["resource"];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let id = format!(
            "{}/{}",
            text(&resource["resourceType"]),
            text(&resource["id"])
        );
        (id, text(&resource["code"]["text"]))
    });
    person.face_at(position) == Some(&face)
        && findings.collect::<std::collections::BTreeMap<_, _>>() == person.findings_at(position)
}
