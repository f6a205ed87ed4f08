//! Demographics out of a FHIR Patient, and a Patient out of demographics.
//!
//! Values are cleaned of control and direction characters (ESC, U+202E and the like), which have no
//! place in a name and could rewrite a terminal line; the resource itself keeps them.

use serde_json::{Map, Value, json};

use super::{
    fhir_value::{self, objects, text, texts},
    json::check,
    report::{At, FormatError, Issue},
};
use crate::{
    records::{Address, Demographics, Identifier, Name},
    types::{
        Code, Sex, is_date,
        limits::{DEMOGRAPHIC_CHARS_MAX, DEMOGRAPHICS_MAX},
        turns_direction,
    },
};

/// What identifies the person in a FHIR Patient; what cannot be used (a partial birth date) is left out.
///
/// # Errors
/// [`FormatError`] where the JSON does not hold or an element has the wrong type.
pub fn demographics(patient: &[u8]) -> Result<Demographics, FormatError> {
    check(patient)?;
    read_demographics(patient, At::default(), &mut Vec::new())
}

/// As [`demographics`], for bytes that are checked; tells what was left out.
pub(super) fn read_demographics(
    patient: &[u8],
    at: At,
    issues: &mut Vec<Issue>,
) -> Result<Demographics, FormatError> {
    let patient = &fhir_value::parse(patient, at)?;
    if text(patient, "resourceType", at)? != Some("Patient") {
        return Err(FormatError::Malformed {
            what: "it is no Patient",
            at,
        });
    }
    let mut reader = Reader { at, issues };
    let (phones, emails) = reader.telecom(patient)?;
    Ok(Demographics {
        names: reader.names(patient)?,
        birth_date: reader.birth_date(patient)?,
        sex: reader.sex(patient)?,
        identifiers: reader.identifiers(patient)?,
        addresses: reader.addresses(patient)?,
        phones,
        emails,
    })
}

struct Reader<'a> {
    at: At,
    issues: &'a mut Vec<Issue>,
}

impl Reader<'_> {
    fn issue(&mut self, code: Code, text: &'static str) {
        let issue = Issue::new(code, text, self.at);
        if !self.issues.contains(&issue) {
            self.issues.push(issue);
        }
    }

    /// The value fit to be shown and compared; empty where nothing is left or it is too long.
    fn clean(&mut self, value: &str) -> String {
        let clean: String = value
            .chars()
            .map(|letter| if letter.is_whitespace() { ' ' } else { letter })
            .filter(|letter| !letter.is_control() && !turns_direction(*letter))
            .collect();
        let clean = clean.trim();
        if clean.chars().count() > DEMOGRAPHIC_CHARS_MAX {
            self.issue(Code::JsonLimit, "a value is too long and was left out");
            return String::new();
        }
        clean.to_owned()
    }

    fn cleaned(&mut self, value: &Value, name: &str) -> Result<String, FormatError> {
        let value = text(value, name, self.at)?.unwrap_or_default();
        Ok(self.clean(value))
    }

    fn bounded<T>(&mut self, mut values: Vec<T>) -> Vec<T> {
        if values.len() > DEMOGRAPHICS_MAX {
            self.issue(
                Code::JsonLimit,
                "more names, identifiers, addresses or numbers than are kept",
            );
            values.truncate(DEMOGRAPHICS_MAX);
        }
        values
    }

    fn names(&mut self, patient: &Value) -> Result<Vec<Name>, FormatError> {
        let mut ranked = Vec::new();
        let mut has_family = false;
        for name in objects(patient, "name", self.at)? {
            // R4 NameUse: the name to show first, names that are over last.
            let rank = match text(name, "use", self.at)? {
                Some("official") => 0,
                Some("usual") => 1,
                Some("temp") => 3,
                Some("nickname") => 4,
                Some("old") => 5,
                Some("maiden") => 6,
                Some("anonymous") => continue,
                _ => 2,
            };
            has_family |= text(name, "family", self.at)?.is_some();
            let mut family = self.cleaned(name, "family")?;
            let given = texts(name, "given", self.at)?;
            let given: Vec<String> = given.into_iter().map(|name| self.clean(name)).collect();
            let given = given.into_iter().filter(|name| !name.is_empty()).collect();
            let given: Vec<String> = self.bounded(given);
            if family.is_empty() && given.is_empty() {
                family = self.cleaned(name, "text")?;
            }
            if !family.is_empty() || !given.is_empty() {
                ranked.push((rank, Name { family, given }));
            }
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        let mut names: Vec<Name> = ranked.into_iter().map(|(_, name)| name).collect();
        // A single legal name goes into the family name, wherever the source put it.
        let is_single = |name: &Name| name.family.is_empty() && name.given.len() == 1;
        if !has_family && names.iter().all(is_single) {
            for name in &mut names {
                name.family = name.given.remove(0);
            }
        }
        Ok(self.bounded(names))
    }

    fn birth_date(&mut self, patient: &Value) -> Result<Option<String>, FormatError> {
        let Some(date) = text(patient, "birthDate", self.at)? else {
            return Ok(None);
        };
        let shape = date.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        if !shape || !matches!(date.len(), 4 | 7 | 10) {
            return Err(FormatError::Malformed {
                what: "the birth date is no date",
                at: self.at,
            });
        }
        if date.len() < 10 {
            self.issue(
                Code::FhirMalformed,
                "the birth date is partial and was left out",
            );
            return Ok(None);
        }
        if !is_date(date) {
            self.issue(
                Code::FhirMalformed,
                "the birth date is no day of the calendar and was left out",
            );
            return Ok(None);
        }
        Ok(Some(date.to_owned()))
    }

    fn sex(&mut self, patient: &Value) -> Result<Option<Sex>, FormatError> {
        let Some(gender) = text(patient, "gender", self.at)? else {
            return Ok(None);
        };
        let sex = Sex::ALL.iter().copied().find(|sex| sex.code() == gender);
        if sex.is_none() {
            self.issue(
                Code::FhirMalformed,
                "the gender is not of R4 and was left out",
            );
        }
        Ok(sex)
    }

    fn identifiers(&mut self, patient: &Value) -> Result<Vec<Identifier>, FormatError> {
        let mut identifiers = Vec::new();
        for identifier in objects(patient, "identifier", self.at)? {
            let system = self.cleaned(identifier, "system")?;
            let value = self.cleaned(identifier, "value")?;
            if !system.is_empty() && !value.is_empty() {
                identifiers.push(Identifier { system, value });
            }
        }
        Ok(self.bounded(identifiers))
    }

    fn addresses(&mut self, patient: &Value) -> Result<Vec<Address>, FormatError> {
        let mut addresses = Vec::new();
        for address in objects(patient, "address", self.at)? {
            let line = texts(address, "line", self.at)?;
            let line: Vec<String> = line.into_iter().map(|line| self.clean(line)).collect();
            let address = Address {
                line: self.bounded(line.into_iter().filter(|line| !line.is_empty()).collect()),
                city: self.cleaned(address, "city")?,
                state: self.cleaned(address, "state")?,
                postal_code: self.cleaned(address, "postalCode")?,
                country: self.cleaned(address, "country")?,
            };
            if address != Address::default() {
                addresses.push(address);
            }
        }
        Ok(self.bounded(addresses))
    }

    fn telecom(&mut self, patient: &Value) -> Result<(Vec<String>, Vec<String>), FormatError> {
        let (mut phones, mut emails) = (Vec::new(), Vec::new());
        for contact in objects(patient, "telecom", self.at)? {
            let value = self.cleaned(contact, "value")?;
            match text(contact, "system", self.at)? {
                _ if value.is_empty() => {}
                Some("phone" | "sms") => phones.push(value),
                Some("email") => emails.push(value),
                _ => {}
            }
        }
        Ok((self.bounded(phones), self.bounded(emails)))
    }
}

/// A FHIR R4 Patient with these demographics, without id.
pub fn write_demographics(person: &Demographics) -> Vec<u8> {
    let mut patient = Map::new();
    patient.insert("resourceType".to_owned(), json!("Patient"));
    let identifiers = person.identifiers.iter();
    put(
        &mut patient,
        "identifier",
        identifiers.map(|id| json!({"system": id.system, "value": id.value})),
    );
    put(&mut patient, "name", person.names.iter().map(name));
    let phones = person
        .phones
        .iter()
        .map(|value| json!({"system": "phone", "value": value}));
    let emails = person
        .emails
        .iter()
        .map(|value| json!({"system": "email", "value": value}));
    put(&mut patient, "telecom", phones.chain(emails));
    if let Some(sex) = person.sex {
        patient.insert("gender".to_owned(), json!(sex.code()));
    }
    if let Some(date) = &person.birth_date {
        patient.insert("birthDate".to_owned(), json!(date));
    }
    put(
        &mut patient,
        "address",
        person.addresses.iter().map(address),
    );
    Value::Object(patient).to_string().into_bytes()
}

fn put(object: &mut Map<String, Value>, name: &str, values: impl Iterator<Item = Value>) {
    let values: Vec<Value> = values.collect();
    if !values.is_empty() {
        object.insert(name.to_owned(), Value::Array(values));
    }
}

fn put_text(object: &mut Map<String, Value>, name: &str, text: &str) {
    if !text.is_empty() {
        object.insert(name.to_owned(), json!(text));
    }
}

fn name(name: &Name) -> Value {
    let mut object = Map::new();
    put_text(&mut object, "family", &name.family);
    put(
        &mut object,
        "given",
        name.given.iter().map(|given| json!(given)),
    );
    Value::Object(object)
}

fn address(address: &Address) -> Value {
    let mut object = Map::new();
    put(
        &mut object,
        "line",
        address.line.iter().map(|line| json!(line)),
    );
    put_text(&mut object, "city", &address.city);
    put_text(&mut object, "state", &address.state);
    put_text(&mut object, "postalCode", &address.postal_code);
    put_text(&mut object, "country", &address.country);
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patient(elements: &str) -> Vec<u8> {
        format!(r#"{{"resourceType":"Patient"{elements}}}"#).into_bytes()
    }

    fn read(elements: &str) -> (Demographics, Vec<&'static str>) {
        let mut issues = Vec::new();
        let person = read_demographics(&patient(elements), At::default(), &mut issues);
        let Ok(person) = person else {
            panic!("{elements} is refused");
        };
        (person, issues.iter().map(|issue| issue.text).collect())
    }

    fn code(elements: &str) -> Option<Code> {
        demographics(&patient(elements))
            .err()
            .map(|error| error.code())
    }

    #[test]
    fn the_official_name_comes_first_and_a_name_that_is_over_last() {
        let (person, _) = read(
            r#","name":[{"use":"maiden","family":"Delgado","given":["Ana"]},{"text":"Ana D."},
               {"use":"anonymous","family":"X"},{"use":"usual","family":"Ruiz","given":["Anita"]},
               {"use":"official","family":"Delgado-Ruiz","given":["Ana", null, "Eva"]}]"#,
        );

        let families: Vec<&str> = person.names.iter().map(|name| &*name.family).collect();
        assert_eq!(families, ["Delgado-Ruiz", "Ruiz", "Ana D.", "Delgado"]);
        assert_eq!(person.display_name(), "Ana Eva Delgado-Ruiz");
    }

    #[test]
    fn a_partial_birth_date_is_left_out_and_told() {
        let (whole, none) = read(r#","birthDate":"1979-03-04""#);
        let (partial, told) = read(r#","birthDate":"1979-03""#);

        assert_eq!(
            (whole.birth_date.as_deref(), none.len()),
            (Some("1979-03-04"), 0)
        );
        assert_eq!((partial.birth_date, told.len()), (None, 1));
        assert_eq!(code(r#","birthDate":"4 March""#), Some(Code::FhirMalformed));
    }

    #[test]
    fn a_birth_date_that_is_no_day_is_left_out_and_told() {
        let (leap, none) = read(r#","birthDate":"1936-02-29""#);
        let (person, told) = read(r#","birthDate":"1937-02-31""#);

        assert_eq!(
            (leap.birth_date.as_deref(), none.len()),
            (Some("1936-02-29"), 0)
        );
        assert_eq!((person.birth_date, told.len()), (None, 1));
    }

    #[test]
    fn a_single_legal_name_is_a_family_name_wherever_it_stood() {
        let families = |elements: &str| {
            let (person, _) = read(elements);
            let names = person.names.into_iter();
            names
                .map(|name| (name.family, name.given.len()))
                .collect::<Vec<_>>()
        };

        let single = [("Suharti".to_owned(), 0)];
        assert_eq!(families(r#","name":[{"given":["Suharti"]}]"#), single);
        assert_eq!(families(r#","name":[{"family":"Suharti"}]"#), single);
        let whole = r#","name":[{"family":"Ruiz","given":["Ana"]},{"given":["Anita"]}]"#;
        assert_eq!(
            families(whole),
            [("Ruiz".to_owned(), 1), (String::new(), 1)]
        );
        let too_long = format!(
            r#","name":[{{"family":"{}","given":["Ana"]}}]"#,
            "x".repeat(DEMOGRAPHIC_CHARS_MAX + 1)
        );
        assert_eq!(families(&too_long), [(String::new(), 1)]);
    }

    #[test]
    fn more_given_names_than_are_kept_are_left_out_and_told() {
        let given = |count: usize| {
            let names = vec![r#""A""#; count].join(",");
            format!(r#","name":[{{"family":"Ruiz","given":[{names}]}}]"#)
        };

        let (person, told) = read(&given(DEMOGRAPHICS_MAX));
        assert_eq!(
            (person.names[0].given.len(), told.len()),
            (DEMOGRAPHICS_MAX, 0)
        );
        let (person, told) = read(&given(DEMOGRAPHICS_MAX + 1));
        assert_eq!(
            (person.names[0].given.len(), told.len()),
            (DEMOGRAPHICS_MAX, 1)
        );
    }

    #[test]
    fn an_element_of_the_wrong_type_is_refused() {
        assert_eq!(code(r#","gender":"male","name":[{"given":["A"]}]"#), None);
        for elements in [
            r#","gender":7"#,
            r#","name":{"family":"A"}"#,
            r#","name":["A"]"#,
            r#","name":[["official","A"]]"#,
            r#","name":[{"given":"A"}]"#,
            r#","name":[{"given":[7]}]"#,
            r#","telecom":[{"value":{}}]"#,
            r#","address":[{"line":"A"}]"#,
        ] {
            assert_eq!(code(elements), Some(Code::FhirMalformed), "{elements}");
        }
        let other = demographics(br#"{"resourceType":"Person"}"#).err();
        assert_eq!(other.map(|error| error.code()), Some(Code::FhirMalformed));
    }

    #[test]
    fn a_gender_r4_does_not_know_is_left_out_and_told() {
        assert!(read(r#","gender":"other""#).0.sex == Some(Sex::Other));

        let (person, told) = read(r#","gender":"F""#);

        assert!(person.sex.is_none());
        assert_eq!(told.len(), 1);
    }

    #[test]
    fn control_and_direction_characters_do_not_pass() {
        let (person, _) =
            read(r#","name":[{"family":"Ro\u001b[31mss\u202e","given":["A\r\nB","\u0007"]}]"#);

        assert_eq!(person.display_name(), "A  B Ro[31mss");
    }

    #[test]
    fn more_and_longer_values_than_are_kept_are_left_out_and_told() {
        let phones = |count: usize, chars: usize| {
            let phone = format!(r#"{{"system":"phone","value":"{}"}}"#, "5".repeat(chars));
            format!(r#","telecom":[{}]"#, vec![phone; count].join(","))
        };

        let (person, told) = read(&phones(DEMOGRAPHICS_MAX, DEMOGRAPHIC_CHARS_MAX));
        assert_eq!((person.phones.len(), told.len()), (DEMOGRAPHICS_MAX, 0));
        let (person, told) = read(&phones(DEMOGRAPHICS_MAX + 1, 5));
        assert_eq!((person.phones.len(), told.len()), (DEMOGRAPHICS_MAX, 1));
        let (person, told) = read(&phones(2, DEMOGRAPHIC_CHARS_MAX + 1));
        assert_eq!((person.phones.len(), told.len()), (0, 1));
    }

    #[test]
    fn demographics_read_back_as_they_were_written() {
        let (person, _) = read(
            r#","name":[{"family":"O'Brien","given":["María","Eugenia"]},{"family":"Delgado"}],
               "birthDate":"1979-03-04","gender":"female",
               "identifier":[{"system":"urn:x","value":"7"},{"value":"no system"}],
               "telecom":[{"system":"phone","value":"5"},{"system":"email","value":"a@b"}],
               "address":[{"line":["1 Elm"],"city":"S","postalCode":"01109"}]"#,
        );

        let written = write_demographics(&person);

        assert!(demographics(&written).is_ok_and(|again| again == person));
        assert!(demographics(&write_demographics(&Demographics::default())).is_ok());
    }
}
