//! Several nodes that belong together.

use std::{fs, path::PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::node::{Node, PATIENCE, Ran, text};

const LISTEN: &str = "/ip4/127.0.0.1/tcp/0";

/// A temporary place for nodes and files.
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("cm").tempdir();
        Self {
            folder: folder.expect("a temporary folder"),
        }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into it and returns its path as an argument.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).expect("the file is written");
        argument(path)
    }

    /// The path of a file that a command will write.
    pub(crate) fn out(&self, name: &str) -> String {
        argument(self.path(name))
    }

    /// A node whose daemon does not run yet.
    pub(crate) fn node(&self, name: &str, organization: &str, kind: &str) -> Node {
        Node::init(self.path(name), organization, kind, LISTEN)
    }

    /// A node that listens where it is told.
    pub(crate) fn node_at(&self, name: &str, organization: &str, listen: &str) -> Node {
        Node::init(self.path(name), organization, "clinic", listen)
    }
}

fn argument(path: PathBuf) -> String {
    path.into_os_string()
        .into_string()
        .expect("temporary paths are text")
}

/// A clinic that founded a network, a hospital and an urgent care that joined it; all run.
pub(crate) struct Network {
    pub(crate) clinic: Node,
    pub(crate) hospital: Node,
    pub(crate) harbor: Node,
    pub(crate) world: World,
}

impl Network {
    /// Founds it with a policy and waits until everybody is connected to everybody.
    pub(crate) fn new(policy: &str) -> Self {
        let world = World::new();
        let mut network = Self {
            clinic: world.node("clinic", "Maple Family Clinic", "clinic"),
            hospital: world.node("hospital", "St. Brigid Hospital", "hospital"),
            harbor: world.node("harbor", "Harbor Urgent Care", "urgent-care"),
            world,
        };
        for node in network.nodes() {
            node.start();
        }
        let Self {
            clinic,
            hospital,
            harbor,
            ..
        } = &network;
        clinic.ok(&[
            "network",
            "found",
            "--name",
            "Springfield",
            "--policy",
            policy,
            "--test",
        ]);
        for newcomer in [hospital, harbor] {
            admit(clinic, newcomer);
        }
        for node in [clinic, hospital, harbor] {
            node.wait("all are connected", PATIENCE, || connected(node) == 2);
        }
        network
    }

    /// Each of them, to be stopped and started.
    pub(crate) fn nodes(&mut self) -> [&mut Node; 3] {
        [&mut self.clinic, &mut self.hospital, &mut self.harbor]
    }
}

/// Invites, joins and approves.
pub(crate) fn admit(inviter: &Node, newcomer: &Node) {
    let ticket = invite(inviter);
    let asked = join(newcomer, &ticket).expect(0).json;
    approve(inviter, &text(&asked["id"]));
    newcomer.wait("is a member", PATIENCE, || active(newcomer) > 0);
}

/// How many active members a node knows; none where it is no member itself.
pub(crate) fn active(node: &Node) -> usize {
    let members = node.run(&["network", "members"]);
    lines(&members.json["members"])
        .filter(|member| member["status"] == "active")
        .count()
}

/// A ticket of an inviter.
pub(crate) fn invite(inviter: &Node) -> String {
    text(&inviter.ok(&["network", "invite"])["ticket"])
}

/// Asks to join; the ticket goes through standard input, as a secret does.
pub(crate) fn join(newcomer: &Node, ticket: &str) -> Ran {
    newcomer.run_with_input(&["network", "join", "-"], format!("{ticket}\n").as_bytes())
}

/// Approves a request once it has arrived.
pub(crate) fn approve(inviter: &Node, id: &str) {
    inviter.wait("the request arrives", PATIENCE, || {
        let requests = inviter.ok(&["network", "requests"]);
        lines(&requests["requests"]).any(|request| request["id"] == id)
    });
    inviter.ok(&["network", "approve", id]);
}

fn connected(node: &Node) -> usize {
    let reply = node.run(&["peers"]);
    lines(&reply.json["peers"])
        .filter(|peer| peer["connected"] == true && peer["node"] != node.id.as_str())
        .count()
}

/// The elements of a list in a reply; none where it is missing.
pub(crate) fn lines(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The line of the ledger that speaks of a node.
#[track_caller]
pub(crate) fn line_of<'a>(ledger: &'a Value, node: &Node) -> &'a Value {
    lines(&ledger["nodes"])
        .find(|line| line["node"] == node.id.as_str())
        .expect("the ledger has a line for every member")
}

/// The words by which a clinician fetches a document to treat its patient.
pub(crate) fn fetch_words<'a>(handle: &'a str, document: &'a str, out: &'a str) -> [&'a str; 9] {
    [
        "fetch",
        "--handle",
        handle,
        "--document",
        document,
        "--purpose",
        "TREAT",
        "--out",
        out,
    ]
}

/// The only patient of a node whose name is given.
#[track_caller]
pub(crate) fn patient(node: &Node, name: &str) -> String {
    let reply = node.ok(&["patient", "search", name]);
    let mut found = lines(&reply["patients"]);
    let patient = found.next().expect("the patient is there");
    assert!(found.next().is_none(), "one patient of that name: {reply}");
    text(&patient["id"])
}
