//! The event count: who finds nothing to do can sleep without missing the moment that changes it.
//!
//! Source: D. Vyukov's eventcount (1024cores). Waiting goes in three steps: `prepare`, look again,
//! `park`; a `notify` after `prepare` makes `park` return. Any number of threads may wait, and a
//! notify wakes them all.
//!
//! | state | meaning | who may be where |
//! |---|---|---|
//! | neither bit | nobody waits | notify has nothing to do, one load |
//! | WAITING | someone looks again before sleeping | notify moves the epoch, no system call |
//! | WAITING and PARKED | someone sleeps, or is about to | notify moves the epoch and wakes |
//!
//! The other bits are the epoch: it grows with each notify that found WAITING, and clears both
//! bits. A waiter that gave up leaves its bits behind; they cost the next notify one call too many.
//! The epoch has 30 bits: a waiter would be fooled if 2^30 notifies came between its `prepare` and
//! its sleep.
//!
//! # Memory ordering
//! The waiter writes WAITING and then reads the ring; the notifier writes the ring and then reads
//! the state. Forbidden outcome: both read the old. The waiter calls `Barrier::heavy` between the
//! two, the notifier `Barrier::light` or any full fence. What the notifier wrote before is seen by
//! the woken through the ring's own words, or, for a reader of the state, through the Release in
//! `notify` and the Acquire in `park`.

use std::time::Instant;

use super::Deadline;
use super::futex;
pub(crate) use super::futex::Waking;
use crate::layout::EventWords;
use crate::sync::Ordering;

const WAITING: u32 = 1;
const PARKED: u32 = 2;
const EPOCH: u32 = 4;

/// The state that a waiter found; `park` sleeps only while it lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket(u32);

/// An event count over the words in a channel's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a>(pub(crate) &'a EventWords);

impl Event<'_> {
    /// Says that this thread is about to wait. Then comes `Barrier::heavy` and another look.
    pub(crate) fn prepare(self) -> Ticket {
        // Relaxed: the caller's heavy barrier orders it before the look that follows.
        Ticket(self.0.state.fetch_or(WAITING, Ordering::Relaxed) | WAITING)
    }

    /// Sleeps until a `notify` that came after `prepare`, the deadline, or a signal.
    #[cold]
    pub(crate) fn park(self, ticket: Ticket, deadline: Deadline) -> Waking {
        let parked = ticket.0 | PARKED;
        // Acquire: sees what was written before the notify that moved the epoch.
        let state = &self.0.state;
        if let Err(now) = state.compare_exchange(ticket.0, parked, Ordering::Relaxed, Ordering::Acquire)
            && now != parked
        {
            return Waking::Woken;
        }
        // Counted first, so that one who watches the counter knows when somebody sleeps.
        let counters = &self.0.counters;
        counters.waits.fetch_add(1, Ordering::Relaxed);
        let asleep = Instant::now();
        let waking = futex::wait(state, parked, deadline.remaining());
        counters.parked_ns.fetch_add(asleep.elapsed().as_nanos() as u64, Ordering::Relaxed);
        waking
    }

    /// Whether anyone waits. After a `Barrier::light`, "no" can be relied on.
    #[inline(always)]
    pub(crate) fn has_waiters(self) -> bool {
        self.0.state.load(Ordering::Relaxed) & WAITING != 0
    }

    /// Lets all who wait go on. The caller has made its change, and then passed a full fence or
    /// seen [`has_waiters`](Self::has_waiters) after a `Barrier::light`.
    #[cold]
    pub(crate) fn notify(self) {
        let state = &self.0.state;
        let mut old = state.load(Ordering::Relaxed);
        loop {
            if old & WAITING == 0 {
                return;
            }
            let new = (old & !(WAITING | PARKED)).wrapping_add(EPOCH);
            // Release: pairs with the Acquire in `park`.
            match state.compare_exchange_weak(old, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => old = now,
            }
        }
        if old & PARKED != 0 {
            self.0.counters.wakes.fetch_add(1, Ordering::Relaxed);
            futex::wake_all(state);
        }
    }

    /// Counts a wait that ended while spinning.
    pub(crate) fn count_spin(self) {
        self.0.counters.spins.fetch_add(1, Ordering::Relaxed);
    }
}
