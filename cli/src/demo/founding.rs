//! The first steps: four nodes, one network, each provider's records.

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::exit::Failure;

use super::{
    actor::{Actor, LOOK},
    people,
    places::{BRIGID, HOPE, MAPLE},
    seen::{Seen, count, ensure, list, text, unlike},
    stage::Stage,
};

/// Until every node knows every other.
const MEET_MAX: Duration = Duration::from_secs(60);

/// Makes the nodes and starts their daemons.
///
/// # Errors
/// A node cannot be made or does not answer.
pub(super) async fn daemons(stage: &mut Stage) -> Result<Seen<()>, Failure> {
    let mut slowest = Duration::ZERO;
    for actor in &mut stage.actors {
        let mut words = vec![
            "init",
            "--name",
            &actor.place.name,
            "--kind",
            actor.place.kind,
            "--phone",
            &actor.place.phone,
            "--address",
            &actor.place.address,
            "--state",
            "OH",
            "--test",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
        ];
        if actor.place.part2 {
            words.push("--part2");
        }
        let reply = actor.does(&words).await?;
        actor.node = text(&reply, "node")?.to_owned();
        slowest = slowest.max(actor.start().await?);
    }
    let keys: BTreeSet<&str> = stage
        .actors
        .iter()
        .map(|actor| actor.node.as_str())
        .collect();
    let nodes = stage.actors.len();
    ensure!(
        keys.len() == nodes,
        format!("{} different keys for {nodes} nodes", keys.len())
    );
    Ok(Seen::new(
        format!(
            "{nodes} daemons, {nodes} keys, no server; the slowest answered after {} ms",
            slowest.as_millis()
        ),
        (),
    ))
}

/// Maple founds the network.
///
/// # Errors
/// It cannot, or the rules are others.
pub(super) async fn network(stage: &Stage) -> Result<Seen<()>, Failure> {
    let maple = stage.maple();
    let words = [
        "network",
        "found",
        "--name",
        "Millhaven",
        "--policy",
        "opt-in",
        "--test",
    ];
    let founded = maple.does(&words).await?;
    let rules = maple.does(&["network", "rules"]).await?;
    let (network, policy) = (text(&founded, "network")?, text(&rules, "policy")?);
    ensure!(
        text(&rules, "network")? == network,
        "the rules are another network's"
    );
    ensure!(policy == "opt-in", format!("the policy is {policy}"));
    Ok(Seen::new(
        format!("Millhaven, opt-in: nothing leaves unless the patient says so\n{network}"),
        (),
    ))
}

/// The others join, each by a ticket and the word of Maple's administrator.
///
/// # Errors
/// One is not admitted, or they do not all meet.
pub(super) async fn joining(stage: &Stage) -> Result<Seen<()>, Failure> {
    let maple = stage.maple();
    for actor in stage.actors.iter().skip(MAPLE + 1) {
        let invitation = maple.does(&["network", "invite"]).await?;
        let ticket = text(&invitation, "ticket")?;
        let asked = actor
            .does_with(&["network", "join", "-"], ticket.as_bytes())
            .await?;
        let request = waiting(maple, &actor.node).await?;
        ensure!(
            text(&asked, "id")? == request,
            "applicant and inviter read different words"
        );
        maple.does(&["network", "approve", &request]).await?;
    }
    meet(stage).await?;
    Ok(Seen::new(
        format!(
            "{} members; each applicant's six words were compared and approved",
            stage.actors.len()
        ),
        (),
    ))
}

/// The join request of a node, once it is there.
async fn waiting(inviter: &Actor, node: &str) -> Result<String, Failure> {
    let limit = Instant::now() + MEET_MAX;
    loop {
        let reply = inviter.does(&["network", "requests"]).await?;
        for request in list(&reply, "requests")? {
            if text(request, "node")? == node {
                return Ok(text(request, "id")?.to_owned());
            }
        }
        if Instant::now() > limit {
            return Err(unlike("the join request did not arrive"));
        }
        sleep(LOOK).await;
    }
}

/// Waits until every node lists all members as active and Harbor is connected to each.
async fn meet(stage: &Stage) -> Result<(), Failure> {
    let limit = Instant::now() + MEET_MAX;
    let wanted = stage.actors.len();
    for actor in &stage.actors {
        while active(&actor.tries(&["network", "members"], b"").await?.reply) < wanted {
            ensure!(
                Instant::now() <= limit,
                format!("{} does not know all members", actor.place.name)
            );
            sleep(LOOK).await;
        }
    }
    let harbor = stage.harbor();
    while connected(&harbor.does(&["peers"]).await?) + 1 < wanted {
        ensure!(
            Instant::now() <= limit,
            "Harbor is not connected to all members"
        );
        sleep(LOOK).await;
    }
    Ok(())
}

fn active(members: &Value) -> usize {
    let lines = list(members, "members").unwrap_or_default();
    lines
        .iter()
        .filter(|line| line["status"] == "active")
        .count()
}

fn connected(peers: &Value) -> usize {
    let lines = list(peers, "peers").unwrap_or_default();
    lines
        .iter()
        .filter(|line| line["connected"] == true)
        .count()
}

/// Each provider imports what it wrote down.
///
/// # Errors
/// An input is refused, or a patient is not found as it should be.
pub(super) async fn records(stage: &Stage) -> Result<Seen<()>, Failure> {
    let calendar = stage.calendar;
    let inputs = [
        (MAPLE, "maple.json", people::maple(calendar), "open"),
        (BRIGID, "brigid-1.json", people::brigid(calendar), "open"),
        (
            BRIGID,
            "brigid-2.json",
            people::brigid_other(calendar),
            "open",
        ),
        (HOPE, "hope.json", people::hope(calendar), "hidden"),
    ];
    let mut resources = 0;
    for (at, name, bundle, discoverability) in &inputs {
        let path = stage.file(name);
        fs::write(&path, bundle.to_string())
            .map_err(|error| Failure::file("written", &path, &error))?;
        let actor = &stage.actors[*at];
        let words = path.to_string_lossy();
        let reply = actor.does(&["import", &words]).await?;
        let imported = count(&reply, "imported")?;
        ensure!(
            imported == 1 && count(&reply, "refused")? == 0,
            format!("{name} was not imported: {reply}")
        );
        resources += count(&reply, "resources")?;
        let patients = actor.does(&["patient", "list"]).await?;
        for patient in list(&patients, "patients")? {
            let found = text(patient, "discoverability")?;
            ensure!(
                found == *discoverability,
                format!("a patient of {} is {found}", actor.place.name)
            );
        }
    }
    Ok(Seen::new(
        format!(
            "{resources} resources of 2 people at 3 providers; Hope's are hidden; Harbor has none"
        ),
        (),
    ))
}
