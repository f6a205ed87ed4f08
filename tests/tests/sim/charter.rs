//! Several authorities: what takes two of three, and what becomes of a network whose charter changes.

use chartmesh_core::{
    audit::Kind as Audited,
    crypto::{SecretKey, SigningKey},
    membership::{Amendment, JoinState, Proposal, ProposalKind, Rules, Standing, Template, Ticket},
    ports::{CallError, Journal as _},
    records::{Batch, RecordKind, Scope},
    types::{
        Code, Kind, PeerCode, ProposalId, Span,
        limits::{
            CHARTERS_SEEN_MAX, NEWS_PAUSE, PROPOSAL_LIFE, PROPOSALS_PER_AUTHORITY_MAX,
            RECOVERY_WAIT,
        },
    },
    wire,
};
use chartmesh_tests::{SimDisk, SimNet, SimNode};
use std::sync::Arc;

use crate::{revoke::listen, scenario::*};

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

async fn asked(inviter: &SimNode, applicant: &SimNode) -> Ticket {
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
async fn admitted(trio: &Trio, applicant: &SimNode) {
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
    assert_eq!(
        code(a.reissue(&admin(), old.member(), None).await),
        Some(Code::RequestUnknown)
    );
    let ticket = asked(a, &new).await;
    let words = new.own_words(&ticket);
    assert_eq!(
        code(a.approve(&admin(), &words).await),
        Some(Code::OrganizationActive),
        "a member is not admitted twice"
    );

    let approval = a.reissue(&admin(), old.member(), None).await.unwrap();
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
    let reissued = async |change| {
        trio.a
            .reissue(&admin(), member.member(), Some(change))
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
                .reissue(&admin(), member.member(), Some(&change))
                .await
        ),
        Some(Code::ProposalRefused),
        "a change counts once"
    );
}
