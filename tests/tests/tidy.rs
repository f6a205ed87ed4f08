//! Rules about the code that no compiler checks.
//!
//! Each rule is a function over paths and texts, with a test beside it that shows it firing on a bad
//! snippet. Here every rule runs over the whole tree. `CHARTMESH_TIDY_BLESS=1` takes lines off the
//! lists of what is owed (`tests/tests/tidy/*.txt`) that are paid; nothing puts lines on.

#[path = "tidy/config.rs"]
mod config;
#[path = "tidy/decoders.rs"]
mod decoders;
#[path = "tidy/discipline.rs"]
mod discipline;
#[path = "tidy/logs.rs"]
mod logs;
#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/order.rs"]
mod order;
#[path = "tidy/owed.rs"]
mod owed;
#[path = "tidy/packages.rs"]
mod packages;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/rust.rs"]
mod rust;
#[path = "tidy/size.rs"]
mod size;
#[path = "tidy/spec.rs"]
mod spec;
#[path = "tidy/stages.rs"]
mod stages;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/vectors.rs"]
mod vectors;

use std::sync::LazyLock;

use prost::Message as _;
use tree::{Tree, report};

static TREE: LazyLock<Tree> = LazyLock::new(Tree::read);

#[test]
fn modules_use_only_those_above_them() {
    let mut found = Vec::new();
    for crate_root in ["node/core/src", "node/src"] {
        let order = order::modules(TREE.text(&format!("{crate_root}/lib.rs")));
        for file in TREE.rust_under(crate_root) {
            found.extend(order::check(crate_root, &order, file));
        }
    }
    report(found);
}

#[test]
fn each_big_library_is_named_in_its_own_place() {
    report(TREE.rust().flat_map(names::check).collect());
}

#[test]
fn the_core_depends_on_no_runtime() {
    let mut found = names::check_core_manifest(TREE.text("node/core/Cargo.toml"));
    found.extend(
        TREE.rust_under("node/core/src")
            .flat_map(names::check_core_source),
    );
    report(found);
}

#[test]
fn every_decoder_has_its_fuzz_target() {
    let roots = ["cli/src", "node/core/src", "node/src"];
    let product = roots.iter().flat_map(|root| TREE.rust_under(root));
    let list = TREE.text(decoders::LIST);
    report(decoders::check(list, product, TREE.paths()));
}

#[test]
fn no_file_outgrows_its_reader() {
    report(TREE.rust().flat_map(size::check).collect());
}

#[test]
fn what_is_left_to_do_names_its_issue() {
    report(TREE.files().flat_map(discipline::check_marks).collect());
}

#[test]
fn no_test_is_ignored_or_sleeps() {
    report(TREE.rust().flat_map(discipline::check_tests).collect());
}

#[test]
fn signed_bodies_have_no_float_and_no_map() {
    let path = "proto/chartmesh/v1/body.proto";
    report(discipline::check_body(path, TREE.text(path)));
}

#[test]
fn no_switch_turns_verification_off() {
    report(TREE.rust().flat_map(discipline::check_switches).collect());
}

#[test]
fn stage_types_are_made_only_in_their_stage() {
    report(
        TREE.rust_under("node/core/src")
            .flat_map(stages::check)
            .collect(),
    );
}

#[test]
fn paths_in_documents_exist() {
    let mut found = Vec::new();
    for file in TREE.files().filter(|file| file.path.ends_with(".md")) {
        found.extend(paths::check_mentions(file, |path| TREE.has(path)));
    }
    report(found);
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    report(TREE.files().flat_map(paths::check_machine).collect());
}

#[test]
fn every_limit_is_named_in_a_test() {
    let limits = owed::limits(TREE.text("node/core/src/types/limits.rs"));
    let tested = owed::words_of_tests(TREE.rust());
    report(owed::settle(
        &TREE,
        "tests/tests/tidy/limits_owed.txt",
        &limits,
        |name| tested.contains(name),
    ));
}

#[test]
fn every_promise_has_its_test() {
    let promises = owed::promises(TREE.text("node/ARCHITECTURE.md"));
    let tests = owed::functions(TREE.rust());
    report(owed::settle(
        &TREE,
        "tests/tests/tidy/planned.txt",
        &promises,
        |name| tests.contains(name),
    ));
}

#[test]
fn every_attack_names_the_tests_that_refuse_it() {
    let attacks = owed::attacks(TREE.text("SECURITY.md"));
    let tests = owed::functions(TREE.rust());
    assert!(attacks.len() > 40, "the table is read");
    let missing = attacks.iter().filter(|(_, name)| !tests.contains(name));
    report(
        missing
            .map(|(attack, name)| {
                tree::Finding::new("SECURITY.md", format!("{attack}: no test `{name}`"))
            })
            .collect(),
    );
}

#[test]
fn no_table_is_keyed_by_a_hash_that_can_be_foreseen() {
    report(TREE.rust().flat_map(discipline::check_hashers).collect());
}

#[test]
fn golden_vectors_are_only_added() {
    report(vectors::check_tree(TREE.root()));
}

#[test]
fn dependencies_keep_to_versions_bans_and_licences() {
    let packages = packages::read(TREE.root());
    assert!(packages.len() > 100, "cargo metadata lists the whole graph");
    report(packages.iter().flat_map(packages::check).collect());
}

#[test]
fn sample_configurations_parse() {
    report(TREE.files().flat_map(config::check).collect());
}

#[test]
fn every_code_stands_in_the_table_of_the_protocol() {
    let table =
        std::fs::read_to_string(TREE.root().join("proto/README.md")).expect("the table is there");
    let own = chartmesh_core::types::Code::ALL
        .iter()
        .map(|code| code.text());
    let told = chartmesh_core::types::PeerCode::ALL
        .iter()
        .map(|code| code.text());

    for code in own.chain(told) {
        assert!(
            table.contains(&format!("| `{code}` |")),
            "{code} is missing"
        );
    }
}

#[test]
fn log_lines_have_no_field_that_could_name_a_patient() {
    report(TREE.rust().flat_map(logs::check).collect());
}

#[test]
fn the_page_of_the_protocol_knows_every_message_field_and_term() {
    let set = prost_types::FileDescriptorSet::decode(chartmesh_proto::FILE_DESCRIPTOR_SET)
        .expect("the build wrote it");
    report(spec::check_descriptors(TREE.text(spec::PAGE), &set));
}

#[test]
fn the_page_of_the_protocol_knows_every_label_and_limit() {
    let page = TREE.text(spec::PAGE);
    let mut found = spec::check_limits(page, TREE.text("node/core/src/types/limits.rs"));
    found.extend(
        TREE.rust_under("node/core/src")
            .flat_map(|file| spec::check_labels(page, file)),
    );
    report(found);
}
