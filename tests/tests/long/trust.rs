//! What a node knows of the network itself, folded from its journal: charters, who was thrown out, and
//! since when that is known to be all.

use bytes::Bytes;
use chartmesh_core::{
    crypto::{Body, Envelope},
    membership::{Charter, Heartbeat, RevocationList, Rules},
    types::{MemberId, NetworkId, Purpose, Timestamp},
    wire,
};

use crate::{
    model::{Holder, Model},
    verdict::{Asking, When},
};

/// Something of the network, and since when this node goes by it.
pub(crate) struct Since<T> {
    pub(crate) position: u64,
    pub(crate) at_ms: u64,
    pub(crate) what: T,
}

/// What one node knows of the network.
#[derive(Default)]
pub(crate) struct Trusted {
    pub(crate) charters: Vec<Since<Charter>>,
    pub(crate) lists: Vec<Since<RevocationList>>,
    pub(crate) beats: Vec<Since<Timestamp>>,
    /// What must not be, and is in the journal.
    pub(crate) wrong: Option<&'static str>,
}

/// How a holder stands to an asker, whatever the patient says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    /// The asker was thrown out.
    Out,
    /// Nobody has confirmed for too long who was, and no glass is broken.
    Stale,
}

/// Everybody who signed something, where every signature holds.
pub(crate) fn signers<T: Body>(signed: &Envelope, network: NetworkId) -> Vec<[u8; 32]> {
    let verified = signed.verify::<T>(&network);
    let mut signers = verified.map_or_else(|_| Vec::new(), |it| it.signers().to_vec());
    signers.sort_unstable();
    signers.dedup();
    signers
}

fn until<T>(known: &[Since<T>], position: u64) -> impl Iterator<Item = &Since<T>> {
    known.iter().filter(move |one| one.position <= position)
}

impl Holder {
    /// Whether it was an authority.
    pub(crate) fn is_authority(&self, position: u64) -> bool {
        let known = until(&self.trusted.charters, position).last();
        known.is_some_and(|charter| charter.what.authorities.contains(&self.authority))
    }

    /// How many had to sign.
    pub(crate) fn threshold(&self, position: u64) -> u32 {
        let known = until(&self.trusted.charters, position).last();
        known.map_or(1, |charter| charter.what.threshold)
    }

    /// A list replaces an older one, and lets nobody in again.
    pub(crate) fn take_list(&mut self, body: &Bytes, position: u64, at_ms: u64) -> Option<()> {
        let signed = wire::decode_revocations(body).ok()?;
        let what = signed.claims::<RevocationList>().ok()?;
        if !self.is_by_quorum::<RevocationList>(&signed) {
            self.trusted.wrong = Some("a list that too few have signed");
        }
        if let Some(last) = self.trusted.lists.last() {
            let is_newer = what.version > last.what.version;
            let mut before = last.what.members.iter();
            let is_whole = before.all(|member| what.members.contains(member));
            self.is_turned_back |= !is_newer || !is_whole;
        }
        self.trusted.lists.push(Since {
            position,
            at_ms,
            what,
        });
        Some(())
    }

    pub(crate) fn take_beat(&mut self, body: &Bytes, position: u64, at_ms: u64) -> Option<()> {
        let signed = wire::decode_heartbeat(body).ok()?;
        let what = signed.claims::<Heartbeat>().ok()?.at;
        let signers = self.signers::<Heartbeat>(&signed);
        let mut charters = self.trusted.charters.iter().map(|charter| &charter.what);
        let is_beaten = charters.any(|charter| {
            let keys = charter.status_keys.iter();
            let signed = keys.filter(|key| signers.contains(key)).count();
            signed >= charter.status_threshold as usize
        });
        if !is_beaten {
            self.trusted.wrong = Some("a heartbeat that too few have signed");
        }
        self.trusted.beats.push(Since {
            position,
            at_ms,
            what,
        });
        Some(())
    }

    /// Everybody who signed, where every signature holds.
    fn signers<T: Body>(&self, signed: &Envelope) -> Vec<[u8; 32]> {
        let network = self.charters.network();
        network.map_or_else(Vec::new, |network| signers::<T>(signed, network))
    }

    /// Whether as many authorities of one charter signed as must.
    pub(crate) fn is_by_quorum<T: Body>(&self, signed: &Envelope) -> bool {
        let signers = self.signers::<T>(signed);
        let mut charters = self.trusted.charters.iter();
        charters.any(|charter| {
            let authorities = charter.what.authorities.iter();
            let signed = authorities.filter(|key| signers.contains(key)).count();
            signed >= charter.what.threshold as usize
        })
    }

    pub(crate) fn rules(&self, position: u64) -> Option<&Rules> {
        let known = until(&self.trusted.charters, position).last();
        known.map(|charter| &charter.what.rules)
    }

    /// The fewest questions a day that any charter it went by allows.
    pub(crate) fn locates_per_day(&self) -> u32 {
        let charters = self.trusted.charters.iter();
        let allowed = charters.map(|charter| charter.what.rules.locate_per_day);
        allowed.min().unwrap_or(u32::MAX)
    }

    /// When this node learnt that a member was thrown out.
    pub(crate) fn out_since(&self, member: MemberId) -> Option<&Since<RevocationList>> {
        let mut lists = self.trusted.lists.iter();
        lists.find(|list| list.what.members.contains(&member))
    }

    fn is_stale(&self, when: When) -> bool {
        let Some(rules) = self.rules(when.position) else {
            return false;
        };
        let trusted = &self.trusted;
        let founded = trusted.charters.first().map(|first| first.what.issued_at);
        let list = until(&trusted.lists, when.position).last();
        let beat = until(&trusted.beats, when.position).last();
        let said = [
            founded,
            list.map(|list| list.what.issued_at),
            beat.map(|beat| beat.what),
        ];
        // What says that it was said later than now says nothing.
        let latest = when.clock.plus(rules.clock_window);
        let said = said.into_iter().flatten().filter(|at| *at <= latest);
        let confirmed = said.max().unwrap_or(Timestamp(0));
        when.clock.since(confirmed) > rules.max_staleness
    }
}

impl Model {
    /// How a holder stands to an asker at a moment.
    pub(crate) fn standing(&self, holder: &Holder, asking: Asking, when: When) -> Standing {
        let asker = self.holders[asking.asker].member;
        let out = holder.out_since(asker);
        if out.is_some_and(|list| list.position <= when.position) {
            Standing::Out
        } else if asking.purpose != Purpose::Btg && holder.is_stale(when) {
            Standing::Stale
        } else {
            Standing::Good
        }
    }

    /// Whether a node was thrown out, whoever knows it yet.
    pub(crate) fn is_expelled(&self, index: usize) -> bool {
        let member = self.holders[index].member;
        let mut holders = self.holders.iter();
        holders.any(|holder| holder.out_since(member).is_some())
    }

    /// Who is an authority by the newest charter that anybody goes by.
    pub(crate) fn authorities(&self) -> Vec<usize> {
        let charters = self
            .holders
            .iter()
            .filter_map(|holder| holder.trusted.charters.last());
        let newest = charters.max_by_key(|charter| charter.what.version);
        let holders = self.holders.iter().enumerate();
        let named = holders.filter(|(_, holder)| {
            newest.is_some_and(|newest| newest.what.authorities.contains(&holder.authority))
        });
        named.map(|(index, _)| index).collect()
    }
}
