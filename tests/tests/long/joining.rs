//! Joining: inviting and admitting, tickets that are worth nothing, and meeting each other.

use std::collections::BTreeSet;

use chartmesh_core::{
    membership::{Founding, JoinState, Rules, Template, Ticket},
    types::{MemberId, NetworkId, NodeKey, Span, limits::TICKET_LIFE},
};

use crate::{
    act::admin,
    doer::{Doer, word},
};

impl Doer {
    pub(crate) async fn admit(mut self, mut founder: Self, mut others: Vec<Self>) {
        let ticket = match self.node.pending_ticket() {
            Some(ticket) => ticket,
            None => {
                let invited = founder.node.invite(&admin(&self.label), TICKET_LIFE).await;
                founder.note("invite", word(&invited), None);
                let Ok(ticket) = invited else {
                    return;
                };
                self.shared().tickets.push(ticket.clone());
                let joined = self.node.join(&admin(&self.label), &ticket).await;
                self.note("join", word(&joined), None);
                ticket
            }
        };
        for _ in 0..2 {
            self.begin();
            let polled = self.node.poll_join().await;
            let outcome = polled.as_ref().map_or_else(
                |error| error.code().text(),
                |state| match state {
                    JoinState::Pending => "PENDING",
                    JoinState::Approved => "OK",
                    JoinState::Refused => "REFUSED",
                },
            );
            self.note("poll", outcome, None);
            match polled {
                Ok(JoinState::Approved) => break,
                Ok(JoinState::Pending) => {
                    let words = self.node.own_words(&ticket);
                    let approved = founder.node.approve(&admin(&self.label), &words).await;
                    founder.note("approve", word(&approved), None);
                    if let Ok(approval) = approved {
                        founder.gather(&mut others, &approval.view).await;
                    }
                }
                Ok(JoinState::Refused) | Err(_) => return,
            }
        }
        // What the daemon does on connecting.
        let _greeted = self.node.greet(ticket.inviter).await;
        let _told = self.node.sync_members(founder.node.member()).await;
    }

    pub(crate) async fn bad_ticket(self, founder: Self, how: u32) {
        let used = {
            let shared = self.shared();
            let tickets = &shared.tickets;
            tickets
                .get(how as usize / 8 % tickets.len().max(1))
                .cloned()
        };
        let life = match how % 8 {
            0 => Span(1),
            5 => Span::seconds(2),
            _ => TICKET_LIFE,
        };
        let Ok(good) = founder.node.invite(&admin(&self.label), life).await else {
            return;
        };
        let ticket = match how % 8 {
            0 | 5 => good,
            1 | 2 => Ticket {
                secret: [9; 16].into(),
                ..good
            },
            3 => Ticket {
                network: NetworkId([7; 32]),
                ..good
            },
            4 => Ticket {
                inviter: NodeKey([7; 32]),
                ..good
            },
            _ => used.unwrap_or(good),
        };
        tokio::time::sleep(std::time::Duration::from_millis(u64::from(how % 2))).await;
        let joined = self.node.join(&admin(&self.label), &ticket).await;
        self.note("join", word(&joined), None);
        if how % 8 == 5 {
            // It is over when the inviter first sees it.
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        }
        let polled = self.node.poll_join().await;
        self.note(
            "poll",
            if let Ok(JoinState::Pending) = polled {
                "PENDING"
            } else {
                word(&polled)
            },
            None,
        );
        self.out_of_place(founder, how).await;
    }

    /// What is asked where it is not one's turn.
    async fn out_of_place(self, founder: Self, how: u32) {
        let stray = self.node.invite(&admin(&self.label), TICKET_LIFE).await;
        self.note("invite", word(&stray), None);
        let founding = Founding {
            name: "Another".to_owned(),
            template: Template::OptIn,
            rules: Rules::of(Template::OptIn),
            authorities: Vec::new(),
            threshold: 1,
            test: true,
        };
        let is_member = self.shared().model.holders[self.index].in_network;
        if is_member {
            let founded = self.node.found(&admin(&self.label), founding).await;
            self.note("found", word(&founded), None);
        }
        let somebody = if how % 3 == 0 {
            &self.node
        } else {
            &founder.node
        };
        let words = "not six words of anybody";
        let approved = somebody.approve(&admin(&self.label), words).await;
        self.note("approve", word(&approved), None);
    }

    pub(crate) async fn greet(self, other: usize, key: NodeKey) {
        let greeted = self.node.greet(key).await;
        let outcome = match &greeted {
            Ok(_) => "OK",
            Err(chartmesh_core::ports::CallError::Refused(code)) => code.text(),
            Err(_) => "PEER_UNREACHABLE",
        };
        let is_settled = self.both_settled(other);
        self.note(
            "greet",
            outcome,
            is_settled.then_some(&BTreeSet::from(["OK"])),
        );
        if let Ok(member) = greeted
            && self.shared().model.index_of(member) != Some(other)
        {
            self.shared()
                .breaks("a greeting by somebody else than was greeted".to_owned());
        }
    }

    pub(crate) async fn members(self, other: usize, member: MemberId) {
        // What the daemon does each minute: an authority confirms the list, everybody asks for news.
        let _beaten = self.node.beat().await;
        let trusted = self.node.exchange_trust(member).await;
        let outcome = trusted.as_ref().map_or_else(|code| code.text(), |_| "OK");
        self.note("trust", outcome, None);
        let is_governed = self.shared().is_governed;
        if is_governed {
            self.look_after_charter(other).await;
        }
        let synced = self.node.sync_members(member).await;
        let outcome = synced.as_ref().map_or_else(|code| code.text(), |_| "OK");
        let foreseen = BTreeSet::from(["OK"]);
        let is_settled = self.both_settled(other) && self.knows(other);
        self.note("members", outcome, is_settled.then_some(&foreseen));
    }
}
