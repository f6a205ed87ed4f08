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

const TABLE: &[(Belonging, &[&str])] = &[
    (Belonging::Patient, &["Patient"]),
    (
        Belonging::Subject("subject"),
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
        Belonging::Subject("patient"),
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
    (Belonging::Subject("beneficiary"), &["Coverage"]),
    (Belonging::Subject("candidate"), &["EnrollmentRequest"]),
    (Belonging::Subject("individual"), &["ResearchSubject"]),
    (Belonging::Subject("for"), &["Task"]),
    (
        Belonging::Bundle,
        &[
            "Account",
            "Appointment",
            "AppointmentResponse",
            "AuditEvent",
            "Basic",
            "Binary",
            "Contract",
            "EnrollmentResponse",
            "List",
            "MeasureReport",
            "PaymentNotice",
            "PaymentReconciliation",
            "Provenance",
            "SupplyRequest",
        ],
    ),
    (
        Belonging::Either,
        &[
            "BiologicallyDerivedProduct",
            "Device",
            "DeviceMetric",
            "Medication",
            "Schedule",
            "Slot",
            "Substance",
        ],
    ),
    (
        Belonging::Refused,
        &[
            "Bundle",
            "Group",
            "Linkage",
            "MessageHeader",
            "OperationOutcome",
            "Parameters",
            "Person",
            "Subscription",
        ],
    ),
    (
        Belonging::Directory,
        &[
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
        ],
    ),
];

/// To whom a resource of this type belongs; none where R4 has no such type.
pub(super) fn belonging(resource_type: &str) -> Option<Belonging> {
    let row = TABLE
        .iter()
        .find(|(_, names)| names.contains(&resource_type))?;
    Some(row.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_names_each_of_the_146_types_of_r4_once() {
        let names: Vec<&str> = TABLE
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        let distinct: BTreeSet<&str> = names.iter().copied().collect();

        assert_eq!(names.len(), 146);
        assert_eq!(distinct.len(), 146);
    }

    #[test]
    fn a_type_of_another_version_belongs_to_nobody() {
        assert_eq!(
            belonging("MedicationStatement"),
            Some(Belonging::Subject("subject"))
        );
        assert_eq!(belonging("MedicationUsage"), None);
        assert_eq!(belonging("observation"), None);
    }
}
