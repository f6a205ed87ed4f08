//! The admin socket: 0600 in a directory of 0700, and only its owner's account is let in.

use std::{
    io,
    os::{
        fd::AsFd as _,
        unix::{
            ffi::OsStrExt as _,
            fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        },
    },
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use chartmesh_core::crypto::sha256;
use data_encoding::HEXLOWER;
use futures::{StreamExt, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixListener, UnixStream},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::Connected};

use super::Admin;
use crate::{boot::write_file, daemon::Daemon};

/// The socket in the node's directory.
const SOCKET: &str = "admin.sock";
/// Where that path would be too long for a socket, this file names the real one.
const POINTER: &str = "admin.sock.path";
/// Longest path that a socket address takes with room to spare (unix(7): 108 bytes).
const PATH_MAX_BYTES: usize = 100;

/// A bound admin socket; its file goes when it is dropped.
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A file that cannot be removed is replaced at the next start.
        let _left_behind = std::fs::remove_file(&self.path);
    }
}

/// Binds the admin socket of a node's directory. The directory's lock is held, so a socket that is
/// there and answers nobody is left over; anything else that is there stays.
///
/// # Errors
/// What the system says; [`io::ErrorKind::AddrInUse`] where another process serves the socket, and
/// [`io::ErrorKind::AlreadyExists`] where what is there is no socket.
pub fn listen(folder: &Path, chosen: Option<&Path>) -> io::Result<Listener> {
    let plain = chosen.map_or_else(|| folder.join(SOCKET), Path::to_owned);
    let pointer = folder.join(POINTER);
    let path = if plain.as_os_str().as_bytes().len() <= PATH_MAX_BYTES {
        plain
    } else {
        short_path(folder)?
    };
    if path == folder.join(SOCKET) {
        remove(&pointer)?;
    } else {
        let text = format!("{}\n", path.display());
        write_file(&pointer, text).map_err(io::Error::other)?;
    }
    remove_socket(&path)?;
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Listener { listener, path })
}

fn short_path(folder: &Path) -> io::Result<PathBuf> {
    let name = HEXLOWER.encode(&sha256(&[folder.as_os_str().as_bytes()])[..8]);
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let base = runtime.unwrap_or_else(std::env::temp_dir);
    // Not in a directory that others share: whoever made the name first would be asked.
    let own = base.join(format!("chartmesh-{name}"));
    match std::fs::DirBuilder::new().mode(0o700).create(&own) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => demand_own(&own)?,
        Err(error) => return Err(error),
    }
    Ok(own.join("admin.sock"))
}

/// A directory that was there is used only if it is one, no link to one, and ours alone: somebody
/// else may have made the name first.
fn demand_own(folder: &Path) -> io::Result<()> {
    let found = std::fs::symlink_metadata(folder)?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if found.is_dir() && ours && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(io::ErrorKind::PermissionDenied.into())
}

/// Removes a socket that answers nobody, and nothing else.
fn remove_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            Err(io::ErrorKind::AddrInUse.into())
        }
        Ok(_) => remove(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The name of an account, or its number where it has none.
pub(super) fn account(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid-{uid}"))
}

impl Listener {
    /// Serves the node's own people until the daemon stops. Only the account that owns the daemon is
    /// let in; others are closed without a word.
    ///
    /// # Errors
    /// What the server could not go on from.
    pub async fn serve(self, daemon: Arc<Daemon>) -> Result<(), tonic::transport::Error> {
        let owner = rustix::process::geteuid().as_raw();
        let shutdown = daemon.shutdown().clone();
        let admin = Admin::new(daemon, account(owner));
        let listener = &self;
        let incoming = stream::unfold((), |()| async move {
            loop {
                let accepted = match listener.listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of descriptors, say; the next attempt may do.
                        tracing::warn!(error = %error.kind(), "the admin socket cannot accept");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                        continue;
                    }
                };
                match accepted.peer_cred() {
                    Ok(peer) if peer.uid() == owner => {
                        return Some((Ok::<_, io::Error>(accepted), ()));
                    }
                    Ok(peer) => {
                        tracing::warn!(
                            uid = peer.uid(),
                            "an account that is not the owner's was refused"
                        );
                    }
                    Err(error) => tracing::warn!(error = %error.kind(), "a caller has no account"),
                }
            }
        });
        let (_, health) = tonic_health::server::health_reporter();
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(chartmesh_proto::FILE_DESCRIPTOR_SET)
            .build_v1();
        let reflection = match reflection {
            Ok(reflection) => Some(reflection),
            Err(error) => {
                tracing::warn!(%error, "the admin socket offers no reflection");
                None
            }
        };
        Server::builder()
            .add_service(health)
            .add_optional_service(reflection)
            .add_service(admin.server())
            .serve_with_incoming_shutdown(Box::pin(incoming), shutdown.cancelled())
            .await
    }
}

/// A connection that says when it is gone.
struct Only {
    stream: UnixStream,
    gone: CancellationToken,
}

impl Drop for Only {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl Connected for Only {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Only {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Only {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Serves the one connection that standard input is, and ends with it (`--once`).
///
/// # Errors
/// Standard input is no socket, or what the server could not go on from.
pub async fn serve_one(
    make: impl FnOnce(String) -> Admin,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let owned = io::stdin().as_fd().try_clone_to_owned()?;
    let stream = std::os::unix::net::UnixStream::from(owned);
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    let gone = CancellationToken::new();
    let only = Only {
        stream,
        gone: gone.clone(),
    };
    let incoming = stream::iter([Ok::<_, io::Error>(only)]).chain(stream::pending());
    let admin = make(account(rustix::process::geteuid().as_raw()));
    Server::builder()
        .add_service(admin.server())
        .serve_with_incoming_shutdown(incoming, gone.cancelled_owned())
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_socket_that_answers_nobody_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let chosen = folder.path().join("chosen");
        drop(std::os::unix::net::UnixListener::bind(&chosen).unwrap());
        let listener = listen(folder.path(), Some(&chosen)).unwrap();

        let second = listen(folder.path(), Some(&chosen)).err();
        assert_eq!(
            second.map(|error| error.kind()),
            Some(io::ErrorKind::AddrInUse)
        );
        drop(listener);
        std::fs::write(&chosen, "a letter").unwrap();
        let refused = listen(folder.path(), Some(&chosen)).err();
        let kind = refused.map(|error| error.kind());
        assert_eq!(kind, Some(io::ErrorKind::AlreadyExists));
        assert_eq!(std::fs::read_to_string(&chosen).unwrap(), "a letter");
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (own, link) = (folder.path().join("own"), folder.path().join("link"));
        std::fs::DirBuilder::new().mode(0o700).create(&own).unwrap();
        assert!(demand_own(&own).is_ok());

        std::os::unix::fs::symlink(&own, &link).unwrap();

        assert!(demand_own(&link).is_err());
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(demand_own(&own).is_err());
    }
}
