//! Structured logs on standard error: logfmt-like text on a terminal, JSON under a service manager.
//!
//! Nothing of a patient is logged: fields are ids, codes, counts and times (checked by `tests/tidy`).
//! Audit events are not logs.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

/// Starts logging with a filter such as `info` or `chartmesh_node=debug,info`.
///
/// A filter that cannot be read falls back to `info` and says so.
pub fn start(filter: &str) {
    let parsed = EnvFilter::try_new(filter);
    let unreadable = parsed.is_err();
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new("info"));
    // systemd sets this where standard error goes to the journal (systemd.exec).
    let service = std::env::var_os("JOURNAL_STREAM").is_some();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| OneLine(io::stderr()))
        .with_ansi(false)
        .with_target(false);
    let started = if service {
        subscriber.json().try_init()
    } else {
        subscriber.try_init()
    };
    if started.is_ok() && unreadable {
        tracing::warn!("the log filter cannot be read; logging at info");
    }
}

/// A text without characters that end a line, command a terminal or turn the direction of reading: what
/// a library puts into an error may come from another node.
pub fn plain(text: &str) -> String {
    let commands = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
    };
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if commands(c) {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Writes each event as one line of plain characters. An event comes in one piece, its end with it.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = match text.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (&*text, ""),
        };
        self.0.write_all((plain(line) + end).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("a page").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(event: impl FnOnce()) -> String {
        let page = Page::default();
        let kept = page.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || OneLine(page.clone()))
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, event);
        let bytes = kept.0.lock().expect("a page").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn an_event_is_one_line_of_plain_characters_whatever_is_in_it() {
        let hostile = "x\r\n2027-01-15 ERROR forged\u{1b}[2J\u{202e}drow\u{9b}2J\u{2028}y";

        let page = logged(|| {
            tracing::info!(error = %hostile, node = "Núñez", "{hostile}");
            tracing::warn!(error = ?hostile, "second");
        });

        assert_eq!(page.lines().count(), 2, "{page:?}");
        let plain =
            |c: char| c == '\n' || !c.is_control() && !('\u{2028}'..='\u{202e}').contains(&c);
        assert!(page.chars().all(plain), "{page:?}");
        assert!(page.contains("Núñez") && page.contains("forged"));
    }
}
