//! `document add`.

use std::path::Path;

use chartmesh_proto::admin::{DocumentAddReply, DocumentPart, DocumentStart, document_part::Part};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    args::{DocumentAddArgs, DocumentCommand},
    connect::Node,
    exit::Failure,
    print::{Bar, Screen},
    text,
};

use super::inputs::{self, PARTS_AHEAD};

/// Adds a file to a patient's record.
///
/// # Errors
/// The file cannot be read, or the daemon refuses it.
pub(crate) async fn run(
    command: DocumentCommand,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    let DocumentCommand::Add(args) = command;
    let size_bytes = inputs::size(&args.file)?;
    let start = start(&args, size_bytes);
    let bar = screen.progress(size_bytes, "bytes");
    let reply = node
        .call(async |mut admin| {
            let (parts, stream) = mpsc::channel(PARTS_AHEAD);
            let sender = tokio::spawn(send(parts, start, args.file, bar.clone()));
            let reply = admin.document_add(ReceiverStream::new(stream)).await;
            // A file that breaks off in the middle is the cause, whatever the daemon made of it.
            sender.await.map_err(|_| Failure::bug("a task ended"))??;
            Ok(reply?.into_inner())
        })
        .await;
    bar.clear();
    screen.reply(&reply?, |reply: &DocumentAddReply| {
        text::lines([
            ("document", reply.document.as_str()),
            ("size", &text::bytes(reply.bytes)),
            ("sha256", reply.sha256.as_str()),
        ])
    })
}

fn start(args: &DocumentAddArgs, size_bytes: u64) -> DocumentStart {
    let file_name = Path::file_name(&args.file).unwrap_or_default();
    DocumentStart {
        patient: args.patient.patient.clone(),
        r#type: args.r#type.clone(),
        file_name: file_name.to_string_lossy().into_owned(),
        size_bytes,
        content_type: args.content_type.clone(),
        title: args.title.clone(),
        author: args.author.clone(),
    }
}

async fn send(
    parts: mpsc::Sender<DocumentPart>,
    start: DocumentStart,
    file: std::path::PathBuf,
    bar: Bar,
) -> Result<(), Failure> {
    let part = |part| DocumentPart { part: Some(part) };
    // A closed channel means that the daemon has answered already; its answer says why.
    if parts.send(part(Part::Start(start))).await.is_err() {
        return Ok(());
    }
    let mut pieces = inputs::Pieces::open(&file).await?;
    while let Some(data) = pieces.next().await? {
        let step = u64::try_from(data.len()).unwrap_or(u64::MAX);
        if parts.send(part(Part::Data(data))).await.is_err() {
            return Ok(());
        }
        bar.add(step);
    }
    Ok(())
}
