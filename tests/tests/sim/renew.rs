//! Credentials that end, or rest on a charter that was given up, and those that take their place.

use chartmesh_core::{
    membership::{Amendment, Proposal, ProposalKind, Reissue},
    ports::{CallError, Clock as _},
    types::{PeerCode, Span, limits::CREDENTIAL_LIFE},
};
use chartmesh_tests::SimNode;

use crate::{
    charter::{Trio, admitted, meet, node, other_rules, trio},
    scenario::*,
};

#[tokio::test(start_paused = true)]
async fn a_renewed_credential_is_good_for_another_year_also_when_the_one_before_is_over() {
    let last_day = Span(CREDENTIAL_LIFE.0 - Span::days(1).0);
    let day_after = Span(CREDENTIAL_LIFE.0 + Span::days(1).0);
    for (waits, is_over) in [(last_day, false), (day_after, true)] {
        let Scene { world, .. } = three().await;
        let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
        pass(waits.0).await;
        assert_eq!(clinic.is_member(urgent.node_key()), !is_over);

        // The founder's own ends with the others'.
        for member in [clinic.member(), urgent.member()] {
            let renewed = clinic
                .reissue(&admin(), member, &Reissue::Renewal)
                .await
                .unwrap();
            assert!(renewed.view.complete);
            assert_eq!(renewed.credential.sequence, 2);
        }
        pass(Span::days(2).0).await;
        let (clinic, urgent) = (clinic.restarted(), urgent.restarted());
        let refused = Err(CallError::Refused(PeerCode::NotMember));
        assert_eq!(urgent.greet(clinic.node_key()).await, refused);
        // What a daemon does that is refused.
        assert_eq!(urgent.pull_charters(clinic.node_key()).await, Ok(true));

        assert_eq!(urgent.greet(clinic.node_key()).await, Ok(clinic.member()));
        assert_eq!(urgent.node_key(), world.urgent.node_key());
        let out = hospital.greet(clinic.node_key()).await;
        assert_eq!(out, refused, "who was not renewed is out");
    }
}

/// One charter lets in another authority, by whose signature a member is renewed; the other is of the
/// same number.
#[tokio::test(start_paused = true)]
async fn a_member_whose_credential_rests_on_a_charter_that_is_given_up_is_named_and_renewed() {
    for gives_up in [false, true] {
        let trio = trio().await;
        let (newer, member) = (node(&trio.net, 10), node(&trio.net, 11));
        admitted(&trio, &newer).await;
        admitted(&trio, &member).await;
        let Trio { a, b, c, .. } = &trio;
        let link = a.current_network().unwrap().chain.in_force().clone();
        let signed = |amendment: &Amendment, signers: [&SimNode; 2]| {
            let now = a.world().now();
            let charter = link.amended(amendment, now, [9; 16]).unwrap();
            let mut proposal = Proposal::unsigned(ProposalKind::Charter, &charter);
            for signer in signers {
                proposal.sign(&signer.identity().authority, &link).unwrap();
            }
            proposal
        };
        let offer = newer.own_offer();
        let wider = Amendment {
            add: vec![(offer.authority_key, offer.status_key)],
            ..Amendment::default()
        };
        let mut wider = signed(&wider, [a, c]);
        wider.sign(&newer.identity().authority, &link).unwrap();
        let other = signed(&other_rules(2), [a, b]);
        for node in [a, c, &newer] {
            node.take_file(vec![wider.clone()]).await.unwrap();
        }
        b.take_file(vec![other.clone()]).await.unwrap();
        let renewed = async |by: &SimNode| {
            let renewed = by
                .reissue(&admin(), member.member(), &Reissue::Renewal)
                .await;
            renewed.unwrap().view.id
        };
        let id = renewed(a).await;
        for signer in [c, &newer] {
            a.send_proposal(signer.member(), id).await.unwrap();
            signer.cosign(&admin(), id).await.unwrap();
        }
        meet(&[a, c, &newer]).await;
        meet(&[b, c]).await;
        assert!(c.is_member(member.node_key()));

        let chosen = if gives_up { &other } else { &wider };
        let changes = c.adopt(&admin(), chosen.signed.hash()).await.unwrap();

        let out = changes.iter().filter(|line| line.name.contains("reissued"));
        let out: Vec<&str> = out.map(|line| line.value.as_str()).collect();
        assert_eq!(out.is_empty(), !gives_up);
        assert_eq!(c.is_member(member.node_key()), !gives_up);
        if !gives_up {
            continue;
        }
        assert_eq!(out, ["Organisation 11"]);
        let _decided_before = b.adopt(&admin(), other.signed.hash()).await;
        let id = renewed(c).await;
        c.send_proposal(b.member(), id).await.unwrap();
        b.cosign(&admin(), id).await.unwrap();
        meet(&[c, b]).await;
        for node in [b, c] {
            assert!(node.is_member(member.node_key()));
        }
    }
}
