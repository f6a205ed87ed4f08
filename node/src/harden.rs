//! Keys and names stay in memory: no core dump, no ptrace by other processes of the account, no swap
//! (`storage.md` 10).

use std::sync::OnceLock;

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

/// What the system granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardened {
    /// No core dump and no tracer of the same account.
    pub no_dump: bool,
    /// Nothing of the process goes to swap.
    pub no_swap: bool,
}

static GRANTED: OnceLock<Hardened> = OnceLock::new();

/// Asks the system for both; to be called once, before keys are read.
///
/// Locking everything is asked for only where the limit on locked memory is lifted (root, or
/// `LimitMEMLOCK=infinity` in the unit): below a limit, later allocations would fail instead.
pub fn harden() -> Hardened {
    *GRANTED.get_or_init(|| {
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let no_core = setrlimit(Resource::Core, none).is_ok();
        let no_trace = set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok();
        let unlimited = getrlimit(Resource::Memlock).current.is_none();
        // Pages are locked as they are touched, so that idle stacks stay unbacked.
        let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        Hardened {
            no_dump: no_core && no_trace,
            no_swap: unlimited && mlockall(flags).is_ok(),
        }
    })
}

/// What was granted, once [`harden`] was called.
pub fn granted() -> Option<Hardened> {
    GRANTED.get().copied()
}
