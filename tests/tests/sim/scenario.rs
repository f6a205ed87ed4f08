//! Three organisations that found and join a network through the real flows, and two people.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chartmesh_core::{
    audit::{Entry, Kind as Audited},
    flows::{Actor, Description, Fetch, FlowError, Mode, Search, Statement, Told, in_memory},
    locator::{Answer, Ledger},
    membership::{Founding, JoinState, Rules, Template, Ticket},
    ports::Rpc,
    records::{ConsentForm, Demographics, Identifier, Name, Provision, Target},
    types::{
        Code, ConsentId, DocumentId, Handle, Kind, MemberId, PatientId, Purpose, Role, Sex,
        Timestamp, UserId,
        limits::{LOCATE_DEADLINE, TICKET_LIFE},
    },
};
use chartmesh_tests::{Kind as FrameKind, SimDisk, SimNet, SimNode, Start, organization};

pub(crate) const TEXT: &[u8] =
    b"Allergy: penicillin, severe. Recorded 2024-03-01 by the clinic, confirmed 2025-06-30.";

/// What must appear nowhere but inside seals.
pub(crate) const CANARIES: [&[u8]; 6] = [
    b"Portillo",
    b"Rosalinda",
    b"1937-02-13",
    b"penicillin",
    b"MRN-77-1",
    b"Elm Street",
];

pub(crate) fn clinician() -> Actor {
    Actor {
        user: UserId([7; 16]),
        name: "amy".to_owned(),
        role: Role::Clinician,
    }
}

pub(crate) fn admin() -> Actor {
    Actor {
        user: UserId([8; 16]),
        name: "root".to_owned(),
        role: Role::Admin,
    }
}

pub(crate) fn start(seed: u8, name: &str, kind: Kind) -> Start {
    Start {
        seed,
        boot: 1,
        salt: 0,
        not_before: Timestamp(0),
        organization: organization(name, kind),
        clock_offset_ms: 0,
    }
}

pub(crate) fn founding(rules: Rules) -> Founding {
    Founding {
        name: "Front Range".to_owned(),
        template: Template::OptIn,
        rules,
        authorities: Vec::new(),
        threshold: 1,
        test: true,
    }
}

pub(crate) async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

pub(crate) async fn ticket(inviter: &SimNode) -> Ticket {
    inviter.invite(&admin(), TICKET_LIFE).await.unwrap()
}

/// Lets a node join through the founder, by ticket and approval.
pub(crate) async fn admit(founder: &SimNode, applicant: &SimNode) {
    let ticket = ticket(founder).await;
    applicant.join(&admin(), &ticket).await.unwrap();
    assert_eq!(applicant.poll_join().await.unwrap(), JoinState::Pending);
    let words = applicant.own_words(&ticket);
    founder.approve(&admin(), &words).await.unwrap();
    assert_eq!(applicant.poll_join().await.unwrap(), JoinState::Approved);
    applicant.greet(founder.node_key()).await.unwrap();
}

pub(crate) struct World {
    pub(crate) net: Arc<SimNet>,
    pub(crate) clinic: SimNode,
    pub(crate) hospital: SimNode,
    pub(crate) urgent: SimNode,
}

/// The clinic holds Rosa and a document of hers; the hospital holds somebody else.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) rosa: PatientId,
    pub(crate) document: DocumentId,
}

pub(crate) async fn network(kind: Kind, rules: Rules) -> World {
    let net = SimNet::new(20);
    let clinic = SimNode::start(&net, &SimDisk::default(), start(1, "Clinic", kind));
    let hospital = SimNode::start(
        &net,
        &SimDisk::default(),
        start(2, "Hospital", Kind::Hospital),
    );
    let urgent = SimNode::start(
        &net,
        &SimDisk::default(),
        start(3, "Urgent care", Kind::UrgentCare),
    );
    clinic.found(&admin(), founding(rules)).await.unwrap();
    admit(&clinic, &hospital).await;
    admit(&clinic, &urgent).await;
    for node in [&hospital, &urgent] {
        node.sync_members(clinic.member()).await.unwrap();
    }
    World {
        net,
        clinic,
        hospital,
        urgent,
    }
}

pub(crate) async fn three() -> Scene {
    three_with(Rules::of(Template::OptIn)).await
}

pub(crate) async fn three_with(rules: Rules) -> Scene {
    let world = network(Kind::Clinic, rules).await;
    let rosa = add(&world.clinic, rosa_bundle()).await;
    let document = attach(&world.clinic, rosa, TEXT).await;
    add(&world.hospital, sam_bundle()).await;
    Scene {
        world,
        rosa,
        document,
    }
}

/// Imports a bundle about one person and returns who it is.
pub(crate) async fn add(node: &SimNode, bundle: String) -> PatientId {
    let before = node.patients("");
    node.import(&admin(), bundle.into(), Mode::Store)
        .await
        .unwrap();
    let mut new = node.patients("");
    new.retain(|patient| before.iter().all(|known| known.id != patient.id));
    new[0].id
}

pub(crate) async fn attach(node: &SimNode, patient: PatientId, bytes: &[u8]) -> DocumentId {
    let description = Description {
        title: "Allergies".to_owned(),
        content_type: "text/plain".to_owned(),
        ..Description::default()
    };
    node.add_document(
        &clinician(),
        patient,
        in_memory(Bytes::copy_from_slice(bytes)),
        description,
    )
    .await
    .unwrap()
    .document
}

pub(crate) fn person(given: &str, family: &str, birth: &str, mrn: &str) -> String {
    format!(
        r#"{{"resourceType":"Patient","id":"{mrn}","identifier":[{{"system":"urn:oid:1.2.3","value":"{mrn}"}}],"name":[{{"family":"{family}","given":["{given}"]}}],"gender":"female","birthDate":"{birth}","address":[{{"line":["9 Elm Street"],"city":"Denver","postalCode":"80014"}}]}}"#
    )
}

/// A transaction about one person, with further resources that name it as `Patient/<mrn>`.
pub(crate) fn bundle(patient: &str, others: &[String]) -> String {
    let entry = |resource: &String| {
        format!(r#"{{"resource":{resource},"request":{{"method":"POST","url":"x"}}}}"#)
    };
    let mut entries = vec![entry(&patient.to_owned())];
    entries.extend(others.iter().map(entry));
    format!(
        r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#,
        entries.join(",")
    )
}

pub(crate) fn observation(id: &str, mrn: &str, text: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","status":"final","code":{{"text":"{text}"}},"subject":{{"reference":"Patient/{mrn}"}}}}"#
    )
}

pub(crate) const ROSA_MRN: &str = "MRN-77-1";

pub(crate) fn rosa_bundle() -> String {
    bundle(
        &person("Rosalinda", "Portillo", "1937-02-13", ROSA_MRN),
        &[
            observation("o1", ROSA_MRN, "Body weight"),
            observation("o2", ROSA_MRN, "penicillin reaction"),
        ],
    )
}

pub(crate) fn sam_bundle() -> String {
    bundle(
        &person("Sam", "Okafor", "1988-11-30", "MRN-88-2"),
        &[
            observation("o1", "MRN-88-2", "Body weight"),
            observation("o2", "MRN-88-2", "latex reaction 12"),
        ],
    )
}

pub(crate) fn rosa() -> Demographics {
    demographics("Rosalinda", "Portillo", "1937-02-13", ROSA_MRN)
}

pub(crate) fn demographics(given: &str, family: &str, birth: &str, mrn: &str) -> Demographics {
    Demographics {
        names: vec![Name {
            family: family.to_owned(),
            given: vec![given.to_owned()],
        }],
        birth_date: Some(birth.to_owned()),
        sex: Some(Sex::Female),
        identifiers: vec![Identifier {
            system: "urn:oid:1.2.3".to_owned(),
            value: mrn.to_owned(),
        }],
        ..Demographics::default()
    }
}

pub(crate) fn search(purpose: Purpose) -> Search {
    Search {
        demographics: rosa(),
        patient: None,
        purpose,
        deadline: LOCATE_DEADLINE,
        only: Vec::new(),
    }
}

pub(crate) async fn locate(asker: &SimNode) -> Ledger {
    asker
        .locate(&clinician(), &search(Purpose::Treat))
        .await
        .unwrap()
}

pub(crate) fn answer(ledger: &Ledger, member: MemberId) -> &Answer {
    let line = ledger.lines.iter().find(|line| line.member == member);
    &line.expect("a line for every member").answer
}

pub(crate) fn handle(ledger: &Ledger, holder: &SimNode) -> Handle {
    match answer(ledger, holder.member()) {
        Answer::Match(found) => found.handle,
        other => panic!("no match but {}", other.term()),
    }
}

pub(crate) async fn located(asker: &SimNode, holder: &SimNode) -> Handle {
    handle(&locate(asker).await, holder)
}

pub(crate) fn statement(patient: PatientId, target: MemberId, purposes: &[Purpose]) -> Statement {
    Statement {
        patient,
        provision: Provision::Permit,
        form: ConsentForm::Provision,
        target: Target::Member(target),
        purposes: purposes.to_vec(),
        by: String::new(),
        evidence: None,
        witness: None,
        from: None,
        until: None,
        even_emergency: false,
    }
}

pub(crate) async fn grant(holder: &SimNode, patient: PatientId, to: &SimNode) -> ConsentId {
    let statement = statement(patient, to.member(), &[Purpose::Treat]);
    let stated = holder.state_consent(&clinician(), statement).await.unwrap();
    stated.consent.id
}

pub(crate) async fn fetch(
    asker: &SimNode,
    handle: Handle,
    document: DocumentId,
) -> Result<Vec<u8>, FlowError> {
    fetch_for(asker, handle, document, Purpose::Treat).await
}

pub(crate) async fn fetch_for(
    asker: &SimNode,
    handle: Handle,
    document: DocumentId,
    purpose: Purpose,
) -> Result<Vec<u8>, FlowError> {
    let fetch = Fetch {
        handle,
        document,
        purpose,
    };
    let mut bytes = Vec::new();
    let told: Told<'_> = (&|_, _| (), &|| true);
    let fetched = asker.fetch(&clinician(), fetch, told, &mut bytes).await?;
    assert_eq!(fetched.received.manifest.size, bytes.len() as u64);
    Ok(bytes)
}

/// How many document files lie on a node's disk.
pub(crate) fn document_files(node: &SimNode) -> usize {
    let files = node.disk().files();
    let named = files.keys().filter(|name| name.starts_with("files/"));
    named.count()
}

pub(crate) fn code<T>(outcome: Result<T, FlowError>) -> Option<Code> {
    outcome.err().map(|error| error.code())
}

/// Entries of one kind in a node's audit log, oldest first.
pub(crate) async fn audited(node: &SimNode, kind: Audited) -> Vec<Entry> {
    let shown = node.audit_entries(0, usize::MAX).await.unwrap();
    let entries = shown.into_iter().map(|shown| shown.logged.entry);
    entries.filter(|entry| entry.kind == kind).collect()
}

/// The codes of all messages this node refused, oldest first.
pub(crate) async fn refusals(node: &SimNode) -> Vec<Code> {
    let entries = audited(node, Audited::RefusedMessage).await;
    entries.iter().filter_map(|entry| entry.code).collect()
}

/// Whether a node asks another about trust by itself, since the tape was last rewound.
pub(crate) fn asks_about_trust(net: &SimNet, from: &SimNode, to: &SimNode) -> bool {
    net.tape().iter().any(|frame| {
        frame.rpc == Rpc::Trust
            && frame.kind == FrameKind::Question
            && (frame.from, frame.to) == (from.node_key(), to.node_key())
    })
}
