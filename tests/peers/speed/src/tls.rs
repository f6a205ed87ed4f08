//! The other side: the same parts of ciphertext's size through tonic with mutual TLS.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    path::{Path, PathBuf},
    task::{Context, Poll},
};

use bytes::Bytes;
use chartmesh_proto::{
    admin::Empty,
    peer::{Chunk, Part, part::Part as Content},
};
use clap::Args;
use futures::{StreamExt, future::BoxFuture, stream, stream::BoxStream};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    body::Body,
    client::Grpc,
    server::{NamedService, ServerStreamingService},
    transport::{
        Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
    },
};

use tonic_prost::ProstCodec;

use crate::Failure;

/// Bytes of one part, as a daemon sends them.
const PART_BYTES: usize = 64 << 10;

/// Whom we are, and whom we believe.
#[derive(Args)]
pub(crate) struct Keys {
    /// Certificate of this end (PEM).
    #[arg(long)]
    cert: PathBuf,
    /// Its key (PEM).
    #[arg(long)]
    key: PathBuf,
    /// Certificate of the authority that signed both ends' (PEM).
    #[arg(long)]
    ca: PathBuf,
}

impl Keys {
    fn identity(&self) -> Result<Identity, Failure> {
        Ok(Identity::from_pem(
            std::fs::read(&self.cert)?,
            std::fs::read(&self.key)?,
        ))
    }

    fn authority(&self) -> Result<Certificate, Failure> {
        Ok(Certificate::from_pem(std::fs::read(&self.ca)?))
    }
}

/// Serves a file until it is killed.
pub(crate) async fn serve(keys: &Keys, file: &Path) -> Result<(), Failure> {
    let tls = ServerTlsConfig::new()
        .identity(keys.identity()?)
        .client_ca_root(keys.authority()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    Server::builder()
        .tls_config(tls)?
        .add_service(OneFile(std::fs::read(file)?.into()))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await?;
    Ok(())
}

/// Connects with mutual TLS.
pub(crate) async fn connect(keys: &Keys, port: u16) -> Result<Channel, Failure> {
    let tls = ClientTlsConfig::new()
        .domain_name("localhost")
        .identity(keys.identity()?)
        .ca_certificate(keys.authority()?);
    Ok(Endpoint::from_shared(format!("https://127.0.0.1:{port}"))?
        .tls_config(tls)?
        .connect()
        .await?)
}

/// Gets the file; how many bytes came.
pub(crate) async fn get(channel: Channel) -> Result<u64, Failure> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await?;
    let codec = ProstCodec::<Empty, Part>::default();
    let path = http::uri::PathAndQuery::from_static(METHOD);
    let reply = grpc.server_streaming(Request::new(Empty {}), path, codec);
    let mut parts = reply.await?.into_inner();
    let mut bytes = 0;
    while let Some(part) = parts.message().await? {
        if let Some(Content::Chunk(chunk)) = part.part {
            bytes += chunk.data.len() as u64;
        }
    }
    Ok(bytes)
}

/// The one method, written out: `Peer` has others that mean nothing here.
const METHOD: &str = "/chartmesh.speed.Transfer/Get";

#[derive(Clone)]
struct OneFile(Bytes);

impl NamedService for OneFile {
    const NAME: &'static str = "chartmesh.speed.Transfer";
}

impl tower::Service<http::Request<Body>> for OneFile {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let file = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
            Ok(grpc.server_streaming(file, request).await)
        })
    }
}

impl ServerStreamingService<Empty> for OneFile {
    type Response = Part;
    type ResponseStream = BoxStream<'static, Result<Part, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<Empty>) -> Self::Future {
        let file = self.0.clone();
        let parts = (0..file.len().div_ceil(PART_BYTES)).map(move |index| {
            let from = index * PART_BYTES;
            let data = file.slice(from..(from + PART_BYTES).min(file.len()));
            Ok(Part {
                part: Some(Content::Chunk(Chunk {
                    index: index as u64,
                    data,
                })),
            })
        });
        ready(Ok(Response::new(stream::iter(parts).boxed())))
    }
}
