//! The wait loop and the registration of wakers, once: say that we wait, pass the barrier, look, see who else
//! is there, sleep, look again.
//!
//! What is waited for, and where, is a [`Waiter`]'s: one slot or several in a lane, a message in any lane,
//! room in a ring that all share. The order is the same for all, and forbids one outcome: the waiter misses
//! the change, and whoever made it misses that it waits.

use std::time::Instant;

use super::{Barrier, Deadline, Point, Spin, Tuning, Waking};
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
    /// Why what it waits for may not come.
    type Error: Copy + PartialEq + From<WaitError>;

    /// Where it waits.
    fn point(&self) -> Point<'_>;

    /// It has said at its point that it waits. What else it has to say it says now, before the barrier.
    fn prepared(&mut self) {}

    /// Whether what it waits for is there, or will not come, once it has prepared.
    fn look(&mut self) -> Look<Self::Error>;

    /// The same while it spins.
    fn is_due(&mut self) -> bool {
        self.look() != Look::Nothing
    }

    /// What it saw while it spun. It may be gone by now: then the caller looks, and comes again.
    fn look_after_spin(&mut self) -> Look<Self::Error> {
        match self.look() {
            Look::Over(outcome) => Look::Over(outcome),
            _ => Look::Over(Ok(())),
        }
    }

    /// Sees to it that the deaths of the others will be noticed; true if that may have changed something.
    fn keep_watch(&self) -> bool;

    /// What orders `prepare` before the look.
    fn barrier(&self) -> Barrier;
}

/// Waits until a look says that it is over, the deadline, or a signal: spins first, and then parks by `park`.
pub(crate) fn wait_until<W: Waiter>(
    waiter: &mut W,
    spin: &mut Spin,
    tuning: &Tuning,
    deadline: Deadline,
    park: impl FnOnce(&mut W, Deadline) -> Result<(), W::Error>,
) -> Result<(), W::Error> {
    let start = Instant::now();
    let outcome = match spin.until(tuning, start, deadline, || waiter.is_due()) {
        Some(Ok(())) => {
            waiter.point().count_spin();
            match waiter.look_after_spin() {
                Look::Over(outcome) => outcome,
                _ => park(waiter, deadline),
            }
        }
        Some(Err(error)) => match waiter.look_after_spin() {
            Look::Over(Err(refused)) => Err(refused),
            _ => Err(error.into()),
        },
        None => park(waiter, deadline),
    };
    spin.learn(tuning, start.elapsed());
    outcome
}

/// Waits, asleep, until a look says that it is over, the deadline, or a signal.
#[cold]
pub(crate) fn park_until<W: Waiter>(waiter: &mut W, deadline: Deadline) -> Result<(), W::Error> {
    loop {
        let epoch = waiter.point().prepare();
        waiter.prepared();
        // Forbids: whoever brings about what we wait for misses that we wait, and we miss what it did.
        waiter.barrier().heavy();
        let look = waiter.look();
        let waking = if look == Look::Nothing && !waiter.keep_watch() {
            waiter.point().park(epoch, deadline)
        } else {
            waiter.point().cancel();
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

/// Has `waker` written once a look may say that it is over, unless it does now: then true. Not for what is
/// for one that came before and was woken in vain.
#[cold]
pub(crate) fn arm_until<W: Waiter>(waiter: &mut W, waker: i32) -> bool {
    loop {
        let may_go_on = waiter.point().arm(waker);
        waiter.prepared();
        // Forbids: as in `park_until`.
        waiter.barrier().heavy();
        waiter.keep_watch();
        match waiter.look() {
            Look::Nothing => return false,
            Look::Again => {}
            Look::Over(Ok(())) => return may_go_on,
            Look::Over(Err(_)) => return true,
        }
    }
}
