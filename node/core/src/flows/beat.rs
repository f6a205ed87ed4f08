//! What holders of status keys do, by themselves: they say that the newest list is the newest.

use super::{
    call::AskError, error::FlowError, news::Audience, node::Node, state::Network,
    trust::push_heartbeat,
};
use crate::{
    crypto::{Envelope, SigningKey},
    membership::{Charter, Heartbeat, ListHead, is_beaten, may_beat},
    ports::{Rpc, World},
    records::Batch,
    types::{MemberId, Timestamp, limits::NEWS_TIME_MAX},
    wire::{TrustAnswer, TrustRequest},
};

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
        let _registration = self.registration().await;
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
        let mut batch = Batch::default();
        push_heartbeat(&mut batch, &beaten);
        self.commit(batch).await?;
        self.state().news.tell(Audience::All);
        Ok(())
    }

    /// A heartbeat that this node may sign alone.
    pub(super) fn beat_alone(
        &self,
        network: &Network,
        list: Option<ListHead>,
        now: Timestamp,
    ) -> Option<Envelope> {
        let key = self.beating_key(&network.charter)?;
        let heartbeat = Heartbeat::of(network.id, list, now);
        let signed = key.sign(&network.id, &heartbeat);
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
        let key = self.beating_key(&network.charter)?;
        let mut gathered = key.sign(&network.id, &Heartbeat::of(network.id, list, now));
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
        [self.identity.status(), self.identity.authority.clone()]
            .into_iter()
            .find(|key| may_beat(charter, &key.public()))
    }
}
