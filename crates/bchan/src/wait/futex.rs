//! Parking on a word, or on several at once, and waking who parked there.

use std::time::Duration;

use crate::process;
use crate::sync::FutexWord;

/// Who parks on a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Threads of this process.
    Process,
    /// Threads of any process that has mapped it.
    Machine,
}

/// A word to park on, and what it is expected to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parking<'a> {
    pub(super) word: &'a FutexWord,
    #[cfg_attr(not(all(target_os = "linux", not(loom), not(feature = "portable"))), allow(dead_code))]
    pub(super) reach: Reach,
    pub(super) expected: u32,
}

/// All who sleep, as the kernel counts them.
pub(super) const ALL: u32 = i32::MAX as u32;

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
    use std::sync::LazyLock;

    use rustix::io::Errno;
    use rustix::thread::futex::{self, Flags, Timespec, Wait, WaitFlags, WaitPtr, WaitvFlags};
    use rustix::time::{ClockId, clock_gettime};

    use super::{Duration, FutexWord, Parking, Reach, Waking};

    fn flags(reach: Reach) -> Flags {
        if reach == Reach::Process { Flags::PRIVATE } else { Flags::empty() }
    }

    pub(super) fn wait(parking: Parking<'_>, timeout: Option<Duration>) -> Waking {
        let Parking { word, reach, expected } = parking;
        // A timeout that the kernel's clock can't hold is longer than anyone will wait.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        waking(futex::wait(word, flags(reach), expected, timeout.as_ref()))
    }

    /// `FUTEX_WAITV_MAX`; 0 if the kernel (before 5.16) or a sandbox has no `futex_waitv`.
    pub(super) fn most_words() -> usize {
        static MOST: LazyLock<usize> = LazyLock::new(|| {
            let none = futex::waitv(&[], WaitvFlags::empty(), None, ClockId::Monotonic);
            // The kernel that has it finds fault with waiting for nothing.
            if none == Err(Errno::INVAL) { 128 } else { 0 }
        });
        *MOST
    }

    pub(super) fn wait_for_any(words: &[Parking<'_>], timeout: Option<Duration>) -> Waking {
        let waits: Vec<Wait> = words.iter().map(wait_on).collect();
        // Other than `wait` it wants to know when, by the clock of `Instant`.
        let now = || Duration::try_from(clock_gettime(ClockId::Monotonic)).ok();
        let until = timeout.and_then(|timeout| Timespec::try_from(now()?.checked_add(timeout)?).ok());
        waking(futex::waitv(&waits, WaitvFlags::empty(), until.as_ref(), ClockId::Monotonic))
    }

    fn wait_on(parking: &Parking<'_>) -> Wait {
        let mut wait = Wait::new();
        wait.uaddr = WaitPtr::new(parking.word.as_ptr().cast());
        wait.val = parking.expected.into();
        wait.flags = WaitFlags::SIZE_U32;
        wait.flags.set(WaitFlags::PRIVATE, parking.reach == Reach::Process);
        wait
    }

    fn waking<T>(outcome: Result<T, Errno>) -> Waking {
        match outcome {
            Err(Errno::TIMEDOUT) => Waking::TimedOut,
            Err(Errno::INTR) => Waking::Interrupted,
            // AGAIN among them: a word was not as expected.
            Ok(_) | Err(_) => Waking::Woken,
        }
    }

    pub(super) fn wake(word: &FutexWord, reach: Reach, most: u32) {
        let woken = futex::wake(word, flags(reach), most);
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

    use super::{Duration, FutexWord, Parking, Reach, Waking};
    use crate::sync::Ordering;

    /// Signals don't end a sleep here, so it ends by itself this often for its caller to look.
    const SLICE: Duration = Duration::from_millis(100);

    pub(super) fn wait(parking: Parking<'_>, timeout: Option<Duration>) -> Waking {
        let Parking { word, expected, .. } = parking;
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

    pub(super) fn wake(word: &FutexWord, _reach: Reach, most: u32) {
        let woken = |result: UnparkResult| result.unparked_threads;
        // SAFETY: the key is the word's own address.
        let wake_one = || unsafe { woken(unpark_one(key(word), |_| DEFAULT_UNPARK_TOKEN)) };
        (0..most).take_while(|_| wake_one() > 0).for_each(drop);
    }

    pub(super) fn most_words() -> usize {
        0
    }

    pub(super) fn wait_for_any(_: &[Parking<'_>], _: Option<Duration>) -> Waking {
        unreachable!("a thread parks on one word here");
    }

    fn key(word: &FutexWord) -> usize {
        std::ptr::from_ref(word).addr()
    }
}

/// The model: a lock makes "check and sleep" one step, as the kernel does. A timeout may pass at
/// any moment; the one that differs from being woken is at once, before anyone could.
///
/// As in the kernel, who sleeps on several words stands in the queue of each, and until it has left
/// them all it may use up a wake that another sleeper could have had.
#[cfg(loom)]
mod system {
    use std::sync::Arc;

    use super::{Duration, FutexWord, Parking, Reach, Waking};
    use crate::sync::{Ordering, Sleeper};

    pub(super) fn wait(parking: Parking<'_>, timeout: Option<Duration>) -> Waking {
        wait_for_any(&[parking], timeout)
    }

    pub(super) fn most_words() -> usize {
        128
    }

    pub(super) fn wait_for_any(words: &[Parking<'_>], timeout: Option<Duration>) -> Waking {
        let sleeper = Arc::new(Sleeper { is_woken: false.into(), bell: loom::sync::Condvar::new() });
        for (place, &Parking { word, expected, .. }) in words.iter().enumerate() {
            let mut sleepers = word.sleepers.lock().unwrap();
            if word.load(Ordering::SeqCst) != expected {
                drop(sleepers);
                leave(&words[..place], &sleeper);
                return Waking::Woken;
            }
            if timeout.is_none() || words.len() > 1 {
                sleepers.push_back(sleeper.clone());
            }
        }
        if timeout.is_some() {
            leave(words, &sleeper);
            return Waking::TimedOut;
        }
        let mut is_woken = sleeper.is_woken.lock().unwrap();
        while !*is_woken {
            is_woken = sleeper.bell.wait(is_woken).unwrap();
        }
        drop(is_woken);
        // Who woke it has taken it out of the one queue.
        if words.len() > 1 {
            leave(words, &sleeper);
        }
        Waking::Woken
    }

    fn leave(words: &[Parking<'_>], leaving: &Arc<Sleeper>) {
        for Parking { word, .. } in words {
            word.sleepers.lock().unwrap().retain(|sleeper| !Arc::ptr_eq(sleeper, leaving));
        }
    }

    pub(super) fn wake(word: &FutexWord, _reach: Reach, most: u32) {
        let mut sleepers = word.sleepers.lock().unwrap();
        let most = sleepers.len().min(most as usize);
        for sleeper in sleepers.drain(..most) {
            *sleeper.is_woken.lock().unwrap() = true;
            sleeper.bell.notify_one();
        }
    }
}

/// Sleeps while `word` is `expected`, at most `timeout`.
pub(super) fn wait(parking: Parking<'_>, timeout: Option<Duration>) -> Waking {
    keeping_watch(&[parking], timeout, |timeout| system::wait(parking, timeout))
}

/// Sleeps; if no thread watches those who could wake it, then not for long, and it looks after them itself.
fn keeping_watch(
    words: &[Parking<'_>],
    timeout: Option<Duration>,
    sleep: impl Fn(Option<Duration>) -> Waking,
) -> Waking {
    let is_shared = || words.iter().any(|word| word.reach == Reach::Machine);
    let Some(budget) = process::unattended().filter(|_| is_shared()) else { return sleep(timeout) };
    let is_last = timeout.is_some_and(|timeout| timeout <= budget);
    let waking = sleep(if is_last { timeout } else { Some(budget) });
    process::look();
    if waking == Waking::TimedOut && !is_last { Waking::Woken } else { waking }
}

/// On how many words a thread can sleep at once; 0 if it can't on more than one.
pub(super) fn most_words() -> usize {
    system::most_words()
}

/// Sleeps while each of `words` is what is expected of it, at most `timeout`.
pub(super) fn wait_for_any(words: &[Parking<'_>], timeout: Option<Duration>) -> Waking {
    keeping_watch(words, timeout, |timeout| system::wait_for_any(words, timeout))
}

/// Wakes up to `most` of those who sleep on `word`.
pub(super) fn wake(word: &FutexWord, reach: Reach, most: u32) {
    system::wake(word, reach, most);
}
