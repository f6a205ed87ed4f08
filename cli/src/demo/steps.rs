//! The list of steps: what each was called, whether it was true, what was seen, how long it took.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{
    args::Pace,
    exit::{Exit, Failure},
    print::Screen,
    text::escape,
};

use super::seen::Seen;

/// How long the slow pace waits after each step.
const READING: Duration = Duration::from_secs(2);

/// One step that was told.
#[derive(Serialize)]
struct Step {
    name: &'static str,
    ok: bool,
    saw: String,
    elapsed_ms: u64,
}

#[derive(Serialize)]
struct Report<'a> {
    steps: &'a [Step],
}

/// The steps so far.
pub(super) struct Steps<'a> {
    screen: &'a Screen,
    pace: Pace,
    told: Vec<Step>,
}

impl<'a> Steps<'a> {
    /// None yet.
    pub(super) fn new(screen: &'a Screen, pace: Pace) -> Self {
        Self {
            screen,
            pace,
            told: Vec::new(),
        }
    }

    /// Tells one step. None ends the story.
    pub(super) async fn tell<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<Seen<T>, Failure>>,
    ) -> Option<T> {
        let start = Instant::now();
        let outcome = work.await;
        let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (ok, saw, value) = match outcome {
            Ok(seen) => (true, seen.saw, Some(seen.value)),
            Err(failure) => (false, failure.message, None),
        };
        let step = Step {
            name,
            ok,
            saw,
            elapsed_ms,
        };
        // A reader that went away must not keep the story from cleaning up.
        let _ = self.screen.line(&line(&step));
        self.told.push(step);
        if self.pace == Pace::Slow {
            tokio::time::sleep(READING).await;
        }
        value
    }

    /// Whether every step so far was true.
    pub(super) fn all_true(&self) -> bool {
        self.told.iter().all(|step| step.ok)
    }

    /// Ends the story: the JSON, and a failure unless every step was true.
    ///
    /// # Errors
    /// A step was not true, or standard output cannot be written.
    pub(super) fn end(self) -> Result<(), Failure> {
        let report = Report { steps: &self.told };
        self.screen.reply(&report, |_| String::new())?;
        let false_ones: Vec<&str> = self
            .told
            .iter()
            .filter(|step| !step.ok)
            .map(|step| step.name)
            .collect();
        if false_ones.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Bug,
            "STEP_FAILED",
            format!("not true: {}", false_ones.join("; ")),
            "run it again with --keep DIR, and read the logs there",
        ))
    }
}

fn line(step: &Step) -> String {
    let seconds = format!(
        "{}.{:02} s",
        step.elapsed_ms / 1000,
        step.elapsed_ms % 1000 / 10
    );
    let mark = if step.ok { "ok" } else { "FAILED" };
    let saw = step
        .saw
        .lines()
        .map(|line| format!("                   {}\n", escape(line)))
        .collect::<String>();
    format!("{mark:<6} {seconds:>10}  {}\n{}", step.name, saw.trim_end())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::{args::Cli, demo::seen::unlike};

    use super::*;

    #[tokio::test]
    async fn one_false_step_fails_the_story() {
        let cli = Cli::try_parse_from(["chartmesh", "--quiet", "demo"]).expect("words");
        let screen = Screen::new(&cli.globals);
        let mut all_true = Steps::new(&screen, Pace::Fast);
        let mut one_false = Steps::new(&screen, Pace::Fast);

        let first = all_true
            .tell("first", async { Ok(Seen::new("so", 1)) })
            .await;
        one_false
            .tell("first", async { Ok(Seen::new("so", 1)) })
            .await;
        let second = one_false
            .tell("second", async { Err::<Seen<()>, _>(unlike("not so")) })
            .await;

        assert_eq!(first, Some(1));
        assert!(all_true.end().is_ok());
        assert!(second.is_none());
        let failure = one_false.end().expect_err("a false step");
        assert!(failure.message.contains("second"));
    }

    #[test]
    fn a_step_reads_as_one_line_and_what_was_seen() {
        let step = Step {
            name: "four daemons",
            ok: true,
            saw: "four keys\u{1b}\nno server".to_owned(),
            elapsed_ms: 1_234,
        };

        assert_eq!(
            line(&step),
            "ok         1.23 s  four daemons\n                   four keys\\u{1b}\n                   no server"
        );
    }
}
