//! Watches every commit and every frame, and judges each entry of each log at the moment it is written.

use chartmesh_core::{
    audit::{Entry, Kind as Audited},
    ports::Rpc,
    records::Record,
    types::{Code, Handle, NodeKey, Purpose, Role, Span, Timestamp},
};
use chartmesh_tests::{Frame, Kind, RELEASE_REFUSED_MAX_BYTES, Seen};

use crate::{
    model::{Holder, Written},
    people::Guess,
    shared::Shared,
    verdict::{Asking, Verdict, When, covers},
};

/// How long before its entry something may have been decided: the queue of the journal.
pub(crate) const DECIDED_WITHIN_MS: u64 = 4_000;

impl Shared {
    /// Takes note of what happens.
    pub(crate) fn see(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::Committed {
                node,
                clock,
                records,
                durable,
            } => {
                let index = self.model.index(node);
                self.counts.commits += 1;
                if !durable {
                    self.breaks(format!("node {index} acknowledged what is not on its disk"));
                }
                self.take(index, records);
                for number in self.new_entries(index, records) {
                    self.judge(index, number, clock);
                }
                self.judge_handles(index, records);
            }
            Seen::Opened {
                node,
                records,
                opened,
            } => {
                let index = self.model.index(node);
                if let Some(problem) = opened.and_then(|opened| opened.problem) {
                    self.breaks(format!("node {index} cannot read its journal: {problem}"));
                }
                self.reopen(index, records);
                self.goes_by(index, node);
            }
            Seen::Sent(frame) => self.sent(frame),
            Seen::Arrived(frame) => self.arrived(frame),
            Seen::Panicked { node } => {
                let index = self.model.index(node);
                self.breaks(format!("node {index} panicked in an answer"));
            }
        }
    }

    fn take(&mut self, index: usize, records: &[Record]) {
        let at_ms = self.elapsed_ms();
        if let Err(problem) = self.model.holders[index].take(records, at_ms) {
            self.breaks(format!("node {index}: {problem}"));
        }
        if let Some(wrong) = self.model.holders[index].trusted.wrong.take() {
            self.breaks(format!("node {index} goes by {wrong}"));
        }
        if self.model.holders[index].is_turned_back {
            self.breaks(format!(
                "node {index} took an older statement for a newer one"
            ));
        }
    }

    fn new_entries(&self, index: usize, records: &[Record]) -> Vec<usize> {
        let first = records.first().map_or(u64::MAX, |record| record.position);
        let log = self.model.holders[index].log.iter().enumerate();
        let new = log.filter(|(_, written)| written.position >= first);
        new.map(|(number, _)| number).collect()
    }

    /// What was committed is there, byte for byte, and nothing but one commit that nobody heard of.
    fn reopen(&mut self, index: usize, records: &[Record]) {
        let holder = &mut self.model.holders[index];
        let known = holder.leaves.len();
        let is_there = |(record, leaf): (&Record, &[u8; 32])| record.leaf == *leaf;
        let same = records.iter().zip(&holder.leaves).all(is_there);
        if records.len() < known || !same {
            let found = records.len();
            self.breaks(format!(
                "node {index} lost what it acknowledged: {found} of {known} records"
            ));
            return;
        }
        let unheard = &records[known..];
        if !unheard.is_empty() {
            self.take(index, unheard);
        }
        // What was under way ended with the power: no key leaves for any entry of before.
        self.model.holders[index].unsent.clear();
    }

    fn arrived(&mut self, frame: &Frame) {
        let index = self.model.index(frame.to);
        if frame.rpc == Rpc::Locate {
            let from = self.model.index(frame.from);
            *self.locates.entry((from, index)).or_default() += 1;
        }
        self.capture(frame);
    }

    fn capture(&mut self, frame: &Frame) {
        const CAPTURED_MAX: usize = 300;
        if self.captured.len() >= CAPTURED_MAX {
            self.captured.pop_front();
        }
        self.captured.push_back(frame.clone());
    }

    fn sent(&mut self, frame: &Frame) {
        self.counts.frames += 1;
        let kind = format!("{:?} {:?}", frame.rpc, frame.kind);
        self.trace(&[&frame.from.0, &frame.to.0, kind.as_bytes(), &frame.bytes]);
        if let Kind::Refusal(code) = frame.kind {
            self.cell(&format!("bare {:?}", frame.rpc).to_lowercase(), code.text());
        }
        let has_key = frame.rpc == Rpc::Release
            && frame.kind == Kind::Answer
            && frame.bytes.len() > RELEASE_REFUSED_MAX_BYTES;
        self.judge_served(frame);
        self.judge_key(frame);
        self.judge_opening_key(frame);
        if has_key {
            self.key_left(frame.from, frame.to);
        }
    }

    /// A key leaves once for each disclosure that is on the disk, and never after its consent is revoked.
    fn key_left(&mut self, from: NodeKey, to: NodeKey) {
        self.counts.keys += 1;
        let (index, asker) = (self.model.index(from), self.model.index(to));
        let member = self.model.holders[asker].member;
        let holder = &mut self.model.holders[index];
        let of_asker = |(owed, ..): &(_, _, _)| *owed == member;
        let Some(found) = holder.unsent.iter().position(of_asker) else {
            self.breaks(format!(
                "node {index} gave node {asker} a key without a durable entry"
            ));
            return;
        };
        let (_, _, position) = holder.unsent.remove(found);
        let written = holder
            .log
            .iter()
            .find(|written| written.position == position);
        let consent = written.and_then(|written| written.entry.consent);
        let said = consent.and_then(|consent| holder.consent(consent));
        if said.is_some_and(|said| said.revoked.is_some()) {
            self.breaks(format!(
                "node {index} gave node {asker} a key under a revoked consent"
            ));
        }
        if self.expelled.contains(&(index, member)) {
            self.breaks(format!(
                "node {index} gave node {asker} a key after it was thrown out"
            ));
        }
        if self.crash_at_key == Some(index) {
            self.crash_at_key = None;
            self.disks[index].crash(0);
            self.disturb(index);
            self.disturb(asker);
        }
    }

    /// A handle that somebody was given was given by its holder to just this asker.
    fn judge_handles(&mut self, index: usize, records: &[Record]) {
        if self.liars.contains(&index) {
            return;
        }
        let first = records.first().map_or(u64::MAX, |record| record.position);
        let holder = &self.model.holders[index];
        let member = holder.member;
        let strays: Vec<Handle> = holder
            .got
            .iter()
            .filter(|(_, got)| got.since >= first)
            .filter(|(handle, got)| {
                let by = self
                    .model
                    .index_of(got.holder)
                    .map(|by| &self.model.holders[by]);
                let given = by.and_then(|by| by.given.get(handle));
                given.is_none_or(|given| given.asker != member)
            })
            .map(|(handle, _)| *handle)
            .collect();
        if !strays.is_empty() {
            self.breaks(format!(
                "node {index} believes a handle that nobody gave it"
            ));
        }
    }

    /// Judges one entry of a log.
    fn judge(&mut self, index: usize, number: usize, clock: Timestamp) {
        let written = &self.model.holders[index].log[number];
        let (entry, commit) = (written.entry.clone(), written.commit);
        let outcome = entry.code.map_or("OK", Code::text);
        self.cell(&format!("log {}", entry.kind.text()), outcome);
        let problem = match entry.kind {
            Audited::LocateAsked => self.judge_asked(index, &entry),
            Audited::Located => self.judge_located(index, &entry, commit, clock),
            Audited::Listed | Audited::Fetched => {
                self.judge_permitted(index, &entry, self.decided(index, commit, clock))
            }
            Audited::Disclosed => {
                // Decided in the patient's turn, so on exactly what stands before the entry.
                let position = commit - 1;
                let early = clock.minus(Span(DECIDED_WITHIN_MS));
                let moments = [clock, early].map(|clock| When { position, clock });
                self.judge_permitted(index, &entry, moments.to_vec())
            }
            Audited::Denied => self.judge_denied(index, &entry, self.decided(index, commit, clock)),
            Audited::ListAsked => self.judge_list_asked(index, &entry),
            Audited::Received => self.judge_received(index, &entry),
            _ => None,
        };
        let problem = problem
            .or_else(|| self.judge_trust(index, &entry, &self.decided(index, commit, clock)))
            .or_else(|| self.judge_taken(index, &entry))
            .or_else(|| self.judge_taken_by(index, &entry));
        if let Some(problem) = problem {
            let kind = entry.kind.text();
            self.breaks(format!("node {index}, entry {kind} at {commit}: {problem}"));
        }
    }

    /// The states on which something that was just committed may have been decided.
    fn decided(&self, index: usize, commit: u64, clock: Timestamp) -> Vec<When> {
        let holder = &self.model.holders[index];
        let since = self.elapsed_ms().saturating_sub(DECIDED_WITHIN_MS);
        let first = holder.position_at(since).min(commit - 1);
        let clocks = [clock, clock.minus(Span(DECIDED_WITHIN_MS))];
        (first..commit)
            .flat_map(|position| clocks.map(|clock| When { position, clock }))
            .collect()
    }

    pub(crate) fn asking(&self, entry: &Entry) -> Option<Asking> {
        Some(Asking {
            asker: self.model.index_of(entry.member?)?,
            purpose: entry.purpose?,
            role: entry.role?,
        })
    }

    fn judge_asked(&mut self, index: usize, entry: &Entry) -> Option<String> {
        let meant = self.meant.get(&entry.actor).cloned();
        let (Some(meant), Some(query)) = (meant, entry.query_hash) else {
            return Some("nobody asked this".to_owned());
        };
        if meant.asking.asker != index {
            return Some("somebody else asked this".to_owned());
        }
        self.questions.insert(query, meant);
        None
    }

    fn judge_located(
        &mut self,
        index: usize,
        entry: &Entry,
        commit: u64,
        clock: Timestamp,
    ) -> Option<String> {
        let asking = self.asking(entry)?;
        let query = entry.query_hash?;
        let Some(question) = self.questions.get(&query) else {
            return Some("an answer to what nobody asked".to_owned());
        };
        if question.asking.asker != asking.asker {
            return Some("an answer to another member than the one that asked".to_owned());
        }
        let holder = &self.model.holders[index];
        let same = |other: &&Written| {
            other.entry.query_hash == Some(query) && other.entry.member == entry.member
        };
        if holder.entries(Audited::Located).filter(same).count() > 1 {
            return Some("one question is answered twice".to_owned());
        }
        if entry.description == "answered: refused" {
            let spent = self
                .locates
                .get(&(asking.asker, index))
                .copied()
                .unwrap_or(0);
            return match entry.code {
                Some(Code::OverBudget) if spent <= self.model.holders[index].locates_per_day() => {
                    Some("a budget that is not spent".to_owned())
                }
                // Whether it has run out is judged for every entry.
                Some(Code::OverBudget | Code::TrustStale) => None,
                _ if self.model.may_ask(asking) => Some("a refusal without a reason".to_owned()),
                _ => None,
            };
        }
        let moments = self.decided(index, commit, clock);
        let fits = |when: &When| {
            let guess = self.model.answer(holder, &question.face, asking, *when);
            match guess {
                Guess::Nobody => entry.description == "answered: no match",
                Guess::MoreNeeded => entry.description == "answered: more needed",
                Guess::One(id) => {
                    entry.description == "answered: match" && entry.patient == Some(id)
                }
            }
        };
        let is_asked = self.model.may_ask(asking);
        if !is_asked || !moments.iter().any(fits) {
            return Some(format!(
                "{} where the model knows better",
                entry.description
            ));
        }
        None
    }

    /// What was given was permitted, by the consent that is named, to who holds a handle for it.
    fn judge_permitted(&self, index: usize, entry: &Entry, moments: Vec<When>) -> Option<String> {
        let holder = &self.model.holders[index];
        let (Some(asking), Some(patient)) = (self.asking(entry), entry.patient) else {
            return Some("an entry without asker, purpose, role or patient".to_owned());
        };
        let permits = |when: &When| {
            let verdict = self.model.verdict(holder, patient, asking, *when);
            verdict == Verdict::Permit(entry.consent)
        };
        if !moments.iter().any(permits) {
            return Some(format!("given to node {} against the rules", asking.asker));
        }
        let same = |other: &&Written| other.entry.disclosure == entry.disclosure;
        if entry.kind == Audited::Disclosed
            && holder.entries(Audited::Disclosed).filter(same).count() > 1
        {
            return Some("one disclosure is made twice".to_owned());
        }
        let last = moments.last()?;
        let handles = holder.given.values();
        let mut fitting = handles.filter(|given| {
            entry.member == Some(given.asker)
                && given.patient == patient
                && entry.query_hash == Some(given.query_hash)
                && covers(given.purpose, asking.purpose)
                && last.clock.minus(Span(DECIDED_WITHIN_MS)) < given.until
        });
        if fitting.next().is_none() {
            return Some(format!("given to node {} without a handle", asking.asker));
        }
        let Some(document) = entry.document else {
            return (entry.kind != Audited::Listed).then(|| "no document is named".to_owned());
        };
        let person = holder.people.get(&patient)?;
        let is_theirs = person.summary == document
            || person
                .papers
                .get(&document)
                .is_some_and(|paper| !paper.is_snapshot);
        (!is_theirs).then(|| "a document of somebody else".to_owned())
    }

    fn judge_denied(&self, index: usize, entry: &Entry, moments: Vec<When>) -> Option<String> {
        let holder = &self.model.holders[index];
        let asking = self.asking(entry)?;
        if matches!(entry.code, Some(Code::RoleForbidden)) {
            let may_ask = self.model.may_ask(asking);
            return may_ask.then(|| "who may ask is refused for who it is".to_owned());
        }
        let patient = entry.patient?;
        if !matches!(entry.code, Some(Code::Denied | Code::Concealed)) {
            return None;
        }
        let denies = |when: &When| {
            let verdict = self.model.verdict(holder, patient, asking, *when);
            match verdict {
                Verdict::Permit(_) => false,
                Verdict::Deny(consent) => entry.consent == consent,
                Verdict::Never => entry.consent.is_none(),
            }
        };
        (!moments.iter().any(denies))
            .then(|| "denied what is permitted, or by another consent".to_owned())
    }

    fn partner(&self, entry: &Entry) -> Option<&Holder> {
        let index = self.model.index_of(entry.member?)?;
        Some(&self.model.holders[index])
    }

    fn judge_list_asked(&self, index: usize, entry: &Entry) -> Option<String> {
        let leaf = entry.peer_leaf?;
        let asker = self.model.holders[index].member;
        let mut there = self.partner(entry)?.entries(Audited::Listed);
        let is_there = there.any(|other| other.leaf == leaf && other.entry.member == Some(asker));
        (!is_there).then(|| "the holder's log has no such list".to_owned())
    }

    /// Both ends of a disclosure say the same, and the holder's end is in its log.
    fn judge_received(&self, index: usize, entry: &Entry) -> Option<String> {
        let disclosure = entry.disclosure?;
        let asker = self.model.holders[index].member;
        let mut there = self.partner(entry)?.entries(Audited::Disclosed);
        let same = there.any(|other| {
            other.entry.disclosure == Some(disclosure)
                && other.entry.member == Some(asker)
                && other.entry.receipt == entry.receipt
                && other.entry.receipt.is_some()
                && other.entry.document == entry.document
                && Some(other.leaf) == entry.peer_leaf
        });
        (!same).then(|| "the holder's log has no such disclosure".to_owned())
    }
}

/// Purposes that are asked for, treatment most of all.
pub(crate) const PURPOSES: [Purpose; 10] = [
    Purpose::Treat,
    Purpose::Treat,
    Purpose::Treat,
    Purpose::Treat,
    Purpose::Treat,
    Purpose::Treat,
    Purpose::Etreat,
    Purpose::Hpaymt,
    Purpose::Btg,
    Purpose::Coverage,
];

/// What users are, clinicians most of all.
pub(crate) const ROLES: [Role; 8] = [
    Role::Clinician,
    Role::Clinician,
    Role::Clinician,
    Role::Clinician,
    Role::Clinician,
    Role::Clinician,
    Role::Clinician,
    Role::FrontDesk,
];
