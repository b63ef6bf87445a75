//! Processes: which one this is, whether another lives, and being told when it dies.

#[cfg(all(target_os = "linux", not(loom), not(feature = "portable")))]
mod linux;
#[cfg(all(target_os = "linux", not(loom), not(feature = "portable")))]
use linux as system;

#[cfg(all(not(loom), not(all(target_os = "linux", not(feature = "portable")))))]
mod alone;
#[cfg(all(not(loom), not(all(target_os = "linux", not(feature = "portable")))))]
use alone as system;

#[cfg(loom)]
mod model;
#[cfg(loom)]
use model as system;

#[cfg(all(feature = "kill-points", not(loom)))]
mod kill_points;
#[cfg(all(feature = "kill-points", not(loom)))]
pub(crate) use kill_points::reach;
#[cfg(loom)]
pub(crate) use model::reach;
#[cfg(loom)]
pub use model::{Killed, be, die_at, died};

/// A place where a test may have this process killed; nothing without the feature `kill-points`, or the model
/// checker.
macro_rules! kill_point {
    ($name:literal) => {
        #[cfg(any(feature = "kill-points", loom))]
        $crate::process::reach($name);
    };
}
pub(crate) use kill_point;

pub use system::forks;
pub(crate) use system::{count_children, forget};
#[cfg(not(loom))]
pub(crate) use system::{insist, living_children, watch};

use std::sync::Weak;

use crate::wait::sentry;

/// To be called before this process forks: ends the threads that watch and wait for others.
pub fn before_fork() {
    sentry::halt();
    system::before_fork();
}

/// To be called after this process forked.
pub fn after_fork_in_parent() {
    system::after_fork_in_parent();
    sentry::resume();
}

/// To be called in the child of a fork.
pub fn after_fork_in_child() {
    system::after_fork_in_child();
    sentry::inherit_nothing();
}

/// A process, in one word: its id, and when it started, so that the id's next user is not taken for it.
///
/// | bits | meaning |
/// |---|---|
/// | 0..22 | process id, at least 1 |
/// | 22..62 | start, in the clock ticks of `/proc/PID/stat` since the machine's own |
/// | 62 | FRESH: of a handle that was never used, and that another process may take over |
///
/// With bit 63 as well: it died, and what it left is being cleared up. A start of 0 is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) u64);

impl Owner {
    const PID_BITS: u32 = 22;
    const START_MASK: u64 = (1 << 40) - 1;
    const FRESH: u64 = 1 << 62;
    const GONE: u64 = 1 << 63;

    fn new(pid: u32, start: u64) -> Self {
        Self(u64::from(pid) | (start & Self::START_MASK) << Self::PID_BITS)
    }

    /// The process that runs.
    pub(crate) fn this() -> Self {
        system::this()
    }

    pub(crate) fn fresh(self) -> Self {
        Self(self.0 | Self::FRESH)
    }

    /// Dead, and nobody can take anything over from it.
    pub(crate) fn buried(self) -> Self {
        Self(self.0 | Self::FRESH | Self::GONE)
    }

    pub(crate) fn is_buried(self) -> bool {
        self == self.buried()
    }

    pub(crate) fn is_fresh(self) -> bool {
        self.0 & (Self::FRESH | Self::GONE) == Self::FRESH
    }

    /// Without what is said of the handle.
    pub(crate) fn process(self) -> Self {
        Self(self.0 & !(Self::FRESH | Self::GONE))
    }

    /// The process' id.
    pub(crate) fn pid(self) -> u32 {
        self.0 as u32 & ((1 << Self::PID_BITS) - 1)
    }

    /// When it started; 0 if that is not known.
    #[cfg_attr(not(all(target_os = "linux", not(loom), not(feature = "portable"))), allow(dead_code))]
    pub(crate) fn start(self) -> u64 {
        self.0 >> Self::PID_BITS & Self::START_MASK
    }

    /// Whether the process lives: one that was killed and that nobody has waited for does not.
    pub(crate) fn is_alive(self) -> bool {
        self.process() == Self::this() || system::is_alive(self.process())
    }
}

/// Who is told of a death.
pub(crate) trait Survivor: Send + Sync {
    /// Clears up after a process that died; false if that is to be tried again.
    fn bury(&self, dead: Owner) -> bool;
}

/// Who is told, as long as it lives.
#[cfg_attr(loom, allow(dead_code))]
pub(crate) type Told = Weak<dyn Survivor>;
