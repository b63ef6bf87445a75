//! Ending a wait from another thread: the handle that waits was closed.
//!
//! The waiting thread says where it sleeps, under a lock, and looks there whether it was interrupted. Whoever
//! interrupts it says so under the same lock, and then wakes it at its event until it has left: another
//! thread that lines up at that moment may take the wake-up that was meant for it.

use std::cell::Cell;
use std::ptr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Point, Reach, Wakers};
use crate::layout::EventWords;

static NO_WAKERS: Wakers = Wakers::none();

/// Where a thread sleeps.
#[derive(Debug, Clone, Copy)]
struct Place {
    words: *const EventWords,
    reach: Reach,
    is_broadcast: bool,
}

// SAFETY: the words are atomics, and stay mapped while a thread sleeps there.
unsafe impl Send for Place {}

impl Place {
    fn of(point: Point<'_>) -> Self {
        Self { words: point.words(), reach: point.reach(), is_broadcast: point.is_broadcast() }
    }

    fn disturb(self) {
        // SAFETY: the thread that sleeps there keeps them, and stays on the list until it has left.
        let words = unsafe { &*self.words };
        Point::at(words, &NO_WAKERS, self.reach, self.is_broadcast).disturb();
    }
}

#[derive(Debug, Default)]
struct State {
    is_raised: bool,
    asleep: Vec<Place>,
}

/// What ends the waits of one call, from any thread.
#[derive(Debug, Default)]
pub struct Interrupt {
    state: Mutex<State>,
    left: Condvar,
}

thread_local! {
    /// What may interrupt this thread.
    static CURRENT: Cell<*const Interrupt> = const { Cell::new(ptr::null()) };
}

impl Interrupt {
    /// How often a sleeper is woken that has not left.
    const AGAIN: Duration = Duration::from_millis(1);

    /// Does `work`, whose waits this may interrupt: then they end with `WaitError::Interrupted`.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Restore(*const Interrupt);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _restore = Restore(CURRENT.replace(self));
        work()
    }

    /// Interrupts the wait that is under way, and those to come. Returns once the thread is awake.
    pub fn raise(&self) {
        let mut state = self.state();
        state.is_raised = true;
        while !state.asleep.is_empty() {
            state.asleep.iter().for_each(|place| place.disturb());
            state = self.left.wait_timeout(state, Self::AGAIN).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.state().is_raised
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sleep of this thread that can be interrupted, until it is dropped.
pub(super) struct Sleep {
    interrupt: *const Interrupt,
}

impl Sleep {
    pub(super) fn at(point: Point<'_>) -> Self {
        Self::at_each(std::iter::once(point))
    }

    pub(super) fn at_each<'a>(points: impl Iterator<Item = Point<'a>>) -> Self {
        let sleep = Self { interrupt: CURRENT.get() };
        if let Some(interrupt) = sleep.get() {
            interrupt.state().asleep.extend(points.map(Place::of));
        }
        sleep
    }

    fn get(&self) -> Option<&Interrupt> {
        // SAFETY: `during` keeps it for as long as this thread may sleep.
        unsafe { self.interrupt.as_ref() }
    }

    /// Whether to get up.
    pub(super) fn is_interrupted(&self) -> bool {
        self.get().is_some_and(Interrupt::is_raised)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(interrupt) = self.get() {
            interrupt.state().asleep.clear();
            interrupt.left.notify_all();
        }
    }
}
