//! The decision: who said what, and what was said last by whoever may say it (`policy.md` 4).

use std::collections::BTreeSet;

use crate::{
    membership::Template,
    records::{Class, Consent, ConsentForm, ConsentStatus, Provision},
    types::{ConsentId, Purpose},
};

use super::{Ask, Denial, Discoverability, Facts, Rule, consent_covers, may_ask};

/// What a decision names: the rule, and the consent and its user where one decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule.
    pub rule: Rule,
    /// The consent; none where policy alone decides.
    pub consent: Option<ConsentId>,
    /// The staff user who recorded that consent.
    pub recorded_by: Option<String>,
}

impl Reason {
    pub(super) fn policy(rule: Rule) -> Self {
        Self {
            rule,
            consent: None,
            recorded_by: None,
        }
    }

    pub(super) fn consent(rule: Rule, consent: &Consent) -> Self {
        Self {
            rule,
            consent: Some(consent.id),
            recorded_by: Some(consent.recorded_by.clone()),
        }
    }
}

/// What was decided, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Permitted.
    Permit(Reason),
    /// Denied.
    Deny(Reason),
}

impl Decision {
    /// Whether it permits.
    pub fn permits(&self) -> bool {
        matches!(self, Self::Permit(_))
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        match self {
            Self::Permit(reason) | Self::Deny(reason) => reason,
        }
    }

    /// `permit` or `deny`.
    pub fn text(&self) -> &'static str {
        match self {
            Self::Permit(_) => "permit",
            Self::Deny(_) => "deny",
        }
    }
}

impl From<Denial> for Decision {
    fn from(denial: Denial) -> Self {
        Self::Deny(Reason::policy(denial.rule()))
    }
}

/// Decides whether an asker may read a patient's record.
pub fn decide(ask: &Ask<'_>, facts: &Facts<'_>) -> Decision {
    if let Err(denial) = may_ask(ask) {
        return denial.into();
    }
    let weighed = weigh(ask, facts);
    if let Some(denial) = weighed.standing.last() {
        return Decision::Deny(Reason::consent(spoken(denial), denial));
    }
    if let Some(permit) = weighed.permits.last() {
        return Decision::Permit(Reason::consent(spoken(permit), permit));
    }
    by_default(ask, facts)
}

/// The rule by which a consent speaks.
pub(super) fn spoken(consent: &Consent) -> Rule {
    match (consent.provision, consent.form) {
        (Provision::Permit, ConsentForm::OptIn) => Rule::OptInPermits,
        (Provision::Permit, ConsentForm::OptOut | ConsentForm::Provision) => Rule::ConsentPermits,
        (Provision::Deny, ConsentForm::OptOut) => Rule::OptOutDenies,
        (Provision::Deny, ConsentForm::OptIn | ConsentForm::Provision) => Rule::ConsentDenies,
    }
}

/// The consents in force that are about this question, by journal position, and how they stand.
pub(super) struct Weighed<'a> {
    /// Denials that no permit lifted.
    pub(super) standing: Vec<&'a Consent>,
    /// Denials that a permit lifted.
    pub(super) lifted: Vec<&'a Consent>,
    /// Permits that have all that records of this holder ask for.
    pub(super) permits: Vec<&'a Consent>,
    /// Permits that have not.
    pub(super) insufficient: Vec<&'a Consent>,
}

pub(super) fn weigh<'a>(ask: &Ask<'_>, facts: &Facts<'a>) -> Weighed<'a> {
    let mut relevant = in_force(ask, facts);
    relevant.sort_by_key(|consent| consent.position);
    let (permits, denials): (Vec<_>, Vec<_>) = relevant
        .into_iter()
        .partition(|consent| consent.provision == Provision::Permit);
    let (permits, insufficient): (Vec<_>, Vec<_>) = permits
        .into_iter()
        .partition(|permit| suffices(permit, facts));
    let (lifted, standing) = denials.into_iter().partition(|denial| {
        permits
            .iter()
            .any(|permit| permit.position > denial.position && permit.class >= denial.class)
    });
    Weighed {
        standing,
        lifted,
        permits,
        insufficient,
    }
}

fn in_force<'a>(ask: &Ask<'_>, facts: &Facts<'a>) -> Vec<&'a Consent> {
    // By id, not by entry: a grant filed a second time must not outlive its revocation.
    let revoked: BTreeSet<ConsentId> = facts
        .consents
        .iter()
        .filter(|consent| consent.revoked.is_some())
        .map(|consent| consent.id)
        .collect();
    let asker = &ask.asker;
    facts
        .consents
        .iter()
        .filter(|consent| consent.patient == facts.patient)
        .filter(|consent| !revoked.contains(&consent.id))
        .filter(|consent| consent.status(ask.now) == ConsentStatus::Active)
        .filter(|consent| consent_covers(consent, ask.purpose))
        .filter(|consent| {
            consent.target.matches(
                asker.member,
                asker.node_key,
                &asker.organization.name,
                asker.organization.kind,
            )
        })
        .collect()
}

/// Whether a permit has what records of this holder, or this patient's wish, ask for.
///
/// A hidden patient needs the patient's own word (`policy.md` 2); a Part 2 program needs the written
/// form (42 CFR 2.31(a)).
fn suffices(permit: &Consent, facts: &Facts<'_>) -> bool {
    let own_word =
        facts.discoverability != Discoverability::Hidden || permit.class == Class::Patient;
    let written = !facts.part2() || permit.evidence.is_some();
    own_word && written
}

fn by_default(ask: &Ask<'_>, facts: &Facts<'_>) -> Decision {
    let treatment = matches!(ask.purpose, Purpose::Treat | Purpose::Etreat);
    let deny = |rule| Decision::Deny(Reason::policy(rule));
    if facts.part2() {
        return deny(Rule::Part2NeedsForm);
    }
    if facts.restricted() {
        return deny(Rule::RestrictedNeedsConsent);
    }
    if facts.discoverability != Discoverability::Open {
        return deny(Rule::NotOpen);
    }
    if !treatment {
        return deny(Rule::PurposeNeedsConsent);
    }
    match facts.template {
        Template::OptIn => deny(Rule::PolicyDenies),
        Template::UsTreatment => Decision::Permit(Reason::policy(Rule::PolicyPermits)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        membership::Organization,
        policy::fixtures::{
            HARBOR, HARBOR_NODE, NOW, OTHER, ROSA, ask, consent, denial_of, facts, harbor, opt_in,
            opt_out, organization, paper, permit_of,
        },
        records::Target,
        session::Peer,
        types::{Kind, MemberId, NodeKey, PatientId, Role, Timestamp},
    };

    fn rule(purpose: Purpose, consents: &[Consent]) -> (bool, Rule) {
        let (peer, holder) = (harbor(), organization("St. Brigid", Kind::Hospital));
        let decision = decide(&ask(&peer, purpose), &facts(&holder, consents));
        (decision.permits(), decision.reason().rule)
    }

    fn treat(consents: &[Consent]) -> (bool, Rule) {
        rule(Purpose::Treat, consents)
    }

    const PERMITTED: (bool, Rule) = (true, Rule::ConsentPermits);
    const REFUSED: (bool, Rule) = (false, Rule::ConsentDenies);
    const NOTHING: (bool, Rule) = (false, Rule::PolicyDenies);

    #[test]
    fn the_template_decides_where_nothing_is_on_file() {
        let (peer, holder) = (harbor(), organization("St. Brigid", Kind::Hospital));
        let opt_in = facts(&holder, &[]);
        let us = Facts {
            template: Template::UsTreatment,
            ..opt_in
        };

        for purpose in [Purpose::Treat, Purpose::Etreat] {
            let permitted = decide(&ask(&peer, purpose), &us);
            assert!(permitted.permits());
            assert_eq!(permitted.reason(), &Reason::policy(Rule::PolicyPermits));
            let denied = decide(&ask(&peer, purpose), &opt_in);
            assert_eq!(denied, Decision::Deny(Reason::policy(Rule::PolicyDenies)));
        }
    }

    #[test]
    fn no_default_reaches_a_restricted_holder_or_a_patient_who_is_not_open() {
        let peer = harbor();
        let hospital = organization("St. Brigid", Kind::Hospital);
        let mut program = organization("Hope", Kind::SubstanceUse);
        program.part2 = true;
        let mind = organization("Mind", Kind::BehavioralHealth);
        let us = Facts {
            template: Template::UsTreatment,
            ..facts(&hospital, &[])
        };
        assert!(decide(&ask(&peer, Purpose::Treat), &us).permits());

        let cases = [
            (&program, Discoverability::Open, Rule::Part2NeedsForm),
            (&mind, Discoverability::Open, Rule::RestrictedNeedsConsent),
            (&hospital, Discoverability::Consented, Rule::NotOpen),
            (&hospital, Discoverability::Hidden, Rule::NotOpen),
        ];
        for (holder, discoverability, expected) in cases {
            let changed = Facts {
                holder,
                discoverability,
                ..us
            };
            let decision = decide(&ask(&peer, Purpose::Treat), &changed);
            assert_eq!(decision, Decision::Deny(Reason::policy(expected)));
        }
    }

    #[test]
    fn a_decision_names_consent_and_user() {
        let (peer, holder) = (harbor(), organization("St. Brigid", Kind::Hospital));
        let consents = [permit_of(5, Class::Stated)];

        let decision = decide(&ask(&peer, Purpose::Treat), &facts(&holder, &consents));

        assert_eq!(
            decision,
            Decision::Permit(Reason {
                rule: Rule::ConsentPermits,
                consent: Some(consents[0].id),
                recorded_by: Some("amy".to_owned()),
            })
        );
    }

    #[test]
    fn a_denial_stands_until_a_later_permit_of_its_class_or_higher() {
        for denied in Class::ALL {
            for permitted in Class::ALL {
                let later = [denial_of(5, denied), permit_of(6, permitted)];
                let earlier = [denial_of(5, denied), permit_of(4, permitted)];

                let lifts = permitted >= denied;
                assert_eq!(treat(&later), if lifts { PERMITTED } else { REFUSED });
                assert_eq!(treat(&earlier), REFUSED);
            }
        }
    }

    #[test]
    fn two_denials_are_both_to_be_lifted() {
        let [weak, strong] = [denial_of(6, Class::Stated), denial_of(5, Class::Patient)];
        let between = [
            strong.clone(),
            permit_of(7, Class::Patient),
            denial_of(8, Class::Stated),
        ];
        let after = [strong, weak, permit_of(9, Class::Patient)];

        assert_eq!(treat(&after), PERMITTED);
        assert_eq!(treat(&between), REFUSED);
    }

    #[test]
    fn a_backdated_grant_changes_nothing_position_decides() {
        let mut backdated = permit_of(4, Class::Patient);
        backdated.from = Timestamp(900_000);
        let mut denial = denial_of(5, Class::Stated);
        denial.from = Timestamp(1);
        assert_eq!(treat(&[backdated.clone()]), PERMITTED);
        assert_eq!(treat(&[backdated, denial]), REFUSED);

        // Claimed to hold since 1970, recorded after the question.
        let mut unrecorded = permit_of(4, Class::Patient);
        unrecorded.recorded_at = Timestamp(NOW.0 + 1);
        assert_eq!(treat(&[unrecorded]), NOTHING);
    }

    #[test]
    fn a_revoked_grant_that_is_sent_again_stays_revoked() {
        let grant = permit_of(4, Class::Patient);
        let mut revoked = grant.clone();
        revoked.revoked = Some((5, Timestamp(5)));
        let again = Consent {
            position: 6,
            ..grant.clone()
        };
        let mut unlike = again.clone();
        unlike.id = ConsentId([8; 16]);

        assert_eq!(treat(&[grant]), PERMITTED);
        assert_eq!(treat(&[revoked.clone(), unlike]), PERMITTED);
        assert_eq!(treat(&[revoked.clone(), again.clone()]), NOTHING);
        assert_eq!(treat(&[again, revoked]), NOTHING);
    }

    #[test]
    fn a_denial_comes_back_when_the_permit_that_lifted_it_is_over() {
        let denial = denial_of(5, Class::Stated);
        let mut permit = permit_of(6, Class::Patient);
        permit.until = Some(Timestamp(NOW.0 + 1));
        assert_eq!(treat(&[denial.clone(), permit.clone()]), PERMITTED);

        permit.until = Some(NOW);

        assert_eq!(treat(&[denial, permit]), REFUSED);
    }

    #[test]
    fn a_period_begins_and_ends_and_a_denial_with_an_end_lapses() {
        let grant = permit_of(4, Class::Stated);
        let with = |provision, from, until| Consent {
            provision,
            from: Timestamp(from),
            until: Some(Timestamp(until)),
            ..grant.clone()
        };
        let at = NOW.0;

        assert_eq!(treat(&[with(Provision::Permit, at, at + 1)]), PERMITTED);
        assert_eq!(treat(&[with(Provision::Permit, at - 9, at)]), NOTHING);
        assert_eq!(treat(&[with(Provision::Permit, at + 1, at + 9)]), NOTHING);
        assert_eq!(treat(&[with(Provision::Deny, at, at + 1)]), REFUSED);
        assert_eq!(treat(&[with(Provision::Deny, at - 9, at)]), NOTHING);
    }

    #[test]
    fn a_denial_holds_although_the_clock_went_back() {
        let mut denial = denial_of(5, Class::Stated);
        denial.recorded_at = Timestamp(NOW.0 + 500);
        denial.from = denial.recorded_at;
        let mut permit = permit_of(4, Class::Stated);
        assert_eq!(treat(&[permit.clone(), denial]), REFUSED);

        permit.recorded_at = Timestamp(NOW.0 + 500);

        assert_eq!(treat(&[permit]), NOTHING);
    }

    #[test]
    fn an_opt_out_denies_every_purpose_and_an_opt_in_permits_treatment_only() {
        let out = opt_out(5, Class::Stated);
        let back = [out.clone(), opt_in(6, Class::Stated)];

        for purpose in Purpose::ALL.iter().copied() {
            if purpose == Purpose::Btg {
                continue;
            }
            let denied = rule(purpose, std::slice::from_ref(&out));
            assert_eq!(denied, (false, Rule::OptOutDenies));
            let treatment = matches!(purpose, Purpose::Treat | Purpose::Etreat);
            let expected = if treatment {
                (true, Rule::OptInPermits)
            } else {
                denied
            };
            assert_eq!(rule(purpose, &back), expected);
        }
    }

    #[test]
    fn break_glass_is_refused_without_a_session_whatever_is_on_file() {
        let mut named = permit_of(4, Class::Patient);
        named.purposes = vec![Purpose::Btg];

        assert_eq!(
            rule(Purpose::Btg, &[named]),
            (false, Rule::BreakGlassNeedsSession)
        );
    }

    #[test]
    fn a_part_2_program_wants_the_signed_form_and_a_hidden_patient_its_own_word() {
        let peer = harbor();
        let mut program = organization("Hope", Kind::SubstanceUse);
        program.part2 = true;
        let mind = organization("Mind", Kind::BehavioralHealth);
        let decided = |holder, consent: &Consent| {
            let hidden = Facts {
                discoverability: Discoverability::Hidden,
                ..facts(holder, std::slice::from_ref(consent))
            };
            let decision = decide(&ask(&peer, Purpose::Treat), &hidden);
            (decision.permits(), decision.reason().rule)
        };
        let mut signed = permit_of(4, Class::Patient);
        signed.evidence = Some(paper());
        let heard = permit_of(4, Class::Patient);
        let stated = permit_of(4, Class::Stated);

        assert_eq!(decided(&program, &signed), PERMITTED);
        assert_eq!(decided(&program, &heard), (false, Rule::Part2NeedsForm));
        assert_eq!(decided(&mind, &heard), PERMITTED);
        assert_eq!(
            decided(&mind, &stated),
            (false, Rule::RestrictedNeedsConsent)
        );
    }

    #[test]
    fn every_near_miss_of_a_consent_is_denied() {
        let holder = organization("St. Brigid", Kind::Hospital);
        let grant = permit_of(4, Class::Patient);
        let mut stranger = harbor();
        stranger.member = MemberId([33; 16]);

        for misses in 0..16_u8 {
            let misses_fact = |bit: u8| misses & (1 << bit) != 0;
            let mut consent = grant.clone();
            let mut peer = harbor();
            if misses_fact(0) {
                consent.purposes = vec![Purpose::Etreat, Purpose::Hpaymt];
            }
            if misses_fact(1) {
                peer = stranger.clone();
            }
            if misses_fact(2) {
                consent.until = Some(NOW);
            }
            if misses_fact(3) {
                consent.patient = OTHER;
            }

            let consents = [consent];
            let decision = decide(&ask(&peer, Purpose::Treat), &facts(&holder, &consents));

            assert_eq!(decision.permits(), misses == 0, "misses {misses:04b}");
        }
    }

    /// The same rules told as a story: go through the file in order, note each no, and let each yes
    /// strike out the noes it may. Slow, and unlike `decide` in every step.
    fn reference(ask: &Ask<'_>, facts: &Facts<'_>) -> bool {
        let kind = ask.asker.organization.kind;
        let payer_like = ["payer", "public-health", "gateway", "school"].contains(&kind.code());
        let treatment = ["TREAT", "ETREAT"].contains(&ask.purpose.code());
        if ask.purpose.code() == "BTG" || treatment && (payer_like || ask.role != Role::Clinician) {
            return false;
        }
        let part2 = facts.holder.part2;
        let hidden = facts.discoverability == Discoverability::Hidden;
        let mut noes: Vec<u32> = Vec::new();
        let mut yes = false;
        let last = facts.consents.iter().map(|it| it.position).max();
        for position in 0..=last.unwrap_or(0) {
            for it in facts.consents {
                let dead = facts
                    .consents
                    .iter()
                    .any(|twin| twin.id == it.id && twin.revoked.is_some());
                let over = it.until.is_some_and(|until| until.0 <= ask.now.0);
                let early = it.from.0 > ask.now.0;
                if it.position != position || dead || over || early || it.patient != facts.patient {
                    continue;
                }
                let meant = match it.target.to_string() {
                    text if text == "any" => true,
                    text => [
                        format!("member:{}", ask.asker.member),
                        format!("{}", ask.asker.node_key),
                        format!("org:{}", ask.asker.organization.name),
                        format!("kind:{kind}"),
                    ]
                    .contains(&text),
                };
                if !meant || !reference_covers(it, ask.purpose) {
                    continue;
                }
                if it.provision == Provision::Deny {
                    noes.push(it.class.number());
                    continue;
                }
                if part2 && it.evidence.is_none() || hidden && it.class.number() < 3 {
                    continue;
                }
                yes = true;
                noes.retain(|class| *class > it.class.number());
            }
        }
        let sensitive =
            part2 || ["substance-use", "behavioral-health"].contains(&facts.holder.kind.code());
        let default = facts.template == Template::UsTreatment
            && treatment
            && !sensitive
            && facts.discoverability == Discoverability::Open;
        noes.is_empty() && (yes || default)
    }

    fn reference_covers(consent: &Consent, asked: Purpose) -> bool {
        let pairs = [
            ("TREAT", "ETREAT"),
            ("HPAYMT", "COVERAGE"),
            ("HPAYMT", "COVAUTH"),
        ];
        let named: Vec<&str> = match consent.form {
            ConsentForm::OptOut => return true,
            ConsentForm::OptIn => vec!["TREAT"],
            ConsentForm::Provision => consent.purposes.iter().map(|it| it.code()).collect(),
        };
        named
            .iter()
            .any(|name| *name == asked.code() || pairs.contains(&(name, asked.code())))
    }

    fn any_target() -> impl Strategy<Value = Target> {
        prop_oneof![
            3 => Just(Target::Member(HARBOR)),
            1 => Just(Target::Member(MemberId([44; 16]))),
            1 => Just(Target::Node(HARBOR_NODE)),
            1 => Just(Target::Organization("Harbor Urgent Care".to_owned())),
            1 => Just(Target::Organization("Harbor".to_owned())),
            1 => Just(Target::Kind(Kind::UrgentCare)),
            1 => Just(Target::Kind(Kind::Payer)),
            2 => Just(Target::Any),
        ]
    }

    fn any_purpose() -> impl Strategy<Value = Purpose> {
        prop_oneof![
            4 => Just(Purpose::Treat),
            2 => Just(Purpose::Etreat),
            3 => proptest::sample::select(Purpose::ALL.to_vec()),
        ]
    }

    fn any_consent() -> impl Strategy<Value = Consent> {
        let who = (any_target(), 0..3_usize, 0..6_u8, any::<bool>());
        let what = (
            any::<bool>(),
            prop_oneof![
                4 => Just(ConsentForm::Provision),
                1 => Just(ConsentForm::OptOut),
                1 => Just(ConsentForm::OptIn),
            ],
            proptest::collection::vec(any_purpose(), 1..3),
        );
        let when = (
            0..3_u64,
            proptest::option::weighted(0.3, 0..3_u64),
            0..6_u8,
            0..8_u8,
        );
        (who, what, when).prop_map(|(who, what, when)| {
            let (target, class, other, written) = who;
            let (permit, form, purposes) = what;
            let (from, until, revoked, id) = when;
            let provision = match form {
                ConsentForm::OptOut => Provision::Deny,
                ConsentForm::OptIn => Provision::Permit,
                ConsentForm::Provision if permit => Provision::Permit,
                ConsentForm::Provision => Provision::Deny,
            };
            Consent {
                id: ConsentId([id; 16]),
                patient: if other == 0 { OTHER } else { ROSA },
                form,
                target,
                purposes,
                from: Timestamp(NOW.0 + from - 1),
                until: until.map(|until| Timestamp(NOW.0 + until)),
                evidence: written.then(paper),
                revoked: (revoked == 0).then_some((99, NOW)),
                even_emergency: permit,
                ..consent(0, provision, Class::ALL[class])
            }
        })
    }

    fn any_holder() -> impl Strategy<Value = Organization> {
        (proptest::sample::select(Kind::ALL.to_vec()), 0..5_u8).prop_map(|(kind, part2)| {
            Organization {
                part2: part2 == 0,
                ..organization("Holder", kind)
            }
        })
    }

    fn any_peer() -> impl Strategy<Value = Peer> {
        let kinds = prop_oneof![
            3 => Just(Kind::UrgentCare),
            1 => proptest::sample::select(Kind::ALL.to_vec()),
        ];
        kinds.prop_map(|kind| Peer {
            organization: organization("Harbor Urgent Care", kind),
            ..harbor()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 4_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn decide_agrees_with_the_story_told_slowly(
            mut consents in proptest::collection::vec(any_consent(), 0..7),
            peer in any_peer(),
            holder in any_holder(),
            purpose in any_purpose(),
            role in prop_oneof![5 => Just(Role::Clinician), 1 => Just(Role::FrontDesk)],
            us in any::<bool>(),
            discoverability in proptest::sample::select(Discoverability::ALL.to_vec()),
        ) {
            for (index, consent) in consents.iter_mut().enumerate() {
                consent.position = index as u64 + 1;
            }
            let template = if us { Template::UsTreatment } else { Template::OptIn };
            let facts = Facts { patient: ROSA, holder: &holder, template, discoverability, consents: &consents };
            let ask = Ask { role, ..ask(&peer, purpose) };

            let decision = decide(&ask, &facts);

            prop_assert_eq!(decision.permits(), reference(&ask, &facts));
            let mut reversed = consents.clone();
            reversed.reverse();
            let facts = Facts { consents: &reversed, ..facts };
            prop_assert_eq!(decide(&ask, &facts), decision, "order in memory must not matter");
        }

        #[test]
        fn what_concerns_another_patient_or_asker_never_changes_a_decision(
            consents in proptest::collection::vec(any_consent(), 0..6),
            purpose in any_purpose(),
        ) {
            let (peer, holder) = (harbor(), organization("St. Brigid", Kind::Hospital));
            let elsewhere: Vec<Consent> = consents
                .into_iter()
                .map(|consent| match consent.target {
                    Target::Any | Target::Kind(Kind::UrgentCare) => Consent {
                        patient: PatientId([77; 16]),
                        ..consent
                    },
                    Target::Member(_) | Target::Node(_) | Target::Organization(_) | Target::Kind(_) => {
                        Consent { target: Target::Node(NodeKey([99; 32])), ..consent }
                    }
                })
                .collect();

            let with = decide(&ask(&peer, purpose), &facts(&holder, &elsewhere));
            let without = decide(&ask(&peer, purpose), &facts(&holder, &[]));

            prop_assert_eq!(with, without);
        }
    }
}
