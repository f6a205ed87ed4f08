//! Proposals between the nodes that hold authority keys.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{
    call::AskError,
    cosign::ProposalView,
    error::FlowError,
    node::{Actor, Node},
    state::{Network, State},
};
use crate::{
    crypto::Envelope,
    membership::{AuthorityClaim, Proposal, Proposed, Subject, capability},
    ports::{Rpc, World},
    records::TurnGuard,
    session::{Peer, SessionError},
    types::{Code, MemberId, NodeKey, PeerCode, ProposalId, limits::CALL_TIME_MAX},
    wire::{Propose, ProposeAnswer},
};

impl<W: World> Node<W> {
    /// Whether this node holds an authority key of the charter in force.
    pub fn is_authority(&self) -> bool {
        let own = self.identity().authority.public();
        self.state()
            .network
            .as_ref()
            .is_some_and(|network| network.charter.authorities.contains(&own))
    }

    /// Members that are said to hold an authority key: they are asked to prove it before they are shown
    /// anything.
    pub fn authority_members(&self) -> Vec<MemberId> {
        let now = self.now();
        let state = self.state();
        let hinted = |member: &crate::membership::Member| {
            state.authority_of.contains_key(&member.id())
                || member
                    .node_record()
                    .is_some_and(|record| record.capabilities.contains(&capability::AUTHORITY))
        };
        state
            .members
            .iter()
            .filter(|member| member.id() != self.member())
            .filter(|member| member.status(now) == crate::membership::Status::Active)
            .filter(|member| hinted(member))
            .map(crate::membership::Member::id)
            .collect()
    }

    /// Shows another authority what waits here, and takes the signatures it has. Returns how many
    /// proposals changed or became true.
    ///
    /// # Errors
    /// What the member said, or `UNAVAILABLE` where it said nothing that holds.
    pub async fn exchange_proposals(&self, with: MemberId) -> Result<usize, PeerCode> {
        let now = self.now();
        let ids: Vec<ProposalId> = {
            let state = self.state();
            let waiting = state.waiting(now);
            waiting.map(|waiting| waiting.proposal.id()).collect()
        };
        let mut changed = 0;
        for id in ids {
            changed += usize::from(self.send_proposal(with, id).await?);
        }
        Ok(changed)
    }

    /// Shows another authority one proposal, also one that is settled by now, and takes what it has of
    /// it. Returns whether that changed anything here.
    ///
    /// # Errors
    /// As [`Self::exchange_proposals`].
    pub async fn send_proposal(&self, with: MemberId, id: ProposalId) -> Result<bool, PeerCode> {
        let Some(claim) = self.own_claim() else {
            return Ok(false);
        };
        let known = self.state().authority_of.get(&with).copied();
        let key = match known {
            Some(key) => key,
            None => self.ask_proposal(with, &claim, None).await?.0,
        };
        let Some(proposal) = self.state().proposal_for(id, &key) else {
            return Ok(false);
        };
        let (_, answer) = self
            .ask_proposal(with, &claim, Some(proposal.clone()))
            .await?;
        let Some(answer) = answer.filter(|answer| *answer != proposal) else {
            return Ok(false);
        };
        match self.accept_proposal(answer).await {
            Ok(held) => Ok(held.as_ref() != Some(&proposal)),
            Err(_) => Err(PeerCode::Unavailable),
        }
    }

    /// Makes a proposal, signs it and records it; complete at once where one signature is enough.
    ///
    /// What this node has signed before and still waits, or waited in vain, is the answer where it says
    /// the same: whoever signed it may sign no other, and its signatures are worth as much as ever.
    pub(super) async fn propose(
        &self,
        actor: &Actor,
        mut proposal: Proposal,
        network: &Network,
        registration: &TurnGuard,
    ) -> Result<ProposalView, FlowError> {
        let proposed = proposal.proposed().map_err(|_| FlowError::Usage {
            code: Code::ProposalRefused,
        })?;
        let waiting = self.proposals().into_iter();
        let mut signed = waiting.filter(|view| view.signed_here);
        let same = |proposal: &Proposal| match (&proposed, proposal.proposed()) {
            // What else it says of the organisation was said when it was signed.
            (Proposed::Credential(one), Ok(Proposed::Credential(other))) => {
                one.subject() == other.subject() && one.sequence == other.sequence
            }
            (_, other) => other.is_ok_and(|other| proposed.says_the_same(&other)),
        };
        match signed.find(|view| same(&view.proposal)) {
            // Since it was signed, a charter has come that asks for fewer signatures.
            Some(view) if view.complete => proposal = view.proposal,
            Some(view) => return Ok(view),
            None => {
                let own = self.identity().authority.public();
                let lapsed = {
                    let state = self.state();
                    let all = state.proposals.values().map(|waiting| &waiting.proposal);
                    let mut signed = all.filter(|proposal| proposal.is_signed_by(&own));
                    signed.find(|proposal| same(proposal)).cloned()
                };
                proposal = lapsed.unwrap_or(proposal);
                self.sign_proposal(&mut proposal, network)?;
            }
        }
        self.record_proposal(Some(actor), proposal, network, registration)
            .await
    }

    /// Makes true what waits here and lacks no signature any more: another charter asks for fewer.
    /// Returns how many proposals became true.
    ///
    /// # Errors
    /// [`FlowError::Store`].
    pub async fn settle_proposals(&self) -> Result<usize, FlowError> {
        let registration = self.registration().await;
        let mut looked_at = BTreeSet::new();
        let mut made_true = 0;
        loop {
            let Ok(network) = self.undisputed() else {
                return Ok(made_true);
            };
            let mut waiting = self.proposals().into_iter();
            let next = waiting.find(|view| view.complete && looked_at.insert(view.id));
            let Some(view) = next else {
                return Ok(made_true);
            };
            let proposed = view.proposal.proposed();
            if !proposed.is_ok_and(|proposed| !self.state().outdates(&proposed)) {
                continue;
            }
            match self
                .record_proposal(None, view.proposal, &network, &registration)
                .await
            {
                Ok(_) => made_true += 1,
                Err(FlowError::Store(error)) => return Err(FlowError::Store(error)),
                // It waits until it lapses, as one that lacks signatures does.
                Err(_) => {}
            }
        }
    }

    /// Asks a member for its authority key and what it holds of a proposal.
    async fn ask_proposal(
        &self,
        with: MemberId,
        claim: &Envelope,
        proposal: Option<Proposal>,
    ) -> Result<([u8; 32], Option<Proposal>), PeerCode> {
        let end = self.now().plus(CALL_TIME_MAX);
        let asking = self.ask::<_, ProposeAnswer>(with, Rpc::Propose, |head| Propose {
            head,
            claim: claim.clone(),
            proposal: proposal.clone(),
        });
        let answer = match self.until(end, asking).await {
            Some(Ok((answer, _))) => answer,
            Some(Err(AskError::Refused(code))) => return Err(code),
            Some(Err(AskError::Call(_) | AskError::Forged)) | None => {
                return Err(PeerCode::Unavailable);
            }
        };
        let subject = {
            let state = self.state();
            let member = state.members.get(&with).ok_or(PeerCode::NotMember)?;
            member.credential().subject()
        };
        let network = self.network().map_err(|_| PeerCode::Unavailable)?;
        let key = self
            .believe_claim(&answer.claim, subject, &network)
            .await
            .ok_or(PeerCode::Denied)?;
        Ok((key, answer.proposal))
    }

    /// What this node says of its authority key; none where nobody would listen.
    fn own_claim(&self) -> Option<Envelope> {
        let authority = &self.identity().authority;
        let state = self.state();
        let network = state.network.as_ref()?;
        if !state.is_or_becomes_authority(&authority.public()) {
            return None;
        }
        let claim = AuthorityClaim {
            network: network.id,
            member: self.member(),
            node_key: self.node_key(),
        };
        Some(authority.sign(&network.id, &claim))
    }

    /// The authority key behind a claim, in force or proposed; remembered with the member.
    async fn believe_claim(
        &self,
        claim: &Envelope,
        subject: Subject,
        network: &Network,
    ) -> Option<[u8; 32]> {
        let claimed = claim.claimed_signers();
        let known = claimed
            .first()
            .is_some_and(|key| self.state().is_or_becomes_authority(key));
        if !known {
            return None;
        }
        let (claim, id) = (claim.clone(), network.id);
        let key = self
            .world
            .run(move || AuthorityClaim::verify(&claim, &id, subject))
            .await
            .ok()?;
        self.state().authority_of.insert(subject.member, key);
        Some(key)
    }

    pub(super) async fn serve_propose(
        &self,
        from: NodeKey,
        body: &[u8],
    ) -> Result<Bytes, PeerCode> {
        let (question, request) = match self.receive::<Propose>(from, body).await {
            Ok(received) => received,
            Err(answer) => return answer,
        };
        let peer: Peer = question.peer.clone();
        let subject = Subject {
            member: peer.member,
            node_key: peer.node_key,
        };
        let refuse = SessionError::NotAuthority {
            member: peer.member,
        };
        let network = self.network().map_err(|_| PeerCode::Unavailable)?;
        let request = request.body();
        let believed = self.believe_claim(&request.claim, subject, &network).await;
        let in_force = believed.filter(|key| network.charter.authorities.contains(key));
        let (Some(_), Some(claim)) = (in_force, self.own_claim_for(request)) else {
            let code = self.refused(from, refuse).await;
            return Ok(self.refuse(&question, 0, code));
        };
        let proposal = match &request.proposal {
            None => None,
            Some(offered) => match self.accept_proposal(offered.clone()).await {
                Ok(held) => held,
                Err(error) => {
                    let code = told(&error);
                    return Ok(self.refuse(&question, 0, code));
                }
            },
        };
        Ok(self.answer(&question, 0, |head| ProposeAnswer {
            head,
            claim,
            proposal,
        }))
    }

    /// Our claim for an authority that asks; also where the proposal it brings is what makes us one.
    fn own_claim_for(&self, request: &Propose) -> Option<Envelope> {
        if let Some(claim) = self.own_claim() {
            return Some(claim);
        }
        let own = self.identity().authority.public();
        let comes_in = match request.proposal.as_ref()?.proposed().ok()? {
            Proposed::Charter(charter) => charter.authorities.contains(&own),
            Proposed::Credential(_) | Proposed::RevocationList(_) => false,
        };
        let network = self.network_id().filter(|_| comes_in)?;
        let claim = AuthorityClaim {
            network,
            member: self.member(),
            node_key: self.node_key(),
        };
        Some(self.identity().authority.sign(&network, &claim))
    }
}

/// What an authority is told of a proposal that is not taken.
fn told(error: &FlowError) -> PeerCode {
    match error.code() {
        Code::OverBudget => PeerCode::OverBudget,
        Code::Signature | Code::ProposalRefused | Code::NotAuthority => PeerCode::Denied,
        _ => PeerCode::Unavailable,
    }
}

impl State {
    /// Whether a key is an authority's, or would be by a charter that waits for signatures.
    fn is_or_becomes_authority(&self, key: &[u8; 32]) -> bool {
        let in_force = self
            .network
            .as_ref()
            .is_some_and(|network| network.charter.authorities.contains(key));
        in_force
            || self
                .proposals
                .values()
                .any(|waiting| match waiting.proposal.proposed() {
                    Ok(Proposed::Charter(charter)) => charter.authorities.contains(key),
                    Ok(Proposed::Credential(_) | Proposed::RevocationList(_)) | Err(_) => false,
                })
    }

    /// A proposal that the holder of a key may see: all of them for an authority in force, and the
    /// charter that brings it in for one to come.
    fn proposal_for(&self, id: ProposalId, key: &[u8; 32]) -> Option<Proposal> {
        let settled = self.settled.iter().find(|held| held.id() == id);
        let proposal = self
            .proposals
            .get(&id)
            .map(|waiting| &waiting.proposal)
            .or(settled)?;
        let in_force = self
            .network
            .as_ref()
            .is_some_and(|network| network.charter.authorities.contains(key));
        let concerns = match proposal.proposed().ok()? {
            Proposed::Charter(charter) => charter.authorities.contains(key),
            Proposed::Credential(_) | Proposed::RevocationList(_) => false,
        };
        (in_force || concerns).then(|| proposal.clone())
    }
}
