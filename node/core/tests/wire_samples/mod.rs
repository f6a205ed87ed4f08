//! One fixed value of every signed and stored type, invented.

use bytes::Bytes;
use chartmesh_core::{
    crypto::{
        Body, ENCAPSULATED_BYTES, Envelope, OpeningKey, OuterHeader, SecretKey, SignatureError,
        SigningKey,
    },
    matching::{Agreement, Attribute, Grade},
    membership::{
        AuthorityClaim, AuthorityOffer, Charter, Credential, Founding, Heartbeat, HpkeKey,
        JoinAnswer, JoinRecord, JoinRequest, JoinState, KeySet, Known, ListHead, NodeKeyChange,
        NodeRecord, Organization, Proposal, ProposalKind, RevocationList, Rules, Subject, Template,
        Ticket,
    },
    records::{
        Address, AuditFields, Class, Coding, Consent, ConsentForm, Demographics, Disclosure,
        Document, Evidence, HandleReceived, HandleRecord, Identifier, Manifest, Name,
        PatientRecord, Provision, ResourceRecord, RevokeRecord, Target, TicketIssued,
    },
    types::{
        ConsentId, DisclosureId, DocumentId, FileId, Handle, Kind, MemberId, NetworkId, NodeKey,
        PatientId, PeerCode, Purpose, QueryId, Role, Sex, Span, Timestamp, UserId,
    },
    wire::{
        self, CharterAnswer, CharterRequest, DocumentEntry, FetchHead, FetchRequest, Head, Hello,
        ListAnswer, ListRequest, LocateAnswer, LocateRequest, Match, MembersAnswer, MembersRequest,
        Outcome, Propose, ProposeAnswer, Refused, ReleaseAnswer, ReleaseRequest, Sealed,
        TrustAnswer, TrustRequest, WireError,
    },
};

pub(crate) const SEED: [u8; 32] = [0x5E; 32];
pub(crate) const NETWORK: NetworkId = NetworkId([0xA1; 32]);
pub(crate) const NOW: Timestamp = Timestamp(1_795_000_000_000);
const MEMBER: MemberId = MemberId([0x11; 16]);
const OTHER: MemberId = MemberId([0x22; 16]);
const HANDLE: Handle = Handle([0x33; 20]);
const DOCUMENT: DocumentId = DocumentId([0x44; 16]);
const DISCLOSURE: DisclosureId = DisclosureId([0x55; 16]);
const USER: UserId = UserId([0x66; 16]);
const PATIENT: PatientId = PatientId([0x77; 16]);

/// A body, what signs it, and what reads it; its type is behind the function.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) domain: &'static str,
    pub(crate) envelope: Envelope,
    pub(crate) verify: fn(&Envelope) -> Result<(), SignatureError>,
    /// The value's bytes, read and written again; signed as this type.
    pub(crate) sign: fn(Vec<u8>) -> Envelope,
    pub(crate) again: fn(&[u8]) -> Option<Vec<u8>>,
}

pub(crate) fn node() -> SigningKey {
    SigningKey::from_seed(&SecretKey::new(SEED))
}

fn sample<T: Body>(name: &'static str, value: &T) -> Sample {
    Sample {
        name,
        domain: T::DOMAIN,
        envelope: node().sign(&NETWORK, value),
        verify: |envelope| envelope.verify::<T>(&NETWORK).map(|_| ()),
        sign: |bytes| node().sign_bytes::<T>(&NETWORK, bytes),
        again: |bytes| T::decode(bytes).ok().map(|value| value.encode()),
    }
}

/// Every type that can be signed.
pub(crate) fn bodies() -> Vec<Sample> {
    let mut all = first_bodies();
    all.extend(cosign_bodies());
    all.extend(trust_bodies());
    all.extend(rekey_bodies());
    all
}

/// What a member signs that changes its key.
pub(crate) fn rekey_bodies() -> Vec<Sample> {
    vec![sample("NodeKeyChange", &node_key_change())]
}

/// Who was thrown out, and since when that is known to be all.
pub(crate) fn trust_bodies() -> Vec<Sample> {
    let list = revocation_list();
    let head = ListHead {
        version: list.version,
        hash: sign(&list).hash(),
        issued_at: list.issued_at,
    };
    let heartbeat = Heartbeat::of(NETWORK, Some(head), NOW.plus(Span::hours(3)));
    let request = TrustRequest {
        head: self::head(),
        list: None,
        heartbeat_at: Some(NOW),
        members: 0x9E37_79B9_7F4A_7C15,
        tell: true,
        beat: Some(sign(&heartbeat)),
    };
    let answer = TrustAnswer {
        head: self::head(),
        list: Some(head),
        heartbeat_at: Some(heartbeat.at),
        members: 7,
        revocations: Some(sign(&list)),
        heartbeat: Some(sign(&heartbeat)),
        beat: Some(sign(&heartbeat)),
    };
    vec![
        sample("Heartbeat", &heartbeat),
        sample("TrustRequest", &request),
        sample("TrustAnswer", &answer),
    ]
}

/// Those that were signed from the beginning.
pub(crate) fn first_bodies() -> Vec<Sample> {
    let mut all = statements();
    all.extend(questions());
    all.extend(answers());
    all
}

/// What authorities sign and exchange.
pub(crate) fn cosign_bodies() -> Vec<Sample> {
    let proposal = Proposal {
        kind: ProposalKind::Credential,
        signed: sign(&credential()),
    };
    let claim = AuthorityClaim {
        network: NETWORK,
        member: MEMBER,
        node_key: NodeKey(node().public()),
    };
    let propose = Propose {
        head: head(),
        claim: sign(&claim),
        proposal: Some(proposal.clone()),
    };
    let answer = ProposeAnswer {
        head: head(),
        claim: sign(&claim),
        proposal: Some(proposal),
    };
    let charters = CharterAnswer {
        head: head(),
        charters: vec![sign(&next_charter())],
        credential: Some(sign(&credential())),
    };
    vec![
        sample("AuthorityClaim", &claim),
        sample("AuthorityOffer", &authority_offer()),
        sample("RevocationList", &revocation_list()),
        sample("Propose", &propose),
        sample("ProposeAnswer", &answer),
        sample(
            "CharterRequest",
            &CharterRequest {
                head: head(),
                after: 7,
            },
        ),
        sample("CharterAnswer", &charters),
    ]
}

/// A version with every field that the genesis leaves out.
pub(crate) fn next_charter() -> Charter {
    Charter {
        version: 2,
        network: Some(NETWORK),
        previous: Some([6; 32]),
        recovery_keys: vec![[7; 32]],
        status_keys: vec![[8; 32], [9; 32]],
        status_threshold: 2,
        counts_from: 1,
        ..charter()
    }
}

fn authority_offer() -> AuthorityOffer {
    AuthorityOffer {
        authority_key: [1; 32],
        status_key: [2; 32],
        member: MEMBER,
        node_key: NodeKey(node().public()),
        organization: organization(),
    }
}

fn node_key_change() -> NodeKeyChange {
    NodeKeyChange {
        network: NETWORK,
        member: MEMBER,
        old_key: NodeKey(node().public()),
        new_key: NodeKey([3; 32]),
    }
}

fn revocation_list() -> RevocationList {
    RevocationList {
        network: NETWORK,
        version: 3,
        previous: Some([4; 32]),
        issued_at: NOW,
        members: vec![MEMBER, OTHER],
    }
}

fn statements() -> Vec<Sample> {
    vec![
        sample("Organization", &organization()),
        sample("Charter", &charter()),
        sample("Credential", &credential()),
        sample("KeySet", &key_set()),
        sample("NodeRecord", &node_record()),
        sample("Manifest", &manifest()),
        sample("Release", &disclosure()),
    ]
}

fn questions() -> Vec<Sample> {
    let members = MembersRequest {
        head: head(),
        after: Some(OTHER),
    };
    vec![
        sample("JoinRequest", &join_request()),
        sample("Hello", &hello()),
        sample("MembersRequest", &members),
        sample("LocateRequest", &locate_request()),
        sample("ListRequest", &list_request()),
        sample("FetchRequest", &fetch_request()),
        sample("ReleaseRequest", &release_request()),
    ]
}

fn answers() -> Vec<Sample> {
    let members = MembersAnswer {
        head: head(),
        known: vec![known()],
        more: true,
    };
    let refused = Refused {
        head: head(),
        code: PeerCode::ClockSkew,
        now: NOW,
    };
    vec![
        sample("JoinAnswer", &join_answer()),
        sample("MembersAnswer", &members),
        sample("LocateAnswer", &locate_answer()),
        sample("ListAnswer", &list_answer()),
        sample("FetchHead", &fetch_head()),
        sample("ReleaseAnswer", &release_answer()),
        sample("Refused", &refused),
    ]
}

/// A body of the journal, and what reads it and writes it again.
pub(crate) type Stored = (&'static str, Vec<u8>, fn(&[u8]) -> Option<Vec<u8>>);

macro_rules! stored {
    ($name:literal, $value:expr, $encode:path, $decode:path) => {
        ($name, $encode(&$value), |bytes| {
            $decode(bytes).ok().map(|value| $encode(&value))
        })
    };
}

/// Every body of the journal.
pub(crate) fn stored() -> Vec<Stored> {
    use wire::{
        decode_charter, decode_document, decode_handle, decode_handle_received, decode_join,
        decode_join_asked, decode_member, decode_patient, decode_resource, decode_revoke,
        decode_ticket_issued, encode_charter, encode_consent, encode_document, encode_handle,
        encode_handle_received, encode_join, encode_join_asked, encode_member, encode_patient,
        encode_resource, encode_revoke, encode_ticket_issued,
    };

    vec![
        stored!(
            "CharterRecord",
            sign(&charter()),
            encode_charter,
            decode_charter
        ),
        stored!("MemberRecord", known(), encode_member, decode_member),
        stored!(
            "TicketIssued",
            ticket_issued(),
            encode_ticket_issued,
            decode_ticket_issued
        ),
        stored!("JoinRecord", join_record(), encode_join, decode_join),
        stored!(
            "JoinAsked",
            "chartmesh1abc",
            encode_join_asked,
            decode_join_asked
        ),
        stored!("PatientRecord", patient(), encode_patient, decode_patient),
        stored!(
            "ResourceRecord",
            resource(),
            encode_resource,
            decode_resource
        ),
        stored!(
            "DocumentRecord",
            document(),
            encode_document,
            decode_document
        ),
        stored!(
            "ConsentRecord",
            consent(),
            encode_consent,
            decode_consent_recorded
        ),
        stored!("RevokeRecord", revoke(), encode_revoke, decode_revoke),
        stored!("HandleRecord", handle(), encode_handle, decode_handle),
        stored!(
            "HandleReceived",
            received(),
            encode_handle_received,
            decode_handle_received
        ),
    ]
}

/// What the journal keeps of trust.
pub(crate) fn stored_trust() -> Vec<Stored> {
    use wire::{
        decode_heartbeat, decode_join, decode_revocations, encode_heartbeat, encode_join,
        encode_revocations,
    };

    let list = sign(&revocation_list());
    let heartbeat = sign(&Heartbeat::of(NETWORK, None, NOW));
    let join = JoinRecord {
        reused: Some(NOW),
        ..join_record()
    };
    vec![
        stored!(
            "RevocationsRecord",
            list,
            encode_revocations,
            decode_revocations
        ),
        stored!(
            "HeartbeatRecord",
            heartbeat,
            encode_heartbeat,
            decode_heartbeat
        ),
        stored!("JoinRecord", join, encode_join, decode_join),
    ]
}

/// Bodies with the fields that came after [`stored`] was kept as vectors.
pub(crate) fn stored_later() -> Vec<Stored> {
    use wire::{
        decode_audit, decode_patient, decode_resource, encode_audit, encode_patient,
        encode_resource,
    };

    let patient = PatientRecord {
        local_id: "p-1".to_owned(),
        ..patient()
    };
    let resource = ResourceRecord {
        replaces: true,
        ..resource()
    };
    vec![
        stored!("PatientRecord", patient, encode_patient, decode_patient),
        stored!("ResourceRecord", resource, encode_resource, decode_resource),
        stored!("AuditRecord", audit(), encode_audit, decode_audit),
    ]
}

fn decode_consent_recorded(bytes: &[u8]) -> Result<Consent, WireError> {
    wire::decode_consent(bytes, 7, NOW)
}

fn audit() -> AuditFields {
    AuditFields {
        kind: 3,
        member: Some(OTHER),
        patient: Some(PATIENT),
        document: Some(DOCUMENT),
        consent: Some(ConsentId([26; 16])),
        disclosure: Some(DISCLOSURE),
        receipt: Some([24; 32]),
        purpose: Some(Purpose::Treat),
        user: Some(USER),
        role: Some(Role::Clinician),
        actor: "lee".to_owned(),
        code: "DENIED".to_owned(),
        rule: 3,
        query_hash: Some([27; 32]),
        peer_leaf: Some([28; 32]),
        count: 21,
        description: "application/pdf 34133-9".to_owned(),
        promise: String::new(),
    }
}

fn sign<T: Body>(value: &T) -> Envelope {
    node().sign(&NETWORK, value)
}

pub(crate) fn head() -> Head {
    Head {
        member: MEMBER,
        key: NodeKey(node().public()),
        network: NETWORK,
        audience: OTHER,
        challenge: Some([1; 16]),
        sent_at: NOW,
        expiry: NOW.plus(Span::seconds(60)),
        answers: Some([2; 32]),
        next_challenge: Some([3; 16]),
    }
}

pub(crate) fn organization() -> Organization {
    Organization {
        name: "Cedar Clinic".to_owned(),
        kind: Kind::Clinic,
        npi: "1234567893".to_owned(),
        oid: "2.16.840.1.113883.3.72".to_owned(),
        address: "1 Elm St, Springfield MA 01101".to_owned(),
        contact: "records@cedar.example".to_owned(),
        phone: "+1 555 0100".to_owned(),
        hours: "Mon-Fri 8-17".to_owned(),
        state: "MA".to_owned(),
        part2: true,
        test: true,
    }
}

pub(crate) fn charter() -> Charter {
    let mut rules = Rules::of(Template::OptIn);
    rules.agreement_sha256 = Some([4; 32]);
    rules.agreement_url = "https://cedar.example/agreement".to_owned();
    let founding = Founding {
        name: "Springfield".to_owned(),
        template: Template::OptIn,
        rules,
        authorities: vec![node().public()],
        threshold: 1,
        test: true,
    };
    Charter::genesis(founding, NOW, [5; 16]).expect("a charter that founds a network")
}

fn subject() -> Subject {
    Subject {
        member: MEMBER,
        node_key: NodeKey(node().public()),
    }
}

pub(crate) fn credential() -> Credential {
    Credential::issue(NETWORK, subject(), organization(), 1, NOW).expect("a good organisation")
}

pub(crate) fn key_set() -> KeySet {
    let public = OpeningKey::from_bytes(&SecretKey::new([6; 32])).public();
    let key = HpkeKey::xwing(public).expect("a public key");
    let audit = SigningKey::from_seed(&SecretKey::new([7; 32])).public();
    KeySet::issue(subject(), 2, vec![key], audit, NOW).expect("good keys")
}

fn node_record() -> NodeRecord {
    let address = Bytes::from_static(&[4, 127, 0, 0, 1, 6, 28, 252]);
    let mut record = NodeRecord::issue(subject(), 3, vec![address], NOW);
    record.capabilities = vec![1, 300];
    record
}

fn known() -> Known {
    Known {
        credential: sign(&credential()),
        key_set: Some(sign(&key_set())),
        node_record: Some(sign(&node_record())),
    }
}

pub(crate) fn ticket() -> Ticket {
    Ticket {
        network: NETWORK,
        inviter: NodeKey(node().public()),
        addresses: vec![Bytes::from_static(&[4, 127, 0, 0, 1, 6, 28, 252])],
        expiry: NOW.plus(Span::days(7)),
        secret: [8; 16].into(),
    }
}

pub(crate) fn join_request() -> JoinRequest {
    let request = JoinRequest {
        ticket: [0; 32],
        mac: [0; 32],
        node_key: NodeKey(node().public()),
        member: MEMBER,
        key_set: sign(&key_set()),
        organization: organization(),
        sent_at: NOW,
        node_record: Some(sign(&node_record())),
    };
    request.proved(&ticket().key(), ticket().inviter)
}

pub(crate) fn join_answer() -> JoinAnswer {
    let answer = JoinAnswer {
        state: JoinState::Approved,
        mac: [0; 32],
        credential: Some(sign(&credential())),
        charter: Some(sign(&charter())),
        peers: vec![known()],
        node_key: NodeKey(node().public()),
        later_charters: Vec::new(),
        revocations: None,
        heartbeat: None,
    };
    answer.proved(&ticket().key(), &[9; 32])
}

fn hello() -> Hello {
    Hello {
        head: head(),
        version: 1,
        credential: sign(&credential()),
        key_set: sign(&key_set()),
        charter_version: 1,
        charter_hash: [10; 32],
        revocations: 2,
        node_record: Some(sign(&node_record())),
    }
}

pub(crate) fn demographics() -> Demographics {
    Demographics {
        names: vec![Name {
            family: "Núñez".to_owned(),
            given: vec!["Ana".to_owned(), "María".to_owned()],
        }],
        birth_date: Some("1980-02-29".to_owned()),
        sex: Some(Sex::Female),
        identifiers: vec![Identifier {
            system: "urn:oid:2.16.840.1.113883.3.72".to_owned(),
            value: "000-1".to_owned(),
        }],
        addresses: vec![Address {
            line: vec!["2 Oak St".to_owned()],
            city: "Springfield".to_owned(),
            state: "MA".to_owned(),
            postal_code: "01101".to_owned(),
            country: "US".to_owned(),
        }],
        phones: vec!["+1 555 0101".to_owned()],
        emails: vec!["ana@example.org".to_owned()],
    }
}

pub(crate) fn locate_request() -> LocateRequest {
    LocateRequest {
        head: head(),
        query: QueryId([12; 16]),
        purpose: Purpose::Treat,
        user: USER,
        role: Role::Clinician,
        demographics: demographics(),
        deadline_ms: 9_000,
        round: 1,
    }
}

pub(crate) fn locate_answer() -> LocateAnswer {
    LocateAnswer {
        head: head(),
        outcome: Outcome::Match,
        matches: vec![Match {
            handle: HANDLE,
            grade: Grade::Certain,
            score_permille: 1_000,
            mirror: vec![
                (Attribute::Family, Agreement::Agrees),
                (Attribute::Phone, Agreement::Absent),
            ],
            demographics: Some(demographics()),
        }],
        requested: Vec::new(),
    }
}

pub(crate) fn list_request() -> ListRequest {
    ListRequest {
        head: head(),
        handle: HANDLE,
        purpose: Purpose::Etreat,
        user: USER,
        role: Role::PrivacyOfficer,
        types: vec!["34133-9".to_owned()],
        since: Some("2020-01-01".to_owned()),
        until: Some("2026-12-31".to_owned()),
        limit: 20,
    }
}

fn coding() -> Coding {
    Coding {
        system: Coding::LOINC.to_owned(),
        code: "34133-9".to_owned(),
        display: "Summary of episode note".to_owned(),
    }
}

pub(crate) fn list_answer() -> ListAnswer {
    let stored = DocumentEntry {
        id: DOCUMENT,
        coding: coding(),
        title: "Discharge summary".to_owned(),
        status: "current".to_owned(),
        date: NOW,
        author: "Dr. Lee".to_owned(),
        author_organization: "Cedar Clinic".to_owned(),
        content_type: "application/pdf".to_owned(),
        format: "urn:ihe:iti:xds:2017:mimeTypeSufficient".to_owned(),
        on_demand: false,
        size: Some(0),
        sha256: Some([13; 32]),
        labels: vec!["N".to_owned()],
    };
    let on_demand = DocumentEntry {
        on_demand: true,
        size: None,
        sha256: None,
        labels: Vec::new(),
        ..stored.clone()
    };
    ListAnswer {
        head: head(),
        entries: vec![stored, on_demand],
        complete: true,
        leaf: [14; 32],
    }
}

fn fetch_request() -> FetchRequest {
    FetchRequest {
        head: head(),
        handle: HANDLE,
        document: DOCUMENT,
        purpose: Purpose::Treat,
        user: USER,
        role: Role::FrontDesk,
        resume: Some(([15; 32], 3)),
    }
}

fn fetch_head() -> FetchHead {
    FetchHead {
        head: head(),
        manifest: sign(&manifest()),
        disclosure: DISCLOSURE,
        chunks: 5,
        from_chunk: 3,
        subject: [16; 16],
    }
}

fn manifest() -> Manifest {
    Manifest {
        member: MEMBER,
        file: FileId([17; 16]),
        root: [18; 32],
        sealed_size: 1_000,
        size: 900,
        commitment: [19; 32],
        plain_sha256: [20; 32],
        coding: coding(),
        format: "f".to_owned(),
        content_type: "application/pdf".to_owned(),
        author: "Dr. Lee".to_owned(),
        from: Timestamp(0),
        until: NOW,
        labels: vec!["N".to_owned(), "R".to_owned()],
        sequence: 4,
        issued_at: NOW,
    }
}

fn release_request() -> ReleaseRequest {
    ReleaseRequest {
        head: head(),
        handle: HANDLE,
        document: DOCUMENT,
        disclosure: DISCLOSURE,
        manifest_hash: [21; 32],
        root: [22; 32],
        purpose: Purpose::Treat,
        user: USER,
        role: Role::Clinician,
    }
}

fn release_answer() -> ReleaseAnswer {
    ReleaseAnswer {
        head: head(),
        content_key: SecretKey::new([23; 32]),
        release: sign(&disclosure()),
        promise: String::new(),
    }
}

fn disclosure() -> Disclosure {
    Disclosure {
        holder: MEMBER,
        asker: OTHER,
        disclosure: DISCLOSURE,
        receipt: [24; 32],
        salt: [25; 32],
        consent: Some(ConsentId([26; 16])),
        rule: 3,
        obligations: vec![1, 2],
        query_hash: [27; 32],
        audit_leaf: [28; 32],
        audit_index: 300,
        issued_at: NOW,
    }
}

pub(crate) fn sealed() -> Sealed {
    Sealed {
        header: OuterHeader {
            suite: 0x647A,
            key_id: [29; 8],
            session: [30; 16],
            counter: 1,
            enc: Bytes::from(vec![31; ENCAPSULATED_BYTES]),
        },
        ciphertext: Bytes::from_static(&[32; 48]),
    }
}

fn ticket_issued() -> TicketIssued {
    TicketIssued {
        key: ticket().key(),
        expiry: ticket().expiry,
    }
}

fn join_record() -> JoinRecord {
    JoinRecord {
        ticket: ticket().name(),
        request: sign(&join_request()),
        state: JoinState::Approved,
        credential: Some(sign(&credential())),
        reused: None,
    }
}

fn patient() -> PatientRecord {
    PatientRecord {
        patient: PATIENT,
        resource: Bytes::from_static(br#"{"resourceType":"Patient"}"#),
        source: "bundle.json".to_owned(),
        local_id: String::new(),
        summary: DOCUMENT,
        discoverability: 3,
    }
}

fn resource() -> ResourceRecord {
    ResourceRecord {
        patient: Some(PATIENT),
        id: [33; 16],
        resource_type: "Observation".to_owned(),
        local_id: "obs-1".to_owned(),
        source: "bundle.json".to_owned(),
        content: [34; 32],
        resource: Bytes::from_static(br#"{"resourceType":"Observation"}"#),
        replaces: false,
    }
}

fn document() -> Document {
    Document {
        patient: PATIENT,
        id: DOCUMENT,
        manifest: sign(&manifest()),
        wrapped_key: vec![35; 72],
        title: "Discharge summary".to_owned(),
        status: "current".to_owned(),
        date: NOW,
        author_organization: "Cedar Clinic".to_owned(),
        content: [36; 32],
        snapshot: Some((12, NOW.plus(Span::hours(24)))),
    }
}

fn consent() -> Consent {
    Consent {
        id: ConsentId([26; 16]),
        patient: PATIENT,
        provision: Provision::Permit,
        form: ConsentForm::OptIn,
        target: Target::Kind(Kind::UrgentCare),
        purposes: vec![Purpose::Treat, Purpose::Etreat],
        class: Class::Patient,
        by: "patient".to_owned(),
        from: NOW,
        until: Some(NOW.plus(Span::days(30))),
        evidence: Some(Evidence {
            sha256: [37; 32],
            content_type: "application/pdf".to_owned(),
            size: 1_234,
        }),
        witness: Some("rosa".to_owned()),
        recorded_by: "lee".to_owned(),
        even_emergency: true,
        policy: Template::OptIn.policy_uri().to_owned(),
        position: 7,
        recorded_at: NOW,
        revoked: None,
    }
}

fn revoke() -> RevokeRecord {
    RevokeRecord {
        consent: ConsentId([26; 16]),
        patient: PATIENT,
        recorded_by: "lee".to_owned(),
    }
}

fn handle() -> HandleRecord {
    HandleRecord {
        handle: HANDLE,
        asker: OTHER,
        patient: PATIENT,
        purpose: Purpose::Treat,
        query_hash: [27; 32],
        until: NOW.plus(Span::hours(12)),
    }
}

fn received() -> HandleReceived {
    HandleReceived {
        handle: HANDLE,
        holder: OTHER,
        patient: Some(PATIENT),
        until: NOW.plus(Span::hours(12)),
    }
}
