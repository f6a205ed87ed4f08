//! What may identify a patient, and how a record compares with a question.

use crate::types::words;

macro_rules! terms {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal, $text:literal,)* }) => {
        words!($(#[$doc])* $name {
            /// The stable code.
            code;
            $($(#[$vdoc])* $variant => $code,)*
        });

        impl $name {
            /// The same in words for a clinician.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Reads the stable code.
            pub fn parse(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.code() == code)
            }
        }
    };
}

terms!(
    /// An attribute that identifies a patient.
    Attribute {
        /// Family name.
        Family = "family", "family name",
        /// Given names.
        Given = "given", "given name",
        /// Birth date.
        BirthDate = "birth-date", "birth date",
        /// Administrative sex.
        Sex = "sex", "sex",
        /// Identifier within a system.
        Identifier = "identifier", "identifier",
        /// Postal address.
        Address = "address", "postal address",
        /// Telephone.
        Phone = "phone", "telephone",
        /// E-mail.
        Email = "email", "e-mail",
    }
);

terms!(
    /// How one attribute that was sent compares with the record.
    Agreement {
        /// Equal once normalised.
        Agrees = "agrees", "agrees",
        /// Nearly equal.
        Close = "close", "nearly agrees",
        /// Different.
        Differs = "differs", "differs",
        /// The record lacks it.
        Absent = "absent-here", "not on record",
    }
);

terms!(
    /// How sure a holder is (FHIR match-grade).
    Grade {
        /// The same person.
        Certain = "certain", "the same person",
        /// Probably the same person.
        Probable = "probable", "probably the same person",
        /// Possibly the same person.
        Possible = "possible", "possibly the same person",
    }
);
