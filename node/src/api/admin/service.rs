//! The calls of the admin service, each handed to the file that knows it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use chartmesh_core::{
    crypto::sha256,
    flows::{Actor, FlowError},
    records::{ConsentForm, Provision},
    types::{Code, ConsentId, Role, UserId},
};
use chartmesh_proto::admin::{
    self as proto, admin_server::Admin as AdminService, admin_server::AdminServer,
};
use futures::stream::BoxStream;
use tokio_util::task::TaskTracker;
use tonic::{Code as GrpcCode, Request, Response, Status, Streaming};

use super::error::{flow, status};
use crate::{boot::BootError, daemon::Daemon};

/// Largest request: a consent with its signed form of up to 16 MiB.
const REQUEST_MAX_BYTES: usize = 20 << 20;
/// Largest answer: a list of every patient of a large node.
const ANSWER_MAX_BYTES: usize = 256 << 20;

/// What the service is about.
enum About {
    /// An open node.
    Node(Arc<Daemon>),
    /// A directory whose node does not open, and why.
    Unopened(PathBuf, BootError),
}

/// The admin service of one node.
pub struct Admin {
    about: About,
    /// Name of the account at the other end of the socket.
    account: String,
    /// What is waited for before the daemon stops.
    pub(super) tasks: TaskTracker,
}

/// A failure that is a defect of this program.
pub(super) fn internal() -> Status {
    status(
        GrpcCode::Internal,
        Code::Internal,
        "the call ended unexpectedly",
    )
}

/// The node belongs to no network.
pub(super) fn no_network() -> Status {
    status(
        GrpcCode::FailedPrecondition,
        Code::NoNetwork,
        "this node belongs to no network",
    )
}

impl Admin {
    /// The service of an open node, for an account.
    pub fn new(daemon: Arc<Daemon>, account: String) -> Self {
        Self {
            tasks: daemon.tasks().clone(),
            about: About::Node(daemon),
            account,
        }
    }

    /// The service of a directory whose node does not open: it can be made, or examined.
    pub fn unopened(folder: &Path, error: BootError, account: String) -> Self {
        Self {
            about: About::Unopened(folder.to_owned(), error),
            account,
            tasks: TaskTracker::new(),
        }
    }

    /// The service as tonic serves it.
    pub fn server(self) -> AdminServer<Self> {
        AdminServer::new(self)
            .max_decoding_message_size(REQUEST_MAX_BYTES)
            .max_encoding_message_size(ANSWER_MAX_BYTES)
    }

    pub(super) fn folder(&self) -> PathBuf {
        match &self.about {
            About::Node(daemon) => daemon.folder.clone(),
            About::Unopened(folder, _) => folder.clone(),
        }
    }

    pub(super) fn boot_error(&self) -> Option<&BootError> {
        match &self.about {
            About::Node(_) => None,
            About::Unopened(_, error) => Some(error),
        }
    }

    /// The open node.
    pub(super) fn daemon(&self) -> Result<Arc<Daemon>, Status> {
        match &self.about {
            About::Node(daemon) => Ok(daemon.clone()),
            About::Unopened(_, error) => Err(super::node::boot_status(error.clone())),
        }
    }

    /// The open node and who acts: the account that made it holds every staff role and asks as a
    /// clinician (`cli.md`, global).
    pub(super) fn acting(&self) -> Result<(Arc<Daemon>, Actor), Status> {
        let daemon = self.daemon()?;
        let member = daemon.node.member();
        let hash = sha256(&[b"chartmesh/1/user\0", &member.0, self.account.as_bytes()]);
        let mut user = [0; 16];
        user.copy_from_slice(&hash[..16]);
        let actor = Actor {
            user: UserId(user),
            name: self.account.clone(),
            role: Role::Clinician,
        };
        Ok((daemon, actor))
    }

    /// Runs a flow in a task of its own: tonic drops a handler whose caller goes away, and a flow
    /// that writes must end by itself.
    pub(super) async fn spawned<T: Send + 'static>(
        &self,
        flow_of: impl Future<Output = Result<T, FlowError>> + Send + 'static,
    ) -> Result<T, Status> {
        match self.tasks.spawn(flow_of).await {
            Ok(outcome) => outcome.map_err(flow),
            Err(_) => Err(internal()),
        }
    }
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AdminService for Admin {
    type ImportStream = BoxStream<'static, Result<proto::ImportEvent, Status>>;
    type FetchStream = BoxStream<'static, Result<proto::FetchEvent, Status>>;

    async fn init(&self, request: Request<proto::InitRequest>) -> Reply<proto::InitReply> {
        self.init(request.into_inner()).await.map(Response::new)
    }

    async fn status(&self, _: Request<proto::Empty>) -> Reply<proto::StatusReply> {
        self.status().await.map(Response::new)
    }

    async fn peers(&self, _: Request<proto::Empty>) -> Reply<proto::PeersReply> {
        self.peers().map(Response::new)
    }

    async fn doctor(&self, request: Request<proto::DoctorRequest>) -> Reply<proto::DoctorReply> {
        self.doctor(request.into_inner()).await.map(Response::new)
    }

    async fn network_found(
        &self,
        request: Request<proto::NetworkFoundRequest>,
    ) -> Reply<proto::NetworkReply> {
        self.found(request.into_inner()).await.map(Response::new)
    }

    async fn network_rules(&self, _: Request<proto::Empty>) -> Reply<proto::RulesReply> {
        self.rules().map(Response::new)
    }

    async fn network_invite(
        &self,
        request: Request<proto::InviteRequest>,
    ) -> Reply<proto::InviteReply> {
        let valid_ms = request.into_inner().valid_ms;
        self.invite(valid_ms).await.map(Response::new)
    }

    async fn network_join(
        &self,
        request: Request<proto::JoinNetworkRequest>,
    ) -> Reply<proto::JoinReply> {
        let request = request.into_inner();
        self.join(&request.ticket, request.wait)
            .await
            .map(Response::new)
    }

    async fn network_requests(&self, _: Request<proto::Empty>) -> Reply<proto::RequestsReply> {
        self.requests().map(Response::new)
    }

    async fn network_approve(
        &self,
        request: Request<proto::ApproveRequest>,
    ) -> Reply<proto::ApproveReply> {
        self.approve(request.into_inner().id)
            .await
            .map(Response::new)
    }

    async fn network_members(&self, _: Request<proto::Empty>) -> Reply<proto::MembersReply> {
        self.members().map(Response::new)
    }

    async fn network_revoke(
        &self,
        request: Request<proto::RevokeMemberRequest>,
    ) -> Reply<proto::RevokeMemberReply> {
        self.revoke_member(request.into_inner())
            .await
            .map(Response::new)
    }

    async fn network_authority(&self, _: Request<proto::Empty>) -> Reply<proto::AuthorityReply> {
        self.authority().map(Response::new)
    }

    async fn network_proposals(&self, _: Request<proto::Empty>) -> Reply<proto::ProposalsReply> {
        self.proposals().map(Response::new)
    }

    async fn network_cosign(
        &self,
        request: Request<proto::CosignRequest>,
    ) -> Reply<proto::ProposalsReply> {
        self.cosign(request.into_inner()).await.map(Response::new)
    }

    async fn network_amend(
        &self,
        request: Request<proto::AmendRequest>,
    ) -> Reply<proto::ProposalsReply> {
        self.amend(request.into_inner()).await.map(Response::new)
    }

    async fn network_reissue(
        &self,
        request: Request<proto::ReissueRequest>,
    ) -> Reply<proto::ApproveReply> {
        self.reissue(request.into_inner()).await.map(Response::new)
    }

    async fn network_rekey(&self, _: Request<proto::Empty>) -> Reply<proto::RekeyReply> {
        self.rekey().await.map(Response::new)
    }

    async fn network_recovery_key(
        &self,
        _: Request<proto::Empty>,
    ) -> Reply<proto::RecoveryKeyReply> {
        Ok(Response::new(super::cosign::recovery_key()))
    }

    async fn network_adopt(
        &self,
        request: Request<proto::AdoptRequest>,
    ) -> Reply<proto::RulesReply> {
        let charter = request.into_inner().charter;
        self.adopt(&charter).await.map(Response::new)
    }

    async fn import(
        &self,
        request: Request<Streaming<proto::ImportPart>>,
    ) -> Reply<Self::ImportStream> {
        self.import(request.into_inner()).map(Response::new)
    }

    async fn patient_list(
        &self,
        request: Request<proto::PatientListRequest>,
    ) -> Reply<proto::PatientListReply> {
        self.patients(&request.into_inner().text).map(Response::new)
    }

    async fn patient_show(
        &self,
        request: Request<proto::PatientShowRequest>,
    ) -> Reply<proto::PatientDetail> {
        let named = request.into_inner().patient;
        // A consent's id stands for its patient, so that whoever revokes sees whose it is.
        let patient = if named.starts_with(ConsentId::PREFIX) {
            let consent = super::text::id(&named)?;
            let patient = self.daemon()?.node.patient_of(consent).map_err(flow)?;
            patient.to_string()
        } else {
            named
        };
        self.patient(&patient).await.map(Response::new)
    }

    async fn patient_add(
        &self,
        request: Request<proto::PatientAddRequest>,
    ) -> Reply<proto::PatientSummary> {
        self.add_patient(request.into_inner().resource)
            .await
            .map(Response::new)
    }

    async fn document_add(
        &self,
        request: Request<Streaming<proto::DocumentPart>>,
    ) -> Reply<proto::DocumentAddReply> {
        self.add_document(request.into_inner())
            .await
            .map(Response::new)
    }

    async fn locate(&self, request: Request<proto::LocateRequest>) -> Reply<proto::LocateReply> {
        self.locate(request.into_inner()).await.map(Response::new)
    }

    async fn documents(
        &self,
        request: Request<proto::DocumentsRequest>,
    ) -> Reply<proto::DocumentsReply> {
        self.documents(request.into_inner())
            .await
            .map(Response::new)
    }

    async fn fetch(&self, request: Request<proto::FetchRequest>) -> Reply<Self::FetchStream> {
        self.fetch(request.into_inner()).map(Response::new)
    }

    async fn consent_grant(
        &self,
        request: Request<proto::ConsentRequest>,
    ) -> Reply<proto::ConsentReply> {
        self.consent(Provision::Permit, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn consent_deny(
        &self,
        request: Request<proto::ConsentRequest>,
    ) -> Reply<proto::ConsentReply> {
        self.consent(Provision::Deny, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn consent_revoke(
        &self,
        request: Request<proto::ConsentRevokeRequest>,
    ) -> Reply<proto::InForceReply> {
        self.revoke(&request.into_inner().consent)
            .await
            .map(Response::new)
    }

    async fn consent_opt_out(
        &self,
        request: Request<proto::OptRequest>,
    ) -> Reply<proto::InForceReply> {
        self.opt(ConsentForm::OptOut, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn consent_opt_in(
        &self,
        request: Request<proto::OptRequest>,
    ) -> Reply<proto::InForceReply> {
        self.opt(ConsentForm::OptIn, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn consent_list(
        &self,
        request: Request<proto::PatientShowRequest>,
    ) -> Reply<proto::ConsentListReply> {
        self.consents(&request.into_inner().patient)
            .map(Response::new)
    }

    async fn consent_explain(
        &self,
        request: Request<proto::ExplainRequest>,
    ) -> Reply<proto::ExplainReply> {
        self.explain(&request.into_inner()).map(Response::new)
    }

    async fn audit_list(
        &self,
        request: Request<proto::AuditListRequest>,
    ) -> Reply<proto::AuditListReply> {
        self.audit_list(request.into_inner())
            .await
            .map(Response::new)
    }

    async fn audit_access(
        &self,
        request: Request<proto::PatientShowRequest>,
    ) -> Reply<proto::AuditListReply> {
        self.access(&request.into_inner().patient)
            .await
            .map(Response::new)
    }

    async fn audit_accounting(
        &self,
        request: Request<proto::PatientShowRequest>,
    ) -> Reply<proto::AccountingReply> {
        self.accounting(&request.into_inner().patient)
            .await
            .map(Response::new)
    }

    async fn audit_verify(&self, _: Request<proto::Empty>) -> Reply<proto::VerifyReply> {
        self.verify().await.map(Response::new)
    }

    async fn audit_checkpoint(&self, _: Request<proto::Empty>) -> Reply<proto::CheckpointReply> {
        self.checkpoint().map(Response::new)
    }

    async fn audit_prove(
        &self,
        request: Request<proto::AuditProveRequest>,
    ) -> Reply<proto::AuditProveReply> {
        self.prove(request.into_inner()).await.map(Response::new)
    }

    async fn audit_promise(
        &self,
        request: Request<proto::AuditPromiseRequest>,
    ) -> Reply<proto::AuditPromiseReply> {
        self.promised(request.into_inner().entry)
            .await
            .map(Response::new)
    }

    async fn audit_export(
        &self,
        request: Request<proto::AuditExportRequest>,
    ) -> Reply<proto::AuditExportReply> {
        self.audit_export(request.into_inner())
            .await
            .map(Response::new)
    }

    async fn audit_key(
        &self,
        request: Request<proto::AuditKeyRequest>,
    ) -> Reply<proto::AuditKeyReply> {
        self.audit_key(&request.into_inner().of).map(Response::new)
    }

    async fn backup(&self, request: Request<proto::BackupRequest>) -> Reply<proto::BackupReply> {
        self.backup(request.into_inner()).await.map(Response::new)
    }

    async fn recovery_sheet(&self, _: Request<proto::Empty>) -> Reply<proto::RecoverySheetReply> {
        self.recovery_sheet().await.map(Response::new)
    }

    async fn restore(&self, request: Request<proto::RestoreRequest>) -> Reply<proto::RestoreReply> {
        self.restore(request.into_inner()).await.map(Response::new)
    }

    async fn config_show(&self, _: Request<proto::Empty>) -> Reply<proto::ConfigReply> {
        self.config().map(Response::new)
    }
}
