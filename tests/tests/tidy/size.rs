//! Files stay small enough to be read at one sitting.

use crate::tree::{File, Finding};

const LINES_MAX: usize = 500;
const MOD_LINES_MAX: usize = 60;

/// Files that are longer and owe a division; the list only shrinks.
const EXEMPT: &[&str] = &[
    "tests/fuzz/src/targets.rs",
    "tests/src/net.rs",
    "tests/src/world.rs",
];

/// Checks the length of one file without its tests.
pub(crate) fn check(file: &File) -> Option<Finding> {
    if EXEMPT.contains(&file.path.as_str()) || is_tests_only(&file.path) {
        return None;
    }
    let lines = lines_of_code(&file.text);
    let capability = file.path.starts_with("node/") && file.path.ends_with("/mod.rs");
    let max = if capability { MOD_LINES_MAX } else { LINES_MAX };
    (lines > max).then(|| {
        Finding::new(
            &file.path,
            format!("{lines} lines without tests, at most {max}"),
        )
    })
}

fn is_tests_only(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn lines_of_code(text: &str) -> usize {
    let markers = [
        concat!("#[cfg", "(test)]\nmod "),
        concat!("#[cfg", "(test)]\npub(super) mod tests "),
    ];
    let tests = markers.iter().filter_map(|marker| text.find(marker)).min();
    let code = tests.map_or(text, |at| &text[..at]);
    code.lines().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fires(path: &str, lines: usize, after: &str) -> bool {
        let text = "// x\n".repeat(lines) + after;
        check(&File::new(path, &text)).is_some()
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let tests = concat!("#[cfg", "(test)]\nmod tests {\n}\n");

        assert!(!fires("node/core/src/policy/decide.rs", 500, tests));
        assert!(fires("node/core/src/policy/decide.rs", 501, tests));
        assert!(fires("cli/src/args.rs", 501, ""));
    }

    #[test]
    fn a_module_file_that_holds_more_than_its_parts_is_found() {
        assert!(!fires("node/core/src/policy/mod.rs", 60, ""));
        assert!(fires("node/core/src/policy/mod.rs", 61, ""));
        assert!(!fires("cli/src/cmd/mod.rs", 61, ""));
    }
}
