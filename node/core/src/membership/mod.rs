//! Charter, credentials, key sets, node records, tickets: whom we trust, and why.
//!
//! Everything here is a plain function of bytes, keys and the time; nothing is fetched or stored.

mod charter;
mod check;
mod credential;
#[cfg(test)]
mod fixture;
mod identity;
mod join;
mod keyset;
mod members;
mod node_record;
mod organization;
mod statement;
mod template;
mod ticket;
mod words;

pub use charter::{CharterError, Founding, genesis_id, network_id, verify_genesis};
pub use check::OrganizationError;
pub use credential::verify_credential;
pub use identity::{StoredIdentity, StoredOpeningKey};
pub use join::{Admission, JoinError, verify_join_answer, verify_join_request};
pub use keyset::{verify_key_set, verify_key_set_of};
pub use members::{Member, Members, MembershipError, Offered, Page, Status};
pub use node_record::{verify_node_record, verify_node_record_of};
pub use organization::{
    Charter, Credential, HpkeKey, JoinAnswer, JoinRecord, JoinRequest, JoinState, KeySet, Known,
    NodeRecord, Organization, Rules, Template,
};
pub use statement::{StatementError, Subject};
pub use template::{RuleLine, RulesError};
pub use ticket::{Ticket, TicketError, ticket_name};
pub use words::join_id;
