//! Words of `import`, `patient` and `document`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::value;

/// Words of `import`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chartmesh import export/\n  chartmesh import a.json b.json --dry-run --output json\n\n\
        A file holds one FHIR R4 resource or bundle as JSON, or one resource a line (NDJSON, as bulk\n\
        data comes). A transaction or document is about one patient, a collection about any number.\n\
        In a folder, files without the suffix of a known format (json, ndjson, jsonl) are skipped.\n\
        Exit 6 if any input was refused, or a line of one; the rest is in. Sizes are in bytes."
)]
pub(crate) struct ImportArgs {
    /// Files and folders.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Format of every input.
    #[arg(long, value_enum, default_value_t = ImportFormat::Auto)]
    pub(crate) format: ImportFormat,
    /// Check and report, and store nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A format of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFormat {
    /// Told from each input.
    Auto,
    /// FHIR R4 JSON.
    Fhir,
    /// HL7 v2 messages.
    Hl7v2,
    /// C-CDA documents.
    Ccda,
}

/// What can be done about patients.
#[derive(Subcommand)]
pub(crate) enum PatientCommand {
    /// Lists every patient of the local index.
    #[command(after_help = "Example:\n  chartmesh patient list --output json")]
    List,
    /// Lists the patients whose name or identifier holds the text.
    #[command(after_help = "Example:\n  chartmesh patient search Delgado")]
    Search {
        /// Part of a name or identifier.
        text: String,
    },
    /// Shows one patient with types of resources and documents.
    #[command(after_help = "Example:\n  chartmesh patient show pat_…\n\nSizes are in bytes.")]
    Show {
        /// The patient's id.
        id: String,
    },
    /// Adds a patient from a FHIR Patient.
    #[command(after_help = "Example:\n  chartmesh patient add - < patient.json")]
    Add {
        /// A file, or - to read standard input.
        source: PathBuf,
    },
}

/// A patient of the local index.
#[derive(Args)]
pub(crate) struct PatientId {
    /// The patient's id.
    #[arg(long, value_name = "ID")]
    pub(crate) patient: String,
}

/// What can be done about local documents.
#[derive(Subcommand)]
pub(crate) enum DocumentCommand {
    /// Adds a file (PDF, C-CDA, image, text) to a patient's record.
    Add(DocumentAddArgs),
}

/// Words of `document add`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  chartmesh document add --patient pat_… --type 18842-5 summary.pdf\n\nSizes are in bytes."
)]
pub(crate) struct DocumentAddArgs {
    #[command(flatten)]
    pub(crate) patient: PatientId,
    /// LOINC code of the kind of document.
    #[arg(long, value_name = "LOINC", value_parser = value::loinc)]
    pub(crate) r#type: String,
    /// Title shown in lists.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) title: String,
    /// Who wrote it.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) author: String,
    /// Media type [default: told from the content].
    #[arg(
        long,
        value_name = "TYPE",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) content_type: String,
    /// The file.
    pub(crate) file: PathBuf,
}
