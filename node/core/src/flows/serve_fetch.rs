//! The holder's end of a fetch: ciphertext as it lies, and the release in the patient's turn.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{Stream, stream};

use super::{
    call::Question,
    decide::{Claim, Refusal},
    error::FlowError,
    kept::ChunkSpan,
    node::{Node, push_audit},
    state::Pending,
};
use crate::{
    audit,
    crypto::{self, Envelope},
    exchange::Release,
    locator::Issued,
    policy::Permit,
    ports::{FetchPart, Stage, World},
    records::{Batch, Disclosure, Document, Manifest, Matter, TurnGuard},
    session::Authenticated,
    types::{
        DisclosureId, DocumentId, FileId, NodeKey, PatientId, PeerCode,
        limits::{FETCH_STEP_CHUNKS, LEAVES_PER_PART, SEND_STEP_CHUNKS},
    },
    wire::{FetchHead, FetchRequest, ReleaseAnswer, ReleaseRequest},
};

/// What is sent of one file.
struct Outgoing {
    claim: Claim,
    request: Authenticated<FetchRequest>,
    file: FileId,
    sealed_size: u64,
    chunks: u64,
    from_chunk: u64,
}

/// How far a stream is.
enum Step {
    Head(Bytes),
    /// The next leaf, and the leaves before it where they are not remembered yet.
    Leaves(u64, Vec<[u8; 32]>),
    /// The next chunk, and those that were read with it.
    Chunk(u64, VecDeque<Bytes>),
}

impl<W: World> Node<W> {
    /// Streams a document's head, leaf list and ciphertext. Each chunk is decided anew, so that
    /// sending stops at the next one after a revocation.
    ///
    /// # Errors
    /// What the peer is told where nothing can be sealed to it.
    pub async fn serve_fetch(
        self: Arc<Self>,
        from: NodeKey,
        body: Bytes,
    ) -> Result<impl Stream<Item = Result<FetchPart, PeerCode>> + Send + use<W>, PeerCode> {
        if self.fold.problem().is_some() {
            return Err(PeerCode::Unavailable);
        }
        let (head, outgoing) = match self.receive::<FetchRequest>(from, &body).await {
            Err(Err(code)) => return Err(code),
            Err(Ok(refused)) => (refused, None),
            Ok((question, request)) => self.start_fetch(&question, request).await,
        };
        let first = outgoing.as_ref().map_or(0, |outgoing| outgoing.from_chunk);
        let node = self;
        let outgoing = outgoing.map(Arc::new);
        Ok(stream::unfold(Some(Step::Head(head)), move |step| {
            let (node, outgoing) = (node.clone(), outgoing.clone());
            async move { node.step(step?, outgoing, first).await }
        }))
    }

    async fn step(
        &self,
        step: Step,
        outgoing: Option<Arc<Outgoing>>,
        first: u64,
    ) -> Option<(Result<FetchPart, PeerCode>, Option<Step>)> {
        match (step, outgoing) {
            (Step::Head(head), outgoing) => {
                let next = outgoing.map(|_| Step::Leaves(0, Vec::new()));
                Some((Ok(FetchPart::Head(head)), next))
            }
            (Step::Leaves(from, before), Some(outgoing)) => {
                if let Err(code) = self.still_permitted(&outgoing).await {
                    return Some((Err(code), None));
                }
                let until = outgoing.chunks.min(from + LEAVES_PER_PART as u64);
                Some(match self.leaves(&outgoing, from..until, before).await {
                    Ok((leaves, so_far)) => {
                        let next = if until < outgoing.chunks {
                            Some(Step::Leaves(until, so_far))
                        } else {
                            (first < outgoing.chunks).then(|| Step::Chunk(first, VecDeque::new()))
                        };
                        (Ok(FetchPart::Leaves(leaves)), next)
                    }
                    Err(code) => (Err(code), None),
                })
            }
            (Step::Chunk(index, mut ahead), Some(outgoing)) => {
                if let Err(code) = self.still_permitted(&outgoing).await {
                    return Some((Err(code), None));
                }
                if ahead.is_empty() {
                    let until = outgoing.chunks.min(index + SEND_STEP_CHUNKS);
                    match self.chunks(&outgoing, index..until).await {
                        Ok(chunks) => ahead = chunks.into(),
                        Err(code) => return Some((Err(code), None)),
                    }
                }
                let data = ahead.pop_front()?;
                let next = (index + 1 < outgoing.chunks).then(|| Step::Chunk(index + 1, ahead));
                Some((Ok(FetchPart::Chunk { index, data }), next))
            }
            (Step::Leaves(..) | Step::Chunk(..), None) => None,
        }
    }

    /// Decides anew before each part; the first refusal ends the stream and is recorded.
    async fn still_permitted(&self, outgoing: &Outgoing) -> Result<(), PeerCode> {
        let Err(refusal) = self.decide(&outgoing.request, &outgoing.claim) else {
            return Ok(());
        };
        let recorded = self
            .record_refusal(&outgoing.request, &outgoing.claim, &refusal)
            .await;
        Err(recorded.map_or(PeerCode::Unavailable, |()| refusal.peer_code()))
    }

    async fn chunks(
        &self,
        outgoing: &Outgoing,
        chunks: Range<u64>,
    ) -> Result<Vec<Bytes>, PeerCode> {
        let span = ChunkSpan::of(outgoing.sealed_size, chunks).ok_or(PeerCode::Malformed)?;
        let read = self
            .world
            .read_file(outgoing.file, span.start, span.len)
            .await;
        let read = read.map_err(|_| PeerCode::Unavailable)?;
        span.cut(&read).ok_or(PeerCode::Unavailable)
    }

    /// Leaves of a file, and all of it so far. The last of them is remembered with those before it, so
    /// that the file is read and hashed once and not with every fetch: it never changes.
    async fn leaves(
        &self,
        outgoing: &Outgoing,
        wanted: Range<u64>,
        mut so_far: Vec<[u8; 32]>,
    ) -> Result<(Bytes, Vec<[u8; 32]>), PeerCode> {
        let place = wanted.start as usize..wanted.end as usize;
        let known = self.state().leaves.of(outgoing.file);
        if let Some(leaves) = known
            .as_deref()
            .and_then(|leaves| leaves.get(place.clone()))
        {
            return Ok((leaves.concat().into(), so_far));
        }
        let mut next = so_far.len() as u64;
        while next < wanted.end {
            let until = wanted.end.min(next + FETCH_STEP_CHUNKS);
            let chunks = self.chunks(outgoing, next..until).await?;
            let hash = move || -> Vec<_> {
                let hashes = chunks.iter().map(|chunk| crypto::tree::leaf_hash(chunk));
                hashes.collect()
            };
            so_far.extend(self.world.run(hash).await);
            next = until;
        }
        let part = so_far[place].concat();
        if next == outgoing.chunks {
            let whole = std::mem::take(&mut so_far);
            self.state().leaves.remember(outgoing.file, whole);
        }
        Ok((part.into(), so_far))
    }

    async fn start_fetch(
        &self,
        question: &Question,
        request: Authenticated<FetchRequest>,
    ) -> (Bytes, Option<Outgoing>) {
        let body = request.body();
        let claim = Claim {
            handle: body.handle,
            document: Some(body.document),
            purpose: body.purpose,
            user: body.user,
            role: body.role,
        };
        let (issued, permit) = match self.decide(&request, &claim) {
            Ok(decided) => decided,
            Err(refusal) => return (self.deny(question, &request, &claim, &refusal).await, None),
        };
        let document = match self.offered(permit.patient(), body.document).await {
            Ok(Some(document)) => document,
            Ok(None) => {
                // A document that is not this patient's is answered like an unknown handle.
                let refusal = Refusal::Document(issued);
                return (self.deny(question, &request, &claim, &refusal).await, None);
            }
            Err(_) => return (self.refuse(question, 0, PeerCode::Unavailable), None),
        };
        match self
            .head(question, &request, &issued, &permit, &document)
            .await
        {
            Ok((head, manifest, (chunks, from_chunk))) => {
                let outgoing = Outgoing {
                    claim,
                    request,
                    file: manifest.file,
                    sealed_size: manifest.sealed_size,
                    chunks,
                    from_chunk,
                };
                (head, Some(outgoing))
            }
            Err(code) => (self.refuse(question, 0, code), None),
        }
    }

    async fn head(
        &self,
        question: &Question,
        request: &Authenticated<FetchRequest>,
        issued: &Issued,
        permit: &Permit,
        document: &Document,
    ) -> Result<(Bytes, Manifest, (u64, u64)), PeerCode> {
        let body = request.body();
        let manifest = document
            .manifest
            .claims::<Manifest>()
            .map_err(|_| PeerCode::Unavailable)?;
        let chunks = crypto::chunk_count(manifest.sealed_size).ok_or(PeerCode::Unavailable)?;
        let from_chunk = match body.resume {
            Some((root, chunk)) if root == manifest.root && chunk <= chunks => chunk,
            // Another version: all of it is sent, and the asker drops what it had.
            Some(_) | None => 0,
        };
        let disclosure = DisclosureId(self.random());
        let mut batch = Batch::default();
        push_audit(
            &mut batch,
            &audit::Entry {
                user: Some(body.user),
                role: Some(body.role),
                query_hash: Some(issued.query_hash),
                disclosure: None,
                ..audit::Entry::permitted(audit::Kind::Fetched, permit)
            }
            .describe(&manifest.content_type, &manifest.coding),
        );
        self.commit(batch)
            .await
            .map_err(|_| PeerCode::Unavailable)?;
        let network = self.network_id().ok_or(PeerCode::Unavailable)?;
        self.state().expect_release(
            disclosure,
            Pending {
                asker: permit.to(),
                document: document.id,
                since: self.world.now(),
            },
        );
        let signed = self
            .identity()
            .node
            .sign_bytes::<Manifest>(&network, document.manifest.body.clone());
        let head = self.answer(question, 0, |head| FetchHead {
            head,
            manifest: signed,
            disclosure,
            chunks,
            from_chunk,
            subject: crypto::subject_of(&body.handle),
        });
        Ok((head, manifest, (chunks, from_chunk)))
    }

    /// A document offered under an id: stored, or the on-demand bundle as a snapshot.
    async fn offered(
        &self,
        patient: PatientId,
        id: DocumentId,
    ) -> Result<Option<Document>, FlowError> {
        let (stored, summary) = {
            let state = self.state();
            let stored = state
                .documents
                .get(&patient)
                .and_then(|documents| documents.get(&id))
                .filter(|document| document.snapshot.is_none())
                .cloned();
            let summary = state.patients.get(&patient).map(|patient| patient.summary);
            (stored, summary)
        };
        if stored.is_some() || summary != Some(id) {
            return Ok(stored);
        }
        self.snapshot(patient).await.map(Some)
    }

    // ---------------------------------------------------------------- release

    /// Decides again, records, and only then answers with the key: one turn, which a revocation
    /// also takes, so that no key leaves after a revocation has returned.
    pub(super) async fn serve_release(
        &self,
        from: NodeKey,
        body: &[u8],
    ) -> Result<Bytes, PeerCode> {
        let (question, request) = match self.receive::<ReleaseRequest>(from, body).await {
            Ok(received) => received,
            Err(answer) => return answer,
        };
        let body = request.body();
        let claim = Claim {
            handle: body.handle,
            document: Some(body.document),
            purpose: body.purpose,
            user: body.user,
            role: body.role,
        };
        let patient = {
            let now = self.now();
            let state = self.state();
            let issued = state.handles.find(body.handle, request.peer().member, now);
            issued.map(|issued| issued.patient)
        };
        let Some(patient) = patient else {
            let refusal = Refusal::Handle;
            return Ok(self.deny(&question, &request, &claim, &refusal).await);
        };
        let _step = self.world.step(Stage::Release);
        let turn = self.turn(Matter::Patient(patient)).await;
        let _leaving = self.leaving(request.peer().member);
        let (issued, permit) = match self.decide(&request, &claim) {
            Ok(decided) => decided,
            Err(refusal) => return Ok(self.deny(&question, &request, &claim, &refusal).await),
        };
        match self.disclose(&request, &issued, permit, &turn).await {
            Ok((release, statement, promise)) => {
                let content_key = release.into_key();
                Ok(self.answer(&question, 0, |head| ReleaseAnswer {
                    head,
                    content_key,
                    release: statement,
                    promise,
                }))
            }
            Err(refusal) => Ok(self.deny(&question, &request, &claim, &refusal).await),
        }
    }

    async fn disclose(
        &self,
        request: &Authenticated<ReleaseRequest>,
        issued: &Issued,
        permit: Permit,
        turn: &TurnGuard,
    ) -> Result<(Release, Envelope, String), Refusal> {
        let body = request.body();
        let network = self.network_id().ok_or(Refusal::Unavailable)?;
        let document = self
            .state()
            .released_document(&permit, body)
            .ok_or(Refusal::Document(*issued))?;
        let manifest = document
            .manifest
            .claims::<Manifest>()
            .map_err(|_| Refusal::Unavailable)?;
        if manifest.root != body.root {
            return Err(Refusal::Root(*issued));
        }
        let key = self
            .content_key(&document)
            .map_err(|_| Refusal::Unavailable)?;
        let salt = self.random();
        let receipt = crypto::receipt(&salt, &body.manifest_hash);
        let mut batch = Batch::within(turn);
        push_audit(
            &mut batch,
            &audit::Entry {
                document: Some(body.document),
                disclosure: Some(body.disclosure),
                receipt: Some(receipt),
                user: Some(body.user),
                role: Some(body.role),
                query_hash: Some(issued.query_hash),
                ..audit::Entry::permitted(audit::Kind::Disclosed, &permit)
            }
            .describe(&manifest.content_type, &manifest.coding),
        );
        let recorded = self.commit(batch).await.map_err(|_| Refusal::Unavailable)?;
        let release = Release::new(permit, &recorded, key).ok_or(Refusal::Unavailable)?;
        let (audit_index, issued_at) = {
            let mut state = self.state();
            state.pending.remove(&body.disclosure);
            let index = state.audit_index(release.position());
            (index.unwrap_or(0), self.world.now())
        };
        let permit = release.permit();
        let statement = Disclosure {
            holder: self.member(),
            asker: permit.to(),
            disclosure: body.disclosure,
            receipt,
            salt,
            consent: permit.consent(),
            rule: permit.rule().number(),
            obligations: permit.obligations().iter().map(|o| o.number()).collect(),
            query_hash: issued.query_hash,
            audit_leaf: release.leaf(),
            audit_index,
            issued_at,
        };
        let promise = self.promise(network, (audit_index, release.leaf()), issued_at);
        let statement = self.identity().node.sign(&network, &statement);
        Ok((release, statement, promise))
    }
}
