//! Documents of this node: sealed once when they come in, and the on-demand bundle when it is asked for.

use std::pin::pin;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};

use super::{
    apply::Locator,
    error::FlowError,
    list::entry_of,
    node::{Actor, Node, push_audit},
};
use crate::{
    audit,
    crypto::{
        self, Body, Envelope, FileSealer, KeyedHash, SealedWhole, SecretKey, Sha256, WrapContext,
    },
    formats,
    ports::{Rng, Table, World},
    records::{
        Batch, Coding, Document, KeyId, Manifest, Matter, NamedFile, Record, RecordKind, Recorded,
        Scope, StoreError, TurnGuard,
    },
    types::{Code, DocumentId, FileId, PatientId, Timestamp, limits::DOCUMENT_MAX_BYTES},
    wire,
};

/// What is said of a document that comes in.
#[derive(Clone, Default)]
pub struct Description {
    /// LOINC type.
    pub coding: Coding,
    /// Title.
    pub title: String,
    /// MIME type.
    pub content_type: String,
    /// Format code, where known.
    pub format: String,
    /// FHIR DocumentReference.status.
    pub status: String,
    /// When it was made; now where unknown.
    pub date: Option<Timestamp>,
    /// Who wrote it.
    pub author: String,
    /// For which organisation; this one where empty.
    pub author_organization: String,
    /// Start and end of what it covers.
    pub period: (Option<Timestamp>, Option<Timestamp>),
    /// Security labels.
    pub labels: Vec<String>,
}

/// A document that was added, or was there already.
pub struct Added {
    /// Its id.
    pub document: DocumentId,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

impl<W: World> Node<W> {
    /// Adds a local document to a patient's record; the same content once. It is sealed as it comes.
    ///
    /// # Errors
    /// [`Code::PatientUnknown`]; [`Code::TooLarge`], also of a text; [`FlowError::Store`]; what the
    /// content fails with.
    pub async fn add_document(
        &self,
        actor: &Actor,
        patient: PatientId,
        content: impl Stream<Item = Result<Bytes, FlowError>> + Send,
        description: Description,
    ) -> Result<Added, FlowError> {
        let key = self.patient_key(patient)?;
        let coding = description.coding.clone();
        let content_type = description.content_type.clone();
        let document = self
            .seal_document(patient, &key, content, description, None)
            .await?;
        let manifest = manifest_of(&document)?;
        let (file, size, sha256) = (manifest.file, manifest.size, manifest.plain_sha256);
        // Only from here on does anybody else wait: the content may come slowly.
        let registration = self.registration().await;
        if let Some(document) = self.with_content(patient, &document.content) {
            self.discard(&[file]).await;
            return Ok(Added {
                document,
                size,
                sha256,
            });
        }
        let id = document.id;
        let mut batch = Batch::within(&registration);
        batch.push(
            RecordKind::Document,
            Scope::Patient(patient),
            wire::encode_document(&document),
        );
        push_audit(
            &mut batch,
            &audit::Entry {
                patient: Some(patient),
                document: Some(id),
                actor: actor.name.clone(),
                role: Some(actor.role),
                ..audit::Entry::new(audit::Kind::DocumentAdded)
            }
            .describe(&content_type, &coding),
        );
        self.commit_files(batch, &[file]).await?;
        Ok(Added {
            document: id,
            size,
            sha256,
        })
    }

    /// The turn of everything that registers patients or adds to their records, so that the same
    /// content arriving twice at once is stored once.
    pub(super) async fn registration(&self) -> TurnGuard {
        self.turn(Matter::Registration).await
    }

    pub(super) fn patient_key(&self, patient: PatientId) -> Result<SecretKey, FlowError> {
        let state = self.state();
        // The key map also holds the store's own key, under the id that is all zero.
        let known = state.patients.contains_key(&patient);
        let key = state.keys.get(&KeyId::from(patient)).filter(|_| known);
        key.cloned().ok_or(FlowError::NotFound {
            code: Code::PatientUnknown,
        })
    }

    /// A document of the patient with exactly these bytes.
    pub(super) fn same_content(
        &self,
        patient: PatientId,
        key: &SecretKey,
        bytes: &[u8],
    ) -> Option<DocumentId> {
        self.with_content(patient, &content_hash(key, bytes))
    }

    fn with_content(&self, patient: PatientId, content: &[u8; 32]) -> Option<DocumentId> {
        self.state()
            .documents
            .get(&patient)?
            .values()
            .find(|document| document.snapshot.is_none() && document.content == *content)
            .map(|document| document.id)
    }

    /// Commits a batch that names files. Where it was surely not written they go; where that is not
    /// known they stay, since the records may be found at the next start.
    pub(super) async fn commit_files(
        &self,
        batch: Batch,
        files: &[FileId],
    ) -> Result<Recorded, FlowError> {
        let outcome = self.commit(batch).await;
        if let Err(FlowError::Store(
            StoreError::Full | StoreError::ReadOnly | StoreError::TooLarge,
        )) = outcome
        {
            self.discard(files).await;
        }
        outcome
    }

    /// Removes files that no record names.
    pub(super) async fn discard(&self, files: &[FileId]) {
        for file in files {
            // Whoever asked is told the first failure; a file that stays is sealed and named by nothing.
            let _stays = self.world.remove_file(*file).await;
        }
    }

    /// Seals content under a fresh content key and stores the file durably, before any record names
    /// it. Where that fails, no file is left.
    pub(super) async fn seal_document(
        &self,
        patient: PatientId,
        key: &SecretKey,
        content: impl Stream<Item = Result<Bytes, FlowError>> + Send,
        description: Description,
        snapshot: Option<(u64, Timestamp)>,
    ) -> Result<Document, FlowError> {
        // Before the file is written: its record could not be.
        if let Some(problem) = self.fold.problem() {
            return Err(problem.into());
        }
        let file = FileId(self.random());
        let sealed = self
            .seal_content(patient, key, file, content, description, snapshot)
            .await;
        if sealed.is_err() {
            self.discard(&[file]).await;
        }
        sealed
    }

    async fn seal_content(
        &self,
        patient: PatientId,
        key: &SecretKey,
        file: FileId,
        content: impl Stream<Item = Result<Bytes, FlowError>> + Send,
        description: Description,
        snapshot: Option<(u64, Timestamp)>,
    ) -> Result<Document, FlowError> {
        let now = self.now();
        let content_key = SecretKey::new(self.random());
        let sealing = Sealing::new(key, &content_key, &self.random());
        let sealed = self.seal_stream(file, sealing, content).await?;
        let sealed_size = crypto::sealed_len(sealed.whole.size);
        let root = crypto::tree::root(&sealed.whole.leaves);
        self.state().leaves.remember(file, sealed.whole.leaves);
        let (size, plain_sha256) = (sealed.whole.size, sealed.sha256);
        let date = description.date.unwrap_or(now);
        let manifest = Manifest {
            member: self.member(),
            file,
            root,
            sealed_size,
            size,
            commitment: sealed.whole.commitment,
            plain_sha256,
            coding: description.coding,
            format: description.format,
            content_type: description.content_type,
            author: description.author,
            from: description.period.0.unwrap_or_default(),
            until: description.period.1.unwrap_or(date),
            labels: description.labels,
            sequence: now.0,
            issued_at: now,
        };
        let wrapped_key = crypto::wrap_key(
            &mut Rng(&self.world),
            key,
            &self.wrap_context(file),
            &content_key,
        );
        let document = Document {
            patient,
            id: DocumentId(self.random()),
            // Signed when it is sent: a node keeps documents before it belongs to a network, and
            // Ed25519 gives the same signature over the same bytes each time.
            manifest: Envelope {
                body: manifest.encode().into(),
                signatures: Vec::new(),
            },
            wrapped_key,
            title: description.title,
            status: or_else(description.status, "current"),
            date,
            author_organization: or_else(
                description.author_organization,
                &self.identity().organization.name,
            ),
            content: sealed.content,
            snapshot,
        };
        check_readable(&document)?;
        Ok(document)
    }

    /// Seals content into a file as it comes; the file is durable when this returns.
    async fn seal_stream(
        &self,
        file: FileId,
        mut sealing: Sealing,
        content: impl Stream<Item = Result<Bytes, FlowError>> + Send,
    ) -> Result<Sealed, FlowError> {
        let mut content = pin!(content);
        while let Some(bytes) = content.next().await {
            let sealed;
            (sealing, sealed) = self
                .world
                .run({
                    let bytes = bytes?;
                    move || {
                        let sealed = sealing.take(&bytes);
                        (sealing, sealed)
                    }
                })
                .await;
            self.world.append_file(file, sealed?.into()).await?;
        }
        let (rest, sealed) = self.world.run(move || sealing.finish()).await;
        self.world.append_file(file, rest.into()).await?;
        self.world.sync_file(file).await?;
        Ok(sealed)
    }

    fn wrap_context(&self, file: FileId) -> WrapContext {
        WrapContext {
            store: self.member().0,
            key_id: file.0,
        }
    }

    /// The content key of a document of this node.
    pub(super) fn content_key(&self, document: &Document) -> Result<SecretKey, FlowError> {
        let integrity = || FlowError::State {
            code: Code::Integrity,
        };
        let manifest = manifest_of(document)?;
        let key = self.patient_key(document.patient)?;
        crypto::unwrap_key(
            &key,
            &self.wrap_context(manifest.file),
            &document.wrapped_key,
        )
        .map_err(|_| integrity())
    }

    /// The patient's record as a FHIR `Bundle`, resources in the order of type and id.
    pub(super) async fn record_bundle(
        &self,
        patient: &super::state::Patient,
    ) -> Result<Vec<u8>, FlowError> {
        let rows = self
            .world
            .rows(Table::Resource, patient.id.0.to_vec())
            .await?;
        let integrity = || FlowError::State {
            code: Code::Integrity,
        };
        let mut places = vec![patient.place];
        for row in &rows {
            let locator = Locator::decode(&row.value).ok_or_else(integrity)?;
            places.push(locator.place);
        }
        let records = self.world.records(places).await?;
        let bodies: Vec<Bytes> = records
            .into_iter()
            .map(|record| record.body.ok_or_else(integrity))
            .collect::<Result<_, _>>()?;
        let changed = patient.changed;
        self.world
            .run(move || {
                let (first, rest) = bodies.split_first().ok_or_else(integrity)?;
                let patient = wire::decode_patient(first).map_err(|_| integrity())?;
                let mut resources = Vec::with_capacity(rest.len());
                for body in rest {
                    resources.push(wire::decode_resource(body).map_err(|_| integrity())?);
                }
                resources.sort_by(|a, b| {
                    (&a.resource_type, &a.local_id).cmp(&(&b.resource_type, &b.local_id))
                });
                let resources = resources.iter().map(|stored| &stored.resource[..]);
                Ok(formats::record_bundle(
                    &patient.resource,
                    resources,
                    changed,
                )?)
            })
            .await
    }
}

fn or_else(text: String, other: &str) -> String {
    if text.is_empty() {
        return other.to_owned();
    }
    text
}

/// Refuses a document that no reader would take: its texts are too long or its codes out of form.
fn check_readable(document: &Document) -> Result<(), FlowError> {
    let too_large = FlowError::Usage {
        code: Code::TooLarge,
    };
    let Ok(manifest) = document.manifest.claims::<Manifest>() else {
        return Err(too_large);
    };
    match entry_of(document, manifest).checked_len() {
        Ok(_) => Ok(()),
        Err(_) => Err(too_large),
    }
}

/// The file of a document of this node.
pub(super) fn file_of(document: &Document) -> Result<FileId, FlowError> {
    manifest_of(document).map(|manifest| manifest.file)
}

fn manifest_of(document: &Document) -> Result<Manifest, FlowError> {
    document.manifest.claims().map_err(|_| FlowError::State {
        code: Code::Integrity,
    })
}

/// The document file that a record names; none where it names none, or where its patient's key is
/// erased and nobody knows.
///
/// # Errors
/// [`StoreError::Integrity`] where the record cannot be read.
pub fn file_named_by(record: &Record) -> Result<Option<NamedFile>, StoreError> {
    let (RecordKind::Document, Some(body)) = (record.kind, &record.body) else {
        return Ok(None);
    };
    let flaw = StoreError::Integrity {
        position: record.position,
    };
    let document = wire::decode_document(body).map_err(|_| flaw)?;
    let manifest = manifest_of(&document).map_err(|_| flaw)?;
    Ok(Some(NamedFile {
        file: manifest.file,
        document: document.id,
        sealed_size: manifest.sealed_size,
        root: manifest.root,
        until: document.snapshot.map(|(_, until)| until),
    }))
}

/// What *same content once* compares: under the patient's key, so that it never crosses patients.
pub(super) fn content_hash(key: &SecretKey, bytes: &[u8]) -> [u8; 32] {
    let mut hash = content_hasher(key);
    hash.update(bytes);
    hash.finish()
}

fn content_hasher(key: &SecretKey) -> KeyedHash {
    let mut hash = KeyedHash::new(&key[..]);
    hash.update(b"chartmesh/1/content\0");
    hash
}

/// Content that lies in memory.
pub fn in_memory(bytes: impl Into<Bytes>) -> impl Stream<Item = Result<Bytes, FlowError>> + Send {
    stream::iter([Ok(bytes.into())])
}

/// A document being sealed as it comes, with everything that is said of its content.
struct Sealing {
    sealer: FileSealer,
    sha256: Sha256,
    content: KeyedHash,
    len_bytes: u64,
}

/// What is known of content once all of it is sealed.
struct Sealed {
    whole: SealedWhole,
    sha256: [u8; 32],
    content: [u8; 32],
}

impl Sealing {
    fn new(key: &SecretKey, content_key: &SecretKey, nonce: &[u8; 16]) -> Self {
        Self {
            sealer: FileSealer::new(content_key, nonce),
            sha256: Sha256::default(),
            content: content_hasher(key),
            len_bytes: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, FlowError> {
        self.len_bytes += bytes.len() as u64;
        if self.len_bytes > DOCUMENT_MAX_BYTES {
            return Err(FlowError::Usage {
                code: Code::TooLarge,
            });
        }
        self.sha256.update(bytes);
        self.content.update(bytes);
        let mut sealed = Vec::new();
        self.sealer.push(bytes, &mut sealed);
        Ok(sealed)
    }

    fn finish(self) -> (Vec<u8>, Sealed) {
        let mut rest = Vec::new();
        let sealed = Sealed {
            whole: self.sealer.finish(&mut rest),
            sha256: self.sha256.finish(),
            content: self.content.finish(),
        };
        (rest, sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_may_have_the_most_bytes_and_not_one_more() {
        let key = SecretKey::new([7; 32]);
        let mut sealing = Sealing::new(&key, &key, &[1; 16]);
        sealing.len_bytes = DOCUMENT_MAX_BYTES - 1;

        assert!(sealing.take(b"x").is_ok());
        let refused = sealing.take(b"y").err();

        assert_eq!(refused.map(|error| error.code()), Some(Code::TooLarge));
    }

    #[test]
    fn content_is_hashed_under_the_patients_key_and_a_label_of_its_own() {
        let key = SecretKey::new([7; 32]);
        let expected = crypto::keyed_hash(&key[..], &[b"chartmesh/1/content\0", b"a note"]);

        assert_eq!(content_hash(&key, b"a note"), expected);
        assert_ne!(content_hash(&key, b"a nota"), expected);
    }
}
