//! The daemon's side: a fetch, as the command line asks for it.

use std::path::PathBuf;

use chartmesh_proto::admin::{FetchRequest, admin_client::AdminClient, fetch_event::Event};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::Failure;

/// Connects to the admin socket.
pub(crate) async fn connect(socket: PathBuf) -> Result<AdminClient<Channel>, Failure> {
    let channel = Endpoint::from_static("http://admin.invalid")
        .connect_with_connector(tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await?;
    Ok(AdminClient::new(channel))
}

/// Fetches one document; how many bytes came, once the daemon says that they are verified.
pub(crate) async fn fetch(
    mut admin: AdminClient<Channel>,
    handle: String,
    document: String,
) -> Result<u64, Failure> {
    let request = FetchRequest {
        handle,
        document,
        purpose: "TREAT".to_owned(),
        ..FetchRequest::default()
    };
    let mut events = admin.fetch(request).await?.into_inner();
    let mut bytes = 0;
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::Data(data)) => bytes += data.len() as u64,
            Some(Event::Result(result)) if result.verified && result.bytes == bytes => {
                return Ok(bytes);
            }
            Some(Event::Result(_)) => return Err("the document is not verified".into()),
            Some(Event::Progress(_)) | None => {}
        }
    }
    Err("the fetch ended without a result".into())
}
