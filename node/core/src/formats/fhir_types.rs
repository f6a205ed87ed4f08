//! The resource types of FHIR R4 and to whom each belongs.

/// To whom a resource belongs (after the patient compartment of R4,
/// `http://hl7.org/fhir/R4/compartmentdefinition-patient.html`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belonging {
    /// It is a patient.
    Patient,
    /// To the patient this element refers to; without it, nobody knows.
    Subject(&'static str),
    /// To the patient it or its bundle is about; without one, nobody knows.
    Bundle,
    /// To the patient it or its bundle is about; without one, to everybody.
    Either,
    /// To everybody, unless it refers to a patient.
    Directory,
    /// It cannot be imported: a message, or one resource about several people.
    Refused,
}

const DIRECTORY: &[&str] = &[
    "ActivityDefinition",
    "CapabilityStatement",
    "CatalogEntry",
    "ChargeItemDefinition",
    "CodeSystem",
    "CompartmentDefinition",
    "ConceptMap",
    "DeviceDefinition",
    "EffectEvidenceSynthesis",
    "Endpoint",
    "EventDefinition",
    "Evidence",
    "EvidenceVariable",
    "ExampleScenario",
    "GraphDefinition",
    "HealthcareService",
    "ImplementationGuide",
    "InsurancePlan",
    "Library",
    "Location",
    "Measure",
    "MedicationKnowledge",
    "MedicinalProduct",
    "MedicinalProductAuthorization",
    "MedicinalProductContraindication",
    "MedicinalProductIndication",
    "MedicinalProductIngredient",
    "MedicinalProductInteraction",
    "MedicinalProductManufactured",
    "MedicinalProductPackaged",
    "MedicinalProductPharmaceutical",
    "MedicinalProductUndesirableEffect",
    "MessageDefinition",
    "NamingSystem",
    "ObservationDefinition",
    "OperationDefinition",
    "Organization",
    "OrganizationAffiliation",
    "PlanDefinition",
    "Practitioner",
    "PractitionerRole",
    "Questionnaire",
    "ResearchDefinition",
    "ResearchElementDefinition",
    "ResearchStudy",
    "RiskEvidenceSynthesis",
    "SearchParameter",
    "SpecimenDefinition",
    "StructureDefinition",
    "StructureMap",
    "SubstanceNucleicAcid",
    "SubstancePolymer",
    "SubstanceProtein",
    "SubstanceReferenceInformation",
    "SubstanceSourceMaterial",
    "SubstanceSpecification",
    "TerminologyCapabilities",
    "TestReport",
    "TestScript",
    "ValueSet",
    "VerificationResult",
];

/// To whom a resource of this type belongs; none where R4 has no such type.
pub(super) fn belonging(resource_type: &str) -> Option<Belonging> {
    Some(match resource_type {
        "Patient" => Belonging::Patient,
        "AdverseEvent"
        | "CarePlan"
        | "CareTeam"
        | "ChargeItem"
        | "ClinicalImpression"
        | "Communication"
        | "CommunicationRequest"
        | "Composition"
        | "Condition"
        | "DeviceRequest"
        | "DeviceUseStatement"
        | "DiagnosticReport"
        | "DocumentManifest"
        | "DocumentReference"
        | "Encounter"
        | "Flag"
        | "Goal"
        | "GuidanceResponse"
        | "ImagingStudy"
        | "Invoice"
        | "Media"
        | "MedicationAdministration"
        | "MedicationDispense"
        | "MedicationRequest"
        | "MedicationStatement"
        | "Observation"
        | "Procedure"
        | "QuestionnaireResponse"
        | "RequestGroup"
        | "RiskAssessment"
        | "ServiceRequest"
        | "Specimen" => Belonging::Subject("subject"),
        "AllergyIntolerance"
        | "BodyStructure"
        | "Claim"
        | "ClaimResponse"
        | "Consent"
        | "CoverageEligibilityRequest"
        | "CoverageEligibilityResponse"
        | "DetectedIssue"
        | "EpisodeOfCare"
        | "ExplanationOfBenefit"
        | "FamilyMemberHistory"
        | "Immunization"
        | "ImmunizationEvaluation"
        | "ImmunizationRecommendation"
        | "MolecularSequence"
        | "NutritionOrder"
        | "RelatedPerson"
        | "SupplyDelivery"
        | "VisionPrescription" => Belonging::Subject("patient"),
        "Coverage" => Belonging::Subject("beneficiary"),
        "EnrollmentRequest" => Belonging::Subject("candidate"),
        "ResearchSubject" => Belonging::Subject("individual"),
        "Task" => Belonging::Subject("for"),
        "Account"
        | "Appointment"
        | "AppointmentResponse"
        | "AuditEvent"
        | "Basic"
        | "Binary"
        | "Contract"
        | "EnrollmentResponse"
        | "List"
        | "MeasureReport"
        | "PaymentNotice"
        | "PaymentReconciliation"
        | "Provenance"
        | "SupplyRequest" => Belonging::Bundle,
        "BiologicallyDerivedProduct"
        | "Device"
        | "DeviceMetric"
        | "Medication"
        | "Schedule"
        | "Slot"
        | "Substance" => Belonging::Either,
        name if DIRECTORY.contains(&name) => Belonging::Directory,
        "Bundle" | "Group" | "Linkage" | "MessageHeader" | "OperationOutcome" | "Parameters"
        | "Person" | "Subscription" => Belonging::Refused,
        _ => return None,
    })
}
