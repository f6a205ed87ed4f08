//! Notes: a visit in words, as a document of the record.

use super::{
    people::Person,
    places::{HEART, PLACES},
    visits::{Fact, Kind, Visit},
};

/// What kind of document a visit leaves, LOINC code and name; none where it leaves none.
pub(super) fn kind(visit: &Visit) -> Option<(&'static str, &'static str)> {
    match visit.kind {
        Kind::Inpatient => Some(("18842-5", "Discharge summary")),
        Kind::Urgent => Some(("34111-5", "Emergency department note")),
        Kind::Office if visit.place == HEART => Some(("11488-4", "Consult note")),
        Kind::Office if visit.facts.iter().any(is_news) => Some(("11506-3", "Progress note")),
        Kind::Office | Kind::Counter => None,
    }
}

fn is_news(fact: &Fact) -> bool {
    matches!(fact, Fact::Condition { .. } | Fact::Allergic { .. })
}

/// The visit in words.
pub(super) fn text(person: &Person, visit: &Visit, name: &str, author: &str) -> String {
    let mut text = format!(
        "TEST DATA: nobody described here exists.\n\n{}\n{}\n\n{name}, {} years\n{} to {}\n\nReason: {}\n",
        PLACES[visit.place].name,
        kind(visit).map_or("Note", |(_, name)| name),
        person.age(visit.day),
        visit.day,
        visit.until,
        visit.reason
    );
    for fact in &visit.facts {
        text.push_str(&sentence(fact));
        text.push('\n');
    }
    text.push_str(&format!("\nSigned: {author}\n"));
    text
}

fn sentence(fact: &Fact) -> String {
    match fact {
        Fact::Condition {
            name, since, over, ..
        } => match over {
            Some(over) => format!("{name}, from {since}, over on {over}."),
            None => format!("{name}, since {since}."),
        },
        Fact::Prescribed { drug, .. } => format!("Prescribed: {}, {}.", drug.name, drug.directions),
        Fact::Dispensed { drug } => format!("Handed over: {}.", drug.name),
        Fact::Measured { measure, tenths } => {
            format!("{}: {} {}.", measure.name, decimal(*tenths), measure.unit)
        }
        Fact::Pressure {
            systolic,
            diastolic,
        } => format!("Blood pressure {systolic}/{diastolic} mm Hg."),
        Fact::Size { weight, height } => {
            format!("{} kg, {} cm.", decimal(*weight), decimal(*height))
        }
        Fact::Allergic { to, since } => {
            format!("ALLERGY to {}: {} on {since}.", to.name, to.reaction)
        }
        Fact::Vaccinated { vaccine } => format!("Vaccinated: {}.", vaccine.name),
    }
}

/// Tenths as a decimal number.
pub(super) fn decimal(tenths: i64) -> String {
    let sign = if tenths < 0 { "-" } else { "" };
    let size = tenths.unsigned_abs();
    format!("{sign}{}.{}", size / 10, size % 10)
}
