//! The town, household by household, as the files its providers would hand over.

use std::collections::{BTreeMap, VecDeque};

use time::Duration;

use super::{
    chance::Chance,
    fhir,
    history::history,
    people::{Person, household},
    places::PLACES,
    registration::register,
    visits::Visit,
};

/// A file of the town: one person at one provider.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Folder and name; the number in the name is the same for one person everywhere.
    pub path: String,
    /// Number of the person, from 1.
    pub person: u64,
    /// Whether it is the person's first file.
    pub is_first: bool,
    /// Index of the provider in [`PLACES`].
    pub place: usize,
    /// FHIR R4 transaction bundle.
    pub bytes: Vec<u8>,
}

/// The town of a seed: files one after the other, household by household, so that its size costs no memory.
pub struct Town {
    seed: u64,
    people_max: u64,
    people: u64,
    households: u64,
    at_home: VecDeque<Person>,
    files: VecDeque<File>,
}

impl Town {
    /// The town of this seed with so many people. The people of a smaller town are those of a larger one.
    pub fn new(people: u64, seed: u64) -> Self {
        Self {
            seed,
            people_max: people,
            people: 0,
            households: 0,
            at_home: VecDeque::new(),
            files: VecDeque::new(),
        }
    }

    fn next_person(&mut self) -> Option<Person> {
        if self.people == self.people_max {
            return None;
        }
        while self.at_home.is_empty() {
            let mut chance = Chance::new(self.seed, &[1, self.households]);
            self.households += 1;
            self.at_home.extend(household(&mut chance));
        }
        let mut person = self.at_home.pop_front()?;
        self.people += 1;
        person.number = self.people;
        Some(person)
    }

    fn write(&mut self, person: &Person) {
        let mut chance = Chance::new(self.seed, &[2, person.number]);
        let card = format!("{}-{}", chance.digits(4), chance.digits(7));
        let card = format!("{card}-{:06}", person.number);
        let mut places: BTreeMap<usize, Vec<Visit>> = BTreeMap::new();
        for visit in history(person, &mut chance) {
            places.entry(visit.place).or_default().push(visit);
        }
        let mut is_first = true;
        for (place, visits) in places {
            let mut chance = Chance::new(self.seed, &[3, person.number, place as u64]);
            // Desks ask again at some visits only.
            let last = visits.last().map_or(person.born, |visit| visit.day);
            let first = visits.first().map_or(person.born, |visit| visit.day);
            let days = (last - first).whole_days();
            let asked = first + Duration::days(chance.between(days / 2, days));
            let registration = register(person, asked, &mut chance);
            let bytes = fhir::bundle(person, &registration, &card, place, &visits, &mut chance);
            self.files.push_back(File {
                path: format!("{}/p{:06}.json", PLACES[place].folder, person.number),
                person: person.number,
                is_first,
                place,
                bytes,
            });
            is_first = false;
        }
    }
}

impl Iterator for Town {
    type Item = File;

    fn next(&mut self) -> Option<File> {
        while self.files.is_empty() {
            let person = self.next_person()?;
            self.write(&person);
        }
        self.files.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::{
        formats,
        matching::{self, Verdict},
        records::Demographics,
    };

    fn demographics(file: &File) -> Demographics {
        let plan = formats::read(&Bytes::copy_from_slice(&file.bytes)).expect("a bundle");
        plan.patients[0].demographics.clone()
    }

    #[test]
    fn the_same_seed_makes_the_same_bytes_and_a_larger_town_holds_the_smaller() {
        let small: Vec<File> = Town::new(20, 7).collect();

        assert!(small == Town::new(20, 7).collect::<Vec<_>>());
        assert!(small != Town::new(20, 8).collect::<Vec<_>>());
        let large: Vec<File> = Town::new(40, 7).collect();
        assert!(small == large[..small.len()]);
        assert_eq!(Town::new(0, 7).count(), 0);
    }

    #[test]
    fn the_bytes_of_a_seed_stay_what_they_were() {
        let mut hash = Sha256::new();
        for file in Town::new(10, 1) {
            hash.update(&file.bytes);
        }

        let hash = data_encoding::HEXLOWER.encode(&hash.finalize());
        assert_eq!(&hash[..16], "fd9409da1522572c");
    }

    #[test]
    fn every_file_is_read_without_an_issue_and_marked_as_test_data() {
        let mut people = BTreeSet::new();

        for file in Town::new(300, 1) {
            let plan = formats::read(&Bytes::copy_from_slice(&file.bytes));
            let plan = plan.unwrap_or_else(|error| panic!("{}: {error}", file.path));
            assert!(plan.issues.is_empty(), "{}: {:?}", file.path, plan.issues);
            assert_eq!(plan.patients.len(), 1);
            assert!(plan.resources.len() > 2, "{}", file.path);
            people.insert(file.person);
            let text = String::from_utf8(file.bytes).expect("text");
            let bundle: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            for entry in bundle["entry"].as_array().expect("entries") {
                assert_eq!(entry["resource"]["meta"]["tag"][0]["code"], "HTEST");
            }
        }

        assert_eq!(people.len(), 300);
    }

    /// The town has what makes matching hard.
    #[test]
    fn the_town_has_twins_namesakes_changed_names_and_slips() {
        let mut recorded: BTreeMap<u64, Vec<Demographics>> = BTreeMap::new();
        let mut text = String::new();
        for file in Town::new(600, 1) {
            recorded
                .entry(file.person)
                .or_default()
                .push(demographics(&file));
            text.push_str(std::str::from_utf8(&file.bytes).expect("text"));
        }

        let several = recorded.values().filter(|records| records.len() > 1);
        let (mut all, mut differ, mut found) = (0, 0, 0);
        for records in several {
            all += 1;
            let names = |record: &Demographics| record.display_name();
            differ += u32::from(
                records
                    .iter()
                    .any(|record| names(record) != names(&records[0])),
            );
            let known = [(0, &records[1])];
            let verdict = matching::verdict(&records[0], &known);
            found += u32::from(matches!(verdict, Verdict::Match { .. }));
        }
        assert!(all > 300 && differ > all / 4, "{differ} of {all} differ");
        assert!(found > all / 4, "{found} of {all} are found");
        for words in [
            "\"Jr",
            "\"old\"",
            "multipleBirthBoolean\":true",
            "anaphylaxis",
        ] {
            assert!(text.contains(words), "{words}");
        }
    }

    #[test]
    fn who_must_not_take_a_medicine_is_not_given_it_by_who_knows() {
        for file in Town::new(600, 3) {
            let text = String::from_utf8(file.bytes).expect("text");
            let allergic =
                text.contains("AllergyIntolerance") && text.contains("\"text\":\"penicillin\"");
            assert!(
                !(allergic && text.contains("amoxicillin 500 mg")),
                "{}",
                file.path
            );
        }
    }
}
