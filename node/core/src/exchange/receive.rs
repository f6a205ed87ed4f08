//! The asker's end of a fetch as a state machine: head, leaves, chunks, key, and only then bytes.

use bytes::Bytes;

use crate::{
    crypto::{self, SecretKey, Signed},
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

/// A verified document.
pub struct Received {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What the holder signed of it.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's body.
    pub manifest_hash: [u8; 32],
    /// What joins the two audit entries.
    pub disclosure: DisclosureId,
    /// The holder's statement.
    pub statement: Disclosure,
}

/// Ciphertext on its way in. Chunks are checked one by one against the root that the holder
/// signed, so that a resumed part file never holds a byte that was not.
pub struct Receive {
    manifest: Signed<Manifest>,
    disclosure: DisclosureId,
    chunks: u64,
    leaves: Vec<[u8; 32]>,
    bytes: Vec<u8>,
    next: u64,
}

impl Receive {
    /// Starts with a head that answered the question, and what is here of the same file already.
    ///
    /// # Errors
    /// [`ReceiveError::Subject`], [`ReceiveError::Foreign`], [`ReceiveError::TooLarge`].
    pub fn begin(
        holder: MemberId,
        handle: Handle,
        head: &FetchHead,
        manifest: Signed<Manifest>,
        part: Vec<u8>,
    ) -> Result<Self, ReceiveError> {
        if head.subject != crypto::subject_of(&handle) {
            return Err(ReceiveError::Subject);
        }
        let value = manifest.value();
        if value.member != holder {
            return Err(ReceiveError::Foreign);
        }
        let largest = crypto::sealed_len(DOCUMENT_MAX_BYTES as u64);
        if value.sealed_size > largest || value.size > value.sealed_size {
            return Err(ReceiveError::TooLarge);
        }
        let chunks = crypto::chunk_count(value.sealed_size).ok_or(ReceiveError::Foreign)?;
        if head.chunks != chunks || head.from_chunk > chunks {
            return Err(ReceiveError::Foreign);
        }
        let have = if head.from_chunk == 0 {
            0
        } else {
            crypto::chunk_range(value.sealed_size, head.from_chunk - 1)
                .ok_or(ReceiveError::Foreign)?
                .end
        };
        let Ok(have) = usize::try_from(have) else {
            return Err(ReceiveError::TooLarge);
        };
        if part.len() < have {
            return Err(ReceiveError::Part);
        }
        let mut bytes = part;
        bytes.truncate(have);
        Ok(Self {
            disclosure: head.disclosure,
            next: head.from_chunk,
            chunks,
            manifest,
            leaves: Vec::new(),
            bytes,
        })
    }

    /// Takes a part of the leaf list. Once whole it must give the signed root, and what was here
    /// already must agree with it.
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
        if self.leaves.len() < wanted {
            return Ok(());
        }
        if crypto::tree::root(&self.leaves) != self.manifest.value().root {
            return Err(ReceiveError::Integrity);
        }
        for index in 0..self.next {
            let bytes = self.chunk(index)?;
            if crypto::tree::leaf_hash(bytes) != self.leaves[index as usize] {
                return Err(ReceiveError::Part);
            }
        }
        Ok(())
    }

    /// Takes the next chunk and returns it once it is checked, to be kept in a part file.
    ///
    /// # Errors
    /// [`ReceiveError::Foreign`] out of order or before the leaves, [`ReceiveError::Integrity`].
    pub fn handle_chunk(&mut self, index: u64, data: Bytes) -> Result<Bytes, ReceiveError> {
        if index != self.next || self.leaves.len() as u64 != self.chunks || index >= self.chunks {
            return Err(ReceiveError::Foreign);
        }
        if crypto::tree::leaf_hash(&data) != self.leaves[index as usize] {
            return Err(ReceiveError::Integrity);
        }
        self.bytes.extend_from_slice(&data);
        self.next += 1;
        Ok(data)
    }

    /// Whether every chunk is here.
    ///
    /// # Errors
    /// [`ReceiveError::Cut`] where some are missing.
    pub fn complete(&self) -> Result<(), ReceiveError> {
        if self.next == self.chunks && self.leaves.len() as u64 == self.chunks {
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

    /// Opens with the key that was released, checks everything, and only then hands over.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub fn finish(
        self,
        asker: MemberId,
        key: &SecretKey,
        statement: Disclosure,
    ) -> Result<Received, ReceiveError> {
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
        let bytes = crypto::open_file(key, &self.bytes, manifest.size)
            .map_err(|_| ReceiveError::Integrity)?;
        if crypto::sha256(&[&bytes]) != manifest.plain_sha256 {
            return Err(ReceiveError::Integrity);
        }
        Ok(Received {
            bytes,
            manifest,
            manifest_hash,
            disclosure: self.disclosure,
            statement,
        })
    }

    fn chunk(&self, index: u64) -> Result<&[u8], ReceiveError> {
        let range = crypto::chunk_range(self.manifest.value().sealed_size, index)
            .ok_or(ReceiveError::Foreign)?;
        self.bytes
            .get(range.start as usize..range.end as usize)
            .ok_or(ReceiveError::Cut)
    }
}
