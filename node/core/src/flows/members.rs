//! Who else is a member, and where: asked on connect, every minute, and when something changes.

use bytes::Bytes;

use super::{call::AskError, node::Node};
use crate::{
    membership::Offered,
    ports::{Rpc, World},
    types::{MemberId, NodeKey, PeerCode, limits::MEMBERS_PAGE_MAX},
    wire::{MembersAnswer, MembersRequest},
};

impl<W: World> Node<W> {
    /// Takes over what a member knows of the others. What does not hold is passed over: a liar
    /// cannot keep us from the rest.
    ///
    /// Returns how many were new or newer.
    ///
    /// # Errors
    /// What the member said, or `UNAVAILABLE` where it said nothing that holds.
    pub async fn sync_members(&self, from: MemberId) -> Result<usize, PeerCode> {
        let mut after = None;
        let mut news = 0;
        loop {
            let asked = self
                .ask::<_, MembersAnswer>(from, Rpc::Members, |head| MembersRequest { head, after })
                .await;
            let answer = match asked {
                Ok((answer, _)) => answer,
                Err(AskError::Refused(code)) => return Err(code),
                Err(AskError::Call(_) | AskError::Forged) => return Err(PeerCode::Unavailable),
            };
            for known in &answer.known {
                if let Ok(offered) = self.take_over(known).await {
                    news += usize::from(matches!(offered, Offered::New | Offered::Newer));
                }
            }
            let last = answer.known.last().and_then(|known| {
                known
                    .credential
                    .claims::<crate::membership::Credential>()
                    .ok()
            });
            match last {
                // Ids rise, so a peer that repeats itself cannot hold us here.
                Some(last) if answer.more && after.is_none_or(|before| before < last.member) => {
                    after = Some(last.member);
                }
                _ => return Ok(news),
            }
        }
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
