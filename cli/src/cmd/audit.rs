//! `audit`.

use chartmesh_proto::admin::{
    AuditExportRequest, AuditKeyReply, AuditKeyRequest, AuditListReply, AuditListRequest,
    AuditPromiseReply, AuditPromiseRequest, AuditProveReply, AuditProveRequest, CheckpointReply,
    Empty, PatientShowRequest, VerifyReply,
};

use super::accounting;
use crate::{
    args::{
        AuditCommand, AuditListArgs, ExportArgs, ExportFormat, KeyArgs, PassphraseFd, PatientId,
        PromiseArgs, ProveArgs,
    },
    connect::Node,
    exit::{Exit, Failure},
    out_file::OutFile,
    print::{Screen, write_out},
    text::{self, Table},
};

/// Runs one of the audit log's commands.
///
/// # Errors
/// The log does not hold, or as the daemon says.
pub(crate) async fn run(
    command: AuditCommand,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    match command {
        AuditCommand::List(args) => list(&args, node, screen).await,
        AuditCommand::Access(args) => access(args, node, screen).await,
        AuditCommand::Accounting(args) => accounting::accounting(args, node, screen).await,
        AuditCommand::Letter(args) => accounting::letter(args, node, screen).await,
        AuditCommand::Export(args) => export(args, node, screen).await,
        AuditCommand::Verify(passphrase) => verify(passphrase, node, screen).await,
        AuditCommand::Checkpoint => {
            let reply = node
                .call(async |mut admin| Ok(admin.audit_checkpoint(Empty {}).await?.into_inner()))
                .await?;
            screen.reply(&reply, |reply: &CheckpointReply| plain(&reply.checkpoint))
        }
        AuditCommand::Prove(args) => prove(args, node, screen).await,
        AuditCommand::Promise(args) => promise(args, node, screen).await,
        AuditCommand::Key(args) => key(args, node, screen).await,
    }
}

async fn prove(args: ProveArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = AuditProveRequest {
        entry: args.entry.unwrap_or_default(),
        from: args.from.unwrap_or_default(),
        without_record: args.without_record,
    };
    let file = args
        .out
        .map(|path| OutFile::new(path, screen))
        .transpose()?;
    let reply = node
        .call(async |mut admin| Ok(admin.audit_prove(request).await?.into_inner()))
        .await?;
    let Some(mut file) = file else {
        return screen.reply(&reply, |reply: &AuditProveReply| plain(&reply.proof));
    };
    file.write(reply.proof.as_bytes())?;
    file.keep()?;
    screen.reply(&reply, |reply: &AuditProveReply| {
        text::lines([
            ("entries", reply.size.to_string().as_str()),
            ("leaf", &reply.leaf),
        ])
    })
}

async fn promise(args: PromiseArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = AuditPromiseRequest { entry: args.entry };
    let file = args
        .out
        .map(|path| OutFile::new(path, screen))
        .transpose()?;
    let reply = node
        .call(async |mut admin| Ok(admin.audit_promise(request).await?.into_inner()))
        .await?;
    let Some(mut file) = file else {
        return screen.reply(&reply, |reply: &AuditPromiseReply| plain(&reply.promise));
    };
    file.write(reply.promise.as_bytes())?;
    file.keep()?;
    screen.reply(&reply, |reply: &AuditPromiseReply| {
        text::lines([
            ("organization", reply.organization.as_str()),
            ("node", &reply.node),
        ])
    })
}

async fn key(args: KeyArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = AuditKeyRequest {
        of: args.of.unwrap_or_default(),
    };
    let reply = node
        .call(async |mut admin| Ok(admin.audit_key(request).await?.into_inner()))
        .await?;
    screen.reply(&reply, |reply: &AuditKeyReply| plain(&reply.key))
}

/// Several lines, each escaped by itself.
fn plain(lines: &str) -> String {
    lines
        .lines()
        .map(|line| format!("{}\n", text::escape(line)))
        .collect()
}

async fn list(args: &AuditListArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = AuditListRequest {
        after: args.after,
        limit: args.limit,
    };
    let reply = node
        .call(async |mut admin| Ok(admin.audit_list(request).await?.into_inner()))
        .await?;
    screen.reply(&reply, entries_table)
}

async fn access(args: PatientId, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = PatientShowRequest {
        patient: args.patient,
    };
    let reply = node
        .call(async |mut admin| Ok(admin.audit_access(request).await?.into_inner()))
        .await?;
    screen.reply(&reply, entries_table)
}

async fn export(args: ExportArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let ExportFormat::Fhir = args.format;
    let mut file = args
        .out
        .map(|path| OutFile::new(path, screen))
        .transpose()?;
    let mut next = Some(args.from);
    while let Some(from) = next {
        let request = AuditExportRequest { from, limit: 0 };
        let reply = node
            .call(async |mut admin| Ok(admin.audit_export(request).await?.into_inner()))
            .await?;
        let lines: String = reply
            .events
            .iter()
            .map(|event| format!("{event}\n"))
            .collect();
        match &mut file {
            Some(file) => file.write(lines.as_bytes())?,
            None => write_out(lines.as_bytes())?,
        }
        next = reply.next;
    }
    file.map_or(Ok(()), OutFile::keep)
}

async fn verify(passphrase: PassphraseFd, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let reply = node
        .call_alone(passphrase, async |mut admin| {
            Ok(admin.audit_verify(Empty {}).await?.into_inner())
        })
        .await?;
    screen.reply(&reply, verify_table)?;
    if reply.verified {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        "INTEGRITY",
        "what is on disk is not what was written; each problem names its record or document",
        "stop the daemon, keep a copy of the directory, and see doctor",
    ))
}

fn entries_table(reply: &AuditListReply) -> String {
    let mut table = Table::new([
        "ENTRY",
        "AT",
        "KIND",
        "ORGANIZATION",
        "PATIENT",
        "DOCUMENT",
        "PURPOSE",
        "USER",
        "CODE",
        "RULE",
        "CONSENT",
        "DISCLOSURE",
        "DESCRIPTION",
    ]);
    for entry in &reply.entries {
        let or = |text: &Option<String>| text.clone().unwrap_or_default();
        table.row([
            &entry.index.to_string(),
            &text::date(&entry.at),
            &entry.kind,
            &or(&entry.organization),
            &or(&entry.patient),
            &or(&entry.document),
            &or(&entry.purpose),
            &or(&entry.user),
            &or(&entry.code),
            &or(&entry.rule),
            &or(&entry.consent),
            &or(&entry.disclosure),
            &or(&entry.description),
        ]);
    }
    table.or("no entries")
}

fn verify_table(reply: &VerifyReply) -> String {
    let mut text = text::lines([
        ("verified", if reply.verified { "yes" } else { "NO" }),
        ("entries", &reply.entries.to_string()),
        ("records", &reply.records.to_string()),
        ("document files", &reply.files.to_string()),
        ("root", &reply.root),
    ]);
    for problem in &reply.problems {
        text.push_str(&format!("problem: {}\n", text::escape(problem)));
    }
    text
}
