//! What an organisation must be like to be admitted.

use super::Organization;
use crate::types::{
    limits::{NAME_CHARS_MAX, TEXT_CHARS_MAX},
    turns_direction,
};

/// Why an organisation cannot be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrganizationError {
    /// The name is empty, too long, or has control characters.
    #[error("the name of the organisation cannot be used")]
    Name,
    /// The NPI is neither empty nor ten digits with their check digit.
    #[error("the NPI is not ten digits with their check digit")]
    Npi,
    /// The OID is neither empty nor numbers with dots.
    #[error("the OID is malformed")]
    Oid,
    /// Another text is too long or has control characters.
    #[error("the {field} of the organisation cannot be used")]
    Text {
        /// Which.
        field: &'static str,
    },
}

impl Organization {
    /// Whether the two have an NPI or OID in common.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let npi = !self.npi.is_empty() && self.npi == other.npi;
        let oid = !self.oid.is_empty() && self.oid == other.oid;
        npi || oid
    }

    /// Checks names, numbers and texts.
    ///
    /// # Errors
    /// [`OrganizationError`].
    pub fn check(&self) -> Result<(), OrganizationError> {
        if !is_plain_text(&self.name) || self.name.chars().count() > NAME_CHARS_MAX {
            return Err(OrganizationError::Name);
        }
        if !self.npi.is_empty() && !is_npi(&self.npi) {
            return Err(OrganizationError::Npi);
        }
        if !self.oid.is_empty() && !is_oid(&self.oid) {
            return Err(OrganizationError::Oid);
        }
        for (field, text) in [
            ("address", &self.address),
            ("contact", &self.contact),
            ("phone", &self.phone),
            ("hours", &self.hours),
            ("state", &self.state),
        ] {
            let long = text.chars().count() > TEXT_CHARS_MAX;
            if long || text.chars().any(char::is_control) {
                return Err(OrganizationError::Text { field });
            }
        }
        Ok(())
    }
}

/// Text that is there and can be shown on one line, in the direction of its own letters.
pub(super) fn is_plain_text(text: &str) -> bool {
    !text.trim().is_empty()
        && !text
            .chars()
            .any(|letter| letter.is_control() || turns_direction(letter))
}

/// Ten digits whose Luhn sum holds with the prefix 80840 in front (ISO/IEC 7812-1, Annex B; 45 CFR
/// 162.406).
fn is_npi(text: &str) -> bool {
    // What the digits 80840 add to the sum.
    const PREFIX_SUM: u32 = 24;

    if text.len() != 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let sum: u32 = text
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            let weighted = if place % 2 == 1 { digit * 2 } else { digit };
            weighted / 10 + weighted % 10
        })
        .sum();
    (sum + PREFIX_SUM).is_multiple_of(10)
}

/// Numbers without leading zeros, with dots, the first 0 to 2 (ITU-T X.660).
fn is_oid(text: &str) -> bool {
    let arcs: Vec<&str> = text.split('.').collect();
    let well_formed = arcs.iter().all(|arc| {
        let digits = !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit());
        digits && (arc.len() == 1 || !arc.starts_with('0'))
    });
    let rooted = matches!(arcs.first(), Some(&("0" | "1" | "2")));
    well_formed && rooted && arcs.len() >= 2 && text.len() <= NAME_CHARS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Kind;

    fn clinic() -> Organization {
        Organization {
            name: "Cedar Clinic".to_owned(),
            kind: Kind::Clinic,
            npi: "1234567893".to_owned(),
            oid: "2.16.840.1.113883.3.72".to_owned(),
            address: "1 Elm St, Springfield".to_owned(),
            contact: "records@cedar.example".to_owned(),
            phone: "+1 555 0100".to_owned(),
            hours: "Mon-Fri 8-17".to_owned(),
            state: "MA".to_owned(),
            part2: false,
            test: true,
        }
    }

    #[test]
    fn an_organisation_needs_a_name_that_can_be_shown() {
        let mut clinic = clinic();
        assert_eq!(clinic.check(), Ok(()));

        for name in ["", "  ", "Cedar\u{1b}[31m", &"n".repeat(NAME_CHARS_MAX + 1)] {
            clinic.name = name.to_owned();
            assert_eq!(clinic.check(), Err(OrganizationError::Name));
        }
        clinic.name = "n".repeat(NAME_CHARS_MAX);
        assert_eq!(clinic.check(), Ok(()));
    }

    #[test]
    fn an_npi_with_another_check_digit_is_refused() {
        let mut clinic = clinic();
        clinic.npi = "1245319599".to_owned();
        assert_eq!(clinic.check(), Ok(()));

        for npi in [
            "1245319598",
            "124531959",
            "12453195999",
            "124531959x",
            "1234567890",
        ] {
            clinic.npi = npi.to_owned();
            assert_eq!(clinic.check(), Err(OrganizationError::Npi), "{npi}");
        }
        clinic.npi.clear();
        assert_eq!(clinic.check(), Ok(()));
    }

    #[test]
    fn an_oid_is_numbers_with_dots() {
        let mut clinic = clinic();
        assert_eq!(clinic.check(), Ok(()));

        let longest = format!("2.{}", "1".repeat(NAME_CHARS_MAX - 2));
        for oid in ["2.1", "0.0", &longest] {
            clinic.oid = oid.to_owned();
            assert_eq!(clinic.check(), Ok(()), "{oid}");
        }

        let longer = format!("{longest}1");
        for oid in ["2", "3.1", "2..1", "2.01", "2.x", "urn:oid:2.1", &longer] {
            clinic.oid = oid.to_owned();
            assert_eq!(clinic.check(), Err(OrganizationError::Oid), "{oid}");
        }
    }

    #[test]
    fn a_telephone_with_an_escape_sequence_is_refused() {
        let mut clinic = clinic();
        assert_eq!(clinic.check(), Ok(()));

        clinic.phone.push('\u{1b}');

        assert_eq!(
            clinic.check(),
            Err(OrganizationError::Text { field: "phone" })
        );
    }

    #[test]
    fn a_text_of_text_chars_max_is_taken_and_none_that_is_longer() {
        let error = |change: fn(&mut Organization, String), chars| {
            let mut clinic = clinic();
            change(&mut clinic, "t".repeat(chars));
            clinic.check().err()
        };
        for (field, change) in [
            (
                "address",
                (|it, text| it.address = text) as fn(&mut Organization, String),
            ),
            ("contact", |it, text| it.contact = text),
            ("phone", |it, text| it.phone = text),
            ("hours", |it, text| it.hours = text),
            ("state", |it, text| it.state = text),
        ] {
            assert_eq!(error(change, TEXT_CHARS_MAX), None);
            let long = error(change, TEXT_CHARS_MAX + 1);
            assert_eq!(long, Some(OrganizationError::Text { field }));
        }
    }
}
