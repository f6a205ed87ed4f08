//! Node keys that are replaced and sealing keys that grow old: how it is done, and what must hold.

use std::collections::BTreeMap;

use chartmesh_core::{
    audit::{Entry, Kind as Audited},
    crypto::{Envelope, OpeningKey, SecretKey, SigningKey, sha256},
    membership::{Credential, NodeKeyChange, Reissue, StoredIdentity},
    ports::{Clock, Rpc},
    types::{Code, Incarnation, MemberId, NodeKey, limits::KEY_SET_LIFE},
    wire,
};
use chartmesh_tests::{Frame, Kind, SimNode};

use crate::{
    act::admin,
    doer::{Doer, word},
    model::Holder,
    outcast::ENDS_WITHIN_MS,
    quorum::involved,
    run::{Later, Run},
    shared::{Mark, Shared},
    watch::DECIDED_WITHIN_MS,
};

/// Node keys that one node goes by in one history.
pub(crate) const NODE_KEYS: u8 = 8;
/// How far clocks are off at most, and how much longer a session lives than what it was begun by.
const OFF_MAX_MS: u64 = 30 * 3_600_000;

/// What a credential says of a member, and since when this is known.
pub(crate) struct Named {
    pub(crate) since: u64,
    pub(crate) at_ms: u64,
    pub(crate) sequence: u64,
    pub(crate) key: NodeKey,
}

/// A key that opens what is sealed to a node, and from when on another is to be used.
pub(crate) struct Opening {
    id: [u8; 8],
    followed_ms: Option<u64>,
}

/// Sealing keys of every node, in the order in which they were drawn, and which of them is in use.
#[derive(Default)]
pub(crate) struct Openings {
    drawn: BTreeMap<usize, Vec<Opening>>,
    /// By sender and recipient, in this run of the sender.
    used: BTreeMap<(usize, usize), usize>,
}

impl Holder {
    /// The node key that it goes by.
    pub(crate) fn key(&self) -> NodeKey {
        self.keys[self.key_number]
    }

    /// Whether it knew somebody as a member.
    pub(crate) fn knows(&self, member: MemberId, position: u64) -> bool {
        self.named(member, position).is_some()
    }

    /// The node key by which it knew a member.
    pub(crate) fn key_of(&self, member: MemberId, position: u64) -> Option<NodeKey> {
        self.named(member, position).map(|named| named.key)
    }

    fn named(&self, member: MemberId, position: u64) -> Option<&Named> {
        let named = self.members.get(&member)?.iter().rev();
        let mut known = named.filter(|named| named.since <= position);
        known.next()
    }

    /// A credential takes the place of none that is newer, and none of another key that is as new.
    pub(crate) fn take_credential(
        &mut self,
        signed: &Envelope,
        credential: &Credential,
        (since, at_ms): (u64, u64),
    ) {
        if !self.is_by_quorum::<Credential>(signed) {
            self.trusted.wrong = Some("a credential that too few have signed");
        }
        let is_refused = self.admits_nobody(at_ms);
        let named = self.members.entry(credential.member).or_default();
        let is_newer = named
            .last()
            .is_none_or(|last| last.sequence < credential.sequence);
        if is_refused && is_newer {
            self.trusted.wrong = Some("another credential while two charters are disputed");
        }
        if let Some(last) = named.last() {
            let is_older = credential.sequence < last.sequence;
            let is_other = credential.sequence == last.sequence && credential.node_key != last.key;
            self.is_turned_back |= is_older || is_other;
            if credential.sequence == last.sequence {
                return;
            }
            if credential.node_key != last.key {
                // What the key before said of itself is gone with it.
                self.sequences.remove(&credential.member);
            }
        }
        named.push(Named {
            since,
            at_ms,
            sequence: credential.sequence,
            key: credential.node_key,
        });
    }
}

impl Shared {
    /// Notes which of its keys a node goes by from its start on.
    pub(crate) fn goes_by(&mut self, index: usize, key: NodeKey) {
        self.openings.used.retain(|(from, _), _| *from != index);
        let holder = &mut self.model.holders[index];
        let number = holder.keys.iter().position(|known| *known == key);
        holder.key_number = number.unwrap_or_default();
    }

    /// Whether a node goes by the newest key that anybody has signed for it.
    pub(crate) fn is_current(&self, index: usize) -> bool {
        let holder = &self.model.holders[index];
        let signed = self.model.holders.iter();
        let signed = signed.filter_map(|knower| knower.members.get(&holder.member)?.last());
        let newest = signed.max_by_key(|named| named.sequence);
        newest.is_none_or(|named| named.key == holder.key())
    }

    /// Whether two nodes knew each other, if at all, by the keys that they go by, under one charter.
    pub(crate) fn are_in_step(&self, one: usize, other: usize, since: &Mark) -> bool {
        let knows = |knower: usize, known: usize| {
            let holder = &self.model.holders[known];
            let key = self.model.holders[knower].key_of(holder.member, since.positions[knower]);
            key.is_none_or(|key| key == holder.key())
        };
        let is_current = self.is_current(one) && self.is_current(other);
        let is_one = self.go_by_one_charter(one, other, since);
        is_current && is_one && knows(one, other) && knows(other, one)
    }

    /// Nothing is answered to a key that its member has given up, once the sender knows it.
    pub(crate) fn judge_key(&mut self, frame: &Frame) {
        let is_served = matches!(
            frame.kind,
            Kind::Answer | Kind::Head | Kind::Leaves | Kind::Chunk(_)
        );
        if !is_served || matches!(frame.rpc, Rpc::Join | Rpc::Charters) {
            return;
        }
        let find = |key| self.model.index_by_key(key);
        let (Some(from), Some(to)) = (find(frame.from), find(frame.to)) else {
            return;
        };
        let member = self.model.holders[to].member;
        let named = self.model.holders[from].members.get(&member);
        let Some(named) = named.and_then(|named| named.last()) else {
            return;
        };
        if named.key != frame.to && self.elapsed_ms() > named.at_ms + DECIDED_WITHIN_MS {
            let (rpc, kind) = (frame.rpc, frame.kind);
            self.breaks(format!(
                "node {from} serves node {to} by a key that it has given up: {rpc:?} {kind:?}"
            ));
        }
    }

    /// Nothing is taken of a key that its member has given up, but what was under way.
    pub(crate) fn judge_taken_by(&self, index: usize, entry: &Entry) -> Option<String> {
        let is_taken = matches!(entry.kind, Audited::Received | Audited::ListAsked);
        let partner = &self.model.holders[self.model.index_of(entry.member?)?];
        let named = self.model.holders[index].members.get(&partner.member)?;
        let named = named.last()?;
        let number = partner.keys.iter().position(|key| *key == named.key)?;
        let is_late = self.elapsed_ms() > named.at_ms + ENDS_WITHIN_MS;
        let is_old = partner.key_number < number;
        (is_taken && is_old && is_late && entry.code.is_none())
            .then(|| "taken of a member by a key that it has given up".to_owned())
    }

    /// What is sealed to a member is sealed to no key whose time is over, and to none older than before.
    pub(crate) fn judge_opening_key(&mut self, frame: &Frame) {
        let is_sealed = !matches!(frame.rpc, Rpc::Hello | Rpc::Join | Rpc::Charters);
        if !is_sealed || frame.kind != Kind::Question {
            return;
        }
        let find = |key| self.model.index_by_key(key);
        let (Some(from), Some(to)) = (find(frame.from), find(frame.to)) else {
            return;
        };
        let Ok(sealed) = wire::decode_sealed(&frame.bytes) else {
            return;
        };
        let drawn = self.openings.drawn.get(&to);
        let drawn = drawn.map(Vec::as_slice).unwrap_or_default();
        let number = drawn.iter().position(|key| key.id == sealed.header.key_id);
        let Some(number) = number else {
            self.breaks(format!(
                "node {from} seals to a key that node {to} never had"
            ));
            return;
        };
        let followed = drawn[number].followed_ms;
        let life_ms = KEY_SET_LIFE.0 + OFF_MAX_MS;
        let is_over = followed.is_some_and(|followed| self.elapsed_ms() > followed + life_ms);
        let before = self.openings.used.insert((from, to), number);
        if is_over {
            self.breaks(format!("node {from} seals to an old key of node {to}"));
        }
        if before.is_some_and(|before| number < before) {
            self.breaks(format!(
                "node {from} goes back to an older key of node {to}"
            ));
        }
    }

    /// A node has drawn another key that opens what is sealed to it.
    fn draws(&mut self, index: usize, id: [u8; 8]) {
        let at_ms = self.elapsed_ms();
        let drawn = self.openings.drawn.entry(index).or_default();
        if let Some(before) = drawn.last_mut() {
            before.followed_ms = Some(at_ms);
        }
        drawn.push(Opening {
            id,
            followed_ms: None,
        });
    }
}

/// What a node keeps of its sealing keys, as its daemon does.
pub(crate) fn stored(node: &SimNode) -> StoredIdentity {
    StoredIdentity {
        member: node.member(),
        node_seed: SecretKey::default(),
        next_node_seed: None,
        incarnation: Incarnation::default(),
        audit_seed: SecretKey::default(),
        authority_seed: SecretKey::default(),
        organization: node.identity().organization.clone(),
        opening: Vec::new(),
    }
}

impl Run {
    /// Draws the sealing keys that are due and destroys those whose time is over, as the daemon does each
    /// minute.
    pub(crate) fn renew(&mut self, index: usize) {
        let now = self.slots[index].node.world().now();
        let slot = &mut self.slots[index];
        let is_due = slot.stored.rotation_due(now);
        let has_expired = slot.stored.expire(now);
        if is_due {
            slot.drawn += 1;
            let seed = [
                &self.setting.seed.to_be_bytes()[..],
                &[index as u8, slot.drawn],
            ]
            .concat();
            let key = sha256(&[b"opening", &seed]);
            slot.stored.rotate(SecretKey::new(key), now);
            self.shared()
                .draws(index, OpeningKey::from_bytes(&SecretKey::new(key)).id());
        }
        if is_due || has_expired {
            self.open_with(index);
        }
    }

    /// Gives a node the keys that open what is sealed to it.
    pub(crate) fn open_with(&self, index: usize) {
        let slot = &self.slots[index];
        let keys = slot.stored.opening.iter();
        let keys = keys.map(|key| OpeningKey::from_bytes(&key.private));
        slot.node.install_opening_keys(keys.collect());
    }

    /// A member goes over to another node key, for which an authority is asked.
    pub(crate) fn rekey(&mut self, label: String, node: usize, [by, how, late]: [u32; 3]) {
        // A credential that a charter given up admits takes the place of the one before it.
        if self.shared().is_disputed() {
            return;
        }
        let signs = by;
        let by = if by % 6 == 5 {
            how as usize % self.slots.len()
        } else {
            self.authority(late)
        };
        if self.shared().model.holders[node].key_number + 2 >= usize::from(NODE_KEYS) {
            return;
        }
        let next = self.slots[node].node.next_node_key();
        let (Some(doer), Some(authority)) = (self.doer(node, &label), self.doer(by, &label)) else {
            return;
        };
        let forged = match how % 6 {
            0 => Forged::Unsigned,
            1 => Forged::Stolen,
            _ => Forged::Nothing,
        };
        // Until its operator starts it anew it goes on by the key that it has given up.
        let late_ms = u64::from(2_000 + late % 600_000);
        self.in_time(late_ms, Later::Replace(node));
        let others = self.cosigners(by, &label, signs);
        let nodes = involved(&[node, by], &others);
        self.launch(&nodes, label, doer.rekey(authority, others, (next, forged)));
    }
}

/// What is wrong with a change of key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forged {
    Nothing,
    /// The key that is given up did not sign.
    Unsigned,
    /// It gives up another key than the member's.
    Stolen,
}

impl Doer {
    async fn rekey(
        self,
        mut authority: Self,
        mut others: Vec<Self>,
        (next, forged): (SigningKey, Forged),
    ) {
        let Some(change) = self.change(&next, forged) else {
            return;
        };
        let (member, old) = (self.node.member(), self.node.node_key());
        authority.begin();
        let actor = admin(&self.label);
        let reissued = authority
            .node
            .reissue(&actor, member, &Reissue::Change(change))
            .await;
        authority.note_governed("rekey", word(&reissued), |holder, position| {
            let out = holder.out_since(member);
            if holder.rules(position).is_none() {
                Code::NoNetwork.text()
            } else if holder.is_forked(position) {
                Code::CharterFork.text()
            } else if !holder.is_authority(position) {
                Code::NotAuthority.text()
            } else if !holder.knows(member, position) {
                Code::MemberUnknown.text()
            } else if forged != Forged::Nothing || holder.key_of(member, position) != Some(old) {
                Code::ProposalRefused.text()
            } else if out.is_some_and(|list| list.position <= position) {
                Code::KeyRevoked.text()
            } else {
                "OK"
            }
        });
        if let Ok(approval) = reissued {
            authority.gather(&mut others, &approval.view).await;
        }
        let _learnt_or_told_later = self.node.pull_charters(authority.node.node_key()).await;
    }

    fn change(&self, next: &SigningKey, forged: Forged) -> Option<Envelope> {
        let mut change = match self.node.change_node_key(next) {
            Ok(change) => change,
            Err(error) => {
                self.note("rekey", error.code().text(), None);
                return None;
            }
        };
        match forged {
            Forged::Nothing => {}
            Forged::Unsigned => drop(change.signatures.remove(0)),
            Forged::Stolen => {
                let network = self.node.current_network()?.id;
                let thief = SigningKey::from_seed(&SecretKey::new([99; 32]));
                change = NodeKeyChange::signed(network, self.node.member(), &thief, next);
            }
        }
        Some(change)
    }
}
