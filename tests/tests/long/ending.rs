//! When nothing goes wrong any more: everything must be as the model says, for everybody.

use chartmesh_core::{
    crypto::sha256,
    membership::{JoinState, Status},
    types::{PatientId, Purpose, Role},
};

use crate::{
    act::admin,
    run::Run,
    shared::Noise,
    verdict::{Asking, Verdict, When},
};

/// Questions of each node at the end.
const QUESTIONS: usize = 2;

impl Run {
    /// Ends all faults, waits until every clock is right, starts every node anew, and asks for what must
    /// then be so.
    pub(crate) async fn end(&mut self) {
        self.shared().noise = Noise::default();
        self.shared().crash_at_key = None;
        self.heal();
        self.net.set_latency(20);
        for index in 0..self.slots.len() {
            self.slots[index].offset_ms = 0;
            self.slots[index].accepts = false;
            self.slots[index].node.world().set_clock_offset(0);
            self.unfill(index);
            if !self.is_up(index) {
                self.start(index);
            }
        }
        self.later.clear();
        self.finish().await;
        // Whoever got ahead stays ahead until it is started anew, by a clock that has caught up.
        let ahead = self.latest().since(self.true_time());
        self.pass(ahead.0 + 60_000).await;
        self.shared().is_ending = true;
        for index in 0..self.slots.len() {
            if self.is_up(index) {
                self.power_off(index, 0);
            }
            self.start(index);
        }
        self.pass(60_000).await;
        self.converge().await;
        if self.shared().broken.is_empty() {
            self.agree().await;
            self.everybody_asks().await;
        }
        self.finish().await;
        for index in 0..self.slots.len() {
            self.whole(index).await;
        }
    }

    /// Everybody becomes a member and knows all others.
    async fn converge(&mut self) {
        self.settle().await;
        for _ in 0..2 {
            self.sign_what_waits().await;
            // What was signed may be another key of who signs, or a charter that somebody disputes.
            self.settle().await;
        }
        let founder = self.node(0);
        let staying = self.staying();
        for index in staying.clone() {
            let node = self.node(index);
            for _ in 0..3 {
                if node.current_network().is_some() {
                    break;
                }
                let ticket = match node.pending_ticket() {
                    Some(ticket) if ticket.inviter == founder.node_key() => ticket,
                    _ => {
                        let life = chartmesh_core::types::limits::TICKET_LIFE;
                        let Ok(ticket) = founder.invite(&admin("end"), life).await else {
                            continue;
                        };
                        let _answered_below = node.join(&admin("end"), &ticket).await;
                        ticket
                    }
                };
                let polled = node.poll_join().await;
                if matches!(polled, Ok(JoinState::Pending)) {
                    let words = node.own_words(&ticket);
                    if let Ok(approval) = founder.approve(&admin("end"), &words).await {
                        self.gather_at_last(&approval.view).await;
                    }
                    let _answered_below = node.poll_join().await;
                }
            }
            if node.current_network().is_none() {
                self.shared()
                    .breaks(format!("node {index} cannot join once all is well"));
            }
        }
        if let Err(error) = founder.beat().await {
            self.shared()
                .breaks(format!("the founder confirms no list: {error}"));
        }
        for _ in 0..2 {
            for index in staying.clone() {
                let node = self.node(index);
                if let Err(error) = node.greet(founder.node_key()).await {
                    self.shared()
                        .breaks(format!("node {index} cannot greet the founder: {error}"));
                }
                if let Err(code) = node.exchange_trust(founder.member()).await {
                    self.shared()
                        .breaks(format!("node {index} is told no list: {code}"));
                }
                if let Err(code) = node.sync_members(founder.member()).await {
                    self.shared()
                        .breaks(format!("node {index} is told no members: {code}"));
                }
            }
        }
        let active_due = staying.len() + 1;
        for index in [vec![0], staying].concat() {
            let views = self.node(index).member_views();
            let active = views
                .iter()
                .filter(|view| view.status == Status::Active)
                .count();
            if active != active_due {
                let all = active_due;
                self.shared()
                    .breaks(format!("node {index} knows {active} of {all} members"));
            }
        }
    }

    /// Whoever is told that it goes by another key is started anew, as its operator is asked to.
    pub(crate) async fn take_next_keys(&mut self) {
        for index in [vec![0], self.staying()].concat() {
            let authorities = self.shared().model.authorities();
            for authority in authorities {
                let key = self.slots[authority].node.node_key();
                let _told_or_told_by_another = self.node(index).pull_charters(key).await;
            }
            if self.node(index).is_superseded() {
                self.power_off(index, 0);
                self.start(index);
            }
        }
    }

    /// Every node asks about somebody, is foreseen exactly, and reads what it may.
    async fn everybody_asks(&mut self) {
        let all = [vec![0], self.staying()].concat();
        for asker in 0..self.slots.len() {
            for number in 0..QUESTIONS {
                let holder = (asker + 1 + number * 2) % self.slots.len();
                let is_heard = all.contains(&asker) && all.contains(&holder);
                if holder == asker || !is_heard {
                    continue;
                }
                let people: Vec<PatientId> = {
                    let shared = self.shared();
                    shared.model.holders[holder]
                        .people
                        .keys()
                        .copied()
                        .collect()
                };
                let Some(patient) = people.get((asker * 3 + number) % people.len().max(1)) else {
                    continue;
                };
                self.ask_at_last(asker, holder, *patient, number).await;
            }
        }
    }

    /// Everybody but the founder and who was thrown out.
    fn staying(&self) -> Vec<usize> {
        let shared = self.shared();
        let all = 1..self.slots.len();
        all.filter(|index| !shared.model.is_expelled(*index))
            .collect()
    }

    /// Who was thrown out is refused by everybody, and all others go by one charter and one list.
    async fn agree(&mut self) {
        let all = [vec![0], self.staying()].concat();
        let (version, list) = {
            let network = self.node(0).current_network();
            let version = network.map(|network| network.envelope.hash());
            (version, self.node(0).trust().map(|trust| trust.version))
        };
        for index in &all {
            let node = self.node(*index);
            let network = node.current_network();
            let trust = node.trust();
            if let Some(doer) = self.doer(*index, "end") {
                doer.is_as_foreseen();
            }
            let is_one = network.map(|network| network.envelope.hash()) == version
                && trust.is_some_and(|trust| !trust.stale && Some(trust.version) == list);
            if !is_one {
                let what = format!("node {index} has not heard of the newest charter or list");
                self.shared().breaks(what);
            }
            for other in &all {
                let other = &self.slots[*other].node;
                if node.fold().node_key_of(other.member()) != Some(other.node_key()) {
                    let what = format!("node {index} knows a member by a key that it has given up");
                    self.shared().breaks(what);
                }
            }
        }
        for outcast in (1..self.slots.len()).filter(|index| !all.contains(index)) {
            let joined = self.node(outcast).current_network().is_some();
            let Some(doer) = self.doer(outcast, "outcast").filter(|_| joined) else {
                continue;
            };
            for index in &all {
                doer.is_refused_by(*index).await;
            }
            let asking = Asking {
                asker: outcast,
                purpose: Purpose::Treat,
                role: Role::Clinician,
            };
            let label = format!("outcast{outcast}");
            if let Some(doer) = self.doer(outcast, &label) {
                let face = crate::people::person(outcast);
                let wait = chartmesh_core::types::Span::seconds(10);
                doer.locate_alone(face, asking, wait, Vec::new()).await;
            }
        }
    }

    async fn ask_at_last(
        &mut self,
        asker: usize,
        holder: usize,
        patient: PatientId,
        number: usize,
    ) {
        let label = format!("end{asker}-{holder}-{number}");
        let (Some(doer), Some(there)) = (self.doer(asker, &label), self.doer(holder, &label))
        else {
            self.shared().breaks("a node is off at the end");
            return;
        };
        doer.visit(there, patient, number as u32 * 4 + 1).await;
        let asking = Asking {
            asker,
            purpose: Purpose::Treat,
            role: Role::Clinician,
        };
        let clock = self.true_time();
        let permitted = {
            let shared = self.shared();
            let there = &shared.model.holders[holder];
            let when = When {
                position: there.position(),
                clock,
            };
            let verdict = shared.model.verdict(there, patient, asking, when);
            matches!(verdict, Verdict::Permit(_))
        };
        let reached = self.shared().reached.remove(&label);
        if permitted && reached == Some("OK") {
            self.shared().counts.reached += 1;
        }
        if permitted && reached.is_some_and(|reached| reached != "OK") {
            self.shared()
                .breaks(format!("{label}: permitted and not fetched: {reached:?}"));
        }
    }

    /// The journal, the log and the files of a node hold.
    async fn whole(&mut self, index: usize) {
        if !self.is_up(index) {
            self.shared()
                .breaks(format!("node {index} is off at the end"));
            return;
        }
        let node = self.node(index);
        let (size, root) = node.audit_head();
        let leaves: Vec<[u8; 32]> = {
            let shared = self.shared();
            shared.model.holders[index]
                .log
                .iter()
                .map(|written| written.leaf)
                .collect()
        };
        if size != leaves.len() as u64 || root != tree(&leaves) {
            self.shared()
                .breaks(format!("the log of node {index} has another head"));
        }
        let half = leaves.len() / 2;
        if node.audit_root_at(half as u64) != Some(tree(&leaves[..half])) {
            self.shared()
                .breaks(format!("the log of node {index} had another head before"));
        }
        let files = node.verify_files().await;
        let is_honest = !self.shared().wrong.contains(&index);
        if is_honest && !files.damaged.is_empty() {
            self.shared().breaks(format!(
                "{} files of node {index} do not hold",
                files.damaged.len()
            ));
        }
        self.power_off(index, 0);
        self.start(index);
    }
}

/// Root of RFC 9162, 2.1.1, by its definition.
fn tree(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => sha256(&[]),
        [only] => *only,
        _ => {
            let mut half = 1;
            while half * 2 < leaves.len() {
                half *= 2;
            }
            let (left, right) = leaves.split_at(half);
            sha256(&[&[1], &tree(left), &tree(right)])
        }
    }
}
