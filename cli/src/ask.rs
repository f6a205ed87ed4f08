//! What comes from a person or a pipe: yes or no, passphrases, standard input.

use std::{
    fs::File,
    io::{BufRead, BufReader, IsTerminal, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::{
    exit::{Exit, Failure},
    print::Screen,
    text::escape,
};

/// Longest passphrase, in bytes.
const PASSPHRASE_MAX: u64 = 1024;

/// Asks on a terminal whether to go on; says nothing in a pipe.
///
/// # Errors
/// The answer was not yes.
pub(crate) fn confirm(screen: &Screen, facts: &str, question: &str) -> Result<(), Failure> {
    if screen.asks_nothing() {
        return Ok(());
    }
    eprint!("{facts}{} [y/N] ", escape(question));
    let answer = read_line(&mut std::io::stdin().lock())?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::usage(
        "nothing was done: the answer was not yes",
        "answer y, or give --yes",
    ))
}

/// Asks twice for a passphrase, without showing it.
///
/// # Errors
/// There is no terminal, or the two differ, or it is empty.
pub(crate) fn passphrase_twice() -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "there is no terminal to ask for the passphrase",
            "give --passphrase-fd N",
        ));
    }
    let first = prompt("Passphrase: ")?;
    let second = prompt("Again: ")?;
    if first != second {
        return Err(Failure::usage("the two passphrases differ", "try again"));
    }
    not_empty(first)
}

/// Reads one line from a file descriptor that was handed to us.
///
/// # Errors
/// The descriptor cannot be read, or the line is empty.
pub(crate) fn passphrase_from(number: u32) -> Result<String, Failure> {
    // Opening by name needs no unsafe code, and works for pipes and files.
    let path = format!("/dev/fd/{number}");
    let file = File::open(&path).map_err(|error| Failure::file("read", path.as_ref(), &error))?;
    not_empty(read_line(&mut BufReader::new(file.take(PASSPHRASE_MAX)))?)
}

/// Asks for the secret of a recovery sheet, without showing it.
///
/// # Errors
/// There is no terminal.
pub(crate) fn recovery_secret() -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "there is no terminal to ask for the recovery secret",
            "give --sheet FILE or --sheet-fd N",
        ));
    }
    prompt("Recovery secret, eight groups of five: ")
}

/// Reads the secret of a recovery sheet from a file that its owner alone may read: the first line that
/// is not empty.
///
/// # Errors
/// It cannot be read, or others may read it.
pub(crate) fn recovery_secret_in(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::file("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Failure::new(
            Exit::Refused,
            "PERMISSIONS",
            format!(
                "others may read {}: its rights are {mode:o}",
                path.display()
            ),
            "chmod 600, or type the secret",
        ));
    }
    let mut lines = BufReader::new(file.take(PASSPHRASE_MAX));
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).map_err(failed)? == 0 || !line.trim().is_empty() {
            return Ok(line.trim().to_owned());
        }
    }
}

/// Reads a whole file, or standard input for `-`, up to a limit.
///
/// # Errors
/// It cannot be read, or is larger than `max_bytes`.
pub(crate) fn read_input(path: &Path, max_bytes: u64) -> Result<Vec<u8>, Failure> {
    let read = |source: &mut dyn Read| {
        let mut bytes = Vec::new();
        source
            .take(max_bytes + 1)
            .read_to_end(&mut bytes)
            .map(|_| bytes)
    };
    let bytes = if path == Path::new("-") {
        read(&mut std::io::stdin().lock())
    } else {
        File::open(path).and_then(|mut file| read(&mut file))
    };
    let bytes = bytes.map_err(|error| Failure::file("read", path, &error))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= max_bytes) {
        return Ok(bytes);
    }
    Err(Failure::new(
        Exit::Refused,
        "TOO_LARGE",
        format!("{} is larger than {max_bytes} bytes", path.display()),
        "give a smaller file",
    ))
}

fn prompt(question: &str) -> Result<String, Failure> {
    eprint!("{question}");
    // A lost prompt is not worth failing for.
    let _ = std::io::stderr().flush();
    let silence = Silence::start()?;
    let line = read_line(&mut std::io::stdin().lock());
    drop(silence);
    eprintln!();
    line
}

fn read_line(source: &mut impl BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    source
        .read_line(&mut line)
        .map_err(|error| Failure::file("read", Path::new("standard input"), &error))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

fn not_empty(passphrase: String) -> Result<String, Failure> {
    if passphrase.is_empty() {
        return Err(Failure::usage(
            "the passphrase is empty",
            "give one of several words",
        ));
    }
    Ok(passphrase)
}

/// A terminal that shows nothing of what is typed, until dropped.
struct Silence(Termios);

impl Silence {
    fn start() -> Result<Self, Failure> {
        let unsilenced = |error: rustix::io::Errno| {
            Failure::usage(
                format!("the terminal cannot be told to be silent: {error}"),
                "give --passphrase-fd N",
            )
        };
        let before = tcgetattr(std::io::stdin()).map_err(unsilenced)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent).map_err(unsilenced)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_passphrase_is_one_line_of_a_descriptor() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"correct horse\nsecond line\n")
            .expect("written");
        let open = File::open(file.path()).expect("opened");
        let number = u32::try_from(open.as_raw_fd()).expect("not negative");

        assert_eq!(
            passphrase_from(number).ok().as_deref(),
            Some("correct horse")
        );

        file.as_file().set_len(0).expect("emptied");
        let failure = passphrase_from(number).expect_err("an empty passphrase");
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn an_input_at_the_limit_is_read_and_one_byte_more_refused() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"12345").expect("written");

        assert_eq!(
            read_input(file.path(), 5).ok().as_deref(),
            Some(b"12345".as_slice())
        );

        let failure = read_input(file.path(), 4).expect_err("too large");
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(failure.code, "TOO_LARGE");
    }
}
