//! The words of the command line.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

/// A name, and what is done with an input.
type Target = (&'static str, fn(&[u8]));

/// The targets of this file.
pub(crate) const TARGETS: &[Target] = &[("words", words)];

/// A word a line.
fn words(data: &[u8]) {
    let words = data.split(|byte| *byte == b'\n').map(OsStr::from_bytes);
    let words: Vec<OsString> = [OsStr::new("chartmesh")]
        .into_iter()
        .chain(words)
        .map(OsStr::to_owned)
        .collect();
    let understood = chartmesh_cli::understands(words.clone());
    assert_eq!(
        chartmesh_cli::understands(words),
        understood,
        "the same words are the same command"
    );
}
