//! Several authorities: what takes two of three, and what becomes of a network whose charter changes.

use chartmesh_core::{
    audit::Kind as Audited,
    crypto::{Envelope, SecretKey, SigningKey},
    flows::{CharterBy, ProposalView},
    membership::{
        Amendment, AuthorityClaim, JoinState, Proposal, ProposalKind, Reissue, Rules, Standing,
        Template, Ticket, capability,
    },
    ports::{CallError, Clock as _, Journal as _, Rpc},
    records::{Batch, RecordKind, Scope},
    types::{
        Code, Kind, MemberId, NetworkId, PeerCode, ProposalId, Span,
        limits::{
            CHARTERS_SEEN_MAX, NEWS_PAUSE, PROPOSAL_LIFE, PROPOSALS_PER_AUTHORITY_MAX,
            RECOVERY_WAIT,
        },
    },
    wire::{self, CharterAnswer, CharterRequest, Hello, ProposeAnswer},
};
use chartmesh_tests::{Fate, Frame, Kind as FrameKind, SimDisk, SimNet, SimNode};
use std::sync::Arc;

use crate::{liar::Liar, revoke::listen, scenario::*};

pub(crate) struct Trio {
    pub(crate) net: Arc<SimNet>,
    pub(crate) a: SimNode,
    pub(crate) b: SimNode,
    pub(crate) c: SimNode,
}

pub(crate) fn node(net: &Arc<SimNet>, seed: u8) -> SimNode {
    let name = format!("Organisation {seed}");
    SimNode::start(net, &SimDisk::default(), start(seed, &name, Kind::Clinic))
}

/// Three authorities, two of which must sign, that founded a network by files and know each other.
pub(crate) async fn trio() -> Trio {
    trio_with(Vec::new()).await
}

async fn trio_with(recovery: Vec<[u8; 32]>) -> Trio {
    let net = SimNet::new(20);
    let (a, b, c) = (node(&net, 1), node(&net, 2), node(&net, 3));
    let mut founding = founding(Rules::of(Template::OptIn));
    founding.threshold = 2;
    let offers = [b.own_offer(), c.own_offer()];
    let file = a.propose_founding(founding, &offers, recovery).unwrap();
    assert_eq!(
        code(a.found_by_file(&admin(), &file.proposals).await),
        Some(Code::QuorumRequired)
    );
    let file = b.cosign_file(&admin(), file.proposals).await.unwrap();
    a.found_by_file(&admin(), &file.proposals).await.unwrap();
    for node in [&b, &c] {
        let ticket = ticket(&a).await;
        node.join(&admin(), &ticket).await.unwrap();
        let _asked = node.poll_join().await.unwrap();
        assert_eq!(node.poll_join().await.unwrap(), JoinState::Approved);
    }
    meet(&[&a, &b, &c]).await;
    Trio { net, a, b, c }
}

/// A round of everybody with everybody, as the daemon has it every minute.
pub(crate) async fn meet(nodes: &[&SimNode]) {
    for one in nodes {
        for other in nodes {
            if one.member() != other.member() && one.greet(other.node_key()).await.is_ok() {
                let _as_far_as_it_goes = one.pull_charters(other.node_key()).await;
                let _as_far_as_it_goes = one.exchange_proposals(other.member()).await;
                let _as_far_as_it_goes = one.sync_members(other.member()).await;
            }
        }
    }
}

pub(crate) async fn asked(inviter: &SimNode, applicant: &SimNode) -> Ticket {
    let ticket = ticket(inviter).await;
    applicant.join(&admin(), &ticket).await.unwrap();
    assert_eq!(applicant.poll_join().await.unwrap(), JoinState::Pending);
    ticket
}

fn only(node: &SimNode) -> ProposalId {
    let views = node.proposals();
    assert_eq!(views.len(), 1);
    views[0].id
}

/// The third authority is away the whole time.
#[tokio::test(start_paused = true)]
async fn two_of_three_admit_a_member_while_the_third_is_away() {
    let Trio { net, a, b, c } = trio().await;
    let applicant = node(&net, 10);
    let asked = asked(&a, &applicant).await;
    c.crash(0);

    let approval = a
        .approve(&admin(), &applicant.own_words(&asked))
        .await
        .unwrap();

    assert_eq!((approval.view.signed, approval.view.threshold), (1, 2));
    assert_eq!(applicant.poll_join().await.unwrap(), JoinState::Pending);
    assert!(a.send_proposal(c.member(), approval.view.id).await.is_err());
    a.send_proposal(b.member(), approval.view.id).await.unwrap();
    let seen = b.proposals();
    assert!(
        seen[0]
            .lines
            .iter()
            .any(|line| line.value == "Organisation 10")
    );
    let signed = b.cosign(&admin(), seen[0].id).await.unwrap();
    assert!(signed.complete);
    b.send_proposal(a.member(), signed.id).await.unwrap();
    assert_eq!(applicant.poll_join().await.unwrap(), JoinState::Approved);
    assert!(a.proposals().is_empty() && b.proposals().is_empty());
    let c = c.restarted();
    meet(&[&a, &b, &c]).await;
    applicant.greet(c.node_key()).await.unwrap();
    assert!(c.is_member(applicant.node_key()));
}

/// The authority that signed last is gone before it could tell anybody but its own disk.
#[tokio::test(start_paused = true)]
async fn a_signature_that_was_given_survives_a_crash_and_spreads_later() {
    let Trio { net, a, b, c } = trio().await;
    let applicant = node(&net, 10);
    let asked = asked(&a, &applicant).await;
    let words = applicant.own_words(&asked);
    a.approve(&admin(), &words).await.unwrap();
    meet(&[&a, &b, &c]).await;
    b.cosign(&admin(), only(&b)).await.unwrap();

    let b = b.restarted();
    assert_eq!(applicant.poll_join().await.unwrap(), JoinState::Pending);
    meet(&[&a, &b, &c]).await;

    assert_eq!(applicant.poll_join().await.unwrap(), JoinState::Approved);
}

#[tokio::test(start_paused = true)]
async fn an_authority_signs_one_credential_for_an_organisation() {
    let Trio { net, a, b, c } = trio().await;
    let twin = |seed: u8, npi: &str| {
        let mut start = start(seed, "Cedar", Kind::Clinic);
        start.organization.npi = npi.to_owned();
        SimNode::start(&net, &SimDisk::default(), start)
    };
    let (one, other, third) = (
        twin(10, "1234567893"),
        twin(11, "1234567893"),
        twin(12, "1245319599"),
    );
    let ticket = asked(&a, &one).await;
    let first = a.approve(&admin(), &one.own_words(&ticket)).await.unwrap();
    let ticket = asked(&b, &third).await;
    assert!(b.approve(&admin(), &third.own_words(&ticket)).await.is_ok());
    let ticket = asked(&b, &other).await;
    b.approve(&admin(), &other.own_words(&ticket))
        .await
        .unwrap();
    meet(&[&a, &b, &c]).await;

    let second = b.cosign(&admin(), first.view.id).await;

    assert_eq!(code(second), Some(Code::OrganizationActive));
    assert!(c.cosign(&admin(), first.view.id).await.unwrap().complete);
    let rest = c.proposals();
    assert_eq!(rest.len(), 2);
    for view in rest {
        let same_npi = view.lines.iter().any(|line| line.value == "1234567893");
        let signed = c.cosign(&admin(), view.id).await;
        let expected = same_npi.then_some(Code::OrganizationActive);
        assert_eq!(code(signed), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_without_an_authority_key_may_not_propose() {
    let Trio { net, a, b, c } = trio().await;
    let stranger = node(&net, 10);
    let ticket = asked(&a, &stranger).await;
    a.approve(&admin(), &stranger.own_words(&ticket))
        .await
        .unwrap();
    meet(&[&a, &b]).await;
    b.cosign(&admin(), only(&b)).await.unwrap();
    meet(&[&a, &b, &c]).await;
    assert_eq!(stranger.poll_join().await.unwrap(), JoinState::Approved);
    meet(&[&a, &stranger]).await;
    let change = Amendment {
        add: vec![(
            stranger.identity().authority.public(),
            stranger.identity().status().public(),
        )],
        ..Amendment::default()
    };
    let proposed = a.amend(&admin(), &change).await.unwrap();
    assert!(a.send_proposal(b.member(), proposed.id).await.is_ok());

    // It has the proposal that would make it one, from wherever.
    let mut batch = Batch::default();
    let body = wire::encode_proposal(&proposed.proposal);
    batch.push(RecordKind::Proposal, Scope::Store, body);
    stranger.world().commit(batch).await.unwrap();
    let told = stranger.send_proposal(a.member(), proposed.id).await;

    assert_eq!(told, Err(PeerCode::Denied));
    assert_eq!(refusals(&a).await, [Code::NotAuthority]);
}

#[tokio::test(start_paused = true)]
async fn an_authority_has_proposals_per_authority_max_waiting_and_others_still_have_room() {
    let Trio { net, a, b, c } = trio().await;
    let mut waiting = Vec::new();
    for seed in 0..=PROPOSALS_PER_AUTHORITY_MAX as u8 {
        let applicant = node(&net, 100 + seed);
        let ticket = asked(&a, &applicant).await;
        let words = applicant.own_words(&ticket);
        waiting.push(a.approve(&admin(), &words).await.unwrap().view.id);
    }
    let last = waiting.pop().unwrap();
    for id in waiting {
        assert_eq!(a.send_proposal(b.member(), id).await, Ok(false));
    }
    assert_eq!(b.proposals().len(), PROPOSALS_PER_AUTHORITY_MAX);

    let beyond = a.send_proposal(b.member(), last).await;

    assert_eq!(beyond, Err(PeerCode::OverBudget));
    let applicant = node(&net, 90);
    let ticket = asked(&c, &applicant).await;
    let words = applicant.own_words(&ticket);
    let other = c.approve(&admin(), &words).await.unwrap().view.id;
    assert_eq!(c.send_proposal(b.member(), other).await, Ok(false));
    pass(PROPOSAL_LIFE.0).await;
    assert!(b.proposals().is_empty(), "nothing waits for ever");
}

pub(crate) fn other_rules(days: u64) -> Amendment {
    let mut rules = Rules::of(Template::OptIn);
    rules.notice = Span::days(days);
    Amendment {
        rules: Some((Template::OptIn, rules)),
        ..Amendment::default()
    }
}

pub(crate) fn version(node: &SimNode) -> u64 {
    node.current_network().unwrap().charter.version
}

#[tokio::test(start_paused = true)]
async fn a_charter_of_two_authorities_reaches_every_member_and_a_newcomer() {
    let Trio { net, a, b, c } = trio().await;
    let proposed = a.amend(&admin(), &other_rules(3)).await.unwrap();
    assert!(!proposed.complete);
    assert_eq!(version(&a), 0);
    meet(&[&a, &b]).await;

    b.cosign(&admin(), proposed.id).await.unwrap();
    assert_eq!(version(&b), 1);
    c.greet(b.node_key()).await.unwrap();
    meet(&[&a, &b, &c]).await;

    assert_eq!([version(&a), version(&b), version(&c)], [1, 1, 1]);
    let a = a.restarted();
    assert_eq!(version(&a), 1);
    meet(&[&a, &b, &c]).await;
    let applicant = node(&net, 10);
    let ticket = asked(&a, &applicant).await;
    let words = applicant.own_words(&ticket);
    a.approve(&admin(), &words).await.unwrap();
    meet(&[&a, &b, &c]).await;
    b.cosign(&admin(), only(&b)).await.unwrap();
    meet(&[&a, &b, &c]).await;
    assert_eq!(applicant.poll_join().await.unwrap(), JoinState::Approved);
    assert_eq!(version(&applicant), 1);
    assert_eq!(audited(&c, Audited::CharterChanged).await.len(), 1);
}

/// Authorities that come in must sign, and those that went count no longer once the charter says so.
#[tokio::test(start_paused = true)]
async fn credentials_of_authorities_that_went_count_until_the_charter_says_otherwise() {
    let Trio { a, b, c, .. } = trio().await;
    let change = |counts_from| Amendment {
        remove: vec![
            c.identity().authority.public(),
            c.identity().status().public(),
        ],
        counts_from,
        ..Amendment::default()
    };
    let proposed = a.amend(&admin(), &change(None)).await.unwrap();
    meet(&[&a, &b, &c]).await;
    b.cosign(&admin(), proposed.id).await.unwrap();
    meet(&[&a, &b, &c]).await;
    assert_eq!([version(&a), version(&c)], [1, 1]);
    assert!(
        a.is_member(c.node_key()),
        "signed by authorities of version 0"
    );
    assert_eq!(
        code(c.amend(&admin(), &other_rules(1)).await),
        Some(Code::NotAuthority)
    );

    let amendment = Amendment {
        counts_from: Some(1),
        ..Amendment::default()
    };
    let proposed = a.amend(&admin(), &amendment).await.unwrap();
    meet(&[&a, &b]).await;
    b.cosign(&admin(), proposed.id).await.unwrap();

    // The credentials of the founding were signed by both that are left.
    assert!(b.is_member(a.node_key()));
}

/// Two of three sign two charters of one number: the fork that a quorum makes impossible for honest ones.
async fn fork(trio: &Trio) -> [Proposal; 2] {
    let network = trio.a.current_network().unwrap();
    let link = network.chain.in_force();
    let signed = |days: u64, now: u64| {
        let charter = link
            .amended(
                &other_rules(days),
                network.charter.issued_at.plus(Span(now)),
                [9; 16],
            )
            .unwrap();
        let mut proposal = Proposal::unsigned(ProposalKind::Charter, &charter);
        for signer in [&trio.a, &trio.b] {
            proposal.sign(&signer.identity().authority, link).unwrap();
        }
        proposal
    };
    [signed(1, 1), signed(2, 2)]
}

#[tokio::test(start_paused = true)]
async fn two_charters_of_one_number_are_kept_until_an_administrator_decides() {
    let trio = trio().await;
    let [one, other] = fork(&trio).await;
    let Trio { net, a, b, c } = trio;
    a.take_file(vec![one.clone()]).await.unwrap();
    b.take_file(vec![other.clone()]).await.unwrap();
    meet(&[&c, &a]).await;
    assert_eq!(version(&c), 1);
    let applicant = node(&net, 10);
    let ticket = asked(&c, &applicant).await;
    let words = applicant.own_words(&ticket);
    assert!(c.approve(&admin(), &words).await.is_ok());

    meet(&[&b, &c]).await;

    let in_force = |node: &SimNode| node.current_network().unwrap().envelope.hash();
    assert_eq!(in_force(&c), one.signed.hash(), "it keeps the one it had");
    let disputed = c.disputed_charters();
    assert_eq!(disputed.len(), 1);
    assert_eq!(disputed[0].standing, Standing::Fork);
    assert_eq!(disputed[0].hash, other.signed.hash());
    assert_eq!(disputed[0].rival, Some(one.signed.hash()));
    let refused = Some(Code::CharterFork);
    assert_eq!(code(c.approve(&admin(), &words).await), refused);
    assert_eq!(code(c.amend(&admin(), &other_rules(5)).await), refused);
    assert!(
        a.greet(c.node_key()).await.is_ok(),
        "known members are served"
    );
    assert!(c.greet(b.node_key()).await.is_ok());
    let c = c.restarted();
    assert_eq!(c.disputed_charters().len(), 1);

    assert_eq!(
        code(c.adopt(&admin(), [7; 32]).await),
        Some(Code::ProposalUnknown)
    );
    c.adopt(&admin(), other.signed.hash()).await.unwrap();

    assert_eq!(in_force(&c), other.signed.hash());
    assert!(c.disputed_charters().is_empty());
    meet(&[&a, &c]).await;
    assert!(c.disputed_charters().is_empty(), "it was decided");
    let c = c.restarted();
    assert_eq!(in_force(&c), other.signed.hash());
    assert!(c.amend(&admin(), &other_rules(5)).await.is_ok());
}

/// Both are asked at the same moment, and both answer with what they have: all signatures.
#[tokio::test(start_paused = true)]
async fn a_charter_that_two_authorities_bring_at_once_is_written_once() {
    let Trio { a, b, c, .. } = trio().await;
    let proposed = a.amend(&admin(), &other_rules(3)).await.unwrap();
    a.send_proposal(b.member(), proposed.id).await.unwrap();
    b.cosign(&admin(), proposed.id).await.unwrap();
    b.send_proposal(c.member(), proposed.id).await.unwrap();
    assert_eq!([version(&a), version(&b), version(&c)], [0, 1, 1]);
    // So that the second comes while the first is being written.
    a.world().set_fsync(100);

    let (one, other) = futures::join!(
        a.send_proposal(b.member(), proposed.id),
        a.send_proposal(c.member(), proposed.id)
    );

    assert!(one.is_ok() && other.is_ok());
    assert_eq!(version(&a), 1);
    assert_eq!(audited(&a, Audited::CharterChanged).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_signed_one_charter_signs_no_other_of_its_number() {
    let Trio { a, .. } = trio().await;
    assert!(a.amend(&admin(), &other_rules(1)).await.is_ok());

    let second = a.amend(&admin(), &other_rules(2)).await;

    assert_eq!(code(second), Some(Code::ProposalConflict));
}

/// A quorum that has gone mad signs one charter after another with the same number.
#[tokio::test(start_paused = true)]
async fn of_many_charters_of_one_number_charters_seen_max_are_kept() {
    let trio = trio().await;
    let network = trio.a.current_network().unwrap();
    let link = network.chain.in_force();
    let signed = |number: u8| {
        let charter = link
            .amended(&other_rules(1), network.charter.issued_at, [number; 16])
            .unwrap();
        let mut proposal = Proposal::unsigned(ProposalKind::Charter, &charter);
        for signer in [&trio.a, &trio.b] {
            proposal.sign(&signer.identity().authority, link).unwrap();
        }
        proposal
    };
    let hostile = |number: u8| {
        let mut batch = Batch::default();
        let body = wire::encode_charter_seen(&signed(number).signed);
        batch.push(RecordKind::CharterSeen, Scope::Store, body);
        batch
    };
    trio.b.take_file(vec![signed(0)]).await.unwrap();
    trio.c.take_file(vec![signed(0)]).await.unwrap();
    for number in 1..CHARTERS_SEEN_MAX as u8 {
        trio.b.world().commit(hostile(number)).await.unwrap();
    }
    trio.c.pull_charters(trio.b.node_key()).await.unwrap();
    assert_eq!(trio.c.disputed_charters().len(), CHARTERS_SEEN_MAX - 1);

    for number in 0..3 {
        let one_more = hostile(CHARTERS_SEEN_MAX as u8 + number);
        trio.b.world().commit(one_more).await.unwrap();
    }
    trio.c.pull_charters(trio.b.node_key()).await.unwrap();

    assert_eq!(trio.c.disputed_charters().len(), CHARTERS_SEEN_MAX);
}

fn recovery_key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&SecretKey::new([seed; 32]))
}

/// Authorities `a` and `b` have lost their keys; `c` and the recovery keys are left.
#[tokio::test(start_paused = true)]
async fn recovery_keys_replace_the_authorities_after_recovery_wait_and_not_before() {
    let keys = [recovery_key(201), recovery_key(202), recovery_key(203)];
    let Trio { a, b, c, .. } = trio_with(keys.iter().map(SigningKey::public).collect()).await;
    let gone = [&a, &b].map(|node| node.identity().authority.public());
    let change = Amendment {
        remove: gone.to_vec(),
        counts_from: None,
        ..Amendment::default()
    };
    let too_few = c.recover(&admin(), &change, &keys[..1]).await.unwrap();
    assert!(!too_few.complete);
    let more = Amendment {
        rules: other_rules(1).rules,
        ..change.clone()
    };
    assert_eq!(
        code(c.recover(&admin(), &more, &keys[..2]).await),
        Some(Code::NotAuthority),
        "rules are not theirs to change"
    );

    let complete = c.recover(&admin(), &change, &keys[..2]).await.unwrap();

    assert!(complete.complete);
    let waits = c.disputed_charters();
    assert_eq!(waits[0].standing, Standing::Recovery);
    let at = waits[0].first_seen.plus(RECOVERY_WAIT);
    assert_eq!(waits[0].takes_effect, Some(at));
    meet(&[&a, &c]).await;
    assert_eq!(a.disputed_charters().len(), 1, "everybody is alarmed");
    // Shown as a proposal too, it is still one, and nothing to be written again each minute.
    let shown = Proposal {
        kind: ProposalKind::Charter,
        signed: complete.proposal.signed.clone(),
    };
    a.take_file(vec![shown]).await.unwrap();
    assert_eq!(a.settle_proposals().await.unwrap(), 0);
    assert_eq!(audited(&a, Audited::CharterSeen).await.len(), 1);
    pass(RECOVERY_WAIT.0 - 60_000).await;
    assert_eq!(c.settle_recovery().await.ok(), Some(false));
    assert_eq!(version(&c), 0);
    let c = c.restarted();
    pass(60_001).await;
    assert_eq!(c.settle_recovery().await.ok(), Some(true));
    assert_eq!(version(&c), 1);
    assert!(c.disputed_charters().is_empty());
    assert_eq!(
        c.current_network().unwrap().charter.authorities,
        [c.identity().authority.public()]
    );
    let c = c.restarted();
    assert_eq!(version(&c), 1);
}

/// Hard case: nobody greets anybody, and a charter that waits stands in no Hello anyway.
#[tokio::test(start_paused = true)]
async fn everybody_hears_of_a_recovery_at_once() {
    let keys = [recovery_key(201)];
    let Trio { a, b, c, .. } = trio_with(keys.iter().map(SigningKey::public).collect()).await;
    for node in [&a, &b, &c] {
        listen(node);
    }
    pass(2 * NEWS_PAUSE.0).await;
    let change = Amendment {
        remove: [&a, &b]
            .map(|node| node.identity().authority.public())
            .to_vec(),
        ..Amendment::default()
    };
    assert!(a.disputed_charters().is_empty() && b.disputed_charters().is_empty());

    c.recover(&admin(), &change, &keys).await.unwrap();
    pass(2 * NEWS_PAUSE.0).await;

    assert_eq!([&a, &b].map(|node| node.disputed_charters().len()), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_recovered_network_admits_members() {
    let keys = [recovery_key(201), recovery_key(202), recovery_key(203)];
    let Trio { net, a, b, c } = trio_with(keys.iter().map(SigningKey::public).collect()).await;
    let gone = [&a, &b].map(|node| {
        let identity = node.identity();
        [identity.authority.public(), identity.status().public()]
    });
    let change = Amendment {
        remove: gone.concat(),
        ..Amendment::default()
    };
    c.recover(&admin(), &change, &keys[..2]).await.unwrap();
    pass(RECOVERY_WAIT.0 + 1).await;
    assert_eq!(c.settle_recovery().await.ok(), Some(true));
    let applicant = node(&net, 10);
    let ticket = asked(&c, &applicant).await;
    let words = applicant.own_words(&ticket);

    let approval = c.approve(&admin(), &words).await.unwrap();

    assert_eq!((approval.view.signed, approval.view.threshold), (1, 1));
    assert!(approval.view.complete);
    assert_eq!(applicant.poll_join().await.unwrap(), JoinState::Approved);
}

/// Hard case: it was signed for the charter that the administrator decides against.
#[tokio::test(start_paused = true)]
async fn a_recovery_of_a_charter_that_is_given_up_never_takes_effect() {
    for chosen in 0..2 {
        let keys = [recovery_key(201)];
        let trio = trio_with(keys.iter().map(SigningKey::public).collect()).await;
        let rivals = fork(&trio).await;
        let (b, c) = (&trio.b, &trio.c);
        c.take_file(vec![rivals[0].clone()]).await.unwrap();
        b.take_file(vec![rivals[1].clone()]).await.unwrap();
        let change = Amendment {
            remove: vec![trio.a.identity().authority.public()],
            ..Amendment::default()
        };
        c.recover(&admin(), &change, &keys).await.unwrap();
        meet(&[b, c]).await;
        assert_eq!(c.disputed_charters().len(), 2);

        c.adopt(&admin(), rivals[chosen].signed.hash())
            .await
            .unwrap();
        pass(RECOVERY_WAIT.0 + 1).await;

        let is_given_up = chosen == 1;
        assert_eq!(c.settle_recovery().await.ok(), Some(!is_given_up));
        assert_eq!(version(c), if is_given_up { 1 } else { 2 });
        assert!(c.disputed_charters().is_empty());
        let c = trio.c.restarted();
        assert!(c.invite(&admin(), Span::hours(1)).await.is_ok());
    }
}

/// The authorities were only said to be lost.
#[tokio::test(start_paused = true)]
async fn a_charter_of_the_authorities_makes_a_fork_of_a_recovery_that_waits() {
    let keys = [recovery_key(201)];
    let Trio { a, b, c, .. } = trio_with(keys.iter().map(SigningKey::public).collect()).await;
    let change = Amendment {
        remove: [&a, &b]
            .map(|node| node.identity().authority.public())
            .to_vec(),
        ..Amendment::default()
    };
    c.recover(&admin(), &change, &keys).await.unwrap();
    let proposed = a.amend(&admin(), &other_rules(2)).await.unwrap();
    meet(&[&a, &b]).await;
    b.cosign(&admin(), proposed.id).await.unwrap();

    meet(&[&c, &b]).await;

    assert_eq!(version(&c), 1);
    assert_eq!(c.disputed_charters()[0].standing, Standing::Fork);
    pass(RECOVERY_WAIT.0 + 1).await;
    assert_eq!(c.settle_recovery().await.ok(), Some(false));
}

/// Admits an applicant by two of three.
pub(crate) async fn admitted(trio: &Trio, applicant: &SimNode) {
    let ticket = asked(&trio.a, applicant).await;
    let words = applicant.own_words(&ticket);
    let approval = trio.a.approve(&admin(), &words).await.unwrap();
    meet(&[&trio.a, &trio.b]).await;
    trio.b.cosign(&admin(), approval.view.id).await.unwrap();
    meet(&[&trio.a, &trio.b, &trio.c]).await;
    assert_eq!(applicant.poll_join().await.unwrap(), JoinState::Approved);
    meet(&[&trio.a, &trio.b, &trio.c, applicant]).await;
}

/// The node was stolen; the organisation stands at the door with a new one.
#[tokio::test(start_paused = true)]
async fn after_a_loss_two_of_three_reissue_and_the_old_key_is_refused_at_its_next_request() {
    let trio = trio().await;
    let old = node(&trio.net, 10);
    admitted(&trio, &old).await;
    assert!(old.greet(trio.b.node_key()).await.is_ok());
    let again = start(11, "Organisation 10", Kind::Clinic);
    let new = SimNode::start_as(&trio.net, &SimDisk::default(), again, old.member());
    let (a, b) = (&trio.a, &trio.b);
    // Somebody else waits, who is not to be given the member's place.
    let somebody = node(&trio.net, 12);
    asked(a, &somebody).await;
    assert_eq!(
        code(a.reissue(&admin(), old.member(), &Reissue::Loss).await),
        Some(Code::RequestUnknown)
    );
    let ticket = asked(a, &new).await;
    let words = new.own_words(&ticket);
    assert_eq!(
        code(a.approve(&admin(), &words).await),
        Some(Code::OrganizationActive),
        "a member is not admitted twice"
    );

    let approval = a
        .reissue(&admin(), old.member(), &Reissue::Loss)
        .await
        .unwrap();
    assert!(!approval.view.complete);
    meet(&[a, b]).await;
    let seen = b.proposals();
    let replaces = old.node_key().to_string();
    assert!(seen[0].lines.iter().any(|line| line.value == replaces));
    b.cosign(&admin(), seen[0].id).await.unwrap();

    let told = old.greet(b.node_key()).await;
    assert_eq!(told, Err(CallError::Refused(PeerCode::NotMember)));
    assert_eq!(refusals(b).await, [Code::KeyRevoked]);
    meet(&[a, b, &trio.c]).await;
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Approved);
    assert!(new.greet(b.node_key()).await.is_ok());
    assert!(b.is_member(new.node_key()) && !b.is_member(old.node_key()));
}

#[tokio::test(start_paused = true)]
async fn a_new_node_key_is_signed_by_the_old_one_and_by_a_quorum() {
    let trio = trio().await;
    let member = node(&trio.net, 10);
    admitted(&trio, &member).await;
    let next = SigningKey::from_seed(&SecretKey::new([77; 32]));
    let change = member.change_node_key(&next).unwrap();
    let mut forged = change.clone();
    forged.signatures.remove(0);
    let reissued = async |change: &Envelope| {
        trio.a
            .reissue(&admin(), member.member(), &Reissue::Change(change.clone()))
            .await
    };
    assert_eq!(code(reissued(&forged).await), Some(Code::ProposalRefused));

    let approval = reissued(&change).await.unwrap();

    assert_eq!(approval.credential.sequence, 2);
    assert!(
        trio.a.is_member(member.node_key()),
        "one signature is nothing"
    );
    meet(&[&trio.a, &trio.b]).await;
    trio.b.cosign(&admin(), approval.view.id).await.unwrap();
    assert!(!trio.b.is_member(member.node_key()));
    meet(&[&trio.a, &trio.b]).await;
    assert!(!trio.a.is_member(member.node_key()));
    assert!(!member.is_superseded());
    let pulled = member.pull_charters(trio.b.node_key()).await;
    assert_eq!(pulled, Ok(true), "it is told by what it is a member again");
    assert!(member.is_superseded());
    let stranger = node(&trio.net, 12);
    let told = stranger.pull_charters(trio.b.node_key()).await;
    assert!(told.is_err(), "nobody else is");
    assert_eq!(
        code(
            trio.a
                .reissue(&admin(), member.member(), &Reissue::Change(change))
                .await
        ),
        Some(Code::ProposalRefused),
        "a change counts once"
    );
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_signatures_waits_proposal_life_in_the_order_in_which_it_came() {
    let Trio { net, a, b, .. } = trio().await;
    let mut expected = Vec::new();
    for seed in 10..15 {
        let applicant = node(&net, seed);
        let ticket = asked(&a, &applicant).await;
        let words = applicant.own_words(&ticket);
        let approved = a.approve(&admin(), &words).await.unwrap();
        expected.push(approved.view.id);
        // Asked again, the answer is what this node signed already.
        pass(1_000).await;
        let again = a.approve(&admin(), &words).await.unwrap();
        assert_eq!(again.view.id, approved.view.id);
    }
    let waiting = a.proposals();
    let ids: Vec<_> = waiting.iter().map(|view| view.id).collect();
    assert_eq!(ids, expected);
    a.send_proposal(b.member(), ids[0]).await.unwrap();
    let ends = b.proposals()[0].since.unwrap().plus(PROPOSAL_LIFE);
    pass(ends.since(b.world().now()).0 - 1).await;
    assert_eq!(b.proposals().len(), 1);
    assert_eq!(b.proposals_to_sign().len(), 1);

    pass(1).await;

    assert!(b.proposals().is_empty() && b.proposals_to_sign().is_empty());
    net.rewind();
    assert_eq!(b.exchange_proposals(a.member()).await, Ok(0));
    assert!(net.tape().iter().all(|frame| frame.rpc != Rpc::Propose));
    let unknown = b.cosign(&admin(), ids[1]).await;
    assert_eq!(code(unknown), Some(Code::ProposalUnknown));
    let named = b.cosign(&admin(), ids[0]).await;
    assert!(named.unwrap().complete, "who names it may sign it");
}

/// Hard case: all that could sign have drawn it up themselves, cut off from each other.
#[tokio::test(start_paused = true)]
async fn of_the_same_that_each_authority_has_drawn_up_one_is_completed() {
    let trio = trio().await;
    let (member, thief) = (node(&trio.net, 10), node(&trio.net, 11));
    admitted(&trio, &member).await;
    admitted(&trio, &thief).await;
    let all = [&trio.a, &trio.b, &trio.c];
    let (mut renewals, mut lists) = (Vec::new(), Vec::new());
    for authority in all {
        let renewed = authority
            .reissue(&admin(), member.member(), &Reissue::Renewal)
            .await;
        renewals.push(renewed.unwrap().view.proposal);
        let revoked = authority
            .revoke_member(&admin(), thief.member(), "stolen")
            .await;
        lists.push(revoked.unwrap().proposal.unwrap().proposal);
        // An honest one of that number, so that the charter does not fall in two.
        assert!(authority.amend(&admin(), &other_rules(1)).await.is_ok());
        pass(1_000).await;
    }
    meet(&all).await;
    for proposals in [&mut renewals, &mut lists] {
        proposals.sort_by_key(|proposal| proposal.signed.hash());
        let [smallest, .., largest] = &proposals[..] else {
            panic!("three were drawn up");
        };
        let drew_up = |proposal: &Proposal| {
            let mut of = all.into_iter();
            of.find(|node| proposal.is_signed_by(&node.identity().authority.public()))
                .unwrap()
        };
        let (first, last) = (drew_up(smallest), drew_up(largest));
        let conflict = Some(Code::ProposalConflict);
        assert_eq!(code(first.cosign(&admin(), largest.id()).await), conflict);

        let signed = last.cosign(&admin(), smallest.id()).await.unwrap();

        assert!(signed.complete);
    }
    meet(&all).await;
    for authority in all {
        assert!(!authority.is_member(thief.node_key()));
        let known = authority.member_views().into_iter();
        let mut known = known.map(|view| view.credential);
        let renewed = known.find(|credential| credential.member == member.member());
        assert_eq!(renewed.unwrap().sequence, 2);
    }
    let charters: Vec<ProposalId> = trio.a.proposals().iter().map(|view| view.id).collect();
    let refused = async |id| code(trio.b.cosign(&admin(), id).await);
    assert_eq!(charters.len(), 3, "nothing else waits");
    let own = async |id| refused(id).await.is_none();
    let mut signed = 0;
    for id in charters {
        signed += usize::from(own(id).await);
    }
    assert_eq!(signed, 1, "of charters only its own");
}

/// Nobody else signed in time, and who signed may sign nothing else of the same.
#[tokio::test(start_paused = true)]
async fn what_waited_in_vain_is_proposed_again_with_the_signature_it_has() {
    let trio = trio().await;
    let (member, thief) = (node(&trio.net, 10), node(&trio.net, 11));
    admitted(&trio, &member).await;
    admitted(&trio, &thief).await;
    let Trio { a, b, .. } = &trio;
    let proposed = async || {
        let renewed = a
            .reissue(&admin(), member.member(), &Reissue::Renewal)
            .await;
        let revoked = a.revoke_member(&admin(), thief.member(), "stolen").await;
        let amended = a.amend(&admin(), &other_rules(1)).await;
        [
            renewed.unwrap().view.id,
            revoked.unwrap().proposal.unwrap().id,
            amended.unwrap().id,
        ]
    };
    let first = proposed().await;
    pass(1_000).await;
    assert_eq!(proposed().await, first, "it waits");
    pass(PROPOSAL_LIFE.0).await;
    assert!(a.proposals().is_empty());

    let again = proposed().await;

    assert_eq!(again, first);
    let (a, b) = (&a.restarted(), &b.restarted());
    assert_eq!(a.proposals().len(), 3);
    meet(&[a, b]).await;
    for id in again {
        assert!(b.cosign(&admin(), id).await.unwrap().complete);
    }
    let known = b.member_views().into_iter().map(|view| view.credential);
    let renewed = known.filter(|credential| credential.member == member.member());
    assert!(renewed.map(|credential| credential.sequence).eq([2]));
    assert!(!b.is_member(thief.node_key()));
    assert_eq!(version(b), 1);
}

#[tokio::test(start_paused = true)]
async fn who_signed_one_charter_or_credential_signs_no_rival_and_may_propose_one_it_did_not_sign() {
    let trio = trio().await;
    let member = node(&trio.net, 10);
    admitted(&trio, &member).await;
    let Trio { a, b, .. } = &trio;
    let first = a.amend(&admin(), &other_rules(1)).await.unwrap();
    a.send_proposal(b.member(), first.id).await.unwrap();
    let reissued = async |seed: u8| {
        let next = SigningKey::from_seed(&SecretKey::new([seed; 32]));
        let change = member.change_node_key(&next).unwrap();
        a.reissue(&admin(), member.member(), &Reissue::Change(change))
            .await
    };
    let id = reissued(77).await.unwrap().view.id;
    pass(1_000).await;

    let rival = b.amend(&admin(), &other_rules(2)).await;
    assert!(rival.is_ok(), "it had signed none of that number");
    let conflict = Some(Code::ProposalConflict);
    assert_eq!(code(b.cosign(&admin(), first.id).await), conflict);
    assert_eq!(code(reissued(78).await), conflict);
    assert_eq!(reissued(77).await.unwrap().view.id, id);
}

/// Hard case: it comes in by the charter that it signs last, so that nobody knows of it before.
#[tokio::test(start_paused = true)]
async fn an_authority_that_comes_in_says_so_from_then_on_and_writes_nothing_twice() {
    let trio = trio().await;
    let new = node(&trio.net, 10);
    admitted(&trio, &new).await;
    let Trio { net, a, b, c } = &trio;
    let named = |node: &SimNode| {
        let record = node.own_node_record().unwrap();
        let record = a.read_node_record(node.node_key(), &record).unwrap();
        record.capabilities.contains(&capability::AUTHORITY)
    };
    assert!(named(b) && !named(&new) && !new.is_authority());
    let foreign = b.own_node_record().unwrap();
    assert!(a.read_node_record(new.node_key(), &foreign).is_none());
    let stranger = node(net, 11);
    assert!(stranger.own_node_record().is_none());
    let change = Amendment {
        add: vec![(
            new.identity().authority.public(),
            new.identity().status().public(),
        )],
        ..Amendment::default()
    };
    let id = a.amend(&admin(), &change).await.unwrap().id;
    a.send_proposal(b.member(), id).await.unwrap();
    assert!(!b.cosign(&admin(), id).await.unwrap().complete);
    let before = b.disk().writes();
    net.rewind();
    assert_eq!(a.send_proposal(b.member(), id).await, Ok(true));
    let asked = net
        .tape()
        .into_iter()
        .filter(|frame| frame.rpc == Rpc::Propose && frame.kind == FrameKind::Question);
    assert_eq!(asked.count(), 1, "whose key it is was proved before");
    assert_eq!(b.disk().writes(), before, "nothing of it was new there");
    assert_eq!(a.send_proposal(b.member(), id).await, Ok(false));
    let two = b.proposals().remove(0).proposal;

    let signed = new.cosign_file(&admin(), vec![two]).await.unwrap();

    assert!(signed.views[0].complete);

    assert!(new.is_authority() && version(&new) == 1 && named(&new));
    meet(&[a, b, c, &new]).await;
    let a = a.restarted();
    for node in [b, c, &new] {
        node.greet(a.node_key()).await.unwrap();
    }
    let mut others = [b, c, &new].map(|node| node.member());
    others.sort();
    assert_eq!(a.authority_members(), others);
    assert!(b.proposals().is_empty());
}

/// Whoever holds no authority key shows nothing to anybody, and is shown nothing.
#[tokio::test(start_paused = true)]
async fn a_claim_to_a_key_that_is_no_authority_is_denied() {
    let trio = trio().await;
    let member = node(&trio.net, 10);
    admitted(&trio, &member).await;
    let Trio { net, a, b, .. } = &trio;
    let id = a.amend(&admin(), &other_rules(1)).await.unwrap().id;
    let a = &a.restarted();
    let network = a.current_network().unwrap().id;
    let claim = AuthorityClaim {
        network,
        member: b.member(),
        node_key: b.node_key(),
    };
    let by_other = b.identity().status().sign(&network, &claim);
    let mut lies = true;
    let liar = Liar::at(net, b, 2);
    liar.says(Rpc::Propose, move |answer: &mut ProposeAnswer| {
        if std::mem::take(&mut lies) {
            answer.claim = by_other.clone();
        }
    });

    let told = a.send_proposal(b.member(), id).await;
    assert_eq!(told, Err(PeerCode::Denied));
    assert!(b.proposals().is_empty());
    assert_eq!(a.send_proposal(b.member(), id).await, Ok(false));
    assert_eq!(b.proposals().len(), 1);
    net.rewind();
    assert_eq!(member.send_proposal(b.member(), id).await, Ok(false));
    assert!(net.tape().is_empty());
}

/// Hard case: the one whose word counts no more had signed what still waits.
#[tokio::test(start_paused = true)]
async fn what_waits_loses_the_signatures_of_who_went_and_can_be_completed_without_them() {
    let net = SimNet::new(20);
    let (a, b, c) = (node(&net, 1), node(&net, 2), node(&net, 3));
    let mut founding = founding(Rules::of(Template::OptIn));
    founding.threshold = 3;
    let offers = [b.own_offer(), c.own_offer()];
    let mut file = a.propose_founding(founding, &offers, Vec::new()).unwrap();
    for signer in [&b, &c] {
        file = signer.cosign_file(&admin(), file.proposals).await.unwrap();
    }
    for founder in [&a, &b, &c] {
        let founded = founder.found_by_file(&admin(), &file.proposals).await;
        assert!(founded.is_ok());
    }
    let applicant = node(&net, 10);
    let ticket = asked(&a, &applicant).await;
    let words = applicant.own_words(&ticket);
    let waiting = a.approve(&admin(), &words).await.unwrap().view;
    let signed = c.cosign_file(&admin(), vec![waiting.proposal]).await;
    assert!(!signed.unwrap().views[0].complete, "two of three");
    let change = Amendment {
        remove: [
            c.identity().authority.public(),
            c.identity().status().public(),
        ]
        .to_vec(),
        threshold: Some(2),
        ..Amendment::default()
    };
    meet(&[&a, &b, &c]).await;
    assert_eq!(only(&b), waiting.id);
    assert_eq!(b.proposals()[0].signed, 2);
    let amended = a.amend(&admin(), &change).await.unwrap();
    let mut file = vec![amended.proposal];
    for signer in [&b, &c] {
        file = signer.cosign_file(&admin(), file).await.unwrap().proposals;
    }
    for node in [&a, &b] {
        node.take_file(file.clone()).await.unwrap();
        assert_eq!(version(node), 1);
    }

    assert_eq!(b.proposals()[0].signed, 1);
    assert!(b.cosign(&admin(), waiting.id).await.unwrap().complete);

    assert!(b.is_member(applicant.node_key()));
}

/// The order of two records of one proposal in a journal, or what the later lacks, loses nothing.
#[tokio::test(start_paused = true)]
async fn a_proposal_keeps_its_signatures_and_its_age_whatever_is_written_of_it() {
    let Trio { a, b, .. } = trio().await;
    let proposed = a.amend(&admin(), &other_rules(1)).await.unwrap();
    let before = only_view(&a);
    assert!(before.signed_here);
    pass(60_000).await;
    let mut bare = proposed.proposal;
    bare.signed.signatures.clear();
    let link = a.current_network().unwrap();
    let link = link.chain.in_force();
    bare.sign(&b.identity().authority, link).unwrap();
    let mut batch = Batch::default();
    let body = wire::encode_proposal(&bare);
    batch.push(RecordKind::Proposal, Scope::Store, body);

    assert!(a.world().commit(batch).await.is_ok());

    let after = only_view(&a);
    assert_eq!(after.signed, 2);
    assert!(after.signed_here);
    assert_eq!(after.since, before.since);
}

fn only_view(node: &SimNode) -> ProposalView {
    let mut views = node.proposals();
    assert_eq!(views.len(), 1);
    views.remove(0)
}

/// A node that goes by one of two charters of a number, knows the other, and is in touch with both sides.
struct Forked {
    trio: Trio,
    one: Proposal,
    other: Proposal,
}

async fn forked() -> Forked {
    let trio = trio().await;
    let [one, other] = fork(&trio).await;
    trio.a.take_file(vec![one.clone()]).await.unwrap();
    trio.b.take_file(vec![other.clone()]).await.unwrap();
    meet(&[&trio.c, &trio.a]).await;
    meet(&[&trio.b, &trio.c]).await;
    assert_eq!(trio.c.disputed_charters().len(), 1);
    Forked { trio, one, other }
}

/// How often a node is asked for its charters, since the tape was last rewound.
fn pulls(net: &SimNet, from: &SimNode, to: &SimNode) -> usize {
    let tape = net.tape().into_iter();
    let pulls = tape.filter(|frame| {
        frame.rpc == Rpc::Charters
            && frame.kind == FrameKind::Question
            && (frame.from, frame.to) == (from.node_key(), to.node_key())
    });
    pulls.count()
}

#[tokio::test(start_paused = true)]
async fn one_who_decides_for_the_charter_it_has_hears_of_the_other_no_more() {
    let Forked { trio, one, other } = forked().await;
    let Trio { b, c, .. } = &trio;
    assert_eq!(b.disputed_charters().len(), 1);

    let changes = c.adopt(&admin(), one.signed.hash()).await.unwrap();

    assert!(changes.is_empty(), "it goes by it already");
    let in_force = c.charter_in_force().unwrap();
    assert_eq!(in_force.hash, one.signed.hash());
    assert_eq!(in_force.by, CharterBy::Adoption);
    assert!(c.disputed_charters().is_empty());
    let entries = audited(c, Audited::CharterAdopted).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].actor, "root");
    // The side that lost still goes by it, and shows it to whoever asks.
    let b = &b.restarted();
    b.adopt(&admin(), other.signed.hash()).await.unwrap();
    let c = &c.restarted();
    for _ in 0..2 {
        let _as_far_as_it_goes = c.pull_charters(b.node_key()).await;
        let _as_far_as_it_goes = b.pull_charters(c.node_key()).await;
        assert!(c.disputed_charters().is_empty());
        assert!(b.disputed_charters().is_empty());
    }
}

/// Hard case: the branch has gone on, so that what disputes ours is not the newest of it.
#[tokio::test(start_paused = true)]
async fn a_branch_that_went_on_is_evidence_of_a_fork_and_not_in_force() {
    let trio = trio().await;
    let [one, other] = fork(&trio).await;
    let Trio { net, a, b, c } = &trio;
    for node in [a, b] {
        node.take_file(vec![one.clone()]).await.unwrap();
    }
    c.take_file(vec![other.clone()]).await.unwrap();
    let next = a.amend(&admin(), &other_rules(7)).await.unwrap();
    a.send_proposal(b.member(), next.id).await.unwrap();
    let next = b.cosign(&admin(), next.id).await.unwrap().proposal;
    a.take_file(vec![next]).await.unwrap();
    assert_eq!([version(a), version(b), version(c)], [2, 2, 1]);
    net.rewind();

    assert_eq!(c.pull_charters(a.node_key()).await, Ok(true));

    assert_eq!(pulls(net, c, a), 2, "from where they part");
    let disputed = c.disputed_charters();
    assert_eq!(disputed.len(), 1);
    assert_eq!(disputed[0].hash, one.signed.hash());
    assert_eq!(disputed[0].standing, Standing::Fork);
    assert_eq!(version(c), 1);
    // What follows its own while it is forked has to wait for the decision.
    net.rewind();
    assert_eq!(c.pull_charters(a.node_key()).await, Ok(false));
    c.adopt(&admin(), one.signed.hash()).await.unwrap();
    net.rewind();
    assert_eq!(c.pull_charters(a.node_key()).await, Ok(true));
    assert_eq!(version(c), 2);
    assert_eq!(pulls(net, c, a), 1);
    net.rewind();
    assert_eq!(
        c.pull_charters(a.node_key()).await,
        Ok(false),
        "nothing new"
    );
    assert_eq!(pulls(net, c, a), 1);
}

#[tokio::test(start_paused = true)]
async fn while_charters_are_in_dispute_none_follows_them_and_nobody_becomes_a_member() {
    let Forked { trio, one, .. } = forked().await;
    let Trio { net, a, b, c } = &trio;
    let (a, b) = (&a.restarted(), &b.restarted());
    for node in [a, b] {
        let disputed = !node.disputed_charters().is_empty();
        if disputed || node.charter_in_force().unwrap().hash != one.signed.hash() {
            node.adopt(&admin(), one.signed.hash()).await.unwrap();
        }
    }
    let next = a.amend(&admin(), &other_rules(7)).await.unwrap();
    let next = b.cosign_file(&admin(), vec![next.proposal]).await.unwrap();
    a.take_file(next.proposals).await.unwrap();
    assert_eq!([version(a), version(b), version(c)], [2, 2, 1]);
    let new = node(net, 10);
    let ticket = asked(a, &new).await;
    let words = new.own_words(&ticket);
    let proposed = a.approve(&admin(), &words).await.unwrap().view.proposal;
    let signed = b.cosign_file(&admin(), vec![proposed]).await.unwrap();
    a.take_file(signed.proposals).await.unwrap();
    assert_eq!(new.poll_join().await.unwrap(), JoinState::Approved);
    assert!(new.greet(a.node_key()).await.is_ok());

    for node in [a, b] {
        let _as_far_as_it_goes = c.pull_charters(node.node_key()).await;
    }
    assert!(new.greet(c.node_key()).await.is_err());
    assert!(!c.is_member(new.node_key()));
    assert_eq!(version(c), 1);

    c.adopt(&admin(), one.signed.hash()).await.unwrap();
    let _as_far_as_it_goes = c.pull_charters(a.node_key()).await;
    assert_eq!(version(c), 2);
    assert!(new.greet(c.node_key()).await.is_ok());
    assert!(c.is_member(new.node_key()));
}

/// Says Hello for a node, by a charter that the test names.
async fn hello_by(to: &SimNode, from: &SimNode, said: &Hello, hash: [u8; 32]) {
    let network = to.current_network().unwrap().id;
    let mut hello = said.clone();
    hello.charter_version = 1;
    hello.charter_hash = hash;
    let bytes = wire::encode_envelope(&from.identity().node.sign(&network, &hello));
    let _whatever_it_says = to.serve(from.node_key(), Rpc::Hello, bytes).await;
}

/// Hard case: the charters in dispute, and the one that was decided against.
#[tokio::test(start_paused = true)]
async fn only_a_member_by_a_charter_that_is_not_known_is_asked_for_its_charters() {
    let Forked { trio, one, other } = forked().await;
    let Trio { net, b, c, .. } = &trio;
    let stranger = node(net, 40);
    b.greet(c.node_key()).await.unwrap();
    let tape = net.tape().into_iter();
    let mut hellos = tape.filter(|frame| {
        frame.rpc == Rpc::Hello && frame.kind == FrameKind::Question && frame.from == b.node_key()
    });
    let said = hellos.next_back().unwrap();
    let said = wire::decode_envelope(&said.bytes).unwrap();
    let said = said.claims::<Hello>().unwrap();
    let asks = async |from: &SimNode, hash: [u8; 32]| {
        net.rewind();
        hello_by(c, from, &said, hash).await;
        pulls(net, c, from) > 0
    };

    assert!(asks(b, [9; 32]).await);
    assert!(!asks(&stranger, [9; 32]).await, "no member");
    assert!(!asks(b, one.signed.hash()).await, "in force");
    assert!(!asks(b, other.signed.hash()).await, "in dispute");
    c.adopt(&admin(), one.signed.hash()).await.unwrap();
    assert!(!asks(b, other.signed.hash()).await, "decided against");
    assert!(asks(b, [9; 32]).await);
}

/// Its last moment of waiting is the one before.
#[tokio::test(start_paused = true)]
async fn a_recovery_takes_effect_at_the_end_of_recovery_wait_and_brings_in_who_signed_it() {
    let keys = [recovery_key(201)];
    let trio = trio_with(keys.iter().map(SigningKey::public).collect()).await;
    let new = node(&trio.net, 10);
    admitted(&trio, &new).await;
    let Trio { a, b, c, .. } = &trio;
    let change = Amendment {
        remove: [a, b]
            .map(|node| node.identity().authority.public())
            .to_vec(),
        add: vec![(
            new.identity().authority.public(),
            new.identity().status().public(),
        )],
        ..Amendment::default()
    };

    // It is one of those that come in, and signs for itself.
    let complete = new.recover(&admin(), &change, &keys).await.unwrap();
    assert!(complete.complete && complete.signed_here);
    assert_eq!(new.send_proposal(c.member(), complete.id).await, Ok(false));
    meet(&[&new, c]).await;
    assert_eq!(c.disputed_charters().len(), 1);
    let at = new.disputed_charters()[0].takes_effect.unwrap();
    pass(at.since(new.world().now()).0 - 1).await;
    assert_eq!(new.settle_recovery().await.ok(), Some(false));
    assert!(!new.is_authority());
    pass(1).await;

    assert_eq!(new.settle_recovery().await.ok(), Some(true));

    assert!(new.is_authority());
    let record = new.own_node_record().unwrap();
    let record = c.read_node_record(new.node_key(), &record).unwrap();
    assert!(record.capabilities.contains(&capability::AUTHORITY));
}

/// Sits between all nodes and puts another answer in the place of each to one sort of call.
fn answers_by(net: &SimNet, rpc: Rpc, mut answer: impl FnMut(&mut Frame) + Send + 'static) {
    net.between(Some(Box::new(move |frame: &mut Frame| {
        if frame.rpc == rpc && frame.kind == FrameKind::Answer {
            answer(frame);
        }
        Fate::Deliver
    })));
}

#[tokio::test(start_paused = true)]
async fn charters_are_believed_as_the_answer_to_this_question_and_asked_for_once_where_none_holds()
{
    let Trio { net, a, b, .. } = trio().await;
    let network = a.current_network().unwrap();
    assert_eq!(a.pull_charters(b.node_key()).await, Ok(false));
    let tape = net.tape().into_iter();
    let mut answers = tape.filter(|frame| {
        frame.rpc == Rpc::Charters && frame.kind == FrameKind::Answer && frame.to == a.node_key()
    });
    let earlier = answers.next_back().unwrap().bytes;
    answers_by(&net, Rpc::Charters, move |frame| {
        frame.bytes = earlier.clone();
    });

    let told = a.pull_charters(b.node_key()).await;

    let forged = CallError::Refused(PeerCode::Unauthenticated);
    assert_eq!(told, Err(forged));
    let charter = network
        .chain
        .in_force()
        .amended(&other_rules(1), network.charter.issued_at, [9; 16])
        .unwrap();
    let by_nobody = b.identity().node.sign(&network.id, &charter);
    let (speaker, id) = (b.shared(), network.id);
    answers_by(&net, Rpc::Charters, move |frame| {
        let answer = wire::decode_envelope(&frame.bytes).unwrap();
        let mut answer = answer.claims::<CharterAnswer>().unwrap();
        answer.charters = vec![by_nobody.clone()];
        let signed = speaker.identity().node.sign(&id, &answer);
        frame.bytes = wire::encode_envelope(&signed);
    });
    net.rewind();
    assert_eq!(a.pull_charters(b.node_key()).await, Ok(false));
    assert_eq!(
        pulls(&net, &a, &b),
        1,
        "there is nothing before it to ask for"
    );
    assert_eq!(version(&a), 0);
}

#[tokio::test(start_paused = true)]
async fn charters_are_told_to_members_whose_clock_and_network_are_ours() {
    let Trio { net, a, b, .. } = trio().await;
    let network = a.current_network().unwrap();
    let (id, window) = (network.id, network.charter.rules.clock_window);
    assert!(b.pull_charters(a.node_key()).await.is_ok());
    let tape = net.tape().into_iter();
    let mut asked = tape.filter(|frame| {
        frame.rpc == Rpc::Charters && frame.kind == FrameKind::Question && frame.to == a.node_key()
    });
    let asked = wire::decode_envelope(&asked.next_back().unwrap().bytes).unwrap();
    let asked = asked.claims::<CharterRequest>().unwrap();
    let told = async |sent_at, network| {
        let mut request = asked.clone();
        request.head.sent_at = sent_at;
        request.head.network = network;
        let signed = b.identity().node.sign(&id, &request);
        let bytes = wire::encode_envelope(&signed);
        a.serve(b.node_key(), Rpc::Charters, bytes).await.is_ok()
    };
    let now = a.world().now();

    assert!(told(now, id).await);
    assert!(told(now.plus(window), id).await && told(now.minus(window), id).await);
    assert!(!told(now.plus(window).plus(Span(1)), id).await);
    assert!(!told(now.minus(window).minus(Span(1)), id).await);
    assert!(!told(now, NetworkId([9; 32])).await);
}

/// Hard case: an answer that brings the credential of somebody else, or the one that is known.
#[tokio::test(start_paused = true)]
async fn of_credentials_that_come_with_the_charters_only_an_own_newer_one_is_taken() {
    let trio = trio().await;
    let member = node(&trio.net, 10);
    admitted(&trio, &member).await;
    let Trio { net, a, b, c } = &trio;
    assert_eq!(member.pull_charters(b.node_key()).await, Ok(false));
    let change = member.change_node_key(&member.next_node_key()).unwrap();
    let reissued = a
        .reissue(&admin(), member.member(), &Reissue::Change(change))
        .await;
    let id = reissued.unwrap().view.id;
    a.send_proposal(b.member(), id).await.unwrap();
    let signed = b.cosign(&admin(), id).await.unwrap().proposal.signed;
    let (speaker, network) = (c.shared(), a.current_network().unwrap().id);
    answers_by(net, Rpc::Charters, move |frame| {
        let answer = wire::decode_envelope(&frame.bytes).unwrap();
        let mut answer = answer.claims::<CharterAnswer>().unwrap();
        answer.credential = Some(signed.clone());
        let signed = speaker.identity().node.sign(&network, &answer);
        frame.bytes = wire::encode_envelope(&signed);
    });
    assert_eq!(
        a.pull_charters(c.node_key()).await,
        Ok(false),
        "not its own"
    );
    assert_eq!(member.pull_charters(c.node_key()).await, Ok(true));
    assert!(member.is_superseded());
    assert_eq!(member.pull_charters(c.node_key()).await, Ok(false), "known");
    net.between(None);

    let member = member.restarted();

    assert_eq!(member.node_key(), member.numbered_node_key(1));
    assert!(!member.is_superseded());
    assert!(member.greet(b.node_key()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_no_authority_reissues_for_nobody_known_or_not() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital) = (&world.clinic, &world.hospital);
    let reissued =
        async |by: &SimNode, member| code(by.reissue(&admin(), member, &Reissue::Loss).await);
    let unknown = MemberId([9; 16]);
    let told = reissued(clinic, unknown).await;
    assert_eq!(told, Some(Code::MemberUnknown));
    let told = reissued(clinic, world.urgent.member()).await;
    assert_eq!(told, Some(Code::RequestUnknown));

    for member in [unknown, world.urgent.member()] {
        let told = reissued(hospital, member).await;
        assert_eq!(told, Some(Code::NotAuthority));
    }
}

/// Hard case: one charter takes the authority from the node that decides for it.
#[tokio::test(start_paused = true)]
async fn a_charter_is_heard_of_at_once_and_who_decides_for_one_says_what_it_is_by_it() {
    let trio = trio().await;
    let Trio { a, b, c, .. } = &trio;
    let network = a.current_network().unwrap();
    let link = network.chain.in_force();
    let without = Amendment {
        remove: [
            c.identity().authority.public(),
            c.identity().status().public(),
        ]
        .to_vec(),
        ..Amendment::default()
    };
    let charter = link
        .amended(&without, network.charter.issued_at, [9; 16])
        .unwrap();
    let mut other = Proposal::unsigned(ProposalKind::Charter, &charter);
    for signer in [a, b] {
        other.sign(&signer.identity().authority, link).unwrap();
    }
    for node in [a, b, c] {
        listen(node);
    }
    pass(2 * NEWS_PAUSE.0).await;
    let first = a.amend(&admin(), &other_rules(3)).await.unwrap();
    a.send_proposal(b.member(), first.id).await.unwrap();
    b.cosign(&admin(), first.id).await.unwrap();
    pass(1_000).await;
    assert_eq!([version(a), version(b), version(c)], [1, 1, 1]);
    let is_authority = || {
        let record = c.own_node_record().unwrap();
        let record = c.read_node_record(c.node_key(), &record).unwrap();
        record.capabilities.contains(&capability::AUTHORITY)
    };
    assert!(is_authority());
    let mut batch = Batch::default();
    let body = wire::encode_charter_seen(&other.signed);
    batch.push(RecordKind::CharterSeen, Scope::Store, body);
    c.world().commit(batch).await.unwrap();

    let changes = c.adopt(&admin(), other.signed.hash()).await.unwrap();

    assert!(!changes.is_empty());
    assert!(!is_authority() && !c.is_authority());
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_became_complete_is_shown_to_whoever_holds_it_half_signed() {
    let keys = [recovery_key(201), recovery_key(202), recovery_key(203)];
    let Trio { a, b, c, .. } = trio_with(keys.iter().map(SigningKey::public).collect()).await;
    let change = Amendment {
        remove: [&a, &b]
            .map(|node| node.identity().authority.public())
            .to_vec(),
        ..Amendment::default()
    };
    let half = c.recover(&admin(), &change, &keys[..1]).await.unwrap();
    assert_eq!(c.send_proposal(a.member(), half.id).await, Ok(false));
    assert_eq!(only(&a), half.id);
    let mut whole = half.proposal;
    let network = c.current_network().unwrap();
    whole.sign(&keys[1], network.chain.in_force()).unwrap();
    c.take_file(vec![whole]).await.unwrap();
    assert!(c.proposals().is_empty());
    assert_eq!(c.disputed_charters().len(), 1);

    assert!(c.send_proposal(a.member(), half.id).await.is_ok());

    assert_eq!(a.disputed_charters().len(), 1);
}
