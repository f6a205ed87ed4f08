//! Sealed messages: one hybrid KEM a session, one cheap seal a message (`protocol.md` 3).
//!
//! The mode is always HPKE base mode and never comes from the wire; the suite is the one of the
//! receiver's key set.

use std::fmt;

use bytes::Bytes;
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, aead, kdf::HkdfSha256, kem::XWing,
};
use rand_core::CryptoRng;

use super::{SecretKey, hash::sha256};
use crate::types::{MemberId, NetworkId};

/// HPKE KEM id of X-Wing (draft-connolly-cfrg-xwing-kem), with HKDF-SHA256 and ChaCha20-Poly1305.
pub const SUITE_XWING: u32 = 0x647A;
/// Bytes of a public sealing key.
pub const SEALING_KEY_BYTES: usize = 1216;
/// Bytes of an encapsulated key.
pub const ENCAPSULATED_BYTES: usize = 1120;

/// Why a message is not sealed or not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A suite this program does not have.
    #[error("suite {suite:#06x} is not supported")]
    Suite {
        /// The suite named.
        suite: u32,
    },
    /// No public key of this suite.
    #[error("a sealing key is malformed")]
    Key,
    /// No encapsulated key of this suite.
    #[error("an encapsulated key is malformed")]
    Encapsulated,
    /// The message does not open under the keys of this session.
    #[error("a sealed message does not open")]
    Integrity,
}

/// The outer header of a sealed message; authenticated together with its ciphertext.
#[derive(Clone, PartialEq, Eq)]
pub struct OuterHeader {
    /// HPKE KEM id; 0x647A is X-Wing.
    pub suite: u32,
    /// Which key of the receiver's key set.
    pub key_id: [u8; 8],
    /// Drawn by the asker.
    pub session: [u8; 16],
    /// Counts the messages of the session.
    pub counter: u64,
    /// HPKE encapsulated key until the first answer of the session is in; then empty.
    pub enc: Bytes,
}

type PrivateKey = <XWing as Kem>::PrivateKey;
type PublicKey = <XWing as Kem>::PublicKey;
type EncappedKey = <XWing as Kem>::EncappedKey;

/// The private half of an entry in a node's key set.
#[derive(Clone)]
pub struct OpeningKey {
    private: PrivateKey,
    public: Bytes,
}

impl OpeningKey {
    /// The key as it was stored; every 32 bytes are one (draft-connolly-cfrg-xwing-kem, 5.2).
    pub fn from_bytes(bytes: &SecretKey) -> Self {
        let private = PrivateKey::from_bytes(&bytes[..]).expect("32 bytes are an X-Wing key");
        let public = Bytes::copy_from_slice(&XWing::sk_to_pk(&private).to_bytes());
        Self { private, public }
    }

    /// The key, to be stored sealed.
    pub fn to_bytes(&self) -> SecretKey {
        let mut bytes = SecretKey::default();
        self.private.write_exact(&mut *bytes);
        bytes
    }

    /// The public half, [`SEALING_KEY_BYTES`] long.
    pub fn public(&self) -> Bytes {
        self.public.clone()
    }

    /// The id of the pair.
    pub fn id(&self) -> [u8; 8] {
        key_id(&self.public)
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpeningKey(..)")
    }
}

/// The public half of an entry in a member's key set, checked.
#[derive(Clone)]
pub struct SealingKey {
    public: PublicKey,
    id: [u8; 8],
}

impl SealingKey {
    /// Reads a public key.
    ///
    /// # Errors
    /// [`SealError::Key`] where the length is wrong or a coefficient is not reduced (FIPS 203, 7.2).
    pub fn parse(bytes: &[u8]) -> Result<Self, SealError> {
        let public = PublicKey::from_bytes(bytes).map_err(|_| SealError::Key)?;
        Ok(Self {
            public,
            id: key_id(bytes),
        })
    }

    /// The id of the pair.
    pub fn id(&self) -> [u8; 8] {
        self.id
    }
}

fn key_id(public: &[u8]) -> [u8; 8] {
    *sha256(&[public]).first_chunk().expect("8 bytes of 32")
}

/// To whom a session is sealed, and where. Both ends must agree in all of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealContext {
    /// The network.
    pub network: NetworkId,
    /// The receiver of the session's questions.
    pub recipient: MemberId,
    /// Which of the receiver's keys.
    pub key_id: [u8; 8],
}

impl SealContext {
    fn info(&self) -> Vec<u8> {
        let mut info = Vec::with_capacity(92);
        for label in [b"chartmesh/1/seal".as_slice(), b"chartmesh/1/session"] {
            info.push(label.len() as u8);
            info.extend_from_slice(label);
        }
        info.extend_from_slice(&self.network.0);
        info.extend_from_slice(&self.recipient.0);
        info.extend_from_slice(&self.key_id);
        info
    }
}

/// The keys of one session, one for each direction. Wipes itself.
#[derive(Clone)]
pub struct SessionKeys {
    to: SecretKey,
    from: SecretKey,
}

/// Begins a session towards a member: what it needs to accept it, and the keys.
pub fn begin_session(
    rng: &mut impl CryptoRng,
    key: &SealingKey,
    context: &SealContext,
) -> (Bytes, SessionKeys) {
    let (enc, exporter) = hpke::setup_sender_with_rng::<aead::ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &key.public,
        &context.info(),
        rng,
    )
    .expect("X-Wing encapsulation to a parsed key cannot fail");
    let keys = SessionKeys::from_exporter(|label, out| exporter.export(label, out));
    (Bytes::copy_from_slice(&enc.to_bytes()), keys)
}

/// Accepts a session. That it succeeds proves nothing yet: a wrong encapsulated key gives keys
/// under which no message opens (FIPS 203, implicit rejection).
///
/// # Errors
/// [`SealError::Encapsulated`] where `enc` is no encapsulated key.
pub fn accept_session(
    key: &OpeningKey,
    enc: &[u8],
    context: &SealContext,
) -> Result<SessionKeys, SealError> {
    let exporter = receiver(&key.private, enc, &context.info())?;
    Ok(SessionKeys::from_exporter(|label, out| {
        exporter.export(label, out)
    }))
}

/// Encapsulates to a key and exports one secret, for what is not a session.
pub(super) fn export_to(
    rng: &mut impl CryptoRng,
    key: &SealingKey,
    info: &[u8],
) -> (Bytes, SecretKey) {
    let (enc, exporter) = hpke::setup_sender_with_rng::<aead::ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &key.public,
        info,
        rng,
    )
    .expect("X-Wing encapsulation to a parsed key cannot fail");
    let mut secret = SecretKey::default();
    exporter
        .export(info, &mut *secret)
        .expect("HKDF gives up to 255 blocks of 32 bytes");
    (Bytes::copy_from_slice(&enc.to_bytes()), secret)
}

/// The other end of [`export_to`].
///
/// # Errors
/// [`SealError::Encapsulated`] where `enc` is no encapsulated key.
pub(super) fn export_from(
    key: &OpeningKey,
    enc: &[u8],
    info: &[u8],
) -> Result<SecretKey, SealError> {
    let exporter = receiver(&key.private, enc, info)?;
    let mut secret = SecretKey::default();
    exporter
        .export(info, &mut *secret)
        .expect("HKDF gives up to 255 blocks of 32 bytes");
    Ok(secret)
}

fn receiver(
    private: &PrivateKey,
    enc: &[u8],
    info: &[u8],
) -> Result<hpke::aead::AeadCtxR<aead::ChaCha20Poly1305, HkdfSha256, XWing>, SealError> {
    let enc = EncappedKey::from_bytes(enc).map_err(|_| SealError::Encapsulated)?;
    hpke::setup_receiver(&OpModeR::Base, private, &enc, info).map_err(|_| SealError::Encapsulated)
}

impl SessionKeys {
    fn from_exporter(export: impl Fn(&[u8], &mut [u8]) -> Result<(), hpke::HpkeError>) -> Self {
        let key = |label: &[u8]| {
            let mut out = SecretKey::default();
            export(label, &mut *out).expect("HKDF gives up to 255 blocks of 32 bytes");
            out
        };
        Self {
            to: key(b"chartmesh/1/session/to"),
            from: key(b"chartmesh/1/session/from"),
        }
    }

    /// Seals a question. A counter is used for one question only; sealing two under one counter
    /// breaks both.
    ///
    /// # Errors
    /// [`SealError::Suite`].
    pub fn seal_question(&self, header: &OuterHeader, plain: &[u8]) -> Result<Bytes, SealError> {
        seal(&self.to, Direction::Question, header, 0, plain)
    }

    /// Opens a question, at the receiver of the session.
    ///
    /// # Errors
    /// [`SealError::Suite`], [`SealError::Integrity`].
    pub fn open_question(
        &self,
        header: &OuterHeader,
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        open(&self.to, Direction::Question, header, 0, ciphertext)
    }

    /// Seals a part of the answer to the question with the header's counter. Each (counter, part)
    /// is used once.
    ///
    /// # Errors
    /// [`SealError::Suite`].
    pub fn seal_answer(
        &self,
        header: &OuterHeader,
        part: u32,
        plain: &[u8],
    ) -> Result<Bytes, SealError> {
        seal(&self.from, Direction::Answer, header, part, plain)
    }

    /// Opens a part of an answer, at the asker.
    ///
    /// # Errors
    /// [`SealError::Suite`], [`SealError::Integrity`].
    pub fn open_answer(
        &self,
        header: &OuterHeader,
        part: u32,
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        open(&self.from, Direction::Answer, header, part, ciphertext)
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Question = 1,
    Answer = 2,
}

fn seal(
    key: &SecretKey,
    direction: Direction,
    header: &OuterHeader,
    part: u32,
    plain: &[u8],
) -> Result<Bytes, SealError> {
    let aad = associated_data(direction, header)?;
    let sealed = ChaCha20Poly1305::new((&**key).into())
        .encrypt(
            &nonce(header, part).into(),
            Payload {
                msg: plain,
                aad: &aad,
            },
        )
        .expect("a message is shorter than the 256 GiB of the cipher");
    Ok(sealed.into())
}

fn open(
    key: &SecretKey,
    direction: Direction,
    header: &OuterHeader,
    part: u32,
    ciphertext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let aad = associated_data(direction, header)?;
    ChaCha20Poly1305::new((&**key).into())
        .decrypt(
            &nonce(header, part).into(),
            Payload {
                msg: ciphertext,
                aad: &aad,
            },
        )
        .map_err(|_| SealError::Integrity)
}

fn nonce(header: &OuterHeader, part: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&part.to_be_bytes());
    nonce[4..].copy_from_slice(&header.counter.to_be_bytes());
    nonce
}

fn associated_data(direction: Direction, header: &OuterHeader) -> Result<Vec<u8>, SealError> {
    if header.suite != SUITE_XWING {
        return Err(SealError::Suite {
            suite: header.suite,
        });
    }
    let enc_len = match header.enc.len() {
        0 | ENCAPSULATED_BYTES => header.enc.len() as u16,
        _ => return Err(SealError::Encapsulated),
    };
    let mut aad = Vec::with_capacity(39 + header.enc.len());
    aad.push(direction as u8);
    aad.extend_from_slice(&header.suite.to_be_bytes());
    aad.extend_from_slice(&header.key_id);
    aad.extend_from_slice(&header.session);
    aad.extend_from_slice(&header.counter.to_be_bytes());
    aad.extend_from_slice(&enc_len.to_be_bytes());
    aad.extend_from_slice(&header.enc);
    Ok(aad)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn both_ends_of_a_session_have_the_same_keys() {
        let (asker, holder, header) = session();
        let answer_header = OuterHeader {
            enc: Bytes::new(),
            ..header.clone()
        };

        let question = asker.seal_question(&header, b"who?").unwrap();
        let answer = holder.seal_answer(&answer_header, 3, b"she").unwrap();

        assert_eq!(holder.open_question(&header, &question).unwrap(), b"who?");
        assert_eq!(
            asker.open_answer(&answer_header, 3, &answer).unwrap(),
            b"she"
        );
    }

    #[test]
    fn every_part_of_the_outer_header_is_authenticated() {
        let (asker, holder, header) = session();
        let question = asker.seal_question(&header, b"who?").unwrap();
        assert!(holder.open_question(&header, &question).is_ok());
        let mut changed_enc = header.enc.to_vec();
        changed_enc[700] ^= 1;

        let changed = [
            OuterHeader {
                key_id: [0; 8],
                ..header.clone()
            },
            OuterHeader {
                session: [0; 16],
                ..header.clone()
            },
            OuterHeader {
                counter: 6,
                ..header.clone()
            },
            OuterHeader {
                enc: changed_enc.into(),
                ..header.clone()
            },
            OuterHeader {
                enc: Bytes::new(),
                ..header.clone()
            },
        ];

        for header in changed {
            assert_eq!(
                holder.open_question(&header, &question),
                Err(SealError::Integrity)
            );
        }
    }

    #[test]
    fn one_changed_bit_of_the_ciphertext_is_refused() {
        let (asker, holder, header) = session();
        let question = asker.seal_question(&header, b"who?").unwrap();
        assert!(holder.open_question(&header, &question).is_ok());

        for bit in 0..question.len() * 8 {
            let mut changed = question.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                holder.open_question(&header, &changed),
                Err(SealError::Integrity)
            );
        }
        assert!(holder.open_question(&header, &question[1..]).is_err());
        assert!(holder.open_question(&header, b"").is_err());
    }

    #[test]
    fn a_question_is_no_answer_and_a_part_no_other_part() {
        let (asker, holder, header) = session();
        let question = asker.seal_question(&header, b"who?").unwrap();
        let answer = holder.seal_answer(&header, 1, b"she").unwrap();
        assert!(holder.open_question(&header, &question).is_ok());
        assert!(asker.open_answer(&header, 1, &answer).is_ok());

        assert!(asker.open_answer(&header, 0, &question).is_err());
        assert!(holder.open_question(&header, &answer).is_err());
        assert!(asker.open_answer(&header, 0, &answer).is_err());
        assert!(asker.open_answer(&header, 2, &answer).is_err());
    }

    #[test]
    fn another_suite_is_neither_sealed_nor_opened() {
        let (asker, holder, header) = session();
        let question = asker.seal_question(&header, b"who?").unwrap();
        assert!(holder.open_question(&header, &question).is_ok());

        for suite in [0, 0x20, 0x11, u32::MAX] {
            let other = OuterHeader {
                suite,
                ..header.clone()
            };
            let refused = SealError::Suite { suite };
            assert_eq!(asker.seal_question(&other, b"who?"), Err(refused));
            assert_eq!(asker.seal_answer(&other, 0, b"she"), Err(refused));
            assert_eq!(holder.open_question(&other, &question), Err(refused));
            assert_eq!(asker.open_answer(&other, 0, &question), Err(refused));
        }
    }

    #[test]
    fn a_session_is_bound_to_network_recipient_and_key() {
        let key = opening_key();
        let (enc, asker) = begin(&key);
        let context = context(&key);
        let header = header(&key, enc.clone());
        let question = asker.seal_question(&header, b"who?").unwrap();
        let opens = |context: SealContext, enc: &[u8], key: &OpeningKey| {
            accept_session(key, enc, &context)
                .and_then(|keys| keys.open_question(&header, &question))
        };
        assert!(opens(context, &enc, &key).is_ok());

        let other_key = OpeningKey::from_bytes(&SecretKey::new([8; 32]));
        let mut changed = enc.to_vec();
        changed[0] ^= 1;
        for refused in [
            opens(
                SealContext {
                    network: NetworkId([0; 32]),
                    ..context
                },
                &enc,
                &key,
            ),
            opens(
                SealContext {
                    recipient: MemberId([0; 16]),
                    ..context
                },
                &enc,
                &key,
            ),
            opens(
                SealContext {
                    key_id: [0; 8],
                    ..context
                },
                &enc,
                &key,
            ),
            opens(context, &enc, &other_key),
            opens(context, &changed, &key),
        ] {
            assert_eq!(refused, Err(SealError::Integrity));
        }
    }

    #[test]
    fn keys_of_another_length_are_refused() {
        let key = opening_key();
        let (enc, _) = begin(&key);
        let public = key.public();
        assert!(SealingKey::parse(&public).is_ok_and(|sealing| sealing.id() == key.id()));
        assert!(accept_session(&key, &enc, &context(&key)).is_ok());
        // A coefficient that is not reduced modulo 3329 (FIPS 203, 7.2).
        let mut unreduced = public.to_vec();
        unreduced[..3].fill(0xFF);
        let longer_enc = [&enc[..], &[0]].concat();

        for bytes in [&public[1..], &unreduced, b""] {
            assert_eq!(SealingKey::parse(bytes).err(), Some(SealError::Key));
        }
        for bytes in [&enc[1..], &longer_enc, b""] {
            assert_eq!(
                accept_session(&key, bytes, &context(&key)).err(),
                Some(SealError::Encapsulated)
            );
        }
    }

    #[test]
    fn an_opening_key_reads_back_and_shows_nothing() {
        let key = OpeningKey::from_bytes(&SecretKey::new([1; 32]));
        let again = OpeningKey::from_bytes(&key.to_bytes());

        assert_eq!(key.public(), again.public());
        assert_eq!(key.public().len(), SEALING_KEY_BYTES);
        assert_eq!(key.id(), sha256(&[&key.public()])[..8]);
        assert_eq!(format!("{key:?}"), "OpeningKey(..)");
    }

    #[test]
    fn the_receiving_side_agrees_with_the_published_vector() {
        let Some(text) = published("crypto/hpke-xwing-hkdfsha256-chacha20poly1305.json") else {
            return;
        };
        let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();

        for vector in vectors.as_array().unwrap() {
            let bytes = |value: &serde_json::Value| {
                let hex = value.as_str().unwrap();
                data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
            };
            let private = bytes(&vector["skRm"]).try_into().unwrap();
            let key = OpeningKey::from_bytes(&SecretKey::new(private));
            let mut context = receiver(
                &key.private,
                &bytes(&vector["enc"]),
                &bytes(&vector["info"]),
            )
            .unwrap();

            assert_eq!(key.public(), bytes(&vector["pkRm"]));
            for export in vector["exports"].as_array().unwrap() {
                let mut out = vec![0; export["L"].as_u64().unwrap() as usize];
                context
                    .export(&bytes(&export["exporter_context"]), &mut out)
                    .unwrap();
                assert_eq!(out, bytes(&export["exported_value"]));
            }
            for message in vector["encryptions"].as_array().unwrap() {
                let plain = context.open(&bytes(&message["ct"]), &bytes(&message["aad"]));
                assert_eq!(plain.unwrap(), bytes(&message["pt"]));
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the published vectors lie outside the repository"
    )]
    fn published(path: &str) -> Option<String> {
        let demanded = std::env::var_os("CHARTMESH_DEMAND_SHARED").is_some();
        let found = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("shared"))
            .chain(std::env::var_os("CHARTMESH_SHARED").map(Into::into))
            .find_map(|folder| std::fs::read_to_string(folder.join("data").join(path)).ok());
        if found.is_none() {
            assert!(!demanded, "shared data missing");
            println!("skipped: shared data missing");
        }
        found
    }

    fn session() -> (SessionKeys, SessionKeys, OuterHeader) {
        let key = opening_key();
        let (enc, asker) = begin(&key);
        let holder = accept_session(&key, &enc, &context(&key)).unwrap();
        (asker, holder, header(&key, enc))
    }

    fn begin(key: &OpeningKey) -> (Bytes, SessionKeys) {
        let sealing = SealingKey::parse(&key.public()).unwrap();
        begin_session(
            &mut ChaCha20Rng::from_seed([2; 32]),
            &sealing,
            &context(key),
        )
    }

    fn opening_key() -> OpeningKey {
        OpeningKey::from_bytes(&SecretKey::new([7; 32]))
    }

    fn context(key: &OpeningKey) -> SealContext {
        SealContext {
            network: NetworkId([3; 32]),
            recipient: MemberId([4; 16]),
            key_id: key.id(),
        }
    }

    fn header(key: &OpeningKey, enc: Bytes) -> OuterHeader {
        OuterHeader {
            suite: SUITE_XWING,
            key_id: key.id(),
            session: [6; 16],
            counter: 5,
            enc,
        }
    }
}
