//! Copies of a node: the one that was restored last is heeded, the others are refused.

use crate::{
    audit::{self, FloodKey, Heed},
    crypto::Envelope,
    flows::{Node, node::push_audit, state::State},
    membership::{Member, NodeRecord},
    ports::World,
    records::Batch,
    session::SessionError,
    types::{Code, Incarnation, MemberId, NodeKey, Timestamp},
    wire::Hello,
};

impl<W: World> Node<W> {
    /// Refuses a copy of a member's node that was superseded, and remembers that it spoke.
    pub(super) fn need_latest_copy(
        &self,
        member: MemberId,
        hello: &Hello,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        let claimed = claimed(hello.node_record.as_ref());
        let mut state = self.state();
        let held = state.members.get(&member).map(Member::incarnation);
        if held.is_none_or(|held| claimed >= held) {
            return Ok(());
        }
        state.twins.insert(member, now);
        Err(SessionError::Superseded { member })
    }

    /// Notes that a member knows a later copy of this node. One member's word stops nothing, but its
    /// own people must see to it.
    pub(super) async fn told_superseded(&self, by: NodeKey) {
        let now = self.now();
        let (member, heed) = {
            let mut state = self.state();
            let member = state.members.by_node_key(&by).map(Member::id);
            state.superseded = Some((by, now));
            let key = FloodKey {
                member,
                user: None,
                code: Code::Superseded,
            };
            (member, state.flood.heed(key, now))
        };
        if heed == Heed::Whole {
            let mut batch = Batch::default();
            let entry = audit::Entry {
                member,
                code: Some(Code::Superseded),
                count: 1,
                ..audit::Entry::new(audit::Kind::Denied)
            };
            push_audit(&mut batch, &entry);
            // The alarm stands without its entry too.
            let _stands = self.commit(batch).await;
        }
    }

    /// Who said that a later copy of this node is known, and when; none where nobody did in this run.
    pub fn superseded_by(&self) -> Option<(NodeKey, Timestamp)> {
        self.state().superseded
    }

    /// Members an earlier copy of whose node has spoken to this one, and when it last did.
    pub fn twins(&self) -> Vec<(MemberId, Timestamp)> {
        let state = self.state();
        let twins = state.twins.iter();
        twins.map(|(member, at)| (*member, *at)).collect()
    }
}

impl State {
    /// Forgets what was agreed with an earlier copy of a member's node, where a later one is known.
    pub(super) fn renew(&mut self, member: MemberId, before: Incarnation) {
        let Some(held) = self.members.get(&member) else {
            return;
        };
        let (node, incarnation) = (held.node_key(), held.incarnation());
        if incarnation > before {
            self.sessions.renew(&node, member, incarnation);
            self.outbound.remove(&member);
            self.challenges.remove(&member);
        }
    }
}

/// The incarnation that a node record claims; the first where there is none.
pub(super) fn claimed(record: Option<&Envelope>) -> Incarnation {
    let record = record.and_then(|record| record.claims::<NodeRecord>().ok());
    record.map_or(Incarnation::default(), |record| record.incarnation)
}
