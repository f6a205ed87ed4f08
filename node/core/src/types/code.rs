//! Stable error codes: all of them for our own people, a few coarse ones for peers.

use std::fmt;

use super::words;

/// What a code means, as a clause that a message can hold: no capital, no full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentence(&'static str);

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clause = self.0.trim().trim_end_matches('.');
        let mut letters = clause.chars();
        if let Some(first) = letters.next() {
            write!(f, "{}", first.to_lowercase())?;
        }
        f.write_str(letters.as_str())
    }
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $(#[doc = $sentence:literal] $variant:ident = $text:literal,)* }) => {
        words!($(#[$doc])* $name {
            /// The stable text, SCREAMING_SNAKE.
            text;
            $(#[doc = $sentence] $variant => $text,)*
        });

        impl $name {
            /// What it means, in words: the sentence its documentation is.
            pub fn sentence(self) -> Sentence {
                Sentence(match self {
                    $(Self::$variant => $sentence,)*
                })
            }

            /// Reads the stable text.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.text() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text())
            }
        }
    };
}

codes!(
    /// What a peer is told when it is refused; coarse on purpose.
    PeerCode {
        /// The bytes are no message of this protocol, or not in canonical form.
        Malformed = "MALFORMED",
        /// Signature, seal, challenge or audience does not hold.
        Unauthenticated = "UNAUTHENTICATED",
        /// The sender is no active member.
        NotMember = "NOT_MEMBER",
        /// Addressed to an earlier session or run of the receiver; say Hello again.
        Stale = "STALE",
        /// Policy does not permit it.
        Denied = "DENIED",
        /// The handle is unknown, expired, or another asker's.
        HandleUnknown = "HANDLE_UNKNOWN",
        /// A limit of the receiver is spent.
        OverBudget = "OVER_BUDGET",
        /// The receiver cannot answer at present.
        Unavailable = "UNAVAILABLE",
        /// The clocks disagree by more than the charter's window.
        ClockSkew = "CLOCK_SKEW",
        /// The receiver does not know any more who was revoked, and discloses nothing until it does.
        TrustStale = "TRUST_STALE",
        /// The sender speaks a version of the protocol that the receiver gave up.
        VersionTooOld = "VERSION_TOO_OLD",
        /// A later copy of the sender's node is known, restored from a backup.
        Superseded = "SUPERSEDED",
    }
);

codes!(
    /// What our own people are told. One table with hints stands in `proto/README.md`.
    Code {
        /// The command's words cannot be used.
        Usage = "USAGE",
        /// The directory holds no node yet.
        NotInitialised = "NOT_INITIALISED",
        /// The directory holds a node already.
        AlreadyInitialised = "ALREADY_INITIALISED",
        /// This node belongs to no network.
        NoNetwork = "NO_NETWORK",
        /// This node belongs to a network already.
        AlreadyInNetwork = "ALREADY_IN_NETWORK",
        /// The ticket cannot be read.
        TicketMalformed = "TICKET_MALFORMED",
        /// The ticket's time is over.
        TicketExpired = "TICKET_EXPIRED",
        /// The ticket was used.
        TicketUsed = "TICKET_USED",
        /// The ticket was not issued here, or its proof does not hold.
        TicketRefused = "TICKET_REFUSED",
        /// No join request has this id.
        RequestUnknown = "REQUEST_UNKNOWN",
        /// A credential is active for that NPI or OID already.
        OrganizationActive = "ORGANIZATION_ACTIVE",
        /// This node holds no authority key of the charter.
        NotAuthority = "NOT_AUTHORITY",
        /// More authorities must sign.
        QuorumRequired = "QUORUM_REQUIRED",
        /// No proposal here has this id.
        ProposalUnknown = "PROPOSAL_UNKNOWN",
        /// The proposal does not hold, or is for another network.
        ProposalRefused = "PROPOSAL_REFUSED",
        /// This authority signed another proposal for the same thing.
        ProposalConflict = "PROPOSAL_CONFLICT",
        /// There are two valid charters of one number, and an administrator must decide.
        CharterFork = "CHARTER_FORK",
        /// A rule, charter or template cannot be read.
        RulesMalformed = "RULES_MALFORMED",
        /// The organisation's name, NPI or OID cannot be used.
        OrganizationMalformed = "ORGANIZATION_MALFORMED",
        /// No member of the network has this id or name.
        MemberUnknown = "MEMBER_UNKNOWN",
        /// The node did not answer.
        PeerUnreachable = "PEER_UNREACHABLE",
        /// The deadline passed before the answer.
        Deadline = "DEADLINE",
        /// Policy and the patient's consents do not permit it.
        Denied = "DENIED",
        /// The other node refused.
        PeerRefused = "PEER_REFUSED",
        /// The handle is unknown, expired, or another asker's.
        HandleUnknown = "HANDLE_UNKNOWN",
        /// No patient here has this id.
        PatientUnknown = "PATIENT_UNKNOWN",
        /// The patient was concealed from the asker, who was told *no match*.
        Concealed = "CONCEALED",
        /// A budget of the asker is spent.
        OverBudget = "OVER_BUDGET",
        /// No document here has this id.
        DocumentUnknown = "DOCUMENT_UNKNOWN",
        /// No consent here has this id, or it is revoked already.
        ConsentUnknown = "CONSENT_UNKNOWN",
        /// The purpose is missing or unknown.
        PurposeUnknown = "PURPOSE_UNKNOWN",
        /// Break-glass needs a session, which this version has not.
        NoSession = "NO_SESSION",
        /// The role may not do this.
        RoleForbidden = "ROLE_FORBIDDEN",
        /// Clocks disagree.
        ClockSkew = "CLOCK_SKEW",
        /// A peer's message is not well formed or not canonical.
        MessageMalformed = "MESSAGE_MALFORMED",
        /// A peer's seal or signature does not hold.
        Unauthenticated = "UNAUTHENTICATED",
        /// The sender is no active member.
        NotMember = "NOT_MEMBER",
        /// The member was revoked.
        KeyRevoked = "KEY_REVOKED",
        /// Nobody has confirmed the revocation list for longer than the charter allows.
        TrustStale = "TRUST_STALE",
        /// Two different revocation lists of one version were signed.
        TrustConflict = "TRUST_CONFLICT",
        /// A message was made for another node or network.
        WrongRecipient = "WRONG_RECIPIENT",
        /// The sender goes by another charter of this network.
        CharterMismatch = "CHARTER_MISMATCH",
        /// A node speaks a version of the protocol that the other gave up.
        VersionTooOld = "VERSION_TOO_OLD",
        /// A message is of an earlier run or session.
        Stale = "STALE",
        /// A message is past its life.
        Expired = "EXPIRED",
        /// A message came twice.
        Replayed = "REPLAYED",
        /// What came is not about the patient that was asked for.
        SubjectMismatch = "SUBJECT_MISMATCH",
        /// A signature does not hold.
        Signature = "SIGNATURE",
        /// Bytes differ from what was signed or sealed.
        Integrity = "INTEGRITY",
        /// The audit log has no entry of this number.
        EntryUnknown = "ENTRY_UNKNOWN",
        /// The entry is not under a checkpoint yet; one is made every ten minutes.
        CheckpointPending = "CHECKPOINT_PENDING",
        /// The input is not JSON.
        JsonMalformed = "JSON_MALFORMED",
        /// The input passes a limit on size, depth or count.
        JsonLimit = "JSON_LIMIT",
        /// An object names a key twice.
        JsonDuplicateKey = "JSON_DUPLICATE_KEY",
        /// The input is no FHIR R4 resource that can be imported.
        FhirMalformed = "FHIR_MALFORMED",
        /// The resource is of a type that cannot be taken here.
        FhirType = "FHIR_TYPE",
        /// A bundle of one subject has resources of another.
        SubjectForeign = "SUBJECT_FOREIGN",
        /// The subject is not known here.
        SubjectUnknown = "SUBJECT_UNKNOWN",
        /// The identifier belongs to a patient with another name and birth date.
        PatientConflict = "PATIENT_CONFLICT",
        /// The format is not known.
        FormatUnknown = "FORMAT_UNKNOWN",
        /// The file is larger than the limit.
        TooLarge = "TOO_LARGE",
        /// The store is full, or near it.
        StorageFull = "STORAGE_FULL",
        /// The disk failed; the node writes nothing until it is restarted.
        StorageFailed = "STORAGE_FAILED",
        /// The store's format is newer than this program.
        FormatTooNew = "FORMAT_TOO_NEW",
        /// Another process uses the directory.
        DataDirLocked = "DATA_DIR_LOCKED",
        /// The key does not open the store.
        KeyRefused = "KEY_REFUSED",
        /// The configuration cannot be read.
        ConfigMalformed = "CONFIG_MALFORMED",
        /// The file is no backup.
        BackupMalformed = "BACKUP_MALFORMED",
        /// The backup was altered, or is not whole.
        BackupAltered = "BACKUP_ALTERED",
        /// The recovery sheet is of other backups, or was mistyped.
        RecoverySheet = "RECOVERY_SHEET",
        /// Nobody could open a backup, since no recovery sheet was made.
        NoRecoverySheet = "NO_RECOVERY_SHEET",
        /// The directory holds something already.
        NotEmpty = "NOT_EMPTY",
        /// A restore of this directory was cut short.
        RestoreUnfinished = "RESTORE_UNFINISHED",
        /// A later incarnation of the same node is known.
        Superseded = "SUPERSEDED",
        /// A port is taken.
        PortTaken = "PORT_TAKEN",
        /// A file or directory has wider rights than allowed.
        Permissions = "PERMISSIONS",
        /// A defect of this program.
        Internal = "INTERNAL",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_says_what_it_means_in_words() {
        let own = Code::ALL
            .iter()
            .map(|code| (code.text(), code.sentence().to_string()));
        let told = PeerCode::ALL
            .iter()
            .map(|code| (code.text(), code.sentence().to_string()));

        for (text, sentence) in own.chain(told) {
            assert!(sentence.split(' ').count() > 1, "{text}: {sentence}");
            assert!(!sentence.contains(text), "{text}: {sentence}");
            assert!(!sentence.ends_with('.'), "{text}: {sentence}");
        }
        assert_eq!(
            Code::NoNetwork.sentence().to_string(),
            "this node belongs to no network"
        );
    }
}
