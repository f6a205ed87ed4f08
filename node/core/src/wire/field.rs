//! What every field goes through on its way in: exact lengths, known terms, bounded text.

use prost::Message;

use crate::types::{ParseIdError, Timestamp, limits};

/// Why bytes are no value of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes are no message of this type.
    #[error("the bytes are no message of this type")]
    Encoding,
    /// Encoding the value gives other bytes.
    #[error("the bytes are not in canonical form")]
    NotCanonical,
    /// A field of fixed length has another.
    #[error("a field has {len_bytes} bytes")]
    Length {
        /// Bytes found.
        len_bytes: usize,
    },
    /// A field that must be there is absent.
    #[error("a field is absent")]
    Absent,
    /// A term is unspecified or unknown.
    #[error("a term is unknown")]
    Term,
    /// A code holds a control character, or a date is none.
    #[error("a code or date is malformed")]
    Text,
    /// A field is longer, or stands more often, than allowed.
    #[error("a field passes its limit")]
    Limit,
    /// Two fields contradict each other.
    #[error("two fields contradict each other")]
    Contradiction,
}

impl From<ParseIdError> for WireError {
    fn from(error: ParseIdError) -> Self {
        match error {
            ParseIdError::Length { len_bytes } => Self::Length { len_bytes },
            ParseIdError::Prefix { .. } | ParseIdError::Encoding => Self::Encoding,
        }
    }
}

/// A value with a prost message.
pub(super) trait Wire: Sized {
    /// The generated message.
    type Proto: Message + Default;

    fn to_proto(&self) -> Self::Proto;

    fn from_proto(proto: Self::Proto) -> Result<Self, WireError>;
}

/// The bytes of a value.
pub(super) fn encode<T: Wire>(value: &T) -> Vec<u8> {
    value.to_proto().encode_to_vec()
}

/// Reads a value; the bytes need not be canonical.
pub(super) fn decode<T: Wire>(bytes: &[u8]) -> Result<T, WireError> {
    let proto = T::Proto::decode(bytes).map_err(|_| WireError::Encoding)?;
    T::from_proto(proto)
}

/// Reads a value whose bytes must be the ones its encoding gives.
pub(super) fn decode_canonical<T: Wire>(bytes: &[u8]) -> Result<T, WireError> {
    let value = decode::<T>(bytes)?;
    if encode(&value) != bytes {
        return Err(WireError::NotCanonical);
    }
    Ok(value)
}

/// A term of a vocabulary and its number.
pub(super) trait Term: Sized {
    fn number(self) -> i32;

    fn term(number: i32) -> Result<Self, WireError>;
}

/// Implements [`Wire`] for a signed type as [`crate::crypto::Body`], with its domain constant.
macro_rules! body {
    ($type:ty, $domain:literal) => {
        impl crate::crypto::Body for $type {
            const DOMAIN: &'static str = concat!("chartmesh/1/", $domain);

            fn encode(&self) -> Vec<u8> {
                $crate::wire::field::encode(self)
            }

            fn decode(bytes: &[u8]) -> Result<Self, crate::crypto::MalformedBody> {
                $crate::wire::field::decode(bytes).map_err(|_| crate::crypto::MalformedBody {
                    domain: Self::DOMAIN,
                })
            }
        }
    };
}
pub(super) use body;

/// A message with a head: [`body`], and [`crate::wire::Message`].
macro_rules! message {
    ($type:ty, $domain:literal) => {
        $crate::wire::field::body!($type, $domain);

        impl $crate::wire::Message for $type {
            fn head(&self) -> &$crate::wire::Head {
                &self.head
            }
        }
    };
}
pub(super) use message;

/// Exactly `N` bytes.
pub(super) fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], WireError> {
    bytes.try_into().map_err(|_| WireError::Length {
        len_bytes: bytes.len(),
    })
}

/// Exactly `N` bytes, or none at all.
pub(super) fn optional_array<const N: usize>(bytes: &[u8]) -> Result<Option<[u8; N]>, WireError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    array(bytes).map(Some)
}

/// The bytes of a value that may be absent; absent is empty.
pub(super) fn optional_bytes<const N: usize>(value: Option<[u8; N]>) -> Vec<u8> {
    value.map(|bytes| bytes.to_vec()).unwrap_or_default()
}

/// A sub-message that must be there.
pub(super) fn required<T: Wire>(proto: Option<T::Proto>) -> Result<T, WireError> {
    T::from_proto(proto.ok_or(WireError::Absent)?)
}

/// A sub-message that may be absent.
pub(super) fn optional<T: Wire>(proto: Option<T::Proto>) -> Result<Option<T>, WireError> {
    proto.map(T::from_proto).transpose()
}

/// Sub-messages, at most so many.
pub(super) fn list<T: Wire>(protos: Vec<T::Proto>, max: usize) -> Result<Vec<T>, WireError> {
    bounded_list(&protos, max)?;
    protos.into_iter().map(T::from_proto).collect()
}

/// Checks how many there are.
pub(super) fn bounded_list<T>(values: &[T], max: usize) -> Result<(), WireError> {
    if values.len() > max {
        return Err(WireError::Limit);
    }
    Ok(())
}

/// Terms as numbers.
pub(super) fn numbers<T: Term + Copy>(terms: &[T]) -> Vec<i32> {
    terms.iter().map(|term| term.number()).collect()
}

/// Numbers as terms, at most so many.
pub(super) fn terms<T: Term>(numbers: &[i32], max: usize) -> Result<Vec<T>, WireError> {
    bounded_list(numbers, max)?;
    numbers.iter().map(|number| T::term(*number)).collect()
}

/// Text for people.
pub(super) fn text(value: String) -> Result<String, WireError> {
    at_most(value, limits::TEXT_CHARS_MAX)
}

/// A demographic value.
pub(super) fn demographic(value: String) -> Result<String, WireError> {
    at_most(value, limits::DEMOGRAPHIC_CHARS_MAX)
}

/// A code or an id in text: no control characters.
pub(super) fn code(value: String) -> Result<String, WireError> {
    if value.chars().any(char::is_control) {
        return Err(WireError::Text);
    }
    at_most(value, limits::CODE_CHARS_MAX)
}

/// Codes, at most [`limits::CODES_MAX`].
pub(super) fn codes(values: Vec<String>) -> Result<Vec<String>, WireError> {
    bounded_list(&values, limits::CODES_MAX)?;
    values.into_iter().map(code).collect()
}

/// `YYYY-MM-DD`, or empty for none.
pub(super) fn optional_date(value: String) -> Result<Option<String>, WireError> {
    if value.is_empty() {
        return Ok(None);
    }
    if !is_date(value.as_bytes()) {
        return Err(WireError::Text);
    }
    Ok(Some(value))
}

fn is_date(text: &[u8]) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else {
        return false;
    };
    let digits = [y1, y2, y3, y4, m1, m2, d1, d2];
    if !digits.iter().all(|digit| digit.is_ascii_digit()) {
        return false;
    }
    let month = (m1 - b'0') * 10 + (m2 - b'0');
    let day = (d1 - b'0') * 10 + (d2 - b'0');
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

fn at_most(value: String, max: usize) -> Result<String, WireError> {
    if value.chars().count() > max {
        return Err(WireError::Limit);
    }
    Ok(value)
}

/// A whole number of a larger unit; what does not fit becomes the largest number, which no check accepts.
pub(super) fn units(span_ms: u64, unit_ms: u64) -> u32 {
    u32::try_from(span_ms / unit_ms).unwrap_or(u32::MAX)
}

/// A time, 0 for none.
pub(super) fn optional_time(at_ms: u64) -> Option<Timestamp> {
    (at_ms != 0).then_some(Timestamp(at_ms))
}
