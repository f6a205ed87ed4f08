//! Import order: inside a crate a module may use those above it and none below.

use syn::Item;

use crate::{
    rust,
    tree::{File, Finding},
};

/// The modules of a `lib.rs`, in order.
pub(crate) fn modules(lib: &str) -> Vec<String> {
    rust::parse("lib.rs", lib)
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Mod(item) => Some(item.ident.to_string()),
            _ => None,
        })
        .collect()
}

/// Checks one file of a crate whose sources start at `crate_root`.
pub(crate) fn check(crate_root: &str, order: &[String], file: &File) -> Vec<Finding> {
    let Some(home) = home(crate_root, &file.path) else {
        return Vec::new();
    };
    let Some(own) = order.iter().position(|module| *module == home[0]) else {
        return vec![Finding::new(
            &file.path,
            format!("`{}` is no module of lib.rs", home[0]),
        )];
    };
    let mut found = Vec::new();
    for named in rust::named(&file.path, &file.text) {
        let Some(used) = top_module(&home, &named.inside, &named.segments) else {
            continue;
        };
        match order.iter().position(|module| *module == used) {
            Some(at) if at <= own => {}
            Some(_) => found.push(Finding::new(
                &file.path,
                format!("`{}` stands below `{}`", named.text(), home[0]),
            )),
            None => found.push(Finding::new(
                &file.path,
                format!("`{}` names no module of lib.rs", named.text()),
            )),
        }
    }
    found
}

/// The module path of a file; none for `lib.rs` and `main.rs`, which may name everything.
fn home(crate_root: &str, path: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix(crate_root)?.strip_prefix('/')?;
    let mut parts: Vec<String> = inside
        .strip_suffix(".rs")?
        .split('/')
        .map(str::to_owned)
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    (parts != ["lib"] && parts != ["main"]).then_some(parts)
}

/// The top-level module that a path leads to, where it is a path within the crate.
fn top_module(home: &[String], inside: &[String], segments: &[String]) -> Option<String> {
    let mut at: Vec<&str> = home.iter().chain(inside).map(String::as_str).collect();
    let mut rest = segments.iter().map(String::as_str).peekable();
    match rest.next()? {
        "crate" => at.clear(),
        "super" => {
            at.pop();
            while rest.next_if_eq(&"super").is_some() {
                at.pop();
            }
        }
        "self" => {}
        _ => return None,
    }
    at.extend(rest);
    at.first()
        .filter(|first| **first != "*" && **first != "self")
        .map(|first| (*first).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "node/core/src";

    fn findings(path: &str, text: &str) -> usize {
        let order = modules("pub mod types; mod policy; pub mod flows;");
        check(ROOT, &order, &File::new(path, text)).len()
    }

    #[test]
    fn a_module_uses_those_above_it_and_itself() {
        let path = "node/core/src/policy/decide.rs";

        assert_eq!(
            findings(
                path,
                "use crate::types::Id; use super::Permit; use std::fmt;"
            ),
            0
        );
        assert_eq!(
            findings(
                path,
                "#[cfg(test)] mod tests { use super::*; use crate::policy::X; }"
            ),
            0
        );
        assert_eq!(
            findings("node/core/src/lib.rs", "pub use crate::flows::X;"),
            0
        );
    }

    #[test]
    fn a_module_that_uses_one_below_it_is_found_in_every_guise() {
        let path = "node/core/src/policy/decide.rs";

        for text in [
            "use crate::flows::State;",
            "use crate::{types::Id, flows};",
            "use super::super::flows::State;",
            "fn f() { crate::flows::run(); }",
            "fn f(x: crate::flows::State) {}",
            "fn f() { assert!(crate::flows::ready()); }",
            "mod inner { use super::super::super::flows::State; }",
            "pub use crate::elsewhere::X;",
        ] {
            assert_eq!(findings(path, text), 1, "{text}");
        }
        assert_eq!(findings("node/core/src/stray.rs", ""), 1);
    }
}
