//! What a daemon does again and again: greet, confirm, tell, count, renew.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use chartmesh_core::types::{Code, Span};

use super::Daemon;
use crate::boot;

/// How often members, counts and keys are looked after.
const ROUND: Duration = Duration::from_secs(60);
/// How often the key set and the node record are signed anew.
const RESIGN: Span = Span::hours(12);

/// What was said in the log already.
#[derive(Default)]
struct Alarms {
    stale: bool,
    conflict: bool,
    reused: usize,
    superseded: bool,
    twins: usize,
}

impl Daemon {
    /// Rounds: members, counts, keys.
    pub(super) async fn look_after(self: Arc<Self>) {
        let mut round = tokio::time::interval(ROUND);
        // By the node's clock, which goes on while the machine sleeps.
        let mut signed = self.now();
        let mut seen = Alarms::default();
        loop {
            round.tick().await;
            self.round().await;
            self.watch_trust(&mut seen);
            self.watch_copies(&mut seen);
            if self.now().since(signed) >= RESIGN {
                self.node.refresh_statements();
                signed = self.now();
            }
        }
    }

    /// Tells the others at once what this node decided or heard.
    pub(super) async fn tell_news(self: Arc<Self>) {
        loop {
            self.node.tell_news().await;
        }
    }

    /// Asks members that say they have news, at once.
    pub(super) async fn ask_for_news(self: Arc<Self>) {
        loop {
            self.node.ask_for_news().await;
            self.keep();
        }
    }

    /// Says what should be looked at: what was confirmed too long ago, and tickets used twice.
    fn watch_trust(&self, seen: &mut Alarms) {
        let stale = self.node.trust().is_some_and(|trust| trust.stale);
        match (stale, seen.stale) {
            (true, false) => tracing::warn!(
                code = %Code::TrustStale,
                "nobody confirms who was revoked: nothing is disclosed until somebody does"
            ),
            (false, true) => tracing::info!("the revocation list is confirmed again"),
            (true, true) | (false, false) => {}
        }
        seen.stale = stale;
        let reused = self.node.reused_tickets();
        for (request, ..) in reused.iter().skip(seen.reused) {
            tracing::warn!(
                code = %Code::TicketUsed,
                member = %request.member,
                "a ticket was used a second time: see chartmesh network requests"
            );
        }
        seen.reused = reused.len();
        let conflict = self.node.trust().is_some_and(|trust| trust.conflict);
        if conflict && !seen.conflict {
            tracing::error!(
                code = %Code::TrustConflict,
                "two revocation lists contradict each other: an authority key signed twice"
            );
        }
        seen.conflict = conflict;
    }

    /// Says that a node runs twice: this one, or a member's.
    fn watch_copies(&self, seen: &mut Alarms) {
        let superseded = self.node.superseded_by();
        if let (Some((peer, _)), false) = (superseded, seen.superseded) {
            tracing::error!(
                code = %Code::Superseded,
                %peer,
                "a member knows a later copy of this node: if it was restored elsewhere, stop this daemon for good"
            );
        }
        seen.superseded = superseded.is_some();
        let twins = self.node.twins();
        if twins.len() > seen.twins {
            for (member, _) in &twins {
                tracing::warn!(
                    code = %Code::Superseded,
                    %member,
                    "an earlier copy of a restored node speaks and is refused: see chartmesh doctor"
                );
            }
        }
        seen.twins = twins.len();
    }

    async fn round(self: &Arc<Self>) {
        // Who joined, was renewed or ran out since, also where a peer said so.
        self.keep();
        if let Some(net) = self.net() {
            self.greet_kept(&net);
        }
        self.look_after_charter().await;
        if let Err(error) = self.node.beat().await {
            tracing::warn!(code = %error.code(), "no heartbeat can be stored");
        }
        if let Err(error) = self.node.write_counted().await {
            tracing::warn!(code = %error.code(), "refusals cannot be counted in the log");
        }
        match self.node.keep_checkpoint().await {
            Ok(false) => {}
            Ok(true) => {
                if let Err(error) = boot::complete_checkpoints(&self.folder, &self.node).await {
                    tracing::warn!(code = %error.code(), "audit/checkpoints is behind the journal");
                }
            }
            Err(error) if error.code() == Code::NoNetwork => {}
            Err(error) => tracing::warn!(code = %error.code(), "no checkpoint can be kept"),
        }
        let _one_change = self.changing.lock().await;
        let mut identity = self
            .identity
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match boot::rotate_if_due(self.node.world().store(), &mut identity, self.now()).await {
            Ok(false) => {}
            Ok(true) => {
                self.node
                    .install_opening_keys(boot::opening_keys(&identity));
                *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
                tracing::info!("a new sealing key is in use");
            }
            Err(error) => {
                tracing::warn!(code = %error.code(), "a new sealing key cannot be stored")
            }
        }
    }
}
