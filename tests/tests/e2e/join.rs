//! Tickets that are not what they should be, each beside one that is.

use std::time::{Duration, Instant};

use crate::{
    node::{Node, PATIENCE, Ran, text},
    world::{World, approve, invite, join, lines},
};

/// A founder, and somebody who wants in.
fn founder_and_stranger(world: &World) -> (Node, Node) {
    let mut clinic = world.node("clinic", "Maple Family Clinic", "clinic");
    let mut hospital = world.node("hospital", "St. Brigid Hospital", "hospital");
    clinic.start();
    hospital.start();
    clinic.ok(&["network", "found", "--name", "Springfield", "--test"]);
    (clinic, hospital)
}

#[track_caller]
fn refused(ran: &Ran) {
    assert_ne!(ran.exit, 0, "{}", ran.json);
    assert!(ran.code().starts_with("TICKET_"), "{}", ran.stderr);
}

#[test]
fn a_forged_ticket_admits_nobody() {
    let world = World::new();
    let (clinic, hospital) = founder_and_stranger(&world);
    let ticket = invite(&clinic);
    // The secret is near the end; the middle may be an address.
    let at = ticket.len() - 6;
    let other = if &ticket[at..=at] == "a" { "b" } else { "a" };
    let forged = format!("{}{other}{}", &ticket[..at], &ticket[at + 1..]);

    refused(&join(&hospital, &forged));
    assert_eq!(requests(&clinic), 0);

    join(&hospital, &ticket).expect(0);
    assert_eq!(requests(&clinic), 1);
}

#[test]
fn an_expired_ticket_admits_nobody() {
    let world = World::new();
    let (clinic, hospital) = founder_and_stranger(&world);
    let life = Duration::from_secs(1);
    let expired = text(&clinic.ok(&["network", "invite", "--valid", "1s"])["ticket"]);
    let began = Instant::now();
    clinic.wait("the ticket expires", PATIENCE, || {
        began.elapsed() > 2 * life
    });

    refused(&join(&hospital, &expired));
    assert_eq!(requests(&clinic), 0);

    join(&hospital, &invite(&clinic)).expect(0);
    assert_eq!(requests(&clinic), 1);
}

#[test]
fn a_used_ticket_admits_nobody_else() {
    let world = World::new();
    let (clinic, hospital) = founder_and_stranger(&world);
    let mut harbor = world.node("harbor", "Harbor Urgent Care", "urgent-care");
    harbor.start();
    let ticket = invite(&clinic);
    let asked = join(&hospital, &ticket).expect(0).json;

    refused(&join(&harbor, &ticket));
    approve(&clinic, &text(&asked["id"]));
    refused(&join(&harbor, &ticket));

    join(&harbor, &invite(&clinic)).expect(0);
}

#[test]
fn a_ticket_of_another_network_moves_no_member() {
    let world = World::new();
    let (clinic, hospital) = founder_and_stranger(&world);
    hospital.ok(&["network", "found", "--name", "Elsewhere", "--test"]);

    let ran = join(&hospital, &invite(&clinic));

    assert_ne!(ran.exit, 0);
    assert_eq!(ran.code(), "ALREADY_IN_NETWORK", "{}", ran.stderr);
    assert_eq!(requests(&clinic), 0);
}

/// Approving the wrong words admits nobody; the right ones do.
#[test]
fn only_the_words_of_a_request_approve_it() {
    let world = World::new();
    let (clinic, hospital) = founder_and_stranger(&world);
    let asked = join(&hospital, &invite(&clinic)).expect(0).json;
    let words = text(&asked["id"]);
    assert_eq!(words.split('_').count(), 6, "{words}");

    let wrong = clinic.run(&["network", "approve", "zoo_zoo_zoo_zoo_zoo_zoo"]);

    assert_eq!(wrong.expect(4).code(), "REQUEST_UNKNOWN");
    approve(&clinic, &words);
    hospital.wait("it is a member", PATIENCE, || {
        let members = hospital.run(&["network", "members"]).json;
        lines(&members["members"]).count() == 2
    });
}

fn requests(node: &Node) -> usize {
    let reply = node.ok(&["network", "requests"]);
    lines(&reply["requests"]).count()
}
