//! Several authorities: what takes two of three to throw a member out, and to say that this is all.

use chartmesh_core::{
    audit::Kind as Audited,
    membership::{JoinState, Status},
    types::{Code, Span, limits::MAX_STALENESS},
};
use chartmesh_tests::SimNode;

use crate::{
    charter::{Trio, meet, node, trio},
    scenario::*,
};

/// A member that two of the three authorities admitted.
async fn admitted(trio: &Trio, seed: u8) -> SimNode {
    let new = node(&trio.net, seed);
    let ticket = ticket(&trio.a).await;
    new.join(&admin(), &ticket).await.unwrap();
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Pending);
    let words = new.own_words(&ticket);
    let approval = trio.a.approve(&admin(), &words).await.unwrap();
    let id = approval.view.id;
    trio.a.send_proposal(trio.b.member(), id).await.unwrap();
    trio.b.cosign(&admin(), id).await.unwrap();
    trio.a.send_proposal(trio.b.member(), id).await.unwrap();
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Approved);
    meet(&[&trio.a, &trio.b, &trio.c, &new]).await;
    new
}

fn status(knower: &SimNode, member: &SimNode) -> Option<Status> {
    let views = knower.member_views().into_iter();
    let mut views = views.filter(|view| view.credential.member == member.member());
    views.next().map(|view| view.status)
}

/// Hard case: the third authority, which never signed, and the member itself, which is shown nothing.
#[tokio::test(start_paused = true)]
async fn one_authority_of_three_throws_nobody_out_and_two_do() {
    let trio = trio().await;
    let new = admitted(&trio, 10).await;
    let (a, b, c) = (&trio.a, &trio.b, &trio.c);

    let revoked = a
        .revoke_member(&admin(), new.member(), "left")
        .await
        .unwrap();

    let view = revoked.proposal.unwrap();
    assert_eq!((view.signed, view.threshold, view.complete), (1, 2, false));
    assert_eq!(status(a, &new), Some(Status::Active));
    let again = a.revoke_member(&admin(), c.member(), "too").await;
    assert_eq!(code(again), Some(Code::ProposalConflict));
    a.send_proposal(b.member(), view.id).await.unwrap();
    let shown = b.proposals();
    let named = new.member().to_string();
    assert!(shown[0].lines.iter().any(|line| line.value == named));
    assert!(b.cosign(&admin(), view.id).await.unwrap().complete);

    assert_eq!(status(b, &new), Some(Status::Revoked));
    assert!(new.greet(b.node_key()).await.is_err());
    assert!(b.proposals().is_empty());
    for node in [a, c] {
        node.exchange_trust(b.member()).await.unwrap();
        assert_eq!(status(node, &new), Some(Status::Revoked));
    }
    assert!(a.proposals().is_empty(), "settled");
    let signed = audited(a, Audited::ProposalSigned).await;
    assert!(signed.iter().any(|entry| entry.description == "left"));
    // The next list follows, and a restart forgets nothing.
    let b = b.restarted();
    assert_eq!(b.trust().map(|trust| trust.version), Some(1));
    let next = b.revoke_member(&admin(), c.member(), "sold").await.unwrap();
    assert_eq!(next.version, 2);
}

/// Hard case: two of three are up, one of which goes by an older list.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_takes_two_status_keys_that_agree() {
    let trio = trio().await;
    let new = admitted(&trio, 10).await;
    let (a, b, c) = (&trio.a, &trio.b, &trio.c);
    let stale = |node: &SimNode| node.trust().unwrap().stale;
    pass(MAX_STALENESS.0 + 60_000).await;
    assert!(stale(a) && stale(b) && stale(&new));
    for node in [a, b, c, &new] {
        node.refresh_statements();
    }
    meet(&[a, b, c, &new]).await;

    new.beat().await.unwrap();
    assert!(stale(&new), "it holds no status key");
    a.beat().await.unwrap();
    assert!(!stale(a));
    new.exchange_trust(a.member()).await.unwrap();
    assert!(!stale(&new));
    // Cut off from the other two, nobody beats.
    pass(Span::hours(4).0).await;
    let before = a.trust().unwrap().confirmed;
    for other in [b, c] {
        trio.net.cut(other.node_key(), a.node_key());
    }
    a.beat().await.unwrap();
    assert_eq!(a.trust().unwrap().confirmed, before);
    trio.net.heal();
    // A holder of a status key that goes by another list does not sign; the third does.
    let revoked = a
        .revoke_member(&admin(), new.member(), "left")
        .await
        .unwrap();
    let id = revoked.proposal.unwrap().id;
    a.send_proposal(c.member(), id).await.unwrap();
    c.cosign(&admin(), id).await.unwrap();
    a.exchange_trust(c.member()).await.unwrap();
    b.exchange_trust(c.member()).await.unwrap();
    a.beat().await.unwrap();
    assert!(a.trust().unwrap().confirmed > before);
}
