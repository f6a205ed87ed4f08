//! One run: a network, its history, what goes wrong, and what must hold when that is over.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chartmesh_core::{
    flows::Node,
    membership::{Founding, Organization, Rules, StoredIdentity},
    ports::Clock,
    types::{Kind, MemberId, Span, Timestamp},
};
use chartmesh_tests::{START_MS, SimDisk, SimNet, SimNode, Start, organization, world::SimWorld};
use tokio::task::JoinHandle;

use crate::{
    act::admin,
    history::{Act, History, Operation, Setting},
    keys::{self, NODE_KEYS},
    model::{Holder, Model},
    network,
    shared::{Counts, Mark, Shared, Sharing},
};

/// How long what is under way may take once nothing goes wrong any more.
const FINISH_MS: u64 = 10 * 60_000;

const HOUR_MS: u64 = 3_600_000;
/// How long a week is here: half of what a key set lives.
const WEEK_HOURS: u64 = 84;
/// What daemons do by themselves is done as often while nobody does anything.
const IDLE_STEP_HOURS: u64 = 6;

/// What is due at a time, besides the history.
#[derive(Clone, Copy)]
pub(crate) enum Later {
    /// Starts a node that is off.
    Restart(usize),
    /// Starts a node anew, off or not.
    Replace(usize),
    Unfill(usize),
    Quiet,
    /// Lets a node's disk be as slow as it was.
    Sync(usize),
}

/// One node of the run.
pub(crate) struct Slot {
    pub(crate) node: SimNode,
    pub(crate) offset_ms: i64,
    /// Whether its operator accepts a clock that is behind the last record.
    pub(crate) accepts: bool,
    /// Its sealing keys.
    pub(crate) stored: StoredIdentity,
    /// How many of them were drawn.
    pub(crate) drawn: u8,
}

/// A flow under way.
struct Doing {
    nodes: Vec<usize>,
    label: String,
    task: JoinHandle<()>,
}

/// A run under way.
pub(crate) struct Run {
    pub(crate) net: Arc<SimNet>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) sharing: Sharing,
    pub(crate) setting: Setting,
    pub(crate) later: BTreeMap<(u64, u64), Later>,
    doing: Vec<Doing>,
    numbered: u64,
}

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) broken: Vec<String>,
    pub(crate) cells: BTreeMap<(String, String), u64>,
    pub(crate) counts: Counts,
    pub(crate) trace: [u8; 32],
}

/// Carries out a history on real nodes, in virtual time.
pub(crate) fn run(history: &History) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs nothing that could be missing");
    runtime.block_on(async {
        let mut run = Run::begin(&history.setting).await;
        for (index, operation) in history.operations.iter().enumerate() {
            run.pass(operation.after_ms).await;
            if history.kept.contains(&index) {
                run.one(index, *operation).await;
            }
            if run.is_broken() {
                break;
            }
        }
        let simulated_ms = run.shared().elapsed_ms();
        run.shared().counts.simulated_ms = simulated_ms;
        if !run.is_broken() {
            run.end().await;
        }
        run.close()
    })
}

fn house(index: usize, kind: Kind) -> Organization {
    Organization {
        part2: kind == Kind::SubstanceUse,
        ..organization(&format!("House {index}"), kind)
    }
}

impl Run {
    async fn begin(setting: &Setting) -> Self {
        let net = SimNet::new(20);
        let mut slots = Vec::new();
        let mut holders = Vec::new();
        for (index, kind) in setting.kinds.iter().enumerate() {
            let start = Start {
                seed: index as u8 + 1,
                boot: 1,
                salt: setting.seed,
                organization: house(index, *kind),
                clock_offset_ms: 0,
                not_before: Timestamp(0),
            };
            let node = SimNode::start(&net, &SimDisk::default(), start);
            node.world().set_fsync(setting.syncs_ms[index]);
            let keys = (0..NODE_KEYS).map(|number| node.numbered_node_key(number));
            let authority = node.identity().authority.public();
            let organization = house(index, *kind);
            let mut holder = Holder::new(keys.collect(), authority, node.member(), organization);
            holder.overlooks_revocations = setting.is_misled;
            holders.push(holder);
            slots.push(Slot {
                stored: keys::stored(&node),
                drawn: 0,
                node,
                offset_ms: 0,
                accepts: false,
            });
        }
        let model = Model {
            template: setting.template,
            holders,
        };
        let disks = slots.iter().map(|slot| slot.node.disk().clone()).collect();
        let mut shared = Shared::new(model, disks);
        shared.is_governed = setting.is_governed;
        shared.nodes = slots.iter().map(|slot| Some(slot.node.shared())).collect();
        let sharing: Sharing = Arc::new(Mutex::new(shared));
        let seeing = sharing.clone();
        net.watch(Some(Box::new(move |seen| {
            seeing
                .lock()
                .expect("nobody panics while watching")
                .see(seen);
        })));
        net.between(Some(network::middle(setting.seed, sharing.clone())));
        let mut run = Self {
            net,
            slots,
            sharing,
            setting: setting.clone(),
            later: BTreeMap::new(),
            doing: Vec::new(),
            numbered: 0,
        };
        for index in 0..run.slots.len() {
            run.renew(index);
        }
        run.found().await;
        run
    }

    async fn found(&mut self) {
        let rules = Rules {
            locate_per_day: self.setting.locates_per_day,
            max_staleness: Span::hours(self.setting.staleness_hours),
            ..Rules::of(self.setting.template)
        };
        let founding = Founding {
            name: "Long Range".to_owned(),
            template: self.setting.template,
            rules,
            authorities: Vec::new(),
            threshold: 1,
            test: true,
        };
        let founder = &self.slots[0].node;
        let founded = if self.setting.authorities == 1 {
            founder.found(&admin("found"), founding).await.map(drop)
        } else {
            self.found_by_several(founding).await
        };
        if let Err(error) = founded {
            self.shared().breaks(format!("no network: {error}"));
        }
        self.shared().cell("found", "OK");
    }

    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.sharing.lock().expect("nobody panics while sharing")
    }

    fn is_broken(&self) -> bool {
        !self.shared().broken.is_empty()
    }

    pub(crate) fn node(&self, index: usize) -> Arc<Node<SimWorld>> {
        self.slots[index].node.shared()
    }

    pub(crate) fn is_up(&self, index: usize) -> bool {
        self.shared().nodes[index].is_some()
    }

    pub(crate) fn member(&self, index: usize) -> MemberId {
        self.slots[index].node.member()
    }

    /// Lets time go by, and does on the way what is due.
    pub(crate) async fn pass(&mut self, ms: u64) {
        let until = self.shared().elapsed_ms() + ms;
        while let Some((due, number)) = self.later.keys().next().copied()
            && due <= until
        {
            self.sleep_until(due).await;
            if let Some(later) = self.later.remove(&(due, number)) {
                self.do_later(later);
            }
        }
        self.sleep_until(until).await;
    }

    async fn sleep_until(&mut self, at_ms: u64) {
        let left = at_ms.saturating_sub(self.shared().elapsed_ms());
        tokio::time::sleep(Duration::from_millis(left)).await;
        self.notice();
    }

    /// Sees which nodes lost their power, and which flows are over.
    fn notice(&mut self) {
        for index in 0..self.slots.len() {
            if self.is_up(index) && self.slots[index].node.disk().is_off() {
                self.power_off(index, 0);
                self.restart_in(index, 5_000);
            }
            if self.is_up(index) {
                self.renew(index);
            }
        }
        self.doing.retain(|doing| !doing.task.is_finished());
    }

    fn do_later(&mut self, later: Later) {
        match later {
            Later::Restart(index) => {
                if !self.is_up(index) {
                    self.start(index);
                }
            }
            Later::Replace(index) => {
                if self.is_up(index) {
                    self.power_off(index, 0);
                }
                self.start(index);
            }
            Later::Unfill(index) => self.unfill(index),
            Later::Sync(index) => {
                let sync_ms = self.setting.syncs_ms[index];
                self.node(index).world().set_fsync(sync_ms);
            }
            Later::Quiet => self.shared().noise = crate::shared::Noise::default(),
        }
    }

    pub(crate) fn unfill(&mut self, index: usize) {
        self.slots[index].node.disk().fill(false);
        let mut shared = self.shared();
        shared.full.remove(&index);
        shared.disturb(index);
    }

    pub(crate) fn in_time(&mut self, ms: u64, later: Later) {
        self.numbered += 1;
        let due = self.shared().elapsed_ms() + ms;
        self.later.insert((due, self.numbered), later);
    }

    pub(crate) fn restart_in(&mut self, index: usize, ms: u64) {
        self.in_time(ms, Later::Restart(index));
    }

    /// Cuts a node's power; of what was not synced so many bytes stay.
    pub(crate) fn power_off(&mut self, index: usize, keep: usize) {
        self.slots[index].node.crash(keep);
        for doing in &self.doing {
            if doing.nodes.contains(&index) {
                doing.task.abort();
            }
        }
        self.doing.retain(|doing| !doing.nodes.contains(&index));
        let mut shared = self.shared();
        shared.nodes[index] = None;
        shared.counts.crashes += 1;
        shared.disturb(index);
    }

    /// Starts a node over its disk, as the daemon does: its clock goes on from its last record.
    pub(crate) fn start(&mut self, index: usize) {
        let last = self.shared().model.holders[index].last_time;
        let slot = &self.slots[index];
        let offset_ms = slot.offset_ms;
        let last = if slot.accepts { Timestamp(0) } else { last };
        let node = self.slots[index].node.restarted_at(offset_ms, last);
        let running = node.shared();
        running.world().set_fsync(self.setting.syncs_ms[index]);
        self.slots[index].node = node;
        self.cut_again(index);
        self.open_with(index);
        let mut shared = self.shared();
        shared.nodes[index] = Some(running);
        shared.brittle.remove(&index);
        shared.disturb(index);
    }

    /// Runs a flow of a node on a task of its own.
    pub(crate) fn launch(
        &mut self,
        nodes: &[usize],
        label: String,
        flow: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = tokio::spawn(flow);
        self.doing.push(Doing {
            nodes: nodes.to_vec(),
            label,
            task,
        });
    }

    async fn one(&mut self, index: usize, operation: Operation) {
        {
            let mut shared = self.shared();
            shared.counts.operations += 1;
            shared.counts.faults += u64::from(operation.act.is_fault());
            let act = format!("{index} {:?}", operation.act);
            shared.trace(&[act.as_bytes()]);
        }
        match operation.act {
            Act::Night => self.idle(u64::from(1 + operation.numbers[0] % 6)).await,
            Act::Week => {
                self.idle(WEEK_HOURS).await;
                self.round(index);
            }
            _ => {}
        }
        self.act(index, operation).await;
        tokio::task::yield_now().await;
        self.notice();
    }

    /// Hours in which nobody does anything.
    async fn idle(&mut self, hours: u64) {
        self.shared().counts.idle_ms += hours * HOUR_MS;
        for _ in 0..hours.div_ceil(IDLE_STEP_HOURS) {
            self.pass(hours.min(IDLE_STEP_HOURS) * HOUR_MS).await;
        }
    }

    /// What every daemon does each minute.
    fn round(&mut self, number: usize) {
        for index in 1..self.slots.len() {
            self.meet(format!("op{number}r{index}"), Act::Members, index, 0);
        }
    }

    /// Waits for what is under way; what then is not over hangs.
    pub(crate) async fn finish(&mut self) {
        let until = self.shared().elapsed_ms() + FINISH_MS;
        while !self.doing.is_empty() && self.shared().elapsed_ms() < until {
            self.pass(500).await;
        }
        for doing in std::mem::take(&mut self.doing) {
            self.shared()
                .breaks(format!("{} of nodes {:?} hangs", doing.label, doing.nodes));
            doing.task.abort();
        }
    }

    /// The true time.
    pub(crate) fn true_time(&self) -> Timestamp {
        self.true_time_of(&self.shared())
    }

    /// The true time, for who has the lock.
    pub(crate) fn true_time_of(&self, shared: &Shared) -> Timestamp {
        Timestamp(START_MS + shared.elapsed_ms())
    }

    pub(crate) fn mark(&self) -> Mark {
        self.shared().mark()
    }

    /// The latest time that any clock showed or any journal holds.
    pub(crate) fn latest(&self) -> Timestamp {
        let clocks = self.slots.iter().map(|slot| slot.node.world().now());
        let shared = self.shared();
        let journals = shared.model.holders.iter().map(|holder| holder.last_time);
        clocks.chain(journals).max().unwrap_or_default()
    }

    fn close(mut self) -> Outcome {
        for doing in std::mem::take(&mut self.doing) {
            doing.task.abort();
        }
        self.net.watch(None);
        self.net.between(None);
        let mut shared = self.shared();
        shared.nodes.clear();
        Outcome {
            broken: std::mem::take(&mut shared.broken),
            cells: std::mem::take(&mut shared.cells),
            counts: shared.counts,
            trace: shared.trace,
        }
    }
}
