//! Prost messages ⇄ domain values, both directions, and nothing else.
//!
//! Nothing here verifies, opens or decides. What it checks is form: exact lengths, known terms,
//! sub-messages that must be there, and the limits of [`crate::types::limits`].

mod audit;
mod consent;
mod envelope;
mod exchange;
mod field;
mod head;
mod identity;
mod locate;
mod membership;
mod message;
mod proposal;
mod store;
mod trust;
mod vocabulary;

pub use audit::{decode_audit, encode_audit};
pub use consent::{decode_consent, encode_consent};
pub use envelope::{decode_envelope, decode_sealed, encode_envelope, encode_sealed};
pub use field::WireError;
pub use identity::{decode_identity, encode_identity};
pub use locate::bounded_demographics;
pub use message::{
    CharterAnswer, CharterRequest, DocumentEntry, FetchHead, FetchRequest, Head, Hello, ListAnswer,
    ListRequest, LocateAnswer, LocateRequest, Match, MembersAnswer, MembersRequest, Message,
    Outcome, Propose, ProposeAnswer, Refused, ReleaseAnswer, ReleaseRequest, Sealed, TrustAnswer,
    TrustRequest,
};
pub use proposal::{
    authority_text, decode_charter_adopted, decode_charter_seen, decode_proposal,
    encode_charter_adopted, encode_charter_seen, encode_proposal, node_key_text, parse_authority,
    parse_node_key, parse_proposals, proposals_text,
};
pub use store::{
    decode_charter, decode_checkpoint, decode_document, decode_handle, decode_handle_received,
    decode_heartbeat, decode_join, decode_join_asked, decode_member, decode_patient,
    decode_resource, decode_revocations, decode_revoke, decode_ticket_issued, encode_charter,
    encode_checkpoint, encode_document, encode_handle, encode_handle_received, encode_heartbeat,
    encode_join, encode_join_asked, encode_member, encode_patient, encode_resource,
    encode_revocations, encode_revoke, encode_ticket_issued,
};
