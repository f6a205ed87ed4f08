//! Whatever decodes bytes or texts is fuzzed, or it is said why nobody else's bytes reach it.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{File, Finding};

pub(crate) const LIST: &str = "tests/fuzz/decoders.txt";
const CORPUS: &str = "tests/fuzz/corpus/";

/// How a line looks that decodes. What escapes this is found by a reviewer only.
const SIGNS: [&str; 10] = [
    "fn decode",
    "fn parse",
    "fn from_str(",
    "fn try_from(",
    "serde_json::from_",
    "toml::from_str",
    "::from_utf8",
    ".parse()",
    ".parse::<",
    "::decode(",
];

/// Checks the list against the files that decode, and against the corpora that are there.
pub(crate) fn check<'a>(
    list: &str,
    product: impl Iterator<Item = &'a File>,
    paths: impl Iterator<Item = &'a str>,
) -> Vec<Finding> {
    let owed = |what: String| Finding::new(LIST, what);
    let listed = lines(list);
    let corpora: BTreeSet<&str> = paths.filter_map(corpus_of).collect();
    let (mut found, mut exist) = (Vec::new(), BTreeSet::new());
    for file in product {
        exist.insert(file.path.as_str());
        if decodes(&file.text) && !listed.contains_key(file.path.as_str()) {
            found.push(owed(format!("{} decodes and is not listed", file.path)));
        }
    }
    let mut reached = BTreeSet::new();
    for (path, targets) in &listed {
        if !exist.contains(path) {
            found.push(owed(format!("{path} does not exist")));
        }
        match targets.split_once("- ") {
            Some(("", reason)) if !reason.trim().is_empty() => {}
            Some(_) => found.push(owed(format!("{path}: a reason, or targets"))),
            None if targets.is_empty() => found.push(owed(format!("{path} has no target"))),
            None => reached.extend(targets.split_whitespace()),
        }
    }
    let missing = reached.difference(&corpora);
    found.extend(missing.map(|name| owed(format!("the target {name} has no corpus"))));
    let idle = corpora.difference(&reached);
    found.extend(idle.map(|name| owed(format!("the corpus {name} reaches no decoder"))));
    found
}

/// Path, and what follows it.
fn lines(list: &str) -> BTreeMap<&str, &str> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let split = |line| str::split_once(line, ' ').unwrap_or((line, ""));
    lines
        .map(split)
        .map(|(path, rest)| (path, rest.trim()))
        .collect()
}

fn corpus_of(path: &str) -> Option<&str> {
    let (name, _) = path.strip_prefix(CORPUS)?.split_once('/')?;
    Some(name)
}

fn decodes(text: &str) -> bool {
    let tests = text.find(concat!("#[cfg", "(test)]"));
    let code = &text[..tests.unwrap_or(text.len())];
    let mut lines = code.lines().map(str::trim_start);
    lines.any(|line| !line.starts_with("//") && SIGNS.iter().any(|sign| line.contains(sign)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(list: &str, text: &str, corpus: &str) -> usize {
        let file = File::new("node/src/a.rs", text);
        let paths = [format!("{CORPUS}{corpus}/seed")];
        check(list, [&file].into_iter(), paths.iter().map(String::as_str)).len()
    }

    #[test]
    fn a_decoder_without_target_is_found() {
        let (reads, plain) = ("fn parse(text: &str) {}", "fn plain() {}");
        assert_eq!(findings("node/src/a.rs  one\n", reads, "one"), 0);

        assert_eq!(findings("# none\nnode/src/b.rs one\n", plain, "one"), 1);
        assert_eq!(findings("", reads, "one"), 2);
        assert_eq!(findings("node/src/a.rs\n", reads, "one"), 2);
        assert_eq!(findings("node/src/a.rs two\n", reads, "one"), 2);
        assert_eq!(findings("node/src/a.rs -\n", reads, "one"), 2);
        assert_eq!(findings("node/src/a.rs - since\n", reads, "one"), 1);
    }
}
