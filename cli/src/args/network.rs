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
    /// Throws a member out of the network, for good.
    #[command(
        after_help = "Example:\n  chartmesh network revoke 12D3Koo… --reason \"key stolen with the laptop\"\n\n\
            From the next request on every member that has heard of it refuses the node, and what was\n\
            under way with it ends. The reason stays in this node's audit log. A revocation cannot be\n\
            taken back: whoever is to come back makes a node anew and joins with a ticket."
    )]
    Revoke(RevokeMemberArgs),
    /// Prints this node's authority key, for somebody else's charter.
    #[command(
        after_help = "Example:\n  chartmesh network authority > maple.authority\n\n\
            The file holds an authority key, a status key and who runs the node, signed by each of \
            these keys. Compare the six words by telephone. Works without a running daemon."
    )]
    Authority(PassphraseFd),
    /// Shows what waits for signatures of authorities, or signs it.
    Cosign(CosignArgs),
    /// Proposes another version of the charter: other rules, authorities or thresholds.
    Amend(AmendArgs),
    /// Proposes other authorities by recovery keys; takes effect 72 hours after a node has seen it.
    Recover(RecoverArgs),
    /// Proposes a credential with another node key for a member.
    Reissue(ReissueArgs),
    /// Draws the node key that is to follow this node's, and prints what an authority needs for it.
    #[command(
        after_help = "Example:\n  chartmesh network rekey > maple.key-change\n\n\
            An authority runs network reissue MEMBER --change FILE. Once enough of them have signed, this node \
            goes over to the new key by itself, within seconds of hearing of it, and the old one is refused \
            everywhere. Until then status shows it as NODE KEY. JSON: {\"node\",\"change\"}."
    )]
    Rekey,
    /// Draws a recovery key and writes it to a file, to be kept away from every node.
    #[command(
        after_help = "Example:\n  chartmesh network recovery-key --out recovery.key\n\n\
            Give the public key it prints to network found --recovery. Works without a running daemon."
    )]
    RecoveryKey(RecoveryKeyArgs),
    /// Decides between two charters of one number, named by the hash that rules prints.
    #[command(after_help = "Example:\n  chartmesh network adopt 3b1f…c9\n\n\
            It says what that changes at this node: rules, authorities, thresholds. The other charter is \
            never believed again here. Works without a running daemon. JSON: as network rules, with \
            \"changes\":[{\"name\",\"value\"}].")]
    Adopt {
        /// SHA-256 of the charter's body, 64 hex digits.
        charter: String,
        #[command(flatten)]
        passphrase: PassphraseFd,
    },
}

/// Words of `network cosign`.
#[derive(Args)]
#[command(after_help = "Examples:\n  chartmesh network cosign\n  \
        chartmesh network cosign pro_zfbzrmsmyzdwyk3sqxjvn7b6nq\n  \
        chartmesh network cosign founding.proposal --out founding.proposal\n\n\
        Without words it lists what waits, each in plain words read from the very bytes that are \
        signed. JSON: {\"proposals\":[{\"id\",\"kind\",\"state\",\"signed\",\"needed\",\"missing\":[],\
        \"signed_here\",\"since\",\"says\":[{\"name\",\"value\"}]}],\"file\"}; state is waiting or complete, \
        file is the text of a file that other authorities can sign. A file is signed without a running daemon.")]
pub(crate) struct CosignArgs {
    /// The id of a proposal that waits here, or a file of proposals; none to list what waits.
    #[arg(value_name = "ID|FILE")]
    pub(crate) what: Option<String>,
    /// Where the signed proposals go; without it they go to standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Show what would be signed, and sign nothing.
    #[arg(long)]
    pub(crate) show: bool,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFd,
}

/// Words of `network amend`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chartmesh network amend --policy rules.toml\n  \
        chartmesh network amend --authority oak.authority --threshold 3\n  \
        chartmesh network amend --remove 9f86…08 --counts-from 2\n\n\
        The next version holds once enough authorities of the one in force have signed it, and every \
        authority that comes in.\n\n\
        A signature cannot be withdrawn: others may hold it, and an authority that signed two versions of one \
        number could split the network. What was proposed is shown for 14 days after an authority heard of it; \
        whoever names its id may sign it later too, and proposed again it is shown again. To be rid of it, let enough others sign another version without this \
        authority, or let them sign this one and amend it again."
)]
pub(crate) struct AmendArgs {
    /// us-treatment, opt-in, or a file of rules.
    #[arg(long, value_name = "us-treatment|opt-in|FILE")]
    pub(crate) policy: Option<String>,
    #[command(flatten)]
    pub(crate) change: AuthorityChange,
}

/// Who comes and who goes.
#[derive(Args)]
pub(crate) struct AuthorityChange {
    /// Files of authorities that come, as `network authority` prints them.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) authority: Vec<PathBuf>,
    /// Authority or status keys that go, as `network rules` prints them.
    #[arg(long, value_name = "KEY", num_args = 1..)]
    pub(crate) remove: Vec<String>,
    /// How many authorities must sign from then on; more than half of them.
    #[arg(long, value_name = "T", default_value_t = 0, hide_default_value = true)]
    pub(crate) threshold: u32,
    /// Credentials that only authorities of older versions signed count no longer.
    #[arg(long, value_name = "VERSION")]
    pub(crate) counts_from: Option<u64>,
    /// Write the proposal to a file as well, for authorities that cannot be reached.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Words of `network recover`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  chartmesh network recover --key recovery.key --authority oak.authority --remove 9f86…08\n\n\
        More than half of the recovery keys of the genesis charter must sign, and every authority that \
        comes in. Every node waits 72 hours after it has first seen it, and warns meanwhile."
)]
pub(crate) struct RecoverArgs {
    /// Files of recovery keys, as `network recovery-key` writes them.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub(crate) key: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) change: AuthorityChange,
}

/// Words of `network reissue`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chartmesh network reissue mem_mrtq4clcmnygsz3jmvxhi33smu --change maple.key-change\n  \
        chartmesh network reissue mem_mrtq4clcmnygsz3jmvxhi33smu --renew\n  \
        chartmesh network reissue mem_mrtq4clcmnygsz3jmvxhi33smu\n\n\
        With --renew the member keeps its key for another year: a credential ends after 365 days, and counts no \
        longer where network adopt gave up the charter that it rests on. Without either the member has lost its \
        key: it made a node anew with init --member, and asked to join with a ticket. Verify by other means that it is the same organisation, and compare the six words."
)]
pub(crate) struct ReissueArgs {
    /// The member id.
    pub(crate) member: String,
    /// What `network rekey` printed at the member, signed by its old key and its new one.
    #[arg(long, value_name = "FILE")]
    pub(crate) change: Option<PathBuf>,
    /// Sign for the same node key anew, for another year.
    #[arg(long, conflicts_with = "change")]
    pub(crate) renew: bool,
}

/// Words of `network recovery-key`.
#[derive(Args)]
pub(crate) struct RecoveryKeyArgs {
    /// Where the key goes; a file that exists is never written.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFd,
}

/// Words of `network revoke`.
#[derive(Args)]
pub(crate) struct RevokeMemberArgs {
    /// A node id, a member id, or the organisation's name.
    // `--node`, which every command takes, has the id that the field's name would give.
    #[arg(id = "revoked", value_name = "NODE")]
    pub(crate) node: String,
    /// Why; at most 500 characters, without anything of a patient.
    #[arg(long, value_name = "R")]
    pub(crate) reason: String,
}

/// Words of `network found`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chartmesh network found --name Riverside --policy us-treatment\n  \
        chartmesh network found --name Riverside --authority b.authority c.authority --threshold 2 --out founding.proposal\n  \
        chartmesh network found --charter founding.proposal\n\n\
        Without --policy the network is opt-in. With --authority nothing is founded yet: it writes a file \
        for the others to sign with network cosign FILE --out FILE. Once enough of them have, each founds \
        the network with --charter FILE, and all but one join it by ticket. Works without a running daemon."
)]
pub(crate) struct FoundArgs {
    /// The network's name.
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "charter",
        default_value = "",
        hide_default_value = true
    )]
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
    /// Recovery keys, as `network recovery-key` prints them: they may replace the authorities.
    #[arg(long, value_name = "KEY", num_args = 1..)]
    pub(crate) recovery: Vec<String>,
    /// Mark the network as one for test data.
    #[arg(long)]
    pub(crate) test: bool,
    /// Where the file to be signed by the other authorities goes; without it, to standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Found the network of a file that enough authorities have signed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["policy", "authority", "threshold", "recovery", "test", "out"])]
    pub(crate) charter: Option<PathBuf>,
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
