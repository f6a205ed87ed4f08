//! Words of `demo`, `init`, `doctor` and `config`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, builder::PossibleValuesParser};

use super::value;

/// Kinds of provider, as the charter knows them.
const KINDS: [&str; 17] = [
    "clinic",
    "hospital",
    "urgent-care",
    "lab",
    "pharmacy",
    "telemedicine",
    "public-health",
    "behavioral-health",
    "substance-use",
    "imaging",
    "dental",
    "home-health",
    "long-term-care",
    "ambulance",
    "school",
    "payer",
    "gateway",
];

/// Words of `demo`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chartmesh demo\n  chartmesh demo --pace slow --keep /tmp/story\n\n\
        Exit 0 only if every step did what it says. Times are in milliseconds."
)]
pub(crate) struct DemoArgs {
    /// How many nodes; those beyond four are empty.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(4..=50))]
    pub(crate) nodes: u32,
    /// Keep the nodes' directories here; the directory must be empty or absent.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Slow waits two seconds after each step, so that it can be read.
    #[arg(long, value_enum, default_value_t = Pace::Fast)]
    pub(crate) pace: Pace,
}

/// Words of `sample`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chartmesh sample --patients 1000 --seed 7 --out town\n  chartmesh --node clinic import town/maple-family-clinic\n\n\
        A folder a provider, in it a FHIR R4 transaction a patient; the file names of one person are the\n\
        same everywhere. The same seed makes the same bytes. Everybody is invented and tagged HTEST."
)]
pub(crate) struct SampleArgs {
    /// How many people.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) patients: u64,
    /// Decides who they are.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The folder; made where it is absent.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// How fast the story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pace {
    /// Time to read each step.
    Slow,
    /// No pauses.
    Fast,
}

/// Words of `init`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chartmesh --node ./maple init --name 'Maple Family Clinic' --kind clinic --phone '+1 555 0100'\n  \
        chartmesh --node ./maple init --name Maple --kind clinic --listen /ip4/127.0.0.1/tcp/0 --passphrase-fd 3 3<pass.txt\n\n\
        Without a choice the store's key goes into DIR/key, mode 0600. Port 0 takes a free port."
)]
pub(crate) struct InitArgs {
    /// Name of the organisation, as its peers will see it.
    #[arg(long, value_name = "ORG")]
    pub(crate) name: String,
    /// Kind of provider.
    #[arg(long, value_name = "K", value_parser = PossibleValuesParser::new(KINDS))]
    pub(crate) kind: String,
    /// National Provider Identifier, 10 digits.
    #[arg(long, value_name = "N", default_value = "", hide_default_value = true)]
    pub(crate) npi: String,
    /// Postal address, on one line.
    #[arg(long, value_name = "A", default_value = "", hide_default_value = true)]
    pub(crate) address: String,
    /// Telephone for clinicians, shown to peers when this node does not answer.
    #[arg(long, value_name = "P", default_value = "", hide_default_value = true)]
    pub(crate) phone: String,
    /// State, two letters.
    #[arg(long, value_name = "ST", default_value = "", hide_default_value = true, value_parser = value::state)]
    pub(crate) state: String,
    /// Opening hours in words.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) hours: String,
    /// Whom to write to.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) contact: String,
    /// Be this member again, after its node was lost; authorities must reissue its credential.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub(crate) member: String,
    /// A substance-use program under 42 CFR Part 2.
    #[arg(long)]
    pub(crate) part2: bool,
    /// Only test data will be kept here.
    #[arg(long)]
    pub(crate) test: bool,
    /// Where to listen: /ip4/…/tcp/… or /ip4/…/udp/…/quic-v1 [default: port 7420, both, IPv4 and IPv6].
    #[arg(long, value_name = "MULTIADDR", num_args = 1..)]
    pub(crate) listen: Vec<String>,
    /// Ask for a passphrase that opens the store.
    #[arg(long, conflicts_with_all = ["passphrase_fd", "key_file"])]
    pub(crate) passphrase: bool,
    /// Read the passphrase, one line, from this file descriptor.
    #[arg(long, value_name = "N", conflicts_with = "key_file", value_parser = clap::value_parser!(u32).range(0..=1023))]
    pub(crate) passphrase_fd: Option<u32>,
    /// Put the store's key into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// The way to a passphrase, for commands that can work without a running daemon.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct PassphraseFd {
    /// Where no daemon runs: read the passphrase, one line, from this file descriptor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=1023))]
    pub(crate) passphrase_fd: Option<u32>,
}

/// Words of `doctor`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  chartmesh doctor\n\nExit 6 if a check fails. Works without a running daemon. Every document file is read."
)]
pub(crate) struct DoctorArgs {
    /// Repair what can be repaired without losing anything; comes with a later version (exit 2 until then).
    #[arg(long)]
    pub(crate) repair: bool,
    /// Accept that the clock was set back.
    #[arg(long)]
    pub(crate) accept_clock: bool,
    /// After a restore: what came after the backup is recorded again, or known to be lost; speak to others again.
    #[arg(long)]
    pub(crate) accept_restore: bool,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFd,
}

/// Words of `config`.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Shows each value in force.
    #[command(
        after_help = "Example:\n  chartmesh config show --origin\n\nNeeds the running daemon (exit 7 without), since it shows what that daemon goes by."
    )]
    Show {
        /// Show also where each value comes from: default, file, environment or flag; JSON always has it.
        #[arg(long)]
        origin: bool,
    },
}
