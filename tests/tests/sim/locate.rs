//! One truthful line for each member, and answers that tell nothing by size or time.

use chartmesh_core::{
    audit::Kind as Audited,
    flows::{Search, Wanted},
    locator::{Answer, Revealed},
    membership::{Rules, Template},
    ports::Rpc,
    records::{ConsentForm, Demographics, Provision, Target},
    types::{
        Code, Handle, Kind, PeerCode, Purpose, Timestamp,
        limits::{DENIALS_WHOLE_MAX, LOCATE_DEADLINE, LOCATE_TICK},
    },
    wire::{LocateAnswer, Match, Outcome},
};
use chartmesh_tests::{Fate, Frame, Kind as FrameKind};

use crate::{liar::Liar, scenario::*};

/// What a commit takes where a test says nothing.
const FSYNC_MS: u64 = 3;

#[tokio::test(start_paused = true)]
async fn a_silent_node_costs_its_own_line() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let whole = locate(urgent).await;
    assert!(whole.complete());
    world.net.cut(hospital.node_key(), urgent.node_key());
    let before = tokio::time::Instant::now();

    let ledger = locate(urgent).await;

    assert_eq!(answer(&ledger, hospital.member()).term(), "timed-out");
    assert_eq!(answer(&ledger, clinic.member()).term(), "match");
    assert!(!ledger.complete());
    // Besides the deadline, one commit: the handle that the clinic gave.
    assert_eq!(ledger.elapsed.0, LOCATE_DEADLINE.0 + FSYNC_MS);
    assert_eq!(before.elapsed().as_millis() as u64, ledger.elapsed.0);
    let silent = ledger
        .lines
        .iter()
        .find(|line| line.member == hospital.member());
    assert_eq!(silent.unwrap().elapsed.0, LOCATE_DEADLINE.0 - FSYNC_MS);
}

#[tokio::test(start_paused = true)]
async fn timed_out_unreachable_refused_and_no_match_are_four_answers() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let hospital_line = |ledger: &chartmesh_core::locator::Ledger| {
        let line = ledger
            .lines
            .iter()
            .find(|line| line.member == hospital.member());
        let line = line.unwrap();
        (line.answer.term(), line.revealed)
    };

    let ledger = locate(urgent).await;
    assert_eq!(hospital_line(&ledger), ("no-match", Revealed::Demographics));
    world.net.cut(urgent.node_key(), hospital.node_key());
    let ledger = locate(urgent).await;
    assert_eq!(
        hospital_line(&ledger),
        ("timed-out", Revealed::Demographics)
    );
    world.net.heal();
    hospital.disk().fail_write(0, chartmesh_tests::Fault::Full);
    let ledger = locate(urgent).await;
    let refused = answer(&ledger, hospital.member());
    assert!(matches!(refused, Answer::Refused(PeerCode::Unavailable)));
    hospital.crash(0);
    let ledger = locate(urgent).await;
    assert_eq!(hospital_line(&ledger), ("unreachable", Revealed::Nothing));
    assert_eq!(answer(&ledger, clinic.member()).term(), "match");

    let _again = hospital.restarted();
    let ledger = locate(urgent).await;
    assert_eq!(hospital_line(&ledger).0, "no-match", "found without help");
}

#[tokio::test(start_paused = true)]
async fn a_member_left_out_is_not_asked_and_excused() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let only = Search {
        only: vec![clinic.member()],
        ..search(Purpose::Treat)
    };

    let ledger = urgent.locate(&clinician(), &only).await.unwrap();

    assert_eq!(answer(&ledger, hospital.member()).term(), "not-asked");
    assert!(ledger.complete());
}

/// What a restricted holder sends, and when, where the only difference is one person's record.
async fn answer_of_holder(holds_rosa: bool, denied: bool, permitted: bool) -> (Frame, String) {
    let world = network(Kind::BehavioralHealth, Rules::of(Template::OptIn)).await;
    let clinic = &world.clinic;
    let patient = if holds_rosa {
        add(clinic, rosa_bundle()).await
    } else {
        add(clinic, sam_bundle()).await
    };
    let provision = if denied {
        Provision::Deny
    } else {
        Provision::Permit
    };
    let target = if permitted || denied {
        Target::Member(world.urgent.member())
    } else {
        Target::Member(world.hospital.member())
    };
    let said = chartmesh_core::flows::Statement {
        provision,
        target,
        form: ConsentForm::Provision,
        by: "patient".to_owned(),
        witness: Some("amy".to_owned()),
        ..statement(patient, world.urgent.member(), &[Purpose::Treat])
    };
    clinic.state_consent(&clinician(), said).await.unwrap();
    world.net.rewind();

    let ledger = locate(&world.urgent).await;

    let tape = world.net.tape().into_iter();
    let mut sent = tape.filter(|frame| {
        frame.from == clinic.node_key()
            && frame.rpc == Rpc::Locate
            && frame.kind == FrameKind::Answer
    });
    let term = answer(&ledger, clinic.member()).term().to_owned();
    let mut answered = sent.next().unwrap();
    let asked = world.net.tape().into_iter().find(|frame| {
        frame.to == clinic.node_key()
            && frame.rpc == Rpc::Locate
            && frame.kind == FrameKind::Question
    });
    answered.at_ms -= asked.unwrap().at_ms;
    (answered, term)
}

#[tokio::test(start_paused = true)]
async fn no_record_and_no_consent_are_the_same_bytes() {
    let (nobody, term) = answer_of_holder(false, false, false).await;
    assert_eq!(term, "no-match");
    let (hidden, term) = answer_of_holder(true, false, false).await;
    assert_eq!(term, "no-match");
    let (denied, term) = answer_of_holder(true, true, false).await;
    assert_eq!(term, "no-match");
    let (shown, term) = answer_of_holder(true, false, true).await;
    assert_eq!(term, "match");

    // Every run has the same dice, so what is sealed alike is alike bit for bit.
    assert!(nobody.bytes == hidden.bytes, "no record, no consent");
    assert!(nobody.bytes == denied.bytes, "no record, denied");
    assert!(nobody.bytes != shown.bytes);
    assert_eq!(nobody.bytes.len(), shown.bytes.len());
    for other in [&hidden, &denied, &shown] {
        assert_eq!(other.at_ms, nobody.at_ms, "the same tick");
    }
    let latency_ms = 20;
    assert_eq!(nobody.at_ms, latency_ms + LOCATE_TICK.0, "one tick");
}

#[tokio::test(start_paused = true)]
async fn a_question_beyond_the_days_budget_is_not_answered() {
    let rules = Rules {
        locate_per_day: 3,
        ..Rules::of(Template::OptIn)
    };
    let Scene { world, .. } = three_with(rules).await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    for _ in 0..3 {
        let ledger = locate(urgent).await;
        assert_eq!(answer(&ledger, clinic.member()).term(), "match");
    }

    let ledger = locate(urgent).await;
    assert_eq!(answer(&ledger, clinic.member()).term(), "over-budget");
    assert!(!ledger.complete());
    let ledger = locate(&world.hospital).await;
    assert_eq!(answer(&ledger, clinic.member()).term(), "match");
    pass(24 * 3_600_000).await;
    let ledger = locate(urgent).await;
    assert_eq!(answer(&ledger, clinic.member()).term(), "match");
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_the_same_bytes_and_none_of_them_names_the_patient() {
    let mut tapes = Vec::new();
    for _ in 0..2 {
        let Scene {
            world,
            rosa,
            document,
        } = three().await;
        grant(&world.clinic, rosa, &world.urgent).await;
        let handle = located(&world.urgent, &world.clinic).await;
        fetch(&world.urgent, handle, document).await.unwrap();
        let summary = world.clinic.patient(rosa).unwrap().summary;
        fetch(&world.urgent, handle, summary).await.unwrap();
        tapes.push(world.net.tape());
        let of_disks = [&world.clinic, &world.hospital, &world.urgent]
            .into_iter()
            .flat_map(|node| node.disk().files());
        for (name, bytes) in of_disks {
            for canary in CANARIES {
                assert!(!contains(name.as_bytes(), canary));
                assert!(!contains(&bytes, canary), "{name}");
            }
        }
    }

    assert!(tapes[0] == tapes[1]);
    assert!(tapes[0].len() > 20);
    for frame in &tapes[0] {
        for canary in CANARIES {
            assert!(!contains(&frame.bytes, canary), "{:?}", frame.rpc);
        }
    }
    assert!(contains(&rosa_bundle().into_bytes(), CANARIES[0]));
}

fn contains(bytes: &[u8], canary: &[u8]) -> bool {
    bytes.windows(canary.len()).any(|window| window == canary)
}

#[tokio::test(start_paused = true)]
async fn what_is_concealed_from_the_asker_stands_in_the_holders_own_log() {
    let world = network(Kind::BehavioralHealth, Rules::of(Template::OptIn)).await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let rosa = add(clinic, rosa_bundle()).await;
    add(clinic, sam_bundle()).await;

    let ledger = locate(urgent).await;

    assert_eq!(answer(&ledger, clinic.member()).term(), "no-match");
    let located = audited(clinic, Audited::Located).await;
    assert_eq!(located.len(), 1);
    assert_eq!(located[0].patient, Some(rosa));
    assert_eq!(located[0].code, Some(Code::Concealed));
    assert!(located[0].rule.is_some(), "by which rule");
    let asked = audited(urgent, Audited::LocateAsked).await;
    assert_eq!(asked[0].query_hash, located[0].query_hash, "one question");
    let nobody = audited(&world.hospital, Audited::Located).await;
    assert_eq!((nobody[0].patient, nobody[0].code), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_handle_ends_with_the_consent_that_let_existence_be_known() {
    let world = network(Kind::BehavioralHealth, Rules::of(Template::OptIn)).await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let rosa = add(clinic, rosa_bundle()).await;
    let said = chartmesh_core::flows::Statement {
        by: "patient".to_owned(),
        witness: Some("amy".to_owned()),
        ..statement(rosa, urgent.member(), &[Purpose::Treat])
    };
    let stated = clinic.state_consent(&clinician(), said).await.unwrap();
    let consent = stated.consent.id;
    let handle = located(urgent, clinic).await;
    let summary = clinic.patient(rosa).unwrap().summary;
    assert!(fetch(urgent, handle, summary).await.is_ok());

    clinic.revoke(&clinician(), consent).await.unwrap();

    let told = code(fetch(urgent, handle, summary).await);
    assert_eq!(
        told,
        Some(Code::HandleUnknown),
        "not even that it is denied"
    );
    let denied = audited(clinic, Audited::Denied).await;
    assert_eq!(denied.last().unwrap().patient, Some(rosa));
    assert_eq!(denied.last().unwrap().code, Some(Code::Concealed));
}

#[tokio::test(start_paused = true)]
async fn refused_questions_are_written_as_a_few_entries() {
    let rules = Rules {
        locate_per_day: 3,
        ..Rules::of(Template::OptIn)
    };
    let Scene { world, .. } = three_with(rules).await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    for _ in 0..3 {
        locate(urgent).await;
    }
    assert_eq!(audited(clinic, Audited::Located).await.len(), 3);

    for _ in 0..3 * DENIALS_WHOLE_MAX {
        let ledger = locate(urgent).await;
        assert_eq!(answer(&ledger, clinic.member()).term(), "over-budget");
    }

    let located = audited(clinic, Audited::Located).await;
    assert_eq!(located.len(), 3 + DENIALS_WHOLE_MAX as usize);
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_counts_as_revealed_though_the_line_then_broke() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    locate(urgent).await;
    // The clinic forgets the session: the first try arrives and is told Stale, the second finds nobody.
    let clinic = clinic.restarted();
    world.net.between(Some(Box::new(|frame| match frame.rpc {
        Rpc::Hello => Fate::Break,
        _ => Fate::Deliver,
    })));

    let ledger = locate(urgent).await;

    let line = ledger
        .lines
        .iter()
        .find(|line| line.member == clinic.member());
    let line = line.unwrap();
    assert_eq!(line.answer.term(), "unreachable");
    assert_eq!(line.revealed, Revealed::Demographics);
}

#[tokio::test(start_paused = true)]
async fn a_certain_match_shows_name_birth_date_and_sex_and_its_question_one_hash_at_both_ends() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);

    let ledgers = [locate(urgent).await, locate(urgent).await];

    let Answer::Match(found) = answer(&ledgers[0], clinic.member()) else {
        panic!("no match");
    };
    let shown = Demographics {
        identifiers: Vec::new(),
        ..rosa()
    };
    assert!(found.demographics == Some(shown));
    let asked = audited(urgent, Audited::LocateAsked).await;
    assert_ne!(asked[0].query_hash, asked[1].query_hash);
    for (holder, outcome) in [
        (clinic, "answered: match"),
        (hospital, "answered: no match"),
    ] {
        let located = audited(holder, Audited::Located).await;
        assert_eq!(located[0].query_hash, asked[0].query_hash);
        assert_eq!(located[0].description, outcome);
    }
    assert_eq!(clinic.local_matches(&rosa()).len(), 1);
    assert!(clinic.local_matches(&rosa())[0] == clinic.patients("portillo")[0].id);
    assert!(hospital.local_matches(&rosa()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_may_not_ask_asks_nobody_and_who_says_too_little_is_asked_for_more() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let mut little = search(Purpose::Treat);
    little.demographics = Demographics {
        sex: rosa().sex,
        ..Demographics::default()
    };
    world.net.rewind();

    let told = urgent.locate(&admin(), &search(Purpose::Treat)).await;
    assert!(code(told).is_some());
    assert!(world.net.tape().is_empty());
    assert!(audited(urgent, Audited::LocateAsked).await.is_empty());

    let ledger = urgent.locate(&clinician(), &little).await.unwrap();
    let Answer::MoreNeeded(requested) = answer(&ledger, clinic.member()) else {
        panic!("not asked for more");
    };
    assert!(!requested.is_empty());
    let located = audited(clinic, Audited::Located).await;
    assert_eq!(located[0].description, "answered: more needed");
    assert_eq!(located[0].code, None);
}

/// Hard case: the line of a member that was not asked is there before any answer.
#[tokio::test(start_paused = true)]
async fn lines_stand_in_the_order_of_members_and_nobodys_match_writes_nothing() {
    let Scene { world, .. } = three().await;
    let (clinic, hospital, urgent) = (&world.clinic, &world.hospital, &world.urgent);
    let mut members = [clinic.member(), hospital.member()];
    members.sort();
    let writes = async |search: Search| {
        let before = urgent.disk().writes();
        let ledger = urgent.locate(&clinician(), &search).await.unwrap();
        (ledger, urgent.disk().writes() - before)
    };
    for asked in members {
        let (ledger, _) = writes(Search {
            only: vec![asked],
            ..search(Purpose::Treat)
        })
        .await;
        let lines: Vec<_> = ledger.lines.iter().map(|line| line.member).collect();
        assert_eq!(lines, members);
    }
    let of = |member| Search {
        only: vec![member],
        ..search(Purpose::Treat)
    };

    let (_, matched) = writes(of(clinic.member())).await;
    let (_, nobody) = writes(of(hospital.member())).await;

    assert_eq!(matched, 2 * nobody, "the question, and the handle");
}

/// A holder of another version may name several; each of them may be asked about.
#[tokio::test(start_paused = true)]
async fn of_several_matches_each_handle_is_good_at_its_holder() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let urgent = &world.urgent.restarted();
    let rosa = add(urgent, rosa_bundle()).await;
    let liar = Liar::at(&world.net, clinic, 1);
    let second = Handle([9; 20]);
    liar.says(Rpc::Locate, move |answer: &mut LocateAnswer| {
        if let Some(found) = answer.matches.first().cloned() {
            answer.outcome = Outcome::Matches;
            answer.matches.push(Match {
                handle: second,
                ..found
            });
        }
    });
    let search = Search {
        patient: Some(rosa),
        ..search(Purpose::Treat)
    };
    let ledger = urgent.locate(&clinician(), &search).await.unwrap();

    let Answer::Matches(found) = answer(&ledger, clinic.member()) else {
        panic!("not several");
    };
    assert!(found.len() == 2 && found[1].handle == second);
    world.net.between(None);
    let until = Timestamp(u64::MAX);
    for (number, found) in found.iter().enumerate() {
        let wanted = Wanted::default();
        let handle = found.handle;
        let _denied = urgent
            .list(&clinician(), handle, Purpose::Treat, &wanted, until)
            .await;
        let asked = audited(urgent, Audited::ListAsked).await;
        assert_eq!(asked.len(), number + 1, "its holder was asked");
        assert_eq!(asked[number].member, Some(clinic.member()));
        assert_eq!(asked[number].patient, Some(rosa), "own patient");
    }
}
