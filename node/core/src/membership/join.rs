//! Join requests and answers: who holds the ticket, and who holds the keys.

use super::{
    Chain, ChainError, Charter, Credential, JoinAnswer, JoinRequest, JoinState, OrganizationError,
    StatementError, Subject, ticket_name, verify_credential, verify_key_set_of,
    verify_node_record_of,
};
use crate::{
    crypto::{Body, Envelope, SecretKey, SignatureError, Signed, keyed_hash, keyed_hash_matches},
    types::{NetworkId, NodeKey, Timestamp},
};

/// Stands in the field of the MAC while it is computed.
const BLANK: [u8; 32] = [0; 32];

/// Why a join request or its answer is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// A signature does not hold, or the body is not canonical.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Not signed by the node key it names, and by that alone.
    #[error("not signed by the node key it names")]
    Signer,
    /// Made with another ticket.
    #[error("made with another ticket")]
    Ticket,
    /// The ticket's proof does not hold.
    #[error("the proof of the ticket does not hold")]
    Proof,
    /// Sent too long ago, or by a clock too far ahead.
    #[error("sent at {sent_at}, outside the clock window")]
    ClockSkew {
        /// When it says it was sent.
        sent_at: Timestamp,
    },
    /// The organisation cannot be admitted.
    #[error(transparent)]
    Organization(#[from] OrganizationError),
    /// Key set, node record or credential is not believed.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The charter founds no network.
    #[error(transparent)]
    Charter(#[from] ChainError),
    /// The charter founds another network than the ticket names.
    #[error("the charter is another network's")]
    Network,
    /// The credential is for another member or node key.
    #[error("the credential is for another applicant")]
    Applicant,
    /// Nothing was approved.
    #[error("the request was not approved")]
    NotApproved,
}

impl JoinRequest {
    /// The request with its proof of the ticket, for one inviter.
    #[must_use]
    pub fn proved(mut self, key: &SecretKey, inviter: NodeKey) -> Self {
        self.ticket = ticket_name(key);
        self.mac = BLANK;
        self.mac = keyed_hash(&key[..], &request_parts(&inviter, &self.encode()));
        self
    }

    /// Whom it is about.
    pub fn subject(&self) -> Subject {
        Subject {
            member: self.member,
            node_key: self.node_key,
        }
    }

    fn is_proved(&self, key: &SecretKey, inviter: NodeKey) -> bool {
        let mut blank = self.clone();
        blank.mac = BLANK;
        let body = blank.encode();
        keyed_hash_matches(&key[..], &request_parts(&inviter, &body), &self.mac)
    }
}

impl JoinAnswer {
    /// The answer with its proof of the ticket, to the request with this hash.
    #[must_use]
    pub fn proved(mut self, key: &SecretKey, request: &[u8; 32]) -> Self {
        self.mac = BLANK;
        self.mac = keyed_hash(&key[..], &answer_parts(request, &self.encode()));
        self
    }

    fn is_proved(&self, key: &SecretKey, request: &[u8; 32]) -> bool {
        let mut blank = self.clone();
        blank.mac = BLANK;
        keyed_hash_matches(&key[..], &answer_parts(request, &blank.encode()), &self.mac)
    }
}

// The labels have different lengths and what follows them is of fixed length, so that no request
// reads as an answer.
fn request_parts<'a>(inviter: &'a NodeKey, body: &'a [u8]) -> [&'a [u8]; 3] {
    [b"chartmesh/1/join\0", &inviter.0, body]
}

fn answer_parts<'a>(request: &'a [u8; 32], body: &'a [u8]) -> [&'a [u8]; 3] {
    [b"chartmesh/1/join-answer\0", request, body]
}

/// Verifies a join request with the key of the ticket that it names, found by
/// [`Envelope::claims`]. Whether that ticket is spent or its time is over is for the caller.
///
/// # Errors
/// [`JoinError`].
pub fn verify_join_request(
    envelope: &Envelope,
    network: &NetworkId,
    charter: &Charter,
    key: &SecretKey,
    inviter: NodeKey,
    now: Timestamp,
) -> Result<Signed<JoinRequest>, JoinError> {
    if envelope.signatures.len() > 1 {
        return Err(JoinError::Signer);
    }
    let signed = envelope.verify::<JoinRequest>(network)?;
    let request = signed.value();
    if signed.signers() != [request.node_key.0] {
        return Err(JoinError::Signer);
    }
    if request.ticket != ticket_name(key) {
        return Err(JoinError::Ticket);
    }
    if !request.is_proved(key, inviter) {
        return Err(JoinError::Proof);
    }
    let sent_at = request.sent_at;
    if sent_at.distance(now) > charter.rules.clock_window {
        return Err(JoinError::ClockSkew { sent_at });
    }
    request.organization.check()?;
    verify_key_set_of(&request.key_set, network, request.subject(), now)?;
    if let Some(record) = &request.node_record {
        verify_node_record_of(record, network, request.subject(), now)?;
    }
    Ok(signed)
}

/// Verifies the answer to a join request, from the inviter that the ticket names.
///
/// # Errors
/// [`JoinError`].
pub fn verify_join_answer(
    envelope: &Envelope,
    network: &NetworkId,
    key: &SecretKey,
    inviter: NodeKey,
    request: &[u8; 32],
) -> Result<JoinAnswer, JoinError> {
    let signed = envelope.verify::<JoinAnswer>(network)?;
    if signed.signers() != [inviter.0] || signed.value().node_key != inviter {
        return Err(JoinError::Signer);
    }
    if !signed.value().is_proved(key, request) {
        return Err(JoinError::Proof);
    }
    Ok(signed.into_value())
}

/// What an approved applicant is admitted to, once charter and credential have been verified.
#[derive(Clone)]
pub struct Admission {
    /// The versions of the charter.
    pub chain: Chain,
    /// The credential.
    pub credential: Credential,
    /// The credential as signed.
    pub signed_credential: Envelope,
}

impl JoinAnswer {
    /// Verifies what an approval brings: the charter is the one the ticket names, and its authorities
    /// signed a credential for exactly this applicant.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn admission(
        &self,
        network: &NetworkId,
        applicant: Subject,
        now: Timestamp,
    ) -> Result<Admission, JoinError> {
        let (JoinState::Approved, Some(signed_charter), Some(signed_credential)) =
            (self.state, &self.charter, &self.credential)
        else {
            return Err(JoinError::NotApproved);
        };
        let chain = Chain::of(signed_charter, &self.later_charters)?;
        if chain.network() != *network {
            return Err(JoinError::Network);
        }
        let credential = verify_credential(signed_credential, network, &chain, now)?;
        if credential.subject() != applicant {
            return Err(JoinError::Applicant);
        }
        Ok(Admission {
            chain,
            credential,
            signed_credential: signed_credential.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::SigningKey,
        membership::{
            HpkeKey,
            fixture::{NOW, Network, key, organization, subject},
        },
        types::{MemberId, Span},
    };

    const INVITER: u8 = 60;
    const APPLICANT: u8 = 61;

    fn ticket_key() -> SecretKey {
        SecretKey::new([5; 32])
    }

    fn inviter() -> NodeKey {
        NodeKey(key(INVITER).public())
    }

    fn request(network: &Network) -> JoinRequest {
        let of = |key: SigningKey, set| key.sign(&network.id, set);
        JoinRequest {
            ticket: [0; 32],
            mac: BLANK,
            node_key: subject(APPLICANT).node_key,
            member: subject(APPLICANT).member,
            key_set: of(key(APPLICANT), &network.key_set(APPLICANT, 1)),
            organization: organization(),
            sent_at: NOW,
            node_record: None,
        }
    }

    fn verify(network: &Network, envelope: &Envelope) -> Option<JoinError> {
        let key = ticket_key();
        verify_join_request(
            envelope,
            &network.id,
            &network.charter,
            &key,
            inviter(),
            NOW,
        )
        .err()
    }

    #[test]
    fn a_request_proves_its_ticket_and_its_keys() {
        let network = Network::new();
        let good = request(&network).proved(&ticket_key(), inviter());
        assert_eq!(
            verify(&network, &key(APPLICANT).sign(&network.id, &good)),
            None
        );

        let again = good.clone().proved(&ticket_key(), inviter());
        let again = key(APPLICANT).sign(&network.id, &again);
        assert_eq!(verify(&network, &again), None, "as it was");

        let by_another = key(62).sign(&network.id, &good);
        assert_eq!(verify(&network, &by_another), Some(JoinError::Signer));
        let mut one_more = key(APPLICANT).sign(&network.id, &good);
        // Forged, had anybody looked.
        one_more.signatures.push((key(62).public(), [0; 64]));
        assert_eq!(verify(&network, &one_more), Some(JoinError::Signer));
        let other_ticket = request(&network).proved(&SecretKey::new([6; 32]), inviter());
        let signed = key(APPLICANT).sign(&network.id, &other_ticket);
        assert_eq!(verify(&network, &signed), Some(JoinError::Ticket));
        let other_inviter = request(&network).proved(&ticket_key(), NodeKey(key(63).public()));
        let signed = key(APPLICANT).sign(&network.id, &other_inviter);
        assert_eq!(verify(&network, &signed), Some(JoinError::Proof));
    }

    #[test]
    fn a_request_changed_in_any_field_after_its_proof_is_refused() {
        let network = Network::new();
        let error = |change: fn(&mut JoinRequest)| {
            let mut request = request(&network).proved(&ticket_key(), inviter());
            change(&mut request);
            verify(&network, &key(APPLICANT).sign(&network.id, &request))
        };
        assert_eq!(error(|_| ()), None);

        assert_eq!(error(|r| r.mac[31] ^= 1), Some(JoinError::Proof));
        assert_eq!(error(|r| r.mac = BLANK), Some(JoinError::Proof));
        assert_eq!(
            error(|r| r.member = MemberId([1; 16])),
            Some(JoinError::Proof)
        );
        assert_eq!(
            error(|r| r.organization.part2 = true),
            Some(JoinError::Proof)
        );
        assert_eq!(
            error(|r| r.sent_at = NOW.plus(Span(1))),
            Some(JoinError::Proof)
        );
        assert_eq!(
            error(|r| r.node_record = Some(r.key_set.clone())),
            Some(JoinError::Proof)
        );
    }

    #[test]
    fn a_request_with_foreign_keys_bad_organisation_or_old_date_is_refused() {
        let network = Network::new();
        let error = |change: &dyn Fn(&mut JoinRequest)| {
            let mut request = request(&network);
            change(&mut request);
            let proved = request.proved(&ticket_key(), inviter());
            verify(&network, &key(APPLICANT).sign(&network.id, &proved))
        };
        assert_eq!(error(&|_| ()), None);
        let window = network.charter.rules.clock_window;
        assert_eq!(error(&|r| r.sent_at = NOW.minus(window)), None);

        let sent_at = NOW.minus(window).minus(Span(1));
        let late = error(&|r| r.sent_at = sent_at);
        assert_eq!(late, Some(JoinError::ClockSkew { sent_at }));
        let nameless = error(&|r| r.organization.name.clear());
        assert_eq!(
            nameless,
            Some(JoinError::Organization(OrganizationError::Name))
        );
        let foreign = error(&|r| {
            r.key_set = key(62).sign(&network.id, &network.key_set(APPLICANT, 1));
        });
        assert_eq!(foreign, Some(JoinError::Statement(StatementError::Signer)));

        let record = |signer: u8| {
            error(&|r| {
                let record = network.node_record(APPLICANT, 1);
                r.node_record = Some(key(signer).sign(&network.id, &record));
            })
        };
        assert_eq!(record(APPLICANT), None);
        let foreign = Some(JoinError::Statement(StatementError::Signer));
        assert_eq!(record(62), foreign);
    }

    fn approval(network: &Network) -> JoinAnswer {
        JoinAnswer {
            state: JoinState::Approved,
            mac: BLANK,
            credential: Some(network.sign(&network.credential(APPLICANT, 1))),
            charter: Some(network.genesis.clone()),
            later_charters: Vec::new(),
            peers: vec![network.known(1)],
            node_key: inviter(),
            revocations: None,
            heartbeat: None,
        }
    }

    #[test]
    fn an_answer_is_believed_from_the_inviter_to_this_request_only() {
        let network = Network::new();
        let answer = approval(&network).proved(&ticket_key(), &[1; 32]);
        let signed = key(INVITER).sign(&network.id, &answer);
        let verify = |signed: &Envelope, request: u8| {
            let key = ticket_key();
            verify_join_answer(signed, &network.id, &key, inviter(), &[request; 32]).err()
        };
        assert_eq!(verify(&signed, 1), None);
        let again = answer.clone().proved(&ticket_key(), &[1; 32]);
        assert_eq!(verify(&key(INVITER).sign(&network.id, &again), 1), None);

        assert_eq!(verify(&signed, 2), Some(JoinError::Proof));
        let by_another = key(62).sign(&network.id, &answer);
        assert_eq!(verify(&by_another, 1), Some(JoinError::Signer));
        let mut changed = answer.clone();
        changed.peers.clear();
        let signed = key(INVITER).sign(&network.id, &changed);
        assert_eq!(verify(&signed, 1), Some(JoinError::Proof));
    }

    #[test]
    fn an_admission_is_to_the_network_of_the_ticket_and_for_this_applicant() {
        let network = Network::new();
        let admission = |answer: &JoinAnswer, network_id, applicant, now| {
            let admitted = answer.admission(&network_id, subject(applicant), now);
            admitted.map(|admitted| admitted.credential.member).err()
        };
        let good = approval(&network);
        assert_eq!(admission(&good, network.id, APPLICANT, NOW), None);

        let elsewhere = admission(&good, NetworkId([1; 32]), APPLICANT, NOW);
        assert_eq!(elsewhere, Some(JoinError::Network));
        let anothers = admission(&good, network.id, 62, NOW);
        assert_eq!(anothers, Some(JoinError::Applicant));
        let later = admission(&good, network.id, APPLICANT, NOW.plus(Span::days(400)));
        assert!(matches!(
            later,
            Some(JoinError::Statement(StatementError::Expired { .. }))
        ));
        let mut pending = good;
        pending.state = JoinState::Pending;
        let waiting = admission(&pending, network.id, APPLICANT, NOW);
        assert_eq!(waiting, Some(JoinError::NotApproved));
    }

    #[test]
    fn a_sealing_key_of_another_form_cannot_be_offered() {
        let network = Network::new();
        let good = network.key_set(APPLICANT, 1).keys[0].public.clone();
        assert!(HpkeKey::xwing(good.clone()).is_ok());

        let shorter = HpkeKey::xwing(good.slice(1..));

        assert_eq!(shorter, Err(StatementError::Key));
    }
}
