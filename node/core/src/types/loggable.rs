//! What may stand in a log line.

use super::{
    Code, ConsentId, DisclosureId, DocumentId, MemberId, NetworkId, NodeKey, PeerCode, Purpose,
    Role, Span, Timestamp,
};

/// A value that carries neither payload nor demographics, so that it may be logged.
///
/// The logging macros of the node accept nothing else. [`super::PatientId`] and
/// [`super::Handle`] are left out on purpose: who is a patient where is itself protected.
pub trait Loggable: std::fmt::Display {}

macro_rules! loggable {
    ($($type:ty),* $(,)?) => { $(impl Loggable for $type {})* };
}

loggable!(
    MemberId,
    NodeKey,
    NetworkId,
    DocumentId,
    ConsentId,
    DisclosureId,
    Code,
    PeerCode,
    Purpose,
    Role,
    Timestamp,
    u64,
    u32,
    u16,
    usize,
    i32,
    bool,
);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

impl Loggable for Span {}
impl Loggable for &'static str {}
