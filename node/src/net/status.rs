//! Peer codes as gRPC statuses, both ways, in one table.

use chartmesh_core::{ports::CallError, types::PeerCode};
use tonic::{Code, Status, metadata::MetadataValue};

use super::opener::OpenError;

/// Trailer that carries the text of the peer code.
pub const CODE_TRAILER: &str = "chartmesh-code";

/// Each peer code beside its gRPC status. The trailer decides; the status is for tools that know
/// gRPC only, and for codes of a later version.
const TABLE: [(PeerCode, Code); 12] = [
    (PeerCode::Malformed, Code::InvalidArgument),
    (PeerCode::Unauthenticated, Code::Unauthenticated),
    (PeerCode::NotMember, Code::FailedPrecondition),
    (PeerCode::Stale, Code::Aborted),
    (PeerCode::Denied, Code::PermissionDenied),
    (PeerCode::HandleUnknown, Code::NotFound),
    (PeerCode::OverBudget, Code::ResourceExhausted),
    (PeerCode::Unavailable, Code::Unavailable),
    (PeerCode::ClockSkew, Code::OutOfRange),
    (PeerCode::TrustStale, Code::Unavailable),
    (PeerCode::VersionTooOld, Code::FailedPrecondition),
    (PeerCode::Superseded, Code::FailedPrecondition),
];

/// The status that tells a peer why it is refused.
pub fn status_of(code: PeerCode) -> Status {
    let grpc = TABLE
        .iter()
        .find(|(peer, _)| *peer == code)
        .map_or(Code::Unavailable, |(_, grpc)| *grpc);
    let mut status = Status::new(grpc, code.text());
    status
        .metadata_mut()
        .insert(CODE_TRAILER, MetadataValue::from_static(code.text()));
    status
}

/// What a failed call means to the caller.
pub(super) fn call_error(status: &Status) -> CallError {
    if let Some(text) = status.metadata().get(CODE_TRAILER) {
        let code = text.to_str().ok().and_then(PeerCode::parse).or_else(|| {
            TABLE
                .iter()
                .find(|(_, grpc)| *grpc == status.code())
                .map(|(peer, _)| *peer)
        });
        return CallError::Refused(code.unwrap_or(PeerCode::Unavailable));
    }
    if let Some(error) = open_error(status) {
        return error.into();
    }
    match status.code() {
        // What tonic answers by itself to a message beyond the limit, at either end.
        Code::OutOfRange => CallError::Refused(PeerCode::Malformed),
        Code::Unimplemented => CallError::Incompatible,
        // A connection stood when the call was made, so the question may have left.
        _ => CallError::Lost,
    }
}

/// Whether the HTTP/2 connection under a failed call is of no further use.
pub(super) fn is_transport_failure(status: &Status) -> bool {
    status.metadata().get(CODE_TRAILER).is_none()
        && matches!(call_error(status), CallError::Unreachable | CallError::Lost)
}

fn open_error(status: &Status) -> Option<OpenError> {
    let mut next = std::error::Error::source(status);
    while let Some(error) = next {
        if let Some(open) = error.downcast_ref::<OpenError>() {
            return Some(*open);
        }
        next = error.source();
    }
    None
}

impl From<OpenError> for CallError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Foreign => Self::Incompatible,
            OpenError::Unreachable | OpenError::Busy | OpenError::Closed => Self::Unreachable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_code_reads_back_from_its_status() {
        for code in PeerCode::ALL {
            assert_eq!(call_error(&status_of(*code)), CallError::Refused(*code));
        }
    }

    #[test]
    fn a_status_without_the_trailer_is_no_refusal_by_the_node() {
        assert_eq!(
            call_error(&status_of(PeerCode::Denied)),
            CallError::Refused(PeerCode::Denied)
        );
        assert_eq!(
            call_error(&Status::permission_denied("DENIED")),
            CallError::Lost
        );
        assert_eq!(
            call_error(&Status::unimplemented("")),
            CallError::Incompatible
        );
    }

    #[test]
    fn a_code_of_a_later_version_is_read_by_its_status() {
        let mut status = Status::not_found("");
        status
            .metadata_mut()
            .insert(CODE_TRAILER, MetadataValue::from_static("HANDLE_ENDED"));

        assert_eq!(
            call_error(&status),
            CallError::Refused(PeerCode::HandleUnknown)
        );
    }
}
