//! Members that are thrown out, and charters that change: how it is done, and what must hold afterwards.

use std::collections::BTreeSet;

use chartmesh_core::{
    audit::{Entry, Kind as Audited},
    flows::ProposalView,
    membership::{Amendment, Rules},
    ports::{CallError, Rpc},
    types::{Code, MemberId, PeerCode, Span},
};
use chartmesh_tests::{Frame, Kind};

use crate::{
    act::admin,
    doer::{Doer, word},
    shared::Shared,
    trust::Standing,
    verdict::When,
    watch::DECIDED_WITHIN_MS,
};

/// How long after a node learnt of it a fetch from a member that was thrown out may end that had begun.
pub(crate) const ENDS_WITHIN_MS: u64 = 300_000;

impl Doer {
    /// Throws a member out, after a while.
    /// What others must sign first is returned.
    pub(crate) async fn expel(
        &mut self,
        who: usize,
        reason: &'static str,
        late_ms: u64,
    ) -> Option<ProposalView> {
        tokio::time::sleep(std::time::Duration::from_millis(late_ms)).await;
        self.begin();
        let member = self.shared().model.holders[who].member;
        let actor = admin(&self.label);
        let revoked = self.node.revoke_member(&actor, member, reason).await;
        let index = self.index;
        self.note_governed("revoke-member", word(&revoked), |holder, position| {
            let is_known = holder.knows(member, position);
            let out = holder.out_since(member);
            if reason.trim().is_empty() {
                Code::Usage.text()
            } else if holder.rules(position).is_none() {
                Code::NoNetwork.text()
            } else if holder.is_forked(position) {
                Code::CharterFork.text()
            } else if !holder.is_authority(position) {
                Code::NotAuthority.text()
            } else if !is_known || holder.member == member {
                Code::MemberUnknown.text()
            } else if out.is_some_and(|list| list.position <= position) {
                Code::KeyRevoked.text()
            } else {
                "OK"
            }
        });
        let proposal = revoked.ok()?.proposal;
        if proposal.as_ref().is_none_or(|view| view.complete) {
            let mut shared = self.shared();
            shared.expelled.insert((index, member));
            if shared.model.holders[index].out_since(member).is_none() {
                shared.breaks("a member was thrown out that is on no list".to_owned());
            }
        }
        proposal
    }

    /// Asks everybody at once who was thrown out, so that answers overtake each other.
    pub(crate) async fn gossip(&self, others: Vec<MemberId>) {
        let asked = others
            .into_iter()
            .map(|member| self.node.exchange_trust(member));
        for told in futures::future::join_all(asked).await {
            let outcome = told.as_ref().map_or_else(|code| code.text(), |_| "OK");
            self.note("trust", outcome, None);
        }
    }

    pub(crate) async fn amend(mut self, rules: Rules, mut others: Vec<Self>) {
        self.begin();
        let template = self.shared().model.template;
        let amendment = Amendment {
            rules: Some((template, rules)),
            ..Amendment::default()
        };
        let amended = self.node.amend(&admin(&self.label), &amendment).await;
        self.note_governed("amend", word(&amended), |holder, position| {
            if holder.rules(position).is_none() {
                Code::NoNetwork.text()
            } else if holder.is_forked(position) {
                Code::CharterFork.text()
            } else if !holder.is_authority(position) {
                Code::NotAuthority.text()
            } else {
                "OK"
            }
        });
        if let Ok(view) = amended {
            self.gather(&mut others, &view).await;
        }
    }

    /// Asks for the charters of another node.
    pub(crate) async fn charters(self, of: usize) {
        let key = self.shared().model.holders[of].key();
        let pulled = self.node.pull_charters(key).await;
        let outcome = match &pulled {
            Ok(_) => "OK",
            Err(CallError::Refused(code)) => code.text(),
            Err(_) => "PEER_UNREACHABLE",
        };
        let is_settled = self.both_settled(of) && self.is_known_to(of);
        let foreseen = BTreeSet::from(["OK"]);
        self.note("charters", outcome, is_settled.then_some(&foreseen));
    }

    /// Whoever was thrown out is told so by everybody, and learns nothing of anybody.
    pub(crate) async fn is_refused_by(&self, other: usize) {
        let key = self.shared().model.holders[other].key();
        let greeted = self.node.greet(key).await;
        if greeted != Err(CallError::Refused(PeerCode::NotMember)) {
            let index = self.index;
            self.shared()
                .breaks(format!("node {other} greets node {index}: {greeted:?}"));
        }
    }
}

impl Shared {
    /// Nothing sealed goes to who was thrown out once the sender knows it, but what it was about to send.
    pub(crate) fn judge_served(&mut self, frame: &Frame) {
        let is_sealed = !matches!(frame.rpc, Rpc::Hello | Rpc::Join | Rpc::Charters);
        let is_served = matches!(
            frame.kind,
            Kind::Answer | Kind::Head | Kind::Leaves | Kind::Chunk(_)
        );
        if !is_sealed || !is_served {
            return;
        }
        let find = |key| self.model.index_by_key(key);
        // A stranger's replay has nobody at its other end.
        let (Some(from), Some(to)) = (find(frame.from), find(frame.to)) else {
            return;
        };
        let member = self.model.holders[to].member;
        let now = self.elapsed_ms();
        let out = self.model.holders[from].out_since(member);
        if out.is_some_and(|list| now > list.at_ms + DECIDED_WITHIN_MS) {
            let (rpc, kind) = (frame.rpc, frame.kind);
            self.breaks(format!(
                "node {from} serves node {to}, which was thrown out: {rpc:?} {kind:?}"
            ));
        }
    }

    /// Whether the node of an entry may have stood like that to the member in it when it decided.
    pub(crate) fn stood(
        &self,
        index: usize,
        entry: &Entry,
        moments: &[When],
        as_: Standing,
    ) -> bool {
        let Some(asking) = self.asking(entry) else {
            return true;
        };
        // A clock that has just jumped may have shown anything.
        if self.disturbed[index] + DECIDED_WITHIN_MS > self.elapsed_ms() && as_ != Standing::Out {
            return true;
        }
        let holder = &self.model.holders[index];
        let mut moments = moments.iter();
        moments.any(|when| self.model.standing(holder, asking, *when) == as_)
    }

    /// What an entry says of trust: nothing is given where it has run out, and it is not said to have.
    pub(crate) fn judge_trust(
        &self,
        index: usize,
        entry: &Entry,
        moments: &[When],
    ) -> Option<String> {
        let is_given = match entry.kind {
            Audited::Listed | Audited::Fetched | Audited::Disclosed => true,
            Audited::Located => entry.code.is_none(),
            _ => false,
        };
        if is_given {
            let is_good = self.stood(index, entry, moments, Standing::Good);
            return (!is_good).then(|| "given without trust".to_owned());
        }
        if !matches!(entry.kind, Audited::Located | Audited::Denied) {
            return None;
        }
        let claimed = match entry.code {
            Some(Code::TrustStale) => Standing::Stale,
            Some(Code::KeyRevoked) => Standing::Out,
            _ => return None,
        };
        let is_so = self.stood(index, entry, moments, claimed);
        (!is_so).then(|| format!("{claimed:?} where trust is good"))
    }

    /// Nothing is taken of who was thrown out, but what was under way.
    pub(crate) fn judge_taken(&self, index: usize, entry: &Entry) -> Option<String> {
        let is_taken = matches!(entry.kind, Audited::Received | Audited::ListAsked);
        let out = self.model.holders[index].out_since(entry.member?)?;
        let is_late = self.elapsed_ms() > out.at_ms + ENDS_WITHIN_MS;
        (is_taken && is_late && entry.code.is_none())
            .then(|| "taken of a member that was thrown out".to_owned())
    }
}

/// Rules a network may go over to: few or many questions a day, trust that lasts long or not.
pub(crate) fn rules(of: &Rules, drawn: u32) -> Rules {
    Rules {
        locate_per_day: [6, 50, 5_000][drawn as usize % 3],
        max_staleness: Span::hours([4, 12, 72][drawn as usize / 3 % 3]),
        ..of.clone()
    }
}
