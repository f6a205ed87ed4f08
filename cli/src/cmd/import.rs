//! `import`.

use std::{collections::BTreeMap, path::PathBuf};

use chartmesh_proto::admin::{
    ImportPart, ImportReply, ImportReport, ImportStart, import_event::Event, import_part::Part,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    args::{ImportArgs, ImportFormat},
    connect::Node,
    exit::{Exit, Failure},
    print::{Bar, Screen},
    text::{self, Table},
};

use super::inputs::{self, Input, PARTS_AHEAD};

/// Issues of one input that the table shows.
const ISSUES_SHOWN: usize = 3;

/// Imports files and folders; one bad file does not stop the rest.
///
/// # Errors
/// An input was refused, after the reply was printed; or the daemon refuses the whole.
pub(crate) async fn run(args: ImportArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let format = match args.format {
        ImportFormat::Auto => "auto",
        ImportFormat::Fhir => "fhir",
        ImportFormat::Hl7v2 | ImportFormat::Ccda => {
            return Err(Failure::usage(
                "this version imports FHIR only",
                "HL7 v2 and C-CDA come with a later version",
            ));
        }
    };
    let mut inputs = inputs::walk(&args.paths);
    let plan = Plan::new(&mut inputs);
    let bar = screen.progress(plan.total_bytes, "bytes");
    let reply = node
        .call(async |mut admin| {
            let (parts, stream) = mpsc::channel(PARTS_AHEAD);
            let sender = tokio::spawn(send(
                parts,
                plan.files,
                Terms {
                    format,
                    dry_run: args.dry_run,
                },
                bar.clone(),
            ));
            let reply = receive(
                admin
                    .import(ReceiverStream::new(stream))
                    .await?
                    .into_inner(),
            )
            .await;
            sender.await.map_err(|_| Failure::bug("a task ended"))??;
            reply
        })
        .await;
    bar.clear();
    let reply = with_our_own(reply?, &inputs);
    screen.reply(&reply, table)?;
    if reply.refused == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        "INPUT_REFUSED",
        refused(&reply, args.dry_run),
        "the report of each says why",
    ))
}

/// What became of an import some of whose inputs were refused.
fn refused(reply: &ImportReply, dry_run: bool) -> String {
    let were = if reply.refused == 1 { "was" } else { "were" };
    let rest = match (dry_run, reply.imported) {
        (true, _) => "nothing was stored, since this was a dry run",
        (false, 0) => "nothing was imported",
        (false, _) => "the rest is in",
    };
    format!(
        "{} {were} refused; {rest}",
        text::count(reply.refused, "input")
    )
}

/// What will be sent.
struct Plan {
    files: Vec<(PathBuf, u64)>,
    total_bytes: u64,
}

impl Plan {
    /// Marks files that cannot be read as such.
    fn new(inputs: &mut [Input]) -> Self {
        let mut plan = Self {
            files: Vec::new(),
            total_bytes: 0,
        };
        for input in inputs {
            let Input::File(path) = input else {
                continue;
            };
            match std::fs::File::open(&path).and_then(|file| file.metadata()) {
                Ok(found) => {
                    plan.total_bytes = plan.total_bytes.saturating_add(found.len());
                    plan.files.push((path.clone(), found.len()));
                }
                Err(error) => *input = Input::Unreadable(path.clone(), error.to_string()),
            }
        }
        plan.files
            .sort_by_cached_key(|(path, _)| !inputs::is_patients(path));
        plan
    }
}

struct Terms {
    format: &'static str,
    dry_run: bool,
}

async fn send(
    parts: mpsc::Sender<ImportPart>,
    files: Vec<(PathBuf, u64)>,
    terms: Terms,
    bar: Bar,
) -> Result<(), Failure> {
    let part = |part| ImportPart { part: Some(part) };
    // A closed channel means that the daemon has ended the call; its answer says why.
    for (path, size_bytes) in files {
        let mut pieces = inputs::Pieces::open(&path).await?;
        let start = ImportStart {
            name: path.display().to_string(),
            format: terms.format.to_owned(),
            dry_run: terms.dry_run,
            size_bytes,
        };
        if parts.send(part(Part::Start(start))).await.is_err() {
            return Ok(());
        }
        while let Some(data) = pieces.next().await? {
            let step = u64::try_from(data.len()).unwrap_or(u64::MAX);
            if parts.send(part(Part::Data(data))).await.is_err() {
                return Ok(());
            }
            bar.add(step);
        }
        if parts.send(part(Part::End(true))).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn receive(
    mut events: tonic::Streaming<chartmesh_proto::admin::ImportEvent>,
) -> Result<ImportReply, Failure> {
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::Result(reply)) => return Ok(reply),
            // The bar shows bytes sent, which the daemon's own pace holds back.
            Some(Event::Progress(_)) | None => {}
        }
    }
    Err(Failure::lost())
}

/// Adds the inputs the daemon never saw, and puts reports into the order of the inputs.
fn with_our_own(mut reply: ImportReply, inputs: &[Input]) -> ImportReply {
    let mut order = BTreeMap::new();
    for (at, input) in inputs.iter().enumerate() {
        let (path, status, issues) = match input {
            Input::File(path) => {
                order.entry(path.display().to_string()).or_insert(at);
                continue;
            }
            Input::Skipped(path) => {
                reply.skipped += 1;
                (path, "skipped", Vec::new())
            }
            Input::Unreadable(path, why) => {
                reply.refused += 1;
                (path, "refused", vec![format!("UNREADABLE: {why}")])
            }
        };
        order.entry(path.display().to_string()).or_insert(at);
        reply.reports.push(ImportReport {
            input: path.display().to_string(),
            status: status.to_owned(),
            issues,
            ..ImportReport::default()
        });
    }
    reply
        .reports
        .sort_by_key(|report| order.get(&report.input).copied().unwrap_or(usize::MAX));
    reply
}

fn table(reply: &ImportReply) -> String {
    let mut table = Table::new(["INPUT", "STATUS", "PATIENTS", "RESOURCES", "ISSUES"]);
    for report in &reply.reports {
        table.row([
            &report.input,
            &report.status,
            &report.patients.to_string(),
            &report.resources.to_string(),
            &told(&report.issues),
        ]);
    }
    let sums = text::lines([
        ("imported", reply.imported.to_string().as_str()),
        ("refused", &reply.refused.to_string()),
        ("skipped", &reply.skipped.to_string()),
        ("patients", &reply.patients.to_string()),
        ("resources", &reply.resources.to_string()),
        ("documents", &reply.documents.to_string()),
        ("unchanged", &reply.unchanged.to_string()),
    ]);
    format!("{}\n{sums}", table.or("no inputs"))
}

/// The first issues of many; all of them are in the JSON.
fn told(issues: &[String]) -> String {
    let first = issues.iter().take(ISSUES_SHOWN).map(String::as_str);
    let mut text = first.collect::<Vec<_>>().join("; ");
    let more = issues.len().saturating_sub(ISSUES_SHOWN);
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_counts_and_says_what_is_in() {
        let reply = |imported, refused| ImportReply {
            imported,
            refused,
            ..ImportReply::default()
        };
        assert_eq!(
            refused(&reply(3, 1), false),
            "1 input was refused; the rest is in"
        );
        assert_eq!(
            refused(&reply(0, 2), false),
            "2 inputs were refused; nothing was imported"
        );
        assert!(refused(&reply(3, 1), true).contains("dry run"));
    }

    #[test]
    fn reports_follow_the_order_of_the_inputs_and_count_what_was_not_sent() {
        let inputs = [
            Input::Skipped("a.txt".into()),
            Input::File("b.json".into()),
            Input::Unreadable("c.json".into(), "no rights".to_owned()),
            Input::File("d.json".into()),
        ];
        let report = |input: &str, status: &str| ImportReport {
            input: input.to_owned(),
            status: status.to_owned(),
            ..ImportReport::default()
        };
        let reply = ImportReply {
            imported: 1,
            refused: 1,
            reports: vec![report("d.json", "refused"), report("b.json", "imported")],
            ..ImportReply::default()
        };

        let whole = with_our_own(reply, &inputs);

        let names: Vec<&str> = whole.reports.iter().map(|r| r.input.as_str()).collect();
        assert_eq!(names, ["a.txt", "b.json", "c.json", "d.json"]);
        assert_eq!((whole.imported, whole.refused, whole.skipped), (1, 2, 1));
        assert_eq!(whole.reports[2].issues, ["UNREADABLE: no rights"]);
    }
}
