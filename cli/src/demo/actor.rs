//! One provider's node: its directory, its daemon, and whoever types `chartmesh` there.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};

use crate::exit::Failure;

use super::{places::Place, seen::unlike};

/// How long one command may take.
const COMMAND_MAX: Duration = Duration::from_secs(120);
/// How long a daemon may take until it answers.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a daemon may take to stop.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Between two looks at something that is to become true.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// The programs of the story.
#[derive(Clone)]
pub(super) struct Programs {
    /// `chartmesh`.
    pub(super) cli: PathBuf,
    /// `chartmeshd`.
    pub(super) daemon: PathBuf,
}

/// How a command ended.
pub(super) struct Ended {
    /// Exit code; none where a signal ended it.
    pub(super) code: Option<i32>,
    /// The JSON object on standard output, or null.
    pub(super) reply: Value,
    /// Standard error.
    pub(super) words: String,
}

/// A provider's node.
pub(super) struct Actor {
    /// The provider.
    pub(super) place: Place,
    /// The node's directory.
    pub(super) directory: PathBuf,
    /// Its id; empty before `init`.
    pub(super) node: String,
    programs: Programs,
    log: PathBuf,
    daemon: Option<Child>,
}

impl Actor {
    /// A provider without a node yet.
    pub(super) fn new(place: Place, root: &Path, programs: Programs) -> Self {
        Self {
            directory: root.join(&place.folder),
            log: root.join(format!("{}.log", place.folder)),
            node: String::new(),
            place,
            programs,
            daemon: None,
        }
    }

    /// Runs a command that must end well, and returns its JSON object.
    ///
    /// # Errors
    /// It ends otherwise.
    pub(super) async fn does(&self, words: &[&str]) -> Result<Value, Failure> {
        self.does_with(words, b"").await
    }

    /// As [`Self::does`], with this on standard input.
    ///
    /// # Errors
    /// It ends otherwise.
    pub(super) async fn does_with(&self, words: &[&str], input: &[u8]) -> Result<Value, Failure> {
        let ended = self.tries(words, input).await?;
        if ended.code == Some(0) {
            return Ok(ended.reply);
        }
        Err(self.not_as_wanted("0", words, &ended))
    }

    /// Runs a command that policy must deny.
    ///
    /// # Errors
    /// It ends otherwise.
    pub(super) async fn is_denied(&self, words: &[&str]) -> Result<(), Failure> {
        let ended = self.tries(words, b"").await?;
        if ended.code == Some(3) {
            return Ok(());
        }
        Err(self.not_as_wanted("3", words, &ended))
    }

    fn not_as_wanted(&self, wanted: &str, words: &[&str], ended: &Ended) -> Failure {
        let code = ended
            .code
            .map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        unlike(format!(
            "{}: chartmesh {} ended with {code}, not {wanted}\n{}",
            self.place.name,
            words.join(" "),
            ended.words.trim()
        ))
    }

    /// Runs a command, however it ends.
    ///
    /// # Errors
    /// It cannot be started, does not end, or prints what is no JSON.
    pub(super) async fn tries(&self, words: &[&str], input: &[u8]) -> Result<Ended, Failure> {
        self.tries_in(&self.directory, words, input).await
    }

    /// As [`Self::tries`], with another directory as the node's.
    ///
    /// # Errors
    /// It cannot be started, does not end, or prints what is no JSON.
    pub(super) async fn tries_in(
        &self,
        directory: &Path,
        words: &[&str],
        input: &[u8],
    ) -> Result<Ended, Failure> {
        let cannot = |error: std::io::Error| unlike(format!("chartmesh cannot be run: {error}"));
        let mut command = Command::new(&self.programs.cli);
        command
            .arg("--node")
            .arg(directory)
            .args(["--output", "json"])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // The daemon was found once; a command that starts one must not build it again.
        if let Some(folder) = self.programs.daemon.parent() {
            command.env("CHARTMESH_BIN", folder);
        }
        let mut child = command.spawn().map_err(cannot)?;
        if let Some(mut pipe) = child.stdin.take() {
            // A command that does not read its input closes it early.
            let _ = pipe.write_all(input).await;
        }
        let output = tokio::time::timeout(COMMAND_MAX, child.wait_with_output())
            .await
            .map_err(|_| unlike(format!("chartmesh {} does not end", words.join(" "))))?
            .map_err(cannot)?;
        let reply = if output.stdout.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&output.stdout)
                .map_err(|_| unlike(format!("chartmesh {} printed no JSON", words.join(" "))))?
        };
        Ok(Ended {
            code: output.status.code(),
            reply,
            words: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Errors
    /// It ends, or does not answer in time.
    pub(super) async fn start(&mut self) -> Result<Duration, Failure> {
        let cannot = |error: std::io::Error| unlike(format!("chartmeshd cannot be run: {error}"));
        let begun = Instant::now();
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(cannot)?;
        let daemon = Command::new(&self.programs.daemon)
            .arg("--node")
            .arg(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot)?;
        self.daemon = Some(daemon);
        loop {
            if self.tries(&["status"], b"").await?.code == Some(0) {
                return Ok(begun.elapsed());
            }
            let ended = self.daemon.as_mut().map(Child::try_wait);
            if let Some(Ok(Some(status))) = ended {
                return Err(self.with_log(format!("chartmeshd ended: {status}")));
            }
            if begun.elapsed() > START_MAX {
                return Err(self.with_log("chartmeshd does not answer".to_owned()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether its daemon was started and not stopped.
    pub(super) fn runs(&self) -> bool {
        self.daemon.is_some()
    }

    /// Kills the daemon, as a power cut would.
    ///
    /// # Errors
    /// It does not run.
    pub(super) async fn is_killed(&mut self) -> Result<(), Failure> {
        let name = &self.place.name;
        let Some(mut daemon) = self.daemon.take() else {
            return Err(unlike(format!("{name} does not run")));
        };
        daemon
            .kill()
            .await
            .map_err(|error| unlike(format!("{name} cannot be killed: {error}")))
    }

    /// Asks the daemon to stop. Nothing to do where none runs.
    ///
    /// # Errors
    /// It does not stop, or not clean; it does not run afterwards all the same.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        let Some(mut daemon) = self.daemon.take() else {
            return Ok(());
        };
        let pid = daemon
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // One that is gone already is found out by waiting.
            let _ = kill_process(pid, Signal::TERM);
        }
        match tokio::time::timeout(STOP_MAX, daemon.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.with_log(format!("chartmeshd ended: {status}"))),
            Ok(Err(error)) => Err(self.with_log(format!("chartmeshd is lost: {error}"))),
            Err(_) => {
                // Nothing may be left running, whatever it was doing.
                let _ = daemon.kill().await;
                Err(self.with_log("chartmeshd did not stop".to_owned()))
            }
        }
    }

    fn with_log(&self, what: String) -> Failure {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or(&[]);
        unlike(format!("{}: {what}\n{}", self.place.name, last.join("\n")))
    }
}
