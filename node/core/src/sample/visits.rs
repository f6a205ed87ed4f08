//! A history taken apart into visits: when, where, and what was found and done.

use time::Date;

use super::illness::{Allergy, Drug, Measure, Vaccine};

/// One visit at one provider.
pub(super) struct Visit {
    pub(super) day: Date,
    /// The last day; the same where nobody stayed overnight.
    pub(super) until: Date,
    /// Index in [`super::PLACES`].
    pub(super) place: usize,
    pub(super) kind: Kind,
    pub(super) reason: &'static str,
    pub(super) facts: Vec<Fact>,
}

/// What kind of visit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// By appointment.
    Office,
    /// Without one.
    Urgent,
    /// With a bed.
    Inpatient,
    /// Over the counter of the pharmacy.
    Counter,
}

/// What was found or done.
pub(super) enum Fact {
    /// Something somebody has.
    Condition {
        icd: &'static str,
        name: &'static str,
        since: Date,
        /// When it was over, where it is.
        over: Option<Date>,
    },
    /// A medicine was prescribed, for good or for a while.
    Prescribed { drug: &'static Drug, stays: Stays },
    /// A medicine was handed over.
    Dispensed { drug: &'static Drug },
    /// Something was measured, in tenths.
    Measured {
        measure: &'static Measure,
        tenths: i64,
    },
    /// Blood pressure in mm Hg.
    Pressure { systolic: i64, diastolic: i64 },
    /// Weight in tenths of a kilogram, height in tenths of a centimetre.
    Size { weight: i64, height: i64 },
    /// An allergy was written down.
    Allergic { to: &'static Allergy, since: Date },
    /// A vaccine was given.
    Vaccinated { vaccine: &'static Vaccine },
}

/// How long a medicine is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stays {
    /// As long as the illness.
    ForGood,
    /// Until it is used up.
    ForAWhile,
}
