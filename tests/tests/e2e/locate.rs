//! Whom a question reaches, and what the first commands of a newcomer say.

use crate::{
    people::{ROSA, TOMAS, words},
    story::import,
    world::{Network, line_of, lines},
};

/// A question reaches the named nodes only, and the others say that nobody asked them.
///
/// The hard case is that one who was not asked does not make the answer incomplete, and learns nothing.
#[test]
fn only_the_named_nodes_are_asked() {
    let network = Network::new("us-treatment");
    let Network {
        clinic,
        hospital,
        harbor,
        world,
    } = &network;
    import(hospital, &world.file("rosa.json", &ROSA.bundle()));
    import(clinic, &world.file("tomas.json", &TOMAS.bundle()));
    let asked = |only: &str| {
        let mut question = ROSA.question();
        question.extend(["--only".to_owned(), only.to_owned()]);
        harbor.run(&words(&question))
    };
    let heard = |of: &crate::node::Node| lines(&of.ok(&["audit", "list"])["entries"]).count();
    let (clinic_before, hospital_before) = (heard(clinic), heard(hospital));

    let found = asked(&hospital.id).expect(0).json;

    assert_eq!(found["complete"], true, "{found}");
    assert_eq!(line_of(&found, hospital)["answer"], "match");
    assert_eq!(line_of(&found, clinic)["answer"], "not-asked");
    assert_eq!(line_of(&found, clinic)["revealed"], "nothing");
    assert_eq!(heard(clinic), clinic_before, "it never heard of it");
    assert!(heard(hospital) > hospital_before);

    let missed = asked(&clinic.id).expect(4).json;

    assert_eq!(line_of(&missed, clinic)["answer"], "no-match");
    assert_eq!(line_of(&missed, hospital)["answer"], "not-asked");
    assert!(heard(clinic) > clinic_before);
}
