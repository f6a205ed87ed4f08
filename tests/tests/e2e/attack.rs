//! What somebody with an account on the machine can do to a daemon that runs.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    node::{Node, PATIENCE},
    world::World,
};

/// A process of the same account: without any privilege, and ready to leave a core behind.
fn unprivileged(program: &Path, arguments: &[&str], folder: &Path) -> Command {
    // Root without capabilities is an account like any other, so the test means the same for all.
    let script = "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\"";
    let mut command = if rustix::process::getuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", "sh", "-c", script]);
        command
    } else {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    };
    command
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Whether such a process may look into another: its environment stands for its memory, since the system
/// asks the same of whoever wants to read either.
fn reads(of: &Child, folder: &Path) -> bool {
    let place = format!("/proc/{}/environ", of.id());
    let output = unprivileged(Path::new("cat"), &[&place], folder).output();
    output.is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}

fn aborted(mut child: Child) -> bool {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a child has an id"), Signal::ABORT).expect("it runs");
    let status = child.wait().expect("the child is ours");
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()));
    status.core_dumped()
}

/// No other process of the account reads keys out of a daemon, alive or dead.
///
/// The hard case is the account itself: file modes do not keep it out, and neither does root's absence.
#[test]
fn no_process_of_the_account_looks_into_a_daemon_and_no_core_is_left() {
    let world = World::new();
    let node = world.node("clinic", "Maple Family Clinic", "clinic");
    let folder = world.path("cores");
    fs::create_dir(&folder).expect("a folder");
    let other = unprivileged(Path::new("sleep"), &["600"], &folder).spawn();
    let Ok(other) = other else {
        assert!(
            std::env::var_os("CHARTMESH_DEMAND_SETPRIV").is_none(),
            "setpriv is missing"
        );
        println!("skipped: setpriv is missing");
        return;
    };
    node.wait("another process can be looked into", PATIENCE, || {
        reads(&other, &folder)
    });

    let daemon = crate::node::programs_folder().join("chartmeshd");
    let directory = node.dir.to_str().expect("a path is text").to_owned();
    let daemon = unprivileged(&daemon, &["--node", &directory], &folder).spawn();
    let daemon = daemon.expect("the daemon starts");
    node.wait("the daemon answers", PATIENCE, || {
        node.run(&["status"]).exit == 0
    });

    assert!(!reads(&daemon, &folder));
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.id())).expect("its limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = core.expect("a limit on cores").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"]);
    // What the system does for others it does not do for the daemon.
    let others_leave_one = aborted(other);
    assert!(!aborted(daemon));
    let left = fs::read_dir(&folder).expect("the folder").count();
    assert!(left <= usize::from(others_leave_one), "{left} cores");
}

/// The names a stranger gives itself appear in the log as one line of plain characters.
#[test]
fn a_name_that_commands_a_terminal_makes_no_node() {
    let world = World::new();
    for name in [
        "Maple\u{1b}[2J Clinic",
        "Maple\r\nerror code=INTERNAL Clinic",
        "Maple\u{202e}cinilC",
    ] {
        let directory = world.path("named");
        let directory = directory.to_str().expect("a path is text");
        let output = crate::node::run_alone(
            &[
                "--node", directory, "init", "--name", name, "--kind", "clinic", "--test",
            ],
            &world.path("."),
        );
        assert_ne!(output.status.code(), Some(0), "{name:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !said.contains('\u{1b}') && !said.contains('\u{202e}'),
            "{said:?}"
        );
    }
    let mut good: Node = world.node("named", "Maple Clinic", "clinic");
    good.start();
    good.stop();
}
