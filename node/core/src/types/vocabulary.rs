//! Terms of the field with their codes: purposes of use, roles, sexes, kinds of provider.

use std::{fmt, str::FromStr};

use super::words;

/// The text is none of the terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a known {what}")]
pub struct ParseVocabularyError {
    /// Which vocabulary.
    pub what: &'static str,
}

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal $(| $alias:literal)*,)* }) => {
        words!($(#[$doc])* $name {
            /// The code.
            code;
            $($(#[$vdoc])* $variant => $text,)*
        });

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.code())
            }
        }

        impl FromStr for $name {
            type Err = ParseVocabularyError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text $(| $alias)* => Ok(Self::$variant),)*
                    _ => Err(ParseVocabularyError { what: $what }),
                }
            }
        }
    };
}

vocabulary!(
    /// Purpose of use: HL7 v3-ActReason codes. Relations between them are `policy.md` 4, not the code tree.
    Purpose, "purpose of use" {
        /// Treatment.
        Treat = "TREAT",
        /// Emergency treatment.
        Etreat = "ETREAT",
        /// Break the glass.
        Btg = "BTG",
        /// Healthcare payment.
        Hpaymt = "HPAYMT",
        /// Healthcare operations.
        Hoperat = "HOPERAT",
        /// Patient requested.
        Patrqt = "PATRQT",
        /// Family requested.
        Famrqt = "FAMRQT",
        /// Power of attorney.
        Pwatrny = "PWATRNY",
        /// Support network.
        Supnwk = "SUPNWK",
        /// Healthcare research.
        Hresch = "HRESCH",
        /// Public health.
        Pubhlth = "PUBHLTH",
        /// Coverage.
        Coverage = "COVERAGE",
        /// Coverage authorisation.
        Covauth = "COVAUTH",
    }
);
vocabulary!(
    /// What a user is at its node.
    Role, "role" {
        /// Runs the node.
        Admin = "admin",
        /// Treats patients.
        Clinician = "clinician",
        /// Registers patients.
        FrontDesk = "front-desk",
        /// Watches over privacy.
        PrivacyOfficer = "privacy-officer",
        /// The patient.
        Patient = "patient",
    }
);
vocabulary!(
    /// FHIR AdministrativeGender.
    Sex, "sex" {
        /// Female.
        Female = "female" | "F" | "f",
        /// Male.
        Male = "male" | "M" | "m",
        /// Other.
        Other = "other" | "O" | "o",
        /// Unknown.
        Unknown = "unknown" | "U" | "u",
    }
);
vocabulary!(
    /// Kind of provider.
    Kind, "kind of organisation" {
        /// Clinic.
        Clinic = "clinic",
        /// Hospital.
        Hospital = "hospital",
        /// Urgent care.
        UrgentCare = "urgent-care",
        /// Laboratory.
        Lab = "lab",
        /// Pharmacy.
        Pharmacy = "pharmacy",
        /// Telemedicine.
        Telemedicine = "telemedicine",
        /// Public health.
        PublicHealth = "public-health",
        /// Behavioural health.
        BehavioralHealth = "behavioral-health",
        /// Treatment of substance use.
        SubstanceUse = "substance-use",
        /// Imaging.
        Imaging = "imaging",
        /// Dental.
        Dental = "dental",
        /// Home health.
        HomeHealth = "home-health",
        /// Long-term care.
        LongTermCare = "long-term-care",
        /// Ambulance.
        Ambulance = "ambulance",
        /// School.
        School = "school",
        /// Payer.
        Payer = "payer",
        /// Gateway to another network.
        Gateway = "gateway",
    }
);
