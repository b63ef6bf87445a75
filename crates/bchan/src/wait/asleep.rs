//! Who of this process waits at a channel that processes share, and whether there is a lookout for newcomers.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use crate::memory::Memory;
use crate::process;

/// Threads that sleep there, or are about to, and wakers that are armed there.
#[derive(Debug, Default)]
#[cfg_attr(not(all(target_os = "linux", not(loom), not(feature = "portable"))), allow(dead_code))]
pub(crate) struct Asleep {
    sleepers: AtomicU32,
    /// How often this process had forked when the lookout was posted, and 1; 0 without one.
    lookout: AtomicU32,
}

#[cfg_attr(not(all(target_os = "linux", not(loom), not(feature = "portable"))), allow(dead_code))]
impl Asleep {
    pub(super) fn enter(&self) {
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        // Forbids: the lookout leaves as there is nobody, and we rely on it.
        fence(Ordering::SeqCst);
    }

    pub(super) fn leave(&self) {
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a lookout is there. The child of a fork has none yet.
    pub(crate) fn has_lookout(&self) -> bool {
        self.lookout.load(Ordering::Relaxed) == process::forks().wrapping_add(1)
    }

    /// Says that a lookout is there.
    pub(super) fn set_lookout(&self) {
        self.lookout.store(process::forks().wrapping_add(1), Ordering::Relaxed);
    }

    /// Whether the lookout may leave, as there is nobody; then it is there no more.
    pub(super) fn dismiss(&self) -> bool {
        self.lookout.store(0, Ordering::Relaxed);
        // Forbids: it leaves as there is nobody, and one that comes relies on it.
        fence(Ordering::SeqCst);
        let is_empty = self.sleepers.load(Ordering::Relaxed) == 0;
        if !is_empty {
            self.set_lookout();
        }
        is_empty
    }
}

/// A thread that sleeps at a channel, or is about to, until it is dropped.
pub(crate) struct Sleeper<'a>(Option<&'a Memory>);

impl<'a> Sleeper<'a> {
    pub(crate) fn at(memory: &'a Memory) -> Self {
        let memory = memory.is_shared().then_some(memory);
        memory.inspect(|memory| memory.asleep.enter());
        Self(memory)
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        if let Some(memory) = self.0 {
            memory.asleep.leave();
        }
    }
}
