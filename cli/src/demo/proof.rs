//! The end: what both logs say, and that a changed byte does not go unnoticed.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use crate::exit::Failure;

use super::{
    actor::Actor,
    consenting::{Held, Read},
    places::BRIGID,
    seen::{Seen, count, ensure, list, text, unlike},
    stage::Stage,
};

/// Each document that left is in the accounting of its holder and in the log of Harbor.
///
/// # Errors
/// The two ends differ.
pub(super) async fn accounting(
    stage: &Stage,
    at_maple: &Held,
    at_brigid: &Held,
    read: &Read,
) -> Result<Seen<()>, Failure> {
    let log = stage.harbor().does(&["audit", "list"]).await?;
    let received: BTreeSet<&str> = list(&log, "entries")?
        .iter()
        .filter_map(|entry| entry["disclosure"].as_str())
        .collect();
    let mut total = 0;
    for (holder, held, fetched) in [
        (stage.maple(), at_maple, &read.maple),
        (stage.brigid(), at_brigid, &read.brigid),
    ] {
        let given = given(stage, holder, &held.patient).await?;
        ensure!(
            given == *fetched,
            format!(
                "{} accounts for {} documents, Harbor fetched {}",
                holder.place.name,
                given.len(),
                fetched.len()
            )
        );
        ensure!(
            fetched.iter().all(|id| received.contains(id.as_str())),
            format!("Harbor's log lacks a document of {}", holder.place.name)
        );
        total += given.len();
    }
    Ok(Seen::new(
        format!(
            "{total} documents given and received, the same at both ends: date, recipient with address, purpose, description"
        ),
        (),
    ))
}

/// Ids of the documents a holder accounts for as given to Harbor.
async fn given(stage: &Stage, holder: &Actor, patient: &str) -> Result<BTreeSet<String>, Failure> {
    let reply = holder
        .does(&["audit", "accounting", "--patient", patient])
        .await?;
    let harbor = stage.harbor();
    let mut ids = BTreeSet::new();
    for line in list(&reply, "disclosures")? {
        if line["document"].as_str().is_none_or(str::is_empty) {
            continue;
        }
        let recipient = &line["recipient"];
        ensure!(
            recipient["node"] == harbor.node.as_str()
                && recipient["organization"] == harbor.place.name.as_str()
                && recipient["address"] == harbor.place.address.as_str(),
            format!("{}: the recipient is {recipient}", holder.place.name)
        );
        let whole = ["date", "purpose", "description"]
            .iter()
            .all(|name| line[name].as_str().is_some_and(|value| !value.is_empty()));
        ensure!(
            whole,
            format!("{}: a line of the accounting has gaps", holder.place.name)
        );
        ids.insert(text(line, "disclosure")?.to_owned());
    }
    Ok(ids)
}

/// All logs verify; in a copy of a stopped node's directory one changed byte does not pass.
///
/// # Errors
/// A log does not hold, or the changed one does.
pub(super) async fn verified(stage: &mut Stage) -> Result<Seen<()>, Failure> {
    let mut entries = 0;
    for actor in &stage.actors {
        let reply = actor.does(&["audit", "verify"]).await?;
        ensure!(
            reply["verified"] == true,
            format!("{}: {reply}", actor.place.name)
        );
        entries += count(&reply, "entries")?;
    }
    stage.actors[BRIGID].stop().await?;
    let brigid = stage.brigid();
    let copy = stage.file("brigid-copy");
    copy_all(&brigid.directory, &copy).map_err(|error| Failure::file("copied", &copy, &error))?;
    let whole = brigid.tries_in(&copy, &["audit", "verify"], b"").await?;
    ensure!(
        whole.code == Some(0),
        format!("the unchanged copy does not verify\n{}", whole.words.trim())
    );
    let (file, offset) = change_one_byte(&copy.join("journal"))
        .map_err(|error| Failure::file("changed", &copy, &error))?;
    let broken = brigid.tries_in(&copy, &["audit", "verify"], b"").await?;
    ensure!(
        broken.code == Some(6) && broken.reply["verified"] != true,
        format!(
            "byte {offset} of {} changed, and nobody noticed",
            file.display()
        )
    );
    let problem = list(&broken.reply, "problems")
        .ok()
        .and_then(|problems| problems.first()?.as_str())
        .unwrap_or("the node refuses to open it");
    Ok(Seen::new(
        format!(
            "{entries} entries in {} logs verify; in a copy byte {offset} of the journal was changed: {problem}",
            stage.actors.len()
        ),
        (),
    ))
}

/// Copies folders and files; sockets stay behind.
fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Changes one bit in the middle of the largest file of a folder.
fn change_one_byte(folder: &Path) -> io::Result<(PathBuf, usize)> {
    let mut largest: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_file() {
            largest = largest.max(Some((found.len(), entry.path())));
        }
    }
    let (_, path) = largest.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let mut bytes = fs::read(&path)?;
    let middle = bytes.len() / 2;
    let byte = bytes
        .get_mut(middle)
        .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    *byte ^= 1;
    fs::write(&path, bytes)?;
    Ok((path, middle))
}

/// What a failed story needs to be looked into.
pub(super) fn interrupted() -> Failure {
    unlike("interrupted by a signal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_until_one_byte_is_changed() {
        let room = tempfile::tempdir().expect("a folder");
        let from = room.path().join("node");
        fs::create_dir_all(from.join("journal")).expect("folders");
        fs::write(from.join("journal/0"), b"small").expect("written");
        fs::write(from.join("journal/1"), b"the larger file").expect("written");
        let socket = std::os::unix::net::UnixListener::bind(from.join("admin.sock"));
        let to = room.path().join("copy");

        copy_all(&from, &to).expect("copied");

        assert!(socket.is_ok() && !to.join("admin.sock").exists());
        assert_eq!(
            fs::read(to.join("journal/1")).expect("read"),
            b"the larger file"
        );
        let (path, at) = change_one_byte(&to.join("journal")).expect("changed");
        assert_eq!(path, to.join("journal/1"));
        let (before, after) = (
            fs::read(from.join("journal/1")).expect("read"),
            fs::read(&path).expect("read"),
        );
        let differing: Vec<usize> = (0..before.len())
            .filter(|&at| before[at] != after[at])
            .collect();
        assert_eq!(differing, [at]);
    }
}
