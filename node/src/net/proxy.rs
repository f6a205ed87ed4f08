//! Outbound connections through an HTTP CONNECT proxy (RFC 9110, section 9.3.6).
//!
//! The proxy is told host and port of the other node and nothing else; what passes through it is
//! what would have passed through the socket, Noise from the first byte on.

use std::{
    fmt,
    fs::File,
    io::{self, ErrorKind, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use chartmesh_core::types::limits;
use data_encoding::BASE64;
use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    multiaddr::Protocol,
    tcp::tokio::TcpStream,
};
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

/// Bytes of the head of a proxy's answer (the least hyper can be told), and header fields in it.
const HEAD_MAX_BYTES: usize = 8 << 10;
const HEADERS_MAX: usize = 64;
/// Longest line of credentials.
const CREDENTIALS_MAX_BYTES: usize = 1 << 10;

/// Why a configured proxy cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyConfigError {
    /// It is not of the form `http://host:port`.
    #[error("a proxy is written http://HOST:PORT")]
    Form,
    /// Name or password stand in the address, where logs and process lists would show them.
    #[error("a proxy's user and password belong into the file named by proxy_credentials")]
    Credentials,
    /// The file with its credentials cannot be read.
    #[error("the proxy's credentials cannot be read: {0}")]
    Unreadable(ErrorKind),
    /// Others than its owner may read that file.
    #[error("the file with the proxy's credentials is open to others; chmod 600")]
    Permissions,
    /// The credentials are no single line `user:password`.
    #[error("the proxy's credentials are no line of the form user:password")]
    Line,
}

/// Why a proxy gave no connection. What it said stays unread: it may quote our credentials.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It cannot be reached.
    #[error("the proxy cannot be reached: {0}")]
    Unreachable(ErrorKind),
    /// It wants other credentials than it got.
    #[error("the proxy wants credentials")]
    Credentials,
    /// It does not connect us to this address, or does not speak HTTP.
    #[error("the proxy does not connect to this address")]
    Refused,
    /// The head of its answer is longer than is read.
    #[error("the head of the proxy's answer is too long")]
    Head,
    /// It hung up.
    #[error("the proxy hung up")]
    Closed(ErrorKind),
    /// It took longer than [`limits::PROXY_ANSWER_MAX`].
    #[error("the proxy did not answer in time")]
    Silent,
}

/// A proxy and what to tell it.
#[derive(Clone)]
pub struct Proxy {
    url: Uri,
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// The proxy at `http://HOST:PORT`.
    ///
    /// # Errors
    ///
    /// [`ProxyConfigError::Form`] and [`ProxyConfigError::Credentials`].
    pub fn new(url: &str) -> Result<Self, ProxyConfigError> {
        let url: Uri = url.parse().map_err(|_| ProxyConfigError::Form)?;
        let authority = url.authority().ok_or(ProxyConfigError::Form)?;
        if authority.as_str().contains('@') {
            return Err(ProxyConfigError::Credentials);
        }
        let plain = url.scheme_str() == Some("http") && matches!(url.path(), "" | "/");
        let port = authority.port_u16().is_some_and(|port| port > 0);
        if !plain || !port || url.query().is_some() || authority.host().is_empty() {
            return Err(ProxyConfigError::Form);
        }
        Ok(Self {
            url,
            authorization: None,
        })
    }

    /// The same proxy with the credentials in a file that only its owner may read.
    ///
    /// # Errors
    ///
    /// [`ProxyConfigError::Unreadable`], [`ProxyConfigError::Permissions`], [`ProxyConfigError::Line`].
    pub fn with_credentials_in(self, path: &Path) -> Result<Self, ProxyConfigError> {
        let unreadable = |error: io::Error| ProxyConfigError::Unreadable(error.kind());
        let mut file = File::open(path).map_err(unreadable)?;
        let rights = file.metadata().map_err(unreadable)?.permissions().mode();
        if rights & 0o077 != 0 {
            return Err(ProxyConfigError::Permissions);
        }
        let mut line = Zeroizing::new(String::with_capacity(CREDENTIALS_MAX_BYTES));
        let most = u64::try_from(CREDENTIALS_MAX_BYTES).unwrap_or(u64::MAX);
        file.by_ref()
            .take(most)
            .read_to_string(&mut line)
            .map_err(unreadable)?;
        self.with_credentials(&line)
    }

    /// The same proxy with the one line `user:password` that it wants (RFC 7617).
    ///
    /// # Errors
    ///
    /// [`ProxyConfigError::Line`].
    pub fn with_credentials(self, line: &str) -> Result<Self, ProxyConfigError> {
        let line = line.trim_end_matches(['\r', '\n']);
        if !line.contains(':') || line.chars().any(char::is_control) {
            return Err(ProxyConfigError::Line);
        }
        let header = Zeroizing::new(format!("Basic {}", BASE64.encode(line.as_bytes())));
        let mut header = HeaderValue::from_str(&header).map_err(|_| ProxyConfigError::Line)?;
        header.set_sensitive(true);
        Ok(Self {
            authorization: Some(header),
            ..self
        })
    }

    /// A connection to `host` (a name or a number, IPv6 in brackets) and `port`. Cancel-safe.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, ProxyError> {
        let deadline = Duration::from_millis(limits::PROXY_ANSWER_MAX.0);
        let tunnel = self.tunnel(host, port);
        tokio::time::timeout(deadline, tunnel)
            .await
            .unwrap_or(Err(ProxyError::Silent))
    }

    async fn tunnel(&self, host: &str, port: u16) -> Result<TcpStream, ProxyError> {
        let unreachable = |error: io::Error| ProxyError::Unreachable(error.kind());
        let (name, at) = (self.url.host(), self.url.port_u16());
        let name = name.unwrap_or_default().trim_matches(['[', ']']);
        let socket = tokio::net::TcpStream::connect((name, at.unwrap_or_default())).await;
        let socket = socket.map_err(unreachable)?;
        socket.set_nodelay(true).map_err(unreachable)?;
        Ok(TcpStream(self.ask(socket, host, port).await?))
    }

    /// Asks a proxy at the other end of a stream for `host` and `port`, and gives the stream back once it
    /// leads there. What follows the head of the proxy's answer is left in the stream. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ProxyError`], except for its [`ProxyError::Unreachable`] and [`ProxyError::Silent`].
    pub async fn ask<S>(&self, stream: S, host: &str, port: u16) -> Result<S, ProxyError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_MAX_BYTES)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| read(&error))?;
        let request = self.request(host, port)?;
        let exchange = async {
            let answer = sender.send_request(request).await;
            let answer = answer.map_err(|error| read(&error))?;
            match answer.status() {
                status if status.is_success() => {}
                StatusCode::PROXY_AUTHENTICATION_REQUIRED => return Err(ProxyError::Credentials),
                _ => return Err(ProxyError::Refused),
            }
            hyper::upgrade::on(answer)
                .await
                .map_err(|error| read(&error))
        };
        let connection = connection.with_upgrades();
        let connection = async { connection.await.map_err(|error| read(&error)) };
        let ((), upgraded) = futures::future::try_join(connection, exchange).await?;
        let parts = upgraded.downcast::<TokioIo<S>>();
        let parts = parts.map_err(|_| ProxyError::Refused)?;
        // The other node waits for us to speak first, so these bytes are the proxy's own.
        if !parts.read_buf.is_empty() {
            return Err(ProxyError::Refused);
        }
        Ok(parts.io.into_inner())
    }

    fn request(&self, host: &str, port: u16) -> Result<Request<String>, ProxyError> {
        let target = format!("{host}:{port}");
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(&target)
            .header(header::HOST, &target);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::PROXY_AUTHORIZATION, authorization);
        }
        // A name that makes no header makes no connection either.
        request.body(String::new()).map_err(|_| ProxyError::Refused)
    }
}

fn read(error: &hyper::Error) -> ProxyError {
    if error.is_parse_too_large() {
        return ProxyError::Head;
    }
    if error.is_parse() {
        return ProxyError::Refused;
    }
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<io::Error>());
    ProxyError::Closed(io.map_or(ErrorKind::UnexpectedEof, io::Error::kind))
}

/// A transport that is listened on and never dials: what would go past the proxy.
pub(super) struct ListenOnly<T>(pub(super) T);

impl<T: Transport + Unpin> Transport for ListenOnly<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        self.0.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        _: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// A TCP transport that listens by itself and dials through a proxy only.
pub(super) struct Outbound<T> {
    sockets: T,
    proxy: Arc<Proxy>,
}

impl<T> Outbound<T> {
    pub(super) fn new(sockets: T, proxy: Proxy) -> Self {
        Self {
            sockets,
            proxy: Arc::new(proxy),
        }
    }
}

/// What failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutboundError<E> {
    /// Our own socket.
    #[error(transparent)]
    Socket(E),
    /// The proxy.
    #[error(transparent)]
    Proxy(ProxyError),
}

type Upgrade<T> = futures::future::MapErr<
    <T as Transport>::ListenerUpgrade,
    fn(<T as Transport>::Error) -> OutboundError<<T as Transport>::Error>,
>;

impl<T> Transport for Outbound<T>
where
    T: Transport<Output = TcpStream> + Unpin,
    T::Error: Send + 'static,
    T::Dial: Send + 'static,
{
    type Output = TcpStream;
    type Error = OutboundError<T::Error>;
    type ListenerUpgrade = Upgrade<T>;
    type Dial = BoxFuture<'static, Result<TcpStream, Self::Error>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        let listening = self.sockets.listen_on(id, address);
        listening.map_err(|error| error.map(OutboundError::Socket))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.sockets.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        _: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        let Some((host, port)) = host_and_port(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let proxy = self.proxy.clone();
        Ok(Box::pin(async move {
            let connected = proxy.connect(&host, port).await;
            connected.map_err(OutboundError::Proxy)
        }))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        use futures::TryFutureExt as _;

        let wrap: fn(T::Error) -> Self::Error = OutboundError::Socket;
        Pin::new(&mut self.sockets).poll(cx).map(|event| {
            event
                .map_upgrade(|upgrade| upgrade.map_err(wrap))
                .map_err(wrap)
        })
    }
}

/// What a proxy is asked for; the proxy resolves names, since whoever needs one often cannot.
fn host_and_port(address: &Multiaddr) -> Option<(String, u16)> {
    let mut parts = address.iter();
    let host = match parts.next()? {
        Protocol::Ip4(ip) => ip.to_string(),
        Protocol::Ip6(ip) => format!("[{ip}]"),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => name.into_owned(),
        _ => return None,
    };
    match (parts.next()?, parts.next(), parts.next()) {
        (Protocol::Tcp(port @ 1..), None | Some(Protocol::P2p(_)), None) => Some((host, port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt as _, AsyncWriteExt as _};
    use libp2p::{
        core::{Endpoint, transport::PortUse},
        tcp,
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        task::JoinHandle,
    };

    use super::*;

    const FINE: &str = "HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n";

    /// A proxy that reads one request, says this, and echoes what follows.
    async fn proxy_saying(answer: String) -> (u16, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a request"));
            }
            // Whoever hangs up on an answer is what some tests are about.
            let _ = stream.write_all(answer.as_bytes()).await;
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            String::from_utf8(head).expect("a head of ASCII")
        });
        (port, served)
    }

    fn through(port: u16) -> Proxy {
        Proxy::new(&format!("http://127.0.0.1:{port}")).expect("a proxy")
    }

    async fn dial(proxy: Proxy, address: &str) -> Result<TcpStream, ProxyError> {
        let sockets = tcp::tokio::Transport::new(tcp::Config::default());
        let mut transport = Outbound::new(sockets, proxy);
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let dialling = transport.dial(address.parse().expect("an address"), options);
        match dialling.expect("a supported address").await {
            Ok(stream) => Ok(stream),
            Err(OutboundError::Proxy(error)) => Err(error),
            Err(OutboundError::Socket(error)) => panic!("dialled past the proxy: {error}"),
        }
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_host_and_port_and_carries_the_rest() {
        for (address, asked) in [
            ("/ip4/192.0.2.7/tcp/443", "192.0.2.7:443"),
            ("/ip6/2001:db8::7/tcp/443", "[2001:db8::7]:443"),
            ("/dns4/hospital.example/tcp/443", "hospital.example:443"),
        ] {
            let (port, served) = proxy_saying(FINE.to_owned()).await;

            let mut stream = dial(through(port), address).await.expect("a tunnel");

            stream.write_all(b"noise").await.expect("sent");
            let mut back = [0; 5];
            stream.read_exact(&mut back).await.expect("received");
            assert_eq!(&back, b"noise");
            drop(stream);
            let head = served.await.expect("served");
            assert!(
                head.starts_with(&format!("CONNECT {asked} HTTP/1.1\r\n")),
                "{head}"
            );
            assert!(!head.contains("authorization"), "{head}");
        }
    }

    #[tokio::test]
    async fn credentials_go_to_the_proxy_and_into_no_debug_output() {
        let (port, served) = proxy_saying(FINE.to_owned()).await;
        let proxy = through(port)
            .with_credentials("clinic:s3cret\n")
            .expect("a line");
        let shown = format!("{proxy:?}");

        let stream = dial(proxy, "/ip4/192.0.2.7/tcp/443")
            .await
            .expect("a tunnel");

        drop(stream);
        let head = served.await.expect("served");
        let line = format!(
            "proxy-authorization: Basic {}\r\n",
            BASE64.encode(b"clinic:s3cret")
        );
        assert!(head.contains(&line), "{head}");
        for secret in ["s3cret", &BASE64.encode(b"clinic:s3cret")] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[tokio::test]
    async fn each_way_a_proxy_fails_is_told_apart() {
        let long = format!("HTTP/1.1 200 OK\r\nVia: {}\r\n\r\n", "x".repeat(9_000));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(200));
        let failing = |answer: String| async {
            let (port, _served) = proxy_saying(answer).await;
            dial(through(port), "/ip4/192.0.2.7/tcp/443").await.err()
        };
        assert!(failing(FINE.to_owned()).await.is_none());

        let wanted = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".to_owned();
        assert!(matches!(
            failing(wanted).await,
            Some(ProxyError::Credentials)
        ));
        let denied = "HTTP/1.1 403 Forbidden\r\n\r\n".to_owned();
        assert!(matches!(failing(denied).await, Some(ProxyError::Refused)));
        let foreign = "SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned();
        assert!(matches!(failing(foreign).await, Some(ProxyError::Refused)));
        assert!(matches!(failing(long).await, Some(ProxyError::Head)));
        assert!(matches!(failing(many).await, Some(ProxyError::Head)));
        let early = format!("{FINE}220 mail.example ESMTP");
        assert!(matches!(failing(early).await, Some(ProxyError::Refused)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let nobody = dial(through(port), "/ip4/192.0.2.7/tcp/443").await.err();
        assert!(matches!(
            nobody,
            Some(ProxyError::Unreachable(ErrorKind::ConnectionRefused))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_says_nothing_is_given_up_in_time() {
        let (port, _served) = proxy_saying(String::new()).await;
        let began = tokio::time::Instant::now();

        let silent = dial(through(port), "/ip4/192.0.2.7/tcp/443").await.err();

        assert!(matches!(silent, Some(ProxyError::Silent)), "{silent:?}");
        let most = Duration::from_millis(limits::PROXY_ANSWER_MAX.0);
        assert!(began.elapsed() >= most && began.elapsed() < 2 * most);
    }

    #[tokio::test]
    async fn only_tcp_goes_through_a_proxy() {
        let sockets = tcp::tokio::Transport::new(tcp::Config::default());
        let mut transport = Outbound::new(sockets, through(3128));
        for address in [
            "/ip4/192.0.2.7/udp/443/quic-v1",
            "/ip4/192.0.2.7/tcp/0",
            "/memory/1",
        ] {
            let options = DialOpts {
                role: Endpoint::Dialer,
                port_use: PortUse::New,
            };
            let dialled = transport.dial(address.parse().expect("an address"), options);
            assert!(
                matches!(dialled, Err(TransportError::MultiaddrNotSupported(_))),
                "{address}"
            );
        }
    }

    #[test]
    fn credentials_lie_in_a_file_of_their_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("proxy-credentials");
        let read = || through(3128).with_credentials_in(&path).map(drop);
        assert_eq!(
            read(),
            Err(ProxyConfigError::Unreadable(ErrorKind::NotFound))
        );
        std::fs::write(&path, "clinic:s3cret\n").expect("written");
        let allow = |mode| {
            let rights = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, rights).expect("set");
        };
        allow(0o600);
        assert_eq!(read(), Ok(()));

        allow(0o640);
        assert_eq!(read(), Err(ProxyConfigError::Permissions));
        allow(0o600);
        std::fs::write(&path, "clinic").expect("written");
        assert_eq!(read(), Err(ProxyConfigError::Line));
    }

    #[test]
    fn a_proxy_is_written_with_its_port_and_without_its_password() {
        assert!(Proxy::new("http://proxy.example:3128").is_ok());
        assert!(Proxy::new("http://[2001:db8::1]:3128/").is_ok());
        for (url, why) in [
            (
                "http://clinic:s3cret@proxy.example:3128",
                ProxyConfigError::Credentials,
            ),
            ("http://proxy.example", ProxyConfigError::Form),
            ("https://proxy.example:3128", ProxyConfigError::Form),
            ("socks5://proxy.example:1080", ProxyConfigError::Form),
            ("http://proxy.example:3128/path", ProxyConfigError::Form),
            ("proxy.example:3128", ProxyConfigError::Form),
            ("", ProxyConfigError::Form),
        ] {
            assert_eq!(Proxy::new(url).err(), Some(why), "{url}");
        }
        let proxy = || Proxy::new("http://proxy.example:3128").expect("a proxy");
        assert!(proxy().with_credentials("user:pass:word").is_ok());
        for line in ["user", "", "user:pass\r\nX-Other: 1"] {
            assert_eq!(
                proxy().with_credentials(line).err(),
                Some(ProxyConfigError::Line)
            );
        }
    }
}
