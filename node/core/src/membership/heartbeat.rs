//! The heartbeat: *this revocation list was the newest at that time*; and how old trust may grow
//! (`protocol.md` 1).

use super::{Chain, Charter, ListHead, Revocations};
use crate::{
    crypto::{Envelope, SignatureError},
    types::{NetworkId, Span, Timestamp, limits::HEARTBEAT_EVERY},
};

/// Why a heartbeat is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeartbeatError {
    /// A signature does not hold, or the body is not canonical.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Fewer status keys signed than must, or somebody else signed too.
    #[error("{signed} status keys signed, {threshold} must, and nobody else")]
    Quorum {
        /// Status keys that signed.
        signed: usize,
        /// How many must.
        threshold: u32,
    },
    /// Of another network.
    #[error("of another network")]
    Network,
    /// Of a time that no clock can show.
    #[error("of {at}, which has not come")]
    NotYet {
        /// When it says it was signed.
        at: Timestamp,
    },
    /// About a list that is not the one held.
    #[error("about version {version} of the revocation list, which is not the one held")]
    List {
        /// Which.
        version: u64,
    },
}

/// A revocation list was the newest at a time, as the status keys sign it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The network.
    pub network: NetworkId,
    /// Version of the list; 0 where nobody was ever thrown out.
    pub version: u64,
    /// SHA-256 of its body; all zero for version 0.
    pub hash: [u8; 32],
    /// When.
    pub at: Timestamp,
}

impl Heartbeat {
    /// What status keys sign of a list.
    pub fn of(network: NetworkId, list: Option<ListHead>, at: Timestamp) -> Self {
        Self {
            network,
            version: list.map_or(0, |head| head.version),
            hash: list.map_or([0; 32], |head| head.hash),
            at,
        }
    }

    /// Whether it is about this list.
    pub fn is_about(&self, list: Option<ListHead>) -> bool {
        *self == Self::of(self.network, list, self.at)
    }
}

/// The keys that may sign heartbeats, and how many of them must.
fn status_keys(charter: &Charter) -> (&[[u8; 32]], u32) {
    if charter.status_keys.is_empty() {
        return (&charter.authorities, charter.threshold);
    }
    (&charter.status_keys, charter.status_threshold)
}

/// Whether a key may sign heartbeats.
pub fn may_beat(charter: &Charter, key: &[u8; 32]) -> bool {
    status_keys(charter).0.contains(key)
}

/// Whether enough who may sign heartbeats signed one, and nobody else; looks at no signature.
pub fn is_beaten(charter: &Charter, signers: &[[u8; 32]]) -> bool {
    count(charter, signers).is_ok()
}

fn count(charter: &Charter, signers: &[[u8; 32]]) -> Result<(), HeartbeatError> {
    let (keys, threshold) = status_keys(charter);
    let signed = signers.iter().filter(|key| keys.contains(key)).count();
    if signed < threshold as usize || signed < signers.len() {
        return Err(HeartbeatError::Quorum { signed, threshold });
    }
    Ok(())
}

/// How an offered heartbeat compares with the one held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatOffered {
    /// It is newer.
    Newer,
    /// It is not.
    Older,
}

/// Who was thrown out, and since when that is known to be all.
#[derive(Clone, Default)]
pub struct Trust {
    /// The revocation list.
    pub revocations: Revocations,
    heartbeat: Option<(Envelope, Heartbeat)>,
}

impl Trust {
    /// Judges a heartbeat that a peer offers, at a time, and changes nothing.
    ///
    /// # Errors
    /// [`HeartbeatError`].
    pub fn consider(
        &self,
        offered: &Envelope,
        network: &NetworkId,
        chain: &Chain,
        now: Timestamp,
    ) -> Result<HeartbeatOffered, HeartbeatError> {
        let heartbeat = verify(offered, network, chain)?;
        let at = heartbeat.at;
        // One from the future would keep trust fresh for as long as its signers like.
        if is_future(chain, at, now) {
            return Err(HeartbeatError::NotYet { at });
        }
        if !heartbeat.is_about(self.revocations.head()) {
            return Err(HeartbeatError::List {
                version: heartbeat.version,
            });
        }
        let held = self.beat_at().filter(|held| !is_future(chain, *held, now));
        Ok(if held.is_none_or(|held| at > held) {
            HeartbeatOffered::Newer
        } else {
            HeartbeatOffered::Older
        })
    }

    /// Takes what the journal says, whatever the time is: it was newer when it was written.
    ///
    /// # Errors
    /// [`HeartbeatError`]; then nothing has changed.
    pub fn restore(
        &mut self,
        stored: &Envelope,
        network: &NetworkId,
        chain: &Chain,
    ) -> Result<(), HeartbeatError> {
        let heartbeat = verify(stored, network, chain)?;
        self.heartbeat = Some((stored.clone(), heartbeat));
        Ok(())
    }

    /// The newest heartbeat as signed.
    pub fn heartbeat(&self) -> Option<&Envelope> {
        self.heartbeat.as_ref().map(|(envelope, _)| envelope)
    }

    /// When the newest heartbeat was signed.
    pub fn beat_at(&self) -> Option<Timestamp> {
        self.heartbeat.as_ref().map(|(_, heartbeat)| heartbeat.at)
    }

    /// Whether a status key should sign another heartbeat.
    pub fn beat_due(&self, chain: &Chain, now: Timestamp) -> bool {
        let charter = &chain.in_force().charter;
        let confirmed = self.heartbeat.as_ref().filter(|(envelope, heartbeat)| {
            // What keys signed that have gone convinces no newcomer.
            is_beaten(charter, &envelope.claimed_signers())
                && heartbeat.is_about(self.revocations.head())
                && !is_future(chain, heartbeat.at, now)
        });
        confirmed.is_none_or(|(_, heartbeat)| now.since(heartbeat.at) >= HEARTBEAT_EVERY)
    }

    /// When the newest known list was last known to be the newest: at a heartbeat, when it was signed,
    /// or at the founding, before which nobody can have been thrown out.
    ///
    /// What is of the future counts for nothing: it was signed or taken by a clock that was wrong.
    pub fn confirmed(&self, chain: &Chain, now: Timestamp) -> Timestamp {
        let founded = chain.version(0).map(|genesis| genesis.charter.issued_at);
        let issued = self.revocations.head().map(|head| head.issued_at);
        [founded, issued, self.beat_at()]
            .into_iter()
            .flatten()
            .filter(|at| !is_future(chain, *at, now))
            .max()
            .unwrap_or(Timestamp(0))
    }

    /// How long nobody has confirmed the list.
    pub fn age(&self, chain: &Chain, now: Timestamp) -> Span {
        now.since(self.confirmed(chain, now))
    }

    /// Whether that is longer than the charter allows: then nothing may be disclosed, except by
    /// breaking the glass.
    pub fn is_stale(&self, chain: &Chain, now: Timestamp) -> bool {
        self.age(chain, now) > chain.in_force().charter.rules.max_staleness
    }
}

fn is_future(chain: &Chain, at: Timestamp, now: Timestamp) -> bool {
    at > now.plus(chain.in_force().charter.rules.clock_window)
}

fn verify(
    offered: &Envelope,
    network: &NetworkId,
    chain: &Chain,
) -> Result<Heartbeat, HeartbeatError> {
    // Who signed is looked at before any signature is.
    count(&chain.in_force().charter, &offered.claimed_signers())?;
    let heartbeat = offered.verify::<Heartbeat>(network)?.into_value();
    if heartbeat.network != *network {
        return Err(HeartbeatError::Network);
    }
    Ok(heartbeat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        membership::fixture::{NOW, Network, key, sign_by, subject},
        types::limits::MAX_STALENESS,
    };

    fn beat(network: &Network, trust: &Trust, at: Timestamp) -> Envelope {
        network.sign(&Heartbeat::of(network.id, trust.revocations.head(), at))
    }

    fn consider(
        network: &Network,
        trust: &Trust,
        offered: &Envelope,
        now: Timestamp,
    ) -> Result<HeartbeatOffered, HeartbeatError> {
        trust.consider(offered, &network.id, &network.chain, now)
    }

    fn restore(network: &Network, trust: &mut Trust, offered: &Envelope) {
        trust.restore(offered, &network.id, &network.chain).unwrap();
    }

    fn revoke(network: &Network, trust: &mut Trust, member: u8, now: Timestamp) {
        let list = trust
            .revocations
            .with(subject(member).member, network.id, now);
        let signed = network.sign(&list.unwrap());
        trust
            .revocations
            .restore(&signed, &network.id, &network.chain)
            .unwrap();
    }

    #[test]
    fn trust_is_stale_past_max_staleness_and_fresh_again_with_a_heartbeat() {
        let network = Network::new();
        let mut trust = Trust::default();
        let most = network.charter.rules.max_staleness;
        assert_eq!(most, MAX_STALENESS);
        let stale = |trust: &Trust, now| trust.is_stale(&network.chain, now);
        // Before the founding nobody can have been thrown out.
        assert!(!stale(&trust, NOW.plus(most)));
        let late = NOW.plus(Span(most.0 + 1));
        assert!(stale(&trust, late));

        let beaten = beat(&network, &trust, late);
        restore(&network, &mut trust, &beaten);

        assert!(!stale(&trust, late.plus(most)));
        assert!(stale(&trust, late.plus(Span(most.0 + 1))));
        let later = late.plus(Span(most.0 + 1));
        revoke(&network, &mut trust, 1, later);
        assert!(
            !stale(&trust, later),
            "a list is the newest when it is signed"
        );
    }

    #[test]
    fn an_older_heartbeat_changes_nothing() {
        let network = Network::new();
        let mut trust = Trust::default();
        let old = beat(&network, &trust, NOW);
        let new = beat(&network, &trust, NOW.plus(Span(1)));
        assert_eq!(
            consider(&network, &trust, &old, NOW),
            Ok(HeartbeatOffered::Newer)
        );
        restore(&network, &mut trust, &new);

        for known in [old, new] {
            let offered = consider(&network, &trust, &known, NOW);
            assert_eq!(offered, Ok(HeartbeatOffered::Older));
        }
    }

    /// A clock that was a year ahead and was set right.
    #[test]
    fn a_heartbeat_kept_from_the_future_neither_confirms_nor_stands_in_the_way() {
        let network = Network::new();
        let mut trust = Trust::default();
        let ahead = beat(&network, &trust, NOW.plus(Span::days(365)));
        restore(&network, &mut trust, &ahead);
        let late = NOW.plus(MAX_STALENESS).plus(Span(1));

        assert!(trust.is_stale(&network.chain, late));
        assert!(trust.beat_due(&network.chain, late));
        let right = beat(&network, &trust, late);
        assert_eq!(
            consider(&network, &trust, &right, late),
            Ok(HeartbeatOffered::Newer)
        );
        restore(&network, &mut trust, &right);
        assert!(!trust.is_stale(&network.chain, late));
    }

    #[test]
    fn a_heartbeat_of_the_future_is_refused() {
        let network = Network::new();
        let trust = Trust::default();
        let ahead = |ahead| {
            let at = NOW.plus(ahead);
            consider(&network, &trust, &beat(&network, &trust, at), NOW)
        };
        assert_eq!(ahead(Span::minutes(5)), Ok(HeartbeatOffered::Newer));

        let at = NOW.plus(Span(Span::minutes(5).0 + 1));
        assert_eq!(
            ahead(Span(Span::minutes(5).0 + 1)),
            Err(HeartbeatError::NotYet { at })
        );
    }

    #[test]
    fn a_heartbeat_about_another_list_is_refused() {
        let network = Network::new();
        let mut trust = Trust::default();
        let of_none = beat(&network, &trust, NOW);
        assert!(consider(&network, &trust, &of_none, NOW).is_ok());
        let mut ahead = trust.clone();
        revoke(&network, &mut ahead, 1, NOW);
        let of_first = beat(&network, &ahead, NOW);

        let error = |version| Err(HeartbeatError::List { version });
        assert_eq!(consider(&network, &trust, &of_first, NOW), error(1));
        revoke(&network, &mut trust, 2, NOW);
        assert_eq!(consider(&network, &trust, &of_none, NOW), error(0));
        assert_eq!(consider(&network, &trust, &of_first, NOW), error(1));
        let of_own = beat(&network, &trust, NOW);
        assert!(consider(&network, &trust, &of_own, NOW).is_ok());
    }

    #[test]
    fn a_heartbeat_signed_by_too_few_or_by_others_is_refused() {
        let network = Network::new();
        let trust = Trust::default();
        let heartbeat = Heartbeat::of(network.id, None, NOW);
        let judge = |keys: &[crate::crypto::SigningKey]| {
            let signed = sign_by(&heartbeat, &network.id, keys);
            consider(&network, &trust, &signed, NOW)
        };
        assert_eq!(
            judge(&network.authorities[1..]),
            Ok(HeartbeatOffered::Newer)
        );

        for keys in [
            vec![key(101)],
            vec![key(101), key(1)],
            vec![key(101), key(102), key(1)],
        ] {
            let refused = judge(&keys);
            assert!(matches!(refused, Err(HeartbeatError::Quorum { .. })));
        }
        let foreign = Heartbeat::of(NetworkId([1; 32]), None, NOW);
        assert_eq!(
            consider(&network, &trust, &network.sign(&foreign), NOW),
            Err(HeartbeatError::Network)
        );
    }

    #[test]
    fn another_is_due_after_heartbeat_every_and_at_once_for_another_list() {
        let network = Network::new();
        let mut trust = Trust::default();
        assert!(trust.beat_due(&network.chain, NOW));
        let beaten = beat(&network, &trust, NOW);
        restore(&network, &mut trust, &beaten);
        assert!(!trust.beat_due(&network.chain, NOW.plus(Span(HEARTBEAT_EVERY.0 - 1))));
        assert!(trust.beat_due(&network.chain, NOW.plus(HEARTBEAT_EVERY)));

        revoke(&network, &mut trust, 1, NOW);

        assert!(trust.beat_due(&network.chain, NOW));
    }

    #[test]
    fn status_keys_beat_where_there_are_any_and_authorities_where_there_are_none() {
        let network = Network::new();
        let [one, two, _] = [101, 102, 103].map(|seed| key(seed).public());
        assert!(may_beat(&network.charter, &one) && !may_beat(&network.charter, &key(1).public()));
        assert!(is_beaten(&network.charter, &[one, two]));
        assert!(!is_beaten(&network.charter, &[one]));

        let mut charter = network.charter.clone();
        charter.status_keys = vec![key(1).public()];
        charter.status_threshold = 1;

        assert!(may_beat(&charter, &key(1).public()) && !may_beat(&charter, &one));
        assert!(is_beaten(&charter, &[key(1).public()]));
        assert!(!is_beaten(&charter, &[one, two]));
        assert!(!is_beaten(&charter, &[key(1).public(), one]));
    }
}
