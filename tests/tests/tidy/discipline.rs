//! Small rules about single lines.

use crate::tree::{File, Finding};

/// Marks of unfinished work name an issue, so that somebody can find out whether they still hold.
pub(crate) fn check_marks(file: &File) -> Vec<Finding> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    lines_where(file, "names no issue (#NUMBER)", |line| {
        words(line).any(|word| marks.contains(&word)) && !names_issue(line)
    })
}

/// Ignored tests lie about what is tested, and a sleep is either too short or too long.
pub(crate) fn check_tests(file: &File) -> Vec<Finding> {
    let ignored = concat!("#[ig", "nore");
    let mut found = lines_where(file, "ignores a test", |line| line.contains(ignored));
    if file.path.starts_with("tests/tests/e2e") {
        let sleep = concat!("sle", "ep(");
        found.extend(lines_where(file, "sleeps", |line| line.contains(sleep)));
    }
    found
}

/// Signed bodies have one encoding: no maps, whose order is open, and no floats.
pub(crate) fn check_body(path: &str, text: &str) -> Vec<Finding> {
    let banned = ["float", "double", "map", "group"];
    lines_where(&File::new(path, text), "has no single encoding", |line| {
        let code = line.split("//").next().unwrap_or_default();
        let mut words = words(code);
        words.next().is_some_and(|first| {
            let kind = if first == "repeated" || first == "optional" {
                words.next().unwrap_or_default()
            } else {
                first
            };
            banned.contains(&kind)
        })
    })
}

/// There is no option that turns verification off, so nobody can be talked into using it.
pub(crate) fn check_switches(file: &File) -> Vec<Finding> {
    let prefixes = ["skip", "no", "disable", "insecure", "without", "allow"];
    let objects = [
        "verify",
        "verification",
        "signature",
        "signatures",
        "tls",
        "audit",
    ];
    lines_where(file, "would turn verification off", |line| {
        let line = line.trim_start();
        !line.starts_with("//")
            && !line.starts_with("fn ")
            && words(line).any(|word| {
                let mut parts = word.split('_');
                let first = parts.next().unwrap_or_default();
                let second = parts.next().unwrap_or_default();
                prefixes.contains(&first) && objects.contains(&second) && parts.next().is_none()
            })
    })
}

/// A hash that can be foreseen lets whoever chooses the keys put them all into one place. Ordered maps,
/// and the standard library's with its secret seed, do not.
pub(crate) fn check_hashers(file: &File) -> Vec<Finding> {
    let foreseen = [
        "FxHashMap",
        "FxHashSet",
        "rustc_hash",
        "hashbrown",
        "ahash",
        "BuildHasherDefault",
        "BuildHasher",
        "with_hasher",
    ];
    if file.path.starts_with("tests/tests/tidy") {
        return Vec::new();
    }
    lines_where(
        file,
        "keys a table by a hash that can be foreseen",
        |line| words(line).any(|word| foreseen.contains(&word)),
    )
}

fn lines_where(file: &File, what: &str, wrong: impl Fn(&str) -> bool) -> Vec<Finding> {
    file.text
        .lines()
        .enumerate()
        .filter(|(_, line)| wrong(line))
        .map(|(at, line)| {
            Finding::new(
                format!("{}:{}", file.path, at + 1),
                format!("{what}: {}", line.trim()),
            )
        })
        .collect()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

fn names_issue(line: &str) -> bool {
    line.split('#')
        .skip(1)
        .any(|after| after.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_without_an_issue_is_found() {
        let mark = concat!("// TO", "DO");
        let findings = |text: String| check_marks(&File::new("a.rs", &text)).len();

        assert_eq!(findings(format!("{mark}(#12): later")), 0);
        assert_eq!(findings(format!("{mark}: later")), 1);
        assert_eq!(findings(format!("{}: later", concat!("// FIX", "ME"))), 1);
    }

    #[test]
    fn an_ignored_test_and_a_sleeping_one_are_found() {
        let ignored = concat!("#[ig", "nore]\nfn f() {}");
        let sleeps = concat!("std::thread::sle", "ep(second);");
        let findings = |path: &str, text: &str| check_tests(&File::new(path, text)).len();

        assert_eq!(findings("node/src/net/mod.rs", ignored), 1);
        assert_eq!(findings("tests/tests/e2e/story.rs", sleeps), 1);
        assert_eq!(findings("cli/src/demo.rs", sleeps), 0);
    }

    #[test]
    fn a_body_with_two_encodings_is_found() {
        let findings = |text: &str| check_body("body.proto", text).len();

        assert_eq!(
            findings("  string name = 1; // no map or float\n  bytes map = 2;"),
            0
        );
        assert_eq!(findings("  double score = 1;"), 1);
        assert_eq!(findings("  repeated float score = 1;"), 1);
        assert_eq!(findings("  map<string, bytes> names = 1;"), 1);
    }

    #[test]
    fn a_table_with_a_hash_of_its_own_is_found() {
        let findings = |text: &str| check_hashers(&File::new("node/src/a.rs", text)).len();

        assert_eq!(findings("BTreeMap::new(); HashMap::new();"), 0);
        assert_eq!(findings("FxHashMap::default();"), 1);
        assert_eq!(findings("HashMap::with_hasher(seed);"), 1);
    }

    #[test]
    fn a_switch_that_turns_verification_off_is_found() {
        let findings = |text: &str| check_switches(&File::new("a.rs", text)).len();

        assert_eq!(
            findings("let verified = verify(bytes);\n// skips no verification"),
            0
        );
        assert_eq!(findings(concat!("    skip", "_verify: Option<String>,")), 1);
        assert_eq!(findings(concat!("if config.insecure", "_tls {")), 1);
    }
}
