//! The local index.

use std::fs;

use serde_json::{Value, json};

use crate::{
    people::{MRN, ROSA},
    world::{World, lines},
};

/// Answers beyond 4 MiB, at which gRPC programs stop reading unless told otherwise.
const PATIENTS: usize = 1_200;
const GIVEN_NAMES: usize = 16;
const GIVEN_CHARS: usize = 240;

/// The index of patients is shown whole, however long it is.
///
/// The hard case is an answer larger than what such programs read by default.
#[test]
fn the_index_is_never_cut_off() {
    let world = World::new();
    let mut node = world.node("clinic", "Maple Family Clinic", "clinic");
    node.start();
    fs::create_dir(world.path("town")).expect("made");
    for n in 0..PATIENTS {
        world.file(&format!("town/{n}.json"), person(n).to_string().as_bytes());
    }
    let report = node.ok(&["import", &world.out("town")]);
    assert_eq!(report["patients"], PATIENTS, "{}", report["reports"][0]);

    let listed = node.ok(&["patient", "list"]);
    let found = node.ok(&["patient", "search", ROSA.family]);

    assert_eq!(lines(&listed["patients"]).count(), PATIENTS);
    assert_eq!(lines(&found["patients"]).count(), PATIENTS);
    assert!(
        listed.to_string().len() > 4 << 20,
        "the test is large enough"
    );
    let none = node.ok(&["patient", "search", "nobody"]);
    assert_eq!(lines(&none["patients"]).count(), 0);
    let one = lines(&listed["patients"]).next().expect("there are some");
    assert!(
        one["name"]
            .as_str()
            .is_some_and(|name| name.ends_with(ROSA.family))
    );
    assert_eq!(one["birth_date"], ROSA.birth_date);
    assert_eq!(one["sex"], ROSA.sex);
    assert_eq!(one["discoverability"], "open");
    assert_eq!(one["resources"], 1);
}

fn person(n: usize) -> Value {
    let name = |part| format!("{part}{}", "g".repeat(GIVEN_CHARS));
    let given: Vec<String> = (0..GIVEN_NAMES).map(name).collect();
    json!({
        "resourceType": "Patient", "id": format!("p{n}"),
        "identifier": [{ "system": MRN, "value": format!("P-{n}") }],
        "name": [{ "family": ROSA.family, "given": given }],
        "gender": ROSA.sex, "birthDate": ROSA.birth_date
    })
}
