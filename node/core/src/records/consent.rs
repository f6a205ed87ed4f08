//! What a patient agreed to or refused at this holder, as stored truth.
//!
//! The shape is the basic form of IHE PCF; FHIR itself stands in [`crate::policy`]. Nothing here
//! decides anything.

use std::{fmt, str::FromStr};

use crate::types::{
    ConsentId, Kind, MemberId, NodeKey, ParseIdError, PatientId, Purpose, Timestamp, limits,
};

/// Whom a consent is about (`decisions.md` 3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// One member, whatever node it runs.
    Member(MemberId),
    /// The member that runs this node.
    Node(NodeKey),
    /// The member whose organisation bears exactly this name.
    Organization(String),
    /// Every member of a kind.
    Kind(Kind),
    /// Every member.
    Any,
}

/// Why a text names no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTargetError {
    /// The id behind the prefix cannot be read.
    #[error("the member of the target cannot be read: {0}")]
    Member(ParseIdError),
    /// The text has no prefix of a target and is no node either.
    #[error("not a node, member:ID, org:NAME, kind:K or any")]
    Form,
    /// The kind behind the prefix is not known.
    #[error("the kind of the target is not known")]
    Kind,
    /// The name behind the prefix is empty, too long, or has control characters.
    #[error("the name of the target cannot be used")]
    Name,
}

impl Target {
    /// Whether a member is meant, as its credential describes it.
    pub fn matches(
        &self,
        member: MemberId,
        node_key: NodeKey,
        organization: &str,
        kind: Kind,
    ) -> bool {
        match self {
            Self::Member(named) => *named == member,
            Self::Node(named) => *named == node_key,
            Self::Organization(named) => named == organization,
            Self::Kind(named) => *named == kind,
            Self::Any => true,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(member) => write!(f, "member:{member}"),
            Self::Node(node_key) => write!(f, "{node_key}"),
            Self::Organization(name) => write!(f, "org:{name}"),
            Self::Kind(kind) => write!(f, "kind:{kind}"),
            Self::Any => f.write_str("any"),
        }
    }
}

impl FromStr for Target {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "any" {
            return Ok(Self::Any);
        }
        if let Some(member) = text.strip_prefix("member:") {
            return member
                .parse()
                .map(Self::Member)
                .map_err(ParseTargetError::Member);
        }
        if let Some(kind) = text.strip_prefix("kind:") {
            return kind
                .parse()
                .map(Self::Kind)
                .map_err(|_| ParseTargetError::Kind);
        }
        if let Some(name) = text.strip_prefix("org:") {
            let usable = !name.trim().is_empty()
                && name.chars().count() <= limits::DEMOGRAPHIC_CHARS_MAX
                && !name.chars().any(char::is_control);
            if !usable {
                return Err(ParseTargetError::Name);
            }
            return Ok(Self::Organization(name.to_owned()));
        }
        text.parse()
            .map(Self::Node)
            .map_err(|_| ParseTargetError::Form)
    }
}

/// Which way a consent goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provision {
    /// It permits.
    Permit,
    /// It denies.
    Deny,
}

/// Which command made a consent; its number is part of the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsentForm {
    /// Target and purposes as they are named.
    Provision = 0,
    /// Nobody, for no purpose; break-glass stays unless the consent says otherwise.
    OptOut = 1,
    /// Every member, for treatment.
    OptIn = 2,
}

impl ConsentForm {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Provision, Self::OptOut, Self::OptIn];

    /// The number it is stored as.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Reads the number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.number() == number)
    }
}

/// Who said it, and how well that is known (`policy.md` 4, rule 2); ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Staff state it without evidence.
    Stated = 1,
    /// Carried from another member, attested by its staff.
    Carried = 2,
    /// The patient, authenticated at this holder.
    Patient = 3,
}

impl Class {
    /// Every class, weakest first.
    pub const ALL: [Self; 3] = [Self::Stated, Self::Carried, Self::Patient];

    /// The class of a consent recorded at this holder: a signed form, or a witness to what the one
    /// named by `by` said in person, makes it the patient's own word.
    pub fn at_holder(by: &str, evidence: Option<&Evidence>, witness: Option<&str>) -> Self {
        let heard = !by.is_empty() && witness.is_some_and(|witness| !witness.is_empty());
        if evidence.is_some() || heard {
            Self::Patient
        } else {
            Self::Stated
        }
    }

    /// The number it is shown and stored as.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Reads the number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.number() == number)
    }
}

/// The signed form behind a consent: what it is, not what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// SHA-256 of the form.
    pub sha256: [u8; 32],
    /// MIME type.
    pub content_type: String,
    /// Length in bytes.
    pub size: u64,
}

/// How a consent stands at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentStatus {
    /// It counts.
    Active,
    /// Its period has not begun.
    NotYet,
    /// Its period is over.
    Expired,
    /// It was revoked, finally.
    Revoked,
}

impl ConsentStatus {
    /// The word for it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotYet => "not-yet",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// Which form of FHIR Consent a consent can honestly claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// IHE PCF Explicit Basic.
    PcfBasic,
    /// IHE PCF Explicit Intermediate, additional purposes or the break-glass exception.
    PcfIntermediate,
    /// Plain FHIR R4.
    R4,
}

impl Profile {
    /// The word for it.
    pub fn text(self) -> &'static str {
        match self {
            Self::PcfBasic => "pcf-basic",
            Self::PcfIntermediate => "pcf-intermediate",
            Self::R4 => "r4",
        }
    }
}

/// A consent on file at this node.
#[derive(Clone, PartialEq, Eq)]
pub struct Consent {
    /// Its id.
    pub id: ConsentId,
    /// Whose records it is about.
    pub patient: PatientId,
    /// Which way it goes.
    pub provision: Provision,
    /// Which command made it.
    pub form: ConsentForm,
    /// Whom it is about.
    pub target: Target,
    /// What for; empty for an opt-out, which is about every purpose.
    pub purposes: Vec<Purpose>,
    /// Whose word it is.
    pub class: Class,
    /// `patient`, or the relation of who spoke; empty where staff state it.
    pub by: String,
    /// Claimed start.
    pub from: Timestamp,
    /// End, exclusive; none where it has none.
    pub until: Option<Timestamp>,
    /// The signed form, where there is one.
    pub evidence: Option<Evidence>,
    /// Staff user who heard it said, where there is no form.
    pub witness: Option<String>,
    /// Staff user who recorded it.
    pub recorded_by: String,
    /// A denial that holds even under break-glass (45 CFR 164.522(a)(1)(iii)).
    pub even_emergency: bool,
    /// URI of the network's policy in force when it was recorded.
    pub policy: String,
    /// Journal position; what is later is decided by it alone.
    pub position: u64,
    /// When the journal took it.
    pub recorded_at: Timestamp,
    /// Journal position and time of its revocation.
    pub revoked: Option<(u64, Timestamp)>,
}

impl Consent {
    /// How it stands at a time.
    ///
    /// A claimed start before the recording counts for nothing with a permit. A denial counts from
    /// the recording even if the clock has since gone back: only permits may wait.
    pub fn status(&self, now: Timestamp) -> ConsentStatus {
        if self.revoked.is_some() {
            return ConsentStatus::Revoked;
        }
        let waits = match self.provision {
            Provision::Permit => now < self.from.max(self.recorded_at),
            Provision::Deny => self.from > self.recorded_at && now < self.from,
        };
        if waits {
            return ConsentStatus::NotYet;
        }
        if self.until.is_some_and(|until| now >= until) {
            return ConsentStatus::Expired;
        }
        ConsentStatus::Active
    }

    /// The profile its FHIR form can claim: PCF demands the signed form and who gave it.
    pub fn profile(&self) -> Profile {
        if self.evidence.is_none() || self.by.is_empty() {
            return Profile::R4;
        }
        let basic = match self.form {
            // Sparing break-glass takes a nested provision, which Basic does not know.
            ConsentForm::OptOut => self.even_emergency,
            ConsentForm::OptIn | ConsentForm::Provision => {
                !self.even_emergency
                    && self.purposes.iter().all(|purpose| {
                        matches!(purpose, Purpose::Treat | Purpose::Hpaymt | Purpose::Hoperat)
                    })
            }
        };
        if basic {
            Profile::PcfBasic
        } else {
            Profile::PcfIntermediate
        }
    }
}

impl fmt::Debug for Consent {
    /// Its id and place alone: whom a patient names is the patient's affair.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consent({} at {})", self.id, self.position)
    }
}

/// What became of a consent that was handed to [`Consents::file`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filing {
    /// It is on file.
    Filed,
    /// One of that id was on file already, and nothing was changed: what is revoked stays revoked.
    Known,
}

/// The consents of one patient in journal order.
#[derive(Clone, Default)]
pub struct Consents(Vec<Consent>);

impl Consents {
    /// All of them.
    pub fn as_slice(&self) -> &[Consent] {
        &self.0
    }

    /// One by its id.
    pub fn find(&self, id: ConsentId) -> Option<&Consent> {
        self.0.iter().find(|consent| consent.id == id)
    }

    /// Takes a consent in; a second one of the same id changes nothing.
    pub fn file(&mut self, consent: Consent) -> Filing {
        if self.find(consent.id).is_some() {
            return Filing::Known;
        }
        self.0.push(consent);
        Filing::Filed
    }

    /// Revokes a consent, finally. False where it is unknown or was revoked before.
    pub fn revoke(&mut self, id: ConsentId, position: u64, at: Timestamp) -> bool {
        let Some(consent) = self.0.iter_mut().find(|consent| consent.id == id) else {
            return false;
        };
        if consent.revoked.is_some() {
            return false;
        }
        consent.revoked = Some((position, at));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn consent() -> Consent {
        Consent {
            id: ConsentId([1; 16]),
            patient: PatientId([2; 16]),
            provision: Provision::Permit,
            form: ConsentForm::Provision,
            target: Target::Organization("Wanda's Wharf".to_owned()),
            purposes: vec![Purpose::Treat],
            class: Class::Patient,
            by: "patient".to_owned(),
            from: Timestamp(0),
            until: None,
            evidence: Some(Evidence {
                sha256: [3; 32],
                content_type: "application/pdf".to_owned(),
                size: 9,
            }),
            witness: None,
            recorded_by: "amy".to_owned(),
            even_emergency: false,
            policy: String::new(),
            position: 7,
            recorded_at: Timestamp(10),
            revoked: None,
        }
    }

    #[test]
    fn a_target_reads_back_and_an_organisation_may_be_called_like_a_kind() {
        let targets = [
            Target::Member(MemberId([5; 16])),
            Target::Node(NodeKey([6; 32])),
            Target::Organization("hospital".to_owned()),
            Target::Organization("any".to_owned()),
            Target::Kind(Kind::Hospital),
            Target::Any,
        ];

        for target in targets {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
    }

    #[test]
    fn a_text_that_names_nobody_is_no_target() {
        let long = format!("org:{}", "x".repeat(limits::DEMOGRAPHIC_CHARS_MAX + 1));
        let cases = [
            ("", ParseTargetError::Form),
            ("Any", ParseTargetError::Form),
            ("hospital", ParseTargetError::Form),
            ("kind:", ParseTargetError::Kind),
            ("kind:Hospital", ParseTargetError::Kind),
            ("org:", ParseTargetError::Name),
            ("org:  ", ParseTargetError::Name),
            ("org:a\nb", ParseTargetError::Name),
            (long.as_str(), ParseTargetError::Name),
            (
                "member:pat_aaaa",
                ParseTargetError::Member(ParseIdError::Prefix { expected: "mem_" }),
            ),
        ];

        assert!(long[..long.len() - 1].parse::<Target>().is_ok());
        for (text, error) in cases {
            assert_eq!(text.parse::<Target>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_target_means_exactly_whom_it_names() {
        let (member, node) = (MemberId([5; 16]), NodeKey([6; 32]));
        let meant = |target: Target| target.matches(member, node, "Harbor", Kind::UrgentCare);

        assert!(meant(Target::Any));
        assert!(meant(Target::Member(member)));
        assert!(meant(Target::Node(node)));
        assert!(meant(Target::Organization("Harbor".to_owned())));
        assert!(meant(Target::Kind(Kind::UrgentCare)));
        assert!(!meant(Target::Member(MemberId([7; 16]))));
        assert!(!meant(Target::Node(NodeKey([7; 32]))));
        assert!(!meant(Target::Organization("harbor".to_owned())));
        assert!(!meant(Target::Organization("Harbor Hospital".to_owned())));
        assert!(!meant(Target::Kind(Kind::Hospital)));
    }

    #[test]
    fn a_form_or_a_witness_to_the_speaker_makes_it_the_patients_word() {
        let form = consent().evidence;

        assert_eq!(
            Class::at_holder("patient", form.as_ref(), None),
            Class::Patient
        );
        assert_eq!(Class::at_holder("mother", None, Some("bo")), Class::Patient);
        assert_eq!(Class::at_holder("", None, Some("bo")), Class::Stated);
        assert_eq!(Class::at_holder("patient", None, Some("")), Class::Stated);
        assert_eq!(Class::at_holder("patient", None, None), Class::Stated);
    }

    #[test]
    fn a_profile_is_claimed_only_where_it_holds() {
        let with = |change: fn(&mut Consent)| {
            let mut changed = consent();
            change(&mut changed);
            changed.profile().text()
        };

        assert_eq!(consent().profile().text(), "pcf-basic");
        assert_eq!(with(|it| it.purposes.push(Purpose::Hpaymt)), "pcf-basic");
        assert_eq!(
            with(|it| it.purposes.push(Purpose::Etreat)),
            "pcf-intermediate"
        );
        assert_eq!(with(|it| it.form = ConsentForm::OptOut), "pcf-intermediate");
        assert_eq!(with(|it| it.evidence = None), "r4");
        assert_eq!(with(|it| it.by.clear()), "r4");
    }

    #[test]
    fn a_revocation_is_final_and_a_second_filing_changes_nothing() {
        let mut consents = Consents::default();
        assert_eq!(consents.file(consent()), Filing::Filed);
        assert_eq!(consents.as_slice()[0].status(NOW), ConsentStatus::Active);

        assert!(consents.revoke(consent().id, 8, NOW));

        assert!(!consents.revoke(consent().id, 9, Timestamp(2_000)));
        assert!(!consents.revoke(ConsentId([4; 16]), 9, NOW));
        assert_eq!(consents.file(consent()), Filing::Known);
        assert_eq!(consents.as_slice().len(), 1);
        assert_eq!(consents.as_slice()[0].revoked, Some((8, NOW)));
        assert_eq!(consents.as_slice()[0].status(NOW), ConsentStatus::Revoked);
    }

    #[test]
    fn debug_names_ids_alone() {
        let text = format!("{:?}", consent());

        assert!(text.contains("con_"));
        assert!(!text.contains("Wanda") && !text.contains("pat_"));
    }

    #[test]
    fn numbers_read_back() {
        for class in Class::ALL {
            assert_eq!(Class::from_number(class.number()), Some(class));
        }
        for form in ConsentForm::ALL {
            assert_eq!(ConsentForm::from_number(form.number()), Some(form));
        }
        assert_eq!(Class::from_number(0), None);
        assert_eq!(ConsentForm::from_number(3), None);
    }
}
