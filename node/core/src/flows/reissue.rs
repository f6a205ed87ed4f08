//! Another credential for a member: with another node key, signed by the old one or, after a loss,
//! vouched for by people; or with the same, for another year.

use std::sync::Arc;

use super::{
    error::FlowError,
    network::Approval,
    node::{Actor, Identity, Node},
    state::{Fold, State},
};
use crate::{
    crypto::{Envelope, SigningKey},
    membership::{Line, NodeKeyChange, Proposal, Proposed, Reissue, Subject},
    ports::World,
    types::{Code, MemberId, NodeKey},
};

impl<W: World> Node<W> {
    /// Proposes the next credential of a member. That the organisation is still the same is for people
    /// to verify, at each authority that signs.
    ///
    /// # Errors
    /// [`Code::MemberUnknown`]; [`Code::RequestUnknown`] where nobody asked to join as that member with
    /// another key; [`Code::ProposalRefused`] where the change does not hold; and as
    /// [`Self::approve`].
    pub async fn reissue(
        &self,
        actor: &Actor,
        member: MemberId,
        reissue: &Reissue,
    ) -> Result<Approval, FlowError> {
        let registration = self.registration().await;
        let network = self.undisputed()?;
        self.need_authority(&network)?;
        let (held, organization) = {
            let state = self.state();
            let held = state.members.get(&member).ok_or(FlowError::NotFound {
                code: Code::MemberUnknown,
            })?;
            (held.credential().clone(), held.organization().clone())
        };
        let (subject, organization) = match reissue {
            Reissue::Change(change) => {
                let change = NodeKeyChange::verify(change, &network.id, held.subject());
                let change = change.map_err(|_| FlowError::Usage {
                    code: Code::ProposalRefused,
                })?;
                let subject = Subject {
                    member,
                    node_key: change.new_key,
                };
                (subject, organization)
            }
            Reissue::Loss => {
                let request = self.waiting_request(|request| {
                    request.member == member && request.node_key != held.node_key
                })?;
                (request.subject(), request.organization)
            }
            Reissue::Renewal => (held.subject(), organization),
        };
        let sequence = held.sequence + 1;
        self.propose_credential(
            actor,
            (subject, organization, sequence),
            &network,
            &registration,
        )
        .await
    }

    /// Says that this member goes over to another node key, signed by both; an authority is given it.
    ///
    /// # Errors
    /// [`Code::NoNetwork`].
    pub fn change_node_key(&self, next: &SigningKey) -> Result<Envelope, FlowError> {
        let network = self.network()?;
        Ok(NodeKeyChange::signed(
            network.id,
            self.member(),
            &self.identity().node,
            next,
        ))
    }

    /// Goes by another node key from here on, the one that its own credential names: everything it says of
    /// itself is signed anew, and what it began with others under the old key is forgotten.
    pub fn go_by_node_key(&self, node: SigningKey) {
        {
            let mut identity = self.identities();
            *identity = Arc::new(Identity {
                node,
                ..Identity::clone(&identity)
            });
        }
        {
            let mut state = self.state();
            state.outbound.clear();
            state.challenges.clear();
        }
        self.refresh_statements();
    }

    /// Whether this node's own credential names another node key by now: others answer it no more.
    pub fn is_superseded(&self) -> bool {
        let own = self.node_key();
        self.state()
            .members
            .get(&self.member())
            .is_some_and(|member| member.node_key() != own)
    }
}

impl Fold {
    /// The node key that a member's newest credential names.
    pub fn node_key_of(&self, member: MemberId) -> Option<NodeKey> {
        let state = self.lock();
        state.members.get(&member).map(|member| member.node_key())
    }
}

impl State {
    /// What a credential replaces, for those who are asked to sign it.
    pub(super) fn replaced(&self, proposal: &Proposal) -> Option<Line> {
        let Ok(Proposed::Credential(credential)) = proposal.proposed() else {
            return None;
        };
        let held = self.members.get(&credential.member)?;
        let node = held.node_key();
        (node != credential.node_key).then(|| Line {
            name: "replaces node".to_owned(),
            value: node.to_string(),
        })
    }
}
