//! `locate`.

use std::path::Path;

use chartmesh_proto::admin::{DemographicsView, LedgerLine, LocateReply, LocateRequest};

use crate::{
    args::LocateArgs,
    ask,
    connect::Node,
    exit::{Exit, Failure},
    print::Screen,
    text::{self, Table},
};

use super::{
    patient::{PATIENT_MAX_BYTES, summaries},
    status,
};

/// Asks who holds records, prints the ledger, and ends as the ledger says.
///
/// # Errors
/// No match; the ledger is printed all the same.
pub(crate) async fn run(args: LocateArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = request(args)?;
    let chosen = !request.only.is_empty();
    let (reply, banner) = node
        .call(async |mut admin| {
            let reply = admin.locate(request).await?.into_inner();
            Ok((reply, status::banner(&mut admin, screen).await?))
        })
        .await?;
    if chosen && asked(&reply).count() == 0 {
        return Err(Failure::usage(
            "nobody was asked: --only names no other member",
            "see chartmesh network members; our own records are in chartmesh patient list",
        ));
    }
    screen.reply(&reply, |reply| format!("{banner}{}", table(reply)))?;
    verdict(&reply)?;
    if !reply.complete {
        screen.note(&format!("incomplete: {}", unanswered(&reply)));
    }
    Ok(())
}

fn request(args: LocateArgs) -> Result<LocateRequest, Failure> {
    let resource = match args.source {
        Some(_) => ask::read_input(Path::new("-"), PATIENT_MAX_BYTES)?,
        None => Vec::new(),
    };
    if args.source.is_some() && resource.is_empty() {
        return Err(Failure::usage(
            "standard input is empty",
            "send a FHIR Patient as JSON",
        ));
    }
    Ok(LocateRequest {
        patient: args.patient.unwrap_or_default(),
        resource,
        family: args.family.unwrap_or_default(),
        given: args.given,
        birth_date: args.birth_date.unwrap_or_default(),
        sex: args.sex.unwrap_or_default(),
        identifier: args.identifier,
        phone: args.phone,
        email: args.email,
        line: args.line.unwrap_or_default(),
        city: args.city.unwrap_or_default(),
        state: args.state.unwrap_or_default(),
        postal_code: args.postal_code.unwrap_or_default(),
        purpose: args.purpose,
        deadline_ms: args.deadline.unwrap_or(0),
        only: args.only,
        break_glass: args.break_glass.unwrap_or_default(),
    })
}

/// What the ledger means for whoever waits for an exit code.
fn verdict(reply: &LocateReply) -> Result<(), Failure> {
    let any = |answer: &str| reply.nodes.iter().any(|line| line.answer == answer);
    if any("match") {
        return Ok(());
    }
    if any("matches") {
        return Err(Failure::new(
            Exit::Choice,
            "CHOICE",
            "a holder has several who might be this patient",
            "compare what agrees, and ask again with more attributes",
        ));
    }
    if any("more-needed") {
        let mut wanted: Vec<&str> = reply
            .nodes
            .iter()
            .flat_map(|line| line.requested.iter().map(String::as_str))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        return Err(Failure::new(
            Exit::Choice,
            "MORE_NEEDED",
            "a holder needs more to be certain",
            format!("ask again with: {}", wanted.join(", ")),
        ));
    }
    if reply.complete {
        return Err(Failure::new(
            Exit::NotFound,
            "NO_MATCH",
            "no node holds records for this patient that we may know of",
            "",
        ));
    }
    Err(Failure::new(
        Exit::Incomplete,
        "INCOMPLETE",
        format!("no match, but {}", unanswered(reply)),
        "telephone them, or ask again later",
    ))
}

/// The nodes that the question went to.
fn asked(reply: &LocateReply) -> impl Iterator<Item = &LedgerLine> {
    let asked = |line: &&LedgerLine| line.answer != "not-asked";
    reply.nodes.iter().filter(asked)
}

/// How many of the nodes asked said neither yes nor no.
fn unanswered(reply: &LocateReply) -> String {
    let silent = |line: &&LedgerLine| {
        !matches!(
            line.answer.as_str(),
            "match" | "matches" | "no-match" | "more-needed"
        )
    };
    let count = asked(reply).count();
    format!(
        "{} of {} gave no answer",
        asked(reply).filter(silent).count(),
        text::count(count as u64, "node")
    )
}

fn table(reply: &LocateReply) -> String {
    let mut table = Table::new([
        "ORGANIZATION",
        "ANSWER",
        "GRADE",
        "NAME",
        "BORN",
        "MIRROR",
        "REVEALED",
        "PHONE",
        "LAST SEEN",
        "HANDLE",
    ]);
    for line in &reply.nodes {
        let (name, born) = person(line.demographics.as_ref());
        let mut mirror = pairs(line);
        mirror.extend(line.requested.iter().map(|wanted| format!("{wanted}?")));
        let contact = line.contact.as_ref();
        table.row([
            &line.organization,
            &answer(line),
            line.grade.as_deref().unwrap_or_default(),
            &name,
            &born,
            &mirror.join(" "),
            &line.revealed,
            contact.map_or("", |contact| contact.phone.as_str()),
            &text::maybe_date(line.last_seen.as_ref()),
            line.handle.as_deref().unwrap_or_default(),
        ]);
        for found in &line.matches {
            let (name, born) = person(found.demographics.as_ref());
            let mirror: Vec<String> = found
                .mirror
                .iter()
                .map(|(attribute, agreement)| format!("{attribute}:{agreement}"))
                .collect();
            table.row([
                "",
                "",
                &found.grade,
                &name,
                &born,
                &mirror.join(" "),
                "",
                "",
                "",
                &found.handle,
            ]);
        }
    }
    let local = if reply.local.is_empty() {
        String::new()
    } else {
        format!("\nour own records:\n{}", summaries(&reply.local))
    };
    let complete = if reply.complete {
        "complete"
    } else {
        "INCOMPLETE"
    };
    format!(
        "{}\n{complete}, {} ms\n{local}",
        table.or("nobody was asked"),
        reply.elapsed_ms
    )
}

fn answer(line: &LedgerLine) -> String {
    match &line.code {
        Some(code) => format!("{} ({code})", line.answer),
        None => line.answer.clone(),
    }
}

fn pairs(line: &LedgerLine) -> Vec<String> {
    let pair = |(attribute, agreement): (&String, &String)| format!("{attribute}:{agreement}");
    line.mirror.iter().map(pair).collect()
}

fn person(view: Option<&DemographicsView>) -> (String, String) {
    view.map_or_else(Default::default, |view| {
        (
            format!("{} {}", view.given, view.family).trim().to_owned(),
            text::maybe_date(view.birth_date.as_ref()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_match_is_enough_even_if_incomplete() {
        let reply = ledger(false, &["match", "unreachable"]);

        assert!(verdict(&reply).is_ok());
        assert_eq!(unanswered(&reply), "1 of 2 nodes gave no answer");
    }

    #[test]
    fn a_node_that_was_not_asked_is_not_counted() {
        let reply = ledger(false, &["unreachable", "not-asked"]);

        let failure = verdict(&reply).expect_err("no match");

        assert_eq!(failure.exit, Exit::Incomplete);
        assert_eq!(failure.message, "no match, but 1 of 1 node gave no answer");
        assert_eq!(asked(&ledger(true, &["not-asked"])).count(), 0);
    }

    #[test]
    fn none_and_complete_differs_from_none_and_incomplete() {
        assert_eq!(exit(true, &["no-match", "no-match"]), Some(4));
        assert_eq!(exit(true, &[]), Some(4));
        assert_eq!(exit(false, &["no-match", "timed-out"]), Some(5));
        assert_eq!(exit(false, &["unreachable"]), Some(5));
    }

    #[test]
    fn a_question_back_needs_a_human() {
        assert_eq!(exit(true, &["no-match", "more-needed"]), Some(8));
        assert_eq!(exit(true, &["matches"]), Some(8));
        assert_eq!(exit(false, &["more-needed", "unreachable"]), Some(8));
        assert_eq!(exit(true, &["more-needed", "match"]), None);
    }

    #[test]
    fn the_hint_names_each_attribute_once() {
        let mut reply = ledger(true, &["more-needed", "more-needed"]);
        for line in &mut reply.nodes {
            line.requested = vec!["address".to_owned(), "phone".to_owned()];
        }

        let failure = verdict(&reply).expect_err("a question back");

        assert_eq!(failure.hint, "ask again with: address, phone");
    }

    #[test]
    fn a_hostile_name_does_not_reach_the_terminal() {
        let mut reply = ledger(true, &["match"]);
        reply.nodes[0].organization = "St.\u{1b}[2J Brigid\r\n".to_owned();

        let text = table(&reply);

        assert!(text.contains("St.\\u{1b}[2J Brigid\\u{d}\\u{a}"));
        assert!(!text.contains('\u{1b}'));
    }

    fn exit(complete: bool, answers: &[&str]) -> Option<u8> {
        let failure = verdict(&ledger(complete, answers)).err()?;
        Some(failure.exit.number())
    }

    fn ledger(complete: bool, answers: &[&str]) -> LocateReply {
        let line = |&answer: &&str| LedgerLine {
            answer: answer.to_owned(),
            ..LedgerLine::default()
        };
        LocateReply {
            complete,
            nodes: answers.iter().map(line).collect(),
            ..LocateReply::default()
        }
    }
}
