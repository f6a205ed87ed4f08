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
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = SecretKey::default();
        rng.fill_bytes(&mut *seed);
        Self::from_bytes(&seed)
    }

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
///
/// # Panics
/// Never: encapsulating to a parsed X-Wing key cannot fail.
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
