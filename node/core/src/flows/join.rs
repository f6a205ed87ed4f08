//! The applicant's side: ask with a ticket, ask again until it is decided, then be a member.

use super::{
    error::FlowError,
    node::{Actor, Node, push_audit},
    state::Network,
    trust::push_brought,
};
use crate::{
    audit,
    membership::{self, JoinAnswer, JoinRequest, JoinState, NodeRecord, Subject, Ticket},
    ports::{CallError, Rpc, World},
    records::{Batch, RecordKind, Scope},
    types::{
        Code, PeerCode,
        limits::{CALL_TIME_MAX, NODE_RECORD_LIFE},
    },
    wire,
};

impl<W: World> Node<W> {
    /// Remembers a ticket, in place of an earlier one; [`Self::poll_join`] then asks with it, also
    /// after a restart.
    ///
    /// # Errors
    /// [`Code::AlreadyInNetwork`], [`Code::TicketExpired`], [`FlowError::Store`].
    pub async fn join(&self, actor: &Actor, ticket: &Ticket) -> Result<(), FlowError> {
        let registration = self.registration().await;
        if self.state().network.is_some() {
            return Err(FlowError::State {
                code: Code::AlreadyInNetwork,
            });
        }
        if self.now() >= ticket.expiry {
            return Err(FlowError::Usage {
                code: Code::TicketExpired,
            });
        }
        let text = ticket.to_text().map_err(|_| FlowError::Usage {
            code: Code::TicketMalformed,
        })?;
        let mut batch = Batch::within(&registration);
        batch.push(
            RecordKind::JoinAsked,
            Scope::Store,
            wire::encode_join_asked(&text),
        );
        push_audit(
            &mut batch,
            &audit::Entry {
                actor: actor.name.clone(),
                role: Some(actor.role),
                ..audit::Entry::new(audit::Kind::JoinAsked)
            },
        );
        self.commit(batch).await?;
        Ok(())
    }

    /// The ticket this node asked with, while it is no member yet.
    pub fn pending_ticket(&self) -> Option<Ticket> {
        let text = self.state().join_asked.clone()?;
        text.parse().ok()
    }

    /// The six words by which an administrator of the network recognises this applicant.
    pub fn own_words(&self, ticket: &Ticket) -> String {
        self.join_request(ticket).id()
    }

    fn join_request(&self, ticket: &Ticket) -> JoinRequest {
        let now = self.now();
        let mut state = self.state();
        let sequence = state.next_sequence(now);
        let key_set = self.own_key_set(&state.opening, &ticket.network, (now, sequence));
        let record = NodeRecord {
            member: self.member(),
            addresses: state
                .addresses
                .iter()
                .cloned()
                .map(bytes::Bytes::from)
                .collect(),
            sequence,
            expiry: now.plus(NODE_RECORD_LIFE),
            capabilities: state.capabilities.clone(),
            incarnation: self.identity().incarnation,
        };
        let sign = &self.identity().node;
        JoinRequest {
            ticket: ticket.name(),
            mac: [0; 32],
            node_key: self.node_key(),
            member: self.member(),
            key_set,
            organization: self.identity().organization.clone(),
            sent_at: now,
            node_record: Some(sign.sign(&ticket.network, &record)),
        }
        .proved(&ticket.key(), ticket.inviter)
    }

    /// Asks the inviter how the request stands and, once approved, becomes a member.
    ///
    /// # Errors
    /// [`Code::NoNetwork`] where nothing was asked; [`Code::TicketRefused`] where the inviter
    /// refuses the ticket; [`Code::PeerUnreachable`]; [`FlowError::Forged`] where its answer does
    /// not hold.
    pub async fn poll_join(&self) -> Result<JoinState, FlowError> {
        let ticket = self.pending_ticket().ok_or(FlowError::State {
            code: Code::NoNetwork,
        })?;
        let node = ticket.inviter;
        let addresses: Vec<Vec<u8>> = ticket.addresses.iter().map(|a| a.to_vec()).collect();
        self.world.learn(node, &addresses);
        let request = self
            .identity()
            .node
            .sign(&ticket.network, &self.join_request(&ticket));
        let calling = self
            .world
            .call(node, Rpc::Join, wire::encode_envelope(&request));
        let answer = self
            .until(self.now().plus(CALL_TIME_MAX), calling)
            .await
            .ok_or(FlowError::Deadline { node })?;
        let answer = match answer {
            Ok(answer) => answer,
            Err(CallError::Unreachable | CallError::Lost | CallError::Incompatible) => {
                return Err(FlowError::Unreachable { node });
            }
            Err(CallError::Refused(PeerCode::Denied)) => {
                self.give_up_joining(&ticket).await?;
                return Err(FlowError::Denied {
                    code: Code::TicketRefused,
                });
            }
            Err(CallError::Refused(code)) => return Err(FlowError::Peer { node, code }),
        };
        let forged = |code| FlowError::Forged { node, code };
        let envelope = wire::decode_envelope(&answer).map_err(|_| forged(Code::Signature))?;
        let answer = membership::verify_join_answer(
            &envelope,
            &ticket.network,
            &ticket.key(),
            node,
            &request.hash(),
        )
        .map_err(|_| forged(Code::TicketRefused))?;
        match answer.state {
            JoinState::Pending => Ok(JoinState::Pending),
            JoinState::Refused => {
                self.give_up_joining(&ticket).await?;
                Ok(JoinState::Refused)
            }
            JoinState::Approved => {
                self.become_member(&ticket, answer).await?;
                Ok(JoinState::Approved)
            }
        }
    }

    /// Forgets a ticket that the inviter refused, so that another network can be joined or founded.
    async fn give_up_joining(&self, ticket: &Ticket) -> Result<(), FlowError> {
        let registration = self.registration().await;
        // Another ticket may have taken its place while the inviter was asked.
        if self.pending_ticket().map(|pending| pending.name()) != Some(ticket.name()) {
            return Ok(());
        }
        let mut batch = Batch::within(&registration);
        batch.push(
            RecordKind::JoinAsked,
            Scope::Store,
            wire::encode_join_asked(""),
        );
        push_audit(
            &mut batch,
            &audit::Entry {
                code: Some(Code::TicketRefused),
                ..audit::Entry::new(audit::Kind::JoinRefused)
            },
        );
        self.commit(batch).await?;
        Ok(())
    }

    async fn become_member(&self, ticket: &Ticket, answer: JoinAnswer) -> Result<(), FlowError> {
        let registration = self.registration().await;
        if self.state().network.is_some() {
            // Two answers may arrive together; the first made us a member.
            return Ok(());
        }
        let node = ticket.inviter;
        let forged = |code| FlowError::Forged { node, code };
        let applicant = Subject {
            member: self.member(),
            node_key: self.node_key(),
        };
        let admission = answer
            .admission(&ticket.network, applicant, self.now())
            .map_err(|_| forged(Code::Signature))?;
        let mut batch = Batch::within(&registration);
        for version in 0..=admission.chain.in_force().charter.version {
            if let Some(link) = admission.chain.version(version) {
                batch.push(
                    RecordKind::Charter,
                    Scope::Store,
                    wire::encode_charter(&link.envelope),
                );
            }
        }
        batch.push(
            RecordKind::Member,
            Scope::Store,
            wire::encode_member(&membership::Known {
                credential: admission.signed_credential,
                key_set: None,
                node_record: None,
            }),
        );
        push_audit(
            &mut batch,
            &audit::Entry {
                member: Some(self.member()),
                ..audit::Entry::new(audit::Kind::Joined)
            },
        );
        let trusted = Network::of(admission.chain);
        let brought = (answer.revocations.as_ref(), answer.heartbeat.as_ref());
        push_brought(&mut batch, &trusted, brought, self.now())
            .map_err(|_| forged(Code::Signature))?;
        self.commit(batch).await?;
        self.refresh_statements();
        for peer in &answer.peers {
            // A member already: a peer that is not believed today says Hello itself tomorrow.
            let _not_needed = self.take_over(peer).await;
        }
        Ok(())
    }
}
