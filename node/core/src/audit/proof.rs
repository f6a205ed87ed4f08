//! Proofs that leave the node: that an entry stands in the log, and that a log only grew.

use data_encoding::BASE64;

use super::{Checkpoint, CheckpointError};
use crate::{
    crypto::tree::{self, ProofError},
    types::{MemberId, NetworkId},
};

/// Why a proof does not prove anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditProofError {
    /// The checkpoint is not believed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead to its root.
    #[error(transparent)]
    Path(#[from] ProofError),
    /// The record that is enclosed is another than the entry.
    #[error("the record enclosed is not the entry's")]
    Record,
}

/// Proves that an entry stands in a log, to whoever holds the log's key and nothing else
/// (c2sp.org/tlog-proof).
#[derive(Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The sealed record, exactly as it lies in the journal; its hash is the leaf. None where whoever
    /// verifies holds the leaf already.
    pub record: Option<Vec<u8>>,
    /// Index of the entry in the log.
    pub index: u64,
    /// From the leaf's sibling up.
    pub path: Vec<[u8; 32]>,
    /// The checkpoint, as signed.
    pub checkpoint: String,
}

impl InclusionProof {
    /// The file that is handed out.
    pub fn text(&self) -> String {
        let extra = self.record.as_ref().map_or_else(String::new, |record| {
            format!("extra {}\n", BASE64.encode(record))
        });
        let path = lines(&self.path);
        format!(
            "c2sp.org/tlog-proof@v1\n{extra}index {}\n{path}\n{}",
            self.index, self.checkpoint
        )
    }

    /// Verifies that a leaf stands where the proof says, in the log of a member with this key.
    ///
    /// # Errors
    /// [`AuditProofError`].
    pub fn verify(
        &self,
        network: &NetworkId,
        member: &MemberId,
        public: &[u8; 32],
        leaf: &[u8; 32],
    ) -> Result<Checkpoint, AuditProofError> {
        let checkpoint = Checkpoint::verify(&self.checkpoint, network, member, public)?;
        let of_record = self.record.as_deref().map(tree::leaf_hash);
        if of_record.is_some_and(|of_record| of_record != *leaf) {
            return Err(AuditProofError::Record);
        }
        let (size, root) = (checkpoint.size, checkpoint.root);
        tree::verify_inclusion(leaf, self.index, size, &self.path, &root)?;
        Ok(checkpoint)
    }
}

/// Proves that a log only grew since it had a size, in the form in which a log asks its witnesses to
/// cosign (c2sp.org/tlog-witness, add-checkpoint).
#[derive(Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The earlier size.
    pub earlier: u64,
    /// The hashes of RFC 9162, 2.1.4.1.
    pub path: Vec<[u8; 32]>,
    /// The later checkpoint, as signed.
    pub checkpoint: String,
}

impl ConsistencyProof {
    /// The file that is handed out.
    pub fn text(&self) -> String {
        let path = lines(&self.path);
        format!("old {}\n{path}\n{}", self.earlier, self.checkpoint)
    }

    /// Verifies that the log of a member with this key grew out of the one that had a root at the
    /// earlier size.
    ///
    /// # Errors
    /// [`AuditProofError`].
    pub fn verify(
        &self,
        network: &NetworkId,
        member: &MemberId,
        public: &[u8; 32],
        earlier_root: &[u8; 32],
    ) -> Result<Checkpoint, AuditProofError> {
        let checkpoint = Checkpoint::verify(&self.checkpoint, network, member, public)?;
        let (size, root) = (checkpoint.size, checkpoint.root);
        tree::verify_consistency(self.earlier, earlier_root, size, &root, &self.path)?;
        Ok(checkpoint)
    }
}

fn lines(path: &[[u8; 32]]) -> String {
    path.iter()
        .map(|hash| format!("{}\n", BASE64.encode(hash)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{SecretKey, SigningKey, Tree};

    const NETWORK: NetworkId = NetworkId([3; 32]);
    const MEMBER: MemberId = MemberId([4; 16]);

    fn key() -> SigningKey {
        SigningKey::from_seed(&SecretKey::new([5; 32]))
    }

    fn record(number: u64) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    fn log(entries: u64) -> Tree {
        let leaves = (0..entries).map(|number| tree::leaf_hash(&record(number)));
        leaves.collect()
    }

    fn signed(tree: &Tree) -> String {
        let checkpoint = Checkpoint {
            network: NETWORK,
            member: MEMBER,
            size: tree.len(),
            root: tree.root(),
            journal: None,
        };
        checkpoint.sign(&key())
    }

    fn inclusion(index: u64, entries: u64) -> InclusionProof {
        let tree = log(entries);
        InclusionProof {
            record: Some(record(index)),
            index,
            path: tree.inclusion_proof(index, entries).unwrap(),
            checkpoint: signed(&tree),
        }
    }

    fn holds(proof: &InclusionProof, leaf: u64) -> Result<(), AuditProofError> {
        let leaf = tree::leaf_hash(&record(leaf));
        proof
            .verify(&NETWORK, &MEMBER, &key().public(), &leaf)
            .map(|_| ())
    }

    #[test]
    fn a_proof_has_the_lines_of_tlog_proof() {
        let proof = inclusion(5, 7);

        let text = proof.text();
        let lines: Vec<&str> = text.lines().collect();

        assert_eq!(lines[0], "c2sp.org/tlog-proof@v1");
        assert_eq!(lines[1], "extra AAAAAAAAAAU=");
        assert_eq!(lines[2], "index 5");
        assert_eq!(lines[3], BASE64.encode(&proof.path[0]));
        assert_eq!(lines[3 + proof.path.len()], "");
        assert!(text.ends_with(&format!("\n\n{}", proof.checkpoint)));
        let bare = InclusionProof {
            record: None,
            ..proof
        };
        assert!(bare.text().starts_with("c2sp.org/tlog-proof@v1\nindex 5\n"));
    }

    #[test]
    fn a_proof_holds_for_its_entry_and_for_no_other() {
        let proof = inclusion(5, 7);
        assert_eq!(holds(&proof, 5), Ok(()));

        let bare = InclusionProof {
            record: None,
            ..proof.clone()
        };
        assert_eq!(holds(&bare, 5), Ok(()));
        assert_eq!(
            holds(&bare, 4),
            Err(AuditProofError::Path(ProofError::Root))
        );
        let foreign = InclusionProof {
            record: Some(record(4)),
            ..proof.clone()
        };
        assert_eq!(holds(&foreign, 5), Err(AuditProofError::Record));
        let elsewhere = InclusionProof { index: 4, ..proof };
        assert!(holds(&elsewhere, 5).is_err());
    }

    #[test]
    fn growth_is_proved_and_a_log_that_was_cut_or_rewritten_is_not() {
        let tree = log(9);
        let proof = ConsistencyProof {
            earlier: 6,
            path: tree.consistency_proof(6, 9).unwrap(),
            checkpoint: signed(&tree),
        };
        let held = |root: &[u8; 32]| proof.verify(&NETWORK, &MEMBER, &key().public(), root);
        assert_eq!(held(&log(6).root()).map(|found| found.size), Ok(9));
        assert!(proof.text().starts_with("old 6\n"));

        let rewritten: Tree = (10..16).map(|n| tree::leaf_hash(&record(n))).collect();
        assert_eq!(
            held(&rewritten.root()),
            Err(AuditProofError::Path(ProofError::Root))
        );
    }
}
