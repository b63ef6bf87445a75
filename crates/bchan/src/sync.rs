//! The one file that chooses between std's atomics and loom's.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence},
};

/// Tells the processor (or the model checker) that this thread spins.
#[inline]
pub(crate) fn spin_hint() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// A word that a thread can park on.
///
/// It is one `AtomicU32`; the model checker has no futex, so there it brings a queue along.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct FutexWord {
    value: AtomicU32,
    #[cfg(loom)]
    pub(crate) sleepers: loom::sync::Mutex<std::collections::VecDeque<std::sync::Arc<Sleeper>>>,
}

/// A thread of the model that sleeps until it is woken.
#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct Sleeper {
    pub(crate) is_woken: loom::sync::Mutex<bool>,
    pub(crate) bell: loom::sync::Condvar,
}

impl FutexWord {
    pub(crate) fn new(value: u32) -> Self {
        Self {
            value: AtomicU32::new(value),
            #[cfg(loom)]
            sleepers: loom::sync::Mutex::default(),
        }
    }
}

impl std::ops::Deref for FutexWord {
    type Target = AtomicU32;

    #[inline]
    fn deref(&self) -> &AtomicU32 {
        &self.value
    }
}
