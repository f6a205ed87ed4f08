//! Stable error codes: all of them for our own people, nine coarse ones for peers.

use std::fmt;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable text, SCREAMING_SNAKE.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
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
    }
);

codes!(
    /// What our own people are told. One table with hints stands in `proto/README.md`.
    Code {
        /// The command's words are off.
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
        /// No join request has that id.
        RequestUnknown = "REQUEST_UNKNOWN",
        /// A credential is active for that NPI or OID already.
        OrganizationActive = "ORGANIZATION_ACTIVE",
        /// This node holds no authority key of the charter.
        NotAuthority = "NOT_AUTHORITY",
        /// A rule, charter or template cannot be read.
        RulesMalformed = "RULES_MALFORMED",
        /// The organisation's name, NPI or OID cannot be used.
        OrganizationMalformed = "ORGANIZATION_MALFORMED",
        /// The node is no member.
        MemberUnknown = "MEMBER_UNKNOWN",
        /// The node did not answer.
        PeerUnreachable = "PEER_UNREACHABLE",
        /// The deadline passed before the answer.
        Deadline = "DEADLINE",
        /// The peer answered that policy denies it.
        Denied = "DENIED",
        /// The peer refused for another reason.
        PeerRefused = "PEER_REFUSED",
        /// The handle is unknown, expired, or another asker's.
        HandleUnknown = "HANDLE_UNKNOWN",
        /// The patient is unknown here.
        PatientUnknown = "PATIENT_UNKNOWN",
        /// The document is unknown.
        DocumentUnknown = "DOCUMENT_UNKNOWN",
        /// The consent is unknown here, or revoked already.
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
        /// A message was made for another node or network.
        WrongRecipient = "WRONG_RECIPIENT",
        /// The sender goes by another charter of this network.
        CharterMismatch = "CHARTER_MISMATCH",
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
        /// The input is not JSON.
        JsonMalformed = "JSON_MALFORMED",
        /// The input passes a limit on size, depth or count.
        JsonLimit = "JSON_LIMIT",
        /// An object names a key twice.
        JsonDuplicateKey = "JSON_DUPLICATE_KEY",
        /// The input is no FHIR R4 resource that can be imported.
        FhirMalformed = "FHIR_MALFORMED",
        /// The resource is of a type that cannot be imported.
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
        /// A port is taken.
        PortTaken = "PORT_TAKEN",
        /// A file or directory has wider rights than allowed.
        Permissions = "PERMISSIONS",
        /// A defect of this program.
        Internal = "INTERNAL",
    }
);
