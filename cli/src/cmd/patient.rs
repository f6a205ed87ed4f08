//! `patient`.

use chartmesh_proto::admin::{
    PatientAddRequest, PatientDetail, PatientListReply, PatientListRequest, PatientShowRequest,
    PatientSummary,
};

use crate::{
    args::PatientCommand,
    ask,
    connect::Node,
    exit::Failure,
    print::Screen,
    text::{self, Table},
};

/// Largest FHIR Patient, in bytes.
pub(super) const PATIENT_MAX_BYTES: u64 = 1 << 20;

/// Runs one of the patient index's commands.
///
/// # Errors
/// As the daemon says.
pub(crate) async fn run(
    command: PatientCommand,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    match command {
        PatientCommand::List => list(String::new(), node, screen).await,
        PatientCommand::Search { text } => list(text, node, screen).await,
        PatientCommand::Show { id } => {
            let request = PatientShowRequest { patient: id };
            let reply = node
                .call(async |mut admin| Ok(admin.patient_show(request).await?.into_inner()))
                .await?;
            screen.reply(&reply, detail)
        }
        PatientCommand::Add { source } => {
            let resource = ask::read_input(&source, PATIENT_MAX_BYTES)?;
            let request = PatientAddRequest { resource };
            let reply = node
                .call(async |mut admin| Ok(admin.patient_add(request).await?.into_inner()))
                .await?;
            screen.reply(&reply, |reply: &PatientSummary| {
                summaries(std::slice::from_ref(reply))
            })
        }
    }
}

async fn list(text: String, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = PatientListRequest { text };
    let reply = node
        .call(async |mut admin| Ok(admin.patient_list(request).await?.into_inner()))
        .await?;
    screen.reply(&reply, |reply: &PatientListReply| {
        summaries(&reply.patients)
    })
}

/// Patients of the local index, one a line.
pub(super) fn summaries(patients: &[PatientSummary]) -> String {
    let mut table = Table::new([
        "PATIENT",
        "NAME",
        "BORN",
        "SEX",
        "RESOURCES",
        "DISCOVERABILITY",
    ]);
    for patient in patients {
        table.row([
            &patient.id,
            &patient.name,
            &text::maybe_date(patient.birth_date.as_ref()),
            &patient.sex,
            &patient.resources.to_string(),
            &patient.discoverability,
        ]);
    }
    table.or("no patients")
}

fn detail(patient: &PatientDetail) -> String {
    let mut types = Table::new(["TYPE", "COUNT"]);
    for (name, count) in &patient.resource_types {
        types.row([name, &count.to_string()]);
    }
    let mut documents = Table::new(["DOCUMENT", "DATE", "TYPE", "TITLE", "SIZE", "CONTENT"]);
    for document in &patient.documents {
        let kind = document.r#type.as_ref();
        documents.row([
            &document.id,
            &text::date(&document.date),
            kind.map_or("", |kind| kind.code.as_str()),
            &document.title,
            &text::bytes(document.size_bytes),
            &document.content_type,
        ]);
    }
    let identifiers: Vec<String> = patient
        .identifiers
        .iter()
        .map(|identifier| format!("{}={}", identifier.system, identifier.value))
        .collect();
    let head = text::lines([
        ("patient", patient.id.as_str()),
        ("name", patient.name.as_str()),
        ("born", &text::maybe_date(patient.birth_date.as_ref())),
        ("sex", patient.sex.as_str()),
        ("identifiers", &identifiers.join(" ")),
        ("resources", &patient.resources.to_string()),
        ("discoverability", patient.discoverability.as_str()),
        ("source", patient.source.as_str()),
    ]);
    format!(
        "{head}\n{}\n{}",
        types.or("no resources"),
        documents.or("no documents")
    )
}
