//! Envelopes and sealed messages as they cross the wire.

use bytes::Bytes;
use chartmesh_proto::{body as proto, peer};

use super::{
    Sealed,
    field::{Wire, WireError, array, bounded_list, decode_canonical, encode},
};
use crate::{
    crypto::{ENCAPSULATED_BYTES, Envelope, OuterHeader},
    types::limits,
};

/// The bytes of a signed message (`body.v1.Signed`).
pub fn encode_envelope(envelope: &Envelope) -> Bytes {
    encode(envelope).into()
}

/// Reads a signed message; nothing is verified.
///
/// # Errors
/// [`WireError`] where the bytes are no `body.v1.Signed` in canonical form, or past a limit.
pub fn decode_envelope(bytes: &[u8]) -> Result<Envelope, WireError> {
    within_message(bytes)?;
    decode_canonical(bytes)
}

/// The bytes of a sealed message (`peer.v1.Sealed`).
pub fn encode_sealed(sealed: &Sealed) -> Bytes {
    encode(sealed).into()
}

/// Reads a sealed message; nothing is opened.
///
/// # Errors
/// [`WireError`] where the bytes are no `peer.v1.Sealed` in canonical form, or past a limit.
pub fn decode_sealed(bytes: &[u8]) -> Result<Sealed, WireError> {
    within_message(bytes)?;
    decode_canonical(bytes)
}

fn within_message(bytes: &[u8]) -> Result<(), WireError> {
    bounded_list(bytes, limits::PEER_MESSAGE_MAX_BYTES)
}

impl Wire for Envelope {
    type Proto = proto::Signed;

    fn to_proto(&self) -> proto::Signed {
        proto::Signed {
            body: self.body.to_vec(),
            signature: self
                .signatures
                .iter()
                .map(|(key, value)| proto::Signature {
                    key: key.to_vec(),
                    value: value.to_vec(),
                })
                .collect(),
        }
    }

    fn from_proto(proto: proto::Signed) -> Result<Self, WireError> {
        bounded_list(&proto.signature, limits::SIGNATURES_MAX)?;
        let signatures = proto
            .signature
            .iter()
            .map(|signature| Ok((array(&signature.key)?, array(&signature.value)?)))
            .collect::<Result<_, WireError>>()?;
        Ok(Self {
            body: proto.body.into(),
            signatures,
        })
    }
}

impl Wire for Sealed {
    type Proto = peer::Sealed;

    fn to_proto(&self) -> peer::Sealed {
        peer::Sealed {
            suite: self.header.suite,
            key_id: self.header.key_id.to_vec(),
            session: self.header.session.to_vec(),
            counter: self.header.counter,
            enc: self.header.enc.to_vec(),
            ciphertext: self.ciphertext.to_vec(),
        }
    }

    fn from_proto(proto: peer::Sealed) -> Result<Self, WireError> {
        if !proto.enc.is_empty() && proto.enc.len() != ENCAPSULATED_BYTES {
            return Err(WireError::Length {
                len_bytes: proto.enc.len(),
            });
        }
        if proto.ciphertext.is_empty() {
            return Err(WireError::Absent);
        }
        Ok(Self {
            header: OuterHeader {
                suite: proto.suite,
                key_id: array(&proto.key_id)?,
                session: array(&proto.session)?,
                counter: proto.counter,
                enc: proto.enc.into(),
            },
            ciphertext: proto.ciphertext.into(),
        })
    }
}
