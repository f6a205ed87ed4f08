//! `backup`, `recovery-sheet` and `restore`.

use std::path::Path;

use chartmesh_proto::admin::{
    BackupReply, BackupRequest, Empty, RecoverySheetReply, RestoreReply, RestoreRequest,
};

use crate::{
    args::{BackupArgs, PassphraseFd, RestoreArgs, SheetArgs},
    ask,
    connect::Node,
    exit::{Exit, Failure},
    print::Screen,
    text,
};

/// Saves the node.
///
/// # Errors
/// The daemon refuses; or a document is missing, after the reply was printed.
pub(crate) async fn backup(args: BackupArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let path = |path: Option<&Path>| path.map_or(Ok(String::new()), absolute);
    let request = BackupRequest {
        file: path(args.file.as_deref())?,
        folder: path(args.to.as_deref())?,
        keep: args.keep.unwrap_or(0),
    };
    let reply = node
        .call(async |mut admin| Ok(admin.backup(request).await?.into_inner()))
        .await?;
    screen.reply(&reply, saved)?;
    if reply.absent.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        "INTEGRITY",
        format!(
            "the backup is whole but for {}, whose file is damaged or missing",
            text::count(reply.absent.len() as u64, "document")
        ),
        "keep the older backups, which may have it; see chartmesh doctor",
    ))
}

/// Prints a recovery sheet.
///
/// # Errors
/// The user does not go on, or the daemon refuses.
pub(crate) async fn sheet(args: &SheetArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let reply = node
        .call_alone(args.passphrase, async |mut admin| {
            Ok(admin.recovery_sheet(Empty {}).await?.into_inner())
        })
        .await?;
    if let Some(before) = &reply.replaces {
        screen.note(&format!(
            "backups made until now are opened by sheet {} only: keep it as long as them",
            grouped(before)
        ));
    }
    screen.reply(&reply, printed)
}

/// Brings a node back.
///
/// # Errors
/// The secret cannot be read, or the daemon refuses.
pub(crate) async fn restore(
    args: RestoreArgs,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    let secret = match (args.sheet_fd, &args.sheet) {
        (Some(number), _) => ask::passphrase_from(number)?,
        (None, Some(path)) => ask::recovery_secret_in(path)?,
        (None, None) => ask::recovery_secret()?,
    };
    let passphrase = match (args.passphrase_fd, args.passphrase) {
        (Some(number), _) => ask::passphrase_from(number)?,
        (None, true) => ask::passphrase_twice()?,
        (None, false) => String::new(),
    };
    let request = RestoreRequest {
        file: absolute(&args.file)?,
        secret,
        passphrase,
        key_file: args
            .key_file
            .as_deref()
            .map_or(Ok(String::new()), absolute)?,
    };
    let reply = node
        .call_alone(PassphraseFd::default(), async |mut admin| {
            Ok(admin.restore(request).await?.into_inner())
        })
        .await?;
    for warning in &reply.warnings {
        screen.note(warning);
    }
    screen.reply(&reply, restored)
}

fn saved(reply: &BackupReply) -> String {
    let mut lines = vec![
        ("file", reply.file.clone()),
        ("bytes", reply.bytes.to_string()),
        ("sha256", reply.sha256.clone()),
        (
            "position",
            position(reply.position, reply.recorded.as_ref()),
        ),
        ("documents", reply.documents.to_string()),
        ("verified", "read back and found whole".to_owned()),
        (
            "opened by",
            format!("recovery sheet {}", grouped(&reply.sheet)),
        ),
    ];
    lines.extend(reply.absent.iter().map(|id| ("MISSING", id.clone())));
    lines.extend(reply.removed.iter().map(|path| ("removed", path.clone())));
    text::lines(view(&lines))
}

fn restored(reply: &RestoreReply) -> String {
    let mut lines = vec![
        ("node", reply.node.clone()),
        ("member", reply.member.clone()),
        ("organization", reply.organization.clone()),
        (
            "comes back to",
            position(reply.position, reply.recorded.as_ref()),
        ),
        ("backup made", reply.made.clone()),
        ("documents", reply.documents.to_string()),
        ("verified", "opened and read again".to_owned()),
        (
            "lost",
            "what was recorded after that: record revoked consents again before all else, then chartmesh doctor --accept-restore; until then the node speaks to no other"
                .to_owned(),
        ),
    ];
    lines.extend(reply.absent.iter().map(|id| ("MISSING", id.clone())));
    text::lines(view(&lines))
}

fn position(position: u64, recorded: Option<&String>) -> String {
    recorded.map_or_else(
        || "before the first record".to_owned(),
        |recorded| format!("record {position}, of {recorded}"),
    )
}

fn view<'a>(lines: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    lines
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// A sheet to print.
fn printed(reply: &RecoverySheetReply) -> String {
    let groups: Vec<&str> = reply.secret.split('-').collect();
    let row = |from: usize| groups.get(from..from + 4).unwrap_or_default().join("   ");
    let organization = text::escape(&reply.organization);
    let before = reply.replaces.as_ref().map_or_else(String::new, |before| {
        format!(
            "\n  Backups made before it are opened by sheet {} only.\n",
            grouped(before)
        )
    });
    format!(
        "\n  CHARTMESH RECOVERY SHEET   {sheet}\n\n  \
           {organization}\n  \
           node    {node}\n  \
           member  {member}\n  \
           made    {made}\n\n  \
           SECRET\n\n      {first}\n      {second}\n\n  \
           Whoever has this sheet and a backup has every record. Keep it away from both.\n  \
           It opens the backups made from {made} until the next sheet.\n{before}\n  \
           To come back, on a machine with chartmesh and the backup file:\n\n      \
               chartmesh --node DIR restore FILE\n\n  \
           and type the secret. The last character of each group checks it; capitals\n  \
           do not matter, and O is 0, I and L are 1.\n\n",
        sheet = grouped(&reply.sheet),
        node = text::escape(&reply.node),
        member = text::escape(&reply.member),
        made = text::escape(&reply.made),
        first = row(0),
        second = row(4),
    )
}

/// The name of a sheet as a person compares it.
fn grouped(sheet: &str) -> String {
    let symbols: Vec<char> = sheet.chars().filter(char::is_ascii_hexdigit).collect();
    let groups: Vec<String> = symbols
        .chunks(4)
        .map(|group| group.iter().collect())
        .collect();
    groups.join(" ")
}

/// The daemon may run in another working directory.
fn absolute(path: &Path) -> Result<String, Failure> {
    let whole = std::path::absolute(path).map_err(|error| Failure::file("used", path, &error))?;
    whole
        .into_os_string()
        .into_string()
        .map_err(|_| Failure::usage("the path is not UTF-8", "choose another"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_shows_the_secret_in_its_groups_and_commands_no_terminal() {
        let reply = RecoverySheetReply {
            secret: "AAAA1-BBBB2-CCCC3-DDDD4-EEEE5-FFFF6-GGGG7-HHHH8".to_owned(),
            sheet: "0123456789abcdef".to_owned(),
            organization: "Maple\u{1b}".to_owned(),
            replaces: Some("fedcba9876543210".to_owned()),
            ..RecoverySheetReply::default()
        };

        let sheet = printed(&reply);

        assert!(sheet.contains("AAAA1   BBBB2   CCCC3   DDDD4\n"), "{sheet}");
        assert!(sheet.contains("EEEE5   FFFF6   GGGG7   HHHH8\n"), "{sheet}");
        assert!(sheet.contains("0123 4567 89ab cdef"), "{sheet}");
        assert!(sheet.contains("sheet fedc ba98 7654 3210 only"), "{sheet}");
        assert!(!sheet.contains('\u{1b}'), "{sheet}");
    }
}
