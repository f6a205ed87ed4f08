//! Ids: opaque bytes with a text form that is copied with a double click.
//!
//! Text is a prefix and lower-case base32 without padding (`decisions.md` 2); a node's text is its
//! libp2p `PeerId`.

use std::{fmt, str::FromStr};

use data_encoding::{BASE32_NOPAD, HEXLOWER};

use super::Timestamp;

/// Why a text or some bytes are no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The text lacks the prefix of this kind of id.
    #[error("the id does not start with {expected}")]
    Prefix {
        /// What it must start with.
        expected: &'static str,
    },
    /// The text is not base32, base58 or hex, as this kind of id needs.
    #[error("the id is not well formed")]
    Encoding,
    /// The id has another length.
    #[error("the id has {len_bytes} bytes")]
    Length {
        /// Bytes found.
        len_bytes: usize,
    },
}

fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

fn unbase32<const N: usize>(text: &str, prefix: &'static str) -> Result<[u8; N], ParseIdError> {
    let rest = text
        .strip_prefix(prefix)
        .ok_or(ParseIdError::Prefix { expected: prefix })?;
    let bytes = BASE32_NOPAD
        .decode(rest.to_ascii_uppercase().as_bytes())
        .map_err(|_| ParseIdError::Encoding)?;
    let len_bytes = bytes.len();
    bytes
        .try_into()
        .map_err(|_| ParseIdError::Length { len_bytes })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;
            /// What its text starts with.
            pub const PREFIX: &'static str = $prefix;

            /// The bytes as they go on the wire.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = ParseIdError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                <[u8; $len]>::try_from(bytes)
                    .map(Self)
                    .map_err(|_| ParseIdError::Length { len_bytes: bytes.len() })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                f.write_str(&base32(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                unbase32(text, $prefix).map(Self)
            }
        }
    };
}

id!(
    /// Who a member is in audit, handles, consent and revocation; drawn at `init`.
    MemberId, 16, "mem_"
);
id!(
    /// A patient at one holder; never leaves the node.
    PatientId, 16, "pat_"
);
id!(
    /// A document a holder offers.
    DocumentId, 16, "doc_"
);
id!(
    /// A consent on file at a holder.
    ConsentId, 16, "con_"
);
id!(
    /// A disclosure: joins the two audit entries at holder and asker.
    DisclosureId, 16, "dis_"
);
id!(
    /// Pseudonym of a user, as peers see it.
    UserId, 16, "usr_"
);
id!(
    /// One locate question, the same at every member asked.
    QueryId, 16, "qry_"
);
id!(
    /// What authorities are asked to sign: the start of the SHA-256 of its kind and body.
    ProposalId, 16, "pro_"
);
id!(
    /// The random name of a sealed document file.
    FileId, 16, "fil_"
);
id!(
    /// What a holder gave one asker for one patient and purpose (`protocol.md` 4). It confers nothing:
    /// every use decides anew.
    Handle, 20, "hdl_"
);

/// Which copy of a node: 0 for the one that `init` made, else when it was restored, in milliseconds.
///
/// Of two copies only the higher one is heeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// That of a copy that is restored from this one: higher than it whatever the clock says, and than
    /// every other copy of it that was restored earlier.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        Self(now.0.max(self.0.saturating_add(1)))
    }
}

/// The SHA-256 of a network's genesis charter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub [u8; 32]);

impl NetworkId {
    /// The first 8 bytes in hex: what the stream protocol's name carries.
    pub fn short(&self) -> String {
        HEXLOWER.encode(&self.0[..8])
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<&[u8]> for NetworkId {
    type Error = ParseIdError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        <[u8; 32]>::try_from(bytes)
            .map(Self)
            .map_err(|_| ParseIdError::Length {
                len_bytes: bytes.len(),
            })
    }
}

/// A node's Ed25519 public key; its text is the libp2p `PeerId` of that key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey(pub [u8; 32]);

/// Identity multihash of the protobuf-encoded Ed25519 public key (libp2p peer-ids specification).
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&PEER_ID_PREFIX[..], &self.0].concat();
        f.write_str(&bs58::encode(bytes).into_string())
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeKey {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = bs58::decode(text)
            .into_vec()
            .map_err(|_| ParseIdError::Encoding)?;
        let Some(key) = bytes.strip_prefix(&PEER_ID_PREFIX) else {
            return Err(ParseIdError::Encoding);
        };
        Self::try_from(key)
    }
}

impl TryFrom<&[u8]> for NodeKey {
    type Error = ParseIdError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        <[u8; 32]>::try_from(bytes)
            .map(Self)
            .map_err(|_| ParseIdError::Length {
                len_bytes: bytes.len(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_refuses_another_kind_of_id() {
        let patient = PatientId([7; 16]);

        assert_eq!(patient.to_string().parse(), Ok(patient));
        assert_eq!(
            patient.to_string().parse::<DocumentId>(),
            Err(ParseIdError::Prefix { expected: "doc_" })
        );
        assert_eq!(
            "pat_aaaa".parse::<PatientId>(),
            Err(ParseIdError::Length { len_bytes: 2 })
        );
    }

    #[test]
    fn a_node_is_written_as_the_peer_id_of_its_key() {
        let node = NodeKey([1; 32]);
        let text = node.to_string();

        assert!(text.starts_with("12D3KooW"));
        assert_eq!(text.parse(), Ok(node));
        assert_eq!(text[1..].parse::<NodeKey>(), Err(ParseIdError::Encoding));
    }
}
