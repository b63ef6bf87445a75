//! The event count: who finds nothing to do can sleep without missing the moment that changes it.
//!
//! Source: D. Vyukov's eventcount (1024cores), with a semaphore in place of the epoch, so that one of
//! many can be woken. Waiting goes in three steps: `prepare`, look again, then `park` or `cancel`.
//!
//! The state holds two numbers and a flag:
//!
//! | part | meaning | grows | shrinks |
//! |---|---|---|---|
//! | waiting | threads that wait for a wake-up yet to come | `prepare` | `notify`; `cancel`, a deadline |
//! | woken | wake-ups given and not yet taken | `notify` | `park`; `cancel` if none is left waiting |
//! | ALARM | there are eventfds to be written | `arm` | `notify`, with the last of them |
//!
//! A wake-up belongs to whichever waiter takes it first. Whoever took one, or may have taken one as it
//! left, looks at the ring, and if it leaves something there for others it notifies again: so while
//! there is something and someone waits for it, at least one is on its way to look.
//!
//! # Memory ordering
//! The waiter writes "waiting" and then reads the ring; the notifier writes the ring and then reads
//! the state. Forbidden outcome: both read the old. The waiter calls `Barrier::heavy` between the
//! two, the notifier `Barrier::light` or any full fence. What the notifier wrote before is seen by
//! the woken through the ring's own words, or, for a reader of the state, through the Release in
//! `notify` and the Acquire in `park`.

use std::time::Instant;

use super::futex;
pub(crate) use super::futex::Waking;
use super::{Alarms, Deadline};
use crate::layout::EventWords;
use crate::sync::Ordering;

/// One thread that waits.
const WAITING: u32 = 1;
const WAITING_MASK: u32 = 0x7fff;
/// One wake-up that was given.
const WOKEN: u32 = 1 << 15;
const WOKEN_MASK: u32 = 0x7fff << 15;
const ALARM: u32 = 1 << 30;

/// Whom to wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    One,
    All,
}

/// An event count over the words in a channel's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    pub(crate) words: &'a EventWords,
    pub(crate) alarms: &'a Alarms,
}

impl EventWords {
    /// Whether anyone waits. After a `Barrier::light`, "no" can be relied on.
    #[inline(always)]
    pub(crate) fn has_waiters(&self) -> bool {
        self.state.load(Ordering::Relaxed) & (WAITING_MASK | ALARM) != 0
    }
}

impl Event<'_> {
    /// Says that this thread is about to wait. Then comes `Barrier::heavy`, another look, and
    /// [`park`](Self::park) or [`cancel`](Self::cancel).
    pub(crate) fn prepare(self) {
        // Relaxed: the caller's heavy barrier orders it before the look that follows.
        let join = |state: u32| (state & WAITING_MASK < WAITING_MASK).then(|| state + WAITING);
        let joined = self.words.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, join);
        assert!(joined.is_ok(), "more than {WAITING_MASK} threads wait");
    }

    /// Goes on without sleeping. The caller has found something, takes it, and looks after the rest.
    pub(crate) fn cancel(self) {
        let leave = |state: u32| Some(if state & WAITING_MASK > 0 { state - WAITING } else { state - WOKEN });
        // Acquire: it may take a wake-up.
        let _ = self.words.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, leave);
    }

    /// Sleeps until a `notify` that came after `prepare`, the deadline, or a signal. Unless it was
    /// woken, it waits no longer.
    #[cold]
    pub(crate) fn park(self, deadline: Deadline) -> Waking {
        let state = &self.words.state;
        // Acquire: sees what was written before the notify.
        let take = |state: u32| (state & WOKEN_MASK > 0).then(|| state - WOKEN);
        if state.fetch_update(Ordering::Acquire, Ordering::Relaxed, take).is_ok() {
            return Waking::Woken;
        }
        // Counted first, so that one who watches the counter knows when somebody sleeps.
        let counters = &self.words.counters;
        counters.waits.fetch_add(1, Ordering::Relaxed);
        let asleep = Instant::now();
        let waking = loop {
            let now = match state.fetch_update(Ordering::Acquire, Ordering::Relaxed, take) {
                Ok(_) => break Waking::Woken,
                Err(now) => now,
            };
            match futex::wait(state, now, deadline.remaining()) {
                Waking::Woken => {}
                left => {
                    let leave = |state| take(state).or(Some(state.wrapping_sub(WAITING)));
                    let before = state.fetch_update(Ordering::Acquire, Ordering::Relaxed, leave);
                    // A wake-up that came at the same time was taken along.
                    break if before.is_ok_and(|before| before & WOKEN_MASK > 0) {
                        Waking::Woken
                    } else {
                        left
                    };
                }
            }
        };
        counters.parked_ns.fetch_add(asleep.elapsed().as_nanos() as u64, Ordering::Relaxed);
        waking
    }

    /// Has `alarm` written when its turn comes. The caller then passes `Barrier::heavy`, and looks again.
    pub(crate) fn arm(self, alarm: i32) {
        self.alarms.add(self.key(), alarm, &|is_armed| self.flag(is_armed));
    }

    fn flag(self, is_armed: bool) {
        if is_armed {
            self.words.state.fetch_or(ALARM, Ordering::Relaxed);
        } else {
            self.words.state.fetch_and(!ALARM, Ordering::Relaxed);
        }
    }

    /// Lets one go on who waits: a thread, or an event loop by its alarm. The caller has made its change, and then
    /// passed a full fence or seen [`has_waiters`](EventWords::has_waiters) after a `Barrier::light`.
    #[cold]
    pub(crate) fn notify(self) {
        self.wake(Whom::One);
    }

    /// Lets all go on who wait.
    #[cold]
    pub(crate) fn notify_all(self) {
        self.wake(Whom::All);
    }

    fn wake(self, whom: Whom) {
        let counters = &self.words.counters;
        // One thread, or one event loop: in turn, where there are both.
        let is_loops_turn = counters.wakes.load(Ordering::Relaxed).is_multiple_of(2);
        let threads = |state: u32| match whom {
            Whom::All => state & WAITING_MASK,
            Whom::One if state & ALARM != 0 && is_loops_turn => 0,
            Whom::One => (state & WAITING_MASK).min(1),
        };
        let wake = |state: u32| {
            let woken = threads(state);
            (state & (WAITING_MASK | ALARM) != 0).then(|| state - woken * WAITING + woken * WOKEN)
        };
        // Release: pairs with the Acquire in `park`.
        let Ok(before) = self.words.state.fetch_update(Ordering::Release, Ordering::Relaxed, wake) else {
            return;
        };
        if threads(before) > 0 {
            counters.wakes.fetch_add(1, Ordering::Relaxed);
            futex::wake(&self.words.state, threads(before));
        }
        if before & ALARM != 0 && (whom == Whom::All || threads(before) == 0) {
            let most = if whom == Whom::All { usize::MAX } else { 1 };
            let written = self.alarms.ring(self.key(), most, &|is_armed| self.flag(is_armed));
            counters.wakes.fetch_add(written as u64, Ordering::Relaxed);
            if written == 0 && whom == Whom::One {
                // The alarms had gone: it is a thread's turn, if there is one. The flag is gone, too.
                self.wake(whom);
            }
        }
    }

    /// Counts a wait that ended while spinning.
    pub(crate) fn count_spin(self) {
        self.words.counters.spins.fetch_add(1, Ordering::Relaxed);
    }

    fn key(self) -> usize {
        std::ptr::from_ref(self.words).addr()
    }
}
