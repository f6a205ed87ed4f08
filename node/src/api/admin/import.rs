//! Imports: inputs come in parts and go to the flow, whole or line by line.

use std::sync::Arc;

use bytes::Bytes;
use chartmesh_core::{
    flows::{Actor, FlowError, Imported, LinesImported, Met, Mode},
    formats::{Form, Line, Lines, form},
    types::{
        Code,
        limits::{INPUT_MAX_BYTES, LINES_PER_COMMIT_BYTES, LINES_PER_COMMIT_MAX},
    },
};
use chartmesh_proto::admin::{
    ImportEvent, ImportPart, ImportReply, ImportStart, Progress, import_event, import_part::Part,
};
use futures::{StreamExt, stream::BoxStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{
    Admin,
    error::{flow, usage},
    import_report::Told,
};
use crate::daemon::Daemon;

/// Inputs and lines put off because their patient may come later in the same import, in bytes.
const PUT_OFF_MAX_BYTES: usize = 64 << 20;
const EVENTS_WAITING: usize = 16;

impl Admin {
    pub(super) fn import(
        &self,
        parts: Streaming<ImportPart>,
    ) -> Result<BoxStream<'static, Result<ImportEvent, Status>>, Status> {
        let (daemon, actor) = self.acting()?;
        let (events, waiting) = mpsc::channel(EVENTS_WAITING);
        self.tasks.spawn(async move {
            let import = Import {
                daemon,
                actor,
                mode: Mode::Store,
                met: Met::default(),
                told: Vec::new(),
                put_off: Vec::new(),
                put_off_lines: Vec::new(),
                put_off_bytes: 0,
                events: events.clone(),
            };
            if let Err(status) = import.run(parts).await {
                // A user that went away wants no answer; what was imported is in.
                let _user_gone = events.send(Err(status)).await;
            }
        });
        Ok(ReceiverStream::new(waiting).boxed())
    }
}

/// One call of `import`.
struct Import {
    daemon: Arc<Daemon>,
    actor: Actor,
    mode: Mode,
    met: Met,
    told: Vec<Told>,
    put_off: Vec<(usize, Bytes)>,
    put_off_lines: Vec<(usize, Numbered)>,
    put_off_bytes: usize,
    events: mpsc::Sender<Result<ImportEvent, Status>>,
}

/// A line and its number.
type Numbered = (u64, Bytes);

/// How the bytes of the input under way are taken.
enum Taking {
    /// Its form cannot be told yet.
    Unclear(Vec<u8>),
    /// As one text.
    Whole(Vec<u8>),
    /// Line by line.
    Lines(Lines, Chunk),
    /// Read and dropped, so that the inputs behind it are imported.
    Dropped,
}

/// Lines that are committed together.
#[derive(Default)]
struct Chunk {
    lines: Vec<Numbered>,
    len_bytes: usize,
}

impl Chunk {
    fn push(&mut self, number: u64, line: Bytes) {
        self.len_bytes += line.len();
        self.lines.push((number, line));
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= LINES_PER_COMMIT_MAX || self.len_bytes >= LINES_PER_COMMIT_BYTES
    }
}

impl Import {
    async fn run(mut self, mut parts: Streaming<ImportPart>) -> Result<(), Status> {
        let mut input: Option<Taking> = None;
        while let Some(part) = parts.next().await {
            match (part?.part, input.take()) {
                (Some(Part::Start(start)), None) => input = Some(self.start(start)),
                (Some(Part::Data(data)), Some(taking)) => {
                    input = Some(self.take(taking, data).await?);
                }
                (Some(Part::End(_)), Some(taking)) => self.end(taking).await?,
                _ => {
                    return Err(usage(
                        Code::Usage,
                        "the parts of the import are out of order",
                    ));
                }
            }
        }
        if input.is_some() {
            return Err(usage(Code::Usage, "the last input has no end"));
        }
        self.again().await?;
        let mut reply = ImportReply::default();
        for told in self.told {
            told.add_to(&mut reply);
        }
        self.events
            .send(Ok(ImportEvent {
                event: Some(import_event::Event::Result(reply)),
            }))
            .await
            .map_err(|_| Status::cancelled("the user went away"))
    }

    fn start(&mut self, start: ImportStart) -> Taking {
        self.mode = if start.dry_run {
            Mode::DryRun
        } else {
            Mode::Store
        };
        let is_lines = is_named_lines(&start.name);
        let mut told = Told::new(start.name);
        let taking = if !matches!(start.format.as_str(), "" | "auto" | "fhir") {
            told.refuse(Code::FormatUnknown, "this version imports FHIR R4 JSON");
            Taking::Dropped
        } else if is_lines {
            told.is_lines();
            Taking::Lines(Lines::default(), Chunk::default())
        } else {
            Taking::Unclear(Vec::new())
        };
        self.told.push(told);
        taking
    }

    async fn take(&mut self, taking: Taking, data: Vec<u8>) -> Result<Taking, Status> {
        match taking {
            Taking::Unclear(mut bytes) => {
                // Only a line's end tells more than the beginning did.
                let tells = bytes.is_empty() || data.contains(&b'\n');
                bytes.extend_from_slice(&data);
                match tells.then(|| form(&bytes)) {
                    Some(Form::Lines) => self.lines(bytes).await,
                    Some(Form::Whole) => Ok(self.whole(bytes)),
                    Some(Form::Unclear) | None if bytes.len() > INPUT_MAX_BYTES => {
                        Ok(self.whole(bytes))
                    }
                    Some(Form::Unclear) | None => Ok(Taking::Unclear(bytes)),
                }
            }
            Taking::Whole(mut bytes) => {
                bytes.extend_from_slice(&data);
                Ok(self.whole(bytes))
            }
            Taking::Lines(mut lines, mut chunk) => {
                let found = lines.push(&data);
                for line in found {
                    self.line(line, &mut chunk).await?;
                }
                Ok(Taking::Lines(lines, chunk))
            }
            Taking::Dropped => Ok(Taking::Dropped),
        }
    }

    fn whole(&mut self, bytes: Vec<u8>) -> Taking {
        if bytes.len() <= INPUT_MAX_BYTES {
            return Taking::Whole(bytes);
        }
        self.last()
            .refuse(Code::TooLarge, "the input is larger than 64 MiB");
        Taking::Dropped
    }

    /// Goes on line by line, the bytes so far first.
    async fn lines(&mut self, bytes: Vec<u8>) -> Result<Taking, Status> {
        self.last().is_lines();
        let (mut lines, mut chunk) = (Lines::default(), Chunk::default());
        for line in lines.push(&bytes) {
            self.line(line, &mut chunk).await?;
        }
        Ok(Taking::Lines(lines, chunk))
    }

    async fn line(&mut self, line: Line, chunk: &mut Chunk) -> Result<(), Status> {
        match line.content {
            Ok(content) => chunk.push(line.number, content),
            Err(error) => self
                .last()
                .refuse_line(line.number, error.code(), &error.to_string()),
        }
        if chunk.is_full() {
            self.flush(chunk).await?;
        }
        Ok(())
    }

    async fn end(&mut self, mut taking: Taking) -> Result<(), Status> {
        if let Taking::Unclear(bytes) = taking {
            taking = match form(&bytes) {
                Form::Lines => self.lines(bytes).await?,
                Form::Whole | Form::Unclear => Taking::Whole(bytes),
            };
        }
        match taking {
            Taking::Whole(bytes) => self.input(bytes.into()).await?,
            Taking::Lines(mut lines, mut chunk) => {
                if let Some(line) = lines.end() {
                    self.line(line, &mut chunk).await?;
                }
                self.flush(&mut chunk).await?;
            }
            Taking::Unclear(_) | Taking::Dropped => {}
        }
        self.progress().await;
        Ok(())
    }

    async fn progress(&self) {
        let progress = import_event::Event::Progress(Progress {
            done: self.told.len() as u64,
            total: 0,
            unit: "inputs".to_owned(),
        });
        let event = Ok(ImportEvent {
            event: Some(progress),
        });
        let _user_gone = self.events.send(event).await;
    }

    async fn input(&mut self, bytes: Bytes) -> Result<(), Status> {
        if let Some(why) = super::sniff::foreign(&bytes) {
            self.last().refuse(Code::FormatUnknown, why);
            return Ok(());
        }
        let index = self.told.len() - 1;
        match self.one(bytes.clone()).await? {
            Err(error) if error.code() == Code::SubjectUnknown && self.room(&bytes) => {
                self.put_off.push((index, bytes));
                Ok(())
            }
            outcome => self.report(index, outcome),
        }
    }

    fn room(&mut self, bytes: &Bytes) -> bool {
        let sum = self.put_off_bytes + bytes.len();
        let fits = sum <= PUT_OFF_MAX_BYTES;
        if fits {
            self.put_off_bytes = sum;
        }
        fits
    }

    /// Imports the lines of the input under way; those whose patient is unknown wait for the end.
    async fn flush(&mut self, chunk: &mut Chunk) -> Result<(), Status> {
        let lines = std::mem::take(chunk).lines;
        let index = self.told.len() - 1;
        for (number, line, error) in self.some(index, lines).await? {
            if error.code() == Code::SubjectUnknown && self.room(&line) {
                // The line is a view of the part it came in, which may be much larger.
                let line = Bytes::copy_from_slice(&line);
                self.put_off_lines.push((index, (number, line)));
            } else {
                self.told[index].refuse_line(number, error.code(), &error.to_string());
            }
        }
        Ok(())
    }

    /// Tries once more those whose patient may have come behind them.
    async fn again(&mut self) -> Result<(), Status> {
        for (index, bytes) in std::mem::take(&mut self.put_off) {
            let outcome = self.one(bytes).await?;
            self.report(index, outcome)?;
        }
        let mut waiting = std::mem::take(&mut self.put_off_lines)
            .into_iter()
            .peekable();
        while let Some((index, (number, line))) = waiting.next() {
            let mut chunk = Chunk::default();
            chunk.push(number, line);
            while !chunk.is_full()
                && let Some((_, (number, line))) = waiting.next_if(|(other, _)| *other == index)
            {
                chunk.push(number, line);
            }
            for (number, _, error) in self.some(index, chunk.lines).await? {
                self.told[index].refuse_line(number, error.code(), &error.to_string());
            }
        }
        Ok(())
    }

    /// Imports one input in a task of its own, so that a user who goes away does not stop it halfway.
    async fn one(&mut self, bytes: Bytes) -> Result<Result<Imported, FlowError>, Status> {
        let (node, actor) = (self.daemon.node.clone(), self.actor.clone());
        let (mode, mut met) = (self.mode, std::mem::take(&mut self.met));
        let task = tokio::spawn(async move {
            let imported = node.import_among(&actor, bytes, mode, &mut met).await;
            (imported, met)
        });
        let (imported, met) = task.await.map_err(|_| super::internal())?;
        self.met = met;
        Ok(imported)
    }

    /// Imports lines of one input, likewise; returns those that were refused.
    async fn some(
        &mut self,
        index: usize,
        lines: Vec<Numbered>,
    ) -> Result<Vec<(u64, Bytes, FlowError)>, Status> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let (node, actor) = (self.daemon.node.clone(), self.actor.clone());
        let (mode, mut met) = (self.mode, std::mem::take(&mut self.met));
        let bytes: Vec<Bytes> = lines.iter().map(|(_, line)| line.clone()).collect();
        let task = tokio::spawn(async move {
            let imported = node.import_lines(&actor, bytes, mode, &mut met).await;
            (imported, met)
        });
        let (imported, met) = task.await.map_err(|_| super::internal())?;
        self.met = met;
        let LinesImported {
            imported,
            issues,
            refused,
        } = imported.map_err(flow)?;
        let told = &mut self.told[index];
        told.count(&imported);
        told.lines_in((lines.len() - refused.len()) as u64);
        for (at, issue) in issues {
            told.line_issue(lines[at].0, issue.code, issue.text);
        }
        let refused = refused.into_iter().map(|(at, error)| {
            let (number, line) = lines[at].clone();
            (number, line, error)
        });
        Ok(refused.collect())
    }

    fn report(&mut self, index: usize, outcome: Result<Imported, FlowError>) -> Result<(), Status> {
        let told = &mut self.told[index];
        match outcome {
            Ok(imported) => {
                told.count(&imported);
                for issue in imported.issues {
                    told.issue(issue.code, issue.text);
                }
            }
            // A store that cannot write ends the import: everything behind would fail alike.
            Err(error @ FlowError::Store(_)) => return Err(flow(error)),
            Err(error) => told.refuse(error.code(), &error.to_string()),
        }
        Ok(())
    }

    /// What is told of the input under way.
    fn last(&mut self) -> &mut Told {
        let index = self.told.len() - 1;
        &mut self.told[index]
    }
}

/// Whether a name says that one resource stands in each line.
fn is_named_lines(name: &str) -> bool {
    let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| {
        suffix.eq_ignore_ascii_case("ndjson") || suffix.eq_ignore_ascii_case("jsonl")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_takes_so_many_lines_or_bytes() {
        let line = Bytes::from_static(b"{}");
        let mut many = Chunk::default();
        for number in 1..LINES_PER_COMMIT_MAX as u64 {
            many.push(number, line.clone());
        }
        assert!(!many.is_full());
        many.push(0, line.clone());
        assert!(many.is_full());

        let mut large = Chunk::default();
        large.push(1, vec![b'x'; LINES_PER_COMMIT_BYTES - 1].into());
        assert!(!large.is_full());
        large.push(2, line);
        assert!(large.is_full());
    }

    #[test]
    fn lines_are_known_by_the_suffix_whatever_its_case() {
        assert!(is_named_lines("/in/Patient.ndjson") && is_named_lines("a.b.JSONL"));
        assert!(!is_named_lines("ndjson") && !is_named_lines("a.ndjson.json"));
    }
}
