//! An event count that wakes all: for those who wait for different things, as many slots each.
//!
//! [`Event`](super::Event) wakes one of many, and its wake-up belongs to whoever takes it first. That is
//! well as long as one is as good as another. Where one needs a single slot and another a hundred, the
//! wrong one could take it, find too little, and leave the right one asleep. So here nobody takes
//! anything: a round ends for all who wait in it.
//!
//! The state, in the words of an event:
//!
//! | part | meaning | set by | cleared by |
//! |---|---|---|---|
//! | WAITING | somebody may wait in this round | `prepare` | `notify_all` |
//! | ALARM | there are eventfds to be written | `arm` | `notify_all`, with the last of them |
//! | round | how many rounds have ended | `notify_all` adds one | |
//!
//! # Memory ordering
//! As for the event: the waiter writes WAITING and then reads the ring, with `Barrier::heavy` between; the
//! notifier writes the ring and then reads the state, with `Barrier::light` or a full fence between. One
//! word holds both the flag and the round, so a waiter whose flag was seen wakes from the round that it saw.

use std::time::Instant;

use super::futex::{self, Parking, Reach, Waking};
use super::sentry::{self, Until};
use super::{Alarms, Deadline};
use crate::layout::EventWords;
use crate::process::kill_point;
use crate::sync::Ordering;

const WAITING: u32 = 1;
const ALARM: u32 = 1 << 1;
/// One round that has ended.
const ROUND: u32 = 1 << 2;

/// Who waits, in which round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

impl Ticket {
    fn of(state: u32) -> Self {
        Self(state & !(WAITING | ALARM))
    }
}

/// A broadcast over the words of an event in a channel's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Broadcast<'a> {
    pub(crate) words: &'a EventWords,
    pub(crate) alarms: &'a Alarms,
    /// Who may wait on it.
    pub(crate) reach: Reach,
}

impl Broadcast<'_> {
    /// Whether anyone may wait. After a `Barrier::light`, "no" can be relied on.
    #[inline(always)]
    pub(crate) fn has_waiters(self) -> bool {
        self.words.state.load(Ordering::Relaxed) & (WAITING | ALARM) != 0
    }

    /// Says that this thread is about to wait. Then comes `Barrier::heavy`, another look, and
    /// [`park`](Self::park), or nothing.
    pub(crate) fn prepare(self) -> Ticket {
        // Relaxed: the caller's heavy barrier orders it before the look that follows.
        let ticket = Ticket::of(self.words.state.fetch_or(WAITING, Ordering::Relaxed));
        kill_point!("broadcast.prepared");
        ticket
    }

    /// Sleeps until a `notify_all` that came after `prepare`, the deadline, or a signal.
    #[cold]
    pub(crate) fn park(self, ticket: Ticket, deadline: Deadline) -> Waking {
        let state = &self.words.state;
        // Acquire: sees what was written before the notify.
        let mut now = state.load(Ordering::Acquire);
        if Ticket::of(now) != ticket {
            return Waking::Woken;
        }
        // Counted first, so that one who watches the counter knows when somebody sleeps.
        let counters = &self.words.counters;
        counters.waits.fetch_add(1, Ordering::Relaxed);
        let asleep = Instant::now();
        let mut waking = Waking::Woken;
        kill_point!("broadcast.parks");
        while Ticket::of(now) == ticket && waking == Waking::Woken {
            waking =
                futex::wait(Parking { word: state, reach: self.reach, expected: now }, deadline.remaining());
            now = state.load(Ordering::Acquire);
        }
        kill_point!("broadcast.parked");
        counters.parked_ns.fetch_add(asleep.elapsed().as_nanos() as u64, Ordering::Relaxed);
        if Ticket::of(now) == ticket { waking } else { Waking::Woken }
    }

    /// Has `alarm` written with the next round. The caller then passes `Barrier::heavy`, and looks again.
    pub(crate) fn arm(self, alarm: i32) {
        match &self.alarms.shared {
            None => self.alarms.add(self.key(), alarm, &|is_armed| self.flag(is_armed)),
            Some(memory) => sentry::guard(memory, self.words, alarm, || Until::Over(self.prepare())),
        }
    }

    /// Whether the round of `ticket` has ended.
    #[allow(dead_code, reason = "only a sentry asks")]
    pub(super) fn is_over(state: u32, ticket: Ticket) -> bool {
        Ticket::of(state) != ticket
    }

    fn flag(self, is_armed: bool) {
        if is_armed {
            self.words.state.fetch_or(ALARM, Ordering::Relaxed);
        } else {
            self.words.state.fetch_and(!ALARM, Ordering::Relaxed);
        }
    }

    /// Lets all go on who wait. The caller has made its change, and then passed a full fence or seen
    /// [`has_waiters`](Self::has_waiters) after a `Barrier::light`.
    #[cold]
    pub(crate) fn notify_all(self) {
        let next =
            |state: u32| (state & (WAITING | ALARM) != 0).then(|| (state & !WAITING).wrapping_add(ROUND));
        // Release: pairs with the Acquire in `park`.
        let Ok(before) = self.words.state.fetch_update(Ordering::Release, Ordering::Relaxed, next) else {
            return;
        };
        kill_point!("broadcast.notified");
        let counters = &self.words.counters;
        if before & WAITING != 0 {
            counters.wakes.fetch_add(1, Ordering::Relaxed);
            futex::wake(&self.words.state, self.reach, futex::ALL);
        }
        if before & ALARM != 0 {
            let written = self.alarms.ring(self.key(), usize::MAX, &|is_armed| self.flag(is_armed));
            counters.wakes.fetch_add(written as u64, Ordering::Relaxed);
        }
    }

    /// As [`notify_all`](Self::notify_all), after the death of one that may have ended a round and not yet woken
    /// those who slept in it.
    #[cold]
    pub(crate) fn rouse(self) {
        self.notify_all();
        futex::wake(&self.words.state, self.reach, futex::ALL);
    }

    /// Counts a wait that ended while spinning.
    pub(crate) fn count_spin(self) {
        self.words.counters.spins.fetch_add(1, Ordering::Relaxed);
    }

    fn key(self) -> usize {
        std::ptr::from_ref(self.words).addr()
    }
}
