//! Processes: which one this is, whether another lives, and being told when it dies.

#[cfg_attr(not(all(target_os = "linux", not(loom), not(feature = "portable"))), path = "no_lifeline.rs")]
mod lifeline;
#[cfg(all(target_os = "linux", not(loom), not(feature = "portable")))]
mod linux;
#[cfg(all(target_os = "linux", not(loom), not(feature = "portable")))]
mod status;
#[cfg(all(target_os = "linux", not(loom), not(feature = "portable")))]
mod watch;
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

pub(crate) use lifeline::Lifeline;
pub use system::forks;
pub(crate) use system::{count_children, forget, look, namespace, unattended};
#[cfg(not(loom))]
pub(crate) use system::{insist, living_children, of, watch};

use std::fmt;
use std::sync::Weak;

use crate::wait::relay;

/// To be called before this process forks: ends the threads that watch and wait for others.
pub fn before_fork() {
    relay::halt();
    system::before_fork();
}

/// To be called after this process forked.
pub fn after_fork_in_parent() {
    system::after_fork_in_parent();
    relay::resume();
}

/// Whether the thread that watches others stands still since this process forked, as it has no other thread.
/// Then [`resume`] is to be called as soon as the fork is done with.
pub fn is_halted() -> bool {
    system::is_halted()
}

/// Has the thread that watches others go on.
pub fn resume() {
    system::resume();
}

/// To be called in the child of a fork.
pub fn after_fork_in_child() {
    system::after_fork_in_child();
    relay::inherit_nothing();
}

/// A process, in one word: its id, and when it started and which program it runs, so that neither the id's
/// next user nor what it executes is taken for it.
///
/// | bits | meaning |
/// |---|---|
/// | 0..22 | process id, at least 1 |
/// | 22..37 | start, in the clock ticks of `/proc/PID/stat`: the lower bits |
/// | 37..52 | image: of where its program lies; 0 if that is not known |
/// | 52..62 | with FRESH: which of the handles that had the place, one after the other |
/// | 62 | FRESH: of a handle that was never used, and that another process may take over |
///
/// With bit 63 as well: it died, and what it left is being cleared up. Start and image of 0 are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) u64);

impl Owner {
    const PID_BITS: u32 = 22;
    const START_BITS: u32 = 15;
    const IMAGE_BITS: u32 = 15;
    #[cfg(not(loom))]
    const IMAGE: u64 = ((1 << Self::IMAGE_BITS) - 1) << (Self::PID_BITS + Self::START_BITS);
    const NTH_BIT: u32 = 52;
    const NTH_MASK: u64 = (1 << 10) - 1;
    const FRESH: u64 = 1 << 62;
    const GONE: u64 = 1 << 63;
    /// No process.
    pub(crate) const NOBODY: Self = Self(0);

    fn new(pid: u32, start: u64, image: u64) -> Self {
        // As much of them as there is room for.
        let bits = |number: u64, bits: u32| number & ((1 << bits) - 1);
        let birth = bits(start, Self::START_BITS) | bits(image, Self::IMAGE_BITS) << Self::START_BITS;
        Self(u64::from(pid) | birth << Self::PID_BITS)
    }

    /// The process that runs.
    pub(crate) fn this() -> Self {
        system::this()
    }

    /// Of a handle that was never used, the nth that has its place.
    pub(crate) fn fresh(self, nth: u64) -> Self {
        Self(self.0 | Self::FRESH | (nth & Self::NTH_MASK) << Self::NTH_BIT)
    }

    /// Dead, and nobody can take anything over from it.
    pub(crate) fn recovered(self) -> Self {
        Self(self.0 | Self::FRESH | Self::GONE)
    }

    pub(crate) fn is_buried(self) -> bool {
        self == self.recovered()
    }

    pub(crate) fn is_fresh(self) -> bool {
        self.0 & (Self::FRESH | Self::GONE) == Self::FRESH
    }

    /// Without what is said of the handle.
    pub(crate) fn process(self) -> Self {
        Self(self.0 & ((1 << Self::NTH_BIT) - 1))
    }

    /// The process' id.
    pub(crate) fn pid(self) -> u32 {
        self.0 as u32 & ((1 << Self::PID_BITS) - 1)
    }

    /// The lower bits of when it started.
    #[cfg_attr(not(all(target_os = "linux", not(loom), not(feature = "portable"))), allow(dead_code))]
    fn start(self) -> u64 {
        self.0 >> Self::PID_BITS & ((1 << Self::START_BITS) - 1)
    }

    /// Which program it runs; 0 if that is not known.
    #[cfg_attr(not(all(target_os = "linux", not(loom), not(feature = "portable"))), allow(dead_code))]
    fn image(self) -> u64 {
        self.0 >> (Self::PID_BITS + Self::START_BITS) & ((1 << Self::IMAGE_BITS) - 1)
    }

    /// The same, whatever it will execute.
    #[cfg(not(loom))]
    pub(crate) fn of_any_program(self) -> Self {
        Self(self.0 & !Self::IMAGE)
    }

    /// The same, running what another process does, such as the one that forked it.
    #[cfg(not(loom))]
    pub(crate) fn of_the_program_of(self, other: Self) -> Self {
        Self(self.of_any_program().0 | other.0 & Self::IMAGE)
    }

    /// Whether it runs the program of this process, or nobody can tell.
    #[cfg_attr(not(all(target_os = "linux", not(loom), not(feature = "portable"))), allow(dead_code))]
    fn may_run_this_program(self) -> bool {
        self.image() == 0 || self.image() == Self::this().image()
    }

    /// Whether anything is known but its id.
    #[cfg_attr(not(all(target_os = "linux", not(loom), not(feature = "portable"))), allow(dead_code))]
    fn is_start_known(self) -> bool {
        self.start() != 0 || self.image() != 0
    }

    /// Whether the process lives, or nobody can tell: who is dead leaves something behind, and who is taken
    /// for dead loses what he has. One that was killed and that nobody has waited for is dead, and so is one
    /// that executed another program.
    pub(crate) fn is_alive(self) -> bool {
        self.life() != Some(false)
    }

    fn life(self) -> Option<bool> {
        if self.process() == Self::this() { Some(true) } else { system::life(self.process()) }
    }
}

/// This process in a word, for [`life`].
pub fn this() -> u64 {
    Owner::this().0
}

/// Whether a process lives and runs the program that it ran when it asked for its [word](this); `None` if
/// nobody can tell.
pub fn life(word: u64) -> Option<bool> {
    Owner(word).life()
}

/// Why other processes can't be told dead or alive here, so that no channel can be shared with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwatchable {
    /// There is no `/proc`.
    NoProc,
    /// `/proc` belongs to another pid namespace.
    ForeignProc {
        /// This process' id.
        pid: u32,
        /// The id under which `/proc` shows it; 0 if it does not.
        shown: u32,
    },
    /// The channel belongs to another pid namespace.
    Namespace {
        /// That in which the channel was made.
        channel: u64,
        /// This process' own.
        this: u64,
    },
}

impl fmt::Display for Unwatchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProc => write!(
                f,
                "channels between processes need /proc, to tell which process lives: it is not mounted here"
            ),
            Self::ForeignProc { pid, shown } => {
                write!(f, "channels between processes need a /proc that shows this process as {pid}, ")?;
                match shown {
                    0 => write!(f, "it does not show it: /proc is of another pid namespace"),
                    shown => write!(f, "it shows {shown}: /proc is of another pid namespace"),
                }
            }
            Self::Namespace { channel, this } => write!(
                f,
                "the channel is of pid namespace {channel} and this process of {this}: processes of another \
                 pid namespace can't be watched, so they can't share a channel"
            ),
        }
    }
}

/// Who is told of a death.
pub(crate) trait DeathObserver: Send + Sync {
    /// Clears up after a process that died; false if that is to be tried again.
    fn recover(&self, dead: Owner) -> bool;

    /// Wakes all who wait: nobody watches for them any more, and they have to look themselves.
    #[cfg_attr(not(all(target_os = "linux", not(loom), not(feature = "portable"))), allow(dead_code))]
    fn wake_all(&self);

    /// Whether it still has to be told of a process that is looked at now and then.
    #[cfg_attr(not(all(target_os = "linux", not(loom), not(feature = "portable"))), allow(dead_code))]
    fn is_concerned(&self, _other: Owner) -> bool {
        true
    }
}

/// Who is told, as long as it lives.
#[cfg_attr(loom, allow(dead_code))]
pub(crate) type Told = Weak<dyn DeathObserver>;
