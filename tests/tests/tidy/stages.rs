//! The types that stand for a passed stage are made only in that stage.

use syn::{Fields, FnArg, ImplItem, Item, ItemImpl, ItemStruct, ReturnType, Type, Visibility};

use crate::{
    rust,
    tree::{File, Finding},
};

/// Types that only their own module makes.
const STAGES: &[&str] = &["Signed", "Authenticated", "Permit", "Recorded", "Release"];

/// Constructors that may be public, because they are the stage itself.
const MAKERS: &[(&str, &str)] = &[
    ("Signed", "verify"),
    // Takes a permit, its record and the turn, which only their own stages make.
    ("Release", "new"),
];

/// Checks one file of the core.
pub(crate) fn check(file: &File) -> Vec<Finding> {
    // Messages of the wire may have the name of a stage; what makes a stage stands elsewhere.
    if file.path.starts_with("node/core/src/wire/") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for item in &rust::parse(&file.path, &file.text).items {
        let what = match item {
            Item::Struct(item) => check_struct(item),
            Item::Impl(item) => check_impl(item),
            _ => Vec::new(),
        };
        found.extend(what.into_iter().map(|what| Finding::new(&file.path, what)));
    }
    found
}

fn check_struct(item: &ItemStruct) -> Vec<String> {
    let name = item.ident.to_string();
    if !STAGES.contains(&name.as_str()) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let public = item.fields.iter().any(|field| open(&field.vis));
    if public || matches!(item.fields, Fields::Unit) {
        found.push(format!("`{name}` has fields that others can fill"));
    }
    for attribute in &item.attrs {
        if !attribute.path().is_ident("derive") {
            continue;
        }
        // An unreadable derive is the compiler's to refuse.
        let _ = attribute.parse_nested_meta(|meta| {
            let last = meta.path.segments.last().map(|last| last.ident.to_string());
            if let Some(last) = last.filter(|last| last == "Default" || last == "Deserialize") {
                found.push(format!(
                    "`{name}` derives {last}, which makes one from nothing"
                ));
            }
            Ok(())
        });
    }
    found
}

fn check_impl(item: &ItemImpl) -> Vec<String> {
    let Some(name) = last_segment(&item.self_ty).filter(|name| STAGES.contains(&name.as_str()))
    else {
        return Vec::new();
    };
    if let Some((_, path, _)) = &item.trait_ {
        let made = path.segments.last().map(|last| last.ident.to_string());
        return made
            .filter(|made| ["Default", "From", "TryFrom", "FromStr"].contains(&made.as_str()))
            .map(|made| format!("`{name}` is made by {made}"))
            .into_iter()
            .collect();
    }
    let mut found = Vec::new();
    for function in &item.items {
        let ImplItem::Fn(function) = function else {
            continue;
        };
        let method = function.sig.ident.to_string();
        let takes_self = matches!(function.sig.inputs.first(), Some(FnArg::Receiver(_)));
        let maker = MAKERS.contains(&(name.as_str(), method.as_str()));
        if open(&function.vis)
            && !takes_self
            && !maker
            && !rust::is_test(&function.attrs)
            && returns(&function.sig.output, &name)
        {
            found.push(format!("`{name}::{method}` is open to other modules"));
        }
    }
    found
}

/// Reachable from outside the module's own folder.
fn open(visibility: &Visibility) -> bool {
    match visibility {
        Visibility::Inherited => false,
        Visibility::Public(_) => true,
        Visibility::Restricted(restricted) => {
            !restricted.path.is_ident("super") && !restricted.path.is_ident("self")
        }
    }
}

fn last_segment(kind: &Type) -> Option<String> {
    match kind {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        _ => None,
    }
}

fn returns(output: &ReturnType, name: &str) -> bool {
    let ReturnType::Type(_, kind) = output else {
        return false;
    };
    let Type::Path(path) = kind.as_ref() else {
        return false;
    };
    path.path.segments.iter().any(|segment| {
        if segment.ident == "Self" || segment.ident == name {
            return true;
        }
        let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments else {
            return false;
        };
        arguments.args.iter().any(|argument| match argument {
            syn::GenericArgument::Type(inner) => {
                last_segment(inner).is_some_and(|last| last == "Self" || last == name)
            }
            _ => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(&File::new("node/core/src/policy/permit.rs", text)).len()
    }

    #[test]
    fn a_stage_that_only_its_module_makes_passes() {
        let good = "
            pub struct Permit { rule: u32 }
            impl Permit {
                pub(super) fn new(rule: u32) -> Self { Self { rule } }
                #[cfg(test)] pub(crate) fn for_test() -> Self { Self::new(0) }
                pub fn rule(&self) -> u32 { self.rule }
            }
            impl<T> Signed<T> { pub fn verify(bytes: &[u8]) -> Result<Self, Error> { x } }
            impl Other { pub fn new() -> Self { x } }";

        assert_eq!(findings(good), 0);
    }

    #[test]
    fn every_open_way_to_make_a_stage_is_found() {
        for bad in [
            "pub struct Permit { pub rule: u32 }",
            "pub struct Permit(pub(crate) u32);",
            "pub struct Permit;",
            "#[derive(Clone, Default)] pub struct Permit { rule: u32 }",
            "impl Permit { pub fn new() -> Self { x } }",
            "impl Permit { pub(crate) fn new() -> Option<Permit> { x } }",
            "impl<T> Authenticated<T> { pub fn trust(x: T) -> Result<Self, E> { x } }",
            "impl From<u32> for Recorded { fn from(x: u32) -> Self { x } }",
        ] {
            assert_eq!(findings(bad), 1, "{bad}");
        }
    }
}
