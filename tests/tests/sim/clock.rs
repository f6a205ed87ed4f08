//! Clocks that disagree.

use chartmesh_core::{
    locator::Answer,
    types::{PeerCode, limits::CLOCK_WINDOW},
};

use crate::scenario::*;

const DAY_MS: u64 = 24 * 3_600_000;

#[tokio::test(start_paused = true)]
async fn a_clock_beyond_the_window_is_told_so_both_ways() {
    let hour = 3_600_000;
    let close = CLOCK_WINDOW.0 as i64 - 60_000;
    for (offset_ms, refused) in [
        (0, false),
        (close, false),
        (-close, false),
        (hour, true),
        (-hour, true),
    ] {
        let Scene { world, .. } = three().await;
        // Old enough that no statement lies in anybody's future.
        pass(DAY_MS).await;
        let (clinic, urgent) = (&world.clinic, &world.urgent);
        let hospital = world.hospital.restarted_with_clock(offset_ms);

        let of_hospital = locate(urgent).await;
        let by_hospital = locate(&hospital).await;

        for (ledger, member) in [
            (&of_hospital, hospital.member()),
            (&by_hospital, clinic.member()),
            (&by_hospital, urgent.member()),
        ] {
            let answer = answer(ledger, member);
            let skewed = matches!(answer, Answer::Refused(PeerCode::ClockSkew));
            assert_eq!(skewed, refused, "{offset_ms}: {}", answer.term());
        }
        assert_eq!(answer(&of_hospital, clinic.member()).term(), "match");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_in_a_run_is_told_in_the_session_that_stands() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let ledger = locate(urgent).await;
    assert_eq!(answer(&ledger, clinic.member()).term(), "match");

    urgent
        .world()
        .set_clock_offset(CLOCK_WINDOW.0 as i64 + 60_000);

    let ledger = locate(urgent).await;
    let answer = answer(&ledger, clinic.member());
    assert!(matches!(answer, Answer::Refused(PeerCode::ClockSkew)));
}
