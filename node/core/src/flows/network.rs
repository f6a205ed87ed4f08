//! Founding a network, inviting, and admitting applicants.

use bytes::Bytes;

use super::{
    error::FlowError,
    node::{Actor, Node, push_audit},
    state::Network,
};
use crate::{
    audit,
    crypto::{Body, Envelope},
    membership::{
        self, Charter, CharterError, Credential, Founding, JoinRecord, JoinRequest, JoinState,
        Known, Organization, Status, Subject, Ticket,
    },
    ports::World,
    records::{Batch, RecordKind, Scope, TicketIssued},
    types::{Code, MemberId, NetworkId, Span, Timestamp, limits::TICKETS_MAX},
    wire,
};

/// A member as an administrator sees it.
#[derive(Clone)]
pub struct MemberView {
    /// Its credential.
    pub credential: Credential,
    /// Whether the credential is in force.
    pub active: bool,
    /// When it last answered or asked.
    pub last_seen: Option<Timestamp>,
    /// Where it can be reached (binary multiaddresses).
    pub addresses: Vec<Vec<u8>>,
}

impl<W: World> Node<W> {
    /// Founds a network with this node's authority key as the only one. A request to join another
    /// stands in its way until it is refused or its ticket has run out.
    ///
    /// # Errors
    /// [`Code::AlreadyInNetwork`], or [`FlowError::Store`].
    pub async fn found(&self, actor: &Actor, founding: Founding) -> Result<Network, FlowError> {
        let _registration = self.registration().await;
        self.need_no_network()?;
        let now = self.now();
        let authority = &self.identity.authority;
        let alone = Founding {
            authorities: vec![authority.public()],
            threshold: 1,
            ..founding
        };
        let charter = Charter::genesis(alone, now, self.random()).map_err(unusable)?;
        let body = charter.encode();
        let id = membership::genesis_id(&body);
        let envelope = authority.sign_bytes::<Charter>(&id, body);
        let (id, charter) = membership::verify_genesis(&envelope).map_err(unusable)?;
        let credential =
            self.credential_for(id, self.own_subject(), self.identity.organization.clone())?;
        let known = Known {
            credential: self.identity.authority.sign(&id, &credential),
            key_set: None,
            node_record: None,
        };
        let mut batch = Batch::default();
        batch.push(
            RecordKind::Charter,
            Scope::Store,
            wire::encode_charter(&envelope),
        );
        batch.push(
            RecordKind::Member,
            Scope::Store,
            wire::encode_member(&known),
        );
        push_audit(
            &mut batch,
            &audit::Entry {
                member: Some(self.member()),
                actor: actor.name.clone(),
                role: Some(actor.role),
                ..audit::Entry::new(audit::Kind::NetworkFounded)
            },
        );
        self.commit(batch).await?;
        self.refresh_statements();
        Ok(Network {
            id,
            charter,
            envelope,
        })
    }

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

    fn own_subject(&self) -> Subject {
        Subject {
            member: self.member(),
            node_key: self.node_key(),
        }
    }

    fn credential_for(
        &self,
        network: NetworkId,
        subject: Subject,
        organization: Organization,
    ) -> Result<Credential, FlowError> {
        Credential::issue(network, subject, organization, 1, self.now()).map_err(|_| {
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

    /// Admits an applicant: signs its credential with this node's authority key.
    ///
    /// # Errors
    /// [`Code::RequestUnknown`], [`Code::NotAuthority`], [`Code::OrganizationActive`],
    /// [`FlowError::Store`].
    pub async fn approve(&self, actor: &Actor, words: &str) -> Result<Credential, FlowError> {
        let _registration = self.registration().await;
        let network = self.network()?;
        let now = self.now();
        let authority = self.identity.authority.public();
        let alone =
            network.charter.authorities.contains(&authority) && network.charter.threshold == 1;
        if !alone {
            return Err(FlowError::State {
                code: Code::NotAuthority,
            });
        }
        let (ticket, request) = {
            let state = self.state();
            state
                .joins
                .iter()
                .filter(|(_, join)| state.awaits(&join.record, now))
                .filter_map(|(ticket, join)| {
                    let request = join.record.request.claims::<JoinRequest>().ok()?;
                    (request.id() == words).then_some((*ticket, request))
                })
                .next()
                .ok_or(FlowError::NotFound {
                    code: Code::RequestUnknown,
                })?
        };
        let taken = {
            let state = self.state();
            state
                .members
                .organization_active(&request.organization, request.member, now)
                .is_some()
                || state.members.get(&request.member).is_some()
        };
        if taken {
            return Err(FlowError::State {
                code: Code::OrganizationActive,
            });
        }
        let credential =
            self.credential_for(network.id, request.subject(), request.organization.clone())?;
        let signed = self.identity.authority.sign(&network.id, &credential);
        self.record_approval(actor, ticket, &request, signed)
            .await?;
        Ok(credential)
    }

    async fn record_approval(
        &self,
        actor: &Actor,
        ticket: [u8; 32],
        request: &JoinRequest,
        credential: Envelope,
    ) -> Result<(), FlowError> {
        let envelope = self
            .state()
            .joins
            .get(&ticket)
            .map(|join| join.record.request.clone())
            .ok_or(FlowError::NotFound {
                code: Code::RequestUnknown,
            })?;
        let mut batch = Batch::default();
        batch.push(
            RecordKind::Join,
            Scope::Store,
            wire::encode_join(&JoinRecord {
                ticket,
                request: envelope,
                state: JoinState::Approved,
                credential: Some(credential.clone()),
            }),
        );
        batch.push(
            RecordKind::Member,
            Scope::Store,
            wire::encode_member(&Known {
                credential,
                key_set: Some(request.key_set.clone()),
                node_record: request.node_record.clone(),
            }),
        );
        push_audit(
            &mut batch,
            &audit::Entry {
                member: Some(request.member),
                actor: actor.name.clone(),
                role: Some(actor.role),
                ..audit::Entry::new(audit::Kind::MemberAdmitted)
            },
        );
        self.commit(batch).await?;
        if let Some(addresses) = self
            .state()
            .members
            .get(&request.member)
            .map(super::state::addresses_of)
        {
            self.world.learn(request.node_key, &addresses);
        }
        Ok(())
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
                    active: member.status(now) == Status::Active,
                    last_seen: member.last_seen(),
                    addresses: super::state::addresses_of(member),
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

/// A founding that no node would accept.
fn unusable(_: CharterError) -> FlowError {
    FlowError::Usage {
        code: Code::RulesMalformed,
    }
}
