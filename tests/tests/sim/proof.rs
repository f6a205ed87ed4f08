//! What leaves a node about its audit log: checkpoints, and proofs under them.

use std::{fs, path::PathBuf};

use chartmesh_core::{
    audit::{Checkpoint, InclusionProof, Kind as Audited, Promise},
    crypto::{Tree, tree::leaf_hash},
    flows::{Enclosed, FlowError},
    ports::{Clock as _, Journal as _, Rpc},
    records::{Batch, Disk as _, RecordKind, Scope, StoreError},
    types::{Code, Kind, Span},
    wire::{self, ReleaseAnswer},
};
use chartmesh_tests::{SimDisk, SimNode};
use data_encoding::BASE64;
use serde_json::Value;

use crate::{liar::Liar, scenario::*};

const EVERY: Span = Span::minutes(10);

/// Waits for the next ten minutes of a node's clock.
async fn next_slot(node: &SimNode) {
    let now = node.world().now().0;
    pass(EVERY.0 - now % EVERY.0).await;
}

fn read(node: &SimNode, note: &str) -> Checkpoint {
    let network = node.current_network().unwrap().id;
    let key = node.identity().audit.public();
    Checkpoint::verify(note, &network, &node.member(), &key).unwrap()
}

/// Hard case: the log stands between two multiples, and grows again before the ten minutes are over.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_made_every_ten_minutes_and_only_then_and_tells_no_size() {
    let Scene { world, rosa, .. } = three().await;
    let clinic = &world.clinic;
    assert_eq!(code(clinic.checkpoint()), Some(Code::CheckpointPending));
    assert_ne!(clinic.audit_head().0 % 64, 0);

    assert!(clinic.keep_checkpoint().await.unwrap());

    let first = clinic.checkpoint().unwrap();
    assert_eq!(read(clinic, &first).size, 64);
    assert_eq!(clinic.audit_head().0, 64);
    grant(clinic, rosa, &world.urgent).await;
    assert!(!clinic.keep_checkpoint().await.unwrap());
    assert_eq!(clinic.checkpoint().unwrap(), first);
    let clinic = &clinic.restarted();
    assert!(
        !clinic.keep_checkpoint().await.unwrap(),
        "a start is no tick"
    );

    next_slot(clinic).await;
    assert!(clinic.keep_checkpoint().await.unwrap());
    let second = read(clinic, &clinic.checkpoint().unwrap());
    assert_eq!((second.size, second.root), clinic.audit_head());
    assert_eq!(second.size, 128);

    next_slot(clinic).await;
    assert!(
        !clinic.keep_checkpoint().await.unwrap(),
        "nothing was logged"
    );
    let shown = clinic.audit_entries(0, usize::MAX).await.unwrap();
    let padding = |entry: &Audited| *entry == Audited::Padding;
    assert!(shown.iter().all(|shown| !padding(&shown.logged.entry.kind)));
    assert!(shown.iter().any(|shown| shown.logged.index >= 64));
}

#[tokio::test(start_paused = true)]
async fn what_no_checkpoint_covers_is_not_proved_yet() {
    let Scene { world, rosa, .. } = three().await;
    let clinic = &world.clinic;
    clinic.keep_checkpoint().await.unwrap();
    let covered = clinic.prove(0, Enclosed::Record).await.unwrap();
    assert!(covered.text().contains("\nindex 0\n"));
    grant(clinic, rosa, &world.urgent).await;

    let last = clinic.audit_head().0 - 1;
    let pending = clinic.prove(last, Enclosed::Record).await;
    let unknown = clinic.prove(last + 1, Enclosed::Record).await;

    assert_eq!(code(pending), Some(Code::CheckpointPending));
    assert_eq!(code(unknown), Some(Code::EntryUnknown));
    assert_eq!(code(clinic.prove_growth(65)), Some(Code::EntryUnknown));
    assert!(clinic.prove_growth(64).is_ok());
}

/// A node that starts again goes on with the checkpoints it signed, and refuses a journal that is not
/// the one it signed them for.
#[tokio::test(start_paused = true)]
async fn checkpoints_outlive_a_restart() {
    let Scene { world, .. } = three().await;
    let mut clinic = world.clinic;
    clinic.keep_checkpoint().await.unwrap();
    let note = clinic.checkpoint().unwrap();

    clinic = clinic.restarted();

    assert_eq!(clinic.checkpoint().unwrap(), note);
    assert!(clinic.prove(3, Enclosed::Record).await.is_ok());
    assert!(clinic.fold().problem().is_none());
}

/// Hard case: it was signed, by the log's own key, and the log is another.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_is_not_true_of_the_log_stops_the_node() {
    for (is_true, halted) in [(true, false), (false, true)] {
        let Scene { world, .. } = three().await;
        let clinic = &world.clinic;
        clinic.keep_checkpoint().await.unwrap();
        let mut checkpoint = read(clinic, &clinic.checkpoint().unwrap());
        if !is_true {
            checkpoint.root[0] ^= 1;
        }
        let note = checkpoint.sign(&clinic.identity().audit);
        let mut batch = Batch::default();
        batch.push(
            RecordKind::Checkpoint,
            Scope::Store,
            wire::encode_checkpoint(&note),
        );

        assert!(clinic.world().commit(batch).await.is_ok());

        let problem = clinic.fold().problem();
        assert_eq!(problem.is_some(), halted);
        assert_eq!(clinic.restarted().fold().problem().is_some(), halted);
    }
}

/// Hard case: the change is in the ciphertext, so that the record still looks like one.
#[tokio::test(start_paused = true)]
async fn a_record_that_was_changed_on_the_disk_is_not_proved() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    clinic.keep_checkpoint().await.unwrap();
    let record = clinic.prove(2, Enclosed::Record).await.unwrap().record;
    let record = record.unwrap();

    clinic
        .disk()
        .tamper("journal/00000000000000000001", |bytes| {
            let found = bytes.windows(record.len()).position(|at| at == record);
            bytes[found.unwrap() + record.len() - 1] ^= 1;
        });

    let refused = clinic.prove(2, Enclosed::Record).await;
    assert!(matches!(
        refused,
        Err(FlowError::Store(StoreError::Integrity { .. }))
    ));
    assert!(clinic.prove(2, Enclosed::Nothing).await.is_ok());
    assert!(clinic.prove(3, Enclosed::Record).await.is_ok());
}

/// Where the independent verifier looks for what it is to judge (`tests/peers/python`).
fn exported() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("audit-proofs")
}

/// The files are those the command line writes: what the flows give, byte for byte.
#[tokio::test(start_paused = true)]
async fn a_thousand_disclosures_are_proved_at_both_ends() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    world.net.set_latency(0);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    for node in [clinic, urgent] {
        node.keep_checkpoint().await.unwrap();
    }
    let earlier = [clinic, urgent].map(|node| node.checkpoint().unwrap());
    for _ in 0..1_000 {
        fetch(urgent, handle, document).await.unwrap();
    }
    next_slot(clinic).await;
    let folder = exported();
    let _none_before = fs::remove_dir_all(&folder);

    let ends = [
        (clinic, "holder", Audited::Disclosed),
        (urgent, "asker", Audited::Received),
    ];
    for ((node, end, kind), earlier) in ends.into_iter().zip(earlier) {
        node.keep_checkpoint().await.unwrap();
        let folder = folder.join(end);
        fs::create_dir_all(&folder).unwrap();
        let key = node.audit_key(None).unwrap() + "\n";
        fs::write(folder.join("log.vkey"), key).unwrap();
        fs::write(folder.join("earlier.txt"), &earlier).unwrap();
        let growth = node.prove_growth(read(node, &earlier).size).unwrap();
        fs::write(folder.join("growth.txt"), growth.text()).unwrap();
        let shown = node.audit_entries(0, usize::MAX).await.unwrap();
        let disclosures = shown.iter().filter(|shown| shown.logged.entry.kind == kind);
        let mut proved = 0;
        for shown in disclosures {
            let index = shown.logged.index;
            let proof = node.prove(index, Enclosed::Record).await.unwrap();
            let network = node.current_network().unwrap().id;
            let key = node.identity().audit.public();
            let verified = proof.verify(&network, &node.member(), &key, &shown.leaf);
            assert!(verified.is_ok(), "{end} {index}");
            let name = format!("{index:06}.tlog-proof");
            fs::write(folder.join(name), proof.text()).unwrap();
            proved += 1;
        }
        if end == "asker" {
            let (holder, folder) = (clinic.member(), folder.join("promises"));
            fs::create_dir_all(&folder).unwrap();
            for shown in shown.iter().filter(|shown| shown.logged.entry.kind == kind) {
                let (member, note) = urgent.promised(shown.logged.index).await.unwrap();
                assert_eq!(member, holder);
                // By the entry of the holder's log that it is about.
                let about: u64 = note.lines().nth(2).unwrap().parse().unwrap();
                fs::write(folder.join(format!("{about:06}.promise")), note).unwrap();
            }
        }
        assert_eq!(proved, 1_000, "{end}");
    }
    let known = urgent.audit_key(Some(clinic.member())).unwrap();
    assert_eq!(known, clinic.audit_key(None).unwrap());
}

/// What a log gives out whose owner has all its keys and writes what it likes.
fn rewritten(log: &SimNode, leaves: Vec<[u8; 32]>, index: u64, record: &[u8]) -> InclusionProof {
    let tree: Tree = leaves.into_iter().collect();
    let checkpoint = Checkpoint {
        network: log.current_network().unwrap().id,
        member: log.member(),
        size: tree.len(),
        root: tree.root(),
        journal: None,
    };
    InclusionProof {
        record: Some(record.to_vec()),
        index,
        path: tree.inclusion_proof(index, tree.len()).unwrap(),
        checkpoint: checkpoint.sign(&log.identity().audit),
    }
}

/// The same files on a disk of their own.
fn copied(disk: &SimDisk) -> SimDisk {
    let mut copy = SimDisk::default();
    for (name, bytes) in disk.files() {
        copy.replace(&name, &bytes).unwrap();
    }
    copy
}

/// The asker holds a promise, the other log another entry in that place. Hard case: an older state of the
/// whole directory was put back, so that nothing on the disk contradicts it.
#[tokio::test(start_paused = true)]
async fn a_log_that_was_cut_changed_or_reordered_breaks_a_promise_that_the_asker_holds() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    let before = copied(clinic.disk());
    fetch(urgent, handle, document).await.unwrap();
    let shown = urgent.audit_entries(0, usize::MAX).await.unwrap();
    let entry = shown.last().unwrap().logged.index;
    let (_, promise) = urgent.promised(entry).await.unwrap();
    let index: u64 = promise.lines().nth(2).unwrap().parse().unwrap();
    clinic.keep_checkpoint().await.unwrap();
    let kept = clinic.prove(index, Enclosed::Record).await.unwrap();
    let size = clinic.audit_head().0;
    let leaves: Vec<[u8; 32]> = (0..size).map(|n| clinic.audit_leaf(n).unwrap()).collect();

    let record = clinic.prove(index - 1, Enclosed::Record).await.unwrap();
    let mut reordered = leaves.clone();
    reordered.swap(index as usize, index as usize - 1);
    let reordered = rewritten(clinic, reordered, index, &record.record.unwrap());
    let mut changed = leaves;
    changed[index as usize] = leaf_hash(b"other");
    let changed = rewritten(clinic, changed, index, b"other");
    let key = clinic.audit_key(None).unwrap() + "\n";
    let older = SimNode::start(&world.net, &before, start(1, "Clinic", Kind::Clinic));
    assert!(
        older.fold().problem().is_none(),
        "nothing on the disk tells"
    );
    older.keep_checkpoint().await.unwrap();
    let cut = older.prove(index, Enclosed::Record).await.unwrap();

    let folder = exported().with_file_name("audit-evidence");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("log.vkey"), key).unwrap();
    fs::write(folder.join("disclosure.promise"), &promise).unwrap();
    fs::write(folder.join("whole.checkpoint"), &kept.checkpoint).unwrap();
    fs::write(folder.join("forked.checkpoint"), &cut.checkpoint).unwrap();
    let network = clinic.current_network().unwrap().id;
    let public = clinic.identity().audit.public();
    let promised = promise.lines().nth(3).unwrap();
    let all = [
        ("kept", kept),
        ("reordered", reordered),
        ("changed", changed),
        ("cut", cut),
    ];
    for (name, proof) in all {
        let leaf = leaf_hash(proof.record.as_ref().unwrap());
        let held = proof.verify(&network, &clinic.member(), &public, &leaf);
        assert!(held.is_ok(), "{name}: each log is proved by its own key");
        assert_eq!(BASE64.encode(&leaf) == promised, name == "kept", "{name}");
        fs::write(folder.join(format!("{name}.tlog-proof")), proof.text()).unwrap();
    }
}

/// Hard case: the promise is signed by the log's own key, and is about another entry.
#[tokio::test(start_paused = true)]
async fn a_promise_that_is_not_what_was_signed_of_the_disclosure_is_refused() {
    type Change = fn(&mut String);
    let cases: [(Change, Option<Code>); 4] = [
        (|_| (), None),
        // A node of an older version promises nothing.
        (String::clear, None),
        (
            |note| *note = note.replacen("\u{2014}", "-", 1),
            Some(Code::Signature),
        ),
        (|note| note.push(' '), Some(Code::Signature)),
    ];
    for (change, refused) in cases {
        let Scene {
            world,
            rosa,
            document,
        } = three().await;
        grant(&world.clinic, rosa, &world.urgent).await;
        let (clinic, urgent) = (&world.clinic.restarted(), &world.urgent);
        let liar = Liar::at(&world.net, clinic, 1);
        liar.says(Rpc::Release, move |answer: &mut ReleaseAnswer| {
            change(&mut answer.promise);
        });

        let handle = located(urgent, clinic).await;
        let fetched = fetch(urgent, handle, document).await;

        assert_eq!(code(fetched), refused);
    }
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    grant(&world.clinic, rosa, &world.urgent).await;
    let (clinic, urgent) = (&world.clinic.restarted(), &world.urgent);
    let liar = Liar::at(&world.net, clinic, 1);
    let other = Promise {
        network: clinic.current_network().unwrap().id,
        member: clinic.member(),
        index: 3,
        leaf: clinic.audit_leaf(3).unwrap(),
        at: clinic.world().now(),
    };
    let note = other.sign(&clinic.identity().audit);
    liar.says(Rpc::Release, move |answer: &mut ReleaseAnswer| {
        answer.promise.clone_from(&note);
    });
    let handle = located(urgent, clinic).await;

    let fetched = fetch(urgent, handle, document).await;

    assert_eq!(code(fetched), Some(Code::Signature));
    let received = audited(urgent, Audited::Received).await;
    assert!(received.iter().all(|entry| entry.promise.is_empty()));
}

/// Hard case: more entries than one answer holds, and padding between them.
#[tokio::test(start_paused = true)]
async fn both_ends_export_one_disclosure_as_the_two_ends_of_it() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    clinic.keep_checkpoint().await.unwrap();
    fetch(urgent, handle, document).await.unwrap();
    let exported = async |node: &SimNode| {
        let (mut events, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            let some = node.audit_events(from, 3).await.unwrap();
            events.extend(some.events);
            next = some.next;
        }
        let read = |line: String| serde_json::from_str::<Value>(&line).unwrap();
        events.into_iter().map(read).collect::<Vec<_>>()
    };

    let (ours, theirs) = (exported(clinic).await, exported(urgent).await);

    let of = |events: &[Value], kind: &str| -> Vec<Value> {
        let of_kind = |event: &&Value| event["subtype"][1]["code"] == kind;
        events.iter().filter(of_kind).cloned().collect()
    };
    let [disclosed] = &of(&ours, "disclosed")[..] else {
        panic!("one disclosure");
    };
    let [received] = &of(&theirs, "received")[..] else {
        panic!("one receipt");
    };
    let detail = |event: &Value, name: &str| {
        let entities = event["entity"].as_array().unwrap().iter();
        let mut details = entities
            .filter_map(|entity| entity["detail"].as_array())
            .flatten();
        let found = details.find(|detail| detail["type"] == name);
        found.unwrap()["valueString"].clone()
    };
    for name in ["disclosure", "query"] {
        assert_eq!(detail(disclosed, name), detail(received, name), "{name}");
    }
    assert_eq!(
        detail(disclosed, "leaf"),
        detail(received, "counterparty-leaf")
    );
    let profile = disclosed["meta"]["profile"][0].as_str().unwrap();
    assert!(profile.ends_with("PrivacyDisclosure.Source"));
    // The urgent care has no record of its own for her, so that its event names no patient.
    assert!(received["meta"]["profile"].is_null());
    let counted = clinic.audit_entries(0, usize::MAX).await.unwrap();
    assert_eq!(ours.len(), counted.len());
}
