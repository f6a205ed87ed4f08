//! The command line as a whole: what every command shares, and the list of commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    AuditCommand, ConfigCommand, ConsentCommand, DemoArgs, DoctorArgs, DocumentCommand,
    DocumentsArgs, FetchArgs, ImportArgs, InitArgs, LocateArgs, NetworkCommand, PatientCommand,
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
    /// Shows the configuration in force.
    #[command(subcommand, after_help = "Example:\n  chartmesh config show --origin")]
    Config(ConfigCommand),
}
