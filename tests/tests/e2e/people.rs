//! Invented people and what is written about them.

use serde_json::{Value, json};

/// A person as a record describes them.
pub(crate) struct Person {
    pub(crate) family: &'static str,
    pub(crate) given: &'static str,
    pub(crate) birth_date: &'static str,
    pub(crate) sex: &'static str,
    pub(crate) mrn: &'static str,
    pub(crate) line: &'static str,
    pub(crate) postal_code: &'static str,
}

/// Whom most stories are about.
pub(crate) const ROSA: Person = Person {
    family: "Delgado",
    given: "Rosa",
    birth_date: "1953-03-14",
    sex: "female",
    mrn: "A-17",
    line: "12 Elm Street",
    postal_code: "62704",
};

/// Has everything in common with [`ROSA`] that a register clerk asks for.
pub(crate) const OTHER_ROSA: Person = Person {
    mrn: "A-99",
    line: "870 Quarry Hill",
    postal_code: "62711",
    ..ROSA
};

/// Rosa's sister, born the same day.
pub(crate) const RITA: Person = Person {
    given: "Rita",
    mrn: "A-18",
    ..ROSA
};

/// Somebody else altogether.
pub(crate) const TOMAS: Person = Person {
    family: "Okafor",
    given: "Tomas",
    birth_date: "1988-11-02",
    sex: "male",
    mrn: "C-4",
    line: "5 Harbour Row",
    postal_code: "62650",
};

/// The system of every record number here.
pub(crate) const MRN: &str = "https://brigid.example/mrn";

impl Person {
    /// FHIR Patient.
    pub(crate) fn resource(&self) -> Value {
        json!({
            "resourceType": "Patient", "id": self.mrn,
            "identifier": [{ "system": MRN, "value": self.mrn }],
            "name": [{ "family": self.family, "given": [self.given] }],
            "gender": self.sex, "birthDate": self.birth_date,
            "address": [{ "line": [self.line], "city": "Springfield", "state": "IL", "postalCode": self.postal_code }]
        })
    }

    /// A transaction bundle with the patient, an allergy and a condition.
    pub(crate) fn bundle(&self) -> Vec<u8> {
        let subject = format!("urn:uuid:{}", uuid_of(self.mrn, 0));
        let entry = |n: u32, kind: &str, resource: Value| {
            json!({
                "fullUrl": format!("urn:uuid:{}", uuid_of(self.mrn, n)),
                "request": { "method": "POST", "url": kind },
                "resource": resource
            })
        };
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
            entry(0, "Patient", self.resource()),
            entry(1, "AllergyIntolerance", json!({
                "resourceType": "AllergyIntolerance", "id": format!("{}-allergy", self.mrn),
                "patient": { "reference": subject },
                "code": { "text": format!("Penicillin, noted for {}", self.mrn) },
                "recordedDate": "2019-05-02"
            })),
            entry(2, "Condition", json!({
                "resourceType": "Condition", "id": format!("{}-condition", self.mrn),
                "subject": { "reference": subject },
                "code": { "text": "Mitral valve replaced" }, "recordedDate": "2011-09-20"
            })),
        ]});
        bundle.to_string().into_bytes()
    }

    /// Words of `locate` with everything a front desk would type, the record number included.
    pub(crate) fn question(&self) -> Vec<String> {
        let mut words = self.question_without_number();
        words.extend(["--identifier".to_owned(), format!("{MRN}={}", self.mrn)]);
        words
    }

    /// Words of `locate` with name, birth date and sex only.
    pub(crate) fn question_without_number(&self) -> Vec<String> {
        [
            "locate",
            "--family",
            self.family,
            "--given",
            self.given,
            "--birth-date",
            self.birth_date,
            "--sex",
            self.sex,
            "--purpose",
            "TREAT",
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

/// As the command line takes them.
pub(crate) fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn uuid_of(mrn: &str, n: u32) -> String {
    let seed = mrn
        .bytes()
        .fold(0_u64, |sum, byte| sum * 131 + u64::from(byte));
    format!("7d1f0f52-8f2e-4a5e-9f0e-{:012x}", seed * 16 + u64::from(n))
}

/// A file that looks like a PDF and has no two equal blocks.
pub(crate) fn pdf(len_bytes: usize) -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n".to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while bytes.len() < len_bytes {
        // xorshift64 (Marsaglia 2003): plain, and compresses to nothing.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len_bytes);
    bytes
}
