//! What people of the town have, take, and are vaccinated with.
//!
//! Codes: ICD-10-CM (CDC, 2026), RxNorm ingredients (NLM), LOINC (Regenstrief), CVX (CDC).

use super::people::Sex;

/// A medicine.
pub(super) struct Drug {
    pub(super) rxnorm: &'static str,
    pub(super) name: &'static str,
    pub(super) directions: &'static str,
}

/// Something measured again and again.
pub(super) struct Measure {
    pub(super) loinc: &'static str,
    pub(super) name: &'static str,
    /// UCUM.
    pub(super) unit: &'static str,
    /// In tenths of the unit: at first, its change in a year, and how much it wavers.
    pub(super) first: i64,
    pub(super) yearly: i64,
    pub(super) wavers: i64,
    /// In tenths: never beyond.
    pub(super) least: i64,
    pub(super) most: i64,
}

/// An illness that stays.
pub(super) struct Illness {
    pub(super) icd: &'static str,
    pub(super) name: &'static str,
    /// From which age, and how many of a thousand so old.
    pub(super) from_age: i64,
    pub(super) permille: u64,
    pub(super) sex: Option<Sex>,
    pub(super) drug: Option<&'static Drug>,
    pub(super) measure: Option<&'static Measure>,
    /// Whether heart specialists look after it.
    pub(super) of_the_heart: bool,
}

/// An illness that passes, and what is given for it.
pub(super) struct Passing {
    pub(super) icd: &'static str,
    pub(super) name: &'static str,
    pub(super) ages: (i64, i64),
    pub(super) drug: Option<&'static Drug>,
    /// For who must not take the first.
    pub(super) instead: Option<&'static Drug>,
    pub(super) kind: Treated,
}

/// Where a passing illness is treated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Treated {
    /// By the usual doctor.
    AtTheDoctors,
    /// In urgent care.
    Urgently,
    /// As an inpatient.
    InHospital,
}

/// An allergy.
pub(super) struct Allergy {
    /// RxNorm where it is to a medicine.
    pub(super) rxnorm: Option<&'static str>,
    pub(super) name: &'static str,
    pub(super) category: &'static str,
    pub(super) reaction: &'static str,
    /// FHIR `AllergyIntolerance.criticality`.
    pub(super) criticality: &'static str,
    /// Medicines it forbids, by RxNorm.
    pub(super) forbids: &'static [&'static str],
}

/// A vaccine.
pub(super) struct Vaccine {
    pub(super) cvx: &'static str,
    pub(super) name: &'static str,
    /// Ages in months at which it is due.
    pub(super) months: &'static [i64],
}

const fn drug(rxnorm: &'static str, name: &'static str, directions: &'static str) -> Drug {
    Drug {
        rxnorm,
        name,
        directions,
    }
}

static METFORMIN: Drug = drug(
    "6809",
    "metformin 500 mg",
    "1 tablet twice a day with meals",
);
static LISINOPRIL: Drug = drug("29046", "lisinopril 10 mg", "1 tablet a day");
static ATORVASTATIN: Drug = drug("83367", "atorvastatin 20 mg", "1 tablet in the evening");
pub(super) static WARFARIN: Drug = drug("11289", "warfarin 5 mg", "as the INR asks for");
static ALBUTEROL: Drug = drug(
    "435",
    "albuterol 90 mcg inhaler",
    "2 puffs when short of breath",
);
static SERTRALINE: Drug = drug("36437", "sertraline 50 mg", "1 tablet in the morning");
static LEVOTHYROXINE: Drug = drug("10582", "levothyroxine 75 mcg", "1 tablet before breakfast");
static OMEPRAZOLE: Drug = drug("7646", "omeprazole 20 mg", "1 capsule before breakfast");
static METOPROLOL: Drug = drug("6918", "metoprolol 25 mg", "1 tablet twice a day");
static TIOTROPIUM: Drug = drug("69120", "tiotropium 18 mcg", "1 inhalation a day");
static SUMATRIPTAN: Drug = drug("37418", "sumatriptan 50 mg", "1 tablet at the onset");
static ALENDRONATE: Drug = drug("46041", "alendronate 70 mg", "1 tablet a week, sitting up");
static AMOXICILLIN: Drug = drug(
    "723",
    "amoxicillin 500 mg",
    "1 capsule three times a day for 7 days",
);
static AZITHROMYCIN: Drug = drug(
    "18631",
    "azithromycin 250 mg",
    "2 tablets, then 1 a day for 4 days",
);
static NITROFURANTOIN: Drug = drug(
    "7454",
    "nitrofurantoin 100 mg",
    "1 capsule twice a day for 5 days",
);
static IBUPROFEN: Drug = drug(
    "5640",
    "ibuprofen 400 mg",
    "1 tablet up to three times a day",
);
static ACETAMINOPHEN: Drug = drug(
    "161",
    "acetaminophen 500 mg",
    "1 to 2 tablets up to three times a day",
);

const fn measure(
    loinc: &'static str,
    name: &'static str,
    unit: &'static str,
    trend: (i64, i64, i64),
    ends: (i64, i64),
) -> Measure {
    Measure {
        loinc,
        name,
        unit,
        first: trend.0,
        yearly: trend.1,
        wavers: trend.2,
        least: ends.0,
        most: ends.1,
    }
}

static A1C: Measure = measure("4548-4", "Hemoglobin A1c", "%", (84, -3, 5), (58, 120));
static LDL: Measure = measure(
    "2089-1",
    "LDL cholesterol",
    "mg/dL",
    (1_620, -110, 90),
    (620, 2_100),
);
static INR: Measure = measure("6301-6", "INR", "{INR}", (24, 1, 5), (15, 42));
static EGFR: Measure = measure(
    "98979-8",
    "eGFR (CKD-EPI 2021)",
    "mL/min/{1.73_m2}",
    (540, -28, 20),
    (180, 590),
);
static TSH: Measure = measure("3016-3", "Thyrotropin", "m[IU]/L", (62, -10, 9), (8, 110));
static PHQ9: Measure = measure(
    "44261-6",
    "PHQ-9 total score",
    "{score}",
    (140, -30, 20),
    (0, 270),
);

/// Illnesses that stay.
pub(super) static ILLNESSES: &[Illness] = &[
    illness(
        "E11.9",
        "Type 2 diabetes mellitus without complications",
        (40, 150),
        Some(&METFORMIN),
        Some(&A1C),
    ),
    illness(
        "I10",
        "Essential hypertension",
        (38, 380),
        Some(&LISINOPRIL),
        None,
    ),
    illness(
        "E78.5",
        "Hyperlipidemia, unspecified",
        (40, 330),
        Some(&ATORVASTATIN),
        Some(&LDL),
    ),
    Illness {
        of_the_heart: true,
        ..illness(
            "I48.91",
            "Unspecified atrial fibrillation",
            (62, 110),
            Some(&WARFARIN),
            Some(&INR),
        )
    },
    Illness {
        of_the_heart: true,
        ..illness(
            "I25.10",
            "Coronary artery disease of native artery",
            (55, 120),
            Some(&METOPROLOL),
            None,
        )
    },
    illness(
        "N18.30",
        "Chronic kidney disease, stage 3",
        (60, 130),
        None,
        Some(&EGFR),
    ),
    illness(
        "J45.909",
        "Asthma, uncomplicated",
        (4, 90),
        Some(&ALBUTEROL),
        None,
    ),
    illness(
        "J44.9",
        "Chronic obstructive pulmonary disease",
        (55, 90),
        Some(&TIOTROPIUM),
        None,
    ),
    illness(
        "F32.A",
        "Depression, unspecified",
        (16, 110),
        Some(&SERTRALINE),
        Some(&PHQ9),
    ),
    illness(
        "E03.9",
        "Hypothyroidism, unspecified",
        (30, 70),
        Some(&LEVOTHYROXINE),
        Some(&TSH),
    ),
    illness(
        "K21.9",
        "Gastro-esophageal reflux disease",
        (30, 140),
        Some(&OMEPRAZOLE),
        None,
    ),
    illness(
        "M17.9",
        "Osteoarthritis of knee",
        (52, 190),
        Some(&ACETAMINOPHEN),
        None,
    ),
    illness("G43.909", "Migraine", (14, 80), Some(&SUMATRIPTAN), None),
    Illness {
        sex: Some(Sex::Female),
        ..illness(
            "M81.0",
            "Age-related osteoporosis",
            (62, 160),
            Some(&ALENDRONATE),
            None,
        )
    },
];

const fn illness(
    icd: &'static str,
    name: &'static str,
    (from_age, permille): (i64, u64),
    drug: Option<&'static Drug>,
    measure: Option<&'static Measure>,
) -> Illness {
    Illness {
        icd,
        name,
        from_age,
        permille,
        sex: None,
        drug,
        measure,
        of_the_heart: false,
    }
}

const fn passing(
    icd: &'static str,
    name: &'static str,
    ages: (i64, i64),
    drugs: (Option<&'static Drug>, Option<&'static Drug>),
    kind: Treated,
) -> Passing {
    Passing {
        icd,
        name,
        ages,
        drug: drugs.0,
        instead: drugs.1,
        kind,
    }
}

/// Illnesses that pass.
pub(super) static PASSING: &[Passing] = &[
    passing(
        "J02.9",
        "Acute pharyngitis",
        (3, 60),
        (Some(&AMOXICILLIN), Some(&AZITHROMYCIN)),
        Treated::AtTheDoctors,
    ),
    passing(
        "H66.90",
        "Otitis media",
        (1, 9),
        (Some(&AMOXICILLIN), Some(&AZITHROMYCIN)),
        Treated::AtTheDoctors,
    ),
    passing(
        "J06.9",
        "Acute upper respiratory infection",
        (0, 99),
        (None, None),
        Treated::AtTheDoctors,
    ),
    passing(
        "M54.50",
        "Low back pain",
        (18, 90),
        (Some(&IBUPROFEN), Some(&ACETAMINOPHEN)),
        Treated::AtTheDoctors,
    ),
    passing(
        "L30.9",
        "Dermatitis",
        (0, 99),
        (None, None),
        Treated::AtTheDoctors,
    ),
    passing(
        "N39.0",
        "Urinary tract infection",
        (16, 99),
        (Some(&NITROFURANTOIN), None),
        Treated::Urgently,
    ),
    passing(
        "S93.401A",
        "Sprain of right ankle",
        (6, 70),
        (Some(&IBUPROFEN), Some(&ACETAMINOPHEN)),
        Treated::Urgently,
    ),
    passing(
        "S61.459A",
        "Open bite of hand",
        (4, 80),
        (None, None),
        Treated::Urgently,
    ),
    passing(
        "S52.501A",
        "Fracture of lower end of right radius",
        (5, 90),
        (Some(&ACETAMINOPHEN), None),
        Treated::InHospital,
    ),
    passing(
        "J18.9",
        "Pneumonia",
        (45, 99),
        (Some(&AMOXICILLIN), Some(&AZITHROMYCIN)),
        Treated::InHospital,
    ),
    passing(
        "I63.9",
        "Cerebral infarction",
        (66, 99),
        (None, None),
        Treated::InHospital,
    ),
];

/// Allergies.
pub(super) static ALLERGIES: &[Allergy] = &[
    allergy(
        Some("7980"),
        "penicillin",
        "medication",
        ("anaphylaxis", "high"),
        &["723"],
    ),
    allergy(
        Some("723"),
        "amoxicillin",
        "medication",
        ("hives", "low"),
        &["723"],
    ),
    allergy(
        Some("10180"),
        "sulfamethoxazole",
        "medication",
        ("rash", "low"),
        &[],
    ),
    allergy(
        Some("5640"),
        "ibuprofen",
        "medication",
        ("wheezing", "high"),
        &["5640"],
    ),
    allergy(
        Some("2670"),
        "codeine",
        "medication",
        ("nausea", "low"),
        &[],
    ),
    allergy(None, "peanut", "food", ("anaphylaxis", "high"), &[]),
    allergy(
        None,
        "shellfish",
        "food",
        ("swelling of the lips", "high"),
        &[],
    ),
    allergy(None, "latex", "environment", ("contact rash", "low"), &[]),
    allergy(None, "bee venom", "environment", ("hives", "high"), &[]),
];

const fn allergy(
    rxnorm: Option<&'static str>,
    name: &'static str,
    category: &'static str,
    (reaction, criticality): (&'static str, &'static str),
    forbids: &'static [&'static str],
) -> Allergy {
    Allergy {
        rxnorm,
        name,
        category,
        reaction,
        criticality,
        forbids,
    }
}

/// Vaccines of childhood and later, by age.
pub(super) static VACCINES: &[Vaccine] = &[
    vaccine("08", "Hepatitis B, pediatric", &[0, 2, 6]),
    vaccine("20", "DTaP", &[2, 4, 6, 15, 50]),
    vaccine("10", "Polio, inactivated", &[2, 4, 6, 50]),
    vaccine("03", "MMR", &[12, 50]),
    vaccine("21", "Varicella", &[12, 50]),
    vaccine("115", "Tdap", &[132, 252, 372, 492, 612, 732]),
    vaccine("165", "HPV, nonavalent", &[133, 139]),
    vaccine("187", "Zoster, recombinant", &[601, 605]),
    vaccine("33", "Pneumococcal polysaccharide", &[781]),
];

/// Given every autumn to who wants it.
pub(super) static INFLUENZA: Vaccine =
    vaccine("150", "Influenza, injectable, preservative free", &[]);

const fn vaccine(cvx: &'static str, name: &'static str, months: &'static [i64]) -> Vaccine {
    Vaccine { cvx, name, months }
}
