//! Ids, time, vocabulary, every limit, and what may be logged. Knows nothing of any other module.

mod code;
mod id;
pub mod limits;
mod loggable;
mod time;
mod vocabulary;

pub use code::{Code, PeerCode, Sentence};
pub use id::{
    ConsentId, DisclosureId, DocumentId, FileId, Handle, MemberId, NetworkId, NodeKey,
    ParseIdError, PatientId, QueryId, UserId,
};
pub use loggable::Loggable;
pub use time::{Span, Timestamp, is_date};
pub use vocabulary::{Kind, ParseVocabularyError, Purpose, Role, Sex};
