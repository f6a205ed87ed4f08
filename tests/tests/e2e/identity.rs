//! A question about one person never tells of another.

use crate::{
    people::{OTHER_ROSA, RITA, ROSA, words},
    story::import,
    world::{Network, line_of},
};

/// Nobody but the person asked for is named, however alike two people are.
///
/// The hard case is a second patient of the same name, birth date and sex: with her number the right one is
/// found, without it neither is.
#[test]
fn nobody_elses_record_is_ever_named() {
    let network = Network::new("us-treatment");
    let Network {
        hospital,
        harbor,
        world,
        ..
    } = &network;
    for (file, person) in [("a.json", ROSA), ("b.json", OTHER_ROSA), ("c.json", RITA)] {
        import(hospital, &world.file(file, &person.bundle()));
    }

    let exact = harbor.ok(&words(&ROSA.question()));

    let line = line_of(&exact, hospital);
    assert_eq!(line["answer"], "match", "{exact}");
    let said = exact.to_string();
    for others in [OTHER_ROSA.mrn, OTHER_ROSA.line, RITA.mrn, RITA.given] {
        assert!(!said.contains(others), "{others} in {said}");
    }

    let vague = harbor.run(&words(&ROSA.question_without_number()));

    let line = line_of(&vague.json, hospital);
    assert_ne!(vague.exit, 0, "{}", vague.json);
    assert_ne!(line["answer"], "match", "{line}");
    assert!(line["demographics"].is_null(), "{line}");
    assert!(line["handle"].is_null(), "{line}");
}
