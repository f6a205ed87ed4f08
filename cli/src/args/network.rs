//! Words of `network`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{PassphraseFd, value};

/// What can be done about a network.
#[derive(Subcommand)]
pub(crate) enum NetworkCommand {
    /// Founds a network; this node becomes its first member and authority.
    Found(FoundArgs),
    /// Shows the charter's rules in plain words.
    #[command(after_help = "Example:\n  chartmesh network rules")]
    Rules,
    /// Makes a ticket that lets one applicant ask to join.
    Invite(InviteArgs),
    /// Asks to join with a ticket.
    Join(JoinArgs),
    /// Lists join requests that wait for a decision.
    #[command(after_help = "Example:\n  chartmesh network requests\n\nTimes are in UTC.")]
    Requests,
    /// Admits an applicant, named by the six words of its request.
    #[command(
        after_help = "Example:\n  chartmesh network approve apple_brave_candle_dune_ember_fern"
    )]
    Approve {
        /// The request's id.
        id: String,
    },
    /// Lists all members.
    #[command(after_help = "Example:\n  chartmesh network members\n\nDates are in UTC.")]
    Members,
    /// Prints this node's authority key, for somebody else's charter.
    #[command(after_help = "Example:\n  chartmesh network authority > maple.authority")]
    Authority,
}

/// Words of `network found`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chartmesh network found --name Riverside --policy us-treatment\n  \
        chartmesh network found --name Riverside --authority b.key c.key --threshold 2\n\n\
        Without --policy the network is opt-in. Works without a running daemon."
)]
pub(crate) struct FoundArgs {
    /// The network's name.
    #[arg(long, value_name = "N")]
    pub(crate) name: String,
    /// us-treatment, opt-in, or a file of rules [default: opt-in].
    #[arg(long, value_name = "us-treatment|opt-in|FILE")]
    pub(crate) policy: Option<String>,
    /// Files with the authority keys of others, as `network authority` prints them.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) authority: Vec<PathBuf>,
    /// How many authorities must sign; more than half of them.
    #[arg(long, value_name = "T", default_value_t = 0, hide_default_value = true)]
    pub(crate) threshold: u32,
    /// Mark the network as one for test data.
    #[arg(long)]
    pub(crate) test: bool,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFd,
}

/// Words of `network invite`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  chartmesh network invite --valid 72h\n\nDurations carry a unit: s, m, h or d."
)]
pub(crate) struct InviteArgs {
    /// How long the ticket can be used [default: the daemon's].
    #[arg(long, value_name = "DURATION", value_parser = value::duration_ms)]
    pub(crate) valid: Option<u64>,
}

/// Words of `network join`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chartmesh network join - < ticket.txt\n  chartmesh network join - --wait < ticket.txt\n\n\
        Returns at once with the request pending, unless told to wait."
)]
pub(crate) struct JoinArgs {
    /// The ticket, or - to read it from standard input.
    pub(crate) ticket: String,
    /// Wait until somebody has decided.
    #[arg(long)]
    pub(crate) wait: bool,
}
