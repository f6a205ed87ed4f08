//! What the daemon does for charters and proposals: spreads them, waits with recoveries, warns.

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use chartmesh_core::{
    crypto::{SecretKey, SigningKey},
    membership::StoredIdentity,
    types::{Code, MemberId, NodeKey, ProposalId},
};

use futures::{FutureExt as _, future::BoxFuture};

use super::Daemon;
use crate::boot::{self, BootError};

/// How long an administrator waits for other authorities to be shown a proposal.
const SPREAD_MAX: Duration = Duration::from_secs(5);

impl Daemon {
    /// Shows a proposal to the other authorities at once, and greets everybody where it made something
    /// true, so that nobody waits for the next round. Those that are away get it when they are back.
    pub async fn spread(self: &Arc<Self>, id: ProposalId) {
        let sending = self.node.authority_members().into_iter().map(|member| {
            let node = self.node.clone();
            self.tasks
                .spawn(async move { (member, node.send_proposal(member, id).await) })
        });
        let all = futures::future::join_all(sending.collect::<Vec<_>>());
        let Ok(sent) = tokio::time::timeout(SPREAD_MAX, all).await else {
            return;
        };
        for (member, outcome) in sent.into_iter().flatten() {
            if let Err(code) = outcome {
                tracing::debug!(%member, %code, "an authority was not shown a proposal");
            }
        }
        if let Some(net) = self.net() {
            self.greet_connected(&net);
        }
    }

    /// What a member knows of charters and proposals, and what it should know of ours. A charter that is
    /// not in force yet, or disputed, stands in no Hello.
    pub(super) async fn exchange_trust(&self, node: NodeKey, member: MemberId) {
        match self.node.pull_charters(node).await {
            Ok(false) => {}
            Ok(true) => tracing::info!(%member, "the charter, or what disputes it, changed"),
            Err(error) => tracing::debug!(%member, %error, "no charters"),
        }
        if self.node.authority_members().contains(&member) {
            match self.node.exchange_proposals(member).await {
                Ok(0) => {}
                Ok(news) => tracing::info!(%member, news, "proposals changed"),
                Err(code) => tracing::debug!(%member, %code, "no proposals"),
            }
        }
    }

    /// A node that refuses us may know another charter, or another credential of ours.
    pub(super) async fn learn_why(&self, node: NodeKey) {
        if self.node.pull_charters(node).await == Ok(true) {
            tracing::info!(%node, "a charter or credential of ours changed");
        }
    }

    /// The node key that is to follow, drawn and stored where there is none. It is taken once a
    /// credential names it.
    ///
    /// # Errors
    /// [`BootError`] where it cannot be stored.
    pub async fn next_node_key(&self) -> Result<SigningKey, BootError> {
        let _one_change = self.changing.lock().await;
        let mut identity = self.identity().clone();
        let seed = match &identity.next_node_seed {
            Some(seed) => seed.clone(),
            None => {
                let seed = SecretKey::new(rand::random());
                identity.next_node_seed = Some(seed.clone());
                boot::store_identity(self.node.world().store(), &identity).await?;
                *self.identity() = identity;
                seed
            }
        };
        Ok(SigningKey::from_seed(&seed))
    }

    /// The node key that was drawn to follow and that no credential names yet.
    pub fn awaited_node_key(&self) -> Option<NodeKey> {
        let seed = self.identity().next_node_seed.clone()?;
        Some(NodeKey(SigningKey::from_seed(&seed).public()))
    }

    /// Goes over to the node key that was drawn to follow, where the own credential names it: stored
    /// first, then the network starts anew with it at the same ports.
    // Boxed, since the network that it starts comes back here.
    pub(super) fn follow_credential(self: Arc<Self>) -> BoxFuture<'static, ()> {
        async move {
            let _one_change = self.changing.lock().await;
            let mut identity = self.identity().clone();
            let named = self.node.fold().node_key_of(self.node.member());
            if !identity.take_next_key(named) {
                return;
            }
            let stored = boot::store_identity(self.node.world().store(), &identity).await;
            if let Err(error) = stored {
                let code = error.code();
                tracing::warn!(%code, "the new node key cannot be stored and is not used");
                return;
            }
            let node = SigningKey::from_seed(&identity.node_seed);
            *self.identity() = identity;
            self.node.go_by_node_key(node);
            let node = self.node.node_key();
            tracing::info!(%node, "the node goes by the new node key that its credential names");
            if let Err(error) = self.start_network().await {
                tracing::error!(%error, "the network does not start by the new node key");
            }
        }
        .boxed()
    }

    fn identity(&self) -> MutexGuard<'_, StoredIdentity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in force what needs nothing more, be it a recovery whose time has come or a proposal, and
    /// warns while a charter is disputed.
    pub(super) async fn look_after_charter(&self) {
        match self.node.settle_recovery().await {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!("recovery keys have replaced the authorities of the network")
            }
            Err(error) => tracing::warn!(code = %error.code(), "a recovery cannot be stored"),
        }
        match self.node.settle_proposals().await {
            Ok(0) => {}
            Ok(_) => tracing::info!("what waited for signatures lacks none by the charter"),
            Err(error) => tracing::warn!(code = %error.code(), "a proposal cannot be stored"),
        }
        if self.node.is_superseded() {
            let code = Code::KeyRevoked;
            tracing::warn!(%code, "the own credential names a node key that this node does not have");
        }
        for disputed in self.node.disputed_charters() {
            if disputed.takes_effect.is_some() {
                tracing::warn!("recovery keys are about to replace the authorities of the network");
            } else {
                let code = Code::CharterFork;
                tracing::warn!(%code, "there are two charters of one number");
            }
        }
    }
}
