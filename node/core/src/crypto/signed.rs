//! One body, the keys that signed it, and what it takes to believe them (`protocol.md` 3).

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{SigningKey, hash::sha256, signing::verify_signature};
use crate::types::{NetworkId, limits::SIGNATURES_MAX};

/// The bytes are no body of this type, or not in canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {domain} body in canonical form")]
pub struct MalformedBody {
    /// Domain constant of the type that was expected.
    pub domain: &'static str,
}

/// Why a signed body is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Nobody signed.
    #[error("there is no signature")]
    Unsigned,
    /// More signatures than [`SIGNATURES_MAX`].
    #[error("there are {count} signatures")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// One key signed twice.
    #[error("one key signed twice")]
    Repeated,
    /// A public key of small order, off the curve, or in a form that is not canonical.
    #[error("a public key is not acceptable")]
    Key,
    /// Signed by another key than the one that may, or by more than that one.
    #[error("not signed by the one key that may")]
    Signer,
    /// A signature does not hold for this type, network and body.
    #[error("a signature does not hold")]
    Forged,
    /// The body cannot be read.
    #[error(transparent)]
    Malformed(#[from] MalformedBody),
    /// The body reads, but its value has other bytes in canonical form.
    #[error("the {domain} body is not in canonical form")]
    NotCanonical {
        /// Domain constant of the type that was expected.
        domain: &'static str,
    },
}

/// A value that can be signed. Its domain constant belongs to the receiving type and never comes
/// from the wire, so that a signature over one type is worth nothing for another.
pub trait Body: Sized {
    /// `chartmesh/1/...`; a new field means a new constant.
    const DOMAIN: &'static str;

    /// The canonical bytes.
    fn encode(&self) -> Vec<u8>;

    /// Reads bytes; need not check that they are canonical.
    ///
    /// # Errors
    /// [`MalformedBody`] where a field is missing or out of range.
    fn decode(bytes: &[u8]) -> Result<Self, MalformedBody>;
}

/// A body and signatures over it, not yet verified: what crosses the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The exact bytes that were signed.
    pub body: Bytes,
    /// Ed25519 public key and signature, each.
    pub signatures: Vec<([u8; 32], [u8; 64])>,
}

impl Envelope {
    /// SHA-256 of the body: what an answer, a receipt or the next charter names.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[&self.body])
    }

    /// Adds the signature of one more key over the body, read as a `T`.
    ///
    /// # Panics
    /// Where the body has 4 GiB or more.
    pub fn add_signature<T: Body>(&mut self, key: &SigningKey, network: &NetworkId) {
        let signature = key.sign_body::<T>(network, &self.body);
        self.signatures.push((key.public(), signature));
    }

    /// What the body claims. It proves **nothing**: no signature is looked at. For what must be
    /// known before anything can be verified, such as the network a charter belongs to.
    ///
    /// # Errors
    /// [`MalformedBody`] where the bytes are no `T`.
    pub fn claims<T: Body>(&self) -> Result<T, MalformedBody> {
        T::decode(&self.body)
    }

    /// Verifies every signature over exactly the bytes received, then reads them. Whether the
    /// signers may say so is not asked here.
    ///
    /// # Errors
    /// [`SignatureError`]; one bad signature among good ones is enough.
    pub fn verify<T: Body>(&self, network: &NetworkId) -> Result<Signed<T>, SignatureError> {
        let signers = self.distinct_signers()?;
        if u32::try_from(self.body.len()).is_err() {
            return Err(SignatureError::Malformed(MalformedBody {
                domain: T::DOMAIN,
            }));
        }
        let message = signed_bytes::<T>(network, &self.body);
        for (key, signature) in &self.signatures {
            verify_signature(key, &message, signature)?;
        }
        let value = T::decode(&self.body)?;
        if value.encode() != self.body {
            return Err(SignatureError::NotCanonical { domain: T::DOMAIN });
        }
        Ok(Signed {
            value,
            hash: self.hash(),
            signers,
            envelope: self.clone(),
        })
    }

    /// As [`Self::verify`], of a body that one key alone may sign. Another signer, or one more, is
    /// refused before any signature is checked: nobody makes us check sixty-four.
    ///
    /// # Errors
    /// [`SignatureError::Signer`], or as [`Self::verify`].
    pub fn verify_by<T: Body>(
        &self,
        key: &[u8; 32],
        network: &NetworkId,
    ) -> Result<Signed<T>, SignatureError> {
        match self.signatures.as_slice() {
            [(signer, _)] if signer == key => self.verify(network),
            _ => Err(SignatureError::Signer),
        }
    }

    /// The keys that are said to have signed. It proves **nothing**.
    pub fn claimed_signers(&self) -> Vec<[u8; 32]> {
        self.signatures.iter().map(|(key, _)| *key).collect()
    }

    fn distinct_signers(&self) -> Result<Vec<[u8; 32]>, SignatureError> {
        let count = self.signatures.len();
        if count == 0 {
            return Err(SignatureError::Unsigned);
        }
        if count > SIGNATURES_MAX {
            return Err(SignatureError::TooMany { count });
        }
        let signers = self.claimed_signers();
        if signers.iter().collect::<BTreeSet<_>>().len() != count {
            return Err(SignatureError::Repeated);
        }
        Ok(signers)
    }
}

/// A body whose every signature holds, over bytes that are canonical. It says nothing of
/// membership, audience or freshness.
///
/// Only [`Envelope::verify`] makes one:
///
/// ```
/// use chartmesh_core::crypto::{Body, Envelope, Signed};
/// use chartmesh_core::types::NetworkId;
///
/// fn believed<T: Body>(value: T, envelope: Envelope, network: &NetworkId) -> Option<Signed<T>> {
///     envelope.verify(network).ok()
/// }
/// ```
///
/// Made by hand it does not compile:
///
/// ```compile_fail,E0451
/// use chartmesh_core::crypto::{Body, Envelope, Signed};
/// use chartmesh_core::types::NetworkId;
///
/// fn believed<T: Body>(value: T, envelope: Envelope, network: &NetworkId) -> Option<Signed<T>> {
///     Some(Signed { value, hash: [0; 32], signers: Vec::new(), envelope })
/// }
/// ```
#[derive(Clone)]
pub struct Signed<T> {
    value: T,
    hash: [u8; 32],
    signers: Vec<[u8; 32]>,
    envelope: Envelope,
}

impl<T> Signed<T> {
    /// What was signed.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// What was signed, without its signatures.
    pub fn into_value(self) -> T {
        self.value
    }

    /// SHA-256 of the body.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The public keys that signed: distinct, at least one, in the order received.
    pub fn signers(&self) -> &[[u8; 32]] {
        &self.signers
    }

    /// The bytes and signatures as received, to be kept or passed on.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}

/// What a signature is over (`protocol.md` 3). Nothing libp2p signs with the same key begins so.
pub(super) fn signed_bytes<T: Body>(network: &NetworkId, body: &[u8]) -> Vec<u8> {
    const PREFIX: &[u8] = b"chartmesh-sig\0";
    const { assert!(T::DOMAIN.len() <= 0xFF, "its length is one byte") };

    let body_len = u32::try_from(body.len()).expect("signers and `verify` bound the body");
    let mut message = Vec::with_capacity(PREFIX.len() + 1 + T::DOMAIN.len() + 36 + body.len());
    message.extend_from_slice(PREFIX);
    message.push(T::DOMAIN.len() as u8);
    message.extend_from_slice(T::DOMAIN.as_bytes());
    message.extend_from_slice(&network.0);
    message.extend_from_slice(&body_len.to_be_bytes());
    message.extend_from_slice(body);
    message
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::crypto::SecretKey;

    #[derive(Clone, PartialEq, Message)]
    struct Note {
        #[prost(string, tag = "1")]
        text: String,
        #[prost(uint64, tag = "2")]
        number: u64,
    }

    impl Body for Note {
        const DOMAIN: &'static str = "chartmesh/1/test-note";

        fn encode(&self) -> Vec<u8> {
            self.encode_to_vec()
        }

        fn decode(bytes: &[u8]) -> Result<Self, MalformedBody> {
            <Self as Message>::decode(bytes).map_err(|_| MalformedBody {
                domain: Self::DOMAIN,
            })
        }
    }

    /// Has the very bytes of a [`Note`], a domain constant of the same length, and another meaning.
    struct Memo(Note);

    impl Body for Memo {
        const DOMAIN: &'static str = "chartmesh/1/test-memo";

        fn encode(&self) -> Vec<u8> {
            self.0.encode_to_vec()
        }

        fn decode(bytes: &[u8]) -> Result<Self, MalformedBody> {
            <Note as Body>::decode(bytes).map(Self)
        }
    }

    const NETWORK: NetworkId = NetworkId([9; 32]);

    #[test]
    fn a_body_comes_back_with_those_who_signed_it() {
        let mut envelope = key(1).sign(&NETWORK, &note());
        envelope.add_signature::<Note>(&key(2), &NETWORK);

        let signed = envelope.verify::<Note>(&NETWORK).unwrap();

        assert!(*signed.value() == note());
        assert_eq!(signed.signers(), [key(1).public(), key(2).public()]);
        assert_eq!(signed.hash(), sha256(&[&note().encode_to_vec()]));
        assert!(*signed.envelope() == envelope);
        assert!(signed.into_value() == note());
    }

    #[test]
    fn where_one_key_may_sign_another_signer_or_one_more_is_refused_unread() {
        let mut envelope = key(1).sign(&NETWORK, &note());
        let by = |envelope: &Envelope, signer: u8| {
            let signed = envelope.verify_by::<Note>(&key(signer).public(), &NETWORK);
            signed.map(drop).err()
        };
        assert_eq!(by(&envelope, 1), None);
        assert_eq!(by(&envelope, 2), Some(SignatureError::Signer));

        // Forged, had anybody looked.
        envelope.signatures.push((key(2).public(), [0; 64]));

        assert_eq!(by(&envelope, 1), Some(SignatureError::Signer));
        envelope.signatures.clear();
        assert_eq!(by(&envelope, 1), Some(SignatureError::Signer));
    }

    #[test]
    fn one_changed_bit_anywhere_is_refused() {
        let envelope = key(1).sign(&NETWORK, &note());
        assert_eq!(refusal(&envelope), None);

        for bit in 0..envelope.body.len() * 8 {
            let mut body = envelope.body.to_vec();
            body[bit / 8] ^= 1 << (bit % 8);
            let changed = Envelope {
                body: body.into(),
                signatures: envelope.signatures.clone(),
            };
            assert_eq!(refusal(&changed), Some(SignatureError::Forged));
        }
        for bit in 0..64 * 8 {
            let mut changed = envelope.clone();
            changed.signatures[0].1[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(refusal(&changed), Some(SignatureError::Forged));
        }
        for bit in 0..32 * 8 {
            let mut changed = envelope.clone();
            changed.signatures[0].0[bit / 8] ^= 1 << (bit % 8);
            let refused = refusal(&changed);
            assert!(matches!(
                refused,
                Some(SignatureError::Forged | SignatureError::Key)
            ));
        }
    }

    #[test]
    fn a_signature_over_one_type_is_worth_nothing_for_another() {
        let as_note = key(1).sign(&NETWORK, &note());
        let as_memo = key(1).sign(&NETWORK, &Memo(note()));
        assert!(as_note.body == as_memo.body);
        assert!(as_note.verify::<Note>(&NETWORK).is_ok());
        assert!(as_memo.verify::<Memo>(&NETWORK).is_ok());

        assert_eq!(
            as_note.verify::<Memo>(&NETWORK).err(),
            Some(SignatureError::Forged)
        );
        assert_eq!(
            as_memo.verify::<Note>(&NETWORK).err(),
            Some(SignatureError::Forged)
        );
    }

    #[test]
    fn a_signature_of_one_network_is_worth_nothing_in_another() {
        let envelope = key(1).sign(&NETWORK, &note());
        assert!(envelope.verify::<Note>(&NETWORK).is_ok());

        let elsewhere = envelope.verify::<Note>(&NetworkId([8; 32]));

        assert_eq!(elsewhere.err(), Some(SignatureError::Forged));
    }

    #[test]
    fn a_body_that_reads_two_ways_is_refused_though_its_signature_holds() {
        let canonical = note().encode_to_vec();
        let envelope = key(1).sign_bytes::<Note>(&NETWORK, canonical.clone());
        assert_eq!(refusal(&envelope), None);
        let unknown_field = [&canonical[..], &[0x78, 1]].concat();
        let repeated_field = [&canonical[..], &canonical].concat();
        let fields_swapped = [&canonical[canonical.len() - 2..], &canonical[..4]].concat();
        let long_varint = [&canonical[..canonical.len() - 1], &[0x80 | 5, 0]].concat();
        let default_written = b"\x0a\x02hi\x10\x00".to_vec();

        for body in [
            unknown_field,
            repeated_field,
            fields_swapped,
            long_varint,
            default_written,
        ] {
            let envelope = key(1).sign_bytes::<Note>(&NETWORK, body);

            assert!(envelope.claims::<Note>().is_ok());
            assert_eq!(
                refusal(&envelope),
                Some(SignatureError::NotCanonical {
                    domain: Note::DOMAIN
                })
            );
        }
    }

    #[test]
    fn bytes_that_are_no_body_are_refused_though_signed() {
        let envelope = key(1).sign_bytes::<Note>(&NETWORK, b"\x0a\xff".as_slice());
        let expected = MalformedBody {
            domain: Note::DOMAIN,
        };

        assert_eq!(envelope.claims::<Note>().err(), Some(expected));
        assert_eq!(refusal(&envelope), Some(expected.into()));
    }

    #[test]
    fn nobody_and_too_many_and_the_same_twice_are_refused() {
        let mut envelope = key(1).sign(&NETWORK, &note());
        while envelope.signatures.len() < SIGNATURES_MAX {
            let next = key(1 + envelope.signatures.len() as u8);
            envelope.add_signature::<Note>(&next, &NETWORK);
        }
        assert_eq!(refusal(&envelope), None);

        let mut one_more = envelope.clone();
        one_more.add_signature::<Note>(&key(0), &NETWORK);
        let mut twice = envelope.clone();
        twice.signatures[5] = twice.signatures[6];
        let unsigned = Envelope {
            signatures: Vec::new(),
            ..envelope.clone()
        };

        assert_eq!(
            refusal(&one_more),
            Some(SignatureError::TooMany {
                count: SIGNATURES_MAX + 1
            })
        );
        assert_eq!(refusal(&twice), Some(SignatureError::Repeated));
        assert_eq!(refusal(&unsigned), Some(SignatureError::Unsigned));
    }

    #[test]
    fn one_bad_signature_among_good_ones_is_enough() {
        let mut envelope = key(1).sign(&NETWORK, &note());
        envelope.add_signature::<Note>(&key(2), &NETWORK);
        assert_eq!(refusal(&envelope), None);

        envelope.signatures[1].1[0] ^= 1;

        assert_eq!(refusal(&envelope), Some(SignatureError::Forged));
    }

    #[test]
    fn the_signature_that_holds_for_every_message_under_a_weak_key_is_refused() {
        let mut envelope = key(1).sign(&NETWORK, &note());
        assert_eq!(refusal(&envelope), None);
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut forgery = [0; 64];
        forgery[0] = 1;

        envelope.signatures = vec![(identity, forgery)];

        assert_eq!(refusal(&envelope), Some(SignatureError::Key));
    }

    fn refusal(envelope: &Envelope) -> Option<SignatureError> {
        envelope.verify::<Note>(&NETWORK).err()
    }

    fn note() -> Note {
        Note {
            text: "hi".to_owned(),
            number: 5,
        }
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&SecretKey::new([seed; 32]))
    }
}
