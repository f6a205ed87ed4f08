//! The people of a simulated world, what is imported of them, and who a question is about.

use chartmesh_core::{
    records::{Demographics, Identifier, Name},
    types::Sex,
};
use serde_json::{Value, json};

/// Whose numbers all records use.
const SYSTEM: &str = "urn:oid:1.2.3";

/// How many people there are.
pub(crate) const PEOPLE: usize = 20;

/// What identifies somebody, as the model compares it: no more than five words.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Face {
    pub(crate) given: String,
    pub(crate) family: String,
    pub(crate) birth: Option<String>,
    pub(crate) female: Option<bool>,
    pub(crate) number: Option<String>,
}

/// Person number `index`. The first six are hard to tell apart: twins, two of one name and birth date,
/// and two of whom one has no number.
pub(crate) fn person(index: usize) -> Face {
    let face = |given: &str, family: &str, birth: &str, number: Option<String>| Face {
        given: given.to_owned(),
        family: family.to_owned(),
        birth: Some(birth.to_owned()),
        female: Some(index % 2 == 0),
        number,
    };
    let number = Some(format!("N-{index:04}"));
    match index {
        0 => face("Rosa", "Portillo", "1937-02-13", number),
        1 => face("Ines", "Portillo", "1937-02-13", number),
        2 | 4 => face("Sam", "Okafor", "1988-11-30", number),
        3 => face("Lea", "Brandt", "1971-06-01", None),
        5 => face("Lea", "Brandt", "1971-06-02", number),
        _ => {
            let (given, family) = (GIVEN[index % GIVEN.len()], FAMILY[index % FAMILY.len()]);
            let birth = format!(
                "19{:02}-{:02}-{:02}",
                40 + index,
                index % 12 + 1,
                index % 27 + 1
            );
            face(given, family, &birth, number)
        }
    }
}

const GIVEN: [&str; 7] = ["Ada", "Bo", "Cleo", "Dov", "Eva", "Fay", "Gil"];
const FAMILY: [&str; 5] = ["Nowak", "Rossi", "Sato", "Tran", "Weiss"];

/// How a question differs from the person it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slip {
    None,
    Loud,
    NoNumber,
    OtherNumber,
    OtherGiven,
    OtherBirth,
    OtherSex,
    NoBirth,
}

pub(crate) const SLIPS: [Slip; 12] = [
    Slip::None,
    Slip::None,
    Slip::None,
    Slip::None,
    Slip::None,
    Slip::Loud,
    Slip::NoNumber,
    Slip::OtherNumber,
    Slip::OtherGiven,
    Slip::OtherBirth,
    Slip::OtherSex,
    Slip::NoBirth,
];

/// What is asked about a person, by somebody who slips.
pub(crate) fn question(index: usize, slip: Slip) -> Face {
    let mut face = person(index);
    match slip {
        Slip::None => {}
        Slip::Loud => {
            face.given = face.given.to_uppercase();
            face.family = face.family.to_uppercase();
        }
        Slip::NoNumber => face.number = None,
        Slip::OtherNumber => face.number = Some("N-9999".to_owned()),
        Slip::OtherGiven => face.given.push('a'),
        Slip::OtherBirth => face.birth = Some("1999-12-31".to_owned()),
        Slip::OtherSex => face.female = face.female.map(|female| !female),
        Slip::NoBirth => face.birth = None,
    }
    face
}

impl Face {
    /// As the product is asked.
    pub(crate) fn demographics(&self) -> Demographics {
        let identifier = self.number.iter().map(|value| Identifier {
            system: SYSTEM.to_owned(),
            value: value.clone(),
        });
        Demographics {
            names: vec![Name {
                family: self.family.clone(),
                given: vec![self.given.clone()],
            }],
            birth_date: self.birth.clone(),
            sex: self
                .female
                .map(|female| if female { Sex::Female } else { Sex::Male }),
            identifiers: identifier.collect(),
            ..Demographics::default()
        }
    }

    /// As FHIR has it.
    pub(crate) fn fhir(&self, id: &str) -> Value {
        let mut patient = json!({
            "resourceType": "Patient",
            "id": id,
            "name": [{"family": self.family, "given": [self.given]}],
        });
        if let Some(birth) = &self.birth {
            patient["birthDate"] = json!(birth);
        }
        if let Some(female) = self.female {
            patient["gender"] = json!(if female { "female" } else { "male" });
        }
        if let Some(number) = &self.number {
            patient["identifier"] = json!([{"system": SYSTEM, "value": number}]);
        }
        patient
    }

    /// Reads a FHIR Patient of a journal.
    pub(crate) fn read(patient: &[u8]) -> Self {
        let patient: Value = serde_json::from_slice(patient).expect("a stored Patient is JSON");
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let name = &patient["name"][0];
        Self {
            given: text(&name["given"][0]).unwrap_or_default(),
            family: text(&name["family"]).unwrap_or_default(),
            birth: text(&patient["birthDate"]),
            female: patient["gender"].as_str().map(|gender| gender == "female"),
            number: text(&patient["identifier"][0]["value"]),
        }
    }

    /// Whether a question is certainly about this person: every word that both have is the same, and
    /// name and birth date are among them.
    fn answers(&self, asked: &Self) -> bool {
        let same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
        let agree = |one: &Option<String>, other: &Option<String>| match (one, other) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        let sexes = match (self.female, asked.female) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        same(&self.given, &asked.given)
            && same(&self.family, &asked.family)
            && self.birth.is_some()
            && self.birth == asked.birth
            && sexes
            && agree(&self.number, &asked.number)
    }
}

/// What a holder may say to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess<Id> {
    Nobody,
    MoreNeeded,
    One(Id),
}

/// Who a question is about among these, by going through them one after the other.
pub(crate) fn guess<Id: Copy>(asked: &Face, faces: &[(Id, Face)]) -> Guess<Id> {
    if asked.birth.is_none() {
        return Guess::MoreNeeded;
    }
    let mut found = Vec::new();
    for (id, face) in faces {
        if face.answers(asked) {
            found.push(*id);
        }
    }
    match found[..] {
        [] => Guess::Nobody,
        [only] => Guess::One(only),
        _ => Guess::MoreNeeded,
    }
}

/// What an input to an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A person, so many findings in a wording, and a letter where there is a number.
    Record {
        findings: u32,
        wording: u32,
        letter: Option<u32>,
    },
    /// Another person under the same number.
    Conflict,
    /// A finding of somebody who is not known.
    Unknown,
    /// A finding about somebody else in the middle.
    Foreign,
    /// No JSON.
    Broken,
    /// A key twice.
    Double,
    /// Nothing that can be imported.
    Odd,
}

/// The id a person has in inputs.
pub(crate) fn local_id(index: usize) -> String {
    format!("p{index}")
}

/// The words of a finding.
pub(crate) fn wording(finding: u32, wording: u32) -> String {
    format!("finding {finding} in wording {wording}")
}

/// The words of a letter.
pub(crate) fn letter(index: usize, number: u32) -> Vec<u8> {
    format!("letter {number} about person {index}").into_bytes()
}

fn finding(subject: &str, number: u32, text: &str) -> Value {
    json!({
        "resourceType": "Observation",
        "id": format!("o{number}"),
        "status": "final",
        "code": {"text": text},
        "subject": {"reference": format!("Patient/{subject}")},
    })
}

fn transaction(resources: Vec<Value>) -> Vec<u8> {
    let entry = |resource| json!({"resource": resource, "request": {"method": "POST", "url": "x"}});
    let entries: Vec<Value> = resources.into_iter().map(entry).collect();
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    bundle.to_string().into_bytes()
}

/// The bytes of an input about a person.
pub(crate) fn input(index: usize, input: Input) -> Vec<u8> {
    let id = local_id(index);
    let patient = person(index).fhir(&id);
    match input {
        Input::Record {
            findings,
            wording: words,
            letter: number,
        } => {
            let mut resources = vec![patient];
            resources.extend((0..findings).map(|n| finding(&id, n, &wording(n, words))));
            if let Some(number) = number {
                let data = data_encoding::BASE64.encode(&letter(index, number));
                resources.push(json!({
                    "resourceType": "DocumentReference",
                    "id": format!("d{number}"),
                    "status": "current",
                    "subject": {"reference": format!("Patient/{id}")},
                    "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
                }));
            }
            transaction(resources)
        }
        Input::Conflict => {
            let other = Face {
                given: "Nemo".to_owned(),
                family: "Nobody".to_owned(),
                birth: Some("2001-01-01".to_owned()),
                ..person(index)
            };
            transaction(vec![other.fhir(&id)])
        }
        Input::Unknown => finding("nobody-here", 0, "lost").to_string().into_bytes(),
        Input::Foreign => transaction(vec![patient, finding("somebody-else", 0, "stray")]),
        Input::Broken => b"{\"resourceType\": \"Bundle\", ".to_vec(),
        Input::Double => b"{\"resourceType\": \"Patient\", \"id\": \"a\", \"id\": \"b\"}".to_vec(),
        Input::Odd => b"{\"resourceType\": \"Starship\", \"id\": \"x\"}".to_vec(),
    }
}
