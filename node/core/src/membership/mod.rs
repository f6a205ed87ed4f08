//! Charter, credentials, key sets, node records, tickets: whom we trust, and why.

mod organization;

pub use organization::{
    Charter, Credential, HpkeKey, JoinAnswer, JoinRecord, JoinRequest, JoinState, KeySet, Known,
    NodeRecord, Organization, Rules, Template,
};
