//! Founding a network: alone, or by files that several authorities sign.

use super::{
    cosign::{ProposalView, refused},
    error::FlowError,
    node::{Actor, Node, push_audit},
    state::Network,
    trust::push_heartbeat,
};
use crate::{
    audit,
    crypto::Envelope,
    membership::{
        self, AuthorityOffer, Chain, Charter, CharterError, Founding, Keys, Known, Link, Proposal,
        ProposalKind, Proposed, majority,
    },
    ports::World,
    records::{Batch, RecordKind, Scope, TurnGuard},
    types::Code,
    wire,
};

/// A charter and the credentials of its authorities, to be signed by them.
#[derive(Clone)]
pub struct FoundingFile {
    /// The charter first.
    pub proposals: Vec<Proposal>,
    /// What each says and who signed it.
    pub views: Vec<ProposalView>,
}

impl<W: World> Node<W> {
    /// Founds a network with this node's authority key as the only one. A request to join another
    /// stands in its way until it is refused or its ticket has run out.
    ///
    /// # Errors
    /// [`Code::AlreadyInNetwork`], or [`FlowError::Store`].
    pub async fn found(&self, actor: &Actor, founding: Founding) -> Result<Network, FlowError> {
        let registration = self.registration().await;
        let alone = Founding {
            threshold: 1,
            ..founding
        };
        let file = self.founding_proposals(alone, &[], Vec::new())?;
        self.begin_network(actor, &file.proposals, &registration)
            .await
    }

    /// Proposes a network of several authorities: its charter and their credentials, signed by this
    /// node. Nothing is founded until enough of them have signed the file.
    ///
    /// # Errors
    /// [`Code::AlreadyInNetwork`], [`Code::RulesMalformed`] where no node would accept the charter.
    pub fn propose_founding(
        &self,
        founding: Founding,
        offers: &[AuthorityOffer],
        recovery: Vec<[u8; 32]>,
    ) -> Result<FoundingFile, FlowError> {
        self.founding_proposals(founding, offers, recovery)
    }

    fn founding_proposals(
        &self,
        founding: Founding,
        offers: &[AuthorityOffer],
        recovery: Vec<[u8; 32]>,
    ) -> Result<FoundingFile, FlowError> {
        self.need_no_network()?;
        let mut all = vec![self.own_offer()];
        all.extend_from_slice(offers);
        let founding = Founding {
            authorities: all.iter().map(|offer| offer.authority_key).collect(),
            ..founding
        };
        let keys = Keys {
            status: all.iter().map(|offer| offer.status_key).collect(),
            status_threshold: majority(all.len()),
            recovery,
        };
        let charter = Charter::genesis_with(founding, keys, self.now(), self.random())
            .map_err(|error| unusable(&error))?;
        let genesis = Proposal::unsigned(ProposalKind::Charter, &charter);
        let link = Link::claimed(&genesis.signed).map_err(|error| unusable(&error))?;
        let mut proposals = vec![genesis];
        for offer in &all {
            let credential =
                self.credential_for(link.network, offer.subject(), offer.organization.clone(), 1)?;
            proposals.push(Proposal::unsigned(ProposalKind::Credential, &credential));
        }
        self.sign_file(&link, proposals)
    }

    /// What this node offers to a founder.
    pub fn own_offer(&self) -> AuthorityOffer {
        AuthorityOffer {
            authority_key: self.identity().authority.public(),
            status_key: self.identity().status().public(),
            member: self.member(),
            node_key: self.node_key(),
            organization: self.identity().organization.clone(),
        }
    }

    /// The same, signed by every key it names.
    pub fn signed_offer(&self) -> Envelope {
        let identity = self.identity();
        self.own_offer()
            .signed(&identity.authority, &identity.status(), &identity.node)
    }

    fn sign_file(
        &self,
        link: &Link,
        mut proposals: Vec<Proposal>,
    ) -> Result<FoundingFile, FlowError> {
        let mut views = Vec::with_capacity(proposals.len());
        for proposal in &mut proposals {
            proposal
                .sign(&self.identity().authority, link)
                .map_err(|error| refused(&error))?;
            let view = self.viewed(proposal, link).ok_or(FlowError::Usage {
                code: Code::ProposalRefused,
            })?;
            views.push(view);
        }
        Ok(FoundingFile { proposals, views })
    }

    /// What the proposals of a file say, and who signed them; nothing is signed.
    ///
    /// # Errors
    /// [`Code::ProposalRefused`], [`Code::Signature`], [`Code::NoNetwork`].
    pub fn read_file(&self, proposals: &[Proposal]) -> Result<Vec<ProposalView>, FlowError> {
        let link = self.ground(proposals)?;
        let views = proposals.iter().map(|proposal| {
            if !proposal.signed.signatures.is_empty() {
                proposal.verify(&link).map_err(|error| refused(&error))?;
            }
            self.viewed(proposal, &link).ok_or(FlowError::Usage {
                code: Code::ProposalRefused,
            })
        });
        views.collect()
    }

    /// The version of the charter that a file is judged by: the one in force, or for a founding its own.
    fn ground(&self, proposals: &[Proposal]) -> Result<Link, FlowError> {
        let first = proposals.first().ok_or(FlowError::Usage {
            code: Code::ProposalRefused,
        })?;
        if let Ok(Proposed::Charter(charter)) = first.proposed()
            && charter.version == 0
        {
            return Link::claimed(&first.signed).map_err(|error| unusable(&error));
        }
        Ok(Link::clone(self.network()?.chain.in_force()))
    }

    /// Signs every proposal of a file. One for this node's network is recorded as well, and becomes
    /// true here where nothing is missing.
    ///
    /// # Errors
    /// As [`Self::cosign`] and [`Self::read_file`].
    pub async fn cosign_file(
        &self,
        actor: &Actor,
        proposals: Vec<Proposal>,
    ) -> Result<FoundingFile, FlowError> {
        self.read_file(&proposals)?;
        let link = self.ground(&proposals)?;
        if link.charter.version == 0 && self.network_id() != Some(link.network) {
            return self.sign_file(&link, proposals);
        }
        let mut file = FoundingFile {
            proposals: Vec::new(),
            views: Vec::new(),
        };
        for proposal in proposals {
            self.accept_proposal(proposal.clone()).await?;
            let id = proposal.id();
            let waits = self.state().proposals.contains_key(&id);
            let view = if waits {
                self.cosign(actor, id).await?
            } else {
                // Its signatures alone made it true.
                self.viewed(&proposal, &link).ok_or(FlowError::Usage {
                    code: Code::ProposalRefused,
                })?
            };
            file.proposals.push(view.proposal.clone());
            file.views.push(view);
        }
        Ok(file)
    }

    /// Takes the proposals of a file as if another authority had brought them.
    ///
    /// # Errors
    /// As [`Self::read_file`]; [`Code::QuorumRequired`] where signatures are missing.
    pub async fn take_file(&self, proposals: Vec<Proposal>) -> Result<(), FlowError> {
        for view in self.read_file(&proposals)? {
            need_complete(&view)?;
        }
        for proposal in proposals {
            self.accept_proposal(proposal).await?;
        }
        Ok(())
    }

    /// Founds the network of a file that enough authorities have signed; this node becomes a member by
    /// the credential it has there.
    ///
    /// # Errors
    /// [`Code::QuorumRequired`] where signatures are missing, [`Code::NotAuthority`] where the file has
    /// no credential for this node, [`Code::AlreadyInNetwork`], [`FlowError::Store`].
    pub async fn found_by_file(
        &self,
        actor: &Actor,
        proposals: &[Proposal],
    ) -> Result<Network, FlowError> {
        let registration = self.registration().await;
        for view in self.read_file(proposals)? {
            need_complete(&view)?;
        }
        self.begin_network(actor, proposals, &registration).await
    }

    async fn begin_network(
        &self,
        actor: &Actor,
        proposals: &[Proposal],
        registration: &TurnGuard,
    ) -> Result<Network, FlowError> {
        self.need_no_network()?;
        let (genesis, credentials) = proposals.split_first().ok_or(FlowError::Usage {
            code: Code::ProposalRefused,
        })?;
        let chain = Chain::found(&genesis.signed).map_err(|error| unusable(&error))?;
        let mut batch = Batch::within(registration);
        batch.push(
            RecordKind::Charter,
            Scope::Store,
            wire::encode_charter(&genesis.signed),
        );
        let mut own = false;
        for proposal in credentials {
            let credential = membership::verify_credential(
                &proposal.signed,
                &chain.network(),
                &chain,
                self.now(),
            )
            .map_err(|_| FlowError::Usage {
                code: Code::ProposalRefused,
            })?;
            own |= credential.subject() == self.own_subject();
            let known = Known {
                credential: proposal.signed.clone(),
                key_set: None,
                node_record: None,
            };
            batch.push(
                RecordKind::Member,
                Scope::Store,
                wire::encode_member(&known),
            );
        }
        if !own {
            return Err(FlowError::State {
                code: Code::NotAuthority,
            });
        }
        push_audit(
            &mut batch,
            &audit::Entry {
                member: Some(self.member()),
                actor: actor.name.clone(),
                role: Some(actor.role),
                ..audit::Entry::new(audit::Kind::NetworkFounded)
            },
        );
        let network = Network::of(chain);
        if let Some(heartbeat) = self.beat_alone(&network, None, self.now()) {
            push_heartbeat(&mut batch, &heartbeat);
        }
        self.commit(batch).await?;
        self.refresh_statements();
        Ok(network)
    }
}

fn need_complete(view: &ProposalView) -> Result<(), FlowError> {
    if view.complete {
        return Ok(());
    }
    Err(FlowError::State {
        code: Code::QuorumRequired,
    })
}

/// A founding that no node would accept.
fn unusable(_: &CharterError) -> FlowError {
    FlowError::Usage {
        code: Code::RulesMalformed,
    }
}
