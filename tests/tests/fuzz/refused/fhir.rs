//! Resources, bundles and lines that are refused, each for one fact of it.

use bytes::Bytes;
use chartmesh_core::{
    flows::{Met, Mode},
    types::{Code, Role},
};

use super::{Desk, Row};
use crate::engine::actor;

const GOOD: &str = r##"{"resourceType":"Bundle","type":"transaction","entry":[
{"fullUrl":"urn:uuid:11111111-1111-4111-8111-111111111111","resource":{"resourceType":"Patient","id":"p1","identifier":[{"system":"urn:oid:1.2.3","value":"4711"}],"name":[{"use":"official","family":"Vega","given":["Ana"]}],"gender":"female","birthDate":"1950-03-04","telecom":[{"system":"phone","value":"555"}],"address":[{"line":["9 Elm"],"city":"Denver"}],"multipleBirthInteger":2},"request":{"method":"POST","url":"Patient"}},
{"fullUrl":"urn:uuid:22222222-2222-4222-8222-222222222222","resource":{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"weight"},"valueQuantity":{"value":70.5},"subject":{"reference":"urn:uuid:11111111-1111-4111-8111-111111111111"},"performer":[{"reference":"Organization/org1"}]},"request":{"method":"PUT","url":"Observation/o1"}},
{"fullUrl":"urn:uuid:33333333-3333-4333-8333-333333333333","resource":{"resourceType":"DocumentReference","id":"d1","status":"current","subject":{"reference":"Patient/p1"},"securityLabel":[{"coding":[{"code":"R"}]}],"content":[{"attachment":{"contentType":"text/plain","data":"aGVsbG8=","size":5,"hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00="}}]},"request":{"method":"POST","url":"DocumentReference"}},
{"fullUrl":"urn:uuid:44444444-4444-4444-8444-444444444444","resource":{"resourceType":"Organization","id":"org1","name":"Elm"},"request":{"method":"POST","url":"Organization"}}
]}"##;

/// What is no JSON that every reader understands alike (`threats.md`, row 39).
#[rustfmt::skip]
const JSON: &[Row] = &[
    ("a comma at the end of an object", r#""city":"Denver"}"#, r#""city":"Denver",}"#, Code::JsonMalformed),
    ("a comma at the end of an array", r#"["Ana"]"#, r#"["Ana",]"#, Code::JsonMalformed),
    ("two commas", r#""id":"p1","#, r#""id":"p1",,"#, Code::JsonMalformed),
    ("a comma in front", r#"["Ana"]"#, r#"[,"Ana"]"#, Code::JsonMalformed),
    ("no comma", r#""id":"p1","#, r#""id":"p1""#, Code::JsonMalformed),
    ("no colon", r#""id":"p1""#, r#""id""p1""#, Code::JsonMalformed),
    ("no value", r#""id":"p1""#, r#""id":"#, Code::JsonMalformed),
    ("a key alone", r#""id":"p1""#, r#""id""#, Code::JsonMalformed),
    ("a number as a key", r#""id":"p1""#, r#"1:"p1""#, Code::JsonMalformed),
    ("single quotes", r#""id":"p1""#, r#""id":'p1'"#, Code::JsonMalformed),
    ("a key without quotes", r#""id":"p1""#, r#"id:"p1""#, Code::JsonMalformed),
    ("a comment", r#""id":"p1","#, r#""id":"p1",/*x*/"#, Code::JsonMalformed),
    ("a comment to the end of the line", r#""id":"p1","#, "\"id\":\"p1\",//x\n", Code::JsonMalformed),
    ("a word that JSON does not know", "70.5", "NaN", Code::JsonMalformed),
    ("endless", "70.5", "Infinity", Code::JsonMalformed),
    ("undefined", "70.5", "undefined", Code::JsonMalformed),
    ("a word in capitals", "70.5", "TRUE", Code::JsonMalformed),
    ("a number with a zero in front", "70.5", "070.5", Code::JsonMalformed),
    ("a number with a plus in front", "70.5", "+70.5", Code::JsonMalformed),
    ("a number that ends in its point", "70.5", "70.", Code::JsonMalformed),
    ("a number that begins with its point", "70.5", ".5", Code::JsonMalformed),
    ("a number with a comma", "70.5", "70,5", Code::JsonMalformed),
    ("a hexadecimal number", "70.5", "0x46", Code::JsonMalformed),
    ("a number with an empty exponent", "70.5", "7e", Code::JsonMalformed),
    ("a sign alone", "70.5", "-", Code::JsonMalformed),
    ("a line end within a string", "\"Ana\"", "\"A\nna\"", Code::JsonMalformed),
    ("a tab within a string", "\"Ana\"", "\"A\tna\"", Code::JsonMalformed),
    ("a NUL within a string", "\"Ana\"", "\"A\0na\"", Code::JsonMalformed),
    ("an escape that JSON does not know", r#""Ana""#, r#""A\xna""#, Code::JsonMalformed),
    ("an octal escape", r#""Ana""#, r#""A\101na""#, Code::JsonMalformed),
    ("an escape that is too short", r#""Ana""#, r#""A\u00e""#, Code::JsonMalformed),
    ("an escape that is not hexadecimal", r#""Ana""#, r#""A\u00gg""#, Code::JsonMalformed),
    ("a high surrogate alone", r#""Ana""#, r#""A\ud83dna""#, Code::JsonLimit),
    ("a low surrogate alone", r#""Ana""#, r#""A\ude00na""#, Code::JsonLimit),
    ("surrogates in the wrong order", r#""Ana""#, r#""\ude00\ud83d""#, Code::JsonLimit),
    ("a string without end", r#"["Ana"]"#, r#"["Ana]"#, Code::JsonMalformed),
    ("an array closed as an object", r#"["Ana"]"#, r#"["Ana"}"#, Code::JsonMalformed),
    ("an object closed as an array", r#"{"text":"weight"}"#, r#"{"text":"weight"]"#, Code::JsonMalformed),
    ("an object that is not closed", r#"{"text":"weight"}"#, r#"{"text":"weight""#, Code::JsonMalformed),
    ("more after the end", "\n]}", "\n]}{}", Code::JsonMalformed),
    ("a bracket after the end", "\n]}", "\n]}]", Code::JsonMalformed),
    ("a byte order mark in the middle", r#""id":"p1","#, "\u{feff}\"id\":\"p1\",", Code::JsonMalformed),
    ("a space that is none of JSON's", r#""id":"p1","#, "\u{a0}\"id\":\"p1\",", Code::JsonMalformed),
    ("a number beyond what a double holds", "70.5", "1e400", Code::JsonLimit),
    ("a number below what a double holds", "70.5", "1e-400", Code::JsonLimit),
    ("a key twice", r#""id":"p1","#, r#""id":"p1","id":"p1","#, Code::JsonDuplicateKey),
    ("a key twice, once escaped", r#""id":"p1","#, r#""id":"p1","\u0069d":"p2","#, Code::JsonDuplicateKey),
    ("a key twice, deep inside", r#""city":"Denver""#, r#""city":"Denver","city":"Reno""#, Code::JsonDuplicateKey),
    ("the subject twice", r#""subject":{"reference":"Patient/p1"},"#, r#""subject":{"reference":"Patient/p1"},"subject":{"reference":"Patient/p9"},"#, Code::JsonDuplicateKey),
    ("the empty key twice", r#"{"text":"weight"}"#, r#"{"":1,"":2}"#, Code::JsonDuplicateKey),
];

/// What is JSON and no FHIR R4 that can be taken.
#[rustfmt::skip]
const RESOURCES: &[Row] = &[
    ("a resource without type", r#""resourceType":"Observation""#, r#""kind":"Observation""#, Code::FhirMalformed),
    ("a type that is no text", r#""resourceType":"Observation""#, r#""resourceType":7"#, Code::FhirMalformed),
    ("a type that R4 does not know", r#""resourceType":"Observation""#, r#""resourceType":"Observatoin""#, Code::FhirType),
    ("a type in small letters", r#""resourceType":"Observation""#, r#""resourceType":"observation""#, Code::FhirType),
    ("an empty type", r#""resourceType":"Observation""#, r#""resourceType":"""#, Code::FhirType),
    ("a type of DSTU2", r#""resourceType":"Observation""#, r#""resourceType":"MedicationOrder""#, Code::FhirType),
    ("a type of R5", r#""resourceType":"Observation""#, r#""resourceType":"MedicationUsage""#, Code::FhirType),
    ("an id with a space", r#""id":"p1""#, r#""id":"p 1""#, Code::FhirMalformed),
    ("an empty id", r#""id":"p1""#, r#""id":"""#, Code::FhirMalformed),
    ("an id with a slash", r#""id":"p1""#, r#""id":"../p1""#, Code::FhirMalformed),
    ("an id with an umlaut", r#""id":"p1""#, r#""id":"pä""#, Code::FhirMalformed),
    ("an id of 65 characters", r#""id":"p1""#, r#""id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#, Code::FhirMalformed),
    ("names that are no list", r#""name":[{"use":"official","family":"Vega","given":["Ana"]}]"#, r#""name":{"family":"Vega"}"#, Code::FhirMalformed),
    ("a name that is a text", r#""name":[{"use":"official","family":"Vega","given":["Ana"]}]"#, r#""name":["Ana Vega"]"#, Code::FhirMalformed),
    ("a family name that is a list", r#""family":"Vega""#, r#""family":["Vega"]"#, Code::FhirMalformed),
    ("given names that are a text", r#""given":["Ana"]"#, r#""given":"Ana""#, Code::FhirMalformed),
    ("a given name that is a number", r#""given":["Ana"]"#, r#""given":[7]"#, Code::FhirMalformed),
    ("a use that is a number", r#""use":"official""#, r#""use":1"#, Code::FhirMalformed),
    ("a gender that is a number", r#""gender":"female""#, r#""gender":2"#, Code::FhirMalformed),
    ("a birth date that is a number", r#""birthDate":"1950-03-04""#, r#""birthDate":1950"#, Code::FhirMalformed),
    ("a birth date with points", "1950-03-04", "04.03.1950", Code::FhirMalformed),
    ("a birth date without hyphens", "1950-03-04", "19500304", Code::FhirMalformed),
    ("a birth date with a time", "1950-03-04", "1950-03-04T00:00:00Z", Code::FhirMalformed),
    ("an empty birth date", "1950-03-04", "", Code::FhirMalformed),
    ("a birth date in words", "1950-03-04", "unknown", Code::FhirMalformed),
    ("identifiers that are an object", r#""identifier":[{"system":"urn:oid:1.2.3","value":"4711"}]"#, r#""identifier":{"system":"s","value":"v"}"#, Code::FhirMalformed),
    ("an identifier that is a text", r#""identifier":[{"system":"urn:oid:1.2.3","value":"4711"}]"#, r#""identifier":["4711"]"#, Code::FhirMalformed),
    ("an identifier whose value is a number", r#""value":"4711""#, r#""value":4711"#, Code::FhirMalformed),
    ("an identifier whose system is a list", r#""system":"urn:oid:1.2.3""#, r#""system":["urn:oid:1.2.3"]"#, Code::FhirMalformed),
    ("telecom that is an object", r#""telecom":[{"system":"phone","value":"555"}]"#, r#""telecom":{"system":"phone","value":"555"}"#, Code::FhirMalformed),
    ("a telephone number that is a number", r#""value":"555""#, r#""value":555"#, Code::FhirMalformed),
    ("addresses that are a text", r#""address":[{"line":["9 Elm"],"city":"Denver"}]"#, r#""address":"9 Elm""#, Code::FhirMalformed),
    ("a line that is a text", r#""line":["9 Elm"]"#, r#""line":"9 Elm""#, Code::FhirMalformed),
    ("a city that is a list", r#""city":"Denver""#, r#""city":["Denver"]"#, Code::FhirMalformed),
    ("content that is an object", r#""content":[{"attachment":{"contentType":"text/plain","data":"aGVsbG8=","size":5,"hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00="}}]"#, r#""content":{"attachment":{"data":"aGVsbG8="}}"#, Code::FhirMalformed),
    ("an attachment that is a list", r#"{"attachment":{"contentType":"text/plain","data":"aGVsbG8=","size":5,"hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00="}}"#, r#"{"attachment":[]}"#, Code::FhirMalformed),
    ("data that is no base64", "aGVsbG8=", "hello, world", Code::FhirMalformed),
    ("data for the web", "aGVsbG8=", "_-VsbG8=", Code::FhirMalformed),
    ("data without its padding", "aGVsbG8=", "aGVsbG8", Code::FhirMalformed),
    ("data with padding in the middle", "aGVsbG8=", "aGU=bG8=", Code::FhirMalformed),
    ("data that is a number", r#""data":"aGVsbG8=""#, r#""data":5"#, Code::FhirMalformed),
    ("a content type that is a number", r#""contentType":"text/plain""#, r#""contentType":1"#, Code::FhirMalformed),
    ("a hash that is a number", r#""hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00=""#, r#""hash":1"#, Code::FhirMalformed),
    ("a size that is one too large", r#""size":5"#, r#""size":6"#, Code::Integrity),
    ("a size that is one too small", r#""size":5"#, r#""size":4"#, Code::Integrity),
    ("a size below nothing", r#""size":5"#, r#""size":-5"#, Code::Integrity),
    ("a size that is a text", r#""size":5"#, r#""size":"5""#, Code::Integrity),
    ("a size with a fraction", r#""size":5"#, r#""size":5.5"#, Code::Integrity),
    ("the hash of something else", "qvTGHdzF6KLavt4PO0gs2a6pQ00=", "qvTGHdzF6KLavt4PO0gs2a6pQ01=", Code::Integrity),
    ("an empty hash", "qvTGHdzF6KLavt4PO0gs2a6pQ00=", "", Code::Integrity),
    ("the hash in hexadecimal", "qvTGHdzF6KLavt4PO0gs2a6pQ00=", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", Code::Integrity),
    ("other data than the hash is of", "aGVsbG8=", "aGVsbHA=", Code::Integrity),
    ("labels that are an object", r#""securityLabel":[{"coding":[{"code":"R"}]}]"#, r#""securityLabel":{"coding":[{"code":"R"}]}"#, Code::FhirMalformed),
    ("a label that is a number", r#"{"code":"R"}"#, r#"{"code":1}"#, Code::FhirMalformed),
    ("a label with an escape sequence", r#"{"code":"R"}"#, r#"{"code":"R\u001b[2J"}"#, Code::JsonLimit),
];

/// Bundles that are not what is taken, and entries that are not what a bundle holds.
#[rustfmt::skip]
const BUNDLES: &[Row] = &[
    ("the answer to a search", r#""type":"transaction""#, r#""type":"searchset""#, Code::FormatUnknown),
    ("a history", r#""type":"transaction""#, r#""type":"history""#, Code::FormatUnknown),
    ("the answer to a transaction", r#""type":"transaction""#, r#""type":"transaction-response""#, Code::FormatUnknown),
    ("the answer to a batch", r#""type":"transaction""#, r#""type":"batch-response""#, Code::FormatUnknown),
    ("a message", r#""type":"transaction""#, r#""type":"message""#, Code::FormatUnknown),
    ("a type in capitals", r#""type":"transaction""#, r#""type":"TRANSACTION""#, Code::FormatUnknown),
    ("an empty type", r#""type":"transaction""#, r#""type":"""#, Code::FormatUnknown),
    ("no type", r#""type":"transaction","#, "", Code::FormatUnknown),
    ("a type that is null", r#""type":"transaction""#, r#""type":null"#, Code::FormatUnknown),
    ("a type that is a number", r#""type":"transaction""#, r#""type":1"#, Code::FhirMalformed),
    ("a bundle in a bundle", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, r#"{"resourceType":"Bundle","id":"org1","type":"collection"}"#, Code::FhirType),
    ("parameters", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, r#"{"resourceType":"Parameters","id":"org1"}"#, Code::FhirType),
    ("a person, who may be several patients", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, r#"{"resourceType":"Person","id":"org1"}"#, Code::FhirType),
    ("a group", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, r#"{"resourceType":"Group","id":"org1"}"#, Code::FhirType),
    ("a linkage", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, r#"{"resourceType":"Linkage","id":"org1"}"#, Code::FhirType),
    ("the head of a message", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, r#"{"resourceType":"MessageHeader","id":"org1"}"#, Code::FhirType),
    ("an outcome", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, r#"{"resourceType":"OperationOutcome","id":"org1"}"#, Code::FhirType),
    ("a subscription", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, r#"{"resourceType":"Subscription","id":"org1"}"#, Code::FhirType),
    ("an entry without resource", r#""resource":{"resourceType":"Organization","id":"org1","name":"Elm"},"#, "", Code::FhirMalformed),
    ("a resource that is null", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, "null", Code::FhirMalformed),
    ("a resource that is a list", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, "[]", Code::FhirMalformed),
    ("a resource that is a text", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, r#""Organization/org1""#, Code::FhirMalformed),
    ("an entry that is null", "\n]}", "\n,null]}", Code::FhirMalformed),
    ("an entry that is a text", "\n]}", "\n,\"x\"]}", Code::FhirMalformed),
    ("a request that deletes", r#"{"method":"POST","url":"Organization"}"#, r#"{"method":"DELETE","url":"Organization"}"#, Code::FhirMalformed),
    ("a request that reads", r#"{"method":"POST","url":"Organization"}"#, r#"{"method":"GET","url":"Organization"}"#, Code::FhirMalformed),
    ("a request that patches", r#"{"method":"POST","url":"Organization"}"#, r#"{"method":"PATCH","url":"Organization"}"#, Code::FhirMalformed),
    ("a request in small letters", r#"{"method":"POST","url":"Organization"}"#, r#"{"method":"post","url":"Organization"}"#, Code::FhirMalformed),
    ("a request without method", r#"{"method":"POST","url":"Organization"}"#, r#"{"url":"Organization"}"#, Code::FhirMalformed),
    ("a request that is a text", r#"{"method":"POST","url":"Organization"}"#, r#""POST""#, Code::FhirMalformed),
    ("a full URL that is a number", r#""fullUrl":"urn:uuid:44444444-4444-4444-8444-444444444444""#, r#""fullUrl":4"#, Code::FhirMalformed),
    ("a full URL twice", "urn:uuid:44444444-4444-4444-8444-444444444444", "urn:uuid:22222222-2222-4222-8222-222222222222", Code::FhirMalformed),
    ("a type and id twice with other content", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, r#"{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"height"},"subject":{"reference":"Patient/p1"}}"#, Code::FhirMalformed),
];

/// Records that would hold another person's data, or nobody's (`threats.md`, row 40).
#[rustfmt::skip]
const SUBJECTS: &[Row] = &[
    ("no subject", r#""subject":{"reference":"Patient/p1"},"#, "", Code::SubjectUnknown),
    ("a subject that says nothing", r#""subject":{"reference":"Patient/p1"}"#, r#""subject":{}"#, Code::SubjectUnknown),
    ("a subject by display only", r#""subject":{"reference":"Patient/p1"}"#, r#""subject":{"display":"Ana Vega"}"#, Code::SubjectUnknown),
    ("a subject by an identifier that nobody has", r#""subject":{"reference":"Patient/p1"}"#, r#""subject":{"identifier":{"system":"urn:oid:1.2.3","value":"9"}}"#, Code::SubjectForeign),
    ("a subject by an identifier without system", r#""subject":{"reference":"Patient/p1"}"#, r#""subject":{"identifier":{"value":"4711"}}"#, Code::SubjectUnknown),
    ("another patient", r#""subject":{"reference":"Patient/p1"}"#, r#""subject":{"reference":"Patient/p2"}"#, Code::SubjectForeign),
    ("another patient at a server", r#""subject":{"reference":"Patient/p1"}"#, r#""subject":{"reference":"http://elsewhere.example/Patient/p1"}"#, Code::SubjectForeign),
    ("another patient by version", r#""subject":{"reference":"Patient/p1"}"#, r#""subject":{"reference":"Patient/p2/_history/1"}"#, Code::SubjectForeign),
    ("another patient by search", r#""subject":{"reference":"Patient/p1"}"#, r#""subject":{"reference":"Patient?identifier=urn:oid:1.2.3|9"}"#, Code::SubjectForeign),
    ("a group", r#""subject":{"reference":"Patient/p1"}"#, r#""subject":{"reference":"Group/g"}"#, Code::SubjectUnknown),
    ("a device", r#""subject":{"reference":"Patient/p1"}"#, r#""subject":{"reference":"Device/d"}"#, Code::SubjectUnknown),
    ("the organisation of the bundle", r#""subject":{"reference":"Patient/p1"}"#, r#""subject":{"reference":"Organization/org1"}"#, Code::SubjectUnknown),
    ("a contained patient who is not there", r#""subject":{"reference":"Patient/p1"}"#, r##""subject":{"reference":"#x"}"##, Code::SubjectUnknown),
    ("another patient as performer", r#"{"reference":"Organization/org1"}"#, r#"{"reference":"Patient/p2"}"#, Code::SubjectForeign),
    ("another patient in an extension", r#""code":{"text":"weight"}"#, r#""code":{"text":"weight"},"extension":[{"url":"u","valueReference":{"reference":"Patient/p2"}}]"#, Code::SubjectForeign),
    ("another patient where no reference belongs", r#""code":{"text":"weight"}"#, r#""code":{"text":"weight","reference":"Patient/p2"}"#, Code::SubjectForeign),
    ("another patient in a list of references", r#""code":{"text":"weight"}"#, r#""code":{"text":"weight","reference":["Patient/p2"]}"#, Code::SubjectForeign),
    ("a second patient", r#"{"resourceType":"Organization","id":"org1","name":"Elm"}"#, r#"{"resourceType":"Patient","id":"p2"}"#, Code::SubjectForeign),
    ("another patient in small letters", r#""subject":{"reference":"Patient/p1"}"#, r#""subject":{"reference":"patient/p2"}"#, Code::FhirMalformed),
];

#[test]
fn a_bad_bundle_is_refused_by_its_code_and_changes_nothing() {
    for rows in [JSON, RESOURCES, BUNDLES, SUBJECTS] {
        let desk = Desk::open();
        for row in rows {
            desk.refuses(row.0, super::changed(GOOD, row), row.3);
        }
        desk.takes("the bundle as it was", GOOD);
    }
}

/// Every type of R4 that must say whom it is about, and by which element (the patient compartment,
/// `http://hl7.org/fhir/R4/compartmentdefinition-patient.html`).
const ABOUT: &[(&str, &[&str])] = &[
    (
        "subject",
        &[
            "AdverseEvent",
            "CarePlan",
            "CareTeam",
            "ChargeItem",
            "ClinicalImpression",
            "Communication",
            "CommunicationRequest",
            "Composition",
            "Condition",
            "DeviceRequest",
            "DeviceUseStatement",
            "DiagnosticReport",
            "DocumentManifest",
            "DocumentReference",
            "Encounter",
            "Flag",
            "Goal",
            "GuidanceResponse",
            "ImagingStudy",
            "Invoice",
            "Media",
            "MedicationAdministration",
            "MedicationDispense",
            "MedicationRequest",
            "MedicationStatement",
            "Observation",
            "Procedure",
            "QuestionnaireResponse",
            "RequestGroup",
            "RiskAssessment",
            "ServiceRequest",
            "Specimen",
        ],
    ),
    (
        "patient",
        &[
            "AllergyIntolerance",
            "BodyStructure",
            "Claim",
            "ClaimResponse",
            "Consent",
            "CoverageEligibilityRequest",
            "CoverageEligibilityResponse",
            "DetectedIssue",
            "EpisodeOfCare",
            "ExplanationOfBenefit",
            "FamilyMemberHistory",
            "Immunization",
            "ImmunizationEvaluation",
            "ImmunizationRecommendation",
            "MolecularSequence",
            "NutritionOrder",
            "RelatedPerson",
            "SupplyDelivery",
            "VisionPrescription",
        ],
    ),
    ("beneficiary", &["Coverage"]),
    ("candidate", &["EnrollmentRequest"]),
    ("individual", &["ResearchSubject"]),
    ("for", &["Task"]),
];

#[test]
fn a_resource_of_every_type_is_refused_where_it_is_about_nobody_or_somebody_else() {
    let desk = Desk::open();
    desk.takes(
        "its patient",
        r#"{"resourceType":"Patient","id":"p1","name":[{"family":"Vega"}]}"#,
    );
    let types = ABOUT.iter();
    let types = types.flat_map(|(element, types)| types.iter().map(move |name| (*element, *name)));
    for (element, name) in types {
        let one = |subject: &str| format!(r#"{{"resourceType":"{name}","id":"x"{subject}}}"#);
        let about = |who: &str| one(&format!(r#","{element}":{{"reference":"{who}"}}"#));

        desk.refuses(name, one(""), Code::SubjectUnknown);
        desk.refuses(name, about("Patient/nobody"), Code::SubjectUnknown);
        desk.refuses(name, about("Practitioner/p1"), Code::SubjectUnknown);
        let patient = r#"{"resourceType":"Patient","id":"p1","name":[{"family":"Vega"}]}"#;
        let both = format!(
            r#"{{"resourceType":"Bundle","type":"batch","entry":[{{"resource":{patient}}},{{"resource":{}}}]}}"#,
            about("Patient/p2")
        );
        desk.refuses(name, both, Code::SubjectForeign);
        desk.takes(name, &about("Patient/p1"));
    }
}

#[test]
fn what_passes_a_limit_of_an_input_is_refused_by_its_code() {
    let desk = Desk::open();
    let deep = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"resourceType":"Organization","id":"o","extension":{open}{close}}}"#)
    };
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|key| format!(r#""k{key}":1"#)).collect();
        let keys = keys.join(",");
        format!(r#"{{"resourceType":"Organization","id":"o","extension":{{{keys}}}}}"#)
    };
    let number = |digits: usize| {
        let digits = "7".repeat(digits);
        format!(r#"{{"resourceType":"Organization","id":"o","extension":{digits}}}"#)
    };
    let labels = |count: usize| {
        let labels: Vec<String> = (0..count)
            .map(|label| format!(r#"{{"code":"L{label}"}}"#))
            .collect();
        let labels = labels.join(",");
        format!(
            r#"{{"resourceType":"Bundle","type":"batch","entry":[{{"resource":{{"resourceType":"Patient","id":"q"}}}},{{"resource":{{"resourceType":"DocumentReference","id":"d{count}","subject":{{"reference":"Patient/q"}},"securityLabel":[{{"coding":[{labels}]}}]}}}}]}}"#
        )
    };
    use chartmesh_core::types::limits::{
        CODES_MAX, JSON_DEPTH_MAX, JSON_KEYS_MAX, JSON_NUMBER_CHARS_MAX,
    };

    for (what, at_limit, beyond) in [
        ("nesting", deep(JSON_DEPTH_MAX - 1), deep(JSON_DEPTH_MAX)),
        ("a hundred thousand levels", deep(1), deep(100_000)),
        ("keys", keys(JSON_KEYS_MAX), keys(JSON_KEYS_MAX + 1)),
        (
            "digits",
            number(JSON_NUMBER_CHARS_MAX),
            number(JSON_NUMBER_CHARS_MAX + 1),
        ),
        ("labels", labels(CODES_MAX), labels(CODES_MAX + 1)),
    ] {
        desk.refuses(what, beyond, Code::JsonLimit);
        desk.takes(what, &at_limit);
    }
}

#[test]
fn a_patient_with_the_identifier_of_somebody_else_is_refused() {
    let desk = Desk::open();
    let person = |id: &str, family: &str, birth: &str| {
        format!(
            r#"{{"resourceType":"Patient","id":"{id}","identifier":[{{"system":"urn:x","value":"1"}}],"name":[{{"family":"{family}"}}],"birthDate":"{birth}"}}"#
        )
    };
    desk.takes("the first", &person("a", "Vega", "1950-03-04"));

    desk.refuses(
        "another person",
        person("b", "Okafor", "1988-11-30"),
        Code::PatientConflict,
    );

    desk.takes("the same person again", &person("b", "Vega", "1950-03-04"));
}

/// Lines that are refused: what stands in the line, and its code.
const LINES: &[(&str, Code)] = &[
    ("{", Code::JsonMalformed),
    ("}", Code::JsonMalformed),
    ("x", Code::JsonMalformed),
    (r#"{"resourceType":"Patient""#, Code::JsonMalformed),
    (
        r#"{"resourceType":"Patient"}{"resourceType":"Patient"}"#,
        Code::JsonMalformed,
    ),
    ("[]", Code::FhirMalformed),
    ("7", Code::FhirMalformed),
    ("null", Code::FhirMalformed),
    (r#""text""#, Code::FhirMalformed),
    ("{}", Code::FhirMalformed),
    (
        r#"{"resourceType":"Patient","id":"p","id":"q"}"#,
        Code::JsonDuplicateKey,
    ),
    (
        r#"{"resourceType":"Observation","id":"o"}"#,
        Code::SubjectUnknown,
    ),
    (r#"{"resourceType":"Group","id":"g"}"#, Code::FhirType),
    (
        r#"{"resourceType":"Bundle","type":"searchset"}"#,
        Code::FormatUnknown,
    ),
    (
        r#"{"resourceType":"Patient","id":"p","birthDate":"yesterday"}"#,
        Code::FhirMalformed,
    ),
];

#[test]
fn a_bad_line_is_refused_by_its_code_and_the_good_ones_beside_it_are_taken() {
    let desk = Desk::open();
    let before = desk.state();
    let take = |lines: Vec<Bytes>| {
        let (user, mut met) = (actor(Role::Admin), Met::default());
        let told = desk.node.import_lines(&user, lines, Mode::Store, &mut met);
        let told = desk.runtime.block_on(told).expect("the disk works");
        let refused = told.refused.into_iter();
        refused
            .map(|(at, error)| (at, error.code()))
            .collect::<Vec<_>>()
    };
    let lines: Vec<Bytes> = LINES
        .iter()
        .map(|(line, _)| Bytes::from_static(line.as_bytes()))
        .collect();
    let codes: Vec<(usize, Code)> = LINES.iter().map(|(_, code)| *code).enumerate().collect();

    assert_eq!(take(lines.clone()), codes);
    assert!(desk.state() == before, "refused lines change nothing");

    let good = Bytes::from_static(br#"{"resourceType":"Patient","id":"line"}"#);
    let with_good = [lines, vec![good]].concat();
    assert_eq!(take(with_good), codes);
    assert!(desk.state() != before, "the good line is in");
}
