//! Ids, time, vocabulary, every limit. Knows nothing of any other module.

mod code;
mod id;
mod letter;
pub mod limits;
mod time;
mod vocabulary;
mod words;

pub use code::{Code, PeerCode, Sentence};
pub use id::{
    ConsentId, DisclosureId, DocumentId, FileId, Handle, Incarnation, MemberId, NetworkId, NodeKey,
    ParseIdError, PatientId, ProposalId, QueryId, UserId,
};
pub(crate) use letter::turns_direction;
pub use time::{Span, Timestamp, is_date};
pub use vocabulary::{Kind, ParseVocabularyError, Purpose, Role, Sex};
pub(crate) use words::words;
