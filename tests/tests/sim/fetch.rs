//! Fetches that are cut, altered on the way, or answered by a liar.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use chartmesh_core::{
    audit::Kind as Audited,
    crypto::{self, OpeningKey, SealContext, SessionKeys, accept_session},
    flows::{Fetch, FlowError, Recipient, Told},
    ports::{Journal as _, Records as _, Rpc, Table},
    records::{Batch, Document, Manifest, Place, RecordKind, Scope, StoreError},
    types::{
        Code, DocumentId, Handle, PatientId, PeerCode, Purpose,
        limits::{CHUNK_BYTES, FETCH_MEMORY_MAX_BYTES, FETCH_STEP_CHUNKS, SEND_STEP_CHUNKS},
    },
    wire,
};
use chartmesh_tests::{Fate, Frame, Kind, SimNode};

use crate::scenario::*;

async fn large() -> (Scene, Vec<u8>) {
    let mut scene = three().await;
    let bytes: Vec<u8> = (0..FETCH_MEMORY_MAX_BYTES as usize + 100)
        .map(|at| (at % 251) as u8)
        .collect();
    scene.document = attach(&scene.world.clinic, scene.rosa, &bytes).await;
    grant(&scene.world.clinic, scene.rosa, &scene.world.urgent).await;
    (scene, bytes)
}

/// Fetches the document of a scene until its fourth chunk, with which the connection breaks.
async fn cut_off(scene: &Scene) -> Handle {
    let (clinic, urgent, net) = (&scene.world.clinic, &scene.world.urgent, &scene.world.net);
    let handle = located(urgent, clinic).await;
    net.between(Some(Box::new(|frame: &mut Frame| match frame.kind {
        Kind::Chunk(3) => Fate::Break,
        _ => Fate::Deliver,
    })));
    let cut = fetch(urgent, handle, scene.document).await;
    assert_eq!(code(cut), Some(Code::PeerUnreachable));
    net.between(None);
    handle
}

fn chunks_sent(world: &World) -> Vec<u64> {
    let tape = world.net.tape().into_iter();
    tape.filter_map(|frame| match frame.kind {
        Kind::Chunk(index) => Some(index),
        _ => None,
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_cut_resumes_and_is_one_disclosure() {
    let (scene, bytes) = large().await;
    let (clinic, urgent, net) = (&scene.world.clinic, &scene.world.urgent, &scene.world.net);
    let handle = cut_off(&scene).await;
    assert_eq!(chunks_sent(&scene.world), [0, 1, 2, 3]);
    net.rewind();

    let fetched = fetch(urgent, handle, scene.document).await.unwrap();

    assert_eq!(fetched, bytes);
    let sent = chunks_sent(&scene.world);
    assert_eq!(sent[0], 3, "what was here stayed");
    assert!(
        sent.last() > Some(&FETCH_STEP_CHUNKS),
        "it is read in steps"
    );
    assert_eq!(audited(clinic, Audited::Disclosed).await.len(), 1);
    let files = urgent.disk().files();
    assert!(!files.keys().any(|name| name.starts_with("parts/")));
}

#[tokio::test(start_paused = true)]
async fn a_holder_reads_send_step_chunks_at_a_time_and_hashes_a_file_once() {
    let (scene, bytes) = large().await;
    let (clinic, urgent) = (&scene.world.clinic, &scene.world.urgent);
    let handle = located(urgent, clinic).await;
    let sealed = crypto::sealed_len(bytes.len() as u64) as usize;
    let chunk = crypto::chunk_range(sealed as u64, 1).unwrap();
    let step = (SEND_STEP_CHUNKS * (chunk.end - chunk.start)) as usize;
    clinic.world().reads();

    fetch(urgent, handle, scene.document).await.unwrap();
    let sent = clinic.world().reads();
    let clinic = clinic.restarted();
    fetch(urgent, handle, scene.document).await.unwrap();
    let hashed_and_sent = clinic.world().reads();
    fetch(urgent, handle, scene.document).await.unwrap();
    let sent_again = clinic.world().reads();

    assert_eq!(sent.iter().max(), Some(&step));
    // The leaves are known from the sealing, and after a restart from the first fetch.
    let sums = [sent, hashed_and_sent, sent_again].map(|reads| reads.iter().sum::<usize>());
    assert_eq!(sums, [sealed, 2 * sealed, sealed]);
}

/// Beside the large one, whose part file a cut leaves.
#[tokio::test(start_paused = true)]
async fn a_small_document_is_kept_in_memory_while_it_comes() {
    let (scene, _) = large().await;
    let (clinic, urgent, net) = (&scene.world.clinic, &scene.world.urgent, &scene.world.net);
    let small = attach(clinic, scene.rosa, &[7; 2 * CHUNK_BYTES]).await;
    let handle = located(urgent, clinic).await;
    let parts = || {
        let files = urgent.disk().files();
        files
            .keys()
            .filter(|name| name.starts_with("parts/"))
            .count()
    };
    net.between(Some(Box::new(|frame: &mut Frame| match frame.kind {
        Kind::Chunk(2) => Fate::Break,
        _ => Fate::Deliver,
    })));

    let cut = fetch(urgent, handle, small).await;
    assert_eq!(code(cut), Some(Code::PeerUnreachable));
    assert_eq!(parts(), 0);
    let cut = fetch(urgent, handle, scene.document).await;
    assert_eq!(code(cut), Some(Code::PeerUnreachable));
    assert_eq!(parts(), 1);

    net.between(None);
    let fetched = fetch(urgent, handle, small).await;
    assert_eq!(fetched.unwrap(), [7; 2 * CHUNK_BYTES]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_fetch_resumes_after_both_ends_restarted() {
    let (scene, bytes) = large().await;
    let (clinic, urgent) = (&scene.world.clinic, &scene.world.urgent);
    let handle = cut_off(&scene).await;

    let clinic = clinic.restarted();
    let urgent = urgent.restarted();

    let fetched = fetch(&urgent, handle, scene.document).await.unwrap();
    assert_eq!(fetched, bytes);
    assert_eq!(audited(&clinic, Audited::Disclosed).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_stops_a_stream_at_the_next_chunk() {
    let (scene, _) = large().await;
    let (clinic, urgent) = (&scene.world.clinic, &scene.world.urgent);
    let handle = located(urgent, clinic).await;
    let consent = clinic.consents(scene.rosa).unwrap()[0].id;
    scene.world.net.rewind();
    let revoking = {
        let clinic = clinic.shared();
        tokio::spawn(async move {
            pass(110).await;
            clinic.revoke(&clinician(), consent).await.unwrap();
        })
    };

    let told = code(fetch(urgent, handle, scene.document).await);
    revoking.await.unwrap();

    assert_eq!(told, Some(Code::Denied));
    let sent = chunks_sent(&scene.world).len();
    assert!((1..5).contains(&sent), "{sent} of 6 chunks");
    assert!(audited(clinic, Audited::Disclosed).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_altered_on_the_way_is_not_shown() {
    let altered = [
        (Kind::Chunk(0), Code::Integrity),
        (Kind::Chunk(2), Code::Integrity),
        (Kind::Leaves, Code::Integrity),
        (Kind::Head, Code::Signature),
        (Kind::Answer, Code::Signature),
    ];
    for (kind, expected) in altered {
        let (scene, bytes) = large().await;
        let (clinic, urgent) = (&scene.world.clinic, &scene.world.urgent);
        let handle = located(urgent, clinic).await;
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = hits.clone();
        scene
            .world
            .net
            .between(Some(Box::new(move |frame: &mut Frame| {
                let of_fetch = matches!(frame.rpc, Rpc::Fetch | Rpc::Release);
                if frame.kind == kind && of_fetch {
                    let mut bytes = frame.bytes.to_vec();
                    let last = bytes.len() - 1;
                    bytes[last] ^= 1;
                    frame.bytes = bytes.into();
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                Fate::Deliver
            })));

        let told = code(fetch(urgent, handle, scene.document).await);

        assert_eq!(told, Some(expected), "{kind:?}");
        assert_eq!(hits.load(Ordering::Relaxed), 1);
        let left = scene.world.net.trace().contains(&"key left");
        assert_eq!(left, kind == Kind::Answer, "no key for bytes that differ");
        scene.world.net.between(None);
        let fetched = fetch(urgent, handle, scene.document).await.unwrap();
        assert_eq!(fetched, bytes, "what was altered left nothing behind");
    }
}

/// The newest record of a document, as its holder keeps it.
async fn stored(holder: &SimNode, patient: PatientId, id: DocumentId) -> Document {
    let key = [patient.0, id.0].concat();
    let rows = holder.world().rows(Table::Document, key).await.unwrap();
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    let (value, len) = rows[0].value.split_at(16);
    let place = Place {
        file: number(&value[..8]),
        offset: number(&value[8..]),
        len: u32::from_be_bytes(len.try_into().unwrap()),
    };
    let records = holder.world().records(vec![place]).await.unwrap();
    wire::decode_document(records[0].body.as_ref().unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn content_that_is_not_what_its_holder_signed_is_not_shown() {
    type Lie = fn(&mut Manifest);
    let lies: [(Lie, Option<Code>); 3] = [
        (|_| (), None),
        (
            |manifest| manifest.plain_sha256[0] ^= 1,
            Some(Code::Integrity),
        ),
        (|manifest| manifest.size -= 1, Some(Code::Integrity)),
    ];
    for (lie, expected) in lies {
        let scene = three().await;
        let (clinic, urgent) = (&scene.world.clinic, &scene.world.urgent);
        grant(clinic, scene.rosa, urgent).await;
        let mut document = stored(clinic, scene.rosa, scene.document).await;
        let mut manifest = document.manifest.claims::<Manifest>().unwrap();
        lie(&mut manifest);
        let network = clinic.current_network().unwrap().id;
        document.manifest = clinic.identity().node.sign(&network, &manifest);
        let mut batch = Batch::default();
        let body = wire::encode_document(&document);
        batch.push(RecordKind::Document, Scope::Patient(scene.rosa), body);
        assert!(clinic.world().commit(batch).await.is_ok());
        let handle = located(urgent, clinic).await;

        let told = code(fetch(urgent, handle, scene.document).await);

        assert_eq!(told, expected);
    }
}

/// Sits at the holder with all its keys and answers about somebody else.
fn liar(
    clinic: &SimNode,
    seed: u8,
    lie: fn(&mut wire::FetchHead),
) -> impl FnMut(&mut Frame) -> Fate + Send + use<> {
    let opening = OpeningKey::from_bytes(&chartmesh_tests::world::opening_seed(seed));
    let network = clinic.current_network().unwrap().id;
    let node = clinic.shared();
    let sessions: Mutex<Vec<([u8; 16], SessionKeys)>> = Mutex::default();
    move |frame: &mut Frame| {
        let mut sessions = sessions.lock().unwrap();
        let sealed = wire::decode_sealed(&frame.bytes);
        match (frame.kind, sealed) {
            (Kind::Question, Ok(sealed)) if frame.to == node.node_key() => {
                let context = SealContext {
                    network,
                    recipient: node.member(),
                    key_id: sealed.header.key_id,
                };
                if let Ok(keys) = accept_session(&opening, &sealed.header.enc, &context) {
                    sessions.push((sealed.header.session, keys));
                }
            }
            (Kind::Head, Ok(sealed)) => {
                let session = sealed.header.session;
                let known = sessions.iter().find(|(id, _)| *id == session);
                let keys = &known.unwrap().1;
                let plain = keys
                    .open_answer(&sealed.header, 0, &sealed.ciphertext)
                    .unwrap();
                let envelope = wire::decode_envelope(&plain).unwrap();
                let mut head = envelope.claims::<wire::FetchHead>().unwrap();
                lie(&mut head);
                let envelope = node.identity().node.sign(&network, &head);
                let plain = wire::encode_envelope(&envelope);
                let ciphertext = keys.seal_answer(&sealed.header, 0, &plain).unwrap();
                frame.bytes = wire::encode_sealed(&wire::Sealed {
                    header: sealed.header,
                    ciphertext,
                });
            }
            _ => {}
        }
        Fate::Deliver
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_answers_about_somebody_else_is_caught() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let clinic = &world.clinic;
    grant(clinic, rosa, &world.urgent).await;
    // A run of its own, so that the liar sees how its session begins.
    let urgent = world.urgent.restarted();
    let lie = |head: &mut wire::FetchHead| head.subject = [3; 16];
    world.net.between(Some(Box::new(liar(clinic, 1, lie))));
    let handle = located(&urgent, clinic).await;

    let told = code(fetch(&urgent, handle, document).await);

    assert_eq!(told, Some(Code::SubjectMismatch));
    let received = audited(&urgent, Audited::Received).await;
    assert_eq!(received[0].code, Some(Code::SubjectMismatch));
    world.net.between(None);
    assert!(fetch(&urgent, handle, document).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn content_that_is_cut_is_no_document_and_leaves_no_file() {
    let Scene { world, rosa, .. } = three().await;
    let clinic = &world.clinic;
    let description = chartmesh_core::flows::Description::default;
    let pages = |end: Result<bytes::Bytes, FlowError>| {
        let page = bytes::Bytes::from(vec![1; 2 * CHUNK_BYTES]);
        futures::stream::iter([Ok(page), end])
    };
    let files = || document_files(clinic);
    let before = files();
    let actor = clinician();

    let whole = pages(Ok("the end".into()));
    let added = clinic.add_document(&actor, rosa, whole, description());
    assert!(added.await.is_ok());
    assert_eq!(files(), before + 1);
    let cut = pages(Err(FlowError::Usage { code: Code::Usage }));
    let told = clinic.add_document(&actor, rosa, cut, description());

    assert_eq!(code(told.await.map(|_| ())), Some(Code::Usage));
    assert_eq!(files(), before + 1);
    assert_eq!(clinic.documents(rosa).len(), 2);
}

/// A holder that takes the question and never sends a head, and a user who went away meanwhile.
#[tokio::test(start_paused = true)]
async fn a_fetch_of_a_silent_holder_ends_and_so_does_one_that_nobody_wants() {
    let (scene, bytes) = large().await;
    let (clinic, urgent, net) = (&scene.world.clinic, &scene.world.urgent, &scene.world.net);
    let handle = located(urgent, clinic).await;
    net.cut(clinic.node_key(), urgent.node_key());

    let most = std::time::Duration::from_secs(60);
    let silent = tokio::time::timeout(most, fetch(urgent, handle, scene.document)).await;

    assert_eq!(silent.ok().and_then(code), Some(Code::Deadline));
    net.heal();
    let asked = chartmesh_core::flows::Fetch {
        handle,
        document: scene.document,
        purpose: chartmesh_core::types::Purpose::Treat,
    };
    let told: chartmesh_core::flows::Told<'_> = (&|_, _| {}, &|| false);
    let mut nobody = Vec::new();
    let unwanted = urgent.fetch(&clinician(), asked, told, &mut nobody).await;
    assert_eq!(code(unwanted), Some(Code::Deadline));
    assert!(nobody.is_empty());
    assert!(audited(clinic, Audited::Disclosed).await.is_empty());
    assert_eq!(fetch(urgent, handle, scene.document).await.unwrap(), bytes);
}

/// Hard case: the part is here already, so that the holder need not send it.
#[tokio::test(start_paused = true)]
async fn a_fetch_that_goes_on_elsewhere_than_it_was_asked_to_shows_nothing() {
    let (scene, bytes) = large().await;
    let (clinic, net) = (&scene.world.clinic, &scene.world.net);
    let handle = cut_off(&scene).await;
    let urgent = scene.world.urgent.restarted();
    let lie = |head: &mut wire::FetchHead| head.from_chunk = 2;
    net.between(Some(Box::new(liar(clinic, 1, lie))));

    let told = code(fetch(&urgent, handle, scene.document).await);

    assert_eq!(told, Some(Code::Integrity));
    assert!(audited(clinic, Audited::Disclosed).await.is_empty());
    net.between(None);
    let fetched = fetch(&urgent, handle, scene.document).await;
    assert_eq!(fetched.unwrap(), bytes);
}

#[tokio::test(start_paused = true)]
async fn a_kept_part_that_was_damaged_here_is_fetched_anew() {
    let (scene, bytes) = large().await;
    let (clinic, urgent, net) = (&scene.world.clinic, &scene.world.urgent, &scene.world.net);
    let handle = cut_off(&scene).await;
    // A restart makes what was kept durable, so that it can be damaged.
    urgent.crash(usize::MAX);
    let urgent = urgent.restarted();
    let files = urgent.disk().files().into_keys();
    let mut parts = files.filter(|name| name.starts_with("parts/"));
    urgent.disk().tamper(&parts.next().unwrap(), |part| {
        *part.last_mut().unwrap() ^= 1;
    });
    net.rewind();

    let fetched = fetch(&urgent, handle, scene.document).await;

    assert_eq!(fetched.unwrap(), bytes);
    let sent = chunks_sent(&scene.world);
    assert!(sent.contains(&0) && sent.contains(&3));
    assert_eq!(audited(clinic, Audited::Disclosed).await.len(), 1);
}

/// The line broke when all of it was here, and only the key was missing.
#[tokio::test(start_paused = true)]
async fn a_fetch_that_lacks_the_key_alone_is_sent_no_chunk_again() {
    let (scene, bytes) = large().await;
    let (clinic, urgent, net) = (&scene.world.clinic, &scene.world.urgent, &scene.world.net);
    let handle = located(urgent, clinic).await;
    net.between(Some(Box::new(|frame: &mut Frame| match frame.rpc {
        Rpc::Release => Fate::Break,
        _ => Fate::Deliver,
    })));
    let told = code(fetch(urgent, handle, scene.document).await);
    assert_eq!(told, Some(Code::PeerUnreachable));
    net.between(None);
    net.rewind();

    let fetched = fetch(urgent, handle, scene.document).await;

    assert_eq!(fetched.unwrap(), bytes);
    assert!(chunks_sent(&scene.world).is_empty());
}

/// Takes a document, but no more of it than so many bits.
struct Few {
    wanted: usize,
    taken: usize,
}

impl Recipient for Few {
    async fn take(&mut self, _bytes: Bytes) -> bool {
        self.taken += 1;
        self.taken < self.wanted
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_says_how_far_it_is_and_hands_over_no_more_than_is_wanted() {
    let (scene, bytes) = large().await;
    let (clinic, urgent) = (&scene.world.clinic, &scene.world.urgent);
    let handle = located(urgent, clinic).await;
    let sealed = crypto::sealed_len(bytes.len() as u64);
    let chunks = crypto::chunk_count(sealed).unwrap();
    let asked = Fetch {
        handle,
        document: scene.document,
        purpose: Purpose::Treat,
    };

    for wanted in [1, 3] {
        let steps = Mutex::new(Vec::new());
        let heard = |here, of| steps.lock().unwrap().push((here, of));
        let told: Told<'_> = (&heard, &|| true);
        let mut few = Few { wanted, taken: 0 };
        let fetched = urgent.fetch(&clinician(), asked, told, &mut few).await;
        assert!(fetched.is_ok());
        assert_eq!(few.taken, wanted);
        let expected: Vec<_> = (1..=chunks).map(|here| (here, chunks)).collect();
        assert_eq!(steps.into_inner().unwrap(), expected);
    }
}

/// How many bytes of parts lie on a disk, the header of their file included.
fn parts_len(node: &SimNode) -> usize {
    let files = node.disk().files().into_iter();
    let parts = files.filter(|(name, _)| name.starts_with("parts/"));
    parts.map(|(_, bytes)| bytes.len()).sum()
}

/// Hard case: the second step, in which every chunk has the same size.
#[tokio::test(start_paused = true)]
async fn what_arrives_is_written_in_steps_of_fetch_step_chunks_and_kept_in_memory_up_to_its_limit()
{
    let scene = three().await;
    let (clinic, urgent, net) = (&scene.world.clinic, &scene.world.urgent, &scene.world.net);
    grant(clinic, scene.rosa, urgent).await;
    let handle = located(urgent, clinic).await;
    let most = FETCH_MEMORY_MAX_BYTES;
    let fits = (0..most)
        .rev()
        .find(|len| crypto::sealed_len(*len) <= most)
        .unwrap();
    let step = FETCH_STEP_CHUNKS;
    let long = (2 * step + 4) * CHUNK_BYTES as u64;
    for (len, lost, chunks) in [
        (fits, 3, 0),
        (fits + 1, 3, 0),
        (long, 2 * step + 2, 2 * step + 1),
    ] {
        let bytes = vec![7; len as usize];
        let document = attach(clinic, scene.rosa, &bytes).await;
        net.between(Some(Box::new(move |frame: &mut Frame| match frame.kind {
            Kind::Chunk(index) if index == lost => Fate::Lose,
            _ => Fate::Deliver,
        })));
        let fetching = {
            let urgent = urgent.shared();
            tokio::spawn(async move {
                let asked = Fetch {
                    handle,
                    document,
                    purpose: Purpose::Treat,
                };
                let (mut bytes, told): (Vec<u8>, Told<'_>) = (Vec::new(), (&|_, _| (), &|| true));
                code(urgent.fetch(&clinician(), asked, told, &mut bytes).await)
            })
        };
        pass(10_000).await;

        let sealed = crypto::sealed_len(len);
        let header = if len == fits { 0 } else { 40 };
        let whole = match chunks {
            0 => 0,
            chunks => crypto::chunk_range(sealed, chunks - 1).unwrap().end,
        };
        assert_eq!(parts_len(urgent), header + whole as usize, "{len}");
        pass(60_000).await;
        assert_eq!(fetching.await.unwrap(), Some(Code::Deadline));
        net.between(None);
        let fetched = fetch(urgent, handle, document).await;
        assert_eq!(fetched.unwrap(), bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_store_is_in_doubt_answers_nobody_whatever_they_ask() {
    let Scene { world, .. } = three().await;
    let (clinic, from) = (&world.clinic, world.urgent.node_key());
    let asked = async || {
        let bytes = Bytes::from_static(b"no message");
        let called = clinic.serve(from, Rpc::Members, bytes.clone()).await;
        let fetched = clinic.shared().serve_fetch(from, bytes).await;
        [called.err(), fetched.err()]
    };
    assert_eq!(asked().await, [Some(PeerCode::Malformed); 2]);

    clinic.fold().halt(StoreError::Failed);

    assert_eq!(asked().await, [Some(PeerCode::Unavailable); 2]);
}
