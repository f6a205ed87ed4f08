//! The asker's end: one KEM a session, a counter for each question.

use bytes::Bytes;

use crate::{
    crypto::{OuterHeader, SUITE_XWING, SessionKeys},
    types::{
        Span, Timestamp,
        limits::{CHALLENGE_SLOT, SESSION_MESSAGES_MAX},
    },
};

/// A session this node began with one member.
pub struct Outbound {
    key_id: [u8; 8],
    session: [u8; 16],
    enc: Bytes,
    keys: SessionKeys,
    counter: u64,
    answered: bool,
    begun: Timestamp,
}

/// Younger than a session lives at the holder, so that none dies between question and answer.
const USE_FOR: Span = CHALLENGE_SLOT;

impl Outbound {
    /// Begins with what the KEM gave.
    pub fn new(
        key_id: [u8; 8],
        session: [u8; 16],
        (enc, keys): (Bytes, SessionKeys),
        now: Timestamp,
    ) -> Self {
        Self {
            key_id,
            session,
            enc,
            keys,
            counter: 0,
            answered: false,
            begun: now,
        }
    }

    /// Whether another question may go out in it.
    pub fn usable(&self, now: Timestamp) -> bool {
        now.since(self.begun) < USE_FOR && self.counter < SESSION_MESSAGES_MAX
    }

    /// Takes the next counter. The encapsulated key travels with every question until an answer
    /// proves that the holder has it, since HTTP/2 may deliver concurrent questions in any order.
    pub fn take_counter(&mut self) -> (OuterHeader, SessionKeys) {
        let header = OuterHeader {
            suite: SUITE_XWING,
            key_id: self.key_id,
            session: self.session,
            counter: self.counter,
            enc: if self.answered {
                Bytes::new()
            } else {
                self.enc.clone()
            },
        };
        self.counter += 1;
        (header, self.keys.clone())
    }

    /// Whether it is the session of that name.
    pub fn is(&self, session: [u8; 16]) -> bool {
        self.session == session
    }

    /// An answer of this session opened.
    pub fn answered(&mut self, session: [u8; 16]) {
        self.answered |= self.session == session;
    }
}
