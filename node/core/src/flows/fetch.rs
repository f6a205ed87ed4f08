//! The asker's fetch: ciphertext in, checked chunk by chunk, then the key, then bytes.

use futures::StreamExt;

use super::{
    call::{AskError, Asked},
    error::FlowError,
    list::verified_manifest,
    node::{Actor, Node, push_audit},
};
use crate::{
    audit, crypto,
    exchange::{Receive, ReceiveError, Received},
    ports::{FetchPart, Rpc, World},
    records::{Batch, Disclosure},
    types::{Code, DocumentId, Handle, MemberId, NetworkId, NodeKey, PeerCode, Purpose, Span},
    wire::{FetchHead, FetchRequest, ReleaseAnswer, ReleaseRequest},
};

/// Longest silence of a holder during a fetch.
const SILENCE: Span = Span::seconds(30);

/// Root and sealed size, which stand before the chunks of a part file.
const PART_HEADER_BYTES: usize = 40;

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

/// A verified document and who it came from.
pub struct Fetched {
    /// The document and what was signed of it.
    pub received: Received,
    /// The holder.
    pub holder: MemberId,
    /// Its node key.
    pub node: NodeKey,
}

/// Chunks of an earlier try.
#[derive(Default)]
struct Part {
    root: [u8; 32],
    bytes: Vec<u8>,
    chunks: u64,
}

impl Part {
    /// Reads a part file; anything unusable is as if there were none.
    fn read(file: &[u8]) -> Self {
        let Some((header, bytes)) = file.split_first_chunk::<PART_HEADER_BYTES>() else {
            return Self::default();
        };
        let (root, size) = header.split_at(32);
        let mut part = Self {
            bytes: bytes.to_vec(),
            ..Self::default()
        };
        part.root.copy_from_slice(root);
        let mut sealed_size = [0; 8];
        sealed_size.copy_from_slice(size);
        let sealed_size = u64::from_be_bytes(sealed_size);
        while crypto::chunk_range(sealed_size, part.chunks)
            .is_some_and(|range| range.end <= bytes.len() as u64)
        {
            part.chunks += 1;
        }
        part
    }
}

impl<W: World> Node<W> {
    /// Fetches one document and hands it over only when everything about it was checked and the
    /// receipt is on our own disk. A fetch that is cut resumes with the next one.
    ///
    /// # Errors
    /// [`Code::HandleUnknown`], [`FlowError::Denied`], [`FlowError::Unreachable`],
    /// [`FlowError::Deadline`]; [`FlowError::Forged`] with [`Code::SubjectMismatch`],
    /// [`Code::Integrity`] or [`Code::Signature`].
    pub async fn fetch(
        &self,
        actor: &Actor,
        fetch: Fetch,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Fetched, FlowError> {
        self.fetch_while(actor, fetch, (progress, &|| true)).await
    }

    /// As [`Self::fetch`], for as long as somebody wants it: one that nobody waits for any more ends
    /// with the next part, or when the holder is silent, and is recorded as any fetch that was cut.
    ///
    /// # Errors
    /// As [`Self::fetch`]; [`FlowError::Deadline`] where nobody wanted it any more.
    pub async fn fetch_while(
        &self,
        actor: &Actor,
        fetch: Fetch,
        told: Told<'_>,
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
        let keep = own && cut;
        if !keep {
            self.world.remove_part(part).await?;
        }
        Ok(Fetched {
            received: outcome?,
            holder,
            node,
        })
    }

    async fn transfer(
        &self,
        actor: &Actor,
        fetch: Fetch,
        (holder, node, network): (MemberId, NodeKey, NetworkId),
        part: [u8; 32],
        (progress, wanted): Told<'_>,
    ) -> Result<Received, Cut> {
        let had = self.world.read_part(part).await?;
        let had = had.map(|file| Part::read(&file)).unwrap_or_default();
        let resume = (had.chunks > 0).then_some((had.root, had.chunks));
        let (mut parts, head) = self.open_fetch(actor, fetch, holder, resume).await?;
        let manifest =
            verified_manifest(&head.manifest, &network, node).ok_or(FlowError::Forged {
                node,
                code: Code::Signature,
            })?;
        let resumed = head.from_chunk > 0;
        if resumed && (Some((manifest.value().root, head.from_chunk)) != resume) {
            return Err(forged(node, ReceiveError::Foreign).into());
        }
        if !resumed {
            self.world.remove_part(part).await?;
            self.world
                .append_part(
                    part,
                    part_header(&manifest.value().root, manifest.value().sealed_size).into(),
                )
                .await?;
        }
        let bytes = if resumed { had.bytes } else { Vec::new() };
        let mut receive = Receive::begin(holder, fetch.handle, &head, manifest, bytes)
            .map_err(|error| Cut::of(node, error))?;
        loop {
            let next = self.until(self.now().plus(SILENCE), parts.next()).await;
            let next = next
                .filter(|_| wanted())
                .ok_or(FlowError::Deadline { node })?;
            match next {
                None => break,
                Some(Err(error)) => {
                    let ended = Some(Err(AskError::Call(error)));
                    return self.reply(holder, ended).map_err(Cut::Failed);
                }
                Some(Ok(FetchPart::Head(_))) => {
                    return Err(forged(node, ReceiveError::Foreign).into());
                }
                Some(Ok(FetchPart::Leaves(leaves))) => receive
                    .handle_leaves(&leaves)
                    .map_err(|error| Cut::of(node, error))?,
                Some(Ok(FetchPart::Chunk { index, data })) => {
                    let checked = receive
                        .handle_chunk(index, data)
                        .map_err(|error| forged(node, error))?;
                    self.world.append_part(part, checked).await?;
                    progress(index + 1, head.chunks);
                }
            }
        }
        match receive.complete() {
            // The stream ended early without a reason: what is here is kept for the next try.
            Err(_) => Err(FlowError::Unreachable { node }.into()),
            Ok(()) => self
                .release(actor, fetch, (holder, node, network), receive)
                .await
                .map_err(Cut::Failed),
        }
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
                self.first_part(holder, bytes, &asked).await
            };
            let Some(opened) = self.until(self.now().plus(SILENCE), opening).await else {
                return self.reply(holder, None);
            };
            outcome = opened;
            if !matches!(outcome, Err(AskError::Refused(PeerCode::Stale))) {
                break;
            }
            self.forget_session(holder);
        }
        self.reply(holder, Some(outcome))
    }

    async fn first_part(
        &self,
        holder: MemberId,
        bytes: bytes::Bytes,
        asked: &Asked,
    ) -> Result<(W::Parts, FetchHead), AskError> {
        let mut parts = self
            .world
            .open(asked.peer.node_key, bytes)
            .await
            .map_err(|error| self.call_failed(holder, error))?;
        match parts.next().await {
            Some(Ok(FetchPart::Head(bytes))) => {
                let head = self.open_answer::<FetchHead>(asked, 0, &bytes)?;
                Ok((parts, head.into_value()))
            }
            Some(Err(error)) => Err(self.call_failed(holder, error)),
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
    ) -> Result<Received, FlowError> {
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
            .verify::<Disclosure>(&network)
            .ok()
            .filter(|statement| statement.signers() == [node.0])
            .ok_or(FlowError::Forged {
                node,
                code: Code::Signature,
            })?;
        let me = self.member();
        self.world
            .run(move || receive.finish(me, &answer.content_key, statement.into_value()))
            .await
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

fn received_entry(outcome: &Result<Received, FlowError>) -> audit::Entry {
    let entry = audit::Entry::new(audit::Kind::Received);
    match outcome {
        Err(error) => audit::Entry {
            code: Some(error.code()),
            ..entry
        },
        Ok(received) => audit::Entry {
            disclosure: Some(received.disclosure),
            receipt: Some(received.statement.receipt),
            consent: received.statement.consent,
            query_hash: Some(received.statement.query_hash),
            peer_leaf: Some(received.statement.audit_leaf),
            ..entry
        }
        .describe(&received.manifest.content_type, &received.manifest.coding),
    }
}

fn part_header(root: &[u8; 32], sealed_size: u64) -> Vec<u8> {
    [&root[..], &sealed_size.to_be_bytes()].concat()
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

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// A part file with the header and first chunk of a file of 256 sealed bytes more, as it lies.
    const VECTOR: &str = include_str!("../../../../tests/vectors/store-part.json");

    fn field(name: &str) -> Vec<u8> {
        let vector: serde_json::Value = serde_json::from_str(VECTOR).unwrap();
        HEXLOWER
            .decode(vector[name].as_str().unwrap().as_bytes())
            .unwrap()
    }

    #[test]
    fn a_part_file_is_written_and_read_as_its_vector_says() {
        let root: [u8; 32] = field("root").try_into().unwrap();
        let sealed_size = crypto::sealed_len(100_000);
        let header = part_header(&root, sealed_size);
        assert_eq!(header, field("header"));

        let mut file = header;
        file.extend_from_slice(&[7; crypto::HEADER_BYTES]);
        let whole = Part::read(&file);
        assert_eq!((whole.root, whole.chunks), (root, 1));
        file.pop();
        assert_eq!(Part::read(&file).chunks, 0, "half a chunk is none");
        assert_eq!(Part::read(&file[..39]).chunks, 0);
    }
}
