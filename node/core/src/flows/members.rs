//! Who else is a member, and where: asked on connect, every minute, and when something changes.

use bytes::Bytes;

use super::{call::AskError, node::Node};
use crate::{
    membership::{Credential, NodeRecord, Offered, verify_node_record},
    ports::{Rpc, World},
    types::{
        MemberId, NodeKey, PeerCode,
        limits::{CALL_TIME_MAX, MEMBERS_MAX, MEMBERS_PAGE_MAX},
    },
    wire::{self, MembersAnswer, MembersRequest},
};

impl<W: World> Node<W> {
    /// Whether a node key is an active member's.
    pub fn is_member(&self, node: NodeKey) -> bool {
        self.state().peer(node, self.now()).is_some()
    }

    /// Where an active member says it is, in a record that somebody else handed on; none where the record
    /// is not that member's, or does not hold.
    pub fn read_node_record(&self, node: NodeKey, record: &[u8]) -> Option<NodeRecord> {
        let envelope = wire::decode_envelope(record).ok()?;
        let now = self.now();
        let (network, credential) = {
            let state = self.state();
            // Whoever is no active member is nobody to be found.
            let peer = state.peer(node, now)?;
            let member = state.members.get(&peer.member)?;
            (state.network.as_ref()?.id, member.credential().clone())
        };
        verify_node_record(&envelope, &network, &credential, now).ok()
    }

    /// This node's own record as signed; none before it is a member.
    pub fn own_node_record(&self) -> Option<Bytes> {
        let state = self.state();
        state.node_record.as_ref().map(wire::encode_envelope)
    }

    /// Takes over what a member knows of the others. What does not hold is passed over: a liar
    /// cannot keep us from the rest, nor keep us busy: a page that brings nothing that holds is the
    /// last, there are no more pages than members may be, and all together take at most
    /// [`CALL_TIME_MAX`].
    ///
    /// Returns how many were new or newer.
    ///
    /// # Errors
    /// What the member said, or `UNAVAILABLE` where it said nothing that holds.
    pub async fn sync_members(&self, from: MemberId) -> Result<usize, PeerCode> {
        let end = self.now().plus(CALL_TIME_MAX);
        let mut after = None;
        let mut news = 0;
        for _ in 0..MEMBERS_MAX {
            let asking = self
                .ask::<_, MembersAnswer>(from, Rpc::Members, |head| MembersRequest { head, after });
            let answer = match self.until(end, asking).await {
                Some(Ok((answer, _))) => answer,
                Some(Err(AskError::Refused(code))) => return Err(code),
                Some(Err(AskError::Call(_) | AskError::Forged)) | None => {
                    return Err(PeerCode::Unavailable);
                }
            };
            let mut last = None;
            for known in &answer.known {
                if self.now() >= end {
                    return Ok(news);
                }
                let Ok(offered) = self.take_over(known).await else {
                    continue;
                };
                news += usize::from(matches!(offered, Offered::New | Offered::Newer));
                let credential = known.credential.claims::<Credential>().ok();
                last = last.max(credential.map(|credential| credential.member));
            }
            if !answer.more || last <= after {
                break;
            }
            after = last;
        }
        Ok(news)
    }

    pub(super) async fn serve_members(
        &self,
        from: NodeKey,
        body: &[u8],
    ) -> Result<Bytes, PeerCode> {
        let (question, request) = match self.receive::<MembersRequest>(from, body).await {
            Ok(received) => received,
            Err(answer) => return answer,
        };
        let (known, more) = {
            let page =
                self.state()
                    .members
                    .page(request.body().after, MEMBERS_PAGE_MAX, self.world.now());
            (page.known, page.more)
        };
        Ok(self.answer(&question, 0, |head| MembersAnswer { head, known, more }))
    }
}
