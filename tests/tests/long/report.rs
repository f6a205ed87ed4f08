//! What runs reached, what a failure says, and how a history is made smaller.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    process::Command,
};

use crate::{
    history::History,
    run::{self, Outcome},
    shared::Counts,
};

/// Every cell (flow | outcome), one a line; behind a third bar, why it is not reached.
const CELLS: &str = include_str!("cells.txt");

/// Percent of the reachable cells below which runs are red. This number only rises.
const CELLS_MIN_PERCENT: usize = 90;

/// What is counted like a cell and is none.
const FAULTS: [&str; 3] = ["fault", "liar", "wrong bytes"];

/// Runs that making a broken history smaller may take.
const SHRINK_RUNS: usize = 120;

const HOUR_MS: f64 = 3_600_000.0;

type Cell = (String, String);

/// What many runs did together.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) runs: u64,
    pub(crate) counts: Counts,
    pub(crate) cells: BTreeMap<Cell, u64>,
    /// What went wrong, and who lied, by sort.
    pub(crate) faults: BTreeMap<Cell, u64>,
}

impl Totals {
    /// Adds one run.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        let (all, one) = (&mut self.counts, &outcome.counts);
        self.runs += 1;
        all.operations += one.operations;
        all.faults += one.faults;
        all.frames += one.frames;
        all.troubled += one.troubled;
        all.commits += one.commits;
        all.keys += one.keys;
        all.crashes += one.crashes;
        all.foreseen += one.foreseen;
        all.reached += one.reached;
        all.simulated_ms += one.simulated_ms;
        all.idle_ms += one.idle_ms;
        for (cell, times) in &outcome.cells {
            let is_fault = FAULTS.contains(&cell.0.as_str());
            let of = if is_fault {
                &mut self.faults
            } else {
                &mut self.cells
            };
            *of.entry(cell.clone()).or_default() += times;
        }
    }

    /// Simulated hours in which somebody does something.
    pub(crate) fn hours(&self) -> f64 {
        (self.counts.simulated_ms - self.counts.idle_ms) as f64 / HOUR_MS
    }

    /// What happened, in a few lines.
    pub(crate) fn text(&self) -> String {
        let Counts {
            operations,
            faults,
            frames,
            troubled,
            commits,
            keys,
            crashes,
            ..
        } = self.counts;
        let Counts {
            foreseen, reached, ..
        } = self.counts;
        let listed = listed();
        let reachable = listed.values().filter(|reason| reason.is_none()).count();
        let missed = self.missed();
        let cells = reachable - missed.len();
        let mut text = format!(
            "{} histories, {:.1} simulated hours and {:.1} idle ones: {operations} operations, {faults} of \
             them faults or lies; \
             {crashes} power cuts, {troubled} of {frames} frames lost, late, repeated or altered; \
             {commits} commits, {keys} keys released; {foreseen} answers foreseen exactly, {reached} \
             permitted fetches at the end; {cells} of {reachable} reachable cells",
            self.runs,
            self.hours(),
            self.counts.idle_ms as f64 / HOUR_MS,
        );
        for ((sort, which), times) in &self.faults {
            let _infallible = write!(text, "\n  {sort} {which}: {times}");
        }
        for (flow, outcome) in &missed {
            let _infallible = write!(text, "\n  not reached: {flow} | {outcome}");
        }
        text
    }

    /// Reachable cells that were not reached.
    pub(crate) fn missed(&self) -> Vec<Cell> {
        let listed = listed();
        let reachable = listed.into_iter().filter(|(_, reason)| reason.is_none());
        let cells = reachable.map(|(cell, _)| cell);
        cells
            .filter(|cell| !self.cells.contains_key(cell))
            .collect()
    }

    /// Cells that were reached though the list lacks them, or says they cannot be.
    pub(crate) fn strange(&self) -> Vec<String> {
        let listed = listed();
        let known = |cell: &&Cell| listed.get(*cell).is_some_and(Option::is_none);
        let strange = self.cells.keys().filter(|cell| !known(cell));
        strange
            .map(|(flow, outcome)| format!("{flow} | {outcome}"))
            .collect()
    }

    /// Whether enough was reached.
    pub(crate) fn is_wide(&self) -> bool {
        let reachable = listed().values().filter(|reason| reason.is_none()).count();
        (reachable - self.missed().len()) * 100 >= reachable * CELLS_MIN_PERCENT
    }
}

/// The list of cells, each with the reason why it is not reached.
pub(crate) fn listed() -> BTreeMap<Cell, Option<String>> {
    let lines = CELLS
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let mut parts = line.split('|').map(|part| part.trim().to_owned());
            let flow = parts.next().unwrap_or_default();
            let outcome = parts.next().unwrap_or_default();
            ((flow, outcome), parts.next())
        })
        .collect()
}

/// The commit this runs at, marked where files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "HEAD"]).unwrap_or_default();
    let changed = git(&["status", "--porcelain"]).is_some_and(|status| !status.is_empty());
    format!("{head}{}", if changed { " with changes" } else { "" })
}

/// What a failed run says: seed, commit, and the commands that replay it, whole and made smaller.
pub(crate) fn failure(history: &History, outcome: &Outcome, is_first: bool) -> String {
    let seed = history.setting.seed;
    let mut text = format!("seed {seed} at commit {}\n", commit());
    for broken in outcome.broken.iter().take(5) {
        let _infallible = writeln!(text, "  {broken}");
    }
    let command = "cargo test -p chartmesh-tests --test long hours -- --nocapture";
    let _infallible = writeln!(text, "  replay: CHARTMESH_SIM_SEED={seed} {command}");
    if is_first {
        let runs_max = std::env::var("CHARTMESH_SIM_SHRINK");
        let runs_max = runs_max.map_or(SHRINK_RUNS, |runs| runs.parse().unwrap());
        let smaller = shrink(history, runs_max);
        let kept: Vec<String> = smaller.kept.iter().map(usize::to_string).collect();
        let act = |index: &usize| format!("{index} {:?}", smaller.operations[*index].act);
        let acts: Vec<String> = smaller.kept.iter().map(act).collect();
        let (kept, acts) = (kept.join(","), acts.join(", "));
        let keep = format!("CHARTMESH_SIM_SEED={seed} CHARTMESH_SIM_KEEP={kept}");
        let _infallible = writeln!(text, "  smaller: {keep} {command}\n  ({acts})");
    }
    text
}

/// Drops operations for as long as a run still breaks, halves first, then ever smaller parts, in at most
/// so many runs.
pub(crate) fn shrink(history: &History, runs_max: usize) -> History {
    let mut smallest = history.clone();
    let mut runs = 0;
    let mut part = smallest.kept.len().div_ceil(2);
    while part > 0 && runs < runs_max {
        let kept: Vec<usize> = smallest.kept.iter().copied().collect();
        let mut is_smaller = false;
        for dropped in kept.chunks(part) {
            let dropped: BTreeSet<usize> = dropped.iter().copied().collect();
            let mut tried = smallest.clone();
            tried.kept.retain(|index| !dropped.contains(index));
            runs += 1;
            if !run::run(&tried).broken.is_empty() {
                smallest = tried;
                is_smaller = true;
            }
            if runs >= runs_max {
                break;
            }
        }
        part = match (is_smaller, part) {
            (true, _) => part.min(smallest.kept.len().div_ceil(2)),
            (false, 1) => 0,
            (false, _) => part.div_ceil(2),
        };
    }
    smallest
}
