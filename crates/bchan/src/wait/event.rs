//! The event count: who finds nothing to do can sleep without missing the moment that changes it.
//!
//! Source: D. Vyukov's eventcount (1024cores), with a semaphore in place of the epoch, so that one of
//! many can be woken. Waiting goes in three steps: `prepare`, look again, then `park` or `cancel`.
//!
//! The state holds two numbers and a flag:
//!
//! | part | meaning | grows | shrinks |
//! |---|---|---|---|
//! | waiting | threads that wait for a wake-up yet to come | `prepare` | `notify`; `cancel`, `leave` |
//! | woken | wake-ups given and not yet taken | `notify` | `park`, `leave`; `cancel` if none is left waiting |
//! | WAKER | there are eventfds to be written | `arm` | `notify` and `Wakers::remove`, with the last of them |
//! | PATIENT | the one who waits looks again by itself soon, and need not be woken for a little | `prepare_patiently` | whatever ends a wait |
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

use super::futex::{self, Parking};
pub(crate) use super::futex::{Reach, Waking};
use super::interrupt::Sleep;
use super::relay::{self, Until};
use super::waker::Line;
use super::{Deadline, Point, Wakers};
use crate::layout::EventWords;
use crate::process::kill_point;
use crate::sync::Ordering;

/// One thread that waits.
const WAITING: u32 = 1;
const WAITING_MASK: u32 = 0x7fff;
/// One wake-up that was given.
const WOKEN: u32 = 1 << 15;
const WOKEN_MASK: u32 = 0x7fff << 15;
const WAKER: u32 = 1 << 30;
const PATIENT: u32 = 1 << 31;

/// The state without one of its wake-ups, if it has one.
fn taken(state: u32) -> Option<u32> {
    has_wake_up(state).then(|| state - WOKEN)
}

/// Whether a wake-up was given and not yet taken.
pub(super) fn has_wake_up(state: u32) -> bool {
    state & WOKEN_MASK > 0
}

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
    pub(crate) wakers: &'a Wakers,
    /// Who may wait on it.
    pub(crate) reach: Reach,
}

/// The state with one who waits no longer, if there is any.
fn stop_waiting(state: u32) -> Option<u32> {
    (state & WAITING_MASK > 0).then(|| (state - WAITING) & !PATIENT)
}

impl EventWords {
    /// Whether anyone waits. After a `Barrier::light`, "no" can be relied on.
    #[inline(always)]
    pub(crate) fn has_waiters(&self) -> bool {
        self.state.load(Ordering::Relaxed) & (WAITING_MASK | WAKER) != 0
    }

    /// Whether a thread waits, or was woken and is on its way.
    pub(crate) fn is_awaited(&self) -> bool {
        self.state.load(Ordering::Relaxed) & (WAITING_MASK | WOKEN_MASK) != 0
    }

    /// Whether one thread waits, and none was woken and is on its way.
    pub(crate) fn has_one_waiter(&self) -> bool {
        self.state.load(Ordering::Relaxed) & (WAITING_MASK | WOKEN_MASK) == WAITING
    }

    /// Whether all who wait need not be woken for a little. If somebody comes who has less patience
    /// meanwhile, it looks after it has said so.
    pub(crate) fn is_patient(&self) -> bool {
        self.state.load(Ordering::Relaxed) & (PATIENT | WAKER) == PATIENT
    }
}

impl Event<'_> {
    /// Says that this thread is about to wait. Then comes `Barrier::heavy`, another look, and
    /// [`park`](Self::park) or [`cancel`](Self::cancel).
    pub(crate) fn prepare(self) {
        self.join(0);
    }

    /// As [`prepare`](Self::prepare), for the only one who can wait here, and who sleeps for a short time at
    /// most.
    pub(crate) fn prepare_patiently(self) {
        self.join(PATIENT);
    }

    fn join(self, budget: u32) {
        let join = |state: u32| {
            // Beyond the most that can be counted (or those of processes that died while they waited), it is
            // woken all the same: whoever notifies finds some who wait.
            let waiting = if state & WAITING_MASK < WAITING_MASK { state + WAITING } else { state };
            Some(waiting & !PATIENT | budget)
        };
        // Relaxed: the caller's heavy barrier orders it before the look that follows.
        let _ = self.words.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, join);
        kill_point!("event.prepared");
    }

    /// Goes on without sleeping. The caller has found something, takes it, and looks after the rest.
    pub(crate) fn cancel(self) {
        // Acquire: it may take a wake-up.
        let _ = self.words.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, |state| {
            stop_waiting(state).or_else(|| taken(state))
        });
    }

    /// Sleeps until a `notify` that came after `prepare`, the deadline, or a signal. Unless it was
    /// woken, it waits no longer.
    #[cold]
    pub(crate) fn park(self, deadline: Deadline) -> Waking {
        let state = &self.words.state;
        // Acquire: sees what was written before the notify.
        let take = || state.fetch_update(Ordering::Acquire, Ordering::Relaxed, taken);
        if take().is_ok() {
            return Waking::Woken;
        }
        let point = Point::Event(self);
        point.count_wait();
        let asleep = Instant::now();
        kill_point!("event.parks");
        let sleep = Sleep::at(point);
        let waking = loop {
            let taken = take();
            if sleep.is_interrupted() {
                // What it may have been woken for is passed on when the handle has been closed.
                let _ = taken.is_ok() || self.leave();
                break Waking::Interrupted;
            }
            let now = match taken {
                Ok(_) => break Waking::Woken,
                Err(now) => now,
            };
            let waking = match futex::wait(self.parking(now), deadline.remaining()) {
                // The word may change all the time, and nobody ever sleep.
                Waking::Woken => deadline.passed(),
                left => left,
            };
            match waking {
                Waking::Woken => {}
                // A wake-up that came at the same time was taken along.
                _ if self.leave() => break Waking::Woken,
                left => break left,
            }
        };
        drop(sleep);
        kill_point!("event.parked");
        point.count_parked(asleep);
        waking
    }

    /// Waits no longer, after a sleep that may have used up another's wake. Tells whether it took a
    /// wake-up: then the caller looks, and notifies again if it leaves something there.
    pub(crate) fn leave(self) -> bool {
        let leave = |state: u32| taken(state).or_else(|| stop_waiting(state));
        // Acquire: sees what was written before the notify.
        let before = self.words.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, leave);
        before.is_ok_and(|before| before & WOKEN_MASK > 0)
    }

    /// Has `waker` written when its turn comes; again after that if its owner found nothing, which keeps its
    /// place. The caller then passes `Barrier::heavy`, and looks again. Tells whether it may go on if there
    /// is something: false if that is for one before it, which was woken in vain.
    pub(crate) fn arm(self, waker: i32) -> bool {
        let Some(memory) = &self.wakers.shared else {
            let threads = self.words.state.load(Ordering::Relaxed) & WAITING_MASK;
            return self.wakers.add(self.line(), waker, threads);
        };
        relay::guard(memory, self.words, waker, || {
            self.prepare();
            Until::Woken
        })
    }

    fn line<'b>(&'b self) -> Line<'b> {
        Line { words: self.words, flag: WAKER }
    }

    /// Lets one go on who waits: a thread, or an event loop by its waker. The caller has made its change, and
    /// then passed a full fence or seen [`has_waiters`](EventWords::has_waiters) after a `Barrier::light`.
    #[cold]
    pub(crate) fn notify(self) {
        self.wake(Whom::One);
    }

    /// As [`notify`](Self::notify). Tells whether a thread was woken.
    #[cold]
    pub(crate) fn offer(self) -> bool {
        self.wake(Whom::One)
    }

    /// As [`notify`](Self::notify), for what is left by one that took something. A waiter that was woken
    /// before and is on its way looks, and passes on in turn what it leaves.
    #[cold]
    pub(crate) fn pass_on(self) {
        // AcqRel, and a write that changes nothing: whoever takes the wake-up that is seen here does so after
        // it, and sees what is left.
        let is_one_woken = self.words.state.fetch_add(0, Ordering::AcqRel) & WOKEN_MASK != 0;
        if !is_one_woken && !self.wakers.is_one_on_its_way(self.line()) {
            self.wake(Whom::One);
        }
    }

    /// Lets all go on who wait.
    #[cold]
    pub(crate) fn notify_all(self) {
        self.wake(Whom::All);
    }

    /// As [`notify_all`](Self::notify_all), after the death of one who may have had a wake-up to pass on: who
    /// was given it and not yet woken still sleeps.
    #[cold]
    pub(crate) fn wake_all(self) {
        self.wake(Whom::All);
        if self.words.state.load(Ordering::Relaxed) & WOKEN_MASK != 0 {
            futex::wake(&self.words.state, self.reach, i32::MAX as u32);
        }
    }

    /// Has all threads that sleep here look whether they were interrupted.
    #[cold]
    pub(super) fn disturb(self) {
        let all = |state: u32| {
            let waiting = state & WAITING_MASK;
            let tokens = ((state & WOKEN_MASK) / WOKEN + waiting).min(WOKEN_MASK / WOKEN) * WOKEN;
            (waiting > 0).then(|| (state - waiting) & !(WOKEN_MASK | PATIENT) | tokens)
        };
        // Release: pairs with the Acquire in `park`.
        let _ = self.words.state.fetch_update(Ordering::Release, Ordering::Relaxed, all);
        futex::wake(&self.words.state, self.reach, futex::ALL);
    }

    /// Tells whether it woke a thread.
    fn wake(self, whom: Whom) -> bool {
        let counters = &self.words.counters;
        let now = self.words.state.load(Ordering::Relaxed);
        let is_wakers_turn =
            whom == Whom::One && now & WAKER != 0 && self.wakers.is_turn(self.line(), now & WAITING_MASK);
        let threads = |state: u32| match whom {
            Whom::All => state & WAITING_MASK,
            Whom::One if is_wakers_turn => 0,
            Whom::One => (state & WAITING_MASK).min(1),
        };
        let wake = |state: u32| {
            let woken = threads(state);
            // As many as can be counted.
            let tokens = ((state & WOKEN_MASK) / WOKEN + woken).min(WOKEN_MASK / WOKEN) * WOKEN;
            (state & (WAITING_MASK | WAKER) != 0)
                .then(|| (state - woken * WAITING) & !(WOKEN_MASK | PATIENT) | tokens)
        };
        // Release: pairs with the Acquire in `park`.
        let Ok(before) = self.words.state.fetch_update(Ordering::Release, Ordering::Relaxed, wake) else {
            return false;
        };
        kill_point!("event.notified");
        if threads(before) > 0 {
            counters.wakes.fetch_add(1, Ordering::Relaxed);
            futex::wake(&self.words.state, self.reach, threads(before));
        }
        if before & WAKER != 0 && (whom == Whom::All || threads(before) == 0) {
            let most = if whom == Whom::All { usize::MAX } else { 1 };
            let written = self.wakers.ring(self.line(), most);
            counters.wakes.fetch_add(written as u64, Ordering::Relaxed);
            if written == 0 && whom == Whom::One {
                // The wakers had gone: it is a thread's turn, if there is one. The flag is gone, too.
                return self.wake(whom);
            }
        }
        threads(before) > 0
    }

    pub(super) fn parking<'b>(&'b self, expected: u32) -> Parking<'b> {
        Parking { word: &self.words.state, reach: self.reach, expected }
    }
}
