//! The asymmetric fence between one who publishes and one who goes to sleep.
//!
//! Both write a word and then read the other's: the sender its tail and then "does anyone sleep?",
//! the receiver "I sleep" and then the tail. If both reads saw the old value, the message would
//! wait for ever beside the sleeper (Dekker's pattern). A full fence on each side forbids that; but
//! the sender passes here for every message, the sleeper seldom. So the sleeper pays for both: with
//! `membarrier` the kernel makes every running thread of the process execute a full barrier, and
//! the sender needs to stop but the compiler. Source: `membarrier(2)`; the pattern is that of
//! J. Preshing's and folly's asymmetric fences. Where the kernel lacks it, both sides execute a
//! real fence. So does the model checker, which knows nothing of membarrier.

use crate::sync::{Ordering, fence};

/// How the light side is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier {
    /// The sleeper calls `membarrier`; the light side costs nothing.
    Membarrier,
    /// Both sides execute a full fence.
    Fence,
}

impl Barrier {
    /// The better one that this system has.
    pub fn detect() -> Self {
        if system::register() { Self::Membarrier } else { Self::Fence }
    }

    /// For those who publish, after their write and before their read.
    #[inline(always)]
    pub(crate) fn light(self) {
        match self {
            // Forbids, with `heavy`: the reader misses the write and the writer misses the sleeper.
            Self::Membarrier => std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst),
            Self::Fence => fence(Ordering::SeqCst),
        }
    }

    /// For those who go to sleep, after their write and before their read.
    #[cold]
    pub(crate) fn heavy(self) {
        fence(Ordering::SeqCst);
        if self == Self::Membarrier {
            system::membarrier();
        }
    }

    /// For those who go to sleep on several words: each kind once.
    #[cold]
    pub(crate) fn heavy_of_each(barriers: impl Iterator<Item = Self>) {
        let mut passed = Vec::new();
        for barrier in barriers {
            if !passed.contains(&barrier) {
                barrier.heavy();
                passed.push(barrier);
            }
        }
    }
}

#[cfg(all(target_os = "linux", not(loom), not(feature = "portable")))]
mod system {
    use rustix::thread::{MembarrierCommand, membarrier as call};

    /// Registers this process; a second time is harmless.
    pub(super) fn register() -> bool {
        call(MembarrierCommand::RegisterPrivateExpedited).is_ok()
            && call(MembarrierCommand::PrivateExpedited).is_ok()
    }

    pub(super) fn membarrier() {
        // A process that was forked has to register again.
        while call(MembarrierCommand::PrivateExpedited).is_err() {
            assert!(register(), "membarrier was granted and then refused");
        }
    }
}

#[cfg(not(all(target_os = "linux", not(loom), not(feature = "portable"))))]
mod system {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn membarrier() {}
}
