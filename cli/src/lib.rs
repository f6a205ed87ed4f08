//! chartmesh, the command line: what administrators and scripts hold in their hands.
//!
//! It reads words, speaks gRPC to a daemon over a socket of this machine, and prints the reply as a
//! table or as exactly one JSON object. It decides nothing about patients, and holds no keys.
//!
//! Everything is private but [`run`], which the binary calls, [`understands`], which reads words and does
//! nothing, and [`find`], by which the tests find the programs they drive.

mod args;
mod ask;
mod cmd;
mod connect;
mod demo;
mod exit;
pub mod find;
mod html;
mod out_file;
mod print;
mod table;
mod text;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

use crate::{args::Cli, exit::Failure, print::Screen};

/// Runs one command and says how it ended, as `cli.md` lists the exit codes.
pub async fn run(words: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return exit::of_words(error, &words),
    };
    let screen = Screen::new(&cli.globals);
    match cmd::dispatch(cli, &screen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure, &screen),
    }
}

/// Whether these words are a command that [`run`] would carry out.
pub fn understands(words: Vec<OsString>) -> bool {
    Cli::try_parse_from(words).is_ok()
}

fn report(failure: &Failure, screen: &Screen) -> ExitCode {
    screen.failure(failure);
    ExitCode::from(failure.exit.number())
}
