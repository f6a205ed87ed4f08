//! What holders of authority and status keys do: throw a member out, and say what is the newest. And
//! what a revocation waits for: it returns when no key can leave any more to whom it names.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    task::{Poll, Waker},
};

use super::{
    call::AskError,
    cosign::ProposalView,
    error::FlowError,
    news::Audience,
    node::{Actor, Node, push_audit},
    state::{Fold, Network},
    trust::{push_heartbeat, push_list, push_revoked},
};
use crate::{
    audit,
    crypto::{Envelope, SigningKey},
    membership::{
        Charter, Heartbeat, ListHead, Proposal, ProposalKind, RevocationList, Status, is_beaten,
        may_beat,
    },
    ports::{Rpc, World},
    records::Batch,
    types::{
        Code, MemberId, NodeKey, Timestamp,
        limits::{NEWS_TIME_MAX, REASON_CHARS_MAX},
    },
    wire::{TrustAnswer, TrustRequest},
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
        let registration = self.registration().await;
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
            let signed = self.identity().authority.sign(&network.id, &list);
            let mut batch = Batch::within(&registration);
            self.push_revocation(&mut batch, &signed, &list, &network);
            push_audit(&mut batch, &entry);
            self.commit(batch).await?;
            self.throw_out(&[member]).await;
            return Ok(revoked);
        }
        let proposal = Proposal::unsigned(ProposalKind::RevocationList, &list);
        let view = self
            .propose(actor, proposal, &network, &registration)
            .await?;
        let mut batch = Batch::within(&registration);
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

impl<W: World> Node<W> {
    /// Signs that the newest list is the newest, where this node holds a status key and it is time.
    /// Where several must sign, the nodes of the other authorities are asked, which sign by themselves
    /// what agrees with their own list and clock. Called every minute.
    ///
    /// # Errors
    /// [`FlowError::Store`].
    pub async fn beat(&self) -> Result<(), FlowError> {
        let Some(network) = self.current_network() else {
            return Ok(());
        };
        let now = self.now();
        let list = {
            let state = self.state();
            if !state.trust.beat_due(&network.chain, now) {
                return Ok(());
            }
            state.trust.revocations.head()
        };
        let Some(beaten) = self.gather_beat(&network, list, now).await else {
            return Ok(());
        };
        let registration = self.registration().await;
        // The list or the charter may have changed while the others were asked.
        let holds = {
            let state = self.state();
            let chain = state.network.as_ref().map(|network| network.chain.clone());
            let judged = chain.map(|chain| {
                let trust = &state.trust;
                trust.consider(&beaten, &network.id, &chain, self.now())
            });
            judged.is_some_and(|judged| judged.is_ok())
        };
        if !holds {
            return Ok(());
        }
        let mut batch = Batch::within(&registration);
        push_heartbeat(&mut batch, &beaten);
        self.commit(batch).await?;
        self.state().news.tell(Audience::All);
        Ok(())
    }

    /// A heartbeat with this node's signature; none where it holds no key for one.
    fn own_beat(
        &self,
        network: &Network,
        list: Option<ListHead>,
        now: Timestamp,
    ) -> Option<Envelope> {
        let key = self.beating_key(&network.charter)?;
        Some(key.sign(&network.id, &Heartbeat::of(network.id, list, now)))
    }

    /// A heartbeat that this node may sign alone.
    pub(super) fn beat_alone(
        &self,
        network: &Network,
        list: Option<ListHead>,
        now: Timestamp,
    ) -> Option<Envelope> {
        let signed = self.own_beat(network, list, now)?;
        is_beaten(&network.charter, &signed.claimed_signers()).then_some(signed)
    }

    /// A heartbeat with as many signatures as must; none where this node may not sign, or too few of
    /// the others did.
    async fn gather_beat(
        &self,
        network: &Network,
        list: Option<ListHead>,
        now: Timestamp,
    ) -> Option<Envelope> {
        let mut gathered = self.own_beat(network, list, now)?;
        for member in self.authority_members() {
            if is_beaten(&network.charter, &gathered.claimed_signers()) {
                break;
            }
            if let Some(signature) = self.ask_beat(member, &gathered, network).await
                && !gathered.claimed_signers().contains(&signature.0)
            {
                gathered.signatures.push(signature);
            }
        }
        is_beaten(&network.charter, &gathered.claimed_signers()).then_some(gathered)
    }

    /// Asks another holder of a status key for its signature; one that does not hold is none.
    async fn ask_beat(
        &self,
        member: MemberId,
        beat: &Envelope,
        network: &Network,
    ) -> Option<([u8; 32], [u8; 64])> {
        let asking = self.ask::<_, TrustAnswer>(member, Rpc::Trust, |head| TrustRequest {
            beat: Some(beat.clone()),
            ..self.trust_request(head)
        });
        let answered: Option<Result<_, AskError>> =
            self.until(self.now().plus(NEWS_TIME_MAX), asking).await;
        let (answer, _) = answered?.ok()?;
        let signed = answer.beat.filter(|signed| signed.body == beat.body)?;
        let [(key, value)] = signed.signatures.as_slice() else {
            return None;
        };
        if !may_beat(&network.charter, key) {
            return None;
        }
        signed.verify_by::<Heartbeat>(key, &network.id).ok()?;
        Some((*key, *value))
    }

    /// This node's signature under a heartbeat that another holder of a status key proposes: given where
    /// it says what this node would say itself, at about the time it would say it.
    pub(super) fn cobeat(&self, offered: &Envelope) -> Option<Envelope> {
        let now = self.now();
        let network = self.current_network()?;
        let key = self.beating_key(&network.charter)?;
        let heartbeat = offered.claims::<Heartbeat>().ok()?;
        let head = self.state().trust.revocations.head();
        let agrees = heartbeat == Heartbeat::of(network.id, head, heartbeat.at)
            && heartbeat.at.distance(now) <= network.charter.rules.clock_window;
        // What is signed is the value that was judged, in its one encoding.
        agrees.then(|| key.sign(&network.id, &heartbeat))
    }

    /// The key by which this node signs heartbeats; none where the charter names none of its keys.
    fn beating_key(&self, charter: &Charter) -> Option<SigningKey> {
        [self.identity().status(), self.identity().authority.clone()]
            .into_iter()
            .find(|key| may_beat(charter, &key.public()))
    }
}

/// How many releases are under way to each member, and who waits for their end.
#[derive(Default)]
pub(super) struct UnderWay {
    releases: BTreeMap<MemberId, usize>,
    wakers: Vec<Waker>,
}

/// One release under way; it ends when this is dropped.
pub(super) struct Leaving {
    fold: Fold,
    asker: MemberId,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut state = self.fold.lock();
        let under_way = &mut state.under_way;
        if let Some(releases) = under_way.releases.get_mut(&self.asker) {
            *releases -= 1;
            if *releases == 0 {
                under_way.releases.remove(&self.asker);
            }
        }
        for waker in under_way.wakers.drain(..) {
            waker.wake();
        }
    }
}

impl<W: World> Node<W> {
    /// Says that a release to a member begins. What is decided after this sees a revocation, or the
    /// revocation waits for it.
    pub(super) fn leaving(&self, asker: MemberId) -> Leaving {
        let mut state = self.state();
        *state.under_way.releases.entry(asker).or_default() += 1;
        Leaving {
            fold: self.fold.clone(),
            asker,
        }
    }

    /// Waits until no release to a member is under way.
    pub(super) async fn left(&self, asker: MemberId) {
        poll_fn(|cx| {
            let under_way = &mut self.state().under_way;
            if !under_way.releases.contains_key(&asker) {
                return Poll::Ready(());
            }
            under_way.wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
