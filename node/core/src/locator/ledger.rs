//! The asker's account of one question: a truthful line for each member.

use crate::{
    matching::Attribute,
    types::{MemberId, PeerCode, Span},
    wire::Match,
};

/// What came of asking one member. Time-out, unreachable, refusal and *no match* are four answers.
#[derive(Clone)]
pub enum Answer {
    /// It holds this patient.
    Match(Match),
    /// It holds several who may be this patient.
    Matches(Vec<Match>),
    /// It holds nobody, or nobody we may know of.
    NoMatch,
    /// It needs these attributes.
    MoreNeeded(Vec<Attribute>),
    /// It refused.
    Refused(PeerCode),
    /// A budget of ours is spent there.
    OverBudget,
    /// The deadline came first.
    TimedOut,
    /// No connection, and none could be made.
    Unreachable,
    /// Left out on purpose: by the user, by the charter's limit, or because it is expired.
    NotAsked,
    /// It speaks another version.
    Incompatible,
}

impl Answer {
    /// The term of the command line's contract.
    pub fn term(&self) -> &'static str {
        match self {
            Self::Match(_) => "match",
            Self::Matches(_) => "matches",
            Self::NoMatch => "no-match",
            Self::MoreNeeded(_) => "more-needed",
            Self::Refused(_) => "refused",
            Self::OverBudget => "over-budget",
            Self::TimedOut => "timed-out",
            Self::Unreachable => "unreachable",
            Self::NotAsked => "not-asked",
            Self::Incompatible => "incompatible",
        }
    }

    /// Whether it leaves open that the member holds records.
    pub fn leaves_open(&self) -> bool {
        match self {
            Self::Match(_) | Self::Matches(_) | Self::NoMatch | Self::MoreNeeded(_) => false,
            Self::Refused(_)
            | Self::OverBudget
            | Self::TimedOut
            | Self::Unreachable
            | Self::NotAsked
            | Self::Incompatible => true,
        }
    }
}

/// What a member learnt from being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revealed {
    /// Nothing: the question never left, or never arrived.
    Nothing,
    /// Sealed demographics were sent to it.
    Demographics,
}

impl Revealed {
    /// The term of the command line's contract.
    pub fn term(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Demographics => "demographics",
        }
    }
}

/// One member's line.
#[derive(Clone)]
pub struct Line {
    /// Which member.
    pub member: MemberId,
    /// What came of it.
    pub answer: Answer,
    /// What it learnt.
    pub revealed: Revealed,
    /// Left out by the user's own choice, so that it does not make the answer incomplete.
    pub excluded: bool,
    /// From question to answer.
    pub elapsed: Span,
}

/// All lines of one question, in order of member id.
#[derive(Clone)]
pub struct Ledger {
    /// One for each member but ourselves.
    pub lines: Vec<Line>,
    /// In all.
    pub elapsed: Span,
}

impl Ledger {
    /// Whether every member that was to be asked said whether it holds the patient.
    pub fn complete(&self) -> bool {
        self.lines
            .iter()
            .all(|line| line.excluded || !line.answer.leaves_open())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(answer: Answer) -> Line {
        Line {
            member: MemberId([1; 16]),
            answer,
            revealed: Revealed::Nothing,
            excluded: false,
            elapsed: Span(0),
        }
    }

    #[test]
    fn only_an_answer_about_records_completes_the_ledger() {
        let ledger = |answer| Ledger {
            lines: vec![line(Answer::NoMatch), line(answer)],
            elapsed: Span(0),
        };

        assert!(ledger(Answer::NoMatch).complete());
        assert!(ledger(Answer::MoreNeeded(vec![Attribute::Address])).complete());
        for open in [
            Answer::Refused(PeerCode::Denied),
            Answer::OverBudget,
            Answer::TimedOut,
            Answer::Unreachable,
            Answer::NotAsked,
            Answer::Incompatible,
        ] {
            assert!(!ledger(open).complete());
        }
        let mut chosen = ledger(Answer::NotAsked);
        chosen.lines[1].excluded = true;
        assert!(chosen.complete());
    }
}
