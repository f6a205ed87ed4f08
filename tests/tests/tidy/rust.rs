//! Every path that a Rust file names, wherever it stands.

use syn::{
    Attribute, File, ImplItem, Item, ItemMod, ItemUse, Macro, Path, UseTree,
    visit::{self, Visit},
};

/// A path as written, and where.
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    /// Inline modules around it, outermost first.
    pub(crate) inside: Vec<String>,
    /// Compiled for tests only.
    pub(crate) test: bool,
}

impl Named {
    pub(crate) fn text(&self) -> String {
        self.segments.join("::")
    }
}

/// Parses a file; its text must be Rust.
pub(crate) fn parse(path: &str, text: &str) -> File {
    match syn::parse_file(text) {
        Ok(file) => file,
        Err(error) => panic!("{path}: {error}"),
    }
}

/// All paths of a file: `use` trees flattened, expressions, types, and inside macros.
pub(crate) fn named(path: &str, text: &str) -> Vec<Named> {
    let mut collector = Collector::default();
    collector.visit_file(&parse(path, text));
    collector.found
}

/// Whether an item is compiled for tests only.
pub(crate) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        if path.is_ident("test") {
            return true;
        }
        let mut test = false;
        if path.is_ident("cfg") {
            // An unreadable condition is the compiler's to refuse.
            let _ = attribute.parse_nested_meta(|meta| {
                test |= meta.path.is_ident("test");
                Ok(())
            });
        }
        test
    })
}

#[derive(Default)]
struct Collector {
    inside: Vec<String>,
    tests: usize,
    found: Vec<Named>,
}

impl Collector {
    fn push(&mut self, segments: Vec<String>) {
        self.found.push(Named {
            segments,
            inside: self.inside.clone(),
            test: self.tests > 0,
        });
    }

    fn use_tree(&mut self, before: &[String], tree: &UseTree) {
        let mut segments = before.to_vec();
        match tree {
            UseTree::Path(path) => {
                segments.push(path.ident.to_string());
                self.use_tree(&segments, &path.tree);
            }
            UseTree::Name(name) => {
                segments.push(name.ident.to_string());
                self.push(segments);
            }
            UseTree::Rename(name) => {
                segments.push(name.ident.to_string());
                self.push(segments);
            }
            UseTree::Glob(_) => {
                segments.push("*".to_owned());
                self.push(segments);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(&segments, tree);
                }
            }
        }
    }

    fn guarded(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let test = usize::from(is_test(attributes));
        self.tests += test;
        visit(self);
        self.tests -= test;
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast Item) {
        self.guarded(attributes(item), |this| visit::visit_item(this, item));
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Fn(item) => &item.attrs[..],
            _ => &[],
        };
        self.guarded(attributes, |this| visit::visit_impl_item(this, item));
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.inside.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.inside.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.use_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let segments = path.segments.iter();
        self.push(segments.map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        for segments in paths_of_tokens(&call.tokens.to_string()) {
            self.push(segments);
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Words joined by `::` in the text of a token stream, which nobody parses as Rust.
fn paths_of_tokens(tokens: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut current: Vec<String> = Vec::new();
    let mut joined = false;
    for word in words(tokens) {
        if word == "::" {
            joined = !current.is_empty();
            continue;
        }
        let is_name = word.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if joined && is_name {
            current.push(word);
        } else {
            if current.len() > 1 {
                found.push(std::mem::take(&mut current));
            }
            current = if is_name { vec![word] } else { Vec::new() };
        }
        joined = false;
    }
    if current.len() > 1 {
        found.push(current);
    }
    found
}

fn words(tokens: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = tokens;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("::") {
            2
        } else if first == '"' {
            literal_len(rest)
        } else if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(len);
        if !word.trim().is_empty() {
            found.push(word.to_owned());
        }
        rest = after;
    }
    found
}

fn literal_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        named("a.rs", text).iter().map(Named::text).collect()
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        let text = "
            use crate::{a::B, c::{self, D as E}, f::*};
            fn g(x: crate::h::I) -> Vec<crate::j::K> {
                println!(\"{} crate::not\", crate::l::m(super::n::O));
                crate::p::q::<crate::r::S>()
            }";

        let found = texts(text);

        for wanted in [
            "crate::a::B",
            "crate::c::self",
            "crate::c::D",
            "crate::f::*",
            "crate::h::I",
            "crate::j::K",
            "crate::l::m",
            "super::n::O",
            "crate::p::q",
            "crate::r::S",
        ] {
            assert!(found.iter().any(|path| path == wanted), "{wanted}");
        }
        assert!(!found.iter().any(|path| path == "crate::not"));
    }

    #[test]
    fn tests_are_told_from_code() {
        let text = "
            use crate::a::B;
            #[cfg(test)] mod tests { use crate::c::D; }
            impl X { #[cfg(test)] fn for_test() { crate::e::f(); } }";

        let found = named("a.rs", text);

        let test_of = |wanted: &str| {
            found
                .iter()
                .find(|path| path.text() == wanted)
                .map(|path| path.test)
        };
        assert_eq!(test_of("crate::a::B"), Some(false));
        assert_eq!(test_of("crate::c::D"), Some(true));
        assert_eq!(test_of("crate::e::f"), Some(true));
    }
}
