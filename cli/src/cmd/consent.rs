//! `consent`.

use std::path::Path;

use chartmesh_proto::admin::{
    ConsentRequest, ConsentRevokeRequest, ExplainRequest, OptRequest, PatientShowRequest,
};

use crate::{
    args::{
        ConsentCommand, ExplainArgs, OptInArgs, OptOutArgs, PatientId, RevokeArgs, StatementArgs,
    },
    ask,
    connect::{Admin, Node},
    exit::Failure,
    print::Screen,
    text,
};

use super::consent_table;

/// Largest signed form, in bytes.
const FORM_MAX_BYTES: u64 = 16 << 20;

/// Runs one of the consent commands.
///
/// # Errors
/// The user says no, or as the daemon says.
pub(crate) async fn run(
    command: ConsentCommand,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    match command {
        ConsentCommand::Grant(args) => state(args, Says::Permit, node, screen).await,
        ConsentCommand::Deny(args) => state(args, Says::Deny, node, screen).await,
        ConsentCommand::Revoke(args) => revoke(args, node, screen).await,
        ConsentCommand::OptOut(args) => opt_out(args, node, screen).await,
        ConsentCommand::OptIn(args) => opt_in(args, node, screen).await,
        ConsentCommand::List(args) => list(args, node, screen).await,
        ConsentCommand::Explain(args) => explain(args, node, screen).await,
    }
}

#[derive(Clone, Copy)]
enum Says {
    Permit,
    Deny,
}

async fn state(
    args: StatementArgs,
    says: Says,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    let request = request(args)?;
    let effect = format!(
        "{} {} to read for {}",
        match says {
            Says::Permit => "permits",
            Says::Deny => "forbids",
        },
        request.to,
        request.purpose.join(", ")
    );
    let reply = node
        .call(async |mut admin| {
            confirm(&mut admin, &request.patient, &effect, screen).await?;
            let reply = match says {
                Says::Permit => admin.consent_grant(request).await?,
                Says::Deny => admin.consent_deny(request).await?,
            };
            Ok(reply.into_inner())
        })
        .await?;
    for note in &reply.notes {
        screen.note(note);
    }
    screen.reply(&reply, consent_table::stated)
}

fn request(args: StatementArgs) -> Result<ConsentRequest, Failure> {
    if let Some(flag) = args.not_yet.used() {
        return Err(Failure::usage(
            format!("{flag} cannot be expressed by this version"),
            "a consent covers all data of the patient; leave the flag out, or deny instead",
        ));
    }
    let (form, form_type) = match &args.form {
        Some(path) => (
            ask::read_input(path, FORM_MAX_BYTES)?,
            media_type(path).to_owned(),
        ),
        None => (Vec::new(), String::new()),
    };
    if args.form.is_some() && form.is_empty() {
        return Err(Failure::usage("the form is empty", "give the signed form"));
    }
    Ok(ConsentRequest {
        patient: args.patient.patient,
        to: args.to,
        purpose: args.purpose,
        by: args.by.unwrap_or_default(),
        form,
        form_type,
        verbal_witness: args.verbal_witness.unwrap_or_default(),
        from: args.from.unwrap_or_default(),
        until: args.until.unwrap_or_default(),
    })
}

/// The form's media type by its suffix.
fn media_type(path: &Path) -> &'static str {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    match suffix.map(str::to_ascii_lowercase).as_deref() {
        Some("pdf") => "application/pdf",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("tif" | "tiff") => "image/tiff",
        Some("txt") => "text/plain",
        Some(_) | None => "application/octet-stream",
    }
}

async fn revoke(args: RevokeArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let effect = format!("is no longer bound by {}", args.consent);
    let reply = node
        .call(async |mut admin| {
            confirm(&mut admin, &args.consent, &effect, screen).await?;
            let request = ConsentRevokeRequest {
                consent: args.consent,
            };
            Ok(admin.consent_revoke(request).await?.into_inner())
        })
        .await?;
    screen.reply(&reply, consent_table::in_force)
}

async fn opt_out(args: OptOutArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let effect = if args.even_emergency {
        "forbids every disclosure, even in an emergency"
    } else {
        "forbids every disclosure"
    };
    let request = OptRequest {
        patient: args.patient.patient,
        even_emergency: args.even_emergency,
    };
    let reply = node
        .call(async |mut admin| {
            confirm(&mut admin, &request.patient, effect, screen).await?;
            Ok(admin.consent_opt_out(request).await?.into_inner())
        })
        .await?;
    screen.reply(&reply, consent_table::in_force)
}

async fn opt_in(args: OptInArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = OptRequest {
        patient: args.patient.patient,
        even_emergency: args.even_emergency,
    };
    let reply = node
        .call(async |mut admin| {
            confirm(
                &mut admin,
                &request.patient,
                "permits any member to read for treatment",
                screen,
            )
            .await?;
            Ok(admin.consent_opt_in(request).await?.into_inner())
        })
        .await?;
    screen.reply(&reply, consent_table::in_force)
}

async fn list(args: PatientId, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = PatientShowRequest {
        patient: args.patient,
    };
    let reply = node
        .call(async |mut admin| Ok(admin.consent_list(request).await?.into_inner()))
        .await?;
    screen.reply(&reply, consent_table::list)
}

async fn explain(args: ExplainArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = ExplainRequest {
        patient: args.patient.patient,
        to: args.to,
        purpose: args.purpose,
        document: args.document.unwrap_or_default(),
    };
    let reply = node
        .call(async |mut admin| Ok(admin.consent_explain(request).await?.into_inner()))
        .await?;
    screen.reply(&reply, consent_table::explained)
}

/// On a terminal: name, birth date and effect, then the question. `subject` is a patient's id or
/// that of one of the patient's consents.
async fn confirm(
    admin: &mut Admin,
    subject: &str,
    effect: &str,
    screen: &Screen,
) -> Result<(), Failure> {
    if screen.asks_nothing() {
        return Ok(());
    }
    let request = PatientShowRequest {
        patient: subject.to_owned(),
    };
    let patient = admin.patient_show(request).await?.into_inner();
    let facts = text::lines([
        ("patient", patient.name.as_str()),
        ("born", &text::maybe_date(patient.birth_date.as_ref())),
        ("effect", effect),
    ]);
    ask::confirm(screen, &facts, "Is this what the patient wants?")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::{
        args::{Cli, Command},
        exit::Exit,
    };

    use super::*;

    #[test]
    fn a_flag_of_a_later_version_is_wrong_usage() {
        let words = "chartmesh consent grant --patient pat_a --to any --purpose TREAT ETREAT";
        let request_of = |more: &str| request(statement(&format!("{words}{more}")));
        assert_eq!(
            request_of("").expect("expressible").purpose,
            ["TREAT", "ETREAT"]
        );

        for flag in [
            " --data-from 2020-01-01",
            " --data-until 2020-01-01",
            " --label-except ETH PSY",
            " --type 18842-5",
        ] {
            let failure = request_of(flag).err().expect("not expressible");
            assert_eq!(failure.exit, Exit::Usage, "{flag}");
            let name = flag.split_whitespace().next().unwrap_or_default();
            assert!(failure.message.contains(name), "{flag}");
        }
    }

    #[test]
    fn a_form_carries_its_media_type() {
        let room = tempfile::tempdir().expect("a folder");
        let form = room.path().join("signed.PDF");
        std::fs::write(&form, b"%PDF").expect("written");
        let words = format!(
            "chartmesh consent grant --patient pat_a --to any --purpose TREAT --form {}",
            form.display()
        );
        let request_now = || request(statement(&words));

        let with = request_now().expect("read");
        assert_eq!(with.form, b"%PDF");
        assert_eq!(with.form_type, "application/pdf");

        std::fs::write(&form, b"").expect("emptied");
        assert!(request_now().is_err());
    }

    fn statement(words: &str) -> StatementArgs {
        let cli = Cli::try_parse_from(words.split_whitespace()).expect("words of the contract");
        let Command::Consent(command) = cli.command else {
            panic!("another command");
        };
        let ConsentCommand::Grant(args) = *command else {
            panic!("another command");
        };
        args
    }
}
