//! Where people of the town are treated.

/// A provider of the town.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of its folder.
    pub folder: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Kind, as `init --kind` takes it.
    pub kind: &'static str,
    /// System of its record numbers.
    pub system: &'static str,
}

/// The family doctors, whom most people see.
pub(super) const FAMILY: usize = 0;
/// Internal medicine, for adults who do not go to the family doctors.
pub(super) const INTERNAL: usize = 1;
/// Children's doctors.
pub(super) const CHILDREN: usize = 2;
/// The hospital.
pub(super) const HOSPITAL: usize = 3;
/// Urgent care.
pub(super) const URGENT: usize = 4;
/// Heart specialists.
pub(super) const HEART: usize = 5;
/// The pharmacy.
pub(super) const PHARMACY: usize = 6;

/// Every provider of the town.
pub const PLACES: [Place; 7] = [
    Place {
        folder: "maple-family-clinic",
        name: "Maple Family Clinic",
        kind: "clinic",
        system: "https://maple.example/mrn",
    },
    Place {
        folder: "riverside-internal-medicine",
        name: "Riverside Internal Medicine",
        kind: "clinic",
        system: "https://riverside.example/mrn",
    },
    Place {
        folder: "cedar-pediatrics",
        name: "Cedar Pediatrics",
        kind: "clinic",
        system: "https://cedar.example/mrn",
    },
    Place {
        folder: "st-brigid-hospital",
        name: "St. Brigid Hospital",
        kind: "hospital",
        system: "https://brigid.example/mrn",
    },
    Place {
        folder: "harbor-urgent-care",
        name: "Harbor Urgent Care",
        kind: "urgent-care",
        system: "https://harbor.example/mrn",
    },
    Place {
        folder: "northside-cardiology",
        name: "Northside Cardiology",
        kind: "clinic",
        system: "https://northside.example/mrn",
    },
    Place {
        folder: "willow-pharmacy",
        name: "Willow Pharmacy",
        kind: "pharmacy",
        system: "https://willow.example/mrn",
    },
];
