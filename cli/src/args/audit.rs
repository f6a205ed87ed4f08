//! Words of `audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{PassphraseFd, PatientId};

/// What can be asked of the audit log.
#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Lists everything, oldest first.
    #[command(after_help = "Example:\n  chartmesh audit list --output json\n\nTimes are in UTC.")]
    List(AuditListArgs),
    /// Lists who looked at one patient's record.
    #[command(
        after_help = "Example:\n  chartmesh audit access --patient pat_…\n\nTimes are in UTC."
    )]
    Access(PatientId),
    /// Accounts for the disclosures of one patient's record (45 CFR 164.528).
    #[command(
        after_help = "Example:\n  chartmesh audit accounting --patient pat_…\n\nTimes are in UTC."
    )]
    Accounting(AccountingArgs),
    /// Verifies the journal, the log and every document file from the first byte to the last.
    #[command(
        after_help = "Example:\n  chartmesh audit verify\n\nExit 6 if anything does not hold; each problem names its record or document.\nWorks without a running daemon."
    )]
    Verify(PassphraseFd),
    /// Prints a signed checkpoint of the log.
    #[command(after_help = "Example:\n  chartmesh audit checkpoint > checkpoint.txt")]
    Checkpoint,
}

/// Words of `audit list`.
#[derive(Args)]
pub(crate) struct AuditListArgs {
    /// Only entries after this index.
    #[arg(
        long,
        value_name = "INDEX",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) after: u64,
    /// At most so many; 0 for all [default: 0].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) limit: u32,
}

/// Words of `audit accounting`.
#[derive(Args)]
pub(crate) struct AccountingArgs {
    #[command(flatten)]
    pub(crate) patient: PatientId,
    /// A letter for the patient; comes with a later version.
    #[arg(long, value_name = "html", hide = true)]
    pub(crate) format: Option<String>,
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) out: Option<PathBuf>,
}
