//! The id of a join request: six words that both ends see and read out over the telephone.

use bip39::Language;

use super::{JoinRequest, KeySet, Organization};
use crate::{
    crypto::{Body, sha256},
    types::{MemberId, NodeKey},
};

const WORDS: usize = 6;
/// The list has 2,048 words (BIP-39).
const WORD_BITS: usize = 11;

/// The fingerprint of an applicant: node key, key set, member id and organisation. An attacker in the
/// middle needs about 2^66 tries for another applicant with the same words.
pub fn join_id(
    node_key: NodeKey,
    keys_hash: [u8; 32],
    member: MemberId,
    organization: &Organization,
) -> String {
    let hash = sha256(&[
        b"chartmesh/1/join-words",
        &node_key.0,
        &keys_hash,
        &member.0,
        &organization.encode(),
    ]);
    words(&hash).join("_")
}

/// The fingerprint of an authority key: six words to be compared by telephone.
pub fn key_words(key: &[u8; 32]) -> String {
    words(&sha256(&[b"chartmesh/1/key-words", key])).join("_")
}

impl JoinRequest {
    /// What it is called at both ends.
    pub fn id(&self) -> String {
        // Over the keys themselves: every request of an applicant has the same words, though each
        // signs its key set anew.
        let keys = self.key_set.claims::<KeySet>().map_or([0; 32], |set| {
            let mut parts: Vec<&[u8]> = vec![&set.audit_key];
            parts.extend(set.keys.iter().map(|key| &key.public[..]));
            sha256(&parts)
        });
        join_id(self.node_key, keys, self.member, &self.organization)
    }
}

fn words(hash: &[u8; 32]) -> [&'static str; WORDS] {
    let list = Language::English.word_list();
    std::array::from_fn(|word| {
        let bits = (word * WORD_BITS)..((word + 1) * WORD_BITS);
        list[bits.fold(0, |index, bit| (index << 1) | bit_of(hash, bit))]
    })
}

/// A bit, the first byte's highest first.
fn bit_of(hash: &[u8; 32], bit: usize) -> usize {
    usize::from(hash[bit / 8] >> (7 - bit % 8) & 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Kind;

    fn organization(name: &str) -> Organization {
        Organization {
            name: name.to_owned(),
            kind: Kind::Clinic,
            npi: String::new(),
            oid: String::new(),
            address: String::new(),
            contact: String::new(),
            phone: String::new(),
            hours: String::new(),
            state: String::new(),
            part2: false,
            test: true,
        }
    }

    #[test]
    fn eleven_bits_choose_a_word_of_the_list() {
        let mut hash = [0; 32];
        assert_eq!(words(&hash), ["abandon"; 6]);

        hash[0] = 0xFF;
        hash[1] = 0xE0;
        assert_eq!(words(&hash)[..2], ["zoo", "abandon"]);

        hash = [0; 32];
        hash[8] = 0b0100_0000;
        assert_eq!(words(&hash)[5], "ability");
    }

    #[test]
    fn the_words_change_with_every_part_of_the_applicant() {
        let of = |key, set, member, name| {
            join_id(
                NodeKey([key; 32]),
                [set; 32],
                MemberId([member; 16]),
                &organization(name),
            )
        };
        let words = of(1, 1, 1, "Cedar");

        assert_eq!(words.split('_').count(), 6);
        assert_eq!(words, of(1, 1, 1, "Cedar"));
        for other in [
            of(2, 1, 1, "Cedar"),
            of(1, 2, 1, "Cedar"),
            of(1, 1, 2, "Cedar"),
            of(1, 1, 1, "Oak"),
        ] {
            assert_ne!(words, other);
        }
    }
}
