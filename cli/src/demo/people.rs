//! Rosa Delgado, her namesake, and what their providers wrote down: FHIR R4 transactions, with
//! dates relative to today. All of it is invented, and says so by the label HTEST.

use data_encoding::BASE64;
use serde_json::{Value, json};
use time::{Date, Duration, Month, OffsetDateTime};

/// Rosa's family name.
pub(super) const FAMILY: &str = "Delgado";
/// Rosa's given name.
pub(super) const GIVEN: &str = "Rosa";
/// The family name of somebody else, born on the same day.
pub(super) const OTHER_FAMILY: &str = "Delgado-Ruiz";
/// Rosa's street and house number.
pub(super) const LINE: &str = "418 Alder Street";
/// Her city.
pub(super) const CITY: &str = "Millhaven";
/// Her state.
pub(super) const STATE: &str = "OH";
/// Her postal code.
pub(super) const POSTAL_CODE: &str = "44999";
/// LOINC: discharge summary.
pub(super) const DISCHARGE_SUMMARY: &str = "18842-5";
/// LOINC: INR in platelet poor plasma.
pub(super) const INR: &str = "6301-6";
/// LOINC: estimated glomerular filtration rate.
pub(super) const EGFR: &str = "33914-3";

const LOINC: &str = "http://loinc.org";
const SNOMED: &str = "http://snomed.info/sct";
const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";
const ICD: &str = "http://hl7.org/fhir/sid/icd-10-cm";
/// LOINC: progress note.
const PROGRESS_NOTE: &str = "11506-3";

/// When the story takes place.
#[derive(Clone, Copy)]
pub(super) struct Calendar {
    today: Date,
}

impl Calendar {
    /// Today, in UTC.
    pub(super) fn today() -> Self {
        Self {
            today: OffsetDateTime::now_utc().date(),
        }
    }

    /// Rosa's birth date, as ISO: she is 72.
    pub(super) fn birth_date(self) -> String {
        let had_birthday = (self.today.month(), self.today.day()) >= (Month::March, 4);
        let year = self.today.year() - if had_birthday { 72 } else { 73 };
        format!("{year:04}-03-04")
    }

    /// A day so many days ago, as ISO.
    fn ago(self, days: i64) -> String {
        let day = self.today.saturating_sub(Duration::days(days));
        let month = u8::from(day.month());
        format!("{:04}-{month:02}-{:02}", day.year(), day.day())
    }

    fn noon_ago(self, days: i64) -> String {
        format!("{}T12:00:00Z", self.ago(days))
    }
}

/// What St. Brigid wrote when Rosa went home; the story compares it byte by byte.
pub(super) fn discharge_summary(calendar: Calendar) -> String {
    format!(
        "St. Brigid Hospital - Discharge summary\n\
         Patient: Rosa Delgado, born {}\n\
         Admitted {}, discharged {}\n\n\
         Cellulitis of the left forearm, treated with intravenous vancomycin.\n\
         ALLERGY: anaphylaxis to penicillin, June 2019, intubated. No beta-lactams.\n\
         Kidney function reduced, eGFR 41. Warfarin continued, INR followed by Maple Family Clinic.\n",
        calendar.birth_date(),
        calendar.ago(246),
        calendar.ago(241),
    )
}

/// Maple's record: warfarin for a mechanical valve, INR 2.3, then 2.9, and a note.
pub(super) fn maple(calendar: Calendar) -> Value {
    let note = format!(
        "Maple Family Clinic - Visit of {}\n\
         Rosa Delgado feels well. Mechanical mitral valve, warfarin 5 mg a day, INR 2.9 (goal 2.5 to 3.5).\n",
        calendar.ago(13)
    );
    transaction(
        "maple",
        &rosa("maple", "M-20417", calendar),
        vec![
            json!({
                "resourceType": "Condition",
                "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active", "Active"),
                "code": concept_text(ICD, "Z95.2", "Presence of prosthetic heart valve", "Mechanical mitral valve"),
                "onsetDateTime": "2016-09-20",
                "recordedDate": "2016-10-03",
            }),
            json!({
                "resourceType": "MedicationRequest",
                "status": "active",
                "intent": "order",
                "medicationCodeableConcept": concept_text(RXNORM, "855332", "Warfarin Sodium 5 MG Oral Tablet", "warfarin 5 mg"),
                "authoredOn": calendar.ago(97),
                "dosageInstruction": [{"text": "one tablet by mouth every evening"}],
            }),
            quantity(INR, "INR", "2.3", "{INR}", &calendar.noon_ago(97)),
            quantity(INR, "INR", "2.9", "{INR}", &calendar.noon_ago(13)),
            document(
                PROGRESS_NOTE,
                "Progress note",
                &note,
                &calendar.noon_ago(13),
            ),
        ],
    )
}

/// St. Brigid's record of Rosa: anaphylaxis in 2019, eGFR 41, the discharge summary.
pub(super) fn brigid(calendar: Calendar) -> Value {
    transaction(
        "brigid",
        &rosa("brigid", "SB-0093312", calendar),
        vec![
            json!({
                "resourceType": "AllergyIntolerance",
                "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active", "Active"),
                "verificationStatus": concept("http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "confirmed", "Confirmed"),
                "type": "allergy",
                "category": ["medication"],
                "criticality": "high",
                "code": concept_text(SNOMED, "91936005", "Allergy to penicillin", "penicillin"),
                "onsetDateTime": "2019-06-11",
                "recordedDate": "2019-06-12",
                "reaction": [{
                    "manifestation": [concept_text(SNOMED, "39579001", "Anaphylaxis", "anaphylaxis")],
                    "severity": "severe",
                }],
            }),
            quantity(
                EGFR,
                "eGFR",
                "41",
                "mL/min/{1.73_m2}",
                &calendar.noon_ago(241),
            ),
            document(
                DISCHARGE_SUMMARY,
                "Discharge summary",
                &discharge_summary(calendar),
                &calendar.noon_ago(241),
            ),
        ],
    )
}

/// St. Brigid's record of somebody else with the same given name and birth date.
pub(super) fn brigid_other(calendar: Calendar) -> Value {
    let patient = patient(Person {
        place: "brigid",
        number: "SB-0118740",
        family: OTHER_FAMILY,
        line: "7 Quarry Lane",
        phone: "+1 555 0177",
        born: &calendar.birth_date(),
    });
    transaction(
        "brigid-other",
        &patient,
        vec![json!({
            "resourceType": "Condition",
            "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active", "Active"),
            "code": concept_text(ICD, "E11.9", "Type 2 diabetes mellitus without complications", "Type 2 diabetes"),
            "recordedDate": calendar.ago(800),
        })],
    )
}

/// Hope Recovery's record: an injection of naltrexone twelve days ago.
pub(super) fn hope(calendar: Calendar) -> Value {
    transaction(
        "hope",
        &rosa("hope", "H-771", calendar),
        vec![json!({
            "resourceType": "MedicationAdministration",
            "status": "completed",
            "medicationCodeableConcept": concept_text(RXNORM, "7243", "naltrexone", "naltrexone 380 mg, extended release"),
            "effectiveDateTime": calendar.noon_ago(12),
            "dosage": {"text": "380 mg into the muscle", "dose": {"value": 380, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}},
        })],
    )
}

/// What Harbor's front desk types in: no record, only who stands there.
pub(super) fn at_the_desk(calendar: Calendar) -> Value {
    json!({
        "resourceType": "Patient",
        "name": [{"family": FAMILY, "given": [GIVEN]}],
        "gender": "female",
        "birthDate": calendar.birth_date(),
        "address": [address(LINE)],
    })
}

/// The form Rosa signs.
pub(super) fn signed_form(calendar: Calendar) -> String {
    format!(
        "I, Rosa Delgado, born {}, allow Harbor Urgent Care to read my records for my treatment.\n\
         Signed {} (a test form, written for the story of chartmesh)\n",
        calendar.birth_date(),
        calendar.ago(0)
    )
}

struct Person<'a> {
    place: &'a str,
    number: &'a str,
    family: &'a str,
    line: &'a str,
    phone: &'a str,
    born: &'a str,
}

fn rosa(place: &str, number: &str, calendar: Calendar) -> Value {
    patient(Person {
        place,
        number,
        family: FAMILY,
        line: LINE,
        phone: "+1 555 0142",
        born: &calendar.birth_date(),
    })
}

fn patient(person: Person<'_>) -> Value {
    json!({
        "resourceType": "Patient",
        "identifier": [{
            "type": concept("http://terminology.hl7.org/CodeSystem/v2-0203", "MR", "Medical record number"),
            "system": format!("https://{}.example/mrn", person.place),
            "value": person.number,
        }],
        "active": true,
        "name": [{"use": "official", "family": person.family, "given": [GIVEN]}],
        "telecom": [{"system": "phone", "value": person.phone, "use": "home"}],
        "gender": "female",
        "birthDate": person.born,
        "address": [address(person.line)],
    })
}

fn address(line: &str) -> Value {
    json!({"use": "home", "line": [line], "city": CITY, "state": STATE, "postalCode": POSTAL_CODE, "country": "US"})
}

fn concept(system: &str, code: &str, display: &str) -> Value {
    json!({"coding": [{"system": system, "code": code, "display": display}]})
}

fn concept_text(system: &str, code: &str, display: &str, text: &str) -> Value {
    let mut concept = concept(system, code, display);
    concept["text"] = json!(text);
    concept
}

/// The value is text, because 2.9 has no exact binary form.
fn quantity(code: &str, name: &str, value: &str, unit: &str, at: &str) -> Value {
    let number: Value = serde_json::from_str(value).unwrap_or(Value::Null);
    json!({
        "resourceType": "Observation",
        "status": "final",
        "category": [concept("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory", "Laboratory")],
        "code": concept_text(LOINC, code, name, name),
        "effectiveDateTime": at,
        "valueQuantity": {"value": number, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    })
}

fn document(code: &str, title: &str, text: &str, at: &str) -> Value {
    json!({
        "resourceType": "DocumentReference",
        "status": "current",
        "type": concept_text(LOINC, code, title, title),
        "date": at,
        "content": [{"attachment": {
            "contentType": "text/plain",
            "title": title,
            "creation": at,
            "size": text.len(),
            "data": BASE64.encode(text.as_bytes()),
        }}],
    })
}

/// A transaction of one patient; every resource is marked as test data and says whom it is about.
fn transaction(place: &str, patient: &Value, resources: Vec<Value>) -> Value {
    let subject = format!("urn:uuid:{}", uuid(place, 0));
    let label = json!({"security": [{
        "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
        "code": "HTEST",
        "display": "test health data",
    }]});
    let mut all = vec![patient.clone()];
    all.extend(resources);
    let entries: Vec<Value> = all
        .into_iter()
        .enumerate()
        .map(|(at, mut resource)| {
            resource["meta"] = label.clone();
            let kind = resource["resourceType"].clone();
            match kind.as_str() {
                Some("Patient") | None => {}
                Some("AllergyIntolerance") => resource["patient"] = json!({"reference": subject}),
                Some(_) => resource["subject"] = json!({"reference": subject}),
            }
            json!({
                "fullUrl": format!("urn:uuid:{}", uuid(place, at)),
                "resource": resource,
                "request": {"method": "POST", "url": kind},
            })
        })
        .collect();
    json!({"resourceType": "Bundle", "meta": label, "type": "transaction", "entry": entries})
}

/// A UUID that is the same on every run.
fn uuid(place: &str, at: usize) -> String {
    let mark: u64 = place.bytes().fold(0, |mark, byte| {
        mark.wrapping_mul(257).wrapping_add(u64::from(byte))
    });
    format!(
        "00000000-0000-4000-8000-{:08x}{:04x}",
        mark & 0xffff_ffff,
        at & 0xffff
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn bundles() -> [Value; 4] {
        let calendar = Calendar::today();
        [
            maple(calendar),
            brigid(calendar),
            brigid_other(calendar),
            hope(calendar),
        ]
    }

    #[test]
    fn each_record_is_a_transaction_of_one_patient_marked_as_test() {
        for bundle in bundles() {
            let text = serde_json::to_string(&bundle).expect("JSON");
            let bundle: Value = serde_json::from_str(&text).expect("JSON");
            let entries = bundle["entry"].as_array().expect("entries");

            assert_eq!(bundle["type"], "transaction");
            assert_eq!(entries[0]["resource"]["resourceType"], "Patient");
            for entry in entries {
                let resource = &entry["resource"];
                assert_eq!(resource["meta"]["security"][0]["code"], "HTEST");
                assert_eq!(entry["request"]["method"], "POST");
                assert_eq!(entry["request"]["url"], resource["resourceType"]);
                let about = [&resource["subject"], &resource["patient"]]
                    .into_iter()
                    .find_map(|about| about["reference"].as_str());
                if resource["resourceType"] != "Patient" {
                    assert_eq!(about, entries[0]["fullUrl"].as_str());
                }
            }
        }
    }

    #[test]
    fn no_two_resources_share_an_address() {
        let all: Vec<String> = bundles()
            .iter()
            .flat_map(|bundle| bundle["entry"].as_array().cloned().unwrap_or_default())
            .map(|entry| entry["fullUrl"].to_string())
            .collect();

        let distinct: BTreeSet<&String> = all.iter().collect();

        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn rosa_is_72_on_her_birthday_and_the_day_before_the_next() {
        let born = |year, month, day| {
            Calendar {
                today: Date::from_calendar_date(year, month, day).expect("a day"),
            }
            .birth_date()
        };

        assert_eq!(born(2026, Month::March, 4), "1954-03-04");
        assert_eq!(born(2027, Month::March, 3), "1954-03-04");
        assert_eq!(born(2027, Month::March, 4), "1955-03-04");
    }

    #[test]
    fn the_discharge_summary_is_in_the_record_byte_by_byte() {
        let calendar = Calendar::today();
        let bundle = brigid(calendar);
        let attachment = bundle["entry"]
            .as_array()
            .expect("entries")
            .iter()
            .map(|entry| &entry["resource"])
            .find(|resource| resource["resourceType"] == "DocumentReference")
            .map(|resource| resource["content"][0]["attachment"].clone())
            .expect("a document");

        let bytes = BASE64
            .decode(attachment["data"].as_str().expect("text").as_bytes())
            .expect("base64");

        assert_eq!(bytes, discharge_summary(calendar).into_bytes());
        assert_eq!(attachment["size"], bytes.len());
    }
}
