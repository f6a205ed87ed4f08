//! One truthful line for each member, and answers that tell nothing by size or time.

use chartmesh_core::{
    flows::Search,
    locator::{Answer, Revealed},
    membership::{Rules, Template},
    ports::Rpc,
    records::{ConsentForm, Provision, Target},
    types::{
        Kind, PeerCode, Purpose,
        limits::{LOCATE_DEADLINE, LOCATE_TICK},
    },
};
use chartmesh_tests::{Frame, Kind as FrameKind};

use crate::scenario::*;

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
