//! `documents`.

use chartmesh_proto::admin::{DocumentsReply, DocumentsRequest};

use crate::{
    args::DocumentsArgs,
    connect::Node,
    exit::Failure,
    print::Screen,
    text::{self, Table},
};

/// Lists what the holder may show us.
///
/// # Errors
/// Denied, or the holder does not answer.
pub(crate) async fn run(args: DocumentsArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = DocumentsRequest {
        handle: args.handle,
        purpose: args.purpose,
        r#type: args.r#type,
        since: args.since.unwrap_or_default(),
        until: args.until.unwrap_or_default(),
        limit: args.limit,
        break_glass: args.break_glass.unwrap_or_default(),
    };
    let reply = node
        .call(async |mut admin| Ok(admin.documents(request).await?.into_inner()))
        .await?;
    screen.reply(&reply, table)?;
    if !reply.complete {
        screen.note("there are more; raise --limit, or narrow by --type, --since or --until");
    }
    Ok(())
}

fn table(reply: &DocumentsReply) -> String {
    let mut table = Table::new([
        "DOCUMENT", "DATE", "TYPE", "TITLE", "STATUS", "AUTHOR", "SIZE", "CONTENT", "LABELS",
    ]);
    for document in &reply.documents {
        let kind = document.r#type.as_ref();
        let author = match (
            document.author.as_str(),
            document.author_organization.as_str(),
        ) {
            (author, "") => author.to_owned(),
            ("", organization) => organization.to_owned(),
            (author, organization) => format!("{author}, {organization}"),
        };
        table.row([
            &document.id,
            &text::date(&document.date),
            kind.map_or("", |kind| kind.code.as_str()),
            &document.title,
            &document.status,
            &author,
            &document
                .size_bytes
                .map_or_else(|| "on demand".to_owned(), text::bytes),
            &document.content_type,
            &document.labels.join(" "),
        ]);
    }
    table.or("no documents that we may see")
}
