//! What a user gives a node to import, whole or line by line.

use std::{cell::RefCell, collections::BTreeMap};

use bytes::Bytes;
use chartmesh_core::{
    flows::{Met, Mode},
    formats::{self, Form, Line, Lines},
    types::Role,
};
use chartmesh_tests::SimNode;
use tokio::runtime::Runtime;

use crate::{
    engine::{actor, network, runtime},
    targets::Run,
};

/// The targets of this file.
pub(crate) const TARGETS: &[Run] = &[("lines", lines), ("import", import)];

/// Inputs after which the node is made anew, since each may leave people in it.
const INPUTS_MAX: u32 = 200;

thread_local! {
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
}

/// The first byte is how long the parts are in which the lines come.
fn lines(data: &[u8]) {
    let Some((first, input)) = data.split_first() else {
        return;
    };
    let whole = taken(input, input.len().max(1));
    let parts = taken(input, usize::from(*first).max(1));
    assert!(
        whole == parts,
        "the lines are the same however they are cut"
    );
    let read = whole.iter().filter_map(|line| line.content.as_ref().ok());
    for content in read {
        assert!(!content.contains(&b'\n') && !content.is_empty());
        if let Ok(plan) = formats::read(content) {
            assert!(plan.patients.len() + plan.resources.len() > 0 || !plan.issues.is_empty());
        }
    }
    if formats::form(input) == Form::Lines {
        assert!(!whole.is_empty(), "what is told to be lines has one");
    }
}

fn taken(input: &[u8], part_bytes: usize) -> Vec<Line> {
    let mut lines = Lines::default();
    let mut found: Vec<Line> = Vec::new();
    for part in input.chunks(part_bytes) {
        found.extend(lines.push(part));
    }
    found.extend(lines.end());
    found
}

struct Desk {
    runtime: Runtime,
    node: SimNode,
    used: u32,
}

/// An odd first byte takes the rest line by line.
fn import(data: &[u8]) {
    let Some((first, input)) = data.split_first() else {
        return;
    };
    DESK.with_borrow_mut(|slot| {
        if slot.as_ref().is_some_and(|desk| desk.used >= INPUTS_MAX) {
            *slot = None;
        }
        let desk = slot.get_or_insert_with(Desk::open);
        desk.used += 1;
        if first & 1 == 0 {
            desk.whole(Bytes::copy_from_slice(input));
        } else {
            desk.by_line(input);
        }
    });
}

impl Desk {
    fn open() -> Self {
        let runtime = runtime();
        let (_, node, _) = runtime.block_on(network());
        Self {
            runtime,
            node,
            used: 0,
        }
    }

    fn whole(&self, input: Bytes) {
        let user = actor(Role::Admin);
        let take = |mode| {
            let told = self.node.import(&user, input.clone(), mode);
            self.runtime.block_on(told).map_err(|error| error.code())
        };
        let before = self.disk();
        let dry = take(Mode::DryRun).err();
        assert!(self.disk() == before, "a dry run writes nothing");
        let stored = take(Mode::Store).err();
        assert!(dry == stored, "a dry run says what storing will");
        if stored.is_some() {
            assert!(self.disk() == before, "nothing of a refused input stays");
            return;
        }
        let after = self.disk();
        assert!(take(Mode::Store).is_ok(), "what came in once comes again");
        assert!(self.disk() == after, "the same again adds nothing");
    }

    fn by_line(&self, input: &[u8]) {
        let read = taken(input, 4 << 10).into_iter();
        let lines: Vec<Bytes> = read.filter_map(|line| line.content.ok()).collect();
        let count = lines.len();
        let before = self.disk();
        let user = actor(Role::Admin);
        let mut met = Met::default();
        let told = self.node.import_lines(&user, lines, Mode::Store, &mut met);
        let told = self.runtime.block_on(told).expect("the disk works");
        if told.refused.len() == count {
            assert!(self.disk() == before, "nothing of a refused line stays");
        }
    }

    fn disk(&self) -> BTreeMap<String, Vec<u8>> {
        self.node.disk().files()
    }
}
