//! A person at a provider, written as a FHIR R4 transaction.

use data_encoding::BASE64;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use time::Date;

use super::{
    chance::Chance,
    illness::{Allergy, Drug, Measure},
    names,
    note::{self, decimal},
    people::{Person, Sex},
    places::PLACES,
    registration::Registration,
    visits::{Fact, Kind, Stays, Visit},
};

const ICD: &str = "http://hl7.org/fhir/sid/icd-10-cm";
const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";
const LOINC: &str = "http://loinc.org";
const CVX: &str = "http://hl7.org/fhir/sid/cvx";
const UCUM: &str = "http://unitsofmeasure.org";
const TERMINOLOGY: &str = "http://terminology.hl7.org/CodeSystem";

/// One file: the provider, who treats there, the person, and every visit.
pub(super) fn bundle(
    person: &Person,
    registration: &Registration,
    card: &str,
    place: usize,
    visits: &[Visit],
    chance: &mut Chance,
) -> Vec<u8> {
    let mut writer = Writer::new(person, place, chance);
    let patient = patient(person, registration, card, place, &mut writer);
    writer.name = writer.patient(patient);
    for visit in visits {
        writer.visit(visit);
    }
    let bundle = json!({
        "resourceType": "Bundle",
        "type": "transaction",
        "meta": tag(),
        "entry": writer.entries,
    });
    let mut bytes = bundle.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

fn patient(
    person: &Person,
    registration: &Registration,
    card: &str,
    place: usize,
    writer: &mut Writer<'_>,
) -> Value {
    let number = format!("{:02}{:06}", place + 10, person.number);
    let mut identifiers = vec![json!({
        "use": "usual",
        "type": {"coding": [{"system": format!("{TERMINOLOGY}/v2-0203"), "code": "MR"}]},
        "system": PLACES[place].system,
        "value": number,
    })];
    if registration.is_as_on_card && writer.chance.happens(600) {
        identifiers.push(json!({
            "type": {"coding": [{"system": format!("{TERMINOLOGY}/v2-0203"), "code": "MB"}]},
            "system": "https://cascade-health-plan.example/member",
            "value": card,
        }));
    }
    let mut official = json!({
        "use": "official", "family": registration.family, "given": registration.given,
    });
    if let Some(suffix) = &registration.suffix {
        official["suffix"] = json!([suffix]);
    }
    let mut names = vec![official];
    if let Some(before) = &registration.family_before {
        names.push(json!({"use": "old", "family": before, "given": registration.given}));
    }
    let mut address = json!({
        "use": "home", "city": registration.home.city, "state": names::STATE,
        "postalCode": registration.home.zip, "country": "US",
    });
    if let Some(line) = &registration.line {
        address["line"] = json!([line]);
    }
    let mut telecom = Vec::new();
    if let Some(phone) = &registration.phone {
        telecom.push(json!({"system": "phone", "value": phone, "use": "home"}));
    }
    if let Some(email) = &registration.email {
        telecom.push(json!({"system": "email", "value": email}));
    }
    let mut patient = json!({
        "resourceType": "Patient",
        "active": true,
        "identifier": identifiers,
        "name": names,
        "gender": match person.sex { Sex::Female => "female", Sex::Male => "male" },
        "birthDate": registration.born.to_string(),
        "address": [address],
        "managingOrganization": {"reference": writer.organization},
    });
    if !telecom.is_empty() {
        patient["telecom"] = json!(telecom);
    }
    if person.twin {
        patient["multipleBirthBoolean"] = json!(true);
    }
    if person.spanish {
        patient["communication"] = json!([{
            "language": concept("urn:ietf:bcp:47", "es", "Spanish"), "preferred": true,
        }]);
    }
    if let Some(died) = person.died {
        patient["deceasedDateTime"] = json!(died.to_string());
    }
    patient
}

/// Puts entries together.
struct Writer<'a> {
    person: &'a Person,
    chance: &'a mut Chance,
    entries: Vec<Value>,
    organization: String,
    practitioner: String,
    author: String,
    subject: String,
    /// The person's name as this provider has it.
    name: String,
}

impl<'a> Writer<'a> {
    fn new(person: &'a Person, place: usize, chance: &'a mut Chance) -> Self {
        // The same in every file of every town: one provider is one resource, however often it comes.
        let mut fixed = Chance::new(0, &[place as u64]);
        let organization = format!("urn:uuid:{}", fixed.uuid());
        let which = chance.between(0, 2).unsigned_abs() + place as u64;
        let which = usize::try_from(which).unwrap_or(0) % names::PRACTITIONERS.len();
        let practitioner = format!("urn:uuid:{}", Chance::new(1, &[which as u64]).uuid());
        let (given, family) = names::PRACTITIONERS[which];
        let mut writer = Self {
            person,
            chance,
            entries: Vec::new(),
            organization: organization.clone(),
            practitioner: practitioner.clone(),
            author: format!("{given} {family}, MD"),
            subject: String::new(),
            name: String::new(),
        };
        let provider = json!({
            "resourceType": "Organization", "active": true, "name": PLACES[place].name,
        });
        writer.push(organization, provider);
        let doctor = json!({
            "resourceType": "Practitioner",
            "name": [{"family": family, "given": [given], "suffix": ["MD"]}],
        });
        writer.push(practitioner, doctor);
        writer
    }

    /// Adds the patient; returns the name.
    fn patient(&mut self, patient: Value) -> String {
        let given = patient["name"][0]["given"][0].as_str().unwrap_or_default();
        let family = patient["name"][0]["family"].as_str().unwrap_or_default();
        let name = format!("{given} {family}");
        self.subject = format!("urn:uuid:{}", self.chance.uuid());
        self.push(self.subject.clone(), patient);
        name
    }

    fn push(&mut self, url: String, mut resource: Value) {
        let kind = resource["resourceType"].clone();
        resource["meta"] = tag();
        self.entries.push(json!({
            "fullUrl": url,
            "resource": resource,
            "request": {"method": "POST", "url": kind},
        }));
    }

    fn add(&mut self, resource: Value) -> String {
        let url = format!("urn:uuid:{}", self.chance.uuid());
        self.push(url.clone(), resource);
        url
    }

    fn visit(&mut self, visit: &Visit) {
        let (code, name) = match visit.kind {
            Kind::Office | Kind::Counter => ("AMB", "ambulatory"),
            Kind::Urgent => ("EMER", "emergency"),
            Kind::Inpatient => ("IMP", "inpatient encounter"),
        };
        let encounter = self.add(json!({
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"system": format!("{TERMINOLOGY}/v3-ActCode"), "code": code, "display": name},
            "subject": {"reference": self.subject},
            "participant": [{"individual": {"reference": self.practitioner, "display": self.author}}],
            "period": {"start": visit.day.to_string(), "end": visit.until.to_string()},
            "reasonCode": [{"text": visit.reason}],
            "serviceProvider": {"reference": self.organization},
        }));
        for fact in &visit.facts {
            self.fact(fact, visit, &encounter);
        }
        self.note(visit, &encounter);
    }

    fn fact(&mut self, fact: &Fact, visit: &Visit, encounter: &str) {
        let day = visit.day.to_string();
        let mut resource = match fact {
            Fact::Condition {
                icd,
                name,
                since,
                over,
            } => condition(icd, name, *since, *over),
            Fact::Prescribed { drug, stays } => prescription(drug, *stays, &day),
            Fact::Dispensed { drug } => dispense(drug, &day),
            Fact::Measured { measure, tenths } => self.measured(measure, *tenths, &day),
            Fact::Pressure {
                systolic,
                diastolic,
            } => pressure(*systolic, *diastolic, &day),
            Fact::Size { weight, height } => {
                let mut tall = quantity("8302-2", "Body height", *height, "cm", &day);
                tall["category"] = category("vital-signs");
                tall["subject"] = json!({"reference": self.subject});
                tall["encounter"] = json!({"reference": encounter});
                self.add(tall);
                let mut heavy = quantity("29463-7", "Body weight", *weight, "kg", &day);
                heavy["category"] = category("vital-signs");
                heavy
            }
            Fact::Allergic { to, since } => allergy(to, *since, &day),
            Fact::Vaccinated { vaccine } => json!({
                "resourceType": "Immunization",
                "status": "completed",
                "vaccineCode": concept(CVX, vaccine.cvx, vaccine.name),
                "occurrenceDateTime": day,
                "primarySource": true,
            }),
        };
        let patient = json!({"reference": self.subject});
        match fact {
            Fact::Allergic { .. } | Fact::Vaccinated { .. } => resource["patient"] = patient,
            Fact::Condition { .. }
            | Fact::Prescribed { .. }
            | Fact::Dispensed { .. }
            | Fact::Measured { .. }
            | Fact::Pressure { .. }
            | Fact::Size { .. } => resource["subject"] = patient,
        }
        match fact {
            Fact::Dispensed { .. } => resource["context"] = json!({"reference": encounter}),
            Fact::Prescribed { .. } => {
                resource["encounter"] = json!({"reference": encounter});
                resource["requester"] = json!({"reference": self.practitioner});
            }
            Fact::Condition { .. }
            | Fact::Measured { .. }
            | Fact::Pressure { .. }
            | Fact::Size { .. }
            | Fact::Allergic { .. }
            | Fact::Vaccinated { .. } => resource["encounter"] = json!({"reference": encounter}),
        }
        self.add(resource);
    }

    fn measured(&mut self, measure: &Measure, tenths: i64, day: &str) -> Value {
        let mut value = quantity(measure.loinc, measure.name, tenths, measure.unit, day);
        value["category"] = category("laboratory");
        value["performer"] = json!([{"reference": self.organization}]);
        value
    }

    fn note(&mut self, visit: &Visit, encounter: &str) {
        let Some((code, title)) = note::kind(visit) else {
            return;
        };
        let text = note::text(self.person, visit, &self.name, &self.author);
        let day = visit.until.to_string();
        self.add(json!({
            "resourceType": "DocumentReference",
            "status": "current",
            "type": concept(LOINC, code, title),
            "subject": {"reference": self.subject},
            "date": format!("{day}T17:00:00Z"),
            "author": [{"reference": self.practitioner, "display": self.author}],
            "custodian": {"reference": self.organization, "display": PLACES[visit.place].name},
            "content": [{"attachment": {
                "contentType": "text/plain; charset=utf-8",
                "title": format!("{title}, {day}"),
                "data": BASE64.encode(text.as_bytes()),
                "size": text.len(),
                "hash": BASE64.encode(&Sha1::digest(text.as_bytes())),
            }}],
            "context": {
                "encounter": [{"reference": encounter}],
                "period": {"start": visit.day.to_string(), "end": day},
            },
        }));
    }
}

fn tag() -> Value {
    json!({"tag": [{
        "system": format!("{TERMINOLOGY}/v3-ActReason"), "code": "HTEST", "display": "test health data",
    }]})
}

fn concept(system: &str, code: &str, display: &str) -> Value {
    json!({"coding": [{"system": system, "code": code, "display": display}], "text": display})
}

fn status(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": format!("{TERMINOLOGY}/{system}"), "code": code}]})
}

fn category(code: &str) -> Value {
    json!([status("observation-category", code)])
}

fn condition(icd: &str, name: &str, since: Date, over: Option<Date>) -> Value {
    let clinical = if over.is_some() { "resolved" } else { "active" };
    let mut condition = json!({
        "resourceType": "Condition",
        "clinicalStatus": status("condition-clinical", clinical),
        "verificationStatus": status("condition-ver-status", "confirmed"),
        "category": [status("condition-category", "encounter-diagnosis")],
        "code": concept(ICD, icd, name),
        "onsetDateTime": since.to_string(),
    });
    if let Some(over) = over {
        condition["abatementDateTime"] = json!(over.to_string());
    }
    condition
}

fn prescription(drug: &Drug, stays: Stays, day: &str) -> Value {
    let status = match stays {
        Stays::ForGood => "active",
        Stays::ForAWhile => "completed",
    };
    json!({
        "resourceType": "MedicationRequest",
        "status": status,
        "intent": "order",
        "medicationCodeableConcept": concept(RXNORM, drug.rxnorm, drug.name),
        "authoredOn": day,
        "dosageInstruction": [{"text": drug.directions}],
    })
}

fn dispense(drug: &Drug, day: &str) -> Value {
    json!({
        "resourceType": "MedicationDispense",
        "status": "completed",
        "medicationCodeableConcept": concept(RXNORM, drug.rxnorm, drug.name),
        "whenHandedOver": day,
        "dosageInstruction": [{"text": drug.directions}],
    })
}

/// An observation of a number in tenths.
fn quantity(loinc: &str, name: &str, tenths: i64, unit: &str, day: &str) -> Value {
    let value: serde_json::Number = decimal(tenths).parse().unwrap_or_else(|_| tenths.into());
    json!({
        "resourceType": "Observation",
        "status": "final",
        "code": concept(LOINC, loinc, name),
        "effectiveDateTime": day,
        "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit},
    })
}

fn pressure(systolic: i64, diastolic: i64, day: &str) -> Value {
    let part = |code, name, value: i64| {
        json!({
            "code": concept(LOINC, code, name),
            "valueQuantity": {"value": value, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"},
        })
    };
    json!({
        "resourceType": "Observation",
        "status": "final",
        "category": category("vital-signs"),
        "code": concept(LOINC, "85354-9", "Blood pressure"),
        "effectiveDateTime": day,
        "component": [
            part("8480-6", "Systolic blood pressure", systolic),
            part("8462-4", "Diastolic blood pressure", diastolic),
        ],
    })
}

fn allergy(to: &Allergy, since: Date, day: &str) -> Value {
    let code = match to.rxnorm {
        Some(rxnorm) => concept(RXNORM, rxnorm, to.name),
        None => json!({"text": to.name}),
    };
    json!({
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": status("allergyintolerance-clinical", "active"),
        "verificationStatus": status("allergyintolerance-verification", "confirmed"),
        "type": "allergy",
        "category": [to.category],
        "criticality": to.criticality,
        "code": code,
        "onsetDateTime": since.to_string(),
        "recordedDate": day,
        "reaction": [{"manifestation": [{"text": to.reaction}]}],
    })
}
