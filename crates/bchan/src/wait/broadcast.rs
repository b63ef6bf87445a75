//! An event count that wakes all: for those who wait for different things, as many slots each.
//!
//! [`Event`](super::Event) wakes one of many, and its wake-up belongs to whoever takes it first. That is well
//! as long as one is as good as another. Where one needs a single slot and another a hundred, the wrong one
//! could take it, find too little, and leave the right one asleep. So here nobody takes anything: a round
//! ends for all threads that wait in it, which are few: those that send take turns to wait here, see
//! `channel::mpmc::turn`, those that select come as they like. Tasks wait in a line beside it, and the
//! first of them is woken, and those behind it once that has been served.
//!
//! The state, in the words of an event:
//!
//! | part | meaning | set by | cleared by |
//! |---|---|---|---|
//! | WAITING | somebody may wait in this round | `prepare` | `notify_all` |
//! | WAKER | there are eventfds to be written | `arm` | `notify` and `Wakers::remove`, with the last of them |
//! | round | how many rounds have ended | `notify_all` adds one | |
//!
//! # Memory ordering
//! As for the event: the waiter writes WAITING and then reads the ring, with `Barrier::heavy` between; the
//! notifier writes the ring and then reads the state, with `Barrier::light` or a full fence between. One
//! word holds both the flag and the round, so a waiter whose flag was seen wakes from the round that it saw.

use std::time::Instant;

use super::futex::{self, Parking, Reach, Waking};
use super::interrupt::Sleep;
use super::relay::{self, Until};
use super::waker::Line;
use super::{Deadline, Point, Wakers, waker};
use crate::layout::EventWords;
use crate::process::kill_point;
use crate::sync::Ordering;

const WAITING: u32 = 1;
const WAKER: u32 = 1 << 1;
/// One round that has ended.
const ROUND: u32 = 1 << 2;

/// Who waits, in which round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(u32);

impl Epoch {
    fn of(state: u32) -> Self {
        Self(state & !(WAITING | WAKER))
    }
}

/// A broadcast over the words of an event in a channel's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Broadcast<'a> {
    pub(crate) words: &'a EventWords,
    pub(crate) wakers: &'a Wakers,
    /// Who may wait on it.
    pub(crate) reach: Reach,
    /// When the thread came that waits: tasks that came before it go first.
    pub(crate) since: Option<Instant>,
}

impl Broadcast<'_> {
    /// Whether anyone may wait at those words. After a `Barrier::light`, "no" can be relied on.
    #[inline(always)]
    pub(crate) fn is_awaited(words: &EventWords) -> bool {
        words.state.load(Ordering::Relaxed) & (WAITING | WAKER) != 0
    }

    /// Says that this thread is about to wait. Then comes `Barrier::heavy`, another look, and
    /// [`park`](Self::park), or nothing.
    pub(crate) fn prepare(self) -> Epoch {
        // Relaxed: the caller's heavy barrier orders it before the look that follows.
        let epoch = Epoch::of(self.words.state.fetch_or(WAITING, Ordering::Relaxed));
        kill_point!("broadcast.prepared");
        epoch
    }

    /// Sleeps until a `notify_all` that came after `prepare`, the deadline, or a signal.
    #[cold]
    pub(crate) fn park(self, epoch: Epoch, deadline: Deadline) -> Waking {
        let state = &self.words.state;
        // Acquire: sees what was written before the notify.
        let now = state.load(Ordering::Acquire);
        if Epoch::of(now) != epoch {
            return Waking::Woken;
        }
        // Counted first, so that one who watches the counter knows when somebody sleeps.
        let counters = &self.words.counters;
        counters.waits.fetch_add(1, Ordering::Relaxed);
        let asleep = Instant::now();
        let mut waking = self.sleep(epoch, now, deadline);
        if waking == Waking::Woken {
            waking = self.let_go_first(deadline);
        }
        counters.parked_ns.fetch_add(asleep.elapsed().as_nanos() as u64, Ordering::Relaxed);
        waking
    }

    /// A thread is there first, as it is woken by the kernel itself. So it lets tasks go that were there
    /// before it, for a little, as they may need more than there is.
    pub(crate) fn let_go_first(self, deadline: Deadline) -> Waking {
        let is_before = |since| self.wakers.has_one_from_before(self.line(), since);
        let has_to_wait = || self.since.is_some_and(is_before);
        let soon = deadline.within(waker::ON_ITS_WAY);
        while has_to_wait() {
            let now = self.words.state.fetch_or(WAITING, Ordering::Relaxed) | WAITING;
            // Again: whoever left the line before that has told nobody.
            let waking = if has_to_wait() { self.sleep(Epoch::of(now), now, soon) } else { Waking::Woken };
            match waking {
                Waking::Woken => {}
                Waking::TimedOut => return deadline.passed(),
                Waking::Interrupted => return Waking::Interrupted,
            }
        }
        Waking::Woken
    }

    /// Sleeps until the round of `epoch` has ended; `now` is the state.
    fn sleep(self, epoch: Epoch, mut now: u32, deadline: Deadline) -> Waking {
        let state = &self.words.state;
        let sleep = Sleep::at(Point::Broadcast(self));
        let mut waking = Waking::Woken;
        kill_point!("broadcast.parks");
        while Epoch::of(now) == epoch && waking == Waking::Woken && !sleep.is_interrupted() {
            waking =
                futex::wait(Parking { word: state, reach: self.reach, expected: now }, deadline.remaining());
            // Acquire: sees what was written before the notify.
            now = state.load(Ordering::Acquire);
        }
        kill_point!("broadcast.parked");
        match sleep.is_interrupted() {
            true => Waking::Interrupted,
            false if Epoch::of(now) == epoch => waking,
            false => Waking::Woken,
        }
    }

    /// Has `waker` written when its turn comes, in this round or a later one; see
    /// [`Event::arm`](super::Event::arm).
    pub(crate) fn arm(self, waker: i32) -> bool {
        match &self.wakers.shared {
            None => self.wakers.add(self.line(), waker, 0),
            Some(memory) => relay::guard(memory, self.words, waker, || Until::Over(self.prepare())),
        }
    }

    fn line<'b>(&'b self) -> Line<'b> {
        Line { words: self.words, flag: WAKER }
    }

    /// Whether the round of `epoch` has ended.
    pub(super) fn is_over(state: u32, epoch: Epoch) -> bool {
        Epoch::of(state) != epoch
    }

    /// Lets all threads look that wait, and one task: the first, as long as it needs more than there is. The
    /// caller has made its change, and then passed a full fence or seen [`is_awaited`](Self::is_awaited)
    /// after a `Barrier::light`.
    #[cold]
    pub(crate) fn notify(self) {
        self.end_round(|| self.wakers.ring_in_order(self.line()));
    }

    /// As [`notify`](Self::notify), for what is left by one that took something.
    #[cold]
    pub(crate) fn pass_on(self) {
        if self.wakers.is_one_on_its_way(self.line()) {
            self.end_round(|| 0);
        } else {
            self.notify();
        }
    }

    /// Has all threads that sleep here look whether they were interrupted.
    #[cold]
    pub(super) fn disturb(self) {
        self.words.state.fetch_add(ROUND, Ordering::Release);
        futex::wake(&self.words.state, self.reach, futex::ALL);
    }

    /// Lets all go on who wait.
    #[cold]
    pub(crate) fn notify_all(self) {
        self.end_round(|| self.wakers.ring(self.line(), usize::MAX));
    }

    fn end_round(self, ring: impl FnOnce() -> usize) {
        let next =
            |state: u32| (state & (WAITING | WAKER) != 0).then(|| (state & !WAITING).wrapping_add(ROUND));
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
        if before & WAKER != 0 {
            counters.wakes.fetch_add(ring() as u64, Ordering::Relaxed);
        }
    }

    /// As [`notify_all`](Self::notify_all), after the death of one that may have ended a round and not yet
    /// woken those who slept in it.
    #[cold]
    pub(crate) fn wake_all(self) {
        self.notify_all();
        futex::wake(&self.words.state, self.reach, futex::ALL);
    }
}
