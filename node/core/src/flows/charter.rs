//! Versions of the charter: proposed, exchanged, disputed, decided.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    cosign::ProposalView,
    error::FlowError,
    news::Audience,
    node::{Actor, Node, push_audit},
};
use crate::{
    audit,
    crypto::{Envelope, SigningKey},
    membership::{
        Amendment, Chain, Charter, Credential, Known, Line, Link, Proposal, ProposalKind, Standing,
        Status, differences,
    },
    ports::{CallError, Rpc, World},
    records::{Batch, RecordKind, Scope, TurnGuard},
    session::SessionError,
    types::{
        Code, MemberId, NodeKey, PeerCode, Timestamp,
        limits::{CALL_TIME_MAX, CHARTERS_SEEN_MAX, RECOVERY_WAIT},
    },
    wire::{self, CharterAnswer, CharterRequest},
};

/// A valid charter that is not in force, as an administrator sees it.
#[derive(Clone)]
pub struct DisputedCharter {
    /// SHA-256 of its body: what `adopt` names.
    pub hash: [u8; 32],
    /// Its number.
    pub version: u64,
    /// One side of a fork, or a recovery that waits.
    pub standing: Standing,
    /// Since when this node knows it.
    pub first_seen: Timestamp,
    /// When it takes effect by itself; none where somebody must decide.
    pub takes_effect: Option<Timestamp>,
    /// The charter of that number that is in force; none where it follows the newest.
    pub rival: Option<[u8; 32]>,
    /// What would change here if it were in force.
    pub changes: Vec<Line>,
}

/// The charter that a node goes by, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CharterInForce {
    /// Its number.
    pub version: u64,
    /// SHA-256 of its body.
    pub hash: [u8; 32],
    /// Since when this node goes by it.
    pub since: Timestamp,
    /// How it came to be in force.
    pub by: CharterBy,
}

/// How a charter came to be in force at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CharterBy {
    /// It founded the network.
    Founding,
    /// The authorities of the version before it signed it.
    Authorities,
    /// Holders of recovery keys replaced the authorities.
    Recovery,
    /// An administrator of this node decided for it, and against another of its number.
    Adoption,
}

/// What came of a charter that somebody brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Considered {
    /// It is in force.
    InForce,
    /// It is kept as evidence, or waits.
    Seen,
    /// Nothing changed.
    Nothing,
}

impl<W: World> Node<W> {
    /// Proposes the next version of the charter and signs it.
    ///
    /// # Errors
    /// [`Code::RulesMalformed`] where it could not be believed, and as [`Self::cosign`].
    pub async fn amend(
        &self,
        actor: &Actor,
        amendment: &Amendment,
    ) -> Result<ProposalView, FlowError> {
        let registration = self.registration().await;
        let network = self.undisputed()?;
        let charter = self.amended(network.chain.in_force(), amendment)?;
        let proposal = Proposal::unsigned(ProposalKind::Charter, &charter);
        self.propose(actor, proposal, &network, &registration).await
    }

    /// Proposes other authorities in the name of the recovery keys of the genesis. Once enough of them
    /// have signed it waits [`RECOVERY_WAIT`] at every node before it takes effect.
    ///
    /// # Errors
    /// As [`Self::amend`]; [`Code::NotAuthority`] where a key is no recovery key.
    pub async fn recover(
        &self,
        actor: &Actor,
        amendment: &Amendment,
        keys: &[SigningKey],
    ) -> Result<ProposalView, FlowError> {
        let registration = self.registration().await;
        let network = self.undisputed()?;
        let link = network.chain.in_force();
        let charter = self.amended(link, amendment)?;
        let mut proposal = Proposal::unsigned(ProposalKind::Charter, &charter);
        for key in keys {
            proposal
                .sign(key, link)
                .map_err(|error| super::cosign::refused(&error))?;
        }
        if charter
            .authorities
            .contains(&self.identity().authority.public())
        {
            proposal
                .sign(&self.identity().authority, link)
                .map_err(|error| super::cosign::refused(&error))?;
        }
        self.record_proposal(Some(actor), proposal, &network, &registration)
            .await
    }

    fn amended(&self, link: &Link, amendment: &Amendment) -> Result<Charter, FlowError> {
        link.amended(amendment, self.now(), self.random())
            .map_err(|_| FlowError::Usage {
                code: Code::RulesMalformed,
            })
    }

    /// Valid charters that are not in force: forks that somebody must decide, recoveries that wait.
    pub fn disputed_charters(&self) -> Vec<DisputedCharter> {
        let state = self.state();
        let chain = state.network.as_ref().map(|network| network.chain.clone());
        state
            .charters_seen
            .iter()
            .map(|seen| {
                let version = seen.link.charter.version;
                DisputedCharter {
                    hash: seen.link.hash,
                    version,
                    standing: seen.standing.clone(),
                    first_seen: seen.first_seen,
                    takes_effect: (seen.standing == Standing::Recovery)
                        .then(|| seen.first_seen.plus(RECOVERY_WAIT)),
                    rival: chain
                        .as_ref()
                        .and_then(|chain| chain.version(version))
                        .map(|link| link.hash),
                    changes: chain.as_ref().map_or_else(Vec::new, |chain| {
                        differences(&chain.in_force().charter, &seen.link.charter)
                    }),
                }
            })
            .collect()
    }

    /// The charter in force; none where this node belongs to no network.
    pub fn charter_in_force(&self) -> Option<CharterInForce> {
        let state = self.state();
        let link = state.network.as_ref()?.chain.in_force();
        let by = if state.charter_adopted == Some(link.hash) {
            CharterBy::Adoption
        } else if link.charter.version == 0 {
            CharterBy::Founding
        } else if link.is_by_recovery() {
            CharterBy::Recovery
        } else {
            CharterBy::Authorities
        };
        Some(CharterInForce {
            version: link.charter.version,
            hash: link.hash,
            since: state.charter_since,
            by,
        })
    }

    /// Decides for one of two charters of one number; the other is never believed again. Returns what
    /// that changes at this node.
    ///
    /// # Errors
    /// [`Code::ProposalUnknown`] where no fork has a charter of that hash, [`FlowError::Store`].
    pub async fn adopt(&self, actor: &Actor, hash: [u8; 32]) -> Result<Vec<Line>, FlowError> {
        let registration = self.registration().await;
        let (before, members) = (self.network()?.charter, self.active_members());
        let known = self.disputed_charters().into_iter().any(|disputed| {
            disputed.standing == Standing::Fork
                && (disputed.hash == hash || disputed.rival == Some(hash))
        });
        if !known {
            return Err(FlowError::NotFound {
                code: Code::ProposalUnknown,
            });
        }
        let mut batch = Batch::within(&registration);
        batch.push(
            RecordKind::CharterAdopted,
            Scope::Store,
            wire::encode_charter_adopted(&hash),
        );
        push_audit(
            &mut batch,
            &audit::Entry {
                actor: actor.name.clone(),
                role: Some(actor.role),
                ..audit::Entry::new(audit::Kind::CharterAdopted)
            },
        );
        self.commit(batch).await?;
        self.refresh_statements();
        let mut changes = differences(&before, &self.network()?.charter);
        let still = self.active_members();
        let out = members.iter().filter(|(id, _)| !still.contains_key(*id));
        changes.extend(out.map(|(_, name)| Line {
            name: "member no more, until reissued".to_owned(),
            value: name.clone(),
        }));
        Ok(changes)
    }

    fn active_members(&self) -> BTreeMap<MemberId, String> {
        let (now, state) = (self.now(), self.state());
        let members = state.members.iter();
        let active = members.filter(|member| member.status(now) == Status::Active);
        let named = active.map(|member| (member.id(), member.organization().name.clone()));
        named.collect()
    }

    /// Puts a recovery in force whose time has come. Returns whether it did.
    ///
    /// # Errors
    /// [`FlowError::Store`].
    pub async fn settle_recovery(&self) -> Result<bool, FlowError> {
        let registration = self.registration().await;
        let now = self.now();
        let due = {
            let state = self.state();
            let mut seen = state.charters_seen.iter();
            let due = seen.find(|seen| {
                seen.standing == Standing::Recovery && now >= seen.first_seen.plus(RECOVERY_WAIT)
            });
            due.map(|seen| seen.link.envelope.clone())
        };
        let Some(envelope) = due.filter(|_| !self.state().is_forked()) else {
            return Ok(false);
        };
        self.record_charter(RecordKind::Charter, &envelope, &registration)
            .await?;
        Ok(true)
    }

    async fn record_charter(
        &self,
        kind: RecordKind,
        envelope: &Envelope,
        registration: &TurnGuard,
    ) -> Result<(), FlowError> {
        let mut batch = Batch::within(registration);
        let (body, entry) = if kind == RecordKind::Charter {
            (
                wire::encode_charter(envelope),
                audit::Entry::new(audit::Kind::CharterChanged),
            )
        } else {
            (
                wire::encode_charter_seen(envelope),
                audit::Entry::new(audit::Kind::CharterSeen),
            )
        };
        batch.push(kind, Scope::Store, body);
        push_audit(&mut batch, &entry);
        self.commit(batch).await?;
        self.refresh_statements();
        self.state().news.tell(Audience::Few);
        Ok(())
    }

    /// Judges a charter that a member brought and keeps what is worth keeping.
    ///
    /// # Errors
    /// [`FlowError::Store`], or [`Code::ProposalRefused`] where it does not hold.
    pub(super) async fn consider_charter(
        &self,
        envelope: &Envelope,
    ) -> Result<Considered, FlowError> {
        let registration = self.registration().await;
        let network = self.network()?;
        let (job, chain) = (envelope.clone(), network.chain.clone());
        let (standing, link) = self
            .world
            .run(move || chain.judge(&job))
            .await
            .map_err(|_| FlowError::State {
                code: Code::ProposalRefused,
            })?;
        let (forked, seen, full) = {
            let state = self.state();
            let same = |hash: &[u8; 32]| *hash == link.hash;
            let seen = state.charters_seen.iter().any(|seen| same(&seen.link.hash))
                || state.charters_refused.iter().any(same);
            let full = state.charters_seen.len() >= CHARTERS_SEEN_MAX;
            (state.is_forked(), seen, full)
        };
        match standing {
            Standing::Next if !forked && !seen => {
                self.record_charter(RecordKind::Charter, envelope, &registration)
                    .await?;
                Ok(Considered::InForce)
            }
            Standing::Recovery | Standing::Fork if !seen && !full => {
                self.record_charter(RecordKind::CharterSeen, envelope, &registration)
                    .await?;
                Ok(Considered::Seen)
            }
            Standing::Known | Standing::Next | Standing::Recovery | Standing::Fork => {
                Ok(Considered::Nothing)
            }
        }
    }

    /// Asks a node for the versions of the charter that this one lacks, for those that dispute ours, and
    /// for this node's own newest credential. Returns whether anything changed here.
    ///
    /// # Errors
    /// Why there was no answer that holds.
    pub async fn pull_charters(&self, node: NodeKey) -> Result<bool, CallError> {
        self.pull_charters_up_to(node, u64::MAX).await
    }

    /// As [`Self::pull_charters`], from a node that says which version it goes by.
    pub(super) async fn pull_charters_up_to(
        &self,
        node: NodeKey,
        claimed: u64,
    ) -> Result<bool, CallError> {
        let chain = self
            .state()
            .network
            .as_ref()
            .map(|network| network.chain.clone())
            .ok_or(CallError::Unreachable)?;
        let version = chain.in_force().charter.version;
        // A version of ours that it has otherwise is among those from there on.
        let after = version.min(claimed.saturating_sub(1));
        let mut answer = self.ask_charters(node, after).await?;
        let first = answer.charters.first();
        let branches_off = first.is_some_and(|first| chain.judge(first).is_err());
        if branches_off && after > 0 {
            answer = self.ask_charters(node, 0).await?;
        }
        let mut changed = false;
        for envelope in &answer.charters {
            match self.consider_charter(envelope).await {
                Ok(Considered::InForce | Considered::Seen) => changed = true,
                Ok(Considered::Nothing) => {}
                Err(_) => break,
            }
        }
        if let Some(credential) = answer.credential
            && self.take_own_credential(credential).await
        {
            changed = true;
        }
        Ok(changed)
    }

    /// A credential of this node's that was signed while it was away.
    async fn take_own_credential(&self, credential: Envelope) -> bool {
        let own = credential
            .claims::<Credential>()
            .is_ok_and(|credential| credential.member == self.member());
        let newer = self
            .state()
            .members
            .get(&self.member())
            .is_none_or(|member| member.known().credential != credential);
        if !own || !newer {
            return false;
        }
        let known = Known {
            credential,
            key_set: None,
            node_record: None,
        };
        self.take_over(&known).await.is_ok()
    }

    async fn ask_charters(&self, node: NodeKey, after: u64) -> Result<CharterAnswer, CallError> {
        let head = self
            .hello_head(crate::types::MemberId([0; 16]), None)
            .ok_or(CallError::Unreachable)?;
        let network = head.network;
        let request = self
            .identity()
            .node
            .sign(&network, &CharterRequest { head, after });
        let calling = self
            .world
            .call(node, Rpc::Charters, wire::encode_envelope(&request));
        let answer = self
            .until(self.now().plus(CALL_TIME_MAX), calling)
            .await
            .unwrap_or(Err(CallError::Unreachable))?;
        let forged = CallError::Refused(PeerCode::Unauthenticated);
        let envelope = wire::decode_envelope(&answer).map_err(|_| forged)?;
        let answer = envelope
            .verify_by::<CharterAnswer>(&node.0, &network)
            .map_err(|_| forged)?
            .into_value();
        if answer.head.answers != Some(request.hash()) {
            return Err(forged);
        }
        Ok(answer)
    }

    /// Answers with the versions of the charter, to whoever is or was a member: one whose credential
    /// counts no longer must learn why.
    pub(super) async fn serve_charters(
        &self,
        from: NodeKey,
        body: &[u8],
    ) -> Result<Bytes, PeerCode> {
        let node = from;
        let network = self.network().map_err(|_| PeerCode::Unavailable)?;
        let member = {
            let state = self.state();
            let members = &state.members;
            // One whose key was replaced must learn by which it is a member.
            let member = members.by_node_key(&from).or(members.by_retired_key(&from));
            member.map(|member| (member.id(), member.known().credential.clone()))
        };
        let Some((member, credential)) = member else {
            return Err(self.refused(from, SessionError::NotMember { node }).await);
        };
        let Ok(envelope) = wire::decode_envelope(body) else {
            return Err(self.refused(from, SessionError::Malformed { node }).await);
        };
        let (job, id) = (envelope.clone(), network.id);
        let request = self
            .world
            .run(move || job.verify_by::<CharterRequest>(&from.0, &id))
            .await;
        let Ok(request) = request else {
            return Err(self.refused(from, SessionError::Signature { node }).await);
        };
        let late =
            request.value().head.sent_at.distance(self.now()) > network.charter.rules.clock_window;
        if late || request.value().head.network != network.id {
            return Err(self.refused(from, SessionError::Expired { member }).await);
        }
        let head = self
            .hello_head(member, Some(envelope.hash()))
            .ok_or(PeerCode::Unavailable)?;
        let answer = CharterAnswer {
            head,
            charters: self.charters_after(&network.chain, request.value().after),
            credential: Some(credential),
        };
        Ok(wire::encode_envelope(
            &self.identity().node.sign(&network.id, &answer),
        ))
    }

    /// The versions above one, and what disputes any of them.
    fn charters_after(&self, chain: &Chain, after: u64) -> Vec<Envelope> {
        let state = self.state();
        let seen = state.charters_seen.iter().map(|seen| &seen.link.envelope);
        chain.after(after).chain(seen).cloned().collect()
    }
}
