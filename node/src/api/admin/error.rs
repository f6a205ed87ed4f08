//! Outcomes as gRPC statuses: the status fixes the exit code of the command line, two trailers carry
//! the stable code and what to do next.

use chartmesh_core::{
    flows::FlowError,
    types::{Code, ParseIdError, PeerCode},
};
use tonic::{Code as GrpcCode, Status, metadata::MetadataValue};

/// Trailer with the stable code.
const CODE: &str = "chartmesh-code";
/// Trailer with what to do next.
const HINT: &str = "chartmesh-hint";

/// Makes a status of a code and what happened.
pub(super) fn status(grpc: GrpcCode, code: Code, message: impl Into<String>) -> Status {
    advised(grpc, code, message, hint(code))
}

/// As [`status`], where the code alone does not say what to do next.
pub(super) fn advised(
    grpc: GrpcCode,
    code: Code,
    message: impl Into<String>,
    hint: &'static str,
) -> Status {
    let mut status = Status::new(grpc, message);
    let metadata = status.metadata_mut();
    metadata.insert(CODE, MetadataValue::from_static(code.text()));
    metadata.insert(HINT, MetadataValue::from_static(hint));
    status
}

/// Wrong words.
pub(super) fn usage(code: Code, message: &'static str) -> Status {
    status(GrpcCode::InvalidArgument, code, message)
}

/// An id that cannot be read names nothing that exists; ids are opaque, so their form is no usage.
pub(super) fn unreadable_id(code: Code, error: ParseIdError) -> Status {
    let message = format!("{}: {error}", code.sentence());
    status(GrpcCode::NotFound, code, message)
}

/// A flow's error, as its own people are told.
pub(super) fn flow(error: FlowError) -> Status {
    let code = error.code();
    let grpc = match &error {
        FlowError::Usage { code } => usage_class(*code),
        FlowError::NotFound { .. } => GrpcCode::NotFound,
        FlowError::State { .. } => GrpcCode::FailedPrecondition,
        FlowError::Denied { .. } => GrpcCode::PermissionDenied,
        FlowError::Unreachable { .. } | FlowError::Deadline { .. } | FlowError::Peer { .. } => {
            GrpcCode::DeadlineExceeded
        }
        FlowError::Forged { .. } => GrpcCode::DataLoss,
        FlowError::Format(_) | FlowError::Membership(_) => GrpcCode::FailedPrecondition,
        FlowError::Store(_) => GrpcCode::ResourceExhausted,
    };
    let hint = match &error {
        // What a peer sent says nothing about this node's own records.
        FlowError::Forged { .. } => {
            "nothing was shown or kept; tell the operator of that node, who runs chartmesh doctor there"
        }
        FlowError::Peer {
            code: PeerCode::Unavailable,
            ..
        } => "that node cannot answer at present; telephone it: chartmesh network members",
        FlowError::Peer { .. } if code == Code::PeerRefused => {
            "try again, or telephone that node: chartmesh network members shows the number"
        }
        _ => hint(code),
    };
    advised(grpc, code, error.to_string(), hint)
}

/// Input that was read and is refused is another exit than words that are off.
fn usage_class(code: Code) -> GrpcCode {
    match code {
        Code::SubjectUnknown
        | Code::PatientConflict
        | Code::FhirType
        | Code::FhirMalformed
        | Code::TooLarge
        | Code::TicketExpired => GrpcCode::FailedPrecondition,
        _ => GrpcCode::InvalidArgument,
    }
}

/// What to do next.
fn hint(code: Code) -> &'static str {
    match code {
        Code::NotInitialised => {
            "make a node with chartmesh init, or name its directory with --node"
        }
        Code::AlreadyInitialised => "choose an empty directory with --node",
        Code::NoNetwork => "found a network, or join one with a ticket",
        Code::AlreadyInNetwork => {
            "a node belongs to one network; use another directory for another"
        }
        Code::TicketMalformed => "copy the whole ticket, from chartmesh1 to its end",
        Code::TicketExpired | Code::TicketUsed | Code::TicketRefused => {
            "ask the inviter for a fresh ticket: chartmesh network invite"
        }
        Code::RequestUnknown => "see chartmesh network requests for those that wait",
        Code::OrganizationActive => {
            "a member with this NPI or OID is active; speak to the applicant"
        }
        Code::NotAuthority => {
            "an authority of the charter must do it: chartmesh network rules names them"
        }
        Code::MemberUnknown => "see chartmesh network members for names and ids",
        Code::PeerUnreachable | Code::Deadline => {
            "try again, or telephone: chartmesh network members shows the number"
        }
        Code::Denied => "ask for the patient's consent at the holder, or telephone it",
        Code::HandleUnknown => {
            "list the documents again, else locate again: a handle serves one asker and one purpose for 12 hours"
        }
        Code::PatientUnknown => "see chartmesh patient list for the ids of this node",
        Code::DocumentUnknown => "see chartmesh documents for what may be fetched",
        Code::ConsentUnknown => "see chartmesh consent list; a revoked consent stays revoked",
        Code::PurposeUnknown => {
            "name one of TREAT, ETREAT, BTG, HPAYMT, HOPERAT, PATRQT, FAMRQT, PWATRNY, SUPNWK, HRESCH, PUBHLTH, COVERAGE, COVAUTH"
        }
        Code::NoSession => "break-glass sessions come with a later version; telephone the holder",
        Code::RoleForbidden => "a clinician must ask",
        Code::TrustStale => {
            "that node must reach the authorities again; telephone it: chartmesh network members"
        }
        Code::KeyRevoked => {
            "a revocation is for good; it joins again with a new ticket and chartmesh init"
        }
        Code::ClockSkew => "set the clock of the machine (NTP), then chartmesh doctor",
        Code::SubjectMismatch | Code::Signature => {
            "nothing was shown or kept; report the sending node to its operator"
        }
        Code::Integrity => {
            "run chartmesh audit verify and chartmesh doctor; keep the directory as it is"
        }
        Code::JsonMalformed
        | Code::JsonLimit
        | Code::JsonDuplicateKey
        | Code::FhirMalformed
        | Code::FhirType
        | Code::SubjectForeign
        | Code::FormatUnknown => "correct the input at its source and import it again",
        Code::SubjectUnknown => "import the patient first",
        Code::PatientConflict => "two people share an identifier; correct it at its source",
        Code::TooLarge => "split the input",
        Code::StorageFull => "free space on the disk; reading goes on meanwhile",
        Code::StorageFailed => {
            "the disk failed a write; restart the daemon after checking the disk"
        }
        Code::KeyRefused => "give the key file or passphrase this node was made with",
        Code::RulesMalformed | Code::OrganizationMalformed | Code::Usage => {
            "see --help of the command"
        }
        _ => network_hint(code),
    }
}

/// What to do next, where the network, its authorities or the audit log are concerned.
fn network_hint(code: Code) -> &'static str {
    match code {
        Code::QuorumRequired => {
            "let more authorities sign: chartmesh network cosign; chartmesh network rules names them"
        }
        Code::ProposalUnknown => {
            "see chartmesh network cosign for what waits, and chartmesh network rules for charters"
        }
        Code::ProposalRefused => {
            "ask whoever made it for a fresh one: it may be for an older charter or another network"
        }
        Code::ProposalConflict => {
            "complete the one this authority signed: two of one number would split the network"
        }
        Code::CharterFork => {
            "see chartmesh network rules for both, speak to the authorities, then chartmesh network adopt"
        }
        Code::VersionTooOld => {
            "the older program must be renewed: chartmesh doctor shows the version of this one"
        }
        Code::EntryUnknown => "see chartmesh audit list for the numbers of entries",
        Code::CheckpointPending => {
            "try again in ten minutes; chartmesh audit checkpoint shows the newest"
        }
        _ => backup_hint(code),
    }
}

/// What to do next, where backups are concerned.
fn backup_hint(code: Code) -> &'static str {
    match code {
        Code::NoRecoverySheet => {
            "make one with chartmesh recovery-sheet and keep it away from this machine"
        }
        Code::RecoverySheet => {
            "type the sheet that the backup named when it was made; each sheet opens the backups made after it and before the next"
        }
        Code::BackupAltered => {
            "nothing was written; take an earlier backup, or another copy of this one"
        }
        Code::BackupMalformed => "name a file that chartmesh backup made",
        Code::Superseded => {
            "that node, or this one, runs twice: chartmesh doctor at both ends says which copy must stop"
        }
        Code::NotEmpty => "name an empty directory, or one that is not there, with --node",
        Code::RestoreUnfinished => "run the same chartmesh restore again: it begins anew",
        _ => "run chartmesh doctor",
    }
}

#[cfg(test)]
mod tests {
    use chartmesh_core::{records::StoreError, types::NodeKey};

    use super::*;

    fn told(error: FlowError) -> (GrpcCode, String, String) {
        let status = flow(error);
        let hint = status.metadata().get(HINT).unwrap().to_str().unwrap();
        (status.code(), status.message().to_owned(), hint.to_owned())
    }

    #[test]
    fn an_error_says_in_words_what_happened_and_holds_no_code() {
        for code in Code::ALL.iter().copied() {
            for error in [
                FlowError::Usage { code },
                FlowError::NotFound { code },
                FlowError::State { code },
                FlowError::Denied { code },
            ] {
                let (_, message, hint) = told(error);
                assert!(!message.contains(code.text()), "{message}");
                assert!(message.contains(' '), "{message}");
                assert!(!hint.is_empty(), "{code}");
            }
        }
        let (_, message, _) = told(FlowError::State {
            code: Code::NoNetwork,
        });
        assert_eq!(message, "this node belongs to no network");
    }

    #[test]
    fn the_hint_lists_every_purpose_of_use() {
        let hint = hint(Code::PurposeUnknown);
        for purpose in chartmesh_core::types::Purpose::ALL {
            assert!(hint.contains(purpose.code()), "{purpose}");
        }
    }

    #[test]
    fn damage_at_a_peer_sends_nobody_to_the_own_store() {
        let own = told(FlowError::Store(StoreError::Integrity { position: 1 }));
        let sent = told(FlowError::Forged {
            node: NodeKey([1; 32]),
            code: Code::Integrity,
        });
        assert!(own.2.contains("audit verify"), "{}", own.2);

        assert_eq!(sent.0, GrpcCode::DataLoss);
        assert!(sent.2.contains("operator of that node"), "{}", sent.2);
    }
}
