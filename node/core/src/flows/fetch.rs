//! The asker's fetch: ciphertext in, checked chunk by chunk, then the key, then bytes.

use bytes::Bytes;
use futures::{StreamExt, future};

use super::{
    call::{AskError, Asked},
    error::FlowError,
    kept::Kept,
    list::verified_manifest,
    node::{Actor, Node, push_audit},
};
use crate::{
    audit,
    crypto::{self, Sha256},
    exchange::{Opening, Receive, ReceiveError, Received},
    ports::{FetchPart, Rpc, World},
    records::{Batch, Disclosure},
    types::{Code, DocumentId, Handle, MemberId, NetworkId, NodeKey, PeerCode, Purpose, Span},
    wire::{FetchHead, FetchRequest, ReleaseAnswer, ReleaseRequest},
};

/// Longest silence of a holder during a fetch.
const SILENCE: Span = Span::seconds(30);

/// Who is told how far a fetch is, and who says whether it is still wanted.
pub type Told<'a> = (
    &'a (dyn Fn(u64, u64) + Send + Sync),
    &'a (dyn Fn() -> bool + Send + Sync),
);

/// What one fetch asks for.
#[derive(Clone, Copy)]
pub struct Fetch {
    /// Of whom.
    pub handle: Handle,
    /// Which.
    pub document: DocumentId,
    /// Why.
    pub purpose: Purpose,
}

/// What was signed of a verified document, and who it came from.
pub struct Fetched {
    /// What was signed of it.
    pub received: Received,
    /// The holder.
    pub holder: MemberId,
    /// Its node key.
    pub node: NodeKey,
}

/// Who takes a verified document, bit by bit.
pub trait Recipient: Send {
    /// Takes the next bytes; says whether more are wanted.
    fn take(&mut self, bytes: Bytes) -> impl Future<Output = bool> + Send;
}

impl Recipient for Vec<u8> {
    async fn take(&mut self, bytes: Bytes) -> bool {
        self.extend_from_slice(&bytes);
        true
    }
}

/// Takes a document to be checked, and keeps it where it is small, so that it is opened once.
struct Checked {
    hash: Sha256,
    opened: Option<Vec<Bytes>>,
}

impl Recipient for Checked {
    async fn take(&mut self, bytes: Bytes) -> bool {
        self.hash.update(&bytes);
        if let Some(opened) = &mut self.opened {
            opened.push(bytes);
        }
        true
    }
}

/// Says whether all was taken.
async fn take_all(recipient: &mut impl Recipient, opened: Vec<Bytes>) -> bool {
    for chunk in opened {
        if !recipient.take(chunk).await {
            return false;
        }
    }
    true
}

/// A document that is all here, with what was signed of it.
struct Arrived {
    kept: Kept,
    opening: Opening,
    /// All of it, opened and checked, where it is small.
    opened: Option<Vec<Bytes>>,
}

impl<W: World> Node<W> {
    /// Fetches one document and hands it over only when everything about it was checked and the
    /// receipt is on our own disk. A fetch that is cut resumes with the next one. One that nobody waits
    /// for any more ends with the next part, or when the holder is silent, and is recorded as cut.
    ///
    /// # Errors
    /// [`Code::HandleUnknown`], [`FlowError::Denied`], [`FlowError::Unreachable`],
    /// [`FlowError::Deadline`], also where nobody wanted it any more; [`FlowError::Forged`] with
    /// [`Code::SubjectMismatch`], [`Code::Integrity`] or [`Code::Signature`].
    pub async fn fetch(
        &self,
        actor: &Actor,
        fetch: Fetch,
        told: Told<'_>,
        recipient: &mut impl Recipient,
    ) -> Result<Fetched, FlowError> {
        let holder = self.holder_of(fetch.handle)?;
        let network = self.network()?.id;
        let node = self
            .state()
            .members
            .get(&holder)
            .map(|member| member.credential().node_key)
            .ok_or(FlowError::NotFound {
                code: Code::MemberUnknown,
            })?;
        let named = crypto::sha256(&[b"chartmesh/1/part", &holder.0, &fetch.document.0]);
        let own = self.state().fetching.insert(named);
        // A second fetch of the document at the same time keeps its chunks to itself.
        let part = if own { named } else { self.random() };
        let from = (holder, node, network);
        let mut outcome = self.transfer(actor, fetch, from, part, told).await;
        if matches!(outcome, Err(Cut::Part)) {
            self.world.remove_part(part).await?;
            outcome = self.transfer(actor, fetch, from, part, told).await;
        }
        if own {
            self.state().fetching.remove(&named);
        }
        let outcome = outcome.map_err(|cut| match cut {
            Cut::Failed(error) => error,
            Cut::Part => forged(node, ReceiveError::Integrity),
        });
        let mut batch = Batch::default();
        push_audit(
            &mut batch,
            &audit::Entry {
                member: Some(holder),
                document: Some(fetch.document),
                purpose: Some(fetch.purpose),
                user: Some(actor.user),
                role: Some(actor.role),
                actor: actor.name.clone(),
                patient: self.about(fetch.handle),
                ..received_entry(&outcome)
            },
        );
        self.commit(batch).await?;
        let cut = matches!(
            outcome,
            Err(FlowError::Unreachable { .. } | FlowError::Deadline { .. })
        );
        let handed_over = match outcome {
            Ok(mut arrived) => self
                .hand_over(node, &mut arrived, recipient)
                .await
                .map(|()| arrived.opening.into_received()),
            Err(error) => Err(error),
        };
        let keep = own && cut;
        if !keep {
            self.world.remove_part(part).await?;
        }
        Ok(Fetched {
            received: handed_over?,
            holder,
            node,
        })
    }

    /// Hands a checked document over for as long as somebody takes it.
    async fn hand_over(
        &self,
        node: NodeKey,
        arrived: &mut Arrived,
        recipient: &mut impl Recipient,
    ) -> Result<(), FlowError> {
        let Some(opened) = arrived.opened.take() else {
            return self.open_all(node, arrived, recipient).await;
        };
        let _someone_left = take_all(recipient, opened).await;
        Ok(())
    }

    /// Opens a document and hands it over for as long as somebody takes it, the next chunks being opened
    /// meanwhile.
    async fn open_all(
        &self,
        node: NodeKey,
        arrived: &Arrived,
        recipient: &mut impl Recipient,
    ) -> Result<(), FlowError> {
        let damaged = || forged(node, ReceiveError::Integrity);
        let header = arrived.kept.header(&self.world).await?;
        let mut opener = arrived.opening.open(&header).map_err(|_| damaged())?;
        let mut next = 1;
        let mut waiting = Vec::new();
        loop {
            let sealed = arrived.kept.step(&self.world, next).await?;
            next += sealed.len() as u64;
            let few = sealed.len() <= 1;
            let open = move || {
                // Wiped when nobody holds it any more.
                let open = |chunk: &Bytes| opener.open(chunk).map(Bytes::from_owner);
                let opened: Result<Vec<_>, _> = sealed.iter().map(open).collect();
                (opener, opened)
            };
            // To wake another thread costs more than to open one chunk.
            let opening = async {
                if few {
                    open()
                } else {
                    self.world.run(open).await
                }
            };
            let (reopened, taken) = future::join(opening, take_all(recipient, waiting)).await;
            let opened = reopened.1.map_err(|_| damaged())?;
            opener = reopened.0;
            if !taken {
                return Ok(());
            }
            if opened.is_empty() {
                return opener.is_done().then_some(()).ok_or_else(damaged);
            }
            waiting = opened;
        }
    }

    /// Checks that all of a document opens and is what was signed, before any of it is shown.
    async fn check(&self, node: NodeKey, arrived: &mut Arrived) -> Result<(), FlowError> {
        let mut checked = Checked {
            hash: Sha256::default(),
            opened: arrived.kept.is_in_memory().then(Vec::new),
        };
        self.open_all(node, arrived, &mut checked).await?;
        let confirmed = arrived.opening.confirm(checked.hash);
        confirmed.map_err(|error| forged(node, error))?;
        arrived.opened = checked.opened;
        Ok(())
    }

    async fn transfer(
        &self,
        actor: &Actor,
        fetch: Fetch,
        (holder, node, network): (MemberId, NodeKey, NetworkId),
        part: [u8; 32],
        (progress, wanted): Told<'_>,
    ) -> Result<Arrived, Cut> {
        let had = Kept::find(&self.world, part).await?;
        let resume = had.as_ref().and_then(Kept::resume);
        let (mut parts, head) = self.open_fetch(actor, fetch, holder, resume).await?;
        let manifest =
            verified_manifest(&head.manifest, &network, node).ok_or(FlowError::Forged {
                node,
                code: Code::Signature,
            })?;
        let (root, sealed_size) = (manifest.value().root, manifest.value().sealed_size);
        let chunks_here = resume.map_or(0, |(_, chunks)| chunks);
        let mut receive = Receive::begin(holder, fetch.handle, &head, manifest, chunks_here)
            .map_err(|error| Cut::of(node, error))?;
        let mut kept = match had.filter(|_| head.from_chunk > 0) {
            Some(had) if Some((root, head.from_chunk)) == resume => had,
            Some(_) => return Err(forged(node, ReceiveError::Foreign).into()),
            None => Kept::begin(&self.world, part, root, sealed_size).await?,
        };
        let here = (&mut kept, &mut receive);
        let came = self
            .take_parts((holder, node), &mut parts, here, (progress, wanted))
            .await;
        // Also what came before a cut is kept for the next try.
        kept.flush(&self.world).await?;
        came?;
        // The stream ended early without a reason: what is here is kept for the next try.
        receive
            .complete()
            .map_err(|_| FlowError::Unreachable { node })?;
        let opening = self
            .release(actor, fetch, (holder, node, network), receive)
            .await?;
        let mut arrived = Arrived {
            kept,
            opening,
            opened: None,
        };
        self.check(node, &mut arrived).await?;
        Ok(arrived)
    }

    /// Takes leaves and chunks as they come, each checked before it is kept, until the holder is done.
    async fn take_parts(
        &self,
        (holder, node): (MemberId, NodeKey),
        parts: &mut W::Parts,
        (kept, receive): (&mut Kept, &mut Receive),
        (progress, wanted): Told<'_>,
    ) -> Result<(), Cut> {
        let chunks = receive.chunks();
        loop {
            let next = self.until(self.now().plus(SILENCE), parts.next()).await;
            let next = next
                .filter(|_| wanted())
                .ok_or(FlowError::Deadline { node })?;
            match next {
                None => return Ok(()),
                Some(Err(error)) => {
                    let ended = Some(Err(AskError::Call(error)));
                    return self.reply(holder, ended).map_err(Cut::Failed);
                }
                Some(Ok(FetchPart::Head(_))) => {
                    return Err(forged(node, ReceiveError::Foreign).into());
                }
                Some(Ok(FetchPart::Leaves(leaves))) => {
                    receive
                        .handle_leaves(&leaves)
                        .map_err(|error| Cut::of(node, error))?;
                    self.compare(node, kept, receive).await?;
                }
                Some(Ok(FetchPart::Chunk { index, data })) => {
                    receive
                        .handle_chunk(index, &data)
                        .map_err(|error| forged(node, error))?;
                    kept.add(&self.world, &data).await?;
                    progress(index + 1, chunks);
                }
            }
        }
    }

    /// Compares what an earlier try left with what is signed.
    async fn compare(&self, node: NodeKey, kept: &Kept, receive: &mut Receive) -> Result<(), Cut> {
        while let Some(index) = receive.to_compare() {
            for chunk in kept.step(&self.world, index).await? {
                receive
                    .compare(&chunk)
                    .map_err(|error| Cut::of(node, error))?;
            }
        }
        Ok(())
    }

    async fn open_fetch(
        &self,
        actor: &Actor,
        fetch: Fetch,
        holder: MemberId,
        resume: Option<([u8; 32], u64)>,
    ) -> Result<(W::Parts, FetchHead), FlowError> {
        let build = |head| FetchRequest {
            head,
            handle: fetch.handle,
            document: fetch.document,
            purpose: fetch.purpose,
            user: actor.user,
            role: actor.role,
            resume,
        };
        let mut outcome = Err(AskError::Forged);
        for _ in 0..2 {
            let opening = async {
                let (bytes, asked) = self.question(holder, &build).await?;
                let first = self.first_part(bytes, &asked).await;
                if matches!(first, Err(AskError::Refused(PeerCode::Stale))) {
                    self.forget_session(&asked);
                }
                first
            };
            let Some(opened) = self.until(self.now().plus(SILENCE), opening).await else {
                return self.reply(holder, None);
            };
            outcome = opened;
            if !matches!(outcome, Err(AskError::Refused(PeerCode::Stale))) {
                break;
            }
        }
        self.reply(holder, Some(outcome))
    }

    async fn first_part(
        &self,
        bytes: Bytes,
        asked: &Asked,
    ) -> Result<(W::Parts, FetchHead), AskError> {
        let mut parts = self
            .world
            .open(asked.peer.node_key, bytes)
            .await
            .map_err(|error| self.call_failed(asked, error))?;
        match parts.next().await {
            Some(Ok(FetchPart::Head(bytes))) => {
                let head = self.open_answer::<FetchHead>(asked, 0, &bytes)?;
                Ok((parts, head.into_value()))
            }
            Some(Err(error)) => Err(self.call_failed(asked, error)),
            Some(Ok(FetchPart::Leaves(_) | FetchPart::Chunk { .. })) | None => {
                Err(AskError::Forged)
            }
        }
    }

    async fn release(
        &self,
        actor: &Actor,
        fetch: Fetch,
        (holder, node, network): (MemberId, NodeKey, NetworkId),
        receive: Receive,
    ) -> Result<Opening, FlowError> {
        let (disclosure, manifest_hash, root) = receive.names();
        let asking = self.ask::<_, ReleaseAnswer>(holder, Rpc::Release, |head| ReleaseRequest {
            head,
            handle: fetch.handle,
            document: fetch.document,
            disclosure,
            manifest_hash,
            root,
            purpose: fetch.purpose,
            user: actor.user,
            role: actor.role,
        });
        let reply = self.until(self.now().plus(SILENCE), asking).await;
        let (answer, _) = self.reply(holder, reply)?;
        let statement = answer
            .release
            .verify_by::<Disclosure>(&node.0, &network)
            .map_err(|_| forged(node, ReceiveError::Foreign))?;
        self.check_promise(&answer.promise, node, (network, statement.value()))?;
        let said = (statement.into_value(), answer.promise);
        receive
            .finish(self.member(), answer.content_key, said)
            .map_err(|error| forged(node, error))
    }
}

/// Why a transfer ended.
enum Cut {
    /// What an earlier try left does not fit; from the start it may go well.
    Part,
    Failed(FlowError),
}

impl Cut {
    fn of(node: NodeKey, error: ReceiveError) -> Self {
        match error {
            ReceiveError::Part => Self::Part,
            ReceiveError::Subject
            | ReceiveError::Foreign
            | ReceiveError::Integrity
            | ReceiveError::Cut
            | ReceiveError::TooLarge => Self::Failed(forged(node, error)),
        }
    }
}

impl<E: Into<FlowError>> From<E> for Cut {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn received_entry(outcome: &Result<Arrived, FlowError>) -> audit::Entry {
    let entry = audit::Entry::new(audit::Kind::Received);
    match outcome {
        Err(error) => audit::Entry {
            code: Some(error.code()),
            ..entry
        },
        Ok(arrived) => {
            let received = arrived.opening.received();
            audit::Entry {
                disclosure: Some(received.disclosure),
                receipt: Some(received.statement.receipt),
                consent: received.statement.consent,
                query_hash: Some(received.statement.query_hash),
                peer_leaf: Some(received.statement.audit_leaf),
                promise: received.promise.clone(),
                ..entry
            }
            .describe(&received.manifest.content_type, &received.manifest.coding)
        }
    }
}

fn forged(node: NodeKey, error: ReceiveError) -> FlowError {
    let code = match error {
        ReceiveError::Subject => Code::SubjectMismatch,
        ReceiveError::Foreign => Code::Signature,
        ReceiveError::Integrity | ReceiveError::Cut | ReceiveError::Part => Code::Integrity,
        ReceiveError::TooLarge => Code::TooLarge,
    };
    FlowError::Forged { node, code }
}
