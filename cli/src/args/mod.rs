//! The words of the command line. What stands in `cli.md` keeps its names; nothing here does
//! anything but read words, and no secret is ever among them.

mod audit;
mod backup;
mod cli;
mod consent;
mod exchange;
mod network;
mod node;
mod records;
mod value;

pub(crate) use audit::{
    AccountingArgs, AccountingFormat, AuditCommand, AuditListArgs, ExportArgs, ExportFormat,
    KeyArgs, LetterArgs, PromiseArgs, ProveArgs,
};
pub(crate) use backup::{BackupArgs, RestoreArgs, SheetArgs};
pub(crate) use cli::{Cli, Command, Globals, Output};
pub(crate) use consent::{
    ConsentCommand, ExplainArgs, OptInArgs, OptOutArgs, RevokeArgs, StatementArgs,
};
pub(crate) use exchange::{DocumentsArgs, FetchArgs, LocateArgs};
pub(crate) use network::{
    AmendArgs, AuthorityChange, CosignArgs, FoundArgs, InviteArgs, JoinArgs, NetworkCommand,
    RecoverArgs, RecoveryKeyArgs, RevokeMemberArgs,
};
pub(crate) use node::{
    ConfigCommand, DemoArgs, DoctorArgs, InitArgs, Pace, PassphraseFd, SampleArgs,
};
pub(crate) use records::{
    DocumentAddArgs, DocumentCommand, ImportArgs, ImportFormat, PatientCommand, PatientId,
};
