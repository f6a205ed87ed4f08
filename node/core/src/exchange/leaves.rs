//! Leaf hashes of sealed files, remembered so that a file is not read and hashed again for each fetch.
//!
//! A sealed file never changes, and an asker checks leaves against the signed root: what is remembered
//! can be wrong only as the file itself can.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::types::{FileId, limits::LEAVES_REMEMBERED_MAX};

/// The leaves of the files that were sealed or sent last.
#[derive(Default)]
pub struct Leaves {
    files: BTreeMap<FileId, Arc<[[u8; 32]]>>,
    order: VecDeque<FileId>,
    held: usize,
}

impl Leaves {
    /// All leaves of a file.
    pub fn of(&self, file: FileId) -> Option<Arc<[[u8; 32]]>> {
        self.files.get(&file).cloned()
    }

    /// Remembers all leaves of a file, and forgets those of the files that came first.
    pub fn remember(&mut self, file: FileId, leaves: Vec<[u8; 32]>) {
        if leaves.len() > LEAVES_REMEMBERED_MAX || self.files.contains_key(&file) {
            return;
        }
        self.held += leaves.len();
        self.order.push_back(file);
        self.files.insert(file, leaves.into());
        while self.held > LEAVES_REMEMBERED_MAX
            && let Some(first) = self.order.pop_front()
            && let Some(forgotten) = self.files.remove(&first)
        {
            self.held -= forgotten.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: u8) -> FileId {
        FileId([number; 16])
    }

    #[test]
    fn no_more_than_leaves_remembered_max_are_held_and_the_first_go_first() {
        let mut leaves = Leaves::default();
        let half = LEAVES_REMEMBERED_MAX / 2;
        leaves.remember(file(1), vec![[1; 32]; half]);
        leaves.remember(file(2), vec![[2; 32]; half]);
        assert!(leaves.of(file(1)).is_some());

        leaves.remember(file(3), vec![[3; 32]]);

        assert!(leaves.of(file(1)).is_none());
        assert_eq!(leaves.of(file(2)).map(|all| all.len()), Some(half));
        assert_eq!(leaves.of(file(3)).as_deref(), Some(&[[3; 32]][..]));
        leaves.remember(file(4), vec![[4; 32]; LEAVES_REMEMBERED_MAX + 1]);
        assert!(leaves.of(file(4)).is_none());
        assert!(leaves.held <= LEAVES_REMEMBERED_MAX);
    }
}
