//! Charters that are disputed: authorities that sign two of one number, recovery keys that are used, and
//! administrators who decide.

use chartmesh_core::{
    crypto::{SecretKey, SigningKey},
    membership::{Amendment, Proposal, ProposalKind, Standing},
    types::{Span, limits::RECOVERY_WAIT},
};

use crate::{
    act::admin,
    doer::{Doer, word},
    outcast,
    run::Run,
};

/// Recovery keys of a network that has several authorities.
const RECOVERY_KEYS: u8 = 3;

/// The keys that may replace the authorities.
pub(crate) fn recovery_keys(seed: u64) -> Vec<SigningKey> {
    let key = |number: u8| {
        let seed = chartmesh_core::crypto::sha256(&[b"recovery", &seed.to_be_bytes(), &[number]]);
        SigningKey::from_seed(&SecretKey::new(seed))
    };
    (0..RECOVERY_KEYS).map(key).collect()
}

impl Run {
    /// As many authorities as must sign two charters of one number; one member is given the one and
    /// another the other. Once in a history.
    pub(crate) fn fork(&mut self, label: String, [one, other, drawn]: [u32; 3]) {
        let nodes = self.slots.len();
        let (one, other) = (one as usize % nodes, other as usize % nodes);
        let Some(network) = self.slots[one].node.current_network() else {
            return;
        };
        if one == other || self.shared().is_forked {
            return;
        }
        let link = network.chain.in_force();
        let identities = self.slots.iter().map(|slot| slot.node.identity());
        let named = identities.filter(|identity| {
            let key = identity.authority.public();
            link.charter.authorities.contains(&key)
        });
        let signing: Vec<_> = named.take(link.charter.threshold as usize).collect();
        let signed: Vec<Proposal> = (0..2)
            .filter_map(|number: u32| {
                let rules = outcast::rules(&link.charter.rules, drawn.wrapping_add(number));
                let amendment = Amendment {
                    rules: Some((link.charter.template, rules)),
                    ..Amendment::default()
                };
                let nonce = [number as u8 + 1; 16];
                let charter = link.amended(&amendment, self.true_time(), nonce).ok()?;
                let mut proposal = Proposal::unsigned(ProposalKind::Charter, &charter);
                for identity in &signing {
                    proposal.sign(&identity.authority, link).ok()?;
                }
                Some(proposal)
            })
            .collect();
        self.shared().is_forked = true;
        for (node, proposal) in [one, other].into_iter().zip(signed) {
            if let Some(doer) = self.doer(node, &label) {
                self.launch(&[node], label.clone(), doer.take_file(proposal));
            }
        }
    }

    /// An administrator decides between two charters of one number.
    pub(crate) fn adopt(&mut self, label: String, node: usize) {
        let disputing: Vec<usize> = {
            let shared = self.shared();
            let holders = shared.model.holders.iter().enumerate();
            let disputing = holders.filter(|(_, holder)| holder.is_forked(u64::MAX));
            disputing.map(|(index, _)| index).collect()
        };
        let node = crate::act::pick(&disputing, node as u32).unwrap_or(node);
        if let Some(doer) = self.doer(node, &label) {
            self.launch(&[node], label, doer.adopt());
        }
    }

    /// All authorities but the first are said to have lost their keys. Once in a history.
    pub(crate) fn recover(&mut self, label: String, [how, also]: [u32; 2]) {
        let authorities = self.shared().model.authorities();
        let is_first = !self.shared().is_recovered;
        if authorities.len() < 2 || !is_first {
            return;
        }
        let gone = authorities.iter().filter(|index| **index != 0);
        let gone = gone.map(|index| self.slots[*index].node.identity());
        let remove =
            gone.flat_map(|identity| [identity.authority.public(), identity.status().public()]);
        let mut amendment = Amendment {
            remove: remove.collect(),
            ..Amendment::default()
        };
        let Some(network) = self.slots[0].node.current_network() else {
            return;
        };
        // Recovery keys replace authorities, and nothing else.
        let charter = &network.charter;
        let rules = outcast::rules(&charter.rules, also / 4);
        if also % 4 == 0 && rules != charter.rules {
            amendment.rules = Some((charter.template, rules));
        }
        let enough = if how % 4 == 0 { 1 } else { 2 };
        let keys = recovery_keys(self.setting.seed).into_iter().take(enough);
        let keys: Vec<SigningKey> = keys.collect();
        self.shared().is_recovered = enough == 2 && amendment.rules.is_none();
        if let Some(doer) = self.doer(0, &label) {
            self.launch(&[0], label, doer.recover(amendment, keys));
        }
    }

    /// Once all is well everybody goes by its newest key, whatever is disputed is decided, and who must
    /// wait has waited.
    pub(crate) async fn settle(&mut self) {
        self.take_next_keys().await;
        if !self.shared().is_disputed() {
            return;
        }
        for _ in 0..4 {
            self.spread().await;
            self.take_next_keys().await;
            // Whoever decided between two charters may have heard of a recovery only then.
            let mut slots = self.slots.iter();
            let is_waiting = slots.any(|slot| {
                let mut disputed = slot.node.disputed_charters().into_iter();
                disputed.any(|disputed| disputed.takes_effect.is_some())
            });
            if is_waiting {
                self.pass(RECOVERY_WAIT.0 + Span::hours(1).0).await;
            }
            for index in 0..self.slots.len() {
                if let Some(doer) = self.doer(index, "end") {
                    doer.settle().await;
                    doer.adopt_all().await;
                }
            }
        }
        for index in 0..self.slots.len() {
            let shared = self.shared();
            let is_disputed = shared.model.holders[index].is_forked(u64::MAX);
            let is_member = !shared.model.is_expelled(index);
            drop(shared);
            if is_disputed && is_member {
                let what = format!("node {index} cannot decide between charters");
                self.shared().breaks(what);
            }
        }
    }

    /// Everybody greets everybody, so that all know each other who may, and asks for charters and
    /// members.
    async fn spread(&self) {
        for index in 0..self.slots.len() {
            let node = self.node(index);
            for other in 0..self.slots.len() {
                let slot = &self.slots[other].node;
                if index != other {
                    let _told_or_told_by_another = node.greet(slot.node_key()).await;
                    let _told_or_told_by_another = node.pull_charters(slot.node_key()).await;
                    let _told_or_told_by_another = node.sync_members(slot.member()).await;
                }
            }
        }
    }
}

impl Doer {
    async fn take_file(self, proposal: Proposal) {
        let taken = self.node.take_file(vec![proposal]).await;
        self.note("take-file", word(&taken), None);
        self.is_as_foreseen();
    }

    async fn adopt(self) {
        if !self.adopt_all().await {
            let adopted = self.node.adopt(&admin(&self.label), [7; 32]).await;
            self.note("adopt", word(&adopted), None);
        }
        self.is_as_foreseen();
    }

    /// Decides everything that is disputed here; says whether there was anything.
    async fn adopt_all(&self) -> bool {
        let disputed = self.node.disputed_charters().into_iter();
        let mut forks: Vec<u64> = disputed
            .filter(|disputed| disputed.standing == Standing::Fork)
            .map(|disputed| disputed.version)
            .collect();
        forks.sort_unstable();
        forks.dedup();
        for version in &forks {
            let choice = self.shared().model.holders[self.index].choice(*version);
            let Some(choice) = choice else {
                continue;
            };
            let adopted = self.node.adopt(&admin(&self.label), choice).await;
            self.note("adopt", word(&adopted), None);
        }
        !forks.is_empty()
    }

    async fn recover(self, amendment: Amendment, keys: Vec<SigningKey>) {
        let changes_more = amendment.rules.is_some();
        let actor = admin(&self.label);
        let recovered = self.node.recover(&actor, &amendment, &keys).await;
        self.note("recover", word(&recovered), None);
        if let Ok(view) = recovered {
            let is_right = !changes_more && view.complete == (keys.len() > 1);
            if !is_right {
                self.shared()
                    .breaks("recovery keys did what they may not".to_owned());
            }
        }
        self.is_as_foreseen();
    }

    /// What the daemon does each minute where a recovery or a proposal waits.
    pub(crate) async fn settle(&self) {
        let settled = self.node.settle_recovery().await;
        if let Ok(true) | Err(_) = settled {
            self.note("settle", word(&settled), None);
        }
        let settled = self.node.settle_proposals().await;
        if let Ok(1..) | Err(_) = settled {
            self.note("settle-proposals", word(&settled), None);
        }
        self.is_as_foreseen();
    }

    /// A node goes by the charter that its journal says, and says what it is told of others.
    pub(crate) fn is_as_foreseen(&self) {
        let in_force = self
            .node
            .current_network()
            .map(|network| network.envelope.hash());
        let disputed = self.node.disputed_charters().len();
        let problem = {
            let shared = self.shared();
            let charters = &shared.model.holders[self.index].charters;
            let is_one = charters.in_force() == in_force;
            let (index, foreseen) = (self.index, charters.disputed());
            if !is_one {
                Some(format!("node {index} goes by another charter"))
            } else if foreseen != disputed {
                let what = format!("node {index} says that {disputed} charters are disputed");
                Some(format!("{what}, foreseen are {foreseen}"))
            } else {
                None
            }
        };
        if let Some(problem) = problem {
            self.shared().breaks(problem);
        }
    }
}
