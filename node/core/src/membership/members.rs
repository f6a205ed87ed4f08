//! The table of members: what is known of each, never going back.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use super::{
    Charter, Credential, KeySet, Known, NodeRecord, Organization, StatementError,
    credential::verify_credential_at_any_time, keyset::verify_key_set_at_any_time,
    node_record::verify_node_record_at_any_time,
};
use crate::{
    crypto::Envelope,
    types::{MemberId, NetworkId, NodeKey, Timestamp, limits},
};

/// Why what was offered of a member is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// A statement is not believed.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Two different statements with one sequence: somebody signed twice.
    #[error("two statements of {member} have one sequence")]
    Conflict {
        /// Whose.
        member: MemberId,
    },
    /// The node key is another member's.
    #[error("the node key of {member} is another member's")]
    NodeKeyTaken {
        /// Who was offered.
        member: MemberId,
    },
    /// The table is full.
    #[error("the table of members is full")]
    Full,
}

/// How what was offered compares with what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// The member was not known.
    New,
    /// A statement is newer.
    Newer,
    /// Nothing is newer.
    Same,
    /// The credential is older; nothing of it is taken.
    Older,
}

/// Whether a member may be dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its credential is valid.
    Active,
    /// Its credential is over, or has not begun.
    Expired,
}

/// What is known of one member; every statement was verified.
#[derive(Clone)]
pub struct Member {
    known: Known,
    credential: Credential,
    key_set: Option<KeySet>,
    node_record: Option<NodeRecord>,
    last_seen: Option<Timestamp>,
}

impl Member {
    /// Its id.
    pub fn id(&self) -> MemberId {
        self.credential.member
    }

    /// Its node key.
    pub fn node_key(&self) -> NodeKey {
        self.credential.node_key
    }

    /// Its organisation.
    pub fn organization(&self) -> &Organization {
        &self.credential.organization
    }

    /// Its credential.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Its key set, where one is valid at a time.
    pub fn key_set(&self, now: Timestamp) -> Option<&KeySet> {
        self.key_set
            .as_ref()
            .filter(|set| set.check_time(now).is_ok())
    }

    /// Its newest node record, which may be over: an old address is better than none.
    pub fn node_record(&self) -> Option<&NodeRecord> {
        self.node_record.as_ref()
    }

    /// The statements as signed.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// When it last answered or asked, in this run.
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.last_seen
    }

    /// Whether its credential is valid at a time.
    pub fn status(&self, now: Timestamp) -> Status {
        match self.credential.check_time(now) {
            Ok(()) => Status::Active,
            Err(_) => Status::Expired,
        }
    }
}

/// Members in order of id, and where to go on.
#[derive(Clone)]
pub struct Page {
    /// What is known of each.
    pub known: Vec<Known>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// Every member this node knows, itself included. Statements only ever get newer.
#[derive(Clone, Default)]
pub struct Members {
    members: BTreeMap<MemberId, Member>,
    by_node_key: BTreeMap<NodeKey, MemberId>,
}

impl Members {
    /// Judges what a peer offers, at a time, and changes nothing: how it compares, and what would be
    /// known afterwards, to be committed and then given to [`Self::restore`].
    ///
    /// A key set or node record that is only over is left out; one that is not believed refuses all.
    ///
    /// # Errors
    /// [`MembershipError`].
    pub fn consider(
        &self,
        offered: &Known,
        network: &NetworkId,
        charter: &Charter,
        now: Timestamp,
    ) -> Result<(Offered, Known), MembershipError> {
        let (verdict, member) = self.judge(offered, network, charter, Some(now))?;
        Ok((verdict, member.known))
    }

    /// Takes what a peer offers, where it is newer.
    ///
    /// # Errors
    /// [`MembershipError`]; then nothing has changed.
    pub fn offer(
        &mut self,
        offered: &Known,
        network: &NetworkId,
        charter: &Charter,
        now: Timestamp,
    ) -> Result<Offered, MembershipError> {
        let (verdict, member) = self.judge(offered, network, charter, Some(now))?;
        self.accept(verdict, member);
        Ok(verdict)
    }

    /// Takes what the journal says, whatever the time is.
    ///
    /// # Errors
    /// [`MembershipError`]; then nothing has changed.
    pub fn restore(
        &mut self,
        stored: &Known,
        network: &NetworkId,
        charter: &Charter,
    ) -> Result<Offered, MembershipError> {
        let (verdict, member) = self.judge(stored, network, charter, None)?;
        self.accept(verdict, member);
        Ok(verdict)
    }

    /// A member by its id.
    pub fn get(&self, member: &MemberId) -> Option<&Member> {
        self.members.get(member)
    }

    /// A member by its node key.
    pub fn by_node_key(&self, node_key: &NodeKey) -> Option<&Member> {
        self.members.get(self.by_node_key.get(node_key)?)
    }

    /// All, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Notes that a member was heard of.
    pub fn saw(&mut self, member: &MemberId, now: Timestamp) {
        if let Some(known) = self.members.get_mut(member) {
            known.last_seen = Some(now);
        }
    }

    /// Another active member with the same NPI or OID: authorities refuse a second credential.
    pub fn organization_active(
        &self,
        organization: &Organization,
        applicant: MemberId,
        now: Timestamp,
    ) -> Option<MemberId> {
        let same = |other: &Organization| {
            let npi = !organization.npi.is_empty() && organization.npi == other.npi;
            let oid = !organization.oid.is_empty() && organization.oid == other.oid;
            npi || oid
        };
        self.iter()
            .filter(|member| member.id() != applicant && member.status(now) == Status::Active)
            .find(|member| same(member.organization()))
            .map(Member::id)
    }

    /// Up to `limit` active members behind one, at most [`limits::MEMBERS_PAGE_MAX`].
    pub fn page(&self, after: Option<MemberId>, limit: usize, now: Timestamp) -> Page {
        let from = after.map_or(Unbounded, Excluded);
        let mut behind = self
            .members
            .range((from, Unbounded))
            .map(|(_, member)| member)
            .filter(|member| member.status(now) == Status::Active);
        let known = behind
            .by_ref()
            .take(limit.min(limits::MEMBERS_PAGE_MAX))
            .map(|member| member.known.clone())
            .collect();
        Page {
            known,
            more: behind.next().is_some(),
        }
    }

    /// Verifies what is offered and merges it with what is held; no time where time does not matter.
    fn judge(
        &self,
        offered: &Known,
        network: &NetworkId,
        charter: &Charter,
        now: Option<Timestamp>,
    ) -> Result<(Offered, Member), MembershipError> {
        if let Some(held) = self.held(offered) {
            return Ok((Offered::Same, held.clone()));
        }
        let credential = verify_credential_at_any_time(&offered.credential, network, charter)?;
        if let Some(now) = now {
            credential.check_time(now)?;
        }
        let id = credential.member;
        self.check_node_key(&credential)?;
        let (mut verdict, mut member) = match self.members.get(&id) {
            None if self.members.len() >= limits::MEMBERS_MAX => return Err(MembershipError::Full),
            None => (Offered::New, Member::bare(offered, credential)),
            Some(held) if credential.sequence < held.credential.sequence => {
                return Ok((Offered::Older, held.clone()));
            }
            Some(held) if credential.sequence > held.credential.sequence => {
                (Offered::Newer, held.renewed(offered, credential))
            }
            Some(held) if held.known.credential.body != offered.credential.body => {
                return Err(MembershipError::Conflict { member: id });
            }
            Some(held) => (Offered::Same, held.clone()),
        };
        let newer_keys = member.take_key_set(offered.key_set.as_ref(), network, now)?;
        let newer_record = member.take_node_record(offered.node_record.as_ref(), network, now)?;
        if verdict == Offered::Same && (newer_keys || newer_record) {
            verdict = Offered::Newer;
        }
        Ok((verdict, member))
    }

    /// The member, where exactly this is held: peers repeat themselves each minute, and what was
    /// verified once need not be again.
    fn held(&self, offered: &Known) -> Option<&Member> {
        let claimed = offered.credential.claims::<Credential>().ok()?;
        self.members
            .get(&claimed.member)
            .filter(|held| held.known == *offered)
    }

    fn check_node_key(&self, credential: &Credential) -> Result<(), MembershipError> {
        match self.by_node_key.get(&credential.node_key) {
            Some(holder) if *holder != credential.member => Err(MembershipError::NodeKeyTaken {
                member: credential.member,
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn accept(&mut self, verdict: Offered, member: Member) {
        match verdict {
            Offered::New | Offered::Newer => {
                let id = member.id();
                let node_key = member.node_key();
                if let Some(before) = self.members.insert(id, member) {
                    self.by_node_key.remove(&before.node_key());
                }
                self.by_node_key.insert(node_key, id);
            }
            Offered::Same | Offered::Older => {}
        }
    }
}

impl Member {
    fn bare(offered: &Known, credential: Credential) -> Self {
        Self {
            known: Known {
                credential: offered.credential.clone(),
                key_set: None,
                node_record: None,
            },
            credential,
            key_set: None,
            node_record: None,
            last_seen: None,
        }
    }

    /// With a newer credential. What the old node key signed counts no longer once the key is another.
    fn renewed(&self, offered: &Known, credential: Credential) -> Self {
        if credential.node_key != self.credential.node_key {
            return Self::bare(offered, credential);
        }
        let mut renewed = self.clone();
        renewed.known.credential = offered.credential.clone();
        renewed.credential = credential;
        renewed
    }

    fn take_key_set(
        &mut self,
        offered: Option<&Envelope>,
        network: &NetworkId,
        now: Option<Timestamp>,
    ) -> Result<bool, MembershipError> {
        let Some(offered) = offered else {
            return Ok(false);
        };
        let set = verify_key_set_at_any_time(offered, network, self.credential.subject())?;
        let held = self.key_set.as_ref().map(|held| held.sequence);
        let held_body = self.known.key_set.as_ref().map(|held| &held.body);
        if !self.is_newer(set.sequence, held, held_body != Some(&offered.body))? {
            return Ok(false);
        }
        if now.is_some_and(|now| set.check_time(now).is_err()) {
            return Ok(false);
        }
        self.key_set = Some(set);
        self.known.key_set = Some(offered.clone());
        Ok(true)
    }

    fn take_node_record(
        &mut self,
        offered: Option<&Envelope>,
        network: &NetworkId,
        now: Option<Timestamp>,
    ) -> Result<bool, MembershipError> {
        let Some(offered) = offered else {
            return Ok(false);
        };
        let record = verify_node_record_at_any_time(offered, network, self.credential.subject())?;
        let held = self.node_record.as_ref().map(|held| held.sequence);
        let held_body = self.known.node_record.as_ref().map(|held| &held.body);
        if !self.is_newer(record.sequence, held, held_body != Some(&offered.body))? {
            return Ok(false);
        }
        if now.is_some_and(|now| record.check_time(now).is_err()) {
            return Ok(false);
        }
        self.node_record = Some(record);
        self.known.node_record = Some(offered.clone());
        Ok(true)
    }

    fn is_newer(
        &self,
        sequence: u64,
        held: Option<u64>,
        body_differs: bool,
    ) -> Result<bool, MembershipError> {
        match held {
            None => Ok(true),
            Some(held) if sequence == held && body_differs => {
                Err(MembershipError::Conflict { member: self.id() })
            }
            Some(held) => Ok(sequence > held),
        }
    }
}
