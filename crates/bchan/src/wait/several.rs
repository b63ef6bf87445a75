//! Parking one thread at several events: whichever is notified first wakes it.
//!
//! It goes as at one event: `prepare` at each, the heavy barrier, a look at what each stands for, then
//! [`park`]; and at the end [`leave`](Event::leave) at each. The sleep is Linux's `futex_waitv`.
//!
//! # Why no wake-up is lost
//! *For this thread*: it is counted as waiting at every event before the barrier, so whoever changes
//! something after the look notifies, and the wake-up stays in that event's state. `park` sleeps only
//! while all states are those in which it saw no wake-up: the kernel compares each word again, under the
//! lock that a waker takes, and comes back if one has changed.
//!
//! *For the others*: a wake-up in the state comes with one wake of the kernel, which goes to any who
//! sleeps on that word. A thread that was woken by one event stands in the queues of the others until it
//! is out of the kernel, so it may use up a wake there while another thread sleeps on. But then the
//! wake-up is still in the state. Either somebody else takes it, who is awake and looks, or `leave` finds
//! it: that takes a wake-up before it merely stops waiting. (`cancel` would stop waiting, and leave a
//! wake-up beside a sleeper.) And whoever takes one looks, and notifies again for what it leaves.
//!
//! A wake-up that another thread took first leaves nothing to see: then it sleeps again.

use std::time::Instant;

use super::event::has_wake_up;
use super::futex::{self, Parking};
use super::interrupt::Sleep;
use super::{Deadline, Event, Waking};
use crate::sync::Ordering;

/// At how many events a thread can park; 0 if it can't at more than one.
pub(crate) fn most_events() -> usize {
    futex::most_words()
}

/// Sleeps until one of `events` has a wake-up, the deadline, or a signal. Takes none: each event is to
/// be left after it.
#[cold]
pub(crate) fn park(events: &[Event<'_>], deadline: Deadline) -> Waking {
    if look(events).is_none() {
        return Waking::Woken;
    }
    events.iter().for_each(|event| event.count_wait());
    let asleep = Instant::now();
    let sleep = Sleep::at_events(events);
    let waking = loop {
        if sleep.is_interrupted() {
            break Waking::Interrupted;
        }
        let Some(states) = look(events) else { break Waking::Woken };
        match futex::wait_for_any(&states, deadline.remaining()) {
            Waking::Woken => {}
            left => break left,
        }
    };
    drop(sleep);
    events.iter().for_each(|event| event.count_parked(asleep));
    waking
}

/// The states of `events`, unless one has a wake-up.
fn look<'a>(events: &'a [Event<'a>]) -> Option<Vec<Parking<'a>>> {
    // Relaxed: `leave` takes the wake-up, and orders what comes after it.
    let state = |event: &'a Event<'a>| event.parking(event.words.state.load(Ordering::Relaxed));
    events.iter().map(state).map(|parking| (!has_wake_up(parking.expected)).then_some(parking)).collect()
}
