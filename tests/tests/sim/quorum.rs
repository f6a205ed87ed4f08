//! Several authorities: what takes two of three to throw a member out, and to say that this is all.

use chartmesh_core::{
    audit::Kind as Audited,
    crypto::Envelope,
    flows::Node,
    membership::{Amendment, Heartbeat, JoinState, Reissue, Status},
    ports::Rpc,
    types::{
        Code, PeerCode, Span, Timestamp,
        limits::{HEARTBEAT_EVERY, MAX_STALENESS},
    },
    wire::TrustAnswer,
};
use chartmesh_tests::{SimNode, SimWorld};

use crate::{
    charter::{Trio, asked, meet, node, trio},
    liar::Liar,
    revoke::listen,
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

fn confirmed(node: &SimNode) -> Timestamp {
    node.trust().unwrap().confirmed
}

fn list_version(node: &SimNode) -> u64 {
    node.trust().unwrap().version
}

/// Two of the authorities throw a member out.
async fn throw_out(by: [&SimNode; 2], member: &SimNode) {
    let revoked = by[0].revoke_member(&admin(), member.member(), "left").await;
    let id = revoked.unwrap().proposal.unwrap().id;
    by[0].send_proposal(by[1].member(), id).await.unwrap();
    assert!(by[1].cosign(&admin(), id).await.unwrap().complete);
}

/// Hard case: the second list names the first member once more.
#[tokio::test(start_paused = true)]
async fn whom_two_authorities_throw_out_everybody_hears_of_at_once_and_logs_once() {
    let trio = trio().await;
    let (one, other) = (admitted(&trio, 10).await, admitted(&trio, 11).await);
    let (a, b, c) = (&trio.a, &trio.b, &trio.c);
    for node in [a, b, c] {
        listen(node);
    }
    pass(1_000).await;
    assert_eq!(status(c, &one), Some(Status::Active));

    throw_out([a, b], &one).await;
    pass(1_000).await;
    throw_out([a, b], &other).await;
    pass(1_000).await;

    for node in [a, b, c] {
        assert_eq!(status(node, &one), Some(Status::Revoked));
        assert_eq!(status(node, &other), Some(Status::Revoked));
        let entries = audited(node, Audited::MemberRevoked).await;
        let named: Vec<_> = entries.iter().map(|entry| entry.member).collect();
        assert_eq!(named, [Some(one.member()), Some(other.member())]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_by_a_clock_that_runs_ahead_is_not_completed() {
    let day_ms = Span::days(1).0 as i64;
    for (ahead_ms, expected) in [(0, None), (day_ms, Some(Code::ProposalRefused))] {
        let trio = trio().await;
        let new = admitted(&trio, 10).await;
        let (a, b) = (&trio.a, &trio.b);
        a.world().set_clock_offset(ahead_ms);
        let revoked = a.revoke_member(&admin(), new.member(), "left").await;
        let proposal = revoked.unwrap().proposal.unwrap().proposal;

        let signed = b.cosign_file(&admin(), vec![proposal]).await;

        assert_eq!(code(signed), expected);
        let active = status(b, &new) == Some(Status::Active);
        assert_eq!(active, expected.is_some());
        assert_eq!(b.fold().problem(), None);
    }
}

/// Hard case: the list came while the others were asked about the one before.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_about_a_list_that_gave_way_meanwhile_is_not_recorded() {
    let trio = trio().await;
    let new = admitted(&trio, 10).await;
    let (a, b, c) = (&trio.a, &trio.b, &trio.c);
    pass(HEARTBEAT_EVERY.0).await;
    let before = confirmed(a);
    a.beat().await.unwrap();
    assert!(confirmed(a) > before);
    pass(HEARTBEAT_EVERY.0).await;
    let revoked = a.revoke_member(&admin(), new.member(), "left").await;
    let id = revoked.unwrap().proposal.unwrap().id;
    a.send_proposal(c.member(), id).await.unwrap();
    assert!(c.cosign(&admin(), id).await.unwrap().complete);
    pass(60_000).await;
    trio.net.cut(b.node_key(), a.node_key());
    let beating = {
        let a = a.shared();
        tokio::spawn(async move { a.beat().await.map(drop) })
    };
    pass(500).await;
    a.exchange_trust(c.member()).await.unwrap();
    let about_the_list = confirmed(a);
    assert!(list_version(a) == 1 && !beating.is_finished());

    trio.net.heal();
    assert!(beating.await.unwrap().is_ok());

    assert_eq!(confirmed(a), about_the_list);
    a.exchange_trust(c.member()).await.unwrap();
    b.exchange_trust(c.member()).await.unwrap();
    a.beat().await.unwrap();
    assert!(confirmed(a) > about_the_list);
}

/// An authority that lies in the way of those who are honest: it is asked before them.
#[tokio::test(start_paused = true)]
async fn a_signature_under_a_heartbeat_that_does_not_hold_is_as_none() {
    type Lie = fn(&mut Envelope, &Node<SimWorld>);
    let lies: [(Lie, bool); 3] = [
        (|_, _| (), false),
        (|beat, _| beat.signatures[0].1[0] ^= 1, true),
        (
            |beat, liar| {
                let heartbeat = beat.claims::<Heartbeat>().unwrap();
                let network = liar.current_network().unwrap().id;
                *beat = liar.identity().node.sign(&network, &heartbeat);
            },
            true,
        ),
    ];
    for (lie, more) in lies {
        let trio = trio().await;
        let a = trio.a.restarted();
        let mut others = [(&trio.b, 2), (&trio.c, 3)];
        others.sort_by_key(|(node, _)| node.member());
        let [(first, seed), (second, _)] = others;
        let liar = Liar::at(&trio.net, first, seed);
        let speaker = first.shared();
        liar.says(Rpc::Trust, move |answer: &mut TrustAnswer| {
            if let Some(beat) = &mut answer.beat {
                lie(beat, &speaker);
            }
        });
        meet(&[&a, first, second]).await;
        pass(HEARTBEAT_EVERY.0).await;
        let before = confirmed(&a);
        trio.net.rewind();

        a.beat().await.unwrap();

        assert!(confirmed(&a) > before, "the two that are honest are enough");
        assert!(asks_about_trust(&trio.net, &a, first));
        assert_eq!(asks_about_trust(&trio.net, &a, second), more);
    }
}

/// Hard case: the only other one that answers goes by the list before.
#[tokio::test(start_paused = true)]
async fn nobody_signs_a_heartbeat_about_a_list_that_it_does_not_have() {
    let trio = trio().await;
    let new = admitted(&trio, 10).await;
    let (a, b, c) = (&trio.a, &trio.b, &trio.c);
    throw_out([c, a], &new).await;
    assert_eq!((list_version(a), list_version(b)), (1, 0));
    c.crash(0);
    pass(HEARTBEAT_EVERY.0).await;
    let before = confirmed(a);

    a.beat().await.unwrap();
    assert_eq!(confirmed(a), before);

    b.exchange_trust(a.member()).await.unwrap();
    a.beat().await.unwrap();
    assert!(confirmed(a) > before);
}

/// What waits for signatures when its member is thrown out does not bring it back.
#[tokio::test(start_paused = true)]
async fn a_credential_that_waits_is_signed_and_taken_no_more_once_its_member_was_thrown_out() {
    let trio = trio().await;
    let (gone, kept) = (admitted(&trio, 10).await, admitted(&trio, 11).await);
    let (a, b, c) = (&trio.a, &trio.b, &trio.c);
    let mut waiting = Vec::new();
    for member in [&kept, &gone] {
        let change = member.change_node_key(&member.next_node_key()).unwrap();
        let reissued = a
            .reissue(&admin(), member.member(), &Reissue::Change(change))
            .await;
        let id = reissued.unwrap().view.id;
        a.send_proposal(b.member(), id).await.unwrap();
        waiting.push(id);
    }
    throw_out([c, b], &gone).await;
    c.exchange_trust(b.member()).await.unwrap();

    assert_eq!(a.send_proposal(c.member(), waiting[0]).await, Ok(false));
    let told = a.send_proposal(c.member(), waiting[1]).await;
    assert_eq!(told, Err(PeerCode::Denied));
    let held: Vec<_> = c.proposals().iter().map(|view| view.id).collect();
    assert_eq!(held, waiting[..1]);
    assert!(b.cosign(&admin(), waiting[0]).await.is_ok());
    let signed = b.cosign(&admin(), waiting[1]).await;
    assert_eq!(code(signed), Some(Code::KeyRevoked));
    assert_eq!(status(b, &gone), Some(Status::Revoked));
}

/// Two of the three agree that the first is the only authority from then on.
async fn one_is_enough(trio: &Trio) {
    let (a, b) = (&trio.a, &trio.b);
    let gone = [b, &trio.c].map(|node| {
        let identity = node.identity();
        [identity.authority.public(), identity.status().public()]
    });
    let change = Amendment {
        remove: gone.concat(),
        ..Amendment::default()
    };
    let view = a.amend(&admin(), &change).await.unwrap();
    assert_eq!(a.settle_proposals().await.unwrap(), 0, "two must sign");
    a.send_proposal(b.member(), view.id).await.unwrap();
    b.cosign(&admin(), view.id).await.unwrap();
    assert!(a.pull_charters(b.node_key()).await.unwrap());
}

/// Hard case: the node is started anew between the charter and what follows of it.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_signature_comes_true_by_a_charter_that_asks_for_none() {
    let Trio { net, a, b, c } = trio().await;
    let (new, gone) = (node(&net, 10), c.member());
    let ticket = asked(&a, &new).await;
    let words = new.own_words(&ticket);
    let approval = a.approve(&admin(), &words).await.unwrap();
    assert!(!approval.view.complete);
    let left = a.revoke_member(&admin(), gone, "left").await.unwrap();
    assert!(!left.proposal.unwrap().complete);
    let trio = Trio { net, a, b, c };
    one_is_enough(&trio).await;
    let a = trio.a.restarted();
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Pending);
    assert_eq!(status(&a, &trio.c), Some(Status::Active));

    assert_eq!(a.settle_proposals().await.unwrap(), 2);

    assert_eq!(new.poll_join().await.unwrap(), JoinState::Approved);
    assert_eq!(status(&a, &trio.c), Some(Status::Revoked));
    assert!(a.proposals().is_empty());
    assert_eq!(a.settle_proposals().await.unwrap(), 0);
    assert_eq!(audited(&a, Audited::MemberAdmitted).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_approves_again_by_a_charter_that_asks_for_no_more_has_admitted() {
    let trio = trio().await;
    let new = node(&trio.net, 10);
    let ticket = asked(&trio.a, &new).await;
    let words = new.own_words(&ticket);
    let approve = async || trio.a.approve(&admin(), &words).await.unwrap();
    approve().await;
    assert!(!approve().await.view.complete);
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Pending);
    one_is_enough(&trio).await;

    assert!(approve().await.view.complete);

    assert_eq!(new.poll_join().await.unwrap(), JoinState::Approved);
}
