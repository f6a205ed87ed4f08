//! Words of `backup`, `recovery-sheet` and `restore`.

use std::path::PathBuf;

use clap::Args;

use super::PassphraseFd;

/// Words of `backup`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chartmesh backup /mnt/usb/maple.cmbackup\n  chartmesh backup --to /mnt/backups --keep 14\n\n\
        Needs the running daemon (exit 7 without), whose account writes the file; nobody waits meanwhile.\n\
        The file is read back before it takes the place of an earlier one. It is opened by the recovery\n\
        sheet that is the newest when it is made (exit 6 where there is none). Exit 6 as well if a document\n\
        is not in it because its file is damaged; then no older backup is removed. Sizes are in bytes."
)]
pub(crate) struct BackupArgs {
    /// The file to write; an earlier one is replaced once the new one is verified.
    #[arg(
        value_name = "FILE",
        required_unless_present = "to",
        conflicts_with = "to"
    )]
    pub(crate) file: Option<PathBuf>,
    /// Write into this folder, under a name with the time and the journal position.
    #[arg(long, value_name = "DIR", requires = "keep")]
    pub(crate) to: Option<PathBuf>,
    /// How many backups of this node to keep in the folder; the oldest go once the new one is verified.
    #[arg(long, value_name = "N", requires = "to", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) keep: Option<u32>,
}

/// Words of `recovery-sheet`.
#[derive(Args)]
#[command(after_help = "Example:\n  chartmesh recovery-sheet | lp\n\n\
        The sheet and one backup are all that is needed on another machine: chartmesh restore. Keep it away\n\
        from the node; who has both has the records. Each sheet opens the backups made after it and before\n\
        the next one. Works without a running daemon.")]
pub(crate) struct SheetArgs {
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFd,
}

/// Words of `restore`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chartmesh --node ./maple restore /mnt/usb/maple.cmbackup\n  \
        chartmesh --node ./maple restore maple.cmbackup --sheet-fd 3 --passphrase-fd 4 3<sheet.txt 4<pass.txt\n\n\
        Asks for the recovery secret. The whole backup is verified before anything is written: exit 6 where it\n\
        was altered, cut, or is of another sheet, and the directory is as it was. What was recorded after the\n\
        backup is gone: record revoked consents again. An earlier copy of the node must not run any more;\n\
        without a choice the store's key goes into DIR/key, mode 0600."
)]
pub(crate) struct RestoreArgs {
    /// The backup.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Read the recovery secret from this file, which only its owner may read.
    #[arg(long, value_name = "FILE", conflicts_with = "sheet_fd")]
    pub(crate) sheet: Option<PathBuf>,
    /// Read the recovery secret, one line, from this file descriptor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1023))]
    pub(crate) sheet_fd: Option<u32>,
    /// Ask for a passphrase that seals the store.
    #[arg(long, conflicts_with_all = ["passphrase_fd", "key_file"])]
    pub(crate) passphrase: bool,
    /// Read the passphrase, one line, from this file descriptor.
    #[arg(long, value_name = "N", conflicts_with = "key_file", value_parser = clap::value_parser!(u32).range(0..=1023))]
    pub(crate) passphrase_fd: Option<u32>,
    /// Put the store's key into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}
