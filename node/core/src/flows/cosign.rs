//! Signing what several authorities must sign: propose, look at the exact bytes, sign, complete.

use super::{
    error::FlowError,
    news::Audience,
    node::{Actor, Node, push_audit},
    standing,
    state::{Network, State, Waiting},
};
use crate::{
    audit,
    membership::{
        Credential, Known, Line, Link, Proposal, ProposalError, ProposalKind, Proposed, Standing,
        describe,
    },
    ports::World,
    records::{Batch, Matter, RecordKind, Scope, TurnGuard},
    types::{
        Code, MemberId, ProposalId, Timestamp,
        limits::{PROPOSAL_LIFE, PROPOSALS_PER_AUTHORITY_MAX},
    },
    wire,
};

/// A proposal as an authority sees it before it signs.
#[derive(Clone)]
pub struct ProposalView {
    /// What it is called.
    pub id: ProposalId,
    /// What it becomes.
    pub kind: ProposalKind,
    /// What it says, in plain words, read from the bytes that are signed.
    pub lines: Vec<Line>,
    /// Authorities that signed.
    pub signed: usize,
    /// How many must.
    pub threshold: u32,
    /// Keys that come in and must sign as well.
    pub missing: Vec<[u8; 32]>,
    /// Whether this node signed.
    pub signed_here: bool,
    /// Whether nothing is missing.
    pub complete: bool,
    /// Since when it waits here; none in a file.
    pub since: Option<Timestamp>,
    /// The bytes themselves.
    pub proposal: Proposal,
}

impl<W: World> Node<W> {
    /// What waits for signatures here, oldest first.
    pub fn proposals(&self) -> Vec<ProposalView> {
        let now = self.now();
        let state = self.state();
        let Some(network) = &state.network else {
            return Vec::new();
        };
        let link = network.chain.in_force();
        let mut views: Vec<ProposalView> = state
            .waiting(now)
            .filter_map(|waiting| {
                let mut view = self.viewed(&waiting.proposal, link)?;
                view.since = Some(waiting.since);
                view.lines.extend(state.replaced(&waiting.proposal));
                Some(view)
            })
            .collect();
        views.sort_by_key(|view| (view.since, view.id));
        views
    }

    /// What waits for this node's own signature, oldest first: as an authority, or as one that comes in.
    pub fn proposals_to_sign(&self) -> Vec<ProposalView> {
        let own = self.identity().authority.public();
        let is_authority = self.is_authority();
        let mut views = self.proposals();
        views.retain(|view| !view.signed_here && (is_authority || view.missing.contains(&own)));
        views
    }

    pub(super) fn viewed(&self, proposal: &Proposal, in_force: &Link) -> Option<ProposalView> {
        let proposed = proposal.check(in_force).ok()?;
        let signatures = proposal.signatures(&proposed, in_force);
        Some(ProposalView {
            id: proposal.id(),
            kind: proposal.kind,
            lines: describe(&proposed, in_force),
            complete: signatures.complete(),
            signed: signatures.signed,
            threshold: signatures.threshold,
            missing: signatures.missing,
            signed_here: proposal.is_signed_by(&self.identity().authority.public()),
            since: None,
            proposal: proposal.clone(),
        })
    }

    /// Signs a proposal that waits here, or waited in vain and is shown no more.
    ///
    /// # Errors
    /// [`Code::ProposalUnknown`], [`Code::NotAuthority`], [`Code::OrganizationActive`],
    /// [`Code::ProposalConflict`], [`Code::CharterFork`], [`FlowError::Store`].
    pub async fn cosign(&self, actor: &Actor, id: ProposalId) -> Result<ProposalView, FlowError> {
        let registration = self.registration().await;
        let network = self.undisputed()?;
        let mut proposal = {
            let state = self.state();
            let named = state.proposals.get(&id);
            let named = named.map(|waiting| waiting.proposal.clone());
            named.ok_or(FlowError::NotFound {
                code: Code::ProposalUnknown,
            })?
        };
        self.sign_proposal(&mut proposal, &network)?;
        self.record_proposal(Some(actor), proposal, &network, &registration)
            .await
    }

    /// The network, where nobody has to decide between two charters first.
    ///
    /// # Errors
    /// [`Code::NoNetwork`] or [`Code::CharterFork`].
    pub(super) fn undisputed(&self) -> Result<Network, FlowError> {
        let network = self.network()?;
        if self.state().is_forked() {
            return Err(FlowError::State {
                code: Code::CharterFork,
            });
        }
        Ok(network)
    }

    /// Signs with this node's authority key, unless it has signed something that excludes it.
    pub(super) fn sign_proposal(
        &self,
        proposal: &mut Proposal,
        network: &Network,
    ) -> Result<(), FlowError> {
        let link = network.chain.in_force();
        let proposed = proposal.check(link).map_err(|error| refused(&error))?;
        {
            let now = self.now();
            let state = self.state();
            let own = self.identity().authority.public();
            match &proposed {
                Proposed::Credential(credential) => {
                    state.check_organization(credential, own, now)?;
                }
                Proposed::RevocationList(list) if !state.trust.revocations.precede(list) => {
                    return Err(FlowError::State {
                        code: Code::ProposalRefused,
                    });
                }
                Proposed::Charter(_) | Proposed::RevocationList(_) => {}
            }
            state.check_rivals(proposal, &proposed, own)?;
        }
        proposal
            .sign(&self.identity().authority, link)
            .map_err(|error| refused(&error))
    }

    /// Writes a proposal as it stands and, where it is complete, what it becomes.
    pub(super) async fn record_proposal(
        &self,
        actor: Option<&Actor>,
        proposal: Proposal,
        network: &Network,
        registration: &TurnGuard,
    ) -> Result<ProposalView, FlowError> {
        let link = network.chain.in_force().clone();
        let (verified, job_link) = (proposal.clone(), link.clone());
        let proposed = self
            .world
            .run(move || verified.verify(&job_link))
            .await
            .map_err(|error| refused(&error))?;
        let view = self.viewed(&proposal, &link).ok_or(FlowError::Usage {
            code: Code::ProposalRefused,
        })?;
        let mut batch = Batch::within(registration);
        batch.push(
            RecordKind::Proposal,
            Scope::Store,
            wire::encode_proposal(&proposal),
        );
        if let Some(actor) = actor {
            push_audit(
                &mut batch,
                &audit::Entry {
                    member: match &proposed {
                        Proposed::Credential(credential) => Some(credential.member),
                        Proposed::Charter(_) | Proposed::RevocationList(_) => None,
                    },
                    actor: actor.name.clone(),
                    role: Some(actor.role),
                    ..audit::Entry::new(audit::Kind::ProposalSigned)
                },
            );
        }
        let mut thrown_out = Vec::new();
        if let Proposed::Credential(credential) = &proposed {
            let turn = self.turn(Matter::Member(credential.member)).await;
            batch.also_within(&turn);
        }
        if view.complete {
            thrown_out = self.push_effect(&mut batch, &proposal, &proposed, network)?;
        }
        self.commit(batch).await?;
        if !thrown_out.is_empty() {
            self.throw_out(&thrown_out).await;
        }
        if let Proposed::Credential(credential) = &proposed {
            self.learn_member(credential);
            if view.complete {
                self.state().news.tell(Audience::All);
            }
        }
        if matches!(proposed, Proposed::Charter(_)) {
            self.refresh_statements();
            if view.complete {
                self.state().news.tell(Audience::All);
            }
        }
        Ok(view)
    }

    /// The records that make a complete proposal true. Returns whom it throws out.
    fn push_effect(
        &self,
        batch: &mut Batch,
        proposal: &Proposal,
        proposed: &Proposed,
        network: &Network,
    ) -> Result<Vec<MemberId>, FlowError> {
        let signed = &proposal.signed;
        let (kind, member) = match proposed {
            Proposed::Charter(_) => {
                self.push_charter(batch, signed, network)?;
                (audit::Kind::CharterChanged, None)
            }
            Proposed::Credential(credential) => {
                let known = self.state().known_of(credential, signed);
                batch.push(
                    RecordKind::Member,
                    Scope::Store,
                    wire::encode_member(&known),
                );
                (audit::Kind::MemberAdmitted, Some(credential.member))
            }
            Proposed::RevocationList(list) => {
                return self.push_cosigned(batch, signed, list, network);
            }
        };
        let entry = audit::Entry {
            member,
            ..audit::Entry::new(kind)
        };
        push_audit(batch, &entry);
        Ok(Vec::new())
    }

    fn push_charter(
        &self,
        batch: &mut Batch,
        signed: &crate::crypto::Envelope,
        network: &Network,
    ) -> Result<(), FlowError> {
        let (standing, _) = network.chain.judge(signed).map_err(|_| FlowError::Usage {
            code: Code::ProposalRefused,
        })?;
        match standing {
            Standing::Next => batch.push(
                RecordKind::Charter,
                Scope::Store,
                wire::encode_charter(signed),
            ),
            // It waits; see `settle_recovery`.
            Standing::Recovery | Standing::Fork => batch.push(
                RecordKind::CharterSeen,
                Scope::Store,
                wire::encode_charter_seen(signed),
            ),
            Standing::Known => {}
        }
        Ok(())
    }

    fn learn_member(&self, credential: &Credential) {
        let addresses = self
            .state()
            .members
            .get(&credential.member)
            .map(super::state::addresses_of);
        if let Some(addresses) = addresses
            && credential.node_key != self.node_key()
        {
            self.world.learn(credential.node_key, &addresses);
        }
    }

    /// Takes a proposal that another authority brings, merged with what is held of it. Returns what is
    /// held afterwards, also of one that is settled.
    ///
    /// # Errors
    /// [`Code::ProposalRefused`] where it does not hold, [`Code::NotAuthority`] where this node could
    /// not sign it anyway, [`Code::OverBudget`] where too many of its signers' wait already.
    pub(super) async fn accept_proposal(
        &self,
        offered: Proposal,
    ) -> Result<Option<Proposal>, FlowError> {
        let network = self.undisputed()?;
        let id = offered.id();
        {
            let state = self.state();
            if standing::is_settled(&state, &offered) {
                return Ok(standing::settled_of(&state, id));
            }
            if let Some(held) = state.proposals.get(&id)
                && held.proposal == offered
            {
                return Ok(Some(offered));
            }
        }
        let (job, link) = (offered.clone(), network.chain.in_force().clone());
        let proposed = self
            .world
            .run(move || job.verify(&link))
            .await
            .map_err(|error| refused(&error))?;
        let registration = self.registration().await;
        // While its signatures were checked somebody else may have brought it, or what outdates it.
        let network = self.undisputed()?;
        if self.state().outdates(&proposed) {
            return Err(FlowError::Usage {
                code: Code::ProposalRefused,
            });
        }
        let merged = {
            let now = self.now();
            let state = self.state();
            if standing::is_settled(&state, &offered) {
                return Ok(standing::settled_of(&state, id));
            }
            let held = state.proposals.get(&id).map(|held| held.proposal.clone());
            if held.is_none() && !state.has_room(&offered, now) {
                return Err(FlowError::State {
                    code: Code::OverBudget,
                });
            }
            let mut merged = held.clone().unwrap_or_else(|| offered.clone());
            merged.merge(&offered).map_err(|error| refused(&error))?;
            if held.as_ref() == Some(&merged) {
                return Ok(held);
            }
            merged
        };
        let view = self
            .record_proposal(None, merged, &network, &registration)
            .await?;
        Ok(Some(view.proposal))
    }
}

/// A proposal that cannot be signed or taken.
pub(super) fn refused(error: &ProposalError) -> FlowError {
    let code = match error {
        ProposalError::Signer => Code::NotAuthority,
        ProposalError::Signature(_) => Code::Signature,
        ProposalError::Chain(_)
        | ProposalError::Statement(_)
        | ProposalError::List(_)
        | ProposalError::Network
        | ProposalError::Differs => Code::ProposalRefused,
    };
    FlowError::State { code }
}

impl State {
    /// Whether two charters of one number wait for somebody to decide.
    pub(super) fn is_forked(&self) -> bool {
        self.charters_seen
            .iter()
            .any(|seen| seen.standing == Standing::Fork)
    }

    /// What waits for signatures and has not waited too long.
    pub(super) fn waiting(&self, now: Timestamp) -> impl Iterator<Item = &Waiting> {
        let waiting = self.proposals.values();
        waiting.filter(move |waiting| now.since(waiting.since) < PROPOSAL_LIFE)
    }

    /// An authority signs one credential for an NPI or OID, whoever asks, and one for a member and
    /// sequence.
    fn check_organization(
        &self,
        credential: &Credential,
        own: [u8; 32],
        now: Timestamp,
    ) -> Result<(), FlowError> {
        let taken = || FlowError::State {
            code: Code::OrganizationActive,
        };
        if self.trust.revocations.names(&credential.member) {
            return Err(FlowError::State {
                code: Code::KeyRevoked,
            });
        }
        let organization = &credential.organization;
        if self
            .members
            .organization_active(organization, credential.member, now)
            .is_some()
        {
            return Err(taken());
        }
        let waiting = self.waiting(now);
        let signed = waiting.filter(|waiting| waiting.proposal.is_signed_by(&own));
        for waiting in signed {
            if let Ok(Proposed::Credential(other)) = waiting.proposal.proposed()
                && other.member != credential.member
                && other.organization.is_same_as(organization)
            {
                return Err(taken());
            }
        }
        Ok(())
    }

    /// Nobody signs two charters of one number, or two credentials of one member and sequence: that is
    /// how a network falls in two. Where authorities that did not know of each other have drawn up the
    /// same credential or list, each may sign the one of smaller hash too, so that one is completed.
    fn check_rivals(
        &self,
        proposal: &Proposal,
        proposed: &Proposed,
        own: [u8; 32],
    ) -> Result<(), FlowError> {
        let rival = |other: &Proposed| match (proposed, other) {
            (Proposed::Charter(one), Proposed::Charter(other)) => one.version == other.version,
            (Proposed::Credential(one), Proposed::Credential(other)) => {
                one.member == other.member && one.sequence == other.sequence
            }
            (Proposed::RevocationList(one), Proposed::RevocationList(other)) => {
                one.version == other.version
            }
            _ => false,
        };
        let hash = proposal.signed.hash();
        let may_follow = |other: &Proposed, signed: &Proposal| {
            !matches!(other, Proposed::Charter(_))
                && proposed.says_the_same(other)
                && hash < signed.signed.hash()
        };
        let conflict = self
            .proposals
            .values()
            .map(|waiting| &waiting.proposal)
            .filter(|other| other.signed.body != proposal.signed.body && other.is_signed_by(&own))
            .any(|signed| {
                let other = signed.proposed();
                other.is_ok_and(|other| rival(&other) && !may_follow(&other, signed))
            });
        if conflict {
            return Err(FlowError::State {
                code: Code::ProposalConflict,
            });
        }
        Ok(())
    }

    /// Whether any of the signers of a proposal may have one more waiting here, so that an authority
    /// which floods fills its own share only.
    fn has_room(&self, offered: &Proposal, now: Timestamp) -> bool {
        offered.signed.claimed_signers().iter().any(|signer| {
            let waiting = self.waiting(now);
            let own = waiting.filter(|waiting| waiting.proposal.is_signed_by(signer));
            own.count() < PROPOSALS_PER_AUTHORITY_MAX
        })
    }

    /// What is known of a member once it has a credential: its statements come from its request.
    fn known_of(&self, credential: &Credential, signed: &crate::crypto::Envelope) -> Known {
        let request = self
            .joins
            .values()
            .filter_map(|join| {
                let request = &join.record.request;
                request.claims::<crate::membership::JoinRequest>().ok()
            })
            .find(|request| request.subject() == credential.subject());
        Known {
            credential: signed.clone(),
            key_set: request.as_ref().map(|request| request.key_set.clone()),
            node_record: request.and_then(|request| request.node_record),
        }
    }
}
