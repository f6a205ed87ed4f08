//! `GET /metrics` on a loopback port, and nothing else.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use chartmesh_core::types::limits::{
    METRICS_CONNECTIONS_MAX, METRICS_HEADERS_MAX_BYTES, METRICS_TIME_MAX,
};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE,
    server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

/// What Prometheus reads (OpenMetrics 1.0).
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why figures cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The address is one that other machines reach.
    #[error("metrics are served on a loopback address only, such as 127.0.0.1:9464")]
    NotLoopback,
    /// The port cannot be had.
    #[error("the port for metrics cannot be had: {0}")]
    Port(std::io::ErrorKind),
}

/// A port that listens, not yet served.
pub struct MetricsServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsServer {
    /// Takes the port.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        if !address.ip().is_loopback() {
            return Err(ServeError::NotLoopback);
        }
        let port = |error: std::io::Error| ServeError::Port(error.kind());
        let listener = TcpListener::bind(address).await.map_err(port)?;
        let address = listener.local_addr().map_err(port)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves what `text` gives until the token says stop; none where the figures cannot be had.
    pub async fn serve<F, R>(self, text: F, stop: CancellationToken)
    where
        F: Fn() -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Option<String>> + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(METRICS_CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors: the next moment may have one.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // One too many is closed at once: whoever scrapes comes again.
            let Ok(place) = places.clone().try_acquire_owned() else {
                continue;
            };
            let text = text.clone();
            tokio::spawn(async move {
                let _place = place;
                let most = Duration::from_millis(METRICS_TIME_MAX.0);
                // A client that is slow, silent or gone is its own concern.
                let _cut = tokio::time::timeout(most, answer(stream, text)).await;
            });
        }
    }
}

async fn answer<F, R>(stream: TcpStream, text: F) -> hyper::Result<()>
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Option<String>> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let text = text.clone();
        async move { Ok::<_, Infallible>(page(&request, text).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(METRICS_TIME_MAX.0))
        .max_buf_size(METRICS_HEADERS_MAX_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn page<F, R>(request: &Request<Incoming>, text: F) -> Response<Full<Bytes>>
where
    F: Fn() -> R,
    R: Future<Output = Option<String>>,
{
    let empty = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != "/metrics" {
        return empty(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::GET {
        return empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let Some(text) = text().await else {
        return empty(StatusCode::SERVICE_UNAVAILABLE);
    };
    let mut response = Response::new(Full::from(text));
    let kind = hyper::header::HeaderValue::from_static(TEXT);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn served() -> (SocketAddr, CancellationToken) {
        let server = MetricsServer::bind(([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
        let (address, stop) = (server.address(), CancellationToken::new());
        let text = || async { Some("figures".to_owned()) };
        tokio::spawn(server.serve(text, stop.clone()));
        (address, stop)
    }

    async fn said(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A server that cuts the connection before all is written or read gives an answer too.
        let _cut = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _cut = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn only_the_one_page_is_there_and_only_to_be_read() {
        let (address, _stop) = served().await;

        let ours = said(address, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;

        assert!(
            ours.starts_with("HTTP/1.1 200") && ours.ends_with("figures"),
            "{ours}"
        );
        for (request, status) in [
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "404"),
            (
                "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
                "405",
            ),
        ] {
            let answer = said(address, request.as_bytes()).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        }
    }

    #[tokio::test]
    async fn headers_beyond_metrics_headers_max_bytes_are_refused() {
        let (address, _stop) = served().await;
        let request = |len: usize| {
            let long = "x".repeat(len);
            format!("GET /metrics HTTP/1.1\r\nhost: x\r\nlong: {long}\r\n\r\n").into_bytes()
        };
        let fits = said(address, &request(METRICS_HEADERS_MAX_BYTES / 2)).await;
        assert!(fits.starts_with("HTTP/1.1 200"), "{fits}");

        let answer = said(address, &request(2 * METRICS_HEADERS_MAX_BYTES)).await;

        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn connections_beyond_metrics_connections_max_are_closed() {
        let (address, _stop) = served().await;
        let mut held = Vec::new();
        for _ in 0..METRICS_CONNECTIONS_MAX {
            held.push(TcpStream::connect(address).await.unwrap());
        }

        let answer = said(address, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;

        assert_eq!(answer, "");
        drop(held);
        loop {
            let answer = said(address, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
            if answer.starts_with("HTTP/1.1 200") {
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_address_that_others_reach_is_refused() {
        let refused = MetricsServer::bind(([0, 0, 0, 0], 0).into()).await;

        assert_eq!(refused.err(), Some(ServeError::NotLoopback));
    }

    /// A client that says nothing is let go after METRICS_TIME_MAX.
    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_let_go() {
        let (address, _stop) = served().await;
        let before = tokio::time::Instant::now();

        let answer = said(address, b"GET /metrics HTTP/1.1\r\n").await;

        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        let most = Duration::from_millis(METRICS_TIME_MAX.0);
        assert!(before.elapsed() >= most && before.elapsed() < 2 * most);
    }
}
