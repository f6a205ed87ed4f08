//! Why policy says no.

use crate::types::{Code, ConsentId, Kind, PeerCode, Role};

use super::Rule;

/// Why a question is refused by policy.
///
/// Fields are ids and terms: every variant is safe to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Break-glass needs a session.
    #[error("break-glass needs a session")]
    NoSession,
    /// This kind of organisation may not assert treatment.
    #[error("a {kind} may not ask for treatment")]
    Kind {
        /// The asker's kind.
        kind: Kind,
    },
    /// This role may not assert the purpose.
    #[error("the role {role} may not ask for this purpose")]
    Role {
        /// The asking user's role.
        role: Role,
    },
    /// A consent denies it.
    #[error("consent {consent} denies it: {}", rule.text())]
    Consent {
        /// Which.
        consent: ConsentId,
        /// By which rule.
        rule: Rule,
    },
    /// Nothing permits it.
    #[error("nothing permits it: {}", rule.text())]
    Default {
        /// By which rule.
        rule: Rule,
    },
}

impl Denial {
    /// The rule that says no.
    pub fn rule(self) -> Rule {
        match self {
            Self::NoSession => Rule::BreakGlassNeedsSession,
            Self::Kind { .. } => Rule::KindMayNotAssert,
            Self::Role { .. } => Rule::RoleMayNotAssert,
            Self::Consent { rule, .. } | Self::Default { rule } => rule,
        }
    }

    /// The consent that says no, where it is one.
    pub fn consent(self) -> Option<ConsentId> {
        match self {
            Self::Consent { consent, .. } => Some(consent),
            Self::NoSession | Self::Kind { .. } | Self::Role { .. } | Self::Default { .. } => None,
        }
    }

    /// What a peer is told: always the same, so that probing teaches nothing.
    pub fn peer_code(self) -> PeerCode {
        PeerCode::Denied
    }

    /// What our own people are told.
    pub fn code(self) -> Code {
        match self {
            Self::NoSession => Code::NoSession,
            Self::Kind { .. } | Self::Role { .. } => Code::RoleForbidden,
            Self::Consent { .. } | Self::Default { .. } => Code::Denied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_the_consent_that_says_no_and_no_other() {
        let consent = ConsentId([7; 16]);
        let rule = Rule::ConsentDenies;

        assert_eq!(Denial::Consent { consent, rule }.consent(), Some(consent));
        assert_eq!(Denial::Consent { consent, rule }.rule(), rule);
        let rule = Rule::PolicyDenies;
        for other in [
            Denial::Default { rule },
            Denial::NoSession,
            Denial::Kind { kind: Kind::Payer },
            Denial::Role {
                role: Role::FrontDesk,
            },
        ] {
            assert_eq!(other.consent(), None, "{other}");
        }
    }
}
