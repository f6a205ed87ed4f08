//! `fetch`.

use std::io::IsTerminal;

use chartmesh_proto::admin::{FetchReply, FetchRequest, fetch_event::Event};

use crate::{
    args::FetchArgs,
    connect::{Admin, Node},
    exit::Failure,
    out_file::OutFile,
    print::{Bar, Screen, write_out},
    text,
};

/// Fetches one document; every byte was verified before the daemon hands it over.
///
/// # Errors
/// Denied, not verified, the holder does not answer, or the file cannot be written.
pub(crate) async fn run(args: FetchArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    if args.out.is_none() && screen.is_json() {
        return Err(Failure::usage(
            "--view and --output json both want standard output",
            "give --out FILE",
        ));
    }
    let mut target = match args.out {
        Some(path) => Target::File(OutFile::new(path, screen)?),
        None => Target::View(if std::io::stdout().is_terminal() {
            View::Terminal
        } else {
            View::Pipe
        }),
    };
    let request = FetchRequest {
        handle: args.handle,
        document: args.document,
        purpose: args.purpose,
        break_glass: args.break_glass.unwrap_or_default(),
    };
    let bar = screen.progress(0, "bytes");
    let reply = node
        .call(async |admin| receive(admin, request, &mut target, &bar).await)
        .await;
    bar.clear();
    let reply = reply?;
    match target {
        Target::View(_) => Ok(()),
        Target::File(file) => {
            file.keep()?;
            screen.reply(&reply, table)
        }
    }
}

async fn receive(
    mut admin: Admin,
    request: FetchRequest,
    target: &mut Target,
    bar: &Bar,
) -> Result<FetchReply, Failure> {
    let mut events = admin.fetch(request).await?.into_inner();
    let mut written: u64 = 0;
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::Progress(progress)) => bar.set(progress.done, progress.total),
            Some(Event::Data(data)) => {
                bar.clear();
                target.write(&data)?;
                written = written.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
            }
            Some(Event::Result(reply)) if reply.verified && reply.bytes == written => {
                return Ok(reply);
            }
            Some(Event::Result(_)) => {
                return Err(Failure::bug(
                    "the daemon handed over what it did not verify",
                ));
            }
            None => {}
        }
    }
    Err(Failure::lost())
}

/// Where the document goes.
enum Target {
    File(OutFile),
    View(View),
}

enum View {
    Terminal,
    Pipe,
}

impl Target {
    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        match self {
            Self::File(file) => file.write(data),
            Self::View(View::Pipe) => write_out(data),
            Self::View(View::Terminal) => write_out(readable(data).as_bytes()),
        }
    }
}

/// A document as a terminal may show it: its lines, and nothing that commands the terminal.
fn readable(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<String> = text.split('\n').map(text::escape).collect();
    lines.join("\n")
}

fn table(reply: &FetchReply) -> String {
    text::lines([
        ("size", text::bytes(reply.bytes).as_str()),
        ("sha256", &reply.sha256),
        ("verified", if reply.verified { "yes" } else { "NO" }),
        ("source", &reply.source),
        ("disclosure", &reply.disclosure),
        ("content", &reply.content_type),
    ])
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use crate::args::{Globals, Output};

    use super::*;

    #[test]
    fn a_file_appears_whole_and_for_its_owner_only() {
        let room = tempfile::tempdir().expect("a folder");
        let path = room.path().join("summary.pdf");
        fs::write(&path, "old").expect("written");
        let mut file = OutFile::new(path.clone(), &quiet()).expect("opened");

        file.write(b"%PDF").expect("written");

        assert_eq!(fs::read(&path).expect("read"), b"old");
        file.keep().expect("kept");
        assert_eq!(fs::read(&path).expect("read"), b"%PDF");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(room.path()).expect("read").count(), 1);
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing() {
        let room = tempfile::tempdir().expect("a folder");
        let mut file = OutFile::new(room.path().join("a.pdf"), &quiet()).expect("opened");
        file.write(b"half").expect("written");

        drop(file);

        assert_eq!(fs::read_dir(room.path()).expect("read").count(), 0);
        assert!(OutFile::new(room.path().to_owned(), &quiet()).is_err());
    }

    #[test]
    fn a_terminal_sees_lines_but_no_commands() {
        assert_eq!(
            readable(b"INR 2.9\n\x1b[2J\xff\n"),
            "INR 2.9\n\\u{1b}[2J\u{fffd}\n"
        );
    }

    fn quiet() -> Screen {
        Screen::new(&Globals {
            node: None,
            output: Output::Json,
            quiet: true,
            yes: true,
        })
    }
}
