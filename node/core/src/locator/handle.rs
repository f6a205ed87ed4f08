//! Handles a holder gave: bounded, bound to asker, patient and purpose, valid 12 hours.

use std::collections::{BTreeMap, VecDeque};

use crate::types::{
    Handle, MemberId, PatientId, Purpose, Timestamp, limits::HANDLES_PER_ASKER_MAX,
};

/// What a handle stands for at the holder that issued it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// The only member that may use it.
    pub asker: MemberId,
    /// Whom it names.
    pub patient: PatientId,
    /// What it was asked for.
    pub purpose: Purpose,
    /// SHA-256 of the question it answered.
    pub query_hash: [u8; 32],
    /// Until when.
    pub until: Timestamp,
}

/// The handles a holder has given. A handle confers nothing: every use decides anew.
#[derive(Default)]
pub struct Handles {
    issued: BTreeMap<Handle, Issued>,
    by_asker: BTreeMap<MemberId, VecDeque<Handle>>,
}

impl Handles {
    /// Adds a handle; the asker's oldest goes where it holds as many as it may.
    pub fn issue(&mut self, handle: Handle, issued: Issued) {
        let of_asker = self.by_asker.entry(issued.asker).or_default();
        if self.issued.insert(handle, issued).is_none() {
            of_asker.push_back(handle);
        }
        while of_asker.len() > HANDLES_PER_ASKER_MAX {
            if let Some(oldest) = of_asker.pop_front() {
                self.issued.remove(&oldest);
            }
        }
    }

    /// What a handle stands for, if this asker may use it. Unknown, expired, evicted and another
    /// asker's handle are one answer.
    pub fn find(&self, handle: Handle, asker: MemberId, now: Timestamp) -> Option<Issued> {
        self.issued
            .get(&handle)
            .filter(|issued| issued.asker == asker && now < issued.until)
            .copied()
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.issued.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.issued.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn issued(asker: u8) -> Issued {
        Issued {
            asker: MemberId([asker; 16]),
            patient: PatientId([9; 16]),
            purpose: Purpose::Treat,
            query_hash: [0; 32],
            until: Timestamp(2_000),
        }
    }

    fn numbered(number: u32) -> Handle {
        let mut bytes = [1; 20];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Handle(bytes)
    }

    #[test]
    fn a_handle_serves_its_asker_until_it_expires_and_nobody_else() {
        let mut handles = Handles::default();
        handles.issue(numbered(1), issued(1));

        assert!(handles.find(numbered(1), MemberId([1; 16]), NOW).is_some());
        assert!(handles.find(numbered(1), MemberId([2; 16]), NOW).is_none());
        assert!(
            handles
                .find(numbered(1), MemberId([1; 16]), Timestamp(2_000))
                .is_none()
        );
        assert!(handles.find(numbered(2), MemberId([1; 16]), NOW).is_none());
    }

    #[test]
    fn an_asker_holds_handles_per_asker_max_and_loses_its_oldest_beyond() {
        let mut handles = Handles::default();
        handles.issue(numbered(0), issued(2));
        for number in 1..=HANDLES_PER_ASKER_MAX as u32 + 1 {
            handles.issue(numbered(number), issued(1));
        }

        assert_eq!(handles.len(), HANDLES_PER_ASKER_MAX + 1);
        assert!(handles.find(numbered(1), MemberId([1; 16]), NOW).is_none());
        assert!(handles.find(numbered(2), MemberId([1; 16]), NOW).is_some());
        assert!(handles.find(numbered(0), MemberId([2; 16]), NOW).is_some());
    }
}
