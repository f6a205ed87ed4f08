//! The asker's end of a fetch as a state machine: head, leaves, chunks, key, and only then bytes.

use std::ops::Range;

use crate::{
    crypto::{self, FileOpener, HEADER_BYTES, SecretKey, Sha256, Signed},
    records::{Disclosure, Manifest},
    types::{
        DisclosureId, Handle, MemberId,
        limits::{DOCUMENT_MAX_BYTES, LEAVES_PER_PART},
    },
    wire::FetchHead,
};

/// Why what arrived is not shown or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// It is not about the patient that was asked for.
    #[error("the answer is about somebody else")]
    Subject,
    /// It is not from the holder, or names another question or file.
    #[error("what came is not what was asked for")]
    Foreign,
    /// What was here from an earlier try does not fit; without it all may be well.
    #[error("what an earlier try left does not fit")]
    Part,
    /// The bytes differ from what the holder signed.
    #[error("the bytes differ from what the source signed")]
    Integrity,
    /// The source stopped before the end.
    #[error("the source stopped before the end")]
    Cut,
    /// It is larger than this node takes.
    #[error("the document is larger than the limit")]
    TooLarge,
}

/// What was signed of a document that came.
pub struct Received {
    /// What the holder signed of it.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's body.
    pub manifest_hash: [u8; 32],
    /// What joins the two audit entries.
    pub disclosure: DisclosureId,
    /// The holder's statement.
    pub statement: Disclosure,
    /// What the holder's log promised of it; empty for nothing.
    pub promise: String,
}

/// Ciphertext on its way in. Chunks are checked one by one against the root that the holder
/// signed, so that a resumed part file never holds a byte that was not. It keeps none of them.
pub struct Receive {
    manifest: Signed<Manifest>,
    disclosure: DisclosureId,
    chunks: u64,
    leaves: Vec<[u8; 32]>,
    /// Chunks that lie here from an earlier try and were not compared yet.
    unchecked: Range<u64>,
    next: u64,
}

impl Receive {
    /// Starts with a head that answered the question, and how many chunks of the same file are here.
    ///
    /// # Errors
    /// [`ReceiveError::Subject`], [`ReceiveError::Foreign`], [`ReceiveError::TooLarge`].
    pub fn begin(
        holder: MemberId,
        handle: Handle,
        head: &FetchHead,
        manifest: Signed<Manifest>,
        chunks_here: u64,
    ) -> Result<Self, ReceiveError> {
        if head.subject != crypto::subject_of(&handle) {
            return Err(ReceiveError::Subject);
        }
        let value = manifest.value();
        if value.member != holder {
            return Err(ReceiveError::Foreign);
        }
        let largest = crypto::sealed_len(DOCUMENT_MAX_BYTES);
        if value.sealed_size > largest || value.size > value.sealed_size {
            return Err(ReceiveError::TooLarge);
        }
        let chunks = crypto::chunk_count(value.sealed_size).ok_or(ReceiveError::Foreign)?;
        if head.chunks != chunks || head.from_chunk > chunks {
            return Err(ReceiveError::Foreign);
        }
        if head.from_chunk > chunks_here {
            return Err(ReceiveError::Part);
        }
        Ok(Self {
            disclosure: head.disclosure,
            unchecked: 0..head.from_chunk,
            next: head.from_chunk,
            chunks,
            manifest,
            leaves: Vec::new(),
        })
    }

    /// Takes a part of the leaf list. Once whole it must give the signed root.
    ///
    /// # Errors
    /// [`ReceiveError::Foreign`] or [`ReceiveError::Integrity`].
    pub fn handle_leaves(&mut self, part: &[u8]) -> Result<(), ReceiveError> {
        let (leaves, rest) = part.as_chunks::<32>();
        if !rest.is_empty() || leaves.is_empty() || leaves.len() > LEAVES_PER_PART {
            return Err(ReceiveError::Foreign);
        }
        let wanted = self.chunks as usize;
        if self.leaves.len() + leaves.len() > wanted {
            return Err(ReceiveError::Foreign);
        }
        self.leaves.extend_from_slice(leaves);
        if self.leaves.len() == wanted
            && crypto::tree::root(&self.leaves) != self.manifest.value().root
        {
            return Err(ReceiveError::Integrity);
        }
        Ok(())
    }

    /// The next chunk that lies here from an earlier try and must be compared, once the leaves are
    /// whole.
    pub fn to_compare(&self) -> Option<u64> {
        let are_whole = self.leaves.len() as u64 == self.chunks;
        self.unchecked.clone().next().filter(|_| are_whole)
    }

    /// Compares that chunk.
    ///
    /// # Errors
    /// [`ReceiveError::Part`] where it is another.
    pub fn compare(&mut self, data: &[u8]) -> Result<(), ReceiveError> {
        match self.unchecked.next() {
            Some(index) if self.is_leaf(index, data) => Ok(()),
            Some(_) | None => Err(ReceiveError::Part),
        }
    }

    /// Takes the next chunk; once checked it may be kept.
    ///
    /// # Errors
    /// [`ReceiveError::Foreign`] out of order or before the leaves, [`ReceiveError::Integrity`].
    pub fn handle_chunk(&mut self, index: u64, data: &[u8]) -> Result<(), ReceiveError> {
        let are_whole = self.leaves.len() as u64 == self.chunks && self.unchecked.is_empty();
        if index != self.next || !are_whole || index >= self.chunks {
            return Err(ReceiveError::Foreign);
        }
        if !self.is_leaf(index, data) {
            return Err(ReceiveError::Integrity);
        }
        self.next += 1;
        Ok(())
    }

    fn is_leaf(&self, index: u64, data: &[u8]) -> bool {
        let leaf = self.leaves.get(index as usize);
        leaf == Some(&crypto::tree::leaf_hash(data))
    }

    /// How many chunks the file has.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Whether every chunk is here.
    ///
    /// # Errors
    /// [`ReceiveError::Cut`] where some are missing.
    pub fn complete(&self) -> Result<(), ReceiveError> {
        let is_whole = self.next == self.chunks && self.leaves.len() as u64 == self.chunks;
        if is_whole && self.unchecked.is_empty() {
            Ok(())
        } else {
            Err(ReceiveError::Cut)
        }
    }

    /// What the release must name: disclosure, manifest hash and root.
    pub fn names(&self) -> (DisclosureId, [u8; 32], [u8; 32]) {
        (
            self.disclosure,
            self.manifest.hash(),
            self.manifest.value().root,
        )
    }

    /// Takes the key that was released, and what the holder says and promises of it.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub fn finish(
        self,
        asker: MemberId,
        key: SecretKey,
        (statement, promise): (Disclosure, String),
    ) -> Result<Opening, ReceiveError> {
        self.complete()?;
        let manifest_hash = self.manifest.hash();
        let manifest = self.manifest.into_value();
        let receipt = crypto::receipt(&statement.salt, &manifest_hash);
        let named = statement.holder == manifest.member
            && statement.asker == asker
            && statement.disclosure == self.disclosure
            && statement.receipt == receipt;
        if !named {
            return Err(ReceiveError::Foreign);
        }
        let received = Received {
            manifest,
            manifest_hash,
            disclosure: self.disclosure,
            statement,
            promise,
        };
        Ok(Opening { received, key })
    }
}

/// A document that is all here and can be opened.
pub struct Opening {
    received: Received,
    key: SecretKey,
}

impl Opening {
    /// What was signed of it, at the end.
    pub fn into_received(self) -> Received {
        self.received
    }

    /// What was signed of it.
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// Whether a document that opened to its end is what was signed.
    ///
    /// # Errors
    /// [`ReceiveError::Integrity`].
    pub fn confirm(&self, opened: Sha256) -> Result<(), ReceiveError> {
        if opened.finish() == self.received.manifest.plain_sha256 {
            Ok(())
        } else {
            Err(ReceiveError::Integrity)
        }
    }

    /// Starts to open it, chunk by chunk behind the header.
    ///
    /// # Errors
    /// [`ReceiveError::Integrity`].
    pub fn open(&self, header: &[u8]) -> Result<FileOpener, ReceiveError> {
        let header: &[u8; HEADER_BYTES] = header.try_into().map_err(|_| ReceiveError::Integrity)?;
        let manifest = &self.received.manifest;
        FileOpener::new(&self.key, header, manifest.sealed_size, manifest.size)
            .map_err(|_| ReceiveError::Integrity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::SigningKey,
        records::Coding,
        types::{FileId, NetworkId, Timestamp},
    };

    fn receiving(chunks: usize) -> Receive {
        let network = NetworkId([7; 32]);
        let manifest = Manifest {
            member: MemberId([1; 16]),
            file: FileId([2; 16]),
            root: [3; 32],
            sealed_size: 1,
            size: 1,
            commitment: [4; 32],
            plain_sha256: [5; 32],
            coding: Coding::default(),
            format: String::new(),
            content_type: "text/plain".to_owned(),
            author: String::new(),
            from: Timestamp(0),
            until: Timestamp(0),
            labels: Vec::new(),
            sequence: 1,
            issued_at: Timestamp(0),
        };
        let key = SigningKey::from_seed(&SecretKey::new([6; 32]));
        let signed = key.sign(&network, &manifest).verify(&network);
        Receive {
            manifest: signed.unwrap(),
            disclosure: DisclosureId([8; 16]),
            chunks: chunks as u64,
            leaves: Vec::new(),
            unchecked: 0..0,
            next: 0,
        }
    }

    #[test]
    fn a_part_of_the_leaf_list_holds_leaves_per_part_at_most() {
        let mut receive = receiving(3 * LEAVES_PER_PART);
        let most = vec![0; 32 * LEAVES_PER_PART];
        assert_eq!(receive.handle_leaves(&most), Ok(()));

        let beyond = receive.handle_leaves(&vec![0; 32 * (LEAVES_PER_PART + 1)]);

        assert_eq!(beyond, Err(ReceiveError::Foreign));
        assert_eq!(receive.leaves.len(), LEAVES_PER_PART);
    }
}
