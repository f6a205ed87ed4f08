//! The two templates, and the rules in plain words (`policy.md` 1).

use std::fmt;
use std::str::FromStr;

use super::{Rules, Template};
use crate::types::{ParseVocabularyError, Span, limits};

/// The only version of the set of rules.
const VERSION: u32 = 1;
const DAY_HOURS: u32 = 24;

/// Why rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// There is no rule of that name.
    #[error("there is no rule {name}")]
    Unknown {
        /// What the file calls it, at most 64 characters.
        name: String,
    },
    /// A rule stands twice.
    #[error("the rule {field} stands twice")]
    Repeated {
        /// Which.
        field: &'static str,
    },
    /// The value is of another type.
    #[error("the value of {field} cannot be read: {expected} expected")]
    Value {
        /// Which rule.
        field: &'static str,
        /// What it wants.
        expected: &'static str,
    },
    /// The value is outside its range.
    #[error("the value of {field} is not between {least} and {most}")]
    Range {
        /// Which rule.
        field: &'static str,
        /// Least.
        least: u64,
        /// Most.
        most: u64,
    },
    /// The agreement has a hash but no address, or an address but no hash.
    #[error("agreement_sha256 and agreement_url go together")]
    Agreement,
}

impl Template {
    /// Its name at the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::OptIn => "opt-in",
            Self::UsTreatment => "us-treatment",
        }
    }

    /// The implicit policy of IHE PCF (Privacy Consent on FHIR) that holds where a patient
    /// said nothing.
    pub fn policy_uri(self) -> &'static str {
        match self {
            Self::OptIn => "https://profiles.ihe.net/ITI/PCF/Policy-break-glass-only",
            Self::UsTreatment => "https://profiles.ihe.net/ITI/PCF/Policy-basic-normal",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::OptIn => {
                "without the patient's consent nothing is disclosed, except by breaking the glass"
            }
            Self::UsTreatment => {
                "normal data may be disclosed for treatment unless the patient objects"
            }
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Template {
    type Err = ParseVocabularyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::OptIn, Self::UsTreatment]
            .into_iter()
            .find(|template| template.name() == text)
            .ok_or(ParseVocabularyError { what: "template" })
    }
}

/// One rule in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleLine {
    /// Its name, as in a rules file.
    pub name: &'static str,
    /// Its value, with its unit.
    pub value: String,
    /// What it means for patients and staff.
    pub meaning: &'static str,
}

/// A rule that is a number: name, range, unit, what it means, and where it stands.
struct NumberRule {
    name: &'static str,
    least: u64,
    most: u64,
    unit: &'static str,
    meaning: &'static str,
    get: fn(&Rules) -> u64,
    set: fn(&mut Rules, u64),
}

fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

const NUMBERS: [NumberRule; 10] = [
    NumberRule {
        name: "clock_window_min",
        least: 1,
        most: 60,
        unit: "minutes",
        meaning: "how far the clocks of two nodes may be apart",
        get: |rules| rules.clock_window.0 / Span::minutes(1).0,
        set: |rules, value| rules.clock_window = Span::minutes(value),
    },
    NumberRule {
        name: "direct_max",
        least: 1,
        most: limits::DIRECT_MAX as u64,
        unit: "members",
        meaning: "a question about a patient goes to at most so many members directly",
        get: |rules| rules.direct_max.into(),
        set: |rules, value| rules.direct_max = small(value),
    },
    NumberRule {
        name: "handle_hours",
        least: 1,
        most: 7 * DAY_HOURS as u64,
        unit: "hours",
        meaning: "after so long the holder must be asked for the patient again",
        get: |rules| rules.handle_life.0 / Span::hours(1).0,
        set: |rules, value| rules.handle_life = Span::hours(value),
    },
    NumberRule {
        name: "keep_evidence_years",
        least: 1,
        most: 100,
        unit: "years",
        meaning: "so long the evidence of a consent is kept",
        get: |rules| rules.keep_evidence_years.into(),
        set: |rules, value| rules.keep_evidence_years = small(value),
    },
    NumberRule {
        name: "keep_audit_years",
        least: 1,
        most: 100,
        unit: "years",
        meaning: "so long it is kept who read what (45 CFR 164.528 asks for 6)",
        get: |rules| rules.keep_audit_years.into(),
        set: |rules, value| rules.keep_audit_years = small(value),
    },
    NumberRule {
        name: "keep_part2_years",
        least: 1,
        most: 100,
        unit: "years",
        meaning: "so long the list of recipients of substance-use records is kept (42 CFR 2.24)",
        get: |rules| rules.keep_part2_years.into(),
        set: |rules, value| rules.keep_part2_years = small(value),
    },
    NumberRule {
        name: "review_hours",
        least: 1,
        most: 30 * DAY_HOURS as u64,
        unit: "hours",
        meaning: "within so long a second person reviews every breaking of the glass",
        get: |rules| rules.review.0 / Span::hours(1).0,
        set: |rules, value| rules.review = Span::hours(value),
    },
    NumberRule {
        name: "notice_days",
        least: 0,
        most: 365,
        unit: "days",
        meaning: "so long before it holds a change of these rules is announced",
        get: |rules| rules.notice.0 / Span::days(1).0,
        set: |rules, value| rules.notice = Span::days(value),
    },
    NumberRule {
        name: "locate_per_day",
        least: 1,
        most: 1_000_000,
        unit: "questions",
        meaning: "a member may ask another about so many patients a day",
        get: |rules| rules.locate_per_day.into(),
        set: |rules, value| rules.locate_per_day = small(value),
    },
    NumberRule {
        name: "max_staleness_hours",
        least: 1,
        most: 30 * DAY_HOURS as u64,
        unit: "hours",
        meaning: "a node that so long cannot tell who was revoked discloses only in emergencies",
        get: |rules| rules.max_staleness.0 / Span::hours(1).0,
        set: |rules, value| rules.max_staleness = Span::hours(value),
    },
];

impl Rules {
    /// The rules of a template; the two differ in their implicit policy, not in these.
    pub fn of(template: Template) -> Self {
        match template {
            Template::OptIn | Template::UsTreatment => Self {
                version: VERSION,
                clock_window: limits::CLOCK_WINDOW,
                direct_max: small(limits::DIRECT_MAX as u64),
                handle_life: limits::HANDLE_VALID,
                keep_evidence_years: 7,
                keep_audit_years: 6,
                keep_part2_years: 3,
                review: Span::hours(72),
                notice: Span::days(14),
                // What `locator.md` gives a hospital.
                locate_per_day: 5_000,
                agreement_sha256: None,
                agreement_url: String::new(),
                max_staleness: limits::MAX_STALENESS,
            },
        }
    }

    /// Reads the names and values of a rules file. `template` chooses where to start from, `opt-in`
    /// where it is absent; every rule left out keeps the template's value.
    ///
    /// # Errors
    /// [`RulesError`], naming the rule.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<(Template, Self), RulesError> {
        for (index, (name, _)) in pairs.iter().enumerate() {
            let field = known_name(name)?;
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(RulesError::Repeated { field });
            }
        }
        let template = match value_of(pairs, "template") {
            None => Template::OptIn,
            Some(text) => text.parse().map_err(|_| RulesError::Value {
                field: "template",
                expected: "opt-in or us-treatment",
            })?,
        };
        let mut rules = Self::of(template);
        for number in &NUMBERS {
            if let Some(text) = value_of(pairs, number.name) {
                let value = text.parse().map_err(|_| RulesError::Value {
                    field: number.name,
                    expected: "a whole number",
                })?;
                number.check(value)?;
                (number.set)(&mut rules, value);
            }
        }
        if let Some(text) = value_of(pairs, "agreement_sha256") {
            rules.agreement_sha256 = Some(parse_hash(text)?);
        }
        if let Some(text) = value_of(pairs, "agreement_url") {
            text.clone_into(&mut rules.agreement_url);
        }
        rules.check()?;
        Ok((template, rules))
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`RulesError`], naming the rule.
    pub fn check(&self) -> Result<(), RulesError> {
        if self.version != VERSION {
            return Err(RulesError::Range {
                field: "version",
                least: VERSION.into(),
                most: VERSION.into(),
            });
        }
        for number in &NUMBERS {
            number.check((number.get)(self))?;
        }
        let url = &self.agreement_url;
        let too_long = url.chars().count() > limits::CODE_CHARS_MAX;
        if too_long || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(RulesError::Value {
                field: "agreement_url",
                expected: "an address without spaces",
            });
        }
        if self.agreement_sha256.is_some() == url.is_empty() {
            return Err(RulesError::Agreement);
        }
        Ok(())
    }

    /// The rules in plain words, the implicit policy first.
    pub fn lines(&self, template: Template) -> Vec<RuleLine> {
        let mut lines = vec![
            RuleLine {
                name: "template",
                value: template.name().to_owned(),
                meaning: template.meaning(),
            },
            RuleLine {
                name: "policy",
                value: template.policy_uri().to_owned(),
                meaning: "the policy that holds where a patient said nothing (IHE PCF)",
            },
        ];
        lines.extend(NUMBERS.iter().map(|number| RuleLine {
            name: number.name,
            value: format!("{} {}", (number.get)(self), number.unit),
            meaning: number.meaning,
        }));
        if let Some(hash) = self.agreement_sha256 {
            lines.push(RuleLine {
                name: "agreement_sha256",
                value: data_encoding::HEXLOWER.encode(&hash),
                meaning: "SHA-256 of the participation agreement that every member signed",
            });
            lines.push(RuleLine {
                name: "agreement_url",
                value: self.agreement_url.clone(),
                meaning: "where that agreement can be read",
            });
        }
        lines
    }
}

impl NumberRule {
    fn check(&self, value: u64) -> Result<(), RulesError> {
        if !(self.least..=self.most).contains(&value) {
            return Err(RulesError::Range {
                field: self.name,
                least: self.least,
                most: self.most,
            });
        }
        Ok(())
    }
}

fn known_name(name: &str) -> Result<&'static str, RulesError> {
    let others = ["template", "agreement_sha256", "agreement_url"];
    NUMBERS
        .iter()
        .map(|number| number.name)
        .chain(others)
        .find(|known| *known == name)
        .ok_or_else(|| RulesError::Unknown {
            name: name.chars().take(64).collect(),
        })
}

fn value_of<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

fn parse_hash(text: &str) -> Result<[u8; 32], RulesError> {
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(RulesError::Value {
            field: "agreement_sha256",
            expected: "64 hexadecimal digits",
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_question_goes_to_direct_max_members_at_most() {
        let rules = |value: u64| {
            let value = value.to_string();
            Rules::from_pairs(&pairs(&[("direct_max", &value)])).map(|(_, rules)| rules.direct_max)
        };
        let most = limits::DIRECT_MAX as u64;
        assert_eq!(rules(most).map(u64::from), Ok(most));

        assert!(rules(most + 1).is_err());
    }

    #[test]
    fn both_templates_have_rules_that_hold() {
        for template in [Template::OptIn, Template::UsTreatment] {
            let mut rules = Rules::of(template);
            assert_eq!(rules.check(), Ok(()));
            assert_eq!(template.name().parse(), Ok(template));
            rules.version = 2;
            let (least, most) = (1, 1);
            let field = "version";
            let refused = Err(RulesError::Range { field, least, most });
            assert_eq!(rules.check(), refused);
        }
        assert!(
            Template::OptIn
                .policy_uri()
                .ends_with("Policy-break-glass-only")
        );
        assert!(
            Template::UsTreatment
                .policy_uri()
                .ends_with("Policy-basic-normal")
        );
    }

    #[test]
    fn a_rules_file_starts_from_its_template_and_changes_what_it_names() {
        let file = pairs(&[("template", "us-treatment"), ("handle_hours", "4")]);

        let (template, rules) = Rules::from_pairs(&file).unwrap();

        assert_eq!(template, Template::UsTreatment);
        assert_eq!(rules.handle_life, Span::hours(4));
        assert_eq!(rules.review, Rules::of(template).review);
        assert_eq!(
            Rules::from_pairs(&[]),
            Ok((Template::OptIn, Rules::of(Template::OptIn)))
        );
    }

    #[test]
    fn a_rule_that_cannot_be_read_is_named() {
        let error = |file: &[(&str, &str)]| Rules::from_pairs(&pairs(file)).err();
        assert_eq!(error(&[("notice_days", "30")]), None);

        assert_eq!(
            error(&[("notice_day", "30")]),
            Some(RulesError::Unknown {
                name: "notice_day".to_owned()
            })
        );
        assert_eq!(
            error(&[("notice_days", "30"), ("notice_days", "31")]),
            Some(RulesError::Repeated {
                field: "notice_days"
            })
        );
        assert_eq!(
            error(&[("notice_days", "a month")]),
            Some(RulesError::Value {
                field: "notice_days",
                expected: "a whole number"
            })
        );
        // The second has 2^64 milliseconds, and none where nobody looks.
        for days in ["366", "18014398509481984"] {
            assert_eq!(
                error(&[("notice_days", days)]),
                Some(RulesError::Range {
                    field: "notice_days",
                    least: 0,
                    most: 365
                })
            );
        }
        assert!(matches!(
            error(&[("template", "deny")]),
            Some(RulesError::Value {
                field: "template",
                ..
            })
        ));
    }

    #[test]
    fn an_agreement_has_a_hash_and_an_address_or_neither() {
        let hash = "ab".repeat(32);
        let whole = [
            ("agreement_sha256", &hash[..]),
            ("agreement_url", "https://x.example/a"),
        ];
        assert!(Rules::from_pairs(&pairs(&whole)).is_ok());

        assert_eq!(
            Rules::from_pairs(&pairs(&whole[..1])),
            Err(RulesError::Agreement)
        );
        assert_eq!(
            Rules::from_pairs(&pairs(&whole[1..])),
            Err(RulesError::Agreement)
        );
        assert!(Rules::from_pairs(&pairs(&[("agreement_sha256", "abcd"), whole[1]])).is_err());
        assert!(Rules::from_pairs(&pairs(&[whole[0], ("agreement_url", "a b")])).is_err());
    }

    #[test]
    fn every_rule_has_a_line_in_plain_words() {
        let rules = Rules::of(Template::UsTreatment);

        let lines = rules.lines(Template::UsTreatment);

        assert_eq!(lines.len(), 2 + NUMBERS.len());
        let window = lines.iter().find(|line| line.name == "clock_window_min");
        assert_eq!(window.unwrap().value, "5 minutes");
        assert!(lines.iter().all(|line| !line.meaning.is_empty()));
        let meaning = |template| rules.lines(template)[0].meaning;
        assert_ne!(meaning(Template::OptIn), meaning(Template::UsTreatment));
    }
}
