//! Parking one thread at several points: whichever is notified first wakes it.
//!
//! It goes as at one point: `prepare` at each, the heavy barrier, a look at what each stands for, then the
//! sleep; and at the end [`leave`](Point::leave) at each. The sleep is Linux's `futex_waitv`.
//!
//! # Why no wake-up is lost
//! *For this thread*: it is counted as waiting at every event before the barrier, so whoever changes
//! something after the look notifies, and the wake-up stays in that event's state; or, at a broadcast, a
//! round has ended. It sleeps only while all states are those in which it saw no wake-up: the kernel compares
//! each word again, under the lock that a waker takes, and comes back if one has changed.
//!
//! *For the others*: a wake-up in the state comes with one wake of the kernel, which goes to any who
//! sleeps on that word. A thread that was woken by one event stands in the queues of the others until it is
//! out of the kernel, so it may use up a wake there while another thread sleeps on. But then the wake-up is
//! still in the state. Either somebody else takes it, who is awake and looks, or `leave` finds it: that takes
//! a wake-up before it merely stops waiting. (`cancel` would stop waiting, and leave a wake-up beside a
//! sleeper.) And whoever takes one looks, and notifies again for what it leaves. At a broadcast all are
//! woken, and nobody takes anything.
//!
//! A wake-up that another thread took first leaves nothing to see: then it sleeps again.

use std::time::Instant;

use super::futex::{self, Parking};
use super::interrupt::Sleep;
use super::park::{Look, Waiter};
use super::point::{Epoch, Left, Point};
use super::{Barrier, Deadline, Waking};
use crate::error::WaitError;

/// A [`Waiter`], whatever it waits for.
pub(crate) trait AnyWaiter {
    fn point(&self) -> Point<'_>;
    fn prepared(&mut self);
    fn barrier(&self) -> Barrier;
    /// Whether what it waits for is there, or will not come, once it has prepared.
    fn is_ready(&mut self) -> bool;
}

impl<W: Waiter> AnyWaiter for W {
    fn point(&self) -> Point<'_> {
        Waiter::point(self)
    }

    fn prepared(&mut self) {
        Waiter::prepared(self);
    }

    fn barrier(&self) -> Barrier {
        Waiter::barrier(self)
    }

    fn is_ready(&mut self) -> bool {
        // Before the look: who is found dead is cleared up after, and that may make it ready.
        self.keep_watch();
        self.look() != Look::Nothing
    }
}

/// At how many points a thread can park; 0 if it can't at more than one.
pub(crate) fn most_points() -> usize {
    futex::most_words()
}

/// Waits until one of several is ready, or was a moment ago. Tells which of them, by their places, have had a
/// wake-up taken that others may need.
///
/// # Errors
/// If none was woken before the deadline, or a signal.
#[cold]
pub(crate) fn wait_for_any<'a>(
    waiters: &mut [&mut (dyn AnyWaiter + 'a)],
    deadline: Deadline,
) -> Result<Vec<usize>, WaitError> {
    let tokens: Vec<Epoch> = waiters.iter_mut().map(|waiter| prepare(*waiter)).collect();
    // Forbids: whoever makes one ready misses that we wait, and we miss what it did.
    Barrier::heavy_of_each(waiters.iter().map(|waiter| waiter.barrier()));
    let mut is_ready = false;
    for waiter in &mut *waiters {
        // Also after one that is: a lane whose bell was just armed may hide a message until the look.
        is_ready |= waiter.is_ready();
    }
    let points = || waiters.iter().map(|waiter| waiter.point()).zip(tokens.iter().copied());
    let waking = if is_ready { Waking::Woken } else { park(&points().collect::<Vec<_>>(), deadline) };
    let left: Vec<Left> = points().map(|(point, epoch)| point.leave(epoch)).collect();
    let taken = (0..left.len()).filter(|&place| left[place] == Left::WithWakeUp).collect();
    // A wake-up that came at the same time was taken along.
    match waking {
        Waking::TimedOut if !left.iter().any(|&left| left != Left::Asleep) => Err(WaitError::TimedOut),
        Waking::Interrupted if !left.iter().any(|&left| left != Left::Asleep) => Err(WaitError::Interrupted),
        _ => Ok(taken),
    }
}

fn prepare(waiter: &mut dyn AnyWaiter) -> Epoch {
    let epoch = waiter.point().prepare();
    waiter.prepared();
    epoch
}

/// Sleeps until one of `points` has a wake-up, the deadline, or a signal. Takes none.
fn park(points: &[(Point<'_>, Epoch)], deadline: Deadline) -> Waking {
    if look(points).is_none() {
        return Waking::Woken;
    }
    points.iter().for_each(|(point, _)| point.count_wait());
    let asleep = Instant::now();
    let sleep = Sleep::at_each(points.iter().map(|&(point, _)| point));
    let waking = loop {
        if sleep.is_interrupted() {
            break Waking::Interrupted;
        }
        let Some(states) = look(points) else { break Waking::Woken };
        match futex::wait_for_any(&states, deadline.remaining()) {
            Waking::Woken => {}
            left => break left,
        }
    };
    drop(sleep);
    points.iter().for_each(|(point, _)| point.count_parked(asleep));
    waking
}

/// The words of `points`, unless one has a wake-up.
fn look<'a>(points: &[(Point<'a>, Epoch)]) -> Option<Vec<Parking<'a>>> {
    points.iter().map(|(point, epoch)| point.parking(*epoch)).collect()
}
