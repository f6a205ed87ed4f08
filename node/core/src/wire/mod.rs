//! Prost messages ⇄ domain values, both directions, and nothing else.

mod message;

pub use message::{
    DocumentEntry, FetchHead, FetchRequest, Head, Hello, ListAnswer, ListRequest, LocateAnswer,
    LocateRequest, Match, MembersAnswer, MembersRequest, Message, Outcome, Refused, ReleaseAnswer,
    ReleaseRequest, Sealed,
};
