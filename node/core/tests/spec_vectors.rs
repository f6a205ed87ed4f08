//! The conversation that `proto/README.md` describes, from ticket to document, as one file: every
//! question and answer sealed and open, with every secret that opens them; and proofs of trees.
//!
//! `CHARTMESH_WRITE_VECTORS=1 cargo test -p chartmesh-core --test spec_vectors` writes the files that do
//! not exist yet. A file that exists is never written: a changed format is another file.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and the vectors are files"
)]

use std::path::PathBuf;

use bytes::Bytes;
use chartmesh_core::{
    crypto::{
        Body, Envelope, OpeningKey, OuterHeader, SUITE_XWING, SealContext, SealedFile, SealingKey,
        SecretKey, SessionKeys, Sha256, SigningKey, Tree, accept_session, begin_session,
        chunk_range, receipt, seal_file, sha256, subject_of, tree,
    },
    exchange::Receive,
    matching::{Agreement, Attribute, Grade},
    membership::{
        Chain, Charter, Credential, Founding, HpkeKey, JoinAnswer, JoinRequest, JoinState, KeySet,
        Known, NodeRecord, Organization, Rules, Subject, Template, Ticket, genesis_id,
        verify_credential, verify_genesis, verify_join_answer, verify_join_request, verify_key_set,
        verify_node_record,
    },
    records::{Coding, Demographics, Disclosure, Identifier, Manifest, Name},
    types::{
        ConsentId, DisclosureId, DocumentId, FileId, Handle, Kind, MemberId, NetworkId, NodeKey,
        PeerCode, Purpose, QueryId, Role, Sex, Span, Timestamp, UserId, limits,
    },
    wire::{
        DocumentEntry, FetchHead, FetchRequest, Head, Hello, ListAnswer, ListRequest, LocateAnswer,
        LocateRequest, Match, MembersAnswer, MembersRequest, Message, Outcome, Refused,
        ReleaseAnswer, ReleaseRequest, Sealed, decode_sealed, encode_envelope, encode_sealed,
    },
};
use data_encoding::HEXLOWER;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::{Map, Value, json};

const NOW: Timestamp = Timestamp(1_795_000_000_000);
const HANDLE: Handle = Handle([0x33; 20]);
const DOCUMENT: DocumentId = DocumentId([0x44; 16]);
const DISCLOSURE: DisclosureId = DisclosureId([0x55; 16]);
const USER: UserId = UserId([0x66; 16]);
const QUERY: QueryId = QueryId([0x77; 16]);
const CONTENT_KEY: [u8; 32] = [0x88; 32];

#[test]
fn a_conversation_from_ticket_to_document_has_the_bytes_of_its_vector() {
    let network = Network::new();
    let mut talk = Talk::new(&network);
    let mut file = Map::new();

    file.insert("members".to_owned(), network.members());
    file.insert("network".to_owned(), hex(&network.id.0).into());
    file.insert("statements".to_owned(), network.statements());
    file.insert("join".to_owned(), network.join());
    file.insert("hello".to_owned(), network.hello());
    file.insert("session".to_owned(), talk.session());
    file.insert("members_exchange".to_owned(), talk.members());
    file.insert("locate".to_owned(), talk.locate());
    file.insert("list".to_owned(), talk.list());
    file.insert("refused".to_owned(), talk.refused());
    let (fetch, release, document) = talk.document();
    file.insert("fetch".to_owned(), fetch);
    file.insert("release".to_owned(), release);
    file.insert("document".to_owned(), document);

    golden("spec-conversation.json", &file.into());
}

#[test]
fn trees_have_the_roots_and_proofs_of_their_vector() {
    let trees: Vec<Value> = [1_u64, 2, 3, 7, 8, 13]
        .into_iter()
        .map(|size| {
            let leaves: Vec<[u8; 32]> = (0..size)
                .map(|index| tree::leaf_hash(&[index as u8]))
                .collect();
            let whole: Tree = leaves.iter().copied().collect();
            let proofs: Vec<Value> = (0..size)
                .map(|index| {
                    let proof = whole.inclusion_proof(index, size).unwrap();
                    let leaf = &leaves[index as usize];
                    let holds = tree::verify_inclusion(leaf, index, size, &proof, &whole.root());
                    assert_eq!(holds, Ok(()));
                    proof.iter().map(|hash| hex(hash)).collect()
                })
                .collect();
            json!({
                "size": size,
                "leaves": leaves.iter().map(|leaf| hex(leaf)).collect::<Vec<_>>(),
                "root": hex(&tree::root(&leaves)),
                "inclusion": proofs,
            })
        })
        .collect();

    golden(
        "spec-tree.json",
        &json!({ "content": "leaf i is of the one byte i", "trees": trees }),
    );
}

/// One end of the conversation.
struct Party {
    member: MemberId,
    node_seed: [u8; 32],
    opening_seed: [u8; 32],
    audit_seed: [u8; 32],
    organization: Organization,
}

impl Party {
    fn new(mark: u8, name: &str, kind: Kind) -> Self {
        Self {
            member: MemberId([mark; 16]),
            node_seed: [mark + 1; 32],
            opening_seed: [mark + 2; 32],
            audit_seed: [mark + 3; 32],
            organization: Organization {
                name: name.to_owned(),
                kind,
                npi: String::new(),
                oid: String::new(),
                address: "9 Abbey Rd, Springfield".to_owned(),
                contact: String::new(),
                phone: "+1 555 0100".to_owned(),
                hours: String::new(),
                state: "IL".to_owned(),
                part2: false,
                test: true,
            },
        }
    }

    fn key(&self) -> SigningKey {
        signing(self.node_seed)
    }

    fn node_key(&self) -> NodeKey {
        NodeKey(self.key().public())
    }

    fn opening(&self) -> OpeningKey {
        OpeningKey::from_bytes(&SecretKey::new(self.opening_seed))
    }

    fn subject(&self) -> Subject {
        Subject {
            member: self.member,
            node_key: self.node_key(),
        }
    }

    fn key_set(&self, network: &NetworkId) -> Envelope {
        let key = HpkeKey::xwing(self.opening().public()).unwrap();
        let audit = signing(self.audit_seed).public();
        let set = KeySet::issue(self.subject(), 1, vec![key], audit, NOW).unwrap();
        self.key().sign(network, &set)
    }

    fn node_record(&self, network: &NetworkId) -> Envelope {
        let address = Bytes::from_static(&[4, 127, 0, 0, 1, 6, 28, 252]);
        let record = NodeRecord::issue(self.subject(), 1, vec![address], NOW);
        self.key().sign(network, &record)
    }

    fn secrets(&self) -> Value {
        json!({
            "member": hex(&self.member.0),
            "node_seed": hex(&self.node_seed),
            "node_key": hex(&self.node_key().0),
            "node": self.node_key().to_string(),
            "opening_key": hex(&self.opening_seed),
            "audit_seed": hex(&self.audit_seed),
        })
    }
}

/// The network, with what its authority and its two members signed.
struct Network {
    id: NetworkId,
    charter: Charter,
    signed_charter: Envelope,
    authority: SigningKey,
    holder: Party,
    asker: Party,
}

impl Network {
    fn new() -> Self {
        let authority = signing([1; 32]);
        let founding = Founding {
            name: "Springfield exchange".to_owned(),
            template: Template::OptIn,
            rules: Rules::of(Template::OptIn),
            authorities: vec![authority.public()],
            threshold: 1,
            test: true,
        };
        let charter = Charter::genesis(founding, NOW, [0x99; 16]).unwrap();
        let id = genesis_id(&charter.encode());
        let signed_charter = authority.sign(&id, &charter);
        assert_eq!(verify_genesis(&signed_charter).unwrap().0, id);
        Self {
            id,
            charter,
            signed_charter,
            authority,
            holder: Party::new(0x10, "St. Brigid Hospital", Kind::Hospital),
            asker: Party::new(0x20, "Harbor Urgent Care", Kind::UrgentCare),
        }
    }

    fn credential(&self, of: &Party) -> Envelope {
        let organization = of.organization.clone();
        let credential = Credential::issue(self.id, of.subject(), organization, 1, NOW).unwrap();
        self.authority.sign(&self.id, &credential)
    }

    fn known(&self, of: &Party) -> Known {
        Known {
            credential: self.credential(of),
            key_set: Some(of.key_set(&self.id)),
            node_record: Some(of.node_record(&self.id)),
        }
    }

    fn members(&self) -> Value {
        json!({
            "authority": {
                "seed": hex(&self.authority.seed()[..]),
                "public": hex(&self.authority.public()),
            },
            "holder": self.holder.secrets(),
            "asker": self.asker.secrets(),
        })
    }

    fn statements(&self) -> Value {
        let chain = Chain::found(&self.signed_charter).unwrap();
        let of = |party: &Party| {
            let known = self.known(party);
            let credential = verify_credential(&known.credential, &self.id, &chain, NOW).unwrap();
            let (keys, record) = (known.key_set.unwrap(), known.node_record.unwrap());
            assert!(verify_key_set(&keys, &self.id, &credential, NOW).is_ok());
            assert!(verify_node_record(&record, &self.id, &credential, NOW).is_ok());
            json!({
                "credential": signed(&known.credential),
                "key_set": signed(&keys),
                "node_record": signed(&record),
            })
        };
        json!({
            "charter": signed(&self.signed_charter),
            "holder": of(&self.holder),
            "asker": of(&self.asker),
        })
    }

    fn join(&self) -> Value {
        let ticket = Ticket {
            network: self.id,
            inviter: self.holder.node_key(),
            addresses: vec![Bytes::from_static(&[4, 127, 0, 0, 1, 6, 28, 252])],
            expiry: NOW.plus(Span::days(7)),
            secret: [0xAA; 16].into(),
        };
        let request = JoinRequest {
            ticket: [0; 32],
            mac: [0; 32],
            node_key: self.asker.node_key(),
            member: self.asker.member,
            key_set: self.asker.key_set(&self.id),
            organization: self.asker.organization.clone(),
            sent_at: NOW,
            node_record: None,
        }
        .proved(&ticket.key(), ticket.inviter);
        let asked = self.asker.key().sign(&self.id, &request);
        let (key, inviter) = (ticket.key(), ticket.inviter);
        let received =
            verify_join_request(&asked, &self.id, &self.charter, &key, inviter, NOW).unwrap();
        let answer = |state, approved: bool| {
            let answer = JoinAnswer {
                state,
                mac: [0; 32],
                credential: approved.then(|| self.credential(&self.asker)),
                charter: approved.then(|| self.signed_charter.clone()),
                peers: approved
                    .then(|| self.known(&self.holder))
                    .into_iter()
                    .collect(),
                node_key: inviter,
                later_charters: Vec::new(),
                revocations: None,
                heartbeat: None,
            };
            let answer = answer.proved(&key, &received.hash());
            let sent = self.holder.key().sign(&self.id, &answer);
            let read = verify_join_answer(&sent, &self.id, &key, inviter, &asked.hash()).unwrap();
            if approved {
                let admitted = read.admission(&self.id, self.asker.subject(), NOW);
                assert!(admitted.is_ok());
            }
            signed(&sent)
        };
        json!({
            "ticket": *ticket.to_text().unwrap(),
            "secret": hex(&ticket.secret[..]),
            "key": hex(&key[..]),
            "name": hex(&ticket.name()),
            "expiry_ms": ticket.expiry.0,
            "request": signed(&asked),
            "words": request.id(),
            "pending": answer(JoinState::Pending, false),
            "approved": answer(JoinState::Approved, true),
        })
    }

    fn hello(&self) -> Value {
        let hello = |from: &Party, to: MemberId, answers: Option<[u8; 32]>| {
            let known = self.known(from);
            let hello = Hello {
                head: Head {
                    member: from.member,
                    key: from.node_key(),
                    network: self.id,
                    audience: to,
                    challenge: None,
                    sent_at: NOW,
                    expiry: NOW.plus(Span::seconds(60)),
                    answers,
                    next_challenge: answers.map(|_| [0xC1; 16]),
                },
                version: 1,
                credential: known.credential,
                key_set: known.key_set.unwrap(),
                charter_version: self.charter.version,
                charter_hash: self.signed_charter.hash(),
                revocations: 0,
                node_record: known.node_record,
            };
            from.key().sign(&self.id, &hello)
        };
        let question = hello(&self.asker, MemberId([0; 16]), None);
        let answer = hello(&self.holder, self.asker.member, Some(question.hash()));
        for said in [&question, &answer] {
            assert!(said.verify::<Hello>(&self.id).is_ok());
        }
        json!({ "question": signed(&question), "answer": signed(&answer) })
    }
}

/// A session of the asker with the holder.
struct Talk<'a> {
    network: &'a Network,
    enc: Bytes,
    key_id: [u8; 8],
    asker: SessionKeys,
    holder: SessionKeys,
    counter: u64,
}

impl<'a> Talk<'a> {
    fn new(network: &'a Network) -> Self {
        let opening = network.holder.opening();
        let context = SealContext {
            network: network.id,
            recipient: network.holder.member,
            key_id: opening.id(),
        };
        let sealing = SealingKey::parse(&opening.public()).unwrap();
        let mut dice = ChaCha20Rng::from_seed([0xBB; 32]);
        let (enc, asker) = begin_session(&mut dice, &sealing, &context);
        let holder = accept_session(&opening, &enc, &context).unwrap();
        Self {
            network,
            key_id: opening.id(),
            enc,
            asker,
            holder,
            counter: 0,
        }
    }

    fn session(&self) -> Value {
        json!({
            "recipient": hex(&self.network.holder.member.0),
            "key_id": hex(&self.key_id),
            "public": hex(&self.network.holder.opening().public()),
            "enc": hex(&self.enc),
        })
    }

    /// Asks, with the encapsulated key in the first question only, and answers.
    fn ask<Q: Message, A: Message>(
        &mut self,
        question: impl FnOnce(Head) -> Q,
        answer: impl FnOnce(Head) -> A,
    ) -> Value {
        let (holder, asker) = (&self.network.holder, &self.network.asker);
        let network = &self.network.id;
        let (number, first) = (self.counter, self.counter == 0);
        self.counter += 1;
        let asked = question(self.head(asker, holder, None));
        let asked = asker.key().sign(network, &asked);
        let header = OuterHeader {
            suite: SUITE_XWING,
            key_id: self.key_id,
            session: [0xD1; 16],
            counter: number,
            enc: self.enc.slice(..if first { self.enc.len() } else { 0 }),
        };
        let plain = encode_envelope(&asked);
        let ciphertext = self.asker.seal_question(&header, &plain).unwrap();
        assert_eq!(
            self.holder.open_question(&header, &ciphertext).unwrap(),
            plain
        );
        assert!(asked.verify::<Q>(network).is_ok());
        let told = answer(self.head(holder, asker, Some(asked.hash())));
        let told = holder.key().sign(network, &told);
        assert!(told.verify::<A>(network).is_ok());
        let back = OuterHeader {
            enc: Bytes::new(),
            ..header.clone()
        };
        let plain_back = encode_envelope(&told);
        let sealed_back = self.holder.seal_answer(&back, 0, &plain_back).unwrap();
        assert_eq!(
            self.asker.open_answer(&back, 0, &sealed_back).unwrap(),
            plain_back
        );
        json!({
            "question": sealed(header, ciphertext, Q::DOMAIN, &asked),
            "answer": sealed(back, sealed_back, A::DOMAIN, &told),
        })
    }

    fn head(&self, from: &Party, to: &Party, answers: Option<[u8; 32]>) -> Head {
        let at = NOW.plus(Span::seconds(self.counter));
        Head {
            member: from.member,
            key: from.node_key(),
            network: self.network.id,
            audience: to.member,
            challenge: answers.is_none().then_some([0xC1; 16]),
            sent_at: at,
            expiry: at.plus(Span::seconds(60)),
            answers,
            next_challenge: answers.map(|_| [0xC1; 16]),
        }
    }

    fn members(&mut self) -> Value {
        let known = vec![
            self.network.known(&self.network.holder),
            self.network.known(&self.network.asker),
        ];
        self.ask(
            |head| MembersRequest { head, after: None },
            |head| MembersAnswer {
                head,
                known,
                more: false,
            },
        )
    }

    fn locate(&mut self) -> Value {
        let shown = Demographics {
            names: vec![Name {
                family: "Delgado".to_owned(),
                given: vec!["Rosa".to_owned()],
            }],
            birth_date: Some("1953-03-14".to_owned()),
            sex: Some(Sex::Female),
            ..Demographics::default()
        };
        let demographics = Demographics {
            identifiers: vec![Identifier {
                system: "https://brigid.example/mrn".to_owned(),
                value: "A-17".to_owned(),
            }],
            ..shown.clone()
        };
        let matched = Match {
            handle: HANDLE,
            grade: Grade::Certain,
            score_permille: 1_000,
            mirror: vec![
                (Attribute::Family, Agreement::Agrees),
                (Attribute::Given, Agreement::Agrees),
                (Attribute::BirthDate, Agreement::Agrees),
                (Attribute::Sex, Agreement::Agrees),
                (Attribute::Identifier, Agreement::Agrees),
            ],
            demographics: Some(shown),
        };
        let talk = self.ask(
            |head| LocateRequest {
                head,
                query: QUERY,
                purpose: Purpose::Treat,
                user: USER,
                role: Role::Clinician,
                demographics,
                deadline_ms: 10_000,
                round: 0,
            },
            |head| LocateAnswer {
                head,
                outcome: Outcome::Match,
                matches: vec![matched],
                requested: Vec::new(),
            },
        );
        let body = talk["answer"]["body"].as_str().unwrap();
        assert_eq!(body.len(), 2 * limits::LOCATE_ANSWER_BYTES);
        talk
    }

    fn list(&mut self) -> Value {
        let (file, plain) = document();
        let entry = DocumentEntry {
            id: DOCUMENT,
            coding: coding(),
            title: "Discharge summary".to_owned(),
            status: "current".to_owned(),
            date: NOW,
            author: "Dr. Lee".to_owned(),
            author_organization: "St. Brigid Hospital".to_owned(),
            content_type: "text/plain".to_owned(),
            format: String::new(),
            on_demand: false,
            size: Some(plain.len() as u64),
            sha256: Some(sha256(&[&plain])),
            labels: Vec::new(),
        };
        assert_eq!(file.leaves.len(), 2);
        self.ask(
            |head| ListRequest {
                head,
                handle: HANDLE,
                purpose: Purpose::Treat,
                user: USER,
                role: Role::Clinician,
                types: vec!["18842-5".to_owned()],
                since: None,
                until: None,
                limit: 0,
            },
            |head| ListAnswer {
                head,
                entries: vec![entry],
                complete: true,
                leaf: [0xE1; 32],
            },
        )
    }

    fn refused(&mut self) -> Value {
        self.ask(
            |head| ListRequest {
                head,
                handle: Handle([0x34; 20]),
                purpose: Purpose::Treat,
                user: USER,
                role: Role::Clinician,
                types: Vec::new(),
                since: Some("2020-01-01".to_owned()),
                until: Some("2026-12-31".to_owned()),
                limit: 500,
            },
            |head| Refused {
                head,
                code: PeerCode::HandleUnknown,
                now: NOW,
            },
        )
    }

    fn document(&mut self) -> (Value, Value, Value) {
        let (file, plain) = document();
        let manifest = self.manifest(&file, &plain);
        let network = self.network;
        let signed_manifest = network.holder.key().sign(&network.id, &manifest);
        let subject = subject_of(&HANDLE);
        let head = |head, manifest| FetchHead {
            head,
            manifest,
            disclosure: DISCLOSURE,
            chunks: 2,
            from_chunk: 0,
            subject,
        };
        let mut fetch = self.ask(
            |head| FetchRequest {
                head,
                handle: HANDLE,
                document: DOCUMENT,
                purpose: Purpose::Treat,
                user: USER,
                role: Role::Clinician,
                resume: None,
            },
            |to| head(to, signed_manifest.clone()),
        );
        let chunks: Vec<Bytes> = (0..2)
            .map(|index| chunk_range(file.bytes.len() as u64, index).unwrap())
            .map(|range| file.bytes.slice(range.start as usize..range.end as usize))
            .collect();
        fetch["leaves"] = hex(&file.leaves.concat()).into();
        fetch["chunks"] = chunks.iter().map(|chunk| hex(chunk)).collect();
        let statement = self.disclosure(&signed_manifest);
        let release = self.release(&signed_manifest, &file, &statement);

        // The asker's own code reads what the vector holds.
        let talk = self.head(&network.holder, &network.asker, Some([0; 32]));
        let told = head(talk, signed_manifest.clone());
        let verified = signed_manifest.verify::<Manifest>(&network.id).unwrap();
        let holder = network.holder.member;
        let mut receive = Receive::begin(holder, HANDLE, &told, verified, 0).unwrap();
        receive.handle_leaves(&file.leaves.concat()).unwrap();
        for (index, chunk) in (0..).zip(&chunks) {
            receive.handle_chunk(index, chunk).unwrap();
        }
        let key = SecretKey::new(CONTENT_KEY);
        let opening = receive.finish(network.asker.member, key, (statement, String::new()));
        let opening = opening.ok().unwrap();
        let opened = opening.open(&chunks[0]).ok().unwrap().open(&chunks[1]);
        let mut hash = Sha256::default();
        hash.update(opened.as_ref().unwrap());
        opening.confirm(hash).unwrap();
        assert!(*opened.unwrap() == plain);
        let document = json!({ "plain": hex(&plain), "file": hex(&file.bytes) });
        (fetch, release, document)
    }

    fn manifest(&self, file: &SealedFile, plain: &[u8]) -> Manifest {
        Manifest {
            member: self.network.holder.member,
            file: FileId([0xF1; 16]),
            root: file.root,
            sealed_size: file.bytes.len() as u64,
            size: plain.len() as u64,
            commitment: file.commitment,
            plain_sha256: sha256(&[plain]),
            coding: coding(),
            format: String::new(),
            content_type: "text/plain".to_owned(),
            author: "Dr. Lee".to_owned(),
            from: Timestamp(0),
            until: Timestamp(0),
            labels: Vec::new(),
            sequence: 1,
            issued_at: NOW,
        }
    }

    fn disclosure(&self, manifest: &Envelope) -> Disclosure {
        let salt = [0xF2; 32];
        Disclosure {
            holder: self.network.holder.member,
            asker: self.network.asker.member,
            disclosure: DISCLOSURE,
            receipt: receipt(&salt, &manifest.hash()),
            salt,
            consent: Some(ConsentId([0xF3; 16])),
            rule: 1,
            obligations: vec![1, 2],
            query_hash: sha256(&[&QUERY.0]),
            audit_leaf: [0xE2; 32],
            audit_index: 300,
            issued_at: NOW,
        }
    }

    fn release(&mut self, manifest: &Envelope, file: &SealedFile, told: &Disclosure) -> Value {
        let network = self.network;
        let statement = network.holder.key().sign(&network.id, told);
        self.ask(
            |head| ReleaseRequest {
                head,
                handle: HANDLE,
                document: DOCUMENT,
                disclosure: DISCLOSURE,
                manifest_hash: manifest.hash(),
                root: file.root,
                purpose: Purpose::Treat,
                user: USER,
                role: Role::Clinician,
            },
            |head| ReleaseAnswer {
                head,
                content_key: SecretKey::new(CONTENT_KEY),
                release: statement,
                promise: String::new(),
            },
        )
    }
}

fn document() -> (SealedFile, Vec<u8>) {
    let plain = b"Discharge summary: anaphylaxis after penicillin, 2019. No known interactions.\n";
    let key = SecretKey::new(CONTENT_KEY);
    (seal_file(&key, &[0xF4; 16], plain), plain.to_vec())
}

fn coding() -> Coding {
    Coding {
        system: Coding::LOINC.to_owned(),
        code: "18842-5".to_owned(),
        display: "Discharge summary".to_owned(),
    }
}

fn signing(seed: [u8; 32]) -> SigningKey {
    SigningKey::from_seed(&SecretKey::new(seed))
}

fn signed(envelope: &Envelope) -> Value {
    hex(&encode_envelope(envelope)).into()
}

fn sealed(header: OuterHeader, ciphertext: Bytes, domain: &str, inside: &Envelope) -> Value {
    let sealed = Sealed { header, ciphertext };
    let bytes = encode_sealed(&sealed);
    assert!(encode_sealed(&decode_sealed(&bytes).unwrap()) == bytes);
    json!({
        "sealed": hex(&bytes),
        "domain": domain,
        "signed": signed(inside),
        "body": hex(&inside.body),
    })
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Compares with the file, which it writes where that is wished for.
fn golden(file: &str, vectors: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors")
        .join(file);
    if !path.exists() && std::env::var_os("CHARTMESH_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(vectors).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: Value = serde_json::from_str(&text).unwrap();
    let names = |value: &Value| -> Vec<String> {
        let members = value.as_object().unwrap();
        members.keys().cloned().collect()
    };
    assert_eq!(names(&kept), names(vectors));
    for name in names(vectors) {
        assert_eq!(kept[&name], vectors[&name], "{file}: {name}");
    }
}
