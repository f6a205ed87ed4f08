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
    policy::{self, Denial, Facts, Permit},
    ports::World,
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
    Handle,
    Purpose(Issued),
    Denied(Issued, Denial),
    Unavailable,
}

impl Refusal {
    pub(super) fn peer_code(&self) -> PeerCode {
        match self {
            Self::Handle => PeerCode::HandleUnknown,
            Self::Purpose(_) => PeerCode::Denied,
            Self::Denied(_, denial) => denial.peer_code(),
            Self::Unavailable => PeerCode::Unavailable,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Handle => Code::HandleUnknown,
            Self::Purpose(_) => Code::Denied,
            Self::Denied(_, denial) => denial.code(),
            Self::Unavailable => Code::StorageFailed,
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
        let now = self.now();
        let own = self.own_peer();
        let state = self.state();
        let network = state.network.as_ref().ok_or(Refusal::Unavailable)?;
        let issued = state
            .handles
            .find(claim.handle, request.peer().member, now)
            .ok_or(Refusal::Handle)?;
        if issued.purpose != claim.purpose {
            return Err(Refusal::Purpose(issued));
        }
        let facts = Facts {
            patient: issued.patient,
            holder: &own.organization,
            template: network.charter.template,
            discoverability: state
                .patients
                .get(&issued.patient)
                .and_then(|patient| patient.discoverability)
                .unwrap_or(self.discoverability),
            consents: state.consents_of(issued.patient),
        };
        policy::permit(
            request,
            claim.purpose,
            claim.role,
            claim.document,
            &facts,
            now,
        )
        .map(|permit| (issued, permit))
        .map_err(|denial| Refusal::Denied(issued, denial))
    }

    /// Records a refusal, within what one asker may make us write, and seals it.
    pub(super) async fn deny<T>(
        &self,
        question: &Question,
        request: &Authenticated<T>,
        claim: &Claim,
        refusal: &Refusal,
    ) -> Bytes {
        let code = refusal.code();
        let heed = self.state().flood.heed(
            FloodKey {
                member: Some(request.peer().member),
                user: Some(claim.user),
                code,
            },
            self.world.now(),
        );
        let mut told = refusal.peer_code();
        if heed == Heed::Whole {
            let (issued, denial) = match refusal {
                Refusal::Purpose(issued) => (Some(issued), None),
                Refusal::Denied(issued, denial) => (Some(issued), Some(denial)),
                Refusal::Handle | Refusal::Unavailable => (None, None),
            };
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
            if self.commit(batch).await.is_err() {
                told = PeerCode::Unavailable;
            }
        }
        self.refuse(question, 0, told)
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
