//! What a decision rests on: who asks, what the holder is, what is on file.

use crate::{
    membership::{Organization, Template},
    records::Consent,
    session::Peer,
    types::{Kind, MemberId, NodeKey, PatientId, Purpose, Role, Timestamp},
};

/// Who may learn that a patient has a record here (`policy.md` 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Discoverability {
    /// Members may, for treatment and in an emergency.
    Open = 1,
    /// Only with a consent that permits.
    Consented = 2,
    /// Only with the patient's own consent.
    Hidden = 3,
}

impl Discoverability {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Open, Self::Consented, Self::Hidden];

    /// What holds for a patient of this organisation where nothing else was said: hidden where the
    /// hit itself discloses the condition.
    pub fn default_for(kind: Kind, part2: bool) -> Self {
        if restricted(kind, part2) {
            Self::Hidden
        } else {
            Self::Open
        }
    }

    /// The number it is stored as; 0 is kept for the default of the holder.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The word for it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Consented => "consented",
            Self::Hidden => "hidden",
        }
    }

    /// Reads the number; none for 0 and for numbers without meaning.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.number() == number)
    }
}

/// Whether everything a holder of this sort keeps counts as restricted until it is labelled
/// (`policy.md` 4, rule 6).
pub(super) fn restricted(kind: Kind, part2: bool) -> bool {
    part2 || matches!(kind, Kind::SubstanceUse | Kind::BehavioralHealth)
}

/// Facts about one patient at the holder.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Whose record it is, from the holder's own files.
    pub patient: PatientId,
    /// The holder.
    pub holder: &'a Organization,
    /// The charter's template.
    pub template: Template,
    /// Who may learn that the patient has a record here.
    pub discoverability: Discoverability,
    /// What is on file; consents of other patients among them are passed over.
    pub consents: &'a [Consent],
}

impl Facts<'_> {
    pub(super) fn restricted(&self) -> bool {
        restricted(self.holder.kind, self.holder.part2)
    }

    pub(super) fn part2(&self) -> bool {
        self.holder.part2
    }
}

/// A member that asks, as its credential describes it.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// Who it is.
    pub member: MemberId,
    /// The node it runs.
    pub node_key: NodeKey,
    /// Its organisation.
    pub organization: &'a Organization,
}

impl<'a> From<&'a Peer> for Asker<'a> {
    fn from(peer: &'a Peer) -> Self {
        Self {
            member: peer.member,
            node_key: peer.node_key,
            organization: &peer.organization,
        }
    }
}

/// A question as policy sees it: nothing about whom.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Who asks.
    pub asker: Asker<'a>,
    /// What for.
    pub purpose: Purpose,
    /// What the asking user is at the asker.
    pub role: Role,
    /// When.
    pub now: Timestamp,
}

/// URI of the policy a template stands for (IHE PCF, volume 1, 53.2.1).
pub fn implicit_policy(template: Template) -> &'static str {
    match template {
        Template::OptIn => "https://profiles.ihe.net/ITI/PCF/Policy-break-glass-only",
        Template::UsTreatment => "https://profiles.ihe.net/ITI/PCF/Policy-basic-normal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discoverability_is_stored_by_number_and_shown_by_word() {
        let stored = Discoverability::ALL.map(|it| (it.number(), it.text()));
        assert_eq!(stored, [(1, "open"), (2, "consented"), (3, "hidden")]);
        for value in Discoverability::ALL {
            assert_eq!(Discoverability::from_number(value.number()), Some(value));
        }
        assert_eq!(Discoverability::from_number(0), None);
        assert_eq!(Discoverability::from_number(4), None);
    }
}
