//! The seam: everything the core needs from the world, and nothing it decides.
//!
//! In the daemon: tokio's clock, the system's dice, libp2p with tonic, files and sled. In `tests/sim`:
//! a test's own network, clock, dice and disk. Futures are `Send`; none is spawned by the core.

use std::future::Future;

use bytes::Bytes;
use futures::Stream;

pub use crate::records::{Disk, StoreError};
use crate::{
    records::{Batch, Head, Place, Record, Recorded},
    types::{FileId, NodeKey, PeerCode, Timestamp},
};

/// The present, and waiting for the future.
pub trait Clock {
    /// Now, never earlier than any value returned before.
    fn now(&self) -> Timestamp;

    /// Waits until a time. Cancel-safe.
    fn sleep_until(&self, at: Timestamp) -> impl Future<Output = ()> + Send;
}

/// Chance.
pub trait Dice {
    /// Fills a buffer with unpredictable bytes.
    fn fill(&self, out: &mut [u8]);
}

/// Calls with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rpc {
    /// Signed; first call both ways.
    Hello,
    /// Signed; applicants.
    Join,
    /// Sealed from here on.
    Members,
    /// Who holds records.
    Locate,
    /// Which documents.
    List,
    /// Ciphertext; its answer is a stream.
    Fetch,
    /// The content key.
    Release,
    /// A proposal between authorities.
    Propose,
    /// Signed; the versions of the charter.
    Charters,
    /// Who was revoked, and since when that is known to be all.
    Trust,
}

impl Rpc {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Hello,
        Self::Join,
        Self::Members,
        Self::Locate,
        Self::List,
        Self::Fetch,
        Self::Release,
        Self::Propose,
        Self::Charters,
        Self::Trust,
    ];

    /// Its name, lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Join => "join",
            Self::Members => "members",
            Self::Locate => "locate",
            Self::List => "list",
            Self::Fetch => "fetch",
            Self::Release => "release",
            Self::Propose => "propose",
            Self::Charters => "charters",
            Self::Trust => "trust",
        }
    }
}

/// Why a call brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection, and none could be made.
    #[error("the node cannot be reached")]
    Unreachable,
    /// The connection ended after the question had left; it may have arrived.
    #[error("the connection ended before the answer")]
    Lost,
    /// The node speaks another network's protocol or another version.
    #[error("the node does not speak this network's protocol")]
    Incompatible,
    /// The node refused before it could seal an answer.
    #[error("the node refused: {0}")]
    Refused(PeerCode),
}

/// One part of a fetch, as it crosses the wire.
#[derive(Clone)]
pub enum FetchPart {
    /// The sealed head, encoded `peer.v1.Sealed`.
    Head(Bytes),
    /// Leaf hashes, 32 bytes each.
    Leaves(Bytes),
    /// One ciphertext chunk.
    Chunk {
        /// Its number; 0 is the file's header.
        index: u64,
        /// Its bytes.
        data: Bytes,
    },
}

/// Other nodes: encoded bytes in, encoded bytes out. The generated stubs live behind this.
pub trait Peers {
    /// The parts of a fetch as they arrive.
    type Parts: Stream<Item = Result<FetchPart, CallError>> + Send + Unpin;

    /// Calls a node; `body` is an encoded `Signed` or `Sealed`, and so is the answer.
    fn call(
        &self,
        to: NodeKey,
        rpc: Rpc,
        body: Bytes,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send;

    /// Opens a fetch.
    fn open(
        &self,
        to: NodeKey,
        body: Bytes,
    ) -> impl Future<Output = Result<Self::Parts, CallError>> + Send;

    /// Tells the transport where a node may be reached (binary multiaddresses).
    fn learn(&self, node: NodeKey, addresses: &[Vec<u8>]);

    /// Tells the transport that a node was thrown out: every connection with it ends, whatever is
    /// under way on it, and it is never dialled again.
    fn forget(&self, node: NodeKey);
}

/// Rows of the index: sealed in the daemon, plain in the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Applied position and chain.
    Meta,
    /// Members.
    Member,
    /// Patients.
    Patient,
    /// FHIR resources: where each lies in the journal.
    Resource,
    /// Documents.
    Document,
    /// Consents.
    Consent,
    /// Handles.
    Handle,
    /// Disclosures.
    Disclosure,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 8] = [
        Self::Meta,
        Self::Member,
        Self::Patient,
        Self::Resource,
        Self::Document,
        Self::Consent,
        Self::Handle,
        Self::Disclosure,
    ];

    /// Its name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Member => "member",
            Self::Patient => "patient",
            Self::Resource => "resource",
            Self::Document => "document",
            Self::Consent => "consent",
            Self::Handle => "handle",
            Self::Disclosure => "disclosure",
        }
    }
}

/// One row of the index; its revision is the journal position that wrote it.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// Which table.
    pub table: Table,
    /// Random ids, or a keyed hash; never anything readable.
    pub key: Vec<u8>,
    /// At most [`crate::types::limits::INDEX_VALUE_MAX_BYTES`].
    pub value: Vec<u8>,
    /// Journal position of the record that wrote it.
    pub revision: u64,
}

/// What was stored before.
pub trait Records {
    /// The rows of a table whose key starts with a prefix, in key order.
    fn rows(
        &self,
        table: Table,
        prefix: Vec<u8>,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Rows by their whole keys, in the order asked; none for a key that is missing.
    fn get(
        &self,
        table: Table,
        keys: Vec<Vec<u8>>,
    ) -> impl Future<Output = Result<Vec<Option<Row>>, StoreError>> + Send;

    /// Records of the journal by their places, in the order asked.
    fn records(
        &self,
        places: Vec<Place>,
    ) -> impl Future<Output = Result<Vec<Record>, StoreError>> + Send;

    /// A record of the journal by its place, sealed as it lies.
    fn record_bytes(&self, place: Place) -> impl Future<Output = Result<Bytes, StoreError>> + Send;

    /// Adds to a sealed document file under its random name.
    fn append_file(
        &self,
        file: FileId,
        bytes: Bytes,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes a sealed document file durable, its name too.
    fn sync_file(&self, file: FileId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads part of a sealed document file; fewer bytes where it ends.
    fn read_file(
        &self,
        file: FileId,
        offset: u64,
        len: usize,
    ) -> impl Future<Output = Result<Bytes, StoreError>> + Send;

    /// Removes a sealed document file that no record names.
    fn remove_file(&self, file: FileId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Adds ciphertext to a part file of a fetch under way; needs no durability.
    fn append_part(
        &self,
        part: [u8; 32],
        bytes: Bytes,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Length of a part file in bytes; none where there is none.
    fn part_len(
        &self,
        part: [u8; 32],
    ) -> impl Future<Output = Result<Option<u64>, StoreError>> + Send;

    /// Reads part of a part file; fewer bytes where it ends.
    fn read_part(
        &self,
        part: [u8; 32],
        offset: u64,
        len: usize,
    ) -> impl Future<Output = Result<Bytes, StoreError>> + Send;

    /// Removes a part file.
    fn remove_part(&self, part: [u8; 32]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The one way to change anything.
pub trait Journal {
    /// Commits a batch and returns when it is on the disk and in the index.
    ///
    /// Not cancel-safe towards the caller's state: a flow that commits is spawned by its adapter.
    fn commit(&self, batch: Batch) -> impl Future<Output = Result<Recorded, StoreError>> + Send;

    /// The last record that is on the disk, and the chain behind it.
    fn head(&self) -> impl Future<Output = Head> + Send;
}

/// CPU-heavy work: a bounded pool in the daemon, inline in the simulation.
pub trait Work {
    /// Runs a closure and returns its value.
    fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;
}

/// A stage of a request, as far as its time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// A call of a peer, from its arrival to its answer.
    Net,
    /// A question is opened: parsed, decapsulated, unsealed.
    Wire,
    /// A question is admitted: signed, fresh, from a member.
    Session,
    /// A claim is decided on the facts.
    Policy,
    /// Something is read from the store, or a file written.
    Store,
    /// A batch is committed, its wait for the journal included.
    Journal,
    /// A release, from the patient's turn to the key.
    Release,
    /// CPU-heavy work, its wait for a place included.
    Work,
}

impl Stage {
    /// Every stage, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Net,
        Self::Wire,
        Self::Session,
        Self::Policy,
        Self::Store,
        Self::Journal,
        Self::Release,
        Self::Work,
    ];

    /// Its name, lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Wire => "wire",
            Self::Session => "session",
            Self::Policy => "policy",
            Self::Store => "store",
            Self::Journal => "journal",
            Self::Release => "release",
            Self::Work => "work",
        }
    }
}

/// Measurement. Nothing that is decided depends on it.
pub trait Watch {
    /// A stage under way; it ends when this is dropped.
    type Step: Send;

    /// Begins a stage.
    fn step(&self, stage: Stage) -> Self::Step;
}

/// Everything together.
pub trait World:
    Clock + Dice + Peers + Records + Journal + Work + Watch + Send + Sync + 'static
{
}

impl<W> World for W where
    W: Clock + Dice + Peers + Records + Journal + Work + Watch + Send + Sync + 'static
{
}

/// [`Dice`] as a generator that cryptographic crates accept.
pub struct Rng<'a, W>(pub &'a W);

impl<W: Dice> rand_core::TryRng for Rng<'_, W> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(out);
        Ok(())
    }
}

impl<W: Dice> rand_core::TryCryptoRng for Rng<'_, W> {}
