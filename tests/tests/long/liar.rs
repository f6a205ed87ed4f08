//! Who lies: repeats what it captured, uses what was not given to it, sends other bytes than it signed.

use chartmesh_core::{
    ports::Journal,
    records::{Batch, HandleReceived, RecordKind, Scope},
    types::{DocumentId, Handle, MemberId, Timestamp},
    wire,
};
use chartmesh_tests::{Frame, SimDisk};

use crate::{
    act::pick,
    doer::{Doer, Using},
    history::Act,
    run::Run,
};

impl Run {
    pub(crate) fn replay(&mut self, label: String, act: Act, [which, whose]: [u32; 2]) {
        let captured: Vec<Frame> = self.shared().captured.iter().cloned().collect();
        let Some(mut frame) = pick(&captured, which) else {
            return;
        };
        if act == Act::ReplayElsewhere {
            let other = whose as usize % self.slots.len();
            let key = self.slots[other].node.node_key();
            if whose % 2 == 0 && frame.to != key {
                frame.from = key;
            } else if frame.from != key && frame.to != key {
                frame.to = key;
            } else {
                return;
            }
        }
        let to = self.shared().model.index(frame.to);
        // It goes to whoever holds the key by now.
        frame.to = self.slots[to].node.node_key();
        if let Some(doer) = self.doer(to, &label) {
            self.launch(&[to], label, doer.replay_all(self.net.clone(), vec![frame]));
        }
    }

    pub(crate) fn foreign_handle(&mut self, label: String, node: usize, [whose, which]: [u32; 2]) {
        let other = self.reader(whose, 1);
        let Some(handle) = self.handle(other, which).filter(|_| other != node) else {
            return;
        };
        let Some((holder, _, papers)) = self.papers(handle).filter(|(holder, ..)| *holder != node)
        else {
            return;
        };
        let member = self.member(holder);
        if let Some(doer) = self.doer(node, &label) {
            let using = Using {
                handle,
                document: papers[which as usize % papers.len()],
                ..self.using(node, 1, 0)
            };
            self.shared().liars.insert(node);
            self.launch(&[node], label, doer.foreign_handle(member, using));
        }
    }

    pub(crate) fn foreign_document(&mut self, label: String, node: usize, [which, what]: [u32; 2]) {
        let Some(handle) = self.handle(node, which) else {
            return;
        };
        let Some((holder, patient, _)) = self.papers(handle) else {
            return;
        };
        let strange: Vec<DocumentId> = {
            let shared = self.shared();
            let people = shared.model.holders[holder].people.iter();
            let others = people.filter(|(id, _)| **id != patient);
            others
                .flat_map(|(_, person)| [person.papers_at(u64::MAX), vec![person.summary]].concat())
                .collect()
        };
        let Some(document) = pick(&strange, what) else {
            return;
        };
        if let Some(doer) = self.doer(node, &label) {
            let using = Using {
                handle,
                document,
                ..self.using(node, 1, 0)
            };
            self.launch(&[node], label, doer.fetch_alone(using));
        }
    }

    /// A holder sends other bytes than it signed.
    pub(crate) fn wrong_bytes(
        &mut self,
        label: String,
        node: usize,
        [which, what, place]: [u32; 3],
    ) {
        let Some(handle) = self.handle(node, which) else {
            return;
        };
        let Some((holder, _, papers)) = self.papers(handle) else {
            return;
        };
        let disk = self.slots[holder].node.disk().clone();
        let files: Vec<String> = disk
            .files()
            .into_keys()
            .filter(|name| name.starts_with("files/"))
            .collect();
        let (Some(doer), false) = (self.doer(node, &label), files.is_empty()) else {
            return;
        };
        let using = Using {
            handle,
            document: papers[what as usize % papers.len()],
            ..self.using(node, 1, 0)
        };
        self.shared().liars.insert(holder);
        self.launch(&[node], label, doer.wrong_bytes(disk, files, place, using));
    }
}

impl Doer {
    /// Puts a handle that another member was given into the own journal, and uses it.
    pub(crate) async fn foreign_handle(mut self, holder: MemberId, using: Using) {
        let mut batch = Batch::default();
        let planted = HandleReceived {
            handle: using.handle,
            holder,
            patient: None,
            until: Timestamp(u64::MAX),
        };
        let body = wire::encode_handle_received(&planted);
        batch.push(RecordKind::HandleReceived, Scope::Store, body);
        if self.node.world().commit(batch).await.is_ok() {
            self.shared().cell("liar", "FOREIGN_HANDLE");
            self.list(using).await;
            self.fetch(using).await;
        }
    }

    /// Changes one byte of every file of a holder while a document of it is fetched.
    pub(crate) async fn wrong_bytes(
        mut self,
        disk: SimDisk,
        files: Vec<String>,
        place: u32,
        using: Using,
    ) {
        let holder = self.holder_of(using.handle);
        let flipped = Flipped { disk, files, place };
        flipped.flip();
        if let Some(holder) = holder {
            self.shared().wrong.insert(holder);
        }
        let outcome = self.fetch(using).await;
        self.shared().cell("wrong bytes", outcome);
        let fetched = outcome == "OK";
        if fetched && flipped.files.len() == disk_files(&flipped.disk) {
            self.shared()
                .breaks(format!("{}: a fetch of wrong bytes went well", self.label));
        }
    }

    fn holder_of(&self, handle: Handle) -> Option<usize> {
        let shared = self.shared();
        let mut holders = shared.model.holders.iter();
        holders.position(|holder| holder.given.contains_key(&handle))
    }
}

/// One byte of every file is another for as long as this lives, also where the fetch is given up.
struct Flipped {
    disk: SimDisk,
    files: Vec<String>,
    place: u32,
}

impl Flipped {
    fn flip(&self) {
        for name in &self.files {
            self.disk.tamper(name, |bytes| {
                let place = self.place as usize % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1;
                }
            });
        }
    }
}

impl Drop for Flipped {
    fn drop(&mut self) {
        self.flip();
    }
}

fn disk_files(disk: &SimDisk) -> usize {
    disk.files()
        .into_keys()
        .filter(|name| name.starts_with("files/"))
        .count()
}
