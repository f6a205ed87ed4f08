//! The commands: each turns words into one call and the reply into a table.

mod accounting;
mod audit;
mod backup;
mod consent;
mod consent_table;
mod cosign;
mod dispatch;
mod doctor;
mod document;
mod documents;
mod fetch;
mod import;
mod init;
mod inputs;
mod locate;
mod network;
mod patient;
mod sample;
mod status;

pub(crate) use dispatch::dispatch;
