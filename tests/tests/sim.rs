//! Real nodes in a simulated world: virtual time, a network and disks that a test can break.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "sim/attack.rs"]
mod attack;
#[path = "sim/charter.rs"]
mod charter;
#[path = "sim/clock.rs"]
mod clock;
#[path = "sim/crash.rs"]
mod crash;
#[path = "sim/fetch.rs"]
mod fetch;
#[path = "sim/file.rs"]
mod file;
#[path = "sim/flood.rs"]
mod flood;
#[path = "sim/handle.rs"]
mod handle;
#[path = "sim/hello.rs"]
mod hello;
#[path = "sim/import.rs"]
mod import;
#[path = "sim/join.rs"]
mod join;
#[path = "sim/keys.rs"]
mod keys;
#[path = "sim/liar.rs"]
mod liar;
#[path = "sim/locate.rs"]
mod locate;
#[path = "sim/order.rs"]
mod order;
#[path = "sim/proof.rs"]
mod proof;
#[path = "sim/quorum.rs"]
mod quorum;
#[path = "sim/renew.rs"]
mod renew;
#[path = "sim/replay.rs"]
mod replay;
#[path = "sim/revoke.rs"]
mod revoke;
#[path = "sim/scenario.rs"]
mod scenario;
#[path = "sim/story.rs"]
mod story;
#[path = "sim/time.rs"]
mod time;
#[path = "sim/trail.rs"]
mod trail;
#[path = "sim/trust.rs"]
mod trust;
#[path = "sim/twin.rs"]
mod twin;
#[path = "sim/verify.rs"]
mod verify;
