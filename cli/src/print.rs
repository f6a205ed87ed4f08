//! Where output goes: one JSON object or a table on standard output, everything else on standard
//! error.

use std::io::{ErrorKind, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::{
    args::{Globals, Output},
    exit::{Exit, Failure},
    table,
    text::{escape, is_hazardous},
};

/// How this run talks to whoever started it.
pub(crate) struct Screen {
    output: Output,
    quiet: bool,
    yes: bool,
}

impl Screen {
    /// As the command line says.
    pub(crate) fn new(globals: &Globals) -> Self {
        table::fit_to(columns());
        Self {
            output: globals.output,
            quiet: globals.quiet,
            yes: globals.yes,
        }
    }

    /// Whether the reply is to be a JSON object.
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Whether nobody has to be asked: told so, or nobody is there.
    pub(crate) fn asks_nothing(&self) -> bool {
        self.yes || !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal())
    }

    /// Prints a reply: its JSON view, or the table made of it.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn reply<T: Serialize>(
        &self,
        reply: &T,
        table: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let text = match self.output {
            Output::Json => json(reply)?,
            Output::Table => table(reply),
        };
        write_out(text.as_bytes())
    }

    /// Prints a line of a table as it comes; nothing with JSON.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        match self.output {
            Output::Json => Ok(()),
            Output::Table => write_out(format!("{text}\n").as_bytes()),
        }
    }

    /// Tells what the user should know besides the reply.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("note: {}", escape(text));
        }
    }

    /// Says what happened and what to do next.
    pub(crate) fn failure(&self, failure: &Failure) {
        eprint!("{}", failure_text(failure, self.output));
    }

    /// A bar on a terminal, nothing elsewhere.
    pub(crate) fn progress(&self, total: u64, unit: &str) -> Bar {
        if self.quiet || !std::io::stderr().is_terminal() {
            return Bar(None);
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let template = if unit == "bytes" {
            "{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta}"
        } else {
            "{bar:32} {pos}/{len} {elapsed}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Bar(Some(bar))
    }
}

/// How wide the terminal is, where standard output is one.
fn columns() -> Option<usize> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok()?;
    // Some terminals do not know and say nought.
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// A progress bar that may be absent, and disappears when dropped.
#[derive(Clone)]
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    /// So far.
    pub(crate) fn set(&self, done: u64, total: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(total.max(done));
            bar.set_position(done);
        }
    }

    /// One more step of this size.
    pub(crate) fn add(&self, step: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(step);
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// What a failure looks like on standard error.
pub(crate) fn failure_text(failure: &Failure, output: Output) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        code: &'a str,
        message: &'a str,
        hint: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        log: &'a str,
    }
    #[derive(Serialize)]
    struct Object<'a> {
        error: Body<'a>,
    }
    let object = Object {
        error: Body {
            code: &failure.code,
            message: &failure.message,
            hint: &failure.hint,
            log: &failure.log,
        },
    };
    match (output, json(&object)) {
        (Output::Json, Ok(text)) => text,
        (Output::Json, Err(_)) | (Output::Table, _) => {
            let mut text: String = failure
                .log
                .lines()
                .map(|line| format!("{}\n", escape(line)))
                .collect();
            text.push_str(&format!("error: {}\n", escape(&failure.message)));
            if !failure.hint.is_empty() {
                text.push_str(&format!("hint: {}\n", escape(&failure.hint)));
            }
            text
        }
    }
}

/// One JSON object on one line.
///
/// Characters that could command a terminal stand as JSON escapes: they occur inside strings only.
///
/// # Errors
/// The value has no JSON view.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    let plain = serde_json::to_string(value)
        .map_err(|error| Failure::bug(format!("the reply cannot be written as JSON: {error}")))?;
    let mut text = String::with_capacity(plain.len() + 1);
    for character in plain.chars() {
        if is_hazardous(character) {
            text.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            text.push(character);
        }
    }
    text.push('\n');
    Ok(text)
}

/// Writes to standard output. A reader that went away is no failure.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(
            Exit::Refused,
            "OUTPUT",
            format!("standard output cannot be written: {error}"),
            "make room, or send the output elsewhere",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_line_and_commands_no_terminal() {
        let value = serde_json::json!({"name": "Rosa\u{1b}[2J\n\u{202e}\u{9b}", "n": 1});

        let text = json(&value).expect("a JSON value has a JSON view");

        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.trim_end().chars().any(is_hazardous));
        let back: serde_json::Value = serde_json::from_str(&text).expect("still JSON");
        assert_eq!(back, value);
    }

    #[test]
    fn a_failure_says_what_happened_and_what_to_do() {
        let failure = Failure::new(
            Exit::Denied,
            "DENIED",
            "the holder denies it\u{1b}".to_owned(),
            "ask the patient",
        );

        let plain = failure_text(&failure, Output::Table);
        let object = failure_text(&failure, Output::Json);

        assert_eq!(
            plain,
            "error: the holder denies it\\u{1b}\nhint: ask the patient\n"
        );
        let object: serde_json::Value = serde_json::from_str(&object).expect("one JSON object");
        assert_eq!(object["error"]["code"], "DENIED");
        assert_eq!(object["error"]["hint"], "ask the patient");
        assert_eq!(object["error"]["message"], "the holder denies it\u{1b}");
    }
}
