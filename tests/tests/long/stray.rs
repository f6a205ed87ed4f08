//! Commands that go wrong on purpose: a join on a bad disk, and captured questions asked again.

use std::{sync::Arc, time::Duration};

use chartmesh_core::{membership::JoinState, types::limits::TICKET_LIFE};
use chartmesh_tests::{Fault, Frame, SimNet};

use crate::{
    act::admin,
    doer::{Doer, word},
};

/// At which step of a join a disk goes bad, and how.
#[derive(Clone, Copy)]
pub(crate) enum Crooked {
    /// None; what goes wrong is on the way.
    Nothing,
    /// The applicant's, when it writes that it asks.
    Join(Fault),
    /// The authority's, when it signs.
    Approve(Fault),
    /// The applicant's, when it becomes a member.
    Poll(Fault),
}

impl Crooked {
    /// Which node must be started anew before it writes again.
    pub(crate) fn breaks_for_good(self, applicant: usize, authority: usize) -> Option<usize> {
        match self {
            Self::Join(Fault::Failed) | Self::Poll(Fault::Failed) => Some(applicant),
            Self::Approve(Fault::Failed) => Some(authority),
            _ => None,
        }
    }
}

impl Doer {
    /// Lets this node's disk refuse what is written next.
    fn spoil_disk(&self, fault: Fault) {
        let mut shared = self.shared();
        shared.disturb(self.index);
        if fault == Fault::Full {
            shared.full.insert(self.index);
            shared.disks[self.index].fill(true);
        } else {
            shared.brittle.insert(self.index);
            shared.disks[self.index].fail_write(0, fault);
        }
    }

    fn mend_disk(&self, fault: Fault) {
        if fault == Fault::Full {
            let mut shared = self.shared();
            shared.disks[self.index].fill(false);
            shared.full.remove(&self.index);
            shared.disturb(self.index);
        }
    }

    /// A join during which one disk goes bad. Whatever was not acknowledged is asked for again later.
    pub(crate) async fn admit_crookedly(self, founder: Self, crooked: Crooked) {
        let invited = founder.node.invite(&admin(&self.label), TICKET_LIFE).await;
        founder.note("invite", word(&invited), None);
        let Ok(ticket) = invited else {
            return;
        };
        if let Crooked::Join(fault) = crooked {
            self.spoil_disk(fault);
        }
        let joined = self.node.join(&admin(&self.label), &ticket).await;
        self.note("join", word(&joined), None);
        if let Crooked::Join(fault) = crooked {
            self.mend_disk(fault);
        }
        if joined.is_err() || !self.polls().await {
            return;
        }
        if let Crooked::Approve(fault) = crooked {
            founder.spoil_disk(fault);
        }
        let words = self.node.own_words(&ticket);
        let approved = founder.node.approve(&admin(&self.label), &words).await;
        founder.note("approve", word(&approved), None);
        if let Crooked::Approve(fault) = crooked {
            founder.mend_disk(fault);
        }
        if let Crooked::Poll(fault) = crooked {
            self.spoil_disk(fault);
        }
        self.polls().await;
        if let Crooked::Poll(fault) = crooked {
            self.mend_disk(fault);
        }
    }

    /// Asks how a join stands; says whether it goes on.
    async fn polls(&self) -> bool {
        let polled = self.node.poll_join().await;
        let outcome = match &polled {
            Ok(JoinState::Pending) => "PENDING",
            polled => word(polled),
        };
        self.note("poll", outcome, None);
        polled.is_ok()
    }

    /// Asks captured questions again, one after the other.
    pub(crate) async fn replay_all(self, net: Arc<SimNet>, frames: Vec<Frame>) {
        // What was arranged for the node they go to has happened by then.
        tokio::time::sleep(Duration::from_millis(500)).await;
        for frame in frames {
            self.replay(&net, frame).await;
        }
    }
}
