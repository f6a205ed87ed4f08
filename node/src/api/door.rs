//! The door for peers: hands each call to the node's flows.

use std::sync::Arc;

use bytes::Bytes;
use chartmesh_core::{
    flows::Node,
    ports::{FetchPart, Rpc},
    types::{NodeKey, PeerCode},
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use tokio_util::sync::CancellationToken;

use super::peer::{self, PeerService};
use crate::{metrics::Metrics, net::Incoming, world::RealWorld};

struct Door(Arc<Node<RealWorld>>);

impl PeerService for Door {
    fn is_member(&self, node: NodeKey) -> bool {
        self.0.is_member(node)
    }

    fn metrics(&self) -> Arc<Metrics> {
        self.0.world().metrics().clone()
    }

    async fn call(&self, from: NodeKey, rpc: Rpc, body: Bytes) -> Result<Bytes, PeerCode> {
        self.0.serve(from, rpc, body).await
    }

    async fn fetch(
        &self,
        from: NodeKey,
        body: Bytes,
    ) -> Result<BoxStream<'static, Result<FetchPart, PeerCode>>, PeerCode> {
        let parts = self.0.clone().serve_fetch(from, body).await?;
        Ok(parts.boxed())
    }
}

/// Serves a node's peers until the token says stop.
pub fn serve_peers(
    node: Arc<Node<RealWorld>>,
    incoming: Incoming,
    shutdown: CancellationToken,
) -> BoxFuture<'static, ()> {
    async move {
        if let Err(error) = peer::serve(Arc::new(Door(node)), incoming, shutdown).await {
            tracing::error!(%error, "the peer server ended");
        }
    }
    .boxed()
}
