//! `audit/checkpoints`: every checkpoint this node signed, as text, for whoever has the disk and no key.
//!
//! Derived from the journal, so it may be short of it. It may never say anything else, or more: then the
//! journal is not the one that was signed, and the file is left as it is for whoever investigates.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use chartmesh_core::{flows::Node, records::StoreError, types::Code};

use super::BootError;
use crate::{store::OpenError, world::RealWorld};

const NAME: &str = "audit/checkpoints";

/// Compares the file with the log, and stops the node where they contradict each other; adds what the
/// file lacks. A file that can be neither read nor written keeps nobody from starting.
pub(super) async fn reconcile(folder: &Path, node: &Node<RealWorld>) {
    if let Err(error) = compare(folder, node).await {
        tracing::warn!(code = %error.code(), "audit/checkpoints is not compared with the journal");
    }
}

async fn compare(folder: &Path, node: &Node<RealWorld>) -> Result<(), BootError> {
    if node.fold().problem().is_some() {
        return Ok(());
    }
    let text = read(folder)?;
    let (notes, _) = whole(&text);
    if !node.bears_out(&notes) {
        let position = node.world().store().head().position;
        node.fold().halt(StoreError::Integrity { position });
        tracing::error!(
            code = %Code::Integrity,
            "audit/checkpoints and journal disagree: the log is not the one that was signed"
        );
        return Ok(());
    }
    complete(folder, node).await
}

/// Adds the checkpoints that the file lacks, durably.
///
/// # Errors
/// [`BootError`] where the file cannot be read or written, or the journal not be read.
pub async fn complete(folder: &Path, node: &Node<RealWorld>) -> Result<(), BootError> {
    let text = read(folder)?;
    let (notes, end) = whole(&text);
    let mut number = notes.len();
    let mut missing = String::new();
    while number < node.checkpoints() {
        let next = node.checkpoints_from(number).await;
        let next = next.map_err(OpenError::from)?;
        number += next.len();
        for note in next {
            missing += &note;
            missing.push('\n');
        }
    }
    // What a crash left of an entry is part of one that comes whole.
    if missing.is_empty() && end == text.len() {
        return Ok(());
    }
    append(folder, end, &missing).map_err(|error| BootError::File(error.kind()))
}

fn read(folder: &Path) -> Result<String, BootError> {
    match std::fs::read(folder.join(NAME)) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(BootError::File(error.kind())),
    }
}

fn append(folder: &Path, end: usize, missing: &str) -> std::io::Result<()> {
    let path = folder.join(NAME);
    let parent = path.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent)?;
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).mode(0o600).open(&path)?;
    file.set_len(end as u64)?;
    file.write_all(missing.as_bytes())?;
    file.sync_all()?;
    File::open(parent)?.sync_all()
}

/// The entries that are whole, and where the last of them ends: text, an empty line, signatures, an empty line.
fn whole(text: &str) -> (Vec<&str>, usize) {
    let mut notes = Vec::new();
    let mut begin = 0;
    let mut gaps = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        gaps += usize::from(line == "\n");
        if gaps == 2 {
            notes.push(&text[begin..at - 1]);
            (begin, gaps) = (at, 0);
        }
    }
    (notes, begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_left_of_an_entry_is_no_entry() {
        let one = "origin\n64\nroot\n\n\u{2014} origin sig\n";
        let file = format!("{one}\n{one}\n");

        assert_eq!(whole(&file), (vec![one, one], file.len()));
        for cut in one.len() + 1..file.len() {
            if file.is_char_boundary(cut) {
                assert_eq!(whole(&file[..cut]), (vec![one], one.len() + 1), "{cut}");
            }
        }
        assert_eq!(whole(""), (Vec::new(), 0));
    }
}
