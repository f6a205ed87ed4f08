//! Hand-made bad inputs: each is a good one with one fact changed, is refused by the code that stands beside it, and
//! leaves the state of the node as it was. The same input with that fact repaired is taken.

mod fhir;
mod questions;

use std::{cell::RefCell, collections::BTreeMap, fmt};

use bytes::Bytes;
use chartmesh_core::{
    flows::Mode,
    types::{Code, Role},
};
use chartmesh_tests::SimNode;
use tokio::runtime::Runtime;

use crate::engine::{actor, network, runtime};

/// What is wrong, what stands in the good input, what in the bad one, and the code.
type Row = (&'static str, &'static str, &'static str, Code);

/// The good input with one fact changed.
fn changed(good: &str, (what, from, to, _): &Row) -> String {
    assert!(good.contains(from), "{what}: nothing to change");
    let bad = good.replacen(from, to, 1);
    assert!(bad != good, "{what}: nothing is changed");
    bad
}

/// A node that is given inputs.
struct Desk {
    runtime: Runtime,
    node: SimNode,
    wrong: Wrong,
}

/// Rows whose code is another than the one beside them, told together at the end.
#[derive(Default)]
struct Wrong(RefCell<Vec<String>>);

impl Wrong {
    fn check<T: PartialEq + fmt::Debug>(&self, what: &str, wanted: &T, told: &T) {
        if told != wanted {
            let line = format!("{what}: {told:?} and not {wanted:?}");
            self.0.borrow_mut().push(line);
        }
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        let wrong = self.0.borrow();
        assert!(
            wrong.is_empty() || std::thread::panicking(),
            "{}",
            wrong.join("\n")
        );
    }
}

impl Desk {
    fn open() -> Self {
        let runtime = runtime();
        let (_, node, _) = runtime.block_on(network());
        let wrong = Wrong::default();
        Self {
            runtime,
            node,
            wrong,
        }
    }

    /// Everything that the node keeps: its journal, of which the rest is a fold, its keys, its files.
    fn state(&self) -> BTreeMap<String, Vec<u8>> {
        self.node.disk().files()
    }

    fn import(&self, input: Bytes) -> Option<Code> {
        let user = actor(Role::Admin);
        let told = self.node.import(&user, input, Mode::Store);
        self.runtime.block_on(told).err().map(|error| error.code())
    }

    fn refuses(&self, what: &str, bad: String, code: Code) {
        let before = self.state();

        let told = self.import(bad.into());

        self.wrong.check(what, &Some(code), &told);
        assert!(self.state() == before, "{what}: the state is another");
    }

    fn takes(&self, what: &str, good: &str) {
        let told = self.import(Bytes::copy_from_slice(good.as_bytes()));
        self.wrong.check(what, &None, &told);
    }
}
