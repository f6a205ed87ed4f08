//! What a patient may ask for: the accounting of 45 CFR 164.528, and who had access.

use crate::types::{
    ConsentId, DisclosureId, DocumentId, MemberId, PatientId, Purpose, Span, Timestamp,
};

use super::{Kind, Logged};
use crate::policy::Rule;

/// How far back an accounting reaches: six years (45 CFR 164.528(a)(1)).
const REACH: Span = Span::days(6 * 365 + 2);

/// What a disclosure rested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// The consent; none where the network's policy permitted.
    pub consent: Option<ConsentId>,
    /// The rule that decided.
    pub rule: Option<Rule>,
}

impl std::fmt::Display for Basis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.consent, self.rule) {
            (Some(consent), Some(rule)) => write!(f, "{consent}: {}", rule.text()),
            (Some(consent), None) => write!(f, "{consent}"),
            (None, Some(rule)) => f.write_str(rule.text()),
            (None, None) => f.write_str("not recorded"),
        }
    }
}

/// One line of the accounting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountingLine {
    /// Index of the entry in the log.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// To whom; name and address come from its credential.
    pub recipient: MemberId,
    /// What for.
    pub purpose: Purpose,
    /// What.
    pub description: String,
    /// Which document.
    pub document: Option<DocumentId>,
    /// On what it rested.
    pub basis: Basis,
    /// Whether the law's accounting must list it.
    pub accountable: bool,
    /// Joins the entries at both ends.
    pub disclosure: DisclosureId,
}

/// Whether a disclosure for a purpose belongs in the law's accounting: treatment, payment and
/// operations are excepted by 45 CFR 164.528(a)(1)(i), and listed all the same, marked apart.
pub fn is_accountable(purpose: Purpose) -> bool {
    match purpose {
        Purpose::Treat
        | Purpose::Etreat
        | Purpose::Hpaymt
        | Purpose::Hoperat
        | Purpose::Coverage
        | Purpose::Covauth => false,
        Purpose::Btg
        | Purpose::Patrqt
        | Purpose::Famrqt
        | Purpose::Pwatrny
        | Purpose::Supnwk
        | Purpose::Hresch
        | Purpose::Pubhlth => true,
    }
}

/// Since when an accounting made at `now` lists disclosures.
pub fn reaches_back_to(now: Timestamp) -> Timestamp {
    now.minus(REACH)
}

/// The disclosures of one patient's record in the six years before `now`, oldest first.
///
/// An entry that lacks recipient, purpose or disclosure is none this node wrote; it is left out here
/// and still seen by [`access`].
pub fn accounting<'a>(
    log: impl IntoIterator<Item = &'a Logged>,
    patient: PatientId,
    now: Timestamp,
) -> Vec<AccountingLine> {
    let since = reaches_back_to(now);
    let mut lines: Vec<AccountingLine> = log
        .into_iter()
        .filter(|logged| logged.at >= since)
        .filter(|logged| logged.entry.patient == Some(patient))
        .filter(|logged| logged.entry.kind == Kind::Disclosed)
        .filter_map(line)
        .collect();
    lines.sort_by_key(|line| line.index);
    lines
}

fn line(logged: &Logged) -> Option<AccountingLine> {
    let entry = &logged.entry;
    let purpose = entry.purpose?;
    Some(AccountingLine {
        index: logged.index,
        at: logged.at,
        recipient: entry.member?,
        purpose,
        description: entry.description.clone(),
        document: entry.document,
        basis: Basis {
            consent: entry.consent,
            rule: entry.rule,
        },
        accountable: is_accountable(purpose),
        disclosure: entry.disclosure?,
    })
}

/// Every entry about one patient, in the order of the log.
pub fn access<'a>(
    log: impl IntoIterator<Item = &'a Logged>,
    patient: PatientId,
) -> impl Iterator<Item = &'a Logged> {
    log.into_iter()
        .filter(move |logged| logged.entry.patient == Some(patient))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Entry;

    const ROSA: PatientId = PatientId([1; 16]);
    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn disclosed(index: u64, purpose: Purpose) -> Logged {
        Logged {
            index,
            at: Timestamp(NOW.0 - 1_000 + index),
            entry: Entry {
                member: Some(MemberId([3; 16])),
                patient: Some(ROSA),
                document: Some(DocumentId([4; 16])),
                consent: Some(ConsentId([5; 16])),
                disclosure: Some(DisclosureId([6; 16])),
                purpose: Some(purpose),
                rule: Some(Rule::ConsentPermits),
                description: "discharge summary".to_owned(),
                ..Entry::new(Kind::Disclosed)
            },
        }
    }

    #[test]
    fn a_line_has_date_recipient_purpose_description_and_basis() {
        let log = [disclosed(7, Purpose::Treat)];

        let lines = accounting(&log, ROSA, NOW);

        assert_eq!(
            lines,
            [AccountingLine {
                index: 7,
                at: log[0].at,
                recipient: MemberId([3; 16]),
                purpose: Purpose::Treat,
                description: "discharge summary".to_owned(),
                document: Some(DocumentId([4; 16])),
                basis: Basis {
                    consent: Some(ConsentId([5; 16])),
                    rule: Some(Rule::ConsentPermits),
                },
                accountable: false,
                disclosure: DisclosureId([6; 16]),
            }]
        );
        let basis = lines[0].basis.to_string();
        assert!(basis.starts_with("con_") && basis.ends_with(Rule::ConsentPermits.text()));
    }

    #[test]
    fn treatment_payment_and_operations_are_listed_and_marked_apart() {
        let log: Vec<Logged> = (0..)
            .zip(Purpose::ALL)
            .map(|(index, purpose)| disclosed(index, *purpose))
            .collect();

        let lines = accounting(&log, ROSA, NOW);

        assert_eq!(lines.len(), Purpose::ALL.len());
        let excepted: Vec<Purpose> = lines
            .iter()
            .filter(|line| !line.accountable)
            .map(|line| line.purpose)
            .collect();
        assert_eq!(
            excepted,
            [
                Purpose::Treat,
                Purpose::Etreat,
                Purpose::Hpaymt,
                Purpose::Hoperat,
                Purpose::Coverage,
                Purpose::Covauth,
            ]
        );
    }

    #[test]
    fn only_this_patients_disclosures_of_six_years_are_listed() {
        let within = disclosed(1, Purpose::Hresch);
        let mut old = disclosed(2, Purpose::Hresch);
        old.at = Timestamp(NOW.minus(REACH).0 - 1);
        let mut other = disclosed(3, Purpose::Hresch);
        other.entry.patient = Some(PatientId([9; 16]));
        let mut denied = disclosed(4, Purpose::Hresch);
        denied.entry.kind = Kind::Denied;
        let log = [denied, other, old, within];

        let lines = accounting(&log, ROSA, NOW);

        let indices: Vec<u64> = lines.iter().map(|line| line.index).collect();
        assert_eq!(indices, [1]);
        let seen: Vec<u64> = access(&log, ROSA).map(|logged| logged.index).collect();
        assert_eq!(seen, [4, 2, 1]);
    }

    #[test]
    fn a_thousand_disclosures_give_a_thousand_lines_in_order() {
        let log: Vec<Logged> = (0..1_000)
            .rev()
            .map(|index| disclosed(index, Purpose::Pubhlth))
            .collect();

        let lines = accounting(&log, ROSA, NOW);

        let indices: Vec<u64> = lines.iter().map(|line| line.index).collect();
        assert_eq!(indices, (0..1_000).collect::<Vec<_>>());
    }
}
