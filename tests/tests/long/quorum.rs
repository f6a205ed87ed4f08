//! Several authorities: how a network of several is founded, and how they sign what each other proposes.

use chartmesh_core::{
    flows::{FlowError, ProposalView},
    membership::{Founding, Proposed, majority},
    types::{Code, ProposalId},
};

use crate::{
    act::{admin, pick},
    doer::{Doer, word},
    fork,
    model::Holder,
    run::Run,
};

/// Everybody who takes part in something.
pub(crate) fn involved(first: &[usize], others: &[Doer]) -> Vec<usize> {
    let others = others.iter().map(|other| other.index);
    first.iter().copied().chain(others).collect()
}

impl Run {
    /// Founds a network of the first nodes, of which more than half must sign.
    pub(crate) async fn found_by_several(&self, founding: Founding) -> Result<(), FlowError> {
        let all = self.setting.authorities;
        let founding = Founding {
            threshold: majority(all),
            ..founding
        };
        let (founder, others) = (&self.slots[0].node, &self.slots[1..all]);
        let offers: Vec<_> = others.iter().map(|slot| slot.node.own_offer()).collect();
        let actor = admin("found");
        let recovery = fork::recovery_keys(self.setting.seed).into_iter();
        let recovery = recovery.map(|key| key.public());
        let mut file = founder.propose_founding(founding, &offers, recovery.collect())?;
        for other in others.iter().take(majority(all) as usize - 1) {
            file = other.node.cosign_file(&actor, file.proposals).await?;
        }
        founder.found_by_file(&actor, &file.proposals).await?;
        for other in others {
            let life = chartmesh_core::types::limits::TICKET_LIFE;
            let ticket = founder.invite(&actor, life).await?;
            other.node.join(&actor, &ticket).await?;
            let _pending = other.node.poll_join().await?;
            other.node.poll_join().await?;
        }
        Ok(())
    }

    /// One of the authorities.
    pub(crate) fn authority(&self, number: u32) -> usize {
        let authorities = self.shared().model.authorities();
        pick(&authorities, number / 64).unwrap_or(0)
    }

    /// The other authorities, which sign at once; now and then none, so that something waits.
    pub(crate) fn cosigners(&self, authority: usize, label: &str, number: u32) -> Vec<Doer> {
        let authorities = self.shared().model.authorities();
        let is_one = authorities.contains(&authority);
        let others = authorities.into_iter().filter(|other| *other != authority);
        let others = others.filter_map(|other| self.doer(other, label));
        if is_one && number / 4 % 4 != 0 {
            others.collect()
        } else {
            Vec::new()
        }
    }

    /// An authority signs everything that waits for it, wherever it waits.
    pub(crate) fn cosign(&mut self, label: String, number: u32) {
        let authority = self.authority(number);
        let Some(mut doer) = self.doer(authority, &label) else {
            return;
        };
        let others = self.cosigners(authority, &label, 4);
        let nodes = involved(&[authority], &others);
        self.launch(&nodes, label, async move {
            doer.sign_all(&others).await;
        });
    }

    /// When all is well, every authority signs what any of them has begun.
    pub(crate) async fn sign_what_waits(&self) {
        let authorities = self.shared().model.authorities();
        let all = authorities.iter();
        let mut all: Vec<Doer> = all.filter_map(|index| self.doer(*index, "end")).collect();
        for _ in 0..2 {
            for place in 0..all.len() {
                let mut doer = all.remove(place);
                for other in &all {
                    let _answered_below = doer.node.greet(other.node.node_key()).await;
                    let _answered_below = doer.node.exchange_trust(other.node.member()).await;
                }
                doer.sign_all(&all).await;
                for other in &all {
                    let _answered_below = doer.node.exchange_trust(other.node.member()).await;
                }
                all.insert(place, doer);
            }
        }
    }

    /// Lets the other authorities sign what the first has proposed.
    pub(crate) async fn gather_at_last(&self, view: &ProposalView) {
        let mut others = self.cosigners(0, "end", 4);
        if let Some(mut founder) = self.doer(0, "end") {
            founder.gather(&mut others, view).await;
            // What the others have decided without it in the meantime; a daemon hears of it at once.
            for other in &others {
                let _as_far_as_it_goes = founder.node.sync_members(other.node.member()).await;
            }
        }
    }
}

impl Holder {
    /// Whether several had to sign.
    fn takes_several(&self) -> bool {
        self.threshold(u64::MAX) > 1
    }
}

impl Doer {
    /// As [`Self::note_local`], where others may have proposed what excludes this.
    pub(crate) fn note_governed(
        &self,
        flow: &str,
        outcome: &str,
        foresee: impl Fn(&Holder, u64) -> &'static str,
    ) {
        let is_rival = {
            let shared = self.shared();
            let holder = &shared.model.holders[self.index];
            outcome == Code::ProposalConflict.text() && holder.takes_several()
        };
        if is_rival {
            self.note(flow, outcome, None);
        } else {
            self.note_local(flow, outcome, foresee);
        }
    }

    /// Shows other authorities what this one proposes, until enough of them have signed.
    pub(crate) async fn gather(&mut self, others: &mut [Self], view: &ProposalView) {
        if view.complete {
            return;
        }
        for other in others {
            self.shows(other, view.id).await;
            let is_complete = other.cosigns(view.id).await;
            self.shows(other, view.id).await;
            if is_complete {
                return;
            }
        }
    }

    async fn shows(&self, other: &Self, id: ProposalId) {
        let sent = self.node.send_proposal(other.node.member(), id).await;
        let outcome = sent.as_ref().map_or_else(|code| code.text(), |_| "OK");
        self.note("propose", outcome, None);
    }

    /// Signs a proposal that waits; says whether it is complete.
    async fn cosigns(&mut self, id: ProposalId) -> bool {
        self.begin();
        let signed = self.node.cosign(&admin(&self.label), id).await;
        self.note("cosign", word(&signed), None);
        let Ok(view) = signed else {
            return false;
        };
        if view.complete
            && let Ok(Proposed::RevocationList(list)) = view.proposal.proposed()
        {
            let named = list.members.iter().map(|member| (self.index, *member));
            self.shared().expelled.extend(named);
        }
        view.complete
    }

    /// Asks the other authorities what waits, signs it, and tells them.
    pub(crate) async fn sign_all(&mut self, others: &[Self]) {
        for other in others {
            self.exchange(other).await;
        }
        for view in self.node.proposals() {
            if !view.signed_here {
                self.cosigns(view.id).await;
            }
        }
        for other in others {
            self.exchange(other).await;
        }
    }

    async fn exchange(&self, other: &Self) {
        for (one, with) in [(other, self), (self, other)] {
            let exchanged = one.node.exchange_proposals(with.node.member()).await;
            let outcome = exchanged.as_ref().map_or_else(|code| code.text(), |_| "OK");
            one.note("propose", outcome, None);
        }
    }

    /// What the daemon does for charters and proposals each minute.
    pub(crate) async fn look_after_charter(&self, other: usize) {
        let (key, member) = {
            let shared = self.shared();
            let other = &shared.model.holders[other];
            (other.key(), other.member)
        };
        let _learnt_or_told_later = self.node.pull_charters(key).await;
        self.settle().await;
        if self.node.authority_members().contains(&member) {
            let _shown_or_shown_later = self.node.exchange_proposals(member).await;
        }
        self.is_as_foreseen();
    }
}
