//! Charters and proposals that travel as files: what is signed, what is taken, and what is refused.

use std::sync::Arc;

use chartmesh_core::{
    membership::{Proposal, Rules, Template},
    types::Code,
};
use chartmesh_tests::{SimNet, SimNode};

use crate::{
    charter::{Trio, node, other_rules, trio, version},
    scenario::*,
};

/// Two that found a network by files, both of whom must sign, and what the first of them wrote.
fn pair(net: &Arc<SimNet>) -> (SimNode, SimNode, Vec<Proposal>) {
    let (one, other) = (node(net, 1), node(net, 2));
    let mut founding = founding(Rules::of(Template::OptIn));
    founding.threshold = 2;
    let offers = [other.own_offer()];
    let file = one.propose_founding(founding, &offers, Vec::new()).unwrap();
    // The charter, and a credential for each.
    assert_eq!((file.proposals.len(), file.views.len()), (3, 3));
    (one, other, file.proposals)
}

#[tokio::test(start_paused = true)]
async fn a_file_with_a_forged_signature_is_read_signed_and_taken_by_nobody() {
    let net = SimNet::new(20);
    let (_one, other, file) = pair(&net);
    let mut unsigned = file.clone();
    for proposal in &mut unsigned {
        proposal.signed.signatures.clear();
    }
    for (file, signed) in [(&file, 1), (&unsigned, 0)] {
        let views = other.read_file(file).unwrap();
        assert!(views.iter().all(|view| view.signed == signed));
    }

    for forged in 0..file.len() {
        let mut altered = file.clone();
        altered[forged].signed.signatures[0].1[0] ^= 1;
        let signature = Some(Code::Signature);
        assert_eq!(code(other.read_file(&altered)), signature, "{forged}");
        let signed = other.cosign_file(&admin(), altered.clone()).await;
        assert_eq!(code(signed), signature, "{forged}");
        let founded = other.found_by_file(&admin(), &altered).await;
        assert_eq!(code(founded), signature, "{forged}");
    }

    let signed = other.cosign_file(&admin(), file).await.unwrap();
    assert!(signed.views.iter().all(|view| view.complete));
    let founded = other.found_by_file(&admin(), &signed.proposals).await;
    assert!(founded.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_has_a_network_founds_no_other_and_who_is_in_no_file_founds_none_by_it() {
    let net = SimNet::new(20);
    let (one, other, file) = pair(&net);
    let signed = other.cosign_file(&admin(), file).await.unwrap();
    let file = signed.proposals;
    let outsider = node(&net, 3);
    let rules = || founding(Rules::of(Template::OptIn));
    outsider.propose_founding(rules(), &[], Vec::new()).unwrap();
    assert!(other.found_by_file(&admin(), &file).await.is_ok());

    let told = outsider.found_by_file(&admin(), &file).await;
    assert_eq!(code(told), Some(Code::NotAuthority));
    assert!(outsider.current_network().is_none());
    let own = one.found(&admin(), rules()).await.unwrap();
    let in_the_way = Some(Code::AlreadyInNetwork);
    let told = one.found_by_file(&admin(), &file).await;
    assert_eq!(code(told), in_the_way);
    assert_eq!(code(one.found(&admin(), rules()).await), in_the_way);
    let told = one.propose_founding(rules(), &[], Vec::new());
    assert_eq!(code(told), in_the_way);
    let still = one.current_network().map(|network| network.id);
    assert_eq!(still, Some(own.id));
    assert_eq!(one.fold().problem(), None);
}

/// Hard case: the charter in force is the first one, as in a file that founds a network.
#[tokio::test(start_paused = true)]
async fn a_file_for_this_network_is_recorded_where_it_is_signed_and_needs_no_second_signature() {
    let Trio { a, b, c, .. } = trio().await;
    let proposed = a.amend(&admin(), &other_rules(3)).await.unwrap();
    let file = vec![proposed.proposal];
    let told = c.take_file(file.clone()).await;
    assert_eq!(code(told), Some(Code::QuorumRequired));
    assert!(c.proposals().is_empty(), "nothing of it was taken");

    let signed = b.cosign_file(&admin(), file).await.unwrap();

    assert_eq!((signed.proposals.len(), signed.views.len()), (1, 1));
    assert!(signed.views[0].complete && signed.views[0].signed_here);
    assert_eq!(version(&b), 1);
    // Its signatures alone make it true: a third would be one too many.
    let seen = c.cosign_file(&admin(), signed.proposals.clone()).await;
    let seen = seen.unwrap();
    assert!(seen.views[0].complete && !seen.views[0].signed_here);
    assert_eq!(version(&c), 1);
    a.take_file(signed.proposals).await.unwrap();
    assert_eq!(version(&a), 1);
}
