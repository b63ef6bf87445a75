//! Points: the words where threads and event loops wait, whatever their kind.

use std::time::Instant;

use super::broadcast::{Broadcast, Epoch as Round};
use super::event::{Event, Reach, Waking, has_wake_up};
use super::futex::Parking;
use super::{Deadline, Wakers};
use crate::layout::EventWords;
use crate::sync::Ordering;

/// Words to wait at, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Point<'a> {
    /// One of those that wait is woken.
    Event(Event<'a>),
    /// The same; who waits looks again by itself soon, and need not be woken for a little.
    Patient(Event<'a>),
    /// All that wait are woken.
    Broadcast(Broadcast<'a>),
}

/// What tells, at a point, that one has prepared to wait there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Epoch {
    /// At an event: any wake-up is for it.
    Any,
    /// At a broadcast: the end of this round.
    Of(Round),
}

impl<'a> Point<'a> {
    /// Says that a thread is about to wait.
    pub(super) fn prepare(self) -> Epoch {
        match self {
            Self::Event(event) => event.prepare(),
            Self::Patient(event) => event.prepare_patiently(),
            Self::Broadcast(broadcast) => return Epoch::Of(broadcast.prepare()),
        }
        Epoch::Any
    }

    /// Waits no longer, without having slept. Whoever ends a round wakes nobody then.
    pub(super) fn cancel(self) {
        if let Self::Event(event) | Self::Patient(event) = self {
            event.cancel();
        }
    }

    /// Sleeps until it is notified after `prepare`, the deadline, or a signal.
    pub(super) fn park(self, epoch: Epoch, deadline: Deadline) -> Waking {
        match (self, epoch) {
            (Self::Broadcast(broadcast), Epoch::Of(round)) => broadcast.park(round, deadline),
            (Self::Event(event) | Self::Patient(event), _) => event.park(deadline),
            (Self::Broadcast(_), Epoch::Any) => Waking::Woken,
        }
    }

    /// The same point for a thread that came just now.
    pub(crate) fn since_now(self) -> Self {
        match self {
            Self::Broadcast(broadcast) => {
                Self::Broadcast(Broadcast { since: Some(Instant::now()), ..broadcast })
            }
            other => other,
        }
    }

    /// Sleeps for a little if a task was there before this thread, which was not woken here.
    pub(crate) fn let_go_first(self, deadline: Deadline) {
        if let Self::Broadcast(broadcast) = self {
            broadcast.let_go_first(deadline);
        }
    }

    /// Has `waker` written when its turn comes; see [`Event::arm`].
    pub(super) fn arm(self, waker: i32) -> bool {
        match self {
            Self::Event(event) | Self::Patient(event) => event.arm(waker),
            Self::Broadcast(broadcast) => broadcast.arm(waker),
        }
    }

    /// Counts a wait that ended while spinning.
    pub(super) fn count_spin(self) {
        self.words().counters.spins.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets look who can use what was made: one of those that wait, or all.
    #[cold]
    pub(crate) fn notify(self) {
        match self {
            Self::Event(event) | Self::Patient(event) => event.notify(),
            Self::Broadcast(broadcast) => broadcast.notify(),
        }
    }

    /// As [`notify`](Self::notify), for what is left by one that took something.
    #[cold]
    pub(crate) fn pass_on(self) {
        match self {
            Self::Event(event) | Self::Patient(event) => event.pass_on(),
            Self::Broadcast(broadcast) => broadcast.pass_on(),
        }
    }

    /// Lets all go on that wait.
    #[cold]
    pub(crate) fn notify_all(self) {
        match self {
            Self::Event(event) | Self::Patient(event) => event.notify_all(),
            Self::Broadcast(broadcast) => broadcast.notify_all(),
        }
    }

    /// As [`notify_all`](Self::notify_all), after the death of one that may have left others asleep.
    #[cold]
    pub(crate) fn wake_all(self) {
        match self {
            Self::Event(event) | Self::Patient(event) => event.wake_all(),
            Self::Broadcast(broadcast) => broadcast.wake_all(),
        }
    }

    /// Has all threads that sleep here look whether they were interrupted.
    pub(super) fn disturb(self) {
        match self {
            Self::Event(event) | Self::Patient(event) => event.disturb(),
            Self::Broadcast(broadcast) => broadcast.disturb(),
        }
    }

    /// The same point for a thread that knows nothing of its wakers.
    pub(super) fn at(words: &'a EventWords, wakers: &'a Wakers, reach: Reach, is_broadcast: bool) -> Self {
        match is_broadcast {
            true => Self::Broadcast(Broadcast { words, wakers, reach, since: None }),
            false => Self::Event(Event { words, wakers, reach }),
        }
    }

    pub(super) fn is_broadcast(self) -> bool {
        matches!(self, Self::Broadcast(_))
    }

    pub(super) fn words(self) -> &'a EventWords {
        match self {
            Self::Event(event) | Self::Patient(event) => event.words,
            Self::Broadcast(broadcast) => broadcast.words,
        }
    }

    pub(super) fn reach(self) -> Reach {
        match self {
            Self::Event(event) | Self::Patient(event) => event.reach,
            Self::Broadcast(broadcast) => broadcast.reach,
        }
    }

    // For a thread that sleeps at several points.

    /// The word to sleep on, unless the thread that has `epoch` was woken.
    pub(super) fn parking(self, epoch: Epoch) -> Option<Parking<'a>> {
        // Relaxed: who takes the wake-up, or looks after the round, orders what comes after it.
        let expected = self.words().state.load(Ordering::Relaxed);
        (!self.is_woken(expected, epoch)).then(|| Parking {
            word: &self.words().state,
            reach: self.reach(),
            expected,
        })
    }

    fn is_woken(self, state: u32, epoch: Epoch) -> bool {
        match epoch {
            Epoch::Any => has_wake_up(state),
            Epoch::Of(round) => Broadcast::is_over(state, round),
        }
    }

    /// Waits no longer, after a sleep. Tells whether it took a wake-up that others may need, and whether it
    /// was woken.
    pub(super) fn leave(self, epoch: Epoch) -> Left {
        match self {
            Self::Event(event) | Self::Patient(event) if event.leave() => Left::WithWakeUp,
            // Acquire: sees what was written before the round ended; pairs with the Release in `end_round`.
            Self::Broadcast(broadcast)
                if self.is_woken(broadcast.words.state.load(Ordering::Acquire), epoch) =>
            {
                Left::Woken
            }
            _ => Left::Asleep,
        }
    }

    /// Counts a thread that parks: first, so that one who watches the counter knows when somebody sleeps.
    pub(super) fn count_wait(self) {
        self.words().counters.waits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_parked(self, since: Instant) {
        let parked = since.elapsed().as_nanos() as u64;
        self.words().counters.parked_ns.fetch_add(parked, Ordering::Relaxed);
    }
}

/// How a thread has left a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It was not woken.
    Asleep,
    /// It was woken with all others.
    Woken,
    /// It took a wake-up, and others wait for what it leaves.
    WithWakeUp,
}
