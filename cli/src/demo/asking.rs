//! Harbor asks who holds records: the ledger as it should read at each moment of the story.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::exit::Failure;

use super::{
    actor::{Actor, LOOK},
    people,
    places::MAPLE,
    seen::{Seen, count, ensure, list, text, unlike},
    stage::Stage,
};

/// Harbor's patience, and what a busy machine may add to it.
const DEADLINE: &str = "10s";
const DEADLINE_MS: u64 = 11_000;
/// Until a node that came back is found again.
const RETURN_MAX: Duration = Duration::from_secs(60);

/// A ledger, and what each holder called the patient.
pub(super) struct Ledger {
    /// As printed.
    pub(super) reply: Value,
    /// Maple's handle.
    pub(super) maple: String,
    /// St. Brigid's handle.
    pub(super) brigid: String,
}

/// Harbor asks for the first time.
///
/// # Errors
/// The ledger does not read as it should.
pub(super) async fn first(stage: &Stage) -> Result<Seen<Ledger>, Failure> {
    let patient = people::at_the_desk(stage.calendar).to_string();
    let words = ["locate", "-", "--purpose", "TREAT", "--deadline", DEADLINE];
    let reply = stage.harbor().does_with(&words, patient.as_bytes()).await?;
    ensure!(
        reply["complete"] == true,
        format!("incomplete: {}", answers(&reply))
    );
    let maple = only_rosa(&reply, stage.maple())?;
    let brigid = only_rosa(&reply, stage.brigid())?;
    for actor in &stage.actors {
        let holds = [&stage.maple().node, &stage.brigid().node].contains(&&actor.node);
        if holds || actor.node == stage.harbor().node {
            continue;
        }
        let answer = text(line(&reply, actor)?, "answer")?;
        ensure!(
            answer == "no-match",
            format!("{} answers {answer}", actor.place.name)
        );
    }
    ensure!(
        !reply.to_string().contains(people::OTHER_FAMILY),
        format!("{} is shown", people::OTHER_FAMILY)
    );
    let saw = format!(
        "Maple and St. Brigid match, Hope says no-match, {} is not shown; {} ms",
        people::OTHER_FAMILY,
        count(&reply, "elapsed_ms")?
    );
    Ok(Seen::new(
        saw,
        Ledger {
            reply,
            maple,
            brigid,
        },
    ))
}

/// Who learned that Rosa was asked about: by the ledger, and by each log at the other end.
///
/// # Errors
/// The two do not agree.
pub(super) async fn who_learned(stage: &Stage, ledger: &Ledger) -> Result<Seen<()>, Failure> {
    let harbor = stage.harbor();
    let mut learned = Vec::new();
    for entry in list(&ledger.reply, "nodes")? {
        if text(entry, "revealed")? != "nothing" {
            learned.push(text(entry, "organization")?);
        }
    }
    for actor in &stage.actors {
        if actor.node == harbor.node {
            continue;
        }
        let log = actor.does(&["audit", "list"]).await?;
        let told = list(&log, "entries")?.iter().any(|entry| {
            entry["node"] == harbor.node.as_str()
                || entry["organization"] == harbor.place.name.as_str()
        });
        let listed = learned.contains(&actor.place.name.as_str());
        ensure!(
            told == listed,
            format!(
                "{}: the ledger and its own log disagree on whether it was asked",
                actor.place.name
            )
        );
    }
    Ok(Seen::new(
        format!(
            "{} members learned her name and that Harbor asks: {}\n\
             two said that they hold records; each wrote it down",
            learned.len(),
            learned.join(", ")
        ),
        (),
    ))
}

/// Harbor asks while Maple is dead.
///
/// # Errors
/// The ledger hides it, or comes late.
pub(super) async fn without_maple(stage: &mut Stage) -> Result<Seen<()>, Failure> {
    stage.actors[MAPLE].is_killed().await?;
    let reply = again(stage).await?;
    let entry = line(&reply, stage.maple())?;
    let answer = text(entry, "answer")?;
    ensure!(
        matches!(answer, "unreachable" | "timed-out") && reply["complete"] == false,
        format!("Maple is dead, and the ledger says {answer}")
    );
    let phone = entry["contact"]["phone"].as_str().unwrap_or_default();
    ensure!(
        phone == stage.maple().place.phone,
        "the ledger does not say whom to call"
    );
    only_rosa(&reply, stage.brigid())?;
    let elapsed_ms = count(&reply, "elapsed_ms")?;
    ensure!(
        elapsed_ms <= DEADLINE_MS,
        format!("the answer took {elapsed_ms} ms")
    );
    let since = entry["last_seen"].as_str().map_or_else(String::new, |at| {
        format!(", last seen {}", crate::text::date(at))
    });
    Ok(Seen::new(
        format!("Maple is {answer}{since}, call {phone}; 1 of 2 sources; {elapsed_ms} ms"),
        (),
    ))
}

/// Maple comes back, and is found without help.
///
/// # Errors
/// It is not found in time.
pub(super) async fn with_maple_again(stage: &mut Stage) -> Result<Seen<Ledger>, Failure> {
    let begun = Instant::now();
    stage.actors[MAPLE].start().await?;
    loop {
        let reply = again(stage).await?;
        if text(line(&reply, stage.maple())?, "answer")? == "match" {
            let maple = only_rosa(&reply, stage.maple())?;
            let brigid = only_rosa(&reply, stage.brigid())?;
            return Ok(Seen::new(
                format!(
                    "found again {} ms after its start",
                    begun.elapsed().as_millis()
                ),
                Ledger {
                    reply,
                    maple,
                    brigid,
                },
            ));
        }
        if begun.elapsed() > RETURN_MAX {
            return Err(unlike(format!("not found again: {}", answers(&reply))));
        }
        sleep(LOOK).await;
    }
}

/// The same question in words on the command line.
async fn again(stage: &Stage) -> Result<Value, Failure> {
    let born = stage.calendar.birth_date();
    let words = [
        "locate",
        "--family",
        people::FAMILY,
        "--given",
        people::GIVEN,
        "--birth-date",
        &born,
        "--sex",
        "F",
        "--line",
        people::LINE,
        "--city",
        people::CITY,
        "--state",
        people::STATE,
        "--postal-code",
        people::POSTAL_CODE,
        "--purpose",
        "TREAT",
        "--deadline",
        DEADLINE,
    ];
    stage.harbor().does(&words).await
}

/// The handle, where the holder named Rosa and nobody else.
fn only_rosa(reply: &Value, holder: &Actor) -> Result<String, Failure> {
    let entry = line(reply, holder)?;
    let answer = text(entry, "answer")?;
    ensure!(
        answer == "match",
        format!("{} answers {answer}: {entry}", holder.place.name)
    );
    let named = &entry["demographics"];
    ensure!(
        named["family"] == people::FAMILY && named["given"] == people::GIVEN,
        format!("{} names somebody else", holder.place.name)
    );
    Ok(text(entry, "handle")?.to_owned())
}

fn line<'a>(reply: &'a Value, actor: &Actor) -> Result<&'a Value, Failure> {
    list(reply, "nodes")?
        .iter()
        .find(|line| line["node"] == actor.node.as_str())
        .ok_or_else(|| unlike(format!("{} is not in the ledger", actor.place.name)))
}

fn answers(reply: &Value) -> String {
    let lines = list(reply, "nodes").unwrap_or_default();
    let words: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {}", line["organization"], line["answer"]))
        .collect();
    words.join(", ")
}
