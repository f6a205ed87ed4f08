//! Words of `consent`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{PatientId, value};

/// What can be done about consent.
#[derive(Subcommand)]
pub(crate) enum ConsentCommand {
    /// Records that a patient allows a disclosure.
    #[command(
        after_help = "Examples:\n  chartmesh consent grant --patient pat_… --to 12D3Koo… --purpose TREAT --by patient --form signed.pdf\n  \
            chartmesh consent grant --patient pat_… --to kind:urgent-care --purpose TREAT ETREAT --until 2027-01-01\n\n\
            A target is a node id, member:ID, org:NAME, kind:K or any. Without a form or a witness the\n\
            consent is recorded as stated by staff. Dates are ISO; a form is at most 16 MiB."
    )]
    Grant(StatementArgs),
    /// Records that a patient forbids a disclosure.
    #[command(
        after_help = "Example:\n  chartmesh consent deny --patient pat_… --to kind:payer --purpose HPAYMT\n\n\
            A target is a node id, member:ID, org:NAME, kind:K or any. Dates are ISO."
    )]
    Deny(StatementArgs),
    /// Revokes one consent and says what is then in force.
    #[command(after_help = "Example:\n  chartmesh consent revoke con_…")]
    Revoke(RevokeArgs),
    /// Records that a patient wants nothing shared, and says what is then in force.
    #[command(after_help = "Example:\n  chartmesh consent opt-out --patient pat_…")]
    OptOut(OptOutArgs),
    /// Records that a patient wants records shared for treatment, and says what is then in force.
    #[command(
        after_help = "Example:\n  chartmesh consent opt-in --patient pat_…\n\n\
            Any member may then read for treatment, and an opt-out stated in the same way is lifted.\n\
            A refusal on a signed form, or one for a single member, stays in force: the reply says what holds."
    )]
    OptIn(OptInArgs),
    /// Lists a patient's consents, also those no longer in force.
    #[command(
        after_help = "Example:\n  chartmesh consent list --patient pat_…\n\nDates are in UTC."
    )]
    List(PatientId),
    /// Explains what would be decided, by which consent and rule.
    #[command(
        after_help = "Example:\n  chartmesh consent explain --patient pat_… --to 12D3Koo… --purpose TREAT"
    )]
    Explain(ExplainArgs),
}

/// What a patient says about a target and purposes.
#[derive(Args)]
pub(crate) struct StatementArgs {
    #[command(flatten)]
    pub(crate) patient: PatientId,
    /// Whom it is about: a node id, member:ID, org:NAME, a member's name, kind:K or any.
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: String,
    /// Purposes of use, such as TREAT or TREAT,ETREAT.
    #[arg(long, value_name = "P", required = true, num_args = 1.., value_delimiter = ',', value_parser = value::purpose)]
    pub(crate) purpose: Vec<String>,
    /// Who says so: patient, mother, father, guardian or agent.
    #[arg(long, value_name = "RELATION")]
    pub(crate) by: Option<String>,
    /// The signed form, a file of at most 16 MiB.
    #[arg(long, value_name = "FILE", conflicts_with = "verbal_witness")]
    pub(crate) form: Option<PathBuf>,
    /// Who heard it said.
    #[arg(long, value_name = "USER")]
    pub(crate) verbal_witness: Option<String>,
    /// From when: an ISO date, or a date with time and offset.
    #[arg(long, value_name = "D", value_parser = value::date_or_time)]
    pub(crate) from: Option<String>,
    /// Until when: an ISO date, or a date with time and offset.
    #[arg(long, value_name = "D", value_parser = value::date_or_time)]
    pub(crate) until: Option<String>,
    #[command(flatten)]
    pub(crate) not_yet: NotYet,
}

/// Words the contract names and a later version understands.
#[derive(Args)]
pub(crate) struct NotYet {
    #[arg(long, value_name = "D", hide = true)]
    data_from: Option<String>,
    #[arg(long, value_name = "D", hide = true)]
    data_until: Option<String>,
    #[arg(long, value_name = "L", num_args = 1.., hide = true)]
    label_except: Vec<String>,
    #[arg(long, value_name = "LOINC", num_args = 1.., hide = true)]
    r#type: Vec<String>,
}

impl NotYet {
    /// The first of them that was used.
    pub(crate) fn used(&self) -> Option<&'static str> {
        [
            (self.data_from.is_some(), "--data-from"),
            (self.data_until.is_some(), "--data-until"),
            (!self.label_except.is_empty(), "--label-except"),
            (!self.r#type.is_empty(), "--type"),
        ]
        .into_iter()
        .find_map(|(used, flag)| used.then_some(flag))
    }
}

/// Words of `consent revoke`.
#[derive(Args)]
pub(crate) struct RevokeArgs {
    /// The consent's id.
    pub(crate) consent: String,
}

/// Words of `consent opt-out`.
#[derive(Args)]
pub(crate) struct OptOutArgs {
    #[command(flatten)]
    pub(crate) patient: PatientId,
    /// Not even in an emergency (45 CFR 164.522(a)(1)(iii)).
    #[arg(long)]
    pub(crate) even_emergency: bool,
}

/// Words of `consent opt-in`.
#[derive(Args)]
pub(crate) struct OptInArgs {
    #[command(flatten)]
    pub(crate) patient: PatientId,
    /// Also in an emergency, where an opt-out excluded even that.
    #[arg(long)]
    pub(crate) even_emergency: bool,
}

/// Words of `consent explain`.
#[derive(Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) patient: PatientId,
    /// Who would ask: a node id, a member id, org:NAME or a member's name.
    #[arg(long, value_name = "NODE")]
    pub(crate) to: String,
    /// Why: a purpose of use such as TREAT.
    #[arg(long, value_name = "P", value_parser = value::purpose)]
    pub(crate) purpose: String,
    /// For this document of the patient.
    #[arg(long, value_name = "D")]
    pub(crate) document: Option<String>,
}
