//! One entry of the audit log: ids and terms, nothing a patient could be known by.

use crate::{
    policy::{Permit, Rule},
    records::AuditFields,
    records::Coding,
    types::{
        Code, ConsentId, DisclosureId, DocumentId, MemberId, PatientId, Purpose, Role, Timestamp,
        UserId, words,
    },
};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $text:literal;)*) => {
        words!(
            /// What happened; its number is part of the stored format.
            #[repr(u32)]
            Kind {
                /// The stable word for it.
                text;
                $($(#[$doc])* $variant = $number => $text,)*
            }
        );
    };
}

kinds!(
    /// A member asked whether a patient is known here.
    Located = 1, "located";
    /// This node asked members for a patient.
    LocateAsked = 2, "locate-asked";
    /// A member was given a list of documents.
    Listed = 3, "listed";
    /// This node asked for a list of documents.
    ListAsked = 4, "list-asked";
    /// A member was given the key of a document.
    Disclosed = 5, "disclosed";
    /// This node was given the key of a document.
    Received = 6, "received";
    /// A request was denied, here or there.
    Denied = 7, "denied";
    /// A consent was recorded.
    ConsentRecorded = 8, "consent-recorded";
    /// A consent was revoked.
    ConsentRevoked = 9, "consent-revoked";
    /// Records were imported.
    Imported = 10, "imported";
    /// A patient was added.
    PatientAdded = 11, "patient-added";
    /// A document was added.
    DocumentAdded = 12, "document-added";
    /// A member was admitted to the network.
    MemberAdmitted = 13, "member-admitted";
    /// This node founded a network.
    NetworkFounded = 14, "network-founded";
    /// This node joined a network.
    Joined = 15, "joined";
    /// A peer sent what is forged, replayed, misdirected or malformed.
    RefusedMessage = 16, "refused-message";
    /// The node started.
    Started = 17, "started";
    /// The node stopped in order.
    Stopped = 18, "stopped";
    /// The log was checked.
    Verified = 19, "verified";
    /// A member took up, or was sent, the ciphertext of a document.
    Fetched = 20, "fetched";
    /// An own user looked at a record of this node.
    Viewed = 21, "viewed";
    /// A ticket was issued.
    TicketIssued = 22, "ticket-issued";
    /// A join request was refused.
    JoinRefused = 23, "join-refused";
    /// This node asked to join a network.
    JoinAsked = 24, "join-asked";
    /// Its content was erased with its key.
    Erased = 25, "erased";
    /// This node signed as an authority.
    ProposalSigned = 40, "proposal-signed";
    /// Another version of the charter is in force.
    CharterChanged = 41, "charter-changed";
    /// A valid charter came that is not in force.
    CharterSeen = 42, "charter-seen";
    /// An administrator decided between two charters.
    CharterAdopted = 43, "charter-adopted";
    /// A member was thrown out of the network.
    MemberRevoked = 50, "member-revoked";
    /// Two revocation lists contradict each other.
    TrustConflict = 51, "trust-conflict";
    /// Somebody used a ticket that somebody else had used.
    TicketReused = 52, "ticket-reused";
    /// Says nothing: fills the log up before a checkpoint, so that its size does not tell how much happened.
    Padding = 70, "padding";
);

impl Kind {
    /// The number it is stored as.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Reads the number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.number() == number)
    }
}

/// One entry of the audit log, before or after it is written.
///
/// `description` is what [`description`] makes of a document's type, never its title.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// What happened.
    pub kind: Kind,
    /// The other member.
    pub member: Option<MemberId>,
    /// Whose record.
    pub patient: Option<PatientId>,
    /// Which document.
    pub document: Option<DocumentId>,
    /// Which consent decided, or was recorded.
    pub consent: Option<ConsentId>,
    /// Joins the entries at both ends.
    pub disclosure: Option<DisclosureId>,
    /// SHA-256(salt | manifest hash).
    pub receipt: Option<[u8; 32]>,
    /// What for.
    pub purpose: Option<Purpose>,
    /// Pseudonym of the user at the asking node.
    pub user: Option<UserId>,
    /// What that user is there.
    pub role: Option<Role>,
    /// Own user, where the act was local; empty otherwise.
    pub actor: String,
    /// What came of it; none for success.
    pub code: Option<Code>,
    /// The rule that decided.
    pub rule: Option<Rule>,
    /// SHA-256 of the question.
    pub query_hash: Option<[u8; 32]>,
    /// The counterparty's leaf.
    pub peer_leaf: Option<[u8; 32]>,
    /// How many like it this entry stands for; 0 for itself alone.
    pub count: u64,
    /// Content type and code of what was disclosed.
    pub description: String,
    /// What the counterparty's log promised of its own entry, as signed; empty where it promised nothing.
    pub promise: String,
}

impl From<&Entry> for AuditFields {
    fn from(entry: &Entry) -> Self {
        Self {
            kind: entry.kind.number(),
            member: entry.member,
            patient: entry.patient,
            document: entry.document,
            consent: entry.consent,
            disclosure: entry.disclosure,
            receipt: entry.receipt,
            purpose: entry.purpose,
            user: entry.user,
            role: entry.role,
            actor: entry.actor.clone(),
            code: entry
                .code
                .map_or_else(String::new, |code| code.text().to_owned()),
            rule: entry.rule.map_or(0, Rule::number),
            query_hash: entry.query_hash,
            peer_leaf: entry.peer_leaf,
            count: entry.count,
            description: entry.description.clone(),
            promise: entry.promise.clone(),
        }
    }
}

impl Entry {
    /// Reads stored terms; none where the kind, code or rule is of a newer version.
    pub fn from_fields(fields: AuditFields) -> Option<Self> {
        let code = match fields.code.as_str() {
            "" => None,
            text => Some(Code::parse(text)?),
        };
        let rule = match fields.rule {
            0 => None,
            number => Some(Rule::from_number(number)?),
        };
        Some(Self {
            kind: Kind::from_number(fields.kind)?,
            member: fields.member,
            patient: fields.patient,
            document: fields.document,
            consent: fields.consent,
            disclosure: fields.disclosure,
            receipt: fields.receipt,
            purpose: fields.purpose,
            user: fields.user,
            role: fields.role,
            actor: fields.actor,
            code,
            rule,
            query_hash: fields.query_hash,
            peer_leaf: fields.peer_leaf,
            count: fields.count,
            description: fields.description,
            promise: fields.promise,
        })
    }

    /// An entry that says nothing yet but what happened.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            member: None,
            patient: None,
            document: None,
            consent: None,
            disclosure: None,
            receipt: None,
            purpose: None,
            user: None,
            role: None,
            actor: String::new(),
            code: None,
            rule: None,
            query_hash: None,
            peer_leaf: None,
            count: 0,
            description: String::new(),
            promise: String::new(),
        }
    }

    /// An entry for what a permit allowed.
    #[must_use]
    pub fn permitted(kind: Kind, permit: &Permit) -> Self {
        Self {
            member: Some(permit.to()),
            patient: Some(permit.patient()),
            document: permit.document(),
            consent: permit.consent(),
            purpose: Some(permit.purpose()),
            rule: Some(permit.rule()),
            ..Self::new(kind)
        }
    }

    /// Adds the brief description that 45 CFR 164.528(b)(2)(iii) asks for.
    #[must_use]
    pub fn describe(mut self, content_type: &str, coding: &Coding) -> Self {
        self.description = description(content_type, coding);
        self
    }
}

/// What a document is, in words of ours: its content type, its LOINC code and what that code means.
///
/// Title and display come from whoever wrote the document and may name the patient, so neither is
/// used; nor is anything that has not the form of a content type or a code.
pub fn description(content_type: &str, coding: &Coding) -> String {
    // Parameters are free text (RFC 2045, 5.1), so only what stands before them is said.
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let media = if is_media_type(essence) {
        essence
    } else {
        "application/octet-stream"
    };
    if coding.system != Coding::LOINC || !is_loinc(&coding.code) {
        return media.to_owned();
    }
    let code = &coding.code;
    match meaning(code) {
        Some(meaning) => format!("{meaning} (LOINC {code}, {media})"),
        None => format!("LOINC {code}, {media}"),
    }
}

/// Type, slash, subtype of RFC 6838, 4.2, without parameters.
fn is_media_type(text: &str) -> bool {
    let part = |part: &str| {
        (1..=64).contains(&part.len())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    text.split_once('/')
        .is_some_and(|(kind, subtype)| part(kind) && part(subtype))
}

/// Up to seven digits, hyphen, check digit (LOINC Users' Guide).
fn is_loinc(text: &str) -> bool {
    let digits = |part: &str, max: usize| {
        (1..=max).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.split_once('-')
        .is_some_and(|(number, check)| digits(number, 7) && digits(check, 1))
}

fn meaning(code: &str) -> Option<&'static str> {
    const MEANINGS: [(&str, &str); 19] = [
        ("11488-4", "consultation"),
        ("11502-2", "laboratory report"),
        ("11504-8", "operation"),
        ("11506-3", "progress note"),
        ("11526-1", "pathology report"),
        ("18748-4", "imaging report"),
        ("18761-7", "transfer"),
        ("18842-5", "discharge summary"),
        ("28570-0", "procedure"),
        ("34111-5", "emergency department"),
        ("34117-2", "history and physical"),
        ("34133-9", "episode of care"),
        ("42348-3", "advance directives"),
        ("51847-2", "assessment and plan"),
        ("52521-2", "care plan"),
        ("57133-1", "referral"),
        ("59284-0", "consent"),
        ("60591-5", "patient summary"),
        ("100821-8", "life-sustaining treatment orders"),
    ];
    MEANINGS
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, meaning)| *meaning)
}

/// An entry that is in the log.
#[derive(Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its index in the log.
    pub index: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What it says.
    pub entry: Entry,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn coding(system: &str, code: &str) -> Coding {
        Coding {
            system: system.to_owned(),
            code: code.to_owned(),
            display: "Letter about Rosa Delgado".to_owned(),
        }
    }

    #[test]
    fn kinds_are_distinct_and_read_back_and_zero_is_none() {
        let numbers: BTreeSet<u32> = Kind::ALL.iter().map(|kind| kind.number()).collect();
        let texts: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.text()).collect();

        assert_eq!(numbers.len(), Kind::ALL.len());
        assert_eq!(texts.len(), Kind::ALL.len());
        for kind in Kind::ALL.iter().copied() {
            assert_eq!(Kind::from_number(kind.number()), Some(kind));
        }
        assert_eq!(Kind::from_number(0), None);
    }

    #[test]
    fn a_description_says_what_a_document_is_in_our_words() {
        let summary = coding(Coding::LOINC, "18842-5");

        assert_eq!(
            description("application/pdf", &summary),
            "discharge summary (LOINC 18842-5, application/pdf)"
        );
        assert_eq!(
            description("application/fhir+json", &coding(Coding::LOINC, "99999-9")),
            "LOINC 99999-9, application/fhir+json"
        );
        assert_eq!(
            description("text/plain; charset=utf-8", &summary),
            "discharge summary (LOINC 18842-5, text/plain)"
        );
    }

    #[test]
    fn no_word_of_the_author_reaches_the_log() {
        let cases = [
            ("application/pdf", coding("http://rosa.example", "18842-5")),
            ("application/pdf", coding(Coding::LOINC, "Rosa-1")),
            ("text/plain; name=rosa", coding(Coding::LOINC, "18842-5")),
            ("rosa delgado/pdf", coding(Coding::LOINC, "")),
            ("Rosa", coding("", "Rosa")),
        ];

        for (content_type, coding) in cases {
            let said = description(content_type, &coding).to_ascii_lowercase();
            assert!(!said.contains("rosa"), "{said}");
        }
    }
}
