//! Merkle trees of RFC 9162, section 2.1: the audit log's, and the one over a document's chunks.

use super::hash::sha256;

/// A node or leaf of a tree.
pub type Hash = [u8; 32];

/// Why a proof is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index or the smaller size lies outside the tree, or the smaller tree is empty.
    #[error("the proof is about no part of the tree")]
    Range,
    /// Too many hashes or too few.
    #[error("the proof has {hashes} hashes")]
    Length {
        /// How many.
        hashes: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// Hash of a leaf with this content (RFC 9162, 2.1.1).
pub fn leaf_hash(content: &[u8]) -> Hash {
    sha256(&[&[0], content])
}

/// Hash of the node over two others (RFC 9162, 2.1.1).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The root over leaf hashes; SHA-256 of nothing where there is none.
pub fn root(leaves: &[Hash]) -> Hash {
    leaves.iter().copied().collect::<Tree>().root()
}

/// An append-only tree that can prove itself at every size it had.
#[derive(Clone, Default)]
pub struct Tree {
    /// `levels[k][i]` is the root over the leaves `i << k .. (i + 1) << k`, once all are there.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut level = 0;
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let nodes = &mut self.levels[level];
            nodes.push(hash);
            if !nodes.len().is_multiple_of(2) {
                return;
            }
            hash = node_hash(&nodes[nodes.len() - 2], &nodes[nodes.len() - 1]);
            level += 1;
        }
    }

    /// Number of leaves.
    pub fn len(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// One leaf.
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        let index = usize::try_from(index).ok()?;
        self.levels.first()?.get(index).copied()
    }

    /// The root over all leaves.
    pub fn root(&self) -> Hash {
        self.subtree(0, self.len())
    }

    /// The root when the tree had `size` leaves; none where it never had.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        (size <= self.len()).then(|| self.subtree(0, size))
    }

    /// Proves that a leaf stands at `index` of the tree of `size` leaves (RFC 9162, 2.1.3.1).
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        if index >= size || size > self.len() {
            return None;
        }
        let mut proof = Vec::new();
        let (mut start, mut end) = (0, size);
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                proof.push(self.subtree(middle, end));
                end = middle;
            } else {
                proof.push(self.subtree(start, middle));
                start = middle;
            }
        }
        proof.reverse();
        Some(proof)
    }

    /// Proves that the tree of `size` leaves begins with the tree of `earlier` leaves
    /// (RFC 9162, 2.1.4.1); none for an empty earlier tree, of which nothing need be proved.
    pub fn consistency_proof(&self, earlier: u64, size: u64) -> Option<Vec<Hash>> {
        if earlier == 0 || earlier > size || size > self.len() {
            return None;
        }
        let mut proof = Vec::new();
        let (mut start, mut end) = (0, size);
        while end != earlier {
            let middle = start + split(end - start);
            if earlier <= middle {
                proof.push(self.subtree(middle, end));
                end = middle;
            } else {
                proof.push(self.subtree(start, middle));
                start = middle;
            }
        }
        if start != 0 {
            proof.push(self.subtree(start, end));
        }
        proof.reverse();
        Some(proof)
    }

    /// The root over the leaves `start..end`, where `start` is a multiple of the power of two that
    /// is not below their number, as in all ranges RFC 9162 makes.
    fn subtree(&self, start: u64, end: u64) -> Hash {
        let leaves = end - start;
        if leaves == 0 {
            return sha256(&[]);
        }
        if leaves.is_power_of_two() {
            let level = leaves.trailing_zeros();
            return self.levels[level as usize][(start >> level) as usize];
        }
        let middle = start + split(leaves);
        node_hash(&self.subtree(start, middle), &self.subtree(middle, end))
    }
}

impl FromIterator<Hash> for Tree {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }
}

/// The largest power of two below a number that is at least 2 (RFC 9162, 2.1.1: `k`).
fn split(leaves: u64) -> u64 {
    1 << (u64::BITS - 1 - (leaves - 1).leading_zeros())
}

/// Verifies that `leaf` stands at `index` of the tree with this size and root (RFC 9162, 2.1.3.2).
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range);
    }
    let length = ProofError::Length {
        hashes: proof.len(),
    };
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length);
    }
    if hash != *root {
        return Err(ProofError::Root);
    }
    Ok(())
}

/// Verifies that the tree of `size` leaves begins with the tree of `earlier` leaves
/// (RFC 9162, 2.1.4.2).
///
/// # Errors
/// [`ProofError`]; an empty earlier tree is [`ProofError::Range`], since it proves nothing.
pub fn verify_consistency(
    earlier: u64,
    earlier_root: &Hash,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if earlier == 0 || earlier > size {
        return Err(ProofError::Range);
    }
    let length = ProofError::Length {
        hashes: proof.len(),
    };
    if earlier == size {
        if !proof.is_empty() {
            return Err(length);
        }
        return if earlier_root == root {
            Ok(())
        } else {
            Err(ProofError::Root)
        };
    }
    let (first, rest) = if earlier.is_power_of_two() {
        (*earlier_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(length)?;
        (*first, rest)
    };
    let shift = (earlier - 1).trailing_ones();
    let (mut node, mut last) = ((earlier - 1) >> shift, (size - 1) >> shift);
    let (mut earlier_hash, mut hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            earlier_hash = node_hash(sibling, &earlier_hash);
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length);
    }
    if earlier_hash != *earlier_root || hash != *root {
        return Err(ProofError::Root);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 9162, 2.1.1, word for word.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => sha256(&[]),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node_hash(&by_definition(left), &by_definition(right))
            }
        }
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|index| leaf_hash(&[index as u8])).collect()
    }

    #[test]
    fn the_root_at_every_size_is_the_one_of_the_definition() {
        let leaves = leaves(70);
        let tree: Tree = leaves.iter().copied().collect();

        for size in 0..=leaves.len() {
            let expected = by_definition(&leaves[..size]);
            assert_eq!(root(&leaves[..size]), expected);
            assert_eq!(tree.root_at(size as u64), Some(expected));
        }
        assert_eq!(tree.len(), 70);
        assert_eq!(tree.leaf(69), Some(leaves[69]));
        assert_eq!(tree.leaf(70), None);
        assert_eq!(tree.root_at(71), None);
        assert!(Tree::new().is_empty() && !tree.is_empty());
    }

    #[test]
    fn every_leaf_is_proved_at_every_size_and_at_no_other_place() {
        let leaves = leaves(33);
        let tree: Tree = leaves.iter().copied().collect();

        for size in 1..=33 {
            let root = tree.root_at(size).unwrap();
            for index in 0..size {
                let proof = tree.inclusion_proof(index, size).unwrap();
                let leaf = tree.leaf(index).unwrap();
                assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));

                let other = leaf_hash(b"other");
                assert!(verify_inclusion(&other, index, size, &proof, &root).is_err());
                assert!(
                    verify_inclusion(&leaf, index ^ 1, size, &proof, &root).is_err() || size == 1
                );
                let longer = [&proof[..], &[root]].concat();
                let hashes = longer.len();
                assert_eq!(
                    verify_inclusion(&leaf, index, size, &longer, &root),
                    Err(ProofError::Length { hashes })
                );
                for position in 0..proof.len() {
                    let mut changed = proof.clone();
                    changed[position][0] ^= 1;
                    assert_eq!(
                        verify_inclusion(&leaf, index, size, &changed, &root),
                        Err(ProofError::Root)
                    );
                }
            }
        }
        assert_eq!(tree.inclusion_proof(5, 5), None);
        assert_eq!(tree.inclusion_proof(0, 34), None);
    }

    #[test]
    fn every_size_is_proved_to_begin_with_every_smaller_one() {
        let tree: Tree = leaves(33).into_iter().collect();

        for size in 1..=33 {
            let root = tree.root_at(size).unwrap();
            for earlier in 1..=size {
                let earlier_root = tree.root_at(earlier).unwrap();
                let proof = tree.consistency_proof(earlier, size).unwrap();
                let verified = |earlier_root: &Hash, root: &Hash, proof: &[Hash]| {
                    verify_consistency(earlier, earlier_root, size, root, proof)
                };
                assert_eq!(verified(&earlier_root, &root, &proof), Ok(()));

                assert!(verified(&leaf_hash(b"other"), &root, &proof).is_err());
                assert!(verified(&earlier_root, &leaf_hash(b"other"), &proof).is_err());
                let longer = [&proof[..], &[root]].concat();
                let hashes = longer.len();
                assert_eq!(
                    verified(&earlier_root, &root, &longer),
                    Err(ProofError::Length { hashes })
                );
                for position in 0..proof.len() {
                    let mut changed = proof.clone();
                    changed[position][0] ^= 1;
                    assert_eq!(
                        verified(&earlier_root, &root, &changed),
                        Err(ProofError::Root)
                    );
                }
            }
        }
        assert_eq!(tree.consistency_proof(0, 5), None);
        assert_eq!(tree.consistency_proof(6, 5), None);
        assert_eq!(tree.consistency_proof(5, 34), None);
    }
}
