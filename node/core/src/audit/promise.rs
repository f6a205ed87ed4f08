//! A promise of the log: that an entry stands at an index, given before a checkpoint covers it.
//!
//! As the signed certificate timestamp of RFC 6962, 3.2: whoever holds one and a later checkpoint holds the
//! proof of a log that was cut, changed or reordered in between.

use data_encoding::BASE64;

use super::checkpoint::{Checkpoint, CheckpointError, signed_by, split_note};
use crate::{
    crypto::SigningKey,
    types::{MemberId, NetworkId, Timestamp},
};

/// What a log promised to the counterparty of a disclosure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The network of the log.
    pub network: NetworkId,
    /// The member whose log it is.
    pub member: MemberId,
    /// Where the entry stands.
    pub index: u64,
    /// Its leaf.
    pub leaf: [u8; 32],
    /// When it was promised.
    pub at: Timestamp,
}

/// First line; no origin of a checkpoint begins so.
const KIND: &str = "chartmesh-promise/1";

impl Promise {
    /// The text that is signed.
    pub fn text(&self) -> String {
        let origin = Checkpoint::origin(&self.network, &self.member);
        let leaf = BASE64.encode(&self.leaf);
        format!("{KIND}\n{origin}\n{}\n{leaf}\n{}\n", self.index, self.at.0)
    }

    /// The signed note, by the key of the log.
    pub fn sign(&self, key: &SigningKey) -> String {
        let name = Checkpoint::origin(&self.network, &self.member);
        signed_by(&self.text(), &name, key)
    }

    /// Verifies that a note is the promise of the log whose key this is, and is this very one.
    ///
    /// # Errors
    /// [`CheckpointError`]; [`CheckpointError::Origin`] where it promises something else.
    pub fn verify(&self, note: &str, public: &[u8; 32]) -> Result<(), CheckpointError> {
        let name = Checkpoint::origin(&self.network, &self.member);
        let text = split_note(note, &name, public)?;
        if text == self.text() {
            Ok(())
        } else {
            Err(CheckpointError::Origin)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SecretKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&SecretKey::new([seed; 32]))
    }

    fn promise() -> Promise {
        Promise {
            network: NetworkId([3; 32]),
            member: MemberId([4; 16]),
            index: 65,
            leaf: [5; 32],
            at: Timestamp(1_800_000_000_000),
        }
    }

    #[test]
    fn a_promise_holds_for_what_it_says_and_for_nothing_else() {
        let note = promise().sign(&key(1));
        assert_eq!(promise().verify(&note, &key(1).public()), Ok(()));

        let others = [
            Promise {
                index: 66,
                ..promise()
            },
            Promise {
                leaf: [6; 32],
                ..promise()
            },
            Promise {
                at: Timestamp(1),
                ..promise()
            },
        ];
        for other in others {
            let refused = other.verify(&note, &key(1).public());
            assert_eq!(refused, Err(CheckpointError::Origin));
        }
        let unsigned = promise().verify(&note, &key(2).public());
        assert_eq!(unsigned, Err(CheckpointError::Unsigned));
        let forged = note.replacen("\n65\n", "\n66\n", 1);
        let forged = promise().verify(&forged, &key(1).public());
        assert_eq!(forged, Err(CheckpointError::Forged));
    }

    #[test]
    fn a_promise_is_no_checkpoint() {
        let Promise {
            network, member, ..
        } = promise();
        let note = promise().sign(&key(1));

        let read = Checkpoint::verify(&note, &network, &member, &key(1).public());

        assert!(read.is_err());
        assert_eq!(note.lines().next(), Some(KIND));
    }
}
