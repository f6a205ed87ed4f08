//! Power cuts: what a disk holds when everything that was not synced is forgotten.
//!
//! A node lives on a file system in a file. When the power goes, its daemon is stopped wherever it is and the file is
//! copied: what the kernel had not written to it yet is not in the copy. The copy is then the disk of a machine that
//! starts again, and the daemon goes on towards the next cut.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    node::{Node, PATIENCE, text},
    people::{ROSA, pdf},
    story::import,
    world::{World, lines, patient},
};

/// Cuts of an everyday run; `CHARTMESH_POWER_CUTS` says how many else.
const CUTS: usize = 5;
/// After so many a new disk is begun, so that copying it stays quick.
const CUTS_A_DISK: usize = 10;
/// How long a store may take to open after a cut (`reliability.md` G1).
const OPENS_WITHIN: Duration = Duration::from_secs(10);
/// Who writes at once.
const WRITERS: usize = 3;
/// A file beside the node.
const MARK: &str = "moment";
/// Sizes of the documents, in bytes.
const SIZES: [usize; 7] = [1_000, 40_000, 4_000, 400_000, 20_000, 1_500_000, 5_000_000];

/// Everything acknowledged before a cut is there after it, whole, at once.
///
/// The hard cases are a cut in the first start, and one in the midst of several writes of which some were answered.
#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let cuts =
        env::var("CHARTMESH_POWER_CUTS").map_or(CUTS, |cuts| cuts.parse().expect("a number"));
    let mut done = 0;
    let mut slowest = Duration::ZERO;
    for disk in 0.. {
        if done >= cuts {
            break;
        }
        let world = World::new();
        let Some(image) = Image::make(world.path(&format!("disk{disk}"))) else {
            println!("skipped: a disk in a file cannot be mounted here, only root may");
            assert!(
                env::var_os("CHARTMESH_DEMAND_LOOP").is_none(),
                "disks in files are demanded"
            );
            return;
        };
        let some = CUTS_A_DISK.min(cuts - done);
        slowest = slowest.max(cut_the_power(&world, &image, some));
        done += some;
    }
    println!(
        "{done} power cuts, nothing lost, slowest start {} ms",
        slowest.as_millis()
    );
}

/// Cuts the power of one disk so many times, and gives the slowest start after it.
fn cut_the_power(world: &World, image: &Image, cuts: usize) -> Duration {
    let at = format!("{}/clinic", image.name());
    let mut node = world.node(&at, "Maple Family Clinic", "clinic");
    let mut slowest = Duration::ZERO;
    // The first start is under way, and may have written anything or nothing.
    node.start_daemon();
    slowest = slowest.max(cut(world, image, &node, "", &[]));
    node.wait("the first start goes on", PATIENCE, || {
        node.run(&["status"]).exit == 0
    });
    import(&node, &world.file("rosa.json", &ROSA.bundle()));
    let rosa = patient(&node, ROSA.family);

    let written = Written::default();
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| written.write(world, &node, &rosa));
        }
        let _ends_writing = Ending(&written);
        for number in 1..cuts {
            let acknowledged = written.more(number % 4);
            slowest = slowest.max(cut(world, image, &node, &rosa, &acknowledged));
        }
    });
    node.stop();
    slowest
}

/// Cuts the power, looks at what is left, and lets the node go on that never had a cut. Gives the time the start took.
fn cut(world: &World, image: &Image, node: &Node, rosa: &str, acknowledged: &[String]) -> Duration {
    let moment = image.mark();
    node.freeze();
    until_still(node.process());
    let left = image.copied(world);
    node.thaw();
    let marked = fs::read_to_string(left.at.join(MARK)).expect("a mark");
    assert_eq!(marked, moment, "the copy is of another moment");
    let mut restarted = node.again_in(left.at.join("clinic"));
    let began = Instant::now();
    restarted.start();
    let took = began.elapsed();
    assert!(took < OPENS_WITHIN, "the start after a cut took {took:?}");
    assert_eq!(restarted.ok(&["audit", "verify"])["verified"], true);
    if !acknowledged.is_empty() {
        let shown = restarted.ok(&["patient", "show", rosa]);
        let stored: Vec<String> = lines(&shown["documents"])
            .map(|document| text(&document["sha256"]))
            .collect();
        for document in acknowledged {
            assert!(
                stored.contains(document),
                "{document} was acknowledged and is gone; {} of {} are there",
                stored.len(),
                acknowledged.len()
            );
        }
    }
    restarted.stop();
    took
}

/// What the writers have been told is stored.
#[derive(Default)]
struct Written {
    acknowledged: Mutex<Vec<String>>,
    grew: Condvar,
    number: AtomicUsize,
    is_over: AtomicBool,
}

impl Written {
    fn write(&self, world: &World, node: &Node, patient: &str) {
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            // Each of them other bytes, since the same are stored once.
            let mut bytes = pdf(SIZES[number % SIZES.len()]);
            bytes.extend_from_slice(&number.to_le_bytes());
            let file = world.file(&format!("{number}.pdf"), &bytes);
            let words = [
                "document",
                "add",
                "--patient",
                patient,
                "--type",
                "18842-5",
                &file,
            ];
            let added = node.ok(&words);
            fs::remove_file(&file).expect("removed");
            self.acknowledged().push(text(&added["sha256"]));
            self.grew.notify_all();
        }
    }

    fn acknowledged(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.acknowledged.lock().expect("no holder panics")
    }

    /// Waits until so many more were acknowledged, and gives all.
    fn more(&self, count: usize) -> Vec<String> {
        let acknowledged = self.acknowledged();
        let enough = acknowledged.len() + count;
        let waited = self
            .grew
            .wait_timeout_while(acknowledged, PATIENCE, |known| known.len() < enough);
        let (acknowledged, timeout) = waited.expect("no holder panics");
        assert!(
            !timeout.timed_out(),
            "nothing was acknowledged in {PATIENCE:?}"
        );
        acknowledged.clone()
    }
}

/// Ends the writers also where a cut went wrong.
struct Ending<'a>(&'a Written);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// A signal stops a thread when it leaves the kernel: what it asks of the disk at this moment is done by then.
fn until_still(process: u32) {
    let tasks = format!("/proc/{process}/task");
    let is_still = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(") ")
            .map(|(_, rest)| rest.starts_with('T'));
        state.unwrap_or(true)
    };
    let began = Instant::now();
    while !fs::read_dir(&tasks)
        .expect("the daemon runs")
        .flatten()
        .all(is_still)
    {
        assert!(
            began.elapsed() < PATIENCE,
            "the daemon does not stand still"
        );
        thread::yield_now();
    }
}

/// A file system in a file.
struct Image {
    file: PathBuf,
    mounted: Mounted,
}

impl Image {
    fn make(at: PathBuf) -> Option<Self> {
        let file = at.with_extension("image");
        let disk = fs::File::create(&file).expect("made");
        disk.set_len(512 << 20).expect("as large as it is");
        run("mkfs.ext4", &["-q", "-m", "0"], &[&file]).then_some(())?;
        let mounted = Mounted::mount(file.clone(), at)?;
        Some(Self { file, mounted })
    }

    fn name(&self) -> String {
        let name = self.mounted.at.file_name().expect("it has a name");
        name.to_string_lossy().into_owned()
    }

    /// Leaves a mark on the disk, synced, by which a copy shows that it is not of an earlier moment.
    fn mark(&self) -> String {
        static MARKS: AtomicUsize = AtomicUsize::new(0);
        let moment = MARKS.fetch_add(1, Ordering::Relaxed).to_string();
        let path = self.mounted.at.join(MARK);
        fs::write(&path, &moment).expect("written");
        let synced = fs::File::open(&path).and_then(|file| file.sync_all());
        synced.expect("synced");
        moment
    }

    /// What is on the disk at this moment, as the disk of another machine.
    ///
    /// Each copy is a file of its own: of one that the kernel has seen before it may remember the content.
    fn copied(&self, world: &World) -> Mounted {
        static COPIES: AtomicUsize = AtomicUsize::new(0);
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let at = world.path(&format!("left{number}"));
        let copy = at.with_extension("image");
        assert!(run("cp", &["--sparse=always"], &[&self.file, &copy]));
        Mounted::mount(copy, at).expect("the copy is a file system")
    }
}

struct Mounted {
    image: PathBuf,
    at: PathBuf,
}

impl Mounted {
    /// The journal of the file system is written when somebody syncs, and not by a clock: nothing is under way in it
    /// while the daemon stands still.
    fn mount(image: PathBuf, at: PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).expect("the folder is made");
        run("mount", &["-o", "loop,commit=600"], &[&image, &at]).then_some(Self { image, at })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &["--lazy"], &[&self.at]);
        // Nothing is asserted while a test unwinds; what stays goes with the world's folder.
        let _gone = fs::remove_file(&self.image);
    }
}

fn run(program: &str, options: &[&str], paths: &[&Path]) -> bool {
    let output = Command::new(program).args(options).args(paths).output();
    output.is_ok_and(|output| output.status.success())
}
