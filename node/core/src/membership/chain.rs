//! The versions of a network's charter, each signed by the authorities of the one before
//! (`protocol.md` 1).

use std::sync::Arc;

use super::{
    Amendment, Charter, CharterError, StatementError,
    charter::{among, ascending, majority, verify_genesis},
};
use crate::{
    crypto::{Envelope, SignatureError},
    types::{NetworkId, Timestamp, limits::CHARTER_CHAIN_MAX_BYTES},
};

/// Why a charter does not follow the ones that are known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The charter itself cannot be used.
    #[error(transparent)]
    Charter(#[from] CharterError),
    /// It names another network, or not the version before it.
    #[error("the charter does not follow the version it names")]
    NotNext,
    /// It changes what never changes, or recovery keys change more than the authorities.
    #[error("the charter changes what it may not")]
    Fixed,
    /// Somebody signed who may not.
    #[error("somebody signed who is no authority")]
    Signer,
    /// An authority that comes in did not sign.
    #[error("an authority that comes in did not sign")]
    Unproved,
    /// The chain has no room for another version.
    #[error("the network has too many charters")]
    Full,
    /// A key to remove is not in the charter.
    #[error("a key that is to go is not in the charter")]
    Absent,
}

impl From<SignatureError> for ChainError {
    fn from(error: SignatureError) -> Self {
        Self::Charter(error.into())
    }
}

/// One version of the charter.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// The network.
    pub network: NetworkId,
    /// What it says.
    pub charter: Charter,
    /// As signed.
    pub envelope: Envelope,
    /// SHA-256 of its body: what the next version names.
    pub hash: [u8; 32],
}

/// How a charter that holds compares with the ones that are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It follows the newest: authorities decided.
    Next,
    /// It follows the newest: holders of recovery keys replace the authorities.
    Recovery,
    /// It is known.
    Known,
    /// It and the one that is known have one number: somebody signed twice.
    Fork,
}

/// How many who must have signed a version that follows another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatures {
    /// Authorities in force that signed.
    pub signed: usize,
    /// How many must.
    pub threshold: u32,
    /// Keys that must sign as well, because they come in, and have not.
    pub missing: Vec<[u8; 32]>,
}

impl Signatures {
    /// Whether all who must have signed.
    pub fn complete(&self) -> bool {
        self.signed >= self.threshold as usize && self.missing.is_empty()
    }
}

impl Link {
    /// A version as its body claims it, well formed; who signed is not asked.
    ///
    /// # Errors
    /// [`CharterError`].
    pub fn claimed(envelope: &Envelope) -> Result<Self, CharterError> {
        let charter = envelope.claims::<Charter>().map_err(SignatureError::from)?;
        let hash = envelope.hash();
        if charter.version == 0 {
            charter.check_genesis()?;
        } else {
            charter.check_terms()?;
        }
        Ok(Self {
            network: charter.network.unwrap_or(NetworkId(hash)),
            charter,
            envelope: envelope.clone(),
            hash,
        })
    }

    /// The next version, to be signed.
    ///
    /// # Errors
    /// [`ChainError`] where no authority could sign it.
    pub fn amended(
        &self,
        amendment: &Amendment,
        now: Timestamp,
        nonce: [u8; 16],
    ) -> Result<Charter, ChainError> {
        let before = &self.charter;
        let mut next = before.clone();
        next.version = before.version + 1;
        next.network = Some(self.network);
        next.previous = Some(self.hash);
        next.issued_at = now;
        next.nonce = nonce;
        if let Some((template, rules)) = &amendment.rules {
            next.template = *template;
            next.rules = rules.clone();
        }
        for key in &amendment.remove {
            let known = next.authorities.len() + next.status_keys.len();
            next.authorities.retain(|held| held != key);
            next.status_keys.retain(|held| held != key);
            if next.authorities.len() + next.status_keys.len() == known {
                return Err(ChainError::Absent);
            }
        }
        for (authority, status) in &amendment.add {
            next.authorities.push(*authority);
            next.status_keys.push(*status);
        }
        next.authorities = ascending(next.authorities);
        next.status_keys = ascending(next.status_keys);
        let authorities = next.authorities.len();
        let kept = (next.authorities == before.authorities).then_some(before.threshold);
        next.threshold = amendment
            .threshold
            .or(kept)
            .unwrap_or_else(|| majority(authorities));
        next.status_threshold = match next.status_keys.len() {
            0 => 0,
            count if next.status_keys != before.status_keys => majority(count),
            _ => before.status_threshold,
        };
        next.counts_from = amendment.counts_from.unwrap_or(before.counts_from);
        self.check_next(&next)?;
        Ok(next)
    }

    /// Whether holders of recovery keys made this version.
    pub fn is_by_recovery(&self) -> bool {
        let signers = self.envelope.claimed_signers();
        self.charter.version > 0 && among(&self.charter.recovery_keys, &signers) > 0
    }

    /// Whether a version may follow this one, whoever signed it.
    pub(super) fn check_next(&self, next: &Charter) -> Result<(), ChainError> {
        let before = &self.charter;
        let follows = next.version == before.version + 1
            && next.network == Some(self.network)
            && next.previous == Some(self.hash);
        if !follows {
            return Err(ChainError::NotNext);
        }
        next.check_terms()?;
        let fixed = next.recovery_keys == before.recovery_keys
            && next.test == before.test
            && next.minimum_suite >= before.minimum_suite
            && next.counts_from >= before.counts_from
            && next.counts_from <= next.version;
        if !fixed {
            return Err(ChainError::Fixed);
        }
        Ok(())
    }

    /// Who of those who must have signed a version that follows this one did. One signature of a
    /// recovery key makes it a recovery, where recovery keys count and authorities do not.
    pub(super) fn signatures_on(&self, next: &Charter, signers: &[[u8; 32]]) -> Signatures {
        let recovery = &self.charter.recovery_keys;
        let recovers = among(recovery, signers);
        let (signed, threshold) = if recovers > 0 {
            (recovers, majority(recovery.len()))
        } else {
            (
                self.charter.authorities_among(signers),
                self.charter.threshold,
            )
        };
        let new = |key: &&[u8; 32]| !self.charter.authorities.contains(*key);
        let added = next.authorities.iter().filter(new).copied();
        Signatures {
            signed,
            threshold,
            missing: added.filter(|key| !signers.contains(key)).collect(),
        }
    }

    /// Whether a key may sign a version that follows this one.
    pub(super) fn may_sign(&self, next: &Charter, key: &[u8; 32]) -> bool {
        self.charter.authorities.contains(key)
            || next.authorities.contains(key)
            || self.charter.recovery_keys.contains(key) && self.is_recovery(next)
    }

    /// Verifies a version that follows this one: next, or recovery.
    fn verify_next(&self, envelope: &Envelope) -> Result<(Standing, Self), ChainError> {
        let claimed = Self::claimed(envelope)?;
        let next = &claimed.charter;
        self.check_next(next)?;
        let signers = envelope.claimed_signers();
        // Who signed is looked at before any signature is.
        if !signers.iter().all(|key| self.may_sign(next, key)) {
            return Err(ChainError::Signer);
        }
        let signatures = self.signatures_on(next, &signers);
        if signatures.signed < signatures.threshold as usize {
            return Err(CharterError::Quorum {
                signed: signatures.signed,
                threshold: signatures.threshold,
            }
            .into());
        }
        if !signatures.complete() {
            return Err(ChainError::Unproved);
        }
        envelope.verify::<Charter>(&self.network)?;
        let standing = if claimed.is_by_recovery() {
            Standing::Recovery
        } else {
            Standing::Next
        };
        Ok((standing, claimed))
    }

    /// Whether a version changes no more than holders of recovery keys may.
    fn is_recovery(&self, next: &Charter) -> bool {
        let mut allowed = self.charter.clone();
        allowed.version = next.version;
        allowed.network = next.network;
        allowed.previous = next.previous;
        allowed.issued_at = next.issued_at;
        allowed.nonce = next.nonce;
        allowed.authorities.clone_from(&next.authorities);
        allowed.threshold = next.threshold;
        allowed.status_keys.clone_from(&next.status_keys);
        allowed.status_threshold = next.status_threshold;
        allowed.counts_from = next.counts_from;
        allowed == *next
    }
}

/// Every version of a network's charter from its genesis to the one in force.
#[derive(Clone)]
pub struct Chain {
    links: Vec<Arc<Link>>,
    len_bytes: usize,
}

impl Chain {
    /// The chain of a network that was just founded.
    ///
    /// # Errors
    /// [`CharterError`] where the genesis founds no network.
    pub fn found(genesis: &Envelope) -> Result<Self, CharterError> {
        let (network, charter) = verify_genesis(genesis)?;
        let link = Link {
            network,
            charter,
            hash: genesis.hash(),
            envelope: genesis.clone(),
        };
        Ok(Self {
            len_bytes: len_of(genesis),
            links: vec![Arc::new(link)],
        })
    }

    /// The whole chain as somebody else follows it, recoveries included: for a node that follows none.
    ///
    /// # Errors
    /// [`ChainError`] where a version does not follow the one before it.
    pub fn of(genesis: &Envelope, later: &[Envelope]) -> Result<Self, ChainError> {
        let mut chain = Self::found(genesis)?;
        for envelope in later {
            chain.push(envelope)?;
        }
        Ok(chain)
    }

    /// The network.
    pub fn network(&self) -> NetworkId {
        self.in_force().network
    }

    /// The version in force.
    pub fn in_force(&self) -> &Arc<Link> {
        self.links.last().expect("a chain begins with its genesis")
    }

    /// A version, where it is known.
    pub fn version(&self, version: u64) -> Option<&Arc<Link>> {
        self.links.get(usize::try_from(version).ok()?)
    }

    /// The versions above one, ascending, as signed.
    pub fn after(&self, version: u64) -> impl Iterator<Item = &Envelope> {
        let behind = move |link: &&Arc<Link>| link.charter.version > version;
        self.links.iter().filter(behind).map(|link| &link.envelope)
    }

    /// The versions whose authorities' word counts for credentials, newest first.
    pub fn counting(&self) -> impl Iterator<Item = &Charter> {
        let from = self.in_force().charter.counts_from;
        self.links
            .iter()
            .rev()
            .map(|link| &link.charter)
            .take_while(move |charter| charter.version >= from)
    }

    /// Whether exactly authorities of one version that counts signed, and enough of them; looks at no
    /// signature.
    ///
    /// # Errors
    /// [`StatementError::Quorum`], as the version in force sees it.
    pub fn check_quorum(&self, claimed: &[[u8; 32]]) -> Result<(), StatementError> {
        let counts = |charter: &Charter| {
            charter.is_quorum(claimed) && charter.authorities_among(claimed) == claimed.len()
        };
        if self.counting().any(counts) {
            return Ok(());
        }
        let charter = &self.in_force().charter;
        Err(StatementError::Quorum {
            signed: charter.authorities_among(claimed),
            threshold: charter.threshold,
        })
    }

    /// Judges a charter that came from somewhere and changes nothing.
    ///
    /// # Errors
    /// [`ChainError`] where it follows no version that is known, or does not hold.
    pub fn judge(&self, envelope: &Envelope) -> Result<(Standing, Link), ChainError> {
        let claimed = Link::claimed(envelope)?;
        let version = claimed.charter.version;
        if let Some(known) = self.version(version)
            && known.hash == claimed.hash
        {
            return Ok((Standing::Known, Link::clone(known)));
        }
        let before = version
            .checked_sub(1)
            .and_then(|before| self.version(before))
            .ok_or(ChainError::NotNext)?;
        let (standing, link) = before.verify_next(envelope)?;
        let newest = before.hash == self.in_force().hash;
        match (newest, standing) {
            (true, standing) => Ok((standing, link)),
            (false, _) => Ok((Standing::Fork, link)),
        }
    }

    /// Puts a version behind the newest, whether its authorities decided it or holders of recovery
    /// keys did: the caller knows that its time has come.
    ///
    /// # Errors
    /// [`ChainError`]; then nothing has changed.
    pub fn push(&mut self, envelope: &Envelope) -> Result<(), ChainError> {
        let (standing, link) = self.judge(envelope)?;
        match standing {
            Standing::Known => return Ok(()),
            Standing::Fork => return Err(ChainError::NotNext),
            Standing::Next | Standing::Recovery => {}
        }
        let len_bytes = self.len_bytes + len_of(envelope);
        if len_bytes > CHARTER_CHAIN_MAX_BYTES {
            return Err(ChainError::Full);
        }
        self.len_bytes = len_bytes;
        self.links.push(Arc::new(link));
        Ok(())
    }

    /// The chain up to before the version of a charter that forks it, and then that charter.
    ///
    /// # Errors
    /// [`ChainError`] where it is no fork.
    pub fn switched(&self, fork: &Envelope) -> Result<Self, ChainError> {
        let (standing, link) = self.judge(fork)?;
        if standing != Standing::Fork {
            return Err(ChainError::NotNext);
        }
        let kept = usize::try_from(link.charter.version).unwrap_or(usize::MAX);
        let mut links = self.links.clone();
        links.truncate(kept);
        let mut chain = Self {
            len_bytes: links.iter().map(|link| len_of(&link.envelope)).sum(),
            links,
        };
        chain.push(fork)?;
        Ok(chain)
    }
}

fn len_of(envelope: &Envelope) -> usize {
    envelope.body.len() + envelope.signatures.len() * 110
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::SigningKey,
        membership::{Keys, Rules, Template, fixture::*, genesis_id, verify_credential},
        types::Span,
    };

    fn founded(recovery: &[SigningKey]) -> (Chain, [SigningKey; 3]) {
        let authorities = [key(101), key(102), key(103)];
        let keys = Keys {
            recovery: recovery.iter().map(SigningKey::public).collect(),
            ..Keys::default()
        };
        let charter = Charter::genesis_with(founding(&authorities, 2), keys, NOW, [9; 16]).unwrap();
        let chain = Chain::found(&sign_genesis(&charter, &authorities)).unwrap();
        (chain, authorities)
    }

    fn amended(chain: &Chain, amendment: &Amendment) -> Charter {
        chain.in_force().amended(amendment, NOW, [3; 16]).unwrap()
    }

    fn judged(
        chain: &Chain,
        charter: &Charter,
        signers: &[SigningKey],
    ) -> Result<Standing, ChainError> {
        let signed = sign_by(charter, &chain.network(), signers);
        chain.judge(&signed).map(|(standing, _)| standing)
    }

    fn quorum(signed: usize, threshold: u32) -> ChainError {
        CharterError::Quorum { signed, threshold }.into()
    }

    #[test]
    fn the_next_version_needs_a_quorum_of_the_authorities_before_it() {
        let (chain, authorities) = founded(&[]);
        let next = amended(&chain, &Amendment::default());
        assert_eq!(judged(&chain, &next, &authorities[1..]), Ok(Standing::Next));

        assert_eq!(judged(&chain, &next, &authorities[1..2]), Err(quorum(1, 2)));
        let with_stranger = [authorities[0].clone(), key(50)];
        assert_eq!(
            judged(&chain, &next, &with_stranger),
            Err(ChainError::Signer)
        );
        let mut forged = sign_by(&next, &chain.network(), &authorities);
        forged.signatures[2].1[0] ^= 1;
        assert_eq!(
            chain.judge(&forged).map(|(standing, _)| standing),
            Err(SignatureError::Forged.into())
        );
    }

    #[test]
    fn an_authority_that_comes_in_must_sign_too() {
        let (chain, authorities) = founded(&[]);
        let amendment = Amendment {
            add: vec![(key(110).public(), key(111).public())],
            ..Amendment::default()
        };
        let next = amended(&chain, &amendment);
        assert_eq!(next.threshold, 3, "more than half of four");
        let with_it = [authorities[0].clone(), authorities[1].clone(), key(110)];
        assert_eq!(judged(&chain, &next, &with_it), Ok(Standing::Next));

        assert_eq!(
            judged(&chain, &next, &authorities),
            Err(ChainError::Unproved)
        );
    }

    #[test]
    fn a_version_that_follows_another_or_changes_what_never_changes_is_refused() {
        let (chain, authorities) = founded(&[]);
        let error = |change: fn(&mut Charter)| {
            let mut next = amended(&chain, &Amendment::default());
            change(&mut next);
            judged(&chain, &next, &authorities).err()
        };
        assert_eq!(error(|_| ()), None);

        assert_eq!(
            error(|c| c.previous = Some([1; 32])),
            Some(ChainError::NotNext)
        );
        assert_eq!(error(|c| c.version = 2), Some(ChainError::NotNext));
        assert_eq!(error(|c| c.test = false), Some(ChainError::Fixed));
        assert_eq!(error(|c| c.counts_from = 1), None);
        assert_eq!(error(|c| c.counts_from = 2), Some(ChainError::Fixed));
        assert_eq!(
            error(|c| c.recovery_keys = vec![key(99).public()]),
            Some(ChainError::Fixed)
        );
        assert!(matches!(
            error(|c| c.threshold = 1),
            Some(ChainError::Charter(CharterError::Threshold { .. }))
        ));
        let elsewhere = error(|c| c.network = Some(NetworkId([1; 32])));
        assert_eq!(elsewhere, Some(ChainError::NotNext));
    }

    #[test]
    fn an_older_version_is_known_and_another_of_its_number_is_a_fork() {
        let (mut chain, authorities) = founded(&[]);
        let one = amended(&chain, &Amendment::default());
        let mut other = one.clone();
        other.nonce = [4; 16];
        let signed = sign_by(&one, &chain.network(), &authorities);
        assert_eq!(judged(&chain, &other, &authorities), Ok(Standing::Next));
        chain.push(&signed).unwrap();
        let two = amended(&chain, &Amendment::default());
        chain
            .push(&sign_by(&two, &chain.network(), &authorities))
            .unwrap();

        let behind = |version| chain.after(version).count();
        assert_eq!([behind(0), behind(1), behind(2)], [2, 1, 0]);
        assert_eq!(judged(&chain, &one, &authorities), Ok(Standing::Known));
        assert_eq!(judged(&chain, &other, &authorities), Ok(Standing::Fork));
        let fork = sign_by(&other, &chain.network(), &authorities);
        assert_eq!(chain.push(&fork), Err(ChainError::NotNext));
        let switched = chain.switched(&fork).unwrap();
        assert_eq!(switched.in_force().charter, other);
        assert_eq!(chain.switched(&signed).err(), Some(ChainError::NotNext));
    }

    #[test]
    fn recovery_keys_change_the_authorities_and_nothing_else() {
        let recovery = [key(120), key(121), key(122)];
        let (chain, _) = founded(&recovery);
        let replaced = Amendment {
            add: vec![(key(110).public(), key(111).public())],
            remove: vec![key(101).public(), key(102).public(), key(103).public()],
            ..Amendment::default()
        };
        let next = amended(&chain, &replaced);
        let signers = [key(120), key(122), key(110)];
        assert_eq!(judged(&chain, &next, &signers), Ok(Standing::Recovery));
        let mut disowning = next.clone();
        disowning.counts_from = 1;
        assert_eq!(judged(&chain, &disowning, &signers), Ok(Standing::Recovery));

        assert_eq!(
            judged(&chain, &next, &[key(120), key(110)]),
            Err(quorum(1, 2))
        );
        assert_eq!(
            judged(&chain, &next, &signers[..2]),
            Err(ChainError::Unproved)
        );
        let mut rules = Rules::of(Template::UsTreatment);
        rules.notice = Span::days(1);
        let more = amended(
            &chain,
            &Amendment {
                rules: Some((Template::UsTreatment, rules)),
                ..replaced
            },
        );
        assert_eq!(judged(&chain, &more, &signers), Err(ChainError::Signer));
    }

    #[test]
    fn who_may_replace_the_authorities_is_none_of_them() {
        let authorities = [key(101), key(102), key(103)];
        let genesis = |recovery: u8| {
            let keys = Keys {
                recovery: vec![key(recovery).public()],
                ..Keys::default()
            };
            Charter::genesis_with(founding(&authorities, 2), keys, NOW, [9; 16]).err()
        };
        assert_eq!(genesis(120), None);

        assert_eq!(genesis(101), Some(CharterError::Key));
    }

    #[test]
    fn credentials_count_under_every_version_from_the_one_the_charter_names() {
        let (mut chain, authorities) = founded(&[]);
        let network = Network::new();
        let mut credential = network.credential(1, 1);
        credential.network = chain.network();
        let old = sign_by(&credential, &chain.network(), &authorities[..2]);
        let replaced = Amendment {
            add: vec![(key(110).public(), key(111).public())],
            remove: vec![key(101).public(), key(102).public()],
            ..Amendment::default()
        };
        let next = amended(&chain, &replaced);
        let signers = [key(101), key(102), key(110)];
        chain
            .push(&sign_by(&next, &chain.network(), &signers))
            .unwrap();
        let verified = |chain: &Chain| verify_credential(&old, &chain.network(), chain, NOW);
        assert!(verified(&chain).is_ok());
        let mixed = sign_by(&credential, &chain.network(), &[key(101), key(110)]);
        assert!(
            verify_credential(&mixed, &chain.network(), &chain, NOW).is_err(),
            "a quorum is of one version"
        );

        let raised = Amendment {
            counts_from: Some(1),
            ..Amendment::default()
        };
        let last = amended(&chain, &raised);
        chain
            .push(&sign_by(&last, &chain.network(), &[key(103), key(110)]))
            .unwrap();

        assert!(matches!(
            verified(&chain),
            Err(StatementError::Quorum { .. })
        ));
    }

    #[test]
    fn a_chain_never_grows_beyond_charter_chain_max_bytes() {
        let (mut chain, authorities) = founded(&[]);
        let wide = |link: &Link| {
            let mut next = link.amended(&Amendment::default(), NOW, [3; 16]).unwrap();
            next.rules.agreement_sha256 = Some([1; 32]);
            next.rules.agreement_url = "u".repeat(256);
            next
        };
        let next = wide(chain.in_force());
        let signed = sign_by(&next, &chain.network(), &authorities);
        let bytes = signed.body.len() + signed.signatures.len() * (32 + 64);
        assert!((bytes..bytes + 100).contains(&len_of(&signed)));
        let mut grown = chain.clone();
        assert_eq!(grown.push(&signed), Ok(()));
        assert_eq!(grown.len_bytes, chain.len_bytes + len_of(&signed));
        chain.len_bytes = CHARTER_CHAIN_MAX_BYTES - len_of(&signed);
        assert_eq!(chain.clone().push(&signed), Ok(()));
        chain.len_bytes += 1;

        assert_eq!(chain.push(&signed), Err(ChainError::Full));
    }

    #[test]
    fn an_amendment_that_names_an_unknown_key_or_no_quorum_is_refused() {
        let (chain, _) = founded(&[]);
        let amend = |remove: u8, threshold| {
            let amendment = Amendment {
                remove: vec![key(remove).public()],
                threshold,
                ..Amendment::default()
            };
            chain.in_force().amended(&amendment, NOW, [3; 16]).err()
        };
        assert_eq!(amend(101, None), None);
        assert_eq!(amend(101, Some(2)), None);

        assert_eq!(amend(50, None), Some(ChainError::Absent));
        let beyond = Amendment {
            counts_from: Some(2),
            ..Amendment::default()
        };
        let fixed = chain.in_force().amended(&beyond, NOW, [3; 16]).err();
        assert_eq!(fixed, Some(ChainError::Fixed));
        assert!(matches!(
            amend(101, Some(1)),
            Some(ChainError::Charter(CharterError::Threshold { .. }))
        ));
    }

    #[test]
    fn a_chain_of_another_networks_genesis_does_not_hold() {
        let (chain, authorities) = founded(&[]);
        let next = amended(&chain, &Amendment::default());
        let signed = sign_by(&next, &chain.network(), &authorities);
        let genesis = chain.in_force().envelope.clone();
        assert!(Chain::of(&genesis, std::slice::from_ref(&signed)).is_ok());
        let other = Network::new();
        assert_ne!(genesis_id(&genesis.body), NetworkId([0; 32]));

        assert!(Chain::of(&other.genesis, &[signed]).is_ok() == (other.id == chain.network()));
    }

    #[test]
    fn the_next_version_says_what_the_amendment_does_and_keeps_the_rest() {
        let public = |seeds: &[u8]| -> Vec<_> {
            ascending(seeds.iter().map(|seed| key(*seed).public()).collect())
        };
        let authorities = [key(101), key(102), key(103)];
        let keys = Keys {
            status: public(&[111, 112, 113]),
            status_threshold: 3,
            recovery: public(&[120]),
        };
        let charter = Charter::genesis_with(founding(&authorities, 3), keys, NOW, [9; 16]).unwrap();
        let link = Link::claimed(&sign_genesis(&charter, &authorities)).unwrap();
        let later = NOW.plus(Span::days(1));
        let amended = |amendment: &Amendment| link.amended(amendment, later, [3; 16]).unwrap();
        let next = Charter {
            version: 1,
            network: Some(link.network),
            previous: Some(link.hash),
            issued_at: later,
            nonce: [3; 16],
            ..charter
        };
        // Thresholds above a majority stay where the keys do.
        assert_eq!(amended(&Amendment::default()), next);

        let amendment = Amendment {
            rules: Some((Template::UsTreatment, Rules::of(Template::UsTreatment))),
            add: vec![(key(104).public(), key(114).public())],
            remove: public(&[101, 111]),
            threshold: None,
            counts_from: Some(1),
        };
        let other = Charter {
            template: Template::UsTreatment,
            rules: Rules::of(Template::UsTreatment),
            authorities: public(&[102, 103, 104]),
            threshold: 2,
            status_keys: public(&[112, 113, 114]),
            status_threshold: 2,
            counts_from: 1,
            ..next.clone()
        };
        assert_eq!(amended(&amendment), other);

        let none_beats = Amendment {
            remove: public(&[111, 112, 113]),
            ..Amendment::default()
        };
        let without = Charter {
            status_keys: Vec::new(),
            status_threshold: 0,
            ..next
        };
        assert_eq!(amended(&none_beats), without);
    }

    #[test]
    fn a_version_is_claimed_and_follows_only_where_its_terms_hold() {
        let (chain, _) = founded(&[]);
        let in_force = chain.in_force();
        let next = amended(&chain, &Amendment::default());
        let claimed =
            |charter: &Charter| Link::claimed(&sign_by(charter, &chain.network(), &[])).err();
        assert_eq!(claimed(&in_force.charter), None);
        assert_eq!(claimed(&next), None);
        assert_eq!(in_force.check_next(&next), Ok(()));

        let late = Charter {
            previous: Some([1; 32]),
            ..in_force.charter.clone()
        };
        assert_eq!(claimed(&late), Some(CharterError::NotGenesis));
        let nameless = Charter {
            name: String::new(),
            ..next
        };
        assert_eq!(claimed(&nameless), Some(CharterError::Name));
        let refused = Err(ChainError::Charter(CharterError::Name));
        assert_eq!(in_force.check_next(&nameless), refused);
    }
}
