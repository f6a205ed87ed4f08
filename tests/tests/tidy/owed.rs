//! Tests that must exist by name: for every limit, and for every promise.
//!
//! What is owed stands on a list. A name that is neither tested nor listed is red, and so is a listed
//! name that is tested or gone, so that a list only shrinks.

use std::{collections::BTreeSet, fs};

use syn::{
    Item, ItemFn,
    visit::{self, Visit},
};

use crate::{
    rust,
    tree::{File, Finding, Tree},
};

/// The constants of `limits.rs`.
pub(crate) fn limits(text: &str) -> Vec<String> {
    rust::parse("limits.rs", text)
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Const(item) => Some(item.ident.to_string()),
            _ => None,
        })
        .collect()
}

/// The names in the last column of the table of promises.
pub(crate) fn promises(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| {
            line.strip_prefix("| ")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
        .filter_map(|line| line.rsplit('`').nth(1))
        .map(str::to_owned)
        .collect()
}

/// The names of tests in the table of attacks, each with the attack it stands for.
pub(crate) fn attacks(text: &str) -> Vec<(String, String)> {
    let table = text.split("\n## Attacks").nth(1).unwrap_or("");
    let table = table.split("\n## ").next().unwrap_or("");
    let mut found = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let columns: Vec<&str> = line.trim_matches('|').split('|').collect();
        let [attack, tests] = columns[..] else {
            continue;
        };
        // Odd pieces stand between back-ticks.
        let names = tests.split('`').skip(1).step_by(2);
        found.extend(names.map(|name| (attack.trim().to_owned(), name.to_owned())));
    }
    found
}

/// Every word that stands in a test.
pub(crate) fn words_of_tests<'a>(files: impl Iterator<Item = &'a File>) -> BTreeSet<String> {
    let marker = concat!("#[cfg", "(test)]");
    let mut found = BTreeSet::new();
    for file in files {
        let whole = file.path.contains("/tests/")
            || file.path.ends_with("/tests.rs")
            || file.path.ends_with("/suite.rs");
        let from = if whole {
            Some(0)
        } else {
            file.text.find(marker)
        };
        let Some(from) = from else { continue };
        // A rule that lists names must not count as their test.
        if file.path.starts_with("tests/tests/tidy") {
            continue;
        }
        let words = file.text[from..].split(|c: char| !c.is_alphanumeric() && c != '_');
        found.extend(words.map(str::to_owned));
    }
    found
}

/// The name of every test function.
pub(crate) fn functions<'a>(files: impl Iterator<Item = &'a File>) -> BTreeSet<String> {
    let mut names = Names::default();
    for file in files {
        names.visit_file(&rust::parse(&file.path, &file.text));
    }
    names.0
}

#[derive(Default)]
struct Names(BTreeSet<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        let test = item.attrs.iter().any(|attribute| {
            let last = attribute.path().segments.last();
            last.is_some_and(|last| last.ident == "test")
        });
        if test {
            self.0.insert(item.sig.ident.to_string());
        }
        visit::visit_item_fn(self, item);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        // proptest! holds test functions that syn sees as tokens only.
        let tokens = call.tokens.to_string();
        let mut words = tokens.split_whitespace();
        while let Some(word) = words.next() {
            if word == "fn"
                && let Some(name) = words.next()
            {
                let end = name.find('(').unwrap_or(name.len());
                self.0.insert(name[..end].to_owned());
            }
        }
    }
}

/// Compares names with the list of what is owed; with `CHARTMESH_TIDY_BLESS` strikes what is paid.
pub(crate) fn settle(
    tree: &Tree,
    list: &str,
    names: &[String],
    paid: impl Fn(&str) -> bool,
) -> Vec<Finding> {
    let text = tree.text(list);
    if std::env::var_os("CHARTMESH_TIDY_BLESS").is_some() {
        let kept = strike(text, names, &paid);
        if kept != text {
            fs::write(tree.root().join(list), &kept).expect("the list can be written");
        }
        return compare(list, &kept, names, paid);
    }
    compare(list, text, names, paid)
}

fn compare(list: &str, text: &str, names: &[String], paid: impl Fn(&str) -> bool) -> Vec<Finding> {
    let owed: Vec<&str> = entries(text).collect();
    let mut found = Vec::new();
    for name in names {
        if !paid(name) && !owed.contains(&name.as_str()) {
            found.push(Finding::new(list, format!("no test for `{name}`")));
        }
    }
    for name in owed {
        if paid(name) || !names.iter().any(|known| known == name) {
            found.push(Finding::new(
                list,
                format!("`{name}` is owed no more; strike it (CHARTMESH_TIDY_BLESS=1)"),
            ));
        }
    }
    found
}

fn strike(text: &str, names: &[String], paid: impl Fn(&str) -> bool) -> String {
    text.lines()
        .filter(|line| {
            line.starts_with('#')
                || line.is_empty()
                || (!paid(line.trim()) && names.iter().any(|known| known == line.trim()))
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_name_is_tested_or_owed_and_never_both() {
        let paid = |name: &str| name == "tested";
        let findings = |list: &str| compare("list", list, &names(&["tested", "open"]), paid).len();

        assert_eq!(findings("# why\nopen\n"), 0);
        assert_eq!(findings(""), 1, "neither tested nor owed");
        assert_eq!(findings("open\ntested\n"), 1, "paid and still owed");
        assert_eq!(findings("open\ngone\n"), 1, "owed for nothing");
    }

    #[test]
    fn blessing_strikes_and_never_adds() {
        let paid = |name: &str| name == "tested";

        let kept = strike(
            "# why\nopen\ntested\ngone\n",
            &names(&["tested", "open", "other"]),
            paid,
        );

        assert_eq!(kept, "# why\nopen\n");
    }

    #[test]
    fn words_and_functions_of_tests_are_told_from_code() {
        let code = "const A: u8 = LIMIT_A;\n";
        let tests = concat!(
            "#[cfg",
            "(test)]\nmod tests { #[test] fn it_holds() { LIMIT_B; } }"
        );
        let file = File::new("node/core/src/a.rs", &format!("{code}{tests}"));

        let words = words_of_tests([&file].into_iter());
        let functions = functions([&file].into_iter());

        assert!(!words.contains("LIMIT_A"));
        assert!(words.contains("LIMIT_B"));
        assert!(functions.contains("it_holds"));
    }

    #[test]
    fn the_tests_of_each_attack_are_read() {
        let text = "# S\n| no | `a` |\n## Attacks, and so on\n\nsee `b`\n| attack | tests |\n|---|---|\n| one | `c`, `d` |\n| two | `e` |\n## Else\n| x | `f` |\n";

        let names: Vec<String> = attacks(text).into_iter().map(|(_, name)| name).collect();

        assert_eq!(names, ["c", "d", "e"]);
    }

    #[test]
    fn limits_and_promises_are_read() {
        let table = "| # | promise |\n|---|---|\n| 1 | `a` and b | `first_test` |\n| 2 | c | `second_test` |\n";

        assert_eq!(
            limits("pub const A: u8 = 1; const B: u8 = 2;"),
            names(&["A", "B"])
        );
        assert_eq!(promises(table), names(&["first_test", "second_test"]));
    }
}
