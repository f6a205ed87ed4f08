//! What happened to somebody: illnesses that stay and pass, births, vaccines, over several providers.
//!
//! Coherent: who is allergic to penicillin is not given amoxicillin by whoever knows, who takes warfarin
//! gets no ibuprofen, numbers follow a trend, a birth is in the mother's record and in the child's.

use time::{Date, Duration};

use super::{
    chance::Chance,
    illness::{
        ALLERGIES, Allergy, Drug, ILLNESSES, INFLUENZA, Illness, Measure, PASSING, Passing,
        Treated, VACCINES, WARFARIN,
    },
    people::{Person, Sex, TODAY},
    places::{CHILDREN, FAMILY, HEART, HOSPITAL, INTERNAL, PHARMACY, URGENT},
    visits::{Fact, Kind, Stays, Visit},
};

/// Years of paper that were never typed in.
const YEARS_BACK: i64 = 8;
const YEAR_DAYS: i64 = 365;
const ADULT: i64 = 18;

/// Every visit of somebody, by day.
pub(super) fn history(person: &Person, chance: &mut Chance) -> Vec<Visit> {
    let mut story = Story {
        person,
        usual: if chance.happens(650) {
            FAMILY
        } else {
            INTERNAL
        },
        begins: TODAY - Duration::days(YEARS_BACK * YEAR_DAYS),
        allergy: None,
        takes: Vec::new(),
        visits: Vec::new(),
    };
    story.allergy(chance);
    story.births(chance);
    story.vaccines(chance);
    for illness in ILLNESSES {
        story.lasting(illness, chance);
    }
    story.passing(chance);
    if story.visits.is_empty() {
        story.check_up(story.person.last_day(), chance);
    }
    story.visits.sort_by_key(|visit| (visit.day, visit.place));
    story.visits
}

struct Story<'a> {
    person: &'a Person,
    /// The doctor of an adult.
    usual: usize,
    begins: Date,
    allergy: Option<(&'static Allergy, Date)>,
    takes: Vec<&'static Drug>,
    visits: Vec<Visit>,
}

impl Story<'_> {
    /// Whom they go to on a day.
    fn doctor(&self, on: Date) -> usize {
        if self.person.age(on) < ADULT {
            CHILDREN
        } else {
            self.usual
        }
    }

    /// A day of the years that are typed in, while they lived.
    fn a_day(&self, chance: &mut Chance) -> Date {
        let first = self.begins.max(self.person.born + Duration::days(1));
        let days = (self.person.last_day() - first).whole_days();
        first + Duration::days(chance.between(0, days))
    }

    fn visit(&mut self, day: Date, place: usize, kind: Kind, reason: &'static str) -> &mut Visit {
        self.visits.push(Visit {
            day,
            until: day,
            place,
            kind,
            reason,
            facts: Vec::new(),
        });
        let last = self.visits.len() - 1;
        &mut self.visits[last]
    }

    fn allergy(&mut self, chance: &mut Chance) {
        if !chance.happens(160) {
            return;
        }
        let allergy = chance.pick(ALLERGIES);
        let day = self.a_day(chance);
        self.allergy = Some((allergy, day));
        let (place, kind) = if allergy.criticality == "high" {
            (HOSPITAL, Kind::Urgent)
        } else {
            (self.doctor(day), Kind::Office)
        };
        let visit = self.visit(day, place, kind, "Allergic reaction");
        visit.facts.push(Fact::Allergic {
            to: allergy,
            since: day,
        });
        // The usual doctor hears of it at times; the record of another provider is where it stands.
        if chance.happens(500) {
            let later = (day + Duration::days(chance.between(10, 90))).min(self.person.last_day());
            let place = self.doctor(later);
            let visit = self.visit(
                later,
                place,
                Kind::Office,
                "Follow-up of an allergic reaction",
            );
            visit.facts.push(Fact::Allergic {
                to: allergy,
                since: day,
            });
        }
    }

    fn births(&mut self, chance: &mut Chance) {
        for day in self.person.births.clone() {
            let stay = Duration::days(chance.between(1, 3));
            let over = (day + stay).min(TODAY);
            let visit = self.visit(day, HOSPITAL, Kind::Inpatient, "Childbirth");
            visit.until = over;
            visit.facts.push(Fact::Condition {
                icd: "O80",
                name: "Full-term uncomplicated delivery",
                since: day,
                over: Some(over),
            });
        }
        if self.person.age(TODAY) < ADULT {
            let weight = chance.between(27, 41);
            let height = chance.between(470, 540);
            let visit = self.visit(self.person.born, HOSPITAL, Kind::Inpatient, "Newborn");
            visit.facts.push(Fact::Size { weight, height });
        }
    }

    fn vaccines(&mut self, chance: &mut Chance) {
        if chance.happens(40) {
            return;
        }
        for vaccine in VACCINES {
            for months in vaccine.months {
                let due = self.person.born + Duration::days(months * 61 / 2);
                let day = due + Duration::days(chance.between(0, 40));
                if day < self.begins || day > self.person.last_day() {
                    continue;
                }
                let place = self.doctor(day);
                let visit = self.visit(day, place, Kind::Office, "Immunization");
                visit.facts.push(Fact::Vaccinated { vaccine });
            }
        }
        if !chance.happens(450) {
            return;
        }
        for years in 0..YEARS_BACK {
            let autumn = TODAY - Duration::days(years * YEAR_DAYS + chance.between(5, 50));
            if chance.happens(700) && autumn > self.person.born && autumn < self.person.last_day() {
                let visit = self.visit(autumn, PHARMACY, Kind::Counter, "Influenza vaccination");
                let vaccine = &INFLUENZA;
                visit.facts.push(Fact::Vaccinated { vaccine });
            }
        }
    }

    fn lasting(&mut self, illness: &'static Illness, chance: &mut Chance) {
        let age = self.person.age(self.person.last_day());
        let of_sex = illness.sex.is_none_or(|sex| sex == self.person.sex);
        if age < illness.from_age || !of_sex || !chance.happens(illness.permille) {
            return;
        }
        let oldest = self.person.born + Duration::days(illness.from_age * YEAR_DAYS);
        let years = (self.person.last_day() - oldest).whole_days();
        let since = oldest + Duration::days(chance.between(0, years));
        let first = since.max(self.begins);
        let drug = illness.drug.filter(|drug| self.may_take(drug));
        self.takes.extend(drug);
        let mut day = first;
        let mut number = 0;
        while day <= self.person.last_day() {
            let place = match (illness.of_the_heart, number % 2) {
                (true, 1) => HEART,
                _ => self.doctor(day),
            };
            let tenths = illness
                .measure
                .map(|measure| (measure, at(measure, day - since, chance)));
            let facts = self.vitals(day, chance);
            let reason = if number == 0 {
                "New complaint"
            } else {
                "Follow-up"
            };
            let visit = self.visit(day, place, Kind::Office, reason);
            visit.facts.extend(facts);
            visit
                .facts
                .extend(tenths.map(|(measure, tenths)| Fact::Measured { measure, tenths }));
            if number < 2 {
                visit.facts.push(Fact::Condition {
                    icd: illness.icd,
                    name: illness.name,
                    since,
                    over: None,
                });
                visit.facts.extend(drug.map(|drug| Fact::Prescribed {
                    drug,
                    stays: Stays::ForGood,
                }));
            }
            if let Some(drug) = drug {
                self.dispense(drug, day, chance);
            }
            number += 1;
            day += Duration::days(chance.between(150, 420));
        }
    }

    fn may_take(&self, drug: &Drug) -> bool {
        let allergic = self
            .allergy
            .is_some_and(|(allergy, _)| allergy.forbids.contains(&drug.rxnorm));
        let bleeds = drug.rxnorm == "5640"
            && self
                .takes
                .iter()
                .any(|taken| taken.rxnorm == WARFARIN.rxnorm);
        !allergic && !bleeds
    }

    fn dispense(&mut self, drug: &'static Drug, day: Date, chance: &mut Chance) {
        let later = day + Duration::days(chance.between(0, 2));
        if chance.happens(600) && later <= self.person.last_day() {
            let visit = self.visit(later, PHARMACY, Kind::Counter, "Prescription");
            visit.facts.push(Fact::Dispensed { drug });
        }
    }

    fn passing(&mut self, chance: &mut Chance) {
        for _ in 0..chance.between(0, 5) {
            let day = self.a_day(chance);
            let illness: &'static Passing = chance.pick(PASSING);
            let age = self.person.age(day);
            let (from, to) = illness.ages;
            // Half of what would be treated in a bed never happens.
            let spared = illness.kind == Treated::InHospital && chance.happens(500);
            if age < from || age > to || spared {
                continue;
            }
            let (place, kind, days) = match illness.kind {
                Treated::AtTheDoctors => (self.doctor(day), Kind::Office, chance.between(5, 20)),
                Treated::Urgently => (URGENT, Kind::Urgent, chance.between(5, 30)),
                Treated::InHospital => (HOSPITAL, Kind::Inpatient, chance.between(1, 6)),
            };
            let over = (day + Duration::days(days)).min(self.person.last_day());
            let choices = [illness.drug, illness.instead];
            let mut fitting = choices
                .into_iter()
                .flatten()
                .filter(|drug| self.may_take(drug));
            let drug = fitting.next();
            let facts = self.vitals(day, chance);
            let visit = self.visit(day, place, kind, illness.name);
            if kind == Kind::Inpatient {
                visit.until = over;
            }
            visit.facts.extend(facts);
            visit.facts.push(Fact::Condition {
                icd: illness.icd,
                name: illness.name,
                since: day,
                over: Some(over),
            });
            visit.facts.extend(drug.map(|drug| Fact::Prescribed {
                drug,
                stays: Stays::ForAWhile,
            }));
            if let Some(drug) = drug {
                self.dispense(drug, over, chance);
            }
        }
        for _ in 0..chance.between(0, 3) {
            let day = self.a_day(chance);
            self.check_up(day, chance);
        }
    }

    fn check_up(&mut self, day: Date, chance: &mut Chance) {
        let place = self.doctor(day);
        let facts = self.vitals(day, chance);
        let visit = self.visit(day, place, Kind::Office, "Check-up");
        visit.facts.extend(facts);
    }

    /// What is measured at every visit.
    fn vitals(&self, day: Date, chance: &mut Chance) -> Vec<Fact> {
        let age = self.person.age(day);
        let tall = i64::try_from(self.person.number % 150).unwrap_or(0);
        let grown = match self.person.sex {
            Sex::Female => 1_560 + tall,
            Sex::Male => 1_690 + tall,
        };
        let height = if age < ADULT {
            560 + (grown - 560) * age / ADULT
        } else {
            grown
        };
        // Near a body mass index of 17 for a child, 26 for an adult.
        let index = if age < ADULT { 17 } else { 26 };
        let weight = height * height * index / 100_000 + chance.between(-25, 25);
        let mut facts = vec![Fact::Size { weight, height }];
        if age >= ADULT {
            facts.push(Fact::Pressure {
                systolic: 108 + age / 3 + chance.between(-8, 14),
                diastolic: 68 + chance.between(-6, 16),
            });
        }
        facts
    }
}

/// A value on its trend, in tenths.
fn at(measure: &Measure, after: Duration, chance: &mut Chance) -> i64 {
    let trend = measure.first + measure.yearly * after.whole_days() / YEAR_DAYS;
    let wavers = chance.between(-measure.wavers, measure.wavers);
    trend.clamp(
        measure.least + measure.wavers,
        measure.most - measure.wavers,
    ) + wavers
}
