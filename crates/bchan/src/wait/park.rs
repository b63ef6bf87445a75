//! The wait loop, once: say that we wait, pass the barrier, look, see who else is there, sleep, look again.
//!
//! What is waited for, and where, is a [`Waiter`]'s: one slot or several in a lane, a message in any lane, room in a
//! ring that all share. The order is the same for all, and forbids one outcome: the waiter misses the change, and
//! whoever made it misses that it waits.

use super::broadcast::Ticket as Round;
use super::{Barrier, Broadcast, Deadline, Event, Waking};
use crate::error::WaitError;

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look<E> {
    /// What was waited for, or why it will not come.
    Over(Result<(), E>),
    /// Nothing, but it must not sleep: nobody would wake it for what may come.
    Again,
    /// Nothing: whoever changes that will notify.
    Nothing,
}

impl<E> Look<E> {
    /// What is waited for is there, or not.
    pub(crate) fn of(is_ready: bool) -> Self {
        if is_ready { Self::Over(Ok(())) } else { Self::Nothing }
    }
}

/// One that waits.
pub(crate) trait Waiter {
    /// What `prepare` gives for `park`.
    type Ticket: Copy;
    /// Why what it waits for may not come.
    type Error: Copy + PartialEq + From<WaitError>;

    /// Says that it waits. Then comes the barrier, and a look.
    fn prepare(&mut self) -> Self::Ticket;

    /// Waits no longer, without having slept.
    fn cancel(&mut self, ticket: Self::Ticket);

    /// Sleeps until it is notified after `prepare`, the deadline, or a signal.
    fn park(&mut self, ticket: Self::Ticket, deadline: Deadline) -> Waking;

    /// Whether what it waits for is there, or will not come.
    fn look(&mut self) -> Look<Self::Error>;

    /// Sees to it that the deaths of the others will be noticed; true if that may have changed something.
    fn keep_watch(&self) -> bool;

    /// What orders `prepare` before the look.
    fn barrier(&self) -> Barrier;
}

/// Waits until a look says that it is over, the deadline, or a signal.
#[cold]
pub(crate) fn park_until<W: Waiter>(waiter: &mut W, deadline: Deadline) -> Result<(), W::Error> {
    loop {
        let ticket = waiter.prepare();
        // Forbids: whoever brings about what we wait for misses that we wait, and we miss what it did.
        waiter.barrier().heavy();
        let look = waiter.look();
        let waking = if look == Look::Nothing && !waiter.keep_watch() {
            waiter.park(ticket, deadline)
        } else {
            waiter.cancel(ticket);
            deadline.passed()
        };
        if let Look::Over(outcome) = look {
            return outcome;
        }
        if let Look::Over(outcome) = waiter.look() {
            return outcome;
        }
        match waking {
            Waking::Woken => {}
            Waking::TimedOut => return Err(WaitError::TimedOut.into()),
            Waking::Interrupted => return Err(WaitError::Interrupted.into()),
        }
    }
}

/// Words that threads wait at.
pub(crate) trait Point: Copy {
    /// What `prepare` gives for `park`.
    type Ticket: Copy;

    /// See [`Waiter::prepare`].
    fn prepare(self) -> Self::Ticket;
    /// See [`Waiter::cancel`].
    fn cancel(self);
    /// See [`Waiter::park`].
    fn park(self, ticket: Self::Ticket, deadline: Deadline) -> Waking;
    /// Counts a wait that ended while spinning.
    fn count_spin(self);
}

impl Point for Event<'_> {
    type Ticket = ();

    fn prepare(self) {
        Event::prepare(self);
    }

    fn cancel(self) {
        Event::cancel(self);
    }

    fn park(self, (): (), deadline: Deadline) -> Waking {
        Event::park(self, deadline)
    }

    fn count_spin(self) {
        Event::count_spin(self);
    }
}

impl Point for Broadcast<'_> {
    type Ticket = Round;

    fn prepare(self) -> Self::Ticket {
        Broadcast::prepare(self)
    }

    /// Whoever ends the round wakes nobody then.
    fn cancel(self) {}

    fn park(self, ticket: Self::Ticket, deadline: Deadline) -> Waking {
        Broadcast::park(self, ticket, deadline)
    }

    fn count_spin(self) {
        Broadcast::count_spin(self);
    }
}
