//! Files become records, whole or not at all, once.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use crate::{
    node::{Node, PATIENCE, text},
    people::{ROSA, TOMAS},
    story::import,
    world::{World, lines},
};

/// A bad input is refused with its code, and everything beside it is in.
#[test]
fn one_bad_input_does_not_stop_the_rest() {
    let world = World::new();
    let mut node = world.node("clinic", "Maple Family Clinic", "clinic");
    node.start();
    fs::create_dir_all(world.path("in/deeper")).expect("made");
    let good = ROSA.bundle();
    world.file("in/a.json", &good[..good.len() / 2]);
    world.file("in/b.json", &good);
    world.file("in/deeper/c.JSON", &TOMAS.bundle());
    world.file("in/notes.txt", b"to be left alone");
    let folder = world.out("in");

    let first = node.run(&["import", &folder]).expect(6);

    let report = first.json;
    assert_eq!(counts(&report), (2, 1, 2, 6), "{report}");
    assert!(first.stderr.contains("INPUT_REFUSED"), "{}", first.stderr);
    let said = |name: &str| {
        lines(&report["reports"])
            .find(|line| text(&line["input"]).ends_with(name))
            .expect("a report of each")
    };
    assert_eq!(said("a.json")["status"], "refused");
    assert!(lines(&said("a.json")["issues"]).count() > 0, "{report}");
    assert_eq!(said("b.json")["status"], "imported");
    assert_eq!(said("c.JSON")["status"], "imported");
    assert_eq!(said("notes.txt")["status"], "skipped");

    world.file("in/a.json", &good);
    let again = node.ok(&["import", &folder]);
    assert_eq!(counts(&again), (3, 0, 0, 0), "{again}");
}

/// Bulk data comes in whatever the order of its files, and a bad line stops no other.
///
/// The hard case is a line about somebody who comes later, in the same file and in another.
#[test]
fn lines_are_imported_each_for_itself() {
    let world = World::new();
    let mut node = world.node("clinic", "Maple Family Clinic", "clinic");
    node.start();
    fs::create_dir_all(world.path("bulk")).expect("made");
    let allergy = |id: &str, patient: &str| {
        json!({"resourceType": "AllergyIntolerance", "id": id, "code": {"text": "Peanut"},
               "patient": {"reference": format!("Patient/{patient}")}})
    };
    let mut first = String::from("\u{feff}\r\n");
    for line in [allergy("a1", ROSA.mrn), allergy("a2", TOMAS.mrn)] {
        first += &format!("{line}\r\n");
    }
    let mixed = format!(
        "{}\n\nnot json\n{}\n{}",
        allergy("a3", TOMAS.mrn),
        allergy("a4", "nobody"),
        TOMAS.resource()
    );
    world.file("bulk/AllergyIntolerance.ndjson", first.as_bytes());
    world.file("bulk/Mixed.JSONL", mixed.as_bytes());
    world.file(
        "bulk/Patient.ndjson",
        format!("{}\n", ROSA.resource()).as_bytes(),
    );
    let folder = world.out("bulk");

    let dry = node.run(&["import", &folder, "--dry-run"]).expect(6).json;
    assert_eq!(counts(&dry), (2, 1, 2, 5), "{dry}");
    assert_eq!(stored(&node), 0);
    let report = node.run(&["import", &folder]).expect(6).json;

    assert_eq!(counts(&report), (2, 1, 2, 5), "{report}");
    let said = &report["reports"][1];
    assert!(text(&said["input"]).ends_with("Mixed.JSONL"), "{report}");
    assert_eq!(said["status"], "partial");
    assert_eq!(
        (&said["lines"], &said["lines_refused"]),
        (&json!(4), &json!(2))
    );
    let issues: Vec<String> = lines(&said["issues"]).map(text).collect();
    assert!(
        issues[0].starts_with("JSON_MALFORMED: line 3: "),
        "{issues:?}"
    );
    assert!(
        issues[1].starts_with("SUBJECT_UNKNOWN: line 4: "),
        "{issues:?}"
    );
    let again = node.run(&["import", &folder]).expect(6).json;
    assert_eq!(counts(&again), (2, 1, 0, 0), "{again}");
    assert_eq!(again["unchanged"], 5);

    let named = world.file("list.txt", mixed.replace("not json\n", "").as_bytes());
    let named = node.run(&["import", &named]).expect(6).json;
    assert_eq!(
        named["reports"][0]["status"], "partial",
        "told by its content"
    );
    let people = json!({"resourceType": "Bundle", "type": "collection", "entry": [
        {"resource": ROSA.resource()}, {"resource": crate::people::RITA.resource()}]});
    let collection = world.file("people.json", people.to_string().as_bytes());
    assert_eq!(counts(&node.ok(&["import", &collection])), (1, 0, 1, 1));
}

/// Inputs imported while the daemon is killed: as many as the kill finds under way.
const UNDER_WAY: usize = 400;
const ACKNOWLEDGED: usize = 5;

/// What was acknowledged before the daemon was killed is there, and importing it all again completes it.
///
/// The hard case is a kill in the midst of one import while others have been answered.
#[test]
fn acknowledged_inputs_outlive_a_kill() {
    let world = World::new();
    let mut node = world.node("clinic", "Maple Family Clinic", "clinic");
    node.start();
    fs::create_dir(world.path("many")).expect("made");
    for n in 0..UNDER_WAY {
        world.file(&format!("many/{n}.json"), &numbered("many", n));
    }
    let folder = world.out("many");
    let files: Vec<String> = (0..ACKNOWLEDGED)
        .map(|n| world.file(&format!("one{n}.json"), &numbered("one", n)))
        .collect();
    let whole = ["import", &folder];

    let under_way = node.spawn(&whole);
    node.wait("some of it is in", PATIENCE, || stored(&node) > 0);
    for file in &files {
        import(&node, file);
    }
    let before = stored(&node);
    node.kill();
    let cut = node.finish(&whole, under_way);

    assert_eq!(
        cut.exit, 7,
        "the import was faster than the kill: {}",
        cut.json
    );
    node.start();
    assert!(stored(&node) >= before, "{} of {before}", stored(&node));
    for file in &files {
        let again = node.ok(&["import", file]);
        assert_eq!(counts(&again), (1, 0, 0, 0), "{again}");
        assert_eq!(again["unchanged"], 3, "{again}");
    }
    node.ok(&whole);
    assert_eq!(stored(&node), (UNDER_WAY + ACKNOWLEDGED) as u64);
    let twice = node.ok(&whole);
    assert_eq!(counts(&twice), (UNDER_WAY as u64, 0, 0, 0));
    assert_eq!(node.ok(&["audit", "verify"])["verified"], true);
}

/// Rosa's bundle as somebody else's.
fn numbered(kind: &str, n: usize) -> Vec<u8> {
    let bundle = String::from_utf8(ROSA.bundle()).expect("JSON is text");
    bundle
        .replace(ROSA.mrn, &format!("{kind}-{n}"))
        .into_bytes()
}

fn stored(node: &Node) -> u64 {
    node.ok(&["status"])["patients"].as_u64().expect("a count")
}

/// Inputs imported and refused; patients and resources that came in.
fn counts(report: &Value) -> (u64, u64, u64, u64) {
    let count = |name: &str| report[name].as_u64().expect("a count");
    (
        count("imported"),
        count("refused"),
        count("patients"),
        count("resources"),
    )
}

/// Synthea's people come in with the counts of their manifest, once.
#[test]
fn people_of_synthea_come_in_as_their_manifest_counts_them() {
    let Some(folder) = shared("data/fhir/synthea-r4") else {
        return;
    };
    let world = World::new();
    let mut node = world.node("clinic", "Maple Family Clinic", "clinic");
    node.start();
    let path = folder.display().to_string();

    let report = node.ok(&["import", &path]);

    let manifest = fs::read_to_string(folder.join("MANIFEST.csv")).expect("a manifest");
    let people: Vec<Vec<&str>> = manifest
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(report["patients"], people.len());
    let reports: BTreeMap<String, &Value> = lines(&report["reports"])
        .map(|line| (text(&line["input"]), line))
        .collect();
    let listed = node.ok(&["patient", "list"]);
    for person in &people {
        let line = reports[&folder.join(person[0]).display().to_string()];
        let resources = line["resources"].as_u64().zip(line["unchanged"].as_u64());
        let resources = resources.map(|(added, shared)| (added + shared).to_string());
        assert_eq!(resources.as_deref(), Some(person[4]), "{line}");
        let mut found = lines(&listed["patients"])
            .filter(|patient| patient["birth_date"] == person[1] && patient["sex"] == person[2]);
        let id = text(&found.next().expect("the person is there")["id"]);
        assert!(found.next().is_none(), "told apart by birth date and sex");
        let types = &node.ok(&["patient", "show", &id])["resource_types"];
        for (column, kind) in [
            (5, "Encounter"),
            (6, "Observation"),
            (7, "MedicationRequest"),
            (8, "AllergyIntolerance"),
            (9, "ImagingStudy"),
        ] {
            let count = types[kind].as_u64().unwrap_or(0).to_string();
            assert_eq!(count, person[column], "{kind} of {}", person[0]);
        }
    }

    let again = node.ok(&["import", &path]);
    assert_eq!(
        (&again["patients"], &again["resources"], &again["documents"]),
        (&0.into(), &0.into(), &0.into()),
        "{again}"
    );
}

/// Whatever FHIR there is goes in or is refused with a code, and each input adds nothing a second time.
///
/// The hard case is that these files come from everywhere: other versions, broken on purpose, one id for
/// many people. Each is given twice in a row, since between two files of one id the later one holds.
#[test]
fn the_whole_corpus_is_taken_or_refused_and_adds_nothing_twice() {
    let Some(folder) = shared("data/fhir") else {
        return;
    };
    let world = World::new();
    let mut node = world.node("clinic", "Maple Family Clinic", "clinic");
    node.start();
    let files = json_files(&folder);
    let twice = files.iter().flat_map(|file| [file.as_str(), file]);
    let command: Vec<&str> = std::iter::once("import").chain(twice).collect();

    let report = node.run(&command).expect(6).json;

    let (imported, refused, patients, resources) = counts(&report);
    println!(
        "twice: {imported} imported, {refused} refused; {patients} patients, {resources} resources"
    );
    let reports: Vec<&Value> = lines(&report["reports"]).collect();
    assert_eq!(reports.len(), 2 * files.len(), "a report of each");
    assert!(imported > refused, "most of it is FHIR R4");
    for pair in reports.chunks(2) {
        let (first, second) = (pair[0], pair[1]);
        assert_eq!(first["input"], second["input"]);
        match text(&first["status"]).as_str() {
            "refused" => {
                assert_eq!(second["status"], "refused", "{second}");
                assert_eq!(first["issues"], second["issues"]);
                assert!(is_coded(&first["issues"][0]), "{first}");
            }
            _ => assert_eq!(second["status"], "unchanged", "{second}"),
        }
    }
    assert_eq!(node.ok(&["status"])["patients"], patients);
    assert_eq!(node.ok(&["audit", "verify"])["verified"], true);
}

/// Whether an issue begins with a stable code that blames the input.
fn is_coded(issue: &Value) -> bool {
    let issue = text(issue);
    let code = issue.split(": ").next().unwrap_or_default();
    let fits = |byte: u8| byte == b'_' || byte.is_ascii_uppercase() || byte.is_ascii_digit();
    code.len() > 2 && code.bytes().all(fits) && code != "INTERNAL"
}

fn json_files(folder: &Path) -> Vec<String> {
    let json = |path: &std::path::PathBuf| {
        path.extension()
            .is_some_and(|suffix| suffix.eq_ignore_ascii_case("json"))
    };
    let files = crate::damage::files(folder).into_iter().filter(json);
    let mut files: Vec<String> = files.map(|path| path.display().to_string()).collect();
    files.sort();
    files
}

/// The shared material: in `$CHARTMESH_SHARED`, or in `shared` beside the workspace or above it.
fn shared(name: &str) -> Option<std::path::PathBuf> {
    let named = std::env::var_os("CHARTMESH_SHARED").map(std::path::PathBuf::from);
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
            std::env::var_os("CHARTMESH_DEMAND_SHARED").is_none(),
            "shared data is missing"
        );
    }
    found
}
