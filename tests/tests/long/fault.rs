//! What goes wrong by chance: power, disks, clocks, links.

use chartmesh_tests::Fault;

use crate::{
    history::Act,
    run::{Later, Run},
    shared::Noise,
};

impl Run {
    pub(crate) fn fault(&mut self, act: Act, node: usize, numbers: [u32; 5]) {
        let [two, three, ..] = numbers;
        let other = (node + 1 + two as usize % (self.slots.len() - 1)) % self.slots.len();
        let later_ms = u64::from(1_000 + three % 60_000);
        self.shared().cell("fault", &format!("{act:?}"));
        match act {
            Act::Crash if self.is_up(node) => {
                let keep = [0, 0, 1, 17, 200, usize::MAX][two as usize % 6];
                self.power_off(node, keep);
                self.restart_in(node, later_ms);
            }
            Act::CrashInWrite if self.is_up(node) => {
                let fault = if three % 2 == 0 {
                    Fault::CrashBefore
                } else {
                    Fault::CrashAfter
                };
                self.fail_write(node, two, fault);
            }
            Act::CrashAtKey => self.shared().crash_at_key = Some(node),
            Act::DiskFails if self.is_up(node) => {
                self.fail_write(node, two, Fault::Failed);
                self.in_time(later_ms * 4, Later::Replace(node));
            }
            Act::DiskFull if self.is_up(node) => {
                self.slots[node].node.disk().fill(true);
                self.shared().full.insert(node);
                self.in_time(later_ms, Later::Unfill(node));
            }
            Act::Restart => {
                self.slots[node].offset_ms = 0;
                if self.is_up(node) {
                    self.power_off(node, usize::MAX);
                }
                // Half of the operators accept a clock that is behind the last record.
                self.slots[node].accepts = three % 2 == 0;
                self.start(node);
            }
            Act::Clock => self.clock(node, two, three),
            Act::Cut => self.cut(&[(node, other), (other, node)]),
            Act::CutOneWay => self.cut(&[(node, other)]),
            Act::Heal => self.heal(),
            Act::Latency => self.net.set_latency([1, 5, 20, 80, 400][two as usize % 5]),
            Act::Noise => {
                self.shared().noise = noise(two);
                self.in_time(later_ms * 6, Later::Quiet);
            }
            _ => {}
        }
        self.shared().disturb(node);
    }

    pub(crate) fn fail_write(&mut self, node: usize, which: u32, fault: Fault) {
        self.slots[node]
            .node
            .disk()
            .fail_write(u64::from(which % 4), fault);
        self.shared().brittle.insert(node);
    }

    fn clock(&mut self, node: usize, how: u32, back: u32) {
        const MINUTE_MS: i64 = 60_000;
        let far = match how % 12 {
            0..=4 => MINUTE_MS / 2,
            5..=8 => 4 * MINUTE_MS,
            9 => 6 * MINUTE_MS,
            10 => 90 * MINUTE_MS,
            _ => 26 * 60 * MINUTE_MS,
        };
        let jump = far * if back % 2 == 0 { 1 } else { -1 };
        self.slots[node].offset_ms = jump;
        if self.is_up(node) {
            self.slots[node].node.world().set_clock_offset(jump);
        }
    }

    fn cut(&mut self, links: &[(usize, usize)]) {
        for (from, to) in links {
            let keys = (
                self.slots[*from].node.node_key(),
                self.slots[*to].node.node_key(),
            );
            self.net.cut(keys.0, keys.1);
            let mut shared = self.shared();
            shared.cut.insert((*from, *to));
            shared.disturb(*from);
            shared.disturb(*to);
        }
    }

    /// Cuts the links of a node that may go by another key by now.
    pub(crate) fn cut_again(&self, node: usize) {
        let cut = self.shared().cut.clone();
        for (from, to) in cut {
            if from == node || to == node {
                let ends = [from, to].map(|end| self.slots[end].node.node_key());
                self.net.cut(ends[0], ends[1]);
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.net.heal();
        let mut shared = self.shared();
        for (from, to) in std::mem::take(&mut shared.cut) {
            shared.disturb(from);
            shared.disturb(to);
        }
    }
}

/// One sort of a lossy network.
fn noise(which: u32) -> Noise {
    let sorts = [
        Noise {
            breaks: 60,
            ..Noise::default()
        },
        Noise {
            loses: 60,
            ..Noise::default()
        },
        Noise {
            delays: 300,
            ..Noise::default()
        },
        Noise {
            repeats: 300,
            ..Noise::default()
        },
        Noise {
            alters: 100,
            ..Noise::default()
        },
        Noise {
            breaks: 20,
            loses: 20,
            delays: 80,
            repeats: 80,
            alters: 20,
            spoils: None,
        },
    ];
    sorts[which as usize % sorts.len()]
}
