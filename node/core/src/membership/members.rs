//! The table of members: what is known of each, never going back.

mod copies;
mod retired;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    ops::Bound::{Excluded, Unbounded},
};

use super::{
    Chain, Credential, KeySet, Known, NodeRecord, Organization, StatementError,
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
    /// The member was thrown out: nothing of it is taken any more.
    #[error("{member} was revoked")]
    Revoked {
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
    /// Its credential is over, has not begun, or was signed by authorities whose word counts no longer.
    Expired,
    /// It was thrown out.
    Revoked,
}

/// What is known of one member; every statement was verified.
#[derive(Clone)]
pub struct Member {
    known: Known,
    credential: Credential,
    key_set: Option<KeySet>,
    node_record: Option<NodeRecord>,
    last_seen: Option<Timestamp>,
    counts: bool,
    revoked: bool,
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

    /// Whether it may be dealt with at a time.
    pub fn status(&self, now: Timestamp) -> Status {
        match self.credential.check_time(now) {
            _ if self.revoked => Status::Revoked,
            Ok(()) if self.counts => Status::Active,
            Ok(()) | Err(_) => Status::Expired,
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
    retired: BTreeMap<NodeKey, MemberId>,
    revoked: BTreeSet<MemberId>,
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
        chain: &Chain,
        now: Timestamp,
    ) -> Result<(Offered, Known), MembershipError> {
        let (verdict, member) = self.judge(offered, network, chain, Some(now))?;
        Ok((verdict, member.known))
    }

    /// The part of the table that judging an offer looks at: to be judged elsewhere, so that no
    /// signature is checked while the table is in use.
    ///
    /// # Errors
    /// [`MembershipError::Full`] where there is no room for another member, or
    /// [`MembershipError::Statement`] where nobody can tell whom the offer is about.
    pub fn concerning(&self, offered: &Known) -> Result<Self, MembershipError> {
        let claimed = offered.claimed()?;
        let held = self.members.get(&claimed.member);
        if held.is_none() && self.members.len() >= limits::MEMBERS_MAX {
            return Err(MembershipError::Full);
        }
        let holder = self.by_node_key(&claimed.node_key);
        let mut part = Self::default();
        part.revoked
            .extend(self.revoked.get(&claimed.member).copied());
        for member in held.into_iter().chain(holder) {
            part.accept(Offered::New, member.clone());
        }
        Ok(part)
    }

    /// Takes what a peer offers, where it is newer.
    ///
    /// # Errors
    /// [`MembershipError`]; then nothing has changed.
    pub fn offer(
        &mut self,
        offered: &Known,
        network: &NetworkId,
        chain: &Chain,
        now: Timestamp,
    ) -> Result<Offered, MembershipError> {
        let (verdict, member) = self.judge(offered, network, chain, Some(now))?;
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
        chain: &Chain,
    ) -> Result<Offered, MembershipError> {
        let (verdict, member) = self.judge(stored, network, chain, None)?;
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
        self.iter()
            .filter(|member| member.id() != applicant && member.status(now) == Status::Active)
            .find(|member| member.organization().is_same_as(organization))
            .map(Member::id)
    }

    /// Up to `limit` active members behind one, at most [`limits::MEMBERS_PAGE_MAX`] and no more than
    /// one message holds.
    pub fn page(&self, after: Option<MemberId>, limit: usize, now: Timestamp) -> Page {
        let from = after.map_or(Unbounded, Excluded);
        let behind = self
            .members
            .range((from, Unbounded))
            .map(|(_, member)| member)
            .filter(|member| member.status(now) == Status::Active);
        let mut page = Page {
            known: Vec::new(),
            more: false,
        };
        let mut len_bytes = 0;
        for member in behind {
            len_bytes += len_of(&member.known);
            let is_full = page.known.len() >= limit.min(limits::MEMBERS_PAGE_MAX)
                || len_bytes > limits::MEMBERS_PAGE_MAX_BYTES;
            if is_full && !page.known.is_empty() {
                page.more = true;
                break;
            }
            page.known.push(member.known.clone());
        }
        page
    }

    /// Verifies what is offered and merges it with what is held; no time where time does not matter.
    fn judge(
        &self,
        offered: &Known,
        network: &NetworkId,
        chain: &Chain,
        now: Option<Timestamp>,
    ) -> Result<(Offered, Member), MembershipError> {
        let claimed = offered.claimed()?;
        let member = claimed.member;
        // What the journal says of a member that was thrown out is history, to be shown.
        if now.is_some() && self.revoked.contains(&member) {
            return Err(MembershipError::Revoked { member });
        }
        if let Some(held) = self.held(member, offered) {
            return Ok((Offered::Same, held.clone()));
        }
        let credential = verify_credential_at_any_time(&offered.credential, network, chain)?;
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
            Some(held) if held.known.credential.body == offered.credential.body => {
                (Offered::Same, held.clone())
            }
            Some(held) if !held.credential.says_the_same(&credential) => {
                return Err(MembershipError::Conflict { member: id });
            }
            // Authorities that could not ask each other have said it twice: everybody takes the same.
            Some(held) if offered.credential.hash() < held.known.credential.hash() => {
                (Offered::Newer, held.renewed(offered, credential))
            }
            Some(held) => (Offered::Same, held.clone()),
        };
        match member.compared(offered.node_record.as_ref()) {
            // A copy of the node that was given up says nothing about it any more.
            Ordering::Less => return Ok((verdict, member)),
            // The clock of the machine on which it was restored may be behind.
            Ordering::Greater => member.forget_key_set(),
            Ordering::Equal => {}
        }
        let newer_keys = member.take_key_set(offered.key_set.as_ref(), network, now)?;
        let newer_record = member.take_node_record(offered.node_record.as_ref(), network, now)?;
        if verdict == Offered::Same && (newer_keys || newer_record) {
            verdict = Offered::Newer;
        }
        Ok((verdict, member))
    }

    /// The member, where exactly this is held: peers repeat themselves each minute, and what was
    /// verified once need not be again.
    fn held(&self, member: MemberId, offered: &Known) -> Option<&Member> {
        self.members
            .get(&member)
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
                let (id, node_key) = (member.id(), member.node_key());
                let revoked = self.revoked.contains(&id);
                let member = Member { revoked, ..member };
                if let Some(before) = self.members.insert(id, member) {
                    self.by_node_key.remove(&before.node_key());
                    self.retire(before.node_key(), id);
                }
                self.retired.remove(&node_key);
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
            counts: true,
            revoked: false,
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
        renewed.counts = true;
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
        let same = record.incarnation == self.incarnation();
        let held = self.node_record.as_ref().filter(|_| same);
        let held = held.map(|held| held.sequence);
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
}

/// An upper bound of the bytes of what is known of a member, in a message.
fn len_of(known: &Known) -> usize {
    /// Key, signature, and what stands in front of each.
    const SIGNATURE_BYTES: usize = 200;
    let envelopes = [
        Some(&known.credential),
        known.key_set.as_ref(),
        known.node_record.as_ref(),
    ];
    let len = |envelope: &Envelope| {
        envelope.body.len() + SIGNATURE_BYTES * (envelope.signatures.len() + 1)
    };
    envelopes.into_iter().flatten().map(len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::SignatureError,
        membership::{
            Amendment,
            fixture::{NOW, Network, key, organization, sign_by, subject},
        },
        types::Span,
    };

    fn offer(
        members: &mut Members,
        network: &Network,
        known: &Known,
    ) -> Result<Offered, MembershipError> {
        members.offer(known, &network.id, &network.chain, NOW)
    }

    fn sign_set(network: &Network, sequence: u64) -> Option<Envelope> {
        Some(key(1).sign(&network.id, &network.key_set(1, sequence)))
    }

    #[test]
    fn a_member_is_new_once_then_the_same() {
        let network = Network::new();
        let mut members = Members::default();

        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::New)
        );
        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::Same)
        );

        let member = members.by_node_key(&subject(1).node_key).unwrap();
        assert_eq!(member.id(), subject(1).member);
        assert!(member.key_set(NOW).is_some() && member.node_record().is_some());
        assert_eq!(members.len(), 1);
    }

    #[test]
    fn considering_changes_nothing() {
        let network = Network::new();
        let members = Members::default();

        let (verdict, known) = members
            .consider(&network.known(1), &network.id, &network.chain, NOW)
            .unwrap();

        assert_eq!(verdict, Offered::New);
        assert!(known == network.known(1));
        assert!(members.is_empty());
        let mut members = members;
        let offered = offer(&mut members, &network, &known);
        assert_eq!(offered, Ok(Offered::New));
        assert!(!members.is_empty());
    }

    #[test]
    fn the_part_that_concerns_an_offer_judges_it_as_the_whole_does() {
        let network = Network::new();
        let mut members = Members::default();
        for number in [1, 2] {
            offer(&mut members, &network, &network.known(number)).unwrap();
        }
        let mut newer = network.known(1);
        newer.key_set = sign_set(&network, 2);
        let mut stolen = network.credential(3, 1);
        stolen.node_key = subject(2).node_key;
        let thief = Known {
            credential: network.sign(&stolen),
            key_set: None,
            node_record: None,
        };

        members.revoke(&BTreeSet::from([subject(4).member]));

        for known in [
            network.known(1),
            newer,
            network.known(3),
            network.known(4),
            thief,
        ] {
            let part = members.concerning(&known).unwrap();
            assert!(part.len() <= 2);
            let judge = |table: &Members| {
                let judged = table.consider(&known, &network.id, &network.chain, NOW);
                judged.map(|(offered, after)| (offered, after == known))
            };
            assert_eq!(judge(&part), judge(&members));
        }
    }

    #[test]
    fn an_older_key_set_or_record_never_comes_back() {
        let network = Network::new();
        let mut members = Members::default();
        let mut newer = network.known(1);
        newer.key_set = sign_set(&network, 2);
        assert_eq!(offer(&mut members, &network, &newer), Ok(Offered::New));

        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::Same)
        );

        let member = members.get(&subject(1).member).unwrap();
        assert_eq!(member.key_set(NOW).unwrap().sequence, 2);
        newer.key_set = sign_set(&network, 3);
        assert_eq!(offer(&mut members, &network, &newer), Ok(Offered::Newer));
    }

    #[test]
    fn an_older_credential_is_not_taken() {
        let network = Network::new();
        let mut members = Members::default();
        let mut newer = network.known(1);
        newer.credential = network.sign(&network.credential(1, 2));
        assert_eq!(offer(&mut members, &network, &newer), Ok(Offered::New));

        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::Older)
        );

        let member = members.get(&subject(1).member).unwrap();
        assert_eq!(member.credential().sequence, 2);
    }

    #[test]
    fn two_statements_of_one_sequence_are_a_conflict() {
        let network = Network::new();
        let mut members = Members::default();
        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::New)
        );
        let conflict = Err(MembershipError::Conflict {
            member: subject(1).member,
        });

        let mut other = network.known(1);
        let mut credential = network.credential(1, 1);
        credential.organization.phone = "+1 555 0199".to_owned();
        other.credential = network.sign(&credential);
        assert_eq!(offer(&mut members, &network, &other), conflict);
        other = network.known(1);
        let mut set = network.key_set(1, 1);
        set.audit_key = key(98).public();
        other.key_set = Some(key(1).sign(&network.id, &set));
        assert_eq!(offer(&mut members, &network, &other), conflict);
    }

    #[test]
    fn of_two_credentials_that_say_the_same_everybody_takes_one() {
        let network = Network::new();
        let drawn_up = |later_ms: u64| {
            let mut credential = network.credential(1, 1);
            credential.valid_from = credential.valid_from.plus(Span(later_ms));
            Known {
                credential: network.sign(&credential),
                ..network.known(1)
            }
        };
        let (one, other) = (drawn_up(0), drawn_up(1));

        for [first, second] in [[&one, &other], [&other, &one]] {
            let mut members = Members::default();
            offer(&mut members, &network, first).unwrap();
            let offered = offer(&mut members, &network, second).unwrap();

            let is_smaller = second.credential.hash() < first.credential.hash();
            assert_eq!(offered == Offered::Newer, is_smaller);
            let taken = if is_smaller { second } else { first };
            let held = members.get(&subject(1).member).unwrap();
            assert!(held.known().credential.body == taken.credential.body);
        }
    }

    #[test]
    fn another_node_key_needs_a_higher_sequence_and_ends_what_the_old_key_signed() {
        let network = Network::new();
        let mut members = Members::default();
        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::New)
        );
        let rekeyed = |sequence| {
            let mut credential = network.credential(1, sequence);
            credential.node_key = subject(2).node_key;
            Known {
                credential: network.sign(&credential),
                key_set: None,
                node_record: None,
            }
        };

        assert!(matches!(
            offer(&mut members, &network, &rekeyed(1)),
            Err(MembershipError::Conflict { .. })
        ));
        assert_eq!(
            offer(&mut members, &network, &rekeyed(2)),
            Ok(Offered::Newer)
        );

        assert!(members.by_node_key(&subject(1).node_key).is_none());
        let member = members.by_node_key(&subject(2).node_key).unwrap();
        assert!(member.key_set(NOW).is_none() && member.node_record().is_none());
    }

    #[test]
    fn a_node_key_belongs_to_one_member() {
        let network = Network::new();
        let mut members = Members::default();
        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::New)
        );
        assert_eq!(
            offer(&mut members, &network, &network.known(2)),
            Ok(Offered::New)
        );

        let mut credential = network.credential(3, 1);
        credential.node_key = subject(1).node_key;
        let stolen = Known {
            credential: network.sign(&credential),
            key_set: None,
            node_record: None,
        };

        let error = Err(MembershipError::NodeKeyTaken {
            member: subject(3).member,
        });
        assert_eq!(offer(&mut members, &network, &stolen), error);
    }

    #[test]
    fn a_key_set_signed_by_another_refuses_all_that_came_with_it() {
        let network = Network::new();
        let mut members = Members::default();
        let mut forged = network.known(1);
        forged.key_set = Some(key(2).sign(&network.id, &network.key_set(1, 1)));

        let refused = offer(&mut members, &network, &forged);

        assert_eq!(
            refused,
            Err(MembershipError::Statement(StatementError::Signer))
        );
        assert!(members.is_empty());
        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::New)
        );
    }

    #[test]
    fn an_expired_member_is_restored_from_the_journal_but_not_taken_from_a_peer() {
        let network = Network::new();
        let later = NOW.plus(Span::days(366));
        let mut members = Members::default();
        assert_eq!(
            offer(&mut members.clone(), &network, &network.known(1)),
            Ok(Offered::New)
        );

        let from_peer = members.offer(&network.known(1), &network.id, &network.chain, later);
        assert!(matches!(
            from_peer,
            Err(MembershipError::Statement(StatementError::Expired { .. }))
        ));
        let restored = members.restore(&network.known(1), &network.id, &network.chain);
        assert_eq!(restored, Ok(Offered::New));

        let member = members.get(&subject(1).member).unwrap();
        assert_eq!(member.status(NOW), Status::Active);
        assert_eq!(member.status(later), Status::Expired);
        assert!(member.key_set(later).is_none());
        assert!(members.page(None, 10, later).known.is_empty());
    }

    #[test]
    fn a_key_set_that_is_over_is_left_out_and_the_member_taken() {
        let network = Network::new();
        let later = NOW.plus(Span::days(8));
        let mut members = Members::default();

        let taken = members.offer(&network.known(1), &network.id, &network.chain, later);

        assert_eq!(taken, Ok(Offered::New));
        let member = members.get(&subject(1).member).unwrap();
        assert!(member.known().key_set.is_none() && member.known().node_record.is_none());
    }

    #[test]
    fn an_npi_or_oid_of_another_active_member_is_found() {
        let network = Network::new();
        let mut credential = network.credential(1, 1);
        credential.organization = organization();
        credential.organization.oid = "2.999.1".to_owned();
        let mut members = Members::default();
        let known = Known {
            credential: network.sign(&credential),
            key_set: None,
            node_record: None,
        };
        assert_eq!(offer(&mut members, &network, &known), Ok(Offered::New));
        let mut same = organization();
        let found = |same: &Organization, applicant, now| {
            members.organization_active(same, subject(applicant).member, now)
        };

        assert_eq!(found(&same, 2, NOW), Some(subject(1).member));
        assert_eq!(found(&same, 1, NOW), None);
        assert_eq!(found(&same, 2, NOW.plus(Span::days(366))), None);
        same.npi.clear();
        assert_eq!(found(&same, 2, NOW), None);
        same.oid = "2.999.1".to_owned();
        assert_eq!(found(&same, 2, NOW), Some(subject(1).member));
    }

    #[test]
    fn pages_go_on_behind_the_last_until_there_are_no_more() {
        let network = Network::new();
        let mut members = Members::default();
        for number in 1..=5 {
            assert_eq!(
                offer(&mut members, &network, &network.known(number)),
                Ok(Offered::New)
            );
        }

        let first = members.page(None, 2, NOW);
        let second = members.page(Some(subject(2).member), 2, NOW);
        let last = members.page(Some(subject(4).member), 2, NOW);

        assert_eq!((first.known.len(), first.more), (2, true));
        assert!(second.known[0] == network.known(3) && second.more);
        assert_eq!((last.known.len(), last.more), (1, false));
    }

    #[test]
    fn a_page_is_never_larger_than_one_message_may_be() {
        let network = Network::new();
        let mut members = Members::default();
        let mut known = network.known(1);
        let four = (1..=limits::KEY_SET_KEYS_MAX as u8).map(|number| {
            let set = network.key_set(number, 1);
            set.keys[0].clone()
        });
        let set = KeySet::issue(subject(1), 1, four.collect(), key(99).public(), NOW).unwrap();
        known.key_set = Some(key(1).sign(&network.id, &set));
        assert_eq!(offer(&mut members, &network, &known), Ok(Offered::New));
        let one = members.get(&subject(1).member).unwrap().clone();
        for number in 1..=limits::MEMBERS_PAGE_MAX as u8 {
            members.members.insert(MemberId([number; 16]), one.clone());
        }
        assert!(!members.page(None, limits::MEMBERS_PAGE_MAX, NOW).more);
        members.members.insert(MemberId([0xFF; 16]), one);

        let page = members.page(None, usize::MAX, NOW);

        let bytes = |envelope: &Envelope| envelope.body.len() + 200 * envelope.signatures.len();
        let size: usize = page
            .known
            .iter()
            .flat_map(|known| {
                [
                    Some(&known.credential),
                    known.key_set.as_ref(),
                    known.node_record.as_ref(),
                ]
            })
            .flatten()
            .map(bytes)
            .sum();
        assert_eq!(page.known.len(), limits::MEMBERS_PAGE_MAX);
        assert!(page.more);
        assert!(size < limits::PEER_MESSAGE_MAX_BYTES, "{size}");
    }

    #[test]
    fn a_page_of_members_who_say_much_ends_before_a_message_does() {
        let network = Network::new();
        let mut members = Members::default();
        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::New)
        );
        let mut one = members.get(&subject(1).member).unwrap().clone();
        let mut body = one.known.credential.body.to_vec();
        body.resize(20_000, 0);
        one.known.credential.body = body.into();
        for number in 1..=limits::MEMBERS_PAGE_MAX as u8 {
            members.members.insert(MemberId([number; 16]), one.clone());
        }

        let mut after = None;
        let mut seen = 0;
        loop {
            let page = members.page(after, usize::MAX, NOW);
            let len_bytes: usize = page.known.iter().map(len_of).sum();
            assert!(len_bytes <= limits::MEMBERS_PAGE_MAX_BYTES, "{len_bytes}");
            seen += page.known.len();
            after = Some(MemberId([seen as u8; 16]));
            if !page.more {
                break;
            }
        }

        assert_eq!(seen, members.members.len());
    }

    #[test]
    fn a_full_table_takes_no_new_member() {
        let network = Network::new();
        let mut members = Members::default();
        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::New)
        );
        let one = members.get(&subject(1).member).unwrap().clone();
        for number in 1..limits::MEMBERS_MAX as u64 {
            let mut id = [0xEE; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            members.members.insert(MemberId(id), one.clone());
        }

        assert_eq!(members.len(), limits::MEMBERS_MAX);
        let concerning = |members: &Members, number| {
            let part = members.concerning(&network.known(number));
            part.map(|part| part.len())
        };
        assert_eq!(concerning(&members, 1), Ok(1));

        assert_eq!(concerning(&members, 2), Err(MembershipError::Full));
        assert_eq!(
            offer(&mut members, &network, &network.known(2)),
            Err(MembershipError::Full)
        );
        members.members.pop_first();
        assert_eq!(concerning(&members, 2), Ok(0));
        assert_eq!(
            offer(&mut members, &network, &network.known(2)),
            Ok(Offered::New)
        );
    }

    #[test]
    fn a_page_is_filled_to_the_last_byte() {
        let network = Network::new();
        let mut members = Members::default();
        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::New)
        );
        let mut half = members.get(&subject(1).member).unwrap().clone();
        half.known.key_set = None;
        half.known.node_record = None;
        let envelope = &mut half.known.credential;
        let signatures_bytes = envelope.signatures.len() * (32 + 64);
        envelope.body = vec![0; limits::MEMBERS_PAGE_MAX_BYTES / 2 - 600].into();
        assert_eq!(len_of(&half.known), limits::MEMBERS_PAGE_MAX_BYTES / 2);
        assert!(signatures_bytes < 600, "what it must at least allow for");
        let mut more = half.clone();
        let body = vec![0; half.known.credential.body.len() + 1];
        more.known.credential.body = body.into();
        let mut page = |second| {
            members.members.insert(MemberId([1; 16]), half.clone());
            members.members.insert(MemberId([2; 16]), second);
            let page = members.page(None, usize::MAX, NOW);
            (page.known.len(), page.more)
        };

        assert_eq!(page(half.clone()), (2, false));
        assert_eq!(page(more), (1, true));
    }

    #[test]
    fn a_member_was_seen_when_it_was_last_heard_of() {
        let network = Network::new();
        let mut members = Members::default();
        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::New)
        );
        let seen = |members: &Members| members.get(&subject(1).member)?.last_seen();
        assert_eq!(seen(&members), None);

        members.saw(&subject(2).member, NOW);
        assert_eq!(seen(&members), None);
        members.saw(&subject(1).member, NOW);
        assert_eq!(seen(&members), Some(NOW));
    }

    #[test]
    fn what_is_held_is_not_verified_again() {
        let network = Network::new();
        let mut members = Members::default();
        let mut known = network.known(1);
        assert_eq!(offer(&mut members, &network, &known), Ok(Offered::New));

        // Forged, had anybody looked.
        let held = members.members.get_mut(&subject(1).member).unwrap();
        held.known.credential.signatures[0].1 = [0; 64];
        known.credential.signatures[0].1 = [0; 64];

        assert_eq!(offer(&mut members, &network, &known), Ok(Offered::Same));
        let elsewhere = offer(&mut Members::default(), &network, &known);
        let forged = StatementError::Signature(SignatureError::Forged);
        assert_eq!(elsewhere, Err(MembershipError::Statement(forged)));
    }

    #[test]
    fn a_node_key_that_is_in_use_again_is_not_retired() {
        let network = Network::new();
        let mut members = Members::default();
        let go_over = |members: &mut Members, node: u8, sequence| {
            let mut credential = network.credential(1, sequence);
            credential.node_key = subject(node).node_key;
            let known = Known {
                credential: network.sign(&credential),
                key_set: None,
                node_record: None,
            };
            assert!(offer(members, &network, &known).is_ok());
        };
        let retired = |members: &Members, node: u8| {
            let member = members.by_retired_key(&subject(node).node_key);
            member.map(Member::id)
        };
        go_over(&mut members, 1, 1);
        go_over(&mut members, 2, 2);
        assert_eq!(retired(&members, 1), Some(subject(1).member));

        go_over(&mut members, 1, 3);

        assert_eq!(retired(&members, 1), None);
        assert_eq!(retired(&members, 2), Some(subject(1).member));
    }

    #[test]
    fn a_member_whose_authorities_word_counts_no_longer_is_active_again_once_others_signed() {
        let network = Network::new();
        let mut members = Members::default();
        assert_eq!(
            offer(&mut members, &network, &network.known(1)),
            Ok(Offered::New)
        );
        let status = |members: &Members| members.get(&subject(1).member).unwrap().status(NOW);
        let mut chain = network.chain.clone();
        let amendment = Amendment {
            add: vec![(key(110).public(), key(111).public())],
            remove: vec![key(101).public(), key(102).public()],
            counts_from: Some(1),
            ..Amendment::default()
        };
        let next = chain.in_force().amended(&amendment, NOW, [3; 16]).unwrap();
        let signers = [key(101), key(102), key(110)];
        chain.push(&sign_by(&next, &network.id, &signers)).unwrap();
        members.recount(&network.chain);
        assert_eq!(status(&members), Status::Active);

        members.recount(&chain);
        assert_eq!(status(&members), Status::Expired);

        let by_others = Known {
            credential: sign_by(
                &network.credential(1, 2),
                &network.id,
                &[key(103), key(110)],
            ),
            ..network.known(1)
        };
        let renewed = members.offer(&by_others, &network.id, &chain, NOW);
        assert_eq!(renewed, Ok(Offered::Newer));
        assert_eq!(status(&members), Status::Active);
    }
}
