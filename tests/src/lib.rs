//! The simulated world: a test owns network, clock, dice and disk, and everything else is the
//! product's own code.

pub mod disk;
pub mod fixture;
pub mod net;
pub mod world;

pub use disk::{Fault, SimDisk};
pub use fixture::organization;
pub use net::{
    Fate, Frame, Kind, RELEASE_REFUSED_MAX_BYTES, START_MS, Seen, SimNet, SimParts, Watcher,
};
pub use world::{SimNode, SimWorld, Start};
