//! Charter, credentials, key sets, node records, tickets: whom we trust, and why.
//!
//! Everything here is a plain function of bytes, keys and the time; nothing is fetched or stored.

mod authority;
mod chain;
mod charter;
mod check;
mod credential;
mod describe;
#[cfg(test)]
pub(crate) mod fixture;
mod heartbeat;
mod identity;
mod join;
mod keyset;
mod members;
mod node_record;
mod organization;
mod proposal;
mod rekey;
mod revocation;
mod statement;
mod template;
mod ticket;
mod words;

pub use authority::{AuthorityClaim, AuthorityError, AuthorityOffer};
pub use chain::{Chain, ChainError, Link, Signatures, Standing};
pub use charter::{
    Amendment, CharterError, Founding, Keys, genesis_id, majority, network_id, verify_genesis,
};
pub use check::OrganizationError;
pub use credential::verify_credential;
pub use describe::{Line, describe, differences};
pub use heartbeat::{Heartbeat, HeartbeatError, HeartbeatOffered, Trust, is_beaten, may_beat};
pub use identity::{StoredIdentity, StoredOpeningKey};
pub use join::{Admission, JoinError, verify_join_answer, verify_join_request};
pub use keyset::{verify_key_set, verify_key_set_of};
pub use members::{Member, Members, MembershipError, Offered, Page, Status};
pub use node_record::{capability, verify_node_record, verify_node_record_of};
pub use organization::{
    Charter, Credential, HpkeKey, JoinAnswer, JoinRecord, JoinRequest, JoinState, KeySet, Known,
    NodeRecord, Organization, Rules, Template,
};
pub use proposal::{Proposal, ProposalError, ProposalKind, Proposed};
pub use rekey::{NodeKeyChange, Reissue};
pub use revocation::{ListHead, ListOffered, RevocationError, RevocationList, Revocations};
pub use statement::{StatementError, Subject};
pub use template::{RuleLine, RulesError};
pub use ticket::{Ticket, TicketError, ticket_name};
pub use words::{join_id, key_words};
