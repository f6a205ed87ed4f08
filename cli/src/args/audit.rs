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
        after_help = "Examples:\n  chartmesh audit accounting --patient pat_…\n  chartmesh audit accounting --patient pat_… --format html --out accounting.html\n\nSix years back: date, recipient with address, what, why, and on what ground. Treatment, payment and operations, which the law\nexcepts, are listed and marked apart. Times are in UTC."
    )]
    Accounting(AccountingArgs),
    /// Writes the patient a letter in plain words: who was given what of the record, when and why.
    #[command(
        after_help = "Examples:\n  chartmesh audit letter --patient pat_… > letter.txt\n  chartmesh audit letter --patient pat_… --format html --out letter.html"
    )]
    Letter(LetterArgs),
    /// Writes the log for other systems: FHIR R4 AuditEvent, after the patterns of IHE BALP.
    #[command(
        after_help = "Example:\n  chartmesh audit export --format fhir --out audit.ndjson\n\nOne line an entry, oldest first. A profile is claimed only where the entry has all that it asks for.\nEvents name patients by this node's own ids."
    )]
    Export(ExportArgs),
    /// Verifies the journal, the log and every document file from the first byte to the last.
    #[command(
        after_help = "Example:\n  chartmesh audit verify\n\nExit 6 if anything does not hold; each problem names its record or document.\nWorks without a running daemon."
    )]
    Verify(PassphraseFd),
    /// Prints the newest checkpoint of the log; one is signed in each ten minutes in which something was logged.
    #[command(after_help = "Example:\n  chartmesh audit checkpoint > checkpoint.txt")]
    Checkpoint,
    /// Proves that an entry stands in the log, or with --from that the log only grew, to whoever has the audit key.
    #[command(
        after_help = "Examples:\n  chartmesh audit prove 41 --out disclosure.tlog-proof\n  chartmesh audit prove --from 128 --out growth.txt\n\nThe file (c2sp.org/tlog-proof) has the entry's number, its sealed record, the path to the root, and the checkpoint it is under.\ntests/peers/python/verify_audit.py verifies it with that file and the line audit key prints, and nothing else.\nThe sealed record's head names the patient by this node's own id; leave it out for somebody who holds the leaf already.\nExit 4 while the entry is under no checkpoint yet."
    )]
    Prove(ProveArgs),
    /// Prints what the other end's log promised when it gave a document: keep it to prove that an entry was removed there.
    #[command(
        after_help = "Example:\n  chartmesh audit promise 41 --out disclosure.promise\n\nENTRY is a received entry of this node. The holder has to show its own entry under a later checkpoint (audit prove there);\nverify_audit.py promise says whether it kept the promise, and a promise that was broken is a proof for anybody."
    )]
    Promise(PromiseArgs),
    /// Prints the line by which others verify this node's log, or another member's.
    #[command(
        after_help = "Examples:\n  chartmesh audit key > log.vkey\n  chartmesh audit key --of 12D3KooW… > theirs.vkey\n\nName, key id and Ed25519 key (c2sp.org/signed-note). A member publishes its own in the key set that its node key signs."
    )]
    Key(KeyArgs),
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

/// Words of `audit prove`.
#[derive(Args)]
pub(crate) struct ProveArgs {
    /// Number of the entry, as audit list shows it.
    #[arg(value_name = "ENTRY", required_unless_present = "from")]
    pub(crate) entry: Option<u64>,
    /// Proves instead that the log grew out of the one that had so many entries.
    #[arg(long, value_name = "SIZE", conflicts_with = "entry", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from: Option<u64>,
    /// Leaves out the sealed record, for whoever holds the entry's leaf hash.
    #[arg(long, conflicts_with = "from")]
    pub(crate) without_record: bool,
    /// Where the proof goes, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Words of `audit promise`.
#[derive(Args)]
pub(crate) struct PromiseArgs {
    /// Number of the entry, as audit list shows it.
    #[arg(value_name = "ENTRY")]
    pub(crate) entry: u64,
    /// Where the promise goes, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Words of `audit key`.
#[derive(Args)]
pub(crate) struct KeyArgs {
    /// Node or member id of another member.
    #[arg(long, value_name = "NODE")]
    pub(crate) of: Option<String>,
}

/// Words of `audit accounting`.
#[derive(Args)]
pub(crate) struct AccountingArgs {
    #[command(flatten)]
    pub(crate) patient: PatientId,
    /// Makes a page for printing; needs --out.
    #[arg(long, value_enum)]
    pub(crate) format: Option<AccountingFormat>,
    /// Where the page goes.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// What an accounting or a letter is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AccountingFormat {
    /// One page for printing, that fetches nothing.
    Html,
}

/// Words of `audit letter`.
#[derive(Args)]
pub(crate) struct LetterArgs {
    #[command(flatten)]
    pub(crate) patient: PatientId,
    /// Makes a page for printing instead of plain text.
    #[arg(long, value_enum)]
    pub(crate) format: Option<AccountingFormat>,
    /// Where the letter goes, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Words of `audit export`.
#[derive(Args)]
pub(crate) struct ExportArgs {
    /// What it is written as.
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
    /// First entry.
    #[arg(
        long,
        value_name = "ENTRY",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) from: u64,
    /// Where it goes, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// What the log is exported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// NDJSON of FHIR R4 AuditEvent, one line an entry.
    Fhir,
}
