//! Every FHIR file of the shared material is read or refused with a code, and Synthea's people whole.

#![allow(
    clippy::disallowed_methods,
    reason = "a test reads the material from the disk"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use chartmesh_core::{
    formats::{self, FormatError, Plan, Subject},
    matching::{self, Verdict},
    types::{Code, Timestamp},
};

const FOLDERS: [&str; 11] = [
    "synthea-r4",
    "r4-spec-examples",
    "us-core-examples",
    "us-core-inferno",
    "validator-cases",
    "ihe-mhd",
    "ihe-pcf",
    "ihe-pdqm",
    "ihe-basicaudit",
    "ips",
    "fhir-test-cases-r4",
];

#[test]
fn every_file_of_the_corpus_is_read_or_refused_with_a_code() {
    let Some(fhir) = shared("data/fhir") else {
        return;
    };

    for folder in FOLDERS {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut patients, mut resources, mut files, mut issues) = (0, 0, 0, 0);
        for path in json_files(&fhir.join(folder)) {
            match formats::read(&content(&path)) {
                Ok(plan) => {
                    *counts.entry("read").or_default() += 1;
                    patients += plan.patients.len();
                    resources += plan.resources.len();
                    issues += plan.issues.len();
                    let attachments = plan.resources.iter().map(|input| input.attachments.len());
                    files += attachments.sum::<usize>();
                }
                Err(error) => {
                    *counts.entry(error.code().text()).or_default() += 1;
                    println!("  {}: {error}", path.display());
                }
            }
        }
        println!(
            "{folder}: {counts:?}; {patients} patients, {resources} resources, {files} files, {issues} issues"
        );
        assert!(!counts.is_empty(), "{folder} is empty");
    }
}

#[test]
fn people_of_synthea_come_in_whole() {
    let Some(folder) = shared("data/fhir/synthea-r4") else {
        return;
    };
    let manifest = fs::read_to_string(folder.join("MANIFEST.csv")).expect("MANIFEST.csv");

    let mut people = 0;
    for line in manifest.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let input = content(&folder.join(fields[0]));
        let plan = formats::read(&input).unwrap_or_else(|error| panic!("{}: {error}", fields[0]));

        let (person, count) = (
            &plan.patients[0],
            plan.patients.len() + plan.resources.len(),
        );
        assert_eq!(plan.patients.len(), 1);
        assert_eq!(count.to_string(), fields[4], "{}", fields[0]);
        assert_eq!(person.demographics.birth_date.as_deref(), Some(fields[1]));
        assert_eq!(
            person.demographics.sex.map(|sex| sex.code()),
            Some(fields[2])
        );
        assert!(plan.issues.is_empty(), "{}: {:?}", fields[0], plan.issues);
        for resource in &plan.resources {
            let shared = matches!(&*resource.resource_type, "Organization" | "Practitioner");
            let subject = match resource.subject {
                Subject::Patient(0) => !shared,
                Subject::Directory => shared,
                _ => false,
            };
            assert!(subject, "{} of {}", resource.resource_type, fields[0]);
        }
        people += 1;
    }
    assert_eq!(people, 16);
}

#[test]
fn directories_of_synthea_are_about_nobody() {
    let Some(folder) = shared("data/fhir/synthea-r4") else {
        return;
    };

    for name in ["hospitalInformation", "practitionerInformation"] {
        let path = json_files(&folder)
            .into_iter()
            .find(|path| path.to_string_lossy().contains(name))
            .expect("a directory bundle");
        let plan = formats::read(&content(&path)).expect("a directory");

        assert!(plan.patients.is_empty());
        assert_eq!(plan.resources.len(), 102);
        let about_nobody = |plan: &Plan| {
            let mut resources = plan.resources.iter();
            resources.all(|resource| resource.subject == Subject::Directory)
        };
        assert!(about_nobody(&plan));
    }
}

#[test]
fn each_person_of_synthea_is_found_and_nobody_else() {
    let Some(folder) = shared("data/fhir/synthea-r4") else {
        return;
    };
    let plans: Vec<Plan> = json_files(&folder)
        .iter()
        .map(|path| formats::read(&content(path)).expect("a Synthea file"))
        .filter(|plan| !plan.patients.is_empty())
        .collect();
    let people: Vec<_> = plans
        .iter()
        .enumerate()
        .map(|(index, plan)| (index, &plan.patients[0].demographics))
        .collect();

    for (index, person) in &people {
        let Verdict::Match {
            id, score_permille, ..
        } = matching::verdict(person, &people)
        else {
            panic!("person {index} is not found");
        };
        assert_eq!(id, *index);
        assert_eq!(score_permille, 1_000);
    }
    let mut keys = BTreeSet::new();
    for (_, person) in &people {
        for key in matching::blocking_keys(person) {
            assert!(keys.insert(key), "two people share a key");
        }
    }
}

#[test]
fn a_record_is_written_with_every_resource_byte_for_byte() {
    let Some(folder) = shared("data/fhir/synthea-r4") else {
        return;
    };
    let path = &json_files(&folder)[0];
    let plan = formats::read(&content(path)).expect("a Synthea file");

    let write = || {
        let resources = plan.resources.iter().map(|resource| &*resource.json);
        formats::record_bundle(
            &plan.patients[0].json,
            resources,
            Timestamp(1_795_000_000_000),
        )
        .expect("a record")
    };
    let record = write();

    assert_eq!(record, write());
    formats::check(&record).expect("the record is JSON");
    for resource in &plan.resources {
        let found = record
            .windows(resource.json.len())
            .any(|window| window == &*resource.json);
        assert!(found, "{} is not there", resource.resource_type);
    }
    // The same record as a document is about one patient, every reference resolved.
    let document = String::from_utf8(record).expect("text").replacen(
        r#""type":"collection""#,
        r#""type":"document""#,
        1,
    );
    let again = formats::read(&Bytes::from(document)).expect("the record is read");
    assert_eq!(again.resources.len(), plan.resources.len());
    assert!(
        again
            .resources
            .iter()
            .all(|resource| matches!(resource.subject, Subject::Patient(0) | Subject::Directory))
    );
}

#[test]
fn a_person_with_a_resource_of_somebody_else_is_refused_whole() {
    let Some(folder) = shared("data/fhir/synthea-r4") else {
        return;
    };
    let path = &json_files(&folder)[0];
    let text = String::from_utf8(content(path).to_vec()).expect("text");
    let plan = formats::read(&Bytes::from(text.clone())).expect("unchanged, it is read");
    let own = format!(r#""reference": "urn:uuid:{}""#, plan.patients[0].local_id);

    let mut crossed = 0;
    for (at, _) in text.match_indices(&own) {
        let mut foreign = text.clone();
        foreign.replace_range(
            at..at + own.len(),
            r#""reference": "Patient/somebody-else""#,
        );

        let error = formats::read(&Bytes::from(foreign))
            .err()
            .map(|error| error.code());
        assert_eq!(error, Some(Code::SubjectForeign));
        crossed += 1;
        if crossed == 100 {
            break;
        }
    }
    assert_eq!(crossed, 100);
}

#[test]
fn what_the_reference_validator_finds_unreadable_is_refused() {
    let Some(folder) = shared("data/fhir/validator-cases") else {
        return;
    };

    for path in json_files(&folder) {
        let bytes = content(&path);
        let ours = formats::check(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let theirs: Result<serde_json::Value, _> =
            serde_json::from_str(text.trim_start_matches('\u{feff}'));
        match (&ours, &theirs) {
            (Ok(()), Ok(_)) | (Err(FormatError::Json { .. }), Err(_)) => {}
            (Err(FormatError::DuplicateKey { .. } | FormatError::Limit { .. }), Ok(_)) => {}
            _ => panic!("{}: {ours:?}, {theirs:?}", path.display()),
        }
    }
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn content(path: &Path) -> Bytes {
    fs::read(path).expect("a file").into()
}

/// The shared material: `$CHARTMESH_SHARED`, or `shared` beside the workspace or above it.
fn shared(name: &str) -> Option<PathBuf> {
    let named = env::var_os("CHARTMESH_SHARED").map(PathBuf::from);
    let above = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared"));
    let found = named
        .into_iter()
        .chain(above)
        .map(|shared| shared.join(name))
        .find(|path| path.is_dir());
    if found.is_none() {
        println!("skipped: shared data missing");
        assert!(
            env::var_os("CHARTMESH_DEMAND_SHARED").is_none(),
            "shared data is missing"
        );
    }
    found
}
