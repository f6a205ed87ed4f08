//! The command line as a whole: what every command shares, and the list of commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    AuditCommand, BackupArgs, ConfigCommand, ConsentCommand, DemoArgs, DoctorArgs, DocumentCommand,
    DocumentsArgs, FetchArgs, ImportArgs, InitArgs, LocateArgs, NetworkCommand, PatientCommand,
    RestoreArgs, SampleArgs, SheetArgs,
};

/// chartmesh: find a patient's records at other providers, and share ours, without a central server.
#[derive(Parser)]
#[command(
    name = "chartmesh",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  chartmesh demo\n  chartmesh --node /var/lib/chartmesh status\n\n\
        Exit: 0 done, 2 wrong usage, 3 denied by policy, 4 not found and the answer is complete,\n\
        5 none found and some nodes did not answer, 6 input refused or store full,\n\
        7 daemon not reachable, 8 more attributes or a human choice needed, 70 a bug.\n\
        Dates are ISO (1950-03-04), durations carry a unit (10s, 5m, 72h, 7d), sizes are bytes."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// The node's directory: config, keys, store, admin socket
    /// [default: $XDG_DATA_HOME/chartmesh or ~/.local/share/chartmesh].
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "CHARTMESH_NODE",
        hide_env_values = true
    )]
    pub(crate) node: Option<PathBuf>,
    /// A readable table, or exactly one JSON object on standard output.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// No progress bar and no notes on standard error.
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// Answer yes to every question.
    #[arg(long, global = true)]
    pub(crate) yes: bool,
}

/// How a reply is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns for people.
    Table,
    /// One JSON object for scripts.
    Json,
}

/// What can be asked for.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Starts real daemons on loopback and tells the story of one patient, then leaves nothing behind.
    Demo(DemoArgs),
    /// Makes keys, config and an empty store in the node's directory.
    Init(InitArgs),
    /// Founds a network, joins one, and decides who may join.
    #[command(
        subcommand,
        after_help = "Example:\n  chartmesh network invite --valid 72h"
    )]
    Network(NetworkCommand),
    /// Shows health, synchronisation, storage and versions.
    #[command(
        after_help = "Example:\n  chartmesh status --output json\n\nSizes are in bytes, times in UTC."
    )]
    Status,
    /// Shows every member's connection, latency and path.
    #[command(
        after_help = "Example:\n  chartmesh peers\n\nRound-trip times are in milliseconds, times in UTC."
    )]
    Peers,
    /// Imports records from files and folders.
    Import(ImportArgs),
    /// Writes a town of invented people, with histories over several providers, as FHIR.
    Sample(SampleArgs),
    /// Shows and adds patients of the local index.
    #[command(
        subcommand,
        after_help = "Example:\n  chartmesh patient search Delgado"
    )]
    Patient(PatientCommand),
    /// Adds documents to a local record.
    #[command(
        subcommand,
        after_help = "Example:\n  chartmesh document add --patient pat_… --type 18842-5 summary.pdf"
    )]
    Document(DocumentCommand),
    /// Asks every member who holds records for a patient.
    Locate(Box<LocateArgs>),
    /// Lists what a holder may show us of one patient.
    Documents(DocumentsArgs),
    /// Fetches one document, verified before it is written.
    Fetch(FetchArgs),
    /// Records and explains what patients allow.
    #[command(
        subcommand,
        after_help = "Example:\n  chartmesh consent grant --patient pat_… --to 'org:Harbor Urgent Care' --purpose TREAT"
    )]
    Consent(Box<ConsentCommand>),
    /// Shows and verifies what was disclosed, to whom, and why.
    #[command(subcommand, after_help = "Example:\n  chartmesh audit verify")]
    Audit(AuditCommand),
    /// Checks the node's own state: rights, lock, keys, space, journal, clock.
    Doctor(DoctorArgs),
    /// Saves everything that brings the node back into one encrypted file, while the daemon runs.
    Backup(BackupArgs),
    /// Prints what opens the backups made from now on, to be kept on paper.
    RecoverySheet(SheetArgs),
    /// Brings a node back from a backup and its recovery sheet, into an empty directory.
    Restore(RestoreArgs),
    /// Shows the configuration in force.
    #[command(subcommand, after_help = "Example:\n  chartmesh config show --origin")]
    Config(ConfigCommand),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_says_what_it_does_and_gives_an_example() {
        fn visit(command: &clap::Command, path: &str) {
            let about = command.get_about().map(ToString::to_string);
            assert!(about.is_some_and(|about| !about.is_empty()), "{path}");
            let after = command.get_after_help().map(ToString::to_string);
            assert!(
                after.is_some_and(|after| after.contains("Example") && after.contains("chartmesh")),
                "{path}"
            );
            for command in command.get_subcommands() {
                visit(command, &format!("{path} {}", command.get_name()));
            }
        }
        Cli::command().debug_assert();

        visit(&Cli::command(), "chartmesh");
    }

    #[test]
    fn the_words_of_the_contract_are_read() {
        for words in [
            "demo --nodes 5 --keep /tmp/x --pace slow",
            "--node /d init --name Maple --kind clinic --npi 1234567893 --address A --phone 5 --state OH --part2 --listen /ip4/127.0.0.1/tcp/0 /ip6/::1/tcp/0",
            "init --name M --kind hospital --passphrase",
            "init --name M --kind hospital --passphrase-fd 3",
            "init --name M --kind hospital --key-file /k",
            "network found --name N --policy us-treatment --authority a b --threshold 2",
            "network rules",
            "network invite",
            "network join - --wait",
            "network join TICKET",
            "network requests",
            "network approve a_b_c_d_e_f",
            "network members",
            "network revoke 12D3KooX --reason stolen",
            "network authority",
            "network found --charter founding.proposal",
            "network found --name N --authority a --recovery 00 --out f",
            "network cosign",
            "network cosign pro_a",
            "network cosign f --out g --show",
            "network amend --policy rules.toml --authority a b --remove 00 --threshold 2 --counts-from 1 --out f",
            "network recover --key r --authority a --remove 00",
            "network recovery-key --out r",
            "network adopt 00",
            "network rekey",
            "network reissue mem_a --change f",
            "network reissue mem_a --renew",
            "init --name M --kind hospital --member mem_a",
            "status --output json",
            "peers --quiet",
            "import a b c --format fhir --dry-run",
            "sample --patients 10 --seed 7 --out town",
            "patient list",
            "patient search Delgado",
            "patient show pat_a",
            "patient add -",
            "document add --patient pat_a --type 18842-5 file.pdf",
            "locate --patient pat_a --purpose TREAT",
            "locate - --purpose TREAT --deadline 10s --only a b --direct",
            "locate --family F --given G H --birth-date 1950-03-04 --sex F --identifier urn:x=1 --phone 5 --email e --line l --city c --state OH --postal-code 1 --purpose TREAT --break-glass bg_a",
            "documents --handle hdl_a --purpose TREAT --type 18842-5 34133-9 --since 2020-01-01 --until 2021-01-01 --limit 20",
            "fetch --handle hdl_a --document doc_a --purpose TREAT --out f",
            "fetch --handle hdl_a --document doc_a --purpose TREAT --out f --view",
            "fetch --handle hdl_a --document doc_a --purpose TREAT --view",
            "consent grant --patient pat_a --to any --purpose TREAT ETREAT --by patient --form f --from 2026-01-01 --until 2027-01-01",
            "consent deny --patient pat_a --to kind:payer --purpose HPAYMT --verbal-witness u",
            "consent revoke con_a",
            "consent opt-out --patient pat_a --even-emergency",
            "consent opt-in --patient pat_a",
            "consent list --patient pat_a",
            "consent explain --patient pat_a --to n --purpose TREAT --document doc_a",
            "audit list",
            "audit access --patient pat_a",
            "audit accounting --patient pat_a",
            "audit accounting --patient pat_a --format html --out f",
            "audit letter --patient pat_a",
            "audit letter --patient pat_a --format html --out f",
            "audit export --format fhir --from 7 --out f",
            "audit verify",
            "audit checkpoint",
            "audit prove 7 --without-record --out f",
            "audit prove --from 64",
            "audit promise 7 --out f",
            "audit key",
            "audit key --of n",
            "doctor --repair --accept-clock",
            "config show --origin",
            "backup maple.cmbackup",
            "backup --to /mnt/backups --keep 14",
            "recovery-sheet --passphrase-fd 3",
            "restore maple.cmbackup",
            "restore maple.cmbackup --sheet-fd 3 --passphrase-fd 4",
            "restore maple.cmbackup --sheet s --key-file /k",
        ] {
            assert_eq!(refusal(words), None, "{words}");
        }
    }

    #[test]
    fn words_that_make_no_sense_together_are_refused() {
        for (good, bad) in [
            ("locate - --purpose TREAT", "locate --purpose TREAT"),
            (
                "locate - --purpose TREAT",
                "locate - --family F --purpose TREAT",
            ),
            ("locate - --purpose TREAT", "locate -"),
            ("locate - --purpose TREAT", "locate pat_a --purpose TREAT"),
            (
                "locate --patient p --purpose TREAT",
                "locate --patient p --given G --purpose TREAT",
            ),
            (
                "locate - --purpose TREAT --deadline 10s",
                "locate - --purpose TREAT --deadline 10",
            ),
            ("init --name M --kind clinic", "init --name M --kind circus"),
            (
                "init --name M --kind clinic --passphrase",
                "init --name M --kind clinic --passphrase --key-file k",
            ),
            (
                "consent deny --patient p --to any --purpose TREAT --form f",
                "consent deny --patient p --to any --purpose TREAT --form f --verbal-witness u",
            ),
            (
                "fetch --handle h --document d --purpose P --out f",
                "fetch --handle h --document d --purpose P",
            ),
            ("demo --nodes 4", "demo --nodes 3"),
            ("import a", "import"),
            ("backup f", "backup"),
            ("backup --to d --keep 2", "backup f --to d --keep 2"),
            ("backup --to d --keep 2", "backup --to d"),
            ("backup --to d --keep 2", "backup --to d --keep 0"),
            ("restore f --sheet s", "restore f --sheet s --sheet-fd 3"),
            (
                "restore f --passphrase",
                "restore f --passphrase --key-file k",
            ),
            ("sample --patients 1 --out t", "sample --patients 0 --out t"),
        ] {
            assert_eq!(refusal(good), None, "{good}");
            assert!(refusal(bad).is_some(), "{bad}");
        }
    }

    fn refusal(words: &str) -> Option<String> {
        let words = std::iter::once("chartmesh").chain(words.split_whitespace());
        Cli::try_parse_from(words)
            .err()
            .map(|error| error.to_string())
    }
}
