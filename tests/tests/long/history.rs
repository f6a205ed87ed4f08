//! A history: what is done to a network, drawn from a seed before any of it happens.
//!
//! An operation names its objects by numbers that are taken modulo what there is when its turn comes, so
//! that a history from which some were dropped is a history too.

use std::collections::BTreeSet;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use chartmesh_core::{crypto::sha256, membership::Template, types::Kind};

/// What one operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    Admit,
    BadTicket,
    Import,
    OddImport,
    AddPatient,
    AddDocument,
    Grant,
    Deny,
    OptOut,
    OptIn,
    OddConsent,
    Revoke,
    Locate,
    List,
    Fetch,
    /// Locate, then a grant for who asks, then a fetch.
    Visit,
    /// A fetch, and a revocation of what permits it at the same time, at a holder whose disk is slow.
    Race,
    Members,
    /// Everybody is asked at once who was thrown out.
    Gossip,
    Greet,
    /// A member is thrown out, perhaps while it fetches.
    Expel,
    Amend,
    Charters,
    /// Hours in which nobody does anything.
    Night,
    /// Days in which nobody does anything.
    Week,
    /// A member goes over to another node key.
    Rekey,
    /// An authority signs what waits for it.
    Cosign,
    /// An administrator decides between two charters.
    Adopt,
    /// Recovery keys replace the authorities.
    Recover,
    Refresh,
    Look,
    Count,
    // ---- what goes wrong
    Crash,
    CrashInWrite,
    CrashAtKey,
    DiskFails,
    DiskFull,
    Restart,
    Clock,
    Cut,
    CutOneWay,
    Heal,
    Latency,
    Noise,
    /// Messages of one sort are spoiled, and one is sent.
    Spoil,
    /// A disk goes bad in the middle of a join.
    JoinTrouble,
    // ---- who lies
    Replay,
    ReplayElsewhere,
    /// Every captured question to a node at once.
    Burst,
    ForeignHandle,
    ForeignDocument,
    WrongBytes,
    /// Authorities sign two charters of one number.
    Fork,
}

/// How often each comes, in parts of their sum.
const WEIGHTS: [(Act, u32); 47] = [
    (Act::Admit, 40),
    (Act::BadTicket, 18),
    (Act::Import, 70),
    (Act::OddImport, 15),
    (Act::AddPatient, 18),
    (Act::AddDocument, 35),
    (Act::Grant, 70),
    (Act::Deny, 20),
    (Act::OptOut, 20),
    (Act::OptIn, 10),
    (Act::OddConsent, 6),
    (Act::Revoke, 45),
    (Act::Locate, 150),
    (Act::List, 70),
    (Act::Fetch, 120),
    (Act::Visit, 80),
    (Act::Race, 60),
    (Act::Members, 60),
    (Act::Gossip, 16),
    (Act::Expel, 16),
    (Act::Amend, 8),
    (Act::Charters, 12),
    (Act::Night, 8),
    (Act::Greet, 12),
    (Act::Refresh, 10),
    (Act::Look, 12),
    (Act::Count, 6),
    (Act::Crash, 14),
    (Act::CrashInWrite, 14),
    (Act::CrashAtKey, 8),
    (Act::DiskFails, 14),
    (Act::DiskFull, 14),
    (Act::Restart, 40),
    (Act::Clock, 12),
    (Act::Cut, 8),
    (Act::CutOneWay, 8),
    (Act::Heal, 16),
    (Act::Latency, 10),
    (Act::Noise, 26),
    (Act::Spoil, 30),
    (Act::JoinTrouble, 20),
    (Act::Replay, 40),
    (Act::Burst, 20),
    (Act::ReplayElsewhere, 14),
    (Act::ForeignHandle, 16),
    (Act::ForeignDocument, 14),
    (Act::WrongBytes, 5),
];

/// The same for what is done to keys and charters, in histories in which that is done.
const GOVERNING: [(Act, u32); 8] = [
    (Act::Rekey, 30),
    (Act::Week, 3),
    (Act::Cosign, 20),
    (Act::Amend, 10),
    (Act::Expel, 6),
    (Act::Fork, 5),
    (Act::Adopt, 8),
    (Act::Recover, 4),
];
/// Authorities of a network that has several.
const AUTHORITIES: usize = 3;
/// One operation of so many is one of these.
const GOVERNING_EVERY: u32 = 8;
/// The histories of these seeds are the ones that the table of planted defects names.
const UNGOVERNED_SEEDS_MAX: u64 = 12;

impl Act {
    /// Whether it makes something go wrong, or lies.
    pub(crate) fn is_fault(self) -> bool {
        self >= Self::Crash
    }
}

/// One operation.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    /// Milliseconds after the one before.
    pub(crate) after_ms: u64,
    pub(crate) act: Act,
    pub(crate) numbers: [u32; 6],
}

/// What sort of network it happens to.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) template: Template,
    pub(crate) locates_per_day: u32,
    /// Whether keys and charters change.
    pub(crate) is_governed: bool,
    /// The first nodes are authorities; where there are several, more than half of them must sign.
    pub(crate) authorities: usize,
    /// How long trust lasts.
    pub(crate) staleness_hours: u64,
    /// How long a sync takes at each node.
    pub(crate) syncs_ms: Vec<u64>,
    /// The model overlooks revocations: a run must then say that it differs.
    pub(crate) is_misled: bool,
}

/// A history and where it happens.
#[derive(Clone)]
pub(crate) struct History {
    pub(crate) setting: Setting,
    pub(crate) operations: Vec<Operation>,
    /// Numbers of the operations that are carried out.
    pub(crate) kept: BTreeSet<usize>,
}

/// Operations of one history.
pub(crate) const OPERATIONS: usize = 260;

/// Before that there is hardly a network.
const GOVERNED_FROM: usize = 20;

/// Dice of one part of a simulation.
pub(crate) fn dice(seed: u64, what: &str) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(sha256(&[what.as_bytes(), &seed.to_be_bytes()]))
}

/// A number below another.
pub(crate) fn below(dice: &mut ChaCha20Rng, limit: u32) -> u32 {
    dice.next_u32() % limit.max(1)
}

impl History {
    /// Draws a history.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut dice = dice(seed, "history");
        let kinds = [
            Kind::Hospital,
            Kind::UrgentCare,
            Kind::Clinic,
            Kind::BehavioralHealth,
            Kind::SubstanceUse,
            Kind::Payer,
            Kind::Pharmacy,
        ];
        let nodes = 3 + below(&mut dice, 7);
        let mut drawn = vec![Kind::Clinic, Kind::Hospital];
        while drawn.len() < nodes as usize {
            drawn.push(kinds[below(&mut dice, kinds.len() as u32) as usize]);
        }
        // Nothing goes wrong and nobody lies in one of five, so that every answer is foreseen exactly.
        let is_calm = below(&mut dice, 5) == 0;
        let slow = [1, 3, 3, 20, 60, 150];
        let syncs_ms = (0..drawn.len())
            .map(|_| slow[below(&mut dice, slow.len() as u32) as usize])
            .collect();
        let is_governed = seed > UNGOVERNED_SEEDS_MAX;
        let mut governing = self::dice(seed, "governing");
        let has_several = is_governed && drawn.len() >= 4 && below(&mut governing, 5) < 3;
        let setting = Setting {
            is_governed,
            authorities: if has_several { AUTHORITIES } else { 1 },
            syncs_ms,
            seed,
            kinds: drawn,
            template: if below(&mut dice, 2) == 0 {
                Template::OptIn
            } else {
                Template::UsTreatment
            },
            locates_per_day: if below(&mut dice, 6) == 0 { 4 } else { 5_000 },
            staleness_hours: [4, 12, 72][below(&mut dice, 3) as usize],
            is_misled: false,
        };
        let mut operations: Vec<Operation> = (0..OPERATIONS)
            .map(|index| operation(&mut dice, index, is_calm))
            .collect();
        if is_governed {
            govern(&mut operations, &mut governing, is_calm);
        }
        let kept = (0..operations.len()).collect();
        Self {
            setting,
            operations,
            kept,
        }
    }
}

/// Puts in the place of some operations what is done to keys and charters.
fn govern(operations: &mut [Operation], dice: &mut ChaCha20Rng, is_calm: bool) {
    for operation in operations.iter_mut().skip(GOVERNED_FROM) {
        let act = drawn(dice, &GOVERNING);
        let is_drawn = below(dice, GOVERNING_EVERY) == 0;
        if is_drawn && operation.act != Act::Admit && !(is_calm && act.is_fault()) {
            operation.act = act;
        }
    }
}

fn operation(dice: &mut ChaCha20Rng, index: usize, is_calm: bool) -> Operation {
    let act = loop {
        let drawn = drawn(dice, &WEIGHTS);
        let early = index < 24;
        let fits = if early {
            !drawn.is_fault()
        } else {
            !(is_calm && drawn.is_fault())
        };
        if fits {
            break drawn;
        }
    };
    // First there must be somebody in the network, though not everybody at once.
    let act = match index {
        0..16 if index % 4 == 0 => Act::Admit,
        0..16 if index % 4 == 2 => Act::Import,
        16..40 if index % 6 == 0 => Act::Admit,
        _ => act,
    };
    let after_ms = match below(dice, 20) {
        0..=9 => u64::from(below(dice, 300)),
        10..=16 => u64::from(below(dice, 12_000)),
        17 | 18 => u64::from(below(dice, 90_000)),
        _ => u64::from(below(dice, 600_000)),
    };
    // Joins take a few messages each.
    let after_ms = if index < 16 {
        after_ms.max(2_000)
    } else {
        after_ms
    };
    let numbers = std::array::from_fn(|_| dice.next_u32());
    Operation {
        after_ms,
        act,
        numbers,
    }
}

fn drawn(dice: &mut ChaCha20Rng, weights: &[(Act, u32)]) -> Act {
    let sum = weights.iter().map(|(_, weight)| weight).sum();
    let mut left = below(dice, sum);
    for (act, weight) in weights {
        if left < *weight {
            return *act;
        }
        left -= weight;
    }
    Act::Look
}
