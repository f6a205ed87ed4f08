//! A consent as FHIR R4 `Consent`, in the content profiles of IHE PCF 1.1.0 where it can claim them.
//!
//! Class, position and the user who recorded it are this holder's own knowledge: they are not
//! written, and a paper from outside cannot claim them. There is no `verification`, no
//! `provision.class` and no `provision.code`: PCF forbids them.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde_json::{Map, Value, json};

use crate::{
    membership::Organization,
    records::{Coding, Consent, ConsentForm, Evidence, Profile, Provision, Target},
    types::{ConsentId, PatientId, Purpose, Timestamp},
};

pub(super) const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
pub(super) const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
pub(super) const SCOPE: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
const URI: &str = "urn:ietf:rfc:3986";
const NPI: &str = "http://hl7.org/fhir/sid/us-npi";
const PCF_BASIC: &str = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentBasic";
const PCF_INTERMEDIATE: &str =
    "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentIntermediate";
/// System of the texts of [`Target`]; ours alone.
pub(super) const TARGET: &str = "urn:chartmesh:consent-target";

/// Writes a consent that is on file at `holder`.
pub fn consent_to_fhir(consent: &Consent, holder: &Organization) -> Value {
    let mut resource = json!({
        "resourceType": "Consent",
        "id": fhir_id(ConsentId::PREFIX, &consent.id.0),
        "status": if consent.revoked.is_some() { "inactive" } else { "active" },
        "scope": { "coding": [{ "system": SCOPE, "code": "patient-privacy" }] },
        "category": [{ "coding": [{ "system": Coding::LOINC, "code": "59284-0" }] }],
        "patient": { "reference": patient_reference(consent.patient) },
        "dateTime": consent.recorded_at.to_string(),
        "organization": [organization(holder)],
        "policy": [{ "uri": consent.policy }],
        "provision": provision(consent),
    });
    let mut meta = Map::new();
    match consent.profile() {
        Profile::PcfBasic => meta.insert("profile".into(), json!([PCF_BASIC])),
        Profile::PcfIntermediate => meta.insert("profile".into(), json!([PCF_INTERMEDIATE])),
        Profile::R4 => None,
    };
    if holder.test {
        meta.insert(
            "security".into(),
            json!([{ "system": ACT_REASON, "code": "HTEST" }]),
        );
    }
    if !meta.is_empty() {
        resource["meta"] = Value::Object(meta);
    }
    let mut contained = Vec::new();
    match consent.by.as_str() {
        "" => {}
        "patient" => {
            resource["performer"] = json!([{ "reference": patient_reference(consent.patient) }]);
        }
        relation => {
            resource["performer"] = json!([{ "reference": "#speaker" }]);
            contained.push(json!({
                "resourceType": "RelatedPerson",
                "id": "speaker",
                "patient": { "reference": patient_reference(consent.patient) },
                "relationship": [{ "text": relation }],
            }));
        }
    }
    if let Some(evidence) = &consent.evidence {
        resource["sourceReference"] = json!({ "reference": "#form" });
        contained.push(form_document(evidence));
    }
    if !contained.is_empty() {
        resource["contained"] = Value::Array(contained);
    }
    resource
}

/// FHIR ids have no underscore (FHIR R4, Datatypes, id).
fn fhir_id(prefix: &str, bytes: &[u8]) -> String {
    let prefix = prefix.trim_end_matches('_');
    format!(
        "{prefix}-{}",
        BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
    )
}

pub(super) fn patient_reference(patient: PatientId) -> String {
    format!("Patient/{}", fhir_id(PatientId::PREFIX, &patient.0))
}

fn organization(holder: &Organization) -> Value {
    let mut reference = json!({ "display": holder.name });
    if !holder.npi.is_empty() {
        reference["identifier"] = json!({ "system": NPI, "value": holder.npi });
    }
    reference
}

/// The form by its hash alone. FHIR's `attachment.hash` is SHA-1, so the SHA-256 stands as a URI of
/// RFC 6920.
fn form_document(evidence: &Evidence) -> Value {
    let hash = BASE64URL_NOPAD.encode(&evidence.sha256);
    json!({
        "resourceType": "DocumentReference",
        "id": "form",
        "masterIdentifier": { "system": URI, "value": format!("ni:///sha-256;{hash}") },
        "status": "current",
        "content": [{ "attachment": {
            "contentType": evidence.content_type,
            "size": evidence.size,
        } }],
    })
}

fn provision(consent: &Consent) -> Value {
    let mut provision = json!({
        "type": match consent.provision {
            Provision::Permit => "permit",
            Provision::Deny => "deny",
        },
    });
    let mut period = Map::new();
    if consent.from > Timestamp(0) {
        period.insert("start".into(), json!(consent.from.to_string()));
    }
    if let Some(until) = consent.until {
        // The end of a FHIR period is part of it (FHIR R4, Datatypes, Period).
        let last = Timestamp(until.0.saturating_sub(1));
        period.insert("end".into(), json!(last.to_string()));
    }
    if !period.is_empty() {
        provision["period"] = Value::Object(period);
    }
    if consent.target != Target::Any {
        provision["actor"] = json!([actor(&consent.target)]);
    }
    let mut purposes = match consent.form {
        ConsentForm::OptOut => Vec::new(),
        ConsentForm::OptIn => vec![Purpose::Treat],
        ConsentForm::Provision => consent.purposes.clone(),
    };
    let opted_out = consent.form == ConsentForm::OptOut;
    if !opted_out && consent.even_emergency && !purposes.contains(&Purpose::Btg) {
        purposes.push(Purpose::Btg);
    }
    if !purposes.is_empty() {
        provision["purpose"] = purposes.into_iter().map(purpose).collect();
    }
    if opted_out && !consent.even_emergency {
        provision["provision"] = json!([break_glass_exception()]);
    }
    provision
}

fn purpose(purpose: Purpose) -> Value {
    json!({ "system": ACT_REASON, "code": purpose.code() })
}

pub(super) fn break_glass_exception() -> Value {
    json!({ "type": "permit", "purpose": [purpose(Purpose::Btg)] })
}

fn actor(target: &Target) -> Value {
    json!({
        "role": { "coding": [{ "system": PARTICIPATION, "code": "IRCP" }] },
        "reference": { "identifier": { "system": TARGET, "value": target.to_string() } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Statement, consent_from_fhir, fixtures};
    use crate::{
        policy::fixtures::{ROSA, denial_of, opt_in, opt_out, paper, permit_of},
        records::Class,
        types::{Kind, MemberId, NodeKey},
    };

    fn holder() -> Organization {
        fixtures::organization("St. Brigid", Kind::Hospital)
    }

    fn signed() -> Consent {
        Consent {
            evidence: Some(paper()),
            from: Timestamp(1_700_000_000_000),
            until: Some(Timestamp(1_800_000_000_000)),
            recorded_at: Timestamp(1_750_000_000_123),
            purposes: vec![Purpose::Treat, Purpose::Hpaymt],
            ..permit_of(4, Class::Patient)
        }
    }

    fn read(consent: &Consent) -> Statement {
        let Ok(statement) = consent_from_fhir(&consent_to_fhir(consent, &holder())) else {
            panic!("what was written is read");
        };
        statement
    }

    fn refused(resource: &Value) -> Option<&'static str> {
        consent_from_fhir(resource).err().map(|error| error.element)
    }

    #[test]
    fn a_consent_reads_back_as_it_was_written() {
        let targets = [
            Target::Any,
            Target::Kind(Kind::Clinic),
            Target::Member(MemberId([5; 16])),
            Target::Node(NodeKey([6; 32])),
            Target::Organization("Harbor, \"Urgent\" Care".to_owned()),
        ];
        for (target, by) in targets
            .into_iter()
            .zip(["patient", "mother", "", "agent", "patient"])
        {
            for provision in [Provision::Permit, Provision::Deny] {
                let consent = Consent {
                    target: target.clone(),
                    by: by.to_owned(),
                    provision,
                    ..signed()
                };

                let statement = read(&consent);

                let expected = Statement {
                    id: consent.id,
                    patient: ROSA,
                    provision,
                    form: ConsentForm::Provision,
                    target: target.clone(),
                    purposes: consent.purposes,
                    by: consent.by,
                    from: consent.from,
                    until: consent.until,
                    given_at: consent.recorded_at,
                    evidence: consent.evidence,
                    even_emergency: false,
                    policy: consent.policy,
                };
                assert!(statement == expected);
            }
        }
    }

    #[test]
    fn an_opt_out_spares_break_glass_unless_it_says_otherwise() {
        let mut out = opt_out(4, Class::Patient);
        let spared = consent_to_fhir(&out, &holder());
        assert_eq!(
            spared["provision"]["provision"][0]["purpose"][0]["code"],
            "BTG"
        );
        assert!(!read(&out).even_emergency);

        out.even_emergency = true;

        let whole = consent_to_fhir(&out, &holder());
        assert!(whole["provision"].get("provision").is_none());
        assert!(read(&out).even_emergency);
        assert!(read(&out).form == ConsentForm::OptOut);
    }

    #[test]
    fn an_opt_in_and_a_denial_in_an_emergency_read_back_as_what_they_mean() {
        let back = read(&opt_in(4, Class::Patient));
        let denial = read(&Consent {
            even_emergency: true,
            ..denial_of(4, Class::Patient)
        });

        assert!(back.provision == Provision::Permit && back.target == Target::Any);
        assert_eq!(back.purposes, [Purpose::Treat]);
        assert_eq!(denial.purposes, [Purpose::Treat, Purpose::Btg]);
    }

    #[test]
    fn a_basic_consent_has_what_the_profile_demands_and_nothing_it_forbids() {
        let resource = consent_to_fhir(&signed(), &holder());

        assert_eq!(resource["meta"]["profile"][0], PCF_BASIC);
        for element in [
            "status",
            "scope",
            "patient",
            "dateTime",
            "performer",
            "organization",
            "sourceReference",
            "policy",
            "category",
        ] {
            assert!(resource.get(element).is_some(), "{element}");
        }
        assert!(resource.get("verification").is_none());
        assert_eq!(
            resource["provision"]["actor"][0]["role"]["coding"][0]["code"],
            "IRCP"
        );
        assert!(
            resource["contained"][0]["content"][0]["attachment"]
                .get("hash")
                .is_none()
        );
    }

    #[test]
    fn no_profile_is_claimed_without_the_form_and_test_data_says_so() {
        let mut holder = holder();
        holder.test = true;
        let mut consent = signed();
        consent.evidence = None;

        let resource = consent_to_fhir(&consent, &holder);

        assert!(resource["meta"].get("profile").is_none());
        assert_eq!(resource["meta"]["security"][0]["code"], "HTEST");
        consent.evidence = Some(paper());
        consent.purposes.push(Purpose::Etreat);
        let resource = consent_to_fhir(&consent, &holder);
        assert_eq!(resource["meta"]["profile"][0], PCF_INTERMEDIATE);
    }

    #[test]
    fn a_consent_names_its_holder_and_no_start_that_it_has_not() {
        let consent = permit_of(4, Class::Patient);
        let mut holder = holder();
        let written = consent_to_fhir(&consent, &holder);

        let organization = &written["organization"][0];
        assert_eq!(organization["display"], "St. Brigid");
        assert_eq!(organization["identifier"]["system"], NPI);
        assert_eq!(organization["identifier"]["value"], "1234567893");
        assert!(written["provision"].get("period").is_none());

        holder.npi = String::new();
        let written = consent_to_fhir(&consent, &holder);
        assert!(written["organization"][0].get("identifier").is_none());
    }

    #[test]
    fn a_period_ends_with_the_last_moment_it_names() {
        let mut resource = consent_to_fhir(&signed(), &holder());
        let mut until = |end: &str| {
            resource["provision"]["period"]["end"] = json!(end);
            let Ok(statement) = consent_from_fhir(&resource) else {
                panic!("the period can be read");
            };
            statement.until.map(|until| until.to_string())
        };

        let cases = [
            ("2026-12-31", "2027-01-01T00:00:00.000Z"),
            ("2026-12-31T10:00:00Z", "2026-12-31T10:00:01.000Z"),
            ("2026-12-31T10:00:00.250Z", "2026-12-31T10:00:00.251Z"),
        ];
        for (end, expected) in cases {
            assert_eq!(until(end).as_deref(), Some(expected));
        }
    }

    type Change = fn(&mut Value);

    /// What would be lost of a consent, and the element that is told.
    const HALVES: [(&str, Change); 29] = [
        ("provision.actor", |it| {
            it["provision"]["actor"][0]["modifierExtension"] = json!([]);
        }),
        ("Consent", |it| it["verification"] = json!([])),
        ("Consent", |it| it["modifierExtension"] = json!([])),
        ("resourceType", |it| it["resourceType"] = json!("Patient")),
        ("id", |it| it["id"] = json!("con_x")),
        ("status", |it| it["status"] = json!("inactive")),
        ("scope", |it| {
            it["scope"]["coding"][0]["code"] = json!("research")
        }),
        ("category", |it| it["category"] = json!([])),
        ("category", |it| {
            it["category"][0]["coding"][0]["code"] = json!("57016-8");
        }),
        ("policy", |it| it["policy"][0]["authority"] = json!("urn:x")),
        ("policy.uri", |it| it["policy"][0]["uri"] = json!("")),
        ("patient", |it| {
            it["patient"]["reference"] = json!("Patient/1")
        }),
        ("performer", |it| {
            it["performer"] = json!([{ "reference": "#nobody" }])
        }),
        ("sourceReference", |it| it["contained"] = json!([])),
        ("sourceReference", |it| {
            it["contained"][0]["resourceType"] = json!("Binary");
        }),
        ("sourceReference", |it| {
            it["contained"][0]["id"] = json!("x")
        }),
        ("provision", |it| {
            it["provision"]["securityLabel"] = json!([])
        }),
        ("provision.type", |it| {
            it["provision"]["type"] = json!("maybe")
        }),
        ("provision.purpose", |it| {
            it["provision"]["purpose"][0]["code"] = json!("FooBar");
        }),
        ("provision.purpose", |it| {
            it["provision"]["purpose"][0]["system"] = json!("urn:x");
        }),
        ("provision.purpose", |it| {
            it["provision"]["purpose"][0]["extension"] = json!([]);
        }),
        ("provision.purpose", |it| {
            it["provision"]["purpose"] = Value::Null;
        }),
        ("provision.provision", |it| {
            it["provision"]["provision"] = json!([{ "type": "deny" }]);
        }),
        ("provision.provision", |it| {
            it["provision"]["provision"] = json!([break_glass_exception()]);
        }),
        ("provision.actor", |it| {
            it["provision"]["actor"][0]["role"]["coding"][0]["code"] = json!("CST");
        }),
        ("provision.actor", |it| {
            it["provision"]["actor"][0]["reference"]["identifier"]["system"] = json!("urn:x");
        }),
        ("provision.period", |it| {
            it["provision"]["period"]["extension"] = json!([]);
        }),
        ("provision.actor", |it| {
            it["provision"]["actor"][0]["reference"] = json!({ "reference": "Organization/1" });
        }),
        ("provision.period", |it| {
            it["provision"]["period"]["end"] = json!("soon")
        }),
    ];

    #[test]
    fn a_consent_that_would_be_read_by_halves_is_refused() {
        let sound = consent_to_fhir(&signed(), &holder());
        assert_eq!(refused(&sound), None);
        for (element, change) in HALVES {
            let mut resource = sound.clone();
            change(&mut resource);
            assert_eq!(refused(&resource), Some(element));
        }
        for nothing in [json!(null), json!([]), json!({}), json!("Consent")] {
            assert!(consent_from_fhir(&nothing).is_err());
        }
    }
}
