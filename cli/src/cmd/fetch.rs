//! `fetch`.

use std::{
    fs::File,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

use chartmesh_proto::admin::{FetchReply, FetchRequest, fetch_event::Event};
use tempfile::NamedTempFile;

use crate::{
    args::FetchArgs,
    ask,
    connect::{Admin, Node},
    exit::Failure,
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

/// A file that appears whole, mode 0600, or not at all.
struct OutFile {
    path: PathBuf,
    temporary: NamedTempFile,
}

impl OutFile {
    fn new(path: PathBuf, screen: &Screen) -> Result<Self, Failure> {
        if path.is_dir() {
            return Err(Failure::usage(
                format!("{} is a folder", path.display()),
                "name a file in it",
            ));
        }
        if path.exists() {
            let question = format!("{} exists. Replace it?", path.display());
            ask::confirm(screen, "", &question)?;
        }
        let temporary = tempfile::Builder::new()
            .prefix(".chartmesh-")
            .tempfile_in(folder(&path))
            .map_err(|error| Failure::file("written", &path, &error))?;
        Ok(Self { path, temporary })
    }

    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.temporary
            .write_all(data)
            .map_err(|error| Failure::file("written", &self.path, &error))
    }

    fn keep(self) -> Result<(), Failure> {
        let path = self.path;
        let done = self
            .temporary
            .as_file()
            .sync_all()
            .and_then(|()| self.temporary.persist(&path).map_err(|error| error.error))
            .and_then(|_| File::open(folder(&path)))
            .and_then(|folder| folder.sync_all());
        done.map_err(|error| Failure::file("written", &path, &error))
    }
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
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
