//! Trouble that is arranged: a message spoiled on its way, a disk that goes bad at the very step, captured
//! questions of every sort at once, and a revocation in the middle of a release. Left to chance, a history
//! would meet each of them too seldom.

use chartmesh_core::{
    ports::{Clock, Rpc},
    types::{ConsentId, Handle, NodeKey},
};
use chartmesh_tests::{Fault, Frame, Kind};

use crate::{
    doer::Using,
    history::{Act, Operation},
    outcast,
    quorum::involved,
    run::{Later, Run},
    shared::{Noise, Spoil},
    stray::Crooked,
    trust::Standing,
    verdict::{Verdict, When},
};

/// How long messages of one sort are spoiled.
const SPOILED_MS: u64 = 4_000;
/// How long a sync takes at a holder while a fetch and a revocation race: what is between a decision and
/// its record is then as long as what is between two messages.
const RACE_SYNC_MS: u64 = 200;
/// How late the revocation of a race may be.
const RACE_LATE_MS: u32 = 600;
/// How long a race takes.
const RACE_MS: u64 = 5_000;

/// Nobody's node key.
const STRANGER: NodeKey = NodeKey([9; 32]);

const SPOILABLE: [Rpc; 8] = [
    Rpc::Hello,
    Rpc::Join,
    Rpc::Members,
    Rpc::Trust,
    Rpc::Locate,
    Rpc::List,
    Rpc::Fetch,
    Rpc::Release,
];

impl Run {
    /// Spoils every message of one sort for a moment, and lets somebody send such a message.
    pub(crate) fn spoil(&mut self, label: String, operation: Operation) {
        let [node, which, how, two, three, four] = operation.numbers;
        let rpc = SPOILABLE[which as usize % SPOILABLE.len()];
        self.shared().noise = Noise {
            spoils: Some(Spoil {
                rpc,
                answers: how % 2 == 0,
            }),
            ..Noise::default()
        };
        self.in_time(SPOILED_MS, Later::Quiet);
        let asker = node as usize % self.slots.len();
        match rpc {
            Rpc::Join => self.join_badly(label, node, Crooked::Nothing),
            Rpc::Hello => self.meet(label, Act::Greet, asker, two),
            Rpc::Members | Rpc::Trust => self.meet(label, Act::Members, asker, two),
            Rpc::Locate => self.visit(label, asker, [two, three, four]),
            Rpc::List => self.list(label, self.reader(node, 1), [two, 1, 0]),
            _ => self.fetch(label, self.reader(node, 1), [two, three, 1, 0]),
        }
    }

    /// Lets somebody join while a disk goes bad at one step or another.
    pub(crate) fn join_trouble(&mut self, label: String, who: u32, how: u32) {
        let crooked = [
            Crooked::Join(Fault::Full),
            Crooked::Join(Fault::Failed),
            Crooked::Approve(Fault::Full),
            Crooked::Approve(Fault::Failed),
            Crooked::Poll(Fault::Full),
            Crooked::Poll(Fault::Failed),
        ];
        self.join_badly(label, who, crooked[how as usize % crooked.len()]);
    }

    fn join_badly(&mut self, label: String, who: u32, crooked: Crooked) {
        let outside: Vec<usize> = {
            let shared = self.shared();
            let holders = shared.model.holders.iter().enumerate();
            let outside = holders.filter(|(_, holder)| !holder.in_network);
            outside.map(|(index, _)| index).collect()
        };
        let applicant = match outside.get(who as usize % outside.len().max(1)) {
            Some(applicant) => *applicant,
            None => return,
        };
        let authority = self.authority(who);
        let (Some(doer), Some(founder)) =
            (self.doer(applicant, &label), self.doer(authority, &label))
        else {
            return;
        };
        if let Some(broken) = crooked.breaks_for_good(applicant, authority) {
            self.in_time(15_000, Later::Replace(broken));
        }
        self.launch(
            &[applicant, authority],
            label,
            doer.admit_crookedly(founder, crooked),
        );
    }

    /// The last question of each sort that a node was asked, once more: as it was, as nobody's, as
    /// rubbish, to a node that cannot write, or to one that is off.
    pub(crate) fn burst(&mut self, label: String, node: usize, [how, who]: [u32; 2]) {
        let key = self.slots[node].node.node_key();
        let mut frames: Vec<Frame> = Vec::new();
        for frame in self.shared().captured.iter().rev() {
            let is_new = frames.iter().all(|kept| kept.rpc != frame.rpc);
            if frame.to == key && frame.kind == Kind::Question && is_new {
                frames.push(frame.clone());
            }
        }
        for frame in &mut frames {
            match how % 5 {
                0 => frame.from = STRANGER,
                1 => frame.bytes = vec![0xff; 7].into(),
                _ => {}
            }
        }
        match how % 5 {
            2 if self.is_up(node) => {
                self.fail_write(node, 0, Fault::Failed);
                self.import(format!("{label}w"), Act::AddPatient, node, [who, 0, 0, 0]);
                self.in_time(10_000, Later::Replace(node));
            }
            3 if self.is_up(node) => {
                self.power_off(node, 0);
                self.restart_in(node, 5_000);
            }
            _ => {}
        }
        self.shared().disturb(node);
        // Whoever captured them is none of the nodes; only its report is written at one.
        let up: Vec<usize> = (0..self.slots.len()).filter(|n| self.is_up(*n)).collect();
        let Some(doer) = up.first().and_then(|index| self.doer(*index, &label)) else {
            return;
        };
        self.launch(&[up[0]], label, doer.replay_all(self.net.clone(), frames));
    }

    /// Fetches a document while the consent that permits it is revoked at its holder, whose disk is slow.
    pub(crate) fn race(&mut self, label: String, numbers: [u32; 4]) {
        let [who, what, late, _] = numbers;
        let Some((node, holder, consent, using)) = self.permitted(who, what) else {
            return;
        };
        let (Some(doer), Some(there)) = (self.doer(node, &label), self.doer(holder, &label)) else {
            return;
        };
        there.node.world().set_fsync(RACE_SYNC_MS);
        self.in_time(RACE_MS, Later::Sync(holder));
        self.launch(&[node], label.clone(), doer.fetch_alone(using));
        let late_ms = u64::from(late % RACE_LATE_MS);
        self.launch(&[holder], label, there.revoke_late(consent, late_ms));
    }

    /// Throws a member out, now and then while it fetches from the authority.
    pub(crate) fn expel(&mut self, label: String, numbers: [u32; 4]) {
        // What authorities sign that others have given up throws out of one part of the network.
        if self.shared().is_disputed() {
            return;
        }
        let [by, whom, how, late] = numbers;
        let nodes = self.slots.len();
        let authorities = self.shared().model.authorities();
        let by = if by % 6 == 0 {
            whom as usize / 7 % nodes
        } else {
            self.authority(late)
        };
        let is_authority = authorities.contains(&by);
        let races = is_authority && how % 2 == 0;
        let fetch = self.readable(whom, late).into_iter();
        let mut fetch = fetch.filter(|(_, holder, ..)| races && *holder == by);
        let fetch = fetch.next();
        let who = fetch.map_or(whom as usize % nodes, |(node, ..)| node);
        let left = self.may_be_expelled();
        if left >= 2 && authorities == [by] && how % 3 == 0 {
            return self.expel_two(label, [whom, how, late]);
        }
        // A network that loses authorities has lost more than members.
        let is_vital = authorities.len() > 1 && authorities.contains(&who);
        let is_out = who == by || self.shared().model.is_expelled(who);
        if is_authority && (is_vital || left == 0 && !is_out) {
            return;
        }
        let reason = if how % 12 == 1 { " " } else { "laptop stolen" };
        let Some(mut authority) = self.doer(by, &label) else {
            return;
        };
        let mut late_ms = 0;
        if let Some((node, _, _, using)) = fetch
            && let Some(doer) = self.doer(node, &label)
        {
            authority.node.world().set_fsync(RACE_SYNC_MS);
            self.in_time(RACE_MS, Later::Sync(by));
            self.launch(&[node], label.clone(), doer.fetch_alone(using));
            late_ms = u64::from(late % RACE_LATE_MS);
        }
        let mut others = self.cosigners(by, &label, how);
        let nodes = involved(&[by], &others);
        self.launch(&nodes, label, async move {
            if let Some(view) = authority.expel(who, reason, late_ms).await {
                authority.gather(&mut others, &view).await;
            }
        });
    }

    /// How many may yet be thrown out, so that enough are left to talk to each other.
    fn may_be_expelled(&self) -> usize {
        let nodes = self.slots.len();
        let shared = self.shared();
        let out = (0..nodes).filter(|index| shared.model.is_expelled(*index));
        let most = nodes.saturating_sub(4).max(1);
        most.saturating_sub(out.count())
    }

    /// Throws out two, so that one member knows both lists and another only the first, when a third asks
    /// both at once: the older list comes last.
    fn expel_two(&mut self, label: String, numbers: [u32; 3]) {
        let mut others: Vec<usize> = {
            let shared = self.shared();
            let all = 1..self.slots.len();
            all.filter(|index| shared.model.holders[*index].in_network)
                .filter(|index| !shared.model.is_expelled(*index))
                .collect()
        };
        if others.len() < 4 {
            return;
        }
        let mut drawn = numbers.map(|number| {
            let taken = number as usize % others.len();
            others.swap_remove(taken)
        });
        drawn.sort_unstable();
        let [one, two, half] = drawn;
        let last = others[0];
        let founder = self.member(0);
        let behind = self.member(half);
        let (Some(mut authority), Some(half_doer), Some(last_doer)) = (
            self.doer(0, &label),
            self.doer(half, &label),
            self.doer(last, &label),
        ) else {
            return;
        };
        self.launch(&[0, half, last], label, async move {
            authority.expel(one, "laptop stolen", 0).await;
            half_doer.gossip(vec![founder]).await;
            authority.expel(two, "laptop stolen", 0).await;
            last_doer.gossip(vec![founder, behind]).await;
        });
    }

    pub(crate) fn gossip(&mut self, label: String, node: usize) {
        let others = (0..self.slots.len()).filter(|other| *other != node);
        let others = others.map(|other| self.member(other)).collect();
        if let Some(doer) = self.doer(node, &label) {
            self.launch(&[node], label, async move { doer.gossip(others).await });
        }
    }

    pub(crate) fn amend(&mut self, label: String, by: u32, drawn: u32) {
        let signs = by;
        let by = if by % 5 == 0 {
            drawn as usize % self.slots.len()
        } else {
            self.authority(drawn)
        };
        let rules = {
            let shared = self.shared();
            let rules = shared.model.holders[0].rules(u64::MAX);
            rules.map(|rules| outcast::rules(rules, drawn))
        };
        if let (Some(doer), Some(rules)) = (self.doer(by, &label), rules) {
            let others = self.cosigners(by, &label, signs);
            let nodes = involved(&[by], &others);
            self.launch(&nodes, label, doer.amend(rules, others));
        }
    }

    pub(crate) fn charters(&mut self, label: String, node: usize, of: u32) {
        let of = of as usize % self.slots.len();
        if let Some(doer) = self.doer(node, &label).filter(|_| of != node) {
            self.launch(&[node], label, doer.charters(of));
        }
    }

    /// A handle whose use a consent permits: its asker, its holder, that consent, and what to fetch.
    fn permitted(&self, who: u32, what: u32) -> Option<(usize, usize, ConsentId, Using)> {
        let readable = self.readable(who, what).into_iter();
        let mut permitted = readable
            .filter_map(|(node, holder, consent, using)| Some((node, holder, consent?, using)));
        permitted.next()
    }

    /// Handles whose use is permitted, from a drawn one on: asker, holder, consent, and what to fetch.
    fn readable(&self, who: u32, what: u32) -> Vec<(usize, usize, Option<ConsentId>, Using)> {
        let mut held: Vec<(usize, Handle)> = {
            let shared = self.shared();
            let holders = shared.model.holders.iter().enumerate();
            let held = holders.flat_map(|(index, holder)| {
                let got = holder.got.iter().rev().take(8);
                got.map(move |(handle, _)| (index, *handle))
            });
            held.collect()
        };
        let middle = who as usize % held.len().max(1);
        held.rotate_left(middle);
        let mut found = Vec::new();
        for (node, handle) in held {
            let Some((holder, patient, papers)) = self.papers(handle) else {
                continue;
            };
            let using = Using {
                handle,
                document: papers[what as usize % papers.len()],
                ..self.using(node, 1, 0)
            };
            let shared = self.shared();
            let there = &shared.model.holders[holder];
            let running = shared.nodes[holder].as_ref();
            let when = When {
                position: there.position(),
                clock: running.map_or(self.true_time_of(&shared), |node| node.world().now()),
            };
            let given = there.given.get(&handle);
            let is_live = given.is_some_and(|given| when.clock < given.until);
            let is_good = shared.model.standing(there, using.asking, when) == Standing::Good;
            let verdict = shared.model.verdict(there, patient, using.asking, when);
            if let (Verdict::Permit(consent), true) = (verdict, is_live && is_good) {
                found.push((node, holder, consent, using));
            }
        }
        found
    }
}
