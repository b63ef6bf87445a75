//! Parking on a word, and waking who parked there.

use std::time::Duration;

use crate::sync::FutexWord;

/// How a parked thread came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waking {
    /// Woken, or the word had changed before, or for no reason: look again.
    Woken,
    /// The timeout passed.
    TimedOut,
    /// A signal handler ran in this thread.
    Interrupted,
}

#[cfg(all(target_os = "linux", not(loom), not(feature = "portable")))]
mod system {
    use rustix::io::Errno;
    use rustix::thread::futex::{self, Flags, Timespec};

    use super::{Duration, FutexWord, Waking};

    pub(super) fn wait(word: &FutexWord, expected: u32, timeout: Option<Duration>) -> Waking {
        // A timeout that the kernel's clock can't hold is longer than anyone will wait.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match futex::wait(word, Flags::PRIVATE, expected, timeout.as_ref()) {
            Err(Errno::TIMEDOUT) => Waking::TimedOut,
            Err(Errno::INTR) => Waking::Interrupted,
            Ok(()) | Err(_) => Waking::Woken,
        }
    }

    pub(super) fn wake(word: &FutexWord, most: u32) {
        let woken = futex::wake(word, Flags::PRIVATE, most);
        debug_assert!(woken.is_ok(), "futex wake: {woken:?}");
    }
}

/// The fallback: `parking_lot_core`'s table of parked threads, keyed by the word's address.
#[cfg(all(not(loom), any(not(target_os = "linux"), feature = "portable")))]
mod system {
    use std::time::Instant;

    use parking_lot_core::{
        DEFAULT_PARK_TOKEN, DEFAULT_UNPARK_TOKEN, ParkResult, UnparkResult, park, unpark_one,
    };

    use super::{Duration, FutexWord, Waking};
    use crate::sync::Ordering;

    /// Signals don't end a sleep here, so it ends by itself this often for its caller to look.
    const SLICE: Duration = Duration::from_millis(100);

    pub(super) fn wait(word: &FutexWord, expected: u32, timeout: Option<Duration>) -> Waking {
        let whole = timeout.is_some_and(|timeout| timeout <= SLICE);
        let until = Instant::now() + timeout.unwrap_or(SLICE).min(SLICE);
        let unchanged = || word.load(Ordering::Relaxed) == expected;
        // SAFETY: the key is the word's own address; the closures call nothing of parking_lot.
        let result = unsafe { park(key(word), unchanged, || (), |_, _| (), DEFAULT_PARK_TOKEN, Some(until)) };
        match result {
            ParkResult::TimedOut if whole => Waking::TimedOut,
            ParkResult::TimedOut => Waking::Interrupted,
            ParkResult::Unparked(_) | ParkResult::Invalid => Waking::Woken,
        }
    }

    pub(super) fn wake(word: &FutexWord, most: u32) {
        let woken = |result: UnparkResult| result.unparked_threads;
        // SAFETY: the key is the word's own address.
        let wake_one = || unsafe { woken(unpark_one(key(word), |_| DEFAULT_UNPARK_TOKEN)) };
        (0..most).take_while(|_| wake_one() > 0).for_each(drop);
    }

    fn key(word: &FutexWord) -> usize {
        std::ptr::from_ref(word).addr()
    }
}

/// The model: a lock makes "check and sleep" one step, as the kernel does. A timeout may pass at
/// any moment; the one that differs from being woken is at once, before anyone could.
#[cfg(loom)]
mod system {
    use super::{Duration, FutexWord, Waking};
    use crate::sync::Ordering;

    pub(super) fn wait(word: &FutexWord, expected: u32, timeout: Option<Duration>) -> Waking {
        let (lock, sleepers) = &word.queue;
        let guard = lock.lock().unwrap();
        if word.load(Ordering::SeqCst) != expected {
            return Waking::Woken;
        }
        if timeout.is_some() {
            return Waking::TimedOut;
        }
        drop(sleepers.wait(guard).unwrap());
        Waking::Woken
    }

    pub(super) fn wake(word: &FutexWord, most: u32) {
        let (lock, sleepers) = &word.queue;
        let _guard = lock.lock().unwrap();
        (0..most).for_each(|_| sleepers.notify_one());
    }
}

/// Sleeps while `word` is `expected`, at most `timeout`.
pub(super) fn wait(word: &FutexWord, expected: u32, timeout: Option<Duration>) -> Waking {
    system::wait(word, expected, timeout)
}

/// Wakes up to `most` of those who sleep on `word`.
pub(super) fn wake(word: &FutexWord, most: u32) {
    system::wake(word, most);
}
