//! Who was thrown out, how fresh that knowledge is, and tickets that were used twice.

use chartmesh_core::{
    flows::TrustView,
    membership::{JoinState, Status as MemberStatus},
    types::{Code, MemberId, NodeKey},
};
use chartmesh_proto::admin::{Check, RevokeMemberReply, RevokeMemberRequest, TicketAlarm, Trust};
use tonic::Status;

use super::{
    Admin,
    checks::check,
    error::{status, usage},
};
use crate::daemon::Daemon;

impl Admin {
    pub(super) async fn revoke_member(
        &self,
        request: RevokeMemberRequest,
    ) -> Result<RevokeMemberReply, Status> {
        let (daemon, actor) = self.acting()?;
        let member = named(&daemon, request.node.trim())?;
        if member == daemon.node.member() {
            return Err(usage(
                Code::Usage,
                "a node does not revoke itself: another authority must",
            ));
        }
        let node = daemon.node.clone();
        let revoked = self
            .spawned(async move { node.revoke_member(&actor, member, &request.reason).await })
            .await?;
        daemon.membership_changed();
        let proposal = revoked.proposal.as_ref();
        if proposal.is_none() {
            tracing::warn!(node = %revoked.node, %member, "a member was revoked");
        }
        Ok(RevokeMemberReply {
            node: revoked.node.to_string(),
            member: revoked.member.to_string(),
            organization: revoked.organization,
            version: revoked.version,
            status: match proposal {
                Some(_) => "proposed",
                None => "revoked",
            }
            .to_owned(),
            proposal: proposal.map(|view| view.id.to_string()),
        })
    }
}

/// The member that was named: by node id, member id, or the exact name of its organisation.
fn named(daemon: &Daemon, text: &str) -> Result<MemberId, Status> {
    let unknown = |message: &str| status(tonic::Code::NotFound, Code::MemberUnknown, message);
    let node = text.parse::<NodeKey>().ok();
    let member = text.parse::<MemberId>().ok();
    let views = daemon.node.member_views();
    let known = views.iter().map(|view| &view.credential);
    let by_id = known
        .clone()
        .find(|known| Some(known.node_key) == node || Some(known.member) == member);
    if let Some(known) = by_id {
        return Ok(known.member);
    }
    let mut by_name = known.filter(|known| known.organization.name == text);
    match (by_name.next(), by_name.next()) {
        (Some(only), None) => Ok(only.member),
        (Some(_), Some(_)) => Err(unknown("several members have that name; give a node id")),
        (None, _) => Err(unknown("no member has that node id, member id or name")),
    }
}

/// The word for how a member stands.
pub(super) fn standing(status: MemberStatus) -> &'static str {
    match status {
        MemberStatus::Active => "active",
        MemberStatus::Expired => "expired",
        MemberStatus::Revoked => "revoked",
    }
}

/// Freshness, for `status`.
pub(super) fn shown(view: &TrustView) -> Trust {
    Trust {
        stale: view.stale,
        confirmed: view.confirmed.to_string(),
        age_ms: view.age.0,
        max_age_ms: view.max_age.0,
        list_version: view.version,
        revoked: u32::try_from(view.revoked).unwrap_or(u32::MAX),
        conflict: view.conflict,
    }
}

/// Tickets that were used twice, for `network requests`.
pub(super) fn ticket_alarms(daemon: &Daemon) -> Vec<TicketAlarm> {
    let reused = daemon.node.reused_tickets().into_iter();
    reused
        .map(|(request, state, at)| TicketAlarm {
            organization: request.organization.name,
            node: request.node_key.to_string(),
            state: match state {
                JoinState::Pending => "pending",
                JoinState::Approved => "approved",
                JoinState::Refused => "refused",
            }
            .to_owned(),
            reused: at.to_string(),
        })
        .collect()
}

/// What `doctor` says of it.
pub(super) fn checks(daemon: &Daemon) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(view) = daemon.node.trust() {
        checks.push(freshness(&view));
        if view.conflict {
            checks.push(check(
                "revocations",
                "bad",
                format!(
                    "{}: two revocation lists contradict each other; all members that either names are refused",
                    Code::TrustConflict
                ),
                "an authority key signed twice: speak to the authorities; revoking once more settles the list",
            ));
        }
    }
    let reused = daemon.node.reused_tickets();
    if let Some((request, state, at)) = reused.first() {
        let admitted = if *state == JoinState::Approved {
            "was admitted with it"
        } else {
            "used it first"
        };
        checks.push(check(
            "tickets",
            "warn",
            format!(
                "{} used twice; the last alarm: {} {admitted}, another asked with it on {}",
                match reused.len() {
                    1 => "one ticket was".to_owned(),
                    count => format!("{count} tickets were"),
                },
                request.organization.name,
                at.date()
            ),
            "telephone the organisation: compare the six words, or revoke it if it is not the one invited",
        ));
    }
    checks
}

fn freshness(view: &TrustView) -> Check {
    let hours = |ms: u64| ms / 3_600_000;
    if view.own {
        return check(
            "trust",
            "bad",
            format!("{}: this node was revoked", Code::KeyRevoked),
            "no member answers it; speak to the authorities of the network",
        );
    }
    let age = hours(view.age.0);
    if view.stale {
        return check(
            "trust",
            "bad",
            format!(
                "{}: nobody confirmed for {age} hours who was revoked; at most {} are allowed, and nothing is disclosed",
                Code::TrustStale,
                hours(view.max_age.0)
            ),
            "see chartmesh peers: this node reaches no member that heard from the authorities lately",
        );
    }
    if view.age.0 > view.max_age.0 / 2 {
        return check(
            "trust",
            "warn",
            format!("nobody confirmed for {age} hours who was revoked"),
            "see chartmesh peers: the authorities' nodes may be down",
        );
    }
    check(
        "trust",
        "ok",
        format!(
            "revocation list {} with {} members was confirmed {age} hours ago",
            view.version, view.revoked
        ),
        "",
    )
}

#[cfg(test)]
mod tests {
    use chartmesh_core::types::{Span, Timestamp};

    use super::*;

    fn view(age: Span) -> TrustView {
        TrustView {
            stale: age > Span::hours(72),
            confirmed: Timestamp(0),
            age,
            max_age: Span::hours(72),
            version: 3,
            revoked: 3,
            conflict: false,
            own: false,
        }
    }

    #[test]
    fn trust_that_grows_old_is_warned_of_and_past_its_age_fails_by_its_code() {
        let said = |hours| freshness(&view(Span::hours(hours)));

        assert_eq!(said(1).status, "ok");
        assert_eq!(said(40).status, "warn");
        assert_eq!(said(73).status, "bad");
        assert!(said(73).detail.starts_with("TRUST_STALE"));
    }

    #[test]
    fn a_node_that_was_revoked_says_so() {
        let mut own = view(Span::hours(1));
        assert_eq!(freshness(&own).status, "ok");

        own.own = true;

        assert!(freshness(&own).detail.starts_with("KEY_REVOKED"));
    }
}
