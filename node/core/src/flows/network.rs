//! Inviting, admitting applicants, and who is a member.

use bytes::Bytes;

use super::{
    cosign::ProposalView,
    error::FlowError,
    node::{Actor, Node, push_audit},
    state::Network,
};
use crate::{
    audit,
    membership::{
        Credential, JoinRequest, Organization, Proposal, ProposalKind, Status, Subject, Ticket,
        capability,
    },
    ports::World,
    records::{Batch, RecordKind, Scope, TicketIssued, TurnGuard},
    types::{Code, MemberId, NetworkId, Span, Timestamp, limits::TICKETS_MAX},
    wire,
};

/// A member as an administrator sees it.
#[derive(Clone)]
pub struct MemberView {
    /// Its credential.
    pub credential: Credential,
    /// Whether it may be dealt with.
    pub status: Status,
    /// When it last answered or asked.
    pub last_seen: Option<Timestamp>,
    /// Where it can be reached (binary multiaddresses).
    pub addresses: Vec<Vec<u8>>,
    /// Whether it relays for other members.
    pub relays: bool,
}

/// What an authority said to a request to join.
#[derive(Clone)]
pub struct Approval {
    /// The credential proposed.
    pub credential: Credential,
    /// Who has signed it.
    pub view: ProposalView,
}

impl<W: World> Node<W> {
    pub(super) fn need_no_network(&self) -> Result<(), FlowError> {
        let asked = self
            .pending_ticket()
            .is_some_and(|ticket| self.now() < ticket.expiry);
        if self.state().network.is_some() || asked {
            return Err(FlowError::State {
                code: Code::AlreadyInNetwork,
            });
        }
        Ok(())
    }

    pub(super) fn own_subject(&self) -> Subject {
        Subject {
            member: self.member(),
            node_key: self.node_key(),
        }
    }

    pub(super) fn credential_for(
        &self,
        network: NetworkId,
        subject: Subject,
        organization: Organization,
        sequence: u64,
    ) -> Result<Credential, FlowError> {
        Credential::issue(network, subject, organization, sequence, self.now()).map_err(|_| {
            FlowError::Usage {
                code: Code::OrganizationMalformed,
            }
        })
    }

    /// Makes a ticket that lets one applicant ask to join.
    ///
    /// # Errors
    /// [`Code::NoNetwork`], [`FlowError::Store`], or [`Code::Usage`] where too many are outstanding.
    pub async fn invite(&self, actor: &Actor, valid: Span) -> Result<Ticket, FlowError> {
        let network = self.network()?;
        let now = self.now();
        let addresses = {
            let state = self.state();
            let outstanding = state
                .tickets
                .values()
                .filter(|ticket| now < ticket.expiry)
                .count();
            if outstanding >= TICKETS_MAX {
                return Err(FlowError::Usage { code: Code::Usage });
            }
            state.addresses.iter().cloned().map(Bytes::from).collect()
        };
        let ticket = Ticket {
            network: network.id,
            inviter: self.node_key(),
            addresses,
            expiry: now.plus(valid),
            secret: self.random::<16>().into(),
        };
        let mut batch = Batch::default();
        batch.push(
            RecordKind::TicketIssued,
            Scope::Store,
            wire::encode_ticket_issued(&TicketIssued {
                key: ticket.key(),
                expiry: ticket.expiry,
            }),
        );
        push_audit(
            &mut batch,
            &audit::Entry {
                actor: actor.name.clone(),
                role: Some(actor.role),
                ..audit::Entry::new(audit::Kind::TicketIssued)
            },
        );
        self.commit(batch).await?;
        Ok(ticket)
    }

    /// Join requests that wait, each with the six words of its applicant.
    pub fn join_requests(&self) -> Vec<(String, JoinRequest, Timestamp)> {
        let now = self.now();
        let state = self.state();
        state
            .joins
            .values()
            .filter(|join| state.awaits(&join.record, now))
            .filter_map(|join| {
                let request = join.record.request.claims::<JoinRequest>().ok()?;
                Some((request.id(), request, join.received))
            })
            .collect()
    }

    /// Proposes to admit an applicant and signs as an authority. Where one signature is enough it is
    /// admitted at once; else the other authorities are shown the proposal, and the applicant collects
    /// its credential here once enough of them have signed.
    ///
    /// # Errors
    /// [`Code::RequestUnknown`], [`Code::NotAuthority`], [`Code::OrganizationActive`],
    /// [`Code::ProposalConflict`], [`Code::CharterFork`], [`FlowError::Store`].
    pub async fn approve(&self, actor: &Actor, words: &str) -> Result<Approval, FlowError> {
        let registration = self.registration().await;
        let network = self.undisputed()?;
        self.need_authority(&network)?;
        let request = self.waiting_request(|request| request.id() == words)?;
        if self.state().members.get(&request.member).is_some() {
            return Err(FlowError::State {
                code: Code::OrganizationActive,
            });
        }
        let subject = request.subject();
        self.propose_credential(
            actor,
            (subject, request.organization, 1),
            &network,
            &registration,
        )
        .await
    }

    pub(super) fn need_authority(&self, network: &Network) -> Result<(), FlowError> {
        let authority = self.identity().authority.public();
        if !network.charter.authorities.contains(&authority) {
            return Err(FlowError::State {
                code: Code::NotAuthority,
            });
        }
        Ok(())
    }

    /// A request that waits for a decision.
    pub(super) fn waiting_request(
        &self,
        wanted: impl Fn(&JoinRequest) -> bool,
    ) -> Result<JoinRequest, FlowError> {
        let now = self.now();
        let state = self.state();
        let waiting = state
            .joins
            .values()
            .filter(|join| state.awaits(&join.record, now));
        waiting
            .filter_map(|join| join.record.request.claims::<JoinRequest>().ok())
            .find(wanted)
            .ok_or(FlowError::NotFound {
                code: Code::RequestUnknown,
            })
    }

    pub(super) async fn propose_credential(
        &self,
        actor: &Actor,
        (subject, organization, sequence): (Subject, Organization, u64),
        network: &Network,
        registration: &TurnGuard,
    ) -> Result<Approval, FlowError> {
        let credential = self.credential_for(network.id, subject, organization, sequence)?;
        let proposal = Proposal::unsigned(ProposalKind::Credential, &credential);
        let view = self.propose(actor, proposal, network, registration).await?;
        let signed = view.proposal.signed.claims::<Credential>();
        Ok(Approval {
            credential: signed.unwrap_or(credential),
            view,
        })
    }

    /// Whether an admitted member has collected its credential since this node started.
    pub fn delivered(&self, member: MemberId) -> bool {
        let state = self.state();
        state
            .members
            .get(&member)
            .is_some_and(|member| member.last_seen().is_some())
            || state.joins.values().any(|join| {
                join.delivered
                    && join
                        .record
                        .request
                        .claims::<JoinRequest>()
                        .is_ok_and(|request| request.member == member)
            })
    }

    /// All members, this node included, in order of member id.
    pub fn member_views(&self) -> Vec<MemberView> {
        let now = self.now();
        let state = self.state();
        state
            .members
            .iter()
            .map(|member| {
                let credential = member.credential().clone();
                MemberView {
                    status: member.status(now),
                    last_seen: member.last_seen(),
                    addresses: super::state::addresses_of(member),
                    relays: member
                        .node_record()
                        .is_some_and(|record| record.can(capability::RELAY)),
                    credential,
                }
            })
            .collect()
    }

    /// The network this node belongs to, if any.
    pub fn current_network(&self) -> Option<Network> {
        self.state().network.clone()
    }
}
