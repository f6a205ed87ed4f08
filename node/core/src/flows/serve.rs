//! The one door for peers: which flow answers which call.

use bytes::Bytes;

use super::{call::AskError, node::Node};
use crate::{
    ports::{CallError, Rpc, World},
    types::{MemberId, NodeKey, PeerCode},
};

impl<W: World> Node<W> {
    /// Answers a call that has one answer.
    ///
    /// A node whose store cannot be trusted or written answers nobody but its own users.
    ///
    /// # Errors
    /// What the peer is told where no answer can be sealed to it.
    pub async fn serve(&self, from: NodeKey, rpc: Rpc, body: Bytes) -> Result<Bytes, PeerCode> {
        if self.fold.problem().is_some() {
            return Err(PeerCode::Unavailable);
        }
        match rpc {
            Rpc::Hello => self.serve_hello(from, &body).await,
            Rpc::Join => self.serve_join(from, &body).await,
            Rpc::Members => self.serve_members(from, &body).await,
            Rpc::Locate => self.serve_locate(from, &body).await,
            Rpc::List => self.serve_list(from, &body).await,
            Rpc::Release => self.serve_release(from, &body).await,
            Rpc::Propose => self.serve_propose(from, &body).await,
            Rpc::Charters => self.serve_charters(from, &body).await,
            Rpc::Trust => self.serve_trust(from, &body).await,
            // Its answer is a stream: see `serve_fetch`.
            Rpc::Fetch => Err(PeerCode::Malformed),
        }
    }

    /// Greets a node that connected or was dialled, so that both know each other's keys.
    ///
    /// # Errors
    /// Why no Hello came about.
    pub async fn greet(&self, node: NodeKey) -> Result<MemberId, CallError> {
        self.hello_node(node).await.map_err(|error| match error {
            AskError::Call(error) => error,
            AskError::Refused(code) => CallError::Refused(code),
            AskError::Forged => CallError::Refused(PeerCode::Unauthenticated),
        })
    }
}
