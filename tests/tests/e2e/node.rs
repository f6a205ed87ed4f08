//! One node: its directory, its daemon, and commands to it.

use std::{
    fmt::Debug,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex, OnceLock},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use chartmesh_cli::find::{find_cli, find_daemon};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::internet::Host;

/// Longest wait for anything that has no deadline of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a command said and how it ended.
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) json: Value,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    command: String,
}

impl Ran {
    /// The stable code of its error; empty where there is none.
    pub(crate) fn code(&self) -> &str {
        self.json["error"]["code"].as_str().unwrap_or_default()
    }

    /// Requires an exit code.
    #[track_caller]
    pub(crate) fn expect(self, exit: i32) -> Self {
        assert_eq!(
            self.exit, exit,
            "{}\n{}\n{}",
            self.command, self.json, self.stderr
        );
        self
    }
}

/// A node of an organisation.
pub(crate) struct Node {
    pub(crate) dir: PathBuf,
    pub(crate) organization: String,
    /// Peer id.
    pub(crate) id: String,
    daemon: Option<Daemon>,
    said: Arc<Said>,
    /// What the daemon finds in its environment beside what every daemon finds there.
    environment: Vec<(&'static str, String)>,
    /// Words before the daemon's command, where it runs on a host of its own.
    host: Vec<String>,
}

impl Node {
    /// Makes a node in a directory; its daemon does not run yet.
    pub(crate) fn init(dir: PathBuf, organization: &str, kind: &str, listen: &str) -> Self {
        let mut node = Self {
            dir,
            organization: organization.to_owned(),
            id: String::new(),
            daemon: None,
            said: Arc::default(),
            environment: Vec::new(),
            host: Vec::new(),
        };
        let address = format!("1 {organization} Street, Springfield IL");
        let reply = node.ok(&[
            "init",
            "--name",
            organization,
            "--kind",
            kind,
            "--address",
            &address,
            "--phone",
            "+1 217 555 0100",
            "--listen",
            listen,
            "--test",
        ]);
        node.id = text(&reply["node"]);
        node
    }

    /// The same directory again, for whoever tries to use it twice.
    pub(crate) fn second_daemon(&self) -> Self {
        self.again_in(self.dir.clone())
    }

    /// The same node in a directory that holds a copy of its own.
    pub(crate) fn again_in(&self, dir: PathBuf) -> Self {
        Self {
            dir,
            organization: self.organization.clone(),
            id: self.id.clone(),
            daemon: None,
            said: Arc::default(),
            environment: Vec::new(),
            host: Vec::new(),
        }
    }

    /// The same node with its daemon on another host; commands reach it all the same, by its socket.
    pub(crate) fn on(mut self, host: &Host) -> Self {
        self.host = host.words();
        self
    }

    /// The process of the daemon.
    pub(crate) fn process(&self) -> u32 {
        let daemon = self.daemon.as_ref().expect("the daemon runs");
        daemon.child.lock().expect("no holder panics").id()
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn start(&mut self) {
        self.start_daemon();
        let answered = wait_until(PATIENCE, &self.said, || {
            self.ended().is_some() || self.run(&["status"]).exit == 0
        });
        assert!(
            answered && self.ended().is_none(),
            "{} does not start:\n{}",
            self.organization,
            self.said.text()
        );
    }

    /// Starts the daemon with an environment of its own, this once.
    pub(crate) fn start_within(&mut self, environment: Vec<(&'static str, String)>) {
        self.environment = environment;
        self.start();
        self.environment.clear();
    }

    /// Starts the daemon and waits until it ends by itself.
    pub(crate) fn start_in_vain(&mut self) -> i32 {
        self.start_daemon();
        let ended = wait_until(PATIENCE, &self.said, || self.ended().is_some());
        let status = self.ended();
        self.kill();
        assert!(ended, "{} goes on", self.organization);
        status.and_then(|status| status.code()).unwrap_or(-1)
    }

    /// Starts the daemon and waits for nothing.
    pub(crate) fn start_daemon(&mut self) {
        assert!(self.daemon.is_none(), "one daemon at a time");
        self.daemon = Some(Daemon::start(
            &self.dir,
            Arc::clone(&self.said),
            &self.environment,
            &self.host,
        ));
    }

    fn ended(&self) -> Option<ExitStatus> {
        let daemon = self.daemon.as_ref()?;
        let mut child = daemon.child.lock().expect("no holder panics");
        child.try_wait().expect("the child is ours")
    }

    /// Ends the daemon as a service manager would; it must end clean.
    pub(crate) fn stop(&mut self) {
        let daemon = self.daemon.take().expect("the daemon runs");
        assert_eq!(
            daemon.end(Signal::TERM).code(),
            Some(0),
            "{}",
            self.said.text()
        );
    }

    /// Stops the daemon from doing anything, its connections as they are.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen daemon go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let daemon = self.daemon.as_ref().expect("the daemon runs");
        let child = daemon.child.lock().expect("no holder panics");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a child has an id"), signal).expect("the child is ours");
    }

    /// Ends the daemon as a power cut would, if it runs.
    pub(crate) fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.end(Signal::KILL);
        }
    }

    /// Runs a command with JSON output.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, b"")
    }

    /// Runs a command with output for people.
    pub(crate) fn run_in_words(&self, arguments: &[&str]) -> Ran {
        let mut child = self.spawn_with(&[], arguments);
        drop(child.stdin.take());
        self.finish(arguments, child)
    }

    /// Runs a command that reads standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = self.spawn(arguments);
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        // A command that refuses its arguments reads nothing, and its exit code says so.
        let _ = stdin.write_all(input);
        drop(stdin);
        self.finish(arguments, child)
    }

    /// Starts a command and leaves it running; [`Self::finish`] takes it back.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.spawn_with(&["--output", "json"], arguments)
    }

    fn spawn_with(&self, globals: &[&str], arguments: &[&str]) -> Child {
        let programs = Programs::built();
        programs
            .command(&programs.cli)
            .arg("--node")
            .arg(&self.dir)
            .args(globals)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command line starts")
    }

    /// Waits for a command.
    pub(crate) fn finish(&self, arguments: &[&str], child: Child) -> Ran {
        let output = child.wait_with_output().expect("the command ends");
        let Output { stdout, stderr, .. } = &output;
        let stderr = String::from_utf8_lossy(stderr).into_owned();
        self.said.add(&stderr);
        Ran {
            exit: output.status.code().unwrap_or(-1),
            json: json_in(stdout)
                .or_else(|| json_in(stderr.as_bytes()))
                .unwrap_or(Value::Null),
            stdout: String::from_utf8_lossy(stdout).into_owned(),
            stderr,
            command: format!("{}: {}", self.organization, arguments.join(" ")),
        }
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> Value {
        self.run(arguments).expect(0).json
    }

    /// Waits until something holds, looking again whenever the daemon says something.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, limit: Duration, holds: impl FnMut() -> bool) {
        assert!(
            wait_until(limit, &self.said, holds),
            "{}: {what}: not within {limit:?}\n{}",
            self.organization,
            self.said.text()
        );
    }

    /// Everything the daemon and commands to it wrote to standard error.
    pub(crate) fn said(&self) -> String {
        self.said.text()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command that belongs to no node; what it leaves behind it leaves in `scratch`.
pub(crate) fn run_alone(arguments: &[&str], scratch: &Path) -> Output {
    let programs = Programs::built();
    programs
        .command(&programs.cli)
        .args(arguments)
        .env("TMPDIR", scratch)
        .stdin(Stdio::null())
        .output()
        .expect("the command line starts")
}

/// Where the programs lie.
pub(crate) fn programs_folder() -> PathBuf {
    let folder = Programs::built().daemon.parent();
    folder.expect("a program lies in a folder").to_owned()
}

/// A string of a reply.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn json_in(bytes: &[u8]) -> Option<Value> {
    let from = bytes.iter().position(|byte| *byte == b'{')?;
    serde_json::from_slice(&bytes[from..]).ok()
}

struct Daemon {
    child: Mutex<Child>,
    reader: JoinHandle<()>,
}

impl Daemon {
    fn start(dir: &Path, said: Arc<Said>, environment: &[(&str, String)], host: &[String]) -> Self {
        let programs = Programs::built();
        let mut command = match host.split_first() {
            Some((program, words)) => {
                let mut command = programs.command(Path::new(program));
                command.args(words).arg(&programs.daemon);
                command
            }
            None => programs.command(&programs.daemon),
        };
        let mut child = command
            .arg("--node")
            .arg(dir)
            .env("CHARTMESH_LOG", "debug")
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let stderr = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
        let reader = std::thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                said.add(&String::from_utf8_lossy(&line));
            }
        });
        Self {
            child: Mutex::new(child),
            reader,
        }
    }

    fn end(self, signal: Signal) -> ExitStatus {
        let mut child = self.child.into_inner().expect("no holder panics");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // It may have ended by itself; waiting tells.
        let _ = kill_process(pid.expect("a child has an id"), signal);
        let status = child.wait().expect("the child is ours");
        self.reader.join().expect("the reader only reads");
        status
    }
}

/// What a node wrote to standard error so far; wakes whoever waits for more.
#[derive(Default)]
struct Said {
    lines: Mutex<String>,
    more: Condvar,
}

impl Said {
    fn add(&self, line: &str) {
        let mut lines = self.lines.lock().expect("no holder panics");
        lines.push_str(line);
        lines.push('\n');
        self.more.notify_all();
    }

    fn text(&self) -> String {
        self.lines.lock().expect("no holder panics").clone()
    }
}

fn wait_until(limit: Duration, said: &Said, mut holds: impl FnMut() -> bool) -> bool {
    // Also what leaves no line in a log comes true in time.
    const PAUSE: Duration = Duration::from_millis(5);
    let began = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if began.elapsed() > limit {
            return false;
        }
        let lines = said.lines.lock().expect("no holder panics");
        let waited = said.more.wait_timeout(lines, PAUSE);
        drop(waited.expect("no holder panics"));
    }
}

/// The two programs, built once for all tests of this run.
struct Programs {
    daemon: PathBuf,
    cli: PathBuf,
}

impl Programs {
    fn built() -> &'static Self {
        static PROGRAMS: OnceLock<Programs> = OnceLock::new();
        PROGRAMS.get_or_init(|| Self {
            daemon: found(find_daemon()),
            cli: found(find_cli()),
        })
    }

    /// A command that finds the same programs again without asking cargo.
    fn command(&self, program: &Path) -> Command {
        let folder = self.daemon.parent().expect("a program lies in a folder");
        let mut command = Command::new(program);
        command
            .env("CHARTMESH_BIN", folder)
            .env_remove("CARGO")
            .env_remove("CHARTMESH_NODE")
            .env_remove("CHARTMESH_LOG");
        command
    }
}

fn found<E: Debug>(program: Result<PathBuf, E>) -> PathBuf {
    match program {
        Ok(program) => program,
        Err(error) => panic!("{error:?}"),
    }
}
