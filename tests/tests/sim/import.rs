//! Imports: once, whole, and about one person.

use chartmesh_core::{
    flows::{Description, Met, Mode, Wanted, in_memory},
    membership::{Rules, Template},
    records::{Demographics, Name, StoreError},
    types::{
        Code, Kind, Purpose, Timestamp,
        limits::{JSON_DEPTH_MAX, LIST_MAX, LIST_MAX_BYTES, RELEASE_WAIT_MAX, TEXT_CHARS_MAX},
    },
};
use chartmesh_tests::{Fault, SimNode};

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

fn observation_of(id: &str, patient: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","status":"final","code":{{"text":"Pulse"}},"subject":{{"reference":"Patient/{patient}"}}}}"#
    )
}

/// Each line stands for itself, and all of them are one commit.
///
/// The hard cases are a line about somebody of an earlier line, which nothing stores yet, and a refused line
/// that named a person before it was refused.
#[tokio::test(start_paused = true)]
async fn lines_come_in_each_for_itself() {
    let world = network(Kind::Clinic, Rules::of(Template::OptIn)).await;
    let clinic = &world.clinic;
    let lines = |lines: &[&str]| {
        let lines = lines.iter().map(|line| line.to_string().into());
        lines.collect::<Vec<_>>()
    };
    let ana = human("2", "Ana", "Diaz", "2015-01-01", "S-77");
    let luis = human("3", "Luis", "Diaz", "2015-01-01", "S-77");
    let undone = bundle(
        &human("9", "Ira", "Fox", "1970-01-02", "F-9"),
        &[observation_of("o9", "nobody")],
    )
    .replace("transaction", "collection");
    let input = [
        ana.as_str(),
        "{",
        &observation_of("o1", "2"),
        &luis,
        &ana,
        &undone,
        &observation_of("o2", "9"),
    ];

    for mode in [Mode::DryRun, Mode::Store] {
        let before = clinic.counts();
        let mut met = Met::default();
        let report = clinic
            .import_lines(&admin(), lines(&input), mode, &mut met)
            .await
            .unwrap();

        let refused: Vec<(usize, Code)> = report
            .refused
            .iter()
            .map(|(index, error)| (*index, error.code()))
            .collect();
        assert_eq!(
            refused,
            [
                (1, Code::JsonMalformed),
                (3, Code::PatientConflict),
                (5, Code::SubjectUnknown),
                (6, Code::SubjectUnknown),
            ]
        );
        let imported = &report.imported;
        assert_eq!(
            (imported.patients, imported.resources, imported.unchanged),
            (1, 2, 1)
        );
        let later = lines(&[&observation_of("o3", "2")]);
        let later = clinic
            .import_lines(&admin(), later, mode, &mut met)
            .await
            .unwrap();
        assert!(later.refused.is_empty(), "{mode:?}");
        if mode == Mode::DryRun {
            assert_eq!(clinic.counts(), before);
            let alone = lines(&[&observation_of("o3", "2")]);
            let alone = clinic
                .import_lines(&admin(), alone, mode, &mut Met::default())
                .await
                .unwrap();
            assert_eq!(alone.refused[0].1.code(), Code::SubjectUnknown);
        }
    }

    assert_eq!(clinic.patients("Diaz").len(), 1);
    assert_eq!(clinic.patients("Fox").len(), 0);
}

/// A collection of people is an import of that many, and refused whole where one of them is refused.
#[tokio::test(start_paused = true)]
async fn a_collection_is_many_people_or_none() {
    let world = network(Kind::Clinic, Rules::of(Template::OptIn)).await;
    let clinic = &world.clinic;
    let people = |second_number: &str| {
        let ana = human("2", "Ana", "Diaz", "2015-01-01", "S-77");
        let luis = human("3", "Luis", "Diaz", "2015-01-01", second_number);
        bundle(&ana, &[luis, observation_of("o1", "3")]).replace("transaction", "collection")
    };

    let refused = clinic
        .import(&admin(), people("S-77").into(), Mode::Store)
        .await;
    assert_eq!(code(refused), Some(Code::PatientConflict));
    assert_eq!(clinic.patients("").len(), 0);
    let report = clinic
        .import(&admin(), people("S-78").into(), Mode::Store)
        .await
        .unwrap();

    assert_eq!((report.patients, report.resources), (2, 3));
    let luis = clinic.patients("Luis").remove(0);
    assert_eq!(luis.resources, 1);
}

/// A record never turns into somebody else's.
///
/// The hard case is an id or a number that two people share: `Patient/1` of two systems, and the
/// subscriber's number of a family.
#[tokio::test(start_paused = true)]
async fn one_id_or_number_of_two_people_is_a_conflict_and_changes_neither() {
    let world = network(Kind::Clinic, Rules::of(Template::OptIn)).await;
    let clinic = &world.clinic;
    let john = human("1", "John", "Smith", "1950-03-04", "");
    add(clinic, bundle(&john, &[])).await;
    let ana = human("2", "Ana", "Diaz", "2015-01-01", "S-77");
    add(clinic, bundle(&ana, &[])).await;
    let dateless = human("4", "Kim", "Roe", "", "");
    add(clinic, bundle(&dateless, &[])).await;
    let both = human("5", "Ira", "Fox", "1970-01-02", "F-1");
    add(clinic, bundle(&both, &[])).await;
    let before = clinic.counts();
    let names = || {
        let patients = clinic.patients("").into_iter();
        let named = patients.map(|patient| patient.demographics.display_name());
        named.collect::<Vec<_>>()
    };
    let people = names();

    for somebody_else in [
        human("1", "Mary", "Smith", "1983-07-09", ""),
        human("1", "Mary", "Smith", "1950-03-04", ""),
        human("1", "John", "Smith", "", ""),
        human("3", "Luis", "Diaz", "2015-01-01", "S-77"),
        human("3", "Ana", "Diaz", "", "S-77"),
        human("3", "", "Diaz", "2015-01-01", "S-77"),
        human("4", "Kim", "Roe", "", "N-4"),
        // The number of one and the id of another.
        human("1", "Ana", "Diaz", "2015-01-01", "S-77"),
        human("5", "John", "Smith", "1950-03-04", "S-77"),
    ] {
        let refused = clinic
            .import(&admin(), bundle(&somebody_else, &[]).into(), Mode::Store)
            .await;
        assert_eq!(
            code(refused),
            Some(Code::PatientConflict),
            "{somebody_else}"
        );
        let refused = clinic.add_patient(&admin(), somebody_else.into()).await;
        assert_eq!(code(refused), Some(Code::PatientConflict));
    }

    assert_eq!(clinic.counts(), before);
    assert_eq!(names(), people);
    for known in [john, ana, dateless, both] {
        let again = clinic
            .import(&admin(), bundle(&known, &[]).into(), Mode::Store)
            .await
            .unwrap();
        assert_eq!(
            (again.patients, again.resources, again.unchanged),
            (0, 0, 1)
        );
    }
    // A telephone number is no other person, nor is a corrected birth date under the own number.
    let moved = human("1", "John", "Smith", "1950-03-04", "N-9");
    let corrected = human("2", "Ana", "Diaz", "2015-01-02", "S-77");
    for known in [moved, corrected] {
        let changed = clinic
            .import(&admin(), bundle(&known, &[]).into(), Mode::Store)
            .await
            .unwrap();
        assert_eq!((changed.patients, changed.resources), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_of_two_systems_is_known_by_both_ids_and_by_no_other() {
    let world = network(Kind::Clinic, Rules::of(Template::OptIn)).await;
    let clinic = &world.clinic;
    let here = human("7", "Ana", "Diaz", "2015-01-01", "S-77");
    let ana = add(clinic, at("http://a.example/fhir/Patient/7", &here)).await;
    let there = human("8", "Ana", "Diaz", "2015-01-01", "S-77");

    let merged = clinic
        .import(
            &admin(),
            at("http://b.example/fhir/Patient/8", &there).into(),
            Mode::Store,
        )
        .await
        .unwrap();

    assert_eq!((merged.patients, merged.resources), (0, 1));
    let about = |reference: &str| observation("o1", "x", "Pulse").replace("Patient/x", reference);
    for (reference, expected) in [
        ("http://a.example/fhir/Patient/7", None),
        ("http://b.example/fhir/Patient/8", None),
        (
            "http://a.example/fhir/Patient/8",
            Some(Code::SubjectUnknown),
        ),
        (
            "http://b.example/fhir/Patient/7",
            Some(Code::SubjectUnknown),
        ),
    ] {
        let outcome = clinic
            .import(&admin(), about(reference).into(), Mode::DryRun)
            .await;
        assert_eq!(code(outcome), expected, "{reference}");
    }
    assert_eq!(clinic.patient(ana).unwrap().local_id, "8");
}

#[tokio::test(start_paused = true)]
async fn resources_of_one_id_at_two_servers_are_two() {
    let Scene { world, rosa, .. } = three().await;
    let clinic = &world.clinic;
    let at = |server: &str, text: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"batch","entry":[{{"fullUrl":"http://{server}.example/fhir/Observation/9","resource":{}}}]}}"#,
            observation("9", ROSA_MRN, text).replace(
                r#""reference":"Patient/MRN-77-1""#,
                r#""identifier":{"system":"urn:oid:1.2.3","value":"MRN-77-1"}"#
            )
        )
    };
    let import = async |bundle: String| {
        clinic
            .import(&admin(), bundle.into(), Mode::Store)
            .await
            .unwrap()
    };
    let before = clinic.patient(rosa).unwrap().resources;

    import(at("a", "Pulse")).await;
    import(at("b", "Temperature")).await;

    assert_eq!(clinic.patient(rosa).unwrap().resources, before + 2);
    assert_eq!(import(at("a", "Pulse")).await.unchanged, 1);
    assert_eq!(import(at("b", "Temperature")).await.unchanged, 1);
    import(at("b", "Height")).await;
    assert_eq!(clinic.patient(rosa).unwrap().resources, before + 2);
}

#[tokio::test(start_paused = true)]
async fn somebody_of_a_single_name_comes_in_and_is_found() {
    let world = network(Kind::Clinic, Rules::of(Template::OptIn)).await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let suharti = r#"{"resourceType":"Patient","id":"1","name":[{"family":"Suharti"}],"birthDate":"1961-05-06"}"#;
    clinic.add_patient(&admin(), suharti.into()).await.unwrap();
    let again = clinic
        .import(&admin(), suharti.into(), Mode::Store)
        .await
        .unwrap();
    assert_eq!((again.patients, again.unchanged), (0, 1));
    let mut search = search(Purpose::Treat);
    search.demographics = Demographics {
        names: vec![Name {
            family: "Suharti".to_owned(),
            given: Vec::new(),
        }],
        birth_date: Some("1961-05-06".to_owned()),
        ..Demographics::default()
    };

    let found = urgent.locate(&clinician(), &search).await.unwrap();
    search.demographics.birth_date = Some("1961-05-07".to_owned());
    let other = urgent.locate(&clinician(), &search).await.unwrap();

    assert_eq!(answer(&found, clinic.member()).term(), "match");
    assert_eq!(answer(&other, clinic.member()).term(), "more-needed");
}

/// An import whose outcome is unknown leaves what its records may name.
///
/// The hard case is a sync that fails although the bytes reach the disk: after the start the documents
/// are there, and so must be their files.
#[tokio::test(start_paused = true)]
async fn files_go_with_an_import_that_surely_failed_and_stay_where_that_is_unknown() {
    let note = r#"{"resourceType":"DocumentReference","id":"d1","status":"current","subject":{"reference":"Patient/MRN-77-1"},"content":[{"attachment":{"contentType":"text/plain","data":"SGVsbG8gV29ybGQ="}}]}"#;
    let input = || {
        bundle(
            &person("Rosalinda", "Portillo", "1937-02-13", ROSA_MRN),
            &[note.to_owned()],
        )
    };
    let (mut kept, mut gone) = (0, 0);

    for fault in [Fault::Full, Fault::Failed] {
        for write in 0..6 {
            let Scene { world, rosa, .. } = three().await;
            let clinic = &world.clinic;
            let before = document_files(clinic);
            clinic.disk().fail_write(write, fault);
            let outcome = clinic.import(&admin(), input().into(), Mode::Store).await;
            let stored = document_files(clinic);
            clinic.crash(usize::MAX);
            let clinic = clinic.restarted();

            let documents = clinic.documents(rosa);
            assert_eq!(document_files(&clinic), stored);
            if outcome.is_ok() {
                assert_eq!(documents.len(), 2);
                continue;
            }
            let found = documents.len() - 1;
            // Whatever was found at the start has its file.
            assert!(stored - before >= found, "write {write}");
            kept += found;
            if fault == Fault::Full && found == 0 {
                assert_eq!(stored, before, "write {write}");
                gone += 1;
            }
        }
    }
    assert!(
        kept > 0,
        "no sync failed behind records that were found again"
    );
    assert!(gone > 1, "the disk was never full at the journal");
}

/// What a peer fetches costs this node one file a patient, whatever fails and however often it asks.
#[tokio::test(start_paused = true)]
async fn fetches_of_one_record_make_one_snapshot_and_failed_ones_leave_no_file() {
    let Scene { world, rosa, .. } = three().await;
    let clinic = &world.clinic;
    for asker in [&world.urgent, &world.hospital] {
        grant(clinic, rosa, asker).await;
    }
    let summary = clinic.patient(rosa).unwrap().summary;
    let (first, second) = (
        located(&world.urgent, clinic).await,
        located(&world.hospital, clinic).await,
    );
    let stored = document_files(clinic);

    // The file is the first write, its record the second.
    clinic.disk().fail_write(1, Fault::Full);
    assert!(fetch(&world.urgent, first, summary).await.is_err());
    assert_eq!(document_files(clinic), stored);
    let both = tokio::join!(
        fetch(&world.urgent, first, summary),
        fetch(&world.hospital, second, summary)
    );
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(document_files(clinic), stored + 1);

    let changed = bundle(
        &person("Rosalinda", "Portillo", "1937-02-13", ROSA_MRN),
        &[observation("o1", ROSA_MRN, "Body height")],
    );
    add_to(clinic, changed).await;
    clinic.fold().halt(StoreError::Failed);
    assert!(fetch(&world.urgent, first, summary).await.is_err());
    assert_eq!(document_files(clinic), stored + 1);
}

#[tokio::test(start_paused = true)]
async fn the_file_of_a_superseded_snapshot_goes_when_its_release_is_no_longer_awaited() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let summary = clinic.patient(rosa).unwrap().summary;
    let handle = located(urgent, clinic).await;
    let stored = document_files(clinic);
    let change = |text: &str| {
        bundle(
            &person("Rosalinda", "Portillo", "1937-02-13", ROSA_MRN),
            &[observation("o1", ROSA_MRN, text)],
        )
    };
    assert!(fetch(urgent, handle, summary).await.is_ok());

    add_to(clinic, change("Body height")).await;
    assert!(fetch(urgent, handle, summary).await.is_ok());
    assert_eq!(
        document_files(clinic),
        stored + 2,
        "its release may be asked for"
    );
    pass(RELEASE_WAIT_MAX.0).await;
    add_to(clinic, change("Body weight")).await;
    assert!(fetch(urgent, handle, summary).await.is_ok());

    assert_eq!(document_files(clinic), stored + 1);
    let clinic = clinic.restarted();
    clinic.greet(urgent.node_key()).await.unwrap();
    assert!(fetch(urgent, handle, summary).await.is_ok());
    assert_eq!(document_files(&clinic), stored + 1);
}

async fn add_to(node: &SimNode, bundle: String) {
    let added = node.import(&admin(), bundle.into(), Mode::Store).await;
    assert!(added.is_ok());
}

fn human(id: &str, given: &str, family: &str, birth: &str, number: &str) -> String {
    let element = |name: &str, value: String| format!(r#","{name}":{value}"#);
    let mut patient = format!(r#"{{"resourceType":"Patient","id":"{id}""#);
    if !number.is_empty() {
        let number = format!(r#"[{{"system":"urn:oid:2.16","value":"{number}"}}]"#);
        patient += &element("identifier", number);
    }
    let given = if given.is_empty() {
        String::new()
    } else {
        format!(r#","given":["{given}"]"#)
    };
    patient += &element("name", format!(r#"[{{"family":"{family}"{given}}}]"#));
    if !birth.is_empty() {
        patient += &element("birthDate", format!(r#""{birth}""#));
    }
    patient + "}"
}

/// A batch of one patient with its address at a server.
fn at(url: &str, patient: &str) -> String {
    format!(
        r#"{{"resourceType":"Bundle","type":"batch","entry":[{{"fullUrl":"{url}","resource":{patient}}}]}}"#
    )
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

/// What a file says of its documents is bounded where it comes in.
///
/// The hard case is one text that every reader refuses: it would take the whole list with it.
#[tokio::test(start_paused = true)]
async fn a_document_of_endless_texts_comes_in_cut_and_the_list_stays_whole() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    let long = "x".repeat(TEXT_CHARS_MAX + 500);
    let input = |label: &str| {
        let note = format!(
            r#"{{"resourceType":"DocumentReference","id":"d9","status":"current","description":"{long}","author":[{{"display":"{long}"}}],"custodian":{{"display":"{long}"}},"securityLabel":[{{"coding":[{{"code":"{label}"}}]}}],"type":{{"coding":[{{"system":"http://loinc.org","code":"18842-5","display":"{long}"}}]}},"subject":{{"reference":"Patient/MRN-77-1"}},"content":[{{"attachment":{{"contentType":"{long}","data":"SGVsbG8gV29ybGQ="}}}}]}}"#
        );
        let rosa = person("Rosalinda", "Portillo", "1937-02-13", ROSA_MRN);
        bundle(&rosa, &[note]).into()
    };
    let before = clinic.counts();
    let refused = clinic.import(&admin(), input(&long), Mode::Store).await;
    assert_eq!(code(refused), Some(Code::JsonLimit), "no label is left out");
    assert_eq!(clinic.counts(), before);

    let report = clinic
        .import(&admin(), input("R"), Mode::Store)
        .await
        .unwrap();

    assert_eq!((report.documents, report.issues.len()), (1, 2));
    assert_eq!(clinic.documents(rosa).len(), 2);
    let until = Timestamp(u64::MAX);
    let (listed, complete) = urgent
        .list(
            &clinician(),
            handle,
            Purpose::Treat,
            &Wanted::default(),
            until,
        )
        .await
        .unwrap();
    assert_eq!((listed.len(), complete), (3, true));
    let cut = listed.iter().find(|entry| entry.coding.code == "18842-5");
    let cut = cut.unwrap();
    assert_eq!(cut.title.chars().count(), TEXT_CHARS_MAX);
    assert_eq!(cut.content_type, "application/octet-stream");
    assert_eq!(cut.labels, ["R"]);
}

#[tokio::test(start_paused = true)]
async fn a_document_no_reader_would_take_is_refused_and_leaves_no_file() {
    let Scene { world, rosa, .. } = three().await;
    let clinic = &world.clinic;
    let describe = |title: usize, author: usize, content_type: &str| Description {
        title: "x".repeat(title),
        author: "x".repeat(author),
        content_type: content_type.to_owned(),
        ..Description::default()
    };
    let most = TEXT_CHARS_MAX;
    let stored = document_files(clinic);

    for description in [
        describe(most + 1, 1, "text/plain"),
        describe(1, most + 1, "text/plain"),
        describe(1, 1, "text/\u{1b}plain"),
    ] {
        let refused = clinic
            .add_document(&admin(), rosa, in_memory("A note."), description)
            .await;
        assert_eq!(code(refused), Some(Code::TooLarge));
    }

    assert_eq!(document_files(clinic), stored);
    let taken = describe(most, most, "text/plain");
    let added = clinic
        .add_document(&admin(), rosa, in_memory("A note."), taken)
        .await;
    assert!(added.is_ok());
    assert_eq!(clinic.documents(rosa).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_too_long_for_one_message_is_cut_and_says_so() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    // Four bytes a letter.
    let long = "\u{10348}".repeat(TEXT_CHARS_MAX);
    for number in 0..120 {
        let description = Description {
            title: long.clone(),
            author: long.clone(),
            author_organization: long.clone(),
            content_type: "text/plain".to_owned(),
            ..Description::default()
        };
        let note = format!("Note {number}.");
        let added = clinic
            .add_document(&admin(), rosa, in_memory(note), description)
            .await;
        assert!(added.is_ok());
    }
    let all = Wanted {
        limit: LIST_MAX,
        ..Wanted::default()
    };

    let (listed, complete) = urgent
        .list(
            &clinician(),
            handle,
            Purpose::Treat,
            &all,
            Timestamp(u64::MAX),
        )
        .await
        .unwrap();

    assert!(!complete);
    let each = 3 * long.len();
    let most = LIST_MAX_BYTES / each;
    // Beside them the record itself, which says little.
    assert!((most - 2..=most + 1).contains(&listed.len()), "{most}");
}

/// What belongs to nobody, in the words of two systems.
#[tokio::test(start_paused = true)]
async fn each_wording_of_a_directory_resource_is_kept_once() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let import = async |name: &str| {
        let organization =
            format!(r#"{{"resourceType":"Organization","id":"g1","name":"{name}"}}"#);
        let before = clinic.counts().resources;
        let report = clinic
            .import(&admin(), organization.into(), Mode::Store)
            .await;
        let report = report.unwrap();
        let counted = clinic.counts().resources - before;
        assert_eq!(report.resources, counted);
        assert_eq!(report.unchanged, 1 - counted);
        counted
    };

    assert_eq!(import("Elm Street Clinic").await, 1);
    assert_eq!(import("Elm St. Clinic").await, 1);

    assert_eq!(import("Elm Street Clinic").await, 0);
    assert_eq!(import("Elm St. Clinic").await, 0);
}

fn note(id: &str, data: &str) -> String {
    format!(
        r#"{{"resourceType":"DocumentReference","id":"{id}","status":"current","subject":{{"reference":"Patient/MRN-77-1"}},"content":[{{"attachment":{{"contentType":"text/plain","data":"{data}"}}}}]}}"#
    )
}

/// Hard case: the same bytes twice in one input, and by hand before.
#[tokio::test(start_paused = true)]
async fn one_content_is_one_document_however_often_it_comes() {
    let Scene { world, rosa, .. } = three().await;
    let clinic = &world.clinic;
    let input = |notes: &[String]| {
        let rosa = person("Rosalinda", "Portillo", "1937-02-13", ROSA_MRN);
        bundle(&rosa, notes)
    };
    let twice = input(&[
        note("d1", "SGVsbG8gV29ybGQ="),
        note("d2", "SGVsbG8gV29ybGQ="),
    ]);
    let import = async |input: &str, mode| {
        let report = clinic.import(&admin(), input.to_owned().into(), mode).await;
        let report = report.unwrap();
        (report.documents, report.resources, report.unchanged)
    };
    let before = document_files(clinic);

    assert_eq!(import(&twice, Mode::DryRun).await, (1, 2, 2));
    assert_eq!(document_files(clinic), before);
    assert_eq!(import(&twice, Mode::Store).await, (1, 2, 2));
    assert_eq!(import(&twice, Mode::DryRun).await, (0, 0, 5));
    assert_eq!(import(&twice, Mode::Store).await, (0, 0, 5));
    assert_eq!(document_files(clinic), before + 1);
    let added = async |bytes: &'static [u8]| {
        let added = clinic
            .add_document(&admin(), rosa, in_memory(bytes), Description::default())
            .await;
        added.unwrap().document
    };
    let stored = clinic.documents(rosa);
    let again = added(b"Hello World").await;
    assert!(stored.iter().any(|(document, _)| document.id == again));
    assert_eq!(document_files(clinic), before + 1);
    added(b"By hand").await;
    let by_hand = input(&[note("d3", "QnkgaGFuZA==")]);
    assert_eq!(import(&by_hand, Mode::Store).await, (0, 1, 2));
    assert_eq!(document_files(clinic), before + 2);
}

#[tokio::test(start_paused = true)]
async fn files_of_an_import_that_fails_on_its_way_go() {
    let input = || {
        let rosa = person("Rosalinda", "Portillo", "1937-02-13", ROSA_MRN);
        bundle(
            &rosa,
            &[note("d1", "SGVsbG8gV29ybGQ="), note("d2", "QnkgaGFuZA==")],
        )
    };
    let mut failed = 0;
    // Before the sync of the journal, behind which nobody knows.
    for write in 0..7 {
        let Scene { world, .. } = three().await;
        let clinic = &world.clinic;
        let before = document_files(clinic);
        clinic.disk().fail_write(write, Fault::Full);

        let outcome = clinic.import(&admin(), input().into(), Mode::Store).await;

        let expected = if outcome.is_ok() { before + 2 } else { before };
        assert_eq!(document_files(clinic), expected, "write {write}");
        failed += usize::from(outcome.is_err());
    }
    assert_eq!(failed, 7);
}

/// Hard case: one input, so that nothing of it is stored when the next line is judged.
#[tokio::test(start_paused = true)]
async fn a_number_that_was_given_up_is_free_for_somebody_else() {
    let john = |number: &str| human("1", "John", "Smith", "1950-03-04", number);
    let mary = human("2", "Mary", "Jones", "1983-07-09", "N-1");
    let world = network(Kind::Clinic, Rules::of(Template::OptIn)).await;
    let clinic = &world.clinic;
    let held = async |clinic: &SimNode, patient: &str| {
        let report = clinic
            .import(&admin(), bundle(patient, &[]).into(), Mode::Store)
            .await;
        code(report)
    };
    assert_eq!(held(clinic, &john("N-1")).await, None);
    let taken = Some(Code::PatientConflict);
    assert_eq!(held(clinic, &mary).await, taken);

    assert_eq!(held(clinic, &john("N-2")).await, None);
    assert_eq!(held(clinic, &mary).await, None);

    assert_eq!(clinic.counts().patients, 2);
    let about = observation("o1", "x", "Pulse");
    let elsewhere = about.replace("Patient/x", "http://b.example/fhir/Patient/8");
    let moved = at(
        "http://b.example/fhir/Patient/8",
        &human("8", "John", "Smith", "1950-03-04", "N-2"),
    );
    let lines = [
        john("N-1"),
        john("N-2"),
        john("N-2"),
        moved,
        mary,
        elsewhere,
    ];
    for mode in [Mode::DryRun, Mode::Store] {
        let world = network(Kind::Clinic, Rules::of(Template::OptIn)).await;
        let input = lines.iter().map(|line| line.clone().into()).collect();
        let met = &mut Met::default();

        let report = world.clinic.import_lines(&admin(), input, mode, met).await;

        let report = report.unwrap();
        let refused: Vec<_> = report.refused.iter().map(|(line, _)| *line).collect();
        assert!(refused.is_empty(), "{refused:?}");
        let imported = report.imported;
        assert_eq!(
            (imported.patients, imported.resources, imported.unchanged),
            (2, 5, 1)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_patient_is_added_alone() {
    let Scene { world, .. } = three().await;
    let clinic = &world.clinic;
    let ana = person("Ana", "Diaz", "2015-01-01", "MRN-55-5");
    assert!(
        clinic
            .add_patient(&admin(), ana.clone().into())
            .await
            .is_ok()
    );
    let before = clinic.counts();

    let with_more = bundle(&ana, &[observation("o1", "MRN-55-5", "Pulse")]);
    let told = clinic.add_patient(&admin(), with_more.into()).await;
    assert_eq!(code(told), Some(Code::FhirType));
    let nobody = observation("o1", "MRN-55-5", "Pulse");
    let told = clinic.add_patient(&admin(), nobody.into()).await;
    assert!(told.is_err());
    assert_eq!(clinic.counts(), before);
}

/// The caller goes away while the disk is still at it, and somebody sends the same again at once.
#[tokio::test(start_paused = true)]
async fn a_flow_that_is_dropped_in_its_commit_hands_its_turn_on_when_it_took_effect() {
    const SYNC_MS: u64 = 50;
    for gives_up_after_ms in [SYNC_MS - 1, SYNC_MS + 1] {
        let Scene { world, .. } = three().await;
        let clinic = &world.clinic;
        let before = clinic.counts();
        let again = human("1", "Ana", "Diaz", "2015-01-01", "");
        clinic.world().set_fsync(SYNC_MS);

        let patience = std::time::Duration::from_millis(gives_up_after_ms);
        let first = tokio::time::timeout(patience, async {
            clinic.add_patient(&admin(), again.clone().into()).await
        });
        let first = first.await;
        let second = clinic.add_patient(&admin(), again.into()).await.unwrap();

        assert_eq!(first.is_ok(), gives_up_after_ms > SYNC_MS);
        if let Ok(first) = first {
            assert_eq!(first.unwrap(), second);
        }
        assert_eq!(clinic.counts().patients, before.patients + 1);
    }
}
