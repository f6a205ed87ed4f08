//! What a run knows of itself: the model beside the product, what broke, and what was reached.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

use chartmesh_core::{
    crypto::sha256,
    flows::Node,
    membership::Ticket,
    ports::{Clock, Rpc},
    types::{DocumentId, MemberId, NodeKey, Timestamp},
};
use chartmesh_tests::{Frame, START_MS, SimDisk, world::SimWorld};
use tokio::time::Instant;

use crate::{
    keys::Openings,
    model::Model,
    people::Face,
    verdict::{Asking, When},
};

/// How far a clock may be off before an answer is not foreseen exactly.
const SKEW_MS: u64 = 60_000;
/// How long a disturbance has its effect on what is asked next.
const AFTERMATH_MS: u64 = 1_000;
/// Someone's question about a person, as it was meant.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) face: Face,
    pub(crate) asking: Asking,
}

/// How lossy the network is, in thousandths of all frames.
#[derive(Clone, Copy, Default)]
pub(crate) struct Noise {
    pub(crate) breaks: u32,
    pub(crate) loses: u32,
    pub(crate) delays: u32,
    pub(crate) repeats: u32,
    pub(crate) alters: u32,
    /// Every message of one sort is altered.
    pub(crate) spoils: Option<Spoil>,
}

/// Which messages are altered, each of them.
#[derive(Clone, Copy)]
pub(crate) struct Spoil {
    pub(crate) rpc: Rpc,
    /// The answers, and not the questions.
    pub(crate) answers: bool,
}

/// What a run did, in numbers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) operations: u64,
    pub(crate) faults: u64,
    pub(crate) frames: u64,
    pub(crate) troubled: u64,
    pub(crate) commits: u64,
    pub(crate) keys: u64,
    pub(crate) crashes: u64,
    pub(crate) foreseen: u64,
    /// Fetches at the end that were permitted and went well.
    pub(crate) reached: u64,
    pub(crate) simulated_ms: u64,
    /// Of which nights and weeks in which nobody does anything.
    pub(crate) idle_ms: u64,
}

/// Everything that tasks, network and driver of one run share.
pub(crate) struct Shared {
    pub(crate) started: Instant,
    pub(crate) model: Model,
    pub(crate) nodes: Vec<Option<Arc<Node<SimWorld>>>>,
    pub(crate) disks: Vec<SimDisk>,
    /// By the name of the operation, before it is asked.
    pub(crate) meant: BTreeMap<String, Question>,
    /// By what both ends write of it.
    pub(crate) questions: BTreeMap<[u8; 32], Question>,
    pub(crate) letters: BTreeMap<(MemberId, DocumentId), Vec<u8>>,
    pub(crate) captured: VecDeque<Frame>,
    /// Questions to a node from a node, for budgets.
    pub(crate) locates: BTreeMap<(usize, usize), u32>,
    /// Nodes that use what was not given to them, or send other bytes than they signed.
    pub(crate) liars: BTreeSet<usize>,
    /// Nodes whose files were changed.
    pub(crate) wrong: BTreeSet<usize>,
    /// Nodes whose disk is full.
    pub(crate) full: BTreeSet<usize>,
    /// Nodes whose disk fails at a write to come.
    pub(crate) brittle: BTreeSet<usize>,
    pub(crate) tickets: Vec<Ticket>,
    /// When something last went wrong at a node.
    pub(crate) disturbed: Vec<u64>,
    pub(crate) cut: BTreeSet<(usize, usize)>,
    pub(crate) noise: Noise,
    pub(crate) crash_at_key: Option<usize>,
    pub(crate) broken: Vec<String>,
    pub(crate) cells: BTreeMap<(String, String), u64>,
    pub(crate) counts: Counts,
    pub(crate) trace: [u8; 32],
    pub(crate) is_ending: bool,
    /// What came of the fetch of a visit.
    pub(crate) reached: BTreeMap<String, &'static str>,
    /// Whom an authority has thrown out, from the return of its command on.
    pub(crate) expelled: BTreeSet<(usize, MemberId)>,
    /// Whether authorities have signed two charters of one number.
    pub(crate) is_forked: bool,
    /// Whether recovery keys have been used.
    pub(crate) is_recovered: bool,
    /// Whether keys and charters change.
    pub(crate) is_governed: bool,
    /// What is sealed to each node.
    pub(crate) openings: Openings,
}

pub(crate) type Sharing = Arc<Mutex<Shared>>;

/// A moment of the run at every node.
#[derive(Clone)]
pub(crate) struct Mark {
    pub(crate) at_ms: u64,
    pub(crate) positions: Vec<u64>,
    pub(crate) clocks: Vec<Timestamp>,
}

impl Shared {
    pub(crate) fn new(model: Model, disks: Vec<SimDisk>) -> Self {
        let nodes = model.holders.len();
        Self {
            started: Instant::now(),
            model,
            nodes: vec![None; nodes],
            disks,
            meant: BTreeMap::new(),
            questions: BTreeMap::new(),
            letters: BTreeMap::new(),
            captured: VecDeque::new(),
            locates: BTreeMap::new(),
            liars: BTreeSet::new(),
            wrong: BTreeSet::new(),
            full: BTreeSet::new(),
            brittle: BTreeSet::new(),
            tickets: Vec::new(),
            disturbed: vec![0; nodes],
            cut: BTreeSet::new(),
            noise: Noise::default(),
            crash_at_key: None,
            broken: Vec::new(),
            cells: BTreeMap::new(),
            counts: Counts::default(),
            trace: [0; 32],
            is_ending: false,
            reached: BTreeMap::new(),
            expelled: BTreeSet::new(),
            is_governed: false,
            is_forked: false,
            is_recovered: false,
            openings: Openings::default(),
        }
    }

    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Says that what must never be is so.
    pub(crate) fn breaks(&mut self, what: impl Into<String>) {
        let what = format!("at {} ms: {}", self.elapsed_ms(), what.into());
        self.broken.push(what);
    }

    pub(crate) fn cell(&mut self, flow: &str, outcome: &str) {
        let cell = (flow.to_owned(), outcome.to_owned());
        *self.cells.entry(cell).or_default() += 1;
    }

    /// Adds to what two runs of one seed must have in common.
    pub(crate) fn trace(&mut self, what: &[&[u8]]) {
        let at = self.elapsed_ms().to_be_bytes();
        let mut parts = vec![&self.trace[..], &at[..]];
        parts.extend(what);
        self.trace = sha256(&parts);
    }

    pub(crate) fn disturb(&mut self, node: usize) {
        self.disturbed[node] = self.elapsed_ms();
    }

    pub(crate) fn disturb_key(&mut self, key: NodeKey) {
        // A ticket may name an inviter that is none of the nodes.
        if let Some(node) = self.model.index_by_key(key) {
            self.disturb(node);
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        let clock = |index: usize| {
            let node = self.nodes[index].as_ref();
            node.map_or(Timestamp(0), |node| node.world().now())
        };
        Mark {
            at_ms: self.elapsed_ms(),
            positions: self
                .model
                .holders
                .iter()
                .map(|holder| holder.position())
                .collect(),
            clocks: (0..self.nodes.len()).map(clock).collect(),
        }
    }

    /// Whether a node had no trouble of its own since a moment, nor shortly before.
    pub(crate) fn is_well(&self, index: usize, since: &Mark) -> bool {
        let Some(node) = &self.nodes[index] else {
            return false;
        };
        let is_whole = node.world().is_on() && node.fold().problem().is_none();
        let is_quiet =
            self.disturbed[index] == 0 || self.disturbed[index] + AFTERMATH_MS < since.at_ms;
        is_whole && is_quiet && !self.full.contains(&index) && !self.brittle.contains(&index)
    }

    /// Whether a node is well, tells the time, and can talk to everybody.
    pub(crate) fn is_settled(&self, index: usize, since: &Mark) -> bool {
        let Some(node) = &self.nodes[index] else {
            return false;
        };
        let true_ms = START_MS + self.elapsed_ms();
        let is_right = node.world().now().0.abs_diff(true_ms) < SKEW_MS;
        let is_joined = !self
            .cut
            .iter()
            .any(|(one, other)| *one == index || *other == index);
        let holder = &self.model.holders[index];
        // Who became a member in the meantime may have been asked before.
        let is_member = holder.rules(since.positions[index]).is_some();
        let is_in = is_member && !self.model.is_expelled(index);
        self.is_well(index, since) && is_right && is_joined && is_in
    }

    /// Every state of a holder between a moment and now, at the times its clock showed.
    pub(crate) fn moments(&self, holder: usize, since: &Mark) -> Vec<When> {
        let now = self.mark();
        let mut moments = Vec::new();
        for position in since.positions[holder]..=now.positions[holder] {
            for clock in [since.clocks[holder], now.clocks[holder]] {
                moments.push(When { position, clock });
            }
        }
        moments
    }
}
