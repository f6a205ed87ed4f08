//! The whole way of a document, and who may open and close it.

use chartmesh_core::{
    audit::Kind as Audited,
    flows::{Description, Wanted, in_memory},
    ports::{Clock as _, Journal, Rpc},
    records::{Batch, Coding, ConsentForm, HandleReceived, RecordKind, Scope, Target},
    types::{Code, Handle, Purpose, Span, Timestamp, limits::LIST_DEFAULT},
    wire::{self, DocumentEntry},
};

use chartmesh_tests::{Frame, Kind};

use crate::scenario::*;

#[tokio::test(start_paused = true)]
async fn a_document_is_located_denied_granted_fetched_and_lost_again() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);

    let ledger = locate(urgent).await;
    assert_eq!(answer(&ledger, world.hospital.member()).term(), "no-match");
    assert!(ledger.complete());
    let handle = handle(&ledger, clinic);
    assert_eq!(
        code(fetch(urgent, handle, document).await),
        Some(Code::Denied)
    );

    let consent = grant(clinic, rosa, urgent).await;
    let until = Timestamp(u64::MAX);
    let wanted = Wanted::default();
    let (entries, complete) = urgent
        .list(&clinician(), handle, Purpose::Treat, &wanted, until)
        .await
        .unwrap();
    assert!(complete && entries.len() == 2 && entries.len() <= LIST_DEFAULT as usize);
    assert!(entries[0].on_demand, "the record bundle stands first");
    assert_eq!(entries[1].id, document);
    assert_eq!(fetch(urgent, handle, document).await.unwrap(), TEXT);

    let disclosed = audited(clinic, Audited::Disclosed).await;
    let received = audited(urgent, Audited::Received).await;
    let (there, here) = (&disclosed[0], received.last().unwrap());
    assert_eq!(disclosed.len(), 1);
    assert!(there.disclosure.is_some());
    assert_eq!(there.disclosure, here.disclosure);
    assert_eq!(there.receipt, here.receipt);
    assert_eq!(there.consent, Some(consent));
    let lines = clinic.accounting(rosa).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].recipient, urgent.member());
    assert_eq!(lines[0].purpose, Purpose::Treat);
    assert!(lines[0].description.contains("text/plain"));
    assert_eq!(Some(lines[0].disclosure), here.disclosure);

    clinic.revoke(&clinician(), consent).await.unwrap();
    assert_eq!(
        code(fetch(urgent, handle, document).await),
        Some(Code::Denied)
    );
    assert_eq!(audited(clinic, Audited::Disclosed).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_record_bundle_holds_every_resource_and_can_be_imported() {
    let Scene { world, rosa, .. } = three().await;
    grant(&world.clinic, rosa, &world.urgent).await;
    let handle = located(&world.urgent, &world.clinic).await;
    let summary = world.clinic.patient(rosa).unwrap().summary;

    let bytes = fetch(&world.urgent, handle, summary).await.unwrap();
    let again = fetch(&world.urgent, handle, summary).await.unwrap();

    assert_eq!(bytes, again, "one snapshot serves until the record changes");
    let bundle: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let types: Vec<&str> = bundle["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["resource"]["resourceType"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["Patient", "Observation", "Observation"]);
}

#[tokio::test(start_paused = true)]
async fn the_subject_comes_from_the_holders_record() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let sam = add(clinic, sam_bundle()).await;
    let of_sam = attach(clinic, sam, b"about Sam").await;
    // Consent for both, so that only the handle can be what decides.
    grant(clinic, rosa, urgent).await;
    grant(clinic, sam, urgent).await;
    let handle = located(urgent, clinic).await;

    assert_eq!(fetch(urgent, handle, document).await.unwrap(), TEXT);
    world.net.rewind();
    assert_eq!(
        code(fetch(urgent, handle, of_sam).await),
        Some(Code::HandleUnknown)
    );
    let summary = clinic.patient(sam).unwrap().summary;
    assert_eq!(
        code(fetch(urgent, handle, summary).await),
        Some(Code::HandleUnknown)
    );
    let beyond_the_head = |frame: &Frame| matches!(frame.kind, Kind::Leaves | Kind::Chunk(_));
    assert!(!world.net.tape().iter().any(beyond_the_head));
}

#[tokio::test(start_paused = true)]
async fn only_staff_of_the_holder_grant_and_revoke() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let handle = located(urgent, clinic).await;
    let wish = statement(rosa, urgent.member(), &[Purpose::Treat]);

    // The asker's own staff have no such patient, and no peer message says it for them.
    assert_eq!(
        code(urgent.state_consent(&clinician(), wish).await),
        Some(Code::PatientUnknown)
    );
    let consent = grant(clinic, rosa, &world.hospital).await;
    let stated = clinic.consents(rosa).unwrap();
    let mut forged = stated[0].clone();
    forged.target = Target::Any;
    let forged = wire::encode_consent(&forged);
    for rpc in Rpc::ALL {
        let told = clinic
            .serve(urgent.node_key(), rpc, forged.clone().into())
            .await;
        assert!(told.is_err());
    }
    assert_eq!(clinic.consents(rosa).unwrap().len(), 1);
    assert_eq!(
        code(fetch(urgent, handle, document).await),
        Some(Code::Denied)
    );
    assert_eq!(
        code(urgent.revoke(&clinician(), consent).await),
        Some(Code::ConsentUnknown)
    );

    let own = grant(clinic, rosa, urgent).await;
    assert!(fetch(urgent, handle, document).await.is_ok());
    clinic.revoke(&clinician(), own).await.unwrap();
    assert_eq!(
        code(fetch(urgent, handle, document).await),
        Some(Code::Denied)
    );
    assert_eq!(
        code(clinic.revoke(&clinician(), own).await),
        Some(Code::ConsentUnknown)
    );
}

#[tokio::test(start_paused = true)]
async fn a_backdated_grant_does_not_outlive_a_revocation() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let handle = located(urgent, clinic).await;
    let consent = grant(clinic, rosa, urgent).await;
    assert!(fetch(urgent, handle, document).await.is_ok());
    let granted = clinic.consents(rosa).unwrap().remove(0);
    clinic.revoke(&clinician(), consent).await.unwrap();

    // The same grant again, claimed to hold since long ago: replayed into the journal itself.
    let mut late = granted.clone();
    late.from = granted.from.minus(Span::days(365));
    for replayed in [granted, late] {
        let mut batch = Batch::default();
        let body = wire::encode_consent(&replayed);
        batch.push(RecordKind::Consent, Scope::Patient(rosa), body);
        assert!(clinic.world().commit(batch).await.is_ok());
        assert_eq!(
            code(fetch(urgent, handle, document).await),
            Some(Code::Denied)
        );
    }

    grant(clinic, rosa, urgent).await;
    assert!(fetch(urgent, handle, document).await.is_ok());
}

/// Hard case: a bound is a whole day, whatever the hour of the document.
#[tokio::test(start_paused = true)]
async fn a_list_holds_what_is_wanted_summaries_first_and_then_the_newest() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    let of = async |code: &str, date: &str| {
        let description = Description {
            coding: Coding {
                system: Coding::LOINC.to_owned(),
                code: code.to_owned(),
                display: String::new(),
            },
            content_type: "text/plain".to_owned(),
            date: Timestamp::parse(date),
            ..Description::default()
        };
        let content = in_memory(format!("{code} of {date}"));
        let added = clinic
            .add_document(&clinician(), rosa, content, description)
            .await;
        added.unwrap().document
    };
    let note = of("11506-3", "2025-05-01T09:00:00Z").await;
    let discharge = of("18842-5", "2025-04-30T23:59:59Z").await;
    let later = of("11506-3", "2025-05-02T00:00:00Z").await;
    let listed = async |wanted: Wanted| {
        let until = Timestamp(u64::MAX);
        let listed = urgent
            .list(&clinician(), handle, Purpose::Treat, &wanted, until)
            .await;
        let entries = listed.unwrap().0;
        let of_day = |entry: &&DocumentEntry| entry.date < Timestamp::parse("2026-01-01").unwrap();
        entries
            .iter()
            .filter(of_day)
            .map(|entry| entry.id)
            .collect::<Vec<_>>()
    };
    let day = |date: &str| Some(date.to_owned());
    let all = Wanted::default();
    let cases = [
        (all.clone(), vec![discharge, later, note]),
        (
            Wanted {
                types: vec!["11506-3".to_owned()],
                ..all.clone()
            },
            vec![later, note],
        ),
        (
            Wanted {
                since: day("2025-05-01"),
                ..all.clone()
            },
            vec![later, note],
        ),
        (
            Wanted {
                until: day("2025-05-01"),
                ..all.clone()
            },
            vec![discharge, note],
        ),
        (
            Wanted {
                types: vec!["18842-5".to_owned()],
                since: day("2025-05-01"),
                ..all.clone()
            },
            Vec::new(),
        ),
        (
            Wanted {
                since: day("2025-05-02"),
                until: day("2025-05-01"),
                ..all.clone()
            },
            Vec::new(),
        ),
    ];

    for (wanted, expected) in cases {
        assert_eq!(listed(wanted).await, expected);
    }

    let until = Timestamp(u64::MAX);
    let whole = urgent
        .list(&clinician(), handle, Purpose::Treat, &all, until)
        .await
        .unwrap();
    assert!(whole.0[0].on_demand);
    assert_eq!(whole.0[0].coding.code, "11503-0");
}

#[tokio::test(start_paused = true)]
async fn a_handle_is_not_asked_about_at_its_end_nor_after() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    grant(clinic, rosa, urgent).await;
    let document = clinic.documents(rosa)[0].0.id;
    let handle = Handle([9; 20]);
    let ends = urgent.world().now().plus(Span::minutes(1));
    let mut batch = Batch::default();
    let received = HandleReceived {
        handle,
        holder: clinic.member(),
        patient: None,
        until: ends,
    };
    let body = wire::encode_handle_received(&received);
    batch.push(RecordKind::HandleReceived, Scope::Store, body);
    assert!(urgent.world().commit(batch).await.is_ok());
    let asked = async || {
        world.net.rewind();
        let told = code(fetch(urgent, handle, document).await);
        assert_eq!(told, Some(Code::HandleUnknown));
        !world.net.tape().is_empty()
    };
    let rest = ends.since(urgent.world().now());
    pass(rest.0 - 1).await;
    assert!(asked().await, "the clinic says so");
    let rest = ends.since(urgent.world().now());

    pass(rest.0).await;

    assert!(!asked().await);
}

#[tokio::test(start_paused = true)]
async fn a_consent_names_what_for_and_ends_after_it_begins() {
    let Scene { world, rosa, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let begins = clinic.world().now();
    let stated = async |purposes: &[Purpose], form, until| {
        let said = chartmesh_core::flows::Statement {
            form,
            from: Some(begins),
            until,
            ..statement(rosa, urgent.member(), purposes)
        };
        code(clinic.state_consent(&clinician(), said).await)
    };
    let (plain, treat) = (ConsentForm::Provision, [Purpose::Treat]);
    assert_eq!(stated(&treat, plain, None).await, None);
    let moment = begins.plus(Span(1));
    assert_eq!(stated(&treat, plain, Some(moment)).await, None);
    assert_eq!(stated(&[], ConsentForm::OptIn, None).await, None);

    let nothing = stated(&[], plain, None).await;
    assert_eq!(nothing, Some(Code::PurposeUnknown));
    for until in [begins, begins.minus(Span(1))] {
        let never = stated(&treat, plain, Some(until)).await;
        assert_eq!(never, Some(Code::Usage));
    }
    assert_eq!(clinic.consents(rosa).unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn people_and_documents_are_found_by_what_is_said_of_them_and_shown_in_order() {
    let Scene { world, rosa, .. } = three().await;
    let clinic = &world.clinic;
    let ana = person("Ana", "Diaz", "2015-01-01", "MRN-55-5");
    let ana = clinic
        .add_patient(&admin(), ana.clone().into())
        .await
        .unwrap();
    let found = |text: &str| {
        let found = clinic.patients(text).into_iter();
        found.map(|patient| patient.id).collect::<Vec<_>>()
    };
    for text in ["1937-02-13", ROSA_MRN, "rosal port", "1937 MRN-77"] {
        assert!(found(text) == [rosa], "{text}");
    }
    assert!(found("2015 portillo").is_empty());
    let people = clinic.patients("").into_iter();
    let names: Vec<_> = people
        .map(|found| found.demographics.display_name())
        .collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted);
    assert!(found("").contains(&ana) && names.len() == 2);
    let types = clinic.resource_types(rosa).await.unwrap();
    assert_eq!(
        types.into_iter().collect::<Vec<_>>(),
        [("Observation".to_owned(), 2)]
    );
    let read = person("Rosalinda", "Portillo", "1937-02-13", ROSA_MRN);
    let read = clinic.read_demographics(read.as_bytes()).unwrap();
    assert!(read.names == demographics_of_rosa().names);
    assert_eq!(read.birth_date, demographics_of_rosa().birth_date);
    let nobody = r#"{"resourceType":"Patient","id":"a","id":"b"}"#;
    let nobody = clinic.read_demographics(nobody.as_bytes());
    assert_eq!(code(nobody), Some(Code::JsonDuplicateKey));

    let mut dates = Vec::new();
    for (number, date) in ["2024-01-01", "2026-01-01", "2025-01-01"]
        .into_iter()
        .enumerate()
    {
        let description = Description {
            date: Timestamp::parse(date),
            content_type: "text/plain".to_owned(),
            status: if number == 0 { "superseded" } else { "" }.to_owned(),
            ..Description::default()
        };
        let content = in_memory(date);
        let added = clinic
            .add_document(&clinician(), ana, content, description)
            .await;
        added.unwrap();
        dates.push(Timestamp::parse(date).unwrap());
    }
    dates.sort();
    dates.reverse();
    let documents = clinic.documents(ana);
    let shown: Vec<_> = documents
        .iter()
        .map(|(document, _)| document.date)
        .collect();
    assert_eq!(shown, dates);
    let status = documents
        .iter()
        .map(|(document, _)| document.status.as_str());
    assert_eq!(
        status.collect::<Vec<_>>(),
        ["current", "current", "superseded"]
    );
}

fn demographics_of_rosa() -> chartmesh_core::records::Demographics {
    demographics("Rosalinda", "Portillo", "1937-02-13", ROSA_MRN)
}

/// Rows lie in the order of keyed hashes, which says nothing to anybody.
#[tokio::test(start_paused = true)]
async fn the_resources_of_a_record_stand_in_the_order_of_type_and_id() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let many: Vec<String> = (0..12)
        .map(|number| observation(&format!("o{number:02}"), "MRN-66-6", "Pulse"))
        .collect();
    let kim = person("Kim", "Roe", "1990-09-09", "MRN-66-6");
    let kim = add(clinic, bundle(&kim, &many)).await;
    grant(clinic, kim, urgent).await;
    let mut wanted = search(Purpose::Treat);
    wanted.demographics = demographics("Kim", "Roe", "1990-09-09", "MRN-66-6");
    let ledger = urgent.locate(&clinician(), &wanted).await.unwrap();
    let summary = clinic.patient(kim).unwrap().summary;

    let got = fetch(urgent, handle(&ledger, clinic), summary)
        .await
        .unwrap();

    let got: serde_json::Value = serde_json::from_slice(&got).unwrap();
    let entries = got["entry"].as_array().unwrap().iter();
    let ids: Vec<String> = entries
        .filter(|entry| entry["resource"]["resourceType"] == "Observation")
        .map(|entry| entry["resource"]["id"].to_string())
        .collect();
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!(ids.len(), 12);
    assert_eq!(ids, sorted);
}
