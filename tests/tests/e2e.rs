//! Real daemons, driven by the command line only, as an administrator or a script would.
//!
//! What can be shown in the simulation is shown there; here stands what only processes, sockets and a
//! disk can show. Every node listens on a free port of loopback and lives in a temporary directory.

#[path = "e2e/attack.rs"]
mod attack;
#[path = "e2e/backup.rs"]
mod backup;
#[path = "e2e/canary.rs"]
mod canary;
#[path = "e2e/clock.rs"]
mod clock;
#[path = "e2e/consent.rs"]
mod consent;
#[path = "e2e/cosign.rs"]
mod cosign;
#[path = "e2e/damage.rs"]
mod damage;
#[path = "e2e/demo.rs"]
mod demo;
#[path = "e2e/disk.rs"]
mod disk;
#[path = "e2e/identity.rs"]
mod identity;
#[path = "e2e/import.rs"]
mod import;
#[path = "e2e/internet.rs"]
mod internet;
#[path = "e2e/join.rs"]
mod join;
#[path = "e2e/locate.rs"]
mod locate;
#[path = "e2e/metrics.rs"]
mod metrics;
#[path = "e2e/node.rs"]
mod node;
#[path = "e2e/outage.rs"]
mod outage;
#[path = "e2e/patients.rs"]
mod patients;
#[path = "e2e/people.rs"]
mod people;
#[path = "e2e/power.rs"]
mod power;
#[path = "e2e/reach.rs"]
mod reach;
#[path = "e2e/readme.rs"]
mod readme;
#[path = "e2e/recover.rs"]
mod recover;
#[path = "e2e/rekey.rs"]
mod rekey;
#[path = "e2e/revoke.rs"]
mod revoke;
#[path = "e2e/start.rs"]
mod start;
#[path = "e2e/story.rs"]
mod story;
#[path = "e2e/world.rs"]
mod world;
