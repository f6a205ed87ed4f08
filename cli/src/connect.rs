//! The way to the daemon: its admin socket, or, for the few commands that can work alone, a daemon
//! of our own that serves one connection and ends.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use chartmesh_proto::admin::admin_client::AdminClient;
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    process::{Child, Command},
    task::JoinHandle,
};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::{
    args::PassphraseFd,
    exit::{Exit, Failure},
    find,
};

/// Calls of the admin service.
pub(crate) type Admin = AdminClient<Channel>;

/// The socket in the node's directory.
const SOCKET: &str = "admin.sock";
/// Where the socket's path would be too long, this file holds the real one.
const POINTER: &str = "admin.sock.path";
/// What of a failed daemon's log is passed on, in bytes.
const LOG_MAX: u64 = 64 * 1024;
/// How long a daemon of our own may take to end after its connection closed.
const FAREWELL: Duration = Duration::from_secs(15);

/// One node, named by its directory.
pub(crate) struct Node {
    directory: PathBuf,
}

impl Node {
    /// The node that `--node` names, else the user's own.
    ///
    /// # Errors
    /// No directory is named and the user has no home.
    pub(crate) fn new(named: Option<PathBuf>) -> Result<Self, Failure> {
        let absolute = |name: &str| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.filter(|path| path.is_absolute())
        };
        let directory = named
            .or_else(|| absolute("XDG_DATA_HOME").map(|data| data.join("chartmesh")))
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share/chartmesh")))
            .ok_or_else(|| {
                Failure::usage("no node is named", "give --node DIR, or set CHARTMESH_NODE")
            })?;
        Ok(Self { directory })
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Works with the running daemon.
    ///
    /// # Errors
    /// No daemon answers, or the work fails.
    pub(crate) async fn call<T>(
        &self,
        work: impl AsyncFnOnce(Admin) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let stream = self.knock().await?.ok_or_else(|| self.nobody())?;
        work(client(stream).await?).await
    }

    /// Works with the running daemon, or else with one that is started for this work alone and has
    /// no network.
    ///
    /// # Errors
    /// The daemon cannot be found or started, or the work fails.
    pub(crate) async fn call_alone<T>(
        &self,
        passphrase: PassphraseFd,
        work: impl AsyncFnOnce(Admin) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Some(stream) = self.knock().await? {
            return work(client(stream).await?).await;
        }
        let (stream, once) = Once::start(&self.directory, passphrase)?;
        let result = match client(stream).await {
            Ok(admin) => work(admin).await,
            Err(failure) => Err(failure),
        };
        once.end(result).await
    }

    /// A connection to the socket; none where no daemon listens.
    async fn knock(&self) -> Result<Option<UnixStream>, Failure> {
        for path in self.sockets() {
            match UnixStream::connect(&path).await {
                Ok(stream) => return Ok(Some(stream)),
                Err(error) if is_nobody(&error) => {}
                Err(error) => {
                    return Err(Failure::new(
                        Exit::Unreachable,
                        "DAEMON_UNREACHABLE",
                        format!("{} does not let us in: {error}", path.display()),
                        "use the account that owns the node's directory",
                    ));
                }
            }
        }
        Ok(None)
    }

    fn sockets(&self) -> Vec<PathBuf> {
        let pointed = std::fs::read_to_string(self.directory.join(POINTER)).ok();
        let pointed = pointed.map(|text| PathBuf::from(text.trim_end_matches('\n')));
        let plain = self.directory.join(SOCKET);
        pointed
            .filter(|path| path.is_absolute())
            .into_iter()
            .chain([plain])
            .collect()
    }

    fn nobody(&self) -> Failure {
        let directory = self.directory.display();
        let (message, hint) = if self.directory.join("config.toml").exists() {
            (
                format!("no daemon answers for {directory}"),
                format!("start it with: chartmeshd --node {directory}"),
            )
        } else {
            (
                format!("there is no node in {directory}"),
                "make one with chartmesh init, or name its directory with --node".to_owned(),
            )
        };
        Failure::new(Exit::Unreachable, "DAEMON_UNREACHABLE", message, hint)
    }
}

/// Whether the error says that nobody listens there, also where the path is too long for a socket.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidInput
    )
}

/// Speaks the admin service over one connection.
///
/// # Errors
/// The other end closed it.
async fn client(stream: UnixStream) -> Result<Admin, Failure> {
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_: Uri| {
        let stream = stream.take().map(TokioIo::new);
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    let channel = Endpoint::from_static("http://chartmesh.invalid")
        .connect_with_connector(connector)
        .await
        .map_err(|_| Failure::lost())?;
    // Limits guard against peers; this is our own daemon, and lists are never cut off.
    Ok(AdminClient::new(channel)
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX))
}

/// A daemon for one connection, without a network.
struct Once {
    child: Child,
    log: JoinHandle<Vec<u8>>,
}

impl Once {
    fn start(directory: &Path, passphrase: PassphraseFd) -> Result<(UnixStream, Self), Failure> {
        let program = find::find_daemon().map_err(|error| {
            Failure::new(
                Exit::Unreachable,
                "DAEMON_NOT_FOUND",
                error.to_string(),
                "install chartmeshd beside chartmesh, or name its folder in CHARTMESH_BIN",
            )
        })?;
        let cannot = |error: io::Error| {
            Failure::new(
                Exit::Unreachable,
                "DAEMON_NOT_STARTED",
                format!("{} cannot be started: {error}", program.display()),
                "check the file and its rights",
            )
        };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(cannot)?;
        ours.set_nonblocking(true).map_err(cannot)?;
        let mut command = Command::new(&program);
        command.arg("--node").arg(directory).arg("--once");
        if let Some(number) = passphrase.passphrase_fd {
            command.arg("--passphrase-fd").arg(number.to_string());
        }
        command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(cannot)?;
        // The command still holds the daemon's end, which would hide that the daemon went away.
        drop(command);
        let log = child.stderr.take();
        let log = tokio::spawn(async move {
            let mut text = Vec::new();
            if let Some(mut log) = log {
                // What was read before an error is still worth showing.
                let _ = (&mut log).take(LOG_MAX).read_to_end(&mut text).await;
                let _ = tokio::io::copy(&mut log, &mut tokio::io::sink()).await;
            }
            text
        });
        let stream = UnixStream::from_std(ours).map_err(cannot)?;
        Ok((stream, Self { child, log }))
    }

    /// Waits for the end; what the daemon wrote goes into the failure where it explains it.
    async fn end<T>(mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        let status = match tokio::time::timeout(FAREWELL, self.child.wait()).await {
            Ok(Ok(status)) => status.code(),
            Ok(Err(_)) | Err(_) => {
                // Already gone is as good.
                let _ = self.child.kill().await;
                None
            }
        };
        let failure = match result {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        let log = self.log.await.unwrap_or_default();
        let mut failure = if failure.code == Failure::lost().code {
            ended(status)
        } else {
            failure
        };
        // A refusal with a code speaks for itself.
        if status != Some(0) || failure.exit == Exit::Bug {
            failure.log = String::from_utf8_lossy(&log).into_owned();
        }
        Err(failure)
    }
}

/// What the daemon's own exit code means for the command that started it.
fn ended(status: Option<i32>) -> Failure {
    match status {
        Some(2) => Failure::usage("the daemon refused its arguments", "see its words above"),
        Some(6) => Failure::new(
            Exit::Refused,
            "DAEMON_REFUSED",
            "the daemon refused the node's configuration or key",
            "see its words above, then run chartmesh doctor",
        ),
        Some(75) => Failure::new(
            Exit::Unreachable,
            "DAEMON_BUSY",
            "another process uses the node's directory, or the disk is full",
            "see the daemon's words above",
        ),
        Some(_) | None => Failure::bug("the daemon ended before it answered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_file_leads_to_the_socket() {
        let room = tempfile::tempdir().expect("a folder");
        let node = Node::new(Some(room.path().to_owned())).expect("a node");
        assert_eq!(node.sockets(), [room.path().join(SOCKET)]);

        std::fs::write(room.path().join(POINTER), "/run/user/1/chartmesh-ab.sock\n")
            .expect("written");

        assert_eq!(
            node.sockets(),
            [
                PathBuf::from("/run/user/1/chartmesh-ab.sock"),
                room.path().join(SOCKET)
            ]
        );
    }

    #[test]
    fn without_a_daemon_the_hint_says_how_to_start_it() {
        let room = tempfile::tempdir().expect("a folder");
        let node = Node::new(Some(room.path().to_owned())).expect("a node");
        assert!(node.nobody().hint.contains("chartmesh init"));

        std::fs::write(room.path().join("config.toml"), "").expect("written");

        let failure = node.nobody();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.hint.contains("chartmeshd --node"));
    }

    #[tokio::test]
    async fn a_socket_that_nobody_serves_is_nobody() {
        let room = tempfile::tempdir().expect("a folder");
        let node = Node::new(Some(room.path().to_owned())).expect("a node");
        let path = room.path().join(SOCKET);
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        assert!(node.knock().await.expect("let in").is_some());

        drop(listener);

        assert!(node.knock().await.expect("no error").is_none());
    }

    #[test]
    fn the_daemon_s_end_becomes_ours() {
        assert_eq!(ended(Some(2)).exit, Exit::Usage);
        assert_eq!(ended(Some(6)).exit, Exit::Refused);
        assert_eq!(ended(Some(75)).exit, Exit::Unreachable);
        assert_eq!(ended(Some(70)).exit, Exit::Bug);
        assert_eq!(ended(None).exit, Exit::Bug);
    }
}
