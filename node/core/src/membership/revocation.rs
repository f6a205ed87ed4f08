//! The revocation list: one a network, signed by its authorities, which only grows (`protocol.md` 1).

use std::collections::BTreeSet;

use super::{Chain, StatementError};
use crate::{
    crypto::{Envelope, SignatureError},
    types::{MemberId, NetworkId, Timestamp, limits::REVOKED_MAX},
};

/// Why a revocation list is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// A signature does not hold, or the body is not canonical.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Fewer authorities signed than must, or somebody else signed too.
    #[error(transparent)]
    Quorum(#[from] StatementError),
    /// Of another network.
    #[error("of another network")]
    Network,
    /// Version 0, or a first version that names one before it, or a later one that names none.
    #[error("version {version} does not stand where it says")]
    Version {
        /// Which.
        version: u64,
    },
    /// The members are not distinct and ascending.
    #[error("the members are not distinct and ascending")]
    Order,
    /// It names nobody, or more members than a list may.
    #[error("the list names {count} members")]
    Count {
        /// How many.
        count: usize,
    },
    /// Issued later than any clock can show.
    #[error("issued at {issued_at}, which has not come")]
    NotYet {
        /// When it says it was issued.
        issued_at: Timestamp,
    },
}

/// The members a network has thrown out, as its authorities sign it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// The network.
    pub network: NetworkId,
    /// 1 for the first.
    pub version: u64,
    /// SHA-256 of the version before; none in the first.
    pub previous: Option<[u8; 32]>,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// Who was thrown out, ascending.
    pub members: Vec<MemberId>,
}

impl RevocationList {
    pub(super) fn check(&self, network: &NetworkId) -> Result<(), RevocationError> {
        if self.network != *network {
            return Err(RevocationError::Network);
        }
        let version = self.version;
        if version == 0 || (version == 1) != self.previous.is_none() {
            return Err(RevocationError::Version { version });
        }
        let count = self.members.len();
        if count == 0 || count > REVOKED_MAX {
            return Err(RevocationError::Count { count });
        }
        if !self.members.is_sorted_by(|earlier, later| earlier < later) {
            return Err(RevocationError::Order);
        }
        Ok(())
    }
}

/// Which revocation list somebody goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListHead {
    /// Its version.
    pub version: u64,
    /// SHA-256 of its body.
    pub hash: [u8; 32],
    /// When it was signed.
    pub issued_at: Timestamp,
}

/// How a list that was offered compares with the one held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOffered {
    /// It is newer and follows.
    Newer,
    /// It is newer, and contradicts the one held: not its successor, or it names fewer.
    Fork,
    /// It is as new as the one held, and another.
    Rival,
    /// Nothing is gained from it.
    Same,
    /// It is older.
    Older,
}

#[derive(Clone)]
struct Held {
    envelope: Envelope,
    list: RevocationList,
    hash: [u8; 32],
}

/// What a node knows of who was thrown out. It only grows: whoever any valid list names stays out,
/// also where two lists contradict each other.
#[derive(Clone, Default)]
pub struct Revocations {
    newest: Option<Held>,
    /// The last list that contradicted the newest, kept as evidence.
    rival: Option<Held>,
    members: BTreeSet<MemberId>,
}

impl Revocations {
    /// Judges a list that a peer offers, at a time, and changes nothing.
    ///
    /// # Errors
    /// [`RevocationError`].
    pub fn consider(
        &self,
        offered: &Envelope,
        network: &NetworkId,
        chain: &Chain,
        now: Timestamp,
    ) -> Result<ListOffered, RevocationError> {
        let (verdict, held) = self.judge(offered, network, chain)?;
        let issued_at = held.list.issued_at;
        if issued_at > now.plus(chain.in_force().charter.rules.clock_window) {
            return Err(RevocationError::NotYet { issued_at });
        }
        Ok(verdict)
    }

    /// Takes what the journal says, whatever the time is.
    ///
    /// # Errors
    /// [`RevocationError`]; then nothing has changed.
    pub fn restore(
        &mut self,
        stored: &Envelope,
        network: &NetworkId,
        chain: &Chain,
    ) -> Result<ListOffered, RevocationError> {
        let (verdict, held) = self.judge(stored, network, chain)?;
        match verdict {
            ListOffered::Newer => {
                self.members.extend(&held.list.members);
                self.newest = Some(held);
            }
            ListOffered::Fork => {
                self.members.extend(&held.list.members);
                self.rival = self.newest.replace(held);
            }
            ListOffered::Rival => {
                self.members.extend(&held.list.members);
                self.rival = Some(held);
            }
            ListOffered::Same | ListOffered::Older => {}
        }
        Ok(verdict)
    }

    /// The list that throws one more member out, to be signed by the authorities. Where two lists
    /// contradict each other it names everybody of both.
    ///
    /// # Errors
    /// [`RevocationError::Count`] where no more members can be named.
    pub fn with(
        &self,
        member: MemberId,
        network: NetworkId,
        now: Timestamp,
    ) -> Result<RevocationList, RevocationError> {
        let mut members = self.members.clone();
        members.insert(member);
        let before = self.head();
        let list = RevocationList {
            network,
            version: before.map_or(1, |head| head.version.saturating_add(1)),
            previous: before.map(|head| head.hash),
            issued_at: before.map_or(now, |head| now.max(head.issued_at)),
            members: members.into_iter().collect(),
        };
        list.check(&network)?;
        Ok(list)
    }

    /// Whether a list that authorities are asked to sign comes next: it names everybody who was thrown
    /// out, and the list before it.
    pub fn precede(&self, list: &RevocationList) -> bool {
        let before = self.head();
        list.version == before.map_or(1, |head| head.version.saturating_add(1))
            && list.previous == before.map(|head| head.hash)
            && list.members.len() > self.members.len()
            && self.members.iter().all(|one| list.members.contains(one))
    }

    /// Whether a member was thrown out.
    pub fn names(&self, member: &MemberId) -> bool {
        self.members.contains(member)
    }

    /// Everybody who was thrown out.
    pub fn members(&self) -> &BTreeSet<MemberId> {
        &self.members
    }

    /// Which list this node goes by; none where nobody was ever thrown out.
    pub fn head(&self) -> Option<ListHead> {
        self.newest.as_ref().map(|held| ListHead {
            version: held.list.version,
            hash: held.hash,
            issued_at: held.list.issued_at,
        })
    }

    /// The newest list as signed.
    pub fn envelope(&self) -> Option<&Envelope> {
        self.newest.as_ref().map(|held| &held.envelope)
    }

    /// The list that contradicts the newest, as signed, until a list names everybody of both.
    pub fn rival(&self) -> Option<&Envelope> {
        let (newest, rival) = self.newest.as_ref().zip(self.rival.as_ref())?;
        let settled = newest.list.version > rival.list.version
            && newest.list.members.len() == self.members.len();
        (!settled).then_some(&rival.envelope)
    }

    fn judge(
        &self,
        offered: &Envelope,
        network: &NetworkId,
        chain: &Chain,
    ) -> Result<(ListOffered, Held), RevocationError> {
        if let Some(newest) = &self.newest
            && newest.envelope == *offered
        {
            return Ok((ListOffered::Same, newest.clone()));
        }
        // Who signed is looked at before any signature is.
        chain.check_quorum(&offered.claimed_signers())?;
        let verified = offered.verify::<RevocationList>(network)?;
        verified.value().check(network)?;
        let held = Held {
            envelope: offered.clone(),
            hash: verified.hash(),
            list: verified.into_value(),
        };
        Ok((self.compare(&held), held))
    }

    fn compare(&self, offered: &Held) -> ListOffered {
        let Some(newest) = &self.newest else {
            return ListOffered::Newer;
        };
        let (theirs, ours) = (offered.list.version, newest.list.version);
        if theirs < ours {
            return ListOffered::Older;
        }
        if theirs == ours {
            let known = offered.hash == newest.hash
                || self.rival.is_some() && offered.list.members.iter().all(|one| self.names(one));
            return if known {
                ListOffered::Same
            } else {
                ListOffered::Rival
            };
        }
        let named: BTreeSet<&MemberId> = offered.list.members.iter().collect();
        let grows = newest.list.members.iter().all(|one| named.contains(one));
        let rival = self.rival.as_ref().map(|rival| rival.hash);
        let follows = theirs > ours + 1
            || offered.list.previous == Some(newest.hash)
            || offered.list.previous == rival;
        if grows && follows {
            ListOffered::Newer
        } else {
            ListOffered::Fork
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        membership::fixture::{NOW, Network, key, sign_by, subject},
        types::Span,
    };

    fn id(number: u8) -> MemberId {
        subject(number).member
    }

    fn take(known: &mut Revocations, network: &Network, list: &RevocationList) -> ListOffered {
        let signed = network.sign(list);
        let judged = known.consider(&signed, &network.id, &network.chain, NOW);
        let taken = known.restore(&signed, &network.id, &network.chain);
        assert_eq!(judged, taken);
        taken.unwrap()
    }

    /// A chain of lists, each naming one more.
    fn chain(network: &Network, members: &[u8]) -> (Revocations, Vec<RevocationList>) {
        let mut known = Revocations::default();
        let mut lists = Vec::new();
        for member in members {
            let list = known.with(id(*member), network.id, NOW).unwrap();
            assert_eq!(take(&mut known, network, &list), ListOffered::Newer);
            lists.push(list);
        }
        (known, lists)
    }

    #[test]
    fn each_list_names_one_more_and_the_one_before() {
        let network = Network::new();

        let (known, lists) = chain(&network, &[3, 1]);

        assert_eq!(lists[0].members, [id(3)]);
        assert_eq!(lists[1].members, [id(1), id(3)]);
        assert_eq!((lists[0].version, lists[1].version), (1, 2));
        let first = network.sign(&lists[0]).hash();
        assert_eq!((lists[0].previous, lists[1].previous), (None, Some(first)));
        assert!(known.names(&id(1)) && known.names(&id(3)) && !known.names(&id(2)));
        assert!(known.rival().is_none());
    }

    #[test]
    fn an_older_list_never_comes_back() {
        let network = Network::new();
        let (mut known, lists) = chain(&network, &[1, 2]);
        let head = known.head();

        assert_eq!(take(&mut known, &network, &lists[1]), ListOffered::Same);
        assert_eq!(take(&mut known, &network, &lists[0]), ListOffered::Older);

        assert_eq!(known.head(), head);
        assert!(known.names(&id(2)));
    }

    #[test]
    fn a_list_with_too_few_or_foreign_signatures_is_refused() {
        let network = Network::new();
        let known = Revocations::default();
        let list = known.with(id(1), network.id, NOW).unwrap();
        let judge = |signed: &Envelope| {
            let judged = known.consider(signed, &network.id, &network.chain, NOW);
            judged.map_err(|error| match error {
                RevocationError::Quorum(_) => "quorum",
                RevocationError::Signature(_) => "signature",
                _ => "other",
            })
        };
        assert_eq!(judge(&network.sign(&list)), Ok(ListOffered::Newer));

        let by = |keys: &[crate::crypto::SigningKey]| sign_by(&list, &network.id, keys);
        assert_eq!(judge(&by(&[key(101)])), Err("quorum"));
        assert_eq!(judge(&by(&[key(101), key(1)])), Err("quorum"));
        assert_eq!(judge(&by(&[key(101), key(102), key(1)])), Err("quorum"));
        let mut altered = network.sign(&list);
        let mut other = list.clone();
        other.members = vec![id(9)];
        altered.body = crate::crypto::Body::encode(&other).into();
        assert_eq!(judge(&altered), Err("signature"));
        let elsewhere = NetworkId([1; 32]);
        let foreign = sign_by(&list, &elsewhere, &network.authorities[..2]);
        assert_eq!(judge(&foreign), Err("signature"));
    }

    #[test]
    fn a_list_of_another_network_version_order_size_or_time_is_refused() {
        let network = Network::new();
        let (known, _) = chain(&network, &[1]);
        let good = known.with(id(2), network.id, NOW).unwrap();
        let error = |change: fn(&mut RevocationList)| {
            let mut list = good.clone();
            change(&mut list);
            let signed = network.sign(&list);
            let judged = known.consider(&signed, &network.id, &network.chain, NOW);
            judged.err()
        };
        assert_eq!(error(|_| ()), None);

        let other = |list: &mut RevocationList| list.network = NetworkId([1; 32]);
        assert_eq!(error(other), Some(RevocationError::Network));
        let version = |version| Some(RevocationError::Version { version });
        assert_eq!(error(|list| list.version = 0), version(0));
        assert_eq!(error(|list| list.version = 1), version(1));
        assert_eq!(error(|list| list.previous = None), version(2));
        assert_eq!(
            error(|list| list.members.reverse()),
            Some(RevocationError::Order)
        );
        assert_eq!(
            error(|list| list.members.push(list.members[1])),
            Some(RevocationError::Order)
        );
        assert_eq!(
            error(|list| list.members.clear()),
            Some(RevocationError::Count { count: 0 })
        );
        let window = network.charter.rules.clock_window;
        assert_eq!(window, Span::minutes(5));
        assert_eq!(
            error(|list| list.issued_at = NOW.plus(Span::minutes(5))),
            None
        );
        assert!(matches!(
            error(|list| list.issued_at = NOW.plus(Span(Span::minutes(5).0 + 1))),
            Some(RevocationError::NotYet { .. })
        ));
    }

    #[test]
    fn a_list_names_revoked_max_members_and_no_more() {
        let network = Network::new();
        let mut known = Revocations::default();
        let numbered = |number: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            MemberId(id)
        };
        known.members = (1..REVOKED_MAX as u32).map(numbered).collect();

        let full = known.with(MemberId([0xFF; 16]), network.id, NOW).unwrap();
        assert_eq!(full.members.len(), REVOKED_MAX);
        assert_eq!(take(&mut known, &network, &full), ListOffered::Newer);

        let beyond = known.with(MemberId([0xFE; 16]), network.id, NOW);
        let count = REVOKED_MAX + 1;
        assert_eq!(beyond, Err(RevocationError::Count { count }));
    }

    #[test]
    fn two_lists_of_one_version_are_both_kept_and_both_heeded() {
        let network = Network::new();
        let (mut known, lists) = chain(&network, &[1, 2]);
        let (before, _) = chain(&network, &[1]);
        let rival = before.with(id(3), network.id, NOW).unwrap();

        assert_eq!(take(&mut known, &network, &rival), ListOffered::Rival);

        assert!(known.rival() == Some(&network.sign(&rival)));
        assert!(known.envelope() == Some(&network.sign(&lists[1])));
        assert!(known.names(&id(2)) && known.names(&id(3)));
        assert_eq!(take(&mut known, &network, &rival), ListOffered::Same);
        // The next names everybody of both and settles it, here and where the other came first.
        let next = known.with(id(4), network.id, NOW).unwrap();
        assert_eq!(next.members, [id(1), id(2), id(3), id(4)]);
        assert_eq!(take(&mut known, &network, &next), ListOffered::Newer);
        assert!(known.rival().is_none());
        let (mut other, _) = chain(&network, &[1, 3]);
        assert_eq!(take(&mut other, &network, &next), ListOffered::Fork);
        assert!(other.rival().is_none() && other.names(&id(4)));
    }

    #[test]
    fn a_newer_list_that_names_fewer_is_an_alarm_and_frees_nobody() {
        let network = Network::new();
        let (mut known, lists) = chain(&network, &[1, 2]);
        let mut shrunk = lists[1].clone();
        shrunk.version = 7;
        shrunk.members = vec![id(2), id(5)];

        assert_eq!(take(&mut known, &network, &shrunk), ListOffered::Fork);

        assert_eq!(known.head().map(|head| head.version), Some(7));
        assert!(known.names(&id(1)) && known.names(&id(5)));
        assert!(known.rival() == Some(&network.sign(&lists[1])));
    }

    #[test]
    fn a_list_far_ahead_is_taken_where_it_grows() {
        let network = Network::new();
        let (mut behind, _) = chain(&network, &[1]);
        let (_, lists) = chain(&network, &[1, 2, 3, 4]);

        assert_eq!(take(&mut behind, &network, &lists[3]), ListOffered::Newer);

        assert_eq!(behind.members().len(), 4);
    }

    #[test]
    fn another_list_of_one_version_is_evidence_also_where_it_names_nobody_else() {
        let network = Network::new();
        let (mut known, lists) = chain(&network, &[1, 2]);
        let mut fewer = lists[1].clone();
        fewer.members.pop();

        assert_eq!(take(&mut known, &network, &fewer), ListOffered::Rival);

        assert!(known.rival() == Some(&network.sign(&fewer)));
    }

    #[test]
    fn the_list_to_sign_comes_next_and_names_everybody_and_one_more() {
        let network = Network::new();
        let (known, lists) = chain(&network, &[1, 2]);
        let good = known.with(id(3), network.id, NOW).unwrap();
        let precedes = |change: fn(&mut RevocationList)| {
            let mut list = good.clone();
            change(&mut list);
            known.precede(&list)
        };
        assert!(precedes(|_| ()));
        assert!(Revocations::default().precede(&lists[0]));

        assert!(!precedes(|list| list.version += 1));
        assert!(!precedes(|list| list.previous = Some([1; 32])));
        assert!(!precedes(|list| list.members = vec![id(1), id(2)]));
        assert!(!precedes(|list| list.members = vec![id(1), id(3), id(4)]));
        assert!(!Revocations::default().precede(&good));
    }
}
