//! What holders of authority keys do about a member: throw it out.

use super::{
    cosign::ProposalView,
    error::FlowError,
    news::Audience,
    node::{Actor, Node, push_audit},
    state::Network,
    trust::{push_heartbeat, push_list, push_revoked},
};
use crate::{
    audit,
    crypto::Envelope,
    membership::{ListHead, Proposal, ProposalKind, RevocationList, Status},
    ports::World,
    records::Batch,
    types::{Code, MemberId, NodeKey, limits::REASON_CHARS_MAX},
};

/// A member that was thrown out, or is to be.
#[derive(Clone)]
pub struct Revoked {
    /// Who.
    pub member: MemberId,
    /// Its node key.
    pub node: NodeKey,
    /// Its organisation's name.
    pub organization: String,
    /// Version of the list that names it.
    pub version: u64,
    /// The proposal that other authorities must sign; none where this one was enough.
    pub proposal: Option<ProposalView>,
}

impl<W: World> Node<W> {
    /// Throws a member out of the network, for good, or proposes it where other authorities must agree.
    /// Where this returns without a proposal the list is on the disk, the member is refused here, what
    /// was under way with it has ended, and the others are told.
    ///
    /// # Errors
    /// [`Code::NotAuthority`]; [`Code::MemberUnknown`], also for this node itself;
    /// [`Code::KeyRevoked`] where it was thrown out before; [`Code::Usage`] for a reason that is
    /// missing or too long, or a list that is full; [`Code::ProposalConflict`] where this authority
    /// signed another list that waits; [`Code::CharterFork`]; [`FlowError::Store`].
    pub async fn revoke_member(
        &self,
        actor: &Actor,
        member: MemberId,
        reason: &str,
    ) -> Result<Revoked, FlowError> {
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
            return Err(FlowError::Usage { code: Code::Usage });
        }
        let _registration = self.registration().await;
        let network = self.undisputed()?;
        self.need_authority(&network)?;
        let (list, mut revoked) = self.list_with(member, &network)?;
        let entry = audit::Entry {
            member: Some(member),
            actor: actor.name.clone(),
            role: Some(actor.role),
            description: reason.to_owned(),
            ..audit::Entry::new(audit::Kind::MemberRevoked)
        };
        if network.charter.threshold == 1 {
            let signed = self.identity.authority.sign(&network.id, &list);
            let mut batch = Batch::default();
            self.push_revocation(&mut batch, &signed, &list, &network);
            push_audit(&mut batch, &entry);
            self.commit(batch).await?;
            self.throw_out(&[member]).await;
            return Ok(revoked);
        }
        let proposal = Proposal::unsigned(ProposalKind::RevocationList, &list);
        let view = self.propose(actor, proposal, &network).await?;
        let mut batch = Batch::default();
        push_audit(
            &mut batch,
            &audit::Entry {
                kind: audit::Kind::ProposalSigned,
                ..entry
            },
        );
        self.commit(batch).await?;
        revoked.proposal = Some(view);
        Ok(revoked)
    }

    fn list_with(
        &self,
        member: MemberId,
        network: &Network,
    ) -> Result<(RevocationList, Revoked), FlowError> {
        let now = self.now();
        let state = self.state();
        let known = state
            .members
            .get(&member)
            .filter(|_| member != self.member())
            .ok_or(FlowError::NotFound {
                code: Code::MemberUnknown,
            })?;
        if known.status(now) == Status::Revoked {
            return Err(FlowError::State {
                code: Code::KeyRevoked,
            });
        }
        let list = state.trust.revocations.with(member, network.id, now);
        let list = list.map_err(|_| FlowError::Usage { code: Code::Usage })?;
        let revoked = Revoked {
            member,
            node: known.node_key(),
            organization: known.organization().name.clone(),
            version: list.version,
            proposal: None,
        };
        Ok((list, revoked))
    }

    /// The records of a list that is complete, and of the heartbeat about it where this node may sign
    /// one alone.
    fn push_revocation(
        &self,
        batch: &mut Batch,
        signed: &Envelope,
        list: &RevocationList,
        network: &Network,
    ) {
        push_list(batch, signed);
        let head = ListHead {
            version: list.version,
            hash: signed.hash(),
            issued_at: list.issued_at,
        };
        if let Some(heartbeat) = self.beat_alone(network, Some(head), self.now()) {
            push_heartbeat(batch, &heartbeat);
        }
    }

    /// The records that make a list true that several authorities signed. Returns whom it throws out.
    ///
    /// # Errors
    /// [`Code::ProposalRefused`] where it is not what comes next.
    pub(super) fn push_cosigned(
        &self,
        batch: &mut Batch,
        signed: &Envelope,
        list: &RevocationList,
        network: &Network,
    ) -> Result<Vec<MemberId>, FlowError> {
        let newly = {
            let state = self.state();
            let known = &state.trust.revocations;
            let judged = known.consider(signed, &network.id, &network.chain, self.now());
            if judged.is_err() || !known.precede(list) {
                return Err(FlowError::State {
                    code: Code::ProposalRefused,
                });
            }
            let named = list.members.iter().copied();
            named.filter(|member| !known.names(member)).collect()
        };
        self.push_revocation(batch, signed, list, network);
        push_revoked(batch, &newly);
        Ok(newly.into_iter().collect())
    }

    /// What follows once a list is on the disk: nothing goes on with whom it throws out, and the others
    /// are told.
    pub(super) async fn throw_out(&self, members: &[MemberId]) {
        for member in members {
            self.expel(*member);
        }
        for member in members {
            self.left(*member).await;
        }
        self.state().news.tell(Audience::All);
    }
}
