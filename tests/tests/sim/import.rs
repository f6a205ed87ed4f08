//! Imports: once, whole, and about one person.

use chartmesh_core::{
    flows::Mode,
    types::{Code, limits::JSON_DEPTH_MAX},
};

use crate::scenario::*;

#[tokio::test(start_paused = true)]
async fn the_same_bundle_twice_adds_nothing() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let before = clinic.counts();

    let again = clinic
        .import(&admin(), rosa_bundle().into(), Mode::Store)
        .await
        .unwrap();

    assert_eq!(again.resources, 0);
    assert_eq!(again.unchanged, 3);
    assert_eq!(clinic.counts(), before);
    let dry = clinic
        .import(&admin(), sam_bundle().into(), Mode::DryRun)
        .await
        .unwrap();
    assert_eq!((dry.patients, dry.resources), (1, 3));
    assert_eq!(clinic.counts(), before, "a dry run writes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_changed_resource_takes_the_place_of_the_one_before() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    let summary = clinic.patient(rosa).unwrap().summary;
    let first = fetch(urgent, handle, summary).await.unwrap();
    let before = clinic.counts();

    let changed = bundle(
        &person("Rosalinda", "Portillo", "1937-02-13", ROSA_MRN),
        &[observation("o1", ROSA_MRN, "Body height")],
    );
    let report = clinic
        .import(&admin(), changed.into(), Mode::Store)
        .await
        .unwrap();

    assert_eq!((report.resources, report.unchanged), (1, 1));
    assert_eq!(clinic.counts().resources, before.resources);
    let second = fetch(urgent, handle, summary).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(text(&first).contains("Body weight") && !text(&first).contains("Body height"));
    assert!(text(&second).contains("Body height") && !text(&second).contains("Body weight"));
}

#[tokio::test(start_paused = true)]
async fn a_bundle_with_a_resource_of_somebody_else_is_refused_whole() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let before = clinic.counts();
    let patient = person("Ana", "Lopez", "1990-01-01", "MRN-99-3");
    let own = observation("o1", "MRN-99-3", "Pulse");
    let foreign = observation("o2", ROSA_MRN, "Pulse");

    let refused = clinic
        .import(
            &admin(),
            bundle(&patient, &[own.clone(), foreign]).into(),
            Mode::Store,
        )
        .await;

    assert_eq!(code(refused), Some(Code::SubjectForeign));
    assert_eq!(clinic.counts(), before);
    let whole = clinic
        .import(&admin(), bundle(&patient, &[own]).into(), Mode::Store)
        .await
        .unwrap();
    assert_eq!((whole.patients, whole.resources), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn an_identifier_of_somebody_with_another_name_and_birth_date_is_a_conflict() {
    let Scene { world, rosa, .. } = three().await;
    let clinic = &world.clinic;
    let before = clinic.counts();
    let twin = person("Rosalinda", "Alvarez", "1951-06-30", ROSA_MRN);

    let refused = clinic
        .import(&admin(), bundle(&twin, &[]).into(), Mode::Store)
        .await;
    assert_eq!(code(refused), Some(Code::PatientConflict));
    let refused = clinic.add_patient(&admin(), twin.into()).await;
    assert_eq!(code(refused), Some(Code::PatientConflict));
    assert_eq!(clinic.counts(), before);

    // Married since, and still the same birth date.
    let renamed = person("Rosalinda", "Alvarez", "1937-02-13", ROSA_MRN);
    let id = clinic.add_patient(&admin(), renamed.into()).await.unwrap();
    assert!(id == rosa);
    let ledger = locate(&world.urgent).await;
    let old_name = answer(&ledger, clinic.member()).term();
    assert_eq!(old_name, "no-match", "found by the name on record only");
}

#[tokio::test(start_paused = true)]
async fn input_that_cannot_be_read_is_refused_with_a_code_and_nothing_lost() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let before = clinic.counts();
    let whole = sam_bundle();
    let nested = format!(
        r#"{{"resourceType":"Basic","id":"x","a":{}1{}}}"#,
        "[".repeat(JSON_DEPTH_MAX + 1),
        "]".repeat(JSON_DEPTH_MAX + 1)
    );
    let cases = [
        (whole[..whole.len() - 9].to_owned(), Code::JsonMalformed),
        (nested, Code::JsonLimit),
        (
            r#"{"resourceType":"Patient","id":"a","id":"b"}"#.to_owned(),
            Code::JsonDuplicateKey,
        ),
        (
            r#"{"resourceType":"Nonsense","id":"a"}"#.to_owned(),
            Code::FhirType,
        ),
        (
            observation("o9", "MRN-nobody", "Pulse"),
            Code::SubjectUnknown,
        ),
    ];
    for (input, expected) in cases {
        let refused = clinic.import(&admin(), input.into(), Mode::Store).await;
        assert_eq!(code(refused), Some(expected));
        assert_eq!(clinic.counts(), before);
    }
    let read = clinic.import(&admin(), whole.into(), Mode::Store).await;
    assert!(read.is_ok());
}
