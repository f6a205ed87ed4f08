//! The four providers of the story, and as many empty ones as were asked for.

/// A provider.
pub(super) struct Place {
    /// Name.
    pub(super) name: String,
    /// Kind, as `init` takes it.
    pub(super) kind: &'static str,
    /// Telephone for clinicians.
    pub(super) phone: String,
    /// Postal address.
    pub(super) address: String,
    /// Folder of its node.
    pub(super) folder: String,
    /// A program under 42 CFR Part 2.
    pub(super) part2: bool,
}

/// Where each of the four stands in the list.
pub(super) const MAPLE: usize = 0;
/// St. Brigid Hospital.
pub(super) const BRIGID: usize = 1;
/// Hope Recovery.
pub(super) const HOPE: usize = 2;
/// Harbor Urgent Care.
pub(super) const HARBOR: usize = 3;

/// So many providers, the four of the story first.
pub(super) fn places(count: usize) -> Vec<Place> {
    let place = |name: &str, kind, number: usize, folder: &str| Place {
        name: name.to_owned(),
        kind,
        phone: format!("+1 555 {number:04}"),
        address: format!("{number} Main Street, Millhaven, OH 44999"),
        folder: folder.to_owned(),
        part2: kind == "substance-use",
    };
    let mut all = vec![
        place("Maple Family Clinic", "clinic", 101, "maple"),
        place("St. Brigid Hospital", "hospital", 102, "brigid"),
        place("Hope Recovery", "substance-use", 103, "hope"),
        place("Harbor Urgent Care", "urgent-care", 104, "harbor"),
    ];
    for number in all.len() + 1..=count {
        let folder = format!("empty-{number}");
        all.push(place(
            &format!("Empty Clinic {number}"),
            "clinic",
            100 + number,
            &folder,
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_place_has_a_name_and_a_folder_of_its_own() {
        let all = places(7);

        let names: BTreeSet<&str> = all.iter().map(|place| place.name.as_str()).collect();
        let folders: BTreeSet<&str> = all.iter().map(|place| place.folder.as_str()).collect();

        assert_eq!((names.len(), folders.len()), (7, 7));
        assert!(all[HOPE].part2);
        assert_eq!(all.iter().filter(|place| place.part2).count(), 1);
        assert_eq!(all[HARBOR].kind, "urgent-care");
    }
}
