//! What several authorities must sign: one exact byte string, and the signatures gathered so far.

use super::{
    ChainError, Charter, CharterError, Credential, Link, RevocationError, RevocationList,
    StatementError, chain::Signatures,
};
use crate::{
    crypto::{Body, Envelope, SignatureError, SigningKey, sha256},
    types::{NetworkId, ProposalId},
};

/// Why a proposal is not taken, or not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// A signature does not hold, or the body is not canonical.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The charter it proposes cannot be used.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The credential it proposes would not be believed.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// It is another network's.
    #[error("the proposal is for another network")]
    Network,
    /// Somebody signed whose word does not count for it, or nobody.
    #[error("a signer of the proposal is no authority")]
    Signer,
    /// The revocation list it proposes cannot be used.
    #[error(transparent)]
    List(#[from] RevocationError),
    /// The two are not the same proposal.
    #[error("the proposals differ")]
    Differs,
}

impl From<CharterError> for ProposalError {
    fn from(error: CharterError) -> Self {
        Self::Chain(error.into())
    }
}

/// What a proposal becomes once it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProposalKind {
    /// A version of the charter.
    Charter,
    /// A member's credential.
    Credential,
    /// The list of revoked members.
    RevocationList,
}

impl ProposalKind {
    /// The word for it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Charter => "charter",
            Self::Credential => "credential",
            Self::RevocationList => "revocation-list",
        }
    }
}

/// One body and the signatures over it so far.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal {
    /// What it becomes.
    pub kind: ProposalKind,
    /// The body and who signed it.
    pub signed: Envelope,
}

/// What a proposal says, read from the very bytes that are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// A version of the charter.
    Charter(Charter),
    /// A member's credential.
    Credential(Credential),
    /// The list of revoked members.
    RevocationList(RevocationList),
}

impl Proposed {
    /// Whether both say the same of the same thing, whenever and by whom each was drawn up.
    pub fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Charter(one), Self::Charter(other)) => {
                let drawn_up_with = Charter {
                    issued_at: one.issued_at,
                    nonce: one.nonce,
                    ..other.clone()
                };
                *one == drawn_up_with
            }
            (Self::Credential(one), Self::Credential(other)) => one.says_the_same(other),
            (Self::RevocationList(one), Self::RevocationList(other)) => {
                (one.version, one.previous, &one.members)
                    == (other.version, other.previous, &other.members)
            }
            _ => false,
        }
    }
}

impl Proposal {
    /// A proposal nobody signed yet.
    pub fn unsigned<T: Body>(kind: ProposalKind, value: &T) -> Self {
        Self {
            kind,
            signed: Envelope {
                body: value.encode().into(),
                signatures: Vec::new(),
            },
        }
    }

    /// What it is called: the same for everybody who has these bytes.
    pub fn id(&self) -> ProposalId {
        let hash = sha256(&[
            b"chartmesh/1/proposal",
            self.kind.text().as_bytes(),
            &self.signed.hash(),
        ]);
        let mut id = [0; ProposalId::LEN];
        id.copy_from_slice(&hash[..ProposalId::LEN]);
        ProposalId(id)
    }

    /// What the bytes say; signatures are not looked at.
    ///
    /// # Errors
    /// [`SignatureError`] where the bytes are no such body, or not in canonical form.
    pub fn proposed(&self) -> Result<Proposed, SignatureError> {
        Ok(match self.kind {
            ProposalKind::Charter => Proposed::Charter(canonical(&self.signed)?),
            ProposalKind::Credential => Proposed::Credential(canonical(&self.signed)?),
            ProposalKind::RevocationList => Proposed::RevocationList(canonical(&self.signed)?),
        })
    }

    /// Checks everything but signatures against the version of the charter in force: that it could be
    /// believed once it is complete. For a genesis the version in force is its own.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn check(&self, in_force: &Link) -> Result<Proposed, ProposalError> {
        let proposed = self.proposed()?;
        match &proposed {
            Proposed::Charter(charter) if charter.version == 0 => {
                charter.check_genesis()?;
                if self.signed.hash() != in_force.hash {
                    return Err(ProposalError::Network);
                }
            }
            Proposed::Charter(charter) => in_force.check_next(charter)?,
            Proposed::Credential(credential) => credential.check(&in_force.network)?,
            Proposed::RevocationList(list) => list.check(&in_force.network)?,
        }
        Ok(proposed)
    }

    /// Whether a key's signature counts for it.
    fn may_sign(&self, proposed: &Proposed, in_force: &Link, key: &[u8; 32]) -> bool {
        match proposed {
            Proposed::Charter(charter) if charter.version == 0 => charter.authorities.contains(key),
            Proposed::Charter(charter) => in_force.may_sign(charter, key),
            Proposed::Credential(_) | Proposed::RevocationList(_) => {
                in_force.charter.authorities.contains(key)
            }
        }
    }

    /// Verifies every signature, each by somebody whose word counts.
    ///
    /// # Errors
    /// [`ProposalError`]; one bad signature among good ones is enough.
    pub fn verify(&self, in_force: &Link) -> Result<Proposed, ProposalError> {
        let proposed = self.check(in_force)?;
        let signers = self.signed.claimed_signers();
        // Who signed is looked at before any signature is.
        let counts = |key: &[u8; 32]| self.may_sign(&proposed, in_force, key);
        if signers.is_empty() || !signers.iter().all(counts) {
            return Err(ProposalError::Signer);
        }
        let network = in_force.network;
        match self.kind {
            ProposalKind::Charter => self.signed.verify::<Charter>(&network).map(drop)?,
            ProposalKind::Credential => self.signed.verify::<Credential>(&network).map(drop)?,
            ProposalKind::RevocationList => {
                self.signed.verify::<RevocationList>(&network).map(drop)?;
            }
        }
        Ok(proposed)
    }

    /// How many who must sign have.
    pub fn signatures(&self, proposed: &Proposed, in_force: &Link) -> Signatures {
        let signers = self.signed.claimed_signers();
        match proposed {
            Proposed::Charter(charter) => in_force.signatures_on(charter, &signers),
            Proposed::Credential(_) | Proposed::RevocationList(_) => Signatures {
                signed: in_force.charter.authorities_among(&signers),
                threshold: in_force.charter.threshold,
                missing: Vec::new(),
            },
        }
    }

    /// Whether a key has signed it.
    pub fn is_signed_by(&self, key: &[u8; 32]) -> bool {
        self.signed
            .signatures
            .iter()
            .any(|(signer, _)| signer == key)
    }

    /// Adds the signature of a key whose word counts.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn sign(&mut self, key: &SigningKey, in_force: &Link) -> Result<(), ProposalError> {
        let proposed = self.check(in_force)?;
        if !self.may_sign(&proposed, in_force, &key.public()) {
            return Err(ProposalError::Signer);
        }
        if self.is_signed_by(&key.public()) {
            return Ok(());
        }
        let network: NetworkId = in_force.network;
        match self.kind {
            ProposalKind::Charter => self.signed.add_signature::<Charter>(key, &network),
            ProposalKind::Credential => self.signed.add_signature::<Credential>(key, &network),
            ProposalKind::RevocationList => {
                self.signed.add_signature::<RevocationList>(key, &network);
            }
        }
        Ok(())
    }

    /// Takes the signatures of the same proposal that are not held, both verified; in order of key, so
    /// that whoever merges what gets the same bytes.
    ///
    /// # Errors
    /// [`ProposalError::Differs`].
    pub fn merge(&mut self, other: &Self) -> Result<(), ProposalError> {
        if self.kind != other.kind || self.signed.body != other.signed.body {
            return Err(ProposalError::Differs);
        }
        for (key, signature) in &other.signed.signatures {
            if !self.is_signed_by(key) {
                self.signed.signatures.push((*key, *signature));
            }
        }
        self.signed.signatures.sort_unstable_by_key(|(key, _)| *key);
        Ok(())
    }

    /// Without the signatures that do not count under a version of the charter; none where it could
    /// not become true any more.
    #[must_use]
    pub fn under(&self, in_force: &Link) -> Option<Self> {
        let proposed = self.check(in_force).ok()?;
        let mut kept = self.clone();
        let counts = |key: &[u8; 32]| self.may_sign(&proposed, in_force, key);
        kept.signed.signatures.retain(|(key, _)| counts(key));
        (!kept.signed.signatures.is_empty()).then_some(kept)
    }
}

fn canonical<T: Body>(envelope: &Envelope) -> Result<T, SignatureError> {
    let value = envelope.claims::<T>()?;
    if value.encode() != envelope.body {
        return Err(SignatureError::NotCanonical { domain: T::DOMAIN });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::membership::{
        Amendment, Keys, Revocations,
        fixture::{NOW, Network, founding, key, subject},
    };

    fn link(network: &Network) -> Link {
        Link::clone(network.chain.in_force())
    }

    fn credential(network: &Network) -> Proposal {
        Proposal::unsigned(ProposalKind::Credential, &network.credential(1, 1))
    }

    fn signed_by(network: &Network, signers: &[usize]) -> Proposal {
        let mut proposal = credential(network);
        for signer in signers {
            proposal
                .sign(&network.authorities[*signer], &link(network))
                .unwrap();
        }
        proposal
    }

    fn counted(proposal: &Proposal, network: &Network) -> (usize, bool) {
        let link = link(network);
        let proposed = proposal.check(&link).unwrap();
        let signatures = proposal.signatures(&proposed, &link);
        (signatures.signed, signatures.complete())
    }

    #[test]
    fn a_proposal_is_complete_with_the_signature_that_makes_a_quorum() {
        let network = Network::new();
        assert_eq!(counted(&signed_by(&network, &[0]), &network), (1, false));
        assert_eq!(counted(&signed_by(&network, &[0, 0]), &network), (1, false));
        assert_eq!(counted(&signed_by(&network, &[0, 2]), &network), (2, true));

        let proposal = signed_by(&network, &[0, 2]);
        assert!(proposal.verify(&link(&network)).is_ok());
        assert!(credential(&network).verify(&link(&network)) == Err(ProposalError::Signer));
    }

    #[test]
    fn a_signature_of_a_stranger_or_a_forged_one_refuses_the_whole() {
        let network = Network::new();
        let link = link(&network);
        let good = signed_by(&network, &[0]);
        assert!(good.verify(&link).is_ok());

        let mut stranger = good.clone();
        assert_eq!(stranger.sign(&key(50), &link), Err(ProposalError::Signer));
        stranger
            .signed
            .add_signature::<Credential>(&key(50), &network.id);
        assert_eq!(stranger.verify(&link), Err(ProposalError::Signer));
        let mut forged = good;
        forged.signed.signatures[0].1[0] ^= 1;
        assert_eq!(
            forged.verify(&link),
            Err(ProposalError::Signature(SignatureError::Forged))
        );
    }

    #[test]
    fn a_body_of_one_kind_is_no_proposal_of_another() {
        let network = Network::new();
        let good = signed_by(&network, &[0]);
        assert!(good.verify(&link(&network)).is_ok());

        for kind in [ProposalKind::Charter, ProposalKind::RevocationList] {
            let other = Proposal {
                kind,
                ..good.clone()
            };
            assert!(other.verify(&link(&network)).is_err());
            assert_ne!(other.id(), good.id());
        }
    }

    #[test]
    fn what_removed_authorities_signed_is_taken_out_with_them() {
        let network = Network::new();
        let mut chain = network.chain.clone();
        let amendment = Amendment {
            remove: vec![network.authorities[0].public()],
            ..Amendment::default()
        };
        let next = link(&network)
            .amended(&amendment, crate::membership::fixture::NOW, [1; 16])
            .unwrap();
        let mut proposal = Proposal::unsigned(ProposalKind::Charter, &next);
        for signer in &network.authorities {
            proposal.sign(signer, &link(&network)).unwrap();
        }
        chain.push(&proposal.signed).unwrap();
        let both = signed_by(&network, &[0, 1]);
        assert!(both.under(&link(&network)).as_ref() == Some(&both));

        let after = both.under(chain.in_force());

        assert!(after == Some(signed_by(&network, &[1])));
        let alone = signed_by(&network, &[0]).under(chain.in_force());
        assert!(alone.is_none(), "nobody's word is left");
        assert!(proposal.under(chain.in_force()).is_none(), "it is in force");
    }

    /// A founding of three authorities with a recovery key, and the version it is judged by.
    fn genesis(network: &Network) -> (Proposal, Link) {
        let keys = Keys {
            recovery: vec![key(120).public()],
            ..Keys::default()
        };
        let charter =
            Charter::genesis_with(founding(&network.authorities, 2), keys, NOW, [9; 16]).unwrap();
        let proposal = Proposal::unsigned(ProposalKind::Charter, &charter);
        let own = Link::claimed(&proposal.signed).unwrap();
        (proposal, own)
    }

    #[test]
    fn a_genesis_is_signed_by_its_authorities_and_not_by_who_may_replace_them() {
        let network = Network::new();
        let (mut proposal, own) = genesis(&network);
        let complete = |proposal: &Proposal| {
            let proposed = proposal.check(&own).unwrap();
            let signatures = proposal.signatures(&proposed, &own);
            (signatures.signed, signatures.complete())
        };
        assert_eq!(proposal.sign(&network.authorities[0], &own), Ok(()));
        assert_eq!(complete(&proposal), (1, false));

        let recovery = proposal.sign(&key(120), &own);
        assert_eq!(recovery, Err(ProposalError::Signer));
        assert_eq!(proposal.sign(&network.authorities[2], &own), Ok(()));
        assert_eq!(complete(&proposal), (2, true));
        assert!(proposal.verify(&own).is_ok());
    }

    #[test]
    fn a_genesis_is_judged_by_itself_alone_and_must_be_one() {
        let network = Network::new();
        let (proposal, own) = genesis(&network);
        assert!(proposal.check(&own).is_ok());

        let elsewhere = proposal.check(&link(&network)).err();
        assert_eq!(elsewhere, Some(ProposalError::Network));
        let following = Charter {
            previous: Some([1; 32]),
            ..own.charter.clone()
        };
        let proposal = Proposal::unsigned(ProposalKind::Charter, &following);
        let hash = proposal.signed.hash();
        let refused = proposal.check(&Link { hash, ..own }).err();
        assert_eq!(refused, Some(CharterError::NotGenesis.into()));
    }

    #[test]
    fn a_forged_signature_refuses_a_proposal_of_any_kind() {
        let network = Network::new();
        let link = link(&network);
        let next = link.amended(&Amendment::default(), NOW, [1; 16]).unwrap();
        let list = Revocations::default().with(subject(1).member, network.id, NOW);
        for mut proposal in [
            Proposal::unsigned(ProposalKind::Charter, &next),
            credential(&network),
            Proposal::unsigned(ProposalKind::RevocationList, &list.unwrap()),
        ] {
            proposal.sign(&network.authorities[0], &link).unwrap();
            assert!(proposal.verify(&link).is_ok());

            proposal.signed.signatures[0].1[0] ^= 1;

            let forged = ProposalError::Signature(SignatureError::Forged);
            assert_eq!(proposal.verify(&link).err(), Some(forged));
        }
    }

    #[test]
    fn only_signatures_of_the_same_bytes_and_kind_are_merged() {
        let network = Network::new();
        let other = signed_by(&network, &[1]);
        let mut one = signed_by(&network, &[0]);
        assert_eq!(one.clone().merge(&other), Ok(()));

        let mut of_another_kind = other.clone();
        of_another_kind.kind = ProposalKind::Charter;
        assert_eq!(one.merge(&of_another_kind), Err(ProposalError::Differs));
        let mut of_another =
            Proposal::unsigned(ProposalKind::Credential, &network.credential(2, 1));
        of_another
            .sign(&network.authorities[1], &link(&network))
            .unwrap();
        assert_eq!(one.merge(&of_another), Err(ProposalError::Differs));
        assert!(one == signed_by(&network, &[0]));
    }

    #[test]
    fn a_body_with_more_in_it_than_is_shown_is_no_proposal() {
        let network = Network::new();
        let mut proposal = credential(&network);
        assert!(proposal.check(&link(&network)).is_ok());

        // A field of number 2047 with the value 1, which every reader skips.
        let body = [&proposal.signed.body[..], &[0xF8, 0x7F, 1]].concat();
        proposal.signed.body = body.into();

        assert!(proposal.signed.claims::<Credential>().is_ok());
        let refused = proposal.check(&link(&network)).err();
        let domain = Credential::DOMAIN;
        let error = ProposalError::Signature(SignatureError::NotCanonical { domain });
        assert_eq!(refused, Some(error));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However the signatures travel, everybody ends up with the same proposal.
        #[test]
        fn merging_is_a_union_in_any_order(
            parts in proptest::collection::vec(proptest::collection::vec(0_usize..3, 1..4), 1..6),
            order in proptest::collection::vec(0_usize..64, 8),
        ) {
            let network = Network::new();
            let signed: Vec<Proposal> = parts
                .iter()
                .map(|signers| signed_by(&network, signers))
                .collect();
            let merged = |proposals: &[Proposal]| {
                let mut all = proposals[0].clone();
                for other in proposals {
                    all.merge(other).unwrap();
                    all.merge(&all.clone()).unwrap();
                }
                all
            };
            let mut shuffled = signed.clone();
            for (index, other) in order.iter().enumerate() {
                let len = shuffled.len();
                shuffled.swap(index % len, other % len);
            }

            let one = merged(&signed);
            let other = merged(&shuffled);

            prop_assert!(one == other);
            let distinct: std::collections::BTreeSet<usize> =
                parts.iter().flatten().copied().collect();
            prop_assert_eq!(counted(&one, &network), (distinct.len(), distinct.len() >= 2));
            prop_assert!(one.verify(&link(&network)).is_ok());
        }

        /// No chain of changes makes a version hold whose signers are no quorum of the one before.
        #[test]
        fn a_version_holds_exactly_where_a_quorum_signed(
            signers in proptest::collection::btree_set(0_usize..5, 0..5),
            steps in 0_usize..3,
        ) {
            let network = Network::new();
            let mut chain = network.chain.clone();
            for step in 0..steps {
                let next = chain
                    .in_force()
                    .amended(&Amendment::default(), crate::membership::fixture::NOW, [step as u8; 16])
                    .unwrap();
                let signed = crate::membership::fixture::sign_by(&next, &network.id, &network.authorities[..2]);
                chain.push(&signed).unwrap();
            }
            let next = chain
                .in_force()
                .amended(&Amendment::default(), crate::membership::fixture::NOW, [77; 16])
                .unwrap();
            let keys: Vec<_> = signers.iter().map(|one| key(101 + *one as u8)).collect();
            let signed = crate::membership::fixture::sign_by(&next, &network.id, &keys);

            let holds = chain.judge(&signed).is_ok();

            let authorities = signers.iter().filter(|one| **one < 3).count();
            prop_assert_eq!(holds, authorities >= 2 && authorities == signers.len());
        }
    }
}
