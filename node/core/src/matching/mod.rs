//! Who is the same person: normalise, compare, grade. Pure, exact only in this version.

/// An attribute that identifies a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribute {
    /// Family name.
    Family,
    /// Given names.
    Given,
    /// Birth date.
    BirthDate,
    /// Administrative sex.
    Sex,
    /// Identifier within a system.
    Identifier,
    /// Postal address.
    Address,
    /// Telephone.
    Phone,
    /// E-mail.
    Email,
}

/// How one attribute that was sent compares with the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// Equal once normalised.
    Agrees,
    /// Nearly equal.
    Close,
    /// Different.
    Differs,
    /// The record lacks it.
    Absent,
}

/// How sure a holder is (FHIR match-grade).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// The same person.
    Certain,
    /// Probably the same person.
    Probable,
    /// Possibly the same person.
    Possible,
}
