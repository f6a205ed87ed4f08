//! Words of `locate`, `documents` and `fetch`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::value;

/// Words of `locate`.
#[derive(Args)]
#[command(
    group = ArgGroup::new("whom").args(["source", "patient", "family"]).required(true),
    after_help = "Examples:\n  chartmesh locate --patient pat_… --purpose TREAT\n  \
        chartmesh locate - --purpose TREAT --deadline 10s < patient.json\n  \
        chartmesh locate --family Delgado --given Rosa --birth-date 1954-03-04 --sex F --purpose TREAT\n\n\
        - reads a FHIR Patient, so that nothing stands in the shell's history. Dates are ISO,\n\
        durations carry a unit. Exit 0 with a match, 4 without, 5 if nodes did not answer either,\n\
        8 if a holder needs more attributes or a human must choose."
)]
pub(crate) struct LocateArgs {
    /// - to read a FHIR Patient from standard input.
    #[arg(value_name = "-", value_parser = ["-"], conflicts_with_all = ["patient", "family", "given", "birth_date", "sex", "identifier", "phone", "email", "line", "city", "state", "postal_code"])]
    pub(crate) source: Option<String>,
    /// A patient of the local index.
    #[arg(long, value_name = "ID", conflicts_with_all = ["family", "given", "birth_date", "sex", "identifier", "phone", "email", "line", "city", "state", "postal_code"])]
    pub(crate) patient: Option<String>,
    /// Family name.
    #[arg(long, value_name = "F")]
    pub(crate) family: Option<String>,
    /// Given names.
    #[arg(long, value_name = "G", num_args = 1..)]
    pub(crate) given: Vec<String>,
    /// Birth date, ISO.
    #[arg(long, value_name = "D", value_parser = value::date)]
    pub(crate) birth_date: Option<String>,
    /// Sex: male, female, other, unknown, or M, F, O, U.
    #[arg(long, value_name = "S", value_parser = value::sex)]
    pub(crate) sex: Option<String>,
    /// An identifier with its system.
    #[arg(long, value_name = "SYS=VAL", value_parser = value::identifier)]
    pub(crate) identifier: Vec<String>,
    /// Telephone number.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) phone: Vec<String>,
    /// E-mail address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Vec<String>,
    /// Street and house number.
    #[arg(long, value_name = "TEXT")]
    pub(crate) line: Option<String>,
    /// City.
    #[arg(long, value_name = "TEXT")]
    pub(crate) city: Option<String>,
    /// State, two letters.
    #[arg(long, value_name = "ST")]
    pub(crate) state: Option<String>,
    /// Postal code.
    #[arg(long, value_name = "CODE")]
    pub(crate) postal_code: Option<String>,
    /// Why: a purpose of use such as TREAT.
    #[arg(long, value_name = "P", value_parser = value::purpose)]
    pub(crate) purpose: String,
    /// When to stop waiting for answers, at most 10m [default: 10s].
    #[arg(long, value_name = "DURATION", value_parser = value::deadline_ms)]
    pub(crate) deadline: Option<u64>,
    /// Ask only these nodes.
    #[arg(long, value_name = "NODE", num_args = 1..)]
    pub(crate) only: Vec<String>,
    /// Ask in sealed clear; the only way in this version.
    #[arg(long)]
    pub(crate) direct: bool,
    /// An emergency session.
    #[arg(long, value_name = "SESSION")]
    pub(crate) break_glass: Option<String>,
}

/// Words of `documents`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  chartmesh documents --handle hdl_… --purpose TREAT --type 18842-5 --since 2025-01-01\n\n\
        Newest first. Sizes are in bytes and absent for documents made on demand. Dates are ISO."
)]
pub(crate) struct DocumentsArgs {
    /// The handle a holder gave us in answer to `locate`.
    #[arg(long, value_name = "H")]
    pub(crate) handle: String,
    /// Why: a purpose of use such as TREAT.
    #[arg(long, value_name = "P", value_parser = value::purpose)]
    pub(crate) purpose: String,
    /// Only these kinds of documents, as LOINC codes.
    #[arg(long, value_name = "LOINC", num_args = 1.., value_parser = value::loinc)]
    pub(crate) r#type: Vec<String>,
    /// Not older than this day.
    #[arg(long, value_name = "D", value_parser = value::date)]
    pub(crate) since: Option<String>,
    /// Not younger than this day.
    #[arg(long, value_name = "D", value_parser = value::date)]
    pub(crate) until: Option<String>,
    /// At most so many; 0 for the default.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) limit: u32,
    /// An emergency session.
    #[arg(long, value_name = "SESSION")]
    pub(crate) break_glass: Option<String>,
}

/// Words of `fetch`.
#[derive(Args)]
#[command(
    group = ArgGroup::new("where").args(["out", "view"]).required(true).multiple(true),
    after_help = "Examples:\n  chartmesh fetch --handle hdl_… --document doc_… --purpose TREAT --out summary.pdf\n  \
        chartmesh fetch --handle hdl_… --document doc_… --purpose TREAT --view | jq .\n\n\
        The file appears whole, mode 0600, or not at all. On a terminal an existing file is\n\
        replaced only after a question or with --yes; in a pipe it is replaced. Sizes are in bytes."
)]
pub(crate) struct FetchArgs {
    /// The handle a holder gave us in answer to `locate`.
    #[arg(long, value_name = "H")]
    pub(crate) handle: String,
    /// The document's id, from `documents`.
    #[arg(long, value_name = "ID")]
    pub(crate) document: String,
    /// Why: a purpose of use such as TREAT.
    #[arg(long, value_name = "P", value_parser = value::purpose)]
    pub(crate) purpose: String,
    /// Where to write it.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write the document to standard output, and so not with --output json alone; with --out only the
    /// file is written.
    #[arg(long)]
    pub(crate) view: bool,
    /// An emergency session.
    #[arg(long, value_name = "SESSION")]
    pub(crate) break_glass: Option<String>,
}
