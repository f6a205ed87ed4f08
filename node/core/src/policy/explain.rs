//! A decision in words, for our own people only.

use crate::{
    membership::Organization,
    records::Target,
    types::{ConsentId, Kind, MemberId, NodeKey, Purpose, Role, Timestamp},
};

use super::{
    Ask, Asker, Decision, Facts, Reason, Rule, decide,
    decide::{Weighed, spoken, weigh},
    implicit_policy, may_ask,
};

/// One thing that was weighed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    /// The consent; none where policy alone spoke.
    pub consent: Option<ConsentId>,
    /// What it did.
    pub rule: Rule,
    /// The staff user who recorded it.
    pub user: Option<String>,
}

impl From<Reason> for Because {
    fn from(reason: Reason) -> Self {
        Self {
            consent: reason.consent,
            rule: reason.rule,
            user: reason.recorded_by,
        }
    }
}

/// A decision with everything that was weighed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// What decided it first, then what was weighed besides.
    pub because: Vec<Because>,
    /// URI of the network's policy.
    pub policy: &'static str,
    /// One sentence for a person.
    pub text: String,
}

/// Says how a question would be decided, and why.
pub fn explain(ask: &Ask<'_>, facts: &Facts<'_>) -> Explanation {
    let decision = decide(ask, facts);
    let mut because = vec![Because::from(decision.reason().clone())];
    if may_ask(ask).is_ok() {
        because.extend(weighed_besides(&decision, weigh(ask, facts)));
    }
    let text = sentence(&decision, ask.purpose);
    Explanation {
        decision,
        because,
        policy: implicit_policy(facts.template),
        text,
    }
}

fn weighed_besides(decision: &Decision, weighed: Weighed<'_>) -> Vec<Because> {
    let permitted = decision.permits();
    let standing = weighed.standing.into_iter().map(|it| (spoken(it), it));
    let permits = weighed.permits.into_iter().map(|it| {
        let rule = if permitted {
            spoken(it)
        } else {
            Rule::PermitOutweighed
        };
        (rule, it)
    });
    let lifted = weighed.lifted.into_iter();
    let insufficient = weighed.insufficient.into_iter();
    standing
        .chain(permits)
        .chain(lifted.map(|it| (Rule::DenialLifted, it)))
        .chain(insufficient.map(|it| (Rule::PermitInsufficient, it)))
        .filter(|(_, consent)| Some(consent.id) != decision.reason().consent)
        .map(|(rule, consent)| Because::from(Reason::consent(rule, consent)))
        .collect()
}

fn sentence(decision: &Decision, purpose: Purpose) -> String {
    let reason = decision.reason();
    let verb = match decision {
        Decision::Permit(_) => "permitted",
        Decision::Deny(_) => "denied",
    };
    let mut text = format!("{verb} for {purpose}: {}", reason.rule.text());
    if let Some(consent) = reason.consent {
        text.push_str(&format!(" ({consent}"));
        if let Some(user) = &reason.recorded_by {
            text.push_str(&format!(", recorded by {user}"));
        }
        text.push(')');
    }
    text
}

/// What is in force, as `consent revoke` and `consent opt-out` say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// What a question would come to.
    pub decision: Decision,
    /// URI of the network's policy.
    pub policy: &'static str,
    /// Why, in one sentence.
    pub because: String,
}

/// What is in force for a known asker.
pub fn in_force(ask: &Ask<'_>, facts: &Facts<'_>) -> InForce {
    let explanation = explain(ask, facts);
    InForce {
        decision: explanation.decision,
        policy: explanation.policy,
        because: explanation.text,
    }
}

/// What is in force for whom a consent names, asked by a clinician there.
///
/// `known` is the member the target names, where this node knows it. Otherwise the answer is for a
/// provider of whom nothing else is said: the one an `any` or a `kind:` is about.
pub fn now_in_force(
    target: &Target,
    purpose: Purpose,
    known: Option<Asker<'_>>,
    facts: &Facts<'_>,
    now: Timestamp,
) -> InForce {
    let nobody = unnamed(target, facts);
    let asker = known.unwrap_or_else(|| stand_in(target, &nobody));
    let ask = Ask {
        asker,
        purpose,
        role: Role::Clinician,
        now,
    };
    in_force(&ask, facts)
}

fn stand_in<'a>(target: &Target, organization: &'a Organization) -> Asker<'a> {
    let nobody = Asker {
        member: MemberId([0; 16]),
        node_key: NodeKey([0; 32]),
        organization,
    };
    match target {
        Target::Member(member) => Asker {
            member: *member,
            ..nobody
        },
        Target::Node(node_key) => Asker {
            node_key: *node_key,
            ..nobody
        },
        Target::Organization(_) | Target::Kind(_) | Target::Any => nobody,
    }
}

fn unnamed(target: &Target, facts: &Facts<'_>) -> Organization {
    let spoken_of = |kind: Kind| {
        facts
            .consents
            .iter()
            .any(|consent| consent.target == Target::Kind(kind))
    };
    let kind = match target {
        Target::Kind(kind) => *kind,
        Target::Member(_) | Target::Node(_) | Target::Organization(_) | Target::Any => {
            [Kind::Hospital, Kind::Clinic, Kind::UrgentCare, Kind::Lab]
                .into_iter()
                .find(|kind| !spoken_of(*kind))
                .unwrap_or(Kind::Hospital)
        }
    };
    let name = match target {
        Target::Organization(name) => name.clone(),
        Target::Member(_) | Target::Node(_) | Target::Kind(_) | Target::Any => String::new(),
    };
    Organization {
        name,
        kind,
        npi: String::new(),
        oid: String::new(),
        address: String::new(),
        contact: String::new(),
        phone: String::new(),
        hours: String::new(),
        state: String::new(),
        part2: false,
        test: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        membership::Template,
        policy::fixtures::{
            HARBOR, HARBOR_NODE, NOW, ask, denial_of, facts, harbor, opt_out, organization,
            permit_of,
        },
        records::{Class, Consent},
    };

    #[test]
    fn an_explanation_names_what_decided_first_and_what_was_weighed_besides() {
        let (peer, holder) = (harbor(), organization("St. Brigid", Kind::Hospital));
        let consents = [
            denial_of(3, Class::Stated),
            permit_of(4, Class::Stated),
            opt_out(5, Class::Patient),
            permit_of(6, Class::Stated),
        ];

        let explanation = explain(&ask(&peer, Purpose::Treat), &facts(&holder, &consents));

        let named: Vec<_> = explanation
            .because
            .iter()
            .map(|because| (because.rule, because.consent))
            .collect();
        assert_eq!(
            named,
            [
                (Rule::OptOutDenies, Some(consents[2].id)),
                (Rule::PermitOutweighed, Some(consents[1].id)),
                (Rule::PermitOutweighed, Some(consents[3].id)),
                (Rule::DenialLifted, Some(consents[0].id)),
            ]
        );
        assert_eq!(explanation.because[0].user.as_deref(), Some("amy"));
        assert_eq!(
            explanation.text,
            format!(
                "denied for TREAT: the patient opted out ({}, recorded by amy)",
                consents[2].id
            )
        );
    }

    #[test]
    fn a_second_permit_is_not_called_outweighed_where_the_answer_is_permit() {
        let (peer, holder) = (harbor(), organization("St. Brigid", Kind::Hospital));
        let permits = [permit_of(4, Class::Stated), permit_of(6, Class::Stated)];
        let ask = ask(&peer, Purpose::Treat);
        let besides = |consents: &[Consent]| {
            let explanation = explain(&ask, &facts(&holder, consents));
            explanation.because[1..]
                .iter()
                .map(|because| because.rule)
                .collect::<Vec<_>>()
        };
        let outweighed = [&permits[..], &[opt_out(7, Class::Patient)]].concat();
        let weighed = besides(&outweighed);
        assert_eq!(weighed, [Rule::PermitOutweighed, Rule::PermitOutweighed]);

        assert_eq!(besides(&permits), [Rule::ConsentPermits]);
    }

    #[test]
    fn a_question_that_may_not_be_asked_is_explained_without_the_file() {
        let (mut peer, holder) = (harbor(), organization("St. Brigid", Kind::Hospital));
        let consents = [permit_of(4, Class::Patient)];
        let facts = facts(&holder, &consents);
        let asked = explain(&ask(&peer, Purpose::Treat), &facts);
        assert_eq!(asked.because[0].consent, Some(consents[0].id));

        peer.organization.kind = Kind::Payer;

        let refused = explain(&ask(&peer, Purpose::Treat), &facts);
        assert_eq!(refused.because.len(), 1);
        assert_eq!(refused.because[0].rule, Rule::KindMayNotAssert);
        assert_eq!(refused.because[0].consent, None);
    }

    #[test]
    fn revoking_a_grant_leaves_permit_where_the_network_permits_by_default() {
        let holder = organization("St. Brigid", Kind::Hospital);
        let mut grant = permit_of(4, Class::Stated);
        grant.revoked = Some((5, NOW));
        let consents = [grant];
        let opt_in = facts(&holder, &consents);
        let us = Facts {
            template: Template::UsTreatment,
            ..opt_in
        };
        let target = Target::Member(HARBOR);
        let now = |facts: &Facts<'_>| now_in_force(&target, Purpose::Treat, None, facts, NOW);

        assert_eq!(now(&us).decision.text(), "permit");
        assert_eq!(now(&opt_in).decision.text(), "deny");
        assert!(now(&us).policy.ends_with("/Policy-basic-normal"));
        assert!(now(&opt_in).policy.ends_with("/Policy-break-glass-only"));
    }

    #[test]
    fn what_is_in_force_for_anybody_is_not_what_one_member_or_kind_was_granted() {
        let holder = organization("St. Brigid", Kind::Hospital);
        let hospitals = Consent {
            target: Target::Kind(Kind::Hospital),
            ..permit_of(4, Class::Stated)
        };
        let consents = [hospitals, permit_of(5, Class::Stated)];
        let facts = facts(&holder, &consents);
        let peer = harbor();
        let now = |target, known| {
            let now = now_in_force(&target, Purpose::Treat, known, &facts, NOW);
            now.decision.permits()
        };

        assert!(!now(Target::Any, None));
        assert!(now(Target::Kind(Kind::Hospital), None));
        assert!(!now(Target::Kind(Kind::Clinic), None));
        assert!(now(Target::Member(HARBOR), None));
        assert!(!now(Target::Node(HARBOR_NODE), None));
        assert!(now(Target::Node(HARBOR_NODE), Some(Asker::from(&peer))));
    }
}
