//! What is wrong with an input, without a word of the input.

use std::fmt;

use crate::types::Code;

/// Where in an input: an entry of a bundle, counted from 0, or the input as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At(pub Option<usize>);

impl At {
    /// In this entry of the bundle.
    pub fn entry(index: usize) -> Self {
        Self(Some(index))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(index) => write!(f, "entry {index}"),
            None => f.write_str("the input"),
        }
    }
}

/// Why an input is refused whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes are no JSON text.
    #[error("no JSON at byte {offset}")]
    Json {
        /// Bytes from the start of the input.
        offset: usize,
    },
    /// A limit on size, depth, count, number or character is passed.
    #[error("{at} passes a limit: {what}")]
    Limit {
        /// Which limit.
        what: &'static str,
        /// Where.
        at: At,
    },
    /// An object names a key twice.
    #[error("an object that ends at byte {offset} names a key twice")]
    DuplicateKey {
        /// Bytes from the start of the input to the end of the object.
        offset: usize,
    },
    /// The JSON is not what FHIR R4 says it is.
    #[error("{at} is not FHIR R4: {what}")]
    Malformed {
        /// What does not hold.
        what: &'static str,
        /// Where.
        at: At,
    },
    /// The resource type is not of R4, or is none that can be imported.
    #[error("{at} is of a resource type that cannot be imported")]
    Type {
        /// Where.
        at: At,
    },
    /// Two patients in an input about one.
    #[error("{at} is about another patient than the rest of the input")]
    Foreign {
        /// Where.
        at: At,
    },
    /// Whom a clinical resource is about cannot be told.
    #[error("{at} does not say which patient it is about")]
    SubjectUnknown {
        /// Where.
        at: At,
    },
    /// The subject is a group, a device or the like.
    #[error("{at} is about something that is no patient")]
    SubjectKind {
        /// Where.
        at: At,
    },
    /// The input is no kind of bundle or resource that can be imported.
    #[error("this kind of input cannot be imported: {what}")]
    Format {
        /// What it is.
        what: &'static str,
    },
    /// An attachment is too large.
    #[error("an attachment in {at} has more than {max_bytes} bytes")]
    TooLarge {
        /// Most bytes.
        max_bytes: usize,
        /// Where.
        at: At,
    },
    /// An attachment is not what its hash or size says.
    #[error("an attachment in {at} differs from its {what}")]
    Integrity {
        /// Hash or size.
        what: &'static str,
        /// Where.
        at: At,
    },
}

impl FormatError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Json { .. } => Code::JsonMalformed,
            Self::Limit { .. } => Code::JsonLimit,
            Self::DuplicateKey { .. } => Code::JsonDuplicateKey,
            Self::Malformed { .. } => Code::FhirMalformed,
            Self::Type { .. } => Code::FhirType,
            Self::Foreign { .. } => Code::SubjectForeign,
            Self::SubjectUnknown { .. } | Self::SubjectKind { .. } => Code::SubjectUnknown,
            Self::Format { .. } => Code::FormatUnknown,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Integrity { .. } => Code::Integrity,
        }
    }
}

/// Something that was left out while the rest came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The stable code.
    pub code: Code,
    /// What was left out, without its value.
    pub text: &'static str,
    /// Where.
    pub at: At,
}

impl Issue {
    pub(super) fn new(text: &'static str, at: At) -> Self {
        Self {
            code: Code::FhirMalformed,
            text,
            at,
        }
    }
}
