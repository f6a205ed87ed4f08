//! Reads from a fetched FHIR Bundle what Harbor has to know before it prescribes.

use serde_json::Value;

use crate::exit::Failure;

use super::{
    people,
    seen::{ensure, unlike},
};

/// The resources of one provider's record.
pub(super) struct Chart {
    resources: Vec<Value>,
}

impl Chart {
    /// Reads a Bundle.
    ///
    /// # Errors
    /// It is none, or somebody else is in it.
    pub(super) fn read(content: &[u8]) -> Result<Self, Failure> {
        let bundle: Value =
            serde_json::from_slice(content).map_err(|_| unlike("the fetched record is no JSON"))?;
        ensure!(
            bundle["resourceType"] == "Bundle",
            "the fetched record is no Bundle"
        );
        ensure!(
            !bundle.to_string().contains(people::OTHER_FAMILY),
            "somebody else is in the record"
        );
        let entries = bundle["entry"].as_array();
        let resources = entries
            .into_iter()
            .flatten()
            .map(|entry| entry["resource"].clone())
            .collect();
        Ok(Self { resources })
    }

    /// Substance and reaction.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn allergy(&self) -> Result<String, Failure> {
        let allergy = self.one("AllergyIntolerance")?;
        let reaction = &allergy["reaction"][0]["manifestation"][0];
        Ok(format!("{}: {}", name(&allergy["code"])?, name(reaction)?))
    }

    /// The year in which the allergy showed.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn allergy_year(&self) -> Result<String, Failure> {
        self.one("AllergyIntolerance")?["onsetDateTime"]
            .as_str()
            .and_then(|date| date.get(..4))
            .map(str::to_owned)
            .ok_or_else(|| unlike("the allergy has no date"))
    }

    /// An active prescription by its name.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn medication(&self, wanted: &str) -> Result<String, Failure> {
        self.of("MedicationRequest")
            .filter(|request| request["status"] == "active")
            .filter_map(|request| name(&request["medicationCodeableConcept"]).ok())
            .find(|found| *found == wanted)
            .map(str::to_owned)
            .ok_or_else(|| unlike(format!("{wanted} is not in the record")))
    }

    /// The latest value of a laboratory test.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn latest(&self, code: &str) -> Result<String, Failure> {
        self.of("Observation")
            .filter(|observation| observation["code"]["coding"][0]["code"] == code)
            .max_by_key(|observation| {
                observation["effectiveDateTime"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .map(|observation| observation["valueQuantity"]["value"].to_string())
            .ok_or_else(|| unlike(format!("no result {code} is in the record")))
    }

    fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        let is = move |resource: &&Value| resource["resourceType"] == kind;
        self.resources.iter().filter(is)
    }

    fn one(&self, kind: &str) -> Result<&Value, Failure> {
        let mut all = self.of(kind);
        match (all.next(), all.next()) {
            (Some(one), None) => Ok(one),
            (None, _) | (Some(_), Some(_)) => {
                Err(unlike(format!("the record has not exactly one {kind}")))
            }
        }
    }
}

fn name(concept: &Value) -> Result<&str, Failure> {
    concept["text"]
        .as_str()
        .or_else(|| concept["coding"][0]["display"].as_str())
        .ok_or_else(|| unlike("a code has no name"))
}

#[cfg(test)]
mod tests {
    use crate::demo::people::Calendar;

    use super::*;

    #[test]
    fn what_the_providers_wrote_reads_as_the_story_tells_it() {
        let calendar = Calendar::today();
        let clinic = Chart::read(people::maple(calendar).to_string().as_bytes()).expect("a record");
        let hospital =
            Chart::read(people::brigid(calendar).to_string().as_bytes()).expect("a record");

        assert_eq!(
            hospital.allergy().ok().as_deref(),
            Some("penicillin: anaphylaxis")
        );
        assert_eq!(hospital.allergy_year().ok().as_deref(), Some("2019"));
        assert_eq!(
            clinic.medication("warfarin 5 mg").ok().as_deref(),
            Some("warfarin 5 mg")
        );
        assert_eq!(clinic.latest(people::INR).ok().as_deref(), Some("2.9"));
        assert_eq!(hospital.latest(people::EGFR).ok().as_deref(), Some("41"));
        assert!(clinic.allergy().is_err());
        assert!(hospital.medication("warfarin 5 mg").is_err());
    }

    #[test]
    fn a_record_with_somebody_else_in_it_is_refused() {
        let calendar = Calendar::today();
        assert!(Chart::read(people::brigid(calendar).to_string().as_bytes()).is_ok());

        let other = people::brigid_other(calendar).to_string();

        assert!(Chart::read(other.as_bytes()).is_err());
    }
}
