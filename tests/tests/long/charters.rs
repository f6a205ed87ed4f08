//! Versions of the charter as a node goes by them, folded from its journal: which follow, which dispute
//! them, which wait (`protocol.md` 1).

use bytes::Bytes;
use chartmesh_core::{
    membership::Charter,
    records::Record,
    types::{NetworkId, Span, Timestamp},
    wire,
};

use crate::{
    model::Holder,
    shared::{Mark, Shared},
    trust::{Since, signers},
    watch::DECIDED_WITHIN_MS,
};

/// How long who holds recovery keys must wait.
const RECOVERY_HOURS: u64 = 72;

/// A valid charter that a node does not go by.
pub(crate) struct Seen {
    hash: [u8; 32],
    charter: Charter,
    /// By its own clock.
    at: Timestamp,
}

/// From a record on two charters of one number are disputed, or are not any more.
struct Dispute {
    position: u64,
    at_ms: u64,
    is_forked: bool,
}

/// The charters of one node.
#[derive(Default)]
pub(crate) struct Charters {
    /// By their numbers, each with its hash.
    links: Vec<([u8; 32], Charter)>,
    seen: Vec<Seen>,
    disputes: Vec<Dispute>,
    /// The commit with which it entered the network.
    entered: u64,
}

/// What lets a charter follow another.
#[derive(PartialEq, Eq)]
enum By {
    Authorities,
    RecoveryKeys,
    Nobody,
}

/// Whether enough have signed that a charter follows another, and the keys that come in.
fn follows(before: &([u8; 32], Charter), next: &Charter, signers: &[[u8; 32]]) -> By {
    let (hash, before) = before;
    let is_next = next.version == before.version + 1 && next.previous == Some(*hash);
    let is_majority = next.threshold as usize * 2 > next.authorities.len();
    let have_all_proved = next
        .authorities
        .iter()
        .all(|key| before.authorities.contains(key) || signers.contains(key));
    if !is_next || !is_majority || !have_all_proved {
        return By::Nobody;
    }
    let count = |keys: &[[u8; 32]]| keys.iter().filter(|key| signers.contains(key)).count();
    let recovering = count(&before.recovery_keys);
    if recovering > 0 {
        let changes_more = next.rules != before.rules || next.template != before.template;
        let is_majority = recovering * 2 > before.recovery_keys.len();
        return if is_majority && !changes_more {
            By::RecoveryKeys
        } else {
            By::Nobody
        };
    }
    if count(&before.authorities) >= before.threshold as usize {
        By::Authorities
    } else {
        By::Nobody
    }
}

impl Charters {
    /// The network's id.
    pub(crate) fn network(&self) -> Option<NetworkId> {
        self.links.first().map(|(hash, _)| NetworkId(*hash))
    }

    /// Hash of the charter it goes by.
    pub(crate) fn in_force(&self) -> Option<[u8; 32]> {
        self.links.last().map(|(hash, _)| *hash)
    }

    /// How many valid charters it knows that it does not go by.
    pub(crate) fn disputed(&self) -> usize {
        self.seen.len()
    }

    /// Whether two charters of one number were disputed at a record.
    fn is_forked(&self, position: u64) -> bool {
        let mut disputes = self.disputes.iter().rev();
        let last = disputes.find(|dispute| dispute.position <= position);
        last.is_some_and(|dispute| dispute.is_forked)
    }

    /// Whether they have been for so long that nothing can be under way any more.
    fn is_long_forked(&self, at_ms: u64) -> bool {
        let last = self.disputes.last();
        last.is_some_and(|last| last.is_forked && last.at_ms + DECIDED_WITHIN_MS < at_ms)
    }

    fn look_again(&mut self, position: u64, at_ms: u64) {
        let known = self.links.len() as u64;
        let is_forked = self.seen.iter().any(|seen| seen.charter.version < known);
        let was_forked = self.disputes.last().is_some_and(|last| last.is_forked);
        if is_forked != was_forked {
            self.disputes.push(Dispute {
                position,
                at_ms,
                is_forked,
            });
        }
    }
}

impl Holder {
    /// Takes a charter that the node goes by from here on.
    pub(crate) fn take_charter(
        &mut self,
        record: &Record,
        body: &Bytes,
        (commit, at_ms): (u64, u64),
    ) -> Option<()> {
        let signed = wire::decode_charter(body).ok()?;
        let (hash, what) = (signed.hash(), signed.claims::<Charter>().ok()?);
        let network = self.charters.network().unwrap_or(NetworkId(hash));
        let signers = signers::<Charter>(&signed, network);
        let wrong = match self.charters.links.last() {
            None => {
                self.charters.entered = commit;
                let founders = what.authorities.iter();
                let founders = founders.filter(|key| signers.contains(key)).count();
                let is_founded = what.version == 0 && founders >= what.threshold as usize;
                (!is_founded).then_some("a charter that founds nothing")
            }
            Some(before) => match follows(before, &what, &signers) {
                By::Nobody => Some("a charter that too few have signed"),
                // Whoever enters takes over what others have waited for.
                By::RecoveryKeys if commit == self.charters.entered => None,
                By::RecoveryKeys => {
                    let mut seen = self.charters.seen.iter();
                    let since = seen.find(|seen| seen.hash == hash).map(|seen| seen.at);
                    let wait = Span::hours(RECOVERY_HOURS);
                    let has_waited = since.is_some_and(|at| record.time.since(at) >= wait);
                    (!has_waited).then_some("a recovery whose time has not come")
                }
                By::Authorities => {
                    let is_disputed = self.charters.is_long_forked(at_ms);
                    is_disputed.then_some("another charter while two are disputed")
                }
            },
        };
        self.trusted.wrong = self.trusted.wrong.or(wrong);
        self.charters.seen.retain(|seen| seen.hash != hash);
        self.goes_on_by(hash, what, (record.position, at_ms));
        Some(())
    }

    fn goes_on_by(&mut self, hash: [u8; 32], what: Charter, (position, at_ms): (u64, u64)) {
        self.charters.links.push((hash, what.clone()));
        self.charters.look_again(position, at_ms);
        self.trusted.charters.push(Since {
            position,
            at_ms,
            what,
        });
    }

    /// Takes a charter that is kept as evidence, or waits.
    pub(crate) fn take_seen(&mut self, record: &Record, body: &Bytes, at_ms: u64) -> Option<()> {
        let signed = wire::decode_charter_seen(body).ok()?;
        let (hash, charter) = (signed.hash(), signed.claims::<Charter>().ok()?);
        let signers = signers::<Charter>(&signed, self.charters.network()?);
        let mut links = self.charters.links.iter();
        let before = links.find(|(hash, _)| Some(*hash) == charter.previous)?;
        if follows(before, &charter, &signers) == By::Nobody {
            self.trusted.wrong = Some("evidence that too few have signed");
        }
        self.charters.seen.push(Seen {
            hash,
            charter,
            at: record.time,
        });
        self.charters.look_again(record.position, at_ms);
        Some(())
    }

    /// Takes what an administrator decided.
    pub(crate) fn take_adopted(&mut self, record: &Record, body: &Bytes, at_ms: u64) -> Option<()> {
        let hash = wire::decode_charter_adopted(body).ok()?;
        let charters = &mut self.charters;
        let chosen = charters.seen.iter().position(|seen| seen.hash == hash);
        let chosen = chosen.map(|place| charters.seen.remove(place));
        let version = match &chosen {
            Some(seen) => seen.charter.version,
            None => {
                let mut links = charters.links.iter();
                links.find(|(link, _)| *link == hash)?.1.version
            }
        };
        charters.seen.retain(|seen| seen.charter.version != version);
        if let Some(seen) = chosen {
            charters.links.truncate(usize::try_from(version).ok()?);
            self.goes_on_by(hash, seen.charter, (record.position, at_ms));
            // What follows the other is nothing to wait for.
            let links: Vec<_> = self.charters.links.iter().map(|(hash, _)| *hash).collect();
            let follows = |seen: &Seen| {
                links
                    .iter()
                    .any(|hash| Some(*hash) == seen.charter.previous)
            };
            self.charters.seen.retain(follows);
        }
        self.charters.look_again(record.position, at_ms);
        Some(())
    }

    /// Whether two charters of one number were disputed.
    pub(crate) fn is_forked(&self, position: u64) -> bool {
        self.charters.is_forked(position)
    }

    /// Whether nobody may become a member, or go over to another key.
    pub(crate) fn admits_nobody(&self, at_ms: u64) -> bool {
        self.charters.is_long_forked(at_ms)
    }
}

impl Holder {
    /// For which of several charters of one number its administrator decides, as all do: for the one
    /// with the lowest hash of those that it knows.
    pub(crate) fn choice(&self, version: u64) -> Option<[u8; 32]> {
        let seen = self.charters.seen.iter();
        let seen = seen.map(|seen| (seen.hash, seen.charter.version));
        let links = self.charters.links.iter();
        let links = links.map(|(hash, charter)| (*hash, charter.version));
        let rivals = seen.chain(links).filter(|(_, number)| *number == version);
        rivals.map(|(hash, _)| hash).min()
    }

    /// Whether it has decided between all charters of one number, and goes by one since a record.
    fn is_decided(&self, since: u64) -> bool {
        let mut positions = since..=self.position();
        let newest = self.trusted.charters.last();
        let is_old = newest.is_none_or(|newest| newest.position <= since);
        is_old && !positions.any(|position| self.is_forked(position))
    }
}

impl Shared {
    /// Whether not everybody may go by one charter any more.
    pub(crate) fn is_disputed(&self) -> bool {
        self.is_forked || self.is_recovered
    }

    /// Whether two nodes go by one charter, where charters are disputed at all. Otherwise the one takes
    /// nobody for a member that only the other's charter admits.
    pub(crate) fn go_by_one_charter(&self, one: usize, other: usize, since: &Mark) -> bool {
        let is_decided = |index: usize| {
            let holder = &self.model.holders[index];
            holder.is_decided(since.positions[index])
        };
        let in_force = |index: usize| self.model.holders[index].charters.in_force();
        let is_disputed = self.is_forked || self.is_recovered;
        !is_disputed || is_decided(one) && is_decided(other) && in_force(one) == in_force(other)
    }
}
