//! How a run ends: the exit codes of `cli.md`, and failures with what to do next.

use std::{ffi::OsString, process::ExitCode};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use tonic::{Code, Status};

use crate::{args::Output, print};

/// Trailer with the stable code.
const CODE: &str = "chartmesh-code";
/// Trailer with what to do next.
const HINT: &str = "chartmesh-hint";
/// Stands where a word of the user's would.
const UNSAID: &str = "…";

/// Why a run ends other than well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Wrong usage, or a rule the level in force cannot express.
    Usage,
    /// Denied by policy.
    Denied,
    /// Not found, and the answer is complete.
    NotFound,
    /// None found, and nodes did not answer.
    Incomplete,
    /// Input refused, or the store is full.
    Refused,
    /// The daemon is not reachable.
    Unreachable,
    /// More attributes or a human choice needed.
    Choice,
    /// A defect of this program.
    Bug,
}

impl Exit {
    /// The number a shell sees.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Denied => 3,
            Self::NotFound => 4,
            Self::Incomplete => 5,
            Self::Refused => 6,
            Self::Unreachable => 7,
            Self::Choice => 8,
            Self::Bug => 70,
        }
    }

    fn of_status(code: Code) -> Self {
        match code {
            Code::InvalidArgument => Self::Usage,
            Code::PermissionDenied => Self::Denied,
            Code::NotFound => Self::NotFound,
            Code::DeadlineExceeded => Self::Incomplete,
            Code::FailedPrecondition | Code::ResourceExhausted | Code::DataLoss => Self::Refused,
            Code::Unavailable => Self::Unreachable,
            Code::Aborted => Self::Choice,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::AlreadyExists
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::Unauthenticated => Self::Bug,
        }
    }
}

/// What happened, and what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// How the run ends.
    pub(crate) exit: Exit,
    /// Stable, SCREAMING_SNAKE.
    pub(crate) code: String,
    /// What happened.
    pub(crate) message: String,
    /// What to do next; may be empty.
    pub(crate) hint: String,
    /// What a daemon that was started for this command wrote; may be empty.
    pub(crate) log: String,
}

impl Failure {
    /// A failure of this program's own.
    pub(crate) fn new(
        exit: Exit,
        code: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.into(),
            hint: hint.into(),
            log: String::new(),
        }
    }

    /// Words that make no sense together.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "USAGE", message, hint)
    }

    /// A file of the user's that cannot be read or written.
    pub(crate) fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(
            Exit::Refused,
            "FILE",
            format!("{} cannot be {what}: {error}", path.display()),
            "check the path and its rights",
        )
    }

    /// What should not happen.
    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self::new(
            Exit::Bug,
            "INTERNAL",
            message,
            "this is a defect; please report it",
        )
    }

    /// The daemon went away in the middle of a call.
    pub(crate) fn lost() -> Self {
        Self::new(
            Exit::Unreachable,
            "DAEMON_LOST",
            "the connection to the daemon was lost",
            "see the daemon's log, start it again, and repeat the command",
        )
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let text = |name: &str| {
            let value = status.metadata().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let code = text(CODE);
        if code.is_none() && is_transport(&status) {
            return Self::lost();
        }
        Self {
            exit: Exit::of_status(status.code()),
            code: code.unwrap_or_else(|| screaming(status.code()).to_owned()),
            message: status.message().to_owned(),
            hint: text(HINT).unwrap_or_default(),
            log: String::new(),
        }
    }
}

/// Whether the status was made on this side, because the connection broke.
fn is_transport(status: &Status) -> bool {
    std::error::Error::source(status).is_some() || status.code() == Code::Unavailable
}

fn screaming(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "USAGE",
        Code::PermissionDenied => "DENIED",
        Code::NotFound => "NOT_FOUND",
        Code::DeadlineExceeded => "DEADLINE",
        Code::FailedPrecondition | Code::DataLoss => "REFUSED",
        Code::ResourceExhausted => "OVER_LIMIT",
        Code::Unavailable => "UNAVAILABLE",
        Code::Aborted => "CHOICE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::OutOfRange
        | Code::Internal
        | Code::Unauthenticated => "INTERNAL",
    }
}

/// Ends a run whose words could not be read, or that only asked for help.
pub(crate) fn of_words(error: clap::Error, words: &[OsString]) -> ExitCode {
    let error = without_values(error);
    let asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if asked || !wants_json(words) {
        // A closed standard output or error leaves nobody to tell.
        let _ = error.print();
    } else {
        eprint!("{}", print::failure_text(&usage_of(&error), Output::Json));
    }
    if asked {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Exit::Usage.number())
    }
}

/// Takes the user's words out of the message: a name without its quotes, or a birth date written another
/// way, is a patient's, and standard error ends up in logs. Flags stay, since they name the mistake.
fn without_values(mut error: clap::Error) -> clap::Error {
    let mut unsay = |kind| {
        if error.get(kind).is_some() {
            error.insert(kind, ContextValue::String(UNSAID.to_owned()));
        }
    };
    unsay(ContextKind::InvalidValue);
    unsay(ContextKind::InvalidSubcommand);
    let is_flag = matches!(
        error.get(ContextKind::InvalidArg),
        Some(ContextValue::String(word)) if word.starts_with('-')
    );
    if error.kind() == ErrorKind::UnknownArgument && !is_flag {
        error.insert(
            ContextKind::InvalidArg,
            ContextValue::String(UNSAID.to_owned()),
        );
        error.remove(ContextKind::Suggested);
    }
    error
}

fn usage_of(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first);
    Failure::usage(
        message.split_whitespace().collect::<Vec<_>>().join(" "),
        "chartmesh --help, or --help after the command, says what it takes",
    )
}

fn wants_json(words: &[OsString]) -> bool {
    words
        .windows(2)
        .any(|pair| pair[0] == "--output" && pair[1] == "json")
        || words.iter().any(|word| word == "--output=json")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tonic::metadata::MetadataMap;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn each_status_has_its_exit_code() {
        let expected = [
            (Code::InvalidArgument, 2),
            (Code::PermissionDenied, 3),
            (Code::NotFound, 4),
            (Code::DeadlineExceeded, 5),
            (Code::FailedPrecondition, 6),
            (Code::ResourceExhausted, 6),
            (Code::DataLoss, 6),
            (Code::Unavailable, 7),
            (Code::Aborted, 8),
            (Code::Internal, 70),
            (Code::Unknown, 70),
            (Code::Unimplemented, 70),
        ];
        for (code, number) in expected {
            assert_eq!(Exit::of_status(code).number(), number, "{code:?}");
        }
    }

    #[test]
    fn trailers_carry_the_stable_code_and_the_hint() {
        let mut trailers = MetadataMap::new();
        trailers.insert(CODE, "STORAGE_FULL".parse().expect("ASCII"));
        trailers.insert(HINT, "make room".parse().expect("ASCII"));
        let status = Status::with_metadata(Code::ResourceExhausted, "the store is full", trailers);

        let failure = Failure::from(status);

        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(failure.code, "STORAGE_FULL");
        assert_eq!(failure.hint, "make room");
        assert_eq!(failure.message, "the store is full");
    }

    #[test]
    fn wrong_words_are_not_repeated_and_wrong_flags_are() {
        let text = |line: &str| {
            let error = Cli::try_parse_from(line.split(' ')).err();
            without_values(error.expect("wrong")).to_string()
        };
        for line in [
            "chartmesh locate --family A --birth-date Qzx --purpose TREAT",
            "chartmesh locate --family A --sex Qzx --purpose TREAT",
            "chartmesh locate --family A --identifier Qzx --purpose TREAT",
            "chartmesh locate --family A Qzx --purpose TREAT",
            "chartmesh locate --family A - Qzx --purpose TREAT",
            "chartmesh patient show pat_1 Qzx",
            "chartmesh patient Qzx",
            "chartmesh Qzx",
        ] {
            let said = text(line);
            assert!(!said.contains("Qzx"), "{said}");
            assert!(said.contains(UNSAID), "{said}");
        }

        assert!(text("chartmesh locate --famly A").contains("'--famly'"));
        assert!(!text("chartmesh locate --famly=Qzx").contains("Qzx"));
    }

    #[test]
    fn json_is_wanted_wherever_the_flag_stands() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();

        assert!(wants_json(&words("chartmesh nonsense --output json")));
        assert!(wants_json(&words("chartmesh --output=json nonsense")));
        assert!(!wants_json(&words("chartmesh --output table json")));
    }
}
