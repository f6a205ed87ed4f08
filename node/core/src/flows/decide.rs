//! What list, fetch and release share: from a handle to a decision about the holder's own patient.

use bytes::Bytes;

use super::{
    call::Question,
    error::FlowError,
    node::{Node, push_audit},
};
use crate::{
    audit::{self, FloodKey, Heed},
    locator::Issued,
    policy::{self, Ask, Asker, Denial, Existence, Permit},
    ports::{Stage, World},
    records::Batch,
    session::Authenticated,
    types::{Code, DocumentId, Handle, PeerCode, Purpose, Role, UserId},
};

/// What a request about a handle says of itself.
pub(super) struct Claim {
    pub(super) handle: Handle,
    pub(super) document: Option<DocumentId>,
    pub(super) purpose: Purpose,
    pub(super) user: UserId,
    pub(super) role: Role,
}

/// Why a claim was not permitted.
pub(super) enum Refusal {
    /// The asker is no active member any more.
    NotMember,
    /// The asker was thrown out.
    Revoked,
    /// Nobody has confirmed for too long who was thrown out.
    Stale,
    /// The handle is unknown to this asker.
    Handle,
    /// The document, disclosure or manifest is none of the handle's patient.
    Document(Issued),
    /// The asker may no longer know that the patient exists: told like an unknown handle.
    Concealed(Issued, Denial),
    /// The handle was given for a purpose that does not cover this one.
    Purpose(Issued),
    Denied(Issued, Denial),
    /// What was fetched is not what the release names.
    Root(Issued),
    Unavailable,
}

impl Refusal {
    pub(super) fn peer_code(&self) -> PeerCode {
        match self {
            Self::NotMember | Self::Revoked => PeerCode::NotMember,
            Self::Stale => PeerCode::TrustStale,
            Self::Handle | Self::Document(_) | Self::Purpose(_) | Self::Concealed(..) => {
                PeerCode::HandleUnknown
            }
            Self::Denied(_, denial) => denial.peer_code(),
            Self::Root(_) => PeerCode::Malformed,
            Self::Unavailable => PeerCode::Unavailable,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::NotMember => Code::NotMember,
            Self::Revoked => Code::KeyRevoked,
            Self::Stale => Code::TrustStale,
            Self::Handle => Code::HandleUnknown,
            Self::Document(_) => Code::DocumentUnknown,
            Self::Concealed(..) => Code::Concealed,
            Self::Purpose(_) => Code::HandleUnknown,
            Self::Denied(_, denial) => denial.code(),
            Self::Root(_) => Code::Integrity,
            Self::Unavailable => Code::StorageFailed,
        }
    }

    /// What the log says of it besides.
    fn about(&self) -> (Option<&Issued>, Option<&Denial>) {
        match self {
            Self::Document(issued) | Self::Purpose(issued) | Self::Root(issued) => {
                (Some(issued), None)
            }
            Self::Denied(issued, denial) | Self::Concealed(issued, denial) => {
                (Some(issued), Some(denial))
            }
            Self::NotMember | Self::Revoked | Self::Stale | Self::Handle | Self::Unavailable => {
                (None, None)
            }
        }
    }
}

impl<W: World> Node<W> {
    /// Decides a claim on the facts of this moment. The patient comes from the handle, which only
    /// this holder made; never from the asker.
    pub(super) fn decide<T>(
        &self,
        request: &Authenticated<T>,
        claim: &Claim,
    ) -> Result<(Issued, Permit), Refusal> {
        let _step = self.world.step(Stage::Policy);
        let now = self.now();
        let own = self.own_peer();
        let state = self.state();
        let network = state.network.as_ref().ok_or(Refusal::Unavailable)?;
        if state.peer(request.peer().node_key, now).is_none() {
            let revoked = state.trust.revocations.names(&request.peer().member);
            return Err(if revoked {
                Refusal::Revoked
            } else {
                Refusal::NotMember
            });
        }
        if claim.purpose != Purpose::Btg && state.is_stale(now) {
            return Err(Refusal::Stale);
        }
        let issued = state
            .handles
            .find(claim.handle, request.peer().member, now)
            .ok_or(Refusal::Handle)?;
        let template = network.charter.template;
        let facts = self.facts(&state, &own.organization, template, issued.patient);
        // Existence was revealed for the purpose of the handle, and for that it is asked again.
        let ask = Ask {
            asker: Asker::from(request.peer()),
            purpose: issued.purpose,
            role: claim.role,
            now,
        };
        let concealed = policy::existence(&ask, &facts) == Existence::Concealed;
        policy::permit(
            request,
            claim.purpose,
            claim.role,
            claim.document,
            &facts,
            now,
        )
        .map_err(|denial| {
            if concealed {
                Refusal::Concealed(issued, denial)
            } else {
                Refusal::Denied(issued, denial)
            }
        })
        .and_then(|permit| {
            // A handle serves the purpose it was asked for, and what that purpose covers.
            if policy::covers(issued.purpose, claim.purpose) {
                Ok((issued, permit))
            } else {
                Err(Refusal::Purpose(issued))
            }
        })
    }

    /// Records a refusal, within what one asker may make us write, and seals it.
    pub(super) async fn deny<T>(
        &self,
        question: &Question,
        request: &Authenticated<T>,
        claim: &Claim,
        refusal: &Refusal,
    ) -> Bytes {
        let recorded = self.record_refusal(request, claim, refusal).await;
        let told = if recorded.is_ok() {
            refusal.peer_code()
        } else {
            PeerCode::Unavailable
        };
        self.refuse(question, 0, told)
    }

    /// Records a refusal, within what one asker may make us write.
    pub(super) async fn record_refusal<T>(
        &self,
        request: &Authenticated<T>,
        claim: &Claim,
        refusal: &Refusal,
    ) -> Result<(), FlowError> {
        let code = refusal.code();
        let heed = self.state().flood.heed(
            FloodKey {
                member: Some(request.peer().member),
                user: Some(claim.user),
                code,
            },
            self.world.now(),
        );
        if heed == Heed::Whole {
            let (issued, denial) = refusal.about();
            let mut batch = Batch::default();
            push_audit(
                &mut batch,
                &audit::Entry {
                    member: Some(request.peer().member),
                    patient: issued.map(|issued| issued.patient),
                    document: claim.document,
                    consent: denial.and_then(|denial| denial.consent()),
                    rule: denial.map(|denial| denial.rule()),
                    purpose: Some(claim.purpose),
                    user: Some(claim.user),
                    role: Some(claim.role),
                    code: Some(code),
                    query_hash: issued.map(|issued| issued.query_hash),
                    ..audit::Entry::new(audit::Kind::Denied)
                },
            );
            self.commit(batch).await?;
        }
        Ok(())
    }

    /// Writes the counts of refusals that were not kept whole. Called every minute and at the end.
    ///
    /// # Errors
    /// [`FlowError::Store`].
    pub async fn write_counted(&self) -> Result<(), FlowError> {
        let counted = self.state().flood.drain();
        let mut batch = Batch::default();
        for counted in counted {
            // Only what passed admission names a user; the rest never got that far.
            let kind = match counted.key {
                Some(FloodKey { user: Some(_), .. }) => audit::Kind::Denied,
                Some(FloodKey { user: None, .. }) | None => audit::Kind::RefusedMessage,
            };
            push_audit(
                &mut batch,
                &audit::Entry {
                    member: counted.key.and_then(|key| key.member),
                    user: counted.key.and_then(|key| key.user),
                    code: counted.key.map(|key| key.code),
                    count: counted.count,
                    ..audit::Entry::new(kind)
                },
            );
        }
        if batch.drafts.is_empty() {
            return Ok(());
        }
        self.commit(batch).await?;
        Ok(())
    }
}
