//! A node: identity, state and world. Each use case is an `impl` block in its own file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    error::FlowError,
    state::{Fold, Network, State, peer_of},
};
use crate::{
    audit::Entry,
    crypto::{SigningKey, derive},
    membership::{Organization, Template},
    policy::{Discoverability, Facts},
    ports::World,
    records::{Batch, Matter, RecordKind, Recorded, Scope, StoreError, TurnGuard},
    session::Peer,
    types::{Code, Incarnation, MemberId, NetworkId, NodeKey, PatientId, Role, Timestamp, UserId},
    wire,
};

/// Who this node is: drawn at `init`, and the same over its whole life but for the node key.
#[derive(Clone)]
pub struct Identity {
    /// The member id.
    pub member: MemberId,
    /// Signs messages and statements; its public half is the libp2p `PeerId`. Changed by
    /// [`Node::go_by_node_key`] only.
    pub node: SigningKey,
    /// Signs audit checkpoints.
    pub audit: SigningKey,
    /// Signs as an authority of a charter that names it.
    pub authority: SigningKey,
    /// The organisation that runs the node.
    pub organization: Organization,
    /// Which copy of the node this is.
    pub incarnation: Incarnation,
}

impl Identity {
    /// The node key.
    pub fn node_key(&self) -> NodeKey {
        NodeKey(self.node.public())
    }

    /// Signs heartbeats and revocations, and nothing else, where a charter names it. Made from the
    /// authority key one way, so that whoever learns it learns nothing of that key.
    pub fn status(&self) -> SigningKey {
        let seed = derive(&self.authority.seed(), "chartmesh/1/status-key");
        SigningKey::from_seed(&seed)
    }
}

/// A person of this node who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What peers see.
    pub user: UserId,
    /// The account's name, for the node's own audit log.
    pub name: String,
    /// What the person may assert.
    pub role: Role,
}

/// One running node.
pub struct Node<W> {
    identity: Mutex<Arc<Identity>>,
    pub(super) fold: Fold,
    pub(super) world: W,
    pub(super) discoverability: Discoverability,
}

impl<W: World> Node<W> {
    /// Joins an identity, the state that its journal gave, and the world.
    pub fn new(identity: Identity, fold: Fold, world: W) -> Self {
        let organization = &identity.organization;
        Self {
            discoverability: Discoverability::default_for(organization.kind, organization.part2),
            identity: Mutex::new(Arc::new(identity)),
            fold,
            world,
        }
    }

    /// The world it lives in.
    pub fn world(&self) -> &W {
        &self.world
    }

    /// The state it shares with its journal.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// Who it is.
    pub fn identity(&self) -> Arc<Identity> {
        self.identities().clone()
    }

    pub(super) fn identities(&self) -> MutexGuard<'_, Arc<Identity>> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its member id.
    pub fn member(&self) -> MemberId {
        self.identity().member
    }

    /// Its node key.
    pub fn node_key(&self) -> NodeKey {
        self.identity().node_key()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.fold.lock()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.world.now()
    }

    pub(super) fn random<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.world.fill(&mut out);
        out
    }

    pub(super) fn network(&self) -> Result<Network, FlowError> {
        self.state().network.clone().ok_or(FlowError::State {
            code: Code::NoNetwork,
        })
    }

    pub(super) fn network_id(&self) -> Option<NetworkId> {
        self.state().network.as_ref().map(|network| network.id)
    }

    /// Commits a batch. When this returns its effects are durable and in the state.
    pub(super) async fn commit(&self, batch: Batch) -> Result<Recorded, FlowError> {
        if let Some(problem) = self.fold.problem() {
            return Err(problem.into());
        }
        let committed = self.world.commit(batch).await;
        match committed {
            // What the disk holds is not known, or nothing can be added: peers are served no more.
            Err(
                error @ (StoreError::Failed | StoreError::ReadOnly | StoreError::Integrity { .. }),
            ) => self.fold.halt(error),
            // The store is as it was, and may take the next one.
            Err(
                StoreError::Full
                | StoreError::Missing
                | StoreError::Key
                | StoreError::FormatTooNew { .. }
                | StoreError::TooLarge,
            )
            | Ok(_) => {}
        }
        Ok(committed?)
    }

    /// This node as others see it.
    pub(super) fn own_peer(&self) -> Peer {
        let state = self.state();
        state.members.get(&self.member()).map_or_else(
            || Peer {
                member: self.member(),
                node_key: self.node_key(),
                organization: self.identity().organization.clone(),
            },
            peer_of,
        )
    }

    /// What a decision about a patient rests on.
    pub(super) fn facts<'a>(
        &self,
        state: &'a State,
        holder: &'a Organization,
        template: Template,
        patient: PatientId,
    ) -> Facts<'a> {
        let set = state.patients.get(&patient).and_then(|p| p.discoverability);
        Facts {
            patient,
            holder,
            template,
            discoverability: set.unwrap_or(self.discoverability),
            consents: state.consents_of(patient),
        }
    }

    /// The turn of a matter, taken by whatever must not interleave with others of the same.
    pub(super) async fn turn(&self, matter: Matter) -> TurnGuard {
        let turn = self.state().turns.of(matter);
        turn.take().await
    }

    /// Waits for a future until a time.
    pub(super) async fn until<T>(
        &self,
        at: Timestamp,
        future: impl Future<Output = T> + Send,
    ) -> Option<T> {
        let future = std::pin::pin!(future);
        let sleep = std::pin::pin!(self.world.sleep_until(at));
        match futures::future::select(future, sleep).await {
            futures::future::Either::Left((value, _)) => Some(value),
            futures::future::Either::Right(_) => None,
        }
    }
}

/// Adds an audit entry to a batch: sealed under the patient's key where it is about one.
pub(super) fn push_audit(batch: &mut Batch, entry: &Entry) {
    let scope = entry.patient.map_or(Scope::Store, Scope::Patient);
    batch.push(RecordKind::Audit, scope, wire::encode_audit(&entry.into()));
}
