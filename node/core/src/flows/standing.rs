//! The fold of what makes members: charters, proposals, credentials.

use std::sync::Arc;

use bytes::Bytes;

use super::state::{Network, SeenCharter, State, Waiting};
use crate::{
    membership::{Chain, Credential, JoinRequest, JoinState, Link, Proposal, Proposed, Standing},
    records::Record,
    types::{
        ProposalId,
        limits::{PROPOSAL_LIFE, PROPOSALS_PER_AUTHORITY_MAX},
    },
    wire::{self, WireError},
};

pub(super) fn charter(state: &mut State, record: &Record, body: &Bytes) -> Result<(), WireError> {
    let envelope = wire::decode_charter(body)?;
    // Verified before it was written; what the journal holds is what this node believed.
    let chain = match &state.network {
        None => Chain::found(&envelope).map_err(|_| WireError::Contradiction)?,
        Some(network) => {
            let mut chain = Chain::clone(&network.chain);
            chain
                .push(&envelope)
                .map_err(|_| WireError::Contradiction)?;
            chain
        }
    };
    state.join_asked = None;
    state.charter_since = record.time;
    go_by(state, chain);
    Ok(())
}

/// Goes by other versions of the charter: who counts as a member, and what waits for signatures, is
/// looked at again.
fn go_by(state: &mut State, chain: Chain) {
    state.members.recount(&chain);
    let link = chain.in_force().clone();
    let version = link.charter.version;
    // What follows a charter that somebody decided against is worth nothing any more.
    state.charters_seen.retain(|seen| {
        let before = seen.link.charter.version.checked_sub(1);
        let before = before.and_then(|before| chain.version(before));
        let follows = before.is_some_and(|before| seen.link.charter.previous == Some(before.hash));
        follows && seen.link.hash != link.hash
    });
    for seen in &mut state.charters_seen {
        // The authorities were quicker than the recovery, or it was for a version that is gone.
        if seen.link.charter.version <= version {
            seen.standing = Standing::Fork;
        }
    }
    state.network = Some(Network::of(chain));
    settle(state, &link);
}

/// Takes what is true by now from the proposals that wait.
fn settle(state: &mut State, in_force: &Arc<Link>) {
    let mut waiting = std::mem::take(&mut state.proposals);
    waiting.retain(|_, waiting| {
        if is_settled(state, &waiting.proposal) {
            let known = known_form(state, &waiting.proposal);
            remember_settled(state, known);
            return false;
        }
        match waiting.proposal.under(in_force) {
            Some(proposal) => {
                waiting.proposal = proposal;
                true
            }
            None => false,
        }
    });
    state.proposals = waiting;
}

fn remember_settled(state: &mut State, proposal: Proposal) {
    let id = proposal.id();
    state.settled.retain(|held| held.id() != id);
    state.settled.push_back(proposal);
    if state.settled.len() > PROPOSALS_PER_AUTHORITY_MAX {
        state.settled.pop_front();
    }
}

/// What was held of a proposal when it was settled.
pub(super) fn settled_of(state: &State, id: ProposalId) -> Option<Proposal> {
    let mut settled = state.settled.iter();
    settled.find(|held| held.id() == id).cloned()
}

/// Whether what a proposal proposes, or something newer, is true already, waits, or was decided against.
pub(super) fn is_settled(state: &State, proposal: &Proposal) -> bool {
    match proposal.proposed() {
        Ok(Proposed::Charter(charter)) => {
            let hash = proposal.signed.hash();
            let network = state.network.as_ref();
            network.is_some_and(|network| network.charter.version >= charter.version)
                || state.charters_refused.contains(&hash)
                || state
                    .charters_seen
                    .iter()
                    .any(|seen| seen.link.hash == hash)
        }
        Ok(Proposed::Credential(credential)) => state
            .members
            .get(&credential.member)
            .is_some_and(|member| member.credential().sequence >= credential.sequence),
        Ok(Proposed::RevocationList(list)) => state
            .trust
            .revocations
            .head()
            .is_some_and(|head| head.version >= list.version),
        Err(_) => true,
    }
}

/// A settled proposal with the signatures that made it true, where it is what became true.
fn known_form(state: &State, proposal: &Proposal) -> Proposal {
    let signed = match proposal.proposed() {
        Ok(Proposed::Charter(charter)) => state
            .network
            .as_ref()
            .and_then(|network| network.chain.version(charter.version))
            .map(|link| link.envelope.clone()),
        Ok(Proposed::Credential(credential)) => state
            .members
            .get(&credential.member)
            .map(|member| member.known().credential.clone()),
        Ok(Proposed::RevocationList(_)) => state.trust.revocations.envelope().cloned(),
        Err(_) => None,
    };
    let same = signed.filter(|signed| signed.body == proposal.signed.body);
    Proposal {
        kind: proposal.kind,
        signed: same.unwrap_or_else(|| proposal.signed.clone()),
    }
}

pub(super) fn charter_seen(
    state: &mut State,
    record: &Record,
    body: &Bytes,
) -> Result<(), WireError> {
    let envelope = wire::decode_charter_seen(body)?;
    let network = state.network.as_ref().ok_or(WireError::Contradiction)?;
    let (standing, link) = network
        .chain
        .judge(&envelope)
        .map_err(|_| WireError::Contradiction)?;
    let known = state
        .charters_seen
        .iter()
        .any(|seen| seen.link.hash == link.hash);
    if !known {
        let id = Proposal {
            kind: crate::membership::ProposalKind::Charter,
            signed: envelope,
        }
        .id();
        if let Some(waiting) = state.proposals.remove(&id) {
            let proposal = Proposal {
                signed: link.envelope.clone(),
                ..waiting.proposal
            };
            remember_settled(state, proposal);
        }
        state.charters_seen.push(SeenCharter {
            link,
            standing,
            first_seen: record.time,
        });
    }
    Ok(())
}

pub(super) fn charter_adopted(
    state: &mut State,
    record: &Record,
    body: &Bytes,
) -> Result<(), WireError> {
    let hash = wire::decode_charter_adopted(body)?;
    let network = state.network.as_ref().ok_or(WireError::Contradiction)?;
    let chain = network.chain.clone();
    let chosen = state
        .charters_seen
        .iter()
        .find(|seen| seen.link.hash == hash)
        .map(|seen| seen.link.clone());
    let version = match &chosen {
        Some(link) => link.charter.version,
        None => state
            .charters_seen
            .iter()
            .map(|seen| seen.link.charter.version)
            .find(|version| {
                chain
                    .version(*version)
                    .is_some_and(|ours| ours.hash == hash)
            })
            .ok_or(WireError::Contradiction)?,
    };
    // Whoever brings the other again brings nothing.
    let ours = chain.version(version).map(|link| link.hash);
    let rivals = state.charters_seen.iter().map(|seen| &seen.link);
    let rivals = rivals.filter(|link| link.charter.version == version);
    let refused: Vec<[u8; 32]> = rivals.map(|link| link.hash).chain(ours).collect();
    state
        .charters_refused
        .extend(refused.into_iter().filter(|refused| *refused != hash));
    state.charter_adopted = Some(hash);
    state
        .charters_seen
        .retain(|seen| seen.link.charter.version != version);
    if let Some(link) = chosen {
        let chain = chain
            .switched(&link.envelope)
            .map_err(|_| WireError::Contradiction)?;
        state.charter_since = record.time;
        go_by(state, chain);
    }
    Ok(())
}

pub(super) fn proposal(state: &mut State, record: &Record, body: &Bytes) -> Result<(), WireError> {
    let mut proposal = wire::decode_proposal(body)?;
    let id = proposal.id();
    let mut since = record.time;
    if let Some(before) = state.proposals.get(&id) {
        // One that waited in vain and is signed again waits anew.
        if record.time.since(before.since) < PROPOSAL_LIFE {
            since = before.since;
        }
        proposal
            .merge(&before.proposal)
            .map_err(|_| WireError::Contradiction)?;
    }
    if !is_settled(state, &proposal) {
        state.proposals.insert(id, Waiting { proposal, since });
    }
    Ok(())
}

pub(super) fn member(state: &mut State, body: &Bytes) -> Result<(), WireError> {
    let known = wire::decode_member(body)?;
    let network = state.network.clone().ok_or(WireError::Contradiction)?;
    // An expired or superseded statement in the journal is history, not damage.
    let _outdated = state.members.restore(&known, &network.id, &network.chain);
    settle(state, network.chain.in_force());
    let waiting: Vec<[u8; 32]> = state.joins.keys().copied().collect();
    for ticket in waiting {
        admit_waiting(state, &ticket);
    }
    Ok(())
}

/// Who was thrown out: a node that has lost that serves nobody.
pub(super) fn revocations(state: &mut State, body: &Bytes) -> Result<(), WireError> {
    let list = wire::decode_revocations(body)?;
    let network = state.network.clone().ok_or(WireError::Contradiction)?;
    state
        .trust
        .revocations
        .restore(&list, &network.id, &network.chain)
        .map_err(|_| WireError::Contradiction)?;
    state.members.revoke(state.trust.revocations.members());
    settle(state, network.chain.in_force());
    Ok(())
}

pub(super) fn heartbeat(state: &mut State, body: &Bytes) -> Result<(), WireError> {
    let heartbeat = wire::decode_heartbeat(body)?;
    let network = state.network.as_ref().ok_or(WireError::Contradiction)?;
    state
        .trust
        .restore(&heartbeat, &network.id, &network.chain)
        .map_err(|_| WireError::Contradiction)
}

/// A request to join is approved once its applicant has a credential, whoever completed it and
/// however it came here.
pub(super) fn admit_waiting(state: &mut State, ticket: &[u8; 32]) {
    let Some(join) = state.joins.get(ticket) else {
        return;
    };
    let waits = join.record.state == JoinState::Pending;
    let Some(request) = join
        .record
        .request
        .claims::<JoinRequest>()
        .ok()
        .filter(|_| waits)
    else {
        return;
    };
    let credential = state
        .members
        .get(&request.member)
        .filter(|member| member.node_key() == request.node_key)
        .map(|member| member.known().credential.clone());
    if let Some(credential) = credential
        && let Some(join) = state.joins.get_mut(ticket)
        && credential.claims::<Credential>().is_ok()
    {
        join.record.state = JoinState::Approved;
        join.record.credential = Some(credential);
    }
}

impl State {
    /// Whether what is true by now forbids what a proposal proposes, whoever signs it.
    pub(super) fn outdates(&self, proposed: &Proposed) -> bool {
        match proposed {
            Proposed::RevocationList(list) => !self.trust.revocations.precede(list),
            Proposed::Credential(credential) => self.trust.revocations.names(&credential.member),
            Proposed::Charter(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::{Envelope, SecretKey},
        flows::Fold,
        membership::ProposalKind,
        types::MemberId,
    };

    fn settled(number: usize) -> Proposal {
        Proposal {
            kind: ProposalKind::Charter,
            signed: Envelope {
                body: number.to_be_bytes().to_vec().into(),
                signatures: Vec::new(),
            },
        }
    }

    #[test]
    fn proposals_per_authority_max_that_were_settled_are_remembered_each_as_it_was_last() {
        let fold = Fold::new(MemberId([9; 16]), SecretKey::default());
        let mut state = fold.lock();
        for number in 0..PROPOSALS_PER_AUTHORITY_MAX {
            remember_settled(&mut state, settled(number));
        }
        let mut signed = settled(7);
        signed.signed.signatures.push(([1; 32], [2; 64]));

        remember_settled(&mut state, signed.clone());
        assert_eq!(state.settled.len(), PROPOSALS_PER_AUTHORITY_MAX);
        assert!(settled_of(&state, signed.id()) == Some(signed));
        assert!(settled_of(&state, settled(0).id()).is_some());
        remember_settled(&mut state, settled(PROPOSALS_PER_AUTHORITY_MAX));

        assert_eq!(state.settled.len(), PROPOSALS_PER_AUTHORITY_MAX);
        assert!(settled_of(&state, settled(0).id()).is_none(), "the oldest");
        assert!(settled_of(&state, settled(1).id()).is_some());
    }
}
