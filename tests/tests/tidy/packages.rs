//! Which packages may be in the graph: least versions from published advisories, bans, licences.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

use crate::tree::Finding;

/// A package of the graph.
pub(crate) struct Package {
    name: String,
    version: String,
    licence: Option<String>,
    source: Option<String>,
}

/// Package, least version, and the newest advisory that asks for it.
const LEAST: &[(&str, &str, &str)] = &[
    ("ammonia", "4.1.4", "RUSTSEC-2026-0213"),
    ("bytes", "1.11.1", "RUSTSEC-2026-0007"),
    ("crossbeam-channel", "0.5.15", "RUSTSEC-2025-0024"),
    ("crossbeam-epoch", "0.9.20", "threats.md 1"),
    ("curve25519-dalek", "4.1.3", "RUSTSEC-2024-0344"),
    ("ed25519-dalek", "2.0.0", "RUSTSEC-2022-0093"),
    ("h2", "0.4.16", "RUSTSEC-2026-0258"),
    ("libp2p", "0.45.1", "RUSTSEC-2022-0084"),
    ("libp2p-core", "0.31.1", "RUSTSEC-2022-0009"),
    ("lru", "0.18.2", "threats.md 1"),
    ("prost", "0.8.0", "RUSTSEC-2021-0073"),
    ("protobuf", "3.7.2", "RUSTSEC-2024-0437"),
    ("quick-xml", "0.41.0", "RUSTSEC-2026-0195"),
    ("quinn-proto", "0.11.15", "RUSTSEC-2026-0185"),
    ("rustls", "0.23.18", "RUSTSEC-2024-0399"),
    ("rustls-webpki", "0.103.13", "RUSTSEC-2026-0104"),
    ("snow", "0.9.5", "RUSTSEC-2024-0011"),
    ("tar", "0.4.45", "RUSTSEC-2026-0068"),
    ("time", "0.3.47", "threats.md 1"),
    ("tokio", "1.44.2", "RUSTSEC-2025-0023"),
    ("tonic", "0.12.3", "RUSTSEC-2024-0376"),
    ("tracing-subscriber", "0.3.20", "RUSTSEC-2025-0055"),
    ("xml-rs", "0.8.14", "CVE-2023-34411"),
    ("zip", "2.3.0", "RUSTSEC-2025-0168"),
];

/// Yamux has two lines; the one of libp2p 0.57 is the newer.
const YAMUX_LEAST: (&str, &str) = ("0.13.10", "CVE-2026-32314");

/// Rand has three lines that are mended, each from its own version on; older ones are not.
const RAND_LEAST: &[(&str, &str)] = &[("0.8.", "0.8.6"), ("0.9.", "0.9.3"), ("", "0.10.1")];

/// Packages that stay out, and why.
const BANNED: &[(&str, &str)] = &[
    ("bincode", "unmaintained, RUSTSEC-2025-0141"),
    ("libp2p-gossipsub", "no gossip: RUSTSEC-2026-0536, row 30"),
    (
        "libp2p-mdns",
        "no discovery that anybody on the wire can fake, row 29",
    ),
    ("libp2p-rendezvous", "unbounded memory, RUSTSEC-2026-0527"),
    ("lopdf", "no PDF is parsed in the node, RUSTSEC-2026-0187"),
    (
        "openssl-sys",
        "one provider of cryptography, and it is Rust or aws-lc",
    ),
    ("rustls-pemfile", "unmaintained, RUSTSEC-2025-0134"),
    ("serde_yaml", "unmaintained"),
];

/// Single versions that stay out.
const BANNED_VERSIONS: &[(&str, &str, &str)] =
    &[("arrayref", "0.3.10", "malicious, RUSTSEC-2026-0260")];

/// Permissive licences, and MPL-2.0, which binds files and not programs.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The packages that this platform compiles, with what their manifests say.
pub(crate) fn read(root: &Path) -> Vec<Package> {
    // `metadata` counts weak features (`dep?/x`) as if they were on; `tree` knows better.
    let tree = cargo(
        root,
        &["tree", "--workspace", "--prefix", "none", "--format", "{p}"],
    );
    let compiled: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?.strip_prefix('v')?))
        })
        .collect();
    let host = host();
    let metadata = cargo(
        root,
        &[
            "metadata",
            "--format-version",
            "1",
            "--filter-platform",
            &host,
        ],
    );
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    let text = |package: &Value, key: &str| package[key].as_str().map(str::to_owned);
    metadata["packages"]
        .as_array()
        .expect("metadata lists packages")
        .iter()
        .map(|package| Package {
            name: text(package, "name").unwrap_or_default(),
            version: text(package, "version").unwrap_or_default(),
            licence: text(package, "license"),
            source: text(package, "source"),
        })
        .filter(|package| compiled.contains(&(&package.name, &package.version)))
        .collect()
}

/// What cargo prints, without the network where that is enough.
fn cargo(root: &Path, arguments: &[&str]) -> String {
    let run = |network: &[&str]| {
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(arguments)
            .arg("--locked")
            .args(network)
            .current_dir(root)
            .output()
            .expect("cargo runs")
    };
    let mut output = run(&["--offline"]);
    if !output.status.success() {
        output = run(&[]);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

fn host() -> String {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("-vV")
        .output()
        .expect("rustc runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("rustc names its host")
        .to_owned()
}

/// Checks one package.
pub(crate) fn check(package: &Package) -> Vec<Finding> {
    let Package { name, version, .. } = package;
    let mut what = Vec::new();
    let least = LEAST
        .iter()
        .find(|(known, _, _)| known == name)
        .map(|(_, least, why)| (*least, *why))
        .or((name == "yamux" && !version.starts_with("0.12.")).then_some(YAMUX_LEAST))
        .or((name == "rand").then(|| rand_least(version)));
    if let Some((least, why)) = least.filter(|(least, _)| numbers(version) < numbers(least)) {
        what.push(format!("is older than {least} ({why})"));
    }
    if let Some((_, why)) = BANNED.iter().find(|(known, _)| known == name) {
        what.push(format!("stays out: {why}"));
    }
    for (known, banned, why) in BANNED_VERSIONS {
        if known == name && banned == version {
            what.push(format!("stays out: {why}"));
        }
    }
    match &package.licence {
        Some(licence) if permits(licence) => {}
        Some(licence) => what.push(format!("has the licence {licence}")),
        None => what.push("names no licence".to_owned()),
    }
    if package
        .source
        .as_deref()
        .is_some_and(|source| source != REGISTRY)
    {
        what.push("comes from elsewhere than crates.io".to_owned());
    }
    what.into_iter()
        .map(|what| Finding::new(format!("{name} {version}"), what))
        .collect()
}

/// The least version of the line that a version of rand belongs to.
fn rand_least(version: &str) -> (&'static str, &'static str) {
    let mut lines = RAND_LEAST.iter();
    let (_, least) = lines
        .find(|(line, _)| version.starts_with(line))
        .expect("the last line takes all");
    (least, "threats.md 1")
}

fn numbers(version: &str) -> Vec<u64> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    release
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}

/// Whether an SPDX expression can be met with the licences we take.
fn permits(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let permitted = either(&words, &mut at);
    permitted && at == words.len()
}

fn either(words: &[&str], at: &mut usize) -> bool {
    let mut permitted = both(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        permitted |= both(words, at);
    }
    permitted
}

fn both(words: &[&str], at: &mut usize) -> bool {
    let mut permitted = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        permitted &= one(words, at);
    }
    permitted
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else {
        return false;
    };
    *at += 1;
    if *word == "(" {
        let permitted = either(words, at);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return permitted && closed;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        let whole = format!("{word} WITH {exception}");
        return LICENCES.contains(&whole.as_str());
    }
    LICENCES.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, version: &str, licence: &str) -> usize {
        check(&Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: Some(licence.to_owned()),
            source: Some(REGISTRY.to_owned()),
        })
        .len()
    }

    #[test]
    fn a_seeded_bad_version_is_found() {
        assert_eq!(findings("h2", "0.4.16", "MIT"), 0);
        assert_eq!(findings("h2", "0.4.9", "MIT"), 1);
        assert_eq!(findings("yamux", "0.13.9", "MIT"), 1);
        assert_eq!(findings("arrayref", "0.3.9", "MIT"), 0);
        assert_eq!(findings("arrayref", "0.3.10", "MIT"), 1);
        assert_eq!(findings("libp2p-mdns", "0.48.0", "MIT"), 1);
        for (bad, good) in [("0.8.5", "0.8.6"), ("0.9.2", "0.9.3"), ("0.10.0", "0.10.1")] {
            assert_eq!(findings("rand", bad, "MIT"), 1);
            assert_eq!(findings("rand", good, "MIT"), 0);
        }
        assert_eq!(findings("rand", "0.7.3", "MIT"), 1);
    }

    #[test]
    fn a_licence_that_binds_the_whole_program_is_found() {
        assert_eq!(findings("x", "1.0.0", "MIT/Apache-2.0"), 0);
        assert_eq!(findings("x", "1.0.0", "GPL-3.0-only OR MIT"), 0);
        assert_eq!(
            findings("x", "1.0.0", "(MIT OR GPL-2.0) AND Unicode-3.0"),
            0
        );
        assert_eq!(
            findings("x", "1.0.0", "Apache-2.0 WITH LLVM-exception OR MIT"),
            0
        );
        assert_eq!(findings("x", "1.0.0", "MIT AND GPL-3.0-only"), 1);
        assert_eq!(findings("x", "1.0.0", "AGPL-3.0"), 1);
    }

    #[test]
    fn a_package_from_elsewhere_is_found() {
        let package = Package {
            name: "x".to_owned(),
            version: "1.0.0".to_owned(),
            licence: Some("MIT".to_owned()),
            source: Some("git+https://example.org/x".to_owned()),
        };

        assert_eq!(check(&package).len(), 1);
    }
}
